/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who is blocked is kept as bits that change with what is told and with time, so that asking is
 * cheap however many instances there are.
 */
#include "config.h"

#include "control/commy-guard.h"

#include "base/commy-bits.h"

#include <string.h>

#define MOST_NAMED 8u
#define LONGEST_QUIET_NS G_GINT64_CONSTANT (1000000000)

const char *
commy_admission_to_string (CommyAdmission admission)
{
  static const char *const names[] = { "admitted", "deadline", "rate", "bulkhead", "throttle" };

  return names[admission];
}

static void
put_bit (guint64 *bits, guint index, gboolean on)
{
  if (on)
    commy_bits_add (bits, index);
  else
    commy_bits_remove (bits, index);
}

/* --- the set --- */

void
commy_guard_init (CommyGuard *guard, const CommyResilience *policy)
{
  memset (guard, 0, sizeof *guard);
  guard->policy = policy;
  commy_guard_share (guard, &guard->own.rate, &guard->own.bulkhead);
  guard->is_gated = policy->rate.rate > 0 || policy->bulkhead > 0 || policy->throttle.enabled;
}

void
commy_guard_share (CommyGuard *guard, CommyRateLimit *rate, CommyBulkhead *bulkhead)
{
  guard->rate = rate;
  guard->bulkhead = bulkhead;
}

static void
forget_members (CommyGuard *guard)
{
  g_clear_pointer (&guard->breakers, g_free);
  g_clear_pointer (&guard->hosts, g_free);
  g_clear_pointer (&guard->quiet, g_free);
  for (guint i = 0; i < guard->n_members; i++)
    g_free (guard->out[i].why);
  g_clear_pointer (&guard->out, g_free);
  g_clear_pointer (&guard->blocked, g_free);
  g_clear_pointer (&guard->barred, g_free);
  g_clear_pointer (&guard->excluded, g_free);
  guard->n_members = guard->n_words = 0;
}

void
commy_guard_clear (CommyGuard *guard)
{
  forget_members (guard);
  /* Calls that its thread has not ended will not end any more. */
  if (guard->bulkhead != NULL)
    commy_bulkhead_leave (guard->bulkhead, guard->n_inside);
  guard->n_inside = 0;
}

/* What is quiet happened before `fold_ns`, however long ago that is. */
static void
fold_quiet (CommyGuard *guard)
{
  const CommyResilience *policy = guard->policy;
  const gint64 at_ns = guard->fold_ns - 1;

  if (guard->quiet_calls > 0)
    commy_retry_budget_deposit (&guard->budget, at_ns, guard->quiet_calls);
  guard->quiet_calls = 0;
  for (guint i = 0; i < guard->n_members; i++)
    if (guard->quiet[i] > 0)
      {
        commy_breaker_pass (&guard->breakers[i], &policy->breaker, guard->quiet[i], at_ns);
        commy_ejection_pass (&guard->hosts[i], &policy->ejection, guard->quiet[i]);
        guard->quiet[i] = 0;
      }
}

void
commy_guard_set_members (CommyGuard *guard, guint n, const gssize *from)
{
  CommyGuard old;

  fold_quiet (guard);
  old = *guard;
  guard->n_members = n;
  guard->n_words = (guint) commy_bits_words (n);
  guard->breakers = g_new0 (CommyBreaker, n);
  guard->hosts = g_new0 (CommyEjectionHost, n);
  guard->out = g_new0 (CommyGuardOut, n);
  guard->quiet = g_new0 (guint32, n);
  guard->blocked = g_new0 (guint64, guard->n_words);
  guard->barred = g_new0 (guint64, guard->n_words);
  guard->excluded = g_new0 (guint64, guard->n_words);
  guard->n_blocked = 0;
  guard->serial++;
  guard->next_ns = 0; /* anew when it is asked */
  for (guint i = 0; i < n; i++)
    {
      if (from == NULL || from[i] < 0)
        continue;
      guard->breakers[i] = old.breakers[from[i]];
      guard->hosts[i] = old.hosts[from[i]];
      guard->out[i] = old.out[from[i]];
      old.out[from[i]].why = NULL;
    }
  commy_ejection_fit (&guard->ejection, &guard->policy->ejection, guard->hosts, n);
  forget_members (&old);
}

