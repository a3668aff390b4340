/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * UCX: the tagged messages of UCP on one single-threaded worker a process. "shm" is
 * UCX_TLS=posix,self (memory that both map, what is copied in is copied out), "shm-cma" lets the
 * kernel copy large messages from process to process, which is UCX's own choice, "tcp" is its TCP
 * over loopback. To spin is to call ucp_worker_progress(), to block ucp_worker_wait(). A receive is
 * posted before what it waits for can come; streams keep as many under way as ucx_perftest does
 * (32), each in a buffer of its own.
 */
#include "peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucp/api/ucp.h>

#define MOST_UNDER_WAY 32
#define TAG 1
#define ALL_OF_TAG UINT64_MAX
/* The halves of what both processes see of the address. */
#define OF_SERVER 0
#define OF_CLIENT (PEER_ADDRESS_SIZE / 2)

typedef struct
{
  PeerRun *run;
  ucp_worker_h worker;
  ucp_ep_h endpoint;
  unsigned depth, next;
  char *buffers[MOST_UNDER_WAY];
  void *
      requests[MOST_UNDER_WAY]; /* the receives of a stream's consumer, the sends of its producer */
} End;

static const char *
version (void)
{
  return ucp_get_version_string ();
}

static void
check (ucs_status_t status, const char *what)
{
  if (status != UCS_OK)
    peer_fail ("%s: %s", what, ucs_status_string (status));
}

static ucp_context_h
open_context (const PeerRun *run)
{
  ucp_params_t params = { .field_mask = UCP_PARAM_FIELD_FEATURES, .features = UCP_FEATURE_TAG };
  const char *transports = "posix,self";
  ucp_context_h context;
  ucp_config_t *config;
  if (!run->spin)
    params.features |= UCP_FEATURE_WAKEUP;
  if (strcmp (run->transport, "tcp") == 0)
    transports = "tcp,self";
  else if (strcmp (run->transport, "shm-cma") == 0)
    transports = "posix,cma,self";
  check (ucp_config_read (NULL, NULL, &config), "ucp_config_read");
  check (ucp_config_modify (config, "TLS", transports), "UCX_TLS");
  if (strcmp (run->transport, "tcp") == 0)
    check (ucp_config_modify (config, "NET_DEVICES", "lo"), "UCX_NET_DEVICES");
  check (ucp_init (&params, config, &context), "ucp_init");
  ucp_config_release (config);
  return context;
}

static End *
end_new (PeerRun *run, unsigned place)
{
  End *end = calloc (1, sizeof *end);
  ucp_worker_params_t params
      = { .field_mask = UCP_WORKER_PARAM_FIELD_THREAD_MODE, .thread_mode = UCS_THREAD_MODE_SINGLE };
  ucp_address_t *address;
  size_t length;
  end->run = run;
  end->depth = run->stream ? peer_depth (run, 8 << 20, MOST_UNDER_WAY) : 2;
  for (unsigned i = 0; i < end->depth; i++)
    if (posix_memalign ((void **) &end->buffers[i], 4096, run->size) != 0)
      peer_fail ("no memory for %zu bytes", run->size);
    else
      memset (end->buffers[i], 0, run->size);
  check (ucp_worker_create (open_context (run), &params, &end->worker), "ucp_worker_create");
  check (ucp_worker_get_address (end->worker, &address, &length), "ucp_worker_get_address");
  if (length > PEER_ADDRESS_SIZE / 2)
    peer_fail ("an address of %zu bytes", length);
  memcpy (run->address + place, address, length);
  ucp_worker_release_address (end->worker, address);
  return end;
}

static void
connect_end (End *end, unsigned place)
{
  ucp_ep_params_t params = { .field_mask = UCP_EP_PARAM_FIELD_REMOTE_ADDRESS };
  params.address = (const ucp_address_t *) (end->run->address + place);
  check (ucp_ep_create (end->worker, &params, &end->endpoint), "ucp_ep_create");
}

