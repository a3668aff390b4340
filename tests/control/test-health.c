/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Health in virtual time: rise and fall, what is said, and the history.
 */
#include "config.h"

#include "control/commy-health.h"

#include <string.h>

#define SECOND G_GINT64_CONSTANT (1000000000)

static const CommyHealthRules rules = { .rise = 2, .fall = 3 };

static void
test_first_success (void)
{
  CommyHealth health = { 0 };

  g_assert_true (commy_health_note (&health, &rules, NULL, 5));
  g_assert_cmpint (health.state, ==, COMMY_HEALTH_WELL);
  g_assert_cmpint (health.since_ns, ==, 5);
  g_assert_false (commy_health_note (&health, &rules, NULL, 6));
  g_assert_cmpint (health.since_ns, ==, 5);
  g_assert_cmpint (health.seen_ns, ==, 6);
}

static void
test_falls (void)
{
  CommyHealth health = { 0 };

  commy_health_note (&health, &rules, NULL, 1);
  g_assert_false (commy_health_note (&health, &rules, "a", 2));
  g_assert_false (commy_health_note (&health, &rules, "b", 3));
  /* One success and the row is over. */
  g_assert_false (commy_health_note (&health, &rules, NULL, 4));
  g_assert_cmpstr (health.reason, ==, "");
  g_assert_false (commy_health_note (&health, &rules, "c", 5));
  g_assert_false (commy_health_note (&health, &rules, "d", 6));
  g_assert_cmpint (health.state, ==, COMMY_HEALTH_WELL);
  g_assert_true (commy_health_note (&health, &rules, "e", 7));
  g_assert_cmpint (health.state, ==, COMMY_HEALTH_UNWELL);
  g_assert_cmpint (health.since_ns, ==, 7);
  g_assert_cmpstr (health.reason, ==, "e");
}

/* "Cannot tell" is no verdict, whatever the last one was; and one of long ago is told to nobody. */
static void
test_forgets (void)
{
  CommyHealth health = { 0 };

  g_assert_true (commy_health_is_stale (&health, SECOND, 0));
  for (guint i = 0; i < rules.fall; i++)
    commy_health_note (&health, &rules, "ill", SECOND);
  g_assert_cmpint (health.state, ==, COMMY_HEALTH_UNWELL);
  g_assert_false (commy_health_is_stale (&health, SECOND, 3 * SECOND));
  g_assert_true (commy_health_is_stale (&health, SECOND, 3 * SECOND + 1));
  commy_health_forget (&health, 4 * SECOND);
  g_assert_cmpint (health.state, ==, COMMY_HEALTH_UNKNOWN);
  g_assert_cmpint (health.since_ns, ==, 4 * SECOND);
  g_assert_cmpstr (health.reason, ==, "");
  g_assert_false (commy_health_is_stale (&health, SECOND, 4 * SECOND));
  /* As of one that nobody looked at before. */
  g_assert_true (commy_health_note (&health, &rules, NULL, 5 * SECOND));
  g_assert_cmpint (health.state, ==, COMMY_HEALTH_WELL);
}

static void
test_rises (void)
{
  CommyHealth health = { 0 };

  for (guint i = 0; i < rules.fall; i++)
    g_assert_cmpint (commy_health_note (&health, &rules, "gone", i), ==, i == rules.fall - 1);
  g_assert_false (commy_health_note (&health, &rules, NULL, 10));
  g_assert_cmpstr (health.reason, ==, "gone");
  g_assert_false (commy_health_note (&health, &rules, "gone again", 11));
  g_assert_false (commy_health_note (&health, &rules, NULL, 12));
  g_assert_cmpint (health.state, ==, COMMY_HEALTH_UNWELL);
  g_assert_true (commy_health_note (&health, &rules, NULL, 13));
  g_assert_cmpint (health.state, ==, COMMY_HEALTH_WELL);
  g_assert_cmpstr (health.reason, ==, "");
}

static void
test_hostile_reason (void)
{
  char reason[COMMY_HEALTH_REASON_MAX];
  char text[400];

  /* "é" is two bytes: the cut is inside of one. */
  text[0] = 'x';
  for (guint i = 1; i + 1 < sizeof text; i += 2)
    memcpy (text + i, "\xc3\xa9", 2);
  text[sizeof text - 1] = '\0';
  commy_health_set_reason (reason, text);
  g_assert_true (g_utf8_validate (reason, -1, NULL));
  g_assert_cmpuint (strlen (reason), >=, COMMY_HEALTH_REASON_MAX - 3);
  commy_health_set_reason (reason, "\033[2Jtwo\nlines\x7f");
  g_assert_cmpstr (reason, ==, " [2Jtwo lines ");
  commy_health_set_reason (reason, "\xff\xfe");
  g_assert_cmpstr (reason, ==, "");
}

