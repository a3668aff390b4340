/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The route of a client: finding its service first if need be, deciding, telling the application
 * when that changed whether its requirements are met, and the ways around those who are left out.
 */
#include "config.h"

#include "mesh/commy-client-private.h"

#include "base/commy-error-private.h"
#include "mesh/commy-interface-check.h"

#define AROUND_PAUSE_NS G_GINT64_CONSTANT (10000000)

/* --- deciding, and whether requirements are met --- */

typedef struct
{
  GWeakRef client; /* who went meanwhile need not know */
  gboolean met;
  CommyDecision *decision;
} News;

static void
news_free (gpointer data)
{
  News *news = data;

  g_weak_ref_clear (&news->client);
  commy_decision_unref (news->decision);
  g_free (news);
}

static gboolean
tell_from_loop (gpointer data)
{
  News *news = data;
  g_autoptr (CommyClient) client = g_weak_ref_get (&news->client);

  if (client != NULL)
    g_signal_emit_by_name (client, COMMY_CLIENT_NEWS, news->met, news->decision);
  return G_SOURCE_REMOVE;
}

static void
tell_after_call (gpointer data)
{
  tell_from_loop (data);
  news_free (data);
}

/* Never from inside a call, so that a handler may do as it likes. */
static void
spread_news (CommyClient *self, CommyRoute *route)
{
  CommyWorker *worker = self->worker->worker;
  News *news = g_new (News, 1);
  g_autoptr (GSource) source = NULL;

  g_weak_ref_init (&news->client, self);
  news->met = !route->requirements_unmet;
  news->decision = g_steal_pointer (&route->news);
  if (!commy_worker_is_attached (worker))
    {
      commy_worker_defer (worker, tell_after_call, news);
      return;
    }
  source = g_idle_source_new ();
  g_source_set_priority (source, G_PRIORITY_DEFAULT);
  g_source_set_callback (source, tell_from_loop, news, news_free);
  g_source_attach (source, commy_worker_get_context (worker));
}

gboolean
commy_client_decide (CommyClient *self, CommyFlavour flavour, gsize size, GError **error)
{
  CommyRoute *route = &self->routes[flavour];
  CommyRouteKey key;
  gboolean ok;

  commy_client_key (self, &key);
  self->doubts = FALSE;
  ok = commy_route_decide_now (route, &key, flavour, size, error);
  if (route->news != NULL)
    {
      spread_news (self, route);
      self->has_news = TRUE;
    }
  return ok;
}

static gboolean
has_somebody_well (CommyRoute *route, const CommyRequest *request, const guint64 **out_excluded)
{
  return commy_ward_exclude (request->guard, &route->mask, route->peers, route->n_members,
                             &request->tries, request->now_ns, out_excluded)
         == COMMY_WARD_WELL;
}

/* --- around those who are left out --- */

/* The numbers of the routes around somebody of a flavour: the first, and from one to the next. */
static guint
number_around (CommyFlavour flavour, guint slot)
{
  return COMMY_FLAVOUR_LAST * (1 + slot) + flavour;
}

/* Where the guard's own route is kept, or may be: the one that was decided longest ago. */
static guint
find_slot (CommyClient *self, const CommyRequest *request)
{
  guint found = number_around (request->flavour, 0);

  for (guint i = 0; i < COMMY_CLIENT_AROUNDS; i++)
    {
      guint number = number_around (request->flavour, i);
      const CommyRoute *route = commy_client_get_route (self, number);

      if (route->around == request->guard)
        return number;
      if (route->decided_ns < commy_client_get_route (self, found)->decided_ns)
        found = number;
    }
  return found;
}

static gboolean
is_usable (CommyRoute *route,
           const CommyRouteKey *key,
           const CommyRequest *request,
           const guint64 **out_excluded)
{
  return commy_route_is_fresh (route, key) && has_somebody_well (route, request, out_excluded);
}

/* More guards than there is room for: another's will do if somebody is well there. */
static gboolean
find_shared (CommyClient *self,
             const CommyRouteKey *key,
             const CommyRequest *request,
             guint *out_route,
             const guint64 **out_excluded)
{
  for (guint i = 0; i < COMMY_CLIENT_AROUNDS; i++)
    {
      *out_route = number_around (request->flavour, i);
      if (is_usable (commy_client_get_route (self, *out_route), key, request, out_excluded))
        return TRUE;
    }
  return FALSE;
}

gboolean
commy_client_route_around (CommyClient *self,
                           const CommyRequest *request,
                           guint *out_route,
                           const guint64 **out_excluded)
{
  const CommyRoute *usual = &self->routes[request->flavour];
  CommyRouteKey key;
  CommyRoute *route;

  if (usual->snapshot == NULL || usual->snapshot->instances->len <= usual->n_members)
    return FALSE;
  if (self->arounds == NULL)
    self->arounds = g_new0 (CommyRoute, COMMY_FLAVOUR_LAST * COMMY_CLIENT_AROUNDS);
  commy_client_key (self, &key);
  key.around = request->guard;
  *out_route = find_slot (self, request);
  route = commy_client_get_route (self, *out_route);
  if (route->around == request->guard && is_usable (route, &key, request, out_excluded))
    return TRUE;
  if (route->around != NULL && route->around != request->guard)
    {
      guint other;

      if (find_shared (self, &key, request, &other, out_excluded))
        {
          *out_route = other;
          return TRUE;
        }
      if (request->now_ns < route->decided_ns + AROUND_PAUSE_NS)
        return FALSE;
    }
  /* A decision is too much for each call of many that fail, also where methods take turns. */
  if (request->now_ns < request->guard->around_ns)
    return FALSE;
  route->around = request->guard;
  if (commy_route_decide_now (route, &key, request->flavour, request->size, NULL)
      && has_somebody_well (route, request, out_excluded))
    return TRUE;
  request->guard->around_ns = request->now_ns + AROUND_PAUSE_NS;
  return FALSE;
}

