/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who the other side is, as the providers of a chain judge it: what the evidence alone tells, and
 * whose steps are to be taken for the rest (commy-setup-steps.c).
 */
#include "config.h"

#include "channel/commy-exchange.h"

#include "base/commy-error-private.h"
#include "channel/commy-channel-rights.h"
#include "security/commy-lock-out.h"

#include <string.h>

#define SECOND_NS G_GINT64_CONSTANT (1000000000)
#define ATTRIBUTES_MAX 32u
#define ATTRIBUTE_MAX 255u
#define BOUND_TO "for=" /* the attribute of a proof that counts for one principal only */

/* --- a chain and the evidence --- */

CommyEvidence
commy_exchange_take_evidence (CommySetup *self)
{
  CommyEvidence evidence = { .struct_size = sizeof evidence, .pidfd = -1 };

  self->ops->evidence (self->connection, &evidence);
  return evidence;
}

gboolean
commy_exchange_has (char *const *ids, const CommyPlugin *provider)
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
  CommySlot *slot = &exchange->slots[exchange->n_slots];
  CommyAuthVerdict verdict
      = provider->ops.auth.judge (provider->instance, evidence, principal, reason, sizeof reason);

  if (verdict == COMMY_AUTH_REFUSED || verdict == COMMY_AUTH_UNABLE)
    {
      commy_set_error (error, COMMY_ERROR_REFUSED, "%s refuses the peer: %s", provider->note.id,
                       reason);
      return FALSE;
    }
  if (verdict != COMMY_AUTH_ACCEPTED
      && (!commy_auth_has_steps (provider) || (can != NULL && !commy_exchange_has (can, provider))))
    return FALSE;
  slot->provider = provider;
  slot->text = verdict == COMMY_AUTH_ACCEPTED ? g_strdup (principal) : NULL;
  exchange->n_slots++;
  if (verdict == COMMY_AUTH_ACCEPTED)
    commy_exchange_note_proof (self, provider, NULL);
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
  CommyEvidence evidence = commy_exchange_take_evidence (self);
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
      commy_set_error (
          &cause, COMMY_ERROR_REFUSED,
          "%s requires %s, which cannot judge the peer on %s, and the peer takes "
          "part in no steps of it: it needs %s in auth= of its [mesh], and what to show",
          chain->name, (*one)->note.id, self->transport->note.id, (*one)->note.id);
  if (cause == NULL)
    return TRUE;
  g_propagate_error (error, cause);
  return FALSE;
}

gboolean
commy_exchange_is_proved (const CommyExchange *exchange)
{
  for (guint i = 0; i < exchange->n_slots; i++)
    if (exchange->slots[i].text == NULL)
      return FALSE;
  return TRUE;
}

/* Of which principal a provider's words are: its own name, or what it is bound to. */
static gboolean
is_of (const char *text, const char *name)
{
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);

  if (strcmp (lines[0], name) == 0)
    return TRUE;
  for (char **line = lines + 1; *line != NULL; line++)
    if (g_str_has_prefix (*line, BOUND_TO) && strcmp (*line + strlen (BOUND_TO), name) == 0)
      return TRUE;
  return FALSE;
}

gboolean
commy_exchange_is_one_peer (const CommyExchange *exchange, GError **error)
{
  g_autofree char *name = NULL;

  if (!exchange->chain->same_principal)
    return TRUE;
  name = g_strndup (exchange->slots[0].text, strcspn (exchange->slots[0].text, "\n"));
  for (guint i = 1; i < exchange->n_slots; i++)
    if (!is_of (exchange->slots[i].text, name))
      {
        commy_set_error (error, COMMY_ERROR_REFUSED,
                         "what %s accepted is not bound to %s, as same-principal of %s wants it",
                         exchange->slots[i].provider->note.id, name, exchange->chain->name);
        return FALSE;
      }
  return TRUE;
}

CommySlot *
commy_exchange_find_slot (CommyExchange *exchange, const CommyPlugin *provider)
{
  for (guint i = 0; i < exchange->n_slots; i++)
    if (exchange->slots[i].provider == provider)
      return &exchange->slots[i];
  return NULL;
}

