/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An object of a real message bus as a service of the mesh.
 */
#include "config.h"

#include "bridge-scene.h"

#include "tests/mesh/fake-client.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MANY 300u
#define LARGE (8u << 20)
#define PROPERTIES "org.freedesktop.DBus.Properties."

static Bridge *
start (Scene *scene)
{
  Bridge *bridge = bridge_start (scene, "import", LAB, NULL);

  g_assert_cmpstr (bridge->line, ==, "importing " LAB " " LAB_PATH " " LAB " as " LAB);
  return bridge;
}

static GVariant *
call (Scene *scene, const char *method, GVariant *parameters)
{
  g_autoptr (GError) error = NULL;
  GVariant *result = scene_call_mesh (scene, LAB, method, parameters, NULL, NULL, -1, &error);

  g_assert_no_error (error);
  return result;
}

static void
says (GVariant *value, const char *text)
{
  g_autofree char *told = g_variant_print (value, FALSE);

  g_assert_cmpstr (told, ==, text);
  g_variant_unref (value);
}

static void
fail (Scene *scene, const char *method, GVariant *parameters, gint code, const char *text)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) result
      = scene_call_mesh (scene, LAB, method, parameters, NULL, NULL, -1, &error);

  g_assert_null (result);
  g_assert_error (error, COMMY_ERROR, code);
  g_assert_nonnull (strstr (error->message, text));
}

static void
test_calls (Scene *scene, gconstpointer data)
{
  Bridge *bridge;

  scene_offer_on_bus (scene);
  bridge = start (scene);
  says (call (scene, "Add", g_variant_new ("(ii)", 40, 2)), "(42,)");
  says (call (scene, "Echo", g_variant_new_parsed ("(<({'a': <[1, 2]>}, ['ü', ''])>,)")),
        "(<({'a': <[1, 2]>}, ['ü', ''])>,)");
  says (call (scene, PROPERTIES "Set", g_variant_new_parsed ("('" LAB "', 'Level', <7>)")), "()");
  g_assert_cmpint (scene->level, ==, 7);
  says (call (scene, PROPERTIES "Get", g_variant_new ("(ss)", LAB, "Level")), "(<7>,)");
  says (call (scene, PROPERTIES "GetAll", g_variant_new ("(s)", LAB)), "({'Level': <7>},)");
  bridge_stop (bridge);
}

static void
test_errors (Scene *scene, gconstpointer data)
{
  Bridge *bridge;

  scene_offer_on_bus (scene);
  bridge = start (scene);
  fail (scene, "Fail", g_variant_new ("(s)", "no paper"), COMMY_ERROR_REMOTE,
        "org.example.Lab.Error.Full: no paper");
  fail (scene, "Missing", NULL, COMMY_ERROR_NO_METHOD, "Missing");
  fail (scene, "Add", g_variant_new ("(s)", "a"), COMMY_ERROR_TYPE, "(ii)");
  fail (scene, PROPERTIES "Get", g_variant_new ("(ss)", LAB, "Nothing"), COMMY_ERROR_REMOTE,
        "org.freedesktop.DBus.Error.InvalidArgs: ");
  fail (scene, "Echo", g_variant_new_parsed ("(<@mi 5>,)"), COMMY_ERROR_REMOTE, "maybe types (m)");
  fail (scene, "Echo", g_variant_new_parsed ("(<[()]>,)"), COMMY_ERROR_REMOTE, "empty tuples");
  /* The bus did not end the connection over any of it. */
  says (call (scene, "Add", g_variant_new ("(ii)", 1, 2)), "(3,)");
  bridge_stop (bridge);
}

/* A program that was written for D-Bus finds what it looks for. */
static void
test_error_names (Scene *scene, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GError) there = NULL;
  g_autofree char *name = NULL;
  g_autofree char *again = NULL;
  Bridge *bridge;

  scene_offer_on_bus (scene);
  bridge = start (scene);
  g_assert_null (scene_call_mesh (scene, LAB, PROPERTIES "Get",
                                  g_variant_new ("(ss)", LAB, "Nothing"), NULL, NULL, -1, &error));
  name = commy_error_dup_remote_name (error);
  g_assert_cmpstr (name, ==, "org.freedesktop.DBus.Error.InvalidArgs");
  there
      = g_dbus_error_new_for_dbus_error (name, commy_error_get_remote (error) + strlen (name) + 2);
  g_assert_error (there, G_DBUS_ERROR, G_DBUS_ERROR_INVALID_ARGS);
  again = g_dbus_error_get_remote_error (there);
  g_assert_cmpstr (again, ==, name);
  bridge_stop (bridge);
}

