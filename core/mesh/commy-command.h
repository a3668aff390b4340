/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A command of the keyfile's, run to its end: nothing to read, nothing written, in a group of its
 * own, which is killed when nobody waits for it any more.
 */
#pragma once

#include <gio/gio.h>

/* @error: NULL if it ended with 0. */
typedef void (*CommyCommandFunc) (gpointer data, const GError *error);

/* @func is called once, in the thread-default context, never at once. Cancelling kills. */
void commy_command_run (const char *const *argv,
                        const char *const *environment,
                        GCancellable *cancellable,
                        CommyCommandFunc func,
                        gpointer data);
