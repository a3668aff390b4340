/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The hooks that do harm: each does what it says, to the sender's messages only, and tells nobody
 * that all is well who must know better. Without a chance of harm they pass the rules of
 * transports, which is a test of its own.
 */
#include "config.h"

#include "tests/conformance/commy-transport-rig.h"

#include <string.h>

typedef struct
{
  const CommyTransportSubject *subject;
  void (*test) (Rig *rig);
} Case;

static void
put_number (Rig *rig, guint32 number)
{
  g_assert_cmpint (rig_put (rig, rig->client, &number, sizeof number), ==, COMMY_IO_OK);
}

static void
test_loss (Rig *rig)
{
  CommyMessage message;

  for (guint32 i = 0; i < 100; i++)
    put_number (rig, i);
  g_assert_cmpint (rig->ops->flush (rig->client), ==, COMMY_IO_OK);
  rig_close_client (rig);
  g_assert_cmpint (rig_receive (rig, rig->server, NULL, &message), ==, COMMY_IO_CLOSED);
}

static void
test_loss_is_told_as_cost (Rig *rig)
{
  CommyEndpoint endpoint = rig_endpoint (rig);
  CommyProfile profile = rig->descriptor->note->profile;

  rig->ops->estimate (rig->instances[1], &endpoint, &profile);
  g_assert_cmpfloat (profile.loss, ==, 1.0);
  g_assert_cmpuint (profile.delivery, ==, rig->descriptor->note->profile.delivery);
}

static void
test_corrupt (Rig *rig)
{
  for (guint i = 0; i < 200; i++)
    {
      guint8 sent[64];
      CommyMessage message = { 0 };
      guint n_bits = 0;

      memset (sent, (int) i, sizeof sent);
      rig_send (rig, rig->client, sent, sizeof sent);
      g_assert_cmpint (rig_receive (rig, rig->server, rig->client, &message), ==, COMMY_IO_OK);
      g_assert_cmpuint (message.size, ==, sizeof sent);
      for (gsize j = 0; j < sizeof sent; j++)
        n_bits += (guint) __builtin_popcount (sent[j] ^ ((const guint8 *) message.data)[j]);
      g_assert_cmpuint (n_bits, ==, 1);
      rig->ops->release (rig->server, &message);
    }
}

static void
test_cut (Rig *rig)
{
  CommyMessage message;
  CommySpan span;
  guint events = 0;

  for (guint32 i = 0; i < 3; i++)
    put_number (rig, i);
  g_assert_cmpint (rig->ops->reserve (rig->client, 4, &span), ==, COMMY_IO_CLOSED);
  g_assert_cmpint (rig->ops->flush (rig->client), ==, COMMY_IO_CLOSED);
  g_assert_cmpint (rig->ops->peek (rig->client, &message), ==, COMMY_IO_CLOSED);
  g_assert_cmpuint (rig->ops->arm (rig->client, COMMY_INTEREST_READ, &events), ==,
                    COMMY_INTEREST_READ);
  g_assert_nonnull (strstr (rig->ops->why (rig->client), "cut"));
  for (guint32 i = 0; i < 3; i++)
    rig_expect_number (rig, rig->server, NULL, i);
  rig_close_client (rig);
  g_assert_cmpint (rig_receive (rig, rig->server, NULL, &message), ==, COMMY_IO_CLOSED);
}

static void
test_reorder (Rig *rig)
{
  for (guint32 i = 0; i < 4; i++)
    put_number (rig, i);
  rig->ops->flush (rig->client);
  /* 0 waits until 1 has passed, 2 until 3 has. */
  rig_expect_number (rig, rig->server, NULL, 1);
  rig_expect_number (rig, rig->server, NULL, 0);
  rig_expect_number (rig, rig->server, NULL, 3);
  rig_expect_number (rig, rig->server, NULL, 2);
}

static void
test_reorder_alone (Rig *rig)
{
  guint events = 0;
  CommyMessage message;

  put_number (rig, 1);
  rig->ops->flush (rig->client);
  g_assert_cmpint (rig->ops->peek (rig->client, &message), ==, COMMY_IO_WOULD_BLOCK);
  rig_expect_number (rig, rig->server, NULL, 1);
  put_number (rig, 2);
  rig->ops->arm (rig->client, COMMY_INTEREST_READ, &events);
  rig_expect_number (rig, rig->server, NULL, 2);
  put_number (rig, 3);
  rig_close_client (rig);
  rig_expect_number (rig, rig->server, NULL, 3);
}

static void
always (CommyTestHost *host)
{
  commy_test_host_set_param (host, "per-million", "1000000");
}

static void
after_three (CommyTestHost *host)
{
  commy_test_host_set_param (host, "per-million", "0");
  commy_test_host_set_param (host, "after", "3");
}

static void
run_case (gconstpointer data)
{
  const Case *test = data;
  g_autoptr (GError) error = NULL;
  const CommyPluginDescriptor *descriptor
      = commy_test_load ("transport", test->subject->id, &error);
  const CommyPluginDescriptor *hook
      = descriptor != NULL ? commy_test_load ("transport", test->subject->hook, &error) : NULL;
  Rig *rig;

  if (hook == NULL)
    {
      g_test_skip (error->message);
      return;
    }
  rig = rig_new (descriptor, test->subject, RIG_NONE);
  rig_make_pair (rig);
  test->test (rig);
  rig_free (rig);
}

int
main (int argc, char **argv)
{
  static const CommyTransportSubject loss
      = { .id = "unix", .hook = "loss", .prepare_hook = always };
  static const CommyTransportSubject corrupt
      = { .id = "unix", .hook = "corrupt", .prepare_hook = always };
  static const CommyTransportSubject cut
      = { .id = "unix", .hook = "cut", .prepare_hook = after_three };
  static const CommyTransportSubject reorder
      = { .id = "unix", .hook = "reorder", .prepare_hook = always };
  static const Case losing = { &loss, test_loss };
  static const Case costing = { &loss, test_loss_is_told_as_cost };
  static const Case corrupting = { &corrupt, test_corrupt };
  static const Case cutting = { &cut, test_cut };
  static const Case reordering = { &reorder, test_reorder };
  static const Case alone = { &reorder, test_reorder_alone };

  g_test_init (&argc, &argv, NULL);
  g_test_add_data_func ("/faults/loss/what-is-sent-does-not-arrive", &losing, run_case);
  g_test_add_data_func ("/faults/loss/is-told-as-a-cost", &costing, run_case);
  g_test_add_data_func ("/faults/corrupt/one-bit-is-another", &corrupting, run_case);
  g_test_add_data_func ("/faults/cut/what-was-sent-before-arrives", &cutting, run_case);
  g_test_add_data_func ("/faults/reorder/the-next-one-passes", &reordering, run_case);
  g_test_add_data_func ("/faults/reorder/alone-it-arrives-all-the-same", &alone, run_case);
  return g_test_run ();
}
