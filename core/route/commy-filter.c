/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The filters before cost: what a candidate must be to be compared at all. Each refusal leaves
 * a record of what was required, what was offered and who said so.
 */
#include "config.h"

#include "route/commy-route-private.h"

#include <string.h>

const char *
commy_filter_to_string (CommyFilter filter)
{
  static const char *const names[COMMY_FILTER_LAST] = {
    [COMMY_FILTER_NONE] = "none",           [COMMY_FILTER_ENABLED] = "enabled",
    [COMMY_FILTER_STATE] = "state",         [COMMY_FILTER_REACHABLE] = "reachable",
    [COMMY_FILTER_SECURITY] = "security",   [COMMY_FILTER_DELIVERY] = "delivery",
    [COMMY_FILTER_ORDERING] = "ordering",   [COMMY_FILTER_CAPABILITY] = "capability",
    [COMMY_FILTER_SIZE] = "size",           [COMMY_FILTER_PEER] = "peer",
    [COMMY_FILTER_BREAKER] = "breaker",     [COMMY_FILTER_PREFERENCE] = "preference",
    [COMMY_FILTER_LATENCY] = "latency",     [COMMY_FILTER_THROUGHPUT] = "throughput",
    [COMMY_FILTER_INTERFACE] = "interface", [COMMY_FILTER_SELECTOR] = "selector",
  };

  return (guint) filter < COMMY_FILTER_LAST ? names[filter] : "?";
}

static bool
reject (CommyAssessment *assessment,
        CommyFilter filter,
        const char *required,
        const char *offered,
        const char *origin)
{
  CommyRejection *rejection = &assessment->rejection;

  rejection->filter = filter;
  g_strlcpy (rejection->required, required, sizeof rejection->required);
  g_strlcpy (rejection->offered, offered, sizeof rejection->offered);
  rejection->origin = origin != NULL ? origin : "default";
  return false;
}

/* What the caller knows already, if it is due at this point of the order. */
static bool
check_known (const CommyCandidate *candidate, CommyAssessment *assessment, bool late)
{
  bool is_late = candidate->known.filter > COMMY_FILTER_SIZE;

  if (candidate->known.filter == COMMY_FILTER_NONE || is_late != late)
    return true;
  assessment->rejection = candidate->known;
  if (assessment->rejection.origin == NULL)
    assessment->rejection.origin = "default";
  return false;
}

static bool
check_security (const CommyDemand *demand,
                const CommyCandidate *candidate,
                CommyAssessment *assessment)
{
  if (candidate->security >= demand->min_security)
    return true;
  return reject (assessment, COMMY_FILTER_SECURITY, commy_security_to_string (demand->min_security),
                 commy_security_to_string (candidate->security), demand->min_security_origin);
}

static const char *
delivery_to_string (guint delivery)
{
  return delivery == COMMY_DELIVERY_BEST_EFFORT    ? "best effort"
         : delivery == COMMY_DELIVERY_AT_MOST_ONCE ? "at most once"
                                                   : "reliable";
}

static bool
check_delivery (const CommyDemand *demand,
                const CommyCandidate *candidate,
                CommyAssessment *assessment)
{
  const CommyProfile *profile = candidate->transport_profile;

  if (profile->delivery < demand->min_delivery)
    return reject (assessment, COMMY_FILTER_DELIVERY, delivery_to_string (demand->min_delivery),
                   delivery_to_string (profile->delivery), "flow");
  if (profile->ordering < demand->min_ordering)
    return reject (assessment, COMMY_FILTER_ORDERING, "order within a connection", "none", "flow");
  return true;
}

static const char *
capability_to_string (guint64 bit)
{
  switch (bit)
    {
    case COMMY_CAP_ZERO_COPY:
      return "zero copy";
    case COMMY_CAP_FD_PASSING:
      return "file descriptor passing";
    case COMMY_CAP_CHEAP_POLL:
      return "cheap polling";
    case COMMY_CAP_VALUES:
      return "every value";
    case COMMY_CAP_BYTES:
      return "bytes unchanged";
    case COMMY_CAP_SELF_DESCRIBING:
      return "self-describing";
    case COMMY_CAP_TEXT:
      return "text";
    case COMMY_CAP_NATIVE_ENDIAN:
      return "native byte order";
    case COMMY_CAP_IN_PLACE:
      return "values in place";
    default:
      return "a capability";
    }
}

static bool
check_capabilities (const CommyDemand *demand,
                    const CommyCandidate *candidate,
                    CommyAssessment *assessment)
{
  guint64 encoding = candidate->serializer_profile != NULL
                         ? candidate->serializer_profile->capabilities
                         : COMMY_CAP_BYTES;
  guint64 transport = candidate->transport_profile->capabilities;
  guint64 missing = demand->required_transport_caps & ~transport;
  guint64 missing_encoding = demand->required_serializer_caps & ~encoding;
  guint64 first;
  char offered[96];

  if (missing == 0 && missing_encoding == 0)
    return true;
  first = missing != 0 ? missing : missing_encoding;
  g_snprintf (offered, sizeof offered, "not by %s",
              missing != 0 ? candidate->transport : candidate->serializer);
  return reject (assessment, COMMY_FILTER_CAPABILITY, capability_to_string (first & -first),
                 offered, "flow");
}