static void *
post (End *end, unsigned slot)
{
  static const ucp_request_param_t plain = { .op_attr_mask = UCP_OP_ATTR_FLAG_NO_IMM_CMPL };
  void *request
      = ucp_tag_recv_nbx (end->worker, end->buffers[slot], end->run->size, TAG, ALL_OF_TAG, &plain);
  if (UCS_PTR_IS_ERR (request))
    check (UCS_PTR_STATUS (request), "ucp_tag_recv_nbx");
  return request;
}

static void *
start_sending (End *end, unsigned slot)
{
  static const ucp_request_param_t plain = { .op_attr_mask = 0 };
  void *request = ucp_tag_send_nbx (end->endpoint, end->buffers[slot], end->run->size, TAG, &plain);
  if (UCS_PTR_IS_ERR (request))
    check (UCS_PTR_STATUS (request), "ucp_tag_send_nbx");
  return request;
}

static void
progress (End *end)
{
  if (ucp_worker_progress (end->worker) == 0 && !end->run->spin)
    check (ucp_worker_wait (end->worker), "ucp_worker_wait");
}

static void
finish_sending (End *end, void *request)
{
  if (!request)
    return;
  ucs_status_t status;
  while ((status = ucp_request_check_status (request)) == UCS_INPROGRESS)
    progress (end);
  check (status, "sending");
  ucp_request_free (request);
}

static void
finish_receiving (End *end, unsigned slot, void *request)
{
  ucp_tag_recv_info_t info;
  ucs_status_t status;
  while ((status = ucp_tag_recv_request_test (request, &info)) == UCS_INPROGRESS)
    progress (end);
  check (status, "receiving");
  ucp_request_free (request);
  peer_check (end->run, end->buffers[slot], info.length);
}

static void *
serve (PeerRun *run)
{
  End *end = end_new (run, OF_SERVER);
  for (unsigned i = 0; i < (run->stream ? end->depth : 1); i++)
    end->requests[i] = post (end, i);
  return end;
}

static void *
connect_to (PeerRun *run)
{
  End *end = end_new (run, OF_CLIENT);
  connect_end (end, OF_SERVER);
  return end;
}

static void
exchange (void *data)
{
  End *end = data;
  void *answer = post (end, 1);
  peer_fill (end->run, end->buffers[0]);
  finish_sending (end, start_sending (end, 0));
  finish_receiving (end, 1, answer);
}

static void
echo (void *data)
{
  End *end = data;
  finish_receiving (end, 0, end->requests[0]);
  if (!end->endpoint)
    connect_end (end, OF_CLIENT);
  /* Into the other buffer, so that the next request has where to go before this answer is sent. */
  char *filled = end->buffers[0];
  end->buffers[0] = end->buffers[1];
  end->buffers[1] = filled;
  end->requests[0] = post (end, 0);
  peer_fill (end->run, filled);
  finish_sending (end, start_sending (end, 1));
}

static void
produce (void *data)
{
  End *end = data;
  unsigned slot = end->next;
  finish_sending (end, end->requests[slot]);
  peer_fill (end->run, end->buffers[slot]);
  end->requests[slot] = start_sending (end, slot);
  end->next = (slot + 1) % end->depth;
}

static uint64_t
consume (void *data)
{
  End *end = data;
  unsigned slot = end->next;
  finish_receiving (end, slot, end->requests[slot]);
  end->requests[slot] = post (end, slot);
  end->next = (slot + 1) % end->depth;
  return 1;
}

int
main (int argc, char **argv)
{
  static const Peer peer = { .name = "ucx",
                             .version = version,
                             .transports = "shm shm-cma tcp",
                             .waits = "spin block",
                             .serve = serve,
                             .connect = connect_to,
                             .exchange = exchange,
                             .echo = echo,
                             .produce = produce,
                             .consume = consume };
  return peer_main (&peer, argc, argv);
}
