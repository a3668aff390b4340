/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The conformance suite of serializers: see the header. The samples are GVariant texts, one for
 * every type and for the corners of nesting; the property test makes up types of its own.
 */
#include "config.h"

#include "commy-serializer-conformance.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define N_RANDOM 400
#define MAX_DEPTH 4

typedef struct
{
  const CommySerializerOps *ops;
  gpointer instance;
  guint64 capabilities;
} Subject;

typedef struct
{
  const CommyPluginDescriptor *descriptor;
  void (*test) (Subject *subject);
} Case;

static const char *const samples[] = {
  "true",
  "false",
  "byte 0xff",
  "int16 -32768",
  "uint16 65535",
  "int32 -2147483648",
  "uint32 4294967295",
  "int64 -9223372036854775808",
  "uint64 18446744073709551615",
  "handle 3",
  "-1.5e300",
  "''",
  "'text with \\u00fcml\\u00e4ut and \\U0001f600'",
  "objectpath '/org/commy/Node1'",
  "signature 'a{sv}'",
  "@ay []",
  "b'bytes with text'",
  "@as []",
  "['', 'a', 'longer']",
  "@a{sv} {}",
  "{'a': <1>, 'b': <'two'>, 'c': <[3.0]>}",
  "@a{yv} {1: <true>}",
  "()",
  "(1,)",
  "(byte 1, int64 2, 'three', [byte 4], ())",
  "((byte 1, 'a'), (byte 2, 'b'))",
  "[(1, 'a'), (2, 'b')]",
  "@aas [[], ['a'], ['b', 'c']]",
  "@a() [(), ()]",
  "@ms nothing",
  "@ms 'just'",
  "@mms just nothing",
  "@mi 7",
  "@mv <just 5>",
  "@ami [1, nothing, 3]",
  "<<<'deep'>>>",
  "<@a{sas} {'list': ['x', 'y']}>",
  "[<handle 0>, <objectpath '/'>, <signature ''>, <byte 1>]",
  "{1: {2: {3: 'four'}}}",
  "[true, false, true]",
  "@ad [0.1, 0.2]",
  "uint64 9223372036854775808",
  "@at [0, 9007199254740991, 9007199254740992, 9223372036854775807, 18446744073709551615]",
  "@ax [9007199254740993, -9007199254740993, 9223372036854775807, -1]",
  "@ah [0, 1]",
  "0.1",
  "1.0",
  "-0.0",
  "1.7976931348623157e308",
  "0.30000000000000004",
  "123456789012345680000.0",
  "'quotes \" backslash \\\\ slash / \\b\\f\\n\\r\\t\\u0001\\u001f\\u007f'",
  "'\\u2028 \\ufffd \\ufffe \\U0010ffff'",
  "@mmms just just nothing",
  "@mmms just just just 'x'",
  "@m() just ()",
  "@mas just []",
  "@may just b'abc'",
  "@a{ts} {18446744073709551615: 'big key'}",
  "@a{ds} {-0.0: 'minus nothing', 1e300: 'much'}",
  "@a{bs} {true: 'yes', false: 'no'}",
  "@a{oas} {'/a': ['x'], '/b': []}",
  "@a{gv} {'a{sv}': <{'a': <1>}>}",
  "@a{hh} {0: 1}",
  "[{'a', 1}, {'a', 2}, {'', 3}]",
  "{'one', <2>}",
  "@a{s(iam(dv))} {'': (1, [(0.5, <()>), nothing])}",
  "<@mv <@mv nothing>>",
};

/* Doubles that no text of GVariant tells apart, and those that are no number at all. */
static const guint64 double_bits[] = {
  0x7ff0000000000000, 0xfff0000000000000, /* infinite */
  0x7ff8000000000000, 0xfff8000000000000, /* what processors make of 0/0 */
  0x7ff8000000000001, 0x7ff0000000000001, 0xffffffffffffffff, 0x8000000000000000,
  0x0000000000000001, 0x000fffffffffffff, 0x0010000000000000, 0x7fefffffffffffff,
};

static GVariant *
sample (gsize i)
{
  g_autoptr (GError) error = NULL;
  GVariant *value = g_variant_parse (NULL, samples[i], NULL, NULL, &error);

  g_assert_no_error (error);
  return value;
}

