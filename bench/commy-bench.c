/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * commy-bench: measures what this machine can do at best, what calls through the public API take
 * and what other libraries do, in one run, so that their ratios mean something. Options, a private
 * place for everything that is written, and telling what came out.
 */
#include "config.h"

#include "node.h"
#include "run.h"

#include <glib/gstdio.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#ifdef WITH_TLS
#include "auth/common/commy-pki.h"
#endif

#define ROUNDS_MAX 99

/* --- a place of its own --- */

static void
remove_tree (const char *path)
{
  if (g_file_test (path, G_FILE_TEST_IS_DIR) && !g_file_test (path, G_FILE_TEST_IS_SYMLINK))
    {
      g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
      const char *name;

      while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
        {
          g_autofree char *child = g_build_filename (path, name, NULL);

          remove_tree (child);
        }
    }
  g_remove (path);
}

/* Nothing of the user's settings, plugins or meshes comes in. */
static gboolean
make_private (Bench *bench, GError **error)
{
  bench->dir = g_dir_make_tmp ("commy-bench-XXXXXX", error);
  if (bench->dir == NULL)
    return FALSE;
  bench->run.dir = bench->dir;
  g_setenv ("COMMY_PLUGIN_PATH", BENCH_BUILD_DIR "/modules/.libs", TRUE);
  g_setenv ("COMMY_SHIPPED_CONFIG", BENCH_SOURCE_DIR "/deploy/config/commy.conf", TRUE);
  g_setenv ("XDG_CONFIG_HOME", bench->dir, TRUE);
  g_unsetenv ("COMMY_CONFIG");
  return TRUE;
}

/* Certificates; without TLS in this build there is nothing to do. */
static gboolean
make_credentials (Bench *bench, GError **error)
{
#if defined(WITH_TLS)
  g_autofree char *dir = g_build_filename (bench->dir, "pki", NULL);
  gint64 now = g_get_real_time () / G_USEC_PER_SEC;
  g_autoptr (CommyPkiAuthority) authority = commy_pki_authority_new ("bench", now, error);
  g_autoptr (CommyPkiPair) pair = NULL;

  if (authority == NULL)
    return FALSE;
  if (g_mkdir_with_parents (dir, 0700) != 0)
    return bench_fail (error, "cannot make %s", dir);
  if (!commy_pki_authority_save (authority, dir, error))
    return FALSE;
  pair = commy_pki_issue (authority, "bench", "bench", now - 60, now + 86400, error);
  bench->run.has_tls = TRUE;
  return pair != NULL && commy_pki_pair_save (pair, authority, dir, error);
#else
  return TRUE;
#endif
}

/* The first two processors this process may use. */
static void
choose_cpus (BenchRun *run)
{
  cpu_set_t set;
  guint found = 0;

  CPU_ZERO (&set);
  sched_getaffinity (0, sizeof set, &set);
  for (int cpu = 0; cpu < CPU_SETSIZE && found < 2; cpu++)
    if (CPU_ISSET ((gsize) cpu, &set))
      run->cpus[found++] = cpu;
  run->can_spin = found == 2;
  if (found < 2)
    run->cpus[1] = run->cpus[0];
}

/* Ten thousand connections need as many descriptors. */
static void
raise_descriptor_limit (void)
{
  struct rlimit limit;

  if (getrlimit (RLIMIT_NOFILE, &limit) != 0)
    return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit (RLIMIT_NOFILE, &limit);
}

/* --- what is told of the run --- */

static char *
dup_cpu_model (void)
{
  g_autofree char *text = NULL;
  const char *line;

  if (g_file_get_contents ("/proc/cpuinfo", &text, NULL, NULL)
      && (line = strstr (text, "model name")) != NULL && (line = strchr (line, ':')) != NULL)
    {
      g_autofree char *model = g_strndup (line + 1, strcspn (line + 1, "\n"));

      return g_str_to_ascii (g_strstrip (model), "C");
    }
  return g_strdup ("unknown processor");
}

static const char *
get_length_name (BenchLength length)
{
  switch (length)
    {
    case BENCH_FULL:
      return "full";
    case BENCH_QUICK:
      return "quick";
    case BENCH_SMOKE:
    default:
      return "smoke: no figure means anything";
    }
}

