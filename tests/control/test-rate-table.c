/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A limit for each of many callers: of whom there are more than there is room for, who call from
 * several threads, and whose limit is divided meanwhile.
 */
#include "config.h"

#include "control/commy-rate-table.h"

#define S G_GINT64_CONSTANT (1000000000)
#define MS (S / 1000)
#define START (100 * S)

static const CommyRateLimitPolicy ten = { 10, 4 };

static guint
take_all (CommyRateTable *table, const char *key, gint64 now_ns)
{
  gint64 wait_ns;
  guint n = 0;

  for (;;)
    {
      CommyRateBucket *bucket = commy_rate_table_find (table, key, now_ns);
      CommyRateVerdict verdict = commy_rate_table_take (table, bucket, now_ns, &wait_ns);

      commy_rate_bucket_unref (bucket);
      g_assert_cmpint (verdict, !=, COMMY_RATE_GONE);
      if (verdict == COMMY_RATE_REFUSED)
        return n;
      n++;
    }
}

static gboolean
is_crowd (CommyRateTable *table, const char *key, gint64 now_ns)
{
  CommyRateBucket *bucket = commy_rate_table_find (table, key, now_ns);
  gboolean is_shared = commy_rate_bucket_is_shared (bucket);

  commy_rate_bucket_unref (bucket);
  return is_shared;
}

/* --- one limit --- */

/* A bucket as commy-rate-limit.h has it, as one number. */
static void
test_each (void)
{
  g_autoptr (CommyRateTable) table = commy_rate_table_new (&ten, 8);
  CommyRateBucket *bucket = commy_rate_table_find (table, "ann", START);
  gint64 wait_ns = 0;

  g_assert_cmpuint (take_all (table, "ann", START), ==, 4);
  g_assert_cmpuint (take_all (table, "bob", START), ==, 4);
  g_assert_cmpint (commy_rate_table_take (table, bucket, START, &wait_ns), ==, COMMY_RATE_REFUSED);
  g_assert_cmpint (wait_ns, ==, 100 * MS);
  g_assert_cmpuint (take_all (table, "ann", START + wait_ns - MS), ==, 0);
  g_assert_cmpuint (take_all (table, "ann", START + wait_ns), ==, 1);
  g_assert_cmpuint (take_all (table, "ann", START + 10 * S), ==, 4);
  /* A clock that steps back gives nothing away. */
  g_assert_cmpuint (take_all (table, "ann", START), ==, 0);
  commy_rate_table_give_back (table, bucket);
  g_assert_cmpuint (take_all (table, "ann", START + 10 * S), ==, 1);
  commy_rate_bucket_unref (bucket);
}

/* Nothing is lost in numbers: rates from a call in a year to more than a clock can tell. */
static void
test_extremes (void)
{
  const CommyRateLimitPolicy seldom = { 1e-9, 3 };
  const CommyRateLimitPolicy often = { 1e9, 1 };
  g_autoptr (CommyRateTable) slow = commy_rate_table_new (&seldom, 1);
  g_autoptr (CommyRateTable) fast = commy_rate_table_new (&often, 1);

  commy_rate_table_divide (slow, 1, START);
  g_assert_cmpuint (take_all (slow, "a", START), ==, 3);
  commy_rate_table_divide (slow, G_MAXUINT, START);
  g_assert_cmpuint (take_all (slow, "a", START + 1000 * S), ==, 0);
  g_assert_cmpuint (take_all (fast, "a", START), ==, 1);
  g_assert_cmpuint (take_all (fast, "a", START + 1), ==, 1);
}

/* --- room --- */

/* Who is limited keeps its place, whoever comes, and those for whom there is none are limited. */
static void
test_full (void)
{
  g_autoptr (CommyRateTable) table = commy_rate_table_new (&ten, 3);
  guint n = 0;

  g_assert_cmpuint (take_all (table, "a", START), ==, 4);
  g_assert_cmpuint (take_all (table, "b", START), ==, 4);
  g_assert_cmpuint (take_all (table, "c", START), ==, 4);
  for (guint i = 0; i < 1000; i++)
    {
      g_autofree char *stranger = g_strdup_printf ("stranger-%u", i);

      n += take_all (table, stranger, START);
    }
  g_assert_cmpuint (n, ==, 4);
  g_assert_cmpuint (take_all (table, "a", START), ==, 0);
  g_assert_cmpuint (take_all (table, "b", START), ==, 0);
  g_assert_cmpuint (take_all (table, "c", START), ==, 0);
  g_assert_true (is_crowd (table, "d", START));
}

