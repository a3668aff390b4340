/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What must hold for any candidates: order does not matter, nor the unit; cost grows with size;
 * security is never traded; more choice is never worse; splits agree with trying every size;
 * and a stated confidence is the share that turns out right.
 */
#include "config.h"

#include "route-fixture.h"

#define ROUNDS 400

typedef struct
{
  CommyAssessment assessments[16];
  CommyPlan plan;
} Outcome;

static void
decide (const CommyDemand *demand, const FixtureSet *set, Outcome *outcome)
{
  commy_route_decide (demand, set->candidates, set->n, outcome->assessments, &outcome->plan);
}

static const char *
name_of (const FixtureSet *set, gint i)
{
  return i < 0 ? "nobody" : set->candidates[i].transport;
}

static CommyDemand
random_demand (GRand *rand)
{
  CommyDemand demand = fixture_demand ();

  demand.objective = (CommyObjective) g_rand_int_range (rand, 1, 5);
  demand.weights = commy_weights_for (demand.objective);
  demand.ordered = g_rand_boolean (rand);
  demand.min_security = (guint) g_rand_int_range (rand, 0, 5);
  for (guint c = 0; c < COMMY_SIZE_CLASSES; c++)
    demand.share[c] = g_rand_boolean (rand) ? g_rand_double (rand) : 0;
  return demand;
}

static void
permutation_gives_the_same_winner (void)
{
  g_autoptr (GRand) rand = fixture_rand ();

  for (guint round = 0; round < ROUNDS; round++)
    {
      CommyCalibration calibrations[12] = { 0 };
      CommyDemand demand = random_demand (rand);
      FixtureSet set, other;
      Outcome a, b;

      fixture_random_set (&set, rand, 1 + round % 12);
      for (guint i = 0; i < set.n; i++)
        if (g_rand_boolean (rand))
          {
            commy_calibration_add (&calibrations[i], 64, fixture_spread (rand, 100, 1e5), 1000, 0);
            set.candidates[i].calibration = &calibrations[i];
          }
      /* Duplicates by cost: only the names decide. */
      for (guint i = 1; i < set.n; i++)
        if (g_rand_boolean (rand))
          set.candidates[i].transport_profile = set.candidates[i - 1].transport_profile;
      other = set;
      for (guint i = other.n - 1; i > 0; i--)
        {
          guint j = (guint) g_rand_int_range (rand, 0, (gint) i + 1);
          CommyCandidate swap = other.candidates[i];

          other.candidates[i] = other.candidates[j];
          other.candidates[j] = swap;
        }
      decide (&demand, &set, &a);
      decide (&demand, &other, &b);
      g_assert_cmpstr (name_of (&set, a.plan.chosen), ==, name_of (&other, b.plan.chosen));
      g_assert_cmpstr (name_of (&set, a.plan.runner_up), ==, name_of (&other, b.plan.runner_up));
      g_assert_cmpfloat_with_epsilon (a.plan.confidence, b.plan.confidence, 1e-9);
      for (guint c = 0; c < COMMY_SIZE_CLASSES; c++)
        {
          g_assert_cmpstr (name_of (&set, a.plan.lo[c]), ==, name_of (&other, b.plan.lo[c]));
          g_assert_cmpstr (name_of (&set, a.plan.hi[c]), ==, name_of (&other, b.plan.hi[c]));
          g_assert_cmpuint (a.plan.split[c], ==, b.plan.split[c]);
        }
    }
}

static void
scale (CommyProfile *profile, double factor)
{
  profile->connect_ns *= factor;
  for (guint i = 0; i < profile->n_segments; i++)
    {
      CommyProfileSegment *segment = &profile->segments[i];

      segment->latency_ns *= factor;
      segment->wire_ns_per_byte *= factor;
      segment->send_cpu_ns *= factor;
      segment->send_cpu_ns_per_byte *= factor;
      segment->recv_cpu_ns *= factor;
      segment->recv_cpu_ns_per_byte *= factor;
    }
}

