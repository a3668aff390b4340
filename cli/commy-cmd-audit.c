/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `commy audit tail | query | export | erase`, and the way to verify. Reads files, joins nothing.
 */
#include "config.h"

#include "cli/commy-act.h"
#include "cli/commy-cmd-audit.h"
#include "cli/commy-lookup.h"
#include "cli/commy-nearest.h"
#include "cli/commy-output.h"
#include "cli/commy-quantity.h"

#include <string.h>

#define TAIL 20
#define TAIL_MAX 1000000

static const char *const columns[]
    = { "time",   "type", "outcome", "principal", "address", "peer",  "transport", "service",
        "method", "rule", "origin",  "reason",    "details", "count", "chain",     "seq" };

typedef struct
{
  char *dir;
  char *since;
  char *until;
  char *principal;
  char *service;
  char *type;
  char *outcome;
  int limit;
  gboolean csv;
  gboolean yes;

  CommyCli *cli;
  GPtrArray *patterns[4]; /* of GPatternSpec, for the four above; NULL: all */
  GQueue last;            /* records, for tail; or those of a table */
  guint64 n;
  GError *error;
} Query;

static void
query_clear (Query *query)
{
  g_free (query->dir);
  g_free (query->since);
  g_free (query->until);
  g_free (query->principal);
  g_free (query->service);
  g_free (query->type);
  g_free (query->outcome);
  for (guint i = 0; i < G_N_ELEMENTS (query->patterns); i++)
    g_clear_pointer (&query->patterns[i], g_ptr_array_unref);
  g_queue_clear_full (&query->last, (GDestroyNotify) g_variant_unref);
  g_clear_error (&query->error);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Query, query_clear)

char *
commy_cmd_audit_dup_dir (const CommyCli *cli, const char *dir, GError **error)
{
  g_autoptr (CommyMesh) mesh = dir == NULL ? commy_mesh_new (cli->mesh, error) : NULL;

  if (dir != NULL)
    return g_strdup (dir);
  return mesh != NULL ? commy_mesh_dup_audit_directory (mesh) : NULL;
}

/* --- which records --- */

/* A point in time, or how long ago, in the form that records have. (transfer full) */
static char *
dup_time (const char *text, GError **error)
{
  g_autoptr (GTimeZone) utc = g_time_zone_new_utc ();
  g_autoptr (GDateTime) time = g_date_time_new_from_iso8601 (text, utc);
  g_autoptr (GDateTime) in_utc = NULL;
  gint64 ago_us;

  if (time == NULL && commy_quantity_parse_time (text, &ago_us))
    {
      g_autoptr (GDateTime) now = g_date_time_new_now_utc ();

      time = g_date_time_add (now, -ago_us);
    }
  if (time == NULL)
    {
      commy_cli_set_error (
          error, COMMY_ERROR_INVALID_ARGUMENT,
          "\"%.64s\" is no time: write 2026-01-31T12:00:00Z, or how long ago as 2h", text);
      return NULL;
    }
  in_utc = g_date_time_to_utc (time);
  return g_date_time_format (in_utc, "%Y-%m-%dT%H:%M:%S.%fZ");
}

static gboolean
read_time (char **text, GError **error)
{
  char *form;

  if (*text == NULL)
    return TRUE;
  form = dup_time (*text, error);
  if (form == NULL)
    return FALSE;
  g_free (*text);
  *text = form;
  return TRUE;
}

/* A word that no record can have finds nothing, which reads as if nothing had happened. What
 * plugins record may be called otherwise; a pattern finds it. */
static gboolean
check_word (const char *word, const char *option, const char *const *known, GError **error)
{
  g_autofree char *hint = NULL;
  g_autofree char *all = NULL;

  if (strpbrk (word, "*?") != NULL || g_strv_contains (known, word))
    return TRUE;
  hint = commy_nearest_dup_hint (word, known);
  all = g_strjoinv (", ", (char **) known);
  commy_cli_set_error (error, COMMY_ERROR_INVALID_ARGUMENT,
                       "no record has %s \"%.64s\"%s: there are %s; of others a pattern with * is "
                       "looked for",
                       option, word, hint, all);
  return FALSE;
}

