/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The life of a channel: made from a set-up, served in turns, armed before sleeping, waited
 * for by synchronous callers, closed once. Sending and receiving have files of their own.
 */
#include "config.h"

#include "base/commy-error-private.h"
#include "channel/commy-channel-rights.h"
#include "channel/commy-death-watch.h"
#include "channel/commy-flow-table.h"
#include "channel/commy-spin.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#define TURN_MESSAGES 32u
#define TURN_BYTES 65536u
#define SPIN_CHECK_EVERY 16u

/* --- life --- */

static void
method_clear (gpointer data)
{
  CommyIncomingMethod *method = data;

  g_free (method->name);
  g_free (method->why);
}

static gboolean
is_own (const CommyChannelShared *shared, CommyPrincipal *peer)
{
  return g_strv_contains ((const char *const *) shared->own_principals,
                          commy_principal_get_name (peer));
}

/* What tells the end of the peer: the connection's own descriptor, whose hang-up comes first, and
 * its pidfd where the kernel gave one, because a child of the peer may keep the former open. */
static void
death_fds (CommyChannel *self, int *out_fd, int *out_pidfd)
{
  CommyEvidence evidence = { .struct_size = sizeof evidence, .pidfd = -1 };

  self->ops->evidence (self->connection, &evidence);
  *out_pidfd = evidence.pidfd;
  *out_fd = self->ops->fd (self->connection);
  if (*out_fd == *out_pidfd)
    *out_fd = -1; /* no path: there is the pidfd and nothing else */
}

CommyChannel *
commy_channel_new (CommyWorker *worker,
                   const CommyChannelShared *shared,
                   const CommyChannelSetup *setup)
{
  CommyChannel *self = g_new0 (CommyChannel, 1);

  g_atomic_ref_count_init (&self->refs);
  self->serial = commy_env_random64 (shared->env) | 1;
  self->worker = commy_worker_hold (worker);
  self->shared = shared;
  self->trains_in.stock = shared->stock;
  commy_moves_init (self);
  commy_channel_use_path (self, setup->transport, setup->connection);
  self->accepting = setup->accepting;
  self->peer_node = g_strdup (setup->peer_node);
  self->service = g_strdup (setup->service);
  self->instance = g_strdup (setup->instance);
  self->interface_name = g_strdup (setup->interface_name);
  self->interface_hash = g_strdup (setup->interface_hash);
  self->peer = commy_principal_ref (setup->peer);
  self->seat = setup->seat;
  self->standing = setup->standing;
  self->takes_runs = setup->takes_runs;
  self->trusted = is_own (shared, setup->peer);
  self->same_core = shared->single_cpu >= 0 && setup->peer_cpu == shared->single_cpu;
  self->borrows = setup->borrows;
  for (guint i = 0; setup->serializers[i] != NULL && i + 1 < G_N_ELEMENTS (self->serializers); i++)
    self->serializers[i + 1]
        = commy_catalog_find (shared->catalog, COMMY_PLUGIN_SERIALIZER, setup->serializers[i]);
  self->flow = (guint32) commy_env_random64 (shared->env) | 1;
  self->methods_in = g_array_new (FALSE, TRUE, sizeof (CommyIncomingMethod));
  g_array_set_clear_func (self->methods_in, method_clear);
  self->methods_out = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_queue_init (&self->backlog);
  g_queue_init (&self->departures);
  g_queue_init (&self->room_waiters);
  g_queue_init (&self->holders);
  g_queue_init (&self->deferred);
  self->vigil.look_ns = G_MAXINT64;
  commy_channel_rights_init (self);
  commy_channel_watch_death (self);
  return self;
}

void
commy_channel_watch_death (CommyChannel *self)
{
  int fd, pidfd;

  death_fds (self, &fd, &pidfd);
  self->watched = TRUE;
  commy_death_watch_add (self->shared->deaths, self->serial, fd, pidfd, self->worker);
}

CommyChannel *
commy_channel_ref (CommyChannel *channel)
{
  g_atomic_ref_count_inc (&channel->refs);
  return channel;
}

