/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Other libraries: programs that measure themselves and say so in lines of JSON (README.md has the
 * contract). What is said is checked before it becomes a row.
 */
#include "config.h"

#include "run.h"

#include <json-glib/json-glib.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define NOT_HERE 77
#define WORD "^[a-z0-9][a-z0-9.-]{0,23}$"

/* What a peer may be asked for; a scene's number is its place here. */
static const char *const known_metrics[] = { "rtt", "stream", "async", NULL };
static const char *const known_waits[] = { "spin", "block", NULL };
static const gsize call_size[] = { 64, 0 };

/* --- asking --- */

static void
die_with_parent (gpointer data)
{
  prctl (PR_SET_PDEATHSIG, SIGKILL);
}

/* Runs @argv with @more after it. @out_text: its first line; @out_note: what it complained of. */
static gboolean
ask (char *const *argv,
     const char *const *more,
     char **out_text,
     char **out_note,
     int *out_status,
     GError **error)
{
  g_autoptr (GPtrArray) all = g_ptr_array_new ();

  for (guint i = 0; argv[i] != NULL; i++)
    g_ptr_array_add (all, argv[i]);
  for (guint i = 0; more[i] != NULL; i++)
    g_ptr_array_add (all, (gpointer) more[i]);
  g_ptr_array_add (all, NULL);
  if (!g_spawn_sync (NULL, (char **) all->pdata, NULL, G_SPAWN_SEARCH_PATH, die_with_parent, NULL,
                     out_text, out_note, out_status, error))
    return FALSE;
  g_strdelimit (g_strchomp (*out_note), "\n", ' ');
  return TRUE;
}

static JsonObject *
parse_line (const char *text, JsonNode **out_node)
{
  *out_node = json_from_string (text, NULL);
  return *out_node != NULL && JSON_NODE_HOLDS_OBJECT (*out_node) ? json_node_get_object (*out_node)
                                                                 : NULL;
}

static const char *
get_text (JsonObject *object, const char *key)
{
  JsonNode *node = json_object_get_member (object, key);

  return node != NULL && JSON_NODE_HOLDS_VALUE (node)
                 && json_node_get_value_type (node) == G_TYPE_STRING
             ? json_node_get_string (node)
             : NULL;
}

/* Negative: it is not there or no number. */
static double
get_number (JsonObject *object, const char *key)
{
  JsonNode *node = json_object_get_member (object, key);

  return node != NULL && JSON_NODE_HOLDS_VALUE (node)
                 && json_node_get_value_type (node) != G_TYPE_STRING
             ? json_node_get_double (node)
             : -1;
}

/* Words of the list @key, those that may be part of a name. */
static char **
get_words (JsonObject *object, const char *key)
{
  g_autoptr (GPtrArray) words = g_ptr_array_new ();
  JsonNode *node = json_object_get_member (object, key);
  JsonArray *array
      = node != NULL && JSON_NODE_HOLDS_ARRAY (node) ? json_node_get_array (node) : NULL;

  for (guint i = 0; array != NULL && i < json_array_get_length (array); i++)
    {
      JsonNode *element = json_array_get_element (array, i);
      const char *word = JSON_NODE_HOLDS_VALUE (element) ? json_node_get_string (element) : NULL;

      if (word != NULL && g_regex_match_simple (WORD, word, 0, 0))
        g_ptr_array_add (words, g_strdup (word));
    }
  g_ptr_array_add (words, NULL);
  return (char **) g_ptr_array_steal (words, NULL);
}

/* --- what there is --- */

static void
free_scene (gpointer data)
{
  BenchScene *scene = data;

  g_free ((char *) scene->name);
  g_free ((char *) scene->what);
  g_free ((char *) scene->transport);
  g_free ((char *) scene->wait);
  g_free (scene);
}

static void
free_peer (gpointer data)
{
  BenchPeer *peer = data;

  g_free (peer->info.name);
  g_free (peer->info.version);
  g_free (peer->info.note);
  g_strfreev (peer->argv);
  g_ptr_array_unref (peer->scenes);
  g_free (peer);
}

/* Of a known metric; not the caller's words, which do not stay. */
static const char *
group_of (guint metric, const char *wait)
{
  if (strcmp (known_metrics[metric], "rtt") != 0)
    return known_metrics[metric];
  return strcmp (wait, "spin") == 0 ? "spin" : "block";
}

