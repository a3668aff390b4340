/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The provider `totp`: every exchange that must not succeed, and the sessions that save one.
 */
#include "config.h"

#include "auth-side.h"
#include "auth/common/commy-credential.h"
#include "auth/totp/commy-totp-kept.h"
#include "totp-scene.h"

#include <glib/gstdio.h>
#include <string.h>

#define THEN G_GINT64_CONSTANT (2000000000)

/* --- exchanges --- */

typedef struct
{
  CommyEvidence client, server;
} Paths;

static Paths
good_paths (void)
{
  return (Paths){ .client = auth_side_evidence (7, SERVICE),
                  .server = auth_side_evidence (7, ANN) };
}

static void
run (Scene *scene, const Paths *paths, AuthSide *client, AuthSide *server, int which, int bit)
{
  AuthSide *sides[] = { client, server };

  auth_side_begin (client, scene->ops, scene->instance, FALSE, &paths->client);
  auth_side_begin (server, scene->ops, scene->instance, TRUE, &paths->server);
  auth_side_step_sync (client, NULL);
  for (int message = 0; message < 3; message++)
    {
      AuthSide *from = sides[message % 2];
      g_autoptr (GBytes) bytes = NULL;

      if (from->verdict == COMMY_AUTH_REFUSED)
        return;
      bytes = auth_side_spoil (from->bytes, message, which, bit);
      auth_side_step_sync (sides[(message + 1) % 2], bytes);
    }
  while (client->verdict == COMMY_AUTH_CONTINUE && server->verdict != COMMY_AUTH_REFUSED)
    {
      g_autoptr (GBytes) answer
          = server->bytes != NULL ? g_bytes_ref (server->bytes) : g_bytes_new (NULL, 0);
      gboolean goes_on = server->verdict == COMMY_AUTH_CONTINUE;

      auth_side_step_sync (client, answer);
      if (goes_on && client->verdict != COMMY_AUTH_REFUSED)
        auth_side_step_sync (server, client->bytes);
    }
}

/* By a secret, a code or a session: what a connection rests on is the secret. */
static void
check_proof_id (Scene *scene, const AuthSide *server)
{
  CommyProof proof = { .struct_size = sizeof proof };
  const char *id = server->text + strlen ("totp:");
  g_autofree char *expected = g_strdup_printf ("totp-id:%.12s", id);

  g_assert_true (scene->ops->proof (scene->instance, NULL, server->session, &proof));
  g_assert_cmpstr (proof.id, ==, expected);
}

/* @words: why not, of either side; NULL: it is accepted. */
static void
check_exchange (Scene *scene, Paths paths, int which, int bit, const char *words)
{
  AuthSide client, server;

  run (scene, &paths, &client, &server, which, bit);
  if (words == NULL)
    {
      g_assert_cmpint (client.verdict, ==, COMMY_AUTH_NOT_MINE);
      if (server.verdict != COMMY_AUTH_ACCEPTED)
        g_error ("refused: %s", server.text);
      g_assert_true (g_str_has_prefix (server.text, "totp:"));
      g_assert_nonnull (strstr (server.text, "\nfor=" ANN));
      check_proof_id (scene, &server);
    }
  else
    {
      const char *said = client.verdict == COMMY_AUTH_REFUSED ? client.text : server.text;

      g_assert_cmpint (server.verdict, !=, COMMY_AUTH_ACCEPTED);
      if (strstr (said, words) == NULL)
        g_error ("\"%s\" does not say \"%s\"", said, words);
    }
  auth_side_end (&client);
  auth_side_end (&server);
}

static void
test_proof (Scene *scene, gconstpointer data)
{
  Paths paths = good_paths ();

  /* Of each connection, however many in how short a time. */
  for (guint i = 0; i < 3; i++)
    check_exchange (scene, paths, -1, 0, NULL);
  /* Where others listen, too, and to whom no code is shown. */
  paths.client.security = paths.server.security = COMMY_SECURITY_AUTHENTICATED;
  paths.client.principal = BOB;
  check_exchange (scene, paths, -1, 0, NULL);
}

