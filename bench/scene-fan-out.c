/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One publisher and several subscribers, each a process of its own that reads every byte. What the
 * publisher's thread spends on a publication that finds all of them asleep, in processor time, and
 * apart from that what it spends to wake them; and how many go through where nobody waits.
 */
#include "config.h"

#include "node.h"
#include "process.h"

#include <glib-unix.h>
#include <time.h>

#define TOPIC "bench.fan-out"
#define SIZE ((gsize) 1 << 20)
#define PAUSE_US 2000
#define SETTINGS "[policy topics]\nprincipals=*\ntopics=*\nverbs=subscribe;publish\neffect=allow\n"

/* --- a subscriber --- */

typedef struct
{
  guint64 n, sum;
} Read;

static void
on_publication (CommySubscription *subscription, CommyPublication *publication, gpointer data)
{
  Read *read = data;
  gsize size;
  const guint8 *bytes = g_bytes_get_data (commy_publication_get_bytes (publication), &size);

  read->n++;
  read->sum += bench_sum (bytes, size);
}

/* Asked with a byte, it says how many came; it ends with the pipe. */
static gboolean
on_asked (int fd, GIOCondition condition, gpointer data)
{
  gpointer *loop_and_read = data;
  char byte;

  if (bench_node_receive (fd, &byte, 1) && bench_node_send (fd, loop_and_read[1], sizeof (Read)))
    return G_SOURCE_CONTINUE;
  g_main_loop_quit (loop_and_read[0]);
  return G_SOURCE_REMOVE;
}

gboolean
bench_role_subscribe (const char *keyfile, const char *argument, GError **error)
{
  g_autoptr (CommyMesh) mesh = bench_join (keyfile, error);
  g_autoptr (CommySubscribeOptions) options = commy_subscribe_options_new ();
  g_autoptr (CommySubscription) subscription = NULL;
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  Read read = { 0 };
  gpointer loop_and_read[] = { loop, &read };

  if (mesh == NULL)
    return FALSE;
  commy_subscribe_options_set_policy (options, COMMY_SLOW_BLOCK, 1);
  subscription = commy_mesh_subscribe (mesh, TOPIC, options, on_publication, &read, NULL, error);
  if (subscription != NULL)
    {
      g_unix_fd_add (BENCH_NODE_FD, G_IO_IN | G_IO_HUP, on_asked, loop_and_read);
      bench_node_say_ready ();
      g_main_loop_run (loop);
      commy_subscription_close (subscription);
    }
  commy_mesh_leave_sync (mesh, NULL, NULL);
  return subscription != NULL;
}

/* --- the publisher --- */

typedef struct
{
  BenchNode *nodes;
  guint n_nodes;
  CommyPublisher *publisher;
} Fan;

/* What the thread spent on publications that find their subscribers asleep. */
typedef struct
{
  BenchHistogram *publishing; /* writing it, and a message to each */
  BenchHistogram *waking;
  double sum_ns; /* of the first */
} Spent;

static gint64
thread_cpu (void)
{
  struct timespec time;

  clock_gettime (CLOCK_THREAD_CPUTIME_ID, &time);
  return (gint64) time.tv_sec * 1000000000 + time.tv_nsec;
}

/* @spent: NULL: it is not asked for. */
static gboolean
publish_one (const Fan *fan, guint8 value, Spent *spent, GError **error)
{
  gint64 begun = thread_cpu ();
  gint64 written;
  CommySpan span;

  if (!commy_publisher_reserve (fan->publisher, SIZE, &span, error))
    return FALSE;
  span.size = SIZE;
  bench_fill (span.data, SIZE, value);
  if (!commy_publisher_commit (fan->publisher, &span, error))
    return FALSE;
  written = thread_cpu ();
  commy_publisher_flush (fan->publisher);
  if (spent == NULL)
    return TRUE;
  bench_histogram_add (spent->publishing, written - begun);
  bench_histogram_add (spent->waking, thread_cpu () - written);
  spent->sum_ns += (double) (written - begun);
  return TRUE;
}

/* With time for all to read it and to fall asleep. */
static gboolean
publish_slowly (const Fan *fan, guint64 n, Spent *spent, GError **error)
{
  for (guint64 i = 0; i < n; i++)
    {
      g_usleep (PAUSE_US);
      if (!publish_one (fan, (guint8) i, spent, error))
        return FALSE;
    }
  return commy_publisher_drain_sync (fan->publisher, 10 * G_USEC_PER_SEC, error);
}

/* As many as all of them read. */
static gboolean
publish_fast (const Fan *fan, gint64 budget, double *out_rate, GError **error)
{
  gint64 start = bench_now ();
  gint64 until = start + budget;
  guint64 n = 0;

  do
    if (!publish_one (fan, (guint8) n++, NULL, error))
      return FALSE;
  while (bench_now () < until);
  if (!commy_publisher_drain_sync (fan->publisher, 10 * G_USEC_PER_SEC, error))
    return FALSE;
  *out_rate = (double) n * 1e9 / (double) (bench_now () - start);
  return TRUE;
}