/* Once: a channel that closed may live longer than the watch. */
void
commy_channel_unwatch_death (CommyChannel *self)
{
  int fd, pidfd;

  if (!self->watched)
    return;
  death_fds (self, &fd, &pidfd);
  self->watched = FALSE;
  commy_death_watch_remove (self->shared->deaths, self->serial, fd, pidfd);
}

static void
free_connection (CommyChannel *self)
{
  if (self->connection == self) /* no path */
    {
      self->connection = NULL;
      g_clear_pointer (&self->seat, commy_seat_free);
    }
  if (self->connection == NULL)
    return;
  commy_channel_unwatch_death (self);
  self->ops->close (self->connection);
  g_clear_pointer (&self->connection, free);
  __atomic_sub_fetch (&self->transport->connections, 1, __ATOMIC_RELEASE);
}

void
commy_channel_unref (CommyChannel *self)
{
  if (self == NULL || !g_atomic_ref_count_dec (&self->refs))
    return;
  free_connection (self);
  commy_moves_clear (self);
  commy_channel_rights_clear (self);
  g_queue_clear_full (&self->backlog, (GDestroyNotify) g_bytes_unref);
  commy_channel_clear_handles (self);
  commy_train_abandon (self);
  commy_trains_in_clear (&self->trains_in);
  g_free (self->trains_out);
  commy_pending_clear (&self->pending);
  g_clear_pointer (&self->pipes, g_hash_table_unref);
  g_array_free (self->methods_in, TRUE);
  g_hash_table_unref (self->methods_out);
  commy_principal_unref (self->peer);
  commy_standing_free (self->standing);
  commy_seat_free (self->seat);
  g_clear_error (&self->close_error);
  commy_block_free (self->scratch);
  g_free (self->peer_node);
  g_free (self->interface_name);
  g_free (self->interface_hash);
  g_free (self->service);
  g_free (self->instance);
  commy_worker_release (self->worker);
  g_free (self);
}

/* --- facts --- */

CommyWorker *
commy_channel_get_worker (CommyChannel *channel)
{
  return channel->worker;
}

const char *
commy_channel_get_transport (CommyChannel *channel)
{
  return __atomic_load_n (&channel->transport, __ATOMIC_RELAXED)->note.id;
}

CommyPrincipal *
commy_channel_get_peer (CommyChannel *channel)
{
  return channel->peer;
}

const char *
commy_channel_get_interface (CommyChannel *channel, const char **out_hash)
{
  *out_hash = channel->interface_hash;
  return channel->interface_name;
}

const char *
commy_channel_get_peer_node (CommyChannel *channel)
{
  return channel->peer_node;
}

const char *
commy_channel_get_service (CommyChannel *channel)
{
  return channel->service;
}

gpointer
commy_channel_get_note (CommyChannel *channel)
{
  return channel->note;
}

void
commy_channel_set_note (CommyChannel *channel, gpointer note)
{
  channel->note = note;
}

const CommyPolicyPath *
commy_channel_get_path (CommyChannel *channel)
{
  return &channel->rights.path;
}

guint64
commy_channel_get_serial (CommyChannel *channel)
{
  return channel->serial;
}

CommyCounters *
commy_channel_get_counters (CommyChannel *channel)
{
  return &channel->counters;
}

const CommyChannelShared *
commy_channel_get_shared (CommyChannel *channel)
{
  return channel->shared;
}

const char *
commy_channel_get_instance (CommyChannel *channel)
{
  return channel->instance;
}

CommyPlugin *
commy_channel_get_serializer (CommyChannel *channel, guint16 wire)
{
  return wire < G_N_ELEMENTS (channel->serializers) ? channel->serializers[wire] : NULL;
}

