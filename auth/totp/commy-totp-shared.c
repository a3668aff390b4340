/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A record each, below "sessions/", without a lease: a session outlives the instance that gave it.
 * What has expired whoever gives the next one takes away, some time later, so that clocks need not
 * agree to the second; what is taken away before was revoked. The store is believed in nothing but
 * that: a record is sealed, and one that was revoked and comes back stays revoked.
 */
#include "config.h"

#include "auth/totp/commy-totp-shared.h"

#include <commy/commy-store.h>
#include <string.h>

#define SECOND_NS G_GINT64_CONSTANT (1000000000)
#define RETRY_NS SECOND_NS
#define EARLY_NS (SECOND_NS / 20) /* the store starts after auth providers */
#define LATE_S 60                 /* what expired is taken away so much later */
#define SWEPT_MAX 32u             /* by one who is given a session */

typedef struct
{
  CommySessionRecord *record;
  gint64 revision;
} Row;

struct _TotpShared
{
  grefcount refs;  /* its owner's, and one for each question to the store */
  CommyHost *host; /* NULL: it is over */
  CommySessionRules rules;
  guint8 seal[COMMY_SESSION_SEAL_SIZE];
  GHashTable *rows;    /* id -> Row */
  GHashTable *revoked; /* id -> gint64: when it would have ended, seconds */
  guint watch;
  guint timer;
  gboolean stopped;
};

static void
row_free (gpointer data)
{
  Row *row = data;

  commy_session_record_free (row->record);
  g_free (row);
}

static TotpShared *
shared_ref (TotpShared *self)
{
  g_ref_count_inc (&self->refs);
  return self;
}

static void
shared_unref (TotpShared *self)
{
  if (!g_ref_count_dec (&self->refs))
    return;
  g_hash_table_unref (self->rows);
  g_hash_table_unref (self->revoked);
  explicit_bzero (self, sizeof *self);
  g_free (self);
}

/* NULL: there is none now. */
static const CommyStoreOps *
find_store (TotpShared *self, gpointer *out_instance)
{
  return self->host != NULL && !self->stopped ? self->host->store (self->host, out_instance) : NULL;
}

static gint64
wall_s (void)
{
  return g_get_real_time () / G_USEC_PER_SEC;
}

/* --- what the store says --- */

static gboolean
has_ended (gpointer id, gpointer ends_s, gpointer now_s)
{
  return *(const gint64 *) ends_s <= *(const gint64 *) now_s;
}

static void
note_revoked (TotpShared *self, const char *id, gint64 ends_s)
{
  gint64 now_s = wall_s ();

  if (g_hash_table_size (self->revoked) >= TOTP_REVOKED_MAX)
    g_hash_table_foreach_remove (self->revoked, has_ended, &now_s);
  if (g_hash_table_size (self->revoked) < TOTP_REVOKED_MAX)
    g_hash_table_replace (self->revoked, g_strdup (id), g_memdup2 (&ends_s, sizeof ends_s));
}

static void
take_away (TotpShared *self, const char *id)
{
  const Row *row = g_hash_table_lookup (self->rows, id);

  if (row == NULL)
    return;
  if (wall_s () < row->record->expires_s)
    note_revoked (self, row->record->id, row->record->ends_s);
  g_hash_table_remove (self->rows, id);
}

/* NULL: nothing of it counts. */
static const Row *
take_entry (TotpShared *self, const CommyStoreEntry *entry)
{
  g_autoptr (CommySessionRecord) record = NULL;
  g_autoptr (GError) error = NULL;
  gsize size = 0;
  gconstpointer bytes;
  Row *row;

  if (!g_str_has_prefix (entry->key, COMMY_SESSIONS_PREFIX))
    return NULL;
  if (entry->value == NULL)
    {
      take_away (self, entry->key + strlen (COMMY_SESSIONS_PREFIX));
      return NULL;
    }
  bytes = g_bytes_get_data (entry->value, &size);
  record = commy_session_record_read (entry->key, bytes, size, self->seal, &error);
  if (record == NULL || g_hash_table_contains (self->revoked, record->id)
      || (g_hash_table_size (self->rows) >= TOTP_SHARED_MAX
          && !g_hash_table_contains (self->rows, record->id)))
    return NULL;
  row = g_new (Row, 1);
  *row = (Row){ .record = g_steal_pointer (&record), .revision = entry->mod_revision };
  g_hash_table_replace (self->rows, row->record->id, row);
  return row;
}