/* @known: (nullable): several words may be given, each of which must be one of these */
static GPtrArray *
read_patterns (const char *text, const char *option, const char *const *known, GError **error)
{
  g_autoptr (GPtrArray) patterns
      = g_ptr_array_new_with_free_func ((GDestroyNotify) g_pattern_spec_free);
  g_auto (GStrv) words = g_strsplit (text, known != NULL ? "," : "\n", -1);

  for (char **word = words; *word != NULL; word++)
    {
      if (known != NULL && !check_word (*word, option, known, error))
        return NULL;
      g_ptr_array_add (patterns, g_pattern_spec_new (*word));
    }
  return g_steal_pointer (&patterns);
}

static gboolean
prepare (Query *query, GError **error)
{
  static const char *const types[] = { "call", "control",     "peer",  "policy", "config", "plugin",
                                       "node", "certificate", "store", "admin",  "trail",  NULL };
  static const char *const outcomes[]
      = { "allowed",  "denied",     "accepted", "refused", "ended",       "loaded",
          "rejected", "joined",     "left",     "renewed", "not renewed", "issued",
          "opened",   "checkpoint", "closed",   "gap",     "recovered",   "removed",
          "begun",    "done",       "failed",   NULL };
  const char *texts[] = { query->principal, query->service, query->type, query->outcome };
  const char *const options[] = { "--principal", "--service", "--type", "--outcome" };
  const char *const *const known[] = { NULL, NULL, types, outcomes };

  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      if (texts[i] == NULL)
        continue;
      query->patterns[i] = read_patterns (texts[i], options[i], known[i], error);
      if (query->patterns[i] == NULL)
        return FALSE;
    }
  return read_time (&query->since, error) && read_time (&query->until, error);
}

static gboolean
fits_any (GPtrArray *patterns, const char *text)
{
  for (guint i = 0; i < patterns->len; i++)
    if (g_pattern_spec_match_string (patterns->pdata[i], text))
      return TRUE;
  return FALSE;
}

static gboolean
fits (const Query *query, GVariant *record)
{
  static const char *const names[] = { "principal", "service", "type", "outcome" };
  const char *time = commy_record_get_string (record, "time");

  if ((query->since != NULL && strcmp (time, query->since) < 0)
      || (query->until != NULL && strcmp (time, query->until) >= 0))
    return FALSE;
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    if (query->patterns[i] != NULL
        && !fits_any (query->patterns[i], commy_record_get_string (record, names[i])))
      return FALSE;
  return TRUE;
}

/* --- how they are shown --- */

static gboolean
is_admin (GVariant *record)
{
  return strcmp (commy_record_get_string (record, "type"), "admin") == 0;
}

static char *
dup_what (GVariant *record)
{
  const char *service = commy_record_get_string (record, "service");
  const char *method = commy_record_get_string (record, "method");
  const char *details = commy_record_get_string (record, "details");

  if (is_admin (record))
    return g_strdup_printf ("%s %s", method, commy_record_get_string (record, "peer"));
  if (service[0] == '\0')
    return g_strdup (details);
  return method[0] == '\0' ? g_strdup (service) : g_strdup_printf ("%s.%s", service, method);
}

static char *
dup_why (GVariant *record)
{
  const char *rule = commy_record_get_string (record, "rule");
  const char *origin = commy_record_get_string (record, "origin");

  if (rule[0] != '\0')
    return g_strdup_printf ("%s (%s)", rule, origin);
  if (is_admin (record))
    return g_strconcat (commy_record_get_string (record, "reason"),
                        commy_record_get_string (record, "details"), NULL);
  /* Of one that was refused, or ended, the reason is a number, and the text is among what is
   * personal; of one that was accepted that is what it showed. */
  if (strcmp (commy_record_get_string (record, "type"), "peer") == 0)
    return g_strdup_printf ("%s%s%s", commy_record_get_string (record, "reason"),
                            commy_record_get_string (record, "reason")[0] != '\0' ? ": " : "",
                            commy_record_get_string (record, "peer"));
  return g_strdup (origin[0] != '\0' ? origin : commy_record_get_string (record, "reason"));
}

