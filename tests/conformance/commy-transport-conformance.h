/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The conformance suite of transports: every rule of commy-transport.h that can be seen from
 * outside is one test case, `/conformance/TRANSPORT/RULE`.
 */
#pragma once

#include "commy-transport-rig.h"

/* Adds every rule for @subject, whose strings must outlive the run. Where its module, or its
 * hook's, is not built, or the transport does not claim what a rule is about, the case is skipped
 * with the reason.
 */
void commy_transport_conformance_add (const CommyTransportSubject *subject);
