/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a client says to its door: see stores/common/commy-store-wire.h. The greeting is answered
 * here; everything else is checked for its form and handed on to the keeper, who decides.
 */
#include "config.h"

#include "daemon/commyd-caller.h"

#include "base/commy-env.h"
#include "base/commy-error-private.h"

#include <string.h>

static CommydInnerHead
head_of (const CommydCaller *self, CommydInnerType type, guint64 id)
{
  return (CommydInnerHead){ .type = type, .connection = self->connection, .id = id };
}

static gboolean
handle_hello (CommydCaller *self,
              const StoreWireHeader *header,
              const guint8 *payload,
              GError **error)
{
  g_auto (StoreWireHello) hello = { 0 };
  StoreWireWelcome welcome = { .version = STORE_WIRE_VERSION,
                               .program = (char *) PACKAGE_VERSION,
                               .host = (char *) commy_env_host_id (),
                               .since = self->door->since };

  if (!store_wire_read_hello (payload, header->size, &hello, error))
    return FALSE;
  if (hello.version != STORE_WIRE_VERSION)
    {
      commy_set_error (error, COMMY_ERROR_VERSION,
                       "commyd %s speaks version %u of its protocol, not %u: install the same "
                       "version of both",
                       PACKAGE_VERSION, STORE_WIRE_VERSION, hello.version);
      return FALSE;
    }
  if (hello.mesh[0] != '\0' && strcmp (hello.mesh, self->door->mesh) != 0)
    {
      commy_set_error (error, COMMY_ERROR_REFUSED,
                       "this commyd is of the mesh \"%s\", not of \"%s\"", self->door->mesh,
                       hello.mesh);
      return FALSE;
    }
  self->is_greeted = TRUE;
  self->stream.max_payload = STORE_WIRE_MAX_REQUEST;
  commyd_caller_send (self, store_wire_write_welcome (&welcome));
  return TRUE;
}

static gboolean
handle_range (CommydCaller *self,
              const StoreWireHeader *header,
              const guint8 *payload,
              GError **error)
{
  const CommydInnerHead head = head_of (self, COMMYD_INNER_RANGE, header->id);
  g_autofree char *prefix = NULL;
  gint64 unused;

  if (!store_wire_read_prefix (STORE_WIRE_RANGE, payload, header->size, &prefix, &unused, error))
    return FALSE;
  self->is_asking = TRUE;
  commyd_door_send (self->door, &head, prefix);
  return TRUE;
}

static gboolean
handle_watch (CommydCaller *self,
              const StoreWireHeader *header,
              const guint8 *payload,
              GError **error)
{
  CommydInnerHead head = head_of (self, COMMYD_INNER_WATCH, header->id);
  g_autofree char *prefix = NULL;

  if (!store_wire_read_prefix (STORE_WIRE_WATCH, payload, header->size, &prefix, &head.number,
                               error))
    return FALSE;
  if (g_hash_table_contains (self->watches, &header->id))
    {
      commy_set_error (error, COMMY_ERROR_PROTOCOL, "a watch is asked for twice");
      return FALSE;
    }
  g_hash_table_insert (self->watches, g_memdup2 (&header->id, sizeof header->id),
                       GINT_TO_POINTER (FALSE));
  commyd_door_send (self->door, &head, prefix);
  return TRUE;
}

static gboolean
handle_unwatch (CommydCaller *self, const StoreWireHeader *header, GError **error)
{
  const CommydInnerHead head = head_of (self, COMMYD_INNER_UNWATCH, header->id);

  if (!store_wire_read_empty (header->size, error))
    return FALSE;
  /* The end of one that is being cut is on its way. */
  if (g_hash_table_lookup (self->watches, &header->id) == NULL)
    g_hash_table_remove (self->watches, &header->id);
  commyd_door_send (self->door, &head, NULL);
  return TRUE;
}

