/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `commy pki init | issue | renew` and the way to the other subcommands. Everything about
 * certificates is in auth/common.
 */
#include "config.h"

#include "cli/commy-cmd-pki.h"

#include "cli/commy-act.h"
#include "cli/commy-output.h"

#include <pwd.h>
#include <string.h>
#include <unistd.h>

#define DAYS_MAX 3650

typedef struct
{
  char *dir;
  char *host;
  char *user;
  char *out;
  int days;
} Options;

static void
options_clear (Options *options)
{
  g_free (options->dir);
  g_free (options->host);
  g_free (options->user);
  g_free (options->out);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Options, options_clear)

/* --- for all subcommands --- */

char *
commy_cmd_pki_dup_dir (const CommyCli *cli, const char *dir)
{
  return dir != NULL ? g_strdup (dir)
                     : commy_pki_default_dir (cli->mesh != NULL ? cli->mesh : "default");
}

char *
commy_cmd_pki_dup_state_dir (const CommyCli *cli)
{
  g_autofree char *pki = commy_cmd_pki_dup_dir (cli, NULL);

  return g_path_get_dirname (pki);
}

CommyExit
commy_cmd_pki_fail (const GError *error)
{
  g_autoptr (GError) numbered = NULL;

  if (error->domain != COMMY_ERROR || g_str_has_prefix (error->message, "CMY"))
    return commy_cli_fail (error);
  commy_cli_set_error (&numbered, (CommyError) error->code, "%s", error->message);
  return commy_cli_fail (numbered);
}

char *
commy_cmd_pki_dup_user (void)
{
  return getpwuid (getuid ()) != NULL ? g_strdup (g_get_user_name ())
                                      : g_strdup_printf ("uid-%u", (guint) getuid ());
}

gint64
commy_cmd_pki_now (void)
{
  return g_get_real_time () / G_USEC_PER_SEC;
}

char *
commy_cmd_pki_format_time (gint64 seconds)
{
  g_autoptr (GDateTime) time = g_date_time_new_from_unix_utc (seconds);

  return time == NULL ? g_strdup ("?") : g_date_time_format (time, "%Y-%m-%dT%H:%M:%SZ");
}

/* --- init and issue --- */

static gboolean
issue (CommyPkiAuthority *authority, const Options *options, const char *dir, GError **error)
{
  gint64 now = commy_cmd_pki_now ();
  g_autoptr (CommyPkiPair) pair
      = commy_pki_issue (authority, options->host, options->user, now - COMMY_PKI_BACKDATE_S,
                         now + options->days * COMMY_PKI_SECONDS_PER_DAY, error);

  return pair != NULL && commy_pki_make_dir (dir, error)
         && commy_pki_note_issued (options->dir, pair->cert_pem, now, error)
         && commy_pki_pair_save (pair, authority, dir, error);
}

static gboolean
begin (CommyAct *act, const CommyCli *cli, const char *what, const Options *options)
{
  g_autofree char *whose = g_strdup_printf ("host/%s/user/%s", options->host, options->user);

  return commy_act_begin (act, cli, NULL, what, whose);
}

static void
print_issued (CommyPkiAuthority *authority, const Options *options, const char *dir)
{
  const char *domain = commy_pki_authority_get_domain (authority);

  commy_output_print ("certificate  spiffe://%s/host/%s/user/%s\n", domain, options->host,
                      options->user);
  commy_output_print ("directory    %s\n", dir);
}

/* The options of both. NULL: told what is wrong. */
static char **
parse (CommyCli *cli, const CommyCliVerb *verb, Options *options, gboolean has_out, char **argv)
{
  const GOptionEntry entries[] = {
    { "dir", 'd', 0, G_OPTION_ARG_FILENAME, &options->dir, "Directory of the authority", "DIR" },
    { "host", 0, 0, G_OPTION_ARG_STRING, &options->host, "Host it is for (this one)", "NAME" },
    { "user", 0, 0, G_OPTION_ARG_STRING, &options->user, "User it is for (this one)", "NAME" },
    { "days", 0, 0, G_OPTION_ARG_INT, &options->days, "How long it is valid (90)", "N" },
    /* The last one is for issue alone. */
    { has_out ? "out" : NULL, 0, 0, G_OPTION_ARG_FILENAME, &options->out, "Where it goes", "DIR" },
    { NULL },
  };
  g_auto (GStrv) arguments = commy_cli_parse (cli, verb, entries, argv);

  if (arguments == NULL)
    return NULL;
  if (options->dir == NULL)
    options->dir = commy_cmd_pki_dup_dir (cli, NULL);
  if (options->host == NULL)
    options->host = g_strdup (g_get_host_name ());
  if (options->user == NULL)
    options->user = commy_cmd_pki_dup_user ();
  if (arguments[1] != NULL)
    commy_cli_misuse (verb, "what is \"%s\"?", arguments[1]);
  else if (options->days < 1 || options->days > DAYS_MAX)
    commy_cli_misuse (verb, "--days is from 1 to %d", DAYS_MAX);
  else
    return g_steal_pointer (&arguments);
  return NULL;
}

