/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a running plugin sees of the core, and its start and stop. Timers, watches and posts are
 * sources of the mesh thread's context; whatever is left of them at the end is removed here, so
 * no plugin is called after its `fini`.
 */
#include "config.h"

#include "base/commy-error-private.h"
#include "plugin/commy-plugin-private.h"

#include <glib-unix.h>

typedef struct
{
  CommyHost host;
  char *name;
  char *infos[COMMY_HOST_WRAPPED + 1];
  const CommyEnv *env;
  GMainContext *context;
  void (*audit) (gpointer data, const char *type, const char *outcome, const char *details);
  gpointer audit_data;
  CommyPlugin *(*find_store) (gpointer data);
  gpointer store_data;
  GHashTable *params;
  GMutex lock;         /* protects what follows: posts come from any thread */
  GHashTable *sources; /* id -> GSource, owned */
  guint last_id;
} Host;

/* A callback of the plugin that is waiting. */
typedef struct
{
  Host *host;
  guint id;
  CommyHostTimerFunc func;
  CommyHostFdFunc fd_func;
  gpointer user_data;
} Pending;

static Host *
host_of (CommyHost *host)
{
  return host->core;
}

static gboolean
dispatch_ready (GSource *source, GSourceFunc callback, gpointer user_data)
{
  return callback (user_data);
}

static const GSourceFuncs once_funcs = { .dispatch = dispatch_ready };

/* Takes a source out of the table; the caller destroys it. */
static GSource *
steal_source (Host *host, guint id)
{
  gpointer source = NULL;

  g_mutex_lock (&host->lock);
  g_hash_table_steal_extended (host->sources, GUINT_TO_POINTER (id), NULL, &source);
  g_mutex_unlock (&host->lock);
  return source;
}

static gboolean
run_once (gpointer data)
{
  Pending *pending = data;
  CommyHostTimerFunc func = pending->func;
  gpointer user_data = pending->user_data;

  /* It is destroyed by what this returns. */
  g_source_unref (steal_source (pending->host, pending->id));
  /* The plugin may stop, and its host with it, in what it does now. */
  func (user_data);
  return G_SOURCE_REMOVE;
}

static gboolean
run_fd (gint fd, GIOCondition condition, gpointer data)
{
  Pending *pending = data;

  pending->fd_func (pending->user_data, fd, condition);
  return G_SOURCE_CONTINUE;
}

/* Attaches @source, which it takes over; returns its id. */
static guint
add_source (Host *host, GSource *source, GSourceFunc callback, const Pending *template)
{
  Pending *pending = g_memdup2 (template, sizeof *template);
  guint id;

  g_mutex_lock (&host->lock);
  do
    id = ++host->last_id;
  while (id == 0 || g_hash_table_contains (host->sources, GUINT_TO_POINTER (id)));
  pending->host = host;
  pending->id = id;
  g_source_set_callback (source, callback, pending, g_free);
  g_source_set_static_name (source, "Commy plugin");
  g_hash_table_insert (host->sources, GUINT_TO_POINTER (id), source);
  /* With the lock: the source may run at once, and looks itself up. */
  g_source_attach (source, host->context);
  g_mutex_unlock (&host->lock);
  return id;
}

static guint
host_add_timer (CommyHost *self, gint64 delay_ns, CommyHostTimerFunc func, gpointer user_data)
{
  GSource *source = g_source_new ((GSourceFuncs *) &once_funcs, sizeof (GSource));
  const Pending pending = { .func = func, .user_data = user_data };
  gint64 delay_us = MAX (delay_ns, 0) / 1000 + (delay_ns > 0 && delay_ns % 1000 != 0);

  g_source_set_ready_time (source, g_get_monotonic_time () + delay_us);
  return add_source (host_of (self), source, run_once, &pending);
}

static void
host_post (CommyHost *self, CommyHostTimerFunc func, gpointer user_data)
{
  host_add_timer (self, 0, func, user_data);
}

static guint
host_watch_fd (CommyHost *self, int fd, guint condition, CommyHostFdFunc func, gpointer user_data)
{
  const Pending pending = { .fd_func = func, .user_data = user_data };

  return add_source (host_of (self), g_unix_fd_source_new (fd, condition), G_SOURCE_FUNC (run_fd),
                     &pending);
}

