/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * nanomsg: PAIR for round trips, PUSH/PULL for streams, REQ/REP as "...-rr". Zero-copy messages
 * (nn_allocmsg, NN_MSG), an echo sends what it received; TCP without Nagle's algorithm; buffers and
 * the largest message received, 1 MiB by default, fit the size measured.
 */
#include "peer.h"

#include <nanomsg/nn.h>
#include <nanomsg/pair.h>
#include <nanomsg/pipeline.h>
#include <nanomsg/reqrep.h>
#include <nanomsg/tcp.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct
{
  PeerRun *run;
  int socket;
} End;

static const char *
version (void)
{
  return NANOMSG_VERSION;
}

static int
check (int result, const char *what)
{
  if (result < 0)
    peer_fail ("%s: %s", what, nn_strerror (nn_errno ()));
  return result;
}

static End *
end_new (PeerRun *run, bool serves)
{
  End *end = malloc (sizeof *end);
  int type = NN_PAIR, any = -1, on = 1;
  int buffer = 4 * run->size > 1 << 20 ? (int) (4 * run->size) : 1 << 20;
  if (run->stream)
    type = serves ? NN_PULL : NN_PUSH;
  else if (peer_is_request (run))
    type = serves ? NN_REP : NN_REQ;
  end->run = run;
  end->socket = check (nn_socket (AF_SP, type), "nn_socket");
  if (type != NN_PUSH)
    {
      check (nn_setsockopt (end->socket, NN_SOL_SOCKET, NN_RCVMAXSIZE, &any, sizeof any),
             "NN_RCVMAXSIZE");
      check (nn_setsockopt (end->socket, NN_SOL_SOCKET, NN_RCVBUF, &buffer, sizeof buffer),
             "NN_RCVBUF");
    }
  if (type != NN_PULL)
    check (nn_setsockopt (end->socket, NN_SOL_SOCKET, NN_SNDBUF, &buffer, sizeof buffer),
           "NN_SNDBUF");
  if (peer_is_over (run, "tcp"))
    check (nn_setsockopt (end->socket, NN_TCP, NN_TCP_NODELAY, &on, sizeof on), "NN_TCP_NODELAY");
  return end;
}

static void *
serve (PeerRun *run)
{
  End *end = end_new (run, true);
  if (peer_is_over (run, "ipc"))
    snprintf (run->address, PEER_ADDRESS_SIZE, "ipc://%s/socket", run->dir);
  else
    snprintf (run->address, PEER_ADDRESS_SIZE, "tcp://127.0.0.1:%d", peer_free_port ());
  check (nn_bind (end->socket, run->address), "nn_bind");
  return end;
}

static void *
connect_to (PeerRun *run)
{
  End *end = end_new (run, false);
  check (nn_connect (end->socket, run->address), "nn_connect");
  return end;
}

static void
produce (void *data)
{
  End *end = data;
  void *message = nn_allocmsg (end->run->size, 0);
  if (!message)
    check (-1, "nn_allocmsg");
  peer_fill (end->run, message);
  check (nn_send (end->socket, &message, NN_MSG, 0), "nn_send");
}

static void *
receive (End *end)
{
  void *message;
  int size = check (nn_recv (end->socket, &message, NN_MSG, 0), "nn_recv");
  peer_check (end->run, message, (size_t) size);
  return message;
}

static uint64_t
consume (void *data)
{
  nn_freemsg (receive (data));
  return 1;
}

static void
echo (void *data)
{
  End *end = data;
  void *message = receive (end);
  peer_fill (end->run, message);
  check (nn_send (end->socket, &message, NN_MSG, 0), "nn_send");
}

int
main (int argc, char **argv)
{
  static const Peer peer = { .name = "nanomsg",
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
