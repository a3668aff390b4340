/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Arrays of integers: all in the fewest bytes that hold each of them, or each in its own number of
 * bytes, whichever is shorter together. Both sides of a message must come to the same form, so
 * there is one place that decides it.
 */
#include "config.h"

#include "commy-compact-varint.h"
#include "commy-compact.h"

/* What all values need together: @out_any has a bit wherever one of them has, of a negative number
 * the bits of its complement. Inlined with constants for @size and @is_signed. */
static inline __attribute__ ((always_inline)) gsize
measure (const guint8 *data, gsize n, gsize size, gboolean is_signed, guint64 *out_any)
{
  guint64 any = 0;
  gsize bytes = 0;

  for (gsize i = 0; i < n; i++)
    {
      guint64 number = compact_integer_load (data + i * size, size, is_signed);

      any |= number;
      bytes += compact_varint_size (number);
    }
  *out_any = any;
  return bytes;
}

/* Zigzag has one bit more than a number's magnitude, which is what a sign needs. */
static guint
form_that_holds (guint64 any)
{
  return any <= G_MAXUINT8 ? 1 : any <= G_MAXUINT16 ? 2 : any <= G_MAXUINT32 ? 3 : 4;
}

guint
commy_compact_choose_form (const CompactNode *integer,
                           const guint8 *data,
                           gsize n,
                           gsize *out_bytes)
{
  guint64 any = 0;
  gsize variable;
  guint form;

  if (integer->is_signed)
    variable = integer->fixed == 2   ? measure (data, n, 2, TRUE, &any)
               : integer->fixed == 4 ? measure (data, n, 4, TRUE, &any)
                                     : measure (data, n, 8, TRUE, &any);
  else
    variable = integer->fixed == 2   ? measure (data, n, 2, FALSE, &any)
               : integer->fixed == 4 ? measure (data, n, 4, FALSE, &any)
                                     : measure (data, n, 8, FALSE, &any);
  form = form_that_holds (any);
  *out_bytes = n << (form - 1);
  if (*out_bytes <= variable)
    return form;
  *out_bytes = variable;
  return 0;
}

static inline __attribute__ ((always_inline)) guint64
load_native (const guint8 *memory, gsize size)
{
  return compact_integer_load (memory, size, FALSE);
}

/* The low bytes, the lowest first. */
static inline __attribute__ ((always_inline)) void
narrow (guint8 *out, gsize to, const guint8 *memory, gsize from, gsize n)
{
  for (gsize i = 0; i < n; i++)
    {
      guint64 number = GUINT64_TO_LE (load_native (memory + i * from, from));

      memcpy (out + i * to, &number, to);
    }
}

static inline __attribute__ ((always_inline)) void
widen (guint8 *memory, gsize to, const guint8 *in, gsize from, gboolean is_signed, gsize n)
{
  for (gsize i = 0; i < n; i++)
    {
      guint64 number = 0;

      memcpy (&number, in + i * from, from);
      number = GUINT64_FROM_LE (number);
      if (is_signed)
        number = (guint64) ((gint64) (number << (64 - 8 * from)) >> (64 - 8 * from));
      compact_integer_store (memory + i * to, to, FALSE, number);
    }
}

void
commy_compact_narrow (guint8 *out, gsize to, const guint8 *memory, gsize from, gsize n)
{
  if (to == from && G_BYTE_ORDER == G_LITTLE_ENDIAN)
    {
      if (n > 0) /* no bytes may have no address */
        memcpy (out, memory, n * from);
    }
  else if (to == 1)
    narrow (out, 1, memory, from, n);
  else if (to == 2)
    narrow (out, 2, memory, from, n);
  else if (to == 4)
    narrow (out, 4, memory, from, n);
  else
    narrow (out, 8, memory, from, n);
}

void
commy_compact_widen (
    guint8 *memory, gsize to, const guint8 *in, gsize from, gboolean is_signed, gsize n)
{
  if (to == from && G_BYTE_ORDER == G_LITTLE_ENDIAN)
    {
      if (n > 0)
        memcpy (memory, in, n * from);
    }
  else if (from == 1)
    widen (memory, to, in, 1, is_signed, n);
  else if (from == 2)
    widen (memory, to, in, 2, is_signed, n);
  else if (from == 4)
    widen (memory, to, in, 4, is_signed, n);
  else
    widen (memory, to, in, 8, is_signed, n);
}
