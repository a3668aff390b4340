/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What an external policy engine has to say of the methods of a channel. A method of which it has
 * not spoken waits, and its calls with it (commy-channel-deferred.c); the mesh thread, where the
 * answer comes, gives the channel a turn.
 */
#include "config.h"

#include "channel/commy-channel-rights.h"

#include "security/commy-engine.h"

/* From the question to the turn after its answer. */
typedef struct
{
  CommyChannel *channel; /* reference */
  guint method;          /* index */
} Turn;

typedef struct
{
  CommyChannel *channel;
  guint method;
} Asker;

/* On the worker: what was kept waiting is looked at. */
static void
take_turn (gpointer data)
{
  Turn *turn = data;
  CommyChannel *self = turn->channel;
  CommyWorker *worker = commy_worker_hold (self->worker);

  commy_worker_enter (worker);
  if (!self->closed)
    {
      CommyIncomingMethod *method
          = &g_array_index (self->methods_in, CommyIncomingMethod, turn->method);

      method->waits = FALSE;
      method->until_us = 0;
      commy_channel_refresh_method (self, method);
      commy_channel_look_at_streams (self);
      commy_worker_set_hot (worker, self);
    }
  commy_channel_unref (self);
  commy_worker_exit (worker);
  commy_worker_release (worker);
  g_free (turn);
}

static void
on_ready (gpointer data)
{
  Turn *turn = data;
  CommyWorker *worker = commy_worker_hold (turn->channel->worker);

  commy_worker_post (worker, take_turn, turn);
  commy_worker_release (worker);
}

static CommyEngineWaiter
want_waiter (gpointer data)
{
  const Asker *asker = data;
  Turn *turn = g_new0 (Turn, 1);

  turn->channel = commy_channel_ref (asker->channel);
  turn->method = asker->method;
  return (CommyEngineWaiter){ on_ready, turn };
}

static void
ask_about (CommyChannel *self,
           CommyPrincipal *peer,
           CommyIncomingMethod *method,
           CommyEngineAnswer *answer)
{
  Asker asker
      = { self, (guint) (method - (CommyIncomingMethod *) (void *) self->methods_in->data) };
  const char *name = commy_principal_get_name (peer);
  const CommyPolicyRequest request
      = { .verb = COMMY_VERB_CALL,
          .principal = name,
          .own = commy_principal_is_own (peer) || commy_channel_is_own_name (self, name),
          .resource = self->service,
          .method = method->name,
          .path = &self->rights.path };

  commy_engine_ask (self->shared->engine, &request, TRUE, want_waiter, &asker, answer);
}

static void
take_denial (CommyIncomingMethod *method, char *why)
{
  g_free (method->why);
  method->why = why;
  if (method->lifts)
    method->trial = why;
  else
    {
      method->allowed = FALSE;
      method->origin = why;
    }
}

/* Calls go by what the policy says of time; the worker looks when the answer ends. */
static void
limit_until (CommyChannel *self, CommyIncomingMethod *method, gint64 until_ns)
{
  method->until_us = method->table_us;
  method->due_ns = until_ns;
  if (until_ns >= self->rights.due_ns)
    return;
  self->rights.due_ns = until_ns;
  commy_worker_need_deadline (self->worker, until_ns);
}

/* Who calls next asks again; what is open does so now. */
void
commy_channel_expire_decisions (CommyChannel *self, gint64 now_ns)
{
  self->rights.due_ns = G_MAXINT64;
  for (guint i = 0; i < self->methods_in->len; i++)
    {
      CommyIncomingMethod *method = &g_array_index (self->methods_in, CommyIncomingMethod, i);

      if (!method->asks || method->waits || method->until_us == 0)
        continue;
      if (now_ns >= method->due_ns)
        method->until_us = 0;
      else
        self->rights.due_ns = MIN (self->rights.due_ns, method->due_ns);
    }
  commy_channel_look_at_streams (self);
}

void
commy_channel_look_at_decisions (CommyChannel *self)
{
  gint64 now_ns = commy_env_now (self->shared->env);

  if (now_ns >= self->rights.due_ns)
    commy_channel_expire_decisions (self, now_ns);
}

void
commy_channel_ask_engine (CommyChannel *self, CommyIncomingMethod *method)
{
  CommyPrincipal *const names[] = { self->peer, self->moves.peer };
  gint64 until_ns = G_MAXINT64;

  for (guint i = 0; i < G_N_ELEMENTS (names) && names[i] != NULL && method->why == NULL; i++)
    {
      CommyEngineAnswer answer;

      ask_about (self, names[i], method, &answer);
      if (answer.state == COMMY_ENGINE_THINKS)
        {
          method->waits = TRUE;
          method->allowed = FALSE;
          return;
        }
      until_ns = MIN (until_ns, answer.until_ns);
      if (answer.state == COMMY_ENGINE_DENIES)
        take_denial (method, answer.why);
    }
  limit_until (self, method, until_ns);
}
