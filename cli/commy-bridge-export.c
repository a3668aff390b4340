/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A service of the mesh as an object on a bus: methods and properties become calls, topics become
 * signals. The bus may go and come back.
 */
#include "config.h"

#include "cli/commy-bridge.h"
#include "cli/commy-interface.h"
#include "cli/commy-lookup.h"
#include "cli/commy-output.h"

#include <gio/gunixfdlist.h>
#include <stdio.h>
#include <string.h>

/* Signals that wait for a bus which does not read: then they are dropped. */
#define SIGNAL_BYTES_MAX (64u << 20)

#define NAME_OWNER 1u /* results of RequestName */
#define NAME_IN_QUEUE 2u
#define NAME_EXISTS 3u
#define NAME_ALREADY_OWNER 4u
#define NAME_DO_NOT_QUEUE 4u /* a flag of it */

typedef struct
{
  const char *service;
  const char *bus;
  char *name;
  char *path;
  GDBusInterfaceInfo *interface;

  CommyBridgeRun run;
  CommyMesh *mesh;
  CommyClient *client;
  CommyCallOptions *options;
  GPtrArray *feeds; /* of Feed */
  CommyBridgeLoad load;

  GDBusConnection *connection; /* NULL: there is no bus at present */
  gboolean leaving;            /* it ends with the calls that are under way */
  gboolean announced;          /* it worked once: from then on it waits for what is missing */
  gsize unwritten;             /* bytes of signals */
  gsize writing;               /* of these, what is being flushed */
} Export;

/* A topic that is a signal. */
typedef struct
{
  Export *export;
  const char *interface;
  const char *signal;
  GVariantType *type;
  CommySubscription *subscription;
  gboolean complained;
} Feed;

/* --- calls --- */

/* A call under way. */
typedef struct
{
  Export *export;
  GDBusMethodInvocation *invocation;
  gsize size;
  gboolean with_handles;
} Call;

static void
call_free (Call *call)
{
  commy_bridge_release (&call->export->load, call->size);
  g_free (call);
}

static void
refuse (GDBusMethodInvocation *invocation, const GError *error)
{
  g_autofree char *message = NULL;
  g_autofree char *name = commy_bridge_dup_error_name (error, &message);

  g_dbus_method_invocation_return_dbus_error (invocation, name, message);
}

static gboolean
is_get (GDBusMethodInvocation *invocation)
{
  return g_dbus_method_invocation_get_property_info (invocation) != NULL
         && strcmp (g_dbus_method_invocation_get_method_name (invocation), "Get") == 0;
}

/* What an answer must be; GIO drops those that are something else without a word to the caller. */
static char *
dup_result_type (GDBusMethodInvocation *invocation)
{
  const GDBusPropertyInfo *property = g_dbus_method_invocation_get_property_info (invocation);
  const GDBusMethodInfo *method = g_dbus_method_invocation_get_method_info (invocation);

  if (property != NULL)
    return g_strdup (is_get (invocation) ? "(v)" : "()");
  if (method != NULL)
    return commy_bridge_dup_tuple (method->out_args);
  return g_strdup ("(a{sv})"); /* GetAll */
}

static gboolean
check_result (GDBusMethodInvocation *invocation, GVariant *result, GError **error)
{
  const GDBusPropertyInfo *property = g_dbus_method_invocation_get_property_info (invocation);
  const char *type = g_variant_get_type_string (result);
  g_autofree char *wanted = dup_result_type (invocation);
  g_autoptr (GVariant) inner = NULL;

  if (is_get (invocation) && strcmp (type, "(v)") == 0)
    {
      g_variant_get (result, "(v)", &inner);
      type = g_variant_get_type_string (inner);
      g_free (wanted);
      wanted = g_strdup (property->signature);
    }
  if (strcmp (type, wanted) == 0)
    return commy_bridge_check_value (result, error);
  commy_cli_set_error (error, COMMY_ERROR_TYPE, "the service answered with %.64s instead of %s",
                       type, wanted);
  return FALSE;
}

static void
on_result (GObject *source, GAsyncResult *result, gpointer data)
{
  Call *call = data;
  CommyClient *client = COMMY_CLIENT (source);
  g_autoptr (GUnixFDList) handles = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value
      = call->with_handles
            ? commy_client_call_with_unix_fd_list_finish (client, &handles, result, &error)
            : commy_client_call_finish (client, result, &error);

  if (value == NULL || !check_result (call->invocation, value, &error))
    refuse (call->invocation, error);
  else
    g_dbus_method_invocation_return_value_with_unix_fd_list (call->invocation, value, handles);
  call_free (call);
}

