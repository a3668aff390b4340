/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What every plugin must do, whatever its kind: start, stop, start again, several at once, and
 * take every value that its own table of parameters allows or say why not.
 */
#pragma once

#include "commy-conformance.h"

G_BEGIN_DECLS

void commy_plugin_conformance_add (const CommyPluginDescriptor *descriptor,
                                   const CommyConformanceOptions *options);

G_END_DECLS
