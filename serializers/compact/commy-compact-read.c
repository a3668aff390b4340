/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The compact form to a value, in one pass and straight into GVariant's normal form: no part is a
 * value of its own before the whole is. What is accepted is what `write` would have written; no
 * memory is taken before the bytes that ask for it are there.
 */
#include "config.h"

#include "../common/commy-values.h"
#include "commy-compact-varint.h"
#include "commy-compact.h"

#define NOT_SHORTEST "an array in a form that is not the shortest"
#define NOT_THERE "more elements than there are bytes"
#define SLACK_MAX 4096u /* bytes that may stay unused behind a value */

typedef struct
{
  const CompactFormat *format;
  const guint8 *start, *at, *end;
  /* the value */
  guint8 *memory;
  gsize size, room;
  /* where the parts of all open containers end, from the container's begin */
  guint32 *ends;
  gsize n_ends, ends_room;
  char *why;
} Reader;

/* All of these return FALSE if the bytes are no such value. */
static gboolean read_value (Reader *reader, const CompactNode *node, guint level);

/* The first reason counts. Returns FALSE, for the caller to pass on. */
static gboolean G_GNUC_NO_INLINE
fail (Reader *reader, const char *what)
{
  if (reader->why == NULL)
    reader->why = g_strdup_printf ("%s at byte %" G_GSIZE_FORMAT, what,
                                   (gsize) (reader->at - reader->start));
  return FALSE;
}

static gboolean
fail_at (Reader *reader, const guint8 *at, const char *what)
{
  reader->at = at;
  return fail (reader, what);
}

static gsize
count_left (const Reader *reader)
{
  return (gsize) (reader->end - reader->at);
}

/* --- the message --- */

static inline gboolean
take_varint (Reader *reader, guint64 most, guint64 *out)
{
  gsize size = compact_varint_load (reader->at, count_left (reader), out);

  if (size == 0)
    return fail (reader, "a number that is cut off or longer than it needs to be");
  if (*out > most)
    return fail (reader, "a number that is too large");
  reader->at += size;
  return TRUE;
}

/* @size bytes, or NULL. */
static inline const guint8 *
take_bytes (Reader *reader, guint64 size)
{
  const guint8 *bytes = reader->at;

  if (size > count_left (reader))
    {
      fail (reader, "more is announced than there is");
      return NULL;
    }
  reader->at += size;
  return bytes;
}

/* @n bits, the lowest first; the others of the last byte are 0. */
static const guint8 *
take_bitmap (Reader *reader, gsize n)
{
  const guint8 *bitmap = take_bytes (reader, (n + 7) / 8);

  if (bitmap == NULL || n % 8 == 0 || bitmap[n / 8] >> (n % 8) == 0)
    return bitmap;
  fail_at (reader, bitmap, "a bit that means nothing");
  return NULL;
}

static inline gboolean
get_bit (const guint8 *bitmap, gsize bit)
{
  return (bitmap[bit / 8] >> (bit % 8) & 1) != 0;
}

/* A byte that is 0 or 1. */
static gboolean
take_flag (Reader *reader, guint8 *out)
{
  const guint8 *byte = take_bytes (reader, 1);

  if (byte == NULL)
    return FALSE;
  *out = *byte;
  if (*byte <= 1)
    return TRUE;
  return fail_at (reader, byte, "neither 0 nor 1");
}

/* --- the value's memory --- */

static gboolean G_GNUC_NO_INLINE
grow (Reader *reader, gsize size)
{
  gsize most = reader->format->max_size;

  if (reader->size > most || size > most - reader->size)
    return fail (reader, "a value that needs more than max-size of this serializer");
  reader->room = MIN (most, MAX (reader->size + size, 2 * reader->room));
  reader->memory = g_realloc (reader->memory, reader->room);
  return TRUE;
}

/* @size bytes behind what is there, or NULL. */
static inline guint8 *
add (Reader *reader, gsize size)
{
  guint8 *memory;

  if (G_UNLIKELY (size > reader->room - reader->size) && !grow (reader, size))
    return NULL;
  memory = reader->memory + reader->size;
  reader->size += size;
  return memory;
}

static inline gboolean
add_zeros (Reader *reader, gsize size)
{
  guint8 *memory = add (reader, size);

  if (memory == NULL)
    return FALSE;
  memset (memory, 0, size);
  return TRUE;
}

static inline gboolean
add_padding (Reader *reader, const CompactNode *node)
{
  gsize padding = -reader->size & node->align;

  return padding == 0 || add_zeros (reader, padding);
}

static inline gboolean
add_byte (Reader *reader, guint8 byte)
{
  guint8 *memory = add (reader, 1);

  if (memory == NULL)
    return FALSE;
  *memory = byte;
  return TRUE;
}

