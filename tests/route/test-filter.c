/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Each filter refuses what it must, in order, and leaves field, required, offered and origin.
 */
#include "config.h"

#include "route-fixture.h"

typedef struct
{
  CommyProfile shm, tls, values;
  CommyCandidate candidates[2];
  CommyAssessment assessments[2];
  CommyDemand demand;
  CommyPlan plan;
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  f->shm = fixture_shm ();
  f->tls = fixture_tls ();
  f->values = fixture_serializer (50, 0.1, 1);
  f->candidates[0] = fixture_candidate ("shm", &f->shm);
  f->candidates[1] = fixture_candidate ("tls", &f->tls);
  f->demand = fixture_demand ();
}

static void
decide (Fixture *f)
{
  commy_route_decide (&f->demand, f->candidates, 2, f->assessments, &f->plan);
}

static void
assert_refused (Fixture *f,
                guint i,
                CommyFilter filter,
                const char *required,
                const char *offered,
                const char *origin)
{
  const CommyRejection *rejection = &f->assessments[i].rejection;

  g_assert_cmpstr (commy_filter_to_string (rejection->filter), ==, commy_filter_to_string (filter));
  g_assert_cmpstr (rejection->required, ==, required);
  g_assert_cmpstr (rejection->offered, ==, offered);
  g_assert_cmpstr (rejection->origin, ==, origin);
}

static void
security_is_a_floor (Fixture *f, gconstpointer data)
{
  f->demand.min_security = COMMY_SECURITY_CONFIDENTIAL;
  f->demand.min_security_origin = "site.conf:7";
  decide (f);
  assert_refused (f, 0, COMMY_FILTER_SECURITY, "confidential", "authenticated", "site.conf:7");
  g_assert_cmpint (f->plan.chosen, ==, 1);
  f->demand.min_security = COMMY_SECURITY_AUTHENTICATED;
  decide (f);
  g_assert_cmpint (f->plan.chosen, ==, 0);
}

static void
delivery_and_ordering (Fixture *f, gconstpointer data)
{
  f->shm.delivery = COMMY_DELIVERY_AT_MOST_ONCE;
  f->tls.ordering = COMMY_ORDERING_NONE;
  decide (f);
  assert_refused (f, 0, COMMY_FILTER_DELIVERY, "reliable", "at most once", "flow");
  assert_refused (f, 1, COMMY_FILTER_ORDERING, "order within a connection", "none", "flow");
  g_assert_cmpint (f->plan.chosen, ==, -1);
  g_assert_cmpint (f->plan.lo[0], ==, -1);
  g_assert_cmpfloat (f->plan.confidence, ==, 0);
}

static void
capabilities (Fixture *f, gconstpointer data)
{
  f->demand.required_transport_caps = COMMY_CAP_FD_PASSING;
  f->demand.required_serializer_caps = COMMY_CAP_VALUES;
  f->shm.capabilities = COMMY_CAP_FD_PASSING | COMMY_CAP_ZERO_COPY;
  decide (f);
  assert_refused (f, 0, COMMY_FILTER_CAPABILITY, "every value", "not by raw", "flow");
  assert_refused (f, 1, COMMY_FILTER_CAPABILITY, "file descriptor passing", "not by tls", "flow");
  f->candidates[0].serializer_profile = &f->values;
  decide (f);
  g_assert_cmpint (f->plan.chosen, ==, 0);
}

static void
size_counts_what_the_flow_sends (Fixture *f, gconstpointer data)
{
  f->shm.max_message = 1000;
  decide (f);
  g_assert_cmpint (f->plan.chosen, ==, 0);
  f->demand.share[0] = 0.9;
  f->demand.share[5] = 0.1;
  decide (f);
  assert_refused (f, 0, COMMY_FILTER_SIZE, "16 KiB", "1000 B", "flow");
  /* Carrying a part of the class is allowed, but who carries all of it goes first. */
  f->shm.max_message = 20000;
  decide (f);
  g_assert_cmpint (f->assessments[0].rejection.filter, ==, COMMY_FILTER_NONE);
  g_assert_cmpint (f->plan.chosen, ==, 1);
}

