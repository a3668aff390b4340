/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Exchanges over libsoup: see the header. An exchange lives until libsoup has let go of it; who
 * cancelled it has forgotten it long before. Answers and headers may be secrets: what libsoup or
 * GLib would only free is overwritten first.
 */
#include "config.h"

#include "plugins/common/commy-http.h"

#include <commy/commy-error.h>
#include <gio/gunixsocketaddress.h>
#include <libsoup/soup.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#define READ_SIZE 65536
#define URL_MAX 2048u
/* Of each of the two sessions; streams take one connection each for good. */
#define MAX_CONNECTIONS 64
#define GRACE_MS 500
#define MS G_GINT64_CONSTANT (1000000)
/* Connections that nobody uses are closed about so long after it became quiet. */
#define IDLE_NS (60 * 1000 * MS)
#define IDLE_AGAIN_NS (1000 * MS)
/* A connection on which nothing is said is asked about by the kernel: dead after 4 + 3 * 2 s. */
#define KEEPALIVE_IDLE_S 4
#define KEEPALIVE_EVERY_S 2
#define KEEPALIVE_TRIES 3

struct _CommyHttp
{
  CommyHost *host;
  SoupSession *session;         /* of what is answered whole */
  SoupSession *streams;         /* of what is answered line by line, over a connection each */
  GTlsCertificate *certificate; /* that is shown to who asks for one; or NULL */
  GPtrArray *open;              /* CommyHttpExchange that libsoup holds */
  guint n_asking;               /* of `session`: that somebody waits for */
  guint idle_timer;
};

struct _CommyHttpExchange
{
  CommyHttp *http; /* NULL: it is gone */
  SoupMessage *message;
  GCancellable *cancellable;
  GInputStream *stream;
  GByteArray *body; /* what came and was not told yet */
  guint8 *buffer;
  gsize max;
  gint64 limit_ns;
  guint timer;
  CommyHttpLineFunc line;
  CommyHttpReplyFunc done; /* NULL: it is over for who asked */
  gpointer user_data;
  gboolean was_sent;
  gboolean is_stream;
};

/* --- connections that nobody uses --- */

/* libsoup (3.2 to 3.7 at least) must not close them by itself: where its timer and a request become
 * ready in one turn of the loop, the request gets the connection and the timer closes it all the
 * same; the message then points to what was freed, and who waits for it waits for ever. Nothing is
 * under way here, so nothing can be hit. */
static void
on_idle (gpointer user_data)
{
  CommyHttp *self = user_data;

  self->idle_timer = 0;
  if (self->n_asking == 0)
    soup_session_abort (self->session);
  else
    self->idle_timer = self->host->add_timer (self->host, IDLE_AGAIN_NS, on_idle, self);
}

static void
begin_asking (CommyHttpExchange *self)
{
  if (!self->is_stream)
    self->http->n_asking++;
}

static void
end_asking (CommyHttpExchange *self)
{
  CommyHttp *http = self->http;

  if (self->is_stream || http == NULL)
    return;
  http->n_asking--;
  if (http->idle_timer == 0)
    http->idle_timer = http->host->add_timer (http->host, IDLE_NS, on_idle, http);
}

/* --- life of an exchange --- */

/* libsoup's own copy, which it would only free. */
static void
wipe_authorization (SoupMessage *message)
{
  char *header = (char *) soup_message_headers_get_one (soup_message_get_request_headers (message),
                                                        "Authorization");

  if (header != NULL)
    explicit_bzero (header, strlen (header));
}

static void
exchange_free (CommyHttpExchange *self)
{
  if (self->http != NULL)
    g_ptr_array_remove_fast (self->http->open, self);
  g_signal_handlers_disconnect_by_data (self->message, self); /* libsoup may keep it longer */
  wipe_authorization (self->message);
  g_object_unref (self->message);
  g_object_unref (self->cancellable);
  g_clear_object (&self->stream);
  if (self->body->len > 0)
    explicit_bzero (self->body->data, self->body->len);
  g_byte_array_unref (self->body);
  if (self->buffer != NULL)
    explicit_bzero (self->buffer, READ_SIZE);
  g_free (self->buffer);
  g_free (self);
}

static void
stop_timer (CommyHttpExchange *self)
{
  if (self->timer != 0)
    self->http->host->remove (self->http->host, self->timer);
  self->timer = 0;
}

