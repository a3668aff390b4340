/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Registration: see the header. One of the keys is watched: when it goes although nobody here took
 * it away, the lease is gone and all keys with it. Another lease is taken and all keys are put
 * under it; what fails is tried again every second.
 */
#include "config.h"

#include "control/commy-registration.h"

#include <string.h>

#define LEASE_TTL_NS G_GINT64_CONSTANT (2000000000)
#define RETRY_MS 1000u
#define RETRY_MOST_MS 64000u

struct _CommyRegistration
{
  grefcount refs; /* one for each operation under way, one for who made it */
  gboolean is_closed;
  CommyPlugin *store;
  const CommyStoreOps *ops;
  GMainContext *context;
  gint64 lease;
  GHashTable *keys;    /* key to GBytes */
  char *watched;       /* one of the keys, or NULL */
  guint watch;         /* 0: none */
  gboolean is_busy;    /* looking or registering anew */
  guint n_pending;     /* keys that are put anew */
  GHashTable *missing; /* those of the keys that could not be put anew */
  gboolean must_look;  /* the watched key went while the store was being asked */
  GSource *retry;
  gboolean is_patient; /* the retry is after a refusal, and may be long */
  guint n_refused;     /* times in turn that the store would not have something */
};

typedef struct
{
  CommyRegistration *registration;
  CommyRegistrationFunc func;
  gpointer data;
  char *key;
  GBytes *value;
} Operation;

static void look (CommyRegistration *self);

/* --- memory --- */

