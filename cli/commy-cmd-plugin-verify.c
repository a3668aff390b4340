/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `commy plugin verify PATH`: what a mesh would say of a plugin file, and every rule of its kind,
 * each in a process of its own. A rule that takes its process down says something about that rule
 * only.
 */
#include "config.h"

#include "cli/commy-cmd-plugin.h"

#include "cli/commy-conformance-tool.h"
#include "cli/commy-output.h"
#include "cli/commy-quantity.h"

#include <string.h>

typedef enum
{
  CHECK_OK,
  CHECK_FAILED,
  CHECK_SKIPPED,
} CheckResult;

typedef struct
{
  char *name;
  CheckResult result;
  char *detail;
} Check;

typedef struct
{
  const CommyPluginWork *work;
  char *path;
  char *wrapped; /* a hook's transport */
  char *kind, *id, *version;
  gboolean is_hook;
  char *unconfined; /* why, or NULL */
  GPtrArray *checks;
  guint counts[CHECK_SKIPPED + 1];
} Verify;

static void
check_free (gpointer data)
{
  Check *check = data;

  g_free (check->name);
  g_free (check->detail);
  g_free (check);
}

static void
verify_clear (Verify *self)
{
  g_free (self->path);
  g_free (self->wrapped);
  g_free (self->kind);
  g_free (self->id);
  g_free (self->version);
  g_free (self->unconfined);
  g_ptr_array_unref (self->checks);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Verify, verify_clear)

static void
add_check (Verify *self, const char *name, CheckResult result, const char *detail)
{
  Check *check = g_new (Check, 1);

  *check = (Check){ g_strdup (name), result, g_strdup (detail != NULL ? detail : "") };
  g_ptr_array_add (self->checks, check);
  self->counts[result]++;
}

/* The facts come before any code of the plugin is run, which could print others. */
static void
read_facts (Verify *self, const CommyToolRun *run)
{
  g_autofree char *hook = commy_tool_dup_first (run->output, "hook\t");

  self->kind = commy_tool_dup_first (run->output, "kind\t");
  self->id = commy_tool_dup_first (run->output, "id\t");
  self->version = commy_tool_dup_first (run->output, "version\t");
  self->unconfined = commy_tool_dup_first (run->output, "unconfined\t");
  self->is_hook = g_strcmp0 (hook, "true") == 0;
}

/* Takes the words of the first part: "pass NAME", "fail NAME: WHY", and facts. A process that ended
 * in good order before the last of them has not been through it. */
static void
read_inspection (Verify *self, const CommyToolRun *run)
{
  g_auto (GStrv) lines = g_strsplit (run->output, "\n", -1);
  g_autofree char *step = commy_tool_dup_last (run->output, "step\t");
  gboolean told = FALSE, through = FALSE;

  for (guint i = 0; lines[i] != NULL; i++)
    {
      g_auto (GStrv) words = g_strsplit (lines[i], "\t", 2);
      const char *text = words[0] != NULL && words[1] != NULL ? words[1] : "";
      const char *colon = strstr (text, ": ");
      g_autofree char *name = g_strndup (text, colon != NULL ? (gsize) (colon - text) : 0);

      if (g_str_has_prefix (lines[i], "pass\t"))
        {
          add_check (self, text, CHECK_OK, NULL);
          through = through || strcmp (text, "symbols") == 0;
        }
      else if (g_str_has_prefix (lines[i], "fail\t") && colon != NULL)
        {
          add_check (self, name, CHECK_FAILED, colon + 2);
          told = TRUE;
        }
    }
  read_facts (self, run);
  if (!told && !(run->ok && through))
    add_check (self, step != NULL ? step : "start", CHECK_FAILED,
               run->failure != NULL ? run->failure
               : run->ok            ? "it ended the process while it was looked at"
                                    : run->errors);
}

