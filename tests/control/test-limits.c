/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Limits of a client (rate, bulkhead, throttle), the window they count in, the keys that set all
 * policies, and the guard that asks them in order.
 */
#include "config.h"

#include "config/commy-config-resilience.h"
#include "config/commy-config-schema.h"
#include "control/commy-guard.h"
#include "simulate/commy-sim-random.h"

#include <commy/commy-error.h>
#include <glib/gstdio.h>

#define START (12345 * S)

/* --- the window --- */

static void
test_tally (void)
{
  CommyTally tally = { 0 };

  for (guint i = 0; i < 10; i++)
    commy_tally_add (&tally, 10 * S, START + i * S, i % 2, 1);
  g_assert_cmpuint (tally.sums[0], ==, 5);
  g_assert_cmpuint (tally.sums[1], ==, 5);
  commy_tally_advance (&tally, 10 * S, START + 10 * S);
  g_assert_cmpuint (tally.sums[0], ==, 4);
  /* A clock that steps back takes nothing away. */
  commy_tally_add (&tally, 10 * S, START - 100 * S, 0, 1);
  g_assert_cmpuint (tally.sums[0], ==, 5);
  commy_tally_advance (&tally, 10 * S, START + 18 * S);
  g_assert_cmpuint (tally.sums[0] + tally.sums[1], ==, 2);
  commy_tally_advance (&tally, 10 * S, START + HOUR);
  g_assert_cmpuint (tally.sums[0] + tally.sums[1], ==, 0);
}

/* Against a list of all events. */
static void
test_tally_is_exact (void)
{
  CommySimRandom random = { 3 };
  CommyTally tally = { 0 };
  gint64 times[2000];
  gint64 now = START;

  for (guint n = 0; n < 2000; n++)
    {
      guint64 expected = 0;

      now += (gint64) commy_sim_random_below (&random, 300) * MS;
      times[n] = now;
      commy_tally_add (&tally, 10 * S, now, 0, 1);
      for (guint i = 0; i <= n; i++)
        expected += times[i] / S > now / S - 10;
      g_assert_cmpuint (tally.sums[0], ==, expected);
    }
}

/* --- limits --- */

static void
test_rate (void)
{
  const CommyRateLimitPolicy policy = { 10, 5 }, none = { 0, 1 };
  CommyRateLimit limit = { 0 };
  gint64 wait = 0;
  guint n = 0;

  for (guint i = 0; i < 5; i++)
    g_assert_true (commy_rate_limit_take (&limit, &policy, START, &wait));
  g_assert_false (commy_rate_limit_take (&limit, &policy, START, &wait));
  g_assert_cmpint (wait, ==, 100 * MS);
  g_assert_false (commy_rate_limit_take (&limit, &policy, START + wait - MS, NULL));
  g_assert_true (commy_rate_limit_take (&limit, &policy, START + wait + 1, NULL));
  for (gint64 at = 10 * S; at < 20 * S; at += MS)
    n += commy_rate_limit_take (&limit, &policy, START + at, NULL);
  g_assert_cmpuint (n, >=, 104);
  g_assert_cmpuint (n, <=, 105);
  /* A clock that steps back gives nothing away. */
  g_assert_false (commy_rate_limit_take (&limit, &policy, START, NULL));
  for (guint i = 0; i < 1000; i++)
    g_assert_true (commy_rate_limit_take (&limit, &none, START, NULL));
}

/* --- a limit that several share --- */

#define PARTIES 5u

typedef struct
{
  CommyRateLimitPolicy whole, part;
  CommyRateLimit bucket;
} Party;

static void
divide (Party *self, guint n, gint64 now)
{
  CommyRateLimitPolicy part = commy_rate_limit_divide (&self->whole, n);

  commy_rate_limit_resize (&self->bucket, &self->part, &part, now);
  self->part = part;
}

static guint
take_all (Party *self, gint64 now)
{
  guint n = 0;

  while (commy_rate_limit_take (&self->bucket, &self->part, now, NULL))
    n++;
  return n;
}

