/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `commy codegen`: typed proxies and skeletons in C from introspection XML, with the options of
 * gdbus-codegen.
 */
#include "config.h"

#include "cli/codegen/commy-codegen.h"
#include "cli/commy-cmd.h"
#include "cli/commy-output.h"

#include <string.h>

static const CommyCliVerb verb = {
  .name = "codegen",
  .usage = "FILE...",
  .summary = N_ (
      "Makes C code from D-Bus introspection XML: for each interface a proxy that calls a service\n"
      "and a skeleton that offers one, as GObjects, with asynchronous and synchronous functions."),
  .description = N_ (
      "For those who know gdbus-codegen: the options are its own, and so are the names\n"
      "foo_call_bar(), _finish(), _sync(), foo_complete_bar(), foo_emit_baz(), the signals\n"
      "handle-bar, and which C type each type has. What is of Commy:\n"
      "  foo_proxy_new (mesh, service)       touches nothing; foo_proxy_subscribe() for signals,\n"
      "                                      foo_proxy_load() for properties\n"
      "  foo_skeleton_new_service (...)      a CommyService, to be started\n"
      "  org.freedesktop.DBus.Method.NoReply foo_send_bar(): one-way\n"
      "  org.commy.Stream                    foo_open_bar(): a CommyStream\n"
      "  org.commy.Idempotent                may be repeated after a failure\n"
      "  org.commy.Deadline                  how long calls take at most, such as 250ms\n"
      "  org.commy.Topic                     topic of a signal, else SERVICE.SIGNAL\n"
      "The code needs commy-1 (pkg-config) and nothing else.\n\n"
      "Example: echo-generated.c and echo-generated.h with ExampleEcho, ExampleEchoProxy and\n"
      "ExampleEchoSkeleton\n"
      "  commy codegen --interface-prefix org.example. --c-namespace Example \\\n"
      "    --generate-c-code echo-generated echo.xml\n"
      "  commy introspect org.example.Echo -o xml | commy codegen --header --output echo.h \\\n"
      "    /dev/stdin"),
};

typedef struct
{
  char *prefix;
  char *namespace;
  char *pair; /* basename of both */
  char *folder;
  char *output; /* of one of them */
  gboolean header;
  gboolean body;
  gboolean pragma_once;
} Options;

static void
options_clear (Options *options)
{
  g_free (options->prefix);
  g_free (options->namespace);
  g_free (options->pair);
  g_free (options->folder);
  g_free (options->output);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Options, options_clear)

/* --- reading --- */

static gboolean
add_file (CommyScope *scope,
          const char *path,
          const CommyCodegenNames *names,
          GHashTable *seen,
          GError **error)
{
  g_autofree char *text = NULL;
  g_autoptr (GDBusNodeInfo) node = NULL;
  g_autoptr (GError) cause = NULL;
  gsize size;

  if (!g_file_get_contents (path, &text, &size, &cause))
    {
      commy_cli_set_error (error, COMMY_ERROR_INVALID_ARGUMENT, "%s cannot be read: %s", path,
                           cause->message);
      return FALSE;
    }
  node = commy_schema_parse (text, (gssize) size, &cause);
  if (node == NULL)
    {
      g_propagate_prefixed_error (error, g_steal_pointer (&cause), "%s: ", path);
      return FALSE;
    }
  for (GDBusInterfaceInfo **at = node->interfaces; at != NULL && *at != NULL; at++)
    {
      /* What D-Bus describes at every object is no part of the service. */
      if (g_str_has_prefix ((*at)->name, "org.freedesktop.DBus."))
        continue;
      if (!g_hash_table_add (seen, g_strdup ((*at)->name)))
        {
          commy_cli_set_error (error, COMMY_ERROR_INVALID_ARGUMENT, "%s: %s is there twice", path,
                               (*at)->name);
          return FALSE;
        }
      if (!commy_codegen_add_interface (scope, *at, names, error))
        return FALSE;
    }
  return TRUE;
}

static gboolean
add_files (CommyScope *scope, char **paths, const CommyCodegenNames *names, GError **error)
{
  g_autoptr (GHashTable) seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autoptr (GString) sources = g_string_new (NULL);

  for (guint i = 0; paths[i] != NULL; i++)
    {
      g_autofree char *name = g_path_get_basename (paths[i]);

      if (!add_file (scope, paths[i], names, seen, error))
        return FALSE;
      g_string_append_printf (sources, "%s%s", i > 0 ? ", " : "", name);
    }
  if (g_hash_table_size (seen) == 0)
    {
      commy_cli_set_error (error, COMMY_ERROR_INVALID_ARGUMENT, "%s has no interface", paths[0]);
      return FALSE;
    }
  /* It becomes part of a comment. */
  commy_scope_take (scope, "sources",
                    g_strdelimit (g_string_free (g_steal_pointer (&sources), FALSE), "*\n", '_'));
  return TRUE;
}

/* --- writing --- */

static gboolean
write_to (const char *path, GString *text, GError **error)
{
  g_autoptr (GError) cause = NULL;

  if (strcmp (path, "-") == 0)
    {
      commy_output_write (text->str, text->len);
      return TRUE;
    }
  if (g_file_set_contents (path, text->str, (gssize) text->len, &cause))
    return TRUE;
  commy_cli_set_error (error, COMMY_ERROR_FAILED, "%s cannot be written: %s", path, cause->message);
  return FALSE;
}