static void
test_proof_is_bound (Scene *scene, gconstpointer data)
{
  Paths paths = good_paths ();

  paths.server.binding[31] ^= 1;
  check_exchange (scene, paths, -1, 0, "proof is wrong");
  paths = good_paths ();
  paths.server.principal = BOB;
  check_exchange (scene, paths, -1, 0, BOB " has no one-time codes");
  paths.server.principal = NULL;
  check_exchange (scene, paths, -1, 0, "a code is a second factor");
  paths = good_paths ();
  paths.server.has_binding = FALSE;
  check_exchange (scene, paths, -1, 0, "no binding");
}

static void
test_each_bit (Scene *scene, gconstpointer data)
{
  for (int message = 0; message < 3; message++)
    for (int bit = 0; bit < (message == 2 ? 35 : 34) * 8; bit++)
      check_exchange (scene, good_paths (), message, bit, "");
}

static void
write_code (Scene *scene, int steps)
{
  char code[COMMY_TOTP_DIGITS_MAX + 1];
  gint64 step = commy_totp_step (g_get_real_time () / G_USEC_PER_SEC) + steps;

  commy_totp_code (&scene->key, step, code);
  scene_write_credential (scene, code);
}

static void
test_shown_code (Scene *scene, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  Paths paths = good_paths ();

  write_code (scene, 0);
  paths.client.security = COMMY_SECURITY_AUTHENTICATED;
  check_exchange (scene, paths, -1, 0, "not confidential");
  paths = good_paths ();
  paths.client.principal = NULL;
  check_exchange (scene, paths, -1, 0, "has not proved who it is");
  paths.client.principal = BOB;
  check_exchange (scene, paths, -1, 0, "show-to of [plugin auth/totp] does not name " BOB);
  check_exchange (scene, good_paths (), -1, 0, NULL);
  check_exchange (scene, good_paths (), -1, 0, "used before");
  /* Not after a restart either. */
  commy_test_host_stop (scene->host);
  scene->instance = commy_test_host_start (scene->host, &error);
  g_assert_no_error (error);
  check_exchange (scene, good_paths (), -1, 0, "");
}

/* From the secret, where the path has no binding to prove it over. */
static void
test_code_of_a_secret (Scene *scene, gconstpointer data)
{
  Paths paths = good_paths ();

  paths.client.has_binding = paths.server.has_binding = FALSE;
  check_exchange (scene, paths, -1, 0, NULL);
}

static void
test_shown_backup_code (Scene *scene, gconstpointer data)
{
  g_autofree char *all = NULL;

  scene_write_credential (scene, scene->codes->pdata[3]);
  check_exchange (scene, good_paths (), -1, 0, NULL);
  check_exchange (scene, good_paths (), -1, 0, "wrong");
  /* What `commy totp enrol` prints, as a whole. */
  all = g_strdup_printf ("%s\n%s\n", scene->uri, (char *) scene->codes->pdata[4]);
  scene_write_credential (scene, all);
  check_exchange (scene, good_paths (), -1, 0, NULL);
}

static void
test_bad_credentials (Scene *scene, gconstpointer data)
{
  g_autofree char *much = g_strnfill (33, '1');

  scene_write_credential (scene, much);
  check_exchange (scene, good_paths (), -1, 0, "neither a code nor an otpauth address");
  scene_write_credential (scene, "otpauth://totp/x?secret=A");
  check_exchange (scene, good_paths (), -1, 0, "no secret for one-time codes");
  g_assert_cmpint (g_unlink (scene->credential), ==, 0);
  check_exchange (scene, good_paths (), -1, 0, "No such file");
}

/* --- afterwards --- */

