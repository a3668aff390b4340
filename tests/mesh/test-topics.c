/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Topics from end to end: patterns, history, publishers and subscribers that come, go and die,
 * over each transport.
 */
#include "config.h"

#include "topic-puppet.h"

#include <signal.h>
#include <string.h>

static guint
count_of (Listener *listener, const char *topic)
{
  return GPOINTER_TO_UINT (g_hash_table_lookup (listener->count, topic));
}

/* --- one process --- */

static void
subscriber_first (MeshFixture *fixture, gconstpointer data)
{
  CommyMesh *mesh = mesh_fixture_join (fixture, NULL);
  g_autoptr (CommySubscribeOptions) options = wishes (COMMY_SLOW_BLOCK, 8, 100);
  Listener *listener = listener_new (mesh, "sensors.temp", options);
  CommyPublisher *publisher = publisher_new (mesh, "sensors.temp", 100);

  publish (publisher, 1, 3);
  await_subscribers (publisher, 1);
  publish (publisher, 4, 3);
  listener_await (listener, 6);
  g_assert_cmpuint (listener->wrong, ==, 0);
  g_assert_cmpint (listener->first, ==, 1);
  g_assert_cmpint (listener->newest, ==, 6);
  g_assert_cmpuint (listener->lost, ==, 0);
  g_assert_cmpuint (commy_subscription_get_publishers (listener->subscription), ==, 1);
  g_object_unref (publisher);
  while (listener->removed == 0)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpint (listener->code, ==, 0);
  g_assert_cmpuint (commy_subscription_get_publishers (listener->subscription), ==, 0);
  listener_free (listener);
  leave (mesh);
}

static void
wildcards (MeshFixture *fixture, gconstpointer data)
{
  CommyMesh *mesh = mesh_fixture_join (fixture, NULL);
  g_autoptr (CommySubscribeOptions) options = wishes (COMMY_SLOW_BLOCK, 8, 10);
  Listener *one = listener_new (mesh, "a.*.c", options);
  Listener *rest = listener_new (mesh, "a.**", options);
  Listener *exact = listener_new (mesh, "a.b.c", options);
  const char *const topics[] = { "a", "a.b", "a.b.c", "a.x.c", "a.b.c.d", "b.b.c" };
  CommyPublisher *publishers[G_N_ELEMENTS (topics)];

  for (guint i = 0; i < G_N_ELEMENTS (topics); i++)
    {
      publishers[i] = publisher_new (mesh, topics[i], 10);
      publish (publishers[i], 1, 2);
    }
  listener_await (one, 4);
  listener_await (rest, 10);
  listener_await (exact, 2);
  for (guint i = 0; i < G_N_ELEMENTS (topics); i++)
    {
      g_assert_cmpuint (count_of (one, topics[i]), ==, i == 2 || i == 3 ? 2 : 0);
      g_assert_cmpuint (count_of (rest, topics[i]), ==, i < 5 ? 2 : 0);
      g_assert_cmpuint (count_of (exact, topics[i]), ==, i == 2 ? 2 : 0);
      g_object_unref (publishers[i]);
    }
  listener_free (one);
  listener_free (rest);
  listener_free (exact);
  leave (mesh);
}

/* --- history --- */

static void
late_joiner (MeshFixture *fixture, gconstpointer transport)
{
  ServiceChild *child;
  g_autoptr (CommySubscribeOptions) options = wishes (COMMY_SLOW_BLOCK, 8, 3);
  Listener *listener;
  CommyMesh *mesh;

  mesh_fixture_make_credentials (fixture);
  child = service_child_start (fixture, NULL, 0);
  mesh = join_over (fixture, transport);
  TELL (mesh, child, "Publish", "(suuu)", "sensors.temp", 20, 1, 5);
  listener = listener_new (mesh, "sensors.*", options);
  listener_await (listener, 3);
  g_assert_cmpint (listener->first, ==, 18);
  for (gint32 i = 0; i < 10; i++)
    TELL (mesh, child, "Publish", "(suuu)", "sensors.temp", 5, 21 + 5 * i, 5);
  listener_await (listener, 53);
  g_assert_cmpuint (listener->received, ==, 53);
  g_assert_cmpuint (listener->history, ==, 3);
  g_assert_cmpuint (listener->wrong, ==, 0);
  g_assert_cmpint (listener->newest, ==, 70);
  listener_free (listener);
  leave (mesh);
  service_child_free (child);
}

