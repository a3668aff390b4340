/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `commy plugin list | info | release | pin`: every plugin file that was found, the unusable ones
 * with the reason, what their notes say; ending a quarantine, and hashes for the keyfile. What is
 * for authors (new, verify, bench) is in files of its own.
 */
#include "config.h"

#include "cli/commy-cmd-plugin.h"
#include "cli/commy-cmd.h"
#include "cli/commy-lookup.h"
#include "cli/commy-output.h"
#include "cli/commy-quantity.h"

#include <string.h>

static const CommyCliVerb verb = {
  .name = "plugin",
  .usage = "list | info [KIND/]ID | release [KIND/]ID|--all | pin [[KIND/]ID...] | new KIND NAME | "
           "verify PATH | bench PATH",
  .summary
  = N_ ("  list     every plugin found: state, what it claims to cost, why it is not used\n"
        "  info     all fields of a plugin's note, its profile size by size\n"
        "  release  starts a plugin again that is quarantined because a process ended in it\n"
        "  pin      keyfile lines with the SHA-256 of plugins as they are now, for trust=hash\n"
        "For authors:\n"
        "  new      a folder NAME with a plugin that works; KIND is transport, hook, serializer,\n"
        "           auth, balancer, store or policy\n"
        "  verify   what a mesh would say of a plugin file, and every rule of its kind, each in\n"
        "           a process of its own without network and with limits; to your files and\n"
        "           local sockets it has your rights, so verify only what you would run\n"
        "  bench    measures a transport or serializer; prints a keyfile with its true profile"),
  .description
  = N_ ("States: found (looked at, not run), disabled (by a keyfile), hidden (another file of\n"
        "that id was first), rejected (never run: see the reason), quarantined (a process ended\n"
        "while it was started: a new build, or release, ends that); and in a running program\n"
        "(--of) loaded, active, quiesced, failed. A profile is the time of one message: fixed +\n"
        "per byte.\n\n"
        "Example: why is a plugin not used, and what does it claim?\n"
        "  commy plugin list -v\n"
        "  commy plugin list --of org.example.Echo\n"
        "  commy plugin info transport/shm\n"
        "Example: only the plugins that are there today\n"
        "  commy plugin pin > pinned.conf\n"
        "Example: a transport of one's own\n"
        "  commy plugin new transport mine && cd mine && make\n"
        "  commy plugin verify ./libcommy-transport-mine.so"),
  .has_format = TRUE,
};

#define RULE_SECONDS 120

typedef struct
{
  const char *name;
  guint64 bit;
} Word;

static const Word reaches[] = {
  { "self", COMMY_REACH_SELF },
  { "host", COMMY_REACH_HOST },
  { "network", COMMY_REACH_NETWORK },
};
static const Word capabilities[] = {
  { "zero-copy", COMMY_CAP_ZERO_COPY },
  { "fd-passing", COMMY_CAP_FD_PASSING },
  { "cheap-poll", COMMY_CAP_CHEAP_POLL },
  { "values", COMMY_CAP_VALUES },
  { "bytes", COMMY_CAP_BYTES },
  { "self-describing", COMMY_CAP_SELF_DESCRIBING },
  { "text", COMMY_CAP_TEXT },
  { "native-endian", COMMY_CAP_NATIVE_ENDIAN },
  { "in-place", COMMY_CAP_IN_PLACE },
};
static const char *const securities[]
    = { "none", "kernel", "authenticated", "confidential", "mutual" };
static const char *const deliveries[] = { "best effort", "at most once", "reliable" };
static const char *const orderings[] = { "none", "connection" };

/* --- profiles --- */

/* Time of one message, fixed and for each byte, of a segment. */
static void
sum_segment (GVariant *segment, double *out_fixed, double *out_per_byte)
{
  *out_fixed = commy_record_get_double (segment, "latency-ns")
               + commy_record_get_double (segment, "send-cpu-ns")
               + commy_record_get_double (segment, "recv-cpu-ns");
  *out_per_byte = commy_record_get_double (segment, "wire-ns-per-byte")
                  + commy_record_get_double (segment, "send-cpu-ns-per-byte")
                  + commy_record_get_double (segment, "recv-cpu-ns-per-byte");
}

static char *
format_cost (double fixed, double per_byte)
{
  char slope[G_ASCII_DTOSTR_BUF_SIZE];
  g_autofree char *time = commy_quantity_format_ns (fixed);

  g_ascii_formatd (slope, sizeof slope, "%.2g", per_byte);
  return per_byte > 0 ? g_strdup_printf ("%s + %s ns/B", time, slope) : g_strdup (time);
}

