/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Principals, and the compiled table that says who may call what and who may offer what.
 * Every call is decided here, on every path. Immutable after compiling; shared between threads.
 *
 * Keyfile: groups [policy NAME] in order of layer and line, the last that matches wins:
 *   principals=GLOB;...   services=GLOB;...   methods=GLOB;...   topics=GLOB;...
 *   verbs=call;offer;subscribe;publish   effect=allow|deny
 * principals and effect must be there; services and methods are "*" and verbs is "call" where
 * nothing is said. Methods do not matter for an offer; for subscribe and publish only topics do.
 * What is no UTF-8 is denied.
 * With no group that matches: allowed for one's own user (the node's own principals, and whom
 * their provider takes for the same user on another host), denied for everybody else.
 */
#pragma once

#include "config/commy-config.h"

#include <commy/commy-service.h>

/* (transfer full) */
CommyPrincipal *commy_principal_new (const char *name, const char *provider);
/* Its provider says that it is this node's own user, if under another name: on another host.
 * Before others see it. */
void commy_principal_set_own (CommyPrincipal *principal);
gboolean commy_principal_is_own (CommyPrincipal *principal);
/* What else it proved: further principals of its chain, or "scope=WORD". Before others see it. */
void commy_principal_add_attribute (CommyPrincipal *principal, const char *attribute);
/* By name and by attributes. */
gboolean commy_principal_is_same (CommyPrincipal *principal, CommyPrincipal *other);

typedef enum
{
  COMMY_VERB_CALL = 1 << 0,
  COMMY_VERB_OFFER = 1 << 1,
  COMMY_VERB_SUBSCRIBE = 1 << 2, /* in rules: a call of "topic:NAME" */
  COMMY_VERB_PUBLISH = 1 << 3,   /* in rules: an offer of it */
} CommyVerb;

typedef struct _CommyPolicy CommyPolicy;

typedef struct
{
  gboolean allowed;
  const char *origin; /* keyfile line, or "default: own user" / "default: other principal" */
  const char *rule;   /* name of the group, or NULL */
} CommyPolicyVerdict;

/* @own: the names that count as "own user", exact ("unix:uid=1000", "spiffe://dom/host/H/user/U");
 * NULL: none. */
CommyPolicy *commy_policy_compile (CommyConfig *config, const char *const *own, GError **error);
CommyPolicy *commy_policy_ref (CommyPolicy *policy);
void commy_policy_unref (CommyPolicy *policy);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyPolicy, commy_policy_unref)

/* The answer for one (principal, service, method). Scans the rules: callers keep it per channel
 * and interned method, which is the table that calls look into. @method is NULL for
 * COMMY_VERB_OFFER. Strings in the verdict live as long as the policy. */
CommyPolicyVerdict commy_policy_decide (CommyPolicy *policy,
                                        CommyVerb verb,
                                        const char *principal,
                                        const char *service,
                                        const char *method);

/* The same for a peer: one that is its provider's "same user" counts as own, too. */
CommyPolicyVerdict commy_policy_decide_peer (CommyPolicy *policy,
                                             CommyVerb verb,
                                             CommyPrincipal *peer,
                                             const char *service,
                                             const char *method);

/* Whether there is any method of @service that @principal might be allowed to call: for the
 * door. A no is certain; a yes is decided method by method. */
gboolean
commy_policy_may_call_any (CommyPolicy *policy, const char *principal, const char *service);
