/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where inside a size class the best candidate changes. Costs are straight lines between known
 * sizes, so the lower envelope is walked from line to line and every crossing is exact to the
 * byte. A class has room for one split: of several crossings the one that costs least to keep
 * alone is kept.
 */
#include "config.h"

#include "route/commy-route-private.h"

#include <math.h>

#define MAX_POINTS 128
#define LAST_SIZE (G_GUINT64_CONSTANT (1) << 40) /* what "more" means in the last class */

/* The envelope at one size. Between neighbouring points every line is straight. */
typedef struct
{
  guint64 size;
  guint winner; /* index into eligible */
  double cost;
} Point;

/* What a candidate costs in the class. */
typedef struct
{
  CommyScale scale;
  guint64 limit;
  guint64 straight_below; /* `line` holds from the beginning of the class up to there */
  CommyLine line;
} Cost;

typedef struct
{
  const CommyDemand *demand;
  const CommyCandidate *candidates;
  const CommyAssessment *assessments;
  guint16 eligible[COMMY_ROUTE_MAX_CANDIDATES]; /* who can win somewhere in the class, or tie */
  guint n_eligible;
  guint size_class;
  Cost costs[COMMY_ROUTE_MAX_CANDIDATES]; /* of the eligible */
  Point points[MAX_POINTS];
  guint n_points;
} Sweep;

static const CommyCandidate *
candidate_of (const Sweep *sweep, guint i)
{
  return &sweep->candidates[sweep->eligible[i]];
}

static const CommyPosterior *
posterior_of (const Sweep *sweep, guint i)
{
  return &sweep->assessments[sweep->eligible[i]].posterior[sweep->size_class];
}

static double
cost_at (const Sweep *sweep, guint i, guint64 size)
{
  const Cost *cost = &sweep->costs[i];

  if (size > cost->limit)
    return INFINITY;
  if (size < cost->straight_below)
    return commy_scale_score (&cost->scale, cost->line.fixed + cost->line.slope * (double) size);
  return commy_scale_score (&cost->scale, commy_candidate_claimed (candidate_of (sweep, i),
                                                                   &sweep->demand->weights, size));
}

static guint64
one_straight_to (const Sweep *sweep, guint i, guint64 size, guint64 end)
{
  if (sweep->demand->weights.throughput > 0)
    return commy_candidate_straight_to (candidate_of (sweep, i), size, end);
  return commy_candidate_one_segment_to (candidate_of (sweep, i), size, end);
}

static void
enter (Sweep *sweep, guint16 candidate, guint64 from, guint64 end)
{
  guint i = sweep->n_eligible++;
  Cost *cost = &sweep->costs[i];

  sweep->eligible[i] = candidate;
  cost->limit = commy_candidate_limit (candidate_of (sweep, i));
  cost->scale = commy_scale_for (sweep->demand, candidate_of (sweep, i), posterior_of (sweep, i));
  cost->straight_below = 0;
  if (sweep->demand->weights.throughput > 0 || cost->limit < from)
    return;
  cost->line = commy_candidate_line (candidate_of (sweep, i), &sweep->demand->weights, from);
  cost->straight_below = one_straight_to (sweep, i, from, end) + 1;
}

/* What one candidate costs at both ends of the class. */
typedef struct
{
  double first, last;
  bool is_straight; /* in between */
} Ends;

/* Enters those that can win or tie: a straight line that is above another one, by more than the
 * tie band, at both ends is so in between. */
