/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One token of a principal that has several is denied: what rests on it ends, and nothing else; and
 * the trail says which one it was.
 */
#include "config.h"

#include "mesh-fixture.h"

#include <glib/gstdio.h>
#include <string.h>

#define ISSUER "https://issuer.example.org"
#define SECRET "0123456789abcdef0123456789abcdef"
#define SERVER                                                                                     \
  "auth=peercred;jwt\n[auth-chain c]\nrequire=peercred;jwt\n[service " TEST_SERVICE "]\n"          \
  "auth-chain=c\n[plugin auth/jwt]\nparam.jwks=%s\nparam.issuer=" ISSUER "\nparam.audience=here\n" \
  "param.algorithms=HS256\nparam.claims=team\n[audit]\nenabled=true\ndirectory=%s\n"
#define CALLER                                                                                     \
  "auth=peercred;jwt\n[plugin auth/jwt]\nparam.credential=%s\nparam.show-to=unix:*\n[selection]\n" \
  "preference=pin\ntransports=unix\n"

/* --- tokens --- */

static char *
encode (gconstpointer bytes, gsize size)
{
  char *text = g_base64_encode (bytes, size);

  g_strdelimit (text, "+", '-');
  g_strdelimit (text, "/", '_');
  g_strdelimit (text, "=", '\0');
  return text;
}

static char *
make_token (const char *more)
{
  static const char header[] = "{\"alg\":\"HS256\",\"typ\":\"at+jwt\",\"kid\":\"k\"}";
  gint64 now = g_get_real_time () / G_USEC_PER_SEC;
  g_autofree char *claims = g_strdup_printf (
      "{\"iss\":\"" ISSUER "\",\"sub\":\"ann\",\"aud\":\"here\",\"iat\":%" G_GINT64_FORMAT
      ",\"exp\":%" G_GINT64_FORMAT "%s}",
      now, now + 3600, more);
  g_autofree char *first = encode (header, strlen (header));
  g_autofree char *second = encode (claims, strlen (claims));
  g_autofree char *both = g_strconcat (first, ".", second, NULL);
  g_autoptr (GHmac) hmac = g_hmac_new (G_CHECKSUM_SHA256, (const guchar *) SECRET, strlen (SECRET));
  g_autofree char *third = NULL;
  guint8 digest[32];
  gsize size = sizeof digest;

  g_hmac_update (hmac, (const guchar *) both, -1);
  g_hmac_get_digest (hmac, digest, &size);
  third = encode (digest, size);
  return g_strconcat (both, ".", third, NULL);
}

static char *
put (MeshFixture *fixture, const char *name, const char *text)
{
  char *path = g_build_filename (fixture->dir, name, NULL);

  g_assert_true (g_file_set_contents (path, text, -1, NULL));
  g_assert_cmpint (g_chmod (path, 0600), ==, 0);
  return path;
}

static char *
put_keys (MeshFixture *fixture)
{
  g_autofree char *key = encode (SECRET, strlen (SECRET));
  g_autofree char *text = g_strdup_printf (
      "{\"keys\":[{\"kty\":\"oct\",\"kid\":\"k\",\"alg\":\"HS256\",\"k\":\"%s\"}]}", key);

  return put (fixture, "keys.json", text);
}

/* The id of one that says none. */
static char *
dup_hash_id (const char *token)
{
  g_autofree char *digits
      = g_compute_checksum_for_string (G_CHECKSUM_SHA256, token, strrchr (token, '.') - token);

  return g_strconcat ("jwt-sha256:", digits, NULL);
}

/* --- callers --- */

typedef struct
{
  CommyMesh *mesh;
  CommyClient *client;
} Caller;

static void
caller_init (Caller *self, MeshFixture *fixture, const char *name, const char *token)
{
  g_autofree char *path = put (fixture, name, token);
  g_autofree char *settings = g_strdup_printf (CALLER, path);

  self->mesh = mesh_fixture_join (fixture, settings);
  self->client = commy_client_new (self->mesh, TEST_SERVICE);
}

static void
caller_clear (Caller *self)
{
  g_object_unref (self->client);
  commy_mesh_leave_sync (self->mesh, NULL, NULL);
  g_object_unref (self->mesh);
}

static gboolean
call (Caller *self, GError **error)
{
  g_autoptr (GVariant) answer
      = commy_client_call_sync (self->client, "Pid", NULL, NULL, NULL, error);

  return answer != NULL;
}

/* Until it is refused for that. */
static void
await_refusal (Caller *self, const char *words)
{
  for (;;)
    {
      g_autoptr (GError) error = NULL;

      /* A call that is under way when its connection ends fails otherwise. */
      if (!call (self, &error) && g_error_matches (error, COMMY_ERROR, COMMY_ERROR_REFUSED)
          && strstr (error->message, words) != NULL)
        return;
      g_main_context_iteration (NULL, FALSE);
    }
}

/* --- the trail --- */

typedef struct
{
  const char *outcome;
  const char *id;
  guint n;
} Wanted;

static gboolean
look (GVariant *record, gpointer data)
{
  Wanted *wanted = data;
  const char *type = "", *outcome = "", *peer = "";

  g_variant_lookup (record, "type", "&s", &type);
  g_variant_lookup (record, "outcome", "&s", &outcome);
  g_variant_lookup (record, "peer", "&s", &peer);
  wanted->n += strcmp (type, "peer") == 0 && strcmp (outcome, wanted->outcome) == 0
               && strstr (peer, wanted->id) != NULL;
  return TRUE;
}