static void
print_table (GQueue *records)
{
  g_autoptr (CommyTable) table = commy_table_new ("TIME", "TYPE", "OUTCOME", "COUNT", "PRINCIPAL",
                                                  "OVER", "WHAT", "WHY", NULL);

  for (GList *at = records->head; at != NULL; at = at->next)
    {
      const char *outcome = commy_record_get_string (at->data, "outcome");
      gboolean bad = strcmp (outcome, "denied") == 0 || strcmp (outcome, "refused") == 0
                     || strcmp (outcome, "failed") == 0;

      commy_table_add (table, commy_record_get_string (at->data, "time"));
      commy_table_add (table, commy_record_get_string (at->data, "type"));
      commy_table_add_toned (table, outcome, bad ? COMMY_TONE_BAD : COMMY_TONE_PLAIN);
      commy_table_take (
          table, g_strdup_printf ("%" G_GUINT64_FORMAT, commy_record_get_uint (at->data, "count")));
      commy_table_add (table, commy_record_get_string (at->data, "principal"));
      commy_table_add (table, commy_record_get_string (at->data, "transport"));
      commy_table_take (table, dup_what (at->data));
      commy_table_take (table, dup_why (at->data));
    }
  if (commy_table_get_n_rows (table) > 0)
    commy_table_print (table);
  else
    commy_output_print (_ ("no record fits\n"));
}

/* RFC 4180. What begins like a formula is kept from being one where the file ends in a spreadsheet,
 * and what controls a terminal is shown as a number. */
static void
print_cell (GString *line, const char *text)
{
  g_string_append (line, line->len > 0 ? ",\"" : "\"");
  if (text[0] != '\0' && strchr ("=+-@\t\r", text[0]) != NULL)
    g_string_append_c (line, '\'');
  for (; *text != '\0'; text = g_utf8_next_char (text))
    {
      const gunichar character = g_utf8_get_char (text);

      if (character == '"')
        g_string_append_c (line, '"');
      if (g_unichar_iscntrl (character))
        g_string_append_printf (line, "\\u%04x", character);
      else
        g_string_append_unichar (line, character);
    }
  g_string_append_c (line, '"');
}

static void
print_csv (GVariant *record)
{
  g_autoptr (GString) line = g_string_new (NULL);

  for (guint i = 0; i < G_N_ELEMENTS (columns); i++)
    {
      g_autofree char *number = NULL;
      const char *text = NULL;

      if (record == NULL)
        text = columns[i];
      else if (strcmp (columns[i], "count") == 0 || strcmp (columns[i], "seq") == 0)
        text = number
            = g_strdup_printf ("%" G_GUINT64_FORMAT, commy_record_get_uint (record, columns[i]));
      else
        text = commy_record_get_string (record, columns[i]);
      print_cell (line, text);
    }
  g_string_append (line, "\r\n");
  commy_output_write (line->str, line->len);
}

static void
print_line (GVariant *record)
{
  g_autofree char *text = commy_output_to_json (record, FALSE);

  commy_output_write (text, strlen (text));
  commy_output_write ("\n", 1);
}

/* --- subcommands --- */

static gboolean
keep_last (GVariant *record, gpointer data)
{
  Query *query = data;

  if (!fits (query, record))
    return TRUE;
  g_queue_push_tail (&query->last, g_variant_ref (record));
  if (query->last.length > (guint) query->limit)
    g_variant_unref (g_queue_pop_head (&query->last));
  return TRUE;
}

static gboolean
keep_first (GVariant *record, gpointer data)
{
  Query *query = data;

  if (fits (query, record))
    g_queue_push_tail (&query->last, g_variant_ref (record));
  return query->last.length < (guint) query->limit;
}

static gboolean
export_record (GVariant *record, gpointer data)
{
  Query *query = data;

  if (!fits (query, record))
    return TRUE;
  if (query->csv)
    print_csv (record);
  else
    print_line (record);
  return ++query->n < (guint64) query->limit;
}

static void
print_records (Query *query)
{
  GVariantBuilder builder;

  if (!query->cli->json)
    {
      print_table (&query->last);
      return;
    }
  g_variant_builder_init (&builder, G_VARIANT_TYPE ("aa{sv}"));
  for (GList *at = query->last.head; at != NULL; at = at->next)
    g_variant_builder_add_value (&builder, at->data);
  commy_cli_json (query->cli, g_variant_builder_end (&builder));
}

