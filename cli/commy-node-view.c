/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Records of org.commy.Node1 as tables. They come from other processes: members may be missing or
 * of another type, and text may be anything.
 */
#include "config.h"

#include "cli/commy-node-view.h"

#include "cli/commy-lookup.h"
#include "cli/commy-quantity.h"

#include <glib/gi18n.h>
#include <string.h>

#define INDENT_MAX 8u

/* --- records --- */

static char *
dup_text (GVariant *value)
{
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_STRING))
    return g_variant_dup_string (value, NULL);
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_STRING_ARRAY))
    {
      g_autofree const char **names = g_variant_get_strv (value, NULL);

      return g_strjoinv (", ", (char **) names);
    }
  return g_variant_print (value, FALSE);
}

static void print_members (GVariant *record, guint indent);

static void
print_records (const char *name, GVariant *records, guint indent)
{
  gsize n = g_variant_n_children (records);

  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) record = g_variant_get_child_value (records, i);

      commy_output_print ("%*s%s\n", (int) indent, "", name);
      print_members (record, indent + 2);
    }
}

static void
print_member (const char *key, GVariant *member, guint indent)
{
  g_autofree char *name = commy_output_clean (key, FALSE);
  g_autofree char *text = NULL;
  g_autofree char *clean = NULL;

  if (indent < INDENT_MAX && g_variant_is_of_type (member, G_VARIANT_TYPE_VARDICT))
    {
      commy_output_print ("%*s%s\n", (int) indent, "", name);
      print_members (member, indent + 2);
      return;
    }
  if (indent < INDENT_MAX && g_variant_is_of_type (member, G_VARIANT_TYPE ("aa{sv}")))
    {
      print_records (name, member, indent);
      return;
    }
  text = dup_text (member);
  clean = commy_output_clean (text, FALSE);
  commy_output_print ("%*s%-14s %s\n", (int) indent, "", name, clean);
}

static void
print_members (GVariant *record, guint indent)
{
  GVariantIter iter;
  const char *key;
  GVariant *member;

  g_variant_iter_init (&iter, record);
  while (g_variant_iter_next (&iter, "{&sv}", &key, &member))
    {
      print_member (key, member, indent);
      g_variant_unref (member);
    }
}

void
commy_node_view_print_record (GVariant *record)
{
  print_members (record, 2);
}

/* --- drops --- */

gboolean
commy_node_view_add_drops (CommyTable *table, const char *where, GVariant *drops)
{
  gboolean cell = where != NULL && g_strcmp0 (where, "  ") != 0;
  gboolean any = FALSE;
  GVariantIter iter;
  const char *reason, *culprit;
  guint64 count;

  g_variant_iter_init (&iter, drops);
  while (g_variant_iter_next (&iter, "(&st&s)", &reason, &count, &culprit))
    {
      if (count == 0)
        continue;
      any = TRUE;
      if (cell)
        commy_table_add (table, where);
      commy_table_take (table, g_strconcat (cell ? "" : "  ", reason, NULL));
      commy_table_take (table, g_strdup_printf ("%" G_GUINT64_FORMAT, count));
      commy_table_add (table, culprit);
    }
  return any;
}

/* --- flows --- */

CommyTable *
commy_node_view_new_flows (gboolean with_node)
{
  if (with_node)
    return commy_table_new ("NODE", "SIDE", "SERVICE", "TRANSPORT", "PEER", "CALLS", "FAILED",
                            "OUT", "BYTES", "IN", "BYTES", "BLOCKED", "PARKED", "P50", "P99", NULL);
  return commy_table_new ("  SIDE", "SERVICE", "TRANSPORT", "PEER", "CALLS", "FAILED", "OUT",
                          "BYTES", "IN", "BYTES", "BLOCKED", "PARKED", "P50", "P99", NULL);
}

static void
add_count (CommyTable *table, GVariant *flow, const char *key)
{
  guint64 count = commy_record_get_uint (flow, key);

  commy_table_take (table, g_strdup_printf ("%" G_GUINT64_FORMAT, count));
}

static void
add_size (CommyTable *table, GVariant *flow, const char *key)
{
  commy_table_take (table, commy_quantity_format_size (commy_record_get_uint (flow, key)));
}

/* The side that answers does not see round trips. */
static void
add_time (CommyTable *table, GVariant *flow, const char *key)
{
  guint64 ns = commy_record_get_uint (flow, key);

  if (ns > 0)
    commy_table_take (table, commy_quantity_format_ns ((double) ns));
  else
    commy_table_add (table, NULL);
}

static void
add_flow (CommyTable *table, const char *node, GVariant *flow)
{
  /* One side makes the calls of a channel, the other has them come in. */
  const gboolean calls = strcmp (commy_record_get_string (flow, "side"), "calls") == 0;

  if (node != NULL)
    commy_table_add (table, node);
  commy_table_take (
      table, g_strconcat (node != NULL ? "" : "  ", commy_record_get_string (flow, "side"), NULL));
  commy_table_add_toned (table, commy_record_get_string (flow, "service"), COMMY_TONE_STRONG);
  commy_table_add (table, commy_record_get_string (flow, "transport"));
  commy_table_add (table, commy_record_get_string (flow, "peer"));
  add_count (table, flow, calls ? "calls" : "served");
  add_count (table, flow, calls ? "calls-failed" : "served-failed");
  add_count (table, flow, "sent");
  add_size (table, flow, "sent-bytes");
  add_count (table, flow, "received");
  add_size (table, flow, "received-bytes");
  add_count (table, flow, "blocked");
  add_count (table, flow, "parked");
  add_time (table, flow, "call-p50-ns");
  add_time (table, flow, "call-p99-ns");
}

void
commy_node_view_add_flows (
    CommyTable *table, const char *node, GVariant *flows, const char *service, gboolean all)
{
  gsize n = g_variant_n_children (flows);

  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) flow = g_variant_get_child_value (flows, i);
      const char *name = commy_record_get_string (flow, "service");

      if ((service == NULL || strcmp (name, service) == 0)
          && (all || !g_str_has_prefix (name, "org.commy.")))
        add_flow (table, node, flow);
    }
}
