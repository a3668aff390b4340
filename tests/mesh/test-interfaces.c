/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Clients that say what they were written for, against services in other processes that offer the
 * same, something that fits, something that does not, nothing that is known, and lies.
 */
#include "config.h"

#include "mesh-fixture.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#define INTRODUCES "org.freedesktop.DBus.Introspectable.Introspect"
#define DESCRIPTION "COMMY_TEST_DESCRIPTION" /* environment: what a liar says of itself */
#define HUGE_DESCRIPTION "huge"

#define INTERFACE(members) "<node><interface name='" TEST_SERVICE "'>" members "</interface></node>"
#define ADD(first, type)                                                      \
  "<method name='Add'><arg name='" first "' type='" type "' direction='in'/>" \
  "<arg name='b' type='i' direction='in'/><arg name='sum' type='i' direction='out'/></method>"

#define KNOWN INTERFACE (ADD ("a", "i"))
#define MORE INTERFACE (ADD ("a", "i") "<method name='More'/>")
#define RENAMED INTERFACE (ADD ("first", "i"))
#define OTHER INTERFACE (ADD ("a", "s"))
#define WITHOUT INTERFACE ("<method name='More'/>")
#define UNTYPED "<node/>"

typedef struct
{
  MeshFixture *fixture;
  const char *transport;
  CommyMesh *mesh;
  CommyClient *client;
} Scene;

static gint told; /* how often this process was told of another interface */

static void
count_messages (const char *domain, GLogLevelFlags level, const char *text, gpointer data)
{
  if ((level & G_LOG_LEVEL_MESSAGE) != 0 && strstr (text, "interface") != NULL
      && strstr (text, TEST_SERVICE) != NULL)
    g_atomic_int_inc (&told);
  else
    g_log_default_handler (domain, level, text, data);
}

static ServiceChild *
offer (Scene *scene, const char *xml)
{
  ServiceChild *child;

  g_setenv (TEST_INTERFACE, xml, TRUE);
  child = service_child_start (scene->fixture, NULL, 0);
  g_unsetenv (TEST_INTERFACE);
  return child;
}

static CommyClient *
written_for (CommyMesh *mesh, const char *xml)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GDBusNodeInfo) node = commy_schema_parse (xml, -1, &error);
  CommyClient *client = commy_client_new (mesh, TEST_SERVICE);

  g_assert_no_error (error);
  commy_client_set_interface (client, node->interfaces[0]);
  return client;
}

/* @check: of the keyfile, or NULL */
static Scene *
scene_new (MeshFixture *fixture, gconstpointer transport, const char *check)
{
  Scene *scene = g_new0 (Scene, 1);
  g_autofree char *group
      = check != NULL ? g_strdup_printf ("[service " TEST_SERVICE "]\ninterface-check=%s\n", check)
                      : g_strdup ("");
  g_autofree char *settings = g_strdup_printf ("[selection]\npreference=pin\ntransports=%s\n%s",
                                               (const char *) transport, group);

  if (strcmp (transport, "tls") == 0)
    mesh_fixture_make_credentials (fixture);
  g_atomic_int_set (&told, 0);
  scene->fixture = fixture;
  scene->transport = transport;
  scene->mesh = mesh_fixture_join (fixture, settings);
  scene->client = written_for (scene->mesh, KNOWN);
  return scene;
}

static void
scene_free (Scene *scene)
{
  g_clear_object (&scene->client);
  commy_mesh_leave_sync (scene->mesh, NULL, NULL);
  g_object_unref (scene->mesh);
  g_free (scene);
}

static void
check_adds (CommyClient *client)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value
      = commy_client_call_sync (client, "Add", g_variant_new ("(ii)", 2, 3), NULL, NULL, &error);
  gint32 sum;

  g_assert_no_error (error);
  g_variant_get (value, "(i)", &sum);
  g_assert_cmpint (sum, ==, 5);
}

static void
check_refused (CommyClient *client, const char *words)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value
      = commy_client_call_sync (client, "Add", g_variant_new ("(ii)", 2, 3), NULL, NULL, &error);

  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_NO_ROUTE);
  g_assert_null (value);
  if (strstr (error->message, words) == NULL)
    g_error ("\"%s\" is not in: %s", words, error->message);
}

