/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Registration: see the header. Every key is watched, and one that goes although nobody here took
 * it away is put anew under the lease. If the store will not have that, the lease is gone and all
 * keys with it: another one is taken and all keys are put under it. What fails is tried again
 * every second.
 */
#include "config.h"

#include "control/commy-registration.h"

#include <string.h>

#define LEASE_TTL_NS G_GINT64_CONSTANT (2000000000)
#define RETRY_MS 1000u
#define RETRY_MOST_MS 64000u
/* So many keys have a watch each; who has more hears of all that is in the same folders. */
#define WATCHES_MOST 32u

struct _CommyRegistration
{
  grefcount refs; /* one for each operation under way, one for who made it */
  gboolean is_closed;
  CommyPlugin *store;
  const CommyStoreOps *ops;
  GMainContext *context;
  gint64 lease;
  GHashTable *keys;    /* key to Kept */
  GHashTable *watches; /* prefix to Watch */
  gboolean is_wide;    /* prefixes are folders, not keys */
  gboolean is_busy;    /* looking or putting anew */
  guint n_pending;     /* of what it is busy with */
  GError *doubt;       /* why a put failed that may have because the lease is gone; or NULL */
  guint n_back;        /* keys that were put anew under the lease they were under */
  GError *failure;     /* of a look: some of it was not answered */
  guint n_there;       /* of a look: keys that are there under our lease */
  GHashTable *missing; /* those of the keys that are to be put anew */
  gboolean must_look;  /* something went while it was busy */
  GSource *retry;
  gboolean is_patient; /* the retry is after a refusal, and may be long */
  guint n_refused;     /* times in turn that the store would not have something */
  GSource *calm;       /* since something that somebody took away was put anew */
};

/* What is to be in the store. */
typedef struct
{
  GBytes *value;
  gint64 revision; /* of the last put; what is told of earlier ones is old */
} Kept;

typedef struct
{
  CommyRegistration *registration;
  char *prefix;
  guint id;
} Watch;

typedef struct
{
  CommyRegistration *registration;
  CommyRegistrationFunc func;
  gpointer data;
  char *key; /* or the prefix */
  GBytes *value;
} Operation;

static void look (CommyRegistration *self);

/* --- memory --- */

static void
kept_free (gpointer data)
{
  Kept *kept = data;

  g_bytes_unref (kept->value);
  g_free (kept);
}

static void
watch_free (gpointer data)
{
  Watch *watch = data;

  g_free (watch->prefix);
  g_free (watch);
}

static void
registration_unref (CommyRegistration *self)
{
  if (!g_ref_count_dec (&self->refs))
    return;
  g_hash_table_unref (self->keys);
  g_hash_table_unref (self->watches);
  g_hash_table_unref (self->missing);
  g_clear_error (&self->failure);
  g_clear_error (&self->doubt);
  g_free (self);
}

static CommyRegistration *
registration_ref (CommyRegistration *self)
{
  g_ref_count_inc (&self->refs);
  return self;
}

static Operation *
operation_new (CommyRegistration *self, CommyRegistrationFunc func, gpointer data)
{
  Operation *operation = g_new0 (Operation, 1);

  operation->registration = registration_ref (self);
  operation->func = func;
  operation->data = data;
  return operation;
}

static void
operation_end (Operation *self, const GError *error)
{
  self->func (self->data, error);
  registration_unref (self->registration);
  g_clear_pointer (&self->value, g_bytes_unref);
  g_free (self->key);
  g_free (self);
}

static void
nothing (gpointer data, const GError *error)
{
}

static void
put (CommyRegistration *self,
     const char *key,
     GBytes *value,
     CommyStoreDoneFunc done,
     gpointer user_data)
{
  const CommyStoreOp op
      = { .kind = COMMY_STORE_PUT, .key = key, .value = value, .lease = self->lease };

  self->ops->txn (self->store->instance, NULL, 0, &op, 1, done, user_data);
}

static void
keep (CommyRegistration *self, const char *key, GBytes *value)
{
  Kept *kept = g_hash_table_lookup (self->keys, key);

  if (kept == NULL)
    {
      kept = g_new0 (Kept, 1);
      g_hash_table_insert (self->keys, g_strdup (key), kept);
    }
  g_clear_pointer (&kept->value, g_bytes_unref);
  kept->value = g_bytes_ref (value);
}

/* --- trying again --- */

