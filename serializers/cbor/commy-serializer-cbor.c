/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The serializer "cbor": values as CBOR (RFC 8949). Which items a value becomes is common with
 * MessagePack (../common/commy-items.h); here libcbor writes each straight into the frame and reads
 * one after the other. Its trees, which reserve what the bytes claim, are not used.
 */
#include "config.h"

#include "../common/commy-items.h"
#include "../common/commy-values.h"

#include <cbor.h>
#include <math.h>
#include <string.h>

#define HEAD_MAX 9 /* bytes of a number, or of the head of anything else */
#define MAJOR_TAG 6
#define TAG_BIGNUM 2          /* an integer as bytes, the highest first */
#define TAG_NEGATIVE_BIGNUM 3 /* -1 - the integer */
#define BITS_BEYOND_SINGLE G_GUINT64_CONSTANT (0x1fffffff) /* of a fraction's 52, 23 remain */
#define INLINE_MAX 24 /* below it a head's number is in its first byte */
#define DOUBLE 0xfb   /* the first byte of one */
#define PLAIN_NAN G_GUINT64_CONSTANT (0x7ff8000000000000)

/* --- writing --- */

/* Each encodes at @at, where there is room for HEAD_MAX bytes or all that the type can need, and
 * returns what it needed. */
static inline gsize
encode_flag (guint8 flag, guint8 *at)
{
  return cbor_encode_bool (flag != 0, at, HEAD_MAX);
}

static inline gsize
encode_unsigned (guint64 number, guint8 *at)
{
  return cbor_encode_uint (number, at, HEAD_MAX);
}

static inline gsize
encode_signed (gint64 number, guint8 *at)
{
  return number < 0 ? cbor_encode_negint (~(guint64) number, at, HEAD_MAX)
                    : cbor_encode_uint ((guint64) number, at, HEAD_MAX);
}

/* Whether 16 bits (IEEE 754 binary16) hold the number of these bits, and which. libcbor's own
 * rounds, and spoils what is below 2^-14. */
static gboolean
half_of_double (guint64 bits, guint16 *out)
{
  guint16 sign = (guint16) (bits >> 48 & 0x8000);
  int exponent = (int) (bits >> 52 & 0x7ff) - 1023;
  guint64 fraction = bits & ((G_GUINT64_CONSTANT (1) << 52) - 1);
  int shift = 42; /* fractions have 10 bits instead of 52 */

  if (bits << 1 == 0 || exponent == 1024)
    {
      *out = bits << 1 == 0 ? sign : sign | 0x7c00;
      return fraction == 0;
    }
  if (exponent < -24 || exponent > 15)
    return FALSE;
  if (exponent < -14) /* the leading one is written out, behind zeros */
    {
      fraction |= G_GUINT64_CONSTANT (1) << 52;
      shift += -14 - exponent;
      exponent = -15;
    }
  if ((fraction & ((G_GUINT64_CONSTANT (1) << shift) - 1)) != 0)
    return FALSE;
  *out = sign | (guint16) ((exponent + 15) << 10) | (guint16) (fraction >> shift);
  return TRUE;
}

static gsize
encode_half (guint16 half, guint8 *at)
{
  at[0] = 0xf9;
  at[1] = (guint8) (half >> 8);
  at[2] = (guint8) half;
  return 3;
}

/* With its bits, also of a NaN, which libcbor does not promise. */
static inline gsize
encode_double (guint64 bits, guint8 *at)
{
  bits = GUINT64_TO_BE (bits);
  at[0] = DOUBLE;
  memcpy (at + 1, &bits, sizeof bits);
  return 1 + sizeof bits;
}

/* The shortest form that is the same number, if that may be one of fewer bits. */
static gsize
encode_short (double real, guint64 bits, guint8 *at)
{
  guint16 half;

  if (bits == PLAIN_NAN)
    return encode_half (0x7e00, at);
  if (isnan (real))
    return encode_double (bits, at);
  if (half_of_double (bits, &half))
    return encode_half (half, at);
  if (fabs (real) <= G_MAXFLOAT && (double) (float) real == real)
    return cbor_encode_single ((float) real, at, HEAD_MAX);
  return encode_double (bits, at);
}

