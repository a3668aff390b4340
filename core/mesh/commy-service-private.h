/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The inside of a service and of its invocations, for their files.
 */
#pragma once

#include "channel/commy-spin.h"
#include "mesh/commy-request.h"
#include "mesh/commy-service-rate.h"
#include "mesh/commy-shed.h"
#include "mesh/commy-topic-private.h"

typedef struct
{
  char *name;
  const GDBusMethodInfo *info; /* NULL: untyped */
  GVariantType *in_type;       /* NULL: untyped */
  GVariantType *out_type;
  CommyStreamKind kind;     /* 0: does not stream */
  GVariantType *stream_in;  /* of messages to the service; NULL: any */
  GVariantType *stream_out; /* and from it */
  CommyShed *shed;          /* NULL: all calls are begun */
  CommyServiceRate *rate;   /* of its own, beside the service's; NULL: it has none */
  CommyCallFunc func;
  CommySpanFunc span_func;
  gpointer user_data;
  GDestroyNotify destroy;
} CommyServiceMethod;

/* A worker thread of a service: spins, then lets its context sleep. */
typedef struct
{
  gatomicrefcount refs; /* the service's and the thread's own */
  CommyMeshWorker *worker;
  GMainContext *context;
  gboolean own;   /* has a thread; else the program's own context */
  guint32 stop;   /* atomic */
  gint64 spin_ns; /* at most; 0: never, G_MAXINT64: always */
  CommySpinner spinner;
} CommyServiceThread;

#define COMMY_SERVICE_MAX_WORKERS 64

/* What the program says of its service; the keyfile may say otherwise. */
typedef struct
{
  char *version;      /* NULL: it does not say */
  char **tags;        /* likewise */
  GVariant *metadata; /* likewise; a{ss} */
  guint32 weight;     /* 0: likewise */
  char *health;       /* as in its record; NULL: it serves */
} CommyServiceFacts;

typedef enum
{
  COMMY_SERVICE_IDLE,
  COMMY_SERVICE_STARTING,
  COMMY_SERVICE_OFFERED,
  COMMY_SERVICE_STOPPING,
} CommyServiceState;

struct _CommyService
{
  GObject parent_instance;

  CommyMesh *mesh;   /* a reference unless internal */
  gboolean internal; /* the mesh's own */
  char *name;
  GDBusInterfaceInfo *interface;
  GMainContext *context;
  CommyTopicCounts *counts; /* of a publisher's service, else NULL */
  CommyMeshWorker *home;    /* its only worker, which somebody moves; NULL: it has its own */
  gint workers;             /* -1: as the keyfile says */
  GHashTable *methods;
  CommyServiceRate *rate;       /* NULL: it takes what comes */
  CommyServiceMethod *describe; /* says what the interface is; NULL: untyped */

  GMutex lock; /* of state, instance, threads */
  CommyServiceState state;
  CommyInstance *instance;
  GPtrArray *threads; /* CommyServiceThread */
  guint next_thread;
  guint in_flight; /* atomic: calls that are not answered */
  guint32 stops;   /* atomic: how often it was stopped; handlers that wait look at it */
  GPtrArray *stop_tasks;
  struct _CommyFarewell *farewell; /* a stop under way; mesh thread */
  guint drain_ms;                  /* how long a stop waits for calls under way; mesh thread */
  CommyServiceFacts facts;         /* under lock */

  /* mesh thread; commy-service-record.c */
  gboolean is_writing;       /* the store was given a record and has not answered */
  gboolean is_stale;         /* what it was given is not right any more */
  gboolean is_listed;        /* from the first record until it is taken away */
  CommyWorkFunc after_write; /* waits until the store has answered; or NULL */
};

/* Mesh thread: where an accepted channel goes. FALSE: it is being stopped. */
gboolean commy_service_destination (CommyService *service, CommyDestination *out_destination);
gboolean commy_service_runs_only_on (CommyService *service, CommyMeshWorker *worker);
void commy_service_call_began (CommyService *service);
void commy_service_call_ended (CommyService *service);
/* Mesh thread: takes no new calls from now on; callers are told. */
void commy_service_announce_end_here (CommyService *service);
/* Whether calls are under way that worker threads of its own will answer. */
gboolean commy_service_is_draining (CommyService *service);
/* Mesh thread: stops at once, without a drain. */
void commy_service_abort_here (CommyService *service);
/* The mesh's own service may have a reserved name and is started on the mesh thread. */
CommyService *commy_service_new_internal (CommyMesh *mesh,
                                          const char *name,
                                          GDBusInterfaceInfo *interface,
                                          GMainContext *context);
/* What a publisher offers: an endpoint of a reserved name, on @home. */
CommyService *commy_service_new_for_topic (CommyMesh *mesh,
                                           const char *endpoint,
                                           CommyMeshWorker *home,
                                           CommyTopicCounts *counts);
void commy_service_offer_here (CommyService *service, CommyRegistryFunc done, gpointer data);

/* --- commy-service-record.c: mesh thread --- */

/* Puts the first record into the store. */
void commy_service_list_here (CommyService *service, CommyRegistryFunc done, gpointer data);
/* What the record is made of changed: it is written anew, if there is one. As often as need be;
 * what changes while the store is busy is written once. */
void commy_service_relist_here (CommyService *service);
/* From now on nothing is written any more. FALSE: the store is busy with a record; @func gets the
 * service when it is not any more, and a reference to it. */
gboolean commy_service_unlist_here (CommyService *service, CommyWorkFunc func);
/* Whether it is the application's, and work comes as calls: topics have subscribers, who stay. */
gboolean commy_service_can_drain (CommyService *service);
void commy_service_facts_clear (CommyServiceFacts *facts);
/* (transfer full): what it says of its health. Any thread. */
char *commy_service_dup_health (CommyService *service);

/* Whether the call is of the method's kind: one that streams, or not. If not it is refused. */
gboolean commy_invocation_fits_kind (CommyService *service,
                                     CommyChannel *channel,
                                     CommyServiceMethod *method,
                                     CommyIncoming *incoming);
/* Whether the service takes one more now. If not it is refused. */
gboolean commy_invocation_is_within_rate (CommyService *service,
                                          CommyChannel *channel,
                                          CommyServiceMethod *method,
                                          CommyIncoming *incoming);
/* Whether its caller may have this node do @operation. If not it has been answered. */
gboolean commy_invocation_may_control (CommyInvocation *invocation, const char *operation);
/* Makes the invocation of a call and runs the handler. */
void commy_invocation_dispatch (CommyService *service,
                                CommyChannel *channel,
                                CommyServiceMethod *method,
                                CommyIncoming *incoming);
/* Runs a hot handler in place. */
void commy_span_call_dispatch (CommyService *service,
                               CommyChannel *channel,
                               CommyServiceMethod *method,
                               CommyIncoming *incoming);

/* --- commy-service-threads.c --- */

/* As many as were asked for, or the program's own context. */
gboolean commy_service_start_threads (CommyService *service, GError **error);
/* Does not wait for the thread: it may be in a handler that waits for the mesh thread. */
void commy_service_thread_free (gpointer thread);
