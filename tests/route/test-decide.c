/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Ranking: ties, flows by their sizes, crossovers by hand, families of serializers; and
 * confidence and switching by numbers that can be checked on paper.
 */
#include "config.h"

#include "route-fixture.h"

typedef struct
{
  CommyProfile a, b, c;
  CommyCandidate candidates[3];
  CommyAssessment assessments[3];
  CommyDemand demand;
  CommyPlan plan;
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  f->a = f->b = f->c = fixture_shm ();
  f->candidates[0] = fixture_candidate ("aa", &f->a);
  f->candidates[1] = fixture_candidate ("bb", &f->b);
  f->candidates[2] = fixture_candidate ("cc", &f->c);
  f->demand = fixture_demand ();
}

static void
decide (Fixture *f)
{
  commy_route_decide (&f->demand, f->candidates, 3, f->assessments, &f->plan);
}

static void
equal_cost_prefers_higher_security (Fixture *f, gconstpointer data)
{
  f->candidates[2].security = COMMY_SECURITY_MUTUAL;
  decide (f);
  g_assert_cmpint (f->plan.chosen, ==, 2);
  g_assert_true (f->assessments[0].tied);
  /* the band is a share of the cost */
  f->c.segments[0].latency_ns *= 1.02;
  decide (f);
  g_assert_cmpint (f->plan.chosen, ==, 2);
  /* but no security makes up for more than the tie band */
  f->c.segments[0].latency_ns *= 1.1;
  decide (f);
  g_assert_cmpint (f->plan.chosen, ==, 0);
  g_assert_false (f->assessments[2].tied);
}

static void
then_the_keyfiles_order (Fixture *f, gconstpointer data)
{
  f->demand.prefer.n = 1;
  g_strlcpy (f->demand.prefer.id[0], "bb", COMMY_ID_MAX);
  decide (f);
  g_assert_cmpint (f->plan.chosen, ==, 1);
  f->b.segments[0].latency_ns *= 1.1;
  decide (f);
  g_assert_cmpint (f->plan.chosen, ==, 0);
}

static void
then_the_better_known (Fixture *f, gconstpointer data)
{
  f->demand.risk = 0;
  f->c.provenance = COMMY_PROVENANCE_MEASURED_HERE;
  decide (f);
  g_assert_cmpint (f->plan.chosen, ==, 2);
  /* and with risk also outside the band */
  f->demand.risk = 0.5;
  f->c.segments[0].latency_ns *= 1.2;
  decide (f);
  g_assert_cmpint (f->plan.chosen, ==, 2);
  g_assert_cmpint (f->plan.runner_up, ==, 0);
}

static void
then_the_names (Fixture *f, gconstpointer data)
{
  decide (f);
  g_assert_cmpint (f->plan.chosen, ==, 0);
  f->candidates[1].transport = "aa";
  f->candidates[1].serializer = "cbor";
  f->candidates[2].transport = "aa";
  f->candidates[2].serializer = "cbor";
  f->candidates[2].instance = "even earlier";
  decide (f);
  g_assert_cmpint (f->plan.chosen, ==, 2);
}

static void
a_flow_is_ranked_by_its_sizes (Fixture *f, gconstpointer data)
{
  f->a = fixture_profile (100, 50, 1, 0);
  f->b = fixture_profile (2000, 50, 0.01, 0);
  f->c = fixture_profile (1e6, 50, 1, 0);
  decide (f);
  g_assert_cmpint (f->plan.chosen, ==, 0);
  f->demand.share[8] = 1;
  decide (f);
  g_assert_cmpint (f->plan.chosen, ==, 1);
  for (guint c = 0; c < COMMY_SIZE_CLASSES; c++)
    g_assert_cmpint (f->plan.lo[c], ==, 1);
}

