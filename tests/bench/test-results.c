/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How figures are judged: medians of rounds, ratios only between rounds in which the processors
 * were as far apart, goals by rows and by the best of several, and why one was not measured.
 */
#include "config.h"

#include "bench/results.h"

#include <string.h>

static void
add (BenchRows *rows, guint round, const char *id, BenchUnit unit, double value, double ref)
{
  BenchSample sample = { .unit = unit, .size = 64, .n = 10, .value = value, .ref_ns = ref };

  sample.p99 = 2 * value;
  sample.caller_cpu = sample.service_cpu = value / 2;
  g_strlcpy (sample.id, id, sizeof sample.id);
  bench_rows_add (rows, round, &sample);
}

static void
add_note (BenchRows *rows, const char *id, const char *note)
{
  BenchSample sample = { 0 };

  g_strlcpy (sample.id, id, sizeof sample.id);
  g_strlcpy (sample.note, note, sizeof sample.note);
  bench_rows_add (rows, 0, &sample);
}

static const BenchJudgement *
find (const GPtrArray *goals, const char *text)
{
  for (guint i = 0; i < goals->len; i++)
    if (strstr (((const BenchJudgement *) goals->pdata[i])->text, text) != NULL)
      return goals->pdata[i];
  g_error ("no goal says %s", text);
}

/* --- rows --- */

static void
test_median (void)
{
  g_autoptr (BenchRows) rows = bench_rows_new ();
  const double values[] = { 30, 10, 50, 20, 40 };
  double least, most;

  for (guint i = 0; i < G_N_ELEMENTS (values); i++)
    add (rows, i, "a", BENCH_TIME, values[i], 100);
  g_assert_cmpuint (rows->rows->len, ==, 1);
  g_assert_cmpfloat (
      bench_row_get_spread (bench_rows_find (rows, "a"), BENCH_FIELD_VALUE, &least, &most), ==, 30);
  g_assert_cmpfloat (least, ==, 10);
  g_assert_cmpfloat (most, ==, 50);
  g_assert_cmpuint (bench_row_get_n (bench_rows_find (rows, "a")), ==, 50);
  add (rows, 5, "a", BENCH_TIME, 60, 100);
  g_assert_cmpfloat (bench_row_get (bench_rows_find (rows, "a"), BENCH_FIELD_VALUE), ==, 35);
}

static void
test_ratio_by_round (void)
{
  g_autoptr (BenchRows) rows = bench_rows_new ();
  double ratio = 0;

  for (guint round = 0; round < 3; round++)
    {
      add (rows, round, "ours", BENCH_TIME, (round + 1) * 200, 100);
      add (rows, round, "limit", BENCH_TIME, (round + 1) * 100, 100);
    }
  g_assert_cmpint (bench_row_compare (bench_rows_find (rows, "ours"),
                                      bench_rows_find (rows, "limit"), BENCH_FIELD_VALUE, &ratio),
                   ==, BENCH_RATIO_KNOWN);
  g_assert_cmpfloat (ratio, ==, 2);
}

static void
test_moved_rounds (void)
{
  g_autoptr (BenchRows) rows = bench_rows_new ();
  const BenchRow *ours, *limit;
  double ratio = 0;

  add (rows, 0, "ours", BENCH_TIME, 500, 500);
  add (rows, 0, "limit", BENCH_TIME, 100, 100);
  ours = bench_rows_find (rows, "ours");
  limit = bench_rows_find (rows, "limit");
  g_assert_cmpint (bench_row_compare (ours, limit, BENCH_FIELD_VALUE, &ratio), ==,
                   BENCH_RATIO_MOVED);
  g_assert_cmpint (bench_row_compare (ours, NULL, BENCH_FIELD_VALUE, &ratio), ==,
                   BENCH_RATIO_NO_FIGURE);
  /* A round in which both were near is the only one that counts. */
  add (rows, 1, "ours", BENCH_TIME, 120, 110);
  add (rows, 1, "limit", BENCH_TIME, 100, 100);
  g_assert_cmpint (bench_row_compare (ours, limit, BENCH_FIELD_VALUE, &ratio), ==,
                   BENCH_RATIO_KNOWN);
  g_assert_cmpfloat (ratio, ==, 1.2);
}

