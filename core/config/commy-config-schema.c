/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table of groups and keys.
 */
#include "config.h"

#include "config/commy-config-schema.h"

#include "config/commy-config-health.h"
#include "config/commy-config-locality.h"
#include "config/commy-config-resilience.h"

#include <string.h>

#define OBJECTIVES "latency;throughput;cpu;balanced"
#define SECURITIES "none;kernel;authenticated;confidential;mutual"
#define PREFERENCES "auto;prefer-local;prefer-network;local-only;network-only;list;pin;adaptive"

static const CommyKeySchema commy_keys[] = {
  { "format", WHOLE (INT, 1, 1), "1", "version of the keyfile's format" },
};

static const CommyKeySchema plugins_keys[] = {
  { "path", LIST (PATH), "", "folders that are searched for plugins first" },
  { "user-plugins", PLAIN (BOOL), "false", "search the user's own folders too" },
  { "trust", CHOICE ("owner;hash;any"), "owner", "which plugin files may be loaded" },
  { "allow", LIST (GLOB), "*", "plugins that may be used, as patterns of kind/id" },
  { "deny", LIST (GLOB), "", "plugins that may not be used; wins over allow" },
  { "require", LIST (PLUGIN), "", "plugins without which a mesh is not joined" },
};

static const CommyKeySchema selection_keys[] = {
  { "objective", CHOICE (OBJECTIVES), "latency", "what the best path is best in" },
  { "min-security", CHOICE (SECURITIES), "kernel", "the lowest level of security allowed" },
  { "preference", CHOICE (PREFERENCES), "auto", "which paths are preferred or allowed" },
  { "transports", LIST (ID), "", "transports of the preferences list and pin" },
  { "prefer", LIST (ID), "", "transports in the order that breaks ties" },
  { "tie-band", REAL (SHARE, 0, 1), "2%", "costs this near to each other are a tie" },
  { "switch-margin", REAL (SHARE, 0, 1), "10%", "how much better a rival must be" },
  { "switch-z", REAL (DOUBLE, 0, 10), "2.0", "how many standard deviations better" },
  { "switch-evaluations", WHOLE (INT, 1, 100), "3", "how many times in a row" },
  { "min-dwell", WHOLE (DURATION, 0, HOUR), "50ms", "shortest stay on a path" },
  { "expected-messages", WHOLE (INT, 1, 1000000000), "1000",
    "messages over which the cost of connecting is spread" },
};

static const CommyKeySchema calibration_keys[] = {
  { "mode", CHOICE ("active;passive;frozen;off"), "active", "how claims are measured" },
  { "sample-every", WHOLE (INT, 1, 1 << 20), "64", "one message in so many is timed" },
  { "probe-every", WHOLE (DURATION, 100 * MS, 24 * HOUR), "30s", "between probes of a path" },
  { "probe-time", REAL (SHARE, 0, 0.1), "1%", "most of the time that is spent probing" },
  { "probe-bytes", REAL (RATE, 0, 1e9), "64KiB/s", "most that is sent to probe" },
  { "persist", PLAIN (BOOL), "true", "keep what was measured for the next start" },
};

static const CommyKeySchema plugin_keys[] = {
  { "enabled", PLAIN (BOOL), "true", "whether the plugin may be used" },
  { "bias", REAL (DOUBLE, 0.001, 1000), "1.0", "factor on the plugin's cost" },
  { "hooks", LIST (ID), "", "hooks that are put on the transport, outermost first" },
  { "auth-chain", PLAIN (ID), "", "what callers that come over the transport must prove" },
  { "sha256", PLAIN (SHA256), NULL, "hash of the file, for trust=hash" },
  { "profile.latency", PLAIN (DURATION), NULL, "latency, instead of the plugin's claim" },
  { "profile.bandwidth", REAL (RATE, 1, 1e15), NULL, "bandwidth, instead of the claim" },
  { "profile.send-cpu", PLAIN (DURATION), NULL, "the sender's processor time a message" },
  { "profile.recv-cpu", PLAIN (DURATION), NULL, "the receiver's processor time a message" },
  { "profile.connect", PLAIN (DURATION), NULL, "time to connect" },
  { "param.*", PLAIN (STRING), NULL, "a parameter of the plugin" },
};

