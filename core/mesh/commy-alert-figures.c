/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Counters only grow while a channel lives; what they grew by since the last second goes into the
 * window's slot of this one. What a channel counted in its last second is lost with it.
 */
#include "config.h"

#include "mesh/commy-alert-figures.h"

#include "channel/commy-channel.h"
#include "mesh/commy-check.h"
#include "mesh/commy-health-checks.h"
#include "mesh/commy-node-report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a channel had counted a second ago. */
typedef struct
{
  guint64 tick;
  CommyCounters counters;
} Seen;

struct _CommyAlertFigures
{
  CommyMesh *mesh;
  guint64 tick;
  GHashTable *seen; /* serial of a channel -> Seen */
  guint64 dropped;
};

/* --- windows --- */

void
commy_alert_window_init (CommyAlertWindow *self, const CommyAlertRule *rule)
{
  gboolean calls = rule->when == COMMY_ALERT_ERRORS || rule->when == COMMY_ALERT_LATENCY_P99;

  self->n_slots
      = (guint) CLAMP (rule->over_ns / G_GINT64_CONSTANT (1000000000), 1, COMMY_ALERT_SLOTS_MAX);
  self->slots = calls ? g_new0 (CommyCounters, self->n_slots) : NULL;
  self->drops = rule->when == COMMY_ALERT_DROPS ? g_new0 (guint64, self->n_slots) : NULL;
}

void
commy_alert_window_clear (CommyAlertWindow *self)
{
  g_free (self->slots);
  g_free (self->drops);
}

/* --- a second --- */

typedef struct
{
  CommyAlertFigures *figures;
  const CommyAlertFigure *of;
  guint n;
} Round;

/* @into += @now - @then, of what alerts look at. */
static void
add_growth (CommyCounters *into, const CommyCounters *now, const CommyCounters *then)
{
  into->counts[COMMY_COUNT_CALLS_FAILED]
      += now->counts[COMMY_COUNT_CALLS_FAILED] - then->counts[COMMY_COUNT_CALLS_FAILED];
  for (guint i = 0; i < COMMY_HISTOGRAM_BUCKETS; i++)
    into->call_ns.buckets[i] += now->call_ns.buckets[i] - then->call_ns.buckets[i];
}

static void
read_channel (gpointer data, gpointer user_data)
{
  CommyChannel *channel = data;
  Round *round = user_data;
  CommyAlertFigures *self = round->figures;
  guint64 serial = commy_channel_get_serial (channel);
  Seen *seen = g_hash_table_lookup (self->seen, &serial);
  CommyCounters now = { 0 };

  if (commy_channel_is_accepting (channel))
    return;
  commy_counters_merge (&now, commy_channel_get_counters (channel));
  if (seen == NULL)
    {
      seen = g_new0 (Seen, 1);
      g_hash_table_insert (self->seen, g_memdup2 (&serial, sizeof serial), seen);
    }
  for (guint i = 0; i < round->n; i++)
    {
      const CommyAlertFigure *of = &round->of[i];

      if (of->window->slots != NULL
          && (of->rule->service[0] == '\0'
              || strcmp (of->rule->service, commy_channel_get_service (channel)) == 0))
        add_growth (&of->window->slots[self->tick % of->window->n_slots], &now, &seen->counters);
    }
  seen->counters = now;
  seen->tick = self->tick;
}

static gboolean
is_gone (gpointer key, gpointer value, gpointer data)
{
  const CommyAlertFigures *self = data;

  /* A thread that was in the middle of a call is met a second later. */
  return ((Seen *) value)->tick + COMMY_ALERT_SLOTS_MAX < self->tick;
}

static guint64
count_drops (CommyMesh *mesh)
{
  guint64 dropped = 0;

  for (guint i = 0; i < COMMY_DROP_LAST; i++)
    dropped += commy_ledger_get (&mesh->ledger, i);
  return dropped;
}

