/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The policy in force, which is replaced as a whole. Who decides often keeps a reference and the
 * epoch it belongs to, and looks whether that is still the one: one load, no lock. Any thread.
 */
#pragma once

#include "security/commy-policy.h"

typedef struct _CommyPolicyCurrent CommyPolicyCurrent;

/* Takes the reference. */
CommyPolicyCurrent *commy_policy_current_new (CommyPolicy *policy);
void commy_policy_current_free (CommyPolicyCurrent *current);

/* Never 0. */
guint32 commy_policy_current_get_epoch (const CommyPolicyCurrent *current);
/* (transfer full) */
CommyPolicy *commy_policy_current_dup (CommyPolicyCurrent *current, guint32 *out_epoch);
/* Takes the reference; the epoch becomes another one. */
void commy_policy_current_replace (CommyPolicyCurrent *current, CommyPolicy *policy);

/* Tells the log, at most once a minute for each (principal, resource), that what is on trial at
 * @origin would deny. */
void commy_policy_current_tell_trial (CommyPolicyCurrent *current,
                                      gint64 now_ns,
                                      const char *principal,
                                      const char *resource,
                                      const char *origin);
