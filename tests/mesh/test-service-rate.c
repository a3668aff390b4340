/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a service takes of all its callers together: of one instance, and divided among instances
 * in two processes that the store lists.
 */
#include "config.h"

#include "mesh-fixture.h"

#include "mesh/commy-service-private.h"

#include <string.h>

#define GROUP "[service " TEST_SERVICE "]\n"
/* Whoever is refused hears it, and does not go elsewhere. */
#define CALLER GROUP "retry-attempts=1\nbreaker=false\nejection=false\n"
#define RATE 200
#define BURST 10
#define SHARED GROUP "serve-rate-limit=200\nserve-rate-burst=10\nserve-rate-scope=service\n"
#define S G_GINT64_CONSTANT (1000000000)
#define PATIENCE_US (20 * G_USEC_PER_SEC)

/* FALSE: the instance took no more. */
static gboolean
call (CommyClient *client, char **out_why)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) answer
      = commy_client_call_sync (client, "Add", g_variant_new ("(ii)", 1, 2), NULL, NULL, &error);

  if (answer != NULL)
    return TRUE;
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_OVERLOADED);
  if (out_why != NULL)
    *out_why = g_strdup (error->message);
  return FALSE;
}

static CommyClient *
client_of (CommyMesh *mesh, const char *instance)
{
  CommyClient *client = commy_client_new (mesh, TEST_SERVICE);

  commy_client_set_instance (client, instance);
  return client;
}

/* --- one instance --- */

static void
call_hot (CommyClient *client)
{
  g_autoptr (GError) error = NULL;
  CommyMethod method = commy_client_resolve (client, "Span", &error);
  CommyReply reply;
  CommySpan span;

  g_assert_no_error (error);
  g_assert_true (commy_client_reserve (client, method, 8, &span, &error));
  memset (span.data, 0, 8);
  g_assert_true (commy_client_exchange (client, method, &span, &reply, 0, &error));
  commy_reply_clear (&reply);
}

/* Whichever way a call comes it is one. */
static void
test_one (MeshFixture *fixture, gconstpointer data)
{
  ServiceChild *child = service_child_start (
      fixture, GROUP "serve-rate-limit=0.001\nserve-rate-burst=3\nworkers=2\n", 0);
  CommyMesh *mesh = mesh_fixture_join (fixture, CALLER);
  CommyMesh *other = mesh_fixture_join (fixture, CALLER);
  CommyClient *client = client_of (mesh, child->instance);
  CommyClient *another = client_of (other, child->instance);
  g_autofree char *why = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_true (call (client, NULL));
  call_hot (client);
  /* Two callers have no more than one: the other one is on another thread there. */
  g_assert_true (call (another, NULL));
  g_assert_false (call (client, &why));
  g_assert_false (call (another, NULL));
  if (strstr (why, "(serve-rate-limit=0.001; the next one may come in 1") == NULL)
    g_error ("\"%s\" does not name the limit", why);
  g_object_unref (client);
  g_object_unref (another);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  commy_mesh_leave_sync (other, NULL, NULL);
  g_object_unref (mesh);
  g_object_unref (other);
  service_child_free (child);
}

/* A method with a limit of its own takes no more than that, and what it refuses costs the others
 * nothing; all of them together take what the service does. */
static void
test_method (MeshFixture *fixture, gconstpointer data)
{
  ServiceChild *child = service_child_start (
      fixture,
      GROUP "serve-rate-limit=0.001\nserve-rate-burst=4\n"
            "[method " TEST_SERVICE ".Add]\nserve-rate-limit=0.002\nserve-rate-burst=2\n",
      0);
  CommyMesh *mesh = mesh_fixture_join (fixture, CALLER);
  CommyClient *client = client_of (mesh, child->instance);
  g_autofree char *why = NULL, *other = NULL;
  guint n = 0;

  g_assert_true (call (client, NULL));
  g_assert_true (call (client, NULL));
  g_assert_false (call (client, &why));
  if (strstr (why, "(serve-rate-limit=0.002 of the method;") == NULL)
    g_error ("\"%s\" does not name the method's limit", why);
  for (; n < 3; n++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) pid = commy_client_call_sync (client, "Pid", NULL, NULL, NULL, &error);

      if (pid != NULL)
        continue;
      g_assert_error (error, COMMY_ERROR, COMMY_ERROR_OVERLOADED);
      other = g_strdup (error->message);
      break;
    }
  g_assert_cmpuint (n, ==, 2);
  if (strstr (other, "(serve-rate-limit=0.001;") == NULL)
    g_error ("\"%s\" does not name the service's limit", other);
  g_object_unref (client);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  g_object_unref (mesh);
  service_child_free (child);
}

