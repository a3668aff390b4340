/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who is where: records of nodes and of instances as others see them, what a service says of itself
 * while it is offered, selectors, cordon and drain.
 */
#include "config.h"

#include "mesh-fixture.h"
#include "mesh/commy-client-private.h"

#include <string.h>

#define PLACE "zone=kitchen\nregion=house\n"

/* --- looking --- */

/* (transfer full) (nullable) */
static GVariant *
find (GVariant *records, const char *key, const char *value)
{
  gsize n = g_variant_n_children (records);

  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) record = g_variant_get_child_value (records, i);
      const char *text = "";

      if (g_variant_lookup (record, key, "&s", &text) && strcmp (text, value) == 0)
        return g_steal_pointer (&record);
    }
  return NULL;
}

static GVariant *
node_of (CommyMesh *asker, CommyMesh *mesh)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) nodes = commy_mesh_list_nodes_sync (asker, NULL, &error);
  g_autoptr (GVariant) record = NULL;

  g_assert_no_error (error);
  record = find (nodes, "node", commy_mesh_get_node_id (mesh));
  return g_steal_pointer (&record);
}

static GVariant *
instance_of (CommyMesh *asker, CommyService *service)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) all = commy_mesh_list_services_sync (asker, TEST_SERVICE, NULL, &error);

  g_assert_no_error (error);
  return find (all, "instance", commy_service_get_instance_id (service));
}

/* Asks the store until the text of @key is so: what a program said is written soon, not at once. */
static void
await_text (CommyMesh *asker, CommyService *service, const char *key, const char *expected)
{
  for (;;)
    {
      g_autoptr (GVariant) record = instance_of (asker, service);
      g_autoptr (GVariant) value = g_variant_lookup_value (record, key, NULL);
      g_autofree char *text = value != NULL ? g_variant_print (value, FALSE) : NULL;

      if (g_strcmp0 (text, expected) == 0)
        return;
      g_thread_yield ();
    }
}

static void
await_state (CommyMesh *asker, CommyMesh *mesh, const char *expected)
{
  for (;;)
    {
      g_autoptr (GVariant) record = node_of (asker, mesh);
      const char *state = "";

      if (record != NULL && g_variant_lookup (record, "state", "&s", &state)
          && strcmp (state, expected) == 0)
        return;
      g_thread_yield ();
    }
}

static CommyService *
offer (CommyMesh *mesh)
{
  CommyService *service = test_service_new (mesh, 1);
  g_autoptr (GError) error = NULL;

  commy_service_start_sync (service, NULL, &error);
  g_assert_no_error (error);
  return service;
}

/* --- records --- */

static void
test_node_says_who_it_is (MeshFixture *fixture, gconstpointer data)
{
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, PLACE);
  g_autoptr (CommyMesh) asker = mesh_fixture_join (fixture, NULL);
  g_autoptr (GVariant) record = NULL;
  const char *zone = "", *region = "", *state = "", *program = "";
  g_auto (GStrv) transports = NULL;
  gint64 joined = 0;
  guint32 cpus = 0;
  guint64 memory = 0;

  await_state (asker, mesh, "up");
  record = node_of (asker, mesh);
  g_assert_true (g_variant_lookup (record, "zone", "&s", &zone));
  g_assert_true (g_variant_lookup (record, "region", "&s", &region));
  g_assert_true (g_variant_lookup (record, "state", "&s", &state));
  g_assert_true (g_variant_lookup (record, "program", "&s", &program));
  g_assert_true (g_variant_lookup (record, "joined", "x", &joined));
  g_assert_true (g_variant_lookup (record, "cpus", "u", &cpus));
  g_assert_true (g_variant_lookup (record, "memory-total", "t", &memory));
  g_assert_true (g_variant_lookup (record, "transports", "^as", &transports));
  g_assert_cmpstr (zone, ==, "kitchen");
  g_assert_cmpstr (region, ==, "house");
  g_assert_nonnull (strstr (program, "test-nodes"));
  g_assert_cmpint (joined, >, 0);
  g_assert_cmpuint (cpus, >, 0);
  g_assert_cmpuint (memory, >, 0);
  g_assert_cmpuint (g_strv_length (transports), >, 0);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  g_assert_null (node_of (asker, mesh));
  commy_mesh_leave_sync (asker, NULL, NULL);
}

