/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Keys, values and operations of transactions against the contract: see the header.
 */
#include "config.h"

#include "stores/common/commy-store-check.h"

#include <commy/commy-error.h>
#include <string.h>

#define STORE_ERROR (g_quark_from_static_string ("commy-error-quark"))

static gboolean
check_key (const char *key, gsize minimum, GError **error)
{
  gsize length = key != NULL ? strnlen (key, COMMY_STORE_MAX_KEY + 1) : 0;

  if (key != NULL && length >= minimum && length <= COMMY_STORE_MAX_KEY)
    return TRUE;
  g_set_error (error, STORE_ERROR, COMMY_ERROR_INVALID_ARGUMENT,
               "a key of the store has %" G_GSIZE_FORMAT " to %d bytes", minimum,
               COMMY_STORE_MAX_KEY);
  return FALSE;
}

static gboolean
check_value (const CommyStoreOp *op, gsize max_value, GError **error)
{
  if (op->value == NULL)
    {
      g_set_error (error, STORE_ERROR, COMMY_ERROR_INVALID_ARGUMENT, "the put of %s has no value",
                   op->key);
      return FALSE;
    }
  if (g_bytes_get_size (op->value) <= max_value)
    return TRUE;
  g_set_error (error, STORE_ERROR, COMMY_ERROR_TOO_BIG,
               "the value of %s has %" G_GSIZE_FORMAT " bytes, max-value allows %" G_GSIZE_FORMAT,
               op->key, g_bytes_get_size (op->value), max_value);
  return FALSE;
}

static gboolean
check_op (const CommyStoreOp *op, gsize max_value, GError **error)
{
  switch (op->kind)
    {
    case COMMY_STORE_PUT:
      return check_key (op->key, 1, error) && check_value (op, max_value, error);
    case COMMY_STORE_DELETE:
      return check_key (op->key, 1, error);
    case COMMY_STORE_DELETE_PREFIX:
      return check_key (op->key, 0, error);
    default:
      g_set_error (error, STORE_ERROR, COMMY_ERROR_INVALID_ARGUMENT,
                   "operation %d is none of the store's", (int) op->kind);
      return FALSE;
    }
}

gboolean
commy_store_check_txn (const CommyStoreCompare *compares,
                       gsize n_compares,
                       const CommyStoreOp *ops,
                       gsize n_ops,
                       gsize max_value,
                       GError **error)
{
  for (gsize i = 0; i < n_compares; i++)
    if (!check_key (compares[i].key, 1, error))
      return FALSE;
  for (gsize i = 0; i < n_ops; i++)
    if (!check_op (&ops[i], max_value, error))
      return FALSE;
  return TRUE;
}
