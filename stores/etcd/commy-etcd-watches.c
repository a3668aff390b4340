/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Watches: each knows the revision up to which it was told, so any stream can go on with it. A
 * stream is one endless answer that carries the watches its request named. Nothing can be added
 * to it, so new watches get a stream of their own, which takes in those that are no larger: n
 * watches are at most log n streams, and each is moved at most log n times.
 */
#include "config.h"

#include "commy-etcd-watches.h"

#include <string.h>

typedef struct _Watch Watch;

/* The kernel notices a connection that is lost without a word (commy-http.c). A stream that
 * says nothing for so long although the cluster has moved on is opened anew all the same. */
#define SILENCE_NS G_GINT64_CONSTANT (60000000000)

/* Who reads many ranges watches each of them then: new watches wait for one another while ranges
 * are read, but not longer than this in all. */
#define GATHER_NS G_GINT64_CONSTANT (20000000)
#define GATHER_MOST_NS G_GINT64_CONSTANT (500000000)

/* One at most is being opened. */
typedef struct
{
  CommyEtcdWatches *owner;
  CommyHttpExchange *exchange;
  const char *member;
  GPtrArray *watches; /* of Watch, referenced; those that ended meanwhile too */
  guint timer;        /* until all of them are there */
  gint64 until_ns;    /* which is not waited for any longer */
  guint doubt;        /* until it must have said something, because its member failed */
  gint64 doubt_ns;    /* since when */
  gint64 heard_ns;    /* when it last said anything */
  gint64 revision;    /* up to which, as it said */
} Stream;

struct _CommyEtcdWatches
{
  CommyHost *host;
  CommyEtcdCluster *cluster;
  GHashTable *watches; /* id to Watch */
  GPtrArray *streams;
  guint last_id;
  guint open_timer; /* watches wait for a stream */
  guint probe_timer;
  gint64 probe_ns;
  gint64 away_ns;   /* since when no stream can be opened; 0: it can */
  gint64 gather_ns; /* since when new watches wait for others; 0: none do */
  CommyEtcdCall *login;
  CommyEtcdCall *probe;
};

struct _Watch
{
  grefcount refs;
  CommyEtcdWatches *owner;
  guint id;
  char *prefix;
  gint64 after;                   /* told up to here */
  Stream *stream;                 /* NULL: it waits for one */
  CommyStoreWatchEventFunc event; /* NULL: over */
  gpointer user_data;
  gboolean is_there;    /* etcd has said so on this stream */
  gboolean was_denied;  /* and tried again with another token */
  CommyEtcdCall *check; /* whether its revision is of the future */
};

static void open_soon (CommyEtcdWatches *self, gint64 pause_ns);
static void await_opening (CommyEtcdWatches *self, gint64 pause_ns);

/* Asks the cluster as a whole for its revision, and for a token where one is needed. */
static CommyEtcdCall *
ask_cluster (CommyEtcdCluster *cluster, CommyEtcdCallFunc done, gpointer user_data)
{
  const CommyEtcdAsk ask
      = { .kind = COMMY_ETCD_RANGE,
          .path = "/v3/kv/range",
          .body = commy_etcd_write_probe (commy_etcd_cluster_get_prefix (cluster)),
          .is_repeatable = TRUE,
          .done = done,
          .user_data = user_data };

  return commy_etcd_cluster_call (cluster, &ask);
}

/* --- a watch --- */

static void
watch_unref (gpointer data)
{
  Watch *self = data;

  if (!g_ref_count_dec (&self->refs))
    return;
  g_free (self->prefix);
  g_free (self);
}

static Watch *
watch_ref (Watch *self)
{
  g_ref_count_inc (&self->refs);
  return self;
}

static void
watch_over (Watch *self)
{
  self->event = NULL;
  self->stream = NULL;
  if (self->check != NULL)
    commy_etcd_call_cancel (self->check);
  self->check = NULL;
  g_hash_table_remove (self->owner->watches, GUINT_TO_POINTER (self->id));
}