static gboolean
says_it_calls (CommyMesh *asker, CommyMesh *mesh, const char *service)
{
  g_autoptr (GVariant) record = node_of (asker, mesh);
  g_autoptr (GVariant) calls
      = record != NULL ? g_variant_lookup_value (record, "calls", G_VARIANT_TYPE ("a(sx)")) : NULL;
  gsize n = calls != NULL ? g_variant_n_children (calls) : 0;

  for (gsize i = 0; i < n; i++)
    {
      const char *name;
      gint64 seen_s;

      g_variant_get_child (calls, i, "(&sx)", &name, &seen_s);
      if (strcmp (name, service) == 0 && seen_s > 0)
        return TRUE;
    }
  return FALSE;
}

static gpointer
call_once (gpointer mesh)
{
  g_autoptr (CommyClient) client = commy_client_new (mesh, TEST_SERVICE);
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) answer
      = commy_client_call_sync (client, "Add", g_variant_new ("(ii)", 1, 2), NULL, NULL, &error);

  g_assert_no_error (error);
  return NULL;
}

/* Also of a thread that is gone when it is looked, with its connections; but who only looks how a
 * service is does not need it. */
static void
test_says_what_it_calls (MeshFixture *fixture, gconstpointer data)
{
  g_autoptr (CommyMesh) offerer = mesh_fixture_join (fixture, NULL);
  g_autoptr (CommyService) service = test_service_new (offerer, 1);
  g_autoptr (CommyMesh) caller = mesh_fixture_join (fixture, "node-refresh=10ms\n");
  g_autoptr (CommyMesh) looker = mesh_fixture_join (fixture, "node-refresh=10ms\n");
  g_autoptr (CommyClient) look = NULL;
  g_autoptr (GVariant) pid = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_true (commy_service_start_sync (service, NULL, &error));
  look = commy_client_new_look (looker, TEST_SERVICE, commy_service_get_instance_id (service));
  pid = commy_client_call_sync (look, "Pid", NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  g_assert_false (says_it_calls (offerer, caller, TEST_SERVICE));
  g_thread_join (g_thread_new ("caller", call_once, caller));
  while (!says_it_calls (offerer, caller, TEST_SERVICE))
    g_thread_yield ();
  /* When it tells of one it would tell of the other, too. */
  commy_dependencies_note (looker->dependencies, "org.example.Long-ago", 1700000000);
  commy_dependencies_note (looker->dependencies, "org.example.Other",
                           g_get_real_time () / G_USEC_PER_SEC);
  while (!says_it_calls (offerer, looker, "org.example.Other"))
    g_thread_yield ();
  g_assert_false (says_it_calls (offerer, looker, TEST_SERVICE));
  g_assert_false (says_it_calls (offerer, looker, "org.example.Long-ago"));
  g_clear_object (&look);
  commy_mesh_leave_sync (looker, NULL, NULL);
  commy_mesh_leave_sync (caller, NULL, NULL);
  commy_mesh_leave_sync (offerer, NULL, NULL);
}

static void
test_instance_says_its_facts (MeshFixture *fixture, gconstpointer data)
{
  static const char *const tags[] = { "gpu", "canary", NULL };
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, PLACE);
  g_autoptr (CommyService) service = test_service_new (mesh, 1);
  g_autoptr (GError) error = NULL;

  g_assert_true (commy_service_set_version (service, "2.1.0", &error));
  commy_service_start_sync (service, NULL, &error);
  g_assert_no_error (error);
  await_text (mesh, service, "version", "'2.1.0'");
  await_text (mesh, service, "zone", "'kitchen'");
  await_text (mesh, service, "draining", "false");
  g_assert_true (commy_service_set_tags (service, tags, &error));
  g_assert_true (
      commy_service_set_metadata (service, g_variant_new_parsed ("@a{ss} {'rack': '7'}"), &error));
  commy_service_set_weight (service, 5);
  await_text (mesh, service, "tags", "['gpu', 'canary']");
  await_text (mesh, service, "metadata", "{'rack': '7'}");
  await_text (mesh, service, "weight", "5");
  /* As fast as they come: the last one is what stays. */
  for (guint i = 1; i <= 300; i++)
    commy_service_set_weight (service, i);
  await_text (mesh, service, "weight", "300");
  commy_service_set_weight (service, 100000);
  await_text (mesh, service, "weight", "1000");
  g_assert_true (commy_service_set_version (service, NULL, &error));
  g_assert_true (commy_service_set_tags (service, NULL, &error));
  await_text (mesh, service, "version", "''");
  await_text (mesh, service, "tags", "[]");
  commy_mesh_leave_sync (mesh, NULL, NULL);
}

