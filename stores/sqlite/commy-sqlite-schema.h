/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The database file: where it may lie, how it comes into being, which versions of it are read,
 * and how SQLite's result codes become errors that name the file and a way out.
 */
#pragma once

#include <commy/commy-plugin.h>
#include <glib.h>
#include <sqlite3.h>

#define COMMY_SQLITE_FILE "store-1.db"
#define COMMY_SQLITE_ERROR (g_quark_from_static_string ("commy-error-quark"))

/* Checks that @path is a directory of ours that nobody else can write to; makes it if need be. */
gboolean commy_sqlite_check_dir (const char *path, GError **error);
/* Opens @path, which is made with the whole schema in it if it does not exist. */
sqlite3 *commy_sqlite_open (const char *path, int busy_ms, gboolean full_sync, GError **error);
/* Turns the last failure of @sql into an error about @path. */
void commy_sqlite_set_error (GError **error, sqlite3 *sql, const char *path, const char *doing);
