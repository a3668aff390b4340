/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A decision for people: the table of candidates with what was claimed, measured and expected,
 * why the others were refused, and one line for error messages.
 */
#include "config.h"

#include "base/commy-units.h"
#include "route/commy-record.h"
#include "route/commy-route-private.h"

#include <stdlib.h>
#include <string.h>

#define COLUMNS 6
#define MAX_NAMED 8 /* refusals in one line */

/* --- a table whose columns are as wide as they must be --- */

typedef char *Line[COLUMNS];

static void
print_table (GString *out, Line *lines, guint n)
{
  glong widths[COLUMNS] = { 0 };

  for (guint i = 0; i < n; i++)
    for (guint c = 0; c < COLUMNS; c++)
      widths[c] = MAX (widths[c], g_utf8_strlen (lines[i][c], -1));
  for (guint i = 0; i < n; i++)
    {
      for (guint c = 0; c < COLUMNS; c++)
        {
          glong pad = widths[c] - g_utf8_strlen (lines[i][c], -1);

          g_string_append (out, lines[i][c]);
          for (glong p = 0; c + 1 < COLUMNS && p < pad + 2; p++)
            g_string_append_c (out, ' ');
        }
      while (out->len > 0 && out->str[out->len - 1] == ' ')
        g_string_truncate (out, out->len - 1);
      g_string_append_c (out, '\n');
    }
}

static void
clear_table (Line *lines, guint n)
{
  for (guint i = 0; i < n; i++)
    for (guint c = 0; c < COLUMNS; c++)
      g_free (lines[i][c]);
  g_free (lines);
}

/* Two digits after the point in every locale. */
static char *
dup_fixed (double value)
{
  char text[G_ASCII_DTOSTR_BUF_SIZE];

  return g_strdup (g_ascii_formatd (text, sizeof text, "%.2f", value));
}

/* --- cells --- */

static char *
measured_cell (const CommyRecordRow *row, guint size_class)
{
  const CommyPosterior *posterior = &row->assessment.posterior[size_class];
  g_autofree char *ratio = NULL;

  if (!row->has_profile || posterior->samples <= 0)
    return g_strdup ("-");
  ratio = dup_fixed (posterior->ratio);
  return g_strdup_printf ("x%s (%.0f)", ratio, posterior->samples);
}

static const char *
claim_remark (const CommyRecordRow *row, guint size_class)
{
  if (row->assessment.posterior[size_class].contradicted)
    return ", claim contradicted";
  if (row->provenance == COMMY_PROVENANCE_OPERATOR)
    return ", claim set by the operator";
  return "";
}

static char *
verdict_cell (const CommyDecision *decision, guint i)
{
  const CommyRecordRow *row = &decision->rows[i];
  const CommyRecordRow *chosen = commy_record_chosen (decision);
  const char *remark = claim_remark (row, decision->size_class);
  g_autofree char *factor = NULL;

  if (!commy_record_is_allowed (row))
    return g_strdup_printf ("refused: %s",
                            commy_filter_to_string (row->assessment.rejection.filter));
  if (row == chosen)
    return g_strdup_printf ("chosen%s%s%s", row->assessment.degraded ? ", degraded" : "",
                            row->assessment.tied ? ", of a tie" : "", remark);
  if (chosen == NULL || chosen->expected_ns <= 0)
    return g_strdup_printf ("allowed%s", remark);
  factor = dup_fixed (row->expected_ns / chosen->expected_ns);
  return g_strdup_printf ("x%s%s%s", factor, row->assessment.tied ? ", tied" : "", remark);
}

static char *
duration_cell (const CommyRecordRow *row, double ns)
{
  return row->has_profile ? commy_format_duration (ns) : g_strdup ("-");
}

static char *
instance_cell (const CommyDecision *decision, const CommyRecordRow *row)
{
  g_autofree char *instance = commy_record_instance (row);

  if (!commy_record_has_levels (decision))
    return g_steal_pointer (&instance);
  return g_strdup_printf ("%s (%s)", instance, commy_level_to_string (row->level));
}