static void
host_remove (CommyHost *self, guint id)
{
  g_autoptr (GSource) source = steal_source (host_of (self), id);

  if (source != NULL)
    g_source_destroy (source);
}

static void
host_log (CommyHost *self, guint level, const char *message)
{
  Host *host = host_of (self);
  GLogLevelFlags flags = level & G_LOG_LEVEL_MASK;

  /* An error would abort the process, which is not a plugin's to decide. */
  if (flags == 0 || (flags & G_LOG_LEVEL_ERROR) != 0)
    flags = G_LOG_LEVEL_WARNING;
  g_log_structured (G_LOG_DOMAIN, flags, "COMMY_PLUGIN", host->name, "MESSAGE", "%s: %s",
                    host->name, message);
}

static gint64
host_now_ns (CommyHost *self)
{
  return commy_env_now (host_of (self)->env);
}

static void
host_random (CommyHost *self, gpointer out, gsize size)
{
  const CommyEnv *env = host_of (self)->env;

  env->random (env->data, out, size);
}

static const char *
host_param (CommyHost *self, const char *name)
{
  return g_hash_table_lookup (host_of (self)->params, name);
}

static const char *
host_info (CommyHost *self, CommyHostInfo what)
{
  if ((guint) what >= G_N_ELEMENTS (host_of (self)->infos))
    return NULL;
  return host_of (self)->infos[what];
}

static void
host_audit (CommyHost *self, const char *type, const char *outcome, const char *details)
{
  Host *host = host_of (self);

  if (host->audit != NULL)
    host->audit (host->audit_data, type, outcome, details);
}

static const CommyStoreOps *
host_store (CommyHost *self, gpointer *out_instance)
{
  Host *host = host_of (self);
  CommyPlugin *store = host->find_store != NULL ? host->find_store (host->store_data) : NULL;

  if (store == NULL
      || (store->state != COMMY_PLUGIN_STATE_ACTIVE && store->state != COMMY_PLUGIN_STATE_QUIESCED))
    return NULL;
  *out_instance = store->instance;
  return &store->ops.store;
}

static void
destroy_source (gpointer source)
{
  g_source_destroy (source);
  g_source_unref (source);
}

static GHashTable *
read_params (const CommyPlugin *plugin, CommyConfig *config)
{
  const CommyPluginDescriptor *descriptor = plugin->descriptor;
  GHashTable *params = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, g_free);

  for (gsize i = 0; i < descriptor->n_params; i++)
    g_hash_table_insert (params, (gpointer) descriptor->params[i].name,
                         commy_config_dup_param (config, plugin->name, &descriptor->params[i]));
  return params;
}

CommyHost *
commy_host_new (const CommyPlugin *plugin, CommyConfig *config, const CommyHostSetup *setup)
{
  Host *host = g_new0 (Host, 1);

  host->host = (CommyHost){
    .struct_size = sizeof (CommyHost),
    .core = host,
    .log = host_log,
    .now_ns = host_now_ns,
    .random = host_random,
    .add_timer = host_add_timer,
    .watch_fd = host_watch_fd,
    .remove = host_remove,
    .post = host_post,
    .param = host_param,
    .info = host_info,
    .audit = setup->audit != NULL ? host_audit : NULL,
    .store = host_store,
  };
  host->name = g_strdup (plugin->name);
  host->infos[COMMY_HOST_MESH] = g_strdup (setup->mesh);
  host->infos[COMMY_HOST_NODE] = g_strdup (setup->node);
  host->infos[COMMY_HOST_RUNTIME_DIR] = g_strdup (setup->runtime_dir);
  host->infos[COMMY_HOST_STATE_DIR] = g_strdup (setup->state_dir);
  host->infos[COMMY_HOST_CREDENTIALS_DIR] = g_strdup (setup->credentials_dir);
  host->infos[COMMY_HOST_HOST_ID] = g_strdup (setup->host_id);
  host->audit = setup->audit;
  host->audit_data = setup->audit_data;
  host->find_store = setup->find_store;
  host->store_data = setup->store_data;
  host->env = setup->env != NULL ? setup->env : commy_env_system ();
  host->context = setup->context != NULL ? g_main_context_ref (setup->context)
                                         : g_main_context_ref (g_main_context_default ());
  host->params = read_params (plugin, config);
  host->sources = g_hash_table_new_full (NULL, NULL, NULL, destroy_source);
  g_mutex_init (&host->lock);
  return &host->host;
}

