/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Doors and programs that come and go, as the keeper of commyd sees them: what becomes of
 * connections when a door dies, who makes room for whom, and what a process leaves behind that ends
 * in the middle of something.
 */
#include "config.h"

#include "keeper-scene.h"

#include "../fixtures/test-child.h"
#include "daemon/commyd-value.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB (1u << 20)

/* --- doors that come and go --- */

static void
test_ends_when_nobody_is_left (void)
{
  g_autoptr (KeeperScene) scene = keeper_scene_new ("");
  const CommydInnerHead closed = door_head (COMMYD_INNER_CLOSED, OF_A, 0);

  scene->server->linger_ms = 1;
  g_assert_true (keeper_scene_connect (scene, USER_A));
  door_say (scene->doors[A], &closed, NULL);
  while (g_hash_table_size (scene->server->users) > 0)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpuint (scene->server->n_doors_lost, ==, 0);
}

static void
await_door (KeeperScene *scene, guint n)
{
  while (scene->n_doors < n)
    g_main_context_iteration (NULL, TRUE);
  keeper_scene_run (scene);
}

/* What the newest door is told first: its settings, then the one connection that there is. */
static void
assert_given (KeeperScene *scene, guint64 connection)
{
  const int door = scene->doors[scene->n_doors - 1];
  CommydInnerHead heard;

  g_assert_true (door_hear (door, &heard, NULL));
  g_assert_cmpuint (heard.type, ==, COMMYD_INNER_SETTINGS);
  g_assert_true (door_hear (door, &heard, NULL));
  g_assert_cmpuint (heard.type, ==, COMMYD_INNER_OPEN);
  g_assert_cmpuint (heard.connection, ==, connection);
  g_assert_false (door_hear (door, &heard, NULL));
}

/* Who connected while it died does not notice. Of those that it had taken something may be read. */
static void
test_given_on (void)
{
  g_autoptr (KeeperScene) scene = keeper_scene_new ("");

  scene->takes_late = TRUE;
  for (guint i = 0; i < 2; i++)
    g_assert_true (keeper_scene_connect (scene, USER_A));
  keeper_scene_take (scene, USER_A, 2);
  shutdown (scene->doors[0], SHUT_RDWR);
  keeper_scene_run (scene);
  g_assert_cmpuint (keeper_scene_count (scene, USER_A), ==, 1);
  await_door (scene, 2);
  assert_given (scene, 1);
  keeper_scene_take (scene, USER_A, 1);
  g_assert_true (door_serves (scene, 1, 1));
}

/* Nobody had heard that it had taken it, nor has it read everything that it was told. */
static void
test_taken_in_the_end (void)
{
  g_autoptr (KeeperScene) scene = keeper_scene_new ("");
  const CommydInnerHead opened = door_head (COMMYD_INNER_OPENED, 1, 0);

  scene->takes_late = TRUE;
  for (guint i = 0; i < 2; i++)
    g_assert_true (keeper_scene_connect (scene, USER_A));
  door_say (scene->doors[0], &opened, NULL);
  close (scene->doors[0]);
  scene->doors[0] = -1;
  await_door (scene, 2);
  g_assert_cmpuint (keeper_scene_count (scene, USER_A), ==, 1);
  assert_given (scene, 2);
}

/* The same of one whose answers nobody takes, which the keeper had ceased to read. */
static void
test_taken_unheard (void)
{
  g_autoptr (KeeperScene) scene = keeper_scene_new ("[daemon]\nwaiting=32MiB\n");
  g_autoptr (GBytes) plain = g_bytes_new_take (g_malloc0 (6 * MIB), 6 * MIB);
  const CommydInnerHead range = door_head (COMMYD_INNER_RANGE, 1, 1);
  const CommydInnerHead opened = door_head (COMMYD_INNER_OPENED, 2, 0);

  scene->value = commyd_value_wrap (plain, &(CommydStamp){ .uid = USER_A });
  scene->takes_late = TRUE;
  for (guint i = 0; i < 2; i++)
    g_assert_true (keeper_scene_connect (scene, USER_A));
  keeper_scene_take (scene, USER_A, 1);
  door_say (scene->doors[0], &range, "");
  keeper_scene_run (scene);
  g_assert_true (commyd_keeper_is_slow (keeper_scene_find (scene, USER_A)));
  door_say (scene->doors[0], &opened, NULL);
  close (scene->doors[0]);
  scene->doors[0] = -1;
  keeper_scene_run (scene);
  g_assert_cmpuint (scene->server->n_doors_lost, ==, 1);
  g_assert_cmpuint (keeper_scene_count (scene, USER_A), ==, 0);
}