/* Notes that a part of the container that began at @start ends here. */
static inline void
note_end (Reader *reader, gsize start)
{
  if (G_UNLIKELY (reader->n_ends == reader->ends_room))
    {
      reader->ends_room = MAX (64, 2 * reader->ends_room);
      reader->ends = g_renew (guint32, reader->ends, reader->ends_room);
    }
  reader->ends[reader->n_ends++] = (guint32) (reader->size - start);
}

static gsize
offset_size (gsize body, gsize n)
{
  return body + n <= G_MAXUINT8        ? 1
         : body + 2 * n <= G_MAXUINT16 ? 2
         : body + 4 * n <= G_MAXUINT32 ? 4
                                       : 8;
}

/* The framing offsets of the container that began at @start: all ends since @first, for a tuple
 * the last one first. */
static gboolean
add_ends (Reader *reader, gsize start, gsize first, gboolean backwards)
{
  gsize n = reader->n_ends - first;
  gsize step = offset_size (reader->size - start, n);
  const guint32 *ends = reader->ends + first;
  guint8 *memory = add (reader, n * step);

  if (memory == NULL)
    return FALSE;
  for (gsize i = 0; i < n; i++)
    {
      guint64 end = GUINT64_TO_LE ((guint64) ends[backwards ? n - 1 - i : i]);

      memcpy (memory + i * step, &end, step);
    }
  reader->n_ends = first;
  return TRUE;
}

/* --- texts --- */

/* Whether there is neither a NUL nor anything beyond ASCII in 8 characters. */
static inline gboolean
is_plain (const char *text)
{
  const guint64 ones = G_GUINT64_CONSTANT (0x0101010101010101);
  guint64 eight;

  memcpy (&eight, text, sizeof eight);
  return ((eight | (eight - ones)) & (ones << 7)) == 0;
}

static gboolean
is_text (const CompactNode *node, const char *text, gsize size)
{
  if (node->kind != COMPACT_STRING && memchr (text, '\0', size) != NULL)
    return FALSE;
  if (node->kind == COMPACT_PATH)
    return g_variant_is_object_path (text);
  if (node->kind == COMPACT_SIGNATURE)
    return g_variant_is_signature (text);
  while (size >= 8 && is_plain (text))
    {
      text += 8;
      size -= 8;
    }
  return g_utf8_validate_len (text, size, NULL);
}

static gboolean
read_text (Reader *reader, const CompactNode *node)
{
  guint64 size;
  const guint8 *bytes;
  guint8 *memory;

  if (!take_varint (reader, G_MAXUINT64, &size))
    return FALSE;
  bytes = take_bytes (reader, size);
  memory = bytes != NULL ? add (reader, size + 1) : NULL;
  if (memory == NULL)
    return FALSE;
  memcpy (memory, bytes, size);
  memory[size] = '\0';
  if (is_text (node, (const char *) memory, size))
    return TRUE;
  return fail_at (reader, bytes,
                  node->kind == COMPACT_STRING ? "what is no UTF-8"
                  : node->kind == COMPACT_PATH ? "what is no object path"
                                               : "what is no signature");
}

/* --- containers --- */

static gboolean
read_just (Reader *reader, const CompactNode *maybe, guint level)
{
  return read_value (reader, maybe + 1, level + 1) && (maybe[1].fixed > 0 || add_byte (reader, 0));
}

/* A member of a tuple or element of an array, which may be a bit of the bitmap there. */
static inline gboolean
read_part (Reader *reader, const CompactNode *node, const guint8 *bitmap, gsize *bit, guint level)
{
  if (node->kind == COMPACT_BOOL)
    return add_byte (reader, get_bit (bitmap, (*bit)++));
  if (node->kind == COMPACT_MAYBE)
    return !get_bit (bitmap, (*bit)++) || read_just (reader, node, level);
  return read_value (reader, node, level);
}

static gboolean
read_tuple (Reader *reader, const CompactNode *tuple, guint level)
{
  const CompactNode *end = tuple + tuple->next;
  const guint8 *bitmap = take_bitmap (reader, tuple->n_bits);
  gsize start = reader->size;
  gsize first = reader->n_ends;
  gsize bit = 0;

  if (bitmap == NULL)
    return FALSE;
  for (const CompactNode *member = tuple + 1; member < end; member += member->next)
    {
      if (!add_padding (reader, member) || !read_part (reader, member, bitmap, &bit, level + 1))
        return FALSE;
      if (member->fixed == 0 && member + member->next < end)
        note_end (reader, start);
    }
  if (tuple->fixed > 0)
    return add_zeros (reader, start + tuple->fixed - reader->size);
  return tuple->n_offsets == 0 || add_ends (reader, start, first, TRUE);
}

