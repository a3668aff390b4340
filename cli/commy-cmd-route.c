/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `commy route explain`: which path messages of some sizes would take, and why no other; of a
 * call of this command, or of another node.
 */
#include "config.h"

#include "cli/commy-cmd.h"
#include "cli/commy-decision-view.h"
#include "cli/commy-lookup.h"
#include "cli/commy-output.h"
#include "cli/commy-quantity.h"

#include <string.h>

#define DEFAULT_SIZES "64,4k,1M"
#define MAX_SIZES 64u

static const CommyCliVerb verb = {
  .name = "route",
  .usage = "explain SERVICE",
  .summary = N_ ("  explain  every candidate with what it claims, what was measured and what is\n"
                 "           expected, the choice, and who refused the others: keyfile and line"),
  .description
  = N_ ("The path depends on the caller: without --of it is the one that a call of this\n"
        "command would take, with it that of another program. --what-if takes objective,\n"
        "min-security, preference, transports, max-latency, min-throughput and ordered, with\n"
        "values as in a keyfile.\n\n"
        "Example: why is it not shared memory, and would it be if only the processor counted?\n"
        "  commy route explain org.example.Echo --size 64,4k,1M\n"
        "  commy route explain org.example.Echo --why-not shm\n"
        "  commy route explain org.example.Echo --what-if objective=cpu -o json"),
  .has_format = TRUE,
};

typedef struct
{
  char *sizes;
  char *why_not;
  char *of;
  char *select;
  char **what_if;
} Options;

static void
options_clear (Options *options)
{
  g_free (options->sizes);
  g_free (options->why_not);
  g_free (options->of);
  g_free (options->select);
  g_strfreev (options->what_if);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Options, options_clear)

/* What is asked, of whom. */
typedef struct
{
  const Options *options;
  CommyMesh *mesh;
  const char *service;
  CommyClient *client; /* NULL: */
  GVariant *node;      /* of this node */
  CommyWhatIf *what_if;
} Question;

static gboolean
parse_sizes (const char *text, GArray **out_sizes)
{
  g_auto (GStrv) words = g_strsplit (text, ",", -1);
  g_autoptr (GArray) sizes = g_array_new (FALSE, FALSE, sizeof (guint64));

  for (guint i = 0; words[i] != NULL; i++)
    {
      guint64 size;

      if (!commy_quantity_parse_size (g_strstrip (words[i]), &size) || sizes->len == MAX_SIZES)
        return FALSE;
      g_array_append_val (sizes, size);
    }
  *out_sizes = g_steal_pointer (&sizes);
  return (*out_sizes)->len > 0;
}

static GVariant *
ask_node (const Question *question, guint64 size, GError **error)
{
  static const char *const none[] = { NULL };
  const char *const *changes = question->options->what_if != NULL
                                   ? (const char *const *) question->options->what_if
                                   : none;
  g_autoptr (GVariant) record
      = commy_lookup_ask (question->mesh, question->node, "Explain",
                          g_variant_new ("(st^as)", question->service, size, changes), error);

  if (record == NULL || g_variant_is_of_type (record, G_VARIANT_TYPE_VARDICT))
    return g_steal_pointer (&record);
  commy_cli_set_error (error, COMMY_ERROR_TYPE, "Explain of a node answered %s, not a{sv}",
                       g_variant_get_type_string (record));
  return NULL;
}

/* (transfer full): the record; where the library can, also @out_text */
static GVariant *
explain (const Question *question, guint64 size, char **out_text, GError **error)
{
  g_autoptr (CommyDecision) decision = NULL;

  *out_text = NULL;
  if (question->node != NULL)
    return ask_node (question, size, error);
  decision = commy_client_explain (question->client, (gsize) size, question->what_if, NULL, error);
  if (decision == NULL)
    return NULL;
  *out_text = commy_decision_to_string (decision);
  return commy_decision_to_variant (decision);
}

static CommyExit
print_why_not (const Question *question, GVariant *record, gboolean several)
{
  const char *transport = question->options->why_not;
  g_autofree char *size = commy_quantity_format_size (commy_record_get_uint (record, "size"));
  g_auto (GStrv) why = commy_decision_view_why_not (record, transport);

  if (why[0] == NULL)
    {
      commy_cli_note ("no candidate goes over \"%s\": there is no such plugin here and the service "
                      "does not offer it (commy plugin list)",
                      transport);
      return COMMY_EXIT_NOT_FOUND;
    }
  for (guint i = 0; why[i] != NULL; i++)
    commy_output_print ("%s%s%s\n", several ? size : "", several ? ": " : "", why[i]);
  return COMMY_EXIT_DONE;
}