/* The options of all that read. NULL: told what is wrong. */
static char **
parse (Query *query, const CommyCliVerb *verb, gboolean is_export, int limit, char **argv)
{
  const GOptionEntry entries[] = {
    { "dir", 'd', 0, G_OPTION_ARG_FILENAME, &query->dir, N_ ("Folder of the trail"), "DIR" },
    { "since", 0, 0, G_OPTION_ARG_STRING, &query->since,
      N_ ("Not earlier than this time, or this long ago"), "TIME" },
    { "until", 0, 0, G_OPTION_ARG_STRING, &query->until, N_ ("Earlier than this"), "TIME" },
    { "principal", 0, 0, G_OPTION_ARG_STRING, &query->principal,
      N_ ("Whom it is about (a pattern)"), "GLOB" },
    { "service", 0, 0, G_OPTION_ARG_STRING, &query->service, N_ ("Which service (a pattern)"),
      "GLOB" },
    { "type", 0, 0, G_OPTION_ARG_STRING, &query->type,
      N_ ("call, control, peer, policy, config, plugin, node, certificate, admin, trail"),
      "GLOB,..." },
    { "outcome", 0, 0, G_OPTION_ARG_STRING, &query->outcome,
      N_ ("allowed, denied, accepted, refused, loaded ..."), "GLOB,..." },
    { "limit", 'n', 0, G_OPTION_ARG_INT, &query->limit, N_ ("At most so many records"), "N" },
    /* The last one is for export alone. */
    { is_export ? "csv" : NULL, 0, 0, G_OPTION_ARG_NONE, &query->csv,
      N_ ("Comma-separated values instead of JSON"), NULL },
    { NULL },
  };
  g_auto (GStrv) arguments = NULL;

  query->limit = limit;
  arguments = commy_cli_parse (query->cli, verb, entries, argv);
  if (arguments == NULL)
    return NULL;
  if (arguments[1] != NULL)
    commy_cli_misuse (verb, "what is \"%s\"?", arguments[1]);
  else if (query->limit < 1)
    commy_cli_misuse (verb, "--limit is at least 1");
  else
    return g_steal_pointer (&arguments);
  return NULL;
}

static CommyExit
run (Query *query, CommyAuditFunc func)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *dir = NULL;

  if (!prepare (query, &error))
    return commy_cli_fail (error);
  dir = commy_cmd_audit_dup_dir (query->cli, query->dir, &error);
  if (dir == NULL || !commy_audit_read (dir, func, query, &error))
    return commy_cli_fail (error);
  return COMMY_EXIT_DONE;
}

static CommyExit
cmd_tail (CommyCli *cli, char **argv)
{
  static const CommyCliVerb verb = {
    .name = "audit tail",
    .usage = "- the last records",
    .summary = N_ ("The newest records that fit, the newest last."),
    .description = N_ ("Example: who was denied lately?\n"
                       "  commy audit tail --outcome denied,refused"),
    .has_format = TRUE,
  };
  g_auto (Query) query = { .cli = cli };
  g_auto (GStrv) arguments = parse (&query, &verb, FALSE, TAIL, argv);
  CommyExit status;

  if (arguments == NULL)
    return COMMY_EXIT_USAGE;
  query.limit = MIN (query.limit, TAIL_MAX);
  status = run (&query, keep_last);
  if (status == COMMY_EXIT_DONE)
    print_records (&query);
  return status;
}

static CommyExit
cmd_query (CommyCli *cli, char **argv)
{
  static const CommyCliVerb verb = {
    .name = "audit query",
    .usage = "- records that fit",
    .summary = N_ ("Records by time, principal, service, type and outcome, the oldest first."),
    .description = N_ ("Example: what did this user do in the last two hours?\n"
                       "  commy audit query --principal unix:uid=1001 --since 2h\n"
                       "  commy audit query --service 'org.example.*' --type call -o json"),
    .has_format = TRUE,
  };
  g_auto (Query) query = { .cli = cli };
  g_auto (GStrv) arguments = parse (&query, &verb, FALSE, 1000, argv);
  CommyExit status;

  if (arguments == NULL)
    return COMMY_EXIT_USAGE;
  query.limit = MIN (query.limit, TAIL_MAX);
  status = run (&query, keep_first);
  if (status == COMMY_EXIT_DONE)
    print_records (&query);
  return status;
}

