/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the router costs a call: is the route still right, which instance, which stack for this
 * size, and is the call measured. 64 routes in turn at random, sizes at random, on a real mesh.
 * The loop alone is measured beside it. And what a balancer takes to pick one of 100 instances,
 * one of which has a call more or less each time, of which all, or all but ten, may be picked; and
 * what near and far add to that.
 */
#include "config.h"

#include "control/commy-chance.h"
#include "mesh-fixture.h"
#include "mesh/commy-client-private.h"

#include <string.h>
#include <time.h>

#define ROUTES 64u
#define DRAWS 4096u
#define TURNS 2000u
#define INSTANCES 100u
#define EXCLUDED 10u

typedef struct
{
  guint8 route;
  gsize size;
} Draw;

static gint64
now_ns (void)
{
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC, &now);
  return (gint64) now.tv_sec * 1000000000 + now.tv_nsec;
}

static void
offer (CommyMesh *mesh, CommyService **services, CommyClient **clients)
{
  for (guint i = 0; i < ROUTES; i++)
    {
      g_autofree char *name = g_strdup_printf ("org.example.Route%u", i);
      g_autoptr (GError) error = NULL;

      services[i] = commy_service_new (mesh, name, NULL);
      commy_service_start_sync (services[i], NULL, &error);
      g_assert_no_error (error);
      clients[i] = commy_client_new (mesh, name);
      commy_client_check (clients[i], &error);
      g_assert_no_error (error);
    }
}

static gpointer
look_up (CommyClient *client, gsize size)
{
  CommyRoute *route = &client->routes[COMMY_FLAVOUR_BYTES];
  CommyRouteMember *member;
  CommyTurn turn;

  if (!commy_client_route_sync (client, COMMY_FLAVOUR_BYTES, size, G_MAXINT64, NULL, NULL))
    g_error ("no route");
  member = commy_route_pick (route, NULL, 0, 0, &turn);
  if (commy_client_sample (client, route))
    return NULL;
  return commy_route_member_stack (member, size)->path;
}

static gpointer
look_at (CommyClient *client, gsize size)
{
  return (gpointer) ((gsize) client + size);
}

static int
compare (gconstpointer a, gconstpointer b)
{
  double x = *(const double *) a, y = *(const double *) b;

  return x < y ? -1 : x > y;
}

static double
measure (CommyClient **clients, const Draw *draws, gpointer (*func) (CommyClient *, gsize), guint n)
{
  g_autofree double *ns = g_new (double, n);
  volatile gpointer sink;

  for (guint turn = 0; turn < n; turn++)
    {
      gint64 start = now_ns ();

      for (guint i = 0; i < DRAWS; i++)
        sink = func (clients[draws[i].route], draws[i].size);
      ns[turn] = (double) (now_ns () - start) / DRAWS;
    }
  (void) sink;
  qsort (ns, n, sizeof *ns, compare);
  return ns[n / 2];
}

/* --- one of several --- */

static double
measure_picks (CommyMesh *mesh, const char *id, guint n_excluded, guint turns)
{
  const CommyEnv *env = commy_env_system ();
  g_autoptr (CommyClient) client = commy_client_new (mesh, "org.example.Many");
  g_autofree double *ns = g_new (double, turns);
  g_autoptr (GError) error = NULL;
  CommyPeer *members[INSTANCES];
  guint32 weights[INSTANCES];
  guint64 excluded[(INSTANCES + 63) / 64] = { 0 };
  CommyBalance *balance;
  CommyPeers *peers;
  gint64 now;

  commy_client_set_balancer (client, id, &error);
  g_assert_no_error (error);
  peers = commy_peers_new (mesh, client->worker->worker);
  for (guint i = 0; i < INSTANCES; i++)
    {
      g_autofree char *name = g_strdup_printf ("instance-%u", i);
      CommyInstance *instance = commy_instance_new (name, "org.example.Many");

      members[i] = commy_peers_ensure (peers, instance);
      weights[i] = 1 + i % 3;
      commy_instance_unref (instance);
    }
  for (guint i = 0; i < n_excluded; i++)
    commy_bits_add (excluded, i * INSTANCES / n_excluded);
  balance = commy_balance_new (client->balancer, env);
  commy_balance_update (balance, peers, members, weights, INSTANCES);
  now = commy_env_now (env);
  for (guint turn = 0; turn < turns; turn++)
    {
      gint64 start = now_ns ();

      for (guint64 i = 1; i <= DRAWS; i++)
        {
          CommyTurn picked
              = commy_balance_pick (balance, n_excluded > 0 ? excluded : NULL, i, now += 1000);
          CommyPeer *peer = members[picked.index];

          if (i % 2 == 0 && peer->in_flight > 0)
            commy_peer_end (peer);
          else
            commy_peer_begin (peer);
        }
      ns[turn] = (double) (now_ns () - start) / DRAWS;
    }
  qsort (ns, turns, sizeof *ns, compare);
  commy_balance_free (balance);
  commy_peers_free (peers);
  return ns[turns / 2];
}