/* An argument of so many levels: variants around arrays. */
static GVariant *
make_deep (guint variants, guint arrays)
{
  GVariant *value = g_variant_new_int32 (1);

  for (guint i = 0; i < arrays; i++)
    value = g_variant_new_array (NULL, &value, 1);
  for (guint i = 0; i < variants; i++)
    value = g_variant_new_variant (value);
  return g_variant_new_tuple (&value, 1);
}

static void
test_deep_values (Scene *scene, gconstpointer data)
{
  Bridge *bridge;

  scene_offer_on_bus (scene);
  bridge = start (scene);
  fail (scene, "Echo", make_deep (100, 0), COMMY_ERROR_REMOTE, "levels deep");
  fail (scene, "Echo", make_deep (64, 0), COMMY_ERROR_REMOTE, "levels deep");
  fail (scene, "Echo", make_deep (50, 32), COMMY_ERROR_REMOTE, "levels deep");
  fail (scene, "Echo", make_deep (32, 32), COMMY_ERROR_REMOTE, "levels deep");
  g_variant_unref (call (scene, "Echo", make_deep (63, 0)));
  g_variant_unref (call (scene, "Echo", make_deep (31, 32)));
  bridge_stop (bridge);
}

/* Values that a bus takes for an offence: what is no type there, and signatures that are none. */
static void
test_signatures (Scene *scene, gconstpointer data)
{
  g_autofree char *letters = g_strnfill (256, 'i');
  Bridge *bridge;

  scene_offer_on_bus (scene);
  bridge = start (scene);
  fail (scene, "Echo", g_variant_new_parsed ("(<{'a', <1>}>,)"), COMMY_ERROR_REMOTE,
        "dictionary entries");
  fail (scene, "Echo", g_variant_new_parsed ("(<({'a', <1>},)>,)"), COMMY_ERROR_REMOTE,
        "dictionary entries");
  fail (scene, "Echo", g_variant_new ("(v)", g_variant_new_signature (letters)), COMMY_ERROR_REMOTE,
        "255 characters");
  fail (scene, "Echo", g_variant_new_parsed ("(<[(1, [signature 'i', '{sv}'])]>,)"),
        COMMY_ERROR_REMOTE, "dictionary entries");
  fail (scene, "Echo", g_variant_new_parsed ("(<signature '()'>,)"), COMMY_ERROR_REMOTE,
        "empty tuples");
  letters[255] = '\0';
  g_variant_unref (call (scene, "Echo", g_variant_new ("(v)", g_variant_new_signature (letters))));
  says (call (scene, "Echo", g_variant_new_parsed ("(<[(1, [signature 'i', 'a{sv}'])]>,)")),
        "(<[(1, [signature 'i', 'a{sv}'])]>,)");
  bridge_stop (bridge);
}

/* The interface does not say what they take. */
static void
test_property_calls (Scene *scene, gconstpointer data)
{
  Bridge *bridge;

  scene_offer_on_bus (scene);
  bridge = start (scene);
  fail (scene, PROPERTIES "Get", g_variant_new ("(i)", 1), COMMY_ERROR_REMOTE, "takes (ss)");
  fail (scene, PROPERTIES "GetAll", NULL, COMMY_ERROR_REMOTE, "takes (s)");
  fail (scene, PROPERTIES "Set", g_variant_new ("(ss)", LAB, "Level"), COMMY_ERROR_REMOTE,
        "takes (ssv)");
  fail (scene, PROPERTIES "Get", g_variant_new ("(ss)", "org.example.Other", "Level"),
        COMMY_ERROR_REMOTE, "are those of " LAB);
  fail (scene, PROPERTIES "GetAll", g_variant_new ("(s)", ""), COMMY_ERROR_REMOTE,
        "are those of " LAB);
  fail (scene, PROPERTIES "Set", g_variant_new_parsed ("('org.example.Other', 'Level', <1>)"),
        COMMY_ERROR_REMOTE, "are those of " LAB);
  fail (scene, "Get", g_variant_new ("(ss)", LAB, "Level"), COMMY_ERROR_NO_METHOD, "Get");
  bridge_stop (bridge);
}

