/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The daemon's audit trail: see the header. Users of the host are what strangers are to a mesh:
 * each of them has the same budget, so that none fills the disk by what he is denied, nor crowds
 * out what others are.
 */
#include "config.h"

#include "daemon/commyd-audit.h"

#include "base/commy-error-private.h"
#include "security/commy-audit-settings.h"

#include <string.h>
#include <unistd.h>

#define SERVICES "services/"

gboolean
commyd_audit_start (CommyConfig *config,
                    const char *mesh,
                    const char *state_dir,
                    CommyAuditLog **out_log,
                    GError **error)
{
  const char *set = commy_config_get (config, "audit", "directory");
  g_autofree char *directory = set != NULL && set[0] != '\0'
                                   ? g_strdup (set)
                                   : g_build_filename (state_dir, "audit", NULL);
  g_autofree char *settings = commy_audit_settings_dup (config);
  CommyAuditLogSetup setup = {
    .chain = { .directory = directory, .mesh = mesh, .node = "commyd", .env = commy_env_system () }
  };

  if (!commy_config_get_bool (config, "audit", "enabled"))
    return TRUE;
  if (!commy_audit_settings_read (config, &setup, error))
    return FALSE;
  *out_log = commy_audit_log_new (&setup);
  commy_audit_log_add (*out_log,
                       &(CommyAuditEvent){ { [COMMY_AUDIT_TYPE] = "node",
                                             [COMMY_AUDIT_OUTCOME] = "joined",
                                             [COMMY_AUDIT_DETAILS] = "commyd " PACKAGE_VERSION } });
  commy_audit_log_add (*out_log, &(CommyAuditEvent){ { [COMMY_AUDIT_TYPE] = "config",
                                                       [COMMY_AUDIT_OUTCOME] = "loaded",
                                                       [COMMY_AUDIT_DETAILS] = settings } });
  if (commy_audit_log_sync (*out_log) || !setup.refuses)
    return TRUE;
  commy_set_error (error, COMMY_ERROR_AUDIT,
                   "the audit trail in %s cannot be written, and on-failure=refuse stands in "
                   "[audit] (%s): the log says why",
                   directory, commy_config_get_origin (config, "audit", "on-failure"));
  return FALSE;
}

void
commyd_audit_stop (CommyAuditLog *log)
{
  commy_audit_log_add (
      log, &(CommyAuditEvent){ { [COMMY_AUDIT_TYPE] = "node", [COMMY_AUDIT_OUTCOME] = "left" } });
  commy_audit_log_free (log);
}

gboolean
commyd_audit_policy (CommyAuditLog *log, CommyConfig *config, const GError *fault, GError **error)
{
  g_autofree char *rules = config != NULL ? commy_audit_settings_dup_policy (config) : NULL;
  const CommyAuditEvent event = { {
      [COMMY_AUDIT_TYPE] = "policy",
      [COMMY_AUDIT_OUTCOME] = fault == NULL ? "loaded" : "refused",
      [COMMY_AUDIT_REASON] = fault != NULL ? commy_error_bare (fault) : NULL,
      [COMMY_AUDIT_DETAILS] = rules,
  } };

  if (fault == NULL)
    return commy_audit_log_check_rare (log, &event, error);
  commy_audit_log_add (log, &event);
  return TRUE;
}

void
commyd_audit_refused (CommyAuditLog *log, const guint32 *user, const GError *error)
{
  g_autofree char *principal = user != NULL ? g_strdup_printf ("unix:uid=%u", *user) : NULL;
  char number[16];
  const CommyAuditEvent event = { .texts = {
      [COMMY_AUDIT_TYPE] = "peer",
      [COMMY_AUDIT_OUTCOME] = "refused",
      [COMMY_AUDIT_PRINCIPAL] = principal,
      [COMMY_AUDIT_PEER] = commy_error_bare (error),
      [COMMY_AUDIT_REASON] = number,
  }, .is_stranger = TRUE };

  g_snprintf (number, sizeof number, "CMY%04d", CLAMP (error->code, 0, 9999));
  commy_audit_log_add (log, &event);
}

/* The name that is offered, if it is one. (transfer full) */
static char *
dup_service (const char *key)
{
  const char *name = key + strlen (SERVICES);
  const char *slash = g_str_has_prefix (key, SERVICES) ? strchr (name, '/') : NULL;

  return slash != NULL ? g_strndup (name, (gsize) (slash - name)) : NULL;
}

static const char *
method_of (const CommyStoreOp *op, const char *service)
{
  if (op->kind == COMMY_STORE_PUT)
    return service != NULL ? "offer" : "write";
  return "remove";
}

/* The key may have a name in it, and the text has it, too: both are personal texts. */
void
commyd_audit_denied (CommyAuditLog *log,
                     const CommydRights *rights,
                     guint32 uid,
                     const CommyStoreOp *op,
                     const GError *error)
{
  g_autofree char *principal = g_strdup_printf ("unix:uid=%u", uid);
  g_autofree char *service = dup_service (op->key);
  char number[16];
  const CommyAuditEvent event = { .texts = {
      [COMMY_AUDIT_TYPE] = "store",
      [COMMY_AUDIT_OUTCOME] = "denied",
      [COMMY_AUDIT_PRINCIPAL] = principal,
      [COMMY_AUDIT_PEER] = commy_error_bare (error),
      [COMMY_AUDIT_SERVICE] = service,
      [COMMY_AUDIT_METHOD] = method_of (op, service),
      [COMMY_AUDIT_REASON] = number,
  }, .is_stranger = uid != 0 && uid != rights->own_uid };

  g_snprintf (number, sizeof number, "CMY%04d", CLAMP (error->code, 0, 9999));
  commy_audit_log_add (log, &event);
}

gboolean
commyd_audit_denial (CommyAuditLog *log,
                     const CommydRights *rights,
                     guint32 uid,
                     const CommyStoreOp *op,
                     gboolean waits,
                     GError **error)
{
  g_autofree char *principal = g_strdup_printf ("unix:uid=%u", uid);
  const CommyAuditEvent event = { .texts = {
      [COMMY_AUDIT_TYPE] = "store",
      [COMMY_AUDIT_OUTCOME] = "allowed",
      [COMMY_AUDIT_PRINCIPAL] = principal,
      [COMMY_AUDIT_PEER] = op->key,
      [COMMY_AUDIT_METHOD] = method_of (op, NULL),
  }, .is_stranger = uid != 0 && uid != rights->own_uid };

  return waits ? commy_audit_log_check_rare (log, &event, error)
               : commy_audit_log_check (log, &event, error);
}