static void
test_keyfile_wins (MeshFixture *fixture, gconstpointer data)
{
  g_autoptr (CommyMesh) mesh
      = mesh_fixture_join (fixture, "[service " TEST_SERVICE
                                    "]\nversion=3.0\ntags=b;c\nmetadata=rack:8;at:a:b\nweight=9\n");
  g_autoptr (CommyService) service = test_service_new (mesh, 1);
  g_autoptr (GError) error = NULL;

  commy_service_set_version (service, "2.1.0", &error);
  commy_service_set_weight (service, 5);
  commy_service_start_sync (service, NULL, &error);
  g_assert_no_error (error);
  await_text (mesh, service, "version", "'3.0'");
  await_text (mesh, service, "tags", "['b', 'c']");
  await_text (mesh, service, "metadata", "{'rack': '8', 'at': 'a:b'}");
  await_text (mesh, service, "weight", "9");
  commy_mesh_leave_sync (mesh, NULL, NULL);
}

static void
test_bad_keyfiles (MeshFixture *fixture, gconstpointer data)
{
  static const char *const bad[] = {
    "zone=a b\n",
    "region=\xc3\xa4\n",
    "[service a.b]\nversion=v1\n",
    "[service a.b]\ntags=ok;no good\n",
    "[service a.b]\nmetadata=rack\n",
    "[service a.b]\nmetadata=:7\n",
    "[service a.b]\nweight=0\n",
    "[service a.b]\nselect=>=\n",
    "[service a.b]\nselect=a,b\n",
  };

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr (GError) error = NULL;

      g_test_message ("%s", bad[i]);
      g_assert_null (mesh_fixture_new (fixture, bad[i], &error));
      g_assert_nonnull (error);
    }
}

static void
test_bad_facts (MeshFixture *fixture, gconstpointer data)
{
  static const char *const bad_tags[] = { "fine", "not fine", NULL };
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, NULL);
  g_autoptr (CommyService) service = offer (mesh);
  g_autofree char *long_value = g_strnfill (300, 'x');
  GVariant *const bad[] = { g_variant_new_parsed ("@a{ss} {'no key': ''}"),
                            g_variant_new_parsed ("@a{ss} {'key': 'two\\nlines'}"),
                            g_variant_new_parsed ("@a{ss} {'key': %s}", long_value),
                            g_variant_new_parsed ("@a{sv} {}") };

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_false (commy_service_set_metadata (service, bad[i], &error));
      g_assert_error (error, COMMY_ERROR, COMMY_ERROR_INVALID_ARGUMENT);
    }
  g_assert_false (commy_service_set_tags (service, bad_tags, NULL));
  g_assert_false (commy_service_set_version (service, "one", NULL));
  await_text (mesh, service, "metadata", "{}");
  await_text (mesh, service, "version", "''");
  commy_mesh_leave_sync (mesh, NULL, NULL);
}

/* --- selectors --- */

static gint32
add (CommyClient *client, GError **error)
{
  g_autoptr (GVariant) result
      = commy_client_call_sync (client, "Add", g_variant_new ("(ii)", 1, 2), NULL, NULL, error);
  gint32 sum = 0;

  if (result != NULL)
    g_variant_get (result, "(i)", &sum);
  return sum;
}

