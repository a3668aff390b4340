/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Frames of commyd: see the header. Numbers are little-endian. Everything that is read is checked
 * for its length, what is left over is a mistake, and texts have no NUL.
 */
#include "config.h"

#include "commy-store-wire.h"

#include <string.h>

#define MIN_ENTRY (2 + 3 * 8 + 1)
#define FLAGS_AT 5

void
store_wire_set_error (GError **error, int code, const char *format, ...)
{
  va_list arguments;
  g_autofree char *text = NULL;

  va_start (arguments, format);
  text = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  g_set_error_literal (error, g_quark_from_static_string ("commy-error-quark"), code, text);
}

/* --- memory --- */

static void
clear_compare (gpointer data)
{
  g_free ((char *) ((CommyStoreCompare *) data)->key);
}

static void
clear_op (gpointer data)
{
  CommyStoreOp *op = data;

  g_free ((char *) op->key);
  g_clear_pointer (&op->value, g_bytes_unref);
}

static void
clear_entry (gpointer data)
{
  CommyStoreEntry *entry = data;

  g_free ((char *) entry->key);
  g_clear_pointer (&entry->value, g_bytes_unref);
}

static GArray *
array_of (guint element_size, GDestroyNotify clear)
{
  GArray *array = g_array_new (FALSE, FALSE, element_size);

  g_array_set_clear_func (array, clear);
  return array;
}

void
store_wire_hello_clear (StoreWireHello *hello)
{
  g_clear_pointer (&hello->mesh, g_free);
}

void
store_wire_welcome_clear (StoreWireWelcome *welcome)
{
  g_clear_pointer (&welcome->program, g_free);
  g_clear_pointer (&welcome->host, g_free);
}

void
store_wire_txn_init (StoreWireTxn *out_txn)
{
  out_txn->compares = array_of (sizeof (CommyStoreCompare), clear_compare);
  out_txn->ops = array_of (sizeof (CommyStoreOp), clear_op);
}

void
store_wire_txn_clear (StoreWireTxn *txn)
{
  g_clear_pointer (&txn->compares, g_array_unref);
  g_clear_pointer (&txn->ops, g_array_unref);
}

void
store_wire_answer_clear (StoreWireAnswer *answer)
{
  g_clear_pointer (&answer->entries, g_array_unref);
}

/* --- writing --- */

static void
put (GByteArray *frame, guint64 number, guint n_bytes)
{
  const guint64 bytes = GUINT64_TO_LE (number);

  g_byte_array_append (frame, (const guint8 *) &bytes, n_bytes);
}

static void
put_text (GByteArray *frame, const char *text)
{
  gsize length = MIN (strlen (text), STORE_WIRE_MAX_TEXT);

  put (frame, length, 2);
  g_byte_array_append (frame, (const guint8 *) text, (guint) length);
}

static void
put_value (GByteArray *frame, GBytes *value)
{
  gsize size = 0;
  const guint8 *data = value != NULL ? g_bytes_get_data (value, &size) : NULL;

  put (frame, size, 4);
  if (size > 0)
    g_byte_array_append (frame, data, (guint) size);
}

static GByteArray *
begin (StoreWireType type, guint64 id)
{
  GByteArray *frame = g_byte_array_new ();

  put (frame, 0, 4); /* the size, once it is known */
  put (frame, type, 1);
  put (frame, 0, 3);
  put (frame, id, 8);
  return frame;
}

static GByteArray *
end (GByteArray *frame)
{
  const guint32 size = GUINT32_TO_LE (frame->len - STORE_WIRE_HEADER);

  memcpy (frame->data, &size, sizeof size);
  return frame;
}

GByteArray *
store_wire_write_hello (const StoreWireHello *hello)
{
  GByteArray *frame = begin (STORE_WIRE_HELLO, 0);

  put (frame, STORE_WIRE_MAGIC, 4);
  put (frame, hello->version, 4);
  put_text (frame, hello->mesh);
  return end (frame);
}

GByteArray *
store_wire_write_welcome (const StoreWireWelcome *welcome)
{
  GByteArray *frame = begin (STORE_WIRE_WELCOME, 0);

  put (frame, STORE_WIRE_MAGIC, 4);
  put (frame, welcome->version, 4);
  put_text (frame, welcome->program);
  put_text (frame, welcome->host);
  put (frame, (guint64) welcome->since, 8);
  return end (frame);
}

