/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One record a source, under one lease of the instance, so that nothing stays of one that is gone;
 * what has ended is taken away by who wrote it. An attacker with many names finds three limits: of
 * the records there are, of those that are written in a while, and of those that are believed
 * (commy-attempts.c). While the store is away or refuses nobody else is told, and that is all.
 */
#include "config.h"

#include "mesh/commy-lock-outs.h"

#include "base/commy-error-private.h"
#include "base/commy-text.h"
#include "security/commy-lock-out.h"

#include <string.h>

#define SECOND_NS G_GINT64_CONSTANT (1000000000)
/* So many writes at once, and so often one more. */
#define WRITES_AT_ONCE 64
#define WRITE_EVERY_NS (SECOND_NS / 8)
/* How long a store that would not have one is left alone. */
#define PAUSE_NS (30 * SECOND_NS)
#define REASON "failed to prove who it is, %u in a row"
#define REASON_ADDRESS "too many proofs from there failed, %u times in a row"

struct _CommyLockOuts
{
  grefcount refs;  /* its owner's, and one for each question to the store */
  CommyMesh *mesh; /* NULL: it is over */
  gint64 longest_ns;
  GHashTable *records; /* key -> Record; what this instance has written */
  gint64 lease;        /* 0: none yet */
  gboolean granting;
  gint64 writes_ns; /* when all writes are to be had again */
  gint64 paused_ns; /* until then nothing is written */
  gint64 quiet_ns;  /* until then no record that is refused is told */
  gboolean is_away; /* nobody watches what becomes of them; nothing is written meanwhile */
  GSource *timer;   /* the next one ends */
  char *told;       /* what was wrong last; NULL: nothing is */
  gboolean is_full; /* that was told */
};

typedef struct
{
  char *key;
  guint failures;
  char **kinds;        /* at what; NULL: at nothing in particular */
  gint64 until_ns;     /* on the steady clock */
  gint64 revision;     /* in the store; 0: not yet */
  gint64 seen;         /* and that of another instance's, while this one's was under way */
  gboolean is_address; /* many may share it */
  gboolean is_stale;   /* what is in the store is not the last word */
  gboolean is_writing; /* a reference to `all` is with the store */
} Record;

static void
record_free (gpointer data)
{
  Record *self = data;

  g_free (self->key);
  g_strfreev (self->kinds);
  g_free (self);
}

static CommyLockOuts *
lock_outs_ref (CommyLockOuts *self)
{
  g_ref_count_inc (&self->refs);
  return self;
}

static void
lock_outs_unref (CommyLockOuts *self)
{
  if (!g_ref_count_dec (&self->refs))
    return;
  g_hash_table_unref (self->records);
  g_free (self->told);
  g_free (self);
}

static const CommyStoreOps *
ops_of (const CommyLockOuts *self)
{
  return &self->mesh->store->ops.store;
}

static gint64
now_of (const CommyLockOuts *self)
{
  return commy_env_now (self->mesh->env);
}

static gint64
wall_of (const CommyLockOuts *self)
{
  return commy_env_wall_us (self->mesh->env) / G_USEC_PER_SEC;
}

/* NULL: such sources are not counted here. */
static CommyAttempts *
attempts_of (const CommyLockOuts *self, const char *source)
{
  return commy_lock_out_is_address (source) ? self->mesh->setup.addresses
                                            : self->mesh->setup.attempts;
}

/* Something is wrong, or not any more (NULL); told when it changes. */
static void
tell (CommyLockOuts *self, const char *what)
{
  if (commy_text_replace (&self->told, what) && what != NULL)
    g_message ("other instances are not told who has to wait: %s", what);
}

/* --- what has ended --- */

static void
on_taken_away (gpointer data, const CommyStoreResult *result, const GError *error)
{
  lock_outs_unref (data); /* or it has changed, or the lease ends it */
}

/* Only as it was written here: another instance may have written it since. */
static void
take_away (CommyLockOuts *self, const Record *record)
{
  const CommyStoreCompare compare = { .key = record->key, .mod_revision = record->revision };
  const CommyStoreOp op = { .kind = COMMY_STORE_DELETE, .key = record->key };

  ops_of (self)->txn (self->mesh->store->instance, &compare, 1, &op, 1, on_taken_away,
                      lock_outs_ref (self));
}

static void arm (CommyLockOuts *self);

void
commy_lock_outs_tidy_up (CommyLockOuts *self)
{
  gint64 now_ns = now_of (self);
  GHashTableIter iter;
  gpointer value;

  g_hash_table_iter_init (&iter, self->records);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      const Record *record = value;

      if (record->until_ns > now_ns || record->is_writing)
        continue;
      if (record->revision != 0)
        take_away (self, record);
      g_hash_table_iter_remove (&iter);
    }
  arm (self);
}

