/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Watching keyfiles: those that are there and those that may come. An editor makes several events
 * of one change, so what has changed is read a moment after the last of them.
 */
#include "config.h"

#include "mesh/commy-policy-watch.h"

#include "base/commy-text.h"

#include <gio/gio.h>

#define QUIET_MS 100

struct _CommyPolicyWatch
{
  CommyMesh *mesh; /* which owns it */
  GPtrArray *monitors;
  GSource *soon;
  char *mistake; /* that was told last; NULL: there is none */
};

static void
drop_source (CommyPolicyWatch *self)
{
  if (self->soon == NULL)
    return;
  g_source_destroy (self->soon);
  g_clear_pointer (&self->soon, g_source_unref);
}

static gboolean
read_again (gpointer data)
{
  CommyPolicyWatch *self = data;
  g_autoptr (GError) error = NULL;

  drop_source (self);
  if (commy_mesh_reload_policy_here (self->mesh, &error))
    {
      g_message ("the policy was read again");
      g_clear_pointer (&self->mistake, g_free);
    }
  else if (commy_text_replace (&self->mistake, error->message))
    g_warning ("the policy stays as it was: %s", error->message);
  return G_SOURCE_REMOVE;
}

static void
on_changed (
    GFileMonitor *monitor, GFile *file, GFile *other, GFileMonitorEvent event, gpointer data)
{
  CommyPolicyWatch *self = data;

  drop_source (self);
  self->soon = g_timeout_source_new (QUIET_MS);
  g_source_set_callback (self->soon, read_again, self, NULL);
  g_source_attach (self->soon, self->mesh->context);
}

/* Its folder, because files are replaced more often than they are written. */
static void
watch_folder_of (CommyPolicyWatch *self, GHashTable *seen, const char *path)
{
  g_autofree char *folder = g_path_get_dirname (path);
  g_autoptr (GFile) file = g_file_new_for_path (folder);
  g_autoptr (GError) error = NULL;
  GFileMonitor *monitor;

  if (!g_hash_table_add (seen, g_strdup (folder)) || !g_file_test (folder, G_FILE_TEST_IS_DIR))
    return;
  monitor = g_file_monitor_directory (file, G_FILE_MONITOR_WATCH_MOVES, NULL, &error);
  if (monitor == NULL)
    {
      g_warning ("%s cannot be watched: %s", folder, error->message);
      return;
    }
  g_signal_connect (monitor, "changed", G_CALLBACK (on_changed), self);
  g_ptr_array_add (self->monitors, monitor);
}

static void
monitor_free (gpointer monitor)
{
  g_signal_handlers_disconnect_matched (monitor, G_SIGNAL_MATCH_FUNC, 0, 0, NULL,
                                        (gpointer) on_changed, NULL);
  g_file_monitor_cancel (monitor);
  g_object_unref (monitor);
}

CommyPolicyWatch *
commy_policy_watch_new (CommyMesh *mesh)
{
  g_autoptr (GVariant) files = NULL;
  g_autoptr (GHashTable) seen = NULL;
  CommyPolicyWatch *self;
  GVariantIter iter;
  const char *layer, *path;

  if (!commy_config_get_bool (mesh->config, "security", "policy-watch"))
    return NULL;
  self = g_new0 (CommyPolicyWatch, 1);
  self->mesh = mesh;
  self->monitors = g_ptr_array_new_with_free_func (monitor_free);
  seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  files = g_variant_ref_sink (commy_config_list_files ());
  g_variant_iter_init (&iter, files);
  while (g_variant_iter_next (&iter, "(&s&s)", &layer, &path))
    watch_folder_of (self, seen, path);
  return self;
}

void
commy_policy_watch_free (CommyPolicyWatch *self)
{
  if (self == NULL)
    return;
  drop_source (self);
  g_ptr_array_unref (self->monitors);
  g_free (self->mistake);
  g_free (self);
}
