/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How long somebody waits who failed, and that nobody waits for somebody else.
 */
#include "config.h"

#include "security/commy-attempts.h"

#define S G_GINT64_CONSTANT (1000000000)
#define START (1000 * S)

static void
test_doubles (void)
{
  g_autoptr (CommyAttempts) attempts = commy_attempts_new (8);
  gint64 now = START;
  gint64 expected = S;

  g_assert_cmpint (commy_attempts_wait (attempts, "a", now), ==, 0);
  for (guint i = 0; i < 100; i++)
    {
      commy_attempts_add_failure (attempts, "a", now);
      g_assert_cmpint (commy_attempts_wait (attempts, "a", now), ==, expected);
      g_assert_cmpint (commy_attempts_wait (attempts, "a", now + expected - 1), ==, 1);
      now += expected;
      g_assert_cmpint (commy_attempts_wait (attempts, "a", now), ==, 0);
      expected = MIN (2 * expected, 900 * S);
    }
}

static void
test_many_at_once (void)
{
  g_autoptr (CommyAttempts) attempts = commy_attempts_new (8);

  for (guint i = 0; i < 1000; i++)
    commy_attempts_add_failure (attempts, "a", START);
  g_assert_cmpint (commy_attempts_wait (attempts, "a", START), ==, 900 * S);
}

static void
test_own_wait (void)
{
  g_autoptr (CommyAttempts) attempts = commy_attempts_new (8);

  for (guint i = 0; i < 20; i++)
    commy_attempts_add_failure (attempts, "a", START);
  g_assert_cmpint (commy_attempts_wait (attempts, "b", START), ==, 0);
  commy_attempts_forgive_kind (attempts, "b", "token", START);
  g_assert_cmpint (commy_attempts_wait (attempts, "a", START), ==, 900 * S);
  commy_attempts_forgive_kind (attempts, "a", "token", START);
  g_assert_cmpint (commy_attempts_wait (attempts, "a", START), ==, 0);
}

static void
test_forgets (void)
{
  g_autoptr (CommyAttempts) attempts = commy_attempts_new (8);
  gint64 later = START + 900 * S + 901 * S;

  for (guint i = 0; i < 20; i++)
    commy_attempts_add_failure (attempts, "a", START);
  commy_attempts_add_failure (attempts, "a", later);
  g_assert_cmpint (commy_attempts_wait (attempts, "a", later), ==, S);
}

static void
test_bounded (void)
{
  g_autoptr (CommyAttempts) attempts = commy_attempts_new (16);

  for (guint i = 0; i < 12; i++)
    commy_attempts_add_failure (attempts, "worst", START);
  for (guint i = 0; i < 1000; i++)
    {
      g_autofree char *source = g_strdup_printf ("source %u", i);

      commy_attempts_add_failure (attempts, source, START + i);
      g_assert_cmpuint (commy_attempts_get_n (attempts), <=, 16);
      g_assert_cmpint (commy_attempts_wait (attempts, source, START + i), ==, S);
    }
  /* A flood of others does not wash away who has to wait longest. */
  g_assert_cmpint (commy_attempts_wait (attempts, "worst", START), ==, 900 * S);
}

/* What begins before the first has failed is no way around the wait. */
static void
test_under_way (void)
{
  g_autoptr (CommyAttempts) attempts = commy_attempts_new (8);
  guint begun = 0;

  while (begun < 1000 && commy_attempts_begin (attempts, "a"))
    begun++;
  g_assert_cmpuint (begun, ==, COMMY_ATTEMPTS_AT_ONCE);
  g_assert_true (commy_attempts_begin (attempts, "b"));
  commy_attempts_end (attempts, "b");
  commy_attempts_end (attempts, "a");
  g_assert_true (commy_attempts_begin (attempts, "a"));
  g_assert_false (commy_attempts_begin (attempts, "a"));
  for (guint i = 0; i < begun; i++)
    commy_attempts_end (attempts, "a");
  commy_attempts_add_failure (attempts, "a", START);
  g_assert_true (commy_attempts_begin (attempts, "a"));
  g_assert_false (commy_attempts_begin (attempts, "a"));
  commy_attempts_end (attempts, "a");
  commy_attempts_forgive_kind (attempts, "a", "token", START);
  g_assert_true (commy_attempts_begin (attempts, "a"));
  g_assert_true (commy_attempts_begin (attempts, "a"));
}

