/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The hot calls: a span of the path itself, one frame header, one wait. No string, no
 * allocation, no GObject call; the router's table, policy, deadline and counters as always.
 */
#include "config.h"

#include "mesh/commy-client-private.h"

#include "base/commy-error-private.h"

#include <string.h>

CommyMethod
commy_client_resolve (CommyClient *self, const char *method, GError **error)
{
  CommyClientMethod entry = { 0 };
  gboolean ok;

  g_return_val_if_fail (COMMY_IS_CLIENT (self) && method != NULL, 0);
  if (!commy_client_check (self, error))
    return 0;
  commy_worker_enter (self->worker->worker);
  ok = commy_client_route_sync (self, COMMY_FLAVOUR_BYTES, 64,
                                g_get_monotonic_time () + self->timeout_ns / 1000, NULL, error);
  commy_worker_exit (self->worker->worker);
  if (!ok)
    return 0;
  for (guint i = 0; i < self->methods->len; i++)
    if (strcmp (g_array_index (self->methods, CommyClientMethod, i).name, method) == 0)
      return i + 1;
  entry.name = g_strdup (method);
  g_array_append_val (self->methods, entry);
  return self->methods->len;
}

/* The id of a hot method on a channel; remembered for the channel used last. */
static guint32
method_id (CommyClient *self, guint32 method, CommyChannel *channel, GError **error)
{
  CommyClientMethod *entry = &g_array_index (self->methods, CommyClientMethod, method - 1);
  guint64 serial = commy_channel_get_serial (channel);

  if (G_LIKELY (entry->channel_serial == serial))
    return entry->id;
  entry->id = commy_channel_method (channel, entry->name, error);
  entry->channel_serial = entry->id != 0 ? serial : 0;
  return entry->id;
}

/* A thread without a loop is told what is new when its call is over. */
static void
hear_news (CommyClient *self)
{
  if (G_LIKELY (!self->has_news))
    return;
  self->has_news = FALSE;
  if (!commy_worker_is_attached (self->worker->worker))
    commy_worker_turn (self->worker->worker);
}

static void
begin_spec (CommyHotReservation *hot, CommyChannel *channel, guint32 id)
{
  hot->spec = (CommyFrameSpec){ .type = COMMY_FRAME_CALL,
                                .deadline_ns = 1, /* room for the real one */
                                .serializer = commy_channel_wire_of (channel, hot->serializer),
                                .method = id };
}

/* The span is the caller's. The reference stays for the next one: the path is mostly the same. */
static void
hold (CommyHotReservation *hot, guint32 method, CommyChannel *channel)
{
  hot->method = method;
  hot->channel = channel;
  if (G_UNLIKELY (hot->held != channel))
    {
      commy_channel_unref (hot->held);
      hot->held = commy_channel_ref (channel);
    }
  commy_channel_pin (channel);
}

static CommyGuard *
guard_of (CommyClient *self, guint32 method)
{
  return commy_ward_get_guard (self->ward,
                               g_array_index (self->methods, CommyClientMethod, method - 1).name);
}

static gint64
timeout_of (CommyClient *self, guint32 method)
{
  return commy_client_get_timeout (self, guard_of (self, method));
}

/* Nearly always the route is fresh, its path up, the method known there, and there is room. FALSE:
 * not now; nothing is reserved. */
static gboolean
reserve_at_once (CommyClient *self, guint32 method, gsize size, CommyRouteMember **out_picked)
{
  CommyHotReservation *hot = &self->hot;
  CommyRoute *route = &self->routes[COMMY_FLAVOUR_BYTES];
  const CommyClientMethod *entry = &g_array_index (self->methods, CommyClientMethod, method - 1);
  const CommyStack *stack;

  *out_picked = NULL;
  if (!commy_client_is_current (self, route) || commy_guard_is_asked (guard_of (self, method)))
    return FALSE;
  *out_picked = commy_route_pick (route, NULL, self->sticky, 0, &hot->turn);
  hot->turn.route = COMMY_FLAVOUR_BYTES;
  stack = commy_route_member_stack (*out_picked, size);
  if (!commy_path_is_up (stack->path)
      || entry->channel_serial != commy_channel_get_serial (stack->path->channel))
    return FALSE;
  hot->path = stack->path;
  hot->serializer = stack->serializer;
  begin_spec (hot, stack->path->channel, entry->id);
  if (commy_channel_reserve (stack->path->channel, &hot->spec, size, &hot->span) != COMMY_IO_OK)
    return FALSE;
  hold (hot, method, stack->path->channel);
  return TRUE;
}

