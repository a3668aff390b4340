/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A session: see the header. Reading stops while too much of it waits, here or in the store, so
 * that who does not read its answers is not asked for more; nothing grows without limit.
 */
#include "config.h"

#include "daemon/commyd-session.h"

#include "base/commy-error-private.h"

#include <errno.h>
#include <glib-unix.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

#define FRAMES_A_TURN 64
/* So much of what a user may have waiting makes one connection a slow one. */
#define SLOW_SHARE 8

static gboolean on_writable (int fd, GIOCondition condition, gpointer data);
static gboolean on_readable (int fd, GIOCondition condition, gpointer data);

CommydSession *
commyd_session_ref (CommydSession *self)
{
  g_ref_count_inc (&self->refs);
  return self;
}

void
commyd_session_unref (gpointer session)
{
  CommydSession *self = session;

  if (!g_ref_count_dec (&self->refs))
    return;
  g_hash_table_unref (self->watches);
  g_hash_table_unref (self->leases);
  g_free (self);
}

static void
clear_fd (int *fd)
{
  if (*fd >= 0)
    close (*fd);
  *fd = -1;
}

static void
clear_source (guint *id)
{
  if (*id != 0)
    g_source_remove (*id);
  *id = 0;
}

void
commyd_session_close (CommydSession *self, const GError *why)
{
  GHashTableIter iter;
  gpointer lease;

  if (self->is_closed)
    return;
  self->is_closed = TRUE;
  if (why != NULL)
    g_message ("the connection of process %d of user %u is closed: %s", self->pid, self->uid,
               commy_error_bare (why));
  clear_source (&self->in_source);
  clear_source (&self->out_source);
  clear_source (&self->death_source);
  clear_source (&self->go_on);
  store_stream_close (&self->stream);
  clear_fd (&self->pidfd);
  g_hash_table_remove_all (self->watches);
  g_hash_table_iter_init (&iter, self->leases);
  /* When the daemon ends, who is connected has not: the next one gives them time to come back. */
  while (!self->server->is_closing && g_hash_table_iter_next (&iter, &lease, NULL))
    commyd_server_doom (self->server, *(const gint64 *) lease);
  self->user->n_leases -= g_hash_table_size (self->leases);
  g_hash_table_remove_all (self->leases);
  self->user->waiting -= self->waiting;
  commyd_server_leave_user (self->server, self->user);
  self->user = NULL;
  commyd_server_forget (self->server, self);
}

/* What waits here counts for the user. */
static void
count_waiting (CommydSession *self)
{
  guint64 waiting = store_stream_pending (&self->stream) + self->stream.out_bytes;

  self->user->waiting += waiting - self->waiting;
  self->waiting = waiting;
}

gboolean
commyd_session_is_slow (const CommydSession *self)
{
  return self->stream.out_bytes > self->server->rights.limits.waiting / SLOW_SHARE;
}

static gboolean
may_proceed (const CommydSession *self)
{
  return !self->is_closed && !self->is_waiting && self->n_requests < COMMYD_MAX_REQUESTS
         && !commyd_session_is_slow (self);
}

/* Whether the socket is to be looked at, in either direction. */
static void
update_sources (CommydSession *self)
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
commyd_session_send (CommydSession *self, GByteArray *frame)
{
  g_autoptr (GError) error = NULL;

  if (self->is_closed)
    {
      g_byte_array_unref (frame);
      return;
    }
  /* A connection that has ended is met again where it is read. */
  store_stream_send (&self->stream, frame, &error);
  update_sources (self);
}

void
commyd_session_send_error (CommydSession *self, guint64 id, const GError *error)
{
  commyd_session_send (
      self, store_wire_write_error (STORE_WIRE_ERROR, id, error->code, commy_error_bare (error)));
}

static gboolean
on_writable (int fd, GIOCondition condition, gpointer data)
{
  CommydSession *self = data;
  g_autoptr (GError) error = NULL;

  if (!store_stream_flush (&self->stream, &error))
    {
      commyd_session_close (self, NULL);
      return G_SOURCE_CONTINUE; /* closing has removed it */
    }
  commyd_session_go_on (self);
  return G_SOURCE_CONTINUE;
}

/* --- receiving --- */

static void
refuse (CommydSession *self, const GError *error)
{
  commyd_audit_refused (self->server->audit, &self->uid, error);
  commyd_session_send (
      self, store_wire_write_error (STORE_WIRE_REFUSED, 0, error->code, commy_error_bare (error)));
  commyd_session_close (self, error);
}

