/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `commy serve`: offers a service that echoes or runs commands, until it is interrupted.
 */
#include "config.h"

#include "cli/commy-cmd.h"
#include "cli/commy-lookup.h"
#include "cli/commy-output.h"
#include "cli/commy-quantity.h"
#include "cli/commy-serve-command.h"

#include <glib-unix.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define MAX_WORKERS 64
#define COMMANDS_AT_ONCE 8u
#define COMMANDS_GET_PERCENT 80 /* of the time to drain */
#define DRAIN_S 3 /* commands get so long when the service ends; the mesh waits a little longer */

static const CommyCliVerb verb = {
  .name = "serve",
  .usage = "SERVICE",
  .summary = N_ (
      "Offers a service until interrupted; then it takes no more calls and finishes those under\n"
      "way (a second interrupt does not wait). A SIGTERM drains it: callers go elsewhere first, "
      "and\n"
      "what is under way has the time that drain-timeout of [mesh] says. Without --method there "
      "is\n"
      "one method, Echo, which returns its arguments, values and raw bytes alike. When others can\n"
      "find the service it prints one line: serving SERVICE as ID (transports ...)."),
  .description = N_ (
      "A command runs through /bin/sh with raw bytes, or the one string or byte array of a value, "
      "as\n"
      "its standard input; its standard output is the answer, of the same kind. One that fails\n"
      "answers with its exit status and the end of its standard error. COMMY_CALLER, "
      "COMMY_SERVICE\n"
      "and COMMY_METHOD are set.\n\n"
      "Example: a digest as a service\n"
      "  commy serve org.example.Digest --method 'Sha256=sha256sum | cut -c1-64' --workers 2\n"
      "  commy call org.example.Digest Sha256 --bytes-file /etc/hostname"),
};

typedef struct
{
  char **methods;
  char *xml;
  gboolean echo;
  int workers;
  GDBusInterfaceInfo *interface; /* of the XML; NULL without */
} Options;

static void
options_clear (Options *options)
{
  g_strfreev (options->methods);
  g_free (options->xml);
  g_clear_pointer (&options->interface, g_dbus_interface_info_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Options, options_clear)

/* --- methods --- */

static void
on_echo (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  GVariant *parameters = commy_invocation_get_parameters (invocation);

  if (parameters != NULL)
    commy_invocation_return_value (invocation, parameters);
  else
    commy_invocation_return_bytes (invocation, commy_invocation_get_bytes (invocation));
}

static gboolean
load_interface (Options *options, const char *service, GError **error)
{
  g_autofree char *text = NULL;
  GDBusNodeInfo *node;
  GDBusInterfaceInfo *found;

  if (!g_file_get_contents (options->xml, &text, NULL, error))
    return FALSE;
  node = g_dbus_node_info_new_for_xml (text, error);
  if (node == NULL)
    {
      g_prefix_error (error, "%s: ", options->xml);
      return FALSE;
    }
  found = g_dbus_node_info_lookup_interface (node, service);
  if (found == NULL && node->interfaces != NULL)
    found = node->interfaces[0];
  if (found != NULL)
    options->interface = g_dbus_interface_info_ref (found);
  else
    commy_cli_set_error (error, COMMY_ERROR_INVALID_ARGUMENT, "%s has no interface", options->xml);
  g_dbus_node_info_unref (node);
  return found != NULL;
}

/* Without a word about methods: all of the interface, or Echo. */
static void
add_default_methods (CommyService *service, GDBusInterfaceInfo *interface)
{
  if (interface == NULL)
    commy_service_handle (service, "Echo", on_echo, NULL, NULL);
  for (guint i = 0;
       interface != NULL && interface->methods != NULL && interface->methods[i] != NULL; i++)
    commy_service_handle (service, interface->methods[i]->name, on_echo, NULL, NULL);
}

static void
add_methods (CommyService *service,
             const char *name,
             const Options *options,
             CommyServeCommands *commands)
{
  for (guint i = 0; options->methods != NULL && options->methods[i] != NULL; i++)
    {
      g_auto (GStrv) parts = g_strsplit (options->methods[i], "=", 2);

      commy_serve_commands_add (commands, service, name, parts[0], parts[1]);
    }
  if (options->echo)
    commy_service_handle (service, "Echo", on_echo, NULL, NULL);
  else if (options->methods == NULL)
    add_default_methods (service, options->interface);
}

static const char *
find_misuse (const Options *options, char **arguments)
{
  if (g_strv_length (arguments) != 2)
    return N_ ("needs the name of one service, such as org.example.Echo");
  if (options->workers < -1 || options->workers > MAX_WORKERS)
    return N_ ("--workers is from 0 to 64");
  for (guint i = 0; options->methods != NULL && options->methods[i] != NULL; i++)
    {
      const char *equals = strchr (options->methods[i], '=');

      if (equals == NULL || equals == options->methods[i] || equals[1] == '\0')
        return N_ ("--method is NAME=COMMAND");
    }
  return NULL;
}

/* --- serving --- */

/* What ends the loop, and how. */
typedef struct
{
  GMainLoop *loop;
  gboolean drains;  /* a SIGTERM came: take your time */
  gboolean drained; /* somebody did, from outside or because of it */
} Ending;

static gboolean
on_interrupt (gpointer data)
{
  Ending *ending = data;

  g_main_loop_quit (ending->loop);
  return G_SOURCE_CONTINUE;
}

static gboolean
on_terminate (gpointer data)
{
  Ending *ending = data;

  ending->drains = TRUE;
  g_main_loop_quit (ending->loop);
  return G_SOURCE_CONTINUE;
}

static void
on_drained_elsewhere (CommyMesh *mesh, guint left, gpointer data)
{
  Ending *ending = data;

  if (ending->drains)
    return;
  ending->drained = TRUE;
  commy_cli_note ("the node was drained; calls that were cut off: %u", left);
  g_main_loop_quit (ending->loop);
}

/* Told only when the store shows it to everybody. */
static gboolean
announce (CommyMesh *mesh, CommyService *service, const char *name, GError **error)
{
  g_autoptr (GVariant) list = commy_mesh_list_services_sync (mesh, name, NULL, error);
  const char *id = commy_service_get_instance_id (service);
  gsize n = list != NULL ? g_variant_n_children (list) : 0;

  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) instance = g_variant_get_child_value (list, i);
      g_autofree char *transports = NULL;

      if (g_strcmp0 (commy_record_get_string (instance, "instance"), id) != 0)
        continue;
      transports = commy_record_dup_transports (instance);
      commy_output_print ("serving %s as %s (transports %s)\n", name, id,
                          transports[0] != '\0' ? transports : "none");
      fflush (stdout);
      return TRUE;
    }
  if (list != NULL)
    commy_cli_set_error (error, COMMY_ERROR_STORE,
                         "%s was registered but the store does not "
                         "show it",
                         name);
  return FALSE;
}

