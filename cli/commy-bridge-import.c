/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An object on a bus as a service of the mesh: calls become calls of its methods and properties,
 * its signals become topics. It is offered while somebody owns the name, or the bus would start
 * them.
 */
#include "config.h"

#include "cli/commy-bridge.h"
#include "cli/commy-output.h"

#include <gio/gunixfdlist.h>
#include <stdio.h>
#include <string.h>

#define BUS_NAME "org.freedesktop.DBus"
#define BUS_PATH "/org/freedesktop/DBus"

typedef struct
{
  const char *name;
  const char *path;
  const char *wanted; /* interface; NULL: find out */
  const char *as;     /* NULL: as the interface */
  const char *bus;
  gint64 timeout_us; /* no call takes longer */

  CommyBridgeRun run;
  CommyMesh *mesh;
  CommyBridgeLoad load;
  GCancellable *calling; /* of all calls: cancelled at the end */
  guint stopping;        /* services that finish what they have begun */
  gboolean announced;    /* it worked once: from then on it waits for what is missing */

  GDBusConnection *connection; /* NULL: there is no bus at present */
  GCancellable *asking;        /* of what was asked of this connection */
  guint watch;
  gboolean activatable;

  /* While it is offered. */
  GDBusInterfaceInfo *interface;
  CommyService *service;
  GPtrArray *feeds; /* of Feed */
} Import;

/* A signal that is a topic. */
typedef struct
{
  Import *import;
  GDBusConnection *connection;
  guint subscription;
  CommyPublisher *publisher;
  gboolean complained;
} Feed;

static const char *
get_service_name (const Import *self)
{
  return self->as != NULL ? self->as : self->interface->name;
}

/* Before it worked once that is the end, later it is told. */
static void
fail (Import *self, GError *error)
{
  if (!self->announced)
    {
      commy_bridge_give_up (&self->run, error);
      return;
    }
  commy_cli_note ("%s", error->message);
  g_error_free (error);
}

/* --- calls --- */

/* A call under way. */
typedef struct
{
  Import *import;
  CommyInvocation *invocation;
  gsize size;
} Call;

static void
refuse (CommyInvocation *invocation, const GError *error)
{
  g_autofree char *text = commy_bridge_dup_remote_text (error);

  commy_invocation_return_error (invocation, text);
}

static void
on_result (GObject *source, GAsyncResult *result, gpointer data)
{
  Call *call = data;
  g_autoptr (GUnixFDList) handles = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = g_dbus_connection_call_with_unix_fd_list_finish (
      G_DBUS_CONNECTION (source), &handles, result, &error);

  if (value == NULL)
    refuse (call->invocation, error);
  else if (handles != NULL && g_unix_fd_list_get_length (handles) > 0)
    commy_invocation_return_value_with_unix_fd_list (call->invocation, value, handles);
  else
    commy_invocation_return_value (call->invocation, value);
  commy_bridge_release (&call->import->load, call->size);
  g_free (call);
}

/* What the caller still waits, which is what this side waits: at least a moment, and not for ever,
 * as some callers would. */
static gint
get_timeout_ms (const Import *self, CommyInvocation *invocation)
{
  gint64 left_us = commy_invocation_get_deadline (invocation) - g_get_monotonic_time ();

  return (gint) CLAMP (MIN (left_us, self->timeout_us) / 1000, 1, G_MAXINT - 1);
}

static gboolean
send_one_way (Import *self,
              const char *interface,
              const char *method,
              GVariant *parameters,
              GUnixFDList *handles,
              GError **error)
{
  g_autoptr (GDBusMessage) message
      = g_dbus_message_new_method_call (self->name, self->path, interface, method);

  g_dbus_message_set_flags (message, G_DBUS_MESSAGE_FLAGS_NO_REPLY_EXPECTED);
  g_dbus_message_set_body (message, parameters);
  g_dbus_message_set_unix_fd_list (message, handles);
  return g_dbus_connection_send_message (self->connection, message, G_DBUS_SEND_MESSAGE_FLAGS_NONE,
                                         NULL, error);
}

static void
forward (Import *self,
         CommyInvocation *invocation,
         const char *interface,
         const char *method,
         GVariant *parameters)
{
  GUnixFDList *handles = commy_invocation_get_unix_fd_list (invocation);
  g_autoptr (GError) error = NULL;
  Call *call;

  if (commy_invocation_is_one_way (invocation))
    {
      if (!send_one_way (self, interface, method, parameters, handles, &error))
        commy_cli_note ("%s: %s", method, error->message);
      commy_invocation_return_value (invocation, NULL);
      return;
    }
  call = g_new0 (Call, 1);
  call->import = self;
  call->invocation = invocation;
  call->size = g_variant_get_size (parameters);
  if (!commy_bridge_admit (&self->load, call->size))
    {
      commy_invocation_return_error (invocation, _ (COMMY_BRIDGE_BUSY));
      g_free (call);
      return;
    }
  g_dbus_connection_call_with_unix_fd_list (self->connection, self->name, self->path, interface,
                                            method, parameters, NULL, G_DBUS_CALL_FLAGS_NONE,
                                            get_timeout_ms (self, invocation), handles,
                                            self->calling, on_result, call);
}

