/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Takes rights away from this process before it runs code that nobody knows yet: namespaces of its
 * own with the loopback alone, limits, and for code that has only to be looked at a filter of
 * system calls. What the kernel does not grant is said, not passed over.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Limits of processor time, core, file size and, but for sanitizers, memory. */
void commy_confine_limits (void);

/* User, network and process namespaces, loopback up, and a limit of processes. TRUE comes back in
 * another process, which nothing of outside can be signalled from; the one that called waits for
 * it, and ends as it did when all is gone that was started inside. Files stay what the user may do
 * with them. To be called while there is one thread. FALSE with the reason in @error, in the same
 * process, if namespaces are refused. */
gboolean commy_confine_namespaces (GError **error);

/* From now on the process may read files, use memory, write to what is open, and end; anything else
 * ends it with SIGSYS, and so does a signal or a limit that is for another process. FALSE with the
 * reason in @error. */
gboolean commy_confine_system_calls (GError **error);

G_END_DECLS
