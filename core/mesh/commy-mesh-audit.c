/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The audit trail of a mesh, from join to leave: where it is, who seals it, and what is recorded of
 * the node itself.
 */
#include "config.h"

#include "base/commy-error-private.h"
#include "mesh/commy-mesh-private.h"
#include "security/commy-audit-settings.h"

#include <commy/commy-version.h>

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

gboolean
commy_mesh_fill_audit_setup (CommyMesh *self,
                             const char *directory,
                             CommyAuditLogSetup *setup,
                             GError **error)
{
  *setup = (CommyAuditLogSetup){
    .chain = { .directory = directory, .mesh = self->name, .node = self->node, .env = self->env }
  };
  return commy_audit_settings_read (self->config, setup, error);
}

gboolean
commy_mesh_start_audit (CommyMesh *self, GError **error)
{
  g_autofree char *directory = commy_mesh_dup_audit_directory (self);
  g_autofree char *settings = NULL;
  CommyAuditLogSetup setup;

  if (!commy_config_get_bool (self->config, "audit", "enabled"))
    return TRUE;
  if (!commy_mesh_fill_audit_setup (self, directory, &setup, error))
    return FALSE;
  setup.chain.seal = seal;
  setup.chain.seal_data = self;
  self->shared.audit = commy_audit_log_new (&setup);
  commy_mesh_audit (self, "node", "joined", NULL, "commy " COMMY_VERSION);
  settings = commy_audit_settings_dup (self->config);
  commy_mesh_audit (self, "config", "loaded", NULL, settings);
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
  g_autofree char *rules = commy_audit_settings_dup_policy (config);
  CommyAuditEvent event = make_event ("policy", "loaded", NULL, rules);

  if (fault == NULL)
    return commy_audit_log_check_rare (self->shared.audit, &event, error);
  commy_mesh_audit (self, "policy", "refused", commy_error_bare (fault), rules);
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
          if (!commy_audit_log_check_rare (self->shared.audit, &event, error))
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