static char *
explain (CommyClient *client)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyDecision) decision = commy_client_explain (client, 64, NULL, NULL, &error);

  g_assert_no_error (error);
  return commy_decision_to_string (decision);
}

/* NULL: nothing is said of interfaces. */
static void
check_explained (CommyClient *client, const char *words)
{
  g_autofree char *text = explain (client);

  if (words != NULL ? strstr (text, words) == NULL : strstr (text, "interface") != NULL)
    g_error ("\"%s\" is not what is explained: %s", words, text);
}

/* As `commy route explain` asks the process. */
static char *
dup_told_by_node (CommyMesh *mesh)
{
  g_autoptr (GVariant) all = commy_mesh_list_services_sync (mesh, "org.commy.Node1", NULL, NULL);
  g_autoptr (CommyClient) client = commy_client_new (mesh, "org.commy.Node1");
  g_autoptr (GVariant) answer = NULL;
  g_autoptr (GError) error = NULL;
  const gsize n = g_variant_n_children (all);

  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) node = g_variant_get_child_value (all, i);
      const char *id = "", *instance = NULL;

      g_variant_lookup (node, "node", "&s", &id);
      g_variant_lookup (node, "instance", "&s", &instance);
      if (strcmp (id, commy_mesh_get_node_id (mesh)) == 0)
        commy_client_set_instance (client, instance);
    }
  answer = commy_client_call_sync (
      client, "Explain",
      g_variant_new ("(st@as)", TEST_SERVICE, (guint64) 64, g_variant_new_strv (NULL, 0)), NULL,
      NULL, &error);
  g_assert_no_error (error);
  return g_variant_print (answer, FALSE);
}

/* --- verdicts --- */

static void
test_same (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene = scene_new (fixture, transport, NULL);
  ServiceChild *child = offer (scene, KNOWN);

  check_adds (scene->client);
  check_explained (scene->client, NULL);
  g_assert_cmpint (g_atomic_int_get (&told), ==, 0);
  service_child_free (child);
  scene_free (scene);
}

static void
test_more (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene = scene_new (fixture, transport, NULL);
  ServiceChild *child = offer (scene, MORE);

  check_adds (scene->client);
  check_explained (scene->client, NULL);
  g_assert_cmpint (g_atomic_int_get (&told), ==, 0);
  service_child_free (child);
  scene_free (scene);
}

static void
test_renamed (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene = scene_new (fixture, transport, NULL);
  ServiceChild *first = offer (scene, RENAMED);
  g_autoptr (CommyClient) second = written_for (scene->mesh, KNOWN);

  check_adds (scene->client);
  check_adds (scene->client);
  check_adds (second);
  check_explained (second,
                   "fits with a warning: method Add, argument-name 1 is \"first\", not \"a\"");
  g_assert_cmpint (g_atomic_int_get (&told), ==, 1);
  service_child_free (first);
  scene_free (scene);
}

static void
test_incompatible (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene = scene_new (fixture, transport, NULL);
  ServiceChild *child = offer (scene, OTHER);
  g_autofree char *text = NULL;

  check_refused (scene->client, "method Add, argument 1 is \"s\", not \"i\"");
  check_explained (scene->client, "method Add, argument 1");
  g_assert_cmpint (g_atomic_int_get (&told), ==, 1);
  text = dup_told_by_node (scene->mesh);
  g_assert_nonnull (strstr (text, "method Add, argument 1"));
  commy_client_set_interface (scene->client, NULL);
  check_explained (scene->client, NULL);
  service_child_free (child);
  scene_free (scene);
}

static void
test_missing (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene = scene_new (fixture, transport, NULL);
  ServiceChild *child = offer (scene, WITHOUT);

  check_refused (scene->client, "method Add: what the client was written for is not there");
  service_child_free (child);
  scene_free (scene);
}

