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

#include "base/commy-error-private.h"
#include "channel/commy-hello.h"
#include "channel/commy-setup-private.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS_MAX (1 + COMMY_AUTH_CHAIN_MAX) /* one of any=, and all of require= */
#define PLAN_MAX (SLOTS_MAX + SLOTS_MAX)     /* what either side wants */
#define PLAN_TEXT_MAX 1024u
#define ATTRIBUTES_MAX 32u
#define ATTRIBUTE_MAX 255u
#define IS_LAST 1u /* method: the sender is done with this provider */

/* A provider of the chain, and what it found out. */
typedef struct
{
  CommyPlugin *provider;
  char *text; /* the principal, and attributes in lines of their own; NULL: not yet accepted */
} Slot;

typedef struct _CommyExchange
{
  const CommyAuthChain *chain;
  Slot slots[SLOTS_MAX]; /* in the order of the chain; the first one names the principal */
  guint n_slots;
  CommyPlugin *plan[PLAN_MAX]; /* whose steps are taken, in this order */
  guint n_plan;
  guint at;          /* in the plan */
  gpointer session;  /* of plan[at], between its begin and end; or NULL */
  guint rounds;      /* frames of the other side in it */
  gboolean own_done; /* this side's session has had its last word */
  gboolean peer_done;
  gboolean is_thinking; /* a step is not answered yet */
  gboolean is_inside;   /* its function has not come back */
  CommyAuthVerdict verdict;
  GBytes *bytes;
  char *text;
  CommyHello hello; /* accepting side: what waits for the end of it */
} CommyExchange;

/* --- a chain and the evidence --- */

static CommyEvidence
take_evidence (CommySetup *self)
{
  CommyEvidence evidence = { .struct_size = sizeof evidence, .pidfd = -1 };

  self->ops->evidence (self->connection, &evidence);
  return evidence;
}

static gboolean
has (char *const *ids, const CommyPlugin *provider)
{
  return ids != NULL && g_strv_contains ((const char *const *) ids, provider->note.id);
}

/* One provider's word. @can: whose steps the other side takes part in; NULL: that is not known.
 * TRUE: it has a slot now. FALSE with @error: it refuses; without: it is not its business. */
static gboolean
ask (CommySetup *self,
     CommyExchange *exchange,
     CommyPlugin *provider,
     const CommyEvidence *evidence,
     char *const *can,
     GError **error)
{
  char principal[COMMY_PRINCIPAL_MAX] = "";
  char reason[256] = "";
  Slot *slot = &exchange->slots[exchange->n_slots];
  CommyAuthVerdict verdict
      = provider->ops.auth.judge (provider->instance, evidence, principal, reason, sizeof reason);

  if (verdict == COMMY_AUTH_REFUSED)
    {
      commy_set_error (error, COMMY_ERROR_REFUSED, "%s refuses the peer: %s", provider->note.id,
                       reason);
      return FALSE;
    }
  if (verdict != COMMY_AUTH_ACCEPTED
      && (!commy_auth_has_steps (provider) || (can != NULL && !has (can, provider))))
    return FALSE;
  slot->provider = provider;
  slot->text = verdict == COMMY_AUTH_ACCEPTED ? g_strdup (principal) : NULL;
  exchange->n_slots++;
  return TRUE;
}

static void
say_nobody (CommySetup *self, const CommyAuthChain *chain, GError **error)
{
  if (chain == commy_auth_chains_get_default (self->shared->chains))
    commy_set_error (error, COMMY_ERROR_REFUSED,
                     "no auth provider can judge a peer on %s (setting \"auth\" of [mesh])",
                     self->transport->note.id);
  else
    commy_set_error (error, COMMY_ERROR_REFUSED,
                     "none of any= of %s can judge a peer on %s, which takes part in no steps of "
                     "theirs",
                     chain->name, self->transport->note.id);
}

