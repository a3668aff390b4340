/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The provider `jwt` against tokens that other libraries made (make-jwts.py): those that count, and
 * one for each way to be an attack, by name.
 */
#include "config.h"

#include "auth/common/commy-jwt-json.h"
#include "auth/common/commy-jwt.h"
#include "tests/conformance/commy-test-host.h"

#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define NOW G_GINT64_CONSTANT (2000000000)
#define ALL (JWT_EDDSA | JWT_ES256 | JWT_RS256 | JWT_PS256 | JWT_HS256)

static const JwtRules rules = {
  .issuer = "https://issuer.example.org", .audience = "commy", .type = "at+jwt", .max_life_s = 86400
};

/* What the script made, for all cases. */
typedef struct
{
  char *dir;
  GPtrArray *lines; /* of three texts */
  JwtKeys *keys;
} Corpus;

static char *
make (gint64 now_s)
{
  g_autoptr (GError) error = NULL;
  char *dir = g_dir_make_tmp ("commy-jwt-XXXXXX", &error);
  g_autofree char *script
      = g_build_filename (g_getenv ("COMMY_SOURCE_DIR"), "tests/auth/make-jwts.py", NULL);
  g_autofree char *time = g_strdup_printf ("%" G_GINT64_FORMAT, now_s);
  const char *const words[] = { "/usr/bin/python3", script, dir, time, NULL };
  int status = 0;

  g_assert_no_error (error);
  g_spawn_sync (NULL, (char **) words, NULL, G_SPAWN_DEFAULT, NULL, NULL, NULL, NULL, &status,
                &error);
  g_assert_no_error (error);
  g_assert_cmpint (status, ==, 0);
  return dir;
}

static JwtKeys *
load_keys (const char *dir, const char *name, guint algorithms, GError **error)
{
  g_autofree char *path = g_build_filename (dir, name, NULL);
  g_autofree char *text = NULL;
  gsize size;

  if (!g_file_get_contents (path, &text, &size, NULL))
    g_error ("%s is not there", path);
  return jwt_keys_parse (text, size, algorithms, error);
}

static Corpus *
corpus_new (gint64 now_s)
{
  Corpus *corpus = g_new0 (Corpus, 1);
  g_autofree char *path = NULL;
  g_autofree char *text = NULL;
  g_auto (GStrv) lines = NULL;
  g_autoptr (GError) error = NULL;

  corpus->dir = make (now_s);
  corpus->lines = g_ptr_array_new_with_free_func ((GDestroyNotify) g_strfreev);
  path = g_build_filename (corpus->dir, "tokens", NULL);
  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  lines = g_strsplit (g_strchomp (text), "\n", -1);
  for (char **line = lines; *line != NULL; line++)
    {
      char **parts = g_strsplit (*line, "\t", 3);

      g_assert_cmpuint (g_strv_length (parts), ==, 3);
      g_ptr_array_add (corpus->lines, parts);
    }
  corpus->keys = load_keys (corpus->dir, "all.json", ALL, &error);
  g_assert_no_error (error);
  return corpus;
}

static void
corpus_free (Corpus *corpus)
{
  commy_test_remove_tree (corpus->dir);
  jwt_keys_free (corpus->keys);
  g_ptr_array_unref (corpus->lines);
  g_free (corpus->dir);
  g_free (corpus);
}

/* (transfer full): the token of that name */
static char *
find (const Corpus *corpus, const char *name, gsize *out_size)
{
  for (guint i = 0; i < corpus->lines->len; i++)
    {
      char **parts = g_ptr_array_index (corpus->lines, i);

      if (strcmp (parts[0], name) == 0)
        {
          char *text = (char *) g_base64_decode (parts[2], out_size);

          text = g_realloc (text, *out_size + 1);
          text[*out_size] = '\0';
          return text;
        }
    }
  g_error ("there is no token %s", name);
}

/* --- a token each --- */

/* What is in one's own file may be no JWT at all. */
static void
test_no_times (void)
{
  static const char *const texts[]
      = { "", ".", "..", "e30.e30.", "opaque", "a", "a.b", "e30.W10.", "e30.eyJleHAiOiIxIn0.e30" };
  gint64 from_s, until_s;

  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++)
    g_assert_false (jwt_read_times (texts[i], strlen (texts[i]), &from_s, &until_s));
}

