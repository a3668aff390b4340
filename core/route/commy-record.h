/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is inside a decision: shared by the file that makes it and the one that prints it.
 */
#pragma once

#include "commy-decision-private.h"

/* One candidate. Its strings are the decision's, the rejection's origin too. */
typedef struct
{
  const char *instance, *transport, *serializer;
  const char *bias_origin, *profile_origin; /* or NULL */
  const char *measured;                     /* of what was measured, a phrase, or NULL */
  gboolean has_profile;                     /* else the numbers are all 0 */
  guint provenance, security, reach, level;
  gboolean connected;
  double bias;
  CommyAssessment assessment;
  /* at the size that was asked about */
  CommyCost cost;
  double claimed_ns, expected_ns, score_ns;
  /* as requirements see it */
  double latency_ns, throughput;
} CommyRecordRow;

struct _CommyDecision
{
  gatomicrefcount ref_count;
  char *service;
  gsize size;
  guint size_class;
  CommyDemand demand; /* its origins point to interned strings */
  CommyPlan plan;
  CommyRecordRow *rows;
  guint n_rows;
  GStringChunk *strings;  /* of the rows, which mostly say the same: each once */
  gint chosen, runner_up; /* of the size, rows; or -1 */
  double confidence;
  char *switch_text, *notes; /* or NULL */
};

/* Whether not all instances are as near. */
gboolean commy_record_has_levels (const CommyDecision *decision);
/* NULL: nothing is allowed. */
const CommyRecordRow *commy_record_chosen (const CommyDecision *decision);
gboolean commy_record_is_allowed (const CommyRecordRow *row);
/* "shm+raw", or "shm" without a serializer. (transfer full) */
char *commy_record_stack (const CommyRecordRow *row);
/* The first digits of the instance's id, enough to tell instances apart. (transfer full) */
char *commy_record_instance (const CommyRecordRow *row);
/* What the decision's confidence is the probability of; NULL: nothing is allowed. (transfer full)
 */
char *commy_record_confidence (const CommyDecision *decision);
