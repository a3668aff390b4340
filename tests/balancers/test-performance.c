/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The balancer "performance": what it learns from reports, and how it fares in virtual time
 * beside "least-connections" and "round-robin" where one instance is slow and one fails fast.
 */
#include "config.h"

#include "balancer-rig.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MS G_GINT64_CONSTANT (1000000)
#define SECOND (1000 * MS)

static guint
picks_of (BalancerRig *rig, gssize whom, guint n)
{
  guint count = 0;

  for (guint i = 0; i < n; i++)
    count += balancer_rig_pick (rig, 0, NULL) == whom;
  return count;
}

static void
report_all (BalancerRig *rig, gint64 latency_ns)
{
  for (gsize i = 0; i < rig->snapshot.n_members; i++)
    balancer_rig_report (rig, (gssize) i, latency_ns, FALSE);
}

static void
test_faster (void)
{
  g_autoptr (BalancerRig) rig = balancer_rig_new ("performance", NULL);

  balancer_rig_update (rig, 2, 1);
  balancer_rig_report (rig, 0, 3 * MS, FALSE);
  balancer_rig_report (rig, 1, 2 * MS, FALSE);
  g_assert_cmpuint (picks_of (rig, 1, 50), ==, 50);
  rig->members[1].in_flight = 1; /* 2 ms times 2 is more than 3 ms */
  g_assert_cmpuint (picks_of (rig, 0, 50), ==, 50);
  rig->members[1].weight = 2; /* and half of it less again */
  balancer_rig_update (rig, 2, 1);
  g_assert_cmpuint (picks_of (rig, 1, 50), ==, 50);
}

/* A peak counts in full at once; what follows brings it down slowly. */
static void
test_peak (void)
{
  g_autoptr (BalancerRig) rig = balancer_rig_new ("performance", NULL);

  balancer_rig_update (rig, 2, 1);
  report_all (rig, MS);
  balancer_rig_report (rig, 0, 50 * MS, FALSE);
  g_assert_cmpuint (picks_of (rig, 1, 50), ==, 50);
  for (int i = 0; i < 10; i++)
    balancer_rig_report (rig, 0, MS / 2, FALSE);
  g_assert_cmpuint (picks_of (rig, 1, 50), ==, 50);
  for (int i = 0; i < 1000; i++) /* 100 s, ten times the decay, in which both are called */
    {
      rig->snapshot.now_ns += 100 * MS;
      balancer_rig_pick (rig, 0, NULL);
      balancer_rig_report (rig, 0, MS / 2, FALSE);
      balancer_rig_report (rig, 1, MS, FALSE);
    }
  g_assert_cmpuint (picks_of (rig, 0, 50), ==, 50);
}

/* Who was slow is tried again when decay times the logarithm of the ratio has passed. */
static void
test_decay (void)
{
  g_autoptr (BalancerRig) rig = balancer_rig_new ("performance", NULL);
  gint64 tried_ns = 0;

  balancer_rig_update (rig, 2, 1);
  report_all (rig, MS);
  balancer_rig_report (rig, 0, 100 * MS, FALSE);
  while (balancer_rig_pick (rig, 0, NULL) != 0)
    {
      balancer_rig_report (rig, 1, MS, FALSE);
      tried_ns = rig->snapshot.now_ns += 100 * MS;
      g_assert_cmpint (tried_ns, <, 100 * SECOND);
    }
  g_assert_cmpfloat_with_epsilon ((double) tried_ns / SECOND, 10 * log (100), 1);
}

static void
test_fast_failure (void)
{
  g_autoptr (BalancerRig) rig = balancer_rig_new ("performance", NULL);

  balancer_rig_update (rig, 3, 1);
  report_all (rig, 10 * MS);
  balancer_rig_report (rig, 2, MS / 100, TRUE);
  g_assert_cmpuint (picks_of (rig, 2, 200), ==, 0);
  rig->members[0].in_flight = rig->members[1].in_flight = 100; /* far from 5 s */
  g_assert_cmpuint (picks_of (rig, 2, 200), ==, 0);
}

/* One call at a time, so that a newcomer who is slow does not get a hundred. */
static void
test_newcomer (void)
{
  g_autoptr (BalancerRig) rig = balancer_rig_new ("performance", NULL);

  balancer_rig_update (rig, 2, 1);
  report_all (rig, MS);
  balancer_rig_update (rig, 3, 1);
  g_assert_cmpuint (picks_of (rig, 2, 300), >, 150); /* whenever it is one of the two */
  rig->members[2].in_flight = 1;
  g_assert_cmpuint (picks_of (rig, 2, 300), ==, 0);
}

/* What was learned goes with the member, not with its place. */
static void
test_members_move (void)
{
  g_autoptr (BalancerRig) rig = balancer_rig_new ("performance", NULL);

  balancer_rig_update (rig, 3, 1);
  report_all (rig, 10 * MS);
  balancer_rig_report (rig, 0, SECOND, FALSE);
  rig->members[0].id = rig->ids[1];
  rig->members[1].id = rig->ids[2];
  rig->members[2].id = rig->ids[0];
  balancer_rig_update (rig, 3, 1);
  g_assert_cmpuint (picks_of (rig, 2, 200), ==, 0);
  balancer_rig_update (rig, 2, 1);
  balancer_rig_update (rig, 3, 1); /* it was gone: nothing is known of it any more */
  g_assert_cmpuint (picks_of (rig, 2, 200), >, 50);
}

/* --- in virtual time --- */

