/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The door of the daemon: a Unix socket at a path, and locks that make sure that there is one
 * daemon behind it and one at a store.
 */
#pragma once

#include <glib.h>

typedef struct
{
  int fd; /* of the locked file */
  char *path;
} CommydLock;

#define COMMYD_NO_LOCK \
  {                    \
    -1, NULL           \
  }

/* Locks a file at @path, which is made; @what is what a second daemon would spoil. Error: who has
 * it. */
gboolean commyd_lock_take (CommydLock *self, const char *path, const char *what, GError **error);
/* Removes the file, too. */
void commyd_lock_release (CommydLock *self);

/* Where the daemon of a mesh listens unless told otherwise: a system's daemon below /run/commyd, a
 * user's own in its runtime folder. (transfer full) */
char *commyd_socket_default (const char *mesh, gboolean is_system);
/* Listens at @path with @mode, over what a dead daemon left there; the folder is made. -1 with
 * @error. The caller has the lock. */
int commyd_socket_listen (const char *path, guint mode, GError **error);
/* Whether a descriptor that was handed over is a listening Unix stream socket. */
gboolean commyd_socket_check (int fd, GError **error);
