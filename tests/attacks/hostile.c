/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The hostile peer: knows how set-up goes and what memory looks like, and keeps no rule.
 */
#include "config.h"

#include "attack.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAGIC G_GUINT64_CONSTANT (0x31304d4853594d43)
#define NONCE_BYTES 16

/* As the handshake has it, written down again on purpose: both ends must not change at once. */
typedef struct
{
  guint64 magic;
  guint8 nonce[NONCE_BYTES];
} Proof;

const HostileHello hostile_hello = { .magic = MAGIC,
                                     .layout = SHM_LAYOUT_VERSION,
                                     .layout_min = SHM_LAYOUT_VERSION,
                                     .ring_size = HOSTILE_RING,
                                     .arena_max = HOSTILE_ARENA,
                                     .max_inline = HOSTILE_INLINE };

/* --- the process --- */

Hostile
hostile_start (HostilePlay play, gconstpointer data)
{
  Hostile hostile = { .control = -1 };
  int lines[2];

  g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, lines), ==, 0);
  hostile.pid = fork ();
  g_assert_cmpint (hostile.pid, >=, 0);
  if (hostile.pid == 0)
    {
      close (lines[0]);
      prctl (PR_SET_PDEATHSIG, SIGKILL);
      signal (SIGPIPE, SIG_IGN);
      g_unsetenv ("COMMY_WITHOUT_DEFENCE");
      play (lines[1], data);
      _exit (0);
    }
  close (lines[1]);
  hostile.control = lines[0];
  return hostile;
}

void
hostile_end (Hostile *hostile)
{
  kill (hostile->pid, SIGKILL);
  waitpid (hostile->pid, NULL, 0);
  close (hostile->control);
}

void
hostile_say (int control, char word)
{
  if (send (control, &word, 1, MSG_NOSIGNAL) != 1)
    _exit (EXIT_FAILURE);
}

char
hostile_hear (int control)
{
  char word;

  if (recv (control, &word, 1, 0) != 1)
    _exit (EXIT_FAILURE);
  return word;
}

void
hostile_become (uid_t user)
{
  if (geteuid () != 0)
    return;
  g_assert_cmpint (setresgid (user, user, user), ==, 0);
  g_assert_cmpint (setresuid (user, user, user), ==, 0);
  prctl (PR_SET_PDEATHSIG, SIGKILL); /* the change took it away */
}

/* --- memory --- */

void
hostile_fill_header (guint8 *data)
{
  ShmHeader *header = (ShmHeader *) (gpointer) data;

  header->magic = MAGIC;
  header->layout = SHM_LAYOUT_VERSION;
  memset (header->nonce, 7, NONCE_BYTES);
}

