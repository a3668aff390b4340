/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Of a request that is denied: which rules would have allowed it, but for what, and what to write
 * for that. The closest first. Decides nothing.
 */
#include "config.h"

#include "security/commy-policy-private.h"

#include <string.h>

#define NEAR_MAX 2u   /* conditions that a rule may miss and still be near */
#define RULES_MAX 16u /* that are told of */
#define MISSING_MAX 12u

typedef struct
{
  const char *condition;
  char *is; /* what the rule says */
  char *add;
} Missing;

typedef struct
{
  const CommyRule *rule;
  guint number;
  Missing missing[MISSING_MAX];
  guint n;
} Near;

static void
near_clear (Near *self)
{
  for (guint i = 0; i < self->n; i++)
    {
      g_free (self->missing[i].is);
      g_free (self->missing[i].add);
    }
  self->n = 0;
}

static void
near_free (gpointer data)
{
  near_clear (data);
  g_free (data);
}

/* Takes @add. */
static void
miss (Near *self, const char *condition, const char *is, char *add)
{
  if (self->n < MISSING_MAX)
    self->missing[self->n++] = (Missing){ condition, g_strdup (is != NULL ? is : ""), add };
  else
    g_free (add);
}

static const char *
value_of (CommyPolicy *policy, const CommyRule *rule, const char *key)
{
  const char *value = commy_config_get (policy->config, rule->group, key);

  return value != NULL ? value : "";
}

/* --- what a request is about --- */

