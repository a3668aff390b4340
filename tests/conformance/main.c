/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * commy-conformance: what `commy plugin verify` and `bench` run for a plugin file, in a process
 * that may end in any way. `inspect` loads it under a filter of system calls and looks; `suite` is
 * the GTest program of its rules; `measure` says what messages cost. Lines of "WORD TAB TEXT" tell
 * how far it came.
 */
#include "config.h"

#include "commy-confine.h"
#include "commy-conformance.h"
#include "commy-measure.h"

#include <commy/commy.h>
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void tell (const char *word, const char *format, ...) G_GNUC_PRINTF (2, 3);

/* One line, at once: the next step may be the last. */
static void
tell (const char *word, const char *format, ...)
{
  g_autofree char *text = NULL;
  va_list arguments;

  va_start (arguments, format);
  text = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  g_strdelimit (text, "\t\n", ' ');
  printf ("%s\t%s\n", word, text);
  fflush (stdout);
}

/* --- inspect --- */

/* How many symbols the table has: the highest one of the hash table's chains. */
static guint
count_symbols (const guint32 *gnu_hash)
{
  guint32 n_buckets = gnu_hash[0], first = gnu_hash[1], n_words = gnu_hash[2], last = 0;
  const guint32 *buckets = gnu_hash + 4 + n_words * (sizeof (ElfW (Addr)) / sizeof (guint32));
  const guint32 *chains = buckets + n_buckets;

  for (guint32 i = 0; i < n_buckets; i++)
    last = MAX (last, buckets[i]);
  if (last < first)
    return first;
  while ((chains[last - first] & 1) == 0)
    last++;
  return last + 1;
}

static gboolean
is_strange (const char *name)
{
  /* Sanitizers and coverage add symbols of their own. */
  return name[0] != '_' && strcmp (name, COMMY_QUERY_SYMBOL) != 0 && strstr (name, "asan") == NULL
         && strstr (name, "ubsan") == NULL && strstr (name, "gcov") == NULL;
}

