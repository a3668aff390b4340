/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The scene of the bridge's tests.
 */
#include "config.h"

#include "bridge-scene.h"

#include <signal.h>
#include <string.h>
#include <sys/prctl.h>

#define PROPERTIES "org.freedesktop.DBus.Properties."

static const char lab_xml[]
    = "<node><interface name='" LAB "'>"
      "<method name='Echo'><arg type='v' direction='in'/><arg type='v' direction='out'/></method>"
      "<method name='Add'><arg type='i' direction='in'/><arg type='i' direction='in'/>"
      "<arg type='i' direction='out'/></method>"
      "<method name='Fail'><arg type='s' direction='in'/></method>"
      "<method name='Slow'/>"
      "<method name='Nowhere'/>"
      "<method name='Note'><arg type='s' direction='in'/></method>"
      "<method name='Notes'><arg type='as' direction='out'/></method>"
      "<method name='Give'><arg type='h' direction='in'/><arg type='h' direction='out'/></method>"
      "<method name='Odd'><arg type='v' direction='out'/></method>"
      "<property name='Level' type='i' access='readwrite'/>"
      "<signal name='Changed'><arg type='s'/><arg type='i'/></signal>"
      "<signal name='Renamed'><arg type='s'/>"
      "<annotation name='org.commy.Topic' value='lab.renamed'/></signal>"
      "</interface></node>";

/* --- what both laboratories do --- */

/* (transfer floating): the result; NULL: none, or an error with its text in @out_error */
static GVariant *
work (Scene *scene, const char *method, GVariant *parameters, char **out_error)
{
  if (strcmp (method, "Echo") == 0)
    return parameters;
  if (strcmp (method, "Add") == 0)
    {
      int a, b;

      g_variant_get (parameters, "(ii)", &a, &b);
      return g_variant_new ("(i)", a + b);
    }
  if (strcmp (method, "Fail") == 0)
    {
      g_variant_get (parameters, "(s)", out_error);
      return NULL;
    }
  if (strcmp (method, "Note") == 0)
    {
      char *text;

      g_variant_get (parameters, "(s)", &text);
      g_ptr_array_add (scene->heard, text);
      return g_variant_new ("()");
    }
  if (strcmp (method, "Notes") == 0)
    return g_variant_new (
        "(@as)", g_variant_new_strv ((const char *const *) scene->heard->pdata, scene->heard->len));
  if (strcmp (method, "Odd") == 0)
    return g_variant_new ("(v)", g_variant_new_maybe (G_VARIANT_TYPE_INT32, NULL));
  /* In the mesh they are called with their interface. */
  if (g_str_has_prefix (method, PROPERTIES))
    method += strlen (PROPERTIES);
  if (strcmp (method, "Get") == 0)
    return g_variant_new ("(v)", g_variant_new_int32 (scene->level));
  if (strcmp (method, "GetAll") == 0)
    return g_variant_new_parsed ("({'Level': <%i>},)", scene->level);
  g_assert_cmpstr (method, ==, "Set");
  {
    g_autoptr (GVariant) value = NULL;

    g_variant_get (parameters, "(ssv)", NULL, NULL, &value);
    scene->level = g_variant_get_int32 (value);
  }
  return g_variant_new ("()");
}

static void
on_mesh_call (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  Scene *scene = data;
  const char *method = commy_invocation_get_method (invocation);
  g_autofree char *error = NULL;
  GVariant *result;

  if (strcmp (method, "Slow") == 0)
    {
      scene->slow_in_mesh = invocation;
      return;
    }
  if (strcmp (method, "Give") == 0)
    {
      GUnixFDList *handles = commy_invocation_get_unix_fd_list (invocation);

      commy_invocation_return_value_with_unix_fd_list (
          invocation, commy_invocation_get_parameters (invocation), handles);
      return;
    }
  result = work (scene, method, commy_invocation_get_parameters (invocation), &error);
  if (error != NULL)
    commy_invocation_return_error (invocation, error);
  else
    commy_invocation_return_value (invocation, result);
}

static void
on_bus_call (GDBusConnection *connection,
             const char *sender,
             const char *path,
             const char *interface,
             const char *method,
             GVariant *parameters,
             GDBusMethodInvocation *invocation,
             gpointer data)
{
  Scene *scene = data;
  GDBusMessage *message = g_dbus_method_invocation_get_message (invocation);
  g_autofree char *error = NULL;
  GVariant *result;

  if (strcmp (method, "Slow") == 0)
    {
      g_clear_object (&scene->slow_on_bus);
      scene->slow_on_bus = invocation;
      return;
    }
  if (strcmp (method, "Give") == 0)
    {
      g_dbus_method_invocation_return_value_with_unix_fd_list (
          invocation, parameters, g_dbus_message_get_unix_fd_list (message));
      return;
    }
  /* This side cannot say it at all. */
  g_assert_cmpstr (method, !=, "Odd");
  result = work (scene, method, parameters, &error);
  if (error != NULL)
    g_dbus_method_invocation_return_dbus_error (invocation, "org.example.Lab.Error.Full", error);
  else
    g_dbus_method_invocation_return_value (invocation, result);
}

