/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Leases as files: `leases/<id>` with a POSIX record lock that the owner takes once. The kernel
 * drops it when the owner dies, however it dies, and never gives it to a forked child. It is
 * also dropped when *any* descriptor of the file is closed in the owner's process, so a file
 * that this process owns is never opened a second time, whichever instance owns it.
 */
#pragma once

#include <glib.h>

typedef struct _CommySqliteLeases CommySqliteLeases;

CommySqliteLeases *commy_sqlite_leases_new (const char *dir, GError **error);
/* Closes the files; does not remove them. */
void commy_sqlite_leases_free (CommySqliteLeases *self);

/* Makes and locks the file of @id; FALSE without an error if the id is taken. */
gboolean commy_sqlite_leases_take (CommySqliteLeases *self, gint64 id, GError **error);
/* Removes the file of an ended lease, our own or another's. */
void commy_sqlite_leases_drop (CommySqliteLeases *self, gint64 id);
/* Whether the owner of a lease that process @pid took is gone. */
gboolean commy_sqlite_leases_is_dead (CommySqliteLeases *self, gint64 id, gint64 pid);
/* Removes the files of owners that died before their lease was written down, or while another's
 * was being removed. @known: the leases (gint64 *) that are written down, read before. */
void commy_sqlite_leases_sweep (CommySqliteLeases *self, GHashTable *known);
/* The id that the name of a file says; 0 if it is none of ours. */
gint64 commy_sqlite_leases_id_of (const char *name);
/* The ids of our own leases. */
GArray *commy_sqlite_leases_list (CommySqliteLeases *self);
