/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The provider `oauth2` and a real issuer: tokens that are got, shown, checked and got again; keys
 * that change, flood, or are none; and an issuer that answers what it should not.
 */
#include "config.h"

#include "auth-side.h"
#include "auth/oauth2/commy-oauth2.h"
#include "oidc-child.h"
#include "tests/conformance/commy-test-host.h"

#include <glib/gstdio.h>
#include <string.h>

#define SERVICE "spiffe://test-00000000/host/h/user/service"
#define BUILD "spiffe://test-00000000/host/h/user/build"

/* --- what providers say --- */

static void
test_urls (void)
{
  static const struct
  {
    const char *url;
    gboolean is_good, is_good_here;
  } cases[] = {
    { "https://login.example.org", TRUE, TRUE },
    { "https://login.example.org:8443/realms/a?b=c", TRUE, TRUE },
    { "http://127.0.0.1:8080/a", FALSE, TRUE },
    { "http://127.9.9.9", FALSE, TRUE },
    { "http://[::1]:80/a", FALSE, TRUE },
    { "http://localhost/a", FALSE, TRUE },
    { "http://login.example.org", FALSE, FALSE },
    { "http://169.254.169.254/latest", FALSE, FALSE },
    { "http://127.0.0.1.example.org/", FALSE, FALSE },
    { "http://localhost.example.org/", FALSE, FALSE },
    { "http://[::ffff:10.0.0.1]/", FALSE, FALSE },
    { "http://user@127.0.0.1/", FALSE, FALSE },
    { "https://user:secret@login.example.org/", FALSE, FALSE },
    { "https://login.example.org/#a", FALSE, FALSE },
    { "file:///etc/passwd", FALSE, FALSE },
    { "https://", FALSE, FALSE },
    { "login.example.org", FALSE, FALSE },
    { "", FALSE, FALSE },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    if ((commy_http_url_why_not (cases[i].url, FALSE) == NULL) != cases[i].is_good
        || (commy_http_url_why_not (cases[i].url, TRUE) == NULL) != cases[i].is_good_here)
      g_error ("judged wrongly: %s", cases[i].url);
}

static void
check_metadata (const char *text, const char *words)
{
  Oauth2Metadata metadata;
  const char *why
      = oauth2_metadata_parse (text, strlen (text), "https://i.example", FALSE, &metadata);

  if (words == NULL)
    g_assert_cmpstr (why, ==, NULL);
  else if (why == NULL || strstr (why, words) == NULL)
    g_error ("\"%s\" does not say \"%s\" of %s", why, words, text);
  oauth2_metadata_clear (&metadata);
}

static void
test_metadata (void)
{
#define ISSUER "\"issuer\":\"https://i.example\""
  check_metadata ("{" ISSUER "}", NULL);
  check_metadata ("{" ISSUER ",\"token_endpoint\":\"https://t.example/t\",\"x\":[1,{}]}", NULL);
  check_metadata ("", "no JSON object");
  check_metadata ("[" ISSUER "]", "no JSON object");
  check_metadata ("{" ISSUER "," ISSUER "}", "no JSON object");
  check_metadata ("{" ISSUER "} x", "no JSON object");
  check_metadata ("{}", "another issuer");
  check_metadata ("{\"issuer\":\"https://i.example/\"}", "another issuer");
  check_metadata ("{\"issuer\":[\"https://i.example\"]}", "another issuer");
  check_metadata ("{" ISSUER ",\"token_endpoint\":\"http://t.example/t\"}", "not https");
  check_metadata ("{" ISSUER ",\"jwks_uri\":\"file:///etc/shadow\"}", "not https");
  check_metadata ("{" ISSUER ",\"introspection_endpoint\":17}", "not https");
#undef ISSUER
}

static void
test_token_answers (void)
{
  static const struct
  {
    const char *text;
    const char *words;
    gint64 life_s;
  } cases[] = {
    { "{\"access_token\":\"a.b-c_d~e+f/g=\",\"token_type\":\"bearer\",\"expires_in\":60}", NULL,
      60 },
    { "{\"access_token\":\"a\",\"token_type\":\"Bearer\"}", NULL, 60 },
    { "{\"access_token\":\"a\",\"token_type\":\"Bearer\",\"expires_in\":9007199254740991}", NULL,
      OAUTH2_LIFE_MAX_S },
    { "{\"access_token\":\"a\",\"token_type\":\"Bearer\",\"expires_in\":0}", "expires_in", 0 },
    { "{\"access_token\":\"a\",\"token_type\":\"Bearer\",\"expires_in\":\"60\"}", "expires_in", 0 },
    { "{\"access_token\":\"a\",\"token_type\":\"Bearer\",\"expires_in\":-5}", "expires_in", 0 },
    { "{\"access_token\":\"a\",\"token_type\":\"DPoP\"}", "Bearer", 0 },
    { "{\"access_token\":\"a\"}", "Bearer", 0 },
    { "{\"access_token\":\"a\\nb\",\"token_type\":\"Bearer\"}", "access_token", 0 },
    { "{\"access_token\":\"\",\"token_type\":\"Bearer\"}", "access_token", 0 },
    { "{\"token_type\":\"Bearer\"}", "access_token", 0 },
    { "", "access_token", 0 },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *token = NULL;
      gint64 life_s = 0;
      const char *why = oauth2_token_parse (cases[i].text, strlen (cases[i].text), &token, &life_s);

      g_assert_cmpint (life_s, ==, cases[i].life_s);
      g_assert_true ((token != NULL) == (cases[i].words == NULL));
      if (cases[i].words != NULL && (why == NULL || strstr (why, cases[i].words) == NULL))
        g_error ("\"%s\" does not say \"%s\"", why, cases[i].words);
    }
}

static void
test_error_answers (void)
{
  static const char *const cases[][2] = {
    { "{\"error\":\"invalid_client\"}", "invalid_client" },
    { "{\"error\":\"bad\\u001b[2J\"}", "" },
    { "{\"error\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}", "" },
    { "<html>", "" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *word = oauth2_error_parse (cases[i][0], strlen (cases[i][0]));

      g_assert_cmpstr (word, ==, cases[i][1]);
    }
}

static void
check_introspection (const char *more, const char *words, const char *principal)
{
  static const JwtRules rules = { .issuer = "https://i.example",
                                  .audience = "commy",
                                  .type = "at+jwt",
                                  .max_life_s = 86400,
                                  .is_told = TRUE };
  g_autofree char *text = g_strconcat ("{", more, "}", NULL);
  JwtVerdict verdict;
  const char *why = oauth2_introspection_parse (text, strlen (text), &rules, 2000000000, &verdict);

  if (words != NULL && (why == NULL || strstr (why, words) == NULL))
    g_error ("\"%s\" does not say \"%s\" of %s", why, words, text);
  g_assert_cmpstr (verdict.principal, ==, principal);
  if (principal != NULL)
    {
      g_assert_cmpint (verdict.expires_s, <=, 2000000000 + OAUTH2_TELL_MAX_S);
      g_assert_cmpint (verdict.ends_s, ==, 2000003600 + JWT_SKEW_S);
    }
  jwt_verdict_clear (&verdict);
}

static void
test_introspections (void)
{
#define GOOD "\"active\":true,\"aud\":\"commy\",\"exp\":2000003600,"
  check_introspection (GOOD "\"sub\":\"a/b\"", NULL, "jwt:https://i.example/a%2Fb");
  check_introspection (GOOD "\"client_id\":\"c\",\"scope\":\"x y\"", NULL,
                       "jwt:https://i.example/c\nscope=x\nscope=y");
  check_introspection (GOOD "\"sub\":\"a\",\"client_id\":\"c\"", NULL, "jwt:https://i.example/a");
  check_introspection (GOOD "\"sub\":7,\"client_id\":\"c\"", "no subject", NULL);
  check_introspection (GOOD "\"x\":1", "no subject", NULL);
  check_introspection (GOOD "\"sub\":\"a\",\"iss\":\"https://j.example\"", "another issuer", NULL);
  check_introspection (GOOD "\"sub\":\"a\",\"token_type\":\"DPoP\"", "bound to something", NULL);
  check_introspection (GOOD "\"sub\":\"a\",\"token_type\":\"Bearer\",\"cnf\":"
                            "{\"x5t#S256\":\"bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2\"}",
                       "bound to a key (cnf)", NULL);
  check_introspection (GOOD "\"sub\":\"a\",\"cnf\":null", "bound to a key (cnf)", NULL);
#undef GOOD
  check_introspection ("\"active\":false", "not active", NULL);
  check_introspection ("\"active\":\"true\",\"sub\":\"a\"", "answer is none", NULL);
  check_introspection ("\"active\":1,\"sub\":\"a\"", "answer is none", NULL);
  check_introspection ("\"active\":true,\"sub\":\"a\",\"exp\":2000003600", "somebody else", NULL);
  check_introspection ("\"active\":true,\"sub\":\"a\",\"aud\":\"commy\"", "no end", NULL);
  check_introspection ("\"active\":true,\"sub\":\"a\",\"aud\":\"commy\",\"exp\":1999999000",
                       "expired", NULL);
}

/* --- a caller and a service --- */

typedef struct
{
  OidcChild *child;
  CommyTestHost *host;
  const CommyAuthOps *ops;
  gpointer instance;
  AuthSide side;
} Node;

typedef struct
{
  OidcChild *child;
  Node caller, service;
} Scene;

/* (transfer full): the file's path */
static char *
write_secret (CommyTestHost *host, const char *text)
{
  char *path = g_build_filename (commy_test_host_get_dir (host), "secret", NULL);

  g_assert_true (g_file_set_contents (path, text, -1, NULL));
  g_assert_cmpint (g_chmod (path, 0600), ==, 0);
  return path;
}

static void
node_init (Node *node, OidcChild *child, const char *id, const char *secret)
{
  g_autoptr (GError) error = NULL;
  const CommyPluginDescriptor *descriptor = commy_test_load ("auth", "oauth2", &error);
  g_autofree char *path = NULL;

  g_assert_no_error (error);
  node->child = child;
  node->ops = descriptor->ops;
  node->host = commy_test_host_new (NULL, descriptor);
  commy_test_host_set_param (node->host, "issuer", child->issuer);
  commy_test_host_set_param (node->host, "insecure-loopback", "true");
  commy_test_host_set_param (node->host, "client-id", id);
  path = write_secret (node->host, secret);
  commy_test_host_set_param (node->host, "client-secret", path);
  commy_test_host_use_virtual_clock (node->host);
}

static void
node_start (Node *node)
{
  g_autoptr (GError) error = NULL;

  if (node->instance != NULL)
    return;
  node->instance = commy_test_host_start (node->host, &error);
  g_assert_no_error (error);
}

/* FALSE: skipped. The settings are still to be changed. */
static gboolean
scene_init (Scene *scene)
{
  memset (scene, 0, sizeof *scene);
  scene->child = oidc_child_start (NULL, NULL);
  if (scene->child == NULL)
    return FALSE;
  node_init (&scene->caller, scene->child, "build", "s e:c%ret");
  node_init (&scene->service, scene->child, "service", "another");
  commy_test_host_set_param (scene->caller.host, "show-to", SERVICE);
  commy_test_host_set_param (scene->service.host, "audience", "commy");
  return TRUE;
}

static void
scene_clear (Scene *scene)
{
  commy_test_host_free (scene->caller.host);
  commy_test_host_free (scene->service.host);
  oidc_child_free (scene->child);
}

static void
advance (Scene *scene, gint64 by_s)
{
  commy_test_host_advance (scene->caller.host, by_s * OAUTH2_SECOND);
  commy_test_host_advance (scene->service.host, by_s * OAUTH2_SECOND);
}

static void
tell (Scene *scene, const char *command)
{
  g_free (oidc_child_tell (scene->child, command));
}

static void
check_count (Scene *scene, const char *what, guint n)
{
  g_assert_cmpuint (oidc_child_count (scene->child, what), ==, n);
}

/* What the caller shows. NULL: @words say why not. (transfer full) */
static GBytes *
show (Scene *scene, const char *words)
{
  CommyEvidence evidence = auth_side_evidence (1, SERVICE);
  GBytes *bytes = NULL;
  AuthSide side;

  node_start (&scene->caller);
  auth_side_begin (&side, scene->caller.ops, scene->caller.instance, FALSE, &evidence);
  auth_side_step_sync (&side, NULL);
  if (words == NULL && side.verdict != COMMY_AUTH_NOT_MINE)
    g_error ("refused: %s", side.text);
  if (words != NULL && (side.verdict != COMMY_AUTH_REFUSED || strstr (side.text, words) == NULL))
    g_error ("\"%s\" does not say \"%s\"", side.text, words);
  if (side.bytes != NULL)
    bytes = g_bytes_ref (side.bytes);
  auth_side_end (&side);
  return bytes;
}

static void
begin_check (Scene *scene, AuthSide *side)
{
  CommyEvidence evidence = auth_side_evidence (1, BUILD);

  node_start (&scene->service);
  auth_side_begin (side, scene->service.ops, scene->service.instance, TRUE, &evidence);
}

static CommyAuthVerdict
ask (Scene *scene, GBytes *bytes)
{
  AuthSide side;

  begin_check (scene, &side);
  auth_side_step_sync (&side, bytes);
  auth_side_end (&side);
  return side.verdict;
}

static void
check_verdict (Scene *scene, GBytes *bytes, CommyAuthVerdict verdict, const char *words)
{
  AuthSide side;

  begin_check (scene, &side);
  auth_side_step_sync (&side, bytes);
  if (side.verdict != verdict || strstr (side.text, words) == NULL)
    g_error ("%d, \"%s\" does not say \"%s\"", side.verdict, side.text, words);
  auth_side_end (&side);
}

static void
check (Scene *scene, GBytes *bytes, gboolean accepted, const char *words)
{
  check_verdict (scene, bytes, accepted ? COMMY_AUTH_ACCEPTED : COMMY_AUTH_REFUSED, words);
}

/* That is no fault of who shows it. */
static void
check_unable (Scene *scene, GBytes *bytes, const char *words)
{
  check_verdict (scene, bytes, COMMY_AUTH_UNABLE, words);
}

/* Fresh or known, it is accepted up to its own end, which is within a minute of an hour from now.
 */
static void
check_proof (Scene *scene, GBytes *bytes)
{
  gint64 now_s = g_get_real_time () / G_USEC_PER_SEC;
  CommyProof proof = { .struct_size = sizeof proof };
  AuthSide side;

  begin_check (scene, &side);
  g_assert_false (side.ops->proof (scene->service.instance, NULL, side.session, &proof));
  auth_side_step_sync (&side, bytes);
  g_assert_cmpint (side.verdict, ==, COMMY_AUTH_ACCEPTED);
  g_assert_true (side.ops->proof (scene->service.instance, NULL, side.session, &proof));
  g_assert_cmpint (proof.until_s, >, now_s + 3600 - 60);
  g_assert_cmpint (proof.until_s, <=, now_s + 3600 + JWT_SKEW_S);
  g_assert_cmpint (proof.from_s, <=, now_s);
  g_assert_cmpstr (proof.id, ==, "");
  auth_side_end (&side);
}

static void
test_signed (void)
{
  g_autofree char *expected = NULL;
  g_autoptr (GBytes) again = NULL;
  g_autoptr (GBytes) bytes = NULL;
  Scene scene;

  if (!scene_init (&scene))
    return;
  commy_test_host_set_param (scene.caller.host, "scope", "deploy read");
  bytes = show (&scene, NULL);
  expected = g_strdup_printf ("jwt:%s/build\nscope=deploy\nscope=read", scene.child->issuer);
  check (&scene, bytes, TRUE, expected);
  check (&scene, bytes, TRUE, expected); /* known */
  again = show (&scene, NULL);
  g_assert_true (g_bytes_equal (bytes, again));
  check_count (&scene, "token", 1);
  check_count (&scene, "jwks", 1);
  check_count (&scene, "discovery", 2);
  scene_clear (&scene);
}

/* What an issuer says counts for a minute only; what was set up with it goes on. */
static void
test_ends (void)
{
  static const char *const checks[] = { "keys", "introspection" };

  for (gsize i = 0; i < G_N_ELEMENTS (checks); i++)
    {
      g_autoptr (GBytes) bytes = NULL;
      Scene scene;

      if (!scene_init (&scene))
        return;
      commy_test_host_set_param (scene.service.host, "check", checks[i]);
      if (i == 1)
        commy_test_host_set_param (scene.caller.host, "resource", "urn:commy:opaque");
      bytes = show (&scene, NULL);
      check_proof (&scene, bytes);
      check_proof (&scene, bytes); /* known */
      check_count (&scene, "introspection", (guint) i);
      scene_clear (&scene);
    }
}

static void
test_introspected (void)
{
  g_autofree char *expected = NULL;
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GBytes) other = NULL;
  Scene scene;

  if (!scene_init (&scene))
    return;
  commy_test_host_set_param (scene.caller.host, "resource", "urn:commy:opaque");
  commy_test_host_set_param (scene.caller.host, "scope", "deploy");
  commy_test_host_set_param (scene.service.host, "check", "introspection");
  bytes = show (&scene, NULL);
  expected = g_strdup_printf ("jwt:%s/build\nscope=deploy", scene.child->issuer);
  check (&scene, bytes, TRUE, expected);
  check (&scene, bytes, TRUE, expected);
  check_count (&scene, "introspection", 1);
  other = g_bytes_new_static ("nobody-s-token", strlen ("nobody-s-token"));
  check (&scene, other, FALSE, "not active");
  check (&scene, other, FALSE, "not active"); /* that is not remembered */
  check_count (&scene, "introspection", 3);
  check_count (&scene, "jwks", 0);
  scene_clear (&scene);
}

/* One that was revoked before anybody asked. */
static void
test_revoked (void)
{
  g_autoptr (GBytes) bytes = NULL;
  Scene scene;

  if (!scene_init (&scene))
    return;
  commy_test_host_set_param (scene.caller.host, "resource", "urn:commy:opaque");
  commy_test_host_set_param (scene.service.host, "check", "introspection");
  bytes = show (&scene, NULL);
  tell (&scene, "forget");
  check (&scene, bytes, FALSE, "not active");
  scene_clear (&scene);
}

static void
await_count (Scene *scene, const char *what, guint n)
{
  while (oidc_child_count (scene->child, what) < n)
    g_main_context_iteration (NULL, FALSE);
}

static void
test_fetched_again (void)
{
  g_autoptr (GBytes) first = NULL;
  g_autoptr (GBytes) second = NULL;
  Scene scene;

  if (!scene_init (&scene))
    return;
  first = show (&scene, NULL);
  g_bytes_unref (show (&scene, NULL));
  advance (&scene, 2699);
  check_count (&scene, "token", 1);
  advance (&scene, 2); /* three quarters of an hour */
  await_count (&scene, "token", 2);
  /* Meanwhile the old one is good. */
  tell (&scene, "mode silent");
  do
    {
      g_clear_pointer (&second, g_bytes_unref);
      g_main_context_iteration (NULL, FALSE);
      second = show (&scene, NULL);
    }
  while (g_bytes_equal (first, second));
  check_count (&scene, "token", 2);
  tell (&scene, "mode well");
  check (&scene, second, TRUE, "/build");
  scene_clear (&scene);
}

/* Nobody has used it since: then the next one who does fetches it. */
static void
test_not_fetched_for_nobody (void)
{
  Scene scene;

  if (!scene_init (&scene))
    return;
  g_bytes_unref (show (&scene, NULL));
  advance (&scene, 3569);
  g_bytes_unref (show (&scene, NULL));
  check_count (&scene, "token", 1);
  advance (&scene, 2); /* half a minute before its end */
  g_bytes_unref (show (&scene, NULL));
  check_count (&scene, "token", 2);
  scene_clear (&scene);
}

static void
test_fetched_once_for_all (void)
{
  CommyEvidence evidence = auth_side_evidence (1, SERVICE);
  AuthSide sides[OAUTH2_WAITS_MAX + 1];
  Scene scene;

  if (!scene_init (&scene))
    return;
  node_start (&scene.caller);
  for (gsize i = 0; i < G_N_ELEMENTS (sides); i++)
    {
      auth_side_begin (&sides[i], scene.caller.ops, scene.caller.instance, FALSE, &evidence);
      auth_side_step (&sides[i], NULL);
    }
  g_assert_cmpint (sides[OAUTH2_WAITS_MAX].verdict, ==, COMMY_AUTH_REFUSED);
  g_assert_nonnull (strstr (sides[OAUTH2_WAITS_MAX].text, "too many wait"));
  auth_side_end (&sides[0]); /* has gone meanwhile */
  for (gsize i = 1; i < G_N_ELEMENTS (sides); i++)
    {
      while (sides[i].n_answers == 0)
        g_main_context_iteration (NULL, TRUE);
      if (i < OAUTH2_WAITS_MAX)
        g_assert_cmpint (sides[i].verdict, ==, COMMY_AUTH_NOT_MINE);
      auth_side_end (&sides[i]);
    }
  check_count (&scene, "token", 1);
  scene_clear (&scene);
}

/* --- what is not shown --- */

static void
test_not_shown (void)
{
  CommyEvidence evidence = auth_side_evidence (1, SERVICE);
  AuthSide side;
  Scene scene;

  if (!scene_init (&scene))
    return;
  node_start (&scene.caller);
  evidence.security = COMMY_SECURITY_AUTHENTICATED;
  auth_side_begin (&side, scene.caller.ops, scene.caller.instance, FALSE, &evidence);
  auth_side_step_sync (&side, NULL);
  g_assert_nonnull (strstr (side.text, "not confidential"));
  auth_side_end (&side);
  evidence = auth_side_evidence (1, BUILD);
  auth_side_begin (&side, scene.caller.ops, scene.caller.instance, FALSE, &evidence);
  auth_side_step_sync (&side, NULL);
  g_assert_nonnull (strstr (side.text, "show-to of [plugin auth/oauth2] does not name " BUILD));
  auth_side_end (&side);
  check_count (&scene, "token", 0);
  check_count (&scene, "discovery", 0);
  scene_clear (&scene);
}

/* A wrong secret is not tried by each connection. */
static void
test_wrong_secret (void)
{
  Scene scene;

  if (!scene_init (&scene))
    return;
  g_free (write_secret (scene.caller.host, "guess"));
  g_assert_null (show (&scene, "invalid_client"));
  for (int i = 0; i < 20; i++)
    g_assert_null (show (&scene, "invalid_client"));
  check_count (&scene, "token", 1);
  advance (&scene, 1);
  g_assert_null (show (&scene, "invalid_client"));
  g_assert_null (show (&scene, "invalid_client"));
  check_count (&scene, "token", 2);
  g_free (write_secret (scene.caller.host, "s e:c%ret")); /* the file is read for each */
  advance (&scene, 2);
  g_bytes_unref (show (&scene, NULL));
  scene_clear (&scene);
}

/* --- keys that change, and keys that never were --- */

static GBytes *
change_key_id (GBytes *bytes, guint n)
{
  gsize size;
  const char *text = g_bytes_get_data (bytes, &size);
  const char *dot = memchr (text, '.', size);
  g_autofree char *header
      = g_strdup_printf ("{\"alg\":\"ES256\",\"typ\":\"at+jwt\",\"kid\":\"none-%u\"}", n);
  g_autofree char *encoded = g_base64_encode ((const guchar *) header, strlen (header));
  GString *all = g_string_new (NULL);

  for (const char *at = encoded; *at != '\0' && *at != '='; at++)
    g_string_append_c (all, *at == '+' ? '-' : *at == '/' ? '_' : *at);
  g_string_append_len (all, dot, (gssize) (size - (gsize) (dot - text)));
  return g_string_free_to_bytes (all);
}

/* However many tokens name keys that are not there, the issuer is asked once a minute. */
static void
test_flood (void)
{
  g_autoptr (GBytes) bytes = NULL;
  Scene scene;

  if (!scene_init (&scene))
    return;
  bytes = show (&scene, NULL);
  check (&scene, bytes, TRUE, "/build");
  for (guint minute = 0; minute < 3; minute++)
    {
      for (guint i = 0; i < 100; i++)
        {
          g_autoptr (GBytes) odd = change_key_id (bytes, 100 * minute + i);

          check (&scene, odd, FALSE, "its key is not in the key set");
        }
      check_count (&scene, "jwks", 1 + minute);
      advance (&scene, 60);
    }
  check (&scene, bytes, TRUE, "/build");
  scene_clear (&scene);
}

static void
test_rotated (void)
{
  g_autoptr (GBytes) old = NULL;
  g_autoptr (GBytes) new = NULL;
  Scene scene;

  if (!scene_init (&scene))
    return;
  old = show (&scene, NULL);
  check (&scene, old, TRUE, "/build");
  tell (&scene, "rotate");
  commy_test_host_stop (scene.caller.host);
  scene.caller.instance = NULL;
  new = show (&scene, NULL);
  check (&scene, new, FALSE, "less than a minute ago");
  check (&scene, old, TRUE, "/build");
  advance (&scene, 60);
  check (&scene, new, TRUE, "/build");
  check_count (&scene, "jwks", 2);
  check (&scene, old, FALSE, "its key is not in the key set"); /* though it was found good before */
  scene_clear (&scene);
}

/* A token that was checked before is no better than the keys it was checked by. */
static void
test_withdrawn (void)
{
  g_autoptr (GBytes) bytes = NULL;
  Scene scene;

  if (!scene_init (&scene))
    return;
  bytes = show (&scene, NULL);
  check (&scene, bytes, TRUE, "/build");
  tell (&scene, "rotate");
  advance (&scene, 2699);
  check (&scene, bytes, TRUE, "/build");
  check_count (&scene, "jwks", 1);
  advance (&scene, 2); /* three quarters of their time: they are fetched again, by who is known */
  check (&scene, bytes, TRUE, "/build");
  await_count (&scene, "jwks", 2);
  while (ask (&scene, bytes) == COMMY_AUTH_ACCEPTED)
    g_main_context_iteration (NULL, TRUE);
  check (&scene, bytes, FALSE, "its key is not in the key set");
  scene_clear (&scene);
}

static void
test_withdrawn_while_nobody_came (void)
{
  g_autoptr (GBytes) bytes = NULL;
  Scene scene;

  if (!scene_init (&scene))
    return;
  bytes = show (&scene, NULL);
  check (&scene, bytes, TRUE, "/build");
  tell (&scene, "rotate");
  advance (&scene, 3601);
  check (&scene, bytes, FALSE, "its key is not in the key set");
  scene_clear (&scene);
}

/* An issuer that loses its mind does not take its keys with it, for a while. */
static void
test_odd_keys (void)
{
  static const char *const modes[]
      = { "mode garbage", "mode empty", "mode much", "mode broken", "mode elsewhere" };
  g_autoptr (GBytes) bytes = NULL;
  Scene scene;

  if (!scene_init (&scene))
    return;
  bytes = show (&scene, NULL);
  check (&scene, bytes, TRUE, "/build");
  for (gsize i = 0; i < G_N_ELEMENTS (modes); i++)
    {
      g_autoptr (GBytes) odd = change_key_id (bytes, (guint) i);

      tell (&scene, modes[i]);
      advance (&scene, 100);
      check (&scene, odd, FALSE, "its key is not in the key set");
      check_count (&scene, "jwks", (guint) i + 2); /* none follows where an answer points */
    }
  check (&scene, bytes, TRUE, "/build");
  advance (&scene, 3600);
  tell (&scene, "mode well");
  check (&scene, bytes, TRUE, "/build");
  scene_clear (&scene);
}

static void
test_keys_too_old (void)
{
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GBytes) odd = NULL;
  Scene scene;

  if (!scene_init (&scene))
    return;
  bytes = show (&scene, NULL);
  odd = change_key_id (bytes, 1);
  check (&scene, odd, FALSE, "its key is not in the key set");
  check (&scene, bytes, TRUE, "/build"); /* is known from now on */
  tell (&scene, "mode garbage");
  advance (&scene, 3601);
  check_unable (&scene, bytes, "no keys of");
  tell (&scene, "mode well");
  check_unable (&scene, bytes, "no keys of"); /* it was asked a moment ago */
  advance (&scene, 1);
  check (&scene, bytes, TRUE, "/build");
  scene_clear (&scene);
}

