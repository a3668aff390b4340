/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The bytes of the serializer "compact": the published vectors, what is refused and with which
 * words, its limits, and a second implementation in Python that was written from the document.
 */
#include "config.h"

#include "../../bench/samples.h"
#include "../conformance/commy-serializer-conformance.h"
#include "languages.h"

#include <json-glib/json-glib.h>
#include <string.h>

#define PYTHON "/usr/bin/python3" /* Debian's, which has GLib's bindings */
#define N_LINES 2000

typedef struct
{
  CommyTestHost *host;
  const CommySerializerOps *ops;
  gpointer instance;
} Compact;

static void
compact_start (Compact *compact, gconstpointer max_size)
{
  g_autoptr (GError) error = NULL;
  const CommyPluginDescriptor *descriptor = commy_test_load ("serializer", "compact", &error);

  g_assert_no_error (error);
  compact->host = commy_test_host_new (NULL, descriptor);
  if (max_size != NULL)
    commy_test_host_set_param (compact->host, "max-size", max_size);
  compact->ops = descriptor->ops;
  compact->instance = commy_test_host_start (compact->host, &error);
  g_assert_no_error (error);
}

static void
compact_stop (Compact *compact, gconstpointer max_size)
{
  commy_test_host_free (compact->host);
}

static GBytes *
encode (Compact *compact, GVariant *value)
{
  gsize bound = compact->ops->bound (compact->instance, value);
  guint8 *out = g_malloc (MAX (bound, 1));
  g_autoptr (GError) error = NULL;
  gssize size = compact->ops->encode (compact->instance, value, out, bound, &error);

  g_assert_no_error (error);
  return g_bytes_new_take (out, (gsize) size);
}

static GVariant *
decode (Compact *compact, GBytes *bytes, const char *type, GError **error)
{
  return compact->ops->decode (compact->instance, bytes, G_VARIANT_TYPE (type), error);
}

static GVariant *
parse (const char *type, const char *text)
{
  g_autoptr (GError) error = NULL;
  GVariant *value = g_variant_parse (G_VARIANT_TYPE (type), text, NULL, NULL, &error);

  g_assert_no_error (error);
  return value;
}

static GBytes *
from_hex (const char *hex)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();

  for (; hex[0] != '\0'; hex += 2)
    {
      guint8 byte = (guint8) (g_ascii_xdigit_value (hex[0]) << 4 | g_ascii_xdigit_value (hex[1]));

      g_byte_array_append (bytes, &byte, 1);
    }
  return g_byte_array_free_to_bytes (g_steal_pointer (&bytes));
}

static char *
to_hex (gconstpointer data, gsize size)
{
  const guint8 *bytes = data;
  GString *hex = g_string_new (NULL);

  for (gsize i = 0; i < size; i++)
    g_string_append_printf (hex, "%02x", bytes[i]);
  return g_string_free (hex, FALSE);
}

static char *
bytes_to_hex (GBytes *bytes)
{
  gsize size;
  gconstpointer data = g_bytes_get_data (bytes, &size);

  return to_hex (data, size);
}

/* The vectors under @name. */
static JsonArray *
load_vectors (const char *name, JsonParser **out)
{
  g_autofree char *path
      = g_test_build_filename (G_TEST_DIST, "serializers/compact-vectors.json", NULL);
  g_autoptr (GError) error = NULL;

  *out = json_parser_new ();
  json_parser_load_from_file (*out, path, &error);
  g_assert_no_error (error);
  return json_object_get_array_member (json_node_get_object (json_parser_get_root (*out)), name);
}

