/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Packets over the door's socket. A sender can attach descriptors to anything; whatever comes in
 * numbers or kinds that are not expected is closed at once and reported as a fault.
 */
#include "config.h"

#include "commy-packet.h"

#include "plugins/common/commy-defence.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

/* Room for more than one descriptor, so that a second one is seen and not only cut off. */
#define MAX_FDS 4

typedef union
{
  char bytes[CMSG_SPACE (MAX_FDS * sizeof (int))];
  struct cmsghdr align;
} Control;

ShmPacket
shm_packet_send (int socket_fd, const void *data, size_t size, int fd)
{
  Control control = { { 0 } };
  struct iovec part = { .iov_base = (void *) data, .iov_len = size };
  struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
  ssize_t n;

  if (fd >= 0)
    {
      struct cmsghdr *header;

      message.msg_control = control.bytes;
      message.msg_controllen = CMSG_SPACE (sizeof fd);
      header = CMSG_FIRSTHDR (&message);
      header->cmsg_level = SOL_SOCKET;
      header->cmsg_type = SCM_RIGHTS;
      header->cmsg_len = CMSG_LEN (sizeof fd);
      memcpy (CMSG_DATA (header), &fd, sizeof fd);
    }
  do
    n = sendmsg (socket_fd, &message,
                 COMMY_DEFENCE (11, true) ? MSG_DONTWAIT | MSG_NOSIGNAL : MSG_NOSIGNAL);
  while (n < 0 && errno == EINTR);
  if (n == (ssize_t) size)
    return SHM_PACKET_OK;
  if (n < 0 && (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN))
    return SHM_PACKET_END;
  /* ETOOMANYREFS: too many descriptors under way; they arrive and the number falls. */
  if (n < 0 && (errno == EAGAIN || errno == ENOBUFS || errno == ETOOMANYREFS))
    return SHM_PACKET_LATER;
  return SHM_PACKET_FAULT;
}

/* The last close of a socket waits for its unsent bytes if its owner asked for that, and its owner
 * was a stranger. */
void
shm_packet_discard (int fd)
{
  const struct linger at_once = { 0 };

  if (fd < 0)
    return;
  if (COMMY_DEFENCE (12, true))
    setsockopt (fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  close (fd);
}

void
shm_packet_refuse_fds (int socket_fd)
{
  const int none = 0;

  setsockopt (socket_fd, SOL_SOCKET, SO_PASSRIGHTS, &none, sizeof none);
}

/* Collects the descriptors of a message; -1 if there is anything else in it. */
static int
collect_fds (struct msghdr *message, int *fds)
{
  int n_fds = 0;
  bool strange = false;

  for (struct cmsghdr *header = CMSG_FIRSTHDR (message); header != NULL;
       header = CMSG_NXTHDR (message, header))
    {
      size_t n = (header->cmsg_len - CMSG_LEN (0)) / sizeof (int);

      if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
        {
          strange = true;
          continue;
        }
      for (size_t i = 0; i < n && n_fds < MAX_FDS; i++)
        memcpy (&fds[n_fds++], CMSG_DATA (header) + i * sizeof (int), sizeof (int));
    }
  if (!strange && n_fds <= 1 && (message->msg_flags & (MSG_CTRUNC | MSG_TRUNC)) == 0)
    return n_fds;
  for (int i = 0; COMMY_DEFENCE (12, i < n_fds); i++)
    shm_packet_discard (fds[i]);
  return -1;
}

ShmPacket
shm_packet_receive (int socket_fd, void *data, size_t room, size_t *out_size, int *out_fd)
{
  Control control;
  struct iovec part = { .iov_base = data, .iov_len = room };
  struct msghdr message = { .msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = control.bytes,
                            .msg_controllen = sizeof control.bytes };
  const int flags = MSG_DONTWAIT | (COMMY_DEFENCE (15, true) ? MSG_CMSG_CLOEXEC : 0);
  int fds[MAX_FDS];
  int n_fds;
  ssize_t n;

  do
    n = recvmsg (socket_fd, &message, flags);
  while (n < 0 && errno == EINTR);
  /* A peer that closes with unread packets resets once; what it sent is still behind that. */
  if (n < 0 && errno == ECONNRESET)
    n = recvmsg (socket_fd, &message, flags);
  if (n < 0)
    return errno == EAGAIN ? SHM_PACKET_LATER : SHM_PACKET_END;
  n_fds = collect_fds (&message, fds);
  if (n_fds < 0)
    return SHM_PACKET_FAULT;
  if (n == 0 && n_fds == 0)
    return SHM_PACKET_END;
  *out_size = (size_t) n;
  *out_fd = n_fds == 1 ? fds[0] : -1;
  return SHM_PACKET_OK;
}
