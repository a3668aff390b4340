/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The estimate behind the window of trains: shortest round trip, best rate, what is on its way.
 */
#include "config.h"

#include "channel/commy-window.h"

#define NS_PER_S UINT64_C (1000000000)

static const CommyWindowPiece *
oldest (const CommyWindow *self)
{
  return &self->pieces[self->tail % COMMY_WINDOW_PIECES];
}

uint64_t
commy_window_size (const CommyWindow *self)
{
  uint64_t rate = self->rate[0] > self->rate[1] ? self->rate[0] : self->rate[1];
  double size = 2.0 * (double) rate * (double) self->rtt_ns / (double) NS_PER_S;

  if (self->emptying)
    return COMMY_WINDOW_MIN;
  if (size < (double) self->floor)
    return self->floor;
  if (size < COMMY_WINDOW_MIN)
    return COMMY_WINDOW_MIN;
  return size > COMMY_WINDOW_MAX ? COMMY_WINDOW_MAX : (uint64_t) size;
}

bool
commy_window_has_room (const CommyWindow *self, uint64_t bytes)
{
  if (self->head - self->tail >= COMMY_WINDOW_PIECES)
    return false;
  return self->in_flight == 0 || self->in_flight + bytes <= commy_window_size (self);
}

void
commy_window_sent (CommyWindow *self, uint32_t sequence, uint32_t bytes, int64_t now_ns)
{
  CommyWindowPiece *piece = &self->pieces[self->head % COMMY_WINDOW_PIECES];

  if (self->head - self->tail >= COMMY_WINDOW_PIECES)
    return; /* only at the end of a channel, when nobody asks any more */
  if (self->head == self->tail)
    self->first_sent_ns = self->delivered_ns = now_ns; /* a rest says nothing about the path */
  *piece = (CommyWindowPiece){ .sequence = sequence,
                               .bytes = bytes,
                               .sent_ns = now_ns,
                               .delivered = self->delivered,
                               .delivered_ns = self->delivered_ns,
                               .first_sent_ns = self->first_sent_ns };
  self->in_flight += bytes;
  self->head++;
}

bool
commy_window_is_news (const CommyWindow *self, uint32_t ack)
{
  return self->head != self->tail && (int32_t) (ack - oldest (self)->sequence) >= 0;
}

static void
learn_rtt (CommyWindow *self, const CommyWindowPiece *piece, int64_t now_ns)
{
  int64_t rtt_ns = now_ns - piece->sent_ns > 1 ? now_ns - piece->sent_ns : 1;
  bool emptied = self->emptying && self->empty_ns != 0 && piece->sent_ns >= self->empty_ns;

  if (self->rtt_ns == 0 || rtt_ns <= self->rtt_ns || emptied)
    {
      self->rtt_ns = rtt_ns;
      self->rtt_at_ns = now_ns;
      self->emptying = false;
    }
  else if (!self->emptying && now_ns - self->rtt_at_ns > COMMY_WINDOW_RTT_AGE_NS)
    {
      self->emptying = true;
      self->empty_ns = 0;
    }
  if (self->emptying && self->empty_ns == 0 && self->in_flight <= COMMY_WINDOW_MIN)
    self->empty_ns = now_ns;
}

/* The slower of how fast it was sent and how fast it was acknowledged: acknowledgements that
 * come in a bundle look faster than the path is. */
static void
learn_rate (CommyWindow *self, const CommyWindowPiece *piece, int64_t now_ns)
{
  int64_t sending_ns = piece->sent_ns - piece->first_sent_ns;
  int64_t arriving_ns = now_ns - piece->delivered_ns;
  int64_t took_ns = sending_ns > arriving_ns ? sending_ns : arriving_ns;
  uint64_t bytes = self->delivered - piece->delivered;
  uint64_t rate;

  if (took_ns <= 0)
    return;
  rate = (uint64_t) ((double) bytes * (double) NS_PER_S / (double) took_ns);
  if (now_ns - self->period_ns > COMMY_WINDOW_RATE_TRIPS * self->rtt_ns)
    {
      self->period_ns = now_ns;
      self->rate[1] = self->rate[0];
      self->rate[0] = 0;
    }
  if (rate > self->rate[0])
    self->rate[0] = rate;
}

void
commy_window_acked (CommyWindow *self, uint32_t ack, int64_t now_ns)
{
  CommyWindowPiece last;

  if (!commy_window_is_news (self, ack))
    return;
  do
    {
      last = *oldest (self);
      self->in_flight -= last.bytes;
      self->delivered += last.bytes;
      self->tail++;
    }
  while (commy_window_is_news (self, ack));
  if (self->head == self->tail)
    self->head = self->tail = 0; /* what is used rarely takes few pages */
  self->delivered_ns = now_ns;
  self->first_sent_ns = last.sent_ns;
  learn_rtt (self, &last, now_ns);
  learn_rate (self, &last, now_ns);
}
