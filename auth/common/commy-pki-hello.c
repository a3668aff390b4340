/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether a client has said its first word of TLS: seen from outside, without reading it, so that
 * one that says nothing, or a byte at a time, costs nobody anything.
 */
#include "config.h"

#include "auth/common/commy-pki.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define RECORD_HEAD 5
#define RECORD_HANDSHAKE 22
#define RECORD_MAX (16 * 1024)

/* How many bytes there have to be until the first record is whole; 0: it is, or never will be. */
static gsize
first_record_lacks (int fd)
{
  guint8 head[RECORD_HEAD];
  ssize_t got = recv (fd, head, sizeof head, MSG_PEEK | MSG_DONTWAIT);
  gsize need = sizeof head;
  int unread = 0;

  if (got == 0 || (got < 0 && errno != EAGAIN))
    return 0;
  if (got == sizeof head && head[0] != RECORD_HANDSHAKE)
    return 0;
  if (got == sizeof head)
    need += MIN ((gsize) (head[3] << 8 | head[4]), RECORD_MAX);
  return ioctl (fd, FIONREAD, &unread) == 0 && (gsize) unread < need ? need : 0;
}

gboolean
commy_pki_hello_is_there (int fd)
{
  return first_record_lacks (fd) == 0;
}

gboolean
commy_pki_hello_await (int fd, gsize *awaited)
{
  gsize lacks = first_record_lacks (fd);
  gboolean goes_on = lacks > *awaited; /* else it was woken because nothing more comes */
  int low_water = goes_on ? (int) lacks : 1;

  if (goes_on || *awaited > 0)
    (void) setsockopt (fd, SOL_SOCKET, SO_RCVLOWAT, &low_water, sizeof low_water);
  *awaited = lacks;
  return goes_on;
}