static void ask (TotpShared *self);

static void
on_retry (gpointer data)
{
  TotpShared *self = data;

  self->timer = 0;
  ask (self);
}

static void
ask_later (TotpShared *self, gint64 delay_ns)
{
  if (self->timer == 0 && !self->stopped)
    self->timer = self->host->add_timer (self->host, delay_ns, on_retry, self);
}

static void
on_events (gpointer data,
           const CommyStoreEntry *entries,
           gsize n_entries,
           gint64 revision,
           const GError *error)
{
  TotpShared *self = data;

  for (gsize i = 0; i < n_entries; i++)
    take_entry (self, &entries[i]);
  if (error == NULL)
    return;
  self->watch = 0;
  ask_later (self, RETRY_NS);
}

/* What is not there any more was taken away while nobody looked. */
static void
take_all (TotpShared *self, const CommyStoreResult *result)
{
  g_autoptr (GHashTable) there = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr (GPtrArray) gone = g_ptr_array_new_with_free_func (g_free);
  GHashTableIter iter;
  gpointer id;

  for (gsize i = 0; i < result->n_entries; i++)
    if (g_str_has_prefix (result->entries[i].key, COMMY_SESSIONS_PREFIX))
      g_hash_table_add (there,
                        (gpointer) (result->entries[i].key + strlen (COMMY_SESSIONS_PREFIX)));
  g_hash_table_iter_init (&iter, self->rows);
  while (g_hash_table_iter_next (&iter, &id, NULL))
    if (!g_hash_table_contains (there, id))
      g_ptr_array_add (gone, g_strdup (id));
  for (guint i = 0; i < gone->len; i++)
    take_away (self, gone->pdata[i]);
  for (gsize i = 0; i < result->n_entries; i++)
    take_entry (self, &result->entries[i]);
}

static void
on_range (gpointer data, const CommyStoreResult *result, const GError *error)
{
  TotpShared *self = data;
  gpointer instance;
  const CommyStoreOps *store = find_store (self, &instance);

  if (store != NULL && error == NULL)
    {
      take_all (self, result);
      self->watch
          = store->watch (instance, COMMY_SESSIONS_PREFIX, result->revision, on_events, self);
    }
  else if (self->host != NULL)
    ask_later (self, RETRY_NS);
  shared_unref (self);
}

static void
ask (TotpShared *self)
{
  gpointer instance;
  const CommyStoreOps *store = find_store (self, &instance);

  if (store != NULL)
    store->range (instance, COMMY_SESSIONS_PREFIX, on_range, shared_ref (self));
  else
    ask_later (self, EARLY_NS);
}

/* --- checking --- */

/* That it counts longer need not be waited for; where another instance has written it, or an
 * operator taken it away, it stays as they have it. */
static void
on_touched (gpointer data, const CommyStoreResult *result, const GError *error)
{
  shared_unref (data);
}

static void
touch (TotpShared *self, const Row *row, gint64 now_s)
{
  gpointer instance;
  const CommyStoreOps *store = find_store (self, &instance);
  g_autofree char *key = commy_session_record_dup_key (row->record->id);
  const CommyStoreCompare compare = { .key = key, .mod_revision = row->revision };
  g_autoptr (GBytes) value = NULL;
  CommyStoreOp op = { .kind = COMMY_STORE_PUT, .key = key };

  if (store == NULL || !commy_session_record_touch (row->record, &self->rules, now_s))
    return;
  value = commy_session_record_write (row->record, self->seal);
  op.value = value;
  store->txn (instance, &compare, 1, &op, 1, on_touched, shared_ref (self));
}

