/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * msgpack-c driven directly: its packer with a function that appends, its reader of objects.
 */
#include "config.h"

#include "direct.h"

#include <msgpack.h>
#include <string.h>

static int
append (void *data, const char *bytes, size_t size)
{
  DirectOut *out = data;

  memcpy (out->data + out->size, bytes, size);
  out->size += size;
  return 0;
}

static void
write_text (msgpack_packer *packer, const DirectText *text)
{
  msgpack_pack_str (packer, text->size);
  msgpack_pack_str_body (packer, text->text, text->size);
}

static void
write_record (DirectOut *out, const DirectRecord *record)
{
  msgpack_packer packer;

  msgpack_packer_init (&packer, out, append);
  msgpack_pack_array (&packer, 8);
  msgpack_pack_uint64 (&packer, record->time);
  write_text (&packer, &record->name);
  msgpack_pack_double (&packer, record->reading);
  if (record->good)
    msgpack_pack_true (&packer);
  else
    msgpack_pack_false (&packer);
  msgpack_pack_uint32 (&packer, record->count);
  msgpack_pack_int16 (&packer, record->offset);
  msgpack_pack_uint8 (&packer, record->level);
  if (record->note.text != NULL)
    write_text (&packer, &record->note);
  else
    msgpack_pack_nil (&packer);
}

static void
write_bytes (DirectOut *out, const guint8 *bytes, gsize n)
{
  msgpack_packer packer;

  msgpack_packer_init (&packer, out, append);
  msgpack_pack_bin (&packer, n);
  msgpack_pack_bin_body (&packer, bytes, n);
}

static void
write_doubles (DirectOut *out, const double *doubles, gsize n)
{
  msgpack_packer packer;

  msgpack_packer_init (&packer, out, append);
  msgpack_pack_array (&packer, n);
  for (gsize i = 0; i < n; i++)
    msgpack_pack_double (&packer, doubles[i]);
}

static void
write_integers (DirectOut *out, const gint32 *integers, gsize n)
{
  msgpack_packer packer;

  msgpack_packer_init (&packer, out, append);
  msgpack_pack_array (&packer, n);
  for (gsize i = 0; i < n; i++)
    msgpack_pack_int32 (&packer, integers[i]);
}

static void
destroy (gpointer data)
{
  msgpack_unpacked *unpacked = data;

  msgpack_unpacked_destroy (unpacked);
  g_free (unpacked);
}

static DirectText
text_of (const msgpack_object *object)
{
  return (DirectText){ object->via.str.ptr, object->via.str.size };
}

static gboolean
read_record (const guint8 *data, gsize size, DirectRecord *out)
{
  msgpack_unpacked *unpacked = g_new (msgpack_unpacked, 1);
  const msgpack_object *parts;
  size_t at = 0;

  msgpack_unpacked_init (unpacked);
  out->keep = unpacked;
  out->free_keep = destroy;
  if (msgpack_unpack_next (unpacked, (const char *) data, size, &at) != MSGPACK_UNPACK_SUCCESS
      || unpacked->data.type != MSGPACK_OBJECT_ARRAY || unpacked->data.via.array.size != 8)
    return FALSE;
  parts = unpacked->data.via.array.ptr;
  if (parts[0].type != MSGPACK_OBJECT_POSITIVE_INTEGER || parts[1].type != MSGPACK_OBJECT_STR
      || parts[2].type != MSGPACK_OBJECT_FLOAT64 || parts[3].type != MSGPACK_OBJECT_BOOLEAN
      || parts[4].type != MSGPACK_OBJECT_POSITIVE_INTEGER
      || parts[5].type != MSGPACK_OBJECT_NEGATIVE_INTEGER
      || parts[6].type != MSGPACK_OBJECT_POSITIVE_INTEGER || parts[7].type != MSGPACK_OBJECT_STR)
    return FALSE;
  out->time = parts[0].via.u64;
  out->name = text_of (&parts[1]);
  out->reading = parts[2].via.f64;
  out->good = parts[3].via.boolean;
  out->count = (guint32) parts[4].via.u64;
  out->offset = (gint16) parts[5].via.i64;
  out->level = (guint8) parts[6].via.u64;
  out->note = text_of (&parts[7]);
  return TRUE;
}

static gpointer
read_bytes (const guint8 *data, gsize size, gsize *out_n)
{
  msgpack_unpacked unpacked;
  gpointer bytes = NULL;
  size_t at = 0;

  msgpack_unpacked_init (&unpacked);
  if (msgpack_unpack_next (&unpacked, (const char *) data, size, &at) == MSGPACK_UNPACK_SUCCESS
      && unpacked.data.type == MSGPACK_OBJECT_BIN)
    {
      *out_n = unpacked.data.via.bin.size;
      bytes = g_malloc (*out_n);
      memcpy (bytes, unpacked.data.via.bin.ptr, *out_n);
    }
  msgpack_unpacked_destroy (&unpacked);
  return bytes;
}

static gpointer
read_doubles (const guint8 *data, gsize size, gsize *out_n)
{
  msgpack_unpacked unpacked;
  double *doubles = NULL;
  size_t at = 0;

  msgpack_unpacked_init (&unpacked);
  if (msgpack_unpack_next (&unpacked, (const char *) data, size, &at) == MSGPACK_UNPACK_SUCCESS
      && unpacked.data.type == MSGPACK_OBJECT_ARRAY)
    {
      const msgpack_object *parts = unpacked.data.via.array.ptr;

      *out_n = unpacked.data.via.array.size;
      doubles = g_new (double, *out_n);
      for (gsize i = 0; i < *out_n; i++)
        doubles[i] = parts[i].type == MSGPACK_OBJECT_FLOAT64 ? parts[i].via.f64 : 0;
    }
  msgpack_unpacked_destroy (&unpacked);
  return doubles;
}

static gpointer
read_integers (const guint8 *data, gsize size, gsize *out_n)
{
  msgpack_unpacked unpacked;
  gint32 *integers = NULL;
  size_t at = 0;

  msgpack_unpacked_init (&unpacked);
  if (msgpack_unpack_next (&unpacked, (const char *) data, size, &at) == MSGPACK_UNPACK_SUCCESS
      && unpacked.data.type == MSGPACK_OBJECT_ARRAY)
    {
      const msgpack_object *parts = unpacked.data.via.array.ptr;

      *out_n = unpacked.data.via.array.size;
      integers = g_new (gint32, *out_n);
      for (gsize i = 0; i < *out_n; i++)
        integers[i] = parts[i].type == MSGPACK_OBJECT_POSITIVE_INTEGER ? (gint32) parts[i].via.u64
                                                                       : (gint32) parts[i].via.i64;
    }
  msgpack_unpacked_destroy (&unpacked);
  return integers;
}

const DirectLibrary direct_msgpack = {
  .format = "msgpack",
  .write_record = write_record,
  .write_bytes = write_bytes,
  .write_doubles = write_doubles,
  .write_integers = write_integers,
  .read_record = read_record,
  .read_bytes = read_bytes,
  .read_doubles = read_doubles,
  .read_integers = read_integers,
};
