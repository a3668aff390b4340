/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The goals of the project as a table: which row, compared with what, and how far it may be. Names
 * of rows are scenario/what/size; a star stands for anything, and of several the best counts.
 */
#include "config.h"

#include "results.h"

typedef enum
{
  GOAL_RATIO,  /* row / other */
  GOAL_FIGURE, /* row */
  GOAL_EXCESS, /* row - other - third, ns */
  GOAL_CPU,    /* (service's time of row - that of other) a message, at 1,000 messages a second */
} GoalKind;

typedef enum
{
  AT_MOST,
  AT_LEAST,
} GoalDirection;

typedef struct
{
  const char *id;
  const char *text;
  GoalKind kind;
  BenchField field;
  const char *row;
  const char *other;
  const char *third;
  GoalDirection direction;
  double bound;
} Goal;

#define RATIO(id, text, row, other, direction, bound)                           \
  {                                                                             \
    id, text, GOAL_RATIO, BENCH_FIELD_VALUE, row, other, NULL, direction, bound \
  }
#define FIGURE(id, text, field, row, direction, bound)              \
  {                                                                 \
    id, text, GOAL_FIGURE, field, row, NULL, NULL, direction, bound \
  }

static const Goal goals[] = {
  RATIO ("P1",
         "shm, 64 B, spinning: at most 1.5 x the copied limit",
         "rtt/shm/spin/copied/64",
         "limit/spin/copied/64",
         AT_MOST,
         1.5),
  RATIO ("P1",
         "shm, 64 B, spinning: at most 0.9 x UCX",
         "rtt/shm/spin/copied/64",
         "peer/ucx/rtt/*/spin/*/64",
         AT_MOST,
         0.9),
  RATIO ("P1",
         "shm, 64 B, spinning: at most 0.33 x iceoryx2",
         "rtt/shm/spin/copied/64",
         "peer/iceoryx2/rtt/shm/spin/*/64",
         AT_MOST,
         0.33),
  RATIO ("P1",
         "shm, 1 KiB, spinning: at most 1.2 x the copied limit",
         "rtt/shm/spin/copied/1024",
         "limit/spin/copied/1024",
         AT_MOST,
         1.2),
  RATIO ("P2",
         "named call, raw bytes, 64 B, spinning: at most 3 x the copied limit",
         "rtt/shm/spin/bytes/64",
         "limit/spin/copied/64",
         AT_MOST,
         3),
  RATIO ("P2",
         "named call, raw bytes, 64 B, spinning: at most 0.5 x iceoryx2 request/response",
         "rtt/shm/spin/bytes/64",
         "peer/iceoryx2/rtt/shm-rr/spin/*/64",
         AT_MOST,
         0.5),
  { "P3",
    "GVariant call (ii) to i: at most 300 ns above the raw call and GVariant's own conversions",
    GOAL_EXCESS, BENCH_FIELD_VALUE, "rtt/shm/spin/value/8", "rtt/shm/spin/bytes/64",
    "limit/value/four-conversions/8", AT_MOST, 300 },
  RATIO ("P4",
         "raw call, blocking: at most 1.15 x a futex round trip",
         "rtt/shm/block/bytes/64",
         "limit/block/futex/0",
         AT_MOST,
         1.15),
  RATIO ("P4",
         "GVariant call, blocking: at most 0.8 x gRPC over Unix sockets",
         "rtt/shm/block/value/8",
         "peer/grpc/rtt/unix/block/*/64",
         AT_MOST,
         0.8),
  RATIO ("P4",
         "GVariant call, blocking: at most 0.33 x GDBus peer to peer",
         "rtt/shm/block/value/8",
         "peer/gdbus/rtt/*/block/*/64",
         AT_MOST,
         0.33),
  RATIO ("P5",
         "stream of 64 B: at least 0.4 x the batched limit",
         "stream/shm/spin/in-place/64",
         "limit/stream/batched/64",
         AT_LEAST,
         0.4),
  RATIO ("P5",
         "stream of 64 B: at least 4 x UCX",
         "stream/shm/spin/in-place/64",
         "peer/ucx/stream/*/spin/*/64",
         AT_LEAST,
         4),
  RATIO ("P5",
         "stream of 64 B: at least 20 x iceoryx2",
         "stream/shm/spin/in-place/64",
         "peer/iceoryx2/stream/*/spin/*/64",
         AT_LEAST,
         20),
  RATIO ("P6",
         "stream of 64 KiB, written and read: at least 0.9 x the limit in place",
         "stream/shm/spin/in-place/65536",
         "limit/stream/in-place/65536",
         AT_LEAST,
         0.9),
  RATIO ("P6",
         "stream of 1 MiB, written and read: at least 0.9 x the limit in place",
         "stream/shm/spin/in-place/1048576",
         "limit/stream/in-place/1048576",
         AT_LEAST,
         0.9),
  RATIO ("P6",
         "stream of 64 KiB, written and read: not below iceoryx2",
         "stream/shm/spin/in-place/65536",
         "peer/iceoryx2/stream/*/spin/touched/65536",
         AT_LEAST,
         1),
  RATIO ("P6",
         "stream of 1 MiB, written and read: not below iceoryx2",
         "stream/shm/spin/in-place/1048576",
         "peer/iceoryx2/stream/*/spin/touched/1048576",
         AT_LEAST,
         1),
  RATIO ("P6",
         "stream of 64 KiB, written and read: not below UCX",
         "stream/shm/spin/in-place/65536",
         "peer/ucx/stream/*/spin/*/65536",
         AT_LEAST,
         1),
  RATIO ("P6",
         "stream of 1 MiB, written and read: not below UCX",
         "stream/shm/spin/in-place/1048576",
         "peer/ucx/stream/*/spin/*/1048576",
         AT_LEAST,
         1),
  RATIO ("P7",
         "loan of 16 MiB, not touched: at most 1.1 x one of 64 B",
         "loan/shm/spin/untouched/16777216",
         "loan/shm/spin/untouched/64",
         AT_MOST,
         1.1),
  { "P8", "1 MiB to 8 subscribers: at most 1.5 x the publisher's processor time of one subscriber",
    GOAL_RATIO, BENCH_FIELD_CALLER_CPU, "fan-out/shm/block/8-subscribers/1048576",
    "fan-out/shm/block/1-subscribers/1048576", NULL, AT_MOST, 1.5 },
  RATIO ("P9",
         "unix, 64 B, spinning: at most 1.1 x a raw socket",
         "rtt/unix/spin/copied/64",
         "limit/spin-sockets/unix/64",
         AT_MOST,
         1.1),
  RATIO ("P9",
         "unix, 64 B, blocking: at most 1.1 x a raw socket",
         "rtt/unix/block/copied/64",
         "limit/block-sockets/unix/64",
         AT_MOST,
         1.1),
  FIGURE ("P9",
          "unix, stream of 64 B: at least 5 M/s",
          BENCH_FIELD_VALUE,
          "stream/unix/*/in-place/64",
          AT_LEAST,
          5e6),
  RATIO ("P10",
         "tls, 64 B, blocking: at most 1.1 x raw GnuTLS",
         "rtt/tls/block/copied/64",
         "limit/tls/tls/64",
         AT_MOST,
         1.1),
  RATIO ("P10",
         "tls, 64 B, spinning: at most 1.1 x raw GnuTLS",
         "rtt/tls/spin/copied/64",
         "limit/spin-tls/tls/64",
         AT_MOST,
         1.1),
  RATIO ("P10",
         "tls, stream of 64 KiB: at least 1.3 x the plain record loop",
         "stream/tls/*/in-place/65536",
         "limit/stream-tls/tls/65536",
         AT_LEAST,
         1.3),
  RATIO ("P10",
         "tls, stream of 1 MiB: at least 1.3 x the plain record loop",
         "stream/tls/*/in-place/1048576",
         "limit/stream-tls/tls/1048576",
         AT_LEAST,
         1.3),
  FIGURE ("P10",
          "tls, stream of 64 B: at least 2 M/s",
          BENCH_FIELD_VALUE,
          "stream/tls/*/in-place/64",
          AT_LEAST,
          2e6),
  FIGURE ("P11",
          "asynchronous calls, raw bytes, 64 under way: at least 1 M/s",
          BENCH_FIELD_VALUE,
          "async/shm/*/bytes/64",
          AT_LEAST,
          1e6),
  RATIO ("P11",
         "asynchronous calls, raw bytes, 64 under way: at least 20 x GDBus",
         "async/shm/*/bytes/64",
         "peer/gdbus/async/unix/block/*/64",
         AT_LEAST,
         20),
  RATIO ("P11",
         "asynchronous calls, raw bytes, 64 under way: at least 5 x gRPC",
         "async/shm/*/bytes/64",
         "peer/grpc/async/unix/block/*/64",
         AT_LEAST,
         5),
  FIGURE ("P12",
          "mixed sizes, as chosen: at most 1.03 x the best fixed choice of each size",
          BENCH_FIELD_VALUE,
          "mix/all/times-the-best",
          AT_MOST,
          1.03),
  FIGURE (
      "P12", "the same without shm", BENCH_FIELD_VALUE, "mix/no-shm/times-the-best", AT_MOST, 1.03),
  FIGURE ("P12",
          "the same with shm delayed",
          BENCH_FIELD_VALUE,
          "mix/delayed/times-the-best",
          AT_MOST,
          1.03),
  FIGURE ("P12",
          "the same with shm delayed, without unix",
          BENCH_FIELD_VALUE,
          "mix/delayed-no-unix/times-the-best",
          AT_MOST,
          1.03),
  FIGURE ("P12",
          "with shm delayed the best changes with the size: at least 1 crossover",
          BENCH_FIELD_VALUE,
          "mix/delayed/crossovers",
          AT_LEAST,
          1),
  FIGURE ("P12",
          "the same without unix: at least 1 crossover",
          BENCH_FIELD_VALUE,
          "mix/delayed-no-unix/crossovers",
          AT_LEAST,
          1),
  FIGURE ("P13",
          "1,000 connected clients that say nothing: no wakes a second",
          BENCH_FIELD_VALUE,
          "idle/wakes-per-second",
          AT_MOST,
          0),
  { "P13", "at 1,000 messages a second: adaptive waiting takes at most 5 % of a processor more",
    GOAL_CPU, BENCH_FIELD_SERVICE_CPU, "rate/shm/adaptive/1000-per-s/64",
    "rate/shm/block/1000-per-s/64", NULL, AT_MOST, 0.05 },
  FIGURE ("P14",
          "from exec to the first answer: at most 25 ms",
          BENCH_FIELD_VALUE,
          "start/first-answer",
          AT_MOST,
          25e6),
  FIGURE ("seed",
          "a call on one host: below 10 us",
          BENCH_FIELD_VALUE,
          "rtt/shm/adaptive/bytes/64",
          AT_MOST,
          10e3),
  FIGURE ("seed",
          "a call over TLS: below 5 ms",
          BENCH_FIELD_VALUE,
          "rtt/tls/adaptive/bytes/64",
          AT_MOST,
          5e6),
  FIGURE ("seed",
          "messages of a node: above 10 M/s",
          BENCH_FIELD_VALUE,
          "stream/shm/adaptive/in-place/64",
          AT_LEAST,
          10e6),
  FIGURE ("seed",
          "over TLS: above 500 MB/s, which is 7,630 messages of 64 KiB a second",
          BENCH_FIELD_VALUE,
          "stream/tls/adaptive/in-place/65536",
          AT_LEAST,
          7630),
  FIGURE ("seed",
          "memory of a service: below 1 MiB",
          BENCH_FIELD_VALUE,
          "memory/service-with-a-client",
          AT_MOST,
          1048576),
  FIGURE ("seed",
          "another instance answers after a crash: below 100 ms",
          BENCH_FIELD_VALUE,
          "fallback/kill-to-answer",
          AT_MOST,
          100e6),
  FIGURE ("death",
          "of a process with 64 MiB in use, who waits in a call is told, p99: at most 1 ms",
          BENCH_FIELD_P99,
          "death/blocking",
          AT_MOST,
          1e6),
  FIGURE ("death",
          "the same in a main loop, p99: at most 1 ms",
          BENCH_FIELD_P99,
          "death/main-loop",
          AT_MOST,
          1e6),
  FIGURE ("death",
          "another instance answers after a crash, p99: at most 10 ms",
          BENCH_FIELD_P99,
          "fallback/kill-to-answer",
          AT_MOST,
          10e6),
  FIGURE ("death",
          "the same over TLS, as between hosts, p99: at most 100 ms",
          BENCH_FIELD_P99,
          "fallback/tls/kill-to-answer",
          AT_MOST,
          100e6),
  FIGURE (
      "router", "its hot path: at most 10 ns", BENCH_FIELD_VALUE, "route/hot-path", AT_MOST, 10),
  FIGURE ("router",
          "a re-score of 16 candidates: at most 5 us",
          BENCH_FIELD_VALUE,
          "route/re-score",
          AT_MOST,
          5e3),
  FIGURE ("security",
          "may it call, kept: at most 100 ns",
          BENCH_FIELD_VALUE,
          "policy/kept",
          AT_MOST,
          100),
  FIGURE ("security",
          "decided anew among 1,000 rules: at most 2 us",
          BENCH_FIELD_VALUE,
          "policy/1000-rules",
          AT_MOST,
          2e3),
  FIGURE ("security",
          "a JWT that was seen before: at most 2 us",
          BENCH_FIELD_VALUE,
          "token/seen",
          AT_MOST,
          2e3),
  FIGURE ("security",
          "a new one with ES256: at most 1.2 x GnuTLS alone",
          BENCH_FIELD_VALUE,
          "token/new-to-gnutls",
          AT_MOST,
          1.2),
  FIGURE ("security",
          "the audit trail: at least 100,000 records/s on the disk",
          BENCH_FIELD_VALUE,
          "audit/records",
          AT_LEAST,
          1e5),
  FIGURE ("security",
          "its verification: at least 200 MB/s",
          BENCH_FIELD_VALUE,
          "audit/verified-mb",
          AT_LEAST,
          200),
  FIGURE ("security",
          "beside 5,000 half-open handshakes, the worst way: p99 of calls at most 2 x that without",
          BENCH_FIELD_VALUE,
          "floods/p99-to-none",
          AT_MOST,
          2),
  FIGURE ("many",
          "10,000 connections: at most 1 GiB",
          BENCH_FIELD_VALUE,
          "many/10000/memory",
          AT_MOST,
          1073741824),
  FIGURE ("many",
          "10,000 connections: p99 of the slowest client at most 3 x that of the median",
          BENCH_FIELD_VALUE,
          "many/10000/slowest-to-median",
          AT_MOST,
          3),
  FIGURE ("encoding",
          "compact both ways, of the worst sample: at most 1.05 x the fastest other but raw (large "
          "arrays are one memcpy() in several)",
          BENCH_FIELD_VALUE,
          "encoding/compact-to-fastest/worst",
          AT_MOST,
          1.05),
  FIGURE ("encoding",
          "compact is smaller than MessagePack, of the worst sample",
          BENCH_FIELD_VALUE,
          "encoding/compact-to-msgpack/worst",
          AT_MOST,
          0.999999),
  FIGURE ("encoding",
          "a small record, worst format and way: at most 1.3 x its library driven directly",
          BENCH_FIELD_VALUE,
          "direct/times-direct/worst-record",
          AT_MOST,
          1.3),
  FIGURE ("encoding",
          "1 MiB, worst format, way and type: at most 1.1 x its library driven directly",
          BENCH_FIELD_VALUE,
          "direct/times-direct/worst-mebibyte",
          AT_MOST,
          1.1),
  FIGURE ("large",
          "64 B beside 64 MiB over TLS: p99 at most 3 x that of 64 B alone",
          BENCH_FIELD_VALUE,
          "beside/tls/p99-beside-to-alone",
          AT_MOST,
          3),
};

