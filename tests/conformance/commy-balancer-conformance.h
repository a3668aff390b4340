/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What every balancer must do: pick a member that is there and not excluded, or say that there is
 * none; stay sane while members come and go. How picks are spread is each balancer's own affair.
 */
#pragma once

#include "commy-conformance.h"

G_BEGIN_DECLS

void commy_balancer_conformance_add (const CommyPluginDescriptor *descriptor,
                                     const CommyConformanceOptions *options);

G_END_DECLS
