/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `commy pki show`: what lies in a directory of credentials, for people and as JSON.
 */
#include "config.h"

#include "cli/commy-cmd-pki.h"

#include "cli/commy-output.h"

/* What there is to show. */
typedef struct
{
  const char *dir;
  gboolean has_key;
  CommyPkiInfo *ca;
  CommyPkiInfo *cert; /* NULL: none */
  char **issuer;      /* NULL: renewed here, or by nobody */
} View;

static void
view_clear (View *view)
{
  commy_pki_info_free (view->ca);
  commy_pki_info_free (view->cert);
  g_strfreev (view->issuer);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (View, view_clear)

static const char *
validity (const CommyPkiInfo *info, gint64 now)
{
  if (now < info->not_before_s)
    return "not valid yet";
  return now > info->not_after_s ? "expired" : "valid";
}

/* Who renews the certificate. (transfer full) (nullable) */
static char *
dup_issuer (const View *view)
{
  if (view->has_key)
    return g_strdup ("this host");
  return view->issuer != NULL ? g_strjoinv (", ", view->issuer) : NULL;
}

static void
print_text (const char *title, const CommyPkiInfo *info)
{
  g_autofree char *from = commy_cmd_pki_format_time (info->not_before_s);
  g_autofree char *until = commy_cmd_pki_format_time (info->not_after_s);

  commy_output_print ("%s\n", title);
  commy_output_print ("  id           %s\n", info->id);
  commy_output_print ("  issuer       %s\n", info->issuer);
  commy_output_print ("  validity     %s to %s (%s)\n", from, until,
                      validity (info, commy_cmd_pki_now ()));
  commy_output_print ("  serial       %s\n", info->serial);
  commy_output_print ("  fingerprint  sha256:%s\n", info->fingerprint);
}

static void
print_view (const View *view)
{
  g_autofree char *issuer = dup_issuer (view);
  g_autofree char *due = NULL;

  commy_output_print ("%s\n", view->dir);
  print_text (view->has_key ? "authority (its key is here)" : "authority", view->ca);
  if (view->cert == NULL)
    {
      commy_output_print ("no certificate for a node\n");
      return;
    }
  print_text ("certificate", view->cert);
  due = commy_cmd_pki_format_time (
      commy_pki_renewal_due (view->cert->not_before_s, view->cert->not_after_s, 0));
  if (issuer != NULL)
    commy_output_print ("  renewal      by %s, due at %s\n", issuer, due);
  else
    commy_output_print ("  renewal      by nobody: no issuer is known (commy join)\n");
}

static GVariant *
info_to_variant (const CommyPkiInfo *info)
{
  g_autofree char *from = commy_cmd_pki_format_time (info->not_before_s);
  g_autofree char *until = commy_cmd_pki_format_time (info->not_after_s);
  GVariantDict dict;

  g_variant_dict_init (&dict, NULL);
  g_variant_dict_insert (&dict, "id", "s", info->id);
  g_variant_dict_insert (&dict, "issuer", "s", info->issuer);
  g_variant_dict_insert (&dict, "not_before", "s", from);
  g_variant_dict_insert (&dict, "not_after", "s", until);
  g_variant_dict_insert (&dict, "validity", "s", validity (info, commy_cmd_pki_now ()));
  g_variant_dict_insert (&dict, "serial", "s", info->serial);
  g_variant_dict_insert (&dict, "fingerprint_sha256", "s", info->fingerprint);
  return g_variant_dict_end (&dict);
}

static void
print_json (const View *view)
{
  g_autofree char *issuer = dup_issuer (view);
  g_autofree char *directory = g_filename_display_name (view->dir);
  GVariantDict dict;

  g_variant_dict_init (&dict, NULL);
  g_variant_dict_insert (&dict, "directory", "s", directory);
  g_variant_dict_insert (&dict, "has_authority_key", "b", view->has_key);
  g_variant_dict_insert_value (&dict, "authority", info_to_variant (view->ca));
  if (view->cert != NULL)
    g_variant_dict_insert_value (&dict, "certificate", info_to_variant (view->cert));
  if (issuer != NULL)
    g_variant_dict_insert (&dict, "renewed_by", "s", issuer);
  commy_output_json (g_variant_dict_end (&dict));
}

static CommyPkiInfo *
load_info (const char *dir, const char *name, GError **error)
{
  g_autofree char *pem = commy_pki_read_file (dir, name, FALSE, error);

  return pem == NULL ? NULL : commy_pki_info_new (pem, error);
}

static gboolean
exists (const char *dir, const char *name)
{
  g_autofree char *path = g_build_filename (dir, name, NULL);

  return g_file_test (path, G_FILE_TEST_EXISTS);
}

CommyExit
commy_cmd_pki_show (CommyCli *cli, char **argv)
{
  static const CommyCliVerb verb = {
    .name = "pki show",
    .usage = "- what certificates are there",
    .summary
    = "Tells names, validity, issuer and fingerprints of the authority's certificate and of\n"
      "this node's own, and who renews that.",
    .description = "Example:\n"
                   "  commy pki show -o json\n\n" COMMY_CMD_PKI_DIR_HELP,
    .has_format = TRUE,
  };
  g_autofree char *given = NULL;
  g_autofree char *dir = NULL;
  const GOptionEntry entries[] = {
    { "dir", 'd', 0, G_OPTION_ARG_FILENAME, &given, "Directory of the credentials", "DIR" },
    { NULL },
  };
  g_auto (GStrv) arguments = commy_cli_parse (cli, &verb, entries, argv);
  g_auto (View) view = { NULL };
  g_autoptr (GError) error = NULL;

  if (arguments == NULL)
    return COMMY_EXIT_USAGE;
  if (arguments[1] != NULL)
    return commy_cli_misuse (&verb, "what is \"%s\"?", arguments[1]);
  view.dir = dir = commy_cmd_pki_dup_dir (cli, given);
  view.ca = load_info (dir, COMMY_PKI_CA_FILE, &error);
  if (view.ca == NULL)
    {
      g_prefix_error (&error, "no certificates here (commy pki init makes an authority, commy join "
                              "joins one): ");
      return commy_cmd_pki_fail (error);
    }
  view.has_key = exists (dir, COMMY_PKI_AUTHORITY_KEY_FILE);
  view.issuer = commy_pki_dup_issuer (dir);
  if (exists (dir, COMMY_PKI_CERT_FILE))
    view.cert = load_info (dir, COMMY_PKI_CERT_FILE, &error);
  if (error != NULL)
    return commy_cmd_pki_fail (error);
  if (cli->json)
    print_json (&view);
  else
    print_view (&view);
  return COMMY_EXIT_DONE;
}
