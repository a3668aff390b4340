/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One-time codes: against RFC 6238, oathtool, who uses one twice, who guesses, and who changes the
 * file; and every exchange of the provider `totp` that must not succeed.
 */
#include "config.h"

#include "auth-side.h"
#include "auth/common/commy-credential.h"
#include "auth/common/commy-totp-private.h"
#include "auth/totp/commy-totp-kept.h"
#include "tests/conformance/commy-test-host.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ANN "spiffe://test-00000000/host/h/user/ann"
#define BOB "spiffe://test-00000000/host/h/user/bob"
#define SERVICE "spiffe://test-00000000/host/h/user/service"
#define THEN G_GINT64_CONSTANT (2000000000)

/* --- codes --- */

static void
make_rfc_key (CommyTotpHash hash, gsize size, CommyTotpKey *out_key)
{
  memset (out_key, 0, sizeof *out_key);
  out_key->hash = hash;
  out_key->digits = 8;
  out_key->secret_size = size;
  for (gsize i = 0; i < size; i++)
    out_key->secret[i] = (guint8) ('0' + (i + 1) % 10);
}

/* RFC 6238, appendix B. */
static void
test_rfc (void)
{
  static const struct
  {
    gint64 time_s;
    const char *codes[3];
  } cases[] = {
    { 59, { "94287082", "46119246", "90693936" } },
    { 1111111109, { "07081804", "68084774", "25091201" } },
    { 1111111111, { "14050471", "67062674", "99943326" } },
    { 1234567890, { "89005924", "91819424", "93441116" } },
    { 2000000000, { "69279037", "90698825", "38618901" } },
    { 20000000000, { "65353130", "77737706", "47863826" } },
  };
  static const gsize sizes[] = { 20, 32, 64 };
  char code[COMMY_TOTP_DIGITS_MAX + 1];
  CommyTotpKey key;

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    for (guint hash = COMMY_TOTP_SHA1; hash <= COMMY_TOTP_SHA512; hash++)
      {
        make_rfc_key ((CommyTotpHash) hash, sizes[hash], &key);
        commy_totp_code (&key, commy_totp_step (cases[i].time_s), code);
        g_assert_cmpstr (code, ==, cases[i].codes[hash]);
      }
}

/* The part of an address behind "NAME=". (transfer full) */
static char *
part_of (const char *uri, const char *name)
{
  g_autofree char *mark = g_strdup_printf ("%s=", name);
  const char *at = strstr (uri, mark);

  g_assert_nonnull (at);
  at += strlen (mark);
  return g_strndup (at, strcspn (at, "&"));
}

