/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is left of a connection after close: a socket with bytes the kernel would not take, or a
 * peer that has not read the last words. Lives on the mesh thread, briefly and in limited number.
 */
#include "config.h"

#include "plugins/tls/commy-tls.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#define LINGER_NS (2000 * TLS_MS)
#define LINGER_MAX 256
#define LAST_FLUSH_MS 250

struct _TlsLinger
{
  TlsInstance *instance;
  TlsLink link;
  gboolean started; /* the mesh thread knows of it; protected by the instance's lock */
  gboolean finished_sending;
  guint watch, watch_condition, timer;
};

static void
linger_free (gpointer data)
{
  TlsLinger *self = data;

  tls_link_clear (&self->link);
  g_free (self);
}

static void
linger_stop (TlsLinger *self)
{
  CommyHost *host = self->instance->host;

  if (self->watch != 0)
    host->remove (host, self->watch);
  if (self->timer != 0)
    host->remove (host, self->timer);
  self->watch = self->timer = 0;
}

/* Frees @self. */
static void
linger_end (TlsLinger *self)
{
  TlsInstance *instance = self->instance;

  linger_stop (self);
  g_mutex_lock (&instance->linger_lock);
  g_ptr_array_remove_fast (instance->lingers, self);
  g_mutex_unlock (&instance->linger_lock);
}

static void
on_timeout (gpointer user_data)
{
  TlsLinger *self = user_data;

  self->timer = 0;
  linger_end (self);
}

/* Throws away what still comes. TRUE once the peer is at its end too. */
static gboolean
drain (TlsLink *link)
{
  guint8 rest[16 * 1024];

  for (guint turn = 0; turn < 64; turn++)
    {
      ssize_t got = recv (link->fd, rest, sizeof rest, MSG_DONTWAIT);

      if (got == 0)
        return TRUE;
      if (got < 0)
        return errno != EAGAIN && errno != EINTR;
    }
  return FALSE;
}

static void on_ready (gpointer user_data, int fd, guint condition);

static void
linger_continue (TlsLinger *self)
{
  CommyHost *host = self->instance->host;
  gboolean sent = tls_link_flush (&self->link);
  guint condition = G_IO_IN;

  if (self->link.out_errno != 0 || drain (&self->link))
    {
      linger_end (self);
      return;
    }
  if (!sent)
    condition |= G_IO_OUT;
  else if (!self->finished_sending)
    {
      self->finished_sending = TRUE;
      shutdown (self->link.fd, SHUT_WR);
    }
  if (condition == self->watch_condition && self->watch != 0)
    return;
  if (self->watch != 0)
    host->remove (host, self->watch);
  self->watch_condition = condition;
  self->watch = host->watch_fd (host, self->link.fd, condition, on_ready, self);
}

static void
on_ready (gpointer user_data, int fd, guint condition)
{
  linger_continue (user_data);
}

static TlsLinger *
take_unstarted (TlsInstance *instance)
{
  TlsLinger *found = NULL;

  g_mutex_lock (&instance->linger_lock);
  for (guint i = 0; i < instance->lingers->len && found == NULL; i++)
    {
      TlsLinger *linger = g_ptr_array_index (instance->lingers, i);

      if (!linger->started)
        found = linger;
    }
  if (found != NULL)
    found->started = TRUE;
  g_mutex_unlock (&instance->linger_lock);
  return found;
}

/* The post owns nothing: what is in the list when the instance ends, the instance ends too. */
static void
on_mesh_thread (gpointer user_data)
{
  TlsInstance *instance = user_data;
  TlsLinger *linger;

  while ((linger = take_unstarted (instance)) != NULL)
    {
      linger->timer = instance->host->add_timer (instance->host, LINGER_NS, on_timeout, linger);
      linger_continue (linger);
    }
}

void
tls_linger (TlsInstance *instance, TlsLink *link)
{
  TlsLinger *self;
  gboolean full;

  tls_link_flush (link);
  if (link->out_errno != 0 || link->in_errno != 0 || (link->in_eof && tls_link_pending (link) == 0))
    {
      tls_link_clear (link);
      return;
    }
  self = g_new0 (TlsLinger, 1);
  self->instance = instance;
  self->link = *link;
  self->link.session = NULL;
  tls_link_init (link, -1);
  g_mutex_lock (&instance->linger_lock);
  full = instance->lingers->len >= LINGER_MAX;
  if (!full)
    g_ptr_array_add (instance->lingers, self);
  g_mutex_unlock (&instance->linger_lock);
  if (full)
    {
      linger_free (self);
      return;
    }
  instance->host->post (instance->host, on_mesh_thread, instance);
}

void
tls_linger_init (TlsInstance *instance)
{
  g_mutex_init (&instance->linger_lock);
  instance->lingers = g_ptr_array_new_with_free_func (linger_free);
}

void
tls_linger_deinit (TlsInstance *instance)
{
  gint64 deadline_us = g_get_monotonic_time () + LAST_FLUSH_MS * 1000;

  while (instance->lingers->len > 0)
    {
      TlsLinger *self = g_ptr_array_index (instance->lingers, 0);
      struct pollfd poll_fd = { .fd = self->link.fd, .events = POLLOUT };

      /* The last chance for what was flushed: the loop that would send it has ended. */
      while (!tls_link_flush (&self->link) && self->link.out_errno == 0)
        {
          gint64 left_us = deadline_us - g_get_monotonic_time ();

          if (left_us <= 0 || poll (&poll_fd, 1, (int) (left_us / 1000) + 1) == 0)
            break;
        }
      linger_end (self);
    }
  g_ptr_array_unref (instance->lingers);
  g_mutex_clear (&instance->linger_lock);
}
