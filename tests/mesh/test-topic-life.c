/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Topics when somebody dies, is denied, lies, asks too much, or lets go at the wrong moment.
 */
#include "config.h"

#include "topic-puppet.h"

#include "mesh/commy-service-private.h"

#include <signal.h>
#include <string.h>

/* --- deaths --- */

static void
publisher_killed (MeshFixture *fixture, gconstpointer transport)
{
  ServiceChild *first, *second;
  g_autoptr (CommySubscribeOptions) options = wishes (COMMY_SLOW_BLOCK, 8, 10);
  Listener *listener;
  CommyMesh *mesh;

  mesh_fixture_make_credentials (fixture);
  first = service_child_start (fixture, NULL, 0);
  mesh = join_over (fixture, transport);
  listener = listener_new (mesh, "t", options);
  TELL (mesh, first, "Publish", "(suuu)", "t", 10, 1, 10);
  listener_await (listener, 10);
  service_child_kill (first);
  while (listener->removed == 0)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpint (listener->code, !=, 0);
  second = service_child_start (fixture, NULL, 0);
  TELL (mesh, second, "Publish", "(suuu)", "t", 10, 1, 10);
  listener_await (listener, 20);
  g_assert_cmpuint (listener->received, ==, 20);
  g_assert_cmpuint (listener->added, ==, 2);
  g_assert_cmpuint (listener->wrong + listener->lost, ==, 0);
  listener_free (listener);
  leave (mesh);
  service_child_free (first);
  service_child_free (second);
}

/* Who dies takes nothing with him: the others get everything, and what waited is counted. */
static void
subscriber_killed (MeshFixture *fixture, gconstpointer data)
{
  CommyMesh *mesh = mesh_fixture_join (fixture, "[limits]\npublish-timeout=0s\ntopic-depth=6000\n");
  ServiceChild *child = service_child_start (fixture, NULL, 0);
  g_autoptr (CommySubscribeOptions) options = wishes (COMMY_SLOW_BLOCK, 6000, 0);
  CommyPublisher *publisher = publisher_new (mesh, "t", 0);
  Listener *listener = listener_new (mesh, "t", options);

  TELL (mesh, child, "Follow", "(suuu)", "t", COMMY_SLOW_BLOCK, 6000, 0);
  await_subscribers (publisher, 2);
  kill (child->pid, SIGSTOP);
  publish (publisher, 1, 5000);
  service_child_kill (child);
  await_subscribers (publisher, 1);
  publish (publisher, 5001, 100);
  listener_await (listener, 5100);
  g_assert_cmpuint (listener->received, ==, 5100);
  g_assert_cmpuint (listener->wrong, ==, 0);
  listener_free (listener);
  g_object_unref (publisher);
  leave (mesh);
  service_child_free (child);
}

/* --- who may hold up whom --- */

static void
add_parked (gpointer channel, gpointer data)
{
  *(guint64 *) data
      += commy_counters_get (commy_channel_get_counters (channel), COMMY_COUNT_PARKED);
}

/* How often this thread went to sleep for one of its channels. */
static guint64
count_parked (CommyMesh *mesh)
{
  g_autoptr (GPtrArray) workers = commy_mesh_dup_workers (mesh);
  guint64 n = 0;

  for (guint i = 0; i < workers->len; i++)
    {
      CommyWorker *worker = ((CommyMeshWorker *) workers->pdata[i])->worker;

      if (!commy_worker_is_home (worker))
        continue;
      commy_worker_enter (worker);
      commy_worker_foreach_channel (worker, add_parked, &n);
      commy_worker_exit (worker);
    }
  return n;
}

/* A subscriber that reads nothing says "block": whether that means anything is the publisher's
 * choice. */
