/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The store for applications: one operation each, carried out on the mesh thread and answered in
 * the caller's context, or to a thread that waits. Watches are in commy-store-watch.c.
 */
#include "config.h"

#include "mesh/commy-store-access.h"

#include "base/commy-error-private.h"

#include <commy/commy-mesh-store.h>
#include <string.h>

#define SYNC_TIMEOUT_US (10 * G_USEC_PER_SEC)
/* Nothing is there, so that asking for it costs no more than the way to the store and back. */
#define NOTHING "commy-status/"

static const char *const reserved_prefixes[]
    = { "services/", "nodes/", "hosts/", "denied/", "sessions/" };

typedef enum
{
  STORE_GET,
  STORE_LIST,
  STORE_PUT,
  STORE_DELETE,
  STORE_STATUS,
} Action;

typedef struct
{
  gatomicrefcount refs; /* of who carries it out and of the cancellable */
  CommyMesh *mesh;
  Action action;
  char *key;
  GBytes *value;
  gint64 expected;
  gint64 asked_ns;
  CommyLatch *latch;  /* of who waits; or */
  GTask *task;        /* of who does not; the rest belongs to its context */
  GSource *cancelled; /* or NULL */
  gboolean returned;
  GVariant *result;
  GError *error;
} Operation;

static void
operation_unref (gpointer data)
{
  Operation *self = data;

  if (!g_atomic_ref_count_dec (&self->refs))
    return;
  g_clear_pointer (&self->value, g_bytes_unref);
  g_clear_pointer (&self->result, g_variant_unref);
  g_clear_error (&self->error);
  g_clear_object (&self->task);
  g_object_unref (self->mesh);
  g_free (self->key);
  g_free (self);
}

static Operation *
operation_new (CommyMesh *mesh, Action action, const char *key)
{
  Operation *self = g_new0 (Operation, 1);

  g_atomic_ref_count_init (&self->refs);
  self->mesh = g_object_ref (mesh);
  self->action = action;
  self->key = g_strdup (key);
  return self;
}

/* --- values --- */

GVariant *
commy_store_entry_to_variant (const CommyStoreEntry *entry)
{
  GVariantBuilder record;

  g_variant_builder_init (&record, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&record, "{sv}", "key", g_variant_new_bytestring (entry->key));
  if (entry->value != NULL)
    g_variant_builder_add (
        &record, "{sv}", "value",
        g_variant_new_from_bytes (G_VARIANT_TYPE_BYTESTRING, entry->value, TRUE));
  g_variant_builder_add (&record, "{sv}", "created", g_variant_new_int64 (entry->create_revision));
  g_variant_builder_add (&record, "{sv}", "revision", g_variant_new_int64 (entry->mod_revision));
  g_variant_builder_add (&record, "{sv}", "lease", g_variant_new_int64 (entry->lease));
  return g_variant_builder_end (&record);
}

static GVariant *
to_list (const CommyStoreResult *result)
{
  GVariantBuilder entries;

  g_variant_builder_init (&entries, G_VARIANT_TYPE ("aa{sv}"));
  for (gsize i = 0; i < result->n_entries; i++)
    g_variant_builder_add_value (&entries, commy_store_entry_to_variant (&result->entries[i]));
  return g_variant_new ("(xaa{sv})", result->revision, &entries);
}

/* NULL: it is not there. What is longer begins with it, too. */
static GVariant *
to_entry (const CommyStoreResult *result, const char *key)
{
  for (gsize i = 0; i < result->n_entries; i++)
    if (strcmp (result->entries[i].key, key) == 0)
      return commy_store_entry_to_variant (&result->entries[i]);
  return NULL;
}

static GVariant *
list_parameters (CommyMesh *mesh)
{
  g_autoptr (GVariant) settings = g_variant_ref_sink (commy_config_list (mesh->config));
  g_autofree char *wanted = g_strconcat ("plugin ", mesh->store->name, NULL);
  GVariantBuilder parameters;
  GVariantIter iter;
  const char *group, *key, *value;

  g_variant_builder_init (&parameters, G_VARIANT_TYPE ("a{ss}"));
  g_variant_iter_init (&iter, settings);
  while (g_variant_iter_next (&iter, "(&s&s&s&s)", &group, &key, &value, NULL))
    if (strcmp (group, wanted) == 0 && g_str_has_prefix (key, "param."))
      g_variant_builder_add (&parameters, "{ss}", key + strlen ("param."), value);
  return g_variant_builder_end (&parameters);
}

