/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Plugins that lie about their speed, between two processes and with the settings as shipped: one
 * claims a hundredth of its cost, one two thousand times its cost: so much that it is a lie on a
 * busy machine, too, where everything takes longer. Probes find both out. What was found survives
 * the process, and a requirement that stops being met is told.
 */
#include "config.h"

#include "mesh-fixture.h"

#include <glib/gstdio.h>
#include <string.h>

#define DIR_ENV "G_TEST_BUILDDIR"
#define PATIENCE_US (240 * G_USEC_PER_SEC) /* only so that nothing hangs */
/* More than what the modest one claims, and less than what is slow takes. */
#define MOST_LATENCY_NS (32 * 1000 * 1000)
#define TIMED_CALLS 20u

static const char *const transports[] = { "modest", "honest", "boaster" }; /* by true cost */

/* As much of the time as may be: by the shipped share, a look that a busy machine made long is paid
 * for with minutes. */
#define QUICK "probe-time=10%\nprobe-bytes=1MiB/s\n"

typedef struct
{
  ServiceChild *child;
  CommyMesh *mesh;
  CommyClient *client;
} Scene;

static char *
settings_with (const char *more)
{
  g_autofree char *dir
      = g_build_filename (g_getenv (DIR_ENV), "fixtures", "plugins", ".libs", NULL);

  return g_strdup_printf ("[plugins]\npath=%s\nallow=transport/modest;transport/honest;"
                          "transport/boaster;serializer/*;auth/*;balancer/*;store/*\n%s",
                          dir, more);
}

static void
scene_join (MeshFixture *fixture, Scene *scene, const char *more)
{
  g_autofree char *settings = settings_with (more);

  scene->mesh = mesh_fixture_join (fixture, settings);
  scene->client = commy_client_new (scene->mesh, TEST_SERVICE);
}

static void
scene_leave (Scene *scene)
{
  g_clear_object (&scene->client);
  commy_mesh_leave_sync (scene->mesh, NULL, NULL);
  g_clear_object (&scene->mesh);
}

static void
scene_start (MeshFixture *fixture, Scene *scene, const char *more)
{
  g_autofree char *settings = settings_with ("");

  scene->child = service_child_start (fixture, settings, 0);
  scene_join (fixture, scene, more);
}

static void
scene_end (Scene *scene)
{
  scene_leave (scene);
  service_child_free (scene->child);
}

/* The transport that a call took. (transfer full) */
static char *
call (CommyClient *client, GError **error)
{
  g_autoptr (GVariant) answer = commy_client_call_sync (client, "Who", NULL, NULL, NULL, error);
  const char *over;

  if (answer == NULL)
    return NULL;
  g_variant_get (answer, "(&s&s)", NULL, &over);
  return g_strdup (over);
}

/* Calls until they take @transport; how many it took. */
static guint
call_until_over (CommyClient *client, const char *transport)
{
  gint64 until = g_get_monotonic_time () + PATIENCE_US;

  for (guint n = 0;; n++)
    {
      g_autoptr (GError) error = NULL;
      g_autofree char *over = call (client, &error);

      g_assert_no_error (error);
      if (strcmp (over, transport) == 0)
        return n;
      if (g_get_monotonic_time () > until)
        {
          g_autoptr (CommyDecision) decision = commy_client_explain (client, 64, NULL, NULL, NULL);
          g_autofree char *text = commy_decision_to_string (decision);

          g_error ("calls still go over %s, not %s:\n%s", over, transport, text);
        }
    }
}

static CommyDecision *
explain (Scene *scene)
{
  g_autoptr (GError) error = NULL;
  CommyDecision *decision = commy_client_explain (scene->client, 64, NULL, NULL, &error);

  g_assert_no_error (error);
  return decision;
}

/* The candidate of @transport, whatever its serializer. (transfer full) */
static GVariant *
find_row (CommyDecision *decision, const char *transport)
{
  g_autoptr (GVariant) all = commy_decision_to_variant (decision);
  g_autoptr (GVariant) rows = g_variant_lookup_value (all, "candidates", NULL);
  GVariantIter iter;
  GVariant *row;

  g_variant_iter_init (&iter, rows);
  while ((row = g_variant_iter_next_value (&iter)) != NULL)
    {
      const char *id = NULL;

      g_variant_lookup (row, "transport", "&s", &id);
      if (g_strcmp0 (id, transport) == 0)
        return row;
      g_variant_unref (row);
    }
  return NULL;
}

static double
number (GVariant *row, const char *key)
{
  double value = -1;

  g_assert_true (g_variant_lookup (row, key, "d", &value));
  return value;
}

