/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The ring of owners: see the header.
 */
#include "config.h"

#include "commy-sqlite-neighbour.h"

#include <sys/syscall.h>
#include <unistd.h>

void
commy_sqlite_neighbour_close (CommySqliteNeighbour *self)
{
  if (self->fd >= 0)
    close (self->fd);
  self->fd = -1;
  self->lease = 0;
}

/* The least of this process's leases here; 0: it has none and is in no ring. */
static gint64
own_lease (CommySqliteLeases *leases)
{
  g_autoptr (GArray) own = commy_sqlite_leases_list (leases);
  gint64 least = 0;

  for (guint i = 0; i < own->len; i++)
    if (least == 0 || g_array_index (own, gint64, i) < least)
      least = g_array_index (own, gint64, i);
  return least;
}

/* A number may be another process's by now: but who still holds the lock is who took it. */
static int
open_owner (CommySqliteLeases *leases, const CommySqliteLeaseRow *row)
{
  int fd = (int) syscall (SYS_pidfd_open, (pid_t) row->pid, 0);

  if (fd < 0 || !commy_sqlite_leases_is_dead (leases, row->id, row->pid))
    return fd;
  close (fd);
  return -1;
}

CommySqliteNeighbourNews
commy_sqlite_neighbour_choose (CommySqliteNeighbour *self,
                               CommySqliteDb *db,
                               CommySqliteLeases *leases,
                               void (*forget) (gpointer data),
                               gpointer data)
{
  const gint64 own = own_lease (leases);
  CommySqliteLeaseRow next = { 0 };

  if (own != 0 && !commy_sqlite_db_next_lease (db, own, getpid (), &next, NULL))
    return COMMY_SQLITE_NEIGHBOUR_SAME; /* the next look may read again */
  if (next.id == self->lease && (next.id == 0 || self->fd >= 0))
    return COMMY_SQLITE_NEIGHBOUR_SAME;
  forget (data);
  commy_sqlite_neighbour_close (self);
  if (next.id == 0)
    return COMMY_SQLITE_NEIGHBOUR_NEW;
  self->lease = next.id;
  self->fd = open_owner (leases, &next);
  if (self->fd >= 0)
    return COMMY_SQLITE_NEIGHBOUR_NEW;
  return commy_sqlite_leases_is_dead (leases, next.id, next.pid) ? COMMY_SQLITE_NEIGHBOUR_DEAD
                                                                 : COMMY_SQLITE_NEIGHBOUR_SAME;
}
