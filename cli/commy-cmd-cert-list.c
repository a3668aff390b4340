/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `commy cert ls` and `commy cert expiry`: this node's certificate and its authorities from the
 * files, those of peers from nodes that run.
 */
#include "config.h"

#include "cli/commy-cmd-cert.h"

#include "cli/commy-lookup.h"
#include "cli/commy-output.h"

#include <string.h>

#define WARN_DAYS 14
#define CRITICAL_DAYS 3
#define DAYS_MAX 3650
#define ASK_US G_USEC_PER_SEC /* who is to be shut out must not wait for a node that hangs */

/* One certificate. */
typedef struct
{
  const char *what; /* own, authority or peer */
  char *id;         /* whom it names */
  char *name;       /* "x509:AUTHORITY:SERIAL" */
  char *seen_by;    /* the node that has such a peer, or NULL */
  gint64 from_s;    /* 0: not known */
  gint64 until_s;
} Cert;

static void
cert_free (gpointer data)
{
  Cert *cert = data;

  g_free (cert->id);
  g_free (cert->name);
  g_free (cert->seen_by);
  g_free (cert);
}

/* --- files --- */

static void
add_pem (GPtrArray *certs, const char *what, const char *pem)
{
  const char *begin = strstr (pem, "-----BEGIN CERTIFICATE");
  g_autoptr (CommyPkiInfo) info = NULL;
  Cert *cert;

  if (begin == NULL)
    return;
  info = commy_pki_info_new (begin, NULL);
  if (info == NULL)
    return;
  cert = g_new0 (Cert, 1);
  cert->what = what;
  cert->id = g_strdup (info->id);
  cert->name = g_strdup (info->name);
  cert->from_s = info->not_before_s;
  cert->until_s = info->not_after_s;
  g_ptr_array_add (certs, cert);
}

/* All certificates of a file; of one's own the first alone is one's own. */
static gboolean
add_file (GPtrArray *certs, const char *path, const char *what, gboolean all, GError **error)
{
  g_autofree char *pem = commy_pki_read_file ("/", path, FALSE, error);

  if (pem == NULL)
    return FALSE;
  for (const char *at = strstr (pem, "-----BEGIN CERTIFICATE"); at != NULL;
       at = all ? strstr (at + 1, "-----BEGIN CERTIFICATE") : NULL)
    add_pem (certs, what, at);
  return TRUE;
}

static GPtrArray *
list_files (const char *dir, GError **error)
{
  g_autoptr (GPtrArray) certs = g_ptr_array_new_with_free_func (cert_free);
  g_auto (CommyPkiPlaces) places = { NULL };

  if (!commy_pki_places_find (dir, &places, error))
    return NULL;
  if (!add_file (certs, places.authority, "authority", TRUE, error)
      || (g_file_test (places.certificate, G_FILE_TEST_EXISTS)
          && !add_file (certs, places.certificate, "own", FALSE, error)))
    {
      g_prefix_error (error, "no certificates here (commy pki init makes an authority, commy join "
                             "joins one): ");
      return NULL;
    }
  return g_steal_pointer (&certs);
}

/* --- nodes --- */

static gboolean
is_there (GPtrArray *certs, const char *name)
{
  for (guint i = 0; i < certs->len; i++)
    if (strcmp (((const Cert *) certs->pdata[i])->name, name) == 0)
      return TRUE;
  return FALSE;
}

/* The first word of a proof is the peer's own certificate. */
static void
add_flow (GPtrArray *certs, GVariant *flow, GVariant *node)
{
  const char *proof = commy_record_get_string (flow, "proof");
  g_autofree char *name = g_strndup (proof, strcspn (proof, " "));
  Cert *cert;

  if (!g_str_has_prefix (name, "x509:") || is_there (certs, name))
    return;
  cert = g_new0 (Cert, 1);
  cert->what = "peer";
  cert->id = g_strdup (commy_record_get_string (flow, "peer"));
  cert->name = g_steal_pointer (&name);
  cert->seen_by = commy_lookup_dup_short (commy_record_get_string (node, "node"));
  g_variant_lookup (flow, "proof-until", "x", &cert->until_s);
  g_ptr_array_add (certs, cert);
}

