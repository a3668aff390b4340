/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sums over what nodes tell of their channels, and rates since the last look. A channel that was
 * closed takes its counts along: a sum that became smaller has no rate.
 */
#include "config.h"

#include "cli/commy-top-model.h"

#include "cli/commy-lookup.h"
#include "cli/commy-output.h"
#include "cli/commy-quantity.h"

#include <glib/gi18n.h>
#include <string.h>

const char *const commy_top_titles[COMMY_TOP_CELLS]
    = { N_ ("NAME"),    N_ ("WHERE"), N_ ("CALLS/S"), N_ ("ERRORS/S"),
        N_ ("BYTES/S"), N_ ("P50"),   N_ ("P99"),     N_ ("CALLS") };

static void
row_free (gpointer data)
{
  CommyTopRow *row = data;

  g_free (row->key);
  g_free (row->name);
  g_free (row->where);
  g_free (row);
}

static void
frame_clear (gpointer data)
{
  CommyTopFrame *frame = data;

  for (guint i = 0; i < COMMY_TOP_VIEWS; i++)
    g_hash_table_unref (frame->rows[i]);
  g_hash_table_unref (frame->answers);
  g_main_context_unref (frame->context);
  g_free (frame->error);
}

CommyTopFrame *
commy_top_frame_ref (CommyTopFrame *frame)
{
  return frame != NULL ? g_atomic_rc_box_acquire (frame) : NULL;
}

void
commy_top_frame_unref (CommyTopFrame *frame)
{
  if (frame != NULL)
    g_atomic_rc_box_release_full (frame, frame_clear);
}

/* --- what a node said --- */

typedef struct
{
  GVariant *flows;  /* NULL: it never answered */
  gint64 at_us;     /* when; or when it was asked first */
  gboolean is_late; /* it was asked since, and did not answer */
} Answer;

static void
answer_free (gpointer data)
{
  Answer *answer = data;

  if (answer->flows != NULL)
    g_variant_unref (answer->flows);
  g_free (answer);
}

/* @flows: (nullable): what it says now */
static Answer *
note_answer (CommyTopFrame *frame, const CommyTopFrame *before, const char *id, GVariant *flows)
{
  const Answer *was = before != NULL ? g_hash_table_lookup (before->answers, id) : NULL;
  Answer *answer = g_new0 (Answer, 1);

  answer->is_late = flows == NULL;
  answer->at_us = flows == NULL && was != NULL ? was->at_us : frame->at_us;
  if (flows == NULL && was != NULL)
    flows = was->flows;
  if (flows != NULL)
    answer->flows = g_variant_ref (flows);
  g_hash_table_insert (frame->answers, g_strdup (id), answer);
  return answer;
}

/* --- collecting --- */

/* @key: taken over */
static CommyTopRow *
ensure_row (CommyTopFrame *frame, CommyTopView view, char *key, const char *name)
{
  g_autofree char *owned = key;
  CommyTopRow *row = g_hash_table_lookup (frame->rows[view], owned);

  if (row != NULL)
    return row;
  row = g_new0 (CommyTopRow, 1);
  row->key = g_steal_pointer (&owned);
  row->name = commy_output_clean (name, FALSE);
  g_hash_table_insert (frame->rows[view], row->key, row);
  return row;
}

/* @where: (transfer full) */
static void
set_where (CommyTopRow *row, char *where)
{
  g_free (row->where);
  row->where = commy_output_clean (where, FALSE);
  g_free (where);
}

static void
add_flow (CommyTopRow *row, GVariant *flow, gboolean calls, gboolean is_back)
{
  row->is_back = row->is_back || is_back;
  row->calls += commy_record_get_uint (flow, calls ? "calls" : "served");
  row->errors += commy_record_get_uint (flow, calls ? "calls-failed" : "served-failed");
  row->bytes += commy_record_get_uint (flow, "sent-bytes")
                + commy_record_get_uint (flow, "received-bytes");
  row->p50_ns = MAX (row->p50_ns, commy_record_get_uint (flow, "call-p50-ns"));
  row->p99_ns = MAX (row->p99_ns, commy_record_get_uint (flow, "call-p99-ns"));
}

/* A call has two sides; services and flows are counted where it is made, a node where it is either.
 */
static void
add_flows (
    CommyTopFrame *frame, CommyTopRow *node, const char *id, GVariant *flows, gboolean is_back)
{
  gsize n = g_variant_n_children (flows);

  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) flow = g_variant_get_child_value (flows, i);
      const char *service = commy_record_get_string (flow, "service");
      const char *transport = commy_record_get_string (flow, "transport");
      const char *peer = commy_record_get_string (flow, "peer-node");
      gboolean calls = strcmp (commy_record_get_string (flow, "side"), "calls") == 0;
      CommyTopRow *row;

      if (g_str_has_prefix (service, "org.commy."))
        continue;
      add_flow (node, flow, calls, is_back);
      if (!calls)
        continue;
      add_flow (ensure_row (frame, COMMY_TOP_SERVICES, g_strdup (service), service), flow, TRUE,
                is_back);
      row = ensure_row (frame, COMMY_TOP_FLOWS,
                        g_strjoin ("\n", id, service, transport, peer, NULL), service);
      set_where (row, g_strdup_printf ("%.8s -> %.8s %s", id, peer, transport));
      add_flow (row, flow, TRUE, is_back);
    }
}

