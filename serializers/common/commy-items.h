/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What JSON, MessagePack and CBOR have in common: a value is a row of items, each a number, a text,
 * bytes, or the head of an array or map. Here is which items a GVariant becomes and which are
 * taken for it (README.md has the table); how an item is written and read is the format's.
 */
#pragma once

#include <commy/commy-plugin.h>

#include <string.h>

/* --- writing --- */

/* Where a value is written to. */
typedef struct
{
  guint8 *data; /* NULL to measure: as much as it can need at most, which is found faster */
  gsize room;
  gsize size; /* of all, also beyond the room */
} CommyItemOut;

static inline void
commy_item_put (CommyItemOut *out, gconstpointer bytes, gsize size)
{
  if (out->data != NULL && out->size <= out->room && size <= out->room - out->size)
    __builtin_memcpy (out->data + out->size, bytes, size);
  out->size += size;
}

/* Most bytes of an item of type @kind, a number or boolean: its own and those of a head. */
static inline gsize
commy_item_width (char kind)
{
  switch (kind)
    {
    case 'b':
      return 1;
    case 'y':
      return 2;
    case 'n':
    case 'q':
      return 3;
    case 'i':
    case 'u':
    case 'h':
      return 5;
    default:
      return 9;
    }
}

/* In a `numbers` function: encodes its @n numbers, which are of @TYPE, by ENCODE (number, at),
 * which needs at most commy_item_width() bytes and returns how many it did. Straight into the
 * message as long as that has room for whatever they are; the place is a variable of its own, which
 * the bytes that are written cannot be taken for. */
#define COMMY_ITEMS_PUT_ALL(TYPE, ENCODE)                                      \
  do                                                                           \
    {                                                                          \
      guint8 spare[9];                                                         \
      gsize sure = commy_items_that_fit (out, kind, n);                        \
      guint8 *start = sure > 0 ? out->data + out->size : spare;                \
      guint8 *at = start;                                                      \
      TYPE number;                                                             \
                                                                               \
      for (gsize i = 0; i < sure; i++)                                         \
        {                                                                      \
          __builtin_memcpy (&number, data + i * sizeof number, sizeof number); \
          at += ENCODE (number, at);                                           \
        }                                                                      \
      out->size += (gsize) (at - start);                                       \
      for (gsize i = sure; i < n; i++)                                         \
        {                                                                      \
          __builtin_memcpy (&number, data + i * sizeof number, sizeof number); \
          commy_item_put (out, spare, ENCODE (number, spare));                 \
        }                                                                      \
    }                                                                          \
  while (0);

/* How many of @n items surely have room. */
static inline gsize
commy_items_that_fit (const CommyItemOut *out, char kind, gsize n)
{
  gsize room = out->size <= out->room ? out->room - out->size : 0;

  return MIN (n, room / commy_item_width (kind));
}

/* How a format writes items. @numbers takes @n numbers or booleans of type @kind as they lie in a
 * GVariant; to measure, commy_item_width() of each is enough. */
typedef struct
{
  const char *name;
  gsize max_parts; /* of an array or map, and bytes of a text */
  void (*nothing) (CommyItemOut *out);
  void (*numbers) (CommyItemOut *out, char kind, const guint8 *data, gsize n);
  void (*text) (CommyItemOut *out, const char *text, gsize size);
  void (*bytes) (CommyItemOut *out, const guint8 *data, gsize size);
  void (*array) (CommyItemOut *out, gsize n);
  void (*map) (CommyItemOut *out, gsize n);
} CommyItemForm;

/* Writes @value to @out, which is where the functions of @form find it: a format that keeps a state
 * has it behind. FALSE if the value is too deep, or a part of it larger than the format can say. */
gboolean commy_items_write (const CommyItemForm *form, GVariant *value, CommyItemOut *out);

/* What `bound` and `encode` of a serializer without such a state return. */
gsize commy_items_bound (const CommyItemForm *form, GVariant *value);
gssize commy_items_encode (
    const CommyItemForm *form, GVariant *value, guint8 *out, gsize size, GError **error);

/* --- reading --- */

typedef enum
{
  COMMY_ITEM_NOTHING,
  COMMY_ITEM_FALSE,
  COMMY_ITEM_TRUE,
  COMMY_ITEM_UNSIGNED, /* number */
  COMMY_ITEM_NEGATIVE, /* -1 - number */
  COMMY_ITEM_REAL,     /* real */
  COMMY_ITEM_TEXT,     /* data, size */
  COMMY_ITEM_BYTES,    /* data, size */
  COMMY_ITEM_ARRAY,    /* size: of how many parts */
  COMMY_ITEM_MAP,      /* size: of how many pairs */
  COMMY_ITEM_END,      /* of what has COMMY_ITEM_OPEN as its size */
  COMMY_ITEM_OTHER,    /* what no GVariant is */
} CommyItemKind;

/* As the size of a container: parts follow up to an end. Of a text: texts do. */
#define COMMY_ITEM_OPEN G_MAXSIZE

typedef struct
{
  CommyItemKind kind;
  guint64 number;
  double real;
  const guint8 *data; /* in the message */
  gsize size;
} CommyItem;

/* Reads the item at @at of @size bytes, at least one. Returns the bytes that it takes; 0 if they
 * are none of the format, or more than there are. */
typedef gsize (*CommyItemNextFunc) (const guint8 *at, gsize size, CommyItem *out);

typedef struct
{
  const char *name; /* of the serializer */
  const char *form; /* for errors: "the CBOR" */
  CommyItemNextFunc next;
  gboolean text_is_bytes; /* what is a text may have been written for bytes */
} CommyItemReader;

/* What `decode` of a serializer returns. Allocates in proportion to @bytes, whatever they say. */
GVariant *commy_items_decode (const CommyItemReader *reader,
                              GBytes *bytes,
                              const GVariantType *type,
                              GError **error);

/* The eight bytes at @at, wherever it is. */
static inline guint64
commy_items_read_big_endian (const guint8 *at)
{
  guint64 number;

  memcpy (&number, at, sizeof number);
  return GUINT64_FROM_BE (number);
}
