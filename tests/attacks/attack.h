/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the attacks on shared memory share: how one ends, and the parts of a peer that is up to no
 * good. Each attack runs in a process of its own, the victim, which forks its hostile peer.
 */
#pragma once

#include "plugins/shm/commy-link.h"
#include "tests/shm/shm-host.h"

#include <fcntl.h>
#include <glib.h>
#include <sys/types.h>

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

/* How an attack ends, as the exit status of the victim. */
typedef enum
{
  ATTACK_REPELLED = 0,
  ATTACK_WRONG = 10,  /* bytes changed, or came that nobody sent */
  ATTACK_LEAK = 11,   /* descriptors, maps or memory stayed with the victim */
  ATTACK_DENIED = 12, /* somebody else was not served */
  ATTACK_CRASH = 13,  /* never returned: the process died */
  ATTACK_HANG = 14,   /* never returned: the watchdog ended it */
  ATTACK_NOT_HERE = 77,
} AttackEnd;

typedef struct
{
  int number; /* of the table in docs/guide/security.md, and of the defence */
  const char *name;
  AttackEnd (*run) (void);
  AttackEnd without; /* how it ends without the defence */
} Attack;

/* Prints why, and ends as not possible here. */
AttackEnd attack_not_here (const char *why);
/* How often something is tried; COMMY_TEST_COUNT, for longer runs than CI's, replaces @usual. */
guint attack_count (guint usual);

AttackEnd attack_truncation (void);
AttackEnd attack_no_memory (void);
AttackEnd attack_writing (void);
AttackEnd attack_holes (void);
AttackEnd attack_sparse (void);
AttackEnd attack_double_fetch (void);
AttackEnd attack_records (void);
AttackEnd attack_positions (void);
AttackEnd attack_later_changes (void);
AttackEnd attack_neighbours (void);
AttackEnd attack_doorbell (void);
AttackEnd attack_descriptors (void);
AttackEnd attack_lingering (void);
AttackEnd attack_zombie (void);
AttackEnd attack_squatting (void);
AttackEnd attack_inheritance (void);
AttackEnd attack_flood (void);
AttackEnd attack_maps (void);
/* Not of the table: changes bytes of its memory at random while it is read. */
AttackEnd attack_mutator (void);

/* --- the victim --- */

typedef struct
{
  char *directory;
  ShmTestHost *host;
} Victim;

/* Listens where every user can knock. */
void victim_open (Victim *victim);
/* The same with parameters of the plugin: "name=value;...". */
void victim_open_with (Victim *victim, const char *params);
void victim_close (Victim *victim);
/* Waits for the next one at the door: a connection, or NULL if its set-up failed. */
gpointer victim_let_in (Victim *victim);

/* --- the hostile process --- */

#define HOSTILE_USER 54321 /* users that nobody is */
#define BYSTANDER_USER 54322
#define HOSTILE_RING 16384u
#define HOSTILE_ARENA (1u << 20)
#define HOSTILE_INLINE 2048u

typedef struct
{
  pid_t pid;
  int control; /* a line to the other process, for both */
} Hostile;

typedef void (*HostilePlay) (int control, gconstpointer data);

/* Forks a process that plays with all defences up in its own code, and ends. */
Hostile hostile_start (HostilePlay play, gconstpointer data);
/* Kills it. */
void hostile_end (Hostile *hostile);
void hostile_say (int control, char word);
/* The next word. Without one the other side is gone: ends the process. */
char hostile_hear (int control);
/* Becomes another user where that is possible. */
void hostile_become (uid_t user);

/* --- its half of a connection --- */

typedef struct
{
  int socket_fd;
  int own_fd;
  guint8 *own; /* HEADER and ring, writable */
  int their_fd;
  const guint8 *theirs;
  ShmProducer tx;
} HostilePeer;

typedef struct
{
  guint64 magic;
  guint32 layout;
  guint32 layout_min;
  guint64 ring_size;
  guint64 arena_max;
  guint32 max_inline;
  guint32 reserved;
} HostileHello;

extern const HostileHello hostile_hello;

#define HOSTILE_BYTES (SHM_HEADER_BYTES + HOSTILE_RING)
#define HOSTILE_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL)

/* Memory that is right but for @seals, and for its pages if not @full. The descriptor. */
int hostile_memory (gboolean full, int seals, guint8 **out_data);
/* What the first page must begin with. */
void hostile_fill_header (guint8 *data);
int hostile_knock (const char *address);
/* A set-up with this memory. FALSE: the victim refused. */
gboolean hostile_connect (HostilePeer *self, const char *address, int own_fd, guint8 *own);
/* The same with memory that is right in every way. */
void hostile_connect_well (HostilePeer *self, const char *address);
void hostile_disconnect (HostilePeer *self);
void hostile_send_fds (int socket_fd, gconstpointer data, gsize size, const int *fds, guint n);
