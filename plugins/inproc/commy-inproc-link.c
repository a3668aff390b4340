/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The shared part of a connection and the data slots: buffers go over by pointer, the peer is
 * woken only if it said that it sleeps.
 */
#include "config.h"

#include "commy-inproc-link.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define INPROC_HANDLES_MAX 253 /* as many as between processes */

static void
link_free (InprocLink *link)
{
  for (guint side = 0; side < 2; side++)
    {
      if (link->lanes[side].length > 0)
        inproc_lane_deinit (&link->lanes[side]);
      inproc_sleeper_deinit (&link->sleepers[side]);
    }
  free (link);
}

InprocLink *
inproc_link_new (guint length, gsize max_message, gsize max_bytes)
{
  InprocLink *link = aligned_alloc (64, (sizeof (InprocLink) + 63) / 64 * 64);
  bool made = true;
  int saved;

  if (link == NULL)
    return NULL;
  memset (link, 0, sizeof *link);
  g_atomic_ref_count_init (&link->refs);
  link->sleepers[0].fd = link->sleepers[1].fd = -1;
  for (guint side = 0; side < 2 && made; side++)
    made = inproc_lane_init (&link->lanes[side], length, max_message, max_bytes)
           && inproc_sleeper_init (&link->sleepers[side]);
  if (made)
    return link;

  saved = errno;
  link_free (link);
  errno = saved;
  return NULL;
}

InprocLink *
inproc_link_ref (InprocLink *link)
{
  g_atomic_ref_count_inc (&link->refs);
  return link;
}

void
inproc_link_unref (InprocLink *link)
{
  if (g_atomic_ref_count_dec (&link->refs))
    link_free (link);
}

bool
inproc_link_is_closed (InprocLink *link, guint side)
{
  return atomic_load (&link->closed[side]);
}

static InprocLane *
outgoing (InprocConnection *self)
{
  return &self->link->lanes[self->side];
}

static InprocLane *
incoming (InprocConnection *self)
{
  return &self->link->lanes[1 - self->side];
}

static InprocSleeper *
own_sleeper (InprocConnection *self)
{
  return &self->link->sleepers[self->side];
}

static InprocSleeper *
peer_sleeper (InprocConnection *self)
{
  return &self->link->sleepers[1 - self->side];
}

static bool
peer_left (InprocConnection *self)
{
  return inproc_link_is_closed (self->link, 1 - self->side);
}

static CommyIo
at_its_end (InprocConnection *self, const char *why)
{
  if (self->why == NULL)
    self->why = why;
  return COMMY_IO_CLOSED;
}

static CommyIo
peer_closed (InprocConnection *self)
{
  return at_its_end (self, "the other end of this process closed the connection");
}

CommyIo
inproc_connection_reserve (gpointer connection, gsize size, CommySpan *out_span)
{
  InprocConnection *self = connection;
  InprocBuffer *buffer = NULL;

  if (peer_left (self))
    return peer_closed (self);
  switch (inproc_lane_reserve (outgoing (self), size, &buffer))
    {
    case INPROC_LANE_FULL:
      return COMMY_IO_WOULD_BLOCK;
    case INPROC_LANE_TOO_BIG:
      return COMMY_IO_TOO_BIG;
    case INPROC_LANE_NO_MEMORY:
      return at_its_end (self, "there is no memory for a message");
    case INPROC_LANE_OK:
    default:
      out_span->data = buffer->data;
      out_span->size = size;
      return COMMY_IO_OK;
    }
}

CommyIo
inproc_connection_attach (gpointer connection, const int *fds, gsize n_fds)
{
  InprocConnection *self = connection;

  if (peer_left (self))
    return peer_closed (self);
  if (n_fds > INPROC_HANDLES_MAX)
    return COMMY_IO_TOO_BIG;
  g_return_val_if_fail (outgoing (self)->reserved != NULL, COMMY_IO_CLOSED);
  if (!inproc_lane_attach (outgoing (self), fds, (uint32_t) n_fds))
    return at_its_end (self, "there is no memory for a message");
  for (gsize i = 0; i < n_fds; i++)
    fcntl (fds[i], F_SETFD, FD_CLOEXEC); /* they arrive so from other processes too */
  return COMMY_IO_OK;
}

gsize
inproc_connection_take_fds (gpointer connection,
                            const CommyMessage *message,
                            int *out_fds,
                            gsize max)
{
  return inproc_buffer_take_handles ((InprocBuffer *) (guintptr) message->token, out_fds, max);
}

CommyIo
inproc_connection_commit (gpointer connection, gsize used)
{
  InprocConnection *self = connection;

  inproc_lane_commit (outgoing (self), used);
  return peer_left (self) ? peer_closed (self) : COMMY_IO_OK;
}

CommyIo
inproc_connection_flush (gpointer connection)
{
  InprocConnection *self = connection;

  if (inproc_lane_publish (outgoing (self)))
    inproc_sleeper_wake (peer_sleeper (self), INPROC_WANTS_READ);
  return peer_left (self) ? peer_closed (self) : COMMY_IO_OK;
}

