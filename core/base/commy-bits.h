/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sets of small numbers, one bit each, in words of 64: the form in which balancers are told whom
 * they may not pick.
 */
#pragma once

#include <glib.h>

static inline gsize
commy_bits_words (gsize n)
{
  return (n + 63) / 64;
}

static inline gboolean
commy_bits_has (const guint64 *bits, gsize index)
{
  return (bits[index / 64] >> (index % 64) & 1) != 0;
}

static inline void
commy_bits_add (guint64 *bits, gsize index)
{
  bits[index / 64] |= G_GUINT64_CONSTANT (1) << (index % 64);
}

static inline void
commy_bits_remove (guint64 *bits, gsize index)
{
  bits[index / 64] &= ~(G_GUINT64_CONSTANT (1) << (index % 64));
}
