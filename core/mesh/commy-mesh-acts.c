/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What people do by hand, for the audit trail. A joined mesh has one open; for others, such as
 * commands that need no mesh, one is opened with the first act, and providers of the keyfile that
 * can seal it are started for that alone.
 */
#include "config.h"

#include "base/commy-error-private.h"
#include "mesh/commy-mesh-private.h"
#include "security/commy-audit-alike.h"

#include <string.h>

struct _CommyActs
{
  GMainContext *context; /* of the providers; nobody runs it */
  CommyCatalog *catalog;
  GPtrArray *sealers; /* CommyPlugin, started */
  CommyAuditLog *log;
};

/* --- one that has not joined --- */

/* On the log's thread. */
static gboolean
seal (gpointer data,
      gboolean first,
      gconstpointer bytes,
      gsize size,
      guint8 *out_seal,
      gsize *out_size)
{
  CommyActs *self = data;

  for (guint i = 0; i < self->sealers->len; i++)
    {
      const CommyPlugin *plugin = self->sealers->pdata[i];

      if (plugin->ops.auth.seal (plugin->instance, first, bytes, size, out_seal, out_size))
        return TRUE;
    }
  return FALSE;
}

static gboolean
can_seal (const CommyPlugin *plugin)
{
  const CommyAuthOps *own = plugin->descriptor->ops;

  return own->struct_size > G_STRUCT_OFFSET (CommyAuthOps, seal) && own->seal != NULL;
}

static void
start_sealer (CommyActs *self, CommyMesh *mesh, const char *id)
{
  CommyPlugin *plugin = commy_catalog_find (self->catalog, COMMY_PLUGIN_AUTH, id);
  const CommyHostSetup setup = { .context = self->context,
                                 .mesh = mesh->name,
                                 .node = mesh->node,
                                 .runtime_dir = mesh->runtime_dir,
                                 .state_dir = mesh->state_dir,
                                 .credentials_dir = mesh->credentials_dir,
                                 .host_id = commy_env_host_id (),
                                 .env = mesh->env };
  g_autoptr (GError) error = NULL;

  if (plugin == NULL || !commy_plugin_load (plugin, mesh->config, NULL) || !can_seal (plugin))
    return;
  if (commy_plugin_start (plugin, mesh->config, &setup, &error))
    g_ptr_array_add (self->sealers, plugin);
  else
    g_message ("auth provider %s seals nothing: %s", id, error->message);
}

static void
start_sealers (CommyActs *self, CommyMesh *mesh)
{
  g_auto (GStrv) ids = commy_config_get_list (mesh->config, "mesh", "auth");

  self->context = g_main_context_new ();
  self->catalog = commy_catalog_new (mesh->config, NULL, NULL);
  self->sealers = g_ptr_array_new ();
  g_main_context_push_thread_default (self->context);
  for (guint i = 0; self->catalog != NULL && ids[i] != NULL; i++)
    start_sealer (self, mesh, ids[i]);
  g_main_context_pop_thread_default (self->context);
}

static CommyActs *
acts_new (CommyMesh *mesh)
{
  g_autofree char *directory = commy_mesh_dup_audit_directory (mesh);
  CommyActs *self = g_new0 (CommyActs, 1);
  CommyAuditLogSetup setup;

  start_sealers (self, mesh);
  /* What is wrong there keeps nobody from shutting somebody out. */
  commy_mesh_fill_audit_setup (mesh, directory, &setup, NULL);
  setup.chain.seal = seal;
  setup.chain.seal_data = self;
  self->log = commy_audit_log_new (&setup);
  return self;
}

void
commy_acts_free (CommyActs *self)
{
  if (self == NULL)
    return;
  commy_audit_log_free (self->log);
  for (guint i = self->sealers->len; i-- > 0;)
    commy_plugin_stop (self->sealers->pdata[i]);
  g_ptr_array_unref (self->sealers);
  g_clear_pointer (&self->catalog, commy_catalog_free);
  g_main_context_unref (self->context);
  g_free (self);
}