static void
test_parts (void)
{
  const CommyRateLimitPolicy whole = { 90, 10 };
  const CommyRateLimitPolicy all = commy_rate_limit_divide (&whole, 1);
  const CommyRateLimitPolicy third = commy_rate_limit_divide (&whole, 3);
  const CommyRateLimitPolicy least = commy_rate_limit_divide (&whole, 30);

  g_assert_true (all.rate == 90 && all.burst == 10);
  g_assert_true (third.rate == 30 && third.burst == 3);
  g_assert_true (least.rate == 3 && least.burst == 1);
  g_assert_true (commy_rate_limit_divide (&whole, 0).rate == 90);
}

/* Who has taken all of a whole bucket has nothing in a part of one, nor in a whole one again. */
static void
test_resized (void)
{
  const CommyRateLimitPolicy whole = { 10, 10 };
  Party party = { whole, whole, { 0 } };

  g_assert_cmpuint (take_all (&party, START), ==, 10);
  divide (&party, 2, START);
  g_assert_cmpuint (take_all (&party, START), ==, 0);
  g_assert_cmpuint (take_all (&party, START + S - MS), ==, 4);
  g_assert_cmpuint (take_all (&party, START + S), ==, 1);
  divide (&party, 1, START + S);
  g_assert_cmpuint (take_all (&party, START + S), ==, 0);
  g_assert_cmpuint (take_all (&party, START + 2 * S + MS), ==, 10);
  /* What was left stays, too, as far as there is room for it. */
  g_assert_cmpuint (take_all (&party, START + 20 * S), ==, 10);
  for (guint i = 0; i < 8; i++)
    commy_rate_limit_give_back (&party.bucket, &party.part);
  divide (&party, 2, START + 20 * S);
  g_assert_cmpuint (take_all (&party, START + 20 * S), ==, 3);
  /* Time before it counts as it was then. */
  divide (&party, 1, START + 21 * S);
  g_assert_cmpuint (take_all (&party, START + 21 * S), ==, 5);
}

/* However often somebody comes and goes, nobody gets more by it, nor waits for ever. */
static void
test_resized_often (void)
{
  const CommyRateLimitPolicy whole = { 10, 100 };
  Party party = { whole, whole, { 0 } };
  guint n = take_all (&party, START);

  g_assert_cmpuint (n, ==, 100);
  for (guint i = 1; i <= 1000; i++)
    {
      divide (&party, 1 + i % 7, START + i * MS);
      n += take_all (&party, START + i * MS);
    }
  g_assert_cmpuint (n, <=, 110);
  divide (&party, 2, START + S);
  g_assert_cmpuint (take_all (&party, START + 12 * S), ==, 50);
}

/* As soon as all of them know how many they are, and that changes all the time, they take together
 * no more in any span than one bucket would; and in the long run as much, if all are asked. */
static void
test_shared (void)
{
  const CommyRateLimitPolicy whole = { 60, 30 };
  CommySimRandom random = { 11 };
  Party parties[PARTIES];
  guint taken[60] = { 0 };
  guint n_parties = PARTIES;

  for (guint i = 0; i < PARTIES; i++)
    {
      parties[i] = (Party){ whole, whole, { 0 } };
      divide (&parties[i], PARTIES, START);
    }
  for (gint64 ms = 0; ms < 60000; ms += 5)
    {
      if (ms % 250 == 0)
        n_parties = 1 + (guint) commy_sim_random_below (&random, PARTIES);
      for (guint i = 0; i < PARTIES; i++)
        {
          divide (&parties[i], n_parties, START + ms * MS);
          if (i < n_parties)
            taken[ms / 1000] += take_all (&parties[i], START + ms * MS);
          else /* who is there again is somebody new */
            commy_rate_limit_drain (&parties[i].bucket, &parties[i].part, START + ms * MS);
        }
    }
  for (guint from = 0; from < 60; from++)
    for (guint to = from, sum = 0; to < 60; to++)
      {
        sum += taken[to];
        g_assert_cmpuint (sum, <=, 60 * (to - from + 1) + 30);
      }
  for (guint i = 1; i < 60; i++)
    taken[0] += taken[i];
  g_assert_cmpuint (taken[0], >=, 60 * 60 * 3 / 4);
}

