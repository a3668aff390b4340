/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Leaving a path and taking the next one. A path that was left lives on while messages of it are
 * borrowed; what it did not deliver waits here until the other side has said what it received.
 */
#include "config.h"

#include "channel/commy-channel-rights.h"

#include "base/commy-error-private.h"
#include "channel/commy-death-watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A frame that was sent and of which nobody knows whether it arrived. */
typedef struct
{
  guint32 sequence;
  GBytes *frame;
  CommyHandles *handles; /* or NULL */
} Undelivered;

/* Copies of descriptors that went with a frame. */
typedef struct
{
  guint32 sequence;
  CommyHandles *handles;
} KeptHandles;

/* A path that was left while messages of it were borrowed. */
typedef struct
{
  guint32 number;
  CommyPlugin *transport;
  gpointer connection;
  guint32 borrowed;
} OldPath;

typedef struct
{
  void (*func) (gpointer data, CommyChannel *channel);
  gpointer data;
} Visit;

static void
undelivered_free (gpointer data)
{
  Undelivered *lost = data;

  g_bytes_unref (lost->frame);
  commy_handles_free (lost->handles);
  g_free (lost);
}

static void
kept_handles_free (gpointer data)
{
  KeptHandles *kept = data;

  commy_handles_free (kept->handles);
  g_free (kept);
}

void
commy_new_path_free (CommyNewPath *path)
{
  if (path == NULL)
    return;
  if (path->connection != NULL)
    {
      path->transport->ops.transport.close (path->connection);
      free (path->connection);
    }
  g_clear_pointer (&path->peer, commy_principal_unref);
  commy_standing_free (path->standing);
  g_free (path);
}

/* --- life --- */

void
commy_moves_init (CommyChannel *self)
{
  g_mutex_init (&self->moves.lock);
  g_queue_init (&self->moves.visits);
  g_queue_init (&self->moves.undelivered);
  g_queue_init (&self->moves.handles);
  self->moves.pidfd = -1;
}

static void
old_path_free (OldPath *old)
{
  old->transport->ops.transport.close (old->connection);
  free (old->connection);
  __atomic_sub_fetch (&old->transport->connections, 1, __ATOMIC_RELEASE);
  g_free (old);
}

void
commy_moves_clear (CommyChannel *self)
{
  g_slist_free_full (g_steal_pointer (&self->moves.old), (GDestroyNotify) old_path_free);
  g_queue_clear_full (&self->moves.undelivered, undelivered_free);
  g_queue_clear_full (&self->moves.handles, kept_handles_free);
  g_queue_clear_full (&self->moves.visits, g_free);
  g_clear_pointer (&self->keep, commy_keep_free);
  g_clear_pointer (&self->moves.peer, commy_principal_unref);
  if (self->moves.pidfd >= 0)
    close (self->moves.pidfd);
  g_mutex_clear (&self->moves.lock);
  explicit_bzero (&self->moves.flow, sizeof self->moves.flow);
}

/* Whether a path can tell what of it did not arrive: its own memory, or copies of what it copies
 * anyway. What is within one process says so for the account alone: nobody cuts such a path, and
 * its flows stay. */
gboolean
commy_path_can_tell (const CommyPlugin *transport, gpointer connection)
{
  if (transport->profile.reach == COMMY_REACH_SELF)
    return FALSE;
  return transport->ops.transport.unsent (connection, NULL, NULL)
         || !(transport->profile.capabilities & COMMY_CAP_ZERO_COPY);
}

gboolean
commy_path_needs_copies (const CommyPlugin *transport, gpointer connection)
{
  return !transport->ops.transport.unsent (connection, NULL, NULL)
         && !(transport->profile.capabilities & COMMY_CAP_ZERO_COPY);
}

/* The channel has a new path: what of it does not depend on who is at its other end. */
void
commy_channel_use_path (CommyChannel *self, CommyPlugin *transport, gpointer connection)
{
  guint64 caps = transport->profile.capabilities;

  __atomic_store_n (&self->transport, transport, __ATOMIC_RELAXED);
  __atomic_add_fetch (&transport->connections, 1, __ATOMIC_RELAXED);
  self->ops = &transport->ops.transport;
  self->connection = connection;
  self->path_number++;
  self->cut_above = caps & COMMY_CAP_ZERO_COPY ? G_MAXSIZE : COMMY_TRAIN_ABOVE;
  self->passes_handles = (caps & COMMY_CAP_FD_PASSING) != 0;
  commy_path_facts (self->ops, connection, &self->rights.path);
  self->rights.epoch = 0; /* what was decided before was for another path */
}

