/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The newcomer's side of an admission. Blocks, with one deadline over all of it. Nothing secret
 * is sent, and no certificate shown, before the other side proved to be the authority.
 */
#include "config.h"

#include "auth/common/commy-pki-wire.h"

#include <string.h>

struct _CommyPkiClient
{
  const CommyPkiPeer *peer; /* during open only */
  char *address;
  GSocketConnection *connection;
  GSocket *socket; /* the connection's */
  GCancellable *cancellable;
  gint64 deadline_us;
  gnutls_priority_t priority;
  gnutls_certificate_credentials_t credentials;
  gnutls_session_t tls;
  GError *refusal; /* ours, from inside GnuTLS's callback */
  gint64 time_s;
};

void
commy_pki_client_free (CommyPkiClient *self)
{
  if (self == NULL)
    return;
  if (self->tls != NULL)
    gnutls_deinit (self->tls);
  if (self->credentials != NULL)
    gnutls_certificate_free_credentials (self->credentials);
  if (self->priority != NULL)
    gnutls_priority_deinit (self->priority);
  g_clear_object (&self->connection);
  g_clear_object (&self->cancellable);
  g_clear_error (&self->refusal);
  g_free (self->address);
  g_free (self);
}

gint64
commy_pki_client_get_time (CommyPkiClient *self)
{
  return self->time_s;
}

const char *
commy_pki_client_get_address (CommyPkiClient *self)
{
  return self->address;
}

/* --- connecting --- */

typedef struct
{
  GCancellable *inner;
  GSocketConnection *connection;
  GError *error;
  gboolean done;
  gboolean late;
} Dialing;

static void
on_connected (GObject *source, GAsyncResult *result, gpointer data)
{
  Dialing *dialing = data;

  dialing->connection
      = g_socket_client_connect_to_host_finish (G_SOCKET_CLIENT (source), result, &dialing->error);
  dialing->done = TRUE;
}

static gboolean
on_late (gpointer data)
{
  Dialing *dialing = data;

  dialing->late = TRUE;
  g_cancellable_cancel (dialing->inner);
  return G_SOURCE_REMOVE;
}

static void
on_outer_cancelled (GCancellable *outer, gpointer inner)
{
  g_cancellable_cancel (inner);
}

/* Resolving counts too, and has no time limit of its own: hence a loop of our own. */
static void
dial (CommyPkiClient *self, Dialing *dialing, gint64 limit_us)
{
  g_autoptr (GMainContext) context = g_main_context_new ();
  g_autoptr (GSocketClient) client = NULL;
  g_autoptr (GSource) timer = NULL;
  gulong handler = 0;

  g_main_context_push_thread_default (context);
  client = g_socket_client_new ();
  g_socket_client_set_enable_proxy (client, FALSE);
  timer = g_timeout_source_new ((guint) (MAX (limit_us, 0) / 1000));
  g_source_set_callback (timer, on_late, dialing, NULL);
  g_source_attach (timer, context);
  if (self->cancellable != NULL)
    handler = g_cancellable_connect (self->cancellable, G_CALLBACK (on_outer_cancelled),
                                     dialing->inner, NULL);
  g_socket_client_connect_to_host_async (client, self->address, COMMY_PKI_PORT, dialing->inner,
                                         on_connected, dialing);
  while (!dialing->done)
    g_main_context_iteration (context, TRUE);
  if (self->cancellable != NULL)
    g_cancellable_disconnect (self->cancellable, handler);
  g_source_destroy (timer);
  g_main_context_pop_thread_default (context);
}

static gboolean
late (CommyPkiClient *self, GError **error)
{
  g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_DEADLINE,
               "%s did not answer in time: is the address right, is the port open, is the network "
               "up?",
               self->address);
  return FALSE;
}