char **
commy_channel_dup_serializers (CommyChannel *channel)
{
  GPtrArray *ids = g_ptr_array_new ();

  for (guint i = 1; i < G_N_ELEMENTS (channel->serializers); i++)
    if (channel->serializers[i] != NULL)
      g_ptr_array_add (ids, g_strdup (channel->serializers[i]->note.id));
  g_ptr_array_add (ids, NULL);
  return (char **) g_ptr_array_free (ids, FALSE);
}

guint16
commy_channel_wire_of (CommyChannel *channel, const CommyPlugin *serializer)
{
  for (guint16 i = 1; i < G_N_ELEMENTS (channel->serializers); i++)
    if (channel->serializers[i] == serializer)
      return i;
  return 0;
}

gboolean
commy_channel_takes_runs (CommyChannel *channel)
{
  return channel->takes_runs;
}

gboolean
commy_channel_is_open (CommyChannel *channel)
{
  return !channel->closed;
}

gboolean
commy_channel_is_draining (CommyChannel *channel)
{
  return channel->draining;
}

gboolean
commy_channel_serves (CommyChannel *channel, gconstpointer handler_data)
{
  return channel->accepting && channel->handler_data == handler_data;
}

void
commy_channel_collect (gpointer channel, gpointer array)
{
  g_ptr_array_add (array, commy_channel_ref (channel));
}

int
commy_channel_get_fd (CommyChannel *channel)
{
  return channel->ops->fd (channel->connection);
}

/* --- turns --- */

/* What waited for room, and calls that waited for a handler. */
static gboolean
serve_waiting (CommyChannel *self)
{
  if (self->backlog.length > 0)
    commy_channel_flush_backlog (self);
  if (commy_channel_owes_ack (self))
    commy_channel_acknowledge (self);
  if (self->room_waiters.length > 0)
    commy_channel_serve_pipes (self);
  return commy_channel_run_deferred (self, TURN_MESSAGES);
}

gboolean
commy_channel_serve (CommyChannel *self)
{
  guint64 bytes_before = commy_counters_get (&self->counters, COMMY_COUNT_RECEIVED_BYTES);
  gboolean any = FALSE;

  if (self->closed)
    return FALSE;
  if (G_UNLIKELY (commy_channel_has_visits (self)))
    commy_channel_run_visits (self);
  if (G_UNLIKELY (commy_channel_owes_ack (self) && self->backlog.length == 0))
    commy_channel_acknowledge (self);
  if (G_UNLIKELY (self->backlog.length + self->room_waiters.length + self->deferred.length > 0))
    any = serve_waiting (self);
  for (guint i = 0; i < TURN_MESSAGES; i++)
    {
      if (G_UNLIKELY (self->rights.due_ns != G_MAXINT64))
        commy_channel_look_at_decisions (self);
      if (!commy_channel_take (self))
        break;
      any = TRUE;
      if (commy_counters_get (&self->counters, COMMY_COUNT_RECEIVED_BYTES) - bytes_before
          > TURN_BYTES)
        break;
    }
  if (self->trains_out != NULL)
    any |= commy_train_pump (self);
  if (any)
    commy_channel_flush (self);
  return any;
}

gboolean
commy_channel_arm (CommyChannel *self, guint *out_events)
{
  guint interest = COMMY_INTEREST_READ;
  guint met;

  if (self->closed)
    return FALSE;
  if (commy_channel_has_deferred (self) || commy_train_is_ready (self))
    return TRUE;
  commy_channel_settle (self);
  if (self->closed)
    return FALSE;
  commy_channel_acknowledge_rest (self);
  if (commy_channel_flush (self) == COMMY_IO_WOULD_BLOCK
      || (self->trains_out != NULL && self->trains_out->stuck)
      || (self->backlog.length + self->room_waiters.length > 0 && self->span == NULL
          && !commy_channel_awaits_ack (self))
      || commy_channel_owes_ack (self))
    interest |= COMMY_INTEREST_WRITE;
  if (G_UNLIKELY (self->moves.doubted))
    interest = COMMY_INTEREST_READ; /* it would always be ready to say that it takes nothing */
  commy_channel_keep_vigil (self);
  met = self->ops->arm (self->connection, interest, out_events);
  *out_events = (*out_events & POLLIN ? EPOLLIN : 0) | (*out_events & POLLOUT ? EPOLLOUT : 0);
  return met != 0;
}

