/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What was begun first and ended first calls back first, in whichever iteration of the main
 * context it was begun and ended.
 */
#include "config.h"

#include "mesh-fixture.h"

#include <string.h>

#define ROUNDS 20

enum
{
  FIRST,
  EARLY, /* ends in the iteration that began it */
  LATE,
  COUNT
};

/* The service answers, or writes, number by number, as far as it may. */
typedef struct
{
  GMutex lock;
  GCond changed;
  guint allowed, done;
} Gate;

typedef struct _Order Order;

struct _Order
{
  Gate gate;
  CommyMesh *mesh;
  CommyService *service;
  CommyClient *client;
  CommyStream *stream; /* or NULL: calls */
  GPtrArray *kept;     /* CommyInvocation, not answered */
  guint n_came;        /* calls of "Line" since the last first one, each with its number */
  GMainLoop *loop;
  guint8 told[COUNT];
  guint n_told;
};

static void
await_allowed (Gate *gate, guint n)
{
  g_mutex_lock (&gate->lock);
  while (gate->allowed < n)
    g_cond_wait (&gate->changed, &gate->lock);
  g_mutex_unlock (&gate->lock);
}

static void
say_done (Gate *gate)
{
  g_mutex_lock (&gate->lock);
  gate->done++;
  g_cond_broadcast (&gate->changed);
  g_mutex_unlock (&gate->lock);
}

/* Returns when it has been done; the answer is on its way then. */
static void
allow (Gate *gate, guint n)
{
  g_mutex_lock (&gate->lock);
  gate->allowed = n;
  g_cond_broadcast (&gate->changed);
  while (gate->done < n)
    g_cond_wait (&gate->changed, &gate->lock);
  g_mutex_unlock (&gate->lock);
}

/* --- the service, on a thread of its own --- */

static void
on_next (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  Order *order = data;
  GBytes *bytes = commy_invocation_get_bytes (invocation);

  await_allowed (&order->gate, 1u + *(const guint8 *) g_bytes_get_data (bytes, NULL));
  commy_invocation_return_bytes (invocation, bytes);
  say_done (&order->gate);
}

static void
on_keep (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  Order *order = data;

  g_mutex_lock (&order->gate.lock);
  g_ptr_array_add (order->kept, invocation);
  g_mutex_unlock (&order->gate.lock);
}

static void
on_line (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  Order *order = data;
  GBytes *bytes = commy_invocation_get_bytes (invocation);
  guint8 number = *(const guint8 *) g_bytes_get_data (bytes, NULL);

  if (number == 0)
    order->n_came = 0;
  if (number == order->n_came++)
    commy_invocation_return_bytes (invocation, bytes);
  else
    commy_invocation_return_error (invocation, "it came out of turn");
}

static void
on_numbers (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  Order *order = data;
  CommyStream *stream = commy_invocation_get_stream (invocation);

  for (guint8 i = 0; i < COUNT; i++)
    {
      g_autoptr (GBytes) bytes = g_bytes_new (&i, 1);
      g_autoptr (GError) error = NULL;

      await_allowed (&order->gate, i + 1u);
      commy_stream_write_bytes_sync (stream, bytes, NULL, &error);
      g_assert_no_error (error);
      say_done (&order->gate);
    }
  commy_invocation_return_value (invocation, NULL);
}

/* --- the client, in the main context --- */

static void on_told (GObject *source, GAsyncResult *result, gpointer data);

static void
begin (Order *order, guint8 number)
{
  g_autoptr (GBytes) bytes = g_bytes_new (&number, 1);

  if (order->stream != NULL)
    commy_stream_read_bytes (order->stream, NULL, on_told, order);
  else
    commy_client_call_bytes (order->client, "Next", bytes, NULL, NULL, on_told, order);
}

/* Before whatever else is ready in its iteration. */
static gboolean
on_high (gpointer data)
{
  Order *order = data;

  allow (&order->gate, LATE + 1);
  return G_SOURCE_REMOVE;
}

static void
on_told (GObject *source, GAsyncResult *result, gpointer data)
{
  Order *order = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes
      = order->stream != NULL
            ? commy_stream_read_bytes_finish (COMMY_STREAM (source), result, &error)
            : commy_client_call_bytes_finish (COMMY_CLIENT (source), result, &error);

  g_assert_no_error (error);
  g_assert_cmpuint (order->n_told, <, COUNT);
  order->told[order->n_told++] = *(const guint8 *) g_bytes_get_data (bytes, NULL);
  if (order->n_told == 1)
    {
      begin (order, EARLY);
      begin (order, LATE);
      allow (&order->gate, EARLY + 1);
      g_idle_add_full (G_PRIORITY_HIGH, on_high, order, NULL);
    }
  else if (order->n_told == COUNT)
    g_main_loop_quit (order->loop);
}

static gboolean
on_start (gpointer data)
{
  Order *order = data;

  begin (order, FIRST);
  allow (&order->gate, FIRST + 1);
  return G_SOURCE_REMOVE;
}

