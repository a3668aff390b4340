/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * All that joining a mesh asks of keyfiles, without joining: policy, chains of proofs, health
 * checks, and whether the plugins that are named are there and take their parameters.
 */
#include "config.h"

#include "mesh/commy-keyfile-check.h"

#include "base/commy-error-private.h"
#include "config/commy-config-value.h"
#include "control/commy-resilience.h"
#include "mesh/commy-check.h"
#include "security/commy-auth-chain.h"
#include "security/commy-policy.h"

#include <string.h>

#define PLUGIN "plugin "

typedef struct
{
  CommyConfig *config;
  CommyCatalog *catalog;
  gboolean is_doubted; /* the file says itself which plugins are trusted */
  CommyCatalog *known; /* those that are found without it, if it is; NULL: none */
} Check;

/* --- plugins that are named --- */

/* "; did you mean ...?" of those of a kind that can be used, or "". (transfer full) */
static char *
suggest (CommyCatalog *catalog, guint kind, const char *id)
{
  g_autoptr (GPtrArray) ids = g_ptr_array_new ();

  for (guint i = 0; i < commy_catalog_get_n_plugins (catalog); i++)
    {
      CommyPlugin *plugin = commy_catalog_get_plugin (catalog, i);

      if (plugin->has_note && plugin->note.kind == kind
          && commy_catalog_find (catalog, kind, plugin->note.id) == plugin)
        g_ptr_array_add (ids, plugin->note.id);
    }
  if (ids->len == 0)
    return g_strdup ("; there is none of its kind");
  g_ptr_array_add (ids, NULL);
  return commy_value_suggest (id, (const char *const *) ids->pdata);
}

static CommyPlugin *
find_usable (CommyCatalog *catalog, guint kind, const char *id, GError **error)
{
  CommyPlugin *plugin = commy_catalog_find (catalog, kind, id);
  CommyPlugin *listed = commy_catalog_find_any (catalog, kind, id);
  g_autofree char *suggestion = NULL;

  if (plugin != NULL)
    return plugin;
  if (listed != NULL)
    commy_set_error (error, COMMY_ERROR_PLUGIN_MISSING, "%s cannot be used: %s", listed->name,
                     listed->reason != NULL ? listed->reason : "see commy plugin list");
  else
    {
      suggestion = suggest (catalog, kind, id);
      commy_set_error (error, COMMY_ERROR_PLUGIN_MISSING, "there is no %s \"%s\"%s",
                       commy_plugin_kind_to_string (kind), id, suggestion);
    }
  return NULL;
}

static CommyPlugin *
find_for_chain (gpointer catalog, const char *id, GError **error)
{
  return find_usable (catalog, COMMY_PLUGIN_AUTH, id, error);
}

/* Where nothing is named this file has nothing to answer for. */
static gboolean
check_named (const Check *self, const char *group, const char *key, guint kind, GError **error)
{
  const char *id = commy_config_get (self->config, group, key);
  g_autoptr (GError) cause = NULL;

  if (id == NULL || id[0] == '\0' || find_usable (self->catalog, kind, id, &cause) != NULL)
    return TRUE;
  commy_set_error (error, COMMY_ERROR_CONFIG_VALUE, "%s: [%s] %s=%s: %s",
                   commy_config_get_origin (self->config, group, key), group, key, id,
                   commy_error_bare (cause));
  return FALSE;
}

static gboolean
check_balancers (const Check *self, GError **error)
{
  g_autoptr (GPtrArray) groups = commy_config_list_groups (self->config, "service ");

  for (guint i = 0; i < groups->len; i++)
    if (!check_named (self, groups->pdata[i], "balancer", COMMY_PLUGIN_BALANCER, error))
      return FALSE;
  return check_named (self, "mesh", "balancer", COMMY_PLUGIN_BALANCER, error);
}

