/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How another host gets its certificate: one-time tokens, the authority's register of what it
 * gave out, the service that admits, the newcomer's side of it, and renewal. Keys never travel:
 * a newcomer sends a signing request. Time is always an argument: seconds since 1970, UTC.
 */
#pragma once

#include "auth/common/commy-pki.h"

#include <gio/gio.h>

G_BEGIN_DECLS

#define COMMY_PKI_PORT 7443
#define COMMY_PKI_SECRET_SIZE 20 /* 160 bits */
#define COMMY_PKI_FINGERPRINT_SIZE 32
#define COMMY_PKI_TOKEN_ID_SIZE 8 /* hex digits */
#define COMMY_PKI_TOKEN_TEXT_MAX 4096
#define COMMY_PKI_ADDRESSES_MAX 4
#define COMMY_PKI_TOKEN_VALID_S (15 * 60)
/* Life of a certificate that its holder can have renewed at any time. */
#define COMMY_PKI_JOINED_LIFE_S COMMY_PKI_SECONDS_PER_DAY
#define COMMY_PKI_TIMEOUT_US (10 * G_USEC_PER_SEC)
/* Where a member's certificate came from, in its credentials directory. */
#define COMMY_PKI_ISSUER_FILE "issuer.conf"

/* --- tokens (commy-pki-token.c) --- */

/* All that a newcomer needs to find its authority, to know it, and to be let in once. */
typedef struct
{
  char id[COMMY_PKI_TOKEN_ID_SIZE + 1]; /* names it; no secret */
  guint8 secret[COMMY_PKI_SECRET_SIZE];
  guint8 fingerprint[COMMY_PKI_FINGERPRINT_SIZE]; /* SHA-256 of the authority's public key */
  gint64 expires_s;
  char **addresses; /* "host:port", 1 to COMMY_PKI_ADDRESSES_MAX, in order of preference */
} CommyPkiToken;

void commy_pki_token_free (CommyPkiToken *token); /* wipes the secret */
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyPkiToken, commy_pki_token_free)

/* A fresh id and secret. @addresses: NULL-terminated, checked. */
CommyPkiToken *commy_pki_token_new (const guint8 *fingerprint,
                                    const char *const *addresses,
                                    gint64 expires_s,
                                    GError **error);
/* One word of letters and digits, with version and checksum. (transfer full): a secret */
char *commy_pki_token_to_text (const CommyPkiToken *token);
/* Blanks and line ends anywhere in @text are passed over. The text is never in the error. */
CommyPkiToken *commy_pki_token_parse (const char *text, GError **error);
/* "host:port", "1.2.3.4:port" or "[v6]:port", with a port of 1 to 65535. */
gboolean commy_pki_check_address (const char *text, GError **error);
char *commy_pki_format_fingerprint (const guint8 *fingerprint); /* "sha256:HEX" */
/* Overwrites and frees a text that was a secret. */
void commy_pki_free_secret (char *text);

/* --- the authority's register (commy-pki-register.c) --- */

typedef enum
{
  COMMY_PKI_TOKEN_OPEN,
  COMMY_PKI_TOKEN_USED,
  COMMY_PKI_TOKEN_REVOKED,
  COMMY_PKI_TOKEN_EXPIRED,
} CommyPkiTokenState;

typedef struct
{
  char *id;
  char *host; /* NULL: the newcomer says */
  char *user; /* NULL: the newcomer says */
  char *used_by;
  gint64 created_s, expires_s, used_s;
  CommyPkiTokenState state;
} CommyPkiTokenInfo;

void commy_pki_token_info_free (CommyPkiTokenInfo *info);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyPkiTokenInfo, commy_pki_token_info_free)

typedef struct _CommyPkiRegister CommyPkiRegister;

/* Reads the register in @dir and keeps every other process out until it is freed: short work. */
CommyPkiRegister *commy_pki_register_open (const char *dir, GError **error);
void commy_pki_register_free (CommyPkiRegister *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyPkiRegister, commy_pki_register_free)
/* Whole or not at all. */
gboolean commy_pki_register_save (CommyPkiRegister *self, gint64 now_s, GError **error);

