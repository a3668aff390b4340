/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What open connections rest on, and the deny list, without connections: time and the providers'
 * words are the test's.
 */
#include "config.h"

#include "security/commy-standing.h"

#include <commy/commy-error.h>
#include <string.h>

#define S G_GINT64_CONSTANT (1000000)
#define T0 (G_GINT64_CONSTANT (1700000000) * S)
#define ID "x509:aa:01"
#define ANN "spiffe://d/host/h/user/ann"

/* A provider that says what it is told to. */
typedef struct
{
  CommyProofState state;
  guint asked;
} Provider;

static CommyProofState
stands (gpointer instance, const char *id, char *reason, gsize size)
{
  Provider *provider = instance;

  provider->asked++;
  g_strlcpy (reason, "so the provider says", size);
  return provider->state;
}

typedef struct
{
  CommyStandings *all;
  Provider provider;
  CommyStanding *one;
  guint told, held;
} Scene;

static void
hold (gpointer data)
{
  ((Scene *) data)->held++;
}

static void
tell (gpointer data)
{
  ((Scene *) data)->told++;
}

static void
scene_init (Scene *self, gint64 from_us, gint64 until_us)
{
  CommyStandingProof proof = { .stands = stands, .instance = &self->provider };

  memset (self, 0, sizeof *self);
  g_strlcpy (proof.proof.id, ID, sizeof proof.proof.id);
  proof.proof.from_s = from_us / S;
  proof.proof.until_s = until_us / S;
  self->all = commy_standings_new (5 * S, 3 * S);
  self->one = commy_standings_add (self->all, ANN, &proof, 1, T0, 0);
  commy_standing_watch (self->one, hold, tell, self);
}

static void
scene_clear (Scene *self)
{
  commy_standing_free (self->one);
  g_assert_cmpuint (commy_standings_get_n (self->all), ==, 0);
  g_assert_cmpuint (self->held, ==, self->told);
  commy_standings_unref (self->all);
}

static void
assert_state (Scene *self, gint64 now_us, CommyStandingState state)
{
  guint told = self->told;

  commy_standings_look (self->all, now_us);
  g_assert_cmpint (commy_standing_get_state (self->one), ==, state);
  g_assert_cmpuint (self->told - told, ==, state != COMMY_STANDING_GOOD);
}

/* --- time --- */

static void
test_end (void)
{
  Scene scene;

  scene_init (&scene, T0, T0 + 60 * S);
  assert_state (&scene, T0 + 49 * S, COMMY_STANDING_GOOD);
  assert_state (&scene, T0 + 50 * S, COMMY_STANDING_FADING); /* five sixths */
  assert_state (&scene, T0 + 63 * S, COMMY_STANDING_FADING); /* three seconds of grace */
  assert_state (&scene, T0 + 63 * S + 1, COMMY_STANDING_OVER);
  g_assert_nonnull (strstr (commy_standing_get_reason (scene.one), "ended at 2023-11-14"));
  /* A clock that is put back brings nothing back. */
  assert_state (&scene, T0, COMMY_STANDING_OVER);
  scene_clear (&scene);
}

/* Of several proofs the first that ends counts, in whichever order they were made. */
static void
test_first_end (void)
{
  const gint64 ends[][2] = { { 60, 30 }, { 30, 60 }, { 0, 30 }, { 30, 0 } };

  for (gsize i = 0; i < G_N_ELEMENTS (ends); i++)
    {
      CommyStandingProof proofs[2] = { { .stands = stands }, { .stands = stands } };
      Scene scene = { .all = commy_standings_new (5 * S, 3 * S) };

      for (guint j = 0; j < 2; j++)
        {
          proofs[j].instance = &scene.provider;
          proofs[j].proof.from_s = T0 / S;
          proofs[j].proof.until_s = ends[i][j] != 0 ? T0 / S + ends[i][j] : 0;
        }
      scene.one = commy_standings_add (scene.all, ANN, proofs, 2, T0, 0);
      commy_standing_watch (scene.one, hold, tell, &scene);
      g_assert_cmpint (commy_standing_get_until_s (scene.one), ==, T0 / S + 30);
      assert_state (&scene, T0 + 25 * S, COMMY_STANDING_FADING);
      assert_state (&scene, T0 + 33 * S + 1, COMMY_STANDING_OVER);
      scene_clear (&scene);
    }
}