/* One of them is enough to start. */
static gboolean
check_auth (const Check *self, GError **error)
{
  g_auto (GStrv) ids = commy_config_get_list (self->config, "mesh", "auth");
  const char *origin = commy_config_get_origin (self->config, "mesh", "auth");
  g_autoptr (GError) first = NULL;
  gboolean found = FALSE;

  for (guint i = 0; ids[i] != NULL; i++)
    {
      g_autoptr (GError) cause = NULL;

      if (find_usable (self->catalog, COMMY_PLUGIN_AUTH, ids[i], &cause) != NULL)
        found = TRUE;
      else if (first == NULL)
        first = g_steal_pointer (&cause);
    }
  if (first != NULL && !found)
    commy_set_error (error, COMMY_ERROR_CONFIG_VALUE, "%s: [mesh] auth: %s", origin,
                     commy_error_bare (first));
  else if (first != NULL)
    g_message ("%s: [mesh] auth: %s; the others are asked", origin, commy_error_bare (first));
  return first == NULL || found;
}

/* --- groups of plugins --- */

static CommyPlugin *
find_by_name (CommyCatalog *catalog, const char *name)
{
  for (guint i = 0; i < commy_catalog_get_n_plugins (catalog); i++)
    if (strcmp (commy_catalog_get_plugin (catalog, i)->name, name) == 0)
      return commy_catalog_get_plugin (catalog, i);
  return NULL;
}

/* What is not installed here may be elsewhere, so only a name like that of one that is here is
 * taken for a slip. */
static gboolean
check_absent (
    const Check *self, const char *group, const char *key, const char *name, GError **error)
{
  const char *origin = commy_config_get_origin (self->config, group, key);
  const char *meant = commy_catalog_find_slip (self->catalog, name);

  if (meant != NULL)
    {
      commy_set_error (error, COMMY_ERROR_CONFIG_VALUE,
                       "%s: [%s] there is no plugin \"%s\"; did you mean \"%s\"?", origin, group,
                       name, meant);
      return FALSE;
    }
  g_message ("%s: [%s] there is no plugin \"%s\" here: what is said of it was not checked", origin,
             group, name);
  return TRUE;
}

/* Looking at a file that somebody sent must not run code that came with it. */
static gboolean
may_load (const Check *self, const CommyPlugin *plugin)
{
  if (!self->is_doubted)
    return TRUE;
  for (guint i = 0; self->known != NULL && i < commy_catalog_get_n_plugins (self->known); i++)
    {
      const CommyPlugin *known = commy_catalog_get_plugin (self->known, i);

      if (strcmp (known->path, plugin->path) == 0)
        return known->state != COMMY_PLUGIN_STATE_REJECTED;
    }
  return FALSE;
}

static gboolean
check_parameters (const Check *self, const char *group, CommyPlugin *plugin, GError **error)
{
  if (plugin->state != COMMY_PLUGIN_STATE_FOUND)
    return TRUE;
  if (may_load (self, plugin))
    return commy_plugin_load (plugin, self->config, error);
  g_message ("%s: [%s] %s was not loaded, because only this file has it trusted: its parameters "
             "were not checked",
             commy_config_get_origin (self->config, group, NULL), group, plugin->path);
  return TRUE;
}

/* A plugin that does not take its parameters is left out when a mesh is joined. */
static gboolean
check_plugins (const Check *self, GError **error)
{
  g_autoptr (GPtrArray) groups = commy_config_list_groups (self->config, PLUGIN);

  for (guint i = 0; i < groups->len; i++)
    {
      const char *group = groups->pdata[i];
      const char *name = group + strlen (PLUGIN);
      CommyPlugin *plugin = find_by_name (self->catalog, name);

      if (plugin == NULL && !check_absent (self, group, NULL, name, error))
        return FALSE;
      if (plugin != NULL && !check_parameters (self, group, plugin, error))
        return FALSE;
    }
  return TRUE;
}

static gboolean
check_denied (const Check *self, GError **error)
{
  g_auto (GStrv) denied = commy_config_get_list (self->config, "plugins", "deny");

  for (guint i = 0; denied[i] != NULL; i++)
    if (strpbrk (denied[i], "*?") == NULL && find_by_name (self->catalog, denied[i]) == NULL
        && !check_absent (self, "plugins", "deny", denied[i], error))
      return FALSE;
  return TRUE;
}

/* --- the whole --- */

static gboolean
check_chains (const Check *self, GError **error)
{
  CommyPlugin *nobody[] = { NULL };
  g_autoptr (CommyAuthChains) chains
      = commy_auth_chains_new (self->config, nobody, find_for_chain, self->catalog, error);

  return chains != NULL;
}

