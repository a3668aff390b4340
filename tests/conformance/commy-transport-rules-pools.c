/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Rules of pools: messages of two parts, whose second part several connections share, and whose
 * memory it is at each moment.
 */
#include "config.h"

#include "commy-transport-rules.h"

#include <string.h>

#define KIB 1024u
#define LIMIT (1024u * KIB)

static gpointer
pool_new (Rig *rig)
{
  gpointer pool = rig->ops->pool_new (rig->instances[0], LIMIT);

  g_assert_nonnull (pool);
  return pool;
}

static CommyBlock
take (Rig *rig, gpointer pool, gsize size, guint8 fill)
{
  CommyBlock block = { 0 };

  g_assert_cmpint (rig->ops->pool_take (pool, size, &block), ==, COMMY_IO_OK);
  g_assert_cmpuint (block.size, >=, size);
  g_assert_cmpuint ((guintptr) block.data % 64, ==, 0);
  memset (block.data, fill, size);
  return block;
}

static void
lend (Rig *rig, gpointer from, const char *head, const CommyBlock *block, gsize size)
{
  g_assert_cmpint (rig->ops->lend (from, head, strlen (head), block, size), ==, COMMY_IO_OK);
  g_assert_cmpint (rig->ops->flush (from), !=, COMMY_IO_CLOSED);
}

static const guint8 *
receive (
    Rig *rig, gpointer to, gpointer from, const char *head, gsize size, CommyMessage *out_message)
{
  const guint8 *body = NULL;
  gsize body_size = 0;

  g_assert_cmpint (rig_receive (rig, to, from, out_message), ==, COMMY_IO_OK);
  g_assert_cmpuint (out_message->flags & COMMY_MESSAGE_SPLIT, !=, 0);
  g_assert_cmpmem (out_message->data, out_message->size, head, strlen (head));
  g_assert_true (rig->ops->body (to, out_message, &body, &body_size));
  g_assert_cmpuint (body_size, ==, size);
  g_assert_cmpuint ((guintptr) body % 64, ==, 0);
  return body;
}

static void
both_parts_arrive (Rig *rig, const RuleCase *test)
{
  gpointer pool = pool_new (rig);
  CommyMessage message;

  g_assert_true (rig->ops->body (rig->client, NULL, NULL, NULL));
  for (guint i = 0; i < 40; i++)
    {
      gsize size = 1 + (i * 7919) % (200 * KIB);
      CommyBlock block = take (rig, pool, size, (guint8) i);
      const guint8 *body;

      lend (rig, rig->server, "head", &block, size);
      rig->ops->pool_give (&block);
      body = receive (rig, rig->client, rig->server, "head", size, &message);
      g_assert_cmpuint (body[0], ==, i);
      g_assert_cmpuint (body[size - 1], ==, i);
      rig->ops->release (rig->client, &message);
    }
  rig->ops->pool_free (pool);
}

static void
in_order_with_whole_ones (Rig *rig, const RuleCase *test)
{
  gpointer pool = pool_new (rig);
  CommyMessage message;

  for (guint i = 0; i < 10; i++)
    {
      CommyBlock block = take (rig, pool, 20 * KIB, (guint8) i);

      rig_send (rig, rig->server, "before", 6);
      lend (rig, rig->server, "split", &block, 20 * KIB);
      rig_send (rig, rig->server, "behind", 6);
      rig->ops->pool_give (&block);
      rig_expect (rig, rig->client, rig->server, "before", 6);
      g_assert_cmpuint (
          receive (rig, rig->client, rig->server, "split", 20 * KIB, &message)[20 * KIB - 1], ==,
          i);
      rig->ops->release (rig->client, &message);
      g_assert_cmpint (rig_receive (rig, rig->client, rig->server, &message), ==, COMMY_IO_OK);
      g_assert_cmpmem (message.data, message.size, "behind", 6);
      g_assert_cmpuint (message.flags & COMMY_MESSAGE_SPLIT, ==, 0);
      g_assert_false (rig->ops->body (rig->client, &message, NULL, NULL));
      rig->ops->release (rig->client, &message);
    }
  rig->ops->pool_free (pool);
}

typedef enum
{
  FIRST,
  SECOND,
  SENDER,
} Holder;

