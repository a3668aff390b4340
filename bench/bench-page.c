/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The page that people look at: what it comes down to, the goals, drawings, and everything in a
 * table below. One file, no script, nothing fetched.
 */
#include "config.h"

#include "bench-plot.h"
#include "results.h"

#include <string.h>

typedef struct
{
  const BenchFacts *facts;
  const BenchRows *rows;
  const GPtrArray *goals;
  GString *html;
} Page;

static void
add_escaped (GString *html, const char *text)
{
  g_autofree char *escaped = g_markup_escape_text (text, -1);

  g_string_append (html, escaped);
}

G_GNUC_PRINTF (2, 3)
static void
add (const Page *page, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  g_string_append_vprintf (page->html, format, args);
  va_end (args);
}

static void
open_section (const Page *page, const char *title, const char *text)
{
  add (page, "<section><h2>%s</h2>\n<p>%s</p>\n", title, text);
}

static void
close_section (const Page *page)
{
  add (page, "</section>\n");
}

/* --- the top --- */

static guint
count (const GPtrArray *goals, BenchVerdict verdict)
{
  guint n = 0;

  for (guint i = 0; i < goals->len; i++)
    n += ((const BenchJudgement *) goals->pdata[i])->verdict == verdict;
  return n;
}

/* A figure in large letters, beside its limit where it has one. */
static void
add_tile (
    const Page *page, const char *row_id, const char *limit_id, gboolean bytes, const char *text)
{
  const BenchRow *row = bench_rows_find_best (page->rows, row_id);
  const BenchRow *limit = limit_id != NULL ? bench_rows_find_best (page->rows, limit_id) : NULL;
  g_autofree char *told = NULL;
  double ratio;

  if (row == NULL)
    return;
  told = bytes ? bench_format (BENCH_BYTES, bench_row_get_bytes_per_second (row))
               : bench_format (row->unit, bench_row_get (row, BENCH_FIELD_VALUE));
  add (page, "<div class='tile'><b>%s%s</b><span>%s</span>", told, bytes ? "/s" : "", text);
  if (limit != NULL
      && bench_row_compare (row, limit, BENCH_FIELD_VALUE, &ratio) == BENCH_RATIO_KNOWN)
    add (page, "<i>%.2f x the bare mechanism</i>", ratio);
  add (page, "</div>\n");
}

static void
add_top (const Page *page)
{
  const BenchFacts *facts = page->facts;
  guint met = count (page->goals, BENCH_MET);
  guint missed = count (page->goals, BENCH_MISSED);

  add (page, "<header><h1>Commy, measured</h1><p class='where'>");
  add_escaped (page->html, facts->processor);
  add (page, ", %u processors &#183; ", facts->processors);
  add_escaped (page->html, facts->kernel);
  add (page, "<br/><code>");
  add_escaped (page->html, facts->command);
  add (page, "</code> &#183; %s &#183; %u round%s (%s), %.0f s</p></header>\n", facts->date,
       facts->rounds, facts->rounds == 1 ? "" : "s", facts->length, (double) facts->took_ns / 1e9);
  add (page, "<div class='tiles'>\n");
  add (page,
       "<div class='tile score'><b>%u of %u</b><span>measured goals met</span><i>%u not "
       "measured</i></div>\n",
       met, met + missed, count (page->goals, BENCH_NOT_MEASURED));
  add_tile (page, "rtt/shm/spin/copied/64", "limit/spin/copied/64", FALSE,
            "64 B there and back, both sides looking");
  add_tile (page, "rtt/shm/spin/bytes/64", "limit/spin/copied/64", FALSE,
            "the same as a call by name");
  add_tile (page, "rtt/shm/block/bytes/64", "limit/block/futex/0", FALSE,
            "the same, both sides asleep");
  add_tile (page, "stream/shm/spin/in-place/64", "limit/stream/batched/64", FALSE,
            "messages of 64 B, one way");
  add_tile (page, "stream/shm/spin/in-place/1048576", "limit/stream/in-place/1048576", TRUE,
            "messages of 1 MiB, written and read");
  add_tile (page, "stream/tls/*/in-place/65536", "limit/stream-tls/tls/65536", TRUE,
            "messages of 64 KiB over TLS");
  add_tile (page, "async/shm/adaptive/bytes/64", NULL, FALSE,
            "calls from a main loop, 64 under way");
  add_tile (page, "start/first-answer", NULL, FALSE, "from exec to the first answer");
  add (page, "</div>\n");
}

