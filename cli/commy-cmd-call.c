/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `commy call`: calls a method once, or often with the times it took.
 */
#include "config.h"

#include "cli/commy-cmd.h"
#include "cli/commy-interface.h"
#include "cli/commy-lookup.h"
#include "cli/commy-nearest.h"
#include "cli/commy-output.h"
#include "cli/commy-quantity.h"

#include <glib/gi18n.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_COUNT 10000000

static const CommyCliVerb verb = {
  .name = "call",
  .usage = "SERVICE METHOD [ARGUMENT...]",
  .summary = N_ ("Calls a method and prints what it returns. Each ARGUMENT is a value in GVariant\n"
                 "text: 5, 'text' (quoted for the shell too), [1, 2], {'key': <true>}, uint64 7.\n"
                 "With --bytes the argument and the result are raw bytes instead."),
  .description
  = N_ ("Arguments that begin with \"-\" stand behind \"--\". With --count the times of the\n"
        "calls are printed instead of the results.\n\n"
        "Example: a value, bytes through a pipe, and how long a call takes\n"
        "  commy call org.example.Echo Echo \"'hello'\" 5\n"
        "  commy call org.example.Echo Echo --bytes-file - < in > out\n"
        "  commy call org.example.Echo Echo --bytes x --count 1000 --transport shm\n"
        "  commy call org.example.Echo Echo 1 --select '>=2.1 <3 gpu'"),
  .has_format = TRUE,
};

typedef struct
{
  char *bytes_text;
  char *bytes_file;
  char *timeout;
  char *sticky;
  char *select;
  char **transports;
  gboolean idempotent;
  gboolean one_way;
  int count;
} Options;

static void
options_clear (Options *options)
{
  g_free (options->bytes_text);
  g_free (options->bytes_file);
  g_free (options->timeout);
  g_free (options->sticky);
  g_free (options->select);
  g_strfreev (options->transports);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Options, options_clear)

/* One call, ready to be made. */
typedef struct
{
  CommyClient *client;
  CommyCallOptions *call_options;
  const char *method;
  GVariant *parameters; /* or */
  GBytes *bytes;
  gboolean one_way;
  GVariant *result; /* or */
  GBytes *result_bytes;
} Call;

static void
call_clear (Call *call)
{
  g_clear_pointer (&call->result, g_variant_unref);
  g_clear_pointer (&call->result_bytes, g_bytes_unref);
  g_clear_pointer (&call->parameters, g_variant_unref);
  g_clear_pointer (&call->bytes, g_bytes_unref);
  g_clear_pointer (&call->call_options, commy_call_options_free);
  /* Last: the results may lie in the memory of its path. */
  g_clear_object (&call->client);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Call, call_clear)

/* --- arguments --- */

/* @type: NULL if it is not known. */
static GVariant *
parse_argument (const char *word, const char *type, GError **error)
{
  if (!g_utf8_validate (word, -1, NULL))
    {
      g_set_error_literal (error, G_VARIANT_PARSE_ERROR, G_VARIANT_PARSE_ERROR_FAILED,
                           _ ("no UTF-8"));
      return NULL;
    }
  return g_variant_parse (type != NULL ? G_VARIANT_TYPE (type) : NULL, word, NULL, NULL, error);
}

/* (transfer full): a tuple. @types: as many as @words, or NULL. With @error the words up to
 * @out_bad were right. */
static GVariant *
parse_arguments (char **words, char **types, guint *out_bad, GError **error)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_TUPLE);
  for (guint i = 0; words[i] != NULL; i++)
    {
      g_autoptr (GVariant) value
          = parse_argument (words[i], types != NULL ? types[i] : NULL, error);

      if (value == NULL)
        {
          *out_bad = i;
          g_variant_builder_clear (&builder);
          return NULL;
        }
      g_variant_builder_add_value (&builder, value);
    }
  return g_variant_ref_sink (g_variant_builder_end (&builder));
}

/* What needs a type to be understood, such as [], waits until the service was asked. */
static gboolean
parse_untyped (Call *call, char **words)
{
  g_autoptr (GError) error = NULL;
  guint bad = 0;

  call->parameters = parse_arguments (words, NULL, &bad, &error);
  if (call->parameters != NULL
      || g_error_matches (error, G_VARIANT_PARSE_ERROR, G_VARIANT_PARSE_ERROR_CANNOT_INFER_TYPE))
    return TRUE;
  commy_cli_misuse (&verb,
                    "argument %u is no value in GVariant text: %s; a string is written "
                    "\"'text'\"",
                    bad + 1, error->message);
  return FALSE;
}