static void
subscriber_says_block (MeshFixture *fixture, gconstpointer data)
{
  const gboolean may = GPOINTER_TO_INT (data);
  CommyMesh *mesh = mesh_fixture_join (fixture, NULL);
  ServiceChild *child = service_child_start (fixture, NULL, 0);
  g_autoptr (CommyPublisherOptions) options = commy_publisher_options_new ();
  g_autoptr (CommyPublisher) publisher = NULL;
  g_autoptr (GError) error = NULL;
  guint64 parked;

  if (may)
    commy_publisher_options_set_timeout (options, 1000);
  publisher = commy_publisher_new (mesh, "t", options);
  commy_publisher_start_sync (publisher, NULL, &error);
  g_assert_no_error (error);
  TELL (mesh, child, "Follow", "(suuu)", "t", COMMY_SLOW_BLOCK, 16, 0);
  await_subscribers (publisher, 1);
  kill (child->pid, SIGSTOP);
  parked = count_parked (mesh);
  for (gint32 i = 0; i < 20000 && commy_publisher_get_dropped (publisher) == 0; i++)
    publish (publisher, i, 1);
  g_assert_cmpuint (commy_publisher_get_dropped (publisher), >, 0);
  if (may)
    g_assert_cmpuint (count_parked (mesh), >, parked);
  else
    g_assert_cmpuint (count_parked (mesh), ==, parked);
  kill (child->pid, SIGCONT);
  g_clear_object (&publisher);
  leave (mesh);
  service_child_free (child);
}

static void
close_connecting (gpointer data, gpointer user_data)
{
  if (!commy_channel_is_accepting (data)
      && g_str_has_prefix (commy_channel_get_service (data), "topic:"))
    g_ptr_array_add (user_data, commy_channel_ref (data));
}

/* Closes what the subscription reads from, as a cut cable would. */
static void
cut (CommyMesh *mesh)
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
      commy_worker_foreach_channel (worker, close_connecting, channels);
      for (guint j = 0; j < channels->len; j++)
        commy_channel_close (channels->pdata[j], NULL);
      commy_worker_exit (worker);
    }
  g_assert_cmpuint (channels->len, >, 0);
}

/* What the publisher still keeps is sent again, nothing twice, and what it does not keep is told.
 */
static void
path_cut (MeshFixture *fixture, gconstpointer transport)
{
  ServiceChild *child;
  g_autoptr (CommySubscribeOptions) options = wishes (COMMY_SLOW_BLOCK, 8, 0);
  Listener *listener;
  CommyMesh *mesh;
  guint n = 10;

  mesh_fixture_make_credentials (fixture);
  child = service_child_start (fixture, NULL, 0);
  mesh = join_over (fixture, transport);
  listener = listener_new (mesh, "t", options);
  TELL (mesh, child, "Publish", "(suuu)", "t", 0, 1, 20);
  while (listener->added == 0)
    g_main_context_iteration (NULL, TRUE);
  TELL (mesh, child, "Publish", "(suuu)", "t", n, 1, 20);
  listener_await (listener, n);
  for (guint round = 0; round < 3; round++)
    {
      guint missed = round == 2 ? 50 : 15;

      cut (mesh);
      TELL (mesh, child, "Publish", "(suuu)", "t", missed, n + 1, 20);
      n += missed;
      listener_await (listener, n);
      TELL (mesh, child, "Publish", "(suuu)", "t", 5, n + 1, 20);
      n += 5;
      listener_await (listener, n);
      g_assert_cmpuint (listener->lost, ==, round == 2 ? 30 : 0);
    }
  g_assert_cmpuint (listener->wrong, ==, 0);
  g_assert_cmpstr (listener->reason, ==, "peer-gone");
  g_assert_cmpint (listener->newest, ==, (gint32) n);
  listener_free (listener);
  leave (mesh);
  service_child_free (child);
}

