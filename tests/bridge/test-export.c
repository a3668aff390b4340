/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A service of the mesh on a real message bus.
 */
#include "config.h"

#include "bridge-scene.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MANY 300u
#define LARGE (8u << 20)
#define PROPERTIES "org.freedesktop.DBus.Properties"

static Bridge *
start (Scene *scene)
{
  Bridge *bridge = bridge_start (scene, "export", LAB, NULL);

  g_assert_cmpstr (bridge->line, ==, "exporting " LAB " as " LAB " " LAB_PATH " " LAB);
  return bridge;
}

static GVariant *
call (Scene *scene, const char *method, GVariant *parameters)
{
  g_autoptr (GError) error = NULL;
  GVariant *result = scene_call_bus (scene, LAB, method, parameters, NULL, NULL, &error);

  g_assert_no_error (error);
  return result;
}

static void
fail (Scene *scene, const char *method, GVariant *parameters, const char *name, const char *text)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) result = scene_call_bus (scene, LAB, method, parameters, NULL, NULL, &error);

  g_assert_null (result);
  scene_assert_error_name (error, name);
  g_assert_nonnull (strstr (error->message, text));
}

/* Until the bridge has heard that the service is gone, it finds a door that closes. */
static void
await_nobody (Scene *scene)
{
  g_autofree char *told = NULL;

  while (g_strcmp0 (told, "org.commy.Error.NoService") != 0)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) result = scene_call_bus (scene, LAB, "Notes", NULL, NULL, NULL, &error);

      g_assert_null (result);
      g_free (told);
      told = g_dbus_error_get_remote_error (error);
    }
}

static void
test_calls (Scene *scene, gconstpointer data)
{
  g_autoptr (GVariant) sum = NULL;
  g_autoptr (GVariant) echo = NULL;
  Bridge *bridge;
  int value;

  scene_offer_in_mesh (scene, TRUE);
  bridge = start (scene);
  sum = call (scene, "Add", g_variant_new ("(ii)", 40, 2));
  g_variant_get (sum, "(i)", &value);
  g_assert_cmpint (value, ==, 42);
  echo = call (scene, "Echo",
               g_variant_new_parsed ("(<({'a': <[1, 2]>}, ['ü', ''], @ay b'x', @o '/a')>,)"));
  g_assert_cmpstr (g_variant_get_type_string (echo), ==, "(v)");
  bridge_stop (bridge);
}

static GVariant *
call_property (Scene *scene, const char *method, GVariant *parameters)
{
  g_autoptr (GError) error = NULL;
  GVariant *result = scene_call_bus (scene, PROPERTIES, method, parameters, NULL, NULL, &error);

  g_assert_no_error (error);
  return result;
}

static void
test_properties (Scene *scene, gconstpointer data)
{
  g_autoptr (GVariant) set = NULL;
  g_autoptr (GVariant) got = NULL;
  g_autoptr (GVariant) all = NULL;
  g_autofree char *text = NULL;
  Bridge *bridge;

  scene_offer_in_mesh (scene, TRUE);
  bridge = start (scene);
  set = call_property (scene, "Set", g_variant_new_parsed ("('" LAB "', 'Level', <7>)"));
  g_assert_cmpint (scene->level, ==, 7);
  got = call_property (scene, "Get", g_variant_new ("(ss)", LAB, "Level"));
  text = g_variant_print (got, FALSE);
  g_assert_cmpstr (text, ==, "(<7>,)");
  all = call_property (scene, "GetAll", g_variant_new ("(s)", LAB));
  g_free (text);
  text = g_variant_print (all, FALSE);
  g_assert_cmpstr (text, ==, "({'Level': <7>},)");
  bridge_stop (bridge);
}

static void
on_wrong_set (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  commy_invocation_return_value (invocation, g_variant_new_parsed ("(<5>,)"));
}

/* Of one kind of service that exists: what the bus would drop without a word. */
static void
test_wrong_answers (Scene *scene, gconstpointer data)
{
  g_autoptr (CommyService) service = commy_service_new (scene->mesh, LAB, scene->interface);
  g_autoptr (GVariant) answer = NULL;
  g_autoptr (GError) error = NULL;
  Bridge *bridge;

  commy_service_handle (service, PROPERTIES ".Set", on_wrong_set, NULL, NULL);
  commy_service_start_sync (service, NULL, &error);
  g_assert_no_error (error);
  bridge = start (scene);
  answer = scene_call_bus (scene, PROPERTIES, "Set",
                           g_variant_new_parsed ("('" LAB "', 'Level', <7>)"), NULL, NULL, &error);
  g_assert_null (answer);
  scene_assert_error_name (error, "org.commy.Error.Type");
  bridge_stop (bridge);
}

