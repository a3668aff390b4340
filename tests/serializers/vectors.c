/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files of vectors: see the header.
 */
#include "config.h"

#include "vectors.h"

#include <string.h>

#define FOLDER "serializers", "vectors"

GVariant *
vector_parse (const char *text)
{
  static const guint64 plain_nan = G_GUINT64_CONSTANT (0x7ff8000000000000);
  g_autoptr (GError) error = NULL;
  GVariant *value;
  double number;

  if (g_str_equal (text, "nan")) /* the parser's sign depends on the machine */
    {
      memcpy (&number, &plain_nan, sizeof number);
      return g_variant_ref_sink (g_variant_new_double (number));
    }
  value = g_variant_parse (NULL, text, NULL, NULL, &error);
  g_assert_no_error (error);
  return value;
}

GBytes *
vector_from_hex (const char *hex)
{
  gsize size = strlen (hex) / 2;
  guint8 *data = g_malloc (size);

  for (gsize i = 0; i < size; i++)
    data[i]
        = (guint8) (g_ascii_xdigit_value (hex[2 * i]) << 4 | g_ascii_xdigit_value (hex[2 * i + 1]));
  return g_bytes_new_take (data, size);
}

char *
vector_to_hex (GBytes *bytes)
{
  GString *hex = g_string_new (NULL);
  gsize size;
  const guint8 *data = g_bytes_get_data (bytes, &size);

  for (gsize i = 0; i < size; i++)
    g_string_append_printf (hex, "%02x", data[i]);
  return g_string_free (hex, FALSE);
}

static void
vector_free (gpointer data)
{
  Vector *vector = data;

  g_strfreev (vector->columns);
  g_free (vector);
}

GPtrArray *
vectors_load (const char *name)
{
  g_autofree char *path = g_test_build_filename (G_TEST_DIST, FOLDER, name, NULL);
  GPtrArray *vectors = g_ptr_array_new_with_free_func (vector_free);
  g_autofree char *text = NULL;
  g_autoptr (GError) error = NULL;
  g_auto (GStrv) lines = NULL;

  g_file_get_contents (path, &text, NULL, &error);
  g_assert_no_error (error);
  lines = g_strsplit (text, "\n", -1);
  for (char **line = lines; *line != NULL; line++)
    {
      Vector *vector;

      if (strchr ("=<~!", **line) == NULL || **line == '\0')
        continue;
      vector = g_new0 (Vector, 1);
      vector->what = **line;
      vector->columns = g_strsplit (*line + 2, "\t", -1);
      g_assert_cmpuint (g_strv_length (vector->columns), >=, 2);
      g_ptr_array_add (vectors, vector);
    }
  return vectors;
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

GPtrArray *
vectors_list (const char *id)
{
  g_autofree char *path = g_test_build_filename (G_TEST_DIST, FOLDER, NULL);
  g_autofree char *prefix = g_strconcat (id, "-", NULL);
  GPtrArray *names = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GError) error = NULL;
  g_autoptr (GDir) folder = g_dir_open (path, 0, &error);
  const char *name;

  g_assert_no_error (error);
  while ((name = g_dir_read_name (folder)) != NULL)
    if (g_str_has_prefix (name, prefix) && g_str_has_suffix (name, ".vectors"))
      g_ptr_array_add (names, g_strdup (name));
  g_ptr_array_sort (names, compare_names);
  return names;
}