static void
add_text (GVariantBuilder *record, const char *key, const char *text)
{
  g_variant_builder_add (record, "{sv}", key, g_variant_new_string (text));
}

static GVariant *
to_status (Operation *self, const CommyStoreResult *result, const GError *error)
{
  CommyPlugin *store = self->mesh->store;
  gint64 took_ns = commy_env_now (self->mesh->env) - self->asked_ns;
  GVariantBuilder record;

  g_variant_builder_init (&record, G_VARIANT_TYPE_VARDICT);
  add_text (&record, "plugin", store->note.id);
  add_text (&record, "version", store->note.version);
  add_text (&record, "summary", store->note.summary);
  add_text (&record, "state-dir", self->mesh->state_dir);
  g_variant_builder_add (&record, "{sv}", "settings", list_parameters (self->mesh));
  g_variant_builder_add (&record, "{sv}", "reachable", g_variant_new_boolean (error == NULL));
  if (error != NULL)
    add_text (&record, "error", error->message);
  else
    {
      g_variant_builder_add (&record, "{sv}", "revision", g_variant_new_int64 (result->revision));
      g_variant_builder_add (&record, "{sv}", "answered-ns",
                             g_variant_new_uint64 ((guint64) MAX (took_ns, 0)));
    }
  return g_variant_builder_end (&record);
}

/* Floating; NULL: nothing is there. */
static GVariant *
to_value (Operation *self, const CommyStoreResult *result)
{
  switch (self->action)
    {
    case STORE_GET:
      return to_entry (result, self->key);
    case STORE_LIST:
      return to_list (result);
    case STORE_PUT:
    case STORE_DELETE:
      return g_variant_new_int64 (result->succeeded ? result->revision : 0);
    case STORE_STATUS:
    default:
      return to_status (self, result, NULL);
    }
}

/* --- on the mesh thread --- */

/* In the task's context, where the last reference to the mesh may go. */
static gboolean
return_here (gpointer data)
{
  Operation *self = data;

  if (self->cancelled != NULL)
    g_source_destroy (self->cancelled);
  g_clear_pointer (&self->cancelled, g_source_unref);
  if (self->returned)
    return G_SOURCE_REMOVE;
  if (self->error != NULL)
    g_task_return_error (self->task, g_steal_pointer (&self->error));
  else
    g_task_return_pointer (self->task, g_steal_pointer (&self->result),
                           (GDestroyNotify) g_variant_unref);
  return G_SOURCE_REMOVE;
}

/* @value: floating or NULL */
static void
operation_end (Operation *self, GVariant *value, const GError *error)
{
  GVariant *owned = value != NULL ? g_variant_ref_sink (value) : NULL;
  g_autoptr (GSource) source = NULL;
  CommyLatch *latch = self->latch;

  if (latch != NULL)
    {
      /* Whoever waits may hold the last reference to the mesh, and is to be the one to drop it. */
      operation_unref (self);
      commy_latch_answer (latch, owned, (GDestroyNotify) g_variant_unref, error);
      return;
    }
  self->result = owned;
  self->error = error != NULL ? g_error_copy (error) : NULL;
  source = g_idle_source_new ();
  g_source_set_priority (source, g_task_get_priority (self->task));
  g_source_set_callback (source, return_here, self, operation_unref);
  g_source_attach (source, g_task_get_context (self->task));
}

static void
on_done (gpointer user_data, const CommyStoreResult *result, const GError *error)
{
  Operation *self = user_data;

  if (error != NULL && self->action == STORE_STATUS && self->mesh->registry != NULL)
    operation_end (self, to_status (self, NULL, error), NULL);
  else if (error != NULL)
    operation_end (self, NULL, error);
  else
    operation_end (self, to_value (self, result), NULL);
}

