/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How long the router thinks: a decision told with its whole record, through the public API; and
 * its hot path and a re-score, which no API shows, by programs of their own where they were built.
 * So are the policy's answers, which every call needs, a token's check, the audit trail, and what
 * calls take while handshakes are left half open.
 */
#include "config.h"

#include "node.h"

static gboolean
explain (gpointer data, GError **error)
{
  g_autoptr (CommyDecision) decision = commy_client_explain (data, 4096, NULL, NULL, error);

  return decision != NULL;
}

static gboolean
explain_often (BenchRun *run, const BenchScene *scene, CommyMesh *mesh, GError **error)
{
  g_autoptr (CommyClient) client = commy_client_new (mesh, BENCH_SERVICE);
  char id[BENCH_ID_MAX];

  bench_id (id, scene, "explained/4096");
  return bench_time_each (run, id, 4096, explain, client, error);
}

gboolean
scene_decision (BenchRun *run, const BenchScene *scene, GError **error)
{
  return bench_with_service (run, scene, NULL, explain_often, error);
}

/* --- what no API shows --- */

/* What the program @name prints; NULL: it was not built, which is told, or @error. */
static char *
run_program (BenchRun *run, const BenchScene *scene, const char *name, GError **error)
{
  g_autofree char *path = g_build_filename (BENCH_BUILD_DIR, name, NULL);
  const char *const argv[] = { path, run->length == BENCH_SMOKE ? "--smoke" : NULL, NULL };
  g_autofree char *text = NULL;
  int status;

  if (!g_file_test (path, G_FILE_TEST_IS_EXECUTABLE))
    {
      bench_tell_missing (run, scene->name, "%s was not built", name);
      return NULL;
    }
  if (!g_spawn_sync (NULL, (char **) argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, &text, NULL, &status,
                     error)
      || !g_spawn_check_wait_status (status, error))
    return NULL;
  return g_steal_pointer (&text);
}

/* The largest number in parentheses of @pattern, less the second if it has two; negative: none. */
static double
find_figure (const char *text, const char *pattern)
{
  g_autoptr (GRegex) regex = g_regex_new (pattern, 0, 0, NULL);
  g_autoptr (GMatchInfo) match = NULL;
  double most = -1;

  for (g_regex_match (regex, text, 0, &match); g_match_info_matches (match);
       g_match_info_next (match, NULL))
    {
      g_autofree char *whole = g_match_info_fetch (match, 1);
      g_autofree char *part = g_match_info_fetch (match, 2);
      double figure = g_ascii_strtod (whole, NULL);

      if (part != NULL)
        figure -= g_ascii_strtod (part, NULL);
      most = MAX (most, figure);
    }
  return most;
}

static gboolean
tell_kind (BenchRun *run,
           const BenchScene *scene,
           const char *what,
           BenchUnit unit,
           const char *program,
           const char *pattern,
           GError **error)
{
  GError *failure = NULL;
  g_autofree char *text = run_program (run, scene, program, &failure);
  double figure = text != NULL ? find_figure (text, pattern) : -1;
  char id[BENCH_ID_MAX];

  if (failure != NULL)
    g_propagate_error (error, failure);
  if (text == NULL)
    return failure == NULL;
  if (figure < 0)
    return bench_fail (error, "%s printed no figure", program);
  bench_id (id, scene, "%s", what);
  bench_tell (run, id, unit, 0, 1, figure);
  return TRUE;
}

static gboolean
tell_figure (BenchRun *run,
             const BenchScene *scene,
             const char *what,
             const char *program,
             const char *pattern,
             GError **error)
{
  return tell_kind (run, scene, what, BENCH_TIME, program, pattern, error);
}

/* They expect what a test's harness sets. */
static void
set_environment (void)
{
  g_setenv ("COMMY_CONFIG", BENCH_SOURCE_DIR "/tests/build-tree.conf", TRUE);
  g_setenv ("COMMY_SOURCE_DIR", BENCH_SOURCE_DIR, TRUE);
  g_setenv ("COMMY_BUILD_DIR", BENCH_BUILD_DIR, TRUE);
  g_setenv ("G_TEST_SRCDIR", BENCH_SOURCE_DIR "/tests", TRUE);
  g_setenv ("G_TEST_BUILDDIR", BENCH_BUILD_DIR "/tests", TRUE);
}

gboolean
scene_route (BenchRun *run, const BenchScene *scene, GError **error)
{
  set_environment ();
  return tell_figure (run, scene, "hot-path", "tests/mesh/bench-router",
                      "p50 ([0-9.]+) ns a call, of which the loop ([0-9.]+) ns", error)
         && tell_figure (run, scene, "pick-of-100", "tests/mesh/bench-router",
                         "p50 ([0-9.]+) ns a pick", error)
         && tell_figure (run, scene, "pick-of-100-without-10", "tests/mesh/bench-router",
                         "([0-9.]+) ns with", error)
         && tell_figure (run, scene, "re-score", "tests/route/bench-route",
                         " ordered +chosen +p50 +([0-9]+) ns", error)
         && tell_figure (run, scene, "re-score-by-size", "tests/route/bench-route",
                         " unordered +chosen +p50 +([0-9]+) ns", error);
}

gboolean
scene_policy (BenchRun *run, const BenchScene *scene, GError **error)
{
  set_environment ();
  return tell_figure (run, scene, "kept", "tests/security/bench-policy", "kept +p50 +([0-9.]+) ns",
                      error)
         && tell_figure (run, scene, "1000-rules", "tests/security/bench-policy",
                         "rules, [a-z ]+ +p50 +([0-9.]+) ns", error);
}

gboolean
scene_token (BenchRun *run, const BenchScene *scene, GError **error)
{
  const char *program = "tests/auth/bench-jwt";

  set_environment ();
  return tell_figure (run, scene, "seen", program, "seen before ([0-9.]+) ns", error)
         && tell_figure (run, scene, "new", program, "ES256 ([0-9.]+) ns", error)
         && tell_kind (run, scene, "new-to-gnutls", BENCH_RATIO, program, "new/GnuTLS ([0-9.]+)",
                       error);
}

gboolean
scene_audit (BenchRun *run, const BenchScene *scene, GError **error)
{
  const char *program = "tests/security/bench-audit";

  set_environment ();
  return tell_kind (run, scene, "records", BENCH_RATE, program, "([0-9.]+) records/s until", error)
         && tell_kind (run, scene, "verified-mb", BENCH_RATE, program,
                       "verify with [A-Za-z]+: ([0-9.]+) MB/s", error);
}

gboolean
scene_floods (BenchRun *run, const BenchScene *scene, GError **error)
{
  set_environment ();
  g_setenv ("COMMY_TEST_HALF_OPEN", run->length == BENCH_SMOKE ? "64" : "5000", TRUE);
  return tell_kind (run, scene, "p99-to-none", BENCH_RATIO, "tests/attacks/test-floods",
                    "meanwhile \\(x([0-9.]+)\\)", error);
}
