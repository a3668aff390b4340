/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The two sides of fuzz-segment: one that is attacked, and one that has everything a correct
 * peer has and, besides, writes what the input says wherever it may write. What is checked on
 * the attacked side after every step is here, too.
 */
#pragma once

#include "plugins/shm/commy-handshake.h"

#define SEGMENT_HELD 24
/* Kinds of descriptors: none, and the first of those that are not in every input. */
#define SEGMENT_NO_FD 1u
#define SEGMENT_RARE_FDS 8u

/* The fuzzer's bytes; at their end everything is zero. */
typedef struct
{
  const uint8_t *at;
  size_t left;
} SegmentInput;

uint64_t segment_input_take (SegmentInput *self, unsigned bytes);

/* A side of the link and what it took and did not give back. */
typedef struct
{
  ShmLink link;
  ShmMessage held[SEGMENT_HELD];
  uint32_t number[SEGMENT_HELD]; /* of each, as its sender counts */
  unsigned n_held;
  uint32_t n_sent;
  uint32_t n_taken;
  uint64_t cursor; /* as this side published it last */
  uint64_t stale;  /* a token that was given back */
  bool is_open;    /* a message is being written */
  uint64_t open_size;
} SegmentSide;

typedef struct
{
  SegmentInput input;
  SegmentSide victim;
  SegmentSide peer;
  ShmPeers peers;
  ShmHandshake handshake;
  CommyHost host;
  CommyHostFdFunc on_readable; /* NULL: nobody watches */
  gpointer readable_data;
  ShmShape peer_shape;
  unsigned meeting; /* how the peer behaves in the handshake; 0: as it must */
  bool little;      /* room in the sockets */
  bool opened;      /* the victim's handshake ended well */
  bool ended;       /* or ended */
  bool honest;      /* until the peer did what a correct one does not */
} Segment;

void segment_check (bool ok, const char *what);
#define SEGMENT_CHECK(condition) segment_check (condition, #condition)

/* segment-meet.c: the door's socket, both hellos and proofs. Whether there is a link. */
bool segment_meet (Segment *self);
void segment_part (Segment *self);
/* A packet to the victim with a descriptor of the kind that the input says. */
void segment_send_packet (Segment *self, const void *data, size_t size, unsigned kind);

/* segment-steps.c: one step, of either side. */
void segment_step (Segment *self);

/* How many maps there are that were made here. */
int segment_count_maps (void);