/* As many as the limits allow, though more are wanted. */
static void
history_limits (MeshFixture *fixture, gconstpointer data)
{
  CommyMesh *mesh = mesh_fixture_join (fixture, "[limits]\ntopic-history=4\n");
  g_autoptr (CommySubscribeOptions) options = wishes (COMMY_SLOW_BLOCK, G_MAXUINT, G_MAXUINT);
  CommyPublisher *publisher = publisher_new (mesh, "t", G_MAXUINT);
  Listener *listener;

  publish (publisher, 1, 100);
  listener = listener_new (mesh, "t", options);
  listener_await (listener, 4);
  publish (publisher, 101, 1);
  listener_await (listener, 5);
  g_assert_cmpint (listener->first, ==, 97);
  g_assert_cmpuint (listener->wrong, ==, 0);
  listener_free (listener);
  g_object_unref (publisher);
  leave (mesh);
}

static void
history_bytes (MeshFixture *fixture, gconstpointer data)
{
  CommyMesh *mesh = mesh_fixture_join (fixture, "[limits]\ntopic-memory=64KiB\n");
  g_autoptr (CommySubscribeOptions) options = wishes (COMMY_SLOW_BLOCK, 100, 100);
  CommyPublisher *publisher = publisher_new (mesh, "t", 100);
  g_autofree guint8 *zeros = g_malloc0 (70000);
  g_autoptr (GBytes) big = g_bytes_new_static (zeros, 30000);
  g_autoptr (GBytes) huge = g_bytes_new_static (zeros, 70000);
  Listener *listener;

  for (guint i = 0; i < 5; i++)
    g_assert_true (commy_publisher_publish_bytes (publisher, big, NULL));
  listener = listener_new (mesh, "t", options);
  listener_await (listener, 2);
  /* One that never fits leaves nothing behind: there are no gaps in a history. */
  g_assert_true (commy_publisher_publish_bytes (publisher, huge, NULL));
  listener_await (listener, 3);
  g_assert_cmpuint (listener->history, ==, 2);
  listener_free (listener);
  await_subscribers (publisher, 0);
  listener = listener_new (mesh, "t", options);
  await_subscribers (publisher, 1);
  g_assert_true (commy_publisher_publish_bytes (publisher, big, NULL));
  listener_await (listener, 1);
  g_assert_cmpuint (listener->history, ==, 0);
  listener_free (listener);
  g_object_unref (publisher);
  leave (mesh);
}

/* --- many --- */

static void
two_publishers (MeshFixture *fixture, gconstpointer data)
{
  CommyMesh *mesh = mesh_fixture_join (fixture, NULL);
  g_autoptr (CommySubscribeOptions) options = wishes (COMMY_SLOW_BLOCK, 8, 100);
  ServiceChild *child = service_child_start (fixture, NULL, 0);
  CommyPublisher *publisher = publisher_new (mesh, "t", 100);
  Listener *listener = listener_new (mesh, "t", options);

  TELL (mesh, child, "Publish", "(suuu)", "t", 50, 1, 100);
  publish (publisher, 1, 50);
  listener_await (listener, 100);
  TELL (mesh, child, "Publish", "(suuu)", "t", 50, 51, 100);
  publish (publisher, 51, 50);
  listener_await (listener, 200);
  g_assert_cmpuint (listener->added, ==, 2);
  g_assert_cmpuint (listener->wrong, ==, 0);
  g_assert_cmpuint (listener->lost, ==, 0);
  g_object_unref (publisher);
  listener_free (listener);
  leave (mesh);
  service_child_free (child);
}