/* Both sides can; from now on frames are kept where the path does not do so itself. */
void
commy_channel_agree_on_moves (CommyChannel *self, const CommyFlowName *flow, gboolean peer_keeps)
{
  self->moves.flow = *flow;
  self->moves.agreed = TRUE;
  self->peer_keeps = peer_keeps;
  if (commy_path_needs_copies (self->transport, self->connection))
    self->keep = commy_keep_new (self->shared->max_kept, self->shared->stock);
}

/* --- facts --- */

gboolean
commy_channel_can_move (CommyChannel *self)
{
  return self->moves.agreed && !self->closed
         && (self->moves.adrift || commy_path_can_tell (self->transport, self->connection));
}

gboolean
commy_channel_is_on (CommyChannel *self, const CommyPlugin *transport)
{
  return self->transport == transport && !self->moves.adrift;
}

gboolean
commy_channel_is_adrift (CommyChannel *self)
{
  return self->moves.adrift;
}

void
commy_channel_get_flow (CommyChannel *self, CommyFlowName *out_flow)
{
  *out_flow = self->moves.flow;
}

guint64
commy_channel_count_moves (CommyChannel *self)
{
  return self->moves.n_moves;
}

guint32
commy_channel_next_move (CommyChannel *self)
{
  return ++self->moves.number;
}

gboolean
commy_channel_begin_move (CommyChannel *self, guint32 number)
{
  if ((gint32) (number - self->moves.number) <= 0)
    return FALSE;
  self->moves.number = number;
  return TRUE;
}

void
commy_channel_on_adrift (CommyChannel *self,
                         gboolean (*func) (gpointer data,
                                           CommyChannel *channel,
                                           const GError *error))
{
  self->moves.on_adrift = func;
}

void
commy_channel_on_fading (CommyChannel *self, void (*func) (gpointer data, CommyChannel *channel))
{
  self->moves.on_fading = func;
}

static gboolean
is_own_name (CommyChannel *self, CommyPrincipal *peer)
{
  return commy_channel_is_own_name (self, commy_principal_get_name (peer));
}

/* One user has a name for each way to prove who he is. They are taken for one only if both are
 * this node's own, and only if the policy makes no difference between them either. */
gboolean
commy_channel_has_same_rights (CommyChannel *self, CommyPrincipal *peer)
{
  if (commy_principal_is_same (peer, self->peer))
    return TRUE;
  if (!is_own_name (self, peer) || !is_own_name (self, self->peer))
    return FALSE;
  for (guint i = 0; i < self->methods_in->len; i++)
    {
      const CommyIncomingMethod *method = &g_array_index (self->methods_in, CommyIncomingMethod, i);

      if (method->asks || commy_channel_may_call_as (self, peer, method->name) != method->allowed)
        return FALSE;
    }
  return TRUE;
}

/* --- visits --- */

void
commy_channel_run_visits (CommyChannel *self)
{
  /* What an application is writing lies in the present path: that one is left behind it. */
  commy_channel_settle (self);
  while (commy_channel_has_visits (self) && (self->span == NULL || self->closed))
    {
      g_autofree Visit *visit = NULL;

      g_mutex_lock (&self->moves.lock);
      visit = g_queue_pop_head (&self->moves.visits);
      __atomic_store_n (&self->moves.n_visits, self->moves.visits.length, __ATOMIC_RELEASE);
      g_mutex_unlock (&self->moves.lock);
      if (visit != NULL)
        visit->func (visit->data, self);
    }
}

static void
visit_now (gpointer data)
{
  CommyChannel *self = data;

  commy_channel_run_visits (self);
  commy_worker_set_hot (self->worker, self);
  commy_channel_unref (self);
}

void
commy_channel_visit (CommyChannel *self,
                     void (*func) (gpointer data, CommyChannel *channel),
                     gpointer data)
{
  Visit *visit = g_new (Visit, 1);

  visit->func = func;
  visit->data = data;
  g_mutex_lock (&self->moves.lock);
  g_queue_push_tail (&self->moves.visits, visit);
  __atomic_store_n (&self->moves.n_visits, self->moves.visits.length, __ATOMIC_RELEASE);
  g_mutex_unlock (&self->moves.lock);
  commy_worker_post (self->worker, visit_now, commy_channel_ref (self));
}

