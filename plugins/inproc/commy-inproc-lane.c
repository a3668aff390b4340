/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The queue of buffers of one direction. Every operation belongs to one side; what crosses
 * are the two published heads. They are stored and loaded sequentially consistent, because a
 * side that falls asleep and a side that publishes must not both miss the other
 * (see commy-inproc-sleeper.h).
 */
#include "config.h"

#include "commy-inproc-lane.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static size_t
room_of_class (uint32_t class)
{
  return (size_t) 1 << (class + INPROC_LANE_MIN_SHIFT);
}

static uint32_t
class_of_size (size_t size)
{
  uint32_t class = 0;

  while (room_of_class (class) < size)
    class ++;
  return class;
}

bool
inproc_lane_init (InprocLane *lane, uint32_t length, size_t max_message, size_t max_bytes)
{
  size_t room = room_of_class (class_of_size (max_message));

  lane->length = 2;
  while (lane->length < length && lane->length < INPROC_LANE_MAX_LENGTH)
    lane->length *= 2;
  lane->max_message = max_message;
  lane->max_bytes = max_bytes < room ? room : max_bytes;
  lane->sent = calloc (lane->length, sizeof (InprocBuffer *));
  lane->returned = calloc (lane->length, sizeof (InprocBuffer *));
  return lane->sent != NULL && lane->returned != NULL;
}

/* Closes what nobody took. */
static void
drop_handles (InprocBuffer *buffer)
{
  for (uint32_t i = 0; i < buffer->n_handles; i++)
    close (buffer->handles[i]);
  free (buffer->handles);
  buffer->handles = NULL;
  buffer->n_handles = 0;
}

static void
free_buffer (InprocBuffer *buffer)
{
  if (buffer != NULL && buffer->n_handles > 0)
    drop_handles (buffer);
  free (buffer);
}

static void
free_pool (InprocLane *lane)
{
  for (uint32_t class = 0; class < INPROC_LANE_CLASSES; class ++)
    while (lane->pool[class] != NULL)
      {
        InprocBuffer *buffer = lane->pool[class];

        lane->pool[class] = buffer->next;
        free (buffer);
      }
  lane->pool_bytes = 0;
}

void
inproc_lane_deinit (InprocLane *lane)
{
  uint32_t sent_head = atomic_load (&lane->sent_head);
  uint32_t returned_head = atomic_load (&lane->returned_head);

  for (uint32_t i = atomic_load (&lane->sent_tail); i != sent_head; i++)
    free_buffer (lane->sent[i & (lane->length - 1)]);
  for (uint32_t i = lane->returned_tail; i != returned_head; i++)
    free (lane->returned[i & (lane->length - 1)]);
  free_pool (lane);
  free_buffer (lane->reserved);
  free (lane->sent);
  free (lane->returned);
}

static void
to_pool (InprocLane *lane, InprocBuffer *buffer)
{
  buffer->next = lane->pool[buffer->class];
  lane->pool[buffer->class] = buffer;
  lane->pool_bytes += room_of_class (buffer->class);
}

static void
come_home (InprocLane *lane, InprocBuffer *buffer)
{
  if (buffer->n_handles > 0)
    drop_handles (buffer);
  lane->n_away--;
  lane->away_bytes -= room_of_class (buffer->class);
  to_pool (lane, buffer);
}

static void
collect (InprocLane *lane)
{
  uint32_t head = atomic_load (&lane->returned_head);

  while (lane->returned_tail != head)
    come_home (lane, lane->returned[lane->returned_tail++ & (lane->length - 1)]);
}

static bool
fits (const InprocLane *lane, size_t size)
{
  return lane->n_away < lane->length
         && lane->away_bytes + room_of_class (class_of_size (size)) <= lane->max_bytes;
}

static void
unreserve (InprocLane *lane)
{
  InprocBuffer *buffer = lane->reserved;

  lane->reserved = NULL;
  if (buffer != NULL)
    come_home (lane, buffer);
}

static InprocBuffer *
from_pool (InprocLane *lane, uint32_t class)
{
  InprocBuffer *buffer = lane->pool[class];

  if (buffer != NULL)
    {
      lane->pool[class] = buffer->next;
      lane->pool_bytes -= room_of_class (class);
      return buffer;
    }

  /* The limit counts what is pooled too: a change of sizes must not double the memory. */
  if (lane->away_bytes + lane->pool_bytes + room_of_class (class) > lane->max_bytes)
    free_pool (lane);
  buffer = malloc (sizeof (InprocBuffer) + room_of_class (class));
  if (buffer != NULL)
    *buffer = (InprocBuffer){ .class = class };
  return buffer;
}

