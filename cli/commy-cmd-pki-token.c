/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `commy pki token create | ls | revoke`: one-time tokens, with which other hosts join.
 */
#include "config.h"

#include "cli/commy-cmd-pki.h"

#include "cli/commy-act.h"
#include "cli/commy-output.h"
#include "cli/commy-quantity.h"

#include <string.h>

#define VALID_MAX_S (30 * COMMY_PKI_SECONDS_PER_DAY)

typedef struct
{
  char *dir;
  char *host;
  char *user;
  char *valid;
  char **addresses;
} Options;

static void
options_clear (Options *options)
{
  g_free (options->dir);
  g_free (options->host);
  g_free (options->user);
  g_free (options->valid);
  g_strfreev (options->addresses);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Options, options_clear)

static const CommyCliVerb verb = {
  .name = "pki token",
  .usage = "create|ls|revoke ID - one-time tokens, with which other hosts join",
  .summary
  = "  create  print a new token; it carries the address of this authority, the fingerprint\n"
    "          of its key, and a secret that is good once. Only a hash of it is kept here\n"
    "  ls      the tokens, and what became of them\n"
    "  revoke  make a token useless before its time",
  .description
  = "Without --user the token is for the name of the user who makes it, since the same user on\n"
    "another host counts as the own one. Without --host the newcomer says its own name, and\n"
    "never gets that of another. A token with --host gives exactly that name a new key, even if\n"
    "another has it.\n\n"
    "Example: the token goes from here to there without a trace in a list of processes\n"
    "  commy pki token create --valid 5m | ssh web2 commy join -\n"
    "  commy pki token create --host web2 --user www --address 192.0.2.7:7443 > token\n"
    "  commy pki token ls -o json\n\n" COMMY_CMD_PKI_DIR_HELP,
  .has_format = TRUE,
};

/* --- create --- */

static char **
dup_addresses (const char *dir)
{
  g_autofree char *fallback = g_strdup_printf ("0.0.0.0:%d", COMMY_PKI_PORT);
  g_autofree char *served = commy_pki_server_find (dir);

  return commy_pki_dup_public_addresses (served != NULL ? served : fallback);
}

static void
note_taken (CommyPkiRegister *reg, const char *host, const char *user)
{
  g_autofree char *path
      = host != NULL && user != NULL ? g_strdup_printf ("/host/%s/user/%s", host, user) : NULL;

  if (path != NULL && commy_pki_register_has_identity (reg, path))
    commy_cli_note ("user %s on host %s has a certificate already; whoever uses this token gets "
                    "its name, and the old key cannot be renewed any more",
                    user, host);
}

static char *
make_token (const char *dir,
            const char *const *addresses,
            const char *host,
            const char *user,
            gint64 valid_s,
            CommyPkiToken **out_token,
            GError **error)
{
  g_autoptr (CommyPkiAuthority) authority = commy_pki_authority_load (dir, error);
  /* The user's name is a right (docs/decisions/0006): never the newcomer's to choose. */
  g_autofree char *whose = user != NULL ? g_strdup (user) : commy_cmd_pki_dup_user ();
  g_auto (GStrv) own = addresses == NULL ? dup_addresses (dir) : NULL;
  gint64 now = commy_cmd_pki_now ();
  g_autoptr (CommyPkiRegister) reg = NULL;
  g_autoptr (CommyPkiToken) token = NULL;
  guint8 fingerprint[COMMY_PKI_FINGERPRINT_SIZE];
  char *text;

  if (authority == NULL || !commy_pki_authority_get_fingerprint (authority, fingerprint, error))
    return NULL;
  token = commy_pki_token_new (
      fingerprint, addresses != NULL ? addresses : (const char *const *) own, now + valid_s, error);
  reg = token != NULL ? commy_pki_register_open (dir, error) : NULL;
  if (reg == NULL || !commy_pki_register_add_token (reg, token, host, whose, now, error)
      || !commy_pki_register_save (reg, now, error))
    return NULL;
  note_taken (reg, host, whose);
  text = commy_pki_token_to_text (token);
  if (out_token != NULL)
    *out_token = g_steal_pointer (&token);
  return text;
}