const char *
bench_verdict_to_string (BenchVerdict verdict)
{
  switch (verdict)
    {
    case BENCH_MET:
      return "met";
    case BENCH_MISSED:
      return "missed";
    case BENCH_NOT_MEASURED:
    default:
      return "not measured";
    }
}

static void
free_judgement (gpointer data)
{
  BenchJudgement *judgement = data;

  g_free (judgement->told);
  g_free (judgement);
}

/* --- why there is no figure --- */

/* The note of a row that has none, or of its scenario; a star matches any. */
static const char *
find_note (const BenchRows *rows, const char *pattern)
{
  for (guint i = 0; i < rows->rows->len; i++)
    {
      const BenchRow *row = rows->rows->pdata[i];

      if (row->note != NULL
          && (g_pattern_match_simple (pattern, row->id) || g_str_has_prefix (pattern, row->id)))
        return row->note;
    }
  return NULL;
}

static char *
tell_why_not (const BenchRows *rows, const Goal *goal)
{
  const char *const patterns[] = { goal->row, goal->other, goal->third };

  for (guint i = 0; i < G_N_ELEMENTS (patterns); i++)
    {
      const char *note;
      g_auto (GStrv) parts = NULL;

      if (patterns[i] == NULL || bench_rows_find_best (rows, patterns[i]) != NULL)
        continue;
      note = find_note (rows, patterns[i]);
      parts = g_strsplit (patterns[i], "/", 3);
      if (note != NULL)
        return g_strdup_printf ("%s: %s", patterns[i], note);
      if (g_str_equal (parts[0], "peer"))
        return g_strdup_printf ("needs the peer %s", parts[1]);
      return g_strdup_printf ("%s was not run", patterns[i]);
    }
  return g_strdup ("the processors moved between the rows");
}

