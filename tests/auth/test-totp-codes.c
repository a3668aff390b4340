/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One-time codes: against RFC 6238, oathtool, who uses one twice, who guesses, and who changes the
 * file.
 */
#include "config.h"

#include "auth/common/commy-credential.h"
#include "auth/common/commy-totp-private.h"
#include "totp-scene.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

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

static char *
read_file (Scene *scene)
{
  g_autofree char *path = scene_dup_path (scene);
  char *text = NULL;

  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  return text;
}

static void
write_file (Scene *scene, const char *text, gssize size)
{
  g_autofree char *path = scene_dup_path (scene);

  g_assert_true (g_file_set_contents (path, text, size, NULL));
  g_assert_cmpint (g_chmod (path, 0600), ==, 0);
}

static void
test_no_secret_in_the_file (Scene *scene, gconstpointer data)
{
  g_autofree char *path = scene_dup_path (scene);
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
  scene_enrol (scene, BOB, &bobs, &codes);
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
  g_autofree char *path = scene_dup_path (scene);
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
  scene_write_credential (scene, "too short");
  g_assert_null (commy_totp_check_code (scene->state, scene->credential, ANN, code, THEN, &error));
  g_assert_nonnull (strstr (error->message, "less than 32"));
  g_clear_error (&error);
  scene_write_credential (scene, "00000000000000000000000000000000");
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
  scene_enrol (scene, ANN, &scene->key, &codes); /* anew */
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

/* A failure of a time that is to come again: one waits from the first look on, and not from there.
 */
static void
test_guesses_while_the_clock_is_set_back (Scene *scene, gconstpointer data)
{
  gint64 now = THEN + 86400;

  for (guint i = 0; i < 4; i++)
    check_wrong (scene, now += 60);
  for (guint i = 0; i < 2; i++)
    {
      now -= 3600;
      check_time (scene, now, now, "comes too early"); /* though it is right */
      check_time (scene, now, now + 7, "comes too early");
    }
  check_time (scene, now + 8, now + 8, NULL);
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

static void
check_not_revoked (Scene *scene, const char *principal, const char *id, const char *words)
{
  g_autoptr (GError) error = NULL;

  if (commy_totp_check_not_revoked (scene->state, principal, id, &error))
    g_assert_null (words);
  else if (words == NULL || strstr (error->message, words) == NULL)
    g_error ("\"%s\" does not say \"%s\"", error->message, words != NULL ? words : "nothing");
}

/* What a session of the store stands for, which another host may have. */
static void
test_not_revoked (Scene *scene, gconstpointer data)
{
  g_autoptr (CommyTotpRegister) reg = commy_totp_register_open (scene->state, NULL, NULL);
  g_autoptr (GPtrArray) list = commy_totp_register_list (reg);
  g_autoptr (GPtrArray) codes = NULL;
  g_autofree char *id = g_strdup (((const CommyTotpEntry *) list->pdata[0])->id);

  check_not_revoked (scene, ANN, id, NULL);
  check_not_revoked (scene, BOB, id, "somebody else's");
  check_not_revoked (scene, BOB, "000000000000", NULL); /* of another host */
  g_assert_true (commy_totp_register_revoke (reg, id, NULL));
  g_assert_true (commy_totp_register_save (reg, NULL));
  check_not_revoked (scene, ANN, id, "was revoked");
  g_assert_true (commy_totp_register_remove (reg, id, NULL));
  g_assert_true (commy_totp_register_save (reg, NULL));
  g_clear_pointer (&reg, commy_totp_register_free);
  scene_enrol (scene, ANN, &scene->key, &codes);
  check_not_revoked (scene, ANN, id, "enrolled anew");
  check_not_revoked (scene, BOB, "000000000000", NULL);
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
  /* attack: bring sessions of a secret back by having it forgotten; defence: where the principal
   * has another one, no other counts;
   * test: /auth/totp/file/forgotten-is-not-of-another-host */
  ADD ("file/forgotten-is-not-of-another-host", test_not_revoked);
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
  /* attack: set the clock back to guess without waiting; defence: who has to wait begins again at
   * the first look; test: /auth/totp/guess/waits-while-the-clock-is-set-back */
  ADD ("guess/waits-while-the-clock-is-set-back", test_guesses_while_the_clock_is_set_back);
  ADD ("guess/a-hundred-are-all", test_hundred_guesses);
#undef ADD
  return g_test_run ();
}