static gboolean
handle_status (CommydCaller *self, const StoreWireHeader *header, GError **error)
{
  const CommydInnerHead head = head_of (self, COMMYD_INNER_STATUS, header->id);

  if (!store_wire_read_empty (header->size, error))
    return FALSE;
  self->is_asking = TRUE;
  commyd_door_send (self->door, &head, NULL);
  return TRUE;
}

static gboolean
handle_number (CommydCaller *self,
               CommydInnerType type,
               const StoreWireHeader *header,
               const guint8 *payload,
               GError **error)
{
  CommydInnerHead head = head_of (self, type, header->id);

  if (!store_wire_read_number (payload, header->size, &head.number, error))
    return FALSE;
  self->is_asking = TRUE;
  commyd_door_send (self->door, &head, NULL);
  return TRUE;
}

static void
send_op (CommydCaller *self, guint64 id, const CommyStoreOp *op)
{
  static const CommydInnerType types[] = {
    [COMMY_STORE_PUT] = COMMYD_INNER_PUT,
    [COMMY_STORE_DELETE] = COMMYD_INNER_DELETE,
    [COMMY_STORE_DELETE_PREFIX] = COMMYD_INNER_DELETE_PREFIX,
  };
  CommydInnerHead head = head_of (self, types[op->kind], id);

  head.number = op->lease;
  head.other = op->value != NULL ? (gint64) g_bytes_get_size (op->value) : 0;
  commyd_door_send (self->door, &head, op->key);
  head = head_of (self, COMMYD_INNER_PIECE, id);
  if (op->value != NULL)
    commyd_door_send_value (self->door, &head, op->value);
}

static gboolean
handle_txn (CommydCaller *self,
            const StoreWireHeader *header,
            const guint8 *payload,
            GError **error)
{
  g_auto (StoreWireTxn) txn = { NULL, NULL };
  CommydInnerHead head = head_of (self, COMMYD_INNER_BEGIN, header->id);

  if (!store_wire_read_txn (payload, header->size, &txn, error))
    return FALSE;
  self->is_asking = TRUE;
  commyd_door_send (self->door, &head, NULL);
  head.type = COMMYD_INNER_COMPARE;
  for (guint i = 0; i < txn.compares->len; i++)
    {
      const CommyStoreCompare *compare = &g_array_index (txn.compares, CommyStoreCompare, i);

      head.number = compare->mod_revision;
      commyd_door_send (self->door, &head, compare->key);
    }
  for (guint i = 0; i < txn.ops->len; i++)
    send_op (self, header->id, &g_array_index (txn.ops, CommyStoreOp, i));
  head = head_of (self, COMMYD_INNER_COMMIT, header->id);
  commyd_door_send (self->door, &head, NULL);
  return TRUE;
}

gboolean
commyd_caller_handle (CommydCaller *self,
                      const StoreWireHeader *header,
                      const guint8 *payload,
                      GError **error)
{
  if (header->flags == 0 && self->is_greeted != (header->type == STORE_WIRE_HELLO))
    switch (header->type)
      {
      case STORE_WIRE_HELLO:
        return handle_hello (self, header, payload, error);
      case STORE_WIRE_RANGE:
        return handle_range (self, header, payload, error);
      case STORE_WIRE_TXN:
        return handle_txn (self, header, payload, error);
      case STORE_WIRE_GRANT:
        return handle_number (self, COMMYD_INNER_GRANT, header, payload, error);
      case STORE_WIRE_REVOKE:
        return handle_number (self, COMMYD_INNER_REVOKE, header, payload, error);
      case STORE_WIRE_WATCH:
        return handle_watch (self, header, payload, error);
      case STORE_WIRE_UNWATCH:
        return handle_unwatch (self, header, error);
      case STORE_WIRE_STATUS:
        return handle_status (self, header, error);
      default:
        break;
      }
  commy_set_error (error, COMMY_ERROR_PROTOCOL, "a frame of type %u cannot come here",
                   header->type);
  return FALSE;
}
