/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Umbrella for applications.
 */
#pragma once

#include <commy/commy-audit.h>
#include <commy/commy-client.h>
#include <commy/commy-decision.h>
#include <commy/commy-error.h>
#include <commy/commy-hot.h>
#include <commy/commy-macros.h>
#include <commy/commy-mesh-store.h>
#include <commy/commy-mesh.h>
#include <commy/commy-requirements.h>
#include <commy/commy-schema.h>
#include <commy/commy-service.h>
#include <commy/commy-stream.h>
#include <commy/commy-topic.h>
#include <commy/commy-types.h>
#include <commy/commy-version.h>
