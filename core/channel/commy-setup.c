/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The set-up of one channel as a small state machine on the mesh thread:
 *
 *   connecting side:  OPENING -> judge the peer -> HELLO sent -> (AUTH ...) -> WELCOME -> channel
 *   accepting side:   OPENING -> judge the peer -> HELLO -> (AUTH ...) -> WELCOME sent -> channel
 *
 * Whatever goes wrong is told to the peer in a CLOSE frame where there is a path, and here
 * to the caller or the log.
 */
#include "config.h"

#include "channel/commy-setup.h"

#include "base/commy-error-private.h"
#include "base/commy-failpoint.h"
#include "channel/commy-audit-events.h"
#include "channel/commy-channel-rights.h"
#include "channel/commy-exchange.h"
#include "channel/commy-setup-private.h"

#include <glib-unix.h>
#include <stdlib.h>
#include <string.h>

gpointer
commy_setup_alloc (gsize size)
{
  gsize rounded = (MAX (size, 1) + 63) & ~(gsize) 63;
  gpointer memory = aligned_alloc (64, rounded);

  if (memory == NULL)
    g_error ("out of memory");
  return memset (memory, 0, rounded);
}

void
commy_setup_drop_source (GSource **source)
{
  if (*source == NULL)
    return;
  g_source_destroy (*source);
  g_clear_pointer (source, g_source_unref);
}

/* Frees what is left; the connection too unless it was handed on. */
void
commy_setup_free (CommySetup *self)
{
  commy_setup_drop_source (&self->fd_source);
  commy_setup_drop_source (&self->timeout);
  commy_setup_drop_exchange (self); /* before the connection, whose evidence it knows */
  if (self->connection != NULL)
    {
      if (self->listener != NULL)
        commy_listener_forget (self->listener, self->connection);
      self->ops->close (self->connection);
      free (self->connection);
    }
  commy_seat_free (self->seat);
  commy_seat_free (self->channel);
  if (self->shared->connecting != NULL)
    g_hash_table_remove (self->shared->connecting, self);
  commy_setup_drop_ticket (self);
  g_clear_pointer (&self->flow, commy_channel_unref);
  explicit_bzero (&self->given, sizeof self->given);
  g_clear_pointer (&self->peer, commy_principal_unref);
  g_free (self->proved);
  g_clear_pointer (&self->proofs, g_array_unref);
  commy_standing_free (self->standing);
  commy_worker_unref (self->worker);
  g_free (self->service);
  g_free (self->instance);
  g_free (self->expected_node);
  g_free (self);
}

gpointer
commy_setup_hand_over (CommySetup *self)
{
  commy_setup_drop_source (&self->fd_source);
  if (self->listener != NULL)
    commy_listener_forget (self->listener, self->connection);
  self->ops->limit (self->connection, G_MAXSIZE);
  return g_steal_pointer (&self->connection);
}

/* --- frames of set-up --- */

gboolean
commy_setup_send_frame (CommySetup *self, CommyFrameSpec *spec, gconstpointer payload, gsize size)
{
  gsize prefix = commy_frame_prefix_size (spec);
  CommySpan span;

  if (self->ops->reserve (self->connection, prefix + size, &span) != COMMY_IO_OK)
    return FALSE;
  commy_frame_write (span.data, spec, size);
  memcpy (span.data + prefix, payload, size);
  if (self->ops->commit (self->connection, prefix + size) != COMMY_IO_OK)
    return FALSE;
  return self->ops->flush (self->connection) != COMMY_IO_CLOSED;
}

void
commy_setup_send_close (CommySetup *self, const GError *error)
{
  CommyFrameSpec spec = { .type = COMMY_FRAME_CLOSE, .method = (guint32) error->code };
  const char *text = commy_error_bare (error);

  if (self->open)
    commy_setup_send_frame (self, &spec, text, MIN (strlen (text), 1024));
}

/* The set-up failed: both sides hear why. */
void
commy_setup_fail (CommySetup *self, const GError *error, gboolean tell_peer)
{
  CommySetupDoneFunc done = self->done;
  gpointer data = self->data;
  g_autoptr (GError) copy = g_error_copy (error);

  if (tell_peer)
    commy_setup_send_close (self, copy);
  if (self->listener != NULL || copy->code == COMMY_ERROR_NOT_OFFERED
      || copy->code == COMMY_ERROR_REFUSED)
    commy_audit_refused (self, copy);
  if (self->listener != NULL && commy_listener_tells (self->listener, copy->code))
    g_message ("refused a peer on %s: %s", self->transport->note.id, copy->message);
  commy_setup_free (self);
  if (done != NULL)
    done (data, NULL, copy);
}