static gboolean
on_retry (gpointer data)
{
  CommyRegistration *self = data;

  g_clear_pointer (&self->retry, g_source_unref);
  look (self);
  return G_SOURCE_REMOVE;
}

/* A store that is away may be back in a moment; one that says no will mostly say it again. */
static gboolean
is_refusal (const GError *error)
{
  return g_error_matches (error, COMMY_ERROR, COMMY_ERROR_DENIED)
         || g_error_matches (error, COMMY_ERROR, COMMY_ERROR_BUSY)
         || g_error_matches (error, COMMY_ERROR, COMMY_ERROR_TOO_BIG)
         || g_error_matches (error, COMMY_ERROR, COMMY_ERROR_INVALID_ARGUMENT);
}

guint
commy_registration_get_pause_ms (guint n_refused)
{
  return MIN (RETRY_MS << MIN (n_refused, 16), RETRY_MOST_MS);
}

static void
end_timer (GSource **timer)
{
  if (*timer != NULL)
    g_source_destroy (*timer);
  g_clear_pointer (timer, g_source_unref);
}

static void
begin_timer (CommyRegistration *self, GSource **timer, guint ms, GSourceFunc func)
{
  *timer = g_timeout_source_new (ms);
  g_source_set_callback (*timer, func, self, NULL);
  g_source_attach (*timer, self->context);
}

static void
retry_later (CommyRegistration *self, const char *what, const GError *error)
{
  const gboolean is_refused = is_refusal (error);

  g_message ("%s: %s", what, error->message);
  if (self->is_closed || (self->retry != NULL && (is_refused || !self->is_patient)))
    return;
  /* That one record is refused must not keep all the others waiting. */
  end_timer (&self->retry);
  self->is_patient = is_refused;
  self->n_refused = is_refused ? self->n_refused + 1 : 0;
  begin_timer (self, &self->retry,
               commy_registration_get_pause_ms (self->n_refused > 0 ? self->n_refused - 1 : 0),
               on_retry);
}

static void
retry_soon (CommyRegistration *self)
{
  if (self->retry != NULL && !self->is_patient)
    return;
  end_timer (&self->retry);
  self->is_patient = FALSE;
  begin_timer (self, &self->retry, RETRY_MS, on_retry);
}

/* --- watching --- */

static void on_events (gpointer user_data,
                       const CommyStoreEntry *entries,
                       gsize n_entries,
                       gint64 revision,
                       const GError *error);

/* Of one key, or of its folder: "services/". (transfer full) */
static char *
dup_prefix (CommyRegistration *self, const char *key)
{
  const char *slash = self->is_wide ? strchr (key, '/') : NULL;

  return slash != NULL ? g_strndup (key, (gsize) (slash + 1 - key)) : g_strdup (key);
}

static void
watch_from (CommyRegistration *self, const char *prefix, gint64 revision)
{
  Watch *watch;

  if (g_hash_table_contains (self->watches, prefix))
    return;
  watch = g_new0 (Watch, 1);
  watch->registration = self;
  watch->prefix = g_strdup (prefix);
  g_hash_table_insert (self->watches, watch->prefix, watch);
  watch->id = self->ops->watch (self->store->instance, prefix, revision, on_events, watch);
}

static void
unwatch (CommyRegistration *self, const char *prefix)
{
  const Watch *watch = g_hash_table_lookup (self->watches, prefix);

  if (watch == NULL)
    return;
  self->ops->unwatch (self->store->instance, watch->id);
  g_hash_table_remove (self->watches, prefix);
}

static void
unwatch_all (CommyRegistration *self)
{
  GHashTableIter iter;
  gpointer watch;

  g_hash_table_iter_init (&iter, self->watches);
  while (g_hash_table_iter_next (&iter, NULL, &watch))
    self->ops->unwatch (self->store->instance, ((Watch *) watch)->id);
  g_hash_table_remove_all (self->watches);
}

/* One that was put at this revision. Whoever hears of a whole folder looks first: others of its
 * keys may have gone since the watch of that ended. */
static void
watch_key (CommyRegistration *self, const char *key, gint64 revision)
{
  g_autofree char *prefix = NULL;

  if (!self->is_wide && g_hash_table_size (self->keys) > WATCHES_MOST)
    {
      self->is_wide = TRUE;
      unwatch_all (self);
    }
  prefix = dup_prefix (self, key);
  if (!self->is_wide)
    watch_from (self, prefix, revision);
  else if (!g_hash_table_contains (self->watches, prefix)
           && (self->retry == NULL || self->is_patient))
    look (self);
}

