/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sessions as they lie in a store, which may be anybody's. The first byte says what the rest is: s
 * a key and, on the lines behind it, a record that is sealed here if its last line has an end, so
 * that what stands behind the seal is reached, too; else both as they came.
 */
#include "config.h"

#include "auth/common/commy-session-record.h"

#include <gnutls/crypto.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define NOW G_GINT64_CONSTANT (2000000000)

static const guint8 seal[COMMY_SESSION_SEAL_SIZE] = { 's' };
/* By which nothing here is sealed. */
static const guint8 other_seal[COMMY_SESSION_SEAL_SIZE] = { 'o' };
static const CommySessionRules rules = { .idle_s = 3600, .life_s = 86400 };

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static CommySessionRecord *
read_as (const char *key, const GString *text, const guint8 *with)
{
  g_autoptr (GError) error = NULL;
  CommySessionRecord *record = commy_session_record_read (key, text->str, text->len, with, &error);

  g_assert_true ((record == NULL) == (error != NULL));
  return record;
}

static void
assert_same (const CommySessionRecord *one, const CommySessionRecord *other)
{
  g_assert_cmpstr (one->id, ==, other->id);
  g_assert_cmpstr (one->principal, ==, other->principal);
  g_assert_cmpstr (one->factor, ==, other->factor);
  g_assert_cmpint (one->created_s, ==, other->created_s);
  g_assert_cmpint (one->expires_s, ==, other->expires_s);
  g_assert_cmpint (one->ends_s, ==, other->ends_s);
  g_assert_cmpmem (&one->verifier, sizeof one->verifier, &other->verifier, sizeof other->verifier);
}

/* What is believed of one is written and believed again, and lets nobody in without the key. */
static void
check_believed (const char *key, CommySessionRecord *record)
{
  static const guint8 nothing[64];
  g_autoptr (GBytes) bytes = commy_session_record_write (record, seal);
  g_autoptr (CommySessionRecord) again = NULL;
  gsize size;
  gconstpointer written = g_bytes_get_data (bytes, &size);

  again = commy_session_record_read (key, written, size, seal, NULL);
  g_assert_nonnull (again);
  assert_same (record, again);
  g_assert_nonnull (
      commy_session_record_why_not (record, &rules, record->principal, nothing, nothing, NOW));
  if (commy_session_record_touch (record, &rules, NOW))
    {
      g_assert_cmpint (record->expires_s, >, again->expires_s);
      g_assert_cmpint (record->expires_s, <=, record->ends_s);
    }
}

static void
add_seal (GString *text)
{
  guint8 made[COMMY_SESSION_SEAL_SIZE];

  if (gnutls_hmac_fast (GNUTLS_MAC_SHA256, seal, sizeof seal, text->str, text->len, made) < 0)
    g_error ("GnuTLS cannot compute HMAC-SHA-256");
  for (gsize i = 0; i < sizeof made; i++)
    g_string_append_printf (text, "%02x", made[i]);
  g_string_append_c (text, '\n');
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  const char *rest = (const char *) data + 1;
  const char *end = size > 0 ? memchr (rest, '\n', size - 1) : NULL;
  g_autofree char *key = NULL;
  g_autoptr (GString) text = NULL;
  g_autoptr (CommySessionRecord) shown = NULL;
  g_autoptr (CommySessionRecord) believed = NULL;
  g_autoptr (CommySessionRecord) by_others = NULL;
  gboolean is_sealed;

  if (end == NULL)
    return 0;
  key = g_strndup (rest, (gsize) (end - rest));
  text = g_string_new_len (end + 1, (gssize) ((const char *) data + size - end - 1));
  is_sealed = *data == 's' && text->len > 0 && text->str[text->len - 1] == '\n';
  if (is_sealed)
    add_seal (text);
  shown = read_as (key, text, NULL);
  believed = read_as (key, text, seal);
  by_others = read_as (key, text, other_seal);
  g_assert_null (by_others);
  g_assert_true (believed == NULL || shown != NULL);
  g_assert_true (!is_sealed || shown == NULL || believed != NULL);
  if (shown != NULL)
    g_assert_true (g_utf8_validate (shown->principal, -1, NULL));
  if (believed != NULL)
    check_believed (key, believed);
  return 0;
}
