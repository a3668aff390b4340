/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Selection by keyfile, seen from an application: each setting changes the decision between two
 * processes, and the explanation names the file and line that did it.
 */
#include "config.h"

#include "mesh-fixture.h"

#include <string.h>

typedef struct
{
  ServiceChild *child;
  CommyMesh *mesh;
  CommyClient *client;
  char *server_file; /* keyfiles in force, or NULL */
  char *client_file;
} Scene;

/* A server in a child and a client here, each with a keyfile of its own. */
static Scene *
scene_new (MeshFixture *fixture, const char *server_text, const char *client_text)
{
  Scene *scene = g_new0 (Scene, 1);

  mesh_fixture_make_credentials (fixture);
  scene->server_file = mesh_fixture_use_keyfile (fixture, "server.conf", server_text);
  scene->child = service_child_start (fixture, NULL, 0);
  scene->client_file = mesh_fixture_use_keyfile (fixture, "client.conf", client_text);
  scene->mesh = mesh_fixture_join (fixture, NULL);
  scene->client = commy_client_new (scene->mesh, TEST_SERVICE);
  return scene;
}

static void
scene_free (Scene *scene)
{
  g_object_unref (scene->client);
  commy_mesh_leave_sync (scene->mesh, NULL, NULL);
  g_object_unref (scene->mesh);
  service_child_free (scene->child);
  g_free (scene->server_file);
  g_free (scene->client_file);
  g_free (scene);
}

static CommyDecision *
explain (Scene *scene, const char *const *changes)
{
  g_autoptr (CommyWhatIf) what_if = NULL;
  g_autoptr (GError) error = NULL;
  CommyDecision *decision;

  if (changes != NULL)
    {
      what_if = commy_what_if_new (changes, &error);
      g_assert_no_error (error);
    }
  decision = commy_client_explain (scene->client, 64, what_if, NULL, &error);
  g_assert_no_error (error);
  return decision;
}