InprocLaneResult
inproc_lane_reserve (InprocLane *lane, size_t size, InprocBuffer **out_buffer)
{
  InprocBuffer *buffer;
  uint32_t class;

  unreserve (lane);
  if (size > lane->max_message)
    return INPROC_LANE_TOO_BIG;
  class = class_of_size (size);
  if (!fits (lane, size) || lane->pool[class] == NULL)
    collect (lane);
  if (!fits (lane, size))
    {
      lane->wanted = size;
      return INPROC_LANE_FULL;
    }
  buffer = from_pool (lane, class);
  if (buffer == NULL)
    return INPROC_LANE_NO_MEMORY;

  buffer->size = size;
  lane->wanted = 0;
  lane->n_away++;
  lane->away_bytes += room_of_class (class);
  lane->reserved = buffer;
  *out_buffer = buffer;
  return INPROC_LANE_OK;
}

bool
inproc_lane_attach (InprocLane *lane, const int *fds, uint32_t n)
{
  InprocBuffer *buffer = lane->reserved;

  buffer->handles = malloc (n * sizeof *fds);
  if (buffer->handles == NULL)
    return false;
  memcpy (buffer->handles, fds, n * sizeof *fds);
  buffer->n_handles = n;
  return true;
}

void
inproc_lane_commit (InprocLane *lane, size_t used)
{
  InprocBuffer *buffer = lane->reserved;

  if (buffer == NULL)
    return;
  if (used == 0)
    {
      unreserve (lane);
      return;
    }
  if (used < buffer->size)
    buffer->size = used;
  lane->reserved = NULL;
  lane->sent[lane->sent_next++ & (lane->length - 1)] = buffer;
}

bool
inproc_lane_publish (InprocLane *lane)
{
  if (atomic_load_explicit (&lane->sent_head, memory_order_relaxed) == lane->sent_next)
    return false;
  atomic_store (&lane->sent_head, lane->sent_next);
  return true;
}

bool
inproc_lane_has_room (InprocLane *lane)
{
  collect (lane);
  return fits (lane, lane->wanted > 0 ? lane->wanted : 1);
}

void
inproc_lane_drop_unsent (InprocLane *lane)
{
  uint32_t head = atomic_load (&lane->sent_head);

  unreserve (lane);
  while (lane->sent_next != head)
    come_home (lane, lane->sent[--lane->sent_next & (lane->length - 1)]);
  collect (lane);
  free_pool (lane);
}

/* What was taken comes back into the pool only by the sender, who is here: all of it stays. */
void
inproc_lane_each_not_taken (InprocLane *lane, InprocLaneFunc each, void *user_data)
{
  for (uint32_t i = atomic_load (&lane->sent_tail); i != lane->sent_next; i++)
    {
      const InprocBuffer *buffer = lane->sent[i & (lane->length - 1)];

      each (user_data, buffer->data, buffer->size);
    }
}

/* Only the receiver moves it. */
static uint32_t
own_tail (InprocLane *lane)
{
  return atomic_load_explicit (&lane->sent_tail, memory_order_relaxed);
}

bool
inproc_lane_has_message (InprocLane *lane)
{
  if (own_tail (lane) == lane->sent_seen)
    lane->sent_seen = atomic_load (&lane->sent_head);
  return own_tail (lane) != lane->sent_seen;
}

InprocBuffer *
inproc_lane_take (InprocLane *lane)
{
  uint32_t tail;

  if (!inproc_lane_has_message (lane))
    return NULL;
  tail = own_tail (lane);
  atomic_store_explicit (&lane->sent_tail, tail + 1, memory_order_release);
  return lane->sent[tail & (lane->length - 1)];
}

uint32_t
inproc_buffer_take_handles (InprocBuffer *buffer, int *out_fds, size_t max)
{
  uint32_t n = max < buffer->n_handles ? (uint32_t) max : buffer->n_handles;

  if (n == 0)
    return 0;
  memcpy (out_fds, buffer->handles, n * sizeof *out_fds);
  memmove (buffer->handles, buffer->handles + n, (buffer->n_handles - n) * sizeof *out_fds);
  buffer->n_handles -= n;
  if (buffer->n_handles == 0)
    drop_handles (buffer);
  return n;
}

void
inproc_lane_give_back (InprocLane *lane, InprocBuffer *buffer)
{
  uint32_t head = atomic_load_explicit (&lane->returned_head, memory_order_relaxed);

  if (buffer->n_handles > 0)
    drop_handles (buffer);
  lane->returned[head & (lane->length - 1)] = buffer;
  atomic_store (&lane->returned_head, head + 1);
}