/* --- the goals --- */

static void
add_goals (const Page *page)
{
  static const char *const classes[] = { "met", "missed", "unmeasured" };
  static const char *const marks[] = { "&#10003;", "&#10007;", "&#8211;" };
  const char *last = "";

  open_section (
      page, "Goals",
      "Ratios are of figures of this run, round by round; a ratio of rounds between which the "
      "processors moved is not judged.");
  add (page, "<table class='goals'>\n");
  for (guint i = 0; i < page->goals->len; i++)
    {
      const BenchJudgement *goal = page->goals->pdata[i];
      gboolean first = strcmp (goal->id, last) != 0;

      add (page, "<tr class='%s%s'><th>%s</th><td class='mark'>%s</td><td>", classes[goal->verdict],
           first ? " first" : "", first ? goal->id : "", marks[goal->verdict]);
      add_escaped (page->html, goal->text);
      add (page, "</td><td class='told'>");
      add_escaped (page->html, goal->told);
      add (page, "</td><td class='verdict'>%s</td></tr>\n",
           bench_verdict_to_string (goal->verdict));
      last = goal->id;
    }
  add (page, "</table>\n");
  close_section (page);
}

/* --- drawings --- */

static void
add_spinning (const Page *page)
{
  g_autoptr (BenchPlot) plot
      = bench_plot_new ("Round trip by size, p50; both axes logarithmic", FALSE);

  bench_plot_add (plot, page->rows, "rtt/shm/spin/copied/*", "Commy shm, copied", BENCH_INK_OURS);
  bench_plot_add (plot, page->rows, "rtt/shm/spin/in-place/*", "Commy shm, in place",
                  BENCH_INK_OURS_2);
  bench_plot_add (plot, page->rows, "loan/shm/spin/untouched/*", "Commy shm, loan not touched",
                  BENCH_INK_OURS_3);
  bench_plot_add (plot, page->rows, "limit/spin/copied/*", "limit, copied", BENCH_INK_LIMIT);
  bench_plot_add (plot, page->rows, "limit/spin/in-place/*", "limit, in place", BENCH_INK_LIMIT_2);
  bench_plot_add_peers (plot, page->rows, page->facts, "rtt", "spin");
  open_section (
      page, "Both sides looking",
      "Nobody sleeps: what is left is the memory of the machine, and what a library adds to "
      "it. Two processes on two processors, one request after the other.");
  bench_plot_write (plot, page->html);
  close_section (page);
}

static void
add_peer_bars (BenchBars *bars, const Page *page, const char *metric, const char *wait, guint size)
{
  for (guint i = 0; i < page->facts->peers->len; i++)
    {
      const BenchPeerInfo *peer = page->facts->peers->pdata[i];
      g_autofree char *pattern
          = g_strdup_printf ("peer/%s/%s/*/%s/*/%u", peer->name, metric, wait, size);

      bench_bars_add (bars, page->rows, pattern, peer->name, BENCH_INK_PEER);
    }
}

