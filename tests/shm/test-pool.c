/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One block of a pool over one to eight connections, through the vtable: who reads what, when it
 * is free again, what one reader can keep from the others, and peers that lie.
 */
#include "config.h"

#include "plugins/shm/commy-link.h"
#include "shm-host.h"

#include <string.h>
#include <sys/mman.h>

#define MOST 8u
#define MIB (1u << 20)

typedef struct
{
  char *directory;
  ShmTestHost *host;
  const CommyTransportOps *ops;
  gpointer writers[MOST]; /* NULL: closed */
  gpointer readers[MOST];
  gpointer pool;
  guint n_fds;
  guint n_maps;
} Fan;

static void
fan_open (Fan *fan, gconstpointer params)
{
  g_autoptr (GError) error = NULL;

  fan->n_fds = shm_test_count_fds ();
  fan->n_maps = shm_test_count_maps ();
  fan->directory = shm_test_directory_new ();
  fan->host = shm_test_host_new (fan->directory, params);
  fan->ops = fan->host->ops;
  shm_test_host_listen (fan->host);
  for (guint i = 0; i < MOST; i++)
    {
      fan->readers[i]
          = shm_test_host_connect (fan->host, shm_test_host_address (fan->host), &error);
      g_assert_no_error (error);
      fan->writers[i] = shm_test_host_accept (fan->host);
    }
  fan->pool = fan->ops->pool_new (fan->host->instance, 16 * MIB);
  g_assert_nonnull (fan->pool);
}

static void
close_end (Fan *fan, gpointer *end)
{
  if (*end != NULL)
    shm_test_host_close (fan->host, g_steal_pointer (end));
}

static void
fan_close (Fan *fan, gconstpointer params)
{
  for (guint i = 0; i < MOST; i++)
    {
      close_end (fan, &fan->writers[i]);
      close_end (fan, &fan->readers[i]);
    }
  fan->ops->pool_free (fan->pool);
  shm_test_host_free (fan->host);
  shm_test_directory_free (fan->directory);
  g_assert_cmpuint (shm_test_count_fds (), ==, fan->n_fds);
  g_assert_cmpuint (shm_test_count_maps (), ==, fan->n_maps);
}

static CommyBlock
take (Fan *fan, gsize size, guint8 fill)
{
  CommyBlock block = { 0 };

  g_assert_cmpint (fan->ops->pool_take (fan->pool, size, &block), ==, COMMY_IO_OK);
  g_assert_cmpuint (block.size, >=, size);
  g_assert_cmpuint ((guintptr) block.data % 64, ==, 0);
  memset (block.data, fill, block.size);
  return block;
}

/* Lends it to reader @i under a head that says so. */
static CommyIo
lend (Fan *fan, guint i, const CommyBlock *block, gsize size)
{
  char head[32];
  CommyIo io;

  g_snprintf (head, sizeof head, "head for %02u", i);
  io = fan->ops->lend (fan->writers[i], head, strlen (head), block, size);
  if (io == COMMY_IO_OK)
    g_assert_cmpint (fan->ops->flush (fan->writers[i]), ==, COMMY_IO_OK);
  return io;
}

static const guint8 *
receive (Fan *fan, guint i, gsize size, CommyMessage *message)
{
  g_autofree char *head = g_strdup_printf ("head for %02u", i);
  const guint8 *body = NULL;
  gsize body_size = 0;

  g_assert_true (shm_test_receive (fan->host, fan->readers[i], message));
  g_assert_cmpuint (message->flags, ==, COMMY_MESSAGE_SPLIT);
  g_assert_cmpmem (message->data, message->size, head, strlen (head));
  g_assert_cmpuint ((guintptr) message->data % 8, ==, 0);
  g_assert_true (fan->ops->body (fan->readers[i], message, &body, &body_size));
  g_assert_cmpuint (body_size, ==, size);
  g_assert_cmpuint ((guintptr) body % 64, ==, 0);
  return body;
}

