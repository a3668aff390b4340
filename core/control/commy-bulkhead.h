/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A bulkhead: a limit of the calls to one service that are under way at a time, so that one that
 * is slow does not take all of a program with it. What would be too many fails at once; it does
 * not wait.
 */
#pragma once

#include <glib.h>

typedef struct
{
  guint inside;
} CommyBulkhead;

/* @most: 0 is no limit. */
static inline gboolean
commy_bulkhead_enter (CommyBulkhead *bulkhead, guint most)
{
  if (most > 0 && bulkhead->inside >= most)
    return FALSE;
  bulkhead->inside++;
  return TRUE;
}

static inline void
commy_bulkhead_leave (CommyBulkhead *bulkhead)
{
  bulkhead->inside--;
}