static void
test_errors (Scene *scene, gconstpointer data)
{
  Bridge *bridge;

  scene_offer_in_mesh (scene, TRUE);
  bridge = start (scene);
  fail (scene, "Fail", g_variant_new ("(s)", "no paper"), "org.commy.Error.Remote", "no paper");
  fail (scene, "Fail", g_variant_new ("(s)", "www.example.com: no paper"), "org.commy.Error.Remote",
        "www.example.com: no paper");
  fail (scene, "Fail", g_variant_new ("(s)", "org.example.Error.Empty: no paper"),
        "org.example.Error.Empty", "no paper");
  fail (scene, "Nowhere", NULL, "org.commy.Error.NoMethod", "CMY0304");
  fail (scene, "Odd", NULL, "org.commy.Error.Type", "maybe types (m)");
  g_clear_object (&scene->service);
  commy_mesh_leave_sync (scene->mesh, NULL, NULL);
  await_nobody (scene);
  fail (scene, "Notes", NULL, "org.commy.Error.NoService", "CMY0301");
  bridge_stop (bridge);
}

static void
test_deadline (Scene *scene, gconstpointer data)
{
  Bridge *bridge;

  scene_offer_in_mesh (scene, TRUE);
  bridge = bridge_start (scene, "export", LAB, "--timeout", "100ms", NULL);
  g_assert_nonnull (bridge->line);
  fail (scene, "Slow", NULL, "org.commy.Error.Deadline", "CMY0302");
  bridge_stop (bridge);
}

static void
test_handles (Scene *scene, gconstpointer data)
{
  g_autoptr (GUnixFDList) handles = g_unix_fd_list_new ();
  g_autoptr (GUnixFDList) back = NULL;
  g_autoptr (GVariant) result = NULL;
  g_autoptr (GError) error = NULL;
  struct stat sent, got;
  Bridge *bridge;
  int ends[2], fd;

  g_assert_cmpint (pipe (ends), ==, 0);
  g_assert_cmpint (g_unix_fd_list_append (handles, ends[0], NULL), ==, 0);
  scene_offer_in_mesh (scene, TRUE);
  bridge = start (scene);
  result = scene_call_bus (scene, LAB, "Give", g_variant_new ("(h)", 0), handles, &back, &error);
  g_assert_no_error (error);
  fd = g_unix_fd_list_get (back, 0, &error);
  g_assert_no_error (error);
  g_assert_cmpint (fstat (ends[0], &sent), ==, 0);
  g_assert_cmpint (fstat (fd, &got), ==, 0);
  g_assert_cmpuint (sent.st_ino, ==, got.st_ino);
  close (fd);
  close (ends[0]);
  close (ends[1]);
  bridge_stop (bridge);
}

static void
on_sum (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) sum
      = g_dbus_connection_call_finish (G_DBUS_CONNECTION (source), result, &error);

  g_assert_no_error (error);
  ++*(guint *) data;
}

static void
test_many_and_large (Scene *scene, gconstpointer data)
{
  g_autofree guint8 *bytes = g_malloc0 (LARGE);
  g_autoptr (GVariant) echo = NULL;
  guint answered = 0;
  Bridge *bridge;

  scene_offer_in_mesh (scene, TRUE);
  bridge = start (scene);
  for (guint i = 0; i < MANY; i++)
    g_dbus_connection_call (scene->bus, LAB, LAB_PATH, LAB, "Add", g_variant_new ("(ii)", i, 1),
                            G_VARIANT_TYPE ("(i)"), G_DBUS_CALL_FLAGS_NONE, 60000, NULL, on_sum,
                            &answered);
  while (answered < MANY)
    g_main_context_iteration (NULL, TRUE);
  echo = call (
      scene, "Echo",
      g_variant_new ("(v)", g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, bytes, LARGE, 1)));
  g_assert_cmpuint (g_variant_get_size (echo), >=, LARGE);
  bridge_stop (bridge);
}