/* Encodes; NULL if the format refuses, which must then be an error and a bound of 0. */
static GBytes *
encode (Subject *subject, GVariant *value)
{
  gsize bound = subject->ops->bound (subject->instance, value);
  g_autoptr (GError) error = NULL;
  guint8 *out;
  gssize size;

  if (bound == 0)
    {
      guint8 none = 0;

      g_assert_cmpint (subject->ops->encode (subject->instance, value, &none, 0, &error), ==, -1);
      g_assert_nonnull (error);
      g_assert_nonnull (strstr (error->message, g_variant_get_type_string (value)));
      g_assert_true ((subject->capabilities & COMMY_CAP_VALUES) == 0);
      return NULL;
    }
  out = g_malloc (bound); /* exactly: a sanitizer sees one byte too many */
  size = subject->ops->encode (subject->instance, value, out, bound, &error);
  g_assert_no_error (error);
  g_assert_cmpint (size, >=, 0);
  g_assert_cmpuint ((gsize) size, <=, bound);
  return g_bytes_new_take (out, (gsize) size);
}

static GVariant *
decode (Subject *subject, GBytes *bytes, const GVariantType *type)
{
  g_autoptr (GError) error = NULL;
  GVariant *value = subject->ops->decode (subject->instance, bytes, type, &error);

  g_assert_true ((value == NULL) == (error != NULL));
  if (value == NULL)
    {
      g_assert_true (error->domain == COMMY_TEST_ERROR);
      return NULL;
    }
  g_assert_false (g_variant_is_floating (value));
  g_assert_true (g_variant_is_normal_form (value));
  g_assert_true (type == NULL || g_variant_is_of_type (value, type));
  return value;
}

static void
assert_round_trip (Subject *subject, GVariant *value)
{
  g_autoptr (GBytes) bytes = encode (subject, value);
  g_autoptr (GVariant) back = NULL;

  if (bytes == NULL)
    return;
  back = decode (subject, bytes, g_variant_get_type (value));
  if (back == NULL || !g_variant_equal (back, value))
    {
      g_autofree char *text = g_variant_print (value, TRUE);

      g_error ("%.200s does not come back", text);
    }
}

static void
test_every_type (Subject *subject)
{
  for (gsize i = 0; i < G_N_ELEMENTS (samples); i++)
    {
      g_autoptr (GVariant) value = sample (i);
      g_autoptr (GVariant) wrapped = g_variant_ref_sink (g_variant_new_variant (value));
      g_autoptr (GVariant) list = g_variant_ref_sink (g_variant_new_array (NULL, &value, 1));

      assert_round_trip (subject, value);
      assert_round_trip (subject, wrapped);
      assert_round_trip (subject, list);
    }
}

static void
test_every_double (Subject *subject)
{
  g_autoptr (GVariant) list = g_variant_ref_sink (g_variant_new_fixed_array (
      G_VARIANT_TYPE_DOUBLE, double_bits, G_N_ELEMENTS (double_bits), sizeof double_bits[0]));

  assert_round_trip (subject, list);
  for (gsize i = 0; i < G_N_ELEMENTS (double_bits); i++)
    {
      g_autoptr (GVariant) value = g_variant_get_child_value (list, i);

      assert_round_trip (subject, value);
    }
  for (int i = 0; i < 10000; i++)
    {
      guint64 bits = (guint64) (guint32) g_test_rand_int () << 32 | (guint32) g_test_rand_int ();
      g_autoptr (GVariant) any = g_variant_ref_sink (
          g_variant_new_fixed_array (G_VARIANT_TYPE_DOUBLE, &bits, 1, sizeof bits));

      assert_round_trip (subject, any);
    }
}

/* @levels variants, one in the other, around a type of @nesting arrays. */
static GVariant *
deep_value (guint levels, guint nesting)
{
  g_autofree char *arrays = g_strnfill (nesting, 'a');
  g_autofree char *type = g_strconcat (arrays, "s", NULL);
  GVariant *value = nesting > 0 ? g_variant_new_array (G_VARIANT_TYPE (type + 1), NULL, 0)
                                : g_variant_new_string ("bottom");

  for (guint i = 0; i < levels; i++)
    value = g_variant_new_variant (value);
  return g_variant_ref_sink (value);
}

