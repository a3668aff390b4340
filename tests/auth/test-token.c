/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The provider `token`: keys as text, the file of them, and every exchange that must not succeed.
 */
#include "config.h"

#include "auth-side.h"
#include "auth/common/commy-api-key.h"
#include "auth/common/commy-credential.h"
#include "auth/common/commy-kept-register.h"
#include "tests/conformance/commy-test-host.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* Made with Python's zlib, hmac and hashlib. */
#define KNOWN \
  "cmy_0123456789ab_000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f_424286eb"
#define KNOWN_PROOF "5a61b09104c67e6dbc25e2d78a6779e46b41386f99136336b10607367444294b"
#define KNOWN_ANSWER "7785dbba1a1dcab5b8eaf2d21d18a7069bbfeb73181022d452a602faa851295f"

/* --- keys --- */

static void
test_text (void)
{
  CommyApiKey key, again;
  g_autoptr (GError) error = NULL;
  char *text;

  g_assert_true (commy_api_key_parse (KNOWN, &key, &error));
  g_assert_cmpstr (key.id, ==, "0123456789ab");
  for (gsize i = 0; i < sizeof key.secret; i++)
    g_assert_cmpuint (key.secret[i], ==, i);
  text = commy_api_key_to_text (&key);
  g_assert_cmpstr (text, ==, KNOWN);
  commy_credential_free (text);
  g_assert_true (commy_api_key_new (&key, &error));
  text = commy_api_key_to_text (&key);
  g_assert_true (commy_api_key_parse (text, &again, &error));
  g_assert_cmpmem (&key, sizeof key, &again, sizeof again);
  commy_credential_free (text);
}

static void
test_damaged_text (void)
{
  CommyApiKey key;
  gsize size = strlen (KNOWN);

  for (gsize i = 0; i < size; i++)
    {
      g_autofree char *text = g_strdup (KNOWN);

      for (int c = 1; c < 128; c++)
        {
          text[i] = (char) c;
          if (c != KNOWN[i] && commy_api_key_parse (text, &key, NULL))
            g_error ("taken: %s", text);
        }
      text[i] = '\0';
      g_assert_false (commy_api_key_parse (text, &key, NULL));
    }
  g_assert_false (commy_api_key_parse (KNOWN "0", &key, NULL));
  g_assert_false (commy_api_key_parse ("", &key, NULL));
}

static void
test_known_proof (void)
{
  guint8 pepper[COMMY_API_KEY_PEPPER_SIZE], transcript[COMMY_API_KEY_HASH_SIZE];
  guint8 proof[COMMY_API_KEY_HASH_SIZE], answer[COMMY_API_KEY_HASH_SIZE];
  g_autoptr (GString) hex = g_string_new (NULL);
  CommyApiKey key;

  g_assert_true (commy_api_key_parse (KNOWN, &key, NULL));
  for (gsize i = 0; i < sizeof pepper; i++)
    pepper[i] = (guint8) i;
  memset (transcript, 7, sizeof transcript);
  commy_api_key_prove (&key, pepper, transcript, proof, answer);
  for (gsize i = 0; i < sizeof proof; i++)
    g_string_append_printf (hex, "%02x", proof[i]);
  g_assert_cmpstr (hex->str, ==, KNOWN_PROOF);
  g_string_truncate (hex, 0);
  for (gsize i = 0; i < sizeof answer; i++)
    g_string_append_printf (hex, "%02x", answer[i]);
  g_assert_cmpstr (hex->str, ==, KNOWN_ANSWER);
}

/* --- the file --- */

typedef struct
{
  CommyTestHost *host;
  const CommyAuthOps *ops;
  gpointer instance;
  char *state;      /* folder */
  char *credential; /* file */
  CommyApiKey key;
} Scene;

static void
add_key (const char *dir, const CommyApiKey *key, const char *name, gint64 expires_s)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyApiKeyRegister) reg = commy_api_key_register_open (dir, &error);

  g_assert_no_error (error);
  commy_api_key_register_add (reg, key, name, NULL, 1, expires_s, &error);
  g_assert_no_error (error);
  commy_api_key_register_save (reg, &error);
  g_assert_no_error (error);
}

static void
write_credential (Scene *scene, const CommyApiKey *key)
{
  char *text = commy_api_key_to_text (key);

  g_assert_true (g_file_set_contents (scene->credential, text, -1, NULL));
  g_assert_cmpint (g_chmod (scene->credential, 0600), ==, 0);
  commy_credential_free (text);
}

