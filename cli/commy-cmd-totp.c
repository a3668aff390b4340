/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `commy totp enrol | ls | revoke | rm`: one-time codes as a second factor. What they are is in
 * auth/common.
 */
#include "config.h"

#include "auth/common/commy-credential.h"
#include "auth/common/commy-totp.h"
#include "cli/commy-act.h"
#include "cli/commy-cmd-pki.h"
#include "cli/commy-cmd-register.h"
#include "cli/commy-output.h"

#include <glib/gstdio.h>
#include <string.h>

#define DIGITS_MIN 6

typedef struct
{
  char *dir;
  gboolean has_dir; /* which is that of no mesh */
  char *key;
  char *file;
  char *algorithm;
  int digits;
} Options;

static void
options_clear (Options *options)
{
  g_free (options->dir);
  g_free (options->key);
  g_free (options->file);
  g_free (options->algorithm);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Options, options_clear)

static const CommyCliVerb verb = {
  .name = "totp",
  .usage = "enrol PRINCIPAL|ls|revoke ID|rm ID - one-time codes as a second factor",
  .summary
  = "  enrol   make a secret for a principal; print its otpauth address, which programs\n"
    "          for one-time codes read, and backup codes, each good once. Neither is shown\n"
    "          again\n"
    "  ls      whose codes count here\n"
    "  revoke  make a secret and its backup codes useless from now on\n"
    "  rm      forget a secret that is revoked",
  .description
  = "The nodes of this mesh and user on this host take the codes as a second factor, once an\n"
    "[auth-chain NAME] of the keyfile says so: require=mtls;totp. Each code counts once; who\n"
    "guesses waits, twice as long each time, and after a hundred wrong codes in a row none\n"
    "counts any more.\n\n"
    "Example: the address goes into a file, or through a pipe into a picture\n"
    "  commy totp enrol spiffe://example-0a1b2c3d/host/h1/user/ann --file ann.otpauth\n"
    "  commy totp enrol unix:uid=1000 | head -n 1 | qrencode -t ansiutf8\n"
    "  commy totp ls -o json\n\n"
    "Without --dir the directory is that of the mesh: $COMMY_STATE_DIR/MESH, else\n"
    "/var/lib/commy/MESH for root and ~/.local/state/commy/MESH for others. Secrets are sealed by\n"
    "the file totp-key there, or what --key names, which is param.key of [plugin auth/totp].",
  .has_format = TRUE,
};

/* --- enrol --- */

/* A file that was not there before, for its owner only. */
static gboolean
write_file (const char *path, const char *uri, GError **error)
{
  g_autofree char *dir = g_path_get_dirname (path);
  g_autofree char *name = g_path_get_basename (path);
  char *line = g_strconcat (uri, "\n", NULL);
  gboolean written = commy_pki_write_file (dir, name, line, 0600, TRUE, error);

  commy_credential_free (line);
  return written;
}

static void
print_enrolled (const CommyCli *cli,
                const Options *options,
                const CommyTotpEntry *entry,
                const char *uri,
                GPtrArray *codes)
{
  GVariantDict dict;

  if (!cli->json)
    {
      if (options->file == NULL)
        commy_output_print ("%s\n", uri);
      for (guint i = 0; i < codes->len; i++)
        commy_output_print ("%s\n", (const char *) codes->pdata[i]);
      commy_cli_note ("secret %s of %s, and %u backup codes; they are not shown again", entry->id,
                      entry->principal, codes->len);
      return;
    }
  g_variant_dict_init (&dict, NULL);
  g_variant_dict_insert (&dict, "id", "s", entry->id);
  g_variant_dict_insert (&dict, "principal", "s", entry->principal);
  if (options->file == NULL)
    g_variant_dict_insert (&dict, "uri", "s", uri);
  g_variant_dict_insert_value (
      &dict, "backup-codes",
      g_variant_new_strv ((const char *const *) codes->pdata, (gssize) codes->len));
  commy_output_json (g_variant_dict_end (&dict));
}

