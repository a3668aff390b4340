/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the serializers share: see the header. The texts of errors stand here once, so that a
 * caller reads the same sentence whatever the format was.
 */
#include "config.h"

#include "commy-values.h"

static GQuark
error_domain (void)
{
  return g_quark_from_static_string ("commy-error-quark");
}

gboolean
commy_stateless_init (gpointer instance, CommyHost *host, GError **error)
{
  CommyStateless *self = instance;

  self->host = host;
  return TRUE;
}

void
commy_stateless_fini (gpointer instance)
{
  CommyStateless *self = instance;

  self->host = NULL;
}

guint
commy_values_basic_size (char kind)
{
  switch (kind)
    {
    case 'b':
    case 'y':
      return 1;
    case 'n':
    case 'q':
      return 2;
    case 'i':
    case 'u':
    case 'h':
      return 4;
    case 'x':
    case 't':
    case 'd':
      return 8;
    default:
      return 0;
    }
}

gsize
commy_values_number_size (const GVariantType *type)
{
  char kind = g_variant_type_peek_string (type)[0];

  return kind == 'b' ? 0 : commy_values_basic_size (kind);
}

/* Valid types have at most 128 levels, which is as deep as this goes. */
guint
commy_values_nesting (const GVariantType *type)
{
  guint deepest = 0;

  if (g_variant_type_is_basic (type) || g_variant_type_is_variant (type))
    return 0;
  if (g_variant_type_is_array (type) || g_variant_type_is_maybe (type))
    return 1 + commy_values_nesting (g_variant_type_element (type));
  for (const GVariantType *member = g_variant_type_first (type); member != NULL;
       member = g_variant_type_next (member))
    {
      guint below = commy_values_nesting (member); /* once: MAX() would ask twice, at each level */

      deepest = MAX (deepest, below);
    }
  return 1 + deepest;
}

gboolean
commy_values_check_type (const GVariantType *type, const char *format, GError **error)
{
  if (type != NULL && g_variant_type_is_definite (type))
    return TRUE;
  g_set_error (error, error_domain (), COMMY_ERROR_TYPE,
               "%s does not say its type: a definite type must be given", format);
  return FALSE;
}

gssize
commy_values_refuse_value (GVariant *value, const char *format, GError **error)
{
  g_set_error (
      error, error_domain (), COMMY_ERROR_TYPE,
      "%s does not carry this value of type %s: it has more than %u levels, or a part that "
      "is larger than the format can say",
      format, g_variant_get_type_string (value), COMMY_VALUES_MAX_NESTING);
  return -1;
}

gssize
commy_values_refuse_room (GVariant *value, gsize needed, gsize room, GError **error)
{
  g_set_error (error, error_domain (), COMMY_ERROR_INVALID_ARGUMENT,
               "a value of type %s needs %" G_GSIZE_FORMAT
               " bytes, there is room for only %" G_GSIZE_FORMAT,
               g_variant_get_type_string (value), needed, room);
  return -1;
}

void
commy_values_refuse_bytes (
    GBytes *bytes, const GVariantType *type, const char *form, const char *why, GError **error)
{
  g_set_error (error, error_domain (), COMMY_ERROR_PROTOCOL,
               "%" G_GSIZE_FORMAT " bytes are not %s of a value of type %.*s%s%s",
               g_bytes_get_size (bytes), form, (int) g_variant_type_get_string_length (type),
               g_variant_type_peek_string (type), why != NULL ? ": " : "", why != NULL ? why : "");
}

/* An empty array has no bytes at all, but a bound of 0 would say "cannot carry it". */
gsize
commy_values_bound (gpointer instance, GVariant *value)
{
  g_autoptr (GVariant) normal = g_variant_get_normal_form (value);

  return MAX (g_variant_get_size (normal), 1);
}

gssize
commy_values_store (GVariant *value, gboolean swap, guint8 *out, gsize size, GError **error)
{
  g_autoptr (GVariant) normal = g_variant_get_normal_form (value);
  gsize needed = g_variant_get_size (normal);

  if (needed > size)
    return commy_values_refuse_room (value, needed, size, error);
  if (swap)
    {
      g_autoptr (GVariant) swapped = g_variant_byteswap (normal);

      g_variant_store (swapped, out);
    }
  else
    {
      g_variant_store (normal, out);
    }
  return (gssize) needed;
}
