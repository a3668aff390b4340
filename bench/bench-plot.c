/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The drawings' geometry: axes in powers of ten and of two, labels at the ends of lines that keep
 * out of each other's way, and bars.
 */
#include "config.h"

#include "bench-plot.h"

#include <math.h>
#include <string.h>

#define WIDTH 920.0
#define HEIGHT 430.0
#define LEFT 78.0
#define RIGHT 220.0
#define TOP 16.0
#define BOTTOM 42.0
#define LABEL_STEP 16.0

typedef struct
{
  double size, value;
  char *told;
} Point;

typedef struct
{
  char *name;
  char *ink;
  GArray *points; /* of Point, by size */
  double label_y;
} Line;

struct _BenchPlot
{
  char *title;
  gboolean bytes_per_second;
  GPtrArray *lines; /* of Line */
  guint n_peers;
};

static void
clear_point (gpointer data)
{
  g_free (((Point *) data)->told);
}

static void
free_line (gpointer data)
{
  Line *line = data;

  g_free (line->name);
  g_free (line->ink);
  g_array_unref (line->points);
  g_free (line);
}

BenchPlot *
bench_plot_new (const char *title, gboolean bytes_per_second)
{
  BenchPlot *plot = g_new0 (BenchPlot, 1);

  plot->title = g_strdup (title);
  plot->bytes_per_second = bytes_per_second;
  plot->lines = g_ptr_array_new_with_free_func (free_line);
  return plot;
}

void
bench_plot_free (BenchPlot *plot)
{
  g_free (plot->title);
  g_ptr_array_unref (plot->lines);
  g_free (plot);
}

/* --- lines --- */

static char *
get_class (BenchInk ink, guint peer)
{
  static const char *const names[] = { "ours", "ours2", "ours3", "limit", "limit2" };

  return ink == BENCH_INK_PEER ? g_strdup_printf ("peer%u", peer % 8) : g_strdup (names[ink]);
}

static double
get_value (const BenchPlot *plot, const BenchRow *row)
{
  return plot->bytes_per_second ? bench_row_get_bytes_per_second (row)
                                : bench_row_get (row, BENCH_FIELD_VALUE);
}

/* Bytes a second in powers of ten, as the axis is. */
static char *
format_value (const BenchPlot *plot, double value)
{
  g_autofree char *rate = NULL;

  if (!plot->bytes_per_second)
    return bench_format (BENCH_TIME, value);
  rate = bench_format (BENCH_RATE, value);
  return g_strdup_printf ("%.*sB/s", (int) strcspn (rate, "/"), rate);
}

static int
compare_sizes (gconstpointer a, gconstpointer b)
{
  double left = ((const Point *) a)->size;
  double right = ((const Point *) b)->size;

  return (left > right) - (left < right);
}

static void
take_point (const BenchPlot *plot, Line *line, const BenchRow *row)
{
  g_autofree char *value = format_value (plot, get_value (plot, row));
  g_autofree char *size = bench_format_size (row->size);
  Point point = { (double) row->size, get_value (plot, row), NULL };

  for (guint i = 0; i < line->points->len; i++)
    {
      Point *old = &g_array_index (line->points, Point, i);

      if (old->size != point.size)
        continue;
      if (plot->bytes_per_second ? point.value > old->value : point.value < old->value)
        {
          g_free (old->told);
          old->value = point.value;
          old->told = g_strdup_printf ("%s, %s: %s", line->name, size, value);
        }
      return;
    }
  point.told = g_strdup_printf ("%s, %s: %s", line->name, size, value);
  g_array_append_val (line->points, point);
}

void
bench_plot_add (
    BenchPlot *plot, const BenchRows *rows, const char *pattern, const char *name, BenchInk ink)
{
  Line *line = g_new0 (Line, 1);

  line->name = g_strdup (name);
  line->ink = get_class (ink, plot->n_peers);
  line->points = g_array_new (FALSE, FALSE, sizeof (Point));
  g_array_set_clear_func (line->points, clear_point);
  for (guint i = 0; i < rows->rows->len; i++)
    {
      const BenchRow *row = rows->rows->pdata[i];

      if (bench_row_has_figure (row) && row->size > 0 && get_value (plot, row) > 0
          && g_pattern_match_simple (pattern, row->id))
        take_point (plot, line, row);
    }
  if (line->points->len == 0)
    {
      free_line (line);
      return;
    }
  g_array_sort (line->points, compare_sizes);
  g_ptr_array_add (plot->lines, line);
  plot->n_peers += ink == BENCH_INK_PEER;
}

void
bench_plot_add_peers (BenchPlot *plot,
                      const BenchRows *rows,
                      const BenchFacts *facts,
                      const char *metric,
                      const char *wait)
{
  for (guint i = 0; i < facts->peers->len; i++)
    {
      const BenchPeerInfo *peer = facts->peers->pdata[i];
      g_autofree char *pattern
          = g_strdup_printf ("peer/%s/%s/*/%s/touched/*", peer->name, metric, wait);

      bench_plot_add (plot, rows, pattern, peer->name, BENCH_INK_PEER);
    }
}