/* --- two, and a store --- */

typedef struct
{
  CommyMesh *mesh; /* offers one instance */
  CommyService *service;
  CommyMesh *caller;
  CommyClient *client; /* of that one */
} Scene;

static void
scene_init (Scene *self, MeshFixture *fixture, const char *settings)
{
  g_autoptr (GError) error = NULL;

  self->mesh = mesh_fixture_join (fixture, settings);
  self->service = test_service_new (self->mesh, 1);
  commy_service_start_sync (self->service, NULL, &error);
  g_assert_no_error (error);
  self->caller = mesh_fixture_join (fixture, CALLER);
  self->client = client_of (self->caller, commy_service_get_instance_id (self->service));
}

static void
scene_clear (Scene *self)
{
  g_object_unref (self->client);
  commy_mesh_leave_sync (self->caller, NULL, NULL);
  commy_mesh_leave_sync (self->mesh, NULL, NULL);
  g_object_unref (self->service);
  g_object_unref (self->caller);
  g_object_unref (self->mesh);
}

static void
await_shared_by (Scene *self, const char *words)
{
  gint64 until = g_get_monotonic_time () + PATIENCE_US;

  for (;;)
    {
      g_autofree char *text = commy_service_rate_describe (self->service->rate,
                                                           &(CommyRateRefusal){ COMMY_RATE_ALL });

      if (strstr (text, words) != NULL)
        return;
      if (g_get_monotonic_time () > until)
        g_error ("\"%s\" does not come to say \"%s\"", text, words);
      g_usleep (1000);
    }
}

/* From when both know of each other they take together what one may; where each has a whole limit
 * they would take the first twenty at once. */
static void
test_two (MeshFixture *fixture, gconstpointer data)
{
  g_autofree char *why = NULL;
  ServiceChild *child;
  CommyClient *client;
  gint64 since_us, took_us;
  guint n = 0, n_there = 0;
  Scene scene;

  scene_init (&scene, fixture, SHARED);
  await_shared_by (&scene, "1 instances");
  child = service_child_start (fixture, SHARED, 1);
  client = client_of (scene.caller, child->instance);
  await_shared_by (&scene, "2 instances");
  since_us = g_get_monotonic_time ();
  while (n_there < BURST)
    {
      n += call (scene.client, NULL);
      n_there += call (client, NULL);
    }
  took_us = g_get_monotonic_time () - since_us;
  g_test_message ("%u here and %u there in %" G_GINT64_FORMAT " us", n, n_there, took_us);
  g_assert_cmpfloat (n + n_there, <=, BURST + RATE * (double) took_us / (double) G_USEC_PER_SEC);
  while (call (client, &why))
    ;
  if (strstr (why, "each of 2 instances has its part") == NULL)
    g_error ("\"%s\" does not say how it is shared", why);
  g_object_unref (client);
  service_child_free (child);
  await_shared_by (&scene, "1 instances");
  while (!call (scene.client, NULL))
    ;
  scene_clear (&scene);
}

/* Without the scope each instance has its own, whatever the store lists. */
static void
test_not_shared (MeshFixture *fixture, gconstpointer data)
{
#define OWN GROUP "serve-rate-limit=0.001\nserve-rate-burst=4\n"
  ServiceChild *children[]
      = { service_child_start (fixture, OWN, 1), service_child_start (fixture, OWN, 1) };
  CommyMesh *mesh = mesh_fixture_join (fixture, CALLER);

  for (gsize i = 0; i < G_N_ELEMENTS (children); i++)
    {
      g_autoptr (CommyClient) client = client_of (mesh, children[i]->instance);
      guint n = 0;

      while (call (client, NULL))
        n++;
      g_assert_cmpuint (n, ==, 4);
    }
  commy_mesh_leave_sync (mesh, NULL, NULL);
  g_object_unref (mesh);
  for (gsize i = 0; i < G_N_ELEMENTS (children); i++)
    service_child_free (children[i]);
}

