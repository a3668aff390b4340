/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether a service can still answer a call in the time that it has left, as its last answers say.
 * What it cannot is refused before it begins: done in vain it would only delay what can.
 */
#pragma once

#include "control/commy-deadline.h"

typedef struct
{
  CommyDeadlinePolicy policy;
  GMutex lock; /* of times */
  CommyServiceTime times;
  gint64 usual_ns; /* atomic: 0 while nothing is known */
  gint64 try_ns;   /* atomic: from then on a call is begun all the same, to see */
} CommyShed;

void commy_shed_init (CommyShed *shed, const CommyDeadlinePolicy *policy);
void commy_shed_clear (CommyShed *shed);

/* Any thread. Whether a call with @left_ns left is worth beginning. @out_try: only to see how long
 * it takes now, so commy_shed_learn() wants to know. */
gboolean commy_shed_admits (CommyShed *shed, gint64 left_ns, gint64 now_ns, gboolean *out_try);
/* Any thread. A call took so long from its arrival to its answer. */
void commy_shed_learn (CommyShed *shed, gint64 took_ns, gint64 now_ns);
