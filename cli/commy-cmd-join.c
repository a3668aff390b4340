/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `commy join`: from a token to credentials of this host and user. The token is read where no
 * list of processes shows it: from the terminal, standard input or a file.
 */
#include "config.h"

#include "cli/commy-cmd-pki.h"

#include "cli/commy-act.h"
#include "cli/commy-output.h"
#include "cli/commy-quantity.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

typedef struct
{
  char *dir;
  char *file;
  char *host;
  char *user;
  char *timeout;
  gboolean replace;
} Options;

static void
options_clear (Options *options)
{
  g_free (options->dir);
  g_free (options->file);
  g_free (options->host);
  g_free (options->user);
  g_free (options->timeout);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Options, options_clear)

static const CommyCliVerb verb = {
  .name = "join",
  .usage = "[TOKEN|-] - join a mesh of another host",
  .summary
  = "Makes a key here, and gets a certificate for it from the authority that made the token\n"
    "(commy pki token create). The key never leaves this host, and the token's secret\n"
    "is sent only to the authority whose fingerprint the token has. Without TOKEN it is\n"
    "asked for; \"-\" reads it from standard input. As an argument everybody who may list\n"
    "processes can see it, so the other ways are better.",
  .description = "Example:\n"
                 "  commy join\n"
                 "  commy join --file token --host web2\n"
                 "  ssh authority commy pki token create | commy join -\n\n" COMMY_CMD_PKI_DIR_HELP,
  .has_format = TRUE,
};

/* --- the token's text --- */

/* Whether somebody at a terminal ended his line, or wants nothing more: Ctrl-C, Ctrl-D. */
static gboolean
is_line_over (const char *text, gsize size)
{
  return memchr (text, '\n', size) != NULL || memchr (text, '\003', size) != NULL
         || memchr (text, '\004', size) != NULL;
}

/* At most one byte more than a token can have, so that what is too long is seen as such. */
static char *
read_text (int fd, gboolean line, GError **error)
{
  char *text = g_malloc0 (COMMY_PKI_TOKEN_TEXT_MAX + 2);
  gsize size = 0;

  while (size <= COMMY_PKI_TOKEN_TEXT_MAX)
    {
      gssize got = read (fd, text + size, COMMY_PKI_TOKEN_TEXT_MAX + 1 - size);

      if (got < 0 && errno == EINTR)
        continue;
      if (got < 0)
        {
          commy_cli_set_error (error, COMMY_ERROR_JOIN, "cannot read the token: %s",
                               g_strerror (errno));
          commy_pki_free_secret (text);
          return NULL;
        }
      size += (gsize) got;
      if (got == 0 || (line && is_line_over (text, size)))
        break;
    }
  return text;
}

static char *
ask (GError **error)
{
  struct termios before, silent;
  char *text;
  gboolean is_terminal = tcgetattr (STDIN_FILENO, &before) == 0;

  if (is_terminal)
    {
      commy_cli_note ("paste the token (it is not shown), then press enter");
      silent = before;
      /* No signals: one that ended us here would leave the terminal mute. */
      silent.c_lflag &= ~(tcflag_t) (ECHO | ICANON | ISIG);
      silent.c_cc[VMIN] = 1;
      silent.c_cc[VTIME] = 0;
      tcsetattr (STDIN_FILENO, TCSAFLUSH, &silent);
    }
  text = read_text (STDIN_FILENO, is_terminal, error);
  if (is_terminal)
    tcsetattr (STDIN_FILENO, TCSAFLUSH, &before);
  return text;
}

