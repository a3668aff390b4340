/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An instance: workers, a queue before them, and what can be wrong with it. It sheds with the code
 * that a service has.
 */
#include "config.h"

#include "simulate/commy-sim-world.h"

#define FAIL_NS (100 * G_GINT64_CONSTANT (1000)) /* how fast one fails that does no work */

void
commy_sim_instance_init (CommySimInstance *instance, const CommySimPlace *place, guint index)
{
  *instance = (CommySimInstance){ .place = place, .index = index, .slow = 1 };
  g_queue_init (&instance->waiting);
  instance->serving = g_ptr_array_new ();
  instance->failing = g_ptr_array_new ();
}

static void
unref_attempt (gpointer attempt)
{
  commy_sim_attempt_unref (attempt);
}

void
commy_sim_instance_clear (CommySimInstance *instance)
{
  g_queue_clear_full (&instance->waiting, unref_attempt);
  g_ptr_array_unref (instance->serving);
  g_ptr_array_unref (instance->failing);
}

/* --- answers --- */

static void
arrive_back (gpointer world, gpointer what, guint64 end)
{
  static const CommyOutcome outcomes[COMMY_SIM_N_ENDS] = {
    [COMMY_SIM_ENDED_OK] = COMMY_OUTCOME_OK,
    [COMMY_SIM_ENDED_FAILED] = COMMY_OUTCOME_ANSWERED,
    [COMMY_SIM_ENDED_LOST] = COMMY_OUTCOME_FAILED,
    [COMMY_SIM_ENDED_UNREACHABLE] = COMMY_OUTCOME_NOT_SENT,
    [COMMY_SIM_ENDED_FULL] = COMMY_OUTCOME_LIMITED,
    [COMMY_SIM_ENDED_SHED] = COMMY_OUTCOME_LIMITED,
  };

  commy_sim_client_receive (world, what, outcomes[end], (CommySimEnd) end);
}

/* Takes the reference over. Nothing comes out of a partition, nor of a process that stands still.
 */
static void
answer (CommySimWorld *world, CommySimAttempt *attempt, CommySimEnd end, gint64 after_ns)
{
  const CommySimInstance *instance = attempt->instance;

  if (instance->n_partitions > 0)
    commy_sim_attempt_unref (attempt);
  else
    commy_sim_agenda_add (&world->agenda, world->now_ns + after_ns + instance->place->latency_ns,
                          arrive_back, attempt, end);
}

/* --- work --- */

static void end_work (gpointer world, gpointer what, guint64 unused);

static gboolean
can_meet (CommySimWorld *world,
          CommySimInstance *instance,
          const CommySimAttempt *attempt,
          guint ahead)
{
  const gint64 left
      = commy_deadline_get_left (attempt->deadline_ns, world->now_ns, instance->place->latency_ns);
  const CommyDeadlinePolicy *policy = &world->scenario->policy.deadline;

  /* Who does not shed does not look at deadlines at all. */
  return !policy->shed
         || commy_deadline_can_meet (policy, &instance->times, left, ahead,
                                     instance->place->workers);
}

static void
begin_work (CommySimWorld *world, CommySimInstance *instance, CommySimAttempt *attempt)
{
  const gint64 time = commy_sim_random_time (&world->random, &instance->place->times);

  attempt->serving = TRUE;
  attempt->begun_ns = world->now_ns;
  attempt->ends_ns = world->now_ns + (gint64) MIN ((double) time * instance->slow, 1e15);
  instance->busy++;
  g_ptr_array_add (instance->serving, attempt);
  commy_sim_agenda_add (&world->agenda, attempt->ends_ns, end_work, attempt, 0);
}

static void
begin_next (CommySimWorld *world, CommySimInstance *instance)
{
  while (instance->busy < instance->place->workers && instance->n_stops == 0)
    {
      CommySimAttempt *attempt = g_queue_pop_head (&instance->waiting);

      if (attempt == NULL)
        return;
      if (can_meet (world, instance, attempt, 0))
        begin_work (world, instance, attempt);
      else
        answer (world, attempt, COMMY_SIM_ENDED_SHED, 0);
    }
}

static void
end_work (gpointer world_pointer, gpointer what, guint64 unused)
{
  CommySimWorld *world = world_pointer;
  CommySimAttempt *attempt = what;
  CommySimInstance *instance = attempt->instance;

  if (!attempt->serving)
    {
      /* Its instance crashed, and has told so. */
      commy_sim_attempt_unref (attempt);
      return;
    }
  if (instance->n_stops > 0)
    {
      attempt->parked = TRUE;
      return;
    }
  if (world->now_ns < attempt->ends_ns)
    {
      commy_sim_agenda_add (&world->agenda, attempt->ends_ns, end_work, attempt, 0);
      return;
    }
  attempt->serving = FALSE;
  g_ptr_array_remove_fast (instance->serving, attempt);
  instance->busy--;
  commy_service_time_add (&instance->times, world->now_ns, world->now_ns - attempt->begun_ns);
  answer (world, attempt, COMMY_SIM_ENDED_OK, 0);
  begin_next (world, instance);
}