static void
give (Fan *fan, guint i, const CommyMessage *message)
{
  fan->ops->release (fan->readers[i], message);
}

/* --- sharing --- */

/* What the writer changes in its one place, all of them see: nobody has a copy. */
static void
test_one_block (Fan *fan, gconstpointer params)
{
  for (guint n = 1; n <= MOST; n++)
    {
      CommyBlock block = take (fan, MIB, (guint8) n);
      const guint8 *bodies[MOST];
      CommyMessage messages[MOST];

      for (guint i = 0; i < n; i++)
        g_assert_cmpint (lend (fan, i, &block, MIB - n), ==, COMMY_IO_OK);
      for (guint i = 0; i < n; i++)
        {
          bodies[i] = receive (fan, i, MIB - n, &messages[i]);
          g_assert_cmpuint (bodies[i][0], ==, n);
          g_assert_cmpuint (bodies[i][MIB - n - 1], ==, n);
        }
      block.data[n] = 0xee;
      for (guint i = 0; i < n; i++)
        {
          g_assert_cmpuint (bodies[i][n], ==, 0xee);
          give (fan, i, &messages[i]);
        }
      fan->ops->pool_give (&block);
    }
}

static void
test_read_only (Fan *fan, gconstpointer params)
{
  CommyBlock block = take (fan, MIB, 1);
  CommyMessage message;
  const guint8 *body;

  g_assert_cmpint (lend (fan, 0, &block, MIB), ==, COMMY_IO_OK);
  body = receive (fan, 0, MIB, &message);
  g_assert_cmpint (mprotect ((gpointer) body, 4096, PROT_READ | PROT_WRITE), ==, -1);
  give (fan, 0, &message);
  fan->ops->pool_give (&block);
}

/* In whatever order they give it back, the last one makes it free, and then it is used again. */
static void
test_return_order (Fan *fan, gconstpointer params)
{
  guint order[MOST] = { 0, 1, 2, 3, 4, 5, 6, 7 };

  for (guint round = 0; round < 50; round++)
    {
      CommyBlock block = take (fan, 100000, (guint8) round);
      CommyMessage messages[MOST];
      guint last = (guint) g_test_rand_int_range (0, MOST + 1);

      for (guint i = MOST - 1; i > 0; i--)
        {
          guint other = (guint) g_test_rand_int_range (0, (gint32) i + 1);
          guint kept = order[i];

          order[i] = order[other];
          order[other] = kept;
        }
      for (guint i = 0; i < MOST; i++)
        g_assert_cmpint (lend (fan, i, &block, 100000), ==, COMMY_IO_OK);
      for (guint i = 0; i < MOST; i++)
        receive (fan, i, 100000, &messages[i]);
      for (guint i = 0; i <= MOST; i++)
        {
          CommyBlock other = take (fan, 100000, 0);

          g_assert_true (other.data != block.data);
          fan->ops->pool_give (&other);
          if (i == last)
            fan->ops->pool_give (&block);
          if (i < MOST)
            give (fan, order[i], &messages[order[i]]);
        }
    }
}

/* Of the free ones the one that was taken last is the warmest. */
static void
test_warmest_first (Fan *fan, gconstpointer params)
{
  CommyBlock blocks[3];
  CommyBlock again;

  for (guint i = 0; i < G_N_ELEMENTS (blocks); i++)
    blocks[i] = take (fan, 50000, 0);
  for (guint i = 0; i < G_N_ELEMENTS (blocks); i++)
    fan->ops->pool_give (&blocks[i]);
  again = take (fan, 50000, 0);
  g_assert_true (again.data == blocks[2].data);
  fan->ops->pool_give (&again);
}

/* They keep their place among all others, and a head is gone from the ring as soon as it was read.
 */
