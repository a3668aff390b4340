/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Making the public, boxed objects around a decision: requirements to a demand, a decision's
 * record, a what-if. (May allocate and format; the deciding itself is in commy-route.h.)
 */
#pragma once

#include "commy-route.h"

#include <commy/commy-decision.h>

struct _CommyRequirements
{
  CommyPreference preference;
  CommyIdList transports;
  CommyObjective objective;
  guint64 max_latency_ns;
  guint64 min_throughput;
  CommySecurity min_security;
  CommyConsistency consistency;
  gboolean ordered;
  gboolean degradable;
};

struct _CommyCallOptions
{
  gint64 timeout_us;
  gboolean idempotent;
  guint priority;
  guint64 sticky; /* commy_sticky_hash() */
};

/* Of a sticky key, the same in every process: FNV-1a, mixed. NULL is 0, and nothing else is. */
guint64 commy_sticky_hash (const char *key);

/* Fills a list of transports. FALSE, and @list empty: more than COMMY_MAX_LISTED, an empty id, or
 * one that does not fit. @ids NULL: an empty list. */
gboolean commy_id_list_set (CommyIdList *list, const char *const *ids);

/* Lays @requirements (NULL: none) over @demand, which has the keyfile's settings: limits get
 * stricter, never laxer; origins become "requirements". */
void commy_demand_apply_requirements (CommyDemand *demand, const CommyRequirements *requirements);
/* The same for a what-if (NULL: none), which may also be laxer: nothing is sent by it. Origins
 * become "what-if". */
void commy_demand_apply_what_if (CommyDemand *demand, const CommyWhatIf *what_if);

/* The record. Copies everything. @size: the message size asked about; for an unordered flow the
 * plan's class of @size names the choice. @switch_text, @notes: NULL or a line ("trust=any: ...").
 */
CommyDecision *commy_decision_new (const char *service,
                                   gsize size,
                                   const CommyDemand *demand,
                                   const CommyCandidate *candidates,
                                   const CommyAssessment *assessments,
                                   guint n,
                                   const CommyPlan *plan,
                                   const char *switch_text,
                                   const char *notes);
/* How many candidates it has, which is what its memory goes with. */
guint commy_decision_count_rows (const CommyDecision *decision);
/* One line for errors: "needs latency <= 100 us; best allowed: tls 212 us" or "no candidate: shm:
 * denied (/etc/..:12), tls: not reachable (...)". (transfer full) */
char *commy_decision_summary (CommyDecision *decision);
