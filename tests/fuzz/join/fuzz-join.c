/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What strangers send around an admission: join tokens as text, and the messages of both sides,
 * with the signing request inside.
 */
#include "config.h"

#include "auth/common/commy-pki-wire.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static const char *const text_names[] = { "text", "host", "user", "token", "certificate" };

static void
try_token (const uint8_t *data, size_t size)
{
  g_autofree char *text = g_strndup ((const char *) data, size);
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyPkiToken) token = commy_pki_token_parse (text, &error);
  g_autoptr (CommyPkiToken) again = NULL;
  g_autofree char *written = NULL;

  g_assert_true ((token == NULL) == (error != NULL));
  if (token == NULL)
    return;
  /* What was read can be said again, and reads the same. */
  written = commy_pki_token_to_text (token);
  again = commy_pki_token_parse (written, NULL);
  g_assert_nonnull (again);
  g_assert_cmpstr (again->id, ==, token->id);
  g_assert_cmpint (again->expires_s, ==, token->expires_s);
  g_assert_true (memcmp (again->secret, token->secret, sizeof token->secret) == 0);
  g_assert_true (g_strv_equal ((const char *const *) again->addresses,
                               (const char *const *) token->addresses));
}

static void
try_request (const CommyPkiMessage *message)
{
  g_autoptr (GBytes) request = commy_pki_message_dup_bytes (message, "request");
  g_autoptr (CommyPkiAuthority) authority = NULL;
  g_autofree char *key = NULL;
  g_autofree char *pem = NULL;

  if (request == NULL)
    return;
  authority = commy_pki_authority_new ("fuzz", 1000000000, NULL);
  pem = commy_pki_sign_request (authority, request, "/host/h/user/u", 1000000000, 1000086400, &key,
                                NULL);
  g_assert_true ((pem == NULL) == (key == NULL));
}

static void
try_message (const uint8_t *data, size_t size)
{
  g_auto (CommyPkiMessage) message = { 0 };
  g_auto (CommyPkiMessage) again = { 0 };
  g_autoptr (GBytes) written = NULL;
  g_autoptr (GError) error = NULL;

  if (!commy_pki_message_read (data, size, &message, &error))
    {
      g_assert_nonnull (error);
      return;
    }
  for (guint i = 0; i < G_N_ELEMENTS (text_names); i++)
    {
      g_autofree char *text = commy_pki_message_dup_text (&message, text_names[i], 512);

      g_assert_true (text == NULL || strlen (text) <= 512);
    }
  (void) commy_pki_message_get_time (&message);
  try_request (&message);
  written = commy_pki_message_write (message.type, message.fields);
  g_assert_nonnull (written);
  g_assert_true (commy_pki_message_read (g_bytes_get_data (written, NULL),
                                         g_bytes_get_size (written), &again, NULL));
  g_assert_true (g_variant_equal (message.fields, again.fields));
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  try_token (data, size);
  try_message (data, size);
  return 0;
}
