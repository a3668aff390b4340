/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `commy health`: how the instances of services are, by what they say of themselves, by what the
 * clients that use them found, and by whether their nodes answer. For people, and for what
 * supervises: the exit code says how it is.
 */
#include "config.h"

#include "cli/commy-cmd.h"
#include "cli/commy-health-seen.h"
#include "cli/commy-lookup.h"
#include "cli/commy-output.h"
#include "cli/commy-watch.h"

#include <glib/gi18n.h>
#include <string.h>

static const CommyCliVerb verb = {
  .name = "health",
  .usage = "[SERVICE]",
  .summary
  = N_ ("How the instances of all services, or of one, are: what each says of itself, what\n"
        "its clients found by looking (SEEN), and whether its process answers."),
  .description
  = N_ ("Ends with 0 if all are well, 8 if one is not, 9 if a service has none that is. Who is\n"
        "drained is not ill; a service whose instances are all drained ends with 8. An endpoint\n"
        "that no store lists is \"unknown\" until somebody has looked at it; where no instance is\n"
        "well and one is unknown, it ends with 8.\n"
        "With --nagios: 0, 1, 2, and 3 if it cannot be found out; one line, as plugins\n"
        "of Nagios, Icinga and their like write it.\n\n"
        "Example: is the echo service fine?\n"
        "  commy health org.example.Echo\n"
        "  commy health --watch --every 5s\n"
        "  commy health org.example.Echo --nagios"),
  .has_format = TRUE,
};

typedef enum
{
  VERDICT_WELL,
  VERDICT_WARN,
  VERDICT_CRITICAL,
  VERDICT_UNKNOWN,
} Verdict;

static const char *const verdicts[] = { "well", "warn", "critical", "unknown" };

/* What there is to know of one instance. */
typedef struct
{
  GVariant *record; /* as the store has it */
  CommySeen seen;   /* its reason: also what it says of itself */
} Subject;

typedef struct
{
  CommyCli *cli;
  CommyMesh *mesh;
  const char *service; /* NULL: all */
  gboolean nagios;
  CommyWatch watch;
} Query;

static void
query_clear (Query *query)
{
  commy_watch_clear (&query->watch);
  g_clear_object (&query->mesh);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Query, query_clear)

/* --- finding out --- */

static void
subject_free (gpointer data)
{
  Subject *subject = data;

  g_variant_unref (subject->record);
  commy_seen_clear (&subject->seen);
  g_free (subject);
}

/* "not-serving" and "not-serving: REASON" */
static char *
dup_said (GVariant *record)
{
  const char *said = commy_record_get_string (record, "health");

  if (!g_str_has_prefix (said, "not-serving"))
    return NULL;
  said += strlen ("not-serving");
  return said[0] == ':' ? g_strdup_printf (_ ("it says:%s"), said + 1)
                        : g_strdup (_ ("it says that it does not serve"));
}

/* (transfer full) (element-type Subject) */
static GPtrArray *
list_subjects (Query *query, GError **error)
{
  g_autoptr (GPtrArray) instances
      = commy_lookup_instances (query->mesh, query->service, FALSE, error);
  GPtrArray *subjects;

  if (instances == NULL)
    return NULL;
  subjects = g_ptr_array_new_with_free_func (subject_free);
  for (guint i = 0; i < instances->len; i++)
    {
      Subject *subject = g_new0 (Subject, 1);

      subject->record = g_variant_ref (instances->pdata[i]);
      subject->seen.reason = dup_said (subject->record);
      g_ptr_array_add (subjects, subject);
    }
  return subjects;
}

static void
take_findings (GPtrArray *subjects, GVariant *findings)
{
  for (guint i = 0; i < subjects->len; i++)
    {
      Subject *subject = subjects->pdata[i];

      commy_seen_add_all (&subject->seen, commy_record_get_string (subject->record, "instance"),
                          findings);
    }
}

static void
blame_node (GPtrArray *subjects, GVariant *node)
{
  const char *id = commy_record_get_string (node, "node");

  for (guint i = 0; i < subjects->len; i++)
    {
      Subject *subject = subjects->pdata[i];

      if (strcmp (commy_record_get_string (subject->record, "node"), id) != 0)
        continue;
      subject->seen.n_unwell++;
      if (subject->seen.reason == NULL)
        subject->seen.reason = g_strdup (_ ("its process does not answer"));
    }
}

/* Every node is asked what it found of the others; one that does not answer is no longer well. */
static void
ask_nodes (Query *query, GPtrArray *subjects)
{
  g_autoptr (GPtrArray) nodes = commy_lookup_all_nodes (query->mesh, NULL, NULL);

  for (guint i = 0; nodes != NULL && i < nodes->len; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) findings = commy_seen_ask (
          query->mesh, nodes->pdata[i], query->service != NULL ? query->service : "", &error);

      if (findings == NULL
          && (g_error_matches (error, COMMY_ERROR, COMMY_ERROR_DEADLINE)
              || g_error_matches (error, COMMY_ERROR, COMMY_ERROR_HANDSHAKE)))
        blame_node (subjects, nodes->pdata[i]);
      if (findings != NULL)
        take_findings (subjects, findings);
    }
}

