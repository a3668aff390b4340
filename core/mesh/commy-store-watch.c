/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Watches of the store for applications. The watch object belongs to its maker's thread; a follower
 * on the mesh thread has the plugin's watch, and keeps what changed until the maker's context takes
 * it. Either may end first.
 */
#include "config.h"

#include "mesh/commy-store-access.h"

#include "base/commy-error-private.h"

#include <commy/commy-mesh-store.h>

/* Changes that wait for a program that does not take them. */
#define MAX_WAITING 65536u

typedef struct
{
  gatomicrefcount refs;
  char *prefix;
  gint64 from;
  GMainContext *context; /* the maker's */
  GWeakRef watch;

  /* mesh thread; who leaves a mesh runs what was posted to it first, so that it outlives that */
  CommyMesh *home;
  CommyMesh *mesh; /* while it is in `store_watches`: borrowed */
  guint id;        /* the plugin's; 0: none */
  gboolean over;   /* nobody wants to hear anything more */

  GMutex lock;    /* of the rest */
  GQueue changes; /* GVariant (xaa{sv}) */
  guint n_waiting;
  GError *error; /* it has ended */
  gboolean scheduled;
} Follower;

struct _CommyStoreWatch
{
  GObject parent_instance;

  CommyMesh *mesh;
  Follower *follower; /* NULL: stopped */
};

G_DEFINE_FINAL_TYPE (CommyStoreWatch, commy_store_watch, G_TYPE_OBJECT)

enum
{
  CHANGED,
  ENDED,
};
static const char *const signal_names[] = { [CHANGED] = "changed", [ENDED] = "ended" };

/* --- followers --- */

static void
follower_unref (gpointer data)
{
  Follower *self = data;

  if (!g_atomic_ref_count_dec (&self->refs))
    return;
  g_queue_clear_full (&self->changes, (GDestroyNotify) g_variant_unref);
  g_clear_error (&self->error);
  g_weak_ref_clear (&self->watch);
  g_mutex_clear (&self->lock);
  g_main_context_unref (self->context);
  g_free (self->prefix);
  g_free (self);
}

static Follower *
follower_ref (Follower *self)
{
  g_atomic_ref_count_inc (&self->refs);
  return self;
}

static Follower *
follower_new (CommyStoreWatch *watch, const char *prefix, gint64 from)
{
  Follower *self = g_new0 (Follower, 1);

  g_atomic_ref_count_init (&self->refs);
  g_mutex_init (&self->lock);
  g_queue_init (&self->changes);
  g_weak_ref_init (&self->watch, watch);
  self->prefix = g_strdup (prefix);
  self->from = from;
  self->context = g_main_context_ref_thread_default ();
  return self;
}

/* --- telling the maker --- */

/* (transfer full) (nullable): what to tell next; else @out_error if it has ended */
static GVariant *
take_change (Follower *self, GError **out_error)
{
  GVariant *change;

  g_mutex_lock (&self->lock);
  change = g_queue_pop_head (&self->changes);
  if (change == NULL)
    {
      self->n_waiting = 0;
      self->scheduled = FALSE;
      *out_error = g_steal_pointer (&self->error);
    }
  g_mutex_unlock (&self->lock);
  return change;
}

static gboolean
deliver (gpointer data)
{
  Follower *self = data;
  g_autoptr (CommyStoreWatch) watch = g_weak_ref_get (&self->watch);
  g_autoptr (GError) error = NULL;
  GVariant *change;

  /* A handler may stop the watch. */
  while (watch != NULL && watch->follower == self && (change = take_change (self, &error)) != NULL)
    {
      g_autoptr (GVariant) entries = g_variant_get_child_value (change, 1);
      gint64 revision;

      g_variant_get_child (change, 0, "x", &revision);
      g_variant_unref (change);
      g_signal_emit_by_name (watch, signal_names[CHANGED], entries, revision);
    }
  if (error != NULL)
    g_signal_emit_by_name (watch, signal_names[ENDED], error);
  return G_SOURCE_REMOVE;
}

