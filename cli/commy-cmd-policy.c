/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `commy policy ls | explain` and `commy authz can`: what the keyfiles allow whom, and why. No
 * mesh has to run.
 */
#include "config.h"

#include "cli/commy-policy-view.h"

#include "cli/commy-cmd.h"
#include "cli/commy-output.h"

#include <string.h>
#include <unistd.h>

static const CommyCliVerb policy_verb = {
  .name = "policy",
  .usage = "ls | explain PRINCIPAL VERB RESOURCE | test FILE...",
  .summary
  = N_ ("  ls       the rules of the keyfiles, in order: the last one that matches decides\n"
        "  explain  which rules are looked at, which one decides, and why not the others\n"
        "  test     whether the cases of a keyfile come out as expected, one line each"),
  .description
  = N_ ("VERB and RESOURCE: call SERVICE/METHOD, offer SERVICE, subscribe or publish topic:NAME,\n"
        "read or write key:KEY, control control:OPERATION (cordon, drain, reload-policy).\n"
        "Without --at it is now; without --from nothing is known of the path, and without\n"
        "--attribute nothing of what was proved besides the name (scope=WORD of tokens,\n"
        "claim:NAME=VALUE): a rule with such a condition does not allow. A rule with ask=engine "
        "has explain ask the policy\n"
        "engine, too, but not test. --why-not tells of a denial which rules come close, the\n"
        "closest first, and what each of them misses. A case of test is [case NAME] with "
        "principal, verb,\n"
        "resource, expect=allow or deny, and at, from, security, attributes, rule where they\n"
        "matter.\n\n"
        "Example: why may the backup not delete?\n"
        "  commy policy ls\n"
        "  commy policy explain unix:uid=34 call org.example.Archive/Delete\n"
        "  commy policy explain unix:uid=34 read key:shop/limit --at 2026-12-24T23:00:00\n"
        "  commy policy explain token:build call org.example.Deploy/Go --attribute scope=deploy\n"
        "  commy policy test cases.conf"),
  .has_format = TRUE,
};

static const CommyCliVerb authz_verb = {
  .name = "authz",
  .usage = "can PRINCIPAL VERB RESOURCE",
  .summary = N_ ("  can  yes or no, and the rule with its line; exit code 0 or 1"),
  .description
  = N_ ("VERB and RESOURCE are those of commy policy explain, and so are the options.\n"
        "Where a rule has ask=engine, the policy engine is asked, too.\n\n"
        "Example: may the backup read the archive?\n"
        "  commy authz can unix:uid=34 call org.example.Archive/Get\n"
        "  commy authz can unix:uid=34 control control:drain -o json"),
  .has_format = TRUE,
};

void
commy_policy_question_clear (CommyPolicyQuestion *question)
{
  g_free (question->at);
  g_free (question->from);
  g_free (question->security);
  g_strfreev (question->attributes);
}

/* --- asking --- */

static gboolean
is_own (const char *principal)
{
  g_autofree char *own = g_strdup_printf ("unix:uid=%u", geteuid ());

  return strcmp (principal, own) == 0;
}

/* All that are not empty: whoever says "" says that nothing more was proved. */
static GVariant *
attributes_of (const CommyPolicyQuestion *question)
{
  GVariantBuilder all;

  g_variant_builder_init (&all, G_VARIANT_TYPE_STRING_ARRAY);
  for (char **one = question->attributes; *one != NULL; one++)
    if (**one != '\0')
      g_variant_builder_add (&all, "s", *one);
  return g_variant_builder_end (&all);
}

GVariant *
commy_policy_ask (CommyMesh *mesh,
                  const char *principal,
                  const char *verb,
                  const char *resource,
                  const CommyPolicyQuestion *question,
                  GError **error)
{
  GVariantBuilder known;

  g_variant_builder_init (&known, G_VARIANT_TYPE_VARDICT);
  if (question->at != NULL)
    g_variant_builder_add (&known, "{sv}", "at", g_variant_new_string (question->at));
  if (question->from != NULL)
    g_variant_builder_add (&known, "{sv}", "from", g_variant_new_string (question->from));
  if (question->security != NULL)
    g_variant_builder_add (&known, "{sv}", "security", g_variant_new_string (question->security));
  if (question->attributes != NULL)
    g_variant_builder_add (&known, "{sv}", "attributes", attributes_of (question));
  g_variant_builder_add (&known, "{sv}", "engine",
                         g_variant_new_boolean (!question->without_engine));
  g_variant_builder_add (&known, "{sv}", "why-not", g_variant_new_boolean (question->why_not));
  g_variant_builder_add (&known, "{sv}", "own", g_variant_new_boolean (is_own (principal)));
  return commy_mesh_explain_policy (mesh, principal, verb, resource, g_variant_builder_end (&known),
                                    error);
}

/* --- printing --- */

static const char *
lookup (GVariant *record, const char *key)
{
  const char *text = NULL;

  return g_variant_lookup (record, key, "&s", &text) ? text : NULL;
}

