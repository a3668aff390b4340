/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Four panels over the same time: calls, latencies, sending again, and who is left out. Faults are
 * bands behind all of them. What bench/ draws has another axis, sizes; only its colours are shared.
 */
#include "config.h"

#include "cli/commy-simulate-plot.h"

#include "cli/commy-lookup.h"
#include "cli/commy-quantity.h"

#include <math.h>

#define WIDTH 920.0
#define LEFT 78.0
#define RIGHT 150.0
#define TOP 58.0
#define PANEL 150.0 /* height, */
#define GAP 44.0    /* and what is between two */
#define N_PANELS 4u
#define HEIGHT (TOP + N_PANELS * (PANEL + GAP))
#define LABEL_STEP 15.0
#define N_TICKS 4

typedef enum
{
  KIND_COUNT, /* of an interval, drawn as a rate */
  KIND_TIME,
  KIND_LEVEL,
} Kind;

typedef struct
{
  const char *key;  /* of an entry of the time line */
  const char *name; /* of the line */
  const char *ink;
} Curve;

typedef struct
{
  const char *title;
  Kind kind;
  Curve curves[3];
  guint n_curves;
} Panel;

/* The words are of the field, and the same in all languages, as in JSON. */
static const Panel panels[N_PANELS] = {
  { "calls a second",
    KIND_COUNT,
    { { "calls", "calls", "limit" },
      { "succeeded", "succeeded", "good" },
      { "failed", "failed", "bad" } },
    3 },
  { "latency of calls that succeed",
    KIND_TIME,
    { { "p50-ns", "p50", "ours" }, { "p99-ns", "p99", "bad" } },
    2 },
  { "sent again, a second",
    KIND_COUNT,
    { { "retries", "retries", "ours" }, { "hedges", "hedges", "more" } },
    2 },
  { "instances left out, mean of all clients",
    KIND_LEVEL,
    { { "ejected", "ejected", "ours" }, { "open", "breaker open", "bad" } },
    2 },
};

static const char style[]
    = "svg{--paper:#fbfaf8;--ink:#1d2026;--soft:#5d6470;--faint:#e6e3dc;--ours:#0b57d0;"
      "--good:#15803d;--bad:#c2410c;--more:#8250df;--limit:#8a919e;background:var(--paper);"
      "font:13px system-ui,\"DejaVu Sans\",sans-serif}"
      "@media(prefers-color-scheme:dark){svg{--paper:#14161a;--ink:#e8e8e6;--soft:#a0a7b4;"
      "--faint:#2f343d;--ours:#7fb2ff;--good:#5dd387;--bad:#ff9a62;--more:#c4a6ff;"
      "--limit:#7d8592}}"
      ".title{font-size:17px;font-weight:650;fill:var(--ink)}.name{fill:var(--ink);font-weight:600}"
      ".tick{fill:var(--soft);font-size:12px}.grid{stroke:var(--faint)}.axis{stroke:var(--soft)}"
      ".fault{fill:var(--soft);opacity:.1}polyline{fill:none;stroke:var(--c);stroke-width:1.8;"
      "stroke-linejoin:round}.label{fill:var(--c)}.ours{--c:var(--ours)}.good{--c:var(--good)}"
      ".bad{--c:var(--bad)}.more{--c:var(--more)}.limit{--c:var(--limit)}";

typedef struct
{
  GString *svg;
  GVariant *timeline;
  gsize n;
  double duration_ns;
} Plot;

static double
get_number (GVariant *entry, const char *key)
{
  g_autoptr (GVariant) value = g_variant_lookup_value (entry, key, NULL);

  if (value != NULL && g_variant_is_of_type (value, G_VARIANT_TYPE_DOUBLE))
    return g_variant_get_double (value);
  return value != NULL && g_variant_is_of_type (value, G_VARIANT_TYPE_UINT64)
             ? (double) g_variant_get_uint64 (value)
             : 0;
}

/* As it is drawn: counts a second. */
static double
get_value (GVariant *entry, Kind kind, const char *key)
{
  const double took_ns = get_number (entry, "took-ns");

  if (kind != KIND_COUNT)
    return get_number (entry, key);
  return took_ns > 0 ? get_number (entry, key) * 1e9 / took_ns : 0;
}

static double
get_x (const Plot *plot, double at_ns)
{
  return LEFT + at_ns / plot->duration_ns * (WIDTH - LEFT - RIGHT);
}

/* A round number that is at least @value: 1, 2 or 5 times a power of ten. */
static double
round_up (double value)
{
  const double power = pow (10, floor (log10 (value)));
  const double mantissa = value / power;

  return power * (mantissa <= 1 ? 1 : mantissa <= 2 ? 2 : mantissa <= 5 ? 5 : 10);
}

static double
find_top (const Plot *plot, const Panel *panel)
{
  double most = 0;

  for (gsize i = 0; i < plot->n; i++)
    {
      g_autoptr (GVariant) entry = g_variant_get_child_value (plot->timeline, i);

      for (guint k = 0; k < panel->n_curves; k++)
        most = MAX (most, get_value (entry, panel->kind, panel->curves[k].key));
    }
  return most > 0 ? round_up (most) : 1;
}

