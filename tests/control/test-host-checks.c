/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The record of what a host's daemon found: written and read again, and refused as a whole.
 */
#include "config.h"

#include "control/commy-host-checks.h"

#include <string.h>

#define A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static void
on_verdict (gpointer data, const char *instance, CommyHealthState state, const char *reason)
{
  g_string_append_printf (data, "%.1s %s (%s);", instance, commy_health_state_to_string (state),
                          reason);
}

static CommyHostChecksStatus
read_text (const char *text, gsize size, const char *how, char **out_told)
{
  g_autoptr (GString) told = g_string_new (NULL);
  CommyHostChecksStatus status = commy_host_checks_read (text, size, how, on_verdict, told);

  *out_told = g_strdup (told->str);
  return status;
}

static void
test_round (void)
{
  g_autoptr (GString) text = g_string_new (NULL);
  g_autofree char *told = NULL, *others = NULL;

  commy_host_checks_begin (text, "call every 5: Ready");
  commy_host_checks_add (text, A, COMMY_HEALTH_WELL, "");
  commy_host_checks_add (text, B, COMMY_HEALTH_UNWELL, "two\nlines");
  g_assert_cmpint (read_text (text->str, text->len, "call every 5: Ready", &told), ==,
                   COMMY_HOST_CHECKS_OK);
  g_assert_cmpstr (told, ==, "a well ();b unwell (two lines);");
  g_assert_cmpint (read_text (text->str, text->len, "tcp every 5: 80", &others), ==,
                   COMMY_HOST_CHECKS_OTHER);
  g_assert_cmpstr (others, ==, "");
}

static void
test_refused (void)
{
  static const char *const texts[] = {
    "",
    "commy-checks 2\nhow\n",
    "commy-checks 1\nhow",
    "commy-checks 1\nhow\n" A " well",
    "commy-checks 1\nhow\n" A " well\n" B " ill\n",
    "commy-checks 1\nhow\n" A " well\n\n" B " well\n",
    "commy-checks 1\nhow\n" A "\n",
    "commy-checks 1\nhow\nshort well\n",
    "commy-checks 1\nhow\n../../../../../../../etc/passwd0 well\n",
  };
  static const char with_nul[] = "commy-checks 1\nhow\n" A " well\n\0\n";

  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_autofree char *told = NULL;

      g_assert_cmpint (read_text (texts[i], strlen (texts[i]), "how", &told), ==,
                       COMMY_HOST_CHECKS_MALFORMED);
      g_assert_cmpstr (told, ==, "");
    }
  {
    g_autofree char *told = NULL;

    g_assert_cmpint (read_text (with_nul, sizeof with_nul - 1, "how", &told), ==,
                     COMMY_HOST_CHECKS_MALFORMED);
  }
}

/* One more than a record may have is one too many, and tells nothing. */
static void
test_limit (void)
{
  g_autoptr (GString) text = g_string_new (NULL);
  g_autofree char *most = NULL, *more = NULL;

  commy_host_checks_begin (text, "how");
  for (guint i = 0; i < COMMY_HOST_CHECKS_MAX; i++)
    commy_host_checks_add (text, A, COMMY_HEALTH_WELL, "");
  g_assert_cmpint (read_text (text->str, text->len, "how", &most), ==, COMMY_HOST_CHECKS_OK);
  commy_host_checks_add (text, A, COMMY_HEALTH_WELL, "");
  g_assert_cmpint (read_text (text->str, text->len, "how", &more), ==, COMMY_HOST_CHECKS_MALFORMED);
  g_assert_cmpstr (more, ==, "");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/control/host-checks/what-is-written-is-read", test_round);
  g_test_add_func ("/control/host-checks/bad-records-tell-nothing", test_refused);
  g_test_add_func ("/control/host-checks/has-a-limit", test_limit);
  return g_test_run ();
}
