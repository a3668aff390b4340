/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A value into the compact form, read where it lies in memory: no child is ever taken out of it.
 * Writing without room measures, by the same steps.
 */
#include "config.h"

#include "../common/commy-values.h"
#include "commy-compact-varint.h"
#include "commy-compact.h"

#define CHEAP_BOUND_MAX 65536u /* bytes of a value that is not measured before it is written */

typedef struct
{
  const CompactFormat *format;
  guint8 *out;
  gsize room;
  gsize size; /* of the whole message, also beyond the room */
} Writer;

/* A value's memory in normal form. */
typedef struct
{
  const guint8 *data;
  gsize size;
} Memory;

/* All of these return FALSE for what the format refuses. */
static gboolean write_value (Writer *writer, const CompactNode *node, Memory memory, guint level);

/* Where @size bytes go, or NULL if there is no room for them. */
static inline guint8 *
claim (Writer *writer, gsize size)
{
  gsize at = writer->size;

  writer->size += size;
  return at <= writer->room && size <= writer->room - at ? writer->out + at : NULL;
}

static inline void
put (Writer *writer, gconstpointer data, gsize size)
{
  guint8 *out = size > 0 ? claim (writer, size) : NULL;

  if (out != NULL)
    memcpy (out, data, size);
}

static inline void
put_varint (Writer *writer, guint64 number)
{
  guint8 bytes[COMPACT_VARINT_MAX];

  if (G_LIKELY (writer->size + COMPACT_VARINT_MAX <= writer->room))
    writer->size += compact_varint_store (writer->out + writer->size, number);
  else
    put (writer, bytes, compact_varint_store (bytes, number));
}

/* A bitmap without a bit; returns where it is, for set_bit(). */
static gsize
put_bitmap (Writer *writer, gsize n_bits)
{
  gsize at = writer->size;
  gsize size = (n_bits + 7) / 8;
  guint8 *out = size > 0 ? claim (writer, size) : NULL;

  if (out != NULL)
    memset (out, 0, size);
  return at;
}

static void
set_bit (Writer *writer, gsize bitmap, gsize bit)
{
  if (bitmap + bit / 8 < writer->room)
    writer->out[bitmap + bit / 8] |= (guint8) (1u << (bit % 8));
}

/* --- how containers lie in memory --- */

static gsize
align_to (gsize at, const CompactNode *node)
{
  return (at + node->align) & ~(gsize) node->align;
}

static gsize
offset_size (gsize size)
{
  return size <= G_MAXUINT8 ? 1 : size <= G_MAXUINT16 ? 2 : size <= G_MAXUINT32 ? 4 : 8;
}

static gsize
get_offset (const guint8 *at, gsize size)
{
  guint64 offset = 0;

  memcpy (&offset, at, size);
  return (gsize) GUINT64_FROM_LE (offset);
}

/* Values in normal form always pass; of what a program merely calls normal nothing else is read. */
static gboolean
take_part (Memory memory, gsize begin, gsize end, Memory *out)
{
  if (begin > end || end > memory.size)
    return FALSE;
  out->data = memory.data + begin;
  out->size = end - begin;
  return TRUE;
}

/* What is just in a maybe that is not nothing. */
static gboolean
take_just (const CompactNode *node, Memory memory, Memory *out)
{
  return take_part (memory, 0, memory.size - (node[1].fixed == 0), out);
}

/* --- parts --- */

/* A member of a tuple or element of an array, which may be a bit of the bitmap there. */
static gboolean
write_part (
    Writer *writer, const CompactNode *node, Memory memory, gsize bitmap, gsize *bit, guint level)
{
  Memory just;

  if (node->kind == COMPACT_BOOL)
    {
      if (memory.data[0] != 0)
        set_bit (writer, bitmap, *bit);
      (*bit)++;
      return TRUE;
    }
  if (node->kind != COMPACT_MAYBE)
    return write_value (writer, node, memory, level);
  if (memory.size > 0)
    set_bit (writer, bitmap, *bit);
  (*bit)++;
  return memory.size == 0
         || (take_just (node, memory, &just) && write_value (writer, node + 1, just, level + 1));
}