static void
scene_set_up (Scene *scene, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  const CommyPluginDescriptor *descriptor = commy_test_load ("auth", "token", &error);

  g_assert_no_error (error);
  scene->host = commy_test_host_new (NULL, descriptor);
  scene->ops = descriptor->ops;
  scene->state = g_build_filename (commy_test_host_get_dir (scene->host), "state", NULL);
  scene->credential = g_build_filename (commy_test_host_get_dir (scene->host), "mine", NULL);
  g_assert_true (commy_api_key_new (&scene->key, NULL));
  add_key (scene->state, &scene->key, "build", 0);
  write_credential (scene, &scene->key);
  commy_test_host_set_param (scene->host, "credential", scene->credential);
  scene->instance = commy_test_host_start (scene->host, &error);
  g_assert_no_error (error);
}

static void
scene_tear_down (Scene *scene, gconstpointer data)
{
  commy_test_host_free (scene->host);
  g_free (scene->state);
  g_free (scene->credential);
}

static char *
file_of (Scene *scene)
{
  return g_build_filename (scene->state, COMMY_API_KEYS_FILE, NULL);
}

static void
test_file_has_no_key (Scene *scene, gconstpointer data)
{
  g_autofree char *path = file_of (scene);
  g_autofree char *text = NULL;
  g_autoptr (GString) hex = g_string_new (NULL);
  GStatBuf about;

  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  for (gsize i = 0; i < 4; i++)
    g_string_append_printf (hex, "%02x", scene->key.secret[i]);
  g_assert_null (strstr (text, hex->str));
  g_assert_nonnull (strstr (text, scene->key.id));
  g_assert_cmpint (g_stat (path, &about), ==, 0);
  g_assert_cmpuint (about.st_mode & 07777, ==, 0600);
}

static void
check_load_fails (Scene *scene, const char *words)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (commy_api_key_register_load (scene->state, &error));
  g_test_message ("%s", error->message);
  g_assert_nonnull (strstr (error->message, words));
}

static void
test_odd_files (Scene *scene, gconstpointer data)
{
  g_autofree char *path = file_of (scene);
  g_autofree char *other = g_strconcat (path, ".other", NULL);
  g_autofree char *text = NULL;

  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  g_chmod (path, 0640);
  check_load_fails (scene, "chmod 600");
  g_chmod (path, 0600);
  g_assert_cmpint (g_rename (path, other), ==, 0);
  g_assert_cmpint (symlink (other, path), ==, 0);
  check_load_fails (scene, "link");
  g_unlink (path);
  g_assert_cmpint (g_mkdir (path, 0700), ==, 0);
  check_load_fails (scene, "no regular file");
  g_rmdir (path);
  g_assert_cmpint (g_rename (other, path), ==, 0);
  for (gsize cut = strlen (text) - 70; cut > 60; cut -= 40)
    {
      g_assert_true (g_file_set_contents (path, text, (gssize) cut, NULL));
      g_chmod (path, 0600);
      check_load_fails (scene, "cannot be used");
    }
}

static void
test_many_keys (Scene *scene, gconstpointer data)
{
  g_autoptr (CommyApiKeyRegister) reg = commy_api_key_register_open (scene->state, NULL);
  g_autoptr (GError) error = NULL;
  CommyApiKey key = scene->key;
  guint n = 1;

  do
    {
      g_snprintf (key.id, sizeof key.id, "%012x", n);
      n++;
    }
  while (commy_api_key_register_add (reg, &key, NULL, NULL, 1, 0, &error));
  g_assert_cmpuint (n, ==, COMMY_API_KEYS_MAX + 1);
  g_assert_nonnull (strstr (error->message, "one too many"));
  g_assert_true (commy_api_key_register_save (reg, NULL));
  g_assert_true (commy_api_key_register_remove (reg, "000000000001", NULL));
  g_assert_false (commy_api_key_register_remove (reg, "000000000001", NULL));
}

static void
test_names (Scene *scene, gconstpointer data)
{
  static const char *const bad[] = { "", "a b", "a\nb", "a*", "0123456789ab", "a;b", "\xc3\xa4" };
  g_autoptr (CommyApiKeyRegister) reg = commy_api_key_register_open (scene->state, NULL);
  CommyApiKey key;

  g_assert_true (commy_api_key_new (&key, NULL));
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      const char *const scopes[] = { i == 4 ? "a b" : bad[i], NULL };

      g_assert_false (commy_api_key_register_add (reg, &key, bad[i], NULL, 1, 0, NULL));
      g_assert_false (commy_api_key_register_add (reg, &key, NULL, scopes, 1, 0, NULL));
    }
  g_assert_true (
      commy_api_key_register_add (reg, &key, "ci/build-1@example.org", NULL, 1, 0, NULL));
}

