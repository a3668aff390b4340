/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * All scenarios as a table, in the order in which they run. Those of a group are measured in turns,
 * because they are compared with each other.
 */
#include "config.h"

#include "limit.h"
#include "node.h"
#include "run.h"

#include <string.h>

#define DELAYED                                   \
  "[plugin transport/shm]\nhooks=delay\n[plugin " \
  "transport/delay]\nparam.delay=50us\n" QUICK_PROBES
#define QUICK_PROBES "[calibration]\nprobe-every=200ms\nprobe-time=10%\nprobe-bytes=16MiB/s\n"

#define LIMIT(name, group, what, measure, wait)                     \
  {                                                                 \
    name, group, what, measure, NULL, wait, BENCH_PINS_TWO, NULL, 0 \
  }
#define TRIPS(transport, wait, extra)                                                             \
  {                                                                                               \
    "rtt/" transport "/" wait, wait, "round trips over " transport, scene_round_trips, transport, \
        wait, BENCH_PINS_TWO, extra, 0                                                            \
  }
#define PINNED(name, transport, wait, pins)                                                       \
  {                                                                                               \
    "rtt/" transport "/" wait "/" name, "pins", "round trips over " transport, scene_round_trips, \
        transport, wait, pins, "small", 0                                                         \
  }
#define STREAM(transport, wait)                                                                \
  {                                                                                            \
    "stream/" transport "/" wait, "stream", "messages one way over " transport, scene_streams, \
        transport, wait, BENCH_PINS_TWO, NULL, 0                                               \
  }
#define RATE(transport, wait)                                                              \
  {                                                                                        \
    "rate/" transport "/" wait, "rate", "messages at a rate over " transport, scene_rates, \
        transport, wait, BENCH_PINS_TWO, NULL, 0                                           \
  }
#define ASYNC(transport, wait)                                                               \
  {                                                                                          \
    "async/" transport "/" wait, "async", "64 calls under way over " transport, scene_async, \
        transport, wait, BENCH_PINS_TWO, NULL, 0                                             \
  }
#define MIX(name, what, more)                                                      \
  {                                                                                \
    "mix/" name, "mix", what, scene_mix, NULL, "adaptive", BENCH_PINS_TWO, more, 0 \
  }
#define FAN_OUT(n, number)                                                                   \
  {                                                                                          \
    "fan-out/shm/block/" n "-subscribers", "fan-out", "1 MiB to " n " subscribers over shm", \
        scene_fan_out, "shm", "block", BENCH_PINS_TWO, NULL, number                          \
  }
#define MANY(n, number)                                                                        \
  {                                                                                            \
    "many/" n, "many", n " connections", scene_many, "shm", "adaptive", BENCH_PINS_FREE, NULL, \
        number                                                                                 \
  }
#define EDGE(name, what, measure)                                            \
  {                                                                          \
    name, "edges", what, measure, NULL, "adaptive", BENCH_PINS_FREE, NULL, 1 \
  }