void
commy_channel_deadline_error (CommyChannel *self, GError **error)
{
  commy_counters_add (&self->counters, COMMY_COUNT_CALLS_FAILED, 1);
  if (self->vigil.is_hung)
    commy_set_error (error, COMMY_ERROR_DEADLINE,
                     "%s did not answer in time (over %s): it is hung, connected but silent",
                     self->service, self->transport->note.id);
  else
    commy_set_error (error, COMMY_ERROR_DEADLINE, "%s did not answer in time (over %s)",
                     self->service, self->transport->note.id);
}

gint64
commy_channel_expire (CommyChannel *self, gint64 now_ns)
{
  gint64 next = commy_channel_expire_pipes (self, now_ns);

  next = MIN (next, commy_channel_expire_adrift (self, now_ns));
  commy_channel_look_after (self, now_ns);
  next = MIN (next, self->vigil.look_ns);
  next = MIN (next, commy_channel_expire_rights (self, now_ns));
  next = MIN (next, commy_channel_expire_rest (self, now_ns));

  for (guint32 i = 0; i < self->pending.n_slots && self->pending.n_used > 0; i++)
    {
      CommyPendingSlot *slot = &self->pending.slots[i];
      g_autoptr (GError) error = NULL;
      CommyPendingFunc func = slot->func;
      gpointer data = slot->data;
      gboolean sent = slot->sent;

      if (func == NULL)
        continue;
      if (slot->deadline_ns > now_ns)
        {
          next = MIN (next, slot->deadline_ns);
          continue;
        }
      commy_channel_deadline_error (self, &error);
      commy_channel_forget (self, commy_pending_stream (&self->pending, slot));
      func (data, self, NULL, error, sent);
    }
  return next;
}

/* --- calling --- */

guint32
commy_channel_expect (CommyChannel *self, gint64 deadline_ns, CommyPendingFunc func, gpointer data)
{
  return commy_pending_add (&self->pending, self->shared->max_pending, deadline_ns, func, data);
}

void
commy_channel_mark_sent (CommyChannel *self, guint32 stream)
{
  CommyPendingSlot *slot = commy_pending_find (&self->pending, stream);

  if (slot != NULL && !commy_channel_is_leaving (self, COMMY_FRAME_CALL, stream))
    slot->sent = TRUE;
}

void
commy_channel_forget (CommyChannel *self, guint32 stream)
{
  CommyPendingSlot *slot = commy_pending_find (&self->pending, stream);
  CommyFrameSpec spec = { .type = COMMY_FRAME_CANCEL, .stream = stream };
  gboolean sent;

  if (slot == NULL)
    return;
  sent = slot->sent;
  commy_pending_remove (&self->pending, slot);
  if (!self->closed)
    commy_channel_drop_stream (self, stream);
  if (sent && !self->closed)
    commy_channel_send (self, &spec, NULL, 0, TRUE);
}

gboolean
commy_channel_begin_answer (CommyChannel *self)
{
  if (__atomic_add_fetch (&self->unanswered, 1, __ATOMIC_RELAXED) <= self->shared->max_pending)
    return TRUE;
  commy_channel_end_answer (self);
  return FALSE;
}

void
commy_channel_end_answer (CommyChannel *self)
{
  __atomic_sub_fetch (&self->unanswered, 1, __ATOMIC_RELEASE);
}

void
commy_channel_lose_answer (CommyChannel *self)
{
  __atomic_store_n (&self->answer_lost, 1, __ATOMIC_RELAXED);
}

/* How long spinning may pay: not at all where it cannot, else a little more than the usual gap. */
static gint64
spin_budget (CommyChannel *self)
{
  gint64 max = self->shared->spin_max_ns;

  if (self->moves.adrift || self->same_core || self->shared->wait_mode == COMMY_WAIT_BLOCK)
    return 0;
  if (self->shared->wait_mode == COMMY_WAIT_SPIN)
    return G_MAXINT64;
  return commy_spinner_budget (&self->spinner, max);
}

