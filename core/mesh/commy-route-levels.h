/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which of a decision's instances are balanced over, level by level. Owner's thread only.
 */
#pragma once

#include "mesh/commy-route-field.h"

/* Instances that are reached like the chosen one, over the same transport, tie with it, so that
 * they are balanced over: on the same host whatever was measured, because how busy an instance is
 * is the balancer's business; elsewhere where they cost the same. That one is connected already and
 * another is not must not count, or the first would be the only one for ever. Likewise on every
 * farther level, with the best there: these are spare. */
void
commy_route_levels_tie (CommyRouteField *field, const CommyDemand *demand, const CommyPlan *plan);
/* After that. The candidates of one instance are neighbours: the end of those that begin at @first;
 * and whether that instance is balanced over on @level. */
guint commy_route_levels_end_of (const CommyRouteField *field, guint first);
gboolean commy_route_levels_has (const CommyRouteField *field, guint first, guint level);

/* The instances that are balanced over, in the order of levels, and those that cannot be reached.
 */
void commy_route_levels_place (const CommyRouteField *field, CommyLocality *locality);
CommyLocalityPolicy commy_route_levels_policy (const CommyRouteKey *key);
/* Adds the shares to the notes of a decision, if there is more than one level. */
void commy_route_levels_note (const CommyRouteField *field, const CommyRouteKey *key, GString *out);
