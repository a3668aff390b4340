/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Death notices: a thread watches the descriptors and the processes of all channels for their end
 * and kicks the worker, which may be parked in a futex that a dead peer never wakes.
 */
#pragma once

#include "channel/commy-worker.h"

typedef struct _CommyDeathWatch CommyDeathWatch;

CommyDeathWatch *commy_death_watch_new (GError **error);
/* Once; before it nothing is told. */
void commy_death_watch_start (CommyDeathWatch *watch);
/* No other thread uses it; waits for its own. */
void commy_death_watch_free (CommyDeathWatch *watch);

/* Any thread. @serial is unique; the connection's descriptor @fd and the @pidfd of the process at
 * its other end, either of which may be -1, stay the caller's and are open until removed. When the
 * process is over, @fd is shut down. */
void commy_death_watch_add (
    CommyDeathWatch *watch, guint64 serial, int fd, int pidfd, CommyWorker *worker);
void commy_death_watch_remove (CommyDeathWatch *watch, guint64 serial, int fd, int pidfd);

/* Whether the process of a pidfd has ended or is about to. */
gboolean commy_death_watch_is_over (CommyDeathWatch *watch, int pidfd);
