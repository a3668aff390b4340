/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who the other side is. What the evidence alone does not tell the auth providers find out by
 * steps, after the HELLO, which names the service and so the chain, and before anything is done for
 * it:
 *
 *   connecting side:  HELLO with "auth" (whose steps it takes part in) and "auth-wants"
 *   accepting side:   AUTH, stream 0: ids of providers, in order, with ';' between them
 *   then for each of them, stream 1, 2 ...: AUTH in turns, the connecting side first
 *
 * A frame's method is 1 when its sender is done with that provider. Both sides must be; then the
 * next one follows, and after the last the WELCOME. Each exchange is bounded in rounds and bytes,
 * all of it by the time for a set-up. To the other side a refusal is one sentence, whatever it was.
 */
#include "config.h"

#include "channel/commy-exchange.h"

#include "base/commy-error-private.h"

#include <stdlib.h>
#include <string.h>

#define PLAN_TEXT_MAX 1024u
#define IS_LAST 1u /* method: the sender is done with this provider */

gboolean
commy_setup_takes_auth (const CommySetup *self, gboolean *out_only)
{
  const CommyExchange *exchange = self->exchange;

  *out_only = exchange != NULL && exchange->at < exchange->n_plan;
  if (*out_only)
    return TRUE;
  /* The connecting side waits for a plan, or for none. */
  return self->listener == NULL && (exchange == NULL || exchange->n_plan == 0)
         && commy_auth_chains_get_steppers (self->shared->chains)[0] != NULL;
}

gboolean
commy_setup_is_thinking (const CommySetup *self)
{
  return self->exchange != NULL && self->exchange->is_thinking;
}

static void
end_session (CommyExchange *exchange)
{
  CommyPlugin *provider;

  if (exchange->session == NULL)
    return;
  provider = exchange->plan[exchange->at];
  provider->ops.auth.end (exchange->session);
  explicit_bzero (exchange->session, provider->ops.auth.session_size);
  g_clear_pointer (&exchange->session, free);
  g_clear_pointer (&exchange->bytes, g_bytes_unref);
  g_clear_pointer (&exchange->text, g_free);
}

void
commy_setup_drop_exchange (CommySetup *self)
{
  CommyExchange *exchange = self->exchange;

  if (exchange == NULL)
    return;
  end_session (exchange);
  for (guint i = 0; i < exchange->n_slots; i++)
    g_free (exchange->slots[i].text);
  commy_hello_clear (&exchange->hello);
  if (exchange->source != NULL)
    commy_attempts_end (self->shared->attempts, exchange->source);
  g_free (exchange->source);
  g_free (exchange);
  self->exchange = NULL;
}

/* --- an end of it --- */

/* At which provider it failed; where what several accepted does not go together, at each. */
static void
note_kinds (CommySetup *self, const char *source)
{
  const CommyExchange *exchange = self->exchange;
  guint first = exchange->at < exchange->n_plan ? exchange->at : 0;
  guint end = exchange->at < exchange->n_plan ? exchange->at + 1 : exchange->n_plan;

  for (guint i = first; i < end; i++)
    commy_attempts_set_kind (self->shared->attempts, source, exchange->plan[i]->note.id);
}

static void
count_failure (CommySetup *self, const char *source)
{
  CommySetupShared *shared = self->shared;
  CommyEvidence evidence = commy_exchange_take_evidence (self);
  gint64 now_ns = commy_env_now (shared->channel->env);
  gboolean of_link;
  g_autofree char *address = commy_exchange_dup_address (self, &of_link);

  commy_attempts_add_failure (shared->attempts, source, now_ns);
  note_kinds (self, source);
  if (shared->locked_out != NULL)
    shared->locked_out (shared->locked_out_data, source, (CommyEvidenceKind) evidence.kind);
  if (address == NULL)
    return;
  commy_attempts_add_failure (shared->addresses, address, now_ns);
  if (shared->locked_out != NULL)
    shared->locked_out (shared->locked_out_data, address,
                        of_link ? COMMY_EVIDENCE_KERNEL : COMMY_EVIDENCE_X509);
}

