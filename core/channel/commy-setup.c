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
#include "channel/commy-death-watch.h"
#include "channel/commy-exchange.h"
#include "channel/commy-flow-table.h"
#include "channel/commy-hello.h"
#include "channel/commy-refusals.h"
#include "channel/commy-setup-private.h"

#include <commy/commy-version.h>
#include <glib-unix.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SETUP_FRAME_MAX 16384u

struct _CommyListener
{
  CommySetupShared *shared;
  CommyPlugin *transport;
  CommyAcceptor acceptor;
  gpointer memory;
  GHashTable *setups; /* connection -> CommySetup */
  CommyRefusals refusals;
};

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
        g_hash_table_remove (self->listener->setups, self->connection);
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

void
commy_setup_forget_connection (CommySetup *self)
{
  g_hash_table_remove (self->listener->setups, self->connection);
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

/* Whether the log hears of it. */
static gboolean
is_told (CommyListener *listener, int code)
{
  gboolean is_busy = code == COMMY_ERROR_BUSY;
  gint64 now_ns = commy_env_now (listener->shared->channel->env);
  guint untold = 0;
  gboolean told = commy_refusals_add (&listener->refusals, is_busy, now_ns, &untold);

  if (is_busy)
    g_atomic_int_inc (&listener->shared->turned_away);
  if (untold > 0)
    g_message ("refused %u more peers on %s, of which nothing was told", untold,
               listener->transport->note.id);
  return told;
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
  if (self->listener != NULL || copy->code == COMMY_ERROR_NOT_OFFERED)
    commy_audit_refused (self, copy);
  if (self->listener != NULL && is_told (self->listener, copy->code))
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

static CommySetup *
setup_new (CommySetupShared *shared, CommyListener *listener, CommyPlugin *transport)
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

/* --- what the other side may do --- */

static gboolean
may_offer (CommySetup *self, GError **error)
{
  const CommyChannelShared *shared = self->shared->channel;
  g_autoptr (CommyPolicy) policy = commy_policy_current_dup (shared->policy, NULL);
  CommyPolicyPath path;
  const CommyPolicyRequest request = { .verb = COMMY_VERB_OFFER,
                                       .principal = commy_principal_get_name (self->peer),
                                       .own = commy_principal_is_own (self->peer),
                                       .resource = self->service,
                                       .path = &path,
                                       .wall_us = commy_env_wall_us (shared->env) };
  CommyPolicyVerdict verdict;

  commy_path_facts (self->ops, self->connection, &path);
  verdict = commy_policy_judge (policy, &request);
  if (verdict.trial != NULL)
    commy_policy_current_tell_trial (shared->policy, commy_env_now (shared->env), request.principal,
                                     self->service, verdict.trial);
  if (verdict.allowed)
    return TRUE;
  commy_set_error (error, COMMY_ERROR_NOT_OFFERED, "%s may not offer %s (%s)",
                   commy_principal_get_name (self->peer), self->service, verdict.origin);
  return FALSE;
}

/* Whether anybody with these credentials may call anything here at all: a stranger to whom no
 * rule speaks learns so at the door. */
static gboolean
may_enter (CommySetup *self, GError **error)
{
  g_autoptr (CommyPolicy) policy = commy_policy_current_dup (self->shared->channel->policy, NULL);
  const char *name = commy_principal_get_name (self->peer);

  if (commy_principal_is_own (self->peer)
      || commy_policy_may_call_any (policy, name, self->service))
    return commy_audit_accepted (self, error);
  commy_set_error (error, COMMY_ERROR_REFUSED, "%s may not call %s here (no [policy] allows it)",
                   name, self->service);
  return FALSE;
}

/* By one of our own names, or by another one on another host. */
static gboolean
is_own_user (const CommySetup *self)
{
  const char *const *own = (const char *const *) self->shared->channel->own_principals;

  return commy_principal_is_own (self->peer)
         || g_strv_contains (own, commy_principal_get_name (self->peer));
}

/* A place among the open channels, of which no other user gets all. */
static gboolean
take_place (CommySetup *self, GError **error)
{
  const char *name = commy_principal_get_name (self->peer);

  self->channel = commy_quota_take (self->shared->channels, name, is_own_user (self));
  if (self->channel != NULL)
    return TRUE;
  commy_set_error (error, COMMY_ERROR_BUSY,
                   "%s has all the connections it may have here (limit \"channels\")", name);
  return FALSE;
}

/* --- hello and welcome --- */

gboolean
commy_setup_send_greeting (CommySetup *self, guint8 type)
{
  CommyFrameSpec spec = { .type = type };
  g_autoptr (GBytes) payload = NULL;
  gsize size;
  gconstpointer data;
  CommyHello hello = {
    .mesh = (char *) self->shared->mesh,
    .node = (char *) self->shared->node,
    .service = self->service,
    .instance = self->instance,
    .interface_name = (char *) self->interface_name,
    .interface_hash = (char *) self->interface_hash,
    .library = (char *) COMMY_VERSION,
    .serializers = self->shared->serializers,
    .min_version = COMMY_FRAME_MIN_VERSION,
    .max_version = COMMY_FRAME_VERSION,
    .cpu = self->shared->channel->single_cpu,
    .features = COMMY_FEATURE_RUNS,
  };

  commy_setup_add_moves (self, type, &hello);
  if (type == COMMY_FRAME_HELLO)
    commy_setup_add_auth (self, &hello);
  payload = commy_hello_write (&hello);
  g_free (hello.auth);
  g_free (hello.auth_wants);
  data = g_bytes_get_data (payload, &size);
  return commy_setup_send_frame (self, &spec, data, size);
}

static gboolean
check_greeting (CommySetup *self, const CommyHello *hello, GError **error)
{
  if (hello->min_version > COMMY_FRAME_VERSION || hello->max_version < COMMY_FRAME_MIN_VERSION)
    commy_set_error (error, COMMY_ERROR_VERSION,
                     "the peer (Commy %s) speaks protocol %u to %u, this side %u to %u",
                     hello->library, hello->min_version, hello->max_version,
                     COMMY_FRAME_MIN_VERSION, COMMY_FRAME_VERSION);
  else if (strcmp (hello->mesh, self->shared->mesh) != 0)
    commy_set_error (error, COMMY_ERROR_REFUSED, "the peer is of mesh \"%s\", this side of \"%s\"",
                     hello->mesh, self->shared->mesh);
  else if (self->expected_node != NULL && strcmp (hello->node, self->expected_node) != 0)
    commy_set_error (error, COMMY_ERROR_UNREACHABLE,
                     "another node answers at this address (%.8s, expected %.8s)", hello->node,
                     self->expected_node);
  else
    return TRUE;
  return FALSE;
}

static CommyChannel *
make_channel (CommySetup *self, CommyWorker *worker, const CommyHello *hello, char *const *wire)
{
  CommyChannelSetup setup = {
    .transport = self->transport,
    .connection = self->connection,
    .accepting = self->listener != NULL,
    .peer_node = hello->node,
    .service = self->service,
    .instance = self->instance,
    .interface_name = hello->interface_name,
    .interface_hash = hello->interface_hash,
    .peer = self->peer,
    .serializers = wire,
    .peer_cpu = hello->cpu,
    .borrows = (hello->features & COMMY_FEATURE_BODIES) != 0
               && commy_path_has_bodies (self->transport, self->connection),
    .takes_runs = (hello->features & COMMY_FEATURE_RUNS) != 0,
    .seat = g_steal_pointer (&self->channel),
    .standing = g_steal_pointer (&self->standing),
  };

  commy_setup_drop_source (&self->fd_source);
  if (self->listener != NULL)
    g_hash_table_remove (self->listener->setups, self->connection);
  self->connection = NULL;
  return commy_channel_new (worker, self->shared->channel, &setup);
}

static gboolean
is_id (const char *text)
{
  return strspn (text, "0123456789abcdef") == 32 && text[32] == '\0';
}

/* Who left the choice to the other side learns here what came of it. */
static gboolean
take_choice (CommySetup *self, const CommyHello *hello, GError **error)
{
  if (self->instance[0] != '\0')
    return TRUE;
  if (!is_id (hello->instance) || !is_id (hello->node))
    {
      commy_set_error (error, COMMY_ERROR_PROTOCOL, "the welcome does not say who answers");
      return FALSE;
    }
  g_free (self->instance);
  self->instance = g_strdup (hello->instance);
  return TRUE;
}

static void
on_welcome (CommySetup *self, const CommyHello *hello)
{
  CommySetupDoneFunc done = self->done;
  gpointer data = self->data;
  g_autoptr (GError) error = NULL;
  CommyChannel *channel;

  if (self->peer == NULL)
    {
      commy_set_error (&error, COMMY_ERROR_REFUSED,
                       "%s over %s takes part in none of the steps by which it should prove who it "
                       "is (expect-chain of [service %s], auth of [mesh])",
                       self->service, self->transport->note.id, self->service);
      commy_setup_fail (self, error, TRUE);
      return;
    }
  if (!commy_setup_take_standing (self, &error))
    {
      commy_setup_fail (self, error, TRUE);
      return;
    }
  if (self->flow != NULL)
    {
      commy_setup_on_resumed (self, hello);
      return;
    }
  if (!may_offer (self, &error) || !take_choice (self, hello, &error))
    {
      commy_setup_fail (self, error, TRUE);
      return;
    }
  channel = make_channel (self, self->worker, hello, hello->serializers);
  if (self->wants_moves && (hello->features & COMMY_FEATURE_MOVES) && hello->flow.id != 0)
    commy_channel_agree_on_moves (channel, &hello->flow,
                                  (hello->features & COMMY_FEATURE_KEEPS) != 0);
  commy_setup_free (self);
  done (data, channel, NULL);
}

void
commy_setup_on_hello (CommySetup *self, const CommyHello *hello)
{
  CommyDestination destination = { 0 };
  CommyChannel *channel;
  g_autoptr (GError) error = NULL;

  g_free (self->service);
  g_free (self->instance);
  self->service = g_strdup (hello->service);
  self->instance = g_strdup (hello->instance);
  if (!commy_setup_take_standing (self, &error))
    {
      commy_setup_fail (self, error, TRUE);
      return;
    }
  if (hello->has_resume && may_enter (self, &error))
    {
      commy_setup_on_resume (self, hello);
      return;
    }
  if (error != NULL || !may_enter (self, &error) || !take_place (self, &error)
      || !self->shared->locate (self->shared->locate_data, hello->service, hello->instance,
                                &destination, &error))
    {
      commy_setup_fail (self, error, TRUE);
      return;
    }
  g_free (self->instance);
  self->instance = g_strdup (destination.instance);
  self->interface_name = destination.interface_name;
  self->interface_hash = destination.interface_hash;
  if ((hello->features & COMMY_FEATURE_MOVES)
      && commy_path_can_tell (self->transport, self->connection))
    commy_flow_name_make (&self->given, self->shared->channel->env);
  if (COMMY_FAILPOINT ("setup-welcome") || !commy_setup_send_greeting (self, COMMY_FRAME_WELCOME))
    {
      destination.handler->closed (destination.handler_data, NULL);
      commy_set_error (&error, COMMY_ERROR_HANDSHAKE, "the path closed before the welcome");
      commy_setup_fail (self, error, FALSE);
      return;
    }
  channel = make_channel (self, destination.worker, hello, self->shared->serializers);
  channel->handler = destination.handler;
  channel->handler_data = destination.handler_data;
  if (self->given.id != 0)
    {
      commy_channel_agree_on_moves (channel, &self->given,
                                    (hello->features & COMMY_FEATURE_KEEPS) != 0);
      commy_flow_table_add (self->shared->channel->flows, channel, &self->given);
    }
  commy_setup_free (self);
  commy_channel_adopt (channel);
}

static void
on_frame (CommySetup *self, const guint8 *data, gsize size)
{
  guint8 wanted = self->listener == NULL ? COMMY_FRAME_WELCOME
                  : self->awaits_ack     ? COMMY_FRAME_ACK
                                         : COMMY_FRAME_HELLO;
  gboolean only_auth;
  gboolean takes_auth = commy_setup_takes_auth (self, &only_auth);
  CommyFrame frame;
  CommyHello hello = { 0 };
  g_autoptr (GError) error = NULL;
  CommyFrameStatus status = commy_frame_parse (data, size, SETUP_FRAME_MAX, &frame);

  if (status != COMMY_FRAME_OK)
    commy_set_error (&error,
                     status == COMMY_FRAME_BAD_VERSION ? COMMY_ERROR_VERSION : COMMY_ERROR_PROTOCOL,
                     "%s", commy_frame_status_to_string (status));
  else if (frame.type == COMMY_FRAME_CLOSE)
    {
      g_autofree char *text
          = g_strndup ((const char *) data + frame.payload_offset, frame.payload_size);
      g_autofree char *valid = g_utf8_make_valid (text, -1);

      /* This instance has gone; others of its name may do. */
      error = commy_error_new_from_wire (
          frame.method == COMMY_ERROR_NO_SERVICE ? (guint32) COMMY_ERROR_UNREACHABLE : frame.method,
          FALSE, valid);
      commy_setup_fail (self, error, FALSE);
      return;
    }
  else if (frame.type == COMMY_FRAME_AUTH && takes_auth)
    {
      commy_setup_on_auth (self, &frame, data + frame.payload_offset);
      return;
    }
  else if (frame.type != wanted || only_auth)
    commy_set_error (&error, COMMY_ERROR_PROTOCOL, "%s before the end of set-up",
                     commy_frame_type_to_string (frame.type));
  else if (self->awaits_ack)
    {
      commy_setup_on_received (self, frame.ack);
      return;
    }
  else if (commy_hello_read (data + frame.payload_offset, frame.payload_size, &hello, &error)
           && check_greeting (self, &hello, &error))
    {
      if (self->listener != NULL)
        commy_setup_authenticate (self, &hello);
      else
        on_welcome (self, &hello);
      commy_hello_clear (&hello);
      return;
    }
  commy_hello_clear (&hello);
  commy_setup_fail (self, error, TRUE);
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
  if (size > SETUP_FRAME_MAX)
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
  on_frame (self, copy, size);
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
  self->seat
      = commy_quota_take (self->shared->handshakes, who, self->peer != NULL && is_own_user (self));
  if (self->seat != NULL)
    return TRUE;
  commy_set_error (error, COMMY_ERROR_BUSY,
                   "%s has all the set-ups under way that it may have here (limit \"handshakes\")",
                   who);
  return FALSE;
}

static void
on_open (CommySetup *self)
{
  g_autoptr (GError) error = NULL;

  self->open = TRUE;
  if (!commy_setup_judge (self, &error) || (self->listener != NULL && !take_own_seat (self, &error))
      || (self->listener == NULL && self->peer != NULL && !may_offer (self, &error)))
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

static void
on_connected (gpointer user_data, gpointer connection, const GError *cause)
{
  CommySetup *self = user_data;
  g_autoptr (GError) error = NULL;

  if (cause == NULL)
    {
      on_open (self);
      return;
    }
  g_clear_pointer (&self->connection, free); /* the transport cleaned up */
  commy_set_error (&error, COMMY_ERROR_UNREACHABLE, "%s over %s: %s", self->service,
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
  CommySetup *self = setup_new (shared, NULL, transport);

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

/* --- accepting side --- */

static gpointer
begin (CommyListener *self, const char *who, gboolean is_own)
{
  CommySeat *seat = commy_quota_take (self->shared->handshakes, who, is_own);
  CommySetup *setup;

  if (seat == NULL)
    {
      if (is_told (self, COMMY_ERROR_BUSY))
        g_message ("%s: %u set-ups are under way, the next one of %s is dropped (limit "
                   "\"handshakes\")",
                   self->transport->note.id, commy_quota_get_used (self->shared->handshakes), who);
      return NULL;
    }
  setup = setup_new (self->shared, self, self->transport);
  setup->seat = seat;
  g_hash_table_insert (self->setups, setup->connection, setup);
  return setup->connection;
}

/* Nobody knows yet who it is: all of them share what one user may have. */
static gpointer
listener_alloc (gpointer user_data)
{
  CommyListener *self = user_data;

  return begin (self, self->transport->note.id, FALSE);
}

static gpointer
listener_alloc_for_user (gpointer user_data, guint32 uid)
{
  char who[32];

  g_snprintf (who, sizeof who, "user %u", uid);
  return begin (user_data, who, uid == geteuid ());
}

static void
listener_opened (gpointer user_data, gpointer connection, const GError *cause)
{
  CommyListener *self = user_data;
  CommySetup *setup = g_hash_table_lookup (self->setups, connection);

  g_return_if_fail (setup != NULL);
  if (cause == NULL)
    {
      on_open (setup);
      return;
    }
  g_hash_table_remove (self->setups, connection);
  g_clear_pointer (&setup->connection, free);
  commy_setup_fail (setup, cause, FALSE);
}

CommyListener *
commy_listener_new (CommySetupShared *shared, CommyPlugin *transport, GError **error)
{
  CommyListener *self = g_new0 (CommyListener, 1);
  const CommyTransportOps *ops = &transport->ops.transport;

  self->shared = shared;
  self->transport = transport;
  self->memory = commy_setup_alloc (ops->listener_size);
  self->setups = g_hash_table_new (NULL, NULL);
  self->acceptor = (CommyAcceptor){ .struct_size = sizeof (CommyAcceptor),
                                    .alloc = listener_alloc,
                                    .opened = listener_opened,
                                    .user_data = self,
                                    .alloc_for_user = listener_alloc_for_user };
  if (!ops->listen (transport->instance, self->memory, &self->acceptor, error))
    {
      g_clear_pointer (&self->memory, free);
      commy_listener_free (self);
      return NULL;
    }
  return self;
}

const char *
commy_listener_get_address (CommyListener *listener)
{
  return listener->transport->ops.transport.address (listener->transport->instance,
                                                     listener->memory);
}

const char *
commy_listener_get_transport (CommyListener *listener)
{
  return listener->transport->note.id;
}

void
commy_listener_free (CommyListener *self)
{
  GHashTableIter iter;
  gpointer setup;

  if (self == NULL)
    return;
  g_hash_table_iter_init (&iter, self->setups);
  while (g_hash_table_iter_next (&iter, NULL, &setup))
    {
      g_hash_table_iter_steal (&iter);
      ((CommySetup *) setup)->listener = NULL;
      commy_setup_free (setup);
    }
  if (self->memory != NULL)
    {
      self->transport->ops.transport.unlisten (self->transport->instance, self->memory);
      free (self->memory);
    }
  g_hash_table_unref (self->setups);
  g_free (self);
}

/* --- handing over --- */

void
commy_channel_adopt_here (CommyChannel *channel)
{
  /* A worker that is shut already closes the channel, which may have been its last user. */
  CommyWorker *worker = commy_worker_hold (channel->worker);

  commy_worker_enter (worker);
  commy_worker_add_channel (worker, channel);
  commy_channel_watch_standing (channel);
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
