/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The alerts of a keyfile: once a second each rule is given its figure of this process, and who is
 * to know of a change is told: the log, the program, a command. Mesh thread.
 */
#pragma once

#include "mesh/commy-mesh-private.h"

/* NULL with @error: a rule cannot be. */
CommyAlerts *commy_alerts_new (CommyMesh *mesh, GError **error);
/* Once there is a registry. */
void commy_alerts_start (CommyAlerts *alerts);
/* Ends the commands that run. */
void commy_alerts_free (CommyAlerts *alerts);
/* aa{sv}, floating: name s, state s, severity s, when s, service s, known b, value d, text s,
 * since x and fired x (Unix time in s; 0: never). */
GVariant *commy_alerts_list (CommyAlerts *alerts);