static void
test_one_of_two (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene = scene_new (fixture, transport, NULL);
  ServiceChild *other = offer (scene, OTHER);
  ServiceChild *same = offer (scene, MORE);

  /* Nobody waits for the verdict while there is another to call. */
  for (gboolean judged = FALSE; !judged;)
    {
      g_autofree char *text = NULL;

      check_adds (scene->client);
      text = explain (scene->client);
      judged = strstr (text, "method Add, argument 1") != NULL;
    }
  for (guint i = 0; i < 8; i++)
    check_adds (scene->client);
  service_child_free (other);
  service_child_free (same);
  scene_free (scene);
}

/* --- settings --- */

static void
test_warn (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene = scene_new (fixture, transport, "warn");
  ServiceChild *child = offer (scene, WITHOUT);

  check_adds (scene->client);
  check_adds (scene->client);
  check_explained (scene->client, "does not fit: method Add: what the client was written for");
  g_assert_cmpint (g_atomic_int_get (&told), ==, 1);
  service_child_free (child);
  scene_free (scene);
}

static void
test_off (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene = scene_new (fixture, transport, "off");
  ServiceChild *child = offer (scene, WITHOUT);

  check_adds (scene->client);
  check_explained (scene->client, "interfaces are not checked: interface-check=off");
  g_assert_cmpint (g_atomic_int_get (&told), ==, 0);
  service_child_free (child);
  scene_free (scene);
}

static void
test_unknown_word (MeshFixture *fixture, gconstpointer transport)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyMesh) mesh
      = mesh_fixture_new (fixture, "[service " TEST_SERVICE "]\ninterface-check=perhaps\n", &error);

  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_CONFIG_VALUE);
  g_assert_null (mesh);
}

/* --- changes --- */

/* Calls until the mesh has heard of the change. */
static void
await_refusal (CommyClient *client)
{
  for (;;)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) value = commy_client_call_sync (
          client, "Add", g_variant_new ("(ii)", 2, 3), NULL, NULL, &error);

      if (g_error_matches (error, COMMY_ERROR, COMMY_ERROR_NO_ROUTE))
        return;
      if (error != NULL)
        g_assert_error (error, COMMY_ERROR, COMMY_ERROR_NO_SERVICE);
    }
}

static void
test_replaced (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene = scene_new (fixture, transport, NULL);
  ServiceChild *child = offer (scene, KNOWN);

  check_adds (scene->client);
  service_child_free (child);
  child = offer (scene, OTHER);
  await_refusal (scene->client);
  check_refused (scene->client, "method Add, argument 1");
  service_child_free (child);
  child = offer (scene, MORE);
  for (gboolean works = FALSE; !works;)
    {
      g_autoptr (GVariant) value = commy_client_call_sync (
          scene->client, "Add", g_variant_new ("(ii)", 2, 3), NULL, NULL, NULL);

      works = value != NULL;
    }
  service_child_free (child);
  scene_free (scene);
}

/* --- who says nothing, or lies --- */

static void
test_untyped (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene = scene_new (fixture, transport, NULL);
  ServiceChild *child = offer (scene, UNTYPED);

  check_adds (scene->client);
  check_explained (scene->client, "is not checked: it does not say what it offers");
  service_child_free (child);
  scene_free (scene);
}

static void
on_lie (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  const char *text = data;

  if (strcmp (text, HUGE_DESCRIPTION) == 0)
    {
      GString *xml = g_string_new ("<node><interface name='" TEST_SERVICE "'>");

      for (guint i = 0; i < 40000; i++)
        g_string_append_printf (xml, "<method name='Method%u'><arg type='i'/></method>", i);
      g_string_append (xml, "</interface></node>");
      commy_invocation_return_value (invocation, g_variant_new ("(s)", xml->str));
      g_string_free (xml, TRUE);
    }
  else if (text[0] == '\0')
    commy_invocation_return_value (invocation, g_variant_new ("(i)", 1));
  else
    commy_invocation_return_value (invocation, g_variant_new ("(s)", text));
}

static void
add_lie (CommyService *service)
{
  const char *text = g_getenv (DESCRIPTION);

  if (text != NULL)
    commy_service_handle (service, INTRODUCES, on_lie, (gpointer) text, NULL);
}