static void
test_vectors (Compact *compact, gconstpointer data)
{
  g_autoptr (JsonParser) parser = NULL;
  JsonArray *vectors = load_vectors ("vectors", &parser);

  g_assert_cmpuint (json_array_get_length (vectors), >=, 100);
  for (guint i = 0; i < json_array_get_length (vectors); i++)
    {
      JsonObject *vector = json_array_get_object_element (vectors, i);
      const char *type = json_object_get_string_member (vector, "type");
      const char *hex = json_object_get_string_member (vector, "bytes");
      g_autoptr (GVariant) value = parse (type, json_object_get_string_member (vector, "value"));
      g_autoptr (GBytes) ours = encode (compact, value);
      g_autofree char *ours_hex = bytes_to_hex (ours);
      g_autoptr (GBytes) theirs = from_hex (hex);
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) back = decode (compact, theirs, type, &error);

      g_assert_no_error (error);
      g_assert_cmpstr (ours_hex, ==, hex);
      g_assert_true (g_variant_equal (back, value));
    }
}

static void
test_refused_vectors (Compact *compact, gconstpointer data)
{
  g_autoptr (JsonParser) parser = NULL;
  JsonArray *vectors = load_vectors ("refused", &parser);

  g_assert_cmpuint (json_array_get_length (vectors), >=, 60);
  for (guint i = 0; i < json_array_get_length (vectors); i++)
    {
      JsonObject *vector = json_array_get_object_element (vectors, i);
      const char *type = json_object_get_string_member (vector, "type");
      const char *hex = json_object_get_string_member (vector, "bytes");
      g_autoptr (GBytes) bytes = from_hex (hex);
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) value = decode (compact, bytes, type, &error);

      if (value != NULL)
        g_error ("%s was taken for a %s: %s", hex, type,
                 json_object_get_string_member (vector, "why"));
      g_assert_error (error, COMMY_TEST_ERROR, COMMY_ERROR_PROTOCOL);
    }
}

static void
test_told (Compact *compact, gconstpointer data)
{
  static const struct
  {
    const char *type, *hex, *why;
  } cases[] = {
    { "(ai)", "", "nothing at byte 0" },
    { "q", "8001", "a number that is cut off or longer than it needs to be at byte 0" },
    { "(yq)", "05c10000", "a number that is too large at byte 1" },
    { "(yb)", "0205", "a bit that means nothing at byte 0" },
    { "mi", "02", "neither 0 nor 1 at byte 0" },
    { "(ys)", "05026100", "what is no UTF-8 at byte 2" },
    { "o", "0161", "what is no object path at byte 1" },
    { "g", "0128", "what is no signature at byte 1" },
    { "as", "7f", "more elements than there are bytes at byte 0" },
    { "ay", "7f00", "more elements than there are bytes at byte 0" },
    { "s", "7f00", "more is announced than there is at byte 1" },
    { "(yai)", "0508", "more elements than there are bytes at byte 1" },
    { "(yai)", "05100280", "a number that is cut off or longer than it needs to be at byte 3" },
    { "(yai)", "05120200f400", "an array in a form that is not the shortest at byte 1" },
    { "()", "05", "no 0 for an empty tuple at byte 0" },
    { "(yv)", "0518", "a code of no type at byte 1" },
    { "(yv)", "05216902", "the letters of a type that has a code at byte 1" },
    { "(yv)", "05222828", "no type, or more than 120 levels of them, at byte 1" },
    { "y", "0000", "more than one value at byte 1" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr (GBytes) bytes = from_hex (cases[i].hex);
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) value = decode (compact, bytes, cases[i].type, &error);

      if (value != NULL)
        g_error ("%s was taken for a %s", cases[i].hex, cases[i].type);
      if (strstr (error->message, cases[i].why) == NULL)
        g_error ("%s as %s: \"%s\" does not say \"%s\"", cases[i].hex, cases[i].type,
                 error->message, cases[i].why);
    }
}

