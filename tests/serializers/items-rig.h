/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the tests of the serializers that write items (MessagePack, CBOR) share: one of them
 * started in a host of its own, bytes as hexadecimal digits, and files of vectors.
 */
#pragma once

#include "../conformance/commy-test-host.h"

G_BEGIN_DECLS

typedef struct
{
  CommyTestHost *host;
  const CommySerializerOps *ops;
  gpointer instance;
} ItemsRig;

/* For g_test_add(): @id is the serializer's. */
void items_rig_start (ItemsRig *rig, gconstpointer id);
void items_rig_stop (ItemsRig *rig, gconstpointer id);

/* The value that a GVariant text says; `nan` is the plain one. Not floating. */
GVariant *items_parse (const char *text);
GBytes *items_from_hex (const char *hex);
char *items_to_hex (GBytes *bytes);

/* Encodes into exactly the room that `bound` says. */
GBytes *items_encode (ItemsRig *rig, GVariant *value);
/* Decodes, and checks that the value is in normal form whatever it says of itself. */
GVariant *items_decode (ItemsRig *rig, GBytes *bytes, const char *type, GError **error);

/* A line of a file of vectors: what (see vectors/README.md), and what follows it. */
typedef struct
{
  char what;      /* '=', '<', '~' or '!' */
  char **columns; /* the bytes; a value, or a type and a part of what is said about them */
} ItemsVector;

/* The vectors of tests/serializers/vectors/NAME, each an ItemsVector. */
GPtrArray *items_load_vectors (const char *name);

/* The names of the files for the serializer @id, sorted. */
GPtrArray *items_list_vectors (const char *id);

G_END_DECLS
