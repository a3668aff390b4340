/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The matrix of formats, values and languages: what we write is read by Python and by Node, each
 * with a library that is not ours, and what they write of it by us. What came back wrong is an
 * error; how many came back, and what a language cannot tell apart, is printed.
 */
#include "config.h"

#include "formats.h"
#include "languages.h"
#include "matrix-values.h"

#include <string.h>

/* What a library cannot tell apart. */
typedef enum
{
  LOST_NOTHING = 0,
  LOST_SIGN_OF_ZERO = 1 << 0,
  LOST_ORDER_OF_KEYS = 1 << 1, /* an object of JavaScript has those first that are numbers */
} Lost;

/* What one language does with one format. */
typedef struct
{
  const char *format;
  Language language;
  Lost lost;
  const char *none; /* why there is nothing to be asked */
  char *library;
  guint n_equal, n_near;
} Cell;

/* --- comparing --- */

static GVariant *blur (GVariant *value, Lost lost);

static int
compare_entries (gconstpointer a, gconstpointer b)
{
  g_autofree char *one = g_variant_print (*(GVariant *const *) a, TRUE);
  g_autofree char *two = g_variant_print (*(GVariant *const *) b, TRUE);

  return strcmp (one, two);
}

static GVariant *
make_container (GVariant *like, GPtrArray *parts)
{
  GVariant *const *children = (GVariant *const *) parts->pdata;
  const GVariantType *type = g_variant_get_type (like);

  switch (g_variant_classify (like))
    {
    case G_VARIANT_CLASS_VARIANT:
      return g_variant_new_variant (children[0]);
    case G_VARIANT_CLASS_MAYBE:
      return g_variant_new_maybe (g_variant_type_element (type),
                                  parts->len > 0 ? children[0] : NULL);
    case G_VARIANT_CLASS_ARRAY:
      return g_variant_new_array (g_variant_type_element (type), children, parts->len);
    case G_VARIANT_CLASS_DICT_ENTRY:
      return g_variant_new_dict_entry (children[0], children[1]);
    default:
      return g_variant_new_tuple (children, parts->len);
    }
}

static GVariant *
blur_container (GVariant *value, Lost lost)
{
  g_autoptr (GPtrArray) parts = g_ptr_array_new_with_free_func ((GDestroyNotify) g_variant_unref);

  for (gsize i = 0; i < g_variant_n_children (value); i++)
    {
      g_autoptr (GVariant) part = g_variant_get_child_value (value, i);

      g_ptr_array_add (parts, blur (part, lost));
    }
  if ((lost & LOST_ORDER_OF_KEYS) != 0 && g_variant_is_of_type (value, G_VARIANT_TYPE_DICTIONARY))
    g_ptr_array_sort (parts, compare_entries);
  return g_variant_ref_sink (make_container (value, parts));
}

/* @value without what is lost. Not floating. */
static GVariant *
blur (GVariant *value, Lost lost)
{
  if (g_variant_is_container (value))
    return blur_container (value, lost);
  if ((lost & LOST_SIGN_OF_ZERO) != 0 && g_variant_is_of_type (value, G_VARIANT_TYPE_DOUBLE)
      && g_variant_get_double (value) == 0)
    return g_variant_ref_sink (g_variant_new_double (0));
  return g_variant_ref (value);
}

static void
compare (Cell *cell, GVariant *value, GVariant *back)
{
  g_autoptr (GVariant) blurred = NULL;
  g_autoptr (GVariant) blurred_back = NULL;
  g_autofree char *text = NULL;
  g_autofree char *other = NULL;

  if (g_variant_equal (value, back))
    {
      cell->n_equal++;
      return;
    }
  blurred = blur (value, cell->lost);
  blurred_back = blur (back, cell->lost);
  cell->n_near++;
  if (g_variant_equal (blurred, blurred_back))
    return;
  text = g_variant_print (value, TRUE);
  other = g_variant_print (back, TRUE);
  g_error ("%s through %s: %s comes back as %s", cell->format, cell->library, text, other);
}

/* --- going there and back --- */

/* All values that a language has. */
static GPtrArray *
make_values (void)
{
  GPtrArray *values = g_ptr_array_new_with_free_func ((GDestroyNotify) g_variant_unref);

  for (guint i = 0; i < matrix_n_values (); i++)
    if (!matrix_has_key_twice (i))
      g_ptr_array_add (values, matrix_value (i));
  return values;
}

static GString *
write_values (Format *format, const GPtrArray *values)
{
  GString *lines = g_string_new (NULL);

  for (guint i = 0; i < values->len; i++)
    {
      g_autoptr (GBytes) bytes = format_encode (format, values->pdata[i]);

      language_add (lines, g_variant_get_type (values->pdata[i]), bytes);
    }
  return lines;
}

