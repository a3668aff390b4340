/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Large publications to several processes of this host: one buffer for all of them, whatever way
 * they were published, and what comes of it when a path moves, a subscriber dies, keeps all, is
 * not trusted or has another name.
 */
#include "config.h"

#include "fake-scene.h"
#include "topic-puppet.h"

#include "channel/commy-channel-private.h"
#include "mesh/commy-publisher-private.h"
#include "mesh/commy-service-private.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#define TOPIC "large"

/* --- what is published: a number, and bytes that follow from it --- */

static gsize
size_of (guint64 number)
{
  return 20000 + number * 7919 % 700000;
}

static void
fill (guint8 *data, guint64 number)
{
  memset (data, (int) (number * 37 % 251), size_of (number));
  memcpy (data, &number, sizeof number);
}

static gboolean
is_right (const guint8 *data, gsize size, guint64 number)
{
  guint64 said = 0;

  if (size != size_of (number))
    return FALSE;
  memcpy (&said, data, sizeof said);
  for (gsize i = sizeof said; i < size; i += 997)
    if (data[i] != number * 37 % 251)
      return FALSE;
  return said == number && data[size - 1] == number * 37 % 251;
}

typedef enum
{
  AS_VALUE,
  AS_BYTES,
  AS_SPAN,
  N_WAYS,
} Way;

static void
publish_one (CommyPublisher *publisher, Way way, guint64 number)
{
  g_autofree guint8 *data = g_malloc (size_of (number));
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GError) error = NULL;
  CommySpan span;

  fill (data, number);
  if (way == AS_SPAN)
    {
      commy_publisher_reserve (publisher, size_of (number), &span, &error);
      g_assert_no_error (error);
      memcpy (span.data, data, size_of (number));
      span.size = size_of (number);
      commy_publisher_commit (publisher, &span, &error);
      g_assert_no_error (error);
      commy_publisher_flush (publisher);
      return;
    }
  bytes = g_bytes_new_take (g_steal_pointer (&data), size_of (number));
  if (way == AS_BYTES)
    commy_publisher_publish_bytes (publisher, bytes, &error);
  else
    commy_publisher_publish (
        publisher, g_variant_new_from_bytes (G_VARIANT_TYPE_BYTESTRING, bytes, TRUE), &error);
  g_assert_no_error (error);
}

/* --- a child that reads --- */

typedef struct
{
  CommySubscription *subscription;
  GPtrArray *kept; /* CommyPublication; NULL: none is kept */
  guint64 received, wrong, lost, last;
} Taster;

static void
taste (CommySubscription *subscription, CommyPublication *publication, gpointer data)
{
  Taster *self = data;
  GVariant *value = commy_publication_get_value (publication);
  g_autoptr (GBytes) bytes = value != NULL
                                 ? g_variant_get_data_as_bytes (value)
                                 : g_bytes_ref (commy_publication_get_bytes (publication));
  guint64 number = commy_publication_get_sequence (publication);
  gsize size;
  const guint8 *content = g_bytes_get_data (bytes, &size);

  self->received++;
  self->lost += commy_publication_get_lost (publication);
  self->wrong += !is_right (content, size, number) || number <= self->last;
  self->last = number;
  if (self->kept != NULL)
    g_ptr_array_add (self->kept, commy_publication_ref (publication));
}

static void
on_taste (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  Taster *self = data;
  g_autoptr (CommySubscribeOptions) options = NULL;
  g_autoptr (GError) error = NULL;
  guint policy, depth;
  gboolean keep;

  g_variant_get (commy_invocation_get_parameters (invocation), "(buu)", &keep, &policy, &depth);
  options = wishes (policy, depth, 0);
  if (keep)
    self->kept = g_ptr_array_new_with_free_func ((GDestroyNotify) commy_publication_unref);
  self->subscription
      = commy_mesh_subscribe (service->mesh, TOPIC, options, taste, self, NULL, &error);
  g_assert_no_error (error);
  commy_invocation_return_value (invocation, NULL);
}