static char *
ask_oathtool (const CommyTotpKey *key, const char *uri, gint64 time_s)
{
  g_autofree char *secret = part_of (uri, "secret");
  g_autofree char *mode = g_strdup_printf ("--totp=%s", commy_totp_hash_to_text (key->hash));
  g_autofree char *digits = g_strdup_printf ("--digits=%u", key->digits);
  g_autofree char *now = g_strdup_printf ("--now=@%" G_GINT64_FORMAT, time_s);
  const char *argv[] = { "oathtool", mode, digits, now, "--base32", "-", NULL };
  g_autoptr (GError) error = NULL;
  g_autoptr (GSubprocess) child = g_subprocess_newv (
      argv, G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE, &error);
  char *out = NULL;

  g_assert_no_error (error);
  g_subprocess_communicate_utf8 (child, secret, NULL, &out, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (g_subprocess_get_successful (child));
  return g_strchomp (out);
}

static void
test_oathtool (void)
{
  g_autofree char *program = g_find_program_in_path ("oathtool");
  GRand *rand = g_rand_new_with_seed (6238);

  if (program == NULL)
    {
      g_test_skip ("oathtool is not installed");
      g_rand_free (rand);
      return;
    }
  for (guint i = 0; i < 24; i++)
    {
      gint64 time_s = (gint64) (g_rand_double (rand) * 4e9);
      char code[COMMY_TOTP_DIGITS_MAX + 1];
      g_autofree char *theirs = NULL;
      CommyTotpKey key;
      char *uri;

      g_assert_true (commy_totp_key_new ((CommyTotpHash) (i % 3), 6 + i % 3, &key, NULL));
      uri = commy_totp_key_to_uri (&key, "commy test", ANN);
      theirs = ask_oathtool (&key, uri, time_s);
      commy_totp_code (&key, commy_totp_step (time_s), code);
      g_assert_cmpstr (code, ==, theirs);
      commy_credential_free (uri);
    }
  g_rand_free (rand);
}

static void
test_uri (void)
{
  CommyTotpKey key, again;
  char *uri;

  for (guint hash = COMMY_TOTP_SHA1; hash <= COMMY_TOTP_SHA512; hash++)
    {
      g_assert_true (commy_totp_key_new ((CommyTotpHash) hash, 6 + hash, &key, NULL));
      uri = commy_totp_key_to_uri (&key, "commy a&b=c", ANN);
      g_assert_true (commy_totp_key_parse_uri (uri, &again, NULL));
      g_assert_cmpmem (&key, sizeof key, &again, sizeof again);
      commy_credential_free (uri);
    }
  /* As a program of somebody else may write it. */
  g_assert_true (commy_totp_key_parse_uri (
      "otpauth://totp/x?issuer=y&secret=gezdgnbvgy3tqojqgezdgnbvgy3tqojq====&image=z", &key, NULL));
  g_assert_cmpuint (key.digits, ==, 6);
  g_assert_cmpint (key.hash, ==, COMMY_TOTP_SHA1);
  g_assert_cmpmem (key.secret, key.secret_size, "12345678901234567890", 20);
}

static void
test_bad_uris (void)
{
#define SECRET "secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
  static const char *const cases[] = {
    "",
    "otpauth://totp/x",
    "otpauth://totp/x?",
    "otpauth://totp/x?issuer=y",
    "otpauth://hotp/x?" SECRET,
    "https://totp/x?" SECRET,
    "otpauth://totp/x?" SECRET "&digits=5",
    "otpauth://totp/x?" SECRET "&digits=9",
    "otpauth://totp/x?" SECRET "&digits=",
    "otpauth://totp/x?" SECRET "&algorithm=MD5",
    "otpauth://totp/x?" SECRET "&period=60",
    "otpauth://totp/x?" SECRET "&digits",
    "otpauth://totp/x?secret=GEZDGNBVGY3TQOJQ",
    "otpauth://totp/x?secret=1EZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ",
  };
#undef SECRET
  g_autofree char *letters = g_strnfill (112, 'A');
  g_autofree char *much = g_strconcat ("otpauth://totp/x?secret=", letters, NULL);
  CommyTotpKey key;

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    if (commy_totp_key_parse_uri (cases[i], &key, NULL))
      g_error ("taken: %s", cases[i]);
  g_assert_false (commy_totp_key_parse_uri (much, &key, NULL));
}

/* --- the file --- */

typedef struct
{
  CommyTestHost *host;
  const CommyAuthOps *ops;
  gpointer instance;
  char *state;      /* folder */
  char *credential; /* file */
  CommyTotpKey key; /* ann's */
  char *uri;
  GPtrArray *codes;
} Scene;

static void
enrol (Scene *scene, const char *principal, const CommyTotpKey *key, GPtrArray **out_codes)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyTotpRegister) reg = commy_totp_register_open (scene->state, NULL, &error);

  g_assert_no_error (error);
  commy_totp_register_add (reg, principal, key, 1, out_codes, &error);
  g_assert_no_error (error);
  commy_totp_register_save (reg, &error);
  g_assert_no_error (error);
}

static void
write_credential (Scene *scene, const char *text)
{
  g_assert_true (g_file_set_contents (scene->credential, text, -1, NULL));
  g_assert_cmpint (g_chmod (scene->credential, 0600), ==, 0);
}

