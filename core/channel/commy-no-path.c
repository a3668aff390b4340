/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The path of a flow that has none: operations that take nothing and bring nothing, so that
 * sending and receiving need not ask. What an application was still writing when its path went is
 * kept, and who looks for messages looks for visitors, who bring the next path.
 */
#include "config.h"

#include "channel/commy-channel-private.h"

#include <poll.h>

static CommyChannel *
channel_of (gpointer connection)
{
  return connection;
}

static CommyIo
no_reserve (gpointer connection, gsize size, CommySpan *out_span)
{
  return COMMY_IO_WOULD_BLOCK;
}

/* The reservation lies in the path that went; its frame goes with the next one. */
static CommyIo
no_commit (gpointer connection, gsize used)
{
  CommyChannel *self = channel_of (connection);
  const guint8 *span = g_steal_pointer (&self->moves.lost_span);

  if (used == 0 || span == NULL)
    return COMMY_IO_OK;
  if (commy_channel_is_ordered (span[COMMY_FRAME_TYPE_OFFSET]))
    self->tx_sequence--; /* it gets its number when it leaves */
  g_queue_push_tail (&self->backlog, g_bytes_new (span, used));
  self->backlog_bytes += commy_channel_backlog_cost (used);
  self->pong_waits |= span[COMMY_FRAME_TYPE_OFFSET] == COMMY_FRAME_PONG;
  commy_channel_hold_handles (self, self->backlog.tail->data);
  return COMMY_IO_OK;
}

static CommyIo
no_flush (gpointer connection)
{
  return COMMY_IO_OK;
}

static gboolean
is_dead (int pidfd)
{
  struct pollfd fd = { .fd = pidfd, .events = POLLIN };

  return pidfd >= 0 && poll (&fd, 1, 0) > 0;
}

static CommyIo
no_peek (gpointer connection, CommyMessage *out_message)
{
  CommyChannel *self = channel_of (connection);

  commy_channel_run_visits (self);
  if (!self->moves.adrift || self->closed)
    return COMMY_IO_WOULD_BLOCK;
  return is_dead (self->moves.pidfd) ? COMMY_IO_CLOSED : COMMY_IO_WOULD_BLOCK;
}

static void
no_release (gpointer connection, const CommyMessage *message)
{
}

static int
no_fd (gpointer connection)
{
  return channel_of (connection)->moves.pidfd;
}

static guint
no_arm (gpointer connection, guint interest, guint *out_events)
{
  CommyChannel *self = channel_of (connection);

  gboolean visited = commy_channel_has_visits (self) && self->span == NULL;

  *out_events = self->moves.pidfd >= 0 ? POLLIN : 0;
  return visited || is_dead (self->moves.pidfd) ? COMMY_INTEREST_READ : 0;
}

static CommyIo
no_wait (gpointer connection, const guint32 *kick_word, guint32 kick_seen, gint64 deadline_ns)
{
  return COMMY_IO_UNSUPPORTED;
}

static void
no_evidence (gpointer connection, CommyEvidence *out_evidence)
{
  out_evidence->pidfd = channel_of (connection)->moves.pidfd;
}

static const char *
no_why (gpointer connection)
{
  return "the peer's process ended";
}

static void
no_close (gpointer connection)
{
}

static CommyIo
no_attach (gpointer connection, const int *fds, gsize n_fds)
{
  return COMMY_IO_WOULD_BLOCK;
}

static gsize
no_take_fds (gpointer connection, const CommyMessage *message, int *out_fds, gsize max)
{
  return 0;
}

static gboolean
no_unsent (gpointer connection, CommyUnsentFunc each, gpointer user_data)
{
  return TRUE;
}

const CommyTransportOps commy_no_path = {
  .struct_size = sizeof (CommyTransportOps),
  .reserve = no_reserve,
  .commit = no_commit,
  .flush = no_flush,
  .peek = no_peek,
  .release = no_release,
  .fd = no_fd,
  .arm = no_arm,
  .wait = no_wait,
  .evidence = no_evidence,
  .why = no_why,
  .close = no_close,
  .attach = no_attach,
  .take_fds = no_take_fds,
  .unsent = no_unsent,
  /* No `lend` and no `body`: a channel without a path borrows nothing (`borrows`). */
};