/* A publisher that ends its topic tells what it could not send any more. */
static void
closed_with_a_rest (MeshFixture *fixture, gconstpointer data)
{
  CommyMesh *mesh = mesh_fixture_join (fixture, NULL);
  g_autoptr (CommySubscribeOptions) options = wishes (COMMY_SLOW_DROP_OLDEST, 100000, 0);
  CommyPublisher *publisher = publisher_new (mesh, "t", 0);
  Listener *listener = listener_new (mesh, "t", options);

  await_subscribers (publisher, 1);
  publish (publisher, 1, 20000); /* nobody reads: this thread does both */
  commy_publisher_close (publisher);
  listener_await (listener, 20000);
  g_assert_cmpuint (listener->received + listener->lost, ==, 20000);
  g_assert_cmpuint (listener->lost, ==, commy_publisher_get_dropped (publisher));
  g_assert_cmpuint (listener->lost, >, 0);
  g_assert_cmpuint (listener->wrong, ==, 0);
  while (listener->removed == 0)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpint (listener->code, ==, 0);
  g_object_unref (publisher);
  listener_free (listener);
  leave (mesh);
}

/* It is found again by itself, unless it was closed. */
static void
joined_again (MeshFixture *fixture, gconstpointer data)
{
  CommyMesh *mesh = mesh_fixture_join (fixture, NULL);
  ServiceChild *child = service_child_start (fixture, NULL, 0);
  CommyPublisher *publisher = publisher_new (mesh, "t", 10);
  CommyPublisher *closed = publisher_new (mesh, "closed", 10);

  TELL (mesh, child, "Follow", "(suuu)", "*", COMMY_SLOW_BLOCK, 8, 0);
  await_subscribers (publisher, 1);
  commy_publisher_close (closed);
  for (gint32 round = 0; round < 3; round++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) seen = NULL;
      guint64 received, lost, wrong;

      publish (publisher, 5 * round + 1, 5);
      seen = tell (mesh, child, "Await", g_variant_new ("(t)", 5 * round + 5));
      g_variant_get (seen, "(tttiis)", &received, &lost, &wrong, NULL, NULL, NULL);
      g_assert_cmpuint (received, ==, 5 * round + 5);
      g_assert_cmpuint (lost + wrong, ==, 0);
      commy_mesh_leave_sync (mesh, NULL, NULL);
      g_assert_false (
          commy_publisher_publish (publisher, g_variant_new_int32 (0), NULL)); /* not joined */
      commy_mesh_join_sync (mesh, NULL, &error);
      g_assert_no_error (error);
      await_subscribers (publisher, 1);
    }
  g_assert_cmpuint (commy_publisher_get_subscribers (closed), ==, 0);
  g_object_unref (closed);
  g_object_unref (publisher);
  leave (mesh);
  service_child_free (child);
}

/* --- who may --- */

static void
denied (MeshFixture *fixture, gconstpointer data)
{
  CommyMesh *mesh = mesh_fixture_join (fixture, "[policy secrets]\nprincipals=*\ntopics=secret.*\n"
                                                "verbs=subscribe;\neffect=deny\n");
  g_autoptr (CommySubscribeOptions) options = wishes (COMMY_SLOW_BLOCK, 8, 8);
  CommyPublisher *open = publisher_new (mesh, "open", 8);
  CommyPublisher *secret = publisher_new (mesh, "secret.a", 8);
  Listener *listener = listener_new (mesh, "**", options);

  publish (secret, 1, 3);
  publish (open, 1, 3);
  listener_await (listener, 3);
  while (listener->removed == 0)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpint (listener->code, ==, COMMY_ERROR_DENIED);
  g_assert_cmpuint (commy_publisher_get_subscribers (secret), ==, 0);
  g_assert_cmpuint (listener->received, ==, 3);
  g_object_unref (open);
  g_object_unref (secret);
  listener_free (listener);
  leave (mesh);
}

static void
may_not_publish (MeshFixture *fixture, gconstpointer data)
{
  CommyMesh *mesh = mesh_fixture_join (fixture, "[policy liars]\nprincipals=*\ntopics=news\n"
                                                "verbs=publish;\neffect=deny\n");
  ServiceChild *child = service_child_start (fixture, NULL, 0);
  g_autoptr (CommySubscribeOptions) options = wishes (COMMY_SLOW_BLOCK, 8, 8);
  Listener *listener = listener_new (mesh, "news", options);

  TELL (mesh, child, "Publish", "(suuu)", "news", 3, 1, 8);
  while (listener->removed == 0)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpint (listener->code, ==, COMMY_ERROR_NOT_OFFERED);
  g_assert_cmpuint (listener->received, ==, 0);
  listener_free (listener);
  leave (mesh);
  service_child_free (child);
}

