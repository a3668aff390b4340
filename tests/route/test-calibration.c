/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The posterior: claims alone, samples, outliers, steps, ageing, contradiction, inheritance.
 */
#include "config.h"

#include "route-fixture.h"

#define SECOND G_GINT64_CONSTANT (1000000000)

static void
feed (CommyCalibration *calibration, gsize size, double ratio, guint n, gint64 now_ns)
{
  for (guint i = 0; i < n; i++)
    commy_calibration_add (calibration, size, 1000 * ratio, 1000, now_ns);
}

static void
without_samples_the_claim_counts (void)
{
  CommyProfile profile = fixture_shm ();
  CommyCalibration empty = { 0 };
  CommyPosterior posterior = commy_calibration_get (NULL, &profile, 0, 0);

  g_assert_cmpfloat (log (posterior.factor), ==, 0);
  g_assert_cmpfloat_with_epsilon (posterior.sd, G_LN2, 1e-9);
  g_assert_cmpfloat (posterior.ratio, ==, 1);
  posterior = commy_calibration_get (&empty, &profile, 3, 0);
  g_assert_cmpfloat_with_epsilon (posterior.sd, G_LN2, 1e-9);
  g_assert_cmpfloat (posterior.samples, ==, 0);
}

static void
sigma_by_provenance (void)
{
  CommyProfile profile = fixture_shm ();

  profile.provenance = COMMY_PROVENANCE_GUESS;
  g_assert_cmpfloat_with_epsilon (commy_profile_sigma (&profile), log (4), 1e-9);
  profile.provenance = COMMY_PROVENANCE_MEASURED_ELSEWHERE;
  g_assert_cmpfloat_with_epsilon (commy_profile_sigma (&profile), log (1.5), 1e-9);
  profile.provenance = COMMY_PROVENANCE_MEASURED_HERE;
  g_assert_cmpfloat_with_epsilon (commy_profile_sigma (&profile), 0.1, 1e-9);
  profile.sigma = 0.3;
  g_assert_cmpfloat_with_epsilon (commy_profile_sigma (&profile), 0.3, 1e-9);
  /* but nobody knows this machine from elsewhere */
  profile.provenance = COMMY_PROVENANCE_MEASURED_ELSEWHERE;
  g_assert_cmpfloat_with_epsilon (commy_profile_sigma (&profile), log (1.5), 1e-9);
  profile.sigma = 0.7;
  g_assert_cmpfloat_with_epsilon (commy_profile_sigma (&profile), 0.7, 1e-9);
  profile.provenance = COMMY_PROVENANCE_MEASURED_HERE;
  profile.sigma = (double) NAN;
  g_assert_cmpfloat_with_epsilon (commy_profile_sigma (&profile), 0.1, 1e-9);
  profile.provenance = COMMY_PROVENANCE_OPERATOR;
  g_assert_cmpfloat (commy_profile_sigma (&profile), ==, 0);
}

static void
samples_win_over_the_claim (void)
{
  CommyProfile profile = fixture_shm ();
  CommyCalibration calibration = { 0 };
  CommyPosterior posterior;

  /* One sample is weighed once: as sure as its spread, against the claim. */
  feed (&calibration, 64, 2, 1, SECOND);
  posterior = commy_calibration_get (&calibration, &profile, 0, SECOND);
  g_assert_cmpfloat_with_epsilon (log (posterior.factor),
                                  log (2) * G_LN2 * G_LN2 / (G_LN2 * G_LN2 + 0.25 * 0.25), 1e-9);
  feed (&calibration, 64, 2, 39, SECOND);
  posterior = commy_calibration_get (&calibration, &profile, 0, SECOND);
  g_assert_cmpfloat_with_epsilon (log (posterior.factor), log (2), 0.02);
  g_assert_cmpfloat_with_epsilon (posterior.ratio, 2, 0.02);
  g_assert_cmpfloat (posterior.sd, <, 0.05);
  g_assert_cmpfloat_with_epsilon (posterior.samples, 40, 1e-6);
  g_assert_false (posterior.contradicted);
}

