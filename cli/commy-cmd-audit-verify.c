/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `commy audit verify`: whether a trail is whole, without a mesh.
 */
#include "config.h"

#include "cli/commy-cmd-audit.h"
#include "cli/commy-lookup.h"
#include "cli/commy-output.h"
#include "cli/commy-quantity.h"

#include <string.h>

static const CommyCliVerb verb = {
  .name = "audit verify",
  .usage = "- whether the trail is whole",
  .summary
  = N_ ("Checks every byte of the trail, off-line: hashes, order, seals, names. Each fault is\n"
        "told with file, record and offset."),
  .description = N_ (
      "The last files of a chain are missed because its head (.head) says how far it went. That a\n"
      "whole chain is gone, or was written anew from the beginning, only shows against something\n"
      "that is kept elsewhere: note SEQ:HASH of a chain and the anchor from the output now and\n"
      "then, on another host, and give them back later.\n\n"
      "Example:\n"
      "  commy audit verify\n"
      "  commy audit verify --dir /mnt/copy/audit --keys /mnt/copy/pki -o json\n"
      "  commy audit verify --expect 4711:HASH --anchor KEY\n\n"
      "Exit codes of verify: 0 whole, 1 something is wrong."),
  .has_format = TRUE,
};

typedef struct
{
  char *dir;
  char *keys;
  char *expect;
  char *anchor;
} Options;

static void
options_clear (Options *options)
{
  g_free (options->dir);
  g_free (options->keys);
  g_free (options->expect);
  g_free (options->anchor);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Options, options_clear)

#ifndef COMMY_CLI_WITH_PKI
gboolean
commy_audit_seals_init (CommyAuditSeals *seals,
                        const CommyCli *cli,
                        const char *keys,
                        GError **error)
{
  seals->why_not = g_strdup ("this build has no GnuTLS");
  return TRUE;
}

void
commy_audit_seals_clear (CommyAuditSeals *seals)
{
  g_free (seals->why_not);
}
#endif

static void
print_chains (GVariant *report)
{
  g_autoptr (GVariant) chains = g_variant_lookup_value (report, "chains", NULL);
  g_autoptr (CommyTable) table
      = commy_table_new ("CHAIN", "STATE", "FILES", "SEALS", "UNSEALED", "LAST (SEQ:HASH)", NULL);

  for (gsize i = 0; i < g_variant_n_children (chains); i++)
    {
      g_autoptr (GVariant) chain = g_variant_get_child_value (chains, i);

      commy_table_add (table, commy_record_get_string (chain, "chain"));
      commy_table_add (table, commy_record_get_string (chain, "state"));
      commy_table_take (
          table, g_strdup_printf ("%" G_GUINT64_FORMAT, commy_record_get_uint (chain, "files")));
      commy_table_take (
          table, g_strdup_printf ("%" G_GUINT64_FORMAT, commy_record_get_uint (chain, "seals")));
      commy_table_take (
          table, g_strdup_printf ("%" G_GUINT64_FORMAT, commy_record_get_uint (chain, "unsealed")));
      commy_table_take (table, g_strdup_printf ("%" G_GUINT64_FORMAT ":%s",
                                                commy_record_get_uint (chain, "last"),
                                                commy_record_get_string (chain, "hash")));
    }
  if (commy_table_get_n_rows (table) > 0)
    commy_table_print (table);
}

static void
print_faults (GVariant *report)
{
  g_autoptr (GVariant) faults = g_variant_lookup_value (report, "faults", NULL);
  guint64 n = commy_record_get_uint (report, "fault_count");

  for (gsize i = 0; i < g_variant_n_children (faults); i++)
    {
      g_autoptr (GVariant) fault = g_variant_get_child_value (faults, i);
      g_autofree char *file = commy_output_clean (commy_record_get_string (fault, "file"), FALSE);
      g_autofree char *text = commy_output_clean (commy_record_get_string (fault, "text"), FALSE);

      commy_output_print ("%s: %s, record %" G_GUINT64_FORMAT ", byte %" G_GUINT64_FORMAT ": %s\n",
                          file, commy_record_get_string (fault, "fault"),
                          commy_record_get_uint (fault, "record"),
                          commy_record_get_uint (fault, "offset"), text);
    }
  if (n > g_variant_n_children (faults))
    commy_output_print (_ ("and %llu more\n"),
                        (unsigned long long) (n - g_variant_n_children (faults)));
}

static unsigned long long
number (GVariant *report, const char *key)
{
  return commy_record_get_uint (report, key);
}

static guint64
count_seals (GVariant *report)
{
  g_autoptr (GVariant) chains = g_variant_lookup_value (report, "chains", NULL);
  guint64 n = 0;

  for (gsize i = 0; i < g_variant_n_children (chains); i++)
    {
      g_autoptr (GVariant) chain = g_variant_get_child_value (chains, i);

      n += commy_record_get_uint (chain, "seals");
    }
  return n;
}