static gboolean
on_timeout (gpointer data)
{
  CommySetup *self = data;
  g_autoptr (GError) error = NULL;

  commy_set_error (&error, COMMY_ERROR_HANDSHAKE,
                   "set-up over %s was not finished within %" G_GINT64_FORMAT " ms",
                   self->transport->note.id, self->shared->timeout_ns / 1000000);
  commy_setup_fail (self, error, TRUE);
  return G_SOURCE_REMOVE;
}

CommySetup *
commy_setup_new (CommySetupShared *shared, CommyListener *listener, CommyPlugin *transport)
{
  CommySetup *self = g_new0 (CommySetup, 1);

  self->shared = shared;
  self->listener = listener;
  self->transport = transport;
  self->ops = &transport->ops.transport;
  self->connection = commy_setup_alloc (self->ops->connection_size);
  self->timeout = g_timeout_source_new ((guint) (shared->timeout_ns / 1000000));
  g_source_set_callback (self->timeout, on_timeout, self, NULL);
  g_source_attach (self->timeout, shared->context);
  return self;
}

/* --- progress --- */

static gboolean
on_ready (int fd, GIOCondition condition, gpointer data)
{
  commy_setup_progress (data);
  return G_SOURCE_CONTINUE;
}

static void
watch (CommySetup *self, guint events)
{
  if (self->fd_source != NULL && self->fd_events == events)
    return;
  commy_setup_drop_source (&self->fd_source);
  self->fd_events = events;
  self->fd_source = g_unix_fd_source_new (self->ops->fd (self->connection),
                                          (GIOCondition) events | G_IO_HUP | G_IO_ERR);
  g_source_set_callback (self->fd_source, G_SOURCE_FUNC (on_ready), self, NULL);
  g_source_attach (self->fd_source, self->shared->context);
}

/* Reads the one frame that set-up waits for, or sleeps until it is there. */
void
commy_setup_progress (CommySetup *self)
{
  g_autofree guint8 *copy = NULL;
  g_autoptr (GError) error = NULL;
  CommyMessage message;
  guint events = 0;
  CommyIo io;
  gsize size;

  if (commy_setup_is_thinking (self))
    {
      commy_setup_drop_source (&self->fd_source);
      return;
    }
  if (self->ops->flush (self->connection) == COMMY_IO_OK)
    events = 0;
  while ((io = self->ops->peek (self->connection, &message)) == COMMY_IO_WOULD_BLOCK)
    {
      guint interest = COMMY_INTEREST_READ;

      if (self->ops->flush (self->connection) == COMMY_IO_WOULD_BLOCK)
        interest |= COMMY_INTEREST_WRITE;
      if (self->ops->arm (self->connection, interest, &events) == 0)
        {
          watch (self, events);
          return;
        }
    }
  if (io != COMMY_IO_OK)
    {
      const char *why = self->ops->why (self->connection);

      commy_set_error (&error, COMMY_ERROR_HANDSHAKE, "the peer ended the set-up over %s: %s",
                       self->transport->note.id, why != NULL ? why : "no reason given");
      commy_setup_fail (self, error, FALSE);
      return;
    }
  size = message.size;
  if (size > COMMY_SETUP_FRAME_MAX)
    {
      self->ops->release (self->connection, &message);
      commy_set_error (&error, COMMY_ERROR_PROTOCOL, "a set-up frame of %" G_GSIZE_FORMAT " bytes",
                       size);
      commy_setup_fail (self, error, TRUE);
      return;
    }
  /* Nobody is authenticated yet: never parse where the peer can still write. */
  copy = g_memdup2 (message.data, size);
  self->ops->release (self->connection, &message);
  commy_setup_on_frame (self, copy, size);
  explicit_bzero (copy, size); /* it may be a credential */
}

/* Who showed a certificate does not share the place of those of whom nothing is known: it cannot
 * take it from them, nor they from it. */
static gboolean
take_own_seat (CommySetup *self, GError **error)
{
  CommyEvidence evidence = commy_exchange_take_evidence (self);
  g_autofree char *who = commy_exchange_dup_source (self);

  if (evidence.kind != COMMY_EVIDENCE_X509)
    return TRUE;
  commy_seat_free (g_steal_pointer (&self->seat));
  self->seat = commy_quota_take (self->shared->handshakes, who,
                                 self->peer != NULL && commy_setup_is_own_user (self));
  if (self->seat != NULL)
    return TRUE;
  commy_set_error (error, COMMY_ERROR_BUSY,
                   "%s has all the set-ups under way that it may have here (limit \"handshakes\")",
                   who);
  return FALSE;
}

