/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How a door confines itself before it reads the first byte. What the kernel or the build has not
 * is left out; what there is, is said to the keeper, and `commyd --status` shows it.
 */
#pragma once

#include <glib.h>

typedef enum
{
  COMMYD_CONFINED_PRIVILEGES = 1 << 0, /* has none, and gets none any more */
  COMMYD_CONFINED_MEMORY = 1 << 1,     /* not dumped, not looked into by its user */
  COMMYD_CONFINED_LIMITS = 1 << 2,     /* no further process, no byte in a file */
  COMMYD_CONFINED_LANDLOCK = 1 << 3,   /* no path, no port, no signal to others */
  COMMYD_CONFINED_SECCOMP = 1 << 4,    /* a handful of system calls */
} CommydConfinement;

/* Closes what is open but @keep, which is 3; standard input, output and errors go nowhere. */
void commyd_sandbox_close_descriptors (int keep);
/* From now on the process has what it has. What it is confined by: of CommydConfinement. */
guint64 commyd_sandbox_enter (void);
/* For people: words with blanks between. (transfer full) */
char *commyd_sandbox_describe (guint64 confinement);