static gboolean
connect_socket (CommyPkiClient *self, gint64 limit_us, GError **error)
{
  g_autoptr (GCancellable) inner = g_cancellable_new ();
  Dialing dialing = { .inner = inner };
  g_autoptr (GError) why = NULL;

  dial (self, &dialing, limit_us);
  why = dialing.error;
  if (dialing.connection != NULL)
    {
      self->connection = dialing.connection;
      self->socket = g_socket_connection_get_socket (self->connection);
      g_socket_set_blocking (self->socket, FALSE);
      return TRUE;
    }
  if (dialing.late)
    return late (self, error);
  if (g_error_matches (why, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED))
    g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_UNREACHABLE,
                 "nobody listens at %s: start the authority's service there (commy pki serve)",
                 self->address);
  else
    g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_UNREACHABLE, "cannot connect to %s: %s",
                 self->address, why->message);
  return FALSE;
}

/* --- TLS --- */

/* After "later" from GnuTLS: waits for the socket. FALSE: the deadline passed, or all is lost. */
static gboolean
wait_for (CommyPkiClient *self, GError **error)
{
  GIOCondition condition = gnutls_record_get_direction (self->tls) == 1 ? G_IO_OUT : G_IO_IN;
  gint64 left = self->deadline_us - g_get_monotonic_time ();
  g_autoptr (GError) why = NULL;

  if (left <= 0)
    return late (self, error);
  if (g_socket_condition_timed_wait (self->socket, condition, left, self->cancellable, &why))
    return TRUE;
  if (g_error_matches (why, G_IO_ERROR, G_IO_ERROR_TIMED_OUT))
    return late (self, error);
  g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_CANCELLED, "%s: %s", self->address,
               why->message);
  return FALSE;
}

/* The certificates of the other side as one text, without its own: authorities. */
static char *
dup_pem (GPtrArray *chain, guint from)
{
  GString *text = g_string_new (NULL);

  for (guint i = from; i < chain->len; i++)
    {
      gsize size;
      gnutls_datum_t der = { .data = (guint8 *) g_bytes_get_data (chain->pdata[i], &size) };
      gnutls_datum_t pem = { NULL, 0 };

      der.size = (unsigned) size;
      if (gnutls_pem_base64_encode2 ("CERTIFICATE", &der, &pem) < 0)
        continue;
      g_string_append_len (text, (const char *) pem.data, pem.size);
      gnutls_free (pem.data);
    }
  return g_string_free (text, FALSE);
}

static gboolean
refuse_other_key (CommyPkiClient *self, const guint8 *key, GError **error)
{
  g_autofree char *found = commy_pki_format_fingerprint (key);
  g_autofree char *wanted = commy_pki_format_fingerprint (self->peer->fingerprint);

  g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_JOIN,
               "%s belongs to another authority than the token: its key is %s, the token says %s; "
               "nothing secret was sent",
               self->address, found, wanted);
  return FALSE;
}

/* Whom to trust: for a newcomer the authority in the chain, if its key is the token's. */
static CommyPkiTrust *
find_trust (CommyPkiClient *self, GPtrArray *chain, GError **error)
{
  g_autofree char *pem = NULL;
  guint8 key[32];

  if (chain->len != 2 || !commy_pki_key_id (chain->pdata[1], key, NULL))
    {
      g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_JOIN,
                   "%s shows no authority of a mesh: it is something else than commy pki serve",
                   self->address);
      return NULL;
    }
  if (memcmp (key, self->peer->fingerprint, sizeof key) != 0)
    return refuse_other_key (self, key, error), NULL;
  pem = dup_pem (chain, 1);
  return commy_pki_trust_new (pem, error);
}