static void
gather_facts (BenchFacts *facts, const Bench *bench, const char *command)
{
  g_autoptr (GDateTime) now = g_date_time_new_now_utc ();
  struct utsname kernel;

  uname (&kernel);
  facts->processor = dup_cpu_model ();
  facts->kernel = g_strdup_printf ("%s %s %s", kernel.sysname, kernel.release, kernel.machine);
  facts->processors = g_get_num_processors ();
  facts->date = g_date_time_format (now, "%Y-%m-%d %H:%M UTC");
  facts->command = g_strdup (command);
  facts->version = g_strdup (PACKAGE_VERSION);
  facts->rounds = bench->options.rounds;
  facts->length = get_length_name (bench->options.length);
  facts->peers = g_ptr_array_new ();
  for (guint i = 0; i < bench->peers->len; i++)
    g_ptr_array_add (facts->peers, &((BenchPeer *) bench->peers->pdata[i])->info);
}

static void
clear_facts (BenchFacts *facts)
{
  g_free (facts->processor);
  g_free (facts->kernel);
  g_free (facts->date);
  g_free (facts->command);
  g_free (facts->version);
  g_ptr_array_unref (facts->peers);
}

static gboolean
tell (const Bench *bench, const BenchFacts *facts, GError **error)
{
  g_autoptr (GPtrArray) goals = bench_goals_judge (bench->rows);

  if (bench->options.json)
    {
      g_autofree char *json = bench_json_write (facts, bench->rows, goals);

      g_print ("%s\n", json);
    }
  else if (bench->options.length != BENCH_SMOKE)
    bench_table_print_goals (goals, bench->colour);
  if (bench->options.report[0] == '\0')
    return TRUE;
  if (!bench_page_write (bench->options.report, BENCH_SOURCE_DIR "/bench/report.css", facts,
                         bench->rows, goals, error))
    return FALSE;
  if (!bench->options.json)
    g_print ("page: %s\n", bench->options.report);
  return TRUE;
}

/* --- running --- */

static void
choose_scenes (Bench *bench)
{
  bench->peers = bench_peers_find (bench->options.peers_dir, bench->options.peer_commands);
  bench->scenes = bench_scenes_list (bench->peers);
  for (guint i = bench->scenes->len; i-- > 0;)
    {
      const BenchScene *scene = bench->scenes->pdata[i];

      if (!bench_scene_is_wanted (scene, bench->options.only)
          || (g_strcmp0 (scene->transport, "tls") == 0 && !bench->run.has_tls))
        g_ptr_array_remove_index (bench->scenes, i);
    }
}

static void
list_scenes (const Bench *bench)
{
  for (guint i = 0; i < bench->scenes->len; i++)
    {
      const BenchScene *scene = bench->scenes->pdata[i];

      g_print ("%-32s %-8s %s\n", scene->name, scene->group, scene->what);
    }
}

static gboolean
run (Bench *bench, const char *command, GError **error)
{
  BenchFacts facts = { 0 };
  gint64 start = bench_now ();
  gboolean ok;

  choose_cpus (&bench->run);
  raise_descriptor_limit ();
  if (!make_private (bench, error) || !make_credentials (bench, error))
    return FALSE;
  choose_scenes (bench);
  if (bench->options.list)
    {
      list_scenes (bench);
      return TRUE;
    }
  if (bench->scenes->len == 0)
    return bench_fail (error, "no scenario is called so; --list names them all");
  gather_facts (&facts, bench, command);
  if (!bench->options.json)
    {
      bench_table_print_head (&facts, bench->colour);
      fflush (stdout);
    }
  bench_run_all (bench);
  facts.took_ns = bench_now () - start;
  ok = tell (bench, &facts, error);
  clear_facts (&facts);
  return ok
         && (!bench->failed || bench_fail (error, "not everything could be measured; see above"));
}

/* --- options --- */

static const char summary[] = "Measures calls, streams and what surrounds them beside the bare "
                              "mechanisms of this machine and\n"
                              "beside other libraries, in turns, and says which goals are met. A "
                              "full run takes about twenty\n"
                              "minutes and wants a quiet machine with two processors or more.";
static const char examples[]
    = "Examples:\n"
      "  commy-bench --quick                          a first look, in about two minutes\n"
      "  commy-bench --only 'limit/spin' --only 'rtt/shm/spin'\n"
      "                                               one figure beside its limit\n"
      "  commy-bench --only 'stream/*' --only limit/stream --rounds 9\n"
      "  commy-bench -o json >before.json             for a program\n"
      "  commy-bench --peer-command aeron='/opt/aeron-peer --term 1m'\n"
      "\n"
      "bench/README.md says what is measured, how to read it, and what a peer is.";

