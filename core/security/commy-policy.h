/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Principals, and the compiled table that says who may call, offer, read, write and control what.
 * Every call is decided here, on every path. Immutable after compiling; shared between threads.
 *
 * Keyfile: groups [policy NAME] in order of layer and line, the last that matches wins. It is about
 * principals and roles, verbs, and what these are about ("*" where nothing is said): services and
 * methods of a call, topics, keys of the store, operations of a node; and all its conditions hold:
 * of time, of the path, and of what the principal proved besides its name.
 * What is no UTF-8 is denied. A rule with mode=observe decides nothing: what it would deny is told.
 * With no group that matches: allowed for one's own user (the node's own principals, and whom
 * their provider takes for the same user on another host), denied for everybody else.
 */
#pragma once

#include "config/commy-config.h"
#include "security/commy-condition.h"

#include <commy/commy-service.h>

/* (transfer full) */
CommyPrincipal *commy_principal_new (const char *name, const char *provider);
/* Its provider says that it is this node's own user, if under another name: on another host.
 * Before others see it. */
void commy_principal_set_own (CommyPrincipal *principal);
gboolean commy_principal_is_own (CommyPrincipal *principal);
/* What else it proved: further principals of its chain, or "scope=WORD". Before others see it. */
void commy_principal_add_attribute (CommyPrincipal *principal, const char *attribute);
/* By name and by attributes. */
gboolean commy_principal_is_same (CommyPrincipal *principal, CommyPrincipal *other);

typedef enum
{
  COMMY_VERB_CALL = 1 << 0,
  COMMY_VERB_OFFER = 1 << 1,
  COMMY_VERB_SUBSCRIBE = 1 << 2, /* in rules: a call of "topic:NAME" */
  COMMY_VERB_PUBLISH = 1 << 3,   /* in rules: an offer of it */
  COMMY_VERB_READ = 1 << 4,      /* keys of the store */
  COMMY_VERB_WRITE = 1 << 5,
  COMMY_VERB_CONTROL = 1 << 6, /* what a node can be told to do */
} CommyVerb;

#define COMMY_POLICY_RULES_MAX 4096u
#define COMMY_POLICY_ROLES_MAX 1024u
#define COMMY_POLICY_NETWORKS_MAX 1024u   /* of one rule */
#define COMMY_POLICY_DEPTH_MAX 8u         /* of roles that inherit */
#define COMMY_POLICY_ATTRIBUTES_MAX 4096u /* patterns of all rules */

typedef struct _CommyPolicy CommyPolicy;

/* What is asked. Nothing of it is kept. */
typedef struct
{
  CommyVerb verb; /* one of call, offer, read, write, control */
  const char *principal;
  gboolean own;                  /* its provider says so; names of one's own are found without */
  const char *resource;          /* a service or "topic:NAME", a key, an operation */
  const char *method;            /* of a call */
  const CommyPolicyPath *path;   /* NULL: not known */
  const char *const *attributes; /* what else was proved, up to NULL; NULL: not known */
  gint64 wall_us;                /* since 1970; 0: not known */
} CommyPolicyRequest;

typedef struct
{
  gboolean allowed;
  const char *origin; /* keyfile line, or "default: own user" / "default: other principal" */
  const char *rule;   /* name of the group, or NULL */
  gint64 until_us;    /* the answer may be another one from then on; G_MAXINT64: it is not */
  const char *trial;  /* allowed, but denied by what is on trial: its line; or NULL */
  gboolean asks;      /* allowed, if an engine allows it, too */
  gboolean lifts;     /* and what that denies is on trial */
} CommyPolicyVerdict;

/* @own: the names that count as "own user", exact ("unix:uid=1000", "spiffe://dom/host/H/user/U");
 * NULL: none. */
CommyPolicy *commy_policy_compile (CommyConfig *config, const char *const *own, GError **error);
CommyPolicy *commy_policy_ref (CommyPolicy *policy);
void commy_policy_unref (CommyPolicy *policy);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyPolicy, commy_policy_unref)

/* A condition of which something is not known does not let a rule allow, and lets it deny.
 * Strings in the verdict live as long as the policy. */
CommyPolicyVerdict commy_policy_judge (CommyPolicy *policy, const CommyPolicyRequest *request);

/* The same where neither time nor path are known. @method is NULL for what is no call. */
CommyPolicyVerdict commy_policy_decide (CommyPolicy *policy,
                                        CommyVerb verb,
                                        const char *principal,
                                        const char *service,
                                        const char *method);

/* Whether there is any method of @service that @principal might be allowed to call: for the
 * door. A no is certain; a yes is decided method by method. */
gboolean
commy_policy_may_call_any (CommyPolicy *policy, const char *principal, const char *service);

/* Whether any rule is about the verb, as rules write it. */
gboolean commy_policy_is_about (CommyPolicy *policy, CommyVerb verb);

/* --- for people --- */

/* aa{sv} of the rules in order. Floating. */
GVariant *commy_policy_list (CommyPolicy *policy);
typedef struct
{
  const char *engine; /* why it denies what a rule asks it about; "": it allows; NULL: it was
                         not asked */
  const char *const
      *not_told;    /* of what the engine knows nothing that it would be told of a call */
  gboolean why_not; /* what would have allowed it is wanted as well */
} CommyPolicyWanted;

/* What was looked at and what came of it: an a{sv}. Floating. */
GVariant *commy_policy_explain (CommyPolicy *policy,
                                const CommyPolicyRequest *request,
                                const CommyPolicyWanted *wanted);
/* Verb and resource as people write them: "call" "org.example.A/Get", "publish" "topic:a.b", "read"
 * "key:a/b", "control" "control:drain". Points into @resource; @out_service (transfer full) holds
 * what had to be cut. */
gboolean commy_policy_request_read (const char *verb,
                                    const char *resource,
                                    CommyPolicyRequest *out_request,
                                    char **out_service,
                                    GError **error);
