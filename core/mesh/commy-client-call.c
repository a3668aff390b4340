/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What synchronous and asynchronous calls share: picking instance and stack, what a call that
 * ended teaches, and when to give up.
 */
#include "config.h"

#include "mesh/commy-client-private.h"

#include "base/commy-error-private.h"
#include "control/commy-chance.h"

static const CommyMethodTerms *
terms_of (CommyClient *self, const char *method)
{
  return self->expectation != NULL ? commy_expectation_get_terms (self->expectation, method) : NULL;
}

/* The keyfile about the method, the interface, the keyfile about the service. */
static gint64
timeout_of (CommyClient *self, const CommyGuard *guard, const CommyMethodTerms *terms)
{
  return guard->policy->timeout_ns < 0 && terms != NULL && terms->timeout_ns >= 0
             ? terms->timeout_ns
             : commy_client_get_timeout (self, guard);
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
  CommyGuard *guard = commy_ward_get_guard (self->ward, method);

  if (!commy_request_init (request, self->mesh->env, method, parameters, bytes, options,
                           timeout_of (self, guard, terms), error))
    return FALSE;
  apply (terms, request);
  request->guard = guard;
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
  CommyGuard *guard = commy_ward_get_guard (self->ward, method);

  if (!commy_request_init_handles (request, self->mesh->env, method, parameters, handles, options,
                                   timeout_of (self, guard, terms), error))
    return FALSE;
  apply (terms, request);
  request->guard = guard;
  return TRUE;
}

/* --- may it begin --- */

static void
limited_error (CommyClient *self, CommyRequest *request, const char *key, GError **error)
{
  const char *value;
  const char *origin
      = commy_resilience_where (self->mesh->config, self->service, request->method, key, &value);

  commy_set_error (error, COMMY_ERROR_LIMITED, "%s.%s was not sent: %s=%s (%s)", self->service,
                   request->method, key, value, origin);
}

gboolean
commy_client_admit (CommyClient *self, CommyRequest *request, GError **error)
{
  static const char *const keys[] = { [COMMY_ADMIT_RATE] = "rate-limit",
                                      [COMMY_ADMIT_BULKHEAD] = "bulkhead",
                                      [COMMY_ADMIT_THROTTLE] = "throttle" };
  CommyGuard *guard = request->guard;
  const guint64 chance = guard->is_gated ? commy_chance_next (&self->ward->chance) : 0;
  CommyAdmission admission = COMMY_ADMITTED;

  if (!self->is_look && request->now_ns >= guard->fold_ns)
    commy_ward_note_call (self->ward);
  if (!self->is_look)
    admission = commy_guard_admit (guard, request->call_deadline_ns - request->now_ns,
                                   request->now_ns, chance);
  request->admitted = !self->is_look && admission == COMMY_ADMITTED ? guard : NULL;
  if (admission == COMMY_ADMIT_DEADLINE)
    commy_set_error (error, COMMY_ERROR_DEADLINE, "%s.%s was not sent: no time is left",
                     self->service, request->method);
  else if (admission != COMMY_ADMITTED)
    limited_error (self, request, keys[admission], error);
  return admission == COMMY_ADMITTED;
}

/* What was refused, or failed, was not accepted; what the caller gave up says nothing. */
void
commy_client_dismiss (CommyClient *self, CommyGuard **admitted, CommyOutcome outcome)
{
  const gboolean accepted = outcome == COMMY_OUTCOME_OK || outcome == COMMY_OUTCOME_ANSWERED
                            || outcome == COMMY_OUTCOME_ABANDONED;

  CommyGuard *guard = g_steal_pointer (admitted);

  if (guard != NULL && guard->is_gated)
    commy_guard_finish (guard, accepted, commy_env_now (self->mesh->env));
}

/* --- whom to --- */

/* Who is good enough for the route may be left out now, while somebody less good is well: then the
 * number of a route to the latter. */