static CommyExit
cmd_export (CommyCli *cli, char **argv)
{
  static const CommyCliVerb verb = {
    .name = "audit export",
    .usage = "- records for other programs",
    .summary = N_ ("Writes records to the standard output, a JSON object a line, or with --csv as\n"
                   "comma-separated values with a head line."),
    .description = N_ ("Example: last month for a spreadsheet\n"
                       "  commy audit export --csv --since 2026-01-01 --until 2026-02-01"),
  };
  g_auto (Query) query = { .cli = cli };
  g_auto (GStrv) arguments = parse (&query, &verb, TRUE, G_MAXINT, argv);

  if (arguments == NULL)
    return COMMY_EXIT_USAGE;
  if (query.csv)
    print_csv (NULL);
  return run (&query, export_record);
}

static CommyExit
erase (const Query *query, const char *name, CommyAct *act)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *dir = commy_cmd_audit_dup_dir (query->cli, query->dir, &error);
  guint64 n = 0;

  if (dir == NULL || !commy_audit_erase (dir, name, &n, &error))
    return commy_cli_fail (error);
  act->details = g_strdup_printf ("%" G_GUINT64_FORMAT " places", n);
  commy_output_print (_ ("erased in %llu places\n"), (unsigned long long) n);
  return n > 0 ? COMMY_EXIT_DONE : COMMY_EXIT_NOT_FOUND;
}

static CommyExit
cmd_erase (CommyCli *cli, char **argv)
{
  static const CommyCliVerb verb = {
    .name = "audit erase",
    .usage = "NAME - take a person's name out of the trail",
    .summary
    = N_ ("Overwrites a principal or address, and texts that mention it. The records stay and\n"
          "the trail stays whole; nobody can tell any more whom they are about. That cannot\n"
          "be undone, so --yes must be said."),
    .description = N_ ("Example:\n"
                       "  commy audit erase unix:uid=1001 --yes"),
  };
  g_auto (Query) query = { .cli = cli };
  const GOptionEntry entries[] = {
    { "dir", 'd', 0, G_OPTION_ARG_FILENAME, &query.dir, N_ ("Folder of the trail"), "DIR" },
    { "yes", 0, 0, G_OPTION_ARG_NONE, &query.yes, N_ ("Do it"), NULL },
    { NULL },
  };
  g_auto (GStrv) arguments = commy_cli_parse (cli, &verb, entries, argv);
  CommyAct act;

  if (arguments == NULL)
    return COMMY_EXIT_USAGE;
  if (g_strv_length (arguments) != 2 || arguments[1][0] == '\0')
    return commy_cli_misuse (&verb, "say one name");
  if (!query.yes)
    return commy_cli_misuse (&verb, "this cannot be undone: say --yes");
  /* Whose name it was is what is to be forgotten. */
  if (!commy_act_begin (&act, cli, NULL, "audit erase", query.dir))
    return act.status;
  return commy_act_end (&act, erase (&query, arguments[1], &act));
}

CommyExit
commy_cmd_audit (CommyCli *cli, char **argv)
{
  static const CommyCliVerb verb = {
    .name = "audit",
    .usage = "tail | query | verify | export | erase",
    .summary = N_ ("  tail    the last records\n"
                   "  query   records by time, principal, service, type and outcome\n"
                   "  verify  whether the trail is whole; what is not, by file, record and byte\n"
                   "  export  records as lines of JSON, or as CSV\n"
                   "  erase   take a person's name out; the trail stays whole"),
    .description
    = N_ ("Nodes leave a trail where enabled=true stands in [audit] of their keyfiles.\n"
          "Reading it takes its files only, no mesh.\n\n"
          "Example:\n"
          "  commy audit tail\n"
          "  commy audit verify"),
  };
  static const struct
  {
    const char *name;
    CommyCmdFunc func;
  } all[] = {
    { "tail", cmd_tail },     { "query", cmd_query }, { "verify", commy_cmd_audit_verify },
    { "export", cmd_export }, { "erase", cmd_erase },
  };
  g_auto (GStrv) arguments = NULL;

  for (guint i = 0; argv[1] != NULL && i < G_N_ELEMENTS (all); i++)
    if (strcmp (argv[1], all[i].name) == 0)
      return all[i].func (cli, argv + 1);
  arguments = commy_cli_parse (cli, &verb, NULL, argv);
  if (arguments == NULL)
    return COMMY_EXIT_USAGE;
  return commy_cli_misuse (&verb, "say tail, query, verify, export or erase");
}