static void
update_member (CommyGuard *guard, guint index, gint64 now_ns)
{
  const CommyBreaker *breaker = &guard->breakers[index];
  const gboolean barred = guard->out[index].how == COMMY_GUARD_DRAINING
                          || !commy_breaker_admits (breaker, &guard->policy->breaker, now_ns);
  const gboolean blocked
      = barred || guard->out[index].how != COMMY_GUARD_IN || guard->hosts[index].out;

  if (barred != commy_bits_has (guard->barred, index))
    {
      put_bit (guard->barred, index, barred);
      guard->serial++;
    }
  if (blocked != commy_bits_has (guard->blocked, index))
    {
      put_bit (guard->blocked, index, blocked);
      guard->n_blocked += blocked ? 1u : -1u;
      guard->serial++;
    }
  if (breaker->open && now_ns < breaker->until_ns)
    guard->next_ns = MIN (guard->next_ns, breaker->until_ns);
}

static void
update_all (CommyGuard *guard, gint64 now_ns)
{
  commy_ejection_check (&guard->ejection, &guard->policy->ejection, guard->hosts, guard->n_members,
                        now_ns);
  guard->next_ns = guard->policy->ejection.enabled
                       ? commy_ejection_get_next (&guard->ejection, guard->hosts, guard->n_members)
                       : G_MAXINT64;
  for (guint i = 0; i < guard->n_members; i++)
    update_member (guard, i, now_ns);
}

void
commy_guard_fold (CommyGuard *guard, gint64 now_ns)
{
  const CommyResilience *policy = guard->policy;
  const gint64 window_ns = MIN (policy->breaker.window_ns, policy->ejection.interval_ns);

  fold_quiet (guard);
  guard->fold_ns = now_ns + MIN (window_ns / COMMY_TALLY_BUCKETS, LONGEST_QUIET_NS);
  if (now_ns >= guard->next_ns)
    update_all (guard, now_ns);
}

void
commy_guard_set_out (
    CommyGuard *guard, guint index, CommyGuardHow how, const char *why, gint64 now_ns)
{
  CommyGuardOut *out = &guard->out[index];

  if (out->how == how && g_strcmp0 (out->why, why) == 0)
    return;
  out->how = how;
  g_free (out->why);
  out->why = g_strdup (why);
  update_member (guard, index, now_ns);
}

gboolean
commy_guard_is_blocked (const CommyGuard *guard, guint index)
{
  return commy_bits_has (guard->blocked, index);
}

gboolean
commy_guard_is_barred (const CommyGuard *guard, guint index)
{
  return commy_bits_has (guard->barred, index);
}

/* How many members are left. */
static guint
exclude (CommyGuard *guard, const guint64 *tried)
{
  guint n_left = guard->n_members;

  for (guint i = 0; i < guard->n_words; i++)
    {
      guard->excluded[i] = guard->blocked[i] | (tried != NULL ? tried[i] : 0);
      n_left -= (guint) __builtin_popcountll (guard->excluded[i]);
    }
  return n_left;
}

const guint64 *
commy_guard_exclude (CommyGuard *guard, const guint64 *tried, gssize last, gint64 now_ns)
{
  guint n_left;

  if (now_ns >= guard->next_ns)
    commy_guard_fold (guard, now_ns);
  n_left = exclude (guard, tried);
  if (n_left == 0 && tried != NULL)
    {
      n_left = exclude (guard, NULL);
      if (last >= 0 && guard->n_members > 1 && !commy_bits_has (guard->excluded, (guint) last))
        {
          commy_bits_add (guard->excluded, (guint) last);
          n_left--;
        }
    }
  return n_left < guard->n_members ? guard->excluded : NULL;
}

