/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Guesses over TLS, each by another certificate, so that nobody fails twice: the address from which
 * they come has to wait. In a network of the test's own, whose host has addresses that are none of
 * the loopback device's; who connects to one of them comes from it.
 */
#include "config.h"

#include "auth-scene.h"
#include "auth/common/commy-pki.h"
#include "tests/fixtures/net-namespace.h"

#include <string.h>

#define PORT ":7001"
#define OTHER_PORT ":7002"
#define HERE "198.51.100.1"
#define ELSEWHERE "203.0.113.1"
#define ALLOWED 3u
#define OFFERS                                                               \
  SERVER ("require=token\n")                                                 \
  "[security]\nlock-out=10min\nlock-out-longest=10min\nlock-out-address=3\n" \
  "[plugin transport/tls]\nparam.bind=0.0.0.0\nparam.advertise=" HERE "\n"
#define FROM_THERE "failed from there (address/" HERE
#define SUBJECT "lock-out/mesh/address/" HERE
#define PATIENCE_US (20 * G_USEC_PER_SEC)

typedef struct
{
  MeshFixture *fixture; /* the service's, and its store */
  MeshFixture callers;  /* theirs, in which no service is registered */
  ServiceChild *child;
  CommyPkiAuthority *authority;
  CommyApiKey key;
  guint n_certificates;
} Scene;

static void
scene_init (Scene *self, MeshFixture *fixture)
{
  g_autofree char *dir = g_build_filename (fixture->dir, "state", "test", "pki", NULL);
  g_autoptr (GError) error = NULL;

  memset (self, 0, sizeof *self);
  self->fixture = fixture;
  mesh_fixture_set_up (&self->callers, NULL);
  mesh_fixture_make_credentials (fixture);
  self->authority = commy_pki_authority_load (dir, &error);
  g_assert_no_error (error);
  auth_make_key (fixture, "build", &self->key);
  mesh_fixture_capture_log (fixture);
  self->child = service_child_start (fixture, OFFERS "param.port=7001\n", 1);
}

static void
scene_clear (Scene *self)
{
  service_child_free (self->child);
  commy_pki_authority_free (self->authority);
  mesh_fixture_tear_down (&self->callers, NULL);
}

/* (transfer full): of a caller with @key and a certificate that nobody has seen, who goes to
 * @address. */
static char *
settings_of (Scene *self, const CommyApiKey *key, const char *address)
{
  g_autofree char *name = g_strdup_printf ("user%u", self->n_certificates++);
  g_autofree char *dir = g_build_filename (self->callers.dir, name, NULL);
  g_autofree char *auth = auth_settings_of (&self->callers, key, "tls");
  gint64 now = g_get_real_time () / G_USEC_PER_SEC;
  g_autoptr (CommyPkiPair) pair = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (g_mkdir_with_parents (dir, 0700), ==, 0);
  pair = commy_pki_issue (self->authority, "testhost", name, now - 60, now + 86400, &error);
  g_assert_no_error (error);
  commy_pki_pair_save (pair, self->authority, dir, &error);
  g_assert_no_error (error);
  return g_strdup_printf ("credentials-dir=%s\n%s[service " TEST_SERVICE "]\nendpoints=tls://%s"
                          "\nretry-attempts=1\n" ALLOW ("spiffe"),
                          dir, auth, address);
}

/* NULL: let in; or why not. (transfer full) */
static char *
try_from (Scene *self, const CommyApiKey *key, const char *address)
{
  g_autofree char *settings = settings_of (self, key, address);
  g_autoptr (GError) error = NULL;
  g_autofree char *text = auth_ask (&self->callers, settings, "Who", &error);

  return text != NULL ? NULL : g_strdup (error->message);
}

static void
check_let_in (Scene *self, const char *address)
{
  g_autofree char *why = try_from (self, &self->key, address);

  if (why != NULL)
    g_error ("not let in: %s", why);
}

static void
check_refused (Scene *self, const CommyApiKey *key, const char *address, const char *words)
{
  g_autofree char *why = try_from (self, key, address);

  if (why == NULL || strstr (why, words) == NULL)
    g_error ("\"%s\" does not say \"%s\"", why != NULL ? why : "let in", words);
}

static void
guess (Scene *self, const char *address, guint n)
{
  CommyApiKey wrong = self->key;

  for (guint i = 0; i < n; i++)
    {
      wrong.secret[i] ^= 1;
      check_refused (self, &wrong, address, "was not proved");
    }
}

static void
call (CommyClient *client)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) answer = commy_client_call_sync (client, "Who", NULL, NULL, NULL, &error);

  g_assert_no_error (error);
}

