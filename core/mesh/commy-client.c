/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A client: its life, what it is told, what it learns from samples, and explain. Its route is in
 * commy-client-route.c, the calls in commy-client-sync.c, commy-client-async.c and
 * commy-client-hot.c.
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
  g_signal_new (COMMY_CLIENT_NEWS, COMMY_TYPE_CLIENT, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                G_TYPE_NONE, 2, G_TYPE_BOOLEAN, COMMY_TYPE_DECISION);
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
