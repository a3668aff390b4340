/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * GDBus from peer to peer, without a message bus, over a Unix socket: round trips are synchronous
 * method calls, or many asynchronous ones from a main loop, streams calls that expect no answer.
 * The payload is an "ay" made of the bytes themselves. A connection queues without limit, so the
 * producer flushes it every 4 MiB or 512 messages. GDBus reads and writes in a thread of its own.
 */
#include "peer.h"

#include <gio/gio.h>
#include <string.h>

#define PATH "/org/example/Peer"
#define INTERFACE "org.example.Peer"
#define FOR_EVER G_MAXINT

static const char *const description
    = "<node><interface name='" INTERFACE "'>"
      "<method name='Echo'>"
      "<arg type='ay' direction='in'/><arg type='ay' direction='out'/>"
      "</method>"
      "<method name='Take'><arg type='ay' direction='in'/></method>"
      "</interface></node>";

typedef struct
{
  PeerRun *run;
  GDBusServer *server;
  GDBusConnection *connection;
  GDBusNodeInfo *node;
  guint8 *constant; /* what is sent untouched */
  guint64 came;
  guint under_way;
  guint unflushed;
} End;

static const char *
version (void)
{
  static char text[32];
  g_snprintf (text, sizeof text, "%u.%u.%u", glib_major_version, glib_minor_version,
              glib_micro_version);
  return text;
}

static GVariant *
payload_of (End *end)
{
  if (!end->run->touch)
    return g_variant_new_from_data (G_VARIANT_TYPE_BYTESTRING, end->constant, end->run->size, TRUE,
                                    NULL, NULL);
  guint8 *bytes = g_malloc (end->run->size);
  peer_fill (end->run, bytes);
  return g_variant_new_from_data (G_VARIANT_TYPE_BYTESTRING, bytes, end->run->size, TRUE, g_free,
                                  bytes);
}

static void
check_payload (End *end, GVariant *arguments)
{
  g_autoptr (GVariant) payload = g_variant_get_child_value (arguments, 0);
  peer_check (end->run, g_variant_get_data (payload), g_variant_get_size (payload));
}

/* --- the server --- */

static void
on_call (GDBusConnection *connection,
         const char *sender,
         const char *path,
         const char *interface,
         const char *method,
         GVariant *arguments,
         GDBusMethodInvocation *invocation,
         gpointer data)
{
  (void) connection;
  (void) sender;
  (void) path;
  (void) interface;
  End *end = data;
  check_payload (end, arguments);
  end->came++;
  if (strcmp (method, "Take") == 0)
    g_dbus_method_invocation_return_value (invocation, NULL);
  else if (end->run->touch)
    g_dbus_method_invocation_return_value (invocation, g_variant_new ("(@ay)", payload_of (end)));
  else
    g_dbus_method_invocation_return_value (invocation, arguments);
}

static gboolean
on_connection (GDBusServer *server, GDBusConnection *connection, gpointer data)
{
  static const GDBusInterfaceVTable methods = { .method_call = on_call };
  (void) server;
  End *end = data;
  g_autoptr (GError) error = NULL;
  end->connection = g_object_ref (connection);
  if (!g_dbus_connection_register_object (connection, PATH, end->node->interfaces[0], &methods, end,
                                          NULL, &error))
    peer_fail ("%s", error->message);
  return TRUE;
}

static void *
serve (PeerRun *run)
{
  End *end = g_new0 (End, 1);
  g_autoptr (GError) error = NULL;
  g_autofree char *address = g_strdup_printf ("unix:path=%s/socket", run->dir);
  g_autofree char *guid = g_dbus_generate_guid ();
  end->run = run;
  end->node = g_dbus_node_info_new_for_xml (description, NULL);
  end->server
      = g_dbus_server_new_sync (address, G_DBUS_SERVER_FLAGS_NONE, guid, NULL, NULL, &error);
  if (!end->server)
    peer_fail ("%s", error->message);
  g_signal_connect (end->server, "new-connection", G_CALLBACK (on_connection), end);
  g_dbus_server_start (end->server);
  g_strlcpy (run->address, g_dbus_server_get_client_address (end->server), PEER_ADDRESS_SIZE);
  return end;
}

static void
echo (void *data)
{
  (void) data;
  g_main_context_iteration (NULL, TRUE);
}

static uint64_t
consume (void *data)
{
  End *end = data;
  guint64 before = end->came;
  while (end->came == before)
    g_main_context_iteration (NULL, TRUE);
  return end->came - before;
}

/* --- the client --- */

static void *
connect_to (PeerRun *run)
{
  End *end = g_new0 (End, 1);
  g_autoptr (GError) error = NULL;
  end->run = run;
  end->constant = g_malloc0 (run->size);
  end->connection = g_dbus_connection_new_for_address_sync (
      run->address, G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT, NULL, NULL, &error);
  if (!end->connection)
    peer_fail ("%s", error->message);
  return end;
}

static void
exchange (void *data)
{
  End *end = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) answer = g_dbus_connection_call_sync (
      end->connection, NULL, PATH, INTERFACE, "Echo", g_variant_new ("(@ay)", payload_of (end)),
      G_VARIANT_TYPE ("(ay)"), G_DBUS_CALL_FLAGS_NONE, FOR_EVER, NULL, &error);
  if (!answer)
    peer_fail ("%s", error->message);
  check_payload (end, answer);
}

static void
produce (void *data)
{
  End *end = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GDBusMessage) call = g_dbus_message_new_method_call (NULL, PATH, INTERFACE, "Take");
  g_dbus_message_set_flags (call, G_DBUS_MESSAGE_FLAGS_NO_REPLY_EXPECTED);
  g_dbus_message_set_body (call, g_variant_new ("(@ay)", payload_of (end)));
  gboolean ok = g_dbus_connection_send_message (end->connection, call,
                                                G_DBUS_SEND_MESSAGE_FLAGS_NONE, NULL, &error);
  if (ok && ++end->unflushed >= peer_depth (end->run, 4 << 20, 512))
    {
      end->unflushed = 0;
      ok = g_dbus_connection_flush_sync (end->connection, NULL, &error);
    }
  if (!ok)
    peer_fail ("%s", error->message);
}

static void
on_answer (GObject *connection, GAsyncResult *result, gpointer data)
{
  End *end = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) answer
      = g_dbus_connection_call_finish (G_DBUS_CONNECTION (connection), result, &error);
  if (!answer)
    peer_fail ("%s", error->message);
  check_payload (end, answer);
  end->under_way--;
  end->came++;
}

static uint64_t
pipeline (void *data)
{
  End *end = data;
  guint64 before = end->came;
  for (; end->under_way < PEER_UNDER_WAY; end->under_way++)
    g_dbus_connection_call (end->connection, NULL, PATH, INTERFACE, "Echo",
                            g_variant_new ("(@ay)", payload_of (end)), G_VARIANT_TYPE ("(ay)"),
                            G_DBUS_CALL_FLAGS_NONE, FOR_EVER, NULL, on_answer, end);
  while (end->came == before)
    g_main_context_iteration (NULL, TRUE);
  return end->came - before;
}

int
main (int argc, char **argv)
{
  static const Peer peer = { .name = "gdbus",
                             .version = version,
                             .transports = "unix",
                             .waits = "block",
                             .serve = serve,
                             .connect = connect_to,
                             .exchange = exchange,
                             .echo = echo,
                             .produce = produce,
                             .consume = consume,
                             .pipeline = pipeline };
  return peer_main (&peer, argc, argv);
}