/* --- putting anew --- */

/* Ends an operation of our own. Returns FALSE if nobody wants its result. */
static gboolean
settle (CommyRegistration *self)
{
  gboolean is_wanted = !self->is_closed;

  registration_unref (self);
  return is_wanted;
}

static void
note_put (CommyRegistration *self, const char *key, const CommyStoreResult *result)
{
  Kept *kept = g_hash_table_lookup (self->keys, key);

  g_hash_table_remove (self->missing, key);
  if (kept == NULL || result == NULL)
    return;
  kept->revision = MAX (kept->revision, result->revision);
  watch_key (self, key, result->revision);
}

static gboolean
on_calm (gpointer data)
{
  end_timer (&((CommyRegistration *) data)->calm);
  return G_SOURCE_REMOVE;
}

/* The lease lasts, so it was somebody's doing: not to be answered again and again. */
static void
note_back (CommyRegistration *self)
{
  if (self->n_back == 0)
    return;
  g_message ("%u records of what is offered here were missing in the store and are there again",
             self->n_back);
  self->n_back = 0;
  if (self->calm == NULL)
    begin_timer (self, &self->calm, RETRY_MS, on_calm);
}

static void
end_of_puts (CommyRegistration *self)
{
  if (--self->n_pending > 0)
    return;
  self->is_busy = FALSE;
  if (g_hash_table_size (self->missing) == 0)
    self->n_refused = 0;
  note_back (self);
  if (self->must_look || self->doubt != NULL)
    look (self);
}

static void
on_put_anew (gpointer user_data, const CommyStoreResult *result, const GError *error)
{
  Operation *operation = user_data;
  CommyRegistration *self = operation->registration;

  if (!self->is_closed)
    {
      if (error == NULL)
        note_put (self, operation->key, result);
      else if (g_hash_table_contains (self->keys, operation->key))
        {
          g_hash_table_add (self->missing, g_strdup (operation->key));
          retry_later (self, "what is offered here is not in the store", error);
        }
      end_of_puts (self);
    }
  operation_end (operation, error);
}

/* The same, where it may show by this that the lease is gone. */
static void
on_put_back (gpointer user_data, const CommyStoreResult *result, const GError *error)
{
  Operation *operation = user_data;
  CommyRegistration *self = operation->registration;

  if (!self->is_closed && error != NULL && self->doubt == NULL)
    self->doubt = g_error_copy (error);
  self->n_back += error == NULL;
  if (self->is_closed || error == NULL || is_refusal (error))
    {
      on_put_anew (operation, result, error);
      return;
    }
  end_of_puts (self);
  operation_end (operation, error);
}

/* All keys, or those that are missing. */
static void
put_all (CommyRegistration *self, GHashTable *which, CommyStoreDoneFunc done)
{
  g_autofree gpointer *keys = g_hash_table_get_keys_as_array (which, NULL);

  /* One more, so that answers that come at once do not end it in the middle. */
  self->is_busy = TRUE;
  g_clear_error (&self->doubt);
  self->n_pending = 1;
  for (guint i = 0; keys[i] != NULL && (self->doubt == NULL || is_refusal (self->doubt)); i++)
    {
      const Kept *kept = g_hash_table_lookup (self->keys, keys[i]);
      Operation *operation;

      if (kept == NULL)
        continue;
      operation = operation_new (self, nothing, NULL);
      operation->key = g_strdup (keys[i]);
      self->n_pending++;
      put (self, operation->key, kept->value, done, operation);
    }
  end_of_puts (self);
}

static void
on_lease_anew (gpointer user_data, const CommyStoreResult *result, const GError *error)
{
  CommyRegistration *self = user_data;

  if (!settle (self))
    return;
  self->is_busy = FALSE;
  if (error != NULL)
    {
      retry_later (self, "the store gives no new lease", error);
      return;
    }
  self->lease = result->lease;
  g_hash_table_remove_all (self->missing);
  put_all (self, self->keys, on_put_anew);
}

static void
on_old_lease_ended (gpointer user_data, const CommyStoreResult *result, const GError *error)
{
  settle (user_data); /* mostly it is an error: there is none */
}

static void
register_anew (CommyRegistration *self)
{
  g_message ("lease %" G_GINT64_FORMAT " has ended: all that is offered here is registered anew",
             self->lease);
  self->is_busy = TRUE;
  self->n_back = 0;
  self->ops->revoke (self->store->instance, self->lease, on_old_lease_ended,
                     registration_ref (self));
  self->ops->grant (self->store->instance, LEASE_TTL_NS, on_lease_anew, registration_ref (self));
}

