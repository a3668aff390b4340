/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Finds plugin files, judges each by its note, its place and the keyfile, and keeps all of
 * them with the verdict: what cannot be used stays listed with the reason. Nothing of a plugin
 * runs here.
 */
#include "config.h"

#include "base/commy-error-private.h"
#include "base/commy-units.h"
#include "plugin/commy-plugin-private.h"

#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#define FILE_PREFIX "libcommy-"
#define FILE_SUFFIX ".so"
#define MAX_FILES 512u /* a folder with more plugins is not a plugin folder */
#define USER_FOLDER "commy/plugins-1"

struct _CommyCatalog
{
  GPtrArray *plugins;
  CommyQuarantine *quarantine;
};

static const char *const kind_names[]
    = { "?", "transport", "serializer", "auth", "balancer", "store", "policy" };

const char *
commy_plugin_kind_to_string (guint kind)
{
  return kind_names[kind < G_N_ELEMENTS (kind_names) ? kind : 0];
}

const char *
commy_plugin_state_to_string (CommyPluginState state)
{
  static const char *const names[] = { "found",  "rejected", "hidden", "disabled",   "loaded",
                                       "active", "quiesced", "failed", "quarantined" };

  return (guint) state < G_N_ELEMENTS (names) ? names[state] : "?";
}

char *
commy_plugin_dup_group (const CommyPlugin *plugin)
{
  return g_strconcat ("plugin ", plugin->name, NULL);
}

CommyTrust
commy_plugin_get_trust (CommyConfig *config)
{
  const char *trust = commy_config_get (config, "plugins", "trust");

  if (g_strcmp0 (trust, "any") == 0)
    return COMMY_TRUST_ANY;
  if (g_strcmp0 (trust, "hash") == 0)
    return COMMY_TRUST_HASH;
  return COMMY_TRUST_OWNER;
}

static void
plugin_free (gpointer data)
{
  CommyPlugin *plugin = data;

  commy_plugin_stop (plugin);
  g_free (plugin->path);
  g_free (plugin->reason);
  g_free (plugin->reason_origin);
  g_free (plugin->name);
  g_free (plugin->profile_origin);
  g_free (plugin->bias_origin);
  g_strfreev (plugin->hooks);
  g_free (plugin->hooks_origin);
  g_free (plugin);
}

static void
set_verdict (CommyPlugin *plugin, CommyPluginState state, const char *reason, const char *origin)
{
  plugin->state = state;
  g_free (plugin->reason);
  plugin->reason = g_strdup (reason);
  g_free (plugin->reason_origin);
  plugin->reason_origin = g_strdup (origin);
}

/* --- where to look --- */

/* Adds a folder once, under its real name, so that a reason names the file that is meant. */
static void
add_folder (GPtrArray *folders, const char *folder)
{
  g_autofree char *clean = NULL;

  if (folder[0] == '\0')
    return;
  if (!g_path_is_absolute (folder))
    {
      g_message ("plugin folder %s is skipped: only absolute paths are searched", folder);
      return;
    }
  clean = g_canonicalize_filename (folder, "/");
  if (!g_ptr_array_find_with_equal_func (folders, clean, g_str_equal, NULL))
    g_ptr_array_add (folders, g_steal_pointer (&clean));
}

static void
add_folders (GPtrArray *folders, char **list)
{
  for (gsize i = 0; list[i] != NULL; i++)
    add_folder (folders, list[i]);
}

static GPtrArray *
list_folders (CommyConfig *config)
{
  GPtrArray *folders = g_ptr_array_new_with_free_func (g_free);
  g_auto (GStrv) path = commy_config_get_list (config, "plugins", "path");

  add_folders (folders, path);
  if (getauxval (AT_SECURE) == 0 && commy_config_get_bool (config, "plugins", "user-plugins"))
    {
      const char *variable = g_getenv ("COMMY_PLUGIN_PATH");
      g_auto (GStrv) list = g_strsplit (variable != NULL ? variable : "", ":", -1);
      g_autofree char *user = g_build_filename (g_get_user_data_dir (), USER_FOLDER, NULL);

      add_folders (folders, list);
      add_folder (folders, user);
    }
  add_folder (folders, COMMY_PLUGIN_DIR);
  return folders;
}