/* By a power of two, so that rounding is the same too. */
static void
scaling_all_costs_keeps_the_order (void)
{
  g_autoptr (GRand) rand = fixture_rand ();

  for (guint round = 0; round < ROUNDS; round++)
    {
      CommyDemand demand = random_demand (rand);
      FixtureSet set;
      Outcome a, b;
      double factor = ldexp (1, g_rand_int_range (rand, -6, 7));

      fixture_random_set (&set, rand, 1 + round % 12);
      decide (&demand, &set, &a);
      for (guint i = 0; i < set.n; i++)
        scale (&set.profiles[i], factor);
      for (guint i = 0; i < 2; i++)
        scale (&set.serializers[i], factor);
      decide (&demand, &set, &b);
      g_assert_cmpint (a.plan.chosen, ==, b.plan.chosen);
      g_assert_cmpint (a.plan.runner_up, ==, b.plan.runner_up);
      for (guint c = 0; c < COMMY_SIZE_CLASSES; c++)
        {
          g_assert_cmpint (a.plan.lo[c], ==, b.plan.lo[c]);
          g_assert_cmpint (a.plan.hi[c], ==, b.plan.hi[c]);
          g_assert_cmpuint (a.plan.split[c], ==, b.plan.split[c]);
        }
    }
}

static void
cost_grows_with_size (void)
{
  g_autoptr (GRand) rand = fixture_rand ();

  for (guint round = 0; round < ROUNDS; round++)
    {
      CommyWeights weights = commy_weights_for ((CommyObjective) (1 + round % 4));
      FixtureSet set;
      double last = 0;

      fixture_random_set (&set, rand, 1);
      /* A sane profile does not get cheaper at a join: slopes are kept from falling. */
      for (guint i = 1; i < set.profiles[0].n_segments; i++)
        {
          CommyProfileSegment *a = &set.profiles[0].segments[i - 1], *b = a + 1;

          b->send_cpu_ns_per_byte = MAX (a->send_cpu_ns_per_byte, b->send_cpu_ns_per_byte);
        }
      for (guint64 size = 0; size < (1 << 22); size += 1 + size / 16)
        {
          double cost = commy_candidate_claimed (&set.candidates[0], &weights, size);

          g_assert_cmpfloat (cost, >=, last);
          last = cost;
        }
    }
}

static void
security_is_never_traded (void)
{
  g_autoptr (GRand) rand = fixture_rand ();

  for (guint round = 0; round < ROUNDS; round++)
    {
      CommyDemand demand = random_demand (rand);
      FixtureSet set;
      Outcome outcome;

      fixture_random_set (&set, rand, 8);
      demand.preference = (CommyPreference) (round % 8);
      demand.degradable = g_rand_boolean (rand);
      demand.max_latency_ns = g_rand_boolean (rand) ? 1000 : 0;
      for (guint i = 0; i < 4; i++)
        g_strlcpy (demand.transports.id[i], fixture_names[i], COMMY_ID_MAX);
      demand.transports.n = demand.preference == COMMY_PREFER_PIN ? 1 : 4;
      decide (&demand, &set, &outcome);
      if (outcome.plan.chosen >= 0)
        g_assert_cmpuint (set.candidates[outcome.plan.chosen].security, >=, demand.min_security);
      for (guint c = 0; c < COMMY_SIZE_CLASSES && outcome.plan.chosen >= 0; c++)
        {
          g_assert_cmpuint (set.candidates[outcome.plan.lo[c]].security, >=, demand.min_security);
          g_assert_cmpuint (set.candidates[outcome.plan.hi[c]].security, >=, demand.min_security);
          if (outcome.plan.second[c] >= 0)
            g_assert_cmpuint (set.candidates[outcome.plan.second[c]].security, >=,
                              demand.min_security);
        }
    }
}

static void
more_choice_is_never_worse (void)
{
  g_autoptr (GRand) rand = fixture_rand ();

  for (guint round = 0; round < ROUNDS; round++)
    {
      CommyDemand demand = random_demand (rand);
      double best = INFINITY, band = 1 + demand.tie_band;
      FixtureSet set;

      demand.min_security = 0;
      fixture_random_set (&set, rand, 10);
      for (set.n = 1; set.n <= 10; set.n++)
        {
          Outcome outcome;
          double score;

          decide (&demand, &set, &outcome);
          score = outcome.assessments[outcome.plan.chosen].flow_score;
          g_assert_cmpfloat (score, <=, best * band * (1 + 1e-12));
          best = MIN (best, score);
        }
    }
}

