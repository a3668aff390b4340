/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The log hears of refusals, and is not filled by them.
 */
#include "config.h"

#include "base/commy-refusals.h"

#define START G_GINT64_CONSTANT (5000000000)

static void
test_busy (void)
{
  CommyRefusals refusals = { 0 };
  guint told = 0, untold;

  for (guint i = 0; i < 100000; i++)
    told += commy_refusals_add (&refusals, TRUE, START, &untold) ? 1 : 0;
  g_assert_cmpuint (told, ==, 17);
  /* Nobody else's are lost among them. */
  g_assert_true (commy_refusals_add (&refusals, FALSE, START, &untold));
  g_assert_cmpuint (untold, ==, 0);
}

static void
test_others (void)
{
  CommyRefusals refusals = { 0 };
  guint told = 0, untold;

  for (guint i = 0; i < 100000; i++)
    told += commy_refusals_add (&refusals, FALSE, START + i, &untold) ? 1 : 0;
  g_assert_cmpuint (told, ==, COMMY_REFUSALS_TOLD);
  g_assert_true (
      commy_refusals_add (&refusals, FALSE, START + COMMY_REFUSALS_WITHIN_NS + 1, &untold));
  g_assert_cmpuint (untold, ==, 100000 - COMMY_REFUSALS_TOLD);
  g_assert_true (
      commy_refusals_add (&refusals, FALSE, START + COMMY_REFUSALS_WITHIN_NS + 2, &untold));
  g_assert_cmpuint (untold, ==, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/channel/refusals/of-a-flood-some-are-told", test_busy);
  /* attack: fill the log by being refused; defence: so many lines in a while, then their number */
  g_test_add_func ("/channel/refusals/so-many-in-a-while-and-the-number-of-others", test_others);
  return g_test_run ();
}
