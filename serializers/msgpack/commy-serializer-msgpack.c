/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The serializer "msgpack": values as MessagePack. Which items a value becomes is common with CBOR
 * (../common/commy-items.h); here msgpack-c's templates are given their functions, which writes
 * straight into the frame and reads item by item, without its objects and their memory.
 */
#include "config.h"

#include "../common/commy-items.h"
#include "../common/commy-values.h"

#include <string.h>

#define HEAD_MAX 9  /* bytes of a number; the head of anything else has at most 5 */
#define UINT_8 0xcc /* the first byte of an integer; those of more bytes follow */
#define INT_8 0xd0
#define DOUBLE 0xcb

/* What the templates are made with: the byte order, and no level but the one of the item. */
#define MSGPACK_ENDIAN_LITTLE_BYTE (G_BYTE_ORDER == G_LITTLE_ENDIAN)
#define MSGPACK_ENDIAN_BIG_BYTE (G_BYTE_ORDER == G_BIG_ENDIAN)
#define MSGPACK_EMBED_STACK_SIZE 1
#include <msgpack/pack_define.h>
#include <msgpack/timestamp.h>
#include <msgpack/unpack.h>
#include <msgpack/unpack_define.h>

/* --- writing --- */

/* Where the next bytes go; there is room for all that one of the templates writes. */
typedef guint8 **Cursor;

static inline int
append (Cursor cursor, gconstpointer bytes, gsize size)
{
  memcpy (*cursor, bytes, size);
  *cursor += size;
  return 0;
}

#define msgpack_pack_inline_func(name) G_GNUC_UNUSED G_ALWAYS_INLINE static inline int pack##name
#define msgpack_pack_inline_func_cint(name) G_GNUC_UNUSED static inline int pack##name
#define msgpack_pack_user Cursor
#define msgpack_pack_append_buffer(user, buf, len) return append (user, buf, len)
#include <msgpack/pack_template.h>

/* Each encodes at @at and returns what it needed. */
#define DEFINE_ENCODE(NAME, TYPE, CALL)                         \
  G_ALWAYS_INLINE static inline gsize NAME (TYPE n, guint8 *at) \
  {                                                             \
    guint8 *end = at;                                           \
                                                                \
    CALL;                                                       \
    return (gsize) (end - at);                                  \
  }

DEFINE_ENCODE (encode_flag, guint8, n != 0 ? pack_true (&end) : pack_false (&end))
DEFINE_ENCODE (encode_uint8, guint8, pack_uint8 (&end, n))
DEFINE_ENCODE (encode_int16, gint16, pack_int16 (&end, n))
DEFINE_ENCODE (encode_uint16, guint16, pack_uint16 (&end, n))
DEFINE_ENCODE (encode_int32, gint32, pack_int32 (&end, n))
DEFINE_ENCODE (encode_uint32, guint32, pack_uint32 (&end, n))
DEFINE_ENCODE (encode_int64, gint64, pack_int64 (&end, n))
DEFINE_ENCODE (encode_uint64, guint64, pack_uint64 (&end, n))
DEFINE_ENCODE (encode_double, double, pack_double (&end, n))
DEFINE_ENCODE (encode_text_head, gsize, pack_str (&end, n))
DEFINE_ENCODE (encode_bytes_head, gsize, pack_bin (&end, n))
DEFINE_ENCODE (encode_array_head, gsize, pack_array (&end, n))
DEFINE_ENCODE (encode_map_head, gsize, pack_map (&end, n))

static void
put_nothing (CommyItemOut *out)
{
  guint8 head[1];
  guint8 *end = head;

  pack_nil (&end);
  commy_item_put (out, head, sizeof head);
}

static void
put_numbers (CommyItemOut *out, char kind, const guint8 *data, gsize n)
{
  if (out->data == NULL)
    {
      out->size += n * commy_item_width (kind);
      return;
    }
  switch (kind)
    {
    case 'b':
      COMMY_ITEMS_PUT_ALL (guint8, encode_flag)
      break;
    case 'd':
      COMMY_ITEMS_PUT_ALL (double, encode_double)
      break;
    case 'y':
      COMMY_ITEMS_PUT_ALL (guint8, encode_uint8)
      break;
    case 'n':
      COMMY_ITEMS_PUT_ALL (gint16, encode_int16)
      break;
    case 'q':
      COMMY_ITEMS_PUT_ALL (guint16, encode_uint16)
      break;
    case 'u':
      COMMY_ITEMS_PUT_ALL (guint32, encode_uint32)
      break;
    case 'x':
      COMMY_ITEMS_PUT_ALL (gint64, encode_int64)
      break;
    case 't':
      COMMY_ITEMS_PUT_ALL (guint64, encode_uint64)
      break;
    default: /* 'i', 'h' */
      COMMY_ITEMS_PUT_ALL (gint32, encode_int32)
    }
}