/* How a call to @peer ended. @started_ns: 0 for now. */
static void
tell_guard (
    CommyClient *self, guint32 method, CommyPeer *peer, CommyOutcome outcome, gint64 started_ns)
{
  const gint64 now_ns = commy_env_now (self->mesh->env);
  CommyGuarded call;

  commy_ward_begin (guard_of (self, method), &call, peer, started_ns != 0 ? started_ns : now_ns);
  commy_ward_end (self->ward, &call, outcome, now_ns);
}

/* A call ended. Nearly always it went well, and nobody has asked. */
static void
conclude (CommyClient *self, CommyPeer *peer, const GError *error, gint64 started_ns, gint64 now_ns)
{
  CommyGuard *guard = guard_of (self, self->hot.method);
  CommyOutcome outcome = COMMY_OUTCOME_OK;

  if (G_LIKELY (error == NULL && !self->hot.admitted && !commy_guard_is_asked (guard)
                && peer->ward_index != COMMY_NOT_IN_WARD && guard->policy->hedge.attempts < 2))
    {
      if (G_UNLIKELY (now_ns >= guard->fold_ns))
        commy_ward_note_call (self->ward);
      commy_guard_pass (guard, peer->ward_index, now_ns);
      return;
    }
  if (error != NULL)
    outcome = commy_outcome_judge (error, TRUE);
  tell_guard (self, self->hot.method, peer, outcome, started_ns);
  commy_client_dismiss (self, &self->hot.admitted, outcome);
}

/* The guard is asked as for any other call. */
static CommyRouteMember *
pick_guarded (CommyClient *self, guint32 method, gsize size, gint64 deadline_us, GError **error)
{
  CommyHotReservation *hot = &self->hot;
  CommyRequest request
      = { .method = g_array_index (self->methods, CommyClientMethod, method - 1).name,
          .guard = guard_of (self, method),
          .flavour = COMMY_FLAVOUR_BYTES,
          .size = size,
          .now_ns = commy_env_now (self->mesh->env),
          .call_deadline_ns = deadline_us * 1000 };
  CommyPick picked;

  if (hot->admitted == NULL && !commy_client_admit (self, &request, error))
    return NULL;
  if (request.admitted != NULL)
    hot->admitted = request.admitted;
  if (!commy_client_pick (self, &request, &picked, error))
    return NULL;
  hot->turn = picked.turn;
  return picked.member;
}

static gboolean
choose_path (CommyClient *self,
             guint32 method,
             gsize size,
             gint64 deadline_us,
             CommyRouteMember *member,
             CommyChannel **out_channel,
             GError **error)
{
  g_autoptr (GError) cause = NULL;
  const CommyStack *stack;
  gboolean again;

  if (member == NULL)
    {
      if (!commy_client_route_sync (self, COMMY_FLAVOUR_BYTES, size, deadline_us, NULL, error))
        return FALSE;
      member = pick_guarded (self, method, size, deadline_us, error);
      if (member == NULL)
        return FALSE;
    }
  stack = commy_route_member_stack (member, size);
  if (G_UNLIKELY (!commy_path_is_up (stack->path)))
    {
      if (commy_client_would_deadlock (self, member->peer))
        {
          commy_set_error (error, COMMY_ERROR_WOULD_DEADLOCK, "%s runs in this very context",
                           self->service);
          return FALSE;
        }
      again = self->expectation != NULL && member->peer->instance->origin != NULL;
      if (!commy_path_connect_sync (stack->path, deadline_us, NULL, &cause))
        {
          tell_guard (self, method, member->peer, commy_outcome_judge (cause, FALSE), 0);
          g_propagate_error (error, g_steal_pointer (&cause));
          return FALSE;
        }
      if (again)
        return choose_path (self, method, size, deadline_us, NULL, out_channel, error);
    }
  if (!commy_path_is_up (stack->path))
    {
      commy_set_error (error, COMMY_ERROR_UNREACHABLE, "the channel closed at once");
      return FALSE;
    }
  self->hot.path = stack->path;
  self->hot.serializer = stack->serializer;
  *out_channel = stack->path->channel;
  return TRUE;
}

