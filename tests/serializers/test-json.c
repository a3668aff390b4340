/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The text of the serializer "json": what becomes what, what is taken from others, what is refused
 * and where, and that json-glib and Python read it and are read.
 */
#include "config.h"

#include "../conformance/commy-test-host.h"

#include <gio/gio.h>
#include <json-glib/json-glib.h>
#include <math.h>
#include <string.h>

typedef struct
{
  CommyTestHost *host;
  const CommySerializerOps *ops;
  gpointer instance;
} Json;

static void
json_start (Json *json, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  const CommyPluginDescriptor *descriptor = commy_test_load ("serializer", "json", &error);

  g_assert_no_error (error);
  json->host = commy_test_host_new (NULL, descriptor);
  json->ops = descriptor->ops;
  json->instance = commy_test_host_start (json->host, &error);
  g_assert_no_error (error);
}

static void
json_stop (Json *json, gconstpointer data)
{
  commy_test_host_free (json->host);
}

static char *
to_text (Json *json, GVariant *value)
{
  gsize bound = json->ops->bound (json->instance, value);
  g_autofree char *out = g_malloc (bound + 1);
  g_autoptr (GError) error = NULL;
  gssize size = json->ops->encode (json->instance, value, (guint8 *) out, bound, &error);

  g_assert_no_error (error);
  g_assert_cmpint (size, ==, bound);
  out[size] = '\0';
  return g_steal_pointer (&out);
}

static GVariant *
from_text (Json *json, const char *text, gssize size, const char *type, GError **error)
{
  g_autoptr (GBytes) bytes = g_bytes_new (text, size < 0 ? strlen (text) : (gsize) size);

  return json->ops->decode (json->instance, bytes, G_VARIANT_TYPE (type), error);
}

static GVariant *
parse (const char *text)
{
  g_autoptr (GError) error = NULL;
  GVariant *value = g_variant_parse (NULL, text, NULL, NULL, &error);

  g_assert_no_error (error);
  return value;
}

/* As in the plugin's README. */
static const struct
{
  const char *value, *text;
  gboolean glib; /* json-glib has the same text for it */
} pairs[] = {
  { "true", "true", TRUE },
  { "byte 0xff", "255", TRUE },
  { "int64 9007199254740991", "9007199254740991", TRUE },
  { "int64 9007199254740992", "\"9007199254740992\"" },
  { "int64 -9223372036854775808", "\"-9223372036854775808\"" },
  { "uint64 18446744073709551615", "\"18446744073709551615\"" },
  { "handle 3", "3", TRUE },
  { "0.1", "0.1", TRUE },
  { "3.0", "3.0", TRUE },
  { "-0.0", "-0.0", TRUE },
  { "1e300", "1e+300", TRUE },
  { "0.30000000000000004", "0.30000000000000004", TRUE },
  { "inf", "\"Infinity\"" },
  { "-inf", "\"-Infinity\"" },
  { "'a\"b\\\\c\\n\\t\\u00fc\\U0001f600'", "\"a\\\"b\\\\c\\n\\u0009\xc3\xbc\xf0\x9f\x98\x80\"",
    TRUE },
  { "objectpath '/a/b'", "\"/a/b\"", TRUE },
  { "signature 'a{sv}'", "\"a{sv}\"", TRUE },
  { "@ay [1, 2, 255]", "\"AQL/\"" },
  { "@ay []", "\"\"" },
  { "['a', '']", "[\"a\",\"\"]", TRUE },
  { "[true, false]", "[true,false]", TRUE },
  { "(1, 'two', ())", "[1,\"two\",[]]", TRUE },
  { "{'one': 1, 'two': 2}", "{\"one\":1,\"two\":2}", TRUE },
  { "@a{ub} {7: true}", "{\"7\":true}", TRUE },
  { "@a{ds} {0.5: 'half'}", "{\"0.5\":\"half\"}" },
  { "{'one', 1}", "{\"one\":1}", TRUE },
  { "@a{si} {}", "{}", TRUE },
  { "<5>", "[\"i\",5]" },
  { "{'a': <'x'>}", "{\"a\":[\"s\",\"x\"]}" },
  { "@mi nothing", "null", TRUE },
  { "@mi 5", "5", TRUE },
  { "@mmi nothing", "null", TRUE },
  { "@mmi just nothing", "[null]" },
  { "@mmi 5", "[5]" },
};

