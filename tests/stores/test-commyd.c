/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The store "commyd" over a real daemon: the conformance suite, and what only it has: a daemon
 * that dies and comes back, is away, is somebody else's, or speaks nonsense.
 */
#include "config.h"

#include "../conformance/commy-store-conformance.h"
#include "../daemon/daemon-fixture.h"
#include "../fixtures/test-child.h"
#include "stores/common/commy-store-stream.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* Tells the processes of a case where its daemon is. */
#define SOCKET_VARIABLE "COMMY_TEST_COMMYD_SOCKET"

static const CommyPluginDescriptor *
descriptor (void)
{
  g_autoptr (GError) error = NULL;
  const CommyPluginDescriptor *loaded = commy_test_load ("store", "commyd", &error);

  g_assert_no_error (error);
  return loaded;
}

/* --- the suite: each case has a daemon of its own, its children have none --- */

static TestDaemon *of_case;
static gboolean is_parent;

/* The suite begins with a store that is empty. */
static const char *const silent[] = { "--no-host-entry", NULL };

static void
set_up_case (CommyTestHost *host, const char *place)
{
  if (is_parent)
    {
      g_clear_pointer (&of_case, test_daemon_free);
      of_case = test_daemon_new ();
      of_case->options = silent;
      test_daemon_start (of_case);
      g_setenv (SOCKET_VARIABLE, of_case->socket, TRUE);
    }
  commy_test_host_set_info (host, COMMY_HOST_MESH, "test");
  commy_test_host_set_param (host, "socket", g_getenv (SOCKET_VARIABLE));
}

/* --- what only this store has --- */

typedef struct
{
  TestDaemon *daemon;
  CommyTestHost *host;
  CommyStoreUnderTest store;
} Fixture;

static void
fixture_set_up (Fixture *fixture, gconstpointer unused)
{
  fixture->daemon = test_daemon_new ();
  fixture->host = commy_test_host_new (NULL, descriptor ());
  commy_test_host_set_info (fixture->host, COMMY_HOST_MESH, "test");
  commy_test_host_set_param (fixture->host, "socket", fixture->daemon->socket);
  fixture->store = (CommyStoreUnderTest){ fixture->host, descriptor ()->ops, NULL };
}

static void
fixture_tear_down (Fixture *fixture, gconstpointer unused)
{
  commy_test_host_stop (fixture->host);
  g_assert_cmpuint (commy_test_host_count_sources (fixture->host), ==, 0);
  commy_test_host_free (fixture->host);
  test_daemon_free (fixture->daemon);
}

static void
join (Fixture *fixture)
{
  g_autoptr (GError) error = NULL;

  fixture->store.instance = commy_test_host_start (fixture->host, &error);
  g_assert_no_error (error);
}

static void
fixture_start (Fixture *fixture)
{
  test_daemon_start (fixture->daemon);
  join (fixture);
}

static void
on_event (gpointer data,
          const CommyStoreEntry *entries,
          gsize n_entries,
          gint64 revision,
          const GError *error)
{
  GError **end = data;

  if (error != NULL)
    *end = g_error_copy (error);
}

/* Asks once and gives back the error. */
static GError *
ask (Fixture *fixture)
{
  g_auto (CommyStoreAnswer) answer = { 0 };

  commy_store_range (&fixture->store, "", &answer);
  return g_steal_pointer (&answer.error);
}

static void
assert_fails (Fixture *fixture, int code, const char *words)
{
  g_autoptr (GError) error = ask (fixture);

  g_assert_error (error, COMMY_TEST_ERROR, code);
  if (strstr (error->message, words) == NULL)
    g_error ("\"%s\" does not say \"%s\"", error->message, words);
}

static gint64
lease_of (Fixture *fixture, const char *key)
{
  g_auto (CommyStoreAnswer) answer = { 0 };

  commy_store_range (&fixture->store, key, &answer);
  g_assert_no_error (answer.error);
  g_assert_cmpuint (answer.entries->len, ==, 1);
  return g_array_index (answer.entries, CommyStoreEntry, 0).lease;
}

/* Keys stay, without the lease that ended; the watch ends, the next one works. */
static void
test_killed_and_back (Fixture *fixture, gconstpointer unused)
{
  const CommyStoreOps *ops = fixture->store.ops;
  g_autoptr (GError) end = NULL;
  g_autoptr (GError) unseen = NULL;
  guint watch;

  fixture_start (fixture);
  commy_store_put (&fixture->store, "kept", "v", 0);
  commy_store_put (&fixture->store, "leased", "v", commy_store_grant (&fixture->store));
  ops->watch (fixture->store.instance, "", 0, on_event, &end);
  test_daemon_kill (fixture->daemon);
  commy_test_run_until (NULL, end != NULL);
  g_assert_error (end, COMMY_TEST_ERROR, 601);
  test_daemon_start (fixture->daemon);
  g_assert_cmpuint (commy_store_count (&fixture->store, "kept"), ==, 1);
  g_assert_cmpint (lease_of (fixture, "leased"), ==, 0);
  watch = ops->watch (fixture->store.instance, "", 0, on_event, &unseen);
  commy_store_put (&fixture->store, "leased", "v", commy_store_grant (&fixture->store));
  g_assert_cmpint (lease_of (fixture, "leased"), !=, 0);
  g_assert_no_error (unseen);
  ops->unwatch (fixture->store.instance, watch);
}

