/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One question and its answer over libsoup: no proxy, no cookie, no redirect, no body that grows
 * when it is unpacked; certificates are checked, and there is an end to its time and size.
 */
#include "config.h"

#include "auth/common/commy-credential.h"
#include "auth/oauth2/commy-oauth2.h"

#include <libsoup/soup.h>
#include <string.h>

#define READ_SIZE 16384
#define GRACE_MS 500
#define MAX_CONNECTIONS 32

struct _Oauth2Http
{
  CommyHost *host;
  SoupSession *session;
  GPtrArray *open; /* Oauth2Exchange that libsoup holds */
};

struct _Oauth2Exchange
{
  Oauth2Http *http; /* NULL: it is gone */
  SoupMessage *message;
  GCancellable *cancellable;
  GInputStream *stream;
  GByteArray *body;
  gsize max;
  guint timer;
  Oauth2ReplyFunc done; /* NULL: it is over for who asked */
  gpointer user_data;
  guint8 buffer[READ_SIZE];
};

/* libsoup's own copy of the client's secret, which it would only free. */
static void
wipe_credentials (SoupMessage *message)
{
  char *header = (char *) soup_message_headers_get_one (soup_message_get_request_headers (message),
                                                        "Authorization");

  if (header != NULL)
    explicit_bzero (header, strlen (header));
}

static void
exchange_free (Oauth2Exchange *self)
{
  if (self->http != NULL)
    g_ptr_array_remove_fast (self->http->open, self);
  wipe_credentials (self->message);
  g_object_unref (self->message);
  g_object_unref (self->cancellable);
  g_clear_object (&self->stream);
  if (self->body->len > 0)
    explicit_bzero (self->body->data, self->body->len);
  g_byte_array_unref (self->body);
  explicit_bzero (self->buffer, sizeof self->buffer);
  g_free (self);
}

static void
forget (Oauth2Exchange *self)
{
  self->done = NULL;
  if (self->timer != 0)
    self->http->host->remove (self->http->host, self->timer);
  self->timer = 0;
}

/* libsoup's words may be any bytes. */
static void
finish (Oauth2Exchange *self, const GError *error)
{
  Oauth2ReplyFunc done = self->done;
  g_autofree char *why = error != NULL ? g_utf8_make_valid (error->message, -1) : NULL;

  if (done == NULL)
    return;
  forget (self);
  if (why != NULL)
    g_strdelimit (why, "\r\n", ' ');
  done (self->user_data, soup_message_get_status (self->message),
        self->body->len > 0 ? (const char *) self->body->data : "", self->body->len, why);
}

static void
on_closed (GObject *object, GAsyncResult *result, gpointer user_data)
{
  g_input_stream_close_finish (G_INPUT_STREAM (object), result, NULL);
  exchange_free (user_data);
}

static void
let_go (Oauth2Exchange *self)
{
  if (self->stream != NULL)
    g_input_stream_close_async (self->stream, G_PRIORITY_DEFAULT, NULL, on_closed, self);
  else
    exchange_free (self);
}

static void read_more (Oauth2Exchange *self);

static void
on_read (GObject *object, GAsyncResult *result, gpointer user_data)
{
  Oauth2Exchange *self = user_data;
  g_autoptr (GError) error = NULL;
  gssize n = g_input_stream_read_finish (self->stream, result, &error);

  if (n > 0 && self->body->len + (gsize) n > self->max)
    g_set_error (&error, G_IO_ERROR, G_IO_ERROR_NO_SPACE,
                 "its answer has more than %" G_GSIZE_FORMAT " bytes", self->max);
  if (self->done == NULL || n <= 0 || error != NULL)
    {
      finish (self, error);
      let_go (self);
      return;
    }
  g_byte_array_append (self->body, self->buffer, (guint) n);
  read_more (self);
}

static void
read_more (Oauth2Exchange *self)
{
  g_input_stream_read_async (self->stream, self->buffer, READ_SIZE, G_PRIORITY_DEFAULT,
                             self->cancellable, on_read, self);
}

static void
on_sent (GObject *object, GAsyncResult *result, gpointer user_data)
{
  Oauth2Exchange *self = user_data;
  g_autoptr (GError) error = NULL;

  self->stream = soup_session_send_finish (SOUP_SESSION (object), result, &error);
  if (self->stream != NULL)
    {
      read_more (self);
      return;
    }
  finish (self, error);
  let_go (self);
}