/* What was costed for the choice alone is what a reader of the whole record sees. */
static void
explaining_changes_nothing (void)
{
  g_autoptr (GRand) rand = fixture_rand ();

  for (guint round = 0; round < ROUNDS; round++)
    {
      CommyCalibration calibrations[12] = { 0 };
      CommyDemand demand = random_demand (rand);
      Outcome before, after;
      FixtureSet set;

      fixture_random_set (&set, rand, 1 + round % 12);
      demand.max_latency_ns = g_rand_boolean (rand) ? 100000 : 0;
      for (guint i = 0; i < set.n; i++)
        {
          calibrations[i].bare = g_rand_boolean (rand);
          commy_calibration_add (&calibrations[i], 64, fixture_spread (rand, 100, 10000), 1000, 0);
          set.candidates[i].calibration = g_rand_boolean (rand) ? &calibrations[i] : NULL;
        }
      commy_route_choose (&demand, set.candidates, set.n, before.assessments, &before.plan);
      after = before;
      commy_route_explain_choice (&demand, set.candidates, set.n, after.assessments, &after.plan);
      g_assert_cmpint (before.plan.chosen, ==, after.plan.chosen);
      g_assert_cmpint (before.plan.runner_up, ==, after.plan.runner_up);
      g_assert_cmpmem (before.plan.lo, sizeof before.plan.lo, after.plan.lo, sizeof after.plan.lo);
      g_assert_cmpmem (before.plan.hi, sizeof before.plan.hi, after.plan.hi, sizeof after.plan.hi);
      g_assert_cmpmem (before.plan.split, sizeof before.plan.split, after.plan.split,
                       sizeof after.plan.split);
      for (guint i = 0; i < set.n; i++)
        {
          const CommyAssessment *a = &before.assessments[i], *b = &after.assessments[i];

          g_assert_cmpuint (b->assessed, ==, (1 << COMMY_SIZE_CLASSES) - 1);
          g_assert_cmpuint (a->rejection.filter, ==, b->rejection.filter);
          g_assert_cmpfloat (a->flow_score, ==, b->flow_score);
          for (guint c = 0; c < COMMY_SIZE_CLASSES; c++)
            if ((a->assessed & 1u << c) != 0)
              g_assert_cmpfloat (a->score[c], ==, b->score[c]);
        }
    }
}

/* --- crossovers against brute force --- */

static double
score_at (
    const CommyDemand *demand, const FixtureSet *set, const Outcome *outcome, guint i, gsize size)
{
  const CommyPosterior *posterior = &outcome->assessments[i].posterior[commy_size_class (size)];
  double claimed = commy_candidate_claimed (&set->candidates[i], &demand->weights, size);

  return commy_candidate_score (
      demand, posterior,
      commy_candidate_expected (demand, &set->candidates[i], posterior, claimed));
}

static gint
brute_force (const CommyDemand *demand, const FixtureSet *set, const Outcome *outcome, gsize size)
{
  gint best = -1;
  double least = INFINITY;

  for (guint i = 0; i < set->n; i++)
    {
      double score = score_at (demand, set, outcome, i, size);

      if (outcome->assessments[i].rejection.filter == COMMY_FILTER_NONE && score < least)
        {
          least = score;
          best = (gint) i;
        }
    }
  return best;
}

static void
both_sides_of_a_split_agree_with_brute_force (void)
{
  g_autoptr (GRand) rand = fixture_rand ();
  guint splits = 0;

  for (guint round = 0; round < 200; round++)
    {
      CommyDemand demand = random_demand (rand);
      FixtureSet set;
      Outcome outcome;

      demand.ordered = false;
      demand.tie_band = 0;
      demand.min_security = 0;
      fixture_random_set (&set, rand, 4);
      decide (&demand, &set, &outcome);
      for (guint c = 0; c < COMMY_SIZE_CLASSES; c++)
        {
          guint64 split = outcome.plan.split[c];

          if (outcome.plan.lo[c] == outcome.plan.hi[c])
            continue;
          splits++;
          g_assert_cmpuint (commy_size_class (split), ==, c);
          g_assert_cmpint (brute_force (&demand, &set, &outcome, split), ==, outcome.plan.lo[c]);
          g_assert_cmpint (brute_force (&demand, &set, &outcome, split + 1), ==,
                           outcome.plan.hi[c]);
        }
    }
  g_assert_cmpuint (splits, >, 20);
}