#define SERVERS 10
#define CALLS 40000
#define SLOW 0
#define FAILING 1

/* Each server works at one call after the other. */
typedef struct
{
  double free_ns; /* when it has done what it was given */
  guint calls;
} Server;

typedef struct
{
  double end_ns;
  double latency_ns;
  guint server;
} Ending;

typedef struct
{
  double p50_ms, p99_ms, errors; /* errors: share */
  double slow, failing;          /* shares of all calls */
} Outcome;

static gint
by_end (gconstpointer a, gconstpointer b, gpointer unused)
{
  double x = ((const Ending *) a)->end_ns, y = ((const Ending *) b)->end_ns;

  return (x > y) - (x < y);
}

static int
by_size (const void *a, const void *b)
{
  double x = *(const double *) a, y = *(const double *) b;

  return (x > y) - (x < y);
}

/* 10 ms for a call, exponentially; a tenth as fast; or an error after a tenth of a millisecond. */
static double
service_ns (BalancerRig *rig, guint server)
{
  if (server == FAILING)
    return 0.1 * MS;
  return -log (balancer_rig_real (rig)) * (server == SLOW ? 100.0 : 10.0) * MS;
}

static void
end_calls (BalancerRig *rig, GSequence *endings, double until_ns)
{
  for (;;)
    {
      GSequenceIter *first = g_sequence_get_begin_iter (endings);
      const Ending *ending;

      if (g_sequence_iter_is_end (first))
        return;
      ending = g_sequence_get (first);
      if (ending->end_ns > until_ns)
        return;
      rig->members[ending->server].in_flight--;
      balancer_rig_report (rig, (gssize) ending->server, (gint64) ending->latency_ns,
                           ending->server == FAILING);
      g_sequence_remove (first);
    }
}

/* Poisson arrivals at 60 % of what the eight good ones can do. */
static Outcome
simulate (const char *id)
{
  g_autoptr (BalancerRig) rig = balancer_rig_new (id, NULL);
  g_autoptr (GSequence) endings = g_sequence_new (g_free);
  g_autofree double *latencies = g_new (double, CALLS);
  Server servers[SERVERS] = { 0 };
  double now_ns = 0;
  guint n_answered = 0;

  balancer_rig_update (rig, SERVERS, 1);
  for (guint i = 0; i < CALLS; i++)
    {
      Ending *ending = g_new (Ending, 1);
      guint server;

      now_ns += -log (balancer_rig_real (rig)) * 10.0 * MS / (0.6 * 8);
      end_calls (rig, endings, now_ns);
      rig->snapshot.now_ns = (gint64) now_ns;
      server = (guint) balancer_rig_pick (rig, 0, NULL);
      rig->members[server].in_flight++;
      servers[server].calls++;
      servers[server].free_ns = MAX (servers[server].free_ns, now_ns) + service_ns (rig, server);
      *ending = (Ending){ servers[server].free_ns, servers[server].free_ns - now_ns, server };
      if (server != FAILING)
        latencies[n_answered++] = ending->latency_ns;
      g_sequence_insert_sorted (endings, ending, by_end, NULL);
    }
  qsort (latencies, n_answered, sizeof *latencies, by_size);
  return (Outcome){ .p50_ms = latencies[n_answered / 2] / MS,
                    .p99_ms = latencies[n_answered * 99 / 100] / MS,
                    .errors = 1 - n_answered / (double) CALLS,
                    .slow = servers[SLOW].calls / (double) CALLS,
                    .failing = servers[FAILING].calls / (double) CALLS };
}

static Outcome
show (const char *id)
{
  Outcome outcome = simulate (id);

  g_test_message (
      "%-18s p50 %7.1f ms, p99 %9.1f ms, errors %6.2f %%, the slow one's share %5.2f %%", id,
      outcome.p50_ms, outcome.p99_ms, 100 * outcome.errors, 100 * outcome.slow);
  return outcome;
}

static void
test_against_others (void)
{
  Outcome performance = show ("performance");
  Outcome least = show ("least-connections");
  Outcome robin = show ("round-robin");

  g_assert_cmpfloat (performance.errors, <, 0.001);
  g_assert_cmpfloat (least.errors, >, 0.1); /* who fails at once has nothing under way */
  g_assert_cmpfloat_with_epsilon (robin.errors, 0.1, 0.001);
  /* A tenth as fast: at most as much as it can do, yet it is not left out. */
  g_assert_cmpfloat (performance.slow, >, 0.001);
  g_assert_cmpfloat (performance.slow, <, 0.02);
  g_assert_cmpfloat (performance.p99_ms, <, least.p99_ms);
  g_assert_cmpfloat (performance.p99_ms * 10, <, robin.p99_ms); /* the slow one's queue grows */
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/balancer/performance/the-faster-times-calls-under-way", test_faster);
  g_test_add_func ("/balancer/performance/a-peak-counts-at-once", test_peak);
  g_test_add_func ("/balancer/performance/who-was-slow-is-tried-again", test_decay);
  g_test_add_func ("/balancer/performance/who-fails-fast-attracts-nothing", test_fast_failure);
  g_test_add_func ("/balancer/performance/a-newcomer-gets-one-call-at-a-time", test_newcomer);
  g_test_add_func ("/balancer/performance/what-was-learned-goes-with-the-member",
                   test_members_move);
  g_test_add_func ("/balancer/performance/one-slow-and-one-that-fails-fast", test_against_others);
  return g_test_run ();
}