static void
test_said (void)
{
  static const struct
  {
    const char *text;
    CommyHealthState state;
    const char *reason;
  } rows[] = {
    { "", COMMY_HEALTH_UNKNOWN, "" },
    { "serving", COMMY_HEALTH_WELL, "" },
    { "servingx", COMMY_HEALTH_UNKNOWN, "" },
    { "not-serving", COMMY_HEALTH_UNWELL, "" },
    { "not-serving: no disk", COMMY_HEALTH_UNWELL, "no disk" },
    { "not-serving: ", COMMY_HEALTH_UNWELL, "" },
    { "not-serving:", COMMY_HEALTH_UNKNOWN, "" },
    { "not-servings", COMMY_HEALTH_UNKNOWN, "" },
  };
  g_autofree char *serving = commy_health_write_said (TRUE, "ignored");
  g_autofree char *silent = commy_health_write_said (FALSE, NULL);
  g_autofree char *loud = commy_health_write_said (FALSE, "no\ndisk");

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++)
    {
      const char *reason;

      g_assert_cmpint (commy_health_read_said (rows[i].text, &reason), ==, rows[i].state);
      g_assert_cmpstr (reason, ==, rows[i].reason);
    }
  g_assert_cmpstr (serving, ==, "serving");
  g_assert_cmpstr (silent, ==, "not-serving");
  g_assert_cmpstr (loud, ==, "not-serving: no disk");
}

/* --- history --- */

static void
collect (gpointer data, const CommyHealthChange *change)
{
  g_string_append (data, change->reason);
}

static void
check_history (CommyHealthHistory *history, gint64 now, const char *expected)
{
  g_autoptr (GString) text = g_string_new (NULL);

  commy_health_history_foreach (history, now, collect, text);
  g_assert_cmpstr (text->str, ==, expected);
}

static void
add (CommyHealthHistory *history, gint64 at, const char *reason)
{
  CommyHealthChange change = { .at_ns = at };

  g_strlcpy (change.reason, reason, sizeof change.reason);
  commy_health_history_add (history, &change);
}

static void
test_history_is_bounded (void)
{
  g_autoptr (CommyHealthHistory) history = commy_health_history_new (3, 100 * SECOND);
  g_autoptr (CommyHealthHistory) none = commy_health_history_new (0, SECOND);

  check_history (history, 0, "");
  add (history, 1 * SECOND, "a");
  add (history, 2 * SECOND, "b");
  check_history (history, 2 * SECOND, "ab");
  add (history, 3 * SECOND, "c");
  add (history, 4 * SECOND, "d");
  add (history, 5 * SECOND, "e");
  check_history (history, 5 * SECOND, "cde");
  add (none, 0, "a");
  check_history (none, 0, "");
}

static void
test_history_forgets (void)
{
  g_autoptr (CommyHealthHistory) history = commy_health_history_new (8, 10 * SECOND);

  add (history, 1 * SECOND, "a");
  add (history, 5 * SECOND, "b");
  check_history (history, 11 * SECOND, "ab");
  check_history (history, 11 * SECOND + 1, "b");
  check_history (history, 16 * SECOND, "");
  add (history, 17 * SECOND, "c");
  check_history (history, 17 * SECOND, "c");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/health/first-success-is-enough-at-first", test_first_success);
  g_test_add_func ("/health/falls-after-failures-in-a-row", test_falls);
  g_test_add_func ("/health/forgets-where-nobody-can-tell", test_forgets);
  g_test_add_func ("/health/rises-after-successes-in-a-row", test_rises);
  g_test_add_func ("/health/reasons-of-others-are-made-harmless", test_hostile_reason);
  g_test_add_func ("/health/what-is-said-is-read-strictly", test_said);
  g_test_add_func ("/health/history-keeps-the-last-ones", test_history_is_bounded);
  g_test_add_func ("/health/history-forgets-what-is-old", test_history_forgets);
  return g_test_run ();
}