static void
test_among_others (Fan *fan, gconstpointer params)
{
  CommyMessage kept[8];

  for (guint i = 0; i < G_N_ELEMENTS (kept); i++)
    {
      CommyBlock block = take (fan, 20000, (guint8) i);
      CommyMessage message;

      shm_test_send (fan->host, fan->writers[0], 40, 0x11);
      g_assert_cmpint (lend (fan, 0, &block, 20000), ==, COMMY_IO_OK);
      fan->ops->pool_give (&block);
      shm_test_send (fan->host, fan->writers[0], 9000, 0x22);
      for (guint step = 0; step < 3; step++)
        {
          if (step == 1)
            {
              receive (fan, 0, 20000, &kept[i]);
              continue;
            }
          g_assert_true (shm_test_receive (fan->host, fan->readers[0], &message));
          g_assert_cmpuint (message.size, ==, step == 0 ? 40 : 9000);
          g_assert_cmpuint (message.flags, ==, 0);
          g_assert_false (fan->ops->body (fan->readers[0], &message, NULL, NULL));
          give (fan, 0, &message);
        }
    }
  /* The ring goes round many times while all of them are kept. */
  for (guint i = 0; i < 2000; i++)
    {
      CommyMessage message;

      shm_test_send (fan->host, fan->writers[0], 200, (guint8) i);
      g_assert_true (shm_test_receive (fan->host, fan->readers[0], &message));
      give (fan, 0, &message);
    }
  for (guint i = 0; i < G_N_ELEMENTS (kept); i++)
    {
      const guint8 *body = NULL;
      gsize size = 0;

      g_assert_true (fan->ops->body (fan->readers[0], &kept[i], &body, &size));
      g_assert_cmpuint (body[size - 1], ==, i);
      g_assert_cmpmem (kept[i].data, kept[i].size, "head for 00", 11);
      give (fan, 0, &kept[i]);
    }
}

/* --- ends --- */

/* What was lent over a connection is at home when that ends. */
static void
test_reader_dies (Fan *fan, gconstpointer params)
{
  CommyBlock block = take (fan, 100000, 1);
  CommyBlock again;
  CommyMessage message;

  for (guint i = 0; i < 3; i++)
    g_assert_cmpint (lend (fan, i, &block, 100000), ==, COMMY_IO_OK);
  fan->ops->pool_give (&block);
  receive (fan, 0, 100000, &message);
  receive (fan, 1, 100000, &message);
  give (fan, 1, &message);
  /* The first has it, the third has not looked. */
  close_end (fan, &fan->readers[0]);
  close_end (fan, &fan->readers[2]);
  again = take (fan, 100000, 2);
  g_assert_true (again.data != block.data);
  close_end (fan, &fan->writers[0]);
  close_end (fan, &fan->writers[2]);
  fan->ops->pool_give (&again);
  again = take (fan, 100000, 3);
  fan->ops->pool_give (&again);
  /* Both are free now: two can be had at a time without a third. */
  block = take (fan, 100000, 0);
  again = take (fan, 100000, 0);
  g_assert_cmpuint (shm_test_count_fds (), ==, fan->n_fds + 1 + 2 * (MOST - 2) + 2 + 2);
  fan->ops->pool_give (&block);
  fan->ops->pool_give (&again);
}

/* A writer that ends takes nothing from who still reads. */
static void
test_writer_ends (Fan *fan, gconstpointer params)
{
  CommyBlock block = take (fan, MIB, 7);
  CommyMessage message, unread;
  const guint8 *body;
  gsize size;

  for (guint i = 0; i < 2; i++)
    g_assert_cmpint (lend (fan, i, &block, MIB), ==, COMMY_IO_OK);
  body = receive (fan, 0, MIB, &message);
  fan->ops->pool_give (&block);
  close_end (fan, &fan->writers[0]);
  close_end (fan, &fan->writers[1]);
  fan->ops->pool_free (fan->pool);
  fan->pool = fan->ops->pool_new (fan->host->instance, MIB);
  g_assert_cmpuint (body[MIB - 1], ==, 7);
  give (fan, 0, &message);
  g_assert_true (shm_test_receive (fan->host, fan->readers[1], &unread));
  g_assert_true (fan->ops->body (fan->readers[1], &unread, &body, &size));
  g_assert_cmpuint (body[MIB - 1], ==, 7);
  give (fan, 1, &unread);
  g_assert_false (shm_test_receive (fan->host, fan->readers[1], &unread));
}

