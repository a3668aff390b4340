/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `commy simulate SCENARIO`: has commy-simulate run a scenario, and shows what came of it as a
 * table, JSON or a drawing.
 */
#include "config.h"

#include "cli/commy-cmd.h"
#include "cli/commy-conformance-tool.h"
#include "cli/commy-lookup.h"
#include "cli/commy-output.h"
#include "cli/commy-quantity.h"
#include "cli/commy-simulate-plot.h"

#include <gio/gio.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define TOOL "commy-simulate"
#define LINES 20u /* rows of the time line that a table has at most */

static const CommyCliVerb verb = {
  .name = "simulate",
  .usage = "SCENARIO | --keys",
  .summary
  = N_ ("Runs a scenario, a keyfile, in virtual time: calls arrive, instances serve them,\n"
        "become slow, fail and come back. Retries, breakers, ejection, limits and\n"
        "balancers are the code that clients run."),
  .description
  = N_ ("A scenario has the groups [simulation], [arrivals], [clients], [instance NAME] and\n"
        "[fault NAME]. The same seed gives the same run.\n\n"
        "Example: does the retry budget hold when instances become slow?\n"
        "  [arrivals]\n"
        "  rate=400\n"
        "  [clients]\n"
        "  attempt-timeout=100ms\n"
        "  [instance worker]\n"
        "  count=3\n"
        "  workers=4\n"
        "  [fault slow]\n"
        "  kind=slow\n"
        "  instances=worker-1\n"
        "  at=20s\n\n"
        "  commy simulate scenario.conf\n"
        "  commy simulate scenario.conf --set clients.retry-budget=0.5 --plot scenario.svg\n\n"
        "Kinds of faults: slow (by factor=), fail (share= of the calls, at once), stop (until it\n"
        "goes on), crash (until it is back) and partition."),
  .has_format = TRUE,
};

/* --- running --- */

/* In the child: no life after that of @user_data, its parent. */
static void
follow_parent (gpointer user_data)
{
  const pid_t *parent = user_data;

  if (prctl (PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid () != *parent)
    _exit (127);
}

static char *
run_tool (const char *path, char **settings, const char *seed, GError **error)
{
  g_autofree char *tool = commy_tool_dup_path (TOOL);
  g_autofree char *seed_setting
      = seed != NULL ? g_strconcat ("simulation.seed=", seed, NULL) : NULL;
  g_autofree char *output = NULL;
  g_autoptr (GPtrArray) argv = g_ptr_array_new ();
  pid_t self = getpid ();
  int status;

  g_ptr_array_add (argv, tool);
  g_ptr_array_add (argv, (gpointer) path);
  for (; settings != NULL && *settings != NULL; settings++)
    g_ptr_array_add (argv, *settings);
  if (seed_setting != NULL)
    g_ptr_array_add (argv, seed_setting);
  g_ptr_array_add (argv, NULL);
  if (!g_spawn_sync (NULL, (char **) argv->pdata, NULL, G_SPAWN_CHILD_INHERITS_STDIN, follow_parent,
                     &self, &output, NULL, &status, error))
    return NULL;
  return g_spawn_check_wait_status (status, error) ? g_steal_pointer (&output) : NULL;
}

/* (transfer full): the record; NULL with @error set, also for one that the tool tells of */
static GVariant *
simulate (const char *path, char **settings, const char *seed, GError **error)
{
  g_autofree char *output = run_tool (path, settings, seed, error);
  g_autoptr (GVariant) result
      = output != NULL ? g_variant_parse (G_VARIANT_TYPE_VARDICT, output, NULL, NULL, error) : NULL;
  const char *message;
  gint32 code;

  if (result == NULL || !g_variant_lookup (result, "error", "&s", &message)
      || !g_variant_lookup (result, "error-code", "i", &code))
    return g_steal_pointer (&result);
  g_set_error_literal (error, COMMY_ERROR, code, message);
  return NULL;
}

/* --- the table --- */

static void
add_count (CommyTable *table, GVariant *record, const char *key)
{
  commy_table_take (table,
                    g_strdup_printf ("%" G_GUINT64_FORMAT, commy_record_get_uint (record, key)));
}

static void
take_time (CommyTable *table, guint64 ns)
{
  commy_table_take (table, ns > 0 ? commy_quantity_format_ns ((double) ns) : NULL);
}

static void
add_time (CommyTable *table, GVariant *record, const char *key)
{
  take_time (table, commy_record_get_uint (record, key));
}

static GVariant *
get_list (GVariant *result, const char *key)
{
  return g_variant_lookup_value (result, key, G_VARIANT_TYPE ("aa{sv}"));
}

/* Sums of neighbours, so that a long run fits a screen; of quantiles the worst. */
typedef struct
{
  guint64 calls, succeeded, failed, retries, p50_ns, p99_ns, at_ns;
  double ejected, open;
} Stretch;

static void
add_stretch (CommyTable *table, const Stretch *stretch)
{
  commy_table_take (table, stretch->at_ns > 0 ? commy_quantity_format_ns ((double) stretch->at_ns)
                                              : g_strdup ("0"));
  commy_table_take (table, g_strdup_printf ("%" G_GUINT64_FORMAT, stretch->calls));
  commy_table_take (table, g_strdup_printf ("%" G_GUINT64_FORMAT, stretch->succeeded));
  commy_table_take (table, g_strdup_printf ("%" G_GUINT64_FORMAT, stretch->failed));
  commy_table_take (table, g_strdup_printf ("%" G_GUINT64_FORMAT, stretch->retries));
  take_time (table, stretch->p50_ns);
  take_time (table, stretch->p99_ns);
  commy_table_take (table, g_strdup_printf ("%.1f", stretch->ejected));
  commy_table_take (table, g_strdup_printf ("%.1f", stretch->open));
}

static void
print_timeline (GVariant *result)
{
  g_autoptr (GVariant) timeline = get_list (result, "timeline");
  g_autoptr (CommyTable) table = commy_table_new ("FROM", "CALLS", "OK", "FAILED", "RETRIES", "P50",
                                                  "P99", "EJECTED", "OPEN", NULL);
  const gsize n = timeline != NULL ? g_variant_n_children (timeline) : 0;
  const gsize step = (n + LINES - 1) / LINES;
  Stretch stretch = { 0 };

  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) entry = g_variant_get_child_value (timeline, i);

      if (i % step == 0)
        stretch = (Stretch){ .at_ns = commy_record_get_uint (entry, "at-ns") };
      stretch.calls += commy_record_get_uint (entry, "calls");
      stretch.succeeded += commy_record_get_uint (entry, "succeeded");
      stretch.failed += commy_record_get_uint (entry, "failed");
      stretch.retries += commy_record_get_uint (entry, "retries");
      stretch.p50_ns = MAX (stretch.p50_ns, commy_record_get_uint (entry, "p50-ns"));
      stretch.p99_ns = MAX (stretch.p99_ns, commy_record_get_uint (entry, "p99-ns"));
      stretch.ejected = MAX (stretch.ejected, commy_record_get_double (entry, "ejected"));
      stretch.open = MAX (stretch.open, commy_record_get_double (entry, "open"));
      if (i % step == step - 1 || i == n - 1)
        add_stretch (table, &stretch);
    }
  commy_table_print (table);
}

