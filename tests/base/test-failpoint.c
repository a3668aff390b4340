/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fail points: counted, found by enumeration, and doing what they are told.
 */
#include "config.h"

#include "base/commy-failpoint.h"

#include <glib.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

static gboolean
pass_first (void)
{
  return COMMY_FAILPOINT ("test-first");
}

static gboolean
pass_second (void)
{
  return COMMY_FAILPOINT ("test-second");
}

static void
test_listed (void)
{
  guint found = 0;

  for (const CommyFailpoint *point = commy_failpoints_begin (); point < commy_failpoints_end ();
       point++)
    found += g_str_equal (point->name, "test-first") || g_str_equal (point->name, "test-second");
  g_assert_cmpuint (found, ==, 2);
}

static void
test_nth (void)
{
  g_setenv ("COMMY_FAILPOINT", "test-second:2:error,test-first:3:error", TRUE);
  g_assert_false (pass_first ());
  g_assert_false (pass_first ());
  g_assert_true (pass_first ());
  g_assert_false (pass_first ());
  g_assert_false (pass_second ());
  g_assert_true (pass_second ());
  g_unsetenv ("COMMY_FAILPOINT");
  g_assert_false (pass_second ());
}

static void
test_kill (void)
{
  if (g_test_subprocess ())
    {
      g_setenv ("COMMY_FAILPOINT", "test-first:1:kill", TRUE);
      pass_first ();
      return;
    }
  g_test_trap_subprocess (NULL, 0, 0);
  g_test_trap_assert_failed ();
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/failpoint/kill-kills", test_kill);
  g_test_add_func ("/failpoint/all-are-listed", test_listed);
  g_test_add_func ("/failpoint/only-the-nth-pass-fails", test_nth);
  return g_test_run ();
}
