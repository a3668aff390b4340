/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether a method can still answer a call in the time that it has left, as its last answers say.
 * What it cannot is refused before it begins: done in vain it would only delay what can. Each
 * method has its own, because a slow one says nothing of the others.
 */
#pragma once

#include "control/commy-deadline.h"

typedef struct
{
  double quantile;
  GMutex lock; /* of times */
  CommyServiceTime times;
  gint64 usual_ns; /* atomic: 0 while nothing is known */
  gint64 try_ns;   /* atomic: from then on a call is begun all the same, to see */
} CommyShed;

/* (transfer full); NULL, which all functions take: @policy sheds nothing. */
CommyShed *commy_shed_new (const CommyDeadlinePolicy *policy);
void commy_shed_free (CommyShed *shed);

/* Any thread. Whether a call with @left_ns left is worth beginning. @out_try: only to see how long
 * it takes now, so commy_shed_learn() wants to know. */
gboolean commy_shed_admits (CommyShed *shed, gint64 left_ns, gint64 now_ns, gboolean *out_try);
/* Any thread. A call took so long from its arrival to its answer. */
void commy_shed_learn (CommyShed *shed, gint64 took_ns, gint64 now_ns);