static CommyProofState
ask_stands (Scene *scene, const char *id, const char *words)
{
  char reason[128] = "";
  CommyProofState state = scene->ops->stands (scene->instance, id, reason, sizeof reason);

  if (strstr (reason, words) == NULL)
    g_error ("\"%s\" does not say \"%s\"", reason, words);
  return state;
}

static void
end_secret (Scene *scene, gboolean (*end) (CommyRegister *reg, const char *id, GError **error))
{
  g_autoptr (CommyTotpRegister) reg = commy_totp_register_open (scene->state, NULL, NULL);
  g_autoptr (GPtrArray) list = commy_totp_register_list (reg);
  g_autofree char *id = g_strdup (((CommyTotpEntry *) list->pdata[0])->id);

  g_assert_true (end (reg, id, NULL));
  g_assert_true (commy_totp_register_save (reg, NULL));
}

/* (transfer full): what a connection rests on that was let in just now. */
static char *
dup_proof_id (Scene *scene)
{
  Paths paths = good_paths ();
  CommyProof proof = { .struct_size = sizeof proof };
  AuthSide client, server;

  auth_side_begin (&server, scene->ops, scene->instance, TRUE, &paths.server);
  g_assert_false (scene->ops->proof (scene->instance, NULL, server.session, &proof));
  g_assert_false (scene->ops->proof (scene->instance, NULL, NULL, &proof));
  auth_side_end (&server);
  run (scene, &paths, &client, &server, -1, 0);
  g_assert_cmpint (server.verdict, ==, COMMY_AUTH_ACCEPTED);
  g_assert_true (scene->ops->proof (scene->instance, NULL, server.session, &proof));
  g_assert_cmpint (proof.until_s, ==, 0);
  auth_side_end (&client);
  auth_side_end (&server);
  return g_strdup (proof.id);
}

/* A connection rests on its second factor, too. */
static void
test_stands (Scene *scene, gconstpointer data)
{
  g_autofree char *path = scene_dup_path (scene);
  g_autofree char *by_secret = dup_proof_id (scene);
  g_autofree char *by_code = NULL;

  g_assert_true (g_str_has_prefix (by_secret, "totp-id:"));
  scene_write_credential (scene, scene->codes->pdata[0]);
  by_code = dup_proof_id (scene);
  g_assert_cmpstr (by_code, ==, by_secret);
  g_assert_cmpint (ask_stands (scene, by_secret, ""), ==, COMMY_PROOF_GOOD);
  end_secret (scene, commy_register_revoke);
  g_assert_cmpint (ask_stands (scene, by_secret, "it is revoked"), ==, COMMY_PROOF_REVOKED);
  end_secret (scene, commy_register_remove);
  g_assert_cmpint (ask_stands (scene, by_secret, "it is gone"), ==, COMMY_PROOF_REVOKED);
  /* Of others it knows nothing. */
  g_assert_cmpint (ask_stands (scene, "token-id:000000000000", ""), ==, COMMY_PROOF_GOOD);
  /* What cannot be read takes nothing back, and is told once. */
  g_assert_true (g_file_set_contents (path, "[x]\n", -1, NULL));
  g_assert_cmpint (g_chmod (path, 0600), ==, 0);
  g_assert_cmpint (ask_stands (scene, by_secret, ""), ==, COMMY_PROOF_GOOD);
  g_assert_cmpint (ask_stands (scene, by_secret, ""), ==, COMMY_PROOF_GOOD);
  g_assert_cmpuint (commy_test_host_count_log (scene->host, "whether one-time codes were revoked"),
                    ==, 1);
}

/* --- sessions --- */

static void
allow_sessions (Scene *scene)
{
  g_autoptr (GError) error = NULL;

  commy_test_host_stop (scene->host);
  commy_test_host_set_param (scene->host, "session-life", "7200s");
  commy_test_host_set_param (scene->host, "session-idle", "3600s");
  scene->instance = commy_test_host_start (scene->host, &error);
  g_assert_no_error (error);
}