static const CommyKeySchema service_keys[] = {
  { "balancer", PLAIN (ID), NULL, "how one of several instances is picked" },
  { "workers", WHOLE (INT, -1, 64), "-1", "threads for its handlers; -1: the program decides" },
  { "timeout", WHOLE (DURATION, 1, 24 * HOUR), "10s", "time for a call that names none" },
  { "objective", CHOICE (OBJECTIVES), NULL, "as in [selection], for calls to this service" },
  { "min-security", CHOICE (SECURITIES), NULL, "as in [selection], for this service" },
  { "preference", CHOICE (PREFERENCES), NULL, "as in [selection], for calls to this service" },
  { "transports", LIST (ID), NULL, "as in [selection], for calls to this service" },
  { "endpoints", LIST (ENDPOINT), NULL, "instances that no store lists" },
  { "interface-check", CHOICE ("strict;warn;off"), "strict",
    "what becomes of instances whose interface does not fit the client's" },
  { "select", PLAIN (SELECTOR), NULL,
    "which instances are called, as words that all must fit: a version (>=2.1), a tag, a pair "
    "(rack:7)" },
  { "version", PLAIN (VERSION), NULL, "of what is offered here, instead of what the program says" },
  { "tags", LIST (TAG), NULL, "of what is offered here, instead of what the program says" },
  { "metadata", LIST (PAIR), NULL,
    "of what is offered here, as KEY:VALUE, instead of what the program says" },
  { "weight", WHOLE (INT, 1, 1000), NULL,
    "of what is offered here, instead of what the program says" },
  COMMY_LOCALITY_KEYS,
  COMMY_SUBSET_KEYS,
  { "warm-paths", WHOLE (INT, 0, 8), "0",
    "paths to other instances that are kept connected, for when the one that is taken fails" },
  { "idle-timeout", WHOLE (DURATION, 0, 24 * HOUR), "0",
    "connections to its instances on which nothing happened for that long are closed, and made "
    "anew by the next call; 0: they stay" },
  { "spare-timeout", WHOLE (DURATION, 0, 24 * HOUR), "1min",
    "a connection on which nothing happened for that long is closed while calls go to the same "
    "instance over another one; 0: it stays" },
  { "depends", LIST (GLOB), NULL, "names of services that what is offered here needs" },
  { "auth-chain", PLAIN (ID), "",
    "[auth-chain NAME] that callers of what is offered here must prove themselves by" },
  { "expect-chain", PLAIN (ID), "",
    "[auth-chain NAME] that instances must prove themselves by when they are called from here" },
  COMMY_RESILIENCE_KEYS,
  COMMY_SERVE_KEYS (COMMY_AS_IT_IS),
  COMMY_SERVE_EACH_KEYS,
  COMMY_HEALTH_KEYS,
};

/* Where one of these is not set, [service NAME] says. */
static const CommyKeySchema method_keys[] = { COMMY_METHOD_KEYS };
static const CommyKeySchema auth_chain_keys[] = {
  { "any", LIST (ID), "",
    "providers of which one must accept the other side, asked in this order" },
  { "require", LIST (ID), "", "providers of which each must accept it" },
  { "same-principal", PLAIN (BOOL), "false",
    "whether what the others accept must be bound to the principal that the first one names" },
};

