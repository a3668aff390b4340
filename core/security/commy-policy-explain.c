/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A policy told to people: its rules, and rule by rule why a request is allowed or denied. Decides
 * by the same steps as commy-policy.c, with the same functions.
 */
#include "config.h"

#include "security/commy-policy-private.h"

#include "base/commy-dotted-name.h"
#include "base/commy-error-private.h"

#include <string.h>

#define TOPIC "topic:"
#define KEY "key:"
#define CONTROL "control:"

static const struct
{
  const char *word;
  CommyVerb asked;    /* of the table */
  CommyVerb of_rules; /* as rules write it */
} verbs[] = {
  { "call", COMMY_VERB_CALL, COMMY_VERB_CALL },
  { "offer", COMMY_VERB_OFFER, COMMY_VERB_OFFER },
  { "subscribe", COMMY_VERB_CALL, COMMY_VERB_SUBSCRIBE },
  { "publish", COMMY_VERB_OFFER, COMMY_VERB_PUBLISH },
  { "read", COMMY_VERB_READ, COMMY_VERB_READ },
  { "write", COMMY_VERB_WRITE, COMMY_VERB_WRITE },
  { "control", COMMY_VERB_CONTROL, COMMY_VERB_CONTROL },
};

/* --- reading a request --- */

static const char *
strip (const char *text, const char *prefix)
{
  return g_str_has_prefix (text, prefix) ? text + strlen (prefix) : NULL;
}

static gboolean
complain (GError **error, const char *verb, const char *form)
{
  commy_set_error (error, COMMY_ERROR_INVALID_ARGUMENT, "to %s is about %s: write it so", verb,
                   form);
  return FALSE;
}

static gboolean
read_call (CommyPolicyRequest *request, const char *resource, char **out_service, GError **error)
{
  const char *slash = strchr (resource, '/');

  if (slash == NULL || slash[1] == '\0' || slash == resource)
    return complain (error, "call", "SERVICE/METHOD");
  *out_service = g_strndup (resource, (gsize) (slash - resource));
  request->resource = *out_service;
  request->method = slash + 1;
  return TRUE;
}

static gboolean
read_resource (CommyVerb verb,
               const char *word,
               const char *resource,
               CommyPolicyRequest *request,
               char **out_service,
               GError **error)
{
  const char *topic = strip (resource, TOPIC);

  request->resource = resource;
  switch (verb)
    {
    case COMMY_VERB_CALL:
      return topic == NULL ? read_call (request, resource, out_service, error)
                           : complain (error, word, "SERVICE/METHOD");
    case COMMY_VERB_OFFER:
      return topic == NULL && strchr (resource, '/') == NULL ? TRUE
                                                             : complain (error, word, "SERVICE");
    case COMMY_VERB_SUBSCRIBE:
    case COMMY_VERB_PUBLISH:
      request->method = "";
      return topic != NULL && commy_topic_name_is_valid (topic)
                 ? TRUE
                 : complain (error, word, TOPIC "NAME");
    case COMMY_VERB_READ:
    case COMMY_VERB_WRITE:
      request->resource = strip (resource, KEY);
      return request->resource != NULL ? TRUE : complain (error, word, KEY "NAME");
    default:
      request->resource = strip (resource, CONTROL);
      return request->resource != NULL ? TRUE : complain (error, word, CONTROL "OPERATION");
    }
}

gboolean
commy_policy_request_read (const char *verb,
                           const char *resource,
                           CommyPolicyRequest *out_request,
                           char **out_service,
                           GError **error)
{
  for (gsize i = 0; i < G_N_ELEMENTS (verbs); i++)
    if (g_str_equal (verbs[i].word, verb))
      {
        out_request->verb = verbs[i].asked;
        return read_resource (verbs[i].of_rules, verb, resource, out_request, out_service, error);
      }
  commy_set_error (
      error, COMMY_ERROR_INVALID_ARGUMENT,
      "\"%.40s\" is no verb of policies; choose call, offer, subscribe, publish, read, "
      "write or control",
      verb);
  return FALSE;
}

/* --- telling --- */

static void
add_text (GVariantBuilder *record, const char *key, const char *text)
{
  g_variant_builder_add (record, "{sv}", key, g_variant_new_string (text));
}