/* --- keeping --- */

void
commy_channel_acked (CommyChannel *self, guint32 ack)
{
  KeptHandles *kept;

  if ((gint32) (self->tx_sequence - ack) < 0)
    return; /* of what was never sent */
  commy_keep_acked (self->keep, ack);
  while ((kept = g_queue_peek_head (&self->moves.handles)) != NULL
         && (gint32) (ack - kept->sequence) >= 0)
    kept_handles_free (g_queue_pop_head (&self->moves.handles));
}

void
commy_channel_keep_handles (CommyChannel *self, CommyHandles *copies)
{
  KeptHandles *kept = g_new (KeptHandles, 1);

  kept->sequence = self->tx_sequence + 1;
  kept->handles = copies;
  g_queue_push_tail (&self->moves.handles, kept);
}

static void
add_undelivered (CommyChannel *self, guint32 sequence, GBytes *frame)
{
  Undelivered *lost = g_new0 (Undelivered, 1);
  KeptHandles *kept = g_queue_peek_head (&self->moves.handles);

  lost->sequence = sequence;
  lost->frame = frame;
  if (kept != NULL && kept->sequence == sequence)
    {
      lost->handles = g_steal_pointer (&kept->handles);
      kept_handles_free (g_queue_pop_head (&self->moves.handles));
    }
  g_queue_push_tail (&self->moves.undelivered, lost);
}

/* A frame in memory that only this side writes; still, where to begin was the peer's word. */
static void
on_unsent (gpointer user_data, const guint8 *data, gsize size)
{
  CommyChannel *self = user_data;
  CommyFrame frame;

  if (commy_frame_parse (data, size, self->shared->max_payload, &frame) == COMMY_FRAME_OK
      && (frame.flags & COMMY_FRAME_FLAG_ORDERED) != 0)
    add_undelivered (self, frame.sequence, g_bytes_new (data, size));
}

static void
collect_undelivered (CommyChannel *self)
{
  guint32 sequence;
  GBytes *frame;

  if (self->keep == NULL)
    self->ops->unsent (self->connection, on_unsent, self);
  else
    while ((frame = commy_keep_take (self->keep, &sequence)) != NULL)
      add_undelivered (self, sequence, frame);
  g_clear_pointer (&self->keep, commy_keep_free);
  g_queue_clear_full (&self->moves.handles, kept_handles_free);
}

void
commy_channel_foreach_undelivered (CommyChannel *self, CommyKeepFunc func, gpointer data)
{
  for (GList *at = self->moves.undelivered.head; at != NULL; at = at->next)
    {
      const Undelivered *lost = at->data;
      gsize size;
      const guint8 *frame = g_bytes_get_data (lost->frame, &size);

      func (data, frame, size, size);
    }
}

/* --- leaving --- */

/* Messages that were borrowed from an earlier path go back to that one. */
void
commy_channel_release_old (CommyChannel *self, const CommyMessage *message)
{
  for (GSList *at = self->moves.old; at != NULL; at = at->next)
    {
      OldPath *old = at->data;

      if (old->number != message->reserved)
        continue;
      old->transport->ops.transport.release (old->connection, message);
      old->borrowed--;
      commy_channel_sweep_paths (self);
      return;
    }
}

void
commy_channel_sweep_paths (CommyChannel *self)
{
  GSList *at = self->moves.old;

  while (at != NULL && self->pins == 0)
    {
      OldPath *old = at->data;
      GSList *next = at->next;

      if (old->borrowed == 0)
        {
          self->moves.old = g_slist_delete_link (self->moves.old, at);
          old_path_free (old);
        }
      at = next;
    }
}

static void
keep_pidfd (CommyChannel *self)
{
  CommyEvidence evidence = { .struct_size = sizeof evidence, .pidfd = -1 };

  self->ops->evidence (self->connection, &evidence);
  self->moves.pidfd = evidence.pidfd >= 0 ? dup (evidence.pidfd) : -1;
}

