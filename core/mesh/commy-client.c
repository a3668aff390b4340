/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A client: its life, its route, what it learns from samples, and explain. The calls are in
 * commy-client-sync.c, commy-client-async.c and commy-client-hot.c.
 */
#include "config.h"

#include "mesh/commy-client-private.h"

#include "base/commy-dotted-name.h"
#include "base/commy-error-private.h"
#include "mesh/commy-interface-check.h"
#include "mesh/commy-service-private.h"

#include <string.h>
#include <unistd.h>

#define FIRST_SAMPLES 8u

#define NEWS "requirements-changed"
#define AROUND_PAUSE_NS G_GINT64_CONSTANT (10000000)
#define LARGE 16384u /* from here a message says something of throughput */

G_DEFINE_FINAL_TYPE (CommyClient, commy_client, G_TYPE_OBJECT)

static void
clear_routes (CommyClient *self)
{
  if (self->worker == NULL)
    return;
  commy_worker_enter (self->worker->worker);
  for (guint i = 0; i < commy_client_count_routes (self); i++)
    {
      CommyRoute *route = commy_client_get_route (self, i);

      commy_route_clear (route);
      route->requirements_unmet = route->requirements_held = FALSE;
    }
  commy_worker_exit (self->worker->worker);
}

static void
forget_balances (CommyClient *self)
{
  if (self->worker == NULL)
    return;
  commy_worker_enter (self->worker->worker);
  for (guint i = 0; i < commy_client_count_routes (self); i++)
    g_clear_pointer (&commy_client_get_route (self, i)->balance, commy_balance_free);
  commy_worker_exit (self->worker->worker);
}

static void
leave_homes (CommyClient *self)
{
  if (self->worker == NULL)
    return;
  commy_worker_enter (self->worker->worker);
  for (guint i = 0; i < commy_client_count_routes (self); i++)
    commy_home_leave (&commy_client_get_route (self, i)->home);
  commy_worker_exit (self->worker->worker);
}

static void
commy_client_finalize (GObject *object)
{
  CommyClient *self = COMMY_CLIENT (object);

  /* A forked child touches nothing that its parent uses. */
  if (self->mesh->pid != getpid ())
    {
      G_OBJECT_CLASS (commy_client_parent_class)->finalize (object);
      return;
    }
  commy_client_discard (self);
  g_clear_pointer (&self->hot.held, commy_channel_unref);
  clear_routes (self);
  forget_balances (self);
  leave_homes (self);
  g_clear_pointer (&self->arounds, g_free);
  g_clear_pointer (&self->worker, commy_mesh_worker_unref);
  g_clear_pointer (&self->requirements, commy_requirements_free);
  g_clear_pointer (&self->expectation, commy_expectation_unref);
  g_clear_pointer (&self->selector, commy_selector_free);
  g_array_unref (self->methods);
  g_free (self->service);
  g_free (self->instance);
  g_clear_object (&self->mesh);
  G_OBJECT_CLASS (commy_client_parent_class)->finalize (object);
}

static void
commy_client_class_init (CommyClientClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = commy_client_finalize;
  /* Described in commy-client.h, where the scanner looks. */
  g_signal_new (NEWS, COMMY_TYPE_CLIENT, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 2,
                G_TYPE_BOOLEAN, COMMY_TYPE_DECISION);
}

static void
method_clear (gpointer data)
{
  g_free (((CommyClientMethod *) data)->name);
}

static void
commy_client_init (CommyClient *self)
{
  self->thread = g_thread_self ();
  self->methods = g_array_new (FALSE, TRUE, sizeof (CommyClientMethod));
  g_array_set_clear_func (self->methods, method_clear);
}

/* The keyfile's; the mesh was not joined if it is not there. */
static CommyPlugin *
find_balancer (CommyClient *self, const char **out_origin)
{
  CommyConfig *config = self->mesh->config;
  g_autofree char *own = g_strdup_printf ("service %s", self->service);
  const char *group = own, *id = commy_config_get (config, group, "balancer");
  CommyPlugin *balancer;

  if (id == NULL || id[0] == '\0')
    id = commy_config_get (config, group = "mesh", "balancer");
  *out_origin = commy_config_get_origin (config, group, "balancer");
  if (id == NULL || id[0] == '\0')
    return NULL;
  balancer = commy_catalog_find (self->mesh->catalog, COMMY_PLUGIN_BALANCER, id);
  return balancer != NULL && balancer->state == COMMY_PLUGIN_STATE_ACTIVE ? balancer : NULL;
}

