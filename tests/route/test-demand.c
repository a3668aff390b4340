/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Words, requirements over settings (never laxer), what-if questions (maybe laxer) and what is
 * wrong with them; the boxed types.
 */
#include "config.h"

#include "route-fixture.h"
#include "route/commy-decision-private.h"

#include <commy/commy-error.h>

static const char *const tls_only[] = { "tls", NULL };
static const char *const tls_shm[] = { "tls", "shm", NULL };

static void
words_go_there_and_back (void)
{
  CommyObjective objective;
  CommyPreference preference;
  guint security;

  for (guint i = 0; i <= COMMY_OBJECTIVE_BALANCED; i++)
    {
      g_assert_true (commy_objective_parse (commy_objective_to_string (i), &objective));
      g_assert_cmpuint (objective, ==, i);
    }
  for (guint i = 0; i <= COMMY_SECURITY_MUTUAL; i++)
    {
      g_assert_true (commy_security_parse (commy_security_to_string (i), &security));
      g_assert_cmpuint (security, ==, i);
    }
  for (guint i = 0; i <= COMMY_PREFER_ADAPTIVE; i++)
    {
      g_assert_true (commy_preference_parse (commy_preference_to_string (i), &preference));
      g_assert_cmpuint (preference, ==, i);
    }
  g_assert_false (commy_objective_parse ("speed", &objective));
  g_assert_false (commy_objective_parse ("", &objective));
  g_assert_false (commy_security_parse (NULL, &security));
  g_assert_false (commy_preference_parse ("Auto", &preference));
  g_assert_cmpstr (commy_security_to_string (77), ==, "?");
}

static void
numbers_read_well (void)
{
  static const struct
  {
    double ns;
    const char *text;
  } durations[]
      = { { 0, "0 ns" },     { 278.4, "278 ns" }, { 14051, "14.1 us" }, { 2.6e6, "2.6 ms" },
          { 3e9, "3 s" },    { 999.6, "1 us" },   { 999.96e3, "1 ms" }, { NAN, "unknown" },
          { -1, "unknown" }, { 1.04, "1 ns" },    { 99.97, "100 ns" },  { 1e30, "unknown" } };
  char text[32];

  for (guint i = 0; i < G_N_ELEMENTS (durations); i++)
    {
      commy_text_duration (text, sizeof text, durations[i].ns);
      g_assert_cmpstr (text, ==, durations[i].text);
    }
  commy_text_bytes (text, sizeof text, 65536, "");
  g_assert_cmpstr (text, ==, "64 KiB");
  commy_text_bytes (text, sizeof text, 1.5 * 1073741824, "/s");
  g_assert_cmpstr (text, ==, "1.5 GiB/s");
  commy_text_bytes (text, sizeof text, (double) G_MAXUINT64, "");
  g_assert_cmpstr (text, ==, "unlimited");
}

static void
requirements_of_nothing_change_nothing (void)
{
  g_autoptr (CommyRequirements) requirements = commy_requirements_new ();
  CommyDemand before = fixture_demand (), after = fixture_demand ();

  commy_demand_apply_requirements (&after, NULL);
  commy_demand_apply_requirements (&after, requirements);
  g_assert_cmpmem (&before, sizeof before, &after, sizeof after);
}

static void
limits_only_get_stricter (void)
{
  g_autoptr (CommyRequirements) requirements = commy_requirements_new ();
  CommyDemand demand = fixture_demand ();

  demand.min_security = COMMY_SECURITY_CONFIDENTIAL;
  demand.max_latency_ns = 1000;
  demand.min_throughput = 1000;
  commy_requirements_set_min_security (requirements, COMMY_SECURITY_KERNEL);
  commy_requirements_set_max_latency (requirements, 2000);
  commy_requirements_set_min_throughput (requirements, 500);
  commy_requirements_set_degradable (requirements, TRUE);
  commy_demand_apply_requirements (&demand, requirements);
  g_assert_cmpuint (demand.min_security, ==, COMMY_SECURITY_CONFIDENTIAL);
  g_assert_cmpstr (demand.min_security_origin, ==, "default");
  g_assert_cmpuint (demand.max_latency_ns, ==, 1000);
  g_assert_cmpuint (demand.min_throughput, ==, 1000);
  g_assert_cmpstr (demand.requirement_origin, ==, "default");
  /* what the keyfile limits is not the application's to miss */
  g_assert_false (demand.degradable);

  commy_requirements_set_min_security (requirements, COMMY_SECURITY_MUTUAL);
  commy_requirements_set_max_latency (requirements, 500);
  commy_requirements_set_min_throughput (requirements, 5000);
  commy_demand_apply_requirements (&demand, requirements);
  g_assert_cmpuint (demand.min_security, ==, COMMY_SECURITY_MUTUAL);
  g_assert_cmpstr (demand.min_security_origin, ==, "requirements");
  g_assert_cmpuint (demand.max_latency_ns, ==, 500);
  g_assert_cmpuint (demand.min_throughput, ==, 5000);
  g_assert_cmpstr (demand.requirement_origin, ==, "requirements");
}

