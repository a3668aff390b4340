/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The link: see the header. A request that was sent and not answered when the connection breaks
 * ends with an error, because nobody knows whether it happened; one that was not sent yet waits for
 * the daemon to come back until its time is over.
 */
#include "config.h"

#include "commy-commyd-link.h"

#include "stores/common/commy-store-door.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RETRY_NS G_GINT64_CONSTANT (50000000)
#define WATCH_BIT (G_GUINT64_CONSTANT (1) << 63)

typedef enum
{
  LINK_AWAY,
  LINK_GREETING, /* connected; whether the daemon takes us is not known */
  LINK_READY,
} LinkState;

typedef struct
{
  guint64 id;
  GByteArray *frame; /* until it was sent */
  CommyStoreDoneFunc done;
  gpointer user_data;
  gint64 deadline;
  gboolean is_done;
  GError *error;
  StoreWireAnswer answer;
  gsize answer_size;
} Operation;

typedef struct
{
  grefcount refs;
  guint id;
  char *prefix;
  gint64 after;
  CommyStoreWatchEventFunc event; /* NULL: over */
  gpointer user_data;
  StoreWireAnswer answer;
  gsize answer_size;
} Watch;

struct _CommydLink
{
  CommydLinkSettings settings;
  LinkState state;
  StoreStream stream;
  guint in_watch;
  guint out_watch;
  guint retry_timer;
  guint deadline_timer;
  GError *why; /* why the daemon was not reached last */
  guint64 last_id;
  guint last_watch;
  GQueue operations; /* in order of asking */
  GHashTable *watches;
};

static void link_try (CommydLink *self);
static void on_writable (gpointer data, int fd, guint condition);

/* --- operations --- */

static void
operation_free (Operation *self)
{
  g_clear_pointer (&self->frame, g_byte_array_unref);
  g_clear_error (&self->error);
  store_wire_answer_clear (&self->answer);
  g_free (self);
}

static void
operation_finish (Operation *self)
{
  CommyStoreResult result = { .struct_size = sizeof result,
                              .succeeded = self->answer.succeeded,
                              .revision = self->answer.revision,
                              .lease = self->answer.lease };

  if (self->answer.entries != NULL)
    {
      result.entries = (const CommyStoreEntry *) (gpointer) self->answer.entries->data;
      result.n_entries = self->answer.entries->len;
    }
  self->done (self->user_data, self->error == NULL ? &result : NULL, self->error);
  operation_free (self);
}

/* Calls back for all that have ended, up to the first that has not. */
static void
settle (CommydLink *self)
{
  Operation *first;

  while ((first = g_queue_peek_head (&self->operations)) != NULL && first->is_done)
    operation_finish (g_queue_pop_head (&self->operations));
}

static void
operation_fail (Operation *self, const GError *error)
{
  if (self->is_done)
    return;
  self->is_done = TRUE;
  self->error = g_error_copy (error);
}

/* --- watches --- */

static void
watch_unref (gpointer data)
{
  Watch *watch = data;

  if (!g_ref_count_dec (&watch->refs))
    return;
  store_wire_answer_clear (&watch->answer);
  g_free (watch->prefix);
  g_free (watch);
}

static Watch *
watch_ref (Watch *watch)
{
  g_ref_count_inc (&watch->refs);
  return watch;
}

/* The watch is over; its callback is told why. */
static void
end_watch (CommydLink *self, Watch *watch, const GError *error)
{
  CommyStoreWatchEventFunc event = watch->event;
  gpointer user_data = watch->user_data;
  gint64 after = watch->after;

  if (event == NULL)
    return;
  watch->event = NULL;
  g_hash_table_remove (self->watches, GUINT_TO_POINTER (watch->id));
  event (user_data, NULL, 0, after, error);
}