/* The call itself goes the way that the decision says. */
static void
check_goes_over (Scene *scene, const char *transport)
{
  g_autoptr (CommyDecision) decision = explain (scene, NULL);
  g_autoptr (GVariant) answer = NULL;
  g_autoptr (GError) error = NULL;
  const char *over;

  g_assert_cmpstr (commy_decision_get_transport (decision), ==, transport);
  answer = commy_client_call_sync (scene->client, "Who", NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  g_variant_get (answer, "(&s&s)", NULL, &over);
  g_assert_cmpstr (over, ==, transport);
}

static char *
dup_field (GVariant *entry, const char *key)
{
  const char *text = NULL;

  g_variant_lookup (entry, key, "&s", &text);
  return g_strdup (text);
}

/* Text, JSON and the record all say that @transport is refused, for what and by which line. */
static void
check_refused (CommyDecision *decision,
               const char *transport,
               const char *filter,
               const char *file,
               guint line)
{
  g_autoptr (GVariant) record = commy_decision_to_variant (decision);
  g_autoptr (GVariant) rejections
      = g_variant_lookup_value (record, "rejections", G_VARIANT_TYPE ("aa{sv}"));
  g_autofree char *place = g_strdup_printf ("%s:%u", file, line);
  g_autofree char *text = commy_decision_to_string (decision);
  g_autofree char *json = commy_decision_to_json (decision);
  guint found = 0;

  for (gsize i = 0; i < g_variant_n_children (rejections); i++)
    {
      g_autoptr (GVariant) entry = g_variant_get_child_value (rejections, i);
      g_autofree char *id = dup_field (entry, "transport");
      g_autofree char *field = dup_field (entry, "field");
      g_autofree char *origin = dup_field (entry, "origin");
      g_autofree char *offered = dup_field (entry, "offered");

      if (g_strcmp0 (id, transport) != 0)
        continue;
      g_assert_cmpstr (field, ==, filter);
      if (strstr (offered, "denied there") == NULL)
        g_assert_cmpstr (origin, ==, place);
      else
        g_assert_nonnull (strstr (offered, place));
      found++;
    }
  g_assert_cmpuint (found, >, 0);
  g_assert_nonnull (strstr (text, place));
  g_assert_nonnull (strstr (json, place));
}

/* --- one setting each --- */

static void
test_default (MeshFixture *fixture, gconstpointer data)
{
  Scene *scene = scene_new (fixture, NULL, NULL);
  g_autoptr (CommyDecision) decision = explain (scene, NULL);

  g_assert_cmpstr (commy_decision_get_instance (decision), ==, scene->child->instance);
  g_assert_nonnull (commy_decision_get_serializer (decision));
  g_assert_cmpfloat (commy_decision_get_confidence (decision), >, 0);
  check_goes_over (scene, "shm");
  scene_free (scene);
}

static void
test_deny (MeshFixture *fixture, gconstpointer data)
{
  Scene *scene = scene_new (fixture, NULL, "[plugins]\ndeny=transport/shm\n");
  g_autoptr (CommyDecision) decision = explain (scene, NULL);

  check_refused (decision, "shm", "enabled", scene->client_file, 2);
  check_goes_over (scene, "unix");
  scene_free (scene);
}

static void
test_allow (MeshFixture *fixture, gconstpointer data)
{
  Scene *scene = scene_new (fixture, NULL,
                            "[plugins]\n# all but one transport\n"
                            "allow=transport/tls;serializer/*;auth/*;balancer/*;store/*\n");
  g_autoptr (CommyDecision) decision = explain (scene, NULL);

  check_refused (decision, "shm", "enabled", scene->client_file, 3);
  check_goes_over (scene, "tls");
  scene_free (scene);
}

static void
test_disabled (MeshFixture *fixture, gconstpointer data)
{
  Scene *scene = scene_new (fixture, NULL, "[plugin transport/shm]\nenabled=false\n");
  g_autoptr (CommyDecision) decision = explain (scene, NULL);

  check_refused (decision, "shm", "enabled", scene->client_file, 2);
  check_goes_over (scene, "unix");
  scene_free (scene);
}

static void
test_denied_there (MeshFixture *fixture, gconstpointer data)
{
  Scene *scene = scene_new (fixture, "[plugins]\n\n\ndeny=transport/shm\n", NULL);
  g_autoptr (CommyDecision) decision = explain (scene, NULL);
  g_autofree char *words = g_strdup_printf ("denied there: %s:4", scene->server_file);
  g_autofree char *text = commy_decision_to_string (decision);

  check_refused (decision, "shm", "peer", scene->server_file, 4);
  g_assert_nonnull (strstr (text, words));
  check_goes_over (scene, "unix");
  scene_free (scene);
}

static void
test_pin (MeshFixture *fixture, gconstpointer data)
{
  Scene *scene = scene_new (fixture, NULL, "[selection]\npreference=pin\ntransports=tls\n");
  g_autoptr (CommyDecision) decision = explain (scene, NULL);

  check_refused (decision, "shm", "preference", scene->client_file, 2);
  check_goes_over (scene, "tls");
  scene_free (scene);
}

static void
test_pin_service (MeshFixture *fixture, gconstpointer data)
{
  Scene *scene = scene_new (fixture, NULL,
                            "[service org.example.Other]\npreference=pin\ntransports=shm\n"
                            "[service " TEST_SERVICE "]\npreference=pin\ntransports=tls\n");
  g_autoptr (CommyDecision) decision = explain (scene, NULL);

  check_refused (decision, "shm", "preference", scene->client_file, 5);
  check_goes_over (scene, "tls");
  scene_free (scene);
}

static void
test_network_only (MeshFixture *fixture, gconstpointer data)
{
  Scene *scene = scene_new (fixture, NULL, "[selection]\npreference=network-only\n");
  g_autoptr (CommyDecision) decision = explain (scene, NULL);

  check_refused (decision, "shm", "preference", scene->client_file, 2);
  check_goes_over (scene, "tls");
  scene_free (scene);
}

/* Two transports of one security that cost the same as far as the keyfile says: prefer= breaks
 * the tie. Both lead from this process to itself. */
static void
test_prefer (MeshFixture *fixture, gconstpointer data)
{
  const char *preferred = data;
  g_autofree char *text = g_strdup_printf ("[selection]\ntie-band=100%%\nprefer=%s\n"
                                           "[calibration]\nmode=off\n"
                                           "[plugin transport/unix]\nenabled=false\n"
                                           "[plugin transport/shm]\nprofile.latency=1ms\n"
                                           "[plugin transport/inproc]\nprofile.latency=1ms\n",
                                           preferred);
  g_autofree char *file = mesh_fixture_use_keyfile (fixture, "prefer.conf", text);
  Scene scene = { .mesh = mesh_fixture_join (fixture, NULL) };
  g_autoptr (CommyService) service = test_service_new (scene.mesh, 1);
  g_autoptr (GError) error = NULL;

  commy_service_start_sync (service, NULL, &error);
  g_assert_no_error (error);
  scene.client = commy_client_new (scene.mesh, TEST_SERVICE);
  check_goes_over (&scene, preferred);
  g_object_unref (scene.client);
  commy_mesh_leave_sync (scene.mesh, NULL, NULL);
  g_object_unref (scene.mesh);
}

static void
test_bias (MeshFixture *fixture, gconstpointer data)
{
  Scene *scene = scene_new (fixture, NULL, "[plugin transport/shm]\n# slow\nbias=1000\n");
  g_autoptr (CommyDecision) decision = explain (scene, NULL);
  g_autofree char *place = g_strdup_printf ("%s:3", scene->client_file);
  g_autofree char *text = commy_decision_to_string (decision);
  g_autofree char *json = commy_decision_to_json (decision);

  g_assert_nonnull (strstr (text, place));
  g_assert_nonnull (strstr (json, place));
  check_goes_over (scene, "unix");
  scene_free (scene);
}

static void
test_profile (MeshFixture *fixture, gconstpointer data)
{
  Scene *scene = scene_new (fixture, NULL, "[plugin transport/shm]\nprofile.latency=1s\n");
  g_autoptr (CommyDecision) decision = explain (scene, NULL);
  g_autofree char *place = g_strdup_printf ("%s:2", scene->client_file);
  g_autofree char *text = commy_decision_to_string (decision);
  g_autofree char *json = commy_decision_to_json (decision);

  g_assert_nonnull (strstr (text, place));
  g_assert_nonnull (strstr (json, place));
  check_goes_over (scene, "unix");
  scene_free (scene);
}

static void
test_min_security (MeshFixture *fixture, gconstpointer data)
{
  Scene *scene = scene_new (fixture, NULL, "[selection]\nmin-security=mutual\n");
  g_autoptr (CommyDecision) decision = explain (scene, NULL);

  check_refused (decision, "shm", "security", scene->client_file, 2);
  check_goes_over (scene, "tls");
  scene_free (scene);
}

/* --- nothing left --- */

static void
test_nothing_allowed (MeshFixture *fixture, gconstpointer data)
{
  Scene *scene = scene_new (fixture, "[plugins]\ndeny=transport/tls\n",
                            "[selection]\nmin-security=mutual\n");
  g_autoptr (CommyDecision) decision = explain (scene, NULL);
  g_autofree char *here = g_strdup_printf ("%s:2", scene->client_file);
  g_autofree char *there = g_strdup_printf ("denied there: %s:2", scene->server_file);
  g_autoptr (GVariant) answer = NULL;
  g_autoptr (GPtrArray) decisions = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_null (commy_decision_get_transport (decision));
  g_assert_null (commy_decision_get_instance (decision));
  check_refused (decision, "shm", "security", scene->client_file, 2);
  check_refused (decision, "tls", "peer", scene->server_file, 2);
  answer = commy_client_call_sync (scene->client, "Pid", NULL, NULL, NULL, &error);
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_NO_ROUTE);
  g_assert_nonnull (strstr (error->message, here));
  g_assert_nonnull (strstr (error->message, there));
  decisions = commy_mesh_list_decisions (scene->mesh);
  g_assert_cmpuint (decisions->len, >, 0);
  g_assert_null (commy_decision_get_transport (decisions->pdata[decisions->len - 1]));
  scene_free (scene);
}

