/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What it takes to wake somebody who sleeps: a futex, alone and with a payload that is copied
 * as in limit-memory.c, and a descriptor in epoll.
 */
#include "config.h"

#include "limit.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef struct
{
  guint32 there __attribute__ ((aligned (128)));
  guint32 back __attribute__ ((aligned (128)));
  guint8 request[BENCH_LARGEST] __attribute__ ((aligned (128)));
  guint8 reply[BENCH_LARGEST] __attribute__ ((aligned (128)));
} Shared;

typedef struct
{
  Shared *shared;
  gsize size;
  guint32 turn;
  guint8 *private;
  int events[2]; /* there and back */
  int epolls[2];
} Wake;

/* --- a futex --- */

static void
await (guint32 *word, guint32 turn)
{
  guint32 seen;

  while ((seen = __atomic_load_n (word, __ATOMIC_ACQUIRE)) != turn)
    syscall (SYS_futex, word, FUTEX_WAIT, seen, NULL, NULL, 0);
}

static void
wake (guint32 *word, guint32 turn)
{
  __atomic_store_n (word, turn, __ATOMIC_RELEASE);
  syscall (SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void
answer_futex (gpointer data)
{
  const Wake *self = data;

  for (guint32 turn = 1;; turn++)
    {
      await (&self->shared->there, turn);
      memcpy (self->shared->reply, self->shared->request, self->size);
      wake (&self->shared->back, turn);
    }
}

static gboolean
exchange_futex (gpointer data, GError **error)
{
  Wake *self = data;
  guint32 turn = ++self->turn;

  memcpy (self->shared->request, self->private, self->size);
  wake (&self->shared->there, turn);
  await (&self->shared->back, turn);
  memcpy (self->private, self->shared->reply, self->size);
  return TRUE;
}

static gboolean
measure_futex (BenchRun *run, const char *id, gsize size, GError **error)
{
  Wake self = { .size = size };
  GPid partner;
  gboolean ok = FALSE;

  self.shared = limit_share (sizeof (Shared), error);
  if (self.shared == NULL)
    return FALSE;
  self.private = g_malloc0 (MAX (size, 1));
  if (limit_partner_start (run, answer_futex, &self, &partner, error))
    {
      ok = bench_time_each (run, id, size, exchange_futex, &self, error);
      limit_partner_stop (run, partner);
    }
  g_free (self.private);
  limit_unshare (self.shared, sizeof (Shared));
  return ok;
}

/* --- a descriptor in epoll --- */

static gboolean
ring (int event)
{
  const guint64 one = 1;

  return write (event, &one, sizeof one) == sizeof one;
}

static gboolean
sleep_until_rung (int epoll, int event)
{
  struct epoll_event happened;
  guint64 count;
  int n;

  do
    n = epoll_wait (epoll, &happened, 1, -1);
  while (n < 0 && errno == EINTR);
  return n == 1 && read (event, &count, sizeof count) == sizeof count;
}

static void
answer_event (gpointer data)
{
  const Wake *self = data;

  while (sleep_until_rung (self->epolls[0], self->events[0]) && ring (self->events[1]))
    continue;
}

static gboolean
exchange_event (gpointer data, GError **error)
{
  const Wake *self = data;

  return (ring (self->events[0]) && sleep_until_rung (self->epolls[1], self->events[1]))
         || bench_fail (error, "an eventfd in epoll: %s", g_strerror (errno));
}

static gboolean
measure_event (BenchRun *run, const char *id, GError **error)
{
  Wake self = { .events = { -1, -1 }, .epolls = { -1, -1 } };
  GPid partner;
  gboolean ok = TRUE;

  for (guint i = 0; i < 2; i++)
    {
      struct epoll_event wanted = { .events = EPOLLIN };

      self.events[i] = eventfd (0, EFD_CLOEXEC);
      self.epolls[i] = epoll_create1 (EPOLL_CLOEXEC);
      ok = ok && epoll_ctl (self.epolls[i], EPOLL_CTL_ADD, self.events[i], &wanted) == 0;
    }
  if (!ok)
    bench_fail (error, "no eventfd in epoll: %s", g_strerror (errno));
  if (ok && (ok = limit_partner_start (run, answer_event, &self, &partner, error)))
    {
      ok = bench_time_each (run, id, 8, exchange_event, &self, error);
      limit_partner_stop (run, partner);
    }
  for (guint i = 0; i < 2; i++)
    {
      close (self.events[i]);
      close (self.epolls[i]);
    }
  return ok;
}

gboolean
limit_wake (BenchRun *run, const BenchScene *scene, GError **error)
{
  const gsize *sizes = bench_get_round_trip_sizes (run);
  gboolean small = g_strcmp0 (scene->extra, "small") == 0;
  char id[BENCH_ID_MAX];

  bench_id (id, scene, "futex/0");
  if (!measure_futex (run, id, 0, error))
    return FALSE;
  bench_id (id, scene, "eventfd/8");
  if (!measure_event (run, id, error))
    return FALSE;
  for (gsize i = 0; sizes[i] != 0 && !(small && i > 0); i++)
    {
      bench_id (id, scene, "copied/%" G_GSIZE_FORMAT, sizes[i]);
      if (!measure_futex (run, id, sizes[i], error))
        return FALSE;
    }
  return TRUE;
}
