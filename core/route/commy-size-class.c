/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Size classes: a factor of four each, so that the class of a size is a matter of its highest
 * bit. A class is costed at its upper end, which is where people ask (64, 4k, 64k, 1M).
 */
#include "config.h"

#include "route/commy-route.h"

#define FIRST_BITS 6 /* 64 bytes */

guint
commy_size_class (gsize size)
{
  guint bits, size_class;

  if (size <= (1u << FIRST_BITS))
    return 0;
  bits = 64 - (guint) __builtin_clzll ((guint64) size - 1);
  size_class = (bits - FIRST_BITS + 1) / 2;
  return MIN (size_class, COMMY_SIZE_CLASSES - 1);
}

gsize
commy_size_class_upper (guint size_class)
{
  if (size_class >= COMMY_SIZE_CLASSES - 1)
    return G_MAXSIZE;
  return (gsize) 1 << (FIRST_BITS + 2 * size_class);
}

gsize
commy_size_class_representative (guint size_class)
{
  return (gsize) 1 << (FIRST_BITS + 2 * MIN (size_class, COMMY_SIZE_CLASSES - 1));
}
