/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * commy-bench as people and programs meet it: its options, its JSON, its page, and what it does
 * with peers, good ones and others. No time is judged.
 */
#include "config.h"

#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <string.h>
#include <sys/wait.h>

typedef struct
{
  char *out;
  char *err;
  int status; /* as the program exited, or -1 */
} Run;

static void
clear (Run *run)
{
  g_free (run->out);
  g_free (run->err);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Run, clear)

/* The rest are arguments, ended by NULL. */
G_GNUC_NULL_TERMINATED static void
bench (Run *run, const char *first, ...)
{
  g_autofree char *program
      = g_build_filename (g_getenv ("COMMY_BUILD_DIR"), "bench", "commy-bench", NULL);
  g_autoptr (GPtrArray) argv = g_ptr_array_new ();
  g_autoptr (GError) error = NULL;
  va_list args;
  int status;

  g_ptr_array_add (argv, program);
  g_ptr_array_add (argv, (gpointer) "--peers=/nonexistent");
  va_start (args, first);
  for (const char *next = first; next != NULL; next = va_arg (args, const char *))
    g_ptr_array_add (argv, (gpointer) next);
  va_end (args);
  g_ptr_array_add (argv, NULL);
  g_spawn_sync (NULL, (char **) argv->pdata, NULL, G_SPAWN_DEFAULT, NULL, NULL, &run->out,
                &run->err, &status, &error);
  g_assert_no_error (error);
  run->status = WIFEXITED (status) ? WEXITSTATUS (status) : -1;
}

static JsonNode *
parse (const Run *run)
{
  g_autoptr (GError) error = NULL;
  JsonNode *root = json_from_string (run->out, &error);

  g_assert_no_error (error);
  g_assert_true (JSON_NODE_HOLDS_OBJECT (root));
  return root;
}

/* The object of the list @list whose @key is @value, or NULL. */
static JsonObject *
find (JsonNode *root, const char *list, const char *key, const char *value)
{
  JsonArray *array = json_object_get_array_member (json_node_get_object (root), list);

  for (guint i = 0; i < json_array_get_length (array); i++)
    {
      JsonObject *object = json_array_get_object_element (array, i);

      if (g_strcmp0 (json_object_get_string_member (object, key), value) == 0)
        return object;
    }
  return NULL;
}

/* --- options --- */

static void
test_options (void)
{
  static const char *const wrong[][2] = {
    { "--rounds=100", "1 to 99" },       { "--rounds=-1", "1 to 99" },
    { "--output=xml", "table or json" }, { "--nonsense", "nonsense" },
    { "extra", "no such argument" },
  };
  g_auto (Run) help = { 0 };
  g_auto (Run) none = { 0 };

  for (gsize i = 0; i < G_N_ELEMENTS (wrong); i++)
    {
      g_auto (Run) run = { 0 };

      bench (&run, wrong[i][0], NULL);
      g_assert_cmpint (run.status, ==, 2);
      g_assert_nonnull (strstr (run.err, wrong[i][1]));
    }
  bench (&help, "--help", NULL);
  g_assert_cmpint (help.status, ==, 0);
  g_assert_nonnull (strstr (help.out, "--peer-command"));
  bench (&none, "--only=no/such", NULL);
  g_assert_cmpint (none.status, ==, 1);
  g_assert_nonnull (strstr (none.err, "--list names them all"));
}

static void
test_list (void)
{
  static const char *const names[] = { "limit/spin ",
                                       "limit/stream ",
                                       "rtt/shm/spin ",
                                       "rtt/shm/block/one-core ",
                                       "stream/shm/block ",
                                       "rate/shm/adaptive ",
                                       "many/10000 ",
                                       "mix/no-shm ",
                                       "idle ",
                                       "fallback ",
                                       "memory " };
  g_auto (Run) all = { 0 };
  g_auto (Run) some = { 0 };

  bench (&all, "--list", NULL);
  g_assert_cmpint (all.status, ==, 0);
  for (gsize i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_test_message ("%s", names[i]);
      g_assert_nonnull (strstr (all.out, names[i]));
    }
  bench (&some, "--list", "--only", "rtt/shm", "--only", "limit/va*", NULL);
  g_assert_nonnull (strstr (some.out, "rtt/shm/adaptive/one-core "));
  g_assert_nonnull (strstr (some.out, "limit/value "));
  g_assert_null (strstr (some.out, "rtt/unix"));
}

/* --- JSON --- */

static void
test_json (void)
{
  static const char *const goals[] = { "P1", "P2",  "P3",  "P4",  "P5",  "P6",  "P7",  "P8",
                                       "P9", "P10", "P11", "P12", "P13", "P14", "seed" };
  g_auto (Run) run = { 0 };
  g_autoptr (JsonNode) root = NULL;
  JsonObject *row;

  bench (&run, "--smoke", "--rounds=2", "-o", "json", "--only=limit/value", "--only=rtt/unix/block",
         NULL);
  g_assert_cmpstr (run.err, ==, "");
  g_assert_cmpint (run.status, ==, 0);
  root = parse (&run);
  row = find (root, "rows", "id", "limit/value/four-conversions/8");
  g_assert_nonnull (row);
  g_assert_cmpstr (json_object_get_string_member (row, "unit"), ==, "ns");
  g_assert_cmpfloat (json_object_get_double_member (row, "value"), >, 0);
  g_assert_cmpfloat (json_object_get_double_member (row, "least"), <=,
                     json_object_get_double_member (row, "most"));
  g_assert_cmpint (json_object_get_int_member (row, "n"), >=, 6);
  g_assert_nonnull (find (root, "rows", "id", "rtt/unix/block/bytes/64"));
  g_assert_nonnull (find (root, "rows", "id", "rtt/unix/block/value/8"));
  for (gsize i = 0; i < G_N_ELEMENTS (goals); i++)
    g_assert_nonnull (find (root, "goals", "id", goals[i]));
}