static gboolean
read_unit (Reader *reader)
{
  const guint8 *byte = take_bytes (reader, 1);

  if (byte == NULL)
    return FALSE;
  return *byte == 0 ? add_byte (reader, 0) : fail_at (reader, byte, "no 0 for an empty tuple");
}

static gboolean
read_variable_integers (Reader *reader, const CompactNode *integer, guint8 *memory, gsize n)
{
  guint64 most = G_MAXUINT64 >> (64 - 8 * integer->fixed);

  for (gsize i = 0; i < n; i++)
    {
      guint64 number;

      if (!take_varint (reader, most, &number))
        return FALSE;
      compact_integer_store (memory + i * integer->fixed, integer->fixed, integer->is_signed,
                             number);
    }
  return TRUE;
}

static gboolean
read_integers (Reader *reader, const CompactNode *integer)
{
  const guint8 *from = reader->at;
  guint8 *memory;
  guint64 n;
  gsize size, ignored;
  guint form;

  if (!take_varint (reader, G_MAXUINT64, &n))
    return FALSE;
  form = n & ((1u << COMPACT_FORM_BITS) - 1);
  n >>= COMPACT_FORM_BITS;
  size = form > 0 ? (gsize) 1 << (form - 1) : 1;
  if (size > integer->fixed || (n == 0 && form != 0))
    return fail_at (reader, from, NOT_SHORTEST);
  if (n > count_left (reader) / size)
    return fail_at (reader, from, NOT_THERE);
  if (n == 0)
    return TRUE;
  memory = add (reader, n * integer->fixed);
  if (memory == NULL)
    return FALSE;
  if (form > 0)
    commy_compact_widen (memory, integer->fixed, take_bytes (reader, n * size), size,
                         integer->is_signed, n);
  else if (!read_variable_integers (reader, integer, memory, n))
    return FALSE;
  return commy_compact_choose_form (integer, memory, n, &ignored) == form
         || fail_at (reader, from, NOT_SHORTEST);
}

/* Elements that any bytes are: @size of each. */
static gboolean
read_plain_elements (Reader *reader, gsize size)
{
  const guint8 *from = reader->at;
  guint8 *memory;
  guint64 n;

  if (!take_varint (reader, G_MAXUINT64, &n))
    return FALSE;
  if (n > count_left (reader) / size)
    return fail_at (reader, from, NOT_THERE);
  memory = add (reader, n * size);
  if (memory == NULL)
    return FALSE;
  commy_compact_widen (memory, size, take_bytes (reader, n * size), size, FALSE, n);
  return TRUE;
}

static gboolean
read_elements (Reader *reader, const CompactNode *element, guint level)
{
  gboolean are_bits = element->kind == COMPACT_BOOL || element->kind == COMPACT_MAYBE;
  const guint8 *from = reader->at;
  const guint8 *bitmap;
  gsize start = reader->size;
  gsize first = reader->n_ends;
  gsize bit = 0;
  guint64 n;

  if (!take_varint (reader, G_MAXUINT64, &n))
    return FALSE;
  if (n / (are_bits ? 8 : 1) > count_left (reader)) /* each needs that much at least */
    return fail_at (reader, from, NOT_THERE);
  bitmap = take_bitmap (reader, are_bits ? n : 0);
  if (bitmap == NULL)
    return FALSE;
  for (guint64 i = 0; i < n; i++)
    {
      if (!add_padding (reader, element) || !read_part (reader, element, bitmap, &bit, level + 1))
        return FALSE;
      if (element->fixed == 0)
        note_end (reader, start);
    }
  return element->fixed > 0 || n == 0 || add_ends (reader, start, first, FALSE);
}

static gboolean
read_array (Reader *reader, const CompactNode *element, guint level)
{
  switch (element->kind)
    {
    case COMPACT_BYTE:
    case COMPACT_DOUBLE:
      return read_plain_elements (reader, element->fixed);
    case COMPACT_INTEGER:
      return read_integers (reader, element);
    default:
      return read_elements (reader, element, level);
    }
}

static gboolean
add_signature (Reader *reader, const char *signature, gsize length)
{
  guint8 *memory = add (reader, length + 1);

  if (memory == NULL)
    return FALSE;
  memory[0] = '\0';
  memcpy (memory + 1, signature, length);
  return TRUE;
}

static gboolean
read_spelled (Reader *reader, const guint8 *from, guint64 length, guint level)
{
  const char *signature = (const char *) take_bytes (reader, length);
  CompactNode few[COMPACT_NODES_INLINE];
  g_autofree CompactNode *many = NULL;
  CompactType type;

  if (signature == NULL)
    return FALSE;
  if (length > G_N_ELEMENTS (few))
    many = g_new (CompactNode, length);
  if (!commy_compact_compile (signature, length, many != NULL ? many : few, &type)
      || level + type.nesting > COMMY_VALUES_MAX_NESTING)
    return fail_at (reader, from, "no type, or more than 120 levels of them,");
  if (commy_compact_find_code (reader->format, signature, length) != NULL)
    return fail_at (reader, from, "the letters of a type that has a code");
  return read_value (reader, type.nodes, level) && add_signature (reader, signature, length);
}

