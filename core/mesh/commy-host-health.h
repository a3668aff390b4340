/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the daemon of this host found out by looking, as it comes from the store: then no process
 * of the host looks for itself. Mesh thread.
 */
#pragma once

#include "mesh/commy-mesh-private.h"

typedef struct _CommyHostHealth CommyHostHealth;

/* A record of commy-host-checks.h. */
typedef void (*CommyHostHealthFunc) (gpointer data,
                                     const char *service,
                                     const char *text,
                                     gsize size);

CommyHostHealth *commy_host_health_new (CommyMesh *mesh, CommyHostHealthFunc func, gpointer data);
void commy_host_health_free (CommyHostHealth *health);
