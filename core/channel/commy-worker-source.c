/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A worker in its main context: one source with one epoll descriptor. Sleeping is the context's
 * business; before it sleeps every hot channel is armed.
 */
#include "config.h"

#include "channel/commy-channel-private.h"
#include "channel/commy-worker-private.h"

#include <sys/epoll.h>

#define EVENTS_A_TURN 64

typedef struct
{
  GSource source;
  CommyWorker *worker;
} WorkerSource;

/* --- deadlines --- */

void
commy_worker_need_deadline (CommyWorker *worker, gint64 when_ns)
{
  if (when_ns >= worker->deadline_ns)
    return;
  worker->deadline_ns = when_ns;
  if (worker->source != NULL && !worker->is_mute)
    g_source_set_ready_time (worker->source, when_ns / 1000 + 1);
}

void
commy_worker_expire (CommyWorker *self)
{
  gint64 now = commy_env_now (self->env);
  gint64 next = G_MAXINT64;
  g_autoptr (GPtrArray) channels = NULL;

  if (now < self->deadline_ns)
    return;
  /* Callbacks may make calls with deadlines of their own, and close channels. */
  self->deadline_ns = G_MAXINT64;
  if (self->source != NULL)
    g_source_set_ready_time (self->source, -1);
  channels = g_ptr_array_new_full (self->channels->len, (GDestroyNotify) commy_channel_unref);
  g_ptr_array_foreach (self->channels, commy_channel_collect, channels);
  for (guint i = 0; i < channels->len; i++)
    next = MIN (next, commy_channel_expire (channels->pdata[i], now));
  if (next < G_MAXINT64)
    commy_worker_need_deadline (self, next);
}

/* --- the source --- */

/* Marks the channels that the kernel reports. */
static void
collect_events (CommyWorker *self)
{
  struct epoll_event events[EVENTS_A_TURN];
  int n = epoll_wait (self->epoll_fd, events, EVENTS_A_TURN, 0);

  for (int i = 0; i < n; i++)
    {
      if (events[i].data.ptr == NULL)
        commy_worker_drain_kick (self);
      else
        commy_worker_set_hot (self, events[i].data.ptr);
    }
}

/* Arms what is hot. Whether something is there already. */
static gboolean
arm_channels (CommyWorker *self)
{
  gboolean ready = FALSE;

  for (guint i = self->hot->len; i-- > 0;)
    {
      CommyChannel *channel = self->hot->pdata[i];
      guint events = 0;

      if (commy_channel_arm (channel, &events))
        {
          ready = TRUE;
          continue;
        }
      if (!commy_channel_is_open (channel))
        return TRUE; /* it has changed the list, and perhaps more */
      if (events != channel->epoll_events)
        {
          struct epoll_event event = { .events = events, .data.ptr = channel };

          epoll_ctl (self->epoll_fd, EPOLL_CTL_MOD, commy_channel_get_fd (channel), &event);
          channel->epoll_events = events;
        }
      channel->hot = FALSE;
      g_ptr_array_remove_index_fast (self->hot, i);
    }
  return ready;
}

/* A handler runs the loop, in which this source has no turn: nor may it keep that loop awake. */
static void
mute (CommyWorker *self)
{
  if (self->is_mute)
    return;
  self->is_mute = TRUE;
  g_source_modify_unix_fd (self->source, self->source_fd, 0);
  g_source_set_ready_time (self->source, -1);
}

static void
unmute (CommyWorker *self)
{
  self->is_mute = FALSE;
  if (g_source_is_destroyed (self->source))
    return;
  g_source_modify_unix_fd (self->source, self->source_fd, G_IO_IN);
  if (self->deadline_ns < G_MAXINT64)
    g_source_set_ready_time (self->source, self->deadline_ns / 1000 + 1);
}

static gboolean
source_prepare (GSource *source, int *timeout)
{
  CommyWorker *self = ((WorkerSource *) source)->worker;
  gboolean ready;

  *timeout = -1;
  if (self->dispatching)
    {
      mute (self);
      return FALSE;
    }
  commy_worker_enter (self);
  self->iteration++;
  ready = commy_worker_has_work (self) || arm_channels (self);
  commy_worker_exit (self);
  return ready;
}

static gboolean
source_check (GSource *source)
{
  CommyWorker *self = ((WorkerSource *) source)->worker;
  gboolean ready;

  if (self->dispatching)
    return FALSE;
  /* The descriptor's tag would do, but asking the kernel also sees what came since. */
  commy_worker_enter (self);
  collect_events (self);
  self->collected = TRUE;
  ready = commy_worker_has_work (self) || self->hot->len > 0;
  commy_worker_exit (self);
  return ready;
}

static gboolean
source_dispatch (GSource *source, GSourceFunc callback, gpointer data)
{
  CommyWorker *self = ((WorkerSource *) source)->worker;

  if (self->dispatching)
    return G_SOURCE_CONTINUE;
  commy_worker_enter (self);
  self->dispatching = self->in_source = TRUE;
  if (!self->collected)
    collect_events (self);
  self->collected = FALSE;
  commy_worker_turn (self);
  commy_worker_expire (self);
  self->dispatching = self->in_source = FALSE;
  if (G_UNLIKELY (self->is_mute))
    unmute (self);
  commy_worker_exit (self);
  return G_SOURCE_CONTINUE;
}

static void
source_finalize (GSource *source)
{
  commy_worker_release (((WorkerSource *) source)->worker);
}

/* lint: allow-static GLib takes it writable; nothing writes it */
static GSourceFuncs source_funcs
    = { source_prepare, source_check, source_dispatch, source_finalize, NULL, NULL };

void
commy_worker_attach (CommyWorker *self)
{
  WorkerSource *source;

  self->source = g_source_new (&source_funcs, sizeof (WorkerSource));
  source = (WorkerSource *) self->source;
  source->worker = self;
  g_atomic_ref_count_inc (&self->refs);
  g_source_set_name (self->source, "commy worker");
  /* One that may not takes its descriptor from the loop and puts it back with every dispatch, and
   * wakes the loop up each time; see source_prepare(). */
  g_source_set_can_recurse (self->source, TRUE);
  self->source_fd = g_source_add_unix_fd (self->source, self->epoll_fd, G_IO_IN);
  g_source_attach (self->source, self->context);
}