static void
add_peers (GPtrArray *certs, CommyMesh *mesh)
{
  g_autoptr (GPtrArray) nodes = commy_lookup_all_nodes (mesh, NULL, NULL);

  for (guint i = 0; nodes != NULL && i < nodes->len; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) flows
          = commy_lookup_ask_for (mesh, nodes->pdata[i], "Flows", NULL, "aa{sv}", &error);
      GVariantIter iter;
      GVariant *flow;

      if (flows == NULL)
        {
          commy_cli_note ("a node does not tell its peers: %s", error->message);
          continue;
        }
      g_variant_iter_init (&iter, flows);
      while ((flow = g_variant_iter_next_value (&iter)) != NULL)
        {
          add_flow (certs, flow, nodes->pdata[i]);
          g_variant_unref (flow);
        }
    }
}

/* Whether a connection rests on what has that name. */
static gboolean
rests_on (GVariant *flow, const char *subject)
{
  g_auto (GStrv) words = g_strsplit (commy_record_get_string (flow, "proof"), " ", -1);

  return strcmp (commy_record_get_string (flow, "peer"), subject) == 0
         || g_strv_contains ((const char *const *) words, subject);
}

guint
commy_cmd_cert_count_connections (CommyMesh *mesh, const char *subject, guint *out_silent)
{
  g_autoptr (GPtrArray) nodes = commy_lookup_all_nodes (mesh, NULL, NULL);
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (GPtrArray) answers
      = nodes != NULL ? commy_lookup_ask_all (mesh, context, nodes, "Flows", "aa{sv}", ASK_US)
                      : NULL;
  guint n = 0;

  *out_silent = 0;
  for (guint i = 0; answers != NULL && i < answers->len; i++)
    {
      gsize n_flows = answers->pdata[i] != NULL ? g_variant_n_children (answers->pdata[i]) : 0;

      *out_silent += answers->pdata[i] == NULL;
      for (gsize flow = 0; flow < n_flows; flow++)
        {
          g_autoptr (GVariant) record = g_variant_get_child_value (answers->pdata[i], flow);

          n += rests_on (record, subject);
        }
    }
  return n;
}

/* --- showing --- */

static const char *
validity (const Cert *cert)
{
  gint64 now = commy_cmd_pki_now ();

  if (cert->until_s != 0 && now > cert->until_s)
    return "expired";
  return now < cert->from_s ? "not valid yet" : "valid";
}

static char *
format_left (const Cert *cert)
{
  gint64 left = cert->until_s - commy_cmd_pki_now ();

  return cert->until_s != 0 && left > 0 ? commy_pki_format_span (left) : NULL;
}

static void
print_table (GPtrArray *certs)
{
  g_autoptr (CommyTable) table
      = commy_table_new ("WHAT", "WHO", "VALIDITY", "LEFT", "SEEN BY", "CERTIFICATE", NULL);

  for (guint i = 0; i < certs->len; i++)
    {
      const Cert *cert = certs->pdata[i];
      const char *state = validity (cert);

      commy_table_add (table, cert->what);
      commy_table_add_toned (table, cert->id, COMMY_TONE_STRONG);
      commy_table_add_toned (table, state,
                             strcmp (state, "valid") == 0 ? COMMY_TONE_GOOD : COMMY_TONE_BAD);
      commy_table_take (table, format_left (cert));
      commy_table_add (table, cert->seen_by);
      commy_table_add (table, cert->name);
    }
  commy_table_print (table);
}

/* Floating. */
static GVariant *
cert_to_variant (const Cert *cert)
{
  g_autofree char *from = commy_cmd_pki_format_time (cert->from_s);
  g_autofree char *until = commy_cmd_pki_format_time (cert->until_s);
  GVariantDict dict;

  g_variant_dict_init (&dict, NULL);
  g_variant_dict_insert (&dict, "what", "s", cert->what);
  g_variant_dict_insert (&dict, "id", "s", cert->id);
  g_variant_dict_insert (&dict, "certificate", "s", cert->name);
  g_variant_dict_insert (&dict, "validity", "s", validity (cert));
  if (cert->from_s != 0)
    g_variant_dict_insert (&dict, "not_before", "s", from);
  if (cert->until_s != 0)
    g_variant_dict_insert (&dict, "not_after", "s", until);
  if (cert->seen_by != NULL)
    g_variant_dict_insert (&dict, "seen_by", "s", cert->seen_by);
  return g_variant_dict_end (&dict);
}

