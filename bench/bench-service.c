/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The service that all scenarios call: echoes in place and by value, sinks, and streams that are
 * read to their end.
 */
#include "config.h"

#include "node.h"

#include <string.h>
#include <unistd.h>

static const char interface_xml[]
    = "<node><interface name='" BENCH_SERVICE "'>"
      "<method name='Add'><arg type='i' direction='in'/><arg type='i' direction='in'/>"
      "<arg type='i' direction='out'/></method>"
      "<method name='Wait'/><method name='Who'><arg type='i' "
      "direction='out'/></method></interface></node>";

/* The argument is copied to where the answer leaves. */
static void
on_copied (CommySpanCall *call, const guint8 *in, gsize size, gpointer data)
{
  CommySpan out;

  if (commy_span_call_reserve (call, size, &out))
    memcpy (out.data, in, size);
  else
    commy_span_call_fail (call, "no room for the answer");
}

/* The argument is read where it arrived, the answer written where it leaves. */
static void
on_in_place (CommySpanCall *call, const guint8 *in, gsize size, gpointer data)
{
  CommySpan out;

  if (commy_span_call_reserve (call, size, &out))
    bench_fill (out.data, size, (guint8) bench_sum (in, size));
  else
    commy_span_call_fail (call, "no room for the answer");
}

/* Nobody touches the bytes: only where they lie moves. */
static void
on_untouched (CommySpanCall *call, const guint8 *in, gsize size, gpointer data)
{
  CommySpan out;

  if (!commy_span_call_reserve (call, size, &out))
    commy_span_call_fail (call, "no room for the answer");
}

static void
on_echo (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  commy_invocation_return_bytes (invocation, commy_invocation_get_bytes (invocation));
}

static void
on_sink (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  g_autoptr (GBytes) nothing = g_bytes_new (NULL, 0);

  commy_invocation_return_bytes (invocation, nothing);
}

static void
on_add (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  gint32 a;
  gint32 b;

  g_variant_get (commy_invocation_get_parameters (invocation), "(ii)", &a, &b);
  commy_invocation_return_value (invocation, g_variant_new ("(i)", a + b));
}

/* Owes its answer for ever. */
static void
on_wait (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  g_object_ref (invocation);
}

static void
on_who (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  commy_invocation_return_value (invocation, g_variant_new ("(i)", (gint32) getpid ()));
}

/* Reads every byte of every message; the answer is how many there were, and their sum. */
static void
on_pour (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  CommyStream *stream = commy_invocation_get_stream (invocation);
  g_autoptr (GError) error = NULL;
  const guint8 *bytes;
  guint64 sum = 0;
  guint64 n = 0;
  gsize size;

  while (commy_stream_peek (stream, &bytes, &size, &error))
    {
      sum += bench_sum (bytes, size);
      commy_stream_release (stream);
      n++;
    }
  if (error != NULL)
    commy_invocation_return_gerror (invocation, error);
  else
    commy_invocation_return_value (invocation, g_variant_new ("(tt)", n, sum));
}

/* Messages that begin with the time at which they were meant to leave. */
static void
on_clocked (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  CommyStream *stream = commy_invocation_get_stream (invocation);
  g_autoptr (BenchHistogram) histogram = bench_histogram_new ();
  g_autoptr (GError) error = NULL;
  const guint8 *bytes;
  gsize size;

  while (commy_stream_peek (stream, &bytes, &size, &error))
    {
      gint64 due;

      memcpy (&due, bytes, sizeof due);
      bench_histogram_add (histogram, bench_now () - due);
      commy_stream_release (stream);
    }
  if (error != NULL)
    commy_invocation_return_gerror (invocation, error);
  else
    commy_invocation_return_value (
        invocation,
        g_variant_new ("(tddddd)", histogram->n, bench_histogram_get (histogram, 0.5),
                       bench_histogram_get (histogram, 0.9), bench_histogram_get (histogram, 0.99),
                       bench_histogram_get (histogram, 0.999), (double) histogram->max));
}

CommyService *
bench_serve (CommyMesh *mesh, guint workers, GError **error)
{
  g_autoptr (GDBusNodeInfo) node = g_dbus_node_info_new_for_xml (interface_xml, error);
  g_autoptr (CommyService) service = NULL;

  if (node == NULL)
    return NULL;
  service = commy_service_new (mesh, BENCH_SERVICE, node->interfaces[0]);
  commy_service_handle_span (service, "Copied", on_copied, NULL, NULL);
  commy_service_handle_span (service, "InPlace", on_in_place, NULL, NULL);
  commy_service_handle_span (service, "Untouched", on_untouched, NULL, NULL);
  commy_service_handle (service, "Echo", on_echo, NULL, NULL);
  commy_service_handle (service, "Sink", on_sink, NULL, NULL);
  commy_service_handle (service, "Add", on_add, NULL, NULL);
  commy_service_handle (service, "Who", on_who, NULL, NULL);
  commy_service_handle (service, "Wait", on_wait, NULL, NULL);
  commy_service_handle_stream (service, "Pour", COMMY_STREAM_KIND_CLIENT, on_pour, NULL, NULL);
  commy_service_handle_stream (service, "Clocked", COMMY_STREAM_KIND_CLIENT, on_clocked, NULL,
                               NULL);
  commy_service_set_workers (service, workers);
  if (!commy_service_start_sync (service, NULL, error))
    return NULL;
  return g_steal_pointer (&service);
}
