/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The scene: the schedule of moves, what is done to the paths, and the checking service.
 */
#include "config.h"

#include "moves-scene.h"

#include "mesh/commy-path-move.h"
#include "plugins/shm/commy-link.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

static const char *const names[MOVES_PATHS] = { "shm", "unix", "tls" };

/* --- messages --- */

GBytes *
moves_message (guint64 number, gsize size)
{
  guint8 *data = g_malloc (MAX (size, sizeof number));

  moves_fill (data, MAX (size, sizeof number), number);
  return g_bytes_new_take (data, MAX (size, sizeof number));
}

guint64
moves_number (GBytes *message)
{
  guint64 number;
  gsize size;
  const guint8 *data = g_bytes_get_data (message, &size);

  g_assert_cmpuint (size, >=, sizeof number);
  memcpy (&number, data, sizeof number);
  for (gsize i = sizeof number; i < size; i++)
    g_assert_cmpuint (data[i], ==, number & 0xff);
  return number;
}

void
moves_fill (guint8 *data, gsize size, guint64 number)
{
  g_assert_cmpuint (size, >=, sizeof number);
  memset (data, (int) (number & 0xff), size);
  memcpy (data, &number, sizeof number);
}

void
moves_check (const guint8 *data, gsize size, guint64 number)
{
  g_autoptr (GBytes) bytes = g_bytes_new_static (data, size);

  if (moves_number (bytes) != number)
    g_error ("message %" G_GUINT64_FORMAT " came where %" G_GUINT64_FORMAT " was next",
             moves_number (bytes), number);
}

/* --- the service --- */

typedef struct
{
  guint64 next, tick;
} Counts;

static void
on_numbers (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  CommyStream *stream = commy_invocation_get_stream (invocation);
  g_autoptr (GError) error = NULL;
  guint64 n = 0;

  for (;;)
    {
      g_autoptr (GBytes) message = commy_stream_read_bytes_sync (stream, NULL, &error);
      g_autoptr (GBytes) answer = NULL;

      if (message == NULL)
        break;
      if (moves_number (message) != n)
        g_error ("message %" G_GUINT64_FORMAT " came where %" G_GUINT64_FORMAT " was next",
                 moves_number (message), n);
      answer = moves_message (n++, g_bytes_get_size (message));
      if (!commy_stream_write_bytes_sync (stream, answer, NULL, &error))
        break;
    }
  if (error != NULL)
    commy_invocation_return_gerror (invocation, error);
  else
    commy_invocation_return_value (invocation, g_variant_new ("(t)", n));
}

/* The same in the memory of the path, where answers share frames until there is nothing to read. */
static gboolean
mirror_run (CommyStream *stream, guint64 *n, GError **error)
{
  const guint8 *data;
  gsize size;
  CommySpan span;
  gboolean last;

  if (!commy_stream_peek (stream, &data, &size, error))
    return FALSE;
  moves_check (data, size, *n);
  if (!commy_stream_reserve (stream, size, &span, error))
    return FALSE;
  moves_fill (span.data, size, (*n)++);
  last = commy_stream_get_unread (stream) == 0;
  commy_stream_release (stream);
  return commy_stream_commit (stream, &span, error)
         && (!last || commy_stream_flush (stream, error));
}

static void
on_runs (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  CommyStream *stream = commy_invocation_get_stream (invocation);
  g_autoptr (GError) error = NULL;
  guint64 n = 0;

  while (mirror_run (stream, &n, &error))
    ;
  if (error != NULL)
    commy_invocation_return_gerror (invocation, error);
  else
    commy_invocation_return_value (invocation, g_variant_new ("(t)", n));
}

static void
on_next (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  Counts *counts = data;
  GBytes *message = commy_invocation_get_bytes (invocation);

  if (moves_number (message) != counts->next++)
    g_error ("call %" G_GUINT64_FORMAT " came where %" G_GUINT64_FORMAT " was next",
             moves_number (message), counts->next - 1);
  commy_invocation_return_bytes (invocation, message);
}

static void
on_tick (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  Counts *counts = data;
  guint64 number;

  g_variant_get (commy_invocation_get_parameters (invocation), "(t)", &number);
  if (number != counts->tick++)
    g_error ("one-way message %" G_GUINT64_FORMAT " came where %" G_GUINT64_FORMAT " was next",
             number, counts->tick - 1);
  commy_invocation_return_value (invocation, NULL);
}

static void
on_ticks (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  commy_invocation_return_value (invocation, g_variant_new ("(t)", ((Counts *) data)->tick));
}

