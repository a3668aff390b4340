/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * For hooks: transports that wrap another transport through the same vtable, to look at what
 * passes or to change it. A hook's author writes the slots he changes; all others are here and
 * hand on. Everything is compiled into the plugin: this header is no part of the ABI.
 */
#pragma once

#include <commy/commy-transport.h>

G_BEGIN_DECLS

/*
 * An operator puts hooks on a transport with `hooks=trace;delay` in its group of the keyfile,
 * outermost first. The core makes one instance of the hook for each transport it wraps and hands
 * it operations and instance of what is below (#CommyHost.next). The memory of a connection holds
 * the hook's own part first and, from the next multiple of 64 on, the wrapped connection; it is
 * the same with listeners. Optional slots below may answer %COMMY_IO_UNSUPPORTED, but are there.
 *
 *     typedef struct { CommyHook hook; ... } Instance;
 *     typedef struct { CommyHookConnection base; guint n; } Connection;
 *
 *     static CommyIo
 *     count_commit (gpointer connection, gsize used)
 *     {
 *       ((Connection *) connection)->n++;
 *       return commy_hook_commit (connection, used);
 *     }
 *
 *     COMMY_HOOK_OPS (count_ops, Connection, .commit = count_commit);
 *
 * with commy_hook_init() in the plugin's `init` and %COMMY_PLUGIN_FLAG_HOOK in its note.
 */

/**
 * COMMY_HOOK_ROUND:
 *
 * Where the wrapped part of a connection or listener begins behind the hook's own.
 */
#define COMMY_HOOK_ROUND(size) (((size) + 63) & ~(gsize) 63)

/**
 * CommyHookOpenedFunc:
 * @connection: the hook's connection; the one it wraps is open
 * @error: return location
 *
 * A connection opened, from either side: the hook takes what it needs for it. Mesh thread.
 *
 * Returns: %FALSE lets the set-up fail with @error; what was taken is given back then
 */
typedef gboolean (*CommyHookOpenedFunc) (gpointer connection, GError **error);

/**
 * CommyHookClosedFunc:
 * @connection: the hook's connection
 *
 * An open connection is being closed, the wrapped one not yet: the hook gives back what it took.
 */
typedef void (*CommyHookClosedFunc) (gpointer connection);

/**
 * CommyHook:
 * @host: the hook's own way back
 * @next: operations of what is wrapped
 * @next_instance: and its instance
 * @connection_size: where the wrapped part of a connection begins
 * @listener_size: where the wrapped part of a listener begins
 * @opened: (nullable): see #CommyHookOpenedFunc
 * @closed: (nullable): see #CommyHookClosedFunc
 *
 * The first member of a hook's instance. Filled by commy_hook_init().
 */
typedef struct
{
  CommyHost *host;
  const CommyTransportOps *next;
  gpointer next_instance;
  gsize connection_size;
  gsize listener_size;
  CommyHookOpenedFunc opened;
  CommyHookClosedFunc closed;
} CommyHook;

/**
 * CommyHookConnection:
 * @hook: the instance
 * @next: operations of what is wrapped
 * @wrapped: the connection that is wrapped
 * @done: of the connector
 * @user_data: for @done
 * @is_open: set-up came to a good end
 *
 * The first member of a hook's connections.
 */
typedef struct
{
  CommyHook *hook;
  const CommyTransportOps *next;
  gpointer wrapped;
  CommyConnectedFunc done;
  gpointer user_data;
  gboolean is_open;
} CommyHookConnection;

/**
 * CommyHookListener:
 * @hook: the instance
 * @wrapped: the listener that is wrapped
 * @outer: the core's, or the next hook's, side
 * @inner: what the wrapped listener is given instead
 *
 * A hook's listener.
 */
typedef struct
{
  CommyHook *hook;
  gpointer wrapped;
  const CommyAcceptor *outer;
  CommyAcceptor inner;
} CommyHookListener;

/* First thing in a hook's `init`: @hook is the first member of the instance, @host as `init` got
 * it, @ops the hook's own operations; @opened and @closed may be NULL. */
static inline void
commy_hook_init (CommyHook *hook,
                 CommyHost *host,
                 const CommyTransportOps *ops,
                 CommyHookOpenedFunc opened,
                 CommyHookClosedFunc closed)
{
  hook->host = host;
  hook->next = (const CommyTransportOps *) host->next;
  hook->next_instance = host->next_instance;
  hook->connection_size = COMMY_HOOK_ROUND (ops->connection_size);
  hook->listener_size = COMMY_HOOK_ROUND (ops->listener_size);
  hook->opened = opened;
  hook->closed = closed;
}

/* --- set-up --- */

static inline void
commy_hook_begin (CommyHook *hook, gpointer connection)
{
  CommyHookConnection *self = (CommyHookConnection *) connection;

  self->hook = hook;
  self->next = hook->next;
  self->wrapped = (char *) connection + hook->connection_size;
}

