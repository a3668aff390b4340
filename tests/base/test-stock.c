/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The stock of blocks: what came back goes out again, there is a limit to what lies here, and what
 * nobody uses goes back to the system.
 */
#include "config.h"

#include "base/commy-stock.h"

#include <string.h>

#define MIB ((gsize) 1 << 20)

typedef struct
{
  GMainContext *context;
  CommyStock *stock;
} Scene;

static void
set_up (Scene *self, gconstpointer data)
{
  self->context = g_main_context_new ();
  self->stock = commy_stock_new (4 * MIB, self->context);
}

static void
tear_down (Scene *self, gconstpointer data)
{
  commy_stock_close (self->stock);
  g_main_context_unref (self->context);
}

static void
test_again (Scene *self, gconstpointer data)
{
  guint8 *block = commy_stock_take (self->stock, MIB);
  guint8 *same;

  g_assert_cmpuint (commy_block_get_size (block), >=, MIB);
  g_assert_cmpuint ((gsize) block % 16, ==, 0);
  memset (block, 1, MIB);
  commy_block_free (block);
  g_assert_cmpuint (commy_stock_get_idle (self->stock), >=, MIB);
  same = commy_stock_take (self->stock, MIB - 100);
  g_assert_true (same == block);
  g_assert_cmpuint (commy_stock_get_idle (self->stock), ==, 0);
  commy_block_free (same);
}

static void
test_find (Scene *self, gconstpointer data)
{
  guint8 *block;

  g_assert_null (commy_stock_find (self->stock, MIB));
  commy_block_free (commy_stock_take (self->stock, MIB));
  g_assert_null (commy_stock_find (self->stock, 2 * MIB));
  g_assert_null (commy_stock_find (self->stock, MIB / 16)); /* too large for that */
  block = commy_stock_find (self->stock, MIB);
  g_assert_nonnull (block);
  commy_block_free (block);
}

static void
test_smallest (Scene *self, gconstpointer data)
{
  guint8 *large = commy_stock_take (self->stock, 2 * MIB);
  guint8 *small = commy_stock_take (self->stock, MIB);

  commy_block_free (small);
  commy_block_free (large);
  g_assert_true (commy_stock_find (self->stock, MIB - 1) == small);
  g_assert_true (commy_stock_find (self->stock, MIB - 1) == large);
  commy_block_free (large);
  commy_block_free (small);
}

static void
test_limit (Scene *self, gconstpointer data)
{
  guint8 *blocks[8];

  for (guint i = 0; i < 8; i++)
    blocks[i] = commy_stock_take (self->stock, MIB);
  for (guint i = 0; i < 8; i++)
    commy_block_free (blocks[i]);
  g_assert_cmpuint (commy_stock_get_idle (self->stock), ==, 4 * MIB);
  commy_block_free (commy_stock_take (self->stock, 5 * MIB)); /* never lies here */
  g_assert_cmpuint (commy_stock_get_idle (self->stock), ==, 4 * MIB);
}

static void
test_many (Scene *self, gconstpointer data)
{
  guint8 *blocks[100];

  for (guint i = 0; i < G_N_ELEMENTS (blocks); i++)
    blocks[i] = commy_stock_take (self->stock, COMMY_STOCK_FROM);
  for (guint i = 0; i < G_N_ELEMENTS (blocks); i++)
    commy_block_free (blocks[i]);
  g_assert_cmpuint (commy_stock_get_idle (self->stock), ==, 64 * COMMY_STOCK_FROM);
}

static void
test_small (Scene *self, gconstpointer data)
{
  guint8 *block = commy_stock_take (self->stock, 100);

  commy_block_free (block);
  commy_block_free (commy_stock_take (NULL, MIB));
  commy_block_free (NULL);
  g_assert_cmpuint (commy_stock_get_idle (self->stock), ==, 0);
}

static void
test_grow (Scene *self, gconstpointer data)
{
  guint8 *block = commy_stock_take (self->stock, MIB);

  memset (block, 7, MIB);
  block = commy_block_grow (block, 100);
  g_assert_cmpuint (commy_block_get_size (block), ==, MIB);
  block = commy_block_grow (block, 2 * MIB);
  g_assert_cmpuint (commy_block_get_size (block), >=, 2 * MIB);
  for (gsize i = 0; i < MIB; i++)
    g_assert_cmpuint (block[i], ==, 7);
  commy_block_free (block);
  g_assert_cmpuint (commy_stock_get_idle (self->stock), >=, 2 * MIB);
}

static void
test_swept (Scene *self, gconstpointer data)
{
  commy_block_free (commy_stock_take (self->stock, MIB));
  commy_block_free (commy_stock_take (self->stock, 2 * MIB));
  while (commy_stock_get_idle (self->stock) > 0)
    g_main_context_iteration (self->context, TRUE);
  g_assert_false (g_main_context_pending (self->context)); /* and nothing wakes any more */
  commy_block_free (commy_stock_take (self->stock, MIB));
  while (commy_stock_get_idle (self->stock) > 0)
    g_main_context_iteration (self->context, TRUE);
}

static void
test_outlived (Scene *self, gconstpointer data)
{
  CommyStock *stock = commy_stock_new (4 * MIB, self->context);
  guint8 *block = commy_stock_take (stock, MIB);

  commy_block_free (commy_stock_take (stock, 2 * MIB));
  commy_stock_close (stock);
  memset (block, 1, MIB);
  commy_block_free (block);
  commy_stock_close (NULL);
}

static gpointer
take_and_give (gpointer data)
{
  for (guint i = 0; i < 2000; i++)
    {
      guint8 *block = commy_stock_take (data, COMMY_STOCK_FROM << (i % 4));

      block[0] = (guint8) i;
      commy_block_free (block);
    }
  return NULL;
}

static void
test_threads (Scene *self, gconstpointer data)
{
  GThread *threads[4];

  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("stock", take_and_give, self->stock);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  g_assert_cmpuint (commy_stock_get_idle (self->stock), <=, 4 * MIB);
}

#define ADD(path, func) g_test_add ("/base/stock/" path, Scene, NULL, set_up, func, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("what-came-back-goes-out-again", test_again);
  ADD ("finding-makes-nothing", test_find);
  ADD ("the-smallest-that-fits-goes-first", test_smallest);
  ADD ("no-more-bytes-than-the-limit-lie-here", test_limit);
  ADD ("no-more-blocks-than-there-are-places-lie-here", test_many);
  ADD ("small-blocks-are-not-kept", test_small);
  ADD ("growing-keeps-the-bytes", test_grow);
  ADD ("what-nobody-uses-goes-back-to-the-system", test_swept);
  ADD ("blocks-may-outlive-the-stock", test_outlived);
  ADD ("threads-share-it", test_threads);
  return g_test_run ();
}
