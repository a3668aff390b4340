/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The protocols of service managers: see the header.
 */
#include "config.h"

#include "daemon/commyd-systemd.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define FIRST_SOCKET 3
#define MOST_SOCKETS 64u

/* The number in a variable; 0: none, or no number. */
static guint64
read_number (const char *name)
{
  const char *text = g_getenv (name);
  guint64 number = 0;

  if (text == NULL || !g_ascii_string_to_unsigned (text, 10, 0, G_MAXINT64, &number, NULL))
    return 0;
  return number;
}

static gboolean
is_for_us (const char *name)
{
  return read_number (name) == (guint64) getpid ();
}

guint
commyd_systemd_take_sockets (void)
{
  guint64 n = is_for_us ("LISTEN_PID") ? read_number ("LISTEN_FDS") : 0;

  g_unsetenv ("LISTEN_PID");
  g_unsetenv ("LISTEN_FDS");
  g_unsetenv ("LISTEN_FDNAMES");
  if (n > MOST_SOCKETS)
    return 0;
  for (guint i = 0; i < n; i++)
    if (fcntl (FIRST_SOCKET + (int) i, F_SETFD, FD_CLOEXEC) < 0)
      return 0;
  return (guint) n;
}

guint64
commyd_systemd_watchdog_us (void)
{
  if (g_getenv ("WATCHDOG_PID") != NULL && !is_for_us ("WATCHDOG_PID"))
    return 0;
  return read_number ("WATCHDOG_USEC");
}

void
commyd_systemd_notify (const char *lines)
{
  const char *path = g_getenv ("NOTIFY_SOCKET");
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  gsize length = path != NULL ? strlen (path) : 0;
  int fd;

  if (length == 0 || length >= sizeof address.sun_path || (path[0] != '/' && path[0] != '@'))
    return;
  memcpy (address.sun_path, path, length);
  if (path[0] == '@')
    address.sun_path[0] = '\0'; /* a name without a file */
  fd = socket (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return;
  if (sendto (fd, lines, strlen (lines), MSG_NOSIGNAL, (const struct sockaddr *) &address,
              (socklen_t) (offsetof (struct sockaddr_un, sun_path) + length))
      < 0)
    g_warning ("the service manager does not hear: %s", g_strerror (errno));
  close (fd);
}