typedef struct
{
  Corpus *corpus;
  char **parts;
} Case;

static void
test_token (gconstpointer data)
{
  const Case *test = data;
  gsize size;
  g_autofree char *text = find (test->corpus, test->parts[0], &size);
  JwtVerdict verdict;
  const char *why = jwt_check (test->corpus->keys, &rules, text, size, NOW, &verdict);
  gint64 from_s, until_s;

  g_test_message ("%s", why != NULL ? why : verdict.principal);
  if (strcmp (test->parts[1], "-") == 0)
    {
      g_assert_cmpstr (why, ==, NULL);
      g_assert_true (g_str_has_prefix (verdict.principal, "jwt:https://issuer.example.org/alice"));
      g_assert_true (g_str_has_prefix (verdict.id, "jwt-sha256:"));   /* none of them says jti */
      g_assert_true (jwt_read_times (text, size, &from_s, &until_s)); /* as who shows it does */
      g_assert_cmpint (from_s, ==, verdict.not_before_s);
      g_assert_cmpint (until_s, ==, verdict.ends_s);
      if (strcmp (test->parts[0], "valid-scopes") == 0)
        g_assert_cmpstr (verdict.principal, ==,
                         "jwt:https://issuer.example.org/alice\nscope=read\nscope=write");
      jwt_verdict_clear (&verdict);
      return;
    }
  g_assert_null (verdict.principal);
  g_assert_nonnull (why);
  g_assert_nonnull (strstr (why, test->parts[1]));
}

/* --- what else it says --- */

#define CLAIMED(MORE)                                                            \
  "{\"iss\":\"https://issuer.example.org\",\"sub\":\"alice\",\"aud\":\"commy\"," \
  "\"iat\":2000000000,\"exp\":2000000600," MORE "}"
#define ALICE "jwt:https://issuer.example.org/alice"
#define CANNOT "a claim that rules look at (param.claims)"

/* @attributes: in lines; NULL: the token does not count, because of a claim. */
static void
check_claims (const char *names, const char *text, const char *attributes)
{
  g_auto (GStrv) claims = jwt_claims_parse (names);
  g_autoptr (JwtJson) json = jwt_json_parse (text, strlen (text), 256);
  g_autofree char *expected = g_strconcat (ALICE, attributes, NULL);
  JwtRules chosen = rules;
  JwtVerdict verdict;
  const char *why;

  g_assert_nonnull (claims);
  g_assert_nonnull (json);
  chosen.claims = claims;
  why = jwt_check_claims (json, &chosen, NOW, &verdict);
  g_test_message ("%s: %s", text, why != NULL ? why : verdict.principal);
  if (attributes != NULL)
    g_assert_cmpstr (verdict.principal, ==, expected);
  else
    g_assert_true (why != NULL && g_str_has_prefix (why, CANNOT));
  jwt_verdict_clear (&verdict);
}

static void
test_claims (void)
{
  check_claims ("team", CLAIMED ("\"team\":\"ops\",\"other\":\"x\""), "\nclaim:team=ops");
  check_claims (" team  admin n ", CLAIMED ("\"n\":7,\"admin\":true,\"team\":[\"a\",\"b\"]"),
                "\nclaim:team=a\nclaim:team=b\nclaim:admin=true\nclaim:n=7");
  check_claims ("team", CLAIMED ("\"scope\":\"r w\",\"team\":\"ops\""),
                "\nscope=r\nscope=w\nclaim:team=ops");
  check_claims ("https://x/roles", CLAIMED ("\"https://x/roles\":[\"a\"]"),
                "\nclaim:https://x/roles=a");
  check_claims ("", CLAIMED ("\"team\":\"ops\""), "");
  check_claims ("team", CLAIMED ("\"team\":null"), "");
  check_claims ("team", CLAIMED ("\"team\":[]"), "");
  check_claims ("team", CLAIMED ("\"Team\":\"ops\""), "");
  /* A value stays one, whatever is in it, and is nobody else's. */
  check_claims ("team", CLAIMED ("\"team\":\"a b\\nscope=admin\""),
                "\nclaim:team=a%20b%0Ascope=admin");
  check_claims ("team", CLAIMED ("\"team\":\"a;b%20\\u007f\""), "\nclaim:team=a%3Bb%2520%7F");
  check_claims ("team", CLAIMED ("\"team\":\"\""), "\nclaim:team=");
  /* What cannot be told may be what a rule denies. */
  check_claims ("team", CLAIMED ("\"team\":{\"a\":1}"), NULL);
  check_claims ("team", CLAIMED ("\"team\":[\"a\",[\"b\"]]"), NULL);
  check_claims ("team", CLAIMED ("\"team\":1.5"), NULL);
  check_claims ("team", CLAIMED ("\"team\":-1"), NULL);
}