static void
add_scene (BenchPeer *peer, const char *metric, const char *transport, const char *wait)
{
  BenchScene *scene = g_new0 (BenchScene, 1);

  scene->name = g_strdup_printf ("peer/%s/%s/%s/%s", peer->info.name, metric, transport, wait);
  scene->what = g_strdup_printf ("%s %s", peer->info.name, peer->info.version);
  scene->measure = scene_peer;
  scene->transport = g_strdup (transport);
  scene->wait = g_strdup (wait);
  scene->pins = BENCH_PINS_TWO;
  scene->extra = (const char *) peer;
  while (strcmp (known_metrics[scene->number], metric) != 0)
    scene->number++;
  scene->group = group_of (scene->number, wait);
  g_ptr_array_add (peer->scenes, scene);
}

static void
take_description (BenchPeer *peer, JsonObject *object)
{
  g_auto (GStrv) transports = get_words (object, "transports");
  g_auto (GStrv) metrics = get_words (object, "metrics");
  g_auto (GStrv) waits = get_words (object, "waits");
  const char *version = get_text (object, "version");

  peer->info.version = g_strdup (version != NULL ? version : "?");
  for (guint m = 0; metrics[m] != NULL; m++)
    for (guint t = 0; transports[t] != NULL; t++)
      for (guint w = 0; waits[w] != NULL; w++)
        if (g_strv_contains (known_metrics, metrics[m]) && g_strv_contains (known_waits, waits[w]))
          add_scene (peer, metrics[m], transports[t], waits[w]);
}

/* Takes @argv. */
static BenchPeer *
describe (const char *name, char **argv)
{
  const char *const more[] = { "--describe", NULL };
  BenchPeer *peer = g_new0 (BenchPeer, 1);
  g_autofree char *text = NULL;
  g_autofree char *note = NULL;
  g_autoptr (JsonNode) node = NULL;
  g_autoptr (GError) error = NULL;
  JsonObject *object;
  int status;

  peer->info.name = g_strdup (name);
  peer->argv = argv;
  peer->scenes = g_ptr_array_new_with_free_func (free_scene);
  if (!g_regex_match_simple (WORD, name, 0, 0))
    peer->info.note = g_strdup ("its name must be of small letters, digits, dots and dashes");
  else if (!ask (argv, more, &text, &note, &status, &error))
    peer->info.note = g_strdup (error->message);
  else if ((object = parse_line (text, &node)) == NULL)
    peer->info.note = g_strdup (note[0] != '\0' ? note : "--describe gave no JSON object");
  else
    take_description (peer, object);
  return peer;
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp ((*(BenchPeer *const *) a)->info.name, (*(BenchPeer *const *) b)->info.name);
}

static void
find_in_folder (GPtrArray *peers, const char *path)
{
  g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *file = g_build_filename (path, name, NULL);
      char **argv;

      if (!g_file_test (file, G_FILE_TEST_IS_REGULAR)
          || !g_file_test (file, G_FILE_TEST_IS_EXECUTABLE))
        continue;
      argv = g_new0 (char *, 2);
      argv[0] = g_steal_pointer (&file);
      g_ptr_array_add (peers, describe (name, argv));
    }
}

static void
find_commands (GPtrArray *peers, char *const *commands)
{
  for (guint i = 0; commands != NULL && commands[i] != NULL; i++)
    {
      const char *equals = strchr (commands[i], '=');
      g_autofree char *name = NULL;
      char **argv = NULL;

      if (equals == NULL || !g_shell_parse_argv (equals + 1, NULL, &argv, NULL))
        {
          g_printerr ("commy-bench: --peer-command %s: not NAME=COMMAND\n", commands[i]);
          continue;
        }
      name = g_strndup (commands[i], (gsize) (equals - commands[i]));
      g_ptr_array_add (peers, describe (name, argv));
    }
}

GPtrArray *
bench_peers_find (const char *dir, char *const *commands)
{
  GPtrArray *peers = g_ptr_array_new_with_free_func (free_peer);

  find_in_folder (peers, dir);
  g_ptr_array_sort (peers, compare_names);
  find_commands (peers, commands);
  return peers;
}

