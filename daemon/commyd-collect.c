/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Collecting a transaction: see the header.
 */
#include "config.h"

#include "daemon/commyd-collect.h"

void
commyd_collect_clear (CommydCollect *self)
{
  store_wire_txn_clear (&self->txn);
  g_clear_pointer (&self->value, g_byte_array_unref);
  *self = (CommydCollect){ 0 };
}

StoreWireTxn
commyd_collect_steal (CommydCollect *self)
{
  const StoreWireTxn txn = self->txn;

  self->txn = (StoreWireTxn){ NULL, NULL };
  commyd_collect_clear (self);
  return txn;
}

gboolean
commyd_collect_is_part (const CommydInner *record)
{
  return record->head.type >= COMMYD_INNER_BEGIN && record->head.type <= COMMYD_INNER_COMMIT;
}

/* FALSE: it is more than a client can have said. */
static gboolean
count (CommydCollect *self, gsize bytes)
{
  if (bytes > STORE_WIRE_MAX_REQUEST - self->bytes)
    return FALSE;
  self->bytes += bytes;
  return TRUE;
}

static void
end_value (CommydCollect *self)
{
  CommyStoreOp *op = &g_array_index (self->txn.ops, CommyStoreOp, self->txn.ops->len - 1);

  op->value = g_byte_array_free_to_bytes (g_steal_pointer (&self->value));
}

static const char *
add_compare (CommydCollect *self, const CommydInner *record)
{
  CommyStoreCompare compare = { .mod_revision = record->head.number };

  if (self->txn.compares->len == STORE_WIRE_MAX_PARTS || self->txn.ops->len > 0
      || !count (self, record->head.key_size))
    return "a transaction has a condition too many";
  compare.key = g_strndup (record->key, record->head.key_size);
  g_array_append_val (self->txn.compares, compare);
  return NULL;
}

static const char *
add_op (CommydCollect *self, const CommydInner *record)
{
  static const CommyStoreOpKind kinds[] = {
    [COMMYD_INNER_PUT] = COMMY_STORE_PUT,
    [COMMYD_INNER_DELETE] = COMMY_STORE_DELETE,
    [COMMYD_INNER_DELETE_PREFIX] = COMMY_STORE_DELETE_PREFIX,
  };
  CommyStoreOp op = { .kind = kinds[record->head.type], .lease = record->head.number };

  if (record->head.other < 0 || record->head.other > STORE_WIRE_MAX_REQUEST
      || self->txn.ops->len == STORE_WIRE_MAX_PARTS
      || !count (self, record->head.key_size + (gsize) record->head.other))
    return "a transaction has more in it than it may";
  op.key = g_strndup (record->key, record->head.key_size);
  g_array_append_val (self->txn.ops, op);
  if (op.kind != COMMY_STORE_PUT)
    return NULL;
  self->value = g_byte_array_new ();
  self->value_size = (gsize) record->head.other;
  if (self->value_size == 0)
    end_value (self);
  return NULL;
}

static const char *
add_piece (CommydCollect *self, const CommydInner *record)
{
  if (self->value == NULL || record->head.piece_size > self->value_size - self->value->len)
    return "a piece of a value belongs to none";
  g_byte_array_append (self->value, record->piece, record->head.piece_size);
  if (self->value->len == self->value_size)
    end_value (self);
  return NULL;
}

const char *
commyd_collect_take (CommydCollect *self, const CommydInner *record)
{
  const CommydInnerHead *head = &record->head;

  if (head->type == COMMYD_INNER_BEGIN && self->connection == 0)
    {
      store_wire_txn_init (&self->txn);
      self->connection = head->connection;
      self->id = head->id;
      return NULL;
    }
  if (self->connection != head->connection || self->id != head->id
      || (self->value != NULL) != (head->type == COMMYD_INNER_PIECE))
    return "a part of a transaction comes where none can";
  switch (head->type)
    {
    case COMMYD_INNER_COMPARE:
      return add_compare (self, record);
    case COMMYD_INNER_PUT:
    case COMMYD_INNER_DELETE:
    case COMMYD_INNER_DELETE_PREFIX:
      return add_op (self, record);
    case COMMYD_INNER_PIECE:
      return add_piece (self, record);
    case COMMYD_INNER_COMMIT:
      return NULL;
    default:
      return "a transaction begins in another one";
    }
}
