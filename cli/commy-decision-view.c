/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Decisions of other nodes for people. The library prints its own; what came over the wire is a
 * record, and so is what the answer to "why not" is made of.
 */
#include "config.h"

#include "cli/commy-decision-view.h"

#include "cli/commy-lookup.h"
#include "cli/commy-output.h"
#include "cli/commy-quantity.h"

#include <string.h>

static GVariant *
dup_list (GVariant *record, const char *key)
{
  GVariant *list = g_variant_lookup_value (record, key, G_VARIANT_TYPE ("aa{sv}"));

  return list != NULL ? list
                      : g_variant_ref_sink (g_variant_new_array (G_VARIANT_TYPE_VARDICT, NULL, 0));
}

static char *
dup_stack (GVariant *row)
{
  const char *serializer = commy_record_get_string (row, "serializer");

  return g_strconcat (commy_record_get_string (row, "transport"), serializer[0] != '\0' ? "+" : "",
                      serializer, NULL);
}

static char *
dup_fixed (double value)
{
  char text[G_ASCII_DTOSTR_BUF_SIZE];

  return g_strdup (g_ascii_formatd (text, sizeof text, "%.2f", value));
}

static gboolean
has_choice (GVariant *record)
{
  return commy_record_get_string (record, "transport")[0] != '\0';
}

/* --- the table --- */

static void
print_header (GVariant *record)
{
  g_autofree char *size = commy_quantity_format_size (commy_record_get_uint (record, "size"));
  g_autofree char *confidence = dup_fixed (commy_record_get_double (record, "confidence"));
  g_autoptr (GVariant) demand = g_variant_lookup_value (record, "demand", G_VARIANT_TYPE_VARDICT);

  commy_output_print ("%s  size %s", commy_record_get_string (record, "service"), size);
  if (demand != NULL)
    commy_output_print ("  objective %s  preference %s",
                        commy_record_get_string (demand, "objective"),
                        commy_record_get_string (demand, "preference"));
  if (has_choice (record))
    commy_output_print ("  confidence %s\n", confidence);
  else
    commy_output_print ("  nothing is allowed\n");
}

static char *
dup_measured (GVariant *row)
{
  double samples = commy_record_get_double (row, "samples");
  g_autofree char *ratio = dup_fixed (commy_record_get_double (row, "measured-ratio"));

  return samples > 0 ? g_strdup_printf ("x%s (%.0f)", ratio, samples) : NULL;
}

static void
add_verdict (CommyTable *table, GVariant *row)
{
  g_autoptr (GVariant) rejection
      = g_variant_lookup_value (row, "rejection", G_VARIANT_TYPE_VARDICT);
  g_autofree char *text = NULL;

  if (rejection != NULL)
    {
      text = g_strconcat ("refused: ", commy_record_get_string (rejection, "field"), NULL);
      commy_table_add_toned (table, text, COMMY_TONE_BAD);
    }
  else if (commy_record_get_boolean (row, "chosen"))
    commy_table_add_toned (
        table, commy_record_get_boolean (row, "degraded") ? "chosen, degraded" : "chosen",
        COMMY_TONE_GOOD);
  else
    commy_table_add (table, "allowed");
}

static void
print_candidates (GVariant *candidates)
{
  g_autoptr (CommyTable) table = commy_table_new ("CANDIDATE", "INSTANCE", "CLAIMED", "MEASURED",
                                                  "EXPECTED", "VERDICT", NULL);
  gsize n = g_variant_n_children (candidates);

  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) row = g_variant_get_child_value (candidates, i);
      double claimed, expected;
      gboolean known = g_variant_lookup (row, "claimed-ns", "d", &claimed)
                       && g_variant_lookup (row, "expected-ns", "d", &expected);

      commy_table_take (table, dup_stack (row));
      commy_table_take (table, commy_lookup_dup_short (commy_record_get_string (row, "instance")));
      commy_table_take (table, known ? commy_quantity_format_ns (claimed) : NULL);
      commy_table_take (table, dup_measured (row));
      commy_table_take (table, known ? commy_quantity_format_ns (expected) : NULL);
      add_verdict (table, row);
    }
  commy_table_print (table);
}

static char *
dup_refusal (GVariant *rejection)
{
  return g_strdup_printf ("%s: required %s, offered %s (%s)",
                          commy_record_get_string (rejection, "field"),
                          commy_record_get_string (rejection, "required"),
                          commy_record_get_string (rejection, "offered"),
                          commy_record_get_string (rejection, "origin"));
}

static void
print_rejections (GVariant *rejections)
{
  gsize n = g_variant_n_children (rejections);

  if (n > 0)
    commy_output_print ("refused:\n");
  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) rejection = g_variant_get_child_value (rejections, i);
      g_autofree char *stack = dup_stack (rejection);
      g_autofree char *instance
          = commy_lookup_dup_short (commy_record_get_string (rejection, "instance"));
      g_autofree char *refusal = dup_refusal (rejection);
      g_autofree char *line = g_strdup_printf ("  %s %s  %s", stack, instance, refusal);
      g_autofree char *clean = commy_output_clean (line, FALSE);

      commy_output_print ("%s\n", clean);
    }
}

static void
print_text (GVariant *record, const char *key)
{
  g_autofree char *clean = commy_output_clean (commy_record_get_string (record, key), TRUE);

  if (clean[0] != '\0')
    commy_output_print ("%s: %s\n", key, clean);
}