/* A transport that cannot be reached is worth a line: who waits for calls over it waits in vain. */
static void
note_deaf (CommyMesh *mesh)
{
  g_autoptr (GVariant) plugins = commy_mesh_list_plugins (mesh);
  gsize n = g_variant_n_children (plugins);

  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) plugin = g_variant_get_child_value (plugins, i);
      const char *reason = commy_record_get_string (plugin, "reason");

      if (g_str_has_prefix (reason, "does not listen"))
        commy_cli_note ("transport %s %s", commy_record_get_string (plugin, "id"), reason);
    }
}

static void
on_stopped (GObject *source, GAsyncResult *result, gpointer data)
{
  g_main_loop_quit (data);
}

static gboolean
on_drained (gpointer commands)
{
  commy_serve_commands_end (commands);
  return G_SOURCE_REMOVE;
}

static void
stop (CommyService *service, CommyServeCommands *commands, GMainLoop *loop)
{
  GSource *drained = g_timeout_source_new_seconds (DRAIN_S);

  commy_cli_note ("stopping: no more calls, waiting for those under way");
  g_source_set_callback (drained, on_drained, commands, NULL);
  g_source_attach (drained, NULL);
  commy_service_stop (service, NULL, on_stopped, loop);
  g_main_loop_run (loop);
  /* After a second interrupt there may be calls left. */
  commy_serve_commands_end (commands);
  g_source_destroy (drained);
  g_source_unref (drained);
}

static void
on_drain_done (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GError) error = NULL;
  Ending *ending = data;

  if (commy_mesh_drain_finish (COMMY_MESH (source), result, &error))
    commy_cli_note ("drained: nothing is under way any more");
  else
    commy_cli_note ("%s", error->message);
  g_main_loop_quit (ending->loop);
}

/* How long a drain takes at most, as the keyfile says. */
static gint64
get_drain_time_us (CommyMesh *mesh)
{
  g_autoptr (GVariant) settings = commy_mesh_list_settings (mesh);
  const char *group, *key, *value;
  gint64 time_us = 0;
  GVariantIter iter;

  g_variant_iter_init (&iter, settings);
  while (g_variant_iter_next (&iter, "(&s&s&s&s)", &group, &key, &value, NULL))
    if (strcmp (group, "mesh") == 0 && strcmp (key, "drain-timeout") == 0)
      {
        commy_quantity_parse_time (value, &time_us);
        break;
      }
  return time_us;
}

