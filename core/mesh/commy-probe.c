/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Connects on the mesh thread as every path does, then pings from its own thread and waits as a
 * synchronous caller would: all paths are measured in the same way, which is what makes them
 * comparable.
 */
#include "config.h"

#include "mesh/commy-probe.h"

#include "base/commy-error-private.h"

#include <stdlib.h>

#define CONNECT_US (1 * G_USEC_PER_SEC)
#define ROUND_TRIP_NS G_GINT64_CONSTANT (1000000000)
#define SMALL_SIZE 64u
#define LARGE_SIZE 65536u
#define LEAST_LARGE 4096u
#define LARGE_WARM_UP 2u
#define MOST_OF_MEDIAN 3
#define ROOM_FOR_FRAME 1024u /* what a transport's largest message needs beside the payload */

/* --- connecting --- */

typedef struct
{
  CommyMesh *mesh; /* outlives the prober, which outlives this */
  CommyWorker *worker;
  CommyPlugin *transport;
  CommyInstance *instance;
  char *address;
  CommyLatch *latch;
} Dial;

static void
discard_channel (gpointer channel)
{
  commy_channel_unref (channel);
}

static void
dial_done (gpointer data, CommyChannel *channel, const GError *error)
{
  Dial *dial = data;
  CommyLatch *latch = dial->latch;

  commy_instance_unref (dial->instance);
  commy_worker_unref (dial->worker);
  g_free (dial->address);
  g_free (dial);
  commy_latch_answer (latch, channel, discard_channel, error);
}

static void
dial_start (gpointer data)
{
  Dial *dial = data;
  CommyEndpoint endpoint = { .struct_size = sizeof endpoint,
                             .transport = dial->transport->note.id,
                             .address = dial->address,
                             .host_id = dial->instance->host_id,
                             .node = dial->instance->node };
  g_autoptr (GError) error = NULL;

  if (!commy_mesh_is_up (dial->mesh))
    {
      commy_set_error (&error, COMMY_ERROR_LEAVING, "the mesh is being left");
      dial_done (dial, NULL, error);
      return;
    }
  commy_setup_connect (&dial->mesh->setup, dial->transport, &endpoint, dial->instance->service,
                       dial->instance->id, dial->worker, dial_done, dial);
}

static CommyChannel *
open_channel (const CommyProbe *probe, GError **error)
{
  Dial *dial = g_new0 (Dial, 1);
  CommyLatch *latch = commy_latch_new ();
  gpointer channel = NULL;

  dial->mesh = probe->mesh;
  dial->worker = commy_worker_ref (probe->worker);
  dial->transport = probe->transport;
  dial->instance = commy_instance_ref (probe->instance);
  dial->address = g_strdup (probe->address);
  dial->latch = latch;
  commy_mesh_post (probe->mesh, dial_start, dial);
  if (!commy_latch_wait (latch, g_get_monotonic_time () + CONNECT_US, probe->cancellable, &channel,
                         error))
    return NULL;
  commy_channel_ref (channel);
  commy_channel_adopt_here (channel);
  return channel;
}

/* --- round trips --- */

static gboolean
goes_on (const CommyProbe *probe, CommyChannel *channel, gint64 deadline_ns)
{
  return commy_channel_is_open (channel) && !g_cancellable_is_cancelled (probe->cancellable)
         && commy_env_now (probe->mesh->env) < deadline_ns;
}

/* Waits for what comes next: a message, room if @write, a kick. */
static void
wait_a_moment (CommyChannel *channel, gint64 deadline_ns, gboolean write, guint32 kick_seen)
{
  if (!commy_channel_poll (channel))
    commy_channel_wait (channel, deadline_ns, write, kick_seen);
}

/* ns, or -1. */
static gint64
round_trip (const CommyProbe *probe, CommyChannel *channel, gconstpointer payload, gsize size)
{
  gint64 started = commy_env_now (probe->mesh->env);
  gint64 deadline = started + ROUND_TRIP_NS;
  guint32 kick_seen = commy_channel_kick_seen (channel);
  guint32 ping;
  CommyIo io;

  while ((io = commy_channel_ping (channel, payload, size, &ping)) == COMMY_IO_WOULD_BLOCK
         && goes_on (probe, channel, deadline))
    {
      wait_a_moment (channel, deadline, TRUE, kick_seen);
      kick_seen = commy_channel_kick_seen (channel);
    }
  if (io != COMMY_IO_OK)
    return -1;
  while (!commy_channel_has_pong (channel, ping))
    {
      gboolean more;

      kick_seen = commy_channel_kick_seen (channel);
      if (!goes_on (probe, channel, deadline))
        return -1;
      more = commy_channel_flush (channel) == COMMY_IO_WOULD_BLOCK;
      wait_a_moment (channel, deadline, more, kick_seen);
    }
  return commy_env_now (probe->mesh->env) - started;
}