/* lock held */
static void
schedule (Follower *self)
{
  g_autoptr (GSource) source = NULL;

  if (self->scheduled)
    return;
  self->scheduled = TRUE;
  source = g_idle_source_new ();
  g_source_set_priority (source, G_PRIORITY_DEFAULT);
  g_source_set_callback (source, deliver, follower_ref (self), follower_unref);
  g_source_attach (source, self->context);
}

/* --- mesh thread --- */

/* Gives up the plugin's watch and the mesh's reference. */
static void
leave (Follower *self)
{
  CommyMesh *mesh = self->mesh;

  self->over = TRUE;
  if (mesh == NULL)
    return;
  self->mesh = NULL;
  if (self->id != 0)
    mesh->store->ops.store.unwatch (mesh->store->instance, self->id);
  self->id = 0;
  g_ptr_array_remove_fast (mesh->store_watches, self);
}

/* @self is borrowed from somebody who is not the mesh. */
static void
end (Follower *self, const GError *error)
{
  if (self->over)
    return;
  g_mutex_lock (&self->lock);
  self->error = g_error_copy (error);
  schedule (self);
  g_mutex_unlock (&self->lock);
  leave (self);
}

static GVariant *
to_change (const CommyStoreEntry *entries, gsize n_entries, gint64 revision)
{
  GVariantBuilder list;

  g_variant_builder_init (&list, G_VARIANT_TYPE ("aa{sv}"));
  for (gsize i = 0; i < n_entries; i++)
    g_variant_builder_add_value (&list, commy_store_entry_to_variant (&entries[i]));
  return g_variant_ref_sink (g_variant_new ("(xaa{sv})", revision, &list));
}

/* Whether there is room. */
static gboolean
keep (Follower *self, GVariant *change, gsize n_entries)
{
  gboolean room;

  g_mutex_lock (&self->lock);
  room = self->n_waiting + n_entries <= MAX_WAITING || self->n_waiting == 0;
  if (room)
    {
      self->n_waiting += (guint) n_entries;
      g_queue_push_tail (&self->changes, change);
      schedule (self);
    }
  g_mutex_unlock (&self->lock);
  if (!room)
    g_variant_unref (change);
  return room;
}

static void
on_events (gpointer user_data,
           const CommyStoreEntry *entries,
           gsize n_entries,
           gint64 revision,
           const GError *error)
{
  Follower *self = follower_ref (user_data);
  g_autoptr (GError) busy = NULL;

  if (error != NULL)
    {
      self->id = 0; /* the plugin's watch is over */
      end (self, error);
    }
  else if (n_entries > 0 && !keep (self, to_change (entries, n_entries, revision), n_entries))
    {
      commy_set_error (&busy, COMMY_ERROR_BUSY,
                       "%u changes below \"%s\" wait for a program that does not take them: the "
                       "watch has ended; read the prefix again",
                       MAX_WAITING, self->prefix);
      end (self, busy);
    }
  follower_unref (self);
}

static void
watch_here (Follower *self, gint64 from)
{
  CommyPlugin *store = self->mesh->store;
  g_autoptr (GError) error = NULL;

  self->id = store->ops.store.watch (store->instance, self->prefix, from, on_events, self);
  if (self->id != 0)
    return;
  commy_set_error (&error, COMMY_ERROR_STORE, "the store %s cannot watch \"%s\"", store->note.id,
                   self->prefix);
  end (self, error);
}

static void
on_revision (gpointer user_data, const CommyStoreResult *result, const GError *error)
{
  Follower *self = user_data;

  if (!self->over && error != NULL)
    end (self, error);
  else if (!self->over)
    watch_here (self, result->revision);
  follower_unref (self);
}