static void
one_outlier_hardly_moves (void)
{
  CommyProfile profile = fixture_shm ();
  CommyCalibration calibration = { 0 };

  feed (&calibration, 64, 1, 40, SECOND);
  feed (&calibration, 64, 1000, 1, SECOND);
  feed (&calibration, 64, 1, 1, SECOND);
  feed (&calibration, 64, 1000, 2, SECOND);
  feed (&calibration, 64, 1, 1, SECOND);
  g_assert_cmpfloat_with_epsilon (
      log (commy_calibration_get (&calibration, &profile, 0, SECOND).factor), 0, 0.06);
}

static void
three_in_a_row_are_a_step (void)
{
  CommyProfile profile = fixture_shm ();
  CommyCalibration calibration = { 0 };
  CommyPosterior posterior;

  feed (&calibration, 64, 1, 40, SECOND);
  feed (&calibration, 64, 8, 3, SECOND);
  posterior = commy_calibration_get (&calibration, &profile, 0, SECOND);
  g_assert_cmpfloat (log (posterior.factor), >, log (4));
  /* and it is less sure than before */
  g_assert_cmpfloat (posterior.sd, >, 0.2);
}

static void
outliers_of_both_signs_are_no_step (void)
{
  CommyProfile profile = fixture_shm ();
  CommyCalibration calibration = { 0 };

  feed (&calibration, 64, 1, 40, SECOND);
  for (guint i = 0; i < 4; i++)
    {
      feed (&calibration, 64, 50, 2, SECOND);
      feed (&calibration, 64, 0.02, 2, SECOND);
    }
  g_assert_cmpfloat (fabs (log (commy_calibration_get (&calibration, &profile, 0, SECOND).factor)),
                     <, 0.3);
}

static void
knowledge_ages (void)
{
  CommyProfile profile = fixture_shm ();
  CommyCalibration calibration = { 0 };
  CommyPosterior fresh, old;

  feed (&calibration, 64, 1.3, 4, SECOND);
  fresh = commy_calibration_get (&calibration, &profile, 0, SECOND);
  old = commy_calibration_get (&calibration, &profile, 0, 61 * SECOND);
  g_assert_cmpfloat_with_epsilon (old.samples, fresh.samples / 2, 1e-6);
  g_assert_cmpfloat (old.sd, >, fresh.sd);
  old = commy_calibration_get (&calibration, &profile, 0, 6000 * SECOND);
  g_assert_cmpfloat_with_epsilon (old.sd, G_LN2, 0.01);
}

static void
contradicted_claims_are_dropped_and_stay_so (void)
{
  CommyProfile profile = fixture_shm ();
  CommyCalibration calibration = { 0 };
  CommyPosterior posterior;

  feed (&calibration, 64, 100, 3, SECOND);
  g_assert_false (commy_calibration_get (&calibration, &profile, 0, SECOND).contradicted);
  feed (&calibration, 64, 100, 1, SECOND);
  posterior = commy_calibration_get (&calibration, &profile, 0, SECOND);
  g_assert_true (posterior.contradicted);
  g_assert_cmpfloat_with_epsilon (log (posterior.factor), log (100), 1e-6);
  /* Time alone does not make a liar credible. */
  posterior = commy_calibration_get (&calibration, &profile, 0, 600 * SECOND);
  g_assert_true (posterior.contradicted);
  g_assert_cmpfloat_with_epsilon (log (posterior.factor), log (100), 1e-6);
  g_assert_cmpfloat (posterior.sd, >, 1);
  posterior = commy_calibration_get (&calibration, &profile, 0, 1000000 * SECOND);
  g_assert_true (posterior.contradicted);
  g_assert_cmpfloat_with_epsilon (log (posterior.factor), log (100), 1e-6);
}

/* --- what a class without samples inherits --- */

/* 100 ns and 1 ns/B: 164 ns in class 0, 1124 ns in class 2, 1 ms in class 7. */
static CommyProfile
one_ns_per_byte (void)
{
  return fixture_profile (100, 0, 0, 1);
}

static void
feed_ns (CommyCalibration *calibration, gsize size, double excess_ns, guint n)
{
  CommyProfile profile = one_ns_per_byte ();
  CommyCost cost;

  commy_cost_compute (&profile, NULL, size, &cost);
  for (guint i = 0; i < n; i++)
    commy_calibration_add (calibration, size, cost.t_latency_ns + excess_ns, cost.t_latency_ns,
                           SECOND);
}

