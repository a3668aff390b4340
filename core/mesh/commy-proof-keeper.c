/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One timer for all connections, and one watch of the deny list. When the store goes away what it
 * said last stays in force.
 */
#include "config.h"

#include "mesh/commy-proof-keeper.h"

#include "base/commy-error-private.h"
#include "base/commy-text.h"
#include "control/commy-list-watch.h"
#include "mesh/commy-lock-outs.h"
#include "security/commy-lock-out.h"

#include <string.h>

struct _CommyProofKeeper
{
  CommyMesh *mesh;
  CommyStandings *standings;
  CommyLockOuts *lock_outs;
  GSource *timer;                                    /* NULL: there is nothing to look at */
  gint64 due_us;                                     /* of the timer, on the steady clock */
  CommyListWatch *list_watch;                        /* NULL: it was not started */
  char *told;                                        /* what was wrong last; NULL: nothing is */
  void (*done) (gpointer data, const GError *error); /* or NULL */
  gpointer data;
};

static void
end_timer (CommyProofKeeper *self)
{
  if (self->timer == NULL)
    return;
  g_source_destroy (self->timer);
  g_clear_pointer (&self->timer, g_source_unref);
}

static void
begin_timer (CommyProofKeeper *self, guint ms, GSourceFunc func)
{
  end_timer (self);
  self->timer = g_timeout_source_new (ms);
  g_source_set_callback (self->timer, func, self, NULL);
  g_source_attach (self->timer, self->mesh->context);
}

/* Something is wrong, or not any more (NULL); told when it changes. */
static void
tell (CommyProofKeeper *self, const char *what)
{
  if (commy_text_replace (&self->told, what) && what != NULL)
    g_warning ("the deny list: %s", what);
}

/* --- looking --- */

static gboolean on_time (gpointer data);

static void
look (CommyProofKeeper *self)
{
  gint64 now_us = commy_env_wall_us (self->mesh->env);
  gint64 next_us = commy_standings_look (self->standings, now_us);
  gint64 wait_us = next_us - now_us;

  end_timer (self);
  if (next_us == G_MAXINT64)
    return;
  self->due_us = commy_env_now (self->mesh->env) / 1000 + MAX (wait_us, 0);
  begin_timer (self, (guint) (CLAMP (wait_us, 0, G_TIME_SPAN_HOUR) / 1000 + 1), on_time);
}

static gboolean
on_time (gpointer data)
{
  look (data);
  return G_SOURCE_REMOVE;
}

/* What is new may end first. Not at once: it is looked at already, and many may come together. */
static void
on_added (gpointer data)
{
  CommyProofKeeper *self = data;
  gint64 soon_us = commy_env_now (self->mesh->env) / 1000 + G_USEC_PER_SEC / 2;

  if (self->timer != NULL && self->due_us <= soon_us)
    return;
  self->due_us = soon_us;
  begin_timer (self, 500, on_time);
}

/* --- the deny list --- */

static void
take_removal (CommyProofKeeper *self, const char *subject, gint64 revision)
{
  if (commy_lock_out_is_subject (subject))
    commy_lock_outs_take_away (self->lock_outs, subject, revision);
  else
    commy_deny_list_remove (commy_standings_get_deny_list (self->standings), subject);
}

/* Of a lock-out that cannot be read nothing comes: it is a brake, and denies nobody for good. */
static void
take_lock_out (CommyProofKeeper *self, const CommyStoreEntry *entry)
{
  gsize size = 0;
  const char *text = g_bytes_get_data (entry->value, &size);
  g_autoptr (CommyDenial) denial = commy_denial_read (entry->key, text, size, NULL);

  if (denial != NULL)
    commy_lock_outs_take (self->lock_outs, denial, entry->mod_revision);
}

