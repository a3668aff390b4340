/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What `commy token` and `commy totp` do alike with their registers.
 */
#pragma once

#include "cli/commy-cmd.h"

#include "auth/common/commy-register.h"

/* @reg: (nullable): it could not be read, for @error. @to_variant: an entry as a{sv};
 * @print_entries: all of them for people. */
CommyExit commy_cmd_register_list (const CommyCli *cli,
                                   CommyRegister *reg,
                                   const GError *error,
                                   GVariant *(*to_variant) (gconstpointer entry),
                                   void (*print_entries) (GPtrArray *entries));

/* Changes the entry @id of an open register, and saves. COMMY_EXIT_NOT_FOUND: there is none, which
 * the caller is to say. */
CommyExit
commy_cmd_register_change (CommyRegister *reg,
                           const GError *error,
                           const char *id,
                           gboolean (*change) (CommyRegister *reg, const char *id, GError **error));
