/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The daemon as a program: how it starts, ends and is told things by its service manager, what
 * hostile clients get from it, and how several users fare with it.
 */
#include "config.h"

#include "daemon-talk.h"

#include "../conformance/commy-store-conformance.h"
#include "../fixtures/test-child.h"
#include "stores/common/commy-store-stream.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define USER_A 54321

static void
set_up (TestDaemon **daemon, gconstpointer unused)
{
  *daemon = test_daemon_new ();
}

static void
tear_down (TestDaemon **daemon, gconstpointer unused)
{
  test_daemon_free (*daemon);
}

/* --- clients that speak the protocol by hand --- */

/* What comes next is a refusal, if there was room for it, and then the end. */
static void
assert_hung_up (StoreStream *stream)
{
  StoreWireHeader header;
  const guint8 *payload;

  while (await_frame (stream, &header, &payload))
    g_assert_cmpuint (header.type, ==, STORE_WIRE_REFUSED);
  store_stream_close (stream);
}

static void
assert_serves (TestDaemon *daemon)
{
  StoreStream stream;
  StoreWireHeader header;
  const guint8 *payload;

  greet (daemon, &stream);
  g_assert_true (
      store_stream_send (&stream, store_wire_write_prefix (STORE_WIRE_RANGE, 1, "", 0), NULL));
  g_assert_true (await_frame (&stream, &header, &payload));
  g_assert_cmpuint (header.type, ==, STORE_WIRE_RESULT);
  store_stream_close (&stream);
}

static char *
ask_status (TestDaemon *daemon)
{
  StoreStream stream;
  StoreWireHeader header;
  const guint8 *payload;
  char *text;

  greet (daemon, &stream);
  store_stream_send (&stream, store_wire_write_empty (STORE_WIRE_STATUS, 9), NULL);
  g_assert_true (await_frame (&stream, &header, &payload));
  text = store_wire_read_report (payload, header.size, NULL);
  g_assert_nonnull (text);
  store_stream_close (&stream);
  return text;
}

/* --- life --- */

static void
test_life (TestDaemon **daemon, gconstpointer unused)
{
  g_autofree char *lock = g_strconcat ((*daemon)->socket, ".lock", NULL);

  test_daemon_start (*daemon);
  test_daemon_await (*daemon, "STATUS=mesh test");
  assert_serves (*daemon);
  test_daemon_stop (*daemon);
  test_daemon_await (*daemon, "STOPPING=1");
  g_assert_false (g_file_test ((*daemon)->socket, G_FILE_TEST_EXISTS));
  g_assert_false (g_file_test (lock, G_FILE_TEST_EXISTS));
}

static void
test_after_a_kill (TestDaemon **daemon, gconstpointer unused)
{
  test_daemon_start (*daemon);
  test_daemon_kill (*daemon);
  g_assert_true (g_file_test ((*daemon)->socket, G_FILE_TEST_EXISTS)); /* in its way */
  test_daemon_start (*daemon);
  assert_serves (*daemon);
}

static void
assert_second_fails (TestDaemon *daemon, const char *reason)
{
  int status;
  g_autofree char *said = test_daemon_fail (daemon, &status);

  g_assert_cmpint (status, ==, 1);
  if (strstr (said, "another commyd") == NULL || strstr (said, reason) == NULL)
    g_error ("it says: %s", said);
}

static void
test_second (TestDaemon **daemon, gconstpointer unused)
{
  g_autofree char *other_state = g_strdup_printf ("--state-dir=%s/other", (*daemon)->dir);
  g_autofree char *other_socket = g_strdup_printf ("--socket=%s/other.sock", (*daemon)->dir);
  const char *const same_socket[] = { other_state, NULL };
  const char *const same_state[] = { other_socket, NULL };

  test_daemon_start (*daemon);
  (*daemon)->options = same_socket;
  assert_second_fails (*daemon, (*daemon)->socket);
  (*daemon)->options = same_state;
  assert_second_fails (*daemon, (*daemon)->state);
  assert_serves (*daemon);
}