/* The keyfile's, which was checked when it was read. */
static void
read_selector (CommyClient *self)
{
  CommyConfig *config = self->mesh->config;
  g_autofree char *group = g_strdup_printf ("service %s", self->service);
  const char *text = commy_config_get (config, group, "select");

  if (text != NULL && text[0] != '\0')
    self->selector = commy_selector_new (text, NULL);
  self->selector_origin = commy_config_get_origin (config, group, "select");
}

static void
read_settings (CommyClient *self)
{
  CommyConfig *config = self->mesh->config;
  g_autofree char *group = g_strdup_printf ("service %s", self->service);
  const char *mode = commy_config_get (config, "calibration", "mode");

  self->balancer = find_balancer (self, &self->balancer_origin);
  read_selector (self);
  self->timeout_ns = commy_config_get_duration (config, group, "timeout");
  self->calibrate = g_strcmp0 (mode, "off") != 0 && g_strcmp0 (mode, "frozen") != 0;
  self->sample_every = (guint) commy_config_get_int (config, "calibration", "sample-every");
}

CommyClient *
commy_client_new (CommyMesh *mesh, const char *service)
{
  CommyClient *self;

  g_return_val_if_fail (COMMY_IS_MESH (mesh), NULL);
  g_return_val_if_fail (service != NULL, NULL);
  self = g_object_new (COMMY_TYPE_CLIENT, NULL);
  self->mesh = g_object_ref (mesh);
  self->service = g_strdup (service);
  /* Of what is no name no keyfile says anything; a call says what is wrong with it. */
  if (commy_endpoint_name_is_valid (service))
    read_settings (self);
  return self;
}

CommyClient *
commy_client_new_look (CommyMesh *mesh, const char *service, const char *instance)
{
  CommyClient *self = commy_client_new (mesh, service);

  self->is_look = TRUE;
  commy_client_set_instance (self, instance);
  commy_client_set_selector (self, "", NULL);
  return self;
}

void
commy_client_set_requirements (CommyClient *self, const CommyRequirements *requirements)
{
  g_return_if_fail (COMMY_IS_CLIENT (self));
  g_clear_pointer (&self->requirements, commy_requirements_free);
  if (requirements != NULL)
    self->requirements = commy_requirements_copy (requirements);
  self->fresh = requirements != NULL && requirements->consistency == COMMY_CONSISTENCY_LINEARIZABLE;
  clear_routes (self);
}

void
commy_client_set_instance (CommyClient *self, const char *instance)
{
  g_return_if_fail (COMMY_IS_CLIENT (self));
  g_free (self->instance);
  self->instance = g_strdup (instance);
  clear_routes (self);
}

gboolean
commy_client_set_selector (CommyClient *self, const char *selector, GError **error)
{
  CommySelector *made = NULL;

  g_return_val_if_fail (COMMY_IS_CLIENT (self), FALSE);
  if (selector != NULL && selector[0] != '\0')
    {
      made = commy_selector_new (selector, error);
      if (made == NULL)
        return FALSE;
    }
  g_clear_pointer (&self->selector, commy_selector_free);
  self->selector = made;
  self->selector_origin = "program";
  if (selector == NULL)
    read_selector (self);
  clear_routes (self);
  return TRUE;
}

/* What the process tells of the service it tells with this client's eyes. */
static void
note_expectation (CommyMesh *mesh, const char *service, CommyExpectation *expectation)
{
  g_mutex_lock (&mesh->lock);
  if (mesh->expected == NULL)
    mesh->expected = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                            (GDestroyNotify) commy_expectation_unref);
  g_hash_table_replace (mesh->expected, g_strdup (service), commy_expectation_ref (expectation));
  g_mutex_unlock (&mesh->lock);
}

static void
expect (CommyClient *self, CommyExpectation *expectation)
{
  g_clear_pointer (&self->expectation, commy_expectation_unref);
  self->expectation = expectation;
  clear_routes (self);
}

void
commy_client_set_interface (CommyClient *self, GDBusInterfaceInfo *interface)
{
  g_return_if_fail (COMMY_IS_CLIENT (self));
  g_return_if_fail (self->thread == g_thread_self ());
  expect (self, interface != NULL ? commy_expectation_new (interface) : NULL);
  if (interface != NULL)
    note_expectation (self->mesh, self->service, self->expectation);
}

void
commy_client_expect_as_others (CommyClient *self)
{
  CommyExpectation *expectation = NULL;

  g_mutex_lock (&self->mesh->lock);
  if (self->mesh->expected != NULL)
    expectation = g_hash_table_lookup (self->mesh->expected, self->service);
  if (expectation != NULL)
    commy_expectation_ref (expectation);
  g_mutex_unlock (&self->mesh->lock);
  expect (self, expectation);
}