/* Whether the hook agrees that @self is open; else the wrapped connection is closed. */
static inline gboolean
commy_hook_agree (CommyHookConnection *self, GError **error)
{
  if (self->hook->opened != NULL && !self->hook->opened (self, error))
    {
      self->next->close (self->wrapped);
      return FALSE;
    }
  self->is_open = TRUE;
  return TRUE;
}

static inline gpointer
commy_hook_alloc (gpointer user_data)
{
  CommyHookListener *self = (CommyHookListener *) user_data;
  gpointer connection = self->outer->alloc (self->outer->user_data);

  if (connection == NULL)
    return NULL;
  commy_hook_begin (self->hook, connection);
  return ((CommyHookConnection *) connection)->wrapped;
}

static inline void
commy_hook_accepted (gpointer user_data, gpointer wrapped, const GError *error)
{
  CommyHookListener *self = (CommyHookListener *) user_data;
  gpointer connection = (char *) wrapped - self->hook->connection_size;
  GError *own = NULL;

  if (error == NULL && !commy_hook_agree ((CommyHookConnection *) connection, &own))
    error = own;
  self->outer->opened (self->outer->user_data, connection, error);
  g_clear_error (&own);
}

static inline gboolean
commy_hook_listen (gpointer instance,
                   gpointer listener,
                   const CommyAcceptor *acceptor,
                   GError **error)
{
  CommyHook *hook = (CommyHook *) instance;
  CommyHookListener *self = (CommyHookListener *) listener;

  self->hook = hook;
  self->wrapped = (char *) listener + hook->listener_size;
  self->outer = acceptor;
  self->inner.struct_size = sizeof self->inner;
  self->inner.alloc = commy_hook_alloc;
  self->inner.opened = commy_hook_accepted;
  self->inner.user_data = self;
  return hook->next->listen (hook->next_instance, self->wrapped, &self->inner, error);
}

static inline const char *
commy_hook_address (gpointer instance, gpointer listener)
{
  CommyHook *hook = (CommyHook *) instance;

  return hook->next->address (hook->next_instance, ((CommyHookListener *) listener)->wrapped);
}

static inline void
commy_hook_unlisten (gpointer instance, gpointer listener)
{
  CommyHook *hook = (CommyHook *) instance;

  hook->next->unlisten (hook->next_instance, ((CommyHookListener *) listener)->wrapped);
}

static inline void
commy_hook_connected (gpointer user_data, gpointer wrapped, const GError *error)
{
  CommyHookConnection *self = (CommyHookConnection *) user_data;
  GError *own = NULL;

  (void) wrapped; /* it lies where it was put */
  if (error == NULL && !commy_hook_agree (self, &own))
    error = own;
  self->done (self->user_data, self, error);
  g_clear_error (&own);
}

static inline void
commy_hook_connect (gpointer instance,
                    gpointer connection,
                    const CommyEndpoint *endpoint,
                    CommyConnectedFunc done,
                    gpointer user_data)
{
  CommyHook *hook = (CommyHook *) instance;
  CommyHookConnection *self = (CommyHookConnection *) connection;

  commy_hook_begin (hook, connection);
  self->done = done;
  self->user_data = user_data;
  hook->next->connect (hook->next_instance, self->wrapped, endpoint, commy_hook_connected, self);
}

static inline gboolean
commy_hook_reachable (gpointer instance,
                      const CommyEndpoint *endpoint,
                      char *reason,
                      gsize reason_size)
{
  CommyHook *hook = (CommyHook *) instance;

  return hook->next->reachable (hook->next_instance, endpoint, reason, reason_size);
}

static inline void
commy_hook_estimate (gpointer instance, const CommyEndpoint *endpoint, CommyProfile *profile)
{
  CommyHook *hook = (CommyHook *) instance;

  hook->next->estimate (hook->next_instance, endpoint, profile);
}

static inline void
commy_hook_close (gpointer connection)
{
  CommyHookConnection *self = (CommyHookConnection *) connection;

  if (self->is_open && self->hook->closed != NULL)
    self->hook->closed (connection);
  self->is_open = FALSE;
  self->next->close (self->wrapped);
}

/* --- messages --- */

static inline CommyIo
commy_hook_reserve (gpointer connection, gsize size, CommySpan *out_span)
{
  CommyHookConnection *self = (CommyHookConnection *) connection;

  return self->next->reserve (self->wrapped, size, out_span);
}

static inline CommyIo
commy_hook_commit (gpointer connection, gsize used)
{
  CommyHookConnection *self = (CommyHookConnection *) connection;

  return self->next->commit (self->wrapped, used);
}

static inline CommyIo
commy_hook_sendv (gpointer connection, const GOutputVector *parts, gsize n_parts)
{
  CommyHookConnection *self = (CommyHookConnection *) connection;

  return self->next->sendv (self->wrapped, parts, n_parts);
}