static void
test_best (void)
{
  g_autoptr (BenchRows) rows = bench_rows_new ();

  add (rows, 0, "t/a/64", BENCH_TIME, 300, 0);
  add (rows, 0, "t/b/64", BENCH_TIME, 200, 0);
  add (rows, 0, "r/a/64", BENCH_RATE, 300, 0);
  add (rows, 0, "r/b/64", BENCH_RATE, 200, 0);
  add_note (rows, "t/c/64", "is not here");
  g_assert_cmpstr (bench_rows_find_best (rows, "t/*/64")->id, ==, "t/b/64");
  g_assert_cmpstr (bench_rows_find_best (rows, "r/*/64")->id, ==, "r/a/64");
  g_assert_null (bench_rows_find_best (rows, "t/c/64"));
  g_assert_null (bench_rows_find_best (rows, "x*"));
}

/* --- goals --- */

static void
test_goals_complete (void)
{
  g_autoptr (BenchRows) rows = bench_rows_new ();
  g_autoptr (GPtrArray) goals = bench_goals_judge (rows);
  const char *const others[] = { "seed", "death", "router", "many", "large" };

  for (guint i = 0; i < 14 + G_N_ELEMENTS (others); i++)
    {
      g_autofree char *id = i < 14 ? g_strdup_printf ("P%u", i + 1) : g_strdup (others[i - 14]);
      guint n = 0;

      for (guint k = 0; k < goals->len; k++)
        n += strcmp (((const BenchJudgement *) goals->pdata[k])->id, id) == 0;
      g_test_message ("%s: %u", id, n);
      g_assert_cmpuint (n, >, 0);
    }
  for (guint i = 0; i < goals->len; i++)
    {
      const BenchJudgement *goal = goals->pdata[i];

      g_assert_cmpint (goal->verdict, ==, BENCH_NOT_MEASURED);
      g_assert_nonnull (goal->told);
      g_assert_cmpuint (strlen (goal->told), >, 4);
    }
}

static void
test_goal_ratio (void)
{
  g_autoptr (BenchRows) rows = bench_rows_new ();
  g_autoptr (GPtrArray) goals = NULL;

  add (rows, 0, "rtt/shm/spin/copied/64", BENCH_TIME, 150, 100);
  add (rows, 0, "limit/spin/copied/64", BENCH_TIME, 100, 100);
  add (rows, 0, "peer/ucx/rtt/shm/spin/touched/64", BENCH_TIME, 100, 100);
  goals = bench_goals_judge (rows);
  g_assert_cmpint (find (goals, "64 B, spinning: at most 1.5 x the copied")->verdict, ==,
                   BENCH_MET);
  g_assert_cmpint (find (goals, "64 B, spinning: at most 0.9 x UCX")->verdict, ==, BENCH_MISSED);
  g_assert_cmpstr (find (goals, "64 B, spinning: at most 0.9 x UCX")->told, ==, "1.50 x");
  g_assert_cmpstr (find (goals, "at most 0.33 x iceoryx2")->told, ==, "needs the peer iceoryx2");
}

static void
test_goal_rate (void)
{
  g_autoptr (BenchRows) rows = bench_rows_new ();
  g_autoptr (GPtrArray) goals = NULL;

  add (rows, 0, "async/shm/adaptive/bytes/64", BENCH_RATE, 1.5e6, 0);
  add (rows, 0, "stream/unix/block/in-place/64", BENCH_RATE, 4e6, 0);
  add (rows, 0, "stream/unix/adaptive/in-place/64", BENCH_RATE, 6e6, 0);
  goals = bench_goals_judge (rows);
  g_assert_cmpint (find (goals, "64 under way")->verdict, ==, BENCH_MET);
  g_assert_cmpstr (find (goals, "64 under way")->told, ==, "1.50 M/s");
  g_assert_cmpint (find (goals, "unix, stream of 64 B")->verdict, ==, BENCH_MET);
}

