/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The numbers of "compact": one to nine bytes, most significant first. The ones that the first
 * byte begins with say how many follow, so both directions do without a loop.
 */
#pragma once

#include <glib.h>
#include <string.h>

#define COMPACT_VARINT_MAX 9u

static inline gsize
compact_varint_size (guint64 number)
{
  guint bits = 64u - (guint) __builtin_clzll (number | 1);

  return bits > 56 ? COMPACT_VARINT_MAX : (bits + 6) / 7;
}

/* @out: with room for COMPACT_VARINT_MAX bytes, all of which may be changed. Returns its size. */
static inline gsize
compact_varint_store (guint8 *out, guint64 number)
{
  gsize size = compact_varint_size (number);
  guint64 bytes;

  if (size == COMPACT_VARINT_MAX)
    {
      out[0] = 0xff;
      bytes = GUINT64_TO_BE (number);
      memcpy (out + 1, &bytes, sizeof bytes);
      return size;
    }
  bytes = GUINT64_TO_BE (number << (64 - 8 * size) | ~(G_MAXUINT64 >> (size - 1)));
  memcpy (out, &bytes, sizeof bytes);
  return size;
}

/* The number at @in, of which @left bytes are there. Returns its size; 0 if it is cut off or
 * longer than it needs to be. */
static inline gsize
compact_varint_load (const guint8 *in, gsize left, guint64 *out)
{
  guint8 padded[COMPACT_VARINT_MAX] = { 0 };
  guint64 bytes;
  gsize size;

  if (G_LIKELY (left > 0 && in[0] < 0x80))
    {
      *out = in[0];
      return 1;
    }
  if (left == 0)
    return 0;
  size = in[0] == 0xff ? COMPACT_VARINT_MAX
                       : 1u + (gsize) __builtin_clz (~((guint) in[0] << 24 | 0x00ffffff));
  if (left < size)
    return 0;
  if (left < COMPACT_VARINT_MAX)
    {
      memcpy (padded, in, left);
      in = padded;
    }
  if (size == COMPACT_VARINT_MAX)
    {
      memcpy (&bytes, in + 1, sizeof bytes);
      *out = GUINT64_FROM_BE (bytes);
    }
  else
    {
      memcpy (&bytes, in, sizeof bytes);
      *out = GUINT64_FROM_BE (bytes) << size >> (64 - 7 * size);
    }
  return *out >> (7 * (size - 1)) != 0 ? size : 0;
}

/* Small negative numbers as small ones: 0, -1, 1, -2 become 0, 1, 2, 3. */
static inline guint64
compact_zigzag (gint64 number)
{
  return (guint64) number << 1 ^ (guint64) (number >> 63);
}

static inline gint64
compact_unzigzag (guint64 number)
{
  return (gint64) (number >> 1) ^ -(gint64) (number & 1);
}

/* An integer in memory, as it is written. */
static inline guint64
compact_integer_load (const guint8 *memory, gsize size, gboolean is_signed)
{
  guint16 q;
  guint32 u;
  guint64 t;

  switch (size)
    {
    case 2:
      memcpy (&q, memory, sizeof q);
      return is_signed ? compact_zigzag ((gint16) q) : q;
    case 4:
      memcpy (&u, memory, sizeof u);
      return is_signed ? compact_zigzag ((gint32) u) : u;
    default:
      memcpy (&t, memory, sizeof t);
      return is_signed ? compact_zigzag ((gint64) t) : t;
    }
}

static inline void
compact_integer_store (guint8 *memory, gsize size, gboolean is_signed, guint64 number)
{
  guint64 t = is_signed ? (guint64) compact_unzigzag (number) : number;
  guint32 u = (guint32) t;
  guint16 q = (guint16) t;

  if (size == 2)
    memcpy (memory, &q, sizeof q);
  else if (size == 4)
    memcpy (memory, &u, sizeof u);
  else
    memcpy (memory, &t, sizeof t);
}
