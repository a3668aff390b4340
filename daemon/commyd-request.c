/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a client can ask, as its door hands it on (commyd-inner.h). Reading goes straight to the
 * store; writing waits for its turn, is decided on, and gets its writer's number before the value.
 * Answers leave as whole frames, which the door passes on.
 */
#include "config.h"

#include "daemon/commyd-session.h"
#include "daemon/commyd-value.h"

#include "base/commy-error-private.h"

#include <string.h>

/* What a request, and each part of a transaction, takes in memory beside its keys and values. */
#define A_REQUEST 512u
#define A_PART 128u

/* What is under way, until the store answers. Its session may be over by then. */
typedef struct
{
  CommydSession *session;
  CommydUser *user;
  guint64 id;
  CommydInnerType type;
  gint64 number; /* REVOKE: lease; GRANT: how long it may outlive its owner: not at all here */
  StoreWireTxn txn;
  gsize bytes; /* of it, which count for the user while it is there */
} Request;

typedef struct
{
  CommydSession *session;
  guint64 id;
  guint store_id; /* 0: over */
} CommydWatch;

static Request *
request_new (CommydSession *session, const CommydInner *record)
{
  Request *self = g_new0 (Request, 1);

  self->session = commyd_session_ref (session);
  self->user = commyd_keeper_user_ref (session->user);
  self->id = record->head.id;
  self->type = (CommydInnerType) record->head.type;
  self->number = record->head.number;
  self->bytes = A_REQUEST;
  if (self->type == COMMYD_INNER_COMMIT)
    {
      CommydCollect *collect = &session->user->collect;

      self->bytes += collect->bytes;
      self->txn = commyd_collect_steal (collect);
      self->bytes += (self->txn.compares->len + self->txn.ops->len) * (gsize) A_PART;
    }
  self->user->waiting += self->bytes;
  session->is_asking = TRUE;
  return self;
}

static void
request_end (Request *self)
{
  self->session->is_asking = FALSE;
  self->user->waiting -= self->bytes;
  commyd_keeper_user_unref (self->user);
  commyd_session_unref (self->session);
  store_wire_txn_clear (&self->txn);
  g_free (self);
}

static void
send_error (CommydSession *session, CommydInnerType type, guint64 id, const GError *error)
{
  commyd_session_send (
      session, type, id,
      store_wire_write_error (STORE_WIRE_ERROR, id, error->code, commy_error_bare (error)));
}

static gboolean send_entries (CommydSession *session,
                              CommydInnerType type,
                              guint64 id,
                              const CommyStoreResult *result);

