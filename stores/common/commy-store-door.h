/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whoever comes to a commyd from outside: the way to its socket, whom to believe behind it, and a
 * question that waits for its answer. What goes on afterwards is for commy-store-stream.
 */
#pragma once

#include <commy/commy-plugin.h>

/* Not blocking. -1 with @error: nobody listens there. */
int store_door_connect (const char *path, GError **error);
/* Who can put a socket at @path, and who listens behind it: root, ourselves, or whoever the folder
 * was given to by who may. FALSE with @error: somebody else. */
gboolean store_door_check (int fd, const char *path, GError **error);

/* Asks the daemon how it is; takes the connection @fd over and waits no longer than @patience_us.
 * @mesh: "" for whichever it serves. @out_store_error (nullable): why the store below cannot be
 * read, or NULL. (transfer full): an a{sv}; NULL with @error: it does not answer. */
GVariant *store_door_ask (
    int fd, const char *mesh, gint64 patience_us, GError **out_store_error, GError **error);
