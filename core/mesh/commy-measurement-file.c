/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reads, merges and replaces the file of measurements. A lock file keeps two writers apart; who
 * does not get it writes another time, because nothing here is worth waiting for.
 */
#include "config.h"

#include "mesh/commy-measurement-file.h"

#include "base/commy-error-private.h"
#include "plugin/commy-plugin-private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define LOCK_TRIES 20
#define LOCK_PAUSE_US 2000
#define HASH_DIGITS 16

/* --- whose numbers they are --- */

static char *
processor_model (void)
{
  g_autofree char *text = NULL;
  const char *line, *value;

  if (!g_file_get_contents ("/proc/cpuinfo", &text, NULL, NULL))
    return g_strdup ("unknown processor");
  line = strstr (text, "model name");
  value = line != NULL ? strchr (line, ':') : NULL;
  if (value == NULL)
    return g_strdup ("unknown processor");
  return g_strstrip (g_strndup (value + 1, strcspn (value + 1, "\n")));
}

char *
commy_machine_name (void)
{
  g_autofree char *model = processor_model ();
  g_autofree char *id = NULL;
  g_autofree char *hash = NULL;
  char *name;

  if (!g_file_get_contents ("/etc/machine-id", &id, NULL, NULL))
    id = g_strdup (g_get_host_name ());
  /* The id itself is nobody's business: machine-id(5). */
  hash = g_compute_checksum_for_string (G_CHECKSUM_SHA256, id, -1);
  name = g_strdup_printf ("%s x%u %.8s", model, g_get_num_processors (), hash);
  for (char *at = name; *at != '\0'; at++)
    if (!g_ascii_isprint (*at) || *at == '\\')
      *at = '?';
  return name;
}

void
commy_plugin_build (const CommyPlugin *plugin, char *out, gsize size)
{
  int fd = open (plugin->path, O_RDONLY | O_CLOEXEC);
  g_autofree char *hash = fd >= 0 ? commy_trust_hash (fd, plugin->path, NULL) : NULL;

  if (fd >= 0)
    close (fd);
  g_snprintf (out, size, "%s %.*s", plugin->note.version, HASH_DIGITS,
              hash != NULL ? hash : "unknown");
}

/* --- the file --- */

/* @out_there: whether there is anything. */
static gboolean
read_file (
    const char *path, const char *machine, GArray *entries, gboolean *out_there, GError **error)
{
  g_autofree char *text = NULL;
  g_autoptr (GError) cause = NULL;
  gsize size;

  *out_there = g_file_get_contents (path, &text, &size, &cause);
  if (*out_there)
    return commy_measurement_read (text, size, machine, entries, error);
  *out_there = !g_error_matches (cause, G_FILE_ERROR, G_FILE_ERROR_NOENT);
  if (*out_there)
    commy_set_error (error, COMMY_ERROR_STATE_DIR, "%s", cause->message);
  return !*out_there;
}

void
commy_measurement_load (const char *path, const char *machine, GArray *entries)
{
  g_autoptr (GError) error = NULL;
  gboolean there;

  if (!read_file (path, machine, entries, &there, &error))
    g_message ("the measurements in %s are not used and will be replaced: %s", path,
               commy_error_bare (error));
}

static int
take_lock (const char *path)
{
  g_autofree char *lock = g_strconcat (path, ".lock", NULL);
  int fd = open (lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

  if (fd < 0)
    return -1;
  for (guint i = 0; i < LOCK_TRIES; i++)
    {
      if (flock (fd, LOCK_EX | LOCK_NB) == 0)
        return fd;
      if (errno != EWOULDBLOCK && errno != EINTR)
        break;
      g_usleep (LOCK_PAUSE_US);
    }
  close (fd);
  return -1;
}

static void
lay_over (GArray *entries, const CommyMeasurement *entry)
{
  for (guint i = 0; i < entries->len; i++)
    {
      CommyMeasurement *other = &g_array_index (entries, CommyMeasurement, i);

      /* Another build of the plugin: what was measured of the old one is of no use any more. */
      if (strcmp (other->transport, entry->transport) != 0
          || strcmp (other->place, entry->place) != 0)
        continue;
      if (other->measured_s <= entry->measured_s)
        *other = *entry;
      return;
    }
  g_array_append_val (entries, *entry);
}

void
commy_measurement_save (const char *path, const char *machine, const GArray *entries)
{
  g_autoptr (GArray) all = g_array_new (FALSE, FALSE, sizeof (CommyMeasurement));
  g_autofree char *text = NULL;
  g_autoptr (GError) error = NULL;
  gboolean there;
  int lock;

  if (entries->len == 0)
    return;
  lock = take_lock (path);
  if (lock < 0)
    {
      g_info ("measurements are not written to %s: somebody else holds its lock", path);
      return;
    }
  if (!read_file (path, machine, all, &there, NULL))
    g_array_set_size (all, 0);
  for (guint i = 0; i < entries->len; i++)
    lay_over (all, &g_array_index (entries, CommyMeasurement, i));
  text = commy_measurement_write ((gpointer) all->data, all->len, machine);
  if (!g_file_set_contents_full (path, text, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0600, &error))
    g_info ("measurements are not written: %s", error->message);
  close (lock);
}
