/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Keeping doors: see the header. Nothing waits for a door: what it does not take is bounded, and
 * who takes nothing at all for a while, or says what cannot be, is ended with its connections.
 */
#include "config.h"

#include "daemon/commyd-keeper.h"

#include "daemon/commyd-door-process.h"
#include "daemon/commyd-sandbox.h"
#include "daemon/commyd-session.h"

#include "base/commy-error-private.h"

#include <errno.h>
#include <fcntl.h>
#include <glib-unix.h>
#include <stdlib.h>
#include <unistd.h>

#define RECORDS_A_TURN 256
#define SLOW_SHARE 8
#define PAUSE_FIRST_MS 100u
#define PAUSE_MOST_MS 10000u
#define FORGET_MS 60000u
#define LONG_LIFE_US (60 * G_USEC_PER_SEC)
#define MOST_DOORS_TRIED 3u /* a connection may be what they die of */

static gboolean on_writable (int fd, GIOCondition condition, gpointer data);
static gboolean on_readable (int fd, GIOCondition condition, gpointer data);
static void end_door (CommydUser *self, const char *fault);

static void
clear_source (guint *id)
{
  if (*id != 0)
    g_source_remove (*id);
  *id = 0;
}

gboolean
commyd_keeper_is_slow (const CommydUser *self)
{
  return self->link.out_bytes > self->server->rights.limits.waiting / SLOW_SHARE;
}

/* --- the socket --- */

/* A door that lives takes what there is for it at once, whatever its clients do. */
static gboolean
on_stall (gpointer data)
{
  CommydUser *self = data;

  self->stall_timer = 0;
  if (self->n_taken == self->link.n_sent)
    end_door (self, "it does not take what it is given");
  else
    {
      self->n_taken = self->link.n_sent;
      self->stall_timer = g_timeout_add (self->server->stall_ms, on_stall, self);
    }
  return G_SOURCE_REMOVE;
}

/* Whether the socket is to be looked at, in either direction. */
static void
update_sources (CommydUser *self)
{
  const gboolean is_open = self->link.fd >= 0;
  const gboolean has_out = is_open && self->link.out_bytes > 0;
  const gboolean may_read = is_open && !commyd_keeper_is_slow (self);

  if (has_out && self->out_source == 0)
    {
      self->out_source = g_unix_fd_add (self->link.fd, G_IO_OUT, on_writable, self);
      self->n_taken = self->link.n_sent;
      self->stall_timer = g_timeout_add (self->server->stall_ms, on_stall, self);
    }
  if (!has_out)
    {
      clear_source (&self->out_source);
      clear_source (&self->stall_timer);
    }
  if (may_read && self->in_source == 0)
    self->in_source = g_unix_fd_add (self->link.fd, G_IO_IN, on_readable, self);
  if (!may_read)
    clear_source (&self->in_source);
}

static gboolean
on_writable (int fd, GIOCondition condition, gpointer data)
{
  CommydUser *self = data;

  commyd_link_flush (&self->link);
  if ((condition & (G_IO_HUP | G_IO_ERR)) != 0)
    end_door (self, NULL);
  else
    update_sources (self);
  return G_SOURCE_CONTINUE; /* whoever ends it has removed it */
}

/* What a door says of itself, before it has read anything. Who looks after the daemon is to hear
 * without asking that what was promised of doors is not so. */
static void
note_confinement (CommydUser *self, guint64 confinement)
{
  g_autofree char *words = commyd_sandbox_describe (confinement);

  self->confinement = confinement;
  if ((confinement & COMMYD_CONFINED_SECCOMP) != 0 || self->server->is_loose_told)
    return;
  self->server->is_loose_told = TRUE;
  g_message ("no filter of system calls confines what reads users' frames, but %s: see commyd(8)",
             words[0] != '\0' ? words : "nothing");
}