/* A pool that goes while its blocks are read and kept; they are given back later, anywhere. */
static gpointer
give_there (gpointer data)
{
  Fan *fan = ((gpointer *) data)[0];

  fan->ops->pool_give (((gpointer *) data)[1]);
  return NULL;
}

static void
test_pool_goes_first (Fan *fan, gconstpointer params)
{
  CommyBlock block = take (fan, MIB, 9);
  gpointer data[] = { fan, &block };
  CommyMessage message;
  const guint8 *body;

  g_assert_cmpint (lend (fan, 0, &block, MIB), ==, COMMY_IO_OK);
  fan->ops->pool_free (fan->pool);
  fan->pool = fan->ops->pool_new (fan->host->instance, MIB);
  g_assert_cmpint (lend (fan, 1, &block, MIB), ==, COMMY_IO_OK);
  g_thread_join (g_thread_new ("giver", give_there, data));
  for (guint i = 0; i < 2; i++)
    {
      body = receive (fan, i, MIB, &message);
      g_assert_cmpuint (body[MIB - 1], ==, 9);
      give (fan, i, &message);
    }
}

static void
keep_unsent (gpointer user_data, const guint8 *data, gsize size)
{
  g_ptr_array_add (user_data, g_bytes_new (data, size));
}

/* What was not taken is told whole, and in its place. */
static void
test_unsent (Fan *fan, gconstpointer params)
{
  g_autoptr (GPtrArray) unsent = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  CommyMessage message;

  for (guint i = 0; i < 5; i++)
    {
      CommyBlock block = take (fan, 30000, (guint8) i);

      g_assert_cmpint (lend (fan, 3, &block, 30000), ==, COMMY_IO_OK);
      fan->ops->pool_give (&block);
      shm_test_send (fan->host, fan->writers[3], 10, (guint8) (100 + i));
    }
  for (guint i = 0; i < 2; i++)
    {
      receive (fan, 3, 30000, &message);
      give (fan, 3, &message);
      g_assert_true (shm_test_receive (fan->host, fan->readers[3], &message));
      give (fan, 3, &message);
    }
  g_assert_cmpint (fan->ops->peek (fan->readers[3], &message), ==, COMMY_IO_OK);
  g_assert_true (fan->ops->unsent (fan->writers[3], keep_unsent, unsent));
  g_assert_cmpuint (unsent->len, >=, 6);
  for (guint i = 0; i < 6; i++)
    {
      gsize size;
      const guint8 *data = g_bytes_get_data (unsent->pdata[unsent->len - 6 + i], &size);

      g_assert_cmpuint (size, ==, i % 2 == 0 ? 30011 : 10);
      g_assert_cmpuint (data[size - 1], ==, i % 2 == 0 ? 2 + i / 2 : 102 + i / 2);
    }
  give (fan, 3, &message);
}

/* --- limits --- */

/* Who gives nothing back gets nothing more this way; the others do not notice. */
static void
test_hoarder (Fan *fan, gconstpointer params)
{
  CommyMessage kept[SHM_LENT_SLOTS];
  CommyMessage message;
  guint n = 0;

  for (guint i = 0; i < 200; i++)
    {
      CommyBlock block = take (fan, 20000, (guint8) i);
      CommyIo io = lend (fan, 0, &block, 20000);

      if (io == COMMY_IO_OK)
        receive (fan, 0, 20000, &kept[n++]);
      else
        g_assert_cmpint (io, ==, COMMY_IO_UNSUPPORTED);
      g_assert_cmpint (lend (fan, 1, &block, 20000), ==, COMMY_IO_OK);
      fan->ops->pool_give (&block);
      receive (fan, 1, 20000, &message);
      give (fan, 1, &message);
    }
  g_assert_cmpuint (n, ==, SHM_LENT_SLOTS);
  g_assert_null (fan->ops->why (fan->writers[0]));
  while (n > 0)
    {
      CommyBlock block = take (fan, 20000, 0);

      give (fan, 0, &kept[--n]);
      g_assert_cmpint (lend (fan, 0, &block, 20000), ==, COMMY_IO_OK);
      fan->ops->pool_give (&block);
      receive (fan, 0, 20000, &message);
      give (fan, 0, &message);
    }
}