static void
write_here (Operation *self, CommyPlugin *store)
{
  CommyStoreCompare compare = { .key = self->key, .mod_revision = self->expected };
  CommyStoreOp op = { .kind = self->action == STORE_PUT ? COMMY_STORE_PUT : COMMY_STORE_DELETE,
                      .key = self->key,
                      .value = self->value };

  store->ops.store.txn (store->instance, &compare,
                        self->expected == COMMY_STORE_ANY_REVISION ? 0 : 1, &op, 1, on_done, self);
}

static void
begin_here (gpointer data)
{
  Operation *self = data;
  CommyPlugin *store = self->mesh->store;
  g_autoptr (GError) error = NULL;

  if (!commy_mesh_is_up (self->mesh))
    {
      commy_set_error (&error, COMMY_ERROR_LEAVING, "the mesh is being left");
      operation_end (self, NULL, error);
      return;
    }
  self->asked_ns = commy_env_now (self->mesh->env);
  if (self->action == STORE_PUT || self->action == STORE_DELETE)
    write_here (self, store);
  else
    store->ops.store.range (store->instance, self->key, on_done, self);
}

/* --- asking --- */

gboolean
commy_store_key_check (const char *key, gsize minimum, GError **error)
{
  gsize length = strnlen (key, COMMY_STORE_KEY_MAX + 1);

  if (length >= minimum && length <= COMMY_STORE_KEY_MAX)
    return TRUE;
  commy_set_error (error, COMMY_ERROR_INVALID_ARGUMENT,
                   length == 0 ? "a key of the store has at least one of at most %d bytes"
                               : "a key of the store has at most %d bytes",
                   COMMY_STORE_KEY_MAX);
  return FALSE;
}

static gboolean
check_write (Operation *self, CommyStoreWriteFlags flags, GError **error)
{
  if (self->expected < COMMY_STORE_ANY_REVISION)
    {
      commy_set_error (error, COMMY_ERROR_INVALID_ARGUMENT,
                       "%" G_GINT64_FORMAT " is no revision of a key", self->expected);
      return FALSE;
    }
  for (guint i = 0; i < G_N_ELEMENTS (reserved_prefixes); i++)
    if ((flags & COMMY_STORE_WRITE_RESERVED) == 0
        && g_str_has_prefix (self->key, reserved_prefixes[i]))
      {
        commy_set_error (error, COMMY_ERROR_INVALID_ARGUMENT,
                         "keys below %s are the mesh's own: who writes there says so (flag "
                         "COMMY_STORE_WRITE_RESERVED, commy store put --force)",
                         reserved_prefixes[i]);
        return FALSE;
      }
  return TRUE;
}

static gboolean
check (Operation *self, CommyStoreWriteFlags flags, GCancellable *cancellable, GError **error)
{
  gboolean writes = self->action == STORE_PUT || self->action == STORE_DELETE;

  if (g_cancellable_is_cancelled (cancellable))
    {
      commy_set_error (error, COMMY_ERROR_CANCELLED, "cancelled by the caller");
      return FALSE;
    }
  return commy_mesh_check_joined (self->mesh, error)
         && commy_store_key_check (self->key, self->action == STORE_LIST ? 0 : 1, error)
         && (!writes || check_write (self, flags, error));
}

/* Takes the operation over. (transfer full) (nullable) */
static GVariant *
run_sync (Operation *self, CommyStoreWriteFlags flags, GCancellable *cancellable, GError **error)
{
  gboolean writes = self->action == STORE_PUT || self->action == STORE_DELETE;
  g_autoptr (GError) cause = NULL;
  gpointer value = NULL;
  CommyLatch *latch;

  if (!check (self, flags, cancellable, error))
    {
      operation_unref (self);
      return NULL;
    }
  latch = commy_latch_new ();
  self->latch = latch;
  commy_mesh_invoke (self->mesh, begin_here, self);
  if (!commy_latch_wait (latch, g_get_monotonic_time () + SYNC_TIMEOUT_US, cancellable, &value,
                         &cause))
    {
      if (writes && g_error_matches (cause, COMMY_ERROR, COMMY_ERROR_DEADLINE))
        commy_set_error (error, COMMY_ERROR_OUTCOME_UNKNOWN,
                         "the store has not answered in time: the change may or may not have "
                         "happened");
      else
        g_propagate_error (error, g_steal_pointer (&cause));
    }
  return value;
}

