/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The circuit breaker of one instance: how many calls may be under way to it, and whether it is
 * called at all. Closed until it fails; open for a time that grows; then half-open, when exactly
 * one call tries. Pure; no allocation.
 */
#pragma once

#include "control/commy-retry.h"

typedef struct
{
  gboolean enabled; /* else only max_in_flight holds */
  guint failures;   /* in a row that open it */
  double success;   /* share below which it opens */
  gint64 window_ns; /* of the share */
  guint volume;     /* fewest calls that make a share */
  gint64 penalty_ns, penalty_max_ns;
  guint max_in_flight;
} CommyBreakerPolicy;

typedef enum
{
  COMMY_BREAKER_CLOSED,
  COMMY_BREAKER_OPEN,
  COMMY_BREAKER_HALF_OPEN,
} CommyBreakerState;

typedef struct
{
  CommyTally tally;  /* 0: successes, 1: failures */
  guint row;         /* failures in a row */
  guint n_penalties; /* in a row */
  guint32 era;       /* grows with every change, so that calls of before say nothing of after */
  guint in_flight;
  gboolean open;   /* or half-open */
  gboolean trying; /* the one call is under way */
  gint64 since_ns, until_ns;
  guint64 seen[2]; /* why it opened: the window's counts; and */
  guint row_seen;  /* the failures in a row, 0 if it was for the share */
} CommyBreaker;

CommyBreakerState commy_breaker_get_state (const CommyBreaker *breaker, gint64 now_ns);
/* Whether one more call may go to it. */
gboolean
commy_breaker_admits (const CommyBreaker *breaker, const CommyBreakerPolicy *policy, gint64 now_ns);
/* A call begins; returns what commy_breaker_end() wants to know. One that was not admitted says
 * nothing by its end. */
guint32 commy_breaker_begin (CommyBreaker *breaker, gint64 now_ns);
void commy_breaker_end (CommyBreaker *breaker,
                        const CommyBreakerPolicy *policy,
                        guint32 era,
                        CommyOutcome outcome,
                        gint64 now_ns,
                        guint64 random);
/* The same of @n calls that succeeded while it was closed, but for their being under way. */
void commy_breaker_pass (CommyBreaker *breaker,
                         const CommyBreakerPolicy *policy,
                         guint32 n,
                         gint64 now_ns);
/* Why it does not admit, such as "open since 12 s (7 failures)"; FALSE: it does. */
gboolean commy_breaker_explain (const CommyBreaker *breaker,
                                const CommyBreakerPolicy *policy,
                                gint64 now_ns,
                                GString *text);