/* What is wrong with it; NULL: nothing. */
static const char *
take (CommydUser *self, const CommydInner *record)
{
  CommydSession *session = g_hash_table_lookup (self->sessions, &record->head.connection);

  if (record->head.type == COMMYD_INNER_READY)
    {
      if (self->is_ready)
        return "it is ready twice";
      self->is_ready = TRUE;
      note_confinement (self, (guint64) record->head.number);
      return NULL;
    }
  if (record->head.type >= COMMYD_INNER_SETTINGS)
    return "it says what only the keeper says";
  if (session == NULL)
    return "it speaks of a connection that it has not got";
  if (record->head.type == COMMYD_INNER_OPENED)
    return commyd_session_taken (session);
  if (record->head.type == COMMYD_INNER_CLOSED)
    {
      commyd_session_closed (session, record);
      return NULL;
    }
  if (!session->is_taken)
    return "it speaks of a connection that it has not taken";
  /* It does not know yet. */
  if (session->is_closed)
    return NULL;
  if (self->collect.connection != 0 && !commyd_collect_is_part (record))
    return "something comes in the middle of a transaction";
  return commyd_request_take (session, record);
}

static gboolean
on_readable (int fd, GIOCondition condition, gpointer data)
{
  CommydUser *self = data;
  const char *why = NULL;
  int found = 1;

  for (int i = 0; i < RECORDS_A_TURN && found == 1 && !commyd_keeper_is_slow (self); i++)
    {
      CommydInner record;

      found = commyd_link_receive (&self->link, &record, NULL, &why);
      if (found == 1)
        why = take (self, &record);
      if (why != NULL)
        found = -1;
    }
  if (found < 0)
    end_door (self, why);
  else
    update_sources (self);
  return G_SOURCE_CONTINUE;
}

/* --- ending and starting --- */

/* What became of it; NULL: there is no process. (transfer full) */
static char *
kill_door (CommydUser *self)
{
  const GPid pid = self->pid;

  self->pid = 0;
  return pid != 0 ? commyd_door_kill (pid) : NULL;
}

static gboolean on_timer (gpointer data);

static void
set_timer (CommydUser *self, guint ms)
{
  clear_source (&self->timer);
  self->timer = g_timeout_add (ms, on_timer, self);
}

static void
pause_doors (CommydUser *self)
{
  if (g_get_monotonic_time () - self->begun_us > LONG_LIFE_US)
    self->pause_ms = PAUSE_FIRST_MS;
  self->is_pausing = TRUE;
  set_timer (self, self->pause_ms);
  self->pause_ms = MIN (self->pause_ms * 2, PAUSE_MOST_MS);
}

static void
close_link (CommydUser *self)
{
  clear_source (&self->in_source);
  clear_source (&self->out_source);
  clear_source (&self->stall_timer);
  commyd_link_close (&self->link);
  commyd_collect_clear (&self->collect);
  self->is_ready = FALSE;
}

/* What a dead door said last, and nobody heard: of that counts only which connections it had taken.
 */
static void
hear_last (CommydUser *self)
{
  CommydInner record;
  const char *why;

  if (self->link.fd < 0)
    return;
  commyd_link_hang_up (&self->link);
  while (commyd_link_receive (&self->link, &record, NULL, &why) == 1)
    {
      CommydSession *session = g_hash_table_lookup (self->sessions, &record.head.connection);

      if (record.head.type == COMMYD_INNER_OPENED && session != NULL)
        commyd_session_taken (session);
    }
}

/* All of its connections; but those that it had not taken wait for the next door, @if_honest. */
static void
end_sessions (CommydUser *self, gboolean if_honest)
{
  g_autoptr (GList) sessions = g_hash_table_get_values (self->sessions);

  for (GList *each = sessions; each != NULL; each = each->next)
    {
      CommydSession *session = each->data;

      if (!if_honest || session->is_closed || session->fd < 0)
        commyd_session_end (session);
    }
}