char *
commy_cmd_pki_make_token (const CommyCli *cli,
                          const char *dir,
                          const char *const *addresses,
                          const char *host,
                          const char *user,
                          gint64 valid_s,
                          CommyPkiToken **out_token,
                          CommyExit *out_status)
{
  g_autofree char *whose = g_strdup_printf ("host/%s/user/%s", host != NULL ? host : "*",
                                            user != NULL ? user : g_get_user_name ());
  g_autoptr (CommyPkiToken) token = NULL;
  g_autoptr (GError) error = NULL;
  CommyAct act;
  char *text;

  if (!commy_act_begin (&act, cli, NULL, "pki token create", whose))
    {
      *out_status = act.status;
      return NULL;
    }
  text = make_token (dir, addresses, host, user, valid_s, &token, &error);
  act.details = text != NULL ? g_strdup_printf ("id %s", token->id) : NULL;
  *out_status = commy_act_end (&act, text != NULL ? COMMY_EXIT_DONE : commy_cmd_pki_fail (error));
  if (*out_status != COMMY_EXIT_DONE)
    g_clear_pointer (&text, commy_pki_free_secret);
  else if (out_token != NULL)
    *out_token = g_steal_pointer (&token);
  return text;
}

static void
print_created (const CommyCli *cli, const CommyPkiToken *token, const char *text)
{
  g_autofree char *until = commy_cmd_pki_format_time (token->expires_s);
  g_autofree char *fingerprint = commy_pki_format_fingerprint (token->fingerprint);
  g_autofree char *addresses = g_strjoinv (", ", token->addresses);
  GVariantDict dict;

  if (!cli->json)
    {
      commy_output_print ("%s\n", text);
      commy_cli_note ("token %s, good once until %s, at %s; on the other host: commy join",
                      token->id, until, addresses);
      return;
    }
  g_variant_dict_init (&dict, NULL);
  g_variant_dict_insert (&dict, "id", "s", token->id);
  g_variant_dict_insert (&dict, "token", "s", text);
  g_variant_dict_insert (&dict, "expires", "s", until);
  g_variant_dict_insert (&dict, "fingerprint", "s", fingerprint);
  g_variant_dict_insert (&dict, "addresses", "^as", token->addresses);
  commy_output_json (g_variant_dict_end (&dict));
}

static CommyExit
run_create (const CommyCli *cli, const Options *options)
{
  g_autoptr (CommyPkiToken) token = NULL;
  g_autofree char *served = commy_pki_server_find (options->dir);
  CommyExit status;
  gint64 valid_us = COMMY_PKI_TOKEN_VALID_S * G_USEC_PER_SEC;
  char *text;

  if (options->valid != NULL
      && (!commy_quantity_parse_time (options->valid, &valid_us) || valid_us < G_USEC_PER_SEC
          || valid_us > VALID_MAX_S * G_USEC_PER_SEC))
    return commy_cli_misuse (&verb, "--valid is a time as 90s, 15m or 24h, from 1s to 720h");
  text = commy_cmd_pki_make_token (cli, options->dir, (const char *const *) options->addresses,
                                   options->host, options->user, valid_us / G_USEC_PER_SEC, &token,
                                   &status);
  if (text == NULL)
    return status;
  print_created (cli, token, text);
  commy_pki_free_secret (text);
  if (served == NULL)
    commy_cli_note ("nobody serves this authority at present: commy pki serve");
  return COMMY_EXIT_DONE;
}

/* --- ls --- */

static const char *
state_name (CommyPkiTokenState state)
{
  static const char *const names[] = {
    [COMMY_PKI_TOKEN_OPEN] = "open",
    [COMMY_PKI_TOKEN_USED] = "used",
    [COMMY_PKI_TOKEN_REVOKED] = "revoked",
    [COMMY_PKI_TOKEN_EXPIRED] = "expired",
  };

  return names[state];
}

static GVariant *
info_to_variant (const CommyPkiTokenInfo *info)
{
  g_autofree char *expires = commy_cmd_pki_format_time (info->expires_s);
  GVariantDict dict;

  g_variant_dict_init (&dict, NULL);
  g_variant_dict_insert (&dict, "id", "s", info->id);
  g_variant_dict_insert (&dict, "state", "s", state_name (info->state));
  g_variant_dict_insert (&dict, "expires", "s", expires);
  if (info->host != NULL)
    g_variant_dict_insert (&dict, "host", "s", info->host);
  if (info->user != NULL)
    g_variant_dict_insert (&dict, "user", "s", info->user);
  if (info->used_by != NULL)
    g_variant_dict_insert (&dict, "used_by", "s", info->used_by);
  return g_variant_dict_end (&dict);
}

