/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The record of a decision: a copy of everything that was decided on, as an immutable, shared
 * object, and as a variant with every field. The table for people is in commy-explain.c.
 */
#include "config.h"

#include "base/commy-json.h"
#include "route/commy-record.h"
#include "route/commy-route-private.h"

#include <math.h>
#include <string.h>

#define SHORT_INSTANCE 8
#define STRINGS_BLOCK 1024 /* bytes */

G_DEFINE_BOXED_TYPE (CommyDecision, commy_decision, commy_decision_ref, commy_decision_unref)

/* --- making --- */

static void
cost_row (CommyRecordRow *row,
          const CommyDemand *demand,
          const CommyCandidate *candidate,
          gsize size,
          guint size_class)
{
  const CommyPosterior *posterior = &row->assessment.posterior[size_class];

  row->has_profile = TRUE;
  row->provenance = candidate->transport_profile->provenance;
  commy_cost_compute (candidate->transport_profile, candidate->serializer_profile, size,
                      &row->cost);
  row->claimed_ns = commy_candidate_claimed (candidate, &demand->weights, size);
  row->expected_ns = commy_candidate_expected (demand, candidate, posterior, row->claimed_ns);
  row->score_ns = commy_candidate_score (demand, posterior, row->expected_ns);
  row->latency_ns = row->assessment.latency_ns;
  row->throughput = row->assessment.throughput;
}

static const char *
keep (GStringChunk *strings, const char *text)
{
  return text != NULL ? g_string_chunk_insert_const (strings, text) : NULL;
}

static void
fill_row (CommyRecordRow *row,
          GStringChunk *strings,
          const CommyDemand *demand,
          const CommyCandidate *candidate,
          const CommyAssessment *assessment,
          gsize size,
          guint size_class)
{
  row->instance = keep (strings, candidate->instance != NULL ? candidate->instance : "");
  row->transport = keep (strings, candidate->transport);
  row->serializer = keep (strings, candidate->serializer);
  row->bias_origin = keep (strings, candidate->bias_origin);
  row->profile_origin = keep (strings, candidate->profile_origin);
  row->measured = keep (strings, candidate->measured);
  row->security = candidate->security;
  row->reach = candidate->reach;
  row->level = candidate->level;
  row->connected = candidate->connected;
  row->bias = candidate->bias > 0 ? candidate->bias : 1;
  row->assessment = *assessment;
  row->assessment.rejection.origin = assessment->rejection.filter != COMMY_FILTER_NONE
                                         ? keep (strings, assessment->rejection.origin)
                                         : NULL;
  if (candidate->transport_profile != NULL)
    cost_row (row, demand, candidate, size, size_class);
}

static void
copy_demand (CommyDecision *decision, const CommyDemand *demand)
{
  decision->demand = *demand;
  decision->demand.min_security_origin = g_intern_string (demand->min_security_origin);
  decision->demand.preference_origin = g_intern_string (demand->preference_origin);
  decision->demand.reach_origin = g_intern_string (demand->reach_origin);
  decision->demand.requirement_origin = g_intern_string (demand->requirement_origin);
}

static void
pick_for_size (CommyDecision *decision, const CommyPlan *plan)
{
  guint c = decision->size_class;

  decision->chosen = decision->size <= plan->split[c] ? plan->lo[c] : plan->hi[c];
  decision->runner_up = decision->demand.ordered ? plan->runner_up : plan->second[c];
  decision->confidence = decision->demand.ordered ? plan->confidence : plan->class_confidence[c];
  /* The flow's choice may have another serializer at this size. */
  if (decision->runner_up == decision->chosen)
    decision->runner_up = plan->second[c];
}

