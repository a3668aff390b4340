/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `commy policy test`: cases of a keyfile, asked one by one, told like a test's.
 */
#include "config.h"

#include "cli/commy-output.h"
#include "cli/commy-policy-view.h"

#include <string.h>

#define CASE "case "

/* One case, as the keyfile has it. */
typedef struct
{
  char *principal, *verb, *resource, *expect, *rule;
  CommyPolicyQuestion question;
} Case;

static void
case_clear (Case *it)
{
  g_free (it->principal);
  g_free (it->verb);
  g_free (it->resource);
  g_free (it->expect);
  g_free (it->rule);
  commy_policy_question_clear (&it->question);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Case, case_clear)

/* --- reading --- */

static gboolean
check_keys (GKeyFile *file, const char *group, GError **error)
{
  static const char *const known[] = { "principal", "verb",     "resource",   "expect", "at",
                                       "from",      "security", "attributes", "rule",   NULL };
  g_auto (GStrv) keys = g_key_file_get_keys (file, group, NULL, NULL);

  for (gsize i = 0; i < 4; i++)
    if (!g_key_file_has_key (file, group, known[i], NULL))
      {
        commy_cli_set_error (error, COMMY_ERROR_CONFIG_VALUE, "[%s] has no %s", group, known[i]);
        return FALSE;
      }
  for (char **key = keys; *key != NULL; key++)
    if (!g_strv_contains (known, *key))
      {
        commy_cli_set_error (error, COMMY_ERROR_CONFIG_UNKNOWN,
                             "[%s] has a key \"%s\"; a case has principal, verb, resource, expect, "
                             "at, from, security, attributes, rule",
                             group, *key);
        return FALSE;
      }
  return TRUE;
}

static gboolean
read_case (GKeyFile *file, const char *group, Case *it, GError **error)
{
  if (!g_str_has_prefix (group, CASE))
    {
      commy_cli_set_error (error, COMMY_ERROR_CONFIG_UNKNOWN, "[%s] is no case: write [case NAME]",
                           group);
      return FALSE;
    }
  if (!check_keys (file, group, error))
    return FALSE;
  it->principal = g_key_file_get_string (file, group, "principal", NULL);
  it->verb = g_key_file_get_string (file, group, "verb", NULL);
  it->resource = g_key_file_get_string (file, group, "resource", NULL);
  it->expect = g_key_file_get_string (file, group, "expect", NULL);
  it->rule = g_key_file_get_string (file, group, "rule", NULL);
  it->question.at = g_key_file_get_string (file, group, "at", NULL);
  it->question.from = g_key_file_get_string (file, group, "from", NULL);
  it->question.security = g_key_file_get_string (file, group, "security", NULL);
  it->question.attributes = g_key_file_get_string_list (file, group, "attributes", NULL, NULL);
  it->question.without_engine = TRUE; /* tests tell of the keyfiles alone */
  if (g_key_file_has_key (file, group, "attributes", NULL) && it->question.attributes == NULL)
    commy_cli_set_error (error, COMMY_ERROR_CONFIG_VALUE, "[%s]: attributes are text in UTF-8",
                         group);
  else if (it->principal == NULL || it->verb == NULL || it->resource == NULL)
    commy_cli_set_error (error, COMMY_ERROR_CONFIG_VALUE,
                         "[%s]: principal, verb and resource are text in UTF-8", group);
  else if (g_strcmp0 (it->expect, "allow") != 0 && g_strcmp0 (it->expect, "deny") != 0)
    commy_cli_set_error (error, COMMY_ERROR_CONFIG_VALUE, "[%s]: expect is allow or deny", group);
  else
    return TRUE;
  return FALSE;
}

/* --- asking --- */

