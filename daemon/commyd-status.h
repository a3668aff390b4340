/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `commyd --status`: asks a running daemon and prints what it says.
 */
#pragma once

#include <glib.h>

/* Returns the program's exit code: 3 where no daemon answers. */
int commyd_status_show (const char *socket, gboolean as_json);
