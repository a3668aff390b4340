/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What every policy engine must do: end each decision once, or not at all when it was cancelled,
 * and leave nothing behind. What it decides is its own affair, and where it asks nobody knows here.
 */
#pragma once

#include "commy-conformance.h"

G_BEGIN_DECLS

void commy_policy_conformance_add (const CommyPluginDescriptor *descriptor,
                                   const CommyConformanceOptions *options);

G_END_DECLS