/* --- limits of several threads --- */

#define TAKERS 4u
#define TAKES 20000u

typedef struct
{
  CommyRateLimit rate;
  CommyBulkhead bulkhead;
  guint inside, most_inside; /* atomic */
} Shared;

static const CommyRateLimitPolicy shared_policy = { 1e-3, 30000 };

/* How many tokens it got. */
static gpointer
take_many (gpointer data)
{
  Shared *shared = data;
  gsize n = 0;

  for (guint i = 0; i < TAKES; i++)
    {
      guint inside, most;

      n += (gsize) commy_rate_limit_take (&shared->rate, &shared_policy, START, NULL);
      if (!commy_bulkhead_enter (&shared->bulkhead, TAKERS - 1))
        continue;
      inside = __atomic_add_fetch (&shared->inside, 1, __ATOMIC_SEQ_CST);
      most = __atomic_load_n (&shared->most_inside, __ATOMIC_SEQ_CST);
      while (inside > most
             && !__atomic_compare_exchange_n (&shared->most_inside, &most, inside, FALSE,
                                              __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        ;
      __atomic_sub_fetch (&shared->inside, 1, __ATOMIC_SEQ_CST);
      commy_bulkhead_leave (&shared->bulkhead, 1);
    }
  return GSIZE_TO_POINTER (n);
}

/* However they get into each other's way, not one token more or less, and nobody stays inside. */
static void
test_threads (void)
{
  GThread *threads[TAKERS];
  Shared shared = { 0 };
  gsize n = 0;

  for (guint i = 0; i < TAKERS; i++)
    threads[i] = g_thread_new ("taker", take_many, &shared);
  for (guint i = 0; i < TAKERS; i++)
    n += GPOINTER_TO_SIZE (g_thread_join (threads[i]));
  g_assert_cmpuint (n, ==, shared_policy.burst);
  g_assert_cmpuint (shared.bulkhead.inside, ==, 0);
  g_assert_cmpuint (shared.most_inside, >, 0);
  g_assert_cmpuint (shared.most_inside, <, TAKERS);
}

static void
test_call_limits (void)
{
  CommyCallLimits *limits = commy_call_limits_new ();
  CommyCallLimit *first = commy_call_limits_ensure (limits, "service a");

  g_assert_true (commy_bulkhead_enter (&first->bulkhead, 1));
  g_assert_true (commy_call_limits_ensure (limits, "service b") != first);
  for (guint i = 0; i < 100; i++)
    {
      g_autofree char *other = g_strdup_printf ("service %u", i);

      commy_call_limits_ensure (limits, other);
    }
  g_assert_true (commy_call_limits_ensure (limits, "service a") == first);
  g_assert_cmpuint (first->bulkhead.inside, ==, 1);
  commy_call_limits_free (limits);
}

static void
test_bulkhead (void)
{
  CommyBulkhead bulkhead = { 0 };

  g_assert_true (commy_bulkhead_enter (&bulkhead, 2));
  g_assert_true (commy_bulkhead_enter (&bulkhead, 2));
  g_assert_false (commy_bulkhead_enter (&bulkhead, 2));
  commy_bulkhead_leave (&bulkhead, 1);
  g_assert_true (commy_bulkhead_enter (&bulkhead, 2));
  for (guint i = 0; i < 100; i++)
    g_assert_true (commy_bulkhead_enter (&bulkhead, 0));
}

/* A service that accepts 50 of 200 a second is sent little more than what it accepts. */
static void
test_throttle (void)
{
  const CommyThrottlePolicy policy = { TRUE, 0.95 };
  CommySimRandom random = { 17 };
  CommyThrottle throttle = { 0 };
  guint sent = 0;

  /* The mean of the second minute. */
  for (gint64 second = 0; second < 120; second++)
    {
      guint accepted = 0;

      sent = second == 60 ? 0 : sent;
      for (guint i = 0; i < 200; i++)
        {
          const gint64 now = START + second * S + i * 5 * MS;

          if (!commy_throttle_admit (&throttle, &policy, now, commy_sim_random_next (&random)))
            continue;
          sent++;
          if (accepted++ < 50)
            commy_throttle_accept (&throttle, &policy, now);
        }
    }
  g_assert_cmpuint (sent, >=, 60 * 42);
  g_assert_cmpuint (sent, <=, 60 * 58);
}

static void
test_throttle_rests (void)
{
  const CommyThrottlePolicy policy = { TRUE, 0.95 }, off = { FALSE, 0.95 };
  CommyThrottle throttle = { 0 };

  /* Of 1000 that go well none is held back, nor if 1 of 20 fails. */
  for (guint i = 0; i < 1000; i++)
    {
      g_assert_true (commy_throttle_admit (&throttle, &policy, START, 0));
      if (i % 20 != 19)
        commy_throttle_accept (&throttle, &policy, START);
    }
  for (guint i = 0; i < 100000; i++)
    commy_throttle_admit (&throttle, &policy, START, G_MAXUINT64);
  g_assert_cmpfloat_with_epsilon (commy_throttle_get_share (&throttle, &policy, START), 0.8, 1e-9);
  g_assert_cmpfloat (commy_throttle_get_share (&throttle, &policy, START + 40 * S), ==, 0);
  g_assert_true (commy_throttle_admit (&throttle, &off, START, 0));
}

/* --- keys --- */

static const CommyKeySchema keys[] = { COMMY_RESILIENCE_KEYS };
static const CommyGroupSchema groups[] = { GROUP ("service", "NAME", keys) };

static gboolean
read_keys (const char *text, CommyResilience *out, GError **error)
{
  g_autofree char *path = NULL;
  g_autoptr (CommyConfig) config = NULL;
  int fd = g_file_open_tmp ("commy-XXXXXX.conf", &path, NULL);
  gboolean ok;

  g_assert_cmpint (fd, >=, 0);
  g_assert_true (g_close (fd, NULL));
  g_assert_true (g_file_set_contents (path, text, -1, NULL));
  config = commy_config_load_as (groups, G_N_ELEMENTS (groups), path, NULL, error);
  ok = config != NULL && commy_resilience_read (out, config, "service a", error);
  g_assert_cmpint (g_unlink (path), ==, 0);
  return ok;
}

static void
test_defaults (void)
{
  CommyResilience policy;
  g_autoptr (GError) error = NULL;

  g_assert_true (read_keys ("", &policy, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (policy.retry.attempts, ==, 3);
  g_assert_cmpfloat (policy.retry.budget_share, ==, 0.18);
  g_assert_cmpuint (policy.retry.budget_reserve, ==, 10);
  g_assert_cmpuint (policy.breaker.failures, ==, 7);
  g_assert_cmpfloat (policy.breaker.success, ==, 0.8);
  g_assert_cmpint (policy.breaker.window_ns, ==, 10 * S);
  g_assert_cmpuint (policy.breaker.volume, ==, 5);
  g_assert_cmpint (policy.breaker.penalty_ns, ==, S);
  g_assert_cmpint (policy.breaker.penalty_max_ns, ==, 60 * S);
  g_assert_cmpuint (policy.ejection.failures, ==, 5);
  g_assert_cmpint (policy.ejection.time_max_ns, ==, 300 * S);
  g_assert_cmpuint (policy.hedge.attempts, ==, 1);
  g_assert_true (policy.deadline.shed && policy.breaker.enabled && policy.ejection.enabled);
  g_assert_false (policy.throttle.enabled);
  g_assert_cmpuint (policy.bulkhead, ==, 0);
  g_assert_true (policy.rate.rate == 0);
}

static void
assert_refused (const char *text, int code, const char *pattern)
{
  CommyResilience policy;
  g_autoptr (GError) error = NULL;

  g_assert_false (read_keys (text, &policy, &error));
  g_assert_error (error, COMMY_ERROR, code);
  if (!g_pattern_match_simple (pattern, error->message))
    g_error ("\"%s\" is not like \"%s\"", error->message, pattern);
}

static void
test_wrong_keys (void)
{
  assert_refused ("[service a]\nretry-atempts=2\n", COMMY_ERROR_CONFIG_UNKNOWN,
                  "*.conf:2: unknown key \"retry-atempts\"*\"retry-attempts\"?");
  assert_refused ("[service a]\n\nretry-attempts=6\n", COMMY_ERROR_CONFIG_VALUE,
                  "*.conf:3: *1 to 5*");
  assert_refused ("[service a]\nretry-budget=200%\n", COMMY_ERROR_CONFIG_VALUE, "*.conf:2: *200%*");
  assert_refused ("[service a]\nbreaker-penalty=2m\n", COMMY_ERROR_CONFIG_VALUE, "*.conf:2: *");
  assert_refused ("[service a]\nretry-backoff=2s\n", COMMY_ERROR_CONFIG_VALUE,
                  "*.conf:2: retry-backoff=2s *retry-backoff-max=1s (default)*");
  assert_refused ("[service a]\nbreaker-penalty-max=1ms\n", COMMY_ERROR_CONFIG_VALUE,
                  "*breaker-penalty=1s*breaker-penalty-max=1ms (*.conf:2)*");
  assert_refused ("[service a]\nejection-time=400s\n", COMMY_ERROR_CONFIG_VALUE,
                  "*.conf:2: ejection-time=400s*");
  assert_refused ("[server a]\n", COMMY_ERROR_CONFIG_UNKNOWN, "*.conf:1: *\"service\"?");
}

/* --- the guard --- */

typedef struct
{
  CommyResilience policy;
  CommyGuard guard;
  gint64 now;
} Fixture;

static void
set_up (Fixture *fixture, gconstpointer unused)
{
  g_assert_true (read_keys ("", &fixture->policy, NULL));
  commy_guard_init (&fixture->guard, &fixture->policy);
  commy_guard_set_members (&fixture->guard, 3, NULL);
  fixture->now = START;
}

static void
tear_down (Fixture *fixture, gconstpointer unused)
{
  commy_guard_clear (&fixture->guard);
}

static void
call (Fixture *fixture, guint index, CommyOutcome outcome)
{
  CommyGuardAttempt attempt = commy_guard_begin (&fixture->guard, index, fixture->now);

  commy_guard_end (&fixture->guard, &attempt, outcome, fixture->now, 0);
}

static void
fail_until_blocked (Fixture *fixture)
{
  while (!commy_guard_is_blocked (&fixture->guard, 0))
    call (fixture, 0, COMMY_OUTCOME_FAILED);
}

static guint64
exclude (Fixture *fixture, guint64 tried, gssize last)
{
  const guint64 *excluded = commy_guard_exclude (&fixture->guard, &tried, last, fixture->now);

  return excluded != NULL ? *excluded : 0;
}

static void
test_tried (Fixture *fixture, gconstpointer unused)
{
  g_assert_null (commy_guard_exclude (&fixture->guard, NULL, -1, START));
  g_assert_cmpuint (exclude (fixture, 0, -1), ==, 0);
  g_assert_cmpuint (exclude (fixture, 2, 1), ==, 2);
  g_assert_cmpuint (exclude (fixture, 3, 0), ==, 3);
  /* All were tried: again, but not where it failed last. */
  g_assert_cmpuint (exclude (fixture, 7, 2), ==, 4);
  commy_guard_set_out (&fixture->guard, 0, COMMY_GUARD_DRAINING, NULL, START);
  commy_guard_set_out (&fixture->guard, 1, COMMY_GUARD_DRAINING, NULL, START);
  g_assert_cmpuint (exclude (fixture, 0, -1), ==, 3);
  g_assert_cmpuint (exclude (fixture, 4, 2), ==, 7);
  commy_guard_set_members (&fixture->guard, 1, NULL);
  g_assert_cmpuint (exclude (fixture, 1, 0), ==, 0);
}

static void
test_reasons (Fixture *fixture, gconstpointer unused)
{
  static const char *const names[] = { "a", "b", "c" };
  const guint64 tried = 4;
  g_autofree char *text = NULL;
  g_autofree char *later = NULL;

  fixture->policy.ejection.failures = 100;
  fixture->policy.breaker.success = 0; /* the row alone */
  exclude (fixture, 0, -1);
  fail_until_blocked (fixture);
  commy_guard_set_out (&fixture->guard, 1, COMMY_GUARD_DRAINING, NULL, START);
  text = commy_guard_explain (&fixture->guard, names, &tried, START + 500 * MS);
  g_assert_cmpstr (text, ==, "a: open since 500 ms (7 failures), b: draining, c: tried");
  g_assert_cmpuint (fixture->guard.n_openings, ==, 1);
  later = commy_guard_explain (&fixture->guard, names, NULL, START + S);
  g_assert_cmpstr (later, ==, "a: can be picked, b: draining, c: can be picked");
}

/* Time alone lets them in again. */
static void
test_time_passes (Fixture *fixture, gconstpointer unused)
{
  CommyGuardAttempt trial;

  exclude (fixture, 0, -1);
  call (fixture, 1, COMMY_OUTCOME_OK);
  fail_until_blocked (fixture);
  g_assert_cmpuint (exclude (fixture, 0, -1), ==, 1);
  fixture->now += 2 * S; /* the breaker is half-open, but it is ejected */
  g_assert_cmpuint (exclude (fixture, 0, -1), ==, 1);
  fixture->now += 28 * S;
  g_assert_cmpuint (exclude (fixture, 0, -1), ==, 0);
  trial = commy_guard_begin (&fixture->guard, 0, fixture->now);
  g_assert_cmpuint (exclude (fixture, 0, -1), ==, 1);
  commy_guard_end (&fixture->guard, &trial, COMMY_OUTCOME_OK, fixture->now, 0);
  g_assert_cmpuint (exclude (fixture, 0, -1), ==, 0);
}

static void
test_members_change (Fixture *fixture, gconstpointer unused)
{
  const gssize moved[] = { -1, 0, 2 }, alone[] = { 1 };

  exclude (fixture, 0, -1);
  call (fixture, 1, COMMY_OUTCOME_OK);
  fail_until_blocked (fixture);
  commy_guard_set_members (&fixture->guard, 3, moved);
  g_assert_cmpuint (exclude (fixture, 0, -1), ==, 2);
  /* The last one is not ejected, but its breaker is open. */
  fixture->now += 2 * S;
  commy_guard_set_members (&fixture->guard, 1, alone);
  g_assert_cmpuint (exclude (fixture, 0, -1), ==, 0);
  g_assert_cmpuint (fixture->guard.ejection.n_out, ==, 0);
}

static void
eject (Fixture *fixture, guint index)
{
  while (!fixture->guard.hosts[index].out)
    call (fixture, index, COMMY_OUTCOME_FAILED);
}

/* A set that shrinks has no more out than its share, however they came to be out. */
static void
test_share_of_fewer (Fixture *fixture, gconstpointer unused)
{
  const gssize fewer[] = { 1, 0, 2 };

  fixture->policy.breaker.enabled = FALSE;
  commy_guard_set_members (&fixture->guard, 4, NULL);
  exclude (fixture, 0, -1);
  for (guint i = 0; i < 4; i++)
    for (guint k = 0; k < 100; k++)
      call (fixture, i, COMMY_OUTCOME_OK);
  eject (fixture, 0);
  fixture->now += S;
  eject (fixture, 1);
  g_assert_cmpuint (fixture->guard.ejection.n_out, ==, 2);
  commy_guard_set_members (&fixture->guard, 3, fewer);
  /* The one that has been out longest is in. */
  g_assert_cmpuint (exclude (fixture, 0, -1), ==, 1);
  g_assert_cmpuint (fixture->guard.ejection.n_out, ==, 1);
}

static void
begin_anew (Fixture *fixture)
{
  commy_guard_clear (&fixture->guard);
  commy_guard_init (&fixture->guard, &fixture->policy);
  commy_guard_set_members (&fixture->guard, 3, NULL);
}

static void
test_admission (Fixture *fixture, gconstpointer unused)
{
  fixture->policy.rate = (CommyRateLimitPolicy){ 1, 2 };
  fixture->policy.bulkhead = 1;
  begin_anew (fixture);
  g_assert_cmpint (commy_guard_admit (&fixture->guard, 0, START, 0), ==, COMMY_ADMIT_DEADLINE);
  g_assert_cmpint (commy_guard_admit (&fixture->guard, S, START, 0), ==, COMMY_ADMITTED);
  g_assert_cmpint (commy_guard_admit (&fixture->guard, S, START, 0), ==, COMMY_ADMIT_BULKHEAD);
  g_assert_cmpint (commy_guard_admit (&fixture->guard, S, START, 0), ==, COMMY_ADMIT_RATE);
  commy_guard_finish (&fixture->guard, TRUE, START);
  g_assert_cmpint (commy_guard_admit (&fixture->guard, S, START + 2 * S, 0), ==, COMMY_ADMITTED);
  commy_guard_finish (&fixture->guard, FALSE, START + 2 * S);
  commy_guard_fold (&fixture->guard, START + 2 * S);
  g_assert_cmpuint (fixture->guard.budget.calls.sums[0], ==, 2);
  fixture->policy.rate.rate = 0;
  fixture->policy.throttle.enabled = TRUE;
  begin_anew (fixture);
  for (guint i = 0; i < 100; i++)
    if (commy_guard_admit (&fixture->guard, S, START + 3 * S, G_MAXUINT64) == COMMY_ADMITTED)
      commy_guard_finish (&fixture->guard, FALSE, START + 3 * S);
  g_assert_cmpint (commy_guard_admit (&fixture->guard, S, START + 3 * S, 0), ==,
                   COMMY_ADMIT_THROTTLE);
}

/* Guards of several threads have one limit; calls that one of them takes with it are over. */
static void
test_shared_limits (Fixture *fixture, gconstpointer unused)
{
  const gssize same[] = { 0, 1, 2 };
  CommyCallLimit limit = { 0 };
  CommyGuard other;

  fixture->policy.rate = (CommyRateLimitPolicy){ 1e-3, 4 };
  fixture->policy.bulkhead = 2;
  begin_anew (fixture);
  commy_guard_share (&fixture->guard, &limit.rate, &limit.bulkhead);
  commy_guard_init (&other, &fixture->policy);
  commy_guard_share (&other, &limit.rate, &limit.bulkhead);
  commy_guard_set_members (&other, 3, NULL);
  g_assert_cmpint (commy_guard_admit (&fixture->guard, S, START, 0), ==, COMMY_ADMITTED);
  g_assert_cmpint (commy_guard_admit (&other, S, START, 0), ==, COMMY_ADMITTED);
  g_assert_cmpint (commy_guard_admit (&fixture->guard, S, START, 0), ==, COMMY_ADMIT_BULKHEAD);
  /* Other members are no reason to forget who is inside. */
  commy_guard_set_members (&other, 3, same);
  g_assert_cmpuint (limit.bulkhead.inside, ==, 2);
  commy_guard_clear (&other);
  g_assert_cmpuint (limit.bulkhead.inside, ==, 1);
  g_assert_cmpint (commy_guard_admit (&fixture->guard, S, START, 0), ==, COMMY_ADMITTED);
  g_assert_cmpint (commy_guard_admit (&fixture->guard, S, START, 0), ==, COMMY_ADMIT_RATE);
  commy_guard_finish (&fixture->guard, TRUE, START);
  commy_guard_finish (&fixture->guard, TRUE, START);
  g_assert_cmpuint (limit.bulkhead.inside, ==, 0);
  begin_anew (fixture); /* what it shared goes first */
}

/* Whatever happens, what may be called is what the parts say, and somebody is left who is not
 * ejected. */
static void
test_bits_agree (Fixture *fixture, gconstpointer unused)
{
  CommySimRandom random = { 404 };
  const guint n = 70;

  commy_guard_set_members (&fixture->guard, n, NULL);
  for (guint i = 0; i < 20000; i++)
    {
      const guint index = commy_sim_random_below (&random, n);
      const guint64 *excluded;
      guint n_out = 0;

      fixture->now += commy_sim_random_below (&random, 100) * MS;
      excluded = commy_guard_exclude (&fixture->guard, NULL, -1, fixture->now);
      for (guint k = 0; k < n; k++)
        {
          const gboolean blocked = excluded != NULL && (excluded[k / 64] >> (k % 64) & 1) != 0;
          const gboolean admits = commy_breaker_admits (&fixture->guard.breakers[k],
                                                        &fixture->policy.breaker, fixture->now);

          g_assert_cmpint (blocked, ==, fixture->guard.hosts[k].out || !admits);
          n_out += fixture->guard.hosts[k].out;
        }
      g_assert_cmpuint (n_out, ==, fixture->guard.ejection.n_out);
      g_assert_cmpuint (n_out, <=, n / 2);
      if (!commy_guard_is_blocked (&fixture->guard, index))
        call (fixture, index,
              commy_sim_random_below (&random, n) < index ? COMMY_OUTCOME_FAILED
                                                          : COMMY_OUTCOME_OK);
    }
  g_assert_cmpuint (fixture->guard.ejection.n_ejections, >, 0);
  g_assert_cmpuint (fixture->guard.n_openings, >, 0);
}

#define GUARD(path, test) \
  g_test_add ("/control/guard/" path, Fixture, NULL, set_up, test, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/control/tally/what-left-the-window-is-forgotten", test_tally);
  g_test_add_func ("/control/tally/counts-are-exact", test_tally_is_exact);
  g_test_add_func ("/control/rate-limit/holds-over-time-and-allows-a-burst", test_rate);
  g_test_add_func ("/control/rate-limit/is-divided-with-a-call-for-each", test_parts);
  g_test_add_func ("/control/rate-limit/what-was-taken-stays-so-when-it-is-resized", test_resized);
  g_test_add_func ("/control/rate-limit/to-come-and-go-gains-nothing", test_resized_often);
  g_test_add_func ("/control/rate-limit/parts-together-are-never-more-than-the-whole", test_shared);
  g_test_add_func ("/control/bulkhead/holds-so-many", test_bulkhead);
  g_test_add_func ("/control/call-limits/threads-get-no-more-together", test_threads);
  g_test_add_func ("/control/call-limits/one-for-each-group", test_call_limits);
  g_test_add_func ("/control/throttle/sends-little-more-than-is-accepted", test_throttle);
  g_test_add_func ("/control/throttle/rests-while-all-is-well", test_throttle_rests);
  g_test_add_func ("/control/keys/defaults-are-those-of-their-sources", test_defaults);
  g_test_add_func ("/control/keys/wrong-ones-are-told-with-line-and-way-out", test_wrong_keys);
  GUARD ("who-was-tried-is-left-out", test_tried);
  GUARD ("says-why-nobody-can-be-picked", test_reasons);
  GUARD ("time-lets-them-in-again", test_time_passes);
  GUARD ("what-is-known-moves-with-the-members", test_members_change);
  GUARD ("fewer-members-have-fewer-out", test_share_of_fewer);
  GUARD ("a-call-is-refused-for-a-reason", test_admission);
  GUARD ("several-have-one-limit", test_shared_limits);
  GUARD ("bits-agree-with-the-parts", test_bits_agree);
  return g_test_run ();
}