CommyExchange *
commy_exchange_new (CommySetup *self, const CommyAuthChain *chain)
{
  commy_setup_drop_exchange (self);
  self->exchange = g_new0 (CommyExchange, 1);
  self->exchange->chain = chain;
  return self->exchange;
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

/* Each name that a slot has: any of them may be denied. */
static char *
join_names (const CommyExchange *exchange)
{
  g_autoptr (GString) names = g_string_new (NULL);

  for (guint i = 0; i < exchange->n_slots; i++)
    {
      const char *text = exchange->slots[i].text;

      g_string_append_printf (names, "%s%.*s", i > 0 ? " " : "", (int) strcspn (text, "\n"), text);
    }
  return g_string_free (g_steal_pointer (&names), FALSE);
}

void
commy_exchange_take_peer (CommySetup *self, const CommyExchange *exchange)
{
  g_clear_pointer (&self->peer, commy_principal_unref);
  self->peer = make_principal (exchange);
  g_free (self->proved);
  self->proved = join_names (exchange);
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
gboolean
commy_exchange_is_principal (const char *text)
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

/* --- what it rests on --- */

void
commy_exchange_note_proof (CommySetup *self, CommyPlugin *provider, gpointer session)
{
  CommyEvidence evidence = commy_exchange_take_evidence (self);
  CommyStandingProof noted = { .proof = { .struct_size = sizeof noted.proof },
                               .stands = provider->ops.auth.stands,
                               .instance = provider->instance };

  if (!provider->ops.auth.proof (provider->instance, &evidence, session, &noted.proof))
    return;
  if (self->proofs == NULL)
    self->proofs = g_array_new (FALSE, FALSE, sizeof (CommyStandingProof));
  /* A second chain may ask a provider once more. */
  for (guint i = self->proofs->len; i-- > 0;)
    if (g_array_index (self->proofs, CommyStandingProof, i).instance == noted.instance)
      g_array_remove_index (self->proofs, i);
  g_array_append_val (self->proofs, noted);
}

gboolean
commy_setup_take_standing (CommySetup *self, GError **error)
{
  const CommyEnv *env = self->shared->channel->env;
  CommyStandings *standings = self->shared->standings;

  if (standings == NULL)
    return TRUE;
  g_clear_pointer (&self->standing, commy_standing_free);
  self->standing = commy_standings_add (
      standings, self->proved, self->proofs != NULL ? (gpointer) self->proofs->data : NULL,
      self->proofs != NULL ? self->proofs->len : 0, commy_env_wall_us (env),
      (guint32) commy_env_random64 (env));
  if (commy_standing_get_state (self->standing) != COMMY_STANDING_OVER)
    return TRUE;
  commy_set_error (error, COMMY_ERROR_REFUSED, "refused the peer: %s",
                   commy_standing_get_reason (self->standing));
  return FALSE;
}

/* --- at the beginning --- */

static gboolean
judge_by (CommySetup *self, const CommyAuthChain *chain, GError **error)
{
  CommyExchange *exchange = commy_exchange_new (self, chain);
  gboolean is_one;

  if (!ask_all (self, exchange, NULL, error))
    {
      commy_setup_drop_exchange (self);
      return FALSE;
    }
  if (!commy_exchange_is_proved (exchange))
    return TRUE;
  is_one = commy_exchange_is_one_peer (exchange, error);
  if (is_one)
    commy_exchange_take_peer (self, exchange);
  commy_setup_drop_exchange (self);
  return is_one && commy_setup_take_standing (self, error);
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

const char **
commy_exchange_list_ids (CommyPlugin *const *providers)
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
  CommyPlugin *wants[COMMY_EXCHANGE_SLOTS + 1] = { NULL };
  guint n = 0;

  if (steppers[0] == NULL)
    return;
  hello->auth = (char **) commy_exchange_list_ids (steppers);
  for (guint i = 0; self->exchange != NULL && i < self->exchange->n_slots; i++)
    if (self->exchange->slots[i].text == NULL)
      wants[n++] = self->exchange->slots[i].provider;
  if (n > 0)
    hello->auth_wants = (char **) commy_exchange_list_ids (wants);
}

/* --- whom failures are counted for --- */

/* Whom failures are counted for: what it proved without steps, or else what the transport knows of
 * it, or else everybody who came the same way. */
char *
commy_exchange_dup_source (CommySetup *self)
{
  CommyEvidence evidence;

  for (guint i = 0; self->exchange != NULL && i < self->exchange->n_slots; i++)
    {
      const CommySlot *slot = &self->exchange->slots[i];

      if (slot->text != NULL && !commy_auth_has_steps (slot->provider))
        return g_strdup (slot->text);
    }
  if (self->peer != NULL)
    return g_strdup (commy_principal_get_name (self->peer));
  evidence = commy_exchange_take_evidence (self);
  if (evidence.kind == COMMY_EVIDENCE_KERNEL)
    return g_strdup_printf ("user/%u", evidence.uid);
  if (evidence.kind == COMMY_EVIDENCE_X509 && evidence.n_chain > 0)
    {
      g_autofree char *hash = g_compute_checksum_for_bytes (G_CHECKSUM_SHA256, evidence.chain[0]);

      return g_strdup_printf ("certificate/%s", hash);
    }
  return g_strdup_printf ("transport/%s", self->transport->note.id);
}

char *
commy_exchange_dup_address (CommySetup *self, gboolean *out_of_link)
{
  CommyPolicyPath path;

  *out_of_link = FALSE;
  if (self->shared->addresses == NULL)
    return NULL;
  commy_path_facts (self->ops, self->connection, &path);
  return path.where == COMMY_WHERE_ADDRESS ? commy_lock_out_dup_address (path.address, out_of_link)
                                           : NULL;
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
    if (commy_exchange_has (hello->auth_wants, *steppers)
        && commy_exchange_has (hello->auth, *steppers) && exchange->n_plan < COMMY_EXCHANGE_PLAN
        && (commy_exchange_find_slot (exchange, *steppers) == NULL
            || commy_exchange_find_slot (exchange, *steppers)->text != NULL))
      exchange->plan[exchange->n_plan++] = *steppers;
}

/* Who guesses under ever new names comes from somewhere. */
static gboolean
may_try_from_there (CommySetup *self, const char *service, GError **error)
{
  gboolean of_link;
  g_autofree char *source = commy_exchange_dup_address (self, &of_link);
  gint64 wait_ns = source != NULL ? commy_attempts_wait (self->shared->addresses, source,
                                                         commy_env_now (self->shared->channel->env))
                                  : 0;

  if (wait_ns == 0)
    return TRUE;
  commy_set_error (error, COMMY_ERROR_BUSY,
                   "too many attempts to prove who one is failed from there (%s, for %s); the next "
                   "one may come in %" G_GINT64_FORMAT " s, or when it is lifted: commy cert "
                   "denied, commy cert allow",
                   source, service, wait_ns / SECOND_NS + 1);
  return FALSE;
}

/* Whether it must wait because it failed before, or has too many attempts under way. */
static gboolean
may_try (CommySetup *self, const char *service, GError **error)
{
  g_autofree char *source = commy_exchange_dup_source (self);
  CommyAttempts *attempts = self->shared->attempts;
  gint64 now_ns = commy_env_now (self->shared->channel->env);
  gint64 wait_ns = commy_attempts_wait (attempts, source, now_ns);

  if (self->exchange->n_plan == 0)
    return TRUE;
  if (!may_try_from_there (self, service, error))
    return FALSE;
  if (wait_ns > 0 && wait_ns == commy_attempts_wait_heard (attempts, source, now_ns))
    commy_set_error (error, COMMY_ERROR_BUSY,
                     "an attempt to prove who this is failed at another instance (%s, for %s); the "
                     "next one may come in %" G_GINT64_FORMAT " s, or when it is lifted: commy "
                     "cert denied, commy cert allow",
                     source, service, wait_ns / SECOND_NS + 1);
  else if (wait_ns > 0)
    commy_set_error (error, COMMY_ERROR_BUSY,
                     "an attempt to prove who this is failed (%s, for %s); the log of the side "
                     "that refuses tells why, and the next one may come in %" G_GINT64_FORMAT " s",
                     source, service, wait_ns / SECOND_NS + 1);
  else if (!commy_attempts_begin (attempts, source))
    commy_set_error (error, COMMY_ERROR_BUSY,
                     "%s proves already who it is, as often at a time as it may (%u, one after a "
                     "failure); the next one may come when one of these is over",
                     source, COMMY_ATTEMPTS_AT_ONCE);
  else
    {
      self->exchange->source = g_steal_pointer (&source);
      return TRUE;
    }
  return FALSE;
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
  exchange = commy_exchange_new (self, chain);
  if (ask_all (self, exchange, hello->auth != NULL ? hello->auth : nothing, &error))
    {
      make_plan (self, hello);
      may_try (self, hello->service, &error);
    }
  if (error != NULL)
    {
      commy_setup_fail (self, error, TRUE);
      return;
    }
  exchange->hello = *hello;
  memset (hello, 0, sizeof *hello);
  if (exchange->n_plan == 0)
    commy_exchange_complete (self);
  else
    commy_exchange_start (self);
}
