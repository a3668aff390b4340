/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Measurements as text: one group for each transport and place, one line for each size class that
 * has samples. Whoever could write the file could do worse than lie in it; still every number is
 * checked, because a file may be half a file.
 */
#include "config.h"

#include "route/commy-measurement.h"

#include "base/commy-error-private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define HEAD "calibration"
#define FORMAT 1
#define FIELDS 4 /* of a class: mu, var, n, claimed-ns */
#define DAY_S 86400.0
#define DAILY_VARIANCE (0.1 * 0.1) /* of what is believed: a machine is not the same tomorrow */
#define MOST_AGED_VARIANCE 1.0
#define AGED_SAMPLES 4.0 /* what a file counts: enough to contradict a claim, soon outvoted */
#define MOST_LOG 18.0
#define MOST_VARIANCE 400.0
#define MOST_SAMPLES 64.0
#define MOST_NS 1e15

/* --- writing --- */

static bool
has_samples (const CommyMeasurement *entry)
{
  for (guint c = 0; c < COMMY_SIZE_CLASSES; c++)
    if (entry->calibration.classes[c].n > 0)
      return true;
  return false;
}

static int
youngest_first (gconstpointer a, gconstpointer b)
{
  const CommyMeasurement *x = a, *y = b;
  int order = (x->measured_s < y->measured_s) - (x->measured_s > y->measured_s);

  if (order == 0)
    order = strcmp (x->transport, y->transport);
  return order != 0 ? order : strcmp (x->place, y->place);
}

static void
write_class (GString *out, guint size_class, const CommyCell *cell)
{
  const double fields[FIELDS] = { cell->mu, cell->var, cell->n, cell->claimed_ns };
  char text[G_ASCII_DTOSTR_BUF_SIZE];

  g_string_append_printf (out, "class-%u=", size_class);
  for (guint i = 0; i < FIELDS; i++)
    g_string_append_printf (out, "%s%s", i > 0 ? ";" : "",
                            g_ascii_formatd (text, sizeof text, "%.6g", fields[i]));
  g_string_append_c (out, '\n');
}

char *
commy_measurement_write (CommyMeasurement *entries, guint n, const char *machine)
{
  GString *out = g_string_new ("# What probes measured; written by programs that leave a mesh.\n");
  guint written = 0;

  g_string_append_printf (out, "[" HEAD "]\nformat=%d\nmachine=%s\n", FORMAT, machine);
  if (n > 0)
    qsort (entries, n, sizeof *entries, youngest_first);
  for (guint i = 0; i < n && written < COMMY_MEASUREMENTS_MAX; i++)
    {
      const CommyMeasurement *entry = &entries[i];

      if (!has_samples (entry))
        continue;
      g_string_append_printf (
          out, "\n[%s@%s]\nbuild=%s\nmeasured=%" G_GINT64_FORMAT "\nprobes=%" G_GUINT64_FORMAT "\n",
          entry->transport, entry->place, entry->build, entry->measured_s, entry->probes);
      for (guint c = 0; c < COMMY_SIZE_CLASSES; c++)
        if (entry->calibration.classes[c].n > 0)
          write_class (out, c, &entry->calibration.classes[c]);
      written++;
    }
  return g_string_free (out, FALSE);
}

/* --- reading --- */

static bool
in_range (double value, double least, double most)
{
  return isfinite (value) && value >= least && value <= most;
}

static gboolean
read_class (GKeyFile *file, const char *group, CommyMeasurement *entry, guint size_class)
{
  g_autofree char *key = g_strdup_printf ("class-%u", size_class);
  g_autofree double *fields = NULL;
  CommyCell *cell = &entry->calibration.classes[size_class];
  gsize n;

  if (!g_key_file_has_key (file, group, key, NULL))
    return TRUE;
  fields = g_key_file_get_double_list (file, group, key, &n, NULL);
  if (fields == NULL || n != FIELDS || !in_range (fields[0], -MOST_LOG, MOST_LOG)
      || !in_range (fields[1], 1e-9, MOST_VARIANCE) || !in_range (fields[2], 1e-9, MOST_SAMPLES)
      || !in_range (fields[3], 1e-3, MOST_NS))
    return FALSE;
  *cell = (CommyCell){ .mu = fields[0], .var = fields[1], .n = fields[2], .claimed_ns = fields[3] };
  return TRUE;
}

