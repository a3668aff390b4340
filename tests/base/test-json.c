/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * GVariant printed as JSON, type by type.
 */
#include "config.h"

#include "base/commy-json.h"

#include <math.h>

static void
check (const char *variant, const char *expected)
{
  g_autofree char *json = commy_json_print (g_variant_new_parsed (variant), 0);

  g_assert_cmpstr (json, ==, expected);
}

static void
test_types (void)
{
  check ("true", "true");
  check ("byte 0xff", "255");
  check ("int16 -5", "-5");
  check ("uint16 5", "5");
  check ("-7", "-7");
  check ("uint32 7", "7");
  check ("handle 3", "3");
  check ("int64 -9223372036854775808", "-9223372036854775808");
  check ("uint64 18446744073709551615", "18446744073709551615");
  check ("0.1", "0.1");
  check ("1e300", "1e+300");
  check ("objectpath '/a'", "\"/a\"");
  check ("<<'x'>>", "\"x\"");
  check ("@mi nothing", "null");
  check ("just 4", "4");
  check ("b'hello'", "\"aGVsbG8A\"");
  check ("@ay []", "\"\"");
  check ("()", "[]");
  check ("(1, 'a')", "[1,\"a\"]");
  check ("{'a': <1>, 'b': <[true]>}", "{\"a\":1,\"b\":[true]}");
  check ("@a{sv} {}", "{}");
  check ("{1: 'x'}", "[[1,\"x\"]]");
  check ("{'k', 1}", "[\"k\",1]");
}

static void
test_numbers (void)
{
  g_autofree char *infinite = commy_json_print (g_variant_new_double (INFINITY), 0);
  g_autofree char *nan = commy_json_print (g_variant_new_double (NAN), 0);
  g_autofree char *third = commy_json_print (g_variant_new_double (1.0 / 3), 0);

  g_assert_cmpstr (infinite, ==, "null");
  g_assert_cmpstr (nan, ==, "null");
  g_assert_true (g_ascii_strtod (third, NULL) >= 1.0 / 3
                 && g_ascii_strtod (third, NULL) <= 1.0 / 3);
}

static void
test_strings (void)
{
  g_autofree char *json
      = commy_json_print (g_variant_new_string ("q\" b\\ n\n t\t \x01 \x7f \xc3\xa9"), 0);

  g_assert_cmpstr (json, ==, "\"q\\\" b\\\\ n\\n t\\t \\u0001 \\u007f \xc3\xa9\"");
}

static void
test_indent (void)
{
  g_autoptr (GVariant) value
      = g_variant_ref_sink (g_variant_new_parsed ("{'a': <[1, 2]>, 'b': <@ai []>}"));
  g_autofree char *json = commy_json_print (value, 2);

  g_assert_cmpstr (json, ==, "{\n  \"a\": [\n    1,\n    2\n  ],\n  \"b\": []\n}");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/json/every-type", test_types);
  g_test_add_func ("/json/odd-numbers", test_numbers);
  g_test_add_func ("/json/strings-are-escaped", test_strings);
  g_test_add_func ("/json/indent", test_indent);
  return g_test_run ();
}
