/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * HTTP for plugins that ask a server something: one question and its answer, whole or line by
 * line, within limits of size and time. No proxy, no cookie, no redirect, no password of libsoup's
 * own, no body that grows when it is unpacked; certificates are checked. Who is asked, and what is
 * done about a failure, is the caller's business. Mesh thread only.
 */
#pragma once

#include <commy/commy-descriptor.h>

typedef struct _CommyHttp CommyHttp;
typedef struct _CommyHttpExchange CommyHttpExchange;

/* Paths; NULL or "": none. */
typedef struct
{
  const char *ca;          /* of authorities; none: those of the system */
  const char *certificate; /* that is shown to who asks for one */
  const char *key;         /* of it; none: in the same file */
  const char *socket;      /* a Unix socket, over which every server is asked */
} CommyHttpSettings;

typedef struct
{
  guint status;     /* 0: nothing came back */
  const char *data; /* the body; of streams what followed the last line; never NULL */
  gsize size;
  gboolean was_sent; /* with an error: the server may have acted on it */
} CommyHttpReply;

/* One line of a stream, without its end. */
typedef void (*CommyHttpLineFunc) (gpointer user_data, const char *line, gsize size);
/* The end; not called after a cancellation. @error: one line of UTF-8; COMMY_ERROR_DEADLINE,
 * COMMY_ERROR_TOO_BIG, or libsoup's. */
typedef void (*CommyHttpReplyFunc) (gpointer user_data,
                                    const CommyHttpReply *reply,
                                    const GError *error);

/* Nothing of it is kept but the body. */
typedef struct
{
  const char *url; /* was checked */
  GBytes *body;    /* NULL: GET, else POST of it */
  const char *type;
  const char *authorization; /* the header's value; or NULL */
  gboolean is_repeatable;    /* libsoup may send it again on its own */
  gsize max;                 /* bytes of an answer, or of what one line of a stream may leave */
  gint64 limit_ns;           /* for the whole answer; of a stream for its first line */
  CommyHttpLineFunc line;    /* NULL: the answer is wanted whole */
  CommyHttpReplyFunc done;
  gpointer user_data;
} CommyHttpRequest;

#define COMMY_HTTP_ERROR (g_quark_from_static_string ("commy-error-quark"))

/* Why that is no address to be asked, a phrase; NULL: it is one. */
const char *commy_http_url_why_not (const char *url, gboolean allows_loopback);

/* Everything happens in the thread-default context of the caller. */
CommyHttp *commy_http_new (CommyHost *host, const CommyHttpSettings *settings, GError **error);
/* Cancels what is under way and waits until the last connection is given back. */
void commy_http_free (CommyHttp *http);

CommyHttpExchange *commy_http_send (CommyHttp *http, const CommyHttpRequest *request);
/* Takes NULL; legal from inside its callbacks. */
void commy_http_cancel (CommyHttpExchange *exchange);
