/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a client can ask: see stores/common/commy-store-wire.h. Reading goes straight to the store;
 * writing waits for its turn, is decided on, and gets its writer's number before the value.
 */
#include "config.h"

#include "daemon/commyd-session.h"
#include "daemon/commyd-value.h"

#include "base/commy-env.h"
#include "base/commy-error-private.h"

#include <string.h>

/* What is under way, until the store answers. */
typedef struct
{
  CommydSession *session;
  guint64 id;
  StoreWireType type;
  gint64 number; /* REVOKE: lease; GRANT: how long it may outlive its owner: not at all here */
  StoreWireTxn txn;
} Request;

typedef struct
{
  CommydSession *session;
  guint64 id;
  guint store_id; /* 0: over */
} CommydWatch;

static Request *
request_new (CommydSession *session, const StoreWireHeader *header)
{
  Request *self = g_new0 (Request, 1);

  self->session = commyd_session_ref (session);
  self->id = header->id;
  self->type = (StoreWireType) header->type;
  session->n_requests++;
  return self;
}

static void
request_end (Request *self)
{
  self->session->n_requests--;
  commyd_session_go_on (self->session);
  commyd_session_unref (self->session);
  store_wire_txn_clear (&self->txn);
  g_free (self);
}

static void
answer (Request *self, const CommyStoreResult *result, const GError *error)
{
  if (error != NULL)
    commyd_session_send_error (self->session, self->id, error);
  else
    commyd_session_send_answer (self->session, STORE_WIRE_RESULT, self->id, result);
}

/* --- answers with entries --- */

static void
release_value (gpointer data)
{
  g_clear_pointer (&((CommyStoreEntry *) data)->value, g_bytes_unref);
}

/* Entries as clients see them; their values are the array's. A lease whose owner went with an
 * earlier daemon is none any more, which tells those who live that theirs is to be renewed. */
static GArray *
unwrap (CommydSession *session, const CommyStoreEntry *entries, gsize n_entries)
{
  CommydServer *server = session->server;
  GArray *clean = g_array_sized_new (FALSE, FALSE, sizeof (CommyStoreEntry), (guint) n_entries);

  g_array_set_clear_func (clean, release_value);
  for (gsize i = 0; i < n_entries; i++)
    {
      CommyStoreEntry entry = entries[i];
      CommydStamp stamp = { 0 };

      if (!commyd_rights_may_read (&server->rights, session->uid, entry.key))
        continue;
      if (entry.value != NULL)
        entry.value = commyd_value_unwrap (entry.value, &stamp);
      /* What cannot be read denies: that is for its readers to say. */
      if (entry.value == NULL && entries[i].value != NULL && commyd_rights_is_denial (entry.key))
        entry.value = g_bytes_ref (entries[i].value);
      if (entry.value == NULL && entries[i].value != NULL)
        {
          g_warning ("%s in the store was not written by commyd, and is not shown", entry.key);
          continue;
        }
      entry.lease = g_hash_table_contains (server->leases, &stamp.lease) ? stamp.lease : 0;
      g_array_append_val (clean, entry);
    }
  return clean;
}

static gsize
size_of (const GArray *entries)
{
  gsize size = 0;

  for (guint i = 0; i < entries->len; i++)
    {
      const CommyStoreEntry *entry = &g_array_index (entries, CommyStoreEntry, i);

      size += strlen (entry->key) + (entry->value != NULL ? g_bytes_get_size (entry->value) : 0);
    }
  return size;
}

gboolean
commyd_session_send_answer (CommydSession *self,
                            guint type,
                            guint64 id,
                            const CommyStoreResult *result)
{
  g_autoptr (GArray) entries = NULL;
  CommyStoreResult clean = *result;
  gsize at = 0;

  if (self->is_closed)
    return FALSE;
  entries = unwrap (self, result->entries, result->n_entries);
  clean.entries = (const CommyStoreEntry *) (gpointer) entries->data;
  clean.n_entries = entries->len;
  if (self->user->waiting + size_of (entries) > self->server->rights.limits.waiting)
    {
      g_autoptr (GError) error = NULL;

      commy_set_error (&error, COMMY_ERROR_TOO_BIG,
                       "the answer has more bytes than a user may have waiting: ask for a longer "
                       "prefix, or raise waiting of [daemon]");
      commyd_session_send_error (self, id, error);
      return FALSE;
    }
  do
    commyd_session_send (self, store_wire_write_answer ((StoreWireType) type, id, &clean, &at));
  while (at < clean.n_entries && !self->is_closed);
  return TRUE;
}

/* --- reading --- */