static gboolean
write_tuple (Writer *writer, const CompactNode *tuple, Memory memory, guint level)
{
  const CompactNode *end = tuple + tuple->next;
  gsize step = offset_size (memory.size);
  gsize bitmap = put_bitmap (writer, tuple->next == 1 ? 8 : tuple->n_bits); /* () is a byte */
  gsize at = 0, bit = 0;
  gsize offsets = memory.size; /* those that were used begin here */
  gsize last = memory.size - tuple->n_offsets * step;

  if (tuple->n_offsets * step > memory.size)
    return FALSE;
  for (const CompactNode *member = tuple + 1; member < end; member += member->next)
    {
      gsize until = last;
      Memory part;

      at = align_to (at, member);
      if (member->fixed > 0)
        until = at + member->fixed;
      else if (member + member->next < end)
        {
          offsets -= step;
          until = get_offset (memory.data + offsets, step);
        }
      if (!take_part (memory, at, until, &part)
          || !write_part (writer, member, part, bitmap, &bit, level + 1))
        return FALSE;
      at = until;
    }
  return TRUE;
}

static void
write_integers (Writer *writer, const CompactNode *integer, Memory memory)
{
  gsize n = memory.size / integer->fixed;
  gsize bytes;
  guint form = commy_compact_choose_form (integer, memory.data, n, &bytes);

  put_varint (writer, (guint64) n << COMPACT_FORM_BITS | (n > 0 ? form : 0));
  if (form == 0)
    for (gsize i = 0; i < n; i++)
      put_varint (writer, compact_integer_load (memory.data + i * integer->fixed, integer->fixed,
                                                integer->is_signed));
  else
    {
      guint8 *out = claim (writer, bytes);

      if (out != NULL)
        commy_compact_narrow (out, (gsize) 1 << (form - 1), memory.data, integer->fixed, n);
    }
}

static void
write_doubles (Writer *writer, Memory memory)
{
  guint8 *out;

  put_varint (writer, memory.size / 8);
  out = claim (writer, memory.size);
  if (out != NULL)
    commy_compact_narrow (out, 8, memory.data, 8, memory.size / 8);
}

/* Elements of one size each. */
static gboolean
write_fixed_elements (Writer *writer, const CompactNode *element, Memory memory, guint level)
{
  gsize n = memory.size / element->fixed;
  gsize bitmap, bit = 0;

  put_varint (writer, n);
  bitmap = put_bitmap (writer, element->kind == COMPACT_BOOL ? n : 0);
  for (gsize i = 0; i < n; i++)
    {
      Memory part = { memory.data + i * element->fixed, element->fixed };

      if (!write_part (writer, element, part, bitmap, &bit, level + 1))
        return FALSE;
    }
  return TRUE;
}

static gboolean
write_elements (Writer *writer, const CompactNode *element, Memory memory, guint level)
{
  gsize step = offset_size (memory.size);
  gsize n = 0, at = 0, bit = 0;
  gsize offsets = 0; /* where they begin: with the end of the last element */
  gsize bitmap;

  if (memory.size > 0)
    {
      offsets = get_offset (memory.data + memory.size - step, step);
      if (offsets >= memory.size || (memory.size - offsets) % step != 0)
        return FALSE;
      n = (memory.size - offsets) / step;
    }
  put_varint (writer, n);
  bitmap = put_bitmap (writer, element->kind == COMPACT_MAYBE ? n : 0);
  for (gsize i = 0; i < n; i++)
    {
      gsize until = get_offset (memory.data + offsets + i * step, step);
      Memory part;

      if (!take_part (memory, align_to (at, element), until, &part)
          || !write_part (writer, element, part, bitmap, &bit, level + 1))
        return FALSE;
      at = until;
    }
  return TRUE;
}

static gboolean
write_array (Writer *writer, const CompactNode *array, Memory memory, guint level)
{
  const CompactNode *element = array + 1;

  switch (element->kind)
    {
    case COMPACT_BYTE:
      put_varint (writer, memory.size);
      put (writer, memory.data, memory.size);
      return TRUE;
    case COMPACT_INTEGER:
      write_integers (writer, element, memory);
      return TRUE;
    case COMPACT_DOUBLE:
      write_doubles (writer, memory);
      return TRUE;
    default:
      return element->fixed > 0 ? write_fixed_elements (writer, element, memory, level)
                                : write_elements (writer, element, memory, level);
    }
}

/* The type stands behind the value and a NUL. */
static gboolean
write_spelled (Writer *writer, const char *signature, gsize length, Memory inner, guint level)
{
  CompactNode few[COMPACT_NODES_INLINE];
  g_autofree CompactNode *many = length > G_N_ELEMENTS (few) ? g_new (CompactNode, length) : NULL;
  CompactType type;

  if (!commy_compact_compile (signature, length, many != NULL ? many : few, &type)
      || level + type.nesting > COMMY_VALUES_MAX_NESTING)
    return FALSE;
  put_varint (writer, COMPACT_SPELLED + length);
  put (writer, signature, length);
  return write_value (writer, type.nodes, inner, level);
}

