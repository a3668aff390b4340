/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The command commy: options for all, and the table of verbs.
 */
#include "config.h"

#include "cli/commy-cmd.h"
#include "cli/commy-help.h"
#include "cli/commy-nearest.h"
#include "cli/commy-output.h"

#ifdef COMMY_CLI_WITH_PKI
#include "cli/commy-cmd-pki.h"
#endif

#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

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
#define commy_cmd_token commy_cmd_pki
#define commy_cmd_totp commy_cmd_pki
#define commy_cmd_session commy_cmd_pki
#define commy_cmd_cert commy_cmd_pki
#endif

/* In the order in which a newcomer meets them. */
static const CommyVerb verbs[] = {
  { "serve", commy_cmd_serve, N_ ("offer a service until interrupted"),
    "commy serve org.example.Echo", COMMY_TASK_USE },
  { "call", commy_cmd_call, N_ ("call a method of a service"),
    "commy call org.example.Echo Echo \"'hello'\"", COMMY_TASK_USE },
  { "introspect", commy_cmd_introspect, N_ ("which methods a service has"),
    "commy introspect org.example.Echo", COMMY_TASK_USE },
  { "publish", commy_cmd_publish, N_ ("publish a value to a topic"),
    "commy publish sensors.temp 21.5", COMMY_TASK_USE },
  { "subscribe", commy_cmd_subscribe, N_ ("print what is published to topics"),
    "commy subscribe 'sensors.**'", COMMY_TASK_USE },
  { "bridge", commy_cmd_bridge, N_ ("services to and from a D-Bus message bus: dbus"),
    "commy bridge dbus export org.example.Echo --xml echo.xml", COMMY_TASK_USE },
  { "services", commy_cmd_services, N_ ("who offers what: ls, info, stats, ping, deps"),
    "commy services ls", COMMY_TASK_LOOK },
  { "endpoints", commy_cmd_endpoints, N_ ("instances as callers see them, and why not picked"),
    "commy endpoints org.example.Echo", COMMY_TASK_LOOK },
  { "nodes", commy_cmd_nodes, N_ ("the processes of the mesh: ls, info"), "commy nodes ls",
    COMMY_TASK_LOOK },
  { "node", commy_cmd_node, N_ ("what a running process tells about itself"),
    "commy node flows --of org.example.Echo", COMMY_TASK_LOOK },
  { "stats", commy_cmd_stats, N_ ("counts and times of services and channels"),
    "commy stats --watch", COMMY_TASK_LOOK },
  { "drops", commy_cmd_drops, N_ ("messages that were not delivered, and why"), "commy drops",
    COMMY_TASK_LOOK },
  { "health", commy_cmd_health, N_ ("whether instances are well, and why not"),
    "commy health org.example.Echo", COMMY_TASK_LOOK },
  { "alerts", commy_cmd_alerts, N_ ("alerts of the keyfiles, and which of them fire: ls"),
    "commy alerts ls", COMMY_TASK_LOOK },
  { "audit", commy_cmd_audit, N_ ("who did what: tail, query, verify, export, erase"),
    "commy audit tail --outcome denied", COMMY_TASK_LOOK },
  { "top", commy_cmd_top, N_ ("nodes, services and flows with rates, full screen"), "commy top",
    COMMY_TASK_LOOK },
  { "store", commy_cmd_store, N_ ("the mesh's store: get, put, rm, watch, status"),
    "commy store get shop/limit", COMMY_TASK_LOOK },
  { "route", commy_cmd_route, N_ ("which path a message takes, and why: explain"),
    "commy route explain org.example.Echo --size 64,4k,1M", COMMY_TASK_UNDERSTAND },
  { "plugin", commy_cmd_plugin,
    N_ ("plugins: list, info, release, pin; for authors new, verify, bench"), "commy plugin list",
    COMMY_TASK_UNDERSTAND },
  { "schema", commy_cmd_schema, N_ ("interfaces: whether a new one fits the old: check, hash"),
    "commy schema check old.xml new.xml", COMMY_TASK_UNDERSTAND },
  { "simulate", commy_cmd_simulate, N_ ("what would happen if: a scenario, in virtual time"),
    "commy simulate scenario.conf --plot scenario.svg", COMMY_TASK_UNDERSTAND },
  { "policy", commy_cmd_policy, N_ ("who may do what, and why not: ls, explain, test"),
    "commy policy explain unix:uid=34 call org.example.Echo/Echo", COMMY_TASK_UNDERSTAND },
  { "authz", commy_cmd_authz, N_ ("yes or no, for scripts: can"),
    "commy authz can unix:uid=34 call org.example.Echo/Echo", COMMY_TASK_UNDERSTAND },
  { "doctor", commy_cmd_doctor, N_ ("whether this machine is fit, and what to do if not"),
    "commy doctor", COMMY_TASK_UNDERSTAND },
  { "help", commy_cmd_help, N_ ("a verb, a topic, or the number of an error"), "commy help CMY0301",
    COMMY_TASK_UNDERSTAND },
  { "codegen", commy_cmd_codegen, N_ ("typed C proxies and skeletons from introspection XML"),
    "commy codegen --generate-c-code echo-generated echo.xml", COMMY_TASK_SET_UP },
  { "config", commy_cmd_config, N_ ("settings and where they come from: show, check"),
    "commy config check my.conf", COMMY_TASK_SET_UP },
  { "pki", commy_cmd_pki, N_ ("certificates of a mesh: init, token, serve, show, renew"),
    "commy pki init", COMMY_TASK_SET_UP },
  { "cert", commy_cmd_cert, N_ ("certificates in use: ls, expiry; shut out at once: deny, allow"),
    "commy cert ls", COMMY_TASK_SET_UP },
  { "join", commy_cmd_join, N_ ("join a mesh of another host, with a token of it"), "commy join",
    COMMY_TASK_SET_UP },
  { "token", commy_cmd_token, N_ ("keys for callers without a certificate: create, ls, revoke"),
    "commy token create --name build", COMMY_TASK_SET_UP },
  { "totp", commy_cmd_totp, N_ ("one-time codes as a second factor: enrol, ls, revoke"),
    "commy totp enrol unix:uid=1000", COMMY_TASK_SET_UP },
  { "session", commy_cmd_session, N_ ("who need not show a second factor for now: ls, revoke"),
    "commy session ls", COMMY_TASK_SET_UP },
  { "__complete", commy_cmd_complete, NULL, NULL, COMMY_TASK_HIDDEN },
};

