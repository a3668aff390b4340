/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Looking for the whole host: the mesh of a process that was told to (look-for-host of [mesh])
 * looks at every service that its keyfile has a health-check for, used or not, and puts what it
 * finds beside the host's entry, where commy-host-health.c of the others finds it. Mesh thread.
 */
#pragma once

#include "mesh/commy-mesh-private.h"

/* NULL: it was not told to. */
CommyHostLook *commy_host_look_new (CommyMesh *mesh);
void commy_host_look_free (CommyHostLook *look);