static void
scene_set_up (Scene *scene, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  const CommyPluginDescriptor *descriptor = commy_test_load ("auth", "totp", &error);

  g_assert_no_error (error);
  scene->host = commy_test_host_new (NULL, descriptor);
  scene->ops = descriptor->ops;
  scene->state = g_build_filename (commy_test_host_get_dir (scene->host), "state", NULL);
  scene->credential = g_build_filename (commy_test_host_get_dir (scene->host), "mine", NULL);
  g_assert_true (commy_totp_key_new (COMMY_TOTP_SHA1, 6, &scene->key, NULL));
  scene->uri = commy_totp_key_to_uri (&scene->key, "commy", ANN);
  enrol (scene, ANN, &scene->key, &scene->codes);
  write_credential (scene, scene->uri);
  commy_test_host_set_param (scene->host, "credential", scene->credential);
  commy_test_host_set_param (scene->host, "show-to", "nobody:* " SERVICE);
  scene->instance = commy_test_host_start (scene->host, &error);
  g_assert_no_error (error);
}

static void
scene_tear_down (Scene *scene, gconstpointer data)
{
  commy_test_host_free (scene->host);
  g_free (scene->state);
  g_free (scene->credential);
  g_free (scene->uri);
  g_ptr_array_unref (scene->codes);
}

static char *
file_of (Scene *scene)
{
  return g_build_filename (scene->state, COMMY_TOTP_FILE, NULL);
}

static char *
read_file (Scene *scene)
{
  g_autofree char *path = file_of (scene);
  char *text = NULL;

  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  return text;
}

static void
write_file (Scene *scene, const char *text, gssize size)
{
  g_autofree char *path = file_of (scene);

  g_assert_true (g_file_set_contents (path, text, size, NULL));
  g_assert_cmpint (g_chmod (path, 0600), ==, 0);
}

static void
test_no_secret_in_the_file (Scene *scene, gconstpointer data)
{
  g_autofree char *path = file_of (scene);
  g_autofree char *text = read_file (scene);
  g_autoptr (GString) hex = g_string_new (NULL);
  g_autofree char *base32 = part_of (scene->uri, "secret");
  g_autofree char *lower = g_ascii_strdown (base32, -1);
  GStatBuf about;

  for (gsize i = 0; i < 4; i++)
    g_string_append_printf (hex, "%02x", scene->key.secret[i]);
  g_assert_nonnull (strstr (text, ANN));
  g_assert_null (strstr (text, hex->str));
  g_assert_null (strstr (text, base32));
  g_assert_null (strstr (text, lower));
  for (guint i = 0; i < scene->codes->len; i++)
    g_assert_null (strstr (text, scene->codes->pdata[i]));
  g_assert_cmpint (g_stat (path, &about), ==, 0);
  g_assert_cmpuint (about.st_mode & 07777, ==, 0600);
}

static void
check_code_with (
    Scene *scene, const char *principal, const char *code, gint64 now_s, const char *words)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *id = commy_totp_check_code (scene->state, NULL, principal, code, now_s, &error);

  if (words == NULL)
    {
      g_assert_no_error (error);
      g_assert_nonnull (id);
      return;
    }
  if (id != NULL)
    g_error ("%s is taken: it should say \"%s\"", code, words);
  g_test_message ("%s", error->message);
  if (strstr (error->message, words) == NULL)
    g_error ("\"%s\" does not say \"%s\"", error->message, words);
}

static void
check_code (Scene *scene, const char *code, gint64 now_s, const char *words)
{
  check_code_with (scene, ANN, code, now_s, words);
}

static void
check_time (Scene *scene, gint64 code_s, gint64 now_s, const char *words)
{
  char code[COMMY_TOTP_DIGITS_MAX + 1];

  commy_totp_code (&scene->key, commy_totp_step (code_s), code);
  check_code (scene, code, now_s, words);
}

/* One that is none of the window's. */
static void
check_wrong (Scene *scene, gint64 now_s)
{
  char code[COMMY_TOTP_DIGITS_MAX + 1];
  guint guess = 0;

  do
    g_snprintf (code, sizeof code, "%06u", guess++);
  while (commy_totp_find_step (&scene->key, code, now_s, -1) >= 0);
  check_code (scene, code, now_s, "the code is wrong");
}