static CommyExit
enrol (const CommyCli *cli,
       const Options *options,
       const char *principal,
       const CommyTotpKey *key,
       const char *issuer,
       CommyAct *act)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyTotpRegister) reg = commy_totp_register_open (options->dir, options->key, &error);
  g_autoptr (GPtrArray) codes = NULL;
  const CommyTotpEntry *entry
      = reg != NULL
            ? commy_totp_register_add (reg, principal, key, commy_cmd_pki_now (), &codes, &error)
            : NULL;
  char *uri = commy_totp_key_to_uri (key, issuer, principal);
  gboolean is_written
      = entry != NULL && options->file != NULL && write_file (options->file, uri, &error);
  gboolean done = entry != NULL && (is_written || options->file == NULL)
                  && commy_totp_register_save (reg, &error);

  if (done)
    {
      act->details = g_strdup_printf ("id %s", entry->id);
      print_enrolled (cli, options, entry, uri, codes);
    }
  else if (is_written)
    g_unlink (options->file);
  commy_credential_free (uri);
  return done ? COMMY_EXIT_DONE : commy_cmd_pki_fail (error);
}

static CommyExit
run_enrol (const CommyCli *cli, const Options *options, const char *principal)
{
  g_autofree char *mesh = g_path_get_basename (options->dir);
  g_autofree char *issuer = g_strconcat ("commy ", mesh, NULL);
  g_autoptr (GError) error = NULL;
  CommyTotpHash hash = COMMY_TOTP_SHA1; /* the only one that many programs know */
  CommyTotpKey key;
  CommyAct act;
  CommyExit code;

  if (options->algorithm != NULL && !commy_totp_hash_parse (options->algorithm, &hash))
    return commy_cli_misuse (&verb, "--algorithm is one of sha1, sha256, sha512");
  if (options->digits < DIGITS_MIN || options->digits > (int) COMMY_TOTP_DIGITS_MAX)
    return commy_cli_misuse (&verb, "--digits is 6, 7 or 8");
  if (!commy_totp_key_new (hash, (guint) options->digits, &key, &error))
    return commy_cmd_pki_fail (error);
  code = commy_act_begin (&act, cli, NULL, "totp enrol", principal)
             ? commy_act_end (&act, enrol (cli, options, principal, &key, issuer, &act))
             : act.status;
  commy_totp_key_clear (&key);
  return code;
}

/* --- ls --- */

static const char *
state_of (const CommyTotpEntry *entry)
{
  if (entry->is_revoked)
    return "revoked";
  return entry->failures >= COMMY_TOTP_FAILURES_MAX ? "locked" : "good";
}

static char *
format_used (const CommyTotpEntry *entry)
{
  return entry->used_s == 0 ? g_strdup ("never") : commy_cmd_pki_format_time (entry->used_s);
}

static GVariant *
entry_to_variant (gconstpointer entry_)
{
  const CommyTotpEntry *entry = entry_;
  g_autofree char *created = commy_cmd_pki_format_time (entry->created_s);
  g_autofree char *used = format_used (entry);
  GVariantDict dict;

  g_variant_dict_init (&dict, NULL);
  g_variant_dict_insert (&dict, "id", "s", entry->id);
  g_variant_dict_insert (&dict, "principal", "s", entry->principal);
  g_variant_dict_insert (&dict, "state", "s", state_of (entry));
  g_variant_dict_insert (&dict, "algorithm", "s", commy_totp_hash_to_text (entry->hash));
  g_variant_dict_insert (&dict, "digits", "u", entry->digits);
  g_variant_dict_insert (&dict, "created", "s", created);
  g_variant_dict_insert (&dict, "used", "s", used);
  g_variant_dict_insert (&dict, "failures", "u", entry->failures);
  g_variant_dict_insert (&dict, "backup-codes", "u", entry->n_codes);
  return g_variant_dict_end (&dict);
}

static void
print_entries (GPtrArray *entries)
{
  g_autoptr (CommyTable) table
      = commy_table_new ("ID", "PRINCIPAL", "STATE", "USED", "WRONG", "BACKUP CODES", NULL);

  for (guint i = 0; i < entries->len; i++)
    {
      const CommyTotpEntry *entry = entries->pdata[i];
      const char *state = state_of (entry);

      commy_table_add (table, entry->id);
      commy_table_add (table, entry->principal);
      commy_table_add_toned (table, state,
                             strcmp (state, "good") == 0 ? COMMY_TONE_GOOD : COMMY_TONE_FAINT);
      commy_table_take (table, format_used (entry));
      commy_table_take (table, g_strdup_printf ("%u", entry->failures));
      commy_table_take (table, g_strdup_printf ("%u", entry->n_codes));
    }
  commy_table_print (table);
}

