/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the contract of stores says of keys and transactions, checked in one place before a store
 * asks anybody.
 */
#pragma once

#include <commy/commy-store.h>

#define COMMY_STORE_MAX_KEY 1024

/* Whether a store may be asked that. @max_value: bytes of the largest value. */
gboolean commy_store_check_txn (const CommyStoreCompare *compares,
                                gsize n_compares,
                                const CommyStoreOp *ops,
                                gsize n_ops,
                                gsize max_value,
                                GError **error);
