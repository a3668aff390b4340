/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * HTTP to one member of the cluster: a POST and its answer, whole or line by line, within limits
 * of size and time. Which member, and what is done about a failure, is decided above.
 */
#pragma once

#include <commy/commy-descriptor.h>

typedef struct _CommyEtcdHttp CommyEtcdHttp;
typedef struct _CommyEtcdExchange CommyEtcdExchange;

typedef struct
{
  guint status;     /* 0: nothing came back */
  const char *data; /* the body; of streams what followed the last line */
  gsize size;
  gboolean was_sent; /* with an error: the member may have acted on it */
} CommyEtcdReply;

/* One line of a stream, without its end. */
typedef void (*CommyEtcdLineFunc) (gpointer user_data, const char *line, gsize size);
/* The end; not called after a cancellation. */
typedef void (*CommyEtcdReplyFunc) (gpointer user_data,
                                    const CommyEtcdReply *reply,
                                    const GError *error);

typedef struct
{
  const char *member; /* "https://a.example.org:2379" */
  const char *path;
  const char *token; /* or NULL */
  const char *body;
  gboolean is_repeatable; /* libsoup may send it again on its own */
  gint64 limit_ns;        /* for the whole answer; of a stream for its first line */
  CommyEtcdLineFunc line; /* NULL: the answer is wanted whole */
  CommyEtcdReplyFunc done;
  gpointer user_data;
} CommyEtcdRequest;

/* Files are paths or "". An endless number of bytes is no answer: more than @max_answer is refused.
 * Everything happens in the thread-default context of the caller. */
CommyEtcdHttp *commy_etcd_http_new (CommyHost *host,
                                    const char *ca_file,
                                    const char *certificate_file,
                                    const char *key_file,
                                    gsize max_answer,
                                    GError **error);
/* Cancels what is under way and waits until the last connection is given back. */
void commy_etcd_http_free (CommyEtcdHttp *self);

CommyEtcdExchange *commy_etcd_http_post (CommyEtcdHttp *self, const CommyEtcdRequest *request);
/* Legal from inside its callbacks. */
void commy_etcd_exchange_cancel (CommyEtcdExchange *self);