/* Over a copy: the callbacks may end any watch or begin new ones. */
static void
end_all_watches (CommydLink *self, const GError *error)
{
  g_autoptr (GPtrArray) watches = g_ptr_array_new_with_free_func (watch_unref);
  GHashTableIter iter;
  gpointer watch;

  g_hash_table_iter_init (&iter, self->watches);
  while (g_hash_table_iter_next (&iter, NULL, &watch))
    g_ptr_array_add (watches, watch_ref (watch));
  for (guint i = 0; i < watches->len; i++)
    end_watch (self, watches->pdata[i], error);
}

static void
deliver (Watch *watch)
{
  g_auto (StoreWireAnswer) answer = watch->answer;

  watch->answer = (StoreWireAnswer){ 0 };
  watch->answer_size = 0;
  watch->after = answer.revision;
  watch->event (watch->user_data, (const CommyStoreEntry *) (gpointer) answer.entries->data,
                answer.entries->len, answer.revision, NULL);
}

/* --- the connection --- */

static void
remove_source (CommydLink *self, guint *id)
{
  if (*id != 0)
    self->settings.host->remove (self->settings.host, *id);
  *id = 0;
}

static void
update_out_watch (CommydLink *self)
{
  CommyHost *host = self->settings.host;

  if (self->state != LINK_AWAY && self->stream.out_bytes > 0 && self->out_watch == 0)
    self->out_watch = host->watch_fd (host, self->stream.fd, G_IO_OUT, on_writable, self);
  else if (self->state == LINK_AWAY || self->stream.out_bytes == 0)
    remove_source (self, &self->out_watch);
}

/* That the daemon is gone is met where the socket is read. */
static void
send_frame (CommydLink *self, GByteArray *frame)
{
  store_stream_send (&self->stream, frame, NULL);
  update_out_watch (self);
}

static void
on_retry (gpointer data)
{
  CommydLink *self = data;

  self->retry_timer = 0;
  link_try (self);
  if (self->state != LINK_AWAY || self->why == NULL)
    return;
  {
    g_autoptr (GError) why = g_error_copy (self->why);

    end_all_watches (self, why);
  }
}

static void
plan_retry (CommydLink *self)
{
  CommyHost *host = self->settings.host;

  if (self->retry_timer == 0
      && (g_queue_get_length (&self->operations) > 0 || g_hash_table_size (self->watches) > 0))
    self->retry_timer = host->add_timer (host, RETRY_NS, on_retry, self);
}

static void
close_stream (CommydLink *self)
{
  remove_source (self, &self->in_watch);
  remove_source (self, &self->out_watch);
  store_stream_close (&self->stream);
  self->state = LINK_AWAY;
}

/* What was sent has ended in a way that nobody knows; leases and watches are gone. */
static void
lose (CommydLink *self, const GError *cause, gboolean is_final)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *line = g_strdup_printf ("the connection to commyd is over: %s", cause->message);

  self->settings.host->log (self->settings.host, G_LOG_LEVEL_MESSAGE, line);
  store_wire_set_error (&error, cause->code, "%s", line);
  close_stream (self);
  for (GList *item = self->operations.head; item != NULL; item = item->next)
    {
      Operation *operation = item->data;

      if (operation->frame == NULL || is_final)
        operation_fail (operation, error);
    }
  end_all_watches (self, error);
  settle (self);
  plan_retry (self);
}

static void
send_all (CommydLink *self)
{
  GHashTableIter iter;
  gpointer value;

  for (GList *item = self->operations.head; item != NULL; item = item->next)
    {
      Operation *operation = item->data;

      if (operation->frame != NULL)
        send_frame (self, g_steal_pointer (&operation->frame));
    }
  g_hash_table_iter_init (&iter, self->watches);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      const Watch *watch = value;

      send_frame (self, store_wire_write_prefix (STORE_WIRE_WATCH, WATCH_BIT | watch->id,
                                                 watch->prefix, watch->after));
    }
}

/* --- what arrives --- */

static Operation *
find_operation (CommydLink *self, guint64 id)
{
  for (GList *item = self->operations.head; item != NULL; item = item->next)
    {
      Operation *operation = item->data;

      if (operation->id == id && !operation->is_done && operation->frame == NULL)
        return operation;
    }
  return NULL;
}