static void
on_fd (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  commy_invocation_return_value_with_unix_fd_list (invocation,
                                                   commy_invocation_get_parameters (invocation),
                                                   commy_invocation_get_unix_fd_list (invocation));
}

void
moves_service_extend (CommyService *service)
{
  Counts *counts = g_new0 (Counts, 1);

  commy_service_handle_stream (service, "Numbers", COMMY_STREAM_KIND_BOTH, on_numbers, NULL, NULL);
  commy_service_handle_stream (service, "Runs", COMMY_STREAM_KIND_BOTH, on_runs, NULL, NULL);
  commy_service_handle (service, "Next", on_next, counts, NULL);
  commy_service_handle (service, "Tick", on_tick, counts, NULL);
  commy_service_handle (service, "Fd", on_fd, NULL, NULL);
  commy_service_handle (service, "Ticks", on_ticks, counts, g_free);
}

/* --- the scene --- */

static guint32
seed_or_chance (guint32 seed)
{
  const char *text = g_getenv ("COMMY_SEED");

  if (seed != 0)
    return seed;
  if (text != NULL && text[0] != '\0')
    return (guint32) g_ascii_strtoull (text, NULL, 0);
  return g_random_int ();
}

MovesScene *
moves_scene_new (MeshFixture *fixture, const char *settings, guint32 seed)
{
  MovesScene *scene = g_new0 (MovesScene, 1);
  /* Only the test decides when to switch. */
  g_autofree char *own
      = g_strconcat ("[selection]\nmin-dwell=1h\n[calibration]\nmode=off\n", settings, NULL);

  scene->seed = seed_or_chance (seed);
  scene->rand = g_rand_new_with_seed (scene->seed);
  g_test_message ("seed %u", scene->seed);
  mesh_fixture_make_credentials (fixture);
  scene->child = service_child_start (fixture, settings, 1);
  scene->mesh = mesh_fixture_join (fixture, own);
  scene->client = commy_client_new (scene->mesh, TEST_SERVICE);
  return scene;
}

void
moves_scene_free (MovesScene *scene)
{
  g_clear_pointer (&scene->channel, commy_channel_unref);
  g_object_unref (scene->client);
  commy_mesh_leave_sync (scene->mesh, NULL, NULL);
  g_object_unref (scene->mesh);
  if (scene->child != NULL)
    service_child_free (scene->child);
  g_rand_free (scene->rand);
  g_free (scene);
}

const char *
moves_path_name (int path)
{
  return names[path];
}

int
moves_path_of (const CommyPath *path)
{
  for (int i = 0; i < MOVES_PATHS; i++)
    if (strcmp (path->transport->note.id, names[i]) == 0)
      return i;
  g_assert_not_reached ();
}

/* The path that the flow belongs to now. */
static CommyPath *
present_path (MovesScene *scene)
{
  CommyPeer *peer = scene->path->peer;

  for (guint i = 0; i < peer->paths->len; i++)
    if (((CommyPath *) peer->paths->pdata[i])->channel == scene->channel)
      return peer->paths->pdata[i];
  return NULL;
}

gboolean
moves_is_moving (MovesScene *scene)
{
  CommyPath *path = present_path (scene);

  return path == NULL || path->move != NULL;
}

CommyPath *
moves_find_path (MovesScene *scene, int path)
{
  CommyPath *found = commy_peer_find_path (scene->path->peer, names[path]);

  g_assert_nonnull (found);
  return found;
}

void
moves_scene_attach (MovesScene *scene)
{
  for (guint i = 0; i < COMMY_FLAVOUR_LAST; i++)
    if (scene->client->routes[i].home.path != NULL)
      scene->path = scene->client->routes[i].home.path;
  g_assert_nonnull (scene->path);
  g_assert_nonnull (scene->path->channel);
  g_assert_true (commy_channel_can_move (scene->path->channel));
  scene->channel = commy_channel_ref (scene->path->channel);
}

/* A path that was cut may be taken again at once, and @to is liked best. */
static void
prefer (MovesScene *scene, int to)
{
  CommyPath *path = present_path (scene);
  CommyPath *target = moves_find_path (scene, to);

  for (int i = 0; i < MOVES_PATHS; i++)
    moves_find_path (scene, i)->retry_at_ns = moves_find_path (scene, i)->failures = 0;
  for (guint i = 0; i < path->homes->len; i++)
    {
      CommyHome *home = path->homes->pdata[i];

      g_assert_nonnull (home->allowed);
      g_ptr_array_set_size (home->allowed, 0);
      g_ptr_array_add (home->allowed, target);
      for (int k = 0; k < MOVES_PATHS; k++)
        if (k != to)
          g_ptr_array_add (home->allowed, moves_find_path (scene, k));
    }
}

