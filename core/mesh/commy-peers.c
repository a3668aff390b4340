/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Paths: connected when first used, kept, backed off from when they fail.
 */
#include "config.h"

#include "mesh/commy-peers.h"

#include "base/commy-error-private.h"
#include "control/commy-slow-start.h"
#include "mesh/commy-path-move.h"
#include "mesh/commy-ward.h"

#include <string.h>

#define BACKOFF_FIRST_NS G_GINT64_CONSTANT (100000000)
#define BACKOFF_MAX_NS G_GINT64_CONSTANT (5000000000)
#define SLOTS_AT_REST 8u

typedef struct
{
  CommyPathFunc func;
  gpointer data;
} PathWaiter;

/* A connection attempt on its way through the mesh thread. */
typedef struct
{
  CommyMesh *mesh;
  CommyWorker *worker;
  CommyPlugin *transport;
  CommyInstance *instance;
  char *address;
  CommyPeer *peer;   /* asynchronous: (transfer full) */
  CommyLatch *latch; /* synchronous */
  CommyChannel *channel;
  GError *error;
} Attempt;

CommyPeers *
commy_peers_new (CommyMesh *mesh, CommyWorker *worker)
{
  CommyPeers *self = g_new0 (CommyPeers, 1);

  self->mesh = mesh;
  self->worker = worker;
  self->peers = g_hash_table_new_full (commy_instance_hash, commy_instance_equal, NULL,
                                       (GDestroyNotify) commy_peer_unref);
  self->wards
      = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, (GDestroyNotify) commy_ward_free);
  self->free_slots = g_array_new (FALSE, FALSE, sizeof (guint32));
  self->epoch = 1;
  return self;
}

void
commy_peers_free (CommyPeers *self)
{
  GHashTableIter iter;
  gpointer peer;

  if (self == NULL)
    return;
  g_hash_table_unref (self->wards);
  g_hash_table_iter_init (&iter, self->peers);
  while (g_hash_table_iter_next (&iter, NULL, &peer))
    ((CommyPeer *) peer)->peers = NULL;
  g_hash_table_unref (self->peers);
  g_array_unref (self->free_slots);
  g_free (self->loads);
  g_free (self);
}

void
commy_peers_touch (CommyPeers *peers)
{
  peers->epoch++;
}

/* --- peers --- */

static void
path_free (gpointer data)
{
  CommyPath *path = data;

  if (path->channel != NULL)
    {
      commy_channel_on_closed (path->channel, NULL, NULL);
      commy_channel_on_adrift (path->channel, NULL);
      commy_channel_on_fading (path->channel, NULL);
      commy_channel_close (path->channel, NULL);
      commy_channel_unref (path->channel);
    }
  g_ptr_array_unref (path->waiters);
  g_ptr_array_unref (path->homes);
  g_free (path->address);
  g_free (path->failure);
  g_free (path);
}

/* The one that was given back first, and not at once: calls under way may know whom it was. */
static guint32
take_slot (CommyPeers *self)
{
  guint32 slot;

  if (self->free_slots->len < SLOTS_AT_REST)
    return self->n_slots++;
  slot = g_array_index (self->free_slots, guint32, 0);
  g_array_remove_index (self->free_slots, 0);
  return slot;
}

CommyPeer *
commy_peers_ensure (CommyPeers *self, CommyInstance *instance)
{
  CommyPeer *peer = g_hash_table_lookup (self->peers, instance);

  if (peer != NULL)
    return peer;
  peer = g_new0 (CommyPeer, 1);
  g_atomic_ref_count_init (&peer->refs);
  peer->peers = self;
  peer->slot = take_slot (self);
  peer->born_ns = commy_slow_start_get_birth (
      instance->started_s, g_get_real_time () / G_USEC_PER_SEC, commy_env_now (self->mesh->env));
  peer->ward_index = COMMY_NOT_IN_WARD;
  peer->instance = commy_instance_ref (instance);
  peer->paths = g_ptr_array_new_with_free_func (path_free);
  g_hash_table_insert (self->peers, peer->instance, peer);
  return peer;
}

guint32
commy_peers_watch_loads (CommyPeers *self)
{
  if (self->loads == NULL)
    self->loads = g_new0 (CommyLoads, 1);
  return self->n_slots;
}

