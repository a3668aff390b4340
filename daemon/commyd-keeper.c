/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Keeping doors: see the header. Nothing waits for a door: what it does not take is bounded, and
 * who takes nothing at all for a while, or says what cannot be, is ended with its connections.
 */
#include "config.h"

#include "daemon/commyd-keeper.h"

#include "daemon/commyd-session.h"

#include "base/commy-error-private.h"

#include <errno.h>
#include <glib-unix.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define DOOR_FD 3
#define RECORDS_A_TURN 256
#define SOCKET_BYTES (1 << 20)
#define SLOW_SHARE 8
#define PAUSE_FIRST_MS 100u
#define PAUSE_MOST_MS 10000u
#define FORGET_MS 60000u
#define LONG_LIFE_US (60 * G_USEC_PER_SEC)

static gboolean on_writable (int fd, GIOCondition condition, gpointer data);
static gboolean on_readable (int fd, GIOCondition condition, gpointer data);
static void end_door (CommydUser *self, const char *why);

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
      self->confinement = (guint64) record->head.number;
      return NULL;
    }
  if (record->head.type >= COMMYD_INNER_SETTINGS)
    return "it says what only the keeper says";
  if (session == NULL)
    return "it speaks of a connection that it has not got";
  if (record->head.type == COMMYD_INNER_CLOSED)
    {
      commyd_session_closed (session, record);
      return NULL;
    }
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

/* --- the process --- */

static void
in_child (gpointer unused)
{
  prctl (PR_SET_PDEATHSIG, SIGKILL);
}

gboolean
commyd_keeper_spawn (CommydServer *server, GPid *out_pid, int *out_fd, GError **error)
{
  g_autofree char *program = g_file_read_link ("/proc/self/exe", NULL);
  g_autofree char *mesh = g_strconcat ("--mesh=", server->mesh, NULL);
  /* The file itself: its name may be another program's by now. */
  char exe[] = "/proc/self/exe";
  char *argv[] = { exe, program != NULL ? program : exe, (char *) "--door", mesh, NULL };
  const GSpawnFlags flags
      = G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_FILE_AND_ARGV_ZERO | G_SPAWN_STDOUT_TO_DEV_NULL;
  const int size = SOCKET_BYTES;
  const int target = DOOR_FD;
  gboolean is_started;
  int fds[2];

  if (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
    {
      commy_set_error (error, COMMY_ERROR_BUSY, "there is no socket for its door: %s",
                       g_strerror (errno));
      return FALSE;
    }
  for (int i = 0; i < 2; i++)
    setsockopt (fds[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof size); /* as much as the kernel lets */
  is_started = g_spawn_async_with_pipes_and_fds (NULL, (const char *const *) argv, NULL, flags,
                                                 in_child, NULL, -1, -1, -1, &fds[1], &target, 1,
                                                 out_pid, NULL, NULL, NULL, error);
  close (fds[1]);
  if (is_started)
    *out_fd = fds[0];
  else
    close (fds[0]);
  return is_started;
}

/* (transfer full) */
static char *
describe_end (int status)
{
  if (WIFSIGNALED (status))
    return g_strdup_printf ("it was ended by signal %d (%s)", WTERMSIG (status),
                            g_strsignal (WTERMSIG (status)));
  return g_strdup_printf ("it ended with status %d", WEXITSTATUS (status));
}

/* It has ended by itself; its socket said so, too, or will. */
static void
on_child_ended (GPid pid, int status, gpointer data)
{
  CommydUser *self = data;
  g_autofree char *why = describe_end (status);

  self->child_watch = 0;
  self->pid = 0;
  end_door (self, why);
}

/* Ends the process, if there is one. What became of it; NULL: there is none. (transfer full) */
static char *
kill_door (CommydUser *self)
{
  int status = 0;

  clear_source (&self->child_watch);
  if (self->pid == 0)
    return NULL;
  /* One that has begun to end keeps its own reason. */
  kill (self->pid, SIGKILL);
  while (waitpid (self->pid, &status, 0) < 0 && errno == EINTR)
    continue;
  self->pid = 0;
  return describe_end (status);
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

/* With its connections. @why: what it did that cannot be, or what became of it; NULL: its socket
 * is closed. */
static void
end_door (CommydUser *self, const char *why)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GList) sessions = NULL;
  g_autofree char *end = kill_door (self);

  if (why == NULL)
    why = end != NULL ? end : "its socket is closed";
  commy_set_error (&error, COMMY_ERROR_PROTOCOL,
                   "the door of user %u is ended, with %u connections: %s", self->uid,
                   g_hash_table_size (self->sessions), why);
  self->server->n_doors_lost++;
  commyd_audit_refused (self->server->audit, &self->uid, error);
  g_message ("%s", commy_error_bare (error));
  close_link (self);
  sessions = g_hash_table_get_values (self->sessions);
  for (GList *each = sessions; each != NULL; each = each->next)
    commyd_session_end (each->data);
  pause_doors (self);
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
    self->child_watch = g_child_watch_add (self->pid, on_child_ended, self);
  settings = settings_of (self);
  commyd_link_open (&self->link, fd, &settings);
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
  else
    g_hash_table_remove (self->server->users, GUINT_TO_POINTER (self->uid));
  return G_SOURCE_REMOVE;
}

/* --- users --- */

void
commyd_keeper_user_free (gpointer user)
{
  CommydUser *self = user;
  g_autoptr (GList) sessions = g_hash_table_get_values (self->sessions);

  g_free (kill_door (self));
  close_link (self);
  for (GList *each = sessions; each != NULL; each = each->next)
    commyd_session_end (each->data);
  clear_source (&self->timer);
  g_hash_table_unref (self->sessions);
  g_free (self);
}

/* One that is not connected any more makes room. */
static gboolean
make_room (CommydServer *server)
{
  GHashTableIter iter;
  gpointer user;

  if (g_hash_table_size (server->users) < server->rights.limits.users)
    return TRUE;
  g_hash_table_iter_init (&iter, server->users);
  while (g_hash_table_iter_next (&iter, NULL, &user))
    if (g_hash_table_size (((CommydUser *) user)->sessions) == 0)
      {
        g_hash_table_iter_remove (&iter);
        return TRUE;
      }
  return FALSE;
}

static CommydUser *
user_new (CommydServer *server, guint32 uid)
{
  CommydUser *self = g_new0 (CommydUser, 1);

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

/* Whether its door is there no more, which was not noticed yet: who saw that his connection has
 * ended connects again at once. One that has only begun to end still takes him along. */
static gboolean
is_gone (const CommydUser *self)
{
  struct pollfd end = { .fd = self->link.fd };

  return self->link.fd >= 0 && poll (&end, 1, 0) == 1;
}

void
commyd_keeper_open (CommydUser *self, CommydSession *session, int fd)
{
  if (is_gone (self))
    end_door (self, NULL);
  g_hash_table_insert (self->sessions, &session->connection, commyd_session_ref (session));
  commyd_link_send_open (&self->link, session->connection, fd);
  if (self->link.fd < 0 && !self->is_pausing)
    start_door (self);
  else if (!self->is_pausing)
    clear_source (&self->timer);
  update_sources (self);
}

void
commyd_keeper_close (CommydUser *self, guint64 connection)
{
  const CommydInnerHead head = { .type = COMMYD_INNER_CLOSE, .connection = connection };

  if (self->collect.connection == connection)
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
  commyd_link_send (&self->link, &head, NULL);
  update_sources (self);
}
