/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A connection over TLS that rests on a token of an issuer, with a stream that runs all the time:
 * it goes on past the end of the token if that was renewed, and ends with it if not.
 */
#include "config.h"

#include "auth-scene.h"
#include "mesh-scene.h"
#include "stream-handlers.h"

#include <glib/gstdio.h>
#include <string.h>

#define ISSUER "https://issuer.example.org"
#define KEY "0123456789abcdef0123456789abcdef"
#define SKEW_S 60 /* of clocks, for which a token counts longer than it says */
#define PATIENCE_US (20 * G_USEC_PER_SEC)
#define PROVIDERS "auth=peercred;mtls;jwt\n"
#define SERVICE                                                                     \
  PROVIDERS                                                                         \
  "[auth-chain c]\nrequire=mtls;jwt\n[service " TEST_SERVICE "]\nauth-chain=c\n"    \
  "[plugin auth/jwt]\nparam.jwks=%s\nparam.issuer=" ISSUER "\nparam.audience=commy" \
  "\nparam.algorithms=HS256\n[security]\nproof-check=100ms\nproof-grace=0s\n" ALLOW ("spiffe")
/* The caller never ends anything itself. */
#define CALLER                                                                                \
  PROVIDERS "[plugin auth/jwt]\nparam.credential=%s\nparam.show-to=spiffe://*\n[selection]\n" \
            "preference=pin\ntransports=tls\n[security]\nproof-check=100ms\nproof-grace=1h\n"

typedef struct
{
  ServiceChild *child;
  CommyMesh *mesh;
  CommyClient *client;
  CommyStream *stream;
  char *credential;
  gint32 n; /* messages so far */
} Scene;

static gint64
now_s (void)
{
  return g_get_real_time () / G_USEC_PER_SEC;
}

static void
put_secret (const char *path, const char *text)
{
  g_assert_true (g_file_set_contents (path, text, -1, NULL));
  g_assert_cmpint (g_chmod (path, 0600), ==, 0);
}

/* --- an issuer --- */

static char *
to_base64url (gconstpointer data, gsize size)
{
  char *text = g_base64_encode (data, size);

  g_strdelimit (text, "+", '-');
  g_strdelimit (text, "/", '_');
  text[strcspn (text, "=")] = '\0';
  return text;
}

static void
put_keys (const char *path)
{
  g_autofree char *key = to_base64url (KEY, strlen (KEY));
  g_autofree char *text
      = g_strdup_printf ("{\"keys\":[{\"kty\":\"oct\",\"alg\":\"HS256\",\"k\":\"%s\"}]}", key);

  put_secret (path, text);
}

/* A token that was issued a while ago and counts until @end_s, the skew included. */
static void
put_token (const char *path, gint64 end_s)
{
  static const char header[] = "{\"alg\":\"HS256\",\"typ\":\"at+jwt\"}";
  g_autofree char *claims = g_strdup_printf (
      "{\"iss\":\"" ISSUER "\",\"aud\":\"commy\",\"sub\":\"build\",\"iat\":%" G_GINT64_FORMAT
      ",\"exp\":%" G_GINT64_FORMAT "}",
      end_s - SKEW_S - 120, end_s - SKEW_S);
  g_autofree char *first = to_base64url (header, strlen (header));
  g_autofree char *second = to_base64url (claims, strlen (claims));
  g_autofree char *data = g_strconcat (first, ".", second, NULL);
  g_autoptr (GHmac) hmac = g_hmac_new (G_CHECKSUM_SHA256, (const guchar *) KEY, strlen (KEY));
  guint8 digest[32];
  gsize size = sizeof digest;
  g_autofree char *third = NULL;
  g_autofree char *text = NULL;

  g_hmac_update (hmac, (const guchar *) data, -1);
  g_hmac_get_digest (hmac, digest, &size);
  third = to_base64url (digest, size);
  text = g_strconcat (data, ".", third, NULL);
  put_secret (path, text);
}

/* --- the scene --- */

static void
scene_init (Scene *self, MeshFixture *fixture)
{
  g_autofree char *keys = g_build_filename (fixture->dir, "issuer.json", NULL);
  g_autofree char *served = g_strdup_printf (SERVICE, keys);

  *self = (Scene){ .credential = g_build_filename (fixture->dir, "mine.jwt", NULL) };
  put_keys (keys);
  mesh_fixture_make_credentials (fixture);
  mesh_fixture_capture_log (fixture);
  self->child = service_child_start (fixture, served, 1);
}

