/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The conformance suite over the serializers of this build, and what gvariant's bytes must be.
 * What json's text must be is in test-json.c.
 */
#include "config.h"

#include "formats.h"

#include "../conformance/commy-serializer-conformance.h"

static const CommyPluginDescriptor *
load (const char *id)
{
  g_autoptr (GError) error = NULL;
  const CommyPluginDescriptor *descriptor = commy_test_load ("serializer", id, &error);

  g_assert_no_error (error);
  return descriptor;
}

#ifdef WITH_GVARIANT
/* In the manner of the GVariant specification's examples, little-endian on every machine. */
static void
test_wire_format (void)
{
  static const guint8 expected[] = { 'h', 'i', 0, 0, 0xfe, 0xff, 0xff, 0xff, 3 };
  const CommyPluginDescriptor *descriptor = load ("gvariant");
  const CommySerializerOps *ops = descriptor->ops;
  g_autoptr (CommyTestHost) host = commy_test_host_new (NULL, descriptor);
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = g_variant_ref_sink (g_variant_new ("(si)", "hi", -2));
  gpointer instance = commy_test_host_start (host, &error);
  guint8 out[16];

  g_assert_no_error (error);
  g_assert_cmpuint (ops->bound (instance, value), ==, sizeof expected);
  g_assert_cmpint (ops->encode (instance, value, out, sizeof out, &error), ==, sizeof expected);
  g_assert_cmpmem (out, sizeof expected, expected, sizeof expected);
}
#endif

/* Our check for normal form must say what GLib's says, whatever the bytes. (Not for no bytes at
 * all: GLib takes them for a tuple of two empty arrays, whose normal form has one byte.) */
static void
test_agrees_with_glib (gconstpointer id)
{
  static const char *const types[] = { "ay",     "ax",     "(ay)",    "(say)",   "(ays)",
                                       "(uaxs)", "(ayay)", "(sanay)", "(yaduv)", "(a{sv}ay)" };
  const CommyPluginDescriptor *descriptor = load (id);
  const CommySerializerOps *ops = descriptor->ops;
  g_autoptr (CommyTestHost) host = commy_test_host_new (NULL, descriptor);
  gpointer instance = commy_test_host_start (host, NULL);
  guint n_normal = 0;

  for (int i = 0; i < 100000; i++)
    {
      const GVariantType *type
          = G_VARIANT_TYPE (types[g_test_rand_int_range (0, G_N_ELEMENTS (types))]);
      guint8 data[24];
      gsize size = (gsize) g_test_rand_int_range (1, sizeof data + 1);
      g_autoptr (GBytes) bytes = NULL;
      g_autoptr (GVariant) ours = NULL;
      g_autoptr (GVariant) theirs = NULL;

      for (gsize j = 0; j < sizeof data; j++)
        data[j] = (guint8) g_test_rand_int_range (0, j % 2 ? 2 : 12);
      if (size > 1)
        data[size - 1] = (guint8) g_test_rand_int_range (0, (gint32) size);
      bytes = g_bytes_new (data, size);
      ours = ops->decode (instance, bytes, type, NULL);
      theirs = g_variant_ref_sink (g_variant_new_from_bytes (type, bytes, FALSE));
      g_assert_cmpint (ours != NULL, ==, g_variant_is_normal_form (theirs));
      g_assert_true (ours == NULL || g_variant_equal (ours, theirs));
      n_normal += ours != NULL;
    }
  g_assert_cmpuint (n_normal, >, 1000);
}

/* --- what it costs: with -m perf only; the source of the notes' profiles --- */

static GVariant *
costly_value (const char *what, gsize size)
{
  g_auto (GVariantBuilder) builder;

  if (g_str_equal (what, "numbers"))
    {
      g_autofree gint64 *numbers = g_new (gint64, size / 8);

      for (gsize i = 0; i < size / 8; i++)
        numbers[i] = (gint64) i * 1000;
      return g_variant_ref_sink (
          g_variant_new_fixed_array (G_VARIANT_TYPE_INT64, numbers, size / 8, 8));
    }
  if (g_str_equal (what, "bytes"))
    {
      g_autofree guint8 *bytes = g_malloc0 (size);

      return g_variant_ref_sink (g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, bytes, size, 1));
    }
  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  for (gsize at = 0; at + 32 <= size; at += 32)
    {
      g_autofree char *key = g_strdup_printf ("key-%06u", (guint) at);

      g_variant_builder_add (&builder, "{sv}", key, g_variant_new_uint32 ((guint32) at));
    }
  return g_variant_ref_sink (g_variant_builder_end (&builder));
}

static void
measure (const CommySerializerOps *ops, gpointer instance, const char *what, gsize size)
{
  g_autoptr (GVariant) value = costly_value (what, size);
  gsize bytes = g_variant_get_size (value);
  gsize bound = ops->bound (instance, value);
  g_autofree guint8 *out = g_malloc (bound);
  guint n = (guint) (1 + 20000000 / (bytes * 10 + 500));
  gssize used = 0;
  gint64 begin = g_get_monotonic_time ();
  gint64 middle, end;
  g_autoptr (GBytes) message = NULL;

  for (guint i = 0; i < n; i++)
    {
      g_assert_cmpuint (ops->bound (instance, value), ==, bound);
      used = ops->encode (instance, value, out, bound, NULL);
    }
  middle = g_get_monotonic_time ();
  message = g_bytes_new (out, (gsize) used);
  for (guint i = 0; i < n; i++)
    {
      g_autoptr (GVariant) back = ops->decode (instance, message, g_variant_get_type (value), NULL);

      g_assert_nonnull (back);
    }
  end = g_get_monotonic_time ();
  g_print ("# %-10s %7u bytes: encode %9.0f ns, decode %9.0f ns, size x %.2f\n", what,
           (guint) bytes, (double) (middle - begin) * 1000 / n, (double) (end - middle) * 1000 / n,
           (double) used / (double) bytes);
}

static void
test_cost (gconstpointer id)
{
  const CommyPluginDescriptor *descriptor = load (id);
  g_autoptr (CommyTestHost) host = commy_test_host_new (NULL, descriptor);
  gpointer instance = commy_test_host_start (host, NULL);
  static const char *const kinds[] = { "dictionary", "numbers", "bytes" };

  for (gsize i = 0; i < G_N_ELEMENTS (kinds); i++)
    for (gsize size = 64; size <= 65536; size *= 32)
      measure (descriptor->ops, instance, kinds[i], size);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; formats_names[i] != NULL; i++)
    {
      g_autofree char *path = g_strdup_printf ("/serializer/%s/cost", formats_names[i]);

      commy_serializer_conformance_add (load (formats_names[i]));
      if (g_test_perf ())
        g_test_add_data_func (path, formats_names[i], test_cost);
    }
#ifdef WITH_GVARIANT
  g_test_add_data_func ("/serializer/gvariant/decode/agrees-with-glib", "gvariant",
                        test_agrees_with_glib);
  g_test_add_func ("/serializer/gvariant/wire/little-endian-normal-form", test_wire_format);
#endif
#ifdef WITH_RAW
  g_test_add_data_func ("/serializer/raw/decode/agrees-with-glib", "raw", test_agrees_with_glib);
#endif
  return g_test_run ();
}