static void
test_selector (MeshFixture *fixture, gconstpointer data)
{
  static const char *const tags[] = { "gpu", NULL };
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, NULL);
  g_autoptr (CommyMesh) caller = mesh_fixture_join (fixture, NULL);
  g_autoptr (CommyService) old = test_service_new (mesh, 1);
  g_autoptr (CommyClient) client = commy_client_new (caller, TEST_SERVICE);
  g_autoptr (CommyDecision) decision = NULL;
  g_autofree char *text = NULL;
  g_autoptr (GError) error = NULL;

  commy_service_set_version (old, "1.4.0", NULL);
  commy_service_start_sync (old, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (commy_client_set_selector (client, ">=1 <2", &error));
  g_assert_cmpint (add (client, &error), ==, 3);
  g_assert_no_error (error);
  /* Nobody: what was wanted and what there is, and who wanted it. */
  g_assert_true (commy_client_set_selector (client, ">=2 gpu", NULL));
  add (client, &error);
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_NO_ROUTE);
  g_assert_nonnull (strstr (error->message, "version 1.4.0, wanted >=2 (program)"));
  g_clear_error (&error);
  decision = commy_client_explain (client, 64, NULL, NULL, &error);
  g_assert_no_error (error);
  text = commy_decision_to_string (decision);
  g_assert_nonnull (strstr (text, "selector"));
  /* It becomes one of those that are wanted; the client knows as soon as it is told. */
  commy_service_set_version (old, "2.0.0", NULL);
  commy_service_set_tags (old, tags, NULL);
  while (add (client, NULL) != 3)
    g_thread_yield ();
  g_assert_false (commy_client_set_selector (client, ">=", &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_INVALID_ARGUMENT);
  g_assert_cmpint (add (client, NULL), ==, 3);
  g_assert_true (commy_client_set_selector (client, NULL, NULL));
  g_assert_cmpint (add (client, NULL), ==, 3);
  commy_mesh_leave_sync (caller, NULL, NULL);
  commy_mesh_leave_sync (mesh, NULL, NULL);
}

/* Of more instances than a decision looks at, the only one that is wanted. */
static void
test_selector_of_keyfile (MeshFixture *fixture, gconstpointer data)
{
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, NULL);
  g_autoptr (CommyMesh) caller
      = mesh_fixture_join (fixture, "[service " TEST_SERVICE "]\nselect=rack:7\n");
  g_autoptr (GPtrArray) services = g_ptr_array_new_with_free_func (g_object_unref);
  g_autoptr (CommyClient) client = commy_client_new (caller, TEST_SERVICE);
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < 60; i++)
    g_ptr_array_add (services, offer (mesh));
  add (client, &error);
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_NO_ROUTE);
  g_assert_nonnull (strstr (error->message, "no rack, wanted rack:7"));
  commy_service_set_metadata (services->pdata[g_test_rand_int_range (0, 60)],
                              g_variant_new_parsed ("@a{ss} {'rack': '7'}"), NULL);
  while (add (client, NULL) != 3)
    g_thread_yield ();
  commy_mesh_leave_sync (caller, NULL, NULL);
  commy_mesh_leave_sync (mesh, NULL, NULL);
}

/* --- weights --- */

static guint
count_calls (MeshFixture *fixture, CommyClient *client, gint32 pid, guint n)
{
  guint hits = 0;

  for (guint i = 0; i < n; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) result
          = commy_client_call_sync (client, "Pid", NULL, NULL, NULL, &error);
      gint32 answered = 0;

      g_assert_no_error (error);
      g_variant_get (result, "(i)", &answered);
      hits += answered == pid;
    }
  return hits;
}

static void
test_weights_are_live (MeshFixture *fixture, gconstpointer data)
{
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, NULL);
  g_autoptr (CommyMesh) caller = mesh_fixture_join (
      fixture, "[service " TEST_SERVICE "]\nbalancer=weighted\n[calibration]\nmode=off\n"
               "[selection]\nprefer=\ntransports=unix\npreference=list\n");
  g_autoptr (CommyService) service = offer (mesh);
  ServiceChild *child = service_child_start (fixture, NULL, 1);
  g_autoptr (CommyClient) client = commy_client_new (caller, TEST_SERVICE);

  g_assert_cmpuint (count_calls (fixture, client, child->pid, 20), ==, 10);
  commy_service_set_weight (service, 9);
  /* As soon as the watch has told: among ten calls in a row one is the child's. */
  while (count_calls (fixture, client, child->pid, 10) != 1)
    ;
  g_assert_cmpuint (count_calls (fixture, client, child->pid, 100), ==, 10);
  service_child_free (child);
  commy_mesh_leave_sync (caller, NULL, NULL);
  commy_mesh_leave_sync (mesh, NULL, NULL);
}

/* --- cordon and drain --- */