/* With a token that ends at @end_s. */
static void
open_stream (Scene *self, MeshFixture *fixture, gint64 end_s)
{
  g_autofree char *calling = g_strdup_printf (CALLER, self->credential);
  g_autoptr (GError) error = NULL;

  put_token (self->credential, end_s);
  self->mesh = mesh_fixture_join (fixture, calling);
  self->client = commy_client_new (self->mesh, TEST_SERVICE);
  self->stream = commy_client_open_stream_sync (self->client, "Mirror", NULL, NULL, NULL, &error);
  g_assert_no_error (error);
}

static void
scene_clear (Scene *self)
{
  g_clear_object (&self->stream);
  g_clear_object (&self->client);
  commy_mesh_leave_sync (self->mesh, NULL, NULL);
  g_clear_object (&self->mesh);
  service_child_free (self->child);
  g_free (self->credential);
}

/* One message there and back. */
static gboolean
mirror (Scene *self, GError **error)
{
  g_autoptr (GVariant) value = NULL;

  g_main_context_iteration (NULL, FALSE);
  if (!commy_stream_write_sync (self->stream, g_variant_new_int32 (++self->n), NULL, error))
    return FALSE;
  value = commy_stream_read_sync (self->stream, NULL, error);
  if (value == NULL)
    return FALSE;
  g_assert_cmpint (g_variant_get_int32 (value), ==, self->n);
  return TRUE;
}

static void
mirror_well (Scene *self)
{
  g_autoptr (GError) error = NULL;

  mirror (self, &error);
  g_assert_no_error (error);
}

/* How often the flow of the stream was set up anew. */
static guint64
count_moves (Scene *self)
{
  g_autoptr (GVariant) flows = mesh_ask_node (self->mesh, "Flows", NULL);
  guint64 moves = 0;

  for (gsize i = 0; i < g_variant_n_children (flows); i++)
    {
      g_autoptr (GVariant) flow = g_variant_get_child_value (flows, i);
      const char *side = "", *service = "";

      g_variant_lookup (flow, "side", "&s", &side);
      g_variant_lookup (flow, "service", "&s", &service);
      if (strcmp (side, "calls") == 0 && strcmp (service, TEST_SERVICE) == 0)
        g_variant_lookup (flow, "moves", "t", &moves);
    }
  return moves;
}

/* --- tests --- */

/* The service lets the stream go on past the end of the first token, because it was shown another
 * one in time; and not past the end of that one. */
static void
test_renewed (MeshFixture *fixture, gconstpointer data)
{
  gint64 first_s, second_s;
  gint64 until;
  Scene scene;

  scene_init (&scene, fixture);
  first_s = now_s () + 4;
  second_s = first_s + 4;
  open_stream (&scene, fixture, first_s);
  put_token (scene.credential, second_s);
  while (count_moves (&scene) == 0)
    {
      g_assert_cmpint (now_s (), <=, first_s);
      mirror_well (&scene);
    }
  while (now_s () <= first_s + 1)
    mirror_well (&scene);
  until = g_get_monotonic_time () + PATIENCE_US;
  for (;;)
    {
      g_autoptr (GError) error = NULL;

      if (!mirror (&scene, &error))
        break;
      g_assert_cmpint (g_get_monotonic_time (), <, until);
    }
  g_assert_cmpint (now_s (), >=, second_s);
  mesh_fixture_await_log (fixture, "was let in with ended at ");
  scene_clear (&scene);
}

int
main (int argc, char **argv)
{
  int status;

  if (service_child_main_with (argc, argv, stream_handlers_add, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
  /* That a token is not renewed in the end is what it is about. */
  g_log_set_always_fatal (G_LOG_FATAL_MASK | G_LOG_LEVEL_CRITICAL);
  /* attack: go on with a connection whose token has ended; defence: it ends with the token, unless
   * another one was shown before; test:
   * /mesh/token-renewal/a-stream-goes-on-with-another-token-and-ends-with-it */
  g_test_add ("/mesh/token-renewal/a-stream-goes-on-with-another-token-and-ends-with-it",
              MeshFixture, NULL, mesh_fixture_set_up, test_renewed, mesh_fixture_tear_down);
  return g_test_run ();
}