static GVariant *
to_list (GPtrArray *certs)
{
  GVariantBuilder list;

  g_variant_builder_init (&list, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < certs->len; i++)
    g_variant_builder_add_value (&list, cert_to_variant (certs->pdata[i]));
  return g_variant_builder_end (&list);
}

CommyExit
commy_cmd_cert_ls (CommyCli *cli, char **argv)
{
  static const CommyCliVerb verb = {
    .name = "cert ls",
    .usage = "- the certificates in use",
    .summary = "Lists this node's certificate, the authorities it trusts, and the certificates\n"
               "that peers of running nodes were let in with.",
    .description = "The names in the last column are what commy cert deny and commy pki revoke "
                   "take.\n\n"
                   "Example:\n"
                   "  commy cert ls -o json\n\n" COMMY_CMD_PKI_DIR_HELP,
    .has_format = TRUE,
  };
  g_autofree char *given = NULL;
  g_autofree char *dir = NULL;
  gboolean local = FALSE;
  const GOptionEntry entries[] = {
    { "dir", 'd', 0, G_OPTION_ARG_FILENAME, &given, "Directory of the credentials", "DIR" },
    { "local", 0, 0, G_OPTION_ARG_NONE, &local, "Files alone: no node is asked", NULL },
    { NULL },
  };
  g_auto (GStrv) arguments = commy_cli_parse (cli, &verb, entries, argv);
  g_autoptr (CommyMesh) mesh = NULL;
  g_autoptr (GPtrArray) certs = NULL;
  g_autoptr (GError) error = NULL;

  if (arguments == NULL)
    return COMMY_EXIT_USAGE;
  if (arguments[1] != NULL)
    return commy_cli_misuse (&verb, "what is \"%s\"?", arguments[1]);
  dir = commy_cmd_pki_dup_dir (cli, given);
  certs = list_files (dir, &error);
  if (certs == NULL)
    return commy_cmd_pki_fail (error);
  mesh = local ? NULL : commy_cli_join (cli, &error);
  if (error != NULL)
    return commy_cli_fail (error);
  if (mesh != NULL)
    add_peers (certs, mesh);
  if (cli->json)
    commy_cli_json (cli, to_list (certs));
  else
    print_table (certs);
  return COMMY_EXIT_DONE;
}

/* --- expiry --- */

typedef enum
{
  VERDICT_WELL,
  VERDICT_WARN,
  VERDICT_CRITICAL,
  VERDICT_UNKNOWN,
} Verdict;

typedef struct
{
  int warn_days, critical_days; /* -1: as usual */
  gboolean nagios;
} Limits;

/* How little may be left. Who lives a day is renewed at two thirds of it: what was not said in days
 * is a share of the life then. */
static gint64
limit_s (int days, int usual, const Cert *cert, gint64 share)
{
  gint64 life = cert->until_s - cert->from_s;

  if (days >= 0)
    return days * COMMY_PKI_SECONDS_PER_DAY;
  return MIN (usual * COMMY_PKI_SECONDS_PER_DAY, life / share);
}

static Verdict
judge (const Limits *limits, const Cert *cert)
{
  gint64 left = cert->until_s - commy_cmd_pki_now ();

  if (strcmp (validity (cert), "valid") != 0
      || left <= limit_s (limits->critical_days, CRITICAL_DAYS, cert, 10))
    return VERDICT_CRITICAL;
  return left <= limit_s (limits->warn_days, WARN_DAYS, cert, 5) ? VERDICT_WARN : VERDICT_WELL;
}

