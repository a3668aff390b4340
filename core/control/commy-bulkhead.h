/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A bulkhead: a limit of the calls to one service that are under way at a time, so that one that
 * is slow does not take all of a program with it. What would be too many fails at once; it does
 * not wait. Threads may share one without a lock.
 */
#pragma once

#include <glib.h>

typedef struct
{
  guint inside; /* atomic */
} CommyBulkhead;

/* @most: 0 is no limit. */
static inline gboolean
commy_bulkhead_enter (CommyBulkhead *bulkhead, guint most)
{
  guint inside = __atomic_load_n (&bulkhead->inside, __ATOMIC_RELAXED);

  do
    if (most > 0 && inside >= most)
      return FALSE;
  while (!__atomic_compare_exchange_n (&bulkhead->inside, &inside, inside + 1, TRUE,
                                       __ATOMIC_RELAXED, __ATOMIC_RELAXED));
  return TRUE;
}

static inline void
commy_bulkhead_leave (CommyBulkhead *bulkhead, guint n)
{
  __atomic_sub_fetch (&bulkhead->inside, n, __ATOMIC_RELAXED);
}