static CommyDemand
preferring (CommyPreference set,
            const char *const *set_ids,
            CommyPreference wanted,
            const char *const *wanted_ids)
{
  g_autoptr (CommyRequirements) requirements = commy_requirements_new ();
  CommyDemand demand = fixture_demand ();

  demand.preference = set;
  demand.preference_origin = "file:1";
  g_assert_true (commy_id_list_set (&demand.transports, set_ids));
  commy_requirements_set_preference (requirements, wanted, wanted_ids);
  commy_demand_apply_requirements (&demand, requirements);
  return demand;
}

static void
preferences_only_get_narrower (void)
{
  CommyDemand demand;

  demand = preferring (COMMY_PREFER_LOCAL, NULL, COMMY_PREFER_NETWORK, NULL);
  g_assert_cmpint (demand.preference, ==, COMMY_PREFER_NETWORK);
  g_assert_cmpstr (demand.preference_origin, ==, "requirements");
  demand = preferring (COMMY_PREFER_LIST, tls_only, COMMY_PREFER_LOCAL, NULL);
  g_assert_cmpint (demand.preference, ==, COMMY_PREFER_LIST);
  g_assert_cmpstr (demand.preference_origin, ==, "file:1");
  demand = preferring (COMMY_PREFER_LIST, tls_only, COMMY_PREFER_LIST, tls_shm);
  g_assert_cmpuint (demand.transports.n, ==, 1);
  g_assert_cmpstr (demand.transports.id[0], ==, "tls");
  demand = preferring (COMMY_PREFER_LOCAL_ONLY, NULL, COMMY_PREFER_PIN, tls_only);
  g_assert_cmpint (demand.preference, ==, COMMY_PREFER_PIN);
  g_assert_cmpuint (demand.allowed_reach, ==, COMMY_REACH_SELF | COMMY_REACH_HOST);
  g_assert_cmpstr (demand.reach_origin, ==, "file:1");
  demand = preferring (COMMY_PREFER_PIN, tls_only, COMMY_PREFER_NETWORK_ONLY, NULL);
  g_assert_cmpint (demand.preference, ==, COMMY_PREFER_PIN);
  g_assert_cmpuint (demand.allowed_reach, ==, COMMY_REACH_NETWORK);
  demand = preferring (COMMY_PREFER_LOCAL_ONLY, NULL, COMMY_PREFER_NETWORK_ONLY, NULL);
  g_assert_cmpuint (demand.allowed_reach, ==, COMMY_REACH_NOTHING);
}

static void
nothing_in_common_allows_nothing (void)
{
  static const char *const quic_only[] = { "quic", NULL };
  CommyProfile shm = fixture_shm (), tls = fixture_tls ();
  CommyCandidate candidates[]
      = { fixture_candidate ("shm", &shm), fixture_candidate ("tls", &tls) };
  CommyAssessment assessments[2];
  CommyDemand demand;
  CommyPlan plan;

  demand = preferring (COMMY_PREFER_LOCAL_ONLY, NULL, COMMY_PREFER_NETWORK_ONLY, NULL);
  commy_route_decide (&demand, candidates, 2, assessments, &plan);
  g_assert_cmpint (plan.chosen, ==, -1);
  g_assert_cmpstr (assessments[0].rejection.required, ==, "local-only and network-only");
  demand = preferring (COMMY_PREFER_LIST, tls_shm, COMMY_PREFER_PIN, quic_only);
  commy_route_decide (&demand, candidates, 2, assessments, &plan);
  g_assert_cmpint (plan.chosen, ==, -1);
  g_assert_cmpstr (assessments[1].rejection.origin, ==, "requirements");
}

