/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From keyfiles to a policy: rules are read and checked, and put into the indexes. What is wrong
 * is named with its line, and nothing is left half made.
 */
#include "config.h"

#include "security/commy-policy-private.h"

#include "base/commy-error-private.h"
#include "route/commy-route.h"

#include <stdarg.h>
#include <string.h>

#define POLICY "policy "

void
commy_policy_complain (CommyConfig *config,
                       const char *group,
                       const char *key,
                       GError **error,
                       const char *format,
                       ...)
{
  const char *origin = commy_config_get_origin (config, group, key);
  g_autofree char *text = NULL;
  va_list arguments;

  if (g_str_equal (origin, "default"))
    origin = commy_config_get_origin (config, group, NULL);
  va_start (arguments, format);
  text = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  commy_set_error (error, COMMY_ERROR_CONFIG_VALUE, "%s: [%s] %s", origin, group, text);
}

/* --- one rule --- */

static gboolean
is_empty (CommyConfig *config, const char *group, const char *key)
{
  const char *value = commy_config_get (config, group, key);

  return value == NULL || *value == '\0';
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
    { "keys", "write keys=PATTERN;... (\"*\" for all)" },
    { "operations", "write operations=PATTERN;... (\"*\" for all)" },
    { "verbs",
      "write verbs=call;..., out of call, offer, subscribe, publish, read, write, control" },
    { "effect", "add effect=allow or effect=deny" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (needed); i++)
    {
      if (!is_empty (config, group, needed[i].key)
          || (i == 0 && !is_empty (config, group, "roles")))
        continue;
      commy_policy_complain (config, group, needed[i].key, error, "has no %s; %s", needed[i].key,
                             needed[i].remedy);
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
    { "call", COMMY_VERB_CALL },           { "offer", COMMY_VERB_OFFER },
    { "subscribe", COMMY_VERB_SUBSCRIBE }, { "publish", COMMY_VERB_PUBLISH },
    { "read", COMMY_VERB_READ },           { "write", COMMY_VERB_WRITE },
    { "control", COMMY_VERB_CONTROL },
  };
  guint verbs = 0;

  for (gsize i = 0; i < G_N_ELEMENTS (all); i++)
    if (g_strv_contains (words, all[i].word))
      verbs |= all[i].verb;
  return verbs;
}