static void
end_watch (Watch *self, const GError *error)
{
  CommyStoreWatchEventFunc event = self->event;
  g_autoptr (GError) kept = g_error_copy (error);
  gpointer user_data = self->user_data;
  gint64 after = self->after;

  if (event == NULL)
    return;
  watch_over (self);
  event (user_data, NULL, 0, after, kept);
}

static void
end_with_error (Watch *self, CommyError number, const char *why)
{
  g_autoptr (GError) error = g_error_new (COMMY_ETCD_ERROR, (int) number,
                                          "the watch of \"%s\" after revision %" G_GINT64_FORMAT
                                          " is over, read the range again: %s",
                                          self->prefix, self->after, why);

  end_watch (self, error);
}

/* --- streams --- */

static void
stream_free (gpointer data)
{
  Stream *self = data;

  commy_http_cancel (self->exchange);
  if (self->timer != 0)
    self->owner->host->remove (self->owner->host, self->timer);
  if (self->doubt != 0)
    self->owner->host->remove (self->owner->host, self->doubt);
  for (guint i = 0; i < self->watches->len; i++)
    {
      Watch *watch = self->watches->pdata[i];

      if (watch->stream == self)
        watch->stream = NULL;
    }
  g_ptr_array_unref (self->watches);
  g_free (self);
}

static guint
count_live (const Stream *self)
{
  guint n = 0;

  for (guint i = 0; i < self->watches->len; i++)
    n += ((Watch *) self->watches->pdata[i])->stream == self;
  return n;
}

/* The callbacks may end any watch or begin new ones, so they run over a list of their own. */
static void
end_all (CommyEtcdWatches *self, CommyError number, const char *why)
{
  g_autoptr (GPtrArray) watches = g_ptr_array_new_with_free_func (watch_unref);
  GHashTableIter iter;
  gpointer watch;

  g_hash_table_iter_init (&iter, self->watches);
  while (g_hash_table_iter_next (&iter, NULL, &watch))
    g_ptr_array_add (watches, watch_ref (watch));
  for (guint i = 0; i < watches->len; i++)
    end_with_error (watches->pdata[i], number, why);
}

/* The watches wait for another stream; when none comes for too long their readers hear it. */
static void
lose (Stream *stream, const char *why)
{
  CommyEtcdWatches *self = stream->owner;
  gint64 now_ns = self->host->now_ns (self->host);
  const char *member = stream->member;
  gint64 pause_ns;

  g_ptr_array_remove_fast (self->streams, stream);
  pause_ns = commy_etcd_cluster_failed (self->cluster, member, why);
  if (self->away_ns == 0)
    self->away_ns = now_ns;
  if (now_ns - self->away_ns >= commy_etcd_cluster_get_timeout (self->cluster))
    {
      self->away_ns = 0;
      end_all (self, COMMY_ERROR_STORE, why);
    }
  open_soon (self, pause_ns);
}

static Watch *
find_watch (Stream *stream, gint64 id)
{
  Watch *watch = id > 0 && id <= G_MAXUINT
                     ? g_hash_table_lookup (stream->owner->watches, GUINT_TO_POINTER ((guint) id))
                     : NULL;

  return watch != NULL && watch->stream == stream ? watch : NULL;
}

static Watch *
find_awaited (Stream *stream)
{
  for (guint i = 0; i < stream->watches->len; i++)
    {
      Watch *watch = stream->watches->pdata[i];

      if (watch->stream == stream && !watch->is_there)
        return watch;
    }
  return NULL;
}

static void
on_checked (gpointer user_data, const CommyEtcdAnswer *answer, int code, const GError *error)
{
  Watch *self = user_data;

  self->check = NULL;
  if (error != NULL)
    end_with_error (self, (CommyError) error->code, error->message);
  else if (answer->revision < self->after)
    end_with_error (self, COMMY_ERROR_STORE,
                    "etcd is not there yet: the revision is of another "
                    "cluster or time");
}

/* Whether changes are newer than what was told, and in order. */
static gboolean
are_in_order (const Watch *self, const CommyEtcdAnswer *answer)
{
  gint64 last = self->after + 1;

  for (guint i = 0; i < answer->entries->len; i++)
    {
      const CommyStoreEntry *entry = &g_array_index (answer->entries, CommyStoreEntry, i);

      if (entry->mod_revision < last || !g_str_has_prefix (entry->key, self->prefix))
        return FALSE;
      last = entry->mod_revision;
    }
  return answer->entries->len == 0 || last <= answer->revision;
}

