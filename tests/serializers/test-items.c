/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The bytes of the serializers "msgpack" and "cbor": the vectors of their specifications, of this
 * project and of other implementations, what Python makes of them, and what hostile bytes cost.
 */
#include "config.h"

#include "items-rig.h"

#include <gio/gio.h>
#include <string.h>

/* --- vectors --- */

static void
check_vector (ItemsRig *rig, const ItemsVector *vector, const char *name)
{
  g_autoptr (GBytes) bytes = items_from_hex (vector->columns[0]);
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) value = NULL;
  g_autoptr (GVariant) back = NULL;
  g_autoptr (GBytes) ours = NULL;

  if (vector->what == '!')
    {
      g_assert_null (items_decode (rig, bytes, vector->columns[1], &error));
      g_assert_error (error, COMMY_TEST_ERROR, COMMY_ERROR_PROTOCOL);
      if (strstr (error->message, vector->columns[2]) == NULL)
        g_error ("%s: %s: \"%s\" does not say \"%s\"", name, vector->columns[0], error->message,
                 vector->columns[2]);
      return;
    }
  value = items_parse (vector->columns[1]);
  back = items_decode (rig, bytes, g_variant_get_type_string (value), &error);
  if (error != NULL)
    g_error ("%s: %s: %s", name, vector->columns[0], error->message);
  if (!g_variant_equal (back, value))
    g_error ("%s: %s is not read as %s", name, vector->columns[0], vector->columns[1]);
  if (vector->what == '~')
    return;
  ours = items_encode (rig, value);
  if (g_bytes_equal (ours, bytes) != (vector->what == '='))
    {
      g_autofree char *hex = items_to_hex (ours);

      g_error ("%s: %s is written as %s", name, vector->columns[1], hex);
    }
}

static void
test_vectors (ItemsRig *rig, gconstpointer id)
{
  g_autoptr (GPtrArray) names = items_list_vectors (id);

  g_assert_cmpuint (names->len, >=, 5);
  for (guint i = 0; i < names->len; i++)
    {
      const char *name = names->pdata[i];
      g_autoptr (GPtrArray) vectors = items_load_vectors (name);

      g_assert_cmpuint (vectors->len, >, 0);
      for (guint j = 0; j < vectors->len; j++)
        check_vector (rig, vectors->pdata[j], name);
      g_test_message ("%s: %u vectors", name, vectors->len);
    }
}

/* Every number of 16 bits comes from its two bytes and goes back into them. */
static void
test_every_half (ItemsRig *rig, gconstpointer id)
{
  for (guint bits = 0; bits < 65536; bits++)
    {
      const guint8 data[] = { 0xf9, (guint8) (bits >> 8), (guint8) bits };
      g_autoptr (GBytes) bytes = g_bytes_new_static (data, sizeof data);
      g_autoptr (GVariant) value = items_decode (rig, bytes, "d", NULL);
      g_autoptr (GBytes) ours = items_encode (rig, value);

      if ((bits & 0x7c00) != 0x7c00 || (bits & 0x3ff) == 0 || bits == 0x7e00) /* no odd NaN */
        g_assert_true (g_bytes_equal (ours, bytes));
    }
}

/* --- limits --- */

static void
assert_too_deep (ItemsRig *rig, const char *unit, const char *type)
{
  g_autoptr (GString) hex = g_string_new (NULL);
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GError) error = NULL;

  for (int i = 0; i < 200000; i++)
    g_string_append (hex, unit);
  bytes = items_from_hex (hex->str);
  g_assert_null (items_decode (rig, bytes, type, &error));
  g_assert_error (error, COMMY_TEST_ERROR, COMMY_ERROR_PROTOCOL);
}

static void
test_deep (ItemsRig *rig, gconstpointer id)
{
  gboolean cbor = g_str_equal (id, "cbor");
  g_autofree char *arrays = g_strnfill (121, 'a');
  g_autofree char *type = g_strconcat (arrays, "s", NULL);
  g_autoptr (GBytes) bytes = items_from_hex (cbor ? "80" : "90");
  g_autoptr (GError) error = NULL;

  assert_too_deep (rig, cbor ? "826176" : "92a176", "v");
  assert_too_deep (rig, cbor ? "8262617681" : "92a2617691", "v");
  assert_too_deep (rig, cbor ? "a161618265617b73767d" : "81a16192a5617b73767d", "a{sv}");
  assert_too_deep (rig, cbor ? "81" : "91", "av");
  g_assert_null (items_decode (rig, bytes, type, &error));
  g_assert_nonnull (strstr (error->message, "a type of more than 120 levels"));
  if (cbor)
    {
      assert_too_deep (rig, "9f", "av");
      assert_too_deep (rig, "c1", "v"); /* tags are no levels, and no value either */
    }
}

