/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Strangers at the Unix socket: what they say during set-up, what they send on an open
 * connection, and how they pass descriptors. Each offence ends one connection, with a reason,
 * and leaves nothing open. Then names that are taken, and last words.
 */
#include "config.h"

#include "tests/conformance/commy-transport-rig.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAGIC G_GUINT64_CONSTANT (0x31305855594d4d43)
#define MOST 253

/* As the handshake has it, written down again on purpose: both ends must not change at once. */
typedef struct
{
  guint64 magic;
  guint32 version;
  guint32 version_min;
  guint64 max_message;
  guint8 nonce[16];
  guint8 reserved[24];
} Hello;

typedef struct
{
  guint32 size;
  guint32 n_fds;
} Header;

static const Hello good_hello
    = { .magic = MAGIC, .version = 1, .version_min = 1, .max_message = 1 << 20, .nonce = { 7 } };

typedef struct
{
  Rig *rig;
  guint n_open; /* descriptors of this process, with nobody at the door */
} Door;

static const CommyTransportSubject subject = { .id = "unix" };

static guint
count_open (void)
{
  g_autoptr (GDir) dir = g_dir_open ("/proc/self/fd", 0, NULL);
  guint n = 0;

  while (g_dir_read_name (dir) != NULL)
    n++;
  return n;
}

static void
door_open (Door *door, gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  const CommyPluginDescriptor *descriptor = commy_test_load ("transport", "unix", &error);

  g_assert_no_error (error);
  door->rig = rig_new (descriptor, &subject, RIG_NONE);
  door->n_open = count_open ();
}

static void
door_close (Door *door, gconstpointer data)
{
  rig_free (door->rig);
}

