/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The command commy: options for all, and the table of verbs.
 */
#include "config.h"

#include "cli/commy-cmd.h"
#include "cli/commy-output.h"

#ifdef COMMY_CLI_WITH_PKI
#include "cli/commy-cmd-pki.h"
#endif

#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

#ifndef COMMY_CLI_WITH_PKI
static CommyExit
commy_cmd_pki (CommyCli *cli, char **argv)
{
  commy_cli_note ("%s: this build has no GnuTLS, which certificates need; configure says so in "
                  "its summary",
                  argv[0]);
  return COMMY_EXIT_FAILED;
}
#define commy_cmd_join commy_cmd_pki
#endif

typedef struct
{
  const char *name;
  CommyCmdFunc func;
  const char *summary;
  const char *example;
} Verb;

static const Verb verbs[] = {
  { "serve", commy_cmd_serve, "offer a service until interrupted", "commy serve org.example.Echo" },
  { "call", commy_cmd_call, "call a method of a service",
    "commy call org.example.Echo Echo \"'hello'\"" },
  { "services", commy_cmd_services, "who offers what: ls, info", "commy services ls" },
  { "plugin", commy_cmd_plugin, "plugins, their states and profiles: list, info",
    "commy plugin list" },
  { "route", commy_cmd_route, "which path a message takes, and why: explain",
    "commy route explain org.example.Echo --size 64,4k,1M" },
  { "node", commy_cmd_node, "what a running process tells about itself",
    "commy node flows --of org.example.Echo" },
  { "config", commy_cmd_config, "settings and where they come from: show, check",
    "commy config check my.conf" },
  { "pki", commy_cmd_pki, "certificates of a mesh: init, token, serve, show, renew",
    "commy pki init" },
  { "join", commy_cmd_join, "join a mesh of another host, with a token of it", "commy join" },
};

static void
print_help (void)
{
  commy_output_print (
      "Usage:\n  commy [--mesh NAME] VERB [OPTION...]\n\n"
      "Serves, calls, looks and explains: Commy picks the fastest path that is\n"
      "allowed between programs, and this command shows which and why.\n\nVerbs:\n");
  for (guint i = 0; i < G_N_ELEMENTS (verbs); i++)
    commy_output_print ("  %-10s%s\n              %s\n", verbs[i].name, verbs[i].summary,
                        verbs[i].example);
  commy_output_print (
      "\nOptions:\n"
      "  --mesh NAME  the mesh, a name for all that can find each other\n"
      "  --version    version and licence\n"
      "  --help       this text; \"commy VERB --help\" has more\n\n"
      "Try it: in one terminal \"commy serve org.example.Echo\", in another\n"
      "  commy call org.example.Echo Echo \"'hello'\"\n"
      "  commy route explain org.example.Echo --size 64,4k,1M\n\n" COMMY_CLI_EXIT_CODES "\n");
}

static const Verb *
find_verb (const char *name)
{
  for (guint i = 0; i < G_N_ELEMENTS (verbs); i++)
    if (strcmp (verbs[i].name, name) == 0)
      return &verbs[i];
  return NULL;
}

static CommyExit
run_verb (CommyCli *cli, char **argv)
{
  const Verb *verb = find_verb (argv[0]);
  GString *known;

  if (verb != NULL)
    return verb->func (cli, argv);
  known = g_string_new (NULL);
  for (guint i = 0; i < G_N_ELEMENTS (verbs); i++)
    g_string_append_printf (known, "%s%s", i > 0 ? ", " : "", verbs[i].name);
  commy_cli_note ("there is no verb \"%s\"; the verbs are %s (see commy --help)", argv[0],
                  known->str);
  g_string_free (known, TRUE);
  return COMMY_EXIT_USAGE;
}

static CommyExit
run (CommyCli *cli, char **argv)
{
  gboolean help = FALSE, version = FALSE;
  const GOptionEntry entries[] = {
    { "mesh", 0, 0, G_OPTION_ARG_STRING, &cli->mesh, NULL, NULL },
    { "help", 'h', 0, G_OPTION_ARG_NONE, &help, NULL, NULL },
    { "version", 0, 0, G_OPTION_ARG_NONE, &version, NULL, NULL },
    { NULL },
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);
  g_auto (GStrv) arguments = g_strdupv (argv);
  g_autoptr (GError) error = NULL;

  g_option_context_add_main_entries (context, entries, NULL);
  g_option_context_set_help_enabled (context, FALSE);
  /* What stands behind the verb is the verb's. */
  g_option_context_set_strict_posix (context, TRUE);
  if (!g_option_context_parse_strv (context, &arguments, &error))
    {
      commy_cli_note ("%s (see commy --help)", error->message);
      return COMMY_EXIT_USAGE;
    }
  if (version)
    commy_output_print ("commy %s\nLicence LGPL-2.1-or-later\n", COMMY_VERSION);
  else if (help)
    print_help ();
  else if (arguments[1] != NULL)
    return run_verb (cli, arguments + 1);
  else
    {
      commy_cli_note ("say what to do: a verb (see commy --help)");
      return COMMY_EXIT_USAGE;
    }
  return COMMY_EXIT_DONE;
}

int
main (int argc, char **argv)
{
  CommyCli cli = { NULL };
  CommyExit status;

  /* Text in the user's encoding; numbers stay as programs read them. */
  setlocale (LC_CTYPE, "");
  g_set_prgname ("commy");
  status = run (&cli, argv);
  g_free (cli.mesh);
  g_free (cli.format);
  if ((fflush (stdout) != 0 || ferror (stdout)) && status == COMMY_EXIT_DONE)
    {
      commy_cli_note ("cannot write the output: %s", g_strerror (errno));
      return COMMY_EXIT_FAILED;
    }
  return (int) status;
}