static char *
format_place (GVariant *node, const CommyTopRow *row)
{
  const char *host = commy_record_get_string (node, "host");
  const guint pid = (guint) commy_record_get_uint (node, "pid");

  if (row->stale_us == 0)
    return g_strdup_printf ("%s %u", host, pid);
  /* What is wrong comes first: a narrow column cuts off the end. */
  return g_strdup_printf (_ ("stale %u s: %s %u"), (guint) (row->stale_us / G_USEC_PER_SEC), host,
                          pid);
}

/* @flows: (nullable): what it says now */
static void
add_node (CommyTopFrame *frame, const CommyTopFrame *before, GVariant *node, GVariant *flows)
{
  const char *id = commy_record_get_string (node, "node");
  g_autofree char *brief = commy_lookup_dup_short (id);
  CommyTopRow *row = ensure_row (frame, COMMY_TOP_NODES, g_strdup (id), brief);
  const Answer *was = before != NULL ? g_hash_table_lookup (before->answers, id) : NULL;
  const gboolean is_back = flows != NULL && was != NULL && was->is_late;
  const Answer *answer = note_answer (frame, before, id, flows);

  if (answer->is_late)
    {
      frame->n_silent++;
      row->stale_us = MAX (g_get_monotonic_time () - answer->at_us, 1);
    }
  set_where (row, format_place (node, row));
  if (answer->flows != NULL)
    add_flows (frame, row, id, answer->flows, is_back);
}

static void
add_nodes (CommyTopFrame *frame, const CommyTopFrame *before, CommyMesh *mesh, GPtrArray *nodes)
{
  g_autoptr (GPtrArray) answers = commy_lookup_ask_all (mesh, frame->context, nodes, "Flows",
                                                        "aa{sv}", COMMY_TOP_PATIENCE_US);

  for (guint i = 0; i < nodes->len; i++)
    add_node (frame, before, nodes->pdata[i], answers->pdata[i]);
}

/* Those that nobody calls, too. */
static void
add_services (CommyTopFrame *frame, GPtrArray *instances)
{
  g_autoptr (GHashTable) counts = g_hash_table_new (g_str_hash, g_str_equal);

  for (guint i = 0; i < instances->len; i++)
    {
      const char *service = commy_record_get_string (instances->pdata[i], "service");
      guint n = GPOINTER_TO_UINT (g_hash_table_lookup (counts, service)) + 1;

      g_hash_table_insert (counts, (gpointer) service, GUINT_TO_POINTER (n));
      set_where (ensure_row (frame, COMMY_TOP_SERVICES, g_strdup (service), service),
                 g_strdup_printf (ngettext ("%u instance", "%u instances", n), n));
    }
}

/* --- rates --- */

static double
rate (guint64 now, guint64 before, double seconds)
{
  return now >= before && seconds > 0 ? (double) (now - before) / seconds : 0;
}

/* One that was not there before began after it. Of one that did not answer then it is not known
 * what is new. */
static void
set_rates (CommyTopFrame *frame, const CommyTopFrame *before, CommyTopView view)
{
  const CommyTopRow none = { 0 };
  double seconds = (double) (frame->at_us - before->at_us) / G_USEC_PER_SEC;
  GHashTableIter iter;
  gpointer value;

  g_hash_table_iter_init (&iter, frame->rows[view]);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      CommyTopRow *row = value;
      const CommyTopRow *was = g_hash_table_lookup (before->rows[view], row->key);

      if (row->is_back)
        continue;
      was = was != NULL ? was : &none;
      row->calls_s = rate (row->calls, was->calls, seconds);
      row->errors_s = rate (row->errors, was->errors, seconds);
      row->bytes_s = rate (row->bytes, was->bytes, seconds);
    }
}

CommyTopFrame *
commy_top_frame_new (CommyMesh *mesh, const CommyTopFrame *before)
{
  CommyTopFrame *frame = g_atomic_rc_box_new0 (CommyTopFrame);
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) instances = NULL;
  g_autoptr (GPtrArray) nodes = NULL;

  for (guint i = 0; i < COMMY_TOP_VIEWS; i++)
    frame->rows[i] = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, row_free);
  frame->answers = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, answer_free);
  frame->context = before != NULL ? g_main_context_ref (before->context) : g_main_context_new ();
  instances = commy_lookup_instances (mesh, NULL, FALSE, &error);
  nodes = instances != NULL ? commy_lookup_all_nodes (mesh, NULL, &error) : NULL;
  frame->at_us = g_get_monotonic_time ();
  if (nodes == NULL)
    {
      frame->error = g_strdup (error->message);
      return frame;
    }
  add_services (frame, instances);
  add_nodes (frame, before, mesh, nodes);
  if (before != NULL && before->error != NULL)
    before = NULL;
  for (guint i = 0; before != NULL && i < COMMY_TOP_VIEWS; i++)
    set_rates (frame, before, i);
  return frame;
}