/* --- credentials --- */

static void
check_no_credential (const char *name, const char *words)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (commy_credential_get (name, COMMY_API_KEY_TEXT_MAX, &error));
  g_test_message ("%s", error->message);
  g_assert_nonnull (strstr (error->message, words));
}

static void
test_credentials (Scene *scene, gconstpointer data)
{
  g_autofree char *link = g_strconcat (scene->credential, ".link", NULL);
  g_autofree char *folder = g_path_get_dirname (scene->credential);
  g_autofree char *big = g_strnfill (COMMY_API_KEY_TEXT_MAX + 1, 'x');
  char *text;

  g_unsetenv ("CREDENTIALS_DIRECTORY");
  check_no_credential ("", "param.credential=");
  check_no_credential ("mine", "CREDENTIALS_DIRECTORY");
  check_no_credential ("../mine", "neither");
  check_no_credential ("/nowhere/at/all", "No such file");
  check_no_credential (folder, "no regular file");
  g_assert_cmpint (symlink (scene->credential, link), ==, 0);
  check_no_credential (link, "link");
  g_chmod (scene->credential, 0604);
  check_no_credential (scene->credential, "chmod 600");
  g_chmod (scene->credential, 0640);
  check_no_credential (scene->credential, "chmod 600");
  /* The service manager's own may be its group's. */
  g_setenv ("CREDENTIALS_DIRECTORY", folder, TRUE);
  text = commy_credential_get ("mine", COMMY_API_KEY_TEXT_MAX, NULL);
  g_assert_nonnull (text);
  commy_credential_free (text);
  g_unsetenv ("CREDENTIALS_DIRECTORY");
  g_assert_true (g_file_set_contents (scene->credential, big, -1, NULL));
  g_chmod (scene->credential, 0600);
  check_no_credential (scene->credential, "larger");
  g_assert_true (g_file_set_contents (scene->credential, "\n", -1, NULL));
  g_chmod (scene->credential, 0600);
  check_no_credential (scene->credential, "empty");
}

/* --- exchanges --- */

static void
side_begin_with (
    Scene *scene, AuthSide *side, gboolean accepting, guint8 binding, CommyEvidence evidence)
{
  memset (evidence.binding, binding, sizeof evidence.binding);
  auth_side_begin (side, scene->ops, scene->instance, accepting, &evidence);
}

static void
side_begin (Scene *scene, AuthSide *side, gboolean accepting, guint8 binding)
{
  side_begin_with (
      scene, side, accepting, binding,
      (CommyEvidence){ .struct_size = sizeof (CommyEvidence), .has_binding = TRUE, .pidfd = -1 });
}

/* @uid: the other side's user, as the kernel has it. */
static void
side_begin_as (Scene *scene, AuthSide *side, gboolean accepting, guint8 binding, guint32 uid)
{
  side_begin_with (scene, side, accepting, binding,
                   (CommyEvidence){ .struct_size = sizeof (CommyEvidence),
                                    .kind = COMMY_EVIDENCE_KERNEL,
                                    .uid = uid,
                                    .has_binding = TRUE,
                                    .pidfd = -1 });
}

/* Whether both accepted. */
static gboolean
run (Scene *scene, AuthSide *client, AuthSide *server, int which, int bit)
{
  g_autoptr (GBytes) bytes = NULL;
  int message = 0;

  auth_side_step (client, NULL);
  for (;;)
    {
      AuthSide *from = message % 2 == 0 ? client : server;
      AuthSide *to = message % 2 == 0 ? server : client;

      if (from->verdict == COMMY_AUTH_REFUSED || from->verdict == COMMY_AUTH_UNABLE
          || from->bytes == NULL)
        break;
      g_clear_pointer (&bytes, g_bytes_unref);
      bytes = auth_side_spoil (from->bytes, message, which, bit);
      auth_side_step (to, bytes);
      message++;
      if (to->verdict != COMMY_AUTH_CONTINUE && to->bytes == NULL)
        break;
      g_assert_cmpint (message, <=, 4);
    }
  return client->verdict == COMMY_AUTH_ACCEPTED && server->verdict == COMMY_AUTH_ACCEPTED;
}