static void
receive (Import *self,
         CommyService *service,
         CommyInvocation *invocation,
         const char *interface,
         const char *method)
{
  GVariant *parameters = commy_invocation_get_parameters (invocation);
  g_autoptr (GError) error = NULL;

  if (parameters == NULL)
    commy_invocation_return_error (invocation, "D-Bus takes values, not raw bytes");
  else if (service != self->service)
    commy_invocation_return_error (
        invocation, "org.freedesktop.DBus.Error.ServiceUnknown: it left the bus just now");
  else if (!commy_bridge_check_value (parameters, &error))
    commy_invocation_return_gerror (invocation, error);
  else
    forward (self, invocation, interface, method, parameters);
}

static void
on_call (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  Import *self = data;

  receive (self, service, invocation, self->interface != NULL ? self->interface->name : NULL,
           commy_invocation_get_method (invocation));
}

/* How properties are called, which the interface does not say. */
static const struct
{
  const char *name;
  const char *type;
} property_methods[] = {
  { COMMY_BRIDGE_PROPERTY_METHOD "Get", "(ss)" },
  { COMMY_BRIDGE_PROPERTY_METHOD "GetAll", "(s)" },
  { COMMY_BRIDGE_PROPERTY_METHOD "Set", "(ssv)" },
};

static const char *
get_property_type (const char *method)
{
  guint i = 0;

  while (strcmp (property_methods[i].name, method) != 0)
    i++;
  return property_methods[i].type;
}

/* Those of the object's other interfaces are not offered. */
static gboolean
check_property_call (const Import *self, const char *method, GVariant *parameters, GError **error)
{
  const char *type = get_property_type (method);
  const char *interface;

  if (parameters == NULL || self->interface == NULL)
    return TRUE; /* receive() refuses it */
  if (!g_variant_is_of_type (parameters, G_VARIANT_TYPE (type)))
    {
      commy_cli_set_error (error, COMMY_ERROR_TYPE, "%s takes %s, the call has %.64s", method, type,
                           g_variant_get_type_string (parameters));
      return FALSE;
    }
  g_variant_get_child (parameters, 0, "&s", &interface);
  if (strcmp (interface, self->interface->name) == 0)
    return TRUE;
  commy_cli_set_error (error, COMMY_ERROR_INVALID_ARGUMENT,
                       "the properties offered here are those of %s, not of \"%.64s\"",
                       self->interface->name, interface);
  return FALSE;
}

static void
on_property_call (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  Import *self = data;
  const char *method = commy_invocation_get_method (invocation);
  g_autoptr (GError) error = NULL;

  if (check_property_call (self, method, commy_invocation_get_parameters (invocation), &error))
    receive (self, service, invocation, COMMY_BRIDGE_PROPERTIES,
             method + strlen (COMMY_BRIDGE_PROPERTY_METHOD));
  else
    commy_invocation_return_gerror (invocation, error);
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
  Feed *feed = data;
  g_autoptr (GError) error = NULL;

  if (commy_publisher_publish (feed->publisher, parameters, &error))
    feed->complained = FALSE;
  else if (!feed->complained)
    {
      commy_cli_note ("%s: %s", commy_publisher_get_topic (feed->publisher), error->message);
      feed->complained = TRUE;
    }
}

static void
feed_free (gpointer data)
{
  Feed *feed = data;

  g_dbus_connection_signal_unsubscribe (feed->connection, feed->subscription);
  commy_publisher_close (feed->publisher);
  g_object_unref (feed->publisher);
  g_object_unref (feed->connection);
  g_free (feed);
}

static void
on_published (GObject *source, GAsyncResult *result, gpointer data)
{
  CommyPublisher *publisher = COMMY_PUBLISHER (source);
  g_autoptr (GError) error = NULL;

  if (!commy_publisher_start_finish (publisher, result, &error)
      && !g_error_matches (error, COMMY_ERROR, COMMY_ERROR_LEAVING))
    commy_cli_note ("%s: %s", commy_publisher_get_topic (publisher), error->message);
}

