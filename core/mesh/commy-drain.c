/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A drain under way looks every few milliseconds what is left; that is cheaper than having each
 * call look whether somebody drains.
 */
#include "config.h"

#include "mesh/commy-drain.h"

#include "base/commy-error-private.h"
#include "mesh/commy-node-keeper.h"
#include "mesh/commy-service-private.h"

#define LOOK_MS 5u
#define MS_NS G_GINT64_CONSTANT (1000000)

typedef struct
{
  CommyDrainFunc func;
  gpointer data;
} Waiter;

struct _CommyDrain
{
  grefcount refs; /* one for each service that is being stopped, one for the mesh */
  CommyMesh *mesh;
  gint64 tell_ns; /* from then on callers are told on their connections */
  gint64 until_ns;
  GSource *timer; /* NULL: services are being stopped, or it is over */
  guint n_stopping;
  guint left;
  gboolean is_over;
  GArray *waiters;
};

static void
drain_unref (CommyDrain *self)
{
  if (!g_ref_count_dec (&self->refs))
    return;
  g_array_unref (self->waiters);
  g_free (self);
}

static void
stop_looking (CommyDrain *self)
{
  if (self->timer != NULL)
    g_source_destroy (self->timer);
  g_clear_pointer (&self->timer, g_source_unref);
}

/* (transfer full): those of the application that calls come to */
static GPtrArray *
dup_services (CommyMesh *mesh)
{
  GPtrArray *services = g_ptr_array_new_with_free_func (g_object_unref);
  GHashTableIter iter;
  gpointer service;

  g_hash_table_iter_init (&iter, mesh->offers);
  while (g_hash_table_iter_next (&iter, NULL, &service))
    if (commy_service_can_drain (service))
      g_ptr_array_add (services, g_object_ref (service));
  return services;
}

void
commy_drain_cordon (CommyMesh *mesh, gboolean cordoned)
{
  g_autoptr (GPtrArray) services = NULL;

  /* What is being stopped does not come back. */
  if (mesh->drain != NULL)
    return;
  commy_node_keeper_set_state (mesh->keeper, cordoned ? COMMY_NODE_CORDONED : COMMY_NODE_UP);
  if (mesh->is_cordoned == cordoned)
    return;
  mesh->is_cordoned = cordoned;
  services = dup_services (mesh);
  for (guint i = 0; i < services->len; i++)
    commy_service_relist_here (services->pdata[i]);
}

/* --- the end --- */

static void
finish (CommyDrain *self, const GError *error)
{
  CommyMesh *mesh = self->mesh;

  stop_looking (self);
  self->is_over = TRUE;
  mesh->drain = NULL;
  if (error == NULL)
    commy_node_keeper_set_state (mesh->keeper, COMMY_NODE_CORDONED);
  for (guint i = 0; i < self->waiters->len; i++)
    {
      const Waiter *waiter = &g_array_index (self->waiters, Waiter, i);

      waiter->func (waiter->data, self->left, error);
    }
  if (error == NULL)
    commy_mesh_tell_drained (mesh, self->left);
  drain_unref (self);
}

static void
on_stopped (GObject *source, GAsyncResult *result, gpointer data)
{
  CommyDrain *self = data;

  self->left += __atomic_load_n (&COMMY_SERVICE (source)->in_flight, __ATOMIC_SEQ_CST);
  if (--self->n_stopping == 0 && !self->is_over)
    finish (self, NULL);
  drain_unref (self);
}

static void
stop_all (CommyDrain *self, GPtrArray *services)
{
  gint64 left_ns = self->until_ns - commy_env_now (self->mesh->env);

  stop_looking (self);
  self->n_stopping = 1; /* so that it does not end in between */
  for (guint i = 0; i < services->len; i++)
    {
      CommyService *service = services->pdata[i];

      service->drain_ms = (guint) (MAX (left_ns, 0) / MS_NS);
      self->n_stopping++;
      g_ref_count_inc (&self->refs);
      commy_service_stop (service, NULL, on_stopped, self);
    }
  if (--self->n_stopping == 0)
    finish (self, NULL);
}

/* --- looking --- */

static gboolean
is_quiet (GPtrArray *services)
{
  for (guint i = 0; i < services->len; i++)
    {
      CommyService *service = services->pdata[i];

      if (service->is_writing || __atomic_load_n (&service->in_flight, __ATOMIC_SEQ_CST) > 0)
        return FALSE;
    }
  return TRUE;
}

static gboolean
on_look (gpointer data)
{
  CommyDrain *self = data;
  g_autoptr (GPtrArray) services = dup_services (self->mesh);

  if (is_quiet (services) || commy_env_now (self->mesh->env) >= self->tell_ns)
    stop_all (self, services);
  return G_SOURCE_CONTINUE;
}

void
commy_drain_begin (CommyMesh *mesh, gint64 timeout_ns, CommyDrainFunc done, gpointer data)
{
  const Waiter waiter = { done, data };
  CommyDrain *self = mesh->drain;
  gint64 now_ns = commy_env_now (mesh->env);

  if (self != NULL)
    {
      g_array_append_val (self->waiters, waiter);
      return;
    }
  if (timeout_ns < 0)
    timeout_ns = commy_config_get_duration (mesh->config, "mesh", "drain-timeout");
  commy_drain_cordon (mesh, TRUE);
  commy_node_keeper_set_state (mesh->keeper, COMMY_NODE_DRAINING);
  self = mesh->drain = g_new0 (CommyDrain, 1);
  g_ref_count_init (&self->refs);
  self->mesh = mesh;
  self->tell_ns = now_ns + timeout_ns / 2;
  self->until_ns = now_ns + timeout_ns;
  self->waiters = g_array_new (FALSE, FALSE, sizeof (Waiter));
  g_array_append_val (self->waiters, waiter);
  self->timer = g_timeout_source_new (LOOK_MS);
  g_source_set_callback (self->timer, on_look, self, NULL);
  g_source_attach (self->timer, mesh->context);
}

void
commy_drain_abandon (CommyMesh *mesh)
{
  g_autoptr (GError) error = NULL;

  if (mesh->drain == NULL)
    return;
  commy_set_error (&error, COMMY_ERROR_LEAVING, "the mesh is being left");
  finish (mesh->drain, error);
}
