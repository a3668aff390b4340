/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The balancer "performance": of two members by chance the one that is expected to answer sooner:
 * how long its calls took, times the calls under way. Latencies are averaged over time, but a peak
 * counts in full at once; a failure counts as a slow call, so that who fails fast attracts nothing.
 * After Finagle's PeakEwma, with Linkerd's penalty for failures.
 */
#include "config.h"

#include "../common/commy-balancing.h"

#include <math.h>
#include <string.h>

#define SECOND_NS G_GINT64_CONSTANT (1000000000)
#define LONGEST_NS (3600 * SECOND_NS) /* what takes longer says no more */
#define OUTLIER 8                     /* times what is usual is bad: two others may be better */
#define UNKNOWN 16                    /* a part of the penalty */
#define DRAWS 3                       /* of two, at most */

typedef struct
{
  CommyHost *host;
  double decay_ns;
  gint64 penalty_ns;
} Performance;

/* What is known of a member. */
typedef struct
{
  guint64 id;     /* its hash */
  double cost_ns; /* as of `seen_ns`; 0: never called */
  gint64 seen_ns;
} Record;

typedef struct
{
  double decay_ns, penalty_ns; /* the instance's: a report may come after its end */
  Record *records;
  gsize n;
  double usual_ns; /* load of those that are picked, averaged */
  gint64 now_ns;   /* of the last pick: reports bring no time of their own */
  guint64 own;
} State;

static double
decay (const State *state, const Record *record)
{
  double x = (double) (state->now_ns - record->seen_ns) / state->decay_ns;

  if (x <= 0)
    return 1;
  return x < 0.001 ? 1 - x : exp (-x);
}

/* Who was never called is tried at once, by one call. Until that is answered it is slower than
 * others are, and better than one that failed: a share of the penalty for each call. */
static double
load_of (const State *state, const CommyBalancerMember *member, const Record *record)
{
  double calls = member->in_flight + 1.0;

  if (record->cost_ns == 0)
    return member->in_flight == 0 ? 0
                                  : MAX (state->penalty_ns / UNKNOWN, SECOND_NS / UNKNOWN) * calls;
  return record->cost_ns * decay (state, record) * calls / commy_balancing_weight (member);
}

static void
performance_update (gpointer instance,
                    gpointer state_memory,
                    const CommyBalancerSnapshot *snapshot,
                    guint64 seed)
{
  const Performance *settings = instance;
  State *state = state_memory;
  g_autoptr (GHashTable) known = g_hash_table_new (g_int64_hash, g_int64_equal);
  g_autofree Record *before = g_steal_pointer (&state->records);

  for (gsize i = 0; i < state->n; i++)
    g_hash_table_insert (known, &before[i].id, &before[i]);
  state->decay_ns = settings->decay_ns;
  state->penalty_ns = (double) settings->penalty_ns;
  state->own = seed;
  state->n = snapshot->n_members;
  state->records = g_new (Record, state->n);
  for (gsize i = 0; i < state->n; i++)
    {
      guint64 id = commy_balancing_hash (snapshot->members[i].id);
      const Record *record = g_hash_table_lookup (known, &id);

      state->records[i] = record != NULL ? *record : (Record){ .id = id };
    }
}

static gssize
performance_pick (gpointer state_memory,
                  const CommyBalancerSnapshot *snapshot,
                  guint64 key,
                  const guint64 *excluded)
{
  State *state = state_memory;
  guint64 random = commy_balancing_random (snapshot, &state->own);
  double least = G_MAXDOUBLE;
  gssize found = -1;

  if (COMMY_BALANCING_HAS (snapshot, now_ns))
    state->now_ns = MAX (state->now_ns, snapshot->now_ns);
  for (guint draw = 0; draw < DRAWS; draw++)
    {
      double load_a, load_b;
      gsize a, b;

      if (!commy_balancing_two (snapshot, excluded, random, &a, &b))
        return -1;
      load_a = load_of (state, &snapshot->members[a], &state->records[a]);
      load_b = load_of (state, &snapshot->members[b], &state->records[b]);
      if (MIN (load_a, load_b) < least)
        {
          least = MIN (load_a, load_b);
          found = (gssize) (load_b < load_a ? b : a);
        }
      if (G_LIKELY (least <= OUTLIER * state->usual_ns))
        break;
      random = commy_balancing_mix (random);
    }
  state->usual_ns += (least - state->usual_ns) / 32;
  return found;
}

static void
performance_report (gpointer state_memory, gsize index, gint64 latency_ns, gboolean failed)
{
  State *state = state_memory;
  Record *record = &state->records[index];
  double took = (double) CLAMP (latency_ns, 1, LONGEST_NS);
  double kept;

  if (failed)
    took = MAX (took, state->penalty_ns);
  kept = record->cost_ns == 0 ? 0 : decay (state, record);
  record->cost_ns = took > record->cost_ns ? took : took * (1 - kept) + record->cost_ns * kept;
  record->seen_ns = state->now_ns;
}

static void
performance_clear (gpointer state_memory)
{
  State *state = state_memory;

  g_clear_pointer (&state->records, g_free);
  state->n = 0;
}

static const CommyParamSpec performance_params[] = {
  { .struct_size = sizeof (CommyParamSpec),
    .type = COMMY_PARAM_DURATION,
    .name = "decay",
    .default_value = "10s",
    .minimum = 1000000,
    .maximum = 3600 * SECOND_NS,
    .help = "Time after which a latency counts for 37 %" },
  { .struct_size = sizeof (CommyParamSpec),
    .type = COMMY_PARAM_DURATION,
    .name = "penalty",
    .default_value = "5s",
    .minimum = 0,
    .maximum = 3600 * SECOND_NS,
    .help = "Latency that a failed call counts for, at least" },
};

static gboolean
performance_init (gpointer instance, CommyHost *host, GError **error)
{
  Performance *self = instance;

  self->host = host;
  self->decay_ns = (double) g_ascii_strtoll (host->param (host, "decay"), NULL, 10);
  self->penalty_ns = g_ascii_strtoll (host->param (host, "penalty"), NULL, 10);
  return TRUE;
}

static void
performance_fini (gpointer instance)
{
  Performance *self = instance;

  self->host = NULL;
}

static const CommyBalancerOps performance_ops = {
  .struct_size = sizeof (CommyBalancerOps),
  .state_size = sizeof (State),
  .update = performance_update,
  .pick = performance_pick,
  .report = performance_report,
  .clear = performance_clear,
};

COMMY_PLUGIN_NOTE (BALANCER,
                   "performance",
                   PACKAGE_VERSION,
                   "LGPL-2.1-or-later",
                   "the one of two members that answers sooner",
                   "",
                   COMMY_PLUGIN_FLAG_NONE,
                   .provenance = COMMY_PROVENANCE_MEASURED_ELSEWHERE,
                   .size_factor = 1.0,
                   .n_segments = 1,
                   .segments = { { .max_bytes = G_MAXUINT64, .send_cpu_ns = 15 } });
COMMY_PLUGIN_DEFINE (Performance,
                     performance_init,
                     NULL,
                     performance_fini,
                     performance_params,
                     G_N_ELEMENTS (performance_params),
                     &performance_ops);
