/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What every serializer must do, as GTest cases over a descriptor: every value comes back equal
 * or is refused by name, and hostile bytes give a value in normal form or an error.
 */
#pragma once

#include "commy-test-host.h"

G_BEGIN_DECLS

void commy_serializer_conformance_add (const CommyPluginDescriptor *descriptor);

/* A value of a made-up type; not floating. */
GVariant *commy_serializer_conformance_make_up (GRand *rand);

G_END_DECLS