/* What is kept must still be what it was. */
static void
on_tasted (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  Taster *self = data;

  for (guint i = 0; self->kept != NULL && i < self->kept->len; i++)
    {
      gsize size;
      const guint8 *content
          = g_bytes_get_data (commy_publication_get_bytes (self->kept->pdata[i]), &size);

      self->wrong
          += !is_right (content, size, commy_publication_get_sequence (self->kept->pdata[i]));
    }
  commy_invocation_return_value (
      invocation, g_variant_new ("(tttt)", self->received, self->wrong, self->lost, self->last));
}

/* The channels of this thread that a subscription reads from. */
static void
foreach_feed (CommyMesh *mesh, void (*func) (CommyChannel *channel))
{
  g_autoptr (GPtrArray) workers = commy_mesh_dup_workers (mesh);
  g_autoptr (GPtrArray) channels
      = g_ptr_array_new_with_free_func ((GDestroyNotify) commy_channel_unref);

  for (guint i = 0; i < workers->len; i++)
    {
      CommyWorker *worker = ((CommyMeshWorker *) workers->pdata[i])->worker;

      if (!commy_worker_is_home (worker))
        continue;
      commy_worker_enter (worker);
      commy_worker_foreach_channel (worker, commy_channel_collect, channels);
      for (guint k = 0; k < channels->len; k++)
        if (g_str_has_prefix (commy_channel_get_service (channels->pdata[k]), "topic:"))
          func (channels->pdata[k]);
      g_ptr_array_set_size (channels, 0);
      commy_worker_exit (worker);
    }
}

static void
distrust (CommyChannel *channel)
{
  channel->trusted = FALSE;
}

/* As if the publisher were another user's. */
static void
on_distrust (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  foreach_feed (service->mesh, distrust);
  commy_invocation_return_value (invocation, NULL);
}

static void
lose (CommyChannel *channel)
{
  g_assert_true (commy_channel_lose_path (channel));
}

/* Stops, and then leaves the path with all that came meanwhile. */
static void
on_lose_path (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  raise (SIGSTOP);
  foreach_feed (service->mesh, lose);
  commy_invocation_return_value (invocation, NULL);
}

static void
on_stop_tasting (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  Taster *self = data;

  commy_subscription_close (self->subscription);
  g_clear_object (&self->subscription);
  commy_invocation_return_value (invocation, NULL);
}

static void
taster_free (gpointer data)
{
  Taster *self = data;

  g_clear_object (&self->subscription);
  g_clear_pointer (&self->kept, g_ptr_array_unref);
  g_free (self);
}

static void
extend (CommyService *service)
{
  Taster *self = g_new0 (Taster, 1);

  commy_service_handle (service, "Taste", on_taste, self, NULL);
  commy_service_handle (service, "Tasted", on_tasted, self, NULL);
  commy_service_handle (service, "Distrust", on_distrust, self, NULL);
  commy_service_handle (service, "LosePath", on_lose_path, NULL, NULL);
  commy_service_handle (service, "StopTasting", on_stop_tasting, self, NULL);
  g_object_set_data_full (G_OBJECT (service), "taster", self, taster_free);
}

/* --- the scene --- */

#define CHILDREN 8

typedef struct
{
  CommyMesh *mesh;
  CommyPublisher *publisher;
  ServiceChild *children[CHILDREN]; /* NULL: none */
  guint n_children;
  guint64 published;
} Scene;

static Scene *
scene_new (MeshFixture *fixture, const char *settings)
{
  Scene *scene = g_new0 (Scene, 1);

  scene->mesh = mesh_fixture_join (fixture, settings);
  scene->publisher = publisher_new (scene->mesh, TOPIC, 0);
  return scene;
}

static ServiceChild *
add_child (Scene *scene, MeshFixture *fixture, gboolean keep, CommySlowPolicy policy, guint depth)
{
  ServiceChild *child = service_child_start (fixture, NULL, 0);
  guint n = commy_publisher_get_subscribers (scene->publisher);

  TELL (scene->mesh, child, "Taste", "(buu)", keep, policy, depth);
  await_subscribers (scene->publisher, n + 1);
  scene->children[scene->n_children++] = child;
  return child;
}