/* Who has one thing and guesses another. */
static void
test_kinds (void)
{
  g_autoptr (CommyAttempts) attempts = commy_attempts_new (8);

  for (guint i = 1; i <= 4; i++)
    {
      commy_attempts_add_failure (attempts, "a", START);
      commy_attempts_set_kind (attempts, "a", "auth/totp");
      commy_attempts_forgive_kind (attempts, "a", "auth/token", START);
      g_assert_cmpuint (commy_attempts_get_failures (attempts, "a"), ==, i);
    }
  g_assert_cmpint (commy_attempts_wait (attempts, "a", START), ==, 8 * S);
  /* What failed, too, is not forgiven with the rest. */
  commy_attempts_set_kind (attempts, "a", "auth/token");
  commy_attempts_forgive_kind (attempts, "a", "auth/totp", START);
  g_assert_cmpuint (commy_attempts_get_failures (attempts, "a"), ==, 4);
  commy_attempts_forgive_kind (attempts, "a", "auth/token", START);
  g_assert_cmpuint (commy_attempts_get_failures (attempts, "a"), ==, 0);
  g_assert_cmpuint (commy_attempts_get_n (attempts), ==, 0);
  commy_attempts_set_kind (attempts, "a", "auth/token"); /* there is nothing */
  g_assert_cmpuint (commy_attempts_get_n (attempts), ==, 0);
}

/* What others said of who knew better since is no reason to wait when they say it again. */
static void
test_forgiven_word (void)
{
  static const char *const at_tokens[] = { "token", NULL };
  g_autoptr (CommyAttempts) attempts = commy_attempts_new (8);

  commy_attempts_hear (attempts, "a", 5, at_tokens, 60 * S, 77, START);
  g_assert_cmpint (commy_attempts_wait (attempts, "a", START), ==, 60 * S);
  commy_attempts_forgive_kind (attempts, "a", "token", START);
  g_assert_cmpint (commy_attempts_wait (attempts, "a", START), ==, 0);
  g_assert_cmpuint (commy_attempts_get_failures (attempts, "a"), ==, 0);
  commy_attempts_hear (attempts, "a", 5, at_tokens, 60 * S, 77, START);
  g_assert_cmpint (commy_attempts_wait (attempts, "a", START), ==, 0);
  commy_attempts_add_failure (attempts, "a", START);
  g_assert_cmpint (commy_attempts_wait (attempts, "a", START), ==, S);
  commy_attempts_hear (attempts, "a", 6, at_tokens, 60 * S, 77, START);
  g_assert_cmpint (commy_attempts_wait (attempts, "a", START), ==, 60 * S);
}

/* A proof of one kind says nothing of guesses at another that somebody else has seen. */
static void
test_heard_kinds (void)
{
  static const char *const at_codes[] = { "totp", NULL };
  g_autoptr (CommyAttempts) attempts = commy_attempts_new (8);

  commy_attempts_hear (attempts, "a", 4, at_codes, 60 * S, 77, START);
  commy_attempts_forgive_kind (attempts, "a", "token", START);
  g_assert_cmpint (commy_attempts_wait (attempts, "a", START), ==, 60 * S);
  /* Failures of both kinds are counted together, and each is forgiven by its own. */
  commy_attempts_add_failure (attempts, "a", START);
  commy_attempts_set_kind (attempts, "a", "token");
  g_assert_cmpint (commy_attempts_wait (attempts, "a", START), ==, 60 * S);
  g_assert_cmpuint (commy_attempts_get_failures (attempts, "a"), ==, 5);
  commy_attempts_forgive_kind (attempts, "a", "token", START);
  g_assert_cmpuint (commy_attempts_get_failures (attempts, "a"), ==, 5);
  commy_attempts_forgive_kind (attempts, "a", "totp", START);
  g_assert_cmpuint (commy_attempts_get_failures (attempts, "a"), ==, 0);
  g_assert_cmpint (commy_attempts_wait (attempts, "a", START), ==, 0);
}