/* --- callers --- */

#define EACH                                                                   \
  GROUP "serve-rate-limit=1\nserve-rate-burst=9\n"                             \
        "serve-rate-limit-per-principal=1\nserve-rate-burst-per-principal=4\n" \
        "serve-rate-limit-per-address=1\nserve-rate-burst-per-address=6\n"

static CommyServiceRate *
rate_of (const char *text)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyConfig) config
      = commy_config_load_text (text, strlen (text), "test.conf", &error);

  g_assert_no_error (error);
  return commy_service_rate_new (config, TEST_SERVICE, NULL);
}

/* @from: NULL: this host. */
static gboolean
take_from (CommyServiceRate *rate,
           CommyRateCaller *caller,
           const char *principal,
           const char *from,
           gint64 now_ns,
           CommyRateRefusal *out_refusal)
{
  CommyPolicyPath path = { .where = COMMY_WHERE_LOCAL };

  if (from != NULL)
    {
      path.where = COMMY_WHERE_ADDRESS;
      g_assert_true (commy_network_parse_address (from, path.address));
    }
  return commy_service_rate_take (rate, caller, principal, &path, now_ns, out_refusal);
}

static gboolean
take (CommyServiceRate *rate,
      CommyRateCaller *caller,
      const char *principal,
      const char *from,
      gint64 now_ns)
{
  CommyRateRefusal refusal;

  return take_from (rate, caller, principal, from, now_ns, &refusal);
}

/* A caller that is new each time, as one that connects anew for each call. */
static guint
take_all (CommyServiceRate *rate, const char *principal, const char *from, CommyRateKind *out_kind)
{
  CommyRateRefusal refusal = { 0 };
  guint n = 0;

  for (;; n++)
    {
      CommyRateCaller *caller = commy_rate_caller_new ();
      gboolean taken = take_from (rate, caller, principal, from, S, &refusal);

      commy_rate_caller_free (caller);
      if (taken)
        continue;
      *out_kind = refusal.kind;
      return n;
    }
}

/* Who is beyond its own limit takes nothing of what is for all, however often it tries. */
static void
test_each (void)
{
  CommyServiceRate *rate = rate_of (EACH);
  CommyRateKind kind;

  g_assert_cmpuint (take_all (rate, "ann", NULL, &kind), ==, 4);
  g_assert_cmpint (kind, ==, COMMY_RATE_PRINCIPAL);
  for (guint i = 0; i < 100; i++)
    g_assert_cmpuint (take_all (rate, "ann", NULL, &kind), ==, 0);
  g_assert_cmpuint (take_all (rate, "bob", NULL, &kind), ==, 4);
  /* And who is refused for what all have taken keeps its own. */
  for (guint i = 0; i < 100; i++)
    g_assert_cmpuint (take_all (rate, "eve", NULL, &kind), ==, i == 0);
  g_assert_cmpint (kind, ==, COMMY_RATE_ALL);
  commy_service_rate_free (rate);
}