/* One value, one encoding: noise that is accepted is what the writer makes of it. */
static void
test_canonical (Compact *compact, gconstpointer data)
{
  guint32 seed = (guint32) g_test_rand_int ();
  GRand *rand = g_rand_new_with_seed (seed);
  guint accepted = 0;

  g_test_message ("seed %u (from the program's --seed)", seed);
  for (int i = 0; i < 200000; i++)
    {
      static const char *const types[]
          = { "t", "n", "ai", "an", "at", "(bmi)", "ab", "ami", "v", "a(bmq)", "(vmb)", "aab" };
      const char *type = types[g_rand_int_range (rand, 0, G_N_ELEMENTS (types))];
      guint8 noise[12];
      gint32 most = g_rand_boolean (rand) ? 256 : 12;
      g_autoptr (GBytes) bytes = NULL;
      g_autoptr (GBytes) again = NULL;
      g_autoptr (GVariant) value = NULL;

      for (gsize j = 0; j < sizeof noise; j++)
        noise[j] = (guint8) g_rand_int_range (rand, 0, most);
      bytes = g_bytes_new (noise, (gsize) g_rand_int_range (rand, 1, sizeof noise + 1));
      value = decode (compact, bytes, type, NULL);
      if (value == NULL)
        continue;
      accepted++;
      again = encode (compact, value);
      if (!g_bytes_equal (again, bytes))
        {
          g_autofree char *hex = bytes_to_hex (bytes);

          g_error ("%s is a %s, but not the one that is written", hex, type);
        }
    }
  g_assert_cmpuint (accepted, >, 1000);
  g_rand_free (rand);
}

/* Some integers, most of them small: all forms of such arrays come up. */
static GVariant *
make_up_integers (GRand *rand)
{
  static const char types[] = "nqiuxth";
  const char type[] = { types[g_rand_int_range (rand, 0, sizeof types - 1)], '\0' };
  gsize size = strchr ("nq", type[0]) ? 2 : strchr ("xt", type[0]) ? 8 : 4;
  gsize n = (gsize) g_rand_int_range (rand, 0, 40);
  guint usual = (guint) g_rand_int_range (rand, 0, 64);
  g_autofree guint8 *data = g_malloc (n * size + 1);

  for (gsize i = 0; i < n; i++)
    {
      guint bits
          = g_rand_int_range (rand, 0, 8) == 0 ? (guint) g_rand_int_range (rand, 0, 64) : usual;
      guint64 t = (guint64) ((gint64) ((guint64) g_rand_int (rand) << 32 | g_rand_int (rand))
                             >> (63 - bits));
      guint32 u = (guint32) t;
      guint16 q = (guint16) t;

      memcpy (data + i * size, size == 2 ? (gpointer) &q : size == 4 ? (gpointer) &u : &t, size);
    }
  return g_variant_ref_sink (g_variant_new_fixed_array (G_VARIANT_TYPE (type), data, n, size));
}

static void
test_integers (Compact *compact, gconstpointer data)
{
  guint32 seed = (guint32) g_test_rand_int ();
  GRand *rand = g_rand_new_with_seed (seed);
  guint forms[8] = { 0 };

  g_test_message ("seed %u (from the program's --seed)", seed);
  for (int i = 0; i < 20000; i++)
    {
      g_autoptr (GVariant) value = make_up_integers (rand);
      g_autoptr (GBytes) bytes = encode (compact, value);
      g_autoptr (GVariant) back = decode (compact, bytes, g_variant_get_type_string (value), NULL);
      gsize size = g_bytes_get_size (bytes);
      const guint8 *first = g_bytes_get_data (bytes, NULL);

      if (back == NULL || !g_variant_equal (back, value))
        {
          g_autofree char *text = g_variant_print (value, TRUE);

          g_error ("%s does not come back", text);
        }
      g_assert_cmpuint (size, <=, g_variant_get_size (value) + 2);
      forms[(first[0] < 0x80 ? first[0] : first[1]) & 7]++;
    }
  for (guint form = 0; form < 5; form++)
    g_assert_cmpuint (forms[form], >, 100);
  g_rand_free (rand);
}

/* --- how small --- */

static gsize
msgpack_header (gsize n, gsize in_one_byte)
{
  return n <= in_one_byte ? 1 : n <= G_MAXUINT16 ? 3 : 5;
}

