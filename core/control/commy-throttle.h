/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A throttle: a client whose calls are mostly refused or fail holds a share of them back, so that
 * the service need not even refuse them. Pure.
 */
#pragma once

#include "control/commy-tally.h"

typedef struct
{
  gboolean enabled;
  double success; /* the share of accepted calls that is well */
} CommyThrottlePolicy;

typedef struct
{
  CommyTally tally; /* 0: all, held back ones too; 1: accepted */
} CommyThrottle;

/* The share of calls that is held back now. */
double commy_throttle_get_share (CommyThrottle *throttle,
                                 const CommyThrottlePolicy *policy,
                                 gint64 now_ns);
/* A call is begun; FALSE: it is held back. */
gboolean commy_throttle_admit (CommyThrottle *throttle,
                               const CommyThrottlePolicy *policy,
                               gint64 now_ns,
                               guint64 random);
/* A call that was admitted was accepted. Those that were not need not be told. */
void
commy_throttle_accept (CommyThrottle *throttle, const CommyThrottlePolicy *policy, gint64 now_ns);