/* Most numbers need all bits, which the last ones of the fraction say at once. */
static inline gsize
encode_real (double real, guint8 *at)
{
  guint64 bits;

  memcpy (&bits, &real, sizeof bits);
  return (bits & BITS_BEYOND_SINGLE) != 0 ? encode_double (bits, at)
                                          : encode_short (real, bits, at);
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
      COMMY_ITEMS_PUT_ALL (double, encode_real)
      break;
    case 'y':
      COMMY_ITEMS_PUT_ALL (guint8, encode_unsigned)
      break;
    case 'n':
      COMMY_ITEMS_PUT_ALL (gint16, encode_signed)
      break;
    case 'q':
      COMMY_ITEMS_PUT_ALL (guint16, encode_unsigned)
      break;
    case 'u':
      COMMY_ITEMS_PUT_ALL (guint32, encode_unsigned)
      break;
    case 'x':
      COMMY_ITEMS_PUT_ALL (gint64, encode_signed)
      break;
    case 't':
      COMMY_ITEMS_PUT_ALL (guint64, encode_unsigned)
      break;
    default: /* 'i', 'h' */
      COMMY_ITEMS_PUT_ALL (gint32, encode_signed)
    }
}

static void
put_nothing (CommyItemOut *out)
{
  guint8 head[1];

  commy_item_put (out, head, cbor_encode_null (head, sizeof head));
}

static void
put_head (CommyItemOut *out, gsize (*encode) (gsize n, guint8 *at, gsize size), gsize n)
{
  guint8 head[HEAD_MAX];

  commy_item_put (out, head, encode (n, head, sizeof head));
}

static void
put_text (CommyItemOut *out, const char *text, gsize size)
{
  put_head (out, cbor_encode_string_start, size);
  commy_item_put (out, text, size);
}

static void
put_bytes (CommyItemOut *out, const guint8 *data, gsize size)
{
  put_head (out, cbor_encode_bytestring_start, size);
  commy_item_put (out, data, size);
}

static void
put_array (CommyItemOut *out, gsize n)
{
  put_head (out, cbor_encode_array_start, n);
}

static void
put_map (CommyItemOut *out, gsize n)
{
  put_head (out, cbor_encode_map_start, n);
}

static const CommyItemForm form = {
  .name = "cbor",
  .max_parts = G_MAXSSIZE,
  .nothing = put_nothing,
  .numbers = put_numbers,
  .text = put_text,
  .bytes = put_bytes,
  .array = put_array,
  .map = put_map,
};

/* --- reading: libcbor calls the one that fits the item --- */

static void
on_number (gpointer context, CommyItemKind kind, guint64 number)
{
  CommyItem *item = context;

  item->kind = kind;
  item->number = number;
}

static void
on_uint8 (gpointer context, guint8 number)
{
  on_number (context, COMMY_ITEM_UNSIGNED, number);
}

static void
on_uint16 (gpointer context, guint16 number)
{
  on_number (context, COMMY_ITEM_UNSIGNED, number);
}

static void
on_uint32 (gpointer context, guint32 number)
{
  on_number (context, COMMY_ITEM_UNSIGNED, number);
}

static void
on_uint64 (gpointer context, guint64 number)
{
  on_number (context, COMMY_ITEM_UNSIGNED, number);
}

static void
on_negative8 (gpointer context, guint8 number)
{
  on_number (context, COMMY_ITEM_NEGATIVE, number);
}

static void
on_negative16 (gpointer context, guint16 number)
{
  on_number (context, COMMY_ITEM_NEGATIVE, number);
}

static void
on_negative32 (gpointer context, guint32 number)
{
  on_number (context, COMMY_ITEM_NEGATIVE, number);
}

static void
on_negative64 (gpointer context, guint64 number)
{
  on_number (context, COMMY_ITEM_NEGATIVE, number);
}

static void
on_double (gpointer context, double real)
{
  CommyItem *item = context;

  item->kind = COMMY_ITEM_REAL;
  item->real = real;
}

static void
on_float (gpointer context, float real)
{
  on_double (context, real);
}