/* Others go elsewhere first. Commands have most of the time; then they are ended, so that their
 * callers still hear why. */
static void
drain (CommyMesh *mesh, CommyServeCommands *commands, Ending *ending)
{
  gint64 time_us = get_drain_time_us (mesh);
  GSource *late = g_timeout_source_new ((guint) (time_us / 1000 * COMMANDS_GET_PERCENT / 100));

  commy_cli_note ("draining: no new calls, waiting for those under way; a second signal stops at "
                  "once");
  g_source_set_callback (late, on_drained, commands, NULL);
  g_source_attach (late, NULL);
  commy_mesh_drain (mesh, time_us, NULL, on_drain_done, ending);
  g_main_loop_run (ending->loop);
  commy_serve_commands_end (commands);
  g_source_destroy (late);
  g_source_unref (late);
}

static CommyExit
serve_until_interrupted (CommyMesh *mesh,
                         CommyService *service,
                         CommyServeCommands *commands,
                         const char *name)
{
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (GError) error = NULL;
  Ending ending = { .loop = loop };
  guint interrupt = g_unix_signal_add (SIGINT, on_interrupt, &ending);
  guint terminate = g_unix_signal_add (SIGTERM, on_terminate, &ending);
  gulong drained = g_signal_connect (mesh, "drained", G_CALLBACK (on_drained_elsewhere), &ending);
  CommyExit status = COMMY_EXIT_DONE;

  if (commy_service_start_sync (service, NULL, &error) && announce (mesh, service, name, &error))
    {
      note_deaf (mesh);
      commy_cli_note ("%s is offered in the mesh \"%s\"; interrupt to stop", name,
                      commy_mesh_get_name (mesh));
      g_main_loop_run (loop);
      if (ending.drains && !ending.drained)
        drain (mesh, commands, &ending);
      else if (!ending.drained)
        stop (service, commands, loop);
    }
  else
    status = commy_cli_fail (error);
  g_source_remove (interrupt);
  g_source_remove (terminate);
  g_signal_handler_disconnect (mesh, drained);
  return status;
}

static CommyExit
run (CommyCli *cli, const Options *options, const char *name)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyServeCommands) commands = NULL;
  g_autoptr (CommyMesh) mesh = NULL;
  g_autoptr (CommyService) service = NULL;
  CommyExit status;

  commy_cli_note ("joining the mesh \"%s\"", cli->mesh != NULL ? cli->mesh : "default");
  mesh = commy_cli_join (cli, &error);
  if (mesh == NULL)
    return commy_cli_fail (error);
  commands = commy_serve_commands_new (MAX (COMMANDS_AT_ONCE, (guint) MAX (options->workers, 0)));
  service = commy_service_new (mesh, name, options->interface);
  add_methods (service, name, options, commands);
  if (options->workers >= 0)
    commy_service_set_workers (service, (guint) options->workers);
  status = serve_until_interrupted (mesh, service, commands, name);
  /* What still runs is ended before the mesh that its answers would need. */
  g_clear_pointer (&commands, commy_serve_commands_free);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  return status;
}

CommyExit
commy_cmd_serve (CommyCli *cli, char **argv)
{
  g_auto (Options) options = { .workers = -1 };
  const GOptionEntry entries[] = {
    { "method", 'm', 0, G_OPTION_ARG_STRING_ARRAY, &options.methods,
      N_ ("A method that runs a command; may be given more than once"), "NAME=COMMAND" },
    { "echo", 0, 0, G_OPTION_ARG_NONE, &options.echo, N_ ("Also Echo, beside --method"), NULL },
    { "workers", 'w', 0, G_OPTION_ARG_INT, &options.workers,
      N_ ("Threads that take calls (from the keyfile)"), "N" },
    { "xml", 0, 0, G_OPTION_ARG_FILENAME, &options.xml,
      N_ ("Check arguments against this D-Bus introspection XML"), "FILE" },
    { NULL },
  };
  g_auto (GStrv) arguments = commy_cli_parse (cli, &verb, entries, argv);
  g_autoptr (GError) error = NULL;
  const char *misuse;

  if (arguments == NULL)
    return COMMY_EXIT_USAGE;
  misuse = find_misuse (&options, arguments);
  if (misuse != NULL)
    return commy_cli_misuse (&verb, "%s", _ (misuse));
  if (options.xml != NULL && !load_interface (&options, arguments[1], &error))
    {
      commy_cli_fail (error);
      return COMMY_EXIT_USAGE;
    }
  return run (cli, &options, arguments[1]);
}