void
scene_offer_in_mesh (Scene *scene, gboolean typed)
{
  static const char *const methods[] = { "Echo",
                                         "Add",
                                         "Fail",
                                         "Slow",
                                         "Note",
                                         "Notes",
                                         "Odd",
                                         "Give",
                                         PROPERTIES "Get",
                                         PROPERTIES "Set",
                                         PROPERTIES "GetAll" };
  g_autoptr (GError) error = NULL;

  scene->service = commy_service_new (scene->mesh, LAB, typed ? scene->interface : NULL);
  for (guint i = 0; i < G_N_ELEMENTS (methods); i++)
    commy_service_handle (scene->service, methods[i], on_mesh_call, scene, NULL);
  commy_service_set_workers (scene->service, 0);
  commy_service_start_sync (scene->service, NULL, &error);
  g_assert_no_error (error);
}

void
scene_answer_slow (Scene *scene)
{
  if (scene->slow_in_mesh != NULL)
    commy_invocation_return_value (scene->slow_in_mesh, NULL);
  scene->slow_in_mesh = NULL;
}

static void
on_name (GDBusConnection *connection, const char *name, gpointer data)
{
  *(gboolean *) data = TRUE;
}

static void
on_no_name (GDBusConnection *connection, const char *name, gpointer data)
{
  g_error ("%s cannot be owned", name);
}

void
scene_offer_on_bus (Scene *scene)
{
  static const GDBusInterfaceVTable vtable = { .method_call = on_bus_call };
  gboolean owned = FALSE;

  scene->object = g_dbus_connection_register_object (scene->bus, LAB_PATH, scene->interface,
                                                     &vtable, scene, NULL, NULL);
  g_assert_cmpuint (scene->object, !=, 0);
  scene->name = g_bus_own_name_on_connection (scene->bus, LAB, G_BUS_NAME_OWNER_FLAGS_NONE, on_name,
                                              on_no_name, &owned, NULL);
  while (!owned)
    g_main_context_iteration (NULL, TRUE);
}

void
scene_leave_bus (Scene *scene)
{
  if (scene->object == 0)
    return;
  g_dbus_connection_unregister_object (scene->bus, scene->object);
  g_bus_unown_name (scene->name);
  scene->object = 0;
}

/* --- the bus --- */

static void
die_with_the_test (gpointer data)
{
  prctl (PR_SET_PDEATHSIG, SIGKILL);
}

static GSubprocess *
spawn (GSubprocessFlags flags, const char *const *argv)
{
  g_autoptr (GSubprocessLauncher) launcher = g_subprocess_launcher_new (flags);
  g_autoptr (GError) error = NULL;
  GSubprocess *process;

  g_subprocess_launcher_set_child_setup (launcher, die_with_the_test, NULL, NULL);
  process = g_subprocess_launcher_spawnv (launcher, argv, &error);
  g_assert_no_error (error);
  return process;
}

void
scene_start_bus (Scene *scene)
{
  g_autofree char *config = g_build_filename (scene->fixture.dir, "bus.conf", NULL);
  g_autofree char *option = g_strconcat ("--config-file=", config, NULL);
  g_autofree char *text = g_strdup_printf (
      "<busconfig><type>session</type><listen>unix:path=%s/bus</listen><auth>EXTERNAL</auth>"
      "<policy context='default'><allow send_destination='*' eavesdrop='true'/>"
      "<allow eavesdrop='true'/><allow own='*'/></policy>"
      "<limit name='max_replies_per_connection'>50000</limit></busconfig>",
      scene->fixture.dir);
  g_autoptr (GDataInputStream) out = NULL;
  g_autoptr (GError) error = NULL;

  g_file_set_contents (config, text, -1, &error);
  g_assert_no_error (error);
  scene->daemon = spawn (G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_SILENCE,
                         (const char *[]){ "dbus-daemon", option, "--nofork", "--nopidfile",
                                           "--print-address=1", NULL });
  out = g_data_input_stream_new (g_subprocess_get_stdout_pipe (scene->daemon));
  g_free (scene->address);
  scene->address = g_data_input_stream_read_line (out, NULL, NULL, &error);
  g_assert_nonnull (scene->address);
  /* Without its id, which the next one will not have. */
  *strchrnul (scene->address, ',') = '\0';
  scene->bus = g_dbus_connection_new_for_address_sync (
      scene->address,
      G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT
          | G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION,
      NULL, NULL, &error);
  g_assert_no_error (error);
}