/* --- noticing --- */

/* Whether any of the keys is not as it was put. Those are to be put anew. */
static gboolean
note_events (CommyRegistration *self,
             const CommyStoreEntry *entries,
             gsize n_entries,
             GHashTable *gone)
{
  for (gsize i = 0; i < n_entries; i++)
    {
      const CommyStoreEntry *entry = &entries[i];
      const Kept *kept = entry->key != NULL ? g_hash_table_lookup (self->keys, entry->key) : NULL;

      if (kept == NULL || entry->mod_revision <= kept->revision)
        continue;
      if (entry->value == NULL || entry->lease != self->lease)
        g_hash_table_add (gone, g_strdup (entry->key));
      else
        g_hash_table_remove (gone, entry->key);
    }
  return g_hash_table_size (gone) > 0;
}

static void
on_events (gpointer user_data,
           const CommyStoreEntry *entries,
           gsize n_entries,
           gint64 revision,
           const GError *error)
{
  Watch *watch = user_data;
  CommyRegistration *self = watch->registration;
  g_autoptr (GHashTable) gone = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);

  if (error != NULL)
    {
      g_hash_table_remove (self->watches, watch->prefix);
      retry_later (self, "whether what is offered here stays in the store is not known", error);
      return;
    }
  if (!note_events (self, entries, n_entries, gone))
    return;
  if (self->is_busy)
    self->must_look = TRUE;
  else if (self->calm == NULL)
    put_all (self, gone, on_put_back);
  else
    retry_soon (self);
}

/* --- looking --- */

/* There, and under our lease: a store may keep what is under one that has ended for a while. What
 * changed here and was not taken is there as it was. */
static void
compare (CommyRegistration *self, const char *prefix, const CommyStoreResult *result)
{
  g_autoptr (GHashTable) found = g_hash_table_new (g_str_hash, g_str_equal);
  GHashTableIter iter;
  gpointer key, kept;

  for (gsize i = 0; i < result->n_entries; i++)
    if (result->entries[i].lease == self->lease && result->entries[i].value != NULL)
      g_hash_table_insert (found, (gpointer) result->entries[i].key, result->entries[i].value);
  g_hash_table_iter_init (&iter, self->keys);
  while (g_hash_table_iter_next (&iter, &key, &kept))
    {
      GBytes *value = g_hash_table_lookup (found, key);

      if (self->is_wide ? !g_str_has_prefix (key, prefix) : strcmp (key, prefix) != 0)
        continue;
      self->n_there += value != NULL;
      if (value != NULL && g_bytes_equal (value, ((Kept *) kept)->value))
        g_hash_table_remove (self->missing, key);
      else
        g_hash_table_add (self->missing, g_strdup (key));
    }
}

/* What is missing is put anew; but where that failed and nothing is there, it is the lease that is
 * gone. Where something is, ending the lease would take that away, too. */
static void
mend (CommyRegistration *self)
{
  g_autoptr (GError) doubt = g_steal_pointer (&self->doubt);

  if (g_hash_table_size (self->missing) == 0)
    return;
  if (doubt != NULL && self->n_there == 0)
    register_anew (self);
  else if (doubt != NULL && !is_refusal (doubt))
    retry_later (self, "what is offered here is not in the store", doubt);
  else if (self->calm != NULL && doubt == NULL)
    retry_soon (self);
  else if (self->retry == NULL)
    put_all (self, self->missing, on_put_back);
}

static void
end_of_look (CommyRegistration *self)
{
  g_autoptr (GError) failure = NULL;

  if (--self->n_pending > 0)
    return;
  self->is_busy = FALSE;
  failure = g_steal_pointer (&self->failure);
  if (failure != NULL)
    {
      g_clear_error (&self->doubt);
      retry_later (self, "whether what is offered here is in the store is not known", failure);
    }
  else if (self->must_look)
    look (self);
  else
    mend (self);
}

static void
on_looked (gpointer user_data, const CommyStoreResult *result, const GError *error)
{
  Operation *operation = user_data;
  CommyRegistration *self = operation->registration;

  if (!self->is_closed)
    {
      if (error == NULL)
        {
          compare (self, operation->key, result);
          watch_from (self, operation->key, result->revision);
        }
      else if (self->failure == NULL)
        self->failure = g_error_copy (error);
      end_of_look (self);
    }
  operation_end (operation, error);
}