static void
test_cordon (MeshFixture *fixture, gconstpointer data)
{
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, NULL);
  g_autoptr (CommyMesh) asker = mesh_fixture_join (fixture, NULL);
  g_autoptr (CommyService) before = offer (mesh);
  g_autoptr (CommyService) after = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_true (commy_mesh_cordon (mesh, TRUE, &error));
  await_text (asker, before, "draining", "true");
  await_state (asker, mesh, "cordoned");
  after = offer (mesh);
  await_text (asker, after, "draining", "true");
  g_assert_true (commy_mesh_cordon (mesh, FALSE, &error));
  await_text (asker, before, "draining", "false");
  await_text (asker, after, "draining", "false");
  await_state (asker, mesh, "up");
  commy_mesh_leave_sync (mesh, NULL, NULL);
  g_assert_false (commy_mesh_cordon (mesh, TRUE, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_NOT_JOINED);
  commy_mesh_leave_sync (asker, NULL, NULL);
}

typedef struct
{
  GMutex lock;
  CommyInvocation *held;
} Hold;

static void
on_hold (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  Hold *hold = data;

  g_mutex_lock (&hold->lock);
  hold->held = g_object_ref (invocation);
  g_mutex_unlock (&hold->lock);
}

/* The caller needs this thread's context to get there. */
static CommyInvocation *
await_held (Hold *hold)
{
  CommyInvocation *held = NULL;

  while (held == NULL)
    {
      g_main_context_iteration (NULL, FALSE);
      g_mutex_lock (&hold->lock);
      held = g_steal_pointer (&hold->held);
      g_mutex_unlock (&hold->lock);
    }
  return held;
}

static void
take_result (GObject *source, GAsyncResult *result, gpointer data)
{
  *(GAsyncResult **) data = g_object_ref (result);
}

static void
await (GAsyncResult **result)
{
  while (*result == NULL)
    g_main_context_iteration (NULL, TRUE);
}

static void
count_drained (CommyMesh *mesh, guint left, gpointer data)
{
  *(guint *) data += left + 1;
}

static CommyService *
offer_hold (CommyMesh *mesh, Hold *hold)
{
  CommyService *service = commy_service_new (mesh, TEST_SERVICE, NULL);
  g_autoptr (GError) error = NULL;

  commy_service_handle (service, "Hold", on_hold, hold, NULL);
  commy_service_set_workers (service, 1);
  commy_service_start_sync (service, NULL, &error);
  g_assert_no_error (error);
  return service;
}

static void
test_drain_lets_calls_finish (MeshFixture *fixture, gconstpointer data)
{
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, NULL);
  g_autoptr (CommyMesh) caller = mesh_fixture_join (fixture, NULL);
  Hold hold = { 0 };
  g_autoptr (CommyService) service = offer_hold (mesh, &hold);
  g_autoptr (CommyClient) client = commy_client_new (caller, TEST_SERVICE);
  g_autoptr (CommyInvocation) held = NULL;
  g_autoptr (GAsyncResult) called = NULL, drained = NULL, again = NULL;
  g_autoptr (GVariant) answer = NULL;
  g_autoptr (GError) error = NULL;
  guint told = 0;

  g_signal_connect (mesh, "drained", G_CALLBACK (count_drained), &told);
  commy_client_call (client, "Hold", NULL, NULL, NULL, take_result, &called);
  held = await_held (&hold);
  commy_mesh_drain (mesh, 60 * G_USEC_PER_SEC, NULL, take_result, &drained);
  commy_mesh_drain (mesh, 0, NULL, take_result, &again);
  await_text (caller, service, "draining", "true");
  await_state (caller, mesh, "draining");
  g_assert_null (drained);
  commy_invocation_return_value (held, g_variant_new ("(s)", "done"));
  await (&called);
  answer = commy_client_call_finish (client, called, &error);
  g_assert_no_error (error);
  await (&drained);
  g_assert_true (commy_mesh_drain_finish (mesh, drained, &error));
  await (&again);
  g_assert_true (commy_mesh_drain_finish (mesh, again, &error));
  while (told == 0)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpuint (told, ==, 1);
  g_assert_null (commy_service_get_instance_id (service));
  await_state (caller, mesh, "cordoned");
  commy_mesh_leave_sync (caller, NULL, NULL);
  commy_mesh_leave_sync (mesh, NULL, NULL);
}