static gboolean
on_time (gpointer data)
{
  commy_lock_outs_tidy_up (data);
  return G_SOURCE_REMOVE;
}

static void
arm (CommyLockOuts *self)
{
  gint64 next_ns = G_MAXINT64;
  GHashTableIter iter;
  gpointer value;

  if (self->timer != NULL)
    g_source_destroy (self->timer);
  g_clear_pointer (&self->timer, g_source_unref);
  g_hash_table_iter_init (&iter, self->records);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    next_ns = MIN (next_ns, ((const Record *) value)->until_ns);
  if (next_ns == G_MAXINT64)
    return;
  /* Not for each by itself. */
  self->timer = g_timeout_source_new (
      (guint) CLAMP ((next_ns - now_of (self)) / 1000000 + 1, 1000, G_TIME_SPAN_HOUR / 1000));
  g_source_set_callback (self->timer, on_time, self, NULL);
  g_source_attach (self->timer, self->mesh->context);
}

/* --- writing --- */

static void write_record (CommyLockOuts *self, Record *record);

static void
on_revoked (gpointer data, const CommyStoreResult *result, const GError *error)
{
  lock_outs_unref (data);
}

static void
end_lease (CommyLockOuts *self, gint64 lease)
{
  self->lease = 0;
  if (lease != 0)
    ops_of (self)->revoke (self->mesh->store->instance, lease, on_revoked, lock_outs_ref (self));
}

/* The store would not have it: nothing more for a while, and then under another lease. What was
 * told goes with the lease; it is forgotten first, so that nobody here is let off by that. */
static void
give_up (CommyLockOuts *self, const GError *error)
{
  tell (self, commy_error_bare (error));
  self->paused_ns = now_of (self) + PAUSE_NS;
  g_hash_table_remove_all (self->records);
  end_lease (self, self->lease);
}

/* This one the store would not have, such as where it is another user's; that is no word on the
 * others. */
static void
drop_refused (CommyLockOuts *self, const Record *record, const GError *error)
{
  if (now_of (self) >= self->quiet_ns)
    {
      g_message ("other instances are not told of one who has to wait: %s",
                 commy_error_bare (error));
      self->quiet_ns = now_of (self) + PAUSE_NS;
    }
  g_hash_table_remove (self->records, record->key);
  arm (self);
}

static void
take_written (CommyLockOuts *self, Record *record, gint64 revision)
{
  tell (self, NULL);
  record->revision = revision;
  if (record->seen > revision)
    {
      /* Somebody else's now. */
      g_hash_table_remove (self->records, record->key);
      arm (self);
    }
  else if (record->is_stale)
    write_record (self, record);
}

typedef struct
{
  CommyLockOuts *all;
  gint64 lease;
  char *key;
} Write;

static void
on_written (gpointer data, const CommyStoreResult *result, const GError *error)
{
  Write *write = data;
  CommyLockOuts *self = write->all;
  Record *record = g_hash_table_lookup (self->records, write->key);

  /* Of a lease that was given up nothing counts. */
  if (self->mesh != NULL && record != NULL && write->lease == self->lease)
    {
      record->is_writing = FALSE;
      if (error == NULL)
        take_written (self, record, result->revision);
      else if (g_error_matches (error, COMMY_ERROR, COMMY_ERROR_DENIED))
        drop_refused (self, record, error);
      else
        give_up (self, error);
    }
  g_free (write->key);
  g_free (write);
  lock_outs_unref (self);
}

static GBytes *
make_value (CommyLockOuts *self, const Record *record)
{
  g_autofree char *reason = record->is_address ? g_strdup_printf (REASON_ADDRESS, record->failures)
                                               : g_strdup_printf (REASON, record->failures);
  gint64 wait_ns = MAX (record->until_ns - now_of (self), 0);
  gint64 until_us = commy_env_wall_us (self->mesh->env) + wait_ns / 1000;
  const CommyDenial denial = { .reason = reason,
                               .since_s = wall_of (self),
                               .until_s = (until_us + G_USEC_PER_SEC - 1) / G_USEC_PER_SEC,
                               .failures = record->failures,
                               .by = self->mesh->node,
                               .kinds = record->kinds };
  char *text = commy_denial_write (&denial);

  return g_bytes_new_take (text, strlen (text));
}