/* Who can write the file, and has not its key, makes his own secret nobody else's. */
static void
test_swapped_entries (Scene *scene, gconstpointer data)
{
  g_autoptr (GString) text = NULL;
  g_autoptr (GPtrArray) codes = NULL;
  g_autofree char *before = NULL;
  CommyTotpKey bobs;

  g_assert_true (commy_totp_key_new (COMMY_TOTP_SHA1, 6, &bobs, NULL));
  enrol (scene, BOB, &bobs, &codes);
  before = read_file (scene);
  text = g_string_new (before);
  g_string_replace (text, "user/ann", "user/xxx", 0);
  g_string_replace (text, "user/bob", "user/ann", 0);
  write_file (scene, text->str, -1);
  check_time (scene, THEN, THEN, "does not open");
  g_string_assign (text, before);
  g_string_replace (text, "algorithm=SHA1", "algorithm=SHA256", 0);
  write_file (scene, text->str, -1);
  check_time (scene, THEN, THEN, "does not open");
  write_file (scene, before, -1);
  check_time (scene, THEN, THEN, NULL);
}

static void
test_odd_files (Scene *scene, gconstpointer data)
{
  g_autofree char *path = file_of (scene);
  g_autofree char *text = read_file (scene);
  g_autofree char *seal = g_build_filename (scene->state, COMMY_TOTP_KEY_FILE, NULL);

  g_chmod (path, 0640);
  check_time (scene, THEN, THEN, "chmod 600");
  g_chmod (path, 0600);
  g_chmod (seal, 0644);
  check_time (scene, THEN, THEN, "chmod 600");
  g_chmod (seal, 0600);
  for (gsize cut = strlen (text) - 720; cut > 80; cut -= 30)
    {
      write_file (scene, text, (gssize) cut);
      check_time (scene, THEN, THEN, "cannot be used");
    }
  write_file (scene, text, -1);
  g_assert_cmpint (g_unlink (seal), ==, 0);
  check_time (scene, THEN, THEN, "totp-key");
}

static void
test_another_key (Scene *scene, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  char code[COMMY_TOTP_DIGITS_MAX + 1];

  commy_totp_code (&scene->key, commy_totp_step (THEN), code);
  write_credential (scene, "too short");
  g_assert_null (commy_totp_check_code (scene->state, scene->credential, ANN, code, THEN, &error));
  g_assert_nonnull (strstr (error->message, "less than 32"));
  g_clear_error (&error);
  write_credential (scene, "00000000000000000000000000000000");
  g_assert_null (commy_totp_check_code (scene->state, scene->credential, ANN, code, THEN, &error));
  g_assert_nonnull (strstr (error->message, "does not open"));
}

static void
test_limits (Scene *scene, gconstpointer data)
{
  static const char *const bad[] = { "", "ann", "unix:uid=1 2", "a:\xff", "a:\n" };
  g_autoptr (CommyTotpRegister) reg = commy_totp_register_open (scene->state, NULL, NULL);
  g_autofree char *tail = g_strnfill (240, 'x');
  g_autofree char *long_name = g_strconcat ("a:", tail, NULL);
  g_autoptr (GError) error = NULL;
  guint n = 1;

  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      GPtrArray *codes = NULL;

      g_assert_null (commy_totp_register_add (reg, bad[i], &scene->key, 1, &codes, NULL));
    }
  g_assert_null (commy_totp_register_add (reg, long_name, &scene->key, 1, NULL, NULL));
  g_assert_null (commy_totp_register_add (reg, ANN, &scene->key, 1, NULL, &error));
  g_assert_nonnull (strstr (error->message, "has a secret already"));
  g_clear_error (&error);
  for (;; n++)
    {
      g_autofree char *name = g_strdup_printf ("unix:uid=%u", n);
      g_autoptr (GPtrArray) codes = NULL;

      if (commy_totp_register_add (reg, name, &scene->key, 1, &codes, &error) == NULL)
        break;
    }
  g_assert_cmpuint (n, ==, COMMY_TOTP_MAX);
  g_assert_nonnull (strstr (error->message, "one too many"));
  g_assert_true (commy_totp_register_save (reg, NULL));
  g_clear_pointer (&reg, commy_totp_register_free);
  check_time (scene, THEN, THEN, NULL);
}

