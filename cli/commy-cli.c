/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What all verbs share: parsing options alike, telling errors alike, joining the mesh.
 */
#include "config.h"

#include "cli/commy-cli.h"

#include "cli/commy-output.h"

#include <glib/gi18n.h>
#include <stdio.h>
#include <string.h>

#define READ_STEP 65536u

static void
print_error (const char *who, const char *text, const char *hint)
{
  g_autofree char *clean = commy_output_clean (text, TRUE);

  fprintf (stderr, "%s: %s%s\n", who, clean, hint);
}

static char *
complete_description (const CommyCliVerb *verb)
{
  return g_strdup_printf ("%s\n\n%s", _ (verb->description), _ (COMMY_CLI_EXIT_CODES));
}

static GOptionContext *
make_context (CommyCli *cli, const CommyCliVerb *verb, const GOptionEntry *entries)
{
  const GOptionEntry mesh[] = {
    { "mesh", 0, 0, G_OPTION_ARG_STRING, &cli->mesh, N_ ("Name of the mesh (\"default\")"),
      "NAME" },
    { NULL },
  };
  const GOptionEntry format[] = {
    { "output", 'o', 0, G_OPTION_ARG_STRING, &cli->format,
      verb->more_format == NULL ? N_ ("table or json") : N_ ("table, json or xml"), "FORMAT" },
    { NULL },
  };
  GOptionContext *context = g_option_context_new (verb->usage);
  g_autofree char *description = complete_description (verb);

  if (entries != NULL)
    g_option_context_add_main_entries (context, entries, NULL);
  if (verb->has_format)
    g_option_context_add_main_entries (context, format, NULL);
  g_option_context_add_main_entries (context, mesh, NULL);
  g_option_context_set_summary (context, _ (verb->summary));
  g_option_context_set_translation_domain (context, GETTEXT_PACKAGE);
  g_option_context_set_description (context, description);
  return context;
}

/* The parser leaves the "--" behind which arguments may begin with "-". */
static void
remove_separator (char **arguments)
{
  for (guint i = 1; arguments[i] != NULL; i++)
    if (strcmp (arguments[i], "--") == 0)
      {
        g_free (arguments[i]);
        memmove (arguments + i, arguments + i + 1,
                 (g_strv_length (arguments + i + 1) + 1) * sizeof *arguments);
        return;
      }
}

static gboolean
is_format (const CommyCliVerb *verb, const char *format)
{
  return format == NULL || strcmp (format, "table") == 0 || strcmp (format, "json") == 0
         || g_strcmp0 (format, verb->more_format) == 0;
}

static gboolean
has_option (const GOptionEntry *entries, const char *name)
{
  for (guint i = 0; entries != NULL && entries[i].long_name != NULL; i++)
    if (strcmp (entries[i].long_name, name) == 0)
      return TRUE;
  return FALSE;
}

/* "--watch=1s" is short for "--watch --every=1s". (transfer full) */
static char **
expand_watch (const GOptionEntry *entries, char **argv)
{
  GPtrArray *words = g_ptr_array_new ();
  gboolean expands = has_option (entries, "watch") && has_option (entries, "every");

  for (guint i = 0; argv[i] != NULL; i++)
    {
      expands = expands && strcmp (argv[i], "--") != 0;
      if (expands && g_str_has_prefix (argv[i], "--watch="))
        {
          g_ptr_array_add (words, g_strdup ("--watch"));
          g_ptr_array_add (words, g_strconcat ("--every=", argv[i] + strlen ("--watch="), NULL));
        }
      else
        g_ptr_array_add (words, g_strdup (argv[i]));
    }
  g_ptr_array_add (words, NULL);
  return (char **) g_ptr_array_free (words, FALSE);
}

char **
commy_cli_parse (CommyCli *cli, const CommyCliVerb *verb, const GOptionEntry *entries, char **argv)
{
  g_autoptr (GOptionContext) context = make_context (cli, verb, entries);
  g_auto (GStrv) arguments = expand_watch (entries, argv);
  g_autofree char *program = g_strconcat ("commy ", verb->name, NULL);
  g_autoptr (GError) error = NULL;

  g_set_prgname (program);
  if (!g_option_context_parse_strv (context, &arguments, &error))
    {
      commy_cli_misuse (verb, "%s", error->message);
      return NULL;
    }
  remove_separator (arguments);
  cli->json = g_strcmp0 (cli->format, "json") == 0;
  if (!is_format (verb, cli->format))
    {
      commy_cli_misuse (verb, "--output is table, json%s%s: not \"%s\"",
                        verb->more_format != NULL ? ", " : "",
                        verb->more_format != NULL ? verb->more_format : "", cli->format);
      return NULL;
    }
  return g_steal_pointer (&arguments);
}