void
commy_host_set_next (CommyHost *self,
                     const CommyPlugin *wrapped,
                     const CommyPluginOps *ops,
                     gpointer instance)
{
  Host *host = host_of (self);
  g_autofree char *name = g_steal_pointer (&host->name);

  self->next = ops;
  self->next_instance = instance;
  host->name = g_strdup_printf ("%s on %s", name, wrapped->name);
  host->infos[COMMY_HOST_WRAPPED] = g_strdup (wrapped->note.id);
}

void
commy_host_free (CommyHost *self)
{
  Host *host;

  if (self == NULL)
    return;
  host = host_of (self);
  g_hash_table_unref (host->sources);
  g_hash_table_unref (host->params);
  g_main_context_unref (host->context);
  g_mutex_clear (&host->lock);
  for (guint i = 0; i < G_N_ELEMENTS (host->infos); i++)
    g_free (host->infos[i]);
  g_free (host->name);
  g_free (host);
}

static void
drop_instance (CommyPlugin *plugin)
{
  g_clear_pointer (&plugin->host, commy_host_free);
  g_clear_pointer (&plugin->instance, g_aligned_free);
}

gboolean
commy_plugin_start (CommyPlugin *plugin,
                    CommyConfig *config,
                    const CommyHostSetup *setup,
                    GError **error)
{
  g_autoptr (GError) local = NULL;
  CommyTrial *trial;
  gboolean ok;

  if (plugin->state != COMMY_PLUGIN_STATE_LOADED)
    {
      commy_set_error (error, COMMY_ERROR_PLUGIN_INIT, "plugin %s cannot be started: it is %s",
                       plugin->name, commy_plugin_state_to_string (plugin->state));
      return FALSE;
    }
  if ((plugin->note.flags & COMMY_PLUGIN_FLAG_HOOK) != 0)
    {
      commy_set_error (error, COMMY_ERROR_PLUGIN_INIT,
                       "plugin %s wraps another plugin and cannot be started alone; name it in "
                       "hooks= of that one's group",
                       plugin->name);
      return FALSE;
    }

  plugin->host = commy_host_new (plugin, config, setup);
  plugin->instance = g_aligned_alloc0 (1, MAX (plugin->descriptor->instance_size, 64), 64);
  trial = commy_quarantine_begin (plugin->quarantine, plugin->name, plugin->path, "its init ran");
  ok = plugin->descriptor->init (plugin->instance, plugin->host, &local);
  commy_trial_end (trial, ok);
  if (ok)
    {
      plugin->state = COMMY_PLUGIN_STATE_ACTIVE;
      return TRUE;
    }
  drop_instance (plugin);
  plugin->state = COMMY_PLUGIN_STATE_FAILED;
  g_free (plugin->reason);
  plugin->reason
      = g_strdup (local != NULL ? commy_error_bare (local) : "its init failed without saying why");
  commy_set_error (error, COMMY_ERROR_PLUGIN_INIT, "plugin %s did not start: %s", plugin->name,
                   plugin->reason);
  return FALSE;
}

void
commy_plugin_quiesce (CommyPlugin *plugin)
{
  if (plugin->state != COMMY_PLUGIN_STATE_ACTIVE)
    return;
  plugin->state = COMMY_PLUGIN_STATE_QUIESCED;
  commy_plugin_quiesce_hooks (plugin);
  if (plugin->descriptor->quiesce != NULL)
    plugin->descriptor->quiesce (plugin->wraps != NULL ? plugin->base_instance : plugin->instance);
}

void
commy_plugin_stop (CommyPlugin *plugin)
{
  if (plugin->state != COMMY_PLUGIN_STATE_ACTIVE && plugin->state != COMMY_PLUGIN_STATE_QUIESCED)
    return;
  if (commy_plugin_is_hook (plugin))
    return; /* it goes with what it wraps */
  commy_plugin_unwrap (plugin);
  plugin->descriptor->fini (plugin->instance);
  drop_instance (plugin);
  plugin->state = COMMY_PLUGIN_STATE_LOADED;
}