CommyDecision *
commy_decision_new (const char *service,
                    gsize size,
                    const CommyDemand *demand,
                    const CommyCandidate *candidates,
                    const CommyAssessment *assessments,
                    guint n,
                    const CommyPlan *plan,
                    const char *switch_text,
                    const char *notes)
{
  CommyDecision *decision = g_new0 (CommyDecision, 1);

  g_atomic_ref_count_init (&decision->ref_count);
  decision->service = g_strdup (service != NULL ? service : "");
  decision->size = size;
  decision->size_class = commy_size_class (size);
  decision->plan = *plan;
  decision->n_rows = MIN (n, COMMY_ROUTE_MAX_CANDIDATES);
  decision->rows = g_new0 (CommyRecordRow, decision->n_rows);
  decision->strings = g_string_chunk_new (STRINGS_BLOCK);
  decision->switch_text = g_strdup (switch_text);
  decision->notes = g_strdup (notes);
  copy_demand (decision, demand);
  for (guint i = 0; i < decision->n_rows; i++)
    fill_row (&decision->rows[i], decision->strings, demand, &candidates[i], &assessments[i], size,
              decision->size_class);
  pick_for_size (decision, plan);
  return decision;
}

CommyDecision *
commy_decision_ref (CommyDecision *decision)
{
  g_return_val_if_fail (decision != NULL, NULL);

  g_atomic_ref_count_inc (&decision->ref_count);
  return decision;
}

void
commy_decision_unref (CommyDecision *decision)
{
  if (decision == NULL || !g_atomic_ref_count_dec (&decision->ref_count))
    return;
  g_free (decision->rows);
  g_string_chunk_free (decision->strings);
  g_free (decision->service);
  g_free (decision->switch_text);
  g_free (decision->notes);
  g_free (decision);
}

/* --- reading --- */

guint
commy_decision_count_rows (const CommyDecision *decision)
{
  return decision->n_rows;
}

const CommyRecordRow *
commy_record_chosen (const CommyDecision *decision)
{
  return decision->chosen >= 0 ? &decision->rows[decision->chosen] : NULL;
}

gboolean
commy_record_has_levels (const CommyDecision *decision)
{
  for (guint i = 1; i < decision->n_rows; i++)
    if (decision->rows[i].level != decision->rows[0].level)
      return TRUE;
  return FALSE;
}

gboolean
commy_record_is_allowed (const CommyRecordRow *row)
{
  return row->assessment.rejection.filter == COMMY_FILTER_NONE;
}

char *
commy_record_stack (const CommyRecordRow *row)
{
  if (row->serializer == NULL)
    return g_strdup (row->transport);
  return g_strconcat (row->transport, "+", row->serializer, NULL);
}

char *
commy_record_instance (const CommyRecordRow *row)
{
  return g_utf8_substring (row->instance, 0,
                           MIN (g_utf8_strlen (row->instance, -1), SHORT_INSTANCE));
}

static gboolean
same_way (const CommyRecordRow *a, const CommyRecordRow *b)
{
  return strcmp (a->transport, b->transport) == 0 && strcmp (a->instance, b->instance) == 0;
}

/* How many pairs of instance and transport are allowed. */
static guint
count_ways (const CommyDecision *decision)
{
  guint n = 0;

  for (guint i = 0; i < decision->n_rows; i++)
    {
      gboolean is_new = commy_record_is_allowed (&decision->rows[i]);

      for (guint j = 0; is_new && j < i; j++)
        is_new = !commy_record_is_allowed (&decision->rows[j])
                 || !same_way (&decision->rows[i], &decision->rows[j]);
      n += is_new;
    }
  return n;
}

/* Whether another serializer of the chosen way is as good. */
static gboolean
serializers_tie (const CommyDecision *decision)
{
  const CommyRecordRow *chosen = commy_record_chosen (decision);

  for (guint i = 0; i < decision->n_rows; i++)
    {
      const CommyRecordRow *row = &decision->rows[i];

      if (row != chosen && chosen->assessment.tied && row->assessment.tied
          && same_way (row, chosen))
        return TRUE;
    }
  return FALSE;
}

char *
commy_record_confidence (const CommyDecision *decision)
{
  const CommyRecordRow *chosen = commy_record_chosen (decision);
  g_autofree char *instance = NULL;
  const char *tie;
  guint n;

  if (chosen == NULL)
    return NULL;
  instance = commy_record_instance (chosen);
  tie = serializers_tie (decision) ? "; serializers tie" : "";
  n = count_ways (decision);
  if (n == 1)
    return g_strdup_printf ("%s to %s is the only transport and instance allowed%s",
                            chosen->transport, instance, tie);
  return g_strdup_printf ("the probability that %s to %s is the fastest of the %u pairs of "
                          "transport and instance allowed%s",
                          chosen->transport, instance, n, tie);
}