/* Details stay here; the other side learns one sentence. */
static void
end_auth (CommySetup *self, gboolean is_unable, const char *why)
{
  const CommyExchange *exchange = self->exchange;
  const char *id = exchange->at < exchange->n_plan ? exchange->plan[exchange->at]->note.id : "auth";
  g_autofree char *source = commy_exchange_dup_source (self);
  g_autoptr (GError) outward = NULL;
  g_autoptr (GError) error = NULL;

  if (self->listener != NULL)
    commy_set_error (&outward, COMMY_ERROR_REFUSED,
                     "who this is was not proved; the log of the side that refuses tells why");
  else
    commy_set_error (&outward, COMMY_ERROR_REFUSED,
                     "the peer gave up in step %s; its own log tells why", id);
  if (self->listener != NULL && is_unable) /* who came at a bad time has not guessed */
    commy_set_error (&error, COMMY_ERROR_REFUSED, "%s cannot judge the peer (%s, for %s): %s", id,
                     source, exchange->hello.service, why);
  else if (self->listener != NULL)
    {
      count_failure (self, source);
      commy_set_error (&error, COMMY_ERROR_REFUSED, "%s refuses the peer (%s, for %s): %s", id,
                       source, exchange->hello.service, why);
    }
  else
    commy_set_error (&error, COMMY_ERROR_REFUSED, "%s ends the set-up with %s over %s: %s", id,
                     self->service, self->transport->note.id, why);
  commy_setup_send_close (self, outward);
  commy_setup_fail (self, error, FALSE);
}

static void
fail_auth (CommySetup *self, const char *why)
{
  end_auth (self, FALSE, why);
}

static gboolean
send_auth (CommySetup *self, guint32 stream, guint32 method, gconstpointer data, gsize size)
{
  CommyFrameSpec spec = { .type = COMMY_FRAME_AUTH, .stream = stream, .method = method };
  g_autoptr (GError) error = NULL;

  if (commy_setup_send_frame (self, &spec, size > 0 ? data : "", size))
    return TRUE;
  commy_set_error (&error, COMMY_ERROR_HANDSHAKE,
                   "the path over %s closed before the other side was known",
                   self->transport->note.id);
  commy_setup_fail (self, error, FALSE);
  return FALSE;
}

/* --- steps --- */

static void step (CommySetup *self, GBytes *bytes);

static void
begin_session (CommySetup *self)
{
  CommyExchange *exchange = self->exchange;
  CommyPlugin *provider = exchange->plan[exchange->at];
  CommyEvidence evidence = commy_exchange_take_evidence (self);
  g_autofree char *first = NULL;

  if (exchange->n_slots > 0 && exchange->slots[0].text != NULL)
    first = g_strndup (exchange->slots[0].text, strcspn (exchange->slots[0].text, "\n"));
  else if (self->peer != NULL)
    first = g_strdup (commy_principal_get_name (self->peer));
  evidence.struct_size = sizeof evidence;
  evidence.principal = first;
  exchange->rounds = 0;
  exchange->own_done = exchange->peer_done = FALSE;
  exchange->session = commy_setup_alloc (provider->ops.auth.session_size);
  provider->ops.auth.begin (provider->instance, exchange->session, &evidence,
                            self->listener != NULL);
}

/* Who proved something of its own kind begins anew, but not with what it failed to prove elsewhere:
 * or who has one thing would guess the other for ever. Who took part in a provider's steps and
 * proved nothing by it has nothing forgiven, nor has a source that others share. */
static void
forgive (CommySetup *self)
{
  const CommyExchange *exchange = self->exchange;

  if (exchange->source == NULL || g_str_has_prefix (exchange->source, "transport/"))
    return;
  for (guint i = 0; i < exchange->n_plan; i++)
    if (exchange->proved[i])
      commy_attempts_forgive_kind (self->shared->attempts, exchange->source,
                                   exchange->plan[i]->note.id,
                                   commy_env_now (self->shared->channel->env));
}