static void
tell (Watch *self, const CommyEtcdAnswer *answer)
{
  gint64 last = self->after;

  if (answer->entries->len > 0)
    last = g_array_index (answer->entries, CommyStoreEntry, answer->entries->len - 1).mod_revision;
  /* Of a fragment the rest of the last revision is still to come, and comes again if need be. */
  self->after = answer->fragment ? MAX (self->after, last - 1) : MAX (self->after, last);
  /* The revision of the header may be far beyond: to who is behind etcd tells a thousand revisions
   * at a time. */
  if (answer->entries->len > 0)
    self->event (self->user_data, (gconstpointer) answer->entries->data, answer->entries->len, last,
                 NULL);
}

static void
on_denied (Watch *self, const char *why)
{
  CommyEtcdWatches *owner = self->owner;

  if (self->was_denied)
    {
      end_with_error (self, COMMY_ERROR_DENIED, why);
      return;
    }
  /* The token may have come of age: once more with another. */
  self->was_denied = TRUE;
  self->stream = NULL;
  commy_etcd_cluster_drop_token (owner->cluster);
  open_soon (owner, 0);
}

/* Returns FALSE if the whole stream is lost. */
static gboolean
on_cancelled (Watch *self, const CommyEtcdAnswer *answer)
{
  const char *why = answer->message != NULL ? answer->message : "etcd ended it";
  g_autofree char *compacted = NULL;

  if (answer->compacted > 0)
    {
      compacted = g_strdup_printf ("etcd remembers changes from revision %" G_GINT64_FORMAT
                                   " on only (compacted)",
                                   answer->compacted);
      end_with_error (self, COMMY_ERROR_STORE, compacted);
      return TRUE;
    }
  if (strstr (why, "ermission") == NULL && strstr (why, "auth token") == NULL
      && strstr (why, "auth store is old") == NULL && strstr (why, "user name is empty") == NULL)
    return FALSE;
  on_denied (self, why);
  return TRUE;
}

static void
take_line (Stream *stream, const CommyEtcdAnswer *answer)
{
  CommyEtcdWatches *self = stream->owner;
  Watch *watch = find_watch (stream, answer->watch);

  self->away_ns = 0;
  stream->heard_ns = self->host->now_ns (self->host);
  stream->revision = MAX (stream->revision, answer->revision);
  /* Since 3.5 etcd does not name the watch that it refuses; it answers in order of asking. */
  if (watch == NULL && answer->watch == -1 && answer->created && answer->cancelled)
    watch = find_awaited (stream);
  commy_etcd_cluster_saw (self->cluster, answer->revision);
  if (watch == NULL)
    return; /* of one that is over */
  if (answer->cancelled)
    {
      if (!on_cancelled (watch, answer))
        lose (stream, answer->message != NULL ? answer->message : "etcd ended a watch");
      return;
    }
  watch->was_denied = FALSE;
  watch->is_there = TRUE;
  /* This member may only be behind: the cluster as a whole decides. */
  if (answer->created && answer->revision < watch->after && watch->check == NULL)
    watch->check = ask_cluster (self->cluster, on_checked, watch);
  if (!are_in_order (watch, answer))
    {
      lose (stream, "it tells changes that were not asked for or out of order");
      return;
    }
  /* A line without changes says that there were none up to its revision. */
  if (answer->entries->len == 0 && !answer->created)
    watch->after = MAX (watch->after, answer->revision);
  else
    tell (watch, answer);
}

static void
on_line (gpointer user_data, const char *line, gsize size)
{
  Stream *stream = user_data;
  CommyEtcdWatches *self = stream->owner;
  g_auto (CommyEtcdAnswer) answer = { 0 };
  g_autoptr (GError) error = NULL;

  if (!commy_etcd_read (COMMY_ETCD_WATCH, commy_etcd_cluster_get_prefix (self->cluster), line, size,
                        &answer, &error))
    lose (stream, error->message);
  else if (answer.code == COMMY_ETCD_CODE_UNAUTHENTICATED)
    {
      commy_etcd_cluster_drop_token (self->cluster);
      lose (stream, answer.message);
    }
  else if (answer.code != 0)
    lose (stream, answer.message);
  else
    take_line (stream, &answer);
}

