/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The doorbell: a small file `changed`. Who has committed writes the revision into it; all
 * others are notified of that write. (A notification of the database's own files would come
 * before the commit can be seen.) They are notified as well when the owner of a lease closes its
 * file, which the kernel does for who dies.
 */
#pragma once

#include <glib.h>

typedef struct
{
  char *path;
  int file_fd;
  int inotify_fd;   /* -1: the system has no more; then only the safety re-read notices */
  int watch;        /* -1: not notified of changes */
  int leases_watch; /* -1: not notified of owners */
} CommySqliteDoorbell;

/* Of an owner that let go of the file @name; NULL: notifications were lost, it may be any. */
typedef void (*CommySqliteDoorbellFunc) (gpointer data, const char *name);

gboolean commy_sqlite_doorbell_open (CommySqliteDoorbell *self, const char *dir, GError **error);
void commy_sqlite_doorbell_close (CommySqliteDoorbell *self);
/* After a commit. A bell that cannot be rung is no failure: the re-read finds the change. */
/* What was rung last, by anybody; 0: nothing. */
gint64 commy_sqlite_doorbell_read (CommySqliteDoorbell *self);
void commy_sqlite_doorbell_ring (CommySqliteDoorbell *self, gint64 revision);
/* Takes the pending notifications from inotify_fd; follows the name if need be. */
void commy_sqlite_doorbell_drain (CommySqliteDoorbell *self,
                                  CommySqliteDoorbellFunc left,
                                  gpointer data);
/* Whether everything that happens is notified. */
gboolean commy_sqlite_doorbell_hears_all (const CommySqliteDoorbell *self);
/* Follows the name if somebody removed or replaced the file. */
void commy_sqlite_doorbell_renew (CommySqliteDoorbell *self);
