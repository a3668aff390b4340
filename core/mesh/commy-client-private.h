/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The inside of a client, for its files: life and explain, route, synchronous, asynchronous and hot
 * calls.
 */
#pragma once

#include "mesh/commy-request.h"

typedef struct
{
  char *name;
  guint64 channel_serial; /* the channel the id belongs to */
  guint32 id;
} CommyClientMethod;

/* A hot reservation. */
typedef struct
{
  CommyChannel *channel; /* NULL: none; the same as @held, which is pinned meanwhile */
  CommyChannel *held;    /* reference, kept for the next reservation */
  CommyPath *path;
  CommyPlugin *serializer;
  CommyTurn turn;
  CommyGuarded guarded; /* where the guard wants to know of each call */
  CommyGuard *admitted; /* the same; NULL: none does */
  CommyFrameSpec spec;
  CommySpan span;
  guint32 method;
} CommyHotReservation;

/* What a caller that waits gets: the answer, or why there is none. */
typedef struct
{
  gboolean done;
  gboolean sent;
  CommyIncoming incoming; /* owned */
  CommyStream *stream;    /* owned: what was opened instead */
  GError *error;
} CommyWait;

struct _CommyClient
{
  GObject parent_instance;

  /* What every call looks at, in one place. */
  CommyMesh *mesh;
  CommyMeshWorker *worker; /* made at the first use */
  CommyWard *ward;         /* the worker's, of the service */
  CommyPlugin *balancer;
  guint64 calls;       /* so far */
  guint64 next_sample; /* the call that is measured next, or looks whether one is */
  gboolean fresh;      /* linearizable: ask the store first */
  gboolean calibrate;
  CommyRoute routes[COMMY_FLAVOUR_LAST]; /* by flavour */
  /* Of calls whom the former leave nobody who is well: COMMY_CLIENT_AROUNDS times by flavour. NULL:
   * there was none yet. */
  CommyRoute *arounds;

  guint64 sticky; /* hash of the key; 0: none */
  const char *balancer_origin;
  CommySelector *selector; /* NULL: any instance */
  const char *selector_origin;
  char *service;
  char *instance;
  GThread *thread;
  CommyRequirements *requirements;
  CommyExpectation *expectation; /* what it was written for, or NULL */
  gint64 timeout_ns;
  guint sample_every; /* 0: never */
  guint n_ensuring;   /* calls that are on their way to the registry or a description, and back */
  gboolean is_look;   /* to see whether an instance is well: limits of calls are not for it */
  gboolean doubts;    /* a sample said that something changed */
  gboolean has_news;  /* of its requirements; maybe told by now */
  GArray *methods;    /* CommyClientMethod; hot */
  CommyHotReservation hot;
};

/* The signal. */
#define COMMY_CLIENT_NEWS "requirements-changed"

/* (transfer full): to look at one instance, whatever selectors and limits say of calls. */
CommyClient *commy_client_new_look (CommyMesh *mesh, const char *service, const char *instance);
/* Takes over what the last client of this service in this process was written for, if any. */
void commy_client_expect_as_others (CommyClient *client);
/* Mesh usable, thread right, worker there. */
gboolean commy_client_check (CommyClient *client, GError **error);
void commy_client_key (CommyClient *client, CommyRouteKey *out_key);

/* A CommyPendingFunc that fills a CommyWait. */
void commy_client_on_answer (
    gpointer wait, CommyChannel *channel, CommyIncoming *incoming, GError *error, gboolean sent);
/* Whether the route can be used as it is, as commy_route_is_fresh() says, for what every call goes
 * through. Asked inside the worker: the registry stays as long as this thread does. */
static inline gboolean
commy_client_is_current (CommyClient *client, const CommyRoute *route)
{
  return commy_mesh_is_up (client->mesh) && !client->fresh && route->n_members > 0
         && route->samples < COMMY_ROUTE_RECHECK_SAMPLES && route->recheck_ns == G_MAXINT64
         && route->mesh_epoch == commy_mesh_get_epoch (client->mesh)
         && route->peers_epoch == commy_peers_get_epoch (client->worker->peers);
}

/* For calls that name none. */
static inline gint64
commy_client_get_timeout (const CommyClient *client, const CommyGuard *guard)
{
  const gint64 of_method_ns = guard->policy->timeout_ns;

  return G_UNLIKELY (of_method_ns >= 0) ? of_method_ns : client->timeout_ns;
}

/* --- commy-client-route.c --- */

/* Decides a route, finding the service first if need be; blocks up to @deadline_us. */
gboolean commy_client_route_sync (CommyClient *client,
                                  CommyFlavour flavour,
                                  gsize size,
                                  gint64 deadline_us,
                                  GCancellable *cancellable,
                                  GError **error);
/* Decides a route from what is known now, and tells the application if that changed whether its
 * requirements are met. */
gboolean
commy_client_decide (CommyClient *client, CommyFlavour flavour, gsize size, GError **error);
/* The number of a route that was decided as if those whom the request's guard leaves out were not
 * there, and whom it leaves out there. It is kept apart: for calls of other methods, or as soon as
 * somebody is well again, all is as ever. FALSE: there is nobody else who is well, or was not a
 * moment ago. */
gboolean commy_client_route_around (CommyClient *client,
                                    const CommyRequest *request,
                                    guint *out_route,
                                    const guint64 **out_excluded);
/* How many of these a client keeps for each flavour, since methods whose guards leave out others
 * may take turns; where that is not enough they use each other's. */
#define COMMY_CLIENT_AROUNDS 4u

static inline guint
commy_client_count_routes (const CommyClient *client)
{
  return COMMY_FLAVOUR_LAST * (client->arounds != NULL ? 1 + COMMY_CLIENT_AROUNDS : 1);
}