static void
test_text (Json *json, gconstpointer data)
{
  for (gsize i = 0; i < G_N_ELEMENTS (pairs); i++)
    {
      g_autoptr (GVariant) value = parse (pairs[i].value);
      g_autofree char *text = to_text (json, value);

      g_assert_cmpstr (text, ==, pairs[i].text);
    }
}

/* Doubles with few decimals, which are written another way than all others, and their neighbours:
 * as printf() has them with the least digits that read back. */
static void
assert_shortest (Json *json, double number)
{
  g_autoptr (GVariant) value = g_variant_ref_sink (g_variant_new_double (number));
  g_autofree char *text = to_text (json, value);
  char expected[64];

  for (int digits = 15; digits <= 17; digits++)
    {
      char format[] = "%.15g";

      format[3] = (char) ('0' + digits % 10);
      g_ascii_formatd (expected, sizeof expected, format, number);
      if (g_ascii_strtod (expected, NULL) == number)
        break;
    }
  if (strpbrk (expected, ".e") == NULL)
    g_strlcat (expected, ".0", sizeof expected);
  g_assert_cmpstr (text, ==, expected);
}

static void
test_decimals (Json *json, gconstpointer data)
{
  double divisor = 1;

  for (guint places = 0; places < 10; places++, divisor *= 10)
    for (guint64 whole = 1; whole < G_GUINT64_CONSTANT (10000000000000000); whole += whole / 7 + 1)
      {
        double number = (double) whole / divisor;

        assert_shortest (json, number);
        assert_shortest (json, -number);
        assert_shortest (json, nextafter (number, 0));
        assert_shortest (json, nextafter (number, HUGE_VAL));
      }
}

static void
test_not_a_number (Json *json, gconstpointer data)
{
  static const struct
  {
    guint64 bits;
    const char *text;
  } nans[] = {
    { 0x7ff8000000000000, "\"NaN\"" },
    { 0xfff8000000000000, "\"-NaN\"" },
    { 0x7ff8000000000001, "\"NaN:7ff8000000000001\"" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (nans); i++)
    {
      double number;
      g_autoptr (GVariant) value = NULL;
      g_autofree char *text = NULL;

      memcpy (&number, &nans[i].bits, sizeof number);
      value = g_variant_ref_sink (g_variant_new_double (number));
      text = to_text (json, value);
      g_assert_cmpstr (text, ==, nans[i].text);
    }
}

/* Other writers' texts. */
static void
test_foreign_text (Json *json, gconstpointer data)
{
  static const struct
  {
    const char *text, *value;
  } cases[] = {
    { " \t\r\n[ 1 ,\n \"x\" ] ", "(1, 'x')" },
    { "{ \"a\" : 1 , \"b\" : 2 }", "{'a': 1, 'b': 2}" },
    { "\"\\u00fc\\ud83d\\ude00\\/\\b\\f\\n\\r\\t\\\"\\\\\"",
      "'\\u00fc\\U0001f600/\\b\\f\\n\\r\\t\"\\\\'" },
    { "[1,2,255]", "@ay [1, 2, 255]" },
    { "\"-42\"", "-42" },
    { "9223372036854775807", "int64 9223372036854775807" },
    { "18446744073709551615", "uint64 18446744073709551615" },
    { "1E2", "100.0" },
    { "100", "100.0" },
    { "100000000000000000000", "1e20" },
    { "\"1.5\"", "1.5" },
    { "{\"a\":1,\"a\":2}", "[{'a', 1}, {'a', 2}]" },
    { "\"\\u0041\x7f\"", "'A\\u007f'" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GVariant) value = parse (cases[i].value);
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) back
          = from_text (json, cases[i].text, -1, g_variant_get_type_string (value), &error);

      g_assert_no_error (error);
      g_assert_true (g_variant_equal (back, value));
    }
}