/* Whatever names somebody has, and however many addresses of one network. */
static void
test_addresses (void)
{
  CommyServiceRate *rate = rate_of (GROUP "serve-rate-limit-per-address=1\n"
                                          "serve-rate-burst-per-address=6\n");
  CommyRateKind kind;

  g_assert_cmpuint (take_all (rate, "ann", "203.0.113.7", &kind), ==, 6);
  g_assert_cmpint (kind, ==, COMMY_RATE_ADDRESS);
  g_assert_cmpuint (take_all (rate, "bob", "203.0.113.7", &kind), ==, 0);
  g_assert_cmpuint (take_all (rate, "bob", "203.0.113.8", &kind), ==, 6);
  g_assert_cmpuint (take_all (rate, "ann", "2001:db8:1:2::3", &kind), ==, 6);
  g_assert_cmpuint (take_all (rate, "bob", "2001:db8:1:2:ffff::9", &kind), ==, 0);
  g_assert_cmpuint (take_all (rate, "bob", "2001:db8:1:3::3", &kind), ==, 6);
  /* The kernel tells apart who is here. */
  for (guint i = 0; i < 100; i++)
    {
      CommyRateCaller *caller = commy_rate_caller_new ();

      g_assert_true (take (rate, caller, "ann", i % 2 == 0 ? "127.0.0.1" : "::1", S));
      g_assert_true (take (rate, caller, "ann", NULL, S));
      commy_rate_caller_free (caller);
    }
  commy_service_rate_free (rate);
}

/* A flow that moves is counted where it is. */
static void
test_moves (void)
{
  CommyServiceRate *rate = rate_of (GROUP "serve-rate-limit-per-address=1\n"
                                          "serve-rate-burst-per-address=2\n");
  CommyRateCaller *caller = commy_rate_caller_new ();
  CommyRateKind kind;

  g_assert_true (take (rate, caller, "ann", "203.0.113.7", S));
  g_assert_true (take (rate, caller, "ann", "203.0.113.7", S));
  g_assert_false (take (rate, caller, "ann", "203.0.113.7", S));
  g_assert_true (take (rate, caller, "ann", "203.0.113.8", S));
  g_assert_true (take (rate, caller, "ann", NULL, S));
  g_assert_false (take (rate, caller, "ann", "203.0.113.7", S));
  g_assert_cmpuint (take_all (rate, "bob", "203.0.113.8", &kind), ==, 1);
  commy_rate_caller_free (caller);
  commy_service_rate_free (rate);
}

/* The table has its limit, and who is in it and has taken stays. */
static void
test_strangers (void)
{
  CommyServiceRate *rate = rate_of (GROUP "serve-rate-limit-per-principal=1\n"
                                          "serve-rate-burst-per-principal=2\n");
  CommyRateCaller *ann = commy_rate_caller_new ();
  CommyRateCaller *late = commy_rate_caller_new ();
  CommyRateRefusal refusal = { 0 };
  g_autofree char *why = NULL;
  guint n = 0;

  g_assert_true (take (rate, ann, "ann", NULL, S));
  g_assert_true (take (rate, ann, "ann", NULL, S));
  for (guint i = 0; i < COMMY_SERVICE_RATE_CALLERS + 1000; i++)
    {
      g_autofree char *name = g_strdup_printf ("stranger-%u", i);
      CommyRateCaller *caller = commy_rate_caller_new ();

      n += take_from (rate, caller, name, NULL, S, &refusal);
      commy_rate_caller_free (caller);
    }
  g_assert_cmpuint (n, ==, COMMY_SERVICE_RATE_CALLERS - 1 + 2);
  g_assert_false (take_from (rate, late, "late", NULL, S, &refusal));
  g_assert_true (refusal.is_crowd);
  why = commy_service_rate_describe (rate, &refusal);
  if (strstr (why, "serve-rate-limit-per-principal=1, which newcomers share for now; the next one "
                   "may come in 1")
      == NULL)
    g_error ("\"%s\" does not say why", why);
  g_assert_false (take (rate, ann, "ann", NULL, S));
  /* All of them have rested: there is room. */
  g_assert_true (take (rate, ann, "ann", NULL, 100 * S));
  g_assert_true (take (rate, ann, "ann", NULL, 100 * S));
  g_assert_true (take (rate, late, "late", NULL, 100 * S));
  g_assert_true (take (rate, late, "late", NULL, 100 * S));
  g_assert_false (take_from (rate, late, "late", NULL, 100 * S, &refusal));
  g_assert_false (refusal.is_crowd);
  commy_rate_caller_free (late);
  commy_rate_caller_free (ann);
  commy_service_rate_free (rate);
}

