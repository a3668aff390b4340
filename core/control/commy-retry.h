/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Retries: whether a call that failed is sent again, and when. Only what is safe, only while
 * the budget lasts, never past the deadline; who failed is left out by the guard. Pure.
 */
#pragma once

#include "control/commy-tally.h"

/* What became of an attempt, as far as sending it again goes. */
typedef enum
{
  COMMY_OUTCOME_OK,
  COMMY_OUTCOME_NOT_SENT,  /* never left, or was refused unread: anybody may do it again */
  COMMY_OUTCOME_LIMITED,   /* the instance said that it has too much to do */
  COMMY_OUTCOME_TOO_OFTEN, /* or that this caller calls it too often, which says nothing of it */
  COMMY_OUTCOME_FAILED,    /* it failed, or nobody knows what became of it */
  COMMY_OUTCOME_ANSWERED,  /* with an error of the service's own: the instance works, and what is
                              wrong may be the call; so it only counts where others do better */
  COMMY_OUTCOME_ABANDONED, /* nobody waits for it any more, such as of a hedge; says nothing */
} CommyOutcome;

typedef struct
{
  guint attempts; /* of one call, the first included */
  gint64 backoff_ns, backoff_max_ns;
  gint64 attempt_timeout_ns; /* 0: none */
  double budget_share;       /* of calls */
  guint budget_reserve;      /* a second, if that is more */
} CommyRetryPolicy;

/* How much sending again there was lately: of the ten seconds that end with a retry or a hedge
 * these are never more than the share, or the reserve. Of each tally the first count. */
typedef struct
{
  CommyTally calls;
  CommyTally retries; /* and hedges */
} CommyRetryBudget;

/* So many calls were begun. */
void commy_retry_budget_deposit (CommyRetryBudget *budget, gint64 now_ns, guint32 n);
/* Takes one; FALSE: it is used up. */
gboolean commy_retry_budget_withdraw (CommyRetryBudget *budget,
                                      const CommyRetryPolicy *policy,
                                      gint64 now_ns);

/* The wait before retry number @n (1 is the first). */
gint64 commy_retry_backoff (const CommyRetryPolicy *policy, guint n, guint64 random);

typedef enum
{
  COMMY_RETRY_YES,
  COMMY_RETRY_SUCCEEDED,
  COMMY_RETRY_ANSWERED,
  COMMY_RETRY_UNSAFE,
  COMMY_RETRY_ATTEMPTS,
  COMMY_RETRY_DEADLINE, /* it would begin after it */
  COMMY_RETRY_BUDGET,
} CommyRetryVerdict;

const char *commy_retry_verdict_to_string (CommyRetryVerdict verdict);

/* Whether a call is sent again that has been sent @n_attempts times, the last with @outcome; if so
 * one is taken from the budget and @out_at_ns is when. @elsewhere: there is another instance, which
 * need not be spared: the first retry goes there at once. */
CommyRetryVerdict commy_retry_decide (const CommyRetryPolicy *policy,
                                      CommyRetryBudget *budget,
                                      guint n_attempts,
                                      CommyOutcome outcome,
                                      gboolean idempotent,
                                      gboolean elsewhere,
                                      gint64 now_ns,
                                      gint64 deadline_ns,
                                      guint64 random,
                                      gint64 *out_at_ns);
