/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `commy pki init | issue | show`: makes the authority of a mesh and the certificates of its
 * nodes, and tells what is there. Everything about certificates is in auth/common.
 */
#include "config.h"

#include "cli/commy-cmd-pki.h"

#include "auth/common/commy-pki.h"

#include <json-glib/json-glib.h>
#include <string.h>

#define EXIT_DONE 0
#define EXIT_FAILED 1
#define EXIT_USAGE 2
#define DAYS_MAX 3650

typedef struct
{
  char *dir;
  char *mesh;
  char *host;
  char *user;
  char *out;
  char *format;
  int days;
} Options;

static void
options_clear (Options *options)
{
  g_free (options->dir);
  g_free (options->mesh);
  g_free (options->host);
  g_free (options->user);
  g_free (options->out);
  g_free (options->format);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Options, options_clear)

static int
fail (const GError *error)
{
  g_printerr ("commy pki: %s\n", error->message);
  return EXIT_FAILED;
}

static int
misuse (const char *why)
{
  g_printerr ("commy pki: %s (see commy pki --help)\n", why);
  return EXIT_USAGE;
}

static gint64
now_s (void)
{
  return g_get_real_time () / G_USEC_PER_SEC;
}

static gboolean
issue (CommyPkiAuthority *authority, const Options *options, const char *dir, GError **error)
{
  gint64 now = now_s ();
  g_autoptr (CommyPkiPair) pair
      = commy_pki_issue (authority, options->host, options->user, now - COMMY_PKI_BACKDATE_S,
                         now + options->days * COMMY_PKI_SECONDS_PER_DAY, error);

  return pair != NULL && commy_pki_pair_save (pair, authority, dir, error);
}

static int
run_init (Options *options)
{
  g_autoptr (CommyPkiAuthority) authority = NULL;
  g_autoptr (GError) error = NULL;

  if (options->out != NULL)
    return misuse ("--out belongs to issue; init writes into --dir");
  /* All that can be wrong with the names is found before anything is written. */
  if (!commy_pki_check_segment (options->host, "host", &error)
      || !commy_pki_check_segment (options->user, "user", &error))
    return fail (error);
  authority = commy_pki_authority_new (options->mesh, now_s (), &error);
  if (authority == NULL || !commy_pki_authority_save (authority, options->dir, &error)
      || !issue (authority, options, options->dir, &error))
    return fail (error);
  g_print ("authority    spiffe://%s\n", commy_pki_authority_get_domain (authority));
  g_print ("certificate  spiffe://%s/host/%s/user/%s\n", commy_pki_authority_get_domain (authority),
           options->host, options->user);
  g_print ("directory    %s\n", options->dir);
  return EXIT_DONE;
}

static int
run_issue (Options *options)
{
  g_autoptr (CommyPkiAuthority) authority = NULL;
  g_autoptr (GError) error = NULL;

  if (options->out == NULL)
    return misuse ("issue needs --out DIR, where the new certificate goes");
  authority = commy_pki_authority_load (options->dir, &error);
  if (authority == NULL || !issue (authority, options, options->out, &error))
    return fail (error);
  g_print ("certificate  spiffe://%s/host/%s/user/%s\n", commy_pki_authority_get_domain (authority),
           options->host, options->user);
  g_print ("directory    %s (for the node's own: it holds a key)\n", options->out);
  return EXIT_DONE;
}

static char *
format_time (gint64 seconds)
{
  g_autoptr (GDateTime) time = g_date_time_new_from_unix_utc (seconds);

  return time == NULL ? g_strdup ("?") : g_date_time_format (time, "%Y-%m-%dT%H:%M:%SZ");
}

static const char *
validity (const CommyPkiInfo *info, gint64 now)
{
  if (now < info->not_before_s)
    return "not valid yet";
  return now > info->not_after_s ? "expired" : "valid";
}

static void
print_text (const char *title, const CommyPkiInfo *info)
{
  g_autofree char *from = format_time (info->not_before_s);
  g_autofree char *until = format_time (info->not_after_s);

  g_print ("%s\n", title);
  g_print ("  id           %s\n", info->id);
  g_print ("  issuer       %s\n", info->issuer);
  g_print ("  validity     %s to %s (%s)\n", from, until, validity (info, now_s ()));
  g_print ("  serial       %s\n", info->serial);
  g_print ("  fingerprint  sha256:%s\n", info->fingerprint);
}

static void
add_string (JsonBuilder *builder, const char *name, const char *value)
{
  json_builder_set_member_name (builder, name);
  json_builder_add_string_value (builder, value);
}

static void
add_info (JsonBuilder *builder, const char *name, const CommyPkiInfo *info)
{
  g_autofree char *from = format_time (info->not_before_s);
  g_autofree char *until = format_time (info->not_after_s);

  json_builder_set_member_name (builder, name);
  if (info->id == NULL)
    {
      json_builder_add_null_value (builder);
      return;
    }
  json_builder_begin_object (builder);
  add_string (builder, "id", info->id);
  add_string (builder, "issuer", info->issuer);
  add_string (builder, "not_before", from);
  add_string (builder, "not_after", until);
  add_string (builder, "validity", validity (info, now_s ()));
  add_string (builder, "serial", info->serial);
  add_string (builder, "fingerprint_sha256", info->fingerprint);
  json_builder_end_object (builder);
}