/* A quarter of the pool in bytes, but always one. */
static void
test_quota (Fan *fan, gconstpointer params)
{
  CommyBlock huge = take (fan, 9 * MIB, 1);
  CommyBlock large;
  CommyMessage message;
  guint n = 0;

  g_assert_cmpint (lend (fan, 0, &huge, 9 * MIB), ==, COMMY_IO_OK);
  fan->ops->pool_give (&huge);
  receive (fan, 0, 9 * MIB, &message);
  give (fan, 0, &message);
  for (; n < 10; n++)
    {
      CommyIo io;

      large = take (fan, MIB, (guint8) n);
      io = lend (fan, 1, &large, MIB);
      fan->ops->pool_give (&large);
      if (io != COMMY_IO_OK)
        break;
    }
  g_assert_cmpuint (n, ==, 4);
}

static void
test_full_pool (Fan *fan, gconstpointer params)
{
  CommyBlock blocks[16];
  CommyBlock one = { 0 };

  g_assert_cmpint (fan->ops->pool_take (fan->pool, 16 * MIB + 1, &one), ==, COMMY_IO_TOO_BIG);
  for (guint i = 0; i < G_N_ELEMENTS (blocks); i++)
    blocks[i] = take (fan, MIB, 0);
  g_assert_cmpint (fan->ops->pool_take (fan->pool, 1, &one), ==, COMMY_IO_WOULD_BLOCK);
  fan->ops->pool_give (&blocks[3]);
  one = take (fan, 1, 0);
  for (guint i = 0; i < G_N_ELEMENTS (blocks); i++)
    if (i != 3)
      fan->ops->pool_give (&blocks[i]);
  fan->ops->pool_give (&one);
  /* All of another size: the old ones make room. */
  one = take (fan, 16 * MIB, 0);
  fan->ops->pool_give (&one);
  for (guint i = 0; i < SHM_POOL_BLOCKS / 4; i++)
    blocks[i] = take (fan, 1, 0);
  for (guint i = 0; i < SHM_POOL_BLOCKS / 4; i++)
    fan->ops->pool_give (&blocks[i]);
}

/* Blocks that the pool gave up go from the readers' memory, too. */
static void
test_forgotten (Fan *fan, gconstpointer params)
{
  guint before = shm_test_count_maps ();

  for (guint round = 0; round < 300; round++)
    {
      gsize size = (gsize) 20000 << (round % 9);
      CommyBlock block = take (fan, size, 0);
      CommyMessage message;

      for (guint i = 0; i < 3; i++)
        {
          g_assert_cmpint (lend (fan, i, &block, size), ==, COMMY_IO_OK);
          receive (fan, i, size, &message);
          give (fan, i, &message);
        }
      fan->ops->pool_give (&block);
      g_assert_cmpuint (shm_test_count_maps (), <=, before + 10 + 3 * 11);
      g_assert_cmpuint (shm_test_count_fds (), <=, fan->n_fds + 3 + 2 * MOST + 12);
    }
}