/* Reserves on the chosen path, waiting for room. */
static gboolean
reserve_here (CommyClient *self,
              guint32 method,
              gsize size,
              gint64 deadline_us,
              CommyChannel *channel,
              GError **error)
{
  CommyHotReservation *hot = &self->hot;
  guint32 id = method_id (self, method, channel, error);
  CommyIo io;

  if (id == 0)
    return FALSE;
  begin_spec (hot, channel, id);
  while ((io = commy_channel_reserve (channel, &hot->spec, size, &hot->span))
         == COMMY_IO_WOULD_BLOCK)
    {
      guint32 kick_seen = commy_channel_kick_seen (channel);

      /* Room does not help: another client of this thread holds a span of the same path. */
      if (commy_channel_is_reserved (channel)
          || commy_env_now (self->mesh->env) >= deadline_us * 1000)
        break;
      if (!commy_channel_poll (channel))
        commy_channel_wait (channel, deadline_us * 1000, TRUE, kick_seen);
    }
  if (io != COMMY_IO_OK)
    {
      commy_channel_io_error (channel, io, error);
      return FALSE;
    }
  hold (hot, method, channel);
  return TRUE;
}

static gboolean
reserve_somewhere (CommyClient *self,
                   guint32 method,
                   gsize size,
                   gint64 deadline_us,
                   CommyRouteMember *picked,
                   GError **error)
{
  g_autoptr (GError) refusal = NULL;

  for (;; picked = NULL)
    {
      g_autoptr (GError) cause = NULL;
      CommyChannel *channel;

      if (choose_path (self, method, size, deadline_us, picked, &channel, &cause)
          && reserve_here (self, method, size, deadline_us, channel, &cause))
        return TRUE;
      if (refusal == NULL && commy_client_is_refusal (cause))
        refusal = g_steal_pointer (&cause);
      else if (!g_error_matches (cause, COMMY_ERROR, COMMY_ERROR_UNREACHABLE)
               && !g_error_matches (cause, COMMY_ERROR, COMMY_ERROR_HANDSHAKE))
        {
          g_propagate_error (error, g_error_copy (commy_client_weigh (refusal, cause)));
          return FALSE;
        }
    }
}

gboolean
commy_client_reserve (
    CommyClient *self, CommyMethod method, gsize size, CommySpan *out_span, GError **error)
{
  g_return_val_if_fail (method > 0 && method <= self->methods->len, FALSE);
#ifdef G_ENABLE_DEBUG
  if (!commy_client_check (self, error))
    return FALSE;
#endif
  CommyRouteMember *picked;

  if (G_UNLIKELY (self->hot.channel != NULL))
    commy_client_discard (self);
  commy_worker_enter_sync (self->worker->worker);
  if (G_LIKELY (reserve_at_once (self, method, MAX (size, 1), &picked))
      || reserve_somewhere (self, method, MAX (size, 1),
                            g_get_monotonic_time () + timeout_of (self, method) / 1000, picked,
                            error))
    {
      *out_span = self->hot.span;
      out_span->size = size;
      commy_worker_leave_sync (self->worker->worker);
      return TRUE;
    }
  commy_client_dismiss (self, &self->hot.admitted, COMMY_OUTCOME_ABANDONED);
  commy_worker_leave_sync (self->worker->worker);
  hear_news (self);
  return FALSE;
}

/* Whether the reserved span still lies on a living channel. */
static gboolean
reservation_lives (CommyHotReservation *hot)
{
  /* A channel may have been given to another path meanwhile: the span is where it was. */
  return commy_channel_is_open (hot->channel);
}

/* What closed is not kept: the last reference frees its connection. */
static void
drop_hold (CommyHotReservation *hot)
{
  commy_channel_unpin (hot->channel);
  if (G_UNLIKELY (!commy_channel_is_open (hot->channel)))
    g_clear_pointer (&hot->held, commy_channel_unref);
  hot->channel = NULL;
}

