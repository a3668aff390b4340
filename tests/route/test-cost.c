/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Costs of a stack: the design's worked example, segments, serializers, weights, and the ends of
 * straight lines that the crossover needs.
 */
#include "config.h"

#include "route-fixture.h"

#define assert_near(a, b) g_assert_cmpfloat_with_epsilon (a, b, 1e-6 * (fabs ((double) (b)) + 1))

static void
worked_example (void)
{
  CommyProfile shm = fixture_shm (), tls = fixture_tls ();
  CommyCost cost;

  commy_cost_compute (&shm, NULL, 64, &cost);
  assert_near (cost.t_latency_ns, 150 + 120 + 2 * 0.065 * 64);
  commy_cost_compute (&tls, NULL, 64, &cost);
  assert_near (cost.t_latency_ns, 9000 + 5000 + 0.8 * 64);
  assert_near (cost.t_throughput_ns, 2500 + 0.35 * 64);
  assert_near (cost.t_cpu_ns, 5000 + 0.7 * 64);
}

static void
throughput_is_the_slowest_part (void)
{
  CommyProfile profile = fixture_profile (0, 10, 0, 1);
  CommyCost cost;

  commy_cost_compute (&profile, NULL, 1000, &cost);
  assert_near (cost.t_throughput_ns, 1000);
  profile.segments[0].recv_cpu_ns = 5000;
  commy_cost_compute (&profile, NULL, 1000, &cost);
  assert_near (cost.t_throughput_ns, 5000);
}

static void
serializer_changes_what_is_on_the_wire (void)
{
  CommyProfile tls = fixture_tls ();
  CommyProfile dense = fixture_serializer (100, 0.5, 0.5);
  CommyCost cost;

  tls.header_bytes = 32;
  dense.header_bytes = 8;
  commy_cost_compute (&tls, &dense, 1000, &cost);
  assert_near (cost.wire_bytes, 500 + 8 + 32);
  assert_near (cost.encode_ns, 100 + 500);
  assert_near (cost.decode_ns, 600);
  assert_near (cost.wire_ns, 54);
  assert_near (cost.send_cpu_ns, 2500 + 0.35 * 540);
}

static void
segments_by_size (void)
{
  CommyProfile profile = fixture_shm ();

  profile.n_segments = 2;
  profile.segments[1] = profile.segments[0];
  profile.segments[0].max_bytes = 4096;
  g_assert_true (commy_profile_segment (&profile, 0) == &profile.segments[0]);
  g_assert_true (commy_profile_segment (&profile, 4096) == &profile.segments[0]);
  g_assert_true (commy_profile_segment (&profile, 4097) == &profile.segments[1]);
  /* Beyond the last: still the last. */
  profile.segments[1].max_bytes = 8192;
  g_assert_true (commy_profile_segment (&profile, 1e12) == &profile.segments[1]);
}

static void
wild_segment_counts_stay_inside (void)
{
  CommyProfile profile = fixture_shm ();

  profile.n_segments = 0;
  g_assert_true (commy_profile_segment (&profile, 1) == &profile.segments[0]);
  profile.n_segments = 4000;
  g_assert_true (commy_profile_segment (&profile, 1e30)
                 < profile.segments + COMMY_PROFILE_SEGMENTS);
}

static void
weights_sum_to_one (void)
{
  for (guint o = COMMY_OBJECTIVE_DEFAULT; o <= COMMY_OBJECTIVE_BALANCED; o++)
    {
      CommyWeights weights = commy_weights_for ((CommyObjective) o);

      assert_near (weights.latency + weights.throughput + weights.cpu, 1);
    }
  assert_near (commy_weights_for (COMMY_OBJECTIVE_DEFAULT).latency, 1);
  assert_near (commy_weights_for (COMMY_OBJECTIVE_THROUGHPUT).throughput, 0.8);
  assert_near (commy_weights_for (COMMY_OBJECTIVE_CPU).cpu, 0.6);
}

