/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Base32 (RFC 4648) in lower case and without padding, as tokens and secrets are typed.
 */
#include "config.h"

#include "auth/common/commy-pki-private.h"

#include <string.h>

static const char digits[] = "abcdefghijklmnopqrstuvwxyz234567";

void
commy_pki_base32_encode (GString *text, const guint8 *bytes, gsize size)
{
  guint32 bits = 0;
  guint held = 0;

  for (gsize i = 0; i < size; i++)
    {
      bits = bits << 8 | bytes[i];
      for (held += 8; held >= 5; held -= 5)
        g_string_append_c (text, digits[bits >> (held - 5) & 31]);
    }
  if (held > 0)
    g_string_append_c (text, digits[bits << (5 - held) & 31]);
}

gboolean
commy_pki_base32_decode (GByteArray *bytes, const char *text)
{
  guint32 bits = 0;
  guint held = 0;

  for (; *text != '\0'; text++)
    {
      const char *digit = strchr (digits, *text);
      guint8 byte;

      if (digit == NULL)
        return FALSE;
      bits = bits << 5 | (guint32) (digit - digits);
      held += 5;
      if (held < 8)
        continue;
      held -= 8;
      byte = (guint8) (bits >> held);
      g_byte_array_append (bytes, &byte, 1);
    }
  return held < 5 && (bits & ((1u << held) - 1)) == 0;
}