static void
on_stream_over (gpointer user_data, const CommyHttpReply *reply, const GError *error)
{
  Stream *stream = user_data;
  g_auto (CommyEtcdAnswer) failure = { 0 };

  stream->exchange = NULL;
  if (error == NULL && reply->status != 200
      && commy_etcd_read (COMMY_ETCD_FAILURE, "", reply->data, reply->size, &failure, NULL))
    {
      if (failure.code == COMMY_ETCD_CODE_UNAUTHENTICATED)
        commy_etcd_cluster_drop_token (stream->owner->cluster);
      lose (stream, failure.message);
      return;
    }
  lose (stream, error != NULL ? error->message : "it ended the stream of changes");
}

/* --- opening --- */

static void
add_to (Stream *stream, Watch *watch)
{
  watch->stream = stream;
  watch->is_there = FALSE;
  g_ptr_array_add (stream->watches, watch_ref (watch));
}

static void
take_waiting (CommyEtcdWatches *self, Stream *stream)
{
  GHashTableIter iter;
  gpointer watch;

  g_hash_table_iter_init (&iter, self->watches);
  while (g_hash_table_iter_next (&iter, NULL, &watch))
    if (((Watch *) watch)->stream == NULL)
      add_to (stream, watch);
}

/* Streams that are no larger end here and their watches go on in this one. */
static void
take_in (CommyEtcdWatches *self, Stream *stream)
{
  for (guint i = 0; i < self->streams->len;)
    {
      Stream *other = self->streams->pdata[i];

      if (count_live (other) > stream->watches->len)
        {
          i++;
          continue;
        }
      g_ptr_array_remove_index_fast (self->streams, i);
      take_waiting (self, stream);
      i = 0;
    }
}

static gboolean
has_begun (const Stream *self)
{
  for (guint i = 0; i < self->watches->len; i++)
    {
      const Watch *watch = self->watches->pdata[i];

      if (watch->stream == self && !watch->is_there)
        return FALSE;
    }
  return TRUE;
}

static gboolean
has_spoken (const Stream *self, gint64 now_ns)
{
  return self->revision > 0
         && now_ns - self->heard_ns < commy_etcd_cluster_get_attempt (self->owner->cluster);
}

static void on_late (gpointer user_data);

static void
be_patient (Stream *self)
{
  CommyEtcdWatches *owner = self->owner;

  self->timer = owner->host->add_timer (
      owner->host, commy_etcd_cluster_get_attempt (owner->cluster), on_late, self);
}

/* A member with much to do begins them one by one: to ask again would only make it more. */
static void
on_late (gpointer user_data)
{
  Stream *stream = user_data;
  gint64 now_ns = stream->owner->host->now_ns (stream->owner->host);

  stream->timer = 0;
  if (has_begun (stream))
    return;
  if (has_spoken (stream, now_ns) && now_ns < stream->until_ns)
    be_patient (stream);
  else
    lose (stream, "it does not begin what it was asked to watch");
}

static char *
write_request (CommyEtcdWatches *self, Stream *stream)
{
  const char *prefix = commy_etcd_cluster_get_prefix (self->cluster);
  GString *request = g_string_new (NULL);

  for (guint i = 0; i < stream->watches->len; i++)
    {
      const Watch *watch = stream->watches->pdata[i];

      commy_etcd_write_watch (request, prefix, watch->prefix, watch->after + 1, watch->id);
    }
  return g_string_free (request, FALSE);
}