/* One that somebody got the end of its socket from: what it had said is heard, and there is an end
 * of it. */
static void
test_heard_for_ever (void)
{
  const CommydInnerHead opened = door_head (COMMYD_INNER_OPENED, 1, 0);
  CommydInner record;
  CommydLink link;
  const char *why;
  int fds[2];

  g_assert_cmpint (socketpair (AF_UNIX, SOCK_SEQPACKET, 0, fds), ==, 0);
  commyd_link_init (&link);
  commyd_link_open (&link, fds[0], NULL);
  door_say (fds[1], &opened, NULL);
  commyd_link_hang_up (&link);
  g_assert_cmpint (send (fds[1], &opened, sizeof opened, MSG_NOSIGNAL), ==, -1);
  g_assert_cmpint (errno, ==, EPIPE);
  g_assert_cmpint (commyd_link_receive (&link, &record, NULL, &why), ==, 1);
  g_assert_cmpint (commyd_link_receive (&link, &record, NULL, &why), ==, -1);
  commyd_link_close (&link);
  close (fds[1]);
}

/* The same of one that says so, and lives. */
static void
test_says_that_it_is_dead (void)
{
  g_autoptr (KeeperScene) scene = keeper_scene_two ("");
  const CommydInnerHead opened = door_head (COMMYD_INNER_OPENED, 3, 0);

  scene->takes_late = TRUE;
  g_assert_true (keeper_scene_connect (scene, USER_A));
  g_assert_cmpint (send (scene->doors[A], "", 0, 0), ==, 0);
  door_say (scene->doors[A], &opened, NULL);
  keeper_scene_run (scene);
  g_assert_cmpuint (scene->server->n_doors_lost, ==, 1);
  g_assert_cmpuint (keeper_scene_count (scene, USER_A), ==, 0);
  g_assert_true (door_serves (scene, B, OF_B));
}

/* It may be what they die of. */
static void
test_given_thrice (void)
{
  g_autoptr (KeeperScene) scene = keeper_scene_new ("");

  scene->takes_late = TRUE;
  g_assert_true (keeper_scene_connect (scene, USER_A));
  for (guint i = 0; i < 3; i++)
    {
      g_assert_cmpuint (keeper_scene_count (scene, USER_A), ==, 1);
      await_door (scene, i + 1);
      assert_given (scene, 1);
      shutdown (scene->doors[i], SHUT_RDWR);
      keeper_scene_run (scene);
    }
  g_assert_cmpuint (keeper_scene_count (scene, USER_A), ==, 0);
}

/* Who connects meanwhile is not turned away, but waits for the next one. */
static void
test_begins_again_after_a_pause (void)
{
  g_autoptr (KeeperScene) scene = keeper_scene_two ("");
  CommydUser *user;

  for (guint i = 0; i < 2; i++)
    {
      shutdown (scene->doors[i == 0 ? A : 2], SHUT_RDWR);
      keeper_scene_run (scene);
      g_assert_cmpuint (scene->server->n_doors_lost, ==, i + 1);
      g_assert_true (keeper_scene_connect (scene, USER_A));
      g_assert_cmpuint (scene->n_doors, ==, 2 + i);
      await_door (scene, 3 + i);
      assert_given (scene, 3 + i);
      keeper_scene_take (scene, USER_A, 3 + i);
    }
  user = g_hash_table_lookup (scene->server->users, GUINT_TO_POINTER (USER_A));
  g_assert_cmpuint (user->pause_ms, ==, 400);
  g_assert_true (door_serves (scene, 3, 4));
  g_assert_true (door_serves (scene, B, OF_B));
}

