/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What an application demands of a route, and the options of one call.
 */
#pragma once

#include <commy/commy-profile.h>
#include <commy/commy-types.h>

G_BEGIN_DECLS

/**
 * CommyPreference:
 * @COMMY_PREFER_AUTO: the least cost wins
 * @COMMY_PREFER_LOCAL: this host if it has an instance, else the network
 * @COMMY_PREFER_NETWORK: the network if it has an instance, else this host
 * @COMMY_PREFER_LOCAL_ONLY: this host or an error
 * @COMMY_PREFER_NETWORK_ONLY: a network transport or an error
 * @COMMY_PREFER_LIST: only the transports of the list, the first that is allowed
 * @COMMY_PREFER_PIN: exactly the one transport of the list
 * @COMMY_PREFER_ADAPTIVE: like auto, but what was measured counts more than what was claimed
 *
 * The eight preferences.
 *
 * Since: 0.1
 */
typedef enum
{
  COMMY_PREFER_AUTO = 0,
  COMMY_PREFER_LOCAL = 1,
  COMMY_PREFER_NETWORK = 2,
  COMMY_PREFER_LOCAL_ONLY = 3,
  COMMY_PREFER_NETWORK_ONLY = 4,
  COMMY_PREFER_LIST = 5,
  COMMY_PREFER_PIN = 6,
  COMMY_PREFER_ADAPTIVE = 7,
} CommyPreference;

/**
 * CommyObjective:
 * @COMMY_OBJECTIVE_DEFAULT: what the keyfile says
 * @COMMY_OBJECTIVE_LATENCY: time of one message
 * @COMMY_OBJECTIVE_THROUGHPUT: messages per second
 * @COMMY_OBJECTIVE_CPU: processor time
 * @COMMY_OBJECTIVE_BALANCED: some of each
 *
 * What cost means.
 *
 * Since: 0.1
 */
typedef enum
{
  COMMY_OBJECTIVE_DEFAULT = 0,
  COMMY_OBJECTIVE_LATENCY = 1,
  COMMY_OBJECTIVE_THROUGHPUT = 2,
  COMMY_OBJECTIVE_CPU = 3,
  COMMY_OBJECTIVE_BALANCED = 4,
} CommyObjective;

/**
 * CommyConsistency:
 * @COMMY_CONSISTENCY_STALE_OK: the last snapshot of the store will do
 * @COMMY_CONSISTENCY_LINEARIZABLE: the store must answer now
 *
 * What answers of the store may be used to find instances.
 *
 * Since: 0.1
 */
typedef enum
{
  COMMY_CONSISTENCY_STALE_OK = 0,
  COMMY_CONSISTENCY_LINEARIZABLE = 1,
} CommyConsistency;

#define COMMY_TYPE_REQUIREMENTS (commy_requirements_get_type ())
/**
 * CommyRequirements:
 *
 * What an application demands of the routes of a client.
 *
 * Requirements refuse paths; among those that are left the least cost wins. They can be stricter
 * than the keyfile about security, never laxer. Who is given them keeps a copy.
 *
 * Since: 0.1
 */
COMMY_API GType commy_requirements_get_type (void);

/**
 * commy_requirements_new:
 *
 * Requirements that demand nothing: preference auto, calls in order, stale store answers
 * allowed. Not safe to change from two threads; a client keeps a copy.
 *
 * Returns: (transfer full): new requirements
 *
 * Since: 0.1
 */
COMMY_API CommyRequirements *commy_requirements_new (void);
/**
 * commy_requirements_copy:
 * @requirements: requirements
 *
 * Copies requirements.
 *
 * Returns: (transfer full): a copy
 *
 * Since: 0.1
 */
COMMY_API CommyRequirements *commy_requirements_copy (const CommyRequirements *requirements);
/**
 * commy_requirements_free:
 * @requirements: (nullable) (transfer full): requirements
 *
 * Frees them.
 *
 * Since: 0.1
 */
COMMY_API void commy_requirements_free (CommyRequirements *requirements);
/**
 * commy_requirements_set_preference:
 * @requirements: requirements
 * @preference: a preference
 * @transports: (array zero-terminated=1) (nullable): ids of transports, for the list and the pin
 *
 * Which paths are wanted.
 *
 * Since: 0.1
 */
COMMY_API void commy_requirements_set_preference (CommyRequirements *requirements,
                                                  CommyPreference preference,
                                                  const char *const *transports);
/**
 * commy_requirements_set_objective:
 * @requirements: requirements
 * @objective: what cost means for this client
 *
 * Overrides the keyfile's `objective`.
 *
 * Since: 0.1
 */
COMMY_API void commy_requirements_set_objective (CommyRequirements *requirements,
                                                 CommyObjective objective);
/**
 * commy_requirements_set_max_latency:
 * @requirements: requirements
 * @ns: highest expected one-way time of a 64-byte message, in ns; 0 for no limit
 *
 * Candidates that are expected to be slower are refused. Looked at again while calls are made: see
 * #CommyClient::requirements-changed.
 *
 * Since: 0.1
 */
