/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Two threads hammer the ring, the arena and the parking on memory that both see at one address,
 * so that the thread sanitizer sees every conflict. Plain C, so that nothing else disturbs it.
 */
#include "config.h"

#include "plugins/shm/commy-arena.h"
#include "plugins/shm/commy-ring.h"
#include "plugins/shm/commy-wait.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CAPACITY 4096u
/* A sanitizer makes each message many times as dear. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define MESSAGES 20000u
#else
#define MESSAGES 100000u
#endif
/* Then the other thread may need the processor. */
#define SPINS 200u
#define MAX_BIG 20000u
#define SEGMENTS 1024

typedef struct
{
  ShmHeader producer_header;
  ShmHeader consumer_header;
  uint8_t ring[CAPACITY];
} __attribute__ ((aligned (64))) Memory;

typedef struct
{
  Memory *memory;
  int parks;
  ShmParkMode mode;
  /* What the socket would carry: the writer's segments, published before their first record. */
  uint8_t *segments[SEGMENTS];
  uint64_t sizes[SEGMENTS];
  unsigned failures; /* the reader's */
  unsigned writer_failures;
} Scene;

static uint32_t
size_of (uint32_t i)
{
  uint32_t random = i * 2654435761u;

  return random % 8 == 0 ? 1000 + random / 8 % (MAX_BIG - 1000) : 16 + random / 8 % 700;
}

static uint8_t *
grow (void *user_data, uint32_t id, uint64_t size)
{
  Scene *scene = user_data;

  if (id >= SEGMENTS)
    return NULL;
  scene->sizes[id] = size;
  __atomic_store_n (&scene->segments[id], aligned_alloc (64, size), __ATOMIC_RELEASE);
  return scene->segments[id];
}

static bool
drop (void *user_data, uint32_t id, uint8_t *data, uint64_t size)
{
  free (data);
  return true;
}

static void
write_payload (uint8_t *data, uint32_t i, uint32_t size)
{
  memset (data, (uint8_t) i, size);
  memcpy (data, &i, sizeof i);
}

static bool
send_one (ShmProducer *producer, ShmArena *arena, uint32_t i)
{
  uint32_t size = size_of (i);
  uint8_t *data;
  uint32_t slot;
  ShmLoanRecord record;

  if (size <= producer->max_inline)
    {
      if (shm_producer_reserve (producer, size, &data) != SHM_OK)
        return false;
      write_payload (data, i, size);
      shm_producer_commit (producer, size);
      return true;
    }
  if (shm_producer_reserve (producer, sizeof record, &data) != SHM_OK
      || shm_arena_take (arena, size, &slot, &data) != SHM_OK)
    return false;
  write_payload (data, i, size);
  shm_arena_lend (arena, slot, size, producer->head + producer->padding, &record);
  shm_producer_commit_loan (producer, &record);
  return true;
}

static void
spin (unsigned *spins)
{
  if (++*spins % SPINS == 0)
    sched_yield ();
}

static void *
produce (void *user_data)
{
  Scene *scene = user_data;
  Memory *memory = scene->memory;
  ShmProducer producer;
  ShmArena arena;
  ShmBell bell;
  unsigned spins = 0;

  shm_producer_init (&producer, &memory->producer_header, memory->ring, CAPACITY,
                     shm_ring_max_inline (CAPACITY), &memory->consumer_header);
  shm_arena_init (&arena, 1 << 20, &memory->consumer_header, grow, drop, scene);
  shm_bell_init (&bell, &memory->producer_header, &memory->consumer_header, -1);
  for (uint32_t i = 0; i < MESSAGES;)
    {
      bool sent = send_one (&producer, &arena, i);

      i += sent;
      if ((!sent || i % 5 == 0) && shm_producer_publish (&producer))
        shm_bell_ring (&bell, SHM_STATE_DATA);
      if (!sent)
        spin (&spins);
      scene->writer_failures += producer.broken != NULL;
    }
  shm_producer_close (&producer);
  shm_bell_ring (&bell, SHM_STATE_DATA);
  /* The arena must outlive what the reader still holds. */
  while (__atomic_load_n (&memory->consumer_header.cursor, __ATOMIC_ACQUIRE) != producer.published)
    usleep (100);
  shm_arena_deinit (&arena);
  return NULL;
}

static void
check (Scene *scene, const uint8_t *data, uint64_t size, uint32_t i)
{
  uint32_t number;

  memcpy (&number, data, sizeof number);
  scene->failures += size != size_of (i) || number != i || data[size - 1] != (uint8_t) (i)
                     || data[size / 2] != (uint8_t) i;
}

