/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What all sources have in common, and the one that never changes: the keyfile's.
 */
#include "config.h"

#include "control/commy-source.h"

#include "config/commy-config-endpoint.h"

GHashTable *
commy_source_new_instances (void)
{
  return g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                (GDestroyNotify) commy_instance_unref);
}

void
commy_source_init (CommySource *self,
                   const CommySourceOps *ops,
                   const CommySourceListener *listener)
{
  self->ops = ops;
  self->listener = *listener;
  self->instances = commy_source_new_instances ();
}

void
commy_source_clear (CommySource *self)
{
  g_hash_table_unref (self->instances);
  g_free (self->notice);
}

void
commy_source_free (CommySource *self)
{
  self->ops->free (self);
}

void
commy_source_refresh (CommySource *self)
{
  if (self->asking)
    return;
  self->asking = TRUE;
  self->ops->refresh (self);
}

void
commy_source_settle (CommySource *self, const GError *error)
{
  if (!self->asking)
    return;
  self->asking = FALSE;
  self->listener.settled (self->listener.data, error);
}

void
commy_source_changed (CommySource *self, char *notice)
{
  g_free (self->notice);
  self->notice = notice;
  self->listener.changed (self->listener.data);
}

/* --- instances of an address --- */

CommyInstance *
commy_endpoint_instance (
    const char *service, const char *transport, const char *host, guint16 port, const char *origin)
{
  g_autofree char *address = commy_config_endpoint_address (host, port);
  g_autofree char *text = g_strdup_printf ("%s %s://%s", service, transport, address);
  g_autofree char *hash = g_compute_checksum_for_string (G_CHECKSUM_SHA256, text, -1);
  CommyInstance *instance;

  hash[32] = '\0'; /* as long as the ids of others */
  instance = commy_instance_new (hash, service);
  instance->node = g_strdup ("");
  instance->host = g_strdup (host);
  instance->host_id = g_strdup ("");
  instance->interface_name = g_strdup ("");
  instance->serializers = g_new0 (char *, 1);
  instance->origin = g_strdup (origin);
  commy_instance_add_endpoint (instance, transport, address);
  return instance;
}

/* --- the keyfile --- */

typedef struct
{
  CommySource source;
  char *service;
  char *origin;
} EndpointSource;

static void
endpoint_refresh (CommySource *source)
{
  source->live = TRUE;
  commy_source_settle (source, NULL);
}

static void
endpoint_free (CommySource *source)
{
  EndpointSource *self = (EndpointSource *) source;

  commy_source_clear (source);
  g_free (self->service);
  g_free (self->origin);
  g_free (self);
}

CommySource *
commy_source_endpoint_new (const char *service,
                           const char *origin,
                           const CommySourceListener *listener)
{
  static const CommySourceOps ops = { endpoint_refresh, endpoint_free };
  EndpointSource *self = g_new0 (EndpointSource, 1);

  commy_source_init (&self->source, &ops, listener);
  self->service = g_strdup (service);
  self->origin = g_strdup (origin);
  return &self->source;
}

void
commy_source_endpoint_add (CommySource *source,
                           const char *transport,
                           const char *host,
                           guint16 port)
{
  EndpointSource *self = (EndpointSource *) source;
  g_autoptr (CommyInstance) instance
      = commy_endpoint_instance (self->service, transport, host, port, self->origin);

  if (g_hash_table_size (source->instances) < COMMY_ENDPOINTS_MAX)
    g_hash_table_replace (source->instances, g_strdup (instance->id),
                          commy_instance_ref (instance));
  else
    g_warning ("%s: %s has more than %u endpoints; %s:%u is left out", self->origin, self->service,
               COMMY_ENDPOINTS_MAX, host, port);
}
