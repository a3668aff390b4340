/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The formula is Envoy's (load balancing, "slow start mode"). Powers are worked out now and then,
 * not for every pick.
 */
#include "config.h"

#include "control/commy-slow-start.h"

#include "base/commy-bits.h"
#include "control/commy-chance.h"

#include <math.h>
#include <string.h>

#define LEAST 0.1
#define STEPS 100 /* of the window, in which factors are worked out anew */
#define SECOND_NS G_GINT64_CONSTANT (1000000000)
#define LONG_S (100 * 365 * 24 * G_GINT64_CONSTANT (3600))

double
commy_slow_start_get_factor (const CommySlowStartPolicy *policy, gint64 age_ns)
{
  if (age_ns >= policy->window_ns)
    return 1;
  if (age_ns <= 0)
    return LEAST;
  return MAX (LEAST, pow ((double) age_ns / (double) policy->window_ns, 1 / policy->aggression));
}

gint64
commy_slow_start_get_birth (gint64 started_s, gint64 wall_s, gint64 now_ns)
{
  if (started_s <= 0)
    return G_MININT64 / 2;
  if (started_s >= wall_s)
    return now_ns;
  if (wall_s - started_s > LONG_S)
    return G_MININT64 / 2;
  return now_ns - (wall_s - started_s) * SECOND_NS;
}

void
commy_slow_start_clear (CommySlowStart *self)
{
  g_free (self->births);
  g_free (self->factors);
  g_free (self->excluded);
  memset (self, 0, sizeof *self);
}

void
commy_slow_start_set_members (CommySlowStart *self,
                              const CommySlowStartPolicy *policy,
                              const gint64 *births,
                              guint n)
{
  commy_slow_start_clear (self);
  if (policy->window_ns == 0 || n == 0)
    return;
  self->n_members = n;
  self->n_words = (guint) commy_bits_words (n);
  self->births = g_memdup2 (births, n * sizeof *births);
  self->factors = g_new (double, n);
  self->excluded = g_new (guint64, self->n_words);
  self->looked_ns = G_MININT64 / 2;
  self->until_ns = G_MININT64;
  for (guint i = 0; i < n; i++)
    self->until_ns = MAX (self->until_ns, births[i] + policy->window_ns);
}

static gboolean
is_excluded (const guint64 *excluded, guint index)
{
  return excluded != NULL && commy_bits_has (excluded, index);
}

static void
look (CommySlowStart *self, const CommySlowStartPolicy *policy, gint64 now_ns)
{
  if (now_ns - self->looked_ns < policy->window_ns / STEPS)
    return;
  self->looked_ns = now_ns;
  for (guint i = 0; i < self->n_members; i++)
    self->factors[i] = commy_slow_start_get_factor (policy, now_ns - self->births[i]);
}

const guint64 *
commy_slow_start_exclude (CommySlowStart *self,
                          const CommySlowStartPolicy *policy,
                          const guint64 *excluded,
                          gint64 now_ns,
                          guint64 random)
{
  double most = 0;
  gboolean any = FALSE;

  if (!commy_slow_start_is_on (self, now_ns))
    return excluded;
  look (self, policy, now_ns);
  for (guint i = 0; i < self->n_members; i++)
    if (!is_excluded (excluded, i))
      most = MAX (most, self->factors[i]);
  memset (self->excluded, 0, self->n_words * sizeof *self->excluded);
  for (guint i = 0; i < self->n_members; i++)
    if (is_excluded (excluded, i)
        || (self->factors[i] < most
            && commy_chance (commy_chance_next (&random)) * most >= self->factors[i]))
      {
        commy_bits_add (self->excluded, i);
        any = TRUE;
      }
  return any ? self->excluded : NULL;
}