/* --- judging --- */

/* Who registered is there and says when it is not well, so no news is good. Of who is listed by a
 * keyfile or by DNS alone there may be nobody to say anything. */
static gboolean
is_unheard (const Subject *subject)
{
  return commy_record_get_string (subject->record, "origin")[0] != '\0'
         && commy_record_get_string (subject->record, "health")[0] == '\0'
         && strcmp (commy_seen_get_state (&subject->seen), "unknown") == 0;
}

static const char *
state_of (const Subject *subject)
{
  gboolean said = g_str_has_prefix (commy_record_get_string (subject->record, "health"), "not-");

  if (said || strcmp (commy_seen_get_state (&subject->seen), "unwell") == 0)
    return "unwell";
  if (commy_record_get_boolean (subject->record, "draining"))
    return "draining";
  return is_unheard (subject) ? "unknown" : "well";
}

typedef struct
{
  guint well, unwell, draining, unknown;
} Tally;

static void
count (Tally *tally, const Subject *subject)
{
  const char *state = state_of (subject);

  tally->well += strcmp (state, "well") == 0;
  tally->unwell += strcmp (state, "unwell") == 0;
  tally->draining += strcmp (state, "draining") == 0;
  tally->unknown += strcmp (state, "unknown") == 0;
}

/* Who is drained was taken out on purpose: that is a reason to look only if nobody else is there.
 * Of whom nothing is known may be well: that is no outage, and no peace either. */
static Verdict
judge_service (const Tally *tally)
{
  if (tally->well > 0)
    return tally->unwell > 0 ? VERDICT_WARN : VERDICT_WELL;
  if (tally->unknown > 0)
    return VERDICT_WARN;
  return tally->draining > 0 && tally->unwell == 0 ? VERDICT_WARN : VERDICT_CRITICAL;
}

/* They are ordered by service. */
static Verdict
judge (const Query *query, GPtrArray *subjects, Tally *out_all)
{
  Verdict worst = VERDICT_WELL;

  *out_all = (Tally){ 0 };
  if (query->service != NULL && subjects->len == 0)
    return VERDICT_CRITICAL;
  for (guint i = 0, next; i < subjects->len; i = next)
    {
      const Subject *first = subjects->pdata[i];
      const char *service = commy_record_get_string (first->record, "service");
      Tally tally = { 0 };

      for (next = i; next < subjects->len; next++)
        {
          const Subject *subject = subjects->pdata[next];

          if (strcmp (commy_record_get_string (subject->record, "service"), service) != 0)
            break;
          count (&tally, subject);
          count (out_all, subject);
        }
      worst = MAX (worst, judge_service (&tally));
    }
  return worst;
}

static CommyExit
exit_of (const Query *query, Verdict verdict)
{
  static const CommyExit codes[]
      = { COMMY_EXIT_DONE, COMMY_EXIT_UNWELL, COMMY_EXIT_CRITICAL, COMMY_EXIT_FAILED };

  return query->nagios ? (CommyExit) verdict : codes[verdict];
}

/* --- telling --- */

static void
print_nagios (Verdict verdict, const Tally *all, const char *why)
{
  static const char *const words[] = { "OK", "WARNING", "CRITICAL", "UNKNOWN" };

  /* A format of its own, which programs read: it is not translated. */
  if (verdict == VERDICT_UNKNOWN)
    commy_output_print ("COMMY %s - %s\n", words[verdict], why);
  else
    commy_output_print (
        "COMMY %s - %u of %u instances are well%s%s"
        " | well=%u unwell=%u draining=%u unknown=%u\n",
        words[verdict], all->well, all->well + all->unwell + all->draining + all->unknown,
        why[0] != '\0' ? ": " : "", why, all->well, all->unwell, all->draining, all->unknown);
}

static const char *
first_reason (GPtrArray *subjects, const Tally *all)
{
  if (all->well + all->unwell + all->unknown == 0 && all->draining > 0)
    return "all are draining";
  if (all->well + all->unwell == 0 && all->unknown > 0)
    return "nobody has looked at them";
  for (guint i = 0; i < subjects->len; i++)
    if (((Subject *) subjects->pdata[i])->seen.reason != NULL)
      return ((Subject *) subjects->pdata[i])->seen.reason;
  return "";
}

