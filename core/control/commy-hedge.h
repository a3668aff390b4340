/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Hedges: a second copy of a call that takes long, to another instance; the first answer counts.
 * Only for what may be done twice. The form is gRPC's (proposal A6), with the wait learnt from the
 * calls themselves (Dean and Barroso, The Tail at Scale: after the 95th percentile). Pure.
 */
#pragma once

#include "control/commy-service-time.h"

typedef struct
{
  guint attempts;  /* copies, the first included; 1: no hedges */
  gint64 after_ns; /* 0: the 95th percentile */
} CommyHedgePolicy;

/* When the next copy is due, of which @n_sent are under way and the last was sent at @sent_ns;
 * G_MAXINT64: never. */
gint64 commy_hedge_get_due (const CommyHedgePolicy *policy,
                            CommyServiceTime *times,
                            guint n_sent,
                            gboolean idempotent,
                            gint64 sent_ns);