static void
test_activation (TestDaemon **daemon, gconstpointer unused)
{
  struct sockaddr_un address;
  g_autofree char *folder = g_path_get_dirname ((*daemon)->socket);
  int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

  g_mkdir_with_parents (folder, 0700);
  address_of (*daemon, &address);
  g_assert_cmpint (bind (fd, (const struct sockaddr *) &address, sizeof address), ==, 0);
  g_assert_cmpint (listen (fd, 8), ==, 0);
  (*daemon)->listener = fd;
  test_daemon_start (*daemon);
  assert_serves (*daemon);
  test_daemon_stop (*daemon);
  g_assert_true (g_file_test ((*daemon)->socket, G_FILE_TEST_EXISTS)); /* not ours */
  test_daemon_start (*daemon); /* upgraded: who comes in between waits in the socket */
  assert_serves (*daemon);
  close (fd);
}

/* By the real thing: it listens, and becomes commyd when the first client comes, who is served. */
static void
test_activated_by_systemd (TestDaemon **daemon, gconstpointer unused)
{
  g_autofree char *activator = g_find_program_in_path ("systemd-socket-activate");
  g_autofree char *folder = g_path_get_dirname ((*daemon)->socket);

  if (activator == NULL)
    {
      g_test_skip ("systemd-socket-activate is not here");
      return;
    }
  g_mkdir_with_parents (folder, 0700);
  (*daemon)->activator = activator;
  (*daemon)->watchdog_us = 20000;
  test_daemon_activate (*daemon);
  g_assert_cmpuint ((*daemon)->heard->len, ==, 0); /* nobody has come */
  assert_serves (*daemon);
  test_daemon_await (*daemon, "READY=1");
  test_daemon_await (*daemon, "WATCHDOG=1");
  test_daemon_stop (*daemon);
  test_daemon_await (*daemon, "STOPPING=1");
  g_assert_true (g_file_test ((*daemon)->socket, G_FILE_TEST_EXISTS)); /* not ours */
}

static void
test_bad_activation (TestDaemon **daemon, gconstpointer unused)
{
  int status;
  g_autofree char *said = NULL;

  (*daemon)->listener = (*daemon)->notify_fd; /* a datagram socket */
  said = test_daemon_fail (*daemon, &status);
  g_assert_cmpint (status, ==, 1);
  g_assert_nonnull (strstr (said, "no listening Unix stream socket"));
}

static void
test_watchdog (TestDaemon **daemon, gconstpointer unused)
{
  (*daemon)->watchdog_us = 20000;
  test_daemon_start (*daemon);
  for (int i = 0; i < 3; i++)
    test_daemon_await (*daemon, "WATCHDOG=1");
}

static void
test_full_disk (TestDaemon **daemon, gconstpointer unused)
{
  g_autoptr (CommyTestHost) host = NULL;
  g_autoptr (GError) error = NULL;
  const CommyPluginDescriptor *plugin = commy_test_load ("store", "commyd", &error);
  g_autoptr (GBytes) big = g_bytes_new_take (g_malloc0 (1 << 20), 1 << 20);
  CommyStoreOp op = { COMMY_STORE_PUT, "big", big, 0 };
  CommyStoreUnderTest store;
  g_auto (CommyStoreAnswer) failed = { 0 };
  g_auto (CommyStoreAnswer) refused = { 0 };

  g_assert_no_error (error);
  (*daemon)->file_limit = 256 * 1024;
  test_daemon_start (*daemon);
  host = commy_test_host_new (NULL, plugin);
  commy_test_host_set_info (host, COMMY_HOST_MESH, "test");
  commy_test_host_set_param (host, "socket", (*daemon)->socket);
  store = (CommyStoreUnderTest){ host, plugin->ops, commy_test_host_start (host, &error) };
  commy_store_put (&store, "kept", "v", 0);
  commy_store_txn (&store, NULL, 0, &op, 1, &failed);
  g_assert_error (failed.error, COMMY_TEST_ERROR, 601);
  g_assert_nonnull (strstr (failed.error->message, "disk"));
  commy_store_put (&store, "after", "v", 0);
  g_assert_cmpuint (commy_store_count (&store, "big"), ==, 0);
  g_assert_cmpuint (commy_store_count (&store, "kept"), ==, 1);
  commy_test_host_stop (host);
}

/* --- who does not keep to the rules --- */

static void
send_all (int fd, const void *bytes, gsize size)
{
  g_assert_cmpint (send (fd, bytes, size, MSG_NOSIGNAL), ==, (ssize_t) size);
}

static void
assert_refused (TestDaemon *daemon, const void *bytes, gsize size)
{
  StoreStream stream;

  store_stream_open (&stream, knock (daemon), STORE_WIRE_MAX);
  send_all (stream.fd, bytes, size);
  assert_hung_up (&stream);
}