/* Gives each provider that counts its slot. */
static gboolean
ask_all (CommySetup *self, CommyExchange *exchange, char *const *can, GError **error)
{
  CommyEvidence evidence = take_evidence (self);
  const CommyAuthChain *chain = exchange->chain;
  CommyPlugin *const *one;
  GError *cause = NULL;

  for (one = chain->any; *one != NULL; one++)
    {
      if (ask (self, exchange, *one, &evidence, can, &cause))
        break;
      if (cause != NULL)
        break;
    }
  if (cause == NULL && chain->any[0] != NULL && *one == NULL)
    say_nobody (self, chain, &cause);
  for (one = chain->require; cause == NULL && *one != NULL; one++)
    if (!ask (self, exchange, *one, &evidence, can, &cause) && cause == NULL)
      commy_set_error (&cause, COMMY_ERROR_REFUSED,
                       "%s requires %s, which cannot judge the peer on %s, and the peer takes "
                       "part in no steps of it",
                       chain->name, (*one)->note.id, self->transport->note.id);
  if (cause == NULL)
    return TRUE;
  g_propagate_error (error, cause);
  return FALSE;
}

static gboolean
is_proved (const CommyExchange *exchange)
{
  for (guint i = 0; i < exchange->n_slots; i++)
    if (exchange->slots[i].text == NULL)
      return FALSE;
  return TRUE;
}

static Slot *
find_slot (CommyExchange *exchange, const CommyPlugin *provider)
{
  for (guint i = 0; i < exchange->n_slots; i++)
    if (exchange->slots[i].provider == provider)
      return &exchange->slots[i];
  return NULL;
}

static CommyExchange *
exchange_new (CommySetup *self, const CommyAuthChain *chain)
{
  commy_setup_drop_exchange (self);
  self->exchange = g_new0 (CommyExchange, 1);
  self->exchange->chain = chain;
  return self->exchange;
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
  g_free (exchange);
  self->exchange = NULL;
}

/* --- the principal --- */

/* What the first one says of it, and behind that what all say. */
static CommyPrincipal *
make_principal (const CommyExchange *exchange)
{
  CommyPlugin *provider = exchange->slots[0].provider;
  CommyPrincipal *principal = NULL;

  for (guint i = 0; i < exchange->n_slots; i++)
    {
      g_auto (GStrv) lines = g_strsplit (exchange->slots[i].text, "\n", -1);

      for (char **line = lines; *line != NULL; line++)
        if (principal == NULL)
          principal = commy_principal_new (*line, provider->note.id);
        else
          commy_principal_add_attribute (principal, *line);
    }
  if (provider->ops.auth.same_user (provider->instance, commy_principal_get_name (principal)))
    commy_principal_set_own (principal);
  return principal;
}

static gboolean
is_name (const char *text, gsize max)
{
  gsize length = strlen (text);

  if (length == 0 || length > max || !g_utf8_validate (text, -1, NULL))
    return FALSE;
  for (const char *at = text; *at != '\0'; at++)
    if ((guchar) *at <= ' ' || *at == 0x7f)
      return FALSE;
  return TRUE;
}

/* Providers are plugins: what they say ends in logs and rules. */
static gboolean
is_principal (const char *text)
{
  g_auto (GStrv) lines = g_strsplit (text != NULL ? text : "", "\n", ATTRIBUTES_MAX + 2);

  if (lines[0] == NULL || !is_name (lines[0], COMMY_PRINCIPAL_MAX - 1)
      || g_strv_length (lines) > ATTRIBUTES_MAX + 1)
    return FALSE;
  for (char **line = lines + 1; *line != NULL; line++)
    if (!is_name (*line, ATTRIBUTE_MAX))
      return FALSE;
  return TRUE;
}

/* --- at the beginning --- */

static gboolean
judge_by (CommySetup *self, const CommyAuthChain *chain, GError **error)
{
  CommyExchange *exchange = exchange_new (self, chain);

  if (!ask_all (self, exchange, NULL, error))
    {
      commy_setup_drop_exchange (self);
      return FALSE;
    }
  if (!is_proved (exchange))
    return TRUE;
  self->peer = make_principal (exchange);
  commy_setup_drop_exchange (self);
  return TRUE;
}

gboolean
commy_setup_judge (CommySetup *self, GError **error)
{
  CommyAuthChains *chains = self->shared->chains;

  if (self->listener == NULL)
    return judge_by (self, commy_auth_chains_get_expected (chains, self->service), error);
  /* The HELLO tells which service it is about; where all have the same chain that can wait. */
  if (!judge_by (self, commy_auth_chains_get_default (chains),
                 commy_auth_chains_is_simple (chains) ? error : NULL)
      && commy_auth_chains_is_simple (chains))
    return FALSE;
  commy_setup_drop_exchange (self);
  return TRUE;
}

