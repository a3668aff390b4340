/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * JSON text from a typed value, and a value of a known type from JSON text. What becomes what is
 * in README.md.
 */
#pragma once

#include <glib.h>

/* Writes @value at @out, or as much of it as @size allows. Returns the bytes that all of it needs;
 * 0 if it is nested too deep. @out may be NULL to measure. */
gsize commy_json_write (GVariant *value, guint8 *out, gsize size);

/* The value, not floating; or NULL with a sentence in @out_why (transfer full). @type is definite.
 */
GVariant *commy_json_read (const char *text, gsize size, const GVariantType *type, char **out_why);

/* Room for any number, a NUL included. */
#define COMMY_JSON_NUMBER_MAX 40

/* A number as text, without quotes: JSON, except for what is not finite. @data points at it. */
void commy_json_format_number (char type, gconstpointer data, char text[COMMY_JSON_NUMBER_MAX]);
/* The reverse, exact. FALSE if @text is no number of that type. @out has room for 8 bytes. */
gboolean commy_json_parse_number (char type, const char *text, gpointer out);