static CommyApiKeyRegister *
open_sessions (Scene *scene)
{
  g_autoptr (GError) error = NULL;
  CommyApiKeyRegister *reg
      = commy_api_key_register_open_file (scene->state, COMMY_SESSIONS_FILE, &error);

  g_assert_no_error (error);
  return reg;
}

/* Of one session. (transfer full) */
static char *
only_session (Scene *scene)
{
  g_autoptr (CommyApiKeyRegister) reg = open_sessions (scene);
  g_autoptr (GPtrArray) list = commy_api_key_register_list (reg);

  g_assert_cmpuint (list->len, ==, 1);
  g_assert_cmpstr (((CommyApiKeyEntry *) list->pdata[0])->principal, ==, ANN);
  return g_strdup (((CommyApiKeyEntry *) list->pdata[0])->id);
}

static void
forget_code (Scene *scene)
{
  g_assert_cmpint (g_unlink (scene->credential), ==, 0);
}

static void
test_session (Scene *scene, gconstpointer data)
{
  g_autofree char *id = NULL;
  g_autoptr (CommyApiKeyRegister) reg = NULL;

  allow_sessions (scene);
  write_code (scene, 0);
  check_exchange (scene, good_paths (), -1, 0, NULL);
  forget_code (scene);
  for (guint i = 0; i < 3; i++)
    check_exchange (scene, good_paths (), -1, 0, NULL);
  id = only_session (scene);
  reg = open_sessions (scene);
  g_assert_true (commy_api_key_register_revoke (reg, id, NULL));
  g_assert_true (commy_api_key_register_save (reg, NULL));
  g_clear_pointer (&reg, commy_api_key_register_free);
  check_exchange (scene, good_paths (), -1, 0, "No such file"); /* a code is wanted again */
  scene_write_credential (scene, scene->codes->pdata[0]);
  check_exchange (scene, good_paths (), -1, 0, NULL);
}

/* In the same exchange, where a code is at hand. */
static void
test_session_and_then_a_code (Scene *scene, gconstpointer data)
{
  g_autofree char *path = g_build_filename (scene->state, COMMY_SESSIONS_FILE, NULL);

  allow_sessions (scene);
  write_code (scene, 0);
  check_exchange (scene, good_paths (), -1, 0, NULL);
  g_assert_cmpint (g_unlink (path), ==, 0);
  scene_write_credential (scene, scene->codes->pdata[0]);
  check_exchange (scene, good_paths (), -1, 0, NULL);
  check_exchange (scene, good_paths (), -1, 0, NULL);
}

static void
test_session_is_bound (Scene *scene, gconstpointer data)
{
  Paths paths = good_paths ();

  allow_sessions (scene);
  scene_write_credential (scene, scene->codes->pdata[7]);
  check_exchange (scene, good_paths (), -1, 0, NULL);
  forget_code (scene);
  paths.server.binding[0] ^= 1;
  check_exchange (scene, paths, -1, 0, "No such file");
  allow_sessions (scene);
  scene_write_credential (scene, scene->codes->pdata[8]);
  check_exchange (scene, good_paths (), -1, 0, NULL);
  forget_code (scene);
  paths = good_paths ();
  paths.server.principal = BOB;
  check_exchange (scene, paths, -1, 0, "No such file");
}

/* Who listens would have it; and without a word in the keyfile there is none. */
static void
test_no_session (Scene *scene, gconstpointer data)
{
  g_autofree char *path = g_build_filename (scene->state, COMMY_SESSIONS_FILE, NULL);
  Paths paths = good_paths ();

  scene_write_credential (scene, scene->codes->pdata[0]);
  check_exchange (scene, paths, -1, 0, NULL);
  g_assert_false (g_file_test (path, G_FILE_TEST_EXISTS));
  allow_sessions (scene);
  scene_write_credential (scene, scene->codes->pdata[1]);
  paths.server.security = COMMY_SECURITY_AUTHENTICATED;
  check_exchange (scene, paths, -1, 0, NULL);
  g_assert_false (g_file_test (path, G_FILE_TEST_EXISTS));
}