static CommyExit
run_ls (const CommyCli *cli, const Options *options)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyRegister) reg = commy_totp_register_load (options->dir, options->key, &error);

  return commy_cmd_register_list (cli, reg, error, entry_to_variant, print_entries);
}

/* --- revoke and rm --- */

/* By what is known of a secret here its sessions are refused; so it is not forgotten at once. */
static gboolean
remove_revoked (CommyRegister *reg, const char *id, GError **error)
{
  const CommyTotpEntry *entry = commy_totp_register_find (reg, id);

  if (entry == NULL || entry->is_revoked)
    return commy_register_remove (reg, id, error);
  commy_cli_set_error (error, COMMY_ERROR_REFUSED,
                       "secret %s still counts; revoke it first (commy totp revoke)", id);
  return FALSE;
}

static CommyExit
end_secret (CommyCli *cli,
            const Options *options,
            const char *id,
            gboolean (*end) (CommyRegister *reg, const char *id, GError **error))
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyRegister) reg = commy_totp_register_open (options->dir, options->key, &error);
  CommyExit code = commy_cmd_register_change (reg, error, id, end);

  if (code == COMMY_EXIT_NOT_FOUND)
    commy_cli_note ("there is no secret %s in %s; see commy totp ls", id, options->dir);
  if (code != COMMY_EXIT_DONE)
    return code;
  /* Others need not wait for the store. */
  g_clear_pointer (&reg, commy_register_free);
  if (!options->has_dir)
    return commy_cmd_session_end_factor (cli, id);
  commy_cli_note ("sessions in the mesh's store are not looked at; see commy session ls");
  return COMMY_EXIT_DONE;
}

static CommyExit
run_end (CommyCli *cli,
         const Options *options,
         const char *what,
         const char *id,
         gboolean (*end) (CommyRegister *reg, const char *id, GError **error))
{
  CommyAct act;

  if (!commy_act_begin (&act, cli, NULL, what, id))
    return act.status;
  return commy_act_end (&act, end_secret (cli, options, id, end));
}

/* Names of credentials are for services. */
static void
make_absolute (char **path)
{
  char *absolute = *path != NULL ? g_canonicalize_filename (*path, NULL) : NULL;

  g_free (*path);
  *path = absolute;
}

CommyExit
commy_cmd_totp (CommyCli *cli, char **argv)
{
  g_auto (Options) options = { .digits = DIGITS_MIN };
  const GOptionEntry entries[] = {
    { "dir", 'd', 0, G_OPTION_ARG_FILENAME, &options.dir, "The node's state directory", "DIR" },
    { "key", 0, 0, G_OPTION_ARG_FILENAME, &options.key, "By which secrets are sealed (totp-key)",
      "FILE" },
    { "file", 0, 0, G_OPTION_ARG_FILENAME, &options.file,
      "enrol: a new file for the otpauth address", "FILE" },
    { "digits", 0, 0, G_OPTION_ARG_INT, &options.digits, "enrol: of a code, 6 to 8 (6)", "N" },
    { "algorithm", 0, 0, G_OPTION_ARG_STRING, &options.algorithm,
      "enrol: sha1, sha256 or sha512 (sha1)", "NAME" },
    { NULL },
  };
  g_auto (GStrv) arguments = commy_cli_parse (cli, &verb, entries, argv);
  guint n = arguments != NULL ? g_strv_length (arguments) : 0;

  if (arguments == NULL)
    return COMMY_EXIT_USAGE;
  options.has_dir = options.dir != NULL;
  if (!options.has_dir)
    options.dir = commy_cmd_pki_dup_state_dir (cli);
  make_absolute (&options.key);
  if (n == 3 && strcmp (arguments[1], "enrol") == 0)
    return run_enrol (cli, &options, arguments[2]);
  if (n == 2 && strcmp (arguments[1], "ls") == 0)
    return run_ls (cli, &options);
  if (n == 3 && strcmp (arguments[1], "revoke") == 0)
    return run_end (cli, &options, "totp revoke", arguments[2], commy_register_revoke);
  if (n == 3 && strcmp (arguments[1], "rm") == 0)
    return run_end (cli, &options, "totp rm", arguments[2], remove_revoked);
  return commy_cli_misuse (&verb, "say one of enrol PRINCIPAL, ls, revoke ID, rm ID");
}
