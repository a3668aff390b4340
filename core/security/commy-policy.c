/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The compiled policy, and how it decides. Names come from the other side, so whatever is no text
 * is denied before a pattern sees it.
 */
#include "config.h"

#include "security/commy-policy-private.h"

#include "base/commy-dotted-name.h"

#include <string.h>

CommyPolicy *
commy_policy_ref (CommyPolicy *policy)
{
  g_atomic_ref_count_inc (&policy->ref_count);
  return policy;
}

void
commy_policy_unref (CommyPolicy *self)
{
  if (self == NULL || !g_atomic_ref_count_dec (&self->ref_count))
    return;
  g_ptr_array_unref (self->rules);
  g_hash_table_unref (self->role_by_name);
  g_ptr_array_unref (self->roles);
  commy_glob_index_free (self->principals);
  for (guint about = 0; about < COMMY_ABOUT_LAST; about++)
    commy_glob_index_free (self->about[about]);
  commy_glob_index_free (self->attributes);
  g_clear_pointer (&self->attribute_numbers, g_hash_table_unref);
  g_strfreev (self->own);
  commy_config_unref (self->config);
  g_free (self);
}

/* --- what fits --- */

gboolean
commy_policy_is_own (CommyPolicy *self, const CommyPolicyRequest *request)
{
  return request->own
         || (self->own != NULL
             && g_strv_contains ((const char *const *) self->own, request->principal));
}

static gboolean
is_text (const char *text)
{
  return text != NULL && g_utf8_validate (text, -1, NULL);
}

/* To call what publishes a topic is to subscribe to it; to offer it is to publish. */
static CommyVerb
verb_of_rules (const CommyPolicyRequest *request, CommyAbout *out_about, const char **out_name)
{
  const char *topic = commy_topic_of_endpoint (request->resource);

  *out_name = request->resource;
  *out_about = request->verb == COMMY_VERB_CONTROL ? COMMY_ABOUT_OPERATIONS
               : (request->verb & (COMMY_VERB_READ | COMMY_VERB_WRITE)) != 0 ? COMMY_ABOUT_KEYS
                                                                             : COMMY_ABOUT_SERVICES;
  if (topic == NULL || *out_about != COMMY_ABOUT_SERVICES)
    return request->verb;
  *out_name = topic;
  *out_about = COMMY_ABOUT_TOPICS;
  return request->verb == COMMY_VERB_OFFER ? COMMY_VERB_PUBLISH : COMMY_VERB_SUBSCRIBE;
}

/* Members of a role are whom all the rules mean that speak of it. */
static void
expand_roles (CommyPolicy *self, guint64 *who)
{
  for (guint word = 0; word < self->n_role_words; word++)
    for (guint64 left = who[self->n_words + word]; left != 0; left &= left - 1)
      {
        const CommyRole *role = self->roles->pdata[word * 64 + (guint) __builtin_ctzll (left)];

        for (guint i = 0; i < self->n_words; i++)
          who[i] |= role->rules[i];
      }
}

gboolean
commy_policy_fit (CommyPolicy *self,
                  const CommyPolicyRequest *request,
                  gboolean method_matters,
                  CommyFit *fit)
{
  gsize bytes = self->n_words * sizeof (guint64);
  CommyAbout about;
  const char *name;

  if (!is_text (request->principal) || !is_text (request->resource)
      || (method_matters && request->verb == COMMY_VERB_CALL && !is_text (request->method)))
    return FALSE;
  fit->asked = verb_of_rules (request, &about, &name);
  fit->verb = self->verbs[__builtin_ctz (fit->asked)];
  fit->has_method = method_matters && fit->asked == COMMY_VERB_CALL;
  memset (fit->who, 0, bytes + self->n_role_words * sizeof (guint64));
  commy_glob_index_match (self->principals, request->principal, fit->who);
  expand_roles (self, fit->who);
  memset (fit->what, 0, bytes);
  commy_glob_index_match (self->about[about], name, fit->what);
  if (!fit->has_method)
    return TRUE;
  memset (fit->how, 0, bytes);
  commy_glob_index_match (self->about[COMMY_ABOUT_METHODS], request->method, fit->how);
  return TRUE;
}

static guint64
fitting (const CommyFit *fit, guint word)
{
  return fit->who[word] & fit->what[word] & fit->verb[word]
         & (fit->has_method ? fit->how[word] : G_MAXUINT64);
}

/* --- deciding --- */

gboolean
commy_rule_speaks (CommyPolicy *self,
                   const CommyRule *rule,
                   CommyKnown *known,
                   const char **out_key)
{
  CommyHolds proved = commy_policy_check_attributes (self, rule, known);
  CommyHolds holds = COMMY_HOLDS_YES;

  *out_key = proved != COMMY_HOLDS_YES ? "attributes" : NULL;
  if (proved == COMMY_HOLDS_NO)
    return FALSE; /* whatever is not known; and at any time */
  if (rule->is_conditional)
    holds = commy_condition_check (&rule->condition, known->request->path, &known->moment,
                                   &known->until_us, out_key);
  if (holds == COMMY_HOLDS_NO)
    return FALSE;
  return !rule->allow || (holds == COMMY_HOLDS_YES && proved == COMMY_HOLDS_YES);
}

