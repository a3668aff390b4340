/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What channels and their set-up have recorded: calls, and peers that were let in or not.
 */
#pragma once

#include "channel/commy-channel-private.h"
#include "channel/commy-setup-private.h"

/* FALSE: it cannot be recorded, and the call was refused for that. */
gboolean commy_audit_call (CommyChannel *channel,
                           const CommyIncomingMethod *method,
                           CommyIncoming *incoming);
/* A node was told to do something, or would have been. @present: who the peer is on its present
 * path, or NULL. FALSE: it cannot be recorded, and must not be done. */
gboolean commy_audit_control (CommyChannel *channel,
                              CommyPrincipal *present,
                              const char *operation,
                              const CommyPolicyVerdict *verdict,
                              GError **error);
/* A connection was closed because what it rested on holds no more. */
void commy_audit_ended (CommyChannel *channel, const GError *error);
/* FALSE: it cannot be recorded; then the peer must be refused. */
gboolean commy_audit_accepted (CommySetup *setup, GError **error);
void commy_audit_refused (CommySetup *setup, const GError *error);
/* Of @who, a transport or a user, so many set-ups are under way that another one was not begun. */
void commy_audit_turned_away (CommySetupShared *shared, const char *transport, const char *who);
