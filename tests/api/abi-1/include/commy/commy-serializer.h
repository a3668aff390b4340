/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The serializer vtable: values to bytes and back. Decoders take hostile bytes.
 * All slots are data slots: any thread, never block, no state between calls.
 */
#pragma once

#include <commy/commy-descriptor.h>

G_BEGIN_DECLS

/**
 * CommySerializerBoundFunc:
 * @instance: the plugin's instance
 * @value: a value
 *
 * Returns: bytes that `encode` needs at most for @value; 0 if the format cannot carry it
 */
typedef gsize (*CommySerializerBoundFunc) (gpointer instance, GVariant *value);

/**
 * CommySerializerEncodeFunc:
 * @instance: the plugin's instance
 * @value: a value
 * @out: where to; 8-aligned, room for at least `bound`
 * @size: its room
 * @error: return location; names the type that the format cannot carry
 *
 * Writes @value at @out.
 *
 * Returns: bytes written, or -1 with @error set
 */
typedef gssize (*CommySerializerEncodeFunc) (
    gpointer instance, GVariant *value, guint8 *out, gsize size, GError **error);

/**
 * CommySerializerDecodeFunc:
 * @instance: the plugin's instance
 * @bytes: (transfer none): what came; nobody changes it any more. An in-place format keeps a
 *   reference instead of a copy
 * @type: (nullable): the type to expect; %NULL only for self-describing formats
 * @error: return location
 *
 * Reads a value. Depth and memory are bounded before anything is taken; what the bytes
 * themselves ask for is never trusted.
 *
 * Returns: (transfer full): the value, in normal form, not floating; or %NULL with @error set
 */
typedef GVariant *(*CommySerializerDecodeFunc) (gpointer instance,
                                                GBytes *bytes,
                                                const GVariantType *type,
                                                GError **error);

/**
 * CommySerializerOps:
 * @struct_size: `sizeof (CommySerializerOps)`
 * @bound: required
 * @encode: required
 * @decode: required
 *
 * The operations of a serializer. A serializer with %COMMY_CAP_BYTES carries opaque
 * bytes too: those are never given to it, the core moves them as they are.
 *
 * Since: 0.1
 */
struct _CommySerializerOps
{
  gsize struct_size;
  CommySerializerBoundFunc bound;
  CommySerializerEncodeFunc encode;
  CommySerializerDecodeFunc decode;
};

G_END_DECLS