CommyIo
inproc_connection_peek (gpointer connection, CommyMessage *out_message)
{
  InprocConnection *self = connection;
  InprocBuffer *buffer;

  inproc_sleeper_awake (own_sleeper (self));
  buffer = inproc_lane_take (incoming (self));
  if (buffer == NULL && !peer_left (self))
    return COMMY_IO_WOULD_BLOCK;
  /* The peer publishes before it leaves: having seen it leave, the second look is complete. */
  if (buffer == NULL)
    buffer = inproc_lane_take (incoming (self));
  if (buffer == NULL)
    return peer_closed (self);

  *out_message = (CommyMessage){
    .data = buffer->data,
    .size = buffer->size,
    .flags = COMMY_MESSAGE_STABLE, /* the sender has no pointer to it any more */
    .token = (guintptr) buffer,
  };
  return COMMY_IO_OK;
}

void
inproc_connection_release (gpointer connection, const CommyMessage *message)
{
  InprocConnection *self = connection;

  inproc_lane_give_back (incoming (self), (InprocBuffer *) (guintptr) message->token);
  inproc_sleeper_wake (peer_sleeper (self), INPROC_WANTS_WRITE);
}

int
inproc_connection_fd (gpointer connection)
{
  return own_sleeper (connection)->fd;
}

static guint
what_is_met (InprocConnection *self, guint interest)
{
  bool left = peer_left (self);
  guint met = 0;

  if ((interest & COMMY_INTEREST_READ) != 0 && (left || inproc_lane_has_message (incoming (self))))
    met |= COMMY_INTEREST_READ;
  if ((interest & COMMY_INTEREST_WRITE) != 0 && (left || inproc_lane_has_room (outgoing (self))))
    met |= COMMY_INTEREST_WRITE;
  return met;
}

guint
inproc_connection_arm (gpointer connection, guint interest, guint *out_events)
{
  InprocConnection *self = connection;
  guint wants = 0;
  guint met;

  if ((interest & COMMY_INTEREST_READ) != 0)
    wants |= INPROC_WANTS_READ;
  if ((interest & COMMY_INTEREST_WRITE) != 0)
    wants |= INPROC_WANTS_WRITE;
  *out_events = POLLIN;
  inproc_sleeper_announce (own_sleeper (self), wants);
  met = what_is_met (self, interest);
  if (met != 0)
    inproc_sleeper_awake (own_sleeper (self));
  return met;
}

static bool
deadline_passed (gint64 deadline_ns)
{
  return deadline_ns != G_MAXINT64 && g_get_monotonic_time () >= deadline_ns / 1000;
}

CommyIo
inproc_connection_wait (gpointer connection,
                        const guint32 *kick_word,
                        guint32 kick_seen,
                        gint64 deadline_ns)
{
  InprocConnection *self = connection;
  InprocSleeper *sleeper = own_sleeper (self);
  InprocPark parked = INPROC_PARK_LOOK;
  CommyIo result = COMMY_IO_WOULD_BLOCK;

  while (result == COMMY_IO_WOULD_BLOCK)
    {
      inproc_sleeper_announce (sleeper, INPROC_WANTS_READ | INPROC_PARKED);
      if (inproc_lane_has_message (incoming (self)))
        result = COMMY_IO_OK;
      else if (peer_left (self))
        result = inproc_lane_has_message (incoming (self)) ? COMMY_IO_OK : peer_closed (self);
      else if (__atomic_load_n (kick_word, __ATOMIC_SEQ_CST) != kick_seen)
        result = COMMY_IO_KICKED;
      else if (parked == INPROC_PARK_TIMEOUT || deadline_passed (deadline_ns))
        result = COMMY_IO_TIMEOUT;
      else if (parked == INPROC_PARK_UNSUPPORTED)
        result = COMMY_IO_UNSUPPORTED;
      else
        parked
            = inproc_sleeper_park (sleeper, INPROC_WANTS_READ, kick_word, kick_seen, deadline_ns);
    }
  inproc_sleeper_awake (sleeper);
  return result;
}

void
inproc_connection_evidence (gpointer connection, CommyEvidence *out_evidence)
{
  InprocConnection *self = connection;

  out_evidence->kind = COMMY_EVIDENCE_SELF;
  out_evidence->security = COMMY_SECURITY_KERNEL;
  out_evidence->uid = geteuid ();
  out_evidence->gid = getegid ();
  out_evidence->pid = getpid ();
  out_evidence->pidfd = -1;
  out_evidence->chain = NULL;
  out_evidence->n_chain = 0;
  out_evidence->has_binding = TRUE;
  memcpy (out_evidence->binding, self->link->binding, sizeof out_evidence->binding);
}

const char *
inproc_connection_why (gpointer connection)
{
  InprocConnection *self = connection;

  return self->why;
}

gboolean
inproc_connection_unsent (gpointer connection, CommyUnsentFunc each, gpointer user_data)
{
  InprocConnection *self = connection;

  if (each != NULL)
    inproc_lane_each_not_taken (outgoing (self), each, user_data);
  return TRUE;
}

void
inproc_connection_leave (InprocConnection *self)
{
  InprocLink *link = g_steal_pointer (&self->link);

  if (link == NULL)
    return;
  inproc_lane_drop_unsent (&link->lanes[self->side]);
  atomic_store (&link->closed[self->side], true);
  inproc_sleeper_wake (&link->sleepers[1 - self->side], INPROC_WANTS_READ | INPROC_WANTS_WRITE);
  inproc_link_unref (link);
}