/* The word of the verb as rules write it, and the key of what it is about. */
static const char *
verb_word (CommyVerb asked, const char **out_key)
{
  static const struct
  {
    CommyVerb verb;
    const char *word, *key;
  } all[] = {
    { COMMY_VERB_CALL, "call", "services" },
    { COMMY_VERB_OFFER, "offer", "services" },
    { COMMY_VERB_SUBSCRIBE, "subscribe", "topics" },
    { COMMY_VERB_PUBLISH, "publish", "topics" },
    { COMMY_VERB_READ, "read", "keys" },
    { COMMY_VERB_WRITE, "write", "keys" },
    { COMMY_VERB_CONTROL, "control", "operations" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (all); i++)
    if (all[i].verb == asked)
      {
        *out_key = all[i].key;
        return all[i].word;
      }
  *out_key = "services";
  return "call";
}

/* A rule about topics, say, has nothing to say of calls, whatever verbs are added. */
static gboolean
is_of_this_kind (const CommyRule *rule, CommyVerb asked)
{
  static const guint kinds[]
      = { COMMY_VERB_CALL | COMMY_VERB_OFFER, COMMY_VERB_SUBSCRIBE | COMMY_VERB_PUBLISH,
          COMMY_VERB_READ | COMMY_VERB_WRITE, COMMY_VERB_CONTROL };

  for (gsize i = 0; i < G_N_ELEMENTS (kinds); i++)
    if ((kinds[i] & asked) != 0)
      return (kinds[i] & rule->verbs) != 0;
  return FALSE;
}

static const char *
bare_resource (const CommyPolicyRequest *request, const char *key)
{
  return g_str_equal (key, "topics") && g_str_has_prefix (request->resource, "topic:")
             ? request->resource + strlen ("topic:")
             : request->resource;
}

/* --- what a rule misses --- */

static void
look_at_who (CommyPolicy *policy,
             const CommyPolicyRequest *request,
             const CommyFit *fit,
             Near *self)
{
  const char *roles = value_of (policy, self->rule, "roles");

  if (commy_bit (fit->who, self->number))
    return;
  if (*roles != '\0')
    miss (self, "role", roles,
          g_strdup_printf ("make it a member of one of these: %s in members= of its [role NAME]",
                           request->principal));
  else
    miss (self, "principal", value_of (policy, self->rule, "principals"),
          g_strdup_printf ("%s in principals=", request->principal));
}

static void
look_at_what (CommyPolicy *policy,
              const CommyPolicyRequest *request,
              const CommyFit *fit,
              Near *self)
{
  const char *key;
  const char *word = verb_word (fit->asked, &key);

  if (!commy_bit (fit->verb, self->number))
    miss (self, "verb", value_of (policy, self->rule, "verbs"),
          g_strdup_printf ("%s in verbs=", word));
  if (!commy_bit (fit->what, self->number))
    miss (self,
          g_str_equal (key, "topics")       ? "topic"
          : g_str_equal (key, "keys")       ? "key"
          : g_str_equal (key, "operations") ? "operation"
                                            : "service",
          value_of (policy, self->rule, key),
          g_strdup_printf ("%s in %s=", bare_resource (request, key), key));
  if (fit->has_method && !commy_bit (fit->how, self->number))
    miss (self, "method", value_of (policy, self->rule, "methods"),
          g_strdup_printf ("%s in methods=", request->method));
}

/* One condition of the rule's at a time: all that fail are told, not the first alone. */
static void
look_at_condition (CommyPolicy *policy,
                   const CommyPolicyRequest *request,
                   const char *name,
                   const char *key,
                   const CommyCondition *alone,
                   const char *add,
                   const char *unknown,
                   Near *self)
{
  CommyMoment moment = { .wall_us = request->wall_us };
  gint64 until_us = G_MAXINT64;
  const char *failed = NULL;
  CommyHolds holds = commy_condition_check (alone, request->path, &moment, &until_us, &failed);

  if (holds != COMMY_HOLDS_YES)
    miss (self, name, value_of (policy, self->rule, key),
          g_strdup (holds == COMMY_HOLDS_UNKNOWN ? unknown : add));
}

static void
look_at_conditions (CommyPolicy *policy, const CommyPolicyRequest *request, Near *self)
{
  static const char from_where[] = "not known here: say --from";
  const CommyCondition *all = &self->rule->condition;
  CommyCondition none, from, groups, hours, days, floor, until;

  if (!self->rule->is_conditional)
    return;
  commy_condition_init (&none);
  from = groups = hours = days = floor = until = none; /* lists are its own, or the rule's */
  from.has_from = all->has_from;
  from.from_local = all->from_local;
  from.from = all->from;
  groups.has_groups = all->has_groups;
  groups.groups_local = all->groups_local;
  groups.groups = all->groups;
  hours.begin = all->begin;
  hours.end = all->end;
  days.days = all->days;
  floor.min_security = all->min_security;
  until.until_us = all->until_us;
  look_at_condition (policy, request, "from", "from", &from, "its address in from=", from_where,
                     self);
  look_at_condition (policy, request, "network group", "groups", &groups,
                     "its address in addresses= of one of these [network-group NAME]", from_where,
                     self);
  look_at_condition (policy, request, "hours", "hours", &hours,
                     "a longer time in hours=", "not known here: say --at", self);
  look_at_condition (policy, request, "days", "days", &days,
                     "the day in days=", "not known here: say --at", self);
  look_at_condition (policy, request, "until", "until", &until,
                     "a later end in until=", "not known here: say --at", self);
  look_at_condition (policy, request, "encryption floor", "min-security", &floor,
                     "a path of this level, as over the network, or a lower min-security=",
                     "not known here: say --security", self);
  commy_condition_clear (&none);
}

static void
look_at_attributes (CommyPolicy *policy, CommyKnown *known, Near *self)
{
  g_autofree char *missing = commy_policy_dup_missing (policy, self->rule, known);
  CommyHolds holds = commy_policy_check_attributes (policy, self->rule, known);

  if (holds != COMMY_HOLDS_YES)
    miss (
        self, "attribute", value_of (policy, self->rule, "attributes"),
        holds == COMMY_HOLDS_UNKNOWN
            ? g_strdup ("not known here: say --attribute")
            : g_strdup_printf ("a token, or whatever else it proves itself by, with %s", missing));
}

/* --- all of them --- */

static gint
compare (gconstpointer one_, gconstpointer other_)
{
  const Near *one = *(Near *const *) one_;
  const Near *other = *(Near *const *) other_;

  if (one->n != other->n)
    return one->n < other->n ? -1 : 1;
  return one->number > other->number ? -1 : 1; /* the later one counts first */
}

/* What else keeps a rule that fits from deciding. */
static void
look_at_place (CommyPolicy *policy,
               const CommyPolicyVerdict *verdict,
               const char *engine,
               guint decides,
               Near *self)
{
  if (self->rule->on_trial)
    miss (self, "mode", "observe", g_strdup ("mode=enforce, or no mode="));
  if (decides != G_MAXUINT && self->number < decides)
    miss (self, "order", verdict->rule,
          g_strdup_printf ("write it behind [policy %s] (%s), which denies", verdict->rule,
                           verdict->origin));
  if (decides == self->number && self->rule->asks && engine != NULL)
    miss (self, "ask=engine", engine,
          g_strdup_printf ("have the policy engine (%s) allow it",
                           commy_config_get (policy->config, "security", "policy-engine")));
}

static guint
find_deciding (CommyPolicy *policy, const CommyPolicyVerdict *verdict)
{
  for (guint i = 0; verdict->rule != NULL && i < policy->rules->len; i++)
    if (((const CommyRule *) policy->rules->pdata[i])->origin == verdict->origin)
      return i;
  return G_MAXUINT;
}

static GPtrArray *
find_near (CommyPolicy *policy,
           const CommyPolicyRequest *request,
           const CommyFit *fit,
           const CommyPolicyVerdict *verdict,
           const char *engine)
{
  GPtrArray *all = g_ptr_array_new_with_free_func (near_free);
  guint decides = find_deciding (policy, verdict);
  CommyKnown known;

  commy_known_init (&known, request);
  for (guint i = 0; i < policy->rules->len; i++)
    {
      const CommyRule *rule = policy->rules->pdata[i];
      Near *near = g_new0 (Near, 1);

      near->rule = rule;
      near->number = i;
      g_ptr_array_add (all, near);
      look_at_who (policy, request, fit, near);
      look_at_what (policy, request, fit, near);
      look_at_conditions (policy, request, near);
      look_at_attributes (policy, &known, near);
      look_at_place (policy, verdict, engine, decides, near);
      if (!rule->allow || !is_of_this_kind (rule, fit->asked) || near->n == 0 || near->n > NEAR_MAX)
        g_ptr_array_remove_index (all, all->len - 1);
    }
  g_ptr_array_sort (all, compare);
  if (all->len > RULES_MAX)
    g_ptr_array_set_size (all, RULES_MAX);
  return all;
}

static void
add_text (GVariantBuilder *record, const char *key, const char *text)
{
  g_variant_builder_add (record, "{sv}", key, g_variant_new_string (text));
}

static GVariant *
describe (const Near *near)
{
  GVariantBuilder record, missing;

  g_variant_builder_init (&missing, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < near->n; i++)
    {
      g_variant_builder_open (&missing, G_VARIANT_TYPE_VARDICT);
      add_text (&missing, "condition", near->missing[i].condition);
      add_text (&missing, "is", near->missing[i].is);
      add_text (&missing, "add", near->missing[i].add);
      g_variant_builder_close (&missing);
    }
  g_variant_builder_init (&record, G_VARIANT_TYPE_VARDICT);
  add_text (&record, "rule", near->rule->name);
  add_text (&record, "origin", near->rule->origin);
  g_variant_builder_add (&record, "{sv}", "missing", g_variant_builder_end (&missing));
  return g_variant_builder_end (&record);
}

GVariant *
commy_policy_why_not (CommyPolicy *policy,
                      const CommyPolicyRequest *request,
                      const CommyPolicyVerdict *verdict,
                      const char *engine)
{
  g_autoptr (GPtrArray) all = NULL;
  GVariantBuilder rows;
  CommyFit fit;

  g_variant_builder_init (&rows, G_VARIANT_TYPE ("aa{sv}"));
  if (commy_policy_fit (policy, request, TRUE, &fit))
    {
      all = find_near (policy, request, &fit, verdict, engine);
      for (guint i = 0; i < all->len; i++)
        g_variant_builder_add_value (&rows, describe (all->pdata[i]));
    }
  return g_variant_builder_end (&rows);
}