static void
fill_line (Line line, const CommyDecision *decision, guint i)
{
  const CommyRecordRow *row = &decision->rows[i];
  g_autofree char *stack = commy_record_stack (row);

  line[0] = g_strdup_printf ("%c %s", (gint) i == decision->chosen ? '*' : ' ', stack);
  line[1] = instance_cell (decision, row);
  line[2] = duration_cell (row, row->claimed_ns);
  line[3] = measured_cell (row, decision->size_class);
  line[4] = duration_cell (row, row->expected_ns);
  line[5] = verdict_cell (decision, i);
}

/* --- parts --- */

/* Chosen, allowed by rank, refused as they came. */
static gint
compare_rows (gconstpointer a, gconstpointer b, gpointer data)
{
  const CommyDecision *decision = data;
  guint i = *(const guint *) a, j = *(const guint *) b;
  const CommyRecordRow *x = &decision->rows[i], *y = &decision->rows[j];
  gboolean x_allowed = commy_record_is_allowed (x), y_allowed = commy_record_is_allowed (y);

  if ((gint) i == decision->chosen || (gint) j == decision->chosen)
    return (gint) i == decision->chosen ? -1 : 1;
  if (x_allowed != y_allowed)
    return x_allowed ? -1 : 1;
  if (x_allowed && x->score_ns != y->score_ns)
    return x->score_ns < y->score_ns ? -1 : 1;
  return i < j ? -1 : i > j;
}

static guint *
order_rows (CommyDecision *decision)
{
  guint *order = g_new (guint, decision->n_rows + 1);

  for (guint i = 0; i < decision->n_rows; i++)
    order[i] = i;
  g_qsort_with_data (order, (gint) decision->n_rows, sizeof *order, compare_rows, decision);
  return order;
}

static void
print_header (GString *out, const CommyDecision *decision)
{
  g_autofree char *size = commy_format_size (decision->size);
  g_autofree char *confidence = dup_fixed (decision->confidence);

  g_string_append_printf (out, "%s  size %s  objective %s", decision->service, size,
                          commy_objective_to_string (decision->demand.objective));
  if (decision->demand.preference != COMMY_PREFER_AUTO)
    g_string_append_printf (out, "  preference %s",
                            commy_preference_to_string (decision->demand.preference));
  if (decision->chosen >= 0)
    g_string_append_printf (out, "  confidence %s\n", confidence);
  else
    g_string_append (out, "  nothing is allowed\n");
}

/* What the number means: people take it for certainty about the whole stack. */
static void
print_confidence (GString *out, const CommyDecision *decision)
{
  g_autofree char *meaning = commy_record_confidence (decision);

  if (meaning != NULL)
    g_string_append_printf (out, "confidence: %s\n", meaning);
}

static void
print_candidates (GString *out, const CommyDecision *decision, const guint *order)
{
  static const char *const titles[COLUMNS]
      = { "  candidate", "instance", "claimed", "measured", "expected", "verdict" };
  guint n = decision->n_rows + 1;
  Line *lines = g_new0 (Line, n);

  for (guint c = 0; c < COLUMNS; c++)
    lines[0][c] = g_strdup (titles[c]);
  for (guint i = 0; i < decision->n_rows; i++)
    fill_line (lines[i + 1], decision, order[i]);
  print_table (out, lines, n);
  clear_table (lines, n);
}

static void
print_rejections (GString *out, const CommyDecision *decision, const guint *order)
{
  gboolean any = FALSE;

  for (guint i = 0; i < decision->n_rows; i++)
    {
      const CommyRecordRow *row = &decision->rows[order[i]];
      const CommyRejection *rejection = &row->assessment.rejection;
      g_autofree char *stack = commy_record_stack (row);
      g_autofree char *instance = commy_record_instance (row);

      if (commy_record_is_allowed (row))
        continue;
      g_string_append_printf (out, "%s  %s %s  %s: required %s, offered %s (%s)\n",
                              any ? "" : "refused:\n", stack, instance,
                              commy_filter_to_string (rejection->filter), rejection->required,
                              rejection->offered, rejection->origin);
      any = TRUE;
    }
}

