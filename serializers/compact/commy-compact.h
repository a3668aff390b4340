/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the parts of the serializer "compact" know of each other: types made into nodes, the two
 * directions, and arrays of integers. The format itself is in docs/formats/compact.md.
 */
#pragma once

#include <glib.h>

typedef enum
{
  COMPACT_BOOL,
  COMPACT_BYTE,
  COMPACT_INTEGER,
  COMPACT_DOUBLE,
  COMPACT_STRING,
  COMPACT_PATH,
  COMPACT_SIGNATURE,
  COMPACT_VARIANT,
  COMPACT_MAYBE,
  COMPACT_ARRAY,
  COMPACT_TUPLE, /* dictionary entries too */
} CompactKind;

/* One type; the types inside follow it, each with its own behind it. */
typedef struct
{
  guint8 kind;
  guint8 align; /* of the value in memory, less 1: 0, 1, 3, 7 */
  gboolean is_signed;
  guint32 next;      /* nodes up to the one behind this type */
  guint32 n_offsets; /* framing offsets of a tuple in memory */
  guint32 n_bits;    /* of the bitmap a tuple begins with */
  gsize fixed;       /* bytes in memory; 0 if that depends on the value */
} CompactNode;

typedef struct
{
  const CompactNode *nodes;
  guint nesting; /* levels of containers */
} CompactType;

/* A signature that is said with one byte. */
typedef struct
{
  CompactType type;
  const char *signature;
  gsize length;
} CompactCode;

typedef struct
{
  CompactCode *codes;              /* commy_compact_n_codes of them */
  CompactNode *nodes;              /* of all of them */
  const CompactCode *letters[128]; /* the codes of single letters */
  gsize max_size;                  /* most bytes of a value in memory */
} CompactFormat;

/* --- types (commy-compact-type.c) --- */

#define COMPACT_NODES_INLINE 32u /* longer types take memory of their own */
#define COMPACT_CODES 24u        /* signatures that have a code */
#define COMPACT_SPELLED 32u      /* codes from here are lengths */

/* Of @length characters, each of which needs at most one node; FALSE if they are no definite type
 * or one with too many levels. */
gboolean
commy_compact_compile (const char *type, gsize length, CompactNode *nodes, CompactType *out);
void commy_compact_format_init (CompactFormat *self, gsize max_size);
void commy_compact_format_clear (CompactFormat *self);
/* The code of a signature, or NULL. */
const CompactCode *
commy_compact_find_code (const CompactFormat *self, const char *signature, gsize length);

/* --- both ways --- */

/* Bytes of @value, of which at most @room are written; 0 if the format refuses it. */
gsize commy_compact_write (const CompactFormat *format, GVariant *value, guint8 *out, gsize room);
/* Never less than what `write` says, and cheaper where that is worth it; 0 if it refuses. */
gsize commy_compact_bound (const CompactFormat *format, GVariant *value);
/* A value, not floating; or NULL and why (g_free). @type is definite. */
GVariant *commy_compact_read (const CompactFormat *format,
                              const guint8 *data,
                              gsize size,
                              const GVariantType *type,
                              char **out_why);

/* --- arrays of integers (commy-compact-integers.c) --- */

#define COMPACT_FORM_BITS 3u /* of an array's count; 0: variable, n: 2^(n-1) bytes each */

/* The form in which the @n integers in memory are written, and the bytes of all of them. */
guint commy_compact_choose_form (const CompactNode *integer,
                                 const guint8 *data,
                                 gsize n,
                                 gsize *out_bytes);
/* Integers of @from bytes to ones of @to bytes. Both are in this machine's order in memory and
 * little-endian in a message; either may be at any address. */
void commy_compact_narrow (guint8 *out, gsize to, const guint8 *memory, gsize from, gsize n);
void commy_compact_widen (
    guint8 *memory, gsize to, const guint8 *in, gsize from, gboolean is_signed, gsize n);
