/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The limits of this machine, by the bare mechanism: a cache line that goes back and forth, a futex
 * that wakes the other side, a TCP socket on loopback. With a payload, each side copies it once,
 * as an application that writes its argument and reads it would.
 */
#include "config.h"

#include "bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Each word has a line of its own, and its neighbour's too: processors prefetch pairs. */
typedef struct
{
  guint32 ping __attribute__ ((aligned (128)));
  guint32 pong __attribute__ ((aligned (128)));
  guint8 there[1 << 20] __attribute__ ((aligned (128)));
  guint8 back[1 << 20] __attribute__ ((aligned (128)));
} Shared;

typedef struct
{
  const Bench *bench;
  Shared *shared;
  gboolean sleeps;
  gsize size;
  guint32 turns;
  int fd;
} Peer;

static inline void
relax (void)
{
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause ();
#endif
}

static void
await_turn (guint32 *word, guint32 turn, gboolean sleeps)
{
  guint32 seen;

  while ((seen = __atomic_load_n (word, __ATOMIC_ACQUIRE)) != turn)
    {
      if (sleeps)
        syscall (SYS_futex, word, FUTEX_WAIT, seen, NULL, NULL, 0);
      else
        relax ();
    }
}

static void
give_turn (guint32 *word, guint32 turn, gboolean sleeps)
{
  __atomic_store_n (word, turn, __ATOMIC_RELEASE);
  if (sleeps)
    syscall (SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static gpointer
answer_in_memory (gpointer data)
{
  const Peer *peer = data;

  bench_pin (peer->bench->cpus[1]);
  for (guint32 turn = 1; turn <= peer->turns; turn++)
    {
      await_turn (&peer->shared->ping, turn, peer->sleeps);
      memcpy (peer->shared->back, peer->shared->there, peer->size);
      give_turn (&peer->shared->pong, turn, peer->sleeps);
    }
  return NULL;
}

static gboolean
measure_memory (
    Bench *bench, const char *name, gboolean sleeps, gsize size, gsize n, GError **error)
{
  gsize warm = n / 10 + 1;
  Peer peer = { bench, NULL, sleeps, size, (guint32) (n + warm), -1 };
  g_autofree gint64 *ns = g_new (gint64, n);
  g_autofree guint8 *payload = g_malloc0 (MAX (size, 1));
  GThread *thread;

  peer.shared
      = mmap (NULL, sizeof (Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (peer.shared == MAP_FAILED)
    {
      bench_fail (error, "no shared memory: %s", g_strerror (errno));
      return FALSE;
    }
  thread = g_thread_new ("peer", answer_in_memory, &peer);
  for (guint32 turn = 1; turn <= peer.turns; turn++)
    {
      gint64 start = bench_now ();

      memcpy (peer.shared->there, payload, size);
      give_turn (&peer.shared->ping, turn, sleeps);
      await_turn (&peer.shared->pong, turn, sleeps);
      if (turn > warm)
        ns[turn - warm - 1] = bench_now () - start;
    }
  g_thread_join (thread);
  munmap (peer.shared, sizeof (Shared));
  bench_add (bench, name, sleeps ? "block" : "spin", size, NULL, ns, n);
  return TRUE;
}

static gboolean
move_all (int fd, guint8 *bytes, gsize size, gboolean out)
{
  while (size > 0)
    {
      ssize_t moved = out ? send (fd, bytes, size, MSG_NOSIGNAL) : recv (fd, bytes, size, 0);

      if (moved < 0 && errno == EINTR)
        continue;
      if (moved <= 0)
        return FALSE;
      bytes += moved;
      size -= (gsize) moved;
    }
  return TRUE;
}

static gpointer
answer_on_socket (gpointer data)
{
  const Peer *peer = data;
  g_autofree guint8 *bytes = g_malloc0 (peer->size);

  bench_pin (peer->bench->cpus[1]);
  while (move_all (peer->fd, bytes, peer->size, FALSE)
         && move_all (peer->fd, bytes, peer->size, TRUE))
    continue;
  return NULL;
}

static gboolean
make_tcp_pair (int fds[2])
{
  struct sockaddr_in address
      = { .sin_family = AF_INET, .sin_addr.s_addr = htonl (INADDR_LOOPBACK) };
  socklen_t size = sizeof address;
  int listener = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int on = 1;
  gboolean ok = FALSE;

  fds[0] = socket (AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  fds[1] = -1;
  if (listener >= 0 && fds[0] >= 0 && bind (listener, (struct sockaddr *) &address, size) == 0
      && listen (listener, 1) == 0
      && getsockname (listener, (struct sockaddr *) &address, &size) == 0
      && connect (fds[0], (struct sockaddr *) &address, size) == 0)
    {
      fds[1] = accept4 (listener, NULL, NULL, SOCK_CLOEXEC);
      ok = fds[1] >= 0 && setsockopt (fds[0], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0
           && setsockopt (fds[1], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0;
    }
  if (listener >= 0)
    close (listener);
  if (!ok && fds[0] >= 0)
    close (fds[0]);
  if (!ok && fds[1] >= 0)
    close (fds[1]);
  return ok;
}

static gboolean
measure_tcp (Bench *bench, const char *name, gsize size, gsize n, GError **error)
{
  gsize warm = n / 10 + 1;
  g_autofree gint64 *ns = g_new (gint64, n);
  g_autofree guint8 *bytes = g_malloc0 (size);
  Peer peer = { bench, NULL, TRUE, size, 0, -1 };
  int fds[2];
  GThread *thread;
  gboolean ok = TRUE;

  if (!make_tcp_pair (fds))
    {
      bench_fail (error, "no TCP connection on loopback: %s", g_strerror (errno));
      return FALSE;
    }
  peer.fd = fds[1];
  thread = g_thread_new ("peer", answer_on_socket, &peer);
  for (gsize i = 0; ok && i < n + warm; i++)
    {
      gint64 start = bench_now ();

      ok = move_all (fds[0], bytes, size, TRUE) && move_all (fds[0], bytes, size, FALSE);
      if (i >= warm)
        ns[i - warm] = bench_now () - start;
    }
  close (fds[0]);
  g_thread_join (thread);
  close (fds[1]);
  if (ok)
    bench_add (bench, name, "block", size, NULL, ns, n);
  else
    bench_fail (error, "the TCP connection on loopback broke");
  return ok;
}

gboolean
bench_limits (Bench *bench, GError **error)
{
  static const struct
  {
    gsize size;
    gsize n;
  } cases[] = { { 64, 200000 }, { 4096, 100000 }, { 65536, 10000 }, { 1 << 20, 1000 } };

  bench_pin (bench->cpus[0]);
  if (bench->can_spin
      && !measure_memory (bench, "cache line", FALSE, 0, bench_count (bench, 500000), error))
    return FALSE;
  if (!measure_memory (bench, "futex", TRUE, 0, bench_count (bench, 50000), error))
    return FALSE;
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      gsize size = cases[i].size;
      gsize n = bench_count (bench, cases[i].n);
      gsize fewer = bench_count (bench, cases[i].n / 4);

      if (bench->can_spin && !measure_memory (bench, "copy + cache line", FALSE, size, n, error))
        return FALSE;
      if (!measure_memory (bench, "copy + futex", TRUE, size, fewer, error)
          || !measure_tcp (bench, "TCP loopback", size, fewer, error))
        return FALSE;
    }
  return TRUE;
}