static void
scene_free (Scene *scene)
{
  g_object_unref (scene->publisher);
  leave (scene->mesh);
  for (guint i = 0; i < scene->n_children; i++)
    service_child_free (scene->children[i]);
  g_free (scene);
}

static void
publish_some (Scene *scene, Way way, guint n)
{
  for (guint i = 0; i < n; i++)
    publish_one (scene->publisher, way, ++scene->published);
}

/* Waits until the child has seen the last one. */
static void
check_child (Scene *scene, ServiceChild *child, guint64 *out_received, guint64 *out_lost)
{
  guint64 last = 0, wrong;

  while (last < scene->published)
    {
      g_autoptr (GVariant) tasted = tell (scene->mesh, child, "Tasted", NULL);

      g_variant_get (tasted, "(tttt)", out_received, &wrong, out_lost, &last);
      g_assert_cmpuint (wrong, ==, 0);
    }
}

static void
check_all (Scene *scene, guint i, guint64 expected)
{
  guint64 received, lost;

  check_child (scene, scene->children[i], &received, &lost);
  g_assert_cmpuint (received, ==, expected);
  g_assert_cmpuint (lost, ==, 0);
}

static CommyChannel *
channel_of (Scene *scene, guint i)
{
  CommyReader *reader = scene->publisher->readers->pdata[i];

  return reader->stream->pipe->channel;
}

/* --- sharing --- */

/* Each of one to eight gets everything, and nothing of it is copied for any of them. */
static void
one_buffer (MeshFixture *fixture, gconstpointer data)
{
  Scene *scene = scene_new (fixture, NULL);
  guint64 first[CHILDREN] = { 0 };

  for (guint n = 0; n < CHILDREN; n++)
    {
      guint64 before[CHILDREN] = { 0 };

      add_child (scene, fixture, FALSE, COMMY_SLOW_BLOCK, 4);
      first[n] = scene->published;
      for (guint i = 0; i < n; i++)
        before[i] = channel_of (scene, i)->n_lent;
      for (Way way = 0; way < N_WAYS; way++)
        publish_some (scene, way, 4);
      g_assert_true (commy_publisher_drain_sync (scene->publisher, 30 * G_USEC_PER_SEC, NULL));
      for (guint i = 0; i <= n; i++)
        g_assert_cmpuint (channel_of (scene, i)->n_lent - before[i], ==, 4 * N_WAYS);
    }
  for (guint i = 0; i < CHILDREN; i++)
    check_all (scene, i, scene->published - first[i]);
  g_assert_cmpuint (commy_publisher_get_dropped (scene->publisher), ==, 0);
  scene_free (scene);
}

/* Some over shared memory, some not: the others get copies of the same. */
static void
mixed_paths (MeshFixture *fixture, gconstpointer data)
{
  static const char over_unix[] = "[selection]\npreference=pin\ntransports=unix\n";
  Scene *scene = scene_new (fixture, NULL);
  ServiceChild *other = service_child_start (fixture, over_unix, 0);
  guint64 received, lost;

  add_child (scene, fixture, FALSE, COMMY_SLOW_BLOCK, 4);
  TELL (scene->mesh, other, "Taste", "(buu)", FALSE, COMMY_SLOW_BLOCK, 4);
  await_subscribers (scene->publisher, 2);
  for (Way way = 0; way < N_WAYS; way++)
    publish_some (scene, way, 10);
  check_all (scene, 0, 30);
  check_child (scene, other, &received, &lost);
  g_assert_cmpuint (received, ==, 30);
  for (guint i = 0; i < 2; i++)
    g_assert_cmpuint (channel_of (scene, i)->n_lent, ==,
                      commy_channel_borrows (channel_of (scene, i)) ? 30 : 0);
  scene_free (scene);
  service_child_free (other);
}