static void
test_session_ends_with_its_secret (Scene *scene, gconstpointer data)
{
  CommyTotpRegister *reg;
  g_autoptr (GPtrArray) list = NULL;
  g_autoptr (GPtrArray) codes = NULL;

  allow_sessions (scene);
  write_code (scene, 0);
  check_exchange (scene, good_paths (), -1, 0, NULL);
  forget_code (scene);
  reg = commy_totp_register_open (scene->state, NULL, NULL);
  list = commy_totp_register_list (reg);
  g_assert_true (commy_totp_register_revoke (reg, ((CommyTotpEntry *) list->pdata[0])->id, NULL));
  g_assert_true (commy_totp_register_save (reg, NULL));
  commy_totp_register_free (reg);
  scene_enrol (scene, ANN, &scene->key, &codes);
  check_exchange (scene, good_paths (), -1, 0, "No such file");
}

static const CommySessionRules session_rules = { .idle_s = 3600, .life_s = 7200 };

static void
check_session_at (Scene *scene,
                  const CommySessionGrant *grant,
                  const char *principal,
                  gint64 now_s,
                  const char *words)
{
  guint8 transcript[32] = { 5 }, proof[32], answer[32];
  g_autoptr (GError) error = NULL;
  g_autofree char *factor = NULL;

  commy_api_key_prove (&grant->key, grant->pepper, transcript, proof, answer);
  factor = commy_session_check (scene->state, &session_rules, principal, grant->key.id, transcript,
                                proof, now_s, &error);
  if (words == NULL)
    {
      g_assert_no_error (error);
      g_assert_cmpstr (factor, ==, "factor");
    }
  else if (factor != NULL || strstr (error->message, words) == NULL)
    g_error ("it does not say \"%s\"", words);
}

static void
issue (Scene *scene, const char *principal, gint64 now_s, CommySessionGrant *out_grant)
{
  g_autoptr (GError) error = NULL;

  commy_session_issue (scene->state, &session_rules, principal, "factor", now_s, out_grant, &error);
  g_assert_no_error (error);
}

static void
test_session_times (Scene *scene, gconstpointer data)
{
  CommySessionGrant grant, other;

  issue (scene, ANN, THEN, &grant);
  g_assert_cmpint (grant.ends_s, ==, THEN + 7200);
  check_session_at (scene, &grant, ANN, THEN, NULL);
  check_session_at (scene, &grant, BOB, THEN, "counts only as");
  check_session_at (scene, &grant, ANN, THEN + 3599, NULL); /* and lives longer now */
  check_session_at (scene, &grant, ANN, THEN + 7198, NULL);
  check_session_at (scene, &grant, ANN, THEN + 7200, "expired");
  issue (scene, ANN, THEN, &other);
  check_session_at (scene, &other, ANN, THEN + 3600, "expired");
  issue (scene, BOB, THEN + 7200, &grant); /* sweeps */
  check_session_at (scene, &other, ANN, THEN, "there is no such session");
}

static void
test_session_bits (Scene *scene, gconstpointer data)
{
  guint8 transcript[32] = { 5 }, proof[32], answer[32];
  CommySessionGrant grant;

  issue (scene, ANN, THEN, &grant);
  commy_api_key_prove (&grant.key, grant.pepper, transcript, proof, answer);
  for (int bit = 0; bit < 64 * 8; bit++)
    {
      guint8 *byte = bit < 256 ? &proof[bit / 8] : &transcript[(bit - 256) / 8];

      *byte ^= (guint8) (1 << bit % 8);
      g_assert_null (commy_session_check (scene->state, &session_rules, ANN, grant.key.id,
                                          transcript, proof, THEN, NULL));
      *byte ^= (guint8) (1 << bit % 8);
    }
  check_session_at (scene, &grant, ANN, THEN, NULL);
}

