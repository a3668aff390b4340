/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The last decisions, for who asks later how it came about. Not locked: its owner does that.
 */
#pragma once

#include "commy-decision-private.h"

#define COMMY_DECISION_LOG_MOST 64u
/* Candidates of all of them together. Each takes about 1.4 KiB, and a decision may have 256: the
 * number of decisions alone is no bound that a program could live with. */
#define COMMY_DECISION_LOG_ROWS 1536u

typedef struct
{
  GQueue decisions; /* CommyDecision, newest last */
  guint n_rows;
} CommyDecisionLog;

void commy_decision_log_init (CommyDecisionLog *log);
void commy_decision_log_clear (CommyDecisionLog *log);
/* Those that were made longest ago go until both limits are kept; @decision (transfer none) stays
 * in any case. */
void commy_decision_log_add (CommyDecisionLog *log, CommyDecision *decision);
/* (transfer full) (element-type CommyDecision): newest last */
GPtrArray *commy_decision_log_list (CommyDecisionLog *log);
