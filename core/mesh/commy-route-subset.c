/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Ranks every instance by what the mesh thread has found out about it and by what this worker knows
 * of its paths; levels and scores are in the survey, so that thousands cost little.
 */
#include "config.h"

#include "mesh/commy-route-subset.h"

#include "control/commy-subset.h"
#include "mesh/commy-peers.h"
#include "mesh/commy-route-field.h"

#include <string.h>

/* With more instances than these only what may be taken is listed. */
#define SHOWN_IN_FULL 8u

void
commy_route_subset_clear (CommyRouteSubset *subset)
{
  g_clear_pointer (&subset->instances, g_free);
}

/* --- who can be reached --- */

/* Some transport of ours goes there with some serializer that both sides have. */
static gboolean
leads_there (const CommyInstance *instance,
             const CommySurveyInstance *survey,
             const GPtrArray *serializers,
             guint64 caps)
{
  for (guint i = 0; i < survey->n_endpoints; i++)
    for (guint k = 0; k < serializers->len; k++)
      if (survey->endpoints[i].facts->known.filter == COMMY_FILTER_NONE
          && commy_route_serializer_fits (serializers->pdata[k], &survey->endpoints[i], instance,
                                          caps))
        return TRUE;
  return FALSE;
}

/* Every path to it failed lately, or it is left out. @out_retry_ns: when that may change. */
static gboolean
is_out_of_reach (const CommyRouteKey *key,
                 const CommyInstance *instance,
                 gint64 now_ns,
                 gint64 *out_retry_ns)
{
  const CommyPeer *peer = g_hash_table_lookup (key->worker->peers->peers, instance);

  *out_retry_ns = G_MAXINT64;
  if (peer != NULL && key->around != NULL && commy_ward_leaves_out (key->around, peer))
    return TRUE;
  if (peer == NULL || peer->paths->len == 0)
    return FALSE;
  for (guint i = 0; i < peer->paths->len; i++)
    {
      const CommyPath *path = peer->paths->pdata[i];

      if (path->retry_at_ns <= now_ns)
        return FALSE;
      *out_retry_ns = MIN (*out_retry_ns, path->retry_at_ns);
    }
  return TRUE;
}

/* --- who comes first --- */

#define UNWANTED (1u << 31) /* by the selector */
#define NO_WAY (1u << 30)   /* there, for this node: no news of it is awaited */
#define OUT_OF_REACH (1u << 29)

static guint32
rank_of (const CommyInstance *instance, guint level)
{
  return MIN (instance->priority, G_MAXUINT16) * COMMY_LEVELS + level;
}

typedef struct
{
  CommySubsetItem *items;
  guint *index_of; /* into the snapshot */
  guint n;
} Eligible;

static void
collect (Eligible *out,
         CommyRouteSubset *self,
         const CommyRouteKey *key,
         const CommySnapshot *snapshot,
         const GPtrArray *serializers,
         guint64 caps,
         gint64 now_ns)
{
  const CommySurvey *survey = snapshot->survey;

  for (guint i = 0; i < survey->n_instances; i++)
    {
      const CommyInstance *instance = snapshot->instances->pdata[i];
      CommySubsetItem *item = &out->items[out->n];
      gint64 retry_ns;

      if (key->instance != NULL && strcmp (key->instance, instance->id) != 0)
        continue;
      item->rank = rank_of (instance, commy_route_subset_get_level (self, snapshot, i));
      item->score = survey->instances[i]->score;
      if (!commy_route_is_selected (key, instance, NULL))
        item->rank |= UNWANTED;
      else if (!leads_there (instance, survey->instances[i], serializers, caps))
        item->rank |= NO_WAY;
      else if (is_out_of_reach (key, instance, now_ns, &retry_ns))
        {
          item->rank |= OUT_OF_REACH;
          self->recheck_ns = MIN (self->recheck_ns, retry_ns);
        }
      out->index_of[out->n++] = i;
    }
}