static guint
find_route (CommyClient *self,
            const CommyRequest *request,
            const guint64 **out_excluded,
            CommyWardVerdict *out_verdict)
{
  CommyRoute *route = &self->routes[request->flavour];
  const guint64 *excluded;
  guint around;

  *out_verdict = commy_ward_exclude (request->guard, &route->mask, route->peers, route->n_members,
                                     &request->tries, request->now_ns, out_excluded);
  if (G_LIKELY (*out_verdict == COMMY_WARD_WELL)
      || !commy_client_route_around (self, request, &around, &excluded))
    return request->flavour;
  *out_excluded = excluded;
  *out_verdict = COMMY_WARD_WELL;
  return around;
}

gboolean
commy_client_pick (CommyClient *self, CommyRequest *request, CommyPick *out_pick, GError **error)
{
  guint route = request->flavour;
  CommyWardVerdict verdict = COMMY_WARD_WELL;
  const guint64 *excluded = NULL;

  /* Who wants a certain one gets it, or its own error: that is how it is seen to be well again. */
  if (self->instance == NULL)
    route = find_route (self, request, &excluded, &verdict);
  if (verdict == COMMY_WARD_NOBODY)
    {
      g_autofree char *reasons
          = commy_ward_explain (self->ward, request->guard, &request->tries, request->now_ns);

      commy_set_error (error, COMMY_ERROR_UNAVAILABLE, "no instance of %s may be called now: %s",
                       self->service, reasons);
      return FALSE;
    }
  out_pick->member = commy_route_pick (commy_client_get_route (self, route), excluded,
                                       request->sticky != 0 ? request->sticky : self->sticky,
                                       request->now_ns, &out_pick->turn);
  out_pick->turn.route = route;
  out_pick->stack = commy_route_member_stack (out_pick->member, request->size);
  if (out_pick->stack->path != NULL)
    return TRUE;
  commy_set_error (error, COMMY_ERROR_NO_ROUTE, "no path to %s", self->service);
  return FALSE;
}

void
commy_client_tell_age (CommyClient *self, GError *error)
{
  g_autoptr (CommySnapshot) snapshot = NULL;
  g_autofree char *notice = NULL;
  char *text;

  if (error == NULL || !commy_mesh_is_up (self->mesh)
      || (!g_error_matches (error, COMMY_ERROR, COMMY_ERROR_UNREACHABLE)
          && !g_error_matches (error, COMMY_ERROR, COMMY_ERROR_UNAVAILABLE)
          && !g_error_matches (error, COMMY_ERROR, COMMY_ERROR_NO_ROUTE)))
    return;
  snapshot = commy_registry_lookup (self->mesh->registry, self->service);
  if (snapshot == NULL || snapshot->away_ns == 0)
    return;
  notice = commy_snapshot_dup_notice (snapshot, commy_env_now (self->mesh->env));
  text = g_strdup_printf ("%s (%s)", error->message, notice);
  g_free (error->message);
  error->message = text;
}

/* --- an attempt --- */

void
commy_client_begin (CommyClient *self,
                    CommyRequest *request,
                    const CommyPick *picked,
                    CommyGuarded *out_call)
{
  commy_tries_add (&request->tries, picked->member->peer);
  commy_ward_begin (request->guard, out_call, picked->member->peer, request->now_ns);
}

void
commy_client_start_clock (CommyClient *self, CommyRequest *request, CommyGuarded *call)
{
  const gint64 timeout_ns = request->guard->policy->retry.attempt_timeout_ns;

  call->guarded.begun_ns = request->now_ns;
  request->deadline_ns = request->call_deadline_ns;
  if (timeout_ns > 0 && !request->streams)
    request->deadline_ns = MIN (request->deadline_ns, request->now_ns + timeout_ns);
}

void
commy_client_report (CommyClient *self, CommyTurn turn, gint64 took_ns, CommyOutcome outcome)
{
  CommyBalance *balance = commy_client_get_route (self, turn.route)->balance;

  if (G_UNLIKELY (turn.generation != 0) && balance != NULL && outcome != COMMY_OUTCOME_ABANDONED
      && outcome != COMMY_OUTCOME_TOO_OFTEN)
    commy_balance_report (balance, turn, took_ns, outcome != COMMY_OUTCOME_OK);
}