const char *
commy_decision_get_transport (CommyDecision *decision)
{
  g_return_val_if_fail (decision != NULL, NULL);

  return decision->chosen >= 0 ? commy_record_chosen (decision)->transport : NULL;
}

const char *
commy_decision_get_serializer (CommyDecision *decision)
{
  g_return_val_if_fail (decision != NULL, NULL);

  return decision->chosen >= 0 ? commy_record_chosen (decision)->serializer : NULL;
}

const char *
commy_decision_get_instance (CommyDecision *decision)
{
  g_return_val_if_fail (decision != NULL, NULL);

  return decision->chosen >= 0 ? commy_record_chosen (decision)->instance : NULL;
}

double
commy_decision_get_confidence (CommyDecision *decision)
{
  g_return_val_if_fail (decision != NULL, 0);

  return decision->confidence;
}

/* --- as a variant --- */

static void
add_string (GVariantBuilder *builder, const char *key, const char *value)
{
  if (value != NULL)
    g_variant_builder_add (builder, "{sv}", key, g_variant_new_string (value));
}

static void
add_double (GVariantBuilder *builder, const char *key, double value)
{
  g_variant_builder_add (builder, "{sv}", key, g_variant_new_double (value));
}

static void
add_uint (GVariantBuilder *builder, const char *key, guint64 value)
{
  g_variant_builder_add (builder, "{sv}", key, g_variant_new_uint64 (value));
}

static void
add_bool (GVariantBuilder *builder, const char *key, gboolean value)
{
  g_variant_builder_add (builder, "{sv}", key, g_variant_new_boolean (value));
}

/* The index of a row, only where there is one. */
static void
add_row (GVariantBuilder *builder, const char *key, gint row)
{
  if (row >= 0)
    add_uint (builder, key, (guint64) row);
}

static void
add_names (GVariantBuilder *builder, const CommyRecordRow *row)
{
  add_string (builder, "instance", row->instance);
  add_string (builder, "transport", row->transport);
  add_string (builder, "serializer", row->serializer);
}

static const char *
reach_to_string (guint reach)
{
  return reach == COMMY_REACH_SELF      ? "self"
         : reach == COMMY_REACH_HOST    ? "host"
         : reach == COMMY_REACH_NETWORK ? "network"
                                        : "unknown";
}

static const char *
provenance_to_string (guint provenance)
{
  static const char *const names[]
      = { "guess", "derived", "measured-elsewhere", "measured-here", "operator" };

  return provenance < G_N_ELEMENTS (names) ? names[provenance] : "unknown";
}

static GVariant *
cost_to_variant (const CommyCost *cost)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  add_double (&builder, "wire-bytes", cost->wire_bytes);
  add_double (&builder, "encode-ns", cost->encode_ns);
  add_double (&builder, "send-cpu-ns", cost->send_cpu_ns);
  add_double (&builder, "wire-ns", cost->wire_ns);
  add_double (&builder, "latency-ns", cost->latency_ns);
  add_double (&builder, "receive-cpu-ns", cost->recv_cpu_ns);
  add_double (&builder, "decode-ns", cost->decode_ns);
  add_double (&builder, "t-latency-ns", cost->t_latency_ns);
  add_double (&builder, "t-throughput-ns", cost->t_throughput_ns);
  add_double (&builder, "t-cpu-ns", cost->t_cpu_ns);
  return g_variant_builder_end (&builder);
}

static GVariant *
rejection_to_variant (const CommyRecordRow *row, gboolean with_names)
{
  const CommyRejection *rejection = &row->assessment.rejection;
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  if (with_names)
    add_names (&builder, row);
  add_string (&builder, "field", commy_filter_to_string (rejection->filter));
  add_string (&builder, "required", rejection->required);
  add_string (&builder, "offered", rejection->offered);
  add_string (&builder, "origin", rejection->origin);
  return g_variant_builder_end (&builder);
}