/* Up to where GLib calls a value normal it comes back; beyond it is refused, not crashed over. */
static void
test_deep (Subject *subject)
{
  const guint nestings[] = { 0, 1, 60, 110, 120, 121, 127 };

  for (gsize i = 0; i < G_N_ELEMENTS (nestings); i++)
    for (guint levels = 0; levels < 200; levels += levels < 5 || levels > 110 ? 1 : 13)
      {
        g_autoptr (GVariant) value = deep_value (levels, nestings[i]);
        gsize bound;
        g_autofree guint8 *out = NULL;
        g_autoptr (GBytes) bytes = NULL;
        g_autoptr (GVariant) back = NULL;
        g_autoptr (GError) error = NULL;
        gssize size;

        if (levels + nestings[i] <= 64)
          {
            assert_round_trip (subject, value);
            continue;
          }
        bound = subject->ops->bound (subject->instance, value);
        out = g_malloc (MAX (bound, 1));
        size = subject->ops->encode (subject->instance, value, out, bound, &error);
        g_assert_true ((size < 0) == (error != NULL));
        if (size < 0)
          continue;
        bytes = g_bytes_new (out, (gsize) size);
        back = decode (subject, bytes, g_variant_get_type (value));
        g_assert_true (back == NULL || g_variant_equal (back, value));
      }
}

static void
test_big (Subject *subject)
{
  gsize size = 1024 * 1024;
  guint8 *data = g_malloc (size);
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GVariant) pair = NULL;

  for (gsize i = 0; i < size; i++)
    data[i] = (guint8) (i * 7);
  value = g_variant_ref_sink (
      g_variant_new_from_data (G_VARIANT_TYPE_BYTESTRING, data, size, TRUE, g_free, data));
  pair = g_variant_ref_sink (g_variant_new ("(@ays)", value, "end"));
  assert_round_trip (subject, value);
  assert_round_trip (subject, pair);
}

/* A value that came from elsewhere and was never in normal form. */
static void
test_not_normal (Subject *subject)
{
  static const guint8 bad[] = { 5, 0, 0, 0, 2 };
  g_autoptr (GVariant) flag = g_variant_ref_sink (
      g_variant_new_from_data (G_VARIANT_TYPE_BOOLEAN, bad, 1, FALSE, NULL, NULL));
  g_autoptr (GVariant) list = g_variant_ref_sink (
      g_variant_new_from_data (G_VARIANT_TYPE ("as"), bad, sizeof bad, FALSE, NULL, NULL));

  assert_round_trip (subject, flag);
  assert_round_trip (subject, list);
}

static void
test_no_room (Subject *subject)
{
  for (gsize i = 0; i < G_N_ELEMENTS (samples); i++)
    {
      g_autoptr (GVariant) value = sample (i);
      g_autoptr (GBytes) bytes = encode (subject, value);
      g_autoptr (GError) error = NULL;
      g_autofree guint8 *out = NULL;
      gsize size = bytes != NULL ? g_bytes_get_size (bytes) : 0;

      if (size == 0)
        continue;
      out = g_malloc (size);
      g_assert_cmpint (subject->ops->encode (subject->instance, value, out, size - 1, &error), ==,
                       -1);
      g_assert_nonnull (error);
    }
}

static void
test_type_is_needed (Subject *subject)
{
  static const char *const loose[] = { "*", "a*", "(?s)", "r", "m*" };
  g_autoptr (GVariant) value = sample (0);
  g_autoptr (GBytes) bytes = encode (subject, value);
  g_autoptr (GError) error = NULL;

  if (bytes == NULL || (subject->capabilities & COMMY_CAP_SELF_DESCRIBING) != 0)
    return;
  g_assert_null (subject->ops->decode (subject->instance, bytes, NULL, &error));
  g_assert_error (error, COMMY_TEST_ERROR, 310);
  for (gsize i = 0; i < G_N_ELEMENTS (loose); i++)
    g_assert_null (decode (subject, bytes, G_VARIANT_TYPE (loose[i])));
}

/* Every sample read as every other type: a value of that type or an error. */
static void
test_wrong_type (Subject *subject)
{
  guint refused = 0;

  for (gsize i = 0; i < G_N_ELEMENTS (samples); i++)
    {
      g_autoptr (GVariant) value = sample (i);
      g_autoptr (GBytes) bytes = encode (subject, value);

      for (gsize j = 0; bytes != NULL && j < G_N_ELEMENTS (samples); j++)
        {
          g_autoptr (GVariant) other = sample (j);
          g_autoptr (GVariant) back = decode (subject, bytes, g_variant_get_type (other));

          refused += back == NULL;
        }
    }
  g_assert_cmpuint (refused, >, G_N_ELEMENTS (samples));
}