/* Sees whether all keys are there, and watches those that are not watched. */
static void
look (CommyRegistration *self)
{
  g_autoptr (GHashTable) prefixes = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  GHashTableIter iter;
  gpointer key;

  self->must_look = self->is_busy;
  if (self->is_busy || self->is_closed)
    return;
  g_hash_table_iter_init (&iter, self->keys);
  while (g_hash_table_iter_next (&iter, &key, NULL))
    g_hash_table_add (prefixes, dup_prefix (self, key));
  self->is_busy = TRUE;
  self->n_there = 0;
  self->n_pending = 1;
  g_hash_table_iter_init (&iter, prefixes);
  while (g_hash_table_iter_next (&iter, &key, NULL))
    {
      Operation *operation = operation_new (self, nothing, NULL);

      operation->key = g_strdup (key);
      self->n_pending++;
      self->ops->range (self->store->instance, operation->key, on_looked, operation);
    }
  end_of_look (self);
}

/* --- from above --- */

static void
on_lease (gpointer user_data, const CommyStoreResult *result, const GError *error)
{
  Operation *operation = user_data;

  if (error == NULL)
    operation->registration->lease = result->lease;
  operation_end (operation, error);
}

void
commy_registration_start (CommyRegistration *self, CommyRegistrationFunc done, gpointer data)
{
  self->ops->grant (self->store->instance, LEASE_TTL_NS, on_lease,
                    operation_new (self, done, data));
}

static void
on_added (gpointer user_data, const CommyStoreResult *result, const GError *error)
{
  Operation *operation = user_data;
  CommyRegistration *self = operation->registration;

  if (error == NULL && !self->is_closed)
    {
      keep (self, operation->key, operation->value);
      note_put (self, operation->key, result);
    }
  operation_end (operation, error);
}

void
commy_registration_add (CommyRegistration *self,
                        const char *key,
                        GBytes *value,
                        CommyRegistrationFunc done,
                        gpointer data)
{
  Operation *operation = operation_new (self, done, data);

  operation->key = g_strdup (key);
  operation->value = g_bytes_ref (value);
  put (self, key, value, on_added, operation);
}

static void
on_updated (gpointer user_data, const CommyStoreResult *result, const GError *error)
{
  Operation *operation = user_data;
  CommyRegistration *self = operation->registration;

  if (!self->is_closed && g_hash_table_contains (self->keys, operation->key))
    {
      if (error == NULL)
        note_put (self, operation->key, result);
      else
        {
          g_hash_table_add (self->missing, g_strdup (operation->key));
          retry_later (self, "what changed here is not in the store", error);
        }
    }
  operation_end (operation, error);
}

void
commy_registration_update (CommyRegistration *self,
                           const char *key,
                           GBytes *value,
                           CommyRegistrationFunc done,
                           gpointer data)
{
  Operation *operation = operation_new (self, done, data);

  operation->key = g_strdup (key);
  operation->value = g_bytes_ref (value);
  /* At once: who registers all anew meanwhile takes the new one. */
  keep (self, key, value);
  put (self, key, value, on_updated, operation);
}

static void
on_removed (gpointer user_data, const CommyStoreResult *result, const GError *error)
{
  operation_end (user_data, error);
}

void
commy_registration_remove (CommyRegistration *self,
                           const char *key,
                           CommyRegistrationFunc done,
                           gpointer data)
{
  const CommyStoreOp op = { .kind = COMMY_STORE_DELETE, .key = key };

  g_hash_table_remove (self->keys, key);
  g_hash_table_remove (self->missing, key);
  unwatch (self, key);
  self->ops->txn (self->store->instance, NULL, 0, &op, 1, on_removed,
                  operation_new (self, done, data));
}

gint64
commy_registration_get_lease (CommyRegistration *self)
{
  return self->lease;
}

CommyRegistration *
commy_registration_new (CommyPlugin *store, GMainContext *context)
{
  CommyRegistration *self = g_new0 (CommyRegistration, 1);

  g_ref_count_init (&self->refs);
  self->store = store;
  self->ops = &store->ops.store;
  self->context = context;
  self->keys = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, kept_free);
  self->watches = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, watch_free);
  self->missing = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  return self;
}

void
commy_registration_free (CommyRegistration *self)
{
  if (self == NULL)
    return;
  self->is_closed = TRUE;
  unwatch_all (self);
  end_timer (&self->retry);
  end_timer (&self->calm);
  registration_unref (self);
}
