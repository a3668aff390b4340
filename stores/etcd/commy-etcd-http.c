/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Exchanges over libsoup: see the header. An exchange lives until libsoup has let go of it; who
 * cancelled it has forgotten it long before.
 */
#include "config.h"

#include "commy-etcd-http.h"

#include "commy-etcd-codec.h"

#include <libsoup/soup.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#define READ_SIZE 65536
/* Streams take one connection each for good, so there must be room beside them. */
#define MAX_CONNECTIONS 64
#define GRACE_MS 500
/* A connection on which nothing is said is asked about by the kernel: dead after 4 + 3 * 2 s. */
#define KEEPALIVE_IDLE_S 4
#define KEEPALIVE_EVERY_S 2
#define KEEPALIVE_TRIES 3

/* Shows our certificate to who asks for one. */
#define COMMY_TYPE_ETCD_INTERACTION (commy_etcd_interaction_get_type ())
G_DECLARE_FINAL_TYPE (
    CommyEtcdInteraction, commy_etcd_interaction, COMMY, ETCD_INTERACTION, GTlsInteraction)

struct _CommyEtcdInteraction
{
  GTlsInteraction parent;
  GTlsCertificate *certificate;
};

G_DEFINE_TYPE (CommyEtcdInteraction, commy_etcd_interaction, G_TYPE_TLS_INTERACTION)

static GTlsInteractionResult
interaction_request_certificate (GTlsInteraction *interaction,
                                 GTlsConnection *connection,
                                 GTlsCertificateRequestFlags flags,
                                 GCancellable *cancellable,
                                 GError **error)
{
  CommyEtcdInteraction *self = COMMY_ETCD_INTERACTION (interaction);

  g_tls_connection_set_certificate (connection, self->certificate);
  return G_TLS_INTERACTION_HANDLED;
}

static void
interaction_finalize (GObject *object)
{
  g_clear_object (&COMMY_ETCD_INTERACTION (object)->certificate);
  G_OBJECT_CLASS (commy_etcd_interaction_parent_class)->finalize (object);
}

static void
commy_etcd_interaction_class_init (CommyEtcdInteractionClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = interaction_finalize;
  G_TLS_INTERACTION_CLASS (klass)->request_certificate = interaction_request_certificate;
}

static void
commy_etcd_interaction_init (CommyEtcdInteraction *self)
{
}

struct _CommyEtcdHttp
{
  CommyHost *host;
  SoupSession *session;
  gsize max_answer;
  GPtrArray *exchanges; /* under way */
  GPtrArray *open;      /* that libsoup holds */
};

struct _CommyEtcdExchange
{
  CommyEtcdHttp *http;
  SoupMessage *message;
  GCancellable *cancellable;
  GInputStream *stream;
  guint timer;
  GByteArray *body; /* what came and was not told yet */
  CommyEtcdLineFunc line;
  CommyEtcdReplyFunc done; /* NULL: it is over for who asked */
  gpointer user_data;
  gboolean was_sent;
  guint8 *buffer;
};

static void
exchange_free (gpointer data)
{
  CommyEtcdExchange *self = data;

  if (self->http != NULL)
    g_ptr_array_remove_fast (self->http->open, self);
  g_object_unref (self->message);
  g_object_unref (self->cancellable);
  g_clear_object (&self->stream);
  g_byte_array_unref (self->body);
  g_free (self->buffer);
  g_free (self);
}

static void
forget (CommyEtcdExchange *self)
{
  self->done = NULL;
  self->line = NULL;
  if (self->timer != 0)
    self->http->host->remove (self->http->host, self->timer);
  self->timer = 0;
  g_ptr_array_remove_fast (self->http->exchanges, self);
}

static void
finish (CommyEtcdExchange *self, const GError *error)
{
  CommyEtcdReplyFunc done = self->done;
  CommyEtcdReply reply = { .status = soup_message_get_status (self->message),
                           .data = self->body->len > 0 ? (const char *) self->body->data : "",
                           .size = self->body->len,
                           .was_sent = self->was_sent };

  if (done == NULL)
    return;
  forget (self);
  done (self->user_data, &reply, error);
}