/* --- a call --- */

static CommyAdmission
pass_gates (CommyGuard *guard, gint64 now_ns, guint64 random)
{
  const CommyResilience *policy = guard->policy;

  if (!commy_throttle_admit (&guard->throttle, &policy->throttle, now_ns, random))
    return COMMY_ADMIT_THROTTLE;
  if (!commy_rate_limit_take (guard->rate, &policy->rate, now_ns, NULL))
    return COMMY_ADMIT_RATE;
  if (!commy_bulkhead_enter (guard->bulkhead, policy->bulkhead))
    return COMMY_ADMIT_BULKHEAD;
  guard->n_inside++;
  return COMMY_ADMITTED;
}

CommyAdmission
commy_guard_admit (CommyGuard *guard, gint64 left_ns, gint64 now_ns, guint64 random)
{
  CommyAdmission refused;

  if (left_ns <= 0)
    return COMMY_ADMIT_DEADLINE;
  if (now_ns >= guard->fold_ns)
    commy_guard_fold (guard, now_ns);
  refused = guard->is_gated ? pass_gates (guard, now_ns, random) : COMMY_ADMITTED;
  guard->quiet_calls += refused == COMMY_ADMITTED;
  return refused;
}

void
commy_guard_finish (CommyGuard *guard, gboolean accepted, gint64 now_ns)
{
  if (!guard->is_gated)
    return;
  commy_bulkhead_leave (guard->bulkhead, 1);
  guard->n_inside--;
  if (accepted)
    commy_throttle_accept (&guard->throttle, &guard->policy->throttle, now_ns);
}

CommyGuardAttempt
commy_guard_begin (CommyGuard *guard, guint index, gint64 now_ns)
{
  CommyBreaker *breaker = &guard->breakers[index];
  CommyGuardAttempt attempt = { index, commy_breaker_begin (breaker, now_ns), now_ns };

  if (breaker->open || breaker->in_flight >= guard->policy->breaker.max_in_flight)
    update_member (guard, index, now_ns);
  return attempt;
}

/* Nearly every call ends so. */
static gboolean
end_quietly (CommyGuard *guard, const CommyGuardAttempt *attempt, CommyBreaker *breaker)
{
  if (breaker->open || attempt->era != breaker->era
      || commy_bits_has (guard->blocked, attempt->index))
    return FALSE;
  breaker->in_flight--;
  guard->quiet[attempt->index]++;
  return TRUE;
}

gboolean
commy_guard_end (CommyGuard *guard,
                 const CommyGuardAttempt *attempt,
                 CommyOutcome outcome,
                 gint64 now_ns,
                 guint64 random)
{
  const CommyResilience *policy = guard->policy;
  const guint index = attempt->index;
  CommyBreaker *breaker = &guard->breakers[index];
  const gboolean was_open = breaker->open;
  gboolean ejected;

  if (outcome == COMMY_OUTCOME_OK && policy->hedge.attempts > 1)
    commy_service_time_add (&guard->times, now_ns, now_ns - attempt->begun_ns);
  if (now_ns >= guard->fold_ns)
    commy_guard_fold (guard, now_ns);
  if (outcome == COMMY_OUTCOME_OK && end_quietly (guard, attempt, breaker))
    return FALSE;
  fold_quiet (guard);
  commy_breaker_end (breaker, &policy->breaker, attempt->era, outcome, now_ns, random);
  guard->n_openings += breaker->open && !was_open;
  ejected = commy_ejection_tell (&guard->ejection, &policy->ejection, guard->hosts,
                                 guard->n_members, index, outcome, now_ns);
  if (ejected)
    guard->next_ns = MIN (guard->next_ns, guard->hosts[index].until_ns);
  update_member (guard, index, now_ns);
  return ejected || (breaker->open && !was_open);
}

