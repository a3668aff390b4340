/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The turn of a worker: what was posted, then the channels that have something, each with a
 * budget, then completions that had to wait. How it sleeps in a main context is in
 * commy-worker-source.c.
 */
#include "config.h"

#include "channel/commy-worker-private.h"

#include "base/commy-error-private.h"
#include "channel/commy-channel-private.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#define WAIT_US 200
/* A thread that spins looks at the clock once in so many turns, and steps aside for so long. */
#define TURNS_A_LOOK 64u
#define STEPS_ASIDE 5u

/* A thread that spins. */
typedef struct
{
  gint64 idle_since; /* 0: it is not, or did not look yet */
  gboolean is_idle;  /* for long enough */
} Spin;

/* --- life --- */

CommyWorker *
commy_worker_new (GMainContext *context, gboolean with_source, const CommyEnv *env, GError **error)
{
  CommyWorker *self;
  int epoll_fd = epoll_create1 (EPOLL_CLOEXEC);
  int event_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  struct epoll_event event = { .events = EPOLLIN, .data.ptr = NULL };

  if (epoll_fd < 0 || event_fd < 0 || epoll_ctl (epoll_fd, EPOLL_CTL_ADD, event_fd, &event) < 0)
    {
      commy_set_error (error, COMMY_ERROR_FAILED, "cannot make descriptors for a worker: %s",
                       g_strerror (errno));
      if (epoll_fd >= 0)
        close (epoll_fd);
      if (event_fd >= 0)
        close (event_fd);
      return NULL;
    }

  self = g_new0 (CommyWorker, 1);
  g_atomic_ref_count_init (&self->users);
  g_atomic_ref_count_init (&self->refs);
  self->context = g_main_context_ref (context);
  self->env = env;
  self->pid = getpid ();
  self->epoll_fd = epoll_fd;
  self->event_fd = event_fd;
  g_mutex_init (&self->lock);
  self->inbox = g_array_new (FALSE, FALSE, sizeof (Item));
  self->deferred = g_array_new (FALSE, FALSE, sizeof (Item));
  self->channels = g_ptr_array_new ();
  self->hot = g_ptr_array_new ();
  self->turn = g_ptr_array_new ();
  self->graveyard = g_ptr_array_new_with_free_func ((GDestroyNotify) commy_channel_unref);
  self->deadline_ns = G_MAXINT64;
  if (with_source)
    commy_worker_attach (self);
  return self;
}

CommyWorker *
commy_worker_ref (CommyWorker *worker)
{
  g_atomic_ref_count_inc (&worker->users);
  return worker;
}

gboolean
commy_worker_try_ref (CommyWorker *worker)
{
  int users = g_atomic_int_get (&worker->users);

  while (users > 0)
    {
      if (g_atomic_int_compare_and_exchange (&worker->users, users, users + 1))
        return TRUE;
      users = g_atomic_int_get (&worker->users);
    }
  return FALSE;
}

static void
release_memory (CommyWorker *self)
{
  if (!g_atomic_ref_count_dec (&self->refs))
    return;
  g_ptr_array_free (self->channels, TRUE);
  g_ptr_array_free (self->hot, TRUE);
  g_clear_pointer (&self->turn, g_ptr_array_unref);
  g_ptr_array_free (self->graveyard, TRUE);
  g_array_free (self->inbox, TRUE);
  g_array_free (self->deferred, TRUE);
  g_mutex_clear (&self->lock);
  close (self->event_fd);
  close (self->epoll_fd);
  g_main_context_unref (self->context);
  g_free (self);
}

CommyWorker *
commy_worker_hold (CommyWorker *worker)
{
  g_atomic_ref_count_inc (&worker->refs);
  return worker;
}

void
commy_worker_release (CommyWorker *worker)
{
  release_memory (worker);
}

static void
run_deferred (CommyWorker *self)
{
  g_autoptr (GArray) items = NULL;

  gboolean telling = self->telling;

  self->telling = TRUE;
  items = self->deferred;
  self->deferred = g_array_new (FALSE, FALSE, sizeof (Item));
  for (guint i = 0; i < items->len; i++)
    {
      Item *item = &g_array_index (items, Item, i);

      item->func (item->data);
    }
  self->telling = telling;
}

/* What was posted and deferred may hold this worker, and the loop that would run it may be gone. */
static void
run_rest (CommyWorker *self)
{
  while (self->deferred->len > 0 || __atomic_load_n (&self->inbox_full, __ATOMIC_RELAXED))
    {
      commy_worker_run_inbox (self);
      run_deferred (self);
    }
}