static void
forget (CommyHttpExchange *self)
{
  self->done = NULL;
  self->line = NULL;
  stop_timer (self);
  end_asking (self);
}

/* libsoup's words may be any bytes. */
static GError *
dup_clean (const GError *error)
{
  g_autofree char *text = g_utf8_make_valid (error->message, -1);

  return g_error_new_literal (error->domain, error->code, g_strdelimit (text, "\r\n", ' '));
}

static void
finish (CommyHttpExchange *self, const GError *error)
{
  CommyHttpReplyFunc done = self->done;
  CommyHttpReply reply = { .status = soup_message_get_status (self->message),
                           .data = self->body->len > 0 ? (const char *) self->body->data : "",
                           .size = self->body->len,
                           .was_sent = self->was_sent };
  g_autoptr (GError) clean = error != NULL ? dup_clean (error) : NULL;

  if (done == NULL)
    return;
  forget (self);
  done (self->user_data, &reply, clean);
}

static void
on_closed (GObject *object, GAsyncResult *result, gpointer user_data)
{
  g_input_stream_close_finish (G_INPUT_STREAM (object), result, NULL);
  exchange_free (user_data);
}

/* The connection is used again only when the stream was closed. */
static void
let_go (CommyHttpExchange *self)
{
  if (self->stream != NULL)
    g_input_stream_close_async (self->stream, G_PRIORITY_DEFAULT, NULL, on_closed, self);
  else
    exchange_free (self);
}

/* --- reading --- */

/* Tells whole lines; each may end the exchange. */
static void
tell_lines (CommyHttpExchange *self, gsize from)
{
  gsize begin = 0;
  gsize at = from;

  for (; self->line != NULL && at < self->body->len; at++)
    {
      if (self->body->data[at] != '\n')
        continue;
      stop_timer (self);
      if (at > begin)
        self->line (self->user_data, (const char *) self->body->data + begin, at - begin);
      begin = at + 1;
    }
  if (begin > 0)
    g_byte_array_remove_range (self->body, 0, (guint) begin);
}

static void read_more (CommyHttpExchange *self);

static void
on_read (GObject *object, GAsyncResult *result, gpointer user_data)
{
  CommyHttpExchange *self = user_data;
  g_autoptr (GError) error = NULL;
  gssize n = g_input_stream_read_finish (self->stream, result, &error);
  gsize before = self->body->len;
  gboolean is_stream = self->line != NULL && soup_message_get_status (self->message) == 200;

  if (n > 0 && before + (gsize) n > self->max)
    g_set_error (&error, COMMY_HTTP_ERROR, COMMY_ERROR_TOO_BIG,
                 "its answer has more than %" G_GSIZE_FORMAT " bytes", self->max);
  if (self->done == NULL || n <= 0 || error != NULL)
    {
      finish (self, error);
      let_go (self);
      return;
    }
  g_byte_array_append (self->body, self->buffer, (guint) n);
  if (is_stream)
    tell_lines (self, before);
  read_more (self);
}

static void
read_more (CommyHttpExchange *self)
{
  if (self->done == NULL)
    {
      let_go (self);
      return;
    }
  g_input_stream_read_async (self->stream, self->buffer, READ_SIZE, G_PRIORITY_DEFAULT,
                             self->cancellable, on_read, self);
}

/* --- sending --- */

static void
on_sent (GObject *object, GAsyncResult *result, gpointer user_data)
{
  CommyHttpExchange *self = user_data;
  g_autoptr (GError) error = NULL;

  self->stream = soup_session_send_finish (SOUP_SESSION (object), result, &error);
  if (self->stream == NULL)
    {
      finish (self, error);
      let_go (self);
      return;
    }
  self->buffer = g_malloc (READ_SIZE);
  read_more (self);
}

static void
on_starting (SoupMessage *message, gpointer user_data)
{
  CommyHttpExchange *self = user_data;

  self->was_sent = TRUE;
}

