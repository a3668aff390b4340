/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `commy store get | put | rm | watch | status`: the store of a mesh, key by key. Keys and values
 * may be any bytes; what is no text is shown as such.
 */
#include "config.h"

#include "cli/commy-cmd.h"
#include "cli/commy-lookup.h"
#include "cli/commy-output.h"
#include "cli/commy-quantity.h"

#include <glib-unix.h>
#include <glib/gi18n.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define SHOWN_BYTES 64u

static const CommyCliVerb verb = {
  .name = "store",
  .usage = "get KEY | put KEY VALUE | rm KEY | watch PREFIX | status",
  .summary
  = N_ ("  get     the value of KEY; of a key that ends with \"/\", or is empty, all that begin\n"
        "          with it, with revision, lease and size\n"
        "  put     writes VALUE to KEY: the text itself, \"-\" for the standard input, @FILE\n"
        "  rm      deletes KEY\n"
        "  watch   prints what changes below PREFIX until interrupted\n"
        "  status  which store it is, where, and whether it answers"),
  .description
  = N_ ("Keys below services/, nodes/ and hosts/ are the mesh's own: put and rm need --force.\n\n"
        "Example: a setting that a second writer does not overwrite by mistake\n"
        "  commy store put shop/limit 20\n"
        "  commy store get shop/limit\n"
        "  commy store get shop/ -o json\n"
        "  commy store put shop/limit 30 --if-revision 17\n"
        "  commy store watch shop/"),
  .has_format = TRUE,
};

typedef struct
{
  CommyCli *cli;
  CommyMesh *mesh;
  char *expected;
  char *from;
  gint64 revision; /* of --if-revision or --from, or -1 */
  gboolean raw;
  gboolean force;
} Options;

static void
options_clear (Options *options)
{
  g_free (options->expected);
  g_free (options->from);
  g_clear_object (&options->mesh);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Options, options_clear)

/* --- entries --- */

/* (transfer full) (nullable): the bytes of a member, if they are text */
static char *
dup_text (GVariant *bytes, gboolean is_string)
{
  gsize size = g_variant_get_size (bytes);
  const char *data = g_variant_get_data (bytes);

  if (is_string && size > 0)
    size--; /* its end */
  return g_utf8_validate_len (data != NULL ? data : "", size, NULL) ? g_strndup (data, size) : NULL;
}

/* "key" or, if it is no text, "key-bytes". */
static void
add_bytes (GVariantBuilder *record, GVariant *entry, const char *name, gboolean is_string)
{
  g_autoptr (GVariant) bytes = g_variant_lookup_value (entry, name, G_VARIANT_TYPE_BYTESTRING);
  g_autofree char *text = bytes != NULL ? dup_text (bytes, is_string) : NULL;
  g_autofree char *other = g_strconcat (name, "-bytes", NULL);

  if (text != NULL)
    g_variant_builder_add (record, "{sv}", name, g_variant_new_string (text));
  else if (bytes != NULL)
    g_variant_builder_add (record, "{sv}", other, bytes);
}

static GVariant *
to_record (GVariant *entry)
{
  static const char *const numbers[] = { "created", "revision", "lease" };
  g_autoptr (GVariant) value = g_variant_lookup_value (entry, "value", NULL);
  GVariantBuilder record;

  g_variant_builder_init (&record, G_VARIANT_TYPE_VARDICT);
  add_bytes (&record, entry, "key", TRUE);
  add_bytes (&record, entry, "value", FALSE);
  g_variant_builder_add (&record, "{sv}", "deleted", g_variant_new_boolean (value == NULL));
  for (guint i = 0; i < G_N_ELEMENTS (numbers); i++)
    {
      gint64 number = 0;

      g_variant_lookup (entry, numbers[i], "x", &number);
      g_variant_builder_add (&record, "{sv}", numbers[i], g_variant_new_int64 (number));
    }
  return g_variant_builder_end (&record);
}

static gint64
get_number (GVariant *entry, const char *key)
{
  gint64 number = 0;

  g_variant_lookup (entry, key, "x", &number);
  return number;
}

/* (transfer full): for people; an escaped key tells itself from another */
static char *
dup_key (GVariant *entry)
{
  const char *key = "";

  g_variant_lookup (entry, "key", "^&ay", &key);
  return g_utf8_validate (key, -1, NULL) ? g_strdup (key) : g_strescape (key, NULL);
}

/* (transfer full): short text, else how much there is */
static char *
dup_value (GVariant *entry)
{
  g_autoptr (GVariant) value = g_variant_lookup_value (entry, "value", G_VARIANT_TYPE_BYTESTRING);
  g_autofree char *text = NULL;
  g_autofree char *size = NULL;

  if (value == NULL)
    return g_strdup (_ ("deleted"));
  if (g_variant_get_size (value) <= SHOWN_BYTES && (text = dup_text (value, FALSE)) != NULL)
    return g_steal_pointer (&text);
  size = commy_quantity_format_size (g_variant_get_size (value));
  return g_strdup_printf (_ ("(%s)"), size);
}

