/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The transport `tls`: TLS 1.3 over TCP, both sides with certificates of one mesh, or nothing.
 * This file: what the plugin says of itself, its parameters, its instance, and the table.
 */
#include "config.h"

#include "plugins/tls/commy-tls.h"

#include <string.h>

#define MAX_MESSAGE_DEFAULT 67174400 /* 64 MiB, and 64 KiB for the core's headers */

/* TLS 1.3 and nothing else. AES-128 first: GnuTLS's ChaCha20 takes fifteen times as long where
 * the processor knows AES. The environment has no say. */
#define PRIORITY                                                                       \
  "NONE:+VERS-TLS1.3:+AES-128-GCM:+AES-256-GCM:+CHACHA20-POLY1305:+AEAD:+ECDHE-ECDSA:" \
  "+GROUP-X25519:+GROUP-SECP256R1:+GROUP-SECP384R1:+SIGN-ECDSA-SECP256R1-SHA256:"      \
  "+SIGN-ECDSA-SECP384R1-SHA384:+SIGN-EDDSA-ED25519:+COMP-NULL:+CTYPE-X509"

static const CommyParamSpec tls_params[] = {
  { .struct_size = sizeof (CommyParamSpec),
    .type = COMMY_PARAM_STRING,
    .name = "bind",
    .default_value = "127.0.0.1",
    .help = "Numeric address to listen on; 0.0.0.0 or :: for all of this host" },
  { .struct_size = sizeof (CommyParamSpec),
    .type = COMMY_PARAM_INT,
    .name = "port",
    .default_value = "0",
    .minimum = 0,
    .maximum = 65535,
    .help = "TCP port to listen on; 0 lets the kernel choose" },
  { .struct_size = sizeof (CommyParamSpec),
    .type = COMMY_PARAM_STRING,
    .name = "advertise",
    .default_value = "",
    .help
    = "Host name or address that others are told; empty: the bound one, or this host's name" },
  { .struct_size = sizeof (CommyParamSpec),
    .type = COMMY_PARAM_SIZE,
    .name = "max-message",
    .default_value = G_STRINGIFY (MAX_MESSAGE_DEFAULT),
    .minimum = 4096,
    .maximum = G_GINT64_CONSTANT (1) << 30,
    .help = "Largest message that is sent or taken" },
  { .struct_size = sizeof (CommyParamSpec),
    .type = COMMY_PARAM_SIZE,
    .name = "send-buffer",
    .default_value = "1MiB",
    .minimum = 16 * 1024,
    .maximum = G_GINT64_CONSTANT (1) << 30,
    .help = "Unsent bytes a connection holds before it pushes back; a larger message goes alone" },
  { .struct_size = sizeof (CommyParamSpec),
    .type = COMMY_PARAM_DURATION,
    .name = "handshake-timeout",
    .default_value = "2s",
    .minimum = 10 * TLS_MS,
    .maximum = 60 * 1000 * TLS_MS,
    .help = "How long a connected peer may take to prove who it is" },
  { .struct_size = sizeof (CommyParamSpec),
    .type = COMMY_PARAM_INT,
    .name = "handshakes",
    .default_value = "128",
    .minimum = 1,
    .maximum = 65536,
    .help = "Handshakes under way at a time; then who says nothing gives way to newcomers" },
  { .struct_size = sizeof (CommyParamSpec),
    .type = COMMY_PARAM_INT,
    .name = "handshakes-per-address",
    .default_value = "64",
    .minimum = 1,
    .maximum = 65536,
    .help = "How many of them one address may have; of IPv6 one network of /64" },
  { .struct_size = sizeof (CommyParamSpec),
    .type = COMMY_PARAM_DURATION,
    .name = "user-timeout",
    .default_value = "30s",
    .minimum = 100 * TLS_MS,
    .maximum = 3600 * 1000 * TLS_MS,
    .help = "How long sent data may stay unacknowledged before the connection counts as broken" },
};

static gint64
param_number (CommyHost *host, const char *name)
{
  return g_ascii_strtoll (host->param (host, name), NULL, 10);
}

static gboolean
tls_init (gpointer instance, CommyHost *host, GError **error)
{
  TlsInstance *self = instance;
  int code = gnutls_priority_init (&self->priority, PRIORITY, NULL);

  if (code < 0)
    {
      g_set_error (error, TLS_ERROR, COMMY_ERROR_PLUGIN_INIT,
                   "GnuTLS %s does not offer what Commy needs: %s", gnutls_check_version (NULL),
                   gnutls_strerror (code));
      return FALSE;
    }
  self->host = host;
  self->bind = host->param (host, "bind");
  self->advertise = host->param (host, "advertise");
  self->port = (guint16) param_number (host, "port");
  self->max_message = (gsize) param_number (host, "max-message");
  self->send_buffer = (gsize) param_number (host, "send-buffer");
  self->handshake_timeout_ns = param_number (host, "handshake-timeout");
  self->handshakes = (guint) param_number (host, "handshakes");
  self->handshakes_per_address = (guint) param_number (host, "handshakes-per-address");
  self->user_timeout_ns = param_number (host, "user-timeout");
  commy_linger_init (&self->lingers, host);
  return TRUE;
}