static gboolean
try (Scene *scene, guint8 client_binding, guint8 server_binding, int which, int bit)
{
  AuthSide client, server;
  gboolean accepted;

  side_begin (scene, &client, FALSE, client_binding);
  side_begin (scene, &server, TRUE, server_binding);
  accepted = run (scene, &client, &server, which, bit);
  auth_side_end (&client);
  auth_side_end (&server);
  return accepted;
}

/* What the accepting side says of who has a good key. */
static void
check_verdict (Scene *scene, CommyAuthVerdict verdict)
{
  AuthSide client, server;

  side_begin (scene, &client, FALSE, 1);
  side_begin (scene, &server, TRUE, 1);
  g_assert_false (run (scene, &client, &server, -1, 0));
  g_assert_cmpint (server.verdict, ==, verdict);
  auth_side_end (&client);
  auth_side_end (&server);
}

static void
test_proof (Scene *scene, gconstpointer data)
{
  AuthSide client, server;
  g_autofree char *name = g_strdup_printf ("token:build\ntoken-id=%s", scene->key.id);
  g_autofree char *verifier = g_strdup_printf ("token-verifier:%s", scene->key.id);

  side_begin (scene, &client, FALSE, 1);
  side_begin (scene, &server, TRUE, 1);
  g_assert_true (run (scene, &client, &server, -1, 0));
  g_assert_cmpstr (server.text, ==, name);
  g_assert_cmpstr (client.text, ==, verifier);
  auth_side_end (&client);
  auth_side_end (&server);
}

/* Somebody between who passes everything on has another channel to each of them. */
static void
test_binding (Scene *scene, gconstpointer data)
{
  g_assert_true (try (scene, 1, 1, -1, 0));
  g_assert_false (try (scene, 1, 2, -1, 0));
}

static void
test_every_bit (Scene *scene, gconstpointer data)
{
  static const int sizes[] = { 46, 50, 34, 34 };
  guint n = 0;

  for (int message = 0; message < 4; message++)
    for (int bit = 0; bit < sizes[message] * 8; bit++)
      {
        if (try (scene, 1, 1, message, bit))
          g_error ("accepted with bit %d of message %d turned", bit, message);
        n++;
      }
  g_assert_cmpuint (n, ==, 8 * (46 + 50 + 34 + 34));
}

/* Somebody between two paths inside a host can make their bindings equal, but not who is seen. */
static void
test_users (Scene *scene, gconstpointer data)
{
  static const struct
  {
    guint32 server; /* as the client's kernel has it */
    guint32 client; /* as the server's kernel has it */
    gboolean proves;
  } cases[] = { { 0, 0, TRUE }, { 1, 0, FALSE }, { 0, 1, FALSE } };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      const guint32 own = (guint32) geteuid ();
      AuthSide client, server;

      side_begin_as (scene, &client, FALSE, 1, own + cases[i].server);
      side_begin_as (scene, &server, TRUE, 1, own + cases[i].client);
      g_assert_cmpint (run (scene, &client, &server, -1, 0), ==, cases[i].proves);
      auth_side_end (&client);
      auth_side_end (&server);
    }
}

/* What a listener heard is of no use in another exchange, over the same binding even. */
static void
test_replay (Scene *scene, gconstpointer data)
{
  AuthSide client, server, again;
  g_autoptr (GBytes) first = NULL;
  g_autoptr (GBytes) proof = NULL;

  side_begin (scene, &client, FALSE, 1);
  side_begin (scene, &server, TRUE, 1);
  auth_side_step (&client, NULL);
  first = g_bytes_ref (client.bytes);
  auth_side_step (&server, first);
  auth_side_step (&client, server.bytes);
  proof = g_bytes_ref (client.bytes);
  side_begin (scene, &again, TRUE, 1);
  auth_side_step (&again, first);
  g_assert_cmpint (again.verdict, ==, COMMY_AUTH_CONTINUE);
  auth_side_step (&again, proof);
  g_assert_cmpint (again.verdict, ==, COMMY_AUTH_REFUSED);
  /* And the message that was right once is not taken twice in one exchange. */
  auth_side_step (&server, proof);
  g_assert_cmpint (server.verdict, ==, COMMY_AUTH_ACCEPTED);
  auth_side_step (&server, proof);
  g_assert_cmpint (server.verdict, ==, COMMY_AUTH_REFUSED);
  auth_side_end (&client);
  auth_side_end (&server);
  auth_side_end (&again);
}

