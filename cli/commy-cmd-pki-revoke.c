/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `commy pki revoke` and `commy pki rotate`: taking certificates back, and changing the authority.
 */
#include "config.h"

#include "cli/commy-cmd-pki.h"

#include "cli/commy-act.h"
#include "cli/commy-output.h"

#include <string.h>

/* --- revoke --- */

static void
print_revocation (const CommyCli *cli, const CommyPkiRevocation *revocation)
{
  GVariantDict dict;

  if (cli->json)
    {
      g_ptr_array_add (revocation->names, NULL);
      g_variant_dict_init (&dict, NULL);
      g_variant_dict_insert (&dict, "certificates", "^as", revocation->names->pdata);
      if (revocation->path != NULL)
        g_variant_dict_insert (&dict, "node", "s", revocation->path + 1);
      g_variant_dict_insert (&dict, "number", "x", revocation->number);
      commy_output_json (g_variant_dict_end (&dict));
      return;
    }
  for (guint i = 0; i < revocation->names->len; i++)
    commy_output_print ("revoked      %s\n", (const char *) revocation->names->pdata[i]);
  if (revocation->path != NULL)
    commy_output_print ("not renewed  %s\n", revocation->path + 1);
  if (revocation->names->len == 0)
    commy_cli_note ("the register knows no certificate of it that is good still; if it has one, "
                    "revoke that by its serial number");
  commy_cli_note (
      "other hosts learn of it when they renew (commy pki renew); commy cert deny shuts "
      "it out at once, for as long as the store says so");
}

static CommyExit
take_back (const CommyCli *cli, const char *dir, const char *whom)
{
  g_auto (CommyPkiRevocation) revocation = { NULL };
  g_autoptr (GError) error = NULL;

  if (!commy_pki_revoke (dir, whom, commy_cmd_pki_now (), &revocation, &error))
    return commy_cmd_pki_fail (error);
  print_revocation (cli, &revocation);
  return COMMY_EXIT_DONE;
}

CommyExit
commy_cmd_pki_revoke (CommyCli *cli, char **argv)
{
  static const CommyCliVerb verb = {
    .name = "pki revoke",
    .usage = "NODE|SERIAL - take certificates back",
    .summary
    = "Where the authority is: puts all certificates of a node (host/HOST/user/USER, or its\n"
      "SPIFFE id), or the one with a serial number, on the list of revoked certificates\n"
      "(crl.pem) and renews the node no more. Nodes refuse what the list names, and close\n"
      "connections that rest on it.",
    .description = "Hosts take the list along when they renew. A node comes back with a token that "
                   "is made\nfor exactly its name.\n\n"
                   "Example:\n"
                   "  commy pki revoke host/web2/user/www\n"
                   "  commy pki token create --host web2 --user www\n\n" COMMY_CMD_PKI_DIR_HELP,
    .has_format = TRUE,
  };
  g_autofree char *given = NULL;
  g_autofree char *dir = NULL;
  const GOptionEntry entries[] = {
    { "dir", 'd', 0, G_OPTION_ARG_FILENAME, &given, "Directory of the authority", "DIR" },
    { NULL },
  };
  g_auto (GStrv) arguments = commy_cli_parse (cli, &verb, entries, argv);
  CommyAct act;

  if (arguments == NULL)
    return COMMY_EXIT_USAGE;
  if (arguments[1] == NULL || arguments[2] != NULL)
    return commy_cli_misuse (&verb, "say one node or serial number");
  dir = commy_cmd_pki_dup_dir (cli, given);
  if (!commy_act_begin (&act, cli, NULL, "pki revoke", arguments[1]))
    return act.status;
  return commy_act_end (&act, take_back (cli, dir, arguments[1]));
}

/* --- rotate --- */

static const char *
describe_stage (CommyPkiRotationStage stage)
{
  return stage == COMMY_PKI_ROTATION_NONE
             ? "one authority"
             : (stage == COMMY_PKI_ROTATION_STARTED ? "started: a new authority is trusted as well"
                                                    : "switched: the new authority signs, the old "
                                                      "one is trusted still");
}

static const char *
next_step (CommyPkiRotationStage stage)
{
  return stage == COMMY_PKI_ROTATION_NONE      ? "start"
         : stage == COMMY_PKI_ROTATION_STARTED ? "switch"
                                               : "finish";
}

static void
print_rotation (const CommyCli *cli, CommyPkiRotation *rotation)
{
  GVariantDict dict;

  if (cli->json)
    {
      g_ptr_array_add (rotation->behind, NULL);
      g_variant_dict_init (&dict, NULL);
      g_variant_dict_insert (&dict, "stage", "s",
                             rotation->stage == COMMY_PKI_ROTATION_NONE      ? "none"
                             : rotation->stage == COMMY_PKI_ROTATION_STARTED ? "started"
                                                                             : "switched");
      g_variant_dict_insert (&dict, "next", "s", next_step (rotation->stage));
      g_variant_dict_insert (&dict, "nodes", "u", rotation->n_nodes);
      g_variant_dict_insert (&dict, "behind", "^as", rotation->behind->pdata);
      commy_output_json (g_variant_dict_end (&dict));
      return;
    }
  commy_output_print ("stage   %s\n", describe_stage (rotation->stage));
  commy_output_print ("nodes   %u, of which %u were issued no certificate since\n",
                      rotation->n_nodes, rotation->behind->len);
  for (guint i = 0; i < rotation->behind->len; i++)
    commy_output_print ("behind  %s\n", (const char *) rotation->behind->pdata[i]);
  commy_output_print ("next    commy pki rotate %s\n", next_step (rotation->stage));
}

