/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The queue of operations: see the header. One is under way at a time, so that what was asked
 * later also happens later; but transactions without conditions that wait one behind the other go
 * together. What etcd will not have of them together it is asked one by one.
 */
#include "config.h"

#include "commy-etcd-operations.h"

#include "commy-etcd-bundle.h"
#include "stores/common/commy-store-check.h"

#include <string.h>

#define SECOND_NS G_GINT64_CONSTANT (1000000000)
/* What a mesh can hold, and what a process can have asked before it gets an answer. */
#define MAX_ENTRIES 1000000u
#define MAX_QUEUE 65536u
#define MAX_RESTARTS 3

typedef struct _Operation Operation;

struct _CommyEtcdOperations
{
  CommyEtcdOperationsSettings settings;
  GQueue queue; /* of Operation; the head is under way */
  gboolean advancing;
};

struct _Operation
{
  CommyEtcdOperations *owner;
  void (*begin) (Operation *self);
  CommyStoreDoneFunc done;
  gpointer user_data;
  gboolean began;
  CommyEtcdCall *call;
  GError *error;       /* it cannot be asked at all */
  char *body;          /* transactions that must be alone */
  CommyEtcdPart *part; /* of those that need not */
  guint n_together;  /* that end with it: those behind it in the queue that went with it, and it */
  gboolean is_alone; /* together they were refused */
  char *prefix;      /* ranges */
  GArray *entries;   /* read so far */
  gint64 revision;   /* they are of */
  guint page;        /* keys read at once */
  guint n_restarts;  /* the revision was compacted in the middle */
  gint64 lease;
  gint64 ttl;        /* in seconds */
  gboolean was_ours; /* the lease that is ended was kept alive here */
  gint64 asked_ns;   /* when the caller asked */
};

/* --- the queue --- */

static void
operation_free (Operation *self)
{
  if (self->call != NULL)
    commy_etcd_call_cancel (self->call);
  g_clear_error (&self->error);
  g_clear_pointer (&self->entries, g_array_unref);
  commy_etcd_part_free (self->part);
  g_free (self->body);
  g_free (self->prefix);
  g_free (self);
}

static void advance (CommyEtcdOperations *self);

static void
answer (Operation *self, const CommyStoreResult *result, const GError *error)
{
  CommyEtcdOperations *owner = self->owner;

  g_queue_remove (&owner->queue, self);
  self->done (self->user_data, result, error);
  operation_free (self);
  advance (owner);
}

/* Waiting for its turn counts while the cluster is silent: a long queue that moves costs nobody
 * his time, and of one that stands nobody waits longer than the first. */
static gint64
get_left (const Operation *self)
{
  const CommyEtcdOperationsSettings *settings = &self->owner->settings;
  gint64 since_ns = MAX (self->asked_ns, commy_etcd_cluster_get_heard (settings->cluster));

  return since_ns + commy_etcd_cluster_get_timeout (settings->cluster)
         - settings->host->now_ns (settings->host);
}

/* A callback may ask for more, which waits its turn. */
static void
advance (CommyEtcdOperations *self)
{
  Operation *head;

  if (self->advancing)
    return;
  self->advancing = TRUE;
  while ((head = g_queue_peek_head (&self->queue)) != NULL && !head->began)
    {
      head->began = TRUE;
      if (head->error == NULL && get_left (head) <= 0)
        g_set_error (&head->error, COMMY_ETCD_ERROR, COMMY_ERROR_STORE,
                     "no member of the etcd cluster answered while it waited for its turn");
      if (head->error == NULL)
        head->begin (head);
      else
        answer (head, NULL, head->error);
    }
  self->advancing = FALSE;
}

static Operation *
operation_new (CommyEtcdOperations *self,
               void (*begin) (Operation *self),
               CommyStoreDoneFunc done,
               gpointer user_data)
{
  Operation *operation = g_new0 (Operation, 1);

  operation->owner = self;
  operation->asked_ns = self->settings.host->now_ns (self->settings.host);
  operation->begin = begin;
  operation->done = done;
  operation->user_data = user_data;
  if (g_queue_get_length (&self->queue) >= MAX_QUEUE)
    g_set_error (&operation->error, COMMY_ETCD_ERROR, COMMY_ERROR_BUSY,
                 "%u operations wait for the etcd cluster already", MAX_QUEUE);
  g_queue_push_tail (&self->queue, operation);
  return operation;
}

