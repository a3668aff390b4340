/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Measuring: see the header. Both ends of a transport are driven by one thread, so that nobody has
 * to be woken: what a profile claims is the cost of a message between two that are awake.
 */
#include "config.h"

#include "commy-measure.h"

#include "commy-transport-rig.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_ROUNDS 20000u
#define MIN_ROUNDS 5u
#define LIE_FACTOR 20.0
#define LIE_NS 1e6
#define LATE_FACTOR 3 /* over the budget by so much, larger sizes are left out */
#define PATIENCE_NS G_GINT64_CONSTANT (60000000000)

static const gsize sizes[COMMY_MEASURE_SIZES] = { 64, 1024, 16384, 131072, 1048576 };

/* One round's parts, in ns. */
typedef struct
{
  gint64 send, latency, recv;
} Round;

static gint64
now_ns (void)
{
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC, &now);
  return now.tv_sec * G_GINT64_CONSTANT (1000000000) + now.tv_nsec;
}

static int
compare_ns (const void *a, const void *b)
{
  gint64 x = *(const gint64 *) a, y = *(const gint64 *) b;

  return (x > y) - (x < y);
}

static double
median (const Round *rounds, guint n, gsize offset)
{
  g_autofree gint64 *values = g_new (gint64, n);

  for (guint i = 0; i < n; i++)
    values[i] = G_STRUCT_MEMBER (gint64, &rounds[i], offset);
  qsort (values, n, sizeof *values, compare_ns);
  return (double) values[n / 2];
}

static void
take (CommyMeasurement *out, gsize size, const Round *rounds, guint n, double claim_ns)
{
  out->sizes[out->n_sizes++] = (CommyMeasuredSize){
    .size = size,
    .n = n,
    .send_ns = median (rounds, n, G_STRUCT_OFFSET (Round, send)),
    .recv_ns = median (rounds, n, G_STRUCT_OFFSET (Round, recv)),
    .latency_ns = median (rounds, n, G_STRUCT_OFFSET (Round, latency)),
    .claim_ns = claim_ns,
  };
}

static double
claim (const CommyProfile *profile, gsize size)
{
  const CommyProfileSegment *segment = profile->segments;

  if (profile->n_segments == 0)
    return 0;
  for (guint i = 0; i + 1 < MIN (profile->n_segments, COMMY_PROFILE_SEGMENTS); i++)
    if (size > profile->segments[i].max_bytes)
      segment = &profile->segments[i + 1];
  return segment->latency_ns + segment->send_cpu_ns + segment->recv_cpu_ns
         + (double) size
               * (segment->wire_ns_per_byte + segment->send_cpu_ns_per_byte
                  + segment->recv_cpu_ns_per_byte);
}

/* --- transports --- */

/* One message from the client to the server; the look that finds it is the receiver's cost, what
 * passes before that is latency. FALSE: the transport does not carry this size. */
static gboolean
measure_message (Rig *rig, const guint8 *bytes, gsize size, Round *out)
{
  CommyMessage message = { 0 };
  gint64 began = now_ns (), sent, looked;
  CommyIo io = rig_put (rig, rig->client, bytes, size);

  if (io != COMMY_IO_OK)
    return FALSE;
  rig->ops->flush (rig->client);
  sent = now_ns ();
  do
    {
      looked = now_ns ();
      if (looked - sent > PATIENCE_NS)
        g_error ("a message of %" G_GSIZE_FORMAT " bytes does not arrive", size);
      io = rig->ops->peek (rig->server, &message);
      if (io == COMMY_IO_WOULD_BLOCK)
        rig->ops->flush (rig->client);
    }
  while (io == COMMY_IO_WOULD_BLOCK);
  if (io != COMMY_IO_OK)
    g_error ("the connection ended: %s", rig->ops->why (rig->server));
  rig->ops->release (rig->server, &message);
  out->send = sent - began;
  out->latency = looked - sent;
  out->recv = now_ns () - looked;
  return TRUE;
}

static void
measure_size (Rig *rig, gsize size, gint64 budget_ns, CommyMeasurement *out)
{
  g_autofree Round *rounds = g_new (Round, MAX_ROUNDS);
  g_autofree guint8 *bytes = g_malloc0 (size);
  gint64 until = now_ns () + budget_ns;
  guint n = 0;

  while (n < MAX_ROUNDS && (n < MIN_ROUNDS || now_ns () < until)
         && measure_message (rig, bytes, size, &rounds[n]))
    n++;
  if (n >= MIN_ROUNDS)
    take (out, size, rounds, n, claim (&rig->descriptor->note->profile, size));
}

static void
measure_transport (const CommyPluginDescriptor *descriptor,
                   const CommyConformanceOptions *options,
                   gint64 budget_ns,
                   CommyMeasurement *out)
{
  const CommyTransportSubject subject = { .id = options->path, .options = options };
  guint64 limit = descriptor->note->profile.max_message;
  gint64 began;
  Rig *rig;

  rig = rig_new (descriptor, &subject, RIG_NONE);
  began = now_ns ();
  rig_make_pair (rig);
  out->connect_ns = (double) (now_ns () - began);
  for (gsize i = 0; i < G_N_ELEMENTS (sizes) && (limit == 0 || sizes[i] <= limit)
                    && now_ns () - began < LATE_FACTOR * budget_ns;
       i++)
    measure_size (rig, sizes[i], budget_ns / COMMY_MEASURE_SIZES, out);
  rig_free (rig);
}