static gboolean
take_part (CommydLink *self,
           const StoreWireHeader *header,
           const guint8 *payload,
           StoreWireAnswer *answer,
           gsize *size,
           GError **error)
{
  *size += header->size;
  if (*size > self->settings.max_answer)
    {
      store_wire_set_error (error, COMMY_ERROR_TOO_BIG,
                            "an answer of commyd is larger than %" G_GSIZE_FORMAT
                            " bytes (max-answer)",
                            self->settings.max_answer);
      return FALSE;
    }
  return store_wire_read_answer (payload, header->size, answer, error);
}

static gboolean
take_result (CommydLink *self, const StoreWireHeader *header, const guint8 *payload, GError **error)
{
  Operation *operation = find_operation (self, header->id);

  if (operation == NULL)
    {
      store_wire_set_error (error, COMMY_ERROR_PROTOCOL, "it answers what was not asked");
      return FALSE;
    }
  if (header->type == STORE_WIRE_ERROR)
    {
      operation->is_done = TRUE;
      operation->error = store_wire_read_error (payload, header->size);
    }
  else if (!take_part (self, header, payload, &operation->answer, &operation->answer_size, error))
    return FALSE;
  else
    operation->is_done = (header->flags & STORE_WIRE_MORE) == 0;
  settle (self);
  return TRUE;
}

/* What comes for a watch that was ended here meanwhile is let go. */
static gboolean
take_event (CommydLink *self, const StoreWireHeader *header, const guint8 *payload, GError **error)
{
  guint id = (guint) (header->id & G_MAXUINT);
  Watch *watch = g_hash_table_lookup (self->watches, GUINT_TO_POINTER (id));
  gboolean is_good = TRUE;

  if (watch == NULL)
    return TRUE;
  watch_ref (watch);
  if (header->type == STORE_WIRE_ERROR)
    {
      g_autoptr (GError) ended = store_wire_read_error (payload, header->size);

      end_watch (self, watch, ended);
    }
  else if (!take_part (self, header, payload, &watch->answer, &watch->answer_size, error))
    is_good = FALSE;
  else if ((header->flags & STORE_WIRE_MORE) == 0)
    deliver (watch);
  watch_unref (watch);
  return is_good;
}

static gboolean
take_welcome (CommydLink *self,
              const StoreWireHeader *header,
              const guint8 *payload,
              GError **error)
{
  g_auto (StoreWireWelcome) welcome = { 0 };

  if (!store_wire_read_welcome (payload, header->size, &welcome, error))
    return FALSE;
  if (welcome.version != STORE_WIRE_VERSION)
    {
      store_wire_set_error (
          error, COMMY_ERROR_VERSION,
          "it speaks version %u of the protocol, not %u: install the same version "
          "of both",
          welcome.version, STORE_WIRE_VERSION);
      return FALSE;
    }
  self->state = LINK_READY;
  g_clear_error (&self->why);
  send_all (self);
  return TRUE;
}

/* FALSE: the daemon breaks the rules, or does not want us. */
static gboolean
take_frame (CommydLink *self, const StoreWireHeader *header, const guint8 *payload, GError **error)
{
  gboolean is_watch = (header->id & WATCH_BIT) != 0;
  gboolean is_error = header->type == STORE_WIRE_ERROR;

  if (header->type == STORE_WIRE_REFUSED)
    {
      g_propagate_error (error, store_wire_read_error (payload, header->size));
      return FALSE;
    }
  if (self->state == LINK_GREETING && header->type == STORE_WIRE_WELCOME)
    return take_welcome (self, header, payload, error);
  if (self->state == LINK_READY && !is_watch && (is_error || header->type == STORE_WIRE_RESULT))
    return take_result (self, header, payload, error);
  if (self->state == LINK_READY && is_watch && (is_error || header->type == STORE_WIRE_EVENT))
    return take_event (self, header, payload, error);
  store_wire_set_error (error, COMMY_ERROR_PROTOCOL, "a frame of type %u cannot come here",
                        header->type);
  return FALSE;
}

