/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The bytes of the serializers "msgpack" and "cbor": the vectors of their specifications, of this
 * project and of other implementations, what Python makes of them, and what hostile bytes cost.
 */
#include "config.h"

#include "formats.h"
#include "languages.h"
#include "vectors.h"

#include <string.h>

static gboolean
is_cbor (Format *format)
{
  return g_str_equal (format->id, "cbor");
}

/* Decodes, and checks that the value is in normal form whatever it says of itself. */
static GVariant *
decode (Format *format, GBytes *bytes, const char *type, GError **error)
{
  GVariant *value = format->ops->decode (format->instance, bytes, G_VARIANT_TYPE (type), error);
  g_autoptr (GBytes) memory = NULL;
  g_autoptr (GVariant) untrusted = NULL;

  if (value == NULL)
    return NULL;
  memory = g_variant_get_data_as_bytes (value);
  untrusted = g_variant_ref_sink (g_variant_new_from_bytes (G_VARIANT_TYPE (type), memory, FALSE));
  g_assert_true (g_variant_is_normal_form (untrusted));
  return value;
}

/* --- vectors --- */

static void
check_vector (Format *format, const Vector *vector, const char *name)
{
  g_autoptr (GBytes) bytes = vector_from_hex (vector->columns[0]);
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GVariant) back = NULL;
  g_autoptr (GBytes) ours = NULL;

  if (vector->what == '!')
    {
      g_assert_null (decode (format, bytes, vector->columns[1], &error));
      g_assert_error (error, COMMY_TEST_ERROR, COMMY_ERROR_PROTOCOL);
      if (vector->columns[2] != NULL && strstr (error->message, vector->columns[2]) == NULL)
        g_error ("%s: %s: \"%s\" does not say \"%s\"", name, vector->columns[0], error->message,
                 vector->columns[2]);
      return;
    }
  value = vector_parse (vector->columns[1]);
  back = decode (format, bytes, g_variant_get_type_string (value), &error);
  if (error != NULL)
    g_error ("%s: %s: %s", name, vector->columns[0], error->message);
  if (!g_variant_equal (back, value))
    g_error ("%s: %s is not read as %s", name, vector->columns[0], vector->columns[1]);
  if (vector->what == '~')
    return;
  ours = format_encode (format, value);
  if (g_bytes_equal (ours, bytes) != (vector->what == '='))
    {
      g_autofree char *hex = vector_to_hex (ours);

      g_error ("%s: %s is written as %s", name, vector->columns[1], hex);
    }
}

static void
test_vectors (Format *format)
{
  g_autoptr (GPtrArray) names = vectors_list (format->id);

  g_assert_cmpuint (names->len, >=, 5);
  for (guint i = 0; i < names->len; i++)
    {
      const char *name = names->pdata[i];
      g_autoptr (GPtrArray) vectors = vectors_load (name);

      g_assert_cmpuint (vectors->len, >, 0);
      for (guint j = 0; j < vectors->len; j++)
        check_vector (format, vectors->pdata[j], name);
      g_test_message ("%s: %u vectors", name, vectors->len);
    }
}

/* Every number of 16 bits comes from its two bytes and goes back into them. */
static void
test_every_half (Format *format)
{
  for (guint bits = 0; bits < 65536; bits++)
    {
      const guint8 data[] = { 0xf9, (guint8) (bits >> 8), (guint8) bits };
      g_autoptr (GBytes) bytes = g_bytes_new_static (data, sizeof data);
      g_autoptr (GVariant) value = decode (format, bytes, "d", NULL);
      g_autoptr (GBytes) ours = format_encode (format, value);

      if ((bits & 0x7c00) != 0x7c00 || (bits & 0x3ff) == 0 || bits == 0x7e00) /* no odd NaN */
        g_assert_true (g_bytes_equal (ours, bytes));
    }
}

/* Numbers of every length, some small. */
static GVariant *
make_numbers (char kind, gsize n)
{
  const char element[] = { kind, '\0' };
  gsize width = strchr ("nq", kind) != NULL ? 2 : strchr ("iuh", kind) != NULL ? 4 : 8;
  g_autofree guint8 *data = g_malloc (n * width);
  guint64 number = 1;

  for (gsize i = 0; i < n; i++)
    {
      guint64 out;

      number = number * G_GUINT64_CONSTANT (6364136223846793005) + 1442695040888963407;
      out = number >> (number >> 58);
      out = GUINT64_TO_LE ((i % 3) == 0 ? ~out : out);
      memcpy (data + i * width, &out, width);
    }
  return g_variant_ref_sink (g_variant_new_fixed_array (G_VARIANT_TYPE (element), data, n, width));
}

/* Room for what the numbers are and not for what they could be: the same bytes, none behind. */
static void
test_just_enough_room (Format *format)
{
  for (const char *kind = "nqiuhxtd"; *kind != '\0'; kind++)
    for (gsize n = 1; n < 60; n += 7)
      {
        g_autoptr (GVariant) value = make_numbers (*kind, n);
        g_autoptr (GBytes) bytes = format_encode (format, value);
        gsize size = g_bytes_get_size (bytes);
        g_autofree guint8 *out = g_malloc (size); /* a sanitizer sees one byte too many */
        g_autoptr (GVariant) back = decode (format, bytes, g_variant_get_type_string (value), NULL);

        g_assert_true (g_variant_equal (back, value));
        g_assert_cmpint (format->ops->encode (format->instance, value, out, size, NULL), ==,
                         (gssize) size);
        g_assert_cmpmem (out, size, g_bytes_get_data (bytes, NULL), size);
        g_assert_cmpint (format->ops->encode (format->instance, value, out, size - 1, NULL), ==,
                         -1);
      }
}

