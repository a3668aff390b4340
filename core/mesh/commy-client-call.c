/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What synchronous and asynchronous calls share: picking instance and stack, what a call that
 * ended teaches, and when to give up.
 */
#include "config.h"

#include "mesh/commy-client-private.h"

#include "base/commy-error-private.h"

static const CommyMethodTerms *
terms_of (CommyClient *self, const char *method)
{
  return self->expectation != NULL ? commy_expectation_get_terms (self->expectation, method) : NULL;
}

static gint64
timeout_of (CommyClient *self, const CommyMethodTerms *terms)
{
  return terms != NULL && terms->timeout_ns >= 0 ? terms->timeout_ns : self->timeout_ns;
}

static void
apply (const CommyMethodTerms *terms, CommyRequest *request)
{
  if (terms == NULL)
    return;
  request->idempotent |= terms->idempotent;
  request->limited |= terms->timeout_ns >= 0;
}

gboolean
commy_client_init_request (CommyClient *self,
                           CommyRequest *request,
                           const char *method,
                           GVariant *parameters,
                           GBytes *bytes,
                           const CommyCallOptions *options,
                           GError **error)
{
  const CommyMethodTerms *terms = terms_of (self, method);

  if (!commy_request_init (request, self->mesh->env, method, parameters, bytes, options,
                           timeout_of (self, terms), error))
    return FALSE;
  apply (terms, request);
  return TRUE;
}

gboolean
commy_client_init_request_with_handles (CommyClient *self,
                                        CommyRequest *request,
                                        const char *method,
                                        GVariant *parameters,
                                        GUnixFDList *handles,
                                        const CommyCallOptions *options,
                                        GError **error)
{
  const CommyMethodTerms *terms = terms_of (self, method);

  if (!commy_request_init_handles (request, self->mesh->env, method, parameters, handles, options,
                                   timeout_of (self, terms), error))
    return FALSE;
  apply (terms, request);
  return TRUE;
}

gboolean
commy_client_pick (CommyClient *self, CommyRequest *request, CommyPick *out_pick)
{
  CommyRoute *route = &self->routes[request->flavour];

  out_pick->member = commy_route_pick (route, request->sticky != 0 ? request->sticky : self->sticky,
                                       request->now_ns, &out_pick->turn);
  out_pick->stack = commy_route_member_stack (out_pick->member, request->size);
  return out_pick->stack->path != NULL;
}

void
commy_client_report (
    CommyClient *self, CommyFlavour flavour, CommyTurn turn, gint64 started_ns, const GError *error)
{
  CommyBalance *balance = self->routes[flavour].balance;
  CommyBlame blame;

  if (G_LIKELY (turn.generation == 0) || balance == NULL)
    return;
  blame = commy_balance_judge (error);
  if (blame != COMMY_BLAME_UNKNOWN)
    commy_balance_report (balance, turn, commy_env_now (self->mesh->env) - started_ns,
                          blame == COMMY_BLAME_INSTANCE);
}

void
commy_client_finish_call (CommyClient *self,
                          CommyFlavour flavour,
                          CommyChannel *channel,
                          const CommyStack *stack,
                          gboolean sampled,
                          gsize request_size,
                          const CommyIncoming *incoming,
                          gint64 started_ns)
{
  gint64 took = commy_env_now (self->mesh->env) - started_ns;

  commy_histogram_add (&commy_channel_get_counters (channel)->call_ns, (guint64) MAX (took, 0));
  if (sampled && incoming->frame.has_dwell && stack->path->channel == channel)
    commy_client_learn (self, flavour, stack, request_size, incoming->frame.payload_size, took,
                        incoming->frame.dwell_ns);
}

gboolean
commy_client_give_up (CommyClient *self,
                      CommyRequest *request,
                      GCancellable *cancellable,
                      GError **error)
{
  if (g_cancellable_is_cancelled (cancellable))
    commy_set_error (error, COMMY_ERROR_CANCELLED, "cancelled by the caller");
  else if (!commy_mesh_check_joined (self->mesh, error))
    return TRUE;
  else if (commy_env_now (self->mesh->env) >= request->deadline_ns)
    commy_set_error (error, COMMY_ERROR_DEADLINE, "%s.%s was not answered in time", self->service,
                     request->method);
  else
    return FALSE;
  return TRUE;
}