static GBytes *
read_bytes (const Options *options, GError **error)
{
  if (options->bytes_text != NULL)
    return g_bytes_new (options->bytes_text, strlen (options->bytes_text));
  return commy_cli_read_file (options->bytes_file, error);
}

static gboolean
is_bytes (const Options *options)
{
  return options->bytes_text != NULL || options->bytes_file != NULL;
}

/* NULL: nothing is wrong. */
static const char *
find_misuse (const Options *options, char **arguments)
{
  if (g_strv_length (arguments) < 3)
    return N_ ("needs a service and a method");
  if (options->bytes_text != NULL && options->bytes_file != NULL)
    return N_ ("--bytes and --bytes-file are one or the other");
  if (is_bytes (options) && arguments[3] != NULL)
    return N_ ("raw bytes are the only argument; take the others away");
  if (is_bytes (options) && options->one_way)
    return N_ ("one-way messages carry values, not raw bytes");
  if (options->count < 1 || options->count > MAX_COUNT)
    return N_ ("--count is from 1 to 10000000");
  return NULL;
}

/* --- calling --- */

static gboolean
call_once (Call *call, GError **error)
{
  g_clear_pointer (&call->result, g_variant_unref);
  g_clear_pointer (&call->result_bytes, g_bytes_unref);
  if (call->one_way)
    return commy_client_send (call->client, call->method, call->parameters, call->call_options,
                              error);
  if (call->bytes != NULL)
    call->result_bytes = commy_client_call_bytes_sync (call->client, call->method, call->bytes,
                                                       call->call_options, NULL, error);
  else
    call->result = commy_client_call_sync (call->client, call->method, call->parameters,
                                           call->call_options, NULL, error);
  return call->result != NULL || call->result_bytes != NULL;
}

static void
print_result (CommyCli *cli, const Call *call)
{
  g_autofree char *text = NULL;

  if (call->result != NULL && cli->json)
    commy_output_json (call->result);
  else if (call->result != NULL)
    {
      text = g_variant_print (call->result, TRUE);
      commy_output_print ("%s\n", text);
    }
  else if (call->result_bytes != NULL && cli->json)
    commy_output_json (
        g_variant_new_from_bytes (G_VARIANT_TYPE_BYTESTRING, call->result_bytes, TRUE));
  else if (call->result_bytes != NULL)
    commy_output_write (g_bytes_get_data (call->result_bytes, NULL),
                        g_bytes_get_size (call->result_bytes));
}

/* --- often --- */

static gint
compare_times (gconstpointer a, gconstpointer b)
{
  gint64 x = *(const gint64 *) a, y = *(const gint64 *) b;

  return x < y ? -1 : x > y;
}

static gint64
now_ns (void)
{
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC, &now);
  return now.tv_sec * G_GINT64_CONSTANT (1000000000) + now.tv_nsec;
}

/* The first of @times is told apart: that call finds the service and connects. */
static void
print_times (CommyCli *cli, gint64 *times, int count)
{
  static const char *const names[] = { "first", "min", "median", "p99" };
  gint64 *rest = times + 1, values[G_N_ELEMENTS (names)];
  int n = count - 1;
  GVariantBuilder builder;

  qsort (rest, (gsize) n, sizeof *rest, compare_times);
  values[0] = times[0];
  values[1] = rest[0];
  values[2] = rest[n / 2];
  values[3] = rest[MIN (n - 1, (int) ((gint64) n * 99 / 100))];
  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&builder, "{sv}", "calls", g_variant_new_int32 (count));
  if (!cli->json)
    commy_output_print ("%d calls", count);
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autofree char *text = commy_quantity_format_ns ((double) values[i]);
      g_autofree char *key = g_strconcat (names[i], "-ns", NULL);

      if (!cli->json)
        commy_output_print ("%s %s %s", i == 0 ? ":" : ",", names[i], text);
      g_variant_builder_add (&builder, "{sv}", key, g_variant_new_int64 (values[i]));
    }
  if (cli->json)
    commy_output_json (g_variant_builder_end (&builder));
  else
    {
      commy_output_print ("\n");
      g_variant_builder_clear (&builder);
    }
}

static CommyExit
call_often (CommyCli *cli, Call *call, int count)
{
  g_autofree gint64 *times = g_new0 (gint64, (gsize) count);
  g_autoptr (GError) error = NULL;

  for (int i = 0; i < count; i++)
    {
      gint64 begin = now_ns ();

      if (!call_once (call, &error))
        {
          g_prefix_error (&error, "call %d of %d: ", i + 1, count);
          return commy_cli_fail (error);
        }
      times[i] = now_ns () - begin;
    }
  print_times (cli, times, count);
  return COMMY_EXIT_DONE;
}

