/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A connection to a message bus that is made again when it is lost; and the loop of a bridge.
 */
#include "config.h"

#include "cli/commy-bridge.h"

#include <gio/gio.h>
#include <glib-unix.h>
#include <signal.h>
#include <string.h>

#define RETRY_MS 500

struct _CommyBridgeLink
{
  char *which;
  CommyBridgeLinkFunc func;
  gpointer data;
  GCancellable *cancellable;
  GDBusConnection *connection;
  gulong closed;
  guint timer;
};

static void connect_to (CommyBridgeLink *self);

static gboolean
on_retry (gpointer data)
{
  CommyBridgeLink *self = data;

  self->timer = 0;
  connect_to (self);
  return G_SOURCE_REMOVE;
}

static void
lose (CommyBridgeLink *self, const GError *error)
{
  if (self->connection != NULL)
    g_signal_handler_disconnect (self->connection, self->closed);
  g_clear_object (&self->connection);
  self->timer = g_timeout_add (RETRY_MS, on_retry, self);
  self->func (NULL, error, self->data);
}

static void
on_closed (GDBusConnection *connection, gboolean vanished, GError *error, gpointer data)
{
  lose (data, error);
}

static void
on_connected (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GError) error = NULL;
  GDBusConnection *connection = g_dbus_connection_new_for_address_finish (result, &error);
  CommyBridgeLink *self = data;

  /* Then there is no link any more. */
  if (g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    return;
  if (connection == NULL)
    {
      lose (self, error);
      return;
    }
  self->connection = connection;
  self->closed = g_signal_connect (connection, "closed", G_CALLBACK (on_closed), self);
  self->func (connection, NULL, self->data);
}

static char *
dup_address (const char *which, GError **error)
{
  if (strcmp (which, "session") == 0)
    return g_dbus_address_get_for_bus_sync (G_BUS_TYPE_SESSION, NULL, error);
  if (strcmp (which, "system") == 0)
    return g_dbus_address_get_for_bus_sync (G_BUS_TYPE_SYSTEM, NULL, error);
  return g_strdup (which);
}

/* The address is looked up each time: a bus that is started again may have another. */
static void
connect_to (CommyBridgeLink *self)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *address = dup_address (self->which, &error);

  if (address == NULL)
    lose (self, error);
  else
    g_dbus_connection_new_for_address (address,
                                       G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT
                                           | G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION,
                                       NULL, self->cancellable, on_connected, self);
}

CommyBridgeLink *
commy_bridge_link_new (const char *which, CommyBridgeLinkFunc func, gpointer data, GError **error)
{
  g_autofree char *address = dup_address (which, error);
  CommyBridgeLink *self;

  if (address == NULL || !g_dbus_is_supported_address (address, error))
    {
      g_prefix_error (error, "--bus %s: ", which);
      return NULL;
    }
  self = g_new0 (CommyBridgeLink, 1);
  self->which = g_strdup (which);
  self->func = func;
  self->data = data;
  self->cancellable = g_cancellable_new ();
  connect_to (self);
  return self;
}

void
commy_bridge_link_free (CommyBridgeLink *self)
{
  if (self == NULL)
    return;
  g_cancellable_cancel (self->cancellable);
  g_object_unref (self->cancellable);
  g_clear_handle_id (&self->timer, g_source_remove);
  if (self->connection != NULL)
    {
      g_signal_handler_disconnect (self->connection, self->closed);
      /* What was answered last still leaves. */
      g_dbus_connection_flush_sync (self->connection, NULL, NULL);
      g_dbus_connection_close_sync (self->connection, NULL, NULL);
      g_object_unref (self->connection);
    }
  g_free (self->which);
  g_free (self);
}

/* --- running --- */

void
commy_bridge_give_up (CommyBridgeRun *run, GError *error)
{
  if (run->error == NULL)
    run->error = error;
  else
    g_error_free (error);
  g_main_loop_quit (run->loop);
}

static gboolean
on_interrupt (gpointer loop)
{
  g_main_loop_quit (loop);
  return G_SOURCE_CONTINUE;
}

gboolean
commy_bridge_run (CommyBridgeRun *run)
{
  guint interrupt, terminate;

  if (run->error != NULL)
    return FALSE;
  interrupt = g_unix_signal_add (SIGINT, on_interrupt, run->loop);
  terminate = g_unix_signal_add (SIGTERM, on_interrupt, run->loop);
  g_main_loop_run (run->loop);
  g_source_remove (interrupt);
  g_source_remove (terminate);
  return run->error == NULL;
}