/* Who connects with what is nearly over tries again when half of the rest is gone. */
static void
test_late (void)
{
  Scene scene;

  scene_init (&scene, T0 - 60 * S, T0 + 4 * S);
  assert_state (&scene, T0 + 2 * S - 1, COMMY_STANDING_GOOD);
  assert_state (&scene, T0 + 2 * S, COMMY_STANDING_FADING);
  scene_clear (&scene);
}

static void
test_without_end (void)
{
  Scene scene;

  scene_init (&scene, 0, 0);
  assert_state (&scene, T0 + 1000000 * S, COMMY_STANDING_GOOD);
  g_assert_cmpint (commy_standings_look (scene.all, T0), ==, T0 + 5 * S); /* the provider */
  scene_clear (&scene);
}

/* What a provider says of time is multiplied: no number of its breaks that. */
static void
test_any_number (void)
{
  static const gint64 numbers[] = { G_MAXINT64, G_MAXINT64 - 1, G_MININT64, -1, 0, 1 };
  CommyStandings *all = commy_standings_new (5 * S, 3 * S);

  for (guint i = 0; i < G_N_ELEMENTS (numbers); i++)
    for (guint k = 0; k < G_N_ELEMENTS (numbers); k++)
      {
        Provider provider = { COMMY_PROOF_GOOD, 0 };
        CommyStandingProof proof = { .stands = stands, .instance = &provider };
        CommyStanding *one;

        proof.proof.from_s = numbers[i];
        proof.proof.until_s = numbers[k];
        memset (proof.proof.id, 'x', sizeof proof.proof.id); /* without its NUL */
        one = commy_standings_add (all, ANN, &proof, 1, T0, G_MAXUINT32);
        g_assert_cmpint (commy_standings_look (all, T0), >, T0);
        commy_standing_free (one);
      }
  commy_standings_unref (all);
}

/* --- providers --- */

static void
test_revoked (void)
{
  Scene scene;

  scene_init (&scene, T0, T0 + 3600 * S);
  assert_state (&scene, T0 + S, COMMY_STANDING_GOOD);
  scene.provider.state = COMMY_PROOF_REVOKED;
  assert_state (&scene, T0 + 2 * S, COMMY_STANDING_OVER);
  g_assert_cmpstr (commy_standing_get_reason (scene.one), ==, "so the provider says");
  scene_clear (&scene);
}

static void
test_stale (void)
{
  Scene scene;

  scene_init (&scene, T0, T0 + 3600 * S);
  scene.provider.state = COMMY_PROOF_STALE;
  assert_state (&scene, T0 + S, COMMY_STANDING_FADING);
  scene.provider.state = COMMY_PROOF_GOOD; /* it thought better of it */
  assert_state (&scene, T0 + 2 * S, COMMY_STANDING_GOOD);
  scene.provider.state = COMMY_PROOF_STALE;
  assert_state (&scene, T0 + 10 * S, COMMY_STANDING_FADING);
  assert_state (&scene, T0 + 13 * S, COMMY_STANDING_FADING);
  assert_state (&scene, T0 + 13 * S + 1, COMMY_STANDING_OVER);
  g_assert_nonnull (strstr (commy_standing_get_reason (scene.one), "so the provider says"));
  scene_clear (&scene);
}

/* --- the deny list --- */

static CommyDenial *
denial_new (const char *subject, gint64 until_s)
{
  CommyDenial *denial = g_new0 (CommyDenial, 1);

  denial->subject = g_strdup (subject);
  denial->reason = g_strdup ("leaked");
  denial->until_s = until_s;
  return denial;
}

static void
test_denied (gconstpointer subject)
{
  Scene scene;

  scene_init (&scene, T0, T0 + 3600 * S);
  commy_deny_list_take (commy_standings_get_deny_list (scene.all), denial_new ("x509:aa:0", 0),
                        T0 / S); /* somebody like it */
  assert_state (&scene, T0 + S, COMMY_STANDING_GOOD);
  commy_deny_list_take (commy_standings_get_deny_list (scene.all),
                        denial_new (subject, T0 / S + 10), T0 / S);
  commy_deny_list_remove (commy_standings_get_deny_list (scene.all), "x509:aa:0");
  assert_state (&scene, T0 + 11 * S, COMMY_STANDING_GOOD); /* that had ended */
  assert_state (&scene, T0 + 9 * S, COMMY_STANDING_OVER);
  g_assert_nonnull (strstr (commy_standing_get_reason (scene.one), "is denied: leaked"));
  commy_deny_list_clear (commy_standings_get_deny_list (scene.all));
  assert_state (&scene, T0 + 14 * S, COMMY_STANDING_OVER);
  scene_clear (&scene);
}