static void
print_tokens (GPtrArray *tokens)
{
  g_autoptr (CommyTable) table
      = commy_table_new ("ID", "STATE", "EXPIRES", "HOST", "USER", "USED BY", NULL);

  for (guint i = 0; i < tokens->len; i++)
    {
      const CommyPkiTokenInfo *info = tokens->pdata[i];

      commy_table_add (table, info->id);
      commy_table_add_toned (table, state_name (info->state),
                             info->state == COMMY_PKI_TOKEN_OPEN ? COMMY_TONE_GOOD
                                                                 : COMMY_TONE_FAINT);
      commy_table_take (table, commy_cmd_pki_format_time (info->expires_s));
      commy_table_add (table, info->host);
      commy_table_add (table, info->user);
      commy_table_add (table, info->used_by);
    }
  commy_table_print (table);
}

static CommyExit
run_ls (const CommyCli *cli, const Options *options)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyPkiRegister) reg = commy_pki_register_open (options->dir, &error);
  g_autoptr (GPtrArray) tokens = NULL;
  GVariantBuilder builder;

  if (reg == NULL)
    return commy_cmd_pki_fail (error);
  tokens = commy_pki_register_list_tokens (reg, commy_cmd_pki_now ());
  if (!cli->json)
    {
      print_tokens (tokens);
      return COMMY_EXIT_DONE;
    }
  g_variant_builder_init (&builder, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < tokens->len; i++)
    g_variant_builder_add_value (&builder, info_to_variant (tokens->pdata[i]));
  commy_output_json (g_variant_builder_end (&builder));
  return COMMY_EXIT_DONE;
}

/* --- revoke --- */

static CommyExit
end_token (const Options *options, const char *id)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyPkiRegister) reg = commy_pki_register_open (options->dir, &error);

  if (reg == NULL || !commy_pki_register_revoke_token (reg, id, &error)
      || !commy_pki_register_save (reg, commy_cmd_pki_now (), &error))
    return commy_cmd_pki_fail (error);
  return COMMY_EXIT_DONE;
}

static CommyExit
run_revoke (const CommyCli *cli, const Options *options, const char *id)
{
  CommyAct act;

  if (!commy_act_begin (&act, cli, NULL, "pki token revoke", id))
    return act.status;
  return commy_act_end (&act, end_token (options, id));
}

CommyExit
commy_cmd_pki_token (CommyCli *cli, char **argv)
{
  g_auto (Options) options = { NULL };
  const GOptionEntry entries[] = {
    { "dir", 'd', 0, G_OPTION_ARG_FILENAME, &options.dir, "Directory of the authority", "DIR" },
    { "valid", 0, 0, G_OPTION_ARG_STRING, &options.valid, "create: how long it is good (15m)",
      "TIME" },
    { "address", 'a', 0, G_OPTION_ARG_STRING_ARRAY, &options.addresses,
      "create: where the authority is reached; up to 4 (those of this host)", "HOST:PORT" },
    { "host", 0, 0, G_OPTION_ARG_STRING, &options.host, "create: for this host only", "NAME" },
    { "user", 0, 0, G_OPTION_ARG_STRING, &options.user, "create: for this user (one's own)",
      "NAME" },
    { NULL },
  };
  g_auto (GStrv) arguments = commy_cli_parse (cli, &verb, entries, argv);
  guint n = arguments != NULL ? g_strv_length (arguments) : 0;

  if (arguments == NULL)
    return COMMY_EXIT_USAGE;
  if (options.dir == NULL)
    options.dir = commy_cmd_pki_dup_dir (cli, NULL);
  if (n == 2 && strcmp (arguments[1], "create") == 0)
    return run_create (cli, &options);
  if (n == 2 && strcmp (arguments[1], "ls") == 0)
    return run_ls (cli, &options);
  if (n == 3 && strcmp (arguments[1], "revoke") == 0)
    return run_revoke (cli, &options, arguments[2]);
  return commy_cli_misuse (&verb, "say one of create, ls, revoke ID");
}
