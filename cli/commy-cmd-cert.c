/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `commy cert deny | allow | denied`: the deny list of a mesh, which its nodes follow in the store;
 * and the way to the other subcommands.
 */
#include "config.h"

#include "cli/commy-cmd-cert.h"

#include "cli/commy-act.h"
#include "cli/commy-output.h"

#include <string.h>

#define CERT_LIST_HELP                                                                            \
  "SUBJECT is a principal (spiffe://DOMAIN/host/H/user/U, token:NAME, jwt:ISSUER/SUBJECT) or a\n" \
  "certificate (x509:AUTHORITY:SERIAL), as commy cert ls prints them.\n\n"

/* "90m", "24h", "30d" -> seconds. */
static gboolean
parse_span (const char *text, gint64 *out_s)
{
  char *end = NULL;
  gint64 number = g_ascii_strtoll (text, &end, 10);
  gint64 unit = g_strcmp0 (end, "s") == 0   ? 1
                : g_strcmp0 (end, "m") == 0 ? 60
                : g_strcmp0 (end, "h") == 0 ? 3600
                : g_strcmp0 (end, "d") == 0 ? COMMY_PKI_SECONDS_PER_DAY
                                            : 0;

  if (unit == 0 || number < 1 || number > 3650 * COMMY_PKI_SECONDS_PER_DAY / unit)
    return FALSE;
  *out_s = number * unit;
  return TRUE;
}

/* What anything that is proved begins with: "spiffe://", "token:", "x509:". Without it nobody has
 * that name. */
static gboolean
has_scheme (const char *subject)
{
  gsize size = strspn (subject, "abcdefghijklmnopqrstuvwxyz0123456789+-");

  return g_ascii_islower (subject[0]) && subject[size] == ':' && subject[size + 1] != '\0';
}

static void
tell_whom (const char *subject, guint n, guint silent)
{
  if (n > 0)
    commy_cli_note ("%s is denied: %u connections rest on it now", subject, n);
  else
    commy_cli_note ("%s is denied: it fits nobody who is connected now", subject);
  if (silent > 0)
    commy_cli_note ("%u nodes did not tell their connections", silent);
}

static CommyExit
deny (CommyMesh *mesh, const char *subject, const char *reason, gint64 span_s)
{
  g_autoptr (GError) error = NULL;
  guint silent = 0;
  /* Counted before: at once after it they are closed. */
  guint n = commy_cmd_cert_count_connections (mesh, subject, &silent);

  if (!commy_mesh_deny (mesh, subject, reason != NULL ? reason : "",
                        span_s > 0 ? commy_cmd_pki_now () + span_s : 0, &error))
    return commy_cli_fail (error);
  tell_whom (subject, n, silent);
  return COMMY_EXIT_DONE;
}

static CommyExit
cmd_deny (CommyCli *cli, char **argv)
{
  static const CommyCliVerb verb = {
    .name = "cert deny",
    .usage = "SUBJECT - shut somebody out at once",
    .summary = "Writes into the store that a principal or a certificate is denied. Every node of "
               "the\nmesh that follows the store refuses it from then on, and closes connections "
               "that\nrest on it.",
    .description
    = CERT_LIST_HELP "It lasts until commy cert allow, or for --for. Who may write to the store "
                     "below denied/\nmay deny; a certificate that is to stay refused whatever the "
                     "store says is revoked\nwith commy pki revoke.\n\n"
                     "Example:\n"
                     "  commy cert deny token:build --reason 'leaked' --for 24h",
  };
  g_autofree char *reason = NULL;
  g_autofree char *span = NULL;
  const GOptionEntry entries[] = {
    { "reason", 'r', 0, G_OPTION_ARG_STRING, &reason, "Why; those who are denied may read it",
      "TEXT" },
    { "for", 0, 0, G_OPTION_ARG_STRING, &span, "How long, as 90m, 24h or 30d (for good)", "TIME" },
    { NULL },
  };
  g_auto (GStrv) arguments = commy_cli_parse (cli, &verb, entries, argv);
  g_autoptr (CommyMesh) mesh = NULL;
  g_autoptr (GError) error = NULL;
  gint64 span_s = 0;
  CommyAct act;

  if (arguments == NULL)
    return COMMY_EXIT_USAGE;
  if (arguments[1] == NULL || arguments[2] != NULL)
    return commy_cli_misuse (&verb, "say whom: one principal or certificate");
  if (span != NULL && !parse_span (span, &span_s))
    return commy_cli_misuse (&verb, "--for is a time as 90m, 24h or 30d");
  if (!has_scheme (arguments[1]))
    return commy_cli_misuse (&verb,
                             "\"%.64s\" is no principal (spiffe://DOMAIN/host/H/user/U, "
                             "token:NAME, unix:uid=N) and no certificate (x509:AUTHORITY:SERIAL)",
                             arguments[1]);
  mesh = commy_cli_join_anyway (cli, &error);
  if (mesh == NULL)
    return commy_cli_fail (error);
  if (!commy_act_begin (&act, cli, mesh, "cert deny", arguments[1]))
    return act.status;
  act.details = span != NULL ? g_strdup_printf ("for %s", span) : g_strdup ("for good");
  return commy_act_end (&act, deny (mesh, arguments[1], reason, span_s));
}

static CommyExit
allow (CommyMesh *mesh, const char *subject)
{
  g_autoptr (GError) error = NULL;

  if (commy_mesh_allow (mesh, subject, &error))
    return COMMY_EXIT_DONE;
  if (error != NULL)
    return commy_cli_fail (error);
  commy_cli_note ("%s is not denied; see commy cert denied", subject);
  return COMMY_EXIT_NOT_FOUND;
}