static void
test_denied_from_the_start (void)
{
  CommyStandings *all = commy_standings_new (5 * S, 3 * S);
  CommyStanding *one;

  commy_deny_list_take (commy_standings_get_deny_list (all), denial_new (ANN, 0), T0 / S);
  one = commy_standings_add (all, ANN, NULL, 0, T0, 0);
  g_assert_cmpint (commy_standing_get_state (one), ==, COMMY_STANDING_OVER);
  commy_standing_free (one);
  commy_standings_unref (all);
}

static void
test_full (void)
{
  g_autoptr (CommyDenyList) list = commy_deny_list_new ();

  for (guint i = 0; i < COMMY_DENY_LIST_MAX; i++)
    {
      g_autofree char *subject = g_strdup_printf ("token:%u", i);

      g_assert_true (commy_deny_list_take (list, denial_new (subject, 0), 1));
    }
  /* All are for good: there is none that ends sooner than the new one. */
  g_assert_false (commy_deny_list_take (list, denial_new ("token:more", 0), 1));
  g_assert_null (commy_deny_list_find (list, "token:more", "", 1));
  g_assert_true (commy_deny_list_take (list, denial_new ("token:7", 5), 1)); /* it was there */
  g_assert_cmpuint (commy_deny_list_get_n (list), ==, COMMY_DENY_LIST_MAX);
  g_assert_nonnull (commy_deny_list_find (list, "token:7", "", 4));
  g_assert_null (commy_deny_list_find (list, "token:7", "", 5));
  /* The one that ends soonest goes, be it the new one. */
  g_assert_false (commy_deny_list_take (list, denial_new ("token:soon", 5), 4));
  g_assert_null (commy_deny_list_find (list, "token:soon", "", 4));
  g_assert_false (commy_deny_list_take (list, denial_new ("token:later", 6), 4));
  g_assert_null (commy_deny_list_find (list, "token:7", "", 4));
  g_assert_nonnull (commy_deny_list_find (list, "token:later", "", 4));
  g_assert_false (commy_deny_list_take (list, denial_new ("token:7", 0), 4));
  g_assert_null (commy_deny_list_find (list, "token:later", "", 4));
  g_assert_cmpuint (commy_deny_list_get_n (list), ==, COMMY_DENY_LIST_MAX);
  /* What has ended makes room, and is not taken. */
  g_assert_true (commy_deny_list_take (list, denial_new ("token:7", 5), 4));
  g_assert_true (commy_deny_list_take (list, denial_new ("token:gone", 5), 5));
  g_assert_true (commy_deny_list_take (list, denial_new ("token:more", 0), 5));
  g_assert_nonnull (commy_deny_list_find (list, "token:more", "", 5));
  g_assert_cmpuint (commy_deny_list_get_n (list), ==, COMMY_DENY_LIST_MAX);
  g_assert_true (commy_deny_list_take (list, denial_new ("token:8", 4), 5));
  g_assert_null (commy_deny_list_find (list, "token:8", "", 3));
}

/* Whatever it proved to be, in whichever place of its chain. */
static void
test_denied_by_any (gconstpointer subject)
{
  CommyStandings *all = commy_standings_new (5 * S, 3 * S);
  CommyStanding *one;

  one = commy_standings_add (all, ANN " token:build https://issuer.example/#ann", NULL, 0, T0, 0);
  g_assert_cmpint (commy_standing_get_state (one), ==, COMMY_STANDING_GOOD);
  commy_deny_list_take (commy_standings_get_deny_list (all), denial_new (subject, 0), T0 / S);
  commy_standings_look (all, T0 + S);
  g_assert_cmpint (commy_standing_get_state (one), ==, COMMY_STANDING_OVER);
  g_assert_nonnull (strstr (commy_standing_get_reason (one), subject));
  commy_standing_free (one);
  commy_standings_unref (all);
}

/* Looks follow one another as fast as connections come; who is told is told once. */
static void
test_told_once (void)
{
  Scene scene;

  scene_init (&scene, T0, T0 + 3600 * S);
  scene.provider.state = COMMY_PROOF_REVOKED;
  for (guint i = 0; i < 1000; i++)
    g_assert_cmpint (commy_standings_look (scene.all, T0 + i), ==, T0 + 5 * S);
  g_assert_cmpuint (scene.told, ==, 1);
  commy_standings_look (scene.all, T0 + 5 * S);
  g_assert_cmpuint (scene.told, ==, 2);
  scene_clear (&scene);
}

