/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A range and a watch, begun again after a second whenever the store ends it. That nothing comes is
 * no news here: who uses what is told knows for how long it holds.
 */
#include "config.h"

#include "mesh/commy-host-health.h"

#include "control/commy-host-checks.h"

#include <string.h>

#define RETRY_MS 1000u

struct _CommyHostHealth
{
  CommyMesh *mesh;
  const CommyStoreOps *ops;
  gpointer store;
  CommyHostHealthFunc func;
  gpointer data;
  char *prefix;
  guint watch; /* 0: none */
  GSource *retry;
  gboolean asking;
  gboolean is_freed; /* while the store was being asked */
};

static void ask (CommyHostHealth *self);

static void
tell (CommyHostHealth *self, const CommyStoreEntry *entries, gsize n_entries)
{
  for (gsize i = 0; i < n_entries; i++)
    {
      gsize size;
      const char *text;

      if (entries[i].value == NULL || !g_str_has_prefix (entries[i].key, self->prefix))
        continue;
      text = g_bytes_get_data (entries[i].value, &size);
      self->func (self->data, entries[i].key + strlen (self->prefix), text, size);
    }
}

static void
stop_retrying (CommyHostHealth *self)
{
  if (self->retry == NULL)
    return;
  g_source_destroy (self->retry);
  g_clear_pointer (&self->retry, g_source_unref);
}

static gboolean
on_retry (gpointer data)
{
  CommyHostHealth *self = data;

  stop_retrying (self);
  ask (self);
  return G_SOURCE_REMOVE;
}

static void
retry_later (CommyHostHealth *self)
{
  self->retry = g_timeout_source_new (RETRY_MS);
  g_source_set_callback (self->retry, on_retry, self, NULL);
  g_source_attach (self->retry, self->mesh->context);
}

static void
on_events (gpointer user_data,
           const CommyStoreEntry *entries,
           gsize n_entries,
           gint64 revision,
           const GError *error)
{
  CommyHostHealth *self = user_data;

  if (error == NULL)
    {
      tell (self, entries, n_entries);
      return;
    }
  self->watch = 0;
  if (self->retry == NULL)
    retry_later (self);
}

static void
on_range (gpointer user_data, const CommyStoreResult *result, const GError *error)
{
  CommyHostHealth *self = user_data;

  self->asking = FALSE;
  if (self->is_freed)
    {
      g_free (self);
      return;
    }
  if (error == NULL && result != NULL)
    {
      tell (self, result->entries, result->n_entries);
      self->watch = self->ops->watch (self->store, self->prefix, result->revision, on_events, self);
    }
  if (self->watch == 0 && self->retry == NULL)
    retry_later (self);
}

static void
ask (CommyHostHealth *self)
{
  self->asking = TRUE;
  self->ops->range (self->store, self->prefix, on_range, self);
}

CommyHostHealth *
commy_host_health_new (CommyMesh *mesh, CommyHostHealthFunc func, gpointer data)
{
  CommyHostHealth *self = g_new0 (CommyHostHealth, 1);

  self->mesh = mesh;
  self->ops = &mesh->store->ops.store;
  self->store = mesh->store->instance;
  self->func = func;
  self->data = data;
  self->prefix = commy_host_checks_dup_prefix (commy_env_host_id ());
  ask (self);
  return self;
}

void
commy_host_health_free (CommyHostHealth *self)
{
  if (self == NULL)
    return;
  if (self->watch != 0)
    self->ops->unwatch (self->store, self->watch);
  stop_retrying (self);
  g_clear_pointer (&self->prefix, g_free);
  self->is_freed = TRUE;
  if (!self->asking)
    g_free (self);
}