static void
test_users (void)
{
  g_autoptr (KeeperScene) scene = keeper_scene_new ("[daemon]\nusers=2\nconnections=3\n");
  const CommydInnerHead closed = door_head (COMMYD_INNER_CLOSED, OF_A, 0);

  g_assert_true (keeper_scene_connect (scene, USER_A));
  g_assert_true (keeper_scene_connect (scene, USER_B));
  g_assert_true (keeper_scene_connect (scene, USER_B));
  g_assert_false (keeper_scene_connect (scene, 1003));
  g_assert_true (keeper_scene_connect (scene, geteuid ())); /* can always look */
  g_assert_cmpuint (scene->server->n_refused, ==, 1);
  /* One whose programs are gone makes room. */
  door_say (scene->doors[A], &closed, NULL);
  keeper_scene_run (scene);
  g_assert_true (keeper_scene_connect (scene, USER_B));
  g_assert_cmpuint (g_hash_table_size (scene->server->users), ==, 3);
  /* So many of each, however many users there are. */
  g_assert_false (keeper_scene_connect (scene, USER_B));
  g_assert_cmpuint (keeper_scene_count (scene, USER_B), ==, 3);
}

/* Who is forgotten begins again without a pause: those whose doors have died are the last to go. */
static void
test_who_makes_room (void)
{
  g_autoptr (KeeperScene) scene = keeper_scene_new ("[daemon]\nusers=2\n");
  const CommydInnerHead closed = door_head (COMMYD_INNER_CLOSED, OF_B, 0);

  g_assert_true (keeper_scene_connect (scene, USER_A));
  g_assert_true (keeper_scene_connect (scene, USER_B));
  shutdown (scene->doors[A], SHUT_RDWR);
  door_say (scene->doors[B], &closed, NULL);
  keeper_scene_run (scene);
  g_assert_true (keeper_scene_connect (scene, 1003));
  g_assert_null (keeper_scene_find (scene, USER_B));
  g_assert_nonnull (keeper_scene_find (scene, USER_A));
  /* But they do not keep others out. */
  g_assert_true (keeper_scene_connect (scene, USER_B));
  g_assert_null (keeper_scene_find (scene, USER_A));
}

/* More descriptors on their way than the kernel lets: connections that are closed, and nothing that
 * is tried for ever. */
static G_NORETURN void
be_many_on_their_way (void)
{
  const struct rlimit few = { 24, 24 };
  CommydLink from, to;
  CommydInner record;
  const char *why;
  guint n_lost = 0;
  int fds[2];
  int fd;

  /* Root may have any number. */
  if (geteuid () == 0 && setresuid (54321, 54321, 54321) < 0)
    test_child_exit (250);
  if (setrlimit (RLIMIT_NOFILE, &few) < 0
      || socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, fds) < 0)
    test_child_exit (251);
  commyd_link_init (&from);
  commyd_link_init (&to);
  commyd_link_open (&from, fds[0], NULL);
  commyd_link_open (&to, fds[1], NULL);
  for (guint i = 0; i < 40; i++)
    commyd_link_send_open (&from, i + 1, dup (fds[0]));
  if (from.out_bytes > 0)
    test_child_exit (252);
  for (guint i = 0; i < 40; i++)
    {
      if (commyd_link_receive (&to, &record, &fd, &why) != 1 || record.head.connection != i + 1)
        test_child_exit (253);
      n_lost += fd < 0;
      close (fd);
    }
  test_child_exit (n_lost > 0 && n_lost < 40 ? 0 : 254);
}

static void
test_many_on_their_way (void)
{
  int status = -1;
  pid_t pid = fork ();

  if (pid == 0)
    be_many_on_their_way ();
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_cmpint (status, ==, 0);
}

/* --- processes that end in the middle --- */

static void
end_process (KeeperScene *scene, guint32 uid, guint64 connection)
{
  commyd_session_close (
      g_hash_table_lookup (keeper_scene_find (scene, uid)->sessions, &connection));
}

/* A process that ends while its connection waits for a door leaves nothing behind. */
static void
test_ends_while_it_waits (void)
{
  g_autoptr (KeeperScene) scene = keeper_scene_two ("");

  shutdown (scene->doors[A], SHUT_RDWR);
  keeper_scene_run (scene);
  g_assert_true (keeper_scene_connect (scene, USER_A));
  g_assert_cmpuint (keeper_scene_count (scene, USER_A), ==, 1);
  end_process (scene, USER_A, 3);
  g_assert_cmpuint (keeper_scene_count (scene, USER_A), ==, 0);
  g_assert_cmpuint (scene->n_doors, ==, 2);
}

/* Its door does not know yet, and goes on with the transaction: that is nothing, and the next one
 * is not spoilt. */