static void
test_garbage (TestDaemon **daemon, gconstpointer unused)
{
  const StoreWireHello old = { .version = 99, .mesh = (char *) "test" };
  const StoreWireHello elsewhere = { .version = STORE_WIRE_VERSION, .mesh = (char *) "other" };
  GByteArray *const frames[] = { store_wire_write_hello (&old), store_wire_write_hello (&elsewhere),
                                 store_wire_write_prefix (STORE_WIRE_RANGE, 1, "early", 0) };
  guint8 huge[STORE_WIRE_HEADER] = { 0xff, 0xff, 0xff, 0x7f, STORE_WIRE_HELLO };

  test_daemon_start (*daemon);
  assert_refused (*daemon, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27);
  assert_refused (*daemon, huge, sizeof huge);
  for (gsize i = 0; i < G_N_ELEMENTS (frames); i++)
    {
      assert_refused (*daemon, frames[i]->data, frames[i]->len);
      g_byte_array_unref (frames[i]);
    }
  for (guint type = 0; type < 256; type++)
    {
      const guint8 empty[STORE_WIRE_HEADER] = { 0, 0, 0, 0, (guint8) type };
      StoreStream stream;

      if (type == STORE_WIRE_UNWATCH || type == STORE_WIRE_STATUS)
        continue;
      greet (*daemon, &stream);
      send_all (stream.fd, empty, sizeof empty);
      assert_hung_up (&stream);
    }
  assert_serves (*daemon);
}

/* A half of a frame holds up nobody, and its connection may go in the middle of it. */
static void
test_half_frames (TestDaemon **daemon, gconstpointer unused)
{
  g_autoptr (GByteArray) whole = store_wire_write_prefix (STORE_WIRE_RANGE, 1, "services/", 0);
  StoreStream halves[16];

  test_daemon_start (*daemon);
  for (gsize i = 0; i < G_N_ELEMENTS (halves); i++)
    {
      greet (*daemon, &halves[i]);
      send_all (halves[i].fd, whole->data, 1 + i);
    }
  assert_serves (*daemon);
  for (gsize i = 0; i < G_N_ELEMENTS (halves); i++)
    store_stream_close (&halves[i]);
  assert_serves (*daemon);
}

/* Asks and asks and reads nothing: is read no further, and others are served. */
static void
test_never_reads (TestDaemon **daemon, gconstpointer unused)
{
  const gsize size = 1u << 20;
  g_autoptr (GBytes) value = g_bytes_new_take (g_malloc0 (size), size);
  CommyStoreOp op = { COMMY_STORE_PUT, "large", value, 0 };
  g_autoptr (GByteArray) range = store_wire_write_prefix (STORE_WIRE_RANGE, 2, "large", 0);
  StoreWireHeader header;
  const guint8 *payload;
  StoreStream stream;
  guint sent = 0;
  guint answered = 0;

  test_daemon_start (*daemon);
  greet (*daemon, &stream);
  store_stream_send (&stream, store_wire_write_txn (1, NULL, 0, &op, 1), NULL);
  while (stream.out_bytes > 0)
    g_assert_true (store_stream_flush (&stream, NULL));
  g_assert_true (await_frame (&stream, &header, &payload));
  g_assert_cmpuint (header.type, ==, STORE_WIRE_RESULT);
  /* Sixteen times what one user may have waiting, if it were all answered at once. */
  for (sent = 0; sent < 1024; sent++)
    if (send (stream.fd, range->data, range->len, MSG_DONTWAIT | MSG_NOSIGNAL)
        != (ssize_t) range->len)
      break;
  for (int i = 0; i < 4; i++)
    assert_serves (*daemon);
  while (answered < sent && await_frame (&stream, &header, &payload))
    answered += (header.flags & STORE_WIRE_MORE) == 0;
  g_assert_cmpuint (answered, ==, sent); /* late, but each of them */
  store_stream_close (&stream);
}

