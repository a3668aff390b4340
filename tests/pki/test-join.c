/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Joining over real sockets, with real processes of `commy pki serve` and `commy join`: what goes
 * well, and what is wrong with a token, a directory or a clock.
 */
#include "config.h"

#include "tests/pki/join-fixture.h"

#include <string.h>
#include <sys/stat.h>

/* --- what goes well --- */

static void
test_join_and_renew (void)
{
  JoinAuthority authority;
  char *dir = join_new_dir ();
  g_autofree char *token = NULL;
  g_autoptr (CommyPkiCredentials) first = NULL;
  g_autoptr (CommyPkiCredentials) second = NULL;
  g_autofree char *key = g_build_filename (dir, COMMY_PKI_KEY_FILE, NULL);
  g_auto (JoinRun) joined = { 0 };
  g_auto (JoinRun) again = { 0 };
  g_auto (JoinRun) renewed = { 0 };
  struct stat about;

  join_authority_init (&authority);
  token = join_make_token (authority.dir, authority.address, fixture_now () + 600);
  join_with (&joined, token, dir, "web2");
  join_assert_done (&joined);
  first = commy_pki_credentials_load (dir, NULL);
  g_assert_true (g_str_has_suffix (first->id, "/host/web2/user/u"));
  g_assert_nonnull (strstr (joined.out, first->id));
  g_assert_null (strstr (joined.out, token));
  g_assert_null (strstr (joined.err, token));
  g_assert_cmpint (stat (key, &about), ==, 0);
  g_assert_cmpuint (about.st_mode & 07777, ==, 0600);
  g_assert_cmpint (first->not_after_s - fixture_now (), <=, DAY);

  join_with (&again, token, dir, "web3");
  join_assert_told (&again, 4, "used already");

  join_run (&renewed, NULL, "pki", "renew", "--dir", dir, NULL);
  join_assert_done (&renewed);
  second = commy_pki_credentials_load (dir, NULL);
  g_assert_cmpstr (second->id, ==, first->id);
  g_assert_cmpstr (second->key_pem, !=, first->key_pem);
  join_authority_clear (&authority);
  fixture_remove (dir);
}

#define RACERS 8

static void
test_race (void)
{
  JoinAuthority authority;
  char *dirs[RACERS];
  JoinRun runs[RACERS];
  g_autofree char *token = NULL;
  guint winners = 0;

  join_authority_init (&authority);
  token = join_make_token (authority.dir, authority.address, fixture_now () + 600);
  for (guint i = 0; i < RACERS; i++)
    {
      g_autofree char *host = g_strdup_printf ("h%u", i);

      dirs[i] = join_new_dir ();
      join_run_start (&runs[i], token,
                      (const char *const[]){ "join", "-", "--dir", dirs[i], "--host", host, NULL });
    }
  for (guint i = 0; i < RACERS; i++)
    {
      join_run_wait (&runs[i]);
      if (runs[i].status == 0)
        winners++;
      else
        join_assert_told (&runs[i], 4, "used already");
      g_assert_true (join_is_empty (dirs[i]) == (runs[i].status != 0));
      join_run_clear (&runs[i]);
      fixture_remove (dirs[i]);
    }
  g_assert_cmpuint (winners, ==, 1);
  join_authority_clear (&authority);
}

/* Who takes a name over with a token made for it leaves the old key without renewal. */
static void
test_take_over (void)
{
  JoinAuthority authority;
  char *old_dir = join_new_dir ();
  char *new_one = join_new_dir ();
  g_autofree char *first = NULL;
  g_autofree char *other = NULL;
  g_autofree char *exact = NULL;
  g_auto (JoinRun) joined = { 0 };
  g_auto (JoinRun) refused = { 0 };
  g_auto (JoinRun) taken = { 0 };
  g_auto (JoinRun) renewed = { 0 };

  join_authority_init (&authority);
  first = join_make_token (authority.dir, authority.address, fixture_now () + 600);
  other = join_make_token (authority.dir, authority.address, fixture_now () + 600);
  join_with (&joined, first, old_dir, "h");
  join_assert_done (&joined);
  join_with (&refused, other, new_one, "h");
  join_assert_told (&refused, 4, "given out to another key");
  exact = join_token_for (authority.dir, authority.address, "h", "u");
  join_with (&taken, exact, new_one, "h");
  join_assert_done (&taken);
  join_run (&renewed, NULL, "pki", "renew", "--dir", old_dir, NULL);
  join_assert_told (&renewed, 4, "given to another key since");
  join_authority_clear (&authority);
  fixture_remove (old_dir);
  fixture_remove (new_one);
}

/* --- tokens that do not help --- */

static void
test_bad_tokens (void)
{
  JoinAuthority authority;
  char *dir = join_new_dir ();
  g_autofree char *token = NULL;
  g_autofree char *late = NULL;
  g_autofree char *revoked = NULL;
  g_autoptr (CommyPkiToken) parsed = NULL;
  g_auto (JoinRun) damaged = { 0 };
  g_auto (JoinRun) expired = { 0 };
  g_auto (JoinRun) revoke = { 0 };
  g_auto (JoinRun) useless = { 0 };
  g_auto (JoinRun) missing = { 0 };

  join_authority_init (&authority);
  token = join_make_token (authority.dir, authority.address, fixture_now () + 600);
  token[30] = token[30] == 'b' ? 'c' : 'b';
  join_with (&damaged, token, dir, "h");
  join_assert_told (&damaged, 4, "checksum");
  late = join_make_token (authority.dir, authority.address, fixture_now () - 600);
  join_with (&expired, late, dir, "h");
  join_assert_told (&expired, 4, "expired 10 min ago");
  revoked = join_make_token (authority.dir, authority.address, fixture_now () + 600);
  parsed = commy_pki_token_parse (revoked, NULL);
  join_run (&revoke, NULL, "pki", "token", "revoke", parsed->id, "--dir", authority.dir, NULL);
  join_assert_done (&revoke);
  join_with (&useless, revoked, dir, "h");
  join_assert_told (&useless, 4, "revoked");
  join_run (&missing, NULL, "join", "--file", "/nonexistent", "--dir", dir, NULL);
  join_assert_told (&missing, 4, "cannot read the token");
  g_assert_true (join_is_empty (dir));
  join_authority_clear (&authority);
  fixture_remove (dir);
}

