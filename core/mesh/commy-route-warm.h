/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Connections beside those that are taken: which are made before they are needed, and which are
 * closed since they are not needed any more.
 */
#pragma once

#include "mesh/commy-route-table.h"

/* Has up to @n paths connected beside that of candidate @chosen. Returns at once. */
void
commy_route_warm (const CommyRouteField *field, const CommyRouteKey *key, guint chosen, guint n);
/* Closes those connections to members of @route that it does not take and that were idle for
 * "spare-timeout" while another one to the same instance was used, and those to members that are
 * farther than the nearest and were idle for "idle-timeout", which thus holds where no loop runs.
 */
void commy_route_rest_spares (const CommyRoute *route, const CommyRouteKey *key);