/* One who never answers is waited for as long as there is patience for. */
static void
test_silent (void)
{
  CommyEvidence evidence = auth_side_evidence (1, BUILD);
  g_autoptr (GBytes) bytes = g_bytes_new_static ("a.b.c", 5);
  AuthSide side, gone;
  Scene scene;

  if (!scene_init (&scene))
    return;
  tell (&scene, "mode silent");
  node_start (&scene.service);
  auth_side_begin (&side, scene.service.ops, scene.service.instance, TRUE, &evidence);
  auth_side_begin (&gone, scene.service.ops, scene.service.instance, TRUE, &evidence);
  auth_side_step (&side, bytes);
  auth_side_step (&gone, bytes);
  await_count (&scene, "discovery", 1);
  auth_side_end (&gone);
  g_assert_cmpuint (side.n_answers, ==, 0);
  advance (&scene, 5);
  g_assert_cmpint (side.verdict, ==, COMMY_AUTH_UNABLE);
  g_assert_nonnull (strstr (side.text, "no answer in 5 s"));
  auth_side_end (&side);
  scene_clear (&scene);
}

/* An issuer that gives no answer says nothing about a token. */
static void
test_no_answer (void)
{
  g_autoptr (GBytes) other = g_bytes_new_static ("another", strlen ("another"));
  g_autoptr (GBytes) bytes = NULL;
  Scene scene;

  if (!scene_init (&scene))
    return;
  commy_test_host_set_param (scene.caller.host, "resource", "urn:commy:opaque");
  commy_test_host_set_param (scene.service.host, "check", "introspection");
  bytes = show (&scene, NULL);
  tell (&scene, "mode broken");
  check_unable (&scene, bytes, "status 500");
  advance (&scene, 1);
  tell (&scene, "mode well");
  check (&scene, bytes, TRUE, "/build");
  advance (&scene, 1);
  tell (&scene, "mode empty");
  check (&scene, bytes, TRUE, "/build"); /* known for a minute */
  check_unable (&scene, other, OAUTH2_NO_ANSWER);
  g_free (write_secret (scene.service.host, "guess"));
  tell (&scene, "mode well");
  check_unable (&scene, other, "status 401");
  scene_clear (&scene);
}

