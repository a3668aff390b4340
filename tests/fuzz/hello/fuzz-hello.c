/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The greeting of a peer that nobody has authenticated yet: frame and payload as set-up reads
 * them.
 */
#include "config.h"

#include "channel/commy-hello.h"

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  CommyHello hello;
  g_autoptr (GError) error = NULL;

  if (!commy_hello_read (data, size, &hello, &error))
    {
      g_assert_nonnull (error);
      return 0;
    }
  /* What was read can be said again, and reads the same. */
  {
    g_autoptr (GBytes) again = commy_hello_write (&hello);
    CommyHello second;

    g_assert_true (
        commy_hello_read (g_bytes_get_data (again, NULL), g_bytes_get_size (again), &second, NULL));
    g_assert_cmpstr (hello.node, ==, second.node);
    g_assert_true (g_strv_equal ((const char *const *) hello.serializers,
                                 (const char *const *) second.serializers));
    commy_hello_clear (&second);
  }
  commy_hello_clear (&hello);
  return 0;
}
