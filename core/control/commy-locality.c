/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The shares are Envoy's priority levels (load balancing, "priority levels" and "panic threshold")
 * without its rounding to whole percent. While all levels together can take all calls, the near
 * ones fill up first. Beyond that each gets its part, and a level of which few are well stops to
 * look at health: to send everything to the last ones that are would only bring these down too.
 */
#include "config.h"

#include "control/commy-locality.h"

#include "base/commy-bits.h"
#include "control/commy-chance.h"

#include <string.h>

#define ALMOST_ALL (1 - 1e-9)

/* --- places --- */

static gboolean
is_same (const char *a, const char *b)
{
  return a != NULL && b != NULL && a[0] != '\0' && strcmp (a, b) == 0;
}

static gboolean
is_other (const char *a, const char *b)
{
  return a != NULL && b != NULL && a[0] != '\0' && b[0] != '\0' && strcmp (a, b) != 0;
}

CommyLevel
commy_place_get_level (const CommyPlace *here, const CommyPlace *there)
{
  if (is_same (here->node, there->node))
    return COMMY_LEVEL_PROCESS;
  if (is_other (here->region, there->region))
    return COMMY_LEVEL_ELSEWHERE;
  if (is_other (here->zone, there->zone))
    return is_same (here->region, there->region) ? COMMY_LEVEL_REGION : COMMY_LEVEL_ELSEWHERE;
  if (is_same (here->host_id, there->host_id))
    return COMMY_LEVEL_HOST;
  if (is_same (here->zone, there->zone))
    return COMMY_LEVEL_ZONE;
  return is_same (here->region, there->region) ? COMMY_LEVEL_REGION : COMMY_LEVEL_ELSEWHERE;
}

void
commy_locality_policy_read (CommyLocalityPolicy *out, CommyConfig *config, const char *group)
{
  *out = (CommyLocalityPolicy){
    .enabled = g_strcmp0 (commy_config_get (config, group, "locality"), "off") != 0,
    .overprovisioning = commy_config_get_double (config, group, "overprovisioning"),
    .panic = commy_config_get_double (config, group, "panic"),
  };
}

/* --- members --- */

void
commy_locality_clear (CommyLocality *self)
{
  g_free (self->members[0]); /* all bits are one piece */
  memset (self, 0, sizeof *self);
}

void
commy_locality_set_members (CommyLocality *self,
                            const guint8 *levels,
                            guint n,
                            const guint absent[COMMY_LEVELS])
{
  const guint n_words = (n + 63) / 64;
  guint64 *bits = g_new0 (guint64, 2 * COMMY_LEVELS * MAX (n_words, 1));

  commy_locality_clear (self);
  self->n_members = n;
  self->n_words = n_words;
  for (guint l = 0; l < COMMY_LEVELS; l++)
    {
      self->members[l] = bits + l * n_words;
      self->excluded[l] = bits + (COMMY_LEVELS + l) * n_words;
      self->levels[l].n_absent = absent != NULL ? absent[l] : 0;
    }
  for (guint i = 0; i < n; i++)
    {
      commy_bits_add (self->members[levels[i]], i);
      self->levels[levels[i]].n_members++;
    }
}

/* --- shares --- */

static guint
count_without (const CommyLocality *self, guint level, const guint64 *left_out)
{
  guint n = 0;

  for (guint i = 0; i < self->n_words; i++)
    n += (guint) __builtin_popcountll (self->members[level][i]
                                       & ~(left_out != NULL ? left_out[i] : 0));
  return n;
}

static double
share_well (const CommyLocalityLevel *level)
{
  const guint n = level->n_members + level->n_absent;

  return n > 0 ? (double) level->n_well / n : 0;
}

/* What a level can take of all calls. */
static double
capacity (const CommyLocalityLevel *level, const CommyLocalityPolicy *policy)
{
  return MIN (1, share_well (level) * policy->overprovisioning);
}

/* The near ones fill up first. */
static void
cascade (CommyLocality *self, const CommyLocalityPolicy *policy)
{
  double left = 1;

  for (guint l = 0; l < COMMY_LEVELS; l++)
    {
      self->levels[l].share = MIN (left, capacity (&self->levels[l], policy));
      left -= self->levels[l].share;
      if (left < 1 - ALMOST_ALL)
        left = 0;
    }
}