static void
test_ends_in_a_transaction (void)
{
  g_autoptr (KeeperScene) scene = keeper_scene_two ("");
  const CommydInnerHead begin = door_head (COMMYD_INNER_BEGIN, OF_A, 6);
  const CommydInnerHead part = door_head (COMMYD_INNER_DELETE, OF_A, 6);
  const CommydInnerHead commit = door_head (COMMYD_INNER_COMMIT, OF_A, 6);
  const CommydInnerHead closed = door_head (COMMYD_INNER_CLOSED, OF_A, 0);

  g_assert_true (keeper_scene_connect (scene, USER_A)); /* 3 */
  door_say (scene->doors[A], &begin, NULL);
  door_say (scene->doors[A], &part, "of-a");
  keeper_scene_run (scene);
  end_process (scene, USER_A, OF_A);
  door_say (scene->doors[A], &part, "of-a");
  door_say (scene->doors[A], &commit, NULL);
  keeper_scene_run (scene);
  g_assert_true (door_put (scene, A, 3, "of-a", 0));
  g_assert_cmpuint (scene->n_written, ==, 1);
  door_say (scene->doors[A], &closed, NULL);
  keeper_scene_run (scene);
  g_assert_cmpuint (keeper_scene_count (scene, USER_A), ==, 1);
  g_assert_cmpuint (scene->server->n_doors_lost, ==, 0);
}

/* While the store takes the keys of its lease away, which is ended once. */
static void
test_ends_in_a_revocation (void)
{
  g_autoptr (KeeperScene) scene = keeper_scene_two ("");
  const gint64 lease = door_grant (scene, A, OF_A);
  CommydInnerHead revoke = door_head (COMMYD_INNER_REVOKE, OF_A, 8);

  g_assert_true (door_put (scene, A, OF_A, "of-a", lease));
  scene->holds = TRUE;
  revoke.number = lease;
  door_say (scene->doors[A], &revoke, NULL);
  keeper_scene_run (scene);
  g_assert_cmpuint (scene->asked.length, ==, 1);
  end_process (scene, USER_A, OF_A);
  shutdown (scene->doors[A], SHUT_RDWR);
  keeper_scene_run (scene);
  g_assert_cmpuint (keeper_scene_count (scene, USER_A), ==, 0);
  scene->holds = FALSE;
  keeper_scene_answer_all (scene);
  g_assert_cmpuint (scene->n_written, ==, 2); /* put, and removed */
  g_assert_cmpuint (commyd_ledger_count (scene->server->ledger), ==, 0);
  g_assert_cmpuint (keeper_scene_find (scene, USER_A)->n_leases, ==, 0);
  g_assert_true (door_serves (scene, B, OF_B));
}

/* What it put under its lease is with the store when it ends: it goes with the lease. */
static void
test_ends_in_a_write (void)
{
  g_autoptr (KeeperScene) scene = keeper_scene_two ("");
  const CommydInnerHead begin = door_head (COMMYD_INNER_BEGIN, OF_A, 6);
  const CommydInnerHead commit = door_head (COMMYD_INNER_COMMIT, OF_A, 6);
  CommydInnerHead part = door_head (COMMYD_INNER_PUT, OF_A, 6);

  part.number = door_grant (scene, A, OF_A);
  scene->holds = TRUE;
  door_say (scene->doors[A], &begin, NULL);
  door_say (scene->doors[A], &part, "of-a");
  door_say (scene->doors[A], &commit, NULL);
  keeper_scene_run (scene);
  g_assert_cmpuint (scene->n_written, ==, 1);
  end_process (scene, USER_A, OF_A);
  shutdown (scene->doors[A], SHUT_RDWR);
  keeper_scene_run (scene);
  g_assert_cmpuint (keeper_scene_count (scene, USER_A), ==, 0);
  g_assert_cmpuint (keeper_scene_find (scene, USER_A)->waiting, >, 0);
  scene->holds = FALSE;
  keeper_scene_answer_all (scene);
  g_assert_cmpuint (keeper_scene_find (scene, USER_A)->waiting, ==, 0);
  g_assert_cmpuint (scene->n_written, ==, 2);
  g_assert_cmpuint (commyd_ledger_count (scene->server->ledger), ==, 0);
  g_assert_cmpuint (g_hash_table_size (scene->server->leases), ==, 0);
}

