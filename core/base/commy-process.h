/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a pidfd and /proc tell of another process. Where /proc hides it, and for one that this
 * process's namespace has no number for, the answers are "no" and "none".
 */
#pragma once

#include <glib.h>

/* A number that no other process has, before or after it; 0: the kernel gives none (before 6.9). */
guint64 commy_process_get_id (int pidfd);

/* Whether no thread of it runs code of its own any more: it has ended, or was killed and has yet
 * to give its memory and then its descriptors back, of which the pidfd tells last. */
gboolean commy_process_is_ending (int pidfd);

/* A descriptor that is readable when a thread of it has ended: the oldest one that lives, but for
 * the process's first and @but; -1 with errno, EINVAL before Linux 6.9. */
int commy_process_open_thread (int pidfd, int but, int *out_tid);
