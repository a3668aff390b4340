/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The inside of a mesh, for the files of this folder.
 */
#pragma once

#include "base/commy-env.h"
#include "channel/commy-death-watch.h"
#include "channel/commy-setup.h"
#include "config/commy-config.h"
#include "control/commy-call-limits.h"
#include "control/commy-dependencies.h"
#include "control/commy-registry.h"
#include "observe/commy-counters.h"
#include "plugin/commy-catalog.h"
#include "route/commy-decision-log.h"
#include "security/commy-policy-current.h"

#include <commy/commy.h>

#include <unistd.h>

typedef enum
{
  COMMY_MESH_NEW,
  COMMY_MESH_JOINING,
  COMMY_MESH_JOINED,
  COMMY_MESH_LEAVING,
  COMMY_MESH_LEFT,
} CommyMeshState;

typedef struct _CommyActs CommyActs;
typedef struct _CommyPeers CommyPeers;
typedef struct _CommyAlerts CommyAlerts;
typedef struct _CommyHealthChecks CommyHealthChecks;
typedef struct _CommyInterfaceChecks CommyInterfaceChecks;
typedef struct _CommyProber CommyProber;
typedef struct _CommyTopics CommyTopics;
typedef struct _CommyNodeKeeper CommyNodeKeeper;
typedef struct _CommyDrain CommyDrain;
typedef struct _CommyHostLook CommyHostLook;
typedef struct _CommyPolicyWatch CommyPolicyWatch;
typedef struct _CommyProofKeeper CommyProofKeeper;

/* A worker with what clients on it share. */
typedef struct
{
  gatomicrefcount refs;
  CommyMesh *mesh; /* a reference unless internal */
  gboolean internal;
  CommyWorker *worker;
  GThread *thread;   /* of a client without a main context of its own, else NULL */
  CommyPeers *peers; /* owner's thread */
} CommyMeshWorker;

struct _CommyMesh
{
  GObject parent_instance;

  char *name;
  char node[33];
  GPid pid;                /* of the process that made it: a forked child's mesh is unusable */
  const guint32 *own_word; /* 0 in a forked child; NULL: only the pid tells */
  const CommyEnv *env;
  GMainContext *home; /* that was default where it was made: signals are emitted there */
  CommyConfig *config;
  char *settings; /* of the program, as keyfile text; or NULL */
  CommyCatalog *catalog;
  char *runtime_dir;
  char *state_dir;
  char *credentials_dir;
  CommyLedger ledger;
  CommyCallLimits *call_limits;    /* of all threads' calls; has its own lock */
  CommyDependencies *dependencies; /* what they called; likewise */

  GCond left;  /* of state: no longer LEAVING */
  GMutex lock; /* of state, workers, decisions, watchers, expected, and of context once joined */
  CommyMeshState state;
  guint32 epoch;      /* atomic; grows with what routes are decided from: snapshots, findings */
  GPtrArray *workers; /* CommyMeshWorker, borrowed */
  CommyDecisionLog decisions;
  GPtrArray *watchers; /* CommyTopicWatcher, one reference each */
  CommyActs *acts;     /* under acts_lock; NULL: nothing was recorded without being joined */
  GMutex acts_lock;
  GHashTable *expected; /* service -> CommyExpectation of the last client that has one; or NULL */

  /* from join to leave; immutable between */
  GMainContext *context;
  GMainLoop *loop;
  GThread *thread;
  CommyPolicyCurrent *policy;
  CommyDeathWatch *deaths;
  CommyChannelShared shared;
  CommySetupShared setup;
  CommyRegistry *registry;
  CommyProber *prober;
  CommyInterfaceChecks *interface_checks;
  CommyHealthChecks *health;
  gboolean looks_for_host;  /* what it finds by looking is told to the others */
  CommyHostLook *host_look; /* or NULL */
  CommyAlerts *alerts;
  CommyPlugin *store;
  GPtrArray *started; /* CommyPlugin, in order of start */

