/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One attempt after the other: the channel belongs to the path it is on its way to, so that who
 * wants to send there finds it. If an attempt fails while the old path still works, the channel
 * goes back; without a path it tries the next one, and closes when there is none.
 */
#include "config.h"

#include "mesh/commy-path-move.h"

#include "base/commy-error-private.h"

/* On its way through the mesh thread and the channel. */
struct _CommyPathMove
{
  CommyMesh *mesh;
  CommyPeer *peer;
  CommyChannel *channel;
  CommyPath *origin;     /* where it came from and may go back to; NULL: that is lost */
  CommyPath *target;     /* whose channel it is now */
  GPtrArray *candidates; /* CommyPath: to be tried after that */
  CommyPlugin *transport;
  char *address;
  guint32 number;
  guint64 landings; /* of the channel, before this attempt */
  GError *error;
};

static void
move_free (CommyPathMove *move)
{
  g_clear_error (&move->error);
  g_ptr_array_unref (move->candidates);
  g_free (move->address);
  commy_channel_unref (move->channel);
  commy_peer_unref (move->peer);
  g_object_unref (move->mesh);
  g_free (move);
}

/* --- homes --- */

void
commy_home_doubt (CommyHome *home)
{
  g_clear_pointer (&home->allowed, g_ptr_array_unref);
}

static void
step_out (CommyHome *home)
{
  if (home->path != NULL)
    g_ptr_array_remove_fast (home->path->homes, home);
  home->path = NULL;
}

void
commy_home_leave (CommyHome *home)
{
  step_out (home);
  commy_home_doubt (home);
  g_clear_pointer (&home->peer, commy_peer_unref);
}

static gboolean
may_all_go (const CommyPath *from, const CommyPath *to)
{
  for (guint i = 0; i < from->homes->len; i++)
    {
      const CommyHome *home = from->homes->pdata[i];

      if (home->allowed == NULL || !g_ptr_array_find (home->allowed, to, NULL))
        return FALSE;
    }
  return TRUE;
}

gboolean
commy_home_settle (
    CommyHome *home, CommyPeer *peer, CommyPath *path, GPtrArray *allowed, gboolean must_leave)
{
  CommyPath *from = home->peer == peer ? home->path : NULL;
  gboolean moves = FALSE;

  commy_home_doubt (home);
  home->allowed = allowed;
  if (from == path)
    return FALSE;
  if (from != NULL)
    moves = commy_path_move (from, path, must_leave);
  if (!moves)
    {
      step_out (home);
      commy_peer_ref (peer);
      g_clear_pointer (&home->peer, commy_peer_unref);
      home->peer = peer;
      home->path = path;
      g_ptr_array_add (path->homes, home);
    }
  home->was_moved = FALSE;
  return moves;
}

/* --- whose channel it is --- */

static void
hand_over (CommyPath *from, CommyPath *to)
{
  if (from == to)
    return;
  to->channel = g_steal_pointer (&from->channel);
  to->move = g_steal_pointer (&from->move);
  commy_path_own_channel (to);
  while (from->homes->len > 0)
    {
      CommyHome *home = g_ptr_array_steal_index_fast (from->homes, from->homes->len - 1);

      home->path = to;
      home->was_moved = TRUE;
      g_ptr_array_add (to->homes, home);
    }
  if (to->peer->peers != NULL)
    commy_peers_touch (to->peer->peers);
}

/* Where the channel of @path could go on, best first; @path itself last. */
static GPtrArray *
find_candidates (CommyPath *path)
{
  GPtrArray *candidates = g_ptr_array_new ();
  const CommyHome *home = path->homes->len > 0 ? path->homes->pdata[0] : NULL;
  gint64 now_ns = commy_env_now (path->peer->peers->mesh->env);

  for (guint i = 0; home != NULL && home->allowed != NULL && i < home->allowed->len; i++)
    {
      CommyPath *other = home->allowed->pdata[i];

      if (other != path && other->channel == NULL && !other->connecting
          && other->retry_at_ns <= now_ns && may_all_go (path, other))
        g_ptr_array_add (candidates, other);
    }
  if (home != NULL && may_all_go (path, path))
    g_ptr_array_add (candidates, path);
  return candidates;
}

/* --- attempts --- */

static void attempt (CommyPathMove *move);

static void
succeed (CommyPathMove *move)
{
  CommyPath *path = move->target;

  path->move = NULL;
  path->failures = 0;
  path->retry_at_ns = 0;
  g_clear_pointer (&path->failure, g_free);
  commy_peers_touch (path->peer->peers);
  move_free (move);
}

/* The next candidate, or the end. */
static void
go_on (CommyPathMove *move)
{
  CommyPath *next = NULL;

  while (move->candidates->len > 0 && next == NULL)
    {
      next = g_ptr_array_steal_index (move->candidates, 0);
      if (next != move->target && (next->channel != NULL || next->connecting))
        next = NULL; /* somebody connected meanwhile */
    }
  if (next == NULL)
    {
      g_autoptr (CommyChannel) channel = commy_channel_ref (move->channel);
      g_autoptr (GError) error = g_steal_pointer (&move->error);

      move->target->move = NULL;
      move_free (move);
      commy_channel_close (channel, error);
      return;
    }
  hand_over (move->target, next);
  move->target = next;
  attempt (move);
}

/* It arrived, and lost that path as well before this was noticed. */
static void
start_over (CommyPathMove *move)
{
  commy_set_error (&move->error, COMMY_ERROR_UNREACHABLE, "the path was lost");
  move->origin = NULL;
  g_ptr_array_unref (move->candidates);
  move->candidates = find_candidates (move->target);
  if (move->candidates->len > 0 && move->candidates->pdata[0] != move->target)
    commy_path_failed (move->target, move->error);
  go_on (move);
}

