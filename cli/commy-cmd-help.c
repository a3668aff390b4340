/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `commy help`: the overview by task, topics, the page of an error (CMY0nnn) and of a check of
 * `commy doctor` (D0nn), and the help of a verb.
 */
#include "config.h"

#include "cli/commy-cmd.h"
#include "cli/commy-doctor.h"
#include "cli/commy-help.h"
#include "cli/commy-nearest.h"
#include "cli/commy-output.h"

#include <glib/gi18n.h>
#include <string.h>

#define HIGHEST_CODE 9999

static const CommyCliVerb verb = {
  .name = "help",
  .usage = "[VERB | TOPIC | CMY0nnn | D0nn]",
  .summary
  = N_ ("Help on a verb, a topic, an error or a check of commy doctor; without any of them\n"
        "what there is, by task. \"errors\" and \"checks\" list all numbers."),
  .description = N_ ("Example: what does the number in a message mean?\n"
                     "  commy help CMY0301\n"
                     "  commy help values\n"
                     "  commy help errors"),
};

/* --- the overview --- */

static const struct
{
  CommyTask task;
  const char *title;
} tasks[] = {
  { COMMY_TASK_USE, N_ ("Offer and call") },
  { COMMY_TASK_LOOK, N_ ("See what is there and what happens") },
  { COMMY_TASK_UNDERSTAND, N_ ("Understand and mend") },
  { COMMY_TASK_SET_UP, N_ ("Set up") },
};

static void
print_verbs (CommyTask task)
{
  guint n;
  const CommyVerb *verbs = commy_verbs (&n);

  for (guint i = 0; i < n; i++)
    if (verbs[i].task == task)
      commy_output_print ("  %-12s%s\n              %s\n", verbs[i].name, _ (verbs[i].summary),
                          verbs[i].example);
}

static void
print_topics (void)
{
  guint n;
  const CommyHelpTopic *topics = commy_help_topics (&n);

  for (guint i = 0; i < n; i++)
    commy_output_print ("  %-12s%s\n", topics[i].name, _ (topics[i].summary));
  commy_output_print ("  %-12s%s\n", "errors", _ ("every number of an error"));
  commy_output_print ("  %-12s%s\n", "checks", _ ("every check of commy doctor"));
}

void
commy_help_print_overview (void)
{
  commy_output_print (_ ("Usage:\n  commy [--mesh NAME] VERB [OPTION...]\n\n"
                         "Serves, calls, looks and explains: Commy picks the fastest path that is\n"
                         "allowed between programs, and this command shows which and why.\n"));
  for (guint i = 0; i < G_N_ELEMENTS (tasks); i++)
    {
      commy_output_print ("\n%s:\n", _ (tasks[i].title));
      print_verbs (tasks[i].task);
    }
  commy_output_print (_ ("\nTopics (commy help TOPIC):\n"));
  print_topics ();
  commy_output_print (_ ("\nOptions:\n"
                         "  --mesh NAME  the mesh, a name for all that can find each other\n"
                         "  --version    version and licence\n"
                         "  --help       this text; \"commy VERB --help\" has more\n\n"
                         "Try it: in one terminal \"commy serve org.example.Echo\", in another\n"));
  commy_output_print ("  commy call org.example.Echo Echo \"'hello'\"\n"
                      "  commy introspect org.example.Echo\n"
                      "  commy route explain org.example.Echo --size 64,4k,1M\n"
                      "  commy stats --of org.example.Echo\n\n");
  commy_output_print ("%s\n", _ (COMMY_CLI_EXIT_CODES));
}

/* --- errors --- */

/* "CMY0301", "cmy301", "0301", "301"; -1: none of these */
static int
parse_number (const char *text, const char *prefix)
{
  gsize length = strlen (prefix);
  guint64 number;

  if (g_ascii_strncasecmp (text, prefix, length) == 0)
    text += length;
  if (!g_ascii_string_to_unsigned (text, 10, 1, HIGHEST_CODE, &number, NULL))
    return -1;
  return (int) number;
}

static const CommyHelpError *
find_error (int code)
{
  guint n;
  const CommyHelpError *errors = commy_help_errors (&n);

  for (guint i = 0; i < n; i++)
    if (errors[i].code == code)
      return &errors[i];
  return NULL;
}

/* Broken at blanks, so that no line is wider than a terminal of old. */
static void
print_wrapped (const char *text, const char *first, const char *other)
{
  g_auto (GStrv) words = g_strsplit (text, " ", -1);
  glong column = g_utf8_strlen (first, -1);

  commy_output_print ("%s", first);
  for (guint i = 0; words[i] != NULL; i++)
    {
      glong width = g_utf8_strlen (words[i], -1);

      if (i > 0 && column + 1 + width > 78)
        {
          commy_output_print ("\n%s", other);
          column = g_utf8_strlen (other, -1);
        }
      else if (i > 0)
        {
          commy_output_print (" ");
          column++;
        }
      commy_output_print ("%s", words[i]);
      column += width;
    }
  commy_output_print ("\n");
}

