/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How much of the trains may be on its way at a time: enough to keep the path busy, and not
 * more, because what is on its way lies ahead of every small message. Rate and round trip are
 * estimated from acknowledgements as BBR does it (draft-cardwell-iccrg-bbr-congestion-control,
 * sections 4.1 and 4.2), with twice their product as the window. Pure: time is an argument.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define COMMY_WINDOW_MIN (64u << 10)
#define COMMY_WINDOW_MAX (16u << 20)
#define COMMY_WINDOW_PIECES 1024u /* on their way at a time */
/* After this time without a shorter round trip the path may have changed: it is emptied once. */
#define COMMY_WINDOW_RTT_AGE_NS INT64_C (10000000000)
/* The best rate of this many shortest round trips counts, and that of as many before. */
#define COMMY_WINDOW_RATE_TRIPS 16

typedef struct
{
  uint32_t sequence;
  uint32_t bytes;
  int64_t sent_ns;
  uint64_t delivered; /* state of the window when it was sent */
  int64_t delivered_ns;
  int64_t first_sent_ns;
} CommyWindowPiece;

typedef struct
{
  uint64_t in_flight;
  uint64_t delivered; /* bytes acknowledged so far */
  int64_t delivered_ns;
  int64_t first_sent_ns; /* when the piece was sent that was acknowledged last */
  int64_t rtt_ns;        /* shortest; 0: not known */
  int64_t rtt_at_ns;
  uint64_t rate[2]; /* bytes a second: best of this period and of the one before */
  int64_t period_ns;
  uint64_t floor; /* at least so much may be on its way; 0: COMMY_WINDOW_MIN */
  bool emptying;
  int64_t empty_ns; /* 0: not empty enough yet */
  uint32_t head, tail;
  CommyWindowPiece pieces[COMMY_WINDOW_PIECES];
} CommyWindow;

/* Zeroed memory is a window in which nothing is known. */

/* Bytes that may be on their way. */
uint64_t commy_window_size (const CommyWindow *window);
/* Whether a piece of @bytes may go. One piece always may. */
bool commy_window_has_room (const CommyWindow *window, uint64_t bytes);
/* A piece went; commy_window_has_room() said that it may. */
void commy_window_sent (CommyWindow *window, uint32_t sequence, uint32_t bytes, int64_t now_ns);
/* Whether @ack, which wraps, says that another piece arrived. */
bool commy_window_is_news (const CommyWindow *window, uint32_t ack);
/* Everything up to @ack has arrived. */
void commy_window_acked (CommyWindow *window, uint32_t ack, int64_t now_ns);
