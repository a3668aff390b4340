/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Cells after the idea of Gil Tene's HdrHistogram: 16 equal steps to each power of two, exact
 * below 16 units of 64 ns.
 */
#include "config.h"

#include "control/commy-service-time.h"

#include <math.h>
#include <string.h>

#define SECOND_NS G_GINT64_CONSTANT (1000000000)
#define SHORTEST_NS SECOND_NS
#define LONGEST_NS (60 * SECOND_NS)
#define PERIOD_ENOUGH 100u /* calls that make a period */
#define HIGH 0.75
#define FRESH 32u    /* counted anew when so small a part of all has come */
#define UNIT_BITS 6u /* 64 ns */
#define STEP_BITS 4u /* 16 to a power of two */
#define STEPS (1u << STEP_BITS)

static guint
find_cell (gint64 took_ns)
{
  const guint64 units = took_ns > 0 ? (guint64) took_ns >> UNIT_BITS : 0;
  guint octave;

  if (units < STEPS)
    return (guint) units;
  octave = 63u - (guint) __builtin_clzll (units) - STEP_BITS;
  return MIN (STEPS + octave * STEPS + (guint) (units >> octave) - STEPS,
              COMMY_SERVICE_TIME_CELLS - 1);
}

/* The greatest time that a cell counts. */
static gint64
get_end (guint cell)
{
  guint octave;

  if (cell < STEPS)
    return (gint64) ((guint64) (cell + 1) << UNIT_BITS) - 1;
  octave = (cell - STEPS) / STEPS;
  return (gint64) ((guint64) ((cell - STEPS) % STEPS + STEPS + 1) << (octave + UNIT_BITS)) - 1;
}

/* Soon enough to follow a change, late enough to know something. */
static gboolean
is_period_over (const CommyServiceTime *times, gint64 now_ns)
{
  const gint64 passed_ns = now_ns - times->begun_ns;

  return passed_ns >= LONGEST_NS || (passed_ns >= SHORTEST_NS && times->n[0] >= PERIOD_ENOUGH);
}

static void
advance (CommyServiceTime *times, gint64 now_ns)
{
  const gboolean keep = now_ns - times->begun_ns < 2 * LONGEST_NS;

  if (!is_period_over (times, now_ns))
    return;
  if (keep)
    memcpy (times->cells[1], times->cells[0], sizeof times->cells[1]);
  else
    memset (times->cells[1], 0, sizeof times->cells[1]);
  memset (times->cells[0], 0, sizeof times->cells[0]);
  times->n[1] = keep ? times->n[0] : 0;
  times->sum[1] = keep ? times->sum[0] : 0;
  times->n[0] = 0;
  times->sum[0] = 0;
  times->begun_ns = now_ns;
}

void
commy_service_time_add (CommyServiceTime *times, gint64 now_ns, gint64 took_ns)
{
  advance (times, now_ns);
  if (times->n[0] == G_MAXUINT32)
    return;
  times->cells[0][find_cell (took_ns)]++;
  times->n[0]++;
  times->sum[0] += (double) MAX (took_ns, 0);
}

static gint64
find_quantile (const CommyServiceTime *times, double quantile, guint64 n)
{
  const guint64 rank = (guint64) ceil (CLAMP (quantile, 0, 1) * (double) n);
  guint64 passed = 0;

  for (guint i = 0; i < COMMY_SERVICE_TIME_CELLS; i++)
    {
      passed += (guint64) times->cells[0][i] + times->cells[1][i];
      if (passed >= MAX (rank, 1))
        return get_end (i);
    }
  return get_end (COMMY_SERVICE_TIME_CELLS - 1);
}

gint64
commy_service_time_get (CommyServiceTime *times, double quantile)
{
  const guint64 n = (guint64) times->n[0] + times->n[1];
  const guint at = quantile > HIGH;

  if (n < COMMY_SERVICE_TIME_ENOUGH)
    return 0;
  /* Fewer than before: a period has ended. */
  if (times->known[at].n == 0 || times->known[at].quantile != quantile || n < times->known[at].n
      || n - times->known[at].n > times->known[at].n / FRESH)
    {
      times->known[at].quantile = quantile;
      times->known[at].took_ns = find_quantile (times, quantile, n);
      times->known[at].n = n;
    }
  return times->known[at].took_ns;
}

gint64
commy_service_time_get_mean (const CommyServiceTime *times)
{
  const guint64 n = (guint64) times->n[0] + times->n[1];

  return n < COMMY_SERVICE_TIME_ENOUGH ? 0
                                       : (gint64) ((times->sum[0] + times->sum[1]) / (double) n);
}