/* --- axes --- */

typedef struct
{
  double least_x, most_x, least_y, most_y; /* logarithms */
} Frame;

static Frame
find_frame (const BenchPlot *plot)
{
  Frame frame = { 1e9, -1e9, 1e9, -1e9 };

  for (guint i = 0; i < plot->lines->len; i++)
    {
      const Line *line = plot->lines->pdata[i];

      for (guint k = 0; k < line->points->len; k++)
        {
          const Point *point = &g_array_index (line->points, Point, k);

          frame.least_x = MIN (frame.least_x, log2 (point->size));
          frame.most_x = MAX (frame.most_x, log2 (point->size));
          frame.least_y = MIN (frame.least_y, log10 (point->value));
          frame.most_y = MAX (frame.most_y, log10 (point->value));
        }
    }
  frame.least_y = floor (frame.least_y * 2) / 2;
  frame.most_y = ceil (frame.most_y * 2) / 2;
  if (frame.most_x <= frame.least_x)
    frame.most_x = frame.least_x + 1;
  if (frame.most_y <= frame.least_y)
    frame.most_y = frame.least_y + 1;
  return frame;
}

static double
get_x (const Frame *frame, double size)
{
  return LEFT
         + (log2 (size) - frame->least_x) / (frame->most_x - frame->least_x)
               * (WIDTH - LEFT - RIGHT);
}

static double
get_y (const Frame *frame, double value)
{
  return HEIGHT - BOTTOM
         - (log10 (value) - frame->least_y) / (frame->most_y - frame->least_y)
               * (HEIGHT - TOP - BOTTOM);
}

static void
write_axes (const BenchPlot *plot, const Frame *frame, GString *html)
{
  for (int power = (int) ceil (frame->least_y); power <= (int) floor (frame->most_y); power++)
    {
      double y = get_y (frame, pow (10, power));
      g_autofree char *text = format_value (plot, pow (10, power));

      g_string_append_printf (html,
                              "<line class='grid' x1='%.1f' x2='%.1f' y1='%.1f' y2='%.1f'/>"
                              "<text class='tick' x='%.1f' y='%.1f' text-anchor='end'>%s</text>\n",
                              LEFT, WIDTH - RIGHT, y, y, LEFT - 10, y + 4, text);
    }
  for (int power = (int) frame->least_x; power <= (int) frame->most_x; power += 2)
    {
      double x = get_x (frame, pow (2, power));
      g_autofree char *text = bench_format_size (1ull << power);

      g_string_append_printf (
          html,
          "<line class='axis' x1='%.1f' x2='%.1f' y1='%.1f' y2='%.1f'/>"
          "<text class='tick' x='%.1f' y='%.1f' text-anchor='middle'>%s</text>\n",
          x, x, HEIGHT - BOTTOM, HEIGHT - BOTTOM + 5, x, HEIGHT - BOTTOM + 21, text);
    }
  g_string_append_printf (html, "<line class='axis' x1='%.1f' x2='%.1f' y1='%.1f' y2='%.1f'/>\n",
                          LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM, HEIGHT - BOTTOM);
}

/* --- labels --- */

static int
compare_labels (gconstpointer a, gconstpointer b)
{
  double left = (*(Line *const *) a)->label_y;
  double right = (*(Line *const *) b)->label_y;

  return (left > right) - (left < right);
}

static const Point *
get_end (const Line *line)
{
  return &g_array_index (line->points, Point, line->points->len - 1);
}

/* From the top down each at least a step below the one above; then up again from the bottom. */
static void
place_labels (GPtrArray *lines, const Frame *frame)
{
  double limit = TOP + 4;

  for (guint i = 0; i < lines->len; i++)
    {
      Line *line = lines->pdata[i];

      line->label_y = get_y (frame, get_end (line)->value);
    }
  g_ptr_array_sort (lines, compare_labels);
  for (guint i = 0; i < lines->len; i++)
    {
      Line *line = lines->pdata[i];

      line->label_y = MAX (line->label_y, limit);
      limit = line->label_y + LABEL_STEP;
    }
  limit = HEIGHT - BOTTOM;
  for (guint i = lines->len; i-- > 0;)
    {
      Line *line = lines->pdata[i];

      line->label_y = MIN (line->label_y, limit);
      limit = line->label_y - LABEL_STEP;
    }
}

