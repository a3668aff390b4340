/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Secrets of one-time codes as others write them, the file of them, and codes as they are typed.
 * The first byte says what the rest is: u an address, r a register, and else a backup code.
 */
#include "config.h"

#include "auth/common/commy-credential.h"
#include "auth/common/commy-totp-private.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static void
check_uri (const char *text)
{
  CommyTotpKey key, again;
  char *uri;

  if (!commy_totp_key_parse_uri (text, &key, NULL))
    return;
  g_assert_cmpuint (key.digits, >=, 6);
  g_assert_cmpuint (key.digits, <=, COMMY_TOTP_DIGITS_MAX);
  g_assert_cmpuint (key.secret_size, <=, sizeof key.secret);
  uri = commy_totp_key_to_uri (&key, "i", "a");
  g_assert_true (commy_totp_key_parse_uri (uri, &again, NULL));
  g_assert_cmpuint (again.digits, ==, key.digits);
  g_assert_cmpmem (again.secret, again.secret_size, key.secret, key.secret_size);
  commy_credential_free (uri);
}

static void
check_register (const char *text, gsize size)
{
  CommyTotpRegister *reg = commy_totp_register_parse (text, size, NULL);
  GPtrArray *list = reg != NULL ? commy_totp_register_list (reg) : NULL;

  for (guint i = 0; list != NULL && i < list->len; i++)
    {
      const CommyTotpEntry *entry = list->pdata[i];

      g_assert_cmpuint (entry->n_codes, <=, COMMY_TOTP_BACKUP_CODES);
      g_assert_cmpuint (entry->failures, <=, COMMY_TOTP_FAILURES_MAX);
      g_assert_true (g_utf8_validate (entry->principal, -1, NULL));
    }
  if (list != NULL)
    g_ptr_array_unref (list);
  commy_totp_register_free (reg);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static const guint8 salt[COMMY_TOTP_SALT_SIZE];
  g_autofree char *text = NULL;
  guint8 hash[32];

  if (size == 0)
    return 0;
  text = g_strndup ((const char *) data + 1, size - 1);
  if (*data == 'u')
    check_uri (text);
  else if (*data == 'r')
    check_register (text, strlen (text));
  else
    commy_totp_hash_backup_code (salt, text, hash);
  return 0;
}
