/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `commy plugin bench PATH`: what a message truly takes, beside what the profile claims, and a
 * keyfile that says so. The whole output is such a keyfile: the table is its comment.
 */
#include "config.h"

#include "cli/commy-cmd-plugin.h"

#include "cli/commy-conformance-tool.h"
#include "cli/commy-lookup.h"
#include "cli/commy-output.h"
#include "cli/commy-quantity.h"

#include <string.h>

#define MAX_SIZES 8

typedef struct
{
  double size, n, latency_ns, send_ns, recv_ns, claim_ns;
} Row;

typedef struct
{
  GVariant *plugin;
  Row rows[MAX_SIZES];
  guint n_rows;
  double connect_ns;
} Bench;

static double
together (const Row *row)
{
  return row->latency_ns + row->send_ns + row->recv_ns;
}

static void
read_row (Bench *self, const char *text)
{
  g_auto (GStrv) words = g_strsplit (text, " ", -1);
  double *fields = (double *) &self->rows[self->n_rows];

  if (g_strv_length (words) != sizeof (Row) / sizeof (double) || self->n_rows == MAX_SIZES)
    return;
  for (guint i = 0; words[i] != NULL; i++)
    fields[i] = g_ascii_strtod (words[i], NULL);
  self->n_rows++;
}

static void
read_output (Bench *self, const char *output)
{
  g_auto (GStrv) lines = g_strsplit (output, "\n", -1);

  for (guint i = 0; lines[i] != NULL; i++)
    if (g_str_has_prefix (lines[i], "size\t"))
      read_row (self, lines[i] + strlen ("size\t"));
    else if (g_str_has_prefix (lines[i], "connect\t"))
      self->connect_ns = g_ascii_strtod (lines[i] + strlen ("connect\t"), NULL);
}

/* Bytes a second of large messages, without what the profile already has for each byte at the two
 * ends; 0: the difference is too small to tell. */
static double
bandwidth (const Bench *self)
{
  g_autoptr (GVariant) profile
      = g_variant_lookup_value (self->plugin, "profile", G_VARIANT_TYPE_VARDICT);
  g_autoptr (GVariant) segments
      = profile != NULL ? g_variant_lookup_value (profile, "segments", G_VARIANT_TYPE ("aa{sv}"))
                        : NULL;
  gsize n = segments != NULL ? g_variant_n_children (segments) : 0;
  const Row *small = &self->rows[0], *large = &self->rows[self->n_rows - 1];
  double slope
      = self->n_rows > 1 ? (together (large) - together (small)) / (large->size - small->size) : 0;

  if (n > 0)
    {
      g_autoptr (GVariant) last = g_variant_get_child_value (segments, n - 1);

      slope -= commy_record_get_double (last, "send-cpu-ns-per-byte")
               + commy_record_get_double (last, "recv-cpu-ns-per-byte");
    }
  return slope > 0 ? 1e9 / slope : 0;
}

static GVariant *
to_record (const Bench *self)
{
  GVariantBuilder sizes = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("aa{sv}"));
  GVariantDict dict;

  for (guint i = 0; i < self->n_rows; i++)
    {
      const Row *row = &self->rows[i];

      g_variant_builder_open (&sizes, G_VARIANT_TYPE_VARDICT);
      g_variant_builder_add (&sizes, "{sv}", "size", g_variant_new_uint64 ((guint64) row->size));
      g_variant_builder_add (&sizes, "{sv}", "n", g_variant_new_uint32 ((guint32) row->n));
      g_variant_builder_add (&sizes, "{sv}", "latency-ns", g_variant_new_double (row->latency_ns));
      g_variant_builder_add (&sizes, "{sv}", "send-cpu-ns", g_variant_new_double (row->send_ns));
      g_variant_builder_add (&sizes, "{sv}", "recv-cpu-ns", g_variant_new_double (row->recv_ns));
      g_variant_builder_add (&sizes, "{sv}", "claimed-ns", g_variant_new_double (row->claim_ns));
      g_variant_builder_close (&sizes);
    }
  g_variant_dict_init (&dict, NULL);
  g_variant_dict_insert (&dict, "kind", "s", commy_record_get_string (self->plugin, "kind"));
  g_variant_dict_insert (&dict, "id", "s", commy_record_get_string (self->plugin, "id"));
  g_variant_dict_insert (&dict, "connect-ns", "d", self->connect_ns);
  g_variant_dict_insert (&dict, "bytes-per-second", "d", bandwidth (self));
  g_variant_dict_insert_value (&dict, "sizes", g_variant_builder_end (&sizes));
  return g_variant_dict_end (&dict);
}

