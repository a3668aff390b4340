/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * All policies of one client for one service, in the order in which a call meets them: may it
 * begin, who may not be picked, an attempt begins, it ends, is it sent again, the call is over.
 * Belongs to one thread; but the limits may be those of a whole program. Allocates when the set of
 * instances changes and to explain, never for a call; time and chance are arguments. Calls that
 * succeed are nearly all calls: they are only counted, and told to the policies together, some
 * times a second.
 */
#pragma once

#include "control/commy-call-limits.h"
#include "control/commy-resilience.h"

typedef enum
{
  COMMY_ADMITTED,
  COMMY_ADMIT_DEADLINE,
  COMMY_ADMIT_RATE,
  COMMY_ADMIT_BULKHEAD,
  COMMY_ADMIT_THROTTLE,
} CommyAdmission;

const char *commy_admission_to_string (CommyAdmission admission);

/* What is said of an instance, whatever its calls show. */
typedef enum
{
  COMMY_GUARD_IN,       /* it takes calls */
  COMMY_GUARD_UNWELL,   /* not to be picked while others are well */
  COMMY_GUARD_DRAINING, /* not to be picked */
} CommyGuardHow;

typedef struct
{
  CommyGuardHow how;
  char *why; /* or NULL */
} CommyGuardOut;

/*
 * A call, without hedges:
 *
 *   refused = commy_guard_admit (guard, left, now, random);
 *   do
 *     {
 *       index = pick (balancer, commy_guard_exclude (guard, tried, last, now));
 *       attempt = commy_guard_begin (guard, index, now);
 *       ... send, wait ...
 *       commy_guard_end (guard, &attempt, outcome, now, random);
 *     }
 *   while (commy_guard_decide_retry (guard, ...) == COMMY_RETRY_YES);
 *   commy_guard_finish (guard, ok, now);
 */
typedef struct
{
  const CommyResilience *policy;
  gboolean is_gated; /* a call may be refused before anybody is picked */
  guint n_blocked;
  gint64 fold_ns;      /* what is quiet until then is of one moment, a second at most */
  guint32 quiet_calls; /* that were admitted since the last moment */
  guint32 *quiet;      /* of each member, as all that follows: calls that succeeded since then */
  guint n_members, n_words;
  CommyBreaker *breakers;
  CommyEjectionHost *hosts;
  CommyGuardOut *out;
  guint64 *blocked;  /* one bit a member: not to be picked */
  guint64 *excluded; /* those and the ones that were tried: what the balancer sees */
  guint64 *barred;   /* those of them that are not even to be picked where few are well */
  guint64 serial;    /* grows when `blocked` or `barred` changes */
  gint64 next_ns;    /* when time alone changes who is blocked */
  gint64 around_ns;  /* the router's: not before is it tried again to find somebody else */
  CommyEjection ejection;
  CommyRetryBudget budget;
  CommyRateLimit *rate;    /* its own, or what it shares with other threads' guards */
  CommyBulkhead *bulkhead; /* likewise */
  guint n_inside;          /* calls of this guard in it */
  CommyCallLimit own;      /* where it shares none */
  CommyThrottle throttle;
  CommyServiceTime times; /* of calls that succeeded */
  guint64 n_openings;     /* of breakers */
} CommyGuard;

/* @policy must outlive it. */
void commy_guard_init (CommyGuard *guard, const CommyResilience *policy);
void commy_guard_clear (CommyGuard *guard);
/* Before its first call: these limits are not its own but those of all that share them, and must
 * outlive it. */
void commy_guard_share (CommyGuard *guard, CommyRateLimit *rate, CommyBulkhead *bulkhead);
/* The instances from now on. @from (nullable) says of each which it was before, or -1; what is
 * known of it stays. Attempts under way must be ended before, or with their new index. */