static void
add_blocking (const Page *page)
{
  g_autoptr (BenchPlot) plot
      = bench_plot_new ("Round trip by size, p50; both axes logarithmic", FALSE);
  g_autoptr (BenchBars) bars = bench_bars_new ("64 B there and back, p50");

  bench_plot_add (plot, page->rows, "rtt/shm/block/copied/*", "Commy shm", BENCH_INK_OURS);
  bench_plot_add (plot, page->rows, "rtt/unix/block/copied/*", "Commy unix", BENCH_INK_OURS_2);
  bench_plot_add (plot, page->rows, "limit/block/copied/*", "limit, futex and copies",
                  BENCH_INK_LIMIT);
  bench_plot_add (plot, page->rows, "limit/block-sockets/unix/*", "limit, Unix socket",
                  BENCH_INK_LIMIT_2);
  bench_plot_add_peers (plot, page->rows, page->facts, "rtt", "block");
  bench_bars_add (bars, page->rows, "rtt/shm/block/bytes/64", "Commy shm, raw bytes",
                  BENCH_INK_OURS);
  bench_bars_add (bars, page->rows, "rtt/shm/block/value/8", "Commy shm, GVariant", BENCH_INK_OURS);
  bench_bars_add (bars, page->rows, "rtt/unix/block/bytes/64", "Commy unix, raw bytes",
                  BENCH_INK_OURS_2);
  bench_bars_add (bars, page->rows, "limit/block/futex/0", "limit: futex", BENCH_INK_LIMIT);
  bench_bars_add (bars, page->rows, "limit/block-sockets/unix/64", "limit: Unix socket",
                  BENCH_INK_LIMIT);
  bench_bars_add (bars, page->rows, "limit/block-sockets/tcp/64", "limit: TCP", BENCH_INK_LIMIT);
  add_peer_bars (bars, page, "rtt", "block", 64);
  open_section (page, "Both sides asleep",
                "Each message wakes somebody, which costs a hundred times what moving it does. No "
                "library gets below that; the question is what it adds.");
  bench_bars_write (bars, FALSE, page->html);
  bench_plot_write (plot, page->html);
  close_section (page);
}

static void
add_streams (const Page *page)
{
  g_autoptr (BenchPlot) plot
      = bench_plot_new ("Bytes a second by size of message; both axes logarithmic", TRUE);
  g_autoptr (BenchBars) bars = bench_bars_new ("Messages of 64 B a second");

  bench_plot_add (plot, page->rows, "stream/shm/spin/in-place/*", "Commy shm", BENCH_INK_OURS);
  bench_plot_add (plot, page->rows, "stream/unix/*/in-place/*", "Commy unix", BENCH_INK_OURS_2);
  bench_plot_add (plot, page->rows, "limit/stream/batched/*", "limit, copied in batches",
                  BENCH_INK_LIMIT);
  bench_plot_add (plot, page->rows, "limit/stream/in-place/*", "limit, in place",
                  BENCH_INK_LIMIT_2);
  bench_plot_add_peers (plot, page->rows, page->facts, "stream", "*");
  bench_bars_add (bars, page->rows, "stream/shm/*/in-place/64", "Commy shm", BENCH_INK_OURS);
  bench_bars_add (bars, page->rows, "stream/unix/*/in-place/64", "Commy unix", BENCH_INK_OURS_2);
  bench_bars_add (bars, page->rows, "stream/tls/*/in-place/64", "Commy tls", BENCH_INK_OURS_3);
  bench_bars_add (bars, page->rows, "limit/stream/batched/64", "limit: ring, batches",
                  BENCH_INK_LIMIT);
  bench_bars_add (bars, page->rows, "limit/stream/singly/64", "limit: ring, one by one",
                  BENCH_INK_LIMIT);
  bench_bars_add (bars, page->rows, "limit/stream-sockets/unix/64", "limit: Unix socket",
                  BENCH_INK_LIMIT);
  add_peer_bars (bars, page, "stream", "*", 64);
  open_section (
      page, "One way, as much as goes through",
      "One producer, one consumer; the sender writes every byte and the receiver reads it.");
  bench_plot_write (plot, page->html);
  bench_bars_write (bars, FALSE, page->html);
  close_section (page);
}