static double
expected (const CommyCalibration *calibration, guint size_class, CommyPosterior *out_posterior)
{
  CommyProfile profile = one_ns_per_byte ();
  CommyCost cost;

  *out_posterior = commy_calibration_get (calibration, &profile, size_class, SECOND);
  commy_cost_compute (&profile, NULL, commy_size_class_representative (size_class), &cost);
  return cost.t_latency_ns * out_posterior->factor;
}

static void
a_costlier_class_inherits_time_and_not_a_factor (void)
{
  CommyCalibration calibration = { 0 };
  CommyPosterior posterior;

  /* A wake-up: x100 where it was seen. */
  feed_ns (&calibration, 64, 16236, 40);
  g_assert_cmpfloat_with_epsilon (expected (&calibration, 0, &posterior), 16400, 1);
  for (guint c = 1; c < COMMY_SIZE_CLASSES; c++)
    {
      double claimed = 100 + (double) commy_size_class_representative (c);

      g_assert_cmpfloat_with_epsilon (expected (&calibration, c, &posterior), claimed + 16236,
                                      claimed * 1e-6);
      g_assert_false (posterior.contradicted);
      g_assert_cmpfloat (posterior.samples, ==, 0);
      g_assert_cmpfloat (posterior.ratio, ==, 1);
    }
}

static void
far_away_the_claims_own_sigma_is_left (void)
{
  CommyCalibration calibration = { 0 };
  CommyPosterior own, near, far;
  double last = 0;

  feed_ns (&calibration, 64, 300, 40);
  expected (&calibration, 0, &own);
  expected (&calibration, 1, &near);
  expected (&calibration, 8, &far);
  g_assert_cmpfloat (own.sd, <, 0.05);
  g_assert_cmpfloat (near.sd, >, 0.2);
  g_assert_cmpfloat (near.sd, <, 0.5);
  g_assert_cmpfloat_with_epsilon (far.sd, G_LN2, 0.01);
  for (guint c = 0; c < COMMY_SIZE_CLASSES; c++)
    {
      expected (&calibration, c, &near);
      g_assert_cmpfloat (near.sd, >=, last);
      g_assert_cmpfloat (near.sd, <=, G_LN2 * (1 + 1e-9));
      last = near.sd;
    }
}

static void
less_than_claimed_is_inherited_too (void)
{
  CommyCalibration calibration = { 0 };
  CommyPosterior posterior;

  /* Takes 24 of 1124 ns: the claim is dropped. No class comes to take no time. */
  feed_ns (&calibration, 1024, -1100, 40);
  g_assert_cmpfloat_with_epsilon (expected (&calibration, 3, &posterior), 4196 - 1100, 1e-3);
  for (guint c = 0; c < COMMY_SIZE_CLASSES; c++)
    {
      g_assert_cmpfloat (expected (&calibration, c, &posterior), >, 0);
      g_assert_cmpfloat (log (posterior.factor), >=, log (24.0 / 1124) - 1e-9);
      g_assert_true (isfinite (log (posterior.factor)) && isfinite (posterior.sd));
    }
}

static void
a_cheaper_class_inherits_its_share (void)
{
  CommyCalibration calibration = { 0 };
  CommyPosterior posterior;

  /* 10 ms too long for 1 MiB may be per byte: 64 bytes are not expected to take 10 ms. */
  feed_ns (&calibration, 1 << 20, 1e7, 40);
  g_assert_cmpfloat_with_epsilon (expected (&calibration, 0, &posterior),
                                  164 * (1 + 1e7 / (100 + (1 << 20))), 1);
  g_assert_cmpfloat_with_epsilon (posterior.sd, G_LN2, 0.01);
  g_assert_cmpfloat_with_epsilon (expected (&calibration, 8, &posterior), 1e7 + 100 + (1 << 22),
                                  10);
}

static void
the_class_that_knows_most_is_asked (void)
{
  CommyCalibration calibration = { 0 };
  CommyPosterior posterior;

  feed_ns (&calibration, 1 << 10, 5000, 40);
  feed_ns (&calibration, 1 << 18, 9e5, 40);
  g_assert_cmpfloat_with_epsilon (expected (&calibration, 1, &posterior), 356 * (1 + 5000.0 / 1124),
                                  5);
  /* and neither outvotes a class's own samples */
  feed_ns (&calibration, 256, 0, 60);
  g_assert_cmpfloat_with_epsilon (expected (&calibration, 1, &posterior), 356, 10);
}

