/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How a service parts from its callers: all are told that it takes nothing new; each channel is
 * closed when its caller has heard that and has all answers; and who cannot be waited for any
 * longer is closed without.
 */
#pragma once

#include "mesh/commy-service-private.h"

typedef struct _CommyFarewell CommyFarewell;

/* Tells the callers, on their channels' workers. */
void commy_farewell_tell (CommyService *service);
/* Closes what is still open. */
void commy_farewell_close (CommyService *service);

/* Mesh thread, after they were told: closes the channels one by one, for @limit_ns at most. @done
 * gets @service (transfer none), once, never at once. */
CommyFarewell *commy_farewell_new (CommyService *service, gint64 limit_ns, CommyWorkFunc done);
/* @done is not called any more. */
void commy_farewell_free (CommyFarewell *farewell);
