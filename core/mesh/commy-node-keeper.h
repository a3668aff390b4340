/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Keeps this node's record in the store: from the join to the leave, with the state it is in and
 * its resources and what it calls, which are looked at now and then and told when they changed
 * enough. Mesh thread.
 */
#pragma once

#include "control/commy-node.h"
#include "mesh/commy-mesh-private.h"

/* Puts the record; listeners and the registry are there. */
CommyNodeKeeper *commy_node_keeper_new (CommyMesh *mesh);
/* Takes the record away and waits for that, iterating the mesh thread's context. */
void commy_node_keeper_free (CommyNodeKeeper *keeper);

void commy_node_keeper_set_state (CommyNodeKeeper *keeper, CommyNodeState state);
CommyNodeState commy_node_keeper_get_state (CommyNodeKeeper *keeper);