/* Over real paths: two of one name have what one may, which says nothing of the instance. */
static void
test_principal (MeshFixture *fixture, gconstpointer data)
{
  ServiceChild *child = service_child_start (
      fixture,
      GROUP "serve-rate-limit-per-principal=0.001\nserve-rate-burst-per-principal=3\nworkers=2\n",
      0);
  /* With breakers and ejection as they are without a keyfile. */
  CommyMesh *mesh = mesh_fixture_join (fixture, GROUP "retry-attempts=1\n");
  CommyMesh *other = mesh_fixture_join (fixture, GROUP "retry-attempts=1\n");
  CommyClient *client = commy_client_new (mesh, TEST_SERVICE);
  CommyClient *another = commy_client_new (other, TEST_SERVICE);
  guint n = 0;

  for (guint i = 0; i < 40; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) answer = commy_client_call_sync (
          i % 2 == 0 ? client : another, "Add", g_variant_new ("(ii)", 1, 2), NULL, NULL, &error);

      n += answer != NULL;
      if (answer != NULL)
        continue;
      g_assert_error (error, COMMY_ERROR, COMMY_ERROR_TOO_OFTEN);
      g_assert_nonnull (strstr (error->message, "calls the instance too often "
                                                "(serve-rate-limit-per-principal=0.001; the next"));
    }
  g_assert_cmpuint (n, ==, 3);
  g_object_unref (client);
  g_object_unref (another);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  commy_mesh_leave_sync (other, NULL, NULL);
  g_object_unref (mesh);
  g_object_unref (other);
  service_child_free (child);
}

/* What is refused for that has a count of its own. */
static void
test_told (MeshFixture *fixture, gconstpointer data)
{
  char culprit[COMMY_CULPRIT_MAX];
  g_autoptr (GVariant) answer = NULL;
  g_autoptr (GError) error = NULL;
  Scene scene;

  scene_init (&scene, fixture,
              GROUP "serve-rate-limit-per-principal=0.001\nserve-rate-burst-per-principal=1\n");
  g_assert_true (call (scene.client, NULL));
  answer = commy_client_call_sync (scene.client, "Add", g_variant_new ("(ii)", 1, 2), NULL, NULL,
                                   &error);
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_TOO_OFTEN);
  g_assert_cmpuint (commy_ledger_get (&scene.mesh->ledger, COMMY_DROP_TOO_OFTEN), ==, 1);
  g_assert_cmpuint (commy_ledger_get (&scene.mesh->ledger, COMMY_DROP_BUSY), ==, 0);
  commy_ledger_get_culprit (&scene.mesh->ledger, COMMY_DROP_TOO_OFTEN, culprit);
  g_assert_cmpstr (culprit, ==, TEST_SERVICE);
  scene_clear (&scene);
}

/* --- counting --- */

static void
add (CommySnapshot *snapshot, const char *id, const char *origin)
{
  CommyInstance *instance = commy_instance_new (id, TEST_SERVICE);

  instance->origin = g_strdup (origin);
  g_ptr_array_add (snapshot->instances, instance);
}

static void
test_count (void)
{
  g_autoptr (CommySnapshot) snapshot = commy_snapshot_new (TEST_SERVICE, 1, NULL);

  g_assert_cmpuint (commy_service_rate_count (snapshot, "own"), ==, 1);
  add (snapshot, "a", NULL);
  add (snapshot, "b", NULL);
  add (snapshot, "c", "somewhere.conf:3");
  g_assert_cmpuint (commy_service_rate_count (snapshot, "own"), ==, 3);
  add (snapshot, "own", NULL);
  g_assert_cmpuint (commy_service_rate_count (snapshot, "own"), ==, 3);
}

/* A method's limit is divided as its service's is; of what it does not say the service's group has
 * the last word. */