/* A stream may be silent for hours, and its other end gone without a word. */
static void
on_network_event (SoupMessage *message,
                  GSocketClientEvent event,
                  GIOStream *connection,
                  gpointer unused)
{
  GSocket *socket;

  if (event != G_SOCKET_CLIENT_CONNECTED || !G_IS_TCP_CONNECTION (connection))
    return;
  socket = g_socket_connection_get_socket (G_SOCKET_CONNECTION (connection));
  g_socket_set_keepalive (socket, TRUE);
  g_socket_set_option (socket, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S, NULL);
  g_socket_set_option (socket, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_EVERY_S, NULL);
  g_socket_set_option (socket, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_TRIES, NULL);
}

static void
on_limit (gpointer user_data)
{
  CommyHttpExchange *self = user_data;
  g_autoptr (GError) error = NULL;

  self->timer = 0;
  g_set_error (&error, COMMY_HTTP_ERROR, COMMY_ERROR_DEADLINE, "no answer in %g s",
               (double) (self->limit_ns / MS) / 1000);
  g_cancellable_cancel (self->cancellable);
  finish (self, error);
}

static SoupMessage *
new_message (CommyHttp *self, const CommyHttpRequest *request)
{
  SoupMessage *message
      = soup_message_new (request->body != NULL ? SOUP_METHOD_POST : SOUP_METHOD_GET, request->url);
  SoupMessageHeaders *headers = soup_message_get_request_headers (message);

  /* A connection that was used before may have been closed meanwhile, and then libsoup would send
   * the request twice: what must not happen twice goes over one of its own. */
  soup_message_add_flags (message, SOUP_MESSAGE_NO_REDIRECT
                                       | (request->is_repeatable ? SOUP_MESSAGE_IDEMPOTENT : 0));
  soup_message_headers_replace (headers, "Accept", "application/json");
  if (request->body != NULL)
    soup_message_set_request_body_from_bytes (message, request->type, request->body);
  if (request->authorization != NULL)
    soup_message_headers_replace (headers, "Authorization", request->authorization);
  if (self->certificate != NULL)
    soup_message_set_tls_client_certificate (message, self->certificate);
  /* A server that may use the connection again throws away what it has not read of a request when
   * it begins to answer, and of many watches only the first ones would be there. */
  if (request->line != NULL)
    soup_message_headers_replace (headers, "Connection", "close");
  return message;
}

CommyHttpExchange *
commy_http_send (CommyHttp *self, const CommyHttpRequest *request)
{
  CommyHttpExchange *exchange = g_new0 (CommyHttpExchange, 1);

  exchange->http = self;
  exchange->message = new_message (self, request);
  g_signal_connect (exchange->message, "starting", G_CALLBACK (on_starting), exchange);
  g_signal_connect (exchange->message, "network-event", G_CALLBACK (on_network_event), NULL);
  exchange->cancellable = g_cancellable_new ();
  exchange->body = g_byte_array_new ();
  exchange->max = request->max;
  exchange->limit_ns = request->limit_ns;
  exchange->line = request->line;
  exchange->is_stream = request->line != NULL;
  exchange->done = request->done;
  exchange->user_data = request->user_data;
  exchange->timer = self->host->add_timer (self->host, request->limit_ns, on_limit, exchange);
  g_ptr_array_add (self->open, exchange);
  begin_asking (exchange);
  soup_session_send_async (exchange->is_stream ? self->streams : self->session, exchange->message,
                           G_PRIORITY_DEFAULT, exchange->cancellable, on_sent, exchange);
  return exchange;
}

void
commy_http_cancel (CommyHttpExchange *self)
{
  if (self == NULL || self->done == NULL)
    return;
  forget (self);
  g_cancellable_cancel (self->cancellable);
}

/* --- the client --- */

static gboolean
is_loopback (const char *host)
{
  g_autoptr (GInetAddress) address = g_inet_address_new_from_string (host);

  if (address != NULL)
    return g_inet_address_get_is_loopback (address);
  return g_ascii_strcasecmp (host, "localhost") == 0; /* GIO asks no name server about it */
}