static const CommyKeySchema mesh_keys[] = {
  { "store", PLAIN (ID), "", "where services are registered" },
  { "balancer", PLAIN (ID), "", "how one of several instances is picked" },
  { "auth", LIST (ID), "", "who is asked, in this order, whom the other side proved to be" },
  { "auth-chain", PLAIN (ID), "",
    "[auth-chain NAME] for callers, where service and transport name none" },
  { "runtime-dir", PLAIN (PATH), "", "folder for sockets; empty: the user's runtime folder" },
  { "state-dir", PLAIN (PATH), "", "folder for state; empty: the user's state folder" },
  { "credentials-dir", PLAIN (PATH), "", "folder of ca.pem, cert.pem and key.pem" },
  { "zone", PLAIN (TAG), "", "the zone this host is in; empty: nobody says" },
  { "region", PLAIN (TAG), "", "the region this host is in; empty: nobody says" },
  { "node-refresh", WHOLE (DURATION, 0, HOUR), "10s",
    "how often it is looked whether a node's load and memory changed; 0: never" },
  { "look-for-host", PLAIN (BOOL), "false",
    "look at all services with a health-check, and tell the other programs of this host what was "
    "found" },
  { "drain-timeout", WHOLE (DURATION, 0, HOUR), "30s",
    "how long a drain waits for calls under way" },
  { "srv-transport", PLAIN (ID), "", "what is spoken to hosts that a DNS SRV record names" },
  { "srv-refresh", WHOLE (DURATION, S, 24 * HOUR), "30s", "how often DNS is asked again" },
};

static const CommyKeySchema wait_keys[] = {
  { "mode", CHOICE ("adaptive;spin;block"), "adaptive", "how a waiting thread waits" },
  { "spin-max", WHOLE (DURATION, 0, S), "50us", "longest time to spin before sleeping" },
};

static const CommyKeySchema limits_keys[] = {
  { "handshake-timeout", WHOLE (DURATION, MS, HOUR), "2s", "time to set up a connection" },
  { "handshakes", WHOLE (INT, 1, 65536), "256", "unfinished handshakes at a time" },
  { "message", WHOLE (SIZE, KIB, GIB), "64MiB", "largest message" },
  { "channels", WHOLE (INT, 1, 1 << 20), "4096", "open channels" },
  { "pending-calls", WHOLE (INT, 1, 1 << 24), "65536", "unanswered calls of one channel" },
  { "streams", WHOLE (INT, 1, 65535), "256", "open streams of one channel" },
  { "stream-window", WHOLE (SIZE, 256 * KIB, GIB), "256KiB", "unread bytes of one stream" },
  { "kept", WHOLE (SIZE, 256 * KIB, GIB), "16MiB",
    "sent bytes of a channel kept until they arrive" },
  { "resume-within", WHOLE (DURATION, MS, HOUR), "5s", "time to find another path for a lost one" },
  { "hung-after", WHOLE (DURATION, 0, HOUR), "2s",
    "silence of a peer that owes something, after which it is hung; 0: never" },
  { "hung", CHOICE ("warn;drop;disconnect"), "warn",
    "a hung peer: only the log is told; what it owes is given up; its channel is closed" },
  { "methods", WHOLE (INT, 1, 65535), "1024", "names of methods remembered for a channel" },
  { "call-timeout", WHOLE (DURATION, 1, 24 * HOUR), "10s", "time for a call that names none" },
  { "services", WHOLE (INT, 1, 1 << 20), "4096", "services that are followed in the store" },
  { "instances", WHOLE (INT, 1, 1 << 20), "65536",
    "instances of one service that are known; also nodes, or instances of all, in a list" },
  { "topics", WHOLE (INT, 1, 1 << 20), "1024", "topics that a mesh's subscriptions follow" },
  { "subscriptions", WHOLE (INT, 1, 1 << 20), "256", "subscriptions of a mesh" },
  { "subscribers", WHOLE (INT, 1, 65535), "1024", "subscribers of one publisher" },
  { "topic-history", WHOLE (INT, 0, 1 << 20), "1024", "publications kept for who comes later" },
  { "topic-depth", WHOLE (INT, 1, 1 << 20), "4096", "publications that wait for a subscriber" },
  { "topic-memory", WHOLE (SIZE, 64 * KIB, GIB), "16MiB",
    "bytes of a publisher's history, and those that wait for a subscriber" },
  { "publish-timeout", WHOLE (DURATION, 0, HOUR), "0s",
    "longest time that subscribers may hold up a publisher that does not say so itself; 0: not at "
    "all" },
  { "health-checks", WHOLE (INT, 1, 1024), "16",
    "looks at instances that are under way at a time" },
  { "health-history", WHOLE (INT, 0, 65536), "256", "changes of health that are remembered" },
  { "health-retention", WHOLE (DURATION, S, 24 * 365 * HOUR), "24h", "and how long" },
};