static void
test_cell (gconstpointer data)
{
  Cell *cell = (Cell *) data;
  g_autoptr (Format) format = format_start (cell->format);
  g_autoptr (GPtrArray) values = make_values ();
  g_autoptr (GString) lines = write_values (format, values);
  g_autoptr (GPtrArray) written = NULL;

  g_clear_pointer (&cell->library, g_free);
  written = language_through (cell->language, cell->format, lines, &cell->library);
  if (written == NULL)
    return;
  g_assert_cmpuint (written->len, ==, values->len);
  for (guint i = 0; i < values->len; i++)
    {
      GVariant *value = values->pdata[i];
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) back = format->ops->decode (format->instance, written->pdata[i],
                                                       g_variant_get_type (value), &error);

      if (back == NULL)
        g_error ("%s through %s: %s", cell->format, cell->library, error->message);
      compare (cell, value, back);
    }
  g_assert_cmpuint (cell->n_near, <, values->len / 4);
  g_test_message ("%s through %s: %u of %u values equal, %u but for what it cannot tell apart",
                  cell->format, cell->library, cell->n_equal, values->len, cell->n_near);
}

/* --- the table --- */

static char *
tell_cell (const Cell *cell)
{
  if (cell->none != NULL)
    return g_strdup_printf ("not applicable: %s", cell->none);
  if (cell->library == NULL)
    return g_strdup ("not asked");
  if (cell->n_near == 0)
    return g_strdup_printf ("%u equal (%s)", cell->n_equal, cell->library);
  return g_strdup_printf ("%u equal and %u but for %s%s%s (%s)", cell->n_equal, cell->n_near,
                          (cell->lost & LOST_SIGN_OF_ZERO) != 0 ? "the sign of zero" : "",
                          cell->lost == (LOST_SIGN_OF_ZERO | LOST_ORDER_OF_KEYS) ? " and " : "",
                          (cell->lost & LOST_ORDER_OF_KEYS) != 0 ? "the order of keys" : "",
                          cell->library);
}

/* How many of the values C itself carries: all, or it is an error. */
static guint
count_here (const char *id)
{
  g_autoptr (Format) format = format_start (id);
  g_autoptr (GPtrArray) values = make_values ();

  for (guint i = 0; i < values->len; i++)
    {
      GVariant *value = values->pdata[i];
      g_autoptr (GBytes) bytes = format_encode (format, value);
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) back
          = format->ops->decode (format->instance, bytes, g_variant_get_type (value), &error);

      g_assert_no_error (error);
      g_assert_true (g_variant_equal (back, value));
    }
  return values->len;
}

/* What the cases before found, with C beside it. */
static void
test_table (gconstpointer data)
{
  guint n_asked = 0, n_none = 0, n_trips = 0;

  for (guint i = 0; formats_names[i] != NULL; i++)
    {
      guint n = count_here (formats_names[i]);

      g_test_message ("%-9s C       %u equal", formats_names[i], n);
      n_asked++;
      n_trips += n;
    }
  for (const Cell *cell = data; cell->format != NULL; cell++)
    {
      g_autofree char *text = tell_cell (cell);

      n_asked += cell->library != NULL;
      n_none += cell->none != NULL;
      n_trips += cell->n_equal + cell->n_near;
      g_test_message ("%-9s %-7s %s", cell->format,
                      cell->language == LANGUAGE_NODE ? "Node" : "Python", text);
    }
  g_test_message ("%u pairs of format and language asked, %u not applicable: %u round trips",
                  n_asked, n_none, n_trips);
}

static gboolean
has_format (const char *id)
{
  for (guint i = 0; formats_names[i] != NULL; i++)
    if (g_str_equal (formats_names[i], id))
      return TRUE;
  return FALSE;
}

int
main (int argc, char **argv)
{
  static const char no_library[] = "nobody reads GVariant in JavaScript";
  static const char in_place[] = "it is memory that GLib's programs share";
  Cell cells[] = {
    { .format = "json", .language = LANGUAGE_PYTHON },
    { .format = "json", .language = LANGUAGE_NODE, .lost = LOST_SIGN_OF_ZERO | LOST_ORDER_OF_KEYS },
    { .format = "msgpack", .language = LANGUAGE_PYTHON },
    { .format = "msgpack", .language = LANGUAGE_NODE, .lost = LOST_SIGN_OF_ZERO },
    { .format = "cbor", .language = LANGUAGE_PYTHON },
    { .format = "cbor", .language = LANGUAGE_NODE, .lost = LOST_SIGN_OF_ZERO },
    { .format = "compact", .language = LANGUAGE_PYTHON },
    { .format = "compact", .language = LANGUAGE_NODE },
    { .format = "gvariant", .language = LANGUAGE_PYTHON },
    { .format = "gvariant", .language = LANGUAGE_NODE, .none = no_library },
    { .format = "raw", .language = LANGUAGE_PYTHON },
    { .format = "raw", .language = LANGUAGE_NODE, .none = in_place },
    { .format = NULL },
  };
  int status;

  g_test_init (&argc, &argv, NULL);
  for (Cell *cell = cells; cell->format != NULL; cell++)
    {
      g_autofree char *path = g_strdup_printf ("/serializer/%s/languages/%s", cell->format,
                                               cell->language == LANGUAGE_NODE ? "node" : "python");

      if (cell->none == NULL && has_format (cell->format))
        g_test_add_data_func (path, cell, test_cell);
    }
  g_test_add_data_func ("/serializer/languages/table", cells, test_table);
  status = g_test_run ();
  for (Cell *cell = cells; cell->format != NULL; cell++)
    g_free (cell->library);
  return status;
}
