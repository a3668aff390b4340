/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The test host: see the header. Timers and posts are GSources of the given context; with the
 * virtual clock timers wait in a list for commy_test_host_advance() instead.
 */
#include "config.h"

#include "commy-test-host.h"

#include <dlfcn.h>
#include <errno.h>
#include <glib-unix.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>

#define N_INFOS (COMMY_HOST_WRAPPED + 1)

struct _CommyTestHost
{
  CommyHost host;
  GMainContext *context;
  const CommyPluginDescriptor *descriptor;
  GHashTable *params;
  char *infos[N_INFOS];
  char *dir;
  GHashTable *watches; /* id to GSource */
  GPtrArray *timers;   /* of Timer */
  guint last_id;
  gboolean virtual_clock;
  gint64 virtual_ns;
  gpointer instance;
  GMutex lock; /* protects what follows */
  GPtrArray *posts;
  GPtrArray *log;
  GRand *rand;
};

typedef struct
{
  CommyTestHost *self;
  guint id;
  gint64 due_ns;
  CommyHostTimerFunc func;
  gpointer user_data;
  GSource *source;
} Timer;

typedef struct
{
  CommyTestHost *self;
  CommyHostFdFunc func;
  gpointer user_data;
} FdWatch;

static gint64
host_now (CommyHost *host)
{
  CommyTestHost *self = host->core;

  return self->virtual_clock ? self->virtual_ns : g_get_monotonic_time () * 1000;
}

static void
host_log (CommyHost *host, guint level, const char *message)
{
  CommyTestHost *self = host->core;

  g_assert_cmpuint (level & G_LOG_LEVEL_ERROR, ==, 0);
  g_assert_null (strchr (message, '\n'));
  g_mutex_lock (&self->lock);
  g_ptr_array_add (self->log, g_strdup (message));
  g_mutex_unlock (&self->lock);
}

static void
host_random (CommyHost *host, gpointer out, gsize size)
{
  CommyTestHost *self = host->core;
  guint8 *bytes = out;

  g_mutex_lock (&self->lock);
  for (gsize i = 0; i < size; i++)
    bytes[i] = (guint8) g_rand_int (self->rand);
  g_mutex_unlock (&self->lock);
}

static void
timer_free (gpointer data)
{
  Timer *timer = data;

  if (timer->source != NULL)
    {
      g_source_destroy (timer->source);
      g_source_unref (timer->source);
    }
  g_free (timer);
}

static void
timer_run (Timer *timer)
{
  CommyHostTimerFunc func = timer->func;
  gpointer user_data = timer->user_data;

  g_ptr_array_remove (timer->self->timers, timer);
  func (user_data);
}

static gboolean
ready_dispatch (GSource *source, GSourceFunc callback, gpointer user_data)
{
  return callback (user_data);
}

/* A source that is ready at a time in microseconds: GTimeoutSource only counts milliseconds. */
static GSource *
ready_source_new (gint64 ready_us)
{
  static const GSourceFuncs funcs = { .dispatch = ready_dispatch };
  GSource *source = g_source_new ((GSourceFuncs *) &funcs, sizeof (GSource));

  g_source_set_ready_time (source, ready_us);
  return source;
}

static gboolean
on_timer (gpointer user_data)
{
  timer_run (user_data);
  return G_SOURCE_REMOVE;
}

static guint
host_add_timer (CommyHost *host, gint64 delay_ns, CommyHostTimerFunc func, gpointer user_data)
{
  CommyTestHost *self = host->core;
  Timer *timer = g_new0 (Timer, 1);

  g_assert_nonnull (func);
  timer->self = self;
  timer->id = ++self->last_id;
  timer->due_ns = host_now (host) + MAX (delay_ns, 0);
  timer->func = func;
  timer->user_data = user_data;
  if (!self->virtual_clock)
    {
      timer->source = ready_source_new ((timer->due_ns + 999) / 1000);
      g_source_set_callback (timer->source, on_timer, timer, NULL);
      g_source_attach (timer->source, self->context);
    }
  g_ptr_array_add (self->timers, timer);
  return timer->id;
}

static gboolean
on_fd (gint fd, GIOCondition condition, gpointer user_data)
{
  FdWatch *watch = user_data;

  watch->func (watch->user_data, fd, condition);
  return G_SOURCE_CONTINUE;
}