/* Refuses who cannot carry even the smallest message of the largest class that is in use. */
static bool
check_size (const CommyWork *work, const CommyCandidate *candidate, CommyAssessment *assessment)
{
  guint64 limit = commy_candidate_limit (candidate);
  guint64 least = commy_size_class_least (work->largest);
  char required[64], offered[96];

  if (limit >= least)
    return true;
  commy_text_bytes (required, sizeof required, (double) least, "");
  commy_text_bytes (offered, sizeof offered, (double) limit, "");
  return reject (assessment, COMMY_FILTER_SIZE, required, offered, "flow");
}

static const char *
reach_to_string (guint reach)
{
  return reach == COMMY_REACH_SELF   ? "this process"
         : reach == COMMY_REACH_HOST ? "this host"
                                     : "the network";
}

static bool
is_listed (const CommyIdList *list, guint n, const char *id)
{
  for (guint i = 0; i < n; i++)
    if (strcmp (list->id[i], id) == 0)
      return true;
  return false;
}

static bool
check_list (const CommyDemand *demand, const CommyCandidate *candidate, CommyAssessment *assessment)
{
  bool pin = demand->preference == COMMY_PREFER_PIN;
  guint n = MIN (demand->transports.n, pin ? 1 : COMMY_MAX_LISTED);
  char required[64] = "nothing: the lists have no transport in common";

  if (is_listed (&demand->transports, n, candidate->transport))
    return true;
  for (guint i = 0; i < n; i++)
    {
      if (i == 0)
        required[0] = '\0';
      else
        g_strlcat (required, ", ", sizeof required);
      g_strlcat (required, demand->transports.id[i], sizeof required);
    }
  return reject (assessment, COMMY_FILTER_PREFERENCE, required, candidate->transport,
                 demand->preference_origin);
}

static bool
check_preference (const CommyDemand *demand,
                  const CommyCandidate *candidate,
                  CommyAssessment *assessment)
{
  bool network = candidate->reach == COMMY_REACH_NETWORK;

  if ((demand->preference == COMMY_PREFER_LOCAL_ONLY && network)
      || (demand->preference == COMMY_PREFER_NETWORK_ONLY && !network))
    return reject (assessment, COMMY_FILTER_PREFERENCE,
                   commy_preference_to_string (demand->preference),
                   reach_to_string (candidate->reach), demand->preference_origin);
  if (demand->allowed_reach != 0 && (demand->allowed_reach & candidate->reach) == 0)
    return reject (assessment, COMMY_FILTER_PREFERENCE,
                   demand->allowed_reach == COMMY_REACH_NOTHING  ? "local-only and network-only"
                   : demand->allowed_reach & COMMY_REACH_NETWORK ? "network-only"
                                                                 : "local-only",
                   reach_to_string (candidate->reach), demand->reach_origin);
  if (demand->preference == COMMY_PREFER_LIST || demand->preference == COMMY_PREFER_PIN)
    return check_list (demand, candidate, assessment);
  return true;
}

static bool
check_requirements (const CommyDemand *demand, CommyAssessment *assessment)
{
  double latency = assessment->latency_ns, rate = assessment->throughput;
  char required[64], offered[96], number[48];

  if (demand->max_latency_ns != 0 && !(latency <= (double) demand->max_latency_ns))
    {
      commy_text_duration (number, sizeof number, (double) demand->max_latency_ns);
      g_snprintf (required, sizeof required, "<= %s", number);
      commy_text_duration (offered, sizeof offered, latency);
      return reject (assessment, COMMY_FILTER_LATENCY, required, offered,
                     demand->requirement_origin);
    }
  if (demand->min_throughput != 0 && !(rate >= (double) demand->min_throughput))
    {
      commy_text_bytes (number, sizeof number, (double) demand->min_throughput, "/s");
      g_snprintf (required, sizeof required, ">= %s", number);
      commy_text_bytes (offered, sizeof offered, rate, "/s");
      return reject (assessment, COMMY_FILTER_THROUGHPUT, required, offered,
                     demand->requirement_origin);
    }
  return true;
}

bool
commy_filter_apply (const CommyWork *work,
                    const CommyCandidate *candidate,
                    CommyAssessment *assessment,
                    bool with_requirements)
{
  const CommyDemand *demand = work->demand;

  assessment->rejection.filter = COMMY_FILTER_NONE;
  assessment->rejection.required[0] = assessment->rejection.offered[0] = '\0';
  assessment->rejection.origin = NULL;
  return check_known (candidate, assessment, false)
         && check_security (demand, candidate, assessment)
         && check_delivery (demand, candidate, assessment)
         && check_capabilities (demand, candidate, assessment)
         && check_size (work, candidate, assessment) && check_known (candidate, assessment, true)
         && check_preference (demand, candidate, assessment)
         && (!with_requirements || check_requirements (demand, assessment));
}
