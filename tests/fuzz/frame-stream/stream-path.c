/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A connection whose other end is the input: messages behind a size, put together from whatever
 * pieces arrive, as the stream transports do it and with what they use for it. Room and end come
 * when the input says so. A reservation is exactly as large as it was asked for, so that a
 * sanitizer sees who writes beyond.
 */
#include "config.h"

#include "stream-fuzz.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define HEADER_SIZE 8u
#define MESSAGE_MAX (FUZZ_PAYLOAD_MAX + COMMY_FRAME_HEADER_SIZE + COMMY_FRAME_EXT_MAX)

typedef struct
{
  FuzzPath *path;
} Connection;

static FuzzPath *
path_of (gpointer connection)
{
  return ((Connection *) connection)->path;
}

/* --- the input's end --- */

FuzzPath *
fuzz_path_new (gboolean keeps)
{
  FuzzPath *self = g_new0 (FuzzPath, 1);

  self->fd = eventfd (0, EFD_CLOEXEC);
  self->wire = g_byte_array_new ();
  self->room = G_MAXSIZE / 2;
  self->keeps = keeps;
  g_queue_init (&self->out);
  return self;
}

void
fuzz_path_free (gpointer path)
{
  FuzzPath *self = path;

  FUZZ_CHECK (self->closed && self->n_lent == 0);
  g_byte_array_unref (self->wire);
  g_queue_clear_full (&self->out, (GDestroyNotify) g_bytes_unref);
  g_free (self->span);
  close (self->fd);
  g_free (self);
}

gpointer
fuzz_path_connect (FuzzPath *path)
{
  Connection *connection = aligned_alloc (64, 64);

  connection->path = path;
  return connection;
}

static gsize
padded (gsize size)
{
  return (size + 7) & ~(gsize) 7;
}

void
fuzz_path_put (FuzzPath *self, gconstpointer frame, gsize size)
{
  const guint32 header[2] = { GUINT32_TO_LE ((guint32) size), 0 };
  const guint8 padding[8] = { 0 };

  g_byte_array_append (self->wire, (const guint8 *) header, sizeof header);
  g_byte_array_append (self->wire, frame, (guint) size);
  g_byte_array_append (self->wire, padding, (guint) (padded (size) - size));
}

static gsize
wanted (const FuzzPath *self)
{
  guint32 size;

  if (commy_inbox_have (&self->inbox) < HEADER_SIZE)
    return HEADER_SIZE;
  memcpy (&size, commy_inbox_data (&self->inbox), sizeof size);
  return HEADER_SIZE + padded (MIN (GUINT32_FROM_LE (size), MESSAGE_MAX));
}

void
fuzz_path_arrive (FuzzPath *self, gsize size)
{
  self->arrived = MIN (self->wire->len - self->arrived, size) + self->arrived;
}

/* Whether the first message is here. */
static gboolean
receive (FuzzPath *self)
{
  gsize need;

  while (commy_inbox_have (&self->inbox) < (need = wanted (self)))
    {
      gsize room;
      guint8 *place = commy_inbox_room (&self->inbox, need, &room);
      gsize n = MIN (self->arrived - self->read, room);

      if (n == 0)
        return FALSE;
      memcpy (place, self->wire->data + self->read, n);
      commy_inbox_filled (&self->inbox, n);
      self->read += n;
    }
  return need > HEADER_SIZE;
}

/* --- the channel's end --- */

static CommyIo
path_reserve (gpointer connection, gsize size, CommySpan *out_span)
{
  FuzzPath *self = path_of (connection);

  FUZZ_CHECK (!self->closed && self->span == NULL);
  if (self->ended || self->deaf)
    return COMMY_IO_CLOSED;
  if (size > MESSAGE_MAX)
    return COMMY_IO_TOO_BIG;
  if (self->out_bytes + size > self->room)
    return COMMY_IO_WOULD_BLOCK;
  self->span = g_malloc (size);
  *out_span = (CommySpan){ .data = self->span, .size = size };
  return COMMY_IO_OK;
}