static void
two_classes_make_a_line (void)
{
  CommyCalibration calibration = { 0 };
  const double low = 164, high = 100 + (1 << 18), slope = 1 + (9e5 - 5000) / (high - low);
  CommyPosterior posterior;

  feed_ns (&calibration, 64, 5000, 40);
  feed_ns (&calibration, 1 << 18, 9e5, 40);
  g_assert_cmpfloat_with_epsilon (expected (&calibration, 1, &posterior),
                                  low + 5000 + (356 - low) * slope, 10);
  g_assert_cmpfloat (posterior.sd, <, 0.4);
  g_assert_cmpfloat_with_epsilon (expected (&calibration, 5, &posterior),
                                  low + 5000 + (100 + (1 << 16) - low) * slope, 3000);
  g_assert_cmpfloat (posterior.sd, <, 0.4);
  /* Beyond them the line goes on, between what was measured and what is claimed. */
  g_assert_cmpfloat (expected (&calibration, 8, &posterior), >, 9e5 + 100 + (1 << 22));
  g_assert_cmpfloat (log (posterior.factor), <, log (slope));
}

static void
a_lie_by_a_factor_holds_for_every_size (void)
{
  static const double factors[] = { 100, 1.0 / 500 };

  for (guint i = 0; i < G_N_ELEMENTS (factors); i++)
    {
      CommyCalibration calibration = { 0 };
      CommyPosterior posterior;

      feed_ns (&calibration, 64, 164 * (factors[i] - 1), 8);
      feed_ns (&calibration, 1 << 16, (100 + (1 << 16)) * (factors[i] - 1), 4);
      for (guint c = 0; c < COMMY_SIZE_CLASSES; c++)
        {
          expected (&calibration, c, &posterior);
          g_assert_cmpfloat_with_epsilon (log (posterior.factor), log (factors[i]), 0.1);
          g_assert_cmpfloat (posterior.sd, <, 0.6);
        }
    }
}

static void
even_a_neighbour_is_not_measured (void)
{
  CommyCalibration calibration = { 0 };
  CommyPosterior own, near;

  /* A wake-up of 1 ms is all there is of either class: nothing is left unseen but the class. */
  feed_ns (&calibration, 64, 1e6, 40);
  expected (&calibration, 0, &own);
  expected (&calibration, 1, &near);
  g_assert_cmpfloat (own.sd, <, 0.05);
  g_assert_cmpfloat (near.sd, >, 0.3);
  g_assert_cmpfloat (near.sd, <, 0.4);
}

static void
what_a_serializer_takes_is_added (void)
{
  CommyProfile transport = fixture_profile (1000, 0, 0, 0);
  CommyProfile serializer = fixture_serializer (2000, 0, 1);
  CommyCandidate candidate = fixture_candidate ("t", &transport);
  CommyDemand demand = fixture_demand ();
  CommyCalibration calibration = { .bare = true };
  CommyAssessment assessment;
  CommyPlan plan;

  /* The transport alone takes ten times its claim; encoding and decoding stay as they are. */
  for (guint i = 0; i < 40; i++)
    commy_calibration_add (&calibration, 64, 10000, 1000, 1000);
  candidate.serializer_profile = &serializer;
  candidate.calibration = &calibration;
  commy_route_decide (&demand, &candidate, 1, &assessment, &plan);
  g_assert_cmpfloat_with_epsilon (assessment.expected_ns[0], 10000 + 4000, 50);
  g_assert_cmpfloat_with_epsilon (assessment.latency_ns, 10000 + 4000, 50);
  calibration.bare = false;
  commy_route_decide (&demand, &candidate, 1, &assessment, &plan);
  g_assert_cmpfloat_with_epsilon (assessment.expected_ns[0], 50000, 500);
}