/* --- serializers --- */

/* About @size bytes of what most programs send; of less, where the format carries less. */
static GVariant *
make_value (const char *type, gsize size)
{
  GVariantBuilder builder = G_VARIANT_BUILDER_INIT (G_VARIANT_TYPE (type));
  gsize n = MAX (size / 32, 1);

  for (gsize i = 0; i < n; i++)
    if (strcmp (type, "a(sdu)") == 0)
      g_variant_builder_add (&builder, "(sdu)", "a reading", (double) i / 3, (guint32) i);
    else if (strcmp (type, "as") == 0)
      g_variant_builder_add (&builder, "s", "a reading of thirty-one letters");
    else
      for (guint j = 0; j < 32; j++)
        g_variant_builder_add (&builder, "y", j);
  return g_variant_ref_sink (g_variant_builder_end (&builder));
}

/* The first of these that the format carries. */
static const char *
choose_type (const CommySerializerOps *ops, gpointer instance)
{
  static const char *const types[] = { "a(sdu)", "as", "ay" };

  for (gsize i = 0; i + 1 < G_N_ELEMENTS (types); i++)
    {
      g_autoptr (GVariant) value = make_value (types[i], sizes[0]);

      if (ops->bound (instance, value) > 0)
        return types[i];
    }
  return types[G_N_ELEMENTS (types) - 1];
}

static gboolean
measure_value (
    const CommySerializerOps *ops, gpointer instance, GVariant *value, Round *out, GError **error)
{
  gint64 began = now_ns (), ended;
  gsize bound = ops->bound (instance, value);
  guint8 *bytes = g_malloc (MAX (bound, 1));
  gssize used = ops->encode (instance, value, bytes, bound, error);
  g_autoptr (GBytes) message = g_bytes_new_take (bytes, (gsize) MAX (used, 0));
  g_autoptr (GVariant) back = NULL;

  if (used < 0)
    return FALSE;
  ended = now_ns ();
  out->send = ended - began;
  out->latency = 0;
  back = ops->decode (instance, message, g_variant_get_type (value), error);
  out->recv = now_ns () - ended;
  return back != NULL;
}

static gboolean
measure_serializer (const CommyPluginDescriptor *descriptor,
                    const CommyConformanceOptions *options,
                    gint64 budget_ns,
                    CommyMeasurement *out,
                    GError **error)
{
  g_autoptr (CommyTestHost) host = commy_test_host_new (NULL, descriptor);
  g_autofree Round *rounds = g_new (Round, MAX_ROUNDS);
  const char *type;
  gpointer instance;
  gint64 began;

  commy_conformance_prepare (options, host);
  instance = commy_test_host_start (host, error);
  type = instance != NULL ? choose_type (descriptor->ops, instance) : NULL;
  began = now_ns ();
  for (gsize i = 0;
       instance != NULL && i < G_N_ELEMENTS (sizes) && now_ns () - began < LATE_FACTOR * budget_ns;
       i++)
    {
      g_autoptr (GVariant) value = make_value (type, sizes[i]);
      gint64 until = now_ns () + budget_ns / COMMY_MEASURE_SIZES;
      guint n = 0;

      while (n < MAX_ROUNDS && (n < MIN_ROUNDS || now_ns () < until))
        if (!measure_value (descriptor->ops, instance, value, &rounds[n++], error))
          return FALSE;
      take (out, g_variant_get_size (value), rounds, n,
            claim (&descriptor->note->profile, g_variant_get_size (value)));
    }
  return instance != NULL;
}

gboolean
commy_measure (const CommyPluginDescriptor *descriptor,
               const CommyConformanceOptions *options,
               gint64 budget_ns,
               CommyMeasurement *out,
               GError **error)
{
  memset (out, 0, sizeof *out);
  if ((descriptor->note->flags & COMMY_PLUGIN_FLAG_HOOK) != 0)
    g_set_error (error, COMMY_TEST_ERROR, 209, "a hook costs what it is on, and what it adds");
  else if (descriptor->note->kind == COMMY_PLUGIN_SERIALIZER)
    return measure_serializer (descriptor, options, budget_ns, out, error);
  else if (descriptor->note->kind != COMMY_PLUGIN_TRANSPORT)
    g_set_error (error, COMMY_TEST_ERROR, 209, "only transports and serializers have a cost");
  else
    {
      measure_transport (descriptor, options, budget_ns, out);
      if (out->n_sizes > 0)
        return TRUE;
      g_set_error (error, COMMY_TEST_ERROR, 209, "no message went through");
    }
  return FALSE;
}

gboolean
commy_measurement_contradicts (const CommyMeasurement *measurement)
{
  const CommyMeasuredSize *smallest = &measurement->sizes[0];
  double all = smallest->send_ns + smallest->latency_ns + smallest->recv_ns;

  return measurement->n_sizes > 0 && smallest->claim_ns > 0 && all > LIE_FACTOR * smallest->claim_ns
         && all > smallest->claim_ns + LIE_NS;
}