/* What one token may say, and what may be chosen of it. */
static void
test_claims_limits (void)
{
  for (guint n = 30; n <= 31; n++)
    {
      g_autoptr (GString) text = g_string_new ("\"scope\":\"r w\",\"team\":[\"t\"");
      g_autofree char *all = NULL;
      g_autoptr (GString) lines = g_string_new ("\nscope=r\nscope=w\nclaim:team=t");

      for (guint i = 3; i < n; i++)
        {
          g_string_append (text, ",\"t\"");
          g_string_append (lines, "\nclaim:team=t");
        }
      all = g_strdup_printf (CLAIMED ("%s]"), text->str);
      check_claims ("team", all, n <= JWT_SCOPES_MAX ? lines->str : NULL);
    }
  for (guint n = 244; n <= 245; n++)
    {
      g_autofree char *value = g_strnfill (n, 'x');
      g_autofree char *text = g_strdup_printf (CLAIMED ("\"team\":\"%s\""), value);
      g_autofree char *line = g_strconcat ("\nclaim:team=", value, NULL);

      check_claims ("team", text, n == 244 ? line : NULL);
    }
  g_assert_null (jwt_claims_parse ("a=b"));
  g_assert_null (jwt_claims_parse ("a*"));
  g_assert_null (jwt_claims_parse ("a\tb"));
  g_assert_null (jwt_claims_parse ("1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17"));
}

/* --- every bit --- */

static void
test_every_bit (gconstpointer data)
{
  static const char *const names[] = { "valid-eddsa", "valid-es256", "valid-hs256" };
  const Corpus *corpus = data;

  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    {
      gsize size;
      g_autofree char *text = find (corpus, names[i], &size);
      JwtVerdict verdict;

      for (gsize bit = 0; bit < 8 * size; bit++)
        {
          text[bit / 8] ^= (char) (1 << bit % 8);
          if (jwt_check (corpus->keys, &rules, text, size, NOW, &verdict) == NULL)
            g_error ("%s counts with bit %u turned", names[i], (guint) bit);
          text[bit / 8] ^= (char) (1 << bit % 8);
        }
      for (gsize cut = 0; cut < size; cut++)
        g_assert_nonnull (jwt_check (corpus->keys, &rules, text, cut, NOW, &verdict));
      g_assert_null (jwt_check (corpus->keys, &rules, text, size, NOW, &verdict));
      jwt_verdict_clear (&verdict);
    }
}

/* --- key sets --- */

static void
test_opt_in (gconstpointer data)
{
  const Corpus *corpus = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (JwtKeys) keys
      = load_keys (corpus->dir, "all.json", jwt_algorithms_parse ("EdDSA ES256"), &error);
  static const char *const names[] = { "valid-rs256", "valid-ps256", "valid-hs256" };

  g_assert_no_error (error);
  g_assert_cmpuint (jwt_keys_get_n (keys), ==, 2);
  g_assert_cmpuint (jwt_keys_get_n (corpus->keys), ==, 5);
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    {
      gsize size;
      g_autofree char *text = find (corpus, names[i], &size);
      JwtVerdict verdict;

      g_assert_nonnull (
          strstr (jwt_check (keys, &rules, text, size, NOW, &verdict), "not in the key set"));
    }
  g_assert_cmpuint (jwt_algorithms_parse ("EdDSA, none"), ==, 0);
  g_assert_cmpuint (jwt_algorithms_parse (""), ==, 0);
  g_assert_cmpuint (jwt_algorithms_parse ("RS256,PS256 HS256"), ==,
                    JWT_RS256 | JWT_PS256 | JWT_HS256);
}