/* (transfer full): the records of the store, once there are some. */
static GVariant *
await_records (CommyMesh *mesh)
{
  gint64 until = g_get_monotonic_time () + PATIENCE_US;

  for (;;)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) list = commy_mesh_list_denied (mesh, &error);

      g_assert_no_error (error);
      for (gsize i = 0; i < g_variant_n_children (list); i++)
        {
          g_autoptr (GVariant) record = g_variant_get_child_value (list, i);
          const char *subject = "";

          g_assert_true (g_variant_lookup (record, "subject", "&s", &subject));
          if (strcmp (subject, SUBJECT) == 0)
            return g_steal_pointer (&record);
        }
      g_assert_cmpint (g_get_monotonic_time (), <, until);
    }
}

/* --- tests --- */

static void
test_locked (MeshFixture *fixture, gconstpointer data)
{
  g_autofree char *settings = NULL;
  CommyClient *client;
  CommyMesh *mesh;
  Scene scene;

  scene_init (&scene, fixture);
  settings = settings_of (&scene, &scene.key, HERE PORT);
  mesh = mesh_fixture_join (&scene.callers, settings);
  client = commy_client_new (mesh, TEST_SERVICE);
  call (client);
  guess (&scene, HERE PORT, ALLOWED - 1);
  check_let_in (&scene, HERE PORT);
  guess (&scene, HERE PORT, 1);
  /* No token is looked at, good or bad; somewhere else it is, and what is open goes on. */
  check_refused (&scene, &scene.key, HERE PORT, FROM_THERE);
  check_let_in (&scene, ELSEWHERE PORT);
  call (client);
  g_object_unref (client);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  g_object_unref (mesh);
  scene_clear (&scene);
}

static void
test_listed (MeshFixture *fixture, gconstpointer data)
{
  CommyMesh *mesh = mesh_fixture_join (fixture, NULL);
  gint64 until;
  g_autoptr (GVariant) record = NULL;
  g_autoptr (GError) error = NULL;
  const char *reason = "";
  ServiceChild *other;
  Scene scene;

  scene_init (&scene, fixture);
  guess (&scene, HERE PORT, ALLOWED);
  check_refused (&scene, &scene.key, HERE PORT, FROM_THERE);
  record = await_records (mesh);
  g_assert_true (g_variant_lookup (record, "reason", "&s", &reason));
  g_assert_nonnull (strstr (reason, "from there"));
  /* Another instance has heard of it, and lets it in when it hears that it is lifted. */
  other = service_child_start (fixture, OFFERS "param.port=7002\n", 1);
  check_refused (&scene, &scene.key, HERE OTHER_PORT, FROM_THERE);
  g_assert_true (commy_mesh_allow (mesh, SUBJECT, &error));
  g_assert_no_error (error);
  until = g_get_monotonic_time () + PATIENCE_US;
  for (guint n_in = 0; n_in < 2;)
    {
      g_autofree char *why = try_from (&scene, &scene.key, n_in == 0 ? HERE PORT : HERE OTHER_PORT);

      n_in += why == NULL;
      g_assert_cmpint (g_get_monotonic_time (), <, until);
    }
  service_child_free (other);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  g_object_unref (mesh);
  scene_clear (&scene);
}

/* Whoever can come from the loopback device is on this host, and told apart by its kernel. */
static void
test_loopback (MeshFixture *fixture, gconstpointer data)
{
  Scene scene;

  scene_init (&scene, fixture);
  guess (&scene, "127.0.0.1" PORT, 3 * ALLOWED);
  check_let_in (&scene, "127.0.0.1" PORT);
  scene_clear (&scene);
}

static void
skip (gconstpointer why)
{
  g_test_skip (why);
}

int
main (int argc, char **argv)
{
  static const struct
  {
    const char *path;
    void (*func) (MeshFixture *fixture, gconstpointer data);
  } cases[] = {
    /* attack: guess tokens, each time by another certificate; defence: the address that they come
     * from waits, too; test: /mesh/address-lock-outs/an-address-waits-and-no-other */
    { "/mesh/address-lock-outs/an-address-waits-and-no-other", test_locked },
    { "/mesh/address-lock-outs/is-listed-and-lifted", test_listed },
    { "/mesh/address-lock-outs/never-the-loopback-device", test_loopback },
  };
  const char *why;
  int status;

  if (service_child_main (argc, argv, &status))
    return status;
  why = net_namespace_enter ();
  if (why == NULL
      && (!net_namespace_add_address (1, HERE) || !net_namespace_add_address (2, ELSEWHERE)))
    why = "namespaces are refused here";
  g_test_init (&argc, &argv, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    if (why != NULL)
      g_test_add_data_func (cases[i].path, why, skip);
    else
      g_test_add (cases[i].path, MeshFixture, NULL, mesh_fixture_set_up, cases[i].func,
                  mesh_fixture_tear_down);
  return g_test_run ();
}