/* Who does not trust the publisher copies first, and gives the buffer back at once. */
static void
not_trusted (MeshFixture *fixture, gconstpointer data)
{
  Scene *scene = scene_new (fixture, NULL);
  ServiceChild *child = add_child (scene, fixture, FALSE, COMMY_SLOW_BLOCK, 4);

  TELL (scene->mesh, child, "Distrust", "()");
  for (Way way = 0; way < N_WAYS; way++)
    publish_some (scene, way, 20);
  check_all (scene, 0, 60);
  g_assert_cmpuint (channel_of (scene, 0)->n_lent, ==, 60);
  scene_free (scene);
}

/* --- moves --- */

static void
lost (GObject *source, GAsyncResult *result, gpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) answer = commy_client_call_finish (COMMY_CLIENT (source), result, &error);

  g_assert_no_error (error);
  *(gboolean *) data = TRUE;
}

/* The subscriber leaves its path before it has looked: what was lent to it is sent again. */
static void
moved_in_the_middle (MeshFixture *fixture, gconstpointer data)
{
  Scene *scene = scene_new (fixture, NULL);
  ServiceChild *child = add_child (scene, fixture, FALSE, COMMY_SLOW_BLOCK, 64);
  g_autoptr (CommyClient) client = commy_client_new (scene->mesh, TEST_SERVICE);
  guint64 replayed = 0;

  commy_client_set_instance (client, child->instance);
  add_child (scene, fixture, FALSE, COMMY_SLOW_BLOCK, 64);
  for (guint round = 0; round < 6; round++)
    {
      CommyChannel *channel = channel_of (scene, 0);
      guint64 lent = channel->n_lent;
      gboolean has_left = FALSE;
      int status;

      commy_client_call (client, "LosePath", NULL, NULL, NULL, lost, &has_left);
      while (waitpid (child->pid, &status, WUNTRACED | WNOHANG) == 0)
        g_main_context_iteration (NULL, FALSE);
      g_assert_true (WIFSTOPPED (status));
      publish_some (scene, (Way) (round % N_WAYS), 3);
      if (channel->borrows)
        g_assert_cmpuint (channel->n_lent, >, lent);
      kill (child->pid, SIGCONT);
      while (!has_left)
        g_main_context_iteration (NULL, TRUE);
      publish_some (scene, (Way) ((round + 1) % N_WAYS), 3);
      check_all (scene, 0, scene->published);
      g_assert_cmpuint (channel->moves.n_moves, ==, round + 1);
      g_assert_cmpuint (channel->moves.n_replayed, >, replayed);
      replayed = channel->moves.n_replayed;
    }
  check_all (scene, 1, scene->published);
  g_assert_cmpuint (channel_of (scene, 1)->n_lent, ==, scene->published);
  g_assert_cmpuint (commy_publisher_get_dropped (scene->publisher), ==, 0);
  scene_free (scene);
}

/* --- who keeps, dies, lags --- */

/* It gets what its part of the pool and its own arena hold. */
static void
hoarder (MeshFixture *fixture, gconstpointer data)
{
  Scene *scene = scene_new (fixture, NULL);
  g_autoptr (GVariant) tasted = NULL;
  CommyChannel *channel;
  guint64 received, wrong;

  add_child (scene, fixture, TRUE, COMMY_SLOW_DROP_OLDEST, 2);
  add_child (scene, fixture, FALSE, COMMY_SLOW_BLOCK, 4);
  channel = channel_of (scene, 0);
  publish_some (scene, AS_BYTES, 300);
  check_all (scene, 1, 300);
  g_assert_cmpuint (channel_of (scene, 1)->n_lent, ==, 300);
  g_assert_cmpuint (channel->n_lent, <, 300);
  tasted = tell (scene->mesh, scene->children[0], "Tasted", NULL);
  g_variant_get (tasted, "(tttt)", &received, &wrong, NULL, NULL);
  g_assert_cmpuint (wrong, ==, 0);
  g_assert_cmpuint (received, >, 0);
  scene_free (scene);
}

