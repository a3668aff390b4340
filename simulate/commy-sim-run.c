/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A run: arrivals, faults and intervals on the agenda, and then one event after the other until
 * time is over.
 */
#include "config.h"

#include "simulate/commy-sim-world.h"

static const CommySimStep *
get_step (const CommySimWorld *world, guint i)
{
  return i < world->scenario->steps->len ? &g_array_index (world->scenario->steps, CommySimStep, i)
                                         : NULL;
}

static void arrive (gpointer world, gpointer unused, guint64 step);

/* The next call at this step's rate, unless the next step begins before: then from there. */
static void
plan_arrival (CommySimWorld *world)
{
  const CommySimStep *step = get_step (world, world->step);
  const CommySimStep *next = get_step (world, world->step + 1);
  const CommySimTimes gap
      = { .shape = world->scenario->poisson ? COMMY_SIM_EXPONENTIAL : COMMY_SIM_CONSTANT,
          .mean_ns = step->rate > 0 ? 1e9 / step->rate : 1e15 };
  const gint64 at_ns = world->now_ns + MAX (commy_sim_random_time (&world->random, &gap), 1);

  if ((next == NULL || at_ns < next->at_ns) && at_ns <= world->scenario->duration_ns)
    commy_sim_agenda_add (&world->agenda, at_ns, arrive, NULL, world->step);
}

static void
arrive (gpointer world_pointer, gpointer unused, guint64 step)
{
  CommySimWorld *world = world_pointer;

  if (step != world->step)
    return;
  commy_sim_client_call (
      world, &world->clients[commy_sim_random_below (&world->random, world->scenario->n_clients)]);
  plan_arrival (world);
}

static void
begin_step (gpointer world_pointer, gpointer unused, guint64 step)
{
  CommySimWorld *world = world_pointer;

  world->step = (guint) step;
  plan_arrival (world);
}

static void
change_fault (gpointer world_pointer, gpointer what, guint64 begins)
{
  CommySimWorld *world = world_pointer;
  const CommySimFault *fault = what;

  for (guint i = 0; i < fault->instances->len; i++)
    {
      CommySimInstance *instance = &world->instances[g_array_index (fault->instances, guint, i)];

      if (begins)
        commy_sim_instance_begin_fault (world, instance, fault);
      else
        commy_sim_instance_end_fault (world, instance, fault);
    }
}

/* Also has every guard look at the time, and notes whom comparing has ejected. */
static void
end_interval (gpointer world_pointer, gpointer unused, guint64 unused_number)
{
  CommySimWorld *world = world_pointer;
  const CommySimScenario *scenario = world->scenario;
  const guint n = scenario->places->len;
  double ejected = 0, open = 0;

  for (guint i = 0; i < scenario->n_clients; i++)
    {
      CommyGuard *guard = &world->clients[i].guard;

      commy_guard_exclude (guard, NULL, -1, world->now_ns);
      for (guint k = 0; k < n; k++)
        {
          ejected += guard->hosts[k].out;
          open += guard->breakers[k].open;
          if (guard->hosts[k].out)
            commy_sim_record_blocked (&world->record, k, i, world->now_ns);
        }
    }
  commy_sim_record_interval (&world->record, world->now_ns, ejected / scenario->n_clients,
                             open / scenario->n_clients);
  if (world->now_ns < scenario->duration_ns)
    commy_sim_agenda_add (&world->agenda,
                          MIN (world->now_ns + scenario->interval_ns, scenario->duration_ns),
                          end_interval, NULL, 0);
}

static void
plan (CommySimWorld *world)
{
  const CommySimScenario *scenario = world->scenario;

  for (guint i = 0; i < scenario->faults->len; i++)
    {
      CommySimFault *fault = g_ptr_array_index (scenario->faults, i);

      commy_sim_agenda_add (&world->agenda, fault->at_ns, change_fault, fault, TRUE);
      commy_sim_agenda_add (&world->agenda, fault->until_ns, change_fault, fault, FALSE);
    }
  for (guint i = 0; i < scenario->steps->len; i++)
    if (get_step (world, i)->at_ns < scenario->duration_ns)
      commy_sim_agenda_add (&world->agenda, get_step (world, i)->at_ns, begin_step, NULL, i);
  commy_sim_agenda_add (&world->agenda, MIN (scenario->interval_ns, scenario->duration_ns),
                        end_interval, NULL, 0);
}

static void
set_up (CommySimWorld *world)
{
  const CommySimScenario *scenario = world->scenario;
  const guint n = scenario->places->len;

  world->instances = g_new0 (CommySimInstance, n);
  world->names = g_new0 (const char *, n);
  for (guint i = 0; i < n; i++)
    {
      const CommySimPlace *place = g_ptr_array_index (scenario->places, i);

      commy_sim_instance_init (&world->instances[i], place, i);
      world->names[i] = place->name;
    }
  world->clients = g_new0 (CommySimClient, scenario->n_clients);
  for (guint i = 0; i < scenario->n_clients; i++)
    commy_sim_client_init (world, &world->clients[i]);
}

static void
clear (CommySimWorld *world)
{
  for (guint i = 0; i < world->scenario->n_clients; i++)
    commy_sim_client_clear (world, &world->clients[i]);
  for (guint i = 0; i < world->scenario->places->len; i++)
    commy_sim_instance_clear (&world->instances[i]);
  g_free (world->clients);
  g_free (world->instances);
  g_free (world->names);
  commy_sim_agenda_clear (&world->agenda);
  commy_sim_record_clear (&world->record);
}

GVariant *
commy_sim_run (const CommySimScenario *scenario, const CommySimBalancer *balancer)
{
  CommySimWorld world
      = { .scenario = scenario, .balancer = *balancer, .random = { scenario->seed } };
  CommySimEvent event;
  GVariant *result = NULL;

  commy_sim_agenda_init (&world.agenda);
  commy_sim_record_init (&world.record, scenario);
  set_up (&world);
  plan (&world);
  /* What is under way when time is over comes to its end too, but nobody counts it. All faults
   * have ended then, so it does. */
  while (commy_sim_agenda_take (&world.agenda, &event))
    {
      if (event.at_ns > scenario->duration_ns && result == NULL)
        result = commy_sim_record_finish (&world.record, scenario->balancer);
      world.now_ns = event.at_ns;
      event.func (&world, event.what, event.number);
    }
  if (result == NULL)
    result = commy_sim_record_finish (&world.record, scenario->balancer);
  clear (&world);
  return result;
}
