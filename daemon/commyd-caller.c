/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A caller: see the header.
 */
#include "config.h"

#include "daemon/commyd-caller.h"

#include "base/commy-error-private.h"

#include <glib-unix.h>

#define FRAMES_A_TURN 64
/* So much of what a user may have waiting makes one connection a slow one. */
#define SLOW_SHARE 8

static gboolean on_writable (int fd, GIOCondition condition, gpointer data);
static gboolean on_readable (int fd, GIOCondition condition, gpointer data);

static CommydCaller *
caller_ref (CommydCaller *self)
{
  g_ref_count_inc (&self->refs);
  return self;
}

void
commyd_caller_unref (gpointer caller)
{
  CommydCaller *self = caller;

  if (!g_ref_count_dec (&self->refs))
    return;
  g_hash_table_unref (self->watches);
  g_free (self);
}

static void
clear_source (guint *id)
{
  if (*id != 0)
    g_source_remove (*id);
  *id = 0;
}

void
commyd_caller_close (CommydCaller *self, const GError *why)
{
  const CommydInnerHead head = { .type = COMMYD_INNER_CLOSED,
                                 .connection = self->connection,
                                 .number = why != NULL ? why->code : 0 };

  if (self->is_closed)
    return;
  if (why != NULL)
    commyd_caller_send (
        self, store_wire_write_error (STORE_WIRE_REFUSED, 0, why->code, commy_error_bare (why)));
  self->is_closed = TRUE;
  clear_source (&self->in_source);
  clear_source (&self->out_source);
  clear_source (&self->go_on);
  store_stream_close (&self->stream);
  self->door->waiting -= self->waiting;
  commyd_door_send (self->door, &head, why != NULL ? commy_error_bare (why) : NULL);
  g_hash_table_remove (self->door->callers, &self->connection);
}

/* --- what waits --- */

/* What waits here counts for the user, whose door this is. */
static void
count_waiting (CommydCaller *self)
{
  guint64 waiting = store_stream_pending (&self->stream) + self->stream.out_bytes;

  self->door->waiting += waiting - self->waiting;
  self->waiting = waiting;
}

static gboolean
is_slow (const CommydCaller *self)
{
  return self->stream.out_bytes > self->door->most / SLOW_SHARE;
}

static gboolean
may_proceed (const CommydCaller *self)
{
  return !self->is_closed && !self->is_asking && !is_slow (self)
         && !commyd_door_is_full (self->door) && self->door->link.n_sent >= self->may_read_at;
}

/* Whether the socket is to be looked at, in either direction. */
static void
update_sources (CommydCaller *self)
{
  if (self->is_closed)
    return;
  count_waiting (self);
  if (self->stream.out_bytes > 0 && self->out_source == 0)
    self->out_source = g_unix_fd_add (self->stream.fd, G_IO_OUT, on_writable, self);
  if (self->stream.out_bytes == 0)
    clear_source (&self->out_source);
  if (may_proceed (self) && self->in_source == 0)
    self->in_source = g_unix_fd_add (self->stream.fd, G_IO_IN, on_readable, self);
  if (!may_proceed (self))
    clear_source (&self->in_source);
}

/* --- sending --- */

void
commyd_caller_send (CommydCaller *self, GByteArray *frame)
{
  if (self->is_closed)
    {
      g_byte_array_unref (frame);
      return;
    }
  /* A connection that has ended is met again where it is read. */
  store_stream_send (&self->stream, frame, NULL);
  update_sources (self);
}

static gboolean
on_writable (int fd, GIOCondition condition, gpointer data)
{
  CommydCaller *self = data;

  if (!store_stream_flush (&self->stream, NULL))
    commyd_caller_close (self, NULL);
  else
    commyd_caller_go_on (self);
  return G_SOURCE_CONTINUE; /* closing has removed it */
}

static void
say_too_big (CommydCaller *self, guint64 id)
{
  g_autoptr (GError) error = NULL;

  commy_set_error (&error, COMMY_ERROR_TOO_BIG,
                   "the answer has more bytes than a user may have waiting: ask for a longer "
                   "prefix, or raise waiting of [daemon]");
  commyd_caller_send (
      self, store_wire_write_error (STORE_WIRE_ERROR, id, error->code, commy_error_bare (error)));
}

/* The first piece decides for all of them; what the keeper says of itself is short. */
static gboolean
fits (const CommydCaller *self, const CommydInner *record)
{
  return self->door->waiting + (guint64) record->head.number <= self->door->most;
}

