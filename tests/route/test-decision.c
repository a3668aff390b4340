/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The record: what it says in the table, in the variant, in JSON and in one line; that it owns
 * what it shows.
 */
#include "config.h"

#include "route-fixture.h"
#include "route/commy-decision-log.h"
#include "route/commy-record.h"

typedef struct
{
  CommyProfile shm, tls, raw;
  CommyCalibration calibration;
  CommyCandidate candidates[3];
  CommyAssessment assessments[3];
  CommyDemand demand;
  CommyPlan plan;
  char origin[32];
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  f->shm = fixture_shm ();
  f->tls = fixture_tls ();
  f->raw = fixture_serializer (10, 0.01, 1);
  for (guint i = 0; i < 20; i++)
    commy_calibration_add (&f->calibration, 64, 2.5, 2, 1000);
  f->candidates[0] = fixture_candidate ("tls", &f->tls);
  f->candidates[1] = fixture_candidate ("shm", &f->shm);
  f->candidates[1].calibration = &f->calibration;
  f->candidates[2] = fixture_candidate ("udp", &f->tls);
  for (guint i = 0; i < 3; i++)
    {
      f->candidates[i].instance = "0123456789abcdef";
      f->candidates[i].serializer_profile = &f->raw;
    }
  g_strlcpy (f->origin, "site.conf:12", sizeof f->origin);
  f->candidates[2].known = (CommyRejection){
    .filter = COMMY_FILTER_ENABLED, .required = "enabled", .offered = "denied", .origin = f->origin
  };
  f->demand = fixture_demand ();
}

static CommyDecision *
decide (Fixture *f, gsize size)
{
  CommyDecision *decision;

  commy_route_decide (&f->demand, f->candidates, 3, f->assessments, &f->plan);
  decision = commy_decision_new ("orders", size, &f->demand, f->candidates, f->assessments, 3,
                                 &f->plan, "stays: is the best", "trust=any: for development only");
  /* Nothing of the caller's is needed any more. */
  memset (f->origin, 'x', sizeof f->origin - 1);
  memset (f->assessments, 0, sizeof f->assessments);
  return decision;
}

static void
getters_name_the_choice (Fixture *f, gconstpointer data)
{
  g_autoptr (CommyDecision) decision = decide (f, 64);
  g_autoptr (CommyDecision) boxed = g_boxed_copy (COMMY_TYPE_DECISION, decision);

  g_assert_true (boxed == decision);
  g_assert_cmpstr (commy_decision_get_transport (decision), ==, "shm");
  g_assert_cmpstr (commy_decision_get_serializer (decision), ==, "raw");
  g_assert_cmpstr (commy_decision_get_instance (decision), ==, "0123456789abcdef");
  g_assert_cmpfloat (commy_decision_get_confidence (decision), >, 0.99);
}

static void
the_table_has_everything (Fixture *f, gconstpointer data)
{
  static const char *const parts[]
      = { "orders  size ",
          "objective latency",
          "confidence ",
          "* shm+raw",
          "  01234567  ",
          "x1.25 (20)",
          "chosen",
          "refused: enabled",
          "udp+raw 01234567  enabled: required enabled, offered denied (site.conf:12)",
          "confidence: the probability that shm to 01234567 is the fastest of the 2 pairs of "
          "transport and instance allowed\n",
          "runner-up: tls+raw",
          "switch: stays: is the best\n",
          "note: trust=any: for development only\n" };
  g_autoptr (CommyDecision) decision = decide (f, 64);
  g_autofree char *text = commy_decision_to_string (decision);

  g_test_message ("%s", text);
  for (guint i = 0; i < G_N_ELEMENTS (parts); i++)
    if (strstr (text, parts[i]) == NULL)
      g_error ("\"%s\" is not in:\n%s", parts[i], text);
  g_assert_true (g_str_has_suffix (text, "\n"));
  g_assert_null (strstr (text, " \n"));
  /* the chosen one stands first, the refused one last */
  g_assert_true (strstr (text, "shm+raw") < strstr (text, "tls+raw"));
  g_assert_true (strstr (text, "tls+raw") < strstr (text, "udp+raw"));
}

