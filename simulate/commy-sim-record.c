/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Counts, exact quantiles, and the record: names of fields end with their unit.
 */
#include "config.h"

#include "simulate/commy-sim-record.h"

#include <math.h>

static const char *const end_names[COMMY_SIM_N_ENDS] = {
  "ok",      "rate-limit", "bulkhead",    "throttled", "no-instance", "deadline",
  "timeout", "failed",     "unreachable", "lost",      "queue-full",  "shed",
};

void
commy_sim_record_init (CommySimRecord *record, const CommySimScenario *scenario)
{
  *record = (CommySimRecord){ .scenario = scenario };
  record->all.latencies = g_array_new (FALSE, FALSE, sizeof (gint64));
  record->now.latencies = g_array_new (FALSE, FALSE, sizeof (gint64));
  record->instances = g_new0 (CommySimInstanceCounts, scenario->places->len);
  record->notices = g_new0 (CommySimNotice, scenario->faults->len);
  for (guint i = 0; i < scenario->faults->len; i++)
    {
      const CommySimFault *fault = g_ptr_array_index (scenario->faults, i);

      record->notices[i].noticed
          = g_new0 (guint8, (gsize) fault->instances->len * scenario->n_clients);
    }
  g_variant_builder_init (&record->timeline, G_VARIANT_TYPE ("aa{sv}"));
}

void
commy_sim_record_clear (CommySimRecord *record)
{
  for (guint i = 0; i < record->scenario->faults->len; i++)
    g_free (record->notices[i].noticed);
  g_array_unref (record->all.latencies);
  g_array_unref (record->now.latencies);
  g_free (record->instances);
  g_free (record->notices);
  g_free (record->first_refusal);
  g_variant_builder_clear (&record->timeline);
}

void
commy_sim_record_end (CommySimRecord *record, CommySimEnd end, gint64 took_ns)
{
  record->now.ends[end]++;
  if (end == COMMY_SIM_ENDED_OK)
    g_array_append_val (record->now.latencies, took_ns);
}

void
commy_sim_record_blocked (CommySimRecord *record, guint instance, guint client, gint64 now_ns)
{
  const CommySimScenario *scenario = record->scenario;

  for (guint i = 0; i < scenario->faults->len; i++)
    {
      const CommySimFault *fault = g_ptr_array_index (scenario->faults, i);
      CommySimNotice *notice = &record->notices[i];

      if (now_ns < fault->at_ns || now_ns >= fault->until_ns)
        continue;
      for (guint k = 0; k < fault->instances->len; k++)
        {
          guint8 *noticed = &notice->noticed[(gsize) k * scenario->n_clients + client];
          const guint64 after = (guint64) (now_ns - fault->at_ns);

          if (g_array_index (fault->instances, guint, k) != instance || *noticed)
            continue;
          *noticed = TRUE;
          notice->first = notice->n == 0 ? after : MIN (notice->first, after);
          notice->sum += after;
          notice->n++;
        }
    }
}

/* --- the time line --- */

static int
compare_times (gconstpointer a, gconstpointer b)
{
  const gint64 left = *(const gint64 *) a, right = *(const gint64 *) b;

  return (left > right) - (left < right);
}

/* Of sorted ones; nearest rank. */
static gint64
get_quantile (const GArray *latencies, double quantile)
{
  const guint rank = (guint) ceil (quantile * latencies->len);

  return latencies->len > 0 ? g_array_index (latencies, gint64, MAX (rank, 1) - 1) : 0;
}

static guint64
count_failed (const CommySimCounts *counts)
{
  guint64 n = 0;

  for (guint i = COMMY_SIM_ENDED_OK + 1; i < COMMY_SIM_N_ENDS; i++)
    n += counts->ends[i];
  return n;
}

static void
add_uint (GVariantBuilder *builder, const char *name, guint64 value)
{
  g_variant_builder_add (builder, "{sv}", name, g_variant_new_uint64 (value));
}

static void
add_double (GVariantBuilder *builder, const char *name, double value)
{
  g_variant_builder_add (builder, "{sv}", name, g_variant_new_double (value));
}

static void
add_latencies (GVariantBuilder *builder, GArray *latencies)
{
  g_array_sort (latencies, compare_times);
  add_uint (builder, "p50-ns", (guint64) get_quantile (latencies, 0.5));
  add_uint (builder, "p99-ns", (guint64) get_quantile (latencies, 0.99));
}

void
commy_sim_record_interval (CommySimRecord *record, gint64 now_ns, double ejected, double open)
{
  CommySimCounts *now = &record->now, *all = &record->all;
  GArray *latencies = now->latencies;
  GVariantBuilder *line = &record->timeline;

  g_variant_builder_open (line, G_VARIANT_TYPE_VARDICT);
  add_uint (line, "at-ns", (guint64) record->interval_ns);
  add_uint (line, "took-ns", (guint64) (now_ns - record->interval_ns));
  add_uint (line, "calls", now->calls);
  add_uint (line, "succeeded", now->ends[COMMY_SIM_ENDED_OK]);
  add_uint (line, "failed", count_failed (now));
  add_uint (line, "attempts", now->attempts);
  add_uint (line, "retries", now->retries);
  add_uint (line, "hedges", now->hedges);
  add_latencies (line, latencies);
  add_double (line, "ejected", ejected);
  add_double (line, "open", open);
  g_variant_builder_close (line);
  all->calls += now->calls;
  all->attempts += now->attempts;
  all->retries += now->retries;
  all->hedges += now->hedges;
  for (guint i = 0; i < COMMY_SIM_N_ENDS; i++)
    all->ends[i] += now->ends[i];
  g_array_append_vals (all->latencies, latencies->data, latencies->len);
  g_array_set_size (latencies, 0);
  *now = (CommySimCounts){ .latencies = latencies };
  record->interval_ns = now_ns;
}