/* --- get --- */

static CommyExit
tell_missing (const char *key, CommyMesh *mesh)
{
  g_autofree char *clean = commy_output_clean (key, FALSE);
  g_autoptr (GError) error = NULL;

  commy_cli_set_error (&error, COMMY_ERROR_NO_SERVICE,
                       "there is no key \"%s\" in the store of the mesh \"%s\" (commy store get '' "
                       "lists all)",
                       clean, commy_mesh_get_name (mesh));
  return commy_cli_fail (error);
}

static void
print_entries (GVariant *entries)
{
  g_autoptr (CommyTable) table
      = commy_table_new ("KEY", "REVISION", "LEASE", "SIZE", "VALUE", NULL);
  gsize n = g_variant_n_children (entries);

  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) entry = g_variant_get_child_value (entries, i);
      g_autoptr (GVariant) value
          = g_variant_lookup_value (entry, "value", G_VARIANT_TYPE_BYTESTRING);
      gint64 lease = get_number (entry, "lease");

      commy_table_take (table, dup_key (entry));
      commy_table_take (table,
                        g_strdup_printf ("%" G_GINT64_FORMAT, get_number (entry, "revision")));
      commy_table_take (table,
                        lease != 0 ? g_strdup_printf ("%" G_GINT64_FORMAT, lease) : g_strdup ("-"));
      commy_table_take (
          table, commy_quantity_format_size (value != NULL ? g_variant_get_size (value) : 0));
      commy_table_take (table, dup_value (entry));
    }
  commy_table_print (table);
}

static CommyExit
get_prefix (Options *options, const char *prefix)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) list = commy_mesh_store_list_sync (options->mesh, prefix, NULL, &error);
  g_autoptr (GVariant) entries = NULL;
  GVariantBuilder records;

  if (list == NULL)
    return commy_cli_fail (error);
  entries = g_variant_get_child_value (list, 1);
  if (options->cli->json)
    {
      gsize n = g_variant_n_children (entries);

      g_variant_builder_init (&records, G_VARIANT_TYPE ("aa{sv}"));
      for (gsize i = 0; i < n; i++)
        {
          g_autoptr (GVariant) entry = g_variant_get_child_value (entries, i);

          g_variant_builder_add_value (&records, to_record (entry));
        }
      commy_cli_json (options->cli, g_variant_builder_end (&records));
    }
  else if (g_variant_n_children (entries) > 0)
    print_entries (entries);
  else
    commy_cli_note ("no key begins with \"%s\"", prefix);
  return COMMY_EXIT_DONE;
}

static void
print_value (GVariant *value, gboolean raw)
{
  g_autofree char *text = raw ? NULL : dup_text (value, FALSE);
  g_autofree char *clean = text != NULL ? commy_output_clean (text, TRUE) : NULL;

  if (clean != NULL)
    commy_output_print ("%s\n", clean);
  else if (raw)
    commy_output_write (g_variant_get_data (value), g_variant_get_size (value));
  else
    {
      g_autofree char *size = commy_quantity_format_size (g_variant_get_size (value));

      commy_cli_note ("%s that are no text; -r prints them as they are", size);
    }
}

static CommyExit
get (Options *options, const char *key)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) entry = NULL;
  g_autoptr (GVariant) value = NULL;

  if (key[0] == '\0' || g_str_has_suffix (key, "/"))
    return options->raw ? commy_cli_misuse (&verb, "-r is for one key") : get_prefix (options, key);
  entry = commy_mesh_store_get_sync (options->mesh, key, NULL, &error);
  if (error != NULL)
    return commy_cli_fail (error);
  if (entry == NULL)
    return tell_missing (key, options->mesh);
  value = g_variant_lookup_value (entry, "value", G_VARIANT_TYPE_BYTESTRING);
  if (options->cli->json)
    commy_cli_json (options->cli, to_record (entry));
  else
    print_value (value, options->raw);
  return COMMY_EXIT_DONE;
}

/* --- put, rm --- */

static CommyStoreWriteFlags
get_flags (const Options *options)
{
  return options->force ? COMMY_STORE_WRITE_RESERVED : COMMY_STORE_WRITE_DEFAULT;
}

/* Somebody else was there. */
static CommyExit
tell_conflict (Options *options, const char *key)
{
  g_autoptr (GVariant) entry = commy_mesh_store_get_sync (options->mesh, key, NULL, NULL);

  if (entry == NULL)
    commy_cli_note ("nothing was changed: the key is not there");
  else
    commy_cli_note ("nothing was changed: the key has revision %" G_GINT64_FORMAT
                    ", not %" G_GINT64_FORMAT,
                    get_number (entry, "revision"), options->revision);
  return COMMY_EXIT_FAILED;
}