static void
on_sized (gpointer context, CommyItemKind kind, const guint8 *data, gsize size)
{
  CommyItem *item = context;

  item->kind = kind;
  item->data = data;
  item->size = size;
}

static void
on_text (gpointer context, const guint8 *data, gsize size)
{
  on_sized (context, COMMY_ITEM_TEXT, data, size);
}

static void
on_open_text (gpointer context)
{
  on_sized (context, COMMY_ITEM_TEXT, NULL, COMMY_ITEM_OPEN);
}

static void
on_bytes (gpointer context, const guint8 *data, gsize size)
{
  on_sized (context, COMMY_ITEM_BYTES, data, size);
}

static void
on_open_bytes (gpointer context)
{
  on_sized (context, COMMY_ITEM_BYTES, NULL, COMMY_ITEM_OPEN);
}

/* 2^64 - 1 parts would be taken for an open end. */
static void
on_array (gpointer context, gsize n)
{
  on_sized (context, COMMY_ITEM_ARRAY, NULL, MIN (n, COMMY_ITEM_OPEN - 1));
}

static void
on_open_array (gpointer context)
{
  on_sized (context, COMMY_ITEM_ARRAY, NULL, COMMY_ITEM_OPEN);
}

static void
on_map (gpointer context, gsize n)
{
  on_sized (context, COMMY_ITEM_MAP, NULL, MIN (n, COMMY_ITEM_OPEN - 1));
}

static void
on_open_map (gpointer context)
{
  on_sized (context, COMMY_ITEM_MAP, NULL, COMMY_ITEM_OPEN);
}

static void
on_boolean (gpointer context, bool flag)
{
  CommyItem *item = context;

  item->kind = flag ? COMMY_ITEM_TRUE : COMMY_ITEM_FALSE;
}

static void
on_nothing (gpointer context)
{
  CommyItem *item = context;

  item->kind = COMMY_ITEM_NOTHING;
}

static void
on_end (gpointer context)
{
  CommyItem *item = context;

  item->kind = COMMY_ITEM_END;
}

static void
on_tag (gpointer context, guint64 tag)
{
  CommyItem *item = context;

  item->number = tag;
}

static const struct cbor_callbacks callbacks = {
  .uint8 = on_uint8,
  .uint16 = on_uint16,
  .uint32 = on_uint32,
  .uint64 = on_uint64,
  .negint64 = on_negative64,
  .negint32 = on_negative32,
  .negint16 = on_negative16,
  .negint8 = on_negative8,
  .byte_string_start = on_open_bytes,
  .byte_string = on_bytes,
  .string = on_text,
  .string_start = on_open_text,
  .indef_array_start = on_open_array,
  .array_start = on_array,
  .indef_map_start = on_open_map,
  .map_start = on_map,
  .tag = on_tag,
  .float2 = on_float,
  .float4 = on_float,
  .float8 = on_double,
  .undefined = on_nothing,
  .null = on_nothing,
  .boolean = on_boolean,
  .indef_break = on_end,
};

/* JavaScript writes its large integers so, also those that would fit into 64 bits. */
static void
read_bignum (CommyItem *item, gboolean negative)
{
  gboolean fits = item->kind == COMMY_ITEM_BYTES && item->size != COMMY_ITEM_OPEN;

  item->number = 0;
  for (gsize i = 0; fits && i < item->size; i++)
    {
      fits = item->number >> 56 == 0;
      item->number = item->number << 8 | item->data[i];
    }
  item->kind = !fits ? COMMY_ITEM_OTHER : negative ? COMMY_ITEM_NEGATIVE : COMMY_ITEM_UNSIGNED;
}

static inline gsize
decode_one (const guint8 *at, gsize size, CommyItem *out)
{
  struct cbor_decoder_result result = cbor_stream_decode (at, size, &callbacks, out);

  return result.status == CBOR_DECODER_FINISHED ? result.read : 0;
}

