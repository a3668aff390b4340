/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libcbor driven directly: its functions that encode one item, its streaming reader with functions
 * that put what they are given where it belongs.
 */
#include "config.h"

#include "direct.h"

#include <cbor.h>
#include <string.h>

#define HEAD_MAX 9

/* --- writing --- */

static inline guint8 *
at (DirectOut *out)
{
  return out->data + out->size;
}

static void
write_integer (DirectOut *out, gint64 number)
{
  out->size += number < 0 ? cbor_encode_negint (~(guint64) number, at (out), HEAD_MAX)
                          : cbor_encode_uint ((guint64) number, at (out), HEAD_MAX);
}

static void
write_text (DirectOut *out, const DirectText *text)
{
  out->size += cbor_encode_string_start (text->size, at (out), HEAD_MAX);
  memcpy (at (out), text->text, text->size);
  out->size += text->size;
}

static void
write_record (DirectOut *out, const DirectRecord *record)
{
  out->size += cbor_encode_array_start (8, at (out), HEAD_MAX);
  out->size += cbor_encode_uint (record->time, at (out), HEAD_MAX);
  write_text (out, &record->name);
  out->size += cbor_encode_double (record->reading, at (out), HEAD_MAX);
  out->size += cbor_encode_bool (record->good, at (out), HEAD_MAX);
  out->size += cbor_encode_uint (record->count, at (out), HEAD_MAX);
  write_integer (out, record->offset);
  out->size += cbor_encode_uint8 (record->level, at (out), HEAD_MAX);
  if (record->note.text != NULL)
    write_text (out, &record->note);
  else
    out->size += cbor_encode_null (at (out), HEAD_MAX);
}

static void
write_bytes (DirectOut *out, const guint8 *bytes, gsize n)
{
  out->size += cbor_encode_bytestring_start (n, at (out), HEAD_MAX);
  memcpy (at (out), bytes, n);
  out->size += n;
}

static void
write_doubles (DirectOut *out, const double *doubles, gsize n)
{
  out->size += cbor_encode_array_start (n, at (out), HEAD_MAX);
  for (gsize i = 0; i < n; i++)
    out->size += cbor_encode_double (doubles[i], at (out), HEAD_MAX);
}

static void
write_integers (DirectOut *out, const gint32 *integers, gsize n)
{
  out->size += cbor_encode_array_start (n, at (out), HEAD_MAX);
  for (gsize i = 0; i < n; i++)
    write_integer (out, integers[i]);
}

/* --- reading a record: each item goes to the next member --- */

typedef struct
{
  DirectRecord *record;
  guint next;
} RecordReader;

static void
on_record_number (RecordReader *reader, gint64 number)
{
  DirectRecord *record = reader->record;

  switch (reader->next++)
    {
    case 0:
      record->time = (guint64) number;
      break;
    case 4:
      record->count = (guint32) number;
      break;
    case 5:
      record->offset = (gint16) number;
      break;
    case 6:
      record->level = (guint8) number;
      break;
    default:
      reader->next = G_MAXUINT / 2;
    }
}

#define ON_NUMBER(NAME, TYPE, READER, DONE, VALUE) \
  static void NAME (void *context, TYPE number)    \
  {                                                \
    READER *reader = context;                      \
                                                   \
    DONE (reader, VALUE);                          \
  }

ON_NUMBER (on_record_8, guint8, RecordReader, on_record_number, number)
ON_NUMBER (on_record_16, guint16, RecordReader, on_record_number, number)
ON_NUMBER (on_record_32, guint32, RecordReader, on_record_number, number)
ON_NUMBER (on_record_64, guint64, RecordReader, on_record_number, (gint64) number)
ON_NUMBER (on_record_minus_8, guint8, RecordReader, on_record_number, -1 - (gint64) number)
ON_NUMBER (on_record_minus_16, guint16, RecordReader, on_record_number, -1 - (gint64) number)

static void
on_record_double (void *context, double real)
{
  RecordReader *reader = context;

  reader->record->reading = real;
  reader->next++;
}

static void
on_record_bool (void *context, bool flag)
{
  RecordReader *reader = context;

  reader->record->good = flag;
  reader->next++;
}

static void
on_record_text (void *context, cbor_data data, size_t size)
{
  RecordReader *reader = context;
  DirectText *text = reader->next == 1 ? &reader->record->name : &reader->record->note;

  *text = (DirectText){ (const char *) data, size };
  reader->next++;
}

