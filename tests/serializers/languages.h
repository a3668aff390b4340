/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What other languages make of our bytes: programs in Python and JavaScript (through-python.py,
 * through-node.js) that read each value with a library of theirs and write it again.
 */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

typedef enum
{
  LANGUAGE_PYTHON,
  LANGUAGE_NODE,
} Language;

/* A program of @language with the script @name of this folder, its output read and its input
 * written by the caller. NULL: the language is not installed, and the test is skipped. */
GSubprocess *language_start (Language language, const char *name, const char *argument);

/* Adds a line for language_through(). */
void language_add (GString *lines, const GVariantType *type, GBytes *bytes);

/* What @language writes of @lines in @format, a GBytes for each; @out_library is what did it. NULL:
 * it has nothing for the format, and the test is skipped. */
GPtrArray *
language_through (Language language, const char *format, const GString *lines, char **out_library);

G_END_DECLS