/* --- readiness --- */

gboolean
commy_client_would_deadlock (CommyClient *self, CommyPeer *peer)
{
  CommyInstance *instance = peer->instance;
  g_autoptr (CommyService) service = NULL;

  if (strcmp (instance->node, self->mesh->node) != 0)
    return FALSE;
  service = commy_mesh_dup_offer (
      self->mesh, instance->peer_instance != NULL ? instance->peer_instance : instance->id);
  return service != NULL && commy_service_runs_only_on (service, self->worker);
}

gboolean
commy_client_check (CommyClient *self, GError **error)
{
  if (!commy_mesh_check_joined (self->mesh, error))
    return FALSE;
  if (self->thread != g_thread_self ())
    {
      commy_set_error (error, COMMY_ERROR_WRONG_THREAD,
                       "the client of %s belongs to the thread that made it", self->service);
      return FALSE;
    }
  if (!commy_endpoint_name_is_valid (self->service))
    {
      /* Any bytes: what is told can be printed. */
      g_autofree char *shown = g_strescape (self->service, NULL);

      commy_set_error (error, COMMY_ERROR_INVALID_ARGUMENT, "\"%.64s\" is no name for a service",
                       shown);
      return FALSE;
    }
  if (G_LIKELY (self->worker != NULL))
    return TRUE;
  self->worker = commy_mesh_dup_worker_here (self->mesh, error);
  if (self->worker == NULL)
    return FALSE;
  commy_worker_enter (self->worker->worker);
  self->ward = commy_peers_ensure_ward (self->worker->peers, self->service);
  commy_worker_exit (self->worker->worker);
  return TRUE;
}

void
commy_client_key (CommyClient *self, CommyRouteKey *out_key)
{
  *out_key = (CommyRouteKey){ .mesh = self->mesh,
                              .worker = self->worker,
                              .service = self->service,
                              .instance = self->instance,
                              .requirements = self->requirements,
                              .expectation = self->expectation,
                              .selector = self->selector,
                              .selector_origin = self->selector_origin,
                              .balancer = self->balancer,
                              .balancer_origin = self->balancer_origin,
                              .probes = self->calls >= FIRST_SAMPLES,
                              .doubts = self->doubts };
}

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

/* --- balancing --- */

typedef struct
{
  CommyMesh *mesh;
  char *id, *who;
  CommyLatch *latch;
} Start;

/* On the mesh thread. What was started is found in the catalog. */
static void
start_balancer (gpointer data)
{
  Start *start = data;
  CommyLatch *latch = start->latch;
  g_autoptr (GError) error = NULL;

  if (start->mesh->registry == NULL)
    commy_set_error (&error, COMMY_ERROR_LEAVING, "the mesh is being left");
  else if (commy_mesh_start_balancer (start->mesh, start->id, start->who, &error) != NULL)
    commy_mesh_keep_balancer (start->mesh, start->id);
  g_object_unref (start->mesh);
  g_free (start->id);
  g_free (start->who);
  g_free (start);
  commy_latch_answer (latch, NULL, NULL, error);
}

static gboolean
start_balancer_sync (CommyClient *self, const char *id, GError **error)
{
  Start *start = g_new0 (Start, 1);
  CommyLatch *latch = commy_latch_new ();

  start->mesh = g_object_ref (self->mesh);
  start->id = g_strdup (id);
  start->who = g_strdup_printf ("a client of %s", self->service);
  start->latch = latch;
  commy_mesh_invoke (self->mesh, start_balancer, start);
  return commy_latch_wait (latch, G_MAXINT64, NULL, NULL, error);
}

gboolean
commy_client_set_balancer (CommyClient *self, const char *balancer, GError **error)
{
  g_return_val_if_fail (COMMY_IS_CLIENT (self), FALSE);
  if (!commy_client_check (self, error)
      || (balancer != NULL && !start_balancer_sync (self, balancer, error)))
    return FALSE;
  clear_routes (self);
  forget_balances (self);
  self->balancer_origin = "program";
  if (balancer == NULL)
    self->balancer = find_balancer (self, &self->balancer_origin);
  else
    self->balancer = commy_catalog_find (self->mesh->catalog, COMMY_PLUGIN_BALANCER, balancer);
  return TRUE;
}

void
commy_client_set_sticky_key (CommyClient *self, const char *key)
{
  g_return_if_fail (COMMY_IS_CLIENT (self));
  self->sticky = commy_sticky_hash (key);
}