/* @arg0: only those with this first argument, or NULL */
static void
add_feed (
    Import *self, const char *interface, const char *signal, const char *arg0, const char *topic)
{
  Feed *feed = g_new0 (Feed, 1);

  feed->import = self;
  feed->connection = g_object_ref (self->connection);
  feed->publisher = commy_publisher_new (self->mesh, topic, NULL);
  feed->subscription = g_dbus_connection_signal_subscribe (
      self->connection, self->name, interface, signal, self->path, arg0, G_DBUS_SIGNAL_FLAGS_NONE,
      on_signal, feed, NULL);
  g_ptr_array_add (self->feeds, feed);
  commy_publisher_start (feed->publisher, NULL, on_published, NULL);
}

static gboolean
has_properties (const Import *self)
{
  return self->interface->properties != NULL && self->interface->properties[0] != NULL;
}

static void
add_feeds (Import *self)
{
  GDBusSignalInfo **signals = self->interface->signals;
  const char *service = get_service_name (self);
  g_autofree char *changed = g_strdup_printf ("%s.%s", service, COMMY_BRIDGE_CHANGED);

  for (guint i = 0; signals != NULL && signals[i] != NULL; i++)
    {
      g_autofree char *topic = commy_bridge_dup_topic (service, signals[i]);

      add_feed (self, self->interface->name, signals[i]->name, NULL, topic);
    }
  if (has_properties (self))
    add_feed (self, COMMY_BRIDGE_PROPERTIES, COMMY_BRIDGE_CHANGED, self->interface->name, changed);
}

/* --- offering --- */

static void
on_started (GObject *source, GAsyncResult *result, gpointer data)
{
  CommyService *service = COMMY_SERVICE (source);
  Import *self = data;
  GError *error = NULL;

  if (!commy_service_start_finish (service, result, &error))
    {
      if (self->service == service)
        fail (self, error);
      else
        g_error_free (error);
      return;
    }
  if (self->service != service)
    return;
  if (!self->announced)
    {
      commy_output_print ("importing %s %s %s as %s\n", self->name, self->path,
                          self->interface->name, get_service_name (self));
      fflush (stdout);
      commy_cli_note ("%s is offered in the mesh \"%s\"; interrupt to stop",
                      get_service_name (self), commy_mesh_get_name (self->mesh));
    }
  else
    commy_cli_note ("%s is back: it is offered again", self->name);
  self->announced = TRUE;
}

/* Takes @interface over. */
static void
offer (Import *self, GDBusInterfaceInfo *interface)
{
  self->interface = interface;
  self->service = commy_service_new (self->mesh, get_service_name (self), interface);
  for (guint i = 0; interface->methods != NULL && interface->methods[i] != NULL; i++)
    commy_service_handle (self->service, interface->methods[i]->name, on_call, self, NULL);
  for (guint i = 0; has_properties (self) && i < G_N_ELEMENTS (property_methods); i++)
    commy_service_handle (self->service, property_methods[i].name, on_property_call, self, NULL);
  add_feeds (self);
  commy_service_start (self->service, NULL, on_started, self);
}

static void
on_stopped (GObject *source, GAsyncResult *result, gpointer data)
{
  Import *self = data;

  commy_service_stop_finish (COMMY_SERVICE (source), result, NULL);
  self->stopping--;
}

static void
withdraw (Import *self)
{
  g_ptr_array_set_size (self->feeds, 0);
  if (self->service != NULL)
    {
      self->stopping++;
      commy_service_stop (self->service, NULL, on_stopped, self);
    }
  g_clear_object (&self->service);
  g_clear_pointer (&self->interface, g_dbus_interface_info_unref);
}

/* --- the bus --- */