static void
test_revoked (Scene *scene, gconstpointer data)
{
  CommyTotpRegister *reg = commy_totp_register_open (scene->state, NULL, NULL);
  g_autoptr (GPtrArray) list = commy_totp_register_list (reg);
  g_autofree char *id = g_strdup (((CommyTotpEntry *) list->pdata[0])->id);
  g_autoptr (GPtrArray) codes = NULL;

  g_assert_true (commy_totp_register_revoke (reg, id, NULL));
  g_assert_true (commy_totp_register_save (reg, NULL));
  commy_totp_register_free (reg);
  check_time (scene, THEN, THEN, "has no one-time codes");
  check_code (scene, scene->codes->pdata[0], THEN, "has no one-time codes");
  enrol (scene, ANN, &scene->key, &codes); /* anew */
  check_time (scene, THEN, THEN, NULL);
}

/* --- once --- */

static void
test_once (Scene *scene, gconstpointer data)
{
  check_time (scene, THEN, THEN, NULL);
  check_time (scene, THEN, THEN, "used before");
  check_time (scene, THEN - 30, THEN + 1, "used before"); /* one before the one that was used */
  check_time (scene, THEN + 30, THEN + 30, NULL);
  check_time (scene, THEN, THEN + 30, "used before");
  check_code_with (scene, BOB, "123456", THEN, "has no one-time codes");
}

static void
test_window (Scene *scene, gconstpointer data)
{
  check_time (scene, THEN - 60, THEN, "wrong");
  check_time (scene, THEN + 60, THEN + 1, "wrong");
  check_time (scene, THEN - 30, THEN + 3, NULL);
  check_time (scene, THEN + 30, THEN + 3, NULL);
  /* A clock that is set back lets none count again. */
  check_time (scene, THEN - 3600, THEN - 3600, "used before");
}

static void
test_backup_codes (Scene *scene, gconstpointer data)
{
  g_autofree char *upper = g_ascii_strup (scene->codes->pdata[1], -1);
  g_autoptr (GString) typed = g_string_new (upper); /* as somebody may type it */
  const char *first = scene->codes->pdata[0];
  gint64 now = THEN;

  g_assert_cmpuint (scene->codes->len, ==, COMMY_TOTP_BACKUP_CODES);
  check_code (scene, first, now, NULL);
  check_code (scene, first, now, "wrong");
  g_string_replace (typed, "-", " ", 0);
  check_code (scene, typed->str, now + 10, NULL);
  for (guint i = 2; i < scene->codes->len; i++)
    check_code (scene, scene->codes->pdata[i], now + 10, NULL);
  for (guint i = 0; i < scene->codes->len; i++)
    check_code (scene, scene->codes->pdata[i], now += 1000, "wrong");
  check_time (scene, now + 1000, now + 1000, NULL);
}

/* Many processes have heard the same code. */
static void
test_once_for_all_processes (Scene *scene, gconstpointer data)
{
  char code[COMMY_TOTP_DIGITS_MAX + 1];
  pid_t children[12];
  guint n_taken = 0;

  commy_totp_code (&scene->key, commy_totp_step (THEN), code);
  for (gsize i = 0; i < G_N_ELEMENTS (children); i++)
    {
      children[i] = fork ();
      g_assert_cmpint (children[i], >=, 0);
      if (children[i] == 0)
        _exit (commy_totp_check_code (scene->state, NULL, ANN, code, THEN, NULL) != NULL ? 1 : 0);
    }
  for (gsize i = 0; i < G_N_ELEMENTS (children); i++)
    {
      int status;

      g_assert_cmpint (waitpid (children[i], &status, 0), ==, children[i]);
      g_assert_true (WIFEXITED (status));
      n_taken += (guint) WEXITSTATUS (status);
    }
  g_assert_cmpuint (n_taken, ==, 1);
}

/* --- guesses --- */