static void
write_line (const Line *line, const Frame *frame, GString *html)
{
  const Point *end = get_end (line);
  double end_x = get_x (frame, end->size);
  double end_y = get_y (frame, end->value);

  g_string_append_printf (html, "<g class='line %s'><polyline points='", line->ink);
  for (guint i = 0; i < line->points->len; i++)
    {
      const Point *point = &g_array_index (line->points, Point, i);

      g_string_append_printf (html, "%.1f,%.1f ", get_x (frame, point->size),
                              get_y (frame, point->value));
    }
  g_string_append (html, "'/>");
  for (guint i = 0; i < line->points->len; i++)
    {
      const Point *point = &g_array_index (line->points, Point, i);

      g_string_append_printf (html,
                              "<circle cx='%.1f' cy='%.1f' r='3.2'><title>%s</title></circle>",
                              get_x (frame, point->size), get_y (frame, point->value), point->told);
    }
  g_string_append_printf (html,
                          "<path class='lead' d='M%.1f %.1fL%.1f %.1f'/>"
                          "<text class='label' x='%.1f' y='%.1f'>%s</text></g>\n",
                          end_x + 6, end_y, WIDTH - RIGHT + 22, line->label_y, WIDTH - RIGHT + 27,
                          line->label_y + 4, line->name);
}

void
bench_plot_write (const BenchPlot *plot, GString *html)
{
  Frame frame;
  g_autoptr (GPtrArray) by_label = NULL;

  if (plot->lines->len == 0)
    return;
  frame = find_frame (plot);
  by_label = g_ptr_array_sized_new (plot->lines->len);
  for (guint i = 0; i < plot->lines->len; i++)
    g_ptr_array_add (by_label, plot->lines->pdata[i]);
  place_labels (by_label, &frame);
  g_string_append_printf (html,
                          "<figure><figcaption>%s</figcaption>"
                          "<svg viewBox='0 0 %.0f %.0f' role='img' aria-label='%s'>\n",
                          plot->title, WIDTH, HEIGHT, plot->title);
  write_axes (plot, &frame, html);
  /* Ours last, so that they lie above the others. */
  for (guint i = plot->lines->len; i-- > 0;)
    write_line (plot->lines->pdata[i], &frame, html);
  g_string_append (html, "</svg></figure>\n");
}

/* --- bars --- */

typedef struct
{
  char *name;
  char *ink;
  char *told;
  double value;
  gboolean more_is_better;
} Bar;

struct _BenchBars
{
  char *title;
  GArray *bars; /* of Bar */
  guint n_peers;
};

static void
clear_bar (gpointer data)
{
  Bar *bar = data;

  g_free (bar->name);
  g_free (bar->ink);
  g_free (bar->told);
}

BenchBars *
bench_bars_new (const char *title)
{
  BenchBars *bars = g_new0 (BenchBars, 1);

  bars->title = g_strdup (title);
  bars->bars = g_array_new (FALSE, FALSE, sizeof (Bar));
  g_array_set_clear_func (bars->bars, clear_bar);
  return bars;
}

void
bench_bars_free (BenchBars *bars)
{
  g_free (bars->title);
  g_array_unref (bars->bars);
  g_free (bars);
}

void
bench_bars_add (
    BenchBars *bars, const BenchRows *rows, const char *pattern, const char *name, BenchInk ink)
{
  const BenchRow *row = bench_rows_find_best (rows, pattern);
  Bar bar;

  if (row == NULL)
    return;
  bar.value = bench_row_get (row, BENCH_FIELD_VALUE);
  bar.name = g_strdup (name);
  bar.ink = get_class (ink, bars->n_peers);
  bar.told = bench_format (row->unit, bar.value);
  bar.more_is_better = row->unit == BENCH_RATE;
  bars->n_peers += ink == BENCH_INK_PEER;
  g_array_append_val (bars->bars, bar);
}

static int
compare_bars (gconstpointer a, gconstpointer b)
{
  const Bar *left = a;
  const Bar *right = b;
  int order = (left->value > right->value) - (left->value < right->value);

  return left->more_is_better ? -order : order;
}

void
bench_bars_write (BenchBars *bars, gboolean as_given, GString *html)
{
  double most = 0;

  if (bars->bars->len == 0)
    return;
  if (!as_given)
    g_array_sort (bars->bars, compare_bars);
  for (guint i = 0; i < bars->bars->len; i++)
    most = MAX (most, g_array_index (bars->bars, Bar, i).value);
  g_string_append_printf (html, "<figure><figcaption>%s</figcaption><div class='bars'>\n",
                          bars->title);
  for (guint i = 0; i < bars->bars->len; i++)
    {
      const Bar *bar = &g_array_index (bars->bars, Bar, i);

      g_string_append_printf (
          html,
          "<span class='name'>%s</span><span class='track'><span class='bar %s' "
          "style='width:%.2f%%'></span></span><span class='told'>%s</span>\n",
          bar->name, bar->ink, MAX (100 * bar->value / most, 0.4), bar->told);
    }
  g_string_append (html, "</div></figure>\n");
}
