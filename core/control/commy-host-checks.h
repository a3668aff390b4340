/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the daemon of a host found out about the instances of one service, as it lies in the store:
 *
 *   commy-checks 1
 *   HOW they were looked at, in one line
 *   INSTANCE STATE[ REASON]
 *   ...
 *
 * Pure. What is read may come from anybody who can write the store.
 */
#pragma once

#include "control/commy-health.h"

#define COMMY_HOST_CHECKS_MAX 65536u /* instances of one record */

/* Below the host's own entry: then who may write that may write this. (transfer full) */
char *commy_host_checks_dup_prefix (const char *host_id);

void commy_host_checks_begin (GString *out, const char *how);
void commy_host_checks_add (GString *out,
                            const char *instance,
                            CommyHealthState state,
                            const char *reason);

typedef enum
{
  COMMY_HOST_CHECKS_OK,
  COMMY_HOST_CHECKS_OTHER,     /* they were looked at in another way */
  COMMY_HOST_CHECKS_MALFORMED, /* nothing was told */
} CommyHostChecksStatus;

/* @reason: one line, "" if there is none. */
typedef void (*CommyHostChecksFunc) (gpointer data,
                                     const char *instance,
                                     CommyHealthState state,
                                     const char *reason);

/* Tells all verdicts of a record, or none. @text needs no NUL. */
CommyHostChecksStatus commy_host_checks_read (
    const char *text, gsize size, const char *how, CommyHostChecksFunc func, gpointer data);