const CommyVerb *
commy_verbs (guint *out_n)
{
  *out_n = G_N_ELEMENTS (verbs);
  return verbs;
}

const CommyVerb *
commy_verbs_find (const char *name)
{
  for (guint i = 0; i < G_N_ELEMENTS (verbs); i++)
    if (strcmp (verbs[i].name, name) == 0)
      return &verbs[i];
  return NULL;
}

/* (transfer container): names of the verbs that people see, up to NULL */
static GPtrArray *
list_names (void)
{
  GPtrArray *names = g_ptr_array_new ();

  for (guint i = 0; i < G_N_ELEMENTS (verbs); i++)
    if (verbs[i].task != COMMY_TASK_HIDDEN)
      g_ptr_array_add (names, (gpointer) verbs[i].name);
  g_ptr_array_add (names, NULL);
  return names;
}

static CommyExit
run_verb (CommyCli *cli, char **argv)
{
  const CommyVerb *verb = commy_verbs_find (argv[0]);
  g_autoptr (GPtrArray) names = NULL;
  g_autofree char *known = NULL;
  g_autofree char *hint = NULL;

  if (verb != NULL)
    return verb->func (cli, argv);
  names = list_names ();
  known = g_strjoinv (", ", (char **) names->pdata);
  hint = commy_nearest_dup_hint (argv[0], (const char *const *) names->pdata);
  commy_cli_note ("there is no verb \"%s\"%s; the verbs are %s (see commy --help)", argv[0], hint,
                  known);
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
    commy_help_print_overview ();
  else if (arguments[1] != NULL)
    return run_verb (cli, arguments + 1);
  else
    {
      commy_cli_note ("say what to do: a verb (see commy --help)");
      return COMMY_EXIT_USAGE;
    }
  return COMMY_EXIT_DONE;
}

/* Tests and the build tree have the catalogs elsewhere; the library looks there too. */
static const char *
commy_localedir (void)
{
  const char *set = getauxval (AT_SECURE) != 0 ? NULL : g_getenv ("COMMY_LOCALE_DIR");

  return set != NULL && set[0] != '\0' ? set : COMMY_LOCALE_DIR;
}

/* A file that is opened in the place of a closed standard stream would take what is printed, a
 * secret too. The place is filled so that using it fails as it did: for the wrong direction. */
static gboolean
fill_standard_streams (void)
{
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
    if (fcntl (fd, F_GETFD) < 0
        && open ("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
      return FALSE;
  return TRUE;
}

int
main (int argc, char **argv)
{
  CommyCli cli = { NULL };
  CommyExit status;

  if (!fill_standard_streams ())
    return COMMY_EXIT_FAILED;
  /* Text in the user's encoding; numbers stay as programs read them. */
  setlocale (LC_CTYPE, "");
  setlocale (LC_MESSAGES, "");
  bindtextdomain (GETTEXT_PACKAGE, commy_localedir ());
  bind_textdomain_codeset (GETTEXT_PACKAGE, "UTF-8");
  textdomain (GETTEXT_PACKAGE);
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