/* A watch that is never read is cut off, and its connection stays. */
static void
test_slow_watch (TestDaemon **daemon, gconstpointer unused)
{
  const gsize size = 1u << 20;
  g_autoptr (GBytes) value = g_bytes_new_take (g_malloc0 (size), size);
  CommyStoreOp op = { COMMY_STORE_PUT, "large", value, 0 };
  StoreWireHeader header = { 0 };
  const guint8 *payload;
  StoreStream watching, writing;
  g_autofree char *status = NULL;
  g_autoptr (GError) error = NULL;

  test_daemon_start (*daemon);
  greet (*daemon, &watching);
  greet (*daemon, &writing);
  store_stream_send (&watching, store_wire_write_prefix (STORE_WIRE_WATCH, 7, "large", 0), NULL);
  for (int i = 0; i < 32; i++)
    {
      store_stream_send (&writing, store_wire_write_txn (1, NULL, 0, &op, 1), NULL);
      while (writing.out_bytes > 0)
        g_assert_true (store_stream_flush (&writing, NULL));
      g_assert_true (await_frame (&writing, &header, &payload));
      g_assert_cmpuint (header.type, ==, STORE_WIRE_RESULT);
    }
  do
    g_assert_true (await_frame (&watching, &header, &payload));
  while (header.type == STORE_WIRE_EVENT);
  g_assert_cmpuint (header.type, ==, STORE_WIRE_ERROR);
  error = store_wire_read_error (payload, header.size);
  g_assert_nonnull (strstr (error->message, "too slow"));
  store_stream_send (&watching, store_wire_write_prefix (STORE_WIRE_RANGE, 8, "none", 0), NULL);
  g_assert_true (await_frame (&watching, &header, &payload));
  g_assert_cmpuint (header.id, ==, 8);
  status = ask_status (*daemon);
  g_assert_nonnull (strstr (status, "'cut': <uint64 1>"));
  store_stream_close (&watching);
  store_stream_close (&writing);
}

static void
test_too_many (TestDaemon **daemon, gconstpointer unused)
{
  StoreStream streams[4];
  StoreStream refused;

  test_daemon_write_keyfile (*daemon, "[daemon]\nconnections=4\n");
  test_daemon_start (*daemon);
  for (gsize i = 0; i < G_N_ELEMENTS (streams); i++)
    greet (*daemon, &streams[i]);
  store_stream_open (&refused, knock (*daemon), STORE_WIRE_MAX);
  assert_hung_up (&refused);
  reload (*daemon, "[daemon]\nconnections=many\n"); /* changes nothing */
  store_stream_open (&refused, knock (*daemon), STORE_WIRE_MAX);
  assert_hung_up (&refused);
  reload (*daemon, "[daemon]\nconnections=5\n");
  assert_serves (*daemon);
  for (gsize i = 0; i < G_N_ELEMENTS (streams); i++)
    store_stream_close (&streams[i]);
}

/* --- watches and leases --- */

static void
watch (StoreStream *stream, guint64 id, const char *prefix)
{
  store_stream_send (stream, store_wire_write_prefix (STORE_WIRE_WATCH, id, prefix, 0), NULL);
  while (stream->out_bytes > 0)
    g_assert_true (store_stream_flush (stream, NULL));
}

/* What was refused of all that was asked for up to now; the last one's words. */
static guint
count_refused (StoreStream *stream, char **out_words)
{
  StoreWireHeader header;
  const guint8 *payload;
  guint n = 0;

  store_stream_send (stream, store_wire_write_prefix (STORE_WIRE_RANGE, G_MAXUINT64, "none/", 0),
                     NULL);
  for (;;)
    {
      g_autoptr (GError) error = NULL;

      g_assert_true (await_frame (stream, &header, &payload));
      if (header.type == STORE_WIRE_RESULT && header.id == G_MAXUINT64)
        return n;
      if (header.type != STORE_WIRE_ERROR)
        continue;
      error = store_wire_read_error (payload, header.size);
      g_assert_cmpint (error->code, ==, COMMY_ERROR_BUSY);
      g_free (*out_words);
      *out_words = g_strdup (error->message);
      n++;
    }
}