/* What the dead had is at home: all of the pool can be had in one piece again. */
static void
died_with_loans (MeshFixture *fixture, gconstpointer data)
{
  Scene *scene = scene_new (fixture, "[limits]\ntopic-memory=2MiB\n");

  for (guint i = 0; i < 2; i++)
    add_child (scene, fixture, FALSE, COMMY_SLOW_BLOCK, 4096);
  publish_some (scene, AS_BYTES, 50);
  check_all (scene, 0, 50);
  check_all (scene, 1, 50);
  for (guint round = 0; round < 4; round++)
    {
      ServiceChild *victim = add_child (scene, fixture, TRUE, COMMY_SLOW_DROP_OLDEST, 2);
      CommyBuffer *all;

      kill (victim->pid, SIGSTOP);
      publish_some (scene, AS_SPAN, 10);
      g_assert_null (commy_pool_take (scene->publisher->pool, 8 << 20));
      service_child_kill (victim);
      await_subscribers (scene->publisher, 2);
      publish_some (scene, AS_SPAN, 5);
      check_all (scene, 0, scene->published);
      check_all (scene, 1, scene->published);
      all = commy_pool_take (scene->publisher->pool, 8 << 20);
      g_assert_nonnull (all);
      commy_buffer_unref (all);
    }
  scene_free (scene);
}

/* --- whose pool it is --- */

/* A pool is for the very principals that are subscribed: who comes or goes begins another one. */
static void
principals (MeshFixture *fixture, gconstpointer data)
{
  Scene *scene = scene_new (fixture, NULL);
  CommyPrincipal *other = commy_principal_new ("user:somebody-else", "test");
  g_autoptr (CommyPool) first = NULL;
  g_autoptr (CommyPool) second = NULL;
  g_autoptr (CommyBuffer) old = NULL;
  CommyFrameSpec spec = { .type = COMMY_FRAME_DATA };
  CommyChannel *channel;

  add_child (scene, fixture, FALSE, COMMY_SLOW_BLOCK, 4);
  publish_some (scene, AS_BYTES, 2);
  first = commy_pool_ref (scene->publisher->pool);
  add_child (scene, fixture, FALSE, COMMY_SLOW_BLOCK, 4);
  publish_some (scene, AS_BYTES, 2);
  g_assert_true (scene->publisher->pool == first); /* the same user's */
  g_assert_true (commy_publisher_drain_sync (scene->publisher, 30 * G_USEC_PER_SEC, NULL));
  old = commy_pool_take (first, 100);
  channel = channel_of (scene, 1);
  channel->moves.peer = commy_principal_ref (other);
  g_assert_false (commy_pool_admits (first, channel));
  g_assert_cmpint (commy_channel_send_shared (channel, &spec, old, 100), ==, COMMY_IO_UNSUPPORTED);
  publish_some (scene, AS_VALUE, 2);
  second = commy_pool_ref (scene->publisher->pool);
  g_assert_true (second != first);
  g_assert_true (commy_pool_admits (second, channel_of (scene, 0)));
  g_assert_true (commy_pool_admits (second, channel));
  g_assert_true (commy_publisher_drain_sync (scene->publisher, 30 * G_USEC_PER_SEC, NULL));
  g_assert_cmpuint (channel->n_lent, ==, 4);
  TELL (scene->mesh, scene->children[1], "StopTasting", "()");
  await_subscribers (scene->publisher, 1);
  publish_some (scene, AS_SPAN, 2);
  g_assert_true (scene->publisher->pool != second);
  check_all (scene, 0, 8);
  g_assert_cmpuint (channel_of (scene, 0)->n_lent, ==, 8);
  TELL (scene->mesh, scene->children[0], "StopTasting", "()");
  await_subscribers (scene->publisher, 0);
  publish_some (scene, AS_SPAN, 2);
  g_assert_null (scene->publisher->pool);
  g_clear_pointer (&old, commy_buffer_unref);
  scene_free (scene);
  commy_principal_unref (other);
}

/* --- lies --- */

typedef struct
{
  const char *name;
  CommyFrameSpec spec;
  gssize cut; /* bytes of the head that are missing, or more than there should be */
  const char *words;
} Lie;