static CommyExit
exit_for (const GError *error)
{
  if (error->domain == G_OPTION_ERROR)
    return COMMY_EXIT_USAGE;
  if (error->domain != COMMY_ERROR)
    return COMMY_EXIT_FAILED;
  switch (error->code)
    {
    case COMMY_ERROR_INVALID_ARGUMENT:
    case COMMY_ERROR_CONFIG:
    case COMMY_ERROR_CONFIG_UNKNOWN:
    case COMMY_ERROR_CONFIG_VALUE:
    case COMMY_ERROR_PLUGIN_PARAM:
      return COMMY_EXIT_USAGE;
    case COMMY_ERROR_NO_SERVICE:
    case COMMY_ERROR_NO_METHOD:
      return COMMY_EXIT_NOT_FOUND;
    case COMMY_ERROR_NO_ROUTE:
    case COMMY_ERROR_REQUIREMENT:
    case COMMY_ERROR_REFUSED:
    case COMMY_ERROR_DENIED:
    case COMMY_ERROR_NOT_OFFERED:
    case COMMY_ERROR_CERTIFICATE:
    case COMMY_ERROR_JOIN:
      return COMMY_EXIT_DENIED;
    case COMMY_ERROR_DEADLINE:
      return COMMY_EXIT_DEADLINE;
    default:
      return COMMY_EXIT_FAILED;
    }
}

void
commy_cli_json (const CommyCli *cli, GVariant *value)
{
  g_autofree char *text = commy_output_to_json (value, !cli->lines);

  commy_output_print ("%s\n", text);
}

CommyExit
commy_cli_fail (const GError *error)
{
  print_error ("commy", error->message, "");
  return exit_for (error);
}

CommyExit
commy_cli_misuse (const CommyCliVerb *verb, const char *format, ...)
{
  g_autofree char *text = NULL;
  g_autofree char *who = g_strdup_printf ("commy: %s", verb->name);
  g_autofree char *hint = g_strdup_printf (_ (" (see commy %s --help)"), verb->name);
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (g_dgettext (GETTEXT_PACKAGE, format), args);
  va_end (args);
  print_error (who, text, hint);
  return COMMY_EXIT_USAGE;
}

void
commy_cli_note (const char *format, ...)
{
  g_autofree char *text = NULL;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (g_dgettext (GETTEXT_PACKAGE, format), args);
  va_end (args);
  print_error ("commy", text, "");
}

void
commy_cli_set_error (GError **error, CommyError code, const char *format, ...)
{
  g_autofree char *text = NULL;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (g_dgettext (GETTEXT_PACKAGE, format), args);
  va_end (args);
  g_set_error (error, COMMY_ERROR, code, "CMY%04d: %s", (int) code, text);
}

static GBytes *
read_stdin (GError **error)
{
  GByteArray *all = g_byte_array_new ();
  gsize got;

  do
    {
      guint old = all->len;

      g_byte_array_set_size (all, old + READ_STEP);
      got = fread (all->data + old, 1, READ_STEP, stdin);
      g_byte_array_set_size (all, old + (guint) got);
    }
  while (got > 0 && all->len < G_MAXUINT32 / 2);
  if (ferror (stdin) || got > 0)
    {
      commy_cli_set_error (error, COMMY_ERROR_FAILED, "cannot read the standard input%s",
                           got > 0 ? ": more than 2 GiB" : "");
      g_byte_array_unref (all);
      return NULL;
    }
  return g_byte_array_free_to_bytes (all);
}

GBytes *
commy_cli_read_file (const char *path, GError **error)
{
  char *data;
  gsize size;

  if (strcmp (path, "-") == 0)
    return read_stdin (error);
  if (!g_file_get_contents (path, &data, &size, error))
    return NULL;
  return g_bytes_new_take (data, size);
}

CommyMesh *
commy_cli_join (CommyCli *cli, GError **error)
{
  g_autoptr (CommyMesh) mesh = commy_mesh_new (cli->mesh, error);

  if (mesh == NULL || !commy_mesh_join_sync (mesh, NULL, error))
    return NULL;
  return g_steal_pointer (&mesh);
}

static gboolean
is_about_keyfiles (const GError *error)
{
  return g_error_matches (error, COMMY_ERROR, COMMY_ERROR_CONFIG)
         || g_error_matches (error, COMMY_ERROR, COMMY_ERROR_CONFIG_UNKNOWN)
         || g_error_matches (error, COMMY_ERROR, COMMY_ERROR_CONFIG_VALUE);
}

CommyMesh *
commy_cli_join_anyway (CommyCli *cli, GError **error)
{
  g_autoptr (GError) cause = NULL;
  g_autoptr (CommyMesh) mesh = commy_cli_join (cli, &cause);

  if (mesh != NULL)
    return g_steal_pointer (&mesh);
  if (is_about_keyfiles (cause))
    mesh = commy_mesh_new_without_policy (cli->mesh, NULL);
  if (mesh == NULL || !commy_mesh_join_sync (mesh, NULL, NULL))
    {
      g_propagate_error (error, g_steal_pointer (&cause));
      return NULL;
    }
  commy_cli_note ("%s; this goes on without the rules of the keyfiles", cause->message);
  return g_steal_pointer (&mesh);
}