static void
show_picks (CommyMesh *mesh, guint turns)
{
  static const char *const ids[] = { "round-robin",       "weighted",    "random",
                                     "least-connections", "performance", "consistent-hash" };

  for (gsize i = 0; i < G_N_ELEMENTS (ids); i++)
    g_print ("balancer %s, %u instances: p50 %.1f ns a pick, %.1f ns with %u of them excluded\n",
             ids[i], INSTANCES, measure_picks (mesh, ids[i], 0, turns),
             measure_picks (mesh, ids[i], EXCLUDED, turns), EXCLUDED);
}

/* --- near or far --- */

/* Half of them near, of which @n_failed are not well. */
static double
measure_levels (guint n_failed, guint turns)
{
  const CommyLocalityPolicy policy = { TRUE, 1.4, 0.5 };
  g_auto (CommyLocality) locality = { 0 };
  g_autofree double *ns = g_new (double, turns);
  guint8 levels[INSTANCES];
  guint64 blocked[(INSTANCES + 63) / 64] = { 0 }, chance = 1;
  const guint64 *volatile sink;

  for (guint i = 0; i < INSTANCES; i++)
    levels[i] = i < INSTANCES / 2 ? COMMY_LEVEL_HOST : COMMY_LEVEL_ZONE;
  for (guint i = 0; i < n_failed; i++)
    commy_bits_add (blocked, i);
  commy_locality_set_members (&locality, levels, INSTANCES, NULL);
  for (guint turn = 0; turn < turns; turn++)
    {
      gint64 start = now_ns ();

      for (guint i = 0; i < DRAWS; i++)
        sink = commy_locality_exclude (&locality, &policy, blocked, NULL, 1,
                                       commy_chance_next (&chance));
      ns[turn] = (double) (now_ns () - start) / DRAWS;
    }
  (void) sink;
  qsort (ns, turns, sizeof *ns, compare);
  return ns[turns / 2];
}

static void
show_levels (guint turns)
{
  g_print ("levels, %u instances on two: p50 %.1f ns a pick, %.1f ns where calls spill over\n",
           INSTANCES, measure_levels (0, turns), measure_levels (INSTANCES / 4, turns));
}

int
main (int argc, char **argv)
{
  guint turns = argc > 1 && strcmp (argv[1], "--smoke") == 0 ? 3 : TURNS;
  g_autoptr (GRand) rand = g_rand_new_with_seed (1);
  g_autofree Draw *draws = g_new (Draw, DRAWS);
  CommyService *services[ROUTES];
  CommyClient *clients[ROUTES];
  MeshFixture fixture = { 0 };
  CommyMesh *mesh;
  double loop, both;

  mesh_fixture_set_up (&fixture, NULL);
  mesh = mesh_fixture_join (&fixture, "[calibration]\nmode=passive\n");
  offer (mesh, services, clients);
  for (guint i = 0; i < DRAWS; i++)
    draws[i] = (Draw){ .route = (guint8) g_rand_int_range (rand, 0, ROUTES),
                       .size = (gsize) 1 << g_rand_int_range (rand, 0, 26) };
  measure (clients, draws, look_up, 1); /* decides */
  loop = measure (clients, draws, look_at, turns);
  both = measure (clients, draws, look_up, turns);
  g_print ("router, %u routes, random sizes: p50 %.1f ns a call, of which the loop %.1f ns\n",
           ROUTES, both, loop);
  show_picks (mesh, turns);
  show_levels (turns);
  for (guint i = 0; i < ROUTES; i++)
    {
      g_object_unref (clients[i]);
      g_object_unref (services[i]);
    }
  commy_mesh_leave_sync (mesh, NULL, NULL);
  g_object_unref (mesh);
  mesh_fixture_tear_down (&fixture, NULL);
  return 0;
}