/* Keeps a hash of the secret, never the secret. */
gboolean commy_pki_register_add_token (CommyPkiRegister *self,
                                       const CommyPkiToken *token,
                                       const char *host,
                                       const char *user,
                                       gint64 now_s,
                                       GError **error);
/* NULL if there is no such token. */
CommyPkiTokenInfo *
commy_pki_register_get_token (CommyPkiRegister *self, const char *id, gint64 now_s);
/* (transfer full): of CommyPkiTokenInfo, oldest first */
GPtrArray *commy_pki_register_list_tokens (CommyPkiRegister *self, gint64 now_s);
gboolean commy_pki_register_revoke_token (CommyPkiRegister *self, const char *id, GError **error);
/* Takes the same time whether there is such a token or not. */
gboolean commy_pki_register_check_secret (CommyPkiRegister *self,
                                          const char *id,
                                          const guint8 *secret,
                                          gsize size);
void commy_pki_register_use_token (CommyPkiRegister *self,
                                   const char *id,
                                   const char *used_by,
                                   gint64 now_s);

/* Who holds "host/H/user/U": FALSE if it was never given out. @key: the key's id as hex. */
gboolean commy_pki_register_has_identity (CommyPkiRegister *self, const char *path);
/* @key is the holder's present key, or the one before, whose owner may have missed the answer. */
gboolean
commy_pki_register_identity_fits (CommyPkiRegister *self, const char *path, const char *key);
/* @previous: (nullable): the key that may come once more. */
gboolean commy_pki_register_set_identity (CommyPkiRegister *self,
                                          const char *path,
                                          const char *key,
                                          const char *previous,
                                          gint64 until_s,
                                          gint64 now_s,
                                          GError **error);

/* Notes a certificate (PEM) that was made here by hand, so that no newcomer gets its name. */
gboolean
commy_pki_note_issued (const char *dir, const char *cert_pem, gint64 now_s, GError **error);

/* --- revoking (commy-pki-revocation.c) --- */

/* What came of it. */
typedef struct
{
  char *path;       /* of the identity that is not renewed any more; NULL: of none */
  GPtrArray *names; /* of the certificates that are revoked now: "x509:AUTHORITY:SERIAL" */
  gint64 number;    /* of the new list */
} CommyPkiRevocation;

void commy_pki_revocation_clear (CommyPkiRevocation *revocation);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (CommyPkiRevocation, commy_pki_revocation_clear)

/* Revokes @what: a node ("host/H/user/U" or its whole SPIFFE id), with all certificates of it that
 * are good still, and it is not renewed any more; or one certificate, by its name or serial number.
 * Writes crl.pem. */
gboolean commy_pki_revoke (
    const char *dir, const char *what, gint64 now_s, CommyPkiRevocation *out, GError **error);

/* --- changing the authority (commy-pki-rotation.c) --- */

typedef enum
{
  COMMY_PKI_ROTATION_NONE,     /* one authority */
  COMMY_PKI_ROTATION_STARTED,  /* another one is trusted as well, and signs nothing yet */
  COMMY_PKI_ROTATION_SWITCHED, /* the other one signs; the old one is trusted still */
} CommyPkiRotationStage;

typedef struct
{
  CommyPkiRotationStage stage;
  gint64 since_s;
  guint n_nodes;     /* whose certificates are good */
  GPtrArray *behind; /* paths of those that have not been renewed since: they know of an earlier
                        stage only */
} CommyPkiRotation;

void commy_pki_rotation_clear (CommyPkiRotation *rotation);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (CommyPkiRotation, commy_pki_rotation_clear)

gboolean
commy_pki_rotation_get (const char *dir, gint64 now_s, CommyPkiRotation *out, GError **error);
/* Goes from one stage to @to, which must be the next one: STARTED, SWITCHED, and NONE at the end.
 * Fails while nodes are behind, unless @force. The service of the authority takes it up by itself.
 */
gboolean commy_pki_rotation_go (
    const char *dir, CommyPkiRotationStage to, gboolean force, gint64 now_s, GError **error);

/* --- the service (commy-pki-server.c) --- */

typedef struct _CommyPkiServer CommyPkiServer;

