/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Keeping paths connected beside the one that is taken.
 */
#pragma once

#include "mesh/commy-route-field.h"

/* Has up to @n paths connected beside that of candidate @chosen. Returns at once. */
void
commy_route_warm (const CommyRouteField *field, const CommyRouteKey *key, guint chosen, guint n);