static void
what_the_caller_knows_comes_in_order (Fixture *f, gconstpointer data)
{
  CommyRejection denied = { .filter = COMMY_FILTER_ENABLED,
                            .required = "enabled",
                            .offered = "denied",
                            .origin = "site.conf:12" };
  CommyRejection peer = { .filter = COMMY_FILTER_PEER, .offered = "refused by the peer" };

  f->demand.min_security = COMMY_SECURITY_MUTUAL;
  f->candidates[0].known = denied;
  f->candidates[1].known = peer;
  decide (f);
  assert_refused (f, 0, COMMY_FILTER_ENABLED, "enabled", "denied", "site.conf:12");
  assert_refused (f, 1, COMMY_FILTER_PEER, "", "refused by the peer", "default");
  /* A peer's refusal is asked after security. */
  f->candidates[1].security = COMMY_SECURITY_NONE;
  decide (f);
  assert_refused (f, 1, COMMY_FILTER_SECURITY, "mutual", "none", "default");
}

static void
preferences_that_filter (Fixture *f, gconstpointer data)
{
  f->demand.preference_origin = "p";
  f->demand.preference = COMMY_PREFER_NETWORK_ONLY;
  decide (f);
  assert_refused (f, 0, COMMY_FILTER_PREFERENCE, "network-only", "this host", "p");
  g_assert_cmpint (f->plan.chosen, ==, 1);
  f->demand.preference = COMMY_PREFER_LOCAL_ONLY;
  decide (f);
  assert_refused (f, 1, COMMY_FILTER_PREFERENCE, "local-only", "the network", "p");
  f->demand.preference = COMMY_PREFER_PIN;
  g_strlcpy (f->demand.transports.id[0], "tls", COMMY_ID_MAX);
  f->demand.transports.n = 1;
  decide (f);
  assert_refused (f, 0, COMMY_FILTER_PREFERENCE, "tls", "shm", "p");
  g_assert_cmpint (f->plan.chosen, ==, 1);
  f->demand.preference = COMMY_PREFER_AUTO;
  f->demand.allowed_reach = COMMY_REACH_NETWORK;
  f->demand.reach_origin = "r";
  decide (f);
  assert_refused (f, 0, COMMY_FILTER_PREFERENCE, "network-only", "this host", "r");
}

static void
preferences_that_rank (Fixture *f, gconstpointer data)
{
  f->demand.preference = COMMY_PREFER_NETWORK;
  decide (f);
  g_assert_cmpint (f->plan.chosen, ==, 1);
  g_assert_cmpint (f->plan.runner_up, ==, 0);
  f->candidates[1].known.filter = COMMY_FILTER_BREAKER;
  decide (f);
  g_assert_cmpint (f->plan.chosen, ==, 0);
  f->candidates[1].known.filter = COMMY_FILTER_NONE;
  f->demand.preference = COMMY_PREFER_LIST;
  f->demand.transports.n = 2;
  g_strlcpy (f->demand.transports.id[0], "tls", COMMY_ID_MAX);
  g_strlcpy (f->demand.transports.id[1], "shm", COMMY_ID_MAX);
  decide (f);
  g_assert_cmpint (f->plan.chosen, ==, 1);
  g_assert_cmpint (f->plan.hi[3], ==, 1);
}

static void
requirements_refuse_and_may_be_degraded (Fixture *f, gconstpointer data)
{
  f->demand.max_latency_ns = 100;
  f->demand.requirement_origin = "requirements";
  decide (f);
  assert_refused (f, 0, COMMY_FILTER_LATENCY, "<= 100 ns", "278 ns", "requirements");
  assert_refused (f, 1, COMMY_FILTER_LATENCY, "<= 100 ns", "14.1 us", "requirements");
  g_assert_cmpint (f->plan.chosen, ==, -1);
  f->demand.degradable = true;
  decide (f);
  g_assert_cmpint (f->plan.chosen, ==, 0);
  g_assert_true (f->assessments[0].degraded);
  /* Nothing is degraded while something meets the requirement. */
  f->demand.max_latency_ns = 300;
  decide (f);
  g_assert_false (f->assessments[0].degraded);
  g_assert_cmpint (f->assessments[1].rejection.filter, ==, COMMY_FILTER_LATENCY);
}

