/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the choice of a path costs against an oracle. The same calls go over each allowed transport
 * alone and as the library chooses, in turns; the regret is what the latter takes more than the
 * best of the former. With one size, and with sizes from 64 bytes to four mebibytes mixed.
 */
#include "config.h"

#include "node.h"

#include <math.h>
#include <string.h>

#define SIZES_MAX 8
#define CHOICES_MAX 9 /* the first is the library's */
#define WARM_UP_NS 1500000000

typedef struct
{
  const gsize *sizes;
  guint n_sizes;
  GBytes *payloads[SIZES_MAX];
  CommyClient *clients[CHOICES_MAX];
  const char *names[CHOICES_MAX];
  guint n_choices;
  BenchHistogram *times[CHOICES_MAX][SIZES_MAX];
} Mix;

/* Every transport that is allowed, each once. (transfer full) */
static GPtrArray *
list_allowed (GVariant *decision)
{
  GPtrArray *ids = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GVariant) rows = g_variant_lookup_value (decision, "candidates", NULL);
  GVariantIter iter;
  GVariant *row;

  g_variant_iter_init (&iter, rows);
  while (g_variant_iter_loop (&iter, "@a{sv}", &row))
    {
      const char *id = NULL;
      gboolean allowed = FALSE;

      g_variant_lookup (row, "transport", "&s", &id);
      g_variant_lookup (row, "allowed", "b", &allowed);
      if (allowed && !g_ptr_array_find_with_equal_func (ids, id, g_str_equal, NULL))
        g_ptr_array_add (ids, g_strdup (id));
    }
  return ids;
}

static CommyClient *
make_client (CommyMesh *mesh, const char *transport)
{
  const char *const ids[] = { transport, NULL };
  g_autoptr (CommyRequirements) requirements = commy_requirements_new ();
  CommyClient *client = commy_client_new (mesh, BENCH_SERVICE);

  commy_requirements_set_ordered (requirements, FALSE);
  if (transport != NULL)
    commy_requirements_set_preference (requirements, COMMY_PREFER_PIN, ids);
  commy_client_set_requirements (client, requirements);
  return client;
}

static void
prepare (Mix *self, CommyMesh *mesh, const GPtrArray *transports)
{
  self->n_choices = 1 + MIN (transports->len, CHOICES_MAX - 1);
  for (guint i = 0; i < self->n_choices; i++)
    {
      const char *transport = i > 0 ? transports->pdata[i - 1] : NULL;

      self->clients[i] = make_client (mesh, transport);
      self->names[i] = transport != NULL ? transport : "as-chosen";
      for (guint k = 0; k < self->n_sizes; k++)
        self->times[i][k] = bench_histogram_new ();
    }
  for (guint k = 0; k < self->n_sizes; k++)
    self->payloads[k] = g_bytes_new_take (g_malloc0 (self->sizes[k]), self->sizes[k]);
}

static void
clear (Mix *self)
{
  for (guint i = 0; i < self->n_choices; i++)
    {
      g_clear_object (&self->clients[i]);
      for (guint k = 0; k < self->n_sizes; k++)
        bench_histogram_free (self->times[i][k]);
    }
  for (guint k = 0; k < self->n_sizes; k++)
    g_bytes_unref (self->payloads[k]);
}

/* A few calls of each size, in an order that no path can guess; the same for all. */
static gboolean
call_mixed (Mix *self, guint choice, guint seed, guint n, gboolean counts, GError **error)
{
  for (guint i = 0; i < n; i++)
    {
      guint k = (seed = seed * 1103515245u + 12345u) / 65536u % self->n_sizes;
      gint64 start = bench_now ();
      g_autoptr (GBytes) got = commy_client_call_bytes_sync (self->clients[choice], "Echo",
                                                             self->payloads[k], NULL, NULL, error);

      if (got == NULL)
        return FALSE;
      if (counts)
        bench_histogram_add (self->times[choice][k], bench_now () - start);
    }
  return TRUE;
}

static gboolean
measure (BenchRun *run, Mix *self, GError **error)
{
  guint n = run->length == BENCH_SMOKE ? 16 : 64;
  gint64 start = bench_now ();
  gint64 warm = run->length == BENCH_SMOKE ? 0 : WARM_UP_NS;
  gint64 budget = 4 * bench_get_budget (run);

  /* What the library measures of the paths beside the calls takes its time. */
  do
    if (!call_mixed (self, 0, 1, n, FALSE, error))
      return FALSE;
  while (bench_now () < start + warm);
  start = bench_now ();
  for (guint turn = 0; turn < 2 || bench_now () < start + budget; turn++)
    for (guint i = 0; i < self->n_choices; i++)
      if (!call_mixed (self, i, turn, 4, FALSE, error)
          || !call_mixed (self, i, turn, n, TRUE, error))
        return FALSE;
  return TRUE;
}

