/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of the Unix socket transport share. Downwards: the plugin opens connections,
 * the handshake greets, send and receive carry messages, the socket moves bytes and descriptors.
 */
#pragma once

#include "plugins/common/commy-door-keeper.h"
#include "plugins/common/commy-inbox.h"
#include "plugins/common/commy-linger.h"

#include <commy/commy-plugin.h>

#include <sys/uio.h>

#define UNIX_HANDLES_MAX 253 /* of one message: the kernel's SCM_MAX_FD */

typedef struct _UnixInstance UnixInstance;
typedef struct _UnixListener UnixListener;
typedef struct _UnixConnection UnixConnection;

/* --- socket (commy-unix-socket.c) --- */

/* Descriptors that travel, or have travelled, with one message. */
typedef struct
{
  guint64 at;         /* outgoing: offset in the stream of its first byte; incoming: behind the
                         last byte that came together with them */
  const guint8 *data; /* incoming, on loan: the message they belong to */
  guint n;
  guint n_taken;
  int fds[];
} UnixBundle;

UnixBundle *unix_bundle_new (const int *fds, guint n);
void unix_bundle_free (gpointer bundle); /* closes what was not taken */

/* As send(); @bundle (nullable) goes with the first byte. -1 with errno. */
ssize_t
unix_socket_send (int fd, const struct iovec *parts, guint n_parts, const UnixBundle *bundle);
/* As recv(). *@out_bundle is the caller's, or NULL. -1 with errno; EBADMSG: descriptors were cut
 * off, or something else came beside the bytes; what came of it is closed. */
ssize_t unix_socket_receive (int fd, void *data, gsize room, UnixBundle **out_bundle);

/* --- connection --- */

struct _UnixConnection
{
  UnixInstance *instance;
  int fd; /* -1: none */
  gboolean is_open;
  gboolean is_client;
  DoorPeer peer;
  guint8 binding[32];
  gsize max_send; /* largest message both sides take */

  /* while it is set up */
  UnixListener *listener;
  UnixConnection *previous, *next; /* of those the listener is setting up */
  DoorCaller caller;
  CommyConnectedFunc done;
  gpointer user_data;
  guint watch;
  guint8 hello[64];
  gsize hello_fill;
  gboolean is_near; /* a descriptor came through: the same kernel serves both sides */

  /* sending: [at, flushed) is on its way, [flushed, end) is committed, then a reservation */
  guint8 *out;
  gsize out_size, out_at, out_flushed, out_end;
  guint64 out_base;     /* offset in the stream of the buffer's first byte */
  gsize reserved;       /* with header and padding; 0 without a reservation */
  gsize refused;        /* what the last reservation that did not fit wanted */
  guint refused_fds;    /* and the last bundle */
  UnixBundle *attached; /* to the reservation */
  GQueue outgoing;      /* of UnixBundle, in order */
  guint n_outgoing;     /* descriptors in it */
  char *send_why;       /* NULL while sending works */

  /* receiving */
  Inbox inbox;
  guint64 received;  /* bytes so far */
  gboolean empty;    /* the last read said that the socket is, most likely */
  gboolean drained;  /* the same, and nobody was told yet */
  gboolean more;     /* the last turn ended before the socket was empty */
  gsize receive_max; /* largest message, besides the instance's; 0: no other */
  GQueue arrived;    /* of UnixBundle whose messages are not complete yet */
  GQueue lent;       /* of UnixBundle whose messages are borrowed */
  guint n_held;      /* descriptors in the latter */
  guint n_borrowed;
  char *receive_why; /* NULL while receiving works */
};

/* --- handshake (commy-unix-handshake.c) --- */

/* Greets on a connected socket, which is taken over. FALSE: nothing is left. Else
 * unix_connection_settle() follows. */
gboolean unix_handshake_start (UnixConnection *self, int fd, GError **error);
/* Tells the core how set-up ended; @error is the callee's to look at only. With @error the
 * connection was cleared. Touch nothing afterwards. */
void unix_connection_settle (UnixConnection *self, const GError *error);
/* Gives everything back. With @politely the peer gets what was flushed. */
void unix_connection_clear (UnixConnection *self, gboolean politely);

/* --- messages (commy-unix-send.c, commy-unix-receive.c) --- */

/* Eight bytes before each message, little-endian: its size, and how many descriptors came with
 * the first of these bytes. Messages are padded to eight. */
#define UNIX_HEADER_SIZE 8

static inline gsize
unix_padded (gsize size)
{
  return (size + 7) & ~(gsize) 7;
}

CommyIo unix_reserve (gpointer connection, gsize size, CommySpan *out_span);
CommyIo unix_attach (gpointer connection, const int *fds, gsize n_fds);
CommyIo unix_commit (gpointer connection, gsize used);
CommyIo unix_sendv (gpointer connection, const GOutputVector *parts, gsize n_parts);
CommyIo unix_flush (gpointer connection);
/* Sends what was flushed, as far as the kernel takes it. TRUE if nothing is left. */
gboolean unix_send_push (UnixConnection *self);
gboolean unix_send_pending (const UnixConnection *self);
/* Whether what was refused last would find room now. */
gboolean unix_send_has_room (const UnixConnection *self);
void unix_send_clear (UnixConnection *self);

CommyIo unix_peek (gpointer connection, CommyMessage *out_message);
void unix_release (gpointer connection, const CommyMessage *message);
gsize unix_take_fds (gpointer connection, const CommyMessage *message, int *out_fds, gsize max);
guint unix_arm (gpointer connection, guint interest, guint *out_events);
void unix_limit (gpointer connection, gsize max);
void unix_receive_clear (UnixConnection *self);

/* --- plugin --- */

struct _UnixListener
{
  UnixInstance *instance;
  const CommyAcceptor *acceptor;
  DoorKeeper keeper;
  UnixConnection *pending; /* being set up */
};

struct _UnixInstance
{
  CommyHost *host;
  gsize max_message;
  gsize send_buffer;
  guint borrow_max;
  guint handles_max;
  LingerList lingers;
};
