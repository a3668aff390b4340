/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One epoll descriptor for the hang-up of every channel, served by the mesh thread.
 */
#include "config.h"

#include "channel/commy-death-watch.h"

#include "base/commy-error-private.h"

#include <errno.h>
#include <glib-unix.h>
#include <sys/epoll.h>
#include <unistd.h>

struct _CommyDeathWatch
{
  int epoll_fd;
  GSource *source;
  GMutex lock;         /* of workers */
  GHashTable *workers; /* serial -> CommyWorker, which outlives its channels */
};

static gboolean
on_events (int fd, GIOCondition condition, gpointer data)
{
  CommyDeathWatch *self = data;
  struct epoll_event events[32];
  int n = epoll_wait (fd, events, G_N_ELEMENTS (events), 0);

  for (int i = 0; i < n; i++)
    {
      CommyWorker *worker;

      g_mutex_lock (&self->lock);
      worker = g_hash_table_lookup (self->workers, &events[i].data.u64);
      if (worker != NULL)
        commy_worker_kick (worker);
      g_mutex_unlock (&self->lock);
    }
  return G_SOURCE_CONTINUE;
}

CommyDeathWatch *
commy_death_watch_new (GMainContext *context, GError **error)
{
  CommyDeathWatch *self;
  int epoll_fd = epoll_create1 (EPOLL_CLOEXEC);

  if (epoll_fd < 0)
    {
      commy_set_error (error, COMMY_ERROR_FAILED, "cannot watch for hang-ups: %s",
                       g_strerror (errno));
      return NULL;
    }
  self = g_new0 (CommyDeathWatch, 1);
  self->epoll_fd = epoll_fd;
  g_mutex_init (&self->lock);
  self->workers = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL);
  self->source = g_unix_fd_source_new (epoll_fd, G_IO_IN);
  g_source_set_callback (self->source, G_SOURCE_FUNC (on_events), self, NULL);
  g_source_set_name (self->source, "commy death watch");
  g_source_attach (self->source, context);
  return self;
}

void
commy_death_watch_free (CommyDeathWatch *self)
{
  if (self == NULL)
    return;
  g_source_destroy (self->source);
  g_source_unref (self->source);
  g_hash_table_unref (self->workers);
  g_mutex_clear (&self->lock);
  close (self->epoll_fd);
  g_free (self);
}

void
commy_death_watch_add (
    CommyDeathWatch *self, guint64 serial, int fd, gboolean is_pidfd, CommyWorker *worker)
{
  /* A pidfd becomes readable; of a socket only the hang-up counts, the worker reads it. */
  guint32 readable = is_pidfd ? EPOLLIN : 0;
  struct epoll_event event = { .events = readable | EPOLLRDHUP | EPOLLONESHOT, .data.u64 = serial };

  g_mutex_lock (&self->lock);
  g_hash_table_insert (self->workers, g_memdup2 (&serial, sizeof serial), worker);
  g_mutex_unlock (&self->lock);
  if (epoll_ctl (self->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
    g_warning ("cannot watch for the hang-up of a channel: %s", g_strerror (errno));
}

void
commy_death_watch_remove (CommyDeathWatch *self, guint64 serial, int fd)
{
  if (self == NULL)
    return;
  epoll_ctl (self->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
  g_mutex_lock (&self->lock);
  g_hash_table_remove (self->workers, &serial);
  g_mutex_unlock (&self->lock);
}
