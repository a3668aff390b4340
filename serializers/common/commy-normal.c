/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The check for normal form: GLib's, except where that is slow. GLib asks every element of an
 * array of numbers, although any bytes are numbers: 12 ns a byte. Such arrays are taken whole
 * here, alone or as members of a tuple, which is what the arguments of a call are. The frame of
 * the tuple is checked by making it anew: a value has one normal form, so equal bytes prove it.
 */
#include "config.h"

#include "commy-normal.h"
#include "commy-values.h"

#include <string.h>

#define SMALLEST_PAGE 4096u /* of any machine: memory ends at a multiple of it */

static gboolean
is_numbers (const GVariantType *type)
{
  return g_variant_type_is_array (type)
         && commy_values_number_size (g_variant_type_element (type)) > 0;
}

static GVariant *
numbers_from_bytes (const GVariantType *type, GBytes *bytes)
{
  if (g_bytes_get_size (bytes) % commy_values_number_size (g_variant_type_element (type)) != 0)
    return NULL;
  return g_variant_ref_sink (g_variant_new_from_bytes (type, bytes, TRUE));
}

/* A member that is known to be in normal form, or NULL. */
static GVariant *
check_member (GVariant *tuple, gsize index)
{
  g_autoptr (GVariant) member = g_variant_get_child_value (tuple, index);
  const GVariantType *type = g_variant_get_type (member);

  if (is_numbers (type))
    {
      g_autoptr (GBytes) bytes = g_variant_get_data_as_bytes (member);

      return numbers_from_bytes (type, bytes);
    }
  return g_variant_is_normal_form (member) ? g_steal_pointer (&member) : NULL;
}

static gboolean
is_normal_tuple (GVariant *tuple, GBytes *bytes)
{
  g_autoptr (GPtrArray) members = g_ptr_array_new_with_free_func ((GDestroyNotify) g_variant_unref);
  g_autoptr (GVariant) anew = NULL;
  gsize n_members = g_variant_n_children (tuple);
  gsize size;
  const void *data = g_bytes_get_data (bytes, &size);

  for (gsize i = 0; i < n_members; i++)
    {
      GVariant *member = check_member (tuple, i);

      if (member == NULL)
        return FALSE;
      g_ptr_array_add (members, member);
    }
  anew
      = g_variant_ref_sink (g_variant_new_tuple ((GVariant *const *) members->pdata, members->len));
  if (g_variant_get_size (anew) != size)
    return FALSE;
  /* No bytes have no address, which memcmp() may not be given. */
  return size == 0 || memcmp (g_variant_get_data (anew), data, size) == 0;
}

static gboolean
has_numbers (const GVariantType *type)
{
  if (!g_variant_type_is_tuple (type))
    return FALSE;
  for (const GVariantType *member = g_variant_type_first (type); member != NULL;
       member = g_variant_type_next (member))
    if (is_numbers (member))
      return TRUE;
  return FALSE;
}

/* GLib (2.74) looks at one byte behind some tuples that are too short. Where no memory need follow,
 * they are moved. */
static GBytes *
with_a_byte_behind (GBytes *bytes)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (bytes, &size);
  guint8 *moved;

  if (size == 0 || ((gsize) (data + size) & (SMALLEST_PAGE - 1)) != 0)
    return g_bytes_ref (bytes);
  moved = g_malloc (size + 1);
  memcpy (moved, data, size);
  moved[size] = 0;
  return g_bytes_new_with_free_func (moved, size, g_free, moved);
}

GVariant *
commy_normal_from_bytes (const GVariantType *type, GBytes *given)
{
  g_autoptr (GBytes) bytes = NULL;
  g_autoptr (GVariant) value = NULL;

  if (commy_values_nesting (type) > COMMY_VALUES_MAX_NESTING)
    return NULL;
  if (is_numbers (type))
    return numbers_from_bytes (type, given);
  bytes = with_a_byte_behind (given);
  value = g_variant_ref_sink (g_variant_new_from_bytes (type, bytes, FALSE));
  if (!has_numbers (type))
    return g_variant_is_normal_form (value) ? g_steal_pointer (&value) : NULL;
  if (!is_normal_tuple (value, bytes))
    return NULL;
  /* Proved: said to GLib too, so that nobody checks again. */
  return g_variant_ref_sink (g_variant_new_from_bytes (type, bytes, TRUE));
}
