/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Histograms by bit length, the names of counters and drops, and the ledger.
 */
#include "config.h"

#include "observe/commy-counters.h"

#include <sched.h>
#include <string.h>

const char *
commy_count_to_string (CommyCount what)
{
  static const char *const names[] = {
    [COMMY_COUNT_SENT] = "sent",         [COMMY_COUNT_SENT_BYTES] = "sent-bytes",
    [COMMY_COUNT_RECEIVED] = "received", [COMMY_COUNT_RECEIVED_BYTES] = "received-bytes",
    [COMMY_COUNT_CALLS] = "calls",       [COMMY_COUNT_CALLS_FAILED] = "calls-failed",
    [COMMY_COUNT_SERVED] = "served",     [COMMY_COUNT_SERVED_FAILED] = "served-failed",
    [COMMY_COUNT_BLOCKED] = "blocked",   [COMMY_COUNT_PARKED] = "parked",
    [COMMY_COUNT_ON_TRIAL] = "on-trial", [COMMY_COUNT_LOST] = "lost",
    [COMMY_COUNT_UNKNOWN] = "unknown",
  };

  return (unsigned) what < COMMY_COUNT_LAST ? names[what] : "?";
}

const char *
commy_drop_to_string (CommyDrop reason)
{
  static const char *const names[] = {
    [COMMY_DROP_PEER_GONE] = "peer-gone",
    [COMMY_DROP_DEADLINE] = "deadline",
    [COMMY_DROP_CANCELLED] = "cancelled",
    [COMMY_DROP_DENIED] = "denied",
    [COMMY_DROP_NO_METHOD] = "no-method",
    [COMMY_DROP_MALFORMED] = "malformed",
    [COMMY_DROP_BUSY] = "busy",
    [COMMY_DROP_TOO_BIG] = "too-big",
    [COMMY_DROP_DUPLICATE] = "duplicate",
    [COMMY_DROP_STOPPING] = "stopping",
    [COMMY_DROP_LATE_REPLY] = "late-reply",
    [COMMY_DROP_HUNG] = "hung",
    [COMMY_DROP_CLOSED] = "closed",
    [COMMY_DROP_UNKNOWN] = "unknown",
    [COMMY_DROP_TOO_OFTEN] = "too-often",
  };

  return (unsigned) reason < COMMY_DROP_LAST ? names[reason] : "?";
}

/* The last bucket also takes values of 64 bits. */
static unsigned
bucket_of (uint64_t value)
{
  unsigned bits = value == 0 ? 0 : 64 - (unsigned) __builtin_clzll (value);

  return bits < COMMY_HISTOGRAM_BUCKETS ? bits : COMMY_HISTOGRAM_BUCKETS - 1;
}

static void
add_relaxed (uint64_t *cell, uint64_t n)
{
  __atomic_store_n (cell, __atomic_load_n (cell, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}

void
commy_histogram_add (CommyHistogram *histogram, uint64_t value)
{
  add_relaxed (&histogram->buckets[bucket_of (value)], 1);
  add_relaxed (&histogram->sum, value);
}

void
commy_histogram_merge (CommyHistogram *into, const CommyHistogram *from)
{
  for (unsigned i = 0; i < COMMY_HISTOGRAM_BUCKETS; i++)
    into->buckets[i] += __atomic_load_n (&from->buckets[i], __ATOMIC_RELAXED);
  into->sum += __atomic_load_n (&from->sum, __ATOMIC_RELAXED);
}

void
commy_counters_merge (CommyCounters *into, const CommyCounters *from)
{
  for (unsigned i = 0; i < COMMY_COUNT_LAST; i++)
    into->counts[i] += commy_counters_get (from, i);
  commy_histogram_merge (&into->call_ns, &from->call_ns);
}

uint64_t
commy_histogram_total (const CommyHistogram *histogram)
{
  uint64_t total = 0;

  for (unsigned i = 0; i < COMMY_HISTOGRAM_BUCKETS; i++)
    total += __atomic_load_n (&histogram->buckets[i], __ATOMIC_RELAXED);
  return total;
}

static uint64_t
upper_bound (unsigned bucket)
{
  return bucket + 1 == COMMY_HISTOGRAM_BUCKETS ? UINT64_MAX : (UINT64_C (1) << bucket) - 1;
}

uint64_t
commy_histogram_quantile (const CommyHistogram *histogram, double quantile)
{
  uint64_t copy[COMMY_HISTOGRAM_BUCKETS]; /* total and walk must see the same */
  uint64_t total = 0;
  uint64_t below = 0;
  unsigned last = 0;
  double rank;

  for (unsigned i = 0; i < COMMY_HISTOGRAM_BUCKETS; i++)
    {
      copy[i] = __atomic_load_n (&histogram->buckets[i], __ATOMIC_RELAXED);
      total += copy[i];
    }
  if (total == 0)
    return 0;
  rank = quantile > 0 ? quantile * (double) total : 0;
  for (unsigned i = 0; i < COMMY_HISTOGRAM_BUCKETS; i++)
    {
      if (copy[i] == 0)
        continue;
      last = i;
      below += copy[i];
      if ((double) below >= rank)
        break;
    }
  return upper_bound (last);
}

/* As much of @text as fits, not ending inside a UTF-8 sequence. */
static void
copy_culprit (char *out, const char *text)
{
  size_t length = strnlen (text, COMMY_CULPRIT_MAX);

  if (length == COMMY_CULPRIT_MAX)
    {
      length--;
      while (length > 0 && ((unsigned char) text[length] & 0xc0) == 0x80)
        length--;
    }
  memcpy (out, text, length);
  out[length] = '\0';
}

void
commy_ledger_add (CommyLedger *ledger, CommyDrop reason, uint64_t n, const char *culprit)
{
  if ((unsigned) reason >= COMMY_DROP_LAST)
    return;
  __atomic_fetch_add (&ledger->counts[reason], n, __ATOMIC_RELAXED);
  if (culprit == NULL || __atomic_exchange_n (&ledger->lock, 1, __ATOMIC_ACQUIRE) != 0)
    return;
  copy_culprit (ledger->culprits[reason], culprit);
  __atomic_store_n (&ledger->lock, 0, __ATOMIC_RELEASE);
}

void
commy_ledger_add_account (CommyLedger *ledger, const CommyCounters *counters)
{
  __atomic_add_fetch (&ledger->sent, commy_counters_get (counters, COMMY_COUNT_SENT),
                      __ATOMIC_RELAXED);
  __atomic_add_fetch (&ledger->lost, commy_counters_get (counters, COMMY_COUNT_LOST),
                      __ATOMIC_RELAXED);
  __atomic_add_fetch (&ledger->unknown, commy_counters_get (counters, COMMY_COUNT_UNKNOWN),
                      __ATOMIC_RELAXED);
}

uint64_t
commy_ledger_get (const CommyLedger *ledger, CommyDrop reason)
{
  return (unsigned) reason < COMMY_DROP_LAST
             ? __atomic_load_n (&ledger->counts[reason], __ATOMIC_RELAXED)
             : 0;
}

void
commy_ledger_get_culprit (CommyLedger *ledger, CommyDrop reason, char *out)
{
  out[0] = '\0';
  if ((unsigned) reason >= COMMY_DROP_LAST)
    return;
  /* Held for a copy of some bytes only. */
  while (__atomic_exchange_n (&ledger->lock, 1, __ATOMIC_ACQUIRE) != 0)
    sched_yield ();
  memcpy (out, ledger->culprits[reason], COMMY_CULPRIT_MAX);
  __atomic_store_n (&ledger->lock, 0, __ATOMIC_RELEASE);
}
