/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The mesh object: configuration, catalog, directories, the mesh thread's life, and what
 * applications can ask about it. What happens on the mesh thread is in commy-mesh-join.c.
 */
#include "config.h"

#include "base/commy-error-private.h"
#include "control/commy-resilience.h"
#include "mesh/commy-keyfile-check.h"
#include "mesh/commy-peers.h"
#include "mesh/commy-service-private.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

G_DEFINE_FINAL_TYPE (CommyMesh, commy_mesh, G_TYPE_OBJECT)

/* A page that the kernel empties in every child; NULL where it cannot. */
static const guint32 *
own_word_new (void)
{
  guint32 *word
      = mmap (NULL, sizeof *word, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

  if (word == MAP_FAILED)
    return NULL;
  if (madvise (word, sizeof *word, MADV_WIPEONFORK) != 0)
    {
      munmap (word, sizeof *word);
      return NULL;
    }
  *word = 1;
  return word;
}

static void
commy_mesh_finalize (GObject *object)
{
  CommyMesh *self = COMMY_MESH (object);

  if (commy_mesh_is_inherited (self))
    {
      /* A forked child: everything below is its parent's, locks in unknown states included. */
      G_OBJECT_CLASS (commy_mesh_parent_class)->finalize (object);
      return;
    }
  if (self->thread != NULL)
    commy_mesh_leave_sync (self, NULL, NULL);
  commy_acts_free (self->acts);
  commy_call_limits_free (self->call_limits);
  commy_dependencies_free (self->dependencies);
  g_mutex_clear (&self->acts_lock);
  commy_decision_log_clear (&self->decisions);
  g_ptr_array_unref (self->workers);
  g_ptr_array_unref (self->watchers);
  g_clear_pointer (&self->expected, g_hash_table_unref);
  g_clear_pointer (&self->topic_services, g_ptr_array_unref);
  g_clear_pointer (&self->kept_balancers, g_ptr_array_unref);
  g_clear_pointer (&self->policy, commy_policy_current_free);
  g_clear_pointer (&self->catalog, commy_catalog_free);
  g_clear_pointer (&self->config, commy_config_unref);
  g_main_context_unref (self->home);
  g_cond_clear (&self->left);
  g_mutex_clear (&self->lock);
  g_free (self->settings);
  g_free (self->runtime_dir);
  g_free (self->state_dir);
  g_free (self->credentials_dir);
  g_free (self->name);
  if (self->own_word != NULL)
    munmap ((gpointer) self->own_word, sizeof *self->own_word);
  G_OBJECT_CLASS (commy_mesh_parent_class)->finalize (object);
}

static void
commy_mesh_class_init (CommyMeshClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = commy_mesh_finalize;
  /* Described in commy-mesh.h, where the scanner looks. */
  g_signal_new ("alert", COMMY_TYPE_MESH, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 3,
                G_TYPE_STRING, G_TYPE_BOOLEAN, G_TYPE_VARIANT);
  g_signal_new (COMMY_MESH_DRAINED, COMMY_TYPE_MESH, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                G_TYPE_NONE, 1, G_TYPE_UINT);
}

static void
commy_mesh_init (CommyMesh *self)
{
  g_mutex_init (&self->lock);
  g_mutex_init (&self->acts_lock);
  g_cond_init (&self->left);
  commy_decision_log_init (&self->decisions);
  self->workers = g_ptr_array_new ();
  self->watchers = g_ptr_array_new ();
  self->call_limits = commy_call_limits_new ();
  self->dependencies = commy_dependencies_new ();
  self->env = commy_env_system ();
  self->home = g_main_context_ref_thread_default ();
  self->pid = getpid ();
  self->own_word = own_word_new ();
  commy_env_new_id (self->env, self->node);
}

/* --- directories --- */

static gboolean
is_privileged (void)
{
  return getauxval (AT_SECURE) != 0;
}

static char *
state_base (CommyMesh *self)
{
  const char *set = commy_config_get (self->config, "mesh", "state-dir");
  const char *from_env = is_privileged () ? NULL : g_getenv ("COMMY_STATE_DIR");

  if (set != NULL && set[0] != '\0')
    return g_strdup (set);
  if (from_env != NULL && from_env[0] != '\0')
    return g_strdup (from_env);
  if (geteuid () == 0)
    return g_strdup (COMMY_LOCALSTATE_DIR "/lib/commy");
  return g_build_filename (g_get_user_state_dir (), "commy", NULL);
}

static char *
runtime_base (CommyMesh *self)
{
  const char *set = commy_config_get (self->config, "mesh", "runtime-dir");
  const char *from_env = is_privileged () ? NULL : g_getenv ("COMMY_RUNTIME_DIR");
  const char *xdg = is_privileged () ? NULL : g_getenv ("XDG_RUNTIME_DIR");

  if (set != NULL && set[0] != '\0')
    return g_strdup (set);
  if (from_env != NULL && from_env[0] != '\0')
    return g_strdup (from_env);
  if (xdg != NULL && xdg[0] != '\0')
    return g_build_filename (xdg, "commy", NULL);
  if (geteuid () == 0)
    return g_strdup ("/run/commy");
  return g_build_filename (g_get_user_cache_dir (), "commy", NULL);
}

/* Makes a directory of ours, mode 0700, and refuses one that others could have a hand in. */
static gboolean
make_directory (const char *path, GError **error)
{
  struct stat status;

  if (g_mkdir_with_parents (path, 0700) < 0 || g_lstat (path, &status) < 0)
    {
      commy_set_error (error, COMMY_ERROR_STATE_DIR,
                       "cannot use the directory %s: %s (settings state-dir and runtime-dir of "
                       "[mesh], or COMMY_STATE_DIR and COMMY_RUNTIME_DIR)",
                       path, g_strerror (errno));
      return FALSE;
    }
  if (!S_ISDIR (status.st_mode) || status.st_uid != geteuid () || (status.st_mode & 022) != 0)
    {
      commy_set_error (error, COMMY_ERROR_STATE_DIR,
                       "the directory %s is not ours alone (owner %u, mode %04o)", path,
                       status.st_uid, status.st_mode & 07777);
      return FALSE;
    }
  if (g_access (path, W_OK | X_OK) < 0)
    {
      commy_set_error (error, COMMY_ERROR_STATE_DIR, "the directory %s cannot be written: %s", path,
                       g_strerror (errno));
      return FALSE;
    }
  return TRUE;
}

static void
find_directories (CommyMesh *self, char **out_state)
{
  g_autofree char *runtime = runtime_base (self);
  g_autofree char *state = state_base (self);
  const char *credentials = commy_config_get (self->config, "mesh", "credentials-dir");

  self->runtime_dir = g_build_filename (runtime, self->name, NULL);
  self->state_dir = g_build_filename (state, self->name, NULL);
  self->credentials_dir = credentials != NULL && credentials[0] != '\0'
                              ? g_strdup (credentials)
                              : g_build_filename (self->state_dir, "pki", NULL);
  *out_state = g_steal_pointer (&state);
}

/* --- making --- */

CommyMesh *
commy_mesh_new (const char *name, GError **error)
{
  return commy_mesh_new_with_settings (name, NULL, error);
}

static CommyMesh *
mesh_new (const char *name, const CommyConfigSources *sources, GError **error)
{
  g_autoptr (CommyMesh) self = g_object_new (COMMY_TYPE_MESH, NULL);
  g_autofree char *state = NULL; /* of all meshes of this user */

  self->name = g_strdup (name != NULL ? name : "default");
  if (!commy_service_name_is_valid (self->name))
    {
      g_autofree char *shown = g_strescape (self->name, NULL);

      commy_set_error (error, COMMY_ERROR_INVALID_ARGUMENT, "\"%.64s\" is no name for a mesh",
                       shown);
      return NULL;
    }
  self->settings = g_strdup (sources->program);
  self->config = commy_config_load (sources, error);
  if (self->config == NULL || !commy_resilience_check (self->config, error))
    return NULL;
  find_directories (self, &state);
  self->catalog = commy_catalog_new (self->config, state, error);
  if (self->catalog == NULL)
    return NULL;
  return g_steal_pointer (&self);
}

CommyMesh *
commy_mesh_new_with_settings (const char *name, const char *keyfile, GError **error)
{
  CommyConfigSources sources;

  commy_config_sources_default (&sources);
  sources.program = keyfile;
  return mesh_new (name, &sources, error);
}

CommyMesh *
commy_mesh_new_without_policy (const char *name, GError **error)
{
  CommyConfigSources sources;

  commy_config_sources_default (&sources);
  sources.without_policy = TRUE;
  return mesh_new (name, &sources, error);
}

gboolean
commy_mesh_check_joined (CommyMesh *self, GError **error)
{
  if (G_UNLIKELY (commy_mesh_is_inherited (self)))
    commy_set_error (error, COMMY_ERROR_FORKED,
                     "this mesh belongs to the parent process %d: join again in the child",
                     (int) self->pid);
  else if (G_UNLIKELY (__atomic_load_n (&self->state, __ATOMIC_ACQUIRE) != COMMY_MESH_JOINED))
    commy_set_error (error, COMMY_ERROR_NOT_JOINED, "the mesh \"%s\" is not joined", self->name);
  else
    return TRUE;
  return FALSE;
}

/* --- the mesh thread --- */

typedef struct
{
  CommyWorkFunc func;
  gpointer data;
} Work;

static gboolean
run_work (gpointer data)
{
  Work *work = data;

  work->func (work->data);
  return G_SOURCE_REMOVE;
}

gboolean
commy_mesh_is_mesh_thread (CommyMesh *self)
{
  return self->thread == g_thread_self ();
}

void
commy_mesh_post (CommyMesh *self, CommyWorkFunc func, gpointer data)
{
  g_autoptr (GMainContext) context = NULL;
  g_autoptr (GSource) source = NULL;
  Work *work;

  g_mutex_lock (&self->lock);
  if (self->context != NULL)
    {
      work = g_new (Work, 1);
      source = g_idle_source_new ();
      work->func = func;
      work->data = data;
      g_source_set_priority (source, G_PRIORITY_DEFAULT);
      g_source_set_callback (source, run_work, work, g_free);
      context = g_main_context_ref (self->context);
      g_source_attach (source, context);
    }
  g_mutex_unlock (&self->lock);
  /* The mesh was left: @func finds that out. */
  if (source == NULL)
    func (data);
}

void
commy_mesh_invoke (CommyMesh *self, CommyWorkFunc func, gpointer data)
{
  if (commy_mesh_is_mesh_thread (self))
    func (data);
  else
    commy_mesh_post (self, func, data);
}

/* The thread keeps its own references: the mesh may be finalized on it. */
static gpointer
mesh_thread (gpointer data)
{
  GMainLoop *loop = data;
  GMainContext *context = g_main_loop_get_context (loop);

  g_main_context_push_thread_default (context);
  g_main_loop_run (loop);
  g_main_context_pop_thread_default (context);
  g_main_loop_unref (loop);
  return NULL;
}

static void
set_state (CommyMesh *self, CommyMeshState state)
{
  __atomic_store_n (&self->state, state, __ATOMIC_RELEASE);
}

static void
end_thread (CommyMesh *self)
{
  g_autoptr (GMainContext) context = NULL;

  g_main_loop_quit (self->loop);
  if (!commy_mesh_is_mesh_thread (self))
    g_thread_join (self->thread);
  else
    g_thread_unref (self->thread);
  g_clear_pointer (&self->loop, g_main_loop_unref);
  g_mutex_lock (&self->lock);
  self->thread = NULL;
  context = g_steal_pointer (&self->context);
  g_mutex_unlock (&self->lock);
  /* What was posted too late finds out that the mesh was left. */
  while (g_main_context_iteration (context, FALSE))
    ;
}

typedef struct
{
  CommyMesh *mesh;
  CommyLatch *latch;
} MeshWork;

static void
join_work (gpointer data)
{
  MeshWork *work = data;
  g_autoptr (GError) error = NULL;

  if (commy_mesh_join_here (work->mesh, &error))
    set_state (work->mesh, COMMY_MESH_JOINED);
  else
    commy_mesh_leave_here (work->mesh);
  commy_latch_answer (work->latch, NULL, NULL, error);
  g_free (work);
}

static void
leave_work (gpointer data)
{
  MeshWork *work = data;

  commy_mesh_leave_here (work->mesh);
  commy_latch_answer (work->latch, NULL, NULL, NULL);
  g_free (work);
}

static gboolean
run_and_wait (CommyMesh *self, CommyWorkFunc func, GError **error)
{
  MeshWork *work = g_new0 (MeshWork, 1);
  CommyLatch *latch = commy_latch_new ();

  work->mesh = self;
  work->latch = latch;
  commy_mesh_post (self, func, work);
  /* Not cancellable: half a join must be undone, which takes no less time. */
  return commy_latch_wait (latch, G_MAXINT64, NULL, NULL, error);
}

static gboolean
begin_join (CommyMesh *self, GError **error)
{
  gboolean begin;

  g_mutex_lock (&self->lock);
  begin = self->state == COMMY_MESH_NEW || self->state == COMMY_MESH_LEFT;
  if (begin)
    set_state (self, COMMY_MESH_JOINING);
  g_mutex_unlock (&self->lock);
  if (!begin)
    commy_set_error (error, COMMY_ERROR_INVALID_ARGUMENT, "the mesh \"%s\" is joined already",
                     self->name);
  return begin;
}

gboolean
commy_mesh_join_sync (CommyMesh *self, GCancellable *cancellable, GError **error)
{
  g_return_val_if_fail (COMMY_IS_MESH (self), FALSE);
  if (g_cancellable_is_cancelled (cancellable))
    {
      commy_set_error (error, COMMY_ERROR_CANCELLED, "cancelled by the caller");
      return FALSE;
    }
  if (self->pid != getpid ())
    {
      commy_set_error (error, COMMY_ERROR_FORKED, "this mesh belongs to the parent process %d",
                       (int) self->pid);
      return FALSE;
    }
  if (!begin_join (self, error))
    return FALSE;
  if (!make_directory (self->runtime_dir, error) || !make_directory (self->state_dir, error))
    {
      set_state (self, COMMY_MESH_NEW);
      return FALSE;
    }
  self->context = g_main_context_new ();
  self->loop = g_main_loop_new (self->context, FALSE);
  self->thread = g_thread_new ("commy-mesh", mesh_thread, g_main_loop_ref (self->loop));
  commy_mesh_reopen_workers (self);
  if (run_and_wait (self, join_work, error))
    {
      commy_mesh_offer_topics (self);
      return TRUE;
    }
  end_thread (self);
  set_state (self, COMMY_MESH_NEW);
  return FALSE;
}

/* Another thread leaves. */
static void
await_left (CommyMesh *self)
{
  if (self->pid != getpid () || commy_mesh_is_mesh_thread (self))
    return;
  commy_mesh_shut_workers (self, TRUE);
  g_mutex_lock (&self->lock);
  while (self->state == COMMY_MESH_LEAVING)
    g_cond_wait (&self->left, &self->lock);
  g_mutex_unlock (&self->lock);
}

gboolean
commy_mesh_leave_sync (CommyMesh *self, GCancellable *cancellable, GError **error)
{
  gboolean begin;

  g_return_val_if_fail (COMMY_IS_MESH (self), FALSE);
  g_mutex_lock (&self->lock);
  begin = self->state == COMMY_MESH_JOINED && self->pid == getpid ();
  if (begin)
    set_state (self, COMMY_MESH_LEAVING);
  g_mutex_unlock (&self->lock);
  if (!begin)
    {
      await_left (self);
      return TRUE;
    }
  /* Called from inside a handler or callback: the mesh thread could not get in. */
  self->left_from_inside = commy_mesh_shut_workers (self, TRUE);
  if (commy_mesh_is_mesh_thread (self))
    commy_mesh_leave_here (self);
  else
    run_and_wait (self, leave_work, NULL);
  end_thread (self);
  g_mutex_lock (&self->lock);
  set_state (self, COMMY_MESH_LEFT);
  g_cond_broadcast (&self->left);
  g_mutex_unlock (&self->lock);
  return TRUE;
}

static void
join_in_thread (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  GError *error = NULL;

  if (commy_mesh_join_sync (source, cancellable, &error))
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

static void
leave_in_thread (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  commy_mesh_leave_sync (source, cancellable, NULL);
  g_task_return_boolean (task, TRUE);
}

void
commy_mesh_join (CommyMesh *self,
                 GCancellable *cancellable,
                 GAsyncReadyCallback callback,
                 gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (self, cancellable, callback, user_data);

  g_task_run_in_thread (task, join_in_thread);
}

gboolean
commy_mesh_join_finish (CommyMesh *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  return g_task_propagate_boolean (G_TASK (result), error);
}

void
commy_mesh_leave (CommyMesh *self,
                  GCancellable *cancellable,
                  GAsyncReadyCallback callback,
                  gpointer user_data)
{
  g_autoptr (GTask) task = g_task_new (self, cancellable, callback, user_data);

  g_task_run_in_thread (task, leave_in_thread);
}

gboolean
commy_mesh_leave_finish (CommyMesh *self, GAsyncResult *result, GError **error)
{
  g_return_val_if_fail (g_task_is_valid (result, self), FALSE);
  return g_task_propagate_boolean (G_TASK (result), error);
}

/* --- facts --- */

const char *
commy_mesh_get_name (CommyMesh *self)
{
  g_return_val_if_fail (COMMY_IS_MESH (self), NULL);
  return self->name;
}

const char *
commy_mesh_get_node_id (CommyMesh *self)
{
  g_return_val_if_fail (COMMY_IS_MESH (self), NULL);
  return self->node;
}

const char *
commy_mesh_get_runtime_dir (CommyMesh *self)
{
  g_return_val_if_fail (COMMY_IS_MESH (self), NULL);
  return self->runtime_dir;
}

const char *
commy_mesh_get_state_dir (CommyMesh *self)
{
  g_return_val_if_fail (COMMY_IS_MESH (self), NULL);
  return self->state_dir;
}

const char *
commy_mesh_get_credentials_dir (CommyMesh *self)
{
  g_return_val_if_fail (COMMY_IS_MESH (self), NULL);
  return self->credentials_dir;
}

GVariant *
commy_mesh_list_keyfiles (void)
{
  return g_variant_ref_sink (commy_config_list_files ());
}

GVariant *
commy_mesh_list_plugins (CommyMesh *self)
{
  g_return_val_if_fail (COMMY_IS_MESH (self), NULL);
  return g_variant_ref_sink (commy_catalog_list (self->catalog));
}

GVariant *
commy_mesh_release_plugins (CommyMesh *self, const char *name, GError **error)
{
  GVariant *released;

  g_return_val_if_fail (COMMY_IS_MESH (self), NULL);
  released = commy_catalog_release (self->catalog, name, error);
  return released != NULL ? g_variant_ref_sink (released) : NULL;
}

GVariant *
commy_mesh_list_settings (CommyMesh *self)
{
  g_return_val_if_fail (COMMY_IS_MESH (self), NULL);
  return g_variant_ref_sink (commy_config_list (self->config));
}

gboolean
commy_mesh_check_keyfile (const char *path, GError **error)
{
  g_return_val_if_fail (path != NULL, FALSE);
  return commy_keyfile_check (path, error);
}

void
commy_mesh_record_decision (CommyMesh *self, CommyDecision *decision)
{
  g_mutex_lock (&self->lock);
  commy_decision_log_add (&self->decisions, decision);
  g_mutex_unlock (&self->lock);
}

GPtrArray *
commy_mesh_list_decisions (CommyMesh *self)
{
  GPtrArray *list;

  g_return_val_if_fail (COMMY_IS_MESH (self),
                        g_ptr_array_new_with_free_func ((GDestroyNotify) commy_decision_unref));
  g_mutex_lock (&self->lock);
  list = commy_decision_log_list (&self->decisions);
  g_mutex_unlock (&self->lock);
  return list;
}

GVariant *
commy_mesh_list_drops (CommyMesh *self)
{
  GVariantBuilder builder;

  g_return_val_if_fail (COMMY_IS_MESH (self), NULL);
  g_variant_builder_init (&builder, G_VARIANT_TYPE ("a(sts)"));
  for (guint i = 0; i < COMMY_DROP_LAST; i++)
    {
      char culprit[COMMY_CULPRIT_MAX];

      commy_ledger_get_culprit (&self->ledger, i, culprit);
      g_variant_builder_add (&builder, "(sts)", commy_drop_to_string (i),
                             commy_ledger_get (&self->ledger, i), culprit);
    }
  return g_variant_ref_sink (g_variant_builder_end (&builder));
}

CommyService *
commy_mesh_dup_offer (CommyMesh *self, const char *instance)
{
  CommyService *service;

  g_mutex_lock (&self->lock);
  service = self->offers != NULL ? g_hash_table_lookup (self->offers, instance) : NULL;
  if (service != NULL)
    g_object_ref (service);
  g_mutex_unlock (&self->lock);
  return service;
}

gboolean
commy_mesh_is_ours (CommyMesh *self, const CommyInstance *instance)
{
  const char *id = instance->origin != NULL ? instance->peer_instance : instance->id;
  g_autoptr (CommyService) offer = NULL;

  if (id == NULL || g_strcmp0 (instance->node, self->node) != 0)
    return FALSE;
  offer = commy_mesh_dup_offer (self, id);
  return offer != NULL && strcmp (offer->name, instance->service) == 0;
}