static void
enter_rivals (Sweep *sweep, const guint16 *eligible, guint n, guint64 from, guint64 end)
{
  Ends ends[COMMY_ROUTE_MAX_CANDIDATES];
  double band = 1 + sweep->demand->tie_band, slack = 1 + 1e-9;
  gint low_first = -1, low_last = -1;
  guint kept = 0;

  for (guint i = 0; i < n; i++)
    {
      enter (sweep, eligible[i], from, end);
      ends[i] = (Ends){ .first = cost_at (sweep, i, from), .last = cost_at (sweep, i, end) };
      ends[i].is_straight = sweep->costs[i].limit >= end
                            && (sweep->costs[i].straight_below > end
                                || one_straight_to (sweep, i, from, end) >= end);
      if (!ends[i].is_straight)
        continue;
      if (low_first < 0 || ends[i].first < ends[low_first].first)
        low_first = (gint) i;
      if (low_last < 0 || ends[i].last < ends[low_last].last)
        low_last = (gint) i;
    }
  for (guint i = 0; i < n; i++)
    {
      bool beaten = false;

      for (guint k = 0; k < 2 && low_first >= 0; k++)
        {
          const Ends *low = &ends[k == 0 ? low_first : low_last];

          beaten |= ends[i].is_straight && ends[i].first > low->first * band * slack
                    && ends[i].last > low->last * band * slack;
        }
      if (beaten)
        continue;
      sweep->eligible[kept] = sweep->eligible[i];
      sweep->costs[kept++] = sweep->costs[i];
    }
  sweep->n_eligible = kept;
}

static bool
goes_first (const Sweep *sweep, guint a, guint b)
{
  return commy_candidate_compare (sweep->demand, candidate_of (sweep, a),
                                  posterior_of (sweep, a)->sd, candidate_of (sweep, b),
                                  posterior_of (sweep, b)->sd)
         < 0;
}

static guint
winner_at (const Sweep *sweep, guint64 size, double *out_cost)
{
  guint best = 0;
  double best_cost = cost_at (sweep, 0, size);

  for (guint i = 1; i < sweep->n_eligible; i++)
    {
      double cost = cost_at (sweep, i, size);

      if (cost < best_cost || (cost == best_cost && goes_first (sweep, i, best)))
        {
          best = i;
          best_cost = cost;
        }
    }
  *out_cost = best_cost;
  return best;
}

static guint
add_point (Sweep *sweep, guint64 size)
{
  Point *point = &sweep->points[sweep->n_points++];

  point->size = size;
  point->winner = winner_at (sweep, size, &point->cost);
  return point->winner;
}

static guint64
straight_to (const Sweep *sweep, guint64 size, guint64 end)
{
  for (guint i = 0; i < sweep->n_eligible; i++)
    {
      const Cost *cost = &sweep->costs[i];

      if (size > cost->limit)
        continue;
      end = MIN (end, cost->limit);
      if (size < cost->straight_below)
        end = MIN (end, cost->straight_below - 1);
      else
        end = one_straight_to (sweep, i, size, end);
    }
  return end;
}

/* Moves the ends next to where two straight lines should cross, after @share of the way; the ends
 * stay where they are if rounding has it elsewhere. */
static void
narrow (const Sweep *sweep,
        guint winner,
        guint rival,
        double share,
        guint64 *inout_from,
        guint64 *inout_to)
{
  guint64 way = *inout_to - *inout_from, at, lo, hi;

  if (way < 8 || !(share >= 0 && share <= 1))
    return;
  at = *inout_from + (guint64) (share * (double) way);
  lo = MAX (at, *inout_from + 1) - 1;
  hi = MIN (at + 2, *inout_to);
  if (cost_at (sweep, winner, lo) <= cost_at (sweep, rival, lo)
      && cost_at (sweep, winner, hi) > cost_at (sweep, rival, hi))
    {
      *inout_from = lo;
      *inout_to = hi;
    }
}

/* The last size in [@from, @to] up to which @winner, the best at @from, is not beaten by @rival.
 * Both are straight in between, so who beats it once does so from there on. */
static guint64
wins_until (const Sweep *sweep, guint winner, guint rival, guint64 from, guint64 to)
{
  double first = cost_at (sweep, rival, from) - cost_at (sweep, winner, from);
  double last = cost_at (sweep, rival, to) - cost_at (sweep, winner, to);

  if (winner == rival || !(last < 0))
    return to;
  narrow (sweep, winner, rival, first / (first - last), &from, &to);
  while (to - from > 1)
    {
      guint64 middle = from + (to - from) / 2;

      if (cost_at (sweep, winner, middle) <= cost_at (sweep, rival, middle))
        from = middle;
      else
        to = middle;
    }
  return from;
}