static gboolean
check (
    Bench *bench, gboolean quick, gboolean smoke, const char *output, gint rounds, GError **error)
{
  if (quick && smoke)
    return bench_fail (error, "--quick or --smoke, not both");
  if (output != NULL && strcmp (output, "json") != 0 && strcmp (output, "table") != 0)
    return bench_fail (error, "-o %s: table or json", output);
  if (rounds < 0 || rounds > ROUNDS_MAX)
    return bench_fail (error, "--rounds %d: 1 to %d", rounds, ROUNDS_MAX);
  bench->options.length = smoke ? BENCH_SMOKE : quick ? BENCH_QUICK : BENCH_FULL;
  bench->options.rounds = rounds > 0 ? (guint) rounds : quick || smoke ? 1 : 5;
  bench->options.json = g_strcmp0 (output, "json") == 0;
  bench->colour = !bench->options.json && isatty (STDOUT_FILENO);
  bench->run.length = bench->options.length;
  if (bench->options.peers_dir == NULL)
    bench->options.peers_dir = g_strdup (BENCH_BUILD_DIR "/bench/peers");
  if (bench->options.report == NULL)
    bench->options.report = g_strdup (smoke ? "" : BENCH_BUILD_DIR "/bench/report.html");
  return TRUE;
}

static gboolean
parse (Bench *bench, int argc, char **argv, GError **error)
{
  BenchOptions *options = &bench->options;
  g_autofree char *output = NULL;
  gboolean quick = FALSE;
  gboolean smoke = FALSE;
  gint rounds = 0;
  const GOptionEntry entries[]
      = { { "only", 0, 0, G_OPTION_ARG_STRING_ARRAY, &options->only,
            "Only scenarios whose names match, and those below; may be given again", "PATTERN" },
          { "list", 0, 0, G_OPTION_ARG_NONE, &options->list, "Names all scenarios", NULL },
          { "quick", 0, 0, G_OPTION_ARG_NONE, &quick, "One short round", NULL },
          { "smoke", 0, 0, G_OPTION_ARG_NONE, &smoke, "A few times, to see that it works", NULL },
          { "rounds", 0, 0, G_OPTION_ARG_INT, &rounds, "Rounds; figures are their medians (5)",
            "N" },
          { "peers", 0, 0, G_OPTION_ARG_FILENAME, &options->peers_dir,
            "Folder of the peers' programs (bench/peers of the build)", "DIR" },
          { "peer-command", 0, 0, G_OPTION_ARG_STRING_ARRAY, &options->peer_commands,
            "Another peer; may be given again", "NAME=COMMAND" },
          { "output", 'o', 0, G_OPTION_ARG_STRING, &output, "table or json", "FORMAT" },
          { "report", 0, 0, G_OPTION_ARG_FILENAME, &options->report,
            "The page; empty: none (bench/report.html of the build)", "FILE" },
          { 0 } };
  g_autoptr (GOptionContext) context = g_option_context_new ("- measure Commy");

  g_option_context_set_summary (context, summary);
  g_option_context_set_description (context, examples);
  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, &argc, &argv, error))
    return FALSE;
  if (argc > 1)
    return bench_fail (error, "%s: takes no such argument; see --help", argv[1]);
  return check (bench, quick, smoke, output, rounds, error);
}

static void
clear (Bench *bench)
{
  if (bench->dir != NULL)
    remove_tree (bench->dir);
  g_clear_pointer (&bench->scenes, g_ptr_array_unref);
  g_clear_pointer (&bench->peers, g_ptr_array_unref);
  bench_rows_free (bench->rows);
  g_strfreev (bench->options.only);
  g_strfreev (bench->options.peer_commands);
  g_free (bench->options.peers_dir);
  g_free (bench->options.report);
  g_free (bench->dir);
}

int
main (int argc, char **argv)
{
  Bench bench = { 0 };
  g_autofree char *arguments = NULL;
  g_autofree char *command = NULL;
  g_autoptr (GError) error = NULL;
  int status = 0;

  if (bench_node_main (argc, argv, &status))
    return status;
  arguments = g_strjoinv (" ", argv + 1);
  command = g_strchomp (g_strdup_printf ("bench/commy-bench %s", arguments));
  bench.rows = bench_rows_new ();
  if (!parse (&bench, argc, argv, &error))
    status = 2;
  else if (!run (&bench, command, &error))
    status = 1;
  if (error != NULL)
    g_printerr ("commy-bench: %s\n", error->message);
  clear (&bench);
  return status;
}