static int
compare_strings (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

/* Names of the plugin files of a folder, in order, so that a scan does not depend on the disk. */
static GPtrArray *
list_files (const char *folder)
{
  GPtrArray *names = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      if (!g_str_has_prefix (name, FILE_PREFIX) || !g_str_has_suffix (name, FILE_SUFFIX))
        continue;
      if (names->len == MAX_FILES)
        {
          g_message ("plugin folder %s holds more than %u plugins: the rest is left out", folder,
                     MAX_FILES);
          break;
        }
      g_ptr_array_add (names, g_strdup (name));
    }
  g_ptr_array_sort (names, compare_strings);
  return names;
}

/* --- judging one file --- */

/* "transport/shm" from "libcommy-transport-shm.so". */
static char *
name_from_file (const char *file)
{
  gsize length = strlen (file) - strlen (FILE_PREFIX) - strlen (FILE_SUFFIX);
  g_autofree char *stem = g_strndup (file + strlen (FILE_PREFIX), length);
  g_autofree char *valid = g_utf8_make_valid (stem, -1);
  char *dash = strchr (valid, '-');

  if (dash != NULL)
    *dash = '/';
  return g_steal_pointer (&valid);
}

/* Reads the note for the listing although the file is not trusted. */
static void
peek_note (CommyPlugin *plugin)
{
  CommyPluginNote note;
  int fd = commy_plugin_open (plugin->path, NULL, COMMY_TRUST_ANY, &note, NULL);

  if (fd < 0)
    return;
  close (fd);
  if (!commy_note_check (&note, NULL))
    return;
  plugin->note = note;
  plugin->has_note = TRUE;
}

static gboolean
read_note (CommyPlugin *plugin, CommyConfig *config, GError **error)
{
  g_autofree char *group = commy_plugin_dup_group (plugin);
  CommyPluginNote note;
  int fd = commy_plugin_open (plugin->path, commy_config_get (config, group, "sha256"),
                              commy_plugin_get_trust (config), &note, error);

  if (fd < 0)
    {
      peek_note (plugin);
      return FALSE;
    }
  close (fd);
  if (!commy_note_check (&note, error))
    return FALSE;
  plugin->note = note;
  plugin->has_note = TRUE;
  return TRUE;
}

/* The first glob of a list that matches, or NULL. (transfer full) */
static char *
match_list (CommyConfig *config, const char *key, const char *name)
{
  g_auto (GStrv) globs = commy_config_get_list (config, "plugins", key);

  for (gsize i = 0; globs[i] != NULL; i++)
    if (g_pattern_match_simple (globs[i], name))
      return g_strdup (globs[i]);
  return NULL;
}

static void
apply_policy (CommyPlugin *plugin, CommyConfig *config)
{
  g_autofree char *group = commy_plugin_dup_group (plugin);
  g_autofree char *denied = match_list (config, "deny", plugin->name);
  g_autofree char *allowed = NULL;
  g_autofree char *reason = NULL;

  if (denied != NULL)
    {
      reason = g_strdup_printf ("denied by deny=%s of [plugins]", denied);
      set_verdict (plugin, COMMY_PLUGIN_STATE_DISABLED, reason,
                   commy_config_get_origin (config, "plugins", "deny"));
      return;
    }
  allowed = match_list (config, "allow", plugin->name);
  if (allowed == NULL)
    {
      set_verdict (plugin, COMMY_PLUGIN_STATE_DISABLED, "not named by allow= of [plugins]",
                   commy_config_get_origin (config, "plugins", "allow"));
      return;
    }
  if (!commy_config_get_bool (config, group, "enabled"))
    {
      reason = g_strdup_printf ("enabled=false in [%s]", group);
      set_verdict (plugin, COMMY_PLUGIN_STATE_DISABLED, reason,
                   commy_config_get_origin (config, group, "enabled"));
    }
}