/* Whether what found no room would find it now. */
static gboolean
has_room (CommyChannel *self)
{
  CommySpan span;

  if (self->closed || self->span != NULL || self->wanted == 0 || commy_channel_awaits_ack (self))
    return FALSE;
  if (self->ops->reserve (self->connection, self->wanted, &span) != COMMY_IO_OK)
    return FALSE;
  self->ops->commit (self->connection, 0);
  return TRUE;
}

/* Takes what comes. Whether there was something, or (@write) there is room. */
static gboolean
spin (CommyChannel *self, gint64 until_ns, gboolean write, guint32 kick_seen)
{
  const guint32 *kick = commy_worker_get_kick_word (self->worker);

  for (;;)
    {
      for (guint i = 0; i < SPIN_CHECK_EVERY; i++)
        {
          if (commy_channel_poll (self) || self->closed)
            return TRUE;
          commy_relax ();
        }
      if (__atomic_load_n (kick, __ATOMIC_RELAXED) != kick_seen || (write && has_room (self)))
        return TRUE;
      if (commy_env_now (self->shared->env) >= until_ns)
        return FALSE;
    }
}

static void
park_in_poll (CommyChannel *self, gint64 deadline_ns, gboolean write)
{
  guint interest = COMMY_INTEREST_READ | (write ? COMMY_INTEREST_WRITE : 0);
  guint events = 0;
  struct pollfd fds[2] = { { .fd = commy_worker_get_kick_fd (self->worker), .events = POLLIN } };
  struct timespec timeout;
  gint64 left = deadline_ns - commy_env_now (self->shared->env);

  if (left <= 0 || self->ops->arm (self->connection, interest, &events) != 0)
    return;
  fds[1].fd = self->ops->fd (self->connection);
  fds[1].events = (short) events;
  timeout.tv_sec = left / 1000000000;
  timeout.tv_nsec = left % 1000000000;
  ppoll (fds, 2, deadline_ns == G_MAXINT64 ? NULL : &timeout, NULL);
  if (fds[0].revents != 0)
    commy_worker_drain_kick (self->worker);
}

static gboolean
was_kicked (CommyChannel *self, guint32 kick_seen)
{
  return __atomic_load_n (commy_worker_get_kick_word (self->worker), __ATOMIC_RELAXED) != kick_seen;
}

/* Arming finds out. */
void
commy_channel_find_end (CommyChannel *self)
{
  guint events;

  if (!self->closed)
    self->ops->arm (self->connection, COMMY_INTEREST_READ, &events);
}

/* Somebody saw the peer die, or wants the caller's attention. */
static void
look_for_end (CommyChannel *self)
{
  commy_worker_drain_kick (self->worker);
  if (commy_channel_has_visits (self))
    commy_channel_run_visits (self);
  commy_channel_find_end (self);
}

static void
park (CommyChannel *self, gint64 deadline_ns, gboolean write, guint32 kick_seen)
{
  CommyIo io = COMMY_IO_UNSUPPORTED;

  commy_counters_add (&self->counters, COMMY_COUNT_PARKED, 1);
  commy_channel_acknowledge_rest (self);
  if (!write)
    io = self->ops->wait (self->connection, commy_worker_get_kick_word (self->worker), kick_seen,
                          deadline_ns);
  if (io == COMMY_IO_UNSUPPORTED)
    park_in_poll (self, deadline_ns, write);
  else if (io == COMMY_IO_KICKED)
    look_for_end (self);
}

guint32
commy_channel_kick_seen (CommyChannel *self)
{
  return __atomic_load_n (commy_worker_get_kick_word (self->worker), __ATOMIC_SEQ_CST);
}