/* What else a rule is about, as it stands in the keyfile. */
static char *
dup_limits (CommyPolicy *self, const CommyRule *rule)
{
  static const char *const keys[]
      = { "services", "methods", "topics", "keys",   "operations",   "hours",
          "days",     "until",   "from",   "groups", "min-security", "attributes" };
  g_autoptr (GString) text = g_string_new (NULL);

  for (gsize i = 0; i < G_N_ELEMENTS (keys); i++)
    if (!g_str_equal (commy_config_get_origin (self->config, rule->group, keys[i]), "default"))
      g_string_append_printf (text, "%s%s=%s", text->len > 0 ? " " : "", keys[i],
                              commy_config_get (self->config, rule->group, keys[i]));
  return g_string_free (g_steal_pointer (&text), FALSE);
}

static char *
dup_who (CommyPolicy *self, const CommyRule *rule)
{
  const char *principals = commy_config_get (self->config, rule->group, "principals");
  const char *roles = commy_config_get (self->config, rule->group, "roles");
  gboolean has_roles = roles != NULL && *roles != '\0';

  if (principals == NULL || *principals == '\0')
    return g_strdup_printf ("roles %s", roles);
  return g_strconcat (principals, has_roles ? ", roles " : NULL, roles, NULL);
}

/* Of principals anybody may have one; roles may have no members. */
static gboolean
fits_nobody (CommyPolicy *self, const CommyRule *rule, guint number)
{
  const char *principals = commy_config_get (self->config, rule->group, "principals");

  if (principals != NULL && *principals != '\0')
    return FALSE;
  for (guint i = 0; i < self->roles->len; i++)
    {
      const CommyRole *role = self->roles->pdata[i];
      const char *members = commy_config_get (self->config, role->group, "members");

      if (members != NULL && *members != '\0' && commy_bit (role->rules, number))
        return FALSE;
    }
  return TRUE;
}

GVariant *
commy_policy_list (CommyPolicy *self)
{
  GVariantBuilder rows;

  g_variant_builder_init (&rows, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < self->rules->len; i++)
    {
      const CommyRule *rule = self->rules->pdata[i];
      g_autofree char *who = dup_who (self, rule);
      g_autofree char *limits = dup_limits (self, rule);

      g_variant_builder_open (&rows, G_VARIANT_TYPE_VARDICT);
      add_text (&rows, "rule", rule->name);
      add_text (&rows, "effect", rule->allow ? "allow" : "deny");
      add_text (&rows, "mode", rule->on_trial || self->on_trial ? "observe" : "enforce");
      add_text (&rows, "verbs", commy_config_get (self->config, rule->group, "verbs"));
      add_text (&rows, "who", who);
      add_text (&rows, "limits", limits);
      add_text (&rows, "origin", rule->origin);
      if (fits_nobody (self, rule, i))
        add_text (&rows, "idle", "fits nobody: its roles have no members");
      g_variant_builder_close (&rows);
    }
  return g_variant_builder_end (&rows);
}

/* What of the request is not what the rule is about; NULL: all of it is. */
static const char *
misfit (const CommyFit *fit, guint number)
{
  if (!commy_bit (fit->verb, number))
    return "is about other verbs";
  if (!commy_bit (fit->who, number))
    return "is about other principals";
  if (!commy_bit (fit->what, number))
    return fit->asked == COMMY_VERB_CALL || fit->asked == COMMY_VERB_OFFER
               ? "is about other services"
           : fit->asked == COMMY_VERB_CONTROL                         ? "is about other operations"
           : (fit->asked & (COMMY_VERB_READ | COMMY_VERB_WRITE)) != 0 ? "is about other keys"
                                                                      : "is about other topics";
  if (fit->has_method && !commy_bit (fit->how, number))
    return "is about other methods";
  return NULL;
}

