/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Paths that are there before they are needed: when the one that is taken fails, a call goes over
 * the next one without setting it up first. Other instances come first, the best path of each; then
 * other paths to the same one.
 */
#include "config.h"

#include "mesh/commy-route-warm.h"

typedef struct
{
  const CommyRouteField *field;
  guint chosen;
} Ranking;

static gboolean
is_elsewhere (const Ranking *ranking, guint i)
{
  return ranking->field->instance_of[i] != ranking->field->instance_of[ranking->chosen];
}

static gint
by_use (gconstpointer a, gconstpointer b, gpointer data)
{
  const Ranking *ranking = data;
  const guint x = *(const guint *) a, y = *(const guint *) b;
  const double first = ranking->field->assessments[x].flow_score;
  const double second = ranking->field->assessments[y].flow_score;

  if (is_elsewhere (ranking, x) != is_elsewhere (ranking, y))
    return is_elsewhere (ranking, x) ? -1 : 1;
  return (first > second) - (first < second);
}

/* Those that may be taken, in the order in which they would be. */
static GArray *
rank (const Ranking *ranking)
{
  const CommyRouteField *field = ranking->field;
  GArray *ranked = g_array_new (FALSE, FALSE, sizeof (guint));

  for (guint i = 0; i < field->n; i++)
    if (field->assessments[i].rejection.filter == COMMY_FILTER_NONE
        && field->endpoint_of[i] != field->endpoint_of[ranking->chosen])
      g_array_append_val (ranked, i);
  g_array_sort_with_data (ranked, by_use, (gpointer) ranking);
  return ranked;
}

static void
on_warm (gpointer data, CommyPath *path, const GError *error)
{
  /* The path knows that it is up, or when to try again. */
}

void
commy_route_warm (const CommyRouteField *field, const CommyRouteKey *key, guint chosen, guint n)
{
  const Ranking ranking = { field, chosen };
  g_autoptr (GArray) ranked = n > 0 ? rank (&ranking) : NULL;
  g_autoptr (GHashTable) done = g_hash_table_new (NULL, NULL);

  for (guint k = 0; n > 0 && k < ranked->len; k++)
    {
      const guint i = g_array_index (ranked, guint, k);
      CommyInstance *instance = field->snapshot->instances->pdata[field->instance_of[i]];
      CommyPeer *peer = commy_peers_ensure (key->worker->peers, instance);
      CommyPath *path = commy_peer_find_path (peer, field->endpoint_of[i]->id);
      gpointer one = is_elsewhere (&ranking, i) ? (gpointer) peer : (gpointer) path;

      if (path == NULL || !g_hash_table_add (done, one))
        continue;
      commy_path_connect (path, on_warm, NULL);
      n--;
    }
}
