/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The conformance suite over the serializers of this build, and what gvariant's bytes must be.
 */
#include "config.h"

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

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#ifdef WITH_GVARIANT
  commy_serializer_conformance_add (load ("gvariant"));
  g_test_add_func ("/serializer/gvariant/wire/little-endian-normal-form", test_wire_format);
#endif
#ifdef WITH_RAW
  commy_serializer_conformance_add (load ("raw"));
#endif
  return g_test_run ();
}