static void
test_guesses (Scene *scene, gconstpointer data)
{
  gint64 now = THEN;
  guint n_wrong = 1;

  check_wrong (scene, now);
  check_time (scene, now, now, "comes too early"); /* though it is right */
  check_time (scene, now + 1, now + 1, NULL);
  now += 3600;
  for (; n_wrong <= 20; n_wrong++)
    {
      gint64 wait = MIN ((gint64) 1 << (n_wrong - 1), (gint64) COMMY_TOTP_WAIT_MAX_S);

      check_wrong (scene, now);
      check_time (scene, now, now + wait - 1, "comes too early");
      now += wait;
    }
  check_time (scene, now, now, NULL); /* and the count begins anew */
  check_wrong (scene, now + 1);
  check_time (scene, now + 31, now + 2, NULL);
}

static void
test_hundred_guesses (Scene *scene, gconstpointer data)
{
  gint64 now = THEN;

  for (guint i = 0; i < COMMY_TOTP_FAILURES_MAX; i++)
    check_wrong (scene, now += COMMY_TOTP_WAIT_MAX_S);
  now += 86400;
  check_time (scene, now, now, "a hundred wrong codes");
  check_code (scene, scene->codes->pdata[0], now, "a hundred wrong codes");
}

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

/* @message counts from 0; bit @bit of it is turned. */
static GBytes *
spoil (GBytes *bytes, int message, int which, int bit)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (bytes, &size);
  guint8 *copy = g_memdup2 (data, size);

  if (message == which && bit / 8 < (int) size)
    copy[bit / 8] ^= (guint8) (1 << bit % 8);
  return g_bytes_new_take (copy, size);
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
      bytes = spoil (from->bytes, message, which, bit);
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
  write_credential (scene, code);
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

  write_credential (scene, scene->codes->pdata[3]);
  check_exchange (scene, good_paths (), -1, 0, NULL);
  check_exchange (scene, good_paths (), -1, 0, "wrong");
  /* What `commy totp enrol` prints, as a whole. */
  all = g_strdup_printf ("%s\n%s\n", scene->uri, (char *) scene->codes->pdata[4]);
  write_credential (scene, all);
  check_exchange (scene, good_paths (), -1, 0, NULL);
}

static void
test_bad_credentials (Scene *scene, gconstpointer data)
{
  g_autofree char *much = g_strnfill (33, '1');

  write_credential (scene, much);
  check_exchange (scene, good_paths (), -1, 0, "neither a code nor an otpauth address");
  write_credential (scene, "otpauth://totp/x?secret=A");
  check_exchange (scene, good_paths (), -1, 0, "no secret for one-time codes");
  g_assert_cmpint (g_unlink (scene->credential), ==, 0);
  check_exchange (scene, good_paths (), -1, 0, "No such file");
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
  write_credential (scene, scene->codes->pdata[0]);
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
  write_credential (scene, scene->codes->pdata[0]);
  check_exchange (scene, good_paths (), -1, 0, NULL);
  check_exchange (scene, good_paths (), -1, 0, NULL);
}

