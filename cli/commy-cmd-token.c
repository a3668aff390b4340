/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `commy token create | ls | revoke | rm`: keys for callers that have no certificate. What they are
 * is in auth/common.
 */
#include "config.h"

#include "auth/common/commy-api-key.h"
#include "auth/common/commy-credential.h"
#include "cli/commy-act.h"
#include "cli/commy-cmd-pki.h"
#include "cli/commy-cmd-register.h"
#include "cli/commy-output.h"
#include "cli/commy-quantity.h"

#include <string.h>

#define VALID_S (90 * COMMY_PKI_SECONDS_PER_DAY)
#define VALID_MAX_S (3650 * COMMY_PKI_SECONDS_PER_DAY)

typedef struct
{
  char *dir;
  char *name;
  char *valid;
  char *principal;
  char **scopes;
} Options;

static void
options_clear (Options *options)
{
  g_free (options->dir);
  g_free (options->name);
  g_free (options->valid);
  g_free (options->principal);
  g_strfreev (options->scopes);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Options, options_clear)

static const CommyCliVerb verb = {
  .name = "token",
  .usage = "create|ls|revoke ID|rm ID - keys for callers without a certificate",
  .summary = "  create  print a new token, once; what is kept here checks it and is no token\n"
             "  ls      the tokens, until when they are good, and their scopes\n"
             "  revoke  make a token useless for connections from now on\n"
             "  rm      forget a token that is revoked or not needed",
  .description
  = "The nodes of this mesh and user on this host accept the tokens, once the keyfile lists the\n"
    "auth provider token. The caller's is \"token:NAME\", for rules of policy, or \"token:ID\"\n"
    "without a name; several tokens may have one name, so that one replaces another. With --for\n"
    "it counts only for who has proved otherwise to be that principal.\n\n"
    "Example: a token that goes into a file that only its owner reads\n"
    "  (umask 077; commy token create --name build --scope deploy > build.token)\n"
    "  commy token ls -o json\n\n"
    "Without --dir the directory is that of the mesh: $COMMY_STATE_DIR/MESH, else\n"
    "/var/lib/commy/MESH for root and ~/.local/state/commy/MESH for others.",
  .has_format = TRUE,
};

/* --- create --- */

static void
print_created (const CommyCli *cli, const CommyApiKeyEntry *entry, const char *text)
{
  g_autofree char *until = commy_cmd_pki_format_time (entry->expires_s);
  GVariantDict dict;

  if (!cli->json)
    {
      commy_output_print ("%s\n", text);
      commy_cli_note ("token %s, good until %s; it is not shown again", entry->id, until);
      return;
    }
  g_variant_dict_init (&dict, NULL);
  g_variant_dict_insert (&dict, "id", "s", entry->id);
  g_variant_dict_insert (&dict, "token", "s", text);
  g_variant_dict_insert (&dict, "expires", "s", until);
  commy_output_json (g_variant_dict_end (&dict));
}

static CommyExit
create (const CommyCli *cli, const Options *options, gint64 valid_s, CommyAct *act)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyApiKeyRegister) reg = NULL;
  gint64 now = commy_cmd_pki_now ();
  CommyApiKey key;
  char *text;

  if (!commy_api_key_new (&key, &error))
    return commy_cmd_pki_fail (error);
  reg = commy_api_key_register_open (options->dir, &error);
  if (reg == NULL
      || !commy_api_key_register_add (reg, &key, options->name,
                                      (const char *const *) options->scopes, now, now + valid_s,
                                      &error)
      || (options->principal != NULL
          && !commy_api_key_register_bind (reg, key.id, options->principal, &error))
      || !commy_api_key_register_save (reg, &error))
    {
      commy_api_key_clear (&key);
      return commy_cmd_pki_fail (error);
    }
  act->details = g_strdup_printf ("id %s", key.id);
  text = commy_api_key_to_text (&key);
  print_created (cli, commy_api_key_register_find (reg, key.id), text);
  commy_credential_free (text);
  commy_api_key_clear (&key);
  return COMMY_EXIT_DONE;
}

static CommyExit
run_create (const CommyCli *cli, const Options *options)
{
  gint64 valid_us = VALID_S * G_USEC_PER_SEC;
  CommyAct act;

  if (options->valid != NULL
      && (!commy_quantity_parse_time (options->valid, &valid_us) || valid_us < G_USEC_PER_SEC
          || valid_us > VALID_MAX_S * G_USEC_PER_SEC))
    return commy_cli_misuse (&verb, "--valid is a time as 15m or 24h, from 1s to 87600h");
  if (!commy_act_begin (&act, cli, NULL, "token create", options->name))
    return act.status;
  return commy_act_end (&act, create (cli, options, valid_us / G_USEC_PER_SEC, &act));
}

/* --- ls --- */

static const char *
state_of (const CommyApiKeyEntry *entry)
{
  if (entry->is_revoked)
    return "revoked";
  return commy_api_key_entry_why_not (entry, entry->principal, commy_cmd_pki_now ()) != NULL
             ? "expired"
             : "good";
}