/* One buffer for all: whatever each of them gets, the sums are right. */
static void
many_subscribers (MeshFixture *fixture, gconstpointer data)
{
  CommyMesh *mesh = mesh_fixture_join (fixture, NULL);
  g_autoptr (CommySubscribeOptions) options = wishes (COMMY_SLOW_BLOCK, 1000, 0);
  ServiceChild *children[3];
  CommyPublisher *publisher = publisher_new (mesh, "t", 0);
  Listener *listeners[5];

  for (guint i = 0; i < G_N_ELEMENTS (children); i++)
    {
      children[i] = service_child_start (fixture, NULL, 0);
      TELL (mesh, children[i], "Follow", "(suuu)", "t", COMMY_SLOW_BLOCK, 1000, 0);
    }
  for (guint i = 0; i < G_N_ELEMENTS (listeners); i++)
    listeners[i] = listener_new (mesh, "**", options);
  await_subscribers (publisher, 8);
  publish (publisher, 1, 500);
  g_assert_true (commy_publisher_drain_sync (publisher, 30 * G_USEC_PER_SEC, NULL));
  for (guint i = 0; i < G_N_ELEMENTS (children); i++)
    {
      g_autoptr (GVariant) seen = tell (mesh, children[i], "Await", g_variant_new ("(t)", 500));
      guint64 received, lost, wrong;

      g_variant_get (seen, "(tttiis)", &received, &lost, &wrong, NULL, NULL, NULL);
      g_assert_cmpuint (received, ==, 500);
      g_assert_cmpuint (lost + wrong, ==, 0);
    }
  for (guint i = 0; i < G_N_ELEMENTS (listeners); i++)
    {
      listener_await (listeners[i], 500);
      g_assert_cmpuint (listeners[i]->received, ==, 500);
      g_assert_cmpuint (listeners[i]->wrong, ==, 0);
      listener_free (listeners[i]);
    }
  g_assert_cmpuint (commy_publisher_get_dropped (publisher), ==, 0);
  g_object_unref (publisher);
  leave (mesh);
  for (guint i = 0; i < G_N_ELEMENTS (children); i++)
    service_child_free (children[i]);
}

/* --- the slow --- */

#define FLOOD 20000

typedef struct
{
  const char *transport;
  CommySlowPolicy policy;
} SlowCase;

static guint64
lookup_count (GVariant *record, const char *key)
{
  guint64 count = 0;

  g_assert_true (g_variant_lookup (record, key, "t", &count));
  return count;
}

/* offered = sent + dropped (reason) + waiting, for the only subscriber. */
static void
check_sum (CommyPublisher *publisher, guint64 published, const char *only_reason)
{
  g_autoptr (GVariant) list = commy_publisher_list_subscribers (publisher);
  g_autoptr (GVariant) record = NULL;
  g_autoptr (GVariant) reasons = NULL;
  guint64 dropped, of_reason = 0;
  guint32 waiting;

  g_assert_cmpuint (g_variant_n_children (list), ==, 1);
  record = g_variant_get_child_value (list, 0);
  dropped = lookup_count (record, "dropped");
  g_assert_true (g_variant_lookup (record, "waiting", "u", &waiting));
  g_assert_cmpuint (lookup_count (record, "offered"), ==, published);
  g_assert_cmpuint (lookup_count (record, "sent") + dropped + waiting, ==, published);
  g_assert_cmpuint (commy_publisher_get_dropped (publisher), ==, dropped);
  reasons = g_variant_lookup_value (record, "reasons", G_VARIANT_TYPE ("a{st}"));
  g_variant_lookup (reasons, only_reason, "t", &of_reason);
  g_assert_cmpuint (of_reason, ==, dropped);
  g_assert_cmpuint (dropped, >, 0);
}