static CommyExit
cmd_allow (CommyCli *cli, char **argv)
{
  static const CommyCliVerb verb = {
    .name = "cert allow",
    .usage = "SUBJECT - take a denial back",
    .summary
    = "Removes a record that commy cert deny wrote. What a list of revoked certificates\n"
      "names stays refused. Of a lock-out: who failed to prove who he is need not wait any\n"
      "more.",
    .description = "Example:\n"
                   "  commy cert allow token:build\n"
                   "  commy cert allow lock-out/mesh/spiffe://mesh/host/web2/user/www",
  };
  g_auto (GStrv) arguments = commy_cli_parse (cli, &verb, NULL, argv);
  g_autoptr (CommyMesh) mesh = NULL;
  g_autoptr (GError) error = NULL;
  CommyAct act;

  if (arguments == NULL)
    return COMMY_EXIT_USAGE;
  if (arguments[1] == NULL || arguments[2] != NULL)
    return commy_cli_misuse (&verb, "say whom: one principal or certificate");
  mesh = commy_cli_join_anyway (cli, &error);
  if (mesh == NULL)
    return commy_cli_fail (error);
  if (!commy_act_begin (&act, cli, mesh, "cert allow", arguments[1]))
    return act.status;
  return commy_act_end (&act, allow (mesh, arguments[1]));
}

/* --- denied --- */

static void
print_denied (GVariant *list)
{
  g_autoptr (CommyTable) table = commy_table_new ("SUBJECT", "SINCE", "UNTIL", "REASON", NULL);
  GVariantIter iter;
  GVariant *record;

  g_variant_iter_init (&iter, list);
  while ((record = g_variant_iter_next_value (&iter)) != NULL)
    {
      const char *subject = "", *reason = "";
      gint64 since = 0, until = 0;

      g_variant_lookup (record, "subject", "&s", &subject);
      g_variant_lookup (record, "reason", "&s", &reason);
      g_variant_lookup (record, "since", "x", &since);
      g_variant_lookup (record, "until", "x", &until);
      commy_table_add_toned (table, subject,
                             until != 0 && until <= commy_cmd_pki_now () ? COMMY_TONE_FAINT
                                                                         : COMMY_TONE_STRONG);
      commy_table_take (table, since != 0 ? commy_cmd_pki_format_time (since) : NULL);
      commy_table_take (table,
                        until != 0 ? commy_cmd_pki_format_time (until) : g_strdup ("for good"));
      commy_table_add (table, reason);
      g_variant_unref (record);
    }
  commy_table_print (table);
}

static CommyExit
cmd_denied (CommyCli *cli, char **argv)
{
  static const CommyCliVerb verb = {
    .name = "cert denied",
    .usage = "- who is denied",
    .summary = "Lists what commy cert deny wrote, as the store says now. What has ended denies\n"
               "nobody any more. What begins with lock-out/ instances wrote: those have to wait\n"
               "before they may try again to prove who they are; connections that are open go on.",
    .description = "Example:\n"
                   "  commy cert denied -o json",
    .has_format = TRUE,
  };
  g_auto (GStrv) arguments = commy_cli_parse (cli, &verb, NULL, argv);
  g_autoptr (CommyMesh) mesh = NULL;
  g_autoptr (GVariant) list = NULL;
  g_autoptr (GError) error = NULL;

  if (arguments == NULL)
    return COMMY_EXIT_USAGE;
  if (arguments[1] != NULL)
    return commy_cli_misuse (&verb, "what is \"%s\"?", arguments[1]);
  mesh = commy_cli_join_anyway (cli, &error);
  list = mesh != NULL ? commy_mesh_list_denied (mesh, &error) : NULL;
  if (list == NULL)
    return commy_cli_fail (error);
  if (cli->json)
    commy_cli_json (cli, list);
  else
    print_denied (list);
  return COMMY_EXIT_DONE;
}

/* --- the way to all --- */

static const struct
{
  const char *name;
  CommyCmdFunc func;
} subcommands[] = {
  { "ls", commy_cmd_cert_ls }, { "expiry", commy_cmd_cert_expiry },
  { "deny", cmd_deny },        { "allow", cmd_allow },
  { "denied", cmd_denied },
};

CommyExit
commy_cmd_cert (CommyCli *cli, char **argv)
{
  static const CommyCliVerb verb = {
    .name = "cert",
    .usage = "ls|expiry|deny|allow|denied - the certificates in use",
    .summary = "  ls      this node's certificate, its authorities, and those of peers of nodes\n"
               "          that run\n"
               "  expiry  whether one of them ends soon, for supervision\n"
               "  deny    shut a principal or a certificate out at once, on all nodes\n"
               "  allow   take that back\n"
               "  denied  who is denied",
    .description = "Each has a help of its own: commy cert expiry --help\n\n"
                   "Example: does a certificate end within two weeks?\n"
                   "  commy cert expiry --warn 14 --critical 3",
  };
  g_auto (GStrv) arguments = NULL;

  for (guint i = 0; argv[1] != NULL && i < G_N_ELEMENTS (subcommands); i++)
    if (strcmp (argv[1], subcommands[i].name) == 0)
      return subcommands[i].func (cli, argv + 1);
  arguments = commy_cli_parse (cli, &verb, NULL, argv);
  if (arguments == NULL)
    return COMMY_EXIT_USAGE;
  return arguments[1] == NULL
             ? commy_cli_misuse (&verb, "say one of ls, expiry, deny, allow, denied")
             : commy_cli_misuse (&verb,
                                 "there is no \"%s\"; say one of ls, expiry, deny, allow, denied "
                                 "first",
                                 arguments[1]);
}
