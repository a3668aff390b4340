/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Unix sockets and TCP on loopback: round trips, sleeping in the kernel or asking it again and
 * again, and messages one way, one call to write each and large calls to read.
 */
#include "config.h"

#include "limit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_SIZE (256u << 10)

typedef struct
{
  int fds[2];
  gsize size;
  gboolean spins;
  guint8 *bytes;
} Sockets;

/* --- pairs --- */

gboolean
limit_make_unix_pair (int fds[2], GError **error)
{
  return socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0
         || bench_fail (error, "no pair of Unix sockets: %s", g_strerror (errno));
}

static void
close_if_open (int fd)
{
  if (fd >= 0)
    close (fd);
}

static gboolean
connect_pair (int listener, int fds[2])
{
  struct sockaddr_in address
      = { .sin_family = AF_INET, .sin_addr.s_addr = htonl (INADDR_LOOPBACK) };
  socklen_t size = sizeof address;
  int on = 1;

  if (listener < 0 || fds[0] < 0 || bind (listener, (struct sockaddr *) &address, size) != 0
      || listen (listener, 1) != 0
      || getsockname (listener, (struct sockaddr *) &address, &size) != 0
      || connect (fds[0], (struct sockaddr *) &address, size) != 0)
    return FALSE;
  fds[1] = accept4 (listener, NULL, NULL, SOCK_CLOEXEC);
  return fds[1] >= 0 && setsockopt (fds[0], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0
         && setsockopt (fds[1], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0;
}

gboolean
limit_make_tcp_pair (int fds[2], GError **error)
{
  int listener = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  gboolean ok;

  fds[0] = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  fds[1] = -1;
  ok = connect_pair (listener, fds)
       || bench_fail (error, "no TCP connection on loopback: %s", g_strerror (errno));
  close_if_open (listener);
  if (!ok)
    {
      close_if_open (fds[0]);
      close_if_open (fds[1]);
    }
  return ok;
}

gboolean
limit_move (int fd, guint8 *bytes, gsize size, gboolean out, gboolean spins)
{
  int flags = spins ? MSG_DONTWAIT : 0;

  while (size > 0)
    {
      ssize_t moved
          = out ? send (fd, bytes, size, flags | MSG_NOSIGNAL) : recv (fd, bytes, size, flags);

      if (moved < 0 && (errno == EINTR || errno == EAGAIN))
        continue;
      if (moved <= 0)
        return FALSE;
      bytes += moved;
      size -= (gsize) moved;
    }
  return TRUE;
}

static gboolean
make_pair (Sockets *self, gboolean tcp, GError **error)
{
  if (!(tcp ? limit_make_tcp_pair (self->fds, error) : limit_make_unix_pair (self->fds, error)))
    return FALSE;
  self->bytes = g_malloc0 (MAX (self->size, READ_SIZE));
  return TRUE;
}

static void
clear (Sockets *self)
{
  close (self->fds[0]);
  close (self->fds[1]);
  g_free (self->bytes);
}

/* --- there and back --- */

static void
answer (gpointer data)
{
  const Sockets *self = data;

  close (self->fds[0]);
  while (limit_move (self->fds[1], self->bytes, self->size, FALSE, self->spins)
         && limit_move (self->fds[1], self->bytes, self->size, TRUE, self->spins))
    continue;
}

static gboolean
exchange (gpointer data, GError **error)
{
  const Sockets *self = data;

  return (limit_move (self->fds[0], self->bytes, self->size, TRUE, self->spins)
          && limit_move (self->fds[0], self->bytes, self->size, FALSE, self->spins))
         || bench_fail (error, "the connection broke: %s", g_strerror (errno));
}

static gboolean
measure (BenchRun *run, const BenchScene *scene, gboolean tcp, gsize size, GError **error)
{
  Sockets self = { .size = size, .spins = g_str_equal (scene->wait, "spin") };
  char id[BENCH_ID_MAX];
  GPid partner;
  gboolean ok;

  bench_id (id, scene, "%s/%" G_GSIZE_FORMAT, tcp ? "tcp" : "unix", size);
  if (!make_pair (&self, tcp, error))
    return FALSE;
  ok = limit_partner_start (run, answer, &self, &partner, error);
  if (ok)
    {
      ok = bench_time_each (run, id, size, exchange, &self, error);
      limit_partner_stop (run, partner);
    }
  clear (&self);
  return ok;
}

gboolean
limit_sockets (BenchRun *run, const BenchScene *scene, GError **error)
{
  const gsize *sizes = bench_get_round_trip_sizes (run);

  for (gsize i = 0; sizes[i] != 0; i++)
    if (!measure (run, scene, FALSE, sizes[i], error)
        || !measure (run, scene, TRUE, sizes[i], error))
      return FALSE;
  return TRUE;
}

/* --- one way --- */

static void
drain (gpointer data)
{
  const Sockets *self = data;
  guint64 total = 0;
  ssize_t got;

  close (self->fds[0]);
  while ((got = recv (self->fds[1], self->bytes, READ_SIZE, 0)) > 0)
    total += (guint64) got;
  if (!limit_move (self->fds[1], (guint8 *) &total, sizeof total, TRUE, FALSE))
    return;
}

/* Sends for the time of a row; @out_n messages arrived until @out_ns had gone by. */
static gboolean
pour (const BenchRun *run, const Sockets *self, guint64 *out_n, gint64 *out_ns)
{
  gint64 budget = bench_get_budget (run);
  gint64 start = bench_now ();
  guint64 n = 0;
  guint64 total = 0;

  do
    for (guint i = 0; i < 16; i++, n++)
      if (!limit_move (self->fds[0], self->bytes, self->size, TRUE, FALSE))
        return FALSE;
  while (bench_now () < start + budget);
  shutdown (self->fds[0], SHUT_WR);
  *out_n = n;
  if (!limit_move (self->fds[0], (guint8 *) &total, sizeof total, FALSE, FALSE))
    return FALSE;
  *out_ns = bench_now () - start;
  return total == n * self->size;
}

static gboolean
measure_stream (BenchRun *run, const BenchScene *scene, gboolean tcp, gsize size, GError **error)
{
  Sockets self = { .size = size };
  char id[BENCH_ID_MAX];
  guint64 n = 0;
  gint64 ns = 0;
  GPid partner;
  gboolean ok;

  bench_id (id, scene, "%s/%" G_GSIZE_FORMAT, tcp ? "tcp" : "unix", size);
  if (!make_pair (&self, tcp, error))
    return FALSE;
  bench_placement_check (run);
  ok = limit_partner_start (run, drain, &self, &partner, error);
  if (ok)
    {
      ok = pour (run, &self, &n, &ns) || bench_fail (error, "not everything arrived");
      limit_partner_stop (run, partner);
    }
  clear (&self);
  if (ok)
    bench_tell (run, id, BENCH_RATE, size, n, (double) n * 1e9 / (double) ns);
  return ok;
}

gboolean
limit_socket_streams (BenchRun *run, const BenchScene *scene, GError **error)
{
  const gsize *sizes = bench_get_stream_sizes (run);

  for (gsize i = 0; sizes[i] != 0; i++)
    if (!measure_stream (run, scene, FALSE, sizes[i], error)
        || !measure_stream (run, scene, TRUE, sizes[i], error))
      return FALSE;
  return TRUE;
}