static void
add_posterior (GVariantBuilder *builder, const CommyPosterior *posterior)
{
  add_double (builder, "measured-ratio", posterior->ratio);
  add_double (builder, "samples", posterior->samples);
  add_double (builder, "posterior-mean", posterior->factor > 0 ? log (posterior->factor) : 0);
  add_double (builder, "posterior-sd", posterior->sd);
  add_bool (builder, "contradicted", posterior->contradicted);
}

static GVariant *
row_sizes_to_variant (const CommyRecordRow *row)
{
  GVariantBuilder sizes;

  g_variant_builder_init (&sizes, G_VARIANT_TYPE ("aa{sv}"));
  for (guint c = 0; c < COMMY_SIZE_CLASSES; c++)
    {
      GVariantBuilder builder;

      g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
      add_uint (&builder, "size", commy_size_class_representative (c));
      add_double (&builder, "claimed-ns", row->assessment.claimed_ns[c]);
      add_double (&builder, "expected-ns", row->assessment.expected_ns[c]);
      add_double (&builder, "score-ns", row->assessment.score[c]);
      add_posterior (&builder, &row->assessment.posterior[c]);
      g_variant_builder_add_value (&sizes, g_variant_builder_end (&builder));
    }
  return g_variant_builder_end (&sizes);
}

static GVariant *
row_to_variant (const CommyDecision *decision, guint i)
{
  const CommyRecordRow *row = &decision->rows[i];
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  add_names (&builder, row);
  add_bool (&builder, "allowed", commy_record_is_allowed (row));
  add_bool (&builder, "chosen", (gint) i == decision->chosen);
  add_bool (&builder, "degraded", row->assessment.degraded);
  add_bool (&builder, "tied", row->assessment.tied);
  add_string (&builder, "security", commy_security_to_string (row->security));
  add_string (&builder, "reach", reach_to_string (row->reach));
  if (commy_record_has_levels (decision))
    add_string (&builder, "level", commy_level_to_string (row->level));
  add_bool (&builder, "connected", row->connected);
  add_double (&builder, "bias", row->bias);
  add_string (&builder, "bias-origin", row->bias_origin);
  add_string (&builder, "profile-origin", row->profile_origin);
  add_string (&builder, "measured", row->measured);
  if (row->has_profile)
    {
      add_string (&builder, "provenance", provenance_to_string (row->provenance));
      add_double (&builder, "claimed-ns", row->claimed_ns);
      add_double (&builder, "expected-ns", row->expected_ns);
      add_double (&builder, "score-ns", row->score_ns);
      add_double (&builder, "flow-score-ns", row->assessment.flow_score);
      add_double (&builder, "expected-latency-ns", row->latency_ns);
      add_double (&builder, "expected-throughput", row->throughput);
      add_posterior (&builder, &row->assessment.posterior[decision->size_class]);
      g_variant_builder_add (&builder, "{sv}", "cost", cost_to_variant (&row->cost));
      g_variant_builder_add (&builder, "{sv}", "sizes", row_sizes_to_variant (row));
    }
  if (!commy_record_is_allowed (row))
    g_variant_builder_add (&builder, "{sv}", "rejection", rejection_to_variant (row, FALSE));
  return g_variant_builder_end (&builder);
}

static GVariant *
ids_to_variant (const CommyIdList *list)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_STRING_ARRAY);
  for (guint i = 0; i < list->n; i++)
    g_variant_builder_add (&builder, "s", list->id[i]);
  return g_variant_builder_end (&builder);
}