/* In the task's context. */
static gboolean
on_cancelled (GCancellable *cancellable, gpointer data)
{
  Operation *self = data;
  GError *error = NULL;

  self->returned = TRUE;
  commy_set_error (&error, COMMY_ERROR_CANCELLED, "cancelled by the caller");
  g_task_return_error (self->task, error);
  return G_SOURCE_REMOVE;
}

static void
watch_cancellable (Operation *self, GCancellable *cancellable)
{
  g_atomic_ref_count_inc (&self->refs);
  self->cancelled = g_cancellable_source_new (cancellable);
  g_source_set_callback (self->cancelled, G_SOURCE_FUNC (on_cancelled), self, operation_unref);
  g_source_attach (self->cancelled, g_task_get_context (self->task));
}

/* Takes the operation over. @tag: of the function that began it */
static void
run_async (Operation *self,
           CommyStoreWriteFlags flags,
           GCancellable *cancellable,
           GAsyncReadyCallback callback,
           gpointer user_data,
           gpointer tag)
{
  GError *error = NULL;

  self->task = g_task_new (self->mesh, cancellable, callback, user_data);
  g_task_set_source_tag (self->task, tag);
  /* It is looked at here, so that what cancels has the library's number. */
  g_task_set_check_cancellable (self->task, FALSE);
  if (!check (self, flags, cancellable, &error))
    {
      g_task_return_error (self->task, error);
      operation_unref (self);
      return;
    }
  if (cancellable != NULL)
    watch_cancellable (self, cancellable);
  commy_mesh_invoke (self->mesh, begin_here, self);
}

static GVariant *
finish_value (CommyMesh *mesh, GAsyncResult *result, gpointer tag, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, mesh), NULL);
  g_return_val_if_fail (g_task_get_source_tag (G_TASK (result)) == tag, NULL);
  return g_task_propagate_pointer (G_TASK (result), error);
}

/* -1: there is none. */
static gint64
to_revision (GVariant *value)
{
  g_autoptr (GVariant) owned = value;

  return owned != NULL ? g_variant_get_int64 (owned) : -1;
}

/* --- get, list --- */

void
commy_mesh_store_get (CommyMesh *self,
                      const char *key,
                      GCancellable *cancellable,
                      GAsyncReadyCallback callback,
                      gpointer user_data)
{
  g_return_if_fail (COMMY_IS_MESH (self));
  g_return_if_fail (key != NULL);
  run_async (operation_new (self, STORE_GET, key), COMMY_STORE_WRITE_DEFAULT, cancellable, callback,
             user_data, commy_mesh_store_get);
}

GVariant *
commy_mesh_store_get_finish (CommyMesh *self, GAsyncResult *result, GError **error)
{
  return finish_value (self, result, commy_mesh_store_get, error);
}

GVariant *
commy_mesh_store_get_sync (CommyMesh *self,
                           const char *key,
                           GCancellable *cancellable,
                           GError **error)
{
  g_return_val_if_fail (COMMY_IS_MESH (self), NULL);
  g_return_val_if_fail (key != NULL, NULL);
  return run_sync (operation_new (self, STORE_GET, key), COMMY_STORE_WRITE_DEFAULT, cancellable,
                   error);
}

void
commy_mesh_store_list (CommyMesh *self,
                       const char *prefix,
                       GCancellable *cancellable,
                       GAsyncReadyCallback callback,
                       gpointer user_data)
{
  g_return_if_fail (COMMY_IS_MESH (self));
  g_return_if_fail (prefix != NULL);
  run_async (operation_new (self, STORE_LIST, prefix), COMMY_STORE_WRITE_DEFAULT, cancellable,
             callback, user_data, commy_mesh_store_list);
}

GVariant *
commy_mesh_store_list_finish (CommyMesh *self, GAsyncResult *result, GError **error)
{
  return finish_value (self, result, commy_mesh_store_list, error);
}

