/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Random numbers as policies use them: given as 64 bits, used as a share.
 */
#pragma once

#include <glib.h>

/* From 0 to below 1; as many values as a double tells apart there. */
static inline double
commy_chance (guint64 random)
{
  return (double) (random >> 11) * 0x1p-53;
}
