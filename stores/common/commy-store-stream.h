/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A socket over which frames of commyd go both ways, without blocking: what arrived in pieces,
 * and what the socket had no room for yet. Who waits for the socket is the caller's business, and
 * so are limits of what may lie here.
 */
#pragma once

#include "commy-store-wire.h"

typedef struct
{
  int fd; /* owned; -1: closed */
  gsize max_payload;
  GByteArray *in;
  gsize in_at; /* what is before it was handed out */
  GQueue out;  /* of GByteArray */
  gsize out_at;
  gsize out_bytes; /* not sent yet */
} StoreStream;

void store_stream_open (StoreStream *self, int fd, gsize max_payload);
void store_stream_close (StoreStream *self);

/* Reads what is there, up to a quarter of a megabyte. FALSE with @error when nothing will come any
 * more: at the end of the stream, too. */
gboolean store_stream_fill (StoreStream *self, GError **error);
/* The next whole frame: 1; none yet: 0; -1 with @error: these are no frames. The payload is valid
 * until the next call of this module. */
int store_stream_next (StoreStream *self,
                       StoreWireHeader *out_header,
                       const guint8 **out_payload,
                       GError **error);
/* Gives memory back that was needed for what has been handed out: what is kept is a few times what
 * is pending. */
void store_stream_tidy (StoreStream *self);
/* Bytes that were read and not handed out. */
gsize store_stream_pending (const StoreStream *self);

/* Takes the frame over, and sends as much as goes. FALSE with @error: the other side is gone. */
gboolean store_stream_send (StoreStream *self, GByteArray *frame, GError **error);
gboolean store_stream_flush (StoreStream *self, GError **error);
