/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How many calls a second an instance takes, of all its callers together; of a method with a limit
 * of its own, only so many of them. Where the limit is the
 * service's, each instance has its part of it: as many parts as the store lists instances. Who
 * counts is the mesh thread, when the list changes; a call asks nobody.
 */
#pragma once

#include "control/commy-instance.h"
#include "control/commy-resilience.h"
#include "mesh/commy-mesh-private.h"

typedef struct
{
  CommyServePolicy policy;
  char *method; /* whose limit it is; NULL: all calls' */
  GMutex lock;  /* of what follows */
  guint n;      /* instances that share it; 0: nobody has counted yet, and it counts as one */
  CommyRateLimitPolicy part;
  CommyRateLimit bucket;
} CommyServiceRate;

/* (transfer full); NULL: @config limits nothing of @service, or of one @method (nullable) of it. */
CommyServiceRate *
commy_service_rate_new (CommyConfig *config, const char *service, const char *method);
void commy_service_rate_free (CommyServiceRate *rate);
/* Any thread: takes a call; FALSE: there is none left for now. */
gboolean commy_service_rate_take (CommyServiceRate *rate, gint64 now_ns);
/* Any thread: one that was taken was not carried out, because of somebody else's limit. */
void commy_service_rate_give_back (CommyServiceRate *rate);
/* Any thread: @n instances share it from now on. Nothing where each has its own. */
void commy_service_rate_divide (CommyServiceRate *rate, guint n, gint64 now_ns);
/* Any thread; (transfer full): what it is, as an error tells it. */
char *commy_service_rate_describe (CommyServiceRate *rate);

/* How many instances the store lists in @snapshot, the one with @id among them in any case. */
guint commy_service_rate_count (const CommySnapshot *snapshot, const char *id);
/* Mesh thread: from now on there are snapshots of @service, where a limit of it is shared. */
void commy_service_rate_follow (CommyService *service);
/* Mesh thread: a new one. What is offered here under its name divides its limit anew. */
void commy_service_rate_note (CommyMesh *mesh, const CommySnapshot *snapshot);