/* A trial must not give a stranger what only one's own user had. */
gboolean
commy_policy_lifts (CommyPolicy *self, CommyVerb verb, gboolean own)
{
  return self->on_trial
         && (own
             || (verb
                 & (COMMY_VERB_OFFER | COMMY_VERB_PUBLISH | COMMY_VERB_WRITE | COMMY_VERB_CONTROL))
                    == 0);
}

static CommyPolicyVerdict
decide_by_default (gboolean own)
{
  return (CommyPolicyVerdict){ .allowed = own,
                               .origin = own ? "default: own user" : "default: other principal",
                               .until_us = G_MAXINT64 };
}

/* The last rule that fits and speaks. @out_trial: the last one on trial behind it, or NULL. */
static const CommyRule *
find_rule (CommyPolicy *self,
           const CommyPolicyRequest *request,
           const CommyFit *fit,
           gint64 *out_until_us,
           const CommyRule **out_trial)
{
  const CommyRule *found = NULL;
  CommyKnown known;
  const char *key;

  commy_known_init (&known, request);
  *out_trial = NULL;
  for (guint word = self->n_words; word-- > 0 && found == NULL;)
    for (guint64 left = commy_policy_sift (self, &known, word, fitting (fit, word));
         left != 0 && found == NULL;)
      {
        guint bit = 63u - (guint) __builtin_clzll (left);
        const CommyRule *rule = self->rules->pdata[word * 64 + bit];

        left &= ~(G_GUINT64_CONSTANT (1) << bit);
        if (!commy_rule_speaks (self, rule, &known, &key))
          continue;
        if (!rule->on_trial)
          found = rule;
        else if (*out_trial == NULL)
          *out_trial = rule;
      }
  *out_until_us = known.until_us;
  return found;
}

CommyPolicyVerdict
commy_policy_judge (CommyPolicy *self, const CommyPolicyRequest *request)
{
  gint64 until_us = G_MAXINT64;
  CommyPolicyVerdict verdict;
  const CommyRule *rule, *trial;
  gboolean own;
  CommyFit fit;

  if (!commy_policy_fit (self, request, TRUE, &fit))
    return (CommyPolicyVerdict){ .origin = "default: name is no text", .until_us = G_MAXINT64 };
  own = commy_policy_is_own (self, request);
  rule = find_rule (self, request, &fit, &until_us, &trial);
  verdict = decide_by_default (own);
  if (rule != NULL)
    verdict
        = (CommyPolicyVerdict){ .allowed = rule->allow,
                                .origin = rule->origin,
                                .rule = rule->name,
                                .asks = rule->asks,
                                .lifts = rule->asks && commy_policy_lifts (self, fit.asked, own) };
  verdict.until_us = until_us;
  if (verdict.allowed && trial != NULL && !trial->allow)
    verdict.trial = trial->origin;
  /* What no rule speaks of is denied to others all the same: that is not on trial. */
  if (!verdict.allowed && rule != NULL && commy_policy_lifts (self, fit.asked, own))
    {
      verdict.allowed = TRUE;
      verdict.trial = verdict.origin;
    }
  return verdict;
}

CommyPolicyVerdict
commy_policy_decide (CommyPolicy *policy,
                     CommyVerb verb,
                     const char *principal,
                     const char *service,
                     const char *method)
{
  const CommyPolicyRequest request
      = { .verb = verb, .principal = principal, .resource = service, .method = method };

  return commy_policy_judge (policy, &request);
}

gboolean
commy_policy_may_call_any (CommyPolicy *self, const char *principal, const char *service)
{
  const CommyPolicyRequest request
      = { .verb = COMMY_VERB_CALL, .principal = principal, .resource = service };
  gboolean lifts;
  CommyFit fit;

  if (!commy_policy_fit (self, &request, FALSE, &fit))
    return FALSE;
  if (commy_policy_is_own (self, &request))
    return TRUE;
  lifts = commy_policy_lifts (self, fit.asked, FALSE);
  for (guint word = 0; word < self->n_words; word++)
    for (guint64 left = fitting (&fit, word); left != 0; left &= left - 1)
      {
        const CommyRule *rule = self->rules->pdata[word * 64 + (guint) __builtin_ctzll (left)];

        if ((rule->allow || lifts) && !rule->on_trial)
          return TRUE;
      }
  return FALSE;
}

gboolean
commy_policy_is_about (CommyPolicy *self, CommyVerb verb)
{
  const guint64 *rules = self->verbs[__builtin_ctz (verb)];

  for (guint word = 0; word < self->n_words; word++)
    if (rules[word] != 0)
      return TRUE;
  return FALSE;
}