/* --- requirements --- */

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
    g_signal_emit_by_name (client, NEWS, news->met, news->decision);
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

/* Whether a sample is at odds with what the last decision took for granted. Cheap: whether it is so
 * for good is the decision's business. */
static gboolean
feels_different (const CommyClient *self, gsize size, double measured_ns)
{
  const CommyRequirements *requirements = self->requirements;
  gboolean late, slow;

  if (requirements == NULL
      || (requirements->max_latency_ns == 0 && requirements->min_throughput == 0))
    return FALSE;
  late = requirements->max_latency_ns != 0 && measured_ns > (double) requirements->max_latency_ns;
  slow = requirements->min_throughput != 0 && size >= LARGE
         && (double) size * 1e9 / measured_ns < (double) requirements->min_throughput;
  return late || slow || self->routes[0].requirements_unmet || self->routes[1].requirements_unmet;
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

/* --- waiting --- */

void
commy_client_on_answer (
    gpointer data, CommyChannel *channel, CommyIncoming *incoming, GError *error, gboolean sent)
{
  CommyWait *wait = data;

  wait->done = TRUE;
  wait->sent = sent;
  if (error != NULL)
    wait->error = g_error_copy (error);
  else
    commy_incoming_steal (channel, incoming, &wait->incoming);
}

/* --- learning --- */

gboolean
commy_client_is_sample (CommyClient *self, CommyRoute *route)
{
  gboolean samples = self->calibrate && self->sample_every != 0;

  if (self->calls < FIRST_SAMPLES)
    {
      self->next_sample = self->calls + 1;
      return samples;
    }
  /* It calls again and again: now it is worth looking for something better. */
  if (self->calls == FIRST_SAMPLES)
    route->samples = COMMY_ROUTE_RECHECK_SAMPLES;
  self->next_sample
      = samples ? (self->calls / self->sample_every + 1) * self->sample_every : G_MAXUINT64;
  return samples;
}

void
commy_client_learn (CommyClient *self,
                    CommyFlavour flavour,
                    const CommyStack *stack,
                    gsize request_size,
                    gsize reply_size,
                    gint64 round_trip_ns,
                    guint64 dwell_ns)
{
  const CommyProfile *transport = &stack->path->transport->profile;
  const CommyProfile *serializer = commy_route_serializer_profile (flavour, stack->serializer);
  double measured = ((double) round_trip_ns - (double) dwell_ns) / 2;
  CommyCost there, back;

  if (measured <= 0)
    return;
  commy_cost_compute (transport, serializer, request_size, &there);
  commy_cost_compute (transport, serializer, reply_size, &back);
  if (feels_different (self, MAX (request_size, reply_size), measured))
    self->routes[0].samples = self->routes[1].samples = COMMY_ROUTE_RECHECK_SAMPLES;
  if (commy_calibration_add (&stack->path->calibration, MAX (request_size, reply_size), measured,
                             (there.t_latency_ns + back.t_latency_ns) / 2,
                             commy_env_now (self->mesh->env)))
    {
      self->doubts = TRUE;
      self->routes[0].samples = self->routes[1].samples = COMMY_ROUTE_RECHECK_SAMPLES;
    }
  self->routes[0].samples++;
  self->routes[1].samples++;
}

/* --- explain --- */

CommyDecision *
commy_client_explain (CommyClient *self,
                      gsize size,
                      const CommyWhatIf *what_if,
                      GCancellable *cancellable,
                      GError **error)
{
  g_autoptr (GError) cause = NULL;
  CommyDecision *decision;
  CommyRouteKey key;

  g_return_val_if_fail (COMMY_IS_CLIENT (self), NULL);
  if (!commy_client_check (self, error))
    return NULL;
  commy_worker_enter (self->worker->worker);
  commy_client_route_sync (self, COMMY_FLAVOUR_VALUE, size,
                           g_get_monotonic_time () + self->timeout_ns / 1000, cancellable, &cause);
  if (cause != NULL && !g_error_matches (cause, COMMY_ERROR, COMMY_ERROR_NO_ROUTE)
      && !g_error_matches (cause, COMMY_ERROR, COMMY_ERROR_REQUIREMENT))
    {
      commy_worker_exit (self->worker->worker);
      g_propagate_error (error, g_steal_pointer (&cause));
      return NULL;
    }
  commy_client_key (self, &key);
  decision = commy_route_explain (&key, COMMY_FLAVOUR_VALUE, size, what_if, error);
  commy_worker_exit (self->worker->worker);
  return decision;
}