static ServiceChild *
offer_liar (Scene *scene, const char *xml, const char *description)
{
  ServiceChild *child;

  g_setenv (DESCRIPTION, description, TRUE);
  child = offer (scene, xml);
  g_unsetenv (DESCRIPTION);
  return child;
}

static void
test_no_description (MeshFixture *fixture, gconstpointer transport)
{
  static const struct
  {
    const char *description;
    const char *why;
  } lies[] = {
    { HUGE_DESCRIPTION, "not checked: " },
    { "", "it describes itself with (i)" },
    { "<node><interface name='" TEST_SERVICE "'>", "no introspection XML" },
    { "<node><interface name='org.example.Elsewhere'/></node>", "has no interface " TEST_SERVICE },
    { "\xc3\xa9\x01", "not checked: " },
  };

  Scene *scene = scene_new (fixture, transport, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (lies); i++)
    {
      ServiceChild *child = offer_liar (scene, MORE, lies[i].description);

      commy_client_set_instance (scene->client, child->instance);
      check_adds (scene->client);
      check_explained (scene->client, lies[i].why);
      g_assert_cmpint (g_atomic_int_get (&told), ==, i + 1);
      service_child_free (child);
    }
  scene_free (scene);
}

/* Both announce the same interface; one describes another. */
static void
test_bad_mouth (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene = scene_new (fixture, transport, NULL);
  ServiceChild *liar = offer_liar (scene, MORE, WITHOUT);
  ServiceChild *honest;

  check_refused (scene->client, "method Add: ");
  honest = offer (scene, MORE);
  for (guint works = 0; works < 8;)
    {
      g_autoptr (GVariant) value = commy_client_call_sync (
          scene->client, "Add", g_variant_new ("(ii)", 2, 3), NULL, NULL, NULL);

      works += value != NULL;
    }
  check_explained (scene->client, "method Add: ");
  service_child_free (liar);
  service_child_free (honest);
  scene_free (scene);
}

/* --- waiting --- */

static void
keep_answer (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = commy_client_call_finish (COMMY_CLIENT (source), result, &error);
  gint32 sum;

  g_assert_no_error (error);
  g_variant_get (value, "(i)", &sum);
  g_array_append_val ((GArray *) data, sum);
}

static void
test_in_line (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene = scene_new (fixture, transport, NULL);
  ServiceChild *child = offer (scene, MORE);
  g_autoptr (GArray) sums = g_array_new (FALSE, FALSE, sizeof (gint32));

  for (gint i = 0; i < 5; i++)
    commy_client_call (scene->client, "Add", g_variant_new ("(ii)", i, 0), NULL, NULL, keep_answer,
                       sums);
  while (sums->len < 5)
    g_main_context_iteration (NULL, TRUE);
  for (gint i = 0; i < 5; i++)
    g_assert_cmpint (g_array_index (sums, gint32, i), ==, i);
  service_child_free (child);
  scene_free (scene);
}

static void
keep_error (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GVariant) value = commy_client_call_finish (COMMY_CLIENT (source), result, data);

  g_assert_null (value);
}

static void
await_error (GError **error)
{
  while (*error == NULL)
    g_main_context_iteration (NULL, TRUE);
}

/* Who is asked does not answer: callers keep their deadlines, and the mesh can be left. */
static void
test_silent (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene = scene_new (fixture, transport, NULL);
  ServiceChild *child = offer (scene, MORE);
  g_autoptr (CommyCallOptions) options = commy_call_options_new ();
  g_autoptr (GCancellable) cancellable = g_cancellable_new ();
  g_autoptr (GError) late = NULL;
  g_autoptr (GError) cancelled = NULL;
  g_autoptr (GError) left = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = NULL;

  kill (child->pid, SIGSTOP);
  commy_call_options_set_timeout (options, 20000);
  value = commy_client_call_sync (scene->client, "Add", g_variant_new ("(ii)", 2, 3), options, NULL,
                                  &error);
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_DEADLINE);
  commy_client_call (scene->client, "Add", g_variant_new ("(ii)", 2, 3), options, NULL, keep_error,
                     &late);
  await_error (&late);
  g_assert_error (late, COMMY_ERROR, COMMY_ERROR_DEADLINE);
  commy_client_call (scene->client, "Add", g_variant_new ("(ii)", 2, 3), NULL, cancellable,
                     keep_error, &cancelled);
  g_cancellable_cancel (cancellable);
  await_error (&cancelled);
  g_assert_error (cancelled, COMMY_ERROR, COMMY_ERROR_CANCELLED);
  commy_client_call (scene->client, "Add", g_variant_new ("(ii)", 2, 3), NULL, NULL, keep_error,
                     &left);
  commy_mesh_leave_sync (scene->mesh, NULL, &error);
  await_error (&left);
  g_assert_cmpint (left->domain, ==, COMMY_ERROR);
  kill (child->pid, SIGCONT);
  service_child_free (child);
  scene_free (scene);
}