static gsize
msgpack_integer_size (guint64 magnitude, gboolean negative)
{
  if (negative)
    return magnitude <= 32                                ? 1
           : magnitude <= 128                             ? 2
           : magnitude <= 32768                           ? 3
           : magnitude <= G_GUINT64_CONSTANT (2147483648) ? 5
                                                          : 9;
  return magnitude <= 127           ? 1
         : magnitude <= G_MAXUINT8  ? 2
         : magnitude <= G_MAXUINT16 ? 3
         : magnitude <= G_MAXUINT32 ? 5
                                    : 9;
}

static gsize
msgpack_number_size (GVariant *value)
{
  gint64 x;

  switch (g_variant_classify (value))
    {
    case G_VARIANT_CLASS_BOOLEAN:
      return 1;
    case G_VARIANT_CLASS_BYTE:
      return msgpack_integer_size (g_variant_get_byte (value), FALSE);
    case G_VARIANT_CLASS_UINT16:
      return msgpack_integer_size (g_variant_get_uint16 (value), FALSE);
    case G_VARIANT_CLASS_UINT32:
      return msgpack_integer_size (g_variant_get_uint32 (value), FALSE);
    case G_VARIANT_CLASS_UINT64:
      return msgpack_integer_size (g_variant_get_uint64 (value), FALSE);
    case G_VARIANT_CLASS_DOUBLE:
      return (double) (float) g_variant_get_double (value) == g_variant_get_double (value) ? 5 : 9;
    case G_VARIANT_CLASS_INT16:
      x = g_variant_get_int16 (value);
      break;
    case G_VARIANT_CLASS_INT32:
      x = g_variant_get_int32 (value);
      break;
    default:
      x = g_variant_get_int64 (value);
    }
  return msgpack_integer_size (x < 0 ? -(guint64) x : (guint64) x, x < 0);
}

/* The least that MessagePack's specification allows for a value that is to come back equal: a
 * variant says its type, floats are short where nothing is lost. */
static gsize
msgpack_size (GVariant *value)
{
  gsize n, size;

  if (g_variant_is_of_type (value, G_VARIANT_TYPE_BYTESTRING))
    {
      n = g_variant_n_children (value);
      return n + (n <= G_MAXUINT8 ? 2 : msgpack_header (n, 0));
    }
  if (g_variant_is_of_type (value, G_VARIANT_TYPE_STRING))
    {
      g_variant_get_string (value, &n);
      return n + (n <= 31 ? 1 : n <= G_MAXUINT8 ? 2 : msgpack_header (n, 0));
    }
  if (!g_variant_is_container (value))
    return msgpack_number_size (value);
  n = g_variant_n_children (value);
  size = g_variant_is_of_type (value, G_VARIANT_TYPE_DICT_ENTRY) ? 0
         : g_variant_is_of_type (value, G_VARIANT_TYPE_MAYBE)    ? n == 0
                                                                 : msgpack_header (n, 15);
  for (gsize i = 0; i < n; i++)
    {
      g_autoptr (GVariant) child = g_variant_get_child_value (value, i);

      size += msgpack_size (child);
      if (g_variant_is_of_type (value, G_VARIANT_TYPE_VARIANT))
        size += 1 + strlen (g_variant_get_type_string (child));
    }
  return size;
}

static void
test_samples (Compact *compact, gconstpointer data)
{
  for (const BenchSampleValue *sample = bench_samples (); sample->name != NULL; sample++)
    {
      g_autoptr (GVariant) value = sample->make ();
      g_autoptr (GBytes) bytes = encode (compact, value);
      g_autoptr (GVariant) back = decode (compact, bytes, g_variant_get_type_string (value), NULL);
      gsize theirs = msgpack_size (value);

      g_test_message ("%s: %" G_GSIZE_FORMAT " bytes, at least %" G_GSIZE_FORMAT " by MessagePack",
                      sample->name, g_bytes_get_size (bytes), theirs);
      g_assert_cmpuint (g_bytes_get_size (bytes), <, theirs);
      g_assert_true (g_variant_is_normal_form (back));
      g_assert_true (g_variant_equal (back, value));
    }
}

