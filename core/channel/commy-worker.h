/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A worker: one thread-default context and the channels that belong to it. Channels are
 * touched by the thread that iterates the context (or, for a client without a main loop, by the
 * thread that made it), so the data path needs no lock. One GSource with one epoll descriptor
 * serves all channels of a worker.
 */
#pragma once

#include "base/commy-env.h"
#include "channel/commy-spin.h"

#include <gio/gio.h>

typedef struct _CommyWorker CommyWorker;
typedef struct _CommyChannel CommyChannel;

typedef void (*CommyWorkFunc) (gpointer data);

/* @attach: serve channels from @context's loop; otherwise only synchronous calls move them. */
CommyWorker *
commy_worker_new (GMainContext *context, gboolean attach, const CommyEnv *env, GError **error);
CommyWorker *commy_worker_ref (CommyWorker *worker);
/* For who only holds it: whether it was still somebody's, and is now the caller's too. */
gboolean commy_worker_try_ref (CommyWorker *worker);
/* Any thread. The last reference closes the channels and ends the source. */
void commy_worker_unref (CommyWorker *worker);
/* Any thread. What holds a worker can still post to it and enter it after the last reference
 * went: then it is nobody's, and what is posted runs at once. Channels hold theirs. */
CommyWorker *commy_worker_hold (CommyWorker *worker);
void commy_worker_release (CommyWorker *worker);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyWorker, commy_worker_unref)

/* Whoever moves the channels is inside: the context's iteration, a synchronous call, or whoever
 * closes them. One thread at a time, nested as often as it likes; in good health never waits. */
void commy_worker_enter (CommyWorker *worker);
void commy_worker_exit (CommyWorker *worker);
/* Enters only if nobody else is inside. */
gboolean commy_worker_try_enter (CommyWorker *worker);
/* Closes all channels; new ones are closed as they come; ends what was posted. Waits while another
 * thread is inside, unless that thread has shut the worker itself. */
void commy_worker_shut (CommyWorker *worker);
/* The same without waiting: whether it is shut. */
gboolean commy_worker_try_shut (CommyWorker *worker);
/* The way back: the mesh was joined again. */
void commy_worker_reopen (CommyWorker *worker);
/* This process is not the one that made it: touch nothing of what the parent uses. */
gboolean commy_worker_is_inherited (CommyWorker *worker);

GMainContext *commy_worker_get_context (CommyWorker *worker);
gboolean commy_worker_is_attached (CommyWorker *worker);

/* Any thread: run @func on the worker, soon. Items run in order. */
void commy_worker_post (CommyWorker *worker, CommyWorkFunc func, gpointer data);
/* Any thread: end a park of the worker, so that it looks at its channels again. */
void commy_worker_kick (CommyWorker *worker);
/* The word that parks watch, and the descriptor that is readable after a kick. */
const guint32 *commy_worker_get_kick_word (CommyWorker *worker);
int commy_worker_get_kick_fd (CommyWorker *worker);
void commy_worker_drain_kick (CommyWorker *worker);

/* Whether the calling thread is inside, or was the last one that was. */
gboolean commy_worker_is_inside (CommyWorker *worker);
gboolean commy_worker_is_home (CommyWorker *worker);

/* --- inside only --- */

/* Enters for a synchronous call: completions of other calls wait until it is over. */
void commy_worker_enter_sync (CommyWorker *worker);
void commy_worker_leave_sync (CommyWorker *worker);
gboolean commy_worker_in_sync (CommyWorker *worker);
/* Run @func from the source, never re-entrantly. */
void commy_worker_defer (CommyWorker *worker, CommyWorkFunc func, gpointer data);
/* Runs @func, which returns the GTask of what began in the iteration @began, now or when that lets
 * it call back: always in the order of these calls. */
void commy_worker_complete (CommyWorker *worker, guint began, CommyWorkFunc func, gpointer data);
/* Of the worker's context, as its source sees them. */
guint commy_worker_get_iteration (CommyWorker *worker);
/* Items posted so far; for workers that are not attached. */
void commy_worker_run_inbox (CommyWorker *worker);

/* The worker takes over the caller's reference on a channel. */
void commy_worker_add_channel (CommyWorker *worker, CommyChannel *channel);
/* The channel's reference is dropped at the end of the turn. */
void commy_worker_remove_channel (CommyWorker *worker, CommyChannel *channel);
/* Its descriptor is about to become another one, or has. */
void commy_worker_unwatch_channel (CommyWorker *worker, CommyChannel *channel);
void commy_worker_watch_channel (CommyWorker *worker, CommyChannel *channel);
void commy_worker_foreach_channel (CommyWorker *worker, GFunc func, gpointer data);
/* There is, or may be, something to do for @channel. */
void commy_worker_set_hot (CommyWorker *worker, CommyChannel *channel);
/* Look at the deadlines of calls not later than @when_ns. */
void commy_worker_need_deadline (CommyWorker *worker, gint64 when_ns);

/* One turn over inbox and hot channels without sleeping: whether anything was done. */
gboolean commy_worker_turn (CommyWorker *worker);
/* Whether a turn may find something beside messages of the one channel that its caller has just
 * looked at. */
gboolean commy_worker_has_more (CommyWorker *worker);
/* Turns until there was nothing to do for roughly @idle_ns (TRUE), or a completion waits for the
 * context, or *@stop, which somebody sets atomically, is not 0. For worker threads of services,
 * which spin before they let the context sleep; @spinner learns. */
gboolean
commy_worker_spin (CommyWorker *worker, CommySpinner *spinner, gint64 idle_ns, const guint32 *stop);