/* --- too much --- */

static void
never (CommySubscription *subscription, CommyPublication *publication, gpointer data)
{
  g_assert_not_reached ();
}

static void
too_many_subscribers (MeshFixture *fixture, gconstpointer data)
{
  CommyMesh *mesh = mesh_fixture_join (fixture, "[limits]\nsubscribers=2\nsubscriptions=3\n");
  g_autoptr (CommySubscribeOptions) options = wishes (COMMY_SLOW_BLOCK, 8, 8);
  CommyPublisher *publisher = publisher_new (mesh, "t", 8);
  Listener *listeners[3];
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < 3; i++)
    listeners[i] = listener_new (mesh, "t", options);
  g_assert_null (commy_mesh_subscribe (mesh, "t", NULL, never, NULL, NULL, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_BUSY);
  await_subscribers (publisher, 2);
  while (listeners[0]->removed + listeners[1]->removed + listeners[2]->removed == 0)
    g_main_context_iteration (NULL, TRUE);
  publish (publisher, 1, 3);
  /* One leaves, and the one that was refused comes in. */
  for (guint i = 0; i < 3; i++)
    if (listeners[i]->removed == 0)
      {
        listener_await (listeners[i], 3);
        listener_free (g_steal_pointer (&listeners[i]));
        break;
      }
  for (guint i = 0; i < 3; i++)
    if (listeners[i] != NULL)
      {
        listener_await (listeners[i], 3);
        listener_free (listeners[i]);
      }
  g_object_unref (publisher);
  leave (mesh);
}

static void
too_many_topics (MeshFixture *fixture, gconstpointer data)
{
  CommyMesh *mesh = mesh_fixture_join (fixture, "[limits]\ntopics=2\n");
  g_autoptr (CommySubscribeOptions) options = wishes (COMMY_SLOW_BLOCK, 8, 8);
  CommyPublisher *publishers[3];
  Listener *listener;

  for (guint i = 0; i < 3; i++)
    {
      g_autofree char *topic = g_strdup_printf ("t.%u", i);

      publishers[i] = publisher_new (mesh, topic, 8);
      publish (publishers[i], 1, 1);
    }
  listener = listener_new (mesh, "t.*", options);
  listener_await (listener, 2);
  /* One that ends makes room for the one that was left out. */
  for (guint i = 0; i < 3; i++)
    if (commy_publisher_get_subscribers (publishers[i]) > 0)
      {
        commy_publisher_close (publishers[i]);
        break;
      }
  listener_await (listener, 3);
  for (guint i = 0; i < 3; i++)
    g_object_unref (publishers[i]);
  listener_free (listener);
  leave (mesh);
}

/* --- lies --- */

typedef struct
{
  const char *wishes; /* GVariant text; NULL: raw bytes */
  gint code;          /* 0: it is served */
} Lie;

static const Lie lies[] = {
  { "(@a{sv} {},)", 0 },
  { "({'policy': <'block'>, 'depth': <@u 4294967295>, 'history': <@u 4294967295>},)", 0 },
  { "({'policy': <'latest'>, 'after': <@t 18446744073709551615>, 'publisher': <'?'>},)", 0 },
  { "({'policy': <'drop-oldest'>, 'depth': <'many'>, 'history': <-1>},)", 0 },
  { "({'policy': <'nothing'>},)", COMMY_ERROR_INVALID_ARGUMENT },
  { "({'depth': <@u 0>},)", COMMY_ERROR_INVALID_ARGUMENT },
  { "('block',)", COMMY_ERROR_TYPE },
  { "()", COMMY_ERROR_TYPE },
};

