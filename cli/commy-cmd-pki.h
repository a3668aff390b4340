/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `commy pki`: the authority and the certificates of a mesh.
 */
#pragma once

#include <glib.h>

/* argv[0] is "pki". Returns the exit code: 0 done, 1 failed, 2 wrong usage. */
int commy_cmd_pki (int argc, char **argv);
