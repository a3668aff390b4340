/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The record of an instance as a store hands it over: anybody who may write to the store may
 * have written it.
 */
#include "config.h"

#include "control/commy-instance.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyInstance) instance
      = commy_instance_read ("0123", "org.example.Fuzz", (const char *) data, size, &error);
  g_autoptr (CommyInstance) again = NULL;
  g_autofree char *text = NULL;

  if (instance == NULL)
    {
      g_assert_nonnull (error);
      return 0;
    }
  text = commy_instance_write (instance);
  again = commy_instance_read ("0123", "org.example.Fuzz", text, strlen (text), &error);
  g_assert_no_error (error);
  g_assert_cmpstr (again->node, ==, instance->node);
  g_assert_cmpuint (again->n_endpoints, ==, instance->n_endpoints);
  return 0;
}