/* What it asked for is in memory until the store has answered, and counts until then, not longer,
 * and for its user, who is not forgotten meanwhile. */
static void
test_ends_while_the_store_is_away (void)
{
  g_autoptr (KeeperScene) scene = keeper_scene_new ("[daemon]\nusers=1\n");
  const CommydInnerHead range = door_head (COMMYD_INNER_RANGE, OF_A, 6);
  const CommydInnerHead closed = door_head (COMMYD_INNER_CLOSED, OF_A, 0);
  CommydUser *user;

  g_assert_true (keeper_scene_connect (scene, USER_A));
  user = keeper_scene_find (scene, USER_A);
  scene->holds = TRUE;
  scene->server->linger_ms = 1;
  door_say (scene->doors[A], &range, "");
  keeper_scene_run (scene);
  g_assert_cmpuint (user->waiting, >, 0);
  door_say (scene->doors[A], &closed, NULL);
  keeper_scene_run (scene);
  g_assert_cmpuint (keeper_scene_count (scene, USER_A), ==, 0);
  for (guint i = 0; i < 3; i++)
    {
      const guint timer = user->timer;

      while (keeper_scene_find (scene, USER_A) == user && user->timer == timer)
        g_main_context_iteration (NULL, TRUE);
      g_assert_true (keeper_scene_find (scene, USER_A) == user);
    }
  g_assert_false (keeper_scene_connect (scene, USER_B));
  g_assert_cmpuint (user->waiting, >, 0);
  keeper_scene_answer_all (scene);
  g_assert_cmpuint (user->waiting, ==, 0);
  g_assert_true (keeper_scene_connect (scene, USER_B));
  g_assert_null (keeper_scene_find (scene, USER_A));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/daemon/keeper/doors/end-when-nobody-is-left", test_ends_when_nobody_is_left);
  g_test_add_func ("/daemon/keeper/doors/begin-again-after-a-pause",
                   test_begins_again_after_a_pause);
  g_test_add_func ("/daemon/keeper/doors/a-connection-that-was-not-taken-goes-to-the-next",
                   test_given_on);
  g_test_add_func ("/daemon/keeper/doors/what-was-taken-ends-with-it", test_taken_in_the_end);
  g_test_add_func ("/daemon/keeper/doors/what-was-taken-unheard-ends-with-it", test_taken_unheard);
  /* attack: have one's door give its end of the socket to the keeper away, end it, and say
   * something there without end; defence: a door can send no descriptor, and of one that has ended
   * is heard what it had said; test: /daemon/keeper/doors/nobody-is-heard-after-one */
  g_test_add_func ("/daemon/keeper/doors/nobody-is-heard-after-one", test_heard_for_ever);
  g_test_add_func ("/daemon/keeper/doors/one-says-that-it-is-dead", test_says_that_it_is_dead);
  g_test_add_func ("/daemon/keeper/doors/a-connection-goes-to-three", test_given_thrice);
  g_test_add_func ("/daemon/keeper/doors/are-as-many-as-may-be", test_users);
  /* attack: let one's doors die at once, and be forgotten by many users who come, so that the next
   * door begins without a pause; defence: who has pauses is the last to make room; test:
   * /daemon/keeper/doors/who-had-none-that-died-makes-room */
  g_test_add_func ("/daemon/keeper/doors/who-had-none-that-died-makes-room", test_who_makes_room);
  g_test_add_func ("/daemon/keeper/doors/more-descriptors-than-may-be", test_many_on_their_way);
  g_test_add_func ("/daemon/keeper/ends/while-it-waits", test_ends_while_it_waits);
  g_test_add_func ("/daemon/keeper/ends/in-a-transaction", test_ends_in_a_transaction);
  g_test_add_func ("/daemon/keeper/ends/in-a-revocation", test_ends_in_a_revocation);
  g_test_add_func ("/daemon/keeper/ends/in-a-write", test_ends_in_a_write);
  /* attack: ask commyd for something and leave, again and again, while its store is slow; defence:
   * what was asked counts for its user until it is answered; test:
   * /daemon/keeper/ends/while-the-store-is-away */
  g_test_add_func ("/daemon/keeper/ends/while-the-store-is-away",
                   test_ends_while_the_store_is_away);
  return g_test_run ();
}
