/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the programs of bench/peers promise whoever runs them: one line that says what they can, one
 * line for a measurement, a status and a sentence for what cannot be measured, nothing left behind.
 * Shown with the peer whose library is always here; the others have the same frame.
 */
#include "config.h"

#include "bench/peers/touch.h"

#include <gio/gio.h>
#include <glib/gstdio.h>
#include <sched.h>
#include <signal.h>

#define NUMBER "[0-9]+(\\.[0-9]+)?"

typedef struct
{
  char *folder; /* where it makes its own */
  char *cpus;   /* a processor that this process may use, twice */
  char *out, *err;
  int status;
} Fixture;

static int
find_cpu (void)
{
  cpu_set_t set;
  int cpu = 0;

  g_assert_cmpint (sched_getaffinity (0, sizeof set, &set), ==, 0);
  while (!CPU_ISSET (cpu, &set))
    cpu++;
  return cpu;
}

static void
set_up (Fixture *fixture, gconstpointer data)
{
  int cpu = find_cpu ();

  fixture->folder = g_dir_make_tmp ("commy-peers-XXXXXX", NULL);
  fixture->cpus = g_strdup_printf ("%d,%d", cpu, cpu);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
  g_assert_cmpint (g_rmdir (fixture->folder), ==, 0);
  g_free (fixture->folder);
  g_free (fixture->cpus);
  g_free (fixture->out);
  g_free (fixture->err);
}

static GSubprocess *
start (Fixture *fixture, const char *arguments)
{
  g_autoptr (GSubprocessLauncher) launcher
      = g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_PIPE);
  g_autofree char *program = g_test_build_filename (G_TEST_BUILT, "bench", "peer-gdbus", NULL);
  g_autofree char *line = g_strdup_printf ("'%s' %s", program, arguments);
  g_auto (GStrv) argv = NULL;
  g_autoptr (GError) error = NULL;
  GSubprocess *peer;

  g_subprocess_launcher_setenv (launcher, "TMPDIR", fixture->folder, TRUE);
  g_assert_true (g_shell_parse_argv (line, NULL, &argv, &error));
  peer = g_subprocess_launcher_spawnv (launcher, (const char *const *) argv, &error);
  g_assert_no_error (error);
  return peer;
}

static void
finish (Fixture *fixture, GSubprocess *peer)
{
  g_autoptr (GError) error = NULL;

  g_clear_pointer (&fixture->out, g_free);
  g_clear_pointer (&fixture->err, g_free);
  g_subprocess_communicate_utf8 (peer, NULL, NULL, &fixture->out, &fixture->err, &error);
  g_assert_no_error (error);
  g_assert_true (g_subprocess_get_if_exited (peer));
  fixture->status = g_subprocess_get_exit_status (peer);
}

static void
run (Fixture *fixture, const char *arguments)
{
  g_autoptr (GSubprocess) peer = start (fixture, arguments);

  finish (fixture, peer);
}

static void
assert_prints (Fixture *fixture, const char *pattern)
{
  if (!g_regex_match_simple (pattern, fixture->out, 0, 0) || fixture->status != 0)
    g_error ("status %d, not as %s: %s%s", fixture->status, pattern, fixture->out, fixture->err);
}

/* --- what is promised --- */

static void
test_describes (Fixture *fixture, gconstpointer data)
{
  run (fixture, "--describe");
  assert_prints (fixture,
                 "^{\"name\":\"gdbus\",\"version\":\"" NUMBER "[^\"]*\","
                 "\"transports\":\\[\"unix\"\\],\"metrics\":\\[\"rtt\",\"stream\",\"async\"\\],"
                 "\"waits\":\\[\"block\"\\]}\n$");
}

static void
test_measures (Fixture *fixture, gconstpointer touch)
{
  g_autofree char *rtt = g_strdup_printf ("rtt --transport unix --wait block --size 1001 --seconds "
                                          "0.01 --cpus %s %s",
                                          fixture->cpus, (const char *) touch);
  g_autofree char *stream = g_strdup_printf ("stream --transport unix --wait block --size 70000 "
                                             "--seconds 0.01 --cpus %s %s",
                                             fixture->cpus, (const char *) touch);
  const char *touched = *(const char *) touch ? "true" : "false";
  g_autofree char *rtt_line
      = g_strdup_printf ("^{\"peer\":\"gdbus\",\"metric\":\"rtt\",\"transport\":\"unix\","
                         "\"wait\":\"block\",\"size\":1001,\"n\":[1-9][0-9]*,"
                         "\"p50_ns\":[1-9][0-9]*,\"p99_ns\":[1-9][0-9]*,\"touched\":%s}\n$",
                         touched);
  g_autofree char *stream_line = g_strdup_printf (
      "^{\"peer\":\"gdbus\",\"metric\":\"stream\",\"transport\":\"unix\","
      "\"wait\":\"block\",\"size\":70000,\"n\":[1-9][0-9]*,"
      "\"messages_per_s\":" NUMBER ",\"bytes_per_s\":" NUMBER ",\"touched\":%s}\n$",
      touched);

  run (fixture, rtt);
  assert_prints (fixture, rtt_line);
  run (fixture, stream);
  assert_prints (fixture, stream_line);
}