/* Mean time of a call over one transport alone. */
static double
time_over (Scene *scene, const char *transport)
{
  const char *const ids[] = { transport, NULL };
  g_autoptr (CommyRequirements) requirements = commy_requirements_new ();
  g_autoptr (CommyClient) client = commy_client_new (scene->mesh, TEST_SERVICE);
  gint64 started;

  commy_requirements_set_preference (requirements, COMMY_PREFER_PIN, ids);
  commy_client_set_requirements (client, requirements);
  call_until_over (client, transport);
  started = g_get_monotonic_time ();
  for (guint i = 0; i < TIMED_CALLS; i++)
    g_free (call (client, NULL));
  return (double) (g_get_monotonic_time () - started) / TIMED_CALLS;
}

/* For people: what was claimed, what was measured, and what each choice would cost over the best.
 */
static void
print_regret (Scene *scene, CommyDecision *decision)
{
  double took[G_N_ELEMENTS (transports)], best = G_MAXDOUBLE;

  for (guint i = 0; i < G_N_ELEMENTS (transports); i++)
    {
      took[i] = time_over (scene, transports[i]);
      best = MIN (best, took[i]);
    }
  for (guint i = 0; i < G_N_ELEMENTS (transports); i++)
    {
      g_autoptr (GVariant) row = find_row (decision, transports[i]);

      g_test_message ("%-8s claimed %9.1f us  expected %8.1f us  call takes %8.1f us  "
                      "regret %6.2f%s",
                      transports[i], number (row, "claimed-ns") / 1000,
                      number (row, "expected-ns") / 1000, took[i], took[i] / best - 1,
                      g_strcmp0 (commy_decision_get_transport (decision), transports[i]) == 0
                          ? "  <- chosen"
                          : "");
    }
}

static gboolean
is_ranked (CommyDecision *decision)
{
  double last = 0;

  for (guint i = 0; i < G_N_ELEMENTS (transports); i++)
    {
      g_autoptr (GVariant) row = find_row (decision, transports[i]);
      const double expected = number (row, "expected-ns");

      if (expected <= last)
        return FALSE;
      last = expected;
    }
  return TRUE;
}

static char *
dup_contradiction (CommyMesh *mesh, const char *transport)
{
  g_autoptr (GVariant) plugins = commy_mesh_list_plugins (mesh);
  GVariantIter iter;
  GVariant *plugin;

  g_variant_iter_init (&iter, plugins);
  while (g_variant_iter_loop (&iter, "@a{sv}", &plugin))
    {
      g_autoptr (GVariant) profile = g_variant_lookup_value (plugin, "profile", NULL);
      const char *id = "", *text = NULL;

      g_variant_lookup (plugin, "id", "&s", &id);
      if (strcmp (id, transport) != 0)
        continue;
      g_variant_lookup (profile, "contradiction", "&s", &text);
      g_variant_unref (plugin);
      return g_strdup (text);
    }
  return NULL;
}

/* --- liars --- */

/* Calls until both are found out and all three have their places. (transfer full) */
static CommyDecision *
await_truth (Scene *scene)
{
  gint64 until = g_get_monotonic_time () + PATIENCE_US;

  for (;;)
    {
      g_autoptr (CommyDecision) decision = explain (scene);
      g_autofree char *modest = dup_contradiction (scene->mesh, "modest");
      g_autofree char *boaster = dup_contradiction (scene->mesh, "boaster");
      g_autofree char *text = commy_decision_to_string (decision);

      if (modest != NULL && boaster != NULL && is_ranked (decision)
          && g_strcmp0 (commy_decision_get_transport (decision), "modest") == 0)
        return g_steal_pointer (&decision);
      if (g_get_monotonic_time () > until)
        g_error ("it does not come out who lies:\n%s", text);
      g_free (call (scene->client, NULL));
    }
}

static void
test_found_out (MeshFixture *fixture, gconstpointer data)
{
  Scene scene = { 0 };
  g_autoptr (CommyDecision) decision = NULL;
  g_autofree char *text = NULL, *first = NULL;

  scene_start (fixture, &scene, "");
  first = call (scene.client, NULL);
  g_assert_cmpstr (first, ==, "boaster"); /* its word is all there is */
  g_test_message ("the right path was taken after %u calls",
                  call_until_over (scene.client, "modest"));
  decision = await_truth (&scene);
  text = commy_decision_to_string (decision);
  g_test_message ("%s", text);
  g_assert_nonnull (strstr (text, "claim dropped"));
  g_assert_nonnull (strstr (text, "measured: boaster"));
  g_assert_nonnull (strstr (text, "ceilings are 1% of the time and 64 KiB/s"));
  print_regret (&scene, decision);
  scene_end (&scene);
}