static void
test_bad_sets (gconstpointer data)
{
  const Corpus *corpus = data;
  g_autoptr (GDir) dir = g_dir_open (corpus->dir, 0, NULL);
  const char *name;
  guint n = 0;

  while ((name = g_dir_read_name (dir)) != NULL)
    if (g_str_has_suffix (name, ".bad.json"))
      {
        g_autoptr (GError) error = NULL;

        if (load_keys (corpus->dir, name, ALL, &error) != NULL)
          g_error ("%s is taken", name);
        g_test_message ("%s: %s", name, error->message);
        n++;
      }
  g_assert_cmpuint (n, ==, 14);
}

/* --- names by which one can be denied --- */

/* (transfer full) */
static char *
dup_id (const char *more, const char *text)
{
  g_autofree char *claims = g_strdup_printf (
      "{\"iss\":\"https://"
      "issuer.example.org\",\"sub\":\"alice\",\"aud\":\"%s\",\"exp\":%" G_GINT64_FORMAT "%s}",
      rules.audience, NOW + 60, more);
  g_autoptr (JwtJson) json = jwt_json_parse (claims, strlen (claims), 100);
  JwtVerdict verdict;
  char *id;

  g_assert_null (jwt_check_claims (json, &rules, NOW, &verdict));
  jwt_verdict_name (&verdict, text, strlen (text));
  id = g_steal_pointer (&verdict.id);
  jwt_verdict_clear (&verdict);
  return id;
}

static void
test_ids (void)
{
  g_autofree char *long_id = g_strnfill (JWT_ID_MAX + 1, 'x');
  g_autofree char *too_long = g_strdup_printf (",\"jti\":\"%s\"", long_id);
  g_autofree char *other_signature = dup_id ("", "eyJx.y.2");
  g_autofree char *other_claims = dup_id ("", "eyJx.z.1");
  g_autofree char *opaque = dup_id ("", "v1.y.1");
  g_autofree char *other_opaque = dup_id ("", "v1.y.2");
  const struct
  {
    const char *more, *id;
  } cases[] = {
    { ",\"jti\":\"7f-1\"", "jwt-id:https://issuer.example.org/7f-1" },
    { ",\"jti\":\"a/b%2F\"", "jwt-id:https://issuer.example.org/a%2Fb%252F" },
    { "", other_signature },
    { ",\"jti\":\"\"", other_signature },
    { ",\"jti\":\"two words\"", other_signature },
    { ",\"jti\":7", other_signature },
    { too_long, other_signature },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *id = dup_id (cases[i].more, "eyJx.y.1");

      g_assert_cmpstr (id, ==, cases[i].id);
    }
  g_assert_cmpstr (other_claims, !=, other_signature);
  g_assert_cmpstr (opaque, !=, other_opaque);
}

/* --- the cache --- */

static void
test_cache (void)
{
  JwtCache *cache = jwt_cache_new ();
  const JwtVerdict *found;

  for (guint i = 0; i < 3 * JWT_CACHE_MAX; i++)
    {
      g_autofree char *text = g_strdup_printf ("token %u", i);
      JwtVerdict verdict
          = { .principal = g_strdup (text), .not_before_s = NOW, .expires_s = NOW + 100 + i };

      jwt_cache_add (cache, text, strlen (text), NOW, &verdict);
      g_assert_null (verdict.principal);
      g_assert_cmpuint (jwt_cache_get_n (cache), <=, JWT_CACHE_MAX);
    }
  g_assert_null (jwt_cache_find (cache, "token 0", 7, NOW)); /* ended first, so it went */
  found = jwt_cache_find (cache, "token 3071", 10, NOW);
  g_assert_cmpstr (found->principal, ==, "token 3071");
  g_assert_null (jwt_cache_find (cache, "token 3071", 10, NOW - 1));
  g_assert_null (jwt_cache_find (cache, "token 3071", 10, NOW)); /* and forgotten by that */
  g_assert_nonnull (jwt_cache_find (cache, "token 3070", 10, NOW + 3169));
  g_assert_null (jwt_cache_find (cache, "token 3070", 10, NOW + 3170));
  jwt_cache_clear (cache);
  g_assert_cmpuint (jwt_cache_get_n (cache), ==, 0);
  jwt_cache_free (cache);
}

/* --- JSON --- */

