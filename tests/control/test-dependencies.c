/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a node tells of the services that it called: the last ones, for so long, and no more than
 * fits; and what is read of that in the record of a stranger.
 */
#include "config.h"

#include "control/commy-dependencies.h"
#include "control/commy-node.h"

#include <string.h>

#define NOW G_GINT64_CONSTANT (1700000000)
#define AGE COMMY_DEPENDENCIES_AGE_S

/* How many are told, and which is the first. */
static gsize
tell (CommyDependencies *self, gint64 now_s, const char **out_first, gint64 *out_last_s)
{
  g_autoptr (GVariant) told = g_variant_ref_sink (commy_dependencies_tell (self, now_s));
  gsize n = g_variant_n_children (told);

  if (n > 0 && out_first != NULL)
    {
      const char *first;

      g_variant_get_child (told, 0, "(&sx)", &first, out_last_s);
      *out_first = g_intern_string (first);
    }
  return n;
}

static void
test_tells (void)
{
  CommyDependencies *self = commy_dependencies_new ();
  const char *first;
  gint64 last_s;

  g_assert_false (commy_dependencies_are_news (self, NOW));
  commy_dependencies_note (self, "org.example.Bank", NOW);
  commy_dependencies_note (self, "topic:prices", NOW + 1);
  commy_dependencies_note (self, "org.commy.Node1", NOW + 2);
  commy_dependencies_note (self, "no name\033[2J", NOW + 2);
  g_assert_true (commy_dependencies_are_news (self, NOW + 2));
  g_assert_cmpuint (tell (self, NOW + 2, &first, &last_s), ==, 2);
  g_assert_cmpstr (first, ==, "topic:prices");
  g_assert_cmpint (last_s, ==, NOW + 1);
  g_assert_false (commy_dependencies_are_news (self, NOW + 2));
  commy_dependencies_free (self);
}

/* What goes on is told now and then, what ended is not told any more, and again if it goes on. */
static void
test_ages (void)
{
  CommyDependencies *self = commy_dependencies_new ();

  commy_dependencies_note (self, "org.example.Bank", NOW);
  g_assert_cmpuint (tell (self, NOW, NULL, NULL), ==, 1);
  commy_dependencies_note (self, "org.example.Bank", NOW + AGE / 4 - 1);
  g_assert_false (commy_dependencies_are_news (self, NOW + AGE / 4));
  commy_dependencies_note (self, "org.example.Bank", NOW + AGE / 4);
  g_assert_true (commy_dependencies_are_news (self, NOW + AGE / 4));
  g_assert_cmpuint (tell (self, NOW + AGE / 4, NULL, NULL), ==, 1);
  g_assert_false (commy_dependencies_are_news (self, NOW + AGE));
  g_assert_true (commy_dependencies_are_news (self, NOW + AGE / 4 + AGE));
  g_assert_cmpuint (tell (self, NOW + AGE / 4 + AGE, NULL, NULL), ==, 0);
  g_assert_false (commy_dependencies_are_news (self, NOW + 9 * AGE));
  commy_dependencies_note (self, "org.example.Bank", NOW + 9 * AGE);
  g_assert_true (commy_dependencies_are_news (self, NOW + 9 * AGE));
  g_assert_cmpuint (tell (self, NOW + 9 * AGE, NULL, NULL), ==, 1);
  commy_dependencies_free (self);
}

/* Who calls more than are told tells the last ones, in a record that all can read. */
static void
test_limits (void)
{
  CommyDependencies *self = commy_dependencies_new ();
  g_autoptr (CommyNode) node = commy_node_new ("n");
  g_autoptr (CommyNode) read = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL;
  const char *first;
  gint64 last_s;

  for (guint i = 0; i < 3 * COMMY_DEPENDENCIES_MAX; i++)
    {
      g_autofree char *name = g_strdup_printf ("org.example.S%u", i);

      commy_dependencies_note (self, name, NOW + i);
    }
  g_assert_cmpuint (tell (self, NOW + 1000, &first, &last_s), ==, COMMY_DEPENDENCIES_MAX);
  g_assert_cmpstr (first, ==, "org.example.S191");
  for (guint i = 0; i < COMMY_DEPENDENCIES_MAX; i++)
    {
      g_autofree char *end = g_strdup_printf ("%03u", i);
      g_autofree char *begin = g_strnfill (252, 'x');
      g_autofree char *name = g_strconcat (begin, end, NULL);

      commy_dependencies_note (self, name, NOW + 1000);
    }
  g_variant_unref (node->calls);
  node->calls = g_variant_ref_sink (commy_dependencies_tell (self, NOW + 1000));
  g_assert_cmpuint (g_variant_n_children (node->calls), ==, COMMY_DEPENDENCIES_BYTES / 255);
  g_assert_false (commy_dependencies_are_news (self, NOW + 1000));
  text = commy_node_write (node);
  read = commy_node_read ("n", text, strlen (text), &error);
  g_assert_no_error (error);
  g_assert_true (g_variant_equal (read->calls, node->calls));
  commy_dependencies_free (self);
}

static gsize
count_read (const char *calls)
{
  g_autofree char *text = g_strdup_printf ("{'pid': <1>, 'calls': <%s>}", calls);
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyNode) node = commy_node_read ("n", text, strlen (text), &error);

  g_assert_no_error (error);
  return g_variant_n_children (node->calls);
}

static void
test_strangers (void)
{
  g_autoptr (GString) many = g_string_new ("[('a.b', int64 1)");

  g_assert_cmpuint (count_read ("[('org.example.Bank', int64 5)]"), ==, 1);
  g_assert_cmpuint (count_read ("[('', int64 5), ('\\u001b[2J', 5), ('x y', 5), ('a.b', -9)]"), ==,
                    1);
  g_assert_cmpuint (count_read ("'everything'"), ==, 0);
  g_assert_cmpuint (count_read ("[('org.example.Bank', 'long ago')]"), ==, 0);
  for (guint i = 0; i < 2 * COMMY_DEPENDENCIES_MAX; i++)
    g_string_append_printf (many, ", ('a.b%u', %u)", i, i);
  g_string_append_c (many, ']');
  g_assert_cmpuint (count_read (many->str), ==, COMMY_DEPENDENCIES_MAX);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/control/dependencies/the-last-one-is-told-first", test_tells);
  g_test_add_func ("/control/dependencies/what-ended-is-told-for-an-hour", test_ages);
  g_test_add_func ("/control/dependencies/no-more-than-fits", test_limits);
  g_test_add_func ("/control/dependencies/of-strangers-only-names", test_strangers);
  return g_test_run ();
}