  /* mesh thread */
  CommyPolicyWatch *policy_watch; /* or NULL */
  CommyProofKeeper *proofs;
  GPtrArray *listeners; /* CommyListener */
  GHashTable *offers;   /* instance id -> CommyService (ref); changed under lock */
  CommyService *node_service;
  CommyNodeKeeper *keeper;   /* of the node's record; NULL: not joined yet, or not any more */
  CommyDrain *drain;         /* that is under way, or NULL */
  gboolean is_cordoned;      /* what is offered here takes no new work */
  CommyTopics *topics;       /* NULL: nobody has subscribed yet */
  GPtrArray *own_publishers; /* CommyPublisher, of commy_mesh_publish(); under lock; or NULL */
  GPtrArray *topic_services; /* CommyService of started publishers, theirs; under lock; or NULL */
  GPtrArray *store_watches;  /* of programs, commy-store-watch.c; NULL: nobody has watched yet */
  GPtrArray *kept_balancers; /* ids, interned, that programs named; on the mesh thread; or NULL */
  gboolean left_from_inside; /* a handler or callback leaves: nothing can be waited for */
};

/* Whether the mesh can be used by this process now. */
gboolean commy_mesh_check_joined (CommyMesh *mesh, GError **error);

/* Whether this is a forked child of the process that made it; asks the kernel only where there is
 * no other way, because every call wants to know. */
static inline gboolean
commy_mesh_is_inherited (const CommyMesh *mesh)
{
  if (G_LIKELY (mesh->own_word != NULL))
    return *mesh->own_word == 0;
  return mesh->pid != getpid ();
}

/* Inside a worker: leaving waits for who is inside, so what it takes down is still there. */
static inline gboolean
commy_mesh_is_up (CommyMesh *mesh)
{
  return __atomic_load_n (&mesh->state, __ATOMIC_ACQUIRE) == COMMY_MESH_JOINED;
}

static inline guint32
commy_mesh_get_epoch (CommyMesh *mesh)
{
  return __atomic_load_n (&mesh->epoch, __ATOMIC_ACQUIRE);
}

/* Runs on the mesh thread, at once if this is it; or if the mesh was left. */
void commy_mesh_invoke (CommyMesh *mesh, CommyWorkFunc func, gpointer data);
/* The same, but never at once. */
void commy_mesh_post (CommyMesh *mesh, CommyWorkFunc func, gpointer data);
gboolean commy_mesh_is_mesh_thread (CommyMesh *mesh);

/* The worker for the calling thread's context (client) or for a context (service). */
CommyMeshWorker *commy_mesh_dup_worker_here (CommyMesh *mesh, GError **error);
CommyMeshWorker *commy_mesh_dup_worker_for (CommyMesh *mesh, GMainContext *context, GError **error);
CommyMeshWorker *commy_mesh_worker_ref (CommyMeshWorker *worker);
void commy_mesh_worker_unref (CommyMeshWorker *worker);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyMeshWorker, commy_mesh_worker_unref)
/* (element-type CommyMeshWorker) (transfer full) */
GPtrArray *commy_mesh_dup_workers (CommyMesh *mesh);
/* Whether there were any. Closes all channels for good; @only_ours: of workers the calling thread
 * is inside of. */
gboolean commy_mesh_shut_workers (CommyMesh *mesh, gboolean only_ours);

/* They may open channels again. */
void commy_mesh_reopen_workers (CommyMesh *mesh);

void commy_mesh_record_decision (CommyMesh *mesh, CommyDecision *decision);

/* commy-mesh-join.c: on the mesh thread */
gboolean commy_mesh_join_here (CommyMesh *mesh, GError **error);
/* One that a key of a keyfile's group names; started if it is not. (transfer none) */
CommyPlugin *commy_mesh_start_named (CommyMesh *mesh,
                                     guint kind,
                                     const char *group,
                                     const char *key,
                                     const char *id,
                                     GError **error);
/* On the mesh thread; @who asks for it, as errors name it. (transfer none) */
CommyPlugin *
commy_mesh_start_balancer (CommyMesh *mesh, const char *id, const char *who, GError **error);
/* A program named it: it is started again when the mesh is joined again. */
void commy_mesh_keep_balancer (CommyMesh *mesh, const char *id);
void commy_mesh_leave_here (CommyMesh *mesh);

/* The service behind an instance of this node, or NULL. Any thread. (transfer full) */
CommyService *commy_mesh_dup_offer (CommyMesh *mesh, const char *instance);
/* Whether this very process offers @instance. That its record has our node in it says nothing:
 * whoever may write a record can write that. */