void
commy_client_discard (CommyClient *self)
{
  CommyWorker *worker;

  if (self->hot.channel == NULL)
    return;
  worker = self->worker->worker;
  commy_worker_enter (worker);
  if (reservation_lives (&self->hot))
    commy_channel_abandon (self->hot.channel);
  drop_hold (&self->hot);
  commy_client_dismiss (self, &self->hot.admitted, COMMY_OUTCOME_ABANDONED);
  commy_worker_exit (worker);
}

static void
fill_reply (CommyChannel *channel, CommyWait *wait, CommyReply *out_reply)
{
  CommyIncoming *incoming = &wait->incoming;

  out_reply->data = commy_incoming_payload (incoming);
  out_reply->size = incoming->frame.payload_size;
  out_reply->channel = commy_channel_ref (channel);
  out_reply->message = incoming->message;
  if (!incoming->borrowed)
    {
      /* A copy, of a sender who is not trusted or of pieces: the reply owns it. */
      g_clear_pointer ((CommyChannel **) &out_reply->channel, commy_channel_unref);
      out_reply->message.token = (guint64) (gsize) g_steal_pointer (&incoming->copy);
    }
}

static gboolean
await_hot (
    CommyClient *self, CommyChannel *channel, guint32 stream, CommyWait *wait, gint64 deadline_ns)
{
  while (!wait->done)
    {
      guint32 kick_seen = commy_channel_kick_seen (channel);
      gboolean more;

      if (commy_channel_poll (channel) || wait->done)
        continue;
      if (commy_env_now (self->mesh->env) >= deadline_ns)
        {
          commy_channel_forget (channel, stream);
          commy_channel_deadline_error (channel, &wait->error);
          return FALSE;
        }
      more = commy_channel_flush (channel) == COMMY_IO_WOULD_BLOCK;
      commy_channel_wait (channel, deadline_ns, more, kick_seen);
    }
  return wait->error == NULL;
}

/* Of several instances: this one has a call under way, and the balancer hears how it went. */
static G_GNUC_NO_INLINE gboolean
await_balanced (
    CommyClient *self, CommyChannel *channel, guint32 stream, CommyWait *wait, gint64 deadline_ns)
{
  CommyTurn turn = self->hot.turn;
  gint64 started_ns = commy_env_now (self->mesh->env);
  g_autoptr (CommyPeer) peer
      = commy_balance_dup_peer (commy_client_get_route (self, turn.route)->balance, turn);
  gboolean ok;

  if (peer != NULL)
    commy_peer_begin (peer);
  ok = await_hot (self, channel, stream, wait, deadline_ns);
  if (peer != NULL)
    commy_peer_end (peer);
  commy_client_report (self, turn, commy_env_now (self->mesh->env) - started_ns,
                       commy_outcome_judge (ok ? NULL : wait->error, TRUE));
  return ok;
}

/* @deadline_ns: 0 for the default. @hot->held keeps the channel, this thread in the worker what it
 * needs. */
