/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The daemon's own audit trail: what it is told to do by its keyfile, whom it refuses, and what
 * it denies the users of the host. Written as a mesh writes one; without [audit] it is NULL, which
 * all of these take.
 */
#pragma once

#include "daemon/commyd-rights.h"

#include "security/commy-audit-log.h"

/* In @state_dir unless the keyfile says otherwise. @out_log: NULL if none is wanted. Error: it
 * cannot be written, and on-failure=refuse says that nothing may happen then. */
gboolean commyd_audit_start (CommyConfig *config,
                             const char *mesh,
                             const char *state_dir,
                             CommyAuditLog **out_log,
                             GError **error);
void commyd_audit_stop (CommyAuditLog *log);

/* Before a policy comes into force: FALSE, it must not. @fault: (nullable): why it does not. */
gboolean
commyd_audit_policy (CommyAuditLog *log, CommyConfig *config, const GError *fault, GError **error);
/* A connection that is not taken, or ended because the other side broke the rules. @user: who it
 * is by the kernel's word; NULL: the kernel does not say. */
void commyd_audit_refused (CommyAuditLog *log, const guint32 *user, const GError *error);
/* An operation that @rights denies. */
void commyd_audit_denied (CommyAuditLog *log,
                          const CommydRights *rights,
                          guint32 uid,
                          const CommyStoreOp *op,
                          const GError *error);
/* Before somebody is shut out, or let in again. FALSE: that must not happen. @waits: until it is on
 * the disk, with all that was recorded before. */
gboolean commyd_audit_denial (CommyAuditLog *log,
                              const CommydRights *rights,
                              guint32 uid,
                              const CommyStoreOp *op,
                              gboolean waits,
                              GError **error);
