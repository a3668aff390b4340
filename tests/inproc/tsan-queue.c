/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Two threads over one lane of the in-process transport, with sleeping and waking on both
 * ends. Without GLib, so that the thread sanitizer sees all of it; prints TAP by itself and
 * ignores its arguments. A lost wake-up shows as a test that does not end.
 */
#include "config.h"

#include "../../plugins/inproc/commy-inproc-lane.h"
#include "../../plugins/inproc/commy-inproc-sleeper.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define N_MESSAGES 40000u
#define LENGTH 8u

typedef struct
{
  InprocLane lane;
  InprocSleeper sender;
  InprocSleeper receiver;
  bool parks;  /* the receiver parks in the futex */
  bool batch;  /* the sender publishes every third message */
  bool borrow; /* the receiver gives back the newer of two messages first */
  uint32_t kick;
  uint32_t received;
  uint32_t wrong;
  uint32_t odd; /* messages that were not what was sent when the sender looked at them again */
} Trial;

static void
sleep_in_poll (InprocSleeper *sleeper)
{
  struct pollfd bed = { .fd = sleeper->fd, .events = POLLIN };

  poll (&bed, 1, -1);
}

static void
publish (Trial *trial)
{
  if (inproc_lane_publish (&trial->lane))
    inproc_sleeper_wake (&trial->receiver, INPROC_WANTS_READ);
}

static size_t
size_of (uint32_t number)
{
  return sizeof number + number % 200;
}

static void
look_again (void *data, const uint8_t *bytes, size_t size)
{
  Trial *trial = data;
  uint32_t number;

  memcpy (&number, bytes, sizeof number);
  trial->odd
      += size != size_of (number) || (number % 200 != 0 && bytes[size - 1] != (number & 0xff));
}

static void *
send_all (void *data)
{
  Trial *trial = data;

  for (uint32_t number = 0; number < N_MESSAGES;)
    {
      InprocBuffer *buffer = NULL;

      if (inproc_lane_reserve (&trial->lane, size_of (number), &buffer) == INPROC_LANE_OK)
        {
          memcpy (buffer->data, &number, sizeof number);
          memset (buffer->data + sizeof number, (int) (number & 0xff), number % 200);
          inproc_lane_commit (&trial->lane, size_of (number));
          number++;
          if (!trial->batch || number % 3 == 0)
            publish (trial);
          continue;
        }
      publish (trial);
      inproc_lane_each_not_taken (&trial->lane, look_again, trial);
      inproc_sleeper_announce (&trial->sender, INPROC_WANTS_WRITE);
      if (!inproc_lane_has_room (&trial->lane))
        sleep_in_poll (&trial->sender);
      inproc_sleeper_awake (&trial->sender);
    }
  publish (trial);
  return NULL;
}

static void
check (Trial *trial, const InprocBuffer *buffer)
{
  uint32_t number;

  memcpy (&number, buffer->data, sizeof number);
  if (number != trial->received || buffer->size != size_of (number))
    trial->wrong++;
  for (size_t i = sizeof number; i < buffer->size; i++)
    if (buffer->data[i] != (number & 0xff))
      trial->wrong++;
  trial->received++;
}

static void
give_back (Trial *trial, InprocBuffer *buffer)
{
  if (buffer == NULL)
    return;
  inproc_lane_give_back (&trial->lane, buffer);
  inproc_sleeper_wake (&trial->sender, INPROC_WANTS_WRITE);
}

static void
await_message (Trial *trial)
{
  uint32_t parked = trial->parks ? INPROC_PARKED : 0;

  inproc_sleeper_announce (&trial->receiver, INPROC_WANTS_READ | parked);
  if (!inproc_lane_has_message (&trial->lane))
    {
      if (!trial->parks)
        sleep_in_poll (&trial->receiver);
      else
        inproc_sleeper_park (&trial->receiver, INPROC_WANTS_READ, &trial->kick, 0, INT64_MAX);
    }
  inproc_sleeper_awake (&trial->receiver);
}

static void *
receive_all (void *data)
{
  Trial *trial = data;
  InprocBuffer *kept = NULL;

  while (trial->received < N_MESSAGES)
    {
      InprocBuffer *buffer = inproc_lane_take (&trial->lane);

      if (buffer == NULL)
        {
          await_message (trial);
          continue;
        }
      check (trial, buffer);
      if (trial->borrow && kept == NULL)
        {
          kept = buffer;
          continue;
        }
      give_back (trial, buffer);
      give_back (trial, kept);
      kept = NULL;
    }
  give_back (trial, kept);
  return NULL;
}

static bool
run (unsigned number, const char *name, Trial *trial)
{
  pthread_t threads[2];
  bool good = inproc_lane_init (&trial->lane, LENGTH, 4096, 4096)
              && inproc_sleeper_init (&trial->sender) && inproc_sleeper_init (&trial->receiver);

  if (good)
    {
      pthread_create (&threads[0], NULL, send_all, trial);
      pthread_create (&threads[1], NULL, receive_all, trial);
      pthread_join (threads[0], NULL);
      pthread_join (threads[1], NULL);
      good = trial->wrong == 0 && trial->odd == 0 && trial->received == N_MESSAGES;
      inproc_lane_drop_unsent (&trial->lane);
      good = good && trial->lane.n_away == 0 && trial->lane.away_bytes == 0;
    }
  inproc_lane_deinit (&trial->lane);
  inproc_sleeper_deinit (&trial->sender);
  inproc_sleeper_deinit (&trial->receiver);
  printf ("%sok %u - /inproc/queue/%s\n", good ? "" : "not ", number, name);
  return good;
}

int
main (void)
{
  static const struct
  {
    const char *name;
    bool parks, batch, borrow;
  } cases[] = {
    { "poller-gets-all-in-order", false, false, false },
    { "parker-gets-all-in-order", true, false, false },
    { "batches-arrive-whole", false, true, false },
    { "out-of-order-release-loses-nothing", true, true, true },
  };
  unsigned n_cases = sizeof cases / sizeof cases[0];
  bool good = true;

  printf ("1..%u\n", n_cases);
  for (unsigned i = 0; i < n_cases; i++)
    {
      _Alignas(64) Trial trial
          = { .parks = cases[i].parks, .batch = cases[i].batch, .borrow = cases[i].borrow };

      good = run (i + 1, cases[i].name, &trial) && good;
    }
  return good ? 0 : 1;
}