/* --- a caller that need not behave --- */

static char *
find_instance (Scene *scene, char **out_address)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) list = commy_mesh_list_services_sync (scene->mesh, LAB, NULL, &error);
  g_autoptr (GVariant) entry = NULL;
  g_autoptr (GVariantIter) endpoints = NULL;
  const char *id, *address;
  char *instance = NULL;

  g_assert_no_error (error);
  g_assert_cmpuint (g_variant_n_children (list), ==, 1);
  entry = g_variant_get_child_value (list, 0);
  g_assert_true (g_variant_lookup (entry, "endpoints", "a(ss)", &endpoints));
  g_assert_true (g_variant_lookup (entry, "instance", "s", &instance));
  while (g_variant_iter_next (endpoints, "(&s&s)", &id, &address))
    if (strcmp (id, "unix") == 0)
      *out_address = g_strdup (address);
  g_assert_nonnull (*out_address);
  return instance;
}

static FakeClient *
connect_fake (Scene *scene)
{
  FakeClient *fake = fake_client_new ("unix", NULL);
  g_autofree char *address = NULL;
  g_autofree char *instance = find_instance (scene, &address);
  CommyHello hello = { .service = (char *) LAB, .instance = instance };
  g_autofree char *text = NULL;
  g_autoptr (GError) error = NULL;
  CommyFrame frame;

  fake_client_connect (fake, address, &error);
  g_assert_no_error (error);
  fake_client_greet (fake, &hello);
  g_assert_true (fake_client_receive (fake, &frame, &text));
  g_assert_cmpint (frame.type, ==, COMMY_FRAME_WELCOME);
  return fake;
}

/* @arguments: anything */
static void
expect_refusal (FakeClient *fake, guint32 number, const char *method, const char *arguments)
{
  g_autoptr (GVariant) value = g_variant_ref_sink (g_variant_new_parsed (arguments));
  const char *type = g_variant_get_type_string (value);
  CommyFrameSpec name = { .type = COMMY_FRAME_METHOD, .method = number };
  CommyFrameSpec spec = { .type = COMMY_FRAME_CALL,
                          .flags = COMMY_FRAME_FLAG_ORDERED,
                          .serializer = fake_client_wire_of (fake, "gvariant"),
                          .stream = number,
                          .method = number,
                          .flow = 1,
                          .sequence = number,
                          .signature = type,
                          .signature_size = (guint16) strlen (type) };
  g_autofree char *text = NULL;
  CommyFrame frame = { 0 };

  fake_client_send_frame (fake, &name, method, strlen (method));
  fake_client_send_frame (fake, &spec, g_variant_get_data (value), g_variant_get_size (value));
  do
    {
      g_clear_pointer (&text, g_free);
      g_assert_true (fake_client_receive (fake, &frame, &text));
    }
  while (frame.type == COMMY_FRAME_ACK);
  g_assert_cmpint (frame.type, ==, COMMY_FRAME_ERROR);
  g_assert_cmpuint (frame.stream, ==, number);
  g_assert_nonnull (strstr (text, type));
}

static void
test_no_tuple (Scene *scene, gconstpointer data)
{
  FakeClient *fake;
  Bridge *bridge;

  scene_offer_on_bus (scene);
  bridge = start (scene);
  fake = connect_fake (scene);
  expect_refusal (fake, 1, PROPERTIES "Get", "'a'");
  expect_refusal (fake, 2, PROPERTIES "GetAll", "['" LAB "']");
  expect_refusal (fake, 3, PROPERTIES "Set", "<5>");
  fake_client_free (fake);
  says (call (scene, "Add", g_variant_new ("(ii)", 1, 2)), "(3,)");
  bridge_stop (bridge);
}

