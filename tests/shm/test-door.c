/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The door: where it may stand, who may take its name, and strangers that knock and then send
 * nonsense, too many descriptors, the wrong memory, or nothing.
 */
#include "config.h"

#include "plugins/shm/commy-packet.h"
#include "plugins/shm/commy-ring.h"
#include "plugins/shm/commy-segment.h"
#include "shm-host.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAGIC G_GUINT64_CONSTANT (0x31304d4853594d43)

/* As the handshake has it, written down again on purpose: both ends must not change at once. */
typedef struct
{
  guint64 magic;
  guint32 layout;
  guint32 layout_min;
  guint64 ring_size;
  guint64 arena_max;
  guint32 max_inline;
  guint32 reserved;
} Hello;

typedef struct
{
  guint64 magic;
  guint8 nonce[16];
} Proof;

typedef struct
{
  char *directory;
  ShmTestHost *host;
  guint n_fds;
  guint n_maps;
} Door;

static void
door_open (Door *door, gconstpointer data)
{
  door->n_fds = shm_test_count_fds ();
  door->n_maps = shm_test_count_maps ();
  door->directory = shm_test_directory_new ();
  door->host = shm_test_host_new (door->directory, NULL);
  shm_test_host_listen (door->host);
}

static void
door_close (Door *door, gconstpointer data)
{
  shm_test_host_free (door->host);
  shm_test_directory_free (door->directory);
  g_assert_cmpuint (shm_test_count_fds (), ==, door->n_fds);
  g_assert_cmpuint (shm_test_count_maps (), ==, door->n_maps);
}

static int
knock (Door *door)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  int fd = socket (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

  g_strlcpy (address.sun_path, shm_test_host_address (door->host), sizeof address.sun_path);
  g_assert_cmpint (connect (fd, (struct sockaddr *) &address, sizeof address), ==, 0);
  return fd;
}

static const Hello good_hello = { .magic = MAGIC,
                                  .layout = SHM_LAYOUT_VERSION,
                                  .layout_min = SHM_LAYOUT_VERSION,
                                  .ring_size = 16384,
                                  .arena_max = 1 << 20,
                                  .max_inline = 2048 };

/* Memory as a correct peer would pass it. */
static int
good_memory (ShmSegment *segment, gsize size)
{
  ShmHeader *header;
  const char *step;
  int fd;

  g_assert_true (shm_segment_create (segment, size, &fd, &step));
  header = (ShmHeader *) (gpointer) segment->data;
  header->magic = MAGIC;
  header->layout = SHM_LAYOUT_VERSION;
  memset (header->nonce, 7, sizeof header->nonce);
  return fd;
}

/* Waits until the host refused what is in @socket_fd, and closes that. */
static void
expect_failure (Door *door, int socket_fd, int code)
{
  guint before = door->host->n_failed;

  while (door->host->n_failed == before)
    shm_test_host_iterate (door->host);
  g_assert_cmpuint (door->host->n_failed, ==, before + 1);
  g_assert_error (door->host->last_error, g_quark_from_static_string ("commy-error-quark"), code);
  close (socket_fd);
}

static void
send_bytes (int fd, gconstpointer data, gsize size, int memory_fd)
{
  g_assert_cmpint (shm_packet_send (fd, data, size, memory_fd), ==, SHM_PACKET_OK);
}

static void
test_garbage (Door *door, gconstpointer data)
{
  for (gsize size = 1; size <= 200; size++)
    {
      int fd = knock (door);
      guint8 bytes[200];

      for (gsize i = 0; i < size; i++)
        bytes[i] = (guint8) g_test_rand_int ();
      send_bytes (fd, bytes, size, -1);
      expect_failure (door, fd, COMMY_ERROR_PROTOCOL);
    }
}

static void
try_hello (Door *door, const Hello *hello, int code)
{
  ShmSegment segment;
  int memory_fd = good_memory (&segment, SHM_HEADER_BYTES + 16384);
  int fd = knock (door);

  send_bytes (fd, hello, sizeof *hello, memory_fd);
  close (memory_fd);
  expect_failure (door, fd, code);
  shm_segment_clear (&segment);
}