/* Whose probability it is, and that the serializer is not what it is about. */
static void
the_meaning_of_the_confidence_is_told (Fixture *f, gconstpointer data)
{
  CommyProfile packed = f->raw;
  g_autoptr (CommyDecision) decision = NULL;
  g_autoptr (GVariant) variant = NULL;
  const char *text;

  f->candidates[0] = f->candidates[1];
  f->candidates[0].serializer = "packed";
  f->candidates[0].serializer_profile = &packed;
  decision = decide (f, 64);
  variant = commy_decision_to_variant (decision);
  g_assert_true (g_variant_lookup (variant, "confidence-meaning", "&s", &text));
  g_assert_cmpstr (text, ==,
                   "shm to 01234567 is the only transport and instance allowed; serializers tie");
  g_assert_cmpfloat (commy_decision_get_confidence (decision), ==, 1);
  g_clear_pointer (&decision, commy_decision_unref);
  g_clear_pointer (&variant, g_variant_unref);

  /* Another instance is another pair; a serializer that is far dearer ties with nobody. */
  packed.segments[0].send_cpu_ns = 1e6;
  f->candidates[2] = f->candidates[1];
  f->candidates[2].instance = "ffff";
  f->candidates[2].calibration = NULL;
  decision = decide (f, 64);
  variant = commy_decision_to_variant (decision);
  g_assert_true (g_variant_lookup (variant, "confidence-meaning", "&s", &text));
  g_assert_true (g_str_has_prefix (text, "the probability that shm to "));
  g_assert_true (
      g_str_has_suffix (text, " is the fastest of the 2 pairs of transport and instance allowed"));
}

static void
overrides_are_shown (Fixture *f, gconstpointer data)
{
  g_autoptr (CommyDecision) decision = NULL;
  g_autofree char *text = NULL;

  f->candidates[0].bias = 0.5;
  f->candidates[0].bias_origin = "site.conf:3";
  f->candidates[0].profile_origin = "site.conf:4";
  decision = decide (f, 64);
  text = commy_decision_to_string (decision);
  g_assert_nonnull (strstr (text, "bias: tls+raw x0.50 (site.conf:3)\n"));
  g_assert_nonnull (strstr (text, "profile: tls+raw set by site.conf:4\n"));
}

static void
the_variant_has_every_field (Fixture *f, gconstpointer data)
{
  g_autoptr (CommyDecision) decision = decide (f, 64);
  g_autoptr (GVariant) variant = commy_decision_to_variant (decision);
  g_autoptr (GVariant) candidates = NULL, rejections = NULL, sizes = NULL, row = NULL, cost = NULL;
  const char *text;
  double number;
  guint64 index;

  g_assert_false (g_variant_is_floating (variant));
  g_assert_true (g_variant_is_of_type (variant, G_VARIANT_TYPE_VARDICT));
  g_assert_true (g_variant_lookup (variant, "transport", "&s", &text));
  g_assert_cmpstr (text, ==, "shm");
  g_assert_true (g_variant_lookup (variant, "chosen", "t", &index));
  g_assert_cmpuint (index, ==, 1);
  candidates = g_variant_lookup_value (variant, "candidates", G_VARIANT_TYPE ("aa{sv}"));
  g_assert_cmpuint (g_variant_n_children (candidates), ==, 3);
  sizes = g_variant_lookup_value (variant, "sizes", G_VARIANT_TYPE ("aa{sv}"));
  g_assert_cmpuint (g_variant_n_children (sizes), ==, COMMY_SIZE_CLASSES);

  row = g_variant_get_child_value (candidates, 1);
  cost = g_variant_lookup_value (row, "cost", G_VARIANT_TYPE_VARDICT);
  g_assert_true (g_variant_lookup (cost, "t-latency-ns", "d", &number));
  g_assert_cmpfloat_with_epsilon (number, 150 + 120 + 0.13 * 64 + 20 + 0.02 * 64, 1e-6);
  g_assert_true (g_variant_lookup (row, "measured-ratio", "d", &number));
  g_assert_cmpfloat_with_epsilon (number, 1.25, 1e-6);

  rejections = g_variant_lookup_value (variant, "rejections", G_VARIANT_TYPE ("aa{sv}"));
  g_assert_cmpuint (g_variant_n_children (rejections), ==, 1);
  g_clear_pointer (&row, g_variant_unref);
  row = g_variant_get_child_value (rejections, 0);
  g_assert_true (g_variant_lookup (row, "field", "&s", &text));
  g_assert_cmpstr (text, ==, "enabled");
  g_assert_true (g_variant_lookup (row, "required", "&s", &text));
  g_assert_cmpstr (text, ==, "enabled");
  g_assert_true (g_variant_lookup (row, "offered", "&s", &text));
  g_assert_cmpstr (text, ==, "denied");
  g_assert_true (g_variant_lookup (row, "origin", "&s", &text));
  g_assert_cmpstr (text, ==, "site.conf:12");
}

