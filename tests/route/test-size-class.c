/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Size classes: borders, order, both ends.
 */
#include "config.h"

#include "route-fixture.h"

static void
borders (void)
{
  g_assert_cmpuint (commy_size_class (0), ==, 0);
  g_assert_cmpuint (commy_size_class (64), ==, 0);
  g_assert_cmpuint (commy_size_class (65), ==, 1);
  g_assert_cmpuint (commy_size_class (256), ==, 1);
  g_assert_cmpuint (commy_size_class (257), ==, 2);
  g_assert_cmpuint (commy_size_class (64 * 1024), ==, 5);
  g_assert_cmpuint (commy_size_class (64u << 20), ==, 10);
  g_assert_cmpuint (commy_size_class ((64u << 20) + 1), ==, 11);
  g_assert_cmpuint (commy_size_class (G_MAXSIZE), ==, COMMY_SIZE_CLASSES - 1);
}

static void
upper_ends_belong_to_their_class (void)
{
  for (guint c = 0; c < COMMY_SIZE_CLASSES; c++)
    {
      g_assert_cmpuint (commy_size_class (commy_size_class_upper (c)), ==, c);
      g_assert_cmpuint (commy_size_class (commy_size_class_representative (c)), ==, c);
      if (c + 1 < COMMY_SIZE_CLASSES)
        g_assert_cmpuint (commy_size_class (commy_size_class_upper (c) + 1), ==, c + 1);
    }
}

static void
wild_class_numbers_are_the_last_class (void)
{
  g_assert_cmpuint (commy_size_class_upper (99), ==, G_MAXSIZE);
  g_assert_cmpuint (commy_size_class_representative (99), ==, (gsize) 1 << 28);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/route/size-class/borders", borders);
  g_test_add_func ("/route/size-class/upper-ends-belong-to-their-class",
                   upper_ends_belong_to_their_class);
  g_test_add_func ("/route/size-class/wild-numbers-are-the-last-class",
                   wild_class_numbers_are_the_last_class);
  return g_test_run ();
}
