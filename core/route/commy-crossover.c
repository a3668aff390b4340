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
#define SLACK (1 + 1e-9) /* for rounding */

/* The envelope at one size. Between neighbouring points every line is straight. */
typedef struct
{
  guint64 size;
  guint winner; /* index into eligible */
  double cost;
} Point;

/* A line, and the sizes from the one up to the other that it holds for. */
typedef struct
{
  guint64 from, below;
  CommyLine line;
} Piece;

/* What a candidate costs in the class. */
typedef struct
{
  CommyScale scale;
  guint64 limit;
  Piece pieces[COMMY_CLAIM_PIECES]; /* the last ones that were found; empty where not straight */
  bool is_straight;                 /* in all of the class; then what it costs at its ends: */
  double first, last;
} Cost;

typedef struct
{
  const CommyWork *work;
  const CommyDemand *demand;
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
  return &sweep->work->candidates[sweep->eligible[i]];
}

static const CommyPosterior *
posterior_of (const Sweep *sweep, guint i)
{
  return &sweep->work->assessments[sweep->eligible[i]].posterior[sweep->size_class];
}

static inline double
score_on (const Cost *cost, const CommyLine *line, guint64 size)
{
  return commy_scale_score (&cost->scale, line->fixed + line->slope * (double) size);
}

/* What holds at @size, if it is known. */
static inline const Piece *
piece_at (const Cost *cost, guint64 size)
{
  for (guint p = 0; p < COMMY_CLAIM_PIECES; p++)
    if (size < cost->pieces[p].below && size >= cost->pieces[p].from)
      return &cost->pieces[p];
  return NULL;
}

static inline double
cost_at (const Sweep *sweep, guint i, guint64 size)
{
  const Cost *cost = &sweep->costs[i];
  const Piece *piece;

  if (size > cost->limit)
    return INFINITY;
  piece = piece_at (cost, size);
  if (piece != NULL)
    return score_on (cost, &piece->line, size);
  return commy_scale_score (&cost->scale, commy_candidate_claimed (candidate_of (sweep, i),
                                                                   &sweep->demand->weights, size));
}

static guint64
one_straight_to (const Sweep *sweep, guint i, guint64 size, guint64 end)
{
  const CommyCandidate *candidate = candidate_of (sweep, i);

  if (sweep->demand->weights.throughput > 0)
    return commy_candidate_straight_to (candidate, size, end);
  return commy_stack_straight_to (candidate->transport_profile, candidate->serializer_profile, size,
                                  end);
}

static Piece
make_piece (const Sweep *sweep, const CommyLines *lines, double tries)
{
  return (Piece){ .from = lines->from,
                  .below = lines->straight_to + 1,
                  .line = commy_line_weigh (lines, tries, &sweep->demand->weights) };
}

/* The piece of @i that @size is on, found if need be; NULL where the slowest part of a pipeline
 * counts. */
static const Piece *
find_piece (Sweep *sweep, guint i, guint64 size, guint64 end)
{
  const CommyCandidate *candidate = candidate_of (sweep, i);
  Cost *cost = &sweep->costs[i];
  const Piece *known = piece_at (cost, size);
  CommyLines lines;

  if (known != NULL || sweep->demand->weights.throughput > 0)
    return known;
  lines
      = commy_stack_lines (candidate->transport_profile, candidate->serializer_profile, size, end);
  cost->pieces[0] = cost->pieces[1];
  cost->pieces[1] = make_piece (sweep, &lines, commy_profile_tries (candidate->transport_profile));
  return &cost->pieces[1];
}

/* Those that the class begins with. */
static void
first_pieces (Sweep *sweep, guint i, guint64 from)
{
  Cost *cost = &sweep->costs[i];
  const CommyClaim *claim;
  CommyClaim room;

  cost->pieces[0].below = cost->pieces[1].below = 0;
  if (sweep->demand->weights.throughput > 0 || cost->limit < from)
    return;
  claim = commy_candidate_claim (candidate_of (sweep, i), sweep->size_class, &room);
  for (guint p = 0; p < claim->n_pieces; p++)
    cost->pieces[p] = make_piece (sweep, &claim->pieces[p], claim->tries);
}