static void
test_json (void)
{
  static const char *const good[] = {
    "null",
    "true",
    " [ ] ",
    "{}",
    "\"\"",
    "0",
    "-0.5e+3",
    "[1,2]",
    "{\"a\":{\"b\":[]}}",
    "\"\\ud83d\\ude00\"",
    "[[[[[[[[]]]]]]]]",
  };
  static const char *const bad[] = {
    "",
    "nul",
    "tru",
    "[1,]",
    "{\"a\"}",
    "{\"a\":}",
    "{a:1}",
    "01",
    "1.",
    "1e",
    "-",
    "+1",
    "\"\\x\"",
    "\"\\u12\"",
    "\"a",
    "[1 2]",
    "[",
    "{\"a\":1",
    "\"\n\"",
    "\"\\udc00\"",
    "\"\\ud800\\u0041\"",
    "1 2",
    "NaN",
    "Infinity",
    "'a'",
    "\"\\u0000\"",
    "[[[[[[[[[]]]]]]]]]",
    "{\"a\":1,\"a\":1}",
    "\xef\xbb\xbf{}",
  };
  g_autoptr (JwtJson) json = NULL;

  for (gsize i = 0; i < G_N_ELEMENTS (good); i++)
    {
      g_autoptr (JwtJson) value = jwt_json_parse (good[i], strlen (good[i]), 100);

      if (value == NULL)
        g_error ("not read: %s", good[i]);
    }
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr (JwtJson) value = jwt_json_parse (bad[i], strlen (bad[i]), 100);

      if (value != NULL)
        g_error ("read: %s", bad[i]);
    }
  json = jwt_json_parse ("[9007199254740992,9007199254740993,1.0]", 39, 100);
  g_assert_cmpint (((JwtJson *) json->items->pdata[0])->type, ==, JWT_JSON_INTEGER);
  g_assert_cmpint (((JwtJson *) json->items->pdata[1])->type, ==, JWT_JSON_NUMBER);
  g_assert_cmpint (((JwtJson *) json->items->pdata[2])->type, ==, JWT_JSON_NUMBER);
  g_assert_null (jwt_json_parse ("[1,2,3]", 7, 3));
}

/* --- the plugin --- */

typedef struct
{
  CommyTestHost *host;
  const CommyAuthOps *ops;
  gpointer instance;
  Corpus *corpus;
  char *jwks;
  char *credential;
} Scene;

static void
put (const char *path, const char *from, guint mode)
{
  g_autofree char *text = NULL;
  gsize size;

  g_assert_true (g_file_get_contents (from, &text, &size, NULL));
  g_assert_true (g_file_set_contents (path, text, (gssize) size, NULL));
  g_assert_cmpint (g_chmod (path, (int) mode), ==, 0);
}

static void
put_keys (Scene *scene, const char *name)
{
  g_autofree char *from = g_build_filename (scene->corpus->dir, name, NULL);

  put (scene->jwks, from, 0644);
}

static void
scene_set_up (Scene *scene, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  const CommyPluginDescriptor *descriptor = commy_test_load ("auth", "jwt", &error);
  gsize size;
  g_autofree char *token = NULL;

  g_assert_no_error (error);
  scene->corpus = corpus_new (g_get_real_time () / G_USEC_PER_SEC);
  scene->host = commy_test_host_new (NULL, descriptor);
  scene->ops = descriptor->ops;
  scene->jwks = g_build_filename (scene->corpus->dir, "in-use.json", NULL);
  scene->credential = g_build_filename (scene->corpus->dir, "mine", NULL);
  token = find (scene->corpus, "valid-es256", &size);
  g_assert_true (g_file_set_contents (scene->credential, token, (gssize) size, NULL));
  g_assert_cmpint (g_chmod (scene->credential, 0600), ==, 0);
  put_keys (scene, "curves.json");
  commy_test_host_set_param (scene->host, "jwks", scene->jwks);
  commy_test_host_set_param (scene->host, "issuer", rules.issuer);
  commy_test_host_set_param (scene->host, "audience", rules.audience);
  commy_test_host_set_param (scene->host, "credential", scene->credential);
  commy_test_host_set_param (scene->host, "show-to", "unix:uid=7 spiffe://test/*");
  scene->instance = commy_test_host_start (scene->host, &error);
  g_assert_no_error (error);
}

