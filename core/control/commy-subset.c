/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The best so far are kept in order: of n that come in any order only about k ln (n / k) move
 * anything.
 */
#include "config.h"

#include "control/commy-subset.h"

#include "control/commy-chance.h"
#include "route/commy-decision-private.h"

#include <string.h>

guint64
commy_subset_score (guint64 seed, const char *instance)
{
  return commy_chance_mix (commy_sticky_hash (instance) ^ commy_chance_mix (seed));
}

static gboolean
is_before (const CommySubsetItem *a, const CommySubsetItem *b)
{
  return a->rank != b->rank ? a->rank < b->rank : a->score < b->score;
}

/* Where @item belongs among the @n of @chosen; after its equals. */
static guint
find_place (const CommySubsetItem *items, const CommySubsetItem *item, const guint *chosen, guint n)
{
  guint low = 0, high = n;

  while (low < high)
    {
      const guint middle = (low + high) / 2;

      if (is_before (item, &items[chosen[middle]]))
        high = middle;
      else
        low = middle + 1;
    }
  return low;
}

guint
commy_subset_choose (const CommySubsetItem *items, guint n, guint k, guint *out)
{
  guint chosen = 0;

  for (guint i = 0; i < n && k > 0; i++)
    {
      guint place;

      if (chosen == k && !is_before (&items[i], &items[out[k - 1]]))
        continue;
      place = find_place (items, &items[i], out, chosen);
      chosen += chosen < k;
      memmove (out + place + 1, out + place, (chosen - 1 - place) * sizeof *out);
      out[place] = i;
    }
  return chosen;
}
