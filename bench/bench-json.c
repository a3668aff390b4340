/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The results for programs; README.md documents the members.
 */
#include "config.h"

#include "results.h"

#include <json-glib/json-glib.h>

static const char *
get_unit (BenchUnit unit)
{
  switch (unit)
    {
    case BENCH_TIME:
      return "ns";
    case BENCH_RATE:
      return "per_s";
    case BENCH_BYTES:
      return "bytes";
    case BENCH_RATIO:
      return "ratio";
    case BENCH_COUNT:
    default:
      return "count";
    }
}

static void
add_string (JsonBuilder *builder, const char *name, const char *value)
{
  json_builder_set_member_name (builder, name);
  json_builder_add_string_value (builder, value);
}

static void
add_number (JsonBuilder *builder, const char *name, double value)
{
  json_builder_set_member_name (builder, name);
  json_builder_add_double_value (builder, value);
}

static void
add_count (JsonBuilder *builder, const char *name, guint64 value)
{
  json_builder_set_member_name (builder, name);
  json_builder_add_int_value (builder, (gint64) value);
}

static void
add_facts (JsonBuilder *builder, const BenchFacts *facts)
{
  add_string (builder, "version", facts->version);
  add_string (builder, "command", facts->command);
  add_string (builder, "date", facts->date);
  add_string (builder, "length", facts->length);
  add_count (builder, "rounds", facts->rounds);
  add_number (builder, "took_s", (double) facts->took_ns / 1e9);
  json_builder_set_member_name (builder, "machine");
  json_builder_begin_object (builder);
  add_string (builder, "processor", facts->processor);
  add_count (builder, "processors", facts->processors);
  add_string (builder, "kernel", facts->kernel);
  json_builder_end_object (builder);
  json_builder_set_member_name (builder, "peers");
  json_builder_begin_array (builder);
  for (guint i = 0; i < facts->peers->len; i++)
    {
      const BenchPeerInfo *peer = facts->peers->pdata[i];

      json_builder_begin_object (builder);
      add_string (builder, "name", peer->name);
      if (peer->version != NULL)
        add_string (builder, "version", peer->version);
      else
        add_string (builder, "note", peer->note);
      json_builder_end_object (builder);
    }
  json_builder_end_array (builder);
}

static void
add_field (JsonBuilder *builder, const char *name, const BenchRow *row, BenchField field)
{
  double value = bench_row_get (row, field);

  if (value > 0)
    add_number (builder, name, value);
}

static void
add_figures (JsonBuilder *builder, const BenchRow *row)
{
  double least, most;
  double median = bench_row_get_spread (row, BENCH_FIELD_VALUE, &least, &most);

  add_string (builder, "unit", get_unit (row->unit));
  add_count (builder, "size", row->size);
  add_count (builder, "n", bench_row_get_n (row));
  add_number (builder, "value", median);
  add_number (builder, "least", least);
  add_number (builder, "most", most);
  add_field (builder, "p90_ns", row, BENCH_FIELD_P90);
  add_field (builder, "p99_ns", row, BENCH_FIELD_P99);
  add_field (builder, "p999_ns", row, BENCH_FIELD_P999);
  add_field (builder, "max_ns", row, BENCH_FIELD_MAX);
  add_field (builder, "caller_cpu_ns", row, BENCH_FIELD_CALLER_CPU);
  add_field (builder, "service_cpu_ns", row, BENCH_FIELD_SERVICE_CPU);
  add_field (builder, "ref_ns", row, BENCH_FIELD_REF);
}

static void
add_rows (JsonBuilder *builder, const BenchRows *rows)
{
  json_builder_set_member_name (builder, "rows");
  json_builder_begin_array (builder);
  for (guint i = 0; i < rows->rows->len; i++)
    {
      const BenchRow *row = rows->rows->pdata[i];

      json_builder_begin_object (builder);
      add_string (builder, "id", row->id);
      if (bench_row_has_figure (row))
        add_figures (builder, row);
      if (row->note != NULL)
        add_string (builder, row->failed ? "failed" : "not_measured", row->note);
      json_builder_end_object (builder);
    }
  json_builder_end_array (builder);
}

static void
add_goals (JsonBuilder *builder, const GPtrArray *goals)
{
  json_builder_set_member_name (builder, "goals");
  json_builder_begin_array (builder);
  for (guint i = 0; i < goals->len; i++)
    {
      const BenchJudgement *goal = goals->pdata[i];

      json_builder_begin_object (builder);
      add_string (builder, "id", goal->id);
      add_string (builder, "text", goal->text);
      add_string (builder, "verdict", bench_verdict_to_string (goal->verdict));
      if (goal->verdict == BENCH_NOT_MEASURED)
        add_string (builder, "why", goal->told);
      else
        {
          add_number (builder, "figure", goal->figure);
          add_number (builder, "bound", goal->bound);
          add_string (builder, "told", goal->told);
        }
      json_builder_end_object (builder);
    }
  json_builder_end_array (builder);
}

char *
bench_json_write (const BenchFacts *facts, const BenchRows *rows, const GPtrArray *goals)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();
  g_autoptr (JsonNode) root = NULL;

  json_builder_begin_object (builder);
  add_facts (builder, facts);
  add_rows (builder, rows);
  add_goals (builder, goals);
  json_builder_end_object (builder);
  root = json_builder_get_root (builder);
  return json_to_string (root, TRUE);
}
