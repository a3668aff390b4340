/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `commy __complete WORD...`: what the last word may become, one candidate a line, for the
 * completion of a shell. Verbs come from their table, everything about a verb from its own --help,
 * so that nothing has to be kept in step; names come from the mesh. ":files" stands for the names
 * of files, which the shell knows better.
 */
#include "config.h"

#include "cli/commy-cmd.h"
#include "cli/commy-doctor.h"
#include "cli/commy-help.h"
#include "cli/commy-interface.h"
#include "cli/commy-lookup.h"
#include "cli/commy-output.h"

#include <string.h>

typedef struct
{
  CommyCli *cli;
  GPtrArray *words; /* without options for all, and "=" apart; the last one is completed */
  const char *current;
  char *help; /* of the verb, in English; "" if there is none */
  CommyMesh *mesh;
} Completion;

/* What another process calls itself must not become a command when it is pasted into a line. */
static void
offer (Completion *self, const char *candidate)
{
  static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/-+@";

  if (candidate[0] != '\0' && candidate[strspn (candidate, safe)] == '\0'
      && g_str_has_prefix (candidate, self->current))
    commy_output_print ("%s\n", candidate);
}

/* --- the help of a verb --- */

static char *
ask_help (const char *verb)
{
  const char *argv[] = { "/proc/self/exe", verb, "--help", NULL };
  g_auto (GStrv) env = g_get_environ ();
  char *text = NULL;

  env = g_environ_setenv (env, "LC_ALL", "C.UTF-8", TRUE);
  env = g_environ_setenv (env, "LANGUAGE", "C", TRUE);
  if (!g_spawn_sync (NULL, (char **) argv, env, G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL, &text, NULL,
                     NULL, NULL))
    return g_strdup ("");
  return text;
}

/* "  -o, --output=FORMAT   table or json": @option is "--output" or "-o". Whether @line tells
 * of it; (transfer full): what it takes, "" for nothing, and the words behind. */
static gboolean
parse_option (const char *line, const char *option, char **out_takes, char **out_words)
{
  g_autoptr (GRegex) regex
      = g_regex_new ("^  (?:(-\\w), )?(--[\\w-]+)(?:=(\\S+))?(?:\\s+(.*))?$", 0, 0, NULL);
  g_autoptr (GMatchInfo) match = NULL;
  g_autofree char *brief = NULL;
  g_autofree char *full = NULL;

  if (!g_regex_match (regex, line, 0, &match))
    return FALSE;
  brief = g_match_info_fetch (match, 1);
  full = g_match_info_fetch (match, 2);
  if (option != NULL && g_strcmp0 (brief, option) != 0 && strcmp (full, option) != 0)
    return FALSE;
  *out_takes = option != NULL ? g_match_info_fetch (match, 3) : g_strdup (full);
  *out_words = g_match_info_fetch (match, 4);
  return TRUE;
}

/* Whether the verb has it; see parse_option(). */
static gboolean
find_option (Completion *self, const char *option, char **out_takes, char **out_words)
{
  g_auto (GStrv) lines = g_strsplit (self->help, "\n", -1);

  for (guint i = 0; lines[i] != NULL; i++)
    if (parse_option (lines[i], option, out_takes, out_words))
      return TRUE;
  return FALSE;
}

static void
offer_options (Completion *self)
{
  g_auto (GStrv) lines = g_strsplit (self->help, "\n", -1);

  for (guint i = 0; lines[i] != NULL; i++)
    {
      g_autofree char *name = NULL;
      g_autofree char *words = NULL;

      if (parse_option (lines[i], NULL, &name, &words))
        offer (self, name);
    }
}

/* (transfer full): the alternatives of what stands behind the options, "ls [PATTERN]" and so on */
static char **
dup_usages (Completion *self)
{
  const char *begin = strstr (self->help, "] ");
  const char *end = begin != NULL ? strchr (begin, '\n') : NULL;
  g_autofree char *line = end != NULL ? g_strndup (begin + 2, (gsize) (end - begin - 2)) : NULL;
  char *title;

  if (line == NULL)
    return g_new0 (char *, 1);
  title = strstr (line, " - ");
  if (title != NULL)
    *title = '\0';
  return g_strsplit (line, "|", -1);
}