/* Last: only what would be started otherwise is worth looking at. */
static void
apply_quarantine (CommyPlugin *plugin)
{
  g_autofree char *reason = NULL;

  if (plugin->state != COMMY_PLUGIN_STATE_FOUND)
    return;
  reason = commy_quarantine_check (plugin->quarantine, plugin->name, plugin->path);
  if (reason != NULL)
    set_verdict (plugin, COMMY_PLUGIN_STATE_QUARANTINED, reason, NULL);
}

static void
apply_settings (CommyPlugin *plugin, CommyConfig *config)
{
  g_autofree char *group = commy_plugin_dup_group (plugin);
  g_autoptr (GError) error = NULL;

  plugin->profile = plugin->note.profile;
  plugin->bias = commy_config_get_double (config, group, "bias");
  if (plugin->bias != 1)
    plugin->bias_origin = g_strdup (commy_config_get_origin (config, group, "bias"));
  plugin->hooks = commy_config_get_list (config, group, "hooks");
  if (plugin->hooks != NULL && plugin->hooks[0] != NULL)
    plugin->hooks_origin = g_strdup (commy_config_get_origin (config, group, "hooks"));
  if (!commy_plugin_override_profile (plugin, config, &error))
    {
      set_verdict (plugin, COMMY_PLUGIN_STATE_REJECTED, commy_error_bare (error),
                   plugin->profile_origin);
      return;
    }
  apply_policy (plugin, config);
  apply_quarantine (plugin);
}

static CommyPlugin *
judge_file (const char *folder, const char *file, CommyCatalog *catalog, CommyConfig *config)
{
  CommyPlugin *plugin = g_new0 (CommyPlugin, 1);
  g_autoptr (GError) error = NULL;
  gboolean ok;

  plugin->state = COMMY_PLUGIN_STATE_FOUND;
  plugin->bias = 1;
  plugin->quarantine = catalog->quarantine;
  plugin->path = g_build_filename (folder, file, NULL);
  plugin->name = name_from_file (file);

  ok = read_note (plugin, config, &error);
  if (plugin->has_note)
    {
      g_free (plugin->name);
      plugin->name = g_strdup_printf ("%s/%s", commy_plugin_kind_to_string (plugin->note.kind),
                                      plugin->note.id);
    }
  if (ok)
    apply_settings (plugin, config);
  else
    {
      gboolean by_trust = error->code == COMMY_ERROR_PLUGIN_TRUST;

      plugin->profile = plugin->note.profile;
      set_verdict (plugin, COMMY_PLUGIN_STATE_REJECTED, commy_error_bare (error),
                   by_trust ? commy_config_get_origin (config, "plugins", "trust") : NULL);
    }
  return plugin;
}

/* --- the whole --- */

/* A file that cannot be used does not hide one that can. */
static void
hide_if_known (GHashTable *known, CommyPlugin *plugin)
{
  CommyPlugin *first;
  g_autofree char *reason = NULL;

  if (plugin->state != COMMY_PLUGIN_STATE_FOUND)
    return;
  first = g_hash_table_lookup (known, plugin->name);
  if (first == NULL)
    {
      g_hash_table_insert (known, plugin->name, plugin);
      return;
    }
  reason = g_strdup_printf ("hidden by %s (same id, earlier in the search path)", first->path);
  set_verdict (plugin, COMMY_PLUGIN_STATE_HIDDEN, reason, NULL);
}

static void
tell_nothing_found (CommyConfig *config, GPtrArray *folders)
{
  g_autofree char *list = NULL;
  gboolean unasked = !commy_config_get_bool (config, "plugins", "user-plugins")
                     && g_getenv ("COMMY_PLUGIN_PATH") != NULL;

  g_ptr_array_add (folders, NULL);
  list = g_strjoinv (", ", (char **) folders->pdata);
  g_message ("there is no plugin in %s%s", list,
             unasked ? "; COMMY_PLUGIN_PATH is not searched (user-plugins=false in [plugins])"
                     : "");
}