static void
enter (Sweep *sweep, guint16 candidate, guint64 from, guint64 end)
{
  const CommyAssessment *assessment = &sweep->work->assessments[candidate];
  guint i = sweep->n_eligible++;
  Cost *cost = &sweep->costs[i];
  const Piece *piece;

  sweep->eligible[i] = candidate;
  cost->limit = sweep->work->limits[candidate];
  cost->scale = commy_scale_for (sweep->demand, candidate_of (sweep, i), posterior_of (sweep, i),
                                 assessment->risk[sweep->size_class]);
  first_pieces (sweep, i, from);
  piece = &cost->pieces[0];
  cost->is_straight
      = cost->limit >= end
        && (piece->below > 0 ? piece->below > end : one_straight_to (sweep, i, from, end) >= end);
  if (!cost->is_straight)
    return;
  cost->first = piece->below > 0 ? score_on (cost, &piece->line, from) : cost_at (sweep, i, from);
  cost->last = piece->below > 0 ? score_on (cost, &piece->line, end) : cost_at (sweep, i, end);
}

/* Whether @i costs more than @low, which is straight in the class, by more than the tie band
 * everywhere in it. From joint to joint @i is straight, too. */
static bool
is_above (const Sweep *sweep, guint i, guint low, guint64 from, guint64 end)
{
  const Cost *cost = &sweep->costs[i];
  double band = (1 + sweep->demand->tie_band) * SLACK;

  if (cost->is_straight)
    return cost->first > sweep->costs[low].first * band
           && cost->last > sweep->costs[low].last * band;
  end = MIN (end, cost->limit);
  while (from <= end)
    {
      const Piece *piece = piece_at (cost, from);
      guint64 to = piece != NULL ? piece->below - 1 : one_straight_to (sweep, i, from, end);

      to = MIN (to, end);
      if (!(cost_at (sweep, i, from) > cost_at (sweep, low, from) * band)
          || !(cost_at (sweep, i, to) > cost_at (sweep, low, to) * band))
        return false;
      from = to + 1;
    }
  return true;
}

/* Enters those that can win or tie: who is above a straight line everywhere, by more than the tie
 * band, cannot. */
static void
enter_rivals (Sweep *sweep, const guint16 *eligible, guint n, guint64 from, guint64 end)
{
  bool stays[COMMY_ROUTE_MAX_CANDIDATES];
  gint low_first = -1, low_last = -1;
  guint kept = 0;

  for (guint i = 0; i < n; i++)
    {
      enter (sweep, eligible[i], from, end);
      if (!sweep->costs[i].is_straight)
        continue;
      if (low_first < 0 || sweep->costs[i].first < sweep->costs[low_first].first)
        low_first = (gint) i;
      if (low_last < 0 || sweep->costs[i].last < sweep->costs[low_last].last)
        low_last = (gint) i;
    }
  for (guint i = 0; i < n; i++)
    {
      stays[i]
          = low_first < 0
            || (!is_above (sweep, i, (guint) low_first, from, end)
                && (low_last == low_first || !is_above (sweep, i, (guint) low_last, from, end)));
    }
  for (guint i = 0; i < n; i++)
    if (stays[i])
      {
        if (kept < i)
          {
            sweep->eligible[kept] = sweep->eligible[i];
            sweep->costs[kept] = sweep->costs[i];
          }
        kept++;
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
straight_to (Sweep *sweep, guint64 size, guint64 end)
{
  guint64 to = end;

  for (guint i = 0; i < sweep->n_eligible; i++)
    {
      const guint64 limit = sweep->costs[i].limit;
      const Piece *piece;

      if (size > limit)
        continue;
      piece = find_piece (sweep, i, size, end);
      to = MIN (to, limit);
      to = MIN (to, piece != NULL ? piece->below - 1 : one_straight_to (sweep, i, size, to));
    }
  return to;
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
commy_crossover_find (const CommyWork *work,
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
  sweep.work = work;
  sweep.demand = work->demand;
  sweep.n_eligible = sweep.n_points = 0;
  sweep.size_class = size_class;
  enter_rivals (&sweep, eligible, n_eligible, from, MIN (upper, COMMY_LAST_SIZE));
  if (sweep.n_eligible == 1)
    return (CommyCrossover){ .lo = sweep.eligible[0], .hi = sweep.eligible[0], .split = upper };
  walk (&sweep, from, MIN (upper, COMMY_LAST_SIZE));
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
