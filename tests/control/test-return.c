/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How long until who hung is called again, by the settings as shipped and in virtual time. Callers
 * prefer one of two instances; it hangs for so long, and answers what waits when it goes on.
 */
#include "config.h"

#include "base/commy-bits.h"
#include "config/commy-config-resilience.h"
#include "config/commy-config-schema.h"
#include "control/commy-guard.h"
#include "simulate/commy-sim-random.h"

#include <glib/gstdio.h>

#define START (12345 * S)
#define LOADS 10u /* calls under way at a time */
#define TIMEOUT (2 * S)
#define PATIENCE (400 * S)

typedef struct
{
  CommyGuardAttempt attempt;
  gint64 sent, ends; /* 0: it is not under way */
} Load;

typedef struct
{
  CommyResilience policy;
  CommyGuard guard;
  CommySimRandom random;
  Load loads[LOADS];
  gint64 now, hangs_from, hangs_until;
  gint64 takes_ns; /* a call that is answered */
  gint64 again;    /* when the first one was answered that was sent after the hang; 0: none yet */
} World;

static const CommyKeySchema keys[] = { COMMY_RESILIENCE_KEYS };
static const CommyGroupSchema groups[] = { GROUP ("service", "NAME", keys) };

/* The settings as shipped. */
static void
read_policy (CommyResilience *out)
{
  g_autofree char *path = NULL;
  g_autoptr (CommyConfig) config = NULL;
  g_autoptr (GError) error = NULL;
  int fd = g_file_open_tmp ("commy-XXXXXX.conf", &path, &error);

  g_assert_no_error (error);
  g_assert_true (g_close (fd, NULL));
  config = commy_config_load_as (groups, G_N_ELEMENTS (groups), path, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (commy_resilience_read (out, config, "service a", &error));
  g_assert_cmpint (g_unlink (path), ==, 0);
}

static void
world_init (World *self, const CommyResilience *policy, guint64 seed)
{
  *self = (World){ .policy = *policy, .now = START, .random = { seed }, .takes_ns = MS };
  commy_guard_init (&self->guard, &self->policy);
  commy_guard_set_members (&self->guard, 2, NULL);
}

static void
send_call (World *self, Load *load)
{
  const guint64 *excluded = commy_guard_exclude (&self->guard, NULL, -1, self->now);
  const guint index = excluded != NULL && commy_bits_has (excluded, 0) ? 1 : 0;

  load->attempt = commy_guard_begin (&self->guard, index, self->now);
  load->sent = self->now;
  load->ends = self->now + self->takes_ns;
  if (index == 0 && load->ends > self->hangs_from)
    load->ends = MAX (load->ends, self->hangs_until + self->takes_ns);
}

static void
end_call (World *self, Load *load, gboolean is_answered)
{
  if (load->attempt.index == 0 && is_answered && load->sent >= self->hangs_until
      && self->again == 0)
    self->again = self->now;
  commy_guard_end (&self->guard, &load->attempt,
                   is_answered ? COMMY_OUTCOME_OK : COMMY_OUTCOME_FAILED, self->now,
                   commy_sim_random_next (&self->random));
  load->ends = 0;
}

static void
step (World *self)
{
  for (guint i = 0; i < LOADS; i++)
    {
      Load *load = &self->loads[i];

      if (load->ends > 0 && self->now >= load->ends)
        end_call (self, load, TRUE);
      else if (load->ends > 0 && self->now >= load->sent + TIMEOUT)
        end_call (self, load, FALSE);
      if (load->ends == 0)
        send_call (self, load);
    }
  self->now += MS;
}

/* From the end of the hang until a call that was sent after it was answered there. */
static gint64
time_until_back (const CommyResilience *policy, gint64 hang_ns, gint64 takes_ns, guint64 seed)
{
  World world;

  world_init (&world, policy, seed);
  world.hangs_from = world.hangs_until = G_MAXINT64;
  while (world.now < START + S)
    step (&world);
  world.hangs_from = world.now;
  world.hangs_until = world.now + hang_ns;
  world.takes_ns = takes_ns;
  while (world.again == 0 && world.now < world.hangs_until + PATIENCE)
    step (&world);
  commy_guard_clear (&world.guard);
  g_assert_cmpint (world.again, >, 0);
  return world.again - world.hangs_until;
}

/* --- what it costs --- */

typedef void (*CheckFunc) (const CommyResilience *policy, gint64 hang, gint64 takes, gint64 back);

static void
check_all (gint64 shortest, gint64 longest, gint64 takes, CheckFunc check)
{
  CommyResilience policy;

  read_policy (&policy);
  for (gint64 hang = shortest; hang <= longest; hang += S / 2)
    for (guint64 seed = 1; seed <= 4; seed++)
      check (&policy, hang, takes, time_until_back (&policy, hang, takes, seed));
}

static void
check_at_once (const CommyResilience *policy, gint64 hang, gint64 takes, gint64 back)
{
  g_assert_cmpint (back, <=, 2 * takes);
}

static void
test_no_call_fails (void)
{
  check_all (S / 2, TIMEOUT - S / 2, MS, check_at_once);
}

static void
check_penalty (const CommyResilience *policy, gint64 hang, gint64 takes, gint64 back)
{
  g_assert_cmpint (back, <=, policy->breaker.penalty_ns * 3 / 2 + takes); /* with its jitter */
}

/* The call that tries after the breaker's penalty finds it well. */
static void
test_short (void)
{
  check_all (TIMEOUT, TIMEOUT + S, MS, check_penalty);
}

static void
check_ejection (const CommyResilience *policy, gint64 hang, gint64 takes, gint64 back)
{
  g_assert_cmpint (back, <=, policy->ejection.time_ns + TIMEOUT + takes);
}

/* It is ejected, because the other one answered meanwhile: once, and for no longer than that. What
 * waits for an instance to be called again has to wait longer. */
static void
test_long (void)
{
  check_all (S / 2, 12 * S, MS, check_ejection);
  check_all (S / 2, 12 * S, S, check_ejection);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/control/return/where-no-call-fails-at-once", test_no_call_fails);
  g_test_add_func ("/control/return/after-a-short-hang-in-a-penalty-s-time", test_short);
  g_test_add_func ("/control/return/after-a-long-one-in-one-ejection-s-time", test_long);
  return g_test_run ();
}