/* Two connections, one block: it is written again only when both gave it back, and so did we. */
static void
shared_until_all_gave_back (Rig *rig, const RuleCase *test)
{
  static const Holder orders[][3]
      = { { FIRST, SECOND, SENDER }, { FIRST, SENDER, SECOND }, { SECOND, FIRST, SENDER },
          { SECOND, SENDER, FIRST }, { SENDER, FIRST, SECOND }, { SENDER, SECOND, FIRST } };
  gpointer pool = pool_new (rig);
  CommyEndpoint endpoint = rig_endpoint (rig);
  guint n = rig->accepted->len;
  RigAttempt *other_end = rig_connect (rig, &endpoint);
  gpointer server;

  rig_until (rig, other_end->n_done > 0 && rig->accepted->len > n);
  g_assert_no_error (other_end->error);
  server = rig->accepted->pdata[n];
  for (guint order = 0; order < G_N_ELEMENTS (orders); order++)
    {
      CommyBlock block = take (rig, pool, 50 * KIB, (guint8) order);
      CommyMessage first, second;

      lend (rig, rig->server, "first", &block, 50 * KIB);
      lend (rig, server, "second", &block, 40 * KIB);
      receive (rig, rig->client, rig->server, "first", 50 * KIB, &first);
      g_assert_cmpuint (
          receive (rig, other_end->connection, server, "second", 40 * KIB, &second)[40 * KIB - 1],
          ==, order);
      for (guint step = 0; step < G_N_ELEMENTS (orders[order]); step++)
        {
          CommyBlock other = take (rig, pool, 50 * KIB, 0xff);

          g_assert_true (other.data != block.data);
          rig->ops->pool_give (&other);
          if (orders[order][step] == FIRST)
            rig->ops->release (rig->client, &first);
          else if (orders[order][step] == SECOND)
            rig->ops->release (other_end->connection, &second);
          else
            rig->ops->pool_give (&block);
        }
    }
  rig->ops->pool_free (pool);
  rig_attempt_free (other_end);
}

/* A pool that is full says so, and who closes without giving back does not keep it full. */
static void
full_until_the_reader_ends (Rig *rig, const RuleCase *test)
{
  gpointer pool = pool_new (rig);
  CommyBlock block = { 0 };
  CommyMessage message;

  g_assert_cmpint (rig->ops->pool_take (pool, LIMIT + 1, &block), ==, COMMY_IO_TOO_BIG);
  block = take (rig, pool, LIMIT, 1);
  lend (rig, rig->server, "all", &block, LIMIT);
  rig->ops->pool_give (&block);
  receive (rig, rig->client, rig->server, "all", LIMIT, &message);
  g_assert_cmpint (rig->ops->pool_take (pool, LIMIT, &block), ==, COMMY_IO_WOULD_BLOCK);
  rig->ops->release (rig->client, &message);
  rig_close_client (rig);
  rig_close_server (rig);
  block = take (rig, pool, LIMIT, 2);
  rig->ops->pool_free (pool);
  rig->ops->pool_give (&block);
}

/* What was sent stays, whoever of the pool, its blocks and the sender goes first. */
static void
read_after_the_end (Rig *rig, const RuleCase *test)
{
  gpointer pool = pool_new (rig);
  CommyBlock block = take (rig, pool, 100 * KIB, 7);
  CommyMessage message;
  const guint8 *body;

  lend (rig, rig->server, "last", &block, 100 * KIB);
  rig->ops->pool_free (pool);
  rig->ops->pool_give (&block);
  rig_close_server (rig);
  body = receive (rig, rig->client, NULL, "last", 100 * KIB, &message);
  g_assert_cmpuint (body[100 * KIB - 1], ==, 7);
  rig->ops->release (rig->client, &message);
  g_assert_cmpint (rig_receive (rig, rig->client, NULL, &message), ==, COMMY_IO_CLOSED);
}

static const Rule rules[] = {
  { "pools/both-parts-arrive", both_parts_arrive, NEEDS_PAIR | NEEDS_POOLS },
  { "pools/in-order-with-whole-messages", in_order_with_whole_ones, NEEDS_PAIR | NEEDS_POOLS },
  { "pools/shared-until-all-gave-back", shared_until_all_gave_back, NEEDS_PAIR | NEEDS_POOLS },
  { "pools/full-until-the-reader-ends", full_until_the_reader_ends, NEEDS_PAIR | NEEDS_POOLS },
  { "pools/read-after-the-end", read_after_the_end, NEEDS_PAIR | NEEDS_POOLS },
};

const Rule *
commy_transport_rules_pools (gsize *out_n)
{
  *out_n = G_N_ELEMENTS (rules);
  return rules;
}