/* --- names --- */

static CommyMesh *
get_mesh (Completion *self)
{
  if (self->mesh == NULL)
    self->mesh = commy_cli_join (self->cli, NULL);
  return self->mesh;
}

/* @key: a member of the records of instances; @digits: as many characters, or all */
static void
offer_instances (Completion *self, const char *key, gboolean reserved, guint digits)
{
  CommyMesh *mesh = get_mesh (self);
  g_autoptr (GPtrArray) instances
      = mesh != NULL ? commy_lookup_instances (mesh, NULL, reserved, NULL) : NULL;
  g_autoptr (GHashTable) seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);

  for (guint i = 0; instances != NULL && i < instances->len; i++)
    {
      const char *text = commy_record_get_string (instances->pdata[i], key);
      char *name = digits > 0 ? g_strndup (text, digits) : g_strdup (text);

      if (g_hash_table_add (seen, name))
        offer (self, name);
    }
}

static void
offer_methods (Completion *self, const char *service)
{
  CommyMesh *mesh = get_mesh (self);
  g_autoptr (GPtrArray) instances
      = mesh != NULL ? commy_lookup_instances (mesh, service, TRUE, NULL) : NULL;
  g_autoptr (GVariant) interface = instances != NULL && instances->len > 0
                                       ? commy_interface_ask (mesh, instances->pdata[0], NULL)
                                       : NULL;
  g_auto (GStrv) methods = interface != NULL ? commy_interface_dup_methods (interface) : NULL;

  for (guint i = 0; methods != NULL && methods[i] != NULL; i++)
    offer (self, methods[i]);
}

/* @kind: of these plugins the ids; NULL: kind/id of all */
static void
offer_plugins (Completion *self, const char *kind)
{
  g_autoptr (CommyMesh) mesh = commy_mesh_new (self->cli->mesh, NULL);
  g_autoptr (GVariant) plugins = mesh != NULL ? commy_mesh_list_plugins (mesh) : NULL;
  gsize n = plugins != NULL ? g_variant_n_children (plugins) : 0;

  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) plugin = g_variant_get_child_value (plugins, i);
      const char *its_kind = commy_record_get_string (plugin, "kind");
      const char *id = commy_record_get_string (plugin, "id");
      g_autofree char *full = g_strconcat (its_kind, "/", id, NULL);

      if (kind == NULL)
        offer (self, full);
      else if (strcmp (kind, its_kind) == 0)
        offer (self, id);
    }
}

static void
offer_groups (Completion *self)
{
  g_autoptr (CommyMesh) mesh = commy_mesh_new (self->cli->mesh, NULL);
  g_autoptr (GVariant) settings = mesh != NULL ? commy_mesh_list_settings (mesh) : NULL;
  g_autoptr (GHashTable) seen = g_hash_table_new (g_str_hash, g_str_equal);
  GVariantIter iter;
  const char *group;

  if (settings == NULL)
    return;
  g_variant_iter_init (&iter, settings);
  while (g_variant_iter_next (&iter, "(&s&s&s&s)", &group, NULL, NULL, NULL))
    if (g_hash_table_add (seen, (gpointer) group))
      offer (self, group);
}

static void
offer_verbs (Completion *self)
{
  guint n;
  const CommyVerb *verbs = commy_verbs (&n);

  for (guint i = 0; i < n; i++)
    if (verbs[i].task != COMMY_TASK_HIDDEN)
      offer (self, verbs[i].name);
}