/* What the file exports beside the query symbol, or NULL. */
static char *
dup_strange_exports (const char *path)
{
  gpointer library = dlopen (path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  struct link_map *map = NULL;
  const ElfW (Sym) *symbols = NULL;
  const char *strings = NULL;
  const guint32 *hash = NULL;
  g_autoptr (GString) names = g_string_new (NULL);

  if (library == NULL || dlinfo (library, RTLD_DI_LINKMAP, &map) != 0)
    return NULL;
  for (const ElfW (Dyn) *entry = map->l_ld; entry->d_tag != DT_NULL; entry++)
    if (entry->d_tag == DT_SYMTAB)
      symbols = (gconstpointer) entry->d_un.d_ptr;
    else if (entry->d_tag == DT_STRTAB)
      strings = (gconstpointer) entry->d_un.d_ptr;
    else if (entry->d_tag == DT_GNU_HASH)
      hash = (gconstpointer) entry->d_un.d_ptr;
  if (symbols == NULL || strings == NULL || hash == NULL)
    return NULL;
  for (guint i = 1, n = count_symbols (hash); i < n; i++)
    if (symbols[i].st_shndx != SHN_UNDEF && is_strange (strings + symbols[i].st_name))
      g_string_append_printf (names, "%s%s", names->len > 0 ? ", " : "",
                              strings + symbols[i].st_name);
  return names->len > 0 ? g_string_free (g_steal_pointer (&names), FALSE) : NULL;
}

/* To which of the steps an error of loading belongs; those before it went well. */
static const char *
step_of (const GError *error)
{
  switch ((CommyError) error->code)
    {
    case COMMY_ERROR_PLUGIN_MISMATCH:
    case COMMY_ERROR_PLUGIN_SLOT:
      return "descriptor";
    case COMMY_ERROR_PLUGIN_PARAM:
      return "parameters";
    case COMMY_ERROR_PLUGIN_PROFILE:
      return "profile";
    default:
      return "load";
    }
}

static void
tell_note (GVariant *record)
{
  const char *kind = "", *id = "", *version = "";
  gboolean hook = FALSE;

  g_variant_lookup (record, "kind", "&s", &kind);
  g_variant_lookup (record, "id", "&s", &id);
  g_variant_lookup (record, "version", "&s", &version);
  g_variant_lookup (record, "hook", "b", &hook);
  tell ("kind", "%s", kind);
  tell ("id", "%s", id);
  tell ("version", "%s", version);
  tell ("hook", "%s", hook ? "true" : "false");
  tell ("pass", "note");
  tell ("pass", "profile");
}

/* The message without its number, which says the code to people who look it up. */
static int
tell_failure (const char *step, const GError *error)
{
  tell ("fail", "%s: %s", step, error->message);
  return EXIT_FAILURE;
}

static int
inspect (const char *path)
{
  static const char *const steps[] = { "load", "descriptor", "parameters" };
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) note = NULL;
  g_autoptr (GVariant) record = NULL;
  g_autofree char *strange = NULL;

  commy_confine_limits ();
  tell ("step", "note");
  note = commy_plugin_inspect (path, FALSE, &error);
  if (note == NULL)
    return tell_failure (error->code == COMMY_ERROR_PLUGIN_PROFILE ? "profile" : "note", error);
  tell_note (note);
  if (!commy_confine_system_calls (&error))
    tell ("unconfined", "%s", error->message);
  g_clear_error (&error);
  tell ("step", "load");
  record = commy_plugin_inspect (path, TRUE, &error);
  for (gsize i = 0; i < G_N_ELEMENTS (steps); i++)
    {
      if (error != NULL && strcmp (steps[i], step_of (error)) == 0)
        return tell_failure (steps[i], error);
      tell ("pass", "%s", steps[i]);
    }
  tell ("step", "symbols");
  strange = dup_strange_exports (path);
  if (strange != NULL)
    tell ("fail", "symbols: it exports more than " COMMY_QUERY_SYMBOL ": %s", strange);
  else
    tell ("pass", "symbols");
  return strange != NULL ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* --- suite and measure --- */

typedef struct
{
  CommyConformanceOptions conformance;
  GPtrArray *params;
  char *wrapped, *credentials;
  gboolean confine;
} Options;

/* --param, --on, --credentials and --confine; what is left is GTest's. */
static gboolean
parse (Options *self, int *argc, char ***argv, GError **error)
{
  g_auto (GStrv) params = NULL;
  const GOptionEntry entries[] = {
    { "param", 0, 0, G_OPTION_ARG_STRING_ARRAY, &params, NULL, NULL },
    { "on", 0, 0, G_OPTION_ARG_FILENAME, &self->wrapped, NULL, NULL },
    { "credentials", 0, 0, G_OPTION_ARG_FILENAME, &self->credentials, NULL, NULL },
    { "confine", 0, 0, G_OPTION_ARG_NONE, &self->confine, NULL, NULL },
    { NULL },
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);

  g_option_context_add_main_entries (context, entries, NULL);
  g_option_context_set_help_enabled (context, FALSE);
  g_option_context_set_ignore_unknown_options (context, TRUE);
  if (!g_option_context_parse (context, argc, argv, error))
    return FALSE;
  for (guint i = 0; params != NULL && params[i] != NULL; i++)
    g_ptr_array_add (self->params, g_strdup (params[i]));
  g_ptr_array_add (self->params, NULL);
  self->conformance.params = (const char *const *) self->params->pdata;
  self->conformance.wrapped = self->wrapped;
  self->conformance.credentials = self->credentials;
  return TRUE;
}

static const CommyPluginDescriptor *
load (Options *options, GError **error)
{
  g_autoptr (GError) refused = NULL;

  if (options->confine)
    commy_confine_limits ();
  if (options->confine && !commy_confine_namespaces (&refused))
    g_printerr ("unconfined\t%s\n", refused->message);
  return commy_test_load ("plugin", options->conformance.path, error);
}

static int
suite (Options *options, int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  const CommyPluginDescriptor *descriptor = load (options, &error);

  if (descriptor == NULL)
    return tell_failure ("load", error);
  g_test_init (&argc, &argv, NULL);
  commy_conformance_add (descriptor, &options->conformance);
  return g_test_run ();
}

static int
measure (Options *options)
{
  g_autoptr (GError) error = NULL;
  const CommyPluginDescriptor *descriptor = load (options, &error);
  CommyMeasurement measurement;

  if (descriptor == NULL
      || !commy_measure (descriptor, &options->conformance, G_GINT64_CONSTANT (1000000000),
                         &measurement, &error))
    return tell_failure ("measure", error);
  tell ("connect", "%.0f", measurement.connect_ns);
  for (guint i = 0; i < measurement.n_sizes; i++)
    {
      const CommyMeasuredSize *size = &measurement.sizes[i];

      tell ("size", "%" G_GSIZE_FORMAT " %u %.0f %.0f %.0f %.0f", size->size, size->n,
            size->latency_ns, size->send_ns, size->recv_ns, size->claim_ns);
    }
  tell ("contradicts", "%s", commy_measurement_contradicts (&measurement) ? "true" : "false");
  return EXIT_SUCCESS;
}

int
main (int argc, char **argv)
{
  Options options = { 0 };
  g_autoptr (GError) error = NULL;
  g_autofree char *path = NULL;
  int status = 2;

  if (commy_conformance_child (argc, argv, &status))
    return status;
  options.params = g_ptr_array_new_with_free_func (g_free);
  g_set_prgname ("commy-conformance");
  if (argc < 3 || !parse (&options, &argc, &argv, &error))
    {
      g_printerr (
          "usage: commy-conformance inspect|suite|measure PLUGIN [--confine] [--on TRANSPORT] "
          "[--param NAME=VALUE]... [--credentials FOLDER] [GTEST OPTION]...\n");
      return 2;
    }
  path = g_canonicalize_filename (argv[2], NULL);
  options.conformance.path = path;
  if (strcmp (argv[1], "inspect") == 0)
    status = inspect (path);
  else if (strcmp (argv[1], "suite") == 0)
    status = suite (&options, argc, argv);
  else if (strcmp (argv[1], "measure") == 0)
    status = measure (&options);
  fflush (NULL);
  /* Destructors of what was looked at do not run. */
  _exit (status);
}