static void
take_entry (CommyProofKeeper *self, const CommyStoreEntry *entry)
{
  CommyDenyList *list = commy_standings_get_deny_list (self->standings);
  const char *subject = entry->key + strlen (COMMY_DENIED_PREFIX);
  g_autoptr (GError) error = NULL;
  CommyDenial *denial;
  gsize size = 0;
  const char *text;

  if (!g_str_has_prefix (entry->key, COMMY_DENIED_PREFIX))
    return;
  if (entry->value == NULL)
    {
      take_removal (self, subject, entry->mod_revision);
      return;
    }
  if (commy_lock_out_is_subject (subject))
    {
      take_lock_out (self, entry);
      return;
    }
  text = g_bytes_get_data (entry->value, &size);
  denial = commy_denial_read (entry->key, text, size, &error);
  if (error != NULL)
    g_warning ("%s", error->message);
  if (denial != NULL
      && !commy_deny_list_take (list, denial, commy_env_wall_us (self->mesh->env) / G_USEC_PER_SEC))
    tell (self, "it is full, and what ends soonest denies nobody: remove what is not needed (commy "
                "cert denied, commy cert allow)");
}

static void
on_changed (gpointer data, const CommyStoreEntry *entries, gsize n_entries)
{
  CommyProofKeeper *self = data;

  for (gsize i = 0; i < n_entries; i++)
    take_entry (self, &entries[i]);
  look (self);
}

static void
on_ended (gpointer data, const GError *error)
{
  CommyProofKeeper *self = data;

  commy_lock_outs_lose (self->lock_outs);
}

/* The first answer is what starting waits for. */
static void
settle (CommyProofKeeper *self, const GError *error)
{
  if (self->done != NULL)
    self->done (self->data, error);
  self->done = NULL;
}

static void
on_listed (gpointer data, const CommyStoreResult *result)
{
  CommyProofKeeper *self = data;

  commy_deny_list_clear (commy_standings_get_deny_list (self->standings));
  tell (self, NULL);
  for (gsize i = 0; i < result->n_entries; i++)
    take_entry (self, &result->entries[i]);
  commy_lock_outs_resume (self->lock_outs);
  look (self);
  settle (self, NULL);
}

static void
on_failed (gpointer data, const GError *error)
{
  CommyProofKeeper *self = data;
  g_autofree char *what = g_strdup_printf ("it cannot be read, and what was known stays: %s",
                                           commy_error_bare (error));

  tell (self, what);
  settle (self, error);
}

static const CommyListWatchFuncs deny_list_funcs = {
  .listed = on_listed,
  .changed = on_changed,
  .ended = on_ended,
  .failed = on_failed,
};

/* --- life --- */

CommyProofKeeper *
commy_proof_keeper_new (CommyMesh *mesh)
{
  CommyProofKeeper *self = g_new0 (CommyProofKeeper, 1);

  self->mesh = mesh;
  self->standings = commy_standings_new (
      commy_config_get_duration (mesh->config, "security", "proof-check") / 1000,
      commy_config_get_duration (mesh->config, "security", "proof-grace") / 1000);
  commy_standings_tell_added (self->standings, on_added, self);
  mesh->setup.standings = self->standings;
  self->lock_outs = commy_lock_outs_new (mesh);
  return self;
}

void
commy_proof_keeper_start (CommyProofKeeper *self,
                          void (*done) (gpointer data, const GError *error),
                          gpointer data)
{
  self->done = done;
  self->data = data;
  self->list_watch = commy_list_watch_new (self->mesh->store, self->mesh->context,
                                           COMMY_DENIED_PREFIX, &deny_list_funcs, self);
}

void
commy_proof_keeper_free (CommyProofKeeper *self)
{
  if (self == NULL)
    return;
  g_clear_pointer (&self->list_watch, commy_list_watch_free);
  end_timer (self);
  commy_standings_tell_added (self->standings, NULL, NULL);
  self->mesh->setup.standings = NULL;
  g_clear_pointer (&self->lock_outs, commy_lock_outs_free);
  g_clear_pointer (&self->standings, commy_standings_unref);
  g_free (self->told);
  g_free (self);
}