static void
hostile_subscriber (MeshFixture *fixture, gconstpointer data)
{
  CommyMesh *mesh = mesh_fixture_join (fixture, NULL);
  ServiceChild *child = service_child_start (fixture, NULL, 0);
  CommyClient *client = commy_client_new (mesh, "topic:t");

  TELL (mesh, child, "Publish", "(suuu)", "t", 5, 1, 100);
  for (gsize i = 0; i < G_N_ELEMENTS (lies); i++)
    {
      g_autoptr (GVariant) wanted = g_variant_parse (NULL, lies[i].wishes, NULL, NULL, NULL);
      g_autoptr (GError) error = NULL;
      g_autoptr (CommyStream) stream
          = commy_client_open_stream_sync (client, "Subscribe", wanted, NULL, NULL, &error);
      g_autoptr (GVariant) greeting = NULL;

      g_assert_no_error (error);
      greeting = commy_stream_read_sync (stream, NULL, &error);
      if (lies[i].code == 0)
        g_assert_no_error (error);
      else
        g_assert_error (error, COMMY_ERROR, lies[i].code);
      /* A subscriber that talks back is let go. */
      if (i == 0)
        {
          g_assert_true (commy_stream_write_sync (stream, g_variant_new_int32 (1), NULL, NULL));
          while (error == NULL)
            {
              GVariant *more = commy_stream_read_sync (stream, NULL, &error);

              g_clear_pointer (&more, g_variant_unref);
            }
          g_assert_error (error, COMMY_ERROR, COMMY_ERROR_TYPE);
        }
    }
  /* All the same, others are served. */
  {
    g_autoptr (CommySubscribeOptions) options = wishes (COMMY_SLOW_BLOCK, 8, 8);
    Listener *listener = listener_new (mesh, "t", options);

    listener_await (listener, 5);
    g_assert_cmpuint (listener->wrong, ==, 0);
    listener_free (listener);
  }
  g_object_unref (client);
  leave (mesh);
  service_child_free (child);
}

/* --- the hot loop --- */

typedef struct
{
  CommyMesh *mesh;
  guint n;
  gint done; /* atomic */
} Loop;

/* A thread without a main context: only its own calls move its subscribers. */
static gpointer
publish_hot (gpointer data)
{
  Loop *loop = data;
  CommyPublisher *publisher = publisher_new (loop->mesh, "hot", 0);
  g_autoptr (GError) error = NULL;

  while (commy_publisher_get_subscribers (publisher) < 2)
    {
      commy_publisher_flush (publisher);
      g_usleep (200);
    }
  for (guint32 i = 1; i <= loop->n; i++)
    {
      CommySpan span;

      commy_publisher_reserve (publisher, 64, &span, &error);
      g_assert_no_error (error);
      memset (span.data, (int) i, 64);
      memcpy (span.data, &i, sizeof i);
      span.size = 8 + i % 32;
      commy_publisher_commit (publisher, &span, &error);
      g_assert_no_error (error);
      if (i % 16 == 0)
        commy_publisher_flush (publisher);
    }
  g_assert_true (commy_publisher_drain_sync (publisher, 60 * G_USEC_PER_SEC, NULL));
  while (!g_atomic_int_get (&loop->done))
    {
      commy_publisher_flush (publisher);
      g_usleep (200);
    }
  g_assert_cmpuint (commy_publisher_get_dropped (publisher), ==, 0);
  g_object_unref (publisher);
  return NULL;
}

static void
take_bytes (CommySubscription *subscription, CommyPublication *publication, gpointer data)
{
  GBytes *bytes = commy_publication_get_bytes (publication);
  guint32 *last = data, number;
  gsize size;
  const guint8 *got = g_bytes_get_data (bytes, &size);

  memcpy (&number, got, sizeof number);
  g_assert_cmpuint (number, ==, *last + 1);
  g_assert_cmpuint (number, ==, commy_publication_get_sequence (publication));
  g_assert_cmpuint (size, ==, 8 + number % 32);
  for (gsize i = sizeof number; i < size; i++)
    g_assert_cmpuint (got[i], ==, (guint8) number);
  *last = number;
}