static void
throughput_is_of_64_kib (Fixture *f, gconstpointer data)
{
  /* shm: max (60 + .065 * 65536) ns each */
  double rate = 65536 * 1e9 / (60 + 0.065 * 65536);

  f->demand.min_throughput = (guint64) (rate * 0.99);
  decide (f);
  g_assert_cmpint (f->assessments[0].rejection.filter, ==, COMMY_FILTER_NONE);
  f->demand.min_throughput = (guint64) (rate * 1.01);
  decide (f);
  assert_refused (f, 0, COMMY_FILTER_THROUGHPUT, ">= 14.3 GiB/s", "14.1 GiB/s", "default");
}

static void
security_is_never_degraded (Fixture *f, gconstpointer data)
{
  f->demand.degradable = true;
  f->demand.max_latency_ns = 100;
  f->demand.min_security = COMMY_SECURITY_MUTUAL;
  decide (f);
  g_assert_cmpint (f->plan.chosen, ==, 1);
  g_assert_true (f->assessments[1].degraded);
  f->candidates[1].security = COMMY_SECURITY_CONFIDENTIAL;
  decide (f);
  g_assert_cmpint (f->plan.chosen, ==, -1);
}

static void
nonsense_profiles_are_refused (Fixture *f, gconstpointer data)
{
  f->shm.segments[0].latency_ns = (double) NAN;
  f->candidates[1].transport_profile = NULL;
  decide (f);
  assert_refused (f, 0, COMMY_FILTER_STATE, "a finite cost", "not a number", "profile");
  assert_refused (f, 1, COMMY_FILTER_STATE, "a finite cost", "no profile", "profile");
  g_assert_cmpint (f->plan.chosen, ==, -1);
}

/* Probes say it is fine, the caller feels that it is not: the caller is right about itself. */
static void
what_the_caller_felt_counts (Fixture *f, gconstpointer data)
{
  CommyCalibration probes = { .bare = true }, felt = { 0 };

  for (guint i = 0; i < 20; i++)
    {
      commy_calibration_add (&probes, 64, 280, 280, 1000);
      commy_calibration_add (&felt, 64, 28000, 280, 1000);
      commy_calibration_add (&felt, 65536, 1e6, 10000, 1000);
    }
  f->demand.now_ns = 1000;
  f->candidates[0].calibration = &probes;
  f->demand.max_latency_ns = 1000;
  decide (f);
  g_assert_cmpint (f->plan.chosen, ==, 0);
  f->candidates[0].felt = &felt;
  decide (f);
  g_assert_cmpint (f->assessments[0].rejection.filter, ==, COMMY_FILTER_LATENCY);
  g_assert_cmpint (f->plan.chosen, ==, -1);

  f->demand.max_latency_ns = 0;
  decide (f);
  g_assert_cmpint (f->plan.chosen, ==, 0); /* it ranks by what was probed of all alike */
  f->demand.min_throughput = 1000 * 1000 * 1000;
  decide (f);
  g_assert_cmpint (f->assessments[0].rejection.filter, ==, COMMY_FILTER_THROUGHPUT);
}

static void
every_filter_has_a_name (void)
{
  for (guint i = 0; i < COMMY_FILTER_LAST; i++)
    g_assert_cmpstr (commy_filter_to_string ((CommyFilter) i), !=, "?");
  g_assert_cmpstr (commy_filter_to_string (COMMY_FILTER_LAST), ==, "?");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(PATH, FUNC) g_test_add ("/route/filter/" PATH, Fixture, NULL, set_up, FUNC, NULL)
  ADD ("security-is-a-floor", security_is_a_floor);
  ADD ("delivery-and-ordering", delivery_and_ordering);
  ADD ("capabilities", capabilities);
  ADD ("size-counts-what-the-flow-sends", size_counts_what_the_flow_sends);
  ADD ("what-the-caller-knows-comes-in-order", what_the_caller_knows_comes_in_order);
  ADD ("preferences-that-filter", preferences_that_filter);
  ADD ("preferences-that-rank", preferences_that_rank);
  ADD ("requirements-refuse-and-may-be-degraded", requirements_refuse_and_may_be_degraded);
  ADD ("throughput-is-of-64-kib", throughput_is_of_64_kib);
  ADD ("what-the-caller-felt-counts", what_the_caller_felt_counts);
  ADD ("security-is-never-degraded", security_is_never_degraded);
  ADD ("nonsense-profiles-are-refused", nonsense_profiles_are_refused);
  g_test_add_func ("/route/filter/every-filter-has-a-name", every_filter_has_a_name);
  return g_test_run ();
}
