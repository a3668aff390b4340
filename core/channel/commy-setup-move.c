/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Setting a path up for a flow that is there already:
 *
 *   connecting side:  HELLO with "resume" ... WELCOME -> its worker leaves the old path -> ACK
 *   accepting side:   HELLO -> its worker leaves the old path -> WELCOME ... ACK
 *
 * WELCOME and ACK say which frame of the other side arrived last; each side sends what follows
 * that one. Who asks must know the flow's secret and be the one that the flow was set up with.
 */
#include "config.h"

#include "channel/commy-setup-private.h"

#include "base/commy-error-private.h"
#include "channel/commy-flow-table.h"

#include <string.h>

/* What goes to the flow's worker and back; it may outlive the set-up. */
typedef struct _CommySetupTicket CommySetupTicket;

struct _CommySetupTicket
{
  gatomicrefcount refs;
  GObject *owner; /* the mesh, which the shared part of set-ups is in */
  GMainContext *context;
  CommySetup *setup; /* NULL: it is gone. Mesh thread */
  guint32 is_void;   /* atomic: the worker need not begin */
  guint32 number;
  CommyPrincipal *peer;
  const char *refusal; /* by the worker; NULL: it left its path */
  guint32 received;
};

static void
ticket_unref (gpointer data)
{
  CommySetupTicket *ticket = data;

  if (!g_atomic_ref_count_dec (&ticket->refs))
    return;
  commy_principal_unref (ticket->peer);
  g_main_context_unref (ticket->context);
  g_object_unref (ticket->owner);
  g_free (ticket);
}

void
commy_setup_drop_ticket (CommySetup *self)
{
  if (self->ticket == NULL)
    return;
  self->ticket->setup = NULL;
  __atomic_store_n (&self->ticket->is_void, 1, __ATOMIC_RELAXED);
  g_clear_pointer (&self->ticket, ticket_unref);
}

void
commy_setup_add_moves (CommySetup *self, guint8 type, CommyHello *hello)
{
  if (type == COMMY_FRAME_HELLO
          ? self->wants_moves && commy_path_can_tell (self->transport, self->connection)
          : self->given.id != 0)
    hello->features |= COMMY_FEATURE_MOVES;
  if (commy_path_needs_copies (self->transport, self->connection))
    hello->features |= COMMY_FEATURE_KEEPS;
  if (commy_path_has_bodies (self->transport, self->connection))
    hello->features |= COMMY_FEATURE_BODIES;
  hello->flow = self->given;
  if (self->flow == NULL)
    return;
  hello->has_resume = TRUE;
  hello->resume_number = self->number;
  hello->resume_received = self->received;
  if (type == COMMY_FRAME_HELLO)
    commy_channel_get_flow (self->flow, &hello->resume);
}

/* The connection goes over to the flow's worker. */
static CommyNewPath *
make_path (CommySetup *self, guint32 received)
{
  CommyNewPath *path = g_new0 (CommyNewPath, 1);

  path->transport = self->transport;
  path->connection = commy_setup_hand_over (self);
  path->number = self->number;
  path->received = received;
  path->peer_keeps = self->peer_keeps;
  path->borrows = self->borrows;
  path->peer_cpu = self->peer_cpu;
  path->peer = commy_principal_ref (self->peer);
  path->standing = g_steal_pointer (&self->standing);
  return path;
}

/* --- accepting side --- */

static gboolean
on_ticket_back (gpointer data)
{
  CommySetupTicket *ticket = data;
  CommySetup *self = ticket->setup;
  g_autoptr (GError) error = NULL;

  if (self == NULL)
    return G_SOURCE_REMOVE;
  self->received = ticket->received;
  if (ticket->refusal != NULL)
    {
      commy_set_error (&error, COMMY_ERROR_REFUSED, "%s", ticket->refusal);
      commy_setup_fail (self, error, TRUE);
      return G_SOURCE_REMOVE;
    }
  commy_setup_drop_ticket (self);
  if (!commy_setup_send_greeting (self, COMMY_FRAME_WELCOME))
    {
      commy_set_error (&error, COMMY_ERROR_HANDSHAKE, "the path closed before the welcome");
      commy_setup_fail (self, error, FALSE);
      return G_SOURCE_REMOVE;
    }
  self->awaits_ack = TRUE;
  commy_setup_progress (self);
  return G_SOURCE_REMOVE;
}

/* On the flow's worker. */
static void
visit_to_leave (gpointer data, CommyChannel *channel)
{
  CommySetupTicket *ticket = data;
  GSource *source = g_idle_source_new ();

  if (!commy_channel_is_open (channel))
    ticket->refusal = "the flow has ended";
  else if (!commy_channel_has_same_rights (channel, ticket->peer))
    ticket->refusal = "another peer than the flow's";
  else if (!__atomic_load_n (&ticket->is_void, __ATOMIC_RELAXED))
    {
      if (!commy_channel_begin_move (channel, ticket->number))
        ticket->refusal = "the flow has moved on since";
      else
        {
          commy_channel_cast_off (channel);
          ticket->received = channel->rx_sequence;
        }
    }
  g_source_set_priority (source, G_PRIORITY_DEFAULT);
  g_source_set_callback (source, on_ticket_back, ticket, ticket_unref);
  g_source_attach (source, ticket->context);
  g_source_unref (source);
}