#define CLEARLY 1.03 /* a difference beyond it is no chance */

static double
get_median (const Mix *self, guint choice, guint k)
{
  return MAX (bench_histogram_get (self->times[choice][k], 0.5), 1);
}

/* A run that is short may not come to each of them. */
static gboolean
has_come_up (const Mix *self, guint k)
{
  for (guint i = 0; i < self->n_choices; i++)
    if (self->times[i][k]->n == 0)
      return FALSE;
  return TRUE;
}

/* The fixed choice that is best at a size. */
static guint
find_best (const Mix *self, guint k)
{
  guint best = 1;

  for (guint i = 2; i < self->n_choices; i++)
    if (get_median (self, i, k) < get_median (self, best, k))
      best = i;
  return best;
}

static void
tell (BenchRun *run, const BenchScene *scene, const Mix *self)
{
  char id[BENCH_ID_MAX];
  guint crossovers = 0, n = 0, before = 0;
  double logs = 0;

  for (guint k = 0; k < self->n_sizes; k++)
    {
      guint best = find_best (self, k);

      for (guint i = 0; i < self->n_choices; i++)
        {
          bench_id (id, scene, "%s/%" G_GSIZE_FORMAT, self->names[i], self->sizes[k]);
          if (self->times[i][k]->n > 0)
            bench_tell_times (run, id, self->sizes[k], self->times[i][k], -1, -1);
        }
      if (!has_come_up (self, k))
        continue;
      if (before != 0 && get_median (self, before, k) > CLEARLY * get_median (self, best, k))
        crossovers++;
      else if (before != 0)
        best = before;
      before = best;
      logs += log (get_median (self, 0, k) / get_median (self, find_best (self, k), k));
      n++;
    }
  bench_id (id, scene, "times-the-best");
  bench_tell (run, id, BENCH_RATIO, 0, n, exp (logs / MAX (n, 1)));
  bench_id (id, scene, "crossovers");
  bench_tell (run, id, BENCH_COUNT, 0, n, crossovers);
}

static gboolean
compare (BenchRun *run,
         const BenchScene *scene,
         CommyMesh *mesh,
         const gsize *sizes,
         guint n_sizes,
         GError **error)
{
  g_autoptr (CommyClient) client = commy_client_new (mesh, BENCH_SERVICE);
  g_autoptr (CommyDecision) decision = commy_client_explain (client, sizes[0], NULL, NULL, error);
  g_autoptr (GVariant) record = NULL;
  g_autoptr (GPtrArray) transports = NULL;
  Mix mix = { .sizes = sizes, .n_sizes = n_sizes };
  gboolean ok;

  if (decision == NULL)
    return FALSE;
  record = commy_decision_to_variant (decision);
  transports = list_allowed (record);
  if (transports->len == 0)
    return bench_fail (error, "no transport is allowed");
  prepare (&mix, mesh, transports);
  bench_placement_check (run);
  ok = measure (run, &mix, error);
  if (ok)
    tell (run, scene, &mix);
  clear (&mix);
  return ok;
}

static gboolean
compare_one_size (BenchRun *run, const BenchScene *scene, CommyMesh *mesh, GError **error)
{
  static const gsize sizes[] = { 64 };

  return compare (run, scene, mesh, sizes, G_N_ELEMENTS (sizes), error);
}

static gboolean
compare_mixed (BenchRun *run, const BenchScene *scene, CommyMesh *mesh, GError **error)
{
  static const gsize sizes[] = { 64, 512, 4 << 10, 32 << 10, 256 << 10, 1 << 20, 4 << 20 };

  return compare (run, scene, mesh, sizes, G_N_ELEMENTS (sizes), error);
}

/* The scenario's extra words are of the keyfile. */
gboolean
scene_choice (BenchRun *run, const BenchScene *scene, GError **error)
{
  return bench_with_service (run, scene, scene->extra, compare_one_size, error);
}

gboolean
scene_mix (BenchRun *run, const BenchScene *scene, GError **error)
{
  return bench_with_service (run, scene, scene->extra, compare_mixed, error);
}