static void
read_record (
    Scene *scene, ShmConsumer *consumer, ShmForeign *foreign, const ShmRecord *record, uint32_t i)
{
  const uint8_t *data = record->data;
  uint32_t id = record->loan.segment;

  if (!record->is_loan)
    {
      check (scene, data, record->size, i);
      return;
    }
  if (shm_foreign_borrow (foreign, &record->loan, &data) == SHM_EMPTY)
    {
      uint8_t *segment = __atomic_load_n (&scene->segments[id], __ATOMIC_ACQUIRE);
      ShmForeignSegment old;

      if (foreign->segments != NULL && foreign->segments[id % SHM_ARENA_SEGMENTS].data != NULL)
        shm_foreign_remove (foreign, foreign->segments[id % SHM_ARENA_SEGMENTS].id, &old);
      shm_foreign_add (foreign, id, segment, scene->sizes[id]);
      scene->failures += shm_foreign_borrow (foreign, &record->loan, &data) != SHM_OK;
    }
  check (scene, data, record->loan.length, i);
  shm_foreign_release (foreign, id);
  shm_consumer_release_loan (consumer, record->loan.slot, record->loan.generation);
}

static void
sleep_until_ready (Scene *scene, ShmConsumer *consumer, ShmBell *bell)
{
  const uint32_t *word = shm_tail_word (consumer->peer);
  uint32_t seen = __atomic_load_n (word, __ATOMIC_ACQUIRE);
  uint32_t kick = 0;

  shm_bell_announce (bell, SHM_STATE_FUTEX | SHM_STATE_DATA);
  if (!shm_consumer_ready (consumer) && !shm_consumer_closed (consumer))
    shm_park (word, seen, &kick, 0, INT64_MAX, scene->mode);
  shm_bell_awake (bell);
}

static void *
consume (void *user_data)
{
  Scene *scene = user_data;
  Memory *memory = scene->memory;
  ShmConsumer consumer;
  ShmForeign foreign = { .limit = UINT64_MAX };
  ShmBell bell;
  unsigned spins = 0;

  shm_consumer_init (&consumer, &memory->consumer_header, &memory->producer_header, memory->ring,
                     CAPACITY, shm_ring_max_inline (CAPACITY));
  shm_bell_init (&bell, &memory->consumer_header, &memory->producer_header, -1);
  for (uint32_t i = 0; i < MESSAGES && scene->failures == 0;)
    {
      ShmRecord record;
      ShmResult result = shm_consumer_take (&consumer, &record);

      if (result == SHM_OK)
        {
          read_record (scene, &consumer, &foreign, &record, i++);
          shm_consumer_release_to (&consumer, consumer.position);
        }
      scene->failures += result == SHM_BROKEN;
      if (result == SHM_EMPTY && scene->parks)
        sleep_until_ready (scene, &consumer, &bell);
      else if (result == SHM_EMPTY)
        spin (&spins);
    }
  scene->failures += !shm_consumer_closed (&consumer) && consumer.position < MESSAGES;
  free (foreign.segments);
  return NULL;
}

static unsigned
run (int parks, ShmParkMode mode)
{
  Scene scene = { .memory = aligned_alloc (64, sizeof (Memory)), .parks = parks, .mode = mode };
  pthread_t threads[2];

  memset (scene.memory, 0, sizeof (Memory));
  pthread_create (&threads[0], NULL, produce, &scene);
  pthread_create (&threads[1], NULL, consume, &scene);
  pthread_join (threads[1], NULL);
  if (scene.failures != 0)
    {
      /* The producer would wait for ever. */
      printf ("not ok - messages were lost, changed or out of order\n");
      exit (1);
    }
  pthread_join (threads[0], NULL);
  free (scene.memory);
  return scene.failures + scene.writer_failures;
}

int
main (void)
{
  setvbuf (stdout, NULL, _IOLBF, 0);
  printf ("1..3\n");
  printf ("%s 1 - two threads, the reader spins\n", run (0, SHM_PARK_BEST) ? "not ok" : "ok");
  printf ("%s 2 - two threads, the reader parks\n", run (1, SHM_PARK_BEST) ? "not ok" : "ok");
  printf ("%s 3 - two threads, the reader parks without futex_waitv\n",
          run (1, SHM_PARK_WITHOUT_WAITV) ? "not ok" : "ok");
  return 0;
}