/* Between the challenge and the proof. */
static void
test_revoked_meanwhile (Scene *scene, gconstpointer data)
{
  g_autoptr (CommyApiKeyRegister) reg = NULL;
  AuthSide client, server;

  side_begin (scene, &client, FALSE, 1);
  side_begin (scene, &server, TRUE, 1);
  auth_side_step (&client, NULL);
  auth_side_step (&server, client.bytes);
  auth_side_step (&client, server.bytes);
  reg = commy_api_key_register_open (scene->state, NULL);
  g_assert_true (commy_api_key_register_revoke (reg, scene->key.id, NULL));
  g_assert_true (commy_api_key_register_save (reg, NULL));
  auth_side_step (&server, client.bytes);
  g_assert_cmpint (server.verdict, ==, COMMY_AUTH_REFUSED);
  g_assert_nonnull (strstr (server.text, "revoked"));
  auth_side_end (&client);
  auth_side_end (&server);
}

static void
test_no_binding (Scene *scene, gconstpointer data)
{
  CommyEvidence evidence = { .struct_size = sizeof evidence, .pidfd = -1 };
  AuthSide side;

  side_begin (scene, &side, FALSE, 1);
  scene->ops->begin (scene->instance, side.session, &evidence, FALSE);
  auth_side_step (&side, NULL);
  g_assert_cmpint (side.verdict, ==, COMMY_AUTH_REFUSED);
  g_assert_nonnull (strstr (side.text, "binding"));
  auth_side_end (&side);
}

/* The file counts as it is now: keys that end, go and come, and a file that is damaged. */
static void
test_changes (Scene *scene, gconstpointer data)
{
  g_autofree char *path = file_of (scene);
  gint64 now = g_get_real_time () / G_USEC_PER_SEC;
  g_autoptr (CommyApiKeyRegister) reg = NULL;
  CommyApiKey other;

  g_assert_true (try (scene, 1, 1, -1, 0));
  g_assert_true (commy_api_key_new (&other, NULL));
  write_credential (scene, &other);
  g_assert_false (try (scene, 1, 1, -1, 0));
  add_key (scene->state, &other, NULL, now - 1);
  g_assert_false (try (scene, 1, 1, -1, 0)); /* it had expired */
  write_credential (scene, &scene->key);
  g_assert_true (try (scene, 1, 1, -1, 0));
  g_assert_true (g_file_set_contents (path, "[x]\n", -1, NULL));
  g_chmod (path, 0600);
  check_verdict (scene, COMMY_AUTH_UNABLE); /* which is no fault of the caller's */
  check_verdict (scene, COMMY_AUTH_UNABLE);
  g_assert_cmpuint (commy_test_host_count_log (scene->host, "no token is accepted"), ==, 1);
  g_unlink (path);
  check_verdict (scene, COMMY_AUTH_REFUSED);
  add_key (scene->state, &scene->key, NULL, now + 1000);
  g_assert_true (try (scene, 1, 1, -1, 0));
  reg = commy_api_key_register_open (scene->state, NULL);
  g_assert_true (commy_api_key_register_revoke (reg, scene->key.id, NULL));
  g_assert_true (commy_api_key_register_save (reg, NULL));
  g_assert_false (try (scene, 1, 1, -1, 0));
}

/* However many look at a file that is no good, it is read once a second, and at once when it is
 * another one. */
static void
test_retries (Scene *scene, gconstpointer data)
{
  const gint64 second = COMMY_KEPT_RETRY_NS;
  static const struct
  {
    gint64 at;
    gboolean is_limited, is_read, is_told;
  } steps[] = { { 0, TRUE, FALSE, TRUE },      { 0, FALSE, FALSE, FALSE },
                { 999, FALSE, FALSE, FALSE },  { 1000, TRUE, FALSE, FALSE },
                { 1500, FALSE, FALSE, FALSE }, { 2000, FALSE, TRUE, FALSE } };
  CommyKeptRegister kept = { 0 };
  struct rlimit before, none;

  g_assert_cmpint (getrlimit (RLIMIT_NOFILE, &before), ==, 0);
  none = (struct rlimit){ .rlim_cur = 0, .rlim_max = before.rlim_max };
  for (gsize i = 0; i < G_N_ELEMENTS (steps); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_cmpint (setrlimit (RLIMIT_NOFILE, steps[i].is_limited ? &none : &before), ==, 0);
      error = commy_kept_register_refresh (&kept, &commy_api_key_register_kind, scene->state,
                                           COMMY_API_KEYS_FILE, steps[i].at * (second / 1000));
      g_assert_cmpint (setrlimit (RLIMIT_NOFILE, &before), ==, 0);
      g_assert_true ((kept.reg != NULL) == steps[i].is_read);
      g_assert_true ((error != NULL) == steps[i].is_told);
    }
  commy_kept_register_clear (&kept);
}