void
commy_channel_cast_off (CommyChannel *self)
{
  OldPath *old;

  if (self->moves.adrift || self->closed)
    return;
  collect_undelivered (self);
  keep_pidfd (self);
  commy_worker_unwatch_channel (self->worker, self);
  commy_channel_unwatch_death (self);
  old = g_new (OldPath, 1);
  old->number = self->path_number++;
  old->transport = self->transport;
  old->connection = self->connection;
  old->borrowed = self->borrowed;
  self->moves.old = g_slist_prepend (self->moves.old, old);
  self->borrowed = 0;
  self->ops = &commy_no_path;
  self->connection = self;
  self->moves.adrift = TRUE;
  self->moves.doubted = FALSE;
  self->moves.lost_span = self->span;
  commy_channel_acked_all (self);
  self->alone = 0;
  self->borrows = FALSE;
  self->moves.since_ns = commy_env_now (self->shared->env);
  self->moves.give_up_ns = self->moves.since_ns + self->shared->resume_ns;
  commy_worker_watch_channel (self->worker, self);
  commy_worker_need_deadline (self->worker, self->moves.give_up_ns);
  if (self->span == NULL)
    commy_channel_sweep_paths (self);
}

static gboolean
may_lose_path (CommyChannel *self)
{
  return self->moves.agreed && !self->moves.adrift && !self->closing && !self->draining
         && commy_channel_can_move (self);
}

/* The path takes nothing any more. TRUE: what it brought is to be read first, to its end, and then
 * it is lost. An end there will be: nothing comes after what is there. Of what is no socket that is
 * unknown. */
gboolean
commy_channel_doubt_path (CommyChannel *self)
{
  if (!may_lose_path (self))
    return FALSE;
  if (!self->moves.doubted)
    self->moves.endless
        = shutdown (self->ops->fd (self->connection), SHUT_RDWR) < 0 && errno == ENOTSOCK;
  self->moves.doubted = TRUE;
  commy_worker_set_hot (self->worker, self);
  return TRUE;
}

/* The path is lost. TRUE: the flow waits for another one. */
gboolean
commy_channel_lose_path (CommyChannel *self)
{
  CommyEvidence evidence = { .struct_size = sizeof evidence, .pidfd = -1 };
  g_autoptr (GError) error = NULL;
  const char *why;

  if (!may_lose_path (self))
    return FALSE;
  self->ops->evidence (self->connection, &evidence);
  if (evidence.pidfd >= 0 && commy_death_watch_is_over (self->shared->deaths, evidence.pidfd))
    return FALSE; /* nobody will come back */
  why = self->ops->why (self->connection);
  commy_set_error (&error, COMMY_ERROR_UNREACHABLE, "%s", why != NULL ? why : "connection ended");
  if (!self->accepting
      && (self->moves.on_adrift == NULL
          || !self->moves.on_adrift (self->on_closed_data, self, error)))
    return FALSE;
  /* What is borrowed keeps the connection; the other side should know now that it is over. */
  shutdown (self->ops->fd (self->connection), SHUT_RDWR);
  commy_channel_cast_off (self);
  return TRUE;
}

gint64
commy_channel_expire_adrift (CommyChannel *self, gint64 now_ns)
{
  g_autoptr (GError) error = NULL;

  if (!self->moves.adrift || self->closed)
    return G_MAXINT64;
  if (now_ns < self->moves.give_up_ns)
    return self->moves.give_up_ns;
  commy_set_error (&error, COMMY_ERROR_UNREACHABLE,
                   "the path was lost and no other one came in time (limit \"resume-within\")");
  commy_channel_close (self, error);
  return G_MAXINT64;
}

/* --- arriving --- */

/* Puts a frame at the front of those that wait, cut where the path does not take it whole. */
static void
put_back (CommyChannel *self, Undelivered *lost)
{
  GList *last = NULL;
  GQueue pieces = G_QUEUE_INIT;

  commy_train_cut (self, lost->frame, &pieces);
  if (lost->handles != NULL)
    {
      if (self->held_handles == NULL)
        self->held_handles = g_hash_table_new_full (NULL, NULL, NULL, commy_handles_free);
      g_hash_table_insert (self->held_handles, pieces.head->data, g_steal_pointer (&lost->handles));
    }
  self->n_departed -= pieces.length;
  while ((last = g_queue_pop_tail_link (&pieces)) != NULL)
    {
      self->backlog_bytes += commy_channel_backlog_cost (g_bytes_get_size (last->data));
      g_queue_push_head_link (&self->backlog, last);
    }
}

