/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the two sides of an admission share, and nobody else: messages, the TLS they go over,
 * and the decision about a request.
 */
#pragma once

#include "auth/common/commy-pki-admission.h"
#include "auth/common/commy-pki-private.h"

/* --- messages (commy-pki-message.c) --- */

/* "CMYJ", version, type, two zero bytes, size of the body (u32, big-endian); then the body: a
 * GVariant of type a{sv}, little-endian, in normal form. */
#define COMMY_PKI_MESSAGE_VERSION 1
#define COMMY_PKI_MESSAGE_HEADER 12
#define COMMY_PKI_MESSAGE_MAX (16 * 1024)
/* What an authority answers may hold lists of revoked certificates. */
#define COMMY_PKI_ANSWER_MAX (COMMY_PKI_MESSAGE_MAX + COMMY_PKI_CRL_TEXT_MAX)

typedef enum
{
  COMMY_PKI_MESSAGE_GREETING = 1, /* authority: time x, domain s */
  COMMY_PKI_MESSAGE_JOIN = 2,     /* newcomer: token s, secret ay, host s, user s, request ay */
  COMMY_PKI_MESSAGE_RENEW = 3,    /* member, known by its certificate: request ay */
  COMMY_PKI_MESSAGE_ADMITTED = 4, /* authority: certificate s, authority s, revoked s (all PEM, the
                                     last one optional), time x */
  COMMY_PKI_MESSAGE_REFUSED = 5,  /* authority: text s, time x */
} CommyPkiMessageType;

typedef struct
{
  CommyPkiMessageType type;
  GVariant *fields;
} CommyPkiMessage;

void commy_pki_message_clear (CommyPkiMessage *message);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (CommyPkiMessage, commy_pki_message_clear)

/* Sinks @fields. NULL if it would be too large. */
GBytes *commy_pki_message_write (CommyPkiMessageType type, GVariant *fields);
/* How many bytes the message at @data has, 0 while that cannot be told; -1 with an error if it
 * is no message. */
gssize commy_pki_message_measure (const guint8 *data, gsize size, GError **error);
/* @size: exactly one message. */
gboolean commy_pki_message_read (const guint8 *data,
                                 gsize size,
                                 CommyPkiMessage *out_message,
                                 GError **error);
/* NULL if it is missing, empty, longer than @max or no UTF-8 without control characters but line
 * ends. (transfer full) */
char *commy_pki_message_dup_text (const CommyPkiMessage *message, const char *name, gsize max);
/* (transfer full) (nullable) */
GBytes *commy_pki_message_dup_bytes (const CommyPkiMessage *message, const char *name);
gint64 commy_pki_message_get_time (const CommyPkiMessage *message); /* 0: it has none */

/* --- requests (commy-pki-request.c) --- */

#define COMMY_PKI_REQUEST_MAX (8 * 1024)

/* A new key and a signing request for it; names are the authority's business. */
gboolean commy_pki_request_new (char **out_key_pem, GBytes **out_der, GError **error);
/* A certificate for @path ("host/H/user/U", "authority") and the key in the request, which must
 * prove that its maker has the key. @out_key: the key's id as hex. (transfer full) */
char *commy_pki_sign_request (CommyPkiAuthority *authority,
                              GBytes *request,
                              const char *path,
                              gint64 not_before_s,
                              gint64 not_after_s,
                              char **out_key,
                              GError **error);
/* SHA-256 of the public key of a certificate, DER. */
gboolean commy_pki_key_id (GBytes *der, guint8 out_id[32], GError **error);

/* --- the register's groups, for commy-pki-lists.c, -revocation.c and -rotation.c --- */

#define COMMY_PKI_IDENTITY_GROUP "identity "

GKeyFile *commy_pki_register_get_file (CommyPkiRegister *self);
/* The register, and the authority as it is while nobody else can change it. */
CommyPkiRegister *
commy_pki_register_open_with (const char *dir, CommyPkiAuthority **out_authority, GError **error);
/* commy_pki_note_issued() for who has the register open. */
gboolean commy_pki_register_note_issued (CommyPkiRegister *self,
                                         const char *cert_pem,
                                         gint64 now_s,
                                         GError **error);
/* Whether @path may have one more certificate: each that is good must be known when it is revoked,
 * and no more are than the register keeps. COMMY_ERROR_BUSY otherwise. */
gboolean commy_pki_register_has_room (CommyPkiRegister *self,
                                      const char *path,
                                      gint64 now_s,
                                      GError **error);
