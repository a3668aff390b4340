/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Runs scenarios, each in a process of its own that tells its figures on a pipe; one that takes too
 * long or falls is ended and told, and the others go on.
 */
#include "config.h"

#include "run.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_NS (240 * (gint64) 1000000000) /* for one scenario of one round */

/* --- one scenario --- */

static _Noreturn void
be_scene (const Bench *bench, const BenchScene *scene, int out)
{
  BenchRun run = bench->run;
  GError *error = NULL;
  gboolean ok;

  run.out = out;
  run.pins = scene->pins;
  bench_pin (bench_cpu_of (&run, run.pins, 0));
  ok = bench_placement_start (&run, &error) && scene->measure (&run, scene, &error);
  if (!ok)
    bench_tell_failed (&run, scene->name, error);
  bench_placement_stop (&run);
  fflush (NULL);
  _exit (0);
}

static void
note_failure (Bench *bench, guint round, const BenchScene *scene, const char *why)
{
  BenchSample sample = { .failed = TRUE };

  g_strlcpy (sample.id, scene->name, sizeof sample.id);
  g_strlcpy (sample.note, why, sizeof sample.note);
  bench->failed = TRUE;
  bench_rows_add (bench->rows, round, &sample);
}

/* FALSE: it takes too long. */
static gboolean
take_samples (Bench *bench, guint round, int in)
{
  gint64 until = bench_now () + PATIENCE_NS;
  struct pollfd wanted = { .fd = in, .events = POLLIN };
  BenchSample sample;

  for (;;)
    {
      gint64 left_ms = (until - bench_now ()) / 1000000;
      int ready = left_ms > 0 ? poll (&wanted, 1, (int) left_ms) : 0;
      ssize_t got;

      if (ready < 0 && errno == EINTR)
        continue;
      if (ready <= 0)
        return FALSE;
      got = read (in, &sample, sizeof sample);
      if (got != sizeof sample)
        return TRUE;
      bench->failed = bench->failed || sample.failed;
      bench_rows_add (bench->rows, round, &sample);
    }
}

static void
run_scene (Bench *bench, guint round, const BenchScene *scene)
{
  g_autofree char *why = NULL;
  gboolean in_time;
  int status = 0;
  int ends[2];
  GPid pid;

  if (g_strcmp0 (scene->wait, "spin") == 0 && !bench->run.can_spin)
    return; /* with one processor nothing can spin */
  if (pipe (ends) != 0)
    {
      note_failure (bench, round, scene, g_strerror (errno));
      return;
    }
  fflush (NULL);
  pid = fork ();
  if (pid == 0)
    {
      close (ends[0]);
      be_scene (bench, scene, ends[1]);
    }
  close (ends[1]);
  in_time = pid < 0 || take_samples (bench, round, ends[0]);
  close (ends[0]);
  if (!in_time)
    kill (pid, SIGKILL);
  if (pid > 0)
    waitpid (pid, &status, 0);
  if (pid < 0 || !in_time)
    why = g_strdup (in_time ? "no process for it" : "took too long and was ended");
  else if (WIFSIGNALED (status))
    why = g_strdup_printf ("ended by signal %d", WTERMSIG (status));
  if (why != NULL)
    note_failure (bench, round, scene, why);
}

/* --- all of them --- */

typedef struct
{
  gboolean shown;
  guint done, total;
  gint64 start;
} Progress;

static void
show (Progress *progress, const BenchScene *scene, guint round)
{
  gint64 gone = (bench_now () - progress->start) / 1000000000;
  gint64 left = progress->done > 0 ? gone * (progress->total - progress->done) / progress->done : 0;

  if (!progress->shown)
    return;
  fprintf (stderr, "\r\033[K[%u/%u] %s, round %u", progress->done + 1, progress->total, scene->name,
           round + 1);
  if (progress->done > 0)
    fprintf (stderr, ", %d:%02d left", (int) (left / 60), (int) (left % 60));
  fflush (stderr);
}

static void
hide (const Progress *progress)
{
  if (progress->shown)
    fprintf (stderr, "\r\033[K");
}

/* From @first to before @last, which are of one group. */
static void
run_group (Bench *bench, Progress *progress, guint first, guint last)
{
  guint from = bench->rows->rows->len;

  for (guint round = 0; round < bench->options.rounds; round++)
    for (guint i = first; i < last; i++)
      {
        const BenchScene *scene = bench->scenes->pdata[i];

        show (progress, scene, round);
        run_scene (bench, round, scene);
        progress->done++;
      }
  hide (progress);
  if (!bench->options.json)
    bench_table_print_rows (bench->rows, from, bench->colour);
  fflush (stdout);
}

void
bench_run_all (Bench *bench)
{
  Progress progress = { .shown = isatty (STDERR_FILENO),
                        .total = bench->scenes->len * bench->options.rounds,
                        .start = bench_now () };
  guint first = 0;

  for (guint i = 1; i <= bench->scenes->len; i++)
    {
      const BenchScene *one = bench->scenes->pdata[first];
      const BenchScene *next = i < bench->scenes->len ? bench->scenes->pdata[i] : NULL;

      if (next != NULL && strcmp (next->group, one->group) == 0)
        continue;
      run_group (bench, &progress, first, i);
      first = i;
    }
}