static void
write_record (CommyLockOuts *self, Record *record)
{
  g_autoptr (GBytes) value = make_value (self, record);
  const CommyStoreOp op
      = { .kind = COMMY_STORE_PUT, .key = record->key, .value = value, .lease = self->lease };
  Write *write = g_new (Write, 1);

  *write
      = (Write){ .all = lock_outs_ref (self), .lease = self->lease, .key = g_strdup (record->key) };
  record->is_stale = FALSE;
  record->is_writing = TRUE;
  ops_of (self)->txn (self->mesh->store->instance, NULL, 0, &op, 1, on_written, write);
}

static void
write_all (CommyLockOuts *self)
{
  g_autoptr (GPtrArray) keys = g_ptr_array_new_with_free_func (g_free);
  GHashTableIter iter;
  gpointer key;

  /* A store that answers at once may end the table. */
  g_hash_table_iter_init (&iter, self->records);
  while (g_hash_table_iter_next (&iter, &key, NULL))
    g_ptr_array_add (keys, g_strdup (key));
  for (guint i = 0; i < keys->len; i++)
    {
      Record *record = g_hash_table_lookup (self->records, keys->pdata[i]);

      if (record != NULL && record->is_stale && !record->is_writing)
        write_record (self, record);
    }
}

static void
on_granted (gpointer data, const CommyStoreResult *result, const GError *error)
{
  CommyLockOuts *self = data;

  self->granting = FALSE;
  if (self->mesh != NULL && error != NULL)
    give_up (self, error);
  else if (self->mesh != NULL && self->is_away)
    end_lease (self, result->lease);
  else if (self->mesh != NULL)
    {
      self->lease = result->lease;
      write_all (self);
    }
  lock_outs_unref (self);
}

/* The store ends it by itself when this process is gone, and then not later than a lock-out would
 * have ended. */
static void
write_soon (CommyLockOuts *self)
{
  if (self->lease != 0)
    write_all (self);
  else if (!self->granting && !self->is_away)
    {
      self->granting = TRUE;
      ops_of (self)->grant (self->mesh->store->instance, self->longest_ns, on_granted,
                            lock_outs_ref (self));
    }
}

/* --- what happened here --- */

static gboolean
may_write (CommyLockOuts *self, gint64 now_ns)
{
  if (now_ns < self->paused_ns || self->writes_ns - now_ns > WRITES_AT_ONCE * WRITE_EVERY_NS)
    return FALSE;
  self->writes_ns = MAX (self->writes_ns, now_ns) + WRITE_EVERY_NS;
  return TRUE;
}

static Record *
add_record (CommyLockOuts *self, const char *key)
{
  Record *record;

  if (g_hash_table_size (self->records) >= COMMY_LOCK_OUTS_MAX)
    {
      if (!self->is_full)
        g_message ("more than %u have to wait at a time; other instances are not told of those "
                   "that come now",
                   COMMY_LOCK_OUTS_MAX);
      self->is_full = TRUE;
      return NULL;
    }
  self->is_full = self->is_full && g_hash_table_size (self->records) > 0;
  record = g_new0 (Record, 1);
  record->key = g_strdup (key);
  g_hash_table_insert (self->records, record->key, record);
  return record;
}

/* NULL: what it is called says nothing to others. */
static char *
dup_key (const char *source, CommyEvidenceKind kind)
{
  const char *host = kind == COMMY_EVIDENCE_X509 ? NULL : commy_env_host_id ();
  g_autofree char *subject = NULL;

  if (kind == COMMY_EVIDENCE_NONE)
    return NULL;
  subject = commy_lock_out_dup_subject (source, host);
  return subject != NULL ? g_strconcat (COMMY_DENIED_PREFIX, subject, NULL) : NULL;
}

static void
on_locked_out (gpointer data, const char *source, CommyEvidenceKind kind)
{
  CommyLockOuts *self = data;
  CommyAttempts *attempts = attempts_of (self, source);
  gint64 now_ns = now_of (self);
  gint64 wait_ns = commy_attempts_wait (attempts, source, now_ns);
  g_autofree char *key = dup_key (source, kind);
  g_autofree const char **kinds = commy_attempts_list_kinds (attempts, source);
  Record *record = key != NULL ? g_hash_table_lookup (self->records, key) : NULL;

  if (key == NULL || wait_ns == 0 || !may_write (self, now_ns))
    return;
  if (record == NULL)
    record = add_record (self, key);
  if (record == NULL)
    return;
  record->failures = commy_attempts_get_failures (attempts, source);
  g_strfreev (record->kinds);
  record->kinds = g_strdupv ((char **) kinds);
  record->until_ns = now_ns + wait_ns;
  record->is_address = commy_lock_out_is_address (source);
  record->is_stale = TRUE;
  arm (self);
  write_soon (self);
}

/* --- what others say --- */