typedef gint64 (*CommyPkiClock) (gpointer user_data); /* seconds since 1970 */
typedef void (*CommyPkiLog) (gpointer user_data, GLogLevelFlags level, const char *line);

/* What the service does, for an audit trail. */
typedef struct
{
  const char *outcome;     /* "issued", "renewed", "refused" */
  const char *id;          /* the SPIFFE id that it was for; NULL: nobody proved anything */
  const char *certificate; /* "x509:AUTHORITY:SERIAL" of the new one, or NULL */
  const char *from;        /* the address */
  const char *line;        /* why, of a refusal */
} CommyPkiEvent;

/* Before a certificate is handed out. FALSE: it must not be. */
typedef gboolean (*CommyPkiRecord) (gpointer user_data, const CommyPkiEvent *event, GError **error);

typedef struct
{
  const char *dir;     /* the authority's */
  const char *listen;  /* "ADDR:PORT", numeric; port 0: the kernel chooses */
  gint64 life_s;       /* of certificates; 0: COMMY_PKI_JOINED_LIFE_S */
  gint64 deadline_us;  /* for one connection, from accept to end; 0: COMMY_PKI_TIMEOUT_US */
  CommyPkiClock clock; /* NULL: the host's */
  gpointer clock_data;
  CommyPkiLog log; /* NULL: nothing is told. Called where the server runs. */
  gpointer log_data;
  CommyPkiRecord record; /* NULL: nothing is recorded. Called where the server runs. */
  gpointer record_data;
} CommyPkiServerConfig;

/* Runs in the thread-default main context of the caller, and nowhere else. */
CommyPkiServer *commy_pki_server_new (const CommyPkiServerConfig *config, GError **error);
void commy_pki_server_free (CommyPkiServer *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyPkiServer, commy_pki_server_free)
/* "ADDR:PORT" as bound. */
const char *commy_pki_server_get_address (CommyPkiServer *self);
guint commy_pki_server_get_n_connections (CommyPkiServer *self);
/* Addresses under which others may reach what is bound to @listen: for tokens. (transfer full) */
char **commy_pki_dup_public_addresses (const char *listen);
/* Where the service of this directory's authority runs at present: what it was told to listen
 * on. NULL if it does not run. (transfer full) */
char *commy_pki_server_find (const char *dir);

/* --- joining and renewing (commy-pki-join.c, commy-pki-renewal.c): these block --- */

typedef struct
{
  const char *dir;
  const CommyPkiToken *token;
  const char *host;
  const char *user;
  gboolean replace;  /* credentials of another authority */
  gint64 timeout_us; /* 0: COMMY_PKI_TIMEOUT_US */
  gint64 now_s;
} CommyPkiJoin;

/* What came of it. */
typedef struct
{
  char *id;
  char *address; /* of the authority; NULL: on this host */
  gint64 not_before_s;
  gint64 not_after_s;
} CommyPkiMembership;

void commy_pki_membership_free (CommyPkiMembership *membership);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyPkiMembership, commy_pki_membership_free)

CommyPkiMembership *
commy_pki_join (const CommyPkiJoin *join, GCancellable *cancellable, GError **error);

/* When a certificate is to be renewed: two thirds of its life, and up to a twentieth more by
 * @random (any value), so that many hosts do not come at once. */
gint64 commy_pki_renewal_due (gint64 not_before_s, gint64 not_after_s, guint32 random);
/* How long to wait after failure number @failures (from 1) with @left_s of the life left. */
gint64 commy_pki_renewal_backoff (guint failures, gint64 left_s, guint32 random);
/* Renews at once: with the authority in @dir itself, or where issuer.conf says. NULL without an
 * error: another process is at it, or has just done it since @seen_not_after_s (0: any). */
CommyPkiMembership *commy_pki_renew (const char *dir,
                                     gint64 seen_not_after_s,
                                     gint64 now_s,
                                     GCancellable *cancellable,
                                     GError **error);
/* "40 s", "10 min", "2 h 5 min", "3 days"; the sign does not matter. (transfer full) */
char *commy_pki_format_span (gint64 seconds);
/* Addresses of the issuer kept in @dir, NULL if none is. (transfer full) */
char **commy_pki_dup_issuer (const char *dir);

G_END_DECLS