/* A type that is long, of a value that is short, many times: time must not be their product. */
static void
test_long_types (ItemsRig *rig, gconstpointer id)
{
  const guint n_members = 20000;
  const guint n_values = 200000;
  gboolean cbor = g_str_equal (id, "cbor");
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
  value = rig->ops->decode (rig->instance, bytes, G_VARIANT_TYPE (type), NULL);
  g_assert_nonnull (value);
  g_assert_cmpuint (g_variant_n_children (value), ==, n_values);
}

/* --- Python --- */

static GBytes *
lines_of (GPtrArray *vectors)
{
  GString *text = g_string_new (NULL);

  for (guint i = 0; i < vectors->len; i++)
    g_string_append_printf (text, "%s\n", ((ItemsVector *) vectors->pdata[i])->columns[0]);
  return g_string_free_to_bytes (text);
}

/* What we write is read by Python's library, and what that writes of it by us. */
static void
check_python (ItemsRig *rig, const char *id, const char *program, const char *name)
{
  g_autofree char *script
      = g_test_build_filename (G_TEST_DIST, "serializers", "through-python.py", NULL);
  g_autoptr (GPtrArray) vectors = items_load_vectors (name);
  g_autoptr (GBytes) input = lines_of (vectors);
  g_autoptr (GBytes) output = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GSubprocess) process
      = g_subprocess_new (G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE, &error,
                          program, "-I", script, id, NULL);
  g_autofree char *text = NULL;
  g_auto (GStrv) lines = NULL;
  gsize size;
  const char *data;

  g_assert_no_error (error);
  g_subprocess_communicate (process, input, NULL, &output, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (g_subprocess_get_successful (process));
  data = g_bytes_get_data (output, &size);
  text = g_strndup (data, size);
  lines = g_strsplit (text, "\n", -1);
  g_assert_cmpuint (g_strv_length (lines), ==, vectors->len + 1);
  for (guint i = 0; i < vectors->len; i++)
    {
      const ItemsVector *vector = vectors->pdata[i];
      g_autoptr (GVariant) value = items_parse (vector->columns[1]);
      g_autoptr (GBytes) theirs = items_from_hex (lines[i]);
      g_autoptr (GVariant) back
          = items_decode (rig, theirs, g_variant_get_type_string (value), &error);

      g_assert_no_error (error);
      if (!g_variant_equal (back, value))
        g_error ("%s through Python: %s", vector->columns[1], lines[i]);
    }
  g_test_message ("%u values through Python", vectors->len);
}

static void
test_python (ItemsRig *rig, gconstpointer id)
{
  static const char program[] = "/usr/bin/python3"; /* the one that Debian's packages are for */
  const char *library = g_str_equal (id, "cbor") ? "cbor2" : "msgpack";
  g_autofree char *import = g_strdup_printf ("import %s", library);
  const char *const arguments[] = { program, "-I", "-c", import, NULL };
  g_autofree char *name = g_strdup_printf ("%s-layout.vectors", (const char *) id);
  g_autofree char *skip = g_strdup_printf ("python3-%s is not installed", library);
  int status = -1;

  if (!g_spawn_sync (NULL, (char **) arguments, NULL, G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL, NULL,
                     NULL, &status, NULL)
      || status != 0)
    g_test_skip (skip);
  else
    check_python (rig, id, program, name);
}

static void
add_cases (const char *id)
{
  static const struct
  {
    const char *name;
    void (*test) (ItemsRig *rig, gconstpointer id);
  } cases[] = {
    { "vectors/are-read-and-written", test_vectors },
    { "limits/depth-costs-no-stack", test_deep },
    { "limits/long-types-cost-once", test_long_types },
    { "interop/python", test_python },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autofree char *path = g_strdup_printf ("/serializer/%s/%s", id, cases[i].name);

      g_test_add (path, ItemsRig, id, items_rig_start, cases[i].test, items_rig_stop);
    }
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
  g_test_add ("/serializer/cbor/numbers/every-one-of-16-bits", ItemsRig, "cbor", items_rig_start,
              test_every_half, items_rig_stop);
#endif
  return g_test_run ();
}