static void
on_read (gpointer data, const CommyStoreResult *result, const GError *error)
{
  Request *self = data;

  if (error == NULL && !self->session->is_closed)
    commyd_server_note (self->session->server, result->revision);
  answer (self, result, error);
  request_end (self);
}

static gboolean
handle_range (CommydSession *session,
              const StoreWireHeader *header,
              const guint8 *payload,
              GError **error)
{
  g_autofree char *prefix = NULL;
  gint64 unused;

  if (!store_wire_read_prefix (STORE_WIRE_RANGE, payload, header->size, &prefix, &unused, error))
    return FALSE;
  session->server->ops->range (session->server->store, prefix, on_read,
                               request_new (session, header));
  return TRUE;
}

/* --- writing --- */

/* The transaction as the store gets it: leases are ours, the store below knows none of them. */
static GArray *
wrap (Request *self)
{
  GArray *ops = g_array_sized_new (FALSE, FALSE, sizeof (CommyStoreOp), self->txn.ops->len);

  for (guint i = 0; i < self->txn.ops->len; i++)
    {
      CommyStoreOp op = g_array_index (self->txn.ops, CommyStoreOp, i);
      const CommydStamp stamp
          = { .uid = self->session->uid, .lease = op.lease, .boot = self->session->server->boot };

      op.lease = 0;
      if (op.kind == COMMY_STORE_PUT)
        op.value = commyd_value_wrap (op.value, &stamp);
      g_array_append_val (ops, op);
    }
  return ops;
}

static void
unref_values (GArray *ops)
{
  for (guint i = 0; i < ops->len; i++)
    g_clear_pointer (&g_array_index (ops, CommyStoreOp, i).value, g_bytes_unref);
  g_array_unref (ops);
}

static void
note_txn (Request *self)
{
  CommydLedger *ledger = self->session->server->ledger;

  for (guint i = 0; i < self->txn.ops->len; i++)
    {
      const CommyStoreOp *op = &g_array_index (self->txn.ops, CommyStoreOp, i);

      if (op->kind == COMMY_STORE_PUT)
        commyd_ledger_put (ledger, op->key, self->session->uid,
                           op->value != NULL ? g_bytes_get_size (op->value) : 0, op->lease);
      else if (op->kind == COMMY_STORE_DELETE)
        commyd_ledger_remove (ledger, op->key);
      else
        commyd_ledger_remove_prefix (ledger, op->key);
    }
}

/* The turn goes on before this ends: the last reference to the session may go here. */
static void
end_turn (Request *self)
{
  CommydServer *server = self->session->server;

  request_end (self);
  commyd_server_end_write (server);
}

static void
on_txn (gpointer data, const CommyStoreResult *result, const GError *error)
{
  Request *self = data;

  if (error == NULL)
    commyd_server_note (self->session->server, result->revision);
  if (error == NULL && result->succeeded)
    note_txn (self);
  answer (self, result, error);
  end_turn (self);
}

static void
run_grant (Request *self)
{
  CommydServer *server = self->session->server;
  const CommyStoreResult result = { .struct_size = sizeof result,
                                    .succeeded = TRUE,
                                    .revision = server->revision,
                                    .lease = commyd_server_grant (server) };

  g_hash_table_add (self->session->leases, g_memdup2 (&result.lease, sizeof result.lease));
  self->session->user->n_leases++;
  answer (self, &result, NULL);
  end_turn (self);
}

static void
on_revoked (gpointer data, const GError *error)
{
  Request *self = data;
  const CommyStoreResult result = { .struct_size = sizeof result,
                                    .succeeded = TRUE,
                                    .revision = self->session->server->revision,
                                    .lease = self->number };

  if (error != NULL)
    commyd_server_doom (self->session->server, self->number); /* it is nobody's any more */
  answer (self, &result, error);
  end_turn (self);
}

static void
run_revoke (Request *self)
{
  g_hash_table_remove (self->session->leases, &self->number);
  self->session->user->n_leases--;
  commyd_server_end_lease (self->session->server, self->number, on_revoked, self);
}

/* A lease is its connection's: nobody else puts keys under it or ends it. */
static gboolean
check_lease (Request *self, gint64 lease, GError **error)
{
  if (g_hash_table_contains (self->session->leases, &lease))
    return TRUE;
  commy_set_error (error, COMMY_ERROR_STORE,
                   "there is no lease %" G_GINT64_FORMAT " of this process", lease);
  return FALSE;
}

static guint
count_denials (const Request *self)
{
  guint n = 0;

  for (guint i = 0; i < self->txn.ops->len; i++)
    n += commyd_rights_touches_denials (&g_array_index (self->txn.ops, CommyStoreOp, i));
  return n;
}