static void
answer (Request *self, const CommyStoreResult *result, const GError *error)
{
  if (error != NULL)
    send_error (self->session, COMMYD_INNER_ANSWER, self->id, error);
  else
    send_entries (self->session, COMMYD_INNER_ANSWER, self->id, result);
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

/* RESULT or EVENT, cut into frames, with owners taken off the values. FALSE: it was too much, which
 * was said. */
static gboolean
send_entries (CommydSession *session,
              CommydInnerType type,
              guint64 id,
              const CommyStoreResult *result)
{
  const StoreWireType wire = type == COMMYD_INNER_EVENT ? STORE_WIRE_EVENT : STORE_WIRE_RESULT;
  g_autoptr (GArray) entries = NULL;
  g_autoptr (GByteArray) frames = NULL;
  CommyStoreResult clean = *result;
  gsize at = 0;

  if (session->is_closed)
    return FALSE;
  entries = unwrap (session, result->entries, result->n_entries);
  clean.entries = (const CommyStoreEntry *) (gpointer) entries->data;
  clean.n_entries = entries->len;
  if (session->user->link.out_bytes + size_of (entries) > session->server->rights.limits.waiting)
    {
      g_autoptr (GError) error = NULL;

      commy_set_error (&error, COMMY_ERROR_TOO_BIG,
                       "the answer has more bytes than a user may have waiting: ask for a longer "
                       "prefix, or raise waiting of [daemon]");
      send_error (session, type == COMMYD_INNER_EVENT ? COMMYD_INNER_END : type, id, error);
      return FALSE;
    }
  frames = store_wire_write_answer (wire, id, &clean, &at);
  while (at < clean.n_entries)
    {
      g_autoptr (GByteArray) frame = store_wire_write_answer (wire, id, &clean, &at);

      g_byte_array_append (frames, frame->data, frame->len);
    }
  commyd_session_send (session, type, id, g_steal_pointer (&frames));
  return TRUE;
}

/* --- what waits --- */

/* What waits for its turn, or for the store, is in memory, and that of one user has a bound, also
 * where those who asked are gone. FALSE: it was too much, and that is the answer. */
static gboolean
check_waiting (Request *self)
{
  const guint64 most = self->session->server->rights.limits.waiting;
  g_autoptr (GError) error = NULL;

  if (self->user->waiting <= most)
    return TRUE;
  commy_set_error (&error, COMMY_ERROR_BUSY,
                   "%" G_GUINT64_FORMAT " bytes of user %u wait for the store, %" G_GUINT64_FORMAT
                   " may (waiting of [daemon])",
                   self->user->waiting, self->user->uid, most);
  answer (self, NULL, error);
  request_end (self);
  return FALSE;
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

static char *
dup_key (const CommydInner *record)
{
  return g_strndup (record->key, record->head.key_size);
}

static void
take_range (CommydSession *session, const CommydInner *record)
{
  g_autofree char *prefix = dup_key (record);
  Request *request = request_new (session, record);

  if (check_waiting (request))
    session->server->ops->range (session->server->store, prefix, on_read, request);
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
  if (self->type == COMMYD_INNER_COMMIT)
    return check_txn (self, error);
  if (self->type == COMMYD_INNER_REVOKE)
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

  if (self->session->is_closed || !check_write (self, &error))
    {
      if (error != NULL)
        answer (self, NULL, error);
      end_turn (self);
      return;
    }
  if (self->type == COMMYD_INNER_GRANT)
    run_grant (self);
  else if (self->type == COMMYD_INNER_REVOKE)
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

static const char *
take_write (CommydSession *session, const CommydInner *record)
{
  const char *why = NULL;
  Request *request;

  if (commyd_collect_is_part (record))
    {
      why = commyd_collect_take (&session->user->collect, record);
      if (why != NULL || record->head.type != COMMYD_INNER_COMMIT)
        return why;
    }
  request = request_new (session, record);
  if (check_waiting (request))
    commyd_server_write (session->server, run_write, request);
  return NULL;
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
  send_error (session, COMMYD_INNER_END, id, error);
}

static void
cut_watch (CommydWatch *self, guint64 waiting)
{
  g_autoptr (GError) error = NULL;

  self->session->server->n_cut++;
  commy_set_error (&error, COMMY_ERROR_STORE,
                   "this watch is too slow: %" G_GUINT64_FORMAT
                   " bytes wait to be read; read the range again",
                   waiting);
  end_watch (self, error);
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

  if (error != NULL)
    {
      self->store_id = 0;
      end_watch (self, error);
      return;
    }
  commyd_server_note (self->session->server, revision);
  if (commyd_keeper_is_slow (self->session->user))
    cut_watch (self, self->session->user->link.out_bytes);
  else if (!send_entries (self->session, COMMYD_INNER_EVENT, self->id, &event))
    g_hash_table_remove (self->session->watches, &self->id);
}

/* Its client does not read: its door has let what came since then go. */
static void
take_cut (CommydSession *session, const CommydInner *record)
{
  CommydWatch *watch = g_hash_table_lookup (session->watches, &record->head.id);

  if (watch != NULL)
    cut_watch (watch, (guint64) record->head.number);
}

static void
take_watch (CommydSession *session, const CommydInner *record)
{
  g_autofree char *prefix = dup_key (record);
  g_autoptr (GError) many = NULL;
  CommydWatch *watch;

  if (g_hash_table_contains (session->watches, &record->head.id))
    {
      commyd_session_close (session); /* its door should have noticed */
      return;
    }
  if (!check_share (session, session->user->n_watches, session->server->rights.limits.watches,
                    "watches", &many))
    {
      send_error (session, COMMYD_INNER_END, record->head.id, many);
      return;
    }
  watch = g_new0 (CommydWatch, 1);
  watch->session = session;
  watch->id = record->head.id;
  g_hash_table_insert (session->watches, &watch->id, watch);
  session->user->n_watches++;
  watch->store_id = session->server->ops->watch (session->server->store, prefix,
                                                 record->head.number, on_event, watch);
}

/* --- the rest --- */

static void
take_status (CommydSession *session, const CommydInner *record)
{
  g_autofree char *report = commyd_server_report (session->server);

  commyd_session_send (session, COMMYD_INNER_ANSWER, record->head.id,
                       store_wire_write_report (record->head.id, report));
}

/* What is about a watch may come at any time; the rest, one after the other. */
static gboolean
may_come (const CommydSession *session, const CommydInner *record)
{
  switch (record->head.type)
    {
    case COMMYD_INNER_WATCH:
    case COMMYD_INNER_UNWATCH:
    case COMMYD_INNER_CUT:
      return TRUE;
    default:
      return !session->is_asking;
    }
}

const char *
commyd_request_take (CommydSession *session, const CommydInner *record)
{
  if (!may_come (session, record))
    return "it asks for something before what it asked for is answered";
  switch (record->head.type)
    {
    case COMMYD_INNER_RANGE:
      take_range (session, record);
      return NULL;
    case COMMYD_INNER_WATCH:
      take_watch (session, record);
      return NULL;
    case COMMYD_INNER_UNWATCH:
      g_hash_table_remove (session->watches, &record->head.id);
      return NULL;
    case COMMYD_INNER_CUT:
      take_cut (session, record);
      return NULL;
    case COMMYD_INNER_STATUS:
      take_status (session, record);
      return NULL;
    default:
      return take_write (session, record);
    }
}
