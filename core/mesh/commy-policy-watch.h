/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reads the policy again when a keyfile changes, if policy-watch of [security] says so. Mesh
 * thread only.
 */
#pragma once

#include "mesh/commy-mesh-private.h"

/* NULL: nobody wants it. */
CommyPolicyWatch *commy_policy_watch_new (CommyMesh *mesh);
void commy_policy_watch_free (CommyPolicyWatch *watch);
