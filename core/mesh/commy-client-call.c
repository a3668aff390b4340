/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What synchronous and asynchronous calls share: picking instance and stack, what a call that
 * ended teaches, and when to give up.
 */
#include "config.h"

#include "mesh/commy-client-private.h"

#include "base/commy-error-private.h"

gboolean
commy_client_pick (CommyClient *self, CommyRequest *request, CommyPick *out_pick)
{
  CommyRoute *route = &self->routes[request->flavour];

  out_pick->member = commy_route_pick (route, self->balancer, &out_pick->index);
  out_pick->stack = commy_route_member_stack (out_pick->member, request->size);
  return out_pick->stack->path != NULL;
}

void
commy_client_report (
    CommyClient *self, CommyFlavour flavour, guint index, gint64 started_ns, gboolean failed)
{
  CommyRoute *route = &self->routes[flavour];

  if (route->balancer_state != NULL && index < route->n_members)
    self->balancer->ops.balancer.report (route->balancer_state, index,
                                         commy_env_now (self->mesh->env) - started_ns, failed);
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
