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
#define EARLY_NS (SECOND_NS / 20)   /* the store starts after auth providers */
#define LATE_S 60                   /* what expired is taken away so much later */
#define SWEPT_MAX 8u                /* by one who is given a session */
#define PATIENCE_NS (SECOND_NS / 2) /* a connection waits so long for the store */

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
  GHashTable *over;    /* key -> gint64: revision; what is to be taken away */
  GHashTable *waits;   /* set of Wait */
  guint watch;
  guint timer;
  gboolean is_away; /* the store, since its watch ended */
  gboolean is_full; /* of what was revoked; it was told */
  gboolean stopped;
};

/* A question to the store that a connection waits for. */
typedef struct _Wait Wait;
struct _Wait
{
  TotpShared *shared; /* a reference */
  guint timer;
  void (*late) (Wait *self);
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
  g_hash_table_unref (self->over);
  g_hash_table_unref (self->waits);
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

/* --- waiting for it --- */

static void
on_late (gpointer data)
{
  Wait *self = data;

  g_hash_table_remove (self->shared->waits, self);
  self->late (self);
}

/* Before the store is asked, which may answer at once. */
static void
wait_begin (Wait *self, TotpShared *shared, void (*late) (Wait *self))
{
  self->shared = shared_ref (shared);
  self->late = late;
  g_hash_table_add (shared->waits, self);
  self->timer = shared->host->add_timer (shared->host, PATIENCE_NS, on_late, self);
}

/* The store has answered. FALSE: nobody waits for that any more. */
static gboolean
wait_end (Wait *self)
{
  TotpShared *shared = self->shared;

  if (!g_hash_table_remove (shared->waits, self))
    return FALSE;
  shared->host->remove (shared->host, self->timer);
  return TRUE;
}

static void
end_waits (TotpShared *self)
{
  GHashTableIter iter;
  gpointer wait;

  g_hash_table_iter_init (&iter, self->waits);
  while (g_hash_table_iter_next (&iter, &wait, NULL))
    self->host->remove (self->host, ((const Wait *) wait)->timer);
  g_hash_table_remove_all (self->waits);
}

/* --- what the store says --- */

static gboolean
has_ended (gpointer id, gpointer ends_s, gpointer now_s)
{
  return *(const gint64 *) ends_s <= *(const gint64 *) now_s;
}

/* The one whose end is first goes. FALSE: that would be one that ends at @ends_s. */
static gboolean
forget_revoked (TotpShared *self, gint64 ends_s)
{
  const char *first = NULL;
  gint64 first_s = ends_s;
  GHashTableIter iter;
  gpointer id, value;

  if (!self->is_full)
    self->host->log (self->host, G_LOG_LEVEL_WARNING,
                     "so many sessions were revoked that those that end first are forgotten; the "
                     "store can bring these back until then");
  self->is_full = TRUE;
  g_hash_table_iter_init (&iter, self->revoked);
  while (g_hash_table_iter_next (&iter, &id, &value))
    if (*(const gint64 *) value < first_s)
      {
        first = id;
        first_s = *(const gint64 *) value;
      }
  return first != NULL && g_hash_table_remove (self->revoked, first);
}

static void
note_revoked (TotpShared *self, const char *id, gint64 ends_s)
{
  gint64 now_s = wall_s ();

  if (g_hash_table_size (self->revoked) >= TOTP_REVOKED_MAX)
    g_hash_table_foreach_remove (self->revoked, has_ended, &now_s);
  if (g_hash_table_size (self->revoked) < TOTP_REVOKED_MAX || forget_revoked (self, ends_s))
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

/* It expired so long ago that everybody's clock says so. */
static gboolean
is_over (const CommySessionRecord *record, gint64 now_s)
{
  return record->expires_s + LATE_S <= now_s;
}

static void
note_over (TotpShared *self, const char *id, gint64 revision)
{
  if (g_hash_table_size (self->over) < TOTP_SHARED_MAX)
    g_hash_table_replace (self->over, commy_session_record_dup_key (id),
                          g_memdup2 (&revision, sizeof revision));
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
  g_hash_table_remove (self->over, entry->key);
  if (entry->value == NULL)
    {
      take_away (self, entry->key + strlen (COMMY_SESSIONS_PREFIX));
      return NULL;
    }
  bytes = g_bytes_get_data (entry->value, &size);
  record = commy_session_record_read (entry->key, bytes, size, self->seal, &error);
  if (record != NULL && is_over (record, wall_s ()))
    {
      note_over (self, record->id, entry->mod_revision);
      return NULL;
    }
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
  self->is_away = TRUE;
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
      self->is_away = FALSE;
      take_all (self, result);
      self->watch
          = store->watch (instance, COMMY_SESSIONS_PREFIX, result->revision, on_events, self);
    }
  else if (self->host != NULL)
    {
      self->is_away = self->is_away || error != NULL;
      ask_later (self, RETRY_NS);
    }
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

/* What nobody waits for. */
static void
on_changed (gpointer data, const CommyStoreResult *result, const GError *error)
{
  shared_unref (data);
}

/* Where another instance has written it, or an operator taken it away, it stays as they have it. */
static void
change (TotpShared *self, const CommyStoreOp *op, gint64 revision)
{
  gpointer instance;
  const CommyStoreOps *store = find_store (self, &instance);
  const CommyStoreCompare compare = { .key = op->key, .mod_revision = revision };

  if (store != NULL)
    store->txn (instance, &compare, 1, op, 1, on_changed, shared_ref (self));
}

static void
touch (TotpShared *self, const Row *row, gint64 now_s)
{
  gpointer instance;
  g_autofree char *key = commy_session_record_dup_key (row->record->id);
  g_autoptr (GBytes) value = NULL;
  CommyStoreOp op = { .kind = COMMY_STORE_PUT, .key = key };

  if (find_store (self, &instance) == NULL
      || !commy_session_record_touch (row->record, &self->rules, now_s))
    return;
  value = commy_session_record_write (row->record, self->seal);
  op.value = value;
  change (self, &op, row->revision);
}

typedef struct
{
  Wait wait;
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

/* What was heard meanwhile counts. */
static void
on_check_late (Wait *wait)
{
  const Check *check = (const Check *) (gpointer) wait;
  TotpShared *self = wait->shared;

  check_row (self, g_hash_table_lookup (self->rows, check->key + strlen (COMMY_SESSIONS_PREFIX)),
             check);
}

static void
on_one (gpointer data, const CommyStoreResult *result, const GError *error)
{
  Check *check = data;
  TotpShared *self = check->wait.shared;
  gboolean is_awaited = wait_end (&check->wait);
  const Row *row = NULL;

  for (gsize i = 0; self->host != NULL && error == NULL && i < result->n_entries; i++)
    if (strcmp (result->entries[i].key, check->key) == 0)
      row = take_entry (self, &result->entries[i]);
  if (is_awaited)
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
  gboolean may_be = commy_api_key_is_id (id) && !g_hash_table_contains (self->revoked, id);
  const Row *row = may_be ? g_hash_table_lookup (self->rows, id) : NULL;
  Check check = { .now_s = now_s, .checked = checked, .data = data };
  Check *copy;

  memcpy (check.transcript, transcript, sizeof check.transcript);
  memcpy (check.proof, proof, sizeof check.proof);
  check.principal = (char *) principal;
  if ((row != NULL && now_s < row->record->expires_s) || store == NULL || self->is_away || !may_be)
    {
      check_row (self, row, &check);
      return;
    }
  /* It may be newer than what was heard. */
  copy = g_memdup2 (&check, sizeof check);
  copy->principal = g_strdup (principal);
  copy->key = commy_session_record_dup_key (id);
  wait_begin (&copy->wait, self, on_check_late);
  store->range (instance, copy->key, on_one, copy);
}

/* --- giving --- */

typedef struct
{
  Wait wait;
  CommySessionRecord *record;
  CommySessionGrant grant;
  TotpSharedGivenFunc given;
  gpointer data;
} Gift;

static void
on_gift_late (Wait *wait)
{
  const Gift *gift = (const Gift *) (gpointer) wait;

  gift->given (gift->data, NULL, "the store takes too long");
}

static void
remove_record (TotpShared *self, const char *key, gint64 revision)
{
  change (self, &(CommyStoreOp){ .kind = COMMY_STORE_DELETE, .key = key }, revision);
}

/* It is in the store; unless somebody has revoked it before that was heard of. */
static void
take_gift (TotpShared *self, Gift *gift, gint64 revision)
{
  Row *row;

  if (g_hash_table_contains (self->rows, gift->record->id)
      || g_hash_table_contains (self->revoked, gift->record->id))
    return;
  row = g_new (Row, 1);
  *row = (Row){ .record = g_steal_pointer (&gift->record), .revision = revision };
  g_hash_table_replace (self->rows, row->record->id, row);
}

static void
on_given (gpointer data, const CommyStoreResult *result, const GError *error)
{
  Gift *gift = data;
  TotpShared *self = gift->wait.shared;
  gboolean is_awaited = wait_end (&gift->wait);
  gboolean is_there = error == NULL && result->succeeded;
  g_autofree char *key = commy_session_record_dup_key (gift->record->id);

  if (is_awaited && is_there)
    {
      take_gift (self, gift, result->revision);
      gift->given (gift->data, &gift->grant, NULL);
    }
  else if (is_awaited)
    gift->given (gift->data, NULL, error != NULL ? error->message : "the store has it already");
  else if (is_there)
    remove_record (self, key, result->revision); /* nobody has its key */
  commy_session_grant_clear (&gift->grant);
  commy_session_record_free (gift->record);
  g_free (gift);
  shared_unref (self);
}

/* One who has too many is given no other, so that who has got hold of a code ends nobody's. */
static gboolean
has_room (TotpShared *self, const char *principal, gint64 now_s)
{
  GHashTableIter iter;
  gpointer value;
  guint n_own = 0, n = 0;

  g_hash_table_iter_init (&iter, self->rows);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      const Row *row = value;

      if (row->record->expires_s <= now_s)
        continue;
      n++;
      if (strcmp (row->record->principal, principal) == 0)
        n_own++;
    }
  return n < TOTP_SHARED_GIVEN && n_own < COMMY_SESSIONS_PRINCIPAL_MAX;
}

/* Each by itself: one that this instance may not take away is no reason to leave the others. */
static void
sweep (TotpShared *self, gint64 now_s)
{
  GHashTableIter iter;
  gpointer key, value;

  g_hash_table_iter_init (&iter, self->rows);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      const Row *row = value;

      if (!is_over (row->record, now_s))
        continue;
      note_over (self, row->record->id, row->revision);
      g_hash_table_iter_remove (&iter);
    }
  for (guint i = 0; i < SWEPT_MAX; i++)
    {
      /* Anew each time: a store that answers at once may change the table. */
      g_hash_table_iter_init (&iter, self->over);
      if (!g_hash_table_iter_next (&iter, &key, &value))
        return;
      g_hash_table_iter_steal (&iter);
      remove_record (self, key, *(const gint64 *) value);
      g_free (key);
      g_free (value);
    }
}

static void
write_gift (TotpShared *self, const CommyStoreOps *store, gpointer instance, Gift *gift)
{
  g_autofree char *key = commy_session_record_dup_key (gift->record->id);
  g_autoptr (GBytes) value = commy_session_record_write (gift->record, self->seal);
  const CommyStoreCompare compare = { .key = key };
  const CommyStoreOp op = { .kind = COMMY_STORE_PUT, .key = key, .value = value };

  wait_begin (&gift->wait, self, on_gift_late);
  store->txn (instance, &compare, 1, &op, 1, on_given, gift);
}

static void
give (TotpShared *self, Gift *gift, const char *principal, const char *factor, gint64 now_s)
{
  g_autoptr (GError) error = NULL;
  gpointer instance;
  const CommyStoreOps *store = find_store (self, &instance);
  const char *why = NULL;

  if (store == NULL || self->is_away)
    why = "the store is not there";
  else if (!has_room (self, principal, now_s))
    why = "there are too many";
  else
    gift->record
        = commy_session_record_new (&self->rules, principal, factor, now_s, &gift->grant, &error);
  if (gift->record != NULL)
    {
      write_gift (self, store, instance, gift);
      return;
    }
  gift->given (gift->data, NULL, why != NULL ? why : error->message);
  g_free (gift);
}

void
totp_shared_give (TotpShared *self,
                  const char *principal,
                  const char *factor,
                  gint64 now_s,
                  TotpSharedGivenFunc given,
                  gpointer data)
{
  Gift *gift = g_new0 (Gift, 1);

  *gift = (Gift){ .given = given, .data = data };
  shared_ref (self);
  give (self, gift, principal, factor, now_s);
  if (!self->is_away)
    sweep (self, now_s);
  shared_unref (self);
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
  self->over = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  self->waits = g_hash_table_new (NULL, NULL);
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
  end_waits (self);
  self->host = NULL;
  shared_unref (self);
}