static void
hear (CommyLockOuts *self, const char *source, const CommyDenial *denial)
{
  gint64 left_s = denial->until_s - wall_of (self);

  if (left_s > 0)
    commy_attempts_hear (
        attempts_of (self, source), source, denial->failures, (const char *const *) denial->kinds,
        MIN (left_s, G_MAXINT64 / SECOND_NS) * SECOND_NS, denial->until_s, now_of (self));
}

void
commy_lock_outs_take (CommyLockOuts *self, const CommyDenial *denial, gint64 revision)
{
  const char *source = commy_lock_out_get_source (denial->subject, commy_env_host_id ());
  g_autofree char *key = g_strconcat (COMMY_DENIED_PREFIX, denial->subject, NULL);
  Record *record = g_hash_table_lookup (self->records, key);

  if (self->longest_ns == 0 || source == NULL || attempts_of (self, source) == NULL
      || denial->failures == 0 || g_strcmp0 (denial->by, self->mesh->node) == 0)
    return;
  /* The record is somebody else's now, who takes it away. */
  if (record != NULL && record->is_writing)
    record->seen = MAX (record->seen, revision);
  else if (record != NULL && revision > record->revision)
    {
      g_hash_table_remove (self->records, key);
      arm (self);
    }
  hear (self, source, denial);
}

void
commy_lock_outs_take_away (CommyLockOuts *self, const char *subject, gint64 revision)
{
  const char *source = commy_lock_out_get_source (subject, commy_env_host_id ());
  g_autofree char *key = g_strconcat (COMMY_DENIED_PREFIX, subject, NULL);
  const Record *record = g_hash_table_lookup (self->records, key);

  if (self->longest_ns == 0 || source == NULL || attempts_of (self, source) == NULL)
    return;
  if (record == NULL)
    commy_attempts_lift_heard (attempts_of (self, source), source, now_of (self));
  else if (record->revision != 0 && revision > record->revision && !record->is_writing)
    {
      /* Written here, and not taken away here: an operator did. */
      commy_attempts_lift (attempts_of (self, source), source, now_of (self));
      g_message ("%s need not wait any more: commy cert allow", source);
      g_hash_table_remove (self->records, key);
      arm (self);
    }
}

/* --- a store that is away --- */

void
commy_lock_outs_lose (CommyLockOuts *self)
{
  GHashTableIter iter;
  gpointer value;

  self->is_away = TRUE;
  g_hash_table_iter_init (&iter, self->records);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      Record *record = value;

      record->revision = 0;
      record->seen = 0;
      record->is_writing = FALSE;
      record->is_stale = TRUE;
    }
  end_lease (self, self->lease);
}

void
commy_lock_outs_resume (CommyLockOuts *self)
{
  if (!self->is_away)
    return;
  self->is_away = FALSE;
  commy_lock_outs_tidy_up (self);
  if (g_hash_table_size (self->records) > 0)
    write_soon (self);
}

guint
commy_lock_outs_get_n (CommyLockOuts *self)
{
  return g_hash_table_size (self->records);
}

/* --- life --- */

static void
set_waits (CommyMesh *mesh, CommyAttempts *attempts, gint64 longest_ns)
{
  commy_attempts_set_waits (
      attempts, commy_config_get_duration (mesh->config, "security", "lock-out"), longest_ns);
}

CommyLockOuts *
commy_lock_outs_new (CommyMesh *mesh)
{
  CommyLockOuts *self = g_new0 (CommyLockOuts, 1);
  CommyAttempts *addresses = mesh->setup.addresses;
  gint64 longest_ns = commy_config_get_duration (mesh->config, "security", "lock-out-longest");

  g_ref_count_init (&self->refs);
  self->mesh = mesh;
  self->records = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, record_free);
  set_waits (mesh, mesh->setup.attempts, longest_ns);
  if (addresses != NULL)
    {
      set_waits (mesh, addresses, longest_ns);
      commy_attempts_set_allowance (
          addresses, (guint) commy_config_get_int (mesh->config, "security", "lock-out-address"));
    }
  if (!commy_config_get_bool (mesh->config, "security", "lock-out-shared"))
    return self;
  self->longest_ns = longest_ns;
  mesh->setup.locked_out = on_locked_out;
  mesh->setup.locked_out_data = self;
  return self;
}

void
commy_lock_outs_free (CommyLockOuts *self)
{
  if (self == NULL)
    return;
  if (self->timer != NULL)
    g_source_destroy (self->timer);
  g_clear_pointer (&self->timer, g_source_unref);
  self->mesh->setup.locked_out = NULL;
  self->mesh = NULL;
  lock_outs_unref (self);
}