/* Two words of the same letters that are two changes apart are one with two letters swapped. */
static gboolean
is_slip (const char *word, const char *meant)
{
  guint distance = commy_edit_distance (word, meant, 2);
  guint counts[256] = { 0 };

  if (distance != 2)
    return distance < 2;
  if (strlen (word) != strlen (meant))
    return FALSE;
  for (gsize i = 0; word[i] != '\0'; i++)
    {
      counts[(guchar) word[i]]++;
      counts[(guchar) meant[i]]--;
    }
  for (guint i = 0; i < G_N_ELEMENTS (counts); i++)
    if (counts[i] != 0)
      return FALSE;
  return TRUE;
}

const char *
commy_catalog_find_slip (CommyCatalog *catalog, const char *name)
{
  for (guint i = 0; i < catalog->plugins->len; i++)
    {
      const CommyPlugin *plugin = catalog->plugins->pdata[i];

      if (plugin->has_note && is_slip (name, plugin->name))
        return plugin->name;
    }
  return NULL;
}

static void
tell_idle_denial (CommyCatalog *catalog, CommyConfig *config, const char *denied)
{
  const char *meant = commy_catalog_find_slip (catalog, denied);
  g_autofree char *hint
      = meant != NULL ? g_strdup_printf ("; did you mean \"%s\"?", meant) : g_strdup ("");

  g_message ("deny=%s of [plugins] (%s) fits no plugin that was found%s", denied,
             commy_config_get_origin (config, "plugins", "deny"), hint);
}

/* A slip in deny= would allow what should be denied; a pattern with a wildcard may fit nothing. */
static void
tell_idle_denials (CommyCatalog *catalog, CommyConfig *config)
{
  g_auto (GStrv) denied = commy_config_get_list (config, "plugins", "deny");

  for (gsize i = 0; denied[i] != NULL; i++)
    {
      gboolean fits = strpbrk (denied[i], "*?") != NULL;

      for (guint j = 0; j < catalog->plugins->len && !fits; j++)
        fits = g_str_equal (((CommyPlugin *) catalog->plugins->pdata[j])->name, denied[i]);
      if (!fits)
        tell_idle_denial (catalog, config, denied[i]);
    }
}

static void
scan (CommyCatalog *catalog, CommyConfig *config)
{
  g_autoptr (GPtrArray) folders = list_folders (config);
  g_autoptr (GHashTable) known = g_hash_table_new (g_str_hash, g_str_equal);

  for (guint i = 0; i < folders->len; i++)
    {
      const char *folder = g_ptr_array_index (folders, i);
      g_autoptr (GPtrArray) files = list_files (folder);

      for (guint j = 0; j < files->len; j++)
        {
          CommyPlugin *plugin = judge_file (folder, g_ptr_array_index (files, j), catalog, config);

          hide_if_known (known, plugin);
          g_ptr_array_add (catalog->plugins, plugin);
        }
    }
  if (catalog->plugins->len == 0)
    tell_nothing_found (config, folders);
  else
    tell_idle_denials (catalog, config);
}

/* By kind, id, and then what can be used first; files without a note come last. */
static int
compare_plugins (gconstpointer a, gconstpointer b)
{
  const CommyPlugin *one = *(CommyPlugin *const *) a;
  const CommyPlugin *two = *(CommyPlugin *const *) b;
  gboolean usable_one = one->state == COMMY_PLUGIN_STATE_FOUND;
  gboolean usable_two = two->state == COMMY_PLUGIN_STATE_FOUND;
  int order;

  if (one->has_note != two->has_note)
    return one->has_note ? -1 : 1;
  if (one->note.kind != two->note.kind)
    return one->note.kind < two->note.kind ? -1 : 1;
  order = strcmp (one->name, two->name);
  if (order != 0)
    return order;
  if (usable_one != usable_two)
    return usable_one ? -1 : 1;
  return strcmp (one->path, two->path);
}