static CommyExit
init (const CommyCli *cli, const Options *options)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyPkiAuthority) authority = commy_pki_authority_new (
      cli->mesh != NULL ? cli->mesh : "default", commy_cmd_pki_now (), &error);

  if (authority == NULL || !commy_pki_authority_save (authority, options->dir, &error)
      || !issue (authority, options, options->dir, &error))
    return commy_cmd_pki_fail (error);
  commy_output_print ("authority    spiffe://%s\n", commy_pki_authority_get_domain (authority));
  print_issued (authority, options, options->dir);
  return COMMY_EXIT_DONE;
}

static CommyExit
cmd_init (CommyCli *cli, char **argv)
{
  static const CommyCliVerb verb = {
    .name = "pki init",
    .usage = "- make an authority",
    .summary
    = "Makes the authority of a mesh, and a certificate for this host and user: from then\n"
      "on the transport tls listens. An authority is never overwritten; its key never\n"
      "leaves its directory.",
    .description = "Example: a mesh of two hosts. Here:\n"
                   "  commy pki init\n"
                   "  commy pki serve --token-valid 15m\n"
                   "and there, with the token that this printed:\n"
                   "  commy join\n\n" COMMY_CMD_PKI_DIR_HELP,
  };
  g_auto (Options) options = { .days = COMMY_PKI_LIFE_DAYS };
  g_auto (GStrv) arguments = parse (cli, &verb, &options, FALSE, argv);
  g_autoptr (GError) error = NULL;
  CommyAct act;

  if (arguments == NULL)
    return COMMY_EXIT_USAGE;
  /* All that can be wrong with the names is found before anything is written. */
  if (!commy_pki_check_segment (options.host, "host", &error)
      || !commy_pki_check_segment (options.user, "user", &error))
    return commy_cmd_pki_fail (error);
  if (!begin (&act, cli, "pki init", &options))
    return act.status;
  return commy_act_end (&act, init (cli, &options));
}

static CommyExit
issue_by_hand (const Options *options)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyPkiAuthority) authority = commy_pki_authority_load (options->dir, &error);

  if (authority == NULL || !issue (authority, options, options->out, &error))
    return commy_cmd_pki_fail (error);
  print_issued (authority, options, options->out);
  commy_cli_note ("%s holds a key: for its node only", options->out);
  return COMMY_EXIT_DONE;
}

static CommyExit
cmd_issue (CommyCli *cli, char **argv)
{
  static const CommyCliVerb verb = {
    .name = "pki issue",
    .usage = "--out DIR - make a certificate by hand",
    .summary
    = "Makes key and certificate of another host or user in --out DIR, to be carried there.\n"
      "Where the other host can reach this one, commy join does it without carrying a\n"
      "key, and renews by itself.",
    .description
    = "Example:\n"
      "  commy pki issue --host web2 --user www --out ./web2\n"
      "  scp -r web2/. www@web2:.local/state/commy/default/pki\n\n" COMMY_CMD_PKI_DIR_HELP,
  };
  g_auto (Options) options = { .days = COMMY_PKI_LIFE_DAYS };
  g_auto (GStrv) arguments = parse (cli, &verb, &options, TRUE, argv);
  CommyAct act;

  if (arguments == NULL)
    return COMMY_EXIT_USAGE;
  if (options.out == NULL)
    return commy_cli_misuse (&verb, "say where the new certificate goes: --out DIR");
  if (!begin (&act, cli, "pki issue", &options))
    return act.status;
  return commy_act_end (&act, issue_by_hand (&options));
}

/* --- renew --- */

