/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How far it is: a line that renews itself on a terminal, a plain line now and then elsewhere.
 */
#include "config.h"

#include "demo.h"

#include <stdio.h>
#include <unistd.h>

#define TERMINAL_US (G_USEC_PER_SEC / 10)
#define PLAIN_US (3 * G_USEC_PER_SEC)

void
demo_progress_start (DemoProgress *self, const char *what, guint64 total)
{
  *self = (DemoProgress){ .what = what,
                          .total = total,
                          .shown_us = g_get_monotonic_time (),
                          .terminal = isatty (STDERR_FILENO) == 1 };
}

void
demo_progress_tick (DemoProgress *self, guint64 done, guint64 bytes)
{
  gint64 now_us = g_get_monotonic_time ();
  g_autofree char *size = NULL;

  if (now_us - self->shown_us < (self->terminal ? TERMINAL_US : PLAIN_US))
    return;
  self->shown_us = now_us;
  size = g_format_size_full (bytes, G_FORMAT_SIZE_IEC_UNITS);
  fprintf (stderr, "%s%s: %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT " files, %s%s",
           self->terminal ? "\r" : "", self->what, done, self->total, size,
           self->terminal ? "\033[K" : "\n");
  fflush (stderr);
}

void
demo_progress_end (DemoProgress *self)
{
  if (self->terminal)
    fputs ("\r\033[K", stderr);
  fflush (stderr);
}