/* --- setting up --- */

static void
pin (CommyClient *client, char **transports)
{
  g_autoptr (CommyRequirements) requirements = commy_requirements_new ();
  CommyPreference preference
      = g_strv_length (transports) == 1 ? COMMY_PREFER_PIN : COMMY_PREFER_LIST;

  commy_requirements_set_preference (requirements, preference, (const char *const *) transports);
  commy_client_set_requirements (client, requirements);
}

/* --- what the service says of its methods --- */

/* (transfer full) (nullable): what an instance of @service says; not being told is no failure */
static GVariant *
ask_interface (CommyMesh *mesh, const char *service, gboolean typed_only)
{
  g_autoptr (GPtrArray) instances = commy_lookup_instances (mesh, service, TRUE, NULL);

  if (instances == NULL || instances->len == 0)
    return NULL;
  if (typed_only && commy_record_get_string (instances->pdata[0], "interface")[0] == '\0')
    return NULL;
  return commy_interface_ask (mesh, instances->pdata[0], NULL);
}

/* The interface says what "5" or "[]" is: then no type need be written. */
static gboolean
apply_types (Call *call, CommyMesh *mesh, const char *service, char **words, GError **error)
{
  g_autoptr (GVariant) interface = ask_interface (mesh, service, TRUE);
  g_autoptr (GVariant) method
      = interface != NULL ? commy_interface_find_method (interface, call->method) : NULL;
  g_auto (GStrv) types = method != NULL ? commy_interface_dup_types (method) : NULL;
  g_autofree char *signature = method != NULL ? commy_interface_dup_signature (method) : NULL;
  g_autoptr (GError) cause = NULL;
  guint n = g_strv_length (words), bad = 0;

  if (types != NULL && g_strv_length (types) != n)
    {
      commy_cli_set_error (error, COMMY_ERROR_TYPE, "%u arguments were given, but the method is %s",
                           n, signature);
      return FALSE;
    }
  if (types != NULL)
    {
      g_clear_pointer (&call->parameters, g_variant_unref);
      call->parameters = parse_arguments (words, types, &bad, &cause);
    }
  if (call->parameters != NULL)
    return TRUE;
  if (types != NULL)
    commy_cli_set_error (error, COMMY_ERROR_TYPE,
                         "argument %u does not fit the type %s: %s; the method is %s", bad + 1,
                         types[bad], cause->message, signature);
  else
    commy_cli_set_error (error, COMMY_ERROR_INVALID_ARGUMENT,
                         "the type of an argument cannot be told, and the service does not say "
                         "it: write it, such as \"@as []\"");
  return FALSE;
}

/* Behind an error: what there is to call. */
static void
hint (CommyMesh *mesh, const char *service, const char *name, const GError *error)
{
  g_autoptr (GVariant) interface = NULL;
  g_autoptr (GVariant) method = NULL;
  g_autofree char *text = NULL;

  if (!g_error_matches (error, COMMY_ERROR, COMMY_ERROR_NO_METHOD)
      && !g_error_matches (error, COMMY_ERROR, COMMY_ERROR_TYPE))
    return;
  interface = ask_interface (mesh, service, FALSE);
  method = interface != NULL ? commy_interface_find_method (interface, name) : NULL;
  if (method != NULL)
    {
      text = commy_interface_dup_signature (method);
      commy_cli_note ("the method is %s", text);
    }
  else if (interface != NULL)
    {
      g_auto (GStrv) methods = commy_interface_dup_methods (interface);
      g_autofree char *nearest = commy_nearest_dup_hint (name, (const char *const *) methods);

      text = g_strjoinv (", ", methods);
      commy_cli_note ("the methods of %s are %s%s", service, text, nearest);
    }
}

/* A slip would otherwise only be found as "no path is allowed". */
static gboolean
check_transports (CommyMesh *mesh, char **transports)
{
  g_autoptr (GVariant) plugins = NULL;
  g_autoptr (GPtrArray) known = NULL;

  if (transports == NULL)
    return TRUE;
  plugins = commy_mesh_list_plugins (mesh);
  known = g_ptr_array_new_with_free_func (g_free);
  for (gsize i = 0, n = g_variant_n_children (plugins); i < n; i++)
    {
      g_autoptr (GVariant) plugin = g_variant_get_child_value (plugins, i);

      if (strcmp (commy_record_get_string (plugin, "kind"), "transport") == 0)
        g_ptr_array_add (known, g_strdup (commy_record_get_string (plugin, "id")));
    }
  g_ptr_array_add (known, NULL);
  for (guint i = 0; transports[i] != NULL; i++)
    if (!g_strv_contains ((const char *const *) known->pdata, transports[i]))
      {
        g_autofree char *nearest
            = commy_nearest_dup_hint (transports[i], (const char *const *) known->pdata);
        g_autofree char *all = g_strjoinv (", ", (char **) known->pdata);

        commy_cli_misuse (&verb, "no transport is called \"%s\"%s; there are %s", transports[i],
                          nearest, all);
        return FALSE;
      }
  return TRUE;
}

