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
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

/* PF_EXITING of the kernel, in /proc/PID/stat since there is such a file. */
#define FLAG_EXITING 4u

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

/* --- processes --- */

/* As this process's namespace numbers it; 0: nobody says. */
static int
pid_of (int pidfd)
{
  g_autofree char *path = g_strdup_printf ("/proc/self/fdinfo/%d", pidfd);
  g_autofree char *text = NULL;
  const char *line;

  if (!g_file_get_contents (path, &text, NULL, NULL))
    return 0;
  line = strstr (text, "\nPid:");
  return line != NULL ? atoi (line + strlen ("\nPid:")) : 0;
}

/* The state, and the kernel's flags of the process: the second and the ninth field of its line, of
 * which the first two may contain anything. */
static gboolean
says_that_it_ends (const char *stat)
{
  const char *fields = strrchr (stat, ')');
  char state;
  unsigned flags;

  if (fields == NULL || sscanf (fields, ") %c %*d %*d %*d %*d %*d %u", &state, &flags) != 2)
    return FALSE;
  return state == 'Z' || state == 'X' || (flags & FLAG_EXITING) != 0;
}

gboolean
commy_process_is_ending (int pidfd)
{
  struct pollfd ended = { .fd = pidfd, .events = POLLIN };
  g_autofree char *path = NULL;
  g_autofree char *text = NULL;
  int pid;

  if (poll (&ended, 1, 0) > 0)
    return TRUE;
  pid = pid_of (pidfd);
  path = g_strdup_printf ("/proc/%d/stat", pid);
  if (pid <= 0 || !g_file_get_contents (path, &text, NULL, NULL))
    return FALSE;
  /* The number was that process's all the time if it is not reaped even now. */
  return says_that_it_ends (text) || poll (&ended, 1, 0) > 0;
}

/* --- life --- */

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
