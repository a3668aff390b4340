/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * See the header. While the store is away the last snapshot stays, and with it the number.
 */
#include "config.h"

#include "mesh/commy-service-rate.h"

#include "mesh/commy-service-private.h"

#include <string.h>

/* --- the bucket --- */

CommyServiceRate *
commy_service_rate_new (CommyConfig *config, const char *service, const char *method)
{
  CommyServePolicy policy;
  CommyServiceRate *self;

  if (!commy_resilience_read_serve (&policy, config, service, method))
    return NULL;
  self = g_new0 (CommyServiceRate, 1);
  self->policy = policy;
  self->method = g_strdup (method);
  g_mutex_init (&self->lock);
  self->part = policy.rate;
  return self;
}

void
commy_service_rate_free (CommyServiceRate *self)
{
  if (self == NULL)
    return;
  g_mutex_clear (&self->lock);
  g_free (self->method);
  g_free (self);
}

gboolean
commy_service_rate_take (CommyServiceRate *self, gint64 now_ns)
{
  gboolean taken;

  g_mutex_lock (&self->lock);
  taken = commy_rate_limit_take (&self->bucket, &self->part, now_ns, NULL);
  g_mutex_unlock (&self->lock);
  return taken;
}

void
commy_service_rate_give_back (CommyServiceRate *self)
{
  g_mutex_lock (&self->lock);
  commy_rate_limit_give_back (&self->bucket, &self->part);
  g_mutex_unlock (&self->lock);
}

void
commy_service_rate_divide (CommyServiceRate *self, guint n, gint64 now_ns)
{
  CommyRateLimitPolicy part;

  if (!self->policy.is_shared)
    return;
  part = commy_rate_limit_divide (&self->policy.rate, n);
  g_mutex_lock (&self->lock);
  if (n != self->n)
    commy_rate_limit_resize (&self->bucket, &self->part, &part, now_ns);
  /* Who joins others brings no calls along that they have not saved. */
  if (self->n == 0 && n > 1)
    commy_rate_limit_drain (&self->bucket, &part, now_ns);
  self->n = n;
  self->part = part;
  g_mutex_unlock (&self->lock);
}

char *
commy_service_rate_describe (CommyServiceRate *self)
{
  const char *whose = self->method != NULL ? " of the method" : "";
  const double rate = self->policy.rate.rate;
  guint n;

  g_mutex_lock (&self->lock);
  n = self->n;
  g_mutex_unlock (&self->lock);
  if (!self->policy.is_shared)
    return g_strdup_printf ("serve-rate-limit=%g%s", rate, whose);
  return g_strdup_printf ("serve-rate-limit=%g%s, of which each of %u instances has its part", rate,
                          whose, MAX (n, 1));
}

/* --- who shares it --- */

guint
commy_service_rate_count (const CommySnapshot *snapshot, const char *id)
{
  gboolean has_own = FALSE;
  guint n = 0;

  for (guint i = 0; i < snapshot->instances->len; i++)
    {
      const CommyInstance *instance = snapshot->instances->pdata[i];

      /* An endpoint of a keyfile may be anybody's. */
      if (instance->origin != NULL)
        continue;
      n++;
      has_own |= strcmp (instance->id, id) == 0;
    }
  return has_own ? n : n + 1;
}

/* Whether one of its limits is divided; the table of methods stays as it is while it is offered. */
static gboolean
is_shared (const CommyService *service)
{
  GHashTableIter iter;
  gpointer value;

  if (service->rate != NULL && service->rate->policy.is_shared)
    return TRUE;
  g_hash_table_iter_init (&iter, service->methods);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      const CommyServiceRate *rate = ((CommyServiceMethod *) value)->rate;

      if (rate != NULL && rate->policy.is_shared)
        return TRUE;
    }
  return FALSE;
}

static void
divide_all (CommyService *service, guint n, gint64 now_ns)
{
  GHashTableIter iter;
  gpointer value;

  if (service->rate != NULL)
    commy_service_rate_divide (service->rate, n, now_ns);
  g_hash_table_iter_init (&iter, service->methods);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      CommyServiceRate *rate = ((CommyServiceMethod *) value)->rate;

      if (rate != NULL)
        commy_service_rate_divide (rate, n, now_ns);
    }
}

void
commy_service_rate_note (CommyMesh *mesh, const CommySnapshot *snapshot)
{
  GHashTableIter iter;
  gpointer value;

  if (mesh->offers == NULL)
    return;
  g_hash_table_iter_init (&iter, mesh->offers);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      CommyService *service = value;

      if (strcmp (service->name, snapshot->service) == 0 && is_shared (service))
        divide_all (service, commy_service_rate_count (snapshot, service->instance->id),
                    commy_env_now (mesh->env));
    }
}

/* The source has told the log. */
static void
on_followed (gpointer data, const GError *error)
{
}

void
commy_service_rate_follow (CommyService *service)
{
  CommyRegistry *registry = service->mesh->registry;
  g_autoptr (CommySnapshot) snapshot = NULL;

  if (!is_shared (service))
    return;
  commy_registry_ensure (registry, service->name, FALSE, on_followed, NULL);
  /* Where somebody here follows it already, the next one may take its time. */
  snapshot = commy_registry_lookup (registry, service->name);
  if (snapshot != NULL)
    commy_service_rate_note (service->mesh, snapshot);
}
