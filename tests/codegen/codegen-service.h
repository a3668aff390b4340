/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a child offers for the test of generated code: every interface of its XML, by skeletons.
 */
#pragma once

#include "tests/mesh/mesh-fixture.h"

#define EVERYTHING "org.example.Everything"
#define MONITOR "org.freedesktop.portal.NetworkMonitor"
#define NOTIFICATION "org.freedesktop.portal.Notification"
#define DOCUMENTS "org.freedesktop.portal.Documents"
#define AVAHI "org.freedesktop.Avahi.Server"
#define OLDER "org.example.Older" /* Everything as it once was */
#define LIAR "org.example.Liar"   /* says it is Everything, and answers with other types */

/* Handlers of everything run on a thread of the service; those of the others in the child's main
 * context. All live as long as @service. */
void codegen_service_extend (CommyService *service);