/* What was published has arrived, everywhere. */
static gboolean
check_arrived (const Fan *fan, GError **error)
{
  guint64 published = commy_publisher_get_published (fan->publisher);
  gint64 until = bench_now () + 10 * G_GINT64_CONSTANT (1000000000);

  for (guint i = 0; i < fan->n_nodes; i++)
    {
      Read read = { 0 };

      while (read.n < published)
        if (bench_now () > until || !bench_node_send (fan->nodes[i].fd, "?", 1)
            || !bench_node_receive (fan->nodes[i].fd, &read, sizeof read))
          return bench_fail (error,
                             "%" G_GUINT64_FORMAT " publications of %" G_GUINT64_FORMAT " arrived",
                             read.n, published);
    }
  return TRUE;
}

static guint64
count_wakes (const Fan *fan)
{
  guint64 sum = 0;

  for (guint i = 0; i < fan->n_nodes; i++)
    sum += bench_process_get_wakes (fan->nodes[i].pid);
  return sum;
}

static gboolean
measure (BenchRun *run, const BenchScene *scene, const Fan *fan, GError **error)
{
  g_autoptr (BenchHistogram) publishing = bench_histogram_new ();
  g_autoptr (BenchHistogram) waking = bench_histogram_new ();
  Spent spent = { publishing, waking, 0 };
  guint64 n = (guint64) MAX (bench_get_budget (run) / 1000 / PAUSE_US, 3);
  guint64 wakes;
  char id[BENCH_ID_MAX];
  double rate;

  bench_placement_check (run);
  if (!publish_slowly (fan, n / 8 + 1, NULL, error))
    return FALSE;
  wakes = count_wakes (fan);
  if (!publish_slowly (fan, n, &spent, error))
    return FALSE;
  wakes = count_wakes (fan) - wakes;
  if (!publish_fast (fan, bench_get_budget (run) / 2, &rate, error) || !check_arrived (fan, error))
    return FALSE;
  bench_id (id, scene, "%" G_GSIZE_FORMAT, SIZE);
  bench_tell_times (run, id, SIZE, publishing, spent.sum_ns / (double) n, -1);
  bench_id (id, scene, "waking");
  bench_tell_times (run, id, SIZE, waking, -1, -1);
  bench_id (id, scene, "wake-ups");
  bench_tell (run, id, BENCH_COUNT, SIZE, n, (double) wakes / (double) n);
  bench_id (id, scene, "rate");
  bench_tell (run, id, BENCH_RATE, SIZE, n, rate);
  return TRUE;
}

static gboolean
gather (BenchRun *run, const BenchScene *scene, Fan *fan, GError **error)
{
  g_autofree char *theirs = bench_keyfile (run, scene->wait, scene->transport, SETTINGS);

  for (guint i = 0; i < scene->number; i++)
    {
      if (!bench_node_start (run, "subscribe", theirs, "", bench_cpu_of (run, scene->pins, 1),
                             &fan->nodes[i], error))
        return FALSE;
      fan->n_nodes++;
      if (!bench_node_wait (&fan->nodes[i], error))
        return FALSE;
    }
  while (commy_publisher_get_subscribers (fan->publisher) < scene->number)
    g_main_context_iteration (NULL, TRUE);
  return TRUE;
}

gboolean
scene_fan_out (BenchRun *run, const BenchScene *scene, GError **error)
{
  g_autofree char *mine = bench_keyfile (run, scene->wait, NULL, SETTINGS);
  g_autofree BenchNode *nodes = g_new0 (BenchNode, scene->number);
  g_autoptr (CommyPublisherOptions) options = commy_publisher_options_new ();
  g_autoptr (CommyMesh) mesh = NULL;
  Fan fan = { .nodes = nodes };
  gboolean ok = FALSE;

  bench_pin (bench_cpu_of (run, scene->pins, 0));
  mesh = bench_join (mine, error);
  if (mesh == NULL)
    return FALSE;
  commy_publisher_options_set_timeout (options, 10 * G_USEC_PER_SEC);
  fan.publisher = commy_publisher_new (mesh, TOPIC, options);
  if (commy_publisher_start_sync (fan.publisher, NULL, error) && gather (run, scene, &fan, error))
    ok = measure (run, scene, &fan, error);
  commy_publisher_close (fan.publisher);
  g_object_unref (fan.publisher);
  commy_mesh_leave_sync (mesh, NULL, NULL);
  for (guint i = 0; i < fan.n_nodes; i++)
    ok = bench_node_end (run, &fan.nodes[i], ok ? error : NULL) && ok;
  return ok;
}