void commy_guard_set_members (CommyGuard *guard, guint n, const gssize *from);
/* @why: nullable */
void commy_guard_set_out (
    CommyGuard *guard, guint index, CommyGuardHow how, const char *why, gint64 now_ns);
/* Counts what is quiet, and looks what time changes. */
void commy_guard_fold (CommyGuard *guard, gint64 now_ns);

/* Whether a call may begin of which @left_ns are left. If so, commy_guard_finish() ends it. */
CommyAdmission commy_guard_admit (CommyGuard *guard, gint64 left_ns, gint64 now_ns, guint64 random);
void commy_guard_finish (CommyGuard *guard, gboolean accepted, gint64 now_ns);

/* One bit a member that is not to be picked: those that may not be called, and those that this
 * call has @tried (nullable; one bit a member). If that leaves nobody, of the latter only @last,
 * which failed last (-1: none); a single one is tried again. NULL: all may be. Good until the next
 * call of this file. */
const guint64 *
commy_guard_exclude (CommyGuard *guard, const guint64 *tried, gssize last, gint64 now_ns);

typedef struct
{
  guint index;
  guint32 era;
  gint64 begun_ns;
} CommyGuardAttempt;

CommyGuardAttempt commy_guard_begin (CommyGuard *guard, guint index, gint64 now_ns);
/* TRUE: because of it, its instance may not be picked any more. */
gboolean commy_guard_end (CommyGuard *guard,
                          const CommyGuardAttempt *attempt,
                          CommyOutcome outcome,
                          gint64 now_ns,
                          guint64 random);
gboolean commy_guard_is_blocked (const CommyGuard *guard, guint index);
/* It drains or its breaker does not admit: to ignore health would not help. */
gboolean commy_guard_is_barred (const CommyGuard *guard, guint index);

/* Whether a call has to ask it before it begins. */
static inline gboolean
commy_guard_is_asked (const CommyGuard *guard)
{
  return guard->n_blocked > 0 || guard->is_gated;
}

/* commy_guard_admit(), _begin(), _end() and _finish() of a call that succeeded, of a guard that is
 * not gated, to an instance that is not blocked. */
static inline void
commy_guard_pass (CommyGuard *guard, guint index, gint64 now_ns)
{
  if (G_UNLIKELY (now_ns >= guard->fold_ns))
    commy_guard_fold (guard, now_ns);
  guard->quiet_calls++;
  guard->quiet[index]++;
}

/* As commy_retry_decide(). @tried: as in commy_guard_exclude(). */
CommyRetryVerdict commy_guard_decide_retry (CommyGuard *guard,
                                            guint n_attempts,
                                            CommyOutcome outcome,
                                            gboolean idempotent,
                                            const guint64 *tried,
                                            gint64 now_ns,
                                            gint64 deadline_ns,
                                            guint64 random,
                                            gint64 *out_at_ns);
/* As commy_hedge_get_due(). Who sends the copy takes it from the budget first: */
gint64
commy_guard_get_hedge_due (CommyGuard *guard, guint n_sent, gboolean idempotent, gint64 sent_ns);
gboolean commy_guard_take_hedge (CommyGuard *guard, gint64 now_ns);

/* What is known of a member. */
typedef struct
{
  const char *state; /* "closed", "open", "half-open", "ejected", "draining" or "unwell" */
  gint64 until_ns;   /* when it may be called again, if that is known; else 0 */
  guint in_flight;
  double success; /* of the calls of the breaker's window; 1 without any */
  char *why;      /* (transfer full): it may not be picked; or NULL */
} CommyGuardView;

void commy_guard_view (CommyGuard *guard, guint index, gint64 now_ns, CommyGuardView *out_view);
/* (transfer full): why nobody can be picked, such as "a: open since 12 s (7 failures), b: draining,
 * c: tried"; names by index, at most as many as a line takes */
char *commy_guard_explain (CommyGuard *guard,
                           const char *const *names,
                           const guint64 *tried,
                           gint64 now_ns);