void
commy_alert_figures_tick (CommyAlertFigures *self, const CommyAlertFigure *of, guint n)
{
  Round round = { self, of, n };
  guint64 dropped = count_drops (self->mesh);
  gboolean calls = FALSE;

  self->tick++;
  for (guint i = 0; i < n; i++)
    {
      CommyAlertWindow *window = of[i].window;

      calls |= window->slots != NULL;
      if (window->slots != NULL)
        memset (&window->slots[self->tick % window->n_slots], 0, sizeof *window->slots);
      if (window->drops != NULL)
        window->drops[self->tick % window->n_slots] = dropped - self->dropped;
    }
  self->dropped = dropped;
  if (!calls)
    return;
  commy_node_report_visit_channels (self->mesh, read_channel, &round);
  g_hash_table_foreach_remove (self->seen, is_gone, self);
}

/* --- figures --- */

static gboolean
get_of_calls (const CommyAlertFigure *of, double *out_value)
{
  CommyCounters sum = { 0 };
  const CommyCounters none = { 0 };
  guint64 failed, well;

  for (guint i = 0; i < of->window->n_slots; i++)
    add_growth (&sum, &of->window->slots[i], &none);
  failed = sum.counts[COMMY_COUNT_CALLS_FAILED];
  well = commy_histogram_total (&sum.call_ns);
  if (of->rule->when == COMMY_ALERT_ERRORS)
    *out_value = (double) failed / (double) MAX (failed + well, 1);
  else
    *out_value = (double) commy_histogram_quantile (&sum.call_ns, 0.99);
  return of->rule->when == COMMY_ALERT_ERRORS ? failed + well > 0 : well > 0;
}

static gboolean
get_instances (CommyAlertFigures *self, const char *service, double *out_value)
{
  g_autoptr (CommySnapshot) snapshot = commy_registry_lookup (self->mesh->registry, service);
  CommyHealthFinding finding;
  guint n = 0;

  for (guint i = 0; snapshot != NULL && i < snapshot->instances->len; i++)
    {
      const CommyInstance *instance = snapshot->instances->pdata[i];

      commy_health_checks_get (self->mesh->health, instance, &finding);
      n += !instance->draining && finding.state != COMMY_HEALTH_UNWELL;
    }
  *out_value = n;
  return snapshot != NULL;
}

static gboolean
get_memory (double *out_value)
{
  g_autofree char *text = NULL;
  guint64 pages = 0;

  if (!g_file_get_contents ("/proc/self/statm", &text, NULL, NULL)
      || sscanf (text, "%*s %" G_GUINT64_FORMAT, &pages) != 1)
    return FALSE;
  *out_value = (double) pages * (double) sysconf (_SC_PAGESIZE);
  return TRUE;
}

static gboolean
get_store_away (CommyAlertFigures *self, double *out_value)
{
  g_autoptr (CommySnapshot) nodes
      = commy_registry_lookup (self->mesh->registry, COMMY_CHECK_NODE_SERVICE);

  *out_value = nodes != NULL && nodes->away_ns != 0 ? 1 : 0;
  return nodes != NULL;
}

gboolean
commy_alert_figures_get (CommyAlertFigures *self, const CommyAlertFigure *of, double *out_value)
{
  switch (of->rule->when)
    {
    case COMMY_ALERT_ERRORS:
    case COMMY_ALERT_LATENCY_P99:
      return get_of_calls (of, out_value);
    case COMMY_ALERT_INSTANCES:
      return get_instances (self, of->rule->service, out_value);
    case COMMY_ALERT_UNWELL:
      *out_value = commy_health_checks_count_unwell (self->mesh->health, of->rule->service);
      return TRUE;
    case COMMY_ALERT_DROPS:
      *out_value = 0;
      for (guint i = 0; i < of->window->n_slots; i++)
        *out_value += (double) of->window->drops[i];
      return TRUE;
    case COMMY_ALERT_MEMORY:
      return get_memory (out_value);
    case COMMY_ALERT_LOAD:
      return getloadavg (out_value, 1) == 1;
    case COMMY_ALERT_STORE_AWAY:
    default:
      return get_store_away (self, out_value);
    }
}

CommyAlertFigures *
commy_alert_figures_new (CommyMesh *mesh)
{
  CommyAlertFigures *self = g_new0 (CommyAlertFigures, 1);

  self->mesh = mesh;
  self->seen = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, g_free);
  self->dropped = count_drops (mesh);
  return self;
}

void
commy_alert_figures_free (CommyAlertFigures *self)
{
  if (self == NULL)
    return;
  g_hash_table_unref (self->seen);
  g_free (self);
}