static guint
host_watch_fd (CommyHost *host, int fd, guint condition, CommyHostFdFunc func, gpointer user_data)
{
  CommyTestHost *self = host->core;
  FdWatch *watch = g_new0 (FdWatch, 1);
  GSource *source = g_unix_fd_source_new (fd, condition);

  g_assert_nonnull (func);
  watch->self = self;
  watch->func = func;
  watch->user_data = user_data;
  g_source_set_callback (source, G_SOURCE_FUNC (on_fd), watch, g_free);
  g_source_attach (source, self->context);
  g_hash_table_insert (self->watches, GUINT_TO_POINTER (++self->last_id), source);
  return self->last_id;
}

static void
host_remove (CommyHost *host, guint id)
{
  CommyTestHost *self = host->core;

  for (guint i = 0; i < self->timers->len; i++)
    {
      Timer *timer = g_ptr_array_index (self->timers, i);

      if (timer->id == id)
        {
          g_ptr_array_remove_index (self->timers, i);
          return;
        }
    }
  if (!g_hash_table_remove (self->watches, GUINT_TO_POINTER (id)))
    g_error ("the plugin removes %u, which is neither a timer that waits nor a watch", id);
}

typedef struct
{
  CommyTestHost *self;
  CommyHostTimerFunc func;
  gpointer user_data;
} Post;

static gboolean
on_post (gpointer user_data)
{
  Post *post = user_data;
  CommyTestHost *self = post->self;
  GSource *source = g_main_current_source ();

  post->func (post->user_data);
  g_mutex_lock (&self->lock);
  g_ptr_array_remove (self->posts, source);
  g_mutex_unlock (&self->lock);
  return G_SOURCE_REMOVE;
}

static void
host_post (CommyHost *host, CommyHostTimerFunc func, gpointer user_data)
{
  CommyTestHost *self = host->core;
  Post *post = g_new0 (Post, 1);
  GSource *source = g_idle_source_new ();

  g_assert_nonnull (func);
  post->self = self;
  post->func = func;
  post->user_data = user_data;
  g_source_set_priority (source, G_PRIORITY_DEFAULT);
  g_source_set_callback (source, on_post, post, g_free);
  g_mutex_lock (&self->lock);
  g_ptr_array_add (self->posts, source);
  g_mutex_unlock (&self->lock);
  g_source_attach (source, self->context);
}

static const char *
host_param (CommyHost *host, const char *name)
{
  CommyTestHost *self = host->core;
  const char *value = g_hash_table_lookup (self->params, name);

  if (value == NULL)
    g_error ("the plugin asks for the parameter %s, which its table does not have", name);
  return value;
}

static const char *
host_info (CommyHost *host, CommyHostInfo what)
{
  CommyTestHost *self = host->core;

  return what > 0 && what < N_INFOS ? self->infos[what] : NULL;
}

/* Turns "64 KiB" or "2s" into base units; other text stays as it is. */
static char *
normalise (const CommyParamSpec *spec, const char *text)
{
  static const struct
  {
    const char *unit;
    gint64 factor;
  } units[] = {
    { "", 1 },   { "KiB", 1024 }, { "MiB", 1024 * 1024 }, { "GiB", 1024 * 1024 * 1024 },
    { "ns", 1 }, { "us", 1000 },  { "ms", 1000 * 1000 },  { "s", 1000 * 1000 * 1000 },
    { "B", 1 },
  };
  g_autofree char *unit = NULL;
  char *end = NULL;
  gint64 number;

  if (spec->type != COMMY_PARAM_INT && spec->type != COMMY_PARAM_SIZE
      && spec->type != COMMY_PARAM_DURATION)
    return g_strdup (text);
  number = g_ascii_strtoll (text, &end, 10);
  unit = g_strstrip (g_strdup (end));
  for (gsize i = 0; i < G_N_ELEMENTS (units); i++)
    if (strcmp (units[i].unit, unit) == 0)
      {
        number *= units[i].factor;
        g_assert_cmpint (number, >=, spec->minimum);
        g_assert_cmpint (number, <=, spec->maximum);
        return g_strdup_printf ("%" G_GINT64_FORMAT, number);
      }
  g_error ("parameter %s: unknown unit in \"%s\"", spec->name, text);
}