static void
print_table (const Bench *self)
{
  g_autoptr (CommyTable) table = commy_table_new ("# SIZE", "MESSAGES", "LATENCY", "SEND",
                                                  "RECEIVE", "TOGETHER", "CLAIMED", NULL);

  for (guint i = 0; i < self->n_rows; i++)
    {
      const Row *row = &self->rows[i];
      g_autofree char *size = commy_quantity_format_size ((guint64) row->size);

      commy_table_take (table, g_strconcat ("# ", size, NULL));
      commy_table_take (table, g_strdup_printf ("%.0f", row->n));
      commy_table_take (table, commy_quantity_format_ns (row->latency_ns));
      commy_table_take (table, commy_quantity_format_ns (row->send_ns));
      commy_table_take (table, commy_quantity_format_ns (row->recv_ns));
      commy_table_take (table, commy_quantity_format_ns (together (row)));
      commy_table_take (table, commy_quantity_format_ns (row->claim_ns));
    }
  commy_table_print (table);
}

static void
print_fragment (const Bench *self)
{
  const Row *small = &self->rows[0];
  double rate = bandwidth (self);

  commy_output_print ("[plugin %s/%s]\n", commy_record_get_string (self->plugin, "kind"),
                      commy_record_get_string (self->plugin, "id"));
  commy_output_print ("profile.latency=%.0fns\n", small->latency_ns);
  commy_output_print ("profile.send-cpu=%.0fns\n", small->send_ns);
  commy_output_print ("profile.recv-cpu=%.0fns\n", small->recv_ns);
  if (rate > 0)
    commy_output_print ("profile.bandwidth=%.0f\n", rate);
  if (self->connect_ns > 0)
    commy_output_print ("profile.connect=%.0fns\n", self->connect_ns);
}

static gboolean
run (Bench *self, const char *path, const CommyPluginWork *work, GError **error)
{
  g_autoptr (GPtrArray) arguments = g_ptr_array_new_with_free_func (g_free);
  g_auto (CommyToolRun) tool = { 0 };
  g_autofree char *failure = NULL;

  self->plugin = commy_plugin_inspect (path, FALSE, error);
  if (self->plugin == NULL)
    return FALSE;
  g_ptr_array_add (arguments, g_strdup ("measure"));
  g_ptr_array_add (arguments, g_strdup (path));
  g_ptr_array_add (arguments, g_strdup ("--confine"));
  if (work->credentials != NULL)
    g_ptr_array_add (arguments, g_strconcat ("--credentials=", work->credentials, NULL));
  for (guint i = 0; work->params != NULL && work->params[i] != NULL; i++)
    g_ptr_array_add (arguments, g_strconcat ("--param=", work->params[i], NULL));
  g_ptr_array_add (arguments, NULL);
  if (!commy_tool_run ((const char *const *) arguments->pdata, (guint) work->seconds, &tool, error))
    return FALSE;
  read_output (self, tool.output);
  if (tool.ok && self->n_rows > 0)
    return TRUE;
  failure = commy_tool_dup_last (tool.output, "fail\tmeasure: ");
  if (failure == NULL)
    failure = commy_tool_dup_last (tool.output, "Bail out! ");
  commy_cli_set_error (error, COMMY_ERROR_FAILED, "%s cannot be measured: %s", path,
                       failure != NULL        ? failure
                       : tool.failure != NULL ? tool.failure
                                              : tool.errors);
  return FALSE;
}

CommyExit
commy_plugin_bench (CommyCli *cli, const char *path, const CommyPluginWork *work)
{
  Bench self = { NULL };
  g_autoptr (GError) error = NULL;
  CommyExit status = COMMY_EXIT_DONE;

  if (!run (&self, path, work, &error))
    status = commy_cli_fail (error);
  else if (cli->json)
    commy_output_json (to_record (&self));
  else
    {
      print_table (&self);
      print_fragment (&self);
    }
  g_clear_pointer (&self.plugin, g_variant_unref);
  return status;
}
