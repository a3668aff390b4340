/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What balancers share: the bits of who is excluded, chance and time out of a snapshot, numbers
 * below n without a division, and the hashes that all clients on all hosts agree on.
 */
#pragma once

#include <commy/commy-plugin.h>

#define COMMY_BALANCING_HAS(snapshot, member) \
  ((snapshot)->struct_size                    \
   >= G_STRUCT_OFFSET (CommyBalancerSnapshot, member) + sizeof ((snapshot)->member))

static inline gboolean
commy_balancing_is_excluded (const guint64 *excluded, gsize index)
{
  return excluded != NULL && (excluded[index / 64] >> (index % 64) & 1) != 0;
}

/* A weight that can be divided by and multiplied with. */
static inline guint32
commy_balancing_weight (const CommyBalancerMember *member)
{
  return CLAMP (member->weight, 1, 1 << 20);
}

/* Every bit of the result hangs on every bit of @x: SplitMix64's finalizer (Steele, Lea, Flood,
 * "Fast splittable pseudorandom number generators", 2014). One to one. */
static inline guint64
commy_balancing_mix (guint64 x)
{
  x = (x ^ (x >> 30)) * G_GUINT64_CONSTANT (0xbf58476d1ce4e5b9);
  x = (x ^ (x >> 27)) * G_GUINT64_CONSTANT (0x94d049bb133111eb);
  return x ^ (x >> 31);
}

#define COMMY_BALANCING_STEP G_GUINT64_CONSTANT (0x9e3779b97f4a7c15)
#define COMMY_BALANCING_DRAWS 4u /* before it is counted who is left */

/* Of a text: FNV-1a, mixed. */
static inline guint64
commy_balancing_hash (const char *text)
{
  guint64 hash = G_GUINT64_CONSTANT (0xcbf29ce484222325);

  for (const char *c = text; *c != '\0'; c++)
    hash = (hash ^ (guint8) *c) * G_GUINT64_CONSTANT (0x100000001b3);
  return commy_balancing_mix (hash);
}

/* The pick's chance. @own: a number of the client's state, for a core that sends none. */
static inline guint64
commy_balancing_random (const CommyBalancerSnapshot *snapshot, guint64 *own)
{
  if (G_LIKELY (COMMY_BALANCING_HAS (snapshot, random)))
    return snapshot->random;
  *own += COMMY_BALANCING_STEP;
  return commy_balancing_mix (*own);
}

/* Below @n, from 32 bits by chance. Uneven by less than n / 2^32. */
static inline gsize
commy_balancing_below (guint32 random, gsize n)
{
  return (gsize) (((guint64) random * n) >> 32);
}

static inline gsize
commy_balancing_count (const guint64 *excluded, gsize n)
{
  gsize left = n;

  for (gsize i = 0; excluded != NULL && i < n; i += 64)
    {
      guint64 word = excluded[i / 64];

      if (n - i < 64)
        word &= (G_GUINT64_CONSTANT (1) << (n - i)) - 1;
      left -= (gsize) __builtin_popcountll (word);
    }
  return left;
}

/* The member number @nth of those that are not excluded, of which there are more. */
static inline gsize
commy_balancing_nth (const guint64 *excluded, gsize nth)
{
  gsize index = 0;

  if (G_LIKELY (excluded == NULL))
    return nth;
  for (gsize word = 0;; word++, index += 64)
    {
      guint64 allowed = ~excluded[word];
      gsize n = (gsize) __builtin_popcountll (allowed);

      if (nth >= n)
        {
          nth -= n;
          continue;
        }
      for (; nth > 0; nth--)
        allowed &= allowed - 1;
      return index + (gsize) __builtin_ctzll (allowed);
    }
}

/* Two different ones of @n, each pair as likely as any other; the same one twice where n is 1. */
static inline void
commy_balancing_pair (guint64 random, gsize n, gsize *out_a, gsize *out_b)
{
  gsize a = commy_balancing_below ((guint32) (random >> 32), n), b = a;

  if (n > 1)
    {
      b = commy_balancing_below ((guint32) random, n - 1);
      b += b >= a;
    }
  *out_a = a;
  *out_b = b;
}

/* The same of those that are not excluded. FALSE: nobody is. Mostly few are: a pair of all is drawn
 * a few times, and only then is it counted who is left. Either way each pair is as likely. */
static inline gboolean
commy_balancing_two (const CommyBalancerSnapshot *snapshot,
                     const guint64 *excluded,
                     guint64 random,
                     gsize *out_a,
                     gsize *out_b)
{
  gsize n;

  for (guint draw = 0; draw < COMMY_BALANCING_DRAWS; draw++)
    {
      commy_balancing_pair (random, snapshot->n_members, out_a, out_b);
      if (G_LIKELY (!commy_balancing_is_excluded (excluded, *out_a)
                    && !commy_balancing_is_excluded (excluded, *out_b)))
        return TRUE;
      random = commy_balancing_mix (random + COMMY_BALANCING_STEP);
    }
  n = commy_balancing_count (excluded, snapshot->n_members);
  if (n == 0)
    return FALSE;
  commy_balancing_pair (random, n, out_a, out_b);
  *out_a = commy_balancing_nth (excluded, *out_a);
  *out_b = commy_balancing_nth (excluded, *out_b);
  return TRUE;
}
