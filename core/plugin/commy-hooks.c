/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Hooks: plugins that wrap another one. What is wrapped keeps its name, its profile and its
 * place everywhere; only its operations and its instance become the outermost hook's. Memory of
 * connections holds the hook's part first and what it wraps behind (commy-hook.h).
 */
#include "config.h"

#include "base/commy-error-private.h"
#include "plugin/commy-plugin-private.h"

#include <string.h>

#define ROUND_UP(size) (((size) + 63) & ~(gsize) 63)

/* One hook on one plugin. */
struct _CommyWrap
{
  CommyPlugin *hook;
  CommyHost *host;
  gpointer instance;
  CommyPluginOps ops; /* the hook's, with room for what is below */
};

static void
wrap_free (gpointer data)
{
  CommyWrap *wrap = data;

  g_clear_pointer (&wrap->host, commy_host_free);
  g_clear_pointer (&wrap->instance, g_aligned_free);
  g_free (wrap);
}

static CommyPlugin *
find_hook (CommyPlugin *plugin, CommyCatalog *catalog, const char *id, GError **error)
{
  CommyPlugin *hook = commy_catalog_find (catalog, plugin->note.kind, id);

  if (hook == NULL)
    commy_set_error (error, COMMY_ERROR_PLUGIN_MISSING,
                     "no usable plugin %s/%s, which hooks= of [plugin %s] names (%s): see commy "
                     "plugin list",
                     commy_plugin_kind_to_string (plugin->note.kind), id, plugin->name,
                     plugin->hooks_origin);
  else if (!commy_plugin_is_hook (hook))
    commy_set_error (error, COMMY_ERROR_PLUGIN_INIT,
                     "plugin %s is no hook, but hooks= of [plugin %s] names it (%s)", hook->name,
                     plugin->name, plugin->hooks_origin);
  else
    return hook;
  return NULL;
}

static gboolean
add_wrap (CommyPlugin *plugin,
          CommyPlugin *hook,
          CommyConfig *config,
          const CommyHostSetup *setup,
          GError **error)
{
  CommyWrap *wrap = g_new0 (CommyWrap, 1);
  CommyWrap *below = plugin->wraps->len > 0 ? plugin->wraps->pdata[plugin->wraps->len - 1] : NULL;
  const CommyPluginOps *next = below != NULL ? &below->ops : &plugin->base_ops;
  g_autoptr (GError) cause = NULL;
  CommyTrial *trial;
  gboolean ok;

  wrap->hook = hook;
  wrap->ops = hook->ops;
  wrap->ops.transport.connection_size
      = ROUND_UP (wrap->ops.transport.connection_size) + next->transport.connection_size;
  wrap->ops.transport.listener_size
      = ROUND_UP (wrap->ops.transport.listener_size) + next->transport.listener_size;
  wrap->host = commy_host_new (hook, config, setup);
  commy_host_set_next (wrap->host, plugin, next, plugin->instance);
  wrap->instance = g_aligned_alloc0 (1, MAX (hook->descriptor->instance_size, 64), 64);
  trial = commy_quarantine_begin (hook->quarantine, hook->name, hook->path, "its init ran");
  ok = hook->descriptor->init (wrap->instance, wrap->host, &cause);
  commy_trial_end (trial, ok);
  if (!ok)
    {
      commy_set_error (error, COMMY_ERROR_PLUGIN_INIT, "hook %s did not start: %s", hook->name,
                       cause != NULL ? commy_error_bare (cause)
                                     : "its init failed without saying why");
      wrap_free (wrap);
      return FALSE;
    }
  g_ptr_array_add (plugin->wraps, wrap);
  plugin->ops = wrap->ops;
  plugin->instance = wrap->instance;
  hook->n_wrapped++;
  hook->state = COMMY_PLUGIN_STATE_ACTIVE;
  return TRUE;
}

gboolean
commy_plugin_is_hook (const CommyPlugin *plugin)
{
  return plugin->has_note && (plugin->note.flags & COMMY_PLUGIN_FLAG_HOOK) != 0;
}

gboolean
commy_plugin_wrap (CommyPlugin *plugin,
                   CommyCatalog *catalog,
                   CommyConfig *config,
                   const CommyHostSetup *setup,
                   GError **error)
{
  guint n = plugin->hooks != NULL ? g_strv_length (plugin->hooks) : 0;

  if (n == 0)
    return TRUE;
  if (plugin->note.kind != COMMY_PLUGIN_TRANSPORT)
    {
      commy_set_error (error, COMMY_ERROR_CONFIG_VALUE,
                       "only transports have hooks; [plugin %s] has some (%s)", plugin->name,
                       plugin->hooks_origin);
      return FALSE;
    }
  plugin->base_ops = plugin->ops;
  plugin->base_instance = plugin->instance;
  plugin->wraps = g_ptr_array_new_with_free_func (wrap_free);
  /* The first one in the list is the outermost. */
  for (guint i = n; i-- > 0;)
    {
      CommyPlugin *hook = find_hook (plugin, catalog, plugin->hooks[i], error);

      if (hook == NULL || !commy_plugin_load (hook, config, error)
          || !add_wrap (plugin, hook, config, setup, error))
        {
          commy_plugin_unwrap (plugin);
          return FALSE;
        }
    }
  return TRUE;
}

void
commy_plugin_quiesce_hooks (CommyPlugin *plugin)
{
  for (guint i = plugin->wraps != NULL ? plugin->wraps->len : 0; i-- > 0;)
    {
      CommyWrap *wrap = plugin->wraps->pdata[i];

      if (wrap->hook->descriptor->quiesce != NULL)
        wrap->hook->descriptor->quiesce (wrap->instance);
    }
}

void
commy_plugin_unwrap (CommyPlugin *plugin)
{
  if (plugin->wraps == NULL)
    return;
  while (plugin->wraps->len > 0)
    {
      CommyWrap *wrap = plugin->wraps->pdata[plugin->wraps->len - 1];

      wrap->hook->descriptor->fini (wrap->instance);
      if (--wrap->hook->n_wrapped == 0)
        wrap->hook->state = COMMY_PLUGIN_STATE_LOADED;
      g_ptr_array_set_size (plugin->wraps, (gint) plugin->wraps->len - 1);
    }
  g_clear_pointer (&plugin->wraps, g_ptr_array_unref);
  plugin->ops = plugin->base_ops;
  plugin->instance = g_steal_pointer (&plugin->base_instance);
}