static void
ask (Operation *self,
     CommyEtcdAnswerKind kind,
     const char *path,
     char *body,
     gboolean is_repeatable,
     CommyEtcdCallFunc done)
{
  const CommyEtcdAsk asked = { .kind = kind,
                               .path = path,
                               .body = body,
                               .is_repeatable = is_repeatable,
                               .timeout_ns = MAX (get_left (self), 1),
                               .done = done,
                               .user_data = self };

  self->call = commy_etcd_cluster_call (self->owner->settings.cluster, &asked);
}

/* --- ranges --- */

static const char *
last_key (const Operation *self)
{
  return self->entries->len > 0
             ? g_array_index (self->entries, CommyStoreEntry, self->entries->len - 1).key
             : NULL;
}

static void
read_from_the_beginning (Operation *self)
{
  g_clear_pointer (&self->entries, g_array_unref);
  self->revision = 0;
  self->begin (self);
}

/* Takes the page's entries; the keys grow, or reading on would never end. */
static gboolean
take_page (Operation *self, const CommyEtcdAnswer *page, GError **error)
{
  const char *last = self->entries != NULL ? last_key (self) : NULL;

  for (guint i = 0; i < page->entries->len; i++)
    {
      const CommyStoreEntry *entry = &g_array_index (page->entries, CommyStoreEntry, i);

      if (!g_str_has_prefix (entry->key, self->prefix)
          || (last != NULL && strcmp (last, entry->key) >= 0)
          || entry->mod_revision > (self->revision != 0 ? self->revision : page->revision))
        {
          g_set_error_literal (error, COMMY_ETCD_ERROR, COMMY_ERROR_PROTOCOL,
                               "etcd's answer is malformed: keys out of order or not asked for");
          return FALSE;
        }
      last = entry->key;
    }
  if (self->entries == NULL)
    {
      self->entries = g_array_ref (page->entries);
      self->revision = page->revision;
      return TRUE;
    }
  if (page->entries->len > 0)
    g_array_append_vals (self->entries, page->entries->data, page->entries->len);
  /* They are the array's now. */
  g_array_set_clear_func (page->entries, NULL);
  return TRUE;
}

static void
end_range (Operation *self)
{
  const CommyStoreResult result = { .struct_size = sizeof (CommyStoreResult),
                                    .succeeded = TRUE,
                                    .revision = self->revision,
                                    .entries = (gconstpointer) self->entries->data,
                                    .n_entries = self->entries->len };

  answer (self, &result, NULL);
}

static void
on_page (gpointer user_data, const CommyEtcdAnswer *page, int code, const GError *error)
{
  Operation *self = user_data;
  g_autoptr (GError) bad = NULL;

  self->call = NULL;
  if (error != NULL && code == COMMY_ETCD_CODE_OUT_OF_RANGE && self->revision != 0
      && self->n_restarts++ < MAX_RESTARTS)
    {
      read_from_the_beginning (self);
      return;
    }
  if (g_error_matches (error, COMMY_ETCD_ERROR, COMMY_ERROR_TOO_BIG) && self->page > 1)
    {
      self->page /= 2; /* large values: fewer at once */
      self->begin (self);
      return;
    }
  if (error != NULL || !take_page (self, page, &bad))
    {
      answer (self, NULL, error != NULL ? error : bad);
      return;
    }
  if (!page->more)
    {
      end_range (self);
      return;
    }
  if (page->entries->len == 0 || self->entries->len > MAX_ENTRIES)
    {
      g_set_error (&bad, COMMY_ETCD_ERROR, COMMY_ERROR_TOO_BIG,
                   "there are more than %u keys below %s in etcd, or keys with a NUL", MAX_ENTRIES,
                   self->prefix);
      answer (self, NULL, bad);
      return;
    }
  self->begin (self);
}