static void
put_text (CommyItemOut *out, const char *text, gsize size)
{
  guint8 head[HEAD_MAX];

  commy_item_put (out, head, encode_text_head (size, head));
  commy_item_put (out, text, size);
}

static void
put_bytes (CommyItemOut *out, const guint8 *data, gsize size)
{
  guint8 head[HEAD_MAX];

  commy_item_put (out, head, encode_bytes_head (size, head));
  commy_item_put (out, data, size);
}

static void
put_array (CommyItemOut *out, gsize n)
{
  guint8 head[HEAD_MAX];

  commy_item_put (out, head, encode_array_head (n, head));
}

static void
put_map (CommyItemOut *out, gsize n)
{
  guint8 head[HEAD_MAX];

  commy_item_put (out, head, encode_map_head (n, head));
}

static const CommyItemForm form = {
  .name = "msgpack",
  .max_parts = G_MAXUINT32,
  .nothing = put_nothing,
  .numbers = put_numbers,
  .text = put_text,
  .bytes = put_bytes,
  .array = put_array,
  .map = put_map,
};

/* --- reading --- */

/* The template goes on into containers; this sends it back after the head. */
#define AT_CONTAINER (-100)

typedef CommyItem *Slot; /* where an item goes */

static inline int
set (Slot slot, CommyItemKind kind)
{
  slot->kind = kind;
  return 0;
}

static inline int
set_unsigned (Slot slot, guint64 number)
{
  slot->number = number;
  return set (slot, COMMY_ITEM_UNSIGNED);
}

static inline int
set_signed (Slot slot, gint64 number)
{
  slot->number = number < 0 ? ~(guint64) number : (guint64) number;
  return set (slot, number < 0 ? COMMY_ITEM_NEGATIVE : COMMY_ITEM_UNSIGNED);
}

static inline int
set_real (Slot slot, double number)
{
  slot->real = number;
  return set (slot, COMMY_ITEM_REAL);
}

static inline int
set_data (Slot slot, CommyItemKind kind, const char *data, gsize size)
{
  slot->data = (const guint8 *) data;
  slot->size = size;
  return set (slot, kind);
}

static inline int
set_parts (Slot slot, CommyItemKind kind, gsize n)
{
  slot->size = n;
  set (slot, kind);
  return AT_CONTAINER;
}

/* The template calls these, and wants them all. Its objects are not used, but copied. */
#define get_root(user) 0
#define get_nil(user, object) (*(object) = 0, set (*(user), COMMY_ITEM_NOTHING))
#define get_true(user, object) (*(object) = 0, set (*(user), COMMY_ITEM_TRUE))
#define get_false(user, object) (*(object) = 0, set (*(user), COMMY_ITEM_FALSE))
#define get_uint8(user, number, object) (*(object) = 0, set_unsigned (*(user), number))
#define get_uint16(user, number, object) (*(object) = 0, set_unsigned (*(user), number))
#define get_uint32(user, number, object) (*(object) = 0, set_unsigned (*(user), number))
#define get_uint64(user, number, object) (*(object) = 0, set_unsigned (*(user), number))
#define get_int8(user, number, object) (*(object) = 0, set_signed (*(user), number))
#define get_int16(user, number, object) (*(object) = 0, set_signed (*(user), number))
#define get_int32(user, number, object) (*(object) = 0, set_signed (*(user), number))
#define get_int64(user, number, object) (*(object) = 0, set_signed (*(user), number))
#define get_float(user, number, object) (*(object) = 0, set_real (*(user), (double) (number)))
#define get_double(user, number, object) (*(object) = 0, set_real (*(user), number))
#define get_str(user, base, at, size, object) \
  (*(object) = 0, set_data (*(user), COMMY_ITEM_TEXT, at, size))
#define get_bin(user, base, at, size, object) \
  (*(object) = 0, set_data (*(user), COMMY_ITEM_BYTES, at, size))