/* What no seal is behind anybody who could write the files may have noted. */
static void
print_claims (GVariant *report)
{
  const unsigned long long removals = number (report, "removals_claimed");
  const unsigned long long ends = number (report, "ends_claimed");

  if (removals > 0)
    commy_output_print (
        _ ("%llu of %llu removals are only claimed: no seal that was judged is about "
           "these notes, so that who can write the files may have made them\n"),
        removals, number (report, "removals"));
  if (ends > 0)
    commy_output_print (
        _ ("%llu of %llu ends of killed processes are only claimed: no seal that was "
           "judged is about these notes\n"),
        ends, number (report, "ends"));
}

static void
print_report (GVariant *report, const CommyAuditSeals *seals)
{
  g_autoptr (GVariant) notes = g_variant_lookup_value (report, "notes", NULL);
  g_autofree char *size = commy_quantity_format_size (commy_record_get_uint (report, "bytes"));
  unsigned long long faults = commy_record_get_uint (report, "fault_count");
  unsigned long long n_seals = count_seals (report);

  print_chains (report);
  for (gsize i = 0; i < g_variant_n_children (notes); i++)
    {
      g_autoptr (GVariant) note = g_variant_get_child_value (notes, i);
      g_autofree char *clean = commy_output_clean (g_variant_get_string (note, NULL), FALSE);

      commy_output_print (_ ("note: %s\n"), clean);
    }
  print_faults (report);
  if (n_seals == 0)
    commy_output_print (
        _ ("no seals: nobody signed this trail, so that who can write its files can "
           "write all of it anew\n"));
  else if (seals->tools.check_seal == NULL)
    commy_output_print (_ ("%llu seals, which were not judged: %s\n"), n_seals, seals->why_not);
  else
    commy_output_print (_ ("%llu seals judged; anchor %s\n"), n_seals, seals->anchor);
  print_claims (report);
  commy_output_print (_ ("%llu records in %llu files, %s; %llu names, %llu of them erased\n"),
                      number (report, "records"), number (report, "files"), size,
                      number (report, "names"), number (report, "erased"));
  if (faults > 0)
    commy_output_print (_ ("%llu faults: this trail is not whole\n"), faults);
  else
    commy_output_print (_ ("whole\n"));
}

static GVariant *
with_anchor (GVariant *report, const CommyAuditSeals *seals)
{
  GVariantDict dict;

  g_variant_dict_init (&dict, report);
  g_variant_dict_insert (&dict, "seals_judged", "b", seals->tools.check_seal != NULL);
  if (seals->anchor != NULL)
    g_variant_dict_insert (&dict, "anchor", "s", seals->anchor);
  return g_variant_dict_end (&dict);
}

static gboolean
check_anchor (const Options *options, const CommyAuditSeals *seals, GError **error)
{
  if (options->anchor == NULL || g_strcmp0 (options->anchor, seals->anchor) == 0)
    return TRUE;
  commy_cli_set_error (error, COMMY_ERROR_AUDIT,
                       "the list of keys does not begin with %.80s: somebody wrote it anew (%s)",
                       options->anchor, seals->anchor != NULL ? seals->anchor : seals->why_not);
  return FALSE;
}

CommyExit
commy_cmd_audit_verify (CommyCli *cli, char **argv)
{
  g_auto (Options) options = { NULL };
  g_auto (CommyAuditSeals) seals = { .anchor = NULL };
  const GOptionEntry entries[] = {
    { "dir", 'd', 0, G_OPTION_ARG_FILENAME, &options.dir, N_ ("Folder of the trail"), "DIR" },
    { "keys", 0, 0, G_OPTION_ARG_FILENAME, &options.keys,
      N_ ("Folder with the list of keys, audit-keys (the credentials of the mesh)"), "DIR" },
    { "expect", 0, 0, G_OPTION_ARG_STRING, &options.expect,
      N_ ("A record that must be there, noted earlier"), "SEQ:HASH" },
    { "anchor", 0, 0, G_OPTION_ARG_STRING, &options.anchor,
      N_ ("The key that the list must begin with, noted earlier"), "KEY" },
    { NULL },
  };
  g_auto (GStrv) arguments = commy_cli_parse (cli, &verb, entries, argv);
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) report = NULL;
  g_autofree char *dir = NULL;

  if (arguments == NULL)
    return COMMY_EXIT_USAGE;
  if (arguments[1] != NULL)
    return commy_cli_misuse (&verb, "what is \"%s\"?", arguments[1]);
  dir = commy_cmd_audit_dup_dir (cli, options.dir, &error);
  if (dir == NULL || !commy_audit_seals_init (&seals, cli, options.keys, &error)
      || !check_anchor (&options, &seals, &error))
    return commy_cli_fail (error);
  report = commy_audit_verify (dir, &seals.tools, options.expect, &error);
  if (report == NULL)
    return commy_cli_fail (error);
  if (cli->json)
    commy_cli_json (cli, with_anchor (report, &seals));
  else
    print_report (report, &seals);
  return commy_record_get_uint (report, "fault_count") > 0 ? COMMY_EXIT_FAILED : COMMY_EXIT_DONE;
}