void
commy_client_end (CommyClient *self, CommyGuarded *call, CommyTurn turn, CommyOutcome outcome)
{
  const gint64 now_ns = commy_env_now (self->mesh->env);

  if (call->peer == NULL)
    return;
  commy_client_report (self, turn, now_ns - call->guarded.begun_ns, outcome);
  commy_ward_end (self->ward, call, outcome, now_ns);
}

/* --- and again --- */

/* Whether it says that the call did not arrive, or was refused unread; or, of one that may be
 * repeated, that nobody knows what became of it. */
static gboolean
may_retry (const CommyRequest *request, const GError *error, gboolean sent)
{
  if (error->domain != COMMY_ERROR)
    return FALSE;
  switch (error->code)
    {
    case COMMY_ERROR_OVERLOADED:
    case COMMY_ERROR_TOO_OFTEN:
      return TRUE;
    case COMMY_ERROR_OUTCOME_UNKNOWN:
      return request->idempotent;
    case COMMY_ERROR_DEADLINE: /* the attempt's, where the call has time left */
      return request->idempotent && sent && request->now_ns < request->call_deadline_ns;
    case COMMY_ERROR_UNREACHABLE:
    case COMMY_ERROR_HANDSHAKE:
    case COMMY_ERROR_LEAVING:
    case COMMY_ERROR_REFUSED:
    case COMMY_ERROR_NOT_OFFERED:
    case COMMY_ERROR_VERSION:
    case COMMY_ERROR_CERTIFICATE:
      return !sent || request->idempotent;
    default:
      return FALSE;
    }
}

gboolean
commy_client_is_refusal (const GError *error)
{
  return g_error_matches (error, COMMY_ERROR, COMMY_ERROR_REFUSED)
         || g_error_matches (error, COMMY_ERROR, COMMY_ERROR_CERTIFICATE)
         || g_error_matches (error, COMMY_ERROR, COMMY_ERROR_NOT_OFFERED);
}

const GError *
commy_client_weigh (const GError *refusal, const GError *last)
{
  if (refusal == NULL || last->domain != COMMY_ERROR)
    return last;
  switch (last->code)
    {
    case COMMY_ERROR_BUSY:
    case COMMY_ERROR_NO_ROUTE:
    case COMMY_ERROR_UNAVAILABLE:
    case COMMY_ERROR_UNREACHABLE:
    case COMMY_ERROR_HANDSHAKE:
      return refusal;
    default:
      return last;
    }
}

static void
say_why_not (GError *error, guint n_sent, CommyRetryVerdict verdict)
{
  char *text;

  if (verdict != COMMY_RETRY_BUDGET && verdict != COMMY_RETRY_DEADLINE
      && (verdict != COMMY_RETRY_ATTEMPTS || n_sent < 2))
    return;
  text = g_strdup_printf ("%s (sent %u %s, and not again: %s)", error->message, n_sent,
                          n_sent == 1 ? "time" : "times", commy_retry_verdict_to_string (verdict));
  g_free (error->message);
  error->message = text;
}

gboolean
commy_client_retries (
    CommyClient *self, CommyRequest *request, GError *error, gboolean sent, gint64 *out_at_ns)
{
  const CommyOutcome outcome = commy_outcome_judge (error, sent);
  CommyRetryVerdict verdict;

  *out_at_ns = request->now_ns = commy_env_now (self->mesh->env);
  request->n_sent += sent;
  if (request->tries.n >= COMMY_CLIENT_MAX_ATTEMPTS || !may_retry (request, error, sent))
    return FALSE;
  /* Nobody has had any work with it: the next path, or the next instance, at once. */
  if (!sent)
    return TRUE;
  verdict = commy_ward_decide_retry (
      self->ward, request->guard, self->instance == NULL ? &request->tries : NULL, request->n_sent,
      outcome == COMMY_OUTCOME_ABANDONED ? COMMY_OUTCOME_FAILED : outcome, request->idempotent,
      request->now_ns, request->call_deadline_ns, out_at_ns);
  if (verdict != COMMY_RETRY_YES)
    say_why_not (error, request->n_sent, verdict);
  return verdict == COMMY_RETRY_YES;
}

/* --- the end --- */

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