GVariant *
commy_mesh_store_list_sync (CommyMesh *self,
                            const char *prefix,
                            GCancellable *cancellable,
                            GError **error)
{
  g_return_val_if_fail (COMMY_IS_MESH (self), NULL);
  g_return_val_if_fail (prefix != NULL, NULL);
  return run_sync (operation_new (self, STORE_LIST, prefix), COMMY_STORE_WRITE_DEFAULT, cancellable,
                   error);
}

/* --- put, delete --- */

/* @value: NULL to delete */
static Operation *
new_write (CommyMesh *mesh, const char *key, GBytes *value, gint64 expected)
{
  Operation *self = operation_new (mesh, value != NULL ? STORE_PUT : STORE_DELETE, key);

  self->value = value != NULL ? g_bytes_ref (value) : NULL;
  self->expected = expected;
  return self;
}

void
commy_mesh_store_put (CommyMesh *self,
                      const char *key,
                      GBytes *value,
                      gint64 expected,
                      CommyStoreWriteFlags flags,
                      GCancellable *cancellable,
                      GAsyncReadyCallback callback,
                      gpointer user_data)
{
  g_return_if_fail (COMMY_IS_MESH (self));
  g_return_if_fail (key != NULL && value != NULL);
  run_async (new_write (self, key, value, expected), flags, cancellable, callback, user_data,
             commy_mesh_store_put);
}

gint64
commy_mesh_store_put_finish (CommyMesh *self, GAsyncResult *result, GError **error)
{
  return to_revision (finish_value (self, result, commy_mesh_store_put, error));
}

gint64
commy_mesh_store_put_sync (CommyMesh *self,
                           const char *key,
                           GBytes *value,
                           gint64 expected,
                           CommyStoreWriteFlags flags,
                           GCancellable *cancellable,
                           GError **error)
{
  g_return_val_if_fail (COMMY_IS_MESH (self), -1);
  g_return_val_if_fail (key != NULL && value != NULL, -1);
  return to_revision (run_sync (new_write (self, key, value, expected), flags, cancellable, error));
}

void
commy_mesh_store_delete (CommyMesh *self,
                         const char *key,
                         gint64 expected,
                         CommyStoreWriteFlags flags,
                         GCancellable *cancellable,
                         GAsyncReadyCallback callback,
                         gpointer user_data)
{
  g_return_if_fail (COMMY_IS_MESH (self));
  g_return_if_fail (key != NULL);
  run_async (new_write (self, key, NULL, expected), flags, cancellable, callback, user_data,
             commy_mesh_store_delete);
}

gint64
commy_mesh_store_delete_finish (CommyMesh *self, GAsyncResult *result, GError **error)
{
  return to_revision (finish_value (self, result, commy_mesh_store_delete, error));
}

gint64
commy_mesh_store_delete_sync (CommyMesh *self,
                              const char *key,
                              gint64 expected,
                              CommyStoreWriteFlags flags,
                              GCancellable *cancellable,
                              GError **error)
{
  g_return_val_if_fail (COMMY_IS_MESH (self), -1);
  g_return_val_if_fail (key != NULL, -1);
  return to_revision (run_sync (new_write (self, key, NULL, expected), flags, cancellable, error));
}

/* --- status --- */

void
commy_mesh_store_status (CommyMesh *self,
                         GCancellable *cancellable,
                         GAsyncReadyCallback callback,
                         gpointer user_data)
{
  g_return_if_fail (COMMY_IS_MESH (self));
  run_async (operation_new (self, STORE_STATUS, NOTHING), COMMY_STORE_WRITE_DEFAULT, cancellable,
             callback, user_data, commy_mesh_store_status);
}

GVariant *
commy_mesh_store_status_finish (CommyMesh *self, GAsyncResult *result, GError **error)
{
  return finish_value (self, result, commy_mesh_store_status, error);
}

GVariant *
commy_mesh_store_status_sync (CommyMesh *self, GCancellable *cancellable, GError **error)
{
  g_return_val_if_fail (COMMY_IS_MESH (self), NULL);
  return run_sync (operation_new (self, STORE_STATUS, NOTHING), COMMY_STORE_WRITE_DEFAULT,
                   cancellable, error);
}