static const char **
list_ids (CommyPlugin *const *providers)
{
  GPtrArray *ids = g_ptr_array_new ();

  for (; *providers != NULL; providers++)
    g_ptr_array_add (ids, (gpointer) (*providers)->note.id);
  g_ptr_array_add (ids, NULL);
  return (const char **) g_ptr_array_free (ids, FALSE);
}

void
commy_setup_add_auth (CommySetup *self, CommyHello *hello)
{
  CommyPlugin *const *steppers = commy_auth_chains_get_steppers (self->shared->chains);
  CommyPlugin *wants[SLOTS_MAX + 1] = { NULL };
  guint n = 0;

  if (steppers[0] == NULL)
    return;
  hello->auth = (char **) list_ids (steppers);
  for (guint i = 0; self->exchange != NULL && i < self->exchange->n_slots; i++)
    if (self->exchange->slots[i].text == NULL)
      wants[n++] = self->exchange->slots[i].provider;
  if (n > 0)
    hello->auth_wants = (char **) list_ids (wants);
}

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

/* --- an end of it --- */

/* Whom failures are counted for: what it proved without steps, or else everybody who came the same
 * way without a proof. */
static char *
dup_source (CommySetup *self)
{
  for (guint i = 0; self->exchange != NULL && i < self->exchange->n_slots; i++)
    {
      const Slot *slot = &self->exchange->slots[i];

      if (slot->text != NULL && !commy_auth_has_steps (slot->provider))
        return g_strdup (slot->text);
    }
  if (self->peer != NULL)
    return g_strdup (commy_principal_get_name (self->peer));
  return g_strdup_printf ("transport/%s", self->transport->note.id);
}