#define VERBS "call;offer;subscribe;publish;read;write;control"

static const CommyKeySchema policy_keys[] = {
  { "principals", LIST (PRINCIPAL), NULL, "whom the rule is about; or roles" },
  { "roles", LIST (STRING), NULL, "whose members it is about, as [role NAME] says" },
  { "services", LIST (GLOB), "*", "names of services, for call and offer" },
  { "methods", LIST (GLOB), "*", "names of methods, for call" },
  { "verbs", VALUE (CHOICE, .is_list = TRUE, .choices = VERBS), "call", "what they do" },
  { "effect", CHOICE ("allow;deny"), NULL, "what the rule says" },
  { "topics", LIST (GLOB), "*", "names of topics, for subscribe and publish" },
  { "keys", LIST (GLOB), "*", "keys of the store, for read and write" },
  { "operations", LIST (OPERATION), "*", "what a node is told to do, for control" },
  { "mode", CHOICE ("enforce;observe"), "enforce",
    "observe: the rule decides nothing; the log tells what it would deny" },
  { "hours", PLAIN (STRING), NULL, "only then, in local time, as 08:00-18:00" },
  { "days", LIST (STRING), NULL, "only on these, as mon-fri;sun" },
  { "until", PLAIN (STRING), NULL, "not any more after that, as 2026-12-31" },
  { "from", LIST (STRING), NULL,
    "only where the other side has such an address, as 10.1.0.0/16, or local" },
  { "groups", LIST (STRING), NULL, "the same, of [network-group NAME]" },
  { "min-security", CHOICE (SECURITIES), NULL, "only over paths of at least this level" },
  { "attributes", LIST (GLOB), NULL,
    "only who proved each of these besides its name, as scope=deploy or claim:team=ops" },
  { "ask", CHOICE ("nobody;engine"), "nobody",
    "engine: what it allows is allowed if policy-engine of [security] allows it, too" },
};

static const CommyKeySchema role_keys[] = {
  { "members", LIST (PRINCIPAL), "", "principals that have it" },
  { "inherits", LIST (STRING), "", "roles whose rules are about its members, too" },
};

static const CommyKeySchema network_group_keys[] = {
  { "addresses", LIST (STRING), "", "networks, as 10.1.0.0/16 or fd00::/8, and local" },
};

static const CommyKeySchema security_keys[] = {
  { "policy-mode", CHOICE ("enforce;observe"), "enforce",
    "observe: what [policy NAME] would deny is allowed, and told in the log" },
  { "policy-watch", PLAIN (BOOL), "false", "read policy again when a keyfile changes" },
  { "policy-engine", PLAIN (ID), "", "who is asked about calls by rules with ask=engine" },
  { "policy-engine-timeout", WHOLE (DURATION, 10 * MS, 60 * S), "2s",
    "how long a first call waits for its decision" },
  { "policy-engine-cache", WHOLE (DURATION, S, HOUR), "30s", "how long its decision counts" },
  { "policy-engine-keep", WHOLE (DURATION, 0, 24 * HOUR), "0s",
    "how much longer while it gives none; 0: then it is denied" },
  { "proof-check", WHOLE (DURATION, 100 * MS, HOUR), "5s",
    "how often is asked whether the proofs of open connections still hold" },
  { "proof-grace", WHOLE (DURATION, 0, HOUR), "5s",
    "how long a connection stays when its proof has ended" },
  { "deny-list", CHOICE ("required;if-there"), "required",
    "whether a program joins that cannot read in the store who is denied" },
  { "lock-out", WHOLE (DURATION, 100 * MS, HOUR), "1s",
    "how long who failed to prove who it is waits; twice as long after each further failure" },
  { "lock-out-longest", WHOLE (DURATION, 100 * MS, 24 * HOUR), "15min", "and how long at most" },
  { "lock-out-address", WHOLE (INT, 0, 1 << 20), "100",
    "failures from one address of another host within lock-out-longest, whoever failed, after "
    "which proofs from there wait, too; 0: never" },
  { "lock-out-shared", PLAIN (BOOL), "true",
    "whether the other instances are told of it, through the store, and believed" },
};