/* As text a part of a number is a number too, of the same value even: 1.0 and 1. */
static gboolean
has_equal_parts (Subject *subject, GVariant *value)
{
  return (subject->capabilities & COMMY_CAP_TEXT) != 0
         && g_variant_is_of_type (value, G_VARIANT_TYPE_DOUBLE);
}

static void
test_truncated (Subject *subject)
{
  for (gsize i = 0; i < G_N_ELEMENTS (samples); i++)
    {
      g_autoptr (GVariant) value = sample (i);
      g_autoptr (GBytes) bytes = encode (subject, value);
      gsize size = bytes != NULL ? g_bytes_get_size (bytes) : 0;

      for (gsize length = 0; length < size; length++)
        {
          /* A copy of its own, so that a sanitizer sees a read behind the end. */
          g_autoptr (GBytes) part = g_bytes_new (g_bytes_get_data (bytes, NULL), length);
          g_autoptr (GVariant) back = decode (subject, part, g_variant_get_type (value));

          if (back != NULL && g_variant_equal (back, value) && !has_equal_parts (subject, value))
            g_error ("%s: %" G_GSIZE_FORMAT " of %" G_GSIZE_FORMAT " bytes give the whole value",
                     samples[i], length, size);
        }
    }
}

static void
test_bit_flips (Subject *subject)
{
  for (gsize i = 0; i < G_N_ELEMENTS (samples); i++)
    {
      g_autoptr (GVariant) value = sample (i);
      g_autoptr (GBytes) bytes = encode (subject, value);
      gsize size = 0;
      const guint8 *data = bytes != NULL ? g_bytes_get_data (bytes, &size) : NULL;

      for (gsize bit = 0; bit < size * 8; bit++)
        {
          guint8 *copy = g_memdup2 (data, size);
          g_autoptr (GBytes) spoiled = g_bytes_new_take (copy, size);
          g_autoptr (GVariant) back = NULL;
          g_autofree char *text = NULL;

          copy[bit / 8] ^= (guint8) (1u << (bit % 8));
          back = decode (subject, spoiled, g_variant_get_type (value));
          if (back != NULL)
            text = g_variant_print (back, TRUE); /* walks all of it */
        }
    }
}

static void
test_unaligned (Subject *subject)
{
  for (gsize i = 0; i < G_N_ELEMENTS (samples); i++)
    for (gsize shift = 1; shift < 8; shift++)
      {
        g_autoptr (GVariant) value = sample (i);
        g_autoptr (GBytes) bytes = encode (subject, value);
        gsize size = bytes != NULL ? g_bytes_get_size (bytes) : 0;
        guint8 *memory = g_malloc0 (size + shift);
        g_autoptr (GBytes) whole = g_bytes_new_take (memory, size + shift);
        g_autoptr (GBytes) moved = g_bytes_new_from_bytes (whole, shift, size);
        g_autoptr (GVariant) back = NULL;

        if (bytes == NULL)
          continue;
        if (size > 0)
          memcpy (memory + shift, g_bytes_get_data (bytes, NULL), size);
        back = decode (subject, moved, g_variant_get_type (value));
        g_assert_nonnull (back);
        g_assert_true (g_variant_equal (back, value));
      }
}

/* Whether a decoded value keeps the message: only a format that says so may. */
static void
test_in_place (Subject *subject)
{
  g_autoptr (GVariant) value
      = g_variant_ref_sink (g_variant_new_parsed ("[uint64 1, 2, 3, 4, 5, 6, 7, 8]"));
  g_autoptr (GBytes) bytes = encode (subject, value);
  g_autoptr (GVariant) back = NULL;
  const guint8 *start;
  const guint8 *data;
  gsize size;

  if (bytes == NULL)
    return;
  start = g_bytes_get_data (bytes, &size);
  back = decode (subject, bytes, g_variant_get_type (value));
  g_assert_nonnull (back);
  data = g_variant_get_data (back);
  g_assert_true ((data >= start && data < start + size)
                 == ((subject->capabilities & COMMY_CAP_IN_PLACE) != 0));
}

