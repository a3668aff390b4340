/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The circuit breaker in virtual time: when it opens, for how long, and who tries.
 */
#include "config.h"

#include "control/commy-breaker.h"
#include "tests/control/chance.h"

#include <string.h>

static const CommyBreakerPolicy usual = {
  .enabled = TRUE,
  .failures = 7,
  .success = 0.8,
  .window_ns = 10 * SECOND,
  .volume = 5,
  .penalty_ns = SECOND,
  .penalty_max_ns = 60 * SECOND,
  .max_in_flight = 1024,
};

static void
call (CommyBreaker *breaker, CommyOutcome outcome, gint64 now)
{
  guint32 era = commy_breaker_begin (breaker, now);

  commy_breaker_end (breaker, &usual, era, outcome, now, 0);
}

static void
fail_until_open (CommyBreaker *breaker, gint64 now)
{
  while (commy_breaker_admits (breaker, &usual, now))
    call (breaker, COMMY_OUTCOME_FAILED, now);
}

static CommyBreaker
open_now (gint64 now)
{
  CommyBreaker breaker = { 0 };

  fail_until_open (&breaker, now);
  g_assert_cmpint (commy_breaker_get_state (&breaker, now), ==, COMMY_BREAKER_OPEN);
  return breaker;
}

static void
test_row (void)
{
  CommyBreakerPolicy policy = usual;
  CommyBreaker breaker = { 0 };

  policy.success = 0; /* the row alone */
  for (guint round = 0; round < 3; round++)
    {
      for (guint i = 0; i < 6; i++)
        commy_breaker_end (&breaker, &policy, commy_breaker_begin (&breaker, START),
                           COMMY_OUTCOME_FAILED, START, 0);
      g_assert_true (commy_breaker_admits (&breaker, &policy, START));
      commy_breaker_end (&breaker, &policy, commy_breaker_begin (&breaker, START), COMMY_OUTCOME_OK,
                         START, 0);
    }
  for (guint i = 0; i < 7; i++)
    {
      g_assert_true (commy_breaker_admits (&breaker, &policy, START));
      commy_breaker_end (&breaker, &policy, commy_breaker_begin (&breaker, START),
                         COMMY_OUTCOME_FAILED, START, 0);
    }
  g_assert_false (commy_breaker_admits (&breaker, &policy, START));
}

/* The share decides in the same way whether failures come in a burst or spread out. */
static void
test_share (void)
{
  CommyBreaker burst = { 0 }, spread = { 0 };

  for (guint i = 0; i < 13; i++)
    {
      call (&burst, COMMY_OUTCOME_OK, START);
      call (&spread, COMMY_OUTCOME_OK, START + i * 100 * MS);
    }
  for (guint i = 0; i < 3; i++)
    {
      call (&burst, COMMY_OUTCOME_FAILED, START);
      call (&spread, COMMY_OUTCOME_FAILED, START + (2 + i) * SECOND);
      g_assert_true (commy_breaker_admits (&burst, &usual, START));
      g_assert_true (commy_breaker_admits (&spread, &usual, START + 5 * SECOND));
    }
  /* The fourth of 17 is the first below 80 %. */
  call (&burst, COMMY_OUTCOME_FAILED, START);
  call (&spread, COMMY_OUTCOME_FAILED, START + 5 * SECOND);
  g_assert_false (commy_breaker_admits (&burst, &usual, START));
  g_assert_false (commy_breaker_admits (&spread, &usual, START + 5 * SECOND));
}

static void
test_volume (void)
{
  CommyBreaker breaker = { 0 };

  for (guint i = 0; i < 4; i++)
    call (&breaker, COMMY_OUTCOME_FAILED, START);
  g_assert_true (commy_breaker_admits (&breaker, &usual, START));
  call (&breaker, COMMY_OUTCOME_FAILED, START);
  g_assert_false (commy_breaker_admits (&breaker, &usual, START));
}

static void
test_window_forgets (void)
{
  CommyBreaker breaker = { 0 };

  for (guint i = 0; i < 4; i++)
    call (&breaker, COMMY_OUTCOME_FAILED, START);
  call (&breaker, COMMY_OUTCOME_FAILED, START + 11 * SECOND);
  g_assert_true (commy_breaker_admits (&breaker, &usual, START + 11 * SECOND));
}

static void
test_limited (void)
{
  CommyBreakerPolicy policy = usual;
  CommyBreaker breaker = { 0 };

  policy.success = 0;
  for (guint i = 0; i < 100; i++)
    commy_breaker_end (&breaker, &policy, commy_breaker_begin (&breaker, START),
                       COMMY_OUTCOME_LIMITED, START, 0);
  g_assert_true (commy_breaker_admits (&breaker, &policy, START));
  for (guint i = 0; i < 5; i++)
    call (&breaker, COMMY_OUTCOME_LIMITED, START); /* with the share */
  g_assert_false (commy_breaker_admits (&breaker, &usual, START));
}

