/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How long to spin before sleeping, learnt from whether spinning paid lately. What is measured
 * is not the gap between messages, which grows with every sleep it causes, but whether the next
 * message came within the budget. After a row of failures only every sixteenth wait spins, which
 * is how a sleeper finds out that its peer has become quick again.
 */
#pragma once

#include <glib.h>

#define COMMY_SPIN_FAILURES 8u
#define COMMY_SPIN_PROBE 16u

typedef struct
{
  guint8 failures; /* waits in a row in which spinning did not pay */
  guint8 skipped;  /* waits since the last probe */
} CommySpinner;

/* ns to spin in the wait that begins now. */
static inline gint64
commy_spinner_budget (CommySpinner *spinner, gint64 max_ns)
{
  if (spinner->failures < COMMY_SPIN_FAILURES)
    return max_ns;
  spinner->skipped = (guint8) ((spinner->skipped + 1) % COMMY_SPIN_PROBE);
  return spinner->skipped == 0 ? max_ns : 0;
}

/* A wait that did spin is over. @paid: the message came while it spun. */
static inline void
commy_spinner_learn (CommySpinner *spinner, gboolean paid)
{
  if (paid)
    spinner->failures = 0;
  else if (spinner->failures < COMMY_SPIN_FAILURES)
    spinner->failures++;
}

static inline void
commy_relax (void)
{
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause ();
#endif
}