static GVariant *
dup_segments (GVariant *plugin)
{
  g_autoptr (GVariant) profile = g_variant_lookup_value (plugin, "profile", G_VARIANT_TYPE_VARDICT);

  return profile != NULL ? g_variant_lookup_value (profile, "segments", G_VARIANT_TYPE ("aa{sv}"))
                         : NULL;
}

/* The first segment: what a small message costs. */
static char *
dup_profile_line (GVariant *plugin)
{
  g_autoptr (GVariant) segments = dup_segments (plugin);
  g_autoptr (GVariant) segment = NULL;
  g_autofree char *cost = NULL;
  double fixed, per_byte;

  if (segments == NULL || g_variant_n_children (segments) == 0)
    return NULL;
  segment = g_variant_get_child_value (segments, 0);
  sum_segment (segment, &fixed, &per_byte);
  cost = format_cost (fixed, per_byte);
  return g_strdup_printf ("\xe2\x89\x88 %s", cost);
}

/* --- list --- */

static CommyTone
tone_of (const char *state)
{
  if (strcmp (state, "rejected") == 0 || strcmp (state, "failed") == 0
      || strcmp (state, "quarantined") == 0)
    return COMMY_TONE_BAD;
  if (strcmp (state, "active") == 0 || strcmp (state, "found") == 0
      || strcmp (state, "loaded") == 0)
    return COMMY_TONE_GOOD;
  return COMMY_TONE_FAINT;
}

/* (transfer full): names of a list of strings, or NULL. */
static char *
dup_names (GVariant *plugin, const char *field)
{
  g_autofree const char **names = NULL;
  char *text = NULL;

  if (g_variant_lookup (plugin, field, "^a&s", &names) && names[0] != NULL)
    text = g_strjoinv (", ", (char **) names);
  return text;
}

/* What hooks are on it, or what it is on as a hook; NULL: neither. */
static char *
dup_hooks (GVariant *plugin)
{
  g_autofree char *hooks = dup_names (plugin, "hooks");
  g_autofree char *wraps = dup_names (plugin, "wraps");

  if (hooks != NULL)
    return g_strdup_printf ("hooks: %s (%s)", hooks,
                            commy_record_get_string (plugin, "hooks-origin"));
  return wraps != NULL ? g_strdup_printf ("on %s", wraps) : NULL;
}

static char *
dup_reason (GVariant *plugin)
{
  const char *reason = commy_record_get_string (plugin, "reason");
  const char *origin = commy_record_get_string (plugin, "origin");

  if (reason[0] == '\0' && origin[0] == '\0')
    {
      char *hooks = dup_hooks (plugin);

      return hooks != NULL ? hooks : g_strdup ("");
    }
  if (reason[0] == '\0' || origin[0] == '\0')
    return g_strdup (reason[0] != '\0' ? reason : origin);
  return g_strdup_printf ("%s (%s)", reason, origin);
}

/* A file whose note could not be read has no id: its name then tells it. */
static char *
dup_id (GVariant *plugin)
{
  const char *id = commy_record_get_string (plugin, "id");

  return id[0] != '\0' ? g_strdup (id)
                       : g_path_get_basename (commy_record_get_string (plugin, "path"));
}

static void
print_list (GVariant *plugins, gboolean verbose)
{
  g_autoptr (CommyTable) table = commy_table_new ("KIND", "ID", "VERSION", "STATE", "PROFILE",
                                                  "REASON", verbose ? "PATH" : NULL, NULL);
  gsize n = g_variant_n_children (plugins);

  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) plugin = g_variant_get_child_value (plugins, i);
      const char *state = commy_record_get_string (plugin, "state");

      commy_table_add (table, commy_record_get_string (plugin, "kind"));
      commy_table_take (table, dup_id (plugin));
      commy_table_add (table, commy_record_get_string (plugin, "version"));
      commy_table_add_toned (table, state, tone_of (state));
      commy_table_take (table, dup_profile_line (plugin));
      commy_table_take (table, dup_reason (plugin));
      if (verbose)
        commy_table_add (table, commy_record_get_string (plugin, "path"));
    }
  commy_table_print (table);
}

/* --- info --- */

static void
print_field (const char *name, const char *text)
{
  g_autofree char *clean = commy_output_clean (text, FALSE);

  if (clean[0] != '\0')
    commy_output_print ("  %-13s %s\n", name, clean);
}