/* Calls alone teach that the boaster lies, and nothing about the modest one. */
static void
test_calls_alone (MeshFixture *fixture, gconstpointer data)
{
  Scene scene = { 0 };

  scene_start (fixture, &scene, "[calibration]\nmode=passive\nsample-every=1\n");
  call_until_over (scene.client, "honest");
  for (guint i = 0; i < 50; i++)
    {
      g_autofree char *over = call (scene.client, NULL);

      g_assert_cmpstr (over, !=, "modest");
    }
  scene_end (&scene);
}

/* --- memory --- */

static void
test_kept (MeshFixture *fixture, gconstpointer data)
{
  Scene scene = { 0 };
  g_autoptr (CommyDecision) decision = NULL;
  g_autofree char *text = NULL, *over = NULL;

  scene_start (fixture, &scene, "[calibration]\n" QUICK);
  call_until_over (scene.client, "modest");
  scene_leave (&scene);

  scene_join (fixture, &scene, "");
  decision = explain (&scene);
  text = commy_decision_to_string (decision);
  g_assert_nonnull (strstr (text, "by an earlier run"));
  over = call (scene.client, NULL);
  g_assert_cmpstr (over, ==, "modest");
  scene_end (&scene);
}

static void
test_not_kept (MeshFixture *fixture, gconstpointer data)
{
  g_autofree char *file
      = g_build_filename (fixture->dir, "state", "test", "calibration.conf", NULL);
  Scene scene = { 0 };
  g_autofree char *over = NULL;

  scene_start (fixture, &scene, "[calibration]\npersist=false\n" QUICK);
  call_until_over (scene.client, "modest");
  scene_leave (&scene);
  g_assert_false (g_file_test (file, G_FILE_TEST_EXISTS));
  scene_join (fixture, &scene, "");
  over = call (scene.client, NULL);
  g_assert_cmpstr (over, ==, "boaster");
  scene_end (&scene);
}

/* A file that is none is left out with a word, and replaced. */
static void
test_bad_file (MeshFixture *fixture, gconstpointer data)
{
  static const char *const bad[] = {
    "",
    "\xff\xfe not a keyfile",
    "[calibration]\nformat=1\nmachine=another one\n",
    "[calibration]\nformat=7\n",
  };
  g_autofree char *dir = g_build_filename (fixture->dir, "state", "test", NULL);
  g_autofree char *file = g_build_filename (dir, "calibration.conf", NULL);
  Scene scene = { 0 };

  scene_start (fixture, &scene, "");
  scene_leave (&scene);
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autofree char *over = NULL;

      g_file_set_contents (file, bad[i], -1, &error);
      g_assert_no_error (error);
      g_test_expect_message ("Commy", G_LOG_LEVEL_MESSAGE, "*calibration.conf*not used*");
      scene_join (fixture, &scene, "[calibration]\n" QUICK);
      g_test_assert_expected_messages ();
      over = call (scene.client, NULL);
      g_assert_cmpstr (over, ==, "boaster");
      if (i + 1 < G_N_ELEMENTS (bad))
        scene_leave (&scene);
    }
  call_until_over (scene.client, "modest");
  scene_leave (&scene);
  {
    g_autofree char *text = NULL;

    g_assert_true (g_file_get_contents (file, &text, NULL, NULL));
    g_assert_nonnull (strstr (text, "[modest@here]"));
  }
  service_child_free (scene.child);
}

/* --- requirements --- */

typedef struct
{
  guint n;
  gboolean met;
  CommyDecision *decision;
} Told;

static void
on_changed (CommyClient *client, gboolean met, CommyDecision *decision, gpointer data)
{
  Told *told = data;

  /* It was met at first; what is as it was is no news. */
  g_assert_true (met == (told->n > 0 && !told->met));
  told->n++;
  told->met = met;
  g_clear_pointer (&told->decision, commy_decision_unref);
  told->decision = commy_decision_ref (decision);
}

static void
set_slow (MeshFixture *fixture, const char *transport, gboolean slow)
{
  g_autofree char *name = g_strconcat ("slow-", transport, NULL);
  g_autofree char *file = g_build_filename (fixture->dir, "run", "test", name, NULL);

  if (slow)
    g_assert_true (g_file_set_contents (file, "", 0, NULL));
  else
    g_assert_cmpint (g_remove (file), ==, 0);
}