/* --- figures --- */

static gboolean
get_ratio (const Goal *goal, const BenchRow *row, const BenchRow *other, double *out)
{
  return bench_row_compare (row, other, goal->field, out) == BENCH_RATIO_KNOWN;
}

static gboolean
get_figure (const BenchRows *rows, const Goal *goal, double *out)
{
  const BenchRow *row = bench_rows_find_best (rows, goal->row);
  const BenchRow *other = goal->other != NULL ? bench_rows_find_best (rows, goal->other) : NULL;
  const BenchRow *third = goal->third != NULL ? bench_rows_find_best (rows, goal->third) : NULL;

  if (row == NULL || (goal->other != NULL && other == NULL)
      || (goal->third != NULL && third == NULL))
    return FALSE;
  *out = bench_row_get (row, goal->field);
  if (goal->kind == GOAL_RATIO)
    return get_ratio (goal, row, other, out);
  if (goal->kind == GOAL_FIGURE)
    return TRUE;
  *out -= bench_row_get (other, goal->field);
  if (goal->third != NULL)
    *out -= bench_row_get (third, goal->field);
  if (goal->kind == GOAL_CPU)
    *out *= 1000 / 1e9;
  return TRUE;
}

static char *
tell_figure (const BenchRows *rows, const Goal *goal, double figure)
{
  g_autofree char *text = NULL;

  switch (goal->kind)
    {
    case GOAL_RATIO:
      return g_strdup_printf ("%.2f x", figure);
    case GOAL_EXCESS:
      text = bench_format (BENCH_TIME, ABS (figure));
      return g_strdup_printf ("%s%s", figure < 0 ? "-" : "", text);
    case GOAL_CPU:
      return g_strdup_printf ("%.1f %%", figure * 100);
    case GOAL_FIGURE:
    default:
      return bench_format (bench_rows_find_best (rows, goal->row)->unit, figure);
    }
}

static BenchJudgement *
judge (const BenchRows *rows, const Goal *goal)
{
  BenchJudgement *judgement = g_new0 (BenchJudgement, 1);

  judgement->id = goal->id;
  judgement->text = goal->text;
  judgement->bound = goal->bound;
  judgement->verdict = BENCH_NOT_MEASURED;
  if (!get_figure (rows, goal, &judgement->figure))
    {
      judgement->told = tell_why_not (rows, goal);
      return judgement;
    }
  judgement->told = tell_figure (rows, goal, judgement->figure);
  judgement->verdict = (goal->direction == AT_MOST ? judgement->figure <= goal->bound
                                                   : judgement->figure >= goal->bound)
                           ? BENCH_MET
                           : BENCH_MISSED;
  return judgement;
}

GPtrArray *
bench_goals_judge (const BenchRows *rows)
{
  GPtrArray *judgements = g_ptr_array_new_with_free_func (free_judgement);

  for (gsize i = 0; i < G_N_ELEMENTS (goals); i++)
    g_ptr_array_add (judgements, judge (rows, &goals[i]));
  return judgements;
}
