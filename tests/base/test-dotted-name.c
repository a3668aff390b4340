/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Names and patterns: what is right, what fits, and that the matcher agrees with one that is
 * written in the plainest way.
 */
#include "config.h"

#include "base/commy-dotted-name.h"

#include <string.h>

static void
right_names (void)
{
  static const char *const good[] = { "a", "a.b", "A-1_.x", "0" };
  static const char *const bad[]
      = { "", ".", "a.", ".a", "a..b", "a b", "a/b", "*", "a.*", "\xc3\xa4" };
  g_autofree char *longest = g_strnfill (COMMY_TOPIC_NAME_MAX, 'x');
  g_autofree char *longer = g_strnfill (COMMY_TOPIC_NAME_MAX + 1, 'x');

  for (gsize i = 0; i < G_N_ELEMENTS (good); i++)
    g_assert_true (commy_topic_name_is_valid (good[i]) && commy_dotted_name_is_valid (good[i]));
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    g_assert_false (commy_topic_name_is_valid (bad[i]) || commy_dotted_name_is_valid (bad[i]));
  g_assert_false (commy_topic_name_is_valid (NULL));
  g_assert_true (commy_topic_name_is_valid (longest));
  g_assert_false (commy_topic_name_is_valid (longer));
}

static void
right_patterns (void)
{
  static const char *const good[] = { "a", "*", "**", "a.*", "*.a.*.**", "*.*" };
  static const char *const bad[] = { "", "a*", "**.a", "a.**.b", "***", "a.", "*a", "**.**" };

  for (gsize i = 0; i < G_N_ELEMENTS (good); i++)
    g_assert_true (commy_topic_pattern_is_valid (good[i]));
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    g_assert_false (commy_topic_pattern_is_valid (bad[i]));
}

static void
what_fits (void)
{
  static const struct
  {
    const char *pattern, *topic;
    gboolean fits;
  } cases[] = {
    { "a.b", "a.b", TRUE },     { "a.b", "a.bc", FALSE },    { "a.bc", "a.b", FALSE },
    { "a.*", "a.b", TRUE },     { "a.*", "a", FALSE },       { "a.*", "a.b.c", FALSE },
    { "*", "a", TRUE },         { "*", "a.b", FALSE },       { "**", "a", TRUE },
    { "**", "a.b.c", TRUE },    { "a.**", "a", TRUE },       { "a.**", "ab", FALSE },
    { "a.**", "a.b.c", TRUE },  { "a.*.**", "a", FALSE },    { "a.*.**", "a.b", TRUE },
    { "*.b.*", "a.b.c", TRUE }, { "*.b.*", "a.c.c", FALSE },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    g_assert_cmpint (commy_topic_pattern_matches (cases[i].pattern, cases[i].topic), ==,
                     cases[i].fits);
}

static gboolean
plainly (char **pattern, char **topic)
{
  if (*pattern == NULL)
    return *topic == NULL;
  if (strcmp (*pattern, "**") == 0)
    return TRUE;
  if (*topic == NULL)
    return FALSE;
  return (strcmp (*pattern, "*") == 0 || strcmp (*pattern, *topic) == 0)
         && plainly (pattern + 1, topic + 1);
}

static char *
random_name (gboolean is_pattern)
{
  static const char *const parts[] = { "a", "b", "ab", "*", "**" };
  GString *text = g_string_new (NULL);
  gint n = g_test_rand_int_range (1, 5);

  for (gint i = 0; i < n; i++)
    {
      gint most = !is_pattern ? 3 : i + 1 < n ? 4 : 5;

      g_string_append_printf (text, "%s%s", i > 0 ? "." : "",
                              parts[g_test_rand_int_range (0, most)]);
    }
  return g_string_free (text, FALSE);
}

static void
agrees (void)
{
  guint fitting = 0;

  for (guint i = 0; i < 20000; i++)
    {
      g_autofree char *pattern = random_name (TRUE);
      g_autofree char *topic = random_name (FALSE);
      g_auto (GStrv) wanted = g_strsplit (pattern, ".", -1);
      g_auto (GStrv) given = g_strsplit (topic, ".", -1);
      gboolean fits = plainly (wanted, given);

      g_assert_true (commy_topic_pattern_is_valid (pattern));
      if (commy_topic_pattern_matches (pattern, topic) != fits)
        g_error ("\"%s\" and \"%s\": %d", pattern, topic, !fits);
      fitting += fits;
    }
  g_assert_cmpuint (fitting, >, 1000);
  g_assert_cmpuint (fitting, <, 19000);
}

static void
endpoints (void)
{
  g_assert_cmpstr (commy_topic_of_endpoint ("topic:a.b"), ==, "a.b");
  g_assert_null (commy_topic_of_endpoint ("topic.a"));
  g_assert_true (commy_endpoint_name_is_valid ("topic:a.b"));
  g_assert_true (commy_endpoint_name_is_valid ("a.b"));
  g_assert_false (commy_endpoint_name_is_valid ("topic:"));
  g_assert_false (commy_endpoint_name_is_valid ("topic:a:b"));
  g_assert_false (commy_endpoint_name_is_valid ("other:a"));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/dotted-name/names-are-parts-joined-by-dots", right_names);
  g_test_add_func ("/dotted-name/patterns-have-whole-parts-and-an-open-end", right_patterns);
  g_test_add_func ("/dotted-name/what-fits-and-what-does-not", what_fits);
  g_test_add_func ("/dotted-name/the-matcher-agrees-with-a-plain-one", agrees);
  g_test_add_func ("/dotted-name/a-topic-is-no-service", endpoints);
  return g_test_run ();
}