/* An item behind tags. Most say what else could be made of it; here the type has said it. */
static gsize
next_tagged (const guint8 *at, gsize size, CommyItem *out)
{
  guint64 tag = 0;
  gsize used = 0;
  gsize more;

  while (used < size && at[used] >> 5 == MAJOR_TAG)
    {
      more = decode_one (at + used, size - used, out);
      if (more == 0)
        return 0;
      used += more;
      tag = out->number;
    }
  more = decode_one (at + used, size - used, out);
  if (more == 0 || out->kind == COMMY_ITEM_END)
    return 0;
  if (tag == TAG_BIGNUM || tag == TAG_NEGATIVE_BIGNUM)
    read_bignum (out, tag == TAG_NEGATIVE_BIGNUM);
  return used + more;
}

/* What arrays are made of: libcbor's two jumps to an address for each item would cost more than the
 * item. 0: something else, or the last bytes of the message. */
static inline gsize
next_number (const guint8 *at, gsize size, CommyItem *out)
{
  guint major = *at >> 5;
  guint low = *at & 0x1f;
  guint width;

  if (size < HEAD_MAX)
    return 0;
  if (*at == DOUBLE)
    {
      guint64 bits = commy_items_read_big_endian (at + 1);

      out->kind = COMMY_ITEM_REAL;
      memcpy (&out->real, &bits, sizeof bits);
      return HEAD_MAX;
    }
  if (major > 1 || low >= INLINE_MAX + 4)
    return 0;
  out->kind = major == 0 ? COMMY_ITEM_UNSIGNED : COMMY_ITEM_NEGATIVE;
  if (low < INLINE_MAX)
    {
      out->number = low;
      return 1;
    }
  width = 1u << (low - INLINE_MAX);
  out->number = commy_items_read_big_endian (at + 1) >> (64 - 8 * width);
  return 1 + width;
}

static gsize
next_item (const guint8 *at, gsize size, CommyItem *out)
{
  gsize used = next_number (at, size, out);

  if (used > 0)
    return used;
  return *at >> 5 == MAJOR_TAG ? next_tagged (at, size, out) : decode_one (at, size, out);
}

static const CommyItemReader reader = {
  .name = "cbor",
  .form = "the CBOR",
  .next = next_item,
};

/* --- the plugin --- */

static gsize
cbor_bound (gpointer instance, GVariant *value)
{
  return commy_items_bound (&form, value);
}

static gssize
cbor_encode (gpointer instance, GVariant *value, guint8 *out, gsize size, GError **error)
{
  return commy_items_encode (&form, value, out, size, error);
}

static GVariant *
cbor_decode (gpointer instance, GBytes *bytes, const GVariantType *type, GError **error)
{
  return commy_items_decode (&reader, bytes, type, error);
}

static const CommySerializerOps cbor_ops = {
  .struct_size = sizeof (CommySerializerOps),
  .bound = cbor_bound,
  .encode = cbor_encode,
  .decode = cbor_decode,
};

/* As with the other serializers: small messages are taken for dictionaries, big ones for arrays.
 * How this was measured is in README.md. */
COMMY_PLUGIN_NOTE (SERIALIZER,
                   "cbor",
                   PACKAGE_VERSION,
                   "LGPL-2.1-or-later",
                   "CBOR, RFC 8949",
                   "",
                   COMMY_PLUGIN_FLAG_NONE,
                   .provenance = COMMY_PROVENANCE_MEASURED_ELSEWHERE,
                   .capabilities = COMMY_CAP_VALUES,
                   .size_factor = 0.85,
                   .sigma = 0.7,
                   .n_segments = 2,
                   .segments = { { .max_bytes = 1024,
                                   .send_cpu_ns = 150,
                                   .send_cpu_ns_per_byte = 3,
                                   .recv_cpu_ns = 250,
                                   .recv_cpu_ns_per_byte = 3 },
                                 { .max_bytes = G_MAXUINT64,
                                   .send_cpu_ns = 2200,
                                   .send_cpu_ns_per_byte = 0.6,
                                   .recv_cpu_ns = 1800,
                                   .recv_cpu_ns_per_byte = 1.2 } });
COMMY_PLUGIN_DEFINE (
    CommyStateless, commy_stateless_init, NULL, commy_stateless_fini, NULL, 0, &cbor_ops);