/* Takes what did not arrive back into the queue. FALSE: the other side's word cannot be. */
static gboolean
replay (CommyChannel *self, guint32 received)
{
  guint32 expected = self->tx_sequence;
  Undelivered *lost;
  guint64 n = 0;

  if ((gint32) (self->tx_sequence - received) < 0)
    return FALSE; /* from the future */
  while ((lost = g_queue_pop_tail (&self->moves.undelivered)) != NULL)
    {
      gboolean missing = (gint32) (lost->sequence - received) > 0;

      if (missing && lost->sequence == expected)
        {
          put_back (self, lost);
          expected--;
          n++;
        }
      undelivered_free (lost);
    }
  __atomic_store_n (&self->moves.n_replayed, self->moves.n_replayed + n, __ATOMIC_RELAXED);
  self->tx_sequence = received;
  return expected == received; /* else it forgot what it had acknowledged */
}

static void
note_gap (CommyChannel *self)
{
  guint64 gap = (guint64) (commy_env_now (self->shared->env) - self->moves.since_ns);

  __atomic_store_n (&self->moves.n_moves, self->moves.n_moves + 1, __ATOMIC_RELAXED);
  if (gap > self->moves.largest_gap_ns)
    __atomic_store_n (&self->moves.largest_gap_ns, gap, __ATOMIC_RELAXED);
}

static void
reset_trains (CommyChannel *self)
{
  if (self->trains_out == NULL)
    return;
  memset (&self->trains_out->window, 0, sizeof self->trains_out->window);
  self->trains_out->piece = COMMY_TRAIN_PIECE;
  self->trains_out->alone = 0;
  self->trains_out->stuck = FALSE;
}

/* Other threads see the path and who is at its end change at once. */
static void
use_new_path (CommyChannel *self, CommyNewPath *path)
{
  CommyPrincipal *before;

  g_mutex_lock (&self->moves.lock);
  commy_channel_use_path (self, path->transport, g_steal_pointer (&path->connection));
  before = g_steal_pointer (&self->moves.peer);
  self->moves.peer = g_steal_pointer (&path->peer);
  g_mutex_unlock (&self->moves.lock);
  g_clear_pointer (&before, commy_principal_unref);
}

CommyPrincipal *
commy_channel_dup_present (CommyChannel *self, CommyPolicyPath *out_path)
{
  CommyPrincipal *peer;

  g_mutex_lock (&self->moves.lock);
  *out_path = self->rights.path;
  peer = self->moves.peer != NULL ? commy_principal_ref (self->moves.peer) : NULL;
  g_mutex_unlock (&self->moves.lock);
  return peer;
}

gboolean
commy_channel_land (CommyChannel *self, CommyNewPath *path)
{
  g_autoptr (GError) error = NULL;

  if (self->closed || !self->moves.adrift || self->span != NULL
      || path->number != self->moves.number)
    {
      commy_new_path_free (path);
      return FALSE;
    }
  commy_worker_unwatch_channel (self->worker, self);
  if (self->moves.pidfd >= 0)
    close (self->moves.pidfd);
  self->moves.pidfd = -1;
  use_new_path (self, path);
  self->moves.adrift = FALSE;
  self->peer_keeps = path->peer_keeps;
  self->borrows = path->borrows;
  self->same_core = self->shared->single_cpu >= 0 && path->peer_cpu == self->shared->single_cpu;
  if (commy_path_needs_copies (self->transport, self->connection))
    self->keep = commy_keep_new (self->shared->max_kept, self->shared->stock);
  g_clear_pointer (&self->standing, commy_standing_free);
  self->standing = g_steal_pointer (&path->standing);
  commy_channel_watch_death (self);
  commy_worker_watch_channel (self->worker, self);
  reset_trains (self);
  if (!replay (self, path->received))
    {
      commy_new_path_free (path);
      commy_channel_protocol_error (self, COMMY_ERROR_PROTOCOL,
                                    "the flow cannot go on where the peer says it stands");
      return FALSE;
    }
  commy_new_path_free (path);
  if (self->held_handles != NULL && g_hash_table_size (self->held_handles) > 0
      && !self->passes_handles)
    {
      commy_set_error (&error, COMMY_ERROR_UNREACHABLE,
                       "descriptors were on their way and %s carries none",
                       self->transport->note.id);
      commy_channel_close (self, error);
      return FALSE;
    }
  commy_channel_sweep_paths (self);
  note_gap (self);
  commy_channel_renew_rights (self);
  commy_channel_watch_standing (self);
  commy_worker_set_hot (self->worker, self);
  commy_channel_flush_backlog (self);
  return !self->closed && !self->moves.adrift;
}
