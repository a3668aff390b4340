/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which refusals the log hears of: whoever can knock, or write records that are none, must not be
 * able to fill it. Time is an argument. Mesh thread.
 */
#pragma once

#include <glib.h>

#define COMMY_REFUSALS_TOLD 64u /* within that time, of those that differ */
#define COMMY_REFUSALS_WITHIN_NS G_GINT64_CONSTANT (10000000000)

/* Zeroed at first. */
typedef struct
{
  guint n_busy;    /* because there were too many */
  gint64 since_ns; /* what follows is counted */
  guint n_told;
  guint n_untold;
} CommyRefusals;

/* One more. Whether the log hears of it: of those for lack of room the first, second, fourth ...;
 * of others so many in a while. *@out_untold: of how many before it did not, and should now. */
gboolean
commy_refusals_add (CommyRefusals *self, gboolean is_busy, gint64 now_ns, guint *out_untold);