static void
an_unordered_flow_splits_exactly (Fixture *f, gconstpointer data)
{
  /* 200 + 2n against 1206 + .02n (each side's copy counted): equal at n = 508.08 */
  f->a = fixture_profile (100, 50, 1, 0);
  f->b = fixture_profile (1106, 50, 0.01, 0);
  f->c = fixture_profile (1e6, 50, 1, 0);
  f->demand.ordered = false;
  f->demand.tie_band = 0;
  decide (f);
  g_assert_cmpint (f->plan.lo[2], ==, 0);
  g_assert_cmpint (f->plan.hi[2], ==, 1);
  g_assert_cmpuint (f->plan.split[2], ==, 508);
  g_assert_cmpint (f->plan.hi[1], ==, 0);
  g_assert_cmpuint (f->plan.split[1], ==, commy_size_class_upper (1));
  g_assert_cmpint (f->plan.lo[3], ==, 1);
  g_assert_cmpint (f->plan.second[3], ==, 0);
}

static void
limits_split_a_class_too (Fixture *f, gconstpointer data)
{
  f->a = fixture_profile (10, 5, 0.01, 0);
  f->a.max_message = 300;
  f->demand.ordered = false;
  decide (f);
  g_assert_cmpint (f->plan.lo[2], ==, 0);
  g_assert_cmpuint (f->plan.split[2], ==, 300);
  g_assert_cmpint (f->plan.hi[2], ==, 1);
  g_assert_cmpint (f->plan.lo[3], ==, 1);
}

static void
the_costlier_of_two_crossovers_is_kept (Fixture *f, gconstpointer data)
{
  /* In class 3 (1025..4096): b is a hair better up to 1100, then a, and c is far better from
   * 2000 on because a and b become slow there. */
  f->a = fixture_profile (1000, 0, 0, 0);
  f->b = f->a;
  f->b.n_segments = 2;
  f->b.segments[1] = f->b.segments[0];
  f->b.segments[0].max_bytes = 1100;
  f->b.segments[0].latency_ns = 950;
  f->b.segments[1].latency_ns = 1100;
  f->a.n_segments = 2;
  f->a.segments[1] = f->a.segments[0];
  f->a.segments[0].max_bytes = 2000;
  f->a.segments[1].latency_ns = 90000;
  f->b.segments[1].latency_ns = 1100;
  f->b.max_message = 2000;
  f->c = fixture_profile (10000, 0, 0, 0);
  f->demand.ordered = false;
  decide (f);
  g_assert_cmpint (f->plan.lo[3], ==, 0);
  g_assert_cmpint (f->plan.hi[3], ==, 2);
  g_assert_cmpuint (f->plan.split[3], ==, 2000);
}

static void
a_rival_may_win_only_between_the_ends (Fixture *f, gconstpointer data)
{
  /* In class 3 (1025..4096): b is slow at both ends, less so below, and by far the best
   * from 1101 to 3000. */
  f->a = fixture_profile (1000, 0, 0, 0);
  f->b = fixture_profile (5000, 0, 0, 0);
  f->b.n_segments = 3;
  f->b.segments[1] = f->b.segments[2] = f->b.segments[0];
  f->b.segments[0].max_bytes = 1100;
  f->b.segments[0].latency_ns = 2000;
  f->b.segments[1].max_bytes = 3000;
  f->b.segments[1].latency_ns = 10;
  f->c = fixture_profile (1e6, 0, 0, 0);
  f->demand.ordered = false;
  decide (f);
  g_assert_cmpint (f->plan.lo[3], ==, 1);
  g_assert_cmpint (f->plan.hi[3], ==, 0);
  g_assert_cmpuint (f->plan.split[3], ==, 3000);
}

static void
an_ordered_flow_keeps_its_transport_but_not_its_serializer (Fixture *f, gconstpointer data)
{
  CommyProfile quick = fixture_serializer (0, 0.5, 1), lean = fixture_serializer (500, 0, 1);

  f->candidates[1].transport = "aa";
  f->candidates[1].serializer = "lean";
  f->candidates[0].serializer_profile = &quick;
  f->candidates[1].serializer_profile = &lean;
  f->c.segments[0].latency_ns = 500;
  f->c.segments[0].send_cpu_ns_per_byte = 0;
  f->demand.share[0] = 1;
  decide (f);
  g_assert_cmpint (f->plan.chosen, ==, 0);
  g_assert_cmpint (f->plan.lo[0], ==, 0);
  /* cc would be best for big messages, but the flow is in order */
  g_assert_cmpint (f->plan.hi[9], ==, 1);
  g_assert_cmpint (f->plan.second[9], ==, 2);
}

