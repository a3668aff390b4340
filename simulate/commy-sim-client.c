/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A client: the life of a call, with the questions that a real one asks its guard and balancer in
 * the same order.
 */
#include "config.h"

#include "simulate/commy-sim-world.h"

#include "base/commy-bits.h"

#include <stdlib.h>
#include <string.h>

static void
set_levels (const CommySimScenario *scenario, CommyLocality *locality)
{
  const guint n = scenario->places->len;
  g_autofree guint8 *levels = g_new (guint8, n);

  for (guint i = 0; i < n; i++)
    levels[i] = (guint8) ((const CommySimPlace *) g_ptr_array_index (scenario->places, i))->level;
  commy_locality_set_members (locality, levels, n, NULL);
}

void
commy_sim_client_init (CommySimWorld *world, CommySimClient *client)
{
  const CommySimScenario *scenario = world->scenario;
  const guint n = scenario->places->len;
  const gsize size = (MAX (world->balancer.ops->state_size, 1) + 63) & ~(gsize) 63;
  CommyBalancerSnapshot snapshot
      = { .struct_size = sizeof snapshot, .n_members = n, .now_ns = world->now_ns };

  commy_guard_init (&client->guard, &scenario->policy);
  commy_guard_set_members (&client->guard, n, NULL);
  client->members = g_new0 (CommyBalancerMember, n);
  for (guint i = 0; i < n; i++)
    {
      const CommySimPlace *place = g_ptr_array_index (scenario->places, i);

      client->members[i].id = place->name;
      client->members[i].weight = place->weight;
    }
  set_levels (scenario, &client->locality);
  snapshot.members = client->members;
  client->state = aligned_alloc (64, size);
  memset (client->state, 0, size);
  world->balancer.ops->update (world->balancer.instance, client->state, &snapshot,
                               commy_sim_random_next (&world->random));
}

void
commy_sim_client_clear (CommySimWorld *world, CommySimClient *client)
{
  world->balancer.ops->clear (client->state);
  free (client->state);
  g_free (client->members);
  commy_locality_clear (&client->locality);
  commy_guard_clear (&client->guard);
}

/* --- references --- */

static CommySimCall *
call_ref (CommySimCall *call)
{
  call->refs++;
  return call;
}

static void
call_unref (CommySimCall *call)
{
  if (--call->refs == 0)
    g_free (call);
}

CommySimAttempt *
commy_sim_attempt_ref (CommySimAttempt *attempt)
{
  attempt->refs++;
  return attempt;
}

void
commy_sim_attempt_unref (CommySimAttempt *attempt)
{
  if (--attempt->refs > 0)
    return;
  call_unref (attempt->call);
  g_free (attempt);
}

/* --- the end --- */

/* The client does not wait for it any more. Drops the reference of the call's list. */
static void
close_attempt (CommySimWorld *world, CommySimAttempt *attempt, CommyOutcome outcome)
{
  CommySimCall *call = attempt->call;
  CommySimClient *client = call->client;
  CommySimInstanceCounts *counts = &world->record.instances[attempt->instance->index];
  const guint64 ejections = client->guard.ejection.n_ejections;
  const guint64 openings = client->guard.n_openings;
  const gint64 took_ns = world->now_ns - attempt->guarded.begun_ns;
  guint at = 0;

  while (call->open[at] != attempt)
    at++;
  call->open[at] = call->open[--call->n_open];
  attempt->open = FALSE;
  if (outcome != COMMY_OUTCOME_OK)
    call->failed_at = attempt->instance->index;
  if (commy_guard_end (&client->guard, &attempt->guarded, outcome, world->now_ns,
                       commy_sim_random_next (&world->random)))
    commy_sim_record_blocked (&world->record, attempt->instance->index,
                              (guint) (client - world->clients), world->now_ns);
  counts->ejections += client->guard.ejection.n_ejections - ejections;
  counts->openings += client->guard.n_openings - openings;
  counts->succeeded += outcome == COMMY_OUTCOME_OK;
  counts->failed += outcome != COMMY_OUTCOME_OK && outcome != COMMY_OUTCOME_ABANDONED;
  if (outcome != COMMY_OUTCOME_ABANDONED)
    world->balancer.ops->report (client->state, attempt->instance->index, took_ns,
                                 outcome != COMMY_OUTCOME_OK);
  commy_sim_attempt_unref (attempt);
}