static void
print_instances (GVariant *result)
{
  g_autoptr (GVariant) instances = get_list (result, "instances");
  g_autoptr (CommyTable) table
      = commy_table_new ("INSTANCE", "ATTEMPTS", "OK", "FAILED", "EJECTIONS", "OPENINGS", NULL);

  for (gsize i = 0, n = instances != NULL ? g_variant_n_children (instances) : 0; i < n; i++)
    {
      g_autoptr (GVariant) instance = g_variant_get_child_value (instances, i);

      commy_table_add (table, commy_record_get_string (instance, "name"));
      add_count (table, instance, "attempts");
      add_count (table, instance, "succeeded");
      add_count (table, instance, "failed");
      add_count (table, instance, "ejections");
      add_count (table, instance, "openings");
    }
  commy_output_print ("\n");
  commy_table_print (table);
}

static void
print_faults (GVariant *result)
{
  g_autoptr (GVariant) faults = get_list (result, "faults");
  g_autoptr (CommyTable) table
      = commy_table_new ("FAULT", "KIND", "AT", "UNTIL", "NOTICED", "FIRST", "MEAN", NULL);

  for (gsize i = 0, n = faults != NULL ? g_variant_n_children (faults) : 0; i < n; i++)
    {
      g_autoptr (GVariant) fault = g_variant_get_child_value (faults, i);

      commy_table_add (table, commy_record_get_string (fault, "name"));
      commy_table_add (table, commy_record_get_string (fault, "kind"));
      add_time (table, fault, "at-ns");
      add_time (table, fault, "until-ns");
      commy_table_take (table, g_strdup_printf ("%" G_GUINT64_FORMAT "/%" G_GUINT64_FORMAT,
                                                commy_record_get_uint (fault, "noticed"),
                                                commy_record_get_uint (fault, "of")));
      add_time (table, fault, "first-ns");
      add_time (table, fault, "mean-ns");
    }
  if (commy_table_get_n_rows (table) == 0)
    return;
  commy_output_print ("\n");
  commy_table_print (table);
}

static void
print_reasons (GVariant *result)
{
  g_autoptr (GVariant) reasons = g_variant_lookup_value (result, "reasons", G_VARIANT_TYPE_VARDICT);
  const char *refusal = commy_record_get_string (result, "first-refusal");
  GVariantIter iter;
  const char *reason;
  GVariant *count;

  g_variant_iter_init (&iter, reasons);
  while (reasons != NULL && g_variant_iter_loop (&iter, "{&sv}", &reason, &count))
    commy_output_print ("  %s %" G_GUINT64_FORMAT "\n", reason, g_variant_get_uint64 (count));
  if (refusal[0] != '\0')
    {
      g_autofree char *at
          = commy_quantity_format_ns ((double) commy_record_get_uint (result, "first-refusal-ns"));

      commy_output_print (_ ("nobody to call, first after %s: %s\n"), at, refusal);
    }
}