static void
hot_loop (MeshFixture *fixture, gconstpointer data)
{
  g_autoptr (CommySubscribeOptions) options = wishes (COMMY_SLOW_BLOCK, 64, 0);
  CommyMesh *mesh = mesh_fixture_join (fixture, "[limits]\npublish-timeout=60s\n");
  guint32 last[2] = { 0, 0 };
  CommySubscription *subscriptions[2];
  Loop loop = { mesh, 20000, 0 };
  GThread *thread;

  for (guint i = 0; i < 2; i++)
    subscriptions[i]
        = commy_mesh_subscribe (mesh, "hot", options, take_bytes, &last[i], NULL, NULL);
  thread = g_thread_new ("hot", publish_hot, &loop);
  while (last[0] < loop.n || last[1] < loop.n)
    g_main_context_iteration (NULL, TRUE);
  g_atomic_int_set (&loop.done, 1);
  g_thread_join (thread);
  for (guint i = 0; i < 2; i++)
    g_object_unref (subscriptions[i]);
  leave (mesh);
}

/* --- at the wrong moment --- */

static void
closed_inside (MeshFixture *fixture, gconstpointer data)
{
  CommyMesh *mesh = mesh_fixture_join (fixture, NULL);
  g_autoptr (CommySubscribeOptions) options = wishes (COMMY_SLOW_BLOCK, 100, 100);
  CommyPublisher *publisher = publisher_new (mesh, "t", 100);
  Listener *listener = listener_new (mesh, "t", options);

  listener->close_after = 3;
  publish (publisher, 1, 10);
  listener_await (listener, 3);
  await_subscribers (publisher, 0);
  g_assert_cmpuint (listener->received, ==, 3);
  listener_free (listener);
  g_object_unref (publisher);
  leave (mesh);
}

static void
count_release (gpointer data)
{
  ++*(guint *) data;
}

static void
publish_inside (CommySubscription *subscription, CommyPublication *publication, gpointer data)
{
  CommyPublisher *answers
      = g_object_get_data (G_OBJECT (subscription), "answers"); /* another topic's, same thread */

  g_assert_true (
      commy_publisher_publish (answers, commy_publication_get_value (publication), NULL));
}

/* A function that publishes, and a subscriber on the publisher's own thread, hold nobody up. */
static void
same_thread (MeshFixture *fixture, gconstpointer data)
{
  CommyMesh *mesh = mesh_fixture_join (fixture, "[limits]\npublish-timeout=1h\n");
  g_autoptr (CommySubscribeOptions) options = wishes (COMMY_SLOW_BLOCK, 10, 0);
  CommyPublisher *questions = publisher_new (mesh, "questions", 0);
  CommyPublisher *answers = publisher_new (mesh, "answers", 0);
  Listener *listener = listener_new (mesh, "answers", options);
  guint released = 0;
  CommySubscription *relay = commy_mesh_subscribe (mesh, "questions", options, publish_inside,
                                                   &released, count_release, NULL);

  g_object_set_data (G_OBJECT (relay), "answers", answers);
  await_subscribers (questions, 1);
  await_subscribers (answers, 1);
  publish (questions, 1, 5);
  listener_await (listener, 5);
  g_assert_cmpuint (listener->wrong, ==, 0);
  publish (questions, 6, 20000); /* more than fits: would wait for an hour */
  g_assert_cmpuint (commy_publisher_get_dropped (questions), >, 0);
  g_object_unref (relay);
  g_assert_cmpuint (released, ==, 1);
  listener_free (listener);
  g_object_unref (questions);
  g_object_unref (answers);
  leave (mesh);
}