static gboolean
is_wanted (CommydCaller *self, const CommydInner *record)
{
  gpointer is_cut;

  if (record->head.type == COMMYD_INNER_END)
    return TRUE;
  if (record->head.type == COMMYD_INNER_ANSWER)
    return fits (self, record);
  if (!g_hash_table_lookup_extended (self->watches, &record->head.id, NULL, &is_cut)
      || GPOINTER_TO_INT (is_cut))
    return FALSE;
  if (!is_slow (self) && fits (self, record))
    return TRUE;
  g_hash_table_insert (self->watches, g_memdup2 (&record->head.id, sizeof record->head.id),
                       GINT_TO_POINTER (TRUE));
  commyd_door_send (self->door,
                    &(CommydInnerHead){ .type = COMMYD_INNER_CUT,
                                        .connection = self->connection,
                                        .id = record->head.id,
                                        .number = (gint64) self->stream.out_bytes },
                    NULL);
  return FALSE;
}

void
commyd_caller_take (CommydCaller *self, const CommydInner *record)
{
  const CommydInnerHead *head = &record->head;
  const gboolean is_answer = head->type == COMMYD_INNER_ANSWER;

  if (head->other == 0)
    self->is_dropping = !is_wanted (self, record);
  if (!self->is_dropping)
    {
      GByteArray *piece = g_byte_array_sized_new (head->piece_size);

      g_byte_array_append (piece, record->piece, head->piece_size);
      commyd_caller_send (self, piece);
    }
  else if (is_answer && head->other == 0)
    say_too_big (self, head->id);
  if (head->other + head->piece_size < head->number)
    return;
  if (head->type == COMMYD_INNER_END)
    g_hash_table_remove (self->watches, &head->id);
  if (is_answer)
    self->is_asking = FALSE;
  commyd_caller_go_on (self);
}

/* --- receiving --- */

static gboolean
check_memory (CommydCaller *self, GError **error)
{
  count_waiting (self);
  if (self->door->waiting <= self->door->most)
    return TRUE;
  commy_set_error (error, COMMY_ERROR_BUSY,
                   "%" G_GUINT64_FORMAT " bytes of a user wait to be read or to be sent, "
                   "%" G_GUINT64_FORMAT " may (waiting of [daemon])",
                   self->door->waiting, self->door->most);
  return FALSE;
}

/* Looks at the frames that are here, but for as many as would keep others waiting. */
static void
process (CommydCaller *self)
{
  g_autoptr (GError) error = NULL;
  int found = 1;

  caller_ref (self);
  for (int i = 0; i < FRAMES_A_TURN && found == 1 && may_proceed (self); i++)
    {
      StoreWireHeader header;
      const guint8 *payload;

      found = store_stream_next (&self->stream, &header, &payload, &error);
      if (found == 1 && !commyd_caller_handle (self, &header, payload, &error))
        found = -1;
    }
  if (found < 0)
    commyd_caller_close (self, error);
  else
    store_stream_tidy (&self->stream);
  if (found == 1)
    commyd_caller_go_on (self);
  update_sources (self);
  commyd_caller_unref (self);
}

static gboolean
on_go_on (gpointer data)
{
  CommydCaller *self = data;

  self->go_on = 0;
  process (self);
  return G_SOURCE_REMOVE;
}

void
commyd_caller_go_on (CommydCaller *self)
{
  if (self->is_closed)
    return;
  if (self->go_on == 0 && may_proceed (self)
      && store_stream_pending (&self->stream) >= STORE_WIRE_HEADER)
    self->go_on = g_idle_add_full (G_PRIORITY_DEFAULT, on_go_on, self, NULL);
  update_sources (self);
}

static gboolean
on_readable (int fd, GIOCondition condition, gpointer data)
{
  CommydCaller *self = data;
  g_autoptr (GError) error = NULL;

  if (!store_stream_fill (&self->stream, NULL))
    commyd_caller_close (self, NULL);
  else if (!check_memory (self, &error))
    commyd_caller_close (self, error);
  else
    process (self);
  return G_SOURCE_CONTINUE;
}

void
commyd_caller_open (CommydDoor *door, guint64 connection, int fd)
{
  CommydCaller *self = g_new0 (CommydCaller, 1);

  g_ref_count_init (&self->refs);
  self->door = door;
  self->connection = connection;
  self->watches = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL);
  store_stream_open (&self->stream, fd, STORE_WIRE_MAX_GREETING);
  g_hash_table_insert (door->callers, &self->connection, self);
  commyd_door_send (
      door, &(CommydInnerHead){ .type = COMMYD_INNER_OPENED, .connection = connection }, NULL);
  /* What was read of it is the next door's loss if this one dies: the keeper has to know before. */
  self->may_read_at = door->link.n_sent + door->link.out.length;
  update_sources (self);
}