/* --- limits --- */

static void
test_max_size (Compact *compact, gconstpointer max_size)
{
  g_autofree guint8 *zeros = g_malloc0 (1024 * 1024 + 1);
  g_autoptr (GVariant) fits
      = g_variant_ref_sink (g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, zeros, 1024 * 1024, 1));
  g_autoptr (GVariant) beyond = g_variant_ref_sink (
      g_variant_new_fixed_array (G_VARIANT_TYPE_BYTE, zeros, 1024 * 1024 + 1, 1));
  g_autoptr (GBytes) bytes = encode (compact, fits);
  g_autoptr (GBytes) bits = NULL;
  g_autoptr (GVariant) back = decode (compact, bytes, "ay", NULL);
  g_autoptr (GError) error = NULL;
  guint8 out;

  g_assert_true (g_variant_equal (back, fits));
  g_assert_cmpuint (compact->ops->bound (compact->instance, beyond), ==, 0);
  g_assert_cmpint (compact->ops->encode (compact->instance, beyond, &out, 0, &error), ==, -1);
  g_assert_error (error, COMMY_TEST_ERROR, COMMY_ERROR_TYPE);
  g_assert_nonnull (strstr (error->message, "of type ay: it needs more than 1048576 bytes"));
  g_clear_error (&error);

  /* What unfolds beyond the limit: a million nothings in an eighth of a million bytes. */
  zeros[0] = 0xd0;
  bits = g_bytes_new (zeros, 3 + (1 << 20) / 8);
  g_assert_null (decode (compact, bits, "ams", &error));
  g_assert_nonnull (strstr (error->message, "more than max-size of this serializer"));
}

/* Six bytes that announce everything there could be. */
static void
test_announcements (Compact *compact, gconstpointer data)
{
  static const char *const types[]
      = { "ay",  "as",  "ai",    "ax",  "ad",    "ab",     "am()", "a()",   "s",
          "o",   "v",   "a{sv}", "aas", "(sas)", "a(bmi)", "av",   "mas",   "aab",
          "amb", "amx", "ah",    "an",  "a{ss}", "aay",    "g",    "(xas)", "maab" };

  for (gsize i = 0; i < G_N_ELEMENTS (types); i++)
    for (guint first = 0; first < 256; first++)
      {
        guint8 six[6] = { (guint8) first, 0xff, 0xff, 0xff, 0xff, 0xff };
        g_autoptr (GBytes) bytes = g_bytes_new (six, sizeof six);
        g_autoptr (GVariant) value = decode (compact, bytes, types[i], NULL);

        g_assert_true (value == NULL || g_variant_get_size (value) < 1024);
      }
}

/* --- in Python --- */