static void
json_is_one_object (Fixture *f, gconstpointer data)
{
  g_autoptr (CommyDecision) decision = decide (f, 64);
  g_autofree char *json = commy_decision_to_json (decision);

  g_assert_true (g_str_has_prefix (json, "{"));
  g_assert_nonnull (strstr (json, "site.conf:12"));
}

static void
an_unordered_flow_answers_for_the_size (Fixture *f, gconstpointer data)
{
  f->demand.ordered = false;
  f->shm.max_message = 1 << 20;
  {
    g_autoptr (CommyDecision) small = decide (f, 64);
    g_autoptr (CommyDecision) big = decide (f, 2 << 20);

    g_assert_cmpstr (commy_decision_get_transport (small), ==, "shm");
    g_assert_cmpstr (commy_decision_get_transport (big), ==, "tls");
  }
}

static char *
summarise (Fixture *f)
{
  g_autoptr (CommyDecision) decision = decide (f, 64);

  return commy_decision_summary (decision);
}

static void
the_summary_says_what_is_missing (Fixture *f, gconstpointer data)
{
  g_autofree char *fine = summarise (f), *slow = NULL, *none = NULL;

  g_assert_true (g_str_has_prefix (fine, "shm+raw, expected "));
  f->demand.max_latency_ns = 100;
  slow = summarise (f);
  g_assert_cmpstr (slow, ==, "needs latency <= 100 ns; best allowed: shm 374 ns");
  f->demand.max_latency_ns = 0;
  g_strlcpy (f->origin, "site.conf:12", sizeof f->origin);
  f->demand.min_security = COMMY_SECURITY_MUTUAL;
  f->candidates[0].known = (CommyRejection){ .filter = COMMY_FILTER_REACHABLE,
                                             .offered = "not reachable",
                                             .origin = "tls: no route" };
  none = summarise (f);
  g_assert_cmpstr (none, ==,
                   "no candidate: tls: not reachable (tls: no route), shm: security authenticated, "
                   "required mutual (default), udp: denied (site.conf:12)");
}

static void
nobody_there_is_said_too (Fixture *f, gconstpointer data)
{
  g_autoptr (CommyDecision) decision = NULL;
  g_autofree char *text = NULL, *line = NULL, *json = NULL;

  commy_route_decide (&f->demand, f->candidates, 0, f->assessments, &f->plan);
  decision = commy_decision_new ("orders", 64, &f->demand, f->candidates, f->assessments, 0,
                                 &f->plan, NULL, NULL);
  text = commy_decision_to_string (decision);
  line = commy_decision_summary (decision);
  json = commy_decision_to_json (decision);
  g_assert_null (commy_decision_get_transport (decision));
  g_assert_null (commy_decision_get_serializer (decision));
  g_assert_null (commy_decision_get_instance (decision));
  g_assert_nonnull (strstr (text, "nothing is allowed"));
  g_assert_cmpstr (line, ==, "no candidate: nobody offers a way there");
  g_assert_nonnull (json);
}

/* --- the log of them --- */