/* --- the page --- */

static void
count_element (GMarkupParseContext *context,
               const char *name,
               const char **names,
               const char **values,
               gpointer data,
               GError **error)
{
  guint *counts = data;

  g_assert_cmpstr (name, !=, "script");
  g_assert_cmpstr (name, !=, "link");
  counts[0] += strcmp (name, "svg") == 0;
  counts[1] += strcmp (name, "tr") == 0;
  for (guint i = 0; names[i] != NULL; i++)
    {
      g_assert_cmpstr (names[i], !=, "src");
      g_assert_cmpstr (names[i], !=, "href");
    }
}

static void
test_page (void)
{
  const GMarkupParser parser = { .start_element = count_element };
  guint counts[2] = { 0 };
  g_autoptr (GMarkupParseContext) context = g_markup_parse_context_new (&parser, 0, counts, NULL);
  g_autoptr (GError) error = NULL;
  g_autofree char *dir = g_dir_make_tmp ("test-commy-bench-XXXXXX", &error);
  g_autofree char *path = g_build_filename (dir, "report.html", NULL);
  g_autofree char *html = NULL;
  g_auto (Run) run = { 0 };

  bench (&run, "--smoke", "--only=limit/block-sockets", "--only=rtt/unix/block", "--report", path,
         NULL);
  g_assert_cmpint (run.status, ==, 0);
  g_file_get_contents (path, &html, NULL, &error);
  g_assert_no_error (error);
  g_markup_parse_context_parse (context, html, -1, &error);
  g_assert_no_error (error);
  g_markup_parse_context_end_parse (context, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (counts[0], >, 0);
  g_assert_cmpuint (counts[1], >, 40);
  g_assert_cmpint (g_remove (path), ==, 0);
  g_assert_cmpint (g_rmdir (dir), ==, 0);
}

/* --- peers --- */

/* A peer in a line of shell: says @describe, and then does @measure. */
static char *
peer (const char *name, const char *describe, const char *measure)
{
  g_autofree char *script
      = g_strdup_printf ("case \"$1\" in --describe) %s;; *) %s;; esac", describe, measure);
  g_autofree char *quoted = g_shell_quote (script);

  return g_strdup_printf ("--peer-command=%s=/bin/sh -c %s peer", name, quoted);
}

#define DESCRIBE(waits)                                                                       \
  "echo '{\"name\":\"x\",\"version\":\"1.2\",\"transports\":[\"shm\"],\"metrics\":[\"rtt\"]," \
  "\"waits\":[\"" waits "\"]}'"
#define ANSWER \
  "echo '{\"n\":7,\"p50_ns\":190,\"p99_ns\":230,\"touched\":true,\"asked\":\"'\"$*\"'\"}'"

static void
test_peers (void)
{
  g_autofree char *good = peer ("good", DESCRIBE ("block"), ANSWER);
  g_autofree char *away = peer ("away", DESCRIBE ("block"), "echo no huge pages >&2; exit 77");
  g_autofree char *broken = peer ("broken", DESCRIBE ("block"), "echo '{\"p50_ns\":-1}'");
  g_autofree char *crashed = peer ("crashed", DESCRIBE ("block"), "kill -9 $$");
  g_autofree char *silent = peer ("silent", "true", "true");
  g_auto (Run) run = { 0 };
  g_autoptr (JsonNode) root = NULL;
  JsonObject *row;

  bench (&run, "--smoke", "-o", "json", "--only=peer", good, away, broken, crashed, silent,
         "--peer-command=missing=/nonexistent/peer", NULL);
  g_assert_cmpint (run.status, ==, 0);
  root = parse (&run);
  row = find (root, "rows", "id", "peer/good/rtt/shm/block/touched/64");
  g_assert_nonnull (row);
  g_assert_cmpfloat (json_object_get_double_member (row, "value"), ==, 190);
  row = find (root, "rows", "id", "peer/away/rtt/shm/block/untouched/64");
  g_assert_nonnull (row);
  g_assert_cmpstr (json_object_get_string_member (row, "not_measured"), ==, "no huge pages");
  g_assert_nonnull (find (root, "rows", "id", "peer/broken/rtt/shm/block/untouched/64"));
  g_assert_nonnull (find (root, "rows", "id", "peer/crashed/rtt/shm/block/untouched/64"));
  row = find (root, "peers", "name", "silent");
  g_assert_nonnull (row);
  g_assert_true (json_object_has_member (row, "note"));
  g_assert_true (json_object_has_member (find (root, "peers", "name", "missing"), "note"));
  g_assert_cmpstr (json_object_get_string_member (find (root, "peers", "name", "good"), "version"),
                   ==, "1.2");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/bench/program/refuses-wrong-options-with-a-sentence", test_options);
  g_test_add_func ("/bench/program/lists-and-picks-scenarios", test_list);
  g_test_add_func ("/bench/program/json-has-rows-and-every-goal", test_json);
  g_test_add_func ("/bench/program/its-page-is-whole-and-fetches-nothing", test_page);
  g_test_add_func ("/bench/program/peers-are-believed-only-when-they-make-sense", test_peers);
  return g_test_run ();
}