static gboolean
read_variant (Reader *reader, guint level)
{
  const guint8 *from = reader->at;
  const CompactCode *code;
  guint64 number;

  if (!take_varint (reader, G_MAXUINT64, &number))
    return FALSE;
  if (number >= COMPACT_SPELLED)
    return read_spelled (reader, from, number - COMPACT_SPELLED, level + 1);
  if (number >= COMPACT_CODES)
    return fail_at (reader, from, "a code of no type");
  code = &reader->format->codes[number];
  if (level + 1 + code->type.nesting > COMMY_VALUES_MAX_NESTING)
    return fail_at (reader, from, "no type, or more than 120 levels of them,");
  return read_value (reader, code->type.nodes, level + 1)
         && add_signature (reader, code->signature, code->length);
}

/* --- values --- */

static gboolean
read_number (Reader *reader, const CompactNode *integer)
{
  guint64 number;
  guint8 *memory;

  if (!take_varint (reader, G_MAXUINT64 >> (64 - 8 * integer->fixed), &number))
    return FALSE;
  memory = add (reader, integer->fixed);
  if (memory == NULL)
    return FALSE;
  compact_integer_store (memory, integer->fixed, integer->is_signed, number);
  return TRUE;
}

static gboolean
read_plain (Reader *reader, gsize size)
{
  const guint8 *bytes = take_bytes (reader, size);
  guint8 *memory = bytes != NULL ? add (reader, size) : NULL;

  if (memory == NULL)
    return FALSE;
  commy_compact_widen (memory, size, bytes, size, FALSE, 1);
  return TRUE;
}

/* As deep as the type, which is bounded where the message or a variant begins. What is read here
 * begins where it may begin in memory. */
static gboolean
read_value (Reader *reader, const CompactNode *node, guint level)
{
  guint8 flag;

  switch ((CompactKind) node->kind)
    {
    case COMPACT_BOOL:
      return take_flag (reader, &flag) && add_byte (reader, flag);
    case COMPACT_BYTE:
    case COMPACT_DOUBLE:
      return read_plain (reader, node->fixed);
    case COMPACT_INTEGER:
      return read_number (reader, node);
    case COMPACT_STRING:
    case COMPACT_PATH:
    case COMPACT_SIGNATURE:
      return read_text (reader, node);
    case COMPACT_VARIANT:
      return read_variant (reader, level);
    case COMPACT_MAYBE:
      return take_flag (reader, &flag) && (!flag || read_just (reader, node, level));
    case COMPACT_ARRAY:
      return read_array (reader, node + 1, level);
    case COMPACT_TUPLE:
      return node->next > 1 ? read_tuple (reader, node, level) : read_unit (reader);
    }
  return FALSE;
}

/* A value that owns the memory. */
static GVariant *
finish (Reader *reader, const GVariantType *type)
{
  g_autoptr (GBytes) bytes = NULL;

  if (reader->room - reader->size > SLACK_MAX)
    reader->memory = g_realloc (reader->memory, MAX (reader->size, 1));
  bytes = g_bytes_new_take (g_steal_pointer (&reader->memory), reader->size);
  return g_variant_ref_sink (g_variant_new_from_bytes (type, bytes, TRUE));
}

GVariant *
commy_compact_read (const CompactFormat *format,
                    const guint8 *data,
                    gsize size,
                    const GVariantType *type,
                    char **out_why)
{
  const char *signature = g_variant_type_peek_string (type);
  gsize length = g_variant_type_get_string_length (type);
  CompactNode few[COMPACT_NODES_INLINE];
  g_autofree CompactNode *many = length > G_N_ELEMENTS (few) ? g_new (CompactNode, length) : NULL;
  Reader reader = { .format = format, .start = data, .at = data };
  GVariant *value = NULL;
  CompactType compiled;

  if (size == 0) /* which may have no address */
    {
      *out_why = g_strdup ("nothing at byte 0");
      return NULL;
    }
  reader.end = data + size;
  /* Most values are about as large as their message. */
  reader.room = MIN (format->max_size, size + MIN (size, SLACK_MAX / 2) + 16);
  reader.memory = g_malloc (reader.room);
  if (!commy_compact_compile (signature, length, many != NULL ? many : few, &compiled))
    fail (&reader, "a type of too many levels");
  else if (read_value (&reader, compiled.nodes, 0))
    {
      if (reader.at < reader.end)
        fail (&reader, "more than one value");
      else
        value = finish (&reader, type);
    }
  g_free (reader.memory);
  g_free (reader.ends);
  *out_why = reader.why;
  return value;
}
