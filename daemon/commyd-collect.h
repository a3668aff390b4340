/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A transaction that comes in records, until it is whole. Pure; as many parts and bytes as a frame
 * of a client may have, and memory is taken for what has come, not for what is announced.
 */
#pragma once

#include "daemon/commyd-inner.h"

#include "stores/common/commy-store-wire.h"

typedef struct
{
  guint64 connection; /* 0: there is none */
  guint64 id;
  StoreWireTxn txn;
  GByteArray *value; /* of the last put, while it is not whole */
  gsize value_size;  /* that it will have */
  gsize bytes;       /* of keys and values, those to come included */
} CommydCollect;

/* Drops what there is. */
void commyd_collect_clear (CommydCollect *self);
/* Whether a record is of a transaction, and none by itself. */
gboolean commyd_collect_is_part (const CommydInner *record);
/* BEGIN, the parts, COMMIT. What is wrong with it; NULL: nothing. */
const char *commyd_collect_take (CommydCollect *self, const CommydInner *record);
/* The whole one, after COMMIT. */
StoreWireTxn commyd_collect_steal (CommydCollect *self);