static char *
format_tick (Kind kind, double value)
{
  return kind == KIND_TIME && value > 0 ? commy_quantity_format_ns (value)
                                        : g_strdup_printf ("%.4g", value);
}

static void
draw_frame (const Plot *plot, const Panel *panel, double y, double top)
{
  g_string_append_printf (plot->svg, "<text class='name' x='%.1f' y='%.1f'>%s</text>\n", LEFT,
                          y - 10, panel->title);
  for (int i = 0; i <= N_TICKS; i++)
    {
      const double tick_y = y + PANEL - PANEL * i / N_TICKS;
      g_autofree char *text = format_tick (panel->kind, top * i / N_TICKS);

      g_string_append_printf (plot->svg,
                              "<line class='%s' x1='%.1f' x2='%.1f' y1='%.1f' y2='%.1f'/>"
                              "<text class='tick' x='%.1f' y='%.1f' text-anchor='end'>%s</text>\n",
                              i == 0 ? "axis" : "grid", LEFT, WIDTH - RIGHT, tick_y, tick_y,
                              LEFT - 8, tick_y + 4, text);
    }
}

static void
draw_curve (const Plot *plot, const Panel *panel, const Curve *curve, double y, double top)
{
  g_string_append_printf (plot->svg, "<g class='%s'><polyline points='", curve->ink);
  for (gsize i = 0; i < plot->n; i++)
    {
      g_autoptr (GVariant) entry = g_variant_get_child_value (plot->timeline, i);
      const double middle_ns = get_number (entry, "at-ns") + get_number (entry, "took-ns") / 2;
      const double value = get_value (entry, panel->kind, curve->key);

      g_string_append_printf (plot->svg, "%.1f,%.1f ", get_x (plot, middle_ns),
                              y + PANEL - PANEL * value / top);
    }
  g_string_append (plot->svg, "'/>");
}

/* Names stand beside the panel in the order of the table, so that they never meet. */
static void
draw_panel (const Plot *plot, const Panel *panel, double y)
{
  const double top = find_top (plot, panel);

  draw_frame (plot, panel, y, top);
  for (guint i = 0; i < panel->n_curves; i++)
    {
      draw_curve (plot, panel, &panel->curves[i], y, top);
      g_string_append_printf (plot->svg, "<text class='label' x='%.1f' y='%.1f'>%s</text></g>\n",
                              WIDTH - RIGHT + 14, y + 12 + LABEL_STEP * i, panel->curves[i].name);
    }
}

static void
draw_faults (const Plot *plot, GVariant *result)
{
  g_autoptr (GVariant) faults
      = g_variant_lookup_value (result, "faults", G_VARIANT_TYPE ("aa{sv}"));

  for (gsize i = 0, n = faults != NULL ? g_variant_n_children (faults) : 0; i < n; i++)
    {
      g_autoptr (GVariant) fault = g_variant_get_child_value (faults, i);
      g_autofree char *name = g_markup_escape_text (commy_record_get_string (fault, "name"), -1);
      const double x = get_x (plot, get_number (fault, "at-ns"));

      g_string_append_printf (
          plot->svg,
          "<rect class='fault' x='%.1f' y='%.1f' width='%.1f' height='%.1f'><title>%s: %s</title>"
          "</rect>\n",
          x, TOP, get_x (plot, get_number (fault, "until-ns")) - x, HEIGHT - TOP - GAP, name,
          commy_record_get_string (fault, "kind"));
    }
}

static void
draw_time (const Plot *plot)
{
  const double step = round_up (plot->duration_ns / 12);

  for (double at = 0; at <= plot->duration_ns * 1.0001; at += step)
    {
      g_autofree char *text = commy_quantity_format_ns (at);

      g_string_append_printf (
          plot->svg, "<text class='tick' x='%.1f' y='%.1f' text-anchor='middle'>%s</text>\n",
          get_x (plot, at), HEIGHT - GAP + 20, at > 0 ? text : "0");
    }
}

char *
commy_simulate_plot (GVariant *result, const char *title)
{
  g_autofree char *escaped = g_markup_escape_text (title, -1);
  g_autoptr (GVariant) timeline
      = g_variant_lookup_value (result, "timeline", G_VARIANT_TYPE ("aa{sv}"));
  Plot plot = { g_string_new (NULL), timeline, 0, MAX (get_number (result, "duration-ns"), 1) };

  plot.n = timeline != NULL ? g_variant_n_children (timeline) : 0;
  g_string_append_printf (plot.svg,
                          "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 %.0f %.0f' "
                          "role='img' aria-label='%s'>\n<style>%s</style>\n"
                          "<text class='title' x='%.1f' y='26'>%s</text>\n",
                          WIDTH, HEIGHT, escaped, style, LEFT, escaped);
  draw_faults (&plot, result);
  for (guint i = 0; i < N_PANELS; i++)
    draw_panel (&plot, &panels[i], TOP + i * (PANEL + GAP));
  draw_time (&plot);
  g_string_append (plot.svg, "</svg>\n");
  return g_string_free (plot.svg, FALSE);
}