/* --- what there is room for --- */

static guint
count_paths (const CommySurveyInstance *instance, gboolean brief)
{
  guint n = 0;

  for (guint i = 0; i < instance->n_endpoints; i++)
    n += instance->endpoints[i].facts->known.filter == COMMY_FILTER_NONE;
  return brief && n > 0 ? n : instance->n_endpoints;
}

/* How many of the @n first there is room for. */
static guint
count_fitting (const CommyRouteSubset *self,
               const CommySurvey *survey,
               const guint *instances,
               guint n,
               guint n_serializers)
{
  guint room = COMMY_ROUTE_MAX_CANDIDATES;

  for (guint i = 0; i < n; i++)
    {
      const guint need = count_paths (survey->instances[instances[i]], self->brief) * n_serializers;

      if (need > room)
        return MAX (i, 1);
      room -= need;
    }
  return n;
}

static gint
by_number (gconstpointer a, gconstpointer b)
{
  const guint x = *(const guint *) a, y = *(const guint *) b;

  return x < y ? -1 : x > y;
}

static void
count_absent (CommyRouteSubset *self, const CommySnapshot *snapshot, const Eligible *eligible)
{
  guint at = 0;

  for (guint i = 0; i < eligible->n; i++)
    {
      while (at < self->n && self->instances[at] < eligible->index_of[i])
        at++;
      if ((eligible->items[i].rank & OUT_OF_REACH) != 0
          && (at == self->n || self->instances[at] != eligible->index_of[i]))
        self->absent[commy_route_subset_get_level (self, snapshot, eligible->index_of[i])]++;
    }
}

void
commy_route_subset_make (CommyRouteSubset *self,
                         const CommyRouteKey *key,
                         CommySnapshot *snapshot,
                         const GPtrArray *serializers,
                         guint64 caps,
                         gint64 now_ns)
{
  g_autofree char *group = g_strdup_printf ("service %s", key->service);
  const guint most = (guint) commy_config_get_int (key->mesh->config, group, "subset");
  const guint n = MAX (snapshot->instances->len, 1);
  g_autofree CommySubsetItem *items = g_new (CommySubsetItem, n);
  g_autofree guint *index_of = g_new (guint, n);
  Eligible eligible = { items, index_of, 0 };
  guint chosen;

  *self = (CommyRouteSubset){ .recheck_ns = G_MAXINT64 };
  self->locality = g_strcmp0 (commy_config_get (key->mesh->config, group, "locality"), "off") != 0;
  collect (&eligible, self, key, snapshot, serializers, caps, now_ns);
  self->n_eligible = eligible.n;
  self->brief = eligible.n > SHOWN_IN_FULL;
  self->instances = g_new (guint, MIN (n, most));
  chosen = commy_subset_choose (eligible.items, eligible.n, most, self->instances);
  for (guint i = 0; i < chosen; i++)
    self->instances[i] = eligible.index_of[self->instances[i]];
  self->n = count_fitting (self, snapshot->survey, self->instances, chosen, serializers->len);
  self->n = MIN (self->n, chosen);
  self->is_full = self->n < chosen;
  qsort (self->instances, self->n, sizeof *self->instances, by_number);
  if (self->n < eligible.n)
    count_absent (self, snapshot, &eligible);
}

void
commy_route_subset_note (const CommyRouteSubset *self, const CommyRouteKey *key, GString *out)
{
  g_autofree char *group = g_strdup_printf ("service %s", key->service);

  if (self->n == self->n_eligible)
    return;
  g_string_append_printf (out,
                          "%s%u of %u instances are considered (subset=%s, %s%s): what can be "
                          "reached and is near comes first, then the choice is this node's own",
                          out->len > 0 ? "; " : "", self->n, self->n_eligible,
                          commy_config_get (key->mesh->config, group, "subset"),
                          commy_config_get_origin (key->mesh->config, group, "subset"),
                          self->is_full ? "; there is no room for more paths" : "");
}