/* (transfer full): `suite PATH --confine ...`, and @last words up to NULL */
static GPtrArray *
make_arguments (const Verify *self, const char *what, const char *option, const char *value)
{
  GPtrArray *arguments = g_ptr_array_new_with_free_func (g_free);
  const CommyPluginWork *work = self->work;

  g_ptr_array_add (arguments, g_strdup (what));
  g_ptr_array_add (arguments, g_strdup (self->path));
  g_ptr_array_add (arguments, g_strdup ("--confine"));
  if (self->wrapped != NULL)
    g_ptr_array_add (arguments, g_strconcat ("--on=", self->wrapped, NULL));
  if (work->credentials != NULL)
    g_ptr_array_add (arguments, g_strconcat ("--credentials=", work->credentials, NULL));
  for (guint i = 0; work->params != NULL && work->params[i] != NULL; i++)
    g_ptr_array_add (arguments, g_strconcat ("--param=", work->params[i], NULL));
  if (option != NULL)
    g_ptr_array_add (arguments, g_strdup (option));
  if (value != NULL)
    g_ptr_array_add (arguments, g_strdup (value));
  if (value != NULL)
    g_ptr_array_add (arguments, g_strdup ("--tap"));
  g_ptr_array_add (arguments, NULL);
  return arguments;
}

static gboolean
run_tool (Verify *self,
          const char *what,
          const char *option,
          const char *value,
          CommyToolRun *out_run,
          GError **error)
{
  g_autoptr (GPtrArray) arguments = make_arguments (self, what, option, value);
  g_autofree char *refused = NULL;

  if (!commy_tool_run ((const char *const *) arguments->pdata, self->work->seconds, out_run, error))
    return FALSE;
  refused = commy_tool_dup_first (out_run->errors, "unconfined\t");
  if (refused != NULL && self->unconfined == NULL)
    self->unconfined = g_steal_pointer (&refused);
  return TRUE;
}

/* A rule's name without the suite's and the plugin's. */
static const char *
short_name (const char *path)
{
  const char *second = strchr (path + 1, '/');
  const char *third = second != NULL ? strchr (second + 1, '/') : NULL;

  return third != NULL ? third + 1 : path + 1;
}

/* Why a rule failed; a plugin that exits in good order has not passed either. */
static const char *
why_failed (const CommyToolRun *run, const char *bail)
{
  if (bail != NULL)
    return bail;
  if (run->failure != NULL)
    return run->failure;
  return run->ok ? "it ended the process before the rule was through" : run->output;
}

static gboolean
is_asked_for (const Verify *self, const char *name)
{
  return self->work->rule == NULL || g_str_has_prefix (name, self->work->rule);
}

static gboolean
run_rule (Verify *self, const char *path, gboolean *out_ok, GError **error)
{
  g_auto (CommyToolRun) run = { 0 };
  g_autofree char *line = g_strconcat ("ok 1 ", path, NULL);
  g_autofree char *skip = g_strconcat (line, " # SKIP ", NULL);
  g_autofree char *passed = NULL;
  g_autofree char *skipped = NULL;
  g_autofree char *bail = NULL;

  if (!run_tool (self, "suite", "-p", path, &run, error))
    return FALSE;
  passed = commy_tool_dup_last (run.output, line);
  skipped = commy_tool_dup_last (run.output, skip);
  bail = commy_tool_dup_last (run.output, "Bail out! ");
  *out_ok = run.ok && passed != NULL;
  if (*out_ok)
    add_check (self, short_name (path), skipped != NULL ? CHECK_SKIPPED : CHECK_OK, skipped);
  else
    add_check (self, short_name (path), CHECK_FAILED, why_failed (&run, bail));
  return TRUE;
}

