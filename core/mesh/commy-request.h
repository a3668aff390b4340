/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A request: what a call wants to say, independent of the path; how it is written to a channel
 * and how an answer becomes a value.
 */
#pragma once

#include "mesh/commy-route-cache.h"

typedef struct
{
  const char *method; /* the caller's, or: */
  CommyGuard *guard;  /* the client's thread's, of the method */
  char *kept_method;  /* its copy */
  CommyFlavour flavour;
  GVariant *value;         /* VALUE */
  GBytes *bytes;           /* BYTES */
  GUnixFDList *handles;    /* HANDLES; or NULL */
  gsize size;              /* plain, for routing */
  gint64 now_ns;           /* when it was made, or tried again */
  gint64 deadline_ns;      /* of the attempt under way */
  gint64 call_deadline_ns; /* of all of them */
  guint n_sent;            /* attempts that may have arrived */
  CommyGuard *admitted;    /* the guard that let it begin, which wants to know of the end */
  CommyTries tries;
  gboolean idempotent;
  gboolean limited; /* somebody said how long it may take */
  gboolean one_way;
  guint8 priority;  /* as in a CommyFrameSpec */
  gboolean streams; /* opens a stream; deadline_ns is that of the opening */
  gint64 stream_deadline_ns;
  guint64 sticky; /* hash of the key that picks an instance; 0: none */
} CommyRequest;

/* @method: borrowed until commy_request_keep(). @parameters: NULL is (); floating is consumed.
 * FALSE: not a tuple, or it wants descriptors. */
gboolean commy_request_init (CommyRequest *request,
                             const CommyEnv *env,
                             const char *method,
                             GVariant *parameters,
                             GBytes *bytes,
                             const CommyCallOptions *options,
                             gint64 default_timeout_ns,
                             GError **error);
/* As commy_request_init(), for a call that may carry descriptors both ways; @handles: (transfer
 * none) (nullable): those there. */
gboolean commy_request_init_handles (CommyRequest *request,
                                     const CommyEnv *env,
                                     const char *method,
                                     GVariant *parameters,
                                     GUnixFDList *handles,
                                     const CommyCallOptions *options,
                                     gint64 default_timeout_ns,
                                     GError **error);
/* Makes it one that opens a stream, within @timeout_ns. */
void commy_request_open_stream (CommyRequest *request, gint64 timeout_ns);
/* It lives longer than the call that made it. */
void commy_request_keep (CommyRequest *request);
void commy_request_clear (CommyRequest *request);

/* Writes and publishes. @stream: 0 for one-way. */
CommyIo commy_request_send (CommyRequest *request,
                            CommyChannel *channel,
                            CommyPlugin *serializer,
                            guint32 stream,
                            gboolean sampled,
                            gboolean queue,
                            GError **error);

/* Whether @value says by its type that descriptors belong to it. */
gboolean commy_value_has_handles (GVariant *value);
/* A value or bytes from a frame; takes the message where that saves a copy. */
GVariant *
commy_value_from_incoming (CommyChannel *channel, CommyIncoming *incoming, GError **error);
GBytes *commy_bytes_from_incoming (CommyChannel *channel, CommyIncoming *incoming, GError **error);

/* The same from what was kept of a frame. */
GVariant *commy_value_decode (CommyChannel *channel,
                              guint16 serializer,
                              const char *signature,
                              GBytes *bytes,
                              GError **error);

/* Writes a frame with a value or bytes as its payload; used for requests, answers and messages of
 * streams. @handles: (nullable): descriptors that go along. @out_size: (nullable): bytes of the
 * payload. */
CommyIo commy_payload_send (CommyChannel *channel,
                            CommyFrameSpec *spec,
                            CommyPlugin *serializer,
                            GVariant *value,
                            GBytes *bytes,
                            GUnixFDList *handles,
                            gboolean queue,
                            gsize *out_size,
                            GError **error);