static void
scene_tear_down (Scene *scene, gconstpointer data)
{
  commy_test_host_free (scene->host);
  corpus_free (scene->corpus);
  g_free (scene->jwks);
  g_free (scene->credential);
}

typedef struct
{
  CommyAuthVerdict verdict;
  GBytes *bytes;
  char *text;
} Answer;

static void
on_done (gpointer user_data, CommyAuthVerdict verdict, GBytes *bytes, const char *text)
{
  Answer *answer = user_data;

  answer->verdict = verdict;
  answer->bytes = bytes != NULL ? g_bytes_ref (bytes) : NULL;
  answer->text = g_strdup (text);
}

static void
step (Scene *scene, const CommyEvidence *evidence, gboolean accepting, GBytes *bytes, Answer *out)
{
  gsize size = (scene->ops->session_size + 63) / 64 * 64;
  gpointer session = aligned_alloc (64, size);

  memset (session, 0, size);
  memset (out, 0, sizeof *out);
  scene->ops->begin (scene->instance, session, evidence, accepting);
  scene->ops->step (session, bytes, on_done, out);
  scene->ops->end (session);
  free (session);
}

static void
answer_clear (Answer *answer)
{
  g_clear_pointer (&answer->bytes, g_bytes_unref);
  g_clear_pointer (&answer->text, g_free);
}

static const CommyEvidence over_tls = { .struct_size = sizeof (CommyEvidence),
                                        .kind = COMMY_EVIDENCE_X509,
                                        .security = COMMY_SECURITY_MUTUAL,
                                        .principal = "spiffe://test/host/h/user/u" };

static void
check_word (Scene *scene, const char *name, CommyAuthVerdict expected)
{
  gsize size;
  g_autofree char *text = find (scene->corpus, name, &size);
  g_autoptr (GBytes) bytes = g_bytes_new (text, size);
  Answer answer;

  step (scene, &over_tls, TRUE, bytes, &answer);
  g_test_message ("%s: %s", name, answer.text);
  g_assert_cmpint (answer.verdict, ==, expected);
  g_assert_null (strstr (answer.text, text)); /* it is in no log */
  answer_clear (&answer);
}

static void
test_exchange (Scene *scene, gconstpointer data)
{
  Answer shown, answer;

  step (scene, &over_tls, FALSE, NULL, &shown);
  g_assert_cmpint (shown.verdict, ==, COMMY_AUTH_NOT_MINE);
  step (scene, &over_tls, TRUE, shown.bytes, &answer);
  g_assert_cmpint (answer.verdict, ==, COMMY_AUTH_ACCEPTED);
  g_assert_cmpstr (answer.text, ==, "jwt:https://issuer.example.org/alice");
  answer_clear (&shown);
  answer_clear (&answer);
  check_word (scene, "valid-eddsa", COMMY_AUTH_ACCEPTED);
  check_word (scene, "valid-eddsa", COMMY_AUTH_ACCEPTED);
  check_word (scene, "valid-rs256", COMMY_AUTH_REFUSED);
  check_word (scene, "alg-none", COMMY_AUTH_REFUSED);
}

/* Whoever gets it could use it. */
static void
test_shown_to_whom (Scene *scene, gconstpointer data)
{
  CommyEvidence evidence = over_tls;
  Answer answer;

  evidence.principal = NULL;
  step (scene, &evidence, FALSE, NULL, &answer);
  g_assert_cmpint (answer.verdict, ==, COMMY_AUTH_REFUSED);
  g_assert_null (answer.bytes);
  g_assert_nonnull (strstr (answer.text, "has not proved who it is"));
  answer_clear (&answer);
  evidence.principal = "spiffe://other/host/h/user/u";
  step (scene, &evidence, FALSE, NULL, &answer);
  g_assert_cmpint (answer.verdict, ==, COMMY_AUTH_REFUSED);
  g_assert_null (answer.bytes);
  g_assert_nonnull (strstr (answer.text, "show-to of [plugin auth/jwt] does not name spiffe://o"));
  answer_clear (&answer);
  evidence = over_tls;
  evidence.security = COMMY_SECURITY_AUTHENTICATED;
  step (scene, &evidence, FALSE, NULL, &answer);
  g_assert_cmpint (answer.verdict, ==, COMMY_AUTH_REFUSED);
  g_assert_null (answer.bytes);
  g_assert_nonnull (strstr (answer.text, "not confidential"));
  answer_clear (&answer);
  evidence.kind = COMMY_EVIDENCE_KERNEL;
  evidence.security = COMMY_SECURITY_KERNEL;
  step (scene, &evidence, FALSE, NULL, &answer);
  g_assert_cmpint (answer.verdict, ==, COMMY_AUTH_NOT_MINE);
  answer_clear (&answer);
}

