/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A channel as a record for people and programs: both ends, what went over it, and how long its
 * calls took. Nothing here changes the channel.
 */
#include "config.h"

#include "channel/commy-channel-private.h"

static void
add_string (GVariantBuilder *record, const char *key, const char *text)
{
  g_variant_builder_add (record, "{sv}", key, g_variant_new_string (text != NULL ? text : ""));
}

static void
add_uint64 (GVariantBuilder *record, const char *key, guint64 number)
{
  g_variant_builder_add (record, "{sv}", key, g_variant_new_uint64 (number));
}

gboolean
commy_channel_is_accepting (CommyChannel *self)
{
  return self->accepting;
}

void
commy_counters_describe (const CommyCounters *counters, GVariantBuilder *record)
{
  /* The side that calls counts them by their ends, the side that serves as they come. */
  guint64 ended = commy_histogram_total (&counters->call_ns)
                  + commy_counters_get (counters, COMMY_COUNT_CALLS_FAILED);

  for (guint i = 0; i < COMMY_COUNT_LAST; i++)
    add_uint64 (record, commy_count_to_string (i),
                commy_counters_get (counters, i) + (i == COMMY_COUNT_CALLS ? ended : 0));
  add_uint64 (record, "call-p50-ns", commy_histogram_quantile (&counters->call_ns, 0.5));
  add_uint64 (record, "call-p99-ns", commy_histogram_quantile (&counters->call_ns, 0.99));
}

static void
describe_moves (const CommyMoves *moves, GVariantBuilder *flow)
{
  add_uint64 (flow, "moves", __atomic_load_n (&moves->n_moves, __ATOMIC_RELAXED));
  add_uint64 (flow, "replayed", __atomic_load_n (&moves->n_replayed, __ATOMIC_RELAXED));
  add_uint64 (flow, "duplicates", __atomic_load_n (&moves->n_duplicates, __ATOMIC_RELAXED));
  add_uint64 (flow, "largest-gap-ns", __atomic_load_n (&moves->largest_gap_ns, __ATOMIC_RELAXED));
}

void
commy_channel_describe (CommyChannel *self, GVariantBuilder *flows)
{
  GVariantBuilder flow;

  g_variant_builder_init (&flow, G_VARIANT_TYPE_VARDICT);
  add_string (&flow, "side", self->accepting ? "serves" : "calls");
  add_string (&flow, "service", self->service);
  add_string (&flow, "instance", self->instance);
  add_string (&flow, "transport", commy_channel_get_transport (self));
  add_string (&flow, "peer", commy_principal_get_name (self->peer));
  add_string (&flow, "peer-node", self->peer_node);
  commy_counters_describe (&self->counters, &flow);
  add_uint64 (&flow, "pending", self->pending.n_used);
  add_uint64 (&flow, "unanswered", __atomic_load_n (&self->unanswered, __ATOMIC_RELAXED));
  add_uint64 (&flow, "backlog-bytes", self->backlog_bytes);
  if (self->borrows)
    add_uint64 (&flow, "lent", __atomic_load_n (&self->n_lent, __ATOMIC_RELAXED));
  add_uint64 (&flow, "hung", self->vigil.is_hung);
  add_uint64 (&flow, "times-hung", self->vigil.n_hung);
  describe_moves (&self->moves, &flow);
  commy_channel_describe_standing (self, &flow);
  g_variant_builder_add_value (flows, g_variant_builder_end (&flow));
}