gboolean commy_mesh_is_ours (CommyMesh *mesh, const CommyInstance *instance);

/* commy-mesh-audit.c: mesh thread. Nothing happens where the trail is not enabled. */
gboolean commy_mesh_start_audit (CommyMesh *mesh, GError **error);
void commy_mesh_stop_audit (CommyMesh *mesh);
void commy_mesh_audit (CommyMesh *mesh,
                       const char *type,
                       const char *outcome,
                       const char *reason,
                       const char *details);
/* All that the keyfile says; seals are the caller's. @directory must last until the log is made. */
gboolean commy_mesh_fill_audit_setup (CommyMesh *mesh,
                                      const char *directory,
                                      CommyAuditLogSetup *setup,
                                      GError **error);
/* commy-mesh-acts.c: the trail of acts of one that has not joined; NULL is nothing */
void commy_acts_free (CommyActs *acts);
/* @fault: why it was refused, or NULL. FALSE: it cannot be recorded, and must not be taken. */
gboolean
commy_mesh_audit_policy (CommyMesh *mesh, CommyConfig *config, const GError *fault, GError **error);
/* FALSE: that cannot be recorded, and the mesh must not be joined. */
gboolean commy_mesh_audit_plugins (CommyMesh *mesh, GError **error);
/* What plugins tell through their host. */
void commy_mesh_audit_from_plugin (gpointer mesh,
                                   const char *type,
                                   const char *outcome,
                                   const char *details);

/* commy-mesh-publish.c: mesh thread; what commy_mesh_publish() kept */
void commy_mesh_drop_publishers (CommyMesh *mesh);
/* Any thread: the service of a publisher, from its start until before its end. */
void commy_mesh_add_topic (CommyMesh *mesh, CommyService *service);
void commy_mesh_remove_topic (CommyMesh *mesh, CommyService *service);
/* The mesh was joined again: what publishers offered before. */
void commy_mesh_offer_topics (CommyMesh *mesh);

/* commy-mesh-nodes.c: tells the program that its node was drained */
#define COMMY_MESH_DRAINED "drained"
void commy_mesh_tell_drained (CommyMesh *mesh, guint left);

/* commy-survey.c */
/* @before: the one of the same service that it replaces; or NULL. */
void commy_survey_snapshot (gpointer mesh, CommySnapshot *snapshot, const CommySnapshot *before);

/* commy-mesh-policy.c: mesh thread */
gboolean commy_mesh_make_policy (CommyMesh *mesh, GError **error);
/* Reads the keyfiles again; on error the policy in force stays. */
gboolean commy_mesh_reload_policy_here (CommyMesh *mesh, GError **error);

/* commy-mesh-engine.c: mesh thread; who is asked by rules with ask=engine, if anybody is */
gboolean commy_mesh_start_engine (CommyMesh *mesh, GError **error);
void commy_mesh_stop_engine (CommyMesh *mesh);
/* Settings were read again: what it said is forgotten. FALSE: they name another one. */
gboolean commy_mesh_check_engine (CommyMesh *mesh, CommyConfig *config, GError **error);
void commy_mesh_renew_engine (CommyMesh *mesh, CommyConfig *config);
/* Any thread; blocks. (transfer full): why it denies @request; NULL: it allows, or @error. */
char *commy_mesh_ask_engine (CommyMesh *mesh, const CommyPolicyRequest *request, GError **error);

/* commy-node-service.c */
CommyService *commy_node_service_new (CommyMesh *mesh);

/* --- waiting for the mesh thread --- */

typedef struct _CommyLatch CommyLatch;

/* Two references: the waiter's and the answerer's. */
CommyLatch *commy_latch_new (void);
void commy_latch_unref (CommyLatch *latch);
/* @result: given to the waiter, or freed with @free_func if it went away. */
void commy_latch_answer (CommyLatch *latch,
                         gpointer result,
                         GDestroyNotify free_func,
                         const GError *error);
/* FALSE with @error on failure, at the deadline or when cancelled. */
gboolean commy_latch_wait (CommyLatch *latch,
                           gint64 deadline_us,
                           GCancellable *cancellable,
                           gpointer *out_result,
                           GError **error);