static void
test_no_reply (Scene *scene, gconstpointer data)
{
  g_autoptr (GDBusMessage) message = g_dbus_message_new_method_call (LAB, LAB_PATH, LAB, "Note");
  g_autoptr (GVariant) notes = NULL;
  g_autofree char *text = NULL;
  Bridge *bridge;

  scene_offer_in_mesh (scene, TRUE);
  bridge = start (scene);
  g_dbus_message_set_flags (message, G_DBUS_MESSAGE_FLAGS_NO_REPLY_EXPECTED);
  g_dbus_message_set_body (message, g_variant_new ("(s)", "psst"));
  g_dbus_connection_send_message (scene->bus, message, G_DBUS_SEND_MESSAGE_FLAGS_NONE, NULL, NULL);
  notes = call (scene, "Notes", NULL);
  text = g_variant_print (notes, FALSE);
  g_assert_cmpstr (text, ==, "(['psst'],)");
  bridge_stop (bridge);
}

static void
on_slow (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) nothing
      = g_dbus_connection_call_finish (G_DBUS_CONNECTION (source), result, &error);

  g_assert_no_error (error);
  *(gboolean *) data = TRUE;
}

/* Calls until the bridge refuses. */
static void
await_leaving (Scene *scene)
{
  for (guint i = 0; i < 20000; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) sum
          = scene_call_bus (scene, LAB, "Add", g_variant_new ("(ii)", 1, 2), NULL, NULL, &error);

      if (error == NULL)
        continue;
      scene_assert_error_name (error, "org.commy.Error.Leaving");
      return;
    }
  g_error ("a bridge that was told to end goes on");
}

static void
test_leaving (Scene *scene, gconstpointer data)
{
  gboolean answered = FALSE;
  Bridge *bridge;

  scene_offer_in_mesh (scene, TRUE);
  bridge = bridge_start (scene, "export", LAB, "--timeout", "1h", NULL);
  g_dbus_connection_call (scene->bus, LAB, LAB_PATH, LAB, "Slow", NULL, NULL,
                          G_DBUS_CALL_FLAGS_NONE, G_MAXINT, NULL, on_slow, &answered);
  while (scene->slow_in_mesh == NULL)
    g_main_context_iteration (NULL, TRUE);
  bridge_terminate (bridge);
  await_leaving (scene);
  scene_answer_slow (scene);
  while (!answered)
    g_main_context_iteration (NULL, TRUE);
  bridge_stop (bridge);
}

/* --- signals --- */

static void
on_signal (GDBusConnection *connection,
           const char *sender,
           const char *path,
           const char *interface,
           const char *signal,
           GVariant *parameters,
           gpointer data)
{
  g_autofree char *text = g_variant_print (parameters, FALSE);

  g_ptr_array_add (data, g_strconcat (signal, text, NULL));
}

static CommyPublisher *
publish (Scene *scene, const char *topic)
{
  CommyPublisher *publisher = commy_publisher_new (scene->mesh, topic, NULL);
  g_autoptr (GError) error = NULL;

  commy_publisher_start_sync (publisher, NULL, &error);
  g_assert_no_error (error);
  while (commy_publisher_get_subscribers (publisher) == 0)
    g_main_context_iteration (NULL, TRUE);
  return publisher;
}

static void
say (CommyPublisher *publisher, GVariant *value)
{
  g_autoptr (GError) error = NULL;

  commy_publisher_publish (publisher, value, &error);
  g_assert_no_error (error);
}

static void
await_heard (Scene *scene, guint n, const char *text)
{
  while (scene->heard->len < n)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpstr (scene->heard->pdata[n - 1], ==, text);
}

static void
test_signals (Scene *scene, gconstpointer data)
{
  g_autoptr (CommyPublisher) changed = NULL;
  g_autoptr (CommyPublisher) renamed = NULL;
  g_autoptr (CommyPublisher) properties = NULL;
  Bridge *bridge;

  scene_offer_in_mesh (scene, TRUE);
  bridge = start (scene);
  g_dbus_connection_signal_subscribe (scene->bus, LAB, NULL, NULL, LAB_PATH, NULL,
                                      G_DBUS_SIGNAL_FLAGS_NONE, on_signal, scene->heard, NULL);
  changed = publish (scene, LAB ".Changed");
  renamed = publish (scene, "lab.renamed");
  properties = publish (scene, LAB ".PropertiesChanged");
  say (changed, g_variant_new ("(si)", "a", 1));
  await_heard (scene, 1, "Changed('a', 1)");
  /* Of another type: left out; one value is one argument. */
  say (changed, g_variant_new ("(s)", "b"));
  say (changed, g_variant_new ("(si)", "c", 3));
  await_heard (scene, 2, "Changed('c', 3)");
  say (renamed, g_variant_new_string ("d"));
  await_heard (scene, 3, "Renamed('d',)");
  say (properties, g_variant_new_parsed ("('" LAB "', {'Level': <3>}, @as [])"));
  await_heard (scene, 4, "PropertiesChanged('" LAB "', {'Level': <3>}, [])");
  bridge_stop (bridge);
}