void
commy_setup_on_resume (CommySetup *self, const CommyHello *hello)
{
  g_autoptr (GError) error = NULL;
  CommySetupTicket *ticket;

  self->flow = commy_flow_table_find (self->shared->channel->flows, &hello->resume);
  if (self->flow == NULL || strcmp (hello->node, commy_channel_get_peer_node (self->flow)) != 0
      || strcmp (hello->service, commy_channel_get_service (self->flow)) != 0)
    {
      /* The same words for all of it: nobody finds out here which flows there are. */
      commy_set_error (&error, COMMY_ERROR_REFUSED, "there is no such flow");
      commy_setup_fail (self, error, TRUE);
      return;
    }
  self->number = hello->resume_number;
  self->peer_keeps = (hello->features & COMMY_FEATURE_KEEPS) != 0;
  self->borrows = (hello->features & COMMY_FEATURE_BODIES) != 0
                  && commy_path_has_bodies (self->transport, self->connection);
  self->peer_cpu = hello->cpu;
  commy_setup_drop_source (&self->fd_source);
  ticket = g_new0 (CommySetupTicket, 1);
  g_atomic_ref_count_init (&ticket->refs);
  ticket->owner = g_object_ref (self->shared->channel->owner);
  ticket->context = g_main_context_ref (self->shared->context);
  ticket->setup = self;
  ticket->number = self->number;
  ticket->peer = commy_principal_ref (self->peer);
  self->ticket = ticket;
  g_atomic_ref_count_inc (&ticket->refs);
  commy_channel_visit (self->flow, visit_to_leave, ticket);
}

/* On the flow's worker. */
static void
visit_to_land (gpointer data, CommyChannel *channel)
{
  commy_channel_land (channel, data);
}

void
commy_setup_on_received (CommySetup *self, guint32 received)
{
  commy_channel_visit (self->flow, visit_to_land, make_path (self, received));
  commy_setup_free (self);
}

/* --- connecting side --- */

/* On the flow's worker: leaves the old path, says what came over it, and goes on. */
static void
visit_to_move (gpointer data, CommyChannel *channel)
{
  CommyNewPath *path = data;
  const CommyTransportOps *ops = &path->transport->ops.transport;
  CommyFrameSpec spec = { .type = COMMY_FRAME_ACK };
  gsize prefix = commy_frame_prefix_size (&spec);
  CommySpan span;

  if (!commy_channel_is_open (channel) || path->number != channel->moves.number)
    {
      commy_new_path_free (path);
      return;
    }
  commy_channel_cast_off (channel);
  spec.flow = channel->flow;
  spec.ack = channel->rx_sequence;
  if (ops->reserve (path->connection, prefix, &span) != COMMY_IO_OK)
    {
      commy_new_path_free (path);
      return;
    }
  commy_frame_write (span.data, &spec, 0);
  if (ops->commit (path->connection, prefix) != COMMY_IO_OK
      || ops->flush (path->connection) == COMMY_IO_CLOSED)
    commy_new_path_free (path);
  else
    commy_channel_land (channel, path);
}

void
commy_setup_on_resumed (CommySetup *self, const CommyHello *hello)
{
  CommySetupDoneFunc done = self->done;
  gpointer data = self->data;
  g_autoptr (GError) error = NULL;

  if (!hello->has_resume || hello->resume_number != self->number)
    commy_set_error (&error, COMMY_ERROR_PROTOCOL, "the welcome is not for this flow");
  else if (!commy_channel_has_same_rights (self->flow, self->peer))
    commy_set_error (&error, COMMY_ERROR_REFUSED, "another peer than the flow's");
  else
    commy_setup_may_offer (self, &error); /* under the name that it has there */
  if (error != NULL)
    {
      commy_setup_fail (self, error, TRUE);
      return;
    }
  self->peer_keeps = (hello->features & COMMY_FEATURE_KEEPS) != 0;
  self->borrows = (hello->features & COMMY_FEATURE_BODIES) != 0
                  && commy_path_has_bodies (self->transport, self->connection);
  self->peer_cpu = hello->cpu;
  commy_channel_visit (self->flow, visit_to_move, make_path (self, hello->resume_received));
  commy_setup_free (self);
  done (data, NULL, NULL);
}

void
commy_setup_resume (CommySetupShared *shared,
                    CommyPlugin *transport,
                    const CommyEndpoint *endpoint,
                    CommyChannel *channel,
                    guint32 number,
                    CommySetupDoneFunc done,
                    gpointer data)
{
  CommySetup *self = commy_setup_connect (
      shared, transport, endpoint, commy_channel_get_service (channel),
      commy_channel_get_instance (channel), commy_channel_get_worker (channel), done, data);

  self->flow = commy_channel_ref (channel);
  self->number = number;
}
