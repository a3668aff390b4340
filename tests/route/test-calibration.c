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

  g_assert_cmpfloat (posterior.mean, ==, 0);
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

  feed (&calibration, 64, 2, 40, SECOND);
  posterior = commy_calibration_get (&calibration, &profile, 0, SECOND);
  g_assert_cmpfloat_with_epsilon (posterior.mean, log (2), 0.02);
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
  g_assert_cmpfloat_with_epsilon (commy_calibration_get (&calibration, &profile, 0, SECOND).mean, 0,
                                  0.06);
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
  g_assert_cmpfloat (posterior.mean, >, log (4));
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
  g_assert_cmpfloat (fabs (commy_calibration_get (&calibration, &profile, 0, SECOND).mean), <, 0.3);
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
  g_assert_cmpfloat_with_epsilon (posterior.mean, log (100), 1e-6);
  /* Time alone does not make a liar credible. */
  posterior = commy_calibration_get (&calibration, &profile, 0, 600 * SECOND);
  g_assert_true (posterior.contradicted);
  g_assert_cmpfloat_with_epsilon (posterior.mean, log (100), 1e-6);
  g_assert_cmpfloat (posterior.sd, >, 1);
}

static void
a_class_inherits_with_less_certainty (void)
{
  CommyProfile profile = fixture_shm ();
  CommyCalibration calibration = { 0 };
  CommyPosterior seen, unseen;

  feed (&calibration, 64, 3, 40, SECOND);
  seen = commy_calibration_get (&calibration, &profile, 0, SECOND);
  unseen = commy_calibration_get (&calibration, &profile, 7, SECOND);
  g_assert_cmpfloat (unseen.mean, >, 0.3);
  g_assert_cmpfloat (unseen.mean, <, seen.mean);
  g_assert_cmpfloat (unseen.sd, >, seen.sd);
  g_assert_cmpfloat (unseen.sd, <, G_LN2);
  g_assert_cmpfloat (unseen.samples, ==, 0);
  g_assert_cmpfloat (unseen.ratio, ==, 1);
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
  g_assert_cmpfloat (posterior.mean, ==, 0);
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
  g_assert_cmpfloat_with_epsilon (calibration.all.n, 10, 1e-9);
}

static void
adaptive_weighs_the_claim_less (void)
{
  CommyProfile profile = fixture_shm ();
  CommyCalibration calibration = { 0 };
  CommyPosterior usual, adaptive;

  feed (&calibration, 64, 2, 1, SECOND);
  usual = commy_calibration_get (&calibration, &profile, 0, SECOND);
  adaptive = commy_calibration_weigh (&calibration, &profile, 0, SECOND, 0.25);
  g_assert_cmpfloat (adaptive.mean, >, usual.mean);
  g_assert_cmpfloat (adaptive.mean, <, log (2));
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
  ADD ("a-class-inherits-with-less-certainty", a_class_inherits_with_less_certainty);
  ADD ("the-operators-numbers-are-taken-as-given", the_operators_numbers_are_taken_as_given);
  ADD ("nonsense-samples-change-nothing", nonsense_samples_change_nothing);
  ADD ("adaptive-weighs-the-claim-less", adaptive_weighs_the_claim_less);
  return g_test_run ();
}