static void
add_tls (const Page *page)
{
  g_autoptr (BenchPlot) trips
      = bench_plot_new ("Round trip by size, p50, both sides asleep", FALSE);
  g_autoptr (BenchPlot) streams
      = bench_plot_new ("Bytes a second by size of message, one way", TRUE);

  bench_plot_add (trips, page->rows, "rtt/tls/block/copied/*", "Commy tls", BENCH_INK_OURS);
  bench_plot_add (trips, page->rows, "limit/tls/tls/*", "limit, GnuTLS over TCP", BENCH_INK_LIMIT);
  bench_plot_add (trips, page->rows, "limit/block-sockets/tcp/*", "limit, TCP", BENCH_INK_LIMIT_2);
  bench_plot_add (streams, page->rows, "stream/tls/*/in-place/*", "Commy tls", BENCH_INK_OURS);
  bench_plot_add (streams, page->rows, "limit/stream-tls/tls/*", "limit, GnuTLS over TCP",
                  BENCH_INK_LIMIT);
  bench_plot_add (streams, page->rows, "limit/stream-sockets/tcp/*", "limit, TCP",
                  BENCH_INK_LIMIT_2);
  open_section (
      page, "Between hosts",
      "TLS 1.3 with certificates on both sides over TCP on loopback, beside the same library "
      "and cipher in a plain loop.");
  bench_plot_write (trips, page->html);
  bench_plot_write (streams, page->html);
  close_section (page);
}

static void
add_waits (const Page *page)
{
  static const struct
  {
    const char *row;
    const char *name;
  } bars_of[] = {
    { "rtt/shm/spin/bytes/64", "shm, spin" },
    { "rtt/shm/adaptive/bytes/64", "shm, adaptive (the default)" },
    { "rtt/shm/block/bytes/64", "shm, block" },
    { "rtt/shm/adaptive/one-core/bytes/64", "shm, adaptive, one processor" },
    { "rtt/shm/block/one-core/bytes/64", "shm, block, one processor" },
    { "rtt/shm/adaptive/unpinned/bytes/64", "shm, adaptive, not pinned" },
    { "rtt/shm/block/unpinned/bytes/64", "shm, block, not pinned" },
    { "rtt/unix/spin/bytes/64", "unix, spin" },
    { "rtt/unix/adaptive/bytes/64", "unix, adaptive" },
    { "rtt/unix/block/bytes/64", "unix, block" },
    { "rtt/tls/adaptive/bytes/64", "tls, adaptive" },
    { "rtt/inproc/adaptive/bytes/64", "inproc, adaptive" },
  };
  g_autoptr (BenchBars) bars = bench_bars_new ("A call by name with 64 B, p50");

  for (gsize i = 0; i < G_N_ELEMENTS (bars_of); i++)
    bench_bars_add (bars, page->rows, bars_of[i].row, bars_of[i].name,
                    g_str_has_prefix (bars_of[i].row, "rtt/shm") ? BENCH_INK_OURS
                                                                 : BENCH_INK_OURS_2);
  open_section (
      page, "How to wait",
      "Spinning costs a processor and saves two wake-ups; adaptive waiting spins only while "
      "that pays. Where both ends share a processor nobody may spin.");
  bench_bars_write (bars, TRUE, page->html);
  close_section (page);
}

/* --- tables --- */

static void
add_cell (const Page *page, BenchUnit unit, double value)
{
  g_autofree char *text = value > 0 ? bench_format (unit, value) : g_strdup ("");

  add (page, "<td class='told'>%s</td>", text);
}

