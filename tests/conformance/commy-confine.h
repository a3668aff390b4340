/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Takes rights away from this process before it runs code that nobody knows yet: namespaces of its
 * own with the loopback alone, limits, and for code that has only to be looked at a filter of
 * system calls. What the kernel does not grant is said, not passed over.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* User and network namespaces, loopback up; and limits of processor time, core and file size. FALSE
 * with the reason in @error if namespaces are refused; the limits are set all the same. */
gboolean commy_confine_namespaces (GError **error);

/* From now on the process may read files, use memory, write to what is open, and end; anything else
 * ends it with SIGSYS. FALSE with the reason in @error. */
gboolean commy_confine_system_calls (GError **error);

G_END_DECLS