static void
test_refused (Json *json, gconstpointer data)
{
  static const struct
  {
    const char *type, *text, *why;
  } cases[] = {
    { "i", "", "nothing at byte 0" },
    { "i", "  ", "no i at byte 2" },
    { "i", "1 2", "more than one value at byte 2" },
    { "i", "[1]", "no i at byte 0" },
    { "i", "2147483648", "no i at byte 0" },
    { "i", "1.0", "no i at byte 0" },
    { "i", "1e2", "no i at byte 0" },
    { "i", "01", "no i" },
    { "i", "+1", "no i" },
    { "i", "0x10", "more than one value" },
    { "i", "1,", "more than one value" },
    { "i", "-", "no i" },
    { "i", "\"1 \"", "no i" },
    { "i", "null", "no i" },
    { "y", "256", "no y" },
    { "y", "-1", "no y" },
    { "t", "18446744073709551616", "no t" },
    { "t", "-1", "no t" },
    { "x", "9223372036854775808", "no x" },
    { "x", "\"-9223372036854775809\"", "no x" },
    { "b", "1", "no b" },
    { "b", "True", "no b" },
    { "b", "truest", "more than one value" },
    { "d", "NaN", "no d" },
    { "d", "1e999", "no d" },
    { "d", ".5", "no d" },
    { "d", "1.", "no d" },
    { "d", "1e", "no d" },
    { "d", "\"nan\"", "no d" },
    { "d", "\"NaN:0000000000000000\"", "no d" },
    { "d", "\"0x1p3\"", "no d" },
    { "s", "'a'", "no '\"' at byte 0" },
    { "s", "\"a", "a text that does not end at byte 2" },
    { "s", "\"a\nb\"", "a text that does not end at byte 2" },
    { "s", "\"\\", "an unknown escape" },
    { "s", "\"\\x41\"", "an unknown escape" },
    { "s", "\"\\u12\"", "no four digits behind \\u" },
    { "s", "\"\\u0000\"", "a character 0" },
    { "s", "\"\\ud800\"", "half of a character" },
    { "s", "\"\\ud800\\u0041\"", "half of a character" },
    { "s", "\"\\udc00\"", "half of a character" },
    { "s", "\"\xff\"", "what is no UTF-8 at byte 1" },
    { "s", "\"\xed\xa0\x80\"", "what is no UTF-8" },
    { "s", "\xef\xbb\xbf\"bom\"", "no '\"' at byte 0" },
    { "o", "\"a\"", "no o" },
    { "g", "\"(\"", "no g" },
    { "ay", "\"AQL\"", "no base64" },
    { "ay", "\"A QL/\"", "no base64" },
    { "ay", "\"AR==\"", "no base64" },
    { "ay", "[256]", "no y" },
    { "as", "[\"a\",]", "no '\"' at byte 5" },
    { "as", "[\"a\" \"b\"]", "no ']' at byte 5" },
    { "as", "[\"a\"", "no ']' at byte 4" },
    { "as", "[/* no */]", "no '\"'" },
    { "ai", "[1,]", "no i" },
    { "(ii)", "[1]", "no ',' at byte 2" },
    { "(ii)", "[1,2,3]", "no ']' at byte 4" },
    { "()", "[1]", "no ']'" },
    { "a{si}", "[]", "no '{'" },
    { "a{si}", "{\"a\" 1}", "no ':'" },
    { "a{si}", "{a:1}", "no '\"'" },
    { "a{is}", "{1:\"x\"}", "no '\"'" },
    { "a{is}", "{\"x\":\"x\"}", "no i" },
    { "{si}", "{}", "no '\"'" },
    { "{si}", "{\"a\":1,\"b\":2}", "no '}'" },
    { "v", "5", "no '['" },
    { "v", "[\"i\"]", "no ','" },
    { "v", "[\"a*\",[]]", "\"a*\", which is no type" },
    { "v", "[\"ii\",5]", "which is no type" },
    { "v", "[\"\",5]", "which is no type" },
    { "mi", "[]", "no i" },
    { "mmi", "5", "no '['" },
    { "mmi", "[5", "no ']'" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) value = from_text (json, cases[i].text, -1, cases[i].type, &error);
      g_autofree char *type = g_strdup_printf ("of type %s: ", cases[i].type);

      if (value != NULL)
        g_error ("%s was taken for a %s", cases[i].text, cases[i].type);
      g_assert_error (error, COMMY_TEST_ERROR, COMMY_ERROR_PROTOCOL);
      if (strstr (error->message, type) == NULL || strstr (error->message, cases[i].why) == NULL)
        g_error ("%s as %s: \"%s\" does not say \"%s\"", cases[i].text, cases[i].type,
                 error->message, cases[i].why);
    }
}

static void
assert_too_deep (Json *json, const char *unit, const char *type)
{
  GString *text = g_string_new (NULL);
  g_autofree char *deep = NULL;
  g_autoptr (GError) error = NULL;

  for (int i = 0; i < 200000; i++)
    g_string_append (text, unit);
  deep = g_string_free (text, FALSE);
  g_assert_null (from_text (json, deep, -1, type, &error));
  g_assert_error (error, COMMY_TEST_ERROR, COMMY_ERROR_PROTOCOL);
}