void
commy_decision_view_print (GVariant *record)
{
  g_autoptr (GVariant) candidates = dup_list (record, "candidates");
  g_autoptr (GVariant) rejections = dup_list (record, "rejections");

  print_header (record);
  if (g_variant_n_children (candidates) > 0)
    print_candidates (candidates);
  else
    commy_output_print ("  no candidate: nobody offers a way there\n");
  print_rejections (rejections);
  print_text (record, "switch");
  print_text (record, "notes");
}

void
commy_decision_view_print_list (GVariant *records)
{
  g_autoptr (CommyTable) table = commy_table_new ("SERVICE", "SIZE", "CHOSEN", "INSTANCE",
                                                  "EXPECTED", "CONFIDENCE", "REFUSED", NULL);
  gsize n = g_variant_n_children (records);

  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) record = g_variant_get_child_value (records, i);
      g_autoptr (GVariant) rejections = dup_list (record, "rejections");
      gboolean chosen = has_choice (record);
      double expected = commy_record_get_double (record, "expected-ns");

      commy_table_add (table, commy_record_get_string (record, "service"));
      commy_table_take (table, commy_quantity_format_size (commy_record_get_uint (record, "size")));
      commy_table_take (table, chosen ? dup_stack (record) : g_strdup ("nothing allowed"));
      commy_table_take (table,
                        commy_lookup_dup_short (commy_record_get_string (record, "instance")));
      commy_table_take (table, chosen ? commy_quantity_format_ns (expected) : NULL);
      commy_table_take (table, dup_fixed (commy_record_get_double (record, "confidence")));
      commy_table_take (table,
                        g_strdup_printf ("%" G_GSIZE_FORMAT, g_variant_n_children (rejections)));
    }
  commy_table_print (table);
}

/* --- why not --- */

/* Where the choice and the candidate are known: what it would cost instead. */
static char *
dup_difference (GVariant *record, GVariant *row)
{
  double chosen_ns = commy_record_get_double (record, "expected-ns");
  double ns = commy_record_get_double (row, "expected-ns");
  g_autofree char *chosen = dup_stack (record);
  g_autofree char *chosen_text = commy_quantity_format_ns (chosen_ns);
  g_autofree char *text = commy_quantity_format_ns (ns);
  g_autofree char *factor = dup_fixed (chosen_ns > 0 ? ns / chosen_ns : 0);

  if (!has_choice (record) || chosen_ns <= 0 || ns <= 0)
    return NULL;
  return g_strdup_printf ("%s where %s costs %s, x%s", text, chosen, chosen_text, factor);
}

/* Filters whose requirement is plain say in "offered" what is the matter. */
static char *
dup_sentence_of_refusal (GVariant *rejection)
{
  static const char *const plain[]
      = { "enabled", "state", "reachable", "peer", "interface", "breaker", NULL };
  const char *field = commy_record_get_string (rejection, "field");
  const char *required = commy_record_get_string (rejection, "required");
  const char *offered = commy_record_get_string (rejection, "offered");
  const char *origin = commy_record_get_string (rejection, "origin");

  if (g_strv_contains (plain, field) && offered[0] != '\0')
    return g_strdup_printf ("refused (%s): %s (%s)", field, offered, origin);
  return g_strdup_printf ("refused (%s): it offers %s, %s is required (%s)", field, offered,
                          required, origin);
}

static char *
dup_verdict (GVariant *record, GVariant *row)
{
  g_autoptr (GVariant) rejection
      = g_variant_lookup_value (row, "rejection", G_VARIANT_TYPE_VARDICT);
  g_autofree char *difference = dup_difference (record, row);
  g_autofree char *refusal = NULL;

  if (rejection != NULL)
    {
      refusal = dup_sentence_of_refusal (rejection);
      return difference != NULL ? g_strdup_printf ("%s; it would cost %s", refusal, difference)
                                : g_steal_pointer (&refusal);
    }
  if (commy_record_get_boolean (row, "chosen"))
    return g_strdup ("chosen");
  if (difference == NULL)
    return g_strdup ("allowed, but nothing was chosen");
  return g_strdup_printf (commy_record_get_boolean (row, "tied")
                              ? "allowed and ties, but other rules prefer another: it costs %s"
                              : "allowed, but costs more: %s",
                          difference);
}

char **
commy_decision_view_why_not (GVariant *record, const char *transport)
{
  g_autoptr (GVariant) candidates = dup_list (record, "candidates");
  GPtrArray *sentences = g_ptr_array_new ();
  gsize n = g_variant_n_children (candidates);

  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) row = g_variant_get_child_value (candidates, i);
      g_autofree char *stack = dup_stack (row);
      g_autofree char *id = commy_lookup_dup_short (commy_record_get_string (row, "instance"));
      g_autofree char *verdict = NULL;
      g_autofree char *sentence = NULL;

      if (strcmp (commy_record_get_string (row, "transport"), transport) != 0)
        continue;
      verdict = dup_verdict (record, row);
      sentence = g_strdup_printf ("%s to %s is %s", stack, id, verdict);
      g_ptr_array_add (sentences, commy_output_clean (sentence, FALSE));
    }
  g_ptr_array_add (sentences, NULL);
  return (char **) g_ptr_array_free (sentences, FALSE);
}
