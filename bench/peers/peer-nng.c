/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * NNG: PAIR for round trips, PUSH/PULL for streams, REQ/REP as "...-rr". Messages instead of
 * buffers, so that nothing is copied above the transport and an echo sends what it received;
 * TCP_NODELAY is the default. Streams have a queue at both ends, as large as NNG allows (8192)
 * where the size permits, because without one every message waits for the one before.
 */
#include "peer.h"

#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>
#include <nng/protocol/pipeline0/pull.h>
#include <nng/protocol/pipeline0/push.h>
#include <nng/protocol/reqrep0/rep.h>
#include <nng/protocol/reqrep0/req.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct
{
  PeerRun *run;
  nng_socket socket;
} End;

static void
check (int result, const char *what)
{
  if (result != 0)
    peer_fail ("%s: %s", what, nng_strerror (result));
}

static End *
end_new (PeerRun *run, bool serves)
{
  End *end = malloc (sizeof *end);
  end->run = run;
  if (run->stream)
    check (serves ? nng_pull0_open (&end->socket) : nng_push0_open (&end->socket),
           "nng_push0_open");
  else if (peer_is_request (run))
    check (serves ? nng_rep0_open (&end->socket) : nng_req0_open (&end->socket), "nng_req0_open");
  else
    check (nng_pair0_open (&end->socket), "nng_pair0_open");
  check (nng_socket_set_size (end->socket, NNG_OPT_RECVMAXSZ, 0), NNG_OPT_RECVMAXSZ);
  if (run->stream)
    {
      int depth = (int) peer_depth (run, 64 << 20, 8192);
      /* PULL has no queue of its own in this version, PUSH has none in older ones. */
      nng_socket_set_int (end->socket, serves ? NNG_OPT_RECVBUF : NNG_OPT_SENDBUF, depth);
    }
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
  check (nng_listen (end->socket, run->address, NULL, 0), "nng_listen");
  return end;
}

static void *
connect_to (PeerRun *run)
{
  End *end = end_new (run, false);
  check (nng_dial (end->socket, run->address, NULL, 0), "nng_dial");
  return end;
}

static void
produce (void *data)
{
  End *end = data;
  nng_msg *message;
  check (nng_msg_alloc (&message, end->run->size), "nng_msg_alloc");
  peer_fill (end->run, nng_msg_body (message));
  check (nng_sendmsg (end->socket, message, 0), "nng_sendmsg");
}

static nng_msg *
receive (End *end)
{
  nng_msg *message;
  check (nng_recvmsg (end->socket, &message, 0), "nng_recvmsg");
  peer_check (end->run, nng_msg_body (message), nng_msg_len (message));
  return message;
}

static uint64_t
consume (void *data)
{
  nng_msg_free (receive (data));
  return 1;
}

static void
echo (void *data)
{
  End *end = data;
  nng_msg *message = receive (end);
  peer_fill (end->run, nng_msg_body (message));
  check (nng_sendmsg (end->socket, message, 0), "nng_sendmsg");
}

int
main (int argc, char **argv)
{
  static const Peer peer = { .name = "nng",
                             .version = nng_version,
                             .transports = "ipc tcp ipc-rr tcp-rr",
                             .waits = "block",
                             .serve = serve,
                             .connect = connect_to,
                             .echo = echo,
                             .produce = produce,
                             .consume = consume };
  return peer_main (&peer, argc, argv);
}
