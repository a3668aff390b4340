/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of the TLS transport share. Downwards: listener and dialer open connections,
 * handshake secures them, records carry messages over them, link is the socket below.
 */
#pragma once

#include "auth/common/commy-pki.h"
#include "plugins/common/commy-inbox.h"
#include "plugins/common/commy-linger.h"

#include <commy/commy-plugin.h>

#include <gnutls/gnutls.h>
#include <sys/socket.h>

#define TLS_ERROR (g_quark_from_static_string ("commy-error-quark"))
#define TLS_ALPN "commy/1"
#define TLS_MS G_GINT64_CONSTANT (1000000)

typedef struct _TlsInstance TlsInstance;
typedef struct _TlsListener TlsListener;
typedef struct _TlsConnection TlsConnection;
typedef struct _TlsDialer TlsDialer;
typedef struct _TlsSource TlsSource;

/* --- credentials (commy-tls-credentials.c) --- */

/* Immutable and shared: a session keeps those it began with. */
typedef struct
{
  gnutls_certificate_credentials_t gnutls;
  CommyPkiTrust *trust;
  gint64 not_before_s, not_after_s;
} TlsCredentials;

typedef struct
{
  TlsCredentials *current; /* NULL until the first success */
  CommyPkiReload reload;
} TlsCredentialCache;

/* The credentials in force: read again if the files changed; what cannot be used is logged once,
 * tried again, and the old ones stay until then. (transfer full) Mesh thread. */
TlsCredentials *tls_credentials_get (TlsInstance *instance, GError **error);
void tls_credentials_unref (TlsCredentials *credentials);
void tls_credential_cache_clear (TlsCredentialCache *cache);

/* --- addresses (commy-tls-address.c) --- */

typedef struct
{
  struct sockaddr_storage storage;
  socklen_t size;
} TlsAddress;

/* "host:port" or "[v6]:port". */
gboolean tls_address_split (const char *text, char **out_host, guint16 *out_port, GError **error);
/* FALSE if @host is not a number. */
gboolean tls_address_from_numeric (const char *host, guint16 port, TlsAddress *out_address);
char *tls_address_to_string (const TlsAddress *address);
/* The same without the port. */
char *tls_address_dup_host (const TlsAddress *address);
gboolean tls_address_is_loopback (const TlsAddress *address);
gboolean tls_address_is_any (const TlsAddress *address);
/* Whom the limits take for one: an IPv4 address, or the /64 that one subscriber has of IPv6. */
char *tls_address_dup_source (const TlsAddress *address);

/* --- link (commy-tls-link.c) --- */

/* The socket, with a buffer each way: one system call moves many TLS records. */
typedef struct
{
  int fd;
  gnutls_session_t session; /* to tell errors to; not owned */
  gboolean may_grow;        /* once the peer is known, buffers may follow the traffic */
  guint8 *in;
  gsize in_size, in_at, in_end;
  gboolean in_empty;   /* the last read said that the socket is, most likely */
  gboolean in_drained; /* the same, and nobody was told yet */
  int in_errno;
  gboolean in_eof;
  guint8 *out;
  gsize out_size, out_at, out_end;
  int out_errno;
} TlsLink;

void tls_link_init (TlsLink *link, int fd);
void tls_link_attach (TlsLink *link, gnutls_session_t session);
void tls_link_clear (TlsLink *link); /* closes the socket */
/* As clear, but what is pending is still sent: see commy_linger_add(). Any thread. */
void tls_link_leave (TlsLink *link, LingerList *lingers);
gsize tls_link_pending (const TlsLink *link);
/* Sends what is pending. FALSE if something is left: see `out_errno`, 0 for "later". */
gboolean tls_link_flush (TlsLink *link);
void tls_socket_options (TlsInstance *instance, int fd);

/* --- connection --- */

