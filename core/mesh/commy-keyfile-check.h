/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether programs would start with a keyfile: not only its words, but what they name. It is judged
 * on top of those that are read anyway, which may have what it speaks of. Code that would not be
 * loaded without it is not loaded to look at it. Any thread.
 */
#pragma once

#include <glib.h>

gboolean commy_keyfile_check (const char *path, GError **error);
