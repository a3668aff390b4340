/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files of vectors (vectors/README.md): bytes and the values they are, for any format.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* The value that a GVariant text says; `nan` is the plain one. Not floating. */
GVariant *vector_parse (const char *text);
GBytes *vector_from_hex (const char *hex);
char *vector_to_hex (GBytes *bytes);

/* A line of a file of vectors: what (see vectors/README.md), and what follows it. */
typedef struct
{
  char what;      /* '=', '<', '~' or '!' */
  char **columns; /* the bytes; a value, or a type and perhaps a part of what is said about them */
} Vector;

/* The vectors of tests/serializers/vectors/NAME, each an Vector. */
GPtrArray *vectors_load (const char *name);

/* The names of the files for the serializer @id, sorted. */
GPtrArray *vectors_list (const char *id);

G_END_DECLS
