/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * To the door and through it: see the header.
 */
#include "config.h"

#include "commy-store-door.h"

#include "commy-store-stream.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define NOTHING "commyd-status/" /* no key begins so */

int
store_door_connect (const char *path, GError **error)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  int fd;

  if (strlen (path) >= sizeof address.sun_path)
    {
      store_wire_set_error (error, COMMY_ERROR_STATE_DIR,
                            "the name of a socket has room for %d bytes, %s is longer: set the "
                            "parameter socket",
                            (int) sizeof address.sun_path - 1, path);
      return -1;
    }
  memcpy (address.sun_path, path, strlen (path));
  fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd >= 0 && connect (fd, (const struct sockaddr *) &address, sizeof address) == 0)
    return fd;
  store_wire_set_error (error, COMMY_ERROR_STORE,
                        "no commyd listens at %s: %s; start it (systemctl start commyd.socket, or "
                        "commyd for yourself alone)",
                        path, g_strerror (errno));
  if (fd >= 0)
    close (fd);
  return -1;
}

gboolean
store_door_check (int fd, const char *path, GError **error)
{
  g_autofree char *directory = g_path_get_dirname (path);
  struct ucred peer = { 0 };
  socklen_t size = sizeof peer;
  struct stat folder;

  if (getsockopt (fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || stat (directory, &folder) < 0)
    {
      store_wire_set_error (error, COMMY_ERROR_STORE, "who listens at %s is not known: %s", path,
                            g_strerror (errno));
      return FALSE;
    }
  if ((folder.st_mode & 022) == 0
      && (peer.uid == 0 || peer.uid == geteuid () || peer.uid == folder.st_uid)
      && (folder.st_uid == 0 || folder.st_uid == geteuid () || folder.st_uid == peer.uid))
    return TRUE;
  store_wire_set_error (
      error, COMMY_ERROR_REFUSED,
      "who listens at %s (user %u) cannot be trusted: the folder is user %u's, mode "
      "%04o; it must be writable for its owner alone, and the daemon's",
      path, (unsigned) peer.uid, (unsigned) folder.st_uid, (unsigned) (folder.st_mode & 07777));
  return FALSE;
}

/* --- asking --- */

/* The next frame, of which there is one at a time. */
static gboolean
await (StoreStream *stream,
       gint64 until_us,
       StoreWireHeader *out_header,
       const guint8 **out_payload,
       GError **error)
{
  for (;;)
    {
      int found = store_stream_next (stream, out_header, out_payload, error);
      gint64 left_us = until_us - g_get_monotonic_time ();
      struct pollfd ready = { .fd = stream->fd, .events = POLLIN };
      int n;

      if (found != 0)
        return found > 0;
      n = left_us > 0 ? poll (&ready, 1, (int) MIN (left_us / 1000 + 1, G_MAXINT)) : 0;
      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        {
          store_wire_set_error (error, COMMY_ERROR_DEADLINE, "the daemon does not answer");
          return FALSE;
        }
      if (!store_stream_fill (stream, error))
        return FALSE;
    }
}

/* An answer of the kind that was asked for. */
static gboolean
expect (StoreStream *stream,
        gint64 until_us,
        StoreWireType type,
        StoreWireHeader *out_header,
        const guint8 **out_payload,
        GError **error)
{
  if (!await (stream, until_us, out_header, out_payload, error))
    return FALSE;
  if (out_header->type == type)
    return TRUE;
  if (out_header->type == STORE_WIRE_REFUSED || out_header->type == STORE_WIRE_ERROR)
    g_propagate_error (error, store_wire_read_error (*out_payload, out_header->size));
  else
    store_wire_set_error (error, COMMY_ERROR_PROTOCOL,
                          "the daemon says something else than it was asked");
  return FALSE;
}

static GVariant *
ask_report (StoreStream *stream, const char *mesh, gint64 until_us, GError **error)
{
  const StoreWireHello hello = { .version = STORE_WIRE_VERSION, .mesh = (char *) mesh };
  StoreWireHeader header;
  const guint8 *payload;
  g_autofree char *text = NULL;

  if (!store_stream_send (stream, store_wire_write_hello (&hello), error)
      || !store_stream_send (stream, store_wire_write_empty (STORE_WIRE_STATUS, 1), error)
      || !expect (stream, until_us, STORE_WIRE_WELCOME, &header, &payload, error)
      || !expect (stream, until_us, STORE_WIRE_REPORT, &header, &payload, error))
    return NULL;
  text = store_wire_read_report (payload, header.size, error);
  return text != NULL ? g_variant_parse (G_VARIANT_TYPE_VARDICT, text, NULL, NULL, error) : NULL;
}

static void
try_store (StoreStream *stream, gint64 until_us, GError **error)
{
  StoreWireHeader header;
  const guint8 *payload;

  if (store_stream_send (stream, store_wire_write_prefix (STORE_WIRE_RANGE, 2, NOTHING, 0), error))
    expect (stream, until_us, STORE_WIRE_RESULT, &header, &payload, error);
}

GVariant *
store_door_ask (
    int fd, const char *mesh, gint64 patience_us, GError **out_store_error, GError **error)
{
  const gint64 until_us = g_get_monotonic_time () + patience_us;
  StoreStream stream = { .fd = -1 };
  GVariant *report;

  store_stream_open (&stream, fd, STORE_WIRE_MAX);
  report = ask_report (&stream, mesh, until_us, error);
  if (report != NULL && out_store_error != NULL)
    try_store (&stream, until_us, out_store_error);
  store_stream_close (&stream);
  return report;
}