GByteArray *
store_wire_write_prefix (StoreWireType type, guint64 id, const char *prefix, gint64 after)
{
  GByteArray *frame = begin (type, id);

  put_text (frame, prefix);
  if (type == STORE_WIRE_WATCH)
    put (frame, (guint64) after, 8);
  return end (frame);
}

GByteArray *
store_wire_write_txn (guint64 id,
                      const CommyStoreCompare *compares,
                      gsize n_compares,
                      const CommyStoreOp *ops,
                      gsize n_ops)
{
  GByteArray *frame = begin (STORE_WIRE_TXN, id);

  put (frame, n_compares, 4);
  for (gsize i = 0; i < n_compares; i++)
    {
      put_text (frame, compares[i].key);
      put (frame, (guint64) compares[i].mod_revision, 8);
    }
  put (frame, n_ops, 4);
  for (gsize i = 0; i < n_ops; i++)
    {
      put (frame, ops[i].kind, 1);
      put_text (frame, ops[i].key);
      if (ops[i].kind != COMMY_STORE_PUT)
        continue;
      put (frame, (guint64) ops[i].lease, 8);
      put_value (frame, ops[i].value);
    }
  return end (frame);
}

GByteArray *
store_wire_write_number (StoreWireType type, guint64 id, gint64 number)
{
  GByteArray *frame = begin (type, id);

  put (frame, (guint64) number, 8);
  return end (frame);
}

GByteArray *
store_wire_write_empty (StoreWireType type, guint64 id)
{
  return end (begin (type, id));
}

GByteArray *
store_wire_write_error (StoreWireType type, guint64 id, int code, const char *message)
{
  GByteArray *frame = begin (type, id);

  put (frame, (guint32) code, 4);
  put_text (frame, message);
  return end (frame);
}

GByteArray *
store_wire_write_report (guint64 id, const char *text)
{
  GByteArray *frame = begin (STORE_WIRE_REPORT, id);

  put_text (frame, text);
  return end (frame);
}

static void
put_entry (GByteArray *frame, const CommyStoreEntry *entry)
{
  put_text (frame, entry->key);
  put (frame, (guint64) entry->create_revision, 8);
  put (frame, (guint64) entry->mod_revision, 8);
  put (frame, (guint64) entry->lease, 8);
  put (frame, entry->value != NULL, 1);
  if (entry->value != NULL)
    put_value (frame, entry->value);
}

GByteArray *
store_wire_write_answer (StoreWireType type, guint64 id, const CommyStoreResult *result, gsize *at)
{
  GByteArray *frame = begin (type, id);
  guint32 n = 0;
  guint n_at;

  put (frame, result->succeeded != FALSE, 1);
  put (frame, (guint64) result->revision, 8);
  put (frame, (guint64) result->lease, 8);
  n_at = frame->len;
  put (frame, 0, 4);
  while (*at < result->n_entries && frame->len < STORE_WIRE_PART)
    {
      put_entry (frame, &result->entries[(*at)++]);
      n++;
    }
  n = GUINT32_TO_LE (n);
  memcpy (frame->data + n_at, &n, sizeof n);
  if (*at < result->n_entries)
    frame->data[FLAGS_AT] = STORE_WIRE_MORE;
  return end (frame);
}

/* --- reading --- */

typedef struct
{
  const guint8 *data;
  gsize left;
  gboolean is_bad; /* stays: whoever reads looks once, at the end */
} Reader;

static guint64
get (Reader *reader, guint n_bytes)
{
  guint64 number = 0;

  if (reader->is_bad || reader->left < n_bytes)
    {
      reader->is_bad = TRUE;
      return 0;
    }
  memcpy (&number, reader->data, n_bytes);
  reader->data += n_bytes;
  reader->left -= n_bytes;
  return GUINT64_FROM_LE (number);
}

/* Never NULL. */
static char *
get_text (Reader *reader)
{
  gsize length = (gsize) get (reader, 2);
  char *text;

  if (reader->is_bad || reader->left < length || memchr (reader->data, 0, length) != NULL)
    {
      reader->is_bad = TRUE;
      return g_strdup ("");
    }
  text = g_strndup ((const char *) reader->data, length);
  reader->data += length;
  reader->left -= length;
  return text;
}