void
commy_channel_wait (CommyChannel *self, gint64 deadline_ns, gboolean write, guint32 kick_seen)
{
  gint64 start = commy_env_now (self->shared->env);
  gint64 budget = spin_budget (self);
  gint64 until;
  gboolean caught = FALSE;

  /* Nobody else looks at how long the next path takes, or the right to offer lasts, while this
   * thread waits. */
  deadline_ns = MIN (deadline_ns, commy_channel_expire_adrift (self, start));
  deadline_ns = MIN (deadline_ns, commy_channel_expire_offer (self, start));
  if (self->closed || start >= deadline_ns)
    return;
  if (G_UNLIKELY (start >= self->vigil.look_ns))
    {
      commy_channel_look_after (self, start);
      return;
    }
  if (commy_channel_has_visits (self))
    commy_channel_settle (self);
  if (self->closed)
    return;
  if (commy_channel_has_visits (self) && self->span == NULL)
    {
      commy_channel_run_visits (self);
      return;
    }
  /* Room is of no use to what waits for an acknowledgement. */
  if (self->trains_out != NULL && self->trains_out->queue.n > 0)
    write = self->trains_out->stuck || self->ops->flush (self->connection) == COMMY_IO_WOULD_BLOCK;
  if (commy_channel_awaits_ack (self))
    write = self->ops->flush (self->connection) == COMMY_IO_WOULD_BLOCK;
  write |= commy_channel_owes_ack (self);
  deadline_ns = MIN (deadline_ns, commy_channel_vigil_from (self, start));
  until = budget == G_MAXINT64 ? deadline_ns : MIN (deadline_ns, start + budget);
  if (budget > 0)
    {
      caught = spin (self, until, write, kick_seen);
      commy_spinner_learn (&self->spinner, caught);
    }
  if (!caught)
    park (self, deadline_ns, write, kick_seen);
  else if (!self->closed && was_kicked (self, kick_seen))
    look_for_end (self);
}

void
commy_channel_pin (CommyChannel *self)
{
  self->pins++;
}

void
commy_channel_unpin (CommyChannel *self)
{
  self->pins--;
  if (G_UNLIKELY (self->moves.old != NULL))
    commy_channel_sweep_paths (self);
}

/* --- the end --- */

void
commy_channel_drain (CommyChannel *self)
{
  CommyFrameSpec spec = { .type = COMMY_FRAME_GOAWAY };

  if (self->closed || self->draining)
    return;
  self->draining = TRUE;
  commy_channel_send (self, &spec, NULL, 0, TRUE);
  if (self->closed)
    return;
  spec = (CommyFrameSpec){ .type = COMMY_FRAME_PING, .stream = ++self->last_ping };
  self->goodbye = self->last_ping;
  commy_channel_send (self, &spec, NULL, 0, TRUE);
}

/* What this side still has to do, or to get rid of. */
static gboolean
is_busy (CommyChannel *self)
{
  return __atomic_load_n (&self->unanswered, __ATOMIC_ACQUIRE) > 0 || self->span != NULL
         || self->deferred.length + self->backlog.length + self->room_waiters.length > 0
         || (self->trains_out != NULL && self->trains_out->queue.n > 0) || self->moves.adrift
         || commy_channel_flush (self) != COMMY_IO_OK;
}

/* A later PING's answer says it as well. */
static gboolean
was_goodbye_heard (const CommyChannel *self)
{
  return (gint32) (self->last_pong - self->goodbye) >= 0;
}

gboolean
commy_channel_part (CommyChannel *self, gboolean patient)
{
  CommyFrameSpec spec = { .type = COMMY_FRAME_CLOSE, .method = COMMY_ERROR_LEAVING };
  const char *text = "the instance stopped";

  commy_channel_drain (self); /* one that was accepted meanwhile has not heard of it */
  if (self->closed)
    return TRUE;
  if (is_busy (self) || (patient && !was_goodbye_heard (self)))
    return self->closed;
  /* Else the caller would carry out a second time what nobody told him the outcome of. */
  if (!__atomic_load_n (&self->answer_lost, __ATOMIC_RELAXED))
    {
      spec.stream = COMMY_FRAME_CLOSE_ALL_ANSWERED;
      text = "the instance stopped; all that it took was answered";
    }
  if (commy_channel_send (self, &spec, text, strlen (text), FALSE) == COMMY_IO_WOULD_BLOCK)
    return FALSE;
  self->closing = TRUE;
  commy_channel_close (self, NULL);
  return TRUE;
}