static char *
format_expiry (const CommyApiKeyEntry *entry)
{
  return entry->expires_s == 0 ? g_strdup ("never") : commy_cmd_pki_format_time (entry->expires_s);
}

static GVariant *
entry_to_variant (gconstpointer entry_)
{
  const CommyApiKeyEntry *entry = entry_;
  static const char *const none[] = { NULL };
  g_autofree char *created = commy_cmd_pki_format_time (entry->created_s);
  g_autofree char *expires = format_expiry (entry);
  g_autofree char *principal
      = g_strconcat ("token:", entry->name != NULL ? entry->name : entry->id, NULL);
  GVariantDict dict;

  g_variant_dict_init (&dict, NULL);
  g_variant_dict_insert (&dict, "id", "s", entry->id);
  g_variant_dict_insert (&dict, "principal", "s", principal);
  g_variant_dict_insert (&dict, "state", "s", state_of (entry));
  if (entry->principal != NULL)
    g_variant_dict_insert (&dict, "for", "s", entry->principal);
  g_variant_dict_insert (&dict, "created", "s", created);
  g_variant_dict_insert (&dict, "expires", "s", expires);
  g_variant_dict_insert (&dict, "scopes", "^as",
                         entry->scopes != NULL ? (const char *const *) entry->scopes : none);
  return g_variant_dict_end (&dict);
}

static void
print_entries (GPtrArray *entries)
{
  g_autoptr (CommyTable) table
      = commy_table_new ("ID", "NAME", "STATE", "EXPIRES", "FOR", "SCOPES", NULL);

  for (guint i = 0; i < entries->len; i++)
    {
      const CommyApiKeyEntry *entry = entries->pdata[i];
      const char *state = state_of (entry);

      commy_table_add (table, entry->id);
      commy_table_add (table, entry->name);
      commy_table_add_toned (table, state,
                             strcmp (state, "good") == 0 ? COMMY_TONE_GOOD : COMMY_TONE_FAINT);
      commy_table_take (table, format_expiry (entry));
      commy_table_add (table, entry->principal);
      commy_table_take (table, entry->scopes != NULL ? g_strjoinv (" ", entry->scopes) : NULL);
    }
  commy_table_print (table);
}

static CommyExit
run_ls (const CommyCli *cli, const Options *options)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyRegister) reg = commy_api_key_register_load (options->dir, &error);

  return commy_cmd_register_list (cli, reg, error, entry_to_variant, print_entries);
}

/* --- revoke and rm --- */

static CommyExit
end_token (const Options *options,
           const char *id,
           gboolean (*end) (CommyRegister *reg, const char *id, GError **error))
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyRegister) reg = commy_api_key_register_open (options->dir, &error);
  CommyExit code = commy_cmd_register_change (reg, error, id, end);

  if (code == COMMY_EXIT_NOT_FOUND)
    commy_cli_note ("there is no token %s in %s; see commy token ls", id, options->dir);
  return code;
}

static CommyExit
run_end (const CommyCli *cli,
         const Options *options,
         const char *what,
         const char *id,
         gboolean (*end) (CommyRegister *reg, const char *id, GError **error))
{
  CommyAct act;

  if (!commy_act_begin (&act, cli, NULL, what, id))
    return act.status;
  return commy_act_end (&act, end_token (options, id, end));
}

CommyExit
commy_cmd_token (CommyCli *cli, char **argv)
{
  g_auto (Options) options = { NULL };
  const GOptionEntry entries[] = {
    { "dir", 'd', 0, G_OPTION_ARG_FILENAME, &options.dir, "The node's state directory", "DIR" },
    { "name", 0, 0, G_OPTION_ARG_STRING, &options.name, "create: whose it is", "NAME" },
    { "valid", 0, 0, G_OPTION_ARG_STRING, &options.valid, "create: how long it is good (2160h)",
      "TIME" },
    { "for", 0, 0, G_OPTION_ARG_STRING, &options.principal,
      "create: whose second proof it is, and nothing else", "PRINCIPAL" },
    { "scope", 0, 0, G_OPTION_ARG_STRING_ARRAY, &options.scopes,
      "create: a word that it carries; up to 16", "WORD" },
    { NULL },
  };
  g_auto (GStrv) arguments = commy_cli_parse (cli, &verb, entries, argv);
  guint n = arguments != NULL ? g_strv_length (arguments) : 0;

  if (arguments == NULL)
    return COMMY_EXIT_USAGE;
  if (options.dir == NULL)
    options.dir = commy_cmd_pki_dup_state_dir (cli);
  if (n == 2 && strcmp (arguments[1], "create") == 0)
    return run_create (cli, &options);
  if (n == 2 && strcmp (arguments[1], "ls") == 0)
    return run_ls (cli, &options);
  if (n == 3 && strcmp (arguments[1], "revoke") == 0)
    return run_end (cli, &options, "token revoke", arguments[2], commy_register_revoke);
  if (n == 3 && strcmp (arguments[1], "rm") == 0)
    return run_end (cli, &options, "token rm", arguments[2], commy_register_remove);
  return commy_cli_misuse (&verb, "say one of create, ls, revoke ID, rm ID");
}