static void
on_limit (gpointer user_data)
{
  Oauth2Exchange *self = user_data;
  g_autoptr (GError) error = NULL;

  self->timer = 0;
  g_set_error_literal (&error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT, "no answer in 5 s");
  g_cancellable_cancel (self->cancellable);
  finish (self, error);
}

/* RFC 6749, 2.3.1: both are encoded as in forms first. */
static void
add_credentials (SoupMessage *message, const char *id, const char *secret)
{
  g_autofree char *id_part = g_uri_escape_string (id, NULL, FALSE);
  char *secret_part = g_uri_escape_string (secret, NULL, FALSE);
  char *both = g_strconcat (id_part, ":", secret_part, NULL);
  char *encoded = g_base64_encode ((const guchar *) both, strlen (both));
  char *header = g_strconcat ("Basic ", encoded, NULL);
  char *secrets[] = { secret_part, both, encoded, header };

  soup_message_headers_replace (soup_message_get_request_headers (message), "Authorization",
                                header);
  for (gsize i = 0; i < G_N_ELEMENTS (secrets); i++)
    commy_credential_free (secrets[i]);
}

Oauth2Exchange *
oauth2_http_send (Oauth2Http *self, const Oauth2Request *request)
{
  Oauth2Exchange *exchange = g_new0 (Oauth2Exchange, 1);

  exchange->http = self;
  exchange->max = request->max;
  exchange->done = request->done;
  exchange->user_data = request->user_data;
  exchange->body = g_byte_array_new ();
  exchange->cancellable = g_cancellable_new ();
  exchange->message = soup_message_new (request->form != NULL ? SOUP_METHOD_POST : SOUP_METHOD_GET,
                                        request->url); /* addresses were checked */
  soup_message_add_flags (exchange->message, SOUP_MESSAGE_NO_REDIRECT);
  soup_message_headers_replace (soup_message_get_request_headers (exchange->message), "Accept",
                                "application/json");
  if (request->form != NULL)
    {
      g_autoptr (GBytes) body = commy_credential_new_bytes (request->form, strlen (request->form));

      soup_message_set_request_body_from_bytes (exchange->message,
                                                "application/x-www-form-urlencoded", body);
    }
  if (request->id != NULL)
    add_credentials (exchange->message, request->id, request->secret);
  exchange->timer = self->host->add_timer (self->host, OAUTH2_TIMEOUT_NS, on_limit, exchange);
  g_ptr_array_add (self->open, exchange);
  soup_session_send_async (self->session, exchange->message, G_PRIORITY_DEFAULT,
                           exchange->cancellable, on_sent, exchange);
  return exchange;
}

void
oauth2_exchange_cancel (Oauth2Exchange *self)
{
  if (self == NULL || self->done == NULL)
    return;
  forget (self);
  g_cancellable_cancel (self->cancellable);
}

Oauth2Http *
oauth2_http_new (CommyHost *host, const char *ca, GError **error)
{
  Oauth2Http *self;
  g_autoptr (GTlsDatabase) authorities = NULL;

  if (*ca != '\0')
    {
      authorities = g_tls_file_database_new (ca, error);
      if (authorities == NULL)
        return NULL;
    }
  self = g_new0 (Oauth2Http, 1);
  self->host = host;
  self->open = g_ptr_array_new ();
  self->session = soup_session_new_with_options ("max-conns", MAX_CONNECTIONS, "max-conns-per-host",
                                                 MAX_CONNECTIONS, "proxy-resolver", NULL, NULL);
  soup_session_remove_feature_by_type (self->session, SOUP_TYPE_CONTENT_DECODER);
  soup_session_remove_feature_by_type (self->session, SOUP_TYPE_AUTH_MANAGER);
  if (authorities != NULL)
    soup_session_set_tls_database (self->session, authorities);
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
wait_for_open (Oauth2Http *self)
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
    ((Oauth2Exchange *) self->open->pdata[i])->http = NULL;
}

void
oauth2_http_free (Oauth2Http *self)
{
  if (self == NULL)
    return;
  for (guint i = 0; i < self->open->len; i++)
    oauth2_exchange_cancel (self->open->pdata[i]);
  soup_session_abort (self->session);
  wait_for_open (self);
  g_object_unref (self->session);
  g_ptr_array_unref (self->open);
  g_free (self);
}
