/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The indexed policy against one that looks at rule by rule, over policies and requests of chance;
 * and what must hold of any policy: one more deny never grants.
 */
#include "config.h"

#include "security/commy-glob-index.h"
#include "security/commy-policy.h"

#include <string.h>

#define RULES 150
#define ROLES 12
#define POLICIES 60
#define REQUESTS 400

typedef struct
{
  gboolean allow, on_trial;
  guint verbs;
  GPtrArray *principals, *roles, *services, *methods, *topics, *keys, *operations;
} Rule;

typedef struct
{
  GPtrArray *members;
  GArray *inherits; /* guint, all of them less than its own number */
} Role;

typedef struct
{
  GRand *rand;
  GString *text;
  Rule rules[RULES + 1];
  Role roles[ROLES];
  guint n_rules;
} Model;

static const char *const verb_words[]
    = { "call", "offer", "subscribe", "publish", "read", "write", "control" };

/* --- making --- */

/* Few letters, so that things fit each other often; one of them has two bytes. */
static char *
random_text (GRand *rand, gboolean is_glob)
{
  static const char *const pieces[] = { "a", "b", "ab", ".", "é", "/", "*", "?", "*" };
  GString *text = g_string_new (NULL);
  gint n = g_rand_int_range (rand, is_glob ? 1 : 0, 7);

  for (gint i = 0; i < n; i++)
    g_string_append (text, pieces[g_rand_int_range (rand, 0, is_glob ? 9 : 6)]);
  return g_string_free (text, FALSE);
}

/* Words that no operation is called are refused, patterns are not. */
static char *
make_pattern (char *text)
{
  char *pattern = strpbrk (text, "*?") != NULL ? g_strdup (text) : g_strconcat (text, "*", NULL);

  g_free (text);
  return pattern;
}

/* @key: NULL for what is not written, which fits all. */
static GPtrArray *
random_globs (Model *self, const char *key)
{
  GPtrArray *globs = g_ptr_array_new_with_free_func (g_free);
  gint n = g_rand_int_range (self->rand, 1, 4);

  if (key == NULL)
    {
      g_ptr_array_add (globs, g_strdup ("*"));
      return globs;
    }
  g_string_append_printf (self->text, "%s=", key);
  for (gint i = 0; i < n; i++)
    {
      g_ptr_array_add (globs, g_rand_int_range (self->rand, 0, 4) == 0
                                  ? g_strdup ("*")
                                  : random_text (self->rand, TRUE));
      if (strcmp (key, "operations") == 0)
        globs->pdata[i] = make_pattern (globs->pdata[i]);
      g_string_append_printf (self->text, "%s;", (char *) globs->pdata[i]);
    }
  g_string_append_c (self->text, '\n');
  return globs;
}

static void
make_role (Model *self, guint number)
{
  Role *role = &self->roles[number];

  g_string_append_printf (self->text, "[role r%u]\n", number);
  role->members = random_globs (self, "members");
  role->inherits = g_array_new (FALSE, FALSE, sizeof (guint));
  if (number % 4 == 0)
    return; /* so that none is too deep */
  g_string_append (self->text, "inherits=");
  for (guint other = number - number % 4; other < number; other++)
    if (g_rand_boolean (self->rand))
      {
        g_array_append_val (role->inherits, other);
        g_string_append_printf (self->text, "r%u;", other);
      }
  g_string_append_c (self->text, '\n');
}

/* What none of a rule's verbs looks at may not be in it. */
static GPtrArray *
globs_for (Model *self, const Rule *rule, guint verbs, const char *key)
{
  return random_globs (self, (rule->verbs & verbs) != 0 ? key : NULL);
}

static void
make_rule (Model *self, gboolean only_deny)
{
  Rule *rule = &self->rules[self->n_rules];

  g_string_append_printf (self->text, "[policy p%u]\n", self->n_rules++);
  rule->allow = !only_deny && g_rand_boolean (self->rand);
  rule->on_trial = !only_deny && g_rand_int_range (self->rand, 0, 8) == 0;
  g_string_append_printf (self->text, "effect=%s\nmode=%s\nverbs=", rule->allow ? "allow" : "deny",
                          rule->on_trial ? "observe" : "enforce");
  rule->verbs = (guint) g_rand_int_range (self->rand, 1, 128);
  for (guint verb = 0; verb < G_N_ELEMENTS (verb_words); verb++)
    if ((rule->verbs & 1u << verb) != 0)
      g_string_append_printf (self->text, "%s;", verb_words[verb]);
  g_string_append_c (self->text, '\n');
  rule->principals = random_globs (self, "principals");
  rule->services = globs_for (self, rule, COMMY_VERB_CALL | COMMY_VERB_OFFER, "services");
  rule->methods = globs_for (self, rule, COMMY_VERB_CALL, "methods");
  rule->topics = globs_for (self, rule, COMMY_VERB_SUBSCRIBE | COMMY_VERB_PUBLISH, "topics");
  rule->keys = globs_for (self, rule, COMMY_VERB_READ | COMMY_VERB_WRITE, "keys");
  rule->operations = globs_for (self, rule, COMMY_VERB_CONTROL, "operations");
  rule->roles = g_ptr_array_new ();
  g_string_append (self->text, "roles=");
  for (guint role = 0; role < ROLES; role++)
    if (g_rand_int_range (self->rand, 0, 6) == 0)
      {
        g_ptr_array_add (rule->roles, GUINT_TO_POINTER (role));
        g_string_append_printf (self->text, "r%u;", role);
      }
  g_string_append_c (self->text, '\n');
}