static gboolean
read_all (const guint8 *data, gsize size, const struct cbor_callbacks *callbacks, gpointer reader)
{
  gsize used = 0;

  while (used < size)
    {
      struct cbor_decoder_result result
          = cbor_stream_decode (data + used, size - used, callbacks, reader);

      if (result.status != CBOR_DECODER_FINISHED)
        return FALSE;
      used += result.read;
    }
  return TRUE;
}

static gboolean
read_record (const guint8 *data, gsize size, DirectRecord *out)
{
  struct cbor_callbacks callbacks = cbor_empty_callbacks;
  RecordReader reader = { .record = out };

  callbacks.uint8 = on_record_8;
  callbacks.uint16 = on_record_16;
  callbacks.uint32 = on_record_32;
  callbacks.uint64 = on_record_64;
  callbacks.negint8 = on_record_minus_8;
  callbacks.negint16 = on_record_minus_16;
  callbacks.float8 = on_record_double;
  callbacks.boolean = on_record_bool;
  callbacks.string = on_record_text;
  return read_all (data, size, &callbacks, &reader) && reader.next == 8;
}

/* --- reading arrays --- */

typedef struct
{
  double *doubles;
  gint32 *integers;
  guint8 *bytes;
  gsize n, room;
} ArrayReader;

static inline void
add_double (ArrayReader *reader, double real)
{
  if (reader->n < reader->room)
    reader->doubles[reader->n++] = real;
}

static inline void
add_integer (ArrayReader *reader, gint32 number)
{
  if (reader->n < reader->room)
    reader->integers[reader->n++] = number;
}

ON_NUMBER (on_float, float, ArrayReader, add_double, (double) number)
ON_NUMBER (on_double, double, ArrayReader, add_double, number)
ON_NUMBER (on_8, guint8, ArrayReader, add_integer, number)
ON_NUMBER (on_16, guint16, ArrayReader, add_integer, number)
ON_NUMBER (on_32, guint32, ArrayReader, add_integer, (gint32) number)
ON_NUMBER (on_minus_8, guint8, ArrayReader, add_integer, -1 - (gint32) number)
ON_NUMBER (on_minus_16, guint16, ArrayReader, add_integer, -1 - (gint32) number)
ON_NUMBER (on_minus_32, guint32, ArrayReader, add_integer, -1 - (gint32) number)

static void
on_doubles (void *context, size_t n)
{
  ArrayReader *reader = context;

  reader->room = n;
  reader->doubles = g_new (double, n);
}

static void
on_integers (void *context, size_t n)
{
  ArrayReader *reader = context;

  reader->room = n;
  reader->integers = g_new (gint32, n);
}

static void
on_bytes (void *context, cbor_data data, size_t n)
{
  ArrayReader *reader = context;

  reader->n = n;
  reader->bytes = g_malloc (n);
  memcpy (reader->bytes, data, n);
}

static gpointer
read_bytes (const guint8 *data, gsize size, gsize *out_n)
{
  struct cbor_callbacks callbacks = cbor_empty_callbacks;
  ArrayReader reader = { 0 };

  callbacks.byte_string = on_bytes;
  read_all (data, size, &callbacks, &reader);
  *out_n = reader.n;
  return reader.bytes;
}

static gpointer
read_doubles (const guint8 *data, gsize size, gsize *out_n)
{
  struct cbor_callbacks callbacks = cbor_empty_callbacks;
  ArrayReader reader = { 0 };

  callbacks.array_start = on_doubles;
  callbacks.float2 = on_float;
  callbacks.float4 = on_float;
  callbacks.float8 = on_double;
  read_all (data, size, &callbacks, &reader);
  *out_n = reader.n;
  return reader.doubles;
}

static gpointer
read_integers (const guint8 *data, gsize size, gsize *out_n)
{
  struct cbor_callbacks callbacks = cbor_empty_callbacks;
  ArrayReader reader = { 0 };

  callbacks.array_start = on_integers;
  callbacks.uint8 = on_8;
  callbacks.uint16 = on_16;
  callbacks.uint32 = on_32;
  callbacks.negint8 = on_minus_8;
  callbacks.negint16 = on_minus_16;
  callbacks.negint32 = on_minus_32;
  read_all (data, size, &callbacks, &reader);
  *out_n = reader.n;
  return reader.integers;
}

const DirectLibrary direct_cbor = {
  .format = "cbor",
  .write_record = write_record,
  .write_bytes = write_bytes,
  .write_doubles = write_doubles,
  .write_integers = write_integers,
  .read_record = read_record,
  .read_bytes = read_bytes,
  .read_doubles = read_doubles,
  .read_integers = read_integers,
};