/* --- made-up types and values --- */

static void
random_type (GRand *rand, GString *out, int depth)
{
  static const char basic[] = "bynqiuxthdsog";
  gint32 kind = g_rand_int_range (rand, 0, depth > 0 ? 6 : 1);

  switch (kind)
    {
    case 1:
      g_string_append_c (out, 'a');
      random_type (rand, out, depth - 1);
      break;
    case 2:
      g_string_append_c (out, 'm');
      random_type (rand, out, depth - 1);
      break;
    case 3:
      g_string_append_c (out, '(');
      for (gint32 n = g_rand_int_range (rand, 0, 5); n > 0; n--)
        random_type (rand, out, depth - 1);
      g_string_append_c (out, ')');
      break;
    case 4:
      g_string_append (out, "a{");
      g_string_append_c (out, basic[g_rand_int_range (rand, 0, sizeof basic - 1)]);
      random_type (rand, out, depth - 1);
      g_string_append_c (out, '}');
      break;
    case 5:
      g_string_append_c (out, 'v');
      break;
    default:
      g_string_append_c (out, basic[g_rand_int_range (rand, 0, sizeof basic - 1)]);
    }
}

static GVariant *
random_basic (GRand *rand, char type)
{
  static const char *const texts[] = { "", "a", "bb", "longer text", "\xc3\xbc" };
  guint64 bits = (guint64) g_rand_int (rand) << 32 | g_rand_int (rand);

  switch (type)
    {
    case 'b':
      return g_variant_new_boolean (bits & 1);
    case 'y':
      return g_variant_new_byte ((guint8) bits);
    case 'n':
      return g_variant_new_int16 ((gint16) bits);
    case 'q':
      return g_variant_new_uint16 ((guint16) bits);
    case 'i':
      return g_variant_new_int32 ((gint32) bits);
    case 'u':
      return g_variant_new_uint32 ((guint32) bits);
    case 'x':
      return g_variant_new_int64 ((gint64) bits);
    case 't':
      return g_variant_new_uint64 (bits);
    case 'h':
      return g_variant_new_handle ((gint32) (bits & 0xff));
    case 'd':
      return g_variant_new_double ((double) (gint64) bits / 3.0);
    case 'o':
      return g_variant_new_object_path (bits & 1 ? "/" : "/a/b");
    case 'g':
      return g_variant_new_signature (bits & 1 ? "" : "a{sv}");
    default:
      return g_variant_new_string (texts[bits % G_N_ELEMENTS (texts)]);
    }
}

static GVariant *random_value (GRand *rand, const GVariantType *type, int depth);

static GVariant *
random_container (GRand *rand, const GVariantType *type, int depth)
{
  g_auto (GVariantBuilder) builder;

  g_variant_builder_init (&builder, type);
  if (g_variant_type_is_array (type) || g_variant_type_is_maybe (type))
    {
      gint32 most = g_variant_type_is_array (type) ? 4 : 2;

      for (gint32 n = g_rand_int_range (rand, 0, most); n > 0; n--)
        g_variant_builder_add_value (&builder,
                                     random_value (rand, g_variant_type_element (type), depth));
    }
  else
    {
      for (const GVariantType *item = g_variant_type_first (type); item != NULL;
           item = g_variant_type_next (item))
        g_variant_builder_add_value (&builder, random_value (rand, item, depth));
    }
  return g_variant_builder_end (&builder);
}

static GVariant *
random_value (GRand *rand, const GVariantType *type, int depth)
{
  if (g_variant_type_is_variant (type))
    {
      g_autoptr (GString) inner = g_string_new (NULL);

      random_type (rand, inner, depth - 1);
      return g_variant_new_variant (random_value (rand, G_VARIANT_TYPE (inner->str), depth - 1));
    }
  if (g_variant_type_is_container (type))
    return random_container (rand, type, depth);
  return random_basic (rand, g_variant_type_peek_string (type)[0]);
}

GVariant *
commy_serializer_conformance_make_up (GRand *rand)
{
  g_autoptr (GString) type = g_string_new (NULL);

  random_type (rand, type, MAX_DEPTH);
  return g_variant_ref_sink (random_value (rand, G_VARIANT_TYPE (type->str), MAX_DEPTH));
}