static gboolean
is_used (CommyPeer *peer)
{
  if (!g_atomic_ref_count_compare (&peer->refs, 1) || peer->in_flight > 0)
    return TRUE;
  for (guint i = 0; i < peer->paths->len; i++)
    {
      const CommyPath *path = peer->paths->pdata[i];

      if (path->channel != NULL || path->move != NULL || path->connecting || path->waiters->len > 0
          || path->homes->len > 0)
        return TRUE;
    }
  return FALSE;
}

void
commy_peers_prune (CommyPeers *self, const char *service, GHashTable *present)
{
  GHashTableIter iter;
  gpointer value;

  g_hash_table_iter_init (&iter, self->peers);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      CommyPeer *peer = value;

      if (strcmp (peer->instance->service, service) != 0
          || g_hash_table_contains (present, peer->instance) || is_used (peer))
        continue;
      g_array_append_val (self->free_slots, peer->slot);
      peer->peers = NULL;
      g_hash_table_iter_remove (&iter);
    }
}

CommyPeer *
commy_peer_ref (CommyPeer *peer)
{
  g_atomic_ref_count_inc (&peer->refs);
  return peer;
}

void
commy_peer_unref (CommyPeer *peer)
{
  if (peer == NULL || !g_atomic_ref_count_dec (&peer->refs))
    return;
  g_ptr_array_unref (peer->paths);
  commy_instance_unref (peer->instance);
  g_free (peer);
}

CommyPath *
commy_peer_find_path (CommyPeer *peer, const char *transport)
{
  for (guint i = 0; i < peer->paths->len; i++)
    {
      CommyPath *path = peer->paths->pdata[i];

      if (strcmp (path->transport->note.id, transport) == 0)
        return path;
    }
  return NULL;
}

CommyPath *
commy_peer_ensure_path (CommyPeer *peer, CommyPlugin *transport, const char *address)
{
  CommyPath *path = commy_peer_find_path (peer, transport->note.id);

  if (path != NULL)
    return path;
  path = g_new0 (CommyPath, 1);
  path->peer = peer;
  path->transport = transport;
  path->address = g_strdup (address);
  path->waiters = g_ptr_array_new_with_free_func (g_free);
  path->homes = g_ptr_array_new ();
  g_ptr_array_add (peer->paths, path);
  return path;
}

/* --- state of a path --- */

gboolean
commy_path_is_up (CommyPath *path)
{
  return path->channel != NULL && commy_channel_is_open (path->channel)
         && !commy_channel_is_draining (path->channel);
}

static void
suspect (gpointer data)
{
  Attempt *hint = data;

  if (hint->mesh->registry != NULL)
    commy_registry_suspect (hint->mesh->registry, hint->instance->lease);
  commy_instance_unref (hint->instance);
  g_object_unref (hint->mesh);
  g_free (hint);
}

static void
hint_store (CommyPeer *peer)
{
  Attempt *hint = g_new0 (Attempt, 1);

  hint->mesh = g_object_ref (peer->peers->mesh);
  hint->instance = commy_instance_ref (peer->instance);
  commy_mesh_invoke (hint->mesh, suspect, hint);
}

void
commy_path_failed (CommyPath *path, const GError *error)
{
  CommyPeers *peers = path->peer->peers;
  gint64 pause;

  if (peers == NULL)
    return;
  pause = BACKOFF_FIRST_NS << MIN (path->failures, 6);
  path->failures++;
  path->retry_at_ns = commy_env_now (peers->mesh->env) + MIN (pause, BACKOFF_MAX_NS);
  g_free (path->failure);
  path->failure = g_strdup (commy_error_bare (error));
  commy_peers_touch (peers);
  hint_store (path->peer);
}

static void
drop_channel (CommyPath *path)
{
  if (path->channel == NULL)
    return;
  commy_channel_on_closed (path->channel, NULL, NULL);
  commy_channel_on_adrift (path->channel, NULL);
  commy_channel_on_fading (path->channel, NULL);
  g_clear_pointer (&path->channel, commy_channel_unref);
  path->move = NULL; /* whoever carries it finds out */
}

