/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The values of the matrix: every type that has no part, often with its least and most, in every
 * shape around it.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

guint matrix_n_types (void);
guint matrix_n_values (void);

/* Not floating. */
GVariant *matrix_value (guint i);

/* Whether it is a dictionary that has a key twice, which few languages have. */
gboolean matrix_has_key_twice (guint i);

G_END_DECLS
