/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The compiled policy. Names come from the other side, so whatever is no text is denied
 * before a pattern sees it.
 */
#include "config.h"

#include "security/commy-policy.h"

#include "base/commy-dotted-name.h"
#include "base/commy-error-private.h"

#include <string.h>

typedef struct
{
  char *name;
  char *origin;
  gboolean allow;
  guint verbs;
  GPtrArray *principals; /* of GPatternSpec, as are the next two */
  GPtrArray *services;
  GPtrArray *methods;
  GPtrArray *topics;
} Rule;

struct _CommyPolicy
{
  gatomicrefcount ref_count;
  GPtrArray *rules; /* of Rule, in order */
  char **own;       /* names, exact: they come from certificates, where '*' is only a character */
};

static void
rule_free (gpointer data)
{
  Rule *rule = data;

  g_free (rule->name);
  g_free (rule->origin);
  g_clear_pointer (&rule->principals, g_ptr_array_unref);
  g_clear_pointer (&rule->services, g_ptr_array_unref);
  g_clear_pointer (&rule->methods, g_ptr_array_unref);
  g_clear_pointer (&rule->topics, g_ptr_array_unref);
  g_free (rule);
}

static GPtrArray *
compile_globs (const char *const *globs)
{
  GPtrArray *patterns = g_ptr_array_new_with_free_func ((GDestroyNotify) g_pattern_spec_free);

  for (; globs != NULL && *globs != NULL; globs++)
    g_ptr_array_add (patterns, g_pattern_spec_new (*globs));
  return patterns;
}

static GPtrArray *
compile_key (CommyConfig *config, const char *group, const char *key)
{
  g_auto (GStrv) globs = commy_config_get_list (config, group, key);

  return compile_globs ((const char *const *) globs);
}