static void
on_readable (gpointer data, int fd, guint condition)
{
  CommydLink *self = data;
  g_autoptr (GError) end = NULL;
  g_autoptr (GError) error = NULL;
  gboolean is_open = store_stream_fill (&self->stream, &end);
  int found = 1;

  /* What came before the end is still read: it may say why. */
  while (found == 1 && self->state != LINK_AWAY)
    {
      StoreWireHeader header = { 0 };
      const guint8 *payload;

      found = store_stream_next (&self->stream, &header, &payload, &error);
      if (found == 1 && !take_frame (self, &header, payload, &error))
        found = -1;
    }
  /* Who refuses us or speaks something else will do so again: what waits does not wait for that. */
  if (self->state != LINK_AWAY && (found < 0 || !is_open))
    lose (self, error != NULL ? error : end, found < 0);
}

static void
on_writable (gpointer data, int fd, guint condition)
{
  CommydLink *self = data;

  store_stream_flush (&self->stream, NULL);
  update_out_watch (self);
}

/* --- connecting --- */

static const char *
choose_path (CommydLink *self)
{
  const char *own = self->settings.own_path;

  return own != NULL && access (own, F_OK) == 0 ? own : self->settings.system_path;
}

/* One attempt; what waits is sent when the daemon has said welcome. */
static void
link_try (CommydLink *self)
{
  CommyHost *host = self->settings.host;
  const char *path = choose_path (self);
  const StoreWireHello hello
      = { .version = STORE_WIRE_VERSION, .mesh = (char *) host->info (host, COMMY_HOST_MESH) };
  int fd;

  if (self->state != LINK_AWAY)
    return;
  g_clear_error (&self->why);
  fd = store_door_connect (path, &self->why);
  if (fd >= 0 && !store_door_check (fd, path, &self->why))
    {
      close (fd);
      fd = -1;
    }
  if (fd < 0)
    {
      plan_retry (self);
      return;
    }
  store_stream_open (&self->stream, fd, STORE_WIRE_MAX);
  self->state = LINK_GREETING;
  self->in_watch = host->watch_fd (host, fd, G_IO_IN, on_readable, self);
  send_frame (self, store_wire_write_hello (&hello));
}

/* --- time --- */

static void plan_deadline (CommydLink *self);

static void
on_deadline (gpointer data)
{
  CommydLink *self = data;
  CommyHost *host = self->settings.host;
  const Operation *first = g_queue_peek_head (&self->operations);
  g_autoptr (GError) error = NULL;

  self->deadline_timer = 0;
  if (first != NULL && first->deadline <= host->now_ns (host))
    {
      if (self->state == LINK_AWAY && self->why != NULL)
        error = g_error_copy (self->why);
      else
        store_wire_set_error (&error, COMMY_ERROR_STORE,
                              "commyd does not answer for %" G_GINT64_FORMAT " ms (timeout)",
                              self->settings.timeout_ns / 1000000);
      if (self->state != LINK_AWAY)
        lose (self, error, TRUE);
      for (GList *item = self->operations.head; item != NULL; item = item->next)
        if (((Operation *) item->data)->deadline <= host->now_ns (host))
          operation_fail (item->data, error);
      settle (self);
    }
  plan_deadline (self);
}

/* For the oldest of them: those that follow have more time. */
static void
plan_deadline (CommydLink *self)
{
  CommyHost *host = self->settings.host;
  const Operation *first = g_queue_peek_head (&self->operations);

  if (self->deadline_timer == 0 && first != NULL)
    self->deadline_timer
        = host->add_timer (host, MAX (first->deadline - host->now_ns (host), 0), on_deadline, self);
}

/* --- from above --- */

CommydLink *
commyd_link_new (const CommydLinkSettings *settings)
{
  CommydLink *self = g_new0 (CommydLink, 1);

  self->settings = *settings;
  self->stream.fd = -1;
  g_queue_init (&self->operations);
  self->watches = g_hash_table_new_full (NULL, NULL, NULL, watch_unref);
  return self;
}