static const Lie lies[] = {
  { "a call", { .type = COMMY_FRAME_CALL, .stream = 1, .method = 1 }, 0, "unknown" },
  { "a one-way message", { .type = COMMY_FRAME_ONEWAY, .method = 1 }, 0, "unknown" },
  { "a method's name", { .type = COMMY_FRAME_METHOD, .method = 1 }, 0, "unknown" },
  { "a piece", { .type = COMMY_FRAME_FRAGMENT, .stream = 1 }, 0, "unknown" },
  { "a train",
    { .type = COMMY_FRAME_DATA, .stream = 1, .train = 1, .train_size = 100000 },
    0,
    "unknown" },
  { "a run",
    { .type = COMMY_FRAME_DATA, .flags = COMMY_FRAME_FLAG_RUN, .stream = 1, .method = 8 },
    0,
    "flags" },
  { "half a header", { .type = COMMY_FRAME_DATA, .stream = 1 }, 16, "shorter" },
  { "half an extension",
    { .type = COMMY_FRAME_DATA, .stream = 1, .signature = "(ii)", .signature_size = 4 },
    8,
    "extension" },
  { "a head with some payload", { .type = COMMY_FRAME_DATA, .stream = 1 }, -8, "length" },
};

/* Only messages of streams may come in two parts, cut where the payload begins. */
static void
split_frames_that_lie (MeshFixture *fixture, gconstpointer data)
{
  CommyMesh *mesh;
  ServiceChild *child = service_child_start (fixture, NULL, 0);
  g_autofree char *address = NULL;

  mesh = mesh_fixture_join (fixture, NULL);
  address = fake_scene_find_address (mesh, "shm");
  for (gsize i = 0; i < G_N_ELEMENTS (lies); i++)
    {
      FakeClient *fake = fake_client_new ("shm", NULL);
      CommyHello hello = { .service = (char *) TEST_SERVICE, .instance = child->instance };
      CommyFrameSpec spec = lies[i].spec;
      gsize prefix = commy_frame_prefix_size (&spec);
      g_autofree guint8 *frame = g_malloc0 (prefix + 64);
      g_autofree char *text = NULL;
      CommyFrame welcome;

      g_test_message ("%s", lies[i].name);
      g_assert_true (fake_client_connect (fake, address, NULL));
      fake_client_greet (fake, &hello);
      g_assert_true (fake_client_receive (fake, &welcome, &text));
      spec.flags |= COMMY_FRAME_FLAG_ORDERED;
      spec.sequence = 1;
      commy_frame_write (frame, &spec, (gsize) ((gssize) 50000 - lies[i].cut));
      /* The whole is as long as it says; only the cut is elsewhere. */
      fake_client_lend (fake, frame, (gsize) ((gssize) prefix - lies[i].cut), 50000);
      fake_client_expect_close (fake, COMMY_ERROR_PROTOCOL, lies[i].words);
      fake_client_free (fake);
    }
  TELL (mesh, child, "Add", "(ii)", 1, 2);
  leave (mesh);
  service_child_free (child);
}

int
main (int argc, char **argv)
{
  int status;

  if (service_child_main_with (argc, argv, extend, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
#define CASE(name, function)                                                           \
  g_test_add ("/mesh/fan-out/" name, MeshFixture, NULL, mesh_fixture_set_up, function, \
              mesh_fixture_tear_down)
  CASE ("one-buffer-for-one-to-eight", one_buffer);
  CASE ("others-get-copies", mixed_paths);
  CASE ("who-does-not-trust-copies", not_trusted);
  CASE ("what-was-lent-moves", moved_in_the_middle);
  CASE ("who-keeps-all-holds-up-nobody", hoarder);
  CASE ("a-dead-subscribers-loans-come-home", died_with_loans);
  CASE ("a-pool-for-each-set-of-principals", principals);
  CASE ("frames-in-two-parts-that-lie", split_frames_that_lie);
#undef CASE
  return g_test_run ();
}