const char *
commy_http_url_why_not (const char *url, gboolean allows_loopback)
{
  g_autoptr (GUri) uri = NULL;
  const char *host;

  if (strlen (url) > URL_MAX)
    return "it has more than 2048 bytes";
  uri = g_uri_parse (url, G_URI_FLAGS_NONE, NULL);
  host = uri != NULL ? g_uri_get_host (uri) : NULL;
  if (host == NULL || *host == '\0')
    return "it is no address such as https://login.example.org";
  if (g_uri_get_userinfo (uri) != NULL || g_uri_get_fragment (uri) != NULL)
    return "it has a user or a fragment";
  if (strcmp (g_uri_get_scheme (uri), "https") == 0)
    return NULL;
  if (strcmp (g_uri_get_scheme (uri), "http") != 0)
    return "it is neither https nor http";
  if (!allows_loopback || !is_loopback (host))
    return "it is not https (plain http is for this host only, and where insecure-loopback allows "
           "it)";
  return NULL;
}

static gboolean
is_given (const char *path)
{
  return path != NULL && *path != '\0';
}

static gboolean
read_certificate (CommyHttp *self, const CommyHttpSettings *settings, GError **error)
{
  self->certificate = g_tls_certificate_new_from_files (
      settings->certificate, is_given (settings->key) ? settings->key : settings->certificate,
      error);
  if (self->certificate == NULL)
    g_prefix_error (error, "certificate: ");
  return self->certificate != NULL;
}

static gboolean
set_up_tls (CommyHttp *self, const CommyHttpSettings *settings, GError **error)
{
  if (is_given (settings->ca))
    {
      g_autoptr (GTlsDatabase) authorities = g_tls_file_database_new (settings->ca, error);

      if (authorities == NULL)
        {
          g_prefix_error (error, "ca: ");
          return FALSE;
        }
      soup_session_set_tls_database (self->session, authorities);
      soup_session_set_tls_database (self->streams, authorities);
    }
  return !is_given (settings->certificate) || read_certificate (self, settings, error);
}

/* @socket: or NULL */
static SoupSession *
new_session (GSocketAddress *socket)
{
  /* Each exchange has its own limit; libsoup's would end a stream that has no news for a minute. */
  SoupSession *session = soup_session_new_with_options (
      "max-conns", MAX_CONNECTIONS, "max-conns-per-host", MAX_CONNECTIONS, "idle-timeout", 0,
      "timeout", 0, "proxy-resolver", NULL, "remote-connectable", socket, NULL);

  soup_session_remove_feature_by_type (session, SOUP_TYPE_CONTENT_DECODER);
  soup_session_remove_feature_by_type (session, SOUP_TYPE_AUTH_MANAGER);
  return session;
}

CommyHttp *
commy_http_new (CommyHost *host, const CommyHttpSettings *settings, GError **error)
{
  CommyHttp *self = g_new0 (CommyHttp, 1);
  g_autoptr (GSocketAddress) socket
      = is_given (settings->socket) ? g_unix_socket_address_new (settings->socket) : NULL;

  self->host = host;
  self->open = g_ptr_array_new ();
  self->session = new_session (socket);
  self->streams = new_session (socket);
  if (!set_up_tls (self, settings, error))
    g_clear_pointer (&self, commy_http_free);
  return self;
}

static gboolean
on_grace_over (gpointer user_data)
{
  *(gboolean *) user_data = TRUE;
  return G_SOURCE_CONTINUE;
}

/* What was cancelled calls back once more, but for what libsoup forgot when a server ended the
 * connection between handshake and request. */
static void
wait_for_open (CommyHttp *self)
{
  GMainContext *context = g_main_context_get_thread_default ();
  g_autoptr (GSource) grace = g_timeout_source_new (GRACE_MS);
  gboolean is_over = FALSE;

  g_source_set_callback (grace, on_grace_over, &is_over, NULL);
  g_source_attach (grace, context);
  while (self->open->len > 0 && !is_over)
    g_main_context_iteration (context, TRUE);
  g_source_destroy (grace);
  for (guint i = 0; i < self->open->len; i++)
    ((CommyHttpExchange *) self->open->pdata[i])->http = NULL;
}

void
commy_http_free (CommyHttp *self)
{
  if (self == NULL)
    return;
  for (guint i = 0; i < self->open->len; i++)
    commy_http_cancel (self->open->pdata[i]);
  if (self->idle_timer != 0)
    self->host->remove (self->host, self->idle_timer);
  soup_session_abort (self->session);
  soup_session_abort (self->streams);
  wait_for_open (self);
  g_object_unref (self->session);
  g_object_unref (self->streams);
  g_clear_object (&self->certificate);
  g_ptr_array_unref (self->open);
  g_free (self);
}