static void
test_deadline (Scene *scene, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  Bridge *bridge;

  scene_offer_on_bus (scene);
  bridge = start (scene);
  g_assert_null (scene_call_mesh (scene, LAB, "Slow", NULL, NULL, NULL, 50000, &error));
  /* The bus gives up no later than the caller; either may say so first. */
  if (!g_error_matches (error, COMMY_ERROR, COMMY_ERROR_DEADLINE))
    g_assert_nonnull (strstr (error->message, "org.freedesktop.DBus.Error.Timeout"));
  bridge_stop (bridge);
}

static void
test_longest_call (Scene *scene, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  Bridge *bridge;

  scene_offer_on_bus (scene);
  bridge = bridge_start (scene, "import", LAB, "--timeout", "50ms", NULL);
  g_assert_nonnull (bridge->line);
  g_assert_null (scene_call_mesh (scene, LAB, "Slow", NULL, NULL, NULL, G_MAXINT64, &error));
  g_assert_nonnull (strstr (error->message, "org.freedesktop.DBus.Error.Timeout"));
  bridge_stop (bridge);
}

static void
on_slow (GObject *source, GAsyncResult *result, gpointer data)
{
  g_assert_null (commy_client_call_finish (COMMY_CLIENT (source), result, data));
}

/* Who calls may wait for ever, and whom is called may never answer. */
static void
test_ending (Scene *scene, gconstpointer data)
{
  g_autoptr (CommyClient) client = commy_client_new (scene->mesh, LAB);
  g_autoptr (CommyCallOptions) options = commy_call_options_new ();
  g_autoptr (GError) error = NULL;
  Bridge *bridge;

  scene_offer_on_bus (scene);
  bridge = bridge_start (scene, "import", LAB, "--timeout", "1h", NULL);
  commy_call_options_set_timeout (options, G_MAXINT64);
  commy_client_call (client, "Slow", NULL, options, NULL, on_slow, &error);
  while (scene->slow_on_bus == NULL)
    g_main_context_iteration (NULL, TRUE);
  bridge_stop (bridge);
  while (error == NULL)
    g_main_context_iteration (NULL, TRUE);
  g_assert_nonnull (strstr (error->message, "org.freedesktop.DBus.Error.NoReply"));
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
  scene_offer_on_bus (scene);
  bridge = start (scene);
  result
      = scene_call_mesh (scene, LAB, "Give", g_variant_new ("(h)", 0), handles, &back, -1, &error);
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
  g_autoptr (GVariant) sum = commy_client_call_finish (COMMY_CLIENT (source), result, &error);

  g_assert_no_error (error);
  ++*(guint *) data;
}

static void
test_many_and_large (Scene *scene, gconstpointer data)
{
  g_autoptr (CommyClient) client = commy_client_new (scene->mesh, LAB);
  g_autofree guint8 *bytes = g_malloc0 (LARGE);
  g_autoptr (GVariant) echo = NULL;
  guint answered = 0;
  Bridge *bridge;

  scene_offer_on_bus (scene);
  bridge = start (scene);
  for (guint i = 0; i < MANY; i++)
    commy_client_call (client, "Add", g_variant_new ("(ii)", i, 1), NULL, NULL, on_sum, &answered);
  while (answered < MANY)
    g_main_context_iteration (NULL, TRUE);
  echo = call (
      scene, "Echo",
      g_variant_new ("(v)", g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, bytes, LARGE, 1)));
  g_assert_cmpuint (g_variant_get_size (echo), >=, LARGE);
  bridge_stop (bridge);
}

static void
test_one_way (Scene *scene, gconstpointer data)
{
  g_autoptr (CommyClient) client = commy_client_new (scene->mesh, LAB);
  g_autoptr (GError) error = NULL;
  Bridge *bridge;

  scene_offer_on_bus (scene);
  bridge = start (scene);
  commy_client_send (client, "Note", g_variant_new ("(s)", "psst"), NULL, &error);
  g_assert_no_error (error);
  while (scene->heard->len == 0)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpstr (scene->heard->pdata[0], ==, "psst");
  bridge_stop (bridge);
}

/* --- signals --- */

static void
on_publication (CommySubscription *subscription, CommyPublication *publication, gpointer data)
{
  g_autofree char *text = g_variant_print (commy_publication_get_value (publication), FALSE);

  g_ptr_array_add (data, g_strconcat (commy_publication_get_topic (publication), text, NULL));
}