static inline CommyIo
commy_hook_flush (gpointer connection)
{
  CommyHookConnection *self = (CommyHookConnection *) connection;

  return self->next->flush (self->wrapped);
}

static inline CommyIo
commy_hook_peek (gpointer connection, CommyMessage *out_message)
{
  CommyHookConnection *self = (CommyHookConnection *) connection;

  return self->next->peek (self->wrapped, out_message);
}

static inline void
commy_hook_release (gpointer connection, const CommyMessage *message)
{
  CommyHookConnection *self = (CommyHookConnection *) connection;

  self->next->release (self->wrapped, message);
}

static inline CommyIo
commy_hook_attach (gpointer connection, const int *fds, gsize n_fds)
{
  CommyHookConnection *self = (CommyHookConnection *) connection;

  return self->next->attach (self->wrapped, fds, n_fds);
}

static inline gsize
commy_hook_take_fds (gpointer connection, const CommyMessage *message, int *out_fds, gsize max)
{
  CommyHookConnection *self = (CommyHookConnection *) connection;

  return self->next->take_fds (self->wrapped, message, out_fds, max);
}

static inline gboolean
commy_hook_unsent (gpointer connection, CommyUnsentFunc each, gpointer user_data)
{
  CommyHookConnection *self = (CommyHookConnection *) connection;

  return self->next->unsent (self->wrapped, each, user_data);
}

static inline void
commy_hook_limit (gpointer connection, gsize max)
{
  CommyHookConnection *self = (CommyHookConnection *) connection;

  self->next->limit (self->wrapped, max);
}

/* --- sleeping, and the rest --- */

static inline int
commy_hook_fd (gpointer connection)
{
  CommyHookConnection *self = (CommyHookConnection *) connection;

  return self->next->fd (self->wrapped);
}

static inline guint
commy_hook_arm (gpointer connection, guint interest, guint *out_events)
{
  CommyHookConnection *self = (CommyHookConnection *) connection;

  return self->next->arm (self->wrapped, interest, out_events);
}

static inline CommyIo
commy_hook_wait (gpointer connection,
                 const guint32 *kick_word,
                 guint32 kick_seen,
                 gint64 deadline_ns)
{
  CommyHookConnection *self = (CommyHookConnection *) connection;

  return self->next->wait (self->wrapped, kick_word, kick_seen, deadline_ns);
}

static inline void
commy_hook_evidence (gpointer connection, CommyEvidence *out_evidence)
{
  CommyHookConnection *self = (CommyHookConnection *) connection;

  self->next->evidence (self->wrapped, out_evidence);
}

static inline const char *
commy_hook_why (gpointer connection)
{
  CommyHookConnection *self = (CommyHookConnection *) connection;

  return self->next->why (self->wrapped);
}

/**
 * COMMY_HOOK_OPS:
 *
 * Writes a hook's operations. Arguments: the table's name, the type of the hook's connections,
 * then the slots that are not just handed on, as designated initialisers; `.wait = NULL` takes
 * an optional one away.
 */
#define COMMY_HOOK_OPS(NAME, ConnectionType, ...)                                                \
  _Pragma ("GCC diagnostic push")                                                                \
      _Pragma ("GCC diagnostic ignored \"-Woverride-init\"") static const CommyTransportOps NAME \
      = { .struct_size = sizeof (CommyTransportOps),                                             \
          .listener_size = sizeof (CommyHookListener),                                           \
          .connection_size = sizeof (ConnectionType),                                            \
          .listen = commy_hook_listen,                                                           \
          .address = commy_hook_address,                                                         \
          .unlisten = commy_hook_unlisten,                                                       \
          .connect = commy_hook_connect,                                                         \
          .reachable = commy_hook_reachable,                                                     \
          .estimate = commy_hook_estimate,                                                       \
          .reserve = commy_hook_reserve,                                                         \
          .commit = commy_hook_commit,                                                           \
          .sendv = commy_hook_sendv,                                                             \
          .flush = commy_hook_flush,                                                             \
          .peek = commy_hook_peek,                                                               \
          .release = commy_hook_release,                                                         \
          .fd = commy_hook_fd,                                                                   \
          .arm = commy_hook_arm,                                                                 \
          .wait = commy_hook_wait,                                                               \
          .evidence = commy_hook_evidence,                                                       \
          .why = commy_hook_why,                                                                 \
          .close = commy_hook_close,                                                             \
          .attach = commy_hook_attach,                                                           \
          .take_fds = commy_hook_take_fds,                                                       \
          .unsent = commy_hook_unsent,                                                           \
          .limit = commy_hook_limit,                                                             \
          __VA_ARGS__ };                                                                         \
  _Pragma ("GCC diagnostic pop")

G_END_DECLS
