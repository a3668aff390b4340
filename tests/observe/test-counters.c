/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Counters, histograms and the ledger in one thread; tsan-counters has the threads.
 */
#include "config.h"

#include "observe/commy-counters.h"

#include <glib.h>
#include <string.h>

static void
test_counters (void)
{
  CommyCounters counters = { 0 };

  commy_counters_add (&counters, COMMY_COUNT_SENT, 3);
  commy_counters_add (&counters, COMMY_COUNT_SENT, 4);
  g_assert_cmpuint (commy_counters_get (&counters, COMMY_COUNT_SENT), ==, 7);
  g_assert_cmpuint (commy_counters_get (&counters, COMMY_COUNT_RECEIVED), ==, 0);
}

static void
test_names (void)
{
  g_autoptr (GHashTable) seen = g_hash_table_new (g_str_hash, g_str_equal);

  for (guint i = 0; i < COMMY_COUNT_LAST; i++)
    g_assert_true (g_hash_table_add (seen, (gpointer) commy_count_to_string (i)));
  g_hash_table_remove_all (seen);
  for (guint i = 0; i < COMMY_DROP_LAST; i++)
    g_assert_true (g_hash_table_add (seen, (gpointer) commy_drop_to_string (i)));
  g_assert_cmpstr (commy_drop_to_string (COMMY_DROP_LATE_REPLY), ==, "late-reply");
  g_assert_cmpstr (commy_count_to_string (COMMY_COUNT_LAST), ==, "?");
  g_assert_cmpstr (commy_drop_to_string (COMMY_DROP_LAST), ==, "?");
}

static void
test_buckets (void)
{
  static const struct
  {
    guint64 value;
    guint bucket;
  } cases[] = { { 0, 0 },     { 1, 1 },     { 2, 2 },           { 3, 2 },           { 4, 3 },
                { 1023, 10 }, { 1024, 11 }, { G_MAXINT64, 63 }, { G_MAXUINT64, 63 } };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      CommyHistogram histogram = { 0 };

      commy_histogram_add (&histogram, cases[i].value);
      g_assert_cmpuint (histogram.buckets[cases[i].bucket], ==, 1);
      g_assert_cmpuint (commy_histogram_total (&histogram), ==, 1);
      g_assert_cmpuint (histogram.sum, ==, cases[i].value);
      g_assert_cmpuint (commy_histogram_quantile (&histogram, 0.5), >=, cases[i].value);
    }
}

static void
test_quantiles (void)
{
  CommyHistogram histogram = { 0 };

  g_assert_cmpuint (commy_histogram_quantile (&histogram, 0.5), ==, 0);
  for (guint i = 0; i < 90; i++)
    commy_histogram_add (&histogram, 100);
  for (guint i = 0; i < 9; i++)
    commy_histogram_add (&histogram, 1000);
  commy_histogram_add (&histogram, 100000);
  g_assert_cmpuint (commy_histogram_total (&histogram), ==, 100);
  g_assert_cmpuint (commy_histogram_quantile (&histogram, -1), ==, 127);
  g_assert_cmpuint (commy_histogram_quantile (&histogram, 0), ==, 127);
  g_assert_cmpuint (commy_histogram_quantile (&histogram, 0.5), ==, 127);
  g_assert_cmpuint (commy_histogram_quantile (&histogram, 0.9), ==, 127);
  g_assert_cmpuint (commy_histogram_quantile (&histogram, 0.91), ==, 1023);
  g_assert_cmpuint (commy_histogram_quantile (&histogram, 0.99), ==, 1023);
  g_assert_cmpuint (commy_histogram_quantile (&histogram, 1), ==, 131071);
  g_assert_cmpuint (commy_histogram_quantile (&histogram, 2), ==, 131071);
}

static void
test_ledger (void)
{
  CommyLedger ledger = { 0 };
  char culprit[COMMY_CULPRIT_MAX];
  g_autofree char *longer = g_strnfill (3 * COMMY_CULPRIT_MAX, 'x');
  g_autoptr (GString) accents = g_string_new (NULL);

  commy_ledger_get_culprit (&ledger, COMMY_DROP_DENIED, culprit);
  g_assert_cmpstr (culprit, ==, "");
  commy_ledger_add (&ledger, COMMY_DROP_DENIED, 2, "unix:uid=7");
  commy_ledger_add (&ledger, COMMY_DROP_DENIED, 3, NULL);
  commy_ledger_get_culprit (&ledger, COMMY_DROP_DENIED, culprit);
  g_assert_cmpstr (culprit, ==, "unix:uid=7");
  g_assert_cmpuint (commy_ledger_get (&ledger, COMMY_DROP_DENIED), ==, 5);
  commy_ledger_add (&ledger, COMMY_DROP_BUSY, 1, longer);
  commy_ledger_get_culprit (&ledger, COMMY_DROP_BUSY, culprit);
  g_assert_cmpuint (strlen (culprit), ==, COMMY_CULPRIT_MAX - 1);
  g_string_append_c (accents, 'x');
  for (guint i = 0; i < COMMY_CULPRIT_MAX; i++)
    g_string_append (accents, "\xe2\x82\xac");
  commy_ledger_add (&ledger, COMMY_DROP_BUSY, 1, accents->str);
  commy_ledger_get_culprit (&ledger, COMMY_DROP_BUSY, culprit);
  g_assert_true (g_utf8_validate (culprit, -1, NULL));
  commy_ledger_add (&ledger, COMMY_DROP_LAST, 1, "nobody");
  g_assert_cmpuint (commy_ledger_get (&ledger, COMMY_DROP_LAST), ==, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/counters/add-up", test_counters);
  g_test_add_func ("/counters/names-differ", test_names);
  g_test_add_func ("/histogram/bucket-is-bit-length", test_buckets);
  g_test_add_func ("/histogram/quantiles-are-upper-bounds", test_quantiles);
  g_test_add_func ("/ledger/keeps-count-and-last-culprit", test_ledger);
  return g_test_run ();
}