static gboolean
take_string (GKeyFile *file, const char *group, const char *key, char *out, gsize size)
{
  g_autofree char *value = g_key_file_get_string (file, group, key, NULL);

  return value != NULL && value[0] != '\0' && g_strlcpy (out, value, size) < size;
}

static gboolean
read_entry (GKeyFile *file, const char *group, CommyMeasurement *entry)
{
  g_auto (GStrv) parts = g_strsplit (group, "@", 2);
  g_autoptr (GError) error = NULL;

  if (g_strv_length (parts) != 2 || parts[0][0] == '\0' || parts[1][0] == '\0'
      || g_strlcpy (entry->transport, parts[0], sizeof entry->transport) >= sizeof entry->transport
      || g_strlcpy (entry->place, parts[1], sizeof entry->place) >= sizeof entry->place
      || !take_string (file, group, "build", entry->build, sizeof entry->build))
    return FALSE;
  entry->measured_s = g_key_file_get_int64 (file, group, "measured", &error);
  if (error != NULL || entry->measured_s < 0)
    return FALSE;
  entry->probes = g_key_file_get_uint64 (file, group, "probes", &error);
  if (error != NULL)
    return FALSE;
  entry->calibration.bare = true;
  for (guint c = 0; c < COMMY_SIZE_CLASSES; c++)
    if (!read_class (file, group, entry, c))
      return FALSE;
  return has_samples (entry);
}

static gboolean
check_head (GKeyFile *file, const char *machine, GError **error)
{
  g_autofree char *of = g_key_file_get_string (file, HEAD, "machine", NULL);

  if (g_key_file_get_integer (file, HEAD, "format", NULL) != FORMAT || of == NULL)
    commy_set_error (error, COMMY_ERROR_CONFIG, "not a file of measurements of format %d", FORMAT);
  else if (strcmp (of, machine) != 0)
    commy_set_error (error, COMMY_ERROR_CONFIG, "measured on another machine (%.64s)", of);
  else
    return TRUE;
  return FALSE;
}

gboolean
commy_measurement_read (
    const char *text, gsize size, const char *machine, GArray *entries, GError **error)
{
  g_autoptr (GKeyFile) file = g_key_file_new ();
  g_autoptr (GArray) found = g_array_new (FALSE, FALSE, sizeof (CommyMeasurement));
  g_auto (GStrv) groups = NULL;
  gsize n;

  if (size == 0 || size > COMMY_MEASUREMENT_TEXT_MAX
      || !g_key_file_load_from_data (file, text, size, G_KEY_FILE_NONE, NULL))
    {
      commy_set_error (error, COMMY_ERROR_CONFIG, "not a keyfile");
      return FALSE;
    }
  if (!check_head (file, machine, error))
    return FALSE;
  groups = g_key_file_get_groups (file, &n);
  for (gsize i = 0; i < n && found->len < COMMY_MEASUREMENTS_MAX; i++)
    {
      CommyMeasurement entry = { .probes = 0 };

      if (strcmp (groups[i], HEAD) == 0)
        continue;
      if (!read_entry (file, groups[i], &entry))
        {
          commy_set_error (error, COMMY_ERROR_CONFIG, "group [%.96s] is not sound", groups[i]);
          return FALSE;
        }
      g_array_append_val (found, entry);
    }
  g_array_append_vals (entries, found->data, found->len);
  return TRUE;
}

/* --- what is left of it --- */

void
commy_measurement_age (CommyMeasurement *entry, gint64 wall_s, gint64 now_ns)
{
  double days = (double) MAX (wall_s - entry->measured_s, 0) / DAY_S;

  for (guint c = 0; c < COMMY_SIZE_CLASSES; c++)
    {
      CommyCell *cell = &entry->calibration.classes[c];
      double believed;

      if (!(cell->n > 0))
        continue;
      believed = cell->var / cell->n + DAILY_VARIANCE * days;
      cell->n = fmin (cell->n, AGED_SAMPLES);
      cell->var = fmin (believed, MOST_AGED_VARIANCE) * cell->n;
      cell->last_ns = now_ns;
    }
}

void
commy_measurement_refresh (CommyMeasurement *entry)
{
  for (guint c = 0; c < COMMY_SIZE_CLASSES; c++)
    entry->calibration.classes[c].n = fmin (entry->calibration.classes[c].n, 1);
}
