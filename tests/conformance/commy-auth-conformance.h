/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What every auth provider must do: never take nothing for a proof, name whom it accepts, say why
 * it refuses, judge the same evidence the same way. Whom it accepts is each provider's own affair.
 */
#pragma once

#include "commy-conformance.h"

G_BEGIN_DECLS

void commy_auth_conformance_add (const CommyPluginDescriptor *descriptor,
                                 const CommyConformanceOptions *options);

G_END_DECLS
