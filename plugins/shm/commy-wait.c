/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sleeping and waking. A parked caller sleeps on the peer's tail (a shared futex works through
 * a read-only map) and on a word of the core's own. Everybody else polls the Unix socket, where
 * one byte a nap is sent with flags of the call, because the flags of a shared descriptor
 * belong to whoever changes them last.
 */
#include "config.h"

#include "commy-wait.h"

#include "plugins/common/commy-defence.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S 1000000000ll
/* Without futex_waitv a parked caller cannot see its kick word while it sleeps on the peer's. */
#define FALLBACK_SLICE_NS 1000000ll

/* The thread sanitizer does not follow fences, and its compiler says so; it follows everything
 * else, and no data is handed over by a fence alone. */
#if defined(__SANITIZE_THREAD__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wtsan"
#endif

static inline void
full_fence (void)
{
  __atomic_thread_fence (__ATOMIC_SEQ_CST);
}

void
shm_bell_init (ShmBell *self, ShmHeader *own, const ShmHeader *peer, int socket_fd)
{
  *self = (ShmBell){ .own = own, .peer = peer, .socket_fd = socket_fd };
}

void
shm_bell_announce (ShmBell *self, uint32_t how)
{
  self->epoch++;
  __atomic_store_n (&self->own->state, self->epoch << SHM_STATE_BITS | how, __ATOMIC_RELAXED);
  full_fence ();
}

void
shm_bell_awake (ShmBell *self)
{
  __atomic_store_n (&self->own->state, SHM_STATE_AWAKE, __ATOMIC_RELAXED);
}

const uint32_t *
shm_tail_word (const ShmHeader *header)
{
  const uint32_t *halves = (const uint32_t *) (const void *) &header->tail;

  return halves + (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 1 : 0);
}

/* Whether a thread slept and was woken. One that announced itself may not sleep yet. */
static bool
wake_parked (const ShmBell *self)
{
  return syscall (SYS_futex, shm_tail_word (self->own), FUTEX_WAKE, 1, NULL, NULL, 0) > 0;
}

/* Whether the peer finds something in its socket, this byte or earlier ones. */
static bool
send_byte (const ShmBell *self)
{
  static const char byte = 'w';
  const int flags = COMMY_DEFENCE (11, true) ? MSG_DONTWAIT | MSG_NOSIGNAL : MSG_NOSIGNAL;
  ssize_t sent;

  do
    sent = send (self->socket_fd, &byte, 1, flags);
  while (sent < 0 && errno == EINTR);
  return sent >= 0 || (errno != ENOBUFS && errno != ENOMEM);
}

/* Once for an announcement, but only what reached the sleeper counts. A byte waits in the socket;
 * a futex wakes nobody who is still on the way to it. That one may have looked at the tail when
 * this very publication stood there already, and sleeps until the next one wakes it. */
static void
answer (ShmBell *self, uint32_t state)
{
  bool reached = true;

  if ((state & SHM_STATE_FUTEX) != 0)
    reached = wake_parked (self);
  if ((state & SHM_STATE_SOCKET) != 0)
    reached = send_byte (self);
  if (reached)
    self->last_rung = state;
}

void
shm_bell_ring (ShmBell *self, uint32_t reason)
{
  uint32_t state;

  full_fence ();
  state = __atomic_load_n (&self->peer->state, __ATOMIC_RELAXED);
  if ((state & reason) != 0 && state != self->last_rung)
    answer (self, state);
}

int64_t
shm_now_ns (void)
{
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC, &now);
  return now.tv_sec * NS_PER_S + now.tv_nsec;
}

#ifdef SYS_futex_waitv
/* The core may wake its own word as a shared or as a private futex; both are listened to. */
static long
wait_words (const uint32_t *peer_word,
            uint32_t peer_seen,
            const uint32_t *kick_word,
            uint32_t kick_seen,
            int64_t deadline_ns)
{
  struct timespec deadline
      = { .tv_sec = deadline_ns / NS_PER_S, .tv_nsec = deadline_ns % NS_PER_S };
  struct futex_waitv words[3] = {
    { .val = peer_seen, .uaddr = (uintptr_t) peer_word, .flags = FUTEX_32 },
    { .val = kick_seen, .uaddr = (uintptr_t) kick_word, .flags = FUTEX_32 },
    { .val = kick_seen, .uaddr = (uintptr_t) kick_word, .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG },
  };

  return syscall (SYS_futex_waitv, words, 3, 0, &deadline, CLOCK_MONOTONIC);
}
#else
static long
wait_words (const uint32_t *peer_word,
            uint32_t peer_seen,
            const uint32_t *kick_word,
            uint32_t kick_seen,
            int64_t deadline_ns)
{
  errno = ENOSYS;
  return -1;
}
#endif

static void
wait_slice (const uint32_t *peer_word, uint32_t peer_seen, int64_t deadline_ns)
{
  int64_t left = deadline_ns - shm_now_ns ();
  struct timespec slice = { 0 };

  if (left <= 0)
    return;
  slice.tv_nsec = left < FALLBACK_SLICE_NS ? left : FALLBACK_SLICE_NS;
  syscall (SYS_futex, peer_word, FUTEX_WAIT, peer_seen, &slice, NULL, 0);
}

ShmPark
shm_park (const uint32_t *peer_word,
          uint32_t peer_seen,
          const uint32_t *kick_word,
          uint32_t kick_seen,
          int64_t deadline_ns,
          ShmParkMode mode)
{
  if (__atomic_load_n (kick_word, __ATOMIC_ACQUIRE) != kick_seen)
    return SHM_PARK_KICKED;
  if (mode == SHM_PARK_WITHOUT_WAITV
      || (wait_words (peer_word, peer_seen, kick_word, kick_seen, deadline_ns) < 0
          && errno == ENOSYS))
    wait_slice (peer_word, peer_seen, deadline_ns);
  if (__atomic_load_n (kick_word, __ATOMIC_ACQUIRE) != kick_seen)
    return SHM_PARK_KICKED;
  return shm_now_ns () >= deadline_ns ? SHM_PARK_TIMEOUT : SHM_PARK_WOKEN;
}
