/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Prints a GVariant as JSON, for reports of the core. (Parsing JSON is the business of plugins.)
 */
#pragma once

#include <glib.h>

/* Any value: dictionaries with string keys become objects, other containers arrays, bytes (ay)
 * base64, infinite numbers null. @indent: spaces a level, 0 for one line. (transfer full) */
char *commy_json_print (GVariant *value, guint indent);