static CommyExit
fail (CommyMesh *mesh, const char *service, const Call *call, const GError *error)
{
  CommyExit status = commy_cli_fail (error);

  hint (mesh, service, call->method, error);
  return status;
}

static CommyExit
run (CommyCli *cli, const Options *options, char **arguments, Call *call)
{
  const char *service = arguments[1];
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyMesh) mesh = commy_cli_join (cli, &error);

  if (mesh == NULL)
    return commy_cli_fail (error);
  if (!check_transports (mesh, options->transports))
    return COMMY_EXIT_USAGE;
  if (call->bytes == NULL && !apply_types (call, mesh, service, arguments + 3, &error))
    return commy_cli_fail (error);
  call->client = commy_client_new (mesh, service);
  if (options->select != NULL && !commy_client_set_selector (call->client, options->select, &error))
    {
      commy_cli_fail (error);
      return COMMY_EXIT_USAGE;
    }
  if (options->transports != NULL)
    pin (call->client, options->transports);
  if (options->count > 1)
    return call_often (cli, call, options->count);
  if (!call_once (call, &error))
    return fail (mesh, service, call, error);
  print_result (cli, call);
  return COMMY_EXIT_DONE;
}

CommyExit
commy_cmd_call (CommyCli *cli, char **argv)
{
  g_auto (Options) options = { .count = 1 };
  const GOptionEntry entries[] = {
    { "bytes", 'b', 0, G_OPTION_ARG_STRING, &options.bytes_text, N_ ("Call with these raw bytes"),
      "TEXT" },
    { "bytes-file", 0, 0, G_OPTION_ARG_FILENAME, &options.bytes_file,
      N_ ("Call with the bytes of a file, \"-\" for the standard input"), "FILE" },
    { "timeout", 't', 0, G_OPTION_ARG_STRING, &options.timeout, N_ ("For each call (10s)"),
      "TIME" },
    { "idempotent", 0, 0, G_OPTION_ARG_NONE, &options.idempotent,
      N_ ("Carrying it out twice does no harm"), NULL },
    { "sticky", 0, 0, G_OPTION_ARG_STRING, &options.sticky,
      N_ ("All calls with the same key to the same instance, if the balancer knows keys"), "KEY" },
    { "select", 0, 0, G_OPTION_ARG_STRING, &options.select,
      N_ ("Only instances that all words fit: a version (>=2.1), a tag, a pair (rack:7)"),
      "WORDS" },
    { "one-way", 0, 0, G_OPTION_ARG_NONE, &options.one_way, N_ ("Want no answer"), NULL },
    { "transport", 0, 0, G_OPTION_ARG_STRING_ARRAY, &options.transports,
      N_ ("Only over this one; given more than once: the first that is allowed"), "ID" },
    { "count", 'n', 0, G_OPTION_ARG_INT, &options.count, N_ ("Call so often and print the times"),
      "N" },
    { NULL },
  };
  g_auto (GStrv) arguments = commy_cli_parse (cli, &verb, entries, argv);
  g_auto (Call) call = { .one_way = options.one_way };
  g_autoptr (GError) error = NULL;
  const char *misuse;
  gint64 timeout_us = -1;

  if (arguments == NULL)
    return COMMY_EXIT_USAGE;
  misuse = find_misuse (&options, arguments);
  if (misuse != NULL)
    return commy_cli_misuse (&verb, "%s", _ (misuse));
  if (options.timeout != NULL && !commy_quantity_parse_time (options.timeout, &timeout_us))
    return commy_cli_misuse (&verb, "\"%s\" is no time with its unit, such as 2s or 250ms",
                             options.timeout);
  if (is_bytes (&options))
    call.bytes = read_bytes (&options, &error);
  else if (!parse_untyped (&call, arguments + 3))
    return COMMY_EXIT_USAGE;
  if (error != NULL)
    return commy_cli_fail (error);
  call.method = arguments[2];
  call.call_options = commy_call_options_new ();
  commy_call_options_set_timeout (call.call_options, timeout_us);
  commy_call_options_set_idempotent (call.call_options, options.idempotent);
  commy_call_options_set_sticky_key (call.call_options, options.sticky);
  return run (cli, &options, arguments, &call);
}
