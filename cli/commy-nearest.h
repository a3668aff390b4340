/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * "Did you mean": which known name a slip of the fingers meant.
 */
#pragma once

#include <glib.h>

/* (transfer none) (nullable): the known name (up to NULL) with the fewest changes, if these are
 * few for the length of @word */
const char *commy_nearest (const char *word, const char *const *known);
/* (transfer full): " (did you mean \"shm\"?)", or "" */
char *commy_nearest_dup_hint (const char *word, const char *const *known);