static void
test_random (Subject *subject)
{
  guint32 seed = (guint32) g_test_rand_int ();
  GRand *rand = g_rand_new_with_seed (seed);

  g_test_message ("seed %u (from the program's --seed)", seed);
  for (int i = 0; i < N_RANDOM; i++)
    {
      g_autoptr (GVariant) value = commy_serializer_conformance_make_up (rand);
      g_autoptr (GBytes) noise = NULL;
      g_autoptr (GVariant) back = NULL;
      guint8 bytes[64];

      assert_round_trip (subject, value);
      for (gsize j = 0; j < sizeof bytes; j++)
        bytes[j] = (guint8) g_rand_int_range (rand, 0, g_rand_boolean (rand) ? 256 : 16);
      noise = g_bytes_new (bytes, (gsize) g_rand_int_range (rand, 0, sizeof bytes + 1));
      back = decode (subject, noise, g_variant_get_type (value));
    }
  g_rand_free (rand);
}

/* A message may lie at the end of a mapping. GLib 2.74 looks behind tuples that end where the
 * padding of a member would begin. */
static void
test_nothing_behind (Subject *subject)
{
  static const char *const types[] = { "(uxs)", "(yus)", "(uxas)", "a(yus)", "m(uxs)", "v" };
  gsize page = (gsize) sysconf (_SC_PAGESIZE);
  guint32 seed = (guint32) g_test_rand_int ();
  GRand *rand = g_rand_new_with_seed (seed);
  guint8 *map = mmap (NULL, 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

  g_test_message ("seed %u (from the program's --seed)", seed);
  g_assert_true (map != MAP_FAILED);
  g_assert_no_errno (mprotect (map, page, PROT_READ | PROT_WRITE));
  for (int i = 0; i < 10 * N_RANDOM; i++)
    {
      const char *type = types[g_rand_int_range (rand, 0, G_N_ELEMENTS (types))];
      gsize size = (gsize) g_rand_int_range (rand, 0, 25);
      guint8 *data = map + page - size;
      g_autoptr (GBytes) bytes = g_bytes_new_static (data, size);
      g_autoptr (GVariant) value = NULL;

      for (gsize j = 0; j < size; j++)
        data[j] = (guint8) g_rand_int_range (rand, 0, g_rand_boolean (rand) ? 256 : 4);
      value = decode (subject, bytes, G_VARIANT_TYPE (type));
    }
  g_assert_no_errno (munmap (map, 2 * page));
  g_rand_free (rand);
}

static void
run_case (gconstpointer data)
{
  const Case *test = data;
  g_autoptr (CommyTestHost) host = commy_test_host_new (NULL, test->descriptor);
  g_autoptr (GError) error = NULL;
  Subject subject = { test->descriptor->ops, commy_test_host_start (host, &error),
                      test->descriptor->note->profile.capabilities };

  g_assert_no_error (error);
  test->test (&subject);
  commy_test_host_stop (host);
  g_assert_cmpuint (commy_test_host_count_sources (host), ==, 0);
}

void
commy_serializer_conformance_add (const CommyPluginDescriptor *descriptor)
{
  static const struct
  {
    const char *name;
    void (*test) (Subject *subject);
  } cases[] = {
    { "round-trip/every-type-and-nesting", test_every_type },
    { "round-trip/every-double-bit-by-bit", test_every_double },
    { "round-trip/deep-or-refused", test_deep },
    { "round-trip/one-mebibyte", test_big },
    { "round-trip/value-not-in-normal-form", test_not_normal },
    { "round-trip/made-up-types", test_random },
    { "encode/too-little-room-is-an-error", test_no_room },
    { "decode/type-is-needed-unless-self-describing", test_type_is_needed },
    { "decode/every-sample-as-every-type", test_wrong_type },
    { "decode/truncated", test_truncated },
    { "decode/every-bit-flipped", test_bit_flips },
    { "decode/at-every-address", test_unaligned },
    { "decode/looks-at-nothing-behind", test_nothing_behind },
    { "decode/keeps-the-message-only-in-place", test_in_place },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      Case *test = g_new0 (Case, 1);
      g_autofree char *path
          = g_strdup_printf ("/serializer/%s/%s", descriptor->note->id, cases[i].name);

      *test = (Case){ descriptor, cases[i].test };
      g_test_add_data_func_full (path, test, run_case, g_free);
    }
}
