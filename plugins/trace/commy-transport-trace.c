/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The hook `trace`: a line in the log for what passes a transport, and sums at the end of each
 * connection. It changes nothing. Contents are shown only on demand: they may be secrets.
 */
#include "config.h"

#include <commy/commy-hook.h>
#include <commy/commy-plugin.h>

#include <string.h>

#define BYTES_MAX 256

/* What is told, each with all before it. */
typedef enum
{
  TRACE_CONNECTIONS,
  TRACE_MESSAGES,
  TRACE_ALL,
} TraceWhat;

typedef struct
{
  CommyHook hook;
  const char *wrapped;
  TraceWhat what;
  guint level;
  gsize bytes;
  guint last_id; /* mesh thread */
} Instance;

typedef struct
{
  CommyHookConnection base;
  guint id;
  guint8 *span; /* of the reservation, to show what is committed */
  guint64 n_sent, sent_bytes, n_received, received_bytes, n_handles, n_blocked, n_arms, n_waits;
  gboolean told_end;
} Connection;

static Instance *
instance_of (gconstpointer connection)
{
  return (Instance *) ((const CommyHookConnection *) connection)->hook;
}

static void tell (const Connection *self, TraceWhat what, const char *format, ...)
    G_GNUC_PRINTF (3, 4);

static void
tell (const Connection *self, TraceWhat what, const char *format, ...)
{
  Instance *instance = instance_of (self);
  CommyHost *host = instance->hook.host;
  g_autofree char *text = NULL;
  g_autofree char *line = NULL;
  va_list arguments;

  if (what > instance->what)
    return;
  va_start (arguments, format);
  text = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  line = g_strdup_printf ("%s #%u: %s", instance->wrapped, self->id, text);
  host->log (host, instance->level, line);
}

static const char *
io_name (CommyIo io)
{
  static const char *const names[]
      = { "ok", "would block", "closed", "too big", "timeout", "kicked", "unsupported" };

  return (guint) io < G_N_ELEMENTS (names) ? names[io] : "?";
}

/* The beginning of a message in hex, as much as may be shown. */
static void
tell_message (const Connection *self, const char *verb, const guint8 *data, gsize size)
{
  const Instance *instance = instance_of (self);
  gsize shown = MIN (size, instance->bytes);
  char hex[2 * BYTES_MAX + 1] = "";

  if (instance->what < TRACE_MESSAGES)
    return;
  for (gsize i = 0; i < shown; i++)
    g_snprintf (hex + 2 * i, 3, "%02x", data[i]);
  tell (self, TRACE_MESSAGES, "%s %" G_GSIZE_FORMAT " bytes%s%s%s", verb, size,
        shown > 0 ? ": " : "", hex, shown > 0 && shown < size ? "..." : "");
}

/* --- set-up and end --- */

static gboolean
trace_opened (gpointer connection, GError **error)
{
  Connection *self = connection;
  CommyEvidence evidence = { .struct_size = sizeof evidence, .pidfd = -1 };

  self->id = ++instance_of (self)->last_id;
  commy_hook_evidence (self, &evidence);
  if (evidence.kind == COMMY_EVIDENCE_X509)
    tell (self, TRACE_CONNECTIONS, "open to a peer with %" G_GSIZE_FORMAT " certificates",
          evidence.n_chain);
  else
    tell (self, TRACE_CONNECTIONS, "open to process %d of user %u", evidence.pid, evidence.uid);
  return TRUE;
}

static void
trace_closed (gpointer connection)
{
  const Connection *self = connection;
  const char *why = commy_hook_why (connection);

  tell (self, TRACE_CONNECTIONS,
        "closed (%s); sent %" G_GUINT64_FORMAT " messages, %" G_GUINT64_FORMAT
        " bytes, %" G_GUINT64_FORMAT " times without room; received %" G_GUINT64_FORMAT
        " messages, %" G_GUINT64_FORMAT " bytes; %" G_GUINT64_FORMAT
        " descriptors; armed %" G_GUINT64_FORMAT " and waited %" G_GUINT64_FORMAT " times",
        why != NULL ? why : "by this side", self->n_sent, self->sent_bytes, self->n_blocked,
        self->n_received, self->received_bytes, self->n_handles, self->n_arms, self->n_waits);
}