static void
test_latency_missed (MeshFixture *fixture, gconstpointer data)
{
  Scene *scene = scene_new (fixture, NULL, NULL);
  g_autoptr (CommyRequirements) requirements = commy_requirements_new ();
  g_autoptr (CommyDecision) missed = NULL;
  g_autoptr (GVariant) answer = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL;

  commy_requirements_set_max_latency (requirements, 1);
  commy_client_set_requirements (scene->client, requirements);
  answer = commy_client_call_sync (scene->client, "Pid", NULL, NULL, NULL, &error);
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_NO_ROUTE);
  g_assert_nonnull (strstr (error->message, "<= 1 ns"));
  g_assert_nonnull (strstr (error->message, "best allowed: shm"));
  missed = explain (scene, NULL);
  text = commy_decision_to_string (missed);
  g_assert_null (commy_decision_get_transport (missed));
  g_assert_nonnull (strstr (text, "latency: required <= 1 ns"));

  commy_requirements_set_degradable (requirements, TRUE);
  commy_client_set_requirements (scene->client, requirements);
  check_goes_over (scene, "shm");
  g_clear_pointer (&missed, commy_decision_unref);
  g_clear_pointer (&text, g_free);
  missed = explain (scene, NULL);
  text = commy_decision_to_string (missed);
  g_assert_nonnull (strstr (text, "degraded"));
  scene_free (scene);
}