static char *
read_file (const char *path, GError **error)
{
  int fd = open (path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
  char *text;

  if (fd < 0)
    {
      commy_cli_set_error (error, COMMY_ERROR_JOIN, "cannot read the token from %s: %s", path,
                           g_strerror (errno));
      return NULL;
    }
  text = read_text (fd, FALSE, error);
  close (fd);
  return text;
}

static CommyPkiToken *
read_token (const Options *options, const char *argument, GError **error)
{
  CommyPkiToken *token = NULL;
  char *text;

  if (options->file != NULL && strcmp (options->file, "-") != 0)
    text = read_file (options->file, error);
  else if (options->file == NULL && argument != NULL && strcmp (argument, "-") != 0)
    text = g_strdup (argument);
  else
    text = ask (error);
  if (text != NULL)
    token = commy_pki_token_parse (text, error);
  commy_pki_free_secret (text);
  return token;
}

/* --- what came of it --- */

static void
print_text (const CommyPkiMembership *membership, const CommyPkiToken *token, const char *dir)
{
  g_autofree char *until = commy_cmd_pki_format_time (membership->not_after_s);
  g_autofree char *due = commy_cmd_pki_format_time (
      commy_pki_renewal_due (membership->not_before_s, membership->not_after_s, 0));
  g_autofree char *fingerprint = commy_pki_format_fingerprint (token->fingerprint);

  commy_output_print ("certificate  %s\n", membership->id);
  commy_output_print ("valid until  %s, renewed by running nodes from %s on\n", until, due);
  commy_output_print ("authority    %s, key %s\n", membership->address, fingerprint);
  commy_output_print ("directory    %s\n", dir);
  commy_cli_note ("joined; next: offer something (commy serve org.example.Echo) or look who is "
                  "there (commy services ls)");
}

static void
print_json (const CommyPkiMembership *membership, const CommyPkiToken *token, const char *dir)
{
  g_autofree char *until = commy_cmd_pki_format_time (membership->not_after_s);
  g_autofree char *fingerprint = commy_pki_format_fingerprint (token->fingerprint);
  g_autofree char *directory = g_filename_display_name (dir);
  GVariantDict dict;

  g_variant_dict_init (&dict, NULL);
  g_variant_dict_insert (&dict, "id", "s", membership->id);
  g_variant_dict_insert (&dict, "not_after", "s", until);
  g_variant_dict_insert (&dict, "authority", "s", membership->address);
  g_variant_dict_insert (&dict, "fingerprint", "s", fingerprint);
  g_variant_dict_insert (&dict, "directory", "s", directory);
  commy_output_json (g_variant_dict_end (&dict));
}

static CommyExit
join (const CommyCli *cli, const Options *options, const CommyPkiToken *token, gint64 timeout_us)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyPkiMembership) membership = NULL;
  CommyPkiJoin wanted = {
    .dir = options->dir,
    .token = token,
    .host = options->host,
    .user = options->user,
    .replace = options->replace,
    .timeout_us = timeout_us,
  };

  wanted.now_s = commy_cmd_pki_now (); /* after somebody took his time to paste it */
  membership = commy_pki_join (&wanted, NULL, &error);
  if (membership == NULL)
    return commy_cmd_pki_fail (error);
  if (cli->json)
    print_json (membership, token, options->dir);
  else
    print_text (membership, token, options->dir);
  return COMMY_EXIT_DONE;
}

static CommyExit
run (const CommyCli *cli, const Options *options, const char *argument, gint64 timeout_us)
{
  g_autofree char *whose = g_strdup_printf ("host/%s/user/%s", options->host, options->user);
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyPkiToken) token = read_token (options, argument, &error);
  CommyAct act;

  if (token == NULL)
    return commy_cmd_pki_fail (error);
  if (!commy_act_begin (&act, cli, NULL, "join", whose))
    return act.status;
  return commy_act_end (&act, join (cli, options, token, timeout_us));
}

CommyExit
commy_cmd_join (CommyCli *cli, char **argv)
{
  g_auto (Options) options = { NULL };
  gint64 timeout_us = 0;
  const GOptionEntry entries[] = {
    { "file", 'f', 0, G_OPTION_ARG_FILENAME, &options.file, "Read the token from FILE", "FILE" },
    { "host", 0, 0, G_OPTION_ARG_STRING, &options.host, "Name of this host (its own)", "NAME" },
    { "user", 0, 0, G_OPTION_ARG_STRING, &options.user, "Name of the user (one's own)", "NAME" },
    { "dir", 'd', 0, G_OPTION_ARG_FILENAME, &options.dir, "Where the credentials go", "DIR" },
    { "replace", 0, 0, G_OPTION_ARG_NONE, &options.replace,
      "Leave the authority that this host belongs to", NULL },
    { "timeout", 't', 0, G_OPTION_ARG_STRING, &options.timeout, "How long to try (10s)", "TIME" },
    { NULL },
  };
  g_auto (GStrv) arguments = commy_cli_parse (cli, &verb, entries, argv);

  if (arguments == NULL)
    return COMMY_EXIT_USAGE;
  if (arguments[1] != NULL && (arguments[2] != NULL || options.file != NULL))
    return commy_cli_misuse (&verb, "one token is enough: TOKEN, - or --file");
  if (options.timeout != NULL && !commy_quantity_parse_time (options.timeout, &timeout_us))
    return commy_cli_misuse (&verb, "--timeout is a time as 500ms or 10s");
  if (options.dir == NULL)
    options.dir = commy_cmd_pki_dup_dir (cli, NULL);
  if (options.host == NULL)
    options.host = g_strdup (g_get_host_name ());
  if (options.user == NULL)
    options.user = commy_cmd_pki_dup_user ();
  return run (cli, &options, arguments[1], timeout_us);
}
