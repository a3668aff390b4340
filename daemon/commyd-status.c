/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Asking a running daemon: see the header. It waits as long as a person would.
 */
#include "config.h"

#include "daemon/commyd-status.h"

#include "daemon/commyd-socket.h"
#include "stores/common/commy-store-stream.h"

#include "base/commy-error-private.h"
#include "base/commy-json.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#define EXIT_NOT_RUNNING 3
#define PATIENCE_MS 5000

/* The next frame, of which there is one at a time. */
static gboolean
await (StoreStream *stream, StoreWireHeader *out_header, const guint8 **out_payload, GError **error)
{
  for (;;)
    {
      int found = store_stream_next (stream, out_header, out_payload, error);
      struct pollfd ready = { .fd = stream->fd, .events = POLLIN };
      int n;

      if (found != 0)
        return found > 0;
      n = poll (&ready, 1, PATIENCE_MS);
      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        {
          commy_set_error (error, COMMY_ERROR_DEADLINE, "the daemon does not answer");
          return FALSE;
        }
      if (!store_stream_fill (stream, error))
        return FALSE;
    }
}

/* An answer of the kind that was asked for. */
static gboolean
expect (StoreStream *stream,
        StoreWireType type,
        StoreWireHeader *out_header,
        const guint8 **out_payload,
        GError **error)
{
  if (!await (stream, out_header, out_payload, error))
    return FALSE;
  if (out_header->type == type)
    return TRUE;
  if (out_header->type == STORE_WIRE_REFUSED || out_header->type == STORE_WIRE_ERROR)
    g_propagate_error (error, store_wire_read_error (*out_payload, out_header->size));
  else
    commy_set_error (error, COMMY_ERROR_PROTOCOL,
                     "the daemon says something else than it was asked");
  return FALSE;
}

static GVariant *
ask (StoreStream *stream, GError **error)
{
  const StoreWireHello hello = { .version = STORE_WIRE_VERSION, .mesh = (char *) "" };
  StoreWireHeader header;
  const guint8 *payload;
  g_autofree char *text = NULL;

  if (!store_stream_send (stream, store_wire_write_hello (&hello), error)
      || !store_stream_send (stream, store_wire_write_empty (STORE_WIRE_STATUS, 1), error)
      || !expect (stream, STORE_WIRE_WELCOME, &header, &payload, error)
      || !expect (stream, STORE_WIRE_REPORT, &header, &payload, error))
    return NULL;
  text = store_wire_read_report (payload, header.size, error);
  return text != NULL ? g_variant_parse (G_VARIANT_TYPE_VARDICT, text, NULL, NULL, error) : NULL;
}

static void
print_lines (GVariant *report)
{
  GVariantIter iter;
  const char *name;
  GVariant *value;

  g_variant_iter_init (&iter, report);
  while (g_variant_iter_loop (&iter, "{&sv}", &name, &value))
    {
      gboolean is_time
          = g_str_equal (name, "since") && g_variant_is_of_type (value, G_VARIANT_TYPE_INT64);
      g_autoptr (GDateTime) since
          = is_time ? g_date_time_new_from_unix_local (g_variant_get_int64 (value)) : NULL;
      g_autofree char *text = since != NULL ? g_date_time_format (since, "%F %T")
                              : g_variant_is_of_type (value, G_VARIANT_TYPE_STRING)
                                  ? g_variant_dup_string (value, NULL)
                                  : g_variant_print (value, FALSE);

      g_print ("%-12s %s\n", name, text);
    }
}

int
commyd_status_show (const char *socket, gboolean as_json)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) report = NULL;
  StoreStream stream = { .fd = -1 };
  int fd = commyd_socket_connect (socket, &error);

  if (fd >= 0)
    {
      store_stream_open (&stream, fd, STORE_WIRE_MAX);
      report = ask (&stream, &error);
      store_stream_close (&stream);
    }
  if (report == NULL)
    {
      g_printerr ("commyd: %s\n", error->message);
      return EXIT_NOT_RUNNING;
    }
  if (as_json)
    {
      g_autofree char *json = commy_json_print (report, 2);

      g_print ("%s\n", json);
    }
  else
    print_lines (report);
  return EXIT_SUCCESS;
}