/* The file is damaged between the challenge and the proof. */
static void
test_damaged_meanwhile (Scene *scene, gconstpointer data)
{
  g_autofree char *path = file_of (scene);
  AuthSide client, server;

  side_begin (scene, &client, FALSE, 1);
  side_begin (scene, &server, TRUE, 1);
  auth_side_step (&client, NULL);
  auth_side_step (&server, client.bytes);
  auth_side_step (&client, server.bytes);
  g_assert_true (g_file_set_contents (path, "[x]\n", -1, NULL));
  g_chmod (path, 0600);
  auth_side_step (&server, client.bytes);
  g_assert_cmpint (server.verdict, ==, COMMY_AUTH_UNABLE);
  auth_side_end (&client);
  auth_side_end (&server);
}

/* A challenge for each id, the same one every time. */
static void
test_unknown_id (Scene *scene, gconstpointer data)
{
  guint8 peppers[2][50];

  for (int i = 0; i < 2; i++)
    {
      g_autoptr (GBytes) first = NULL;
      guint8 message[46] = "T1ffffffffffff";
      gsize size;
      AuthSide server;

      first = g_bytes_new (message, sizeof message);
      side_begin (scene, &server, TRUE, 1);
      auth_side_step (&server, first);
      g_assert_cmpint (server.verdict, ==, COMMY_AUTH_CONTINUE);
      memcpy (peppers[i], g_bytes_get_data (server.bytes, &size), sizeof peppers[i]);
      g_assert_cmpuint (size, ==, sizeof peppers[i]);
      auth_side_end (&server);
    }
  g_assert_cmpmem (peppers[0], 18, peppers[1], 18);
  g_assert_cmpint (memcmp (peppers[0] + 18, peppers[1] + 18, 32), !=, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/auth/token/a-key-as-text-is-as-others-make-it", test_text);
  g_test_add_func ("/auth/token/a-damaged-key-is-none", test_damaged_text);
  g_test_add_func ("/auth/token/a-proof-is-as-others-compute-it", test_known_proof);
#define ADD(NAME, FUNC) \
  g_test_add ("/auth/token/" NAME, Scene, NULL, scene_set_up, FUNC, scene_tear_down)
  ADD ("the-file-does-not-have-the-key", test_file_has_no_key);
  /* attack: a file of tokens that others could write; defence: it does not count; test:
   * /auth/token/a-file-that-others-could-write-does-not-count */
  ADD ("a-file-that-others-could-write-does-not-count", test_odd_files);
  ADD ("there-are-at-most-1024", test_many_keys);
  ADD ("names-and-scopes-are-words", test_names);
  ADD ("a-credential-is-for-its-owner-only", test_credentials);
  ADD ("both-sides-prove-what-they-know", test_proof);
  /* attack: pass a proof on over another connection; defence: it is bound to the connection; test:
   * /auth/token/a-proof-is-for-one-channel */
  ADD ("a-proof-is-for-one-channel", test_binding);
  ADD ("a-proof-is-between-two-users", test_users);
  ADD ("with-any-bit-turned-nobody-accepts", test_every_bit);
  /* attack: replay what was heard of a token; defence: the token itself is never sent, and a proof
   * is good for one question; test: /auth/token/what-was-heard-is-of-no-use */
  ADD ("what-was-heard-is-of-no-use", test_replay);
  ADD ("without-a-binding-nothing-is-proved", test_no_binding);
  ADD ("the-files-count-as-they-are-now", test_changes);
  ADD ("a-key-may-be-revoked-in-the-middle", test_revoked_meanwhile);
  ADD ("a-file-that-is-no-good-is-tried-once-a-second", test_retries);
  ADD ("the-file-may-be-damaged-in-the-middle", test_damaged_meanwhile);
  ADD ("an-unknown-id-is-challenged-like-any", test_unknown_id);
#undef ADD
  return g_test_run ();
}