static void
begin_range (Operation *self)
{
  CommyEtcdOperations *owner = self->owner;
  const char *prefix = commy_etcd_cluster_get_prefix (owner->settings.cluster);

  ask (self, COMMY_ETCD_RANGE, "/v3/kv/range",
       commy_etcd_write_range (prefix, self->prefix, self->entries != NULL ? last_key (self) : NULL,
                               self->revision, self->page),
       TRUE, on_page);
}

void
commy_etcd_operations_range (CommyEtcdOperations *self,
                             const char *prefix,
                             CommyStoreDoneFunc done,
                             gpointer user_data)
{
  Operation *operation = operation_new (self, begin_range, done, user_data);

  operation->prefix = g_strdup (prefix);
  operation->page = self->settings.page;
  advance (self);
}

/* --- transactions --- */

/* Takes in those behind it, which wait for its answer. */
static char *
write_together (Operation *self)
{
  CommyEtcdBundle *bundle = commy_etcd_bundle_new ();

  commy_etcd_bundle_add (bundle, self->part);
  self->n_together = 1;
  for (GList *at = self->owner->queue.head->next; at != NULL && !self->is_alone; at = at->next)
    {
      Operation *next = at->data;

      if (next->part == NULL || next->error != NULL || next->is_alone
          || !commy_etcd_bundle_add (bundle, next->part))
        break;
      next->began = TRUE;
      self->n_together++;
    }
  return commy_etcd_bundle_write (bundle);
}

static void begin_txn (Operation *self);

/* etcd did nothing of it, and says so of all for what may be one's fault. */
static void
go_alone (Operation *self)
{
  GList *at = self->owner->queue.head;

  for (guint i = 0; i < self->n_together; i++, at = at->next)
    {
      Operation *operation = at->data;

      operation->is_alone = TRUE;
      operation->began = operation == self;
    }
  begin_txn (self);
}

static void
on_txn (gpointer user_data, const CommyEtcdAnswer *said, int code, const GError *error)
{
  Operation *self = user_data;
  CommyEtcdOperations *owner = self->owner;
  CommyStoreResult result = { .struct_size = sizeof (CommyStoreResult) };
  guint n = self->n_together;

  self->call = NULL;
  if (code != 0 && n > 1)
    {
      go_alone (self);
      return;
    }
  if (error == NULL)
    {
      result.succeeded = said->succeeded;
      result.revision = said->revision;
    }
  /* Those that it took in are the head in turn; nothing begins before they are answered. */
  for (guint i = 0; i < n; i++)
    answer (g_queue_peek_head (&owner->queue), error == NULL ? &result : NULL, error);
}

static void
begin_txn (Operation *self)
{
  char *body;

  self->n_together = 1;
  body = self->part != NULL ? write_together (self) : g_steal_pointer (&self->body);
  ask (self, COMMY_ETCD_TXN, "/v3/kv/txn", body, FALSE, on_txn);
}

static void
write_down (Operation *self,
            const CommyStoreCompare *compares,
            gsize n_compares,
            const CommyStoreOp *ops,
            gsize n_ops)
{
  const char *prefix = commy_etcd_cluster_get_prefix (self->owner->settings.cluster);

  if (n_compares == 0)
    self->part = commy_etcd_part_new (prefix, ops, n_ops);
  if (self->part == NULL)
    self->body = commy_etcd_write_txn (prefix, compares, n_compares, ops, n_ops);
}

void
commy_etcd_operations_txn (CommyEtcdOperations *self,
                           const CommyStoreCompare *compares,
                           gsize n_compares,
                           const CommyStoreOp *ops,
                           gsize n_ops,
                           CommyStoreDoneFunc done,
                           gpointer user_data)
{
  Operation *operation = operation_new (self, begin_txn, done, user_data);

  if (operation->error == NULL
      && commy_store_check_txn (compares, n_compares, ops, n_ops, self->settings.max_value,
                                &operation->error))
    write_down (operation, compares, n_compares, ops, n_ops);
  advance (self);
}

