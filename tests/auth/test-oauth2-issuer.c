/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The provider `oauth2` and its issuer: keys that change, flood, or are none; an issuer that
 * answers what it should not, or nothing; and how much it is asked.
 */
#include "config.h"

#include "oauth2-scene.h"

#include <glib/gstdio.h>
#include <string.h>

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

/* However many tokens name keys that are not there, the issuer is asked once a minute. Only who had
 * it asked knows that the key is none: the others may be ahead of the set. */
static void
test_flood (void)
{
  g_autoptr (GBytes) bytes = NULL;
  Scene scene;

  if (!scene_init (&scene))
    return;
  bytes = scene_show (&scene, NULL);
  scene_check (&scene, bytes, TRUE, "/build");
  for (guint minute = 0; minute < 3; minute++)
    {
      for (guint i = 0; i < 100; i++)
        {
          g_autoptr (GBytes) odd = change_key_id (bytes, 100 * minute + i);

          if (minute > 0 && i == 0)
            scene_check (&scene, odd, FALSE, "its key is not in the key set");
          else
            scene_check_unable (&scene, odd, "asked for less than a minute ago");
        }
      scene_check_count (&scene, "jwks", 1 + minute);
      scene_advance (&scene, 60);
    }
  scene_check (&scene, bytes, TRUE, "/build");
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
  old = scene_show (&scene, NULL);
  scene_check (&scene, old, TRUE, "/build");
  scene_tell (&scene, "rotate");
  commy_test_host_stop (scene.caller.host);
  scene.caller.instance = NULL;
  new = scene_show (&scene, NULL);
  scene_check_unable (&scene, new, "less than a minute ago"); /* it is a good one */
  scene_check (&scene, old, TRUE, "/build");
  scene_advance (&scene, 60);
  scene_check (&scene, new, TRUE, "/build");
  scene_check_count (&scene, "jwks", 2);
  scene_check_unable (&scene, old, "less than a minute ago"); /* though it was found good before */
  scene_advance (&scene, 60);
  scene_check (&scene, old, FALSE, "its key is not in the key set");
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
  bytes = scene_show (&scene, NULL);
  scene_check (&scene, bytes, TRUE, "/build");
  scene_tell (&scene, "rotate");
  scene_advance (&scene, 2699);
  scene_check (&scene, bytes, TRUE, "/build");
  scene_check_count (&scene, "jwks", 1);
  scene_advance (&scene,
                 2); /* three quarters of their time: they are fetched again, by who is known */
  scene_check (&scene, bytes, TRUE, "/build");
  scene_await_count (&scene, "jwks", 2);
  while (scene_ask (&scene, bytes) == COMMY_AUTH_ACCEPTED)
    g_main_context_iteration (NULL, TRUE);
  scene_check_unable (&scene, bytes, "less than a minute ago");
  scene_advance (&scene, 60);
  scene_check (&scene, bytes, FALSE, "its key is not in the key set");
  scene_clear (&scene);
}

static void
test_withdrawn_while_nobody_came (void)
{
  g_autoptr (GBytes) bytes = NULL;
  Scene scene;

  if (!scene_init (&scene))
    return;
  bytes = scene_show (&scene, NULL);
  scene_check (&scene, bytes, TRUE, "/build");
  scene_tell (&scene, "rotate");
  scene_advance (&scene, 3601);
  scene_check (&scene, bytes, FALSE, "its key is not in the key set");
  scene_clear (&scene);
}

/* An issuer that loses its mind does not take its keys with it, for a while. Who shows a newer one
 * meanwhile is not let in, but has done nothing wrong. */
static void
test_odd_keys (void)
{
  static const char *const modes[]
      = { "mode garbage", "mode empty", "mode much", "mode broken", "mode elsewhere" };
  g_autoptr (GBytes) bytes = NULL;
  Scene scene;

  if (!scene_init (&scene))
    return;
  bytes = scene_show (&scene, NULL);
  scene_check (&scene, bytes, TRUE, "/build");
  for (gsize i = 0; i < G_N_ELEMENTS (modes); i++)
    {
      g_autoptr (GBytes) odd = change_key_id (bytes, (guint) i);

      scene_tell (&scene, modes[i]);
      scene_advance (&scene, 100);
      scene_check_unable (&scene, odd, "no keys of");
      scene_check_count (&scene, "jwks", (guint) i + 2); /* none follows where an answer points */
    }
  scene_check (&scene, bytes, TRUE, "/build");
  scene_advance (&scene, 3600);
  scene_tell (&scene, "mode well");
  scene_check (&scene, bytes, TRUE, "/build");
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
  bytes = scene_show (&scene, NULL);
  odd = change_key_id (bytes, 1);
  scene_check (&scene, odd, FALSE, "its key is not in the key set");
  scene_check (&scene, bytes, TRUE, "/build"); /* is known from now on */
  scene_tell (&scene, "mode garbage");
  scene_advance (&scene, 3601);
  scene_check_unable (&scene, bytes, "no keys of");
  scene_tell (&scene, "mode well");
  scene_check_unable (&scene, bytes, "no keys of"); /* it was asked a moment ago */
  scene_advance (&scene, 1);
  scene_check (&scene, bytes, TRUE, "/build");
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
  scene_tell (&scene, "mode silent");
  node_start (&scene.service);
  auth_side_begin (&side, scene.service.ops, scene.service.instance, TRUE, &evidence);
  auth_side_begin (&gone, scene.service.ops, scene.service.instance, TRUE, &evidence);
  auth_side_step (&side, bytes);
  auth_side_step (&gone, bytes);
  scene_await_count (&scene, "discovery", 1);
  auth_side_end (&gone);
  g_assert_cmpuint (side.n_answers, ==, 0);
  scene_advance (&scene, 5);
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
  bytes = scene_show (&scene, NULL);
  scene_tell (&scene, "mode broken");
  scene_check_unable (&scene, bytes, "status 500");
  scene_advance (&scene, 1);
  scene_tell (&scene, "mode well");
  scene_check (&scene, bytes, TRUE, "/build");
  scene_advance (&scene, 1);
  scene_tell (&scene, "mode empty");
  scene_check (&scene, bytes, TRUE, "/build"); /* known for a minute */
  scene_check_unable (&scene, other, OAUTH2_NO_ANSWER);
  g_free (node_write_secret (scene.service.host, "guess"));
  scene_tell (&scene, "mode well");
  scene_check_unable (&scene, other, "status 401");
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
  scene_tell (&scene, "mode silent");
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
  scene_tell (&scene, "mode well");
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
  scene_tell (&scene, "mode silent");
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
  scene_tell (&scene, "mode well");
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
  g_assert_null (scene_show (&scene, "another issuer than param.issuer"));
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
  g_assert_null (scene_show (&scene, "/.well-known/openid-configuration: "));
  commy_test_host_stop (scene.caller.host);
  scene.caller.instance = NULL;
  commy_test_host_set_param (scene.caller.host, "ca", certificate);
  commy_test_host_set_param (scene.service.host, "ca", certificate);
  bytes = scene_show (&scene, NULL);
  scene_check (&scene, bytes, TRUE, "/build");
  scene_clear (&scene);
  commy_test_remove_tree (folder);
}

/* Looking through what GLib's TLS module keeps for each thread makes the leak sanitizer crash. */
__attribute__ ((visibility ("default"))) const char *__asan_default_options (void);

const char *
__asan_default_options (void)
{
  return "intercept_tls_get_addr=0";
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(NAME, FUNC) g_test_add_func ("/auth/oauth2/" NAME, FUNC)
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
