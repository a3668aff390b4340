/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The inside of a compiled policy, for its files. A rule is a bit; each index says of a text for
 * which rules it fits, and what all of them say is what all of a request fits.
 */
#pragma once

#include "security/commy-glob-index.h"
#include "security/commy-policy.h"

#define COMMY_POLICY_WORDS (COMMY_POLICY_RULES_MAX / 64)
#define COMMY_POLICY_ROLE_WORDS (COMMY_POLICY_ROLES_MAX / 64)
#define COMMY_POLICY_VERBS 7

/* What rules are about, each with patterns of its own. */
typedef enum
{
  COMMY_ABOUT_SERVICES,
  COMMY_ABOUT_TOPICS,
  COMMY_ABOUT_KEYS,
  COMMY_ABOUT_OPERATIONS,
  COMMY_ABOUT_METHODS,
  COMMY_ABOUT_LAST
} CommyAbout;

typedef struct
{
  const char *group; /* interned */
  const char *name;  /* in it */
  char *origin;
  gboolean allow;
  gboolean on_trial;
  gboolean asks; /* allows what an engine allows, too */
  gboolean is_conditional;
  CommyCondition condition;
  guint16 *attributes; /* numbers of patterns: each has to be there */
  guint n_attributes;
  guint verbs;
} CommyRule;

typedef struct
{
  const char *group;   /* interned */
  const char *name;    /* in it */
  GPtrArray *inherits; /* CommyRole */
  gboolean is_visited, is_open;
  guint depth;
  guint64 *rules; /* bits of those that speak of it, or of what it inherits */
} CommyRole;

struct _CommyPolicy
{
  gatomicrefcount ref_count;
  CommyConfig *config; /* what it was made from; for who wants to know */
  char **own; /* names, exact: they come from certificates, where '*' is only a character */
  gboolean on_trial;
  GPtrArray *rules; /* CommyRule, in order */
  GPtrArray *roles; /* CommyRole */
  GHashTable *role_by_name;
  guint n_words, n_role_words;
  CommyGlobIndex *principals; /* bits of rules, then, from n_words * 64, of roles */
  CommyGlobIndex *about[COMMY_ABOUT_LAST];
  CommyGlobIndex *attributes; /* bits of rules whose first fits, then, from n_words * 64, of all */
  guint n_attribute_words;
  GHashTable *attribute_numbers;     /* pattern -> its number; NULL once compiled */
  guint64 needs[COMMY_POLICY_WORDS]; /* rules that name any */
  guint64 verbs[COMMY_POLICY_VERBS][COMMY_POLICY_WORDS]; /* rules that are about one */
};

/* What of a request fits which rules. */
typedef struct
{
  guint64 who[COMMY_POLICY_WORDS + COMMY_POLICY_ROLE_WORDS];
  guint64 what[COMMY_POLICY_WORDS];
  guint64 how[COMMY_POLICY_WORDS]; /* if @has_method */
  const guint64 *verb;
  CommyVerb asked; /* of the rules: subscribe and publish for topics */
  gboolean has_method;
} CommyFit;

/* What conditions are held against, and what was found out of it so far. */
typedef struct
{
  const CommyPolicyRequest *request;
  CommyMoment moment;
  gint64 until_us;     /* becomes less where the answer would be another one then */
  gboolean is_matched; /* @fitting is known */
  guint64 fitting[COMMY_POLICY_WORDS + COMMY_POLICY_ATTRIBUTES_MAX / 64];
} CommyKnown;

static inline void
commy_known_init (CommyKnown *known, const CommyPolicyRequest *request)
{
  known->request = request;
  known->moment = (CommyMoment){ .wall_us = request->wall_us };
  known->until_us = G_MAXINT64;
  known->is_matched = FALSE;
}

static inline gboolean
commy_bit (const guint64 *bits, guint number)
{
  return (bits[number / 64] >> number % 64 & 1) != 0;
}

static inline void
commy_set_bit (guint64 *bits, guint number)
{
  bits[number / 64] |= G_GUINT64_CONSTANT (1) << number % 64;
}

/* Whether a request is text at all, and what fits. @method_matters: FALSE asks for any. */
gboolean commy_policy_fit (CommyPolicy *policy,
                           const CommyPolicyRequest *request,
                           gboolean method_matters,
                           CommyFit *out_fit);
gboolean commy_policy_is_own (CommyPolicy *policy, const CommyPolicyRequest *request);
/* Whether the conditions of a rule let it speak; if not, @out_key is one that does not hold. */
gboolean commy_rule_speaks (CommyPolicy *policy,
                            const CommyRule *rule,
                            CommyKnown *known,
                            const char **out_key);
/* Whether what is on trial as a whole allows it all the same. */
gboolean commy_policy_lifts (CommyPolicy *policy, CommyVerb verb, gboolean own);

/* commy-policy-attribute.c */
/* Reads "attributes" of a rule. */
gboolean commy_policy_read_attributes (CommyPolicy *policy, CommyRule *rule, GError **error);
CommyHolds
commy_policy_check_attributes (CommyPolicy *policy, const CommyRule *rule, CommyKnown *known);
/* Adds all patterns to the index, once all rules are read. */
void commy_policy_index_attributes (CommyPolicy *policy);
/* Of the rules @rules of a word those of which the first attribute is there, or not known. */
guint64 commy_policy_sift (CommyPolicy *policy, CommyKnown *known, guint word, guint64 rules);
/* (transfer full): the patterns that nothing fits; NULL: all do, or nobody knows. */
char *commy_policy_dup_missing (CommyPolicy *policy, const CommyRule *rule, CommyKnown *known);

/* commy-policy-why-not.c: aa{sv} of the rules that nearly allow what is denied, the closest first.
 * Floating. @engine: (nullable): why the engine denies it. */
GVariant *commy_policy_why_not (CommyPolicy *policy,
                                const CommyPolicyRequest *request,
                                const CommyPolicyVerdict *verdict,
                                const char *engine);

/* commy-policy-compile.c */
/* "LINE: [GROUP] ..." */
void commy_policy_complain (CommyConfig *config,
                            const char *group,
                            const char *key,
                            GError **error,
                            const char *format,
                            ...) G_GNUC_PRINTF (5, 6);

/* commy-policy-role.c */
/* Reads all roles: each knows what it inherits, nothing in a circle. */
gboolean commy_policy_read_roles (CommyPolicy *policy, GError **error);
/* Adds members of roles to the index of principals, and what a role inherits to its rules. */
void commy_policy_index_roles (CommyPolicy *policy);
void commy_role_free (gpointer role);
/* Reads the addresses of [network-group NAME] into a condition; @group and @key name it. */
gboolean commy_policy_read_network_groups (CommyConfig *config,
                                           const char *group,
                                           CommyCondition *condition,
                                           GError **error);
gboolean commy_policy_read_networks (CommyConfig *config,
                                     const char *group,
                                     const char *key,
                                     GArray *networks,
                                     gboolean *out_local,
                                     GError **error);