static void
print_table (const Query *query, GPtrArray *subjects)
{
  g_autoptr (CommyTable) table
      = commy_table_new ("SERVICE", "INSTANCE", "HOST", "STATE", "SEEN", "REASON", NULL);

  for (guint i = 0; i < subjects->len; i++)
    {
      const Subject *subject = subjects->pdata[i];
      GVariant *record = subject->record;
      const char *state = state_of (subject);

      commy_table_add_toned (table, commy_record_get_string (record, "service"), COMMY_TONE_STRONG);
      commy_table_take (table,
                        commy_lookup_dup_short (commy_record_get_string (record, "instance")));
      commy_table_add (table, commy_record_get_string (record, "host"));
      commy_table_add_toned (table, state,
                             strcmp (state, "well") == 0     ? COMMY_TONE_GOOD
                             : strcmp (state, "unwell") == 0 ? COMMY_TONE_BAD
                                                             : COMMY_TONE_FAINT);
      commy_table_take (table,
                        subject->seen.n_well + subject->seen.n_unwell == 0
                            ? g_strdup ("-")
                            : g_strdup_printf (_ ("%u well, %u unwell"), subject->seen.n_well,
                                               subject->seen.n_unwell));
      commy_table_add (table, subject->seen.reason);
    }
  if (commy_table_get_n_rows (table) > 0)
    commy_table_print (table);
  else if (query->service != NULL)
    commy_output_print (_ ("nobody offers %s\n"), query->service);
  else
    commy_output_print (_ ("nothing is offered\n"));
}

static void
add_text (GVariantBuilder *record, const char *key, const char *text)
{
  g_variant_builder_add (record, "{sv}", key, g_variant_new_string (text != NULL ? text : ""));
}

static void
print_json (const Query *query, GPtrArray *subjects, Verdict verdict)
{
  GVariantBuilder answer, list;

  g_variant_builder_init (&list, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < subjects->len; i++)
    {
      const Subject *subject = subjects->pdata[i];
      GVariantBuilder record;

      g_variant_builder_init (&record, G_VARIANT_TYPE_VARDICT);
      add_text (&record, "service", commy_record_get_string (subject->record, "service"));
      add_text (&record, "instance", commy_record_get_string (subject->record, "instance"));
      add_text (&record, "node", commy_record_get_string (subject->record, "node"));
      add_text (&record, "host", commy_record_get_string (subject->record, "host"));
      add_text (&record, "state", state_of (subject));
      add_text (&record, "says", commy_record_get_string (subject->record, "health"));
      add_text (&record, "check", subject->seen.check);
      add_text (&record, "by",
                subject->seen.by_host         ? "host"
                : subject->seen.check != NULL ? "node"
                                              : "");
      add_text (&record, "reason", subject->seen.reason);
      g_variant_builder_add (&record, "{sv}", "seen-well",
                             g_variant_new_uint32 (subject->seen.n_well));
      g_variant_builder_add (&record, "{sv}", "seen-unwell",
                             g_variant_new_uint32 (subject->seen.n_unwell));
      g_variant_builder_add_value (&list, g_variant_builder_end (&record));
    }
  g_variant_builder_init (&answer, G_VARIANT_TYPE_VARDICT);
  add_text (&answer, "verdict", verdicts[verdict]);
  g_variant_builder_add (&answer, "{sv}", "instances", g_variant_builder_end (&list));
  commy_cli_json (query->cli, g_variant_builder_end (&answer));
}

static CommyExit
show (gpointer data)
{
  Query *query = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) subjects = list_subjects (query, &error);
  Verdict verdict;
  Tally all;

  if (subjects == NULL && query->nagios)
    {
      print_nagios (VERDICT_UNKNOWN, NULL, error->message);
      return exit_of (query, VERDICT_UNKNOWN);
    }
  if (subjects == NULL)
    return commy_cli_fail (error);
  ask_nodes (query, subjects);
  verdict = judge (query, subjects, &all);
  if (query->nagios)
    print_nagios (verdict, &all, first_reason (subjects, &all));
  else if (query->cli->json)
    print_json (query, subjects, verdict);
  else
    print_table (query, subjects);
  return exit_of (query, verdict);
}

static CommyExit
cannot_join (const Query *query, const GError *error)
{
  if (!query->nagios)
    return commy_cli_fail (error);
  print_nagios (VERDICT_UNKNOWN, NULL, error->message);
  return exit_of (query, VERDICT_UNKNOWN);
}

CommyExit
commy_cmd_health (CommyCli *cli, char **argv)
{
  g_auto (Query) query = { .cli = cli };
  const GOptionEntry entries[] = {
    { "nagios", 0, 0, G_OPTION_ARG_NONE, &query.nagios,
      N_ ("One line and exit codes for supervision"), NULL },
    COMMY_WATCH_OPTIONS (query.watch),
    { NULL },
  };
  g_auto (GStrv) arguments = commy_cli_parse (cli, &verb, entries, argv);
  g_autoptr (GError) error = NULL;

  if (arguments == NULL)
    return COMMY_EXIT_USAGE;
  if (g_strv_length (arguments) > 2)
    return commy_cli_misuse (&verb, "takes one service at most");
  if (query.nagios && (query.watch.on || cli->json))
    return commy_cli_misuse (&verb, "--nagios goes with neither --watch nor -o json");
  if (!commy_watch_check (&query.watch, &verb))
    return COMMY_EXIT_USAGE;
  query.service = arguments[1];
  query.mesh = commy_cli_join (cli, &error);
  if (query.mesh == NULL)
    return cannot_join (&query, error);
  return commy_watch_run (&query.watch, cli, show, &query);
}
