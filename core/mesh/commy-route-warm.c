/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Paths that are there before they are needed: when an instance fails, a call goes to the next one
 * without setting a path up first. Only one path to each, and none beside the one that is taken:
 * that moves to another transport itself, which has to be free. And paths that were, such as while
 * another one had failed: they are looked at whenever a route is decided, so that nobody has to
 * wake for them.
 */
#include "config.h"

#include "mesh/commy-route-warm.h"

typedef struct
{
  const CommyRouteField *field;
  guint chosen;
} Ranking;

static const CommyInstance *
instance_of (const CommyRouteField *field, guint i)
{
  return field->snapshot->instances->pdata[field->instance_of[i]];
}

/* It is only for when none of a better priority can be used. */
static gboolean
stands_by (const Ranking *ranking, guint i)
{
  const CommyRouteField *field = ranking->field;

  return field->candidates[i].known.filter == COMMY_FILTER_PREFERENCE
         && instance_of (field, i)->priority > instance_of (field, ranking->chosen)->priority;
}

static gint
by_use (gconstpointer a, gconstpointer b, gpointer data)
{
  const CommyRouteField *field = ((const Ranking *) data)->field;
  const guint x = *(const guint *) a, y = *(const guint *) b;
  const guint32 mine = instance_of (field, x)->priority, other = instance_of (field, y)->priority;
  const double first = field->assessments[x].flow_score;
  const double second = field->assessments[y].flow_score;

  return mine != other ? (mine > other) - (mine < other) : (first > second) - (first < second);
}

/* Candidates of other instances that may be taken, or may be then, in that order. */
static GArray *
rank (const Ranking *ranking)
{
  const CommyRouteField *field = ranking->field;
  GArray *ranked = g_array_new (FALSE, FALSE, sizeof (guint));

  for (guint i = 0; i < field->n; i++)
    if (field->instance_of[i] != field->instance_of[ranking->chosen]
        && (field->assessments[i].rejection.filter == COMMY_FILTER_NONE || stands_by (ranking, i)))
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
  g_autoptr (GArray) ranked = NULL;
  g_autoptr (GHashTable) done = NULL;
  const CommyGuard *guard;

  /* Who wants a certain instance, or goes around some, has no next one. */
  if (n == 0 || key->instance != NULL || key->around != NULL)
    return;
  ranked = rank (&ranking);
  done = g_hash_table_new (NULL, NULL);
  guard = commy_ward_get_guard (commy_peers_ensure_ward (key->worker->peers, key->service), "");
  for (guint k = 0; k < ranked->len && n > 0; k++)
    {
      const guint i = g_array_index (ranked, guint, k);
      CommyPeer *peer = commy_peers_ensure (
          key->worker->peers, field->snapshot->instances->pdata[field->instance_of[i]]);
      CommyPath *path = commy_peer_find_path (peer, field->endpoint_of[i]->id);

      if (path == NULL || commy_ward_leaves_out (guard, peer) || !g_hash_table_add (done, peer))
        continue;
      commy_path_connect (path, on_warm, NULL);
      n--;
    }
}

/* --- what is not needed any more --- */

static gboolean
is_taken (const CommyRouteMember *member, const CommyPath *path)
{
  for (guint c = 0; c < COMMY_SIZE_CLASSES; c++)
    if (member->classes[c].lo.path == path || member->classes[c].hi.path == path)
      return TRUE;
  return FALSE;
}

/* @spare_ns: beside another one; @idle_ns: in any case; 0: never. */
static void
rest_spares_of (const CommyRouteMember *member, gint64 spare_ns, gint64 idle_ns, gint64 now_ns)
{
  const GPtrArray *paths = member->peer->paths;
  gint64 used_ns = 0; /* the last that anything happened on any of them */

  for (guint i = 0; i < paths->len; i++)
    {
      CommyPath *path = paths->pdata[i];

      if (commy_path_is_up (path))
        used_ns = MAX (used_ns, commy_channel_look_idle (path->channel, now_ns));
    }
  for (guint i = 0; i < paths->len; i++)
    {
      CommyPath *path = paths->pdata[i];
      gint64 since_ns;

      if (!commy_path_is_up (path))
        continue;
      since_ns = commy_channel_look_idle (path->channel, now_ns);
      if ((spare_ns > 0 && now_ns - since_ns >= spare_ns && since_ns < used_ns
           && !is_taken (member, path))
          || (idle_ns > 0 && now_ns - since_ns >= idle_ns))
        commy_channel_rest (path->channel);
    }
}

void
commy_route_rest_spares (const CommyRoute *route, const CommyRouteKey *key)
{
  g_autofree char *group = g_strdup_printf ("service %s", key->service);
  const gint64 spare_ns = commy_config_get_duration (key->mesh->config, group, "spare-timeout");
  const gint64 idle_ns = commy_config_get_duration (key->mesh->config, group, "idle-timeout");
  const gint64 now_ns = commy_env_now (key->mesh->env);

  /* Whom this very call may go to is among the nearest. */
  for (guint i = 0; i < route->n_members; i++)
    rest_spares_of (&route->members[i], spare_ns,
                    route->members[i].level > route->members[0].level ? idle_ns : 0, now_ns);
}