static void
on_channel_closed (gpointer data, CommyChannel *channel)
{
  CommyPath *path = data;
  g_autoptr (GError) error = NULL;

  if (path->channel != channel)
    return;
  commy_set_error (&error, COMMY_ERROR_UNREACHABLE, "the channel closed");
  drop_channel (path);
  if (path->peer->peers == NULL)
    return;
  if (!commy_channel_is_resting (channel) && commy_mesh_is_up (path->peer->peers->mesh))
    commy_path_failed (path, error);
  else
    commy_peers_touch (path->peer->peers); /* our own doing */
}

void
commy_path_own_channel (CommyPath *path)
{
  commy_channel_on_closed (path->channel, on_channel_closed, path);
  commy_channel_on_adrift (path->channel, commy_path_on_adrift);
  commy_channel_on_fading (path->channel, commy_path_on_fading);
}

/* @data: a path; NULL: it has another channel by now, and nobody needs this one any more. */
static gboolean
may_rest (gpointer data)
{
  const CommyPath *path = data;

  if (path == NULL)
    return TRUE;
  return path->move == NULL && !path->connecting && path->waiters->len == 0;
}

static gint64
get_idle_ns (const CommyPath *path)
{
  g_autofree char *group = g_strconcat ("service ", path->peer->instance->service, NULL);

  return path->peer->peers != NULL
             ? commy_config_get_duration (path->peer->peers->mesh->config, group, "idle-timeout")
             : 0;
}

/* @channel: (transfer full). On the worker. */
static void
take_channel (CommyPath *path, CommyChannel *channel)
{
  if (commy_path_is_up (path))
    {
      /* A synchronous and an asynchronous caller connected at the same time: one is enough. */
      commy_channel_unref (channel);
      return;
    }
  drop_channel (path);
  path->channel = commy_channel_ref (channel);
  commy_path_own_channel (path);
  commy_channel_rest_after (channel, get_idle_ns (path), may_rest);
  commy_channel_adopt_here (channel);
  if (!commy_path_is_up (path))
    return; /* it was closed at once, which was noted */
  path->failures = 0;
  path->retry_at_ns = 0;
  g_clear_pointer (&path->failure, g_free);
  if (path->peer->peers != NULL)
    commy_peers_touch (path->peer->peers);
}

/* --- connecting --- */

static void
attempt_free (Attempt *attempt)
{
  commy_instance_unref (attempt->instance);
  commy_peer_unref (attempt->peer);
  commy_worker_unref (attempt->worker);
  g_clear_error (&attempt->error);
  g_free (attempt->address);
  g_object_unref (attempt->mesh);
  g_free (attempt);
}

static void
discard_channel (gpointer channel)
{
  commy_channel_unref (channel);
}

/* Asynchronous: back on the worker. */
static void
attempt_arrived (gpointer data)
{
  Attempt *attempt = data;
  CommyPath *path = commy_peer_find_path (attempt->peer, attempt->transport->note.id);
  g_autoptr (GPtrArray) waiters = NULL;

  path->connecting = FALSE;
  if (attempt->channel != NULL && attempt->peer->peers == NULL)
    commy_channel_unref (attempt->channel);
  else if (attempt->channel != NULL)
    take_channel (path, attempt->channel);
  else
    commy_path_failed (path, attempt->error);
  waiters = g_steal_pointer (&path->waiters);
  path->waiters = g_ptr_array_new_with_free_func (g_free);
  for (guint i = 0; i < waiters->len; i++)
    {
      PathWaiter *waiter = waiters->pdata[i];

      waiter->func (waiter->data, path, attempt->error);
    }
  attempt_free (attempt);
}

/* Behind an address that no store lists: who is it? */
static void
meet (Attempt *attempt, CommyChannel *channel)
{
  g_auto (GStrv) serializers = NULL;
  CommyMeeting meeting = { 0 };

  if (attempt->instance->origin == NULL || attempt->mesh->registry == NULL)
    return;
  serializers = commy_channel_dup_serializers (channel);
  meeting.node = commy_channel_get_peer_node (channel);
  meeting.instance = commy_channel_get_instance (channel);
  meeting.serializers = (const char *const *) serializers;
  meeting.interface_name = commy_channel_get_interface (channel, &meeting.interface_hash);
  commy_registry_met (attempt->mesh->registry, attempt->instance->service, attempt->instance->id,
                      &meeting);
}

