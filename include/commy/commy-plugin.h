/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Umbrella for plugin authors: a plugin includes this header and nothing else of Commy.
 * Read commy-descriptor.h first, then the header of your kind.
 */
#pragma once

#include <commy/commy-auth.h>
#include <commy/commy-balancer.h>
#include <commy/commy-descriptor.h>
#include <commy/commy-error.h>
#include <commy/commy-macros.h>
#include <commy/commy-policy-engine.h>
#include <commy/commy-profile.h>
#include <commy/commy-serializer.h>
#include <commy/commy-store.h>
#include <commy/commy-transport.h>