CommyRetryVerdict
commy_guard_decide_retry (CommyGuard *guard,
                          guint n_attempts,
                          CommyOutcome outcome,
                          gboolean idempotent,
                          const guint64 *tried,
                          gint64 now_ns,
                          gint64 deadline_ns,
                          guint64 random,
                          gint64 *out_at_ns)
{
  const gboolean elsewhere = tried != NULL && exclude (guard, tried) > 0;

  fold_quiet (guard);
  return commy_retry_decide (&guard->policy->retry, &guard->budget, n_attempts, outcome, idempotent,
                             elsewhere, now_ns, deadline_ns, random, out_at_ns);
}

gint64
commy_guard_get_hedge_due (CommyGuard *guard, guint n_sent, gboolean idempotent, gint64 sent_ns)
{
  return commy_hedge_get_due (&guard->policy->hedge, &guard->times, n_sent, idempotent, sent_ns);
}

gboolean
commy_guard_take_hedge (CommyGuard *guard, gint64 now_ns)
{
  fold_quiet (guard);
  return commy_retry_budget_withdraw (&guard->budget, &guard->policy->retry, now_ns);
}

/* --- why --- */

static const char *const how_names[] = {
  [COMMY_GUARD_IN] = "in", [COMMY_GUARD_UNWELL] = "unwell", [COMMY_GUARD_DRAINING] = "draining"
};

static void
explain_member (CommyGuard *guard, guint index, gboolean tried, gint64 now_ns, GString *text)
{
  const CommyGuardOut *out = &guard->out[index];

  if (out->how != COMMY_GUARD_IN)
    g_string_append_printf (text, "%s%s%s", how_names[out->how], out->why != NULL ? ": " : "",
                            out->why != NULL ? out->why : "");
  else if (!commy_breaker_explain (&guard->breakers[index], &guard->policy->breaker, now_ns, text)
           && !commy_ejection_explain (&guard->hosts[index], now_ns, text))
    g_string_append (text, tried ? "tried" : "can be picked");
}

static const char *
name_state (const CommyGuard *guard, guint index, gint64 now_ns)
{
  static const char *const names[] = { "closed", "open", "half-open" };

  if (guard->out[index].how != COMMY_GUARD_IN)
    return how_names[guard->out[index].how];
  if (guard->hosts[index].out)
    return "ejected";
  return names[commy_breaker_get_state (&guard->breakers[index], now_ns)];
}

void
commy_guard_view (CommyGuard *guard, guint index, gint64 now_ns, CommyGuardView *out_view)
{
  CommyBreaker *breaker = &guard->breakers[index];
  const CommyEjectionHost *host = &guard->hosts[index];
  GString *why = g_string_new (NULL);
  guint64 n;

  commy_guard_fold (guard, now_ns);
  commy_tally_advance (&breaker->tally, guard->policy->breaker.window_ns, now_ns);
  n = breaker->tally.sums[0] + breaker->tally.sums[1];
  *out_view
      = (CommyGuardView){ .state = name_state (guard, index, now_ns),
                          .in_flight = breaker->in_flight,
                          .success = n > 0 ? (double) breaker->tally.sums[0] / (double) n : 1 };
  if (host->out)
    out_view->until_ns = host->until_ns;
  else if (breaker->open)
    out_view->until_ns = breaker->until_ns;
  if (commy_guard_is_blocked (guard, index))
    explain_member (guard, index, FALSE, now_ns, why);
  out_view->why = g_string_free (why, why->len == 0);
}

char *
commy_guard_explain (CommyGuard *guard,
                     const char *const *names,
                     const guint64 *tried,
                     gint64 now_ns)
{
  GString *text = g_string_new (NULL);

  for (guint i = 0; i < MIN (guard->n_members, MOST_NAMED); i++)
    {
      g_string_append_printf (text, "%s%s: ", i > 0 ? ", " : "", names[i]);
      explain_member (guard, i, tried != NULL && commy_bits_has (tried, i), now_ns, text);
    }
  if (guard->n_members > MOST_NAMED)
    g_string_append_printf (text, ", and %u more", guard->n_members - MOST_NAMED);
  return g_string_free (text, FALSE);
}
