/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `commy pki serve`: the admission service of the authority in a directory, until interrupted.
 */
#include "config.h"

#include "cli/commy-cmd-pki.h"

#include "cli/commy-act.h"
#include "cli/commy-output.h"
#include "cli/commy-quantity.h"

#include <glib-unix.h>
#include <stdio.h>

#define LIFE_MIN_US (2 * G_USEC_PER_SEC)

typedef struct
{
  char *dir;
  char *listen;
  char *life;
  char *token_valid;
  gint64 life_us;
  gint64 token_valid_us;
} Options;

static void
options_clear (Options *options)
{
  g_free (options->dir);
  g_free (options->listen);
  g_free (options->life);
  g_free (options->token_valid);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Options, options_clear)

static const CommyCliVerb verb = {
  .name = "pki serve",
  .usage = "- let other hosts into the mesh",
  .summary
  = "Runs the admission service: who has a token gets a certificate (commy join), who has a\n"
    "certificate gets it renewed. TLS 1.3; newcomers know this authority by the\n"
    "fingerprint in their token. A node does the same while it runs if its keyfile says\n"
    "  [plugin auth/mtls]\n"
    "  param.serve-authority=0.0.0.0:7443",
  .description
  = "Example: let one other host in\n"
    "  commy pki serve --token-valid 15m\n"
    "prints a token first; paste it where \"commy join\" asks for it.\n\n" COMMY_CMD_PKI_DIR_HELP,
};

static void
on_log (gpointer data, GLogLevelFlags level, const char *line)
{
  commy_cli_note ("%s", line);
}

/* In the trail, as what the same service of a node does. */
static gboolean
on_record (gpointer mesh, const CommyPkiEvent *event, GError **error)
{
  return commy_mesh_record_certificate (
      mesh, event->outcome, event->id, event->from,
      event->certificate != NULL ? event->certificate : event->line, error);
}

static gboolean
on_interrupt (gpointer loop)
{
  g_main_loop_quit (loop);
  return G_SOURCE_CONTINUE;
}

static CommyExit
print_token (const CommyCli *cli, const Options *options)
{
  CommyExit status;
  char *text;

  if (options->token_valid == NULL)
    return COMMY_EXIT_DONE;
  text = commy_cmd_pki_make_token (cli, options->dir, NULL, NULL, NULL,
                                   options->token_valid_us / G_USEC_PER_SEC, NULL, &status);
  if (text == NULL)
    return status;
  commy_output_print ("token      %s\n", text);
  commy_pki_free_secret (text);
  return COMMY_EXIT_DONE;
}

static CommyExit
run (const CommyCli *cli, const Options *options, CommyMesh *mesh)
{
  const CommyPkiServerConfig config = {
    .dir = options->dir,
    .listen = options->listen,
    .life_s = options->life_us / G_USEC_PER_SEC,
    .log = on_log,
    .record = on_record,
    .record_data = mesh,
  };
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyPkiServer) server = commy_pki_server_new (&config, &error);
  guint interrupt, terminate;
  CommyExit status;

  if (server == NULL)
    return commy_cmd_pki_fail (error);
  interrupt = g_unix_signal_add (SIGINT, on_interrupt, loop);
  terminate = g_unix_signal_add (SIGTERM, on_interrupt, loop);
  commy_output_print ("listening  %s\n", commy_pki_server_get_address (server));
  status = print_token (cli, options);
  fflush (stdout);
  if (status == COMMY_EXIT_DONE)
    g_main_loop_run (loop);
  g_source_remove (interrupt);
  g_source_remove (terminate);
  return status;
}

static CommyExit
record_and_run (const CommyCli *cli, const Options *options)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyMesh) mesh = commy_act_dup_mesh (cli, &error);
  CommyAct act;

  if (mesh == NULL)
    return commy_cli_fail (error);
  if (!commy_act_begin (&act, cli, mesh, "pki serve", options->dir))
    return act.status;
  return commy_act_end (&act, run (cli, options, mesh));
}

CommyExit
commy_cmd_pki_serve (CommyCli *cli, char **argv)
{
  g_auto (Options) options = { NULL };
  const GOptionEntry entries[] = {
    { "dir", 'd', 0, G_OPTION_ARG_FILENAME, &options.dir, "Directory of the authority", "DIR" },
    { "listen", 'l', 0, G_OPTION_ARG_STRING, &options.listen,
      "Numeric address and port (0.0.0.0:7443); port 0: any free one", "ADDR:PORT" },
    { "life", 0, 0, G_OPTION_ARG_STRING, &options.life, "Life of the certificates (24h)", "TIME" },
    { "token-valid", 0, 0, G_OPTION_ARG_STRING, &options.token_valid,
      "Also print a token that is good this long", "TIME" },
    { NULL },
  };
  g_auto (GStrv) arguments = commy_cli_parse (cli, &verb, entries, argv);

  if (arguments == NULL)
    return COMMY_EXIT_USAGE;
  if (arguments[1] != NULL)
    return commy_cli_misuse (&verb, "what is \"%s\"?", arguments[1]);
  if ((options.life != NULL
       && (!commy_quantity_parse_time (options.life, &options.life_us)
           || options.life_us < LIFE_MIN_US))
      || (options.token_valid != NULL
          && (!commy_quantity_parse_time (options.token_valid, &options.token_valid_us)
              || options.token_valid_us < G_USEC_PER_SEC)))
    return commy_cli_misuse (&verb, "--life and --token-valid are times as 90s, 15m or 24h");
  if (options.dir == NULL)
    options.dir = commy_cmd_pki_dup_dir (cli, NULL);
  if (options.listen == NULL)
    options.listen = g_strdup_printf ("0.0.0.0:%d", COMMY_PKI_PORT);
  return record_and_run (cli, &options);
}