/* A head that does not fit the ring's records, and bodies that are none. */
static void
test_refused (Fan *fan, gconstpointer params)
{
  g_autofree guint8 *head = g_malloc0 (4096);
  CommyBlock block = take (fan, 100, 0);
  CommyMessage message;

  g_assert_cmpint (fan->ops->lend (fan->writers[0], head, 2048 - 31, &block, 10), ==,
                   COMMY_IO_UNSUPPORTED);
  g_assert_cmpint (fan->ops->lend (fan->writers[0], head, 4096, &block, 10), ==,
                   COMMY_IO_UNSUPPORTED);
  g_assert_cmpint (fan->ops->lend (fan->writers[0], head, G_MAXSIZE, &block, 10), ==,
                   COMMY_IO_UNSUPPORTED);
  g_assert_cmpint (fan->ops->lend (fan->writers[0], head, 0, &block, 10), ==, COMMY_IO_UNSUPPORTED);
  g_assert_cmpint (fan->ops->lend (fan->writers[0], head, 10, &block, 0), ==, COMMY_IO_UNSUPPORTED);
  g_assert_cmpint (fan->ops->lend (fan->writers[0], head, 10, &block, block.size + 1), ==,
                   COMMY_IO_UNSUPPORTED);
  g_assert_cmpint (fan->ops->lend (fan->writers[0], head, 2048 - 32, &block, block.size), ==,
                   COMMY_IO_OK);
  fan->ops->pool_give (&block);
  g_assert_cmpint (fan->ops->flush (fan->writers[0]), ==, COMMY_IO_OK);
  g_assert_true (shm_test_receive (fan->host, fan->readers[0], &message));
  g_assert_cmpuint (message.size, ==, 2048 - 32);
  give (fan, 0, &message);
}

/* A full ring says so, and has the writer woken when there is room. */
static void
test_full_ring (Fan *fan, gconstpointer params)
{
  CommyBlock block = take (fan, 100, 0x42);
  CommySpan span;
  CommyMessage message;
  guint events;

  while (fan->ops->reserve (fan->writers[0], 1, &span) == COMMY_IO_OK)
    fan->ops->commit (fan->writers[0], 1);
  g_assert_cmpint (lend (fan, 0, &block, 100), ==, COMMY_IO_WOULD_BLOCK);
  g_assert_cmpuint (fan->ops->arm (fan->writers[0], COMMY_INTEREST_WRITE, &events), ==, 0);
  while (fan->ops->peek (fan->readers[0], &message) == COMMY_IO_OK)
    give (fan, 0, &message);
  g_assert_cmpuint (shm_test_sleep (fan->host, fan->writers[0], COMMY_INTEREST_WRITE), ==,
                    COMMY_INTEREST_WRITE);
  g_assert_cmpint (lend (fan, 0, &block, 100), ==, COMMY_IO_OK);
  fan->ops->pool_give (&block);
  receive (fan, 0, 100, &message);
  give (fan, 0, &message);
}

/* --- lies --- */

typedef struct
{
  const char *name;
  ShmLoanRecord record; /* in place of an honest one, for a block of 16 KiB with the id 0 */
  guint32 head;
  const char *why;
} Forgery;

static const Forgery forgeries[] = {
  { "beyond-its-block", { 0, 0, 1, 0, 0, 16385 }, 8, "a loan points outside of its arena" },
  { "with-an-offset-beyond", { 0, 0, 1, 0, 16384, 64 }, 8, "a loan points outside of its arena" },
  { "with-an-offset-that-wraps",
    { 0, 0, 1, 0, G_MAXUINT64 - 63, 128 },
    8,
    "a loan points outside of its arena" },
  { "off-the-line", { 0, 0, 1, 0, 8, 64 }, 8, "a loan points outside of its arena" },
  { "without-bytes", { 0, 0, 1, 0, 0, 0 }, 8, "a loan points outside of its arena" },
  { "to-nowhere", { 1, 0, 1, 0, 0, 64 }, 8, "a loan points outside of its arena" },
  { "to-a-later-block", { 128, 0, 1, 0, 0, 64 }, 8, "a loan points outside of its arena" },
  { "with-no-such-slot",
    { 0, SHM_LENT_SLOTS, 1, 0, 0, 64 },
    8,
    "a lent block has an impossible slot" },
  { "with-a-slot-of-arenas", { 0, 255, 1, 0, 0, 64 }, 8, "a lent block has an impossible slot" },
};

