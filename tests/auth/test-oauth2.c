/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The provider `oauth2` and a real issuer: tokens that are got, shown, checked and got again.
 */
#include "config.h"

#include "oauth2-scene.h"

#include <glib/gstdio.h>
#include <string.h>

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
  static const char *const chosen[] = { "team", NULL };
  static const JwtRules rules = { .issuer = "https://i.example",
                                  .audience = "commy",
                                  .type = "at+jwt",
                                  .max_life_s = 86400,
                                  .is_told = TRUE,
                                  .claims = (char **) chosen };
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
  check_introspection (GOOD "\"sub\":\"a\",\"team\":\"ops\"", NULL,
                       "jwt:https://i.example/a\nclaim:team=ops");
  check_introspection (GOOD "\"sub\":\"a\",\"team\":{}", "a claim that rules look at", NULL);
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

/* --- tokens --- */

/* Fresh or known, it is accepted up to its own end, which is within a minute of an hour from now.
 */
static void
check_proof (Scene *scene, GBytes *bytes)
{
  gint64 now_s = g_get_real_time () / G_USEC_PER_SEC;
  CommyProof proof = { .struct_size = sizeof proof };
  AuthSide side;

  scene_begin_check (scene, &side);
  g_assert_false (side.ops->proof (scene->service.instance, NULL, side.session, &proof));
  auth_side_step_sync (&side, bytes);
  g_assert_cmpint (side.verdict, ==, COMMY_AUTH_ACCEPTED);
  g_assert_true (side.ops->proof (scene->service.instance, NULL, side.session, &proof));
  g_assert_cmpint (proof.until_s, >, now_s + 3600 - 60);
  g_assert_cmpint (proof.until_s, <=, now_s + 3600 + JWT_SKEW_S);
  g_assert_cmpint (proof.from_s, <=, now_s);
  g_test_message ("%s", proof.id);
  g_assert_true (g_str_has_prefix (proof.id, "jwt-id:http")
                 || g_str_has_prefix (proof.id, "jwt-sha256:"));
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
  bytes = scene_show (&scene, NULL);
  expected = g_strdup_printf ("jwt:%s/build\nscope=deploy\nscope=read", scene.child->issuer);
  scene_check (&scene, bytes, TRUE, expected);
  scene_check (&scene, bytes, TRUE, expected); /* known */
  again = scene_show (&scene, NULL);
  g_assert_true (g_bytes_equal (bytes, again));
  scene_check_count (&scene, "token", 1);
  scene_check_count (&scene, "jwks", 1);
  scene_check_count (&scene, "discovery", 2);
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
      bytes = scene_show (&scene, NULL);
      check_proof (&scene, bytes);
      check_proof (&scene, bytes); /* known */
      scene_check_count (&scene, "introspection", (guint) i);
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
  bytes = scene_show (&scene, NULL);
  expected = g_strdup_printf ("jwt:%s/build\nscope=deploy", scene.child->issuer);
  scene_check (&scene, bytes, TRUE, expected);
  scene_check (&scene, bytes, TRUE, expected);
  scene_check_count (&scene, "introspection", 1);
  other = g_bytes_new_static ("nobody-s-token", strlen ("nobody-s-token"));
  scene_check (&scene, other, FALSE, "not active");
  scene_check (&scene, other, FALSE, "not active"); /* that is not remembered */
  scene_check_count (&scene, "introspection", 3);
  scene_check_count (&scene, "jwks", 0);
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
  bytes = scene_show (&scene, NULL);
  scene_tell (&scene, "forget");
  scene_check (&scene, bytes, FALSE, "not active");
  scene_clear (&scene);
}

static void
test_fetched_again (void)
{
  g_autoptr (GBytes) first = NULL;
  g_autoptr (GBytes) second = NULL;
  Scene scene;

  if (!scene_init (&scene))
    return;
  first = scene_show (&scene, NULL);
  g_bytes_unref (scene_show (&scene, NULL));
  scene_advance (&scene, 2699);
  scene_check_count (&scene, "token", 1);
  scene_advance (&scene, 2); /* three quarters of an hour */
  scene_await_count (&scene, "token", 2);
  /* Meanwhile the old one is good. */
  scene_tell (&scene, "mode silent");
  do
    {
      g_clear_pointer (&second, g_bytes_unref);
      g_main_context_iteration (NULL, FALSE);
      second = scene_show (&scene, NULL);
    }
  while (g_bytes_equal (first, second));
  scene_check_count (&scene, "token", 2);
  scene_tell (&scene, "mode well");
  scene_check (&scene, second, TRUE, "/build");
  scene_clear (&scene);
}

/* Nobody has used it since: then the next one who does has it fetched, as a connection that is
 * replaced because the token ends; but he does not wait for that. */
