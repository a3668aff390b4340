/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Alerts in virtual time: when they fire, when they are over, how soon again; and which rules can
 * be.
 */
#include "config.h"

#include "control/commy-alert.h"

#include <commy/commy-error.h>
#include <string.h>

#define SECOND G_GINT64_CONSTANT (1000000000)

static CommyAlertStep
step (CommyAlert *alert, const CommyAlertRule *rule, double value, gint64 at_s)
{
  return commy_alert_step (alert, rule, &value, at_s * SECOND);
}

static void
test_fires (void)
{
  const CommyAlertRule rule
      = { .has_above = TRUE, .above = 5, .for_ns = 10 * SECOND, .cool_down_ns = 60 * SECOND };
  CommyAlert alert = { 0 };

  g_assert_cmpint (step (&alert, &rule, 5, 1), ==, COMMY_ALERT_SAME); /* not above */
  g_assert_cmpint (alert.state, ==, COMMY_ALERT_QUIET);
  g_assert_cmpint (step (&alert, &rule, 6, 2), ==, COMMY_ALERT_SAME);
  g_assert_cmpint (alert.state, ==, COMMY_ALERT_PENDING);
  g_assert_cmpint (step (&alert, &rule, 6, 11), ==, COMMY_ALERT_SAME);
  g_assert_cmpint (step (&alert, &rule, 7, 12), ==, COMMY_ALERT_FIRED);
  g_assert_cmpint (alert.since_ns, ==, 12 * SECOND);
  g_assert_cmpint (step (&alert, &rule, 8, 13), ==, COMMY_ALERT_SAME);
  g_assert_cmpfloat (alert.value, ==, 8);
  g_assert_cmpint (step (&alert, &rule, 1, 14), ==, COMMY_ALERT_OVER);
  g_assert_cmpint (step (&alert, &rule, 1, 15), ==, COMMY_ALERT_SAME);
}

static void
test_interrupted (void)
{
  const CommyAlertRule rule = { .has_above = TRUE, .above = 5, .for_ns = 10 * SECOND };
  CommyAlert alert = { 0 };

  for (gint64 at = 0; at < 100; at += 9)
    {
      g_assert_cmpint (step (&alert, &rule, 6, at), ==, COMMY_ALERT_SAME);
      g_assert_cmpint (step (&alert, &rule, 6, at + 8), ==, COMMY_ALERT_SAME);
      g_assert_cmpint (step (&alert, &rule, 4, at + 8), ==, COMMY_ALERT_SAME);
      g_assert_cmpint (alert.state, ==, COMMY_ALERT_QUIET);
    }
}

static void
test_cool_down (void)
{
  const CommyAlertRule rule = { .has_below = TRUE, .below = 1, .cool_down_ns = 60 * SECOND };
  CommyAlert alert = { 0 };

  g_assert_cmpint (step (&alert, &rule, 0, 0), ==, COMMY_ALERT_FIRED);
  g_assert_cmpint (step (&alert, &rule, 1, 1), ==, COMMY_ALERT_OVER);
  g_assert_cmpint (step (&alert, &rule, 0, 2), ==, COMMY_ALERT_SAME);
  g_assert_cmpint (alert.state, ==, COMMY_ALERT_PENDING);
  g_assert_cmpint (step (&alert, &rule, 0, 59), ==, COMMY_ALERT_SAME);
  g_assert_cmpint (step (&alert, &rule, 0, 60), ==, COMMY_ALERT_FIRED);
}

static void
test_no_figure (void)
{
  const CommyAlertRule rule = { .has_below = TRUE, .below = 1 };
  CommyAlert alert = { 0 };

  g_assert_cmpint (commy_alert_step (&alert, &rule, NULL, 0), ==, COMMY_ALERT_SAME);
  g_assert_cmpint (alert.state, ==, COMMY_ALERT_QUIET);
  g_assert_cmpint (step (&alert, &rule, 0, 1), ==, COMMY_ALERT_FIRED);
  g_assert_cmpint (commy_alert_step (&alert, &rule, NULL, 2 * SECOND), ==, COMMY_ALERT_OVER);
}