/* What the keyfiles say by themselves. */
static gboolean
check_rules (CommyConfig *config, GError **error)
{
  static const char *const nobody[] = { NULL };
  g_autoptr (CommyPolicy) policy = NULL;

  if (!commy_resilience_check (config, error) || !commy_check_config (config, error))
    return FALSE;
  policy = commy_policy_compile (config, nobody, error);
  return policy != NULL;
}

/* Whether it changes which plugin files would be loaded. */
static gboolean
moves_trust (CommyConfig *base, CommyConfig *config)
{
  static const char *const keys[] = { "path", "user-plugins", "trust" };

  for (gsize i = 0; i < G_N_ELEMENTS (keys); i++)
    if (g_strcmp0 (commy_config_get (base, "plugins", keys[i]),
                   commy_config_get (config, "plugins", keys[i]))
        != 0)
      return TRUE;
  /* The hashes may be its own. */
  return g_strcmp0 (commy_config_get (config, "plugins", "trust"), "hash") == 0;
}

/* @base: without the file. */
static gboolean
check_names (CommyConfig *config, CommyConfig *base, GError **error)
{
  g_autoptr (CommyCatalog) catalog = commy_catalog_new (config, NULL, error);
  g_autoptr (CommyCatalog) known = NULL;
  Check self = { .config = config, .catalog = catalog };

  self.is_doubted = base != config && moves_trust (base, config);
  if (self.is_doubted)
    known = commy_catalog_new (base, NULL, NULL);
  self.known = known;
  return catalog != NULL && check_chains (&self, error)
         && check_named (&self, "mesh", "store", COMMY_PLUGIN_STORE, error)
         && check_named (&self, "daemon", "store", COMMY_PLUGIN_STORE, error)
         && check_named (&self, "security", "policy-engine", COMMY_PLUGIN_POLICY, error)
         && check_auth (&self, error) && check_balancers (&self, error)
         && check_plugins (&self, error) && check_denied (&self, error);
}

/* @base: what is read anyway. */
static gboolean
check_all (CommyConfig *config, CommyConfig *base, GError **error)
{
  return check_rules (config, error) && check_names (config, base, error);
}

/* Whether it is there without the file, too. */
static gboolean
is_of_others (CommyConfigSources *sources,
              const char *path,
              CommyConfig *base,
              const GError *cause,
              GError **out_others)
{
  g_autoptr (CommyConfig) rest = NULL;

  sources->without = path;
  rest = commy_config_load (sources, NULL);
  if (rest == NULL || check_all (rest, base, out_others))
    return FALSE;
  if (strcmp (cause->message, (*out_others)->message) == 0)
    return TRUE;
  g_clear_error (out_others);
  return FALSE;
}

/* While the others are wrong nobody knows what they would have, nor where plugins are: that
 * something is missing is no mistake of this one. */
static gboolean
check_alone (const char *path, const GError *others, GError **error)
{
  g_autoptr (CommyConfig) config = commy_config_load_over (NULL, path, error);
  g_autoptr (GError) rules = NULL;

  if (config == NULL)
    return FALSE;
  if (!check_rules (config, &rules))
    g_message ("by itself it is not whole, which others may make good: %s",
               commy_error_bare (rules));
  g_message ("%s was checked by itself, and not the plugins it names, because another keyfile is "
             "wrong: %s",
             path, commy_error_bare (others));
  return TRUE;
}

gboolean
commy_keyfile_check (const char *path, GError **error)
{
  g_autoptr (CommyConfig) base = NULL;
  g_autoptr (CommyConfig) config = NULL;
  g_autoptr (GError) cause = NULL;
  g_autoptr (GError) others = NULL;
  g_autofree char *failed = NULL;
  CommyConfigSources sources;

  if (!commy_config_check_file (path, error))
    return FALSE;
  commy_config_sources_default (&sources);
  base = commy_config_load_where (&sources, &failed, &cause);
  if (base == NULL && (failed == NULL || !commy_config_is_same_file (failed, path)))
    return check_alone (path, cause, error);
  if (base != NULL)
    config = commy_config_load_over (base, path, &cause);
  if (config != NULL && check_all (config, base, &cause))
    return TRUE;
  if (config != NULL && is_of_others (&sources, path, base, cause, &others))
    return check_alone (path, others, error);
  g_propagate_error (error, g_steal_pointer (&cause));
  return FALSE;
}