/* --- the record --- */

static GVariant *
list_instances (const CommySimRecord *record)
{
  GVariantBuilder list;

  g_variant_builder_init (&list, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < record->scenario->places->len; i++)
    {
      const CommySimPlace *place = g_ptr_array_index (record->scenario->places, i);
      const CommySimInstanceCounts *counts = &record->instances[i];

      g_variant_builder_open (&list, G_VARIANT_TYPE_VARDICT);
      g_variant_builder_add (&list, "{sv}", "name", g_variant_new_string (place->name));
      add_uint (&list, "attempts", counts->attempts);
      add_uint (&list, "succeeded", counts->succeeded);
      add_uint (&list, "failed", counts->failed);
      add_uint (&list, "ejections", counts->ejections);
      add_uint (&list, "openings", counts->openings);
      g_variant_builder_close (&list);
    }
  return g_variant_builder_end (&list);
}

static GVariant *
list_faults (const CommySimRecord *record)
{
  const CommySimScenario *scenario = record->scenario;
  GVariantBuilder list;

  g_variant_builder_init (&list, G_VARIANT_TYPE ("aa{sv}"));
  for (guint i = 0; i < scenario->faults->len; i++)
    {
      const CommySimFault *fault = g_ptr_array_index (scenario->faults, i);
      const CommySimNotice *notice = &record->notices[i];

      g_variant_builder_open (&list, G_VARIANT_TYPE_VARDICT);
      g_variant_builder_add (&list, "{sv}", "name", g_variant_new_string (fault->name));
      g_variant_builder_add (&list, "{sv}", "kind",
                             g_variant_new_string (commy_sim_fault_to_string (fault->kind)));
      add_uint (&list, "instances", fault->instances->len);
      add_uint (&list, "at-ns", (guint64) fault->at_ns);
      add_uint (&list, "until-ns", (guint64) fault->until_ns);
      add_uint (&list, "noticed", notice->n);
      add_uint (&list, "of", (guint64) fault->instances->len * scenario->n_clients);
      add_uint (&list, "first-ns", notice->first);
      add_uint (&list, "mean-ns", notice->n > 0 ? notice->sum / notice->n : 0);
      g_variant_builder_close (&list);
    }
  return g_variant_builder_end (&list);
}

static GVariant *
list_ends (const CommySimCounts *counts)
{
  GVariantBuilder list;

  g_variant_builder_init (&list, G_VARIANT_TYPE_VARDICT);
  for (guint i = COMMY_SIM_ENDED_OK + 1; i < COMMY_SIM_N_ENDS; i++)
    if (counts->ends[i] > 0)
      add_uint (&list, end_names[i], counts->ends[i]);
  return g_variant_builder_end (&list);
}

GVariant *
commy_sim_record_finish (CommySimRecord *record, const char *balancer)
{
  const CommySimScenario *scenario = record->scenario;
  const CommySimCounts *all = &record->all;
  const guint64 ok = all->ends[COMMY_SIM_ENDED_OK];
  const guint64 failed = count_failed (all);
  const guint64 firsts = all->attempts - all->retries - all->hedges;
  GVariantBuilder out;

  g_variant_builder_init (&out, G_VARIANT_TYPE_VARDICT);
  add_uint (&out, "seed", scenario->seed);
  g_variant_builder_add (&out, "{sv}", "balancer", g_variant_new_string (balancer));
  add_uint (&out, "duration-ns", (guint64) scenario->duration_ns);
  add_uint (&out, "clients", scenario->n_clients);
  add_uint (&out, "calls", all->calls);
  add_uint (&out, "succeeded", ok);
  add_uint (&out, "failed", failed);
  /* What began and had not ended when time was over. */
  add_uint (&out, "unfinished", all->calls - ok - failed);
  g_variant_builder_add (&out, "{sv}", "reasons", list_ends (all));
  add_double (&out, "goodput-per-s", (double) ok * 1e9 / (double) scenario->duration_ns);
  add_uint (&out, "attempts", all->attempts);
  add_uint (&out, "retries", all->retries);
  add_uint (&out, "hedges", all->hedges);
  add_double (&out, "amplification", firsts > 0 ? (double) all->attempts / (double) firsts : 0);
  add_latencies (&out, all->latencies);
  add_uint (&out, "max-ns", (guint64) get_quantile (all->latencies, 1));
  g_variant_builder_add (&out, "{sv}", "instances", list_instances (record));
  g_variant_builder_add (&out, "{sv}", "faults", list_faults (record));
  if (record->first_refusal != NULL)
    {
      add_uint (&out, "first-refusal-ns", (guint64) record->first_refusal_ns);
      g_variant_builder_add (&out, "{sv}", "first-refusal",
                             g_variant_new_string (record->first_refusal));
    }
  g_variant_builder_add (&out, "{sv}", "timeline", g_variant_builder_end (&record->timeline));
  return g_variant_builder_end (&out);
}