/* By its number, as turns have it. */
static inline CommyRoute *
commy_client_get_route (CommyClient *client, guint number)
{
  return number < COMMY_FLAVOUR_LAST ? &client->routes[number]
                                     : &client->arounds[number - COMMY_FLAVOUR_LAST];
}

/* --- commy-client.c --- */

/* The calling context's own service? */
gboolean commy_client_would_deadlock (CommyClient *client, CommyPeer *peer);
/* Whether this call shall be measured, and which one is next. */
gboolean commy_client_is_sample (CommyClient *client, CommyRoute *route);

static inline gboolean
commy_client_sample (CommyClient *client, CommyRoute *route)
{
  return G_UNLIKELY (++client->calls >= client->next_sample)
         && commy_client_is_sample (client, route);
}

/* What a measured call taught. */
void commy_client_learn (CommyClient *client,
                         CommyFlavour flavour,
                         const CommyStack *stack,
                         gsize request_size,
                         gsize reply_size,
                         gint64 round_trip_ns,
                         guint64 dwell_ns);
/* --- commy-client-call.c: what both kinds of calls share --- */

#define COMMY_CLIENT_MAX_ATTEMPTS COMMY_TRIES_MAX
#define COMMY_CLIENT_MAX_COPIES 5u /* of a hedged call; as the key hedge-attempts says */

typedef struct
{
  CommyRouteMember *member;
  CommyTurn turn;
  const CommyStack *stack;
} CommyPick;

/* commy_request_init() with what the client's interface says of the method, where @options do not
 * say otherwise. */
gboolean commy_client_init_request (CommyClient *client,
                                    CommyRequest *request,
                                    const char *method,
                                    GVariant *parameters,
                                    GBytes *bytes,
                                    const CommyCallOptions *options,
                                    GError **error);
/* The same of commy_request_init_handles(). */
gboolean commy_client_init_request_with_handles (CommyClient *client,
                                                 CommyRequest *request,
                                                 const char *method,
                                                 GVariant *parameters,
                                                 GUnixFDList *handles,
                                                 const CommyCallOptions *options,
                                                 GError **error);
/* Whether it may begin at all; once a call. What was admitted must be dismissed. */
gboolean commy_client_admit (CommyClient *client, CommyRequest *request, GError **error);
void commy_client_dismiss (CommyClient *client, CommyGuard **admitted, CommyOutcome outcome);
/* Of a call that ended with @error (nullable) because nobody could be reached: adds how old what is
 * known of the service is, if the store is away. */
void commy_client_tell_age (CommyClient *client, GError *error);
/* Instance and stack for a request, by the route that was decided. */
gboolean
commy_client_pick (CommyClient *client, CommyRequest *request, CommyPick *out_pick, GError **error);
/* An attempt at whom was picked begins, and its time. */
void commy_client_begin (CommyClient *client,
                         CommyRequest *request,
                         const CommyPick *picked,
                         CommyGuarded *out_call);
/* Its path is up, which may have taken its time: that of the attempt begins now. */
void commy_client_start_clock (CommyClient *client, CommyRequest *request, CommyGuarded *call);
/* Tells the balancer how a call went that it was asked for. */
void
commy_client_report (CommyClient *client, CommyTurn turn, gint64 took_ns, CommyOutcome outcome);
/* It ended: tells guard and balancer, unless it has ended before. */
void
commy_client_end (CommyClient *client, CommyGuarded *call, CommyTurn turn, CommyOutcome outcome);
/* Whether a call that failed with @error is sent again, and when. If not, the error may say why. */
gboolean commy_client_retries (
    CommyClient *client, CommyRequest *request, GError *error, gboolean sent, gint64 *out_at_ns);
/* Which error a call ends with: that somebody was refused says more than that afterwards there was
 * no other way, or that he has to wait now. @refusal: (nullable): the first of that kind */
const GError *commy_client_weigh (const GError *refusal, const GError *last);
gboolean commy_client_is_refusal (const GError *error);
/* An answer came: counts the call, and learns from it if it was sampled. */
void commy_client_finish_call (CommyClient *client,
                               CommyFlavour flavour,
                               CommyChannel *channel,
                               const CommyStack *stack,
                               gboolean sampled,
                               gsize request_size,
                               const CommyIncoming *incoming,
                               gint64 started_ns);
/* Whether the caller does not want to wait any more; @error says why. */
gboolean commy_client_give_up (CommyClient *client,
                               CommyRequest *request,
                               GCancellable *cancellable,
                               GError **error);

/* --- synchronous ones --- */

/* A route that holds, and an instance whose path is up: an attempt at it has begun. FALSE: it has
 * ended already, or did not begin. */
gboolean commy_client_ready_sync (CommyClient *client,
                                  CommyRequest *request,
                                  GCancellable *cancellable,
                                  CommyPick *picked,
                                  CommyGuarded *call,
                                  GError **error);
/* Sends, waiting for room if need be. */
gboolean commy_client_send_sync (CommyClient *client,
                                 CommyRequest *request,
                                 CommyChannel *channel,
                                 CommyPlugin *serializer,
                                 guint32 stream,
                                 gboolean sampled,
                                 GCancellable *cancellable,
                                 GError **error);
/* commy-client-hedge.c: takes over @call, which is up and was not sent yet. */
gboolean commy_client_is_hedged (CommyClient *client, const CommyRequest *request);
gboolean commy_client_exchange_hedged (CommyClient *client,
                                       CommyRequest *request,
                                       const CommyPick *picked,
                                       CommyGuarded *call,
                                       CommyWait *wait,
                                       CommyChannel **out_channel,
                                       gboolean *out_sent,
                                       GCancellable *cancellable,
                                       GError **error);