static GVariant *
demand_to_variant (const CommyDemand *demand)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  add_string (&builder, "objective", commy_objective_to_string (demand->objective));
  add_double (&builder, "weight-latency", demand->weights.latency);
  add_double (&builder, "weight-throughput", demand->weights.throughput);
  add_double (&builder, "weight-cpu", demand->weights.cpu);
  add_string (&builder, "min-security", commy_security_to_string (demand->min_security));
  add_string (&builder, "min-security-origin", demand->min_security_origin);
  add_string (&builder, "preference", commy_preference_to_string (demand->preference));
  add_string (&builder, "preference-origin", demand->preference_origin);
  g_variant_builder_add (&builder, "{sv}", "transports", ids_to_variant (&demand->transports));
  g_variant_builder_add (&builder, "{sv}", "prefer", ids_to_variant (&demand->prefer));
  add_uint (&builder, "max-latency-ns", demand->max_latency_ns);
  add_uint (&builder, "min-throughput", demand->min_throughput);
  add_string (&builder, "requirement-origin", demand->requirement_origin);
  add_bool (&builder, "ordered", demand->ordered);
  add_bool (&builder, "degradable", demand->degradable);
  add_double (&builder, "tie-band", demand->tie_band);
  add_double (&builder, "switch-margin", demand->switch_margin);
  return g_variant_builder_end (&builder);
}

static GVariant *
plan_to_variant (const CommyDecision *decision)
{
  const CommyPlan *plan = &decision->plan;
  GVariantBuilder sizes;

  g_variant_builder_init (&sizes, G_VARIANT_TYPE ("aa{sv}"));
  for (guint c = 0; c < COMMY_SIZE_CLASSES; c++)
    {
      GVariantBuilder builder;

      g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
      add_uint (&builder, "up-to", commy_size_class_upper (c));
      add_double (&builder, "share", decision->demand.share[c]);
      add_row (&builder, "below", plan->lo[c]);
      add_row (&builder, "above", plan->hi[c]);
      add_uint (&builder, "split", plan->split[c]);
      add_row (&builder, "second", plan->second[c]);
      add_double (&builder, "confidence", plan->class_confidence[c]);
      g_variant_builder_add_value (&sizes, g_variant_builder_end (&builder));
    }
  return g_variant_builder_end (&sizes);
}

static void
add_choice (GVariantBuilder *builder, const CommyDecision *decision)
{
  const CommyRecordRow *chosen = commy_record_chosen (decision);

  g_autofree char *meaning = commy_record_confidence (decision);

  add_double (builder, "confidence", decision->confidence);
  add_string (builder, "confidence-meaning", meaning);
  if (chosen == NULL)
    return;
  add_names (builder, chosen);
  add_row (builder, "chosen", decision->chosen);
  add_row (builder, "runner-up", decision->runner_up);
  add_bool (builder, "degraded", chosen->assessment.degraded);
  add_double (builder, "expected-ns", chosen->expected_ns);
  add_double (builder, "expected-latency-ns", chosen->latency_ns);
  add_double (builder, "expected-throughput", chosen->throughput);
}

GVariant *
commy_decision_to_variant (CommyDecision *decision)
{
  GVariantBuilder builder, rows, rejections;

  g_return_val_if_fail (decision != NULL, NULL);

  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_init (&rows, G_VARIANT_TYPE ("aa{sv}"));
  g_variant_builder_init (&rejections, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < decision->n_rows; i++)
    {
      g_variant_builder_add_value (&rows, row_to_variant (decision, i));
      if (!commy_record_is_allowed (&decision->rows[i]))
        g_variant_builder_add_value (&rejections, rejection_to_variant (&decision->rows[i], TRUE));
    }
  add_string (&builder, "service", decision->service);
  add_uint (&builder, "size", decision->size);
  add_choice (&builder, decision);
  g_variant_builder_add (&builder, "{sv}", "demand", demand_to_variant (&decision->demand));
  g_variant_builder_add (&builder, "{sv}", "candidates", g_variant_builder_end (&rows));
  g_variant_builder_add (&builder, "{sv}", "rejections", g_variant_builder_end (&rejections));
  g_variant_builder_add (&builder, "{sv}", "sizes", plan_to_variant (decision));
  add_string (&builder, "switch", decision->switch_text);
  add_string (&builder, "notes", decision->notes);
  return g_variant_ref_sink (g_variant_builder_end (&builder));
}

char *
commy_decision_to_json (CommyDecision *decision)
{
  g_autoptr (GVariant) variant = NULL;

  g_return_val_if_fail (decision != NULL, NULL);

  variant = commy_decision_to_variant (decision);
  return commy_json_print (variant, 2);
}
