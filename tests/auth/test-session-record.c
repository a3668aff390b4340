/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sessions as they lie in the mesh's store, which may be anybody's.
 */
#include "config.h"

#include "auth/common/commy-session-record.h"

#include <glib/gstdio.h>
#include <string.h>

#define ANN "spiffe://mesh/host/h/user/ann"
#define BOB "spiffe://mesh/host/h/user/bob"
#define THEN G_GINT64_CONSTANT (1700000000)

static const CommySessionRules rules = { .idle_s = 3600, .life_s = 7200 };
static const guint8 seal[COMMY_SESSION_SEAL_SIZE] = { 1, 2, 3 };
static const guint8 other_seal[COMMY_SESSION_SEAL_SIZE] = { 1, 2, 4 };
static const guint8 transcript[32] = { 7 };

static CommySessionRecord *
make (CommySessionGrant *grant)
{
  g_autoptr (GError) error = NULL;
  CommySessionRecord *record
      = commy_session_record_new (&rules, ANN, "0123456789ab", THEN, grant, &error);

  g_assert_no_error (error);
  return record;
}

static const char *
why_not (const CommySessionRecord *record,
         const CommySessionGrant *grant,
         const char *principal,
         gint64 now_s)
{
  guint8 proof[COMMY_API_KEY_HASH_SIZE], unused[COMMY_API_KEY_HASH_SIZE];

  commy_api_key_prove (&grant->key, grant->pepper, transcript, proof, unused);
  return commy_session_record_why_not (record, &rules, principal, transcript, proof, now_s);
}

static CommySessionRecord *
read_back (const char *key, GBytes *bytes, const guint8 *with, GError **error)
{
  gsize size;
  gconstpointer data = g_bytes_get_data (bytes, &size);

  return commy_session_record_read (key, data, size, with, error);
}

static void
test_there_and_back (void)
{
  CommySessionGrant grant;
  g_autoptr (CommySessionRecord) record = make (&grant);
  g_autofree char *key = commy_session_record_dup_key (record->id);
  g_autoptr (GBytes) bytes = commy_session_record_write (record, seal);
  g_autoptr (GError) error = NULL;
  g_autoptr (CommySessionRecord) again = read_back (key, bytes, seal, &error);

  g_assert_no_error (error);
  g_assert_cmpstr (again->id, ==, grant.key.id);
  g_assert_cmpstr (again->principal, ==, ANN);
  g_assert_cmpstr (again->factor, ==, "0123456789ab");
  g_assert_cmpint (again->expires_s, ==, THEN + 3600);
  g_assert_cmpint (again->ends_s, ==, THEN + 7200);
  g_assert_cmpint (grant.ends_s, ==, THEN + 7200);
  g_assert_null (why_not (again, &grant, ANN, THEN));
  g_assert_nonnull (why_not (again, &grant, BOB, THEN));
  grant.key.secret[0] ^= 1;
  g_assert_nonnull (why_not (again, &grant, ANN, THEN));
}

static void
test_times (void)
{
  CommySessionGrant grant;
  g_autoptr (CommySessionRecord) record = make (&grant);

  g_assert_null (why_not (record, &grant, ANN, THEN + 3599));
  g_assert_nonnull (why_not (record, &grant, ANN, THEN + 3600));
  g_assert_false (commy_session_record_touch (record, &rules, THEN + 899));
  g_assert_true (commy_session_record_touch (record, &rules, THEN + 3000));
  g_assert_null (why_not (record, &grant, ANN, THEN + 6599));
  g_assert_true (commy_session_record_touch (record, &rules, THEN + 6500));
  g_assert_null (why_not (record, &grant, ANN, THEN + 7199));
  g_assert_nonnull (why_not (record, &grant, ANN, THEN + 7200));
  g_assert_false (commy_session_record_touch (record, &rules, THEN + 7199));
}

