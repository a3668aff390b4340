/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `credentials.conf`, where the files of somebody else's authority are: either absolute places,
 * and no PIN among them, or an error that names the file.
 */
#include "config.h"

#include "auth/common/commy-pki.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define DIR "/etc/commy"

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autofree char *text = g_strndup ((const char *) data, size);
  g_autoptr (GError) error = NULL;
  g_auto (CommyPkiPlaces) places = { NULL };

  if (!commy_pki_places_parse (DIR, text, &places, &error))
    {
      g_assert_true (g_str_has_prefix (error->message, DIR "/credentials.conf: "));
      g_assert_null (places.key);
      return 0;
    }
  g_assert_true (places.is_external);
  g_assert_true (g_path_is_absolute (places.key) || commy_pki_is_token_key (places.key));
  g_assert_nonnull (places.authority);
  g_assert_nonnull (places.certificate);
  g_assert_nonnull (places.crl);
  if (commy_pki_is_token_key (places.key))
    g_assert_null (strstr (places.key, "pin-value"));
  g_assert_true (places.pin == NULL || g_path_is_absolute (places.pin));
  return 0;
}
