/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A thread with one epoll descriptor for the end of every peer.
 *
 * Of a process that dies the kernel ends the threads one by one; the last gives the memory back,
 * then the descriptors, which is when sockets hang up, and then the process's pidfd tells. That
 * takes milliseconds where much memory was in use. So two of its threads are watched as well: the
 * last is at most one of them. That a thread ended says nothing; whether all do is asked then.
 */
#include "config.h"

#include "channel/commy-death-watch.h"

#include "base/commy-error-private.h"
#include "base/commy-process.h"
#include "channel/commy-channel.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define WITNESSES 2
/* A process whose threads come and go is asked no further. */
#define CHOICES_MAX 16
/* Its other threads may need a moment to notice that they are killed: so often it is asked again,
 * after twice the time each. */
#define LOOKS_MAX 8
#define FIRST_PAUSE_NS 50000

/* Of the descriptors there are, one in eight at most is a witness. */
#define DESCRIPTORS_A_PROCESS (8 * WITNESSES)

/* What an event is about: a descriptor, a witness of the process with the id below this bit, what
 * other threads left to settle, or the processes that are doubted. */
#define IS_WITNESS (G_GUINT64_CONSTANT (1) << 63)
#define WAKE G_MAXUINT64
#define DOUBT (G_MAXUINT64 - 1)

/* A channel whose peer's end shows at a descriptor. */
typedef struct
{
  guint64 serial;
  CommyWorker *worker; /* which outlives its channels */
  int fd;              /* of its connection, or -1 */
} Mourner;

typedef struct
{
  int fd; /* -1: none */
  int tid;
} Witness;

typedef struct
{
  guint64 id;
  GArray *pidfds; /* int: those that are watched */
  Witness witnesses[WITNESSES];
  guint choices; /* how many witnesses may still be chosen */
  gboolean is_over;
} Process;

/* Many channels may share a descriptor. */
typedef struct
{
  GArray *mourners; /* Mourner */
  Process *process; /* whose pidfd it is, or NULL */
} Watched;

struct _CommyDeathWatch
{
  int epoll_fd;
  int wake_fd;
  GThread *thread; /* NULL: not started */
  guint32 stop;    /* atomic */
  guint processes_max;
  GMutex lock;           /* of what follows */
  GHashTable *watched;   /* descriptor -> Watched */
  GHashTable *processes; /* id -> Process */
  GArray *unsettled;     /* guint64: ids of processes that want witnesses, or are over */

  /* the thread's own */
  GArray *doubted; /* guint64: ids of processes of which a thread ended a moment ago */
  guint looks;     /* how often they were looked at since */
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