static void
print_bits (const char *name, guint64 bits, const Word *words, guint n)
{
  g_autoptr (GString) out = g_string_new (NULL);

  for (guint i = 0; i < n; i++)
    if (bits & words[i].bit)
      g_string_append_printf (out, "%s%s", out->len > 0 ? ", " : "", words[i].name);
  print_field (name, out->str);
}

static void
print_word (const char *name, guint64 value, const char *const *words, guint n)
{
  print_field (name, value < n ? words[value] : "?");
}

static void
print_number (const char *name, double value)
{
  char text[G_ASCII_DTOSTR_BUF_SIZE];

  print_field (name, g_ascii_formatd (text, sizeof text, "%.4g", value));
}

static void
print_limit (const char *name, guint64 bytes)
{
  g_autofree char *text = commy_quantity_format_size (bytes);

  print_field (name, bytes > 0 ? text : "no limit");
}

static void
print_segments (GVariant *segments)
{
  g_autoptr (CommyTable) table
      = commy_table_new ("  UP TO", "LATENCY", "WIRE", "SEND CPU", "RECEIVE CPU", "TOGETHER", NULL);
  gsize n = g_variant_n_children (segments);

  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) segment = g_variant_get_child_value (segments, i);
      guint64 up_to = commy_record_get_uint (segment, "max-bytes");
      g_autofree char *size = commy_quantity_format_size (up_to);
      double fixed, per_byte;

      sum_segment (segment, &fixed, &per_byte);
      commy_table_take (table, g_strconcat ("  ", up_to < G_MAXUINT64 ? size : "the rest", NULL));
      commy_table_take (table, format_cost (commy_record_get_double (segment, "latency-ns"), 0));
      commy_table_take (table,
                        format_cost (0, commy_record_get_double (segment, "wire-ns-per-byte")));
      commy_table_take (table,
                        format_cost (commy_record_get_double (segment, "send-cpu-ns"),
                                     commy_record_get_double (segment, "send-cpu-ns-per-byte")));
      commy_table_take (table,
                        format_cost (commy_record_get_double (segment, "recv-cpu-ns"),
                                     commy_record_get_double (segment, "recv-cpu-ns-per-byte")));
      commy_table_take (table, format_cost (fixed, per_byte));
    }
  commy_table_print (table);
}

static void
print_profile (GVariant *plugin)
{
  g_autoptr (GVariant) profile = g_variant_lookup_value (plugin, "profile", G_VARIANT_TYPE_VARDICT);
  g_autoptr (GVariant) segments = dup_segments (plugin);
  g_autofree char *connect = NULL;

  if (profile == NULL)
    return;
  connect = commy_quantity_format_ns (commy_record_get_double (profile, "connect-ns"));
  commy_output_print ("profile\n");
  print_field ("provenance", commy_record_get_string (profile, "provenance"));
  print_field ("origin", commy_record_get_string (profile, "origin"));
  print_word ("security", commy_record_get_uint (profile, "security"), securities,
              G_N_ELEMENTS (securities));
  print_bits ("reach", commy_record_get_uint (profile, "reach"), reaches, G_N_ELEMENTS (reaches));
  print_word ("delivery", commy_record_get_uint (profile, "delivery"), deliveries,
              G_N_ELEMENTS (deliveries));
  print_word ("ordering", commy_record_get_uint (profile, "ordering"), orderings,
              G_N_ELEMENTS (orderings));
  print_bits ("capabilities", commy_record_get_uint (profile, "capabilities"), capabilities,
              G_N_ELEMENTS (capabilities));
  print_limit ("max message", commy_record_get_uint (profile, "max-message"));
  print_field ("connect", connect);
  print_number ("sigma", commy_record_get_double (profile, "sigma"));
  print_number ("loss", commy_record_get_double (profile, "loss"));
  print_number ("size factor", commy_record_get_double (profile, "size-factor"));
  print_number ("bias", commy_record_get_double (profile, "bias"));
  if (segments != NULL)
    print_segments (segments);
}