static void
print_json (const char *dir,
            gboolean has_authority_key,
            const CommyPkiInfo *ca,
            const CommyPkiInfo *cert)
{
  g_autoptr (JsonBuilder) builder = json_builder_new ();
  g_autoptr (JsonNode) root = NULL;
  g_autofree char *text = NULL;

  json_builder_begin_object (builder);
  add_string (builder, "directory", dir);
  json_builder_set_member_name (builder, "has_authority_key");
  json_builder_add_boolean_value (builder, has_authority_key);
  add_info (builder, "authority", ca);
  add_info (builder, "certificate", cert);
  json_builder_end_object (builder);
  root = json_builder_get_root (builder);
  text = json_to_string (root, TRUE);
  g_print ("%s\n", text);
}

static CommyPkiInfo *
load_info (const char *dir, const char *name, GError **error)
{
  g_autofree char *pem = commy_pki_read_file (dir, name, FALSE, error);

  return pem == NULL ? NULL : commy_pki_info_new (pem, error);
}

static int
run_show (Options *options)
{
  const CommyPkiInfo none = { NULL };
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyPkiInfo) ca = load_info (options->dir, COMMY_PKI_CA_FILE, &error);
  g_autoptr (CommyPkiInfo) cert = NULL;
  g_autofree char *key_path = g_build_filename (options->dir, COMMY_PKI_AUTHORITY_KEY_FILE, NULL);
  g_autofree char *cert_path = g_build_filename (options->dir, COMMY_PKI_CERT_FILE, NULL);
  gboolean has_key = g_file_test (key_path, G_FILE_TEST_EXISTS);

  if (ca == NULL)
    return fail (error);
  if (g_file_test (cert_path, G_FILE_TEST_EXISTS))
    {
      cert = load_info (options->dir, COMMY_PKI_CERT_FILE, &error);
      if (cert == NULL)
        return fail (error);
    }
  if (strcmp (options->format, "json") == 0)
    {
      print_json (options->dir, has_key, ca, cert != NULL ? cert : &none);
      return EXIT_DONE;
    }
  g_print ("%s\n", options->dir);
  print_text (has_key ? "authority (its key is here)" : "authority", ca);
  if (cert != NULL)
    print_text ("certificate", cert);
  else
    g_print ("no certificate for a node\n");
  return EXIT_DONE;
}

static GOptionContext *
make_context (Options *options)
{
  const GOptionEntry entries[] = {
    { "dir", 'd', 0, G_OPTION_ARG_FILENAME, &options->dir, "Directory of the credentials", "DIR" },
    { "mesh", 'm', 0, G_OPTION_ARG_STRING, &options->mesh, "Name of the mesh", "NAME" },
    { "host", 0, 0, G_OPTION_ARG_STRING, &options->host, "Host the certificate is for", "NAME" },
    { "user", 0, 0, G_OPTION_ARG_STRING, &options->user, "User the certificate is for", "NAME" },
    { "days", 0, 0, G_OPTION_ARG_INT, &options->days, "How long it is valid (90)", "N" },
    { "out", 0, 0, G_OPTION_ARG_FILENAME, &options->out, "issue: where it goes", "DIR" },
    { "output", 'o', 0, G_OPTION_ARG_STRING, &options->format, "show: text or json", "FORMAT" },
    { NULL },
  };
  GOptionContext *context
      = g_option_context_new ("init|issue|show - the authority and the certificates of a mesh");

  g_option_context_add_main_entries (context, entries, NULL);
  g_option_context_set_summary (
      context,
      "  init   make an authority, and a certificate for this host and user: ready to run\n"
      "  issue  make a certificate for another host or user, in --out DIR\n"
      "  show   tell what is there: names, validity, fingerprints");
  g_option_context_set_description (
      context,
      "Without --dir the directory is that of the mesh (\"default\"): $COMMY_STATE_DIR/MESH/pki,\n"
      "/var/lib/commy/MESH/pki for root, else ~/.local/state/commy/MESH/pki. The authority's key\n"
      "never leaves the directory where init made it; an authority is never overwritten.\n"
      "\n"
      "Example: let a second host in\n"
      "  commy pki init\n"
      "  commy pki issue --host web2 --user www --out ./web2\n"
      "  scp -r web2/. www@web2:.local/state/commy/default/pki\n"
      "\n"
      "Exit codes: 0 done, 1 failed, 2 wrong usage.\n");
  return context;
}

static void
fill_defaults (Options *options)
{
  if (options->mesh == NULL)
    options->mesh = g_strdup ("default");
  if (options->dir == NULL)
    options->dir = commy_pki_default_dir (options->mesh);
  if (options->host == NULL)
    options->host = g_strdup (g_get_host_name ());
  if (options->user == NULL)
    options->user = g_strdup (g_get_user_name ());
  if (options->format == NULL)
    options->format = g_strdup ("text");
}

int
commy_cmd_pki (int argc, char **argv)
{
  g_auto (Options) options = { .days = COMMY_PKI_LIFE_DAYS };
  g_autoptr (GOptionContext) context = make_context (&options);
  g_auto (GStrv) arguments = g_new0 (char *, argc + 1);
  g_autoptr (GError) error = NULL;

  for (int i = 0; i < argc; i++)
    arguments[i] = g_strdup (argv[i]);
  if (!g_option_context_parse_strv (context, &arguments, &error))
    return misuse (error->message);
  if (g_strv_length (arguments) != 2)
    return misuse ("say one of init, issue, show");
  if (options.days < 1 || options.days > DAYS_MAX)
    return misuse ("--days is from 1 to 3650");
  fill_defaults (&options);
  if (strcmp (options.format, "text") != 0 && strcmp (options.format, "json") != 0)
    return misuse ("--output is text or json");
  if (strcmp (arguments[1], "init") == 0)
    return run_init (&options);
  if (strcmp (arguments[1], "issue") == 0)
    return run_issue (&options);
  if (strcmp (arguments[1], "show") == 0)
    return run_show (&options);
  return misuse ("unknown command; say one of init, issue, show");
}
