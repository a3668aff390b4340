/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a stack of transport and serializer costs for a message of a size, from the profiles
 * alone. The stack is costed as a whole: the best transport with the wrong encoding loses.
 */
#include "config.h"

#include "route/commy-route-private.h"

#include <math.h>

#define MAX_LOSS 0.999
#define NOISE 1e-9

const CommyProfileSegment *
commy_profile_segment (const CommyProfile *profile, double bytes)
{
  guint last = CLAMP (profile->n_segments, 1, COMMY_PROFILE_SEGMENTS) - 1;
  guint i = 0;

  while (i < last && bytes > (double) profile->segments[i].max_bytes)
    i++;
  return &profile->segments[i];
}

static double
affine (double fixed, double slope, double bytes)
{
  return fixed + slope * bytes;
}

void
commy_cost_compute (const CommyProfile *transport,
                    const CommyProfile *serializer,
                    gsize size,
                    CommyCost *out_cost)
{
  CommyCost cost = { .wire_bytes = (double) size };
  const CommyProfileSegment *segment;

  if (serializer != NULL)
    {
      segment = commy_profile_segment (serializer, (double) size);
      cost.encode_ns = affine (segment->send_cpu_ns, segment->send_cpu_ns_per_byte, (double) size);
      cost.decode_ns = affine (segment->recv_cpu_ns, segment->recv_cpu_ns_per_byte, (double) size);
      cost.wire_bytes = (double) size * serializer->size_factor + serializer->header_bytes;
    }
  cost.wire_bytes += transport->header_bytes;
  segment = commy_profile_segment (transport, cost.wire_bytes);
  cost.send_cpu_ns = affine (segment->send_cpu_ns, segment->send_cpu_ns_per_byte, cost.wire_bytes);
  cost.recv_cpu_ns = affine (segment->recv_cpu_ns, segment->recv_cpu_ns_per_byte, cost.wire_bytes);
  cost.wire_ns = segment->wire_ns_per_byte * cost.wire_bytes;
  cost.latency_ns = segment->latency_ns;

  cost.t_cpu_ns = cost.encode_ns + cost.send_cpu_ns + cost.recv_cpu_ns + cost.decode_ns;
  cost.t_latency_ns = cost.t_cpu_ns + cost.latency_ns + cost.wire_ns;
  cost.t_throughput_ns = cost.encode_ns + cost.send_cpu_ns;
  cost.t_throughput_ns = MAX (cost.t_throughput_ns, cost.recv_cpu_ns + cost.decode_ns);
  cost.t_throughput_ns = MAX (cost.t_throughput_ns, cost.wire_ns);
  *out_cost = cost;
}

CommyWeights
commy_weights_for (CommyObjective objective)
{
  switch (objective)
    {
    case COMMY_OBJECTIVE_THROUGHPUT:
      return (CommyWeights){ .latency = 0.1, .throughput = 0.8, .cpu = 0.1 };
    case COMMY_OBJECTIVE_CPU:
      return (CommyWeights){ .latency = 0.3, .throughput = 0.1, .cpu = 0.6 };
    case COMMY_OBJECTIVE_BALANCED:
      return (CommyWeights){ .latency = 0.5, .throughput = 0.3, .cpu = 0.2 };
    case COMMY_OBJECTIVE_DEFAULT:
    case COMMY_OBJECTIVE_LATENCY:
    default:
      return (CommyWeights){ .latency = 1, .throughput = 0, .cpu = 0 };
    }
}

double
commy_cost_weigh (const CommyCost *cost, const CommyWeights *weights)
{
  return weights->latency * cost->t_latency_ns + weights->throughput * cost->t_throughput_ns
         + weights->cpu * cost->t_cpu_ns;
}

/* --- of a candidate --- */

double
commy_profile_tries (const CommyProfile *transport)
{
  double loss = transport->loss;

  return loss > 0 ? 1 / (1 - MIN (loss, MAX_LOSS)) : 1;
}

double
commy_candidate_claimed (const CommyCandidate *candidate, const CommyWeights *weights, gsize size)
{
  CommyCost cost;

  commy_cost_compute (candidate->transport_profile, candidate->serializer_profile, size, &cost);
  return commy_cost_weigh (&cost, weights) * commy_profile_tries (candidate->transport_profile);
}

double
commy_candidate_expected (const CommyDemand *demand,
                          const CommyCandidate *candidate,
                          const CommyPosterior *posterior,
                          double claimed_ns)
{
  CommyScale scale = commy_scale_for (demand, candidate, posterior, 1);

  return commy_scale_expected (&scale, claimed_ns);
}

double
commy_candidate_score (const CommyDemand *demand,
                       const CommyPosterior *posterior,
                       double expected_ns)
{
  return expected_ns * exp (demand->risk * posterior->sd);
}

double
commy_candidate_latency (const CommyCandidate *candidate, const CommyPosterior *posterior)
{
  CommyWeights latency = { .latency = 1 };

  return commy_candidate_claimed (candidate, &latency, 64) * posterior->factor;
}

double
commy_candidate_throughput (const CommyCandidate *candidate, const CommyPosterior *posterior)
{
  CommyWeights throughput = { .throughput = 1 };
  gsize size = 64 * 1024;
  double ns = commy_candidate_claimed (candidate, &throughput, size) * posterior->factor;

  return ns > 0 ? (double) size * 1e9 / ns : G_MAXDOUBLE;
}

guint64
commy_stack_limit (const CommyProfile *transport, const CommyProfile *serializer)
{
  guint64 limit = transport->max_message != 0 ? transport->max_message : G_MAXUINT64;

  if (serializer == NULL)
    return limit;
  if (limit != G_MAXUINT64)
    {
      double room
          = ((double) limit - serializer->header_bytes) / fmax (serializer->size_factor, 1e-6);

      limit = room > 0 ? (guint64) fmin (room, 9e18) : 0;
    }
  return serializer->max_message != 0 ? MIN (limit, serializer->max_message) : limit;
}

/* --- where a pipeline bends --- */

/* The slowest part of a pipeline is not straight where another part becomes the slowest. */
static guint64
bend (double a0, double b0, double a1, double b1, guint64 from, guint64 to)
{
  double before = a0 - b0, after = a1 - b1;

  if (fabs (before) <= NOISE * a0 && fabs (after) <= NOISE * a1)
    return to; /* the same line, but for rounding */
  if ((before < 0) == (after < 0))
    return to;
  return from + (guint64) ((double) (to - from) * (before / (before - after)));
}

guint64
commy_candidate_straight_to (const CommyCandidate *candidate, gsize size, guint64 end)
{
  const CommyProfile *transport = candidate->transport_profile;
  const CommyProfile *serializer = candidate->serializer_profile;
  guint64 to = commy_stack_straight_to (transport, serializer, size, end);
  CommyCost a, b;

  commy_cost_compute (transport, serializer, size, &a);
  commy_cost_compute (transport, serializer, to, &b);
  {
    double a_send = a.encode_ns + a.send_cpu_ns, b_send = b.encode_ns + b.send_cpu_ns;
    double a_recv = a.recv_cpu_ns + a.decode_ns, b_recv = b.recv_cpu_ns + b.decode_ns;
    guint64 bend1 = bend (a_send, a_recv, b_send, b_recv, size, to);
    guint64 bend2 = bend (a_send, a.wire_ns, b_send, b.wire_ns, size, to);
    guint64 bend3 = bend (a_recv, a.wire_ns, b_recv, b.wire_ns, size, to);

    return MIN (MIN (bend1, bend2), bend3);
  }
}
