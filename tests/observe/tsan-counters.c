/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Counters and ledger under threads, without GLib, so that the thread sanitizer sees all of
 * it: several threads drop, one counts, one reads. Speaks TAP.
 */
#include "config.h"

#include "observe/commy-counters.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DROPPERS 4u
#define ROUNDS 20000u

typedef struct
{
  CommyCounters counters;
  CommyLedger ledger;
  bool done; /* atomic */
  bool torn; /* the reader's own until joined */
  bool backwards;
} Shared;

typedef struct
{
  Shared *shared;
  char letter;
} Dropper;

static void *
drop (void *data)
{
  Dropper *dropper = data;
  char culprit[COMMY_CULPRIT_MAX];

  memset (culprit, dropper->letter, sizeof culprit - 1);
  culprit[sizeof culprit - 1] = '\0';
  for (unsigned i = 0; i < ROUNDS; i++)
    commy_ledger_add (&dropper->shared->ledger, COMMY_DROP_BUSY, 1, culprit);
  return NULL;
}

static void *
count (void *data)
{
  Shared *shared = data;

  for (unsigned i = 0; i < ROUNDS; i++)
    {
      commy_counters_add (&shared->counters, COMMY_COUNT_SENT, 1);
      commy_histogram_add (&shared->counters.call_ns, i);
    }
  return NULL;
}

/* A culprit is one thread's whole text or none. */
static bool
is_torn (const char *culprit)
{
  for (size_t i = 1; culprit[0] != '\0' && i < COMMY_CULPRIT_MAX - 1; i++)
    if (culprit[i] != culprit[0])
      return true;
  return false;
}

static void *
look (void *data)
{
  Shared *shared = data;
  uint64_t last = 0;

  while (!__atomic_load_n (&shared->done, __ATOMIC_ACQUIRE))
    {
      char culprit[COMMY_CULPRIT_MAX];
      uint64_t now = commy_counters_get (&shared->counters, COMMY_COUNT_SENT);

      shared->backwards |= now < last;
      last = now;
      commy_ledger_get_culprit (&shared->ledger, COMMY_DROP_BUSY, culprit);
      shared->torn |= is_torn (culprit);
      shared->backwards |= commy_histogram_total (&shared->counters.call_ns) > ROUNDS
                           || commy_histogram_quantile (&shared->counters.call_ns, 1) > 32767;
    }
  return NULL;
}

static pthread_t
start (void *(*body) (void *), void *data)
{
  pthread_t thread;

  if (pthread_create (&thread, NULL, body, data) != 0)
    abort ();
  return thread;
}

static int
report (unsigned number, bool ok, const char *name)
{
  printf ("%sok %u %s\n", ok ? "" : "not ", number, name);
  return ok ? 0 : 1;
}

int
main (void)
{
  Shared *shared = calloc (1, sizeof *shared);
  Dropper droppers[DROPPERS];
  pthread_t dropping[DROPPERS];
  pthread_t counting, looking;
  int failed = 0;

  if (shared == NULL)
    return 1;
  looking = start (look, shared);
  counting = start (count, shared);
  for (unsigned i = 0; i < DROPPERS; i++)
    {
      droppers[i] = (Dropper){ shared, (char) ('a' + i) };
      dropping[i] = start (drop, &droppers[i]);
    }
  for (unsigned i = 0; i < DROPPERS; i++)
    pthread_join (dropping[i], NULL);
  pthread_join (counting, NULL);
  __atomic_store_n (&shared->done, true, __ATOMIC_RELEASE);
  pthread_join (looking, NULL);

  printf ("1..4\n");
  failed |= report (1, commy_ledger_get (&shared->ledger, COMMY_DROP_BUSY) == DROPPERS * ROUNDS,
                    "/ledger/no-drop-is-lost-between-threads");
  failed |= report (2, !shared->torn, "/ledger/culprit-is-never-torn");
  failed |= report (3, !shared->backwards, "/counters/reader-sees-no-step-back");
  failed |= report (4,
                    commy_counters_get (&shared->counters, COMMY_COUNT_SENT) == ROUNDS
                        && commy_histogram_total (&shared->counters.call_ns) == ROUNDS,
                    "/counters/one-writer-loses-nothing");
  free (shared);
  return failed;
}