static gboolean
returns_handles (GDBusMethodInvocation *invocation)
{
  const GDBusMethodInfo *method = g_dbus_method_invocation_get_method_info (invocation);
  g_autofree char *tuple = commy_bridge_dup_tuple (method != NULL ? method->out_args : NULL);

  return strchr (tuple, 'h') != NULL;
}

/* Who keeps calling would keep it here. */
static void
refuse_while_leaving (GDBusMethodInvocation *invocation)
{
  g_autoptr (GError) error = NULL;

  commy_cli_set_error (&error, COMMY_ERROR_LEAVING, "the bridge is about to end");
  refuse (invocation, error);
}

/* One for properties too, which GIO hands over as the calls that they are. Who wants no answer does
 * not make it one-way: it stays in order with the calls around it and never holds the others up. */
static void
on_call (GDBusConnection *connection,
         const char *sender,
         const char *path,
         const char *interface,
         const char *method,
         GVariant *parameters,
         GDBusMethodInvocation *invocation,
         gpointer data)
{
  Export *self = data;
  GUnixFDList *handles
      = g_dbus_message_get_unix_fd_list (g_dbus_method_invocation_get_message (invocation));
  gsize size = g_variant_get_size (parameters);
  g_autofree char *qualified = NULL;
  Call *call;

  if (self->leaving)
    {
      refuse_while_leaving (invocation);
      return;
    }
  if (!commy_bridge_admit (&self->load, size))
    {
      g_dbus_method_invocation_return_dbus_error (
          invocation, "org.freedesktop.DBus.Error.LimitsExceeded", _ (COMMY_BRIDGE_BUSY));
      return;
    }
  call = g_new0 (Call, 1);
  call->export = self;
  call->invocation = invocation;
  call->size = size;
  call->with_handles = handles != NULL || returns_handles (invocation);
  if (strcmp (interface, COMMY_BRIDGE_PROPERTIES) == 0)
    method = qualified = g_strconcat (interface, ".", method, NULL);
  if (call->with_handles)
    commy_client_call_with_unix_fd_list (self->client, method, parameters, handles, self->options,
                                         NULL, on_result, call);
  else
    commy_client_call (self->client, method, parameters, self->options, NULL, on_result, call);
}

/* --- signals --- */

static void
on_written (GObject *source, GAsyncResult *result, gpointer data)
{
  Export *self = data;

  g_dbus_connection_flush_finish (G_DBUS_CONNECTION (source), result, NULL);
  self->unwritten -= self->writing;
  self->writing = 0;
}

/* (transfer full) (nullable): the arguments of the signal; one value stands for one argument */
static GVariant *
dup_arguments (const Feed *feed, CommyPublication *publication, GError **error)
{
  g_autoptr (GVariant) value = NULL;

  if (commy_publication_get_value (publication) != NULL)
    value = g_variant_ref (commy_publication_get_value (publication));
  if (value != NULL && !g_variant_is_of_type (value, feed->type))
    {
      GVariant *children[] = { value };

      value = g_variant_ref_sink (g_variant_new_tuple (children, 1));
      g_variant_unref (children[0]);
    }
  if (value != NULL && g_variant_is_of_type (value, feed->type))
    return commy_bridge_check_value (value, error) ? g_steal_pointer (&value) : NULL;
  commy_cli_set_error (error, COMMY_ERROR_TYPE, "what is published is not of the signal's type %s",
                       g_variant_type_peek_string (feed->type));
  return NULL;
}

static gboolean
emit (Export *self, const Feed *feed, GVariant *arguments, GError **error)
{
  gsize size = g_variant_get_size (arguments);

  if (self->unwritten > 0 && self->unwritten + size > SIGNAL_BYTES_MAX)
    {
      commy_cli_set_error (error, COMMY_ERROR_BUSY, "the bus does not keep up");
      return FALSE;
    }
  if (!g_dbus_connection_emit_signal (self->connection, NULL, self->path, feed->interface,
                                      feed->signal, arguments, error))
    return FALSE;
  self->unwritten += size;
  if (self->writing == 0)
    {
      self->writing = self->unwritten;
      g_dbus_connection_flush (self->connection, NULL, on_written, self);
    }
  return TRUE;
}