static void
test_questions_limited (void)
{
  AuthSide sides[OAUTH2_CHECKS_MAX + 2];
  Scene scene;

  if (!scene_init (&scene))
    return;
  commy_test_host_set_param (scene.service.host, "check", "introspection");
  node_start (&scene.service);
  tell (&scene, "mode silent");
  for (guint i = 0; i < G_N_ELEMENTS (sides); i++)
    {
      /* A caller with one question more than it may have, and others with as many as there are. */
      guint who = i <= OAUTH2_CHECKS_EACH ? 0 : (i - 1) / OAUTH2_CHECKS_EACH;
      g_autofree char *name = g_strdup_printf (BUILD "%u", who);
      CommyEvidence evidence = auth_side_evidence (1, name);
      g_autoptr (GBytes) bytes = g_bytes_new ("abcdefgh", 1 + i % 8);

      auth_side_begin (&sides[i], scene.service.ops, scene.service.instance, TRUE, &evidence);
      auth_side_step (&sides[i], bytes);
    }
  for (guint i = 0; i < G_N_ELEMENTS (sides); i++)
    {
      gboolean is_over = i == OAUTH2_CHECKS_EACH || i == OAUTH2_CHECKS_MAX + 1;

      g_assert_cmpuint (sides[i].n_answers, ==, is_over ? 1 : 0);
      if (!is_over)
        continue;
      g_assert_cmpint (sides[i].verdict, ==, COMMY_AUTH_UNABLE);
      g_assert_nonnull (strstr (sides[i].text, "too many checks"));
    }
  for (gsize i = 0; i < G_N_ELEMENTS (sides); i++)
    auth_side_end (&sides[i]);
  tell (&scene, "mode well");
  scene_clear (&scene);
}

