/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A synchronous call that is sent to a second instance when the first takes longer than usual. The
 * thread waits on one path at a time, so while copies are under way it goes from one to the next.
 */
#include "config.h"

#include "mesh/commy-client-private.h"

#include "base/commy-error-private.h"

#include <string.h>

#define GLANCE_NS G_GINT64_CONSTANT (200000)
#define CONNECT_NS G_GINT64_CONSTANT (50000000)

typedef struct
{
  CommyGuarded call;
  CommyTurn turn;
  CommyStack stack;
  CommyChannel *channel; /* reference */
  guint32 stream;
  CommyWait wait;
} Copy;

typedef struct
{
  CommyClient *client;
  CommyRequest *request;
  GCancellable *cancellable;
  Copy copies[COMMY_CLIENT_MAX_COPIES];
  guint n; /* those that were sent */
  GError *last;
} Hedge;

static gboolean
is_open (const Copy *copy)
{
  return copy->call.peer != NULL;
}

static guint
count_open (const Hedge *self)
{
  guint n = 0;

  for (guint i = 0; i < self->n; i++)
    n += is_open (&self->copies[i]);
  return n;
}

static void
close_copy (Hedge *self, Copy *copy, CommyOutcome outcome)
{
  if (!is_open (copy))
    return;
  if (!copy->wait.done)
    commy_channel_forget (copy->channel, copy->stream);
  commy_client_end (self->client, &copy->call, copy->turn, outcome);
}

/* Takes over an attempt that has begun and whose path is up. FALSE: it could not be sent. */
static gboolean
send_copy (Hedge *self, const CommyPick *picked, CommyGuarded *call, GError **error)
{
  CommyRequest *request = self->request;
  Copy *copy = &self->copies[self->n];
  g_autoptr (GError) cause = NULL;

  memset (copy, 0, sizeof *copy);
  copy->call = *call;
  call->peer = NULL;
  copy->turn = picked->turn;
  copy->stack = *picked->stack;
  copy->channel = commy_channel_ref (copy->stack.path->channel);
  copy->stream = commy_channel_expect (copy->channel, request->deadline_ns, commy_client_on_answer,
                                       &copy->wait);
  self->n++;
  if (copy->stream == 0)
    {
      copy->wait.done = TRUE;
      commy_channel_io_error (copy->channel, COMMY_IO_WOULD_BLOCK, &cause);
    }
  else if (commy_client_send_sync (self->client, request, copy->channel, copy->stack.serializer,
                                   copy->stream, FALSE, self->cancellable, &cause))
    {
      commy_channel_mark_sent (copy->channel, copy->stream);
      commy_channel_flush (copy->channel);
      return TRUE;
    }
  g_clear_error (&copy->wait.error);
  close_copy (self, copy, commy_outcome_judge (cause, FALSE));
  g_propagate_error (error, g_steal_pointer (&cause));
  return FALSE;
}

/* At another instance. Meanwhile nobody looks at the first answer, so setting up a path has little
 * time. */
static gboolean
begin_copy (Hedge *self, CommyPick *picked, CommyGuarded *call)
{
  CommyClient *client = self->client;
  CommyRequest *request = self->request;

  if (!commy_client_route_sync (client, request->flavour, request->size, request->now_ns / 1000,
                                self->cancellable, NULL)
      || !commy_client_pick (client, request, picked, NULL)
      || commy_tries_has (&request->tries, 0, picked->member->peer)
      || commy_client_would_deadlock (client, picked->member->peer))
    return FALSE;
  if (!commy_path_is_up (picked->stack->path)
      && !commy_path_connect_sync (picked->stack->path,
                                   (MIN (request->now_ns + CONNECT_NS, request->call_deadline_ns))
                                       / 1000,
                                   self->cancellable, NULL))
    return FALSE;
  request->now_ns = commy_env_now (client->mesh->env);
  if (!commy_guard_take_hedge (request->guard, request->now_ns))
    return FALSE;
  commy_client_begin (client, request, picked, call);
  commy_client_start_clock (client, request, call);
  return TRUE;
}

static void
send_another (Hedge *self)
{
  CommyGuarded call = { NULL };
  CommyPick picked;

  self->request->now_ns = commy_env_now (self->client->mesh->env);
  if (self->n < COMMY_CLIENT_MAX_COPIES && begin_copy (self, &picked, &call))
    send_copy (self, &picked, &call, NULL);
}

