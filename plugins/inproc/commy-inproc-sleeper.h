/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How one side sleeps and the other wakes it: a word that says what the sleeper waits for,
 * and two beds: an eventfd for those who poll, a futex on the word for those who park.
 *
 * The rule against lost wake-ups: the sleeper announces itself, then looks once more; the
 * other side publishes, then looks at the announcement. All four are sequentially consistent,
 * so at least one sees the other. Plain C without GLib.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define INPROC_WANTS_READ 1u
#define INPROC_WANTS_WRITE 2u
#define INPROC_PARKED 4u /* in the futex; without it: in poll */

typedef struct
{
  _Alignas(64) _Atomic uint32_t word; /* what the sleeper waits for; 0 while it is awake */
  int fd;                             /* rung when it was awaited in poll */
  bool rung;                          /* sleeper's own: the bell may be ringing */
  bool armed;                         /* sleeper's own: announced, and maybe woken since */
} InprocSleeper;

typedef enum
{
  INPROC_PARK_LOOK, /* woken, or something changed: look again */
  INPROC_PARK_TIMEOUT,
  INPROC_PARK_UNSUPPORTED,
} InprocPark;

bool inproc_sleeper_init (InprocSleeper *sleeper);
void inproc_sleeper_deinit (InprocSleeper *sleeper);

/* The sleeper's side. */
void inproc_sleeper_announce (InprocSleeper *sleeper, uint32_t wants);
void inproc_sleeper_awake (InprocSleeper *sleeper);
InprocPark inproc_sleeper_park (InprocSleeper *sleeper,
                                uint32_t wants,
                                const uint32_t *kick_word,
                                uint32_t kick_seen,
                                int64_t deadline_ns);

/* The other side, after it published something. */
void inproc_sleeper_wake (InprocSleeper *sleeper, uint32_t reasons);