/* With a single crossover in a class, every size in it gets what brute force finds. */
static void
two_straight_lines_are_split_for_every_size (void)
{
  g_autoptr (GRand) rand = fixture_rand ();

  for (guint round = 0; round < 300; round++)
    {
      CommyDemand demand = fixture_demand ();
      FixtureSet set;
      Outcome outcome;

      demand.ordered = false;
      demand.tie_band = 0;
      fixture_random_set (&set, rand, 2);
      for (guint i = 0; i < 2; i++)
        {
          set.profiles[i].n_segments = 1;
          set.profiles[i].security = set.candidates[i].security = COMMY_SECURITY_MUTUAL;
        }
      decide (&demand, &set, &outcome);
      for (gsize size = 0; size < 5000; size += 7)
        {
          guint c = commy_size_class (size);
          gint planned = size <= outcome.plan.split[c] ? outcome.plan.lo[c] : outcome.plan.hi[c];

          g_assert_cmpint (planned, ==, brute_force (&demand, &set, &outcome, size));
        }
    }
}

static void
within_the_tie_band_a_plan_stays_near_the_best (void)
{
  g_autoptr (GRand) rand = fixture_rand ();

  for (guint round = 0; round < ROUNDS; round++)
    {
      CommyDemand demand = fixture_demand ();
      FixtureSet set;
      Outcome outcome;

      demand.ordered = false;
      demand.min_security = 0;
      fixture_random_set (&set, rand, 2);
      set.profiles[0].n_segments = set.profiles[1].n_segments = 1;
      decide (&demand, &set, &outcome);
      for (gsize size = 1; size < (1 << 20); size += 1 + size / 9)
        {
          guint c = commy_size_class (size);
          gint planned = size <= outcome.plan.split[c] ? outcome.plan.lo[c] : outcome.plan.hi[c];
          gint best = brute_force (&demand, &set, &outcome, size);

          g_assert_cmpfloat (score_at (&demand, &set, &outcome, (guint) planned, size), <=,
                             1.02 * (1 + 1e-9)
                                 * score_at (&demand, &set, &outcome, (guint) best, size));
        }
    }
}

/* --- order --- */

static void
order_is_total (void)
{
  g_autoptr (GRand) rand = fixture_rand ();
  CommyDemand demand = fixture_demand ();

  demand.prefer.n = 1;
  g_strlcpy (demand.prefer.id[0], "t1", COMMY_ID_MAX);
  for (guint round = 0; round < 2000; round++)
    {
      CommyProfile profile = fixture_shm ();
      CommyCandidate c[3];
      double sd[3];
      int ab, bc, ac;

      for (guint i = 0; i < 3; i++)
        {
          c[i] = fixture_candidate (fixture_names[g_rand_int_range (rand, 0, 3)], &profile);
          c[i].serializer = fixture_names[g_rand_int_range (rand, 0, 2)];
          c[i].instance = fixture_names[g_rand_int_range (rand, 0, 2)];
          c[i].security = (guint) g_rand_int_range (rand, 0, 2);
          sd[i] = g_rand_int_range (rand, 0, 2);
        }
      ab = commy_candidate_compare (&demand, &c[0], sd[0], &c[1], sd[1]);
      bc = commy_candidate_compare (&demand, &c[1], sd[1], &c[2], sd[2]);
      ac = commy_candidate_compare (&demand, &c[0], sd[0], &c[2], sd[2]);
      g_assert_cmpint (
          CLAMP (ab, -1, 1), ==,
          -CLAMP (commy_candidate_compare (&demand, &c[1], sd[1], &c[0], sd[0]), -1, 1));
      if (ab < 0 && bc < 0)
        g_assert_cmpint (ac, <, 0);
      if (ab == 0 && bc == 0)
        g_assert_cmpint (ac, ==, 0);
    }
}

