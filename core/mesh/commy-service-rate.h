/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How many calls a second an instance takes: of all its callers together, of each principal, and
 * of each address of another host; of a method with a limit of its own, only so many of all. Where
 * the limits are the service's, each instance has its part of them: as many parts as the store
 * lists instances. Who counts is the mesh thread, when the list changes; a call asks nobody.
 */
#pragma once

#include "control/commy-instance.h"
#include "control/commy-rate-table.h"
#include "control/commy-resilience.h"
#include "mesh/commy-mesh-private.h"

/* Callers of whom an instance keeps count at a time, of each kind. */
#define COMMY_SERVICE_RATE_CALLERS 4096u

typedef enum
{
  COMMY_RATE_PRINCIPAL,
  COMMY_RATE_ADDRESS,
  COMMY_RATE_ALL,
  COMMY_RATE_KINDS
} CommyRateKind;

typedef struct
{
  char *method; /* whose limit it is; NULL: all calls' */
  CommyRateLimitPolicy whole[COMMY_RATE_KINDS];
  CommyRateTable *tables[COMMY_RATE_KINDS]; /* NULL: it is not limited */
  CommyRateBucket *all;                     /* which every caller takes from; NULL: none does */
  gboolean is_shared;
} CommyServiceRate;

/* Who calls, as it is known of a channel; and the buckets that it holds on to. One thread. */
typedef struct
{
  CommyRateBucket *buckets[COMMY_RATE_KINDS];
  CommyWhere where; /* it calls from, and */
  guint8 address[16];
  gboolean is_remote; /* that counts */
} CommyRateCaller;

/* What did not let a call through. */
typedef struct
{
  CommyRateKind kind;
  gint64 wait_ns;
  gboolean is_crowd; /* it has its bucket together with others for whom there is no room */
} CommyRateRefusal;

/* (transfer full); NULL: @config limits nothing of @service, or of one @method (nullable) of it. */
CommyServiceRate *
commy_service_rate_new (CommyConfig *config, const char *service, const char *method);
void commy_service_rate_free (CommyServiceRate *rate);

/* (transfer full) */
CommyRateCaller *commy_rate_caller_new (void);
void commy_rate_caller_free (CommyRateCaller *caller);

/* Any thread, @caller its channel's: takes a call; FALSE: there is none left for now, and nothing
 * was taken. @principal and @path: who it is, and where it calls from at present. No lock, and no
 * memory, for who has called before. */
gboolean commy_service_rate_take (CommyServiceRate *rate,
                                  CommyRateCaller *caller,
                                  const char *principal,
                                  const CommyPolicyPath *path,
                                  gint64 now_ns,
                                  CommyRateRefusal *out_refusal);
/* The same thread: a call that was taken was not carried out, because of somebody else's limit. */
void commy_service_rate_give_back (CommyServiceRate *rate, const CommyRateCaller *caller);
/* Any thread: @n instances share it from now on. Nothing where each has its own. */
void commy_service_rate_divide (CommyServiceRate *rate, guint n, gint64 now_ns);
/* Any thread; (transfer full): the limit and when there is a call again, as an error tells it. */
char *commy_service_rate_describe (CommyServiceRate *rate, const CommyRateRefusal *refusal);

/* How many instances the store lists in @snapshot, the one with @id among them in any case. */
guint commy_service_rate_count (const CommySnapshot *snapshot, const char *id);
/* Mesh thread: from now on there are snapshots of @service, where a limit of it is shared. */
void commy_service_rate_follow (CommyService *service);
/* Mesh thread: a new one. What is offered here under its name divides its limit anew. */
void commy_service_rate_note (CommyMesh *mesh, const CommySnapshot *snapshot);
