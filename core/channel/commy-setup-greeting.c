/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The frames of a set-up: HELLO and WELCOME, whether the other side may do what it is for, and the
 * channel that comes of it.
 */
#include "config.h"

#include "base/commy-error-private.h"
#include "base/commy-failpoint.h"
#include "channel/commy-audit-events.h"
#include "channel/commy-channel-rights.h"
#include "channel/commy-flow-table.h"
#include "channel/commy-hello.h"
#include "channel/commy-setup-private.h"

#include <commy/commy-version.h>
#include <string.h>

/* --- what the other side may do --- */

gboolean
commy_setup_may_offer (CommySetup *self, GError **error)
{
  const CommyChannelShared *shared = self->shared->channel;
  g_autoptr (CommyPolicy) policy = commy_policy_current_dup (shared->policy, NULL);
  CommyPolicyPath path;
  const CommyPolicyRequest request = { .verb = COMMY_VERB_OFFER,
                                       .principal = commy_principal_get_name (self->peer),
                                       .own = commy_principal_is_own (self->peer),
                                       .attributes = commy_principal_get_attributes (self->peer),
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

gboolean
commy_setup_is_own_user (const CommySetup *self)
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

  self->channel = commy_quota_take (self->shared->channels, name, commy_setup_is_own_user (self));
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

  commy_setup_hand_over (self);
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
  if (!commy_setup_may_offer (self, &error) || !take_choice (self, hello, &error))
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
  /* Who finds no place is no peer that is recorded. */
  if (error != NULL || !take_place (self, &error) || !may_enter (self, &error)
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

void
commy_setup_on_frame (CommySetup *self, const guint8 *data, gsize size)
{
  guint8 wanted = self->listener == NULL ? COMMY_FRAME_WELCOME
                  : self->awaits_ack     ? COMMY_FRAME_ACK
                                         : COMMY_FRAME_HELLO;
  gboolean only_auth;
  gboolean takes_auth = commy_setup_takes_auth (self, &only_auth);
  CommyFrame frame;
  CommyHello hello = { 0 };
  g_autoptr (GError) error = NULL;
  CommyFrameStatus status = commy_frame_parse (data, size, COMMY_SETUP_FRAME_MAX, &frame);

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
