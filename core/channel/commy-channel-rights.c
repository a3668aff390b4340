/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the peer of a channel may do. Decided once for each method and kept, until the policy is
 * another one, the path is, or the time comes up to which the answer holds; then the streams that
 * are open are looked at, too.
 */
#include "config.h"

#include "channel/commy-channel-rights.h"

#include "base/commy-error-private.h"
#include "channel/commy-audit-events.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#define TELL_EVERY_NS (60 * G_GINT64_CONSTANT (1000000000))
#define LOOK_EVERY_NS (60 * TELL_EVERY_NS) /* clocks may be put forward */

/* --- what is known of a path --- */

static void
find_address (int fd, CommyPolicyPath *path)
{
  static const guint8 mapped[12] = { [10] = 0xff, [11] = 0xff };
  union
  {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_storage storage;
  } peer = { 0 };
  socklen_t size = sizeof peer;

  if (fd < 0 || getpeername (fd, &peer.any, &size) < 0)
    return;
  if (peer.any.sa_family == AF_INET6)
    memcpy (path->address, &peer.v6.sin6_addr, sizeof path->address);
  else if (peer.any.sa_family == AF_INET)
    {
      memcpy (path->address, mapped, sizeof mapped);
      memcpy (path->address + sizeof mapped, &peer.v4.sin_addr, 4);
    }
  else
    return;
  path->where = COMMY_WHERE_ADDRESS;
}

void
commy_path_facts (const CommyTransportOps *ops, gpointer connection, CommyPolicyPath *out_path)
{
  CommyEvidence evidence = { .struct_size = sizeof evidence, .pidfd = -1 };

  ops->evidence (connection, &evidence);
  *out_path = (CommyPolicyPath){ .where = COMMY_WHERE_UNKNOWN, .security = evidence.security };
  if (evidence.kind == COMMY_EVIDENCE_KERNEL || evidence.kind == COMMY_EVIDENCE_SELF)
    out_path->where = COMMY_WHERE_LOCAL;
  else
    find_address (ops->fd (connection), out_path);
}

/* --- deciding --- */

static CommyPolicyRequest
request_of (CommyChannel *self, CommyVerb verb, const char *method)
{
  return (CommyPolicyRequest){ .verb = verb,
                               .resource = self->service,
                               .method = method,
                               .path = &self->rights.path,
                               .wall_us = commy_env_wall_us (self->shared->env) };
}

static CommyPolicyVerdict
judge (CommyPolicy *policy, CommyPrincipal *peer, CommyPolicyRequest *request)
{
  request->principal = commy_principal_get_name (peer);
  request->own = commy_principal_is_own (peer);
  request->attributes = commy_principal_get_attributes (peer);
  return commy_policy_judge (policy, request);
}

/* What both verdicts leave. */
static CommyPolicyVerdict
both (const CommyPolicyVerdict *first, const CommyPolicyVerdict *second)
{
  CommyPolicyVerdict verdict = *second;

  verdict.until_us = MIN (first->until_us, second->until_us);
  if (!second->allowed)
    return verdict;
  verdict.asks = first->asks || second->asks;
  verdict.lifts = (!first->asks || first->lifts) && (!second->asks || second->lifts);
  if (verdict.trial == NULL)
    verdict.trial = first->trial;
  return verdict;
}

/* A peer may have another name on the path it is on now than the flow was set up with: neither may
 * be denied. @names: that of the set-up and that one, or NULL. In @request is left whose verdict it
 * is. */
static CommyPolicyVerdict
judge_names (CommyPolicy *policy, CommyPrincipal *const names[2], CommyPolicyRequest *request)
{
  CommyPolicyVerdict first = judge (policy, names[0], request);
  CommyPolicyVerdict second;

  if (names[1] == NULL || !first.allowed)
    return first;
  second = judge (policy, names[1], request);
  if (second.allowed && second.trial == NULL && first.trial != NULL)
    request->principal = commy_principal_get_name (names[0]);
  return both (&first, &second);
}

/* An engine is only asked when there is a call: until then the answer has ended already. */
void
commy_channel_judge_method (CommyChannel *self, CommyIncomingMethod *method)
{
  CommyPrincipal *const names[2] = { self->peer, self->moves.peer };
  CommyPolicyRequest request = request_of (self, COMMY_VERB_CALL, method->name);
  CommyPolicyVerdict verdict = judge_names (self->rights.policy, names, &request);

  method->by_first_name = request.principal == commy_principal_get_name (self->peer);
  method->allowed = verdict.allowed;
  method->origin = verdict.origin;
  method->rule = verdict.rule;
  method->trial = verdict.trial;
  method->until_us = verdict.asks ? 0 : verdict.until_us;
  method->table_us = verdict.until_us;
  method->asks = verdict.asks;
  if (!verdict.asks)
    method->waits = FALSE; /* whatever the engine will say */
  method->lifts = verdict.lifts;
  g_clear_pointer (&method->why, g_free);
  if (verdict.until_us != G_MAXINT64)
    method->judged_us = commy_env_wall_us (self->shared->env);
}

