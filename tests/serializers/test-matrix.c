/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The matrix: every format x every type x every shape around it, there and back, and from each
 * format into each other one. What came back wrong is an error; how many came back is printed.
 */
#include "config.h"

#include "formats.h"
#include "matrix-values.h"

/* @value through @format. */
static GVariant *
carry (Format *format, GVariant *value)
{
  g_autoptr (GBytes) bytes = format_encode (format, value);
  g_autoptr (GError) error = NULL;
  GVariant *back
      = format->ops->decode (format->instance, bytes, g_variant_get_type (value), &error);

  if (back == NULL || !g_variant_equal (back, value))
    {
      g_autofree char *text = g_variant_print (value, TRUE);

      g_error ("%s does not carry %s: %s", format->id, text,
               error != NULL ? error->message : "something else comes back");
    }
  return back;
}

static void
test_round_trips (Format *format)
{
  for (guint i = 0; i < matrix_n_values (); i++)
    {
      g_autoptr (GVariant) value = matrix_value (i);
      g_autoptr (GVariant) back = carry (format, value);
    }
  g_test_message ("%s: %u types x %u shapes, %u round trips", format->id, matrix_n_types (),
                  matrix_n_values () / matrix_n_types (), matrix_n_values ());
}

/* What came out of one format goes into the next. */
static void
test_all_in_turn (void)
{
  g_autoptr (GPtrArray) formats = g_ptr_array_new_with_free_func ((GDestroyNotify) format_stop);
  guint n_trips = 0;

  for (guint i = 0; formats_names[i] != NULL; i++)
    g_ptr_array_add (formats, format_start (formats_names[i]));
  for (guint i = 0; i < matrix_n_values (); i++)
    for (guint from = 0; from < formats->len; from++)
      for (guint to = 0; to < formats->len; to++)
        {
          g_autoptr (GVariant) value = matrix_value (i);
          g_autoptr (GVariant) first = carry (formats->pdata[from], value);
          g_autoptr (GVariant) second = carry (formats->pdata[to], first);
          g_autoptr (GBytes) ours = format_encode (formats->pdata[to], value);
          g_autoptr (GBytes) theirs = format_encode (formats->pdata[to], first);

          g_assert_true (g_bytes_equal (ours, theirs));
          n_trips++;
        }
  g_test_message ("%u formats x %u formats x %u values: %u ways", formats->len, formats->len,
                  matrix_n_values (), n_trips);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; formats_names[i] != NULL; i++)
    formats_add_case (formats_names[i], "matrix/every-type-in-every-shape", test_round_trips);
  g_test_add_func ("/serializer/matrix/from-each-format-into-each", test_all_in_turn);
  return g_test_run ();
}
