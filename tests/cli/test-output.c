/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What others say cannot tell a terminal what to do, whichever way the command prints it.
 */
#include "config.h"

#include "cli/commy-output.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Another title, colours, the cursor elsewhere; of one byte as C1, of two as UTF-8; to the left;
 * half a character. */
static const char *const hostile[] = {
  "\033]0;owned\007",
  "\033[31mred\033[0m",
  "\033[2J\033[H",
  "\r overwritten",
  "\b\b\b",
  "\xc2\x9b"
  "31m",
  "\x9b"
  "31m",
  "\xe2\x80\xae"
  "txt",
  "\xe2\x81\xa6"
  "x",
  "\xc3",
  "\xe2\x80\xa8"
  "x",
  "a\vb\fc\x7f",
};

static void
assert_harmless (const char *text)
{
  g_assert_true (g_utf8_validate (text, -1, NULL));
  for (const char *at = text; *at != '\0'; at = g_utf8_next_char (at))
    {
      gunichar c = g_utf8_get_char (at);

      g_assert_false (g_unichar_iscntrl (c) && c != '\n');
      g_assert_false ((c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069));
    }
}

/* (transfer full): what @func writes to stdout */
static char *catch (void (*func) (void))
{
  g_autofree char *path = NULL;
  g_autoptr (GError) error = NULL;
  char *text = NULL;
  int fd = g_file_open_tmp ("commy-output-XXXXXX", &path, &error);
  int before = dup (STDOUT_FILENO);

  g_assert_no_error (error);
  fflush (stdout);
  dup2 (fd, STDOUT_FILENO);
  func ();
  fflush (stdout);
  dup2 (before, STDOUT_FILENO);
  close (before);
  close (fd);
  g_file_get_contents (path, &text, NULL, &error);
  g_assert_no_error (error);
  unlink (path);
  return text;
}

static void
print_all (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (hostile); i++)
    commy_output_print ("%s|%s\n", hostile[i], hostile[i]);
}

static void
tabulate_all (void)
{
  g_autoptr (CommyTable) table = commy_table_new ("A", "B", NULL);

  for (guint i = 0; i < G_N_ELEMENTS (hostile); i++)
    {
      commy_table_add_toned (table, hostile[i], COMMY_TONE_BAD);
      commy_table_take (table, g_strconcat ("two\n", hostile[i], NULL));
    }
  commy_table_print (table);
}

static void
test_print (void)
{
  g_autofree char *text = catch (print_all);

  assert_harmless (text);
  g_assert_nonnull (strstr (text, "?]0;owned?|?]0;owned?\n"));
}

/* A line feed does not begin a row that nobody added. */
static void
test_table (void)
{
  g_autofree char *text = catch (tabulate_all);
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);

  assert_harmless (text);
  g_assert_cmpuint (g_strv_length (lines), ==, G_N_ELEMENTS (hostile) + 2);
}

static void
print_others (void)
{
  commy_output_print ("%s\n", "caf\xc3\xa9\t\xe4\xb8\xad");
}

static void
test_what_is_harmless_stays (void)
{
  g_autofree char *text = catch (print_others);
  g_autofree char *clean = commy_output_clean ("caf\xc3\xa9\n\t\xe4\xb8\xad", TRUE);

  g_assert_cmpstr (text, ==, "caf\xc3\xa9\t\xe4\xb8\xad\n");
  g_assert_cmpstr (clean, ==, "caf\xc3\xa9\n \xe4\xb8\xad");
}

/* What a program reads is as it was; only what a terminal sees is not. */
static void
test_json (void)
{
  g_autofree char *json
      = commy_output_to_json (g_variant_new_string ("a\033[2J\xc2\x9b\xe2\x80\xae\xc3\xa9"), FALSE);

  g_assert_cmpstr (json, ==, "\"a\\u001b[2J\\u009b\\u202e\xc3\xa9\"");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  /* attack: names, reasons and errors with escape sequences, for the terminal of who looks at them;
   * defence: whatever the command prints goes through one door, which lets none pass; test:
   * /cli/output/what-is-printed-gives-no-orders */
  g_test_add_func ("/cli/output/what-is-printed-gives-no-orders", test_print);
  g_test_add_func ("/cli/output/cells-stay-in-their-row", test_table);
  g_test_add_func ("/cli/output/what-is-harmless-stays", test_what_is_harmless_stays);
  g_test_add_func ("/cli/output/json-keeps-what-it-escapes", test_json);
  return g_test_run ();
}
