/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A small host for the plugin under test. Every wait ends by an event, or after a minute by a
 * failed assertion.
 */
#include "config.h"

#include "shm-host.h"

#include <glib-unix.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define ALIGNMENT 64
#define PATIENCE_MS 60000

const CommyPluginDescriptor *commy_plugin_query_v1 (void);

char *
shm_test_directory_new (void)
{
  g_autoptr (GError) error = NULL;
  char *directory = g_dir_make_tmp ("commy-shm-XXXXXX", &error);

  g_assert_no_error (error);
  return directory;
}

void
shm_test_directory_free (char *directory)
{
  GDir *entries = g_dir_open (directory, 0, NULL);
  const char *name;

  while ((name = g_dir_read_name (entries)) != NULL)
    {
      g_autofree char *path = g_build_filename (directory, name, NULL);

      g_remove (path);
    }
  g_dir_close (entries);
  g_assert_cmpint (g_rmdir (directory), ==, 0);
  g_free (directory);
}

static void
host_log (CommyHost *host, guint level, const char *message)
{
  g_test_message ("%s", message);
}

static gint64
host_now (CommyHost *host)
{
  return g_get_monotonic_time () * 1000;
}

static void
host_random (CommyHost *host, gpointer out, gsize size)
{
  for (gsize i = 0; i < size; i++)
    ((guint8 *) out)[i] = (guint8) g_random_int ();
}

typedef struct
{
  CommyHostTimerFunc func;
  gpointer user_data;
} Timer;

static gboolean
run_timer (gpointer user_data)
{
  Timer *timer = user_data;

  timer->func (timer->user_data);
  return G_SOURCE_REMOVE;
}

static guint
host_add_timer (CommyHost *host, gint64 delay_ns, CommyHostTimerFunc func, gpointer user_data)
{
  ShmTestHost *self = host->core;
  g_autoptr (GSource) source = g_timeout_source_new ((guint) (delay_ns / 1000000));
  Timer *timer = g_new (Timer, 1);

  *timer = (Timer){ func, user_data };
  g_source_set_callback (source, run_timer, timer, g_free);
  return g_source_attach (source, self->context);
}

typedef struct
{
  CommyHostFdFunc func;
  gpointer user_data;
} Watch;

static gboolean
run_watch (int fd, GIOCondition condition, gpointer user_data)
{
  Watch watch = *(Watch *) user_data;

  watch.func (watch.user_data, fd, condition);
  return G_SOURCE_CONTINUE;
}

static guint
host_watch_fd (CommyHost *host, int fd, guint condition, CommyHostFdFunc func, gpointer user_data)
{
  ShmTestHost *self = host->core;
  g_autoptr (GSource) source = g_unix_fd_source_new (fd, condition);
  Watch *watch = g_new (Watch, 1);

  *watch = (Watch){ func, user_data };
  g_source_set_callback (source, G_SOURCE_FUNC (run_watch), watch, g_free);
  return g_source_attach (source, self->context);
}

static void
host_remove (CommyHost *host, guint id)
{
  ShmTestHost *self = host->core;
  GSource *source = g_main_context_find_source_by_id (self->context, id);

  g_assert_nonnull (source);
  g_source_destroy (source);
}

static void
host_post (CommyHost *host, CommyHostTimerFunc func, gpointer user_data)
{
  host_add_timer (host, 0, func, user_data);
}

static const char *
host_param (CommyHost *host, const char *name)
{
  ShmTestHost *self = host->core;

  return g_hash_table_lookup (self->params, name);
}

static const char *
host_info (CommyHost *host, CommyHostInfo what)
{
  ShmTestHost *self = host->core;

  switch (what)
    {
    case COMMY_HOST_NODE:
      return self->node;
    case COMMY_HOST_RUNTIME_DIR:
      return self->directory;
    case COMMY_HOST_HOST_ID:
      return "this-host";
    default:
      return NULL;
    }
}