static void
id_lists_have_limits (void)
{
  static const char *const nine[] = { "a", "b", "c", "d", "e", "f", "g", "h", "i", NULL };
  static const char *const longest[] = { "1234567890123456789012345678901", NULL };
  static const char *const too_long[] = { "12345678901234567890123456789012", NULL };
  static const char *const empty[] = { "", NULL };
  CommyIdList list;

  g_assert_true (commy_id_list_set (&list, nine + 1));
  g_assert_cmpuint (list.n, ==, COMMY_MAX_LISTED);
  g_assert_false (commy_id_list_set (&list, nine));
  g_assert_cmpuint (list.n, ==, 0);
  g_assert_true (commy_id_list_set (&list, longest));
  g_assert_false (commy_id_list_set (&list, too_long));
  g_assert_false (commy_id_list_set (&list, empty));
}

static void
a_what_if_may_be_laxer (void)
{
  static const char *const changes[] = { "objective=cpu",
                                         "min-security=none",
                                         "transports=tls; shm",
                                         "max-latency=20us",
                                         "min-throughput=1000000",
                                         "ordered=false",
                                         NULL };
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyWhatIf) what_if = commy_what_if_new (changes, &error);
  g_autoptr (CommyWhatIf) copy = NULL;
  CommyDemand demand = fixture_demand ();

  g_assert_no_error (error);
  copy = commy_what_if_copy (what_if);
  demand.min_security = COMMY_SECURITY_MUTUAL;
  demand.max_latency_ns = 1;
  demand.allowed_reach = COMMY_REACH_NOTHING;
  commy_demand_apply_what_if (&demand, copy);
  g_assert_cmpint (demand.objective, ==, COMMY_OBJECTIVE_CPU);
  g_assert_cmpfloat (demand.weights.cpu, ==, 0.6);
  g_assert_cmpuint (demand.min_security, ==, COMMY_SECURITY_NONE);
  g_assert_cmpstr (demand.min_security_origin, ==, "what-if");
  g_assert_cmpint (demand.preference, ==, COMMY_PREFER_LIST);
  g_assert_cmpstr (demand.transports.id[1], ==, "shm");
  g_assert_cmpstr (demand.preference_origin, ==, "what-if");
  g_assert_cmpuint (demand.allowed_reach, ==, 0);
  g_assert_cmpuint (demand.max_latency_ns, ==, 20000);
  g_assert_cmpuint (demand.min_throughput, ==, 1000000);
  g_assert_false (demand.ordered);
}

static void
an_empty_what_if_changes_nothing (void)
{
  g_autoptr (CommyWhatIf) what_if = commy_what_if_new (NULL, NULL);
  CommyDemand before = fixture_demand (), after = fixture_demand ();

  g_assert_nonnull (what_if);
  commy_demand_apply_what_if (&after, what_if);
  commy_demand_apply_what_if (&after, NULL);
  g_assert_cmpmem (&before, sizeof before, &after, sizeof after);
}

static void
wrong_what_ifs_are_named (void)
{
  static const struct
  {
    const char *changes[3];
    const char *words;
  } cases[] = { { { "objectiv=cpu" }, "did you mean \"objective\"?" },
                { { "colour=red" }, "unknown what-if \"colour\"" },
                { { "" }, "has no value" },
                { { "=x" }, "unknown what-if" },
                { { "objective" }, "write NAME=VALUE" },
                { { "objective=" }, "value \"\" is not allowed" },
                { { "objective=speed" }, "value \"speed\" is not allowed" },
                { { "min-security=high" }, "\"min-security\"" },
                { { "max-latency=-5us" }, "\"max-latency\"" },
                { { "max-latency=soon" }, "\"max-latency\"" },
                { { "min-throughput=nan" }, "\"min-throughput\"" },
                { { "ordered=maybe" }, "\"ordered\"" },
                { { "transports=;;" }, "\"transports\"" },
                { { "transports=1;2;3;4;5;6;7;8;9" }, "\"transports\"" },
                { { "preference=list" }, "needs transports" },
                { { "preference=pin", "transports=a;b" }, "does not go with" },
                { { "preference=auto", "transports=a" }, "does not go with" },
                { { "ordered=true", "ordered=false" }, "given twice" } };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (commy_what_if_new (cases[i].changes, &error));
      g_assert_error (error, COMMY_ERROR, COMMY_ERROR_INVALID_ARGUMENT);
      if (strstr (error->message, cases[i].words) == NULL)
        g_error ("case %u: \"%s\" lacks \"%s\"", i, error->message, cases[i].words);
    }
}