static CommySubscription *
subscribe (Scene *scene, const char *pattern, guint publishers)
{
  g_autoptr (GError) error = NULL;
  CommySubscription *subscription = commy_mesh_subscribe (
      scene->mesh, pattern, NULL, on_publication, scene->heard, NULL, &error);

  g_assert_no_error (error);
  while (commy_subscription_get_publishers (subscription) < publishers)
    g_main_context_iteration (NULL, TRUE);
  return subscription;
}

static void
emit (Scene *scene, const char *interface, const char *signal, const char *arguments)
{
  g_autoptr (GError) error = NULL;

  g_dbus_connection_emit_signal (scene->bus, NULL, LAB_PATH, interface, signal,
                                 g_variant_new_parsed (arguments), &error);
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
  g_autoptr (CommySubscription) own = NULL;
  g_autoptr (CommySubscription) renamed = NULL;
  Bridge *bridge;

  scene_offer_on_bus (scene);
  bridge = start (scene);
  own = subscribe (scene, LAB ".**", 2);
  renamed = subscribe (scene, "lab.renamed", 1);
  emit (scene, LAB, "Changed", "('a', 1)");
  await_heard (scene, 1, LAB ".Changed('a', 1)");
  emit (scene, LAB, "Renamed", "('b',)");
  await_heard (scene, 2, "lab.renamed('b',)");
  /* Those of another interface of the object are not this service's. */
  emit (scene, "org.freedesktop.DBus.Properties", "PropertiesChanged",
        "('org.example.Other', @a{sv} {}, @as [])");
  emit (scene, "org.freedesktop.DBus.Properties", "PropertiesChanged",
        "('" LAB "', {'Level': <3>}, @as [])");
  await_heard (scene, 3, LAB ".PropertiesChanged('" LAB "', {'Level': <3>}, [])");
  commy_subscription_close (own);
  commy_subscription_close (renamed);
  bridge_stop (bridge);
}

/* --- what comes and goes --- */

static void
test_owner (Scene *scene, gconstpointer data)
{
  Bridge *bridge;

  scene_offer_on_bus (scene);
  bridge = start (scene);
  scene_leave_bus (scene);
  scene_await_mesh (scene, LAB, COMMY_ERROR_NO_SERVICE);
  scene_offer_on_bus (scene);
  scene_await_mesh (scene, LAB, 0);
  bridge_stop (bridge);
}

static void
test_new_bus (Scene *scene, gconstpointer data)
{
  Bridge *bridge;

  scene_offer_on_bus (scene);
  bridge = start (scene);
  scene_stop_bus (scene);
  scene_await_mesh (scene, LAB, COMMY_ERROR_NO_SERVICE);
  scene_start_bus (scene);
  scene_offer_on_bus (scene);
  scene_await_mesh (scene, LAB, 0);
  bridge_stop (bridge);
}

static void
test_nobody (Scene *scene, gconstpointer data)
{
  bridge_expect_end (bridge_start (scene, "import", LAB, NULL), 3, "nobody owns " LAB);
  scene_offer_on_bus (scene);
  bridge_expect_end (bridge_start (scene, "import", LAB, "--path", "/elsewhere", NULL), 2,
                     "say which interface");
  bridge_expect_end (bridge_start (scene, "import", LAB, "--interface", "org.example.Other", NULL),
                     2, "there is no interface org.example.Other");
  bridge_expect_end (bridge_start (scene, "import", LAB, "--as", "org.commy.Lab", NULL), 2,
                     "CMY0002");
}

/* --- a liar --- */

static void
on_introspect (GDBusConnection *connection,
               const char *sender,
               const char *path,
               const char *interface,
               const char *method,
               GVariant *parameters,
               GDBusMethodInvocation *invocation,
               gpointer data)
{
  g_dbus_method_invocation_return_value (invocation, g_variant_new ("(s)", data));
}