/* The clock is left out: whose is wrong, the greeting tells better. */
static gboolean
check_peer (CommyPkiClient *self, GError **error)
{
  g_autoptr (GPtrArray) chain = commy_pki_tls_dup_chain (self->tls);
  g_autoptr (CommyPkiTrust) own = NULL;
  const CommyPkiTrust *trust = NULL;
  g_autofree char *id = NULL;
  g_autofree char *domain = NULL;
  const char *path = NULL;

  if (self->peer->credentials != NULL)
    trust = self->peer->credentials->trust;
  else
    trust = own = find_trust (self, chain, error);
  if (trust == NULL)
    return FALSE;
  /* The authority itself is known already: its own certificate alone is to be judged. */
  id = commy_pki_trust_verify ((CommyPkiTrust *) trust, (GBytes *const *) chain->pdata,
                               MIN (chain->len, 1), COMMY_PKI_SERVER, COMMY_PKI_ANY_TIME, NULL,
                               error);
  if (id == NULL)
    {
      g_prefix_error (error, "%s is not this mesh's authority: ", self->address);
      return FALSE;
    }
  domain = commy_pki_parse_id (id, strlen (id), &path, NULL);
  if (strcmp (path, COMMY_PKI_AUTHORITY_PATH) == 0)
    return TRUE;
  g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_JOIN,
               "%s is %s and not the mesh's authority: nothing secret was sent", self->address, id);
  return FALSE;
}

static int
on_verify (gnutls_session_t tls)
{
  CommyPkiClient *self = gnutls_session_get_ptr (tls);

  return check_peer (self, &self->refusal) ? 0 : GNUTLS_E_CERTIFICATE_ERROR;
}

static gboolean
refuse_handshake (CommyPkiClient *self, int code, GError **error)
{
  if (self->refusal != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&self->refusal));
      return FALSE;
    }
  g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_HANDSHAKE,
               "%s answers, but not as a Commy authority (%s): is this the address of commy pki "
               "serve?",
               self->address,
               code == GNUTLS_E_FATAL_ALERT_RECEIVED
                   ? gnutls_alert_get_name (gnutls_alert_get (self->tls))
                   : gnutls_strerror (code));
  return FALSE;
}

static gboolean
handshake (CommyPkiClient *self, GError **error)
{
  const CommyPkiCredentials *mine = self->peer->credentials;
  int code = mine != NULL
                 ? commy_pki_tls_credentials (&self->credentials, mine->cert_pem, mine->key_pem)
                 : gnutls_certificate_allocate_credentials (&self->credentials);

  if (code >= 0)
    code = commy_pki_tls_priority (&self->priority);
  if (code >= 0)
    code = commy_pki_tls_session (&self->tls, GNUTLS_CLIENT, self->priority, self->credentials,
                                  g_socket_get_fd (self->socket));
  if (!commy_pki_check (code, "cannot speak TLS", error))
    return FALSE;
  gnutls_session_set_ptr (self->tls, self);
  gnutls_session_set_verify_function (self->tls, on_verify);
  while ((code = gnutls_handshake (self->tls)) < 0)
    {
      if (gnutls_error_is_fatal (code))
        return refuse_handshake (self, code, error);
      if (!wait_for (self, error))
        return FALSE;
    }
  if (commy_pki_tls_has_alpn (self->tls))
    return TRUE;
  g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_HANDSHAKE,
               "%s speaks TLS, but not as a Commy authority: is this the address of commy pki "
               "serve?",
               self->address);
  return FALSE;
}

/* --- messages --- */

static gboolean
broken (CommyPkiClient *self, gssize code, GError **error)
{
  g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_UNREACHABLE, "%s ended the connection: %s",
               self->address,
               code == 0 ? "without an answer (after too many failures it does not listen for a "
                           "while)"
                         : gnutls_strerror ((int) code));
  return FALSE;
}

static gboolean
send_all (CommyPkiClient *self, GBytes *message, GError **error)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (message, &size);

  for (gsize at = 0; at < size;)
    {
      gssize sent = gnutls_record_send (self->tls, data + at, size - at);

      if (sent > 0)
        at += (gsize) sent;
      else if (gnutls_error_is_fatal ((int) sent))
        return broken (self, sent, error);
      else if (!wait_for (self, error))
        return FALSE;
    }
  return TRUE;
}

