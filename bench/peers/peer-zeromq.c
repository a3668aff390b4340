/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ZeroMQ: PAIR for round trips, PUSH/PULL for streams, REQ/REP as "...-rr". One I/O thread a
 * process (the guide's figure up to a gigabyte a second). Messages are not copied where the API
 * allows: an echo sends what it received, an untouched message is sent from constant memory. The
 * high-water mark is the default 1000, less for sizes of which 1000 would be gigabytes.
 */
#include "peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

typedef struct
{
  PeerRun *run;
  void *socket;
  void *constant; /* what is sent untouched */
} End;

static const char *
version (void)
{
  static char text[32];
  int major, minor, patch;
  zmq_version (&major, &minor, &patch);
  snprintf (text, sizeof text, "%d.%d.%d", major, minor, patch);
  return text;
}

static void
check (int result, const char *what)
{
  if (result < 0)
    peer_fail ("%s: %s", what, zmq_strerror (zmq_errno ()));
}

static End *
end_new (PeerRun *run, bool serves)
{
  End *end = malloc (sizeof *end);
  int type = ZMQ_PAIR, mark = (int) peer_depth (run, 256 << 20, 1000), linger = 0;
  if (run->stream)
    type = serves ? ZMQ_PULL : ZMQ_PUSH;
  else if (peer_is_request (run))
    type = serves ? ZMQ_REP : ZMQ_REQ;
  end->run = run;
  end->constant = calloc (1, run->size);
  end->socket = zmq_socket (zmq_ctx_new (), type);
  if (!end->socket)
    check (-1, "zmq_socket");
  check (zmq_setsockopt (end->socket, ZMQ_SNDHWM, &mark, sizeof mark), "ZMQ_SNDHWM");
  check (zmq_setsockopt (end->socket, ZMQ_RCVHWM, &mark, sizeof mark), "ZMQ_RCVHWM");
  check (zmq_setsockopt (end->socket, ZMQ_LINGER, &linger, sizeof linger), "ZMQ_LINGER");
  return end;
}

static void *
serve (PeerRun *run)
{
  End *end = end_new (run, true);
  char address[512];
  size_t length = PEER_ADDRESS_SIZE;
  if (peer_is_over (run, "ipc"))
    snprintf (address, sizeof address, "ipc://%s/socket", run->dir);
  else
    snprintf (address, sizeof address, "tcp://127.0.0.1:*");
  check (zmq_bind (end->socket, address), "zmq_bind");
  check (zmq_getsockopt (end->socket, ZMQ_LAST_ENDPOINT, run->address, &length),
         "ZMQ_LAST_ENDPOINT");
  return end;
}

static void *
connect_to (PeerRun *run)
{
  End *end = end_new (run, false);
  check (zmq_connect (end->socket, run->address), "zmq_connect");
  return end;
}

static void
produce (void *data)
{
  End *end = data;
  zmq_msg_t message;
  if (end->run->touch)
    {
      check (zmq_msg_init_size (&message, end->run->size), "zmq_msg_init_size");
      peer_fill (end->run, zmq_msg_data (&message));
    }
  else
    check (zmq_msg_init_data (&message, end->constant, end->run->size, NULL, NULL),
           "zmq_msg_init_data");
  check (zmq_msg_send (&message, end->socket, 0), "zmq_msg_send");
}

static void
receive (End *end, zmq_msg_t *message)
{
  zmq_msg_init (message);
  check (zmq_msg_recv (message, end->socket, 0), "zmq_msg_recv");
  peer_check (end->run, zmq_msg_data (message), zmq_msg_size (message));
}

static void
echo (void *data)
{
  End *end = data;
  zmq_msg_t message;
  receive (end, &message);
  peer_fill (end->run, zmq_msg_data (&message));
  check (zmq_msg_send (&message, end->socket, 0), "zmq_msg_send");
}

static uint64_t
consume (void *data)
{
  zmq_msg_t message;
  receive (data, &message);
  zmq_msg_close (&message);
  return 1;
}

int
main (int argc, char **argv)
{
  static const Peer peer = { .name = "zeromq",
                             .version = version,
                             .transports = "ipc tcp ipc-rr tcp-rr",
                             .waits = "block",
                             .serve = serve,
                             .connect = connect_to,
                             .echo = echo,
                             .produce = produce,
                             .consume = consume };
  return peer_main (&peer, argc, argv);
}