static const CommyKeySchema audit_keys[] = {
  { "enabled", PLAIN (BOOL), "false", "whether nodes leave an audit trail" },
  { "directory", PLAIN (PATH), "", "folder of the trail; empty: audit in the state folder" },
  { "calls", CHOICE ("none;denied;all"), "denied", "which calls are recorded" },
  { "on-failure", CHOICE ("continue;refuse"), "continue",
    "what cannot be recorded happens all the same, and is counted; or it is refused" },
  { "max-file-size", WHOLE (SIZE, 64 * KIB, 64 * GIB), "64MiB",
    "another file begins at this size" },
  { "max-total-size", WHOLE (SIZE, 0, 1024 * 1024 * GIB), "0",
    "all files together; the oldest closed ones are removed beyond it; 0: no limit" },
  { "retention", WHOLE (DURATION, 0, 87600 * HOUR), "2160h",
    "files that were closed so long ago are removed; 0: never" },
  { "strangers-per-second", WHOLE (INT, 0, 1000000), "1",
    "records that those may cause who proved nothing; more are counted; 0: no limit" },
  { "denied-per-second", WHOLE (INT, 0, 1000000), "10",
    "records that each principal may cause by what it is denied; more are counted; 0: no limit" },
};

static const CommyKeySchema alert_keys[] = {
  COMMY_ALERT_KEYS,
};

static const CommyKeySchema log_keys[] = {
  { "level", CHOICE ("error;warning;message;info;debug"), "message", "the least level logged" },
};

static const CommyKeySchema daemon_keys[] = {
  { "store", PLAIN (ID), "", "the store below, which the daemon serves" },
  { "socket", PLAIN (PATH), "", "where it listens; empty: where programs look for it" },
  { "state-dir", PLAIN (PATH), "", "folder of its store; empty: below the state folder" },
  { "mode", CHOICE ("auto;0600;0660;0666"), "auto",
    "who may connect: its owner, its group, or everybody; auto: everybody to a system's daemon" },
  { "users", WHOLE (INT, 1, 65536), "128",
    "users that may be connected at a time; each has a process of its own in the daemon" },
  { "connections", WHOLE (INT, 1, 65536), "256", "connections of one user" },
  { "watches", WHOLE (INT, 1, 1 << 20), "4096",
    "watches of one user; a program has one for each service it uses, and a few more" },
  { "leases", WHOLE (INT, 1, 1 << 20), "1024", "leases of one user; a program has one or two" },
  { "keys", WHOLE (INT, 1, 1 << 24), "16384", "keys that one user may have in it" },
  { "bytes", WHOLE (SIZE, KIB, 64 * GIB), "4MiB", "bytes of one user's keys and values" },
  { "grace", WHOLE (DURATION, 0, HOUR), "5s",
    "time for those of an earlier daemon to register again, before their entries go" },
  { "waiting", WHOLE (SIZE, 32 * KIB * KIB, 64 * GIB), "64MiB",
    "bytes of one user in memory that were not read, or not sent, yet" },
};