/* @revision: as commy_mesh_store_put_sync() gave it */
static CommyExit
tell_write (Options *options, const char *key, gint64 revision, const GError *error)
{
  if (revision < 0)
    return commy_cli_fail (error);
  if (revision == 0)
    return tell_conflict (options, key);
  if (options->cli->json)
    commy_cli_json (options->cli, g_variant_new_parsed ("{'revision': <%x>}", revision));
  else
    commy_output_print (_ ("revision %" G_GINT64_FORMAT "\n"), revision);
  return COMMY_EXIT_DONE;
}

static CommyExit
put (Options *options, const char *key, const char *text)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) value = text[0] == '@'            ? commy_cli_read_file (text + 1, &error)
                             : strcmp (text, "-") == 0 ? commy_cli_read_file ("-", &error)
                                                       : g_bytes_new (text, strlen (text));
  gint64 revision;

  if (value == NULL)
    return commy_cli_fail (error);
  revision = commy_mesh_store_put_sync (options->mesh, key, value, options->revision,
                                        get_flags (options), NULL, &error);
  return tell_write (options, key, revision, error);
}

static CommyExit
rm (Options *options, const char *key)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) entry = commy_mesh_store_get_sync (options->mesh, key, NULL, &error);
  gint64 revision;

  if (error != NULL)
    return commy_cli_fail (error);
  if (entry == NULL)
    return tell_missing (key, options->mesh);
  revision = commy_mesh_store_delete_sync (options->mesh, key, options->revision,
                                           get_flags (options), NULL, &error);
  return tell_write (options, key, revision, error);
}

/* --- watch --- */

typedef struct
{
  CommyCli *cli;
  GMainLoop *loop;
  GError *error;
} Watcher;

static void
on_changed (CommyStoreWatch *watch, GVariant *entries, gint64 revision, gpointer data)
{
  Watcher *watcher = data;
  gsize n = g_variant_n_children (entries);

  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) entry = g_variant_get_child_value (entries, i);
      g_autofree char *key = dup_key (entry);
      g_autofree char *value = dup_value (entry);
      g_autofree char *clean_key = commy_output_clean (key, FALSE);
      g_autofree char *clean_value = commy_output_clean (value, FALSE);

      if (watcher->cli->json)
        commy_cli_json (watcher->cli, to_record (entry));
      else
        commy_output_print ("%" G_GINT64_FORMAT " %s %s\n", get_number (entry, "revision"),
                            clean_key, clean_value);
    }
  if (fflush (stdout) != 0 || ferror (stdout))
    g_main_loop_quit (watcher->loop);
}

static void
on_ended (CommyStoreWatch *watch, const GError *error, gpointer data)
{
  Watcher *watcher = data;

  watcher->error = g_error_copy (error);
  g_main_loop_quit (watcher->loop);
}

static gboolean
on_interrupt (gpointer data)
{
  g_main_loop_quit (((Watcher *) data)->loop);
  return G_SOURCE_CONTINUE;
}

static CommyExit
watch (Options *options, const char *prefix)
{
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  Watcher watcher = { .cli = options->cli, .loop = loop };
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyStoreWatch) store_watch
      = commy_store_watch_new (options->mesh, prefix, options->revision, &error);
  guint interrupt, terminate;

  if (store_watch == NULL)
    return commy_cli_fail (error);
  options->cli->lines = TRUE;
  g_signal_connect (store_watch, "changed", G_CALLBACK (on_changed), &watcher);
  g_signal_connect (store_watch, "ended", G_CALLBACK (on_ended), &watcher);
  interrupt = g_unix_signal_add (SIGINT, on_interrupt, &watcher);
  terminate = g_unix_signal_add (SIGTERM, on_interrupt, &watcher);
  g_main_loop_run (loop);
  g_source_remove (interrupt);
  g_source_remove (terminate);
  commy_store_watch_stop (store_watch);
  error = g_steal_pointer (&watcher.error);
  return error != NULL ? commy_cli_fail (error) : COMMY_EXIT_DONE;
}

/* --- status --- */

static void
print_status (GVariant *status, gboolean reachable)
{
  static const char *const texts[] = { "plugin", "version", "summary", "state-dir" };
  g_autoptr (GVariant) settings
      = g_variant_lookup_value (status, "settings", G_VARIANT_TYPE ("a{ss}"));
  GVariantIter iter;
  const char *key, *value;

  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    commy_output_print ("%-12s %s\n", texts[i], commy_record_get_string (status, texts[i]));
  g_variant_iter_init (&iter, settings);
  while (g_variant_iter_next (&iter, "{&s&s}", &key, &value))
    commy_output_print ("%-12s %s\n", key, value);
  if (reachable)
    {
      g_autofree char *took
          = commy_quantity_format_ns ((double) commy_record_get_uint (status, "answered-ns"));

      commy_output_print ("%-12s %" G_GINT64_FORMAT "\n", "revision",
                          get_number (status, "revision"));
      commy_output_print (_ ("%-12s after %s\n"), "answered", took);
    }
}

