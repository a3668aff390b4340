/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sleeping and waking across a connection: the state word in each side's header, the doorbell
 * and the parked caller. No GLib.
 *
 * A sleeper announces how it sleeps and for what, makes a full fence and looks again; the other
 * side publishes, makes a full fence and looks at the state. One of the two sees the other. Each
 * publication wakes until a sleeper was really reached; the rest of its nap costs nothing more.
 */
#pragma once

#include "commy-ring.h"

/* Bits of the state word; above them a number that grows with each announcement. */
#define SHM_STATE_AWAKE 0u
#define SHM_STATE_FUTEX 1u
#define SHM_STATE_SOCKET 2u
#define SHM_STATE_DATA 4u
#define SHM_STATE_ROOM 8u
#define SHM_STATE_BITS 4

typedef struct
{
  ShmHeader *own;
  const ShmHeader *peer;
  int socket_fd;
  uint32_t epoch;
  uint32_t last_rung; /* the peer's announcement whose sleeper was reached already */
} ShmBell;

typedef enum
{
  SHM_PARK_WOKEN, /* or for no reason: look again */
  SHM_PARK_KICKED,
  SHM_PARK_TIMEOUT,
} ShmPark;

/* How to park; anything but SHM_PARK_BEST is for tests. */
typedef enum
{
  SHM_PARK_BEST,
  SHM_PARK_WITHOUT_WAITV,
} ShmParkMode;

void shm_bell_init (ShmBell *self, ShmHeader *own, const ShmHeader *peer, int socket_fd);
/* "I sleep": @how is a mode with what is waited for. The caller looks again afterwards. */
void shm_bell_announce (ShmBell *self, uint32_t how);
void shm_bell_awake (ShmBell *self);
/* After a publication (@reason DATA) or a release (ROOM): fence, then wake a sleeper. */
void shm_bell_ring (ShmBell *self, uint32_t reason);

/* The low half of the peer's tail. */
const uint32_t *shm_tail_word (const ShmHeader *header);
/* Sleeps until *@peer_word differs from @peer_seen, *@kick_word from @kick_seen, or
 * CLOCK_MONOTONIC passes @deadline_ns. May return early. */
ShmPark shm_park (const uint32_t *peer_word,
                  uint32_t peer_seen,
                  const uint32_t *kick_word,
                  uint32_t kick_seen,
                  int64_t deadline_ns,
                  ShmParkMode mode);
int64_t shm_now_ns (void);