static void
test_bad_hello (Door *door, gconstpointer data)
{
  Hello hello;

#define TRY(field, value, code) \
  hello = good_hello;           \
  hello.field = (value);        \
  try_hello (door, &hello, code)
  TRY (magic, MAGIC + 1, COMMY_ERROR_PROTOCOL);
  TRY (layout, 0, COMMY_ERROR_VERSION);
  TRY (layout_min, SHM_LAYOUT_VERSION + 1, COMMY_ERROR_VERSION);
  TRY (ring_size, 0, COMMY_ERROR_PROTOCOL);
  TRY (ring_size, 8192, COMMY_ERROR_PROTOCOL);
  TRY (ring_size, 16385, COMMY_ERROR_PROTOCOL);
  TRY (ring_size, 1ull << 40, COMMY_ERROR_PROTOCOL);
  TRY (ring_size, G_MAXUINT64, COMMY_ERROR_PROTOCOL);
  TRY (max_inline, 0, COMMY_ERROR_PROTOCOL);
  TRY (max_inline, 4089, COMMY_ERROR_PROTOCOL);
  TRY (max_inline, G_MAXUINT32, COMMY_ERROR_PROTOCOL);
  TRY (arena_max, G_MAXUINT64, COMMY_ERROR_PROTOCOL);
#undef TRY
}