static void
on_deletion (gpointer data,
             const CommyStoreEntry *entries,
             gsize n_entries,
             gint64 revision,
             const GError *error)
{
  guint *n_deleted = data;

  g_assert_no_error (error);
  for (gsize i = 0; i < n_entries; i++)
    *n_deleted += entries[i].value == NULL;
}

/* Whose owners did not come back in time are removed, and nobody else's. */
static void
test_grace_ends (Fixture *fixture, gconstpointer unused)
{
  g_auto (CommyStoreAnswer) answer = { 0 };
  gint64 lease;
  guint n_deleted = 0;
  guint watch;

  test_daemon_write_keyfile (fixture->daemon, "[daemon]\ngrace=300ms\n");
  fixture_start (fixture);
  commy_store_put (&fixture->store, "kept", "v", 0);
  lease = commy_store_grant (&fixture->store);
  for (int i = 0; i < 250; i++)
    {
      g_autofree char *key = g_strdup_printf ("leased/%d", i);

      commy_store_put (&fixture->store, key, "v", lease);
    }
  test_daemon_kill (fixture->daemon);
  test_daemon_start (fixture->daemon);
  commy_store_range (&fixture->store, "none", &answer); /* may meet the old one's end */
  watch = fixture->store.ops->watch (fixture->store.instance, "", 0, on_deletion, &n_deleted);
  commy_test_run_until (NULL, n_deleted == 250);
  fixture->store.ops->unwatch (fixture->store.instance, watch);
  g_assert_cmpuint (commy_store_count (&fixture->store, "leased/"), ==, 0);
  g_assert_cmpuint (commy_store_count (&fixture->store, "kept"), ==, 1);
}

/* What is asked while the daemon is being exchanged waits for the next one. */
static void
test_waits_for_the_next (Fixture *fixture, gconstpointer unused)
{
  g_auto (CommyStoreAnswer) answer = { 0 };

  fixture_start (fixture);
  commy_store_put (&fixture->store, "kept", "v", 0);
  test_daemon_stop (fixture->daemon);
  /* The first one may be under way when the end is seen; it may say so. */
  g_clear_error (&answer.error);
  test_daemon_start (fixture->daemon);
  {
    g_autoptr (GError) error = ask (fixture);
  }
  commy_store_range (&fixture->store, "kept", &answer);
  g_assert_no_error (answer.error);
  g_assert_cmpuint (answer.entries->len, ==, 1);
}

static void
test_away (Fixture *fixture, gconstpointer unused)
{
  g_autoptr (GError) end = NULL;

  commy_test_host_set_param (fixture->host, "timeout", "100ms");
  join (fixture);
  assert_fails (fixture, 601, "systemctl start commyd.socket");
  fixture->store.ops->watch (fixture->store.instance, "", 0, on_event, &end);
  g_assert_no_error (end); /* never from inside */
  commy_test_run_until (NULL, end != NULL);
  g_assert_error (end, COMMY_TEST_ERROR, 601);
}

static void
test_other_mesh (Fixture *fixture, gconstpointer unused)
{
  commy_test_host_set_info (fixture->host, COMMY_HOST_MESH, "another");
  fixture_start (fixture);
  assert_fails (fixture, 401, "is of the mesh \"test\"");
}

/* Whoever may write into the folder could put a daemon of its own there. */
static void
test_open_folder (Fixture *fixture, gconstpointer unused)
{
  g_autofree char *folder = g_path_get_dirname (fixture->daemon->socket);

  commy_test_host_set_param (fixture->host, "timeout", "100ms");
  fixture_start (fixture);
  g_assert_cmpint (g_chmod (folder, 0777), ==, 0);
  assert_fails (fixture, 401, "cannot be trusted");
}

static void
test_large (Fixture *fixture, gconstpointer unused)
{
  const gsize size = 12u << 20;
  g_autoptr (GBytes) value = g_bytes_new_take (g_malloc0 (size), size);
  g_autoptr (GBytes) more = g_bytes_new_take (g_malloc0 (2 * size), 2 * size);
  CommyStoreOp op = { COMMY_STORE_PUT, "large/1", value, 0 };
  g_auto (CommyStoreAnswer) put = { 0 };
  g_auto (CommyStoreAnswer) again = { 0 };
  g_auto (CommyStoreAnswer) refused = { 0 };
  g_auto (CommyStoreAnswer) got = { 0 };

  fixture_start (fixture);
  commy_store_txn (&fixture->store, NULL, 0, &op, 1, &put);
  g_assert_no_error (put.error);
  op.key = "large/2";
  commy_store_txn (&fixture->store, NULL, 0, &op, 1, &again);
  g_assert_no_error (again.error);
  commy_store_range (&fixture->store, "large/", &got); /* in several frames */
  g_assert_no_error (got.error);
  g_assert_cmpuint (got.entries->len, ==, 2);
  g_assert_true (g_bytes_equal (g_array_index (got.entries, CommyStoreEntry, 1).value, value));
  op.value = more;
  commy_store_txn (&fixture->store, NULL, 0, &op, 1, &refused);
  g_assert_error (refused.error, COMMY_TEST_ERROR, 309);
}

