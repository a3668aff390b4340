/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Filling the table of a route from a decision. Owner's thread only.
 */
#pragma once

#include "mesh/commy-route-field.h"

/* The instances that are balanced over, near ones first, each with its stacks by size. */
void commy_route_fill_members (CommyRoute *route,
                               const CommyRouteField *field,
                               const CommyRouteKey *key,
                               const CommyDemand *demand);
/* The balancer learns of them, if there are several. */
void commy_route_update_balance (CommyRoute *route,
                                 const CommyRouteField *field,
                                 const CommyRouteKey *key);