static void
test_half_open (void)
{
  CommyBreaker breaker = open_now (START);
  const gint64 later = START + SECOND;
  guint32 era;

  g_assert_false (commy_breaker_admits (&breaker, &usual, later - 1));
  g_assert_true (commy_breaker_admits (&breaker, &usual, later));
  g_assert_cmpint (commy_breaker_get_state (&breaker, later), ==, COMMY_BREAKER_HALF_OPEN);
  era = commy_breaker_begin (&breaker, later);
  for (guint i = 0; i < 100; i++)
    g_assert_false (commy_breaker_admits (&breaker, &usual, later + i * SECOND));
  commy_breaker_end (&breaker, &usual, era, COMMY_OUTCOME_OK, later, 0);
  g_assert_cmpint (commy_breaker_get_state (&breaker, later), ==, COMMY_BREAKER_CLOSED);
  /* All is forgotten: one failure does not open it. */
  call (&breaker, COMMY_OUTCOME_FAILED, later);
  g_assert_true (commy_breaker_admits (&breaker, &usual, later));
}

/* Who was not asked for neither takes the place of the one that tries, nor makes it longer. */
static void
test_uncalled_for (void)
{
  CommyBreaker breaker = open_now (START);
  const gint64 until = breaker.until_ns;

  for (guint i = 0; i < 6; i++)
    {
      guint32 era = commy_breaker_begin (&breaker, START);

      commy_breaker_end (&breaker, &usual, era, COMMY_OUTCOME_FAILED, START, 0);
    }
  g_assert_cmpint (breaker.until_ns, ==, until);
  g_assert_cmpuint (breaker.in_flight, ==, 0);
  commy_breaker_begin (&breaker, START);
  g_assert_true (commy_breaker_admits (&breaker, &usual, until));
}

static void
test_trial_abandoned (void)
{
  CommyBreaker breaker = open_now (START);
  guint32 era = commy_breaker_begin (&breaker, START + SECOND);

  commy_breaker_end (&breaker, &usual, era, COMMY_OUTCOME_ABANDONED, START + SECOND, 0);
  g_assert_true (commy_breaker_admits (&breaker, &usual, START + SECOND));
}

static void
test_penalty_grows (void)
{
  CommyBreaker breaker = open_now (START);
  gint64 now = START, expected = SECOND;

  for (guint i = 0; i < 12; i++)
    {
      g_assert_cmpint (breaker.until_ns - now, ==, expected);
      now = breaker.until_ns;
      call (&breaker, i % 2 == 0 ? COMMY_OUTCOME_FAILED : COMMY_OUTCOME_LIMITED, now);
      expected = MIN (2 * expected, 60 * SECOND);
    }
  now = breaker.until_ns;
  call (&breaker, COMMY_OUTCOME_OK, now);
  fail_until_open (&breaker, now);
  g_assert_cmpint (breaker.until_ns - now, ==, SECOND);
}

static void
test_jitter (void)
{
  CommyBreaker breaker = { 0 };

  for (guint i = 0; i < 5; i++)
    commy_breaker_end (&breaker, &usual, commy_breaker_begin (&breaker, START),
                       COMMY_OUTCOME_FAILED, START, G_MAXUINT64);
  g_assert_cmpint (breaker.until_ns - START, >, 1499 * MS);
  g_assert_cmpint (breaker.until_ns - START, <=, 1500 * MS);
}

/* What was begun before it opened must not close it, nor count for the one that tries. */
static void
test_latecomers (void)
{
  CommyBreaker breaker = { 0 };
  guint32 old = commy_breaker_begin (&breaker, START), trial;

  fail_until_open (&breaker, START);
  trial = commy_breaker_begin (&breaker, START + SECOND);
  commy_breaker_end (&breaker, &usual, old, COMMY_OUTCOME_OK, START + SECOND, 0);
  g_assert_cmpint (commy_breaker_get_state (&breaker, START + SECOND), ==, COMMY_BREAKER_HALF_OPEN);
  g_assert_false (commy_breaker_admits (&breaker, &usual, START + SECOND));
  commy_breaker_end (&breaker, &usual, trial, COMMY_OUTCOME_OK, START + SECOND, 0);
  g_assert_cmpint (commy_breaker_get_state (&breaker, START + SECOND), ==, COMMY_BREAKER_CLOSED);
  g_assert_cmpuint (breaker.in_flight, ==, 0);
}