static void
open_stream (CommyEtcdWatches *self)
{
  Stream *stream = g_new0 (Stream, 1);
  g_autofree char *request = NULL;

  stream->owner = self;
  stream->watches = g_ptr_array_new_with_free_func (watch_unref);
  take_waiting (self, stream);
  if (stream->watches->len == 0)
    {
      stream_free (stream);
      return;
    }
  take_in (self, stream);
  request = write_request (self, stream);
  stream->member = commy_etcd_cluster_get_member (self->cluster);
  stream->heard_ns = self->host->now_ns (self->host);
  stream->until_ns = stream->heard_ns + commy_etcd_cluster_get_timeout (self->cluster);
  g_ptr_array_add (self->streams, stream);
  stream->exchange = commy_etcd_cluster_open_stream (self->cluster, "/v3/watch", request, on_line,
                                                     on_stream_over, stream);
  be_patient (stream);
}

/* A call has asked for a token, whatever else it did. */
static void
on_login (gpointer user_data, const CommyEtcdAnswer *answer, int code, const GError *error)
{
  CommyEtcdWatches *self = user_data;

  self->login = NULL;
  if (error == NULL)
    open_soon (self, 0);
  else
    end_all (self, (CommyError) error->code, error->message);
}

/* Whether it is worth waiting for more of them: each stream takes others in. */
static gboolean
must_gather (CommyEtcdWatches *self)
{
  return self->gather_ns != 0 && commy_etcd_cluster_is_reading (self->cluster)
         && self->host->now_ns (self->host) - self->gather_ns < GATHER_MOST_NS;
}

static void
on_open (gpointer user_data)
{
  CommyEtcdWatches *self = user_data;

  self->open_timer = 0;
  if (must_gather (self))
    {
      await_opening (self, GATHER_NS);
      return;
    }
  self->gather_ns = 0;
  if (!commy_etcd_cluster_lacks_token (self->cluster))
    open_stream (self);
  else if (self->login == NULL)
    self->login = ask_cluster (self->cluster, on_login, self);
}

static void
await_opening (CommyEtcdWatches *self, gint64 pause_ns)
{
  if (self->open_timer == 0)
    self->open_timer = self->host->add_timer (self->host, pause_ns, on_open, self);
}

/* For watches that had a stream. */
static void
open_soon (CommyEtcdWatches *self, gint64 pause_ns)
{
  self->gather_ns = 0;
  await_opening (self, pause_ns);
}

/* --- signs of life --- */

static void on_probe_timer (gpointer user_data);

static void
probe_later (CommyEtcdWatches *self)
{
  if (self->probe_timer == 0)
    self->probe_timer = self->host->add_timer (self->host, self->probe_ns, on_probe_timer, self);
}

/* That the member did not answer has moved the streams already. */
static void
on_probed (gpointer user_data, const CommyEtcdAnswer *answer, int code, const GError *error)
{
  CommyEtcdWatches *self = user_data;

  self->probe = NULL;
  if (error != NULL)
    end_all (self, (CommyError) error->code, error->message);
  if (g_hash_table_size (self->watches) > 0)
    probe_later (self);
}

static void
renew_silent (CommyEtcdWatches *self, gint64 now_ns)
{
  gint64 revision = commy_etcd_cluster_get_revision (self->cluster);

  for (guint i = 0; i < self->streams->len;)
    {
      const Stream *stream = self->streams->pdata[i];

      if (now_ns - stream->heard_ns < SILENCE_NS || stream->revision >= revision)
        {
          i++;
          continue;
        }
      g_ptr_array_remove_index_fast (self->streams, i);
      open_soon (self, 0);
    }
}

/* A silent stream may be one without news or one to a member that is gone. */
static void
on_probe_timer (gpointer user_data)
{
  CommyEtcdWatches *self = user_data;
  gint64 now_ns = self->host->now_ns (self->host);

  self->probe_timer = 0;
  if (g_hash_table_size (self->watches) == 0)
    return;
  renew_silent (self, now_ns);
  if (now_ns - commy_etcd_cluster_get_heard (self->cluster) < self->probe_ns)
    {
      probe_later (self);
      return;
    }
  self->probe = ask_cluster (self->cluster, on_probed, self);
}

/* --- from outside --- */