void
commy_test_host_set_param (CommyTestHost *self, const char *name, const char *value)
{
  for (gsize i = 0; i < self->descriptor->n_params; i++)
    {
      const CommyParamSpec *spec = &self->descriptor->params[i];

      if (strcmp (spec->name, name) == 0)
        {
          g_hash_table_insert (self->params, g_strdup (name), normalise (spec, value));
          return;
        }
    }
  g_error ("the plugin has no parameter %s", name);
}

void
commy_test_host_set_info (CommyTestHost *self, CommyHostInfo what, const char *text)
{
  g_assert_cmpint (what, >, 0);
  g_assert_cmpint (what, <, N_INFOS);
  g_free (self->infos[what]);
  self->infos[what] = g_strdup (text);
}

void
commy_test_host_set_next (CommyTestHost *self, gconstpointer ops, gpointer instance)
{
  self->host.next = ops;
  self->host.next_instance = instance;
}

void
commy_test_host_set_seed (CommyTestHost *self, guint32 seed)
{
  g_mutex_lock (&self->lock);
  g_rand_set_seed (self->rand, seed);
  g_mutex_unlock (&self->lock);
}

void
commy_test_host_use_virtual_clock (CommyTestHost *self)
{
  g_assert_cmpuint (self->timers->len, ==, 0);
  self->virtual_ns = host_now (&self->host);
  self->virtual_clock = TRUE;
}

void
commy_test_host_advance (CommyTestHost *self, gint64 by_ns)
{
  gint64 until_ns = self->virtual_ns + by_ns;

  g_assert_true (self->virtual_clock);
  while (TRUE)
    {
      Timer *next = NULL;

      for (guint i = 0; i < self->timers->len; i++)
        {
          Timer *timer = g_ptr_array_index (self->timers, i);

          if (timer->due_ns <= until_ns && (next == NULL || timer->due_ns < next->due_ns))
            next = timer;
        }
      if (next == NULL)
        break;
      self->virtual_ns = MAX (self->virtual_ns, next->due_ns);
      timer_run (next);
    }
  self->virtual_ns = until_ns;
}

static void
watch_free (gpointer data)
{
  g_source_destroy (data);
  g_source_unref (data);
}

static void
make_folders (CommyTestHost *self)
{
  static const struct
  {
    CommyHostInfo what;
    const char *name;
  } folders[] = {
    { COMMY_HOST_RUNTIME_DIR, "run" },
    { COMMY_HOST_STATE_DIR, "state" },
    { COMMY_HOST_CREDENTIALS_DIR, "credentials" },
  };
  g_autoptr (GError) error = NULL;

  self->dir = g_dir_make_tmp ("commy-test-XXXXXX", &error);
  g_assert_no_error (error);
  for (gsize i = 0; i < G_N_ELEMENTS (folders); i++)
    {
      self->infos[folders[i].what] = g_build_filename (self->dir, folders[i].name, NULL);
      g_assert_cmpint (g_mkdir (self->infos[folders[i].what], 0700), ==, 0);
    }
}

CommyTestHost *
commy_test_host_new (GMainContext *context, const CommyPluginDescriptor *descriptor)
{
  CommyTestHost *self = g_new0 (CommyTestHost, 1);
  g_autofree char *uuid = g_uuid_string_random ();
  g_auto (GStrv) parts = g_strsplit (uuid, "-", -1);

  self->host = (CommyHost){
    .struct_size = sizeof (CommyHost),
    .core = self,
    .log = host_log,
    .now_ns = host_now,
    .random = host_random,
    .add_timer = host_add_timer,
    .watch_fd = host_watch_fd,
    .remove = host_remove,
    .post = host_post,
    .param = host_param,
    .info = host_info,
  };
  self->context = g_main_context_ref (context != NULL ? context : g_main_context_default ());
  self->descriptor = descriptor;
  self->params = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  self->watches = g_hash_table_new_full (NULL, NULL, NULL, watch_free);
  self->timers = g_ptr_array_new_with_free_func (timer_free);
  self->posts = g_ptr_array_new_with_free_func (watch_free);
  self->log = g_ptr_array_new_with_free_func (g_free);
  self->rand = g_rand_new_with_seed (1);
  g_mutex_init (&self->lock);
  for (gsize i = 0; i < descriptor->n_params; i++)
    commy_test_host_set_param (self, descriptor->params[i].name,
                               descriptor->params[i].default_value);
  self->infos[COMMY_HOST_MESH] = g_strdup ("test");
  self->infos[COMMY_HOST_NODE] = g_strjoinv ("", parts);
  self->infos[COMMY_HOST_HOST_ID] = g_strdup ("00000000-0000-0000-0000-000000000001");
  make_folders (self);
  return self;
}