/* --- limits --- */

static void
assert_too_deep (Format *format, const char *unit, const char *type)
{
  g_autoptr (GString) hex = g_string_new (NULL);
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GError) error = NULL;

  for (int i = 0; i < 200000; i++)
    g_string_append (hex, unit);
  bytes = vector_from_hex (hex->str);
  g_assert_null (decode (format, bytes, type, &error));
  g_assert_error (error, COMMY_TEST_ERROR, COMMY_ERROR_PROTOCOL);
}

static void
test_deep (Format *format)
{
  gboolean cbor = is_cbor (format);
  g_autofree char *arrays = g_strnfill (121, 'a');
  g_autofree char *type = g_strconcat (arrays, "s", NULL);
  g_autoptr (GBytes) bytes = vector_from_hex (cbor ? "80" : "90");
  g_autoptr (GError) error = NULL;

  assert_too_deep (format, cbor ? "826176" : "92a176", "v");
  assert_too_deep (format, cbor ? "8262617681" : "92a2617691", "v");
  assert_too_deep (format, cbor ? "a161618265617b73767d" : "81a16192a5617b73767d", "a{sv}");
  assert_too_deep (format, cbor ? "81" : "91", "av");
  g_assert_null (decode (format, bytes, type, &error));
  g_assert_nonnull (strstr (error->message, "a type of more than 120 levels"));
  if (cbor)
    {
      assert_too_deep (format, "9f", "av");
      assert_too_deep (format, "c1", "v"); /* tags are no levels, and no value either */
    }
}

/* A type that is long, of a value that is short, many times: time must not be their product. */
static void
test_long_types (Format *format)
{
  const guint n_members = 20000;
  const guint n_values = 200000;
  gboolean cbor = is_cbor (format);
  g_autofree char *members = g_strnfill (n_members, 'y');
  g_autofree char *type = g_strdup_printf ("aa(%s)", members);
  g_autoptr (GByteArray) message = g_byte_array_new ();
  const guint8 head[] = { cbor ? 0x9a : 0xdd, 0, 0x03, 0x0d, 0x40 };
  const guint8 empty = cbor ? 0x80 : 0x90;
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GVariant) value = NULL;

  g_byte_array_append (message, head, sizeof head);
  for (guint i = 0; i < n_values; i++)
    g_byte_array_append (message, &empty, 1);
  bytes = g_byte_array_free_to_bytes (g_steal_pointer (&message));
  value = format->ops->decode (format->instance, bytes, G_VARIANT_TYPE (type), NULL);
  g_assert_nonnull (value);
  g_assert_cmpuint (g_variant_n_children (value), ==, n_values);
}

/* --- Python --- */

/* What we write is read by Python's library, and what that writes of it by us. */
static void
test_python (Format *format)
{
  g_autofree char *name = g_strdup_printf ("%s-layout.vectors", format->id);
  g_autoptr (GPtrArray) vectors = vectors_load (name);
  g_autoptr (GPtrArray) values = g_ptr_array_new_with_free_func ((GDestroyNotify) g_variant_unref);
  g_autoptr (GPtrArray) written = NULL;
  g_autoptr (GString) lines = g_string_new (NULL);
  g_autofree char *library = NULL;

  for (guint i = 0; i < vectors->len; i++)
    {
      const Vector *vector = vectors->pdata[i];
      g_autoptr (GBytes) bytes = vector_from_hex (vector->columns[0]);
      GVariant *value = vector_parse (vector->columns[1]);

      g_ptr_array_add (values, value);
      language_add (lines, g_variant_get_type (value), bytes);
    }
  written = language_through (LANGUAGE_PYTHON, format->id, lines, &library);
  if (written == NULL)
    return;
  g_assert_cmpuint (written->len, ==, vectors->len);
  for (guint i = 0; i < written->len; i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (GVariant) back = decode (format, written->pdata[i],
                                          g_variant_get_type_string (values->pdata[i]), &error);

      g_assert_no_error (error);
      if (!g_variant_equal (back, values->pdata[i]))
        g_error ("%s through Python: %s", ((const Vector *) vectors->pdata[i])->columns[1],
                 library);
    }
  g_test_message ("%u values through %s", written->len, library);
}

static void
add_cases (const char *id)
{
  formats_add_case (id, "vectors/are-read-and-written", test_vectors);
  formats_add_case (id, "numbers/in-just-enough-room", test_just_enough_room);
  formats_add_case (id, "limits/depth-costs-no-stack", test_deep);
  formats_add_case (id, "limits/long-types-cost-once", test_long_types);
  formats_add_case (id, "interop/python", test_python);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#ifdef WITH_MSGPACK
  add_cases ("msgpack");
#endif
#ifdef WITH_CBOR
  add_cases ("cbor");
  formats_add_case ("cbor", "numbers/every-one-of-16-bits", test_every_half);
#endif
  return g_test_run ();
}
