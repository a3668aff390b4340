/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Death notices: the mesh thread watches the descriptors of all channels for hang-up and kicks
 * the worker, which may be parked in a futex that a dead peer never wakes.
 */
#pragma once

#include "channel/commy-worker.h"

typedef struct _CommyDeathWatch CommyDeathWatch;

CommyDeathWatch *commy_death_watch_new (GMainContext *context, GError **error);
void commy_death_watch_free (CommyDeathWatch *watch); /* the mesh thread, or after it ended */

/* Any thread. @serial is unique; @fd stays the caller's and is open until removed. */
void commy_death_watch_add (
    CommyDeathWatch *watch, guint64 serial, int fd, gboolean is_pidfd, CommyWorker *worker);
void commy_death_watch_remove (CommyDeathWatch *watch, guint64 serial, int fd);

/* Whether the process of a pidfd has ended or is about to: the kernel closes its descriptors long
 * before the pidfd tells. */
gboolean commy_process_is_ending (int pidfd);
