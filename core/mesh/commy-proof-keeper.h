/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Looks after what open connections rest on: follows the deny list in the store, and has all of
 * them looked at when it changes, when time has come and when providers are to be asked again. Mesh
 * thread only.
 */
#pragma once

#include "mesh/commy-mesh-private.h"

/* The table alone: what is set up from now on has a standing. */
CommyProofKeeper *commy_proof_keeper_new (CommyMesh *mesh);
/* Reads the deny list; @done: it was read, or cannot be at present, which is told in the log, too,
 * and tried again. */
void commy_proof_keeper_start (CommyProofKeeper *keeper,
                               void (*done) (gpointer data, const GError *error),
                               gpointer data);
void commy_proof_keeper_free (CommyProofKeeper *keeper);
