/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Death notices: the mesh thread watches the descriptors of all channels for hang-up and kicks
 * the worker, which may be parked in a futex that a dead peer never wakes.
 */
#pragma once

#include "channel/commy-worker.h"

typedef struct _CommyDeathWatch CommyDeathWatch;

CommyDeathWatch *commy_death_watch_new (GMainContext *context, GError **error);
/* Stops watching and gives the reference back: the mesh thread, or after it ended. Channels that
 * outlive the mesh keep theirs. */
void commy_death_watch_free (CommyDeathWatch *watch);
CommyDeathWatch *commy_death_watch_ref (CommyDeathWatch *watch); /* any thread */
void commy_death_watch_unref (CommyDeathWatch *watch);           /* any thread */

/* Any thread. @serial is unique; @fd stays the caller's and is open until removed. */
void commy_death_watch_add (
    CommyDeathWatch *watch, guint64 serial, int fd, gboolean is_pidfd, CommyWorker *worker);
void commy_death_watch_remove (CommyDeathWatch *watch, guint64 serial, int fd);
