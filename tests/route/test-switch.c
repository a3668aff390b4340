/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Switching: each condition holds it back, all together let it go; and simulated liars, honest
 * ones and equals in virtual time.
 */
#include "config.h"

#include "route-fixture.h"

#define MS G_GINT64_CONSTANT (1000000)

static CommyDemand
demand_at (gint64 now_ns)
{
  CommyDemand demand;

  commy_demand_init (&demand, now_ns);
  return demand;
}

static void
each_condition_holds_it_back (void)
{
  CommyDemand demand = demand_at (1000 * MS);
  CommySwitch state = { 0 };

  g_assert_cmpint (commy_switch_consider (&state, &demand, 100, 0, 100, 0), ==,
                   COMMY_SWITCH_STAY_BEST);
  g_assert_cmpint (commy_switch_consider (&state, &demand, 100, 0, 120, 0), ==,
                   COMMY_SWITCH_STAY_BEST);
  g_assert_cmpint (commy_switch_consider (&state, &demand, 100, 0, 91, 0), ==,
                   COMMY_SWITCH_STAY_MARGIN);
  g_assert_cmpint (commy_switch_consider (&state, &demand, 100, 0.3, 60, 0.3), ==,
                   COMMY_SWITCH_STAY_UNSURE);
  g_assert_cmpint (commy_switch_consider (&state, &demand, 100, 0, (double) NAN, 0), ==,
                   COMMY_SWITCH_STAY_BEST);
  g_assert_cmpuint (state.streak, ==, 0);
}

static void
three_in_a_row_are_needed (void)
{
  CommyDemand demand = demand_at (1000 * MS);
  CommySwitch state = { 0 };

  g_assert_cmpint (commy_switch_consider (&state, &demand, 100, 0, 50, 0), ==,
                   COMMY_SWITCH_STAY_STREAK);
  g_assert_cmpint (commy_switch_consider (&state, &demand, 100, 0, 50, 0), ==,
                   COMMY_SWITCH_STAY_STREAK);
  g_assert_cmpint (commy_switch_consider (&state, &demand, 100, 0, 99, 0), ==,
                   COMMY_SWITCH_STAY_MARGIN);
  g_assert_cmpint (commy_switch_consider (&state, &demand, 100, 0, 50, 0), ==,
                   COMMY_SWITCH_STAY_STREAK);
  g_assert_cmpint (commy_switch_consider (&state, &demand, 100, 0, 50, 0), ==,
                   COMMY_SWITCH_STAY_STREAK);
  g_assert_cmpint (commy_switch_consider (&state, &demand, 100, 0, 50, 0), ==, COMMY_SWITCH_GO);
  g_assert_cmpint (state.since_ns, ==, demand.now_ns);
  g_assert_cmpuint (state.streak, ==, 0);
}

static void
a_new_incumbent_dwells (void)
{
  CommyDemand demand = demand_at (1000 * MS);
  CommySwitch state = { .since_ns = 990 * MS, .streak = 5 };

  g_assert_cmpint (commy_switch_consider (&state, &demand, 100, 0, 50, 0), ==,
                   COMMY_SWITCH_STAY_DWELL);
  demand.now_ns = 1040 * MS;
  g_assert_cmpint (commy_switch_consider (&state, &demand, 100, 0, 50, 0), ==, COMMY_SWITCH_GO);
}

static void
every_verdict_has_words (void)
{
  for (guint i = 0; i <= COMMY_SWITCH_GO; i++)
    g_assert_cmpstr (commy_switch_verdict_to_string ((CommySwitchVerdict) i), !=, "?");
  g_assert_cmpstr (commy_switch_verdict_to_string ((CommySwitchVerdict) 99), ==, "?");
}

/* --- a flow in virtual time --- */

#define ROUNDS 10

typedef struct
{
  double claimed[2], truth[2]; /* ns, of any size */
  gint right;                  /* who must carry the flow at the end; -1: either */
  guint most_switches;         /* of a flow */
  double slower_from;          /* message after which @truth[0] is eight times as long; 0: never */
} Case;

typedef struct
{
  CommyProfile profiles[2];
  CommyCandidate candidates[2];
  CommyCalibration calibrations[2];
  CommyAssessment assessments[2];
  CommySwitch hysteresis;
  gint64 now_ns;
  gint incumbent;
  guint switches;
} Flow;

static void
measure (Flow *flow, const Case *c, guint i, GRand *rand, guint message)
{
  double truth = c->truth[i];

  if (i == 0 && c->slower_from > 0 && message > c->slower_from)
    truth *= 8;
  if (g_rand_double (rand) < 0.01)
    truth *= 20; /* scheduled away */
  commy_calibration_add (&flow->calibrations[i], 64, truth * exp (0.1 * fixture_normal (rand)),
                         c->claimed[i], flow->now_ns);
}