/* The reader ends that connection, says why, and is well. */
static void
test_forged_records (Fan *fan, gconstpointer params)
{
  for (guint i = 0; i < G_N_ELEMENTS (forgeries); i++)
    {
      g_autoptr (GError) error = NULL;
      gpointer reader
          = shm_test_host_connect (fan->host, shm_test_host_address (fan->host), &error);
      gpointer writer = shm_test_host_accept (fan->host);
      ShmLink *link = writer;
      CommyBlock block = take (fan, 100, 0);
      CommyMessage message;
      guint8 *data;

      g_assert_cmpint (fan->ops->lend (writer, "honest", 6, &block, 100), ==, COMMY_IO_OK);
      fan->ops->pool_give (&block);
      g_assert_cmpint (shm_link_reserve (link, sizeof (ShmLoanRecord) + forgeries[i].head, &data),
                       ==, SHM_OK);
      shm_link_commit_split (link, &forgeries[i].record, forgeries[i].head);
      fan->ops->flush (writer);
      g_assert_true (shm_test_receive (fan->host, reader, &message));
      fan->ops->release (reader, &message);
      g_test_message ("%s", forgeries[i].name);
      g_assert_false (shm_test_receive (fan->host, reader, &message));
      g_assert_cmpstr (fan->ops->why (reader), ==, forgeries[i].why);
      shm_test_host_close (fan->host, reader);
      shm_test_host_close (fan->host, writer);
    }
}

/* A block that is taken away under its reader, one that was never there, one with the number of
 * another, and more than was agreed. */
static void
test_forged_notices (Fan *fan, gconstpointer params)
{
  static const char *const reasons[]
      = { "an arena segment was withdrawn while its messages are in use",
          "an arena segment was withdrawn that is not there",
          "an arena segment was announced in the place of another",
          "the arena grows beyond what was agreed" };

  for (guint i = 0; i < G_N_ELEMENTS (reasons); i++)
    {
      CommyBlock block = take (fan, 100, 0);
      ShmBlock *own = block.token;
      ShmLink *link = fan->writers[i];
      CommyMessage message;

      g_assert_cmpint (lend (fan, i, &block, 100), ==, COMMY_IO_OK);
      receive (fan, i, 100, &message);
      if (i < 2)
        shm_link_tell (link, SHM_NOTICE_BLOCK_DROP, i, 0, -1);
      else
        shm_link_tell (link, SHM_NOTICE_BLOCK, i == 2 ? SHM_ARENA_SEGMENTS : 1,
                       i == 2 ? own->size : (64u << 20), own->fd);
      while (fan->ops->arm (fan->readers[i], COMMY_INTEREST_READ, &(guint){ 0 }) == 0)
        ;
      g_assert_cmpstr (fan->ops->why (fan->readers[i]), ==, reasons[i]);
      give (fan, i, &message);
      fan->ops->pool_give (&block);
    }
}