static void
test_requirement_cannot_loosen (MeshFixture *fixture, gconstpointer data)
{
  Scene *scene = scene_new (fixture, NULL, "[selection]\nmin-security=mutual\n");
  g_autoptr (CommyRequirements) requirements = commy_requirements_new ();

  commy_requirements_set_min_security (requirements, COMMY_SECURITY_NONE);
  commy_requirements_set_degradable (requirements, TRUE);
  commy_client_set_requirements (scene->client, requirements);
  check_goes_over (scene, "tls");
  scene_free (scene);
}

static void
test_require (MeshFixture *fixture, gconstpointer data)
{
  g_autofree char *file
      = mesh_fixture_use_keyfile (fixture, "strict.conf", "[plugins]\nrequire=transport/rdma\n");
  g_autofree char *place = g_strdup_printf ("%s:2", file);
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyMesh) mesh = mesh_fixture_new (fixture, NULL, &error);

  g_assert_null (mesh);
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_PLUGIN_MISSING);
  g_assert_nonnull (strstr (error->message, "transport/rdma"));
  g_assert_nonnull (strstr (error->message, place));
}

static void
test_require_denied (MeshFixture *fixture, gconstpointer data)
{
  g_autofree char *file = mesh_fixture_use_keyfile (
      fixture, "strict.conf", "[plugins]\nrequire=transport/shm\ndeny=transport/shm\n");
  g_autofree char *place = g_strdup_printf ("%s:2", file);
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyMesh) mesh = mesh_fixture_new (fixture, NULL, &error);

  g_assert_null (mesh);
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_PLUGIN_MISSING);
  g_assert_nonnull (strstr (error->message, place));
}

static void
test_unknown_key (MeshFixture *fixture, gconstpointer data)
{
  g_autofree char *file
      = mesh_fixture_use_keyfile (fixture, "typo.conf", "[selection]\n\nprefrence=pin\n");
  g_autofree char *place = g_strdup_printf ("%s:3", file);
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyMesh) mesh = mesh_fixture_new (fixture, NULL, &error);

  g_assert_null (mesh);
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_CONFIG_UNKNOWN);
  g_assert_nonnull (strstr (error->message, place));
  g_assert_nonnull (strstr (error->message, "\"preference\""));
}

/* --- what if --- */