/* Sends @size bytes with @n_fds descriptors, all of them /dev/null. */
static void
send_with (int socket_fd, gconstpointer data, gsize size, guint n_fds)
{
  union
  {
    char bytes[CMSG_SPACE (MOST * sizeof (int))];
    struct cmsghdr align;
  } control = { { 0 } };
  struct iovec part = { .iov_base = (void *) data, .iov_len = size };
  struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
  int fds[MOST];

  for (guint i = 0; i < n_fds; i++)
    fds[i] = open ("/dev/null", O_RDONLY | O_CLOEXEC);
  if (n_fds > 0)
    {
      struct cmsghdr *header;

      message.msg_control = control.bytes;
      message.msg_controllen = CMSG_SPACE (n_fds * sizeof (int));
      header = CMSG_FIRSTHDR (&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN (n_fds * sizeof (int));
      memcpy (CMSG_DATA (header), fds, n_fds * sizeof (int));
    }
  g_assert_cmpint (sendmsg (socket_fd, &message, MSG_NOSIGNAL), ==, (int) size);
  for (guint i = 0; i < n_fds; i++)
    close (fds[i]);
}

/* --- set-up --- */

static void
expect_refusal (Door *door, int fd)
{
  guint before = door->rig->n_failed;

  rig_until (door->rig, door->rig->n_failed == before + 1);
  close (fd);
  g_assert_cmpuint (door->rig->n_opened, ==, 0);
  g_assert_cmpuint (count_open (), ==, door->n_open);
}

static void
try_hello (Door *door, const Hello *hello, guint n_fds)
{
  int fd = rig_knock (door->rig);

  send_with (fd, hello, sizeof *hello, n_fds);
  expect_refusal (door, fd);
}

static void
test_hellos (Door *door, gconstpointer data)
{
  Hello hello = good_hello;

  hello.magic++;
  try_hello (door, &hello, 1);
  hello = good_hello;
  hello.version = hello.version_min = 2;
  try_hello (door, &hello, 1);
  hello.version = hello.version_min = 0;
  try_hello (door, &hello, 1);
  hello = good_hello;
  hello.max_message = 0;
  try_hello (door, &hello, 1);
  try_hello (door, &good_hello, 2);
  try_hello (door, &good_hello, MOST);
  for (guint i = 0; i < 100; i++)
    {
      for (gsize k = 0; k < sizeof hello; k++)
        ((guint8 *) &hello)[k] = (guint8) g_test_rand_int ();
      try_hello (door, &hello, i % 3);
    }
}

/* As a program would that carries a socket's bytes to another host. */
static void
test_forwarded (Door *door, gconstpointer data)
{
  try_hello (door, &good_hello, 0);
}

static void
test_hang_up (Door *door, gconstpointer data)
{
  for (gsize size = 1; size < sizeof good_hello; size += 9)
    {
      int fd = rig_knock (door->rig);

      send_with (fd, &good_hello, size, size % 2);
      shutdown (fd, SHUT_WR);
      expect_refusal (door, fd);
    }
}

/* A stranger that greets as it should; its connection is the rig's server. */
static int
enter (Door *door)
{
  guint before = door->rig->accepted->len;
  int fd = rig_knock (door->rig);

  send_with (fd, &good_hello, sizeof good_hello, 1);
  rig_until (door->rig, door->rig->accepted->len > before);
  door->rig->server = g_ptr_array_index (door->rig->accepted, before);
  return fd;
}

static void
test_slow_hello (Door *door, gconstpointer data)
{
  int fd = rig_knock (door->rig);

  for (gsize i = 0; i < sizeof good_hello; i++)
    {
      g_assert_cmpuint (door->rig->n_opened, ==, 0);
      send_with (fd, (const guint8 *) &good_hello + i, 1, i == 40 ? 1 : 0);
      rig_pump (door->rig);
    }
  rig_until (door->rig, door->rig->n_opened == 1);
  close (fd);
}

/* --- messages --- */

/* The connection ends, says why, and leaves no descriptor behind. */
static void
expect_end (Door *door, int fd, const char *words)
{
  Rig *rig = door->rig;
  CommyMessage message;

  g_assert_cmpint (rig_receive (rig, rig->server, NULL, &message), ==, COMMY_IO_CLOSED);
  g_assert_nonnull (strstr (rig->ops->why (rig->server), words));
  rig_close_server (rig);
  close (fd);
  g_assert_cmpuint (count_open (), ==, door->n_open);
}

static void
test_half_message (Door *door, gconstpointer data)
{
  for (gsize size = 1; size < 16; size++)
    {
      const struct
      {
        Header header;
        guint8 bytes[8];
      } half = { { .size = 16 }, { 1 } };
      int fd = enter (door);

      send_with (fd, &half, size, 0);
      shutdown (fd, SHUT_WR);
      expect_end (door, fd, "in the middle of a message");
    }
}

static void
test_bad_headers (Door *door, gconstpointer data)
{
  static const Header headers[] = {
    { .size = 0 },
    { .size = G_MAXUINT32 },
    { .size = 1 << 30 },
    { .size = 8, .n_fds = MOST + 1 },
    { .size = 8, .n_fds = G_MAXUINT32 },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (headers); i++)
    {
      int fd = enter (door);

      send_with (fd, &headers[i], sizeof headers[i], 0);
      expect_end (door, fd, "broke the protocol");
    }
}

static void
send_message (int fd, guint n_announced, guint n_sent)
{
  const struct
  {
    Header header;
    char text[8];
  } message = { { .size = 8, .n_fds = n_announced }, "message" };

  send_with (fd, &message, sizeof message, n_sent);
}

static void
test_descriptors_that_do_not_fit (Door *door, gconstpointer data)
{
  static const struct
  {
    guint announced;
    guint sent;
    const char *words;
  } cases[] = {
    { 1, 0, "did not come" },
    { 2, 1, "did not come" },
    { 1, 2, "did not come" },
    { 253, 1, "did not come" },
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      int fd = enter (door);

      send_message (fd, cases[i].announced, cases[i].sent);
      expect_end (door, fd, cases[i].words);
    }
}

/* They come with a message that announces none: the next message shows it. */
static void
test_descriptors_unannounced (Door *door, gconstpointer data)
{
  int fd = enter (door);

  send_message (fd, 0, 3);
  send_message (fd, 0, 0);
  rig_expect (door->rig, door->rig->server, NULL, "message", 8);
  expect_end (door, fd, "no message announced");
}

static void
test_flood_of_descriptors (Door *door, gconstpointer data)
{
  const Header header = { .size = 4096 };
  int fd = enter (door);

  send_with (fd, &header, sizeof header, MOST);
  for (guint i = 0; i < 10; i++)
    send_with (fd, "x", 1, MOST);
  expect_end (door, fd, "no message announced");
}

/* The kernel cuts off what this process has no room for. */
static void
test_no_room_for_descriptors (Door *door, gconstpointer data)
{
  struct rlimit usual;
  struct rlimit tight;
  CommyMessage message;
  int fd = enter (door);

  send_message (fd, 40, 40);
  g_assert_cmpint (getrlimit (RLIMIT_NOFILE, &usual), ==, 0);
  tight = usual;
  tight.rlim_cur = count_open () + 10;
  g_assert_cmpint (setrlimit (RLIMIT_NOFILE, &tight), ==, 0);
  while (door->rig->ops->peek (door->rig->server, &message) == COMMY_IO_WOULD_BLOCK)
    ;
  g_assert_cmpint (setrlimit (RLIMIT_NOFILE, &usual), ==, 0);
  expect_end (door, fd, "lost on the way");
}

/* Messages with descriptors that nobody takes or gives back: at the limit nothing more is read,
 * and the sender is not cut off. */
static void
test_held_descriptors_are_limited (Door *door, gconstpointer data)
{
  enum
  {
    N = 40
  };
  Rig *rig = door->rig;
  CommyMessage messages[N] = { 0 };
  CommyMessage none;
  guint events = 0;
  guint n = 0;
  int fd = enter (door);

  for (guint i = 0; i < N; i++)
    send_message (fd, 100, 100);
  while (rig->ops->arm (rig->server, COMMY_INTEREST_READ, &events) != 0)
    g_assert_cmpint (rig->ops->peek (rig->server, &messages[n++]), ==, COMMY_IO_OK);
  g_assert_cmpuint (n, >=, 10);
  g_assert_cmpuint (n, <=, 11);
  g_assert_cmpuint (events, ==, 0);
  g_assert_cmpint (rig->ops->peek (rig->server, &none), ==, COMMY_IO_WOULD_BLOCK);
  g_assert_cmpuint (count_open (), <=, door->n_open + 2 + 1024 + 2 * MOST);
  for (guint i = 0; i < n; i++)
    rig->ops->release (rig->server, &messages[i]);
  for (; n < N; n++)
    rig_expect (rig, rig->server, NULL, "message", 8);
  close (fd);
}

/* --- names --- */

static char *
dup_name (Rig *rig)
{
  CommyHost *host = commy_test_host_get (rig->hosts[1]);

  return g_strdup_printf ("%s/unix-%s.sock", host->info (host, COMMY_HOST_RUNTIME_DIR),
                          host->info (host, COMMY_HOST_NODE));
}

static gboolean
try_listen (Rig *rig, GError **error)
{
  gpointer listener = g_malloc0 (rig->ops->listener_size);
  gboolean ok = rig->ops->listen (rig->instances[1], listener, &rig->acceptor, error);

  if (ok)
    rig->ops->unlisten (rig->instances[1], listener);
  g_free (listener);
  return ok;
}

static void
test_taken_names (Door *door, gconstpointer data)
{
  g_autofree char *name = dup_name (door->rig);
  g_autofree char *target = g_strconcat (name, ".elsewhere", NULL);
  g_autoptr (GError) file = NULL;
  g_autoptr (GError) link = NULL;

  g_assert_true (g_file_set_contents (name, "mine", -1, NULL));
  g_assert_false (try_listen (door->rig, &file));
  g_assert_cmpint (file->code, ==, COMMY_ERROR_STATE_DIR);
  g_assert_true (g_file_test (name, G_FILE_TEST_IS_REGULAR)); /* and nobody touched it */
  g_unlink (name);
  g_assert_cmpint (symlink (target, name), ==, 0);
  g_assert_false (try_listen (door->rig, &link));
  g_assert_cmpint (link->code, ==, COMMY_ERROR_STATE_DIR);
  g_assert_false (g_file_test (target, G_FILE_TEST_EXISTS));
  g_unlink (name);
}

/* A killed node leaves its socket behind: whoever comes next takes it away. */
static void
test_dead_owner (Door *door, gconstpointer data)
{
  g_autofree char *name = dup_name (door->rig);
  g_autofree char *other = g_strconcat (name, ".unix-other.sock", NULL);
  g_autofree char *folder = g_path_get_dirname (name);
  g_autofree char *stale = g_build_filename (folder, "unix-dead.sock", NULL);
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  g_autoptr (GError) error = NULL;

  g_strlcpy (address.sun_path, stale, sizeof address.sun_path);
  g_assert_cmpint (bind (fd, (struct sockaddr *) &address, sizeof address), ==, 0);
  close (fd);
  g_assert_true (try_listen (door->rig, &error));
  g_assert_no_error (error);
  g_assert_false (g_file_test (stale, G_FILE_TEST_EXISTS));
}

static void
test_open_folder (Door *door, gconstpointer data)
{
  g_autofree char *name = dup_name (door->rig);
  g_autofree char *folder = g_path_get_dirname (name);
  g_autoptr (GError) error = NULL;

  g_assert_cmpint (g_chmod (folder, 0777), ==, 0);
  g_assert_false (try_listen (door->rig, &error));
  g_assert_cmpint (error->code, ==, COMMY_ERROR_STATE_DIR);
  g_assert_nonnull (strstr (error->message, "0700"));
}

/* --- how much at a time, and in all --- */

#define LONG 170000 /* bytes: more than a turn, and less than a socket holds */

/* All of it lies in the socket, and still it takes turns, between which others have theirs. */
static void
test_turns (Door *door, gconstpointer data)
{
  Rig *rig = door->rig;
  const CommyTransportOps *ops = rig->ops;
  const int most = 1 << 20;
  g_autofree guint8 *bytes = g_malloc (LONG);
  RigAttempt *attempt;
  gpointer from, to;
  CommyMessage message;
  guint events;

  memset (bytes, 'l', LONG);
  rig_make_pair (rig);
  attempt = rig->attempt;
  from = rig->client;
  to = rig->server;
  rig_make_pair (rig); /* and another one */
  setsockopt (ops->fd (from), SOL_SOCKET, SO_SNDBUF, &most, sizeof most);
  g_assert_cmpint (rig_put (rig, from, bytes, LONG), ==, COMMY_IO_OK);
  g_assert_cmpint (ops->flush (from), ==, COMMY_IO_OK);
  rig_send (rig, rig->client, "short", 5);
  g_assert_cmpint (ops->peek (to, &message), ==, COMMY_IO_WOULD_BLOCK);
  rig_expect (rig, rig->server, NULL, "short", 5);
  g_assert_cmpint (ops->peek (to, &message), ==, COMMY_IO_OK);
  g_assert_cmpmem (message.data, message.size, bytes, LONG);
  ops->release (to, &message);
  /* Who goes to sleep in the middle of one is told that there is more. */
  g_assert_cmpint (rig_put (rig, from, bytes, LONG), ==, COMMY_IO_OK);
  g_assert_cmpint (ops->flush (from), ==, COMMY_IO_OK);
  g_assert_cmpuint (ops->arm (to, COMMY_INTEREST_READ, &events), ==, COMMY_INTEREST_READ);
  g_assert_cmpint (ops->peek (to, &message), ==, COMMY_IO_OK);
  ops->release (to, &message);
  g_assert_cmpuint (ops->arm (to, COMMY_INTEREST_READ, &events), ==, 0);
  rig_attempt_free (attempt);
}

/* A header is enough, and the limit can be lifted. */
static void
test_limit (Door *door, gconstpointer data)
{
  Rig *rig = door->rig;
  g_autofree guint8 *bytes = g_malloc0 (LONG);
  CommyMessage message;

  rig_make_pair (rig);
  rig->ops->limit (rig->server, 1000);
  rig_send (rig, rig->client, bytes, 1000);
  rig_expect (rig, rig->server, NULL, bytes, 1000);
  rig->ops->limit (rig->server, G_MAXSIZE);
  rig_send (rig, rig->client, bytes, 1001);
  rig_expect (rig, rig->server, NULL, bytes, 1001);
  rig->ops->limit (rig->server, 1000);
  rig_put (rig, rig->client, bytes, LONG);
  rig->ops->flush (rig->client);
  g_assert_cmpint (rig_receive (rig, rig->server, NULL, &message), ==, COMMY_IO_CLOSED);
  g_assert_nonnull (strstr (rig->ops->why (rig->server), "at most 1000 "));
}

/* --- the end --- */

/* What was flushed is more than the kernel holds; the connection closes, and all of it arrives. */
static void
test_last_words (Door *door, gconstpointer data)
{
  enum
  {
    SIZE = 8 * 1024 * 1024
  };
  Rig *rig = door->rig;
  g_autofree guint8 *bytes = g_malloc (SIZE);
  CommyMessage message;
  CommyIo io;
  guint events;

  memset (bytes, 'w', SIZE);
  rig_make_pair (rig);
  g_assert_cmpint (rig_put (rig, rig->server, bytes, SIZE), ==, COMMY_IO_OK);
  g_assert_cmpint (rig->ops->flush (rig->server), ==, COMMY_IO_WOULD_BLOCK);
  rig_close_server (rig);
  while ((io = rig->ops->peek (rig->client, &message)) == COMMY_IO_WOULD_BLOCK)
    {
      rig_pump (rig);
      rig->ops->arm (rig->client, COMMY_INTEREST_READ, &events);
    }
  g_assert_cmpint (io, ==, COMMY_IO_OK);
  g_assert_cmpmem (message.data, message.size, bytes, SIZE);
  rig->ops->release (rig->client, &message);
  g_assert_cmpint (rig_receive (rig, rig->client, NULL, &message), ==, COMMY_IO_CLOSED);
}

#define DOOR(path, func) g_test_add (path, Door, NULL, door_open, func, door_close)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  DOOR ("/unix/set-up/bad-hellos-are-refused", test_hellos);
  DOOR ("/unix/set-up/forwarded-bytes-are-refused", test_forwarded);
  DOOR ("/unix/set-up/hang-up-in-the-hello", test_hang_up);
  DOOR ("/unix/set-up/hello-byte-by-byte", test_slow_hello);
  DOOR ("/unix/messages/half-a-message", test_half_message);
  DOOR ("/unix/messages/bad-headers", test_bad_headers);
  DOOR ("/unix/messages/a-long-one-takes-turns", test_turns);
  DOOR ("/unix/messages/a-limit-holds-at-the-header", test_limit);
  DOOR ("/unix/descriptors/announced-and-sent-differ", test_descriptors_that_do_not_fit);
  DOOR ("/unix/descriptors/unannounced", test_descriptors_unannounced);
  /* attack: descriptors by the hundred; defence: counted, closed, and the connection ends */
  DOOR ("/unix/descriptors/flood", test_flood_of_descriptors);
  DOOR ("/unix/descriptors/no-room-here", test_no_room_for_descriptors);
  DOOR ("/unix/descriptors/held-ones-are-limited", test_held_descriptors_are_limited);
  /* attack: squat a socket's name; defence: what lives there is not touched, and told */
  DOOR ("/unix/names/taken-ones-are-refused", test_taken_names);
  DOOR ("/unix/names/those-of-the-dead-are-removed", test_dead_owner);
  DOOR ("/unix/names/folder-open-to-others-is-refused", test_open_folder);
  DOOR ("/unix/close/last-words-arrive", test_last_words);
  return g_test_run ();
}