/* No other gives way, and when one has ended there is room. */
static void
test_many_sessions (Scene *scene, gconstpointer data)
{
  CommySessionGrant grants[COMMY_SESSIONS_PRINCIPAL_MAX], another, bobs;
  g_autoptr (GError) error = NULL;

  issue (scene, BOB, THEN, &bobs);
  for (gsize i = 0; i < G_N_ELEMENTS (grants); i++)
    issue (scene, ANN, THEN + (gint64) i, &grants[i]);
  g_assert_false (commy_session_issue (scene->state, &session_rules, ANN, "factor", THEN + 20,
                                       &another, &error));
  g_assert_cmpint (error->code, ==, COMMY_ERROR_BUSY);
  g_assert_cmpstr (another.key.id, ==, "");
  for (gsize i = 0; i < G_N_ELEMENTS (grants); i++)
    check_session_at (scene, &grants[i], ANN, THEN + 20, NULL);
  check_session_at (scene, &bobs, BOB, THEN + 20, NULL);
  issue (scene, ANN, THEN + session_rules.idle_s, &another);
  check_session_at (scene, &another, ANN, THEN + session_rules.idle_s, NULL);
}

static void
test_kept_sessions (Scene *scene, gconstpointer data)
{
  TotpKept *kept = totp_kept_new ();
  CommySessionGrant grant, again;
  guint8 bytes[TOTP_GRANT_SIZE];

  for (guint i = 0; i <= TOTP_KEPT_MAX; i++)
    {
      g_autofree char *service = g_strdup_printf ("unix:uid=%u", i);

      issue (scene, service, THEN + i, &grant);
      totp_grant_write (&grant, bytes);
      g_assert_true (totp_grant_read (bytes, &again));
      g_assert_cmpmem (&again, sizeof again, &grant, sizeof grant);
      totp_kept_add (kept, service, &grant);
    }
  g_assert_cmpuint (totp_kept_get_n (kept), ==, TOTP_KEPT_MAX);
  g_assert_null (totp_kept_find (kept, "unix:uid=0", THEN));
  g_assert_nonnull (totp_kept_find (kept, "unix:uid=64", THEN));
  g_assert_null (totp_kept_find (kept, "unix:uid=1", THEN + 7201));
  g_assert_cmpuint (totp_kept_get_n (kept), ==, TOTP_KEPT_MAX - 1);
  bytes[3] = 'x';
  g_assert_false (totp_grant_read (bytes, &again));
  totp_kept_free (kept);
}

/* --- more than there can be --- */

static void
begin_check (Scene *scene, AuthSide *side, const char *who, const char *answer)
{
  guint8 hello[34] = "H1";
  CommyEvidence evidence = auth_side_evidence (7, who);
  g_autoptr (GBytes) first = g_bytes_new (hello, sizeof hello);
  g_autoptr (GBytes) third = g_bytes_new (answer, strlen (answer));

  auth_side_begin (side, scene->ops, scene->instance, TRUE, &evidence);
  auth_side_step_sync (side, first);
  g_assert_cmpint (side->verdict, ==, COMMY_AUTH_CONTINUE);
  auth_side_step (side, third);
}

static void
test_many_at_once (Scene *scene, gconstpointer data)
{
  AuthSide sides[34];

  for (guint i = 0; i < G_N_ELEMENTS (sides); i++)
    {
      /* One with a check more than it may have, and others with as many as there are. */
      g_autofree char *who = g_strdup_printf (ANN "%u", i <= 8 ? 0 : (i - 1) / 8);

      begin_check (scene, &sides[i], who, "H3c000000");
      if (i != 8 && i != 33)
        continue;
      g_assert_cmpint (sides[i].verdict, ==, COMMY_AUTH_UNABLE);
      g_assert_nonnull (strstr (sides[i].text, "too many checks"));
    }
  for (gsize i = 0; i < G_N_ELEMENTS (sides); i++)
    {
      while (i % 2 == 0 && sides[i].n_answers < 2)
        g_main_context_iteration (NULL, TRUE);
      auth_side_end (&sides[i]); /* of the others the answer is not awaited */
    }
  check_exchange (scene, good_paths (), -1, 0, NULL);
}