/* --- in one process --- */

static void
test_own (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene = scene_new (fixture, "inproc", NULL);
  g_autoptr (CommyService) service = NULL;
  g_autoptr (GError) error = NULL;

  g_setenv (TEST_INTERFACE, OTHER, TRUE);
  service = test_service_new (scene->mesh, 1);
  g_unsetenv (TEST_INTERFACE);
  commy_service_start_sync (service, NULL, &error);
  g_assert_no_error (error);
  check_refused (scene->client, "method Add, argument 1");
  check_refused (scene->client, "method Add, argument 1");
  g_assert_cmpint (g_atomic_int_get (&told), ==, 1);
  scene_free (scene);
}

/* --- annotations --- */

#define HASTY \
  INTERFACE ("<method name='Slow'><annotation name='org.commy.Deadline' value='20ms'/></method>")
#define PATIENT \
  INTERFACE ("<method name='Slow'><annotation name='org.commy.Deadline' value='1h'/></method>")
#define STEADY                                                              \
  INTERFACE ("<method name='Slow'><annotation name='org.commy.Idempotent' " \
             "value='true'/></method>")

static void
test_deadline (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene = scene_new (fixture, transport, NULL);
  ServiceChild *child = offer (scene, HASTY);
  g_autoptr (CommyClient) hasty = written_for (scene->mesh, HASTY);
  g_autoptr (CommyClient) patient = written_for (scene->mesh, PATIENT);
  g_autoptr (CommyCallOptions) options = commy_call_options_new ();
  g_autoptr (GError) error = NULL;
  g_autoptr (GError) second = NULL;
  g_autoptr (GError) third = NULL;

  g_assert_null (commy_client_call_sync (hasty, "Slow", NULL, NULL, NULL, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_DEADLINE);
  commy_client_call (hasty, "Slow", NULL, NULL, NULL, keep_error, &second);
  await_error (&second);
  g_assert_error (second, COMMY_ERROR, COMMY_ERROR_DEADLINE);
  /* What the caller says is what counts. */
  commy_call_options_set_timeout (options, 20000);
  g_assert_null (commy_client_call_sync (patient, "Slow", NULL, options, NULL, &third));
  g_assert_error (third, COMMY_ERROR, COMMY_ERROR_DEADLINE);
  service_child_free (child);
  scene_free (scene);
}

static void
keep_result (GObject *source, GAsyncResult *result, gpointer data)
{
  *(GAsyncResult **) data = g_object_ref (result);
}

static GVariant *
await_answer (CommyClient *client, GAsyncResult **result, GError **error)
{
  while (*result == NULL)
    g_main_context_iteration (NULL, TRUE);
  return commy_client_call_finish (client, *result, error);
}

/* A call that has arrived when the only instance dies, after another has come. */
static void
call_while_one_dies (Scene *scene,
                     CommyClient *client,
                     GAsyncResult **out_result,
                     ServiceChild **out_second)
{
  ServiceChild *first = offer (scene, STEADY);
  g_autoptr (GAsyncResult) behind = NULL;
  g_autoptr (GVariant) pid = NULL;
  g_autoptr (GError) error = NULL;

  commy_client_call (client, "Slow", NULL, NULL, NULL, keep_result, out_result);
  commy_client_call (client, "Pid", NULL, NULL, NULL, keep_result, &behind);
  pid = await_answer (client, &behind, &error);
  g_assert_no_error (error);
  *out_second = offer (scene, STEADY);
  service_child_kill (first);
  service_child_free (first);
}

static void
test_idempotent (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene = scene_new (fixture, transport, NULL);
  ServiceChild *second;
  g_autoptr (CommyClient) client = written_for (scene->mesh, STEADY);
  g_autoptr (CommyClient) helper = commy_client_new (scene->mesh, TEST_SERVICE);
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GVariant) answer = NULL;
  g_autoptr (GError) error = NULL;

  call_while_one_dies (scene, client, &result, &second);
  commy_client_set_instance (helper, second->instance);
  while (result == NULL) /* until it has come to the other one, which lets go what it holds */
    {
      g_autoptr (GAsyncResult) released = NULL;
      g_autoptr (GVariant) done = NULL;

      commy_client_call (helper, "Release", NULL, NULL, NULL, keep_result, &released);
      done = await_answer (helper, &released, &error);
      g_assert_no_error (error);
    }
  answer = commy_client_call_finish (client, result, &error);
  g_assert_no_error (error);
  g_assert_nonnull (answer);
  service_child_free (second);
  scene_free (scene);
}

