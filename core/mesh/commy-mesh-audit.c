/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The audit trail of a mesh, from join to leave: where it is, who seals it, and what is recorded of
 * the node itself.
 */
#include "config.h"

#include "base/commy-error-private.h"
#include "mesh/commy-mesh-private.h"

#include <commy/commy-version.h>
#include <string.h>

#define RETRY_US G_USEC_PER_SEC

char *
commy_mesh_dup_audit_directory (CommyMesh *self)
{
  const char *set = commy_config_get (self->config, "audit", "directory");

  return set != NULL && set[0] != '\0' ? g_strdup (set)
                                       : g_build_filename (self->state_dir, "audit", NULL);
}

/* The first provider that has a key. On the log's thread. */
static gboolean
seal (gpointer data,
      gboolean first,
      gconstpointer bytes,
      gsize size,
      guint8 *out_seal,
      gsize *out_size)
{
  CommyMesh *self = data;

  for (CommyPlugin **auth = self->setup.auth; *auth != NULL; auth++)
    if ((*auth)->ops.auth.seal ((*auth)->instance, first, bytes, size, out_seal, out_size))
      return TRUE;
  return FALSE;
}

static CommyAuditCalls
read_calls (CommyConfig *config)
{
  const char *word = commy_config_get (config, "audit", "calls");

  if (g_strcmp0 (word, "all") == 0)
    return COMMY_AUDIT_CALLS_ALL;
  return g_strcmp0 (word, "none") == 0 ? COMMY_AUDIT_CALLS_NONE : COMMY_AUDIT_CALLS_DENIED;
}

static CommyAuditEvent
make_event (const char *type, const char *outcome, const char *reason, const char *details)
{
  return (CommyAuditEvent){ {
      [COMMY_AUDIT_TYPE] = type,
      [COMMY_AUDIT_OUTCOME] = outcome,
      [COMMY_AUDIT_REASON] = reason,
      [COMMY_AUDIT_DETAILS] = details,
  } };
}

void
commy_mesh_audit (
    CommyMesh *self, const char *type, const char *outcome, const char *reason, const char *details)
{
  CommyAuditEvent event = make_event (type, outcome, reason, details);

  commy_audit_log_add (self->shared.audit, &event);
}

void
commy_mesh_audit_from_plugin (gpointer mesh,
                              const char *type,
                              const char *outcome,
                              const char *details)
{
  commy_mesh_audit (mesh, type, outcome, NULL, details);
}

/* One's own settings by their hash: whether they changed from one join to the next can be seen, and
 * what they are is in the files. */
static void
audit_config (CommyMesh *self)
{
  g_autoptr (GVariant) list = g_variant_ref_sink (commy_config_list (self->config));
  g_autofree char *text = g_variant_print (list, FALSE);
  g_autofree char *hash = g_compute_checksum_for_string (G_CHECKSUM_SHA256, text, -1);
  g_autofree char *details = g_strdup_printf ("sha256:%s", hash);

  commy_mesh_audit (self, "config", "loaded", NULL, details);
}

/* The same of what a policy consists of, wherever it is written: (transfer full) */
static char *
hash_policy (CommyConfig *config)
{
  static const char *const parts[] = { "policy ", "role ", "network-group ", "security" };
  g_autoptr (GVariant) list = g_variant_ref_sink (commy_config_list (config));
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA256);
  const char *group, *key, *value;
  GVariantIter iter;

  g_variant_iter_init (&iter, list);
  while (g_variant_iter_next (&iter, "(&s&s&s&s)", &group, &key, &value, NULL))
    for (guint i = 0; i < G_N_ELEMENTS (parts); i++)
      if (g_str_has_prefix (group, parts[i]))
        {
          const char *const words[] = { group, key, value };

          for (guint j = 0; j < G_N_ELEMENTS (words); j++)
            g_checksum_update (sum, (const guchar *) words[j], (gssize) strlen (words[j]) + 1);
        }
  return g_strdup (g_checksum_get_string (sum));
}

/* The file that is written has its place in the whole, and so should one that can be read. */
static gboolean
check_sizes (CommyMesh *self, const CommyAuditChainSetup *chain, GError **error)
{
  if (chain->max_total_size == 0 || chain->max_total_size / 2 >= chain->max_file_size)
    return TRUE;
  commy_set_error (error, COMMY_ERROR_CONFIG_VALUE,
                   "max-total-size of [audit] (%s) has to be twice max-file-size at least (%s)",
                   commy_config_get_origin (self->config, "audit", "max-total-size"),
                   commy_config_get_origin (self->config, "audit", "max-file-size"));
  return FALSE;
}