/* --- a daemon that lies --- */

typedef struct
{
  int fd;
  const char *bytes;
  gsize size;
} Liar;

static gpointer
lie (gpointer data)
{
  Liar *liar = data;
  int connection = accept (liar->fd, NULL, NULL);
  char byte;

  g_assert_cmpint (send (connection, liar->bytes, liar->size, MSG_NOSIGNAL), ==,
                   (ssize_t) liar->size);
  while (read (connection, &byte, 1) > 0)
    continue;
  close (connection);
  return NULL;
}

static void
assert_lie_fails (Fixture *fixture, const void *bytes, gsize size, int code)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  g_autofree char *folder = g_path_get_dirname (fixture->daemon->socket);
  Liar liar = { socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), bytes, size };
  GThread *thread;

  g_mkdir_with_parents (folder, 0700);
  g_unlink (fixture->daemon->socket);
  memcpy (address.sun_path, fixture->daemon->socket, strlen (fixture->daemon->socket));
  g_assert_cmpint (bind (liar.fd, (const struct sockaddr *) &address, sizeof address), ==, 0);
  g_assert_cmpint (listen (liar.fd, 1), ==, 0);
  thread = g_thread_new ("liar", lie, &liar);
  {
    g_autoptr (GError) error = NULL;

    join (fixture);
    error = ask (fixture);
    g_assert_error (error, COMMY_TEST_ERROR, code);
    commy_test_host_stop (fixture->host);
  }
  close (liar.fd);
  g_thread_join (thread);
}

static void
test_liars (Fixture *fixture, gconstpointer unused)
{
  const StoreWireWelcome welcome
      = { .version = STORE_WIRE_VERSION + 1, .program = (char *) "x", .host = (char *) "y" };
  g_autoptr (GByteArray) other = store_wire_write_welcome (&welcome);
  g_autoptr (GByteArray) early = store_wire_write_report (7, "hello");
  guint8 huge[STORE_WIRE_HEADER] = { 0xff, 0xff, 0xff, 0xff, STORE_WIRE_RESULT };

  commy_test_host_set_param (fixture->host, "timeout", "100ms");
  assert_lie_fails (fixture, "HTTP/1.1 400 Bad Request\r\n", 26, 501);
  assert_lie_fails (fixture, other->data, other->len, 502);
  assert_lie_fails (fixture, early->data, early->len, 501);
  assert_lie_fails (fixture, huge, sizeof huge, 309);
  assert_lie_fails (fixture, "", 0, 601); /* says nothing at all */
}

static void
on_done_code (gpointer user_data, const CommyStoreResult *result, const GError *error)
{
  *(int *) user_data = error != NULL ? error->code : 0;
}

static void
test_forked_child (Fixture *fixture, gconstpointer unused)
{
  const CommyStoreOps *ops = fixture->store.ops;
  int status = -1;
  pid_t pid;

  fixture_start (fixture);
  commy_store_put (&fixture->store, "k", "v", commy_store_grant (&fixture->store));
  pid = fork ();
  if (pid == 0)
    {
      int code = 0;

      ops->range (fixture->store.instance, "", on_done_code, &code);
      descriptor ()->fini (fixture->store.instance);
      test_child_exit (code == 702 ? 0 : 1);
    }
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_cmpint (status, ==, 0);
  g_assert_cmpuint (commy_store_count (&fixture->store, "k"), ==, 1);
}

#define ADD(path, test) \
  g_test_add ("/store/commyd/" path, Fixture, NULL, fixture_set_up, test, fixture_tear_down)

int
main (int argc, char **argv)
{
  int status = 0;

  if (commy_store_conformance_child (descriptor (), set_up_case, argc, argv, &status))
    return status;
  is_parent = TRUE;
  g_test_init (&argc, &argv, NULL);
  commy_store_conformance_add (descriptor (), set_up_case);
  ADD ("daemon/killed-and-back", test_killed_and_back);
  ADD ("daemon/what-nobody-comes-back-for-goes", test_grace_ends);
  ADD ("daemon/exchanged", test_waits_for_the_next);
  ADD ("daemon/away-says-how-to-start-it", test_away);
  ADD ("daemon/of-another-mesh-refuses", test_other_mesh);
  ADD ("daemon/in-a-folder-open-to-others-is-not-believed", test_open_folder);
  ADD ("daemon/liars-are-left", test_liars);
  ADD ("values/large-ones-and-a-limit", test_large);
  ADD ("process/forked-child-is-refused", test_forked_child);
  status = g_test_run ();
  g_clear_pointer (&of_case, test_daemon_free);
  return status;
}