/* What became of an answer that was sent is not seen from here. */
static void
note_what_counts (const CommyCli *cli)
{
  if (!cli->json)
    commy_cli_note ("a node counts from when its certificate was issued; one that lost the answer "
                    "is not seen here, and asks again within a minute: look at its log before "
                    "switch and finish if it was out of reach");
}

/* The node of this very host takes the step at once. */
static void
renew_here (const char *dir)
{
  g_autofree char *cert = g_build_filename (dir, COMMY_PKI_CERT_FILE, NULL);
  g_autoptr (CommyPkiMembership) membership = NULL;
  g_autoptr (GError) error = NULL;

  if (!g_file_test (cert, G_FILE_TEST_EXISTS))
    return;
  membership = commy_pki_renew (dir, 0, commy_cmd_pki_now (), NULL, &error);
  if (error != NULL)
    commy_cli_note ("this host's own certificate was not renewed: %s", error->message);
}

static gboolean
parse_step (const char *word, CommyPkiRotationStage *out_to)
{
  static const CommyPkiRotationStage all[]
      = { COMMY_PKI_ROTATION_NONE, COMMY_PKI_ROTATION_STARTED, COMMY_PKI_ROTATION_SWITCHED };

  for (guint i = 0; i < G_N_ELEMENTS (all); i++)
    if (strcmp (word, next_step (all[i])) == 0)
      {
        *out_to = all[(i + 1) % G_N_ELEMENTS (all)];
        return TRUE;
      }
  return FALSE;
}

static CommyExit
go (const char *dir, CommyPkiRotationStage to, gboolean force)
{
  g_autoptr (GError) error = NULL;

  if (!commy_pki_rotation_go (dir, to, force, commy_cmd_pki_now (), &error))
    return commy_cmd_pki_fail (error);
  renew_here (dir);
  return COMMY_EXIT_DONE;
}

/* One of the steps, recorded. */
static CommyExit
step (const CommyCli *cli,
      const char *dir,
      const char *word,
      CommyPkiRotationStage to,
      gboolean force)
{
  CommyAct act;

  if (!commy_act_begin (&act, cli, NULL, "pki rotate", word))
    return act.status;
  act.details = g_strdup (force ? "forced" : NULL);
  return commy_act_end (&act, go (dir, to, force));
}

CommyExit
commy_cmd_pki_rotate (CommyCli *cli, char **argv)
{
  static const CommyCliVerb verb = {
    .name = "pki rotate",
    .usage = "start|switch|finish|status - change the authority's key in stages",
    .summary = "  start   make a new key; all nodes trust it as well from their next renewal on\n"
               "  switch  from now on the new key signs; nodes get new certificates as they renew\n"
               "  finish  forget the old key; nodes trust it no more from their next renewal on\n"
               "  status  which stage it is, and which nodes were issued no certificate since",
    .description
    = "Names of nodes stay as they are, and no connection is dropped. A step is refused while\n"
      "nodes are behind, because they would be shut out; --force goes on without them. With\n"
      "certificates of a day a change takes two days by itself.\n\n"
      "Example:\n"
      "  commy pki rotate start\n"
      "  commy pki rotate status\n\n" COMMY_CMD_PKI_DIR_HELP,
    .has_format = TRUE,
  };
  g_autofree char *given = NULL;
  g_autofree char *dir = NULL;
  gboolean force = FALSE;
  const GOptionEntry entries[] = {
    { "dir", 'd', 0, G_OPTION_ARG_FILENAME, &given, "Directory of the authority", "DIR" },
    { "force", 0, 0, G_OPTION_ARG_NONE, &force, "Leave nodes behind", NULL },
    { NULL },
  };
  g_auto (GStrv) arguments = commy_cli_parse (cli, &verb, entries, argv);
  g_auto (CommyPkiRotation) rotation = { 0 };
  g_autoptr (GError) error = NULL;
  CommyPkiRotationStage to;
  CommyExit status = COMMY_EXIT_DONE;
  gboolean steps;

  if (arguments == NULL)
    return COMMY_EXIT_USAGE;
  if (arguments[1] == NULL || arguments[2] != NULL)
    return commy_cli_misuse (&verb, "say one of start, switch, finish, status");
  dir = commy_cmd_pki_dup_dir (cli, given);
  steps = strcmp (arguments[1], "status") != 0;
  if (steps && !parse_step (arguments[1], &to))
    return commy_cli_misuse (&verb, "there is no \"%s\"; say one of start, switch, finish, status",
                             arguments[1]);
  if (steps)
    status = step (cli, dir, arguments[1], to, force);
  if (status != COMMY_EXIT_DONE)
    return status;
  if (!commy_pki_rotation_get (dir, commy_cmd_pki_now (), &rotation, &error))
    return commy_cmd_pki_fail (error);
  print_rotation (cli, &rotation);
  if (steps || rotation.stage != COMMY_PKI_ROTATION_NONE)
    note_what_counts (cli);
  return COMMY_EXIT_DONE;
}