static void
evaluate (Flow *flow)
{
  CommyDemand demand = demand_at (flow->now_ns);
  gint rival = 1 - MAX (flow->incumbent, 0);
  CommyPlan plan;
  CommySwitchVerdict verdict;

  commy_route_decide (&demand, flow->candidates, 2, flow->assessments, &plan);
  if (flow->incumbent < 0)
    {
      flow->incumbent = plan.chosen;
      return;
    }
  verdict = commy_switch_consider (
      &flow->hysteresis, &demand, flow->assessments[flow->incumbent].expected_ns[0],
      flow->assessments[flow->incumbent].posterior[0].sd, flow->assessments[rival].expected_ns[0],
      flow->assessments[rival].posterior[0].sd);
  if (verdict != COMMY_SWITCH_GO)
    return;
  flow->incumbent = rival;
  flow->switches++;
}

/* Whether the other may be better after all: then it is probed more often than rarely. */
static bool
is_worth_probing (const Flow *flow, gint rival)
{
  const CommyAssessment *a = &flow->assessments[flow->incumbent], *b = &flow->assessments[rival];

  return b->expected_ns[0] * exp (-2 * b->posterior[0].sd) < 0.9 * a->expected_ns[0];
}

/* 8 probes of each at first, one message in 64 is measured, one probe of the other every 30 s and
 * three every 5 s while it may be better. */
/* Whether the right one carries the flow at the end; adds to *@switches. */
static bool
simulate (const Case *c, GRand *rand, guint *switches)
{
  Flow flow = { .incumbent = -1, .now_ns = 1000 * MS };

  for (guint i = 0; i < 2; i++)
    {
      flow.profiles[i] = fixture_profile (c->claimed[i], 0, 0, 0);
      flow.profiles[i].provenance = COMMY_PROVENANCE_GUESS;
      flow.candidates[i] = fixture_candidate (fixture_names[i], &flow.profiles[i]);
      flow.candidates[i].calibration = &flow.calibrations[i];
      for (guint p = 0; p < 8; p++)
        measure (&flow, c, i, rand, 0);
    }
  for (guint message = 0; message < 40000; message++)
    {
      flow.now_ns += 5 * MS;
      if (message % 64 == 0 && flow.incumbent >= 0)
        measure (&flow, c, (guint) flow.incumbent, rand, message);
      if (message % 6000 == 0 && flow.incumbent >= 0)
        measure (&flow, c, (guint) (1 - flow.incumbent), rand, message);
      if (message % 20 == 0)
        evaluate (&flow);
      if (message % 1000 == 0 && is_worth_probing (&flow, 1 - flow.incumbent))
        for (guint p = 0; p < 3; p++)
          measure (&flow, c, (guint) (1 - flow.incumbent), rand, message);
    }
  *switches += flow.switches;
  return c->right < 0 || flow.incumbent == c->right;
}

/* Chance may mislead one flow in ten, or have two of them go there and back. */
static void
simulate_case (gconstpointer data)
{
  const Case *c = data;
  g_autoptr (GRand) rand = fixture_rand ();
  guint switches = 0, wrong = 0;

  for (guint round = 0; round < ROUNDS; round++)
    wrong += !simulate (c, rand, &switches);
  g_assert_cmpuint (wrong, <=, 1);
  g_assert_cmpuint (switches, <=, ROUNDS * c->most_switches + 2);
}

int
main (int argc, char **argv)
{
  static const Case honest = { { 300, 9000 }, { 300, 9000 }, 0, 0, 0 };
  static const Case over_100 = { { 50, 1000 }, { 5000, 1000 }, 1, 1, 0 };
  static const Case under_500 = { { 400000, 1500 }, { 800, 1500 }, 0, 1, 0 };
  static const Case equals = { { 1000, 1000 }, { 1000, 1000 }, -1, 0, 0 };
  static const Case inverted = { { 1200, 1000 }, { 1000, 1250 }, 0, 1, 0 };
  static const Case slows = { { 300, 1000 }, { 300, 1000 }, 1, 1, 20000 };

  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/route/switch/each-condition-holds-it-back", each_condition_holds_it_back);
  g_test_add_func ("/route/switch/three-in-a-row-are-needed", three_in_a_row_are_needed);
  g_test_add_func ("/route/switch/a-new-incumbent-dwells", a_new_incumbent_dwells);
  g_test_add_func ("/route/switch/every-verdict-has-words", every_verdict_has_words);
#define ADD(PATH, CASE) g_test_add_data_func ("/route/simulation/" PATH, &CASE, simulate_case)
  ADD ("the-honest-keep-what-they-have", honest);
  ADD ("an-over-claimer-x100-is-found-out", over_100);
  ADD ("an-under-claimer-x500-is-found", under_500);
  ADD ("equals-do-not-flap", equals);
  ADD ("an-inverted-claim-is-put-right", inverted);
  ADD ("an-incumbent-that-slows-is-left", slows);
  return g_test_run ();
}