static void
print_info (GVariant *plugin)
{
  g_autofree char *id = dup_id (plugin);
  g_autofree char *title = g_strdup_printf ("%s/%s", commy_record_get_string (plugin, "kind"), id);
  g_autofree char *clean = commy_output_clean (title, FALSE);
  g_autofree char *reason = dup_reason (plugin);

  commy_output_print ("%s\n", clean);
  print_field ("summary", commy_record_get_string (plugin, "summary"));
  print_field ("version", commy_record_get_string (plugin, "version"));
  print_field ("state", commy_record_get_string (plugin, "state"));
  print_field (commy_record_get_string (plugin, "reason")[0] != '\0' ? "reason" : "hooks", reason);
  print_field ("licence", commy_record_get_string (plugin, "licence"));
  print_field ("abi", commy_record_get_string (plugin, "abi"));
  print_field ("path", commy_record_get_string (plugin, "path"));
  print_profile (plugin);
}

/* (transfer full): an aa{sv} of those that are called so */
static GVariant *
find_plugins (GVariant *plugins, const char *name)
{
  GVariantBuilder found;
  gsize n = g_variant_n_children (plugins);

  g_variant_builder_init (&found, G_VARIANT_TYPE ("aa{sv}"));
  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) plugin = g_variant_get_child_value (plugins, i);
      g_autofree char *id = dup_id (plugin);
      g_autofree char *full
          = g_strdup_printf ("%s/%s", commy_record_get_string (plugin, "kind"), id);

      if (strcmp (id, name) == 0 || strcmp (full, name) == 0)
        g_variant_builder_add_value (&found, plugin);
    }
  return g_variant_ref_sink (g_variant_builder_end (&found));
}

static CommyExit
tell_unknown (const char *name)
{
  commy_cli_note ("no plugin is called \"%s\" (commy plugin list shows all that were found)", name);
  return COMMY_EXIT_NOT_FOUND;
}

static CommyExit
info (CommyCli *cli, GVariant *plugins, const char *name)
{
  g_autoptr (GVariant) found = find_plugins (plugins, name);
  gsize n = g_variant_n_children (found);

  if (n == 0)
    return tell_unknown (name);
  if (cli->json)
    commy_output_json (found);
  for (gsize i = 0; i < n && !cli->json; i++)
    {
      g_autoptr (GVariant) plugin = g_variant_get_child_value (found, i);

      print_info (plugin);
    }
  return COMMY_EXIT_DONE;
}

/* --- release --- */

static CommyExit
release (CommyCli *cli, const char *name)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyMesh) mesh = commy_mesh_new (cli->mesh, &error);
  g_autoptr (GVariant) released
      = mesh != NULL ? commy_mesh_release_plugins (mesh, name, &error) : NULL;
  gsize n;

  if (released == NULL)
    {
      CommyExit code = commy_cli_fail (error);

      return g_error_matches (error, COMMY_ERROR, COMMY_ERROR_PLUGIN_MISSING) ? COMMY_EXIT_NOT_FOUND
                                                                              : code;
    }
  n = g_variant_n_children (released);
  if (cli->json)
    commy_output_json (released);
  else if (n == 0)
    commy_cli_note ("no plugin is quarantined");
  for (gsize i = 0; i < n && !cli->json; i++)
    {
      g_autoptr (GVariant) plugin = g_variant_get_child_value (released, i);
      g_autofree char *path = commy_output_clean (commy_record_get_string (plugin, "path"), FALSE);

      commy_output_print ("released %s/%s (%s)\n", commy_record_get_string (plugin, "kind"),
                          commy_record_get_string (plugin, "id"), path);
    }
  return COMMY_EXIT_DONE;
}

/* --- pin --- */

/* (transfer full): hex; NULL with @error set */
static char *
hash_file (const char *path, GError **error)
{
  g_autoptr (GMappedFile) file = g_mapped_file_new (path, FALSE, error);
  g_autoptr (GBytes) bytes = file != NULL ? g_mapped_file_get_bytes (file) : NULL;

  return bytes != NULL ? g_compute_checksum_for_bytes (G_CHECKSUM_SHA256, bytes) : NULL;
}

/* What has no note, or is hidden behind another, cannot be meant. */
static gboolean
can_be_pinned (GVariant *plugin)
{
  return commy_record_get_string (plugin, "version")[0] != '\0'
         && strcmp (commy_record_get_string (plugin, "state"), "hidden") != 0;
}