static void
begin (MovesScene *scene, int to, gboolean is_cut)
{
  g_assert_false (scene->moving);
  scene->path = present_path (scene);
  scene->from = moves_path_of (scene->path);
  scene->to = to;
  scene->is_cut = is_cut;
  scene->moving = TRUE;
  prefer (scene, to);
}

void
moves_scene_move (MovesScene *scene, int to)
{
  CommyWorker *worker = scene->client->worker->worker;

  commy_worker_enter (worker);
  begin (scene, to, FALSE);
  g_assert_true (commy_path_move (scene->path, moves_find_path (scene, to), FALSE));
  commy_worker_exit (worker);
}

void
moves_cut_path (CommyChannel *channel, int how)
{
  const char *transport = commy_channel_get_transport (channel);
  int fd = strcmp (transport, "shm") == 0 ? ((ShmLink *) channel->connection)->socket_fd
                                          : channel->ops->fd (channel->connection);

  /* The other side may have ended it already. */
  g_assert_true (shutdown (fd, how) == 0 || errno == ENOTCONN);
}

void
moves_scene_cut (MovesScene *scene, int to)
{
  CommyWorker *worker = scene->client->worker->worker;

  commy_worker_enter (worker);
  begin (scene, to, TRUE);
  moves_cut_path (scene->channel, g_rand_boolean (scene->rand) ? SHUT_RDWR : SHUT_WR);
  commy_worker_exit (worker);
}

/* The pair that lags behind most, from where the flow is. */
gboolean
moves_scene_next (MovesScene *scene)
{
  int from, to = -1;
  gboolean cut;

  if (moves_scene_is_through (scene))
    return FALSE;
  from = moves_path_of (present_path (scene));
  for (int i = 0; i < MOVES_PATHS; i++)
    if (i != from && (to < 0 || scene->n[from][i] < scene->n[from][to]))
      to = i;
  cut = scene->n_cut[from][to] * scene->wanted < scene->n[from][to] * scene->wanted_cut
        || (scene->wanted_cut > 0 && scene->n[from][to] == 0);
  if (cut)
    moves_scene_cut (scene, to);
  else
    moves_scene_move (scene, to);
  return TRUE;
}

void
moves_scene_call (MovesScene *scene)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = commy_client_call_sync (
      scene->client, "Add", g_variant_new ("(ii)", 3, 4), NULL, NULL, &error);

  g_assert_no_error (error);
  g_assert_nonnull (value);
}

gboolean
moves_scene_settled (MovesScene *scene)
{
  CommyPath *path;
  int at;

  if (!scene->moving)
    return TRUE;
  if (scene->channel->moves.adrift || scene->channel->closed)
    return FALSE;
  path = present_path (scene);
  if (path == NULL || path->move != NULL)
    return FALSE;
  at = moves_path_of (path);
  if (at == scene->from && !scene->is_cut)
    g_error ("the flow did not move from %s to %s: %s", names[at], names[scene->to],
             moves_find_path (scene, scene->to)->failure);
  if (at == scene->from || !commy_channel_is_on (scene->channel, path->transport))
    return FALSE;
  scene->moving = FALSE;
  scene->path = path;
  scene->n[scene->from][at]++;
  scene->n_cut[scene->from][at] += (guint) scene->is_cut;
  scene->elsewhere += at != scene->to;
  scene->total++;
  return TRUE;
}

gboolean
moves_scene_is_through (MovesScene *scene)
{
  for (int i = 0; i < MOVES_PATHS; i++)
    for (int k = 0; k < MOVES_PATHS; k++)
      if (i != k && (scene->n[i][k] < scene->wanted || scene->n_cut[i][k] < scene->wanted_cut))
        return FALSE;
  return TRUE;
}

void
moves_scene_report (MovesScene *scene, guint64 messages)
{
  g_test_message ("seed %u: %" G_GUINT64_FORMAT " messages, %u moves (%u not where they were "
                  "meant to), %" G_GUINT64_FORMAT " replayed, %" G_GUINT64_FORMAT
                  " duplicates; 0 lost, 0 repeated, 0 reordered; largest gap %.3f ms",
                  scene->seed, messages, scene->total, scene->elsewhere,
                  scene->channel->moves.n_replayed, scene->channel->moves.n_duplicates,
                  (double) scene->channel->moves.largest_gap_ns / 1e6);
  for (int i = 0; i < MOVES_PATHS; i++)
    for (int k = 0; k < MOVES_PATHS; k++)
      if (i != k)
        g_test_message ("  %s to %s: %u, %u of them cut", names[i], names[k], scene->n[i][k],
                        scene->n_cut[i][k]);
}