/* Who has not proved who it is has a share by what it came with. */
static void
test_share_of_a_stranger (void)
{
  AuthSide sides[OAUTH2_CHECKS_EACH + 2];
  Scene scene;

  if (!scene_init (&scene))
    return;
  commy_test_host_set_param (scene.service.host, "check", "introspection");
  node_start (&scene.service);
  tell (&scene, "mode silent");
  for (guint i = 0; i < G_N_ELEMENTS (sides); i++)
    {
      CommyEvidence evidence = auth_side_evidence (1, NULL);
      g_autoptr (GBytes) bytes = g_bytes_new ("abcdefgh", 1 + i % 8);

      evidence.kind = COMMY_EVIDENCE_KERNEL;
      evidence.uid = i <= OAUTH2_CHECKS_EACH ? 1000 : 1001;
      auth_side_begin (&sides[i], scene.service.ops, scene.service.instance, TRUE, &evidence);
      auth_side_step (&sides[i], bytes);
      g_assert_cmpuint (sides[i].n_answers, ==, i == OAUTH2_CHECKS_EACH ? 1 : 0);
    }
  for (gsize i = 0; i < G_N_ELEMENTS (sides); i++)
    auth_side_end (&sides[i]);
  tell (&scene, "mode well");
  scene_clear (&scene);
}

