/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The file of measurements in the state folder: read at the start, merged and replaced as a whole,
 * so that several processes may share it. What is in it is core/route's business.
 */
#pragma once

#include "plugin/commy-catalog.h"
#include "route/commy-measurement.h"

/* This machine, as measurements mean it: processor model and number, and which machine of those.
 * (transfer full) */
char *commy_machine_name (void);
/* The build of a plugin: its version and a hash of its file. */
void commy_plugin_build (const CommyPlugin *plugin, char *out, gsize size);

/* Appends the entries of @path. A file that cannot be used is left out with a word in the log. */
void commy_measurement_load (const char *path, const char *machine, GArray *entries);
/* Lays @entries over what the file has; of two of the same, the younger stays. */
void commy_measurement_save (const char *path, const char *machine, const GArray *entries);
