/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The last words of closed connections: see the header.
 */
#include "config.h"

#include "commy-linger.h"

#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define MS G_GINT64_CONSTANT (1000000)
#define LINGER_NS (2000 * MS)
/* Of a peer that goes on reading, so many times. */
#define LINGER_TURNS 15
#define LINGER_MAX 256
#define LAST_FLUSH_MS 250

typedef struct
{
  LingerList *list;
  int fd;
  guint8 *buffer;
  gsize at, end;
  gsize taken; /* what the peer had taken when the timer began */
  guint turns;
  gboolean failed;
  gboolean started; /* the mesh thread knows of it; protected by the list's lock */
  gboolean finished_sending;
  guint watch, watch_condition, timer;
} Linger;

static void
linger_free (gpointer data)
{
  Linger *self = data;

  close (self->fd);
  g_free (self->buffer);
  g_free (self);
}

/* Whether nothing is left to send. */
static gboolean
linger_flush (Linger *self)
{
  while (self->at < self->end && !self->failed)
    {
      ssize_t sent = send (self->fd, self->buffer + self->at, self->end - self->at,
                           MSG_DONTWAIT | MSG_NOSIGNAL);

      if (sent >= 0)
        self->at += (gsize) sent;
      else if (errno == EAGAIN)
        return FALSE;
      else if (errno != EINTR)
        self->failed = TRUE;
    }
  return !self->failed;
}

static void
linger_stop (Linger *self)
{
  CommyHost *host = self->list->host;

  if (self->watch != 0)
    host->remove (host, self->watch);
  if (self->timer != 0)
    host->remove (host, self->timer);
  self->watch = self->timer = 0;
}

/* Frees @self. */
static void
linger_end (Linger *self)
{
  LingerList *list = self->list;

  linger_stop (self);
  g_mutex_lock (&list->lock);
  g_ptr_array_remove_fast (list->lingers, self);
  g_mutex_unlock (&list->lock);
}

/* Sent, and not waiting in the kernel: what a slow reader takes shows here long before the socket
 * has room again. */
static gsize
count_taken (Linger *self)
{
  int waiting = 0;

  ioctl (self->fd, SIOCOUTQ, &waiting);
  return self->at - (gsize) waiting;
}

/* These are in nobody's count: they were sent before the connection was closed. */
static void
tell_lost (Linger *self)
{
  CommyHost *host = self->list->host;
  g_autofree char *line = NULL;

  if (self->at == self->end)
    return;
  line = g_strdup_printf ("%" G_GSIZE_FORMAT " bytes sent before a connection was closed are lost: "
                          "the peer did not take them in time",
                          self->end - self->at);
  host->log (host, G_LOG_LEVEL_WARNING, line);
}

static void on_timeout (gpointer user_data);

static void
begin_turn (Linger *self)
{
  CommyHost *host = self->list->host;

  self->taken = count_taken (self);
  self->timer = host->add_timer (host, LINGER_NS, on_timeout, self);
}

static void
on_timeout (gpointer user_data)
{
  Linger *self = user_data;

  self->timer = 0;
  if (count_taken (self) == self->taken || ++self->turns >= LINGER_TURNS)
    {
      tell_lost (self);
      linger_end (self);
    }
  else
    begin_turn (self);
}

/* Throws away what still comes. TRUE once the peer is at its end too. */
static gboolean
drain (int fd)
{
  guint8 rest[16 * 1024];

  for (guint turn = 0; turn < 64; turn++)
    {
      ssize_t got = recv (fd, rest, sizeof rest, MSG_DONTWAIT);

      if (got == 0)
        return TRUE;
      if (got < 0)
        return errno != EAGAIN && errno != EINTR;
    }
  return FALSE;
}

static void on_ready (gpointer user_data, int fd, guint condition);

static void
linger_continue (Linger *self)
{
  CommyHost *host = self->list->host;
  gboolean sent = linger_flush (self);
  guint condition = G_IO_IN;

  if (self->failed || drain (self->fd))
    {
      linger_end (self);
      return;
    }
  if (!sent)
    condition |= G_IO_OUT;
  else if (!self->finished_sending)
    {
      self->finished_sending = TRUE;
      shutdown (self->fd, SHUT_WR);
    }
  if (condition == self->watch_condition && self->watch != 0)
    return;
  if (self->watch != 0)
    host->remove (host, self->watch);
  self->watch_condition = condition;
  self->watch = host->watch_fd (host, self->fd, condition, on_ready, self);
}

static void
on_ready (gpointer user_data, int fd, guint condition)
{
  linger_continue (user_data);
}

static Linger *
take_unstarted (LingerList *list)
{
  Linger *found = NULL;

  g_mutex_lock (&list->lock);
  for (guint i = 0; i < list->lingers->len && found == NULL; i++)
    {
      Linger *linger = g_ptr_array_index (list->lingers, i);

      if (!linger->started)
        found = linger;
    }
  if (found != NULL)
    found->started = TRUE;
  g_mutex_unlock (&list->lock);
  return found;
}

/* The post owns nothing: what is in the list when the instance ends, the instance ends too. */
static void
on_mesh_thread (gpointer user_data)
{
  LingerList *list = user_data;
  Linger *linger;

  while ((linger = take_unstarted (list)) != NULL)
    {
      begin_turn (linger);
      linger_continue (linger);
    }
}

void
commy_linger_add (LingerList *list, int fd, guint8 *buffer, gsize at, gsize end)
{
  Linger *self = g_new0 (Linger, 1);
  gboolean full;

  *self = (Linger){ .list = list, .fd = fd, .buffer = buffer, .at = at, .end = end };
  g_mutex_lock (&list->lock);
  full = list->lingers->len >= LINGER_MAX;
  if (!full)
    g_ptr_array_add (list->lingers, self);
  g_mutex_unlock (&list->lock);
  if (full)
    {
      tell_lost (self);
      linger_free (self);
    }
  else
    list->host->post (list->host, on_mesh_thread, list);
}

void
commy_linger_init (LingerList *list, CommyHost *host)
{
  list->host = host;
  g_mutex_init (&list->lock);
  list->lingers = g_ptr_array_new_with_free_func (linger_free);
}

void
commy_linger_deinit (LingerList *list)
{
  gint64 deadline_us = g_get_monotonic_time () + LAST_FLUSH_MS * 1000;

  while (list->lingers->len > 0)
    {
      Linger *self = g_ptr_array_index (list->lingers, 0);
      struct pollfd poll_fd = { .fd = self->fd, .events = POLLOUT };

      /* The last chance for what was flushed: the loop that would send it has ended. */
      while (!linger_flush (self) && !self->failed)
        {
          gint64 left_us = deadline_us - g_get_monotonic_time ();

          if (left_us <= 0 || poll (&poll_fd, 1, (int) (left_us / 1000) + 1) == 0)
            break;
        }
      linger_end (self);
    }
  g_ptr_array_unref (list->lingers);
  g_mutex_clear (&list->lock);
}