/* Words that are shown to people. */
static char *
get_words (Reader *reader)
{
  g_autofree char *text = get_text (reader);

  return g_utf8_make_valid (text, -1);
}

static GBytes *
get_value (Reader *reader)
{
  gsize size = (gsize) get (reader, 4);
  GBytes *value;

  if (reader->is_bad || reader->left < size)
    {
      reader->is_bad = TRUE;
      return NULL;
    }
  value = g_bytes_new (reader->data, size);
  reader->data += size;
  reader->left -= size;
  return value;
}

static gboolean
check_end (const Reader *reader, const char *what, GError **error)
{
  if (!reader->is_bad && reader->left == 0)
    return TRUE;
  store_wire_set_error (error, COMMY_ERROR_PROTOCOL, "%s is %s", what,
                        reader->is_bad ? "cut off or has something in it that cannot be"
                                       : "followed by bytes that are not part of it");
  return FALSE;
}

gboolean
store_wire_read_header (const guint8 *data,
                        gsize max_payload,
                        StoreWireHeader *out_header,
                        GError **error)
{
  Reader reader = { data, STORE_WIRE_HEADER, FALSE };
  StoreWireHeader header = { .size = (guint32) get (&reader, 4),
                             .type = (guint8) get (&reader, 1),
                             .flags = (guint8) get (&reader, 1) };
  guint64 reserved = get (&reader, 2);

  header.id = get (&reader, 8);
  if (reserved != 0 || (header.flags & ~STORE_WIRE_MORE) != 0)
    {
      store_wire_set_error (error, COMMY_ERROR_PROTOCOL, "this is no frame of commyd");
      return FALSE;
    }
  if (header.size > max_payload)
    {
      store_wire_set_error (error, COMMY_ERROR_TOO_BIG,
                            "a frame of %u bytes is larger than the %" G_GSIZE_FORMAT " allowed",
                            header.size, max_payload);
      return FALSE;
    }
  *out_header = header;
  return TRUE;
}

static gboolean
check_greeting (Reader *reader, guint32 magic, const char *what, GError **error)
{
  if (!check_end (reader, what, error))
    return FALSE;
  if (magic == STORE_WIRE_MAGIC)
    return TRUE;
  store_wire_set_error (error, COMMY_ERROR_PROTOCOL, "%s does not begin as one of commyd does",
                        what);
  return FALSE;
}

gboolean
store_wire_read_hello (const guint8 *data, gsize size, StoreWireHello *out, GError **error)
{
  Reader reader = { data, size, FALSE };
  guint32 magic = (guint32) get (&reader, 4);
  g_auto (StoreWireHello) hello = { .version = (guint32) get (&reader, 4) };

  hello.mesh = get_words (&reader);
  if (!check_greeting (&reader, magic, "the greeting", error))
    return FALSE;
  *out = hello;
  hello.mesh = NULL;
  return TRUE;
}

gboolean
store_wire_read_welcome (const guint8 *data, gsize size, StoreWireWelcome *out, GError **error)
{
  Reader reader = { data, size, FALSE };
  guint32 magic = (guint32) get (&reader, 4);
  g_auto (StoreWireWelcome) welcome = { .version = (guint32) get (&reader, 4) };

  welcome.program = get_words (&reader);
  welcome.host = get_words (&reader);
  welcome.since = (gint64) get (&reader, 8);
  if (!check_greeting (&reader, magic, "the welcome", error))
    return FALSE;
  *out = welcome;
  welcome.program = NULL;
  welcome.host = NULL;
  return TRUE;
}

gboolean
store_wire_read_prefix (StoreWireType type,
                        const guint8 *data,
                        gsize size,
                        char **out_prefix,
                        gint64 *out_after,
                        GError **error)
{
  Reader reader = { data, size, FALSE };
  g_autofree char *prefix = get_text (&reader);
  gint64 after = type == STORE_WIRE_WATCH ? (gint64) get (&reader, 8) : 0;

  if (!check_end (&reader, "a prefix", error))
    return FALSE;
  *out_prefix = g_steal_pointer (&prefix);
  *out_after = after;
  return TRUE;
}

