/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The matrix: every format x every type x every shape around it, there and back, and from each
 * format into each other one. What came back wrong is an error; how many came back is printed.
 */
#include "config.h"

#include "formats.h"

/* Two values of every type that has no part, and of bytes: often the least and the most. */
static const char *const leaves[][2] = {
  { "true", "false" },
  { "byte 0", "byte 255" },
  { "int16 -32768", "int16 32767" },
  { "uint16 24", "uint16 65535" },
  { "int32 -2147483648", "int32 2147483647" },
  { "uint32 256", "uint32 4294967295" },
  { "int64 -9223372036854775808", "int64 9223372036854775807" },
  { "uint64 9007199254740993", "uint64 18446744073709551615" },
  { "handle 0", "handle 32" },
  { "-0.0", "1.7976931348623157e308" },
  { "''", "'\\u00fc \\u6c34 \\U0001f600 \\n\\t \" \\\\'" },
  { "objectpath '/'", "objectpath '/org/commy/Node_1'" },
  { "signature ''", "signature 'a{s(iv)}ay'" },
};

typedef GVariant *(*ShapeFunc) (GVariant *one, GVariant *two);

static GVariant *
alone (GVariant *one, GVariant *two)
{
  return g_variant_ref (one);
}

static GVariant *
other (GVariant *one, GVariant *two)
{
  return g_variant_ref (two);
}

static GVariant *
array (GVariant *one, GVariant *two)
{
  GVariant *parts[] = { one, two, one };

  return g_variant_new_array (NULL, parts, G_N_ELEMENTS (parts));
}

static GVariant *
empty_array (GVariant *one, GVariant *two)
{
  return g_variant_new_array (g_variant_get_type (one), NULL, 0);
}

static GVariant *
arrays (GVariant *one, GVariant *two)
{
  GVariant *parts[] = { array (one, two), empty_array (one, two), array (two, one) };

  return g_variant_new_array (NULL, parts, G_N_ELEMENTS (parts));
}

static GVariant *
just (GVariant *one, GVariant *two)
{
  return g_variant_new_maybe (NULL, one);
}

static GVariant *
nothing (GVariant *one, GVariant *two)
{
  return g_variant_new_maybe (g_variant_get_type (one), NULL);
}

static GVariant *
just_nothing (GVariant *one, GVariant *two)
{
  return g_variant_new_maybe (NULL, nothing (one, two));
}

static GVariant *
just_just (GVariant *one, GVariant *two)
{
  return g_variant_new_maybe (NULL, just (one, two));
}

static GVariant *
maybes (GVariant *one, GVariant *two)
{
  GVariant *parts[] = { just (one, two), nothing (one, two), just (two, one) };

  return g_variant_new_array (NULL, parts, G_N_ELEMENTS (parts));
}

static GVariant *
tuple (GVariant *one, GVariant *two)
{
  GVariant *parts[] = { one, g_variant_new_tuple (NULL, 0), g_variant_new_byte (7), two };

  return g_variant_new_tuple (parts, G_N_ELEMENTS (parts));
}

static GVariant *
tuples (GVariant *one, GVariant *two)
{
  GVariant *parts[] = { tuple (one, two), tuple (two, one) };

  return g_variant_new_array (NULL, parts, G_N_ELEMENTS (parts));
}

static GVariant *
entry (GVariant *one, GVariant *two)
{
  return g_variant_new_dict_entry (one, two);
}

/* Keys and values; a key twice. */
static GVariant *
dictionary (GVariant *one, GVariant *two)
{
  GVariant *parts[] = { entry (one, two), entry (two, one), entry (one, one) };

  return g_variant_new_array (NULL, parts, G_N_ELEMENTS (parts));
}

static GVariant *
variant (GVariant *one, GVariant *two)
{
  return g_variant_new_variant (one);
}

static GVariant *
vardict (GVariant *one, GVariant *two)
{
  GVariant *parts[]
      = { g_variant_new_dict_entry (g_variant_new_string ("plain"), g_variant_new_variant (one)),
          g_variant_new_dict_entry (g_variant_new_string ("deeper"),
                                    g_variant_new_variant (tuples (one, two))) };

  return g_variant_new_array (NULL, parts, G_N_ELEMENTS (parts));
}

static const ShapeFunc shapes[] = {
  alone,     other,  array, empty_array, arrays, just,       nothing, just_nothing,
  just_just, maybes, tuple, tuples,      entry,  dictionary, variant, vardict,
};

#define N_VALUES (G_N_ELEMENTS (leaves) * G_N_ELEMENTS (shapes))

static GVariant *
value_of (gsize i)
{
  const char *const *texts = leaves[i / G_N_ELEMENTS (shapes)];
  g_autoptr (GVariant) one = g_variant_parse (NULL, texts[0], NULL, NULL, NULL);
  g_autoptr (GVariant) two = g_variant_parse (NULL, texts[1], NULL, NULL, NULL);

  return g_variant_take_ref (shapes[i % G_N_ELEMENTS (shapes)](one, two));
}

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
  for (gsize i = 0; i < N_VALUES; i++)
    {
      g_autoptr (GVariant) value = value_of (i);
      g_autoptr (GVariant) back = carry (format, value);
    }
  g_test_message ("%s: %u types x %u shapes, %u round trips", format->id,
                  (guint) G_N_ELEMENTS (leaves), (guint) G_N_ELEMENTS (shapes), (guint) N_VALUES);
}

/* What came out of one format goes into the next. */
static void
test_all_in_turn (void)
{
  g_autoptr (GPtrArray) formats = g_ptr_array_new_with_free_func ((GDestroyNotify) format_stop);
  guint n_trips = 0;

  for (guint i = 0; formats_names[i] != NULL; i++)
    g_ptr_array_add (formats, format_start (formats_names[i]));
  for (gsize i = 0; i < N_VALUES; i++)
    for (guint from = 0; from < formats->len; from++)
      for (guint to = 0; to < formats->len; to++)
        {
          g_autoptr (GVariant) value = value_of (i);
          g_autoptr (GVariant) first = carry (formats->pdata[from], value);
          g_autoptr (GVariant) second = carry (formats->pdata[to], first);
          g_autoptr (GBytes) ours = format_encode (formats->pdata[to], value);
          g_autoptr (GBytes) theirs = format_encode (formats->pdata[to], first);

          g_assert_true (g_bytes_equal (ours, theirs));
          n_trips++;
        }
  g_test_message ("%u formats x %u formats x %u values: %u ways", formats->len, formats->len,
                  (guint) N_VALUES, n_trips);
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