static GVariant *
pin_plugins (GVariant *plugins, GError **error)
{
  g_auto (GVariantBuilder) pins = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("aa{sv}"));
  gsize n = g_variant_n_children (plugins);

  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) plugin = g_variant_get_child_value (plugins, i);
      const char *path = commy_record_get_string (plugin, "path");
      g_autofree char *sha256 = NULL;
      GVariantDict dict;

      if (!can_be_pinned (plugin))
        continue;
      sha256 = hash_file (path, error);
      if (sha256 == NULL)
        return NULL;
      g_variant_dict_init (&dict, NULL);
      g_variant_dict_insert (&dict, "kind", "s", commy_record_get_string (plugin, "kind"));
      g_variant_dict_insert (&dict, "id", "s", commy_record_get_string (plugin, "id"));
      g_variant_dict_insert (&dict, "path", "s", path);
      g_variant_dict_insert (&dict, "sha256", "s", sha256);
      g_variant_builder_add_value (&pins, g_variant_dict_end (&dict));
    }
  return g_variant_ref_sink (g_variant_builder_end (&pins));
}

static void
print_pins (GVariant *pins)
{
  gsize n = g_variant_n_children (pins);

  commy_output_print ("[plugins]\ntrust=hash\n");
  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) pin = g_variant_get_child_value (pins, i);
      g_autofree char *path = commy_output_clean (commy_record_get_string (pin, "path"), FALSE);

      commy_output_print (
          "\n# %s\n[plugin %s/%s]\nsha256=%s\n", path, commy_record_get_string (pin, "kind"),
          commy_record_get_string (pin, "id"), commy_record_get_string (pin, "sha256"));
    }
}

/* Those that are named, or all. */
static CommyExit
pin (CommyCli *cli, GVariant *plugins, char **names)
{
  g_auto (GVariantBuilder) chosen = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE ("aa{sv}"));
  g_autoptr (GVariant) list = NULL;
  g_autoptr (GVariant) pins = NULL;
  g_autoptr (GError) error = NULL;

  for (gsize i = 0; names[i] != NULL; i++)
    {
      g_autoptr (GVariant) found = find_plugins (plugins, names[i]);
      gsize n = g_variant_n_children (found);

      if (n == 0)
        return tell_unknown (names[i]);
      for (gsize j = 0; j < n; j++)
        {
          g_autoptr (GVariant) plugin = g_variant_get_child_value (found, j);

          g_variant_builder_add_value (&chosen, plugin);
        }
    }
  list = names[0] != NULL ? g_variant_ref_sink (g_variant_builder_end (&chosen))
                          : g_variant_ref (plugins);
  pins = pin_plugins (list, &error);
  if (pins == NULL)
    return commy_cli_fail (error);
  if (cli->json)
    commy_output_json (pins);
  else
    print_pins (pins);
  return COMMY_EXIT_DONE;
}

/* --- where from --- */

/* What this command would find, without running any; or what a node has. */
static GVariant *
get_plugins (CommyCli *cli, const char *of, GError **error)
{
  g_autoptr (CommyMesh) mesh
      = of != NULL ? commy_cli_join (cli, error) : commy_mesh_new (cli->mesh, error);
  g_autoptr (GPtrArray) nodes = NULL;
  g_autoptr (GVariant) plugins = NULL;

  if (mesh == NULL)
    return NULL;
  if (of == NULL)
    return commy_mesh_list_plugins (mesh);
  nodes = commy_lookup_nodes (mesh, of, error);
  if (nodes == NULL)
    return NULL;
  plugins = commy_lookup_ask (mesh, nodes->pdata[0], "Plugins", NULL, error);
  if (plugins == NULL || g_variant_is_of_type (plugins, G_VARIANT_TYPE ("aa{sv}")))
    return g_steal_pointer (&plugins);
  commy_cli_set_error (error, COMMY_ERROR_TYPE, "Plugins of a node answered %s, not aa{sv}",
                       g_variant_get_type_string (plugins));
  return NULL;
}

typedef struct
{
  gboolean verbose, all;
  char *of;
  CommyPluginWork work;
} Options;

static void
options_clear (Options *options)
{
  g_free (options->of);
  g_free (options->work.on);
  g_free (options->work.credentials);
  g_free (options->work.rule);
  g_strfreev (options->work.params);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Options, options_clear)