gboolean
commy_channel_may_call_as (CommyChannel *self, CommyPrincipal *peer, const char *method)
{
  CommyPolicyRequest request = request_of (self, COMMY_VERB_CALL, method);
  CommyPolicyVerdict verdict = judge (self->rights.policy, peer, &request);

  return verdict.allowed && !verdict.asks; /* what that would say is not known */
}

/* The clock may have been put back, too. */
void
commy_channel_refresh_method (CommyChannel *self, CommyIncomingMethod *method)
{
  gint64 now_us;

  if (method->waits)
    return;
  now_us = commy_env_wall_us (self->shared->env);
  if (now_us < method->until_us && now_us >= method->judged_us)
    return;
  commy_channel_judge_method (self, method);
  if (method->asks && method->method != NULL)
    commy_channel_ask_engine (self, method);
}

/* Whose answer it is: of the name that the flow was set up with, or of that on its present path. */
static const char *
name_of (CommyChannel *self, const CommyIncomingMethod *method)
{
  return commy_principal_get_name (
      method->by_first_name || self->moves.peer == NULL ? self->peer : self->moves.peer);
}

char *
commy_channel_dup_denial (CommyChannel *self, const CommyIncomingMethod *method)
{
  return g_strdup_printf ("%s may not call %s.%s (%s)", name_of (self, method), self->service,
                          method->name, method->origin);
}

void
commy_channel_tell_trial (CommyChannel *self, CommyIncomingMethod *method)
{
  gint64 now_ns = commy_env_now (self->shared->env);
  g_autofree char *what = NULL;

  commy_counters_add (&self->counters, COMMY_COUNT_ON_TRIAL, 1);
  if (method->told_ns != 0 && now_ns - method->told_ns < TELL_EVERY_NS)
    return;
  method->told_ns = now_ns;
  what = g_strdup_printf ("call %s.%s", self->service, method->name);
  commy_policy_current_tell_trial (self->shared->policy, now_ns, name_of (self, method), what,
                                   method->trial);
}

/* Not on the channel's worker, on which it may be moving. */
gboolean
commy_channel_may_control (CommyChannel *self, const char *operation, GError **error)
{
  g_autoptr (CommyPolicy) policy = commy_policy_current_dup (self->shared->policy, NULL);
  CommyPolicyPath path;
  CommyPrincipal *present = commy_channel_dup_present (self, &path);
  CommyPrincipal *const names[2] = { self->peer, present };
  CommyPolicyRequest request = { .verb = COMMY_VERB_CONTROL,
                                 .resource = operation,
                                 .path = &path,
                                 .wall_us = commy_env_wall_us (self->shared->env) };
  CommyPolicyVerdict verdict = judge_names (policy, names, &request);
  gboolean may = FALSE;

  if (verdict.trial != NULL)
    commy_policy_current_tell_trial (self->shared->policy, commy_env_now (self->shared->env),
                                     request.principal, operation, verdict.trial);
  if (commy_audit_control (self, present, operation, &verdict, error))
    {
      may = verdict.allowed;
      if (!may)
        commy_set_error (error, COMMY_ERROR_DENIED, "%s may not %s this node (%s)",
                         request.principal, operation, verdict.origin);
    }
  g_clear_pointer (&present, commy_principal_unref);
  return may;
}

/* --- deciding again --- */

static CommyIncomingMethod *
method_of (CommyChannel *self, const CommyPipe *pipe)
{
  if (!pipe->accepting || !pipe->is_open || pipe->undecided || pipe->method == 0
      || pipe->method > self->methods_in->len)
    return NULL;
  return &g_array_index (self->methods_in, CommyIncomingMethod, pipe->method - 1);
}

/* When what holds until then is to be looked at again. */
static gint64
look_ns (CommyChannel *self, gint64 until_us)
{
  gint64 left_us = until_us - commy_env_wall_us (self->shared->env);

  if (until_us == G_MAXINT64)
    return G_MAXINT64;
  return commy_env_now (self->shared->env) + MIN (MAX (left_us, 0), LOOK_EVERY_NS / 1000) * 1000;
}

