/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Counting refusals for the log.
 */
#include "config.h"

#include "base/commy-refusals.h"

gboolean
commy_refusals_add (CommyRefusals *self, gboolean is_busy, gint64 now_ns, guint *out_untold)
{
  *out_untold = 0;
  if (is_busy)
    {
      self->n_busy++;
      return (self->n_busy & (self->n_busy - 1)) == 0;
    }
  if (self->n_told == 0 || now_ns - self->since_ns > COMMY_REFUSALS_WITHIN_NS)
    {
      *out_untold = self->n_untold;
      self->since_ns = now_ns;
      self->n_told = self->n_untold = 0;
    }
  if (self->n_told == COMMY_REFUSALS_TOLD)
    {
      self->n_untold++;
      return FALSE;
    }
  self->n_told++;
  return TRUE;
}