static void
test_deep (Json *json, gconstpointer data)
{
  g_autofree char *arrays = g_strnfill (122, 'a');
  g_autofree char *type = g_strconcat (arrays, "s", NULL);
  g_autofree char *inner = g_strdup_printf ("[\"%s\",[]]", type);
  g_autoptr (GError) error = NULL;

  assert_too_deep (json, "[", "v");
  assert_too_deep (json, "[", "av");
  assert_too_deep (json, "[\"v\",", "v");
  assert_too_deep (json, "[\"av\",[", "v");
  assert_too_deep (json, "{\"a\":[\"a{sv}\",", "a{sv}");
  g_assert_null (from_text (json, "[]", -1, type, &error));
  g_assert_nonnull (strstr (error->message, "more than 120 levels"));
  g_clear_error (&error);
  g_assert_null (from_text (json, inner, -1, "v", &error));
  g_assert_nonnull (strstr (error->message, "more than 120 levels"));
}

/* Where the README says "as json-glib does", json-glib reads ours and is read. */
static void
test_json_glib (Json *json, gconstpointer data)
{
  for (gsize i = 0; i < G_N_ELEMENTS (pairs); i++)
    {
      g_autoptr (GVariant) value = parse (pairs[i].value);
      const char *type = g_variant_get_type_string (value);
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) theirs = NULL;
      g_autoptr (GVariant) ours = NULL;
      g_autofree char *text = NULL;

      if (!pairs[i].glib)
        continue;
      theirs = json_gvariant_deserialize_data (pairs[i].text, -1, type, &error);
      g_assert_no_error (error);
      g_variant_ref_sink (theirs);
      g_assert_true (g_variant_equal (theirs, value));
      text = json_gvariant_serialize_data (value, NULL);
      ours = from_text (json, text, -1, type, &error);
      g_assert_no_error (error);
      g_assert_true (g_variant_equal (ours, value));
    }
}

/* Every text through Python's json and back; Python says what it is not sure of. */
static void
test_python (Json *json, gconstpointer data)
{
  static const char script[] = "import json, sys\n"
                               "def never (what): raise ValueError (what)\n"
                               "for line in sys.stdin:\n"
                               "  print (json.dumps (json.loads (line, parse_constant=never)))\n";
  g_autofree char *python = g_find_program_in_path ("python3");
  g_autoptr (GSubprocess) process = NULL;
  g_autoptr (GString) input = g_string_new (NULL);
  g_autofree char *output = NULL;
  g_auto (GStrv) lines = NULL;
  g_autoptr (GError) error = NULL;

  if (python == NULL)
    {
      g_test_skip ("python3 is not installed");
      return;
    }
  for (gsize i = 0; i < G_N_ELEMENTS (pairs); i++)
    g_string_append_printf (input, "%s\n", pairs[i].text);
  process = g_subprocess_new (G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE,
                              &error, python, "-I", "-X", "utf8", "-c", script, NULL);
  g_assert_no_error (error);
  g_subprocess_communicate_utf8 (process, input->str, NULL, &output, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (g_subprocess_get_successful (process));
  lines = g_strsplit (output, "\n", -1);
  g_assert_cmpuint (g_strv_length (lines), ==, G_N_ELEMENTS (pairs) + 1);
  for (gsize i = 0; i < G_N_ELEMENTS (pairs); i++)
    {
      g_autoptr (GVariant) value = parse (pairs[i].value);
      g_autoptr (GVariant) back
          = from_text (json, lines[i], -1, g_variant_get_type_string (value), &error);

      g_assert_no_error (error);
      g_assert_true (g_variant_equal (back, value));
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(PATH, FUNC) \
  g_test_add ("/serializer/json/" PATH, Json, NULL, json_start, FUNC, json_stop)
  ADD ("text/is-as-documented", test_text);
  ADD ("text/every-nan-has-one", test_not_a_number);
  ADD ("text/decimals-are-as-short-as-can-be", test_decimals);
  ADD ("text/of-others-is-read", test_foreign_text);
  ADD ("text/what-is-wrong-is-said-with-its-place", test_refused);
  ADD ("limits/depth-costs-no-stack", test_deep);
  ADD ("interop/json-glib", test_json_glib);
  ADD ("interop/python", test_python);
  return g_test_run ();
}