static gpointer
misuse_elsewhere (gpointer publisher)
{
  g_autoptr (GError) error = NULL;

  g_assert_false (commy_publisher_publish (publisher, g_variant_new_int32 (1), &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_WRONG_THREAD);
  return NULL;
}

static void
refuse_pattern (CommyMesh *mesh, const char *pattern)
{
  g_autoptr (GError) error = NULL;
  guint released = 0;

  g_assert_null (
      commy_mesh_subscribe (mesh, pattern, NULL, publish_inside, &released, count_release, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_INVALID_ARGUMENT);
  g_assert_cmpuint (released, ==, 1);
}

static void
misuse (MeshFixture *fixture, gconstpointer data)
{
  CommyMesh *mesh = mesh_fixture_join (fixture, "[limits]\nmessage=64KiB\n");
  CommyPublisher *publisher = publisher_new (mesh, "t", 0);
  CommyPublisher *nameless = commy_publisher_new (mesh, "a..b", NULL);
  g_autofree guint8 *zeros = g_malloc0 (70000);
  g_autoptr (GBytes) big = g_bytes_new_static (zeros, 70000);
  g_autoptr (GError) error = NULL;

  g_thread_join (g_thread_new ("other", misuse_elsewhere, publisher));
  g_assert_false (commy_publisher_publish_bytes (publisher, big, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_TOO_BIG);
  g_clear_error (&error);
  g_assert_false (commy_publisher_publish (publisher, g_variant_new_handle (0), &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_TYPE);
  g_clear_error (&error);
  g_assert_false (commy_publisher_start_sync (publisher, NULL, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_INVALID_ARGUMENT);
  g_clear_error (&error);
  g_assert_false (commy_publisher_start_sync (nameless, NULL, &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_INVALID_ARGUMENT);
  g_clear_error (&error);
  refuse_pattern (mesh, "a.**.b");
  refuse_pattern (mesh, "a*");
  refuse_pattern (mesh, "");
  commy_publisher_close (publisher);
  g_assert_false (commy_publisher_publish (publisher, g_variant_new_int32 (1), &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_LEAVING);
  g_clear_error (&error);
  g_object_unref (publisher);
  g_object_unref (nameless);
  publisher = publisher_new (mesh, "t", 0);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  g_assert_false (commy_publisher_publish (publisher, g_variant_new_int32 (1), &error));
  g_assert_error (error, COMMY_ERROR, COMMY_ERROR_NOT_JOINED);
  g_object_unref (publisher);
  g_object_unref (mesh);
}

/* The mesh's own publisher, and leaving while all of it lives. */
static void
now_and_then (MeshFixture *fixture, gconstpointer data)
{
  CommyMesh *mesh = mesh_fixture_join (fixture, NULL);
  g_autoptr (CommySubscribeOptions) options = wishes (COMMY_SLOW_BLOCK, 10, 100);
  Listener *listener;

  for (gint32 i = 1; i <= 20; i++)
    g_assert_true (commy_mesh_publish (mesh, "news", g_variant_new_int32 (i), NULL));
  g_assert_false (commy_mesh_publish (mesh, "no news", g_variant_new_int32 (1), NULL));
  listener = listener_new (mesh, "*", options);
  listener_await (listener, 16);
  g_assert_cmpint (listener->first, ==, 5);
  g_assert_true (commy_mesh_publish (mesh, "news", g_variant_new_int32 (21), NULL));
  listener_await (listener, 17);
  g_assert_cmpuint (listener->wrong, ==, 0);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  g_object_unref (mesh);
  listener_free (listener);
}

/* Stats of the node tell the same sums. */
static void
told_by_the_node (MeshFixture *fixture, gconstpointer data)
{
  CommyMesh *mesh = mesh_fixture_join (fixture, NULL);
  ServiceChild *child = service_child_start (fixture, NULL, 0);
  g_autoptr (CommySubscribeOptions) options = wishes (COMMY_SLOW_BLOCK, 8, 8);
  Listener *listener = listener_new (mesh, "t", options);
  g_autoptr (CommyClient) node = commy_client_new (mesh, "org.commy.Node1");
  g_autoptr (GVariant) services = commy_mesh_list_services_sync (mesh, "topic:*", NULL, NULL);
  g_autoptr (GVariant) answer = NULL;
  g_autofree char *text = NULL;

  g_assert_cmpuint (g_variant_n_children (services), ==, 0);
  TELL (mesh, child, "Publish", "(suuu)", "t", 7, 1, 8);
  listener_await (listener, 7);
  g_clear_pointer (&services, g_variant_unref);
  services = commy_mesh_list_services_sync (mesh, "topic:*", NULL, NULL);
  g_assert_cmpuint (g_variant_n_children (services), ==, 1);
  {
    g_autoptr (GVariant) all = commy_mesh_list_services_sync (mesh, "org.commy.Node1", NULL, NULL);

    for (gsize i = 0; i < g_variant_n_children (all); i++)
      {
        g_autoptr (GVariant) record = g_variant_get_child_value (all, i);
        const char *id, *instance;

        g_variant_lookup (record, "node", "&s", &id);
        g_variant_lookup (record, "instance", "&s", &instance);
        if (strcmp (id, commy_mesh_get_node_id (mesh)) != 0)
          commy_client_set_instance (node, instance);
      }
  }
  answer = commy_client_call_sync (node, "Stats", NULL, NULL, NULL, NULL);
  text = g_variant_print (answer, FALSE);
  g_assert_nonnull (strstr (text, "'published': <uint64 7>"));
  g_assert_nonnull (strstr (text, "'delivered': <uint64 7>"));
  g_assert_nonnull (strstr (text, "'subscribers': <uint64 1>"));
  listener_free (listener);
  leave (mesh);
  service_child_free (child);
}

#define CASE(path, func, data) \
  g_test_add (path, MeshFixture, data, mesh_fixture_set_up, func, mesh_fixture_tear_down)

int
main (int argc, char **argv)
{
  int status;

  if (service_child_main_with (argc, argv, puppet_extend, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
  CASE ("/topics/killed/another-publisher-takes-over/shm", publisher_killed, "shm");
  CASE ("/topics/killed/another-publisher-takes-over/unix", publisher_killed, "unix");
  CASE ("/topics/killed/another-publisher-takes-over/tls", publisher_killed, "tls");
  CASE ("/topics/killed/a-subscriber-takes-nothing-with-him", subscriber_killed, NULL);
  /* attack: hold a publisher up by subscribing to it and reading nothing; defence: how long it
   * waits is the publisher's choice, and nothing by default */
  CASE ("/topics/slow/a-subscriber-cannot-make-its-publisher-wait", subscriber_says_block, NULL);
  CASE ("/topics/slow/a-publisher-that-wants-to-waits", subscriber_says_block, GINT_TO_POINTER (1));
  CASE ("/topics/cut/nothing-comes-twice-and-gaps-are-told/shm", path_cut, "shm");
  CASE ("/topics/cut/nothing-comes-twice-and-gaps-are-told/tls", path_cut, "tls");
  CASE ("/topics/closed/a-publisher-tells-what-it-did-not-send", closed_with_a_rest, NULL);
  CASE ("/topics/joined-again/a-publisher-offers-again", joined_again, NULL);
  /* attack: subscribe to what one may not hear; defence: a permission, asked where it is published
   */
  CASE ("/topics/denied/who-may-not-subscribe-gets-nothing", denied, NULL);
  CASE ("/topics/denied/who-may-not-publish-is-not-read", may_not_publish, NULL);
  CASE ("/topics/limits/subscribers-beyond-it-wait-for-a-place", too_many_subscribers, NULL);
  CASE ("/topics/limits/topics-beyond-it-are-left-out", too_many_topics, NULL);
  CASE ("/topics/hostile/bad-wishes-harm-nobody", hostile_subscriber, NULL);
  CASE ("/topics/hot-loop/two-subscribers-get-every-byte", hot_loop, NULL);
  CASE ("/topics/closed/a-subscription-inside-its-function", closed_inside, NULL);
  CASE ("/topics/same-thread-does-not-wait-for-itself", same_thread, NULL);
  CASE ("/topics/misuse-is-told", misuse, NULL);
  CASE ("/topics/now-and-then-needs-no-publisher", now_and_then, NULL);
  CASE ("/topics/the-node-tells-the-sums", told_by_the_node, NULL);
  return g_test_run ();
}