/* --- tokens that are for others --- */

static void
test_other_audience (void)
{
  g_autoptr (GBytes) bytes = NULL;
  Scene scene;

  if (!scene_init (&scene))
    return;
  commy_test_host_set_param (scene.caller.host, "resource", "urn:commy:other");
  bytes = show (&scene, NULL);
  check (&scene, bytes, FALSE, "for somebody else (aud)");
  scene_clear (&scene);
}

static void
test_too_long_a_life (void)
{
  g_autoptr (GBytes) bytes = NULL;
  Scene scene;

  if (!scene_init (&scene))
    return;
  commy_test_host_set_param (scene.caller.host, "resource", "urn:commy:long");
  bytes = show (&scene, NULL);
  check (&scene, bytes, FALSE, "longer than param.max-life");
  scene_clear (&scene);
}

static void
test_no_tokens (void)
{
  static const char *const texts[] = { "", " ", "a\nb", "a b", "\xff" };
  g_autofree char *much = g_strnfill (JWT_TEXT_MAX + 1, 'a');
  g_autoptr (GBytes) too_much = NULL;
  Scene scene;

  if (!scene_init (&scene))
    return;
  for (gsize i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_autoptr (GBytes) bytes = g_bytes_new (texts[i], strlen (texts[i]));

      check (&scene, bytes, FALSE, "is no token");
    }
  too_much = g_bytes_new (much, strlen (much));
  check (&scene, too_much, FALSE, "is no token");
  check_count (&scene, "discovery", 0);
  scene_clear (&scene);
}

