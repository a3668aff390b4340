/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The ring (Karger and others, "Consistent hashing and random trees", 1997).
 */
#include "config.h"

#include "commy-hash-table.h"

#include "../common/commy-balancing.h"

#define CROWDED 4

static int
compare_points (const void *a, const void *b)
{
  const CommyHashPoint *x = a, *y = b;

  if (x->hash != y->hash)
    return x->hash < y->hash ? -1 : 1;
  return (x->member > y->member) - (x->member < y->member);
}

/* How many points a weight of 1 is worth. Very different weights do not make the ring larger than
 * CROWDED times what equal ones would: sorting it takes time. */
static double
points_per_weight (const CommyBalancerSnapshot *snapshot, guint per_member)
{
  guint32 least = G_MAXUINT32;
  double total = 0, each, most;

  for (gsize i = 0; i < snapshot->n_members; i++)
    {
      guint32 weight = commy_balancing_weight (&snapshot->members[i]);

      least = MIN (least, weight);
      total += weight;
    }
  each = (double) per_member / least;
  most = MIN (CROWDED * (double) per_member * (double) snapshot->n_members, COMMY_HASH_MAX_POINTS);
  return MIN (each, most / total);
}

static gsize
points_of (const CommyBalancerMember *member, double each)
{
  return MAX (1, (gsize) (commy_balancing_weight (member) * each + 0.5));
}

/* So many buckets that one holds a point or two. */
static void
index_points (CommyHashRing *ring)
{
  gsize bits = g_bit_storage (ring->n), next = 0;

  ring->shift = (guint) (64 - bits);
  ring->start = g_new (guint32, (gsize) 1 << bits);
  for (gsize bucket = 0; bucket < (gsize) 1 << bits; bucket++)
    {
      while (next < ring->n && ring->points[next].hash >> ring->shift < bucket)
        next++;
      ring->start[bucket] = (guint32) next;
    }
}

void
commy_hash_ring_build (CommyHashRing *ring, const CommyBalancerSnapshot *snapshot, guint per_member)
{
  double each = points_per_weight (snapshot, per_member);
  gsize n = 0;

  commy_hash_ring_clear (ring);
  for (gsize i = 0; i < snapshot->n_members; i++)
    n += points_of (&snapshot->members[i], each);
  ring->points = g_new (CommyHashPoint, n);
  for (gsize i = 0; i < snapshot->n_members; i++)
    {
      guint64 hash = commy_balancing_hash (snapshot->members[i].id);

      for (gsize left = points_of (&snapshot->members[i], each); left > 0; left--)
        ring->points[ring->n++]
            = (CommyHashPoint){ commy_balancing_mix (hash += COMMY_BALANCING_STEP), (guint32) i };
    }
  qsort (ring->points, ring->n, sizeof *ring->points, compare_points);
  index_points (ring);
}

void
commy_hash_ring_clear (CommyHashRing *ring)
{
  g_clear_pointer (&ring->points, g_free);
  g_clear_pointer (&ring->start, g_free);
  ring->n = 0;
}