static void
loss_connect_and_bias_cost (void)
{
  CommyProfile shm = fixture_shm ();
  CommyCandidate candidate = fixture_candidate ("shm", &shm);
  CommyDemand demand = fixture_demand ();
  CommyPosterior sure = { .factor = 1, .ratio = 1 };
  double plain = commy_candidate_claimed (&candidate, &demand.weights, 64);

  shm.loss = 0.5;
  assert_near (commy_candidate_claimed (&candidate, &demand.weights, 64), 2 * plain);
  shm.connect_ns = 5e6;
  assert_near (commy_candidate_expected (&demand, &candidate, &sure, 100), 100);
  candidate.connected = false;
  assert_near (commy_candidate_expected (&demand, &candidate, &sure, 100), 5100);
  candidate.bias = 2;
  assert_near (commy_candidate_expected (&demand, &candidate, &sure, 100), 10200);
}

static void
limits_count_the_encoding (void)
{
  CommyProfile shm = fixture_shm (), fat = fixture_serializer (0, 0, 2);
  CommyCandidate candidate = fixture_candidate ("shm", &shm);

  g_assert_cmpuint (commy_candidate_limit (&candidate), ==, G_MAXUINT64);
  shm.max_message = 1000;
  g_assert_cmpuint (commy_candidate_limit (&candidate), ==, 1000);
  candidate.serializer_profile = &fat;
  fat.header_bytes = 100;
  g_assert_cmpuint (commy_candidate_limit (&candidate), ==, 450);
  fat.max_message = 400;
  g_assert_cmpuint (commy_candidate_limit (&candidate), ==, 400);
  fat.header_bytes = 2000;
  g_assert_cmpuint (commy_candidate_limit (&candidate), ==, 0);
}

/* Up to where it says, the middle lies on the line between the ends, for every objective. */
static void
straight_is_straight (void)
{
  g_autoptr (GRand) rand = fixture_rand ();

  for (guint round = 0; round < 300; round++)
    {
      FixtureSet set;
      CommyWeights weights = commy_weights_for ((CommyObjective) (1 + round % 4));
      guint64 at = (guint64) g_rand_int_range (rand, 0, 5000), end = 1 << 20;

      fixture_random_set (&set, rand, 1);
      for (guint steps = 0; at < end; steps++)
        {
          guint64 to = commy_candidate_straight_to (&set.candidates[0], at, end);
          guint64 middle = at + (to - at) / 2;
          double a = commy_candidate_claimed (&set.candidates[0], &weights, at);
          double b = commy_candidate_claimed (&set.candidates[0], &weights, to);
          double m = commy_candidate_claimed (&set.candidates[0], &weights, middle);

          g_assert_cmpuint (to, >=, at);
          g_assert_cmpuint (to, <=, end);
          g_assert_cmpuint (steps, <, 100);
          if (to > at)
            g_assert_cmpfloat_with_epsilon (
                m, a + (b - a) * (double) (middle - at) / (double) (to - at), 1e-7 * b);
          at = to + 1;
        }
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/route/cost/worked-example", worked_example);
  g_test_add_func ("/route/cost/throughput-is-the-slowest-part", throughput_is_the_slowest_part);
  g_test_add_func ("/route/cost/serializer-changes-the-wire",
                   serializer_changes_what_is_on_the_wire);
  g_test_add_func ("/route/cost/segments-by-size", segments_by_size);
  g_test_add_func ("/route/cost/wild-segment-counts-stay-inside", wild_segment_counts_stay_inside);
  g_test_add_func ("/route/cost/weights-sum-to-one", weights_sum_to_one);
  g_test_add_func ("/route/cost/loss-connect-and-bias-cost", loss_connect_and_bias_cost);
  g_test_add_func ("/route/cost/limits-count-the-encoding", limits_count_the_encoding);
  g_test_add_func ("/route/cost/straight-is-straight", straight_is_straight);
  return g_test_run ();
}