guint
commy_etcd_watches_add (CommyEtcdWatches *self,
                        const char *prefix,
                        gint64 after,
                        CommyStoreWatchEventFunc event,
                        gpointer user_data)
{
  Watch *watch = g_new0 (Watch, 1);

  g_ref_count_init (&watch->refs);
  watch->owner = self;
  do
    watch->id = ++self->last_id;
  while (watch->id == 0 || g_hash_table_contains (self->watches, GUINT_TO_POINTER (watch->id)));
  watch->prefix = g_strdup (prefix);
  watch->after = MAX (after, 0);
  watch->event = event;
  watch->user_data = user_data;
  g_hash_table_insert (self->watches, GUINT_TO_POINTER (watch->id), watch);
  if (self->open_timer == 0)
    self->gather_ns = self->host->now_ns (self->host);
  await_opening (self, 0);
  if (self->probe == NULL)
    probe_later (self);
  return watch->id;
}

/* A stream of which half is over gives the rest to another. */
static void
tidy (CommyEtcdWatches *self, Stream *stream)
{
  guint n_live = count_live (stream);

  if (n_live * 2 > stream->watches->len)
    return;
  g_ptr_array_remove_fast (self->streams, stream);
  if (n_live > 0)
    open_soon (self, 0);
}

void
commy_etcd_watches_remove (CommyEtcdWatches *self, guint id)
{
  Watch *watch = g_hash_table_lookup (self->watches, GUINT_TO_POINTER (id));
  Stream *stream = watch != NULL ? watch->stream : NULL;

  if (watch == NULL)
    return;
  watch_over (watch);
  if (stream != NULL)
    tidy (self, stream);
}

static void
on_doubt_over (gpointer user_data)
{
  Stream *stream = user_data;
  CommyEtcdWatches *self = stream->owner;

  stream->doubt = 0;
  if (stream->heard_ns > stream->doubt_ns)
    return;
  g_ptr_array_remove_fast (self->streams, stream);
  open_soon (self, 0);
}

static void
doubt (Stream *self, gint64 now_ns)
{
  CommyEtcdWatches *owner = self->owner;

  if (self->doubt != 0)
    return;
  self->doubt_ns = now_ns;
  self->doubt = owner->host->add_timer (
      owner->host, commy_etcd_cluster_get_attempt (owner->cluster), on_doubt_over, self);
}

/* A member that is slow to answer, but tells changes, has more to do than it can: what it has begun
 * to tell it would have to look for again. */
void
commy_etcd_watches_move (CommyEtcdWatches *self, gint64 pause_ns)
{
  gint64 now_ns = self->host->now_ns (self->host);

  for (guint i = 0; i < self->streams->len;)
    {
      Stream *stream = self->streams->pdata[i];

      if (has_spoken (stream, now_ns))
        {
          doubt (stream, now_ns);
          i++;
          continue;
        }
      g_ptr_array_remove_index_fast (self->streams, i);
      open_soon (self, pause_ns);
    }
}

CommyEtcdWatches *
commy_etcd_watches_new (CommyHost *host, CommyEtcdCluster *cluster, gint64 probe_ns)
{
  CommyEtcdWatches *self = g_new0 (CommyEtcdWatches, 1);

  self->host = host;
  self->cluster = cluster;
  self->probe_ns = probe_ns;
  self->watches = g_hash_table_new_full (NULL, NULL, NULL, watch_unref);
  self->streams = g_ptr_array_new_with_free_func (stream_free);
  return self;
}

void
commy_etcd_watches_free (CommyEtcdWatches *self)
{
  GHashTableIter iter;
  gpointer watch;

  if (self == NULL)
    return;
  g_hash_table_iter_init (&iter, self->watches);
  while (g_hash_table_iter_next (&iter, NULL, &watch))
    if (((Watch *) watch)->check != NULL)
      commy_etcd_call_cancel (((Watch *) watch)->check);
  g_ptr_array_unref (self->streams);
  g_hash_table_unref (self->watches);
  if (self->open_timer != 0)
    self->host->remove (self->host, self->open_timer);
  if (self->probe_timer != 0)
    self->host->remove (self->host, self->probe_timer);
  if (self->login != NULL)
    commy_etcd_call_cancel (self->login);
  if (self->probe != NULL)
    commy_etcd_call_cancel (self->probe);
  g_free (self);
}
