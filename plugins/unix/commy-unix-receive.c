/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Receiving: bytes come into the inbox, messages are lent from there. Descriptors come beside
 * the bytes; each bundle must be announced by the header of a message that begins in the very
 * bytes it came with, or the peer broke the rules. While too much is held, nothing is read.
 */
#include "config.h"

#include "plugins/unix/commy-unix.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

/* One for the message that is arriving, one for the next, whose beginning may have come along. */
#define BUNDLES_AHEAD 2

static CommyIo
end_receiving (UnixConnection *self, const char *why)
{
  if (self->receive_why == NULL)
    self->receive_why = g_strdup (why);
  return COMMY_IO_CLOSED;
}

static guint32
get_u32 (const guint8 *at)
{
  guint32 value;

  memcpy (&value, at, sizeof value);
  return GUINT32_FROM_LE (value);
}

/* How long is what the header leads, itself and padding included. 0: not allowed. */
static gsize
check_header (UnixConnection *self)
{
  const guint8 *header = commy_inbox_data (&self->inbox);
  guint32 size = get_u32 (header);
  guint32 n_fds = get_u32 (header + 4);
  gsize max = self->receive_max > 0 ? MIN (self->instance->max_message, self->receive_max)
                                    : self->instance->max_message;
  g_autofree char *why = NULL;

  if (size > 0 && size <= max && n_fds <= UNIX_HANDLES_MAX)
    return UNIX_HEADER_SIZE + unix_padded (size);
  why = g_strdup_printf ("the peer broke the protocol: a message of %u bytes (at most "
                         "%" G_GSIZE_FORMAT " are allowed) with %u descriptors",
                         size, max, n_fds);
  end_receiving (self, why);
  return 0;
}

static CommyIo
receive_failed (UnixConnection *self, ssize_t got, gboolean in_message)
{
  g_autofree char *why = NULL;

  if (got == 0)
    return end_receiving (self, in_message ? "the peer ended in the middle of a message"
                                           : "the peer closed the connection");
  switch (errno)
    {
    case EAGAIN:
      return COMMY_IO_WOULD_BLOCK;
    case EBADMSG:
      return end_receiving (self, "descriptors were lost on the way: this process has no room for "
                                  "more (RLIMIT_NOFILE), or the peer sent what is none");
    case ECONNRESET:
      return end_receiving (self, "the peer closed the connection without reading all of it");
    default:
      why = g_strdup_printf ("the connection broke: %s", g_strerror (errno));
      return end_receiving (self, why);
    }
}

static CommyIo
keep_bundle (UnixConnection *self, UnixBundle *bundle)
{
  bundle->at = self->received;
  g_queue_push_tail (&self->arrived, bundle);
  if (self->arrived.length > BUNDLES_AHEAD)
    return end_receiving (self, "the peer sent descriptors that no message announced");
  return COMMY_IO_OK;
}

/* *@budget: how many bytes may still come in this turn. */
static CommyIo
receive_more (UnixConnection *self, gsize need, gsize *budget)
{
  gboolean in_message = commy_inbox_have (&self->inbox) > 0;
  UnixBundle *bundle;
  gsize room;
  guint8 *place = commy_inbox_room (&self->inbox, need, &room);
  ssize_t got;

  room = MIN (room, *budget);
  got = unix_socket_receive (self->fd, place, room, &bundle);
  self->empty = got < (ssize_t) room && bundle == NULL;
  if (got <= 0)
    {
      unix_bundle_free (bundle);
      return receive_failed (self, got, in_message);
    }
  commy_inbox_filled (&self->inbox, (gsize) got);
  *budget -= (gsize) got;
  self->received += (guint64) got;
  self->drained = self->empty;
  return bundle != NULL ? keep_bundle (self, bundle) : COMMY_IO_OK;
}

/* Too much is in the application's hands; what it gives back makes room. */
static gboolean
is_full (const UnixConnection *self)
{
  return self->n_borrowed >= self->instance->borrow_max
         || self->n_held >= self->instance->handles_max;
}

/* Receives until one whole message lies in the inbox, or the turn is over: then there is more. */
static CommyIo
receive (UnixConnection *self)
{
  gsize budget = COMMY_INBOX_TURN;

  self->more = FALSE;
  for (;;)
    {
      gsize have = commy_inbox_have (&self->inbox);
      gsize need = UNIX_HEADER_SIZE;
      CommyIo io;

      if (have >= UNIX_HEADER_SIZE)
        {
          need = check_header (self);
          if (need == 0)
            return COMMY_IO_CLOSED;
          if (have >= need)
            return COMMY_IO_OK;
        }
      if (self->receive_why != NULL)
        return COMMY_IO_CLOSED;
      if (self->drained)
        {
          /* Saves the system call that would say the same; whoever sleeps asks again first. */
          self->drained = FALSE;
          return COMMY_IO_WOULD_BLOCK;
        }
      self->more = budget == 0;
      if (self->more)
        return COMMY_IO_WOULD_BLOCK;
      io = receive_more (self, need, &budget);
      if (io != COMMY_IO_OK)
        return io;
    }
}