static void
on_publication (CommySubscription *subscription, CommyPublication *publication, gpointer data)
{
  Feed *feed = data;
  g_autoptr (GVariant) arguments = NULL;
  g_autoptr (GError) error = NULL;

  /* Without a bus nobody listens. */
  if (feed->export->connection == NULL)
    return;
  arguments = dup_arguments (feed, publication, &error);
  if (arguments != NULL && emit (feed->export, feed, arguments, &error))
    feed->complained = FALSE;
  else if (!feed->complained)
    {
      commy_cli_note ("%s: %s", commy_publication_get_topic (publication), error->message);
      feed->complained = TRUE;
    }
}

static void
feed_free (gpointer data)
{
  Feed *feed = data;

  if (feed->subscription != NULL)
    commy_subscription_close (feed->subscription);
  g_clear_object (&feed->subscription);
  g_variant_type_free (feed->type);
  g_free (feed);
}

static gboolean
add_feed (Export *self,
          const char *interface,
          const char *signal,
          const char *topic,
          const char *type,
          GError **error)
{
  Feed *feed = g_new0 (Feed, 1);

  feed->export = self;
  feed->interface = interface;
  feed->signal = signal;
  feed->type = g_variant_type_new (type);
  g_ptr_array_add (self->feeds, feed);
  feed->subscription
      = commy_mesh_subscribe (self->mesh, topic, NULL, on_publication, feed, NULL, error);
  return feed->subscription != NULL;
}

static gboolean
add_feeds (Export *self, GError **error)
{
  GDBusSignalInfo **signals = self->interface->signals;
  g_autofree char *changed = g_strdup_printf ("%s.%s", self->service, COMMY_BRIDGE_CHANGED);

  for (guint i = 0; signals != NULL && signals[i] != NULL; i++)
    {
      g_autofree char *topic = commy_bridge_dup_topic (self->service, signals[i]);
      g_autofree char *type = commy_bridge_dup_tuple (signals[i]->args);

      if (!add_feed (self, self->interface->name, signals[i]->name, topic, type, error))
        return FALSE;
    }
  if (self->interface->properties == NULL || self->interface->properties[0] == NULL)
    return TRUE;
  return add_feed (self, COMMY_BRIDGE_PROPERTIES, COMMY_BRIDGE_CHANGED, changed, "(sa{sv}as)",
                   error);
}

/* --- the bus --- */

/* Before it worked once that is the end, later it is told. */
static void
fail (Export *self, GError *error)
{
  if (!self->announced)
    {
      commy_bridge_give_up (&self->run, error);
      return;
    }
  commy_cli_note ("%s", error->message);
  g_error_free (error);
}

static void
announce (Export *self)
{
  if (!self->announced)
    {
      commy_output_print ("exporting %s as %s %s %s\n", self->service, self->name, self->path,
                          self->interface->name);
      fflush (stdout);
      commy_cli_note ("%s is on the bus; interrupt to stop", self->service);
    }
  else
    commy_cli_note ("the bus is back: %s is on it again", self->service);
  self->announced = TRUE;
}

static void
on_named (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) answer
      = g_dbus_connection_call_finish (G_DBUS_CONNECTION (source), result, &error);
  Export *self = data;
  guint32 outcome = 0;

  /* The link comes again with another one. */
  if (self->connection != G_DBUS_CONNECTION (source))
    return;
  if (answer == NULL)
    {
      g_prefix_error (&error, "%s cannot be owned: ", self->name);
      fail (self, g_steal_pointer (&error));
      return;
    }
  g_variant_get (answer, "(u)", &outcome);
  if (outcome == NAME_OWNER || outcome == NAME_ALREADY_OWNER)
    announce (self);
  else if (outcome == NAME_EXISTS)
    {
      commy_cli_set_error (&error, COMMY_ERROR_BUSY,
                           "%s is owned by another program on the bus: end it or give another "
                           "--name",
                           self->name);
      fail (self, g_steal_pointer (&error));
    }
  else if (outcome == NAME_IN_QUEUE)
    commy_cli_note ("%s is owned by another program at present: waiting for it", self->name);
}

static void
go_on_bus (Export *self)
{
  /* Properties come as calls where no function answers them. */
  static const GDBusInterfaceVTable vtable = { .method_call = on_call };
  GError *error = NULL;

  if (g_dbus_connection_register_object (self->connection, self->path, self->interface, &vtable,
                                         self, NULL, &error)
      == 0)
    {
      fail (self, error);
      return;
    }
  g_dbus_connection_call (
      self->connection, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
      "RequestName", g_variant_new ("(su)", self->name, self->announced ? 0 : NAME_DO_NOT_QUEUE),
      G_VARIANT_TYPE ("(u)"), G_DBUS_CALL_FLAGS_NONE, -1, NULL, on_named, self);
}