/* Details stay here; the other side learns one sentence. */
static void
fail_auth (CommySetup *self, const char *why)
{
  const CommyExchange *exchange = self->exchange;
  const char *id = exchange->at < exchange->n_plan ? exchange->plan[exchange->at]->note.id : "auth";
  g_autofree char *source = dup_source (self);
  g_autoptr (GError) outward = NULL;
  g_autoptr (GError) error = NULL;

  commy_set_error (&outward, COMMY_ERROR_REFUSED,
                   "who this is was not proved; the log of the side that refuses tells why");
  if (self->listener != NULL)
    {
      commy_attempts_add_failure (self->shared->attempts, source,
                                  commy_env_now (self->shared->channel->env));
      commy_set_error (&error, COMMY_ERROR_REFUSED, "%s refuses the peer (%s, for %s): %s", id,
                       source, exchange->hello.service, why);
    }
  else
    commy_set_error (&error, COMMY_ERROR_REFUSED, "%s ends the set-up with %s over %s: %s", id,
                     self->service, self->transport->note.id, why);
  commy_setup_send_close (self, outward);
  commy_setup_fail (self, error, FALSE);
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
  CommyEvidence evidence = take_evidence (self);
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

/* All of them are done. */
static void
complete (CommySetup *self)
{
  CommyExchange *exchange = self->exchange;
  CommyHello hello;

  if (is_proved (exchange) && exchange->n_slots > 0)
    {
      g_clear_pointer (&self->peer, commy_principal_unref);
      self->peer = make_principal (exchange);
    }
  if (self->listener == NULL)
    {
      commy_setup_progress (self);
      return;
    }
  hello = exchange->hello;
  memset (&exchange->hello, 0, sizeof exchange->hello);
  commy_setup_on_hello (self, &hello);
  commy_hello_clear (&hello);
}

/* Who proved something of its own kind begins anew; of a source that others share, nothing is
 * forgiven. */
static void
forgive (CommySetup *self)
{
  g_autofree char *source = dup_source (self);

  if (!g_str_has_prefix (source, "transport/"))
    commy_attempts_forgive (self->shared->attempts, source);
}

static void
go_on (CommySetup *self)
{
  CommyExchange *exchange = self->exchange;

  end_session (exchange);
  exchange->at++;
  if (exchange->at == exchange->n_plan)
    {
      if (self->listener != NULL)
        forgive (self);
      complete (self);
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
  Slot *slot = find_slot (exchange, exchange->plan[exchange->at]);

  if (exchange->verdict == COMMY_AUTH_NOT_MINE)
    {
      if (slot == NULL)
        return TRUE;
      fail_auth (self, "the other side proved nothing to it");
      return FALSE;
    }
  if (!is_principal (exchange->text))
    {
      fail_auth (self, "the provider's principal is no name");
      return FALSE;
    }
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

      fail_auth (self, why);
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
  g_auto (GStrv) ids = g_strsplit (text, ";", PLAN_MAX + 1);

  for (char **id = ids; *id != NULL; id++)
    {
      CommyPlugin *provider = commy_auth_chains_find_stepper (self->shared->chains, *id);

      if (provider == NULL || exchange->n_plan == PLAN_MAX
          || g_strv_contains ((const char *const *) id + 1, *id))
        return FALSE;
      exchange->plan[exchange->n_plan++] = provider;
    }
  for (guint i = 0; i < exchange->n_slots; i++)
    if (exchange->slots[i].text == NULL && !has ((char *const *) ids, exchange->slots[i].provider))
      return FALSE;
  return exchange->n_plan > 0;
}

static void
on_plan (CommySetup *self, const CommyFrame *frame, const guint8 *payload)
{
  g_autofree char *text
      = g_strndup ((const char *) payload, MIN (frame->payload_size, PLAN_TEXT_MAX));

  if (self->exchange == NULL)
    exchange_new (self, commy_auth_chains_get_expected (self->shared->chains, self->service));
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
            exchange_new (self, commy_auth_chains_get_default (self->shared->chains));
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

/* --- accepting side --- */

static void
make_plan (CommySetup *self, const CommyHello *hello)
{
  CommyExchange *exchange = self->exchange;
  CommyPlugin *const *steppers = commy_auth_chains_get_steppers (self->shared->chains);

  for (guint i = 0; i < exchange->n_slots; i++)
    if (exchange->slots[i].text == NULL)
      exchange->plan[exchange->n_plan++] = exchange->slots[i].provider;
  for (; *steppers != NULL && hello->auth_wants != NULL; steppers++)
    if (has (hello->auth_wants, *steppers) && has (hello->auth, *steppers)
        && exchange->n_plan < PLAN_MAX
        && (find_slot (exchange, *steppers) == NULL
            || find_slot (exchange, *steppers)->text != NULL))
      exchange->plan[exchange->n_plan++] = *steppers;
}

/* Whether it must wait because it failed before. */
static gboolean
may_try (CommySetup *self, const char *service, GError **error)
{
  g_autofree char *source = dup_source (self);
  gint64 wait_ns = commy_attempts_wait (self->shared->attempts, source,
                                        commy_env_now (self->shared->channel->env));

  if (wait_ns == 0 || is_proved (self->exchange))
    return TRUE;
  commy_set_error (error, COMMY_ERROR_BUSY,
                   "an attempt to prove who this is failed (%s, for %s); the log of the side that "
                   "refuses tells why, and the next one may come in %" G_GINT64_FORMAT " s",
                   source, service, wait_ns / COMMY_ATTEMPTS_FIRST_NS + 1);
  return FALSE;
}

static void
send_plan (CommySetup *self)
{
  CommyExchange *exchange = self->exchange;
  CommyPlugin *plan[PLAN_MAX + 1] = { NULL };
  g_autofree const char **ids = NULL;
  g_autofree char *text = NULL;

  memcpy (plan, exchange->plan, exchange->n_plan * sizeof *plan);
  ids = list_ids (plan);
  text = g_strjoinv (";", (char **) ids);
  if (!send_auth (self, 0, 0, text, strlen (text)))
    return;
  begin_session (self);
  commy_setup_progress (self);
}

void
commy_setup_authenticate (CommySetup *self, CommyHello *hello)
{
  const CommyAuthChain *chain = commy_auth_chains_get_offered (self->shared->chains, hello->service,
                                                               self->transport->note.id);
  gboolean is_default = chain == commy_auth_chains_get_default (self->shared->chains);
  static char *const nothing[] = { NULL };
  CommyExchange *exchange;
  g_autoptr (GError) error = NULL;

  if (is_default && self->peer != NULL && hello->auth_wants == NULL)
    {
      commy_setup_on_hello (self, hello);
      return;
    }
  exchange = exchange_new (self, chain);
  if (!ask_all (self, exchange, hello->auth != NULL ? hello->auth : nothing, &error)
      || !may_try (self, hello->service, &error))
    {
      commy_setup_fail (self, error, TRUE);
      return;
    }
  make_plan (self, hello);
  exchange->hello = *hello;
  memset (hello, 0, sizeof *hello);
  if (exchange->n_plan == 0)
    complete (self);
  else
    send_plan (self);
}