/* --- messages --- */

static CommyIo
trace_reserve (gpointer connection, gsize size, CommySpan *out_span)
{
  Connection *self = connection;
  CommyIo io = commy_hook_reserve (connection, size, out_span);

  self->span = io == COMMY_IO_OK ? out_span->data : NULL;
  self->n_blocked += io == COMMY_IO_WOULD_BLOCK;
  tell (self, TRACE_ALL, "reserve %" G_GSIZE_FORMAT ": %s", size, io_name (io));
  return io;
}

static CommyIo
trace_commit (gpointer connection, gsize used)
{
  Connection *self = connection;
  CommyIo io;

  /* Before: afterwards the bytes are the receiver's. */
  if (used > 0 && self->span != NULL)
    tell_message (self, "sends", self->span, used);
  io = commy_hook_commit (connection, used);
  self->span = NULL;
  if (used > 0 && io == COMMY_IO_OK)
    {
      self->n_sent++;
      self->sent_bytes += used;
    }
  tell (self, TRACE_ALL, "commit %" G_GSIZE_FORMAT ": %s", used, io_name (io));
  return io;
}

static CommyIo
trace_sendv (gpointer connection, const GOutputVector *parts, gsize n_parts)
{
  Connection *self = connection;
  CommyIo io = commy_hook_sendv (connection, parts, n_parts);
  gsize size = 0;

  for (gsize i = 0; i < n_parts; i++)
    size += parts[i].size;
  if (io == COMMY_IO_OK)
    {
      self->n_sent++;
      self->sent_bytes += size;
    }
  self->n_blocked += io == COMMY_IO_WOULD_BLOCK;
  tell (self, TRACE_MESSAGES, "sends %" G_GSIZE_FORMAT " bytes in %" G_GSIZE_FORMAT " parts: %s",
        size, n_parts, io_name (io));
  return io;
}

static CommyIo
trace_flush (gpointer connection)
{
  CommyIo io = commy_hook_flush (connection);

  tell (connection, TRACE_ALL, "flush: %s", io_name (io));
  return io;
}

static CommyIo
trace_peek (gpointer connection, CommyMessage *out_message)
{
  Connection *self = connection;
  CommyIo io = commy_hook_peek (connection, out_message);

  if (io == COMMY_IO_OK)
    {
      self->n_received++;
      self->received_bytes += out_message->size;
      tell_message (self, "receives", out_message->data, out_message->size);
    }
  else if (io == COMMY_IO_CLOSED && !self->told_end)
    {
      const char *why = commy_hook_why (connection);

      self->told_end = TRUE;
      tell (self, TRACE_CONNECTIONS, "ended: %s", why != NULL ? why : "no reason given");
    }
  return io;
}

static void
trace_release (gpointer connection, const CommyMessage *message)
{
  tell (connection, TRACE_ALL, "release %" G_GSIZE_FORMAT " bytes", message->size);
  commy_hook_release (connection, message);
}

static CommyIo
trace_attach (gpointer connection, const int *fds, gsize n_fds)
{
  CommyIo io = commy_hook_attach (connection, fds, n_fds);

  tell (connection, TRACE_MESSAGES, "attaches %" G_GSIZE_FORMAT " descriptors: %s", n_fds,
        io_name (io));
  return io;
}

static gsize
trace_take_fds (gpointer connection, const CommyMessage *message, int *out_fds, gsize max)
{
  Connection *self = connection;
  gsize n = commy_hook_take_fds (connection, message, out_fds, max);

  self->n_handles += n;
  if (n > 0)
    tell (self, TRACE_MESSAGES, "takes %" G_GSIZE_FORMAT " descriptors", n);
  return n;
}

