/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A writer that fills blocks of a pool for several readers, and somebody who gives back what was
 * kept to send it: each on a thread of its own, all at one address, so that the thread sanitizer
 * sees a block that is written while somebody reads it. Plain C.
 */
#include "config.h"

#include "plugins/shm/commy-pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define READERS 3u
#define SLOTS 4u /* loans of a reader at a time */
#define BYTES 20000u
#define MAIL 8u
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define MESSAGES 10000u
#else
#define MESSAGES 50000u
#endif

typedef struct
{
  const uint8_t *data;
  uint32_t number;
  uint32_t slot;
  uint32_t generation;
} Letter;

/* From the writer to one reader; each word has one writer. */
typedef struct
{
  Letter letters[MAIL];
  uint32_t sent;
  uint32_t taken;
  uint32_t words[SLOTS]; /* what the reader gave back */
  unsigned failures;
} Box;

typedef struct
{
  Box boxes[READERS];
  ShmBlock *kept[MAIL];
  uint32_t kept_sent;
  uint32_t kept_taken;
  uint32_t is_over;
  unsigned failures; /* of who gives back */
} Scene;

static void *
read_all (void *data)
{
  Box *box = data;

  for (uint32_t i = 0; i < MESSAGES; i++)
    {
      Letter letter;

      while (__atomic_load_n (&box->sent, __ATOMIC_ACQUIRE) == i)
        sched_yield ();
      letter = box->letters[i % MAIL];
      __atomic_store_n (&box->taken, i + 1, __ATOMIC_RELEASE);
      for (uint32_t at = 0; at < BYTES; at += 777)
        box->failures += letter.data[at] != (uint8_t) letter.number;
      box->failures += letter.number != i;
      __atomic_store_n (&box->words[letter.slot], letter.generation, __ATOMIC_RELEASE);
    }
  return NULL;
}

/* Reads what was kept, as one who copies it, and gives it back. */
static void *
give_all (void *data)
{
  Scene *scene = data;
  uint32_t i = 0;

  for (;;)
    {
      bool is_over = __atomic_load_n (&scene->is_over, __ATOMIC_ACQUIRE) != 0;
      ShmBlock *block;

      if (__atomic_load_n (&scene->kept_sent, __ATOMIC_ACQUIRE) == i)
        {
          if (is_over)
            return NULL;
          sched_yield ();
          continue;
        }
      block = scene->kept[i % MAIL];
      scene->failures += block->data[0] != block->data[BYTES - 1];
      shm_block_give (block);
      __atomic_store_n (&scene->kept_taken, ++i, __ATOMIC_RELEASE);
    }
}

static ShmLoan *
find_place (ShmLoan *loans)
{
  for (uint32_t i = 0; i < SLOTS; i++)
    {
      shm_loan_look (&loans[i]);
      if (loans[i].block == NULL)
        return &loans[i];
    }
  return NULL;
}

static void
post (Box *box, ShmLoan *loans, ShmLent *lent, ShmBlock *block, uint32_t number)
{
  uint32_t sent = box->sent;
  ShmLoan *loan;

  while ((loan = find_place (loans)) == NULL
         || sent - __atomic_load_n (&box->taken, __ATOMIC_ACQUIRE) == MAIL)
    sched_yield ();
  shm_loan_begin (loan, block, 0, &box->words[loan - loans], lent);
  box->letters[sent % MAIL] = (Letter){ .data = block->data,
                                        .number = number,
                                        .slot = (uint32_t) (loan - loans),
                                        .generation = loan->generation };
  __atomic_store_n (&box->sent, sent + 1, __ATOMIC_RELEASE);
}

static void
keep (Scene *scene, ShmBlock *block)
{
  uint32_t sent = scene->kept_sent;

  while (sent - __atomic_load_n (&scene->kept_taken, __ATOMIC_ACQUIRE) == MAIL)
    sched_yield ();
  scene->kept[sent % MAIL] = block;
  __atomic_store_n (&scene->kept_sent, sent + 1, __ATOMIC_RELEASE);
}

/* How many messages found no place in the pool at first. */
static unsigned
write_all (Scene *scene)
{
  ShmPool *pool = shm_pool_new (8 * 32768);
  ShmLoan loans[READERS][SLOTS] = { 0 };
  ShmLent lent[READERS] = { 0 };
  unsigned n_full = 0;

  for (uint32_t i = 0; i < MESSAGES; i++)
    {
      ShmBlock *block;

      while (shm_pool_take (pool, BYTES, &block) != SHM_OK)
        {
          n_full++;
          sched_yield ();
        }
      memset (block->data, (int) i, BYTES);
      for (uint32_t k = 0; k < READERS; k++)
        post (&scene->boxes[k], loans[k], &lent[k], block, i);
      keep (scene, block);
    }
  __atomic_store_n (&scene->is_over, 1, __ATOMIC_RELEASE);
  /* The pool goes while the last ones are read. */
  shm_pool_free (pool);
  for (uint32_t k = 0; k < READERS; k++)
    for (uint32_t i = 0; i < SLOTS; i++)
      while (loans[k][i].block != NULL)
        {
          shm_loan_look (&loans[k][i]);
          sched_yield ();
        }
  for (uint32_t k = 0; k < READERS; k++)
    scene->boxes[k].failures += lent[k].n != 0 || lent[k].bytes != 0;
  return n_full;
}

int
main (void)
{
  Scene *scene = calloc (1, sizeof *scene);
  pthread_t readers[READERS];
  pthread_t giver;
  unsigned failures = 0;
  unsigned n_full;

  for (uint32_t k = 0; k < READERS; k++)
    if (pthread_create (&readers[k], NULL, read_all, &scene->boxes[k]) != 0)
      abort ();
  if (pthread_create (&giver, NULL, give_all, scene) != 0)
    abort ();
  n_full = write_all (scene);
  for (uint32_t k = 0; k < READERS; k++)
    pthread_join (readers[k], NULL);
  pthread_join (giver, NULL);
  failures += scene->failures;
  for (uint32_t k = 0; k < READERS; k++)
    failures += scene->boxes[k].failures;
  printf ("1..1\n# %u messages to %u readers, %u waits for a block\n%s 1 "
          "/shm/pool/nobody-writes-what-somebody-reads\n",
          MESSAGES, READERS, n_full, failures == 0 ? "ok" : "not ok");
  free (scene);
  return failures != 0;
}