/* A key set that changes: what was checked by the old one counts no more. One that is no good is no
 * fault of who comes. */
static void
test_rotation (Scene *scene, gconstpointer data)
{
  Corpus *other = corpus_new (g_get_real_time () / G_USEC_PER_SEC);
  g_autofree char *next = g_build_filename (other->dir, "curves.json", NULL);

  check_word (scene, "valid-eddsa", COMMY_AUTH_ACCEPTED);
  put (scene->jwks, next, 0644);
  check_word (scene, "valid-eddsa", COMMY_AUTH_REFUSED);
  put_keys (scene, "curves.json");
  check_word (scene, "valid-eddsa", COMMY_AUTH_ACCEPTED);
  put_keys (scene, "same-id.bad.json");
  check_word (scene, "valid-eddsa", COMMY_AUTH_UNABLE);
  check_word (scene, "valid-eddsa", COMMY_AUTH_UNABLE);
  g_assert_cmpuint (commy_test_host_count_log (scene->host, "no token is accepted"), ==, 1);
  put_keys (scene, "curves.json");
  check_word (scene, "valid-eddsa", COMMY_AUTH_ACCEPTED);
  g_chmod (scene->jwks, 0666);
  check_word (scene, "valid-eddsa", COMMY_AUTH_UNABLE);
  g_assert_cmpuint (commy_test_host_count_log (scene->host, "can write it"), ==, 1);
  g_unlink (scene->jwks);
  check_word (scene, "valid-eddsa", COMMY_AUTH_UNABLE);
  corpus_free (other);
}

/* What is judged is the file that is read: a link may lead elsewhere each time. */
static void
test_link (Scene *scene, gconstpointer data)
{
  g_autofree char *keys = g_build_filename (scene->corpus->dir, "curves.json", NULL);

  g_assert_cmpint (g_unlink (scene->jwks), ==, 0);
  g_assert_cmpint (symlink (keys, scene->jwks), ==, 0);
  check_word (scene, "valid-eddsa", COMMY_AUTH_UNABLE);
  g_assert_cmpuint (commy_test_host_count_log (scene->host, "it is a link"), ==, 1);
  g_assert_cmpint (g_unlink (scene->jwks), ==, 0);
  put_keys (scene, "curves.json");
  check_word (scene, "valid-eddsa", COMMY_AUTH_ACCEPTED);
}

/* Whoever comes costs no reading of a file that was no good a moment ago, and is the same. */
static void
test_retries (Scene *scene, gconstpointer data)
{
  struct rlimit before, none;

  commy_test_host_use_virtual_clock (scene->host);
  check_word (scene, "valid-eddsa", COMMY_AUTH_ACCEPTED);
  put_keys (scene, "curves.json");
  g_assert_cmpint (getrlimit (RLIMIT_NOFILE, &before), ==, 0);
  none = (struct rlimit){ .rlim_cur = 0, .rlim_max = before.rlim_max };
  g_assert_cmpint (setrlimit (RLIMIT_NOFILE, &none), ==, 0);
  check_word (scene, "valid-eddsa", COMMY_AUTH_UNABLE);
  g_assert_cmpint (setrlimit (RLIMIT_NOFILE, &before), ==, 0);
  commy_test_host_advance (scene->host, G_USEC_PER_SEC * 999);
  check_word (scene, "valid-eddsa", COMMY_AUTH_UNABLE);
  commy_test_host_advance (scene->host, G_USEC_PER_SEC);
  check_word (scene, "valid-eddsa", COMMY_AUTH_ACCEPTED);
}