/* The daemon closes its side when it has ended the leases. */
static void
say_goodbye (CommydLink *self, gint64 leave_ns)
{
  CommyHost *host = self->settings.host;
  gint64 until = host->now_ns (host) + leave_ns;

  if (self->state != LINK_READY || shutdown (self->stream.fd, SHUT_WR) < 0)
    return;
  for (gint64 left = leave_ns; left > 0; left = until - host->now_ns (host))
    {
      struct pollfd ready = { .fd = self->stream.fd, .events = POLLIN };
      char bytes[4096];

      if (poll (&ready, 1, (int) (left / 1000000) + 1) > 0
          && recv (self->stream.fd, bytes, sizeof bytes, MSG_DONTWAIT) <= 0 && errno != EINTR)
        return;
    }
}

void
commyd_link_free (CommydLink *self, gint64 leave_ns)
{
  g_autoptr (GError) error = NULL;

  if (self == NULL)
    return;
  g_hash_table_remove_all (self->watches);
  say_goodbye (self, leave_ns);
  close_stream (self);
  store_wire_set_error (&error, COMMY_ERROR_LEAVING, "the mesh is left");
  for (GList *item = self->operations.head; item != NULL; item = item->next)
    operation_fail (item->data, error);
  settle (self);
  remove_source (self, &self->retry_timer);
  remove_source (self, &self->deadline_timer);
  g_hash_table_unref (self->watches);
  g_clear_error (&self->why);
  g_free (self->settings.own_path);
  g_free (self->settings.system_path);
  g_free (self);
}

guint64
commyd_link_next_id (CommydLink *self)
{
  return ++self->last_id;
}

static Operation *
add_operation (CommydLink *self, guint64 id, CommyStoreDoneFunc done, gpointer user_data)
{
  Operation *operation = g_new0 (Operation, 1);
  CommyHost *host = self->settings.host;

  operation->id = id;
  operation->done = done;
  operation->user_data = user_data;
  operation->deadline = host->now_ns (host) + self->settings.timeout_ns;
  g_queue_push_tail (&self->operations, operation);
  return operation;
}

void
commyd_link_ask (
    CommydLink *self, guint64 id, GByteArray *frame, CommyStoreDoneFunc done, gpointer user_data)
{
  Operation *operation = add_operation (self, id, done, user_data);

  if (self->state == LINK_READY)
    send_frame (self, frame);
  else
    operation->frame = frame;
  plan_deadline (self);
  link_try (self);
}

void
commyd_link_fail (CommydLink *self,
                  const GError *error,
                  CommyStoreDoneFunc done,
                  gpointer user_data)
{
  operation_fail (add_operation (self, 0, done, user_data), error);
  settle (self);
}

guint
commyd_link_watch (CommydLink *self,
                   const char *prefix,
                   gint64 after,
                   CommyStoreWatchEventFunc event,
                   gpointer user_data)
{
  Watch *watch = g_new0 (Watch, 1);

  g_ref_count_init (&watch->refs);
  do
    watch->id = ++self->last_watch;
  while (watch->id == 0 || g_hash_table_contains (self->watches, GUINT_TO_POINTER (watch->id)));
  watch->prefix = g_strdup (prefix);
  watch->after = after;
  watch->event = event;
  watch->user_data = user_data;
  g_hash_table_insert (self->watches, GUINT_TO_POINTER (watch->id), watch);
  if (self->state == LINK_READY)
    send_frame (self,
                store_wire_write_prefix (STORE_WIRE_WATCH, WATCH_BIT | watch->id, prefix, after));
  else
    link_try (self);
  return watch->id;
}

void
commyd_link_unwatch (CommydLink *self, guint id)
{
  Watch *watch = g_hash_table_lookup (self->watches, GUINT_TO_POINTER (id));

  if (watch == NULL)
    return;
  watch->event = NULL;
  g_hash_table_remove (self->watches, GUINT_TO_POINTER (id));
  if (self->state == LINK_READY)
    send_frame (self, store_wire_write_empty (STORE_WIRE_UNWATCH, WATCH_BIT | id));
}