/* --- either --- */

/* (transfer full) (nullable): of a mesh that has joined, and has one */
static CommyAuditLog *
dup_running (CommyMesh *self)
{
  CommyAuditLog *log = NULL;

  g_mutex_lock (&self->lock);
  if (self->state == COMMY_MESH_JOINED && self->shared.audit != NULL)
    log = commy_audit_log_ref (self->shared.audit);
  g_mutex_unlock (&self->lock);
  return log;
}

/* (transfer full) */
static CommyAuditLog *
dup_log (CommyMesh *self)
{
  CommyAuditLog *log = dup_running (self);

  if (log != NULL)
    return log;
  g_mutex_lock (&self->acts_lock);
  if (self->acts == NULL)
    self->acts = acts_new (self);
  log = commy_audit_log_ref (self->acts->log);
  g_mutex_unlock (&self->acts_lock);
  return log;
}

gboolean
commy_mesh_record_act (CommyMesh *self,
                       const char *act,
                       const char *about,
                       const char *outcome,
                       const char *details,
                       GError **error)
{
  static const char *const outcomes[] = { "begun", "done", "failed", NULL };
  g_autofree char *who = g_strdup_printf ("unix:uid=%u", (guint) geteuid ());
  gboolean failed;
  CommyAuditEvent event = { {
      [COMMY_AUDIT_TYPE] = COMMY_AUDIT_ADMIN,
      [COMMY_AUDIT_OUTCOME] = outcome,
      [COMMY_AUDIT_PRINCIPAL] = who,
      [COMMY_AUDIT_PEER] = about,
      [COMMY_AUDIT_METHOD] = act,
  } };
  CommyAuditLog *log;
  gboolean recorded;

  g_return_val_if_fail (COMMY_IS_MESH (self), FALSE);
  g_return_val_if_fail (act != NULL && outcome != NULL, FALSE);
  g_return_val_if_fail (g_strv_contains (outcomes, outcome), FALSE);
  if (!commy_config_get_bool (self->config, "audit", "enabled"))
    return TRUE;
  failed = strcmp (outcome, "failed") == 0;
  event.texts[failed ? COMMY_AUDIT_REASON : COMMY_AUDIT_DETAILS] = details;
  log = dup_log (self);
  recorded = commy_audit_log_check_written (log, &event, error);
  commy_audit_log_unref (log);
  return recorded;
}

gboolean
commy_mesh_record_certificate (CommyMesh *self,
                               const char *outcome,
                               const char *principal,
                               const char *address,
                               const char *about,
                               GError **error)
{
  static const char *const outcomes[] = { "issued", "renewed", "refused", NULL };
  g_autofree char *alike = NULL;
  CommyAuditEvent event = { .texts = {
                                [COMMY_AUDIT_TYPE] = "certificate",
                                [COMMY_AUDIT_OUTCOME] = outcome,
                                [COMMY_AUDIT_PRINCIPAL] = principal,
                                [COMMY_AUDIT_ADDRESS] = address,
                                [COMMY_AUDIT_PEER] = about,
                            } };
  gboolean recorded = TRUE;
  CommyAuditLog *log;

  g_return_val_if_fail (COMMY_IS_MESH (self), FALSE);
  g_return_val_if_fail (outcome != NULL && g_strv_contains (outcomes, outcome), FALSE);
  if (!commy_config_get_bool (self->config, "audit", "enabled"))
    return TRUE;
  log = dup_log (self);
  if (strcmp (outcome, "refused") == 0)
    {
      alike = about != NULL ? commy_audit_dup_alike (about) : NULL;
      event.is_stranger = TRUE;
      event.alike = alike;
      commy_audit_log_add (log, &event);
    }
  else
    recorded = commy_audit_log_check_rare (log, &event, error);
  commy_audit_log_unref (log);
  return recorded;
}