void
scene_stop_bus (Scene *scene)
{
  scene_leave_bus (scene);
  g_clear_object (&scene->slow_on_bus);
  g_dbus_connection_close_sync (scene->bus, NULL, NULL);
  g_clear_object (&scene->bus);
  g_subprocess_force_exit (scene->daemon);
  g_subprocess_wait (scene->daemon, NULL, NULL);
  g_clear_object (&scene->daemon);
}

void
scene_set_up (Scene *scene, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *keyfile = NULL;
  g_autofree char *path = NULL;
  GDBusNodeInfo *node;

  mesh_fixture_set_up (&scene->fixture, NULL);
  keyfile = g_strdup_printf ("[mesh]\nruntime-dir=%s/run\nstate-dir=%s/state\n", scene->fixture.dir,
                             scene->fixture.dir);
  path = mesh_fixture_use_keyfile (&scene->fixture, "mesh.conf", keyfile);
  scene->mesh = mesh_fixture_join (&scene->fixture, NULL);
  scene->xml_file = g_build_filename (scene->fixture.dir, "lab.xml", NULL);
  g_file_set_contents (scene->xml_file, lab_xml, -1, &error);
  g_assert_no_error (error);
  node = g_dbus_node_info_new_for_xml (lab_xml, &error);
  g_assert_no_error (error);
  scene->interface = g_dbus_interface_info_ref (node->interfaces[0]);
  g_dbus_node_info_unref (node);
  scene->heard = g_ptr_array_new_with_free_func (g_free);
  scene_start_bus (scene);
}

void
scene_tear_down (Scene *scene, gconstpointer data)
{
  scene_stop_bus (scene);
  scene_answer_slow (scene);
  g_clear_object (&scene->service);
  commy_mesh_leave_sync (scene->mesh, NULL, NULL);
  g_clear_object (&scene->mesh);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_ptr_array_unref (scene->heard);
  g_dbus_interface_info_unref (scene->interface);
  g_free (scene->xml_file);
  g_free (scene->address);
  mesh_fixture_tear_down (&scene->fixture, NULL);
}

/* --- the bridge --- */

static void
on_line (GObject *source, GAsyncResult *result, gpointer data)
{
  Bridge *bridge = data;

  bridge->line
      = g_data_input_stream_read_line_finish (G_DATA_INPUT_STREAM (source), result, NULL, NULL);
  g_clear_object (&bridge->out);
}

Bridge *
bridge_start (Scene *scene, ...)
{
  g_autofree char *commy = g_build_filename (g_getenv ("COMMY_BUILD_DIR"), "commy", NULL);
  g_autoptr (GPtrArray) argv = g_ptr_array_new ();
  Bridge *bridge = g_new0 (Bridge, 1);
  const char *word;
  va_list args;

  g_ptr_array_add (argv, commy);
  for (guint i = 0; i < 4; i++)
    g_ptr_array_add (argv, (gpointer) ((const char *[]){ "--mesh", "test", "bridge", "dbus" })[i]);
  va_start (args, scene);
  while ((word = va_arg (args, const char *)) != NULL)
    g_ptr_array_add (argv, (gpointer) word);
  va_end (args);
  g_ptr_array_add (argv, (gpointer) "--bus");
  g_ptr_array_add (argv, scene->address);
  g_ptr_array_add (argv, NULL);
  bridge->process = spawn (G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_PIPE,
                           (const char *const *) argv->pdata);
  bridge->out = g_data_input_stream_new (g_subprocess_get_stdout_pipe (bridge->process));
  g_filter_input_stream_set_close_base_stream (G_FILTER_INPUT_STREAM (bridge->out), FALSE);
  g_data_input_stream_read_line_async (bridge->out, 0, NULL, on_line, bridge);
  while (bridge->out != NULL)
    g_main_context_iteration (NULL, TRUE);
  return bridge;
}

static void
take_result (GObject *source, GAsyncResult *result, gpointer data)
{
  *(GAsyncResult **) data = g_object_ref (result);
}

static GAsyncResult *
await (GAsyncResult **result)
{
  while (*result == NULL)
    g_main_context_iteration (NULL, TRUE);
  return *result;
}

void
bridge_terminate (Bridge *bridge)
{
  /* A second one would end it at once. */
  if (!bridge->terminated)
    g_subprocess_send_signal (bridge->process, SIGTERM);
  bridge->terminated = TRUE;
}