#define get_ext(user, base, at, size, object) (*(object) = 0, set (*(user), COMMY_ITEM_OTHER))
#define get_array(user, n, object) set_parts (*(user), COMMY_ITEM_ARRAY, n)
#define get_map(user, n, object) set_parts (*(user), COMMY_ITEM_MAP, n)
#define get_array_item(user, container, object) 0
#define get_map_item(user, container, key, object) 0

#define msgpack_unpack_struct(name) struct template##name
#define msgpack_unpack_func(ret, name) static inline ret template##name
#define msgpack_unpack_callback(name) get##name
#define msgpack_unpack_object int
#define msgpack_unpack_user Slot
#include <msgpack/unpack_template.h>

/* What arrays are made of, without the template's stack. 0: something else, or the last bytes of
 * the message. */
static inline gsize
next_number (const guint8 *at, gsize size, CommyItem *out)
{
  guint first = *at;
  guint64 bits;
  guint width;

  if (size < HEAD_MAX)
    return 0;
  if (first < 0x80 || first >= 0xe0)
    {
      set_signed (out, (gint8) first);
      return 1;
    }
  bits = commy_items_read_big_endian (at + 1);
  if (first == DOUBLE)
    {
      out->kind = COMMY_ITEM_REAL;
      memcpy (&out->real, &bits, sizeof bits);
      return HEAD_MAX;
    }
  if (first < UINT_8 || first >= INT_8 + 4)
    return 0;
  width = 1u << (first & 3);
  if (first < INT_8)
    set_unsigned (out, bits >> (64 - 8 * width));
  else
    set_signed (out, (gint64) bits >> (64 - 8 * width));
  return 1 + width;
}

static gsize
next_item (const guint8 *at, gsize size, CommyItem *out)
{
  struct template_context context = { .user = out };
  gsize used = next_number (at, size, out);
  int outcome;

  if (used > 0)
    return used;

  template_init (&context);
  outcome = template_execute (&context, (const char *) at, size, &used);
  if (outcome == AT_CONTAINER)
    return used + 1; /* it stands on the last byte of the head */
  return outcome > 0 ? used : 0;
}

/* What was written before there was "bin" has bytes as "raw", which is called "str" since. */
static const CommyItemReader reader = {
  .name = "msgpack",
  .form = "the MessagePack",
  .next = next_item,
  .text_is_bytes = TRUE,
};

/* --- the plugin --- */

static gsize
msgpack_bound (gpointer instance, GVariant *value)
{
  return commy_items_bound (&form, value);
}

static gssize
msgpack_encode (gpointer instance, GVariant *value, guint8 *out, gsize size, GError **error)
{
  return commy_items_encode (&form, value, out, size, error);
}

static GVariant *
msgpack_decode (gpointer instance, GBytes *bytes, const GVariantType *type, GError **error)
{
  return commy_items_decode (&reader, bytes, type, error);
}

static const CommySerializerOps msgpack_ops = {
  .struct_size = sizeof (CommySerializerOps),
  .bound = msgpack_bound,
  .encode = msgpack_encode,
  .decode = msgpack_decode,
};

/* As with the other serializers: small messages are taken for dictionaries, big ones for arrays.
 * How this was measured is in README.md. */
COMMY_PLUGIN_NOTE (SERIALIZER,
                   "msgpack",
                   PACKAGE_VERSION,
                   "LGPL-2.1-or-later",
                   "MessagePack",
                   "",
                   COMMY_PLUGIN_FLAG_NONE,
                   .provenance = COMMY_PROVENANCE_MEASURED_ELSEWHERE,
                   .capabilities = COMMY_CAP_VALUES,
                   .size_factor = 0.85,
                   .sigma = 0.7,
                   .n_segments = 2,
                   .segments = { { .max_bytes = 1024,
                                   .send_cpu_ns = 150,
                                   .send_cpu_ns_per_byte = 2,
                                   .recv_cpu_ns = 250,
                                   .recv_cpu_ns_per_byte = 2.5 },
                                 { .max_bytes = G_MAXUINT64,
                                   .send_cpu_ns = 1500,
                                   .send_cpu_ns_per_byte = 0.4,
                                   .recv_cpu_ns = 1700,
                                   .recv_cpu_ns_per_byte = 0.9 } });
COMMY_PLUGIN_DEFINE (
    CommyStateless, commy_stateless_init, NULL, commy_stateless_fini, NULL, 0, &msgpack_ops);