static void
test_what_if (MeshFixture *fixture, gconstpointer data)
{
  static const char *const transports[] = { "transports=tls", NULL };
  static const char *const security[] = { "min-security=mutual", NULL };
  static const char *const preference[] = { "preference=network-only", NULL };
  static const char *const latency[] = { "max-latency=1ns", NULL };
  static const char *const throughput[] = { "min-throughput=1000000GiB/s", NULL };
  static const char *const *const to_tls[] = { transports, security, preference };
  static const char *const *const to_nothing[] = { latency, throughput };
  Scene *scene = scene_new (fixture, NULL, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (to_tls); i++)
    {
      g_autoptr (CommyDecision) decision = explain (scene, to_tls[i]);
      g_autofree char *text = commy_decision_to_string (decision);

      g_assert_cmpstr (commy_decision_get_transport (decision), ==, "tls");
      g_assert_nonnull (strstr (text, "(what-if)"));
    }
  for (guint i = 0; i < G_N_ELEMENTS (to_nothing); i++)
    {
      g_autoptr (CommyDecision) decision = explain (scene, to_nothing[i]);

      g_assert_null (commy_decision_get_transport (decision));
    }
  check_goes_over (scene, "shm"); /* asking changes nothing */
  scene_free (scene);
}

static void
test_what_if_wrong (void)
{
  static const struct
  {
    const char *change;
    const char *said;
  } wrong[] = {
    { "objectve=cpu", "objective" },
    { "nonsense-altogether=1", "min-throughput" },
    { "objective", "NAME=VALUE" },
    { "objective=fast", "\"fast\"" },
    { "min-security=very", "\"very\"" },
    { "max-latency=-1us", "max-latency" },
    { "min-throughput=fast", "min-throughput" },
    { "ordered=perhaps", "ordered" },
    { "transports=", "transports" },
    { "preference=pin", "transports" },
    { "=x", "unknown" },
    { "", "NAME=VALUE" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (wrong); i++)
    {
      const char *changes[] = { wrong[i].change, NULL };
      g_autoptr (GError) error = NULL;

      g_assert_null (commy_what_if_new (changes, &error));
      g_assert_error (error, COMMY_ERROR, COMMY_ERROR_INVALID_ARGUMENT);
      g_assert_nonnull (strstr (error->message, wrong[i].said));
    }
}

static void
add (const char *name, gconstpointer data, void (*test) (MeshFixture *, gconstpointer))
{
  g_autofree char *path = g_strdup_printf ("/mesh/selection/%s", name);

  g_test_add (path, MeshFixture, data, mesh_fixture_set_up, test, mesh_fixture_tear_down);
}

int
main (int argc, char **argv)
{
#ifdef HAVE_GNUTLS
  const gboolean two_transports = TRUE;
#else
  const gboolean two_transports = FALSE; /* between processes, that is */
#endif
  int status;

  if (service_child_main (argc, argv, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
  if (two_transports)
    {
      add ("the-best-profile-wins", NULL, test_default);
      add ("deny", NULL, test_deny);
      add ("allow", NULL, test_allow);
      add ("disabled-plugin", NULL, test_disabled);
      add ("denied-there", NULL, test_denied_there);
      add ("pin", NULL, test_pin);
      add ("pin-for-one-service", NULL, test_pin_service);
      add ("network-only", NULL, test_network_only);
      add ("bias", NULL, test_bias);
      add ("profile-override", NULL, test_profile);
      add ("min-security", NULL, test_min_security);
      add ("nothing-allowed-names-every-reason", NULL, test_nothing_allowed);
      add ("missed-latency-is-an-error-unless-degradable", NULL, test_latency_missed);
      add ("requirements-cannot-loosen-the-keyfile", NULL, test_requirement_cannot_loosen);
      add ("what-if", NULL, test_what_if);
    }
  add ("prefer-breaks-a-tie/shm", "shm", test_prefer);
  add ("prefer-breaks-a-tie/inproc", "inproc", test_prefer);
  add ("require-missing-plugin", NULL, test_require);
  add ("require-denied-plugin", NULL, test_require_denied);
  add ("unknown-key", NULL, test_unknown_key);
  g_test_add_func ("/mesh/selection/what-if-wrong", test_what_if_wrong);
  return g_test_run ();
}
