/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Shares of a limit: nobody takes all, newcomers find something, and what is given back is there.
 */
#include "config.h"

#include "security/commy-quota.h"

#define SEATS_MAX 256u

static guint
take_all (CommyQuota *quota, const char *who, gboolean is_own, CommySeat **seats)
{
  guint n = 0;

  while (n < SEATS_MAX && (seats[n] = commy_quota_take (quota, who, is_own)) != NULL)
    n++;
  return n;
}

static void
give_back (CommySeat **seats, guint n)
{
  for (guint i = 0; i < n; i++)
    commy_seat_free (seats[i]);
}

static void
test_shares (void)
{
  g_autoptr (CommyQuota) quota = commy_quota_new (120, 120);
  CommySeat *seats[4][SEATS_MAX];
  guint n[4];

  /* A half; a third of the other half; a quarter of what is left then. */
  n[0] = take_all (quota, "a", FALSE, seats[0]);
  n[1] = take_all (quota, "b", FALSE, seats[1]);
  n[2] = take_all (quota, "c", FALSE, seats[2]);
  g_assert_cmpuint (n[0], ==, 60);
  g_assert_cmpuint (n[1], ==, 20);
  g_assert_cmpuint (n[2], ==, 10);
  g_assert_null (commy_quota_take (quota, "a", FALSE));
  n[3] = take_all (quota, "own", TRUE, seats[3]);
  g_assert_cmpuint (n[3], ==, 30);
  g_assert_cmpuint (commy_quota_get_used (quota), ==, 120);
  g_assert_null (commy_quota_take (quota, "d", FALSE));
  for (guint i = 0; i < 4; i++)
    give_back (seats[i], n[i]);
  g_assert_cmpuint (commy_quota_get_used (quota), ==, 0);
}

static void
test_newcomers (void)
{
  g_autoptr (CommyQuota) quota = commy_quota_new (SEATS_MAX, SEATS_MAX);
  CommySeat *flood[SEATS_MAX];
  CommySeat *seats[64];
  guint n = take_all (quota, "flood", FALSE, flood);

  for (guint i = 0; i < G_N_ELEMENTS (seats); i++)
    {
      g_autofree char *who = g_strdup_printf ("%u", i);

      seats[i] = commy_quota_take (quota, who, FALSE);
      g_assert_nonnull (seats[i]);
    }
  give_back (seats, G_N_ELEMENTS (seats));
  give_back (flood, n);
}

static void
test_tiny (void)
{
  g_autoptr (CommyQuota) quota = commy_quota_new (1, 1);
  g_autoptr (CommyQuota) closed = commy_quota_new (4, 0);
  g_autoptr (CommySeat) seat = commy_quota_take (quota, "a", FALSE);
  g_autoptr (CommySeat) own = commy_quota_take (closed, "me", TRUE);

  g_assert_nonnull (seat);
  g_assert_null (commy_quota_take (quota, "b", FALSE));
  g_assert_null (commy_quota_take (quota, "me", TRUE));
  g_assert_nonnull (own);
  g_assert_null (commy_quota_take (closed, "a", FALSE));
}

/* The seat of a channel may outlive the mesh whose limit it counts for. */
static void
test_outlives (void)
{
  CommyQuota *quota = commy_quota_new (2, 2);
  CommySeat *seat = commy_quota_take (quota, "a", FALSE);

  commy_quota_unref (quota);
  commy_seat_free (seat);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/security/quota/nobody-takes-more-than-a-share", test_shares);
  g_test_add_func ("/security/quota/newcomers-find-a-seat-beside-a-flood", test_newcomers);
  g_test_add_func ("/security/quota/tiny-limits-hold", test_tiny);
  g_test_add_func ("/security/quota/a-seat-outlives-its-quota", test_outlives);
  return g_test_run ();
}