static void
read_compares (Reader *reader, GArray *compares)
{
  guint32 n = (guint32) get (reader, 4);

  reader->is_bad |= n > STORE_WIRE_MAX_PARTS;
  for (guint32 i = 0; i < n && !reader->is_bad; i++)
    {
      CommyStoreCompare compare = { .key = get_text (reader) };

      compare.mod_revision = (gint64) get (reader, 8);
      g_array_append_val (compares, compare);
    }
}

static void
read_ops (Reader *reader, GArray *ops)
{
  guint32 n = (guint32) get (reader, 4);

  reader->is_bad |= n > STORE_WIRE_MAX_PARTS;
  for (guint32 i = 0; i < n && !reader->is_bad; i++)
    {
      guint64 kind = get (reader, 1);
      CommyStoreOp op = { .kind = (CommyStoreOpKind) kind, .key = get_text (reader) };

      reader->is_bad |= kind < COMMY_STORE_PUT || kind > COMMY_STORE_DELETE_PREFIX;
      if (kind == COMMY_STORE_PUT)
        {
          op.lease = (gint64) get (reader, 8);
          op.value = get_value (reader);
        }
      g_array_append_val (ops, op);
    }
}

gboolean
store_wire_read_txn (const guint8 *data, gsize size, StoreWireTxn *out, GError **error)
{
  Reader reader = { data, size, FALSE };
  g_auto (StoreWireTxn) txn = { NULL, NULL };

  store_wire_txn_init (&txn);
  read_compares (&reader, txn.compares);
  read_ops (&reader, txn.ops);
  if (!check_end (&reader, "a transaction", error))
    return FALSE;
  *out = txn;
  txn = (StoreWireTxn){ NULL, NULL };
  return TRUE;
}

gboolean
store_wire_read_number (const guint8 *data, gsize size, gint64 *out_number, GError **error)
{
  Reader reader = { data, size, FALSE };
  gint64 number = (gint64) get (&reader, 8);

  if (!check_end (&reader, "a request about a lease", error))
    return FALSE;
  *out_number = number;
  return TRUE;
}

gboolean
store_wire_read_empty (gsize size, GError **error)
{
  const Reader reader = { NULL, size, FALSE };

  return check_end (&reader, "a request without contents", error);
}

GError *
store_wire_read_error (const guint8 *data, gsize size)
{
  Reader reader = { data, size, FALSE };
  guint32 code = (guint32) get (&reader, 4);
  g_autofree char *words = get_words (&reader);
  GError *error = NULL;

  if (check_end (&reader, "the daemon's error", &error))
    store_wire_set_error (&error, (int) (code & G_MAXINT), "%s", words);
  return error;
}

char *
store_wire_read_report (const guint8 *data, gsize size, GError **error)
{
  Reader reader = { data, size, FALSE };
  g_autofree char *words = get_words (&reader);

  return check_end (&reader, "the daemon's report", error) ? g_steal_pointer (&words) : NULL;
}

static void
read_entries (Reader *reader, GArray *entries)
{
  guint32 n = (guint32) get (reader, 4);

  reader->is_bad |= n > reader->left / MIN_ENTRY;
  for (guint32 i = 0; i < n && !reader->is_bad; i++)
    {
      CommyStoreEntry entry = { .key = get_text (reader) };
      guint64 has_value;

      entry.create_revision = (gint64) get (reader, 8);
      entry.mod_revision = (gint64) get (reader, 8);
      entry.lease = (gint64) get (reader, 8);
      has_value = get (reader, 1);
      reader->is_bad |= has_value > 1;
      if (has_value == 1)
        entry.value = get_value (reader);
      g_array_append_val (entries, entry);
    }
}

gboolean
store_wire_read_answer (const guint8 *data, gsize size, StoreWireAnswer *answer, GError **error)
{
  Reader reader = { data, size, FALSE };
  guint64 succeeded = get (&reader, 1);

  reader.is_bad |= succeeded > 1;
  answer->succeeded = succeeded == 1;
  answer->revision = (gint64) get (&reader, 8);
  answer->lease = (gint64) get (&reader, 8);
  if (answer->entries == NULL)
    answer->entries = array_of (sizeof (CommyStoreEntry), clear_entry);
  read_entries (&reader, answer->entries);
  return check_end (&reader, "the daemon's answer", error);
}
