/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * commy-bench: measures what this machine can do at best and what calls through the public API
 * take, in one run, so that their ratios mean something. Never judges a time.
 */
#include "config.h"

#include "bench.h"

#include <glib/gstdio.h>
#include <sched.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifdef WITH_TLS
#include "auth/common/commy-pki.h"
#endif

gint64
bench_now (void)
{
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC, &now);
  return (gint64) now.tv_sec * 1000000000 + now.tv_nsec;
}

void
bench_pin (int cpu)
{
  cpu_set_t set;

  CPU_ZERO (&set);
  CPU_SET ((gsize) cpu, &set);
  if (sched_setaffinity (0, sizeof set, &set) != 0)
    g_printerr ("commy-bench: cannot pin to processor %d, going on without\n", cpu);
}

gsize
bench_count (const Bench *bench, gsize full)
{
  return bench->smoke ? MIN (full, 20) : full;
}

void
bench_fail (GError **error, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  if (error != NULL && *error == NULL)
    *error = g_error_new_valist (BENCH_ERROR, 0, format, args);
  va_end (args);
}

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

/* The first two processors this process may use. */
static void
choose_cpus (Bench *bench)
{
  cpu_set_t set;
  guint found = 0;

  CPU_ZERO (&set);
  sched_getaffinity (0, sizeof set, &set);
  for (int cpu = 0; cpu < CPU_SETSIZE && found < 2; cpu++)
    if (CPU_ISSET ((gsize) cpu, &set))
      bench->cpus[found++] = cpu;
  bench->can_spin = found == 2;
  if (found < 2)
    bench->cpus[1] = bench->cpus[0];
}

/* Nothing of the user's settings, plugins or meshes comes in. */
static gboolean
make_private (Bench *bench, GError **error)
{
  bench->dir = g_dir_make_tmp ("commy-bench-XXXXXX", error);
  if (bench->dir == NULL)
    return FALSE;
  g_setenv ("COMMY_PLUGIN_PATH", BENCH_BUILD_DIR "/modules/.libs", TRUE);
  g_setenv ("COMMY_SHIPPED_CONFIG", BENCH_SOURCE_DIR "/deploy/config/commy.conf", TRUE);
  g_setenv ("XDG_CONFIG_HOME", bench->dir, TRUE);
  g_unsetenv ("COMMY_CONFIG");
  return TRUE;
}

/* TRUE with credentials in place; FALSE without @error where this build has no TLS. */
static gboolean
make_credentials (const Bench *bench, GError **error)
{
#if defined(WITH_TLS)
  g_autofree char *dir = g_build_filename (bench->dir, "pki", NULL);
  gint64 now = g_get_real_time () / G_USEC_PER_SEC;
  g_autoptr (CommyPkiAuthority) authority = commy_pki_authority_new ("bench", now, error);
  g_autoptr (CommyPkiPair) pair = NULL;

  if (authority == NULL)
    return FALSE;
  if (g_mkdir_with_parents (dir, 0700) != 0)
    {
      bench_fail (error, "cannot make %s", dir);
      return FALSE;
    }
  if (!commy_pki_authority_save (authority, dir, error))
    return FALSE;
  pair = commy_pki_issue (authority, "bench", "bench", now - 60, now + 86400, error);
  return pair != NULL && commy_pki_pair_save (pair, authority, dir, error);
#else
  return FALSE;
#endif
}

/* What there is of calls to measure: --only picks one. */
static gboolean
run_calls (Bench *bench, gboolean tls, GError **error)
{
  static const struct
  {
    const char *transport;
    const char *wait;
    gboolean (*measure) (Bench *, const char *, const char *, GError **);
    const char *id;
  } parts[] = {
    { "shm", "spin", bench_calls, "shm/spin" },
    { "shm", "block", bench_calls, "shm/block" },
    { "shm", "adaptive", bench_calls, "shm/adaptive" },
    { "tls", "block", bench_calls, "tls/block" },
    { "shm", "adaptive", bench_pipelined, "shm/async" },
    { "tls", "adaptive", bench_pipelined, "tls/async" },
    { "tls", "adaptive", bench_beside, "tls/beside" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (parts); i++)
    {
      if ((bench->only != NULL && strcmp (bench->only, parts[i].id) != 0)
          || (!tls && strcmp (parts[i].transport, "tls") == 0)
          || (!bench->can_spin && strcmp (parts[i].wait, "spin") == 0))
        continue;
      if (!parts[i].measure (bench, parts[i].transport, parts[i].wait, error))
        return FALSE;
    }
  return TRUE;
}

static gboolean
run (Bench *bench, GError **error)
{
  GError *no_tls = NULL;
  gboolean tls;

  if (!make_private (bench, error))
    return FALSE;
  tls = make_credentials (bench, &no_tls);
  if (no_tls != NULL)
    {
      g_propagate_error (error, no_tls);
      return FALSE;
    }
  if (!bench->json)
    bench_print_head (bench);
  /* What is compared with itself needs no limits. */
  if (g_strcmp0 (bench->only, "tls/beside") != 0 && !bench_limits (bench, error))
    return FALSE;
  if (!run_calls (bench, tls, error))
    return FALSE;
  if (bench->only != NULL)
    return strcmp (bench->only, "choice") != 0 || bench_choice (bench, error);
  return bench_decision (bench, error) && bench_choice (bench, error) && bench_start (bench, error);
}

static gboolean
parse (Bench *bench, int argc, char **argv, GError **error)
{
  g_autofree char *output = NULL;
  const GOptionEntry entries[]
      = { { "smoke", 0, 0, G_OPTION_ARG_NONE, &bench->smoke, "A few times only", NULL },
          { "only", 0, 0, G_OPTION_ARG_STRING, &bench->only,
            "One part of the calls, such as shm/spin", "PART" },
          { "output", 'o', 0, G_OPTION_ARG_STRING, &output, "table or json", "FORMAT" },
          { 0 } };
  g_autoptr (GOptionContext) context = g_option_context_new ("- measure calls");

  bench->command = g_strjoinv (" ", argv + 1);
  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, &argc, &argv, error))
    return FALSE;
  bench->json = g_strcmp0 (output, "json") == 0;
  if (argc == 1 && (output == NULL || bench->json || strcmp (output, "table") == 0))
    return TRUE;
  bench_fail (error, "usage: commy-bench [--smoke] [--only PART] [-o table|json]");
  return FALSE;
}

int
main (int argc, char **argv)
{
  Bench bench = { 0 };
  g_autoptr (GError) error = NULL;
  int status = 0;

  if (bench_child_main (argc, argv, &status))
    return status;
  bench.rows = g_ptr_array_new_with_free_func (bench_row_free);
  choose_cpus (&bench);
  if (!parse (&bench, argc, argv, &error))
    status = 2;
  else if (!run (&bench, &error))
    status = 1;
  else if (bench.json)
    bench_print_json (&bench);
  if (error != NULL)
    g_printerr ("commy-bench: %s\n", error->message);
  if (bench.dir != NULL)
    remove_tree (bench.dir);
  g_ptr_array_unref (bench.rows);
  g_free (bench.command);
  g_free (bench.only);
  g_free (bench.dir);
  return status;
}
