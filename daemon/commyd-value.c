/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Values with their stamp: see the header. Four bytes of mark, four of the user, eight of the
 * lease, eight of the boot, then the value.
 */
#include "config.h"

#include "daemon/commyd-value.h"

#include <string.h>

typedef struct
{
  guint8 mark[4];
  guint32 uid;
  guint64 lease;
  guint64 boot;
} Head;

G_STATIC_ASSERT (sizeof (Head) == 24);

#define MARK "CMY1"

GBytes *
commyd_value_wrap (GBytes *value, const CommydStamp *stamp)
{
  gsize size = 0;
  gconstpointer data = value != NULL ? g_bytes_get_data (value, &size) : NULL;
  GByteArray *stored = g_byte_array_sized_new ((guint) (sizeof (Head) + size));
  Head head = { .uid = GUINT32_TO_LE (stamp->uid),
                .lease = GUINT64_TO_LE ((guint64) stamp->lease),
                .boot = GUINT64_TO_LE (stamp->boot) };

  memcpy (head.mark, MARK, sizeof head.mark);
  g_byte_array_append (stored, (const guint8 *) &head, sizeof head);
  if (size > 0)
    g_byte_array_append (stored, data, (guint) size);
  return g_byte_array_free_to_bytes (stored);
}

GBytes *
commyd_value_unwrap (GBytes *stored, CommydStamp *out_stamp)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (stored, &size);
  Head head;

  if (size < sizeof head || memcmp (data, MARK, sizeof head.mark) != 0)
    return NULL;
  memcpy (&head, data, sizeof head);
  *out_stamp = (CommydStamp){ .uid = GUINT32_FROM_LE (head.uid),
                              .lease = (gint64) GUINT64_FROM_LE (head.lease),
                              .boot = GUINT64_FROM_LE (head.boot) };
  return g_bytes_new_from_bytes (stored, sizeof head, size - sizeof head);
}
