/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Cordon and drain: a node that takes no new work, and one that ends what it has and stops what it
 * offers. Mesh thread.
 */
#pragma once

#include "mesh/commy-mesh-private.h"

#define COMMY_DRAIN_MAX_US (G_GINT64_CONSTANT (86400) * G_USEC_PER_SEC)

/* @left: calls that were still under way when the time was over. */
typedef void (*CommyDrainFunc) (gpointer data, guint left, const GError *error);

/* The records of what is offered say so from now on; nothing is stopped. */
void commy_drain_cordon (CommyMesh *mesh, gboolean cordoned);

/* Cordons, waits until nothing is under way, then stops all services; after @timeout_ns in any case
 * (-1: as the keyfile says). Half of the time is for callers to see the records and go elsewhere by
 * themselves; then they are told on each connection. Who drains while it is drained waits for the
 * same end. */
void commy_drain_begin (CommyMesh *mesh, gint64 timeout_ns, CommyDrainFunc done, gpointer data);
/* The mesh is being left: who waits hears so. */
void commy_drain_abandon (CommyMesh *mesh);
