/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sleeping and waking: an eventfd for pollers, futex_waitv() for those who park on their own
 * word and on the core's kick word at once.
 */
#include "config.h"

#include "commy-inproc-sleeper.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

bool
inproc_sleeper_init (InprocSleeper *sleeper)
{
  sleeper->fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  return sleeper->fd >= 0;
}

void
inproc_sleeper_deinit (InprocSleeper *sleeper)
{
  if (sleeper->fd >= 0)
    close (sleeper->fd);
  sleeper->fd = -1;
}

/* Takes the announcement back. If the other side was first, the bell rings or is about to. */
void
inproc_sleeper_awake (InprocSleeper *sleeper)
{
  if (!sleeper->armed)
    return;
  sleeper->armed = false;
  if (atomic_exchange (&sleeper->word, 0) == 0)
    sleeper->rung = true;
}

void
inproc_sleeper_announce (InprocSleeper *sleeper, uint32_t wants)
{
  uint64_t count;

  inproc_sleeper_awake (sleeper);
  /* Nothing to read means that the ringing is still to come: it will wake somebody for
   * nothing, once, and is cleared then. */
  if (sleeper->rung && read (sleeper->fd, &count, sizeof count) == (ssize_t) sizeof count)
    sleeper->rung = false;
  sleeper->armed = true;
  atomic_exchange (&sleeper->word, wants);
}

void
inproc_sleeper_wake (InprocSleeper *sleeper, uint32_t reasons)
{
  const uint64_t one = 1;
  uint32_t word;

  if ((atomic_load (&sleeper->word) & reasons) == 0)
    return;
  word = atomic_exchange (&sleeper->word, 0);
  if ((word & INPROC_PARKED) != 0)
    syscall (SYS_futex, &sleeper->word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
  else if (word != 0 && write (sleeper->fd, &one, sizeof one) < 0)
    return; /* only a bell that was rung 2^64 - 2 times refuses: it rings */
}

InprocPark
inproc_sleeper_park (InprocSleeper *sleeper,
                     uint32_t wants,
                     const uint32_t *kick_word,
                     uint32_t kick_seen,
                     int64_t deadline_ns)
{
  /* Whoever kicks may use a private or a shared wake-up; the kernel keeps them apart. */
  const struct futex_waitv waiters[] = {
    { .val = wants | INPROC_PARKED,
      .uaddr = (uintptr_t) &sleeper->word,
      .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG },
    { .val = kick_seen, .uaddr = (uintptr_t) kick_word, .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG },
    { .val = kick_seen, .uaddr = (uintptr_t) kick_word, .flags = FUTEX_32 },
  };
  struct timespec deadline = { deadline_ns / 1000000000, deadline_ns % 1000000000 };
  long result;

  result = syscall (SYS_futex_waitv, waiters, sizeof waiters / sizeof waiters[0], 0,
                    deadline_ns == INT64_MAX ? NULL : &deadline, CLOCK_MONOTONIC);
  if (result >= 0 || errno == EAGAIN || errno == EINTR)
    return INPROC_PARK_LOOK;
  return errno == ETIMEDOUT ? INPROC_PARK_TIMEOUT : INPROC_PARK_UNSUPPORTED;
}