void
commy_mesh_fill_audit_setup (CommyMesh *self, const char *directory, CommyAuditLogSetup *setup)
{
  const char *failure = commy_config_get (self->config, "audit", "on-failure");

  *setup = (CommyAuditLogSetup){
    .chain
    = { .directory = directory,
        .mesh = self->name,
        .node = self->node,
        .env = self->env,
        .max_file_size = commy_config_get_size (self->config, "audit", "max-file-size"),
        .max_total_size = commy_config_get_size (self->config, "audit", "max-total-size"),
        .retention_us = commy_config_get_duration (self->config, "audit", "retention") / 1000 },
    .calls = read_calls (self->config),
    .refuses = g_strcmp0 (failure, "refuse") == 0,
    .strangers_per_second
    = (guint) commy_config_get_int (self->config, "audit", "strangers-per-second"),
    .queue_size = COMMY_AUDIT_QUEUE_SIZE,
    .retry_us = RETRY_US,
  };
}

gboolean
commy_mesh_start_audit (CommyMesh *self, GError **error)
{
  g_autofree char *directory = commy_mesh_dup_audit_directory (self);
  CommyAuditLogSetup setup;

  if (!commy_config_get_bool (self->config, "audit", "enabled"))
    return TRUE;
  commy_mesh_fill_audit_setup (self, directory, &setup);
  setup.chain.seal = seal;
  setup.chain.seal_data = self;
  if (!check_sizes (self, &setup.chain, error))
    return FALSE;
  self->shared.audit = commy_audit_log_new (&setup);
  commy_mesh_audit (self, "node", "joined", NULL, "commy " COMMY_VERSION);
  audit_config (self);
  if (commy_audit_log_sync (self->shared.audit) || !setup.refuses)
    return TRUE;
  commy_set_error (error, COMMY_ERROR_AUDIT,
                   "the audit trail in %s cannot be written, and on-failure=refuse stands in "
                   "[audit] (%s): the log says why",
                   directory, commy_config_get_origin (self->config, "audit", "on-failure"));
  return FALSE;
}

gboolean
commy_mesh_audit_policy (CommyMesh *self, CommyConfig *config, const GError *fault, GError **error)
{
  g_autoptr (GPtrArray) groups = commy_config_list_groups (config, "policy ");
  g_autofree char *hash = hash_policy (config);
  g_autoptr (GString) rules = g_string_new (NULL);
  CommyAuditEvent event;

  /* The names are cut where there are many. */
  g_string_append_printf (rules, "sha256:%s, rules", hash);
  for (guint i = 0; i < groups->len; i++)
    g_string_append_printf (rules, " %s", (const char *) groups->pdata[i] + strlen ("policy "));
  event = make_event ("policy", "loaded", NULL, rules->str);
  if (fault == NULL)
    return commy_audit_log_check (self->shared.audit, &event, error);
  commy_mesh_audit (self, "policy", "refused", commy_error_bare (fault), rules->str);
  return TRUE;
}

/* What runs here, and what could not. */
gboolean
commy_mesh_audit_plugins (CommyMesh *self, GError **error)
{
  guint n = self->shared.audit != NULL ? commy_catalog_get_n_plugins (self->catalog) : 0;

  for (guint i = 0; i < n; i++)
    {
      const CommyPlugin *plugin = commy_catalog_get_plugin (self->catalog, i);
      g_autofree char *details = g_strdup_printf (
          "%s %s %s", plugin->name, plugin->has_note ? plugin->note.version : "?", plugin->path);

      CommyAuditEvent event = make_event ("plugin", "loaded", NULL, details);

      if (plugin->state == COMMY_PLUGIN_STATE_ACTIVE)
        {
          if (!commy_audit_log_check (self->shared.audit, &event, error))
            return FALSE;
        }
      else if (plugin->reason != NULL)
        commy_mesh_audit (self, "plugin", "rejected", plugin->reason, details);
    }
  return TRUE;
}

void
commy_mesh_stop_audit (CommyMesh *self)
{
  commy_mesh_audit (self, "node", "left", NULL, NULL);
  g_clear_pointer (&self->shared.audit, commy_audit_log_free);
}