static int
compare_ns (gconstpointer a, gconstpointer b)
{
  gint64 x = *(const gint64 *) a, y = *(const gint64 *) b;

  return (x > y) - (x < y);
}

static gint64
median (const gint64 *values, guint n)
{
  gint64 sorted[COMMY_PROBE_SAMPLES];

  for (guint i = 0; i < n; i++)
    sorted[i] = values[i];
  qsort (sorted, n, sizeof *sorted, compare_ns);
  return sorted[n / 2];
}

/* A round trip in which somebody else had the processor says nothing about the path. */
static void
clip (gint64 *values, guint n)
{
  gint64 most = n > 0 ? MOST_OF_MEDIAN * median (values, n) : 0;

  for (guint i = 0; i < n; i++)
    values[i] = MIN (values[i], most);
}

/* The first one wakes whoever sleeps and does not count. Whether all came back. */
static gboolean
ping_small (const CommyProbe *probe,
            CommyChannel *channel,
            gconstpointer payload,
            CommyProbeResult *result)
{
  result->small_size = SMALL_SIZE;
  for (guint i = 0; i <= probe->n_small; i++)
    {
      gint64 ns = round_trip (probe, channel, payload, SMALL_SIZE);

      if (ns < 0)
        return FALSE;
      result->bytes += SMALL_SIZE;
      result->round_trips++;
      if (i > 0)
        result->small_ns[result->n_small++] = MAX (ns / 2, 1);
    }
  return TRUE;
}

static gsize
large_size (const CommyProbe *probe, CommyChannel *channel)
{
  guint64 limit = commy_channel_get_shared (channel)->max_payload;

  if (probe->profile->max_message > ROOM_FOR_FRAME)
    limit = MIN (limit, probe->profile->max_message - ROOM_FOR_FRAME);
  return (gsize) MIN (limit, LARGE_SIZE);
}

/* There with the payload, back with nothing, which takes as long as a small one. A path that is
 * used has touched its memory and opened its window; this channel is new, so the first ones do both
 * and do not count. */
static gboolean
ping_large (const CommyProbe *probe,
            CommyChannel *channel,
            gconstpointer payload,
            CommyProbeResult *result)
{
  gint64 back_ns = median (result->small_ns, result->n_small);

  result->large_size = large_size (probe, channel);
  if (result->large_size < LEAST_LARGE)
    return TRUE;
  for (guint i = 0; i < LARGE_WARM_UP + probe->n_large; i++)
    {
      gint64 ns = round_trip (probe, channel, payload, result->large_size);

      if (ns < 0)
        return FALSE;
      result->bytes += result->large_size;
      result->round_trips++;
      /* The share of the way back is a guess: no less than a tenth of the whole stays. */
      if (i >= LARGE_WARM_UP)
        result->large_ns[result->n_large++] = MAX (ns - back_ns, ns / 10 + 1);
    }
  return TRUE;
}

gboolean
commy_probe_run (const CommyProbe *probe, CommyProbeResult *out_result, GError **error)
{
  g_autofree guint8 *payload = g_malloc0 (LARGE_SIZE);
  CommyChannel *channel;
  gboolean ok;

  *out_result = (CommyProbeResult){ .bytes = 0 };
  channel = open_channel (probe, error);
  if (channel == NULL)
    return FALSE;
  commy_worker_enter (probe->worker);
  ok = ping_small (probe, channel, payload, out_result)
       && ping_large (probe, channel, payload, out_result);
  clip (out_result->small_ns, out_result->n_small);
  clip (out_result->large_ns, out_result->n_large);
  commy_channel_close (channel, NULL);
  commy_channel_unref (channel);
  commy_worker_exit (probe->worker);
  if (!ok)
    commy_set_error (error, COMMY_ERROR_UNREACHABLE, "a probe was not answered");
  return ok;
}