static gboolean
check_memory (CommydSession *self, GError **error)
{
  count_waiting (self);
  if (self->user->waiting <= self->server->rights.limits.waiting)
    return TRUE;
  commy_set_error (error, COMMY_ERROR_BUSY,
                   "%" G_GUINT64_FORMAT
                   " bytes of user %u wait to be read or to be sent, %" G_GUINT64_FORMAT
                   " may (waiting of [daemon])",
                   self->user->waiting, self->uid, self->server->rights.limits.waiting);
  return FALSE;
}

/* Looks at the frames that are here, but for as many as would keep others waiting. */
static void
process (CommydSession *self)
{
  g_autoptr (GError) error = NULL;
  int found = 1;

  commyd_session_ref (self);
  for (int i = 0; i < FRAMES_A_TURN && found == 1 && may_proceed (self); i++)
    {
      StoreWireHeader header;
      const guint8 *payload;

      found = store_stream_next (&self->stream, &header, &payload, &error);
      if (found == 1 && !commyd_request_handle (self, &header, payload, &error))
        found = -1;
    }
  if (found < 0 && !self->is_closed)
    refuse (self, error);
  if (found == 1 && may_proceed (self))
    commyd_session_go_on (self);
  update_sources (self);
  commyd_session_unref (self);
}

static gboolean
on_go_on (gpointer data)
{
  CommydSession *self = data;

  self->go_on = 0;
  process (self);
  return G_SOURCE_REMOVE;
}

void
commyd_session_go_on (CommydSession *self)
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
  CommydSession *self = data;
  g_autoptr (GError) error = NULL;

  if (!store_stream_fill (&self->stream, &error))
    commyd_session_close (self, NULL);
  else if (!check_memory (self, &error))
    refuse (self, error);
  else
    process (self);
  return G_SOURCE_CONTINUE;
}

/* The process has ended, even if a forked child of it still holds the socket. */
static gboolean
on_death (int fd, GIOCondition condition, gpointer data)
{
  commyd_session_close (data, NULL);
  return G_SOURCE_CONTINUE;
}

/* --- life --- */

static gboolean
identify (CommydSession *self, GError **error)
{
  struct ucred credentials = { 0 };
  socklen_t size = sizeof credentials;
  socklen_t pidfd_size = sizeof self->pidfd;

  if (getsockopt (self->stream.fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) < 0)
    {
      commy_set_error (error, COMMY_ERROR_REFUSED, "the kernel does not say who connects: %s",
                       g_strerror (errno));
      return FALSE;
    }
  self->uid = credentials.uid;
  self->pid = credentials.pid;
  if (getsockopt (self->stream.fd, SOL_SOCKET, SO_PEERPIDFD, &self->pidfd, &pidfd_size) < 0)
    self->pidfd = self->pid > 0 ? (int) syscall (SYS_pidfd_open, self->pid, 0) : -1;
  return TRUE;
}

static void
free_unstarted (CommydSession *self)
{
  store_stream_close (&self->stream);
  clear_fd (&self->pidfd);
  commyd_session_unref (self);
}

CommydSession *
commyd_session_new (CommydServer *server, int fd, GError **error)
{
  CommydSession *self = g_new0 (CommydSession, 1);
  g_autoptr (GError) cause = NULL;

  g_ref_count_init (&self->refs);
  self->server = server;
  self->uid = COMMYD_NOBODY;
  self->pidfd = -1;
  self->watches = g_hash_table_new_full (g_int64_hash, g_int64_equal, NULL, commyd_watch_free);
  self->leases = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL);
  store_stream_open (&self->stream, fd, STORE_WIRE_MAX_GREETING);
  if (identify (self, &cause))
    self->user = commyd_server_enter_user (server, self->uid, &cause);
  if (self->user == NULL)
    {
      /* Who is refused is told, if there is room for it in the socket, and not waited for. */
      store_stream_send (
          &self->stream,
          store_wire_write_error (STORE_WIRE_REFUSED, 0, cause->code, commy_error_bare (cause)),
          NULL);
      commyd_audit_refused (server->audit, self->uid != COMMYD_NOBODY ? &self->uid : NULL, cause);
      free_unstarted (self);
      g_propagate_error (error, g_steal_pointer (&cause));
      return NULL;
    }
  if (self->pidfd >= 0)
    self->death_source = g_unix_fd_add (self->pidfd, G_IO_IN, on_death, self);
  update_sources (self);
  return self;
}