static void
test_bad_memory (Door *door, gconstpointer data)
{
  int pipes[2];
  int fds[4];

  g_assert_cmpint (pipe2 (pipes, O_CLOEXEC), ==, 0);
  fds[0] = pipes[0];
  fds[1] = pipes[1];
  fds[2] = open ("/dev/zero", O_RDWR | O_CLOEXEC);
  fds[3] = memfd_create ("commy", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  g_assert_cmpint (ftruncate (fds[3], SHM_HEADER_BYTES + 16384), ==, 0);
  for (guint i = 0; i <= G_N_ELEMENTS (fds); i++)
    {
      int fd = knock (door);

      /* The last one comes without any. */
      send_bytes (fd, &good_hello, sizeof good_hello, i < G_N_ELEMENTS (fds) ? fds[i] : -1);
      expect_failure (door, fd, COMMY_ERROR_PROTOCOL);
    }
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    close (fds[i]);
}

/* Memory that is right in every way but does not begin with our header. */
static void
test_bad_header (Door *door, gconstpointer data)
{
  for (guint i = 0; i < 2; i++)
    {
      ShmSegment segment;
      int memory_fd = good_memory (&segment, SHM_HEADER_BYTES + 16384);
      int fd = knock (door);

      segment.data[i * 8] ^= 1;
      send_bytes (fd, &good_hello, sizeof good_hello, memory_fd);
      close (memory_fd);
      expect_failure (door, fd, COMMY_ERROR_PROTOCOL);
      shm_segment_clear (&segment);
    }
}

static void
send_fds (int socket_fd, gsize n)
{
  int fds[253];
  union
  {
    char bytes[CMSG_SPACE (sizeof fds)];
    struct cmsghdr align;
  } control = { { 0 } };
  struct iovec part = { .iov_base = (gpointer) &good_hello, .iov_len = sizeof good_hello };
  struct msghdr message = { .msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = control.bytes,
                            .msg_controllen = CMSG_SPACE (n * sizeof (int)) };
  struct cmsghdr *header = CMSG_FIRSTHDR (&message);
  int fd = open ("/dev/null", O_RDONLY | O_CLOEXEC);

  for (gsize i = 0; i < n; i++)
    fds[i] = fd;
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN (n * sizeof (int));
  memcpy (CMSG_DATA (header), fds, n * sizeof (int));
  g_assert_cmpint (sendmsg (socket_fd, &message, MSG_NOSIGNAL), ==, (gssize) part.iov_len);
  close (fd);
}

static void
test_many_fds (Door *door, gconstpointer data)
{
  const gsize counts[] = { 2, 3, 4, 5, 6, 64, 253 };

  for (guint i = 0; i < G_N_ELEMENTS (counts); i++)
    {
      int fd = knock (door);

      send_fds (fd, counts[i]);
      expect_failure (door, fd, COMMY_ERROR_PROTOCOL);
    }
}

/* Out of descriptors while one is under way: the kernel drops it and says so. */
static void
test_truncated_fds (Door *door, gconstpointer data)
{
  struct rlimit old;
  struct rlimit tight;
  ShmSegment segment;
  int memory_fd = good_memory (&segment, SHM_HEADER_BYTES + 16384);
  int fd = knock (door);

  while (door->host->pending->len == 0)
    shm_test_host_iterate (door->host);
  send_bytes (fd, &good_hello, sizeof good_hello, memory_fd);
  g_assert_cmpint (getrlimit (RLIMIT_NOFILE, &old), ==, 0);
  tight = old;
  tight.rlim_cur = 3;
  g_assert_cmpint (setrlimit (RLIMIT_NOFILE, &tight), ==, 0);
  while (door->host->n_failed == 0)
    shm_test_host_iterate (door->host);
  g_assert_cmpint (setrlimit (RLIMIT_NOFILE, &old), ==, 0);
  g_assert_error (door->host->last_error, g_quark_from_static_string ("commy-error-quark"),
                  COMMY_ERROR_PROTOCOL);
  close (memory_fd);
  close (fd);
  shm_segment_clear (&segment);
}

static void
test_wrong_proof (Door *door, gconstpointer data)
{
  ShmSegment segment;
  int memory_fd = good_memory (&segment, SHM_HEADER_BYTES + 16384);
  int fd = knock (door);
  const Proof proof = { .magic = MAGIC, .nonce = "guessed" };

  send_bytes (fd, &good_hello, sizeof good_hello, memory_fd);
  send_bytes (fd, &proof, sizeof proof, -1);
  close (memory_fd);
  expect_failure (door, fd, COMMY_ERROR_HANDSHAKE);
  shm_segment_clear (&segment);
}

static void
test_hang_up (Door *door, gconstpointer data)
{
  ShmSegment segment;
  int memory_fd = good_memory (&segment, SHM_HEADER_BYTES + 16384);
  int fd = knock (door);

  shutdown (fd, SHUT_RDWR);
  expect_failure (door, fd, COMMY_ERROR_HANDSHAKE);
  fd = knock (door);
  send_bytes (fd, &good_hello, sizeof good_hello, memory_fd);
  close (memory_fd);
  shutdown (fd, SHUT_WR);
  expect_failure (door, fd, COMMY_ERROR_HANDSHAKE);
  shm_segment_clear (&segment);
}

/* Those that never go on are closed with the listener, without a word. */
static void
test_half_open (Door *door, gconstpointer data)
{
  ShmSegment segment;
  int memory_fd = good_memory (&segment, SHM_HEADER_BYTES + 16384);
  int fds[20];
  char byte;

  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    {
      fds[i] = knock (door);
      if (i % 2)
        send_bytes (fds[i], &good_hello, sizeof good_hello, memory_fd);
    }
  while (door->host->pending->len < G_N_ELEMENTS (fds))
    shm_test_host_iterate (door->host);
  while (g_main_context_iteration (door->host->context, FALSE))
    continue;
  shm_test_host_unlisten (door->host);
  g_assert_cmpuint (door->host->n_failed, ==, 0);
  for (guint i = 0; i < G_N_ELEMENTS (fds); i++)
    {
      while (recv (fds[i], &byte, 1, 0) > 0)
        continue;
      close (fds[i]);
    }
  close (memory_fd);
  shm_segment_clear (&segment);
}

static void
test_refused_alloc (Door *door, gconstpointer data)
{
  g_autoptr (GError) error = NULL;

  door->host->refuse = TRUE;
  g_assert_null (shm_test_host_connect (door->host, shm_test_host_address (door->host), &error));
  g_assert_nonnull (error);
}

static void
must_not_call (gpointer user_data, gpointer connection, const GError *error)
{
  g_assert_not_reached ();
}

static void
test_close_during_connect (Door *door, gconstpointer data)
{
  for (guint rounds = 0; rounds < 6; rounds++)
    {
      const CommyTransportOps *ops = door->host->ops;
      CommyEndpoint endpoint
          = { .struct_size = sizeof endpoint, .address = shm_test_host_address (door->host) };
      gpointer connection = g_aligned_alloc0 (1, ops->connection_size, 64);

      ops->connect (door->host->instance, connection, &endpoint, must_not_call, NULL);
      for (guint i = 0; i < rounds / 3; i++)
        shm_test_host_iterate (door->host);
      shm_test_host_close (door->host, connection);
      while (g_main_context_iteration (door->host->context, FALSE))
        continue;
      while (door->host->pending->len > 0)
        shm_test_host_iterate (door->host);
    }
}

static gboolean
reachable (Door *door, const char *address, const char *host_id, char *reason)
{
  CommyEndpoint endpoint
      = { .struct_size = sizeof endpoint, .address = address, .host_id = host_id };

  return door->host->ops->reachable (door->host->instance, &endpoint, reason, 200);
}

static void
test_reachable (Door *door, gconstpointer data)
{
  char reason[200] = "";
  g_autofree char *link = g_build_filename (door->directory, "link", NULL);

  g_assert_true (reachable (door, shm_test_host_address (door->host), NULL, reason));
  g_assert_false (reachable (door, "/nowhere/at/all.sock", "this-host", reason));
  g_assert_nonnull (strstr (reason, "/nowhere/at/all.sock"));
  g_assert_false (reachable (door, "/nowhere/at/all.sock", "that-host", reason));
  g_assert_nonnull (strstr (reason, "another host"));
  g_assert_false (reachable (door, door->directory, NULL, reason));
  g_assert_nonnull (strstr (reason, "not a socket"));
  g_assert_false (reachable (door, "relative.sock", NULL, reason));
  g_assert_false (reachable (door, NULL, NULL, reason));
  g_assert_cmpint (symlink (shm_test_host_address (door->host), link), ==, 0);
  g_assert_false (reachable (door, link, NULL, reason));
}

static void
test_mode (Door *door, gconstpointer data)
{
  GStatBuf status;

  g_assert_cmpint (g_lstat (shm_test_host_address (door->host), &status), ==, 0);
  g_assert_cmpuint (status.st_mode & 07777, ==, 0600);
}

static gboolean
try_listen (ShmTestHost *host, GError **error)
{
  CommyAcceptor acceptor = { .struct_size = sizeof acceptor };
  gpointer listener = g_aligned_alloc0 (1, host->ops->listener_size, 64);
  gboolean listens = host->ops->listen (host->instance, listener, &acceptor, error);

  if (listens)
    host->ops->unlisten (host->instance, listener);
  g_aligned_free (listener);
  return listens;
}

/* A dead node's name is taken over; a living one's, and what is no socket, is not. */
static void
test_names (Door *door, gconstpointer data)
{
  ShmTestHost *host = shm_test_host_new (door->directory, NULL);
  g_autofree char *name = g_strdup_printf ("shm-%s.sock", host->node);
  g_autofree char *path = g_build_filename (door->directory, name, NULL);
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  g_autoptr (GError) error = NULL;
  int fd = socket (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

  g_strlcpy (address.sun_path, path, sizeof address.sun_path);
  g_assert_cmpint (bind (fd, (struct sockaddr *) &address, sizeof address), ==, 0);
  g_assert_cmpint (listen (fd, 1), ==, 0);
  g_assert_false (try_listen (host, &error));
  g_clear_error (&error);
  close (fd);
  g_assert_true (try_listen (host, &error));
  g_assert_false (g_file_test (path, G_FILE_TEST_EXISTS));
  g_assert_true (g_file_set_contents (path, "mine", -1, NULL));
  g_assert_false (try_listen (host, &error));
  g_clear_error (&error);
  g_unlink (path);
  g_assert_cmpint (symlink ("/dev/null", path), ==, 0);
  g_assert_false (try_listen (host, &error));
  g_unlink (path);
  shm_test_host_free (host);
}

static void
test_dead_name (Door *door, gconstpointer data)
{
  g_autofree char *path = g_build_filename (door->directory, "shm-dead.sock", NULL);
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  g_autoptr (GError) error = NULL;
  int fd = socket (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

  g_strlcpy (address.sun_path, path, sizeof address.sun_path);
  g_assert_cmpint (bind (fd, (struct sockaddr *) &address, sizeof address), ==, 0);
  close (fd);
  g_assert_null (shm_test_host_connect (door->host, path, &error));
  g_assert_error (error, g_quark_from_static_string ("commy-error-quark"), COMMY_ERROR_UNREACHABLE);
  g_assert_false (g_file_test (path, G_FILE_TEST_EXISTS));
}

static void
test_directories (void)
{
  char *directory = shm_test_directory_new ();
  g_autofree char *link = g_strconcat (directory, ".link", NULL);
  const mode_t bad[] = { 0777, 0770, 01777, 0720 };
  g_autoptr (GError) error = NULL;
  ShmTestHost *host;

  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_assert_cmpint (g_chmod (directory, bad[i]), ==, 0);
      host = shm_test_host_new (directory, NULL);
      g_assert_false (try_listen (host, &error));
      g_assert_nonnull (strstr (error->message, directory));
      g_clear_error (&error);
      shm_test_host_free (host);
    }
  g_assert_cmpint (g_chmod (directory, 0700), ==, 0);
  g_assert_cmpint (symlink (directory, link), ==, 0);
  host = shm_test_host_new (link, NULL);
  g_assert_false (try_listen (host, &error));
  shm_test_host_free (host);
  g_unlink (link);
  shm_test_directory_free (directory);
}

/* Longer than a socket address can hold. */
static void
test_long_path (void)
{
  char *directory = shm_test_directory_new ();
  g_autofree char *part = g_strnfill (200, 'd');
  g_autofree char *deep = g_build_filename (directory, part, NULL);
  g_autoptr (GError) error = NULL;
  ShmTestHost *host;
  gpointer client;

  g_assert_cmpint (g_mkdir (deep, 0700), ==, 0);
  host = shm_test_host_new (deep, NULL);
  shm_test_host_listen (host);
  client = shm_test_host_connect (host, shm_test_host_address (host), &error);
  g_assert_no_error (error);
  shm_test_host_close (host, shm_test_host_accept (host));
  shm_test_host_close (host, client);
  shm_test_host_free (host);
  g_assert_cmpint (g_rmdir (deep), ==, 0);
  shm_test_directory_free (directory);
}

/* A peer that is open and then turns: packets that make no sense end the connection. */
static void
test_hostile_after_open (Door *door, gconstpointer data)
{
  for (guint kind = 0; kind < 6; kind++)
    {
      ShmSegment segment;
      ShmSegment host_segment;
      int memory_fd = good_memory (&segment, SHM_HEADER_BYTES + 16384);
      int fd = knock (door);
      Hello hello;
      Proof proof = { .magic = MAGIC };
      gsize size;
      int host_fd;
      const char *why;
      gpointer connection;
      CommyMessage message;
      struct
      {
        guint32 kind, id;
        guint64 size;
      } notice = { 1, 0, kind == 0 ? 4096 : 1 << 30 };

      send_bytes (fd, &good_hello, sizeof good_hello, memory_fd);
      while (shm_packet_receive (fd, &hello, sizeof hello, &size, &host_fd) != SHM_PACKET_OK)
        shm_test_host_iterate (door->host);
      g_assert_true (
          shm_segment_map (&host_segment, host_fd, SHM_HEADER_BYTES + hello.ring_size, &why));
      close (host_fd);
      memcpy (proof.nonce, ((ShmHeader *) (gpointer) host_segment.data)->nonce, 16);
      send_bytes (fd, &proof, sizeof proof, -1);
      connection = shm_test_host_accept (door->host);
      if (kind <= 1)
        send_bytes (fd, &notice, sizeof notice, memory_fd);
      else if (kind == 2)
        send_bytes (fd, "w", 1, memory_fd);
      else if (kind == 3)
        send_bytes (fd, "nonsense", 8, -1);
      else if (kind == 4)
        send_fds (fd, 64);
      else
        {
          notice.kind = 2;
          send_bytes (fd, &notice, sizeof notice, -1);
        }
      close (memory_fd);
      g_assert_false (shm_test_receive (door->host, connection, &message));
      g_assert_nonnull (door->host->ops->why (connection));
      shm_test_host_close (door->host, connection);
      close (fd);
      shm_segment_clear (&segment);
      shm_segment_clear (&host_segment);
    }
}

/* The kernel's word on a peer of another user. */
static void
test_other_user (void)
{
  char *directory;
  ShmTestHost *host;
  gpointer connection;
  CommyEvidence evidence = { .struct_size = sizeof evidence };
  pid_t pid;

  if (geteuid () != 0)
    {
      g_test_skip ("only root can become somebody else");
      return;
    }
  directory = shm_test_directory_new ();
  host = shm_test_host_new (directory, NULL);
  shm_test_host_listen (host);
  g_assert_cmpint (g_chmod (directory, 0711), ==, 0);
  g_assert_cmpint (g_chmod (shm_test_host_address (host), 0666), ==, 0);
  pid = fork ();
  if (pid == 0)
    {
      ShmTestHost *other = shm_test_host_new (directory, NULL);
      gpointer client;
      CommyMessage message;

      if (setgid (65534) != 0 || setuid (65534) != 0)
        _exit (1);
      client = shm_test_host_connect (other, shm_test_host_address (host), NULL);
      if (client == NULL)
        _exit (2);
      shm_test_send (other, client, 100, 1);
      shm_test_receive (other, client, &message);
      _exit (0);
    }
  connection = shm_test_host_accept (host);
  host->ops->evidence (connection, &evidence);
  g_assert_cmpint (evidence.kind, ==, COMMY_EVIDENCE_KERNEL);
  g_assert_cmpuint (evidence.uid, ==, 65534);
  g_assert_cmpuint (evidence.gid, ==, 65534);
  g_assert_cmpint (evidence.pid, ==, pid);
  {
    CommyMessage message;
    int status;

    g_assert_true (shm_test_receive (host, connection, &message));
    g_assert_cmpuint (message.flags & COMMY_MESSAGE_STABLE, ==, 0);
    host->ops->release (connection, &message);
    shm_test_host_close (host, connection);
    g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
    g_assert_cmpint (status, ==, 0);
  }
  shm_test_host_free (host);
  shm_test_directory_free (directory);
}

#define DOOR(path, func) g_test_add (path, Door, NULL, door_open, func, door_close)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  DOOR ("/shm/door/garbage-is-refused", test_garbage);
  DOOR ("/shm/door/impossible-hello-is-refused", test_bad_hello);
  DOOR ("/shm/door/wrong-memory-is-refused", test_bad_memory);
  DOOR ("/shm/door/wrong-header-is-refused", test_bad_header);
  DOOR ("/shm/door/more-descriptors-are-refused-and-closed", test_many_fds);
  DOOR ("/shm/door/cut-off-descriptors-are-refused", test_truncated_fds);
  /* attack: guess the proof that joins socket and memory; defence: random, compared in full */
  DOOR ("/shm/door/guessed-proof-is-refused", test_wrong_proof);
  DOOR ("/shm/door/hang-up-is-noticed", test_hang_up);
  DOOR ("/shm/door/half-open-ones-go-with-the-listener", test_half_open);
  DOOR ("/shm/door/limit-drops-the-caller", test_refused_alloc);
  DOOR ("/shm/door/close-at-any-stage-of-connecting", test_close_during_connect);
  DOOR ("/shm/door/reachable-says-why-not", test_reachable);
  DOOR ("/shm/door/is-for-its-owner-only", test_mode);
  DOOR ("/shm/door/only-a-dead-name-is-taken-over", test_names);
  DOOR ("/shm/door/dead-name-is-removed-by-who-finds-it", test_dead_name);
  DOOR ("/shm/door/nonsense-after-opening-closes", test_hostile_after_open);
  /* attack: a symbolic link, or a folder of others, as the runtime directory; defence: only a
   * folder of one's own, opened without following links */
  g_test_add_func ("/shm/door/only-in-a-directory-of-our-own", test_directories);
  g_test_add_func ("/shm/door/path-longer-than-an-address", test_long_path);
  g_test_add_func ("/shm/door/other-user-is-named", test_other_user);
  return g_test_run ();
}