/* The certificate that @path, an identity that is set, has now. */
gboolean commy_pki_register_note_certificate (
    CommyPkiRegister *self, const char *path, const char *cert_pem, gint64 now_s, GError **error);
/* When the last certificate of an identity's group ends, or ended. */
gint64 commy_pki_register_get_end (GKeyFile *file, const char *group);
/* Steps that changes of the authority have taken; each certificate is noted with the step it was
 * made at. */
gint64 commy_pki_register_get_step (GKeyFile *file);
/* It is not to be renewed, until a token that is made for exactly this name admits it again. */
gboolean commy_pki_register_is_revoked (CommyPkiRegister *self, const char *path);
void commy_pki_register_pardon (CommyPkiRegister *self, const char *path);

/* --- lists of revoked certificates (commy-pki-lists.c, commy-pki-crl-sign.c) --- */

/* Behind it the name of a certificate. */
#define COMMY_PKI_REVOKED_GROUP "revoked "
#define COMMY_PKI_CRL_GROUP "crl"

/* "0a1b" -> bytes; FALSE: it is no serial number. */
gboolean commy_pki_parse_serial (const char *hex, guint8 *out, gsize *inout_size);
/* What the names of its certificates have behind "x509:". (transfer full) */
char *commy_pki_authority_dup_id (CommyPkiAuthority *authority);
/* Those whose keys are here: the present one, and while it changes the one before.
 * (transfer full): of CommyPkiAuthority */
GPtrArray *commy_pki_load_signers (const char *dir, GError **error);
/* One more row of a list. */
void commy_pki_crl_append (GByteArray *rows, const guint8 *serial, gsize size, gint64 when_s);
/* The list of @rows, PEM. (transfer full) */
char *commy_pki_crl_sign (
    CommyPkiAuthority *authority, GByteArray *rows, gint64 number, gint64 now_s, GError **error);
/* Signs the lists anew that crl.pem has, with every key that gave out certificates. */
gboolean
commy_pki_write_crls (const char *dir, CommyPkiRegister *reg, gint64 now_s, GError **error);

/* --- limits (commy-pki-limiter.c) --- */

/* Failures by address, or by whatever else names who failed, in a table of bounded size. */
typedef struct _CommyPkiLimiter CommyPkiLimiter;

#define COMMY_PKI_LIMITER_FAILURES 10 /* at once; then one each COMMY_PKI_LIMITER_REFILL_US */
#define COMMY_PKI_LIMITER_REFILL_US (6 * G_USEC_PER_SEC)
#define COMMY_PKI_LIMITER_ADDRESSES 1024

CommyPkiLimiter *commy_pki_limiter_new (void);
void commy_pki_limiter_free (CommyPkiLimiter *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyPkiLimiter, commy_pki_limiter_free)
gboolean commy_pki_limiter_allows (CommyPkiLimiter *self, const char *address, gint64 now_us);
void commy_pki_limiter_add_failure (CommyPkiLimiter *self, const char *address, gint64 now_us);
guint commy_pki_limiter_get_n_addresses (CommyPkiLimiter *self);

/* --- deciding (commy-pki-admission.c) --- */

/* The name behind the domain under which an authority itself answers: no node has it. */
#define COMMY_PKI_AUTHORITY_PATH "/authority"

typedef struct
{
  CommyPkiAuthority *authority;
  const char *dir;
  gint64 life_s;
  CommyPkiLimiter *known; /* (nullable): refusals of those who proved who they are */
  CommyPkiRecord record;  /* (nullable) */
  gpointer record_data;
} CommyPkiAdmission;

/* What became of a request, for the log and the limits. */
typedef struct
{
  gboolean admitted;
  gboolean suspicious; /* counts against the address it came from */
  char *who;           /* (nullable): a certificate or token that was proved, to count against */
  char *line;          /* for the log */
} CommyPkiOutcome;

void commy_pki_outcome_clear (CommyPkiOutcome *outcome);

/* @peer: (nullable): DER of the certificate the other side proved to own. @from: its address.
 * @now_us: monotonic. Returns the answer. */
GBytes *commy_pki_admission_decide (const CommyPkiAdmission *self,
                                    const CommyPkiMessage *request,
                                    GBytes *peer,
                                    const char *from,
                                    gint64 now_s,
                                    gint64 now_us,
                                    CommyPkiOutcome *out);

/* --- addresses (commy-pki-address.c) --- */

struct sockaddr_storage;