static CommyExit
show_status (Options *options)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) status = commy_mesh_store_status_sync (options->mesh, NULL, &error);
  gboolean reachable;

  if (status == NULL)
    return commy_cli_fail (error);
  reachable = commy_record_get_boolean (status, "reachable");
  if (options->cli->json)
    commy_cli_json (options->cli, status);
  else
    print_status (status, reachable);
  if (!reachable)
    commy_cli_note ("%s", commy_record_get_string (status, "error"));
  return reachable ? COMMY_EXIT_DONE : COMMY_EXIT_FAILED;
}

/* --- the verb --- */

typedef struct
{
  const char *name;
  guint n_arguments;
  const char *misuse;
} Subcommand;

static const Subcommand subcommands[] = {
  { "get", 1, N_ ("get needs one key") },
  { "put", 2, N_ ("put needs a key and a value") },
  { "rm", 1, N_ ("rm needs one key") },
  { "watch", 1, N_ ("watch needs one prefix; '' is all keys") },
  { "status", 0, N_ ("status takes no arguments") },
};

static const Subcommand *
find_subcommand (const char *name)
{
  for (guint i = 0; i < G_N_ELEMENTS (subcommands); i++)
    if (g_strcmp0 (subcommands[i].name, name) == 0)
      return &subcommands[i];
  return NULL;
}

/* Whether the options belong to it; else it was told. */
static gboolean
check_options (Options *options, const char *name)
{
  gboolean writes = strcmp (name, "put") == 0 || strcmp (name, "rm") == 0;
  const char *number = options->expected != NULL ? options->expected : options->from;

  options->revision = COMMY_STORE_ANY_REVISION;
  if ((options->expected != NULL || options->force) && !writes)
    commy_cli_misuse (&verb, "--if-revision and --force belong to put and rm");
  else if (options->from != NULL && strcmp (name, "watch") != 0)
    commy_cli_misuse (&verb, "--from belongs to watch");
  else if (options->raw && strcmp (name, "get") != 0)
    commy_cli_misuse (&verb, "-r belongs to get");
  else if (number != NULL
           && !g_ascii_string_to_signed (number, 10, 0, G_MAXINT64, &options->revision, NULL))
    commy_cli_misuse (&verb, "\"%s\" is no revision: a number from 0 on", number);
  else
    return TRUE;
  return FALSE;
}

static CommyExit
run (Options *options, char **arguments)
{
  g_autoptr (GError) error = NULL;
  const char *name = arguments[1];

  options->mesh = commy_cli_join (options->cli, &error);
  if (options->mesh == NULL)
    return commy_cli_fail (error);
  if (strcmp (name, "get") == 0)
    return get (options, arguments[2]);
  if (strcmp (name, "put") == 0)
    return put (options, arguments[2], arguments[3]);
  if (strcmp (name, "rm") == 0)
    return rm (options, arguments[2]);
  if (strcmp (name, "watch") == 0)
    return watch (options, arguments[2]);
  return show_status (options);
}

CommyExit
commy_cmd_store (CommyCli *cli, char **argv)
{
  g_auto (Options) options = { .cli = cli };
  const GOptionEntry entries[] = {
    { "raw", 'r', 0, G_OPTION_ARG_NONE, &options.raw, N_ ("get: the bytes as they are"), NULL },
    { "if-revision", 0, 0, G_OPTION_ARG_STRING, &options.expected,
      N_ ("put, rm: only if the key has this revision; 0: if it is not there"), "REVISION" },
    { "force", 0, 0, G_OPTION_ARG_NONE, &options.force,
      N_ ("put, rm: keys of the mesh itself, too"), NULL },
    { "from", 0, 0, G_OPTION_ARG_STRING, &options.from,
      N_ ("watch: changes after this revision, not only from now on"), "REVISION" },
    { NULL },
  };
  g_auto (GStrv) arguments = commy_cli_parse (cli, &verb, entries, argv);
  const Subcommand *subcommand;

  if (arguments == NULL)
    return COMMY_EXIT_USAGE;
  subcommand = find_subcommand (arguments[1]);
  if (subcommand == NULL)
    return commy_cli_misuse (&verb, "say one of get, put, rm, watch, status");
  if (g_strv_length (arguments) != subcommand->n_arguments + 2)
    return commy_cli_misuse (&verb, "%s", _ (subcommand->misuse));
  if (!check_options (&options, subcommand->name))
    return COMMY_EXIT_USAGE;
  return run (&options, arguments);
}
