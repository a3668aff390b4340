/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Shared by the serializers whose bytes are GVariant's own: bytes to a value, if they are its
 * normal form. Linked statically into each of them.
 */
#pragma once

#include <glib.h>

/* A value that refers to @bytes (GLib copies them if they are not aligned); NULL if they are not
 * in normal form. @type must be definite. Not floating. */
GVariant *commy_normal_from_bytes (const GVariantType *type, GBytes *bytes);