typedef struct
{
  TotpShared *shared;
  char *principal;
  char *key;
  guint8 transcript[32];
  guint8 proof[COMMY_API_KEY_HASH_SIZE];
  gint64 now_s;
  TotpSharedCheckedFunc checked;
  gpointer data;
} Check;

static void
check_row (TotpShared *self, const Row *row, const Check *check)
{
  const char *why
      = row == NULL ? "there is no such session"
                    : commy_session_record_why_not (row->record, &self->rules, check->principal,
                                                    check->transcript, check->proof, check->now_s);
  g_autofree char *factor = why == NULL ? g_strdup (row->record->factor) : NULL;

  if (why == NULL)
    touch (self, row, check->now_s);
  check->checked (check->data, factor, why);
}

static void
on_one (gpointer data, const CommyStoreResult *result, const GError *error)
{
  Check *check = data;
  TotpShared *self = check->shared;
  const Row *row = NULL;

  for (gsize i = 0; self->host != NULL && error == NULL && i < result->n_entries; i++)
    if (strcmp (result->entries[i].key, check->key) == 0)
      row = take_entry (self, &result->entries[i]);
  if (self->host != NULL)
    check_row (self, row, check);
  g_free (check->principal);
  g_free (check->key);
  g_free (check);
  shared_unref (self);
}

void
totp_shared_check (TotpShared *self,
                   const char *principal,
                   const char *id,
                   const guint8 *transcript,
                   const guint8 *proof,
                   gint64 now_s,
                   TotpSharedCheckedFunc checked,
                   gpointer data)
{
  gpointer instance;
  const CommyStoreOps *store = find_store (self, &instance);
  gboolean is_id = commy_api_key_is_id (id);
  const Row *row = is_id ? g_hash_table_lookup (self->rows, id) : NULL;
  Check check = { .shared = self, .now_s = now_s, .checked = checked, .data = data };
  Check *copy;

  memcpy (check.transcript, transcript, sizeof check.transcript);
  memcpy (check.proof, proof, sizeof check.proof);
  check.principal = (char *) principal;
  if ((row != NULL && now_s < row->record->expires_s) || store == NULL || !is_id
      || g_hash_table_contains (self->revoked, id))
    {
      check_row (self, row, &check);
      return;
    }
  /* It may be newer than what was heard. */
  copy = g_memdup2 (&check, sizeof check);
  copy->principal = g_strdup (principal);
  copy->key = commy_session_record_dup_key (id);
  shared_ref (self);
  store->range (instance, copy->key, on_one, copy);
}

/* --- giving --- */

typedef struct
{
  TotpShared *shared;
  CommySessionRecord *record;
  CommySessionGrant grant;
  TotpSharedGivenFunc given;
  gpointer data;
} Gift;

static void
on_given (gpointer data, const CommyStoreResult *result, const GError *error)
{
  Gift *gift = data;
  TotpShared *self = gift->shared;
  Row *row;

  if (self->host != NULL && error == NULL && result->succeeded)
    {
      if (!g_hash_table_contains (self->rows, gift->record->id))
        {
          row = g_new (Row, 1);
          *row = (Row){ .record = g_steal_pointer (&gift->record), .revision = result->revision };
          g_hash_table_replace (self->rows, row->record->id, row);
        }
      gift->given (gift->data, &gift->grant, NULL);
    }
  else if (self->host != NULL)
    gift->given (gift->data, NULL, error != NULL ? error->message : "the store has it already");
  commy_session_grant_clear (&gift->grant);
  commy_session_record_free (gift->record);
  g_free (gift);
  shared_unref (self);
}

/* What expired some time ago goes, and of too many of one principal the one that expires first.
 * FALSE: there are too many that count. */
