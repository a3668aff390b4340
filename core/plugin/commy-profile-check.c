/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether a profile is sane: numbers that the cost model can calculate with, and no shape by
 * which a liar wins one size class.
 */
#include "config.h"

#include "base/commy-error-private.h"
#include "plugin/commy-catalog.h"

#include <math.h>

#define MAX_NS 1e15         /* eleven days for one message */
#define MAX_NS_PER_BYTE 1e9 /* one byte a second */
#define MAX_SIGMA 10.0      /* of a logarithm */
#define MAX_SIZE_FACTOR 1e3
#define MAX_HEADER (1u << 20)
#define MAX_FALL 0.8 /* at a join the cost may fall to this share */

typedef struct
{
  const char *name;
  double value;
  double maximum;
} Number;

static gboolean
fail (GError **error, const char *what)
{
  commy_set_error (error, COMMY_ERROR_PLUGIN_PROFILE, "profile: %s", what);
  return FALSE;
}

static gboolean
check_numbers (const Number *numbers, gsize n_numbers, const char *where, GError **error)
{
  for (gsize i = 0; i < n_numbers; i++)
    {
      const Number *number = &numbers[i];

      if (isfinite (number->value) && number->value >= 0 && number->value <= number->maximum)
        continue;
      commy_set_error (error, COMMY_ERROR_PLUGIN_PROFILE,
                       "profile: %s%s is %g, not a number from 0 to %g", where, number->name,
                       number->value, number->maximum);
      return FALSE;
    }
  return TRUE;
}

static gboolean
check_segment (const CommyProfileSegment *segment, guint i, GError **error)
{
  const Number numbers[] = {
    { "latency_ns", segment->latency_ns, MAX_NS },
    { "wire_ns_per_byte", segment->wire_ns_per_byte, MAX_NS_PER_BYTE },
    { "send_cpu_ns", segment->send_cpu_ns, MAX_NS },
    { "send_cpu_ns_per_byte", segment->send_cpu_ns_per_byte, MAX_NS_PER_BYTE },
    { "recv_cpu_ns", segment->recv_cpu_ns, MAX_NS },
    { "recv_cpu_ns_per_byte", segment->recv_cpu_ns_per_byte, MAX_NS_PER_BYTE },
  };
  char where[32];

  g_snprintf (where, sizeof where, "segment %u: ", i + 1);
  return check_numbers (numbers, G_N_ELEMENTS (numbers), where, error);
}

static double
cost_at (const CommyProfileSegment *segment, guint64 size)
{
  double slope
      = segment->wire_ns_per_byte + segment->send_cpu_ns_per_byte + segment->recv_cpu_ns_per_byte;

  return segment->latency_ns + segment->send_cpu_ns + segment->recv_cpu_ns + slope * (double) size;
}

static gboolean
check_segments (const CommyProfile *profile, GError **error)
{
  const CommyProfileSegment *segments = profile->segments;
  guint64 last = segments[profile->n_segments - 1].max_bytes;

  for (guint i = 0; i < profile->n_segments; i++)
    {
      guint64 join;

      if (!check_segment (&segments[i], i, error))
        return FALSE;
      if (i == 0)
        continue;
      join = segments[i - 1].max_bytes;
      if (segments[i].max_bytes <= join)
        return fail (error, "its segments do not ascend");
      if (cost_at (&segments[i], join) < MAX_FALL * cost_at (&segments[i - 1], join))
        {
          commy_set_error (error, COMMY_ERROR_PLUGIN_PROFILE,
                           "profile: the cost falls by more than 20%% after %" G_GUINT64_FORMAT
                           " bytes (segment %u)",
                           join, i + 1);
          return FALSE;
        }
    }
  if (last != G_MAXUINT64 && (profile->max_message == 0 || profile->max_message > last))
    return fail (error, "its segments end before its largest message; the last one's max_bytes "
                        "should be G_MAXUINT64");
  return TRUE;
}

static gboolean
check_enums (const CommyProfile *profile, GError **error)
{
  const guint32 reach = COMMY_REACH_SELF | COMMY_REACH_HOST | COMMY_REACH_NETWORK;

  if (profile->provenance > COMMY_PROVENANCE_OPERATOR)
    return fail (error, "its provenance is unknown");
  if (profile->security > COMMY_SECURITY_MUTUAL)
    return fail (error, "its security level is unknown");
  if ((profile->reach & ~reach) != 0)
    return fail (error, "its reach is unknown");
  if (profile->delivery > COMMY_DELIVERY_RELIABLE)
    return fail (error, "its delivery guarantee is unknown");
  if (profile->ordering > COMMY_ORDERING_CONNECTION)
    return fail (error, "its ordering guarantee is unknown");
  if (profile->header_bytes > MAX_HEADER)
    return fail (error, "its header_bytes are over 1 MiB");
  return TRUE;
}

gboolean
commy_profile_check (const CommyProfile *profile, GError **error)
{
  const Number numbers[] = {
    { "connect_ns", profile->connect_ns, MAX_NS },
    { "sigma", profile->sigma, MAX_SIGMA },
    { "loss", profile->loss, 1.0 },
    { "size_factor", profile->size_factor, MAX_SIZE_FACTOR },
  };

  if (profile->struct_size != sizeof *profile)
    {
      commy_set_error (error, COMMY_ERROR_PLUGIN_PROFILE,
                       "profile: it says it has %u bytes instead of %u", profile->struct_size,
                       (guint) sizeof *profile);
      return FALSE;
    }
  if (profile->n_segments < 1 || profile->n_segments > COMMY_PROFILE_SEGMENTS)
    {
      commy_set_error (error, COMMY_ERROR_PLUGIN_PROFILE,
                       "profile: it has %u segments, not 1 to %d", profile->n_segments,
                       COMMY_PROFILE_SEGMENTS);
      return FALSE;
    }
  if (!check_enums (profile, error) || !check_numbers (numbers, G_N_ELEMENTS (numbers), "", error))
    return FALSE;
  /* The cost model divides by 1 - loss, and a factor of 0 would make every message free. */
  if (profile->loss >= 1.0)
    return fail (error, "loss is 1: it delivers nothing");
  if (profile->size_factor <= 0)
    return fail (error, "size_factor is 0; it is 1 for everything but serializers");
  return check_segments (profile, error);
}
