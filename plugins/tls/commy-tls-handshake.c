/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From a connected socket to a connection whose peer is known, on the mesh thread.
 *
 * In TLS 1.3 a client is done before the server has judged its certificate. So the server says
 * one word more, "ready", and the client waits for it: both sides learn of a refusal while the
 * connection is being set up, and why.
 */
#include "config.h"

#include "plugins/tls/commy-tls.h"

#include <string.h>

#define HANDSHAKE_PACKET_MAX (16 * 1024)

static gboolean
is_about_certificate (gnutls_alert_description_t alert)
{
  switch (alert)
    {
    case GNUTLS_A_BAD_CERTIFICATE:
    case GNUTLS_A_UNSUPPORTED_CERTIFICATE:
    case GNUTLS_A_CERTIFICATE_REVOKED:
    case GNUTLS_A_CERTIFICATE_EXPIRED:
    case GNUTLS_A_CERTIFICATE_UNKNOWN:
    case GNUTLS_A_CERTIFICATE_REQUIRED:
    case GNUTLS_A_UNKNOWN_CA:
    case GNUTLS_A_ACCESS_DENIED:
      return TRUE;
    default:
      return FALSE;
    }
}

static gnutls_alert_description_t
alert_for (CommyPkiFault fault)
{
  switch (fault)
    {
    case COMMY_PKI_FAULT_MISSING:
      return GNUTLS_A_CERTIFICATE_REQUIRED;
    case COMMY_PKI_FAULT_UNKNOWN_AUTHORITY:
      return GNUTLS_A_UNKNOWN_CA;
    case COMMY_PKI_FAULT_EXPIRED:
      return GNUTLS_A_CERTIFICATE_EXPIRED;
    case COMMY_PKI_FAULT_REVOKED:
      return GNUTLS_A_CERTIFICATE_REVOKED;
    case COMMY_PKI_FAULT_PURPOSE:
      return GNUTLS_A_UNSUPPORTED_CERTIFICATE;
    case COMMY_PKI_FAULT_NAME:
      return GNUTLS_A_ACCESS_DENIED;
    default:
      return GNUTLS_A_BAD_CERTIFICATE;
    }
}

static GPtrArray *
dup_peer_chain (gnutls_session_t session)
{
  GPtrArray *chain = g_ptr_array_new_with_free_func ((GDestroyNotify) g_bytes_unref);
  unsigned n = 0;
  const gnutls_datum_t *ders = gnutls_certificate_get_peers (session, &n);

  for (unsigned i = 0; ders != NULL && i < n; i++)
    g_ptr_array_add (chain, g_bytes_new (ders[i].data, ders[i].size));
  return chain;
}

/* Which one it was, and whose it says it is. */
static void
tell_refused (TlsConnection *self)
{
  g_autofree char *shown
      = commy_pki_describe_shown ((GBytes *const *) self->chain->pdata, self->chain->len);
  g_autofree char *why = self->failure->message;

  self->failure->message = g_strdup_printf ("refused the peer at %s: %s%s%s", self->peer, why,
                                            shown != NULL ? "; " : "", shown != NULL ? shown : "");
}

/* Called by GnuTLS in mid handshake: a client refuses before it shows who it is. */
static int
verify_peer (gnutls_session_t session)
{
  TlsConnection *self = gnutls_session_get_ptr (session);
  CommyPkiFault fault = COMMY_PKI_FAULT_NONE;
  g_autofree char *id = NULL;

  g_clear_pointer (&self->chain, g_ptr_array_unref);
  g_clear_error (&self->failure);
  self->chain = dup_peer_chain (session);
  id = commy_pki_trust_verify (self->credentials->trust, (GBytes *const *) self->chain->pdata,
                               self->chain->len,
                               self->is_server ? COMMY_PKI_CLIENT : COMMY_PKI_SERVER,
                               g_get_real_time () / G_USEC_PER_SEC, &fault, &self->failure);
  if (id != NULL)
    return 0;
  self->failure->code = COMMY_ERROR_REFUSED;
  tell_refused (self);
  self->alert = alert_for (fault);
  return GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR;
}