static void
print_error_page (int code, const char *meaning)
{
  const CommyHelpError *page = find_error (code);
  g_autofree char *title = g_strdup_printf ("CMY%04d", code);

  commy_output_print ("%s\n\n", title);
  print_wrapped (meaning, "  ", "  ");
  if (page == NULL)
    return;
  {
    g_auto (GStrv) causes = g_strsplit (_ (page->causes), "\n", -1);

    commy_output_print (_ ("\nCommon causes:\n"));
    for (guint i = 0; causes[i] != NULL; i++)
      print_wrapped (causes[i], "  - ", "    ");
  }
  {
    g_auto (GStrv) lines = g_strsplit (page->example, "\n", -1);

    commy_output_print (_ ("\nExample:\n"));
    for (guint i = 0; lines[i] != NULL; i++)
      commy_output_print ("  %s\n", lines[i]);
  }
}

static void
print_errors (void)
{
  for (int code = 1; code <= HIGHEST_CODE; code++)
    {
      const char *meaning = commy_error_explain (code);
      const char *end = meaning != NULL ? strstr (meaning, ". ") : NULL;
      g_autofree char *sentence = NULL;
      g_autofree char *head = g_strdup_printf ("CMY%04d  ", code);

      if (meaning == NULL)
        continue;
      sentence
          = end != NULL ? g_strndup (meaning, (gsize) (end + 1 - meaning)) : g_strdup (meaning);
      print_wrapped (sentence, head, "         ");
    }
}

/* --- checks --- */

static void
print_check (const CommyDoctorCheck *check)
{
  commy_output_print ("%s  %s\n\n", check->code, _ (check->title));
  print_wrapped (_ (check->help), "  ", "  ");
}

static const CommyDoctorCheck *
find_check (const char *code)
{
  guint n;
  const CommyDoctorCheck *checks = commy_doctor_checks (&n);

  for (guint i = 0; i < n; i++)
    if (g_ascii_strcasecmp (checks[i].code, code) == 0)
      return &checks[i];
  return NULL;
}

static void
print_checks (void)
{
  guint n;
  const CommyDoctorCheck *checks = commy_doctor_checks (&n);

  for (guint i = 0; i < n; i++)
    commy_output_print ("%s  %s\n", checks[i].code, _ (checks[i].title));
}

/* --- finding the page --- */

static gboolean
print_topic (const char *name)
{
  guint n;
  const CommyHelpTopic *topics = commy_help_topics (&n);

  for (guint i = 0; i < n; i++)
    if (strcmp (topics[i].name, name) == 0)
      {
        commy_output_print ("%s\n", _ (topics[i].text));
        return TRUE;
      }
  if (strcmp (name, "errors") == 0)
    print_errors ();
  else if (strcmp (name, "checks") == 0)
    print_checks ();
  else
    return FALSE;
  return TRUE;
}

static CommyExit
not_found (const char *name)
{
  g_autoptr (GPtrArray) known = g_ptr_array_new ();
  g_autofree char *hint = NULL;
  guint n_verbs, n_topics;
  const CommyVerb *verbs = commy_verbs (&n_verbs);
  const CommyHelpTopic *topics = commy_help_topics (&n_topics);

  for (guint i = 0; i < n_verbs; i++)
    if (verbs[i].task != COMMY_TASK_HIDDEN)
      g_ptr_array_add (known, (gpointer) verbs[i].name);
  for (guint i = 0; i < n_topics; i++)
    g_ptr_array_add (known, (gpointer) topics[i].name);
  g_ptr_array_add (known, (gpointer) "errors");
  g_ptr_array_add (known, (gpointer) "checks");
  g_ptr_array_add (known, NULL);
  hint = commy_nearest_dup_hint (name, (const char *const *) known->pdata);
  commy_cli_note ("there is no help on \"%s\"%s; \"commy help\" lists what there is", name, hint);
  return COMMY_EXIT_NOT_FOUND;
}

CommyExit
commy_cmd_help (CommyCli *cli, char **argv)
{
  g_auto (GStrv) arguments = commy_cli_parse (cli, &verb, NULL, argv);
  const char *name = arguments != NULL ? arguments[1] : NULL;
  char *words[] = { NULL, (char *) "--help", NULL };
  const CommyVerb *known;
  const CommyDoctorCheck *check;
  const char *meaning;
  int code;

  if (arguments == NULL)
    return COMMY_EXIT_USAGE;
  if (name == NULL)
    {
      commy_help_print_overview ();
      return COMMY_EXIT_DONE;
    }
  if (arguments[2] != NULL)
    return commy_cli_misuse (&verb, "takes one name");
  known = commy_verbs_find (name);
  if (known != NULL && known->task != COMMY_TASK_HIDDEN && known->func != commy_cmd_help)
    {
      words[0] = (char *) known->name;
      return known->func (cli, words);
    }
  code = parse_number (name, "CMY");
  meaning = code > 0 ? commy_error_explain (code) : NULL;
  check = find_check (name);
  if (meaning != NULL)
    print_error_page (code, meaning);
  else if (check != NULL)
    print_check (check);
  else if (!print_topic (name))
    return not_found (name);
  return COMMY_EXIT_DONE;
}