static void
offer_pages (Completion *self)
{
  guint n_topics, n_errors;
  const CommyHelpTopic *topics = commy_help_topics (&n_topics);
  const CommyHelpError *errors = commy_help_errors (&n_errors);

  for (guint i = 0; i < n_topics; i++)
    offer (self, topics[i].name);
  offer (self, "errors");
  offer (self, "checks");
  for (guint i = 0; i < n_errors; i++)
    {
      g_autofree char *number = g_strdup_printf ("CMY%04d", errors[i].code);

      if (commy_error_explain (errors[i].code) != NULL)
        offer (self, number);
    }
}

static void
offer_checks (Completion *self)
{
  guint n;
  const CommyDoctorCheck *checks = commy_doctor_checks (&n);

  for (guint i = 0; i < n; i++)
    offer (self, checks[i].code);
}

/* "show: text or json", "table, xml or json" */
static void
offer_formats (Completion *self, const char *words)
{
  const char *colon = strstr (words, ": ");
  g_auto (GStrv) names = g_strsplit_set (colon != NULL ? colon + 2 : words, ", ", -1);

  for (guint i = 0; names[i] != NULL; i++)
    if (strcmp (names[i], "or") != 0)
      offer (self, names[i]);
}

/* --- what the word is --- */

/* Topics that are published, where a verb takes one: it is their names without what tells them from
 * services. */
static gboolean
offer_topics (Completion *self, const char *kind)
{
  const char *verb = self->words->pdata[0];
  CommyMesh *mesh;
  g_autoptr (GPtrArray) instances = NULL;

  if ((strcmp (verb, "publish") != 0 || strcmp (kind, "TOPIC") != 0)
      && (strcmp (verb, "subscribe") != 0 || strcmp (kind, "PATTERN") != 0))
    return FALSE;
  mesh = get_mesh (self);
  instances = mesh != NULL ? commy_lookup_instances (mesh, "topic:*", TRUE, NULL) : NULL;
  for (guint i = 0; instances != NULL && i < instances->len; i++)
    offer (self, commy_record_get_string (instances->pdata[i], "service") + strlen ("topic:"));
  return TRUE;
}

/* @kind: the word in capitals that the help has in its place; @words: behind it, or "" */
static void
offer_kind (Completion *self, const char *kind, const char *words, const char *before)
{
  if (offer_topics (self, kind))
    return;
  if (strcmp (kind, "SERVICE") == 0 || strcmp (kind, "PATTERN") == 0)
    offer_instances (self, "service", FALSE, 0);
  else if (strcmp (kind, "METHOD") == 0)
    offer_methods (self, before);
  else if (strcmp (kind, "INSTANCE") == 0)
    offer_instances (self, "instance", FALSE, COMMY_LOOKUP_SHORT);
  else if (strcmp (kind, "NODE") == 0)
    {
      offer_instances (self, "service", FALSE, 0);
      offer_instances (self, "node", TRUE, COMMY_LOOKUP_SHORT);
    }
  else if (strcmp (kind, "ID") == 0 && before == NULL)
    offer_plugins (self, "transport");
  else if (strcmp (kind, "TRANSPORT") == 0)
    offer_plugins (self, "transport");
  else if (strcmp (kind, "KIND/") == 0 || strcmp (kind, "ID") == 0)
    offer_plugins (self, NULL);
  else if (strcmp (kind, "GROUP") == 0)
    offer_groups (self);
  else if (strcmp (kind, "FORMAT") == 0)
    offer_formats (self, words);
  else if (strcmp (kind, "VERB") == 0)
    offer_verbs (self);
  else if (strcmp (kind, "TOPIC") == 0)
    offer_pages (self);
  else if (g_str_has_prefix (kind, "D0"))
    offer_checks (self);
  else if (strcmp (kind, "OLD") == 0 || strcmp (kind, "NEW") == 0 || strcmp (kind, "SOURCE") == 0)
    {
      offer_instances (self, "service", FALSE, 0);
      commy_output_print (":files\n");
    }
  else if (strcmp (kind, "FILE") == 0 || strcmp (kind, "DIR") == 0)
    commy_output_print (":files\n");
}

