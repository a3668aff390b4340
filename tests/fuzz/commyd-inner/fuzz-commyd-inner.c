/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Records of a door, as the keeper of commyd sees them: each behind two bytes of length, one after
 * the other, and a transaction among them is collected. What was read can be written again and is
 * the same, and what is collected has the bounds of a client's.
 */
#include "config.h"

#include "daemon/commyd-collect.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static void
assert_same (const CommydInner *record, const uint8_t *data, size_t size)
{
  g_autofree char *key = g_strndup (record->key, record->head.key_size);
  g_autoptr (GBytes) again
      = commyd_inner_write (&record->head, key, record->piece, record->head.piece_size);

  g_assert_cmpmem (g_bytes_get_data (again, NULL), g_bytes_get_size (again), data, size);
}

static void
assert_bounds (CommydCollect *collect)
{
  StoreWireTxn txn = commyd_collect_steal (collect);

  g_assert_cmpuint (txn.compares->len, <=, STORE_WIRE_MAX_PARTS);
  g_assert_cmpuint (txn.ops->len, <=, STORE_WIRE_MAX_PARTS);
  for (guint i = 0; i < txn.ops->len; i++)
    {
      const CommyStoreOp *op = &g_array_index (txn.ops, CommyStoreOp, i);

      g_assert_true ((op->kind == COMMY_STORE_PUT) == (op->value != NULL));
    }
  store_wire_txn_clear (&txn);
}

/* FALSE: the door would be ended. */
static gboolean
take (CommydCollect *collect, const uint8_t *data, size_t size)
{
  /* A copy of its own, so that a look behind its end is noticed. */
  g_autofree uint8_t *exact = size > 0 ? g_memdup2 (data, size) : g_malloc (1);
  CommydInner record;

  if (commyd_inner_read (exact, size, &record) != NULL)
    return FALSE;
  assert_same (&record, exact, size);
  if (!commyd_collect_is_part (&record))
    return TRUE;
  if (commyd_collect_take (collect, &record) != NULL)
    return FALSE;
  g_assert_cmpuint (collect->bytes, <=, STORE_WIRE_MAX_REQUEST);
  if (record.head.type == COMMYD_INNER_COMMIT)
    assert_bounds (collect);
  return TRUE;
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  CommydCollect collect = { 0 };
  gboolean goes_on = TRUE;

  while (goes_on && size >= 2)
    {
      const size_t own = MIN ((size_t) data[0] | (size_t) data[1] << 8, size - 2);

      goes_on = take (&collect, data + 2, own);
      data += 2 + own;
      size -= 2 + own;
    }
  commyd_collect_clear (&collect);
  return 0;
}