/* Whose bucket is full again gives way, and finds one when it comes back. */
static void
test_room (void)
{
  g_autoptr (CommyRateTable) table = commy_rate_table_new (&ten, 2);
  CommyRateBucket *held = commy_rate_table_find (table, "a", START);
  gint64 wait_ns;

  g_assert_cmpint (commy_rate_table_take (table, held, START, &wait_ns), ==, COMMY_RATE_TAKEN);
  g_assert_cmpuint (take_all (table, "b", START), ==, 4);
  g_assert_true (is_crowd (table, "c", START));
  /* a's is full after a tenth of a second, b's is not. */
  g_assert_false (is_crowd (table, "c", START + 100 * MS));
  g_assert_cmpuint (take_all (table, "c", START + 100 * MS), ==, 4);
  g_assert_cmpuint (take_all (table, "b", START + 100 * MS), ==, 1);
  g_assert_cmpint (commy_rate_table_take (table, held, START + 100 * MS, &wait_ns), ==,
                   COMMY_RATE_GONE);
  g_assert_true (is_crowd (table, "a", START + 100 * MS));
  g_assert_false (is_crowd (table, "a", START + 600 * MS));
  commy_rate_bucket_unref (held);
}

/* --- parts --- */

static void
test_divided (void)
{
  g_autoptr (CommyRateTable) table = commy_rate_table_new (&ten, 8);

  commy_rate_table_divide (table, 1, START);
  g_assert_cmpuint (take_all (table, "a", START), ==, 4);
  commy_rate_table_divide (table, 2, START);
  g_assert_cmpuint (take_all (table, "a", START), ==, 0);
  g_assert_cmpuint (take_all (table, "a", START + 200 * MS), ==, 1);
  g_assert_cmpuint (take_all (table, "b", START + 200 * MS), ==, 2);
  /* What a larger part has more is yet to come, for those who were never here as well. */
  g_assert_cmpuint (take_all (table, "c", START + 10 * S), ==, 2);
  commy_rate_table_divide (table, 1, START + 10 * S);
  g_assert_cmpuint (take_all (table, "c", START + 10 * S), ==, 0);
  g_assert_cmpuint (take_all (table, "d", START + 10 * S), ==, 2);
  g_assert_cmpuint (take_all (table, "e", START + 11 * S), ==, 4);
}

/* An instance that joins others has nothing saved, for nobody; one that is alone has. */
static void
test_joins (void)
{
  g_autoptr (CommyRateTable) table = commy_rate_table_new (&ten, 2);

  g_assert_cmpuint (commy_rate_table_get_n (table), ==, 0);
  g_assert_cmpuint (take_all (table, "a", START), ==, 4);
  commy_rate_table_divide (table, 2, START + 10 * S);
  g_assert_cmpuint (take_all (table, "a", START + 10 * S), ==, 0);
  g_assert_cmpuint (take_all (table, "b", START + 10 * S), ==, 0);
  g_assert_cmpuint (take_all (table, "c", START + 10 * S), ==, 0);
  g_assert_cmpuint (take_all (table, "b", START + 20 * S), ==, 2);
}

/* --- threads --- */

#define THREADS 4u
#define BURST 1000000u

typedef struct
{
  CommyRateTable *table;
  guint *n_ready; /* atomic */
  guint taken;
} Taker;

static gpointer
take_until_refused (gpointer data)
{
  Taker *self = data;
  CommyRateBucket *bucket = commy_rate_table_find (self->table, "all", START);
  gint64 wait_ns;

  __atomic_add_fetch (self->n_ready, 1, __ATOMIC_ACQ_REL);
  while (__atomic_load_n (self->n_ready, __ATOMIC_ACQUIRE) < THREADS)
    g_thread_yield ();
  while (commy_rate_table_take (self->table, bucket, START, &wait_ns) == COMMY_RATE_TAKEN)
    self->taken++;
  commy_rate_bucket_unref (bucket);
  return NULL;
}

/* Together they take what there is, and not one more. */
static void
test_threads (void)
{
  const CommyRateLimitPolicy policy = { 1, BURST };
  g_autoptr (CommyRateTable) table = commy_rate_table_new (&policy, 1);
  Taker takers[THREADS];
  GThread *threads[THREADS];
  guint n = 0, n_ready = 0;

  for (guint i = 0; i < THREADS; i++)
    {
      takers[i] = (Taker){ table, &n_ready, 0 };
      threads[i] = g_thread_new (NULL, take_until_refused, &takers[i]);
    }
  for (guint i = 0; i < THREADS; i++)
    {
      g_thread_join (threads[i]);
      n += takers[i].taken;
    }
  g_assert_cmpuint (n, ==, BURST);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/control/rate-table/each-has-its-own", test_each);
  g_test_add_func ("/control/rate-table/any-rate-and-burst", test_extremes);
  /* attack: call under ever new names until the name that is limited is forgotten; defence: who is
   * limited keeps its place, and newcomers for whom there is no room share one limit */
  g_test_add_func ("/control/rate-table/who-is-limited-keeps-its-place", test_full);
  g_test_add_func ("/control/rate-table/who-rested-gives-way", test_room);
  g_test_add_func ("/control/rate-table/is-divided", test_divided);
  g_test_add_func ("/control/rate-table/who-joins-has-nothing-saved", test_joins);
  g_test_add_func ("/control/rate-table/threads-take-what-there-is", test_threads);
  return g_test_run ();
}