static void
a_change_is_told (void)
{
  CommyCalibration calibration = { 0 };
  guint told = 0;

  for (guint i = 0; i < 20; i++)
    g_assert_false (commy_calibration_add (&calibration, 64, 1000, 1000, SECOND));
  for (guint i = 0; i < 20; i++)
    told += commy_calibration_add (&calibration, 64, 8000, 1000, SECOND);
  g_assert_cmpuint (told, ==, 1);
  g_assert_false (commy_calibration_add (&calibration, 64, NAN, 1000, SECOND));
}

static void
what_is_inherited_ages_like_the_rest (void)
{
  CommyProfile profile = one_ns_per_byte ();
  CommyCalibration calibration = { 0 };
  CommyPosterior fresh, old;

  feed_ns (&calibration, 64, 164, 4);
  fresh = commy_calibration_get (&calibration, &profile, 1, SECOND);
  old = commy_calibration_get (&calibration, &profile, 1, 1201 * SECOND);
  g_assert_cmpfloat (log (fresh.factor), >, 0.1);
  g_assert_cmpfloat (fabs (log (old.factor)), <, 0.01);
  g_assert_cmpfloat (old.sd, >, fresh.sd);
  g_assert_cmpfloat_with_epsilon (old.sd, G_LN2, 0.01);
}

/* Shared memory measured with a wake-up against TLS that nobody has measured. */
static void
a_wake_up_does_not_hand_big_messages_to_the_network (void)
{
  CommyProfile shm = fixture_profile (100, 0, 0.03, 0), tls = fixture_profile (25000, 0, 0.25, 0);
  CommyCandidate candidates[2];
  CommyCalibration calibration = { 0 };
  CommyDemand demand = fixture_demand ();

  candidates[0] = fixture_candidate ("shm", &shm);
  candidates[1] = fixture_candidate ("tls", &tls);
  candidates[0].calibration = &calibration;
  for (guint i = 0; i < 20; i++)
    commy_calibration_add (&calibration, 64, 103.84 * 20 * (1 + 0.02 * i), 103.84, 1000);
  for (guint c = 0; c < COMMY_SIZE_CLASSES; c++)
    {
      CommyAssessment assessments[2];
      CommyPlan plan;

      memset (demand.share, 0, sizeof demand.share);
      demand.share[c] = 1;
      commy_route_decide (&demand, candidates, 2, assessments, &plan);
      g_assert_cmpint (plan.chosen, ==, 0);
      g_assert_cmpfloat (plan.confidence, >, 0.95);
      if (c > 0)
        g_assert_cmpfloat (assessments[0].expected_ns[c], <,
                           assessments[0].claimed_ns[c] + 103.84 * 30);
    }
}

/* A stack's dear serializer makes the wake-up a smaller factor. */
static void
time_is_added_to_the_whole_stack (void)
{
  CommyProfile shm = fixture_profile (100, 0, 0, 0), dear = fixture_serializer (5000, 0, 1);
  CommyCandidate candidate = fixture_candidate ("shm", &shm);
  CommyCalibration calibration = { 0 };
  CommyDemand demand = fixture_demand ();
  CommyAssessment assessment;
  CommyPlan plan;

  candidate.calibration = &calibration;
  candidate.serializer_profile = &dear;
  for (guint i = 0; i < 40; i++)
    commy_calibration_add (&calibration, 64, 20100, 100, 1000);
  commy_route_decide (&demand, &candidate, 1, &assessment, &plan);
  g_assert_cmpfloat_with_epsilon (assessment.expected_ns[5], 10100 + 20000, 1);
}

static void
the_operators_numbers_are_taken_as_given (void)
{
  CommyProfile profile = fixture_shm ();
  CommyCalibration calibration = { 0 };
  CommyPosterior posterior;

  profile.provenance = COMMY_PROVENANCE_OPERATOR;
  feed (&calibration, 64, 100, 40, SECOND);
  posterior = commy_calibration_get (&calibration, &profile, 0, SECOND);
  g_assert_cmpfloat (log (posterior.factor), ==, 0);
  g_assert_cmpfloat (posterior.sd, ==, 0);
  g_assert_cmpfloat_with_epsilon (posterior.ratio, 100, 1);
  g_assert_false (posterior.contradicted);
}