/* @why: the text; for streams, too, if @streams. The messages are counted where they are lost: a
 * call that was delivered, and of which nobody knows the outcome, is none of these. */
static void
fail_pending (CommyChannel *self, const GError *why, gboolean streams)
{
  for (guint32 i = 0; i < self->pending.n_slots; i++)
    {
      CommyPendingSlot *slot = &self->pending.slots[i];
      CommyPendingFunc func = slot->func;
      gpointer data = slot->data;
      gboolean sent = slot->sent && !self->all_answered;
      g_autoptr (GError) error = NULL;

      if (func == NULL
          || (!streams
              && commy_channel_find_pipe (self, commy_pending_stream (&self->pending, slot))))
        continue;
      if (streams)
        commy_pending_remove (&self->pending, slot);
      else
        commy_channel_forget (self, commy_pending_stream (&self->pending, slot));
      if (sent)
        commy_set_error (&error, COMMY_ERROR_OUTCOME_UNKNOWN, "outcome unknown from %s over %s: %s",
                         self->service, self->transport->note.id, commy_error_bare (why));
      else
        commy_set_error (&error, COMMY_ERROR_UNREACHABLE, "%s over %s: %s", self->service,
                         self->transport->note.id, commy_error_bare (why));
      commy_counters_add (&self->counters, COMMY_COUNT_CALLS_FAILED, 1);
      func (data, self, NULL, error, sent);
    }
}

void
commy_channel_fail_calls (CommyChannel *self, const GError *error)
{
  if (self->pending.n_used > 0)
    fail_pending (self, error, FALSE);
}

static void
say_close (CommyChannel *self, const GError *error)
{
  CommyFrameSpec spec = { .type = COMMY_FRAME_CLOSE };
  const char *text = error != NULL ? commy_error_bare (error) : "closed";

  spec.method
      = error != NULL && error->domain == COMMY_ERROR ? (guint32) error->code : COMMY_ERROR_LEAVING;
  commy_channel_send (self, &spec, text, MIN (strlen (text), 1024), FALSE);
}

void
commy_channel_close (CommyChannel *self, const GError *error)
{
  commy_channel_settle (self); /* which may close it */
  if (self->closed)
    return;
  commy_channel_ref (self);
  if (!self->closing)
    {
      self->closing = TRUE;
      /* An open reservation is still the caller's to write to: nothing may take its place. */
      if (self->span == NULL && error == NULL)
        commy_train_hurry (self);
      if (self->span == NULL)
        say_close (self, error);
    }
  self->closed = TRUE;
  g_clear_pointer (&self->standing, commy_standing_free);
  if (error != NULL)
    self->close_error = g_error_copy (error);
  else
    commy_set_error (&self->close_error, COMMY_ERROR_LEAVING, "closed by this side");
  commy_channel_settle_account (self);
  commy_channel_tell_departed (self, TRUE);
  fail_pending (self, self->close_error, TRUE);
  commy_channel_fail_pipes (self);
  commy_channel_clear_deferred (self);
  if (self->accepting)
    self->handler->closed (self->handler_data, self);
  else if (self->on_closed != NULL)
    self->on_closed (self->on_closed_data, self);
  commy_worker_remove_channel (self->worker, self);
  commy_channel_unwatch_death (self);
  if (self->accepting && self->moves.agreed)
    commy_flow_table_remove (self->shared->flows, &self->moves.flow);
  commy_channel_run_visits (self);
  /* What is still borrowed keeps the connection: the last reference closes it. */
  if (self->borrowed == 0 && self->pins == 0)
    free_connection (self);
  commy_channel_unref (self);
}