static void
test_not_fetched_for_nobody (void)
{
  g_autoptr (GBytes) first = NULL;
  g_autoptr (GBytes) second = NULL;
  g_autoptr (GBytes) third = NULL;
  Scene scene;

  if (!scene_init (&scene))
    return;
  first = scene_show (&scene, NULL);
  scene_advance (&scene, 2701); /* three quarters of an hour */
  scene_check_count (&scene, "token", 1);
  second = scene_show (&scene, NULL);
  g_assert_true (g_bytes_equal (first, second));
  scene_await_count (&scene, "token", 2);
  do
    {
      g_clear_pointer (&third, g_bytes_unref);
      g_main_context_iteration (NULL, FALSE);
      third = scene_show (&scene, NULL);
    }
  while (g_bytes_equal (first, third));
  scene_check_count (&scene, "token", 2);
  scene_clear (&scene);
}

/* Where the issuer gives none the old one is shown up to its end, half a minute before, and who
 * needs it does not wait for an issuer that says nothing. */
static void
test_old_one_is_good (void)
{
  g_autoptr (GBytes) first = NULL;
  g_autoptr (GBytes) second = NULL;
  Scene scene;

  if (!scene_init (&scene))
    return;
  first = scene_show (&scene, NULL);
  scene_tell (&scene, "mode broken");
  scene_advance (&scene, 2701);
  second = scene_show (&scene, NULL);
  g_assert_true (g_bytes_equal (first, second));
  while (commy_test_host_count_log (scene.caller.host, "status 500") == 0)
    g_main_context_iteration (NULL, TRUE);
  scene_advance (&scene, 870);
  g_assert_null (scene_show (&scene, "status 500"));
  scene_clear (&scene);
}

/* Who shows one knows when it ends, and replaces what rests on it before. */
static void
test_shown_until (void)
{
  CommyEvidence evidence = auth_side_evidence (1, SERVICE);
  CommyProof proof = { .struct_size = sizeof proof };
  gint64 begun_s = g_get_real_time () / G_USEC_PER_SEC;
  gint64 now_s;
  AuthSide side;
  Scene scene;

  if (!scene_init (&scene))
    return;
  node_start (&scene.caller);
  auth_side_begin (&side, scene.caller.ops, scene.caller.instance, FALSE, &evidence);
  g_assert_false (side.ops->proof (scene.caller.instance, NULL, side.session, &proof));
  auth_side_step_sync (&side, NULL);
  g_assert_cmpint (side.verdict, ==, COMMY_AUTH_NOT_MINE);
  g_assert_true (side.ops->proof (scene.caller.instance, NULL, side.session, &proof));
  now_s = g_get_real_time () / G_USEC_PER_SEC;
  g_assert_cmpstr (proof.id, ==, "");
  g_assert_cmpint (proof.from_s, >=, begun_s);
  g_assert_cmpint (proof.from_s, <=, now_s);
  g_assert_cmpint (proof.until_s, ==, proof.from_s + 3600 + JWT_SKEW_S);
  auth_side_end (&side);
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
  scene_check_count (&scene, "token", 1);
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
  scene_check_count (&scene, "token", 0);
  scene_check_count (&scene, "discovery", 0);
  scene_clear (&scene);
}

/* A wrong secret is not tried by each connection. */
static void
test_wrong_secret (void)
{
  Scene scene;

  if (!scene_init (&scene))
    return;
  g_free (node_write_secret (scene.caller.host, "guess"));
  g_assert_null (scene_show (&scene, "invalid_client"));
  for (int i = 0; i < 20; i++)
    g_assert_null (scene_show (&scene, "invalid_client"));
  scene_check_count (&scene, "token", 1);
  scene_advance (&scene, 1);
  g_assert_null (scene_show (&scene, "invalid_client"));
  g_assert_null (scene_show (&scene, "invalid_client"));
  scene_check_count (&scene, "token", 2);
  g_free (node_write_secret (scene.caller.host, "s e:c%ret")); /* the file is read for each */
  scene_advance (&scene, 2);
  g_bytes_unref (scene_show (&scene, NULL));
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
  bytes = scene_show (&scene, NULL);
  scene_check (&scene, bytes, FALSE, "for somebody else (aud)");
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
  bytes = scene_show (&scene, NULL);
  scene_check (&scene, bytes, FALSE, "longer than param.max-life");
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

      scene_check (&scene, bytes, FALSE, "is no token");
    }
  too_much = g_bytes_new (much, strlen (much));
  scene_check (&scene, too_much, FALSE, "is no token");
  scene_check_count (&scene, "discovery", 0);
  scene_clear (&scene);
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
  ADD ("token/the-old-one-is-good-up-to-its-end", test_old_one_is_good);
  ADD ("token/its-end-is-known-to-who-shows-it", test_shown_until);
  ADD ("token/is-got-once-for-all", test_fetched_once_for_all);
  ADD ("token/is-not-shown-to-everybody", test_not_shown);
  ADD ("token/wrong-secret-is-not-tried-in-a-loop", test_wrong_secret);
  ADD ("token/for-somebody-else-is-refused", test_other_audience);
  ADD ("token/for-too-long-is-refused", test_too_long_a_life);
  ADD ("token/what-is-none", test_no_tokens);
#undef ADD
  return g_test_run ();
}