/* Whether the words behind the subcommand fit it; else says how it is meant. */
static gboolean
check_usage (const char *what, guint n, const Options *options)
{
  if (g_strcmp0 (what, "list") == 0 && n != 0)
    commy_cli_misuse (&verb, "list takes no arguments");
  else if (g_strcmp0 (what, "info") == 0 && n != 1)
    commy_cli_misuse (&verb, "info needs the id of one plugin");
  else if (g_strcmp0 (what, "new") == 0 && n != 2)
    commy_cli_misuse (&verb, "new needs a kind and a name");
  else if ((g_strcmp0 (what, "verify") == 0 || g_strcmp0 (what, "bench") == 0) && n != 1)
    commy_cli_misuse (&verb, "%s needs the path of one plugin file", what);
  else if (options->work.seconds < 1)
    commy_cli_misuse (&verb, "--timeout is in seconds, at least 1");
  else if (g_strcmp0 (what, "release") == 0 && n != (options->all ? 0u : 1u))
    commy_cli_misuse (&verb, "release needs the id of one plugin, or --all");
  else if (options->all && g_strcmp0 (what, "release") != 0)
    commy_cli_misuse (&verb, "--all is for release");
  else if (options->of != NULL && g_strcmp0 (what, "list") != 0 && g_strcmp0 (what, "info") != 0)
    commy_cli_misuse (&verb, "--of is for list and info: %s is about files here", what);
  else
    return TRUE;
  return FALSE;
}

static CommyExit
look (CommyCli *cli, char **arguments, const Options *options)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) plugins = get_plugins (cli, options->of, &error);

  if (plugins == NULL)
    return commy_cli_fail (error);
  if (strcmp (arguments[1], "info") == 0)
    return info (cli, plugins, arguments[2]);
  if (strcmp (arguments[1], "pin") == 0)
    return pin (cli, plugins, arguments + 2);
  if (cli->json)
    commy_output_json (plugins);
  else
    print_list (plugins, options->verbose);
  return COMMY_EXIT_DONE;
}

static CommyExit
run_subcommand (CommyCli *cli, char **arguments, const Options *options)
{
  if (strcmp (arguments[1], "release") == 0)
    return release (cli, arguments[2]);
  if (strcmp (arguments[1], "new") == 0)
    return commy_plugin_new (arguments[2], arguments[3]);
  if (strcmp (arguments[1], "verify") == 0)
    return commy_plugin_verify (cli, arguments[2], &options->work);
  if (strcmp (arguments[1], "bench") == 0)
    return commy_plugin_bench (cli, arguments[2], &options->work);
  return look (cli, arguments, options);
}

CommyExit
commy_cmd_plugin (CommyCli *cli, char **argv)
{
  static const char *const subcommands[]
      = { "list", "info", "release", "pin", "new", "verify", "bench", NULL };
  g_auto (Options) options = { .work = { .seconds = RULE_SECONDS } };
  const GOptionEntry entries[] = {
    { "verbose", 'v', 0, G_OPTION_ARG_NONE, &options.verbose, N_ ("list: the file's path too"),
      NULL },
    { "of", 0, 0, G_OPTION_ARG_STRING, &options.of,
      N_ ("Of this running node: the beginning of its id, or a service it offers"), "NODE" },
    { "all", 0, 0, G_OPTION_ARG_NONE, &options.all,
      N_ ("release: every plugin that is quarantined"), NULL },
    { "param", 0, 0, G_OPTION_ARG_STRING_ARRAY, &options.work.params,
      N_ ("verify, bench: a parameter of the plugin, as in a keyfile"), "NAME=VALUE" },
    { "on", 0, 0, G_OPTION_ARG_FILENAME, &options.work.on,
      N_ ("verify: put a hook on this transport, an id or a path (unix)"), "TRANSPORT" },
    { "credentials", 0, 0, G_OPTION_ARG_FILENAME, &options.work.credentials,
      N_ ("verify, bench: a folder with ca.pem, cert.pem and key.pem for the plugin"), "FOLDER" },
    { "rule", 0, 0, G_OPTION_ARG_STRING, &options.work.rule,
      N_ ("verify: only the rules whose names begin so"), "NAME" },
    { "timeout", 0, 0, G_OPTION_ARG_INT, &options.work.seconds,
      N_ ("verify, bench: how long one rule may take (120)"), "SECONDS" },
    { NULL },
  };
  g_auto (GStrv) arguments = commy_cli_parse (cli, &verb, entries, argv);
  guint n = arguments != NULL ? g_strv_length (arguments) : 0;

  if (arguments == NULL)
    return COMMY_EXIT_USAGE;
  if (n < 2 || !g_strv_contains (subcommands, arguments[1]))
    return commy_cli_misuse (&verb, "say one of list, info, release, pin, new, verify, bench");
  if (!check_usage (arguments[1], n - 2, &options))
    return COMMY_EXIT_USAGE;
  return run_subcommand (cli, arguments, &options);
}
