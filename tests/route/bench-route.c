/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What deciding costs: a full re-score of 16 candidates, as a pure function. Sets as they come
 * from an installation (transports times serializers, probed or only claimed) and at random, for
 * flows that must stay in order and for those that need not. Medians, in ns.
 */
#include "config.h"

#include "route-fixture.h"

#include <time.h>

#define CANDIDATES 16
#define SETS 64
#define TURNS 2000

typedef struct
{
  CommyProfile transports[4], serializers[4];
  FixtureSet random;
  CommyCalibration calibrations[CANDIDATES];
  CommyClaims claims[CANDIDATES];
  CommyCandidate candidates[CANDIDATES];
} Set;

static gint64
now_ns (void)
{
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC, &now);
  return (gint64) now.tv_sec * 1000000000 + now.tv_nsec;
}

/* A transport that is slower than it claims, probed at four sizes. */
static void
probe (CommyCalibration *calibration, const CommyProfile *profile, GRand *rand)
{
  static const gsize sizes[] = { 64, 4096, 65536, 1 << 20 };
  double factor = fixture_spread (rand, 0.7, 1.5);

  calibration->bare = true;
  for (guint i = 0; i < 8 * G_N_ELEMENTS (sizes); i++)
    {
      CommyCost cost;
      gsize size = sizes[i % G_N_ELEMENTS (sizes)];

      commy_cost_compute (profile, NULL, size, &cost);
      commy_calibration_add (calibration, size,
                             cost.t_latency_ns * factor * exp (0.05 * fixture_normal (rand)),
                             cost.t_latency_ns, 1000);
    }
}

/* Four transports with four serializers each. */
static void
make_installed (Set *set, GRand *rand, gboolean probed)
{
  static const char *const serializers[] = { "raw", "compact", "gvariant", "json" };

  for (guint i = 0; i < 4; i++)
    {
      set->transports[i] = fixture_random_profile (rand);
      set->transports[i].n_segments = MIN (set->transports[i].n_segments, 3);
      set->transports[i].security = COMMY_SECURITY_MUTUAL;
      set->serializers[i] = fixture_serializer (fixture_spread (rand, 10, 2000),
                                                fixture_spread (rand, 0.01, 2), 1 + 0.1 * i);
      if (probed)
        probe (&set->calibrations[i], &set->transports[i], rand);
    }
  for (guint i = 0; i < CANDIDATES; i++)
    {
      set->candidates[i] = fixture_candidate (fixture_names[i / 4], &set->transports[i / 4]);
      set->candidates[i].serializer = serializers[i % 4];
      set->candidates[i].serializer_profile = &set->serializers[i % 4];
      set->candidates[i].calibration = probed ? &set->calibrations[i / 4] : NULL;
    }
}

/* Sixteen transports, all of them probed. */
static void
make_random (Set *set, GRand *rand)
{
  fixture_random_set (&set->random, rand, CANDIDATES);
  for (guint i = 0; i < CANDIDATES; i++)
    {
      set->random.profiles[i].security = COMMY_SECURITY_MUTUAL;
      probe (&set->calibrations[i], &set->random.profiles[i], rand);
      set->candidates[i] = set->random.candidates[i];
      set->candidates[i].security = COMMY_SECURITY_MUTUAL;
      set->candidates[i].calibration = &set->calibrations[i];
    }
}

/* As the mesh does it, once for as long as the profiles stay. */
static void
claim (Set *set)
{
  for (guint i = 0; i < CANDIDATES; i++)
    {
      CommyCandidate *candidate = &set->candidates[i];

      commy_claims_init (&set->claims[i], candidate->transport_profile,
                         candidate->serializer_profile);
      candidate->claims = &set->claims[i];
    }
}

static int
compare (gconstpointer a, gconstpointer b)
{
  gint64 x = *(const gint64 *) a, y = *(const gint64 *) b;

  return x < y ? -1 : x > y;
}

static void
measure (const char *name, const Set *sets, gboolean ordered, gboolean explained, guint turns)
{
  g_autofree gint64 *ns = g_new (gint64, turns);
  CommyAssessment assessments[CANDIDATES];
  CommyDemand demand = fixture_demand ();
  CommyPlan plan;

  demand.ordered = ordered;
  demand.now_ns = 2000;
  for (guint i = 0; i < turns; i++)
    {
      gint64 start = now_ns ();

      commy_route_choose (&demand, sets[i % SETS].candidates, CANDIDATES, assessments, &plan);
      if (explained)
        commy_route_explain_choice (&demand, sets[i % SETS].candidates, CANDIDATES, assessments,
                                    &plan);
      ns[i] = now_ns () - start;
      g_assert_cmpint (plan.chosen, >=, 0);
    }
  qsort (ns, turns, sizeof *ns, compare);
  g_print ("%-26s %-10s %-10s p50 %6" G_GINT64_FORMAT " ns   p99 %6" G_GINT64_FORMAT " ns\n", name,
           ordered ? "ordered" : "unordered", explained ? "explained" : "chosen", ns[turns / 2],
           ns[turns * 99 / 100]);
}

int
main (int argc, char **argv)
{
  static const char *const names[]
      = { "16 candidates, claimed", "16 candidates, probed", "16 candidates, all differ" };
  guint turns = argc > 1 && strcmp (argv[1], "--smoke") == 0 ? 50 : TURNS;
  g_autofree Set *sets = g_new0 (Set, SETS);

  for (guint kind = 0; kind < G_N_ELEMENTS (names); kind++)
    {
      g_autoptr (GRand) rand = g_rand_new_with_seed (kind + 1);

      memset (sets, 0, SETS * sizeof *sets);
      for (guint i = 0; i < SETS; i++)
        {
          if (kind == 2)
            make_random (&sets[i], rand);
          else
            make_installed (&sets[i], rand, kind == 1);
          claim (&sets[i]);
        }
      for (guint way = 0; way < 4; way++)
        measure (names[kind], sets, way % 2 == 0, way >= 2, turns);
    }
  return 0;
}