static void
one_candidate_is_certain_none_is_nothing (Fixture *f, gconstpointer data)
{
  commy_route_decide (&f->demand, f->candidates, 1, f->assessments, &f->plan);
  g_assert_cmpint (f->plan.chosen, ==, 0);
  g_assert_cmpint (f->plan.runner_up, ==, -1);
  g_assert_cmpfloat (f->plan.confidence, ==, 1);
  commy_route_decide (&f->demand, f->candidates, 0, f->assessments, &f->plan);
  g_assert_cmpint (f->plan.chosen, ==, -1);
  for (guint c = 0; c < COMMY_SIZE_CLASSES; c++)
    g_assert_cmpint (f->plan.lo[c] + f->plan.hi[c] + f->plan.second[c], ==, -3);
}

static void
the_limit_of_candidates_is_kept (Fixture *f, gconstpointer data)
{
  g_autofree CommyCandidate *many = g_new (CommyCandidate, COMMY_ROUTE_MAX_CANDIDATES + 1);
  g_autofree CommyAssessment *out = g_new0 (CommyAssessment, COMMY_ROUTE_MAX_CANDIDATES + 1);

  for (guint i = 0; i <= COMMY_ROUTE_MAX_CANDIDATES; i++)
    many[i] = f->candidates[2];
  many[COMMY_ROUTE_MAX_CANDIDATES] = f->candidates[0];
  many[COMMY_ROUTE_MAX_CANDIDATES - 1] = f->candidates[1];
  commy_route_decide (&f->demand, many, COMMY_ROUTE_MAX_CANDIDATES + 1, out, &f->plan);
  g_assert_cmpint (f->plan.chosen, ==, COMMY_ROUTE_MAX_CANDIDATES - 1);
}

/* --- confidence --- */

/* Serializers of a rival share its luck, next to each other or not: one rival, not three. */
static void
a_rival_counts_once_however_many_serializers (Fixture *f, gconstpointer data)
{
  CommyProfile dearer = fixture_serializer (20, 0, 1);
  CommyCandidate many[5];
  CommyAssessment assessments[5];
  CommyPlan plan;

  f->b.segments[0].latency_ns *= 1.5;
  commy_route_decide (&f->demand, f->candidates, 2, f->assessments, &f->plan);
  g_assert_cmpfloat (f->plan.confidence, >, 0.5);
  g_assert_cmpfloat (f->plan.confidence, <, 0.75);
  many[0] = many[1] = many[2] = many[4] = f->candidates[1];
  many[3] = f->candidates[0];
  many[0].serializer_profile = many[1].serializer_profile = many[2].serializer_profile = &dearer;
  /* refused, so it does not count although it is the first */
  f->c = f->b;
  f->c.max_message = 1;
  many[0].transport_profile = &f->c;
  many[0].security = COMMY_SECURITY_NONE;
  commy_route_decide (&f->demand, many, 5, assessments, &plan);
  g_assert_cmpint (plan.chosen, ==, 3);
  g_assert_cmpfloat_with_epsilon (plan.confidence, f->plan.confidence, 1e-9);
  for (guint c = 0; c < COMMY_SIZE_CLASSES; c++)
    g_assert_cmpfloat_with_epsilon (plan.class_confidence[c], f->plan.class_confidence[c], 1e-9);
}

/* As a fine sum says, also where rivals are far surer or far less sure than the chosen. */
static void
confidence_agrees_with_a_fine_sum (void)
{
  g_autoptr (GRand) rand = fixture_rand ();

  for (guint round = 0; round < 200; round++)
    {
      CommyBelief chosen = { g_rand_double (rand), fixture_spread (rand, 0.02, 2) }, rivals[6];
      double sum = 0, weights = 0;
      guint n = 2 + round % 5;

      for (guint i = 0; i < n; i++)
        rivals[i] = (CommyBelief){ 2 * g_rand_double (rand), fixture_spread (rand, 0.2, 2) };
      for (double z = -6; z <= 6; z += 0.001)
        {
          double weight = exp (-z * z / 2), all = 1;

          for (guint i = 0; i < n; i++)
            all *= 0.5
                   * erfc ((chosen.log_mean + chosen.sd * z - rivals[i].log_mean)
                           / (rivals[i].sd * G_SQRT2));
          weights += weight;
          sum += weight * all;
        }
      g_assert_cmpfloat_with_epsilon (commy_confidence_least (&chosen, rivals, n), sum / weights,
                                      1e-4);
    }
}