static int
make_session (TlsConnection *self)
{
  const gnutls_datum_t alpn = { (guint8 *) TLS_ALPN, sizeof TLS_ALPN - 1 };
  const unsigned common = GNUTLS_NONBLOCK | GNUTLS_NO_SIGNAL | GNUTLS_NO_TICKETS;
  int code = gnutls_init (
      &self->session,
      common | (self->is_server ? GNUTLS_SERVER : GNUTLS_CLIENT | GNUTLS_FORCE_CLIENT_CERT));

  if (code < 0)
    return code;
  gnutls_session_set_ptr (self->session, self);
  gnutls_handshake_set_max_packet_length (self->session, HANDSHAKE_PACKET_MAX);
  gnutls_handshake_set_timeout (self->session, 0); /* ours is a timer of the mesh thread */
  gnutls_session_set_verify_function (self->session, verify_peer);
  if (self->is_server)
    gnutls_certificate_server_set_request (self->session, GNUTLS_CERT_REQUIRE);
  code = gnutls_priority_set (self->session, self->instance->priority);
  if (code >= 0)
    code
        = gnutls_credentials_set (self->session, GNUTLS_CRD_CERTIFICATE, self->credentials->gnutls);
  if (code >= 0)
    code = gnutls_alpn_set_protocols (self->session, &alpn, 1, GNUTLS_ALPN_MANDATORY);
  return code;
}

/* The peer's alert, as what it means for the one who reads it. */
static void
explain_alert (TlsConnection *self, GError **error)
{
  gnutls_alert_description_t alert = gnutls_alert_get (self->session);
  const char *name = gnutls_alert_get_name (alert);

  if (is_about_certificate (alert))
    g_set_error (error, TLS_ERROR, COMMY_ERROR_REFUSED,
                 "the peer at %s refused this node's certificate: %s", self->peer,
                 name == NULL ? "no reason given" : name);
  else
    g_set_error (error, TLS_ERROR, COMMY_ERROR_HANDSHAKE, "the peer at %s ended the handshake: %s",
                 self->peer, name == NULL ? "no reason given" : name);
}

/* Why the handshake failed; tells the peer too, where it was not the one to end it. */
static GError *
handshake_error (TlsConnection *self, int code)
{
  GError *error = NULL;

  if (self->failure != NULL)
    {
      gnutls_alert_send (self->session, GNUTLS_AL_FATAL, self->alert);
      return g_steal_pointer (&self->failure);
    }
  if (code == GNUTLS_E_FATAL_ALERT_RECEIVED)
    {
      explain_alert (self, &error);
      return error;
    }
  if (code == GNUTLS_E_CERTIFICATE_REQUIRED || code == GNUTLS_E_NO_CERTIFICATE_FOUND)
    g_set_error (&error, TLS_ERROR, COMMY_ERROR_REFUSED,
                 "refused the peer at %s: it showed no certificate", self->peer);
  else if (self->link.in_eof || code == GNUTLS_E_PREMATURE_TERMINATION
           || code == GNUTLS_E_PULL_ERROR || code == GNUTLS_E_PUSH_ERROR)
    g_set_error (&error, TLS_ERROR, COMMY_ERROR_HANDSHAKE,
                 "the peer at %s hung up in the handshake", self->peer);
  else
    g_set_error (&error, TLS_ERROR, COMMY_ERROR_HANDSHAKE, "the handshake with %s failed: %s",
                 self->peer, gnutls_strerror (code));
  if (code == GNUTLS_E_CERTIFICATE_REQUIRED || code == GNUTLS_E_NO_CERTIFICATE_FOUND)
    gnutls_alert_send (self->session, GNUTLS_AL_FATAL, GNUTLS_A_CERTIFICATE_REQUIRED);
  else
    gnutls_alert_send_appropriate (self->session, code);
  return error;
}

