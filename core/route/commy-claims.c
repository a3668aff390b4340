/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a stack claims, class by class. Decisions come again and again while profiles stay, so this
 * is worked out once, by whoever keeps the profiles.
 */
#include "config.h"

#include "route/commy-route-private.h"

#include <math.h>

/* --- sense --- */

static bool
is_number (double value)
{
  return value >= 0 && value <= G_MAXDOUBLE;
}

bool
commy_profile_is_sane (const CommyProfile *profile)
{
  guint n = CLAMP (profile->n_segments, 1, COMMY_PROFILE_SEGMENTS);
  bool sane = is_number (profile->loss) && is_number (profile->size_factor)
              && is_number (profile->connect_ns) && is_number (profile->header_bytes);

  for (guint i = 0; i < n; i++)
    {
      const CommyProfileSegment *segment = &profile->segments[i];

      sane = sane && is_number (segment->latency_ns) && is_number (segment->wire_ns_per_byte)
             && is_number (segment->send_cpu_ns) && is_number (segment->send_cpu_ns_per_byte)
             && is_number (segment->recv_cpu_ns) && is_number (segment->recv_cpu_ns_per_byte);
    }
  return sane;
}

/* --- straight lines --- */

/* The last size of the segment that @size is in, when a size becomes size x factor + offset. */
static guint64
segment_end (const CommyProfile *profile, double factor, double offset, guint64 size, guint64 end)
{
  const CommyProfileSegment *segment
      = commy_profile_segment (profile, factor * (double) size + offset);
  double last = (double) segment->max_bytes;
  guint64 at;

  if (factor <= 0 || factor * (double) end + offset <= last
      || segment == commy_profile_segment (profile, factor * (double) end + offset))
    return end;
  at = (guint64) fmax ((last - offset) / factor, (double) size);
  while (at > size && factor * (double) at + offset > last)
    at--;
  while (at < end && factor * (double) (at + 1) + offset <= last)
    at++;
  return at;
}

guint64
commy_stack_straight_to (const CommyProfile *transport,
                         const CommyProfile *serializer,
                         guint64 size,
                         guint64 end)
{
  double factor = 1, offset = transport->header_bytes;
  guint64 to = end;

  if (serializer != NULL)
    {
      factor = serializer->size_factor;
      offset += serializer->header_bytes;
      to = MIN (to, segment_end (serializer, 1, 0, size, end));
    }
  return MIN (to, segment_end (transport, factor, offset, size, end));
}

CommyLines
commy_stack_lines (const CommyProfile *transport,
                   const CommyProfile *serializer,
                   guint64 size,
                   guint64 end)
{
  CommyLines lines
      = { .from = size, .straight_to = commy_stack_straight_to (transport, serializer, size, end) };
  const CommyProfileSegment *segment;
  double factor = 1, offset = transport->header_bytes, per_byte;

  if (serializer != NULL)
    {
      segment = commy_profile_segment (serializer, (double) size);
      factor = serializer->size_factor;
      offset += serializer->header_bytes;
      lines.cpu_ns = segment->send_cpu_ns + segment->recv_cpu_ns;
      lines.cpu_slope = segment->send_cpu_ns_per_byte + segment->recv_cpu_ns_per_byte;
    }
  segment = commy_profile_segment (transport, factor * (double) size + offset);
  per_byte = segment->send_cpu_ns_per_byte + segment->recv_cpu_ns_per_byte;
  lines.cpu_ns += segment->send_cpu_ns + segment->recv_cpu_ns + per_byte * offset;
  lines.cpu_slope += per_byte * factor;
  lines.wait_ns = segment->latency_ns + segment->wire_ns_per_byte * offset;
  lines.wait_slope = segment->wire_ns_per_byte * factor;
  return lines;
}

/* --- classes --- */

void
commy_claim_init (CommyClaim *claim,
                  const CommyProfile *transport,
                  const CommyProfile *serializer,
                  guint size_class)
{
  gsize size = commy_size_class_representative (size_class);
  guint64 from = commy_size_class_least (size_class);
  guint64 end = MIN (commy_size_class_upper (size_class), COMMY_LAST_SIZE);
  CommyCost cost, alone;

  commy_cost_compute (transport, serializer, size, &cost);
  commy_cost_compute (transport, NULL, size, &alone);
  claim->t_latency_ns = cost.t_latency_ns;
  claim->t_throughput_ns = cost.t_throughput_ns;
  claim->t_cpu_ns = cost.t_cpu_ns;
  claim->transport_ns = alone.t_latency_ns;
  claim->tries = commy_profile_tries (transport);
  for (claim->n_pieces = 0; claim->n_pieces < COMMY_CLAIM_PIECES && from <= end; claim->n_pieces++)
    {
      claim->pieces[claim->n_pieces] = commy_stack_lines (transport, serializer, from, end);
      from = claim->pieces[claim->n_pieces].straight_to + 1;
    }
}

void
commy_claims_init (CommyClaims *claims,
                   const CommyProfile *transport,
                   const CommyProfile *serializer)
{
  claims->is_sane = commy_profile_is_sane (transport)
                    && (serializer == NULL || commy_profile_is_sane (serializer));
  claims->limit = claims->is_sane ? commy_stack_limit (transport, serializer) : 0;
  for (guint c = 0; c < COMMY_SIZE_CLASSES && claims->is_sane; c++)
    commy_claim_init (&claims->classes[c], transport, serializer, c);
}