/* Calls until the answer is as expected: over @transport, or (NULL) an error. */
static GError *
call_until (CommyClient *client, const char *transport)
{
  gint64 until = g_get_monotonic_time () + PATIENCE_US;

  for (;;)
    {
      g_autoptr (GError) error = NULL;
      g_autofree char *over = call (client, &error);

      g_assert_cmpint (g_get_monotonic_time (), <, until);
      if (over != NULL && g_strcmp0 (over, transport) == 0)
        return NULL;
      if (over == NULL && transport == NULL)
        return g_steal_pointer (&error);
    }
}

/* Calls until the news is that it is (not) met. Signals come from the loop that the client's
 * context is. How often it was so meanwhile depends on how busy the machine is. */
static void
hear (Scene *scene, Told *told, gboolean met, gboolean may_fail)
{
  gint64 until = g_get_monotonic_time () + PATIENCE_US;

  while (told->n == 0 || told->met != met)
    {
      g_autoptr (GError) error = NULL;

      g_assert_cmpint (g_get_monotonic_time (), <, until);
      g_free (call (scene->client, &error));
      if (!may_fail)
        g_assert_no_error (error);
      while (g_main_context_iteration (NULL, FALSE))
        ;
    }
}

#define BUSY "[calibration]\nsample-every=1\nprobe-every=100ms\n" QUICK

static void
test_requirement (MeshFixture *fixture, gconstpointer data)
{
  g_autoptr (CommyRequirements) requirements = commy_requirements_new ();
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL;
  Scene scene = { 0 };
  Told told = { 0 };

  commy_requirements_set_max_latency (requirements, MOST_LATENCY_NS);
  scene_start (fixture, &scene, BUSY);
  commy_client_set_requirements (scene.client, requirements);
  g_signal_connect (scene.client, "requirements-changed", G_CALLBACK (on_changed), &told);
  call_until (scene.client, "modest");

  set_slow (fixture, "modest", TRUE);
  call_until (scene.client, "honest"); /* another meets it: no news, or it was met again */
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_assert_true (told.n == 0 || told.met);

  set_slow (fixture, "honest", TRUE);
  set_slow (fixture, "boaster", TRUE);
  error = call_until (scene.client, NULL);
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_REQUIREMENT);
  g_assert_nonnull (strstr (error->message, "needs latency <= 32"));
  hear (&scene, &told, FALSE, TRUE);
  g_assert_null (commy_decision_get_transport (told.decision));
  text = commy_decision_to_string (told.decision);
  g_assert_nonnull (strstr (text, "refused: latency"));

  for (guint i = 0; i < G_N_ELEMENTS (transports); i++)
    set_slow (fixture, transports[i], FALSE);
  call_until (scene.client, "modest");
  hear (&scene, &told, TRUE, TRUE);
  g_clear_pointer (&told.decision, commy_decision_unref);
  scene_end (&scene);
}

static void
test_degradable (MeshFixture *fixture, gconstpointer data)
{
  g_autoptr (CommyRequirements) requirements = commy_requirements_new ();
  Scene scene = { 0 };
  Told told = { 0 };

  commy_requirements_set_max_latency (requirements, MOST_LATENCY_NS);
  commy_requirements_set_degradable (requirements, TRUE);
  scene_start (fixture, &scene, BUSY);
  commy_client_set_requirements (scene.client, requirements);
  g_signal_connect (scene.client, "requirements-changed", G_CALLBACK (on_changed), &told);
  call_until (scene.client, "modest");
  for (guint i = 0; i < G_N_ELEMENTS (transports); i++)
    set_slow (fixture, transports[i], TRUE);
  hear (&scene, &told, FALSE, FALSE);
  g_assert_nonnull (commy_decision_get_transport (told.decision));
  g_clear_pointer (&told.decision, commy_decision_unref);
  scene_end (&scene);
}

static void
add (const char *name, void (*test) (MeshFixture *, gconstpointer))
{
  g_autofree char *path = g_strdup_printf ("/mesh/liars/%s", name);

  g_test_add (path, MeshFixture, NULL, mesh_fixture_set_up, test, mesh_fixture_tear_down);
}

int
main (int argc, char **argv)
{
  int status;

  if (service_child_main (argc, argv, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
  add ("probes-find-out-who-lies", test_found_out);
  add ("calls-alone-find-only-the-boaster", test_calls_alone);
  add ("what-was-measured-is-kept", test_kept);
  add ("unless-the-keyfile-says-otherwise", test_not_kept);
  add ("a-bad-file-is-replaced", test_bad_file);
  add ("a-requirement-that-stops-being-met-is-told", test_requirement);
  add ("degradable-calls-go-on", test_degradable);
  return g_test_run ();
}
