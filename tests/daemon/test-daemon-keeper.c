/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the keeper of commyd believes of a door that somebody has taken over: that it speaks for its
 * own user. The doors here are the test's, and say what an honest one never would.
 */
#include "config.h"

#include "keeper-scene.h"

#include "daemon/commyd-sandbox.h"
#include "daemon/commyd-value.h"

#include <commy/commy-audit.h>
#include <errno.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define MIB (1u << 20)

/* A's door has been ended, with what it had; B has not noticed. */
static void
assert_a_is_ended (KeeperScene *scene)
{
  CommydInnerHead heard;

  keeper_scene_run (scene);
  g_assert_cmpuint (scene->server->n_doors_lost, ==, 1);
  g_assert_cmpuint (keeper_scene_count (scene, USER_A), ==, 0);
  while (door_hear (scene->doors[A], &heard, NULL))
    continue;
  g_assert_cmpint (recv (scene->doors[A], &heard, sizeof heard, MSG_DONTWAIT), ==, 0);
  g_assert_cmpuint (keeper_scene_count (scene, USER_B), ==, 1);
  g_assert_true (door_serves (scene, B, OF_B));
  g_assert_cmpuint (scene->n_written, ==, 0);
}

/* --- records that cannot be --- */

typedef struct
{
  const char *name;
  CommydInnerHead heads[3];
  const char *keys[3];
} Wrong;

static const Wrong wrongs[] = {
  { "ready-twice", { { .type = COMMYD_INNER_READY }, { .type = COMMYD_INNER_READY } }, { NULL } },
  { "another-users-connection", { { .type = COMMYD_INNER_RANGE, .connection = OF_B } }, { "k" } },
  { "closes-another-users", { { .type = COMMYD_INNER_CLOSED, .connection = OF_B } }, { NULL } },
  { "takes-another-users", { { .type = COMMYD_INNER_OPENED, .connection = OF_B } }, { NULL } },
  { "takes-twice", { { .type = COMMYD_INNER_OPENED, .connection = OF_A } }, { NULL } },
  { "no-connection-at-all", { { .type = COMMYD_INNER_STATUS, .connection = 99 } }, { NULL } },
  { "the-keepers-own-words", { { .type = COMMYD_INNER_OPEN, .connection = OF_A } }, { NULL } },
  { "a-commit-of-nothing", { { .type = COMMYD_INNER_COMMIT, .connection = OF_A } }, { NULL } },
  { "a-put-of-nothing", { { .type = COMMYD_INNER_PUT, .connection = OF_A } }, { "k" } },
  { "begins-twice",
    { { .type = COMMYD_INNER_BEGIN, .connection = OF_A },
      { .type = COMMYD_INNER_BEGIN, .connection = OF_A } },
    { NULL } },
  { "a-transaction-of-two",
    { { .type = COMMYD_INNER_BEGIN, .connection = OF_A },
      { .type = COMMYD_INNER_DELETE, .connection = OF_A, .id = 1 } },
    { NULL, "k" } },
  { "a-range-in-a-transaction",
    { { .type = COMMYD_INNER_BEGIN, .connection = OF_A },
      { .type = COMMYD_INNER_RANGE, .connection = OF_A } },
    { NULL, "k" } },
  { "a-condition-after-a-change",
    { { .type = COMMYD_INNER_BEGIN, .connection = OF_A },
      { .type = COMMYD_INNER_DELETE, .connection = OF_A },
      { .type = COMMYD_INNER_COMPARE, .connection = OF_A } },
    { NULL, "k", "k" } },
  { "commits-half-a-value",
    { { .type = COMMYD_INNER_BEGIN, .connection = OF_A },
      { .type = COMMYD_INNER_PUT, .connection = OF_A, .other = 1 },
      { .type = COMMYD_INNER_COMMIT, .connection = OF_A } },
    { NULL, "k" } },
  { "a-value-beyond-all-bounds",
    { { .type = COMMYD_INNER_BEGIN, .connection = OF_A },
      { .type = COMMYD_INNER_PUT, .connection = OF_A, .other = G_MAXINT64 } },
    { NULL, "k" } },
  { "a-value-of-less-than-nothing",
    { { .type = COMMYD_INNER_BEGIN, .connection = OF_A },
      { .type = COMMYD_INNER_PUT, .connection = OF_A, .other = -1 } },
    { NULL, "k" } },
};