/* What is wrong with this side's files is no fault of who comes. */
static void
test_damaged_file (Scene *scene, gconstpointer data)
{
  g_autofree char *path = scene_dup_path (scene);
  AuthSide side;

  g_assert_true (g_file_set_contents (path, "[x]\n", -1, NULL));
  g_assert_cmpint (g_chmod (path, 0600), ==, 0);
  begin_check (scene, &side, ANN, "H3c000000");
  while (side.n_answers < 2)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpint (side.verdict, ==, COMMY_AUTH_UNABLE);
  auth_side_end (&side);
}

static void
test_odd_answers (Scene *scene, gconstpointer data)
{
  static const char *const answers[] = {
    "",
    "H3",
    "H3c",
    "H3p",
    "H3x123456",
    "H2c12",
    "H3c12\n456",
    "H3c\1",
    "H3c12345678901234567890123456789012x",
    "H3pxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
  };

  for (gsize i = 0; i < G_N_ELEMENTS (answers); i++)
    {
      AuthSide side;

      begin_check (scene, &side, ANN, answers[i]);
      g_assert_cmpint (side.verdict, ==, COMMY_AUTH_REFUSED);
      auth_side_step_sync (&side, NULL); /* nobody waits for more */
      g_assert_cmpint (side.verdict, ==, COMMY_AUTH_REFUSED);
      auth_side_end (&side);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(NAME, FUNC) \
  g_test_add ("/auth/totp/" NAME, Scene, NULL, scene_set_up, FUNC, scene_tear_down)
  ADD ("exchange/proof", test_proof);
  /* attack: pass the proof of a one-time secret on; defence: it is bound to the connection and
   * to who shows it; test: /auth/totp/exchange/proof-is-bound-to-channel-and-principal */
  ADD ("exchange/proof-is-bound-to-channel-and-principal", test_proof_is_bound);
  ADD ("exchange/each-bit-matters", test_each_bit);
  ADD ("exchange/code-is-shown-to-few-and-once", test_shown_code);
  ADD ("exchange/code-where-there-is-no-binding", test_code_of_a_secret);
  ADD ("exchange/code-of-reserve", test_shown_backup_code);
  ADD ("exchange/bad-credentials", test_bad_credentials);
  /* attack: go on over a connection when the second factor of its set-up was revoked; defence: a
   * connection rests on each of its proofs; test: /auth/totp/exchange/can-be-taken-back */
  ADD ("exchange/can-be-taken-back", test_stands);
  ADD ("session/needs-no-code-until-it-is-revoked", test_session);
  ADD ("session/that-is-gone-is-followed-by-a-code", test_session_and_then_a_code);
  /* attack: use the session of somebody else; defence: it is bound to the connection and to its
   * principal; test: /auth/totp/session/is-bound-to-channel-and-principal */
  ADD ("session/is-bound-to-channel-and-principal", test_session_is_bound);
  ADD ("session/is-not-given-where-others-listen", test_no_session);
  ADD ("session/ends-with-its-secret", test_session_ends_with_its_secret);
  ADD ("session/ends-in-time", test_session_times);
  ADD ("session/each-bit-matters", test_session_bits);
  /* attack: end another's sessions of one host by codes of the same principal; defence: who has as
   * many as it may is given no other; test: /auth/totp/session/many-of-one-principal */
  ADD ("session/many-of-one-principal", test_many_sessions);
  ADD ("session/many-of-one-caller", test_kept_sessions);
  ADD ("exchange/many-at-once", test_many_at_once);
  ADD ("exchange/damaged-file", test_damaged_file);
  ADD ("exchange/odd-answers", test_odd_answers);
#undef ADD
  return g_test_run ();
}