static gboolean
write_variant (Writer *writer, Memory memory, guint level)
{
  const guint8 *nul = memory.size > 0 ? memrchr (memory.data, 0, memory.size) : NULL;
  const CompactCode *code;
  const char *signature;
  gsize length;
  Memory inner = { memory.data, 0 };

  if (nul == NULL)
    return FALSE;
  inner.size = (gsize) (nul - memory.data);
  signature = (const char *) nul + 1;
  length = memory.size - inner.size - 1;
  code = commy_compact_find_code (writer->format, signature, length);
  if (code == NULL)
    return write_spelled (writer, signature, length, inner, level + 1);
  if (level + 1 + code->type.nesting > COMMY_VALUES_MAX_NESTING)
    return FALSE;
  put_varint (writer, (guint64) (code - writer->format->codes));
  return write_value (writer, code->type.nodes, inner, level + 1);
}

static void
write_double (Writer *writer, const guint8 *data)
{
  guint64 bits;

  memcpy (&bits, data, sizeof bits);
  bits = GUINT64_TO_LE (bits);
  put (writer, &bits, sizeof bits);
}

/* As deep as the type, which is bounded where a value or a variant begins. */
static gboolean
write_value (Writer *writer, const CompactNode *node, Memory memory, guint level)
{
  Memory just;
  guint8 flag;

  if (memory.size != node->fixed && node->fixed > 0)
    return FALSE;
  switch ((CompactKind) node->kind)
    {
    case COMPACT_BOOL:
    case COMPACT_BYTE:
      put (writer, memory.data, 1);
      return TRUE;
    case COMPACT_INTEGER:
      put_varint (writer, compact_integer_load (memory.data, node->fixed, node->is_signed));
      return TRUE;
    case COMPACT_DOUBLE:
      write_double (writer, memory.data);
      return TRUE;
    case COMPACT_STRING:
    case COMPACT_PATH:
    case COMPACT_SIGNATURE:
      if (memory.size == 0)
        return FALSE;
      put_varint (writer, memory.size - 1);
      put (writer, memory.data, memory.size - 1);
      return TRUE;
    case COMPACT_VARIANT:
      return write_variant (writer, memory, level);
    case COMPACT_MAYBE:
      flag = memory.size > 0;
      put (writer, &flag, 1);
      return !flag
             || (take_just (node, memory, &just)
                 && write_value (writer, node + 1, just, level + 1));
    case COMPACT_ARRAY:
      return write_array (writer, node, memory, level);
    case COMPACT_TUPLE:
      return write_tuple (writer, node, memory, level);
    }
  return FALSE;
}

gsize
commy_compact_write (const CompactFormat *format, GVariant *value, guint8 *out, gsize room)
{
  const char *signature = g_variant_get_type_string (value);
  gsize length = strlen (signature);
  CompactNode few[COMPACT_NODES_INLINE];
  g_autofree CompactNode *many = length > G_N_ELEMENTS (few) ? g_new (CompactNode, length) : NULL;
  g_autoptr (GVariant) normal = NULL;
  Writer writer = { .format = format, .out = out, .room = room };
  const guint8 nothing = 0; /* no bytes may have no address */
  CompactType type;
  Memory memory;

  if (!commy_compact_compile (signature, length, many != NULL ? many : few, &type))
    return 0;
  normal = g_variant_get_normal_form (value);
  memory.size = g_variant_get_size (normal);
  memory.data = memory.size > 0 ? g_variant_get_data (normal) : &nothing;
  if (memory.size > format->max_size || !write_value (&writer, type.nodes, memory, 0))
    return 0;
  return writer.size;
}

/* A number is at most half longer than in memory, which is the worst of all ratios. A count, a
 * bitmap or a flag stands only where memory has an offset, or where the value is the last of its
 * tuple; counts of more than a byte are those of 128 bytes and more. */
gsize
commy_compact_bound (const CompactFormat *format, GVariant *value)
{
  g_autoptr (GVariant) normal = g_variant_get_normal_form (value);
  gsize size = g_variant_get_size (normal);

  if (size <= CHEAP_BOUND_MAX)
    return size + size / 2 + size / 16 + 2;
  return commy_compact_write (format, normal, NULL, 0);
}