static CommyExit
renew (const char *dir)
{
  g_autofree char *until = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyPkiMembership) membership
      = commy_pki_renew (dir, 0, commy_cmd_pki_now (), NULL, &error);

  if (error != NULL)
    return commy_cmd_pki_fail (error);
  if (membership == NULL)
    {
      commy_cli_note ("another process renews the certificate in %s just now", dir);
      return COMMY_EXIT_DONE;
    }
  until = commy_cmd_pki_format_time (membership->not_after_s);
  commy_output_print ("certificate  %s\n", membership->id);
  commy_output_print ("valid until  %s\n", until);
  commy_output_print ("issuer       %s\n",
                      membership->address != NULL ? membership->address : "this host");
  return COMMY_EXIT_DONE;
}

static CommyExit
cmd_renew (CommyCli *cli, char **argv)
{
  static const CommyCliVerb verb = {
    .name = "pki renew",
    .usage = "- renew this node's certificate now",
    .summary
    = "Gets a new key and certificate for the same name: from the authority this host joined,\n"
      "or, where the authority's key lies, made on the spot. Running nodes do this by\n"
      "themselves after two thirds of a certificate's life, and take up what others of\n"
      "this host renewed; no connection is dropped.",
    .description = "Example:\n"
                   "  commy pki renew && commy pki show\n\n" COMMY_CMD_PKI_DIR_HELP,
  };
  g_autofree char *given = NULL;
  g_autofree char *dir = NULL;
  const GOptionEntry entries[] = {
    { "dir", 'd', 0, G_OPTION_ARG_FILENAME, &given, "Directory of the credentials", "DIR" },
    { NULL },
  };
  g_auto (GStrv) arguments = commy_cli_parse (cli, &verb, entries, argv);
  CommyAct act;

  if (arguments == NULL)
    return COMMY_EXIT_USAGE;
  if (arguments[1] != NULL)
    return commy_cli_misuse (&verb, "what is \"%s\"?", arguments[1]);
  dir = commy_cmd_pki_dup_dir (cli, given);
  if (!commy_act_begin (&act, cli, NULL, "pki renew", dir))
    return act.status;
  return commy_act_end (&act, renew (dir));
}

/* --- the way to all --- */

typedef struct
{
  const char *name;
  CommyCmdFunc func;
} Subcommand;

static const Subcommand subcommands[] = {
  { "init", cmd_init },
  { "issue", cmd_issue },
  { "show", commy_cmd_pki_show },
  { "token", commy_cmd_pki_token },
  { "serve", commy_cmd_pki_serve },
  { "renew", cmd_renew },
  { "revoke", commy_cmd_pki_revoke },
  { "rotate", commy_cmd_pki_rotate },
};

static CommyExit
show_help (CommyCli *cli, char **argv)
{
  static const CommyCliVerb verb = {
    .name = "pki",
    .usage = "init|issue|show|token|serve|renew|revoke|rotate - the authority and the certificates "
             "of a mesh",
    .summary
    = "  init   make an authority, and a certificate for this host and user: ready to run\n"
      "  token  one-time tokens, with which other hosts join: create, ls, revoke\n"
      "  serve  let other hosts in who have a token, and renew their certificates\n"
      "  show   tell what is there: names, validity, issuer, fingerprints\n"
      "  renew  renew this node's certificate now; running nodes do it by themselves\n"
      "  issue  make another host's certificate by hand, in --out DIR\n"
      "  revoke take certificates back, of a node or by serial number\n"
      "  rotate change the authority's key in stages, while everything runs",
    .description = "Each has a help of its own: commy pki serve --help\n\n"
                   "Example: let a second host in. Here:\n"
                   "  commy pki init\n"
                   "  commy pki serve &\n"
                   "  commy pki token create\n"
                   "and there, which asks for the token:\n"
                   "  commy join\n\n" COMMY_CMD_PKI_DIR_HELP,
  };
  g_auto (GStrv) arguments = commy_cli_parse (cli, &verb, NULL, argv);

  if (arguments == NULL)
    return COMMY_EXIT_USAGE;
  return arguments[1] == NULL
             ? commy_cli_misuse (&verb, "say one of init, issue, show, token, serve, renew, "
                                        "revoke, rotate")
             : commy_cli_misuse (&verb,
                                 "there is no \"%s\"; say one of init, issue, show, token, "
                                 "serve, renew, revoke, rotate first",
                                 arguments[1]);
}

CommyExit
commy_cmd_pki (CommyCli *cli, char **argv)
{
  for (guint i = 0; argv[1] != NULL && i < G_N_ELEMENTS (subcommands); i++)
    if (strcmp (argv[1], subcommands[i].name) == 0)
      return subcommands[i].func (cli, argv + 1);
  return show_help (cli, argv);
}
