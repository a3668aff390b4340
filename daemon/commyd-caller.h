/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One connection at a door: frames that come and are handed on as records, and the frames that go
 * back. Reading stops while something of it is asked, or too much of it waits, so that who does not
 * read its answers is not asked for more.
 */
#pragma once

#include "daemon/commyd-door.h"

#include "stores/common/commy-store-stream.h"

struct _CommydCaller
{
  CommydDoor *door;
  guint64 connection;
  StoreStream stream;
  grefcount refs;
  guint64
      may_read_at; /* records that the door has sent: what says that it has the connection is one */
  gboolean is_greeted;
  gboolean is_asking; /* and the answer has not come */
  gboolean is_closed;
  gboolean is_dropping; /* the answer that is coming */
  guint64 waiting;      /* what was counted */
  GHashTable *watches;  /* guint64 to whether it is being cut */
  guint in_source;
  guint out_source;
  guint go_on; /* an idle source: frames lie here that may be looked at */
};

/* Takes @fd over; enters itself with the door. */
void commyd_caller_open (CommydDoor *door, guint64 connection, int fd);
void commyd_caller_unref (gpointer caller);
/* Ends it and tells the keeper. @why: what it did that cannot be, which it is told; NULL: nothing.
 */
void commyd_caller_close (CommydCaller *self, const GError *why);
/* Takes an answer, an event or the end of a watch, or a piece of one. */
void commyd_caller_take (CommydCaller *self, const CommydInner *record);
/* Looks on at what came, when what it waited for has ended. */
void commyd_caller_go_on (CommydCaller *self);

/* Hands a frame on (commyd-caller-request.c). FALSE: it breaks the rules. */
gboolean commyd_caller_handle (CommydCaller *self,
                               const StoreWireHeader *header,
                               const guint8 *payload,
                               GError **error);
void commyd_caller_send (CommydCaller *self, GByteArray *frame);
