/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The inside of a worker, for its two files: its turn, and its place in a main context.
 */
#pragma once

#include "channel/commy-worker.h"

typedef struct
{
  CommyWorkFunc func;
  gpointer data;
} Item;

struct _CommyWorker
{
  gatomicrefcount users; /* close it with the last one */
  gatomicrefcount refs;  /* memory: the users together, and the source */
  GMainContext *context;
  const CommyEnv *env;
  GSource *source; /* NULL: not attached */
  gpointer source_fd;
  int epoll_fd;
  int event_fd;
  guint32 kick_word;  /* atomic; only grows */
  guint32 inbox_full; /* atomic: a hint that saves the lock */
  GMutex lock;        /* of inbox */
  GArray *inbox;      /* Item */
  gboolean ended;     /* under the lock: nobody runs the inbox any more */
  guint32 busy;       /* atomic: somebody is inside */
  guint32 is_shut;    /* atomic */
  GPid pid;           /* of the process that made it */
  guint32 wanted;     /* atomic: somebody else wants to get in */
  gpointer current;   /* atomic: who is inside */
  gpointer home;      /* atomic: who was last */

  /* inside */
  guint inside; /* how often the current thread entered */
  guint in_sync;
  GArray *deferred;    /* Item: completions, in order */
  gboolean telling;    /* they are being run */
  gboolean in_source;  /* what is run now, the context's own source calls */
  guint iteration;     /* of the context */
  GPtrArray *channels; /* one reference each */
  GPtrArray *hot;      /* borrowed from channels */
  GPtrArray *turn;     /* memory of the turn under way or to come; NULL while one is */
  GPtrArray *graveyard;
  gint64 deadline_ns;
  gboolean dispatching;
  gboolean collected; /* the kernel was asked in this turn of the loop */
  gboolean is_mute;   /* a loop within a dispatch does not poll for this source */
};

/* What was posted, or has ended. */
static inline gboolean
commy_worker_has_work (CommyWorker *self)
{
  return __atomic_load_n (&self->inbox_full, __ATOMIC_RELAXED) || self->deferred->len > 0;
}

/* --- commy-worker-source.c --- */

/* Has its context serve it from now on. */
void commy_worker_attach (CommyWorker *worker);
/* Ends what has its deadline behind it. Inside. */
void commy_worker_expire (CommyWorker *worker);