/* Words of one alternative without brackets and dots. */
static char **
split_usage (const char *usage)
{
  g_autofree char *bare = g_strdup (usage);

  g_strdelimit (bare, "[].", ' ');
  g_strstrip (bare);
  {
    g_autoptr (GRegex) blanks = g_regex_new (" +", 0, 0, NULL);

    return g_regex_split (blanks, bare, 0);
  }
}

/* @given: the words behind the verb that are no options, without the current one. */
static void
offer_argument (Completion *self, GPtrArray *given)
{
  g_auto (GStrv) usages = dup_usages (self);

  for (guint i = 0; usages[i] != NULL; i++)
    {
      g_auto (GStrv) parts = split_usage (usages[i]);
      guint n = g_strv_length (parts), at = given->len;
      gboolean sub = n > 0 && g_ascii_islower (parts[0][0]);

      if (n == 0)
        continue;
      if (sub && at == 0)
        offer (self, parts[0]);
      if (sub && (at == 0 || strcmp (given->pdata[0], parts[0]) != 0))
        continue;
      /* The last one of a usage may stand there again: FILE... */
      if (at >= n && strstr (usages[i], "...") == NULL)
        continue;
      offer_kind (self, parts[MIN (at, n - 1)], "", at > 0 ? given->pdata[at - 1] : "");
    }
}

static void
complete (Completion *self)
{
  g_autoptr (GPtrArray) given = g_ptr_array_new ();
  guint last = self->words->len - 1;
  g_autofree char *takes = NULL;
  g_autofree char *words = NULL;

  for (guint i = 1; i < last; i++)
    {
      const char *word = self->words->pdata[i];

      g_clear_pointer (&takes, g_free);
      g_clear_pointer (&words, g_free);
      if (word[0] != '-')
        g_ptr_array_add (given, (gpointer) word);
      else if (find_option (self, word, &takes, &words) && takes != NULL && takes[0] != '\0')
        {
          if (i + 1 == last)
            {
              offer_kind (self, takes, words, NULL);
              return;
            }
          i++;
        }
    }
  if (self->current[0] == '-')
    offer_options (self);
  else
    offer_argument (self, given);
}

/* --- the words --- */

/* Shells cut "--of=x" in three; what is for all verbs is taken out. */
static GPtrArray *
take_words (CommyCli *cli, char **argv)
{
  GPtrArray *words = g_ptr_array_new ();
  guint n = g_strv_length (argv);

  for (guint i = 1; i < n; i++)
    {
      if (strcmp (argv[i], "=") == 0 && i + 1 < n)
        continue;
      if (words->len == 0 && strcmp (argv[i], "--mesh") == 0 && i + 2 < n)
        {
          i += strcmp (argv[i + 1], "=") == 0 && i + 3 < n ? 2 : 1;
          g_free (cli->mesh);
          cli->mesh = g_strdup (argv[i]);
          continue;
        }
      g_ptr_array_add (words, strcmp (argv[i], "=") == 0 ? (gpointer) "" : argv[i]);
    }
  if (words->len == 0)
    g_ptr_array_add (words, (gpointer) "");
  return words;
}

CommyExit
commy_cmd_complete (CommyCli *cli, char **argv)
{
  g_autoptr (GPtrArray) words = take_words (cli, argv);
  Completion self = { .cli = cli, .words = words, .current = words->pdata[words->len - 1] };
  const CommyVerb *verb = commy_verbs_find (words->pdata[0]);

  if (words->len == 1)
    {
      offer_verbs (&self);
      for (guint i = 0; i < 3 && self.current[0] == '-'; i++)
        offer (&self, ((const char *const[]){ "--mesh", "--version", "--help" })[i]);
      return COMMY_EXIT_DONE;
    }
  if (verb == NULL || verb->task == COMMY_TASK_HIDDEN)
    return COMMY_EXIT_DONE;
  self.help = ask_help (verb->name);
  complete (&self);
  g_free (self.help);
  g_clear_object (&self.mesh);
  return COMMY_EXIT_DONE;
}
