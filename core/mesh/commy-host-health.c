/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the store says of this host's checks. That nothing comes is no news here: who uses what is
 * told knows for how long it holds.
 */
#include "config.h"

#include "mesh/commy-host-health.h"

#include "control/commy-host-checks.h"
#include "control/commy-list-watch.h"

#include <string.h>

struct _CommyHostHealth
{
  CommyHostHealthFunc func;
  gpointer data;
  char *prefix;
  CommyListWatch *list_watch;
};

static void
on_changed (gpointer data, const CommyStoreEntry *entries, gsize n_entries)
{
  CommyHostHealth *self = data;

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
on_listed (gpointer data, const CommyStoreResult *result)
{
  on_changed (data, result->entries, result->n_entries);
}

static const CommyListWatchFuncs host_funcs = { .listed = on_listed, .changed = on_changed };

CommyHostHealth *
commy_host_health_new (CommyMesh *mesh, CommyHostHealthFunc func, gpointer data)
{
  CommyHostHealth *self = g_new0 (CommyHostHealth, 1);

  self->func = func;
  self->data = data;
  self->prefix = commy_host_checks_dup_prefix (commy_env_host_id ());
  self->list_watch
      = commy_list_watch_new (mesh->store, mesh->context, self->prefix, &host_funcs, self);
  return self;
}

void
commy_host_health_free (CommyHostHealth *self)
{
  if (self == NULL)
    return;
  commy_list_watch_free (self->list_watch);
  g_free (self->prefix);
  g_free (self);
}