static CommyExit
tell (const CommyCli *cli, const Limits *limits, GPtrArray *certs)
{
  static const CommyExit codes[] = { COMMY_EXIT_DONE, COMMY_EXIT_UNWELL, COMMY_EXIT_CRITICAL };
  static const char *const words[] = { "OK", "WARNING", "CRITICAL" };
  static const char *const names[] = { "well", "warn", "critical" };
  Verdict worst = VERDICT_WELL;
  const Cert *first = certs->pdata[0];
  g_autofree char *until = NULL;
  GVariantDict dict;

  for (guint i = 0; i < certs->len; i++)
    {
      const Cert *cert = certs->pdata[i];
      Verdict verdict = judge (limits, cert);

      if (verdict > worst || (verdict == worst && cert->until_s < first->until_s))
        first = cert;
      worst = MAX (worst, verdict);
    }
  until = commy_cmd_pki_format_time (first->until_s);
  if (limits->nagios)
    {
      commy_output_print ("COMMY %s - %s of %s ends at %s\n", words[worst], first->what, first->id,
                          until);
      return (CommyExit) worst;
    }
  if (cli->json)
    {
      g_variant_dict_init (&dict, NULL);
      g_variant_dict_insert (&dict, "verdict", "s", names[worst]);
      g_variant_dict_insert_value (&dict, "certificates", to_list (certs));
      commy_cli_json (cli, g_variant_dict_end (&dict));
    }
  else
    {
      print_table (certs);
      if (worst != VERDICT_WELL)
        commy_cli_note ("%s: %s ends at %s: commy pki renew tells why it was not renewed",
                        names[worst], first->id, until);
    }
  return codes[worst];
}

CommyExit
commy_cmd_cert_expiry (CommyCli *cli, char **argv)
{
  static const CommyCliVerb verb = {
    .name = "cert expiry",
    .usage = "- whether a certificate ends soon",
    .summary = "Looks at this node's certificate and at the authorities it trusts.",
    .description
    = "Ends with 0 if all is well, 8 if one ends within --warn days, 9 if one ends within\n"
      "--critical days or is not valid. Without these: 14 and 3 days, and of short lives the\n"
      "last fifth and tenth, when renewal is overdue. With --nagios: 0, 1, 2, and 3 if it\n"
      "cannot be found out; one line, as plugins of Nagios, Icinga and their like write it.\n\n"
      "Example:\n"
      "  commy cert expiry --warn 14 --critical 3 --nagios\n\n" COMMY_CMD_PKI_DIR_HELP,
    .has_format = TRUE,
  };
  Limits limits = { -1, -1, FALSE };
  g_autofree char *given = NULL;
  g_autofree char *dir = NULL;
  const GOptionEntry entries[] = {
    { "dir", 'd', 0, G_OPTION_ARG_FILENAME, &given, "Directory of the credentials", "DIR" },
    { "warn", 0, 0, G_OPTION_ARG_INT, &limits.warn_days, "Days that are few", "DAYS" },
    { "critical", 0, 0, G_OPTION_ARG_INT, &limits.critical_days, "Days that are too few", "DAYS" },
    { "nagios", 0, 0, G_OPTION_ARG_NONE, &limits.nagios, "One line and exit codes for supervision",
      NULL },
    { NULL },
  };
  g_auto (GStrv) arguments = commy_cli_parse (cli, &verb, entries, argv);
  g_autoptr (GPtrArray) certs = NULL;
  g_autoptr (GError) error = NULL;

  if (arguments == NULL)
    return COMMY_EXIT_USAGE;
  if (arguments[1] != NULL)
    return commy_cli_misuse (&verb, "what is \"%s\"?", arguments[1]);
  if (limits.warn_days < -1 || limits.warn_days > DAYS_MAX || limits.critical_days < -1
      || limits.critical_days > DAYS_MAX)
    return commy_cli_misuse (&verb, "--warn and --critical are from 0 to %d", DAYS_MAX);
  if (limits.warn_days >= 0 && limits.warn_days < limits.critical_days)
    return commy_cli_misuse (&verb, "--warn is not fewer days than --critical: nobody would be "
                                    "warned before it is critical");
  if (limits.nagios && cli->json)
    return commy_cli_misuse (&verb, "--nagios does not go with -o json");
  dir = commy_cmd_pki_dup_dir (cli, given);
  certs = list_files (dir, &error);
  if (certs != NULL && certs->len > 0)
    return tell (cli, &limits, certs);
  if (!limits.nagios)
    return commy_cmd_pki_fail (error);
  commy_output_print ("COMMY UNKNOWN - %s\n", error != NULL ? error->message : "nothing to read");
  return (CommyExit) VERDICT_UNKNOWN;
}
