/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The policy engine vtable: somebody else who is asked whether a call may be made. All slots run
 * on the mesh thread and never block. What is decided is kept by the core: calls do not wait for
 * an engine but the first one of its kind.
 */
#pragma once

#include <commy/commy-descriptor.h>

G_BEGIN_DECLS

/**
 * CommyPolicyAnswer:
 * @COMMY_POLICY_ALLOWED: it may be done
 * @COMMY_POLICY_DENIED: it may not
 * @COMMY_POLICY_UNABLE: there is no decision; the core denies, or keeps the one it has for a while
 *
 * What an engine says.
 */
typedef enum
{
  COMMY_POLICY_ALLOWED = 1,
  COMMY_POLICY_DENIED = 2,
  COMMY_POLICY_UNABLE = 3,
} CommyPolicyAnswer;

/**
 * CommyPolicyQuery:
 * @struct_size: `sizeof (CommyPolicyQuery)`
 * @principal: who would call: what the other side proved to be
 * @own: whether its provider takes it for this node's own user
 * @verb: `call`, or `subscribe` where the service is a topic
 * @service: the service, or `topic:NAME`
 * @method: the method
 * @where: `local` (a path inside this host), `network` or `unknown`
 * @address: (nullable): of the other side, if @where is `network`
 * @security: a #CommySecurity: of the path
 * @reserved: zero
 *
 * What an engine is asked. Valid during the call only; texts are UTF-8, from the other side.
 * Fields are appended: look at @struct_size.
 *
 * Since: 0.1
 */
typedef struct
{
  gsize struct_size;
  const char *principal;
  gboolean own;
  const char *verb;
  const char *service;
  const char *method;
  const char *where;
  const char *address;
  guint32 security;
  guint32 reserved;
} CommyPolicyQuery;

/**
 * CommyPolicyDoneFunc:
 * @user_data: as given
 * @answer: a #CommyPolicyAnswer; anything else counts as %COMMY_POLICY_UNABLE
 * @reason: (nullable): a phrase for people, without secrets; the core cuts it to one short line
 *
 * The end of a decision. Mesh thread.
 */
typedef void (*CommyPolicyDoneFunc) (gpointer user_data,
                                     CommyPolicyAnswer answer,
                                     const char *reason);

/**
 * CommyPolicyDecideFunc:
 * @instance: the plugin's instance
 * @decision: `decision_size` bytes, zeroed, the core's; they are gone when @done was called or
 *   `cancel` came back
 * @query: what is asked
 * @done: called exactly once, perhaps from inside, unless the decision is cancelled
 * @user_data: for @done
 *
 * Begins to decide. Mesh thread; does not block. The core cancels what takes too long; an engine
 * need not have a limit of its own. Several are under way at a time.
 */
typedef void (*CommyPolicyDecideFunc) (gpointer instance,
                                       gpointer decision,
                                       const CommyPolicyQuery *query,
                                       CommyPolicyDoneFunc done,
                                       gpointer user_data);

/**
 * CommyPolicyCancelFunc:
 * @decision: one that is under way
 *
 * Nobody waits for it any more; `done` is not called. Mesh thread. All are cancelled before `fini`.
 */
typedef void (*CommyPolicyCancelFunc) (gpointer decision);

/**
 * CommyPolicyEngineOps:
 * @struct_size: `sizeof (CommyPolicyEngineOps)`
 * @decision_size: bytes of one decision that is under way
 * @decide: required
 * @cancel: required
 *
 * The operations of a policy engine.
 *
 * Since: 0.1
 */
struct _CommyPolicyEngineOps
{
  gsize struct_size;
  gsize decision_size;
  CommyPolicyDecideFunc decide;
  CommyPolicyCancelFunc cancel;
};

G_END_DECLS