static gboolean
make_room (TotpShared *self, const char *principal, gint64 now_s, GPtrArray *keys)
{
  const Row *first = NULL;
  GHashTableIter iter;
  gpointer value;
  guint n_own = 0, n = 0;

  g_hash_table_iter_init (&iter, self->rows);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      const Row *row = value;

      if (row->record->expires_s + LATE_S <= now_s && keys->len < SWEPT_MAX)
        g_ptr_array_add (keys, commy_session_record_dup_key (row->record->id));
      if (row->record->expires_s <= now_s)
        continue;
      n++;
      if (strcmp (row->record->principal, principal) != 0)
        continue;
      n_own++;
      if (first == NULL || row->record->expires_s < first->record->expires_s)
        first = row;
    }
  if (n_own >= COMMY_SESSIONS_PRINCIPAL_MAX)
    g_ptr_array_add (keys, commy_session_record_dup_key (first->record->id));
  return n < TOTP_SHARED_GIVEN || n_own >= COMMY_SESSIONS_PRINCIPAL_MAX;
}

static void
write_gift (
    TotpShared *self, const CommyStoreOps *store, gpointer instance, Gift *gift, GPtrArray *gone)
{
  g_autoptr (GArray) ops = g_array_new (FALSE, TRUE, sizeof (CommyStoreOp));
  g_autofree char *key = commy_session_record_dup_key (gift->record->id);
  g_autoptr (GBytes) value = commy_session_record_write (gift->record, self->seal);
  const CommyStoreCompare compare = { .key = key };
  CommyStoreOp op = { .kind = COMMY_STORE_PUT, .key = key, .value = value };

  g_array_append_val (ops, op);
  op = (CommyStoreOp){ .kind = COMMY_STORE_DELETE };
  for (guint i = 0; i < gone->len; i++)
    {
      op.key = gone->pdata[i];
      g_array_append_val (ops, op);
    }
  shared_ref (self);
  store->txn (instance, &compare, 1, (const CommyStoreOp *) (gpointer) ops->data, ops->len,
              on_given, gift);
}

void
totp_shared_give (TotpShared *self,
                  const char *principal,
                  const char *factor,
                  gint64 now_s,
                  TotpSharedGivenFunc given,
                  gpointer data)
{
  g_autoptr (GPtrArray) gone = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GError) error = NULL;
  gpointer instance;
  const CommyStoreOps *store = find_store (self, &instance);
  Gift *gift;

  if (store == NULL || !make_room (self, principal, now_s, gone))
    {
      given (data, NULL, store == NULL ? "the store is not there" : "there are too many");
      return;
    }
  gift = g_new0 (Gift, 1);
  *gift = (Gift){ .shared = self, .given = given, .data = data };
  gift->record
      = commy_session_record_new (&self->rules, principal, factor, now_s, &gift->grant, &error);
  if (gift->record == NULL)
    {
      given (data, NULL, error->message);
      g_free (gift);
      return;
    }
  write_gift (self, store, instance, gift, gone);
}

gboolean
totp_shared_is_revoked (TotpShared *self, const char *id)
{
  return g_hash_table_contains (self->revoked, id);
}

guint
totp_shared_get_n (TotpShared *self)
{
  return g_hash_table_size (self->rows);
}

/* --- life --- */

TotpShared *
totp_shared_new (CommyHost *host,
                 const CommySessionRules *rules,
                 const guint8 seal[COMMY_SESSION_SEAL_SIZE])
{
  TotpShared *self = g_new0 (TotpShared, 1);

  g_ref_count_init (&self->refs);
  self->host = host;
  self->rules = *rules;
  memcpy (self->seal, seal, sizeof self->seal);
  self->rows = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, row_free);
  self->revoked = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  ask_later (self, EARLY_NS);
  return self;
}

void
totp_shared_stop (TotpShared *self)
{
  gpointer instance;
  const CommyStoreOps *store = find_store (self, &instance);

  if (self->watch != 0 && store != NULL)
    store->unwatch (instance, self->watch);
  self->watch = 0;
  if (self->timer != 0)
    self->host->remove (self->host, self->timer);
  self->timer = 0;
  self->stopped = TRUE;
}

void
totp_shared_free (TotpShared *self)
{
  if (self == NULL)
    return;
  totp_shared_stop (self);
  self->host = NULL;
  shared_unref (self);
}
