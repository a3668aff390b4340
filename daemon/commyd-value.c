/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Values with their owner: see the header. Four bytes of mark, four of the user, then the value.
 */
#include "config.h"

#include "daemon/commyd-value.h"

#include <string.h>

static const guint8 mark[4] = { 'C', 'M', 'Y', '1' };

GBytes *
commyd_value_wrap (GBytes *value, guint32 uid)
{
  gsize size = 0;
  gconstpointer data = value != NULL ? g_bytes_get_data (value, &size) : NULL;
  GByteArray *stored = g_byte_array_sized_new ((guint) (size + 8));
  const guint32 owner = GUINT32_TO_LE (uid);

  g_byte_array_append (stored, mark, sizeof mark);
  g_byte_array_append (stored, (const guint8 *) &owner, sizeof owner);
  if (size > 0)
    g_byte_array_append (stored, data, (guint) size);
  return g_byte_array_free_to_bytes (stored);
}

GBytes *
commyd_value_unwrap (GBytes *stored, guint32 *out_uid)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (stored, &size);
  guint32 owner;

  if (size < sizeof mark + sizeof owner || memcmp (data, mark, sizeof mark) != 0)
    return NULL;
  memcpy (&owner, data + sizeof mark, sizeof owner);
  *out_uid = GUINT32_FROM_LE (owner);
  return g_bytes_new_from_bytes (stored, sizeof mark + sizeof owner,
                                 size - sizeof mark - sizeof owner);
}