static gboolean
note_refusal (GVariant *record, gpointer data)
{
  const char *outcome = "";
  const char *principal = "";
  const char *words = "";

  g_variant_lookup (record, "outcome", "&s", &outcome);
  g_variant_lookup (record, "principal", "&s", &principal);
  g_variant_lookup (record, "peer", "&s", &words);
  if (strcmp (outcome, "refused") == 0 && strcmp (principal, "unix:uid=1001") == 0
      && strstr (words, "the door of user 1001 is ended") != NULL)
    ++*(guint *) data;
  return TRUE;
}

static void
test_wrong (gconstpointer data)
{
  const Wrong *wrong = data;
  KeeperScene *scene = keeper_scene_two ("");
  g_autofree char *dir = g_strdup (scene->dir);
  g_autoptr (GError) error = NULL;
  guint n_told = 0;

  for (guint i = 0; i < G_N_ELEMENTS (wrong->heads) && wrong->heads[i].type != 0; i++)
    door_say (scene->doors[A], &wrong->heads[i], wrong->keys[i]);
  assert_a_is_ended (scene);
  commy_audit_log_sync (scene->audit);
  commy_audit_read (dir, note_refusal, &n_told, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (n_told, ==, 1);
  keeper_scene_free (scene);
}

/* Bytes that are no record: each of its lengths and bounds. */
static void
test_no_record (void)
{
  for (guint i = 0; i < 8; i++)
    {
      g_autoptr (KeeperScene) scene = keeper_scene_two ("");
      CommydInnerHead own = door_head (COMMYD_INNER_RANGE, OF_A, 1);
      guint8 bytes[sizeof own + 4] = { 0 };
      gsize size = sizeof own + 2;

      own.key_size = 2;
      own.type = i == 0 ? 0 : i == 1 ? 1000 : own.type;
      own.key_size = i == 2 ? 1 : i == 3 ? 3 : i == 4 ? G_MAXUINT32 : own.key_size;
      own.piece_size = i == 5 ? 1 : 0;
      own.number = i == 6;
      memcpy (bytes, &own, sizeof own);
      memcpy (bytes + sizeof own, i == 7 ? "k\0" : "kk", 2);
      size += i == 5;
      g_assert_cmpint (send (scene->doors[A], bytes, size, 0), ==, (ssize_t) size);
      assert_a_is_ended (scene);
    }
  for (gsize size = 1; size < COMMYD_INNER_HEAD; size += 15)
    {
      g_autoptr (KeeperScene) scene = keeper_scene_two ("");
      const guint8 bytes[COMMYD_INNER_HEAD] = { COMMYD_INNER_READY };

      g_assert_cmpint (send (scene->doors[A], bytes, size, 0), ==, (ssize_t) size);
      assert_a_is_ended (scene);
    }
}

/* One thing of a connection is asked at a time. */
static void
test_asks_too_early (void)
{
  g_autoptr (KeeperScene) scene = keeper_scene_two ("");
  const CommydInnerHead range = door_head (COMMYD_INNER_RANGE, OF_A, 1);
  const CommydInnerHead grant = door_head (COMMYD_INNER_GRANT, OF_A, 2);

  scene->holds = TRUE;
  door_say (scene->doors[A], &range, "");
  keeper_scene_run (scene);
  g_assert_cmpuint (scene->asked.length, ==, 1);
  scene->holds = FALSE;
  door_say (scene->doors[A], &grant, NULL);
  assert_a_is_ended (scene);
  keeper_scene_answer_all (scene); /* which comes to nobody any more */
}

/* Of what it has not taken it says nothing: else nobody knew whether it can be given to another. */
static void
test_not_taken (void)
{
  g_autoptr (KeeperScene) scene = keeper_scene_two ("");
  const CommydInnerHead range = door_head (COMMYD_INNER_RANGE, 3, 1);

  scene->takes_late = TRUE;
  g_assert_true (keeper_scene_connect (scene, USER_A));
  door_say (scene->doors[A], &range, "");
  assert_a_is_ended (scene);
}

/* A transaction has no more parts, and a value no more bytes, than a client's can have. */
static void
test_endless_transaction (void)
{
  g_autoptr (KeeperScene) scene = keeper_scene_two ("");
  const CommydInnerHead begin = door_head (COMMYD_INNER_BEGIN, OF_A, 1);
  const CommydInnerHead part = door_head (COMMYD_INNER_DELETE, OF_A, 1);
  CommydUser *user = g_hash_table_lookup (scene->server->users, GUINT_TO_POINTER (USER_A));

  door_say (scene->doors[A], &begin, NULL);
  for (guint i = 0; i < STORE_WIRE_MAX_PARTS; i++)
    {
      door_say (scene->doors[A], &part, "k");
      keeper_scene_run (scene);
    }
  g_assert_cmpuint (user->collect.txn.ops->len, ==, STORE_WIRE_MAX_PARTS);
  door_say (scene->doors[A], &part, "k");
  assert_a_is_ended (scene);
}

static void
test_endless_value (void)
{
  g_autoptr (KeeperScene) scene = keeper_scene_two ("");
  const CommydInnerHead begin = door_head (COMMYD_INNER_BEGIN, OF_A, 1);
  const CommydInnerHead piece = door_head (COMMYD_INNER_PIECE, OF_A, 1);
  CommydInnerHead put = door_head (COMMYD_INNER_PUT, OF_A, 1);
  CommydUser *user = g_hash_table_lookup (scene->server->users, GUINT_TO_POINTER (USER_A));

  put.other = 5 * (COMMYD_INNER_MAX_PIECE / 2);
  door_say (scene->doors[A], &begin, NULL);
  door_say (scene->doors[A], &put, "k");
  for (guint i = 0; i < 2; i++)
    door_say_piece (scene->doors[A], &piece, COMMYD_INNER_MAX_PIECE);
  keeper_scene_run (scene);
  g_assert_cmpuint (user->collect.value->len, ==, 2 * COMMYD_INNER_MAX_PIECE);
  door_say_piece (scene->doors[A], &piece, COMMYD_INNER_MAX_PIECE);
  assert_a_is_ended (scene);
}

/* Keys are bytes, too. */
static void
test_endless_keys (void)
{
  g_autoptr (KeeperScene) scene = keeper_scene_two ("");
  const CommydInnerHead begin = door_head (COMMYD_INNER_BEGIN, OF_A, 1);
  const CommydInnerHead part = door_head (COMMYD_INNER_DELETE, OF_A, 1);
  g_autofree char *key = g_strnfill (COMMYD_INNER_MAX_KEY, 'k');

  door_say (scene->doors[A], &begin, NULL);
  for (guint i = 0; i < STORE_WIRE_MAX_REQUEST / COMMYD_INNER_MAX_KEY; i++)
    {
      door_say (scene->doors[A], &part, key);
      keeper_scene_run (scene);
    }
  g_assert_cmpuint (scene->server->n_doors_lost, ==, 0);
  door_say (scene->doors[A], &part, key);
  assert_a_is_ended (scene);
}

/* --- what it may say, but not get --- */

static void
test_speaks_for_its_user_alone (void)
{
  g_autoptr (KeeperScene) scene = keeper_scene_two ("");
  gint64 lease = door_grant (scene, B, OF_B);
  CommydInnerHead revoke = door_head (COMMYD_INNER_REVOKE, OF_A, 8);
  CommydUser *other;

  g_assert_true (door_put (scene, B, OF_B, "of-b", lease));
  /* Another's key, another's lease, what is the daemon's, and what shuts others out. */
  g_assert_false (door_put (scene, A, OF_A, "of-b", 0));
  g_assert_false (door_put (scene, A, OF_A, "of-a", lease));
  g_assert_false (door_put (scene, A, OF_A, "hosts/x", 0));
  g_assert_false (door_put (scene, A, OF_A, "denied/x", 0));
  revoke.number = lease;
  g_assert_false (door_ask (scene, scene->doors[A], &revoke, NULL));
  other = g_hash_table_lookup (scene->server->users, GUINT_TO_POINTER (USER_B));
  g_assert_cmpuint (other->n_leases, ==, 1);
  g_assert_cmpuint (scene->n_written, ==, 1);
  g_assert_true (door_put (scene, A, OF_A, "of-a", door_grant (scene, A, OF_A)));
  /* With its door go its leases, and nobody else's. */
  close (scene->doors[A]);
  scene->doors[A] = -1;
  keeper_scene_run (scene);
  g_assert_cmpuint (commyd_ledger_count (scene->server->ledger), ==, 1);
  g_assert_cmpuint (other->n_leases, ==, 1);
  g_assert_cmpuint (g_hash_table_size (scene->server->leases), ==, 1);
}

static void
keep_message (const char *domain, GLogLevelFlags level, const char *message, gpointer data)
{
  g_string_append (data, message);
}

/* Its words are in the log, in one line, whatever a client or who has taken it over put into them.
 */
static void
test_words (void)
{
  g_autoptr (KeeperScene) scene = keeper_scene_two ("");
  g_autoptr (GString) said = g_string_new (NULL);
  CommydInnerHead closed = door_head (COMMYD_INNER_CLOSED, OF_A, 0);
  guint handler = g_log_set_handler (G_LOG_DOMAIN, G_LOG_LEVEL_MESSAGE, keep_message, said);

  closed.number = 1;
  door_say (scene->doors[A], &closed, "w\303\266rter\ncommyd-Message: \033[1m\342\200\256\377");
  keeper_scene_run (scene);
  g_log_remove_handler (G_LOG_DOMAIN, handler);
  g_assert_nonnull (strstr (said->str, "w\303\266rter?commyd-Message: ?[1m?"));
  g_assert_null (strpbrk (said->str, "\n\033\377"));
}

/* Whoever looks after the daemon hears of it, and once. */
static void
test_loose (void)
{
  g_autoptr (KeeperScene) scene = keeper_scene_two ("");
  g_autoptr (GString) said = g_string_new (NULL);
  CommydInnerHead ready = door_head (COMMYD_INNER_READY, 0, 0);
  guint handler = g_log_set_handler (G_LOG_DOMAIN, G_LOG_LEVEL_MESSAGE, keep_message, said);

  ready.number = COMMYD_CONFINED_MEMORY;
  for (guint i = 0; i < 2; i++)
    door_say (scene->doors[i], &ready, NULL);
  keeper_scene_run (scene);
  g_log_remove_handler (G_LOG_DOMAIN, handler);
  g_assert_nonnull (strstr (said->str, "no filter of system calls"));
  g_assert_nonnull (strstr (said->str, "but memory: see commyd(8)"));
  g_assert_true (strstr (said->str, "no filter") == g_strrstr (said->str, "no filter"));
}

/* --- one that does not read --- */

/* Whatever it asks for, what is kept for it has a bound; after a while it is ended. */
static void
test_never_reads (void)
{
  g_autoptr (KeeperScene) scene = keeper_scene_two ("[daemon]\nwaiting=32MiB\nconnections=40\n");
  CommydUser *user = g_hash_table_lookup (scene->server->users, GUINT_TO_POINTER (USER_A));
  g_autoptr (GBytes) plain = g_bytes_new_take (g_malloc0 (MIB), MIB);
  gsize most = 0;

  for (guint i = 2; i < 40; i++)
    g_assert_true (keeper_scene_connect (scene, USER_A));
  scene->value = commyd_value_wrap (plain, &(CommydStamp){ .uid = USER_A });
  scene->holds = TRUE;
  for (guint64 connection = OF_A; connection < 41; connection++)
    {
      const CommydInnerHead range = door_head (COMMYD_INNER_RANGE, connection, 1);

      if (connection != OF_B)
        door_say (scene->doors[A], &range, "");
      keeper_scene_run (scene);
    }
  g_assert_cmpuint (scene->asked.length, ==, 39);
  keeper_scene_answer_all (scene);
  most = user->link.out_bytes;
  g_assert_cmpuint (most, >, 30 * MIB);
  g_assert_cmpuint (most, <, 33 * MIB);
  /* It is not read either, and others are served. */
  for (guint i = 0; i < 10; i++)
    {
      const CommydInnerHead watch = door_head (COMMYD_INNER_WATCH, OF_A, i);

      door_say (scene->doors[A], &watch, "");
    }
  keeper_scene_run (scene);
  g_assert_cmpuint (user->n_watches, ==, 0);
  scene->holds = FALSE;
  g_clear_pointer (&scene->value, g_bytes_unref);
  g_assert_true (door_serves (scene, B, OF_B));
  g_assert_cmpuint (scene->server->n_doors_lost, ==, 0);
}

static void
test_takes_nothing (void)
{
  g_autoptr (KeeperScene) scene = keeper_scene_new ("");
  g_autoptr (GBytes) plain = g_bytes_new_take (g_malloc0 (2 * MIB), 2 * MIB);
  const CommydInnerHead range = door_head (COMMYD_INNER_RANGE, OF_A, 1);

  scene->server->stall_ms = 1;
  scene->value = commyd_value_wrap (plain, &(CommydStamp){ .uid = USER_A });
  g_assert_true (keeper_scene_connect (scene, USER_A));
  door_say (scene->doors[A], &range, "");
  while (scene->server->n_doors_lost == 0)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpuint (keeper_scene_count (scene, USER_A), ==, 0);
}

static void
test_watch_of_a_slow_door (void)
{
  g_autoptr (KeeperScene) scene = keeper_scene_two ("[daemon]\nwaiting=32MiB\n");
  CommydUser *user = g_hash_table_lookup (scene->server->users, GUINT_TO_POINTER (USER_A));
  g_autoptr (GBytes) value = g_bytes_new_take (g_malloc0 (MIB), MIB);
  const CommydInnerHead watch = door_head (COMMYD_INNER_WATCH, OF_A, 3);

  door_say (scene->doors[A], &watch, "");
  keeper_scene_run (scene);
  g_assert_cmpuint (user->n_watches, ==, 1);
  for (guint i = 0; i < 20; i++)
    keeper_scene_change (scene, value);
  g_assert_cmpuint (scene->server->n_cut, ==, 1);
  g_assert_cmpuint (user->n_watches, ==, 0);
  g_assert_cmpuint (user->link.out_bytes, <, 6 * MIB);
}

/* --- what one may have of the keeper --- */

static void
say_put (KeeperScene *scene, guint64 connection, gsize size)
{
  const CommydInnerHead begin = door_head (COMMYD_INNER_BEGIN, connection, 6);
  const CommydInnerHead piece = door_head (COMMYD_INNER_PIECE, connection, 6);
  const CommydInnerHead commit = door_head (COMMYD_INNER_COMMIT, connection, 6);
  CommydInnerHead part = door_head (COMMYD_INNER_PUT, connection, 6);

  part.other = (gint64) size;
  door_say (scene->doors[A], &begin, NULL);
  door_say (scene->doors[A], &part, "of-a");
  for (gsize at = 0; at < size; at += COMMYD_INNER_MAX_PIECE)
    {
      door_say_piece (scene->doors[A], &piece, MIN (size - at, COMMYD_INNER_MAX_PIECE));
      keeper_scene_run (scene);
    }
  door_say (scene->doors[A], &commit, NULL);
  keeper_scene_run (scene);
}

/* Transactions that wait for their turn are bytes of their user's, and those have a bound. */
static void
test_waiting (void)
{
  g_autoptr (KeeperScene) scene = keeper_scene_two ("[daemon]\nwaiting=32MiB\nbytes=64MiB\n");
  const gsize size = 12 * MIB;
  CommydUser *user = keeper_scene_find (scene, USER_A);
  CommydInnerHead heard;

  for (guint i = 0; i < 4; i++)
    g_assert_true (keeper_scene_connect (scene, USER_A)); /* 3 to 6 */
  while (door_hear (scene->doors[A], &heard, NULL))
    continue;
  scene->holds = TRUE;
  /* The first is with the store, the second waits; the third is one too many, the next fits. */
  for (guint64 connection = 3; connection < 5; connection++)
    say_put (scene, connection, size);
  g_assert_false (door_hear (scene->doors[A], &heard, NULL));
  say_put (scene, 5, size);
  g_assert_true (door_hear (scene->doors[A], &heard, NULL));
  g_assert_cmpuint (heard.type, ==, COMMYD_INNER_ANSWER);
  g_assert_cmpuint (heard.connection, ==, 5);
  g_assert_cmpuint (user->waiting, >, 2 * size);
  g_assert_cmpuint (user->waiting, <, 3 * size);
  say_put (scene, 6, MIB);
  g_assert_false (door_hear (scene->doors[A], &heard, NULL));
  scene->holds = FALSE;
  keeper_scene_answer_all (scene);
  g_assert_cmpuint (scene->n_written, ==, 3);
  g_assert_cmpuint (user->waiting, ==, 0);
  while (door_hear (scene->doors[A], &heard, NULL))
    continue;
  say_put (scene, 5, size);
  g_assert_cmpuint (scene->n_written, ==, 4);
  g_assert_cmpuint (user->waiting, ==, 0);
}

/* Parts without a byte in them are in memory, too. */
static void
test_waiting_parts (void)
{
  g_autoptr (KeeperScene) scene = keeper_scene_two ("");
  const CommydInnerHead begin = door_head (COMMYD_INNER_BEGIN, OF_A, 6);
  const CommydInnerHead compare = door_head (COMMYD_INNER_COMPARE, OF_A, 6);
  const CommydInnerHead part = door_head (COMMYD_INNER_DELETE, OF_A, 6);
  const CommydInnerHead commit = door_head (COMMYD_INNER_COMMIT, OF_A, 6);

  scene->holds = TRUE;
  door_say (scene->doors[A], &begin, NULL);
  for (guint i = 0; i < 2 * STORE_WIRE_MAX_PARTS; i++)
    {
      door_say (scene->doors[A], i < STORE_WIRE_MAX_PARTS ? &compare : &part, NULL);
      keeper_scene_run (scene);
    }
  door_say (scene->doors[A], &commit, NULL);
  keeper_scene_run (scene);
  g_assert_cmpuint (scene->asked.length, ==, 1);
  g_assert_cmpuint (keeper_scene_find (scene, USER_A)->waiting, >, 2 * STORE_WIRE_MAX_PARTS * 100);
}

/* One that always has something to say is heard for a while, then others are. */
static void
test_turns (void)
{
  g_autoptr (KeeperScene) scene = keeper_scene_two ("");
  const CommydInnerHead unwatch = door_head (COMMYD_INNER_UNWATCH, OF_A, 1);
  const CommydInnerHead range = door_head (COMMYD_INNER_RANGE, OF_B, 1);
  g_autoptr (GBytes) record = commyd_inner_write (&unwatch, NULL, NULL, 0);
  const int much = 1 << 20;
  CommydInnerHead heard = { 0 };
  guint n_said = 0;
  int unread = 0;

  setsockopt (scene->doors[A], SOL_SOCKET, SO_SNDBUF, &much, sizeof much);
  while (send (scene->doors[A], g_bytes_get_data (record, NULL), COMMYD_INNER_HEAD, MSG_DONTWAIT)
         > 0)
    n_said++;
  g_assert_cmpuint (n_said, >, 300);
  door_say (scene->doors[B], &range, "");
  while (heard.type != COMMYD_INNER_ANSWER)
    {
      g_main_context_iteration (NULL, FALSE);
      while (heard.type != COMMYD_INNER_ANSWER && door_hear (scene->doors[B], &heard, NULL))
        continue;
    }
  g_assert_cmpint (ioctl (scene->doors[A], SIOCOUTQ, &unread), ==, 0);
  g_assert_cmpint (unread, >, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  /* attack: take over the process of commyd that reads what one says, and say to the keeper what no
   * door says; defence: its parser has one head and one equation, what cannot be ends the door, and
   * other users do not notice; test: /daemon/keeper/wrong/another-users-connection */
  for (gsize i = 0; i < G_N_ELEMENTS (wrongs); i++)
    {
      g_autofree char *path = g_strconcat ("/daemon/keeper/wrong/", wrongs[i].name, NULL);

      g_test_add_data_func (path, &wrongs[i], test_wrong);
    }
  g_test_add_func ("/daemon/keeper/wrong/no-record", test_no_record);
  g_test_add_func ("/daemon/keeper/wrong/speaks-of-what-it-has-not-taken", test_not_taken);
  g_test_add_func ("/daemon/keeper/wrong/asks-before-it-is-answered", test_asks_too_early);
  g_test_add_func ("/daemon/keeper/wrong/an-endless-transaction", test_endless_transaction);
  g_test_add_func ("/daemon/keeper/wrong/an-endless-value", test_endless_value);
  g_test_add_func ("/daemon/keeper/wrong/endless-keys", test_endless_keys);
  /* attack: write or end what is another user's through a door that was taken over; defence: whose
   * door it is, the keeper knows by its own accept, and decides for that user; test:
   * /daemon/keeper/a-door-speaks-for-its-user-alone */
  g_test_add_func ("/daemon/keeper/a-door-speaks-for-its-user-alone",
                   test_speaks_for_its_user_alone);
  /* attack: write lines of one's own into commyd's log by what one is refused for; defence: words
   * of others are in one line, without what does not print; test:
   * /daemon/keeper/words-of-a-door-are-one-line */
  g_test_add_func ("/daemon/keeper/words-of-a-door-are-one-line", test_words);
  g_test_add_func ("/daemon/keeper/a-door-without-a-filter-is-told", test_loose);
  /* attack: let the keeper's answers lie at a door that reads nothing; defence: what is kept for
   * one has a bound, it is read no further, and ended after a while; test:
   * /daemon/keeper/slow/a-door-that-never-reads-has-a-bound */
  g_test_add_func ("/daemon/keeper/slow/a-door-that-never-reads-has-a-bound", test_never_reads);
  g_test_add_func ("/daemon/keeper/slow/a-door-that-takes-nothing-is-ended", test_takes_nothing);
  g_test_add_func ("/daemon/keeper/slow/its-watches-are-cut", test_watch_of_a_slow_door);
  /* attack: let transactions of many connections wait at commyd; defence: what waits of one user
   * has a bound; test: /daemon/keeper/share/what-waits-to-be-written */
  g_test_add_func ("/daemon/keeper/share/what-waits-to-be-written", test_waiting);
  g_test_add_func ("/daemon/keeper/share/parts-of-what-waits", test_waiting_parts);
  /* attack: say something to commyd without end, so that nobody else is heard; defence: each door
   * is heard in turns of so many records; test: /daemon/keeper/share/of-being-heard */
  g_test_add_func ("/daemon/keeper/share/of-being-heard", test_turns);
  return g_test_run ();
}
