/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Tokens as text, and the file that checks them, which sessions have, too. The first byte says what
 * the rest is: k a token, p a principal, and else a file.
 */
#include "config.h"

#include "auth/common/commy-api-key.h"
#include "auth/common/commy-credential.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static void
check_key (const char *text)
{
  g_autoptr (GError) error = NULL;
  CommyApiKey key;
  char *again;

  if (!commy_api_key_parse (text, &key, &error))
    {
      g_assert_nonnull (error);
      return;
    }
  g_assert_true (commy_api_key_is_id (key.id));
  again = commy_api_key_to_text (&key);
  g_assert_cmpstr (again, ==, text);
  commy_credential_free (again);
}

static void
check_principal (const char *text)
{
  if (!commy_api_key_is_principal (text))
    return;
  g_assert_cmpuint (strlen (text), <=, COMMY_API_KEY_PRINCIPAL_MAX);
  g_assert_nonnull (strchr (text, ':'));
  g_assert_null (strpbrk (text, " \t\r\n"));
}

static void
check_entry (const CommyApiKeyEntry *entry)
{
  g_assert_true (commy_api_key_is_id (entry->id));
  g_assert_true (entry->principal == NULL || commy_api_key_is_principal (entry->principal));
  g_assert_cmpint (entry->created_s, >=, 0);
  g_assert_cmpint (entry->expires_s, >=, 0);
  for (guint i = 0; entry->scopes != NULL && entry->scopes[i] != NULL; i++)
    g_assert_cmpuint (i, <, 16);
  if (entry->is_revoked)
    g_assert_nonnull (commy_api_key_entry_why_not (entry, entry->principal, 0));
}

static void
check_register (const char *text, gsize size)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyApiKeyRegister) reg = commy_api_key_register_parse (text, size, &error);
  g_autoptr (GPtrArray) list = reg != NULL ? commy_api_key_register_list (reg) : NULL;

  g_assert_true ((reg == NULL) == (error != NULL));
  for (guint i = 0; list != NULL && i < list->len; i++)
    {
      const CommyApiKeyEntry *entry = list->pdata[i];

      check_entry (entry);
      g_assert_true (commy_api_key_register_find (reg, entry->id) == entry);
      g_assert_true (commy_api_key_register_revoke (reg, entry->id, NULL));
      check_entry (entry);
    }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autofree char *text = NULL;

  if (size == 0)
    return 0;
  text = g_strndup ((const char *) data + 1, size - 1);
  if (*data == 'k')
    check_key (text);
  else if (*data == 'p')
    check_principal (text);
  else
    check_register (text, strlen (text));
  return 0;
}
