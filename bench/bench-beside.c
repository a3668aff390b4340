/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Small calls beside a large message on the same path: one small call after the other from a
 * main loop, in rounds alone and in rounds during which a message of 64 MiB is under way.
 */
#include "config.h"

#include "bench.h"

#define LARGE ((gsize) 64 << 20)
#define SMALL 64
#define ROUND 1000 /* small calls of a round alone */

typedef struct
{
  CommyClient *client;
  GBytes *small;
  GBytes *large;
  GMainLoop *loop;
  GArray *alone;    /* gint64 ns a call */
  GArray *beside;   /* the same, while a large message was under way */
  GArray *large_ns; /* a large message with small calls beside it */
  gint64 started;
  gint64 large_started; /* 0: none is under way */
  gsize left;           /* small calls of this round */
  GError *error;
} Beside;

static void call_small (Beside *self);

static void
take_error (Beside *self, GError *error)
{
  if (self->error == NULL)
    self->error = error;
  else
    g_error_free (error);
  g_main_loop_quit (self->loop);
}

static void
on_small (GObject *source, GAsyncResult *result, gpointer data)
{
  Beside *self = data;
  GError *error = NULL;
  g_autoptr (GBytes) got = commy_client_call_bytes_finish (self->client, result, &error);
  gint64 took = bench_now () - self->started;

  if (got == NULL)
    {
      take_error (self, error);
      return;
    }
  if (self->left > 0)
    {
      self->left--;
      g_array_append_val (self->alone, took);
    }
  else
    g_array_append_val (self->beside, took);
  if (self->left > 0 || self->large_started != 0)
    call_small (self);
  else
    g_main_loop_quit (self->loop);
}

static void
call_small (Beside *self)
{
  self->started = bench_now ();
  commy_client_call_bytes (self->client, "Echo", self->small, NULL, NULL, on_small, self);
}

static void
on_large (GObject *source, GAsyncResult *result, gpointer data)
{
  Beside *self = data;
  GError *error = NULL;
  g_autoptr (GBytes) got = commy_client_call_bytes_finish (self->client, result, &error);
  gint64 took = bench_now () - self->large_started;

  self->large_started = 0;
  if (got == NULL)
    take_error (self, error);
  else
    g_array_append_val (self->large_ns, took);
}

static gboolean
round_alone (Beside *self, gsize n)
{
  self->left = n;
  call_small (self);
  g_main_loop_run (self->loop);
  return self->error == NULL;
}

static gboolean
round_beside (Beside *self)
{
  self->large_started = bench_now ();
  commy_client_call_bytes (self->client, "Sink", self->large, NULL, NULL, on_large, self);
  call_small (self);
  g_main_loop_run (self->loop);
  return self->error == NULL;
}

static gboolean
measure (Bench *bench, Beside *self)
{
  gsize rounds = bench->smoke ? 1 : 20;
  gsize n = bench->smoke ? 20 : ROUND;

  if (!round_alone (self, n) || !round_beside (self))
    return FALSE;
  g_array_set_size (self->alone, 0); /* that was the warm-up */
  g_array_set_size (self->beside, 0);
  g_array_set_size (self->large_ns, 0);
  for (gsize i = 0; i < rounds; i++)
    if (!round_alone (self, n) || !round_beside (self))
      return FALSE;
  return TRUE;
}

static void
report (Bench *bench, Beside *self, const char *transport, const char *wait)
{
  g_autofree char *alone = g_strdup_printf ("small calls alone, %s", transport);
  g_autofree char *beside = g_strdup_printf ("small beside 64 MiB, %s", transport);
  g_autofree char *large = g_strdup_printf ("64 MiB beside small, %s", transport);

  bench_add (bench, alone, wait, SMALL, NULL, (gpointer) self->alone->data, self->alone->len);
  bench_add (bench, beside, wait, SMALL, alone, (gpointer) self->beside->data, self->beside->len);
  bench_add (bench, large, wait, LARGE, NULL, (gpointer) self->large_ns->data, self->large_ns->len);
}

gboolean
bench_beside (Bench *bench, const char *transport, const char *wait, GError **error)
{
  g_autofree char *theirs = bench_keyfile (bench, wait, NULL);
  g_autofree char *mine = bench_keyfile (bench, wait, transport);
  g_autoptr (GBytes) small = g_bytes_new_take (g_malloc0 (SMALL), SMALL);
  g_autoptr (GBytes) large = g_bytes_new_take (g_malloc0 (LARGE), LARGE);
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  g_autoptr (GArray) alone = g_array_new (FALSE, FALSE, sizeof (gint64));
  g_autoptr (GArray) besides = g_array_new (FALSE, FALSE, sizeof (gint64));
  g_autoptr (GArray) large_ns = g_array_new (FALSE, FALSE, sizeof (gint64));
  Beside self = { .small = small,
                  .large = large,
                  .loop = loop,
                  .alone = alone,
                  .beside = besides,
                  .large_ns = large_ns };
  g_autoptr (CommyMesh) mesh = NULL;
  BenchChild child;
  gboolean ok = FALSE;

  if (!bench_child_start (bench, "serve", theirs, &child, error))
    return FALSE;
  if (bench_child_wait (&child, error) && (mesh = bench_join (mine, error)) != NULL)
    {
      g_autoptr (CommyClient) client = commy_client_new (mesh, BENCH_SERVICE);

      self.client = client;
      ok = measure (bench, &self);
      if (!ok)
        g_propagate_error (error, self.error);
      commy_mesh_leave_sync (mesh, NULL, NULL);
    }
  ok = bench_child_end (&child, ok ? error : NULL) && ok;
  if (ok)
    report (bench, &self, transport, wait);
  return ok;
}