/* Of whom it is only said that he failed, time alone says that he is somebody else now. */
static void
test_heard_of_no_kind (void)
{
  static const char *const none[] = { NULL };
  g_autoptr (CommyAttempts) attempts = commy_attempts_new (8);

  commy_attempts_hear (attempts, "a", 4, NULL, 60 * S, 77, START);
  commy_attempts_hear (attempts, "b", 4, none, 60 * S, 77, START);
  commy_attempts_forgive_kind (attempts, "a", "token", START);
  commy_attempts_forgive_kind (attempts, "b", "?", START);
  g_assert_cmpint (commy_attempts_wait (attempts, "a", START), ==, 60 * S);
  g_assert_cmpint (commy_attempts_wait (attempts, "b", START), ==, 60 * S);
  commy_attempts_add_failure (attempts, "a", START + 60 * S);
  commy_attempts_set_kind (attempts, "a", "token");
  commy_attempts_forgive_kind (attempts, "a", "token", START + 60 * S);
  g_assert_cmpuint (commy_attempts_get_failures (attempts, "a"), ==, 5);
  commy_attempts_add_failure (attempts, "a", START + 1900 * S);
  g_assert_cmpint (commy_attempts_wait (attempts, "a", START + 1900 * S), ==, S);
}

/* What there is no room for is not forgiven for that. */
static void
test_kinds_bounded (void)
{
  g_autoptr (CommyAttempts) attempts = commy_attempts_new (8);
  g_autofree const char **kinds = NULL;

  commy_attempts_add_failure (attempts, "a", START);
  for (guint i = 0; i < 100; i++)
    {
      g_autofree char *kind = g_strdup_printf ("kind-%u", i);

      commy_attempts_set_kind (attempts, "a", kind);
    }
  kinds = commy_attempts_list_kinds (attempts, "a");
  g_assert_cmpuint (g_strv_length ((char **) kinds), ==, COMMY_ATTEMPTS_KINDS_MAX);
  for (guint i = 0; i < 100; i++)
    {
      g_autofree char *kind = g_strdup_printf ("kind-%u", i);

      commy_attempts_forgive_kind (attempts, "a", kind, START);
    }
  g_assert_cmpuint (commy_attempts_get_failures (attempts, "a"), ==, 1);
}

/* --- a source that many share --- */

#define ALLOWANCE 100u

static CommyAttempts *
make_shared (guint max)
{
  CommyAttempts *attempts = commy_attempts_new (max);

  commy_attempts_set_allowance (attempts, ALLOWANCE);
  return attempts;
}

static void
fail_often (CommyAttempts *attempts, const char *source, guint n, gint64 now)
{
  for (guint i = 0; i < n; i++)
    commy_attempts_add_failure (attempts, source, now);
}

static void
test_allowance (void)
{
  g_autoptr (CommyAttempts) attempts = make_shared (8);

  fail_often (attempts, "a", ALLOWANCE - 1, START);
  g_assert_cmpint (commy_attempts_wait (attempts, "a", START), ==, 0);
  g_assert_cmpuint (commy_attempts_get_failures (attempts, "a"), ==, 0);
  fail_often (attempts, "a", 1, START);
  g_assert_cmpint (commy_attempts_wait (attempts, "a", START), ==, S);
  /* And so many again, for which it waits twice as long. */
  fail_often (attempts, "a", ALLOWANCE - 1, START + S);
  g_assert_cmpint (commy_attempts_wait (attempts, "a", START + S), ==, 0);
  fail_often (attempts, "a", 1, START + S);
  g_assert_cmpint (commy_attempts_wait (attempts, "a", START + S), ==, 2 * S);
  fail_often (attempts, "a", 20 * ALLOWANCE, START + S);
  g_assert_cmpint (commy_attempts_wait (attempts, "a", START + S), ==, 900 * S);
  g_assert_cmpint (commy_attempts_wait (attempts, "b", START + S), ==, 0);
}