/* The first rule says whether it starts; if not, the others would all say the same. */
static gboolean
run_rules (Verify *self, GError **error)
{
  g_auto (CommyToolRun) run = { 0 };
  g_auto (GStrv) paths = NULL;
  gboolean ok = TRUE;
  guint n = 0;

  if (!run_tool (self, "suite", "-l", NULL, &run, error))
    return FALSE;
  if (!run.ok)
    {
      add_check (self, "rules", CHECK_FAILED, run.failure != NULL ? run.failure : run.output);
      return TRUE;
    }
  paths = g_strsplit (run.output, "\n", -1);
  for (guint i = 0; paths[i] != NULL; i++)
    {
      n += paths[i][0] == '/';
      if (paths[i][0] != '/' || !is_asked_for (self, short_name (paths[i])))
        continue;
      if (!run_rule (self, paths[i], &ok, error))
        return FALSE;
      if (!ok && g_str_has_suffix (paths[i], "/starts-and-stops"))
        {
          add_check (self, "rules", CHECK_SKIPPED, _ ("it does not start"));
          break;
        }
    }
  if (n == 0)
    add_check (self, "rules", CHECK_FAILED, "it ended the process before its rules were listed");
  return TRUE;
}

/* What it claims for a small message, against what one took. */
static gboolean
check_claim (Verify *self, GError **error)
{
  g_auto (CommyToolRun) run = { 0 };
  g_autofree char *contradicts = NULL;
  g_autofree char *failure = NULL;

  if (self->is_hook || self->counts[CHECK_FAILED] > 0 || !is_asked_for (self, "claim")
      || (strcmp (self->kind, "transport") != 0 && strcmp (self->kind, "serializer") != 0))
    return TRUE;
  if (!run_tool (self, "measure", NULL, NULL, &run, error))
    return FALSE;
  contradicts = commy_tool_dup_last (run.output, "contradicts\t");
  failure = commy_tool_dup_last (run.output, "fail\tmeasure: ");
  if (!run.ok)
    add_check (self, "claim", CHECK_FAILED,
               failure != NULL       ? failure
               : run.failure != NULL ? run.failure
                                     : run.errors);
  else if (contradicts == NULL)
    add_check (self, "claim", CHECK_FAILED, "it ended the process before it was measured");
  else if (strcmp (contradicts, "true") == 0)
    add_check (
        self, "claim", CHECK_FAILED,
        _ ("a message takes more than twenty times what the profile says (commy plugin bench "
           "writes one that was measured)"));
  else
    add_check (self, "claim", CHECK_OK, NULL);
  return TRUE;
}

/* --- what a hook is put on --- */

/* (transfer full) (nullable): the file of the transport, an id or a path; by default the one that
 * every build has and that reaches other processes. */
static char *
dup_transport (const char *name, const char *mesh_name)
{
  g_autoptr (CommyMesh) mesh = NULL;
  g_autoptr (GVariant) plugins = NULL;

  if (name != NULL && strchr (name, '/') != NULL)
    return g_canonicalize_filename (name, NULL);
  mesh = commy_mesh_new (mesh_name, NULL);
  plugins = mesh != NULL ? commy_mesh_list_plugins (mesh) : NULL;
  for (gsize i = 0, n = plugins != NULL ? g_variant_n_children (plugins) : 0; i < n; i++)
    {
      g_autoptr (GVariant) plugin = g_variant_get_child_value (plugins, i);
      const char *kind = "", *id = "", *path = "";

      g_variant_lookup (plugin, "kind", "&s", &kind);
      g_variant_lookup (plugin, "id", "&s", &id);
      g_variant_lookup (plugin, "path", "&s", &path);
      if (strcmp (kind, "transport") == 0 && strcmp (id, name != NULL ? name : "unix") == 0)
        return g_strdup (path);
    }
  return NULL;
}

/* --- what is said --- */

static const char *
result_to_string (CheckResult result)
{
  static const char *const names[] = { "ok", "failed", "skipped" };

  return names[result];
}