static Model *
model_new (guint32 seed)
{
  Model *self = g_new0 (Model, 1);
  guint n;

  self->rand = g_rand_new_with_seed (seed);
  self->text = g_string_new (NULL);
  for (guint role = 0; role < ROLES; role++)
    make_role (self, role);
  n = (guint) g_rand_int_range (self->rand, 0, RULES);
  for (guint i = 0; i < n; i++)
    make_rule (self, FALSE);
  return self;
}

static void
model_free (Model *self)
{
  for (guint i = 0; i < self->n_rules; i++)
    {
      Rule *rule = &self->rules[i];
      GPtrArray *all[] = { rule->principals, rule->roles, rule->services,  rule->methods,
                           rule->topics,     rule->keys,  rule->operations };

      for (gsize j = 0; j < G_N_ELEMENTS (all); j++)
        g_ptr_array_unref (all[j]);
    }
  for (guint i = 0; i < ROLES; i++)
    {
      g_ptr_array_unref (self->roles[i].members);
      g_array_unref (self->roles[i].inherits);
    }
  g_rand_free (self->rand);
  g_string_free (self->text, TRUE);
  g_free (self);
}

static CommyPolicy *
compile (const GString *text)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyConfig) config = commy_config_load_text (text->str, text->len, "p.conf", &error);
  CommyPolicy *policy = NULL;

  g_assert_no_error (error);
  policy = commy_policy_compile (config, NULL, &error);
  g_assert_no_error (error);
  return policy;
}

/* --- the plain way --- */

static gboolean
any (GPtrArray *globs, const char *text)
{
  for (guint i = 0; i < globs->len; i++)
    if (g_pattern_match_simple (globs->pdata[i], text))
      return TRUE;
  return FALSE;
}

/* Members of a role are members of what it inherits. */
static gboolean
has_role (const Model *self, const char *principal, guint wanted, guint held)
{
  const Role *role = &self->roles[held];

  if (held == wanted)
    return TRUE;
  for (guint i = 0; i < role->inherits->len; i++)
    if (has_role (self, principal, wanted, g_array_index (role->inherits, guint, i)))
      return TRUE;
  return FALSE;
}

static gboolean
is_whom (const Model *self, const Rule *rule, const char *principal)
{
  if (any (rule->principals, principal))
    return TRUE;
  for (guint i = 0; i < rule->roles->len; i++)
    for (guint held = 0; held < ROLES; held++)
      if (any (self->roles[held].members, principal)
          && has_role (self, principal, GPOINTER_TO_UINT (rule->roles->pdata[i]), held))
        return TRUE;
  return FALSE;
}

static gboolean
matches (const Model *self, const Rule *rule, const CommyPolicyRequest *request)
{
  const char *topic = g_str_has_prefix (request->resource, "topic:")
                          ? request->resource + strlen ("topic:")
                          : NULL;

  if (!is_whom (self, rule, request->principal))
    return FALSE;
  switch (request->verb)
    {
    case COMMY_VERB_READ:
    case COMMY_VERB_WRITE:
      return (rule->verbs & request->verb) != 0 && any (rule->keys, request->resource);
    case COMMY_VERB_CONTROL:
      return (rule->verbs & request->verb) != 0 && any (rule->operations, request->resource);
    case COMMY_VERB_OFFER:
      if (topic != NULL)
        return (rule->verbs & COMMY_VERB_PUBLISH) != 0 && any (rule->topics, topic);
      return (rule->verbs & COMMY_VERB_OFFER) != 0 && any (rule->services, request->resource);
    default:
      if (topic != NULL)
        return (rule->verbs & COMMY_VERB_SUBSCRIBE) != 0 && any (rule->topics, topic);
      return (rule->verbs & COMMY_VERB_CALL) != 0 && any (rule->services, request->resource)
             && any (rule->methods, request->method);
    }
}