/* One line for each transport to each instance. */
static gboolean
is_first_of_way (const CommyDecision *decision, const guint *order, guint at)
{
  const CommyRecordRow *row = &decision->rows[order[at]];

  for (guint i = 0; i < at; i++)
    if (strcmp (decision->rows[order[i]].transport, row->transport) == 0
        && strcmp (decision->rows[order[i]].instance, row->instance) == 0)
      return FALSE;
  return TRUE;
}

/* What was measured of whom, in which sizes, and whose claim is dropped. */
static void
print_measured (GString *out, const CommyDecision *decision, const guint *order)
{
  for (guint i = 0; i < decision->n_rows; i++)
    {
      const CommyRecordRow *row = &decision->rows[order[i]];
      g_autofree char *instance = commy_record_instance (row);

      if (row->measured == NULL || !is_first_of_way (decision, order, i))
        continue;
      g_string_append_printf (out, "measured: %s to %s  %s", row->transport, instance,
                              row->measured);
      for (guint c = 0; c < COMMY_SIZE_CLASSES; c++)
        {
          const CommyPosterior *posterior = &row->assessment.posterior[c];
          g_autofree char *size = commy_format_size (commy_size_class_representative (c));
          g_autofree char *ratio = dup_fixed (posterior->ratio);

          if (posterior->samples > 0)
            g_string_append_printf (out, "; %s x%s%s", size, ratio,
                                    posterior->contradicted ? ", claim dropped" : "");
        }
      g_string_append_c (out, '\n');
    }
}

/* What keyfiles did to the numbers. */
static void
print_overrides (GString *out, const CommyDecision *decision, const guint *order)
{
  for (guint i = 0; i < decision->n_rows; i++)
    {
      const CommyRecordRow *row = &decision->rows[order[i]];
      g_autofree char *stack = commy_record_stack (row);
      g_autofree char *bias = dup_fixed (row->bias);

      if (row->bias != 1)
        g_string_append_printf (out, "bias: %s x%s (%s)\n", stack, bias,
                                row->bias_origin != NULL ? row->bias_origin : "default");
      if (row->profile_origin != NULL)
        g_string_append_printf (out, "profile: %s set by %s\n", stack, row->profile_origin);
    }
}

static void
print_runner_up (GString *out, const CommyDecision *decision)
{
  const CommyRecordRow *chosen = commy_record_chosen (decision), *second;
  g_autofree char *stack = NULL, *expected = NULL, *margin = NULL;

  if (chosen == NULL || decision->runner_up < 0)
    return;
  second = &decision->rows[decision->runner_up];
  stack = commy_record_stack (second);
  expected = commy_format_duration (second->expected_ns);
  if (chosen->expected_ns > 0)
    margin = dup_fixed (second->expected_ns / chosen->expected_ns);
  g_string_append_printf (out, "runner-up: %s at %s, x%s of the chosen\n", stack, expected,
                          margin != NULL ? margin : "?");
}

/* Where inside the asked size's class another stack takes over. */
static void
print_split (GString *out, const CommyDecision *decision)
{
  const CommyPlan *plan = &decision->plan;
  guint c = decision->size_class;
  g_autofree char *below = NULL, *above = NULL;

  if (decision->chosen < 0 || plan->lo[c] == plan->hi[c])
    return;
  below = commy_record_stack (&decision->rows[plan->lo[c]]);
  above = commy_record_stack (&decision->rows[plan->hi[c]]);
  g_string_append_printf (out, "split: %s up to %" G_GUINT64_FORMAT " B, %s above\n", below,
                          plan->split[c], above);
}

char *
commy_decision_to_string (CommyDecision *decision)
{
  GString *out;
  g_autofree guint *order = NULL;

  g_return_val_if_fail (decision != NULL, NULL);

  out = g_string_new (NULL);
  order = order_rows (decision);
  print_header (out, decision);
  if (decision->n_rows > 0)
    print_candidates (out, decision, order);
  else
    g_string_append (out, "  no candidate: nobody offers a way there\n");
  print_confidence (out, decision);
  print_rejections (out, decision, order);
  print_runner_up (out, decision);
  print_split (out, decision);
  print_measured (out, decision, order);
  print_overrides (out, decision, order);
  if (decision->switch_text != NULL)
    g_string_append_printf (out, "switch: %s\n", decision->switch_text);
  if (decision->notes != NULL)
    g_string_append_printf (out, "note: %s\n", decision->notes);
  return g_string_free (out, FALSE);
}

