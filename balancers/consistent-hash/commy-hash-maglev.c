/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Maglev's table (Eisenbud and others, "Maglev: a fast and reliable software network load
 * balancer", NSDI 2016, section 3.4): shares are even to a slot, a look-up is one access, and
 * when members change a few hashes more move than on a ring.
 */
#include "config.h"

#include "commy-hash-table.h"

#include "../common/commy-balancing.h"

#define EMPTY G_MAXUINT32

/* A member's walk through the slots, and when its turn comes. */
typedef struct
{
  guint64 hash;
  guint32 member;
  guint32 weight;
  guint32 at, skip;
  guint32 credit;
} Walk;

static gboolean
is_prime (guint32 n)
{
  if (n < 4)
    return n >= 2;
  if (n % 2 == 0)
    return FALSE;
  for (guint32 divisor = 3; divisor <= n / divisor; divisor += 2)
    if (n % divisor == 0)
      return FALSE;
  return TRUE;
}

static int
compare_walks (const void *a, const void *b)
{
  const Walk *x = a, *y = b;

  if (x->hash != y->hash)
    return x->hash < y->hash ? -1 : 1;
  return (x->member > y->member) - (x->member < y->member);
}

/* In the order of their hashes, for all clients alike. */
static Walk *
new_walks (const CommyBalancerSnapshot *snapshot, guint32 n_slots, guint32 *out_most)
{
  Walk *walks = g_new (Walk, snapshot->n_members);

  *out_most = 1;
  for (gsize i = 0; i < snapshot->n_members; i++)
    {
      guint64 hash = commy_balancing_hash (snapshot->members[i].id);
      guint32 weight = commy_balancing_weight (&snapshot->members[i]);

      walks[i] = (Walk){ .hash = hash,
                         .member = (guint32) i,
                         .weight = weight,
                         .at = (guint32) (hash % n_slots),
                         .skip = (guint32) (commy_balancing_mix (hash) % (n_slots - 1)) + 1 };
      *out_most = MAX (*out_most, weight);
    }
  /* Turns of light members come at any time, or with few slots they had none. */
  for (gsize i = 0; i < snapshot->n_members; i++)
    walks[i].credit = (guint32) ((walks[i].hash >> 32) % *out_most);
  qsort (walks, snapshot->n_members, sizeof *walks, compare_walks);
  return walks;
}

/* The next slot on its way that nobody has. */
static guint32
next_empty (Walk *walk, const CommyHashMaglev *maglev)
{
  while (maglev->slots[walk->at] != EMPTY)
    {
      walk->at += walk->skip;
      walk->at -= walk->at >= maglev->n ? maglev->n : 0;
    }
  return walk->at;
}

void
commy_hash_maglev_build (CommyHashMaglev *maglev, const CommyBalancerSnapshot *snapshot, guint size)
{
  g_autofree Walk *walks = NULL;
  guint32 most, filled = 0;

  commy_hash_maglev_clear (maglev);
  maglev->n = MAX (size, (guint32) snapshot->n_members);
  while (!is_prime (maglev->n))
    maglev->n++;
  maglev->slots = g_new (guint32, maglev->n);
  for (guint32 i = 0; i < maglev->n; i++)
    maglev->slots[i] = EMPTY;
  walks = new_walks (snapshot, maglev->n, &most);
  while (filled < maglev->n)
    for (gsize i = 0; i < snapshot->n_members && filled < maglev->n; i++)
      {
        walks[i].credit += walks[i].weight;
        if (walks[i].credit < most)
          continue;
        walks[i].credit -= most;
        maglev->slots[next_empty (&walks[i], maglev)] = walks[i].member;
        filled++;
      }
}

void
commy_hash_maglev_clear (CommyHashMaglev *maglev)
{
  g_clear_pointer (&maglev->slots, g_free);
  maglev->n = 0;
}
