/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Bytes and descriptors over a stream socket. The kernel ties descriptors to the bytes of one
 * sendmsg: they arrive together with the first of them, and one recvmsg gives those of one
 * sendmsg only. Nothing blocks or raises a signal, and no descriptor survives unexpectedly.
 */
#include "config.h"

#include "plugins/unix/commy-unix.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

typedef union
{
  char bytes[CMSG_SPACE (UNIX_HANDLES_MAX * sizeof (int))];
  struct cmsghdr align;
} Control;

UnixBundle *
unix_bundle_new (const int *fds, guint n)
{
  UnixBundle *bundle = g_malloc (sizeof *bundle + n * sizeof *fds);

  *bundle = (UnixBundle){ .n = n };
  memcpy (bundle->fds, fds, n * sizeof *fds);
  return bundle;
}

void
unix_bundle_free (gpointer data)
{
  UnixBundle *bundle = data;

  if (bundle == NULL)
    return;
  for (guint i = bundle->n_taken; i < bundle->n; i++)
    close (bundle->fds[i]);
  g_free (bundle);
}

ssize_t
unix_socket_send (int fd, const struct iovec *parts, guint n_parts, const UnixBundle *bundle)
{
  struct msghdr message = { .msg_iov = (struct iovec *) parts, .msg_iovlen = n_parts };
  Control control;
  ssize_t sent;

  if (bundle != NULL)
    {
      gsize size = bundle->n * sizeof (int);
      struct cmsghdr *header;

      memset (&control, 0, CMSG_SPACE (size));
      message.msg_control = control.bytes;
      message.msg_controllen = CMSG_SPACE (size);
      header = CMSG_FIRSTHDR (&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN (size);
      memcpy (CMSG_DATA (header), bundle->fds, size);
    }
  do
    if (bundle == NULL && n_parts == 1) /* the kernel has less to read */
      sent = send (fd, parts->iov_base, parts->iov_len, MSG_DONTWAIT | MSG_NOSIGNAL);
    else
      sent = sendmsg (fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  return sent;
}

/* The descriptors of a message, in order. FALSE if there is anything else in it. */
static gboolean
collect (struct msghdr *message, int *fds, guint *out_n)
{
  gboolean clean = (message->msg_flags & MSG_CTRUNC) == 0;

  *out_n = 0;
  for (struct cmsghdr *header = CMSG_FIRSTHDR (message); header != NULL;
       header = CMSG_NXTHDR (message, header))
    {
      gsize n = (header->cmsg_len - CMSG_LEN (0)) / sizeof (int);

      if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
        {
          clean = FALSE;
          continue;
        }
      for (gsize i = 0; i < n && *out_n < UNIX_HANDLES_MAX; i++)
        memcpy (&fds[(*out_n)++], CMSG_DATA (header) + i * sizeof (int), sizeof (int));
    }
  return clean;
}

ssize_t
unix_socket_receive (int fd, void *data, gsize room, UnixBundle **out_bundle)
{
  Control control;
  struct iovec part = { .iov_base = data, .iov_len = room };
  struct msghdr message = { .msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = control.bytes,
                            .msg_controllen = sizeof control.bytes };
  int fds[UNIX_HANDLES_MAX];
  gboolean clean;
  guint n_fds;
  ssize_t got;

  *out_bundle = NULL;
  do
    got = recvmsg (fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  while (got < 0 && errno == EINTR);
  if (got < 0)
    return got;
  clean = collect (&message, fds, &n_fds);
  if (n_fds > 0)
    *out_bundle = unix_bundle_new (fds, n_fds);
  if (clean)
    return got;
  unix_bundle_free (g_steal_pointer (out_bundle));
  errno = EBADMSG;
  return -1;
}