CommyHost *
commy_test_host_get (CommyTestHost *self)
{
  return &self->host;
}

const char *
commy_test_host_get_dir (CommyTestHost *self)
{
  return self->dir;
}

gpointer
commy_test_host_start (CommyTestHost *self, GError **error)
{
  gsize size = (self->descriptor->instance_size + 63) / 64 * 64;

  g_assert_null (self->instance);
  self->instance = aligned_alloc (64, MAX (size, 64));
  g_assert_nonnull (self->instance);
  memset (self->instance, 0, MAX (size, 64));
  if (!self->descriptor->init (self->instance, &self->host, error))
    {
      g_assert_true (error == NULL || *error != NULL);
      g_assert_cmpuint (commy_test_host_count_sources (self), ==, 0);
      g_clear_pointer (&self->instance, free);
    }
  return self->instance;
}

void
commy_test_host_stop (CommyTestHost *self)
{
  if (self->instance == NULL)
    return;
  if (self->descriptor->quiesce != NULL)
    self->descriptor->quiesce (self->instance);
  self->descriptor->fini (self->instance);
  g_clear_pointer (&self->instance, free);
  g_mutex_lock (&self->lock);
  g_ptr_array_set_size (self->posts, 0);
  g_mutex_unlock (&self->lock);
}

guint
commy_test_host_count_log (CommyTestHost *self, const char *part)
{
  guint count = 0;

  g_mutex_lock (&self->lock);
  for (guint i = 0; i < self->log->len; i++)
    count += strstr (g_ptr_array_index (self->log, i), part) != NULL;
  g_mutex_unlock (&self->lock);
  return count;
}

guint
commy_test_host_count_sources (CommyTestHost *self)
{
  return self->timers->len + g_hash_table_size (self->watches);
}

void
commy_test_remove_tree (const char *path)
{
  g_autoptr (GDir) dir = NULL;
  const char *name;

  if (!g_file_test (path, G_FILE_TEST_IS_SYMLINK))
    dir = g_dir_open (path, 0, NULL);
  if (dir != NULL)
    while ((name = g_dir_read_name (dir)) != NULL)
      {
        g_autofree char *child = g_build_filename (path, name, NULL);

        commy_test_remove_tree (child);
      }
  if (g_remove (path) != 0)
    g_test_message ("cannot remove %s: %s", path, g_strerror (errno));
}

void
commy_test_host_free (CommyTestHost *self)
{
  if (self == NULL)
    return;
  commy_test_host_stop (self);
  g_ptr_array_unref (self->timers);
  g_hash_table_unref (self->watches);
  g_ptr_array_unref (self->posts);
  commy_test_remove_tree (self->dir);
  for (gsize i = 0; i < N_INFOS; i++)
    g_free (self->infos[i]);
  g_free (self->dir);
  g_ptr_array_unref (self->log);
  g_rand_free (self->rand);
  g_hash_table_unref (self->params);
  g_main_context_unref (self->context);
  g_mutex_clear (&self->lock);
  g_free (self);
}

const CommyPluginDescriptor *
commy_test_load (const char *kind, const char *id, GError **error)
{
  const char *folder = g_getenv ("COMMY_PLUGIN_PATH");
  const char *build = g_getenv ("COMMY_BUILD_DIR");
  g_autofree char *name = g_strdup_printf ("libcommy-%s-%s.so", kind, id);
  g_autofree char *path = NULL;
  gpointer module;
  CommyPluginQueryFunc query = NULL;

  if (strchr (id, '/') != NULL)
    path = g_strdup (id);
  else if (folder != NULL)
    path = g_build_filename (folder, name, NULL);
  else
    path = g_build_filename (build != NULL ? build : ".", "modules", ".libs", name, NULL);
  module = dlopen (path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (module == NULL)
    {
      g_set_error_literal (error, COMMY_TEST_ERROR, 201, dlerror ());
      return NULL;
    }
  *(void **) &query = dlsym (module, COMMY_QUERY_SYMBOL);
  dlclose (module);
  if (query == NULL)
    {
      g_set_error (error, COMMY_TEST_ERROR, 202, "%s has no symbol %s", path, COMMY_QUERY_SYMBOL);
      return NULL;
    }
  return query ();
}