static void
test_method_is_read (void)
{
  const char *text = SHARED "[method " TEST_SERVICE ".Add]\nserve-rate-limit=40\n";
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyConfig) config
      = commy_config_load_text (text, strlen (text), "test.conf", &error);
  CommyServiceRate *rate = commy_service_rate_new (config, TEST_SERVICE, "Add");
  CommyRateCaller *caller = commy_rate_caller_new ();
  guint n = 0;

  g_assert_no_error (error);
  g_assert_null (commy_service_rate_new (config, TEST_SERVICE, "Pid"));
  g_assert_null (commy_service_rate_new (config, "org.example", "Test.Add"));
  g_assert_true (rate->is_shared);
  g_assert_cmpuint (rate->whole[COMMY_RATE_ALL].burst, ==, BURST);
  g_assert_cmpfloat (rate->whole[COMMY_RATE_ALL].rate, ==, 40);
  commy_service_rate_divide (rate, 2, 1);
  while (take (rate, caller, "a", NULL, S))
    n++;
  g_assert_cmpuint (n, ==, BURST / 2);
  commy_rate_caller_free (caller);
  commy_service_rate_free (rate);
}

/* Who joins others has nothing saved; who is alone, or is so again, has a whole bucket in time. */
static void
test_joins (void)
{
  const char *text = SHARED;
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyConfig) config
      = commy_config_load_text (text, strlen (text), "test.conf", &error);
  CommyServiceRate *alone = commy_service_rate_new (config, TEST_SERVICE, NULL);
  CommyServiceRate *rate = commy_service_rate_new (config, TEST_SERVICE, NULL);
  CommyRateCaller *one = commy_rate_caller_new ();
  CommyRateCaller *other = commy_rate_caller_new ();
  guint n = 0;

  g_assert_no_error (error);
  g_assert_null (commy_service_rate_new (config, "org.example.Other", NULL));
  commy_service_rate_divide (alone, 1, 1);
  commy_service_rate_divide (rate, 2, 1);
  g_assert_true (take (alone, one, "a", NULL, 1));
  g_assert_false (take (rate, other, "a", NULL, 1));
  /* The store is away: nobody counts anew, and the part stays. */
  while (take (rate, other, "a", NULL, S))
    n++;
  g_assert_cmpuint (n, ==, BURST / 2);
  commy_service_rate_divide (rate, 1, S);
  g_assert_false (take (rate, other, "a", NULL, S));
  commy_rate_caller_free (one);
  commy_rate_caller_free (other);
  commy_service_rate_free (alone);
  commy_service_rate_free (rate);
}

int
main (int argc, char **argv)
{
  int status;

  if (service_child_main (argc, argv, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
#define ADD(NAME, FUNC)                                                                 \
  g_test_add ("/mesh/service-rate/" NAME, MeshFixture, NULL, mesh_fixture_set_up, FUNC, \
              mesh_fixture_tear_down)
  ADD ("an-instance-takes-so-much-of-all-callers", test_one);
  ADD ("a-method-takes-so-much-beside-the-service", test_method);
  /* attack: call each instance of a service for as much as one may take; defence: the limit is
   * divided among those that the store lists; test: /mesh/service-rate/two-take-what-one-may */
  ADD ("two-take-what-one-may", test_two);
  ADD ("each-its-own-without-the-scope", test_not_shared);
  g_test_add_func ("/mesh/service-rate/counts-who-is-in-the-store", test_count);
  g_test_add_func ("/mesh/service-rate/a-method-divides-it-too", test_method_is_read);
  /* attack: take all that a service may do, so that nothing is left for others; defence: each
   * principal has its own limit, which counts before that of all */
  g_test_add_func ("/mesh/service-rate/each-principal-its-own", test_each);
  /* attack: call under many names from one host; defence: its address has a limit of its own, of
   * IPv6 its /64 */
  g_test_add_func ("/mesh/service-rate/each-address-its-own", test_addresses);
  g_test_add_func ("/mesh/service-rate/a-flow-is-counted-where-it-is", test_moves);
  g_test_add_func ("/mesh/service-rate/strangers-push-nobody-out", test_strangers);
  ADD ("beyond-ones-own-is-no-fault-of-the-instance", test_principal);
  ADD ("what-was-too-often-is-counted", test_told);
  /* attack: have an instance restarted again and again, for the calls that a rested one takes at
   * once; defence: who joins others begins with nothing saved */
  g_test_add_func ("/mesh/service-rate/who-joins-has-nothing-saved", test_joins);
#undef ADD
  return g_test_run ();
}
