/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Frames of commyd, as its reader and its clients' reader see them: a header, then the payload of
 * whatever type it names. What was read and can be written again reads the same.
 */
#include "config.h"

#include "stores/common/commy-store-wire.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static void
assert_same (GByteArray *frame, const uint8_t *data, size_t size)
{
  g_assert_cmpmem (frame->data + STORE_WIRE_HEADER, frame->len - STORE_WIRE_HEADER, data, size);
  g_byte_array_unref (frame);
}

/* Every change but a put has no value and no lease, which a frame cannot say either. */
static gboolean
try_txn (const uint8_t *data, size_t size, GError **error)
{
  g_auto (StoreWireTxn) txn = { NULL, NULL };

  if (!store_wire_read_txn (data, size, &txn, error))
    return FALSE;
  assert_same (store_wire_write_txn (1, (const CommyStoreCompare *) (gpointer) txn.compares->data,
                                     txn.compares->len,
                                     (const CommyStoreOp *) (gpointer) txn.ops->data, txn.ops->len),
               data, size);
  return TRUE;
}

static gboolean
try_answer (const uint8_t *data, size_t size, GError **error)
{
  g_auto (StoreWireAnswer) answer = { 0 };
  CommyStoreResult result = { .struct_size = sizeof result };
  gsize at = 0;
  GByteArray *again;

  if (!store_wire_read_answer (data, size, &answer, error))
    return FALSE;
  result.succeeded = answer.succeeded;
  result.revision = answer.revision;
  result.lease = answer.lease;
  result.entries = (const CommyStoreEntry *) (gpointer) answer.entries->data;
  result.n_entries = answer.entries->len;
  again = store_wire_write_answer (STORE_WIRE_RESULT, 1, &result, &at);
  if (at == result.n_entries)
    assert_same (again, data, size);
  else
    g_byte_array_unref (again);
  return TRUE;
}

static gboolean
try_greetings (StoreWireType type, const uint8_t *data, size_t size, GError **error)
{
  g_auto (StoreWireHello) hello = { 0 };
  g_auto (StoreWireWelcome) welcome = { 0 };

  if (type == STORE_WIRE_HELLO)
    return store_wire_read_hello (data, size, &hello, error);
  return store_wire_read_welcome (data, size, &welcome, error);
}

static gboolean
try_prefix (StoreWireType type, const uint8_t *data, size_t size, GError **error)
{
  g_autofree char *prefix = NULL;
  gint64 after;

  if (!store_wire_read_prefix (type, data, size, &prefix, &after, error))
    return FALSE;
  assert_same (store_wire_write_prefix (type, 1, prefix, after), data, size);
  return TRUE;
}

static gboolean
try_texts (StoreWireType type, const uint8_t *data, size_t size, GError **error)
{
  g_autofree char *report = NULL;

  if (type == STORE_WIRE_REPORT)
    {
      report = store_wire_read_report (data, size, error);
      return report != NULL;
    }
  g_propagate_error (error, store_wire_read_error (data, size));
  return FALSE;
}

static gboolean
try_payload (StoreWireType type, const uint8_t *data, size_t size, GError **error)
{
  gint64 number;

  switch (type)
    {
    case STORE_WIRE_HELLO:
    case STORE_WIRE_WELCOME:
      return try_greetings (type, data, size, error);
    case STORE_WIRE_RANGE:
    case STORE_WIRE_WATCH:
      return try_prefix (type, data, size, error);
    case STORE_WIRE_TXN:
      return try_txn (data, size, error);
    case STORE_WIRE_GRANT:
    case STORE_WIRE_REVOKE:
      return store_wire_read_number (data, size, &number, error);
    case STORE_WIRE_RESULT:
    case STORE_WIRE_EVENT:
      return try_answer (data, size, error);
    case STORE_WIRE_ERROR:
    case STORE_WIRE_REFUSED:
    case STORE_WIRE_REPORT:
      return try_texts (type, data, size, error);
    case STORE_WIRE_UNWATCH:
    case STORE_WIRE_STATUS:
    default:
      return store_wire_read_empty (size, error);
    }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (GError) error = NULL;
  StoreWireHeader header;
  gboolean is_good;

  if (size < STORE_WIRE_HEADER)
    return 0;
  is_good = store_wire_read_header (data, STORE_WIRE_MAX, &header, &error)
            && try_payload ((StoreWireType) header.type, data + STORE_WIRE_HEADER,
                            size - STORE_WIRE_HEADER, &error);
  g_assert_true (is_good == (error == NULL));
  return 0;
}
