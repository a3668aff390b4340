/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * NATS: both ends through a nats-server of their own on loopback, started here on a port that the
 * kernel gives, limited to no processor. "tcp" is publish and subscribe, "tcp-rr"
 * natsConnection_Request(). Round trips set SendAsap: without it libnats flushes once a
 * millisecond. A stream's producer does not: it lives from that batching. Core NATS drops what a
 * consumer cannot take, so the consumer gives credit after every half window and nothing is lost.
 */
#include "peer.h"

#include <dirent.h>
#include <nats/nats.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TIMEOUT_MS 60000
#define WINDOW_BYTES (32 << 20)
#define WINDOW_MESSAGES 16384

typedef struct
{
  PeerRun *run;
  natsConnection *connection;
  natsSubscription *subscription;
  char *buffer;
  unsigned window;
  unsigned count; /* producer: what may be sent; consumer: what came since the last credit */
} End;

static const char *
server_path (void)
{
  static char path[512];
  char *places = strdup (getenv ("PATH") ? getenv ("PATH") : "");
  const char *found = NULL;
  for (char *rest = places, *place; !found && (place = strsep (&rest, ":"));)
    {
      snprintf (path, sizeof path, "%s/nats-server", place);
      if (*place && access (path, X_OK) == 0)
        found = path;
    }
  free (places);
  if (!found && access ("/usr/sbin/nats-server", X_OK) == 0)
    found = "/usr/sbin/nats-server";
  return found;
}

static const char *
why_not (const PeerRun *run)
{
  (void) run;
  return server_path () ? NULL : "there is no nats-server";
}

static void
check (natsStatus status, const char *what)
{
  if (status != NATS_OK)
    peer_fail ("%s: %s", what, natsStatus_GetText (status));
}

/* --- the server between --- */

static void
before (PeerRun *run)
{
  char config[512];
  snprintf (config, sizeof config, "%s/nats.conf", run->dir);
  FILE *file = fopen (config, "w");
  if (!file)
    peer_fail ("cannot write %s", config);
  /* What is pending for a consumer may be the whole window. */
  fprintf (file, "host: \"127.0.0.1\"\nport: -1\nmax_payload: %zu\nmax_pending: %zu\n",
           PEER_MAX_SIZE, 4 * PEER_MAX_SIZE);
  fclose (file);
  peer_spawn (run, (const char *const[]){ server_path (), "-c", config, "--ports_file_dir",
                                          run->dir, NULL });
}

/* Whether the server has written where it listens; then @url is that. */
static bool
find_url (const char *dir, char *url, size_t size)
{
  bool found = false;
  DIR *entries = opendir (dir);
  for (struct dirent *entry; !found && entries && (entry = readdir (entries));)
    {
      char path[1024], text[1024] = "";
      size_t length = strlen (entry->d_name);
      if (length < 6 || strcmp (entry->d_name + length - 6, ".ports") != 0)
        continue;
      snprintf (path, sizeof path, "%s/%s", dir, entry->d_name);
      FILE *file = fopen (path, "r");
      size_t got = file ? fread (text, 1, sizeof text - 1, file) : 0;
      if (file)
        fclose (file);
      text[got] = '\0';
      char *begin = strstr (text, "nats://"), *end = begin ? strchr (begin, '"') : NULL;
      found = end && (size_t) (end - begin) < size;
      if (found)
        snprintf (url, size, "%.*s", (int) (end - begin), begin);
    }
  if (entries)
    closedir (entries);
  return found;
}

/* --- both ends --- */

static End *
end_new (PeerRun *run, const char *subject)
{
  End *end = calloc (1, sizeof *end);
  natsOptions *options;
  bool batches = run->stream && strcmp (subject, "credit") == 0;
  end->run = run;
  end->window = peer_depth (run, WINDOW_BYTES, WINDOW_MESSAGES);
  end->buffer = calloc (1, run->size);
  check (natsOptions_Create (&options), "natsOptions_Create");
  check (natsOptions_SetURL (options, run->address), "natsOptions_SetURL");
  check (natsOptions_SetSendAsap (options, !batches), "natsOptions_SetSendAsap");
  check (natsConnection_Connect (&end->connection, options), "natsConnection_Connect");
  natsOptions_Destroy (options);
  check (natsConnection_SubscribeSync (&end->subscription, end->connection, subject),
         "natsConnection_SubscribeSync");
  check (natsSubscription_SetPendingLimits (end->subscription, -1, -1),
         "natsSubscription_SetPendingLimits");
  /* The server knows of it. */
  check (natsConnection_Flush (end->connection), "natsConnection_Flush");
  return end;
}

static void *
serve (PeerRun *run)
{
  while (!find_url (run->dir, run->address, PEER_ADDRESS_SIZE))
    usleep (5000);
  return end_new (run, "there");
}

static void *
connect_to (PeerRun *run)
{
  End *end = end_new (run, run->stream ? "credit" : "back");
  end->count = end->window;
  return end;
}

static void
publish (End *end, const char *subject)
{
  peer_fill (end->run, end->buffer);
  check (natsConnection_Publish (end->connection, subject, end->buffer, (int) end->run->size),
         "natsConnection_Publish");
}

/* Waits for the next message, however long that takes: the parent gives up. */
static natsMsg *
take (End *end)
{
  natsMsg *message;
  natsStatus status;
  while ((status = natsSubscription_NextMsg (&message, end->subscription, TIMEOUT_MS))
         == NATS_TIMEOUT)
    ;
  check (status, "natsSubscription_NextMsg");
  return message;
}

static void
check_message (End *end, natsMsg *message)
{
  peer_check (end->run, natsMsg_GetData (message), (size_t) natsMsg_GetDataLength (message));
}

static void
exchange (void *data)
{
  End *end = data;
  natsMsg *answer;
  if (peer_is_request (end->run))
    {
      peer_fill (end->run, end->buffer);
      check (natsConnection_Request (&answer, end->connection, "there", end->buffer,
                                     (int) end->run->size, TIMEOUT_MS),
             "natsConnection_Request");
    }
  else
    {
      publish (end, "there");
      answer = take (end);
    }
  check_message (end, answer);
  natsMsg_Destroy (answer);
}

static void
echo (void *data)
{
  End *end = data;
  natsMsg *message = take (end);
  const char *reply = natsMsg_GetReply (message);
  check_message (end, message);
  publish (end, reply ? reply : "back");
  natsMsg_Destroy (message);
}

static void
produce (void *data)
{
  End *end = data;
  if (end->count == 0)
    {
      natsMsg_Destroy (take (end));
      end->count = end->window / 2;
    }
  end->count--;
  publish (end, "there");
}

static uint64_t
consume (void *data)
{
  End *end = data;
  natsMsg *message = take (end);
  check_message (end, message);
  natsMsg_Destroy (message);
  if (++end->count == end->window / 2)
    {
      end->count = 0;
      check (natsConnection_Publish (end->connection, "credit", "", 0), "natsConnection_Publish");
    }
  return 1;
}

int
main (int argc, char **argv)
{
  static const Peer peer = { .name = "nats",
                             .version = nats_GetVersion,
                             .transports = "tcp tcp-rr",
                             .waits = "block",
                             .why_not = why_not,
                             .before = before,
                             .serve = serve,
                             .connect = connect_to,
                             .exchange = exchange,
                             .echo = echo,
                             .produce = produce,
                             .consume = consume };
  return peer_main (&peer, argc, argv);
}