static void
test_counts_calls (Fixture *fixture, gconstpointer data)
{
  g_autofree char *async = g_strdup_printf (
      "async --transport unix --wait block --seconds 0.02 --cpus %s", fixture->cpus);

  run (fixture, async);
  assert_prints (fixture, "^{\"peer\":\"gdbus\",\"metric\":\"async\",\"transport\":\"unix\","
                          "\"wait\":\"block\",\"size\":64,\"n\":[1-9][0-9]*,"
                          "\"messages_per_s\":" NUMBER ",\"bytes_per_s\":" NUMBER ","
                          "\"touched\":false}\n$");
}

static void
test_refuses (Fixture *fixture, gconstpointer data)
{
  static const char *const unable[]
      = { "rtt --wait spin", "rtt --transport tcp", "rtt --transport ''", "async --touch" };
  static const char *const wrong[] = {
    "",
    "fly",
    "rtt stream",
    "rtt --wait never",
    "rtt --size 0",
    "rtt --size 64x",
    "rtt --size 99999999999",
    "rtt --seconds nan",
    "rtt --seconds -1",
    "rtt --cpus 0",
    "rtt --cpus 0,1,2",
    "rtt --cpus 0,-1",
    "rtt --cpus 0,99999",
    "rtt --unknown",
  };

  for (guint i = 0; i < G_N_ELEMENTS (unable); i++)
    {
      run (fixture, unable[i]);
      g_assert_cmpint (fixture->status, ==, 77);
      g_assert_true (g_str_has_prefix (fixture->err, "gdbus: "));
      g_assert_cmpstr (fixture->out, ==, "");
    }
  for (guint i = 0; i < G_N_ELEMENTS (wrong); i++)
    {
      run (fixture, wrong[i]);
      g_assert_cmpint (fixture->status, ==, 2);
      g_assert_cmpstr (fixture->err, !=, "");
      g_assert_cmpstr (fixture->out, ==, "");
    }
}

static void
test_reports_an_end_that_fails (Fixture *fixture, gconstpointer data)
{
  /* No machine has so many processors that this one may be used. */
  run (fixture, "rtt --seconds 0.01 --cpus 1023,1023");
  g_assert_cmpint (fixture->status, ==, 1);
  g_assert_nonnull (strstr (fixture->err, "processor 1023"));
  g_assert_cmpstr (fixture->out, ==, "");
}

static void
on_created (
    GFileMonitor *monitor, GFile *file, GFile *other, GFileMonitorEvent event, gpointer data)
{
  if (event == G_FILE_MONITOR_EVENT_CREATED)
    g_subprocess_send_signal (data, SIGTERM);
}

static void
on_ended (GObject *source, GAsyncResult *result, gpointer loop)
{
  g_assert_true (g_subprocess_wait_finish (G_SUBPROCESS (source), result, NULL));
  g_main_loop_quit (loop);
}

/* It would run for an hour; that nothing stays behind is what the end of every test looks at. */
static void
test_takes_down_when_told_to_end (Fixture *fixture, gconstpointer data)
{
  g_autofree char *arguments = g_strdup_printf ("rtt --seconds 3600 --cpus %s", fixture->cpus);
  g_autoptr (GFile) folder = g_file_new_for_path (fixture->folder);
  g_autoptr (GFileMonitor) monitor
      = g_file_monitor_directory (folder, G_FILE_MONITOR_NONE, NULL, NULL);
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (GSubprocess) peer = start (fixture, arguments);

  g_signal_connect (monitor, "changed", G_CALLBACK (on_created), peer);
  g_subprocess_wait_async (peer, NULL, on_ended, loop);
  g_main_loop_run (loop);
  finish (fixture, peer);
  g_assert_cmpint (fixture->status, ==, 128 + SIGTERM);
  g_assert_cmpstr (fixture->out, ==, "");
}

/* --- touching --- */

static void
test_sum_of_every_size (void)
{
  g_autofree guint8 *bytes = g_malloc (1100);

  for (gsize size = 0; size < 1000; size++)
    {
      guint8 value = (guint8) (size * 7 + 1);

      memset (bytes, 0xee, 1100);
      touch_fill (bytes + size % 64, size, value);
      g_assert_cmpuint (touch_sum (bytes + size % 64, size), ==, touch_sum_of (size, value));
      g_assert_cmpuint (touch_sum_plain (bytes + size % 64, size), ==, touch_sum_of (size, value));
    }
}

static void
test_sum_sees_each_byte (void)
{
  guint8 bytes[333];

  touch_fill (bytes, sizeof bytes, 5);
  for (gsize i = 0; i < sizeof bytes; i++)
    {
      bytes[i] = 4;
      g_assert_cmpuint (touch_sum (bytes, sizeof bytes), !=, touch_sum_of (sizeof bytes, 5));
      bytes[i] = 5;
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(path, data, function) g_test_add (path, Fixture, data, set_up, function, tear_down)
  ADD ("/bench/peers/describes-itself-in-one-line", NULL, test_describes);
  ADD ("/bench/peers/measures-without-touching", "", test_measures);
  ADD ("/bench/peers/measures-touching", "--touch", test_measures);
  ADD ("/bench/peers/counts-calls-under-way", NULL, test_counts_calls);
  ADD ("/bench/peers/refuses-with-a-sentence", NULL, test_refuses);
  ADD ("/bench/peers/an-end-that-fails-fails-the-run", NULL, test_reports_an_end_that_fails);
  ADD ("/bench/peers/told-to-end-it-leaves-nothing", NULL, test_takes_down_when_told_to_end);
  g_test_add_func ("/bench/peers/the-sum-of-every-size-is-known", test_sum_of_every_size);
  g_test_add_func ("/bench/peers/the-sum-sees-each-byte", test_sum_sees_each_byte);
  return g_test_run ();
}
