/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What GLib's own values cost a call of (ii) to i: made and read on both sides, four conversions
 * between memory and GVariant, with nothing sent.
 */
#include "config.h"

#include "limit.h"

#include <string.h>

/* Writes a value's bytes as a serializer would, and reads them as one that trusts nobody. */
static GVariant *
pass (GVariant *floating, guint8 *wire)
{
  g_autoptr (GVariant) value = g_variant_ref_sink (floating);
  gsize size = g_variant_get_size (value);
  g_autoptr (GBytes) bytes = NULL;

  g_variant_store (value, wire);
  bytes = g_bytes_new (wire, size);
  return g_variant_ref_sink (g_variant_new_from_bytes (g_variant_get_type (value), bytes, FALSE));
}

static gboolean
convert (gpointer data, GError **error)
{
  guint8 wire[64] __attribute__ ((aligned (8)));
  g_autoptr (GVariant) argument = pass (g_variant_new ("(ii)", 20, 22), wire);
  g_autoptr (GVariant) result = NULL;
  gint32 a, b, sum;

  g_variant_get (argument, "(ii)", &a, &b);
  result = pass (g_variant_new ("(i)", a + b), wire);
  g_variant_get (result, "(i)", &sum);
  return sum == 42 || bench_fail (error, "the sum is wrong");
}

gboolean
limit_values (BenchRun *run, const BenchScene *scene, GError **error)
{
  char id[BENCH_ID_MAX];

  bench_id (id, scene, "four-conversions/8");
  bench_pin (bench_cpu_of (run, scene->pins, 0));
  return bench_time_each (run, id, 8, convert, NULL, error);
}
