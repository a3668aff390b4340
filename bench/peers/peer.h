/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the programs that measure a peer share: one command line, two processes on two processors,
 * the clock around each round trip, the count of a stream, and the one line of JSON that comes out.
 * A peer is a table of functions; everything that decides about the figures is here, once. Plain C
 * without GLib, because C, C++ and Rust use it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PEER_MAX_SIZE ((size_t) 64 << 20)

/* One measurement, the same in both processes; each has its own copy of the counters. */
typedef struct
{
  const char *transport;
  const char *dir;    /* a folder of this run, removed at its end */
  char *address;      /* what serve() leaves for connect(): PEER_ADDRESS_SIZE bytes, shared */
  size_t size;        /* bytes of a message */
  double seconds;     /* how long to measure, warm-up not counted */
  int cpus[2];        /* of the client or producer, of the server or consumer */
  uint8_t sent, seen; /* of this process: what the next touched message is filled with */
  bool stream;        /* messages one way */
  bool pipelined;     /* PEER_UNDER_WAY calls at a time; neither: round trips */
  bool spin;          /* else: the waiting side sleeps */
  bool touch;         /* the sender writes every byte, the receiver reads every byte */
} PeerRun;

#define PEER_ADDRESS_SIZE 4096
#define PEER_UNDER_WAY 64u

/* What a peer is. The first word of a list is what is taken where none is said; each end lives in a
 * process of its own, with the library's threads on the same processor. */
typedef struct
{
  const char *name;
  const char *(*version) (void);
  const char *transports; /* words: those named "...-rr" have no stream */
  const char *waits;      /* words: of spin and block */
  bool ends_itself;       /* looks at peer_over() and cleans up; the others are ended by a signal */

  /* A sentence that says why this cannot be measured, or NULL. May be NULL. */
  const char *(*why_not) (const PeerRun *run);
  /* In the parent, before both ends: starts a daemon with peer_spawn(). May be NULL. */
  void (*before) (PeerRun *run);
  /* In the parent, when both ends are gone: removes what they left elsewhere. May be NULL. */
  void (*after) (PeerRun *run);
  /* The server: can be reached when this returns. */
  void *(*serve) (PeerRun *run);
  /* The client: connected when this returns. */
  void *(*connect) (PeerRun *run);
  void (*exchange) (void *end);    /* the client: one round trip; NULL: produce() and consume() */
  void (*echo) (void *end);        /* the server: one answer, or a turn of its loop */
  void (*produce) (void *end);     /* the client: one message */
  uint64_t (*consume) (void *end); /* the server: how many messages came, at least one */
  /* The client: keeps PEER_UNDER_WAY calls under way, untouched ones, until some were answered; how
   * many. NULL: the peer has no asynchronous calls. */
  uint64_t (*pipeline) (void *end);
  void (*close) (void *end); /* where ends_itself */
} Peer;

/* What main() returns. */
int peer_main (const Peer *peer, int argc, char **argv);

/* Whether this run's pattern is request and response: its transport is named "...-rr". */
bool peer_is_request (const PeerRun *run);
/* The transport without "-rr". */
bool peer_is_over (const PeerRun *run, const char *transport);
/* Whether the measurement is done. */
bool peer_over (void);

/* Where PeerRun's last member lies, and how large a Peer is: for peers that repeat both in another
 * language and are to notice when they differ. */
void peer_layout (size_t *out_last, size_t *out_size);
/* Ends the process: measurement failed. */
void peer_fail (const char *format, ...) __attribute__ ((format (printf, 1, 2), noreturn));
/* Starts a daemon that ends with this program, unpinned, its output in DIR/daemon.log. */
void peer_spawn (const PeerRun *run, const char *const *argv);
/* A TCP port of the loopback that nobody uses now. */
int peer_free_port (void);
/* How many messages of this size fit @bytes: between 2 and @most. */
unsigned peer_depth (const PeerRun *run, size_t bytes, unsigned most);
int64_t peer_now (void);

/* The sender's and the receiver's part of "touched": fills, and reads every byte and compares it
 * with what must be there. Where nothing is touched only the size is compared. */
void peer_fill (PeerRun *run, void *message);
void peer_check (PeerRun *run, const void *message, size_t size);