static void
fill_params (ShmTestHost *self, const char *params)
{
  g_auto (GStrv) settings = g_strsplit (params != NULL ? params : "", ";", -1);

  self->params = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  g_hash_table_insert (self->params, g_strdup ("ring-size"), g_strdup ("16384"));
  g_hash_table_insert (self->params, g_strdup ("inline-max"), g_strdup ("2048"));
  g_hash_table_insert (self->params, g_strdup ("arena-max"), g_strdup ("67108864"));
  g_hash_table_insert (self->params, g_strdup ("maps-max"), g_strdup ("0"));
  g_hash_table_insert (self->params, g_strdup ("borrow-max"), g_strdup ("256"));
  for (char **setting = settings; *setting != NULL; setting++)
    {
      g_auto (GStrv) pair = g_strsplit (*setting, "=", 2);

      if (pair[0] != NULL && pair[1] != NULL)
        g_hash_table_insert (self->params, g_strdup (pair[0]), g_strdup (pair[1]));
    }
}

ShmTestHost *
shm_test_host_new (const char *directory, const char *params)
{
  ShmTestHost *self = g_new0 (ShmTestHost, 1);
  g_autoptr (GError) error = NULL;

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
  self->context = g_main_context_new ();
  self->directory = g_strdup (directory);
  self->accepted = g_ptr_array_new ();
  self->pending = g_ptr_array_new ();
  g_snprintf (self->node, sizeof self->node, "%08x%08x%08x%08x", g_random_int (), g_random_int (),
              g_random_int (), g_random_int ());
  fill_params (self, params);
  self->descriptor = commy_plugin_query_v1 ();
  self->ops = self->descriptor->ops;
  self->instance = g_aligned_alloc0 (1, self->descriptor->instance_size, ALIGNMENT);
  self->descriptor->init (self->instance, &self->host, &error);
  g_assert_no_error (error);
  return self;
}

void
shm_test_host_free (ShmTestHost *self)
{
  if (self->listener != NULL)
    shm_test_host_unlisten (self);
  g_assert_cmpuint (self->accepted->len, ==, 0);
  self->descriptor->fini (self->instance);
  g_aligned_free (self->instance);
  g_ptr_array_unref (self->accepted);
  g_ptr_array_unref (self->pending);
  g_hash_table_unref (self->params);
  g_main_context_unref (self->context);
  g_clear_error (&self->last_error);
  g_free (self->directory);
  g_free (self);
}

static gpointer
connection_new (ShmTestHost *self)
{
  return g_aligned_alloc0 (1, self->ops->connection_size, ALIGNMENT);
}

static gpointer
on_alloc (gpointer user_data)
{
  ShmTestHost *self = user_data;

  if (self->refuse)
    return NULL;
  g_ptr_array_add (self->pending, connection_new (self));
  return g_ptr_array_index (self->pending, self->pending->len - 1);
}

static void
on_opened (gpointer user_data, gpointer connection, const GError *error)
{
  ShmTestHost *self = user_data;

  g_assert_true (g_ptr_array_remove_fast (self->pending, connection));
  if (error == NULL)
    {
      g_ptr_array_add (self->accepted, connection);
      return;
    }
  g_test_message ("incoming connection: %s", error->message);
  self->n_failed++;
  g_clear_error (&self->last_error);
  self->last_error = g_error_copy (error);
  g_aligned_free (connection);
}

void
shm_test_host_listen (ShmTestHost *self)
{
  g_autoptr (GError) error = NULL;

  self->acceptor = (CommyAcceptor){
    .struct_size = sizeof (CommyAcceptor), .alloc = on_alloc, .opened = on_opened, .user_data = self
  };
  self->listener = g_aligned_alloc0 (1, self->ops->listener_size, ALIGNMENT);
  self->ops->listen (self->instance, self->listener, &self->acceptor, &error);
  g_assert_no_error (error);
}

void
shm_test_host_unlisten (ShmTestHost *self)
{
  self->ops->unlisten (self->instance, self->listener);
  g_clear_pointer (&self->listener, g_aligned_free);
  /* They were closed with the listener; closing once more does no harm. */
  for (guint i = 0; i < self->pending->len; i++)
    shm_test_host_close (self, g_ptr_array_index (self->pending, i));
  g_ptr_array_set_size (self->pending, 0);
}

const char *
shm_test_host_address (ShmTestHost *self)
{
  return self->ops->address (self->instance, self->listener);
}

static gboolean
out_of_patience (gpointer user_data)
{
  g_error ("nothing happened for a minute");
  return G_SOURCE_REMOVE;
}