/* --- for calls that wait --- */

typedef struct
{
  CommyMesh *mesh;
  char *service;
  CommyExpectation *awaited; /* its comparison instead of the service; NULL: the service */
  gboolean fresh;
  CommyLatch *latch;
} Ensure;

static void
ensure_done (gpointer data, const GError *error)
{
  Ensure *ensure = data;

  CommyLatch *latch = ensure->latch;

  /* The waiter may drop the mesh at once: ours must not be the last reference. */
  g_object_unref (ensure->mesh);
  g_clear_pointer (&ensure->awaited, commy_expectation_unref);
  g_free (ensure->service);
  g_free (ensure);
  commy_latch_answer (latch, NULL, NULL, error);
}

static void
ensure_start (gpointer data)
{
  Ensure *ensure = data;
  g_autoptr (GError) error = NULL;

  if (ensure->mesh->registry == NULL)
    {
      commy_set_error (&error, COMMY_ERROR_LEAVING, "the mesh is being left");
      ensure_done (ensure, error);
      return;
    }
  if (ensure->awaited != NULL)
    commy_interface_checks_wait (ensure->mesh->interface_checks, ensure->awaited, ensure_done,
                                 ensure);
  else
    commy_registry_ensure (ensure->mesh->registry, ensure->service, ensure->fresh, ensure_done,
                           ensure);
}

/* Until there is a snapshot of the service; or, with @awaits, one of its instances has said what it
 * offers. FALSE on the thread that would have to find it out: there what is known has to do. */
static gboolean
find_service_sync (CommyClient *self,
                   gboolean fresh,
                   gboolean awaits,
                   gint64 deadline_us,
                   GCancellable *cancellable,
                   GError **error)
{
  Ensure *ensure;
  CommyLatch *latch;

  if (commy_mesh_is_mesh_thread (self->mesh))
    {
      commy_set_error (error, COMMY_ERROR_NO_SERVICE, "%s is not known to this node yet",
                       self->service);
      return FALSE;
    }
  ensure = g_new0 (Ensure, 1);
  latch = commy_latch_new ();
  ensure->mesh = g_object_ref (self->mesh);
  ensure->service = g_strdup (self->service);
  ensure->fresh = fresh;
  ensure->awaited = awaits ? commy_expectation_ref (self->expectation) : NULL;
  ensure->latch = latch;
  commy_mesh_invoke (self->mesh, ensure_start, ensure);
  return commy_latch_wait (latch, deadline_us, cancellable, NULL, error);
}

/* Waits for what has to be compared first, except on the thread that finds it out. */
static gboolean
decide_sync (CommyClient *self,
             CommyFlavour flavour,
             gsize size,
             gint64 deadline_us,
             GCancellable *cancellable,
             GError **error)
{
  for (;;)
    {
      g_autoptr (GError) cause = NULL;

      if (commy_client_decide (self, flavour, size, &cause))
        return TRUE;
      if (!self->routes[flavour].awaits || commy_mesh_is_mesh_thread (self->mesh))
        {
          g_propagate_error (error, g_steal_pointer (&cause));
          return FALSE;
        }
      if (!find_service_sync (self, FALSE, TRUE, deadline_us, cancellable, error))
        return FALSE;
    }
}

static G_GNUC_NO_INLINE gboolean
route_anew (CommyClient *self,
            CommyFlavour flavour,
            gsize size,
            gint64 deadline_us,
            GCancellable *cancellable,
            GError **error)
{
  CommyRoute *route = &self->routes[flavour];
  g_autoptr (CommySnapshot) snapshot = NULL;
  g_autoptr (GError) cause = NULL;
  CommyRouteKey key;

  if (G_UNLIKELY (!commy_mesh_is_up (self->mesh)))
    return commy_mesh_check_joined (self->mesh, error);
  commy_client_key (self, &key);
  if (G_LIKELY (!self->fresh && commy_route_is_fresh (route, &key)))
    return TRUE;
  snapshot = commy_registry_lookup (self->mesh->registry, self->service);
  if ((snapshot == NULL || self->fresh)
      && !find_service_sync (self, self->fresh, FALSE, deadline_us, cancellable, error))
    return FALSE;
  if (decide_sync (self, flavour, size, deadline_us, cancellable, &cause))
    return TRUE;
  /* A name that is new, or a restarted instance, may be on its way: ask the store itself once. */
  if (!g_error_matches (cause, COMMY_ERROR, COMMY_ERROR_NO_SERVICE)
      || !find_service_sync (self, TRUE, FALSE, deadline_us, cancellable, NULL))
    {
      g_propagate_error (error, g_steal_pointer (&cause));
      return FALSE;
    }
  return decide_sync (self, flavour, size, deadline_us, cancellable, error);
}

gboolean
commy_client_route_sync (CommyClient *self,
                         CommyFlavour flavour,
                         gsize size,
                         gint64 deadline_us,
                         GCancellable *cancellable,
                         GError **error)
{
  if (G_LIKELY (commy_client_is_current (self, &self->routes[flavour])))
    return TRUE;
  return route_anew (self, flavour, size, deadline_us, cancellable, error);
}