static void
test_settings (Scene *scene, gconstpointer data)
{
  static const char *const bad[][2] = {
    { "algorithms", "EdDSA none" },
    { "algorithms", "" },
    { "issuer", "" },
    { "audience", "" },
    { "type", "" },
    { "jwks", "relative.json" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      const CommyPluginDescriptor *descriptor = commy_test_load ("auth", "jwt", NULL);
      g_autoptr (CommyTestHost) host = commy_test_host_new (NULL, descriptor);
      g_autoptr (GError) error = NULL;

      commy_test_host_set_param (host, "jwks", scene->jwks);
      commy_test_host_set_param (host, "issuer", "a");
      commy_test_host_set_param (host, "audience", "b");
      commy_test_host_set_param (host, bad[i][0], bad[i][1]);
      if (commy_test_host_start (host, &error) != NULL)
        g_error ("taken: %s=%s", bad[i][0], bad[i][1]);
    }
}

int
main (int argc, char **argv)
{
  Corpus *corpus;
  int status;

  g_test_init (&argc, &argv, NULL);
  corpus = corpus_new (NOW);
  for (guint i = 0; i < corpus->lines->len; i++)
    {
      Case *test = g_new (Case, 1);
      g_autofree char *path = NULL;

      *test = (Case){ corpus, g_ptr_array_index (corpus->lines, i) };
      path = g_strdup_printf ("/auth/jwt/token/%s", test->parts[0]);
      g_test_add_data_func_full (path, test, test_token, g_free);
    }
  /* attack: a JWT with a bit turned, anywhere; defence: the signature is over all of it */
  g_test_add_data_func ("/auth/jwt/with-any-bit-turned-nothing-counts", corpus, test_every_bit);
  g_test_add_data_func ("/auth/jwt/other-algorithms-are-by-choice", corpus, test_opt_in);
  /* attack: a key set with a weak, broken or private key in it, or too many; defence: the whole
   * set is refused, and lets nobody in */
  g_test_add_data_func ("/auth/jwt/a-bad-key-makes-a-bad-set", corpus, test_bad_sets);
  /* attack: JWTs by the thousand, to fill the cache, or one that is over and was checked before;
   * defence: a limit, and an entry ends with its token */
  g_test_add_func ("/auth/jwt/what-was-checked-is-kept-to-its-end-and-to-a-limit", test_cache);
  /* attack: have a token that is denied be another one by other bytes of its signature; defence:
   * its name is what it says, or a hash of what was signed */
  g_test_add_func ("/auth/jwt/has-a-name-that-can-be-denied", test_ids);
  g_test_add_func ("/auth/jwt/json-is-read-strictly", test_json);
  g_test_add_func ("/auth/jwt/what-says-no-end-has-none", test_no_times);
  g_test_add_func ("/auth/jwt/claims-that-were-chosen-are-attributes", test_claims);
  /* attack: hide a claim that rules deny in a token that says too much, or says it otherwise;
   * defence: a token whose claims cannot all be told does not count */
  g_test_add_func ("/auth/jwt/claims-that-cannot-be-told-do-not-count", test_claims_limits);
#define ADD(NAME, FUNC) \
  g_test_add ("/auth/jwt/" NAME, Scene, NULL, scene_set_up, FUNC, scene_tear_down)
  ADD ("a-token-is-shown-and-checked", test_exchange);
  /* attack: a service that collects the JWTs of its callers; defence: shown to those that the
   * keyfile names only; test: /auth/jwt/a-token-is-shown-to-whom-it-may-be */
  ADD ("a-token-is-shown-to-whom-it-may-be", test_shown_to_whom);
  /* attack: a key set that changes, or turns bad, while it is used; defence: read again when it
   * changed; a withdrawn key counts no more; test: /auth/jwt/a-key-set-counts-as-it-is-now */
  ADD ("a-key-set-counts-as-it-is-now", test_rotation);
  /* attack: a link in the place of a key set, which leads elsewhere once it was judged; defence:
   * what was opened is judged, and no link is followed; test: /auth/jwt/a-key-set-is-no-link */
  ADD ("a-key-set-is-no-link", test_link);
  ADD ("a-key-set-that-is-no-good-is-tried-once-a-second", test_retries);
  ADD ("settings-that-would-let-anybody-in-are-refused", test_settings);
#undef ADD
  status = g_test_run ();
  corpus_free (corpus);
  return status;
}