/* @fault: what it did that cannot be, or why there is none; NULL: it has died. */
static void
end_door (CommydUser *self, const char *fault)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *end = kill_door (self);
  guint n_before = g_hash_table_size (self->sessions);

  if (fault == NULL)
    hear_last (self);
  close_link (self);
  end_sessions (self, fault == NULL);
  commy_set_error (&error, COMMY_ERROR_PROTOCOL,
                   "the door of user %u is ended, with %u connections: %s", self->uid,
                   n_before - g_hash_table_size (self->sessions),
                   fault != NULL ? fault
                   : end != NULL ? end
                                 : "its socket is closed");
  self->server->n_doors_lost++;
  commyd_audit_refused (self->server->audit, &self->uid, error);
  g_message ("%s", commy_error_bare (error));
  pause_doors (self);
}

/* To the door that there is. The record has a descriptor of its own, as it may wait for longer than
 * the session is there. The last door that is tried gets the only one. */
static void
give (CommydUser *self, CommydSession *session)
{
  int fd = -1;

  if (++session->n_doors < MOST_DOORS_TRIED)
    fd = fcntl (session->fd, F_DUPFD_CLOEXEC, 0);
  if (fd < 0)
    fd = g_steal_fd (&session->fd);
  commyd_link_send_open (&self->link, session->connection, fd);
}

static CommydInnerHead
settings_of (const CommydUser *self)
{
  return (CommydInnerHead){ .type = COMMYD_INNER_SETTINGS,
                            .number = (gint64) self->server->rights.limits.waiting,
                            .other = self->server->since };
}

static void
start_door (CommydUser *self)
{
  g_autoptr (GError) error = NULL;
  CommydInnerHead settings;
  GHashTableIter iter;
  gpointer session;
  int fd = -1;

  clear_source (&self->timer);
  self->is_pausing = FALSE;
  self->begun_us = g_get_monotonic_time ();
  if (!self->server->spawn (self->server, &self->pid, &fd, &error))
    {
      self->pid = 0;
      end_door (self, error->message);
      return;
    }
  if (self->pid != 0)
    commyd_door_limit (self->pid, &self->server->rights.limits);
  settings = settings_of (self);
  commyd_link_open (&self->link, fd, &settings);
  g_hash_table_iter_init (&iter, self->sessions);
  while (g_hash_table_iter_next (&iter, NULL, &session))
    give (self, session);
  update_sources (self);
}

/* The pause is over, or nobody was connected for a while. */
static gboolean
on_timer (gpointer data)
{
  CommydUser *self = data;

  self->timer = 0;
  if (g_hash_table_size (self->sessions) > 0)
    start_door (self);
  else if (self->is_pausing)
    {
      /* Who was trouble is remembered for longer. */
      self->is_pausing = FALSE;
      set_timer (self, FORGET_MS);
    }
  else if (self->waiting > 0)
    set_timer (self, self->server->linger_ms); /* forgotten, it could have as much again */
  else
    g_hash_table_remove (self->server->users, GUINT_TO_POINTER (self->uid));
  return G_SOURCE_REMOVE;
}

/* --- users --- */

CommydUser *
commyd_keeper_user_ref (CommydUser *self)
{
  g_ref_count_inc (&self->refs);
  return self;
}

void
commyd_keeper_user_unref (CommydUser *self)
{
  if (g_ref_count_dec (&self->refs))
    g_free (self);
}

void
commyd_keeper_user_leave (gpointer user)
{
  CommydUser *self = user;
  g_autoptr (GList) sessions = g_hash_table_get_values (self->sessions);

  g_free (kill_door (self));
  close_link (self);
  for (GList *each = sessions; each != NULL; each = each->next)
    commyd_session_end (each->data);
  clear_source (&self->timer);
  g_hash_table_unref (self->sessions);
  commyd_keeper_user_unref (self);
}

/* One that is not connected any more makes room; one whose doors have died, only if there is no
 * other: forgotten, it would begin again without a pause. */