static void
tell_idle (GVariant *row)
{
  const char *idle = lookup (row, "idle");

  if (idle != NULL)
    commy_cli_note ("[policy %s] (%s) %s", lookup (row, "rule"), lookup (row, "origin"), idle);
}

static void
print_rules (GVariant *rules)
{
  static const char *const columns[] = { "rule", "effect", "mode", "verbs", "who", "limits" };
  g_autoptr (CommyTable) table
      = commy_table_new ("RULE", "EFFECT", "MODE", "VERBS", "WHO", "WHAT AND WHEN", "ORIGIN", NULL);

  for (gsize i = 0; i < g_variant_n_children (rules); i++)
    {
      g_autoptr (GVariant) row = g_variant_get_child_value (rules, i);
      const char *text = NULL;

      for (gsize column = 0; column < G_N_ELEMENTS (columns); column++)
        {
          g_variant_lookup (row, columns[column], "&s", &text);
          commy_table_add (table, text);
        }
      g_variant_lookup (row, "origin", "&s", &text);
      commy_table_add_toned (table, text, COMMY_TONE_FAINT);
      tell_idle (row);
    }
  if (commy_table_get_n_rows (table) > 0)
    commy_table_print (table);
  else
    commy_output_print (_ ("no rule: one's own user may all, nobody else may anything\n"));
}

/* A call would have said it. */
static void
print_untold (GVariant *answer)
{
  g_autofree const char **names = NULL;

  if (!g_variant_lookup (answer, "not_told", "^a&s", &names))
    return;
  for (const char **name = names; *name != NULL; name++)
    if (strcmp (*name, "from") == 0)
      commy_output_print (_ ("it was not told: where the call comes from (--from)\n"));
    else if (strcmp (*name, "security") == 0)
      commy_output_print (_ ("it was not told: the level of the path (--security)\n"));
    else
      commy_output_print (_ ("it was not told: whether that is one's own user\n"));
}

/* Of what nearly allows it: a row for each thing that is missing. */
static void
print_why_not (GVariant *answer)
{
  g_autoptr (CommyTable) table
      = commy_table_new ("NEARLY", "MISSES", "WHICH IS", "TO ADD", "ORIGIN", NULL);
  g_autoptr (GVariant) rules
      = g_variant_lookup_value (answer, "why_not", G_VARIANT_TYPE ("aa{sv}"));

  if (rules == NULL)
    return;
  for (gsize i = 0; i < g_variant_n_children (rules); i++)
    {
      g_autoptr (GVariant) rule = g_variant_get_child_value (rules, i);
      g_autoptr (GVariant) missing
          = g_variant_lookup_value (rule, "missing", G_VARIANT_TYPE ("aa{sv}"));

      for (gsize j = 0; missing != NULL && j < g_variant_n_children (missing); j++)
        {
          g_autoptr (GVariant) one = g_variant_get_child_value (missing, j);

          commy_table_add (table, lookup (rule, "rule"));
          commy_table_add_toned (table, lookup (one, "condition"), COMMY_TONE_STRONG);
          commy_table_add (table, lookup (one, "is"));
          commy_table_add (table, lookup (one, "add"));
          commy_table_add_toned (table, lookup (rule, "origin"), COMMY_TONE_FAINT);
        }
    }
  if (commy_table_get_n_rows (table) > 0)
    commy_table_print (table);
  else
    commy_output_print (_ ("no rule comes close: write a [policy NAME] with effect=allow\n"));
}

static void
print_answer (GVariant *answer)
{
  const char *rule = lookup (answer, "rule");
  const char *trial = lookup (answer, "trial");
  const char *asks = lookup (answer, "asks");
  g_autofree char *origin = commy_output_clean (lookup (answer, "origin"), FALSE);
  gboolean allowed = FALSE;

  g_variant_lookup (answer, "allowed", "b", &allowed);
  if (rule != NULL)
    commy_output_print ("%s  [policy %s]  %s\n", allowed ? "yes" : "no", rule, origin);
  else
    commy_output_print ("%s  %s\n", allowed ? "yes" : "no", origin);
  if (asks != NULL)
    {
      g_autofree char *engine = commy_output_clean (lookup (answer, "engine"), FALSE);

      commy_output_print (_ ("asked: policy/%s: %s\n"), asks, engine);
      print_untold (answer);
    }
  if (trial != NULL)
    {
      g_autofree char *clean = commy_output_clean (trial, FALSE);

      commy_output_print (_ ("on trial: it would be no (%s)\n"), clean);
    }
}

