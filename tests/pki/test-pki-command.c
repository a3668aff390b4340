/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `commy pki`: what it prints, what it writes, and its exit codes.
 */
#include "config.h"

#include "tests/pki/pki-fixture.h"

#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <string.h>
#include <sys/wait.h>

/* Runs the command with its words separated by blanks; returns its exit code. */
static int
run (const char *line, char **out_text)
{
  g_autofree char *program = g_build_filename (g_getenv ("COMMY_BUILD_DIR"), "commy", NULL);
  g_autofree char *whole = g_strdup_printf ("%s %s", program, line);
  g_auto (GStrv) words = g_strsplit (whole, " ", -1);
  g_autofree char *told = NULL;
  g_autoptr (GError) error = NULL;
  int status;

  g_spawn_sync (NULL, words, NULL, G_SPAWN_DEFAULT, NULL, NULL, out_text, &told, &status, &error);
  g_assert_no_error (error);
  if (*told != '\0')
    {
      g_assert_true (g_str_has_prefix (told, "commy: "));
      g_test_message ("%s", told);
    }
  g_assert_true (WIFEXITED (status));
  return WEXITSTATUS (status);
}

static int
run_in (const char *dir, const char *command)
{
  g_autofree char *line = g_strconcat (command, " --dir ", dir, NULL);

  return run (line, NULL);
}

static gboolean
exists (const char *dir, const char *name)
{
  g_autofree char *path = g_build_filename (dir, name, NULL);

  return g_file_test (path, G_FILE_TEST_EXISTS);
}

static void
test_init_and_issue (void)
{
  char *dir = g_dir_make_tmp ("commy-pki-XXXXXX", NULL);
  char *out = g_dir_make_tmp ("commy-pki-XXXXXX", NULL);
  g_autofree char *issue
      = g_strdup_printf ("pki issue --dir %s --out %s --host h2 --user u2 --days 1", dir, out);
  g_autoptr (CommyPkiCredentials) mine = NULL;
  g_autoptr (CommyPkiCredentials) theirs = NULL;

  g_assert_cmpint (run_in (dir, "pki init --mesh m --host h1 --user u1"), ==, 0);
  mine = commy_pki_credentials_load (dir, NULL);
  g_assert_true (g_str_has_suffix (mine->id, "/host/h1/user/u1"));
  g_assert_true (g_str_has_prefix (mine->id, "spiffe://m-"));
  g_assert_cmpint (run_in (dir, "pki init --host h1 --user u1"), ==, 4);
  g_assert_cmpint (run (issue, NULL), ==, 0);
  theirs = commy_pki_credentials_load (out, NULL);
  g_assert_true (g_str_has_suffix (theirs->id, "/host/h2/user/u2"));
  g_assert_cmpint (theirs->not_after_s, <=, fixture_now () + DAY);
  g_assert_false (exists (out, COMMY_PKI_AUTHORITY_KEY_FILE));
  fixture_remove (out);
  fixture_remove (dir);
}

static void
test_usage (void)
{
  char *dir = g_dir_make_tmp ("commy-pki-XXXXXX", NULL);

  g_assert_cmpint (run ("pki", NULL), ==, 2);
  g_assert_cmpint (run ("pki dance", NULL), ==, 2);
  g_assert_cmpint (run ("pki init --nonsense", NULL), ==, 2);
  g_assert_cmpint (run ("pki show -o xml", NULL), ==, 2);
  g_assert_cmpint (run_in (dir, "pki init --days 0"), ==, 2);
  g_assert_cmpint (run_in (dir, "pki issue"), ==, 2);
  g_assert_cmpint (run_in (dir, "pki issue --out /nonexistent"), ==, 4);
  g_assert_cmpint (run_in (dir, "pki show"), ==, 4);
  g_assert_cmpint (run_in (dir, "pki init --host a/b --user u"), ==, 2);
  g_assert_false (exists (dir, COMMY_PKI_CA_FILE)); /* a wrong name leaves nothing behind */
  fixture_remove (dir);
}

static void
test_show_json (void)
{
  char *dir = g_dir_make_tmp ("commy-pki-XXXXXX", NULL);
  g_autofree char *show = g_strconcat ("pki show -o json --dir ", dir, NULL);
  g_autofree char *json = NULL;
  g_autoptr (JsonNode) root = NULL;
  g_autoptr (GError) error = NULL;
  JsonObject *authority;
  JsonObject *certificate;

  g_assert_cmpint (run_in (dir, "pki init --mesh m --host h1 --user u1"), ==, 0);
  g_assert_cmpint (run (show, &json), ==, 0);
  root = json_from_string (json, &error);
  g_assert_no_error (error);
  g_assert_true (json_object_get_boolean_member (json_node_get_object (root), "has_authority_key"));
  authority = json_object_get_object_member (json_node_get_object (root), "authority");
  certificate = json_object_get_object_member (json_node_get_object (root), "certificate");
  g_assert_true (g_str_has_prefix (json_object_get_string_member (certificate, "id"),
                                   json_object_get_string_member (authority, "id")));
  g_assert_cmpstr (json_object_get_string_member (certificate, "validity"), ==, "valid");
  g_assert_cmpuint (strlen (json_object_get_string_member (certificate, "fingerprint_sha256")), ==,
                    64);
  fixture_remove (dir);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/commy-pki/init-makes-all-and-issue-lets-another-host-in", test_init_and_issue);
  g_test_add_func ("/commy-pki/exit-codes-tell-failure-from-wrong-usage", test_usage);
  g_test_add_func ("/commy-pki/show/json-names-both-certificates", test_show_json);
  return g_test_run ();
}
