/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What reading, writing and watching the store for applications share.
 */
#pragma once

#include "mesh/commy-mesh-private.h"

/* A key (@minimum 1) or prefix (0) that a store can have. */
gboolean commy_store_key_check (const char *key, gsize minimum, GError **error);
/* Floating a{sv}, as commy_mesh_store_get_sync() describes it; without a value if it was deleted.
 */
GVariant *commy_store_entry_to_variant (const CommyStoreEntry *entry);

/* commy-store-watch.c: mesh thread; the mesh is being left. */
void commy_mesh_end_store_watches (CommyMesh *mesh);