static void
registration_unref (CommyRegistration *self)
{
  if (!g_ref_count_dec (&self->refs))
    return;
  g_hash_table_unref (self->keys);
  g_hash_table_unref (self->missing);
  g_free (self->watched);
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
stop_retry (CommyRegistration *self)
{
  if (self->retry != NULL)
    g_source_destroy (self->retry);
  g_clear_pointer (&self->retry, g_source_unref);
}

static void
retry_later (CommyRegistration *self, const char *what, const GError *error)
{
  const gboolean is_refused = is_refusal (error);

  g_message ("%s: %s", what, error->message);
  if (self->is_closed || (self->retry != NULL && (is_refused || !self->is_patient)))
    return;
  /* That one record is refused must not keep all the others waiting. */
  stop_retry (self);
  self->is_patient = is_refused;
  self->n_refused = is_refused ? self->n_refused + 1 : 0;
  self->retry = g_timeout_source_new (
      commy_registration_get_pause_ms (self->n_refused > 0 ? self->n_refused - 1 : 0));
  g_source_set_callback (self->retry, on_retry, self, NULL);
  g_source_attach (self->retry, self->context);
}

/* --- registering anew --- */

/* Ends an operation of our own. Returns FALSE if nobody wants its result. */
static gboolean
settle (CommyRegistration *self)
{
  gboolean is_wanted = !self->is_closed;

  registration_unref (self);
  return is_wanted;
}

static void
end_of_puts (CommyRegistration *self)
{
  if (--self->n_pending > 0)
    return;
  self->is_busy = FALSE;
  if (g_hash_table_size (self->missing) == 0)
    self->n_refused = 0;
  look (self); /* and is watched from now on; what is missing waits for the retry */
}

static void
nothing (gpointer data, const GError *error)
{
}

static void
on_put_anew (gpointer user_data, const CommyStoreResult *result, const GError *error)
{
  Operation *operation = user_data;
  CommyRegistration *self = operation->registration;

  if (!self->is_closed)
    {
      g_hash_table_remove (self->missing, operation->key);
      if (error != NULL && g_hash_table_contains (self->keys, operation->key))
        {
          g_hash_table_add (self->missing, g_strdup (operation->key));
          retry_later (self, "what is offered here is not in the store", error);
        }
      end_of_puts (self);
    }
  operation_end (operation, error);
}

/* All keys, or those that are missing. */
static void
put_anew (CommyRegistration *self, GHashTable *which)
{
  g_autofree gpointer *keys = g_hash_table_get_keys_as_array (which, NULL);

  /* One more, so that answers that come at once do not end it in the middle. */
  self->is_busy = TRUE;
  self->n_pending = 1;
  for (guint i = 0; keys[i] != NULL; i++)
    {
      Operation *operation = operation_new (self, nothing, NULL);

      operation->key = g_strdup (keys[i]);
      self->n_pending++;
      put (self, operation->key, g_hash_table_lookup (self->keys, operation->key), on_put_anew,
           operation);
    }
  end_of_puts (self);
}

static void
on_lease_anew (gpointer user_data, const CommyStoreResult *result, const GError *error)
{
  CommyRegistration *self = user_data;

  if (!settle (self))
    return;
  if (error != NULL)
    {
      self->is_busy = FALSE;
      retry_later (self, "the store gives no new lease", error);
      return;
    }
  self->lease = result->lease;
  g_hash_table_remove_all (self->missing);
  put_anew (self, self->keys);
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
  self->ops->revoke (self->store->instance, self->lease, on_old_lease_ended,
                     registration_ref (self));
  self->ops->grant (self->store->instance, LEASE_TTL_NS, on_lease_anew, registration_ref (self));
}

/* --- noticing --- */

static void
on_events (gpointer user_data,
           const CommyStoreEntry *entries,
           gsize n_entries,
           gint64 revision,
           const GError *error)
{
  CommyRegistration *self = user_data;
  gboolean is_gone = FALSE;

  if (error != NULL)
    {
      self->watch = 0;
      retry_later (self, "whether our lease lasts is not known", error);
      return;
    }
  for (gsize i = 0; i < n_entries; i++)
    if (g_strcmp0 (entries[i].key, self->watched) == 0)
      is_gone = entries[i].value == NULL;
  self->must_look |= is_gone && self->is_busy;
  if (is_gone && !self->is_busy && g_hash_table_contains (self->keys, self->watched))
    register_anew (self);
}

/* There, and under our lease: a store may keep what is under one that has ended for a while. */
static gboolean
is_ours (CommyRegistration *self, const CommyStoreResult *result)
{
  for (gsize i = 0; i < result->n_entries; i++)
    if (strcmp (result->entries[i].key, self->watched) == 0)
      return result->entries[i].lease == self->lease;
  return FALSE;
}

static void
on_looked (gpointer user_data, const CommyStoreResult *result, const GError *error)
{
  CommyRegistration *self = user_data;

  if (!settle (self))
    return;
  self->is_busy = FALSE;
  if (error != NULL)
    {
      retry_later (self, "whether our lease lasts is not known", error);
      return;
    }
  if (self->watched == NULL || !g_hash_table_contains (self->keys, self->watched)
      || self->must_look)
    {
      self->must_look = FALSE;
      look (self); /* it was taken away or went meanwhile */
      return;
    }
  if (!is_ours (self, result))
    {
      register_anew (self);
      return;
    }
  if (g_hash_table_size (self->missing) > 0 && self->retry == NULL)
    put_anew (self, self->missing);
  if (self->watch == 0)
    self->watch = self->ops->watch (self->store->instance, self->watched, result->revision,
                                    on_events, self);
}

static void
stop_watching (CommyRegistration *self)
{
  if (self->watch != 0)
    self->ops->unwatch (self->store->instance, self->watch);
  self->watch = 0;
  g_clear_pointer (&self->watched, g_free);
}

/* Chooses a key to watch, and sees whether it is there. */
static void
look (CommyRegistration *self)
{
  GHashTableIter iter;
  gpointer key;

  if (self->is_busy || self->is_closed)
    return;
  if (self->watched == NULL || !g_hash_table_contains (self->keys, self->watched)
      || g_hash_table_contains (self->missing, self->watched))
    {
      const char *chosen = NULL;

      stop_watching (self);
      /* That one is missing which the store would not have says nothing of the lease. */
      g_hash_table_iter_init (&iter, self->keys);
      while (g_hash_table_iter_next (&iter, &key, NULL)
             && (chosen == NULL || g_hash_table_contains (self->missing, chosen)))
        chosen = key;
      if (chosen == NULL || (self->retry != NULL && g_hash_table_contains (self->missing, chosen)))
        return;
      self->watched = g_strdup (chosen);
    }
  self->is_busy = TRUE;
  self->ops->range (self->store->instance, self->watched, on_looked, registration_ref (self));
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
      g_hash_table_replace (self->keys, g_strdup (operation->key), g_bytes_ref (operation->value));
      if (self->watched == NULL)
        look (self);
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

  if (error != NULL && !self->is_closed && g_hash_table_contains (self->keys, operation->key))
    {
      g_hash_table_add (self->missing, g_strdup (operation->key));
      retry_later (self, "what changed here is not in the store", error);
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
  g_hash_table_replace (self->keys, g_strdup (key), g_bytes_ref (value));
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
  look (self); /* watches another one, if it was this one */
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
  self->keys
      = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) g_bytes_unref);
  self->missing = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  return self;
}

void
commy_registration_free (CommyRegistration *self)
{
  if (self == NULL)
    return;
  self->is_closed = TRUE;
  stop_watching (self);
  stop_retry (self);
  registration_unref (self);
}
