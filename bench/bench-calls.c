/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Round trips of calls, one after the other, as an application makes them. The argument is
 * copied in once and read where it arrives; the service copies it into its answer.
 */
#include "config.h"

#include "bench.h"

#include <string.h>

typedef struct
{
  Bench *bench;
  const char *transport;
  const char *wait;
  const char *limit;
  CommyClient *client;
  CommyMethod span;
  gsize size;
  guint8 *payload;
  GBytes *bytes;
} Calls;

typedef gboolean (*RoundTrip) (Calls *self, GError **error);

static gboolean
call_span (Calls *self, GError **error)
{
  CommySpan in;
  CommyReply reply;
  gboolean ok;

  if (!commy_client_reserve (self->client, self->span, self->size, &in, error))
    return FALSE;
  memcpy (in.data, self->payload, self->size);
  if (!commy_client_exchange (self->client, self->span, &in, &reply, 0, error))
    return FALSE;
  ok = reply.size == self->size && reply.data[0] == self->payload[0]
       && reply.data[self->size - 1] == self->payload[self->size - 1];
  commy_reply_clear (&reply);
  if (!ok)
    bench_fail (error, "the answer is not the argument");
  return ok;
}

static gboolean
call_bytes (Calls *self, GError **error)
{
  g_autoptr (GBytes) got
      = commy_client_call_bytes_sync (self->client, "Echo", self->bytes, NULL, NULL, error);

  if (got != NULL && g_bytes_get_size (got) != self->size)
    bench_fail (error, "the answer is not the argument");
  return got != NULL && g_bytes_get_size (got) == self->size;
}

static gboolean
call_value (Calls *self, GError **error)
{
  g_autoptr (GVariant) got = commy_client_call_sync (
      self->client, "Add", g_variant_new ("(ii)", 20, 22), NULL, NULL, error);
  gint32 sum;

  if (got == NULL)
    return FALSE;
  g_variant_get (got, "(i)", &sum);
  if (sum != 42)
    bench_fail (error, "the sum is wrong");
  return sum == 42;
}

static gboolean
measure (Calls *self, const char *what, RoundTrip call, gsize size, gsize full, GError **error)
{
  g_autofree char *name = g_strdup_printf ("%s, %s", what, self->transport);
  /* A call that sleeps twice takes longer than one that spins. */
  gsize n = bench_count (self->bench, strcmp (self->wait, "block") == 0 ? full / 4 : full);
  gsize warm = n / 5 + 1;
  g_autofree gint64 *ns = g_new (gint64, n);
  g_autofree guint8 *payload = g_malloc (size);
  g_autoptr (GBytes) bytes = NULL;

  memset (payload, 0x5a, size);
  bytes = g_bytes_new (payload, size);
  self->size = size;
  self->payload = payload;
  self->bytes = bytes;
  for (gsize i = 0; i < n + warm; i++)
    {
      gint64 start = bench_now ();

      if (!call (self, error))
        return FALSE;
      if (i >= warm)
        ns[i - warm] = bench_now () - start;
    }
  bench_add (self->bench, name, self->wait, size, self->limit, ns, n);
  return TRUE;
}

static gboolean
measure_all (Calls *self, GError **error)
{
  static const struct
  {
    gsize size;
    gsize n;
  } cases[] = { { 64, 100000 }, { 4096, 50000 }, { 65536, 5000 }, { 1 << 20, 500 } };

  self->span = commy_client_resolve (self->client, "Span", error);
  if (self->span == 0)
    return FALSE;
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    if (!measure (self, "span call", call_span, cases[i].size, cases[i].n, error))
      return FALSE;
  return measure (self, "named call, raw bytes", call_bytes, 64, 50000, error)
         && measure (self, "named call, (ii) to i", call_value, 8, 50000, error);
}

gboolean
bench_calls (Bench *bench, const char *transport, const char *wait, GError **error)
{
  g_autofree char *theirs = bench_keyfile (bench, wait, NULL);
  g_autofree char *mine = bench_keyfile (bench, wait, transport);
  Calls self = { .bench = bench, .transport = transport, .wait = wait };
  g_autoptr (CommyMesh) mesh = NULL;
  BenchChild child;
  gboolean ok = FALSE;

  if (strcmp (transport, "tls") == 0)
    self.limit = "TCP loopback";
  else if (strcmp (wait, "block") == 0 || !bench->can_spin)
    self.limit = "copy + futex";
  else
    self.limit = "copy + cache line";
  if (!bench_child_start (bench, "serve", theirs, &child, error))
    return FALSE;
  if (bench_child_wait (&child, error) && (mesh = bench_join (mine, error)) != NULL)
    {
      g_autoptr (CommyClient) client = commy_client_new (mesh, BENCH_SERVICE);

      self.client = client;
      ok = measure_all (&self, error);
      commy_mesh_leave_sync (mesh, NULL, NULL);
    }
  return bench_child_end (&child, ok ? error : NULL) && ok;
}