/* --- what goes wrong --- */

static void
test_taken_name (Scene *scene, gconstpointer data)
{
  scene_offer_in_mesh (scene, TRUE);
  scene_offer_on_bus (scene);
  bridge_expect_end (bridge_start (scene, "export", LAB, NULL), 1, "another program on the bus");
}

static void
test_bad_interfaces (Scene *scene, gconstpointer data)
{
  static const struct
  {
    const char *type, *text;
  } bad[] = {
    { "mi", "maybe types (m)" },
    { "a()", "empty tuples" },
    { "({sv})", "dictionary entries" },
    { "ii", "is not the type of a value" },
    { "", "is not the type of a value" },
    { "*", "such a type" },
    { "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaai", "nesting of more than 32" },
    { "((((((((((((((((((((((((((((((((((i))))))))))))))))))))))))))))))))))",
      "nesting of more than 32" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autofree char *xml = g_strdup_printf ("<node><interface name='" LAB "'><method name='A'>"
                                              "<arg type='%s' direction='in'/></method>"
                                              "</interface></node>",
                                              bad[i].type);

      g_assert_true (g_file_set_contents (scene->xml_file, xml, -1, NULL));
      bridge_expect_end (bridge_start (scene, "export", LAB, "--xml", scene->xml_file, NULL), 1,
                         bad[i].text);
    }
}

static void
test_untyped (Scene *scene, gconstpointer data)
{
  g_autoptr (GVariant) sum = NULL;
  Bridge *bridge;

  bridge_expect_end (bridge_start (scene, "export", LAB, NULL), 3, "nobody offers");
  scene_offer_in_mesh (scene, FALSE);
  bridge_expect_end (bridge_start (scene, "export", LAB, NULL), 1, "--xml FILE");
  bridge = bridge_start (scene, "export", LAB, "--xml", scene->xml_file, NULL);
  g_assert_nonnull (bridge->line);
  sum = call (scene, "Add", g_variant_new ("(ii)", 1, 2));
  bridge_stop (bridge);
}

static void
test_new_bus (Scene *scene, gconstpointer data)
{
  g_autoptr (GVariant) sum = NULL;
  Bridge *bridge;

  scene_offer_in_mesh (scene, TRUE);
  bridge = start (scene);
  scene_stop_bus (scene);
  scene_start_bus (scene);
  scene_await_owner (scene, LAB);
  sum = call (scene, "Add", g_variant_new ("(ii)", 1, 2));
  bridge_stop (bridge);
}

int
main (int argc, char **argv)
{
  int status;

  if (service_child_main (argc, argv, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
#define ADD(path, func) \
  g_test_add ("/bridge/export/" path, Scene, NULL, scene_set_up, func, scene_tear_down)
  ADD ("calls-pass", test_calls);
  ADD ("properties-are-calls", test_properties);
  ADD ("answers-of-another-type-are-errors", test_wrong_answers);
  ADD ("errors-have-names", test_errors);
  ADD ("the-deadline-passes", test_deadline);
  ADD ("descriptors-go-there-and-back", test_handles);
  ADD ("many-and-large-ones", test_many_and_large);
  ADD ("who-wants-no-reply-is-served-in-order", test_no_reply);
  ADD ("who-keeps-calling-does-not-keep-it-from-ending", test_leaving);
  ADD ("topics-are-signals", test_signals);
  ADD ("a-taken-name-is-told", test_taken_name);
  ADD ("types-that-the-bus-has-not-are-named", test_bad_interfaces);
  ADD ("untyped-services-need-a-description", test_untyped);
  ADD ("a-new-bus-is-found", test_new_bus);
  return g_test_run ();
}
