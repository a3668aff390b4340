/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the keyfile says of the audit trail, and how settings are told in it: for everybody who
 * writes one.
 */
#pragma once

#include "config/commy-config.h"
#include "security/commy-audit-log.h"

/* Fills in what stands in [audit]; folder, names and seals are the caller's. Error: settings that
 * do not go together. */
gboolean commy_audit_settings_read (CommyConfig *config, CommyAuditLogSetup *setup, GError **error);

/* One's own settings by their hash: whether they changed from one start to the next can be seen,
 * and what they are is in the files. (transfer full) */
char *commy_audit_settings_dup (CommyConfig *config);
/* The same of what a policy consists of, wherever it is written, with the names of its rules.
 * (transfer full) */
char *commy_audit_settings_dup_policy (CommyConfig *config);