static void
add_row (const Page *page, const BenchRow *row)
{
  gboolean times = row->unit == BENCH_TIME;
  double least, most;
  double median;

  add (page, "<tr><td class='id'>%s</td>", row->id);
  if (!bench_row_has_figure (row))
    {
      add (page, "<td colspan='7' class='note'>");
      add_escaped (page->html, row->note != NULL ? row->note : "");
      add (page, "</td></tr>\n");
      return;
    }
  median = bench_row_get_spread (row, BENCH_FIELD_VALUE, &least, &most);
  add_cell (page, row->unit, median);
  add (page, "<td class='told'>%.0f %%</td>", median > 0 ? 100 * (most - least) / median : 0);
  add_cell (page, BENCH_TIME, times ? bench_row_get (row, BENCH_FIELD_P99) : 0);
  add_cell (page, BENCH_TIME, times ? bench_row_get (row, BENCH_FIELD_P999) : 0);
  add_cell (page, BENCH_TIME, bench_row_get (row, BENCH_FIELD_CALLER_CPU));
  add_cell (page, BENCH_TIME, bench_row_get (row, BENCH_FIELD_SERVICE_CPU));
  add_cell (page, BENCH_TIME, bench_row_get (row, BENCH_FIELD_REF));
  add (page, "</tr>\n");
}

/* All rows whose id begins with one of @prefixes; @prefixes NULL: all. */
static void
add_table (const Page *page, const char *const *prefixes)
{
  gboolean begun = FALSE;

  for (guint i = 0; i < page->rows->rows->len; i++)
    {
      const BenchRow *row = page->rows->rows->pdata[i];
      gboolean wanted = prefixes == NULL;

      for (guint k = 0; prefixes != NULL && prefixes[k] != NULL; k++)
        wanted = wanted || g_str_has_prefix (row->id, prefixes[k]);
      if (!wanted)
        continue;
      if (!begun)
        add (page, "<div class='wide'><table class='rows'><tr><th>row</th><th>p50 or figure</th>"
                   "<th>spread</th><th>p99</th><th>p99.9</th><th>caller's cpu</th>"
                   "<th>service's cpu</th><th>ref</th></tr>\n");
      begun = TRUE;
      add_row (page, row);
    }
  if (begun)
    add (page, "</table></div>\n");
}

static void
add_rest (const Page *page)
{
  static const char *const encodings[] = { "encoding/", "direct/", NULL };
  static const char *const rates[] = { "rate/", "async/", "beside/", NULL };
  static const char *const life[]
      = { "start",  "death", "limit/death", "fallback", "memory",   "many/",
          "idle",   "mix/",  "choice",      "route",    "decision", "serializer",
          "policy", "token", "audit",       "floods",   NULL };

  open_section (
      page, "At a rate, and many at a time",
      "Messages that come at a rate are timed from the moment at which they were meant to "
      "leave, so a stall is told by all who waited in it.");
  add_table (page, rates);
  close_section (page);
  open_section (page, "Encodings",
                "Each serializer alone, on the published set of values: from memory to bytes, from "
                "bytes to memory, and how many bytes.");
  add_table (page, encodings);
  close_section (page);
  open_section (
      page, "A program's life, many connections, and the choice",
      "Memory is what is there because of Commy alone; regret is what the router's choice "
      "takes beside the best fixed choice of each size.");
  add_table (page, life);
  close_section (page);
  add (page, "<section><details><summary>All rows</summary>\n");
  add_table (page, NULL);
  add (page, "</details></section>\n");
}

gboolean
bench_page_write (const char *path,
                  const char *style,
                  const BenchFacts *facts,
                  const BenchRows *rows,
                  const GPtrArray *goals,
                  GError **error)
{
  g_autoptr (GString) html = g_string_new (NULL);
  g_autofree char *css = NULL;
  Page page = { facts, rows, goals, html };

  if (!g_file_get_contents (style, &css, NULL, error))
    return FALSE;
  add (&page,
       "<!DOCTYPE html>\n<html lang='en'><head><meta charset='utf-8'/>"
       "<meta name='viewport' content='width=device-width, initial-scale=1'/>"
       "<title>Commy, measured</title>\n<style>\n%s</style></head>\n<body><main>\n",
       css);
  add_top (&page);
  add_goals (&page);
  add_spinning (&page);
  add_blocking (&page);
  add_streams (&page);
  add_tls (&page);
  add_waits (&page);
  add_rest (&page);
  add (&page, "</main></body></html>\n");
  return g_file_set_contents (path, html->str, (gssize) html->len, error);
}