/* Walks the envelope from @from to @end. */
static void
walk (Sweep *sweep, guint64 from, guint64 end)
{
  while (from <= end && sweep->n_points + 4 < MAX_POINTS)
    {
      guint64 to = straight_to (sweep, from, end);
      guint first = add_point (sweep, from);

      for (guint i = 0; i < sweep->n_eligible && to > from; i++)
        to = wins_until (sweep, first, i, from, to);
      if (to > from)
        {
          add_point (sweep, to);
          sweep->points[sweep->n_points - 1].winner = first;
        }
      from = to + 1;
    }
  if (from <= end)
    add_point (sweep, end);
}

/* How much worse than the envelope @i gets, as a factor, at points [@begin, @end). */
static double
worst_factor (const Sweep *sweep, guint i, guint begin, guint end)
{
  double worst = 1;

  for (guint p = begin; p < end; p++)
    worst = fmax (worst, cost_at (sweep, i, sweep->points[p].size) / sweep->points[p].cost);
  return worst;
}

/* The first in order of those that stay within the tie band; @or_else if none does. */
static gint
tie_break (const Sweep *sweep, guint begin, guint end, gint or_else)
{
  double band = 1 + sweep->demand->tie_band;
  gint best = -1;

  for (guint i = 0; i < sweep->n_eligible; i++)
    if ((best < 0 || goes_first (sweep, i, (guint) best))
        && worst_factor (sweep, i, begin, end) <= band)
      best = (gint) i;
  return best >= 0 ? best : or_else;
}

/* The point that begins the upper side of the split with the least regret. */
static guint
best_cut (const Sweep *sweep)
{
  guint best = 0;
  double least = INFINITY;

  for (guint p = 1; p < sweep->n_points; p++)
    {
      guint lo = sweep->points[p - 1].winner, hi = sweep->points[p].winner;
      double regret;

      if (lo == hi)
        continue;
      regret = fmax (worst_factor (sweep, lo, 0, p), worst_factor (sweep, hi, p, sweep->n_points));
      if (best == 0 || regret < least)
        {
          best = p;
          least = regret;
        }
    }
  return best;
}

CommyCrossover
commy_crossover_find (const CommyDemand *demand,
                      const CommyCandidate *candidates,
                      const CommyAssessment *assessments,
                      const guint16 *eligible,
                      guint n_eligible,
                      guint size_class)
{
  Sweep sweep; /* large: what is not used is not cleared */
  guint64 upper = commy_size_class_upper (size_class);
  guint64 from = size_class == 0 ? 0 : (guint64) commy_size_class_upper (size_class - 1) + 1;
  gint whole, lo, hi;
  guint cut;

  if (n_eligible == 1)
    return (CommyCrossover){ .lo = eligible[0], .hi = eligible[0], .split = upper };
  sweep.demand = demand;
  sweep.candidates = candidates;
  sweep.assessments = assessments;
  sweep.n_eligible = sweep.n_points = 0;
  sweep.size_class = size_class;
  enter_rivals (&sweep, eligible, n_eligible, from, MIN (upper, LAST_SIZE));
  if (sweep.n_eligible == 1)
    return (CommyCrossover){ .lo = sweep.eligible[0], .hi = sweep.eligible[0], .split = upper };
  walk (&sweep, from, MIN (upper, LAST_SIZE));
  whole = tie_break (&sweep, 0, sweep.n_points, -1);
  cut = whole < 0 ? best_cut (&sweep) : 0;
  if (cut == 0)
    {
      guint only = whole >= 0 ? (guint) whole : sweep.points[0].winner;

      return (
          CommyCrossover){ .lo = sweep.eligible[only], .hi = sweep.eligible[only], .split = upper };
    }
  lo = tie_break (&sweep, 0, cut, (gint) sweep.points[cut - 1].winner);
  hi = tie_break (&sweep, cut, sweep.n_points, (gint) sweep.points[cut].winner);
  return (CommyCrossover){ .lo = sweep.eligible[lo],
                           .hi = sweep.eligible[hi],
                           .split = sweep.points[cut - 1].size };
}