static void
on_link (GDBusConnection *connection, const GError *cause, gpointer data)
{
  Export *self = data;
  gboolean had = self->connection != NULL;
  GError *error = NULL;

  self->connection = connection;
  if (connection != NULL)
    go_on_bus (self);
  else if (!self->announced)
    {
      commy_cli_set_error (&error, COMMY_ERROR_UNREACHABLE, "the bus cannot be reached: %s",
                           cause != NULL ? cause->message : _ ("it closed the connection"));
      fail (self, error);
    }
  else if (had)
    commy_cli_note ("the bus is gone; waiting for it");
}

/* --- the service --- */

/* (transfer full): what the service says of itself */
static char *
ask_xml (Export *self, GError **error)
{
  g_autoptr (GPtrArray) instances = commy_lookup_instances (self->mesh, self->service, TRUE, error);
  g_autoptr (GVariant) record = NULL;
  const char *xml;

  if (instances == NULL)
    return NULL;
  if (instances->len == 0)
    {
      commy_cli_set_error (error, COMMY_ERROR_NO_SERVICE,
                           "nobody offers %s in the mesh \"%s\"; with --xml it may come later",
                           self->service, commy_mesh_get_name (self->mesh));
      return NULL;
    }
  record = commy_interface_ask (self->mesh, instances->pdata[0], error);
  if (record == NULL)
    return NULL;
  xml = commy_record_get_string (record, "xml");
  if (xml[0] != '\0')
    return g_strdup (xml);
  commy_cli_set_error (error, COMMY_ERROR_TYPE,
                       "%s is untyped, and D-Bus has types only: say what its methods take with "
                       "--xml FILE",
                       self->service);
  return NULL;
}

static gboolean
find_interface (Export *self, const CommyBridgeWishes *wishes, GError **error)
{
  g_autofree char *xml = NULL;

  if (wishes->xml == NULL)
    xml = ask_xml (self, error);
  else if (!g_file_get_contents (wishes->xml, &xml, NULL, error))
    return FALSE;
  if (xml != NULL)
    self->interface = commy_bridge_read_interface (xml, wishes->interface, self->service, error);
  if (self->interface == NULL)
    g_prefix_error (error, "%s: ", wishes->xml != NULL ? wishes->xml : self->service);
  return self->interface != NULL;
}

static void
export_clear (Export *self)
{
  g_clear_pointer (&self->feeds, g_ptr_array_unref);
  g_clear_object (&self->client);
  g_clear_pointer (&self->options, commy_call_options_free);
  if (self->mesh != NULL)
    commy_mesh_leave_sync (self->mesh, NULL, NULL);
  g_clear_object (&self->mesh);
  g_clear_pointer (&self->interface, g_dbus_interface_info_unref);
  g_clear_pointer (&self->run.loop, g_main_loop_unref);
  g_clear_error (&self->run.error);
  g_free (self->name);
  g_free (self->path);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Export, export_clear)

/* Calls that are under way hold on to the bridge: their answers are waited for. */
static void
finish_calls (Export *self)
{
  self->leaving = TRUE;
  while (self->load.calls > 0)
    g_main_context_iteration (NULL, TRUE);
}

static CommyExit
run (CommyCli *cli, Export *self, const CommyBridgeWishes *wishes)
{
  g_autoptr (CommyBridgeLink) link = NULL;
  g_autoptr (GError) error = NULL;
  gboolean done;

  self->mesh = commy_cli_join (cli, &error);
  if (self->mesh == NULL || !find_interface (self, wishes, &error) || !add_feeds (self, &error))
    return commy_cli_fail (error);
  self->client = commy_client_new (self->mesh, self->service);
  self->options = commy_call_options_new ();
  commy_call_options_set_timeout (self->options, wishes->timeout_us);
  link = commy_bridge_link_new (self->bus, on_link, self, &error);
  if (link == NULL)
    return commy_cli_fail (error);
  done = commy_bridge_run (&self->run);
  finish_calls (self);
  return done ? COMMY_EXIT_DONE : commy_cli_fail (self->run.error);
}

CommyExit
commy_bridge_export (CommyCli *cli, const CommyBridgeWishes *wishes)
{
  g_auto (Export) self = { .service = wishes->subject, .bus = wishes->bus };

  self.name = g_strdup (wishes->name != NULL ? wishes->name : wishes->subject);
  self.path = wishes->path != NULL ? g_strdup (wishes->path) : commy_bridge_dup_path (self.name);
  self.run.loop = g_main_loop_new (NULL, FALSE);
  self.feeds = g_ptr_array_new_with_free_func (feed_free);
  return run (cli, &self, wishes);
}