/* --- measuring one --- */

/* FALSE: the line does not say what was asked for. */
static gboolean
take_answer (
    BenchRun *run, const BenchScene *scene, gsize size, JsonObject *object, gboolean *out_touched)
{
  gboolean rate = scene->number != 0;
  BenchSample sample = { .unit = rate ? BENCH_RATE : BENCH_TIME,
                         .size = size,
                         .caller_cpu = -1,
                         .service_cpu = -1,
                         .ref_ns = run->ref_ns };
  double n = get_number (object, "n");

  *out_touched = json_object_get_boolean_member_with_default (object, "touched", TRUE);
  sample.value = get_number (object, rate ? "messages_per_s" : "p50_ns");
  sample.p99 = rate ? 0 : get_number (object, "p99_ns");
  sample.n = n > 0 ? (guint64) n : 0;
  if (sample.value <= 0 || sample.p99 < 0 || n <= 0)
    return FALSE;
  bench_id (sample.id, scene, "%s/%" G_GSIZE_FORMAT, *out_touched ? "touched" : "untouched", size);
  bench_tell_sample (run, &sample);
  return TRUE;
}

static void
measure_size (
    BenchRun *run, const BenchScene *scene, gsize size, gboolean touch, gboolean *out_touched)
{
  const BenchPeer *peer = (gconstpointer) scene->extra;
  g_autofree char *size_text = g_strdup_printf ("%" G_GSIZE_FORMAT, size);
  g_autofree char *cpus = g_strdup_printf ("%d,%d", run->cpus[0], run->cpus[1]);
  g_autofree char *seconds
      = g_strdup_printf ("%.3f", MAX ((double) bench_get_budget (run) / 1e9, 0.01));
  const char *const more[] = { known_metrics[scene->number],
                               "--transport",
                               scene->transport,
                               "--wait",
                               scene->wait,
                               "--size",
                               size_text,
                               "--seconds",
                               seconds,
                               "--cpus",
                               cpus,
                               touch ? "--touch" : NULL,
                               NULL };
  g_autofree char *text = NULL;
  g_autofree char *note = NULL;
  g_autoptr (JsonNode) node = NULL;
  g_autoptr (GError) error = NULL;
  JsonObject *object;
  char id[BENCH_ID_MAX];
  int status;

  *out_touched = TRUE;
  bench_id (id, scene, "%s/%" G_GSIZE_FORMAT, touch ? "touched" : "untouched", size);
  bench_placement_check (run);
  if (!ask (peer->argv, more, &text, &note, &status, &error))
    bench_tell_missing (run, id, "%s", error->message);
  else if (WIFEXITED (status) && WEXITSTATUS (status) == NOT_HERE)
    bench_tell_missing (run, id, "%s", note);
  else if (status != 0 || (object = parse_line (text, &node)) == NULL
           || !take_answer (run, scene, size, object, out_touched))
    bench_tell_missing (run, id, "it gave no figure: %s", note[0] != '\0' ? note : text);
}

/* Untouched only where that tells something: the smallest, and one that is large. */
static gboolean
is_worth_untouched (gsize size)
{
  return size <= 64 || size == 1 << 20;
}

static const gsize *
sizes_of (const BenchRun *run, const BenchScene *scene)
{
  if (strcmp (known_metrics[scene->number], "async") == 0)
    return call_size;
  return strcmp (known_metrics[scene->number], "rtt") == 0 ? bench_get_round_trip_sizes (run)
                                                           : bench_get_stream_sizes (run);
}

gboolean
scene_peer (BenchRun *run, const BenchScene *scene, GError **error)
{
  const gsize *sizes = sizes_of (run, scene);

  for (gsize i = 0; sizes[i] != 0; i++)
    {
      gboolean touched = FALSE;

      if (run->length == BENCH_QUICK && !is_worth_untouched (sizes[i]) && sizes[i] != 64 << 10)
        continue;
      if (is_worth_untouched (sizes[i]))
        measure_size (run, scene, sizes[i], FALSE, &touched);
      if (!touched && sizes != call_size)
        measure_size (run, scene, sizes[i], TRUE, &touched);
    }
  return TRUE;
}