/* All of them are done. */
void
commy_exchange_complete (CommySetup *self)
{
  CommyExchange *exchange = self->exchange;
  g_autoptr (GError) error = NULL;
  CommyHello hello;

  if (commy_exchange_is_proved (exchange) && exchange->n_slots > 0)
    {
      if (!commy_exchange_is_one_peer (exchange, &error))
        {
          fail_auth (self, commy_error_bare (error));
          return;
        }
      commy_exchange_take_peer (self, exchange);
    }
  if (self->listener == NULL)
    {
      commy_setup_progress (self);
      return;
    }
  forgive (self);
  hello = exchange->hello;
  memset (&exchange->hello, 0, sizeof exchange->hello);
  commy_setup_on_hello (self, &hello);
  commy_hello_clear (&hello);
}

static void
go_on (CommySetup *self)
{
  CommyExchange *exchange = self->exchange;

  end_session (exchange);
  exchange->at++;
  if (exchange->at == exchange->n_plan)
    {
      commy_exchange_complete (self);
      return;
    }
  begin_session (self);
  if (self->listener == NULL)
    step (self, NULL);
  else
    commy_setup_progress (self);
}

/* FALSE: it failed. */
static gboolean
take_verdict (CommySetup *self)
{
  CommyExchange *exchange = self->exchange;
  CommySlot *slot = commy_exchange_find_slot (exchange, exchange->plan[exchange->at]);

  commy_exchange_note_proof (self, exchange->plan[exchange->at], exchange->session);
  if (exchange->verdict == COMMY_AUTH_NOT_MINE)
    {
      if (slot == NULL)
        return TRUE;
      fail_auth (self, "the other side proved nothing to it");
      return FALSE;
    }
  if (!commy_exchange_is_principal (exchange->text))
    {
      fail_auth (self, "the provider's principal is no name");
      return FALSE;
    }
  exchange->proved[exchange->at] = TRUE;
  if (slot != NULL)
    slot->text = g_steal_pointer (&exchange->text);
  return TRUE;
}

/* The provider has answered. */
static void
end_step (CommySetup *self)
{
  CommyExchange *exchange = self->exchange;
  g_autoptr (GBytes) bytes = g_steal_pointer (&exchange->bytes);
  gboolean goes_on = exchange->verdict == COMMY_AUTH_CONTINUE;
  gsize size = 0;
  gconstpointer data = bytes != NULL ? g_bytes_get_data (bytes, &size) : NULL;

  if (exchange->verdict > COMMY_AUTH_CONTINUE || exchange->verdict == COMMY_AUTH_REFUSED)
    {
      g_autofree char *why = g_strdup (exchange->text != NULL ? exchange->text : "no reason given");

      end_auth (self, exchange->verdict == COMMY_AUTH_UNABLE, why);
      return;
    }
  if (size > COMMY_AUTH_STEP_MAX)
    {
      fail_auth (self, "its step has too many bytes");
      return;
    }
  if (goes_on && exchange->peer_done)
    {
      fail_auth (self, "the other side has nothing more to say to it");
      return;
    }
  if (!goes_on && !take_verdict (self))
    return;
  exchange->own_done = !goes_on;
  if (!send_auth (self, exchange->at + 1, goes_on ? 0 : IS_LAST, data, size))
    return;
  if (exchange->own_done && exchange->peer_done)
    go_on (self);
  else
    commy_setup_progress (self);
}

static void
on_step_done (gpointer user_data, CommyAuthVerdict verdict, GBytes *bytes, const char *text)
{
  CommySetup *self = user_data;
  CommyExchange *exchange = self->exchange;

  g_return_if_fail (exchange != NULL && exchange->is_thinking);
  exchange->is_thinking = FALSE;
  exchange->verdict = verdict;
  exchange->bytes = bytes != NULL ? g_bytes_ref (bytes) : NULL;
  g_free (exchange->text);
  exchange->text = g_strdup (text);
  if (!exchange->is_inside)
    end_step (self);
}

static void
step (CommySetup *self, GBytes *bytes)
{
  CommyExchange *exchange = self->exchange;
  CommyPlugin *provider = exchange->plan[exchange->at];

  exchange->is_thinking = exchange->is_inside = TRUE;
  provider->ops.auth.step (exchange->session, bytes, on_step_done, self);
  exchange->is_inside = FALSE;
  if (exchange->is_thinking)
    commy_setup_progress (self); /* only lets go of the descriptor */
  else
    end_step (self);
}