int
hostile_memory (gboolean full, int seals, guint8 **out_data)
{
  int fd = memfd_create ("hostile", MFD_CLOEXEC | MFD_ALLOW_SEALING);

  g_assert_cmpint (ftruncate (fd, HOSTILE_BYTES), ==, 0);
  if (full)
    g_assert_cmpint (posix_fallocate (fd, 0, HOSTILE_BYTES), ==, 0);
  *out_data = mmap (NULL, HOSTILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  g_assert_true (*out_data != MAP_FAILED);
  if (full)
    hostile_fill_header (*out_data);
  if (seals != 0)
    g_assert_cmpint (fcntl (fd, F_ADD_SEALS, seals), ==, 0);
  return fd;
}

/* --- set-up --- */

int
hostile_knock (const char *address)
{
  struct sockaddr_un name = { .sun_family = AF_UNIX };
  int fd = socket (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

  g_strlcpy (name.sun_path, address, sizeof name.sun_path);
  g_assert_cmpint (connect (fd, (struct sockaddr *) &name, sizeof name), ==, 0);
  return fd;
}

void
hostile_send_fds (int socket_fd, gconstpointer data, gsize size, const int *fds, guint n)
{
  union
  {
    char bytes[CMSG_SPACE (253 * sizeof (int))];
    struct cmsghdr align;
  } control = { { 0 } };
  struct iovec part = { .iov_base = (gpointer) data, .iov_len = size };
  struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };

  if (n > 0)
    {
      struct cmsghdr *header;

      message.msg_control = control.bytes;
      message.msg_controllen = CMSG_SPACE (n * sizeof (int));
      header = CMSG_FIRSTHDR (&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN (n * sizeof (int));
      memcpy (CMSG_DATA (header), fds, n * sizeof (int));
    }
  /* Whether it arrives is the victim's business. */
  if (sendmsg (socket_fd, &message, MSG_NOSIGNAL) < 0)
    return;
}

static int
take_hello (int socket_fd)
{
  HostileHello hello;
  union
  {
    char bytes[CMSG_SPACE (sizeof (int))];
    struct cmsghdr align;
  } control;
  struct iovec part = { .iov_base = &hello, .iov_len = sizeof hello };
  struct msghdr message = { .msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = control.bytes,
                            .msg_controllen = sizeof control.bytes };
  struct cmsghdr *header;
  int fd = -1;

  if (recvmsg (socket_fd, &message, MSG_CMSG_CLOEXEC) != sizeof hello)
    return -1;
  header = CMSG_FIRSTHDR (&message);
  if (header != NULL)
    memcpy (&fd, CMSG_DATA (header), sizeof fd);
  return fd;
}

/* Reads the nonce through a read, which works on whatever it was that came. */
static gboolean
prove (HostilePeer *self)
{
  Proof proof = { .magic = MAGIC };

  memcpy (proof.nonce, ((const ShmHeader *) (gconstpointer) self->theirs)->nonce, NONCE_BYTES);
  if (send (self->socket_fd, &proof, sizeof proof, MSG_NOSIGNAL) != sizeof proof)
    return FALSE;
  return recv (self->socket_fd, &proof, sizeof proof, 0) == sizeof proof;
}

gboolean
hostile_connect (HostilePeer *self, const char *address, int own_fd, guint8 *own)
{
  *self = (HostilePeer){ .own_fd = own_fd, .own = own };
  self->socket_fd = hostile_knock (address);
  hostile_send_fds (self->socket_fd, &hostile_hello, sizeof hostile_hello, &own_fd, 1);
  self->their_fd = take_hello (self->socket_fd);
  if (self->their_fd >= 0)
    {
      self->theirs = mmap (NULL, HOSTILE_BYTES, PROT_READ, MAP_SHARED, self->their_fd, 0);
      g_assert_true (self->theirs != MAP_FAILED);
    }
  if (self->theirs == NULL || !prove (self))
    {
      hostile_disconnect (self);
      return FALSE;
    }
  if (own != NULL)
    shm_producer_init (&self->tx, (ShmHeader *) (gpointer) own, own + SHM_HEADER_BYTES,
                       HOSTILE_RING, HOSTILE_INLINE,
                       (const ShmHeader *) (gconstpointer) self->theirs);
  return TRUE;
}

void
hostile_connect_well (HostilePeer *self, const char *address)
{
  guint8 *own;
  int fd = hostile_memory (TRUE, HOSTILE_SEALS, &own);

  g_assert_true (hostile_connect (self, address, fd, own));
}

void
hostile_disconnect (HostilePeer *self)
{
  if (self->theirs != NULL)
    munmap ((gpointer) self->theirs, HOSTILE_BYTES);
  if (self->their_fd >= 0)
    close (self->their_fd);
  close (self->socket_fd);
  self->theirs = NULL;
}

/* --- the victim's side --- */

void
victim_open (Victim *victim)
{
  victim_open_with (victim, NULL);
}

void
victim_open_with (Victim *victim, const char *params)
{
  victim->directory = shm_test_directory_new ();
  victim->host = shm_test_host_new (victim->directory, params);
  shm_test_host_listen (victim->host);
  /* What the file system would refuse by itself is granted, so that the rest has to. */
  g_assert_cmpint (g_chmod (victim->directory, 0711), ==, 0);
  g_assert_cmpint (g_chmod (shm_test_host_address (victim->host), 0666), ==, 0);
}

void
victim_close (Victim *victim)
{
  shm_test_host_free (victim->host);
  shm_test_directory_free (victim->directory);
}

gpointer
victim_let_in (Victim *victim)
{
  guint failed = victim->host->n_failed;

  while (victim->host->accepted->len == 0 && victim->host->n_failed == failed)
    shm_test_host_iterate (victim->host);
  if (victim->host->accepted->len == 0)
    return NULL;
  return g_ptr_array_steal_index (victim->host->accepted, 0);
}