static void
on_closed (GObject *object, GAsyncResult *result, gpointer user_data)
{
  g_input_stream_close_finish (G_INPUT_STREAM (object), result, NULL);
  exchange_free (user_data);
}

/* The connection is used again only when the stream was closed. */
static void
let_go (CommyEtcdExchange *self)
{
  if (self->stream != NULL)
    g_input_stream_close_async (self->stream, G_PRIORITY_DEFAULT, NULL, on_closed, self);
  else
    exchange_free (self);
}

static void
stop_timer (CommyEtcdExchange *self)
{
  if (self->timer != 0)
    self->http->host->remove (self->http->host, self->timer);
  self->timer = 0;
}

/* Tells whole lines; each may end the exchange. */
static void
tell_lines (CommyEtcdExchange *self, gsize from)
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

static void read_more (CommyEtcdExchange *self);

static void
on_read (GObject *object, GAsyncResult *result, gpointer user_data)
{
  CommyEtcdExchange *self = user_data;
  g_autoptr (GError) error = NULL;
  gssize n = g_input_stream_read_finish (self->stream, result, &error);
  gsize before = self->body->len;
  gboolean is_stream = self->line != NULL && soup_message_get_status (self->message) == 200;

  if (n > 0 && before + (gsize) n > self->http->max_answer)
    g_set_error (&error, COMMY_ETCD_ERROR, COMMY_ERROR_TOO_BIG,
                 "etcd's answer has more than the %" G_GSIZE_FORMAT " bytes that max-answer allows",
                 self->http->max_answer);
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
read_more (CommyEtcdExchange *self)
{
  if (self->done == NULL)
    {
      let_go (self);
      return;
    }
  g_input_stream_read_async (self->stream, self->buffer, READ_SIZE, G_PRIORITY_DEFAULT,
                             self->cancellable, on_read, self);
}

static void
on_sent (GObject *object, GAsyncResult *result, gpointer user_data)
{
  CommyEtcdExchange *self = user_data;
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
  CommyEtcdExchange *self = user_data;

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

  if (event != G_SOCKET_CLIENT_CONNECTED || !G_IS_SOCKET_CONNECTION (connection))
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
  CommyEtcdExchange *self = user_data;
  g_autoptr (GError) error = NULL;

  self->timer = 0;
  g_set_error_literal (&error, COMMY_ETCD_ERROR, COMMY_ERROR_DEADLINE, "no answer in time");
  g_cancellable_cancel (self->cancellable);
  finish (self, error);
}

CommyEtcdExchange *
commy_etcd_http_post (CommyEtcdHttp *self, const CommyEtcdRequest *request)
{
  CommyEtcdExchange *exchange = g_new0 (CommyEtcdExchange, 1);
  g_autofree char *uri = g_strconcat (request->member, request->path, NULL);
  g_autoptr (GBytes) body = g_bytes_new (request->body, strlen (request->body));

  exchange->http = self;
  exchange->message = soup_message_new (SOUP_METHOD_POST, uri); /* members were checked */
  /* A connection that was used before may have been closed meanwhile, and then libsoup would send
   * the request twice: what must not happen twice goes over one of its own. */
  soup_message_add_flags (exchange->message,
                          SOUP_MESSAGE_NO_REDIRECT
                              | (request->is_repeatable ? SOUP_MESSAGE_IDEMPOTENT : 0));
  soup_message_set_request_body_from_bytes (exchange->message, "application/json", body);
  if (request->token != NULL)
    soup_message_headers_replace (soup_message_get_request_headers (exchange->message),
                                  "Authorization", request->token);
  /* A server that may use the connection again throws away what it has not read of a request when
   * it begins to answer, and of many watches only the first ones would be there. */
  if (request->line != NULL)
    soup_message_headers_replace (soup_message_get_request_headers (exchange->message),
                                  "Connection", "close");
  g_signal_connect (exchange->message, "starting", G_CALLBACK (on_starting), exchange);
  g_signal_connect (exchange->message, "network-event", G_CALLBACK (on_network_event), NULL);
  exchange->cancellable = g_cancellable_new ();
  exchange->body = g_byte_array_new ();
  exchange->line = request->line;
  exchange->done = request->done;
  exchange->user_data = request->user_data;
  exchange->timer = self->host->add_timer (self->host, request->limit_ns, on_limit, exchange);
  g_ptr_array_add (self->exchanges, exchange);
  g_ptr_array_add (self->open, exchange);
  soup_session_send_async (self->session, exchange->message, G_PRIORITY_DEFAULT,
                           exchange->cancellable, on_sent, exchange);
  return exchange;
}

void
commy_etcd_exchange_cancel (CommyEtcdExchange *self)
{
  if (self->done == NULL)
    return;
  forget (self);
  g_cancellable_cancel (self->cancellable);
}

static gboolean
show_certificate (CommyEtcdHttp *self,
                  const char *certificate_file,
                  const char *key_file,
                  GError **error)
{
  g_autoptr (CommyEtcdInteraction) interaction = NULL;
  GTlsCertificate *certificate = g_tls_certificate_new_from_files (
      certificate_file, key_file[0] != '\0' ? key_file : certificate_file, error);

  if (certificate == NULL)
    {
      g_prefix_error (error, "certificate: ");
      return FALSE;
    }
  interaction = g_object_new (COMMY_TYPE_ETCD_INTERACTION, NULL);
  interaction->certificate = certificate;
  soup_session_set_tls_interaction (self->session, G_TLS_INTERACTION (interaction));
  return TRUE;
}

static gboolean
set_up_tls (CommyEtcdHttp *self,
            const char *ca_file,
            const char *certificate_file,
            const char *key_file,
            GError **error)
{
  if (ca_file[0] != '\0')
    {
      g_autoptr (GTlsDatabase) authorities = g_tls_file_database_new (ca_file, error);

      if (authorities == NULL)
        {
          g_prefix_error (error, "ca: ");
          return FALSE;
        }
      soup_session_set_tls_database (self->session, authorities);
    }
  return certificate_file[0] == '\0' || show_certificate (self, certificate_file, key_file, error);
}

CommyEtcdHttp *
commy_etcd_http_new (CommyHost *host,
                     const char *ca_file,
                     const char *certificate_file,
                     const char *key_file,
                     gsize max_answer,
                     GError **error)
{
  CommyEtcdHttp *self = g_new0 (CommyEtcdHttp, 1);

  self->host = host;
  self->max_answer = max_answer;
  self->exchanges = g_ptr_array_new ();
  self->open = g_ptr_array_new ();
  /* Neither proxies nor a body that grows when it is unpacked, and no passwords of its own. */
  self->session = soup_session_new_with_options ("max-conns", MAX_CONNECTIONS, "max-conns-per-host",
                                                 MAX_CONNECTIONS, "proxy-resolver", NULL, NULL);
  soup_session_remove_feature_by_type (self->session, SOUP_TYPE_CONTENT_DECODER);
  soup_session_remove_feature_by_type (self->session, SOUP_TYPE_AUTH_MANAGER);
  if (!set_up_tls (self, ca_file, certificate_file, key_file, error))
    g_clear_pointer (&self, commy_etcd_http_free);
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
wait_for_open (CommyEtcdHttp *self)
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
    ((CommyEtcdExchange *) self->open->pdata[i])->http = NULL;
}

void
commy_etcd_http_free (CommyEtcdHttp *self)
{
  if (self == NULL)
    return;
  while (self->exchanges->len > 0)
    commy_etcd_exchange_cancel (self->exchanges->pdata[0]);
  soup_session_abort (self->session);
  wait_for_open (self);
  g_object_unref (self->session);
  g_ptr_array_unref (self->exchanges);
  g_ptr_array_unref (self->open);
  g_free (self);
}