static void
finish (CommySimWorld *world, CommySimCall *call, CommySimEnd end)
{
  const gboolean accepted = end == COMMY_SIM_ENDED_OK || end == COMMY_SIM_ENDED_FAILED;

  call->over = TRUE;
  while (call->n_open > 0)
    close_attempt (world, call->open[0],
                   end == COMMY_SIM_ENDED_DEADLINE ? COMMY_OUTCOME_FAILED
                                                   : COMMY_OUTCOME_ABANDONED);
  commy_guard_finish (&call->client->guard, accepted, world->now_ns);
  commy_sim_record_end (&world->record, end, world->now_ns - call->begun_ns);
}

static void
pass_deadline (gpointer world, gpointer what, guint64 unused)
{
  CommySimCall *call = what;

  if (!call->over)
    finish (world, call, COMMY_SIM_ENDED_DEADLINE);
  call_unref (call);
}

/* --- attempts --- */

static void plan_hedge (CommySimWorld *world, CommySimCall *call);
static void fail_attempt (CommySimWorld *world, CommySimCall *call, CommyOutcome outcome);

/* Levels, among those that the guard leaves. In panic it is overruled where it compares, not where
 * a breaker is open, nor for what the call has tried. */
static const guint64 *
exclude (CommySimWorld *world, CommySimCall *call, const guint64 *blocked)
{
  CommySimClient *client = call->client;
  const CommyGuard *guard = &client->guard;
  const gboolean is_first = call->n_attempts == 0;
  guint n_left = guard->n_members;

  for (guint i = 0; blocked != NULL && i < guard->n_words; i++)
    n_left -= (guint) __builtin_popcountll (blocked[i]);
  if (n_left == 0)
    return blocked;
  return commy_locality_exclude (
      &client->locality, &world->scenario->locality, blocked, is_first ? guard->barred : blocked,
      blocked == NULL, world->scenario->has_levels ? commy_sim_random_next (&world->random) : 0);
}

static gssize
pick (CommySimWorld *world, CommySimCall *call)
{
  CommySimClient *client = call->client;
  const guint64 *excluded
      = exclude (world, call,
                 commy_guard_exclude (&client->guard, call->tried, call->failed_at, world->now_ns));
  CommyBalancerSnapshot snapshot = { .struct_size = sizeof snapshot,
                                     .members = client->members,
                                     .n_members = client->guard.n_members,
                                     .now_ns = world->now_ns,
                                     .random = commy_sim_random_next (&world->random) };

  for (guint i = 0; i < client->guard.n_members; i++)
    client->members[i].in_flight = client->guard.breakers[i].in_flight;
  return world->balancer.ops->pick (client->state, &snapshot, 0, excluded);
}

static void
pass_attempt_timeout (gpointer world_pointer, gpointer what, guint64 unused)
{
  CommySimWorld *world = world_pointer;
  CommySimAttempt *attempt = what;
  CommySimCall *call = attempt->call;

  if (attempt->open)
    {
      close_attempt (world, attempt, COMMY_OUTCOME_FAILED);
      call->end = COMMY_SIM_ENDED_TIMEOUT;
      fail_attempt (world, call, COMMY_OUTCOME_FAILED);
    }
  commy_sim_attempt_unref (attempt);
}

/* FALSE: there is nobody to send it to. */
static gboolean
send_attempt (CommySimWorld *world, CommySimCall *call)
{
  const gint64 timeout_ns = world->scenario->policy.retry.attempt_timeout_ns;
  const gssize index = call->n_open < COMMY_SIM_MAX_OPEN ? pick (world, call) : -1;
  CommySimAttempt *attempt;

  if (index < 0)
    return FALSE;
  attempt = g_new0 (CommySimAttempt, 1);
  attempt->refs = 2; /* of the call's list, and of the event */
  attempt->call = call_ref (call);
  attempt->instance = &world->instances[index];
  attempt->open = TRUE;
  attempt->guarded = commy_guard_begin (&call->client->guard, (guint) index, world->now_ns);
  call->open[call->n_open++] = attempt;
  commy_bits_add (call->tried, index);
  world->record.now.attempts++;
  world->record.instances[index].attempts++;
  attempt->deadline_ns = call->deadline_ns;
  if (timeout_ns > 0 && world->now_ns + timeout_ns < call->deadline_ns)
    {
      attempt->deadline_ns = world->now_ns + timeout_ns;
      commy_sim_agenda_add (&world->agenda, attempt->deadline_ns, pass_attempt_timeout,
                            commy_sim_attempt_ref (attempt), 0);
    }
  commy_sim_instance_send (world, attempt);
  plan_hedge (world, call);
  return TRUE;
}

