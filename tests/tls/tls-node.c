/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The host of a test, and the bookkeeping that the core would do.
 */
#include "config.h"

#include "tests/tls/tls-node.h"

#include <dlfcn.h>
#include <glib-unix.h>
#include <string.h>

#define ALIGNMENT 64

static void
host_log (CommyHost *host, guint level, const char *message)
{
  TlsNode *self = host->core;

  g_string_append_printf (self->log, "%s\n", message);
}

static gint64
host_now (CommyHost *host)
{
  return g_get_monotonic_time () * 1000 + ((TlsNode *) host->core)->ahead_ns;
}

static void
host_random (CommyHost *host, gpointer out, gsize size)
{
  for (gsize i = 0; i < size; i++)
    ((guint8 *) out)[i] = (guint8) g_random_int ();
}

typedef struct
{
  TlsNode *node;
  guint id;
  CommyHostTimerFunc timer;
  CommyHostFdFunc fd;
  gpointer user_data;
} Callback;

static guint
keep_source (TlsNode *self, GSource *source, GSourceFunc func, Callback *callback)
{
  callback->id = ++self->last_id;
  callback->node = self;
  g_source_set_callback (source, func, callback, g_free);
  g_hash_table_insert (self->sources, GUINT_TO_POINTER (callback->id), source);
  g_source_attach (source, self->context);
  return callback->id;
}

static gboolean
on_timer (gpointer data)
{
  Callback copy = *(Callback *) data;

  g_hash_table_remove (copy.node->sources, GUINT_TO_POINTER (copy.id));
  copy.timer (copy.user_data);
  return G_SOURCE_REMOVE;
}

static gboolean
on_fd (gint fd, GIOCondition condition, gpointer data)
{
  Callback copy = *(Callback *) data;

  copy.fd (copy.user_data, fd, condition);
  return G_SOURCE_CONTINUE;
}

static guint
host_add_timer (CommyHost *host, gint64 delay_ns, CommyHostTimerFunc func, gpointer user_data)
{
  Callback *callback = g_new0 (Callback, 1);

  callback->timer = func;
  callback->user_data = user_data;
  return keep_source (host->core, g_timeout_source_new ((guint) (delay_ns / 1000000)), on_timer,
                      callback);
}

static guint
host_watch_fd (CommyHost *host, int fd, guint condition, CommyHostFdFunc func, gpointer user_data)
{
  Callback *callback = g_new0 (Callback, 1);

  callback->fd = func;
  callback->user_data = user_data;
  return keep_source (host->core, g_unix_fd_source_new (fd, (GIOCondition) condition),
                      G_SOURCE_FUNC (on_fd), callback);
}

static void
host_remove (CommyHost *host, guint id)
{
  TlsNode *self = host->core;

  g_assert_true (g_hash_table_remove (self->sources, GUINT_TO_POINTER (id)));
}

static gboolean
on_posted (gpointer data)
{
  Callback *callback = data;

  callback->timer (callback->user_data);
  return G_SOURCE_REMOVE;
}

static void
host_post (CommyHost *host, CommyHostTimerFunc func, gpointer user_data)
{
  TlsNode *self = host->core;
  Callback *callback = g_new0 (Callback, 1);

  callback->timer = func;
  callback->user_data = user_data;
  g_main_context_invoke_full (self->context, G_PRIORITY_DEFAULT, on_posted, callback, g_free);
}

static const char *
host_param (CommyHost *host, const char *name)
{
  TlsNode *self = host->core;
  const char *value = g_hash_table_lookup (self->params, name);

  g_assert_nonnull (value);
  return value;
}

static const char *
host_info (CommyHost *host, CommyHostInfo what)
{
  TlsNode *self = host->core;

  if (what == COMMY_HOST_CREDENTIALS_DIR)
    return self->dir;
  return what == COMMY_HOST_HOST_ID ? "this-host" : NULL;
}

static void
destroy_source (gpointer data)
{
  g_source_destroy (data);
  g_source_unref (data);
}

static const CommyPluginDescriptor *
load_descriptor (void)
{
  g_autofree char *path
      = g_build_filename (g_getenv ("COMMY_PLUGIN_PATH"), "libcommy-transport-tls.so", NULL);
  void *module = dlopen (path, RTLD_NOW | RTLD_LOCAL);
  CommyPluginQueryFunc query;

  if (module == NULL)
    g_error ("%s", dlerror ());
  query = (CommyPluginQueryFunc) dlsym (module, COMMY_QUERY_SYMBOL);
  g_assert_nonnull (query);
  return query ();
}

static void
set_params (TlsNode *self, const char *const *params)
{
  static const char *const defaults[] = { "bind=127.0.0.1",
                                          "port=0",
                                          "advertise=",
                                          "max-message=67174400",
                                          "send-buffer=1048576",
                                          "handshake-timeout=20000000000",
                                          "handshakes=128",
                                          "handshakes-per-address=64",
                                          "user-timeout=30000000000",
                                          NULL };
  const char *const *lists[] = { defaults, params };

  for (guint i = 0; i < G_N_ELEMENTS (lists); i++)
    for (const char *const *at = lists[i]; at != NULL && *at != NULL; at++)
      {
        g_auto (GStrv) pair = g_strsplit (*at, "=", 2);

        g_hash_table_replace (self->params, g_strdup (pair[0]), g_strdup (pair[1]));
      }
}