static gboolean
is_cancelled (const GError *error)
{
  return g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

static void
on_introspected (GObject *source, GAsyncResult *result, gpointer data)
{
  GError *error = NULL;
  g_autoptr (GVariant) answer
      = g_dbus_connection_call_finish (G_DBUS_CONNECTION (source), result, &error);
  Import *self = data;
  GDBusInterfaceInfo *interface = NULL;
  const char *xml;

  if (is_cancelled (error))
    {
      g_error_free (error);
      return;
    }
  if (answer != NULL)
    {
      g_variant_get (answer, "(&s)", &xml);
      interface = commy_bridge_read_interface (xml, self->wanted, self->name, &error);
    }
  if (interface == NULL)
    {
      g_prefix_error (&error, "%s %s: ", self->name, self->path);
      fail (self, error);
    }
  else if (self->service == NULL)
    offer (self, interface);
  else
    g_dbus_interface_info_unref (interface);
}

static void
on_appeared (GDBusConnection *connection, const char *name, const char *owner, gpointer data)
{
  Import *self = data;

  if (self->service == NULL)
    g_dbus_connection_call (connection, name, self->path, "org.freedesktop.DBus.Introspectable",
                            "Introspect", NULL, G_VARIANT_TYPE ("(s)"), G_DBUS_CALL_FLAGS_NONE, -1,
                            self->asking, on_introspected, self);
}

static void
on_vanished (GDBusConnection *connection, const char *name, gpointer data)
{
  Import *self = data;
  GError *error = NULL;

  /* The bus starts them at the next call. */
  if (self->activatable && self->service != NULL)
    return;
  if (!self->announced)
    {
      commy_cli_set_error (&error, COMMY_ERROR_NO_SERVICE,
                           "nobody owns %s on the bus, and it does not know how to start them",
                           name);
      fail (self, error);
      return;
    }
  if (self->service != NULL)
    commy_cli_note ("%s is gone: it is not offered until it comes back", name);
  withdraw (self);
}

static void
on_activatable (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) answer
      = g_dbus_connection_call_finish (G_DBUS_CONNECTION (source), result, &error);
  Import *self = data;
  g_autofree const char **names = NULL;

  if (is_cancelled (error))
    return;
  if (answer != NULL)
    g_variant_get (answer, "(^a&s)", &names);
  self->activatable = names != NULL && g_strv_contains (names, self->name);
  self->watch = g_bus_watch_name_on_connection (self->connection, self->name,
                                                G_BUS_NAME_WATCHER_FLAGS_AUTO_START, on_appeared,
                                                on_vanished, self, NULL);
}

/* What was asked of the bus, and what comes from it. */
static void
leave_bus (Import *self)
{
  g_cancellable_cancel (self->asking);
  g_clear_object (&self->asking);
  if (self->watch != 0)
    g_bus_unwatch_name (self->watch);
  self->watch = 0;
  withdraw (self);
}

static void
on_link (GDBusConnection *connection, const GError *cause, gpointer data)
{
  Import *self = data;
  gboolean had = self->connection != NULL;
  GError *error = NULL;

  self->connection = connection;
  leave_bus (self);
  if (connection != NULL)
    {
      self->asking = g_cancellable_new ();
      g_dbus_connection_call (connection, BUS_NAME, BUS_PATH, BUS_NAME, "ListActivatableNames",
                              NULL, G_VARIANT_TYPE ("(as)"), G_DBUS_CALL_FLAGS_NONE, -1,
                              self->asking, on_activatable, self);
    }
  else if (!self->announced)
    {
      commy_cli_set_error (&error, COMMY_ERROR_UNREACHABLE, "the bus cannot be reached: %s",
                           cause != NULL ? cause->message : _ ("it closed the connection"));
      fail (self, error);
    }
  else if (had)
    commy_cli_note ("the bus is gone: %s is not offered until it comes back", self->name);
}

/* --- all --- */

/* Calls that are under way hold on to the bridge: their callers are told, and that is waited for.
 */
static void
finish_calls (Import *self)
{
  g_cancellable_cancel (self->calling);
  while (self->load.calls > 0 || self->stopping > 0)
    g_main_context_iteration (NULL, TRUE);
}

static CommyExit
run (CommyCli *cli, Import *self)
{
  g_autoptr (CommyBridgeLink) link = NULL;
  g_autoptr (GError) error = NULL;
  gboolean done;

  self->mesh = commy_cli_join (cli, &error);
  if (self->mesh != NULL)
    link = commy_bridge_link_new (self->bus, on_link, self, &error);
  if (link == NULL)
    return commy_cli_fail (error);
  done = commy_bridge_run (&self->run);
  leave_bus (self);
  finish_calls (self);
  return done ? COMMY_EXIT_DONE : commy_cli_fail (self->run.error);
}

static void
import_clear (Import *self)
{
  g_clear_pointer (&self->feeds, g_ptr_array_unref);
  if (self->mesh != NULL)
    commy_mesh_leave_sync (self->mesh, NULL, NULL);
  g_clear_object (&self->mesh);
  g_clear_object (&self->calling);
  g_clear_pointer (&self->run.loop, g_main_loop_unref);
  g_clear_error (&self->run.error);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Import, import_clear)

CommyExit
commy_bridge_import (CommyCli *cli, const CommyBridgeWishes *wishes)
{
  g_autofree char *path = commy_bridge_dup_path (wishes->subject);
  g_auto (Import) self = { .name = wishes->subject,
                           .path = wishes->path != NULL ? wishes->path : path,
                           .wanted = wishes->interface,
                           .as = wishes->as,
                           .bus = wishes->bus,
                           .timeout_us = wishes->timeout_us };

  self.calling = g_cancellable_new ();
  self.run.loop = g_main_loop_new (NULL, FALSE);
  self.feeds = g_ptr_array_new_with_free_func (feed_free);
  return run (cli, &self);
}