  if (!g_hash_table_contains (look->serials, &serial))
    return;
  /* A loop arms what is hot. Where there is none, who calls waits on other channels. */
  commy_channel_find_end (channel);
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

/* --- telling, on the watch's thread --- */

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

/* The kernel hangs up when it has the memory of the process back. That may be long from now, so
 * it is done here where the process @is_over: what it sent is still read. */
static void
collect (CommyDeathWatch *self, int fd, gboolean is_over, GPtrArray *looks)
{
  const Watched *watched = g_hash_table_lookup (self->watched, GINT_TO_POINTER (fd));

  for (guint i = 0; watched != NULL && i < watched->mourners->len; i++)
    {
      const Mourner *mourner = &g_array_index (watched->mourners, Mourner, i);

      if (is_over && mourner->fd >= 0)
        shutdown (mourner->fd, SHUT_RDWR);
      g_hash_table_add (look_of (looks, mourner->worker)->serials,
                        g_memdup2 (&mourner->serial, sizeof mourner->serial));
    }
}

/* Not under the lock: who runs an ended worker's inbox may close channels there. */
static void
tell (GPtrArray *looks)
{
  /* Posting also ends a park of the worker, who may be done with it before we are. */
  for (guint i = 0; i < looks->len; i++)
    {
      Look *look = looks->pdata[i];
      CommyWorker *worker = commy_worker_hold (look->worker);

      commy_worker_post (worker, look_at_channels, look);
      commy_worker_release (worker);
    }
}

/* --- processes, under the lock --- */

static void
dismiss (Witness *witness)
{
  if (witness->fd >= 0)
    close (witness->fd);
  *witness = (Witness){ .fd = -1 };
}

static void
process_free (gpointer data)
{
  Process *self = data;

  for (guint i = 0; i < WITNESSES; i++)
    dismiss (&self->witnesses[i]);
  g_array_unref (self->pidfds);
  g_free (self);
}

static void
wake (CommyDeathWatch *self)
{
  const guint64 one = 1;

  /* A full counter (EAGAIN) is as good as ours. */
  if (write (self->wake_fd, &one, sizeof one) < 0 && errno != EAGAIN)
    g_assert_not_reached ();
}

/* Its process, if the kernel tells of threads and there is a place for it. */
static Process *
join_process (CommyDeathWatch *self, int pidfd)
{
  guint64 id = commy_process_get_id (pidfd) & ~IS_WITNESS;
  Process *process = g_hash_table_lookup (self->processes, &id);

  if (id == 0 || (process == NULL && g_hash_table_size (self->processes) >= self->processes_max))
    return NULL;
  if (process == NULL)
    {
      process = g_new0 (Process, 1);
      process->id = id;
      process->pidfds = g_array_new (FALSE, FALSE, sizeof (int));
      process->choices = CHOICES_MAX;
      for (guint i = 0; i < WITNESSES; i++)
        process->witnesses[i].fd = -1;
      g_hash_table_insert (self->processes, &process->id, process);
    }
  g_array_append_val (process->pidfds, pidfd);
  return process;
}

static void
leave_process (CommyDeathWatch *self, Process *process, int pidfd)
{
  for (guint i = 0; i < process->pidfds->len; i++)
    if (g_array_index (process->pidfds, int, i) == pidfd)
      {
        g_array_remove_index_fast (process->pidfds, i);
        break;
      }
  if (process->pidfds->len == 0)
    g_hash_table_remove (self->processes, &process->id);
}

static void
choose (CommyDeathWatch *self, Process *process)
{
  for (guint i = 0; i < WITNESSES; i++)
    {
      Witness *witness = &process->witnesses[i];
      struct epoll_event event
          = { .events = EPOLLIN | EPOLLONESHOT, .data.u64 = process->id | IS_WITNESS };

      if (witness->fd >= 0 || process->choices == 0)
        continue;
      process->choices--;
      witness->fd = commy_process_open_thread (g_array_index (process->pidfds, int, 0),
                                               process->witnesses[1 - i].tid, &witness->tid);
      if (witness->fd < 0 || epoll_ctl (self->epoll_fd, EPOLL_CTL_ADD, witness->fd, &event) < 0)
        dismiss (witness);
    }
}

static void
dismiss_ended (Process *process)
{
  for (guint i = 0; i < WITNESSES; i++)
    {
      Witness *witness = &process->witnesses[i];
      struct pollfd ended = { .fd = witness->fd, .events = POLLIN };

      if (witness->fd >= 0 && poll (&ended, 1, 0) > 0)
        dismiss (witness);
    }
}

static gboolean
has_witness (const Process *process)
{
  return process->witnesses[0].fd >= 0 || process->witnesses[1].fd >= 0;
}

/* The witnesses come first: who ends after the question is asked is one of them. FALSE: a thread
 * ended, or none is left to watch, and the process has not ended yet. */
static gboolean
settle (CommyDeathWatch *self, guint64 id, gboolean heard, GPtrArray *looks)
{
  Process *process = g_hash_table_lookup (self->processes, &id);

  if (process == NULL)
    return TRUE;
  dismiss_ended (process);
  if (!process->is_over)
    {
      choose (self, process);
      process->is_over = commy_process_is_ending (g_array_index (process->pidfds, int, 0));
    }
  for (guint i = 0; process->is_over && i < process->pidfds->len; i++)
    collect (self, g_array_index (process->pidfds, int, i), TRUE, looks);
  return process->is_over || (!heard && has_witness (process));
}

static void
doubt (CommyDeathWatch *self, guint64 id)
{
  g_array_append_val (self->doubted, id);
  self->looks = 0;
}

static void
settle_doubted (CommyDeathWatch *self, GPtrArray *looks)
{
  for (guint i = self->doubted->len; i-- > 0;)
    if (settle (self, g_array_index (self->doubted, guint64, i), TRUE, looks))
      g_array_remove_index_fast (self->doubted, i);
  if (++self->looks == LOOKS_MAX)
    g_array_set_size (self->doubted, 0);
}

static void
settle_new (CommyDeathWatch *self, GPtrArray *looks)
{
  guint64 count;

  if (read (self->wake_fd, &count, sizeof count) < 0)
    g_assert (errno == EAGAIN);
  for (guint i = 0; i < self->unsettled->len; i++)
    {
      guint64 id = g_array_index (self->unsettled, guint64, i);

      if (!settle (self, id, FALSE, looks))
        doubt (self, id);
    }
  g_array_set_size (self->unsettled, 0);
}

/* --- the thread --- */

static void
handle (CommyDeathWatch *self, guint64 what)
{
  g_autoptr (GPtrArray) looks = g_ptr_array_new ();

  g_mutex_lock (&self->lock);
  if (what == WAKE)
    settle_new (self, looks);
  else if (what == DOUBT)
    settle_doubted (self, looks);
  else if ((what & IS_WITNESS) == 0)
    collect (self, (int) what, FALSE, looks);
  else if (!settle (self, what & ~IS_WITNESS, TRUE, looks))
    doubt (self, what & ~IS_WITNESS);
  g_mutex_unlock (&self->lock);
  tell (looks);
}

/* FALSE: nothing came before it is time for another look at who is doubted. */
static gboolean
wait_for_events (CommyDeathWatch *self)
{
  struct pollfd ready = { .fd = self->epoll_fd, .events = POLLIN };
  struct timespec pause = { .tv_nsec = (long) FIRST_PAUSE_NS << self->looks };

  return self->doubted->len == 0 || ppoll (&ready, 1, &pause, NULL) > 0;
}

static gpointer
watch (gpointer data)
{
  CommyDeathWatch *self = data;
  struct epoll_event events[32];

  while (!__atomic_load_n (&self->stop, __ATOMIC_ACQUIRE))
    {
      gboolean came = wait_for_events (self);
      /* What came may be gone again: those that are doubted are not forgotten over it. */
      int patience = self->doubted->len > 0 ? 0 : -1;
      int n = came ? epoll_wait (self->epoll_fd, events, G_N_ELEMENTS (events), patience) : 0;

      if (!came)
        handle (self, DOUBT);
      for (int i = 0; i < n; i++)
        handle (self, events[i].data.u64);
    }
  return NULL;
}

/* --- life --- */

static void
watched_free (gpointer data)
{
  Watched *self = data;

  g_array_unref (self->mourners);
  g_free (self);
}

static guint
get_processes_max (void)
{
  struct rlimit limit;

  if (getrlimit (RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
    return G_MAXUINT;
  return (guint) MIN (limit.rlim_cur / DESCRIPTORS_A_PROCESS, G_MAXUINT);
}

CommyDeathWatch *
commy_death_watch_new (GError **error)
{
  CommyDeathWatch *self = g_new0 (CommyDeathWatch, 1);
  struct epoll_event event = { .events = EPOLLIN, .data.u64 = WAKE };

  self->epoll_fd = epoll_create1 (EPOLL_CLOEXEC);
  self->wake_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  g_mutex_init (&self->lock);
  self->watched = g_hash_table_new_full (NULL, NULL, NULL, watched_free);
  self->processes = g_hash_table_new_full (g_int64_hash, g_int64_equal, NULL, process_free);
  self->unsettled = g_array_new (FALSE, FALSE, sizeof (guint64));
  self->doubted = g_array_new (FALSE, FALSE, sizeof (guint64));
  self->processes_max = get_processes_max ();
  if (self->epoll_fd >= 0 && self->wake_fd >= 0
      && epoll_ctl (self->epoll_fd, EPOLL_CTL_ADD, self->wake_fd, &event) == 0)
    return self;
  commy_set_error (error, COMMY_ERROR_FAILED, "cannot watch for hang-ups: %s", g_strerror (errno));
  commy_death_watch_free (self);
  return NULL;
}

void
commy_death_watch_start (CommyDeathWatch *self)
{
  self->thread = g_thread_new ("commy-deaths", watch, self);
}

void
commy_death_watch_free (CommyDeathWatch *self)
{
  if (self == NULL)
    return;
  if (self->thread != NULL)
    {
      __atomic_store_n (&self->stop, 1, __ATOMIC_RELEASE);
      wake (self);
      g_thread_join (self->thread);
    }
  g_hash_table_unref (self->watched);
  g_hash_table_unref (self->processes);
  g_array_unref (self->unsettled);
  g_array_unref (self->doubted);
  g_mutex_clear (&self->lock);
  if (self->epoll_fd >= 0)
    close (self->epoll_fd);
  if (self->wake_fd >= 0)
    close (self->wake_fd);
  g_free (self);
}

static Watched *
watched_new (CommyDeathWatch *self, int fd, gboolean is_pidfd)
{
  Watched *watched = g_new0 (Watched, 1);

  watched->mourners = g_array_new (FALSE, FALSE, sizeof (Mourner));
  watched->process = is_pidfd ? join_process (self, fd) : NULL;
  g_hash_table_insert (self->watched, GINT_TO_POINTER (fd), watched);
  return watched;
}

/* One that told already tells again, so that nobody comes too late. */
static void
add_mourner (CommyDeathWatch *self, const Mourner *mourner, int fd, gboolean is_pidfd)
{
  /* A pidfd becomes readable; of a socket only the hang-up counts, the worker reads it. */
  guint32 readable = is_pidfd ? EPOLLIN : 0;
  struct epoll_event event
      = { .events = readable | EPOLLRDHUP | EPOLLONESHOT, .data.u64 = (guint64) fd };
  Watched *watched = g_hash_table_lookup (self->watched, GINT_TO_POINTER (fd));
  gboolean known = watched != NULL;

  if (!known)
    watched = watched_new (self, fd, is_pidfd);
  g_array_append_val (watched->mourners, *mourner);
  if (epoll_ctl (self->epoll_fd, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) < 0)
    g_warning ("cannot watch for the hang-up of a channel: %s", g_strerror (errno));
  if (watched->process != NULL && (watched->process->is_over || !known))
    {
      g_array_append_val (self->unsettled, watched->process->id);
      wake (self);
    }
}

static void
remove_mourner (CommyDeathWatch *self, guint64 serial, int fd)
{
  Watched *watched = g_hash_table_lookup (self->watched, GINT_TO_POINTER (fd));

  for (guint i = watched != NULL ? watched->mourners->len : 0; i-- > 0;)
    if (g_array_index (watched->mourners, Mourner, i).serial == serial)
      {
        g_array_remove_index_fast (watched->mourners, i);
        break;
      }
  if (watched == NULL || watched->mourners->len > 0)
    return;
  epoll_ctl (self->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
  if (watched->process != NULL)
    leave_process (self, watched->process, fd);
  g_hash_table_remove (self->watched, GINT_TO_POINTER (fd));
}

void
commy_death_watch_add (
    CommyDeathWatch *self, guint64 serial, int fd, int pidfd, CommyWorker *worker)
{
  Mourner mourner = { .serial = serial, .worker = worker, .fd = fd };

  g_mutex_lock (&self->lock);
  if (pidfd >= 0)
    add_mourner (self, &mourner, pidfd, TRUE);
  if (fd >= 0)
    add_mourner (self, &mourner, fd, FALSE);
  g_mutex_unlock (&self->lock);
}

void
commy_death_watch_remove (CommyDeathWatch *self, guint64 serial, int fd, int pidfd)
{
  if (self == NULL)
    return;
  g_mutex_lock (&self->lock);
  if (pidfd >= 0)
    remove_mourner (self, serial, pidfd);
  if (fd >= 0)
    remove_mourner (self, serial, fd);
  g_mutex_unlock (&self->lock);
}

gboolean
commy_death_watch_is_over (CommyDeathWatch *self, int pidfd)
{
  const Watched *watched;
  gboolean is_over;

  if (self == NULL)
    return commy_process_is_ending (pidfd);
  g_mutex_lock (&self->lock);
  watched = g_hash_table_lookup (self->watched, GINT_TO_POINTER (pidfd));
  is_over = watched != NULL && watched->process != NULL && watched->process->is_over;
  g_mutex_unlock (&self->lock);
  return is_over || commy_process_is_ending (pidfd);
}
