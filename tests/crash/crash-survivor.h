/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the survivor does on a copy of the world in which the victim died at this very
 * instruction: it finds out, reads what was published, closes, and serves a fresh peer.
 */
#pragma once

#include "crash-side.h"

#define CRASH_PACKETS 512

/* What the victim put into the socket and the survivor has not read. */
typedef struct
{
  uint8_t bytes[32];
  size_t size;
  int fd; /* or -1 */
} CrashPacket;

typedef struct
{
  CrashSide *survivor;
  const CrashLedger *victim;
  int victim_pid;
  CrashPacket packets[CRASH_PACKETS];
  uint32_t n_packets;
  int dead_pidfd; /* of a process that died */
} CrashWorld;

typedef enum
{
  CRASH_HANG_UP = 0, /* death is told by the socket */
  CRASH_PIDFD = 1,   /* by the pidfd; a child keeps the socket */
  CRASH_BY_POLL = 0, /* found while arming */
  CRASH_BY_PARK = 2, /* found while parking */
} CrashHow;

/* Runs in a process of its own; whether all was right. What was not is in the survivor's fault.
 * The victim does not run meanwhile. */
bool crash_survivor_check (CrashWorld *world, unsigned how);
/* All of it in this process, and with the memory as it is: after the end. */
void crash_survivor_finish (CrashWorld *world);
/* Lets children of this process have the link's memory, which the product keeps from them. */
void crash_survivor_share (CrashSide *survivor);