/* No store can write what a service would believe: each byte counts, and which session it is. */
static void
test_forged (void)
{
  CommySessionGrant grant, other_grant;
  g_autoptr (CommySessionRecord) record = make (&grant);
  g_autoptr (CommySessionRecord) other = make (&other_grant);
  g_autofree char *key = commy_session_record_dup_key (record->id);
  g_autofree char *other_key = commy_session_record_dup_key (other->id);
  g_autoptr (GBytes) bytes = commy_session_record_write (record, seal);
  gsize size;
  const char *data = g_bytes_get_data (bytes, &size);

  g_assert_null (read_back (key, bytes, other_seal, NULL));
  g_assert_null (read_back (other_key, bytes, seal, NULL));
  g_assert_null (read_back (record->id, bytes, seal, NULL));
  for (gsize i = 0; i < size; i++)
    {
      g_autofree char *copy = g_memdup2 (data, size);

      for (guint bit = 0; bit < 8; bit++)
        {
          g_autoptr (CommySessionRecord) read = NULL;

          copy[i] = (char) (data[i] ^ (1 << bit));
          read = commy_session_record_read (key, copy, size, seal, NULL);
          /* Hexadecimal digits may be written small and large. */
          g_assert_true (read == NULL || (bit == 5 && g_ascii_isalpha (data[i])));
        }
      g_assert_null (commy_session_record_read (key, data, i, seal, NULL));
    }
  g_assert_null (commy_session_record_read (key, NULL, 0, seal, NULL));
}

static void
test_longer (void)
{
  CommySessionGrant grant;
  g_autoptr (CommySessionRecord) record = make (&grant);
  g_autofree char *key = commy_session_record_dup_key (record->id);
  g_autoptr (GBytes) bytes = commy_session_record_write (record, seal);
  g_autofree char *text = g_strndup (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));
  g_autofree char *until = g_strdup_printf ("\n%" G_GINT64_FORMAT "\n", record->expires_s);
  g_auto (GStrv) parts = g_strsplit (text, until, 2);
  g_autofree char *longer = g_strconcat (parts[0], "\n1800000000\n", parts[1], NULL);
  g_autoptr (CommySessionRecord) shown = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_null (commy_session_record_read (key, longer, strlen (longer), seal, &error));
  g_assert_nonnull (strstr (error->message, "its seal is broken"));
  /* To be shown anything will do that reads like one. */
  shown = commy_session_record_read (key, longer, strlen (longer), NULL, NULL);
  g_assert_cmpint (shown->expires_s, ==, 1800000000);
}

static void
test_key (void)
{
  g_autofree char *path = g_build_filename (g_get_tmp_dir (), "commy-session-key-XXXXXX", NULL);
  guint8 one[COMMY_SESSION_SEAL_SIZE];
  g_autoptr (GError) error = NULL;
  int fd = g_mkstemp (path);

  g_assert_cmpint (fd, >=, 0);
  g_close (fd, NULL);
  g_assert_true (g_file_set_contents (path, "short", -1, NULL));
  g_chmod (path, 0600);
  g_assert_false (commy_session_seal_key (path, one, &error));
  g_assert_nonnull (strstr (error->message, "less than 32"));
  g_clear_error (&error);
  g_assert_true (g_file_set_contents (path, "0123456789abcdef0123456789abcdef", -1, NULL));
  g_chmod (path, 0644);
  g_assert_false (commy_session_seal_key (path, one, &error));
  g_clear_error (&error);
  g_chmod (path, 0600);
  g_assert_true (commy_session_seal_key (path, one, &error));
  g_unlink (path);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/auth/session-record/there-and-back", test_there_and_back);
  g_test_add_func ("/auth/session-record/ends-in-time", test_times);
  /* attack: write a session into the store, or another's name into one; defence: a seal by a key
   * that the store does not know */
  g_test_add_func ("/auth/session-record/no-bit-can-be-changed", test_forged);
  /* attack: have a session in the store last longer; defence: its times are under the seal */
  g_test_add_func ("/auth/session-record/no-end-can-be-moved", test_longer);
  g_test_add_func ("/auth/session-record/a-key-is-long-and-ones-own", test_key);
  return g_test_run ();
}
