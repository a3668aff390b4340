/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `commy session ls | revoke`: who need not show a second factor for now. What sessions are is in
 * auth/common.
 */
#include "config.h"

#include "auth/common/commy-session.h"
#include "cli/commy-cmd-pki.h"
#include "cli/commy-output.h"

#include <string.h>

typedef struct
{
  char *dir;
  char *principal;
} Options;

static void
options_clear (Options *options)
{
  g_free (options->dir);
  g_free (options->principal);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Options, options_clear)

static const CommyCliVerb verb = {
  .name = "session",
  .usage = "ls|revoke [ID] - sessions of those who have shown a second factor",
  .summary = "  ls      whose they are, and until when they count if nobody uses them\n"
             "  revoke  end one, or with --principal all of one principal, for connections from\n"
             "          now on; a code is asked for again",
  .description
  = "The nodes of this mesh and user on this host grant sessions, once session-life of\n"
    "[plugin auth/totp] is set: who has shown a one-time code need not show another one.\n\n"
    "Example:\n"
    "  commy session ls\n"
    "  commy session revoke --principal unix:uid=1000\n\n"
    "Without --dir the directory is that of the mesh: $COMMY_STATE_DIR/MESH, else\n"
    "/var/lib/commy/MESH for root and ~/.local/state/commy/MESH for others.",
  .has_format = TRUE,
};

static gboolean
is_asked_for (const Options *options, const CommyApiKeyEntry *entry)
{
  return options->principal == NULL || g_strcmp0 (entry->principal, options->principal) == 0;
}

/* --- ls --- */

static const char *
state_of (const CommyApiKeyEntry *entry)
{
  if (entry->is_revoked)
    return "revoked";
  return commy_api_key_entry_why_not (entry, entry->principal, commy_cmd_pki_now ()) != NULL
             ? "ended"
             : "good";
}

static GVariant *
entry_to_variant (const CommyApiKeyEntry *entry)
{
  g_autofree char *created = commy_cmd_pki_format_time (entry->created_s);
  g_autofree char *expires = commy_cmd_pki_format_time (entry->expires_s);
  GVariantDict dict;

  g_variant_dict_init (&dict, NULL);
  g_variant_dict_insert (&dict, "id", "s", entry->id);
  g_variant_dict_insert (&dict, "principal", "s", entry->principal);
  g_variant_dict_insert (&dict, "state", "s", state_of (entry));
  g_variant_dict_insert (&dict, "created", "s", created);
  g_variant_dict_insert (&dict, "expires", "s", expires);
  return g_variant_dict_end (&dict);
}

static void
print_entries (const Options *options, GPtrArray *entries)
{
  g_autoptr (CommyTable) table
      = commy_table_new ("ID", "PRINCIPAL", "STATE", "CREATED", "EXPIRES", NULL);

  for (guint i = 0; i < entries->len; i++)
    {
      const CommyApiKeyEntry *entry = entries->pdata[i];
      const char *state = state_of (entry);

      if (!is_asked_for (options, entry))
        continue;
      commy_table_add (table, entry->id);
      commy_table_add (table, entry->principal);
      commy_table_add_toned (table, state,
                             strcmp (state, "good") == 0 ? COMMY_TONE_GOOD : COMMY_TONE_FAINT);
      commy_table_take (table, commy_cmd_pki_format_time (entry->created_s));
      commy_table_take (table, commy_cmd_pki_format_time (entry->expires_s));
    }
  commy_table_print (table);
}

static CommyExit
run_ls (const CommyCli *cli, const Options *options)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyApiKeyRegister) reg
      = commy_api_key_register_load_file (options->dir, COMMY_SESSIONS_FILE, &error);
  g_autoptr (GPtrArray) entries = NULL;
  GVariantBuilder builder;

  if (reg == NULL)
    return commy_cmd_pki_fail (error);
  entries = commy_api_key_register_list (reg);
  if (!cli->json)
    {
      print_entries (options, entries);
      return COMMY_EXIT_DONE;
    }
  g_variant_builder_init (&builder, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < entries->len; i++)
    if (is_asked_for (options, entries->pdata[i]))
      g_variant_builder_add_value (&builder, entry_to_variant (entries->pdata[i]));
  commy_output_json (g_variant_builder_end (&builder));
  return COMMY_EXIT_DONE;
}

/* --- revoke --- */

/* @id: NULL: all that are asked for. */
static CommyExit
run_revoke (const Options *options, const char *id)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyApiKeyRegister) reg
      = commy_api_key_register_open_file (options->dir, COMMY_SESSIONS_FILE, &error);
  g_autoptr (GPtrArray) entries = NULL;
  guint n = 0;

  if (reg == NULL)
    return commy_cmd_pki_fail (error);
  entries = commy_api_key_register_list (reg);
  for (guint i = 0; i < entries->len; i++)
    {
      const CommyApiKeyEntry *entry = entries->pdata[i];

      if (!is_asked_for (options, entry) || (id != NULL && strcmp (entry->id, id) != 0))
        continue;
      commy_api_key_register_revoke (reg, entry->id, NULL);
      n++;
    }
  if (n == 0)
    {
      commy_cli_note ("there is no such session in %s; see commy session ls", options->dir);
      return COMMY_EXIT_NOT_FOUND;
    }
  return commy_api_key_register_save (reg, &error) ? COMMY_EXIT_DONE : commy_cmd_pki_fail (error);
}

CommyExit
commy_cmd_session (CommyCli *cli, char **argv)
{
  g_auto (Options) options = { NULL };
  const GOptionEntry entries[] = {
    { "dir", 'd', 0, G_OPTION_ARG_FILENAME, &options.dir, "The node's state directory", "DIR" },
    { "principal", 0, 0, G_OPTION_ARG_STRING, &options.principal, "Only those of one principal",
      "PRINCIPAL" },
    { NULL },
  };
  g_auto (GStrv) arguments = commy_cli_parse (cli, &verb, entries, argv);
  guint n = arguments != NULL ? g_strv_length (arguments) : 0;

  if (arguments == NULL)
    return COMMY_EXIT_USAGE;
  if (options.dir == NULL)
    options.dir = commy_cmd_pki_dup_state_dir (cli);
  if (n == 2 && strcmp (arguments[1], "ls") == 0)
    return run_ls (cli, &options);
  if ((n == 3 || (n == 2 && options.principal != NULL)) && strcmp (arguments[1], "revoke") == 0)
    return run_revoke (&options, arguments[2]);
  return commy_cli_misuse (&verb, "say one of ls, revoke ID, revoke --principal PRINCIPAL");
}