static CommyExit
print_answer (const Question *question, GVariant *record, const char *text, gboolean several)
{
  gboolean allowed = commy_record_get_string (record, "transport")[0] != '\0';
  g_autofree char *clean = text != NULL ? commy_output_clean (text, TRUE) : NULL;

  if (question->options->why_not != NULL)
    return print_why_not (question, record, several);
  if (clean != NULL)
    commy_output_print ("%s", clean);
  else
    commy_decision_view_print (record);
  return allowed ? COMMY_EXIT_DONE : COMMY_EXIT_DENIED;
}

static CommyExit
answer (CommyCli *cli, const Question *question, GArray *sizes)
{
  CommyExit status = COMMY_EXIT_DONE;
  g_autoptr (GPtrArray) records = g_ptr_array_new_with_free_func ((GDestroyNotify) g_variant_unref);

  for (guint i = 0; i < sizes->len; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autofree char *text = NULL;
      GVariant *record = explain (question, g_array_index (sizes, guint64, i), &text, &error);
      CommyExit one;

      if (record == NULL)
        return commy_cli_fail (error);
      g_ptr_array_add (records, record);
      if (cli->json)
        continue;
      if (i > 0 && question->options->why_not == NULL)
        commy_output_print ("\n");
      one = print_answer (question, record, text, sizes->len > 1);
      if (one == COMMY_EXIT_NOT_FOUND)
        return one;
      status = MAX (status, one);
    }
  if (cli->json)
    commy_output_json (g_variant_new_array (G_VARIANT_TYPE_VARDICT,
                                            (GVariant *const *) records->pdata, records->len));
  return status;
}

static CommyExit
run (CommyCli *cli, const Options *options, const char *service, GArray *sizes)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyWhatIf) what_if = NULL;
  g_autoptr (CommyMesh) mesh = NULL;
  g_autoptr (CommyClient) client = NULL;
  g_autoptr (GPtrArray) nodes = NULL;
  Question question = { .options = options, .service = service };

  what_if = commy_what_if_new ((const char *const *) options->what_if, &error);
  if (what_if == NULL)
    {
      commy_cli_fail (error);
      return COMMY_EXIT_USAGE;
    }
  mesh = commy_cli_join (cli, &error);
  if (mesh == NULL)
    return commy_cli_fail (error);
  question.mesh = mesh;
  question.what_if = options->what_if != NULL ? what_if : NULL;
  if (options->of != NULL)
    {
      nodes = commy_lookup_nodes (mesh, options->of, &error);
      if (nodes == NULL)
        return commy_cli_fail (error);
      question.node = nodes->pdata[0];
    }
  else
    question.client = client = commy_client_new (mesh, service);
  if (options->select != NULL && !commy_client_set_selector (client, options->select, &error))
    {
      commy_cli_fail (error);
      return COMMY_EXIT_USAGE;
    }
  return answer (cli, &question, sizes);
}

CommyExit
commy_cmd_route (CommyCli *cli, char **argv)
{
  g_auto (Options) options = { NULL };
  const GOptionEntry entries[] = {
    { "size", 's', 0, G_OPTION_ARG_STRING, &options.sizes, "Sizes of messages (" DEFAULT_SIZES ")",
      "N[k|M|G],..." },
    { "why-not", 0, 0, G_OPTION_ARG_STRING, &options.why_not,
      N_ ("Only why messages do not go over this transport"), "TRANSPORT" },
    { "what-if", 0, 0, G_OPTION_ARG_STRING_ARRAY, &options.what_if,
      N_ ("With another setting; may be given more than once"), "NAME=VALUE" },
    { "of", 0, 0, G_OPTION_ARG_STRING, &options.of,
      N_ ("Of this node: the beginning of its id, or a service it offers"), "NODE" },
    { "select", 0, 0, G_OPTION_ARG_STRING, &options.select,
      N_ ("Only instances that all words fit: a version (>=2.1), a tag, a pair (rack:7)"),
      "WORDS" },
    { NULL },
  };
  g_auto (GStrv) arguments = commy_cli_parse (cli, &verb, entries, argv);
  g_autoptr (GArray) sizes = NULL;

  if (arguments == NULL)
    return COMMY_EXIT_USAGE;
  if (g_strcmp0 (arguments[1], "explain") != 0)
    return commy_cli_misuse (&verb, "say explain");
  if (g_strv_length (arguments) != 3)
    return commy_cli_misuse (&verb, "explain needs the name of one service");
  if (options.select != NULL && options.of != NULL)
    return commy_cli_misuse (&verb, "--select is for a call of this command, --of for another's");
  if (!parse_sizes (options.sizes != NULL ? options.sizes : DEFAULT_SIZES, &sizes))
    return commy_cli_misuse (&verb, "\"%s\" is no list of sizes such as 64,4k,1M", options.sizes);
  return run (cli, &options, arguments[2], sizes);
}