/* The copy that was answered; NULL: none yet. Failed ones are closed. */
static Copy *
look (Hedge *self)
{
  for (guint i = 0; i < self->n; i++)
    {
      Copy *copy = &self->copies[i];

      if (!is_open (copy))
        continue;
      if (!copy->wait.done)
        commy_channel_poll (copy->channel);
      if (!copy->wait.done)
        continue;
      if (copy->wait.error == NULL)
        return copy;
      close_copy (self, copy, commy_outcome_judge (copy->wait.error, copy->wait.sent));
      self->request->n_sent += self->last != NULL;
      g_clear_error (&self->last);
      self->last = g_steal_pointer (&copy->wait.error);
    }
  return NULL;
}

static void
wait_for_any (Hedge *self, guint turn, gint64 due_ns, guint32 kick_seen)
{
  const gint64 now_ns = commy_env_now (self->client->mesh->env);
  const guint n_open = count_open (self);
  gint64 until_ns = MIN (self->request->deadline_ns, due_ns);

  if (n_open > 1)
    until_ns = MIN (until_ns, now_ns + GLANCE_NS);
  for (guint i = 0; i < self->n; i++)
    {
      Copy *copy = &self->copies[(turn + i) % self->n];
      gboolean more;

      if (!is_open (copy))
        continue;
      more = commy_channel_flush (copy->channel) == COMMY_IO_WOULD_BLOCK;
      commy_channel_wait (copy->channel, until_ns, more, kick_seen);
      return;
    }
}

static gboolean
gives_up (Hedge *self)
{
  g_autoptr (GError) error = NULL;

  if (!commy_client_give_up (self->client, self->request, self->cancellable, &error))
    return FALSE;
  g_clear_error (&self->last);
  self->last = g_steal_pointer (&error);
  return TRUE;
}

/* Until one copy is answered, all have failed, or the caller gives up. */
static Copy *
await_any (Hedge *self)
{
  CommyGuard *guard = self->request->guard;
  gint64 sent_ns = self->request->now_ns;
  guint n_sent = self->n;

  for (guint turn = 0;; turn++)
    {
      /* One word for all channels of the worker. */
      const guint32 kick_seen = commy_channel_kick_seen (self->copies[0].channel);
      const gint64 due_ns = commy_guard_get_hedge_due (guard, n_sent, TRUE, sent_ns);
      Copy *won = look (self);

      if (won != NULL || count_open (self) == 0 || gives_up (self))
        return won;
      if (commy_env_now (self->client->mesh->env) >= due_ns)
        {
          send_another (self);
          n_sent++; /* also where nobody was left to send it to */
          sent_ns = self->request->now_ns;
        }
      else
        wait_for_any (self, turn, due_ns, kick_seen);
    }
}

/* That nobody takes. */
static void
drop_answer (Copy *copy, const Copy *won)
{
  if (copy == won || !is_open (copy) || !copy->wait.done)
    return;
  if (copy->wait.error == NULL)
    commy_incoming_release (copy->channel, &copy->wait.incoming);
  g_clear_error (&copy->wait.error);
}

gboolean
commy_client_is_hedged (CommyClient *self, const CommyRequest *request)
{
  return G_UNLIKELY (request->guard->policy->hedge.attempts > 1) && request->idempotent
         && !request->streams && !request->one_way;
}

gboolean
commy_client_exchange_hedged (CommyClient *self,
                              CommyRequest *request,
                              const CommyPick *picked,
                              CommyGuarded *call,
                              CommyWait *wait,
                              CommyChannel **out_channel,
                              gboolean *out_sent,
                              GCancellable *cancellable,
                              GError **error)
{
  Hedge hedge = { .client = self, .request = request, .cancellable = cancellable };
  Copy *won = NULL;

  if (send_copy (&hedge, picked, call, &hedge.last))
    {
      *out_sent = TRUE;
      won = await_any (&hedge);
    }
  if (won != NULL)
    {
      commy_client_finish_call (self, request->flavour, won->channel, &won->stack, FALSE,
                                request->size, &won->wait.incoming, won->call.guarded.begun_ns);
      close_copy (&hedge, won, COMMY_OUTCOME_OK);
      *wait = won->wait;
      g_clear_pointer (out_channel, commy_channel_unref);
      *out_channel = commy_channel_ref (won->channel);
      g_clear_error (&hedge.last);
    }
  for (guint i = 0; i < hedge.n; i++)
    {
      drop_answer (&hedge.copies[i], won);
      /* Whoever has had all the time there was has failed. */
      close_copy (&hedge, &hedge.copies[i],
                  won == NULL ? commy_outcome_judge (hedge.last, TRUE) : COMMY_OUTCOME_ABANDONED);
      commy_worker_set_hot (self->worker->worker, hedge.copies[i].channel);
      commy_channel_unref (hedge.copies[i].channel);
    }
  if (hedge.last != NULL)
    g_propagate_error (error, hedge.last);
  return won != NULL;
}