static gboolean
exchange_here (
    CommyClient *self, gsize used, CommyReply *out_reply, gint64 deadline_ns, GError **error)
{
  CommyHotReservation *hot = &self->hot;
  CommyChannel *channel = hot->channel;
  gboolean sampled = commy_client_sample (self, &self->routes[COMMY_FLAVOUR_BYTES]);
  gint64 now = commy_env_now (self->mesh->env);
  CommyStack stack = { hot->path, hot->serializer };
  CommyWait wait;
  CommyIo io;

  wait.done = FALSE;
  wait.error = NULL;
  if (deadline_ns == 0)
    deadline_ns = now + timeout_of (self, hot->method);
  hot->spec.deadline_ns = (guint64) MAX (deadline_ns - now, 1);
  hot->spec.flags = sampled ? COMMY_FRAME_FLAG_SAMPLED : 0;
  hot->spec.stream = commy_channel_expect (channel, deadline_ns, commy_client_on_answer, &wait);
  if (hot->spec.stream == 0)
    {
      commy_channel_abandon (channel);
      drop_hold (hot);
      commy_client_dismiss (self, &self->hot.admitted, COMMY_OUTCOME_ABANDONED);
      commy_channel_io_error (channel, COMMY_IO_WOULD_BLOCK, error);
      return FALSE;
    }
  io = commy_channel_commit (channel, &hot->spec, used);
  drop_hold (hot); /* not before: it may be all that keeps the memory that was written to */
  commy_channel_mark_sent (channel, hot->spec.stream);
  if (io == COMMY_IO_OK)
    commy_channel_flush (channel);
  if (G_LIKELY (hot->turn.generation == 0)
          ? await_hot (self, channel, hot->spec.stream, &wait, deadline_ns)
          : await_balanced (self, channel, hot->spec.stream, &wait, deadline_ns))
    {
      gint64 ended = commy_env_now (self->mesh->env);
      gint64 took = ended - now;

      conclude (self, stack.path->peer, NULL, now, ended);
      commy_histogram_add (&commy_channel_get_counters (channel)->call_ns, (guint64) took);
      if (G_UNLIKELY (sampled && wait.incoming.frame.has_dwell))
        commy_client_learn (self, COMMY_FLAVOUR_BYTES, &stack, used,
                            wait.incoming.frame.payload_size, took, wait.incoming.frame.dwell_ns);
      fill_reply (channel, &wait, out_reply);
    }
  else
    {
      conclude (self, stack.path->peer, wait.error, now, 0);
      g_propagate_error (error, g_steal_pointer (&wait.error));
    }
  /* Taking messages here disarmed the path: a loop must arm it again. */
  commy_worker_set_hot (self->worker->worker, channel);
  if (G_UNLIKELY (!commy_channel_is_open (channel)))
    g_clear_pointer (&hot->held, commy_channel_unref);
  return out_reply->data != NULL;
}

/* The path died before anything was published: the same bytes go to the next allowed path. The
 * dead channel's memory stays readable, because the reservation holds a message slot of it. */
static gboolean
move_reservation (CommyClient *self, const CommySpan *in, gint64 deadline_us, GError **error)
{
  CommyHotReservation *hot = &self->hot;
  g_autofree guint8 *copy = g_memdup2 (in->data, MAX (in->size, 1));

  drop_hold (hot);
  if (!reserve_somewhere (self, hot->method, MAX (in->size, 1), deadline_us, NULL, error))
    return FALSE;
  memcpy (hot->span.data, copy, in->size);
  return TRUE;
}

gboolean
commy_client_exchange (CommyClient *self,
                       CommyMethod method,
                       const CommySpan *in,
                       CommyReply *out_reply,
                       gint64 deadline_us,
                       GError **error)
{
  gboolean ok = TRUE;

  memset (out_reply, 0, sizeof *out_reply);
  g_return_val_if_fail (self->hot.channel != NULL && self->hot.method == method, FALSE);
  g_return_val_if_fail (self->hot.span.data == in->data, FALSE);
  deadline_us = MIN (deadline_us, G_MAXINT64 / 4000);
  commy_worker_enter_sync (self->worker->worker);
  if (G_UNLIKELY (!reservation_lives (&self->hot)))
    {
      if (deadline_us == 0)
        deadline_us = g_get_monotonic_time () + timeout_of (self, method) / 1000;
      ok = move_reservation (self, in, deadline_us, error);
      if (!ok)
        commy_client_dismiss (self, &self->hot.admitted, COMMY_OUTCOME_ABANDONED);
    }
  ok = ok && exchange_here (self, in->size, out_reply, deadline_us * 1000, error);
  commy_worker_leave_sync (self->worker->worker);
  hear_news (self);
  return ok;
}

void
commy_reply_clear (CommyReply *reply)
{
  CommyIncoming incoming = { .borrowed = TRUE }; /* only what releasing looks at */

  if (reply->data == NULL)
    return;
  if (reply->channel == NULL)
    commy_block_free ((gpointer) (gsize) reply->message.token);
  else
    {
      CommyWorker *worker = commy_channel_get_worker (reply->channel);

      incoming.message = reply->message;
      commy_worker_enter (worker);
      commy_incoming_release (reply->channel, &incoming);
      commy_worker_exit (worker);
      commy_channel_unref (reply->channel);
    }
  memset (reply, 0, sizeof *reply);
}