/* A stopped process holds nobody up, is told what it has missed, and sees the newest. */
static void
stopped_subscriber (MeshFixture *fixture, gconstpointer data)
{
  const SlowCase *slow = data;
  g_autofree char *settings = g_strdup_printf ("[limits]\npublish-timeout=20ms\n[selection]\n"
                                               "preference=pin\ntransports=%s\n",
                                               slow->transport);
  g_autoptr (GVariant) seen = NULL;
  guint64 received, lost, wrong;
  const char *reason;
  gint32 newest;
  gint code;
  ServiceChild *child;
  CommyMesh *mesh;
  CommyPublisher *publisher;

  mesh_fixture_make_credentials (fixture);
  child = service_child_start (fixture, settings, 0);
  mesh = mesh_fixture_join (fixture, settings);
  publisher = publisher_new (mesh, "t", 0);
  TELL (mesh, child, "Follow", "(suuu)", "t", slow->policy, 16, 0);
  await_subscribers (publisher, 1);
  publish (publisher, 1, 1);
  kill (child->pid, SIGSTOP);
  publish (publisher, 2, FLOOD - 1);
  if (slow->policy == COMMY_SLOW_ERROR)
    await_subscribers (publisher, 0);
  else
    check_sum (publisher, FLOOD, slow->policy == COMMY_SLOW_BLOCK ? "deadline" : "busy");
  kill (child->pid, SIGCONT);
  if (slow->policy != COMMY_SLOW_ERROR)
    {
      /* What waits is sent as it reads on; the next one tells of the last gap. */
      g_assert_true (commy_publisher_drain_sync (publisher, 30 * G_USEC_PER_SEC, NULL));
      publish (publisher, FLOOD + 1, 1);
    }
  else
    {
      guint64 got = FLOOD;

      /* Sixteen that waited and the one that was too many; then it had no subscriber any more. */
      g_assert_cmpuint (commy_publisher_get_dropped (publisher), ==, 17);
      seen = tell (mesh, child, "AwaitEnd", g_variant_new ("(t)", 1));
      g_variant_get (seen, "(tttii&s)", &got, &lost, &wrong, &newest, &code, &reason);
      g_assert_cmpint (code, ==, COMMY_ERROR_BUSY);
      g_assert_cmpuint (got, <, FLOOD);
      g_assert_cmpuint (lost + wrong, ==, 0);
      g_assert_cmpint (newest, ==, (gint32) got);
      g_object_unref (publisher);
      leave (mesh);
      service_child_free (child);
      return;
    }
  g_assert_true (commy_publisher_drain_sync (publisher, 30 * G_USEC_PER_SEC, NULL));
  seen = tell (mesh, child, "Await", g_variant_new ("(t)", FLOOD + 1));
  g_variant_get (seen, "(tttii&s)", &received, &lost, &wrong, &newest, &code, &reason);
  g_assert_cmpuint (received + lost, ==, FLOOD + 1);
  g_assert_cmpuint (wrong, ==, 0);
  g_assert_cmpint (newest, ==, FLOOD + 1);
  g_assert_cmpuint (lost, >=, commy_publisher_get_dropped (publisher));
  if (slow->policy != COMMY_SLOW_LATEST)
    g_assert_cmpuint (lost, ==, commy_publisher_get_dropped (publisher));
  g_assert_cmpstr (reason, ==, slow->policy == COMMY_SLOW_BLOCK ? "deadline" : "busy");
  g_object_unref (publisher);
  leave (mesh);
  service_child_free (child);
}

static void
add_over_transports (void)
{
  static const char *const transports[] = { "shm", "unix", "tls" };
  static const char *const policies[] = { "", "block", "drop-oldest", "latest", "error" };
  static SlowCase cases[12]; /* lint: allow-static they outlive this function */
  guint n = 0;

  for (guint i = 0; i < G_N_ELEMENTS (transports); i++)
    {
      g_autofree char *path = g_strdup_printf (
          "/topics/history/a-late-joiner-gets-the-last-and-all-that-follow/%s", transports[i]);

      g_test_add (path, MeshFixture, transports[i], mesh_fixture_set_up, late_joiner,
                  mesh_fixture_tear_down);
      for (guint policy = COMMY_SLOW_BLOCK; policy <= COMMY_SLOW_ERROR; policy++)
        {
          g_autofree char *name
              = g_strdup_printf ("/topics/slow/a-stopped-subscriber-holds-nobody-up/%s/%s",
                                 policies[policy], transports[i]);

          cases[n].transport = transports[i];
          cases[n].policy = policy;
          g_test_add (name, MeshFixture, &cases[n++], mesh_fixture_set_up, stopped_subscriber,
                      mesh_fixture_tear_down);
        }
    }
}

int
main (int argc, char **argv)
{
  int status;

  if (service_child_main_with (argc, argv, puppet_extend, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/topics/a-subscriber-that-was-first-gets-everything", MeshFixture, NULL,
              mesh_fixture_set_up, subscriber_first, mesh_fixture_tear_down);
  g_test_add ("/topics/patterns-follow-the-topics-that-match", MeshFixture, NULL,
              mesh_fixture_set_up, wildcards, mesh_fixture_tear_down);
  g_test_add ("/topics/history/as-much-as-the-limit-allows", MeshFixture, NULL, mesh_fixture_set_up,
              history_limits, mesh_fixture_tear_down);
  g_test_add ("/topics/history/no-more-bytes-than-the-limit", MeshFixture, NULL,
              mesh_fixture_set_up, history_bytes, mesh_fixture_tear_down);
  g_test_add ("/topics/two-publishers-of-one-topic", MeshFixture, NULL, mesh_fixture_set_up,
              two_publishers, mesh_fixture_tear_down);
  g_test_add ("/topics/eight-subscribers-get-everything", MeshFixture, NULL, mesh_fixture_set_up,
              many_subscribers, mesh_fixture_tear_down);
  add_over_transports ();
  return g_test_run ();
}