static void
confidence_of_two_normals (void)
{
  CommyBelief a = { .log_mean = 0, .sd = 0.3 }, b = { .log_mean = 0.5, .sd = 0.4 };
  /* P(a < b) = Phi (0.5 / 0.5) */
  double expected = 0.5 * erfc (-1 / G_SQRT2);

  g_assert_cmpfloat_with_epsilon (commy_confidence_least (&a, &b, 1), expected, 1e-4);
  g_assert_cmpfloat_with_epsilon (commy_confidence_least (&b, &a, 1), 1 - expected, 1e-4);
}

static void
confidences_sum_to_one (void)
{
  g_autoptr (GRand) rand = fixture_rand ();

  for (guint round = 0; round < 100; round++)
    {
      CommyBelief beliefs[5], rivals[4];
      double sum = 0;

      for (guint i = 0; i < 5; i++)
        beliefs[i] = (CommyBelief){ g_rand_double (rand), 0.2 + g_rand_double (rand) };
      for (guint i = 0; i < 5; i++)
        {
          guint n = 0;

          for (guint j = 0; j < 5; j++)
            if (j != i)
              rivals[n++] = beliefs[j];
          sum += commy_confidence_least (&beliefs[i], rivals, 4);
        }
      g_assert_cmpfloat_with_epsilon (sum, 1, 0.01);
    }
}

static void
certain_numbers_give_certain_answers (void)
{
  CommyBelief a = { 1, 0 }, b = { 2, 0 }, same = { 1, 0 }, vague = { 1, 1 };

  g_assert_cmpfloat (commy_confidence_least (&a, &b, 1), ==, 1);
  g_assert_cmpfloat (commy_confidence_least (&b, &a, 1), ==, 0);
  g_assert_cmpfloat (commy_confidence_least (&a, &same, 1), ==, 0.5);
  g_assert_cmpfloat_with_epsilon (commy_confidence_least (&a, &vague, 1), 0.5, 1e-9);
  g_assert_cmpfloat_with_epsilon (commy_confidence_least (&vague, &a, 1), 0.5, 0.02);
  g_assert_cmpfloat (commy_confidence_least (&a, NULL, 0), ==, 1);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(PATH, FUNC) g_test_add ("/route/" PATH, Fixture, NULL, set_up, FUNC, NULL)
  ADD ("tie-break/equal-cost-prefers-higher-security", equal_cost_prefers_higher_security);
  ADD ("tie-break/then-the-keyfiles-order", then_the_keyfiles_order);
  ADD ("tie-break/then-the-better-known", then_the_better_known);
  ADD ("tie-break/then-the-names", then_the_names);
  ADD ("flow/is-ranked-by-its-sizes", a_flow_is_ranked_by_its_sizes);
  ADD ("flow/ordered-keeps-transport-but-not-serializer",
       an_ordered_flow_keeps_its_transport_but_not_its_serializer);
  ADD ("crossover/an-unordered-flow-splits-exactly", an_unordered_flow_splits_exactly);
  ADD ("crossover/limits-split-a-class-too", limits_split_a_class_too);
  ADD ("crossover/the-costlier-of-two-is-kept", the_costlier_of_two_crossovers_is_kept);
  ADD ("crossover/a-rival-may-win-only-between-the-ends", a_rival_may_win_only_between_the_ends);
  ADD ("decide/one-is-certain-none-is-nothing", one_candidate_is_certain_none_is_nothing);
  ADD ("decide/the-limit-of-candidates-is-kept", the_limit_of_candidates_is_kept);
  ADD ("confidence/a-rival-counts-once-however-many-serializers",
       a_rival_counts_once_however_many_serializers);
  g_test_add_func ("/route/confidence/agrees-with-a-fine-sum", confidence_agrees_with_a_fine_sum);
  g_test_add_func ("/route/confidence/of-two-normals", confidence_of_two_normals);
  g_test_add_func ("/route/confidence/sums-to-one", confidences_sum_to_one);
  g_test_add_func ("/route/confidence/certain-numbers-give-certain-answers",
                   certain_numbers_give_certain_answers);
  return g_test_run ();
}