/* On the worker. */
static void
arrived (gpointer data, CommyChannel *channel)
{
  CommyPathMove *move = data;
  CommyPath *target = move->target;

  if (!commy_channel_is_open (channel) || move->peer->peers == NULL || target->move != move)
    {
      move_free (move);
      return;
    }
  if (move->error == NULL && !commy_channel_is_adrift (channel)
      && commy_channel_is_on (channel, move->transport))
    {
      succeed (move);
      return;
    }
  if (move->error == NULL && commy_channel_count_moves (channel) != move->landings)
    {
      start_over (move);
      return;
    }
  if (move->error == NULL)
    commy_set_error (&move->error, COMMY_ERROR_UNREACHABLE, "the path was lost at once");
  if (!commy_channel_is_adrift (channel) && move->origin != NULL)
    {
      target->move = NULL;
      hand_over (target, move->origin);
      if (target != move->origin)
        commy_path_failed (target, move->error);
      else
        g_message ("the path over %s to %s is not replaced yet: %s", target->transport->note.id,
                   target->peer->instance->service, commy_error_bare (move->error));
      move_free (move);
      return;
    }
  if (move->origin != NULL)
    {
      /* It was lost meanwhile: now any will do. */
      move->origin = NULL;
      g_ptr_array_unref (move->candidates);
      move->candidates = find_candidates (target);
      g_ptr_array_remove (move->candidates, target);
    }
  commy_path_failed (target, move->error);
  go_on (move);
}

static void
done (gpointer data, CommyChannel *unused, const GError *error)
{
  CommyPathMove *move = data;

  g_clear_error (&move->error);
  move->error = error != NULL ? g_error_copy (error) : NULL;
  commy_channel_visit (move->channel, arrived, move);
}

/* On the mesh thread. */
static void
start (gpointer data)
{
  CommyPathMove *move = data;
  const CommyInstance *instance = move->peer->instance;
  gboolean listed = instance->origin == NULL;
  CommyEndpoint endpoint = { .struct_size = sizeof endpoint,
                             .transport = move->transport->note.id,
                             .address = move->address,
                             .host_id = listed ? instance->host_id : NULL,
                             .node = commy_channel_get_peer_node (move->channel) };
  CommyWorker *worker = commy_channel_get_worker (move->channel);
  g_autoptr (GError) error = NULL;

  /* A channel only holds its worker, whose last user may have gone meanwhile. */
  if (move->mesh->state == COMMY_MESH_JOINED && commy_worker_try_ref (worker))
    {
      commy_setup_resume (&move->mesh->setup, move->transport, &endpoint, move->channel,
                          move->number, done, move);
      commy_worker_unref (worker);
      return;
    }
  commy_set_error (&error, COMMY_ERROR_LEAVING, "the mesh is being left");
  done (move, NULL, error);
}

static void
attempt (CommyPathMove *move)
{
  g_free (move->address);
  move->address = g_strdup (move->target->address);
  move->transport = move->target->transport;
  move->number = commy_channel_next_move (move->channel);
  move->landings = commy_channel_count_moves (move->channel);
  commy_mesh_invoke (move->mesh, start, move);
}

static CommyPathMove *
move_new (CommyPath *path)
{
  CommyPathMove *move = g_new0 (CommyPathMove, 1);

  move->mesh = g_object_ref (path->peer->peers->mesh);
  move->peer = commy_peer_ref (path->peer);
  move->channel = commy_channel_ref (path->channel);
  move->candidates = g_ptr_array_new ();
  path->move = move;
  return move;
}

gboolean
commy_path_move (CommyPath *from, CommyPath *to, gboolean must_leave)
{
  CommyPathMove *move;

  if (from->peer->peers == NULL || from->channel == NULL || from->move != NULL
      || to->channel != NULL || to->connecting || !commy_path_is_up (from)
      || !commy_channel_can_move (from->channel) || !may_all_go (from, to))
    return FALSE;
  move = move_new (from);
  move->origin = must_leave ? NULL : from;
  move->target = to;
  hand_over (from, to);
  if (must_leave)
    commy_channel_cast_off (move->channel);
  attempt (move);
  return TRUE;
}

void
commy_path_on_fading (gpointer data, CommyChannel *channel)
{
  CommyPath *path = data;
  CommyPathMove *move;

  if (path->channel != channel || path->peer->peers == NULL || path->move != NULL
      || path->connecting || !commy_path_is_up (path) || !commy_channel_can_move (channel)
      || !commy_mesh_is_up (path->peer->peers->mesh))
    return;
  move = move_new (path);
  move->origin = path;
  move->target = path;
  attempt (move);
}

gboolean
commy_path_on_adrift (gpointer data, CommyChannel *channel, const GError *error)
{
  CommyPath *path = data;
  CommyPathMove *move;

  if (path->channel != channel || path->peer->peers == NULL
      || !commy_mesh_is_up (path->peer->peers->mesh))
    return FALSE;
  if (path->move != NULL)
    return TRUE; /* on its way already */
  move = move_new (path);
  g_ptr_array_unref (move->candidates);
  move->candidates = find_candidates (path);
  if (move->candidates->len == 0)
    {
      path->move = NULL;
      move_free (move);
      return FALSE;
    }
  move->target = path;
  if (move->candidates->pdata[0] != path)
    commy_path_failed (path, error);
  go_on (move);
  return TRUE;
}