/* --- one line --- */

/* The row that comes nearest to a requirement which it misses; NULL: nobody misses it. */
static const CommyRecordRow *
nearest_miss (const CommyDecision *decision, CommyFilter filter)
{
  const CommyRecordRow *best = NULL;

  for (guint i = 0; i < decision->n_rows; i++)
    {
      const CommyRecordRow *row = &decision->rows[i];

      if (row->assessment.rejection.filter != filter)
        continue;
      if (best == NULL
          || (filter == COMMY_FILTER_LATENCY ? row->latency_ns < best->latency_ns
                                             : row->throughput > best->throughput))
        best = row;
    }
  return best;
}

static char *
dup_refusal (const CommyRecordRow *row)
{
  const CommyRejection *rejection = &row->assessment.rejection;
  const char *field = commy_filter_to_string (rejection->filter);

  switch (rejection->filter)
    {
    case COMMY_FILTER_INTERFACE:
      return g_strdup_printf ("%s: interface: %s (%s)", row->transport, rejection->offered,
                              rejection->origin);
    case COMMY_FILTER_SELECTOR: /* of the instance, whatever leads there */
      return g_strdup_printf ("%s, wanted %s (%s)", rejection->offered, rejection->required,
                              rejection->origin);
    case COMMY_FILTER_ENABLED:
    case COMMY_FILTER_STATE:
    case COMMY_FILTER_REACHABLE:
    case COMMY_FILTER_PEER:
    case COMMY_FILTER_BREAKER:
      return g_strdup_printf ("%s: %s (%s)", row->transport,
                              rejection->offered[0] != '\0' ? rejection->offered : field,
                              rejection->origin);
    default:
      return g_strdup_printf ("%s: %s %s, required %s (%s)", row->transport, field,
                              rejection->offered, rejection->required, rejection->origin);
    }
}

static char *
summarise_refusals (const CommyDecision *decision)
{
  g_autoptr (GPtrArray) named = g_ptr_array_new_with_free_func (g_free);
  GString *out = g_string_new ("no candidate");
  guint left = 0;

  for (guint i = 0; i < decision->n_rows; i++)
    {
      g_autofree char *refusal = dup_refusal (&decision->rows[i]);

      if (g_ptr_array_find_with_equal_func (named, refusal, g_str_equal, NULL))
        continue;
      if (named->len == MAX_NAMED)
        left++;
      else
        {
          g_string_append_printf (out, "%s%s", named->len == 0 ? ": " : ", ", refusal);
          g_ptr_array_add (named, g_steal_pointer (&refusal));
        }
    }
  if (left > 0)
    g_string_append_printf (out, " and %u more", left);
  if (decision->n_rows == 0)
    g_string_append (out, ": nobody offers a way there");
  return g_string_free (out, FALSE);
}

char *
commy_decision_summary (CommyDecision *decision)
{
  const CommyRecordRow *row;
  g_autofree char *expected = NULL, *stack = NULL, *confidence = NULL;

  g_return_val_if_fail (decision != NULL, NULL);

  row = nearest_miss (decision, COMMY_FILTER_LATENCY);
  if (decision->chosen < 0 && row == NULL)
    row = nearest_miss (decision, COMMY_FILTER_THROUGHPUT);
  if (decision->chosen < 0 && row != NULL)
    return g_strdup_printf ("needs %s %s; best allowed: %s %s",
                            commy_filter_to_string (row->assessment.rejection.filter),
                            row->assessment.rejection.required, row->transport,
                            row->assessment.rejection.offered);
  if (decision->chosen < 0)
    return summarise_refusals (decision);

  row = commy_record_chosen (decision);
  stack = commy_record_stack (row);
  expected = commy_format_duration (row->expected_ns);
  confidence = dup_fixed (decision->confidence);
  return g_strdup_printf ("%s, expected %s, confidence %s", stack, expected, confidence);
}