/* What has to be true of a finished handshake, whatever the other side said. */
static gboolean
check_agreement (TlsConnection *self, GError **error)
{
  gnutls_datum_t alpn = { NULL, 0 };
  gnutls_datum_t binding = { NULL, 0 };

  if (gnutls_protocol_get_version (self->session) != GNUTLS_TLS1_3
      || gnutls_alpn_get_selected_protocol (self->session, &alpn) < 0
      || alpn.size != sizeof TLS_ALPN - 1 || memcmp (alpn.data, TLS_ALPN, alpn.size) != 0)
    {
      g_set_error (error, TLS_ERROR, COMMY_ERROR_HANDSHAKE,
                   "the peer at %s does not speak %s over TLS 1.3", self->peer, TLS_ALPN);
      return FALSE;
    }
  if (self->chain == NULL || self->chain->len == 0)
    {
      g_set_error (error, TLS_ERROR, COMMY_ERROR_REFUSED,
                   "refused the peer at %s: it showed no certificate", self->peer);
      return FALSE;
    }
  if (gnutls_session_channel_binding (self->session, GNUTLS_CB_TLS_EXPORTER, &binding) >= 0
      && binding.size == sizeof self->binding)
    {
      memcpy (self->binding, binding.data, sizeof self->binding);
      self->has_binding = TRUE;
    }
  gnutls_free (binding.data);
  return TRUE;
}

static void
stop_watching (TlsConnection *self)
{
  CommyHost *host = self->instance->host;

  if (self->watch != 0)
    host->remove (host, self->watch);
  if (self->timer != 0)
    host->remove (host, self->timer);
  self->watch = self->timer = 0;
}

void
tls_connection_watch (TlsConnection *self, int fd, guint condition, CommyHostFdFunc func)
{
  CommyHost *host = self->instance->host;

  if (self->watch != 0 && self->watch_condition == condition && self->watch_func == func)
    return;
  if (self->watch != 0)
    host->remove (host, self->watch);
  self->watch_condition = condition;
  self->watch_func = func;
  self->watch = host->watch_fd (host, fd, condition, func, self);
}

void
tls_connection_settle (TlsConnection *self, GError *error)
{
  g_autoptr (GError) why = error;
  TlsListener *listener = self->listener;
  g_autoptr (TlsDialer) dialer = g_steal_pointer (&self->dialer);

  stop_watching (self);
  self->listener = NULL;
  if (listener != NULL)
    tls_listener_forget (listener, self);
  if (why == NULL)
    {
      self->stage = TLS_STAGE_OPEN;
      self->link.may_grow = TRUE;
    }
  else /* who is too many is told nothing, and nothing lingers for it */
    tls_connection_clear (self, why->code != COMMY_ERROR_BUSY);
  if (listener != NULL)
    tls_listener_settle (listener, self, why);
  else
    tls_dialer_settle (dialer, self, why);
}

static void
on_fail_later (gpointer user_data)
{
  TlsConnection *self = user_data;

  self->timer = 0;
  tls_connection_settle (self, g_steal_pointer (&self->failure));
}

void
tls_connection_fail_later (TlsConnection *self, GError *error)
{
  stop_watching (self);
  self->failure = error;
  self->timer = self->instance->host->add_timer (self->instance->host, 0, on_fail_later, self);
}

static void
on_deadline (gpointer user_data)
{
  TlsConnection *self = user_data;
  GError *error = NULL;

  self->timer = 0;
  g_set_error (&error, TLS_ERROR, COMMY_ERROR_HANDSHAKE,
               "the peer at %s did not finish the handshake within %" G_GINT64_FORMAT " ms",
               self->peer, self->instance->handshake_timeout_ns / TLS_MS);
  tls_connection_settle (self, error);
}

/* The client's last step. */
static gboolean
await_ready (TlsConnection *self, GError **error)
{
  switch (tls_receive_ready (self))
    {
    case COMMY_IO_OK:
      return TRUE;
    case COMMY_IO_WOULD_BLOCK:
      return FALSE;
    default:
      if (gnutls_alert_get (self->session) != GNUTLS_A_CLOSE_NOTIFY)
        explain_alert (self, error);
      else
        g_set_error (error, TLS_ERROR, COMMY_ERROR_HANDSHAKE,
                     "the peer at %s ended the handshake: %s", self->peer, self->receive_why);
      return FALSE;
    }
}

/* One step of set-up. TRUE once the connection is open. */
static gboolean
handshake_step (TlsConnection *self, GError **error)
{
  int code = GNUTLS_E_SUCCESS;

  if (self->stage == TLS_STAGE_AWAIT_READY)
    return await_ready (self, error);
  do
    code = gnutls_handshake (self->session);
  while (code == GNUTLS_E_INTERRUPTED || code == GNUTLS_E_WARNING_ALERT_RECEIVED);
  if (code == GNUTLS_E_AGAIN)
    return FALSE;
  if (code < 0)
    {
      *error = handshake_error (self, code);
      return FALSE;
    }
  if (!check_agreement (self, error))
    return FALSE;
  if (self->is_server)
    {
      tls_send_ready (self);
      return TRUE;
    }
  self->stage = TLS_STAGE_AWAIT_READY;
  return await_ready (self, error);
}