/* --- settings, and HTTPS --- */

static void
check_start_fails (Scene *scene, const char *name, const char *value, const char *words)
{
  g_autoptr (GError) error = NULL;

  commy_test_host_set_param (scene->service.host, name, value);
  g_assert_null (commy_test_host_start (scene->service.host, &error));
  if (strstr (error->message, words) == NULL)
    g_error ("\"%s\" does not say \"%s\"", error->message, words);
}

static void
test_settings (void)
{
  Scene scene;

  if (!scene_init (&scene))
    return;
  check_start_fails (&scene, "insecure-loopback", "false", "it is not https");
  commy_test_host_set_param (scene.service.host, "insecure-loopback", "true");
  check_start_fails (&scene, "algorithms", "HS256", "algorithms are out of");
  check_start_fails (&scene, "algorithms", "none", "algorithms are out of");
  commy_test_host_set_param (scene.service.host, "algorithms", "ES256");
  check_start_fails (&scene, "check", "believe", "check is keys or introspection");
  commy_test_host_set_param (scene.service.host, "check", "keys");
  check_start_fails (&scene, "ca", "ca.pem", "absolute path");
  check_start_fails (&scene, "ca", "/nowhere/at/all.pem", "/nowhere/at/all.pem");
  commy_test_host_set_param (scene.service.host, "ca", "");
  check_start_fails (&scene, "issuer", "", "need issuer");
  check_start_fails (&scene, "issuer", "http://login.example.org", "it is not https");
  scene_clear (&scene);
}