/* One with so many candidates, which says its number. */
static CommyDecision *
decide_among (guint n_candidates, gsize number)
{
  g_autofree CommyCandidate *candidates = g_new0 (CommyCandidate, n_candidates);
  g_autofree CommyAssessment *assessments = g_new0 (CommyAssessment, n_candidates);
  const CommyDemand demand = fixture_demand ();
  const CommyPlan plan = { .chosen = -1 };

  for (guint i = 0; i < n_candidates; i++)
    candidates[i].transport = "shm";
  return commy_decision_new ("orders", number, &demand, candidates, assessments, n_candidates,
                             &plan, NULL, NULL);
}

static guint64
get_number (CommyDecision *decision)
{
  g_autoptr (GVariant) variant = commy_decision_to_variant (decision);
  guint64 size = 0;

  g_assert_true (g_variant_lookup (variant, "size", "t", &size));
  return size;
}

/* Adds @n of them, and looks at what is left: the last @expected, in order. */
static void
fill_log (guint n, guint n_candidates, guint expected)
{
  CommyDecisionLog log;
  g_autoptr (GPtrArray) left = NULL;

  commy_decision_log_init (&log);
  for (guint i = 0; i < n; i++)
    {
      g_autoptr (CommyDecision) decision = decide_among (n_candidates, i);

      commy_decision_log_add (&log, decision);
    }
  left = commy_decision_log_list (&log);
  commy_decision_log_clear (&log);
  g_assert_cmpuint (log.n_rows, ==, 0);
  g_assert_cmpuint (left->len, ==, expected);
  for (guint i = 0; i < expected; i++)
    g_assert_cmpuint (get_number (left->pdata[i]), ==, n - expected + i);
}

static void
the_log_keeps_the_last_ones (Fixture *f, gconstpointer data)
{
  fill_log (3, 2, 3);
  fill_log (COMMY_DECISION_LOG_MOST + 3, 2, COMMY_DECISION_LOG_MOST);
  fill_log (COMMY_DECISION_LOG_MOST + 3, 0, COMMY_DECISION_LOG_MOST);
}

static void
the_log_keeps_fewer_with_many_candidates (Fixture *f, gconstpointer data)
{
  const guint most = COMMY_ROUTE_MAX_CANDIDATES;

  fill_log (20, most, COMMY_DECISION_LOG_ROWS / most);
  fill_log (40, most / 2, COMMY_DECISION_LOG_ROWS / (most / 2));
  G_STATIC_ASSERT (COMMY_ROUTE_MAX_CANDIDATES <= COMMY_DECISION_LOG_ROWS);
}

/* Candidates mostly say the same: that is kept once. */
static void
a_string_is_kept_once (Fixture *f, gconstpointer data)
{
  g_autoptr (CommyDecision) decision = NULL;

  f->candidates[0].measured = f->candidates[1].measured = "36 round trips";
  decision = decide (f, 64);
  g_assert_true (decision->rows[0].instance == decision->rows[1].instance);
  g_assert_true (decision->rows[0].measured == decision->rows[1].measured);
  g_assert_true (decision->rows[0].measured != f->candidates[0].measured);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(PATH, FUNC) g_test_add ("/route/decision/" PATH, Fixture, NULL, set_up, FUNC, NULL)
  ADD ("getters-name-the-choice", getters_name_the_choice);
  ADD ("the-table-has-everything", the_table_has_everything);
  ADD ("the-meaning-of-the-confidence-is-told", the_meaning_of_the_confidence_is_told);
  ADD ("overrides-are-shown", overrides_are_shown);
  ADD ("the-variant-has-every-field", the_variant_has_every_field);
  ADD ("json-is-one-object", json_is_one_object);
  ADD ("an-unordered-flow-answers-for-the-size", an_unordered_flow_answers_for_the_size);
  ADD ("the-summary-says-what-is-missing", the_summary_says_what_is_missing);
  ADD ("nobody-there-is-said-too", nobody_there_is_said_too);
  ADD ("the-log-keeps-the-last-ones", the_log_keeps_the_last_ones);
  ADD ("the-log-keeps-fewer-with-many-candidates", the_log_keeps_fewer_with_many_candidates);
  ADD ("a-string-is-kept-once", a_string_is_kept_once);
  return g_test_run ();
}