static void
lie (Scene *scene, const char *description, int wanted, const char *text)
{
  static const GDBusInterfaceVTable vtable = { .method_call = on_introspect };
  g_autoptr (GDBusNodeInfo) node = g_dbus_node_info_new_for_xml (
      "<node><interface name='org.freedesktop.DBus.Introspectable'><method name='Introspect'>"
      "<arg type='s' direction='out'/></method></interface></node>",
      NULL);
  guint object = g_dbus_connection_register_object (scene->bus, "/liar", node->interfaces[0],
                                                    &vtable, (gpointer) description, NULL, NULL);

  g_assert_cmpuint (object, !=, 0);
  bridge_expect_end (bridge_start (scene, "import", LAB, "--path", "/liar", NULL), wanted, text);
  g_dbus_connection_unregister_object (scene->bus, object);
}

static void
test_liars (Scene *scene, gconstpointer data)
{
  g_autoptr (GString) deep = g_string_new (NULL);

  for (guint i = 0; i < 20000; i++)
    g_string_append (deep, "<node>");
  scene_offer_on_bus (scene);
  lie (scene, "", 1, LAB);
  lie (scene, "<node><interface name='" LAB "'>", 1, LAB);
  lie (scene, "<node><interface name='a b'/></node>", 2, "is no name of an interface");
  lie (scene, "<node><interface name='" LAB "'><method name='a b'/></interface></node>", 2,
       "no name on D-Bus");
  lie (scene,
       "<node><interface name='" LAB "'><method name='A'><arg type='%n(' direction='in'/></method>"
       "</interface></node>",
       1, "is not the type of a value");
  lie (scene,
       "<node><interface name='" LAB "'><property name='A' type='' access='read'/>"
       "</interface></node>",
       1, "is not the type of a value");
  lie (scene,
       "<node><interface name='" LAB "'><signal name='A'>"
       "<annotation name='org.commy.Topic' value='lab.*'/></signal></interface></node>",
       2, "org.commy.Topic is the name of a topic");
  lie (scene, deep->str, 1, LAB);
  scene_leave_bus (scene);
}

/* --- there and back --- */

static void
test_round_trip (Scene *scene, gconstpointer data)
{
  Bridge *import, *export;
  g_autoptr (GError) error = NULL;

  scene_offer_on_bus (scene);
  import = start (scene);
  scene_await_mesh (scene, LAB, 0);
  export = bridge_start (scene, "export", LAB, "--name", "org.example.Again", "--path", LAB_PATH,
                         NULL);
  g_assert_cmpstr (export->line, ==, "exporting " LAB " as org.example.Again " LAB_PATH " " LAB);
  {
    g_autoptr (GVariant) value = scene_call_name (scene, "org.example.Again", "Fail",
                                                  g_variant_new ("(s)", "no paper"), &error);

    g_assert_null (value);
    scene_assert_error_name (error, "org.example.Lab.Error.Full");
    g_assert_nonnull (strstr (error->message, "no paper"));
  }
  bridge_stop (export);
  bridge_stop (import);
}

int
main (int argc, char **argv)
{
  int status;

  if (service_child_main (argc, argv, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
#define ADD(path, func) \
  g_test_add ("/bridge/import/" path, Scene, NULL, scene_set_up, func, scene_tear_down)
  ADD ("calls-and-properties-pass", test_calls);
  ADD ("errors-keep-their-names", test_errors);
  ADD ("values-too-deep-are-refused", test_deep_values);
  ADD ("values-that-a-bus-punishes-are-refused", test_signatures);
  ADD ("properties-are-those-of-the-interface", test_property_calls);
  ADD ("arguments-that-are-no-tuple-are-refused", test_no_tuple);
  ADD ("the-deadline-passes", test_deadline);
  ADD ("no-call-takes-for-ever", test_longest_call);
  ADD ("an-answer-that-never-comes-does-not-keep-it-from-ending", test_ending);
  ADD ("descriptors-go-there-and-back", test_handles);
  ADD ("many-and-large-ones", test_many_and_large);
  ADD ("one-way-messages-arrive", test_one_way);
  ADD ("signals-are-topics", test_signals);
  ADD ("an-owner-goes-and-comes-back", test_owner);
  ADD ("a-new-bus-is-found", test_new_bus);
  ADD ("what-is-not-there-is-told", test_nobody);
  ADD ("descriptions-that-lie-are-refused", test_liars);
  ADD ("errors-come-back-as-they-were", test_round_trip);
  ADD ("errors-of-the-bus-keep-their-names", test_error_names);
  return g_test_run ();
}