static char *
run_python (const char *what, const char *argument, const char *input)
{
  g_autofree char *script = g_test_build_filename (G_TEST_DIST, "serializers/compact.py", NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (GSubprocess) process = NULL;
  char *output = NULL;

  process
      = g_subprocess_new (G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE, &error,
                          PYTHON, "-I", "-B", "-X", "utf8", script, what, argument, NULL);
  g_assert_no_error (error);
  g_subprocess_communicate_utf8 (process, input, NULL, &output, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (g_subprocess_get_successful (process));
  return output;
}

static gboolean
has_python (void)
{
  g_autofree char *output = NULL;
  int status = -1;

  if (g_spawn_command_line_sync (PYTHON " -c 'from gi.repository import GLib'", NULL, &output,
                                 &status, NULL)
      && g_spawn_check_wait_status (status, NULL))
    return TRUE;
  g_test_skip (PYTHON " has no GLib bindings");
  return FALSE;
}

/* What a program says that was given the vectors: how many it carried and refused. */
static void
assert_all_vectors (const char *output)
{
  g_autoptr (JsonParser) parser = NULL;
  g_autoptr (JsonParser) other = NULL;
  g_autofree char *expected
      = g_strdup_printf ("%u %u\n", json_array_get_length (load_vectors ("vectors", &parser)),
                         json_array_get_length (load_vectors ("refused", &other)));

  g_assert_cmpstr (output, ==, expected);
}

static void
test_python_vectors (Compact *compact, gconstpointer data)
{
  g_autofree char *path
      = g_test_build_filename (G_TEST_DIST, "serializers/compact-vectors.json", NULL);
  g_autofree char *output = NULL;

  if (!has_python ())
    return;
  output = run_python ("vectors", path, "");
  assert_all_vectors (output);
}

static void
test_node_vectors (Compact *compact, gconstpointer data)
{
  g_autofree char *path
      = g_test_build_filename (G_TEST_DIST, "serializers/compact-vectors.json", NULL);
  g_autoptr (GSubprocess) process = language_start (LANGUAGE_NODE, "compact.js", path);
  g_autofree char *output = NULL;
  g_autofree char *complaint = NULL;
  g_autoptr (GError) error = NULL;

  if (process == NULL)
    return;
  g_subprocess_communicate_utf8 (process, "", NULL, &output, &complaint, &error);
  g_assert_no_error (error);
  if (!g_subprocess_get_successful (process))
    g_error ("compact.js: %s", complaint);
  assert_all_vectors (output);
}

/* Values that are made up here, their bytes by this serializer, judged there. */
static void
test_python_random (Compact *compact, gconstpointer data)
{
  guint32 seed = (guint32) g_test_rand_int ();
  GRand *rand = g_rand_new_with_seed (seed);
  g_autoptr (GString) lines = g_string_new (NULL);
  g_autofree char *output = NULL;
  g_autofree char *expected = g_strdup_printf ("%d\n", N_LINES);

  g_test_message ("seed %u (from the program's --seed)", seed);
  for (int i = 0; i < N_LINES; i++)
    {
      g_autoptr (GVariant) value
          = i % 4 != 0 ? commy_serializer_conformance_make_up (rand) : make_up_integers (rand);
      g_autoptr (GVariant) normal = g_variant_get_normal_form (value);
      g_autoptr (GBytes) bytes = encode (compact, value);
      g_autofree char *hex = bytes_to_hex (bytes);
      g_autofree char *normal_hex
          = to_hex (g_variant_get_data (normal), g_variant_get_size (normal));

      g_string_append_printf (lines, "%s %s %s\n", g_variant_get_type_string (value), hex,
                              normal_hex);
    }
  g_rand_free (rand);
  if (!has_python ())
    return;
  output = run_python ("lines", NULL, lines->str);
  g_assert_cmpstr (output, ==, expected);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(PATH, LIMIT, FUNC) \
  g_test_add ("/serializer/compact/" PATH, Compact, LIMIT, compact_start, FUNC, compact_stop)
  ADD ("vectors/have-their-bytes", NULL, test_vectors);
  ADD ("vectors/refused", NULL, test_refused_vectors);
  ADD ("bytes/what-is-wrong-is-said-with-its-place", NULL, test_told);
  ADD ("bytes/one-value-has-one-encoding", NULL, test_canonical);
  ADD ("bytes/integers-in-every-form", NULL, test_integers);
  ADD ("size/every-sample-is-smaller-than-messagepack", NULL, test_samples);
  ADD ("limits/memory-of-a-value", "1MiB", test_max_size);
  ADD ("limits/six-bytes-take-no-kilobyte", NULL, test_announcements);
  ADD ("interop/python-vectors", NULL, test_python_vectors);
  ADD ("interop/node-vectors", NULL, test_node_vectors);
  ADD ("interop/python-made-up-values", NULL, test_python_random);
  return g_test_run ();
}