static void
test_share_of_watches (TestDaemon **daemon, gconstpointer unused)
{
  g_autofree char *words = NULL;
  g_autofree char *status = NULL;
  StoreStream first, second;

  test_daemon_write_keyfile (*daemon, "[daemon]\nwatches=4\n");
  test_daemon_start (*daemon);
  greet (*daemon, &first);
  greet (*daemon, &second);
  for (guint64 id = 1; id <= 3; id++)
    watch (&first, id, "a/");
  g_assert_cmpuint (count_refused (&first, &words), ==, 0);
  watch (&second, 1, "b/");
  watch (&second, 2, "b/");
  g_assert_cmpuint (count_refused (&second, &words), ==, 1);
  g_assert_nonnull (strstr (words, "raise watches of [daemon]"));
  status = ask_status (*daemon);
  g_assert_nonnull (strstr (status, "'limited': <uint64 1>"));
  /* What one gives up another may have, and what a connection had when it goes. */
  store_stream_send (&first, store_wire_write_empty (STORE_WIRE_UNWATCH, 1), NULL);
  g_assert_cmpuint (count_refused (&first, &words), ==, 0);
  watch (&second, 3, "b/");
  g_assert_cmpuint (count_refused (&second, &words), ==, 0);
  store_stream_close (&first);
  do
    watch (&second, 4, "b/"); /* each attempt is an answer of the daemon */
  while (count_refused (&second, &words) > 0);
  store_stream_close (&second);
}

/* Its number; 0: refused. */
static gint64
grant (StoreStream *stream, char **out_words)
{
  g_auto (StoreWireAnswer) answer = { 0 };
  g_autoptr (GError) error = NULL;
  StoreWireHeader header;
  const guint8 *payload;

  store_stream_send (stream, store_wire_write_number (STORE_WIRE_GRANT, 1, 0), NULL);
  g_assert_true (await_frame (stream, &header, &payload));
  if (header.type == STORE_WIRE_RESULT)
    {
      g_assert_true (store_wire_read_answer (payload, header.size, &answer, NULL));
      return answer.lease;
    }
  g_assert_cmpuint (header.type, ==, STORE_WIRE_ERROR);
  error = store_wire_read_error (payload, header.size);
  g_assert_cmpint (error->code, ==, COMMY_ERROR_BUSY);
  g_free (*out_words);
  *out_words = g_strdup (error->message);
  return 0;
}

static void
test_share_of_leases (TestDaemon **daemon, gconstpointer unused)
{
  g_autofree char *words = NULL;
  StoreStream first, second;
  StoreWireHeader header;
  const guint8 *payload;
  gint64 lease;

  test_daemon_write_keyfile (*daemon, "[daemon]\nleases=2\n");
  test_daemon_start (*daemon);
  greet (*daemon, &first);
  greet (*daemon, &second);
  g_assert_cmpint (grant (&first, &words), !=, 0);
  lease = grant (&second, &words);
  g_assert_cmpint (lease, !=, 0);
  g_assert_cmpint (grant (&second, &words), ==, 0);
  g_assert_nonnull (strstr (words, "raise leases of [daemon]"));
  store_stream_send (&second, store_wire_write_number (STORE_WIRE_REVOKE, 2, lease), NULL);
  g_assert_true (await_frame (&second, &header, &payload));
  g_assert_cmpuint (header.type, ==, STORE_WIRE_RESULT);
  g_assert_cmpint (grant (&second, &words), !=, 0);
  store_stream_close (&first);
  while (grant (&second, &words) == 0)
    continue;
  store_stream_close (&second);
}

/* --- the host's own entry --- */

static void
test_host_entry (TestDaemon **daemon, gconstpointer unused)
{
  StoreStream stream;
  StoreWireHeader header;
  const guint8 *payload;
  g_auto (StoreWireAnswer) answer = { 0 };
  const CommyStoreEntry *entry;
  g_autoptr (GVariant) value = NULL;
  g_autofree char *text = NULL;
  guint32 cpus = 0;

  test_daemon_start (*daemon);
  greet (*daemon, &stream);
  store_stream_send (&stream, store_wire_write_prefix (STORE_WIRE_RANGE, 1, "hosts/", 0), NULL);
  g_assert_true (await_frame (&stream, &header, &payload));
  g_assert_true (store_wire_read_answer (payload, header.size, &answer, NULL));
  g_assert_cmpuint (answer.entries->len, ==, 1);
  entry = &g_array_index (answer.entries, CommyStoreEntry, 0);
  text = g_strndup (g_bytes_get_data (entry->value, NULL), g_bytes_get_size (entry->value));
  value = g_variant_parse (G_VARIANT_TYPE_VARDICT, text, NULL, NULL, NULL);
  g_assert_nonnull (value);
  g_assert_true (g_variant_lookup (value, "cpus", "u", &cpus));
  g_assert_cmpuint (cpus, ==, g_get_num_processors ());
  store_stream_close (&stream);
}

/* --- several users --- */