void
commy_worker_unref (CommyWorker *self)
{
  if (self == NULL || !g_atomic_ref_count_dec (&self->users))
    return;
  commy_worker_shut (self);
  g_mutex_lock (&self->lock);
  self->ended = TRUE;
  g_mutex_unlock (&self->lock);
  commy_worker_enter (self);
  run_rest (self);
  commy_worker_exit (self);
  if (self->source != NULL)
    {
      g_source_destroy (self->source);
      g_source_unref (self->source);
    }
  release_memory (self);
}

/* --- one at a time --- */

/* What tells threads apart, for less than g_thread_self() costs. */
static inline gpointer
this_thread (void)
{
  return (gpointer) pthread_self ();
}

gboolean
commy_worker_is_inside (CommyWorker *worker)
{
  return __atomic_load_n (&worker->current, __ATOMIC_RELAXED) == this_thread ();
}

gboolean
commy_worker_is_home (CommyWorker *worker)
{
  return __atomic_load_n (&worker->home, __ATOMIC_RELAXED) == this_thread ();
}

static gboolean
try_enter (CommyWorker *self)
{
  guint32 no = 0;

  if (!__atomic_compare_exchange_n (&self->busy, &no, 1, FALSE, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
    return FALSE;
  __atomic_store_n (&self->current, this_thread (), __ATOMIC_RELAXED);
  __atomic_store_n (&self->home, this_thread (), __ATOMIC_RELAXED);
  self->inside = 1;
  return TRUE;
}

/* Who spins inside steps aside for a moment. */
static void
want_in (CommyWorker *self)
{
  __atomic_store_n (&self->wanted, 1, __ATOMIC_RELAXED);
  commy_worker_kick (self);
}

void
commy_worker_enter (CommyWorker *self)
{
  if (commy_worker_is_inside (self))
    self->inside++;
  else
    while (!try_enter (self))
      {
        /* Only while a mesh is being left. */
        want_in (self);
        g_usleep (WAIT_US);
      }
}

gboolean
commy_worker_try_enter (CommyWorker *self)
{
  if (!commy_worker_is_inside (self))
    return try_enter (self);
  self->inside++;
  return TRUE;
}

void
commy_worker_exit (CommyWorker *self)
{
  g_assert (commy_worker_is_inside (self) && self->inside > 0);
  if (self->inside > 1)
    {
      self->inside--;
      return;
    }
  if (G_UNLIKELY (self->graveyard->len > 0))
    g_ptr_array_set_size (self->graveyard, 0);
  self->inside = 0;
  __atomic_store_n (&self->current, NULL, __ATOMIC_RELAXED);
  __atomic_store_n (&self->busy, 0, __ATOMIC_RELEASE);
}

static void
shut_inside (CommyWorker *self)
{
  __atomic_store_n (&self->is_shut, 1, __ATOMIC_RELEASE);
  while (self->channels->len > 0)
    {
      g_autoptr (CommyChannel) channel
          = commy_channel_ref (self->channels->pdata[self->channels->len - 1]);

      commy_channel_close (channel, NULL);
    }
}

gboolean
commy_worker_try_shut (CommyWorker *self)
{
  if (commy_worker_is_inside (self))
    {
      shut_inside (self);
      return TRUE;
    }
  if (!try_enter (self))
    {
      if (__atomic_load_n (&self->is_shut, __ATOMIC_ACQUIRE))
        return TRUE;
      want_in (self);
      return FALSE;
    }
  __atomic_store_n (&self->wanted, 0, __ATOMIC_RELAXED);
  shut_inside (self);
  run_rest (self);
  commy_worker_exit (self);
  return TRUE;
}

void
commy_worker_shut (CommyWorker *self)
{
  while (!commy_worker_try_shut (self))
    g_usleep (WAIT_US);
}

void
commy_worker_reopen (CommyWorker *worker)
{
  __atomic_store_n (&worker->is_shut, 0, __ATOMIC_RELEASE);
}

gboolean
commy_worker_is_inherited (CommyWorker *worker)
{
  return worker->pid != getpid ();
}

GMainContext *
commy_worker_get_context (CommyWorker *worker)
{
  return worker->context;
}

gboolean
commy_worker_is_attached (CommyWorker *worker)
{
  return worker->source != NULL;
}

/* --- from any thread --- */

void
commy_worker_kick (CommyWorker *worker)
{
  guint64 one = 1;

  __atomic_add_fetch (&worker->kick_word, 1, __ATOMIC_SEQ_CST);
  syscall (SYS_futex, &worker->kick_word, FUTEX_WAKE, G_MAXINT, NULL, NULL, 0);
  /* A full counter (EAGAIN) is as good as ours: the descriptor is readable. */
  if (write (worker->event_fd, &one, sizeof one) < 0 && errno != EAGAIN)
    g_assert_not_reached ();
}

void
commy_worker_post (CommyWorker *worker, CommyWorkFunc func, gpointer data)
{
  Item item = { func, data };
  gboolean ended;

  /* What runs there, perhaps before this returns, may drop the last that holds it. */
  commy_worker_hold (worker);
  g_mutex_lock (&worker->lock);
  ended = worker->ended;
  if (!ended)
    {
      g_array_append_val (worker->inbox, item);
      __atomic_store_n (&worker->inbox_full, 1, __ATOMIC_RELEASE);
    }
  g_mutex_unlock (&worker->lock);
  if (!ended)
    commy_worker_kick (worker);
  else
    {
      commy_worker_enter (worker);
      func (data);
      run_rest (worker);
      commy_worker_exit (worker);
    }
  commy_worker_release (worker);
}

const guint32 *
commy_worker_get_kick_word (CommyWorker *worker)
{
  return &worker->kick_word;
}

int
commy_worker_get_kick_fd (CommyWorker *worker)
{
  return worker->event_fd;
}

void
commy_worker_drain_kick (CommyWorker *worker)
{
  guint64 count;

  while (read (worker->event_fd, &count, sizeof count) > 0)
    ;
}

/* --- inside --- */

void
commy_worker_enter_sync (CommyWorker *worker)
{
  commy_worker_enter (worker);
  worker->in_sync++;
}

void
commy_worker_leave_sync (CommyWorker *worker)
{
  g_assert (worker->in_sync > 0);
  worker->in_sync--;
  commy_worker_exit (worker);
}

gboolean
commy_worker_in_sync (CommyWorker *worker)
{
  return worker->in_sync > 0;
}

void
commy_worker_defer (CommyWorker *worker, CommyWorkFunc func, gpointer data)
{
  Item item = { func, data };

  g_array_append_val (worker->deferred, item);
}

guint
commy_worker_get_iteration (CommyWorker *worker)
{
  return worker->iteration;
}

/* A GTask calls back at once only where a source of its context is dispatched, in a later iteration
 * than the one that made it; else it takes a source of its own, which others would overtake. */
void
commy_worker_complete (CommyWorker *worker, guint began, CommyWorkFunc func, gpointer data)
{
  if (worker->in_source && worker->in_sync == 0 && began != worker->iteration && !worker->telling
      && worker->deferred->len == 0)
    func (data);
  else
    commy_worker_defer (worker, func, data);
}

void
commy_worker_run_inbox (CommyWorker *self)
{
  g_autoptr (GArray) items = NULL;

  if (!__atomic_load_n (&self->inbox_full, __ATOMIC_ACQUIRE))
    return;
  g_mutex_lock (&self->lock);
  items = self->inbox;
  self->inbox = g_array_new (FALSE, FALSE, sizeof (Item));
  __atomic_store_n (&self->inbox_full, 0, __ATOMIC_RELAXED);
  g_mutex_unlock (&self->lock);
  for (guint i = 0; i < items->len; i++)
    {
      Item *item = &g_array_index (items, Item, i);

      item->func (item->data);
    }
}

void
commy_worker_set_hot (CommyWorker *worker, CommyChannel *channel)
{
  if (channel->hot || !commy_channel_is_open (channel))
    return;
  channel->hot = TRUE;
  g_ptr_array_add (worker->hot, channel);
}

void
commy_worker_add_channel (CommyWorker *worker, CommyChannel *channel)
{
  struct epoll_event event = { .events = 0, .data.ptr = channel };

  if (__atomic_load_n (&worker->is_shut, __ATOMIC_ACQUIRE))
    {
      commy_channel_close (channel, NULL);
      commy_channel_unref (channel);
      return;
    }
  g_ptr_array_add (worker->channels, channel);
  if (epoll_ctl (worker->epoll_fd, EPOLL_CTL_ADD, commy_channel_get_fd (channel), &event) < 0)
    g_warning ("cannot watch a channel: %s", g_strerror (errno));
  commy_worker_set_hot (worker, channel);
}

void
commy_worker_remove_channel (CommyWorker *worker, CommyChannel *channel)
{
  if (channel->hot)
    {
      g_ptr_array_remove_fast (worker->hot, channel);
      channel->hot = FALSE;
    }
  if (!g_ptr_array_remove_fast (worker->channels, channel))
    return;
  epoll_ctl (worker->epoll_fd, EPOLL_CTL_DEL, commy_channel_get_fd (channel), NULL);
  g_ptr_array_add (worker->graveyard, channel);
}

void
commy_worker_unwatch_channel (CommyWorker *worker, CommyChannel *channel)
{
  int fd = commy_channel_get_fd (channel);

  if (fd >= 0)
    epoll_ctl (worker->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
  channel->epoll_events = 0;
}

void
commy_worker_watch_channel (CommyWorker *worker, CommyChannel *channel)
{
  struct epoll_event event = { .events = 0, .data.ptr = channel };
  int fd = commy_channel_get_fd (channel);

  if (fd >= 0 && epoll_ctl (worker->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
    g_warning ("cannot watch a channel: %s", g_strerror (errno));
  channel->epoll_events = 0;
  commy_worker_set_hot (worker, channel);
}

void
commy_worker_foreach_channel (CommyWorker *worker, GFunc func, gpointer data)
{
  g_ptr_array_foreach (worker->channels, func, data);
}

/* Gives every hot channel its budget. They stay hot: only arming ends that. Serving changes the
 * list, so it is copied; what closes meanwhile lives in the graveyard until this thread leaves. The
 * copy's memory is kept for the next turn, because turns come by the million; a turn within a turn
 * makes its own. */
static gboolean
serve_channels (CommyWorker *self)
{
  GPtrArray *turn;
  gboolean any = FALSE;

  if (G_LIKELY (self->hot->len == 1))
    return commy_channel_serve (self->hot->pdata[0]);
  turn = g_steal_pointer (&self->turn);
  if (turn == NULL)
    turn = g_ptr_array_new ();
  for (guint i = 0; i < self->hot->len; i++)
    g_ptr_array_add (turn, self->hot->pdata[i]);
  for (guint i = 0; i < turn->len; i++)
    any |= commy_channel_serve (turn->pdata[i]);
  g_ptr_array_set_size (turn, 0);
  if (self->turn == NULL)
    self->turn = turn;
  else
    g_ptr_array_unref (turn);
  return any;
}

/* Completions come first: they are older than what is found now. Where there is a source they wait
 * for it. */
static gboolean
turn_inside (CommyWorker *self)
{
  gboolean any = __atomic_load_n (&self->inbox_full, __ATOMIC_RELAXED) != 0;

  if (G_UNLIKELY (any))
    commy_worker_run_inbox (self);
  if (G_UNLIKELY (self->deferred->len > 0) && self->in_sync == 0
      && (self->in_source || self->source == NULL))
    {
      run_deferred (self);
      any = TRUE;
    }
  return serve_channels (self) || any;
}

gboolean
commy_worker_turn (CommyWorker *self)
{
  gboolean any;

  commy_worker_enter (self);
  any = turn_inside (self);
  commy_worker_exit (self);
  return any;
}

/* Lets those in who want to, unless they have given up. */
static void
step_aside (CommyWorker *self)
{
  commy_worker_exit (self);
  for (guint i = 0; i < STEPS_ASIDE && __atomic_load_n (&self->wanted, __ATOMIC_RELAXED); i++)
    g_usleep (WAIT_US);
  commy_worker_enter (self);
  __atomic_store_n (&self->wanted, 0, __ATOMIC_RELAXED);
}

/* What need not be looked at in every turn. Whether to go on spinning. */
static gboolean
look_around (CommyWorker *self, Spin *spin, gint64 idle_ns)
{
  gint64 now;

  if (G_UNLIKELY (__atomic_load_n (&self->wanted, __ATOMIC_RELAXED)))
    step_aside (self);
  now = commy_env_now (self->env);
  spin->idle_since = spin->idle_since != 0 ? spin->idle_since : now;
  spin->is_idle = now - spin->idle_since >= idle_ns;
  if (now >= self->deadline_ns)
    commy_worker_expire (self);
  return !spin->is_idle;
}

gboolean
commy_worker_spin (CommyWorker *self, CommySpinner *spinner, gint64 idle_ns, const guint32 *stop)
{
  Spin spin = { 0 };

  commy_worker_enter (self);
  for (guint turns = 1; !__atomic_load_n (stop, __ATOMIC_RELAXED); turns++)
    {
      if (turn_inside (self))
        {
          commy_spinner_learn (spinner, TRUE);
          spin.idle_since = 0;
        }
      else
        commy_relax ();
      if (G_UNLIKELY (self->deferred->len > 0)
          || (turns % TURNS_A_LOOK == 0 && !look_around (self, &spin, idle_ns)))
        break;
    }
  commy_worker_exit (self);
  if (spin.is_idle)
    commy_spinner_learn (spinner, FALSE);
  return spin.is_idle;
}

gboolean
commy_worker_has_more (CommyWorker *worker)
{
  return commy_worker_has_work (worker) || worker->hot->len > 1
         || (worker->hot->len == 1 && commy_channel_has_waiting (worker->hot->pdata[0]));
}