static gboolean
make_room (CommydServer *server)
{
  const CommydUser *found = NULL;
  GHashTableIter iter;
  gpointer value;

  if (g_hash_table_size (server->users) < server->rights.limits.users)
    return TRUE;
  g_hash_table_iter_init (&iter, server->users);
  while (g_hash_table_iter_next (&iter, NULL, &value))
    {
      const CommydUser *user = value;

      if (g_hash_table_size (user->sessions) == 0 && user->waiting == 0
          && (found == NULL || user->pause_ms < found->pause_ms))
        found = user;
    }
  if (found != NULL)
    g_hash_table_remove (server->users, GUINT_TO_POINTER (found->uid));
  return found != NULL;
}

static CommydUser *
user_new (CommydServer *server, guint32 uid)
{
  CommydUser *self = g_new0 (CommydUser, 1);

  g_ref_count_init (&self->refs);
  self->server = server;
  self->uid = uid;
  self->pause_ms = PAUSE_FIRST_MS;
  self->sessions = g_hash_table_new_full (g_int64_hash, g_int64_equal, NULL, commyd_session_unref);
  commyd_link_init (&self->link);
  g_hash_table_insert (server->users, GUINT_TO_POINTER (uid), self);
  return self;
}

CommydUser *
commyd_keeper_enter (CommydServer *server, guint32 uid, GError **error)
{
  CommydUser *self = g_hash_table_lookup (server->users, GUINT_TO_POINTER (uid));

  if (self != NULL && g_hash_table_size (self->sessions) < server->rights.limits.connections)
    return self;
  /* Whose daemon it is can always look what is wrong with it. */
  if (self == NULL && (make_room (server) || uid == 0 || uid == server->rights.own_uid))
    return user_new (server, uid);
  server->n_refused++;
  if (self != NULL)
    commy_set_error (error, COMMY_ERROR_BUSY,
                     "user %u has %u connections to commyd already (connections of [daemon])", uid,
                     g_hash_table_size (self->sessions));
  else
    commy_set_error (error, COMMY_ERROR_BUSY,
                     "%u users are connected to commyd, as many as may be at a time (users of "
                     "[daemon])",
                     g_hash_table_size (server->users));
  return NULL;
}

/* --- for sessions --- */

void
commyd_keeper_open (CommydUser *self, CommydSession *session)
{
  g_hash_table_insert (self->sessions, &session->connection, commyd_session_ref (session));
  if (self->is_pausing)
    return;
  clear_source (&self->timer);
  if (self->link.fd < 0)
    start_door (self);
  else
    give (self, session);
  update_sources (self);
}

void
commyd_keeper_close (CommydUser *self, CommydSession *session)
{
  const CommydInnerHead head = { .type = COMMYD_INNER_CLOSE, .connection = session->connection };

  if (self->link.fd < 0)
    {
      commyd_session_end (session);
      return;
    }
  if (self->collect.connection == session->connection)
    commyd_collect_clear (&self->collect);
  commyd_link_send (&self->link, &head, NULL);
  update_sources (self);
}

void
commyd_keeper_forget (CommydUser *self, CommydSession *session)
{
  if (self->collect.connection == session->connection)
    commyd_collect_clear (&self->collect);
  g_hash_table_remove (self->sessions, &session->connection);
  if (g_hash_table_size (self->sessions) == 0 && !self->is_pausing)
    set_timer (self, self->server->linger_ms);
}

void
commyd_keeper_send (
    CommydUser *self, CommydInnerType type, guint64 connection, guint64 id, GByteArray *frames)
{
  const CommydInnerHead head = { .type = type, .connection = connection, .id = id };

  commyd_link_send_pieces (&self->link, &head, frames->data, frames->len);
  g_byte_array_unref (frames);
  update_sources (self);
}

void
commyd_keeper_configure (CommydUser *self)
{
  const CommydInnerHead head = settings_of (self);

  if (self->link.fd < 0)
    return;
  if (self->pid != 0)
    commyd_door_limit (self->pid, &self->server->rights.limits);
  commyd_link_send (&self->link, &head, NULL);
  update_sources (self);
}