void
commy_setup_on_open (CommySetup *self)
{
  g_autoptr (GError) error = NULL;

  self->open = TRUE;
  /* Before anybody is known the header of a frame is enough to refuse it. */
  self->ops->limit (self->connection, COMMY_SETUP_MESSAGE_MAX);
  if (!commy_setup_judge (self, &error) || (self->listener != NULL && !take_own_seat (self, &error))
      || (self->listener == NULL && self->peer != NULL && !commy_setup_may_offer (self, &error)))
    {
      commy_setup_fail (self, error, TRUE);
      return;
    }
  if (self->listener == NULL
      && (COMMY_FAILPOINT ("setup-hello") || !commy_setup_send_greeting (self, COMMY_FRAME_HELLO)))
    {
      commy_set_error (&error, COMMY_ERROR_HANDSHAKE, "the path over %s closed before the hello",
                       self->transport->note.id);
      commy_setup_fail (self, error, FALSE);
      return;
    }
  commy_setup_progress (self);
}

/* --- connecting side --- */

/* That one side does not take the other for what it has to be stays what it is; all else says that
 * nobody was reached. */
static CommyError
failure_of (const GError *cause)
{
  return g_error_matches (cause, COMMY_ERROR, COMMY_ERROR_REFUSED) ? COMMY_ERROR_REFUSED
                                                                   : COMMY_ERROR_UNREACHABLE;
}

static void
on_connected (gpointer user_data, gpointer connection, const GError *cause)
{
  CommySetup *self = user_data;
  g_autoptr (GError) error = NULL;

  if (cause == NULL)
    {
      commy_setup_on_open (self);
      return;
    }
  g_clear_pointer (&self->connection, free); /* the transport cleaned up */
  commy_set_error (&error, failure_of (cause), "%s over %s: %s", self->service,
                   self->transport->note.id, commy_error_bare (cause));
  commy_setup_fail (self, error, FALSE);
}

CommySetup *
commy_setup_connect (CommySetupShared *shared,
                     CommyPlugin *transport,
                     const CommyEndpoint *endpoint,
                     const char *service,
                     const char *instance,
                     CommyWorker *worker,
                     CommySetupDoneFunc done,
                     gpointer data)
{
  CommySetup *self = commy_setup_new (shared, NULL, transport);

  self->worker = commy_worker_ref (worker);
  self->service = g_strdup (service);
  self->instance = g_strdup (instance);
  self->expected_node = g_strdup (endpoint->node);
  self->done = done;
  self->data = data;
  if (shared->connecting == NULL)
    shared->connecting = g_hash_table_new (NULL, NULL);
  g_hash_table_add (shared->connecting, self);
  self->ops->connect (transport->instance, self->connection, endpoint, on_connected, self);
  return self;
}

void
commy_setup_allow_moves (CommySetup *setup)
{
  setup->wants_moves = TRUE;
}

void
commy_setup_cancel_all (CommySetupShared *shared)
{
  g_autoptr (GError) error = NULL;
  GHashTableIter iter;
  gpointer setup;

  commy_set_error (&error, COMMY_ERROR_LEAVING, "the mesh is being left");
  while (shared->connecting != NULL && g_hash_table_size (shared->connecting) > 0)
    {
      g_hash_table_iter_init (&iter, shared->connecting);
      if (g_hash_table_iter_next (&iter, &setup, NULL))
        commy_setup_fail (setup, error, TRUE);
    }
  g_clear_pointer (&shared->connecting, g_hash_table_unref);
}

/* --- handing over --- */

void
commy_channel_adopt_here (CommyChannel *channel)
{
  /* A worker that is shut already closes the channel, which may have been its last user; and so
   * does what the channel rests on, where that has ended meanwhile. */
  CommyWorker *worker = commy_worker_hold (channel->worker);

  commy_channel_ref (channel);
  commy_worker_enter (worker);
  commy_worker_add_channel (worker, channel);
  commy_channel_watch_standing (channel);
  commy_channel_begin_rights (channel);
  commy_channel_unref (channel);
  commy_worker_exit (worker);
  commy_worker_release (worker);
}

static void
adopt (gpointer data)
{
  commy_channel_adopt_here (data);
}

void
commy_channel_adopt (CommyChannel *channel)
{
  commy_worker_post (channel->worker, adopt, channel);
}

void
commy_channel_on_closed (CommyChannel *channel,
                         void (*func) (gpointer data, CommyChannel *channel),
                         gpointer data)
{
  channel->on_closed = func;
  channel->on_closed_data = data;
}

guint
commy_setup_expected_security (CommySetupShared *shared, const CommyProfile *transport)
{
  guint security = transport->security;
  guint strongest = COMMY_SECURITY_NONE;

  for (CommyPlugin **auth = shared->auth; *auth != NULL; auth++)
    strongest = MAX (strongest, (*auth)->profile.security);
  /* Memory and sockets that never leave the kernel have no "between" to listen in. */
  if (security == COMMY_SECURITY_KERNEL && strongest >= COMMY_SECURITY_AUTHENTICATED)
    return COMMY_SECURITY_CONFIDENTIAL;
  return security;
}
