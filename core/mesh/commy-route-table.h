/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Filling the table of a route from a decision. Owner's thread only.
 */
#pragma once

#include "mesh/commy-route-field.h"

/* The instances that tie with candidate @chosen, each with its stacks by size. */
void commy_route_fill_members (CommyRoute *route,
                               const CommyRouteField *field,
                               const CommyRouteKey *key,
                               const CommyDemand *demand,
                               guint chosen);
void commy_route_update_balancer (CommyRoute *route, const CommyRouteKey *key);
