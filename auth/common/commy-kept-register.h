/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A register that stays in memory, and is read anew where its file changed.
 */
#pragma once

#include "auth/common/commy-register.h"

#include <sys/stat.h>

G_BEGIN_DECLS

/* Between two attempts at a file that is no good and has not changed. */
#define COMMY_KEPT_RETRY_NS G_GINT64_CONSTANT (1000000000)

/* Zeroed at first. */
typedef struct
{
  CommyRegister *reg; /* as the file was when it was looked at last; NULL: it is no good */
  struct stat seen;
  gint64 tried_ns;   /* to read it */
  gboolean has_seen; /* there was a file */
  gboolean has_told; /* that this one is no good */
} CommyKeptRegister;

/* Looks whether the file is what it was. One that is no good is tried again once a second, and
 * leaves no register: what was taken back in it must not go on counting. @now_ns: a clock that only
 * goes on. Returns what is wrong with it, once for each file. (transfer full) (nullable) */
GError *commy_kept_register_refresh (CommyKeptRegister *kept,
                                     const CommyRegisterKind *kind,
                                     const char *dir,
                                     const char *file,
                                     gint64 now_ns);
void commy_kept_register_clear (CommyKeptRegister *kept);

G_END_DECLS
