/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Keeper and caller of a door. Nobody here blocks or spins: out of descriptors the keeper looks
 * away for a moment, and before a crowded door the caller waits for a moment.
 */
#include "config.h"

#include "commy-door-keeper.h"

#include "commy-defence.h"
#include "commy-failpoints.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPT_AT_ONCE 16
#define ACCEPT_PAUSE_NS (100 * 1000 * 1000)
#define RETRY_NS (5 * 1000 * 1000)

/* --- keeper --- */

static void accept_more (gpointer user_data, int fd, guint condition);

static void
watch_again (gpointer user_data)
{
  DoorKeeper *self = user_data;

  self->timer = 0;
  self->watch = self->host->watch_fd (self->host, self->fd, G_IO_IN, accept_more, self);
}

/* Says it once, until somebody came in again. */
static void
complain (DoorKeeper *self, int error_number)
{
  struct rlimit limit = { 0 };
  g_autofree char *text = NULL;

  if (self->complained)
    return;
  self->complained = TRUE;
  getrlimit (RLIMIT_NOFILE, &limit);
  text = g_strdup_printf ("peers wait at the door: %s (descriptors of this process: at most %lu, "
                          "and it may raise that to %lu; see ulimit -n, LimitNOFILE=)",
                          g_strerror (error_number), (gulong) limit.rlim_cur,
                          (gulong) limit.rlim_max);
  self->host->log (self->host, G_LOG_LEVEL_WARNING, text);
}

/* Out of descriptors: a listening socket stays ready, so it is left alone for a moment. */
static void
pause_accepting (DoorKeeper *self)
{
  self->host->remove (self->host, self->watch);
  self->watch = 0;
  self->timer = self->host->add_timer (self->host, ACCEPT_PAUSE_NS, watch_again, self);
}

static void
accept_more (gpointer user_data, int listening_fd, guint condition)
{
  DoorKeeper *self = user_data;

  for (int i = 0; i < ACCEPT_AT_ONCE; i++)
    {
      int fd = accept4 (listening_fd, NULL, NULL,
                        (COMMY_DEFENCE (15, true) ? SOCK_CLOEXEC : 0)
                            | (COMMY_DEFENCE (11, true) ? SOCK_NONBLOCK : 0));

      if (fd < 0)
        {
          if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
            {
              complain (self, errno);
              pause_accepting (self);
            }
          return;
        }
      self->complained = FALSE;
      if (COMMY_FAILPOINT ("door-accepted"))
        close (fd);
      else
        self->func (self->user_data, fd);
    }
}

gboolean
commy_door_keeper_start (DoorKeeper *self,
                         CommyHost *host,
                         const DoorStyle *style,
                         DoorVisitorFunc func,
                         gpointer user_data,
                         GError **error)
{
  *self = (DoorKeeper){ .host = host, .func = func, .user_data = user_data };
  self->fd = commy_door_open (style, host->info (host, COMMY_HOST_RUNTIME_DIR),
                              host->info (host, COMMY_HOST_NODE), &self->address, error);
  if (self->fd < 0)
    return FALSE;
  watch_again (self);
  return TRUE;
}

void
commy_door_keeper_stop (DoorKeeper *self)
{
  if (self->watch != 0)
    self->host->remove (self->host, self->watch);
  if (self->timer != 0)
    self->host->remove (self->host, self->timer);
  self->watch = self->timer = 0;
  commy_door_close (self->fd, self->address);
  g_clear_pointer (&self->address, g_free);
}

gpointer
commy_door_admit (const CommyAcceptor *acceptor, int fd)
{
  struct ucred credentials;
  socklen_t size = sizeof credentials;

  if (acceptor->struct_size
          >= G_STRUCT_OFFSET (CommyAcceptor, alloc_for_user) + sizeof acceptor->alloc_for_user
      && acceptor->alloc_for_user != NULL
      && getsockopt (fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0)
    return acceptor->alloc_for_user (acceptor->user_data, credentials.uid);
  return acceptor->alloc (acceptor->user_data);
}

/* --- caller --- */

static void
knock (gpointer user_data)
{
  DoorCaller *self = user_data;
  g_autoptr (GError) error = NULL;
  int fd = commy_door_knock (self->style, self->address, &error);

  self->timer = 0;
  if (fd < 0 && error->code == COMMY_ERROR_BUSY)
    {
      self->timer = self->host->add_timer (self->host, RETRY_NS, knock, self);
      return;
    }
  g_clear_pointer (&self->address, g_free);
  self->func (self->user_data, fd, error);
}

void
commy_door_caller_start (DoorCaller *self,
                         CommyHost *host,
                         const DoorStyle *style,
                         const char *address,
                         DoorOpenedFunc func,
                         gpointer user_data)
{
  *self = (DoorCaller){ .host = host,
                        .style = style,
                        .address = g_strdup (address),
                        .func = func,
                        .user_data = user_data };
  self->timer = host->add_timer (host, 0, knock, self);
}

void
commy_door_caller_stop (DoorCaller *self)
{
  if (self->timer != 0)
    self->host->remove (self->host, self->timer);
  self->timer = 0;
  g_clear_pointer (&self->address, g_free);
}

gboolean
commy_door_reachable (CommyHost *host,
                      const CommyEndpoint *endpoint,
                      char *reason,
                      gsize reason_size)
{
  const char *here = host->info (host, COMMY_HOST_HOST_ID);

  if (commy_door_check (endpoint->address, reason, reason_size))
    return TRUE;
  /* The ids are hints: they only choose the words. */
  if (here != NULL && endpoint->host_id != NULL && strcmp (here, endpoint->host_id) != 0)
    g_snprintf (reason, reason_size, "the node is on another host (%s)", endpoint->host_id);
  return FALSE;
}