/* "ADDR:PORT", numeric. */
GSocketAddress *commy_pki_parse_listen (const char *text, GError **error);
char *commy_pki_format_listen (GInetAddress *address, guint port);
/* Who counts as one: an address; of IPv6 its first half, which is a network of one owner. */
char *commy_pki_source_name (const struct sockaddr_storage *from);

/* --- one connection of the service (commy-pki-session.c) --- */

typedef struct _CommyPkiSession CommyPkiSession;

typedef struct
{
  gnutls_priority_t priority;
  gnutls_certificate_credentials_t credentials;
  CommyPkiAdmission admission;
  gint64 deadline_us;
  gint64 (*now_s) (gpointer owner);
  void (*refresh) (gpointer owner); /* before a decision: files may have changed */
  void (*settled) (gpointer owner, CommyPkiSession *session, const CommyPkiOutcome *outcome);
  void (*ended) (gpointer owner, CommyPkiSession *session); /* frees it */
  gpointer owner;
} CommyPkiSessionShared;

/* Takes @fd. @from: the peer's address, without port. */
CommyPkiSession *
commy_pki_session_new (const CommyPkiSessionShared *shared, int fd, const char *from);
void commy_pki_session_free (CommyPkiSession *self);
const char *commy_pki_session_get_from (CommyPkiSession *self);
gboolean commy_pki_session_has_asked (CommyPkiSession *self);  /* and was answered */
gboolean commy_pki_session_has_spoken (CommyPkiSession *self); /* a whole first word */
/* When it came, or was answered: monotonic. */
gint64 commy_pki_session_get_since (CommyPkiSession *self);

/* --- who gives way (commy-pki-crowd.c) --- */

#define COMMY_PKI_SESSIONS 64
#define COMMY_PKI_SESSIONS_PER_ADDRESS 16
#define COMMY_PKI_FAIR_TIME_US G_USEC_PER_SEC /* some round trips around the world */

/* Whether a newcomer at @from has a place among @sessions (oldest first), and who has to go for
 * that: *out_victim, NULL: nobody. */
gboolean commy_pki_crowd_choose (const GQueue *sessions,
                                 const char *from,
                                 gint64 now_us,
                                 CommyPkiSession **out_victim);

/* --- TLS (commy-pki-tls.c) --- */

#define COMMY_PKI_ALPN "commy-join/1"

/* TLS 1.3 and nothing else. */
int commy_pki_tls_priority (gnutls_priority_t *out_priority);
/* @flags: GNUTLS_SERVER or GNUTLS_CLIENT. The descriptor stays the caller's. */
int commy_pki_tls_session (gnutls_session_t *out_session,
                           guint flags,
                           gnutls_priority_t priority,
                           gnutls_certificate_credentials_t credentials,
                           int fd);
gboolean commy_pki_tls_has_alpn (gnutls_session_t session);
/* Chain and key from PEM. */
int commy_pki_tls_credentials (gnutls_certificate_credentials_t *out_credentials,
                               const char *chain_pem,
                               const char *key_pem);
/* (transfer full): of GBytes, the peer's own first; empty without one */
GPtrArray *commy_pki_tls_dup_chain (gnutls_session_t session);

/* --- the newcomer's side (commy-pki-client.c): blocks --- */

typedef struct
{
  const char *const *addresses;
  const guint8 *fingerprint;              /* (nullable): the authority's key, for who has no CA */
  const CommyPkiCredentials *credentials; /* (nullable): of who has; shown to the authority */
  gint64 timeout_us;
} CommyPkiPeer;

typedef struct _CommyPkiClient CommyPkiClient;

/* Tries the addresses in order. When it returns, the other side is the authority. */
CommyPkiClient *
commy_pki_client_open (const CommyPkiPeer *peer, GCancellable *cancellable, GError **error);
void commy_pki_client_free (CommyPkiClient *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyPkiClient, commy_pki_client_free)
gint64 commy_pki_client_get_time (CommyPkiClient *self); /* the authority's, from its greeting */
const char *commy_pki_client_get_address (CommyPkiClient *self);
/* Sends @request (consumed) and waits for the answer, which is of type ADMITTED. */
gboolean commy_pki_client_exchange (CommyPkiClient *self,
                                    GBytes *request,
                                    CommyPkiMessage *out_answer,
                                    GError **error);

/* --- shared by joining and renewing (commy-pki-join.c) --- */

/* Writes what the authority answered, after it was found good for @key_pem and @now_s. */
CommyPkiMembership *commy_pki_take_answer (const char *dir,
                                           const CommyPkiMessage *answer,
                                           const char *key_pem,
                                           const guint8 *fingerprint,
                                           gint64 now_s,
                                           GError **error);