/* Whom somebody shuts out, or lets in again, all want to know later. The last one waits for all. */
static gboolean
audit_denials (Request *self, GError **error)
{
  CommydServer *server = self->session->server;
  guint n = count_denials (self);

  for (guint i = 0; n > 0; i++)
    {
      const CommyStoreOp *op = &g_array_index (self->txn.ops, CommyStoreOp, i);

      if (commyd_rights_touches_denials (op)
          && !commyd_audit_denial (server->audit, &server->rights, self->session->uid, op, --n == 0,
                                   error))
        return FALSE;
    }
  return TRUE;
}

/* @error: not NULL. */
static gboolean
check_txn (Request *self, GError **error)
{
  const CommyStoreOp *ops = (const CommyStoreOp *) (gpointer) self->txn.ops->data;
  CommydServer *server = self->session->server;
  const CommyStoreOp *denied = NULL;

  for (guint i = 0; i < self->txn.ops->len; i++)
    if (ops[i].lease != 0 && !check_lease (self, ops[i].lease, error))
      return FALSE;
  if (commyd_rights_check (&server->rights, self->session->uid, ops, self->txn.ops->len, &denied,
                           error))
    return audit_denials (self, error);
  if (denied != NULL)
    commyd_audit_denied (server->audit, &server->rights, self->session->uid, denied, *error);
  return FALSE;
}

/* What one user may have of a thing at a time, whatever the number of its processes. */
static gboolean
check_share (CommydSession *session, guint n, guint most, const char *what, GError **error)
{
  if (n < most)
    return TRUE;
  session->server->n_limited++;
  commy_set_error (error, COMMY_ERROR_BUSY,
                   "user %u has %u %s at commyd, as many as it may: end what needs them no more, "
                   "or raise %s of [daemon]",
                   session->uid, n, what, what);
  return FALSE;
}

static gboolean
check_write (Request *self, GError **error)
{
  if (self->type == STORE_WIRE_TXN)
    return check_txn (self, error);
  if (self->type == STORE_WIRE_REVOKE)
    return check_lease (self, self->number, error);
  return check_share (self->session, self->session->user->n_leases,
                      self->session->server->rights.limits.leases, "leases", error);
}

/* Its turn has come. */
static void
run_write (gpointer data)
{
  Request *self = data;
  CommydServer *server = self->session->server;
  g_autoptr (GError) error = NULL;

  self->session->is_waiting = FALSE;
  if (self->session->is_closed || !check_write (self, &error))
    {
      if (error != NULL)
        answer (self, NULL, error);
      end_turn (self);
      return;
    }
  if (self->type == STORE_WIRE_GRANT)
    run_grant (self);
  else if (self->type == STORE_WIRE_REVOKE)
    run_revoke (self);
  else
    {
      GArray *ops = wrap (self);

      server->ops->txn (server->store,
                        (const CommyStoreCompare *) (gpointer) self->txn.compares->data,
                        self->txn.compares->len, (const CommyStoreOp *) (gpointer) ops->data,
                        ops->len, on_txn, self);
      unref_values (ops);
    }
}

static gboolean
handle_write (CommydSession *session,
              const StoreWireHeader *header,
              const guint8 *payload,
              GError **error)
{
  g_auto (StoreWireTxn) txn = { NULL, NULL };
  gint64 number = 0;
  Request *request;

  if (header->type == STORE_WIRE_TXN
          ? !store_wire_read_txn (payload, header->size, &txn, error)
          : !store_wire_read_number (payload, header->size, &number, error))
    return FALSE;
  request = request_new (session, header);
  request->number = number;
  request->txn = txn;
  txn = (StoreWireTxn){ NULL, NULL };
  session->is_waiting = commyd_server_is_writing (session->server);
  commyd_server_write (session->server, run_write, request);
  return TRUE;
}

/* --- watching --- */

void
commyd_watch_free (gpointer data)
{
  CommydWatch *self = data;

  if (self->store_id != 0)
    self->session->server->ops->unwatch (self->session->server->store, self->store_id);
  self->session->user->n_watches--;
  g_free (self);
}

static void
end_watch (CommydWatch *self, const GError *error)
{
  CommydSession *session = self->session;
  guint64 id = self->id;

  g_hash_table_remove (session->watches, &id);
  commyd_session_send_error (session, id, error);
}