/* The bundle of the message that is taken next, as its header announces it. */
static CommyIo
claim_bundle (UnixConnection *self, UnixBundle **out_bundle)
{
  guint64 begin = self->received - commy_inbox_have (&self->inbox);
  guint32 n = get_u32 (commy_inbox_data (&self->inbox) + 4);
  UnixBundle *bundle = g_queue_peek_head (&self->arrived);

  *out_bundle = NULL;
  if (bundle != NULL && bundle->at <= begin)
    return end_receiving (self, "the peer sent descriptors that no message announced");
  if (n == 0)
    return COMMY_IO_OK;
  if (bundle == NULL || bundle->n != n)
    return end_receiving (self, "the peer announced descriptors that did not come");
  *out_bundle = g_queue_pop_head (&self->arrived);
  return COMMY_IO_OK;
}

CommyIo
unix_peek (gpointer connection, CommyMessage *out_message)
{
  UnixConnection *self = connection;
  UnixBundle *bundle = NULL;
  CommyIo result;
  guint32 size;

  if (unix_send_pending (self))
    unix_send_push (self);
  if (is_full (self))
    return COMMY_IO_WOULD_BLOCK;
  result = receive (self);
  if (result == COMMY_IO_OK)
    result = claim_bundle (self, &bundle);
  if (result != COMMY_IO_OK)
    return result;
  size = get_u32 (commy_inbox_data (&self->inbox));
  *out_message = (CommyMessage){ .data = commy_inbox_data (&self->inbox) + UNIX_HEADER_SIZE,
                                 .size = size,
                                 .flags = COMMY_MESSAGE_STABLE,
                                 .token = commy_inbox_lend (
                                     &self->inbox, UNIX_HEADER_SIZE + unix_padded (size)) };
  self->n_borrowed++;
  if (bundle != NULL)
    {
      bundle->data = out_message->data;
      g_queue_push_tail (&self->lent, bundle);
      self->n_held += bundle->n;
    }
  return COMMY_IO_OK;
}

static GList *
find_lent (UnixConnection *self, const CommyMessage *message)
{
  for (GList *link = self->lent.head; link != NULL; link = link->next)
    if (((UnixBundle *) link->data)->data == message->data)
      return link;
  return NULL;
}

void
unix_release (gpointer connection, const CommyMessage *message)
{
  UnixConnection *self = connection;
  GList *link = find_lent (self, message);

  if (link != NULL)
    {
      UnixBundle *bundle = link->data;

      self->n_held -= bundle->n - bundle->n_taken;
      g_queue_delete_link (&self->lent, link);
      unix_bundle_free (bundle);
    }
  self->n_borrowed--;
  commy_inbox_give_back (&self->inbox, message->token);
}

gsize
unix_take_fds (gpointer connection, const CommyMessage *message, int *out_fds, gsize max)
{
  UnixConnection *self = connection;
  GList *link = find_lent (self, message);
  UnixBundle *bundle;
  gsize n;

  if (link == NULL)
    return 0;
  bundle = link->data;
  n = MIN (max, bundle->n - bundle->n_taken);
  memcpy (out_fds, bundle->fds + bundle->n_taken, n * sizeof *out_fds);
  bundle->n_taken += (guint) n;
  self->n_held -= (guint) n;
  return n;
}

guint
unix_arm (gpointer connection, guint interest, guint *out_events)
{
  UnixConnection *self = connection;
  guint met = 0;

  *out_events = 0;
  if (unix_send_pending (self))
    unix_send_push (self);
  if ((interest & COMMY_INTEREST_READ) != 0 && !is_full (self))
    {
      /* Who looked in vain just now lets the kernel say what came since: it wakes at once. */
      self->drained = self->empty;
      if (receive (self) != COMMY_IO_WOULD_BLOCK || self->more)
        met |= COMMY_INTEREST_READ;
      else
        *out_events |= POLLIN;
      self->drained = self->empty = FALSE;
    }
  if ((interest & COMMY_INTEREST_WRITE) != 0
      && (unix_send_has_room (self) || self->send_why != NULL || self->receive_why != NULL))
    met |= COMMY_INTEREST_WRITE;
  if (unix_send_pending (self))
    *out_events |= POLLOUT;
  return met;
}

void
unix_limit (gpointer connection, gsize max)
{
  ((UnixConnection *) connection)->receive_max = max;
}

void
unix_receive_clear (UnixConnection *self)
{
  g_queue_clear_full (&self->arrived, unix_bundle_free);
  g_queue_clear_full (&self->lent, unix_bundle_free);
  self->n_held = 0;
  commy_inbox_clear (&self->inbox);
  g_clear_pointer (&self->receive_why, g_free);
}