static GVariant *
to_record (const Verify *self)
{
  GVariantBuilder checks = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("aa{sv}"));
  GVariantDict dict;

  for (guint i = 0; i < self->checks->len; i++)
    {
      const Check *check = g_ptr_array_index (self->checks, i);

      g_variant_builder_open (&checks, G_VARIANT_TYPE_VARDICT);
      g_variant_builder_add (&checks, "{sv}", "name", g_variant_new_string (check->name));
      g_variant_builder_add (&checks, "{sv}", "result",
                             g_variant_new_string (result_to_string (check->result)));
      g_variant_builder_add (&checks, "{sv}", "detail", g_variant_new_string (check->detail));
      g_variant_builder_close (&checks);
    }
  g_variant_dict_init (&dict, NULL);
  g_variant_dict_insert (&dict, "path", "s", self->path);
  g_variant_dict_insert (&dict, "kind", "s", self->kind != NULL ? self->kind : "");
  g_variant_dict_insert (&dict, "id", "s", self->id != NULL ? self->id : "");
  g_variant_dict_insert (&dict, "version", "s", self->version != NULL ? self->version : "");
  g_variant_dict_insert (&dict, "confined", "b", self->unconfined == NULL);
  g_variant_dict_insert (&dict, "unconfined-why", "s",
                         self->unconfined != NULL ? self->unconfined : "");
  g_variant_dict_insert (&dict, "passed", "u", self->counts[CHECK_OK]);
  g_variant_dict_insert (&dict, "failed", "u", self->counts[CHECK_FAILED]);
  g_variant_dict_insert (&dict, "skipped", "u", self->counts[CHECK_SKIPPED]);
  g_variant_dict_insert_value (&dict, "checks", g_variant_builder_end (&checks));
  return g_variant_dict_end (&dict);
}

static void
print (const Verify *self)
{
  static const CommyTone tones[] = { COMMY_TONE_GOOD, COMMY_TONE_BAD, COMMY_TONE_FAINT };
  g_autoptr (CommyTable) table = commy_table_new ("CHECK", "RESULT", "WHY", NULL);
  g_autofree char *why
      = commy_output_clean (self->unconfined != NULL ? self->unconfined : "", FALSE);
  g_autofree char *kind = commy_output_clean (self->kind != NULL ? self->kind : "?", FALSE);
  g_autofree char *id = commy_output_clean (self->id != NULL ? self->id : "?", FALSE);

  for (guint i = 0; i < self->checks->len; i++)
    {
      const Check *check = g_ptr_array_index (self->checks, i);

      commy_table_add (table, check->name);
      commy_table_add_toned (table, result_to_string (check->result), tones[check->result]);
      commy_table_add (table, check->detail);
    }
  commy_table_print (table);
  if (self->unconfined != NULL)
    commy_output_print ("unconfined: %s\n", why);
  commy_output_print ("%s/%s: %u passed, %u failed, %u skipped\n", kind, id, self->counts[CHECK_OK],
                      self->counts[CHECK_FAILED], self->counts[CHECK_SKIPPED]);
}

static gboolean
run (Verify *self, CommyCli *cli, GError **error)
{
  const char *arguments[] = { "inspect", self->path, NULL };
  g_auto (CommyToolRun) inspection = { 0 };

  if (!commy_tool_run (arguments, self->work->seconds, &inspection, error))
    return FALSE;
  read_inspection (self, &inspection);
  /* What exports too much can still be tried; what did not load cannot. */
  if (strstr (inspection.output, "\nstep\tsymbols\n") == NULL)
    return TRUE;
  if (self->is_hook)
    self->wrapped = dup_transport (self->work->on, cli->mesh);
  return run_rules (self, error) && check_claim (self, error);
}

CommyExit
commy_plugin_verify (CommyCli *cli, const char *path, const CommyPluginWork *work)
{
  g_auto (Verify) self = { .work = work,
                           .path = g_canonicalize_filename (path, NULL),
                           .checks = g_ptr_array_new_with_free_func (check_free) };
  g_autoptr (GError) error = NULL;

  if (!g_file_test (self.path, G_FILE_TEST_IS_REGULAR))
    {
      commy_cli_note ("%s: there is no such file", path);
      return COMMY_EXIT_NOT_FOUND;
    }
  if (!run (&self, cli, &error))
    return commy_cli_fail (error);
  if (cli->json)
    commy_output_json (to_record (&self));
  else
    print (&self);
  return self.counts[CHECK_FAILED] == 0 ? COMMY_EXIT_DONE : COMMY_EXIT_FAILED;
}