static gboolean
check_keys (CommyConfig *config, const char *group, GError **error)
{
  static const struct
  {
    const char *key;
    const char *remedy;
  } needed[] = {
    { "principals", "add principals=PATTERN;... (\"*\" for everybody)" },
    { "services", "write services=PATTERN;... (\"*\" for all)" },
    { "methods", "write methods=PATTERN;... (\"*\" for all)" },
    { "topics", "write topics=PATTERN;... (\"*\" for all)" },
    { "verbs", "write verbs=call;..., out of call, offer, subscribe and publish" },
    { "effect", "add effect=allow or effect=deny" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (needed); i++)
    {
      const char *value = commy_config_get (config, group, needed[i].key);
      const char *origin = commy_config_get_origin (config, group, needed[i].key);

      if (value != NULL && *value != '\0')
        continue;
      if (g_str_equal (origin, "default"))
        origin = commy_config_get_origin (config, group, NULL);
      commy_set_error (error, COMMY_ERROR_CONFIG_VALUE, "%s: [%s] has no %s; %s", origin, group,
                       needed[i].key, needed[i].remedy);
      return FALSE;
    }
  return TRUE;
}

static guint
read_verbs (const char *const *words)
{
  static const struct
  {
    const char *word;
    CommyVerb verb;
  } all[] = {
    { "call", COMMY_VERB_CALL },
    { "offer", COMMY_VERB_OFFER },
    { "subscribe", COMMY_VERB_SUBSCRIBE },
    { "publish", COMMY_VERB_PUBLISH },
  };
  guint verbs = 0;

  for (gsize i = 0; i < G_N_ELEMENTS (all); i++)
    if (g_strv_contains (words, all[i].word))
      verbs |= all[i].verb;
  return verbs;
}

static Rule *
compile_rule (CommyConfig *config, const char *group, GError **error)
{
  g_auto (GStrv) verbs = NULL;
  Rule *rule;

  if (!check_keys (config, group, error))
    return NULL;
  verbs = commy_config_get_list (config, group, "verbs");
  rule = g_new0 (Rule, 1);
  rule->name = g_strdup (group + strlen ("policy "));
  rule->origin = g_strdup (commy_config_get_origin (config, group, "effect"));
  rule->allow = g_str_equal (commy_config_get (config, group, "effect"), "allow");
  rule->verbs = read_verbs ((const char *const *) verbs);
  rule->principals = compile_key (config, group, "principals");
  rule->services = compile_key (config, group, "services");
  rule->methods = compile_key (config, group, "methods");
  rule->topics = compile_key (config, group, "topics");
  return rule;
}

CommyPolicy *
commy_policy_compile (CommyConfig *config, const char *const *own, GError **error)
{
  g_autoptr (GPtrArray) groups = commy_config_list_groups (config, "policy ");
  g_autoptr (CommyPolicy) policy = g_new0 (CommyPolicy, 1);

  g_atomic_ref_count_init (&policy->ref_count);
  policy->own = g_strdupv ((char **) own);
  policy->rules = g_ptr_array_new_with_free_func (rule_free);
  for (guint i = 0; i < groups->len; i++)
    {
      Rule *rule = compile_rule (config, g_ptr_array_index (groups, i), error);

      if (rule == NULL)
        return NULL;
      g_ptr_array_add (policy->rules, rule);
    }
  return g_steal_pointer (&policy);
}

CommyPolicy *
commy_policy_ref (CommyPolicy *policy)
{
  g_atomic_ref_count_inc (&policy->ref_count);
  return policy;
}

void
commy_policy_unref (CommyPolicy *policy)
{
  if (policy == NULL || !g_atomic_ref_count_dec (&policy->ref_count))
    return;
  g_ptr_array_unref (policy->rules);
  g_strfreev (policy->own);
  g_free (policy);
}

static gboolean
matches_any (GPtrArray *patterns, const char *text)
{
  for (guint i = 0; i < patterns->len; i++)
    if (g_pattern_spec_match_string (g_ptr_array_index (patterns, i), text))
      return TRUE;
  return FALSE;
}

static gboolean
is_own (CommyPolicy *policy, const char *principal)
{
  return policy->own != NULL && g_strv_contains ((const char *const *) policy->own, principal);
}

static gboolean
is_text (const char *text)
{
  return text != NULL && g_utf8_validate (text, -1, NULL);
}

/* To call what publishes a topic is to subscribe to it; to offer it is to publish. */
static gboolean
rule_matches (const Rule *rule,
              CommyVerb verb,
              const char *principal,
              const char *service,
              const char *method)
{
  const char *topic = commy_topic_of_endpoint (service);

  if (topic != NULL)
    return (rule->verbs & (verb == COMMY_VERB_OFFER ? COMMY_VERB_PUBLISH : COMMY_VERB_SUBSCRIBE))
               != 0
           && matches_any (rule->principals, principal) && matches_any (rule->topics, topic);
  return (rule->verbs & verb) != 0 && matches_any (rule->principals, principal)
         && matches_any (rule->services, service)
         && (verb == COMMY_VERB_OFFER || matches_any (rule->methods, method));
}

static CommyPolicyVerdict
decide (CommyPolicy *policy,
        CommyVerb verb,
        const char *principal,
        gboolean own,
        const char *service,
        const char *method)
{
  if (!is_text (principal) || !is_text (service) || (verb != COMMY_VERB_OFFER && !is_text (method)))
    return (CommyPolicyVerdict){ FALSE, "default: name is no text", NULL };
  for (guint i = policy->rules->len; i > 0; i--)
    {
      const Rule *rule = g_ptr_array_index (policy->rules, i - 1);

      if (rule_matches (rule, verb, principal, service, method))
        return (CommyPolicyVerdict){ rule->allow, rule->origin, rule->name };
    }
  if (own)
    return (CommyPolicyVerdict){ TRUE, "default: own user", NULL };
  return (CommyPolicyVerdict){ FALSE, "default: other principal", NULL };
}

CommyPolicyVerdict
commy_policy_decide (CommyPolicy *policy,
                     CommyVerb verb,
                     const char *principal,
                     const char *service,
                     const char *method)
{
  return decide (policy, verb, principal, principal != NULL && is_own (policy, principal), service,
                 method);
}

CommyPolicyVerdict
commy_policy_decide_peer (CommyPolicy *policy,
                          CommyVerb verb,
                          CommyPrincipal *peer,
                          const char *service,
                          const char *method)
{
  const char *name = commy_principal_get_name (peer);

  return decide (policy, verb, name, commy_principal_is_own (peer) || is_own (policy, name),
                 service, method);
}

/* For some method. */
static gboolean
may_match (const Rule *rule, const char *principal, const char *service)
{
  if (commy_topic_of_endpoint (service) != NULL)
    return rule_matches (rule, COMMY_VERB_CALL, principal, service, NULL);
  return (rule->verbs & COMMY_VERB_CALL) != 0 && matches_any (rule->principals, principal)
         && matches_any (rule->services, service);
}

gboolean
commy_policy_may_call_any (CommyPolicy *policy, const char *principal, const char *service)
{
  if (!is_text (principal) || !is_text (service))
    return FALSE;
  if (is_own (policy, principal))
    return TRUE;
  for (guint i = 0; i < policy->rules->len; i++)
    {
      const Rule *rule = g_ptr_array_index (policy->rules, i);

      if (rule->allow && may_match (rule, principal, service))
        return TRUE;
    }
  return FALSE;
}