static void
nonsense_samples_change_nothing (void)
{
  static const double bad[] = { 0, -1, NAN, INFINITY };
  CommyCalibration calibration = { 0 }, empty = { 0 };

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      commy_calibration_add (&calibration, 64, bad[i], 1000, SECOND);
      commy_calibration_add (&calibration, 64, 1000, bad[i], SECOND);
    }
  g_assert_cmpmem (&calibration, sizeof calibration, &empty, sizeof empty);
  /* A clock that goes back does not make knowledge of the future. */
  feed (&calibration, 64, 2, 5, 100 * SECOND);
  feed (&calibration, 64, 2, 5, 50 * SECOND);
  g_assert_cmpfloat_with_epsilon (calibration.classes[0].n, 10, 1e-9);
}

static void
adaptive_weighs_the_claim_less (void)
{
  CommyProfile profile = fixture_shm ();
  CommyCalibration calibration = { 0 };
  CommyPosterior usual, adaptive[COMMY_SIZE_CLASSES];
  double claimed[COMMY_SIZE_CLASSES];

  feed (&calibration, 64, 2, 1, SECOND);
  usual = commy_calibration_get (&calibration, &profile, 0, SECOND);
  for (guint c = 0; c < COMMY_SIZE_CLASSES; c++)
    claimed[c] = 1000;
  commy_calibration_infer (&calibration, &profile, claimed, SECOND, 0.25, adaptive);
  g_assert_cmpfloat (adaptive[0].factor, >, usual.factor);
  g_assert_cmpfloat (adaptive[0].factor, <, 2);
  g_assert_cmpfloat (adaptive[1].factor, >, 1);
  g_assert_cmpfloat (adaptive[1].factor, <=, adaptive[0].factor);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(PATH, FUNC) g_test_add_func ("/route/calibration/" PATH, FUNC)
  ADD ("without-samples-the-claim-counts", without_samples_the_claim_counts);
  ADD ("sigma-by-provenance", sigma_by_provenance);
  ADD ("samples-win-over-the-claim", samples_win_over_the_claim);
  ADD ("one-outlier-hardly-moves", one_outlier_hardly_moves);
  ADD ("three-in-a-row-are-a-step", three_in_a_row_are_a_step);
  ADD ("outliers-of-both-signs-are-no-step", outliers_of_both_signs_are_no_step);
  ADD ("knowledge-ages", knowledge_ages);
  ADD ("contradicted-claims-are-dropped-and-stay-so", contradicted_claims_are_dropped_and_stay_so);
  ADD ("a-costlier-class-inherits-time-and-not-a-factor",
       a_costlier_class_inherits_time_and_not_a_factor);
  ADD ("far-away-the-claims-own-sigma-is-left", far_away_the_claims_own_sigma_is_left);
  ADD ("less-than-claimed-is-inherited-too", less_than_claimed_is_inherited_too);
  ADD ("a-cheaper-class-inherits-its-share", a_cheaper_class_inherits_its_share);
  ADD ("the-class-that-knows-most-is-asked", the_class_that_knows_most_is_asked);
  g_test_add_func ("/route/calibration/two-classes-make-a-line", two_classes_make_a_line);
  g_test_add_func ("/route/calibration/a-lie-by-a-factor-holds-for-every-size",
                   a_lie_by_a_factor_holds_for_every_size);
  g_test_add_func ("/route/calibration/a-change-is-told", a_change_is_told);
  g_test_add_func ("/route/calibration/even-a-neighbour-is-not-measured",
                   even_a_neighbour_is_not_measured);
  g_test_add_func ("/route/calibration/what-a-serializer-takes-is-added",
                   what_a_serializer_takes_is_added);
  ADD ("what-is-inherited-ages-like-the-rest", what_is_inherited_ages_like_the_rest);
  ADD ("a-wake-up-does-not-hand-big-messages-to-the-network",
       a_wake_up_does_not_hand_big_messages_to_the_network);
  ADD ("time-is-added-to-the-whole-stack", time_is_added_to_the_whole_stack);
  ADD ("the-operators-numbers-are-taken-as-given", the_operators_numbers_are_taken_as_given);
  ADD ("nonsense-samples-change-nothing", nonsense_samples_change_nothing);
  ADD ("adaptive-weighs-the-claim-less", adaptive_weighs_the_claim_less);
  return g_test_run ();
}