/* --- leases --- */

static void
answer_lease (Operation *self, gint64 revision, const GError *error)
{
  const CommyStoreResult result = { .struct_size = sizeof (CommyStoreResult),
                                    .succeeded = TRUE,
                                    .revision = revision,
                                    .lease = self->lease };

  answer (self, error == NULL ? &result : NULL, error);
}

/* The id is ours and asked for again if need be, so "exists already" is the first attempt's. */
static void
on_grant (gpointer user_data, const CommyEtcdAnswer *said, int code, const GError *error)
{
  Operation *self = user_data;

  self->call = NULL;
  if (code == COMMY_ETCD_CODE_PRECONDITION)
    error = NULL;
  if (error == NULL)
    commy_etcd_leases_keep (self->owner->settings.leases, self->lease,
                            MAX (said != NULL ? said->ttl : 0, self->ttl));
  answer_lease (self, said != NULL ? said->revision : 0, error);
}

static void
begin_grant (Operation *self)
{
  ask (self, COMMY_ETCD_LEASE, "/v3/lease/grant", commy_etcd_write_grant (self->lease, self->ttl),
       TRUE, on_grant);
}

void
commy_etcd_operations_grant (CommyEtcdOperations *self,
                             gint64 ttl_ns,
                             CommyStoreDoneFunc done,
                             gpointer user_data)
{
  Operation *operation = operation_new (self, begin_grant, done, user_data);
  CommyHost *host = self->settings.host;
  guint64 random = 0;

  while (random == 0)
    {
      host->random (host, &random, sizeof random);
      random >>= 1;
    }
  operation->lease = (gint64) random;
  ttl_ns = MAX (ttl_ns, self->settings.lease_ttl_ns);
  operation->ttl = ttl_ns / SECOND_NS + (ttl_ns % SECOND_NS != 0);
  advance (self);
}

static void
on_revoke (gpointer user_data, const CommyEtcdAnswer *said, int code, const GError *error)
{
  Operation *self = user_data;
  g_autoptr (GError) missing = NULL;

  self->call = NULL;
  /* One of ours that is gone is what was wanted: an attempt whose answer was lost ended it, or
   * time. */
  if (code == COMMY_ETCD_CODE_NOT_FOUND && self->was_ours)
    error = NULL;
  else if (code == COMMY_ETCD_CODE_NOT_FOUND)
    g_set_error (&missing, COMMY_ETCD_ERROR, COMMY_ERROR_STORE,
                 "there is no lease %" G_GINT64_FORMAT " to end", self->lease);
  answer_lease (self, said != NULL ? said->revision : 0, missing != NULL ? missing : error);
}

static void
begin_revoke (Operation *self)
{
  self->was_ours = commy_etcd_leases_drop (self->owner->settings.leases, self->lease);
  ask (self, COMMY_ETCD_LEASE, "/v3/lease/revoke", commy_etcd_write_lease (self->lease), TRUE,
       on_revoke);
}

void
commy_etcd_operations_revoke (CommyEtcdOperations *self,
                              gint64 lease,
                              CommyStoreDoneFunc done,
                              gpointer user_data)
{
  Operation *operation = operation_new (self, begin_revoke, done, user_data);

  operation->lease = lease;
  advance (self);
}

/* --- life --- */

CommyEtcdOperations *
commy_etcd_operations_new (const CommyEtcdOperationsSettings *settings)
{
  CommyEtcdOperations *self = g_new0 (CommyEtcdOperations, 1);

  self->settings = *settings;
  g_queue_init (&self->queue);
  return self;
}

void
commy_etcd_operations_free (CommyEtcdOperations *self)
{
  g_autoptr (GError) error = NULL;
  Operation *operation;

  if (self == NULL)
    return;
  self->advancing = TRUE; /* nothing begins any more */
  g_set_error_literal (&error, COMMY_ETCD_ERROR, COMMY_ERROR_LEAVING, "the mesh is being left");
  while ((operation = g_queue_peek_head (&self->queue)) != NULL)
    answer (operation, NULL, error);
  g_free (self);
}