COMMY_API void commy_requirements_set_max_latency (CommyRequirements *requirements, guint64 ns);
/**
 * commy_requirements_set_min_throughput:
 * @requirements: requirements
 * @bytes_per_second: lowest expected rate of 64 KiB messages; 0 for no limit
 *
 * Candidates that are expected to be slower are refused. Looked at again while calls are made: see
 * #CommyClient::requirements-changed.
 *
 * Since: 0.1
 */
COMMY_API void commy_requirements_set_min_throughput (CommyRequirements *requirements,
                                                      guint64 bytes_per_second);
/**
 * commy_requirements_set_min_security:
 * @requirements: requirements
 * @security: lowest level allowed; the keyfile's floor still holds
 *
 * A constraint, never a weight.
 *
 * Since: 0.1
 */
COMMY_API void commy_requirements_set_min_security (CommyRequirements *requirements,
                                                    CommySecurity security);
/**
 * commy_requirements_set_ordered:
 * @requirements: requirements
 * @ordered: whether messages must arrive in the order they were sent (the default)
 *
 * An ordered flow uses one transport at a time. An unordered one takes the best for each size.
 *
 * Since: 0.1
 */
COMMY_API void commy_requirements_set_ordered (CommyRequirements *requirements, gboolean ordered);
/**
 * commy_requirements_set_consistency:
 * @requirements: requirements
 * @consistency: what store answers may be used
 *
 * Whether a snapshot will do.
 *
 * Since: 0.1
 */
COMMY_API void commy_requirements_set_consistency (CommyRequirements *requirements,
                                                   CommyConsistency consistency);
/**
 * commy_requirements_set_degradable:
 * @requirements: requirements
 * @degradable: whether latency and throughput may be missed if nothing better is allowed
 *
 * The decision then says `degraded`. Security is never degraded.
 *
 * Since: 0.1
 */
COMMY_API void commy_requirements_set_degradable (CommyRequirements *requirements,
                                                  gboolean degradable);

#define COMMY_TYPE_CALL_OPTIONS (commy_call_options_get_type ())
/**
 * CommyCallOptions:
 *
 * What is special about a call: its deadline, and whether it may be carried out twice.
 *
 * Not safe to change from two threads; who is given them keeps a copy, so one set serves many
 * calls.
 *
 * Since: 0.1
 */
COMMY_API GType commy_call_options_get_type (void);

/**
 * commy_call_options_new:
 *
 * Options of a call, all at their defaults: ten seconds, not idempotent.
 *
 * Returns: (transfer full): new options
 *
 * Since: 0.1
 */
COMMY_API CommyCallOptions *commy_call_options_new (void);
/**
 * commy_call_options_copy:
 * @options: options
 *
 * Copies options.
 *
 * Returns: (transfer full): a copy
 *
 * Since: 0.1
 */
COMMY_API CommyCallOptions *commy_call_options_copy (const CommyCallOptions *options);
/**
 * commy_call_options_free:
 * @options: (nullable) (transfer full): options
 *
 * Frees them.
 *
 * Since: 0.1
 */
COMMY_API void commy_call_options_free (CommyCallOptions *options);
/**
 * commy_call_options_set_timeout:
 * @options: options
 * @timeout_us: from the start of the call, in microseconds; -1 for the default (10 s)
 *
 * The deadline goes with the call over every hop.
 *
 * Since: 0.1
 */
COMMY_API void commy_call_options_set_timeout (CommyCallOptions *options, gint64 timeout_us);
/**
 * commy_call_options_set_idempotent:
 * @options: options
 * @idempotent: whether carrying the call out twice does no harm
 *
 * An idempotent call whose path dies is sent again to another instance.
 *
 * Since: 0.1
 */
COMMY_API void commy_call_options_set_idempotent (CommyCallOptions *options, gboolean idempotent);

/**
 * COMMY_PRIORITY_DEFAULT:
 *
 * The priority of a call that says nothing.
 *
 * Since: 0.1
 */
#define COMMY_PRIORITY_DEFAULT 4
/**
 * COMMY_PRIORITY_MAX:
 *
 * The most urgent priority; 0 is the least urgent.
 *
 * Since: 0.1
 */
#define COMMY_PRIORITY_MAX 7

/**
 * commy_call_options_set_priority:
 * @options: options
 * @priority: 0 (least urgent) to %COMMY_PRIORITY_MAX; %COMMY_PRIORITY_DEFAULT if never set
 *
 * Whose pieces leave first where large messages share a path: the most urgent, those of one
 * priority in turns, and one piece of sixteen is for the less urgent, so that none waits for
 * ever. The answer has the call's priority. Small messages pass between the pieces of large ones
 * whatever their priority.
 *
 * Since: 0.1
 */
COMMY_API void commy_call_options_set_priority (CommyCallOptions *options, guint priority);
/**
 * commy_call_options_set_sticky_key:
 * @options: options
 * @key: (nullable): any text; %NULL for the client's
 *
 * Calls with the same key go to the same instance as long as it is there, whoever calls: where the
 * service's balancer knows keys, as `consistent-hash` does. See
 * commy_client_set_sticky_key().
 *
 * Since: 0.1
 */
COMMY_API void commy_call_options_set_sticky_key (CommyCallOptions *options, const char *key);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyRequirements, commy_requirements_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyCallOptions, commy_call_options_free)

G_END_DECLS