static void
on_ready (gpointer user_data, int fd, guint condition)
{
  TlsConnection *self = user_data;
  GError *error = NULL;
  gboolean open = handshake_step (self, &error);

  self->answered = self->answered || tls_link_pending (&self->link) > 0;
  self->heard = FALSE;
  tls_link_flush (&self->link);
  if (open || error != NULL)
    {
      tls_connection_settle (self, error);
      return;
    }
  condition = G_IO_IN;
  if (tls_link_pending (&self->link) > 0)
    condition |= G_IO_OUT;
  tls_connection_watch (self, self->link.fd, condition, on_ready);
}

/* The session, and all that it costs. */
static gboolean
begin_session (TlsConnection *self, GError **error)
{
  int code;

  tls_socket_options (self->instance, self->link.fd);
  self->credentials = tls_credentials_get (self->instance, error);
  if (self->credentials == NULL)
    return FALSE;
  code = make_session (self);
  if (code < 0)
    {
      g_set_error (error, TLS_ERROR, COMMY_ERROR_HANDSHAKE, "cannot begin a TLS session: %s",
                   gnutls_strerror (code));
      return FALSE;
    }
  tls_link_attach (&self->link, self->session);
  return TRUE;
}

static void
watch_from_now (TlsConnection *self, guint condition, CommyHostFdFunc func)
{
  CommyHost *host = self->instance->host;

  self->since_ns = host->now_ns (host);
  self->timer = host->add_timer (host, self->instance->handshake_timeout_ns, on_deadline, self);
  tls_connection_watch (self, self->link.fd, condition, func);
}

void
tls_handshake_start (TlsConnection *self, int fd)
{
  GError *error = NULL;

  self->stage = TLS_STAGE_HANDSHAKE;
  tls_link_init (&self->link, fd);
  if (begin_session (self, &error))
    watch_from_now (self, G_IO_OUT, on_ready); /* a client speaks first */
  else
    tls_connection_fail_later (self, error);
}

gboolean
tls_handshake_has_hello (TlsConnection *self)
{
  return commy_pki_hello_is_there (self->link.fd);
}

/* A client that speaks a byte at a time wakes nobody until there is something to answer. */
static void
on_first (gpointer user_data, int fd, guint condition)
{
  TlsConnection *self = user_data;

  if (!commy_pki_hello_await (fd, &self->awaited))
    tls_crowd_enqueue (&self->listener->crowd, self);
}

void
tls_handshake_begin (TlsConnection *self)
{
  GError *error = NULL;

  if (begin_session (self, &error))
    on_ready (self, self->link.fd, G_IO_IN);
  else
    tls_connection_settle (self, error);
}

void
tls_handshake_await (TlsConnection *self, int fd)
{
  self->stage = TLS_STAGE_HANDSHAKE;
  tls_link_init (&self->link, fd);
  watch_from_now (self, G_IO_IN, on_first);
}

void
tls_connection_clear (TlsConnection *self, gboolean politely)
{
  if (self->stage == TLS_STAGE_NONE)
    return;
  stop_watching (self);
  g_clear_pointer (&self->dialer, tls_dialer_free);
  if (politely && self->stage == TLS_STAGE_OPEN)
    tls_send_finish (self);
  if (self->stage > TLS_STAGE_DIALING)
    {
      if (politely && self->session != NULL)
        tls_link_leave (&self->link, &self->instance->lingers);
      else
        tls_link_clear (&self->link);
    }
  if (self->session != NULL)
    gnutls_deinit (self->session);
  self->session = NULL;
  self->stage = TLS_STAGE_NONE;
  tls_receive_clear (self);
  g_clear_pointer (&self->credentials, tls_credentials_unref);
  g_clear_pointer (&self->chain, g_ptr_array_unref);
  g_clear_pointer (&self->plain, g_free);
  g_clear_pointer (&self->peer, g_free);
  g_clear_pointer (&self->send_why, g_free);
  g_clear_pointer (&self->receive_why, g_free);
  g_clear_error (&self->failure);
}