/* --- frames --- */

/* What the accepting side wants, and what this side asked it for. */
static gboolean
take_plan (CommySetup *self, const char *text)
{
  CommyExchange *exchange = self->exchange;
  g_auto (GStrv) ids = g_strsplit (text, ";", COMMY_EXCHANGE_PLAN + 1);

  for (char **id = ids; *id != NULL; id++)
    {
      CommyPlugin *provider = commy_auth_chains_find_stepper (self->shared->chains, *id);

      if (provider == NULL || exchange->n_plan == COMMY_EXCHANGE_PLAN
          || g_strv_contains ((const char *const *) id + 1, *id))
        return FALSE;
      exchange->plan[exchange->n_plan++] = provider;
    }
  for (guint i = 0; i < exchange->n_slots; i++)
    if (exchange->slots[i].text == NULL
        && !commy_exchange_has ((char *const *) ids, exchange->slots[i].provider))
      return FALSE;
  return exchange->n_plan > 0;
}

static void
on_plan (CommySetup *self, const CommyFrame *frame, const guint8 *payload)
{
  g_autofree char *text
      = g_strndup ((const char *) payload, MIN (frame->payload_size, PLAN_TEXT_MAX));

  if (self->exchange == NULL)
    commy_exchange_new (self, commy_auth_chains_get_expected (self->shared->chains, self->service));
  if (frame->payload_size > PLAN_TEXT_MAX || !take_plan (self, text))
    {
      self->exchange->n_plan = 0;
      fail_auth (self, "the other side wants other auth providers than were agreed on");
      return;
    }
  begin_session (self);
  step (self, NULL);
}

static void
free_secret (gpointer data)
{
  GString *copy = data;

  explicit_bzero (copy->str, copy->len);
  g_string_free (copy, TRUE);
}

/* A copy that is wiped: it may be a credential. */
static GBytes *
take_bytes (const guint8 *payload, gsize size)
{
  GString *copy = g_string_new_len ((const char *) payload, (gssize) size);

  return g_bytes_new_with_free_func (copy->str, size, free_secret, copy);
}

void
commy_setup_on_auth (CommySetup *self, const CommyFrame *frame, const guint8 *payload)
{
  CommyExchange *exchange = self->exchange;
  g_autoptr (GBytes) bytes = NULL;

  if (exchange == NULL || exchange->at >= exchange->n_plan)
    {
      if (frame->stream == 0)
        on_plan (self, frame, payload);
      else
        {
          if (exchange == NULL)
            commy_exchange_new (self, commy_auth_chains_get_default (self->shared->chains));
          fail_auth (self, "the other side began with steps that nobody asked for");
        }
      return;
    }
  if (frame->stream != exchange->at + 1 || frame->method > IS_LAST || exchange->peer_done
      || (exchange->own_done && frame->method != IS_LAST))
    {
      fail_auth (self, "the other side's steps are out of order");
      return;
    }
  if (frame->payload_size > COMMY_AUTH_STEP_MAX || ++exchange->rounds > COMMY_AUTH_ROUNDS_MAX)
    {
      fail_auth (self, "the other side sends more than there is to say");
      return;
    }
  exchange->peer_done = frame->method == IS_LAST;
  if (exchange->own_done)
    {
      go_on (self);
      return;
    }
  bytes = take_bytes (payload, frame->payload_size);
  step (self, bytes);
}

void
commy_exchange_start (CommySetup *self)
{
  CommyExchange *exchange = self->exchange;
  CommyPlugin *plan[COMMY_EXCHANGE_PLAN + 1] = { NULL };
  g_autofree const char **ids = NULL;
  g_autofree char *text = NULL;

  memcpy (plan, exchange->plan, exchange->n_plan * sizeof *plan);
  ids = commy_exchange_list_ids (plan);
  text = g_strjoinv (";", (char **) ids);
  if (!send_auth (self, 0, 0, text, strlen (text)))
    return;
  begin_session (self);
  commy_setup_progress (self);
}