char *
bridge_end (Bridge *bridge, int *out_status)
{
  g_autoptr (GAsyncResult) result = NULL;
  char *told = NULL;

  bridge_terminate (bridge);
  g_subprocess_communicate_utf8_async (bridge->process, NULL, NULL, take_result, &result);
  g_subprocess_communicate_utf8_finish (bridge->process, await (&result), NULL, &told, NULL);
  *out_status = g_subprocess_get_if_exited (bridge->process)
                    ? g_subprocess_get_exit_status (bridge->process)
                    : -1;
  g_object_unref (bridge->process);
  g_free (bridge->line);
  g_free (bridge);
  return told;
}

void
bridge_expect_end (Bridge *bridge, int wanted, const char *text)
{
  int status;
  gboolean silent = bridge->line == NULL;
  g_autofree char *told = bridge_end (bridge, &status);

  g_assert_true (silent);
  if (status != wanted || strstr (told, text) == NULL)
    g_error ("ended with %d instead of %d: %s", status, wanted, told);
}

void
bridge_stop (Bridge *bridge)
{
  int status;
  g_autofree char *told = bridge_end (bridge, &status);

  g_assert_null (strstr (told, "CRITICAL"));
  g_assert_null (strstr (told, "WARNING"));
  if (status != 0)
    g_error ("the bridge ended with %d: %s", status, told);
}

/* --- calling --- */

GVariant *
scene_call_bus (Scene *scene,
                const char *interface,
                const char *method,
                GVariant *parameters,
                GUnixFDList *handles,
                GUnixFDList **out_handles,
                GError **error)
{
  g_autoptr (GAsyncResult) result = NULL;

  g_dbus_connection_call_with_unix_fd_list (scene->bus, LAB, LAB_PATH, interface, method,
                                            parameters, NULL, G_DBUS_CALL_FLAGS_NONE, 60000,
                                            handles, NULL, take_result, &result);
  return g_dbus_connection_call_with_unix_fd_list_finish (scene->bus, out_handles, await (&result),
                                                          error);
}

GVariant *
scene_call_name (
    Scene *scene, const char *name, const char *method, GVariant *parameters, GError **error)
{
  g_autoptr (GAsyncResult) result = NULL;

  g_dbus_connection_call (scene->bus, name, LAB_PATH, LAB, method, parameters, NULL,
                          G_DBUS_CALL_FLAGS_NONE, 60000, NULL, take_result, &result);
  return g_dbus_connection_call_finish (scene->bus, await (&result), error);
}

GVariant *
scene_call_mesh (Scene *scene,
                 const char *service,
                 const char *method,
                 GVariant *parameters,
                 GUnixFDList *handles,
                 GUnixFDList **out_handles,
                 gint64 timeout_us,
                 GError **error)
{
  g_autoptr (CommyClient) client = commy_client_new (scene->mesh, service);
  g_autoptr (CommyCallOptions) options = commy_call_options_new ();
  g_autoptr (GAsyncResult) result = NULL;

  commy_call_options_set_timeout (options, timeout_us);
  if (handles == NULL)
    {
      commy_client_call (client, method, parameters, options, NULL, take_result, &result);
      return commy_client_call_finish (client, await (&result), error);
    }
  commy_client_call_with_unix_fd_list (client, method, parameters, handles, options, NULL,
                                       take_result, &result);
  return commy_client_call_with_unix_fd_list_finish (client, out_handles, await (&result), error);
}

void
scene_assert_error_name (const GError *error, const char *name)
{
  g_autofree char *told = error != NULL ? g_dbus_error_get_remote_error (error) : NULL;

  g_assert_cmpstr (told, ==, name);
}

static gboolean
on_tick (gpointer data)
{
  return G_SOURCE_CONTINUE;
}

void
scene_await_mesh (Scene *scene, const char *service, gint code)
{
  guint tick = g_timeout_add (5, on_tick, NULL);

  for (;;)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) result
          = scene_call_mesh (scene, service, "Notes", NULL, NULL, NULL, -1, &error);

      if (code == 0 ? result != NULL : g_error_matches (error, COMMY_ERROR, code))
        break;
      g_main_context_iteration (NULL, TRUE);
    }
  g_source_remove (tick);
}

static void
on_appeared (GDBusConnection *connection, const char *name, const char *owner, gpointer data)
{
  *(gboolean *) data = TRUE;
}

void
scene_await_owner (Scene *scene, const char *name)
{
  gboolean owned = FALSE;
  guint watch = g_bus_watch_name_on_connection (scene->bus, name, G_BUS_NAME_WATCHER_FLAGS_NONE,
                                                on_appeared, NULL, &owned, NULL);

  while (!owned)
    g_main_context_iteration (NULL, TRUE);
  g_bus_unwatch_name (watch);
}