static void
test_goal_difference (void)
{
  g_autoptr (BenchRows) rows = bench_rows_new ();
  g_autoptr (GPtrArray) goals = NULL;

  add (rows, 0, "rtt/shm/spin/value/8", BENCH_TIME, 2500, 0);
  add (rows, 0, "rtt/shm/spin/bytes/64", BENCH_TIME, 400, 0);
  add (rows, 0, "limit/value/four-conversions/8", BENCH_TIME, 1700, 0);
  /* 60 us more a message at 1,000 a second is 6 % of a processor. */
  add (rows, 0, "rate/shm/adaptive/1000-per-s/64", BENCH_TIME, 140e3, 0);
  add (rows, 0, "rate/shm/block/1000-per-s/64", BENCH_TIME, 20e3, 0);
  goals = bench_goals_judge (rows);
  g_assert_cmpint (find (goals, "GVariant's own conversions")->verdict, ==, BENCH_MISSED);
  g_assert_cmpstr (find (goals, "GVariant's own conversions")->told, ==, "400 ns");
  g_assert_cmpint (find (goals, "5 % of a processor")->verdict, ==, BENCH_MISSED);
  g_assert_cmpstr (find (goals, "5 % of a processor")->told, ==, "6.0 %");
}

static void
test_goal_reasons (void)
{
  g_autoptr (BenchRows) rows = bench_rows_new ();
  g_autoptr (GPtrArray) goals = NULL;

  add (rows, 0, "loan/shm/spin/untouched/64", BENCH_TIME, 100, 100);
  add (rows, 0, "loan/shm/spin/untouched/16777216", BENCH_TIME, 100, 500);
  add_note (rows, "many/10000", "took too long and was ended");
  goals = bench_goals_judge (rows);
  g_assert_cmpstr (find (goals, "loan of 16 MiB")->told, ==,
                   "the processors moved between the rows");
  g_assert_cmpstr (find (goals, "10,000 connections: at most 1 GiB")->told, ==,
                   "many/10000/memory: took too long and was ended");
  g_assert_cmpstr (find (goals, "8 subscribers")->told, ==,
                   "fan-out/shm/block/8-subscribers/1048576 was not run");
}

/* --- units --- */

static void
test_units (void)
{
  static const struct
  {
    BenchUnit unit;
    double value;
    const char *text;
  } cases[] = {
    { BENCH_TIME, 0, "0.00 ns" },        { BENCH_TIME, 9.5, "9.50 ns" },
    { BENCH_TIME, 120, "120 ns" },       { BENCH_TIME, 1234, "1.23 us" },
    { BENCH_TIME, 45600, "45.6 us" },    { BENCH_TIME, 19.2e6, "19.2 ms" },
    { BENCH_RATE, 250e6, "250 M/s" },    { BENCH_BYTES, 1048576, "1.00 MiB" },
    { BENCH_BYTES, -2048, "-2.00 KiB" }, { BENCH_RATIO, 1.034, "1.03" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *text = bench_format (cases[i].unit, cases[i].value);

      g_assert_cmpstr (text, ==, cases[i].text);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/bench/rows/figures-are-medians-of-rounds", test_median);
  g_test_add_func ("/bench/rows/ratios-are-medians-of-ratios-of-rounds", test_ratio_by_round);
  g_test_add_func ("/bench/rows/rounds-between-which-processors-moved-do-not-count",
                   test_moved_rounds);
  g_test_add_func ("/bench/rows/the-best-of-several-is-found", test_best);
  g_test_add_func ("/bench/goals/all-are-there-and-say-why-they-were-not-measured",
                   test_goals_complete);
  g_test_add_func ("/bench/goals/a-ratio-is-judged-by-its-bound", test_goal_ratio);
  g_test_add_func ("/bench/goals/of-rates-more-is-better", test_goal_rate);
  g_test_add_func ("/bench/goals/differences-are-judged", test_goal_difference);
  g_test_add_func ("/bench/goals/what-was-not-measured-says-why", test_goal_reasons);
  g_test_add_func ("/bench/units/are-read-by-people", test_units);
  return g_test_run ();
}
