/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whom a process watches die: the owner of the lease that follows its own, in a ring. That a
 * process is gone the kernel tells through its pidfd, also where a child that it forked keeps its
 * files open, so that the closing of its lease file tells nothing. One descriptor is enough: of
 * several that die together the one before the first is told, and looks at all.
 */
#pragma once

#include "commy-sqlite-db.h"
#include "commy-sqlite-lease.h"

typedef struct
{
  int fd; /* -1: nobody is watched */
  gint64 lease;
} CommySqliteNeighbour;

typedef enum
{
  COMMY_SQLITE_NEIGHBOUR_SAME,
  COMMY_SQLITE_NEIGHBOUR_NEW,  /* or nobody: fd is another one */
  COMMY_SQLITE_NEIGHBOUR_DEAD, /* that is the next one; fd is -1 */
} CommySqliteNeighbourNews;

/* Looks who is next. Where fd is to be closed, @forget is called before. */
CommySqliteNeighbourNews commy_sqlite_neighbour_choose (CommySqliteNeighbour *self,
                                                        CommySqliteDb *db,
                                                        CommySqliteLeases *leases,
                                                        void (*forget) (gpointer data),
                                                        gpointer data);
void commy_sqlite_neighbour_close (CommySqliteNeighbour *self);