static const BenchScene scenes[] = {
  /* both sides look all the time */
  LIMIT ("limit/spin", "spin", "shared memory, bare", limit_memory, "spin"),
  LIMIT ("limit/spin-sockets", "spin", "sockets, bare", limit_sockets, "spin"),
  LIMIT ("limit/spin-tls", "spin", "GnuTLS, bare", limit_tls, "spin"),
  LIMIT ("limit/value", "spin", "GVariant alone", limit_values, "spin"),
  TRIPS ("shm", "spin", "in-place"),
  TRIPS ("unix", "spin", NULL),
  TRIPS ("tls", "spin", NULL),
  TRIPS ("inproc", "spin", NULL),
  { "loan/shm/spin", "spin", "loans that nobody touches", scene_loans, "shm", "spin",
    BENCH_PINS_TWO, NULL, 0 },
  { "serializer/shm/spin", "spin", "values by each serializer", scene_serializers, "shm", "spin",
    BENCH_PINS_TWO, NULL, 0 },
  { "encoding", "encoding", "each serializer alone", scene_encoding, NULL, NULL, BENCH_PINS_TWO,
    NULL, 0 },
  { "direct", "encoding", "serializers beside their libraries", scene_direct, NULL, NULL,
    BENCH_PINS_TWO, NULL, 0 },
  /* both sides sleep */
  LIMIT ("limit/block", "block", "futex and eventfd, bare", limit_wake, "block"),
  LIMIT ("limit/block-sockets", "block", "sockets, bare", limit_sockets, "block"),
  LIMIT ("limit/tls", "block", "GnuTLS, bare", limit_tls, "block"),
  TRIPS ("shm", "block", NULL),
  TRIPS ("unix", "block", NULL),
  TRIPS ("tls", "block", NULL),
  TRIPS ("inproc", "block", NULL),
  /* as it is by default */
  TRIPS ("shm", "adaptive", NULL),
  TRIPS ("unix", "adaptive", NULL),
  TRIPS ("tls", "adaptive", NULL),
  TRIPS ("inproc", "adaptive", NULL),
  /* both ends on one processor, or anywhere */
  { "limit/one-core", "pins", "futex and eventfd on one processor", limit_wake, NULL, "block",
    BENCH_PINS_ONE, "small", 0 },
  PINNED ("one-core", "shm", "adaptive", BENCH_PINS_ONE),
  PINNED ("one-core", "shm", "block", BENCH_PINS_ONE),
  PINNED ("one-core", "unix", "block", BENCH_PINS_ONE),
  PINNED ("unpinned", "shm", "spin", BENCH_PINS_FREE),
  PINNED ("unpinned", "shm", "adaptive", BENCH_PINS_FREE),
  PINNED ("unpinned", "shm", "block", BENCH_PINS_FREE),
  PINNED ("unpinned", "unix", "block", BENCH_PINS_FREE),
  /* one way */
  LIMIT ("limit/stream", "stream", "rings, bare", limit_rings, "spin"),
  LIMIT ("limit/copy", "stream", "memcpy()", limit_copy, "spin"),
  LIMIT ("limit/stream-sockets", "stream", "sockets one way, bare", limit_socket_streams, "block"),
  LIMIT ("limit/stream-tls", "stream", "GnuTLS one way, bare", limit_tls_streams, "block"),
  STREAM ("shm", "spin"),
  STREAM ("shm", "adaptive"),
  STREAM ("shm", "block"),
  STREAM ("unix", "spin"),
  STREAM ("unix", "adaptive"),
  STREAM ("unix", "block"),
  STREAM ("tls", "spin"),
  STREAM ("tls", "adaptive"),
  STREAM ("tls", "block"),
  /* one way at a rate */
  RATE ("shm", "spin"),
  RATE ("shm", "adaptive"),
  RATE ("shm", "block"),
  RATE ("unix", "adaptive"),
  RATE ("tls", "adaptive"),
  /* from a main loop */
  ASYNC ("shm", "adaptive"),
  ASYNC ("unix", "adaptive"),
  ASYNC ("tls", "adaptive"),
  { "beside/tls", "beside", "small calls beside 64 MiB over tls", scene_beside, "tls", "adaptive",
    BENCH_PINS_TWO, NULL, 0 },
  FAN_OUT ("1", 1),
  FAN_OUT ("2", 2),
  FAN_OUT ("4", 4),
  FAN_OUT ("8", 8),
  /* the choice */
  { "choice", "mix", "64 bytes, as chosen", scene_choice, NULL, "adaptive", BENCH_PINS_TWO,
    QUICK_PROBES, 0 },
  MIX ("all", "mixed sizes, as chosen", QUICK_PROBES),
  MIX ("no-shm", "the same without shm", "deny=transport/shm\n" QUICK_PROBES),
  MIX ("delayed", "the same with shm delayed", DELAYED),
  MIX ("delayed-no-unix",
       "the same with shm delayed, without unix",
       "deny=transport/unix\n" DELAYED),
  { "decision", "edges", "a decision with its record", scene_decision, NULL, "adaptive",
    BENCH_PINS_TWO, NULL, 0 },
  EDGE ("route", "the router's hot path", scene_route),
  EDGE ("policy", "who may call: kept, and decided anew", scene_policy),
  EDGE ("token", "a JWT's check", scene_token),
  EDGE ("floods", "calls beside handshakes that nobody finishes", scene_floods),
  EDGE ("audit", "the audit trail, written and verified", scene_audit),
  /* a program's life */
  EDGE ("start", "from exec to the first answer", scene_start),
  EDGE ("fallback", "from a kill to another's answer", scene_fallback),
  { "fallback/tls", "edges", "the same as between hosts", scene_fallback, "tls", "adaptive",
    BENCH_PINS_FREE, NULL, 0 },
  EDGE ("limit/death", "from a kill until it is noticed, bare", limit_death),
  EDGE ("death", "from a kill until it is noticed", scene_death),
  EDGE ("memory", "what a service takes", scene_memory),
  MANY ("1", 1),
  MANY ("100", 100),
  MANY ("10000", 10000),
  { "idle", "many", "1,000 clients that say nothing", scene_idle, "shm", "adaptive",
    BENCH_PINS_FREE, NULL, 1000 },
};

static gboolean
is_last_of_group (gsize i)
{
  return i + 1 == G_N_ELEMENTS (scenes) || strcmp (scenes[i].group, scenes[i + 1].group) != 0;
}

GPtrArray *
bench_scenes_list (const GPtrArray *peers)
{
  GPtrArray *list = g_ptr_array_new ();

  for (gsize i = 0; i < G_N_ELEMENTS (scenes); i++)
    {
      g_ptr_array_add (list, (gpointer) &scenes[i]);
      for (guint k = 0; is_last_of_group (i) && k < peers->len; k++)
        {
          const BenchPeer *peer = peers->pdata[k];

          for (guint s = 0; s < peer->scenes->len; s++)
            if (strcmp (((const BenchScene *) peer->scenes->pdata[s])->group, scenes[i].group) == 0)
              g_ptr_array_add (list, peer->scenes->pdata[s]);
        }
    }
  return list;
}

gboolean
bench_scene_is_wanted (const BenchScene *scene, char *const *only)
{
  for (guint i = 0; only != NULL && only[i] != NULL; i++)
    {
      g_autofree char *below = g_strconcat (only[i], "/*", NULL);

      if (g_pattern_match_simple (only[i], scene->name)
          || g_pattern_match_simple (below, scene->name))
        return TRUE;
    }
  return only == NULL;
}