static void
arrive (gpointer world_pointer, gpointer what, guint64 unused)
{
  CommySimWorld *world = world_pointer;
  CommySimAttempt *attempt = what;
  CommySimInstance *instance = attempt->instance;
  const guint ahead = instance->waiting.length;

  if (instance->n_partitions > 0)
    commy_sim_attempt_unref (attempt);
  else if (instance->n_crashes > 0)
    answer (world, attempt, COMMY_SIM_ENDED_UNREACHABLE, 0);
  else if (instance->n_stops == 0 && instance->fail > 0
           && commy_sim_random_share (&world->random) < instance->fail)
    answer (world, attempt, COMMY_SIM_ENDED_FAILED, FAIL_NS);
  else if (instance->n_stops == 0 && instance->busy < instance->place->workers)
    {
      if (can_meet (world, instance, attempt, 0))
        begin_work (world, instance, attempt);
      else
        answer (world, attempt, COMMY_SIM_ENDED_SHED, 0);
    }
  else if (ahead >= instance->place->queue && instance->n_stops == 0)
    answer (world, attempt, COMMY_SIM_ENDED_FULL, 0);
  else if (instance->n_stops == 0 && !can_meet (world, instance, attempt, ahead))
    answer (world, attempt, COMMY_SIM_ENDED_SHED, 0);
  else
    g_queue_push_tail (&instance->waiting, attempt);
}

void
commy_sim_instance_send (CommySimWorld *world, CommySimAttempt *attempt)
{
  commy_sim_agenda_add (&world->agenda, world->now_ns + attempt->instance->place->latency_ns,
                        arrive, attempt, 0);
}

/* --- faults --- */

/* Connections break visibly: whoever waits is told. */
static void
crash (CommySimWorld *world, CommySimInstance *instance)
{
  CommySimAttempt *attempt;

  for (guint i = 0; i < instance->serving->len; i++)
    {
      attempt = g_ptr_array_index (instance->serving, i);
      attempt->serving = FALSE;
      answer (world, attempt->parked ? attempt : commy_sim_attempt_ref (attempt),
              COMMY_SIM_ENDED_LOST, 0);
    }
  g_ptr_array_set_size (instance->serving, 0);
  instance->busy = 0;
  while ((attempt = g_queue_pop_head (&instance->waiting)) != NULL)
    answer (world, attempt, COMMY_SIM_ENDED_LOST, 0);
}

/* What stood still goes on where it was. */
static void
go_on (CommySimWorld *world, CommySimInstance *instance)
{
  for (guint i = 0; i < instance->serving->len; i++)
    {
      CommySimAttempt *attempt = g_ptr_array_index (instance->serving, i);

      attempt->ends_ns += world->now_ns - MAX (instance->stopped_ns, attempt->begun_ns);
      if (attempt->parked)
        commy_sim_agenda_add (&world->agenda, attempt->ends_ns, end_work, attempt, 0);
      attempt->parked = FALSE;
    }
  begin_next (world, instance);
}

static void
find_share (CommySimInstance *instance)
{
  instance->fail = 0;
  for (guint i = 0; i < instance->failing->len; i++)
    {
      const CommySimFault *fault = g_ptr_array_index (instance->failing, i);

      instance->fail = MAX (instance->fail, fault->share);
    }
}

void
commy_sim_instance_begin_fault (CommySimWorld *world,
                                CommySimInstance *instance,
                                const CommySimFault *fault)
{
  switch (fault->kind)
    {
    case COMMY_SIM_SLOW:
      instance->slow *= fault->factor;
      break;
    case COMMY_SIM_FAIL:
      g_ptr_array_add (instance->failing, (gpointer) fault);
      find_share (instance);
      break;
    case COMMY_SIM_STOP:
      if (instance->n_stops++ == 0)
        instance->stopped_ns = world->now_ns;
      break;
    case COMMY_SIM_CRASH:
      if (instance->n_crashes++ == 0)
        crash (world, instance);
      break;
    case COMMY_SIM_PARTITION:
    default:
      instance->n_partitions++;
      break;
    }
}

void
commy_sim_instance_end_fault (CommySimWorld *world,
                              CommySimInstance *instance,
                              const CommySimFault *fault)
{
  switch (fault->kind)
    {
    case COMMY_SIM_SLOW:
      instance->slow /= fault->factor;
      break;
    case COMMY_SIM_FAIL:
      g_ptr_array_remove_fast (instance->failing, (gpointer) fault);
      find_share (instance);
      break;
    case COMMY_SIM_STOP:
      if (--instance->n_stops == 0)
        go_on (world, instance);
      break;
    case COMMY_SIM_CRASH:
      instance->n_crashes--;
      break;
    case COMMY_SIM_PARTITION:
    default:
      instance->n_partitions--;
      break;
    }
}