static void
print_steps (GVariant *answer)
{
  g_autoptr (CommyTable) table = commy_table_new ("RULE", "WHAT OF IT", "ORIGIN", NULL);
  g_autoptr (GVariant) steps = g_variant_lookup_value (answer, "steps", G_VARIANT_TYPE ("aa{sv}"));
  g_autofree const char **roles = NULL;

  if (g_variant_lookup (answer, "roles", "^a&s", &roles) && roles[0] != NULL)
    {
      g_autofree char *names = g_strjoinv (", ", (char **) roles);
      g_autofree char *clean = commy_output_clean (names, FALSE);

      commy_output_print (_ ("member of %s\n"), clean);
    }
  for (gsize i = 0; steps != NULL && i < g_variant_n_children (steps); i++)
    {
      g_autoptr (GVariant) step = g_variant_get_child_value (steps, i);
      gboolean decides = FALSE;

      g_variant_lookup (step, "decides", "b", &decides);
      commy_table_add (table, lookup (step, "rule"));
      commy_table_add_toned (table, lookup (step, "why"),
                             decides ? COMMY_TONE_STRONG : COMMY_TONE_PLAIN);
      commy_table_add_toned (table, lookup (step, "origin"), COMMY_TONE_FAINT);
    }
  if (commy_table_get_n_rows (table) > 0)
    commy_table_print (table);
}

/* --- the verbs --- */

static CommyExit
list (CommyCli *cli, CommyMesh *mesh)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) rules = commy_mesh_list_policy (mesh, &error);

  if (rules == NULL)
    return commy_cli_fail (error);
  if (cli->json)
    commy_output_json (rules);
  else
    print_rules (rules);
  return COMMY_EXIT_DONE;
}

/* @arguments: principal, verb, resource. */
static CommyExit
answer (CommyCli *cli,
        CommyMesh *mesh,
        char **arguments,
        const CommyPolicyQuestion *question,
        gboolean with_steps)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) record
      = commy_policy_ask (mesh, arguments[0], arguments[1], arguments[2], question, &error);
  gboolean allowed = FALSE;

  if (record == NULL)
    return commy_cli_fail (error);
  if (cli->json)
    commy_output_json (record);
  else
    {
      print_answer (record);
      if (with_steps)
        print_steps (record);
      print_why_not (record);
    }
  g_variant_lookup (record, "allowed", "b", &allowed);
  return allowed || with_steps ? COMMY_EXIT_DONE : COMMY_EXIT_FAILED;
}

static CommyMesh *
open_mesh (CommyCli *cli, CommyExit *out_status)
{
  g_autoptr (GError) error = NULL;
  CommyMesh *mesh = commy_mesh_new (cli->mesh, &error);

  if (mesh == NULL)
    *out_status = commy_cli_fail (error);
  return mesh;
}

CommyExit
commy_cmd_policy (CommyCli *cli, char **argv)
{
  g_auto (CommyPolicyQuestion) question = { 0 };
  const GOptionEntry entries[] = { COMMY_POLICY_OPTIONS (question), { NULL } };
  g_auto (GStrv) arguments = commy_cli_parse (cli, &policy_verb, entries, argv);
  g_autoptr (CommyMesh) mesh = NULL;
  CommyExit status = COMMY_EXIT_DONE;
  guint n = arguments != NULL ? g_strv_length (arguments) : 0;

  if (arguments == NULL)
    return COMMY_EXIT_USAGE;
  if (n < 2
      || !g_strv_contains (((const char *const[]){ "ls", "explain", "test", NULL }), arguments[1]))
    return commy_cli_misuse (&policy_verb, "say one of ls, explain, test");
  if (strcmp (arguments[1], "explain") == 0 && n != 5)
    return commy_cli_misuse (&policy_verb, "explain needs PRINCIPAL VERB RESOURCE");
  if (strcmp (arguments[1], "test") == 0 && n < 3)
    return commy_cli_misuse (&policy_verb, "test needs the name of a keyfile with cases");
  mesh = open_mesh (cli, &status);
  if (mesh == NULL)
    return status;
  if (strcmp (arguments[1], "ls") == 0)
    return list (cli, mesh);
  if (strcmp (arguments[1], "explain") == 0)
    return answer (cli, mesh, arguments + 2, &question, TRUE);
  return commy_policy_test (cli, mesh, arguments + 2);
}

CommyExit
commy_cmd_authz (CommyCli *cli, char **argv)
{
  g_auto (CommyPolicyQuestion) question = { 0 };
  const GOptionEntry entries[] = { COMMY_POLICY_OPTIONS (question), { NULL } };
  g_auto (GStrv) arguments = commy_cli_parse (cli, &authz_verb, entries, argv);
  g_autoptr (CommyMesh) mesh = NULL;
  CommyExit status = COMMY_EXIT_DONE;

  if (arguments == NULL)
    return COMMY_EXIT_USAGE;
  if (g_strcmp0 (arguments[1], "can") != 0 || g_strv_length (arguments) != 5)
    return commy_cli_misuse (&authz_verb, "say can PRINCIPAL VERB RESOURCE");
  mesh = open_mesh (cli, &status);
  return mesh != NULL ? answer (cli, mesh, arguments + 2, &question, FALSE) : status;
}
