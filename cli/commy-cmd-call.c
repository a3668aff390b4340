/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `commy call`: calls a method once, or often with the times it took.
 */
#include "config.h"

#include "cli/commy-cmd.h"
#include "cli/commy-output.h"
#include "cli/commy-quantity.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_COUNT 10000000
#define READ_STEP 65536u

static const CommyCliVerb verb = {
  .name = "call",
  .usage = "SERVICE METHOD [ARGUMENT...]",
  .summary = "Calls a method and prints what it returns. Each ARGUMENT is a value in GVariant\n"
             "text: 5, 'text' (quoted for the shell too), [1, 2], {'key': <true>}, uint64 7.\n"
             "With --bytes the argument and the result are raw bytes instead.",
  .description
  = "Arguments that begin with \"-\" stand behind \"--\". With --count the times of the\n"
    "calls are printed instead of the results.\n\n"
    "Example: a value, bytes through a pipe, and how long a call takes\n"
    "  commy call org.example.Echo Echo \"'hello'\" 5\n"
    "  commy call org.example.Echo Echo --bytes-file - < in > out\n"
    "  commy call org.example.Echo Echo --bytes x --count 1000 --transport shm",
  .has_format = TRUE,
};

typedef struct
{
  char *bytes_text;
  char *bytes_file;
  char *timeout;
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

/* (transfer full): a tuple */
static GVariant *
parse_arguments (char **words)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_TUPLE);
  for (guint i = 0; words[i] != NULL; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) value = NULL;

      if (g_utf8_validate (words[i], -1, NULL))
        value = g_variant_parse (NULL, words[i], NULL, NULL, &error);
      if (value == NULL)
        {
          commy_cli_misuse (&verb,
                            "argument %u is no value in GVariant text: %s; a string is "
                            "written \"'text'\"",
                            i + 1, error != NULL ? error->message : "no UTF-8");
          g_variant_builder_clear (&builder);
          return NULL;
        }
      g_variant_builder_add_value (&builder, value);
    }
  return g_variant_ref_sink (g_variant_builder_end (&builder));
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

static GBytes *
read_bytes (const Options *options, GError **error)
{
  char *data;
  gsize size;

  if (options->bytes_text != NULL)
    return g_bytes_new (options->bytes_text, strlen (options->bytes_text));
  if (strcmp (options->bytes_file, "-") == 0)
    return read_stdin (error);
  if (!g_file_get_contents (options->bytes_file, &data, &size, error))
    return NULL;
  return g_bytes_new_take (data, size);
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
    return "needs a service and a method";
  if (options->bytes_text != NULL && options->bytes_file != NULL)
    return "--bytes and --bytes-file are one or the other";
  if (is_bytes (options) && arguments[3] != NULL)
    return "raw bytes are the only argument; take the others away";
  if (is_bytes (options) && options->one_way)
    return "one-way messages carry values, not raw bytes";
  if (options->count < 1 || options->count > MAX_COUNT)
    return "--count is from 1 to 10000000";
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

static CommyExit
run (CommyCli *cli, const Options *options, const char *service, Call *call)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyMesh) mesh = commy_cli_join (cli, &error);

  if (mesh == NULL)
    return commy_cli_fail (error);
  call->client = commy_client_new (mesh, service);
  if (options->transports != NULL)
    pin (call->client, options->transports);
  if (options->count > 1)
    return call_often (cli, call, options->count);
  if (!call_once (call, &error))
    return commy_cli_fail (error);
  print_result (cli, call);
  return COMMY_EXIT_DONE;
}

CommyExit
commy_cmd_call (CommyCli *cli, char **argv)
{
  g_auto (Options) options = { .count = 1 };
  const GOptionEntry entries[] = {
    { "bytes", 'b', 0, G_OPTION_ARG_STRING, &options.bytes_text, "Call with these raw bytes",
      "TEXT" },
    { "bytes-file", 0, 0, G_OPTION_ARG_FILENAME, &options.bytes_file,
      "Call with the bytes of a file, \"-\" for the standard input", "FILE" },
    { "timeout", 't', 0, G_OPTION_ARG_STRING, &options.timeout, "For each call (10s)", "TIME" },
    { "idempotent", 0, 0, G_OPTION_ARG_NONE, &options.idempotent,
      "Carrying it out twice does no harm", NULL },
    { "one-way", 0, 0, G_OPTION_ARG_NONE, &options.one_way, "Want no answer", NULL },
    { "transport", 0, 0, G_OPTION_ARG_STRING_ARRAY, &options.transports,
      "Only over this one; given more than once: the first that is allowed", "ID" },
    { "count", 'n', 0, G_OPTION_ARG_INT, &options.count, "Call so often and print the times", "N" },
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
    return commy_cli_misuse (&verb, "%s", misuse);
  if (options.timeout != NULL && !commy_quantity_parse_time (options.timeout, &timeout_us))
    return commy_cli_misuse (&verb, "\"%s\" is no time such as 2s or 250ms", options.timeout);
  if (is_bytes (&options))
    call.bytes = read_bytes (&options, &error);
  else
    call.parameters = parse_arguments (arguments + 3);
  if (error != NULL)
    return commy_cli_fail (error);
  if (call.bytes == NULL && call.parameters == NULL)
    return COMMY_EXIT_USAGE;
  call.method = arguments[2];
  call.call_options = commy_call_options_new ();
  commy_call_options_set_timeout (call.call_options, timeout_us);
  commy_call_options_set_idempotent (call.call_options, options.idempotent);
  return run (cli, &options, arguments[1], &call);
}