/* --- confidence --- */

#define BINS 5
#define SETS 6000
#define BIAS 0.02 /* of stated confidence against the share that is right, in the long run */
#define ERRORS 5  /* standard errors that chance may add to it in a bin: one run in a million */

typedef struct
{
  double stated;
  guint n, right;
} Bin;

/* True costs are drawn around the claims as the claims' provenance says; some of them are
 * measured a few times. Returns whether the choice was right. */
static bool
try_one (GRand *rand, double *out_confidence)
{
  CommyCalibration calibrations[4] = { 0 };
  CommyDemand demand = fixture_demand ();
  double truth[4];
  FixtureSet set;
  Outcome outcome;
  gint fastest = 0;

  fixture_random_set (&set, rand, 4);
  demand.min_security = 0;
  for (guint i = 0; i < 4; i++)
    {
      double claimed = fixture_spread (rand, 500, 5000);
      guint samples = g_rand_boolean (rand) ? 0 : (guint) g_rand_int_range (rand, 1, 12);

      set.profiles[i] = fixture_profile (claimed, 0, 0, 0);
      set.profiles[i].provenance = (guint32) g_rand_int_range (rand, 0, 4);
      set.candidates[i] = fixture_candidate (fixture_names[i], &set.profiles[i]);
      set.candidates[i].calibration = &calibrations[i];
      set.candidates[i].security = 1;
      truth[i] = claimed * exp (commy_profile_sigma (&set.profiles[i]) * fixture_normal (rand));
      for (guint s = 0; s < samples; s++)
        commy_calibration_add (&calibrations[i], 64, truth[i] * exp (0.2 * fixture_normal (rand)),
                               claimed, 1000);
      if (truth[i] < truth[fastest])
        fastest = (gint) i;
    }
  decide (&demand, &set, &outcome);
  *out_confidence = outcome.plan.confidence;
  return outcome.plan.chosen == fastest;
}

static void
confidence_is_the_share_that_is_right (void)
{
  g_autoptr (GRand) rand = fixture_rand ();
  Bin bins[BINS] = { 0 };

  for (guint i = 0; i < SETS; i++)
    {
      double confidence;
      bool right = try_one (rand, &confidence);
      Bin *bin = &bins[MIN ((guint) (confidence * BINS), BINS - 1)];

      bin->stated += confidence;
      bin->n++;
      bin->right += right;
    }
  for (guint b = 0; b < BINS; b++)
    {
      double share = (double) bins[b].right / MAX (bins[b].n, 1);
      double stated = bins[b].stated / MAX (bins[b].n, 1);

      g_test_message ("stated %.3f right %.3f of %u", stated, share, bins[b].n);
      if (bins[b].n >= 200)
        g_assert_cmpfloat_with_epsilon (stated, share,
                                        BIAS + ERRORS * sqrt (stated * (1 - stated) / bins[b].n));
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(PATH, FUNC) g_test_add_func ("/route/property/" PATH, FUNC)
  ADD ("permutation-gives-the-same-winner", permutation_gives_the_same_winner);
  ADD ("scaling-all-costs-keeps-the-order", scaling_all_costs_keeps_the_order);
  ADD ("cost-grows-with-size", cost_grows_with_size);
  ADD ("security-is-never-traded", security_is_never_traded);
  ADD ("more-choice-is-never-worse", more_choice_is_never_worse);
  ADD ("explaining-changes-nothing", explaining_changes_nothing);
  ADD ("both-sides-of-a-split-agree-with-brute-force",
       both_sides_of_a_split_agree_with_brute_force);
  ADD ("two-straight-lines-are-split-for-every-size", two_straight_lines_are_split_for_every_size);
  ADD ("within-the-tie-band-a-plan-stays-near-the-best",
       within_the_tie_band_a_plan_stays_near_the_best);
  ADD ("order-is-total", order_is_total);
  ADD ("confidence-is-the-share-that-is-right", confidence_is_the_share_that_is_right);
  return g_test_run ();
}
