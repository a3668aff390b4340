/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The values of the matrix: see the header.
 */
#include "config.h"

#include "matrix-values.h"

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

/* Keys and values. */
static GVariant *
dictionary (GVariant *one, GVariant *two)
{
  GVariant *parts[] = { entry (one, two), entry (two, one) };

  return g_variant_new_array (NULL, parts, G_N_ELEMENTS (parts));
}

static GVariant *
key_twice (GVariant *one, GVariant *two)
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
  alone,  other, array,  empty_array, arrays,     just,      nothing, just_nothing, just_just,
  maybes, tuple, tuples, entry,       dictionary, key_twice, variant, vardict,
};

guint
matrix_n_types (void)
{
  return G_N_ELEMENTS (leaves);
}

guint
matrix_n_values (void)
{
  return G_N_ELEMENTS (leaves) * G_N_ELEMENTS (shapes);
}

gboolean
matrix_has_key_twice (guint i)
{
  return shapes[i % G_N_ELEMENTS (shapes)] == key_twice;
}

GVariant *
matrix_value (guint i)
{
  const char *const *texts = leaves[i / G_N_ELEMENTS (shapes)];
  g_autoptr (GVariant) one = g_variant_parse (NULL, texts[0], NULL, NULL, NULL);
  g_autoptr (GVariant) two = g_variant_parse (NULL, texts[1], NULL, NULL, NULL);

  return g_variant_take_ref (shapes[i % G_N_ELEMENTS (shapes)](one, two));
}
