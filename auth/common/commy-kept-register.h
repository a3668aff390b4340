/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A register that stays in memory, and is read anew where its file changed.
 */
#pragma once

#include "auth/common/commy-register.h"

#include <sys/stat.h>

G_BEGIN_DECLS

/* Zeroed at first. */
typedef struct
{
  CommyRegister *reg; /* as the file was when it was looked at last; NULL: it is no good */
  struct stat seen;
  gboolean has_seen; /* there was a file */
  gboolean has_told; /* that this one is no good */
} CommyKeptRegister;

/* Looks whether the file is what it was. One that is no good is tried again each time, and leaves
 * no register: what was taken back in it must not go on counting. Returns what is wrong with it,
 * once for each file. (transfer full) (nullable) */
GError *commy_kept_register_refresh (CommyKeptRegister *kept,
                                     const CommyRegisterKind *kind,
                                     const char *dir,
                                     const char *file);
void commy_kept_register_clear (CommyKeptRegister *kept);

G_END_DECLS
