/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A session: see the header.
 */
#include "config.h"

#include "daemon/commyd-session.h"

#include "base/commy-error-private.h"

#include <glib-unix.h>
#include <unistd.h>

#define MOST_WORDS 1024u /* of a door, about why it closed one: a client has a say in them */

CommydSession *
commyd_session_ref (CommydSession *self)
{
  g_ref_count_inc (&self->refs);
  return self;
}

static void
forget_fd (CommydSession *self)
{
  if (self->fd >= 0)
    close (self->fd);
  self->fd = -1;
}

void
commyd_session_unref (gpointer session)
{
  CommydSession *self = session;

  if (!g_ref_count_dec (&self->refs))
    return;
  g_hash_table_unref (self->watches);
  g_hash_table_unref (self->leases);
  forget_fd (self);
  g_free (self);
}

/* What it had ends; its door may not know yet. */
static void
let_go (CommydSession *self)
{
  GHashTableIter iter;
  gpointer lease;

  if (self->is_closed)
    return;
  self->is_closed = TRUE;
  if (self->death_source != 0)
    g_source_remove (self->death_source);
  self->death_source = 0;
  if (self->pidfd >= 0)
    close (self->pidfd);
  self->pidfd = -1;
  g_hash_table_remove_all (self->watches);
  g_hash_table_iter_init (&iter, self->leases);
  /* When the daemon ends, who is connected has not: the next one gives them time to come back. */
  while (!self->server->is_closing && g_hash_table_iter_next (&iter, &lease, NULL))
    commyd_server_doom (self->server, *(const gint64 *) lease);
  self->user->n_leases -= g_hash_table_size (self->leases);
  g_hash_table_remove_all (self->leases);
}

void
commyd_session_close (CommydSession *self)
{
  let_go (self);
  commyd_keeper_close (self->user, self);
}

void
commyd_session_end (CommydSession *self)
{
  CommydUser *user = self->user;

  let_go (self);
  forget_fd (self); /* requests may hold it for longer */
  self->user = NULL;
  commyd_keeper_forget (user, self);
}

const char *
commyd_session_taken (CommydSession *self)
{
  if (self->is_taken)
    return "it takes a connection twice";
  self->is_taken = TRUE;
  forget_fd (self);
  return NULL;
}

/* For the log, which has lines: none that a client has begun. (transfer full) */
static char *
dup_words (const CommydInner *record)
{
  g_autofree char *given = g_strndup (record->key, MIN (record->head.key_size, MOST_WORDS));
  g_autofree char *valid = g_utf8_make_valid (given, -1);
  GString *words = g_string_new (NULL);

  for (const char *at = valid; *at != '\0'; at = g_utf8_next_char (at))
    g_string_append_unichar (words,
                             g_unichar_isprint (g_utf8_get_char (at)) ? g_utf8_get_char (at) : '?');
  return g_string_free (words, FALSE);
}

void
commyd_session_closed (CommydSession *self, const CommydInner *record)
{
  if (record->head.number != 0)
    {
      g_autofree char *words = dup_words (record);
      g_autoptr (GError) error = NULL;

      commy_set_error (&error, (int) CLAMP (record->head.number, 1, 9999), "%s", words);
      commyd_audit_refused (self->server->audit, &self->uid, error);
      g_message ("the connection of process %d of user %u is closed: %s", self->pid, self->uid,
                 commy_error_bare (error));
    }
  commyd_session_end (self);
}

void
commyd_session_send (CommydSession *self, CommydInnerType type, guint64 id, GByteArray *frames)
{
  if (self->is_closed)
    g_byte_array_unref (frames);
  else
    commyd_keeper_send (self->user, type, self->connection, id, frames);
}

/* The process has ended, even if a forked child of it still holds the socket. */
static gboolean
on_death (int fd, GIOCondition condition, gpointer data)
{
  commyd_session_close (data);
  return G_SOURCE_CONTINUE; /* closing has removed it */
}

void
commyd_session_start (CommydUser *user, int fd, const CommydPeer *peer)
{
  CommydSession *self = g_new0 (CommydSession, 1);

  g_ref_count_init (&self->refs);
  self->server = user->server;
  self->user = user;
  self->uid = peer->uid;
  self->pid = peer->pid;
  self->pidfd = peer->pidfd;
  self->connection = ++user->server->last_connection;
  self->fd = fd;
  self->watches = g_hash_table_new_full (g_int64_hash, g_int64_equal, NULL, commyd_watch_free);
  self->leases = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL);
  if (self->pidfd >= 0)
    self->death_source = g_unix_fd_add (self->pidfd, G_IO_IN, on_death, self);
  commyd_keeper_open (user, self);
  commyd_session_unref (self);
}