/* As it says it of itself: a slash more is another one. */
static void
test_other_issuer (void)
{
  g_autofree char *other = NULL;
  Scene scene;

  if (!scene_init (&scene))
    return;
  other = g_strconcat (scene.child->issuer, "/", NULL);
  commy_test_host_set_param (scene.caller.host, "issuer", other);
  g_assert_null (show (&scene, "another issuer than param.issuer"));
  scene_clear (&scene);
}

static void
make_certificate (const char *certificate, const char *key)
{
  const char *argv[] = { "openssl",
                         "req",
                         "-x509",
                         "-newkey",
                         "ec",
                         "-pkeyopt",
                         "ec_paramgen_curve:P-256",
                         "-nodes",
                         "-days",
                         "2",
                         "-subj",
                         "/CN=issuer",
                         "-addext",
                         "subjectAltName=IP:127.0.0.1",
                         "-keyout",
                         key,
                         "-out",
                         certificate,
                         NULL };
  g_autoptr (GError) error = NULL;
  g_autoptr (GSubprocess) child
      = g_subprocess_newv (argv, G_SUBPROCESS_FLAGS_STDERR_SILENCE, &error);

  g_assert_no_error (error);
  g_assert_true (g_subprocess_wait_check (child, NULL, NULL));
}

static void
test_https (void)
{
  g_autofree char *folder = g_dir_make_tmp ("commy-oidc-XXXXXX", NULL);
  g_autofree char *certificate = g_build_filename (folder, "cert.pem", NULL);
  g_autofree char *key = g_build_filename (folder, "key.pem", NULL);
  g_autoptr (GBytes) bytes = NULL;
  Scene scene = { NULL };

  make_certificate (certificate, key);
  scene.child = oidc_child_start (certificate, key);
  if (scene.child == NULL)
    {
      commy_test_remove_tree (folder);
      return;
    }
  node_init (&scene.caller, scene.child, "build", "s e:c%ret");
  node_init (&scene.service, scene.child, "service", "another");
  commy_test_host_set_param (scene.caller.host, "show-to", SERVICE);
  commy_test_host_set_param (scene.service.host, "audience", "commy");
  commy_test_host_set_param (scene.caller.host, "insecure-loopback", "false");
  /* Nobody whom the system knows vouches for it. */
  g_assert_null (show (&scene, "/.well-known/openid-configuration: "));
  commy_test_host_stop (scene.caller.host);
  scene.caller.instance = NULL;
  commy_test_host_set_param (scene.caller.host, "ca", certificate);
  commy_test_host_set_param (scene.service.host, "ca", certificate);
  bytes = show (&scene, NULL);
  check (&scene, bytes, TRUE, "/build");
  scene_clear (&scene);
  commy_test_remove_tree (folder);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(NAME, FUNC) g_test_add_func ("/auth/oauth2/" NAME, FUNC)
  ADD ("parse/addresses-that-are-asked", test_urls);
  ADD ("parse/discovery", test_metadata);
  ADD ("parse/token-answers", test_token_answers);
  ADD ("parse/error-answers", test_error_answers);
  /* attack: a token that is bound to somebody else's key, where the issuer is asked; defence: what
   * is bound to a key (cnf) or by a scheme (token_type) that is not looked at is refused; test:
   * /auth/oauth2/parse/introspections */
  ADD ("parse/introspections", test_introspections);
  ADD ("token/is-got-shown-and-checked-by-keys", test_signed);
  ADD ("token/is-checked-by-asking", test_introspected);
  /* attack: go on over a connection when the access token of its set-up is over; defence: a
   * connection ends with what it rests on; test: /auth/oauth2/token/ends-what-rests-on-it */
  ADD ("token/ends-what-rests-on-it", test_ends);
  ADD ("token/revoked-is-refused", test_revoked);
  ADD ("token/is-got-again-before-its-end", test_fetched_again);
  ADD ("token/is-not-got-for-nobody", test_not_fetched_for_nobody);
  ADD ("token/is-got-once-for-all", test_fetched_once_for_all);
  ADD ("token/is-not-shown-to-everybody", test_not_shown);
  ADD ("token/wrong-secret-is-not-tried-in-a-loop", test_wrong_secret);
  ADD ("token/for-somebody-else-is-refused", test_other_audience);
  ADD ("token/for-too-long-is-refused", test_too_long_a_life);
  ADD ("token/what-is-none", test_no_tokens);
  /* attack: tokens with unknown keys by the thousand, to have the issuer asked; defence: one
   * look a minute for an unknown key; test: /auth/oauth2/keys/flood-asks-once-a-minute */
  ADD ("keys/flood-asks-once-a-minute", test_flood);
  /* attack: a key that the issuer has withdrawn; defence: the set is read again, and what was
   * checked with it is checked anew; test: /auth/oauth2/keys/rotated */
  ADD ("keys/rotated", test_rotated);
  /* attack: a token of a withdrawn key that was accepted before; defence: what was found good is
   * asked for behind the keys, which are fetched again in time; test:
   * /auth/oauth2/keys/withdrawn */
  ADD ("keys/withdrawn", test_withdrawn);
  ADD ("keys/withdrawn-while-nobody-came", test_withdrawn_while_nobody_came);
  ADD ("keys/odd-ones-do-not-count", test_odd_keys);
  ADD ("keys/too-old-let-nobody-in", test_keys_too_old);
  ADD ("issuer/silent", test_silent);
  ADD ("issuer/without-an-answer", test_no_answer);
  /* attack: tokens by the thousand that the issuer has to be asked about; defence: so many
   * questions at a time, and of one caller fewer; test:
   * /auth/oauth2/issuer/is-asked-so-many-questions-at-a-time */
  ADD ("issuer/is-asked-so-many-questions-at-a-time", test_questions_limited);
  ADD ("issuer/is-asked-by-strangers-in-shares", test_share_of_a_stranger);
  ADD ("issuer/settings", test_settings);
  /* attack: an issuer that speaks for another; defence: the name in its answer must be that of
   * the keyfile; test: /auth/oauth2/issuer/another-than-it-says */
  ADD ("issuer/another-than-it-says", test_other_issuer);
  ADD ("issuer/https", test_https);
#undef ADD
  return g_test_run ();
}