static CommyIo
path_commit (gpointer connection, gsize used)
{
  FuzzPath *self = path_of (connection);
  guint8 *span = g_steal_pointer (&self->span);

  FUZZ_CHECK (!self->closed && span != NULL);
  if (used == 0)
    {
      g_free (span);
      return COMMY_IO_OK;
    }
  g_queue_push_tail (&self->out, g_bytes_new_take (span, used));
  self->out_bytes += used;
  return self->ended || self->deaf ? COMMY_IO_CLOSED : COMMY_IO_OK;
}

static CommyIo
path_flush (gpointer connection)
{
  FuzzPath *self = path_of (connection);

  FUZZ_CHECK (!self->closed);
  if (self->ended || self->deaf)
    return COMMY_IO_CLOSED;
  return self->out_bytes > self->room / 2 ? COMMY_IO_WOULD_BLOCK : COMMY_IO_OK;
}

static CommyIo
path_peek (gpointer connection, CommyMessage *out_message)
{
  FuzzPath *self = path_of (connection);
  guint32 size;

  FUZZ_CHECK (!self->closed);
  if (!receive (self))
    return self->ended ? COMMY_IO_CLOSED : COMMY_IO_WOULD_BLOCK;
  memcpy (&size, commy_inbox_data (&self->inbox), sizeof size);
  *out_message = (CommyMessage){ .data = commy_inbox_data (&self->inbox) + HEADER_SIZE,
                                 .size = GUINT32_FROM_LE (size) };
  out_message->token = commy_inbox_lend (&self->inbox, HEADER_SIZE + padded (out_message->size));
  self->n_lent++;
  return COMMY_IO_OK;
}

static void
path_release (gpointer connection, const CommyMessage *message)
{
  FuzzPath *self = path_of (connection);

  FUZZ_CHECK (!self->closed && self->n_lent > 0);
  self->n_lent--;
  commy_inbox_give_back (&self->inbox, message->token);
}

static int
path_fd (gpointer connection)
{
  return path_of (connection)->fd;
}

static guint
path_arm (gpointer connection, guint interest, guint *out_events)
{
  FuzzPath *self = path_of (connection);
  guint met = 0;

  *out_events = POLLIN;
  if (self->ended || receive (self))
    met |= interest & COMMY_INTEREST_READ;
  if (self->ended || self->deaf || self->out_bytes < self->room)
    met |= interest & COMMY_INTEREST_WRITE;
  return met;
}

static void
path_evidence (gpointer connection, CommyEvidence *out_evidence)
{
  out_evidence->pidfd = -1;
}

static const char *
path_why (gpointer connection)
{
  return path_of (connection)->ended ? "the input says so" : NULL;
}

static void
path_close (gpointer connection)
{
  FuzzPath *self = path_of (connection);

  FUZZ_CHECK (!self->closed);
  self->closed = TRUE;
  g_clear_pointer (&self->span, g_free);
  commy_inbox_clear (&self->inbox);
}

static CommyIo
path_attach (gpointer connection, const int *fds, gsize n_fds)
{
  return COMMY_IO_UNSUPPORTED;
}

static gsize
path_take_fds (gpointer connection, const CommyMessage *message, int *out_fds, gsize max)
{
  return 0;
}

static gboolean
path_unsent (gpointer connection, CommyUnsentFunc each, gpointer user_data)
{
  FuzzPath *self = path_of (connection);

  if (!self->keeps)
    return FALSE;
  for (GList *at = self->out.head; at != NULL && each != NULL; at = at->next)
    {
      gsize size;
      const guint8 *data = g_bytes_get_data (at->data, &size);

      each (user_data, data, size);
    }
  return TRUE;
}

void
fuzz_transport_init (CommyPlugin *transport, gboolean zero_copy)
{
  *transport = (CommyPlugin){
    .note.id = "fuzz",
    .profile.capabilities = zero_copy ? COMMY_CAP_ZERO_COPY | COMMY_CAP_CHEAP_POLL : 0,
    .ops.transport = { .struct_size = sizeof (CommyTransportOps),
                       .connection_size = sizeof (Connection),
                       .reserve = path_reserve,
                       .commit = path_commit,
                       .flush = path_flush,
                       .peek = path_peek,
                       .release = path_release,
                       .fd = path_fd,
                       .arm = path_arm,
                       .evidence = path_evidence,
                       .why = path_why,
                       .close = path_close,
                       .attach = path_attach,
                       .take_fds = path_take_fds,
                       .unsent = path_unsent },
  };
}