/* Those who fail now and then have nobody wait, and what was is forgotten meanwhile. */
static void
test_now_and_then (void)
{
  g_autoptr (CommyAttempts) attempts = make_shared (8);
  gint64 now = START;

  fail_often (attempts, "a", 3 * ALLOWANCE, now);
  g_assert_cmpint (commy_attempts_wait (attempts, "a", now), ==, 4 * S);
  for (guint i = 0; i < 1000; i++)
    {
      now += 10 * S;
      commy_attempts_add_failure (attempts, "a", now);
      g_assert_cmpint (commy_attempts_wait (attempts, "a", now), ==, 0);
    }
  fail_often (attempts, "a", ALLOWANCE, now);
  g_assert_cmpint (commy_attempts_wait (attempts, "a", now), ==, S);
  /* A little faster than that is too fast in the end. */
  for (guint i = 0; i < 2000 && commy_attempts_get_failures (attempts, "b") == 0; i++)
    commy_attempts_add_failure (attempts, "b", now + i * 8 * S);
  g_assert_cmpuint (commy_attempts_get_failures (attempts, "b"), ==, 1);
}

/* A flood of sources that failed once leaves those that wait. */
static void
test_shared_bounded (void)
{
  g_autoptr (CommyAttempts) attempts = make_shared (16);

  fail_often (attempts, "worst", 12 * ALLOWANCE, START);
  for (guint i = 0; i < 1000; i++)
    {
      g_autofree char *source = g_strdup_printf ("source %u", i);

      commy_attempts_add_failure (attempts, source, START + i);
      g_assert_cmpuint (commy_attempts_get_n (attempts), <=, 16);
    }
  g_assert_cmpint (commy_attempts_wait (attempts, "worst", START), ==, 900 * S);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/security/attempts/each-failure-doubles-the-wait-to-a-limit", test_doubles);
  g_test_add_func ("/security/attempts/many-at-once-count-each", test_many_at_once);
  g_test_add_func ("/security/attempts/nobody-waits-for-another", test_own_wait);
  g_test_add_func ("/security/attempts/a-word-is-forgiven-for-good", test_forgiven_word);
  g_test_add_func ("/security/attempts/a-long-rest-is-a-new-beginning", test_forgets);
  /* attack: prove one thing in between guesses at another; defence: a proof forgives its own kind
   * alone */
  g_test_add_func ("/security/attempts/a-proof-forgives-its-own-kind", test_kinds);
  /* attack: prove one thing here between guesses at another elsewhere; defence: instances tell each
   * other at what somebody failed, and a proof forgives its own kind alone */
  g_test_add_func ("/security/attempts/a-proof-forgives-its-own-kind-of-what-is-heard",
                   test_heard_kinds);
  g_test_add_func ("/security/attempts/what-is-heard-of-no-kind-is-forgiven-by-time",
                   test_heard_of_no_kind);
  g_test_add_func ("/security/attempts/kinds-without-room-are-not-forgiven", test_kinds_bounded);
  /* attack: wash away one's own wait by failures under other names; defence: a bounded table that
   * keeps the worst */
  g_test_add_func ("/security/attempts/the-table-is-bounded-and-keeps-the-worst", test_bounded);
  g_test_add_func ("/security/attempts/where-many-share-a-source-so-many-are-allowed",
                   test_allowance);
  g_test_add_func ("/security/attempts/who-fails-now-and-then-has-nobody-wait", test_now_and_then);
  /* attack: fail once each from thousands of addresses, to have the table forget who waits;
   * defence: it is bounded and keeps who waits longest */
  g_test_add_func ("/security/attempts/a-flood-of-sources-leaves-who-waits", test_shared_bounded);
  /* attack: guesses side by side, before the first has failed; defence: few at once, and one after
   * a failure */
  g_test_add_func ("/security/attempts/few-at-once-and-one-after-a-failure", test_under_way);
  return g_test_run ();
}
