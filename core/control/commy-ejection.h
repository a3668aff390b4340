/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Ejection: which instances of a set are so much worse than the others that they are left out for
 * a time. Works from two instances on; the last one stays, and where all are bad nobody is better,
 * so nothing happens. Pure; memory is the caller's, nothing is allocated.
 */
#pragma once

#include "control/commy-retry.h"

typedef struct
{
  gboolean enabled;
  guint failures; /* in a row */
  gint64 interval_ns;
  double difference; /* of the shares of failures, that counts */
  gint64 time_ns, time_max_ns;
  double share; /* most that are out at a time; one may always be */
} CommyEjectionPolicy;

typedef struct
{
  guint32 passed, failed; /* in this interval */
  gboolean limited;       /* in this interval it had too much to do: neither of both */
  guint row;              /* failures in a row */
  guint n_times;          /* how often it was ejected; falls by one in each good interval */
  gboolean answers;       /* its last call succeeded */
  gboolean out;
  gint64 since_ns, until_ns;
  guint row_seen;                 /* why: failures in a row; 0: by comparison, */
  double share_seen, others_seen; /* of the shares of failures */
} CommyEjectionHost;

typedef struct
{
  guint n_out;
  gint64 next_ns; /* end of the interval; 0: not begun */
  guint64 n_ejections;
} CommyEjection;

/* How a call to @hosts[@index] ended. TRUE: somebody was ejected. */
gboolean commy_ejection_tell (CommyEjection *ejection,
                              const CommyEjectionPolicy *policy,
                              CommyEjectionHost *hosts,
                              guint n_hosts,
                              guint index,
                              CommyOutcome outcome,
                              gint64 now_ns);
/* The same of @n calls that succeeded. */
void commy_ejection_pass (CommyEjectionHost *host, const CommyEjectionPolicy *policy, guint32 n);
/* The set has changed: while more are out than may be, who has been out longest is let back in. */
void commy_ejection_fit (CommyEjection *ejection,
                         const CommyEjectionPolicy *policy,
                         CommyEjectionHost *hosts,
                         guint n_hosts);
/* Lets back in whose time is over, and at the end of an interval compares. TRUE: something
 * changed. */
gboolean commy_ejection_check (CommyEjection *ejection,
                               const CommyEjectionPolicy *policy,
                               CommyEjectionHost *hosts,
                               guint n_hosts,
                               gint64 now_ns);
/* When commy_ejection_check() has something to do next. */
gint64 commy_ejection_get_next (const CommyEjection *ejection,
                                const CommyEjectionHost *hosts,
                                guint n_hosts);
/* Such as "ejected for 21 s (48% failed, of the others 1%)". FALSE: it is not out. */
gboolean commy_ejection_explain (const CommyEjectionHost *host, gint64 now_ns, GString *text);