/* They cannot take it all, together @sum of it; nobody is well: by how many could be picked. */
static void
divide (CommyLocality *self, const CommyLocalityPolicy *policy, const guint64 *barred, double sum)
{
  guint n_left = 0;

  for (guint l = 0; l < COMMY_LEVELS; l++)
    {
      CommyLocalityLevel *level = &self->levels[l];

      level->panic = level->n_members > 0 && share_well (level) < policy->panic;
      if (sum > 0)
        level->share = capacity (level, policy) / sum;
      else
        n_left += level->panic ? count_without (self, l, barred) : 0;
    }
  for (guint l = 0; l < COMMY_LEVELS && n_left > 0; l++)
    if (self->levels[l].panic)
      self->levels[l].share = (double) count_without (self, l, barred) / n_left;
}

/* Everybody but the members of @level that are not in @left_out. */
static void
fill_excluded (CommyLocality *self, guint level, const guint64 *left_out)
{
  guint n = 0;

  for (guint i = 0; i < self->n_words; i++)
    {
      const guint in_word = MIN (self->n_members - i * 64, 64);
      const guint64 all = G_MAXUINT64 >> (64 - in_word);

      self->excluded[level][i]
          = all & ~(self->members[level][i] & ~(left_out != NULL ? left_out[i] : 0));
      n += (guint) __builtin_popcountll (self->excluded[level][i]);
    }
  self->levels[level].leaves_out = n > 0;
}

/* The level that gets all; if nobody gets any, one of which nobody can be picked. */
static guint
find_certain (const CommyLocality *self)
{
  double sum = 0;

  for (guint l = 0; l < COMMY_LEVELS; l++)
    {
      if (self->levels[l].share >= ALMOST_ALL)
        return l;
      sum += self->levels[l].share;
    }
  return sum > 0 ? COMMY_LEVELS : 0;
}

static void
work_out (CommyLocality *self,
          const CommyLocalityPolicy *policy,
          const guint64 *blocked,
          const guint64 *barred)
{
  double sum = 0;

  for (guint l = 0; l < COMMY_LEVELS; l++)
    {
      self->levels[l].n_well = count_without (self, l, blocked);
      self->levels[l].share = 0;
      self->levels[l].panic = FALSE;
      sum += capacity (&self->levels[l], policy);
    }
  if (sum >= ALMOST_ALL)
    cascade (self, policy);
  else
    divide (self, policy, barred, sum);
  for (guint l = 0; l < COMMY_LEVELS; l++)
    fill_excluded (self, l, self->levels[l].panic ? barred : blocked);
  self->certain = find_certain (self);
}

static guint
draw (const CommyLocality *self, guint64 random)
{
  double at = commy_chance (random);
  guint last = 0;

  for (guint l = 0; l < COMMY_LEVELS; l++)
    {
      if (self->levels[l].share <= 0)
        continue;
      if (at < self->levels[l].share)
        return l;
      at -= self->levels[l].share;
      last = l;
    }
  return last;
}

const guint64 *
commy_locality_exclude (CommyLocality *self,
                        const CommyLocalityPolicy *policy,
                        const guint64 *blocked,
                        const guint64 *barred,
                        guint64 serial,
                        guint64 random)
{
  guint level;

  if (G_UNLIKELY (!self->is_done || serial == 0 || serial != self->serial))
    {
      if (self->n_members == 0)
        return NULL;
      work_out (self, policy, blocked, barred);
      self->serial = serial;
      self->is_done = TRUE;
    }
  level = G_LIKELY (self->certain < COMMY_LEVELS) ? self->certain : draw (self, random);
  return self->levels[level].leaves_out ? self->excluded[level] : NULL;
}

/* --- why --- */

char *
commy_locality_explain (const CommyLocality *self)
{
  GString *text;
  GString *panic;

  if (!self->is_done)
    return NULL;
  text = g_string_new (NULL);
  panic = g_string_new (NULL);
  for (guint l = 0; l < COMMY_LEVELS; l++)
    {
      const CommyLocalityLevel *level = &self->levels[l];
      const guint n = level->n_members + level->n_absent;

      if (n == 0)
        continue;
      g_string_append_printf (text, "%s%s %.0f %% (%u of %u well)", text->len > 0 ? ", " : "",
                              commy_level_to_string (l), 100 * level->share, level->n_well, n);
      if (level->panic)
        g_string_append_printf (panic, "%s%s",
                                panic->len > 0 ? ", " : "; panic: health is ignored at ",
                                commy_level_to_string (l));
    }
  g_string_append (text, panic->str);
  g_string_free (panic, TRUE);
  return g_string_free (text, FALSE);
}