static void
test_not_idempotent (MeshFixture *fixture, gconstpointer transport)
{
  Scene *scene = scene_new (fixture, transport, NULL);
  ServiceChild *second;
  g_autoptr (CommyClient) client = commy_client_new (scene->mesh, TEST_SERVICE);
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GVariant) answer = NULL;
  g_autoptr (GError) error = NULL;

  call_while_one_dies (scene, client, &result, &second);
  answer = await_answer (client, &result, &error);
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_OUTCOME_UNKNOWN);
  service_child_free (second);
  scene_free (scene);
}

/* --- */

static void
add_over (const char *transport, const char *name, void (*test) (MeshFixture *, gconstpointer))
{
  g_autofree char *path = g_strdup_printf ("/mesh/interfaces/%s/%s", transport, name);

  g_test_add (path, MeshFixture, transport, mesh_fixture_set_up, test, mesh_fixture_tear_down);
}

static void
add (const char *name, void (*test) (MeshFixture *, gconstpointer))
{
  add_over ("shm", name, test);
}

static void
add_both (const char *name, void (*test) (MeshFixture *, gconstpointer))
{
  add_over ("shm", name, test);
  add_over ("tls", name, test);
}

int
main (int argc, char **argv)
{
  int status;

  if (service_child_main_with (argc, argv, add_lie, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
  g_log_set_default_handler (count_messages, NULL);
  add ("same-hash-is-used-without-a-word", test_same);
  add_both ("service-that-offers-more-is-used", test_more);
  add_both ("other-names-warn-once", test_renamed);
  add_both ("other-types-are-refused", test_incompatible);
  add ("missing-method-is-refused", test_missing);
  add ("only-who-fits-is-called", test_one_of_two);
  add ("warn-uses-it-all-the-same", test_warn);
  add ("off-compares-nothing", test_off);
  add ("new-version-is-judged-anew", test_replaced);
  add ("who-says-nothing-is-used", test_untyped);
  add_both ("bad-descriptions-are-not-believed", test_no_description);
  add ("nobody-talks-ill-of-others", test_bad_mouth);
  add_both ("calls-wait-in-line", test_in_line);
  add ("who-is-silent-holds-up-nobody", test_silent);
  add ("annotated-deadline-is-the-default", test_deadline);
  add ("annotated-idempotent-call-goes-on", test_idempotent);
  add ("other-call-does-not", test_not_idempotent);
  g_test_add ("/mesh/interfaces/own-service-is-compared-at-once", MeshFixture, NULL,
              mesh_fixture_set_up, test_own, mesh_fixture_tear_down);
  g_test_add ("/mesh/interfaces/unknown-word-is-refused", MeshFixture, NULL, mesh_fixture_set_up,
              test_unknown_word, mesh_fixture_tear_down);
  return g_test_run ();
}