/* A rule that names topics and says nothing of verbs would be one about all calls. */
static gboolean
check_verbs (CommyConfig *config, const char *group, guint verbs, GError **error)
{
  static const struct
  {
    const char *key;
    guint verbs;
    const char *names;
  } all[] = {
    { "services", COMMY_VERB_CALL | COMMY_VERB_OFFER, "call;offer" },
    { "methods", COMMY_VERB_CALL, "call" },
    { "topics", COMMY_VERB_SUBSCRIBE | COMMY_VERB_PUBLISH, "subscribe;publish" },
    { "keys", COMMY_VERB_READ | COMMY_VERB_WRITE, "read;write" },
    { "operations", COMMY_VERB_CONTROL, "control" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (all); i++)
    {
      const char *key = all[i].key;

      if ((verbs & all[i].verbs) != 0 || g_str_equal (commy_config_get (config, group, key), "*")
          || g_str_equal (commy_config_get_origin (config, group, key), "default"))
        continue;
      commy_policy_complain (config, group, key, error,
                             "has %s, which none of its verbs looks at (verbs=%s): add "
                             "verbs=%s, or take %s out",
                             key, commy_config_get (config, group, "verbs"), all[i].names, key);
      return FALSE;
    }
  return TRUE;
}

/* A floor under a deny would be a hole: what lies below it would not be denied. */
static gboolean
read_security (CommyConfig *config, CommyRule *rule, GError **error)
{
  const char *level = commy_config_get (config, rule->group, "min-security");

  if (level == NULL)
    return TRUE;
  if (!rule->allow)
    {
      commy_policy_complain (config, rule->group, "min-security", error,
                             "denies, and has a min-security: put that into a rule with "
                             "effect=allow behind it");
      return FALSE;
    }
  return commy_security_parse (level, &rule->condition.min_security);
}

static gboolean
read_time (CommyConfig *config, CommyRule *rule, GError **error)
{
  const char *hours = commy_config_get (config, rule->group, "hours");
  const char *until = commy_config_get (config, rule->group, "until");
  g_auto (GStrv) days = commy_config_get_list (config, rule->group, "days");
  CommyCondition *condition = &rule->condition;

  if (hours != NULL && *hours != '\0'
      && !commy_condition_parse_hours (hours, &condition->begin, &condition->end))
    {
      commy_policy_complain (config, rule->group, "hours", error,
                             "hours: \"%s\" is no part of a day; write 08:00-18:00", hours);
      return FALSE;
    }
  if (until != NULL && *until != '\0' && !commy_condition_parse_until (until, &condition->until_us))
    {
      commy_policy_complain (config, rule->group, "until", error,
                             "until: \"%s\" is no date; write 2026-12-31 or 2026-12-31T12:00:00Z",
                             until);
      return FALSE;
    }
  for (char **day = days; *day != NULL; day++)
    if (!commy_condition_parse_days (*day, &condition->days))
      {
        commy_policy_complain (config, rule->group, "days", error,
                               "days: \"%s\" is no day; write mon-fri;sun", *day);
        return FALSE;
      }
  return TRUE;
}

static gboolean
read_condition (CommyConfig *config, CommyRule *rule, GError **error)
{
  CommyCondition *condition = &rule->condition;

  condition->has_from = !is_empty (config, rule->group, "from");
  if (!read_security (config, rule, error) || !read_time (config, rule, error)
      || !commy_policy_read_networks (config, rule->group, "from", condition->from,
                                      &condition->from_local, error)
      || !commy_policy_read_network_groups (config, rule->group, condition, error))
    return FALSE;
  rule->is_conditional = condition->has_from || condition->has_groups || condition->days != 0
                         || condition->begin != condition->end || condition->min_security > 0
                         || condition->until_us != G_MAXINT64;
  return TRUE;
}

/* It is asked about calls, of methods and of what publishes topics; nothing else can wait. */
static gboolean
read_engine (CommyConfig *config, CommyRule *rule, GError **error)
{
  const char *ask = commy_config_get (config, rule->group, "ask");
  const char *why = NULL;

  rule->asks = g_strcmp0 (ask, "engine") == 0;
  if (!rule->asks)
    return TRUE;
  if (!rule->allow)
    why = "denies: an engine is only asked whether what a rule allows is allowed";
  else if ((rule->verbs & ~(guint) (COMMY_VERB_CALL | COMMY_VERB_SUBSCRIBE)) != 0)
    why = "is about more than call and subscribe: put the other verbs into a rule of their own";
  else if (is_empty (config, "security", "policy-engine"))
    why = "there is none: write policy-engine=ID into [security]";
  if (why == NULL)
    return TRUE;
  commy_policy_complain (config, rule->group, "ask", error, "asks an engine, and %s", why);
  return FALSE;
}

static void
rule_free (gpointer data)
{
  CommyRule *rule = data;

  commy_condition_clear (&rule->condition);
  g_free (rule->attributes);
  g_free (rule->origin);
  g_free (rule);
}

static CommyRule *
read_rule (CommyPolicy *self, const char *group, GError **error)
{
  g_auto (GStrv) verbs = NULL;
  CommyRule *rule;

  if (!check_keys (self->config, group, error))
    return NULL;
  verbs = commy_config_get_list (self->config, group, "verbs");
  if (!check_verbs (self->config, group, read_verbs ((const char *const *) verbs), error))
    return NULL;
  rule = g_new0 (CommyRule, 1);
  rule->group = group;
  rule->name = group + strlen (POLICY);
  rule->origin = g_strdup (commy_config_get_origin (self->config, group, "effect"));
  rule->allow = g_str_equal (commy_config_get (self->config, group, "effect"), "allow");
  rule->on_trial = g_str_equal (commy_config_get (self->config, group, "mode"), "observe");
  rule->verbs = read_verbs ((const char *const *) verbs);
  commy_condition_init (&rule->condition);
  if (read_engine (self->config, rule, error) && read_condition (self->config, rule, error)
      && commy_policy_read_attributes (self, rule, error))
    return rule;
  rule_free (rule);
  return NULL;
}

/* --- all rules --- */

static gboolean
index_roles_of (CommyPolicy *self, const CommyRule *rule, guint number, GError **error)
{
  g_auto (GStrv) names = commy_config_get_list (self->config, rule->group, "roles");

  for (char **name = names; *name != NULL; name++)
    {
      CommyRole *role = g_hash_table_lookup (self->role_by_name, *name);

      if (role == NULL)
        {
          commy_policy_complain (self->config, rule->group, "roles", error,
                                 "speaks of \"%s\", which is no role: add [role %s]", *name, *name);
          return FALSE;
        }
      commy_set_bit (role->rules, number);
    }
  return TRUE;
}

static void
index_key (
    CommyPolicy *self, CommyGlobIndex *index, const CommyRule *rule, const char *key, guint number)
{
  g_auto (GStrv) globs = commy_config_get_list (self->config, rule->group, key);

  for (char **glob = globs; *glob != NULL; glob++)
    commy_glob_index_add (index, *glob, number);
}

static gboolean
index_rule (CommyPolicy *self, const CommyRule *rule, guint number, GError **error)
{
  static const char *const keys[COMMY_ABOUT_LAST] = {
    [COMMY_ABOUT_SERVICES] = "services", [COMMY_ABOUT_TOPICS] = "topics",
    [COMMY_ABOUT_KEYS] = "keys",         [COMMY_ABOUT_OPERATIONS] = "operations",
    [COMMY_ABOUT_METHODS] = "methods",
  };

  for (guint verb = 0; verb < COMMY_POLICY_VERBS; verb++)
    if ((rule->verbs & 1u << verb) != 0)
      commy_set_bit (self->verbs[verb], number);
  for (guint about = 0; about < COMMY_ABOUT_LAST; about++)
    index_key (self, self->about[about], rule, keys[about], number);
  index_key (self, self->principals, rule, "principals", number);
  return index_roles_of (self, rule, number, error);
}

static gboolean
read_rules (CommyPolicy *self, GError **error)
{
  g_autoptr (GPtrArray) groups = commy_config_list_groups (self->config, POLICY);

  if (groups->len > COMMY_POLICY_RULES_MAX)
    {
      commy_policy_complain (
          self->config, groups->pdata[COMMY_POLICY_RULES_MAX], NULL, error,
          "is one rule too many: %u may be; put patterns into one, or principals "
          "into roles",
          COMMY_POLICY_RULES_MAX);
      return FALSE;
    }
  for (guint i = 0; i < groups->len; i++)
    {
      CommyRule *rule = read_rule (self, groups->pdata[i], error);

      if (rule == NULL)
        return FALSE;
      g_ptr_array_add (self->rules, rule);
    }
  self->n_words = (self->rules->len + 63) / 64;
  return TRUE;
}

static gboolean
build_indexes (CommyPolicy *self, GError **error)
{
  self->principals = commy_glob_index_new ();
  for (guint about = 0; about < COMMY_ABOUT_LAST; about++)
    self->about[about] = commy_glob_index_new ();
  for (guint i = 0; i < self->roles->len; i++)
    ((CommyRole *) self->roles->pdata[i])->rules = g_new0 (guint64, MAX (self->n_words, 1));
  for (guint i = 0; i < self->rules->len; i++)
    if (!index_rule (self, self->rules->pdata[i], i, error))
      return FALSE;
  commy_policy_index_roles (self);
  commy_glob_index_seal (self->principals, self->n_words + self->n_role_words);
  commy_policy_index_attributes (self);
  for (guint about = 0; about < COMMY_ABOUT_LAST; about++)
    commy_glob_index_seal (self->about[about], self->n_words);
  return TRUE;
}

CommyPolicy *
commy_policy_compile (CommyConfig *config, const char *const *own, GError **error)
{
  g_autoptr (CommyPolicy) self = g_new0 (CommyPolicy, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->config = commy_config_ref (config);
  self->own = g_strdupv ((char **) own);
  self->rules = g_ptr_array_new_with_free_func (rule_free);
  self->roles = g_ptr_array_new_with_free_func (commy_role_free);
  self->role_by_name = g_hash_table_new (g_str_hash, g_str_equal);
  self->attributes = commy_glob_index_new ();
  self->attribute_numbers = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  self->on_trial = g_str_equal (commy_config_get (config, "security", "policy-mode"), "observe");
  if (!commy_policy_read_roles (self, error) || !read_rules (self, error)
      || !build_indexes (self, error))
    return NULL;
  return g_steal_pointer (&self);
}