static const CommyGroupSchema groups[] = {
  GROUP ("commy", NULL, commy_keys),
  GROUP ("plugins", NULL, plugins_keys),
  GROUP ("selection", NULL, selection_keys),
  GROUP ("calibration", NULL, calibration_keys),
  GROUP ("plugin", "KIND/ID", plugin_keys),
  GROUP ("service", "NAME", service_keys),
  GROUP ("method", "SERVICE.METHOD", method_keys),
  GROUP ("mesh", NULL, mesh_keys),
  GROUP ("wait", NULL, wait_keys),
  GROUP ("limits", NULL, limits_keys),
  GROUP ("auth-chain", "NAME", auth_chain_keys),
  GROUP ("policy", "NAME", policy_keys),
  GROUP ("role", "NAME", role_keys),
  GROUP ("network-group", "NAME", network_group_keys),
  GROUP ("security", NULL, security_keys),
  GROUP ("log", NULL, log_keys),
  GROUP ("alert", "NAME", alert_keys),
  GROUP ("audit", NULL, audit_keys),
  GROUP ("daemon", NULL, daemon_keys),
};

const CommyGroupSchema *
commy_config_schema (gsize *out_n_groups)
{
  *out_n_groups = G_N_ELEMENTS (groups);
  return groups;
}

static char *
explain_unknown (const CommyGroupSchema *table, gsize n, const char *group, const char *word)
{
  g_autofree const char **names = g_new0 (const char *, n + 1);
  g_autofree char *suggestion = NULL;

  for (gsize i = 0; i < n; i++)
    names[i] = table[i].name;
  suggestion = commy_value_suggest (word, names);
  return g_strdup_printf ("unknown group [%s]%s", group, suggestion);
}

static char *
check_instance (const CommyGroupSchema *schema, const char *group, const char *instance)
{
  if (schema->instance == NULL && instance != NULL)
    return g_strdup_printf ("unknown group [%s]; did you mean \"%s\"?", group, schema->name);
  if (schema->instance == NULL)
    return NULL;
  if (instance == NULL || *instance == '\0' || *instance == ' ')
    return g_strdup_printf ("group [%s] needs a name; write [%s %s]", group, schema->name,
                            schema->instance);
  if (g_str_equal (schema->instance, "KIND/ID") && !commy_value_is_plugin (instance))
    return g_strdup_printf ("unknown group [%s]; write [plugin KIND/ID], KIND being transport, "
                            "serializer, auth, balancer, store or policy",
                            group);
  return NULL;
}

const CommyGroupSchema *
commy_config_schema_find_group (const CommyGroupSchema *table,
                                gsize n_groups,
                                const char *group,
                                char **out_why)
{
  const char *space = strchr (group, ' ');
  gsize length = space != NULL ? (gsize) (space - group) : strlen (group);
  g_autofree char *word = g_strndup (group, length);

  for (gsize i = 0; i < n_groups; i++)
    if (g_str_equal (table[i].name, word))
      {
        char *why = check_instance (&table[i], group, space != NULL ? space + 1 : NULL);

        if (why == NULL)
          return &table[i];
        if (out_why != NULL)
          *out_why = why;
        else
          g_free (why);
        return NULL;
      }
  if (out_why != NULL)
    *out_why = explain_unknown (table, n_groups, group, word);
  return NULL;
}

const CommyKeySchema *
commy_config_schema_find_key (const CommyGroupSchema *group, const char *key)
{
  for (gsize i = 0; i < group->n_keys; i++)
    {
      const char *name = group->keys[i].name;
      gsize stem;

      if (name[0] != key[0] && name[0] != '*')
        continue; /* nearly all of them, and each start of a program asks thousands of times */
      stem = strlen (name) - 1;
      if (g_str_equal (name, key))
        return name[stem] == '*' ? NULL : &group->keys[i];
      if (name[stem] == '*' && strncmp (name, key, stem) == 0 && key[stem] != '\0')
        return &group->keys[i];
    }
  return NULL;
}

const char **
commy_config_schema_key_names (const CommyGroupSchema *group)
{
  const char **names = g_new0 (const char *, group->n_keys + 1);

  for (gsize i = 0; i < group->n_keys; i++)
    names[i] = group->keys[i].name;
  return names;
}