static void
boxed_values_are_copies (void)
{
  g_autoptr (CommyRequirements) requirements = commy_requirements_new ();
  g_autoptr (CommyRequirements) copy = NULL;
  g_autoptr (CommyCallOptions) options = commy_call_options_new ();
  CommyCallOptions *boxed;

  commy_requirements_set_preference (requirements, COMMY_PREFER_LIST, tls_shm);
  commy_requirements_set_consistency (requirements, COMMY_CONSISTENCY_LINEARIZABLE);
  copy = commy_requirements_copy (requirements);
  commy_requirements_set_preference (requirements, COMMY_PREFER_AUTO, NULL);
  g_assert_cmpuint (copy->transports.n, ==, 2);
  g_assert_cmpint (copy->consistency, ==, COMMY_CONSISTENCY_LINEARIZABLE);

  g_assert_cmpint (options->timeout_us, ==, 10 * G_USEC_PER_SEC);
  commy_call_options_set_timeout (options, 5);
  commy_call_options_set_idempotent (options, 7);
  boxed = g_boxed_copy (COMMY_TYPE_CALL_OPTIONS, options);
  g_assert_cmpint (boxed->timeout_us, ==, 5);
  g_assert_cmpint (boxed->idempotent, ==, TRUE);
  g_boxed_free (COMMY_TYPE_CALL_OPTIONS, boxed);
  commy_call_options_set_timeout (options, -1);
  g_assert_cmpint (options->timeout_us, ==, 10 * G_USEC_PER_SEC);
  commy_requirements_free (NULL);
  commy_call_options_free (NULL);
  commy_what_if_free (NULL);
}

static void
impossible_settings_are_refused (void)
{
  g_autoptr (CommyRequirements) requirements = commy_requirements_new ();

  g_test_expect_message ("Commy", G_LOG_LEVEL_CRITICAL, "*list.n*");
  commy_requirements_set_preference (requirements, COMMY_PREFER_LIST, NULL);
  g_test_expect_message ("Commy", G_LOG_LEVEL_CRITICAL, "*list.n*");
  commy_requirements_set_preference (requirements, COMMY_PREFER_PIN, tls_shm);
  g_test_expect_message ("Commy", G_LOG_LEVEL_CRITICAL, "*security*");
  commy_requirements_set_min_security (requirements, (CommySecurity) 9);
  g_test_assert_expected_messages ();
  g_assert_cmpint (requirements->preference, ==, COMMY_PREFER_AUTO);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(PATH, FUNC) g_test_add_func ("/route/demand/" PATH, FUNC)
  ADD ("words-go-there-and-back", words_go_there_and_back);
  ADD ("numbers-read-well", numbers_read_well);
  ADD ("requirements-of-nothing-change-nothing", requirements_of_nothing_change_nothing);
  ADD ("limits-only-get-stricter", limits_only_get_stricter);
  ADD ("preferences-only-get-narrower", preferences_only_get_narrower);
  ADD ("nothing-in-common-allows-nothing", nothing_in_common_allows_nothing);
  ADD ("id-lists-have-limits", id_lists_have_limits);
  ADD ("a-what-if-may-be-laxer", a_what_if_may_be_laxer);
  ADD ("an-empty-what-if-changes-nothing", an_empty_what_if_changes_nothing);
  ADD ("wrong-what-ifs-are-named", wrong_what_ifs_are_named);
  ADD ("boxed-values-are-copies", boxed_values_are_copies);
  ADD ("impossible-settings-are-refused", impossible_settings_are_refused);
  return g_test_run ();
}