static int
decide (const Model *self, const CommyPolicyRequest *request)
{
  for (guint i = self->n_rules; i-- > 0;)
    if (!self->rules[i].on_trial && matches (self, &self->rules[i], request))
      return (int) i;
  return -1;
}

/* --- comparing --- */

typedef struct
{
  char *principal, *resource, *method;
  CommyPolicyRequest request;
} Question;

static void
question_make (Question *question, GRand *rand)
{
  static const CommyVerb asked[] = { COMMY_VERB_CALL,  COMMY_VERB_OFFER,   COMMY_VERB_READ,
                                     COMMY_VERB_WRITE, COMMY_VERB_CONTROL, COMMY_VERB_CALL };
  g_autofree char *name = random_text (rand, FALSE);

  question->principal = random_text (rand, FALSE);
  question->resource = g_strconcat (g_rand_int_range (rand, 0, 4) == 0 ? "topic:" : "", name, NULL);
  question->method = random_text (rand, FALSE);
  question->request
      = (CommyPolicyRequest){ .verb = asked[g_rand_int_range (rand, 0, G_N_ELEMENTS (asked))],
                              .principal = question->principal,
                              .own = g_rand_boolean (rand),
                              .resource = question->resource,
                              .method = question->method };
}

static void
question_clear (Question *question)
{
  g_free (question->principal);
  g_free (question->resource);
  g_free (question->method);
}

static void
test_model (void)
{
  for (guint i = 0; i < POLICIES; i++)
    {
      guint32 seed = (guint32) g_test_rand_int ();
      Model *model = model_new (seed);
      g_autoptr (CommyPolicy) policy = compile (model->text);

      g_test_message ("seed %u, %u rules", seed, model->n_rules);
      for (guint n = 0; n < REQUESTS; n++)
        {
          Question question;
          CommyPolicyVerdict verdict;
          g_autofree char *rule = NULL;
          int number;

          question_make (&question, model->rand);
          verdict = commy_policy_judge (policy, &question.request);
          number = decide (model, &question.request);
          rule = number >= 0 ? g_strdup_printf ("p%d", number) : NULL;
          g_assert_cmpstr (verdict.rule, ==, rule);
          g_assert_true (verdict.allowed
                         == (number >= 0 ? model->rules[number].allow : question.request.own));
          if (question.request.verb == COMMY_VERB_CALL && verdict.allowed && !question.request.own)
            g_assert_true (
                commy_policy_may_call_any (policy, question.principal, question.resource));
          question_clear (&question);
        }
      model_free (model);
    }
}

static void
test_deny_never_grants (void)
{
  for (guint i = 0; i < POLICIES; i++)
    {
      guint32 seed = (guint32) g_test_rand_int ();
      Model *model = model_new (seed);
      g_autoptr (CommyPolicy) before = compile (model->text);
      g_autoptr (CommyPolicy) after = NULL;

      make_rule (model, TRUE);
      after = compile (model->text);
      for (guint n = 0; n < REQUESTS; n++)
        {
          Question question;

          question_make (&question, model->rand);
          if (commy_policy_judge (after, &question.request).allowed)
            g_assert_true (commy_policy_judge (before, &question.request).allowed);
          question_clear (&question);
        }
      model_free (model);
    }
}

/* --- the index alone --- */

static void
test_globs (void)
{
  guint32 seed = (guint32) g_test_rand_int ();
  g_autoptr (GRand) rand = g_rand_new_with_seed (seed);

  g_test_message ("seed %u", seed);
  for (guint round = 0; round < POLICIES; round++)
    {
      g_autoptr (CommyGlobIndex) index = commy_glob_index_new ();
      g_autoptr (GPtrArray) globs = g_ptr_array_new_with_free_func (g_free);

      for (guint i = 0; i < 256; i++)
        {
          g_ptr_array_add (globs, random_text (rand, TRUE));
          commy_glob_index_add (index, globs->pdata[i], i);
        }
      commy_glob_index_seal (index, 4);
      for (guint n = 0; n < REQUESTS; n++)
        {
          g_autofree char *text = random_text (rand, FALSE);
          guint64 bits[4] = { 0 };

          commy_glob_index_match (index, text, bits);
          for (guint i = 0; i < 256; i++)
            g_assert_cmpint ((int) (bits[i / 64] >> i % 64 & 1), ==,
                             g_pattern_match_simple (globs->pdata[i], text));
        }
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/policy/index-finds-what-a-look-at-each-pattern-finds", test_globs);
  g_test_add_func ("/policy/decides-as-a-look-at-each-rule-does", test_model);
  g_test_add_func ("/policy/one-more-deny-never-grants", test_deny_never_grants);
  return g_test_run ();
}
