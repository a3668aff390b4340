/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Forward declarations of everything an application holds, so that the other headers
 * need not include each other.
 */
#pragma once

#include <commy/commy-macros.h>

#include <gio/gio.h>

G_BEGIN_DECLS

typedef struct _CommyMesh CommyMesh;
typedef struct _CommyService CommyService;
typedef struct _CommyClient CommyClient;
typedef struct _CommyInvocation CommyInvocation;
typedef struct _CommyPrincipal CommyPrincipal;
typedef struct _CommyRequirements CommyRequirements;
typedef struct _CommyCallOptions CommyCallOptions;
typedef struct _CommyWhatIf CommyWhatIf;
typedef struct _CommyDecision CommyDecision;
typedef struct _CommyStream CommyStream;
typedef struct _CommyPublisher CommyPublisher;
typedef struct _CommySubscription CommySubscription;

G_END_DECLS