typedef enum
{
  TLS_STAGE_NONE = 0, /* zeroed, or cleaned up */
  TLS_STAGE_DIALING,
  TLS_STAGE_HANDSHAKE,
  TLS_STAGE_AWAIT_READY, /* client: the server has not said yet that it takes us */
  TLS_STAGE_OPEN,
} TlsStage;

struct _TlsConnection
{
  TlsInstance *instance;
  TlsStage stage;
  gboolean is_server;
  char *peer; /* address, for messages */

  /* while it is set up */
  TlsListener *listener;
  TlsSource *source;            /* in the listener's crowd; NULL: it is not there */
  TlsConnection *older, *newer; /* of that crowd */
  gint64 since_ns;
  gsize awaited;     /* bytes without which there is nothing to answer */
  gboolean ready;    /* they are there, and it waits for its turn */
  gboolean heard;    /* something that may be a hello is there, unread */
  gboolean answered; /* the peer said enough to be answered */
  TlsDialer *dialer;
  guint watch, watch_condition, timer;
  CommyHostFdFunc watch_func;
  GError *failure;
  gnutls_alert_description_t alert; /* for a refusal of ours */

  /* for life */
  TlsCredentials *credentials;
  gnutls_session_t session;
  TlsLink link;
  GPtrArray *chain; /* of GBytes */
  gboolean has_binding;
  guint8 binding[32];

  /* sending: [at, flushed) is on its way, [flushed, end) is committed, then a reservation */
  guint8 *plain;
  gsize plain_size, plain_at, plain_flushed, plain_end;
  gsize reserved; /* with header and padding; 0 without a reservation */
  gsize refused;  /* what the last reservation that did not fit wanted */
  gsize ahead;    /* bytes that were sent, less what was received since, twice */
  char *send_why; /* NULL while sending works */
  gsize n_wiped_out, n_wiped_in;

  /* receiving */
  Inbox inbox;
  gboolean more;     /* the last turn ended before all was received that had come */
  gsize receive_max; /* largest message, besides the instance's; 0: no other */
  char *receive_why; /* NULL while receiving works */
};

/* Gives everything back and zeroes the stage. With @politely the peer gets what was flushed. */
void tls_connection_clear (TlsConnection *self, gboolean politely);

/* --- handshake (commy-tls-handshake.c) --- */

/* From a connected socket (taken over) to an open connection; ends in tls_connection_settle(). */
void tls_handshake_start (TlsConnection *self, int fd);
/* The same for a server, to whom a client that says nothing costs next to nothing. */
void tls_handshake_await (TlsConnection *self, int fd);
/* Whether there is something to answer; and to do that, when it is its turn. */
gboolean tls_handshake_has_hello (TlsConnection *self);
void tls_handshake_begin (TlsConnection *self);
/* Polls for @condition and continues with @func. */
void tls_connection_watch (TlsConnection *self, int fd, guint condition, CommyHostFdFunc func);
/* Lets the set-up end in @error, from the main loop. (transfer full) */
void tls_connection_fail_later (TlsConnection *self, GError *error);
/* Tells the core how set-up ended. @error: (transfer full). Touch nothing afterwards. */
void tls_connection_settle (TlsConnection *self, GError *error);

/* --- handshakes of a listener that are under way (commy-tls-crowd.c) --- */

typedef struct
{
  GHashTable *sources; /* name -> TlsSource */
  TlsConnection *oldest, *newest;
  guint n;
  guint n_ready; /* that wait for their turn */
  guint turn;    /* timer */
  guint64 n_turns;
  CommyHost *host;
} TlsCrowd;

