/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Clients that speak commyd's protocol by hand, and the operator who has it read its keyfile again.
 */
#pragma once

#include "daemon-fixture.h"

#include "stores/common/commy-store-stream.h"

#include <sys/un.h>

void address_of (TestDaemon *daemon, struct sockaddr_un *out_address);
/* A connection. */
int knock (TestDaemon *daemon);
/* Waits for a frame; FALSE: the daemon hung up. */
gboolean await_frame (StoreStream *stream, StoreWireHeader *out_header, const guint8 **out_payload);
/* A client that was welcomed. */
void greet (TestDaemon *daemon, StoreStream *stream);
/* It runs with other settings, or has said why it does not. */
void reload (TestDaemon *daemon, const char *text);