/* --- in order --- */

static gint
by_number (double a, double b)
{
  return a > b ? -1 : a < b ? 1 : 0;
}

static gint
compare (gconstpointer a, gconstpointer b, gpointer data)
{
  const CommyTopRow *x = *(CommyTopRow *const *) a, *y = *(CommyTopRow *const *) b;
  gint order = 0;

  switch (*(const CommyTopOrder *) data)
    {
    case COMMY_TOP_BY_CALLS:
      order = by_number (x->calls_s, y->calls_s);
      break;
    case COMMY_TOP_BY_ERRORS:
      order = by_number (x->errors_s, y->errors_s);
      break;
    case COMMY_TOP_BY_BYTES:
      order = by_number (x->bytes_s, y->bytes_s);
      break;
    case COMMY_TOP_BY_P99:
      order = by_number ((double) x->p99_ns, (double) y->p99_ns);
      break;
    case COMMY_TOP_BY_NAME:
    case COMMY_TOP_ORDERS:
    default:
      break;
    }
  if (order == 0)
    order = strcmp (x->name, y->name);
  return order != 0 ? order : strcmp (x->key, y->key);
}

GPtrArray *
commy_top_frame_list (const CommyTopFrame *frame,
                      CommyTopView view,
                      CommyTopOrder order,
                      const char *filter)
{
  GPtrArray *rows = g_ptr_array_new ();
  GHashTableIter iter;
  gpointer value;

  g_hash_table_iter_init (&iter, frame->rows[view]);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      CommyTopRow *row = value;

      if (filter == NULL || filter[0] == '\0' || strstr (row->name, filter) != NULL
          || (row->where != NULL && strstr (row->where, filter) != NULL))
        g_ptr_array_add (rows, row);
    }
  g_ptr_array_sort_with_data (rows, compare, &order);
  return rows;
}

/* --- telling --- */

const char *
commy_top_view_name (CommyTopView view)
{
  static const char *const names[] = { N_ ("nodes"), N_ ("services"), N_ ("flows") };

  return names[view];
}

const char *
commy_top_order_name (CommyTopOrder order)
{
  static const char *const names[]
      = { N_ ("calls"), N_ ("errors"), N_ ("bytes"), N_ ("p99"), N_ ("name") };

  return names[order];
}

static GVariant *
to_list (GPtrArray *rows)
{
  GVariantBuilder list;

  g_variant_builder_init (&list, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < rows->len; i++)
    {
      const CommyTopRow *row = rows->pdata[i];

      g_variant_builder_add_parsed (
          &list,
          "{'name': <%s>, 'where': <%s>, 'calls': <%t>, 'calls-per-second': <%d>, "
          "'errors-per-second': <%d>, 'bytes-per-second': <%d>, 'p50-ns': <%t>, 'p99-ns': <%t>, "
          "'stale-ns': <%t>}",
          row->name, row->where != NULL ? row->where : "", row->calls, row->calls_s, row->errors_s,
          row->bytes_s, row->p50_ns, row->p99_ns, (guint64) row->stale_us * 1000);
    }
  return g_variant_builder_end (&list);
}

GVariant *
commy_top_frame_to_variant (const CommyTopFrame *frame)
{
  GVariantBuilder record;

  g_variant_builder_init (&record, G_VARIANT_TYPE_VARDICT);
  for (guint i = 0; i < COMMY_TOP_VIEWS; i++)
    {
      g_autoptr (GPtrArray) rows = commy_top_frame_list (frame, i, COMMY_TOP_BY_CALLS, NULL);

      g_variant_builder_add (&record, "{sv}", commy_top_view_name (i), to_list (rows));
    }
  return g_variant_builder_end (&record);
}

static char *
format_rate (double value)
{
  return g_strdup_printf (value >= 99.95 || value == 0 ? "%.0f" : "%.1f", value);
}

static char *
format_time (guint64 ns)
{
  return ns > 0 ? commy_quantity_format_ns ((double) ns) : g_strdup ("-");
}

void
commy_top_row_format (const CommyTopRow *row, char **cells)
{
  cells[0] = g_strdup (row->name);
  cells[1] = g_strdup (row->where != NULL ? row->where : "-");
  cells[2] = format_rate (row->calls_s);
  cells[3] = format_rate (row->errors_s);
  cells[4] = commy_quantity_format_size ((guint64) row->bytes_s);
  cells[5] = format_time (row->p50_ns);
  cells[6] = format_time (row->p99_ns);
  cells[7] = row->calls < 10000000
                 ? g_strdup_printf ("%" G_GUINT64_FORMAT, row->calls)
                 : g_strdup_printf ("%" G_GUINT64_FORMAT "M", row->calls / 1000000);
}