void tls_crowd_init (TlsCrowd *self, CommyHost *host);
void tls_crowd_deinit (TlsCrowd *self); /* nobody may be left in it */
void tls_crowd_add (TlsCrowd *self, TlsConnection *connection, const char *name);
void tls_crowd_remove (TlsCrowd *self, TlsConnection *connection);
/* Sees to it that a newcomer of the source @name is within the limits. FALSE: it is not. */
gboolean tls_crowd_make_room (TlsCrowd *self, const TlsInstance *instance, const char *name);
/* It has something to be answered, which costs time: addresses take turns. */
void tls_crowd_enqueue (TlsCrowd *self, TlsConnection *connection);
/* Has one give way, whatever the limits. FALSE: nobody would have to. */
gboolean tls_crowd_shrink (TlsCrowd *self, const TlsInstance *instance, const char *name);

/* --- the two ways to a connection --- */

struct _TlsListener
{
  TlsInstance *instance;
  const CommyAcceptor *acceptor;
  int fd;
  guint watch;
  guint pause; /* timer, while the process has no descriptor left */
  char *address;
  TlsCrowd crowd; /* being set up */
};

gboolean
tls_listen (gpointer instance, gpointer listener, const CommyAcceptor *acceptor, GError **error);
const char *tls_listener_address (gpointer instance, gpointer listener);
void tls_unlisten (gpointer instance, gpointer listener);
/* Takes the connection from the ones being set up. */
void tls_listener_forget (TlsListener *listener, TlsConnection *connection);
void tls_listener_settle (TlsListener *listener, TlsConnection *connection, const GError *error);

void tls_connect (gpointer instance,
                  gpointer connection,
                  const CommyEndpoint *endpoint,
                  CommyConnectedFunc done,
                  gpointer user_data);
gboolean
tls_reachable (gpointer instance, const CommyEndpoint *endpoint, char *reason, gsize reason_size);
void tls_dialer_settle (TlsDialer *dialer, TlsConnection *connection, const GError *error);
void tls_dialer_free (TlsDialer *dialer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TlsDialer, tls_dialer_free)

/* --- records (commy-tls-send.c, commy-tls-receive.c) --- */

/* Eight bytes before each message, little-endian; messages are padded to eight, so that
 * payloads stay aligned in the receiver's memory. */
#define TLS_HEADER_SIZE 8
typedef enum
{
  TLS_RECORD_MESSAGE = 0,
  TLS_RECORD_READY = 1, /* server to client, once, without payload: "your certificate is good" */
} TlsRecordKind;

/* What is said while a channel is set up may be a credential, and is wiped when it was sent or
 * read; that is over by then. */
#define TLS_WIPED_FIRST (64 * 1024)

static inline gsize
tls_padded (gsize size)
{
  return (size + 7) & ~(gsize) 7;
}

CommyIo tls_reserve (gpointer connection, gsize size, CommySpan *out_span);
CommyIo tls_commit (gpointer connection, gsize used);
CommyIo tls_flush (gpointer connection);
gboolean tls_send_ready (TlsConnection *self);
/* Encrypts and sends what was flushed, as far as the kernel takes it. TRUE if nothing is left. */
gboolean tls_send_push (TlsConnection *self);
/* Encrypts what was flushed and a farewell, for a link that goes to linger. */
void tls_send_finish (TlsConnection *self);
gboolean tls_send_pending (const TlsConnection *self);
gboolean tls_send_has_room (const TlsConnection *self, gsize total);

CommyIo tls_peek (gpointer connection, CommyMessage *out_message);
void tls_release (gpointer connection, const CommyMessage *message);
guint tls_arm (gpointer connection, guint interest, guint *out_events);
/* Client: the server's word that it takes us. */
CommyIo tls_receive_ready (TlsConnection *self);
void tls_limit (gpointer connection, gsize max);
void tls_receive_clear (TlsConnection *self);

/* --- instance --- */

struct _TlsInstance
{
  CommyHost *host;
  gnutls_priority_t priority;
  TlsCredentialCache credentials;
  const char *bind;
  const char *advertise;
  guint16 port;
  gsize max_message;
  gsize send_buffer;
  gint64 handshake_timeout_ns;
  guint handshakes, handshakes_per_address;
  gint64 user_timeout_ns;
  LingerList lingers;
};