static gboolean
receive (CommyPkiClient *self, CommyPkiMessage *out, GError **error)
{
  g_autofree guint8 *data = g_malloc (COMMY_PKI_MESSAGE_HEADER + COMMY_PKI_ANSWER_MAX);
  gsize size = 0;

  for (;;)
    {
      gssize whole = commy_pki_message_measure (data, size, error);
      gssize got;

      if (whole < 0)
        return FALSE;
      if (whole > 0 && size == (gsize) whole)
        return commy_pki_message_read (data, size, out, error);
      got = gnutls_record_recv (self->tls, data + size,
                                (whole > 0 ? (gsize) whole : COMMY_PKI_MESSAGE_HEADER) - size);
      if (got > 0)
        size += (gsize) got;
      else if (got == 0 || gnutls_error_is_fatal ((int) got))
        return broken (self, got, error);
      else if (!wait_for (self, error))
        return FALSE;
    }
}

static gboolean
greeted (CommyPkiClient *self, GError **error)
{
  g_auto (CommyPkiMessage) greeting = { 0 };

  if (!receive (self, &greeting, error))
    return FALSE;
  self->time_s = commy_pki_message_get_time (&greeting);
  if (greeting.type == COMMY_PKI_MESSAGE_GREETING && self->time_s > 0)
    return TRUE;
  g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_PROTOCOL, "%s does not greet as it should",
               self->address);
  return FALSE;
}

static CommyPkiClient *
open_one (const CommyPkiPeer *peer,
          const char *address,
          gint64 limit_us,
          gint64 deadline_us,
          GCancellable *cancellable,
          GError **error)
{
  g_autoptr (CommyPkiClient) self = g_new0 (CommyPkiClient, 1);

  self->peer = peer;
  self->address = g_strdup (address);
  self->cancellable = cancellable != NULL ? g_object_ref (cancellable) : NULL;
  self->deadline_us = deadline_us;
  if (!connect_socket (self, limit_us, error) || !handshake (self, error) || !greeted (self, error))
    return NULL;
  self->peer = NULL;
  return g_steal_pointer (&self);
}

/* Of several failures the one that tells most: somebody who answers beats silence. */
static void
keep_telling (GError **kept, GError *fresh)
{
  gboolean silent = *kept == NULL
                    || g_error_matches (*kept, COMMY_PKI_ERROR, COMMY_ERROR_UNREACHABLE)
                    || g_error_matches (*kept, COMMY_PKI_ERROR, COMMY_ERROR_DEADLINE);

  if (!silent)
    {
      g_error_free (fresh);
      return;
    }
  g_clear_error (kept);
  *kept = fresh;
}

CommyPkiClient *
commy_pki_client_open (const CommyPkiPeer *peer, GCancellable *cancellable, GError **error)
{
  gint64 deadline = g_get_monotonic_time () + peer->timeout_us;
  guint n = g_strv_length ((char **) peer->addresses);
  GError *kept = NULL;

  for (guint i = 0; i < n; i++)
    {
      gint64 left = deadline - g_get_monotonic_time ();
      GError *why = NULL;
      CommyPkiClient *self
          = open_one (peer, peer->addresses[i], left / (n - i), deadline, cancellable, &why);

      if (self != NULL)
        {
          g_clear_error (&kept);
          return self;
        }
      keep_telling (&kept, why);
    }
  if (kept == NULL)
    g_set_error_literal (&kept, COMMY_PKI_ERROR, COMMY_ERROR_UNREACHABLE,
                         "no address of an authority is known");
  g_propagate_error (error, kept);
  return NULL;
}

gboolean
commy_pki_client_exchange (CommyPkiClient *self,
                           GBytes *request,
                           CommyPkiMessage *out,
                           GError **error)
{
  g_auto (CommyPkiMessage) answer = { 0 };
  g_autofree char *text = NULL;
  gboolean sent = send_all (self, request, error);

  g_bytes_unref (request);
  if (!sent || !receive (self, &answer, error))
    return FALSE;
  (void) gnutls_bye (self->tls, GNUTLS_SHUT_WR);
  if (answer.type == COMMY_PKI_MESSAGE_ADMITTED)
    {
      *out = answer;
      answer.fields = NULL;
      return TRUE;
    }
  text = commy_pki_message_dup_text (&answer, "text", 1024);
  g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_JOIN, "the authority at %s refuses: %s",
               self->address, text != NULL ? text : "it does not say why");
  return FALSE;
}
