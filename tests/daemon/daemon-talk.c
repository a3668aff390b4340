/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Speaking to a daemon of the tests by hand.
 */
#include "config.h"

#include "daemon-talk.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

void
address_of (TestDaemon *daemon, struct sockaddr_un *out_address)
{
  *out_address = (struct sockaddr_un){ .sun_family = AF_UNIX };
  g_assert_cmpuint (strlen (daemon->socket), <, sizeof out_address->sun_path);
  memcpy (out_address->sun_path, daemon->socket, strlen (daemon->socket));
}

int
knock (TestDaemon *daemon)
{
  int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_un address;

  address_of (daemon, &address);
  g_assert_cmpint (connect (fd, (const struct sockaddr *) &address, sizeof address), ==, 0);
  return fd;
}

gboolean
await_frame (StoreStream *stream, StoreWireHeader *out_header, const guint8 **out_payload)
{
  for (;;)
    {
      struct pollfd ready = { .fd = stream->fd, .events = POLLIN };
      g_autoptr (GError) error = NULL;
      int found = store_stream_next (stream, out_header, out_payload, &error);

      g_assert_no_error (error);
      if (found == 1)
        return TRUE;
      g_assert_cmpint (poll (&ready, 1, -1), ==, 1);
      if (!store_stream_fill (stream, NULL))
        return FALSE;
    }
}

void
greet (TestDaemon *daemon, StoreStream *stream)
{
  const StoreWireHello hello = { .version = STORE_WIRE_VERSION, .mesh = (char *) "test" };
  StoreWireHeader header;
  const guint8 *payload;

  store_stream_open (stream, knock (daemon), STORE_WIRE_MAX);
  g_assert_true (store_stream_send (stream, store_wire_write_hello (&hello), NULL));
  g_assert_true (await_frame (stream, &header, &payload));
  g_assert_cmpuint (header.type, ==, STORE_WIRE_WELCOME);
}

void
reload (TestDaemon *daemon, const char *text)
{
  test_daemon_write_keyfile (daemon, text);
  kill (daemon->pid, SIGHUP);
  test_daemon_await (daemon, "RELOADING=1");
  test_daemon_await (daemon, "READY=1");
}