static void
test_record (void)
{
  g_autoptr (CommyDenial) denial = denial_new ("token:build", 77);
  g_autofree char *text = commy_denial_write (denial);
  g_autoptr (CommyDenial) back = NULL;
  g_autoptr (GError) error = NULL;

  back = commy_denial_read (COMMY_DENIED_PREFIX "token:build", text, strlen (text), &error);
  g_assert_no_error (error);
  g_assert_cmpstr (back->subject, ==, "token:build");
  g_assert_cmpstr (back->reason, ==, "leaked");
  g_assert_cmpint (back->until_s, ==, 77);
}

/* What cannot be read denies for good; a key that names nobody denies nobody. */
static void
test_bad_records (void)
{
  static const char *const texts[] = {
    "",
    "nothing",
    "{'reason': <5>}",
    "{'reason': <'x'>, 'until': <int64 -1>}",
    "{'reason': <'a\\nb'>, 'until': <int64 0>}",
    "{'until': <int64 9>}",
  };
  g_autofree char *long_text = g_strnfill (COMMY_DENIAL_TEXT_MAX + 1, ' ');
  g_autofree char *long_key = g_strnfill (COMMY_DENIAL_SUBJECT_MAX + 8, 'd');

  for (guint i = 0; i <= G_N_ELEMENTS (texts); i++)
    {
      const char *text = i < G_N_ELEMENTS (texts) ? texts[i] : long_text;
      g_autoptr (GError) error = NULL;
      g_autoptr (CommyDenial) denial
          = commy_denial_read (COMMY_DENIED_PREFIX "token:x", text, strlen (text), &error);

      g_assert_nonnull (error);
      g_assert_nonnull (denial);
      g_assert_cmpint (denial->until_s, ==, 0);
    }
  memcpy (long_key, COMMY_DENIED_PREFIX, strlen (COMMY_DENIED_PREFIX));
  g_assert_null (commy_denial_read (long_key, "", 0, NULL));
  g_assert_null (commy_denial_read (COMMY_DENIED_PREFIX, "", 0, NULL));
  g_assert_null (commy_denial_read (COMMY_DENIED_PREFIX "a b", "", 0, NULL));
  g_assert_null (commy_denial_read (COMMY_DENIED_PREFIX "a\xff", "", 0, NULL));
  g_assert_null (commy_denial_read ("services/x", "", 0, NULL));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/security/standing/fades-before-its-proof-ends-and-is-over-after", test_end);
  g_test_add_func ("/security/standing/the-first-proof-that-ends-counts", test_first_end);
  g_test_add_func ("/security/standing/what-is-nearly-over-is-tried-again-soon", test_late);
  g_test_add_func ("/security/standing/what-has-no-end-is-asked-for-all-the-same",
                   test_without_end);
  g_test_add_func ("/security/standing/takes-any-number-from-a-provider", test_any_number);
  g_test_add_func ("/security/standing/a-proof-that-was-taken-back-ends-it", test_revoked);
  g_test_add_func ("/security/standing/a-stale-proof-has-it-replaced-or-ended", test_stale);
  g_test_add_data_func ("/security/standing/is-denied-by-principal", ANN, test_denied);
  g_test_add_data_func ("/security/standing/is-denied-by-certificate", ID, test_denied);
  g_test_add_func ("/security/standing/who-is-denied-does-not-begin", test_denied_from_the_start);
  g_test_add_data_func ("/security/standing/is-denied-by-the-first-of-its-chain", ANN,
                        test_denied_by_any);
  g_test_add_data_func ("/security/standing/is-denied-by-a-token-behind-a-certificate",
                        "token:build", test_denied_by_any);
  g_test_add_data_func ("/security/standing/is-denied-by-a-jwt-principal",
                        "https://issuer.example/#ann", test_denied_by_any);
  g_test_add_func ("/security/standing/who-is-over-is-told-once", test_told_once);
  g_test_add_func ("/security/deny-list/is-bounded", test_full);
  g_test_add_func ("/security/deny-list/records-come-back-as-written", test_record);
  g_test_add_func ("/security/deny-list/what-cannot-be-read-denies", test_bad_records);
  return g_test_run ();
}