static void
test_drain_ends_in_time (MeshFixture *fixture, gconstpointer data)
{
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, "drain-timeout=50ms\n");
  g_autoptr (CommyMesh) caller = mesh_fixture_join (fixture, NULL);
  Hold hold = { 0 };
  g_autoptr (CommyService) service = offer_hold (mesh, &hold);
  g_autoptr (CommyClient) client = commy_client_new (caller, TEST_SERVICE);
  g_autoptr (CommyInvocation) held = NULL;
  g_autoptr (GAsyncResult) called = NULL, drained = NULL;
  g_autoptr (GError) error = NULL;

  commy_client_call (client, "Hold", NULL, NULL, NULL, take_result, &called);
  held = await_held (&hold);
  commy_mesh_drain (mesh, -1, NULL, take_result, &drained);
  await (&drained);
  g_assert_false (commy_mesh_drain_finish (mesh, drained, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_DEADLINE);
  g_assert_nonnull (strstr (error->message, "1 calls"));
  await (&called);
  g_assert_null (commy_client_call_finish (client, called, NULL));
  commy_invocation_return_value (held, NULL);
  commy_mesh_leave_sync (caller, NULL, NULL);
  commy_mesh_leave_sync (mesh, NULL, NULL);
}

/* Left while it is drained: who waits hears so, and nothing is waited for any longer. */
static void
test_leave_ends_a_drain (MeshFixture *fixture, gconstpointer data)
{
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, NULL);
  g_autoptr (CommyMesh) caller = mesh_fixture_join (fixture, NULL);
  g_autoptr (CommyService) service = commy_service_new (mesh, TEST_SERVICE, NULL);
  g_autoptr (CommyClient) client = commy_client_new (caller, TEST_SERVICE);
  g_autoptr (CommyInvocation) held = NULL;
  g_autoptr (GAsyncResult) called = NULL, drained = NULL;
  g_autoptr (GError) error = NULL;
  Hold hold = { 0 };

  /* In this thread's context: leaving does not wait for it. */
  commy_service_handle (service, "Hold", on_hold, &hold, NULL);
  commy_service_set_workers (service, 0);
  commy_service_start_sync (service, NULL, &error);
  g_assert_no_error (error);
  commy_client_call (client, "Hold", NULL, NULL, NULL, take_result, &called);
  held = await_held (&hold);
  commy_mesh_drain (mesh, 3600 * (gint64) G_USEC_PER_SEC, NULL, take_result, &drained);
  await_state (caller, mesh, "draining");
  commy_mesh_leave_sync (mesh, NULL, NULL);
  await (&drained);
  g_assert_false (commy_mesh_drain_finish (mesh, drained, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_LEAVING);
  commy_invocation_return_value (held, NULL);
  await (&called);
  commy_mesh_leave_sync (caller, NULL, NULL);
}

/* A joined mesh that offers nothing, and one that is not joined. */
static void
test_drain_of_nothing (MeshFixture *fixture, gconstpointer data)
{
  g_autoptr (CommyMesh) mesh = mesh_fixture_join (fixture, NULL);
  g_autoptr (GError) error = NULL;

  g_assert_true (commy_mesh_drain_sync (mesh, 0, NULL, &error));
  g_assert_no_error (error);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  g_assert_false (commy_mesh_drain_sync (mesh, 0, NULL, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_NOT_JOINED);
}

int
main (int argc, char **argv)
{
  int status;

  if (service_child_main (argc, argv, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
#define ADD(NAME, FUNC)                                                          \
  g_test_add ("/mesh/nodes/" NAME, MeshFixture, NULL, mesh_fixture_set_up, FUNC, \
              mesh_fixture_tear_down)
  ADD ("record-says-who-it-is", test_node_says_who_it_is);
  ADD ("record-says-what-it-calls", test_says_what_it_calls);
  ADD ("instance-says-its-facts", test_instance_says_its_facts);
  ADD ("keyfile-wins-over-the-program", test_keyfile_wins);
  ADD ("bad-keyfiles-are-refused", test_bad_keyfiles);
  ADD ("bad-facts-are-refused", test_bad_facts);
  ADD ("selector-chooses-and-says-why-not", test_selector);
  ADD ("selector-of-the-keyfile-finds-one-of-many", test_selector_of_keyfile);
  ADD ("weights-are-live", test_weights_are_live);
  ADD ("cordon-is-in-every-record", test_cordon);
  ADD ("drain-lets-calls-finish", test_drain_lets_calls_finish);
  ADD ("drain-ends-in-time", test_drain_ends_in_time);
  ADD ("leave-ends-a-drain", test_leave_ends_a_drain);
  ADD ("drain-of-nothing", test_drain_of_nothing);
  return g_test_run ();
}