static void
tls_fini (gpointer instance)
{
  TlsInstance *self = instance;

  commy_linger_deinit (&self->lingers);
  tls_credential_cache_clear (&self->credentials);
  gnutls_priority_deinit (self->priority);
}

static int
tls_fd (gpointer connection)
{
  return ((TlsConnection *) connection)->link.fd;
}

static void
tls_evidence (gpointer connection, CommyEvidence *out_evidence)
{
  TlsConnection *self = connection;

  out_evidence->kind = COMMY_EVIDENCE_X509;
  out_evidence->security = COMMY_SECURITY_MUTUAL;
  out_evidence->uid = G_MAXUINT32;
  out_evidence->gid = G_MAXUINT32;
  out_evidence->pid = 0;
  out_evidence->pidfd = -1;
  out_evidence->chain = (GBytes *const *) self->chain->pdata;
  out_evidence->n_chain = self->chain->len;
  out_evidence->has_binding = self->has_binding;
  memcpy (out_evidence->binding, self->binding, sizeof self->binding);
  if (out_evidence->struct_size < G_STRUCT_OFFSET (CommyEvidence, own_until_s) + sizeof (gint64))
    return; /* an older core */
  out_evidence->own_from_s = self->credentials->not_before_s;
  out_evidence->own_until_s = self->credentials->not_after_s;
}

static const char *
tls_why (gpointer connection)
{
  TlsConnection *self = connection;

  /* What the peer said last explains more than what writing to it brought. */
  return self->receive_why != NULL ? self->receive_why : self->send_why;
}

static void
tls_close (gpointer connection)
{
  TlsConnection *self = connection;

  if (self->listener != NULL)
    tls_listener_forget (self->listener, self);
  self->listener = NULL;
  tls_connection_clear (self, self->stage == TLS_STAGE_OPEN);
}

static const CommyTransportOps tls_ops = {
  .struct_size = sizeof (CommyTransportOps),
  .listener_size = sizeof (TlsListener),
  .connection_size = sizeof (TlsConnection),
  .listen = tls_listen,
  .address = tls_listener_address,
  .unlisten = tls_unlisten,
  .connect = tls_connect,
  .reachable = tls_reachable,
  .reserve = tls_reserve,
  .commit = tls_commit,
  .flush = tls_flush,
  .peek = tls_peek,
  .release = tls_release,
  .fd = tls_fd,
  .arm = tls_arm,
  .limit = tls_limit,
  .evidence = tls_evidence,
  .why = tls_why,
  .close = tls_close,
};

/* Measured on another machine (two processors, virtual, loopback, both ends blocking). Latency
 * is mostly two wake-ups; encryption and the kernel's copy cost each side about the same. */
COMMY_PLUGIN_NOTE (TRANSPORT,
                   "tls",
                   PACKAGE_VERSION,
                   "LGPL-2.1-or-later",
                   "TLS 1.3 over TCP, certificates on both sides",
                   "tls",
                   COMMY_PLUGIN_FLAG_NONE,
                   .n_segments = 1,
                   .provenance = COMMY_PROVENANCE_MEASURED_ELSEWHERE,
                   .security = COMMY_SECURITY_MUTUAL,
                   .reach = COMMY_REACH_HOST | COMMY_REACH_NETWORK,
                   .delivery = COMMY_DELIVERY_RELIABLE,
                   .ordering = COMMY_ORDERING_CONNECTION,
                   .header_bytes = 30,
                   .max_message = MAX_MESSAGE_DEFAULT,
                   .connect_ns = 2000000,
                   .size_factor = 1,
                   .segments = { { .max_bytes = G_MAXUINT64,
                                   .latency_ns = 21000,
                                   .wire_ns_per_byte = 0,
                                   .send_cpu_ns = 3500,
                                   .send_cpu_ns_per_byte = 0.25,
                                   .recv_cpu_ns = 2500,
                                   .recv_cpu_ns_per_byte = 0.25 } });

COMMY_PLUGIN_DEFINE (
    TlsInstance, tls_init, NULL, tls_fini, tls_params, G_N_ELEMENTS (tls_params), &tls_ops);