/* In a child of another user: whether a watch of its own hears of its own change. */
static gboolean
hears_as (TestDaemon *daemon, uid_t uid)
{
  g_autoptr (GBytes) value = g_bytes_new_static ("v", 1);
  const CommyStoreOp op = { COMMY_STORE_PUT, "own/key", value, 0 };
  StoreStream stream;
  StoreWireHeader header = { 0 };
  const guint8 *payload;
  int status = -1;
  pid_t pid = fork ();

  if (pid == 0)
    {
      if (setgroups (0, NULL) < 0 || setresgid (uid, uid, uid) < 0 || setresuid (uid, uid, uid) < 0)
        test_child_exit (250);
      greet (daemon, &stream);
      watch (&stream, 7, "own/");
      store_stream_send (&stream, store_wire_write_txn (1, NULL, 0, &op, 1), NULL);
      while (header.type != STORE_WIRE_EVENT && header.type != STORE_WIRE_ERROR)
        if (!await_frame (&stream, &header, &payload))
          test_child_exit (251);
      store_stream_close (&stream);
      test_child_exit (header.type == STORE_WIRE_EVENT ? 0 : 1);
    }
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  return status == 0;
}

#define FLOOD 10000u
#define SHARE 4096u /* as the keyfile has it where nobody says otherwise */

/* One user asks for more than there is for one; the others do not feel it. */
static void
test_flood_of_watches (TestDaemon **daemon, gconstpointer unused)
{
  g_autofree char *folder = g_path_get_dirname ((*daemon)->socket);
  g_autofree char *words = NULL;
  StoreStream greedy;

  test_daemon_write_keyfile (*daemon, "[daemon]\nmode=0666\n");
  g_assert_cmpint (g_chmod ((*daemon)->dir, 0755), ==, 0);
  g_mkdir_with_parents (folder, 0755);
  test_daemon_start (*daemon);
  greet (*daemon, &greedy);
  for (guint64 id = 1; id <= FLOOD; id++)
    watch (&greedy, id, "");
  g_assert_cmpuint (count_refused (&greedy, &words), ==, FLOOD - SHARE);
  assert_serves (*daemon);
  if (geteuid () == 0)
    g_assert_true (hears_as (*daemon, USER_A));
  store_stream_close (&greedy);
  assert_serves (*daemon);
}

#define ADD(path, test) g_test_add ("/daemon/" path, TestDaemon *, NULL, set_up, test, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("life/is-ready-serves-and-leaves-nothing", test_life);
  ADD ("life/takes-over-from-a-killed-one", test_after_a_kill);
  ADD ("life/a-second-one-is-refused-by-name", test_second);
  ADD ("life/takes-a-socket-that-is-handed-over", test_activation);
  ADD ("life/is-activated-by-systemd", test_activated_by_systemd);
  ADD ("life/refuses-what-is-no-socket-of-its-kind", test_bad_activation);
  ADD ("life/tells-the-watchdog", test_watchdog);
  ADD ("life/a-full-disk-is-an-error-of-the-writer", test_full_disk);
  /* attack: say something to commyd that is not its protocol, or not yours to say; defence:
   * each frame is checked against its bounds and the state, told once, and cut off; test:
   * /daemon/hostile/garbage-is-refused */
  ADD ("hostile/garbage-is-refused", test_garbage);
  ADD ("hostile/half-frames-hold-up-nobody", test_half_frames);
  /* attack: ask commyd for answers that are never read; defence: who has so much unread is not
   * read, and what waits of one user has a bound; test:
   * /daemon/hostile/who-never-reads-is-not-read-either */
  ADD ("hostile/who-never-reads-is-not-read-either", test_never_reads);
  ADD ("hostile/a-slow-watch-is-cut-off", test_slow_watch);
  ADD ("limits/connections-and-reading-them-again", test_too_many);
  ADD ("limits/watches-of-a-user-are-counted-together", test_share_of_watches);
  ADD ("limits/leases-of-a-user-are-counted-together", test_share_of_leases);
  /* attack: have commyd watch everything for one user ten thousand times; defence: watches and
   * leases are a share of a user, whatever the number of its processes; test:
   * /daemon/limits/a-flood-of-watches-is-one-users-affair */
  ADD ("limits/a-flood-of-watches-is-one-users-affair", test_flood_of_watches);
  ADD ("host/has-an-entry", test_host_entry);
  return g_test_run ();
}