/* The reader's words say something only of loans that are out, and only with the right number. */
static void
test_lying_reader (Fan *fan, gconstpointer params)
{
  ShmLink *reader = fan->readers[0];
  ShmHeader *words = (ShmHeader *) (gpointer) reader->own.data;
  CommyBlock block = take (fan, 50000, 5);
  CommyBlock other;
  CommyMessage message, mine;
  const guint8 *body;

  g_assert_cmpint (lend (fan, 0, &block, 50000), ==, COMMY_IO_OK);
  g_assert_cmpint (lend (fan, 1, &block, 50000), ==, COMMY_IO_OK);
  fan->ops->pool_give (&block);
  receive (fan, 0, 50000, &mine);
  body = receive (fan, 1, 50000, &message);
  for (guint slot = 0; slot < SHM_LENT_SLOTS; slot++)
    for (guint32 word = 0; word < 300; word++)
      {
        words->lent[slot] = word * 2654435761u;
        other = take (fan, 50000, 6);
        g_assert_true (other.data != block.data);
        fan->ops->pool_give (&other);
      }
  /* Giving back early, and twice, takes nothing from the other one. */
  give (fan, 0, &mine);
  give (fan, 0, &mine);
  memset (words->lent, 1, sizeof words->lent);
  other = take (fan, 50000, 7);
  g_assert_true (other.data != block.data);
  g_assert_cmpuint (body[49999], ==, 5);
  fan->ops->pool_give (&other);
  give (fan, 1, &message);
  /* The old generation does not end the next loan of the slot. */
  block = take (fan, 50000, 8);
  g_assert_cmpint (lend (fan, 1, &block, 50000), ==, COMMY_IO_OK);
  fan->ops->pool_give (&block);
  give (fan, 1, &message);
  other = take (fan, 50000, 9);
  g_assert_true (other.data != block.data);
  fan->ops->pool_give (&other);
  body = receive (fan, 1, 50000, &message);
  g_assert_cmpuint (body[0], ==, 8);
  give (fan, 1, &message);
}

/* What looks like a record of ours, but is something that we were asked to send, is none: the
 * reader may lie about where our records begin. */
static void
test_lying_cursor (Fan *fan, gconstpointer params)
{
  ShmLink *link = fan->writers[0];
  ShmLender *lender;
  CommyBlock block = take (fan, 50000, 5);
  ShmLoanRecord record;

  g_assert_cmpint (lend (fan, 0, &block, 50000), ==, COMMY_IO_OK);
  lender = link->lender;
  record = (ShmLoanRecord){ .generation = lender->loans[0].generation, .length = 50000 };
  g_assert_true (shm_lender_find (lender, &record, lender->loans[0].position) == block.data);
  g_assert_null (shm_lender_find (lender, &record, lender->loans[0].position + 64));
  record.length = block.size + 1;
  g_assert_null (shm_lender_find (lender, &record, lender->loans[0].position));
  record.length = block.size;
  record.generation++;
  g_assert_null (shm_lender_find (lender, &record, lender->loans[0].position));
  record.slot = SHM_LENT_SLOTS;
  g_assert_null (shm_lender_find (lender, &record, lender->loans[0].position));
  fan->ops->pool_give (&block);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define CASE(name, function) \
  g_test_add ("/shm/pool/" name, Fan, NULL, fan_open, function, fan_close)
  CASE ("one-block-for-one-to-eight-readers", test_one_block);
  CASE ("readers-cannot-write", test_read_only);
  CASE ("given-back-in-any-order", test_return_order);
  CASE ("the-warmest-block-first", test_warmest_first);
  CASE ("in-order-among-other-messages", test_among_others);
  CASE ("a-dead-readers-loans-are-at-home", test_reader_dies);
  CASE ("a-writer-ends-before-its-readers", test_writer_ends);
  CASE ("a-pool-goes-before-its-blocks", test_pool_goes_first);
  CASE ("what-was-not-taken-is-told-whole", test_unsent);
  CASE ("who-gives-nothing-back-holds-up-nobody", test_hoarder);
  CASE ("a-reader-gets-a-quarter", test_quota);
  CASE ("a-full-pool-says-so", test_full_pool);
  CASE ("what-the-pool-gave-up-is-unmapped", test_forgotten);
  CASE ("what-cannot-be-lent-is-refused", test_refused);
  CASE ("a-full-ring-wakes-the-writer", test_full_ring);
  CASE ("forged-records-end-the-connection", test_forged_records);
  CASE ("forged-notices-end-the-connection", test_forged_notices);
  CASE ("a-lying-reader-ends-only-its-own-loans", test_lying_reader);
  CASE ("what-only-looks-like-a-loan-is-none", test_lying_cursor);
#undef CASE
  return g_test_run ();
}
