/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A range, and a watch from its revision.
 */
#include "config.h"

#include "control/commy-list-watch.h"

#include "base/commy-error-private.h"

#define RETRY_MS 1000u

struct _CommyListWatch
{
  const CommyStoreOps *ops;
  gpointer store;
  GMainContext *context;
  char *prefix;
  const CommyListWatchFuncs *funcs;
  gpointer data;
  guint watch; /* 0: none */
  GSource *retry;
  gboolean is_asking;
  gboolean is_freed; /* while the store was being asked */
};

static void ask (CommyListWatch *self);

static void
stop_retrying (CommyListWatch *self)
{
  if (self->retry == NULL)
    return;
  g_source_destroy (self->retry);
  g_clear_pointer (&self->retry, g_source_unref);
}

static gboolean
on_retry (gpointer data)
{
  CommyListWatch *self = data;

  stop_retrying (self);
  ask (self);
  return G_SOURCE_REMOVE;
}

static void
retry_later (CommyListWatch *self)
{
  stop_retrying (self);
  self->retry = g_timeout_source_new (RETRY_MS);
  g_source_set_callback (self->retry, on_retry, self, NULL);
  g_source_attach (self->retry, self->context);
}

static void
on_events (gpointer user_data,
           const CommyStoreEntry *entries,
           gsize n_entries,
           gint64 revision,
           const GError *error)
{
  CommyListWatch *self = user_data;

  if (n_entries > 0)
    self->funcs->changed (self->data, entries, n_entries);
  if (error == NULL)
    return;
  self->watch = 0;
  retry_later (self);
  if (self->funcs->ended != NULL)
    self->funcs->ended (self->data, error);
}

static void
take (CommyListWatch *self, const CommyStoreResult *result)
{
  self->watch = self->ops->watch (self->store, self->prefix, result->revision, on_events, self);
  self->funcs->listed (self->data, result);
}

static void
fail (CommyListWatch *self, const GError *error)
{
  g_autoptr (GError) empty = NULL;

  if (error == NULL)
    commy_set_error (&empty, COMMY_ERROR_STORE, "the store's answer is empty");
  retry_later (self);
  if (self->funcs->failed != NULL)
    self->funcs->failed (self->data, error != NULL ? error : empty);
}

static void
on_range (gpointer user_data, const CommyStoreResult *result, const GError *error)
{
  CommyListWatch *self = user_data;

  self->is_asking = FALSE;
  if (self->is_freed)
    g_free (self);
  else if (error == NULL && result != NULL)
    take (self, result);
  else
    fail (self, error);
}

static void
ask (CommyListWatch *self)
{
  self->is_asking = TRUE;
  self->ops->range (self->store, self->prefix, on_range, self);
}

CommyListWatch *
commy_list_watch_new (CommyPlugin *store,
                      GMainContext *context,
                      const char *prefix,
                      const CommyListWatchFuncs *funcs,
                      gpointer data)
{
  CommyListWatch *self = g_new0 (CommyListWatch, 1);

  self->ops = &store->ops.store;
  self->store = store->instance;
  self->context = context;
  self->prefix = g_strdup (prefix);
  self->funcs = funcs;
  self->data = data;
  ask (self);
  return self;
}

void
commy_list_watch_free (CommyListWatch *self)
{
  if (self == NULL)
    return;
  if (self->watch != 0)
    self->ops->unwatch (self->store, self->watch);
  stop_retrying (self);
  g_clear_pointer (&self->prefix, g_free);
  self->is_freed = TRUE;
  if (!self->is_asking)
    g_free (self);
}