/* What came instead; NULL: as expected. */
static char *
compare (const Case *it, GVariant *answer)
{
  const char *rule = NULL;
  const char *origin = NULL;
  gboolean allowed = FALSE;

  g_variant_lookup (answer, "allowed", "b", &allowed);
  g_variant_lookup (answer, "rule", "&s", &rule);
  g_variant_lookup (answer, "origin", "&s", &origin);
  if (allowed == (strcmp (it->expect, "allow") == 0)
      && (it->rule == NULL || g_strcmp0 (it->rule, rule) == 0))
    return NULL;
  return g_strdup_printf ("%s by %s (%s)", allowed ? "allow" : "deny",
                          rule != NULL ? rule : "no rule", origin);
}

static gboolean
run_case (CommyMesh *mesh, const char *name, const Case *it, GVariantBuilder *results)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) answer
      = commy_policy_ask (mesh, it->principal, it->verb, it->resource, &it->question, &error);
  g_autofree char *instead = answer != NULL ? compare (it, answer) : g_strdup (error->message);
  g_autofree char *clean = instead != NULL ? commy_output_clean (instead, FALSE) : NULL;
  g_autofree char *shown = commy_output_clean (name, FALSE);

  g_variant_builder_open (results, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (results, "{sv}", "case", g_variant_new_string (shown));
  g_variant_builder_add (results, "{sv}", "ok", g_variant_new_boolean (instead == NULL));
  g_variant_builder_add (results, "{sv}", "expect", g_variant_new_string (it->expect));
  if (clean != NULL)
    g_variant_builder_add (results, "{sv}", "got", g_variant_new_string (clean));
  g_variant_builder_close (results);
  return instead == NULL;
}

static gboolean
run_file (CommyMesh *mesh,
          const char *path,
          guint *inout_failed,
          GVariantBuilder *results,
          GError **error)
{
  g_autoptr (GBytes) bytes = commy_cli_read_file (path, error);
  g_autoptr (GKeyFile) file = g_key_file_new ();
  g_auto (GStrv) groups = NULL;
  g_autoptr (GError) cause = NULL;

  if (bytes == NULL)
    return FALSE;
  if (!g_key_file_load_from_bytes (file, bytes, G_KEY_FILE_NONE, &cause))
    {
      commy_cli_set_error (error, COMMY_ERROR_CONFIG, "%s", cause->message);
      return FALSE;
    }
  groups = g_key_file_get_groups (file, NULL);
  for (char **group = groups; *group != NULL; group++)
    {
      g_auto (Case) it = { 0 };

      if (!read_case (file, *group, &it, error))
        return FALSE;
      if (!run_case (mesh, *group + strlen (CASE), &it, results))
        (*inout_failed)++;
    }
  return TRUE;
}

static void
print_results (GVariant *results)
{
  gsize n = g_variant_n_children (results);

  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) row = g_variant_get_child_value (results, i);
      const char *name = NULL, *expect = NULL, *got = NULL;

      g_variant_lookup (row, "case", "&s", &name);
      g_variant_lookup (row, "expect", "&s", &expect);
      if (g_variant_lookup (row, "got", "&s", &got))
        commy_output_print ("not ok %" G_GSIZE_FORMAT " - %s\n# expected %s, got %s\n", i + 1, name,
                            expect, got);
      else
        commy_output_print ("ok %" G_GSIZE_FORMAT " - %s\n", i + 1, name);
    }
  commy_output_print ("1..%" G_GSIZE_FORMAT "\n", n);
}

CommyExit
commy_policy_test (CommyCli *cli, CommyMesh *mesh, char **files)
{
  g_autoptr (GVariant) results = NULL;
  CommyExit status = COMMY_EXIT_DONE;
  GVariantBuilder builder;
  guint failed = 0;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("aa{sv}"));
  for (char **path = files; *path != NULL; path++)
    {
      g_autoptr (GError) error = NULL;

      if (run_file (mesh, *path, &failed, &builder, &error))
        continue;
      g_prefix_error (&error, "%s: ", *path);
      commy_cli_fail (error);
      status = COMMY_EXIT_USAGE;
    }
  results = g_variant_ref_sink (g_variant_builder_end (&builder));
  if (cli->json)
    commy_output_json (results);
  else
    print_results (results);
  return status == COMMY_EXIT_DONE && failed > 0 ? COMMY_EXIT_FAILED : status;
}