void
shm_test_host_iterate (ShmTestHost *self)
{
  g_autoptr (GSource) alarm = g_timeout_source_new (PATIENCE_MS);

  g_source_set_callback (alarm, out_of_patience, NULL, NULL);
  g_source_attach (alarm, self->context);
  g_main_context_iteration (self->context, TRUE);
  g_source_destroy (alarm);
}

typedef struct
{
  gboolean is_done;
  GError *error;
} Connected;

static void
on_connected (gpointer user_data, gpointer connection, const GError *error)
{
  Connected *connected = user_data;

  g_assert_false (connected->is_done);
  connected->is_done = TRUE;
  if (error == NULL)
    return;
  connected->error = g_error_copy (error);
  g_aligned_free (connection);
}

gpointer
shm_test_host_connect (ShmTestHost *self, const char *address, GError **error)
{
  CommyEndpoint endpoint = { .struct_size = sizeof endpoint, .address = address };
  Connected connected = { 0 };
  gpointer connection = connection_new (self);

  self->ops->connect (self->instance, connection, &endpoint, on_connected, &connected);
  g_assert_false (connected.is_done);
  while (!connected.is_done)
    shm_test_host_iterate (self);
  if (connected.error == NULL)
    return connection;
  g_propagate_error (error, connected.error);
  return NULL;
}

gpointer
shm_test_host_accept (ShmTestHost *self)
{
  while (self->accepted->len == 0)
    shm_test_host_iterate (self);
  return g_ptr_array_steal_index (self->accepted, 0);
}

void
shm_test_host_close (ShmTestHost *self, gpointer connection)
{
  self->ops->close (connection);
  g_aligned_free (connection);
}

guint
shm_test_sleep (ShmTestHost *self, gpointer connection, guint interest)
{
  for (;;)
    {
      guint events = 0;
      guint met = self->ops->arm (connection, interest, &events);
      CommyEvidence evidence = { .struct_size = sizeof evidence, .pidfd = -1 };
      struct pollfd waiters[2] = { { .fd = self->ops->fd (connection), .events = (short) events } };

      if (met != 0)
        return met;
      /* As the core does: the end of a process shows at its pidfd. */
      self->ops->evidence (connection, &evidence);
      waiters[1] = (struct pollfd){ .fd = evidence.pidfd, .events = POLLIN };
      g_assert_cmpint (poll (waiters, 2, PATIENCE_MS), >=, 1);
    }
}

void
shm_test_send (ShmTestHost *self, gpointer connection, gsize size, guint8 fill)
{
  CommySpan span = { 0 };
  CommyIo io;

  while ((io = self->ops->reserve (connection, size, &span)) == COMMY_IO_WOULD_BLOCK)
    shm_test_sleep (self, connection, COMMY_INTEREST_WRITE);
  g_assert_cmpint (io, ==, COMMY_IO_OK);
  g_assert_cmpuint (span.size, >=, size);
  g_assert_cmpuint ((guintptr) span.data % 8, ==, 0);
  memset (span.data, fill, size);
  g_assert_cmpint (self->ops->commit (connection, size), ==, COMMY_IO_OK);
  g_assert_cmpint (self->ops->flush (connection), ==, COMMY_IO_OK);
}

gboolean
shm_test_receive (ShmTestHost *self, gpointer connection, CommyMessage *out_message)
{
  CommyIo io;

  while ((io = self->ops->peek (connection, out_message)) == COMMY_IO_WOULD_BLOCK)
    shm_test_sleep (self, connection, COMMY_INTEREST_READ);
  if (io != COMMY_IO_OK)
    g_test_message ("closed: %s", self->ops->why (connection));
  return io == COMMY_IO_OK;
}

guint
shm_test_count_fds (void)
{
  GDir *entries = g_dir_open ("/proc/self/fd", 0, NULL);
  guint n = 0;

  while (g_dir_read_name (entries) != NULL)
    n++;
  g_dir_close (entries);
  return n;
}

/* Only what is shared memory: the allocator maps as it likes. */
guint
shm_test_count_maps (void)
{
  g_autofree char *text = NULL;
  guint n = 0;

  g_assert_true (g_file_get_contents ("/proc/self/maps", &text, NULL, NULL));
  for (const char *at = text; (at = strstr (at, "memfd:commy")) != NULL; at++)
    n++;
  return n;
}