static void
test_other_authority (void)
{
  JoinAuthority authority;
  char *other = fixture_authority_dir ();
  char *dir = join_new_dir ();
  char *member = fixture_credentials_dir (other, -1, 1);
  g_autofree char *foreign = NULL;
  g_autofree char *good = NULL;
  g_auto (JoinRun) refused = { 0 };
  g_auto (JoinRun) belongs = { 0 };
  g_auto (JoinRun) replaced = { 0 };
  g_auto (JoinRun) own = { 0 };

  join_authority_init (&authority);
  foreign = join_make_token (other, authority.address, fixture_now () + 600);
  join_with (&refused, foreign, dir, "h");
  join_assert_told (&refused, 4, "another authority than the token");
  g_assert_true (join_is_empty (dir));
  good = join_make_token (authority.dir, authority.address, fixture_now () + 600);
  join_with (&belongs, good, member, "h");
  join_assert_told (&belongs, 4, "--replace");
  join_with (&own, good, other, "h"); /* where an authority's own key lies */
  join_assert_told (&own, 4, "would be lost");
  join_run (&replaced, good, "join", "--replace", "--dir", member, "--host", "h", NULL);
  join_assert_done (&replaced);
  {
    g_autoptr (CommyPkiCredentials) now = commy_pki_credentials_load (member, NULL);

    g_assert_true (g_str_has_suffix (now->id, g_get_user_name ()));
  }
  join_authority_clear (&authority);
  fixture_remove (member);
  fixture_remove (dir);
  fixture_remove (other);
}

/* --- clocks: the authority runs here, with a clock of ours --- */

typedef struct
{
  char *dir;
  gint64 ahead_s;
  CommyPkiServer *server;
} Here;

static gint64
shifted (gpointer data)
{
  return fixture_now () + ((Here *) data)->ahead_s;
}

static void
here_init (Here *self, gint64 ahead_s)
{
  CommyPkiServerConfig config = { .listen = "127.0.0.1:0", .clock = shifted, .clock_data = self };
  g_autoptr (GError) error = NULL;

  self->dir = fixture_authority_dir ();
  self->ahead_s = ahead_s;
  config.dir = self->dir;
  self->server = commy_pki_server_new (&config, &error);
  g_assert_no_error (error);
}

static void
here_clear (Here *self)
{
  commy_pki_server_free (self->server);
  fixture_remove (self->dir);
}

static void
assert_clock (gint64 ahead_s, gint64 valid_s, const char *words)
{
  Here here;
  char *dir = join_new_dir ();
  g_autofree char *token = NULL;
  g_auto (JoinRun) run = { 0 };

  here_init (&here, ahead_s);
  token = join_make_token (here.dir, commy_pki_server_get_address (here.server),
                           fixture_now () + valid_s);
  join_with (&run, token, dir, "h");
  join_assert_told (&run, 4, words);
  g_assert_true (join_is_empty (dir));
  if (valid_s > 3600) /* the token was not used up by that */
    {
      g_auto (JoinRun) second = { 0 };

      here.ahead_s = 0;
      join_with (&second, token, dir, "h");
      join_assert_done (&second);
    }
  here_clear (&here);
  fixture_remove (dir);
}

static void
test_clocks (void)
{
  assert_clock (3 * 3600 + 30, DAY, "this host's clock is 3 h 0 min behind the authority's");
  assert_clock (-20 * 60 - 30, DAY, "this host's clock is 20 min ahead of the authority's");
  assert_clock (200, 100, "the authority's clock says"); /* expired there, not here */
}

static void
test_no_certificate_renewed (void)
{
  char *authority = fixture_authority_dir ();
  char *dir = fixture_credentials_dir (authority, -1, 1);
  g_auto (JoinRun) orphan = { 0 };
  g_auto (JoinRun) here = { 0 };

  join_run (&orphan, NULL, "pki", "renew", "--dir", dir, NULL);
  join_assert_told (&orphan, 4, "no issuer is known");
  fixture_issue (authority, authority, -1, 1);
  join_run (&here, NULL, "pki", "renew", "--dir", authority, NULL); /* by its own authority */
  join_assert_done (&here);
  g_assert_nonnull (strstr (here.out, "this host"));
  fixture_remove (dir);
  fixture_remove (authority);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/join/with-a-token-once-and-renewed-with-the-certificate", test_join_and_renew);
  g_test_add_func ("/join/of-eight-at-once-one-gets-in", test_race);
  g_test_add_func ("/join/a-name-taken-over-ends-the-old-keys-renewal", test_take_over);
  g_test_add_func ("/join/damaged-expired-and-revoked-tokens", test_bad_tokens);
  g_test_add_func ("/join/another-authority", test_other_authority);
  g_test_add_func ("/join/clocks-that-are-off-are-told-by-how-much", test_clocks);
  g_test_add_func ("/join/renewal/needs-an-issuer", test_no_certificate_renewed);
  return g_test_run ();
}