static CommyPlugin *
find_by_name (CommyCatalog *catalog, const char *name)
{
  for (guint i = 0; i < catalog->plugins->len; i++)
    {
      CommyPlugin *plugin = g_ptr_array_index (catalog->plugins, i);

      if (strcmp (plugin->name, name) == 0)
        return plugin;
    }
  return NULL;
}

static gboolean
check_required (CommyCatalog *catalog, CommyConfig *config, GError **error)
{
  g_auto (GStrv) required = commy_config_get_list (config, "plugins", "require");

  for (gsize i = 0; required[i] != NULL; i++)
    {
      const CommyPlugin *plugin = find_by_name (catalog, required[i]);

      if (plugin != NULL && plugin->state == COMMY_PLUGIN_STATE_FOUND)
        continue;
      commy_set_error (error,
                       plugin != NULL && plugin->state == COMMY_PLUGIN_STATE_QUARANTINED
                           ? COMMY_ERROR_PLUGIN_QUARANTINED
                           : COMMY_ERROR_PLUGIN_MISSING,
                       "plugin %s is required (%s) and %s%s%s", required[i],
                       commy_config_get_origin (config, "plugins", "require"),
                       plugin == NULL ? "was not found in any plugin folder"
                                      : commy_plugin_state_to_string (plugin->state),
                       plugin != NULL && plugin->reason != NULL ? ": " : "",
                       plugin != NULL && plugin->reason != NULL ? plugin->reason : "");
      return FALSE;
    }
  return TRUE;
}

CommyCatalog *
commy_catalog_new (CommyConfig *config, const char *state_dir, GError **error)
{
  g_autoptr (CommyCatalog) catalog = g_new0 (CommyCatalog, 1);

  catalog->plugins = g_ptr_array_new_with_free_func (plugin_free);
  catalog->quarantine = commy_quarantine_new (state_dir);
  scan (catalog, config);
  g_ptr_array_sort (catalog->plugins, compare_plugins);
  if (!check_required (catalog, config, error))
    return NULL;
  return g_steal_pointer (&catalog);
}

void
commy_catalog_free (CommyCatalog *catalog)
{
  if (catalog == NULL)
    return;
  /* A hook may stand before what it wraps. */
  for (guint i = 0; i < catalog->plugins->len; i++)
    commy_plugin_stop (catalog->plugins->pdata[i]);
  g_ptr_array_unref (catalog->plugins);
  commy_quarantine_free (catalog->quarantine);
  g_free (catalog);
}

guint
commy_catalog_get_n_plugins (CommyCatalog *catalog)
{
  return catalog->plugins->len;
}

CommyPlugin *
commy_catalog_get_plugin (CommyCatalog *catalog, guint i)
{
  return g_ptr_array_index (catalog->plugins, i);
}

CommyPlugin *
commy_catalog_find (CommyCatalog *catalog, guint kind, const char *id)
{
  for (guint i = 0; i < catalog->plugins->len; i++)
    {
      CommyPlugin *plugin = g_ptr_array_index (catalog->plugins, i);

      if (plugin->has_note && plugin->note.kind == kind && strcmp (plugin->note.id, id) == 0
          && (plugin->state == COMMY_PLUGIN_STATE_FOUND
              || plugin->state == COMMY_PLUGIN_STATE_LOADED
              || plugin->state == COMMY_PLUGIN_STATE_ACTIVE))
        return plugin;
    }
  return NULL;
}

CommyPlugin *
commy_catalog_find_any (CommyCatalog *catalog, guint kind, const char *id)
{
  g_autofree char *name = g_strdup_printf ("%s/%s", commy_plugin_kind_to_string (kind), id);

  return find_by_name (catalog, name);
}

GVariant *
commy_catalog_release (CommyCatalog *catalog, const char *name, GError **error)
{
  return commy_quarantine_release (catalog->quarantine, name, error);
}