static void
test_session_is_bound (Scene *scene, gconstpointer data)
{
  Paths paths = good_paths ();

  allow_sessions (scene);
  write_credential (scene, scene->codes->pdata[7]);
  check_exchange (scene, good_paths (), -1, 0, NULL);
  forget_code (scene);
  paths.server.binding[0] ^= 1;
  check_exchange (scene, paths, -1, 0, "No such file");
  allow_sessions (scene);
  write_credential (scene, scene->codes->pdata[8]);
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

  write_credential (scene, scene->codes->pdata[0]);
  check_exchange (scene, paths, -1, 0, NULL);
  g_assert_false (g_file_test (path, G_FILE_TEST_EXISTS));
  allow_sessions (scene);
  write_credential (scene, scene->codes->pdata[1]);
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
  enrol (scene, ANN, &scene->key, &codes);
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

static void
test_many_sessions (Scene *scene, gconstpointer data)
{
  CommySessionGrant grants[COMMY_SESSIONS_PRINCIPAL_MAX + 1], bobs;

  issue (scene, BOB, THEN, &bobs);
  for (gsize i = 0; i < G_N_ELEMENTS (grants); i++)
    issue (scene, ANN, THEN + (gint64) i, &grants[i]);
  check_session_at (scene, &grants[0], ANN, THEN + 20, "there is no such session");
  check_session_at (scene, &grants[1], ANN, THEN + 20, NULL);
  check_session_at (scene, &bobs, BOB, THEN + 20, NULL);
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
  g_autofree char *path = file_of (scene);
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
  g_test_add_func ("/auth/totp/codes-are-those-of-rfc-6238", test_rfc);
  g_test_add_func ("/auth/totp/codes-are-those-of-oathtool", test_oathtool);
  g_test_add_func ("/auth/totp/an-address-is-read-as-it-was-written", test_uri);
  g_test_add_func ("/auth/totp/other-addresses-are-none", test_bad_uris);
#define ADD(NAME, FUNC) \
  g_test_add ("/auth/totp/" NAME, Scene, NULL, scene_set_up, FUNC, scene_tear_down)
  ADD ("file/has-no-secret", test_no_secret_in_the_file);
  /* attack: swap the secrets of two users in the file of one-time codes; defence: each is sealed
   * for whose it is; test: /auth/totp/file/a-secret-is-bound-to-whose-it-is */
  ADD ("file/a-secret-is-bound-to-whose-it-is", test_swapped_entries);
  ADD ("file/odd-ones-let-nobody-in", test_odd_files);
  ADD ("file/another-key-opens-nothing", test_another_key);
  ADD ("file/names-and-number-are-limited", test_limits);
  ADD ("file/revoked-counts-no-more", test_revoked);
  /* attack: a one-time code that was used; defence: a time that was used is over, on the disk;
   * test: /auth/totp/code/counts-once */
  ADD ("code/counts-once", test_once);
  ADD ("code/counts-in-its-window-only", test_window);
  ADD ("code/of-reserve-counts-once", test_backup_codes);
  /* attack: a one-time code in two processes at once; defence: used up under a lock, for all
   * processes of the user; test: /auth/totp/code/counts-once-for-all-processes */
  ADD ("code/counts-once-for-all-processes", test_once_for_all_processes);
  /* attack: guess one-time codes in a loop; defence: a wait that doubles, on the disk, and an
   * end after a hundred; test: /auth/totp/guess/waits-longer-each-time */
  ADD ("guess/waits-longer-each-time", test_guesses);
  ADD ("guess/a-hundred-are-all", test_hundred_guesses);
  ADD ("exchange/proof", test_proof);
  /* attack: pass the proof of a one-time secret on; defence: it is bound to the connection and
   * to who shows it; test: /auth/totp/exchange/proof-is-bound-to-channel-and-principal */
  ADD ("exchange/proof-is-bound-to-channel-and-principal", test_proof_is_bound);
  ADD ("exchange/each-bit-matters", test_each_bit);
  ADD ("exchange/code-is-shown-to-few-and-once", test_shown_code);
  ADD ("exchange/code-where-there-is-no-binding", test_code_of_a_secret);
  ADD ("exchange/code-of-reserve", test_shown_backup_code);
  ADD ("exchange/bad-credentials", test_bad_credentials);
  ADD ("session/needs-no-code-until-it-is-revoked", test_session);
  ADD ("session/that-is-gone-is-followed-by-a-code", test_session_and_then_a_code);
  /* attack: use the session of somebody else; defence: it is bound to the connection and to its
   * principal; test: /auth/totp/session/is-bound-to-channel-and-principal */
  ADD ("session/is-bound-to-channel-and-principal", test_session_is_bound);
  ADD ("session/is-not-given-where-others-listen", test_no_session);
  ADD ("session/ends-with-its-secret", test_session_ends_with_its_secret);
  ADD ("session/ends-in-time", test_session_times);
  ADD ("session/each-bit-matters", test_session_bits);
  ADD ("session/many-of-one-principal", test_many_sessions);
  ADD ("session/many-of-one-caller", test_kept_sessions);
  ADD ("exchange/many-at-once", test_many_at_once);
  ADD ("exchange/damaged-file", test_damaged_file);
  ADD ("exchange/odd-answers", test_odd_answers);
#undef ADD
  return g_test_run ();
}