static void
attempt_done (gpointer data, CommyChannel *channel, const GError *error)
{
  Attempt *attempt = data;

  if (channel != NULL)
    meet (attempt, channel);
  if (attempt->latch != NULL)
    {
      CommyLatch *latch = attempt->latch;

      attempt_free (attempt);
      commy_latch_answer (latch, channel, discard_channel, error);
      return;
    }
  attempt->channel = channel;
  attempt->error = error != NULL ? g_error_copy (error) : NULL;
  commy_worker_post (attempt->worker, attempt_arrived, attempt);
}

static void
attempt_start (gpointer data)
{
  Attempt *attempt = data;
  gboolean listed = attempt->instance->origin == NULL;
  CommyEndpoint endpoint = { .struct_size = sizeof endpoint,
                             .transport = attempt->transport->note.id,
                             .address = attempt->address,
                             .host_id = listed ? attempt->instance->host_id : NULL,
                             .node = listed ? attempt->instance->node : NULL };
  g_autoptr (GError) error = NULL;

  if (attempt->mesh->state != COMMY_MESH_JOINED)
    {
      commy_set_error (&error, COMMY_ERROR_LEAVING, "the mesh is being left");
      attempt_done (attempt, NULL, error);
      return;
    }
  commy_setup_allow_moves (commy_setup_connect (
      &attempt->mesh->setup, attempt->transport, &endpoint, attempt->instance->service,
      listed ? attempt->instance->id : "", attempt->worker, attempt_done, attempt));
}

static Attempt *
attempt_new (CommyPath *path)
{
  CommyPeers *peers = path->peer->peers;
  Attempt *attempt = g_new0 (Attempt, 1);

  attempt->mesh = g_object_ref (peers->mesh);
  attempt->worker = commy_worker_ref (peers->worker);
  attempt->transport = path->transport;
  attempt->instance = commy_instance_ref (path->peer->instance);
  attempt->address = g_strdup (path->address);
  return attempt;
}

void
commy_path_connect (CommyPath *path, CommyPathFunc func, gpointer data)
{
  PathWaiter *waiter;
  Attempt *attempt;

  if (commy_path_is_up (path))
    {
      func (data, path, NULL);
      return;
    }
  waiter = g_new (PathWaiter, 1);
  waiter->func = func;
  waiter->data = data;
  g_ptr_array_add (path->waiters, waiter);
  if (path->connecting)
    return;
  path->connecting = TRUE;
  attempt = attempt_new (path);
  attempt->peer = commy_peer_ref (path->peer);
  commy_mesh_invoke (attempt->mesh, attempt_start, attempt);
}

gboolean
commy_path_connect_sync (CommyPath *path,
                         gint64 deadline_us,
                         GCancellable *cancellable,
                         GError **error)
{
  g_autoptr (GError) cause = NULL;
  gpointer channel = NULL;
  Attempt *attempt;
  CommyLatch *latch;

  if (commy_path_is_up (path))
    return TRUE;
  latch = commy_latch_new ();
  attempt = attempt_new (path);
  attempt->latch = latch;
  commy_mesh_invoke (attempt->mesh, attempt_start, attempt);
  if (commy_latch_wait (latch, deadline_us, cancellable, &channel, &cause))
    {
      take_channel (path, channel);
      if (commy_path_is_up (path))
        return TRUE;
      if (commy_mesh_is_up (path->peer->peers->mesh))
        commy_set_error (error, COMMY_ERROR_UNREACHABLE, "the connection was closed at once");
      else
        commy_set_error (error, COMMY_ERROR_LEAVING, "the mesh is being left");
      return FALSE;
    }
  /* A caller who is in a hurry says nothing about the path; the set-up has a limit of its own. */
  if (!g_error_matches (cause, COMMY_ERROR, COMMY_ERROR_CANCELLED)
      && !g_error_matches (cause, COMMY_ERROR, COMMY_ERROR_DEADLINE))
    commy_path_failed (path, cause);
  g_propagate_error (error, g_steal_pointer (&cause));
  return FALSE;
}
