/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A hook outside of Commy's tree: it counts what passes the transport that it is put on, and tells
 * the log at the end of each connection. Slots that are not written here are handed on as they are.
 * Written against the installed headers only; read it from the bottom up.
 */
#include <commy/commy-hook.h>
#include <commy/commy-plugin.h>

typedef struct
{
  CommyHook hook;
  const char *wrapped; /* id of the transport below */
} Instance;

typedef struct
{
  CommyHookConnection base;
  guint64 n_sent, n_received;
} Connection;

static CommyIo
abi_1_hook_commit (gpointer connection, gsize used)
{
  CommyIo io = commy_hook_commit (connection, used);

  /* 0 gives a reservation back; nothing was sent. */
  ((Connection *) connection)->n_sent += used > 0 && io == COMMY_IO_OK;
  return io;
}

static CommyIo
abi_1_hook_sendv (gpointer connection, const GOutputVector *parts, gsize n_parts)
{
  CommyIo io = commy_hook_sendv (connection, parts, n_parts);

  ((Connection *) connection)->n_sent += io == COMMY_IO_OK;
  return io;
}

static CommyIo
abi_1_hook_peek (gpointer connection, CommyMessage *out_message)
{
  CommyIo io = commy_hook_peek (connection, out_message);

  ((Connection *) connection)->n_received += io == COMMY_IO_OK;
  return io;
}

static void
abi_1_hook_closed (gpointer connection)
{
  const Connection *self = connection;
  const Instance *instance = (const Instance *) self->base.hook;
  CommyHost *host = instance->hook.host;
  g_autofree char *line
      = g_strdup_printf ("%s: sent %" G_GUINT64_FORMAT " messages, received %" G_GUINT64_FORMAT,
                         instance->wrapped, self->n_sent, self->n_received);

  host->log (host, G_LOG_LEVEL_INFO, line);
}

COMMY_HOOK_OPS (
    abi_1_hook_ops, Connection, .commit = abi_1_hook_commit, .sendv = abi_1_hook_sendv, .peek = abi_1_hook_peek);

/* --- the plugin --- */

static gboolean
abi_1_hook_init (gpointer instance, CommyHost *host, GError **error)
{
  Instance *self = instance;

  commy_hook_init (&self->hook, host, &abi_1_hook_ops, NULL, abi_1_hook_closed);
  self->wrapped = host->info (host, COMMY_HOST_WRAPPED);
  return TRUE;
}

static void
abi_1_hook_fini (gpointer instance)
{
}

COMMY_PLUGIN_NOTE (TRANSPORT,
                   "abi-1-hook",
                   "1.0",
                   "LGPL-2.1-or-later",
                   "Hook: counts what passes a transport",
                   "",
                   COMMY_PLUGIN_FLAG_HOOK | COMMY_PLUGIN_FLAG_EXPERIMENTAL,
                   .provenance = COMMY_PROVENANCE_GUESS,
                   .security = COMMY_SECURITY_NONE,
                   .reach = COMMY_REACH_SELF | COMMY_REACH_HOST | COMMY_REACH_NETWORK,
                   .delivery = COMMY_DELIVERY_RELIABLE,
                   .ordering = COMMY_ORDERING_CONNECTION,
                   .size_factor = 1,
                   .n_segments = 1,
                   .segments = { { .max_bytes = G_MAXUINT64 } });

COMMY_PLUGIN_DEFINE (Instance, abi_1_hook_init, NULL, abi_1_hook_fini, NULL, 0, &abi_1_hook_ops);
