/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the peer of a channel may do: the policy that was asked, and when it is asked again.
 * Channel's worker only, but for commy_path_facts() and commy_channel_may_control().
 */
#pragma once

#include "channel/commy-channel-private.h"

/* What a decision may depend on of an open connection; whoever has it may ask. */
void
commy_path_facts (const CommyTransportOps *ops, gpointer connection, CommyPolicyPath *out_path);

void commy_channel_rights_init (CommyChannel *channel);
void commy_channel_rights_clear (CommyChannel *channel);
void commy_channel_judge_method (CommyChannel *channel, CommyIncomingMethod *method);
/* Its answer holds for a time only: asks again if that is over, and the engine if the rule does and
 * there is such a method: names that the peer makes up are no questions. */
void commy_channel_refresh_method (CommyChannel *channel, CommyIncomingMethod *method);
/* Whether the method could be called under this name, over the present path. */
gboolean
commy_channel_may_call_as (CommyChannel *channel, CommyPrincipal *peer, const char *method);
/* (transfer full): for the caller and the ledger */
char *commy_channel_dup_denial (CommyChannel *channel, const CommyIncomingMethod *method);
void commy_channel_tell_trial (CommyChannel *channel, CommyIncomingMethod *method);

/* commy-channel-engine.c: what a policy engine says of a method that the policy allows; it waits if
 * that is not known yet. */
void commy_channel_ask_engine (CommyChannel *channel, CommyIncomingMethod *method);
/* Answers of the engine have ended. */
void commy_channel_expire_decisions (CommyChannel *channel, gint64 now_ns);
/* The same if it is time: a worker with a lot to do looks at deadlines seldom. */
void commy_channel_look_at_decisions (CommyChannel *channel);
/* Ends streams of which the method is not allowed any more. */
void commy_channel_look_at_streams (CommyChannel *channel);

/* Whether the peer may have this node do @operation; asks the policy, keeps nothing. */
gboolean commy_channel_may_control (CommyChannel *channel, const char *operation, GError **error);

/* Asks the policy in force, if it is another one or the path is: of each method, and of what is
 * open; streams end, and on the connecting side the channel does. */
void commy_channel_renew_rights (CommyChannel *channel);
/* When its worker takes it up; on the connecting side the right of the other one to offer is looked
 * at again when it ends. It may be closed then. */
void commy_channel_begin_rights (CommyChannel *channel);
/* A GFunc for all channels of a worker. */
void commy_channel_rights_visit (gpointer channel, gpointer unused);
/* An accepted stream is looked at when the answer for its method ends. */
void commy_channel_watch_rights (CommyChannel *channel, const CommyPipe *pipe);
/* Closes the channel if the other side may offer no more; when to look again. */
gint64 commy_channel_expire_offer (CommyChannel *channel, gint64 now_ns);
gint64 commy_channel_expire_rights (CommyChannel *channel, gint64 now_ns);

static inline void
commy_channel_note_policy (CommyChannel *channel)
{
  if (G_UNLIKELY (channel->rights.epoch
                  != commy_policy_current_get_epoch (channel->shared->policy)))
    commy_channel_renew_rights (channel);
}

/* The method with an id that was announced, with an answer that holds: what each call pays. NULL:
 * a policy engine has to say first; the channel gets a turn when it has. */
static inline CommyIncomingMethod *
commy_channel_permit (CommyChannel *channel, guint32 id)
{
  CommyIncomingMethod *method;

  commy_channel_note_policy (channel);
  method = &g_array_index (channel->methods_in, CommyIncomingMethod, id - 1);
  if (G_UNLIKELY (method->until_us != G_MAXINT64))
    {
      commy_channel_refresh_method (channel, method);
      if (method->waits)
        return NULL;
    }
  return method;
}