static void
on_event (gpointer data,
          const CommyStoreEntry *entries,
          gsize n_entries,
          gint64 revision,
          const GError *error)
{
  CommydWatch *self = data;
  const CommyStoreResult event = { .struct_size = sizeof event,
                                   .succeeded = TRUE,
                                   .revision = revision,
                                   .entries = entries,
                                   .n_entries = n_entries };
  g_autoptr (GError) slow = NULL;

  if (error != NULL)
    {
      self->store_id = 0;
      end_watch (self, error);
      return;
    }
  commyd_server_note (self->session->server, revision);
  if (commyd_session_is_slow (self->session))
    {
      self->session->server->n_cut++;
      commy_set_error (&slow, COMMY_ERROR_STORE,
                       "this watch is too slow: %" G_GSIZE_FORMAT
                       " bytes wait to be read; read the range again",
                       self->session->stream.out_bytes);
      end_watch (self, slow);
      return;
    }
  if (!commyd_session_send_answer (self->session, STORE_WIRE_EVENT, self->id, &event))
    g_hash_table_remove (self->session->watches, &self->id);
}

static gboolean
handle_watch (CommydSession *session,
              const StoreWireHeader *header,
              const guint8 *payload,
              GError **error)
{
  g_autofree char *prefix = NULL;
  g_autoptr (GError) many = NULL;
  CommydWatch *watch;
  gint64 after;

  if (!store_wire_read_prefix (STORE_WIRE_WATCH, payload, header->size, &prefix, &after, error))
    return FALSE;
  if (g_hash_table_contains (session->watches, &header->id))
    {
      commy_set_error (error, COMMY_ERROR_PROTOCOL, "a watch is asked for twice");
      return FALSE;
    }
  if (!check_share (session, session->user->n_watches, session->server->rights.limits.watches,
                    "watches", &many))
    {
      commyd_session_send_error (session, header->id, many);
      return TRUE;
    }
  watch = g_new0 (CommydWatch, 1);
  watch->session = session;
  watch->id = header->id;
  g_hash_table_insert (session->watches, &watch->id, watch);
  session->user->n_watches++;
  watch->store_id
      = session->server->ops->watch (session->server->store, prefix, after, on_event, watch);
  return TRUE;
}

/* --- the rest --- */

static gboolean
handle_hello (CommydSession *session,
              const StoreWireHeader *header,
              const guint8 *payload,
              GError **error)
{
  g_auto (StoreWireHello) hello = { 0 };
  StoreWireWelcome welcome = { .version = STORE_WIRE_VERSION,
                               .program = (char *) PACKAGE_VERSION,
                               .host = (char *) commy_env_host_id (),
                               .since = session->server->since };

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
  if (hello.mesh[0] != '\0' && strcmp (hello.mesh, session->server->mesh) != 0)
    {
      commy_set_error (error, COMMY_ERROR_REFUSED,
                       "this commyd is of the mesh \"%s\", not of \"%s\"", session->server->mesh,
                       hello.mesh);
      return FALSE;
    }
  session->is_greeted = TRUE;
  session->stream.max_payload = STORE_WIRE_MAX_REQUEST;
  commyd_session_send (session, store_wire_write_welcome (&welcome));
  return TRUE;
}

static gboolean
handle_empty (CommydSession *session, const StoreWireHeader *header, GError **error)
{
  g_autofree char *report = NULL;

  if (!store_wire_read_empty (header->size, error))
    return FALSE;
  if (header->type == STORE_WIRE_UNWATCH)
    {
      g_hash_table_remove (session->watches, &header->id);
      return TRUE;
    }
  report = commyd_server_report (session->server);
  commyd_session_send (session, store_wire_write_report (header->id, report));
  return TRUE;
}

gboolean
commyd_request_handle (CommydSession *session,
                       const StoreWireHeader *header,
                       const guint8 *payload,
                       GError **error)
{
  if (header->flags == 0 && session->is_greeted != (header->type == STORE_WIRE_HELLO))
    switch (header->type)
      {
      case STORE_WIRE_HELLO:
        return handle_hello (session, header, payload, error);
      case STORE_WIRE_RANGE:
        return handle_range (session, header, payload, error);
      case STORE_WIRE_TXN:
      case STORE_WIRE_GRANT:
      case STORE_WIRE_REVOKE:
        return handle_write (session, header, payload, error);
      case STORE_WIRE_WATCH:
        return handle_watch (session, header, payload, error);
      case STORE_WIRE_UNWATCH:
      case STORE_WIRE_STATUS:
        return handle_empty (session, header, error);
      default:
        break;
      }
  commy_set_error (error, COMMY_ERROR_PROTOCOL, "a frame of type %u cannot come here",
                   header->type);
  return FALSE;
}
