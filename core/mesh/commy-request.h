/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A request: what a call wants to say, independent of the path; how it is written to a channel
 * and how an answer becomes a value.
 */
#pragma once

#include "mesh/commy-route-cache.h"

typedef struct
{
  char *method;
  CommyFlavour flavour;
  GVariant *value; /* VALUE */
  GBytes *bytes;   /* BYTES */
  gsize size;      /* plain, for routing */
  gint64 deadline_ns;
  gboolean idempotent;
  gboolean one_way;
  guint8 priority; /* as in a CommyFrameSpec */
} CommyRequest;

/* @parameters: NULL is (); floating is consumed. FALSE: not a tuple. */
gboolean commy_request_init (CommyRequest *request,
                             const CommyEnv *env,
                             const char *method,
                             GVariant *parameters,
                             GBytes *bytes,
                             const CommyCallOptions *options,
                             gint64 default_timeout_ns,
                             GError **error);
void commy_request_clear (CommyRequest *request);

/* Writes and publishes. @stream: 0 for one-way. */
CommyIo commy_request_send (CommyRequest *request,
                            CommyChannel *channel,
                            CommyPlugin *serializer,
                            guint32 stream,
                            gboolean sampled,
                            gboolean queue,
                            GError **error);

/* A value or bytes from a frame; takes the message where that saves a copy. */
GVariant *
commy_value_from_incoming (CommyChannel *channel, CommyIncoming *incoming, GError **error);
GBytes *commy_bytes_from_incoming (CommyChannel *channel, CommyIncoming *incoming, GError **error);

/* Writes a frame with a value or bytes as its payload; used for requests and for answers. */
CommyIo commy_payload_send (CommyChannel *channel,
                            CommyFrameSpec *spec,
                            CommyPlugin *serializer,
                            GVariant *value,
                            GBytes *bytes,
                            gboolean queue,
                            GError **error);