/* As a double, because a format with a macro in it cannot be translated; all are below 2^53. */
static double
get_count (GVariant *result, const char *key)
{
  return (double) commy_record_get_uint (result, key);
}

static void
print_summary (GVariant *result)
{
  g_autofree char *p50 = commy_quantity_format_ns (get_count (result, "p50-ns"));
  g_autofree char *p99 = commy_quantity_format_ns (get_count (result, "p99-ns"));

  commy_output_print (_ ("\n%.0f calls, %.0f succeeded (%.1f/s), %.0f failed, %.0f unfinished\n"),
                      get_count (result, "calls"), get_count (result, "succeeded"),
                      commy_record_get_double (result, "goodput-per-s"),
                      get_count (result, "failed"), get_count (result, "unfinished"));
  print_reasons (result);
  commy_output_print (_ ("p50 %s, p99 %s; %.0f retries, %.0f hedges, amplification %.3f\n"), p50,
                      p99, get_count (result, "retries"), get_count (result, "hedges"),
                      commy_record_get_double (result, "amplification"));
  commy_output_print (_ ("balancer %s, seed %.0f\n"), commy_record_get_string (result, "balancer"),
                      get_count (result, "seed"));
}

/* --- what may stand in a scenario --- */

static CommyExit
show_keys (CommyCli *cli, GError **error)
{
  g_autoptr (GVariant) result = simulate ("--keys", NULL, NULL, error);
  g_autoptr (GVariant) keys
      = result != NULL ? g_variant_lookup_value (result, "keys", G_VARIANT_TYPE ("a(ssss)")) : NULL;
  g_autoptr (CommyTable) table = commy_table_new ("GROUP", "KEY", "DEFAULT", "WHAT", NULL);
  const char *group, *key, *value, *help;
  GVariantIter iter;

  if (keys == NULL)
    return commy_cli_fail (*error);
  if (cli->json)
    {
      commy_output_json (keys);
      return COMMY_EXIT_DONE;
    }
  g_variant_iter_init (&iter, keys);
  while (g_variant_iter_next (&iter, "(&s&s&s&s)", &group, &key, &value, &help))
    {
      commy_table_add (table, group);
      commy_table_add (table, key);
      commy_table_add (table, value[0] != '\0' ? value : NULL);
      commy_table_add (table, help);
    }
  commy_table_print (table);
  return COMMY_EXIT_DONE;
}

/* --- the verb --- */

static gboolean
write_plot (GVariant *result, const char *scenario, const char *path, GError **error)
{
  g_autofree char *title = g_path_get_basename (scenario);
  g_autofree char *svg = NULL;
  g_autoptr (GError) cause = NULL;

  if (g_str_has_suffix (title, ".conf"))
    title[strlen (title) - strlen (".conf")] = '\0';
  svg = commy_simulate_plot (result, title);
  if (g_file_set_contents (path, svg, -1, &cause))
    return TRUE;
  commy_cli_set_error (error, COMMY_ERROR_FAILED, "the drawing cannot be written: %s",
                       cause->message);
  return FALSE;
}

CommyExit
commy_cmd_simulate (CommyCli *cli, char **argv)
{
  g_autofree char *seed = NULL;
  g_autofree char *plot = NULL;
  g_auto (GStrv) settings = NULL;
  gboolean keys = FALSE;
  const GOptionEntry entries[] = {
    { "set", 's', 0, G_OPTION_ARG_STRING_ARRAY, &settings,
      N_ ("another value for this run; may be given several times"), "GROUP.KEY=VALUE" },
    { "seed", 0, 0, G_OPTION_ARG_STRING, &seed, N_ ("another seed for this run"), "N" },
    { "keys", 0, 0, G_OPTION_ARG_NONE, &keys, N_ ("list what a scenario may say"), NULL },
    { "plot", 'p', 0, G_OPTION_ARG_FILENAME, &plot, N_ ("draw the time lines, as SVG"), "FILE" },
    { NULL },
  };
  g_auto (GStrv) arguments = commy_cli_parse (cli, &verb, entries, argv);
  g_autoptr (GVariant) result = NULL;
  g_autoptr (GError) error = NULL;

  if (arguments == NULL)
    return COMMY_EXIT_USAGE;
  if (keys && arguments[1] == NULL)
    return show_keys (cli, &error);
  if (keys || g_strv_length (arguments) != 2)
    return commy_cli_misuse (&verb, "give one scenario, a keyfile");
  result = simulate (arguments[1], settings, seed, &error);
  if (result == NULL || (plot != NULL && !write_plot (result, arguments[1], plot, &error)))
    return commy_cli_fail (error);
  if (cli->json)
    {
      commy_output_json (result);
      return COMMY_EXIT_DONE;
    }
  print_timeline (result);
  print_instances (result);
  print_faults (result);
  print_summary (result);
  return COMMY_EXIT_DONE;
}