/* Whether the rule decides, and why, or why not. */
static gboolean
look_at (CommyPolicy *self, const CommyFit *fit, guint number, CommyKnown *known, char **out_why)
{
  const CommyRule *rule = self->rules->pdata[number];
  const char *why = misfit (fit, number);
  const char *key;

  if (why != NULL)
    *out_why = g_strdup (why);
  else if (!commy_rule_speaks (self, rule, known, &key))
    *out_why = g_strdup_printf ("%s=%s does not hold", key,
                                commy_config_get (self->config, rule->group, key));
  else if (rule->on_trial)
    *out_why = g_strdup_printf ("would %s: it is on trial (mode=observe)",
                                rule->allow ? "allow" : "deny");
  else
    {
      *out_why = g_strdup (rule->asks    ? "allows what the engine allows"
                           : rule->allow ? "allows"
                                         : "denies");
      return TRUE;
    }
  return FALSE;
}

static void
add_steps (CommyPolicy *self,
           const CommyPolicyRequest *request,
           const CommyFit *fit,
           GVariantBuilder *record)
{
  gboolean decided = FALSE;
  GVariantBuilder steps;
  CommyKnown known;

  commy_known_init (&known, request);
  g_variant_builder_init (&steps, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = self->rules->len; i-- > 0 && !decided;)
    {
      const CommyRule *rule = self->rules->pdata[i];
      g_autofree char *why = NULL;

      decided = look_at (self, fit, i, &known, &why);
      g_variant_builder_open (&steps, G_VARIANT_TYPE_VARDICT);
      add_text (&steps, "rule", rule->name);
      add_text (&steps, "origin", rule->origin);
      add_text (&steps, "why", why);
      g_variant_builder_add (&steps, "{sv}", "decides", g_variant_new_boolean (decided));
      g_variant_builder_close (&steps);
    }
  g_variant_builder_add (record, "{sv}", "steps", g_variant_builder_end (&steps));
}

static void
add_roles (CommyPolicy *self, const CommyFit *fit, GVariantBuilder *record)
{
  GVariantBuilder roles;

  g_variant_builder_init (&roles, G_VARIANT_TYPE_STRING_ARRAY);
  for (guint i = 0; i < self->roles->len; i++)
    if (commy_bit (fit->who, self->n_words * 64 + i))
      g_variant_builder_add (&roles, "s", ((const CommyRole *) self->roles->pdata[i])->name);
  g_variant_builder_add (record, "{sv}", "roles", g_variant_builder_end (&roles));
}

/* As channels take its word. */
static void
add_engine (CommyPolicy *self,
            CommyPolicyVerdict *verdict,
            const CommyPolicyWanted *wanted,
            GVariantBuilder *record)
{
  const char *engine = wanted->engine;

  add_text (record, "asks", commy_config_get (self->config, "security", "policy-engine"));
  if (engine == NULL)
    return;
  add_text (record, "engine", *engine != '\0' ? engine : "allows");
  if (wanted->not_told != NULL && wanted->not_told[0] != NULL)
    g_variant_builder_add (record, "{sv}", "not_told", g_variant_new_strv (wanted->not_told, -1));
  if (*engine == '\0')
    return;
  if (verdict->lifts)
    verdict->trial = engine;
  else
    verdict->allowed = FALSE;
}

GVariant *
commy_policy_explain (CommyPolicy *self,
                      const CommyPolicyRequest *request,
                      const CommyPolicyWanted *wanted)
{
  CommyPolicyVerdict verdict = commy_policy_judge (self, request);
  GVariantBuilder record;
  CommyFit fit;

  g_variant_builder_init (&record, G_VARIANT_TYPE_VARDICT);
  if (verdict.asks)
    add_engine (self, &verdict, wanted, &record);
  g_variant_builder_add (&record, "{sv}", "allowed", g_variant_new_boolean (verdict.allowed));
  add_text (&record, "origin", verdict.origin);
  if (verdict.rule != NULL)
    add_text (&record, "rule", verdict.rule);
  if (verdict.trial != NULL)
    add_text (&record, "trial", verdict.trial);
  if (verdict.until_us != G_MAXINT64)
    g_variant_builder_add (&record, "{sv}", "until_us", g_variant_new_int64 (verdict.until_us));
  if (commy_policy_fit (self, request, TRUE, &fit))
    {
      add_roles (self, &fit, &record);
      add_steps (self, request, &fit, &record);
    }
  if (wanted->why_not && !verdict.allowed)
    g_variant_builder_add (&record, "{sv}", "why_not",
                           commy_policy_why_not (self, request, &verdict, wanted->engine));
  return g_variant_builder_end (&record);
}