static void
follow_here (gpointer data)
{
  Follower *self = data;
  CommyMesh *mesh = self->home;
  g_autoptr (GError) error = NULL;

  if (self->over)
    ;
  else if (!commy_mesh_is_up (mesh))
    {
      commy_set_error (&error, COMMY_ERROR_LEAVING, "the mesh is being left");
      end (self, error);
    }
  else
    {
      if (mesh->store_watches == NULL)
        mesh->store_watches = g_ptr_array_new_with_free_func (follower_unref);
      g_ptr_array_add (mesh->store_watches, follower_ref (self));
      self->mesh = mesh;
      if (self->from >= 0)
        watch_here (self, self->from);
      else
        mesh->store->ops.store.range (mesh->store->instance, self->prefix, on_revision,
                                      follower_ref (self));
    }
  follower_unref (self);
}

static void
unfollow_here (gpointer data)
{
  leave (data);
  follower_unref (data);
}

void
commy_mesh_end_store_watches (CommyMesh *mesh)
{
  g_autoptr (GError) error = NULL;

  commy_set_error (&error, COMMY_ERROR_LEAVING, "the mesh is being left");
  while (mesh->store_watches != NULL && mesh->store_watches->len > 0)
    {
      Follower *follower = follower_ref (mesh->store_watches->pdata[0]);

      end (follower, error);
      follower_unref (follower);
    }
  g_clear_pointer (&mesh->store_watches, g_ptr_array_unref);
}

/* --- the watch --- */

static void
commy_store_watch_dispose (GObject *object)
{
  commy_store_watch_stop (COMMY_STORE_WATCH (object));
  G_OBJECT_CLASS (commy_store_watch_parent_class)->dispose (object);
}

static void
commy_store_watch_finalize (GObject *object)
{
  g_clear_object (&COMMY_STORE_WATCH (object)->mesh);
  G_OBJECT_CLASS (commy_store_watch_parent_class)->finalize (object);
}

static void
commy_store_watch_class_init (CommyStoreWatchClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);

  object_class->dispose = commy_store_watch_dispose;
  object_class->finalize = commy_store_watch_finalize;
  /* Described in commy-mesh-store.h, where the scanner looks. */
  g_signal_new (signal_names[CHANGED], COMMY_TYPE_STORE_WATCH, G_SIGNAL_RUN_LAST, 0, NULL, NULL,
                NULL, G_TYPE_NONE, 2, G_TYPE_VARIANT, G_TYPE_INT64);
  g_signal_new (signal_names[ENDED], COMMY_TYPE_STORE_WATCH, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                G_TYPE_NONE, 1, G_TYPE_ERROR);
}

static void
commy_store_watch_init (CommyStoreWatch *self)
{
}

CommyStoreWatch *
commy_store_watch_new (CommyMesh *mesh, const char *prefix, gint64 from_revision, GError **error)
{
  g_autoptr (CommyStoreWatch) self = NULL;

  g_return_val_if_fail (COMMY_IS_MESH (mesh), NULL);
  g_return_val_if_fail (prefix != NULL, NULL);
  if (!commy_mesh_check_joined (mesh, error) || !commy_store_key_check (prefix, 0, error))
    return NULL;
  self = g_object_new (COMMY_TYPE_STORE_WATCH, NULL);
  self->mesh = g_object_ref (mesh);
  self->follower = follower_new (self, prefix, from_revision);
  self->follower->home = mesh;
  commy_mesh_post (mesh, follow_here, follower_ref (self->follower));
  return g_steal_pointer (&self);
}

void
commy_store_watch_stop (CommyStoreWatch *self)
{
  g_return_if_fail (COMMY_IS_STORE_WATCH (self));
  if (self->follower == NULL)
    return;
  /* A forked child's is its parent's. */
  if (!commy_mesh_is_inherited (self->mesh))
    commy_mesh_post (self->mesh, unfollow_here, follower_ref (self->follower));
  g_clear_pointer (&self->follower, follower_unref);
}