static gboolean
write_one (const Options *options,
           CommyScope *scope,
           const char *const *lines,
           const char *name,
           GError **error)
{
  g_autoptr (GString) text = g_string_new (NULL);
  g_autofree char *path = options->folder != NULL && strcmp (name, "-") != 0
                              ? g_build_filename (options->folder, name, NULL)
                              : g_strdup (name);

  commy_template_expand (lines, scope, text);
  return write_to (path, text, error);
}

/* "out/a-b.h" -> "A_B_H" */
static char *
dup_guard (const char *header)
{
  g_autofree char *base = g_path_get_basename (header);
  g_autofree char *name = commy_codegen_dup_identifier (base);
  g_autofree char *guard = g_strdup_printf ("GENERATED_%s", name);

  return g_ascii_strup (guard, -1);
}

/* The name of the header that belongs to a body. */
static char *
dup_header_name (const char *body)
{
  g_autofree char *base = g_path_get_basename (body);

  if (g_str_has_suffix (base, ".c"))
    base[strlen (base) - 2] = '\0';
  return g_strconcat (base, ".h", NULL);
}

static gboolean
write_all (const Options *options, CommyScope *scope, GError **error)
{
  const char *output = options->output != NULL ? options->output : "-";
  g_autofree char *header
      = options->pair != NULL ? g_strconcat (options->pair, ".h", NULL) : g_strdup (output);
  g_autofree char *body
      = options->pair != NULL ? g_strconcat (options->pair, ".c", NULL) : g_strdup (output);

  commy_scope_set (scope, "version", PACKAGE_VERSION);
  commy_scope_flag (scope, "pragma-once", options->pragma_once);
  commy_scope_take (scope, "guard", dup_guard (header));
  commy_scope_take (scope, "header", dup_header_name (body));
  if ((options->header || options->pair != NULL)
      && !write_one (options, scope, commy_codegen_header, header, error))
    return FALSE;
  return !(options->body || options->pair != NULL)
         || write_one (options, scope, commy_codegen_body, body, error);
}

/* --- the verb --- */

static gboolean
is_namespace (const char *text)
{
  for (const char *at = text; *at != '\0'; at++)
    if (!g_ascii_isalnum (*at) || (at == text && !g_ascii_isupper (*at)))
      return FALSE;
  return TRUE;
}

static CommyExit
check_usage (const Options *options, char **arguments)
{
  const int kinds = (options->pair != NULL) + options->header + options->body;

  if (arguments[1] == NULL)
    return commy_cli_misuse (&verb, "needs a file with introspection XML");
  if (kinds != 1)
    return commy_cli_misuse (&verb, "needs one of --generate-c-code, --header and --body");
  if (options->pair != NULL && options->output != NULL)
    return commy_cli_misuse (&verb, "--output goes with --header or --body");
  if (options->folder != NULL && options->output != NULL)
    return commy_cli_misuse (&verb, "--output and --output-directory exclude each other");
  if (options->folder != NULL && options->pair == NULL)
    return commy_cli_misuse (&verb, "--output-directory goes with --generate-c-code");
  if (!is_namespace (options->namespace))
    return commy_cli_misuse (&verb,
                             "--c-namespace is letters and digits with a capital first: not \"%s\"",
                             options->namespace);
  return COMMY_EXIT_DONE;
}

CommyExit
commy_cmd_codegen (CommyCli *cli, char **argv)
{
  g_auto (Options) options = { 0 };
  const GOptionEntry entries[] = {
    { "generate-c-code", 0, 0, G_OPTION_ARG_FILENAME, &options.pair, N_ ("Write NAME.c and NAME.h"),
      "NAME" },
    { "header", 0, 0, G_OPTION_ARG_NONE, &options.header, N_ ("Write the header only"), NULL },
    { "body", 0, 0, G_OPTION_ARG_NONE, &options.body,
      N_ ("Write the body only; it includes what --output names, with .h"), NULL },
    { "output", 0, 0, G_OPTION_ARG_FILENAME, &options.output,
      N_ ("Where --header or --body goes; - is stdout"), "FILE" },
    { "output-directory", 0, 0, G_OPTION_ARG_FILENAME, &options.folder, N_ ("Where the pair goes"),
      "DIR" },
    { "interface-prefix", 0, 0, G_OPTION_ARG_STRING, &options.prefix,
      N_ ("Leave this off names of interfaces"), "PREFIX" },
    { "c-namespace", 0, 0, G_OPTION_ARG_STRING, &options.namespace,
      N_ ("Put this before every name in C, such as Example"), "NAMESPACE" },
    { "pragma-once", 0, 0, G_OPTION_ARG_NONE, &options.pragma_once,
      N_ ("Guard the header with #pragma once"), NULL },
    { NULL },
  };
  g_auto (GStrv) arguments = commy_cli_parse (cli, &verb, entries, argv);
  g_autoptr (CommyScope) scope = commy_scope_new ();
  g_autoptr (GError) error = NULL;
  CommyCodegenNames names;

  if (arguments == NULL)
    return COMMY_EXIT_USAGE;
  if (options.namespace == NULL)
    options.namespace = g_strdup ("");
  if (check_usage (&options, arguments) != COMMY_EXIT_DONE)
    return COMMY_EXIT_USAGE;
  names.prefix = options.prefix != NULL ? options.prefix : "";
  names.namespace = options.namespace;
  if (!add_files (scope, arguments + 1, &names, &error) || !write_all (&options, scope, &error))
    return commy_cli_fail (error);
  return COMMY_EXIT_DONE;
}