static guint
count (const char *trail, const char *outcome, const char *id)
{
  Wanted wanted = { outcome, id, 0 };
  g_autoptr (GError) error = NULL;

  commy_audit_read (trail, look, &wanted, &error);
  g_assert_no_error (error);
  return wanted.n;
}

static void
test_one_of_two (MeshFixture *fixture, gconstpointer jti)
{
  g_autofree char *trail = g_build_filename (fixture->dir, "trail", NULL);
  g_autofree char *keys = put_keys (fixture);
  g_autofree char *settings = g_strdup_printf (SERVER, keys, trail);
  g_autofree char *leaked = make_token (jti != NULL ? ",\"jti\":\"a/b 1\",\"x\":1" : ",\"x\":1");
  g_autofree char *other = make_token (",\"jti\":\"c/d\"");
  g_autofree char *id = dup_hash_id (leaked);
  g_autofree char *words = g_strdup_printf ("%s is denied: leaked", id);
  ServiceChild *child;
  Caller bad, good;
  g_autoptr (GError) error = NULL;

  /* A name with a blank in it could be two. */
  mesh_fixture_capture_log (fixture);
  child = service_child_start (fixture, settings, 0);
  caller_init (&bad, fixture, "leaked", leaked);
  caller_init (&good, fixture, "other", other);
  call (&bad, &error);
  g_assert_no_error (error);
  call (&good, &error);
  g_assert_no_error (error);
  g_assert_true (commy_mesh_deny (good.mesh, id, "leaked", 0, &error));
  await_refusal (&bad, words);
  call (&good, &error);
  g_assert_no_error (error);
  /* And by what it says itself. */
  g_assert_true (commy_mesh_deny (good.mesh, "jwt-id:" ISSUER "/c%2Fd", "leaked, too", 0, &error));
  await_refusal (&good, "jwt-id:" ISSUER "/c%2Fd is denied: leaked, too");
  caller_clear (&bad);
  caller_clear (&good);
  service_child_free (child);
  g_assert_cmpuint (count (trail, "accepted", id), ==, 1);
  g_assert_cmpuint (count (trail, "ended", id), ==, 1);
  g_assert_cmpuint (count (trail, "refused", id), >=, 1);
  g_assert_cmpuint (count (trail, "accepted", "jwt-id:" ISSUER "/c%2Fd"), ==, 1);
}

/* --- what a token says --- */

/* The chain's first proof is one's own user, whom nothing is denied without a rule. */
#define CLAIMS                                                        \
  "[policy none]\nprincipals=*\nservices=" TEST_SERVICE               \
  "\neffect=deny\n[policy ops]\nprincipals=*\nservices=" TEST_SERVICE \
  "\nattributes=scope=deploy;claim:team=ops\neffect=allow\n[security]\nproof-check=100ms\n"

/* With another token of the same principal it has what that one says, and nothing of the first. */
static void
test_other_claims (MeshFixture *fixture, gconstpointer data)
{
  g_autofree char *trail = g_build_filename (fixture->dir, "trail", NULL);
  g_autofree char *keys = put_keys (fixture);
  g_autofree char *settings = g_strdup_printf (SERVER CLAIMS, keys, trail);
  g_autofree char *first
      = make_token (",\"jti\":\"1\",\"scope\":\"deploy\",\"team\":[\"dev\",\"ops\"]");
  g_autofree char *second = make_token (",\"jti\":\"2\",\"scope\":\"deploy\",\"team\":\"dev\"");
  g_autofree char *path = NULL;
  ServiceChild *child = service_child_start (fixture, settings, 0);
  Caller caller;
  g_autoptr (GError) error = NULL;

  caller_init (&caller, fixture, "mine", first);
  call (&caller, &error);
  g_assert_no_error (error);
  path = put (fixture, "mine", second);
  g_assert_true (commy_mesh_deny (caller.mesh, "jwt-id:" ISSUER "/1", "replaced", 0, &error));
  for (;;)
    {
      g_clear_error (&error);
      if (!call (&caller, &error) && g_error_matches (error, COMMY_ERROR, COMMY_ERROR_DENIED))
        break;
      g_main_context_iteration (NULL, FALSE);
    }
  g_test_message ("%s", error->message);
  caller_clear (&caller);
  service_child_free (child);
}

int
main (int argc, char **argv)
{
  int status;

  if (service_child_main (argc, argv, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
#define ADD(NAME, DATA, FUNC)                                                           \
  g_test_add ("/mesh/denied-token/" NAME, MeshFixture, DATA, mesh_fixture_set_up, FUNC, \
              mesh_fixture_tear_down)
  /* attack: go on with one of several tokens of a principal that leaked; defence: each has a name
   * of its own, which can be denied; test: /mesh/denied-token/by-its-hash */
  ADD ("by-its-hash", NULL, test_one_of_two);
  ADD ("by-its-hash-where-its-name-is-none", "jti", test_one_of_two);
  /* attack: keep by an open connection what another token does not say any more; defence: what was
   * proved is a connection's, which ends with its proof; test:
   * /mesh/denied-token/another-token-says-something-else */
  ADD ("another-token-says-something-else", NULL, test_other_claims);
#undef ADD
  return g_test_run ();
}
