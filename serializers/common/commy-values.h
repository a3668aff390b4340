/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the serializers share: the errors they refuse with, how deep a type may be, and storing a
 * value as it lies in memory. Linked statically into each of them.
 */
#pragma once

#include <commy/commy-plugin.h>

/* GLib calls types of 128 levels valid and then aborts when it takes such a value apart. */
#define COMMY_VALUES_MAX_NESTING 120u

/* For serializers that keep nothing but their host. */
typedef struct
{
  CommyHost *host;
} CommyStateless;

gboolean commy_stateless_init (gpointer instance, CommyHost *host, GError **error);
void commy_stateless_fini (gpointer instance);

/* Bytes of a value of the basic type @kind; 0 for texts and all other types. */
guint commy_values_basic_size (char kind);

/* Bytes of one number; 0 for all types that not every byte sequence is a value of. */
gsize commy_values_number_size (const GVariantType *type);

/* How many levels of containers a valid type has. */
guint commy_values_nesting (const GVariantType *type);

/* Whether @type says what to decode. Error: names @format, which does not say it itself. */
gboolean commy_values_check_type (const GVariantType *type, const char *format, GError **error);

/* "FORMAT does not carry this value of type T": it is too deep, or a part of it too big. Returns
 * -1.
 */
gssize commy_values_refuse_value (GVariant *value, const char *format, GError **error);

/* "a value of type T needs N bytes, there is room for only M". Returns -1. */
gssize commy_values_refuse_room (GVariant *value, gsize needed, gsize room, GError **error);

/* "N bytes are not FORM of a value of type T", and ": WHY" if that is known. */
void commy_values_refuse_bytes (
    GBytes *bytes, const GVariantType *type, const char *form, const char *why, GError **error);

/* `bound` and `encode` of the formats that are GVariant's memory. @swap: into the other byte
 * order than this machine's. */
gsize commy_values_bound (gpointer instance, GVariant *value);
gssize commy_values_store (GVariant *value, gboolean swap, guint8 *out, gsize size, GError **error);