TlsNode *
tls_node_new (const char *dir, const char *const *params)
{
  TlsNode *self = g_new0 (TlsNode, 1);
  g_autoptr (GError) error = NULL;

  self->descriptor = load_descriptor ();
  self->ops = self->descriptor->ops;
  self->dir = g_strdup (dir);
  self->log = g_string_new (NULL);
  self->allowed = G_MAXUINT;
  self->alive = g_hash_table_new_full (NULL, NULL, g_aligned_free, NULL);
  self->params = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  self->sources = g_hash_table_new_full (NULL, NULL, NULL, destroy_source);
  set_params (self, params);
  self->host = (CommyHost){ .struct_size = sizeof (CommyHost),
                            .core = self,
                            .log = host_log,
                            .now_ns = host_now,
                            .random = host_random,
                            .add_timer = host_add_timer,
                            .watch_fd = host_watch_fd,
                            .remove = host_remove,
                            .post = host_post,
                            .param = host_param,
                            .info = host_info };
  self->instance = g_aligned_alloc0 (1, self->descriptor->instance_size, ALIGNMENT);
  self->descriptor->init (self->instance, &self->host, &error);
  g_assert_no_error (error);
  return self;
}

void
tls_node_free (TlsNode *self)
{
  tls_node_unlisten (self);
  if (self->accepted != NULL)
    tls_node_close (self, self->accepted);
  while (g_main_context_iteration (NULL, FALSE))
    ; /* what was posted runs before `fini`, as in the core */
  g_assert_cmpuint (g_hash_table_size (self->alive), ==, 0);
  self->descriptor->fini (self->instance);
  g_assert_cmpuint (g_hash_table_size (self->sources), ==, 0); /* every watch and timer removed */
  g_aligned_free (self->instance);
  g_hash_table_unref (self->sources);
  g_hash_table_unref (self->alive);
  g_hash_table_unref (self->params);
  g_string_free (self->log, TRUE);
  g_free (self->refusal);
  g_free (self->dir);
  g_free (self);
}

gpointer
tls_node_alloc_connection (TlsNode *self)
{
  gpointer connection = g_aligned_alloc0 (1, self->ops->connection_size, ALIGNMENT);

  g_hash_table_add (self->alive, connection);
  return connection;
}

static void
give_back (TlsNode *self, gpointer connection)
{
  g_assert_true (g_hash_table_remove (self->alive, connection));
}

void
tls_node_close (TlsNode *self, gpointer connection)
{
  self->ops->close (connection);
  give_back (self, connection);
  if (connection == self->accepted)
    self->accepted = NULL;
}

static gpointer
acceptor_alloc (gpointer user_data)
{
  TlsNode *self = user_data;

  if (self->allowed == 0)
    return NULL;
  self->allowed--;
  return tls_node_alloc_connection (self);
}

static void
acceptor_opened (gpointer user_data, gpointer connection, const GError *error)
{
  TlsNode *self = user_data;

  self->n_settled++;
  if (error == NULL)
    {
      self->accepted = connection;
      return;
    }
  if (self->allowed < G_MAXUINT)
    self->allowed++; /* its place is free again */
  g_free (self->refusal);
  self->refusal = g_strdup (error->message);
  give_back (self, connection);
}

void
tls_node_listen (TlsNode *self)
{
  g_autoptr (GError) error = NULL;

  self->listener = g_aligned_alloc0 (1, self->ops->listener_size, ALIGNMENT);
  self->acceptor = (CommyAcceptor){ .struct_size = sizeof (CommyAcceptor),
                                    .alloc = acceptor_alloc,
                                    .opened = acceptor_opened,
                                    .user_data = self };
  self->ops->listen (self->instance, self->listener, &self->acceptor, &error);
  g_assert_no_error (error);
}

void
tls_node_unlisten (TlsNode *self)
{
  if (self->listener == NULL)
    return;
  self->ops->unlisten (self->instance, self->listener);
  g_clear_pointer (&self->listener, g_aligned_free);
}

static void
on_done (gpointer user_data, gpointer connection, const GError *error)
{
  TlsAttempt *self = user_data;

  g_assert_false (self->settled);
  self->settled = TRUE;
  if (error == NULL)
    return;
  self->refusal = g_strdup (error->message);
  self->code = error->code;
  give_back (self->node, connection);
  self->connection = NULL;
}

void
tls_attempt_start (TlsAttempt *self, TlsNode *node, const char *address)
{
  const CommyEndpoint endpoint = { .struct_size = sizeof endpoint,
                                   .transport = "tls",
                                   .address = address,
                                   .host_id = "this-host",
                                   .node = "n" };

  memset (self, 0, sizeof *self);
  self->node = node;
  self->connection = tls_node_alloc_connection (node);
  node->ops->connect (node->instance, self->connection, &endpoint, on_done, self);
  g_assert_false (self->settled); /* never from inside */
}

void
tls_attempt_clear (TlsAttempt *self)
{
  if (self->connection != NULL)
    tls_node_close (self->node, self->connection);
  self->connection = NULL;
  g_clear_pointer (&self->refusal, g_free);
}

void
tls_node_turn (void)
{
  g_main_context_iteration (NULL, TRUE);
}
