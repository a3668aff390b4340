/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Counters and histograms of one channel, written by its owner alone and read by anybody
 * without a lock, and the ledger of drops of a mesh. Plain C: also run under TSan alone.
 */
#pragma once

#include <stdint.h>

#define COMMY_HISTOGRAM_BUCKETS 64u

/* Bucket i counts values with bit length i: [2^(i-1), 2^i); the last one also longer values. */
typedef struct
{
  uint64_t buckets[COMMY_HISTOGRAM_BUCKETS];
  uint64_t sum;
} CommyHistogram;

typedef enum
{
  COMMY_COUNT_SENT, /* frames with a message of the application */
  COMMY_COUNT_SENT_BYTES,
  COMMY_COUNT_RECEIVED,
  COMMY_COUNT_RECEIVED_BYTES,
  COMMY_COUNT_CALLS, /* that were made here; counted by their ends, so nothing is added to it */
  COMMY_COUNT_CALLS_FAILED,
  COMMY_COUNT_SERVED,        /* calls that came in */
  COMMY_COUNT_SERVED_FAILED, /* those of them that were answered with an error, or refused */
  COMMY_COUNT_BLOCKED,       /* times the peer would not take more */
  COMMY_COUNT_PARKED,        /* times the owner went to sleep waiting */
  COMMY_COUNT_ON_TRIAL,      /* calls that a policy on trial would have denied */
  COMMY_COUNT_LOST,          /* of those sent: certainly not delivered */
  COMMY_COUNT_UNKNOWN, /* of those sent: nobody can say; the rest was delivered, where the path
                          tells */
  COMMY_COUNT_LAST
} CommyCount;

typedef struct
{
  uint64_t counts[COMMY_COUNT_LAST];
  CommyHistogram call_ns; /* round trip, as the caller saw it */
} CommyCounters;

/* One writer: a relaxed load and store, no read-modify-write. */
static inline void
commy_counters_add (CommyCounters *counters, CommyCount what, uint64_t n)
{
  uint64_t *cell = &counters->counts[what];
  __atomic_store_n (cell, __atomic_load_n (cell, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}

static inline uint64_t
commy_counters_get (const CommyCounters *counters, CommyCount what)
{
  return __atomic_load_n (&counters->counts[what], __ATOMIC_RELAXED);
}

/* Adds counts and times of @from to @into, which nobody else writes. */
void commy_counters_merge (CommyCounters *into, const CommyCounters *from);

const char *commy_count_to_string (CommyCount what);

void commy_histogram_add (CommyHistogram *histogram, uint64_t value); /* one writer */
/* Adds what @from counted to @into, which nobody else writes. */
void commy_histogram_merge (CommyHistogram *into, const CommyHistogram *from);
uint64_t commy_histogram_total (const CommyHistogram *histogram);
/* Largest value of the bucket in which the quantile (0..1) lies; 0 if empty. */
uint64_t commy_histogram_quantile (const CommyHistogram *histogram, double quantile);

/* Why a message was not delivered. Any thread may add. */
typedef enum
{
  COMMY_DROP_PEER_GONE, /* the peer went, and had not taken it */
  COMMY_DROP_DEADLINE,  /* its deadline passed before it was handled */
  COMMY_DROP_CANCELLED, /* the caller gave up */
  COMMY_DROP_DENIED,    /* policy */
  COMMY_DROP_NO_METHOD, /* nobody handles it */
  COMMY_DROP_MALFORMED, /* the channel was closed for it */
  COMMY_DROP_BUSY,      /* back-pressure refused it */
  COMMY_DROP_TOO_BIG,
  COMMY_DROP_DUPLICATE,  /* a replay had delivered it already */
  COMMY_DROP_STOPPING,   /* the service was being stopped */
  COMMY_DROP_LATE_REPLY, /* an answer nobody waits for any more */
  COMMY_DROP_HUNG,       /* the peer lives and does not serve (limit "hung") */
  COMMY_DROP_CLOSED,     /* this side closed the channel before it had left */
  COMMY_DROP_UNKNOWN,    /* it had left, and nobody can say whether it arrived */
  COMMY_DROP_TOO_OFTEN,  /* its caller is beyond what one may have */
  COMMY_DROP_LAST
} CommyDrop;

const char *commy_drop_to_string (CommyDrop reason);

#define COMMY_CULPRIT_MAX 96u

typedef struct
{
  uint64_t counts[COMMY_DROP_LAST]; /* atomic add */
  /* The accounts of channels that ended: what these sent, and of it what was certainly not
   * delivered, and what nobody knows of. Atomic, too. */
  uint64_t sent, lost, unknown;
  uint32_t lock; /* of culprits: a try-lock; a loser leaves its culprit out */
  char culprits[COMMY_DROP_LAST][COMMY_CULPRIT_MAX];
} CommyLedger;

void commy_ledger_add (CommyLedger *ledger, CommyDrop reason, uint64_t n, const char *culprit);
/* Adds the account of a channel that ended. */
void commy_ledger_add_account (CommyLedger *ledger, const CommyCounters *counters);
uint64_t commy_ledger_get (const CommyLedger *ledger, CommyDrop reason);
/* Copies the last culprit of @reason, "" if none, into @out (COMMY_CULPRIT_MAX bytes).
 * Cut between characters, but what was no UTF-8 before is none after. */
void commy_ledger_get_culprit (CommyLedger *ledger, CommyDrop reason, char *out);