/* --- sleeping --- */

static guint
trace_arm (gpointer connection, guint interest, guint *out_events)
{
  Connection *self = connection;
  guint met = commy_hook_arm (connection, interest, out_events);

  self->n_arms++;
  tell (self, TRACE_ALL, "arm %u: met %u", interest, met);
  return met;
}

static CommyIo
trace_wait (gpointer connection, const guint32 *kick_word, guint32 kick_seen, gint64 deadline_ns)
{
  Connection *self = connection;
  CommyIo io = commy_hook_wait (connection, kick_word, kick_seen, deadline_ns);

  self->n_waits++;
  tell (self, TRACE_ALL, "wait: %s", io_name (io));
  return io;
}

COMMY_HOOK_OPS (trace_ops,
                Connection,
                .reserve = trace_reserve,
                .commit = trace_commit,
                .sendv = trace_sendv,
                .flush = trace_flush,
                .peek = trace_peek,
                .release = trace_release,
                .arm = trace_arm,
                .wait = trace_wait,
                .attach = trace_attach,
                .take_fds = trace_take_fds);

/* --- the plugin --- */

static const CommyParamSpec trace_params[] = {
  { .struct_size = sizeof (CommyParamSpec),
    .type = COMMY_PARAM_CHOICE,
    .name = "what",
    .default_value = "messages",
    .choices = "connections;messages;all",
    .help = "What is told: connections that open and end, their messages too, or every operation" },
  { .struct_size = sizeof (CommyParamSpec),
    .type = COMMY_PARAM_CHOICE,
    .name = "level",
    .default_value = "debug",
    .choices = "debug;info;message",
    .help = "The level of its lines in the log" },
  { .struct_size = sizeof (CommyParamSpec),
    .type = COMMY_PARAM_SIZE,
    .name = "bytes",
    .default_value = "0",
    .minimum = 0,
    .maximum = BYTES_MAX,
    .help = "How much of each message is shown, in hex; contents may be secrets" },
};

static gboolean
trace_init (gpointer instance, CommyHost *host, GError **error)
{
  Instance *self = instance;
  const char *what = host->param (host, "what");
  const char *level = host->param (host, "level");

  commy_hook_init (&self->hook, host, &trace_ops, trace_opened, trace_closed);
  self->wrapped = host->info (host, COMMY_HOST_WRAPPED);
  self->what = strcmp (what, "all") == 0        ? TRACE_ALL
               : strcmp (what, "messages") == 0 ? TRACE_MESSAGES
                                                : TRACE_CONNECTIONS;
  self->level = strcmp (level, "debug") == 0  ? G_LOG_LEVEL_DEBUG
                : strcmp (level, "info") == 0 ? G_LOG_LEVEL_INFO
                                              : G_LOG_LEVEL_MESSAGE;
  self->bytes = (gsize) g_ascii_strtoull (host->param (host, "bytes"), NULL, 10);
  return TRUE;
}

static void
trace_fini (gpointer instance)
{
}

COMMY_PLUGIN_NOTE (TRANSPORT,
                   "trace",
                   PACKAGE_VERSION,
                   "LGPL-2.1-or-later",
                   "Hook: tells the log what passes a transport",
                   "",
                   COMMY_PLUGIN_FLAG_HOOK,
                   .n_segments = 1,
                   .provenance = COMMY_PROVENANCE_GUESS,
                   .security = COMMY_SECURITY_NONE,
                   .reach = COMMY_REACH_SELF | COMMY_REACH_HOST | COMMY_REACH_NETWORK,
                   .delivery = COMMY_DELIVERY_RELIABLE,
                   .ordering = COMMY_ORDERING_CONNECTION,
                   .size_factor = 1,
                   .segments = { { .max_bytes = G_MAXUINT64 } });

COMMY_PLUGIN_DEFINE (
    Instance, trace_init, NULL, trace_fini, trace_params, G_N_ELEMENTS (trace_params), &trace_ops);
