/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * When who is looked at: each instance once an interval, a little earlier or later at random, and
 * never more than a few at a time, however many there are. What comes out goes to whoever runs it:
 * a mesh for its own clients, a daemon for its host. Mesh thread.
 */
#pragma once

#include "mesh/commy-check.h"

typedef struct _CommyHealthRunner CommyHealthRunner;

/* An instance was looked at. @from: its state before. */
typedef void (*CommyHealthRunnerFunc) (gpointer data,
                                       CommyInstance *instance,
                                       const CommyHealth *health,
                                       CommyHealthState from);

/* @at_once: looks that may be under way at a time. */
CommyHealthRunner *
commy_health_runner_new (CommyMesh *mesh, guint at_once, CommyHealthRunnerFunc func, gpointer data);
/* Waits for what is under way, which is cancelled. @func is not called any more. */
void commy_health_runner_free (CommyHealthRunner *runner);
/* Somebody else looked at an instance of @service and found @state: nobody here looks before
 * @until_ns. UNKNOWN: nothing was found, and it is looked at as always. */
void commy_health_runner_adopt (CommyHealthRunner *runner,
                                const char *service,
                                const char *instance,
                                CommyHealthState state,
                                const char *reason,
                                gint64 until_ns);
/* These are the instances of @service from now on (element-type CommyInstance); what is known of
 * those that were there stays. @spec: NULL if they are not to be looked at. */
void commy_health_runner_follow (CommyHealthRunner *runner,
                                 const char *service,
                                 CommyCheckSpec *spec,
                                 GPtrArray *instances);