void
commy_channel_look_at_streams (CommyChannel *self)
{
  g_autoptr (GPtrArray) pipes = commy_channel_dup_pipes (self);

  self->rights.look_ns = G_MAXINT64;
  for (guint i = 0; i < pipes->len; i++)
    {
      CommyIncomingMethod *method = method_of (self, pipes->pdata[i]);
      g_autofree char *why = NULL;

      if (method == NULL)
        continue;
      if (method->until_us != G_MAXINT64)
        commy_channel_refresh_method (self, method);
      if (method->waits)
        continue; /* it goes on until there is an answer */
      if (method->allowed)
        {
          self->rights.look_ns = MIN (self->rights.look_ns, look_ns (self, method->until_us));
          continue;
        }
      why = commy_channel_dup_denial (self, method);
      commy_pipe_abort (pipes->pdata[i], COMMY_ERROR_DENIED, why);
    }
  if (self->rights.look_ns != G_MAXINT64)
    commy_worker_need_deadline (self->worker, self->rights.look_ns);
}

static void
look_at_offer (CommyChannel *self)
{
  CommyPrincipal *const names[2] = { self->peer, self->moves.peer };
  CommyPolicyRequest request = request_of (self, COMMY_VERB_OFFER, NULL);
  CommyPolicyVerdict verdict = judge_names (self->rights.policy, names, &request);
  g_autoptr (GError) error = NULL;

  self->rights.look_ns = G_MAXINT64;
  if (verdict.allowed)
    {
      self->rights.look_ns = look_ns (self, verdict.until_us);
      if (self->rights.look_ns != G_MAXINT64)
        commy_worker_need_deadline (self->worker, self->rights.look_ns);
      return;
    }
  commy_set_error (&error, COMMY_ERROR_NOT_OFFERED, "%s may not offer %s any more (%s)",
                   request.principal, self->service, verdict.origin);
  commy_channel_close (self, error);
}

void
commy_channel_renew_rights (CommyChannel *self)
{
  g_autoptr (CommyPolicy) before = NULL; /* what methods point into meanwhile */

  if (self->closed || self->rights.epoch == commy_policy_current_get_epoch (self->shared->policy))
    return;
  before = g_steal_pointer (&self->rights.policy);
  self->rights.policy = commy_policy_current_dup (self->shared->policy, &self->rights.epoch);
  for (guint i = 0; i < self->methods_in->len; i++)
    commy_channel_judge_method (self, &g_array_index (self->methods_in, CommyIncomingMethod, i));
  if (self->deferred.length > 0)
    commy_worker_set_hot (self->worker, self); /* what waited for the engine may not need it */
  if (self->accepting)
    commy_channel_look_at_streams (self);
  else
    look_at_offer (self);
}

/* Until now it was in nobody's list when the policy changed; and what set-up has decided of an
 * offer may hold for a time only. */
void
commy_channel_begin_rights (CommyChannel *self)
{
  if (!self->accepting)
    self->rights.epoch = 0;
  commy_channel_renew_rights (self);
}

void
commy_channel_watch_rights (CommyChannel *self, const CommyPipe *pipe)
{
  const CommyIncomingMethod *method = method_of (self, pipe);
  gint64 when_ns = method != NULL ? look_ns (self, method->until_us) : G_MAXINT64;

  if (when_ns >= self->rights.look_ns)
    return;
  self->rights.look_ns = when_ns;
  commy_worker_need_deadline (self->worker, when_ns);
}

gint64
commy_channel_expire_offer (CommyChannel *self, gint64 now_ns)
{
  if (self->accepting)
    return G_MAXINT64;
  if (G_UNLIKELY (now_ns >= self->rights.look_ns) && !self->closed)
    look_at_offer (self);
  return self->rights.look_ns;
}

gint64
commy_channel_expire_rights (CommyChannel *self, gint64 now_ns)
{
  if (now_ns >= self->rights.due_ns)
    commy_channel_expire_decisions (self, now_ns);
  if (now_ns >= self->rights.look_ns && self->accepting)
    commy_channel_look_at_streams (self);
  commy_channel_expire_offer (self, now_ns);
  return MIN (self->rights.look_ns, self->rights.due_ns);
}

void
commy_channel_rights_visit (gpointer channel, gpointer unused)
{
  commy_channel_renew_rights (channel);
}

/* --- life --- */

void
commy_channel_rights_init (CommyChannel *self)
{
  self->rights.look_ns = self->rights.due_ns = G_MAXINT64;
  self->rights.policy = commy_policy_current_dup (self->shared->policy, &self->rights.epoch);
}

void
commy_channel_rights_clear (CommyChannel *self)
{
  g_clear_pointer (&self->rights.policy, commy_policy_unref);
}