/* --- rules --- */

static CommyAlertRule *
read_rule (const char *keys, GError **error)
{
  g_autofree char *text = g_strconcat ("[alert it]\n", keys, NULL);
  g_autoptr (CommyConfig) config = commy_config_load_text (text, strlen (text), "test.conf", error);

  return config != NULL ? commy_alert_rule_new (config, "alert it", error) : NULL;
}

static void
test_rules (void)
{
  static const struct
  {
    const char *keys;
    double above, below;
    double value;
    const char *text;
  } rows[] = {
    { "when=errors\nservice=a.b\nabove=5%\n", 0.05, 0, 0.125,
      "errors of a.b: 12.5% (limit: above 5%)" },
    { "when=latency-p99\nabove=20ms\n", 2e7, 0, 4e7, "latency-p99: 40 ms (limit: above 20 ms)" },
    { "when=instances\nservice=a.b\nbelow=2\n", 0, 2, 1, "instances of a.b: 1 (limit: below 2)" },
    { "when=unwell\n", 0, 0, 3, "unwell: 3 (limit: above 0)" },
    { "when=drops\nabove=100\nover=60s\n", 100, 0, 101, "drops: 101 (limit: above 100)" },
    { "when=memory\nabove=1GiB\n", 1073741824, 0, 2147483648,
      "memory: 2 GiB (limit: above 1 GiB)" },
    { "when=load\nabove=1.5\nbelow=0.5\n", 1.5, 0.5, 2,
      "load: 2 (limit: above 1.5) (limit: below 0.5)" },
    { "when=store-away\n", 0, 0, 1, "store-away: 1" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      g_autoptr (GError) error = NULL;
      g_autoptr (CommyAlertRule) rule = read_rule (rows[i].keys, &error);
      g_autofree char *text = NULL;
      CommyAlert alert = { .known = TRUE, .value = rows[i].value };

      g_assert_no_error (error);
      g_assert_cmpfloat_with_epsilon (rule->above, rows[i].above, 1e-9);
      g_assert_cmpfloat_with_epsilon (rule->below, rows[i].below, 1e-9);
      text = commy_alert_describe (&alert, rule);
      g_assert_cmpstr (text, ==, rows[i].text);
    }
}

static void
test_bad_rules (void)
{
  static const char *const rows[][2] = {
    { "above=5\n", "when=" },
    { "when=errors\n", "above=" },
    { "when=errors\nabove=20ms\n", "a share" },
    { "when=errors\nabove=150%\n", "a share" },
    { "when=latency-p99\nabove=5%\n", "a time" },
    { "when=instances\nbelow=1\n", "service=" },
    { "when=drops\nabove=many\n", "a number" },
    { "when=drops\nabove=-1\n", "a number" },
    { "when=drops\nabove=nan\n", "a number" },
    { "when=memory\nabove=1.5x\n", "a size" },
    { "when=store-away\nabove=1\n", "no limit" },
    { "when=load\nabove=1\ncommand='open\n", "command" },
    { "when=other\nabove=1\n", "when" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      g_autoptr (GError) error = NULL;

      g_assert_null (read_rule (rows[i][0], &error));
      g_assert_error (error, COMMY_ERROR, COMMY_ERROR_CONFIG_VALUE);
      if (strstr (error->message, rows[i][1]) == NULL
          || strstr (error->message, "test.conf") == NULL)
        g_error ("%s: %s", rows[i][0], error->message);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/alert/fires-when-it-is-bad-for-long-enough", test_fires);
  g_test_add_func ("/alert/begins-anew-when-it-was-good-meanwhile", test_interrupted);
  g_test_add_func ("/alert/fires-again-after-the-cool-down", test_cool_down);
  g_test_add_func ("/alert/no-figure-is-not-bad", test_no_figure);
  g_test_add_func ("/alert/rules-are-read-in-their-unit", test_rules);
  g_test_add_func ("/alert/rules-that-cannot-be-are-told", test_bad_rules);
  return g_test_run ();
}