static void
set_up (Order *order, MeshFixture *fixture)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) some = g_bytes_new_static ("", 1);
  g_autoptr (GBytes) echo = NULL;

  g_mutex_init (&order->gate.lock);
  g_cond_init (&order->gate.changed);
  order->mesh = mesh_fixture_join (fixture, NULL);
  order->service = test_service_new (order->mesh, 1);
  commy_service_handle (order->service, "Next", on_next, order, NULL);
  commy_service_handle (order->service, "Keep", on_keep, order, NULL);
  commy_service_handle (order->service, "Line", on_line, order, NULL);
  commy_service_handle_stream (order->service, "Numbers", COMMY_STREAM_KIND_SERVER, on_numbers,
                               order, NULL);
  commy_service_start_sync (order->service, NULL, &error);
  g_assert_no_error (error);
  order->client = commy_client_new (order->mesh, TEST_SERVICE);
  echo = commy_client_call_bytes_sync (order->client, "Echo", some, NULL, NULL, &error);
  g_assert_no_error (error);
  order->loop = g_main_loop_new (NULL, FALSE);
  order->kept = g_ptr_array_new ();
}

static void
tear_down (Order *order)
{
  g_clear_object (&order->stream);
  g_object_unref (order->client);
  commy_mesh_leave_sync (order->mesh, NULL, NULL);
  for (guint i = 0; i < order->kept->len; i++)
    {
      g_autoptr (GBytes) late = g_bytes_new_static ("", 1);

      commy_invocation_return_bytes (order->kept->pdata[i], late);
    }
  g_ptr_array_unref (order->kept);
  g_object_unref (order->service);
  g_object_unref (order->mesh);
  g_main_loop_unref (order->loop);
  g_cond_clear (&order->gate.changed);
  g_mutex_clear (&order->gate.lock);
}

static void
test_order (MeshFixture *fixture, gconstpointer streams)
{
  static const guint8 expected[] = { FIRST, EARLY, LATE };
  Order order = { 0 };
  g_autoptr (GError) error = NULL;

  set_up (&order, fixture);
  if (streams != NULL)
    order.stream
        = commy_client_open_stream_sync (order.client, "Numbers", NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  g_idle_add_full (G_PRIORITY_DEFAULT, on_start, &order, NULL);
  g_main_loop_run (order.loop);
  g_assert_cmpmem (order.told, order.n_told, expected, sizeof expected);
  tear_down (&order);
}

/* --- when there is no more to come --- */

static void
on_failed (GObject *source, GAsyncResult *result, gpointer data)
{
  guint *failed = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = commy_client_call_bytes_finish (COMMY_CLIENT (source), result, &error);

  g_assert_null (bytes);
  g_assert_nonnull (error);
  ++*failed;
}

/* The loop sleeps, or does not run, while another part of the program leaves the mesh. */
static void
on_line_told (GObject *source, GAsyncResult *result, gpointer data)
{
  guint *n_told = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = commy_client_call_bytes_finish (COMMY_CLIENT (source), result, &error);

  g_assert_no_error (error);
  g_assert_cmpuint (*(const guint8 *) g_bytes_get_data (bytes, NULL), ==, *n_told);
  (*n_told)++;
}

/* Some are begun before the instances are known, some while they become so, some after. */
static void
test_line (MeshFixture *fixture, gconstpointer data)
{
  Order order = { 0 };

  set_up (&order, fixture);
  for (guint round = 0; round < ROUNDS; round++)
    {
      CommyMesh *mesh = mesh_fixture_join (fixture, NULL);
      CommyClient *client = commy_client_new (mesh, TEST_SERVICE);
      guint n_told = 0, n_begun = 0;

      while (n_told == 0 || n_told < n_begun)
        {
          guint8 number = (guint8) n_begun;
          g_autoptr (GBytes) bytes = g_bytes_new (&number, 1);

          if (n_told == 0 && n_begun < G_MAXUINT8)
            {
              commy_client_call_bytes (client, "Line", bytes, NULL, NULL, on_line_told, &n_told);
              n_begun++;
            }
          g_main_context_iteration (NULL, n_told > 0);
        }
      g_object_unref (client);
      commy_mesh_leave_sync (mesh, NULL, NULL);
      g_object_unref (mesh);
    }
  tear_down (&order);
}

static void
test_leaving (MeshFixture *fixture, gconstpointer data)
{
  Order order = { 0 };
  guint failed = 0;

  set_up (&order, fixture);
  for (guint8 i = 0; i < COUNT; i++)
    {
      g_autoptr (GBytes) bytes = g_bytes_new (&i, 1);

      commy_client_call_bytes (order.client, "Keep", bytes, NULL, NULL, on_failed, &failed);
    }
  commy_mesh_leave_sync (order.mesh, NULL, NULL);
  while (failed < COUNT)
    g_main_context_iteration (NULL, TRUE);
  tear_down (&order);
}

int
main (int argc, char **argv)
{
  int status;

  if (service_child_main (argc, argv, &status))
    return status;
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/mesh/order/calls-call-back-in-the-order-of-their-answers", MeshFixture, NULL,
              mesh_fixture_set_up, test_order, mesh_fixture_tear_down);
  g_test_add ("/mesh/order/reads-call-back-in-the-order-of-their-messages", MeshFixture, "streams",
              mesh_fixture_set_up, test_order, mesh_fixture_tear_down);
  g_test_add ("/mesh/order/calls-of-a-new-client-stand-in-line", MeshFixture, NULL,
              mesh_fixture_set_up, test_line, mesh_fixture_tear_down);
  g_test_add ("/mesh/order/calls-call-back-when-the-mesh-is-left", MeshFixture, NULL,
              mesh_fixture_set_up, test_leaving, mesh_fixture_tear_down);
  return g_test_run ();
}