static void
test_in_flight (void)
{
  CommyBreakerPolicy policy = usual;
  CommyBreaker breaker = { 0 };
  g_autoptr (GString) text = g_string_new (NULL);

  policy.max_in_flight = 2;
  policy.enabled = FALSE;
  commy_breaker_begin (&breaker, START);
  g_assert_true (commy_breaker_admits (&breaker, &policy, START));
  g_assert_false (commy_breaker_explain (&breaker, &policy, START, text));
  commy_breaker_begin (&breaker, START);
  g_assert_false (commy_breaker_admits (&breaker, &policy, START));
  g_assert_true (commy_breaker_explain (&breaker, &policy, START, text));
  g_assert_cmpstr (text->str, ==, "2 calls under way");
  for (guint i = 0; i < 100; i++)
    commy_breaker_end (&breaker, &policy, commy_breaker_begin (&breaker, START),
                       COMMY_OUTCOME_FAILED, START, 0);
  g_assert_cmpint (commy_breaker_get_state (&breaker, START), ==, COMMY_BREAKER_CLOSED);
}

static void
test_reasons (void)
{
  CommyBreaker breaker = open_now (START);
  CommyBreaker other = { 0 };
  g_autoptr (GString) text = g_string_new (NULL);

  breaker.until_ns = START + 20 * SECOND;
  breaker.row_seen = 7; /* as if others had succeeded before */
  g_assert_true (commy_breaker_explain (&breaker, &usual, START + 12 * SECOND, text));
  g_assert_cmpstr (text->str, ==, "open since 12 s (7 failures)");
  commy_breaker_begin (&breaker, START + 20 * SECOND);
  g_string_truncate (text, 0);
  g_assert_true (commy_breaker_explain (&breaker, &usual, START + 21 * SECOND, text));
  g_assert_cmpstr (text->str, ==, "open since 21 s (7 failures), one call tries");
  for (guint i = 0; i < 4; i++)
    call (&other, i == 0 ? COMMY_OUTCOME_FAILED : COMMY_OUTCOME_OK, START);
  call (&other, COMMY_OUTCOME_FAILED, START);
  g_string_truncate (text, 0);
  g_assert_true (commy_breaker_explain (&other, &usual, START, text));
  g_assert_cmpstr (text->str, ==, "open since 0 ns (60% of 5 calls succeeded)");
}

/* Whatever happens: counts agree, an open one admits nobody, a half-open one a single call. */
static void
test_any_order (void)
{
  CommySimRandom random = { 20261121 };
  CommyBreakerPolicy policy = usual;

  policy.max_in_flight = 20;
  for (guint run = 0; run < 200; run++)
    {
      CommyBreaker breaker = { 0 };
      guint32 eras[64];
      guint n = 0, trials = 0;
      gint64 now = START;
      double share = commy_sim_random_share (&random);

      for (guint i = 0; i < 500; i++)
        {
          now += commy_sim_random_below (&random, 200) * MS;
          if (commy_breaker_admits (&breaker, &policy, now)
              && commy_sim_random_below (&random, 2) == 0)
            {
              g_assert_cmpint (commy_breaker_get_state (&breaker, now), !=, COMMY_BREAKER_OPEN);
              trials = breaker.open ? 1 : 0;
              eras[n++] = commy_breaker_begin (&breaker, now);
              g_assert_true (!breaker.open || !commy_breaker_admits (&breaker, &policy, now));
            }
          else if (n > 0)
            {
              guint at = commy_sim_random_below (&random, n);
              CommyOutcome outcome = commy_sim_random_share (&random) < share
                                         ? COMMY_OUTCOME_OK
                                         : (CommyOutcome) (1 + commy_sim_random_below (&random, 4));

              commy_breaker_end (&breaker, &policy, eras[at], outcome, now,
                                 commy_sim_random_next (&random));
              eras[at] = eras[--n];
            }
          g_assert_cmpuint (breaker.in_flight, ==, n);
          g_assert_cmpuint (n, <=, 20);
          g_assert_cmpuint (trials, <=, 1);
          g_assert_true (!breaker.trying || breaker.open);
        }
    }
}

#define ADD(path, test) g_test_add_func ("/control/breaker/" path, test)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("failures-in-a-row-open-it", test_row);
  ADD ("a-burst-and-failures-spread-out-count-the-same", test_share);
  ADD ("few-calls-make-no-share", test_volume);
  ADD ("what-left-the-window-does-not-count", test_window_forgets);
  ADD ("refusals-for-load-count-for-the-share-only", test_limited);
  ADD ("exactly-one-call-tries", test_half_open);
  ADD ("what-was-not-asked-for-says-nothing", test_uncalled_for);
  ADD ("a-trial-nobody-waited-for-is-repeated", test_trial_abandoned);
  ADD ("penalty-doubles-up-to-its-limit", test_penalty_grows);
  ADD ("penalty-has-jitter", test_jitter);
  ADD ("calls-of-before-say-nothing-of-after", test_latecomers);
  ADD ("calls-under-way-are-limited", test_in_flight);
  ADD ("says-why", test_reasons);
  ADD ("any-order-keeps-its-promises", test_any_order);
  return g_test_run ();
}
