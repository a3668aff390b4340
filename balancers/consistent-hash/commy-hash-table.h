/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where a hash belongs: two tables that send the same hash to the same member as long as that
 * member is there, whoever else comes and goes. Every client that sees the same members has the
 * same table, in whatever order it sees them.
 */
#pragma once

#include <commy/commy-plugin.h>

#define COMMY_HASH_MAX_POINTS (1u << 20)
#define COMMY_HASH_MAX_SLOTS 5000011u

typedef struct
{
  guint64 hash;
  guint32 member;
} CommyHashPoint;

/* Points of all members around a ring, by their hash; a hash belongs to the next one. */
typedef struct
{
  CommyHashPoint *points;
  gsize n;
  guint32 *start; /* for the first bits of a hash: the first point that may be it */
  guint shift;
} CommyHashRing;

/* @per_member: points of the member with the least weight; those of others are in proportion. */
void commy_hash_ring_build (CommyHashRing *ring,
                            const CommyBalancerSnapshot *snapshot,
                            guint per_member);
void commy_hash_ring_clear (CommyHashRing *ring);

static inline gsize
commy_hash_ring_find (const CommyHashRing *ring, guint64 hash)
{
  gsize i = ring->start[hash >> ring->shift];

  while (i < ring->n && ring->points[i].hash < hash)
    i++;
  return ring->points[i < ring->n ? i : 0].member;
}

/* Slots that the members fill in turns, each in an order of its own. */
typedef struct
{
  guint32 *slots;
  guint32 n; /* a prime */
} CommyHashMaglev;

/* @size: slots at least; more if there are more members. */
void commy_hash_maglev_build (CommyHashMaglev *maglev,
                              const CommyBalancerSnapshot *snapshot,
                              guint size);
void commy_hash_maglev_clear (CommyHashMaglev *maglev);

static inline gsize
commy_hash_maglev_find (const CommyHashMaglev *maglev, guint64 hash)
{
  return maglev->slots[((hash >> 32) * maglev->n) >> 32];
}
