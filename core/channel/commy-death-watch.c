/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One epoll descriptor for the hang-up of every channel, served by the mesh thread.
 */
#include "config.h"

#include "channel/commy-death-watch.h"

#include "base/commy-error-private.h"
#include "channel/commy-channel.h"

#include <errno.h>
#include <glib-unix.h>
#include <sys/epoll.h>
#include <unistd.h>

/* A channel whose peer's end shows at a descriptor. */
typedef struct
{
  guint64 serial;
  CommyWorker *worker; /* which outlives its channels */
} Mourner;

struct _CommyDeathWatch
{
  int epoll_fd;
  GSource *source;
  GMutex lock;     /* of mourners */
  GHashTable *fds; /* descriptor -> GArray of Mourner: many channels may share one */
};

/* --- on the worker --- */

typedef struct
{
  CommyWorker *worker;
  GHashTable *serials;
} Look;

static void
heat (gpointer channel, gpointer data)
{
  Look *look = data;
  guint64 serial = commy_channel_get_serial (channel);

  if (g_hash_table_contains (look->serials, &serial))
    commy_worker_set_hot (look->worker, channel);
}

/* Looks at the channels of the peer that died; what they are told by is theirs to find out. */
static void
look_at_channels (gpointer data)
{
  Look *look = data;

  commy_worker_foreach_channel (look->worker, heat, look);
  commy_worker_release (look->worker);
  g_hash_table_unref (look->serials);
  g_free (look);
}

/* --- on the mesh thread --- */

static Look *
look_of (GPtrArray *looks, CommyWorker *worker)
{
  Look *look;

  for (guint i = 0; i < looks->len; i++)
    if (((Look *) looks->pdata[i])->worker == worker)
      return looks->pdata[i];
  look = g_new (Look, 1);
  look->worker = commy_worker_hold (worker);
  look->serials = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL);
  g_ptr_array_add (looks, look);
  return look;
}

static void
tell (CommyDeathWatch *self, int fd)
{
  g_autoptr (GPtrArray) looks = g_ptr_array_new ();
  GArray *mourners;

  g_mutex_lock (&self->lock);
  mourners = g_hash_table_lookup (self->fds, GINT_TO_POINTER (fd));
  for (guint i = 0; mourners != NULL && i < mourners->len; i++)
    {
      const Mourner *mourner = &g_array_index (mourners, Mourner, i);

      g_hash_table_add (look_of (looks, mourner->worker)->serials,
                        g_memdup2 (&mourner->serial, sizeof mourner->serial));
    }
  g_mutex_unlock (&self->lock);
  /* Posting also ends a park of the worker, who may be done with it before we are. */
  for (guint i = 0; i < looks->len; i++)
    {
      Look *look = looks->pdata[i];
      CommyWorker *worker = commy_worker_hold (look->worker);

      commy_worker_post (worker, look_at_channels, look);
      commy_worker_release (worker);
    }
}

static gboolean
on_events (int fd, GIOCondition condition, gpointer data)
{
  struct epoll_event events[32];
  int n = epoll_wait (fd, events, G_N_ELEMENTS (events), 0);

  for (int i = 0; i < n; i++)
    tell (data, events[i].data.fd);
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
  self->fds = g_hash_table_new_full (NULL, NULL, NULL, (GDestroyNotify) g_array_unref);
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
  g_hash_table_unref (self->fds);
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
  struct epoll_event event = { .events = readable | EPOLLRDHUP | EPOLLONESHOT, .data.fd = fd };
  Mourner mourner = { .serial = serial, .worker = worker };
  gboolean known;
  GArray *mourners;

  g_mutex_lock (&self->lock);
  mourners = g_hash_table_lookup (self->fds, GINT_TO_POINTER (fd));
  known = mourners != NULL;
  if (!known)
    {
      mourners = g_array_new (FALSE, FALSE, sizeof (Mourner));
      g_hash_table_insert (self->fds, GINT_TO_POINTER (fd), mourners);
    }
  g_array_append_val (mourners, mourner);
  /* One that told already tells again, so that nobody comes too late. */
  if (epoll_ctl (self->epoll_fd, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) < 0)
    g_warning ("cannot watch for the hang-up of a channel: %s", g_strerror (errno));
  g_mutex_unlock (&self->lock);
}

void
commy_death_watch_remove (CommyDeathWatch *self, guint64 serial, int fd)
{
  GArray *mourners;

  if (self == NULL)
    return;
  g_mutex_lock (&self->lock);
  mourners = g_hash_table_lookup (self->fds, GINT_TO_POINTER (fd));
  for (guint i = mourners != NULL ? mourners->len : 0; i-- > 0;)
    if (g_array_index (mourners, Mourner, i).serial == serial)
      {
        g_array_remove_index_fast (mourners, i);
        break;
      }
  if (mourners != NULL && mourners->len == 0)
    {
      epoll_ctl (self->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
      g_hash_table_remove (self->fds, GINT_TO_POINTER (fd));
    }
  g_mutex_unlock (&self->lock);
}