static void
note_refusal (CommySimWorld *world, CommySimCall *call)
{
  if (world->record.first_refusal != NULL)
    return;
  world->record.first_refusal
      = commy_guard_explain (&call->client->guard, world->names, call->tried, world->now_ns);
  world->record.first_refusal_ns = world->now_ns;
}

/* --- again --- */

static void
retry (gpointer world_pointer, gpointer what, guint64 unused)
{
  CommySimWorld *world = world_pointer;
  CommySimCall *call = what;

  call->n_planned--;
  if (!call->over)
    {
      if (send_attempt (world, call))
        {
          call->n_attempts++;
          world->record.now.retries++;
        }
      else if (call->n_open == 0 && call->n_planned == 0)
        {
          note_refusal (world, call);
          finish (world, call, call->end);
        }
    }
  call_unref (call);
}

/* An attempt that was closed has failed. */
static void
fail_attempt (CommySimWorld *world, CommySimCall *call, CommyOutcome outcome)
{
  gint64 at_ns;

  if (call->over)
    return;
  if (commy_guard_decide_retry (&call->client->guard, call->n_attempts + call->n_planned, outcome,
                                world->scenario->idempotent, call->tried, world->now_ns,
                                call->deadline_ns, commy_sim_random_next (&world->random), &at_ns)
      == COMMY_RETRY_YES)
    {
      call->n_planned++;
      commy_sim_agenda_add (&world->agenda, at_ns, retry, call_ref (call), 0);
    }
  else if (call->n_open == 0 && call->n_planned == 0)
    finish (world, call, call->end);
}

static void
hedge (gpointer world_pointer, gpointer what, guint64 n_copies)
{
  CommySimWorld *world = world_pointer;
  CommySimCall *call = what;

  if (!call->over && call->n_copies == n_copies && call->n_open > 0
      && commy_guard_take_hedge (&call->client->guard, world->now_ns))
    {
      call->n_copies++;
      world->record.now.hedges += send_attempt (world, call);
    }
  call_unref (call);
}

static void
plan_hedge (CommySimWorld *world, CommySimCall *call)
{
  const gint64 due_ns = commy_guard_get_hedge_due (&call->client->guard, call->n_copies,
                                                   world->scenario->idempotent, world->now_ns);

  if (due_ns < call->deadline_ns)
    commy_sim_agenda_add (&world->agenda, due_ns, hedge, call_ref (call), call->n_copies);
}

void
commy_sim_client_receive (CommySimWorld *world,
                          CommySimAttempt *attempt,
                          CommyOutcome outcome,
                          CommySimEnd end)
{
  CommySimCall *call = attempt->call;

  if (attempt->open)
    {
      close_attempt (world, attempt, outcome);
      if (outcome == COMMY_OUTCOME_OK)
        finish (world, call, end);
      else
        {
          call->end = end;
          fail_attempt (world, call, outcome);
        }
    }
  commy_sim_attempt_unref (attempt);
}

/* --- the beginning --- */

void
commy_sim_client_call (CommySimWorld *world, CommySimClient *client)
{
  static const CommySimEnd refusals[] = {
    [COMMY_ADMIT_DEADLINE] = COMMY_SIM_ENDED_DEADLINE,
    [COMMY_ADMIT_RATE] = COMMY_SIM_ENDED_RATE,
    [COMMY_ADMIT_BULKHEAD] = COMMY_SIM_ENDED_BULKHEAD,
    [COMMY_ADMIT_THROTTLE] = COMMY_SIM_ENDED_THROTTLE,
  };
  const gint64 timeout_ns = world->scenario->timeout_ns;
  const CommyAdmission admission = commy_guard_admit (&client->guard, timeout_ns, world->now_ns,
                                                      commy_sim_random_next (&world->random));
  CommySimCall *call;

  world->record.now.calls++;
  if (admission != COMMY_ADMITTED)
    {
      commy_sim_record_end (&world->record, refusals[admission], 0);
      return;
    }
  call = g_malloc0 (sizeof *call + client->guard.n_words * sizeof (guint64));
  call->refs = 1; /* of the deadline's event */
  call->client = client;
  call->begun_ns = world->now_ns;
  call->deadline_ns = world->now_ns + timeout_ns;
  call->n_copies = 1;
  call->failed_at = -1;
  commy_sim_agenda_add (&world->agenda, call->deadline_ns, pass_deadline, call, 0);
  if (send_attempt (world, call))
    {
      call->n_attempts = 1;
      return;
    }
  note_refusal (world, call);
  finish (world, call, COMMY_SIM_ENDED_NOBODY);
}
