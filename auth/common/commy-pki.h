/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Certificates: making an authority, issuing, keeping on disk, judging. A static helper for
 * what speaks X.509 (the TLS transport, the mTLS provider, `commy pki`); core knows none of it.
 * Time is always an argument: seconds since 1970, UTC.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* The files of a credentials directory. The authority's key lies only where it was made. */
#define COMMY_PKI_CA_FILE "ca.pem"
#define COMMY_PKI_CERT_FILE "cert.pem"
#define COMMY_PKI_KEY_FILE "key.pem"
#define COMMY_PKI_AUTHORITY_KEY_FILE "authority-key.pem"
/* While the authority changes: the key that comes, and the one that went. */
#define COMMY_PKI_AUTHORITY_NEXT_KEY_FILE "authority-key-next.pem"
#define COMMY_PKI_AUTHORITY_OLD_KEY_FILE "authority-key-old.pem"
/* The key of a certificate that is just being replaced; there for a moment, or after a crash. */
#define COMMY_PKI_NEXT_KEY_FILE "key-next.pem"
/* Lists of revoked certificates, signed by authorities of ca.pem; where there is none, none is. */
#define COMMY_PKI_CRL_FILE "crl.pem"

#define COMMY_PKI_CRL_TEXT_MAX (4 * 1024 * 1024)

#define COMMY_PKI_SECONDS_PER_DAY G_GINT64_CONSTANT (86400)
#define COMMY_PKI_LIFE_DAYS 90
#define COMMY_PKI_AUTHORITY_LIFE_DAYS 3650
/* New certificates are valid from a little before now: clocks of two hosts differ. */
#define COMMY_PKI_BACKDATE_S 300
/* The part of that which a certificate of @life_s gets: a quarter of a short life. */
gint64 commy_pki_backdate (gint64 life_s);
/* Longest SPIFFE id that is taken: it has to fit a principal's name with its NUL. */
#define COMMY_PKI_ID_MAX 511
#define COMMY_PKI_CHAIN_MAX 4
#define COMMY_PKI_AUTHORITIES_MAX 8
/* In place of a time: validity is not asked for. */
#define COMMY_PKI_ANY_TIME G_MININT64

/* --- names (commy-pki-name.c) --- */

/* One segment of a SPIFFE path: letters, digits, '.', '-', '_', and neither "." nor "..".
 * @what names it in the error. */
gboolean commy_pki_check_segment (const char *text, const char *what, GError **error);
/* Checks a whole SPIFFE id, of @size bytes, which may be hostile. @out_path: (optional): where
 * the path begins, "" for an authority's id. Returns the trust domain. (transfer full) */
char *commy_pki_parse_id (const char *id, gsize size, const char **out_path, GError **error);

/* The parts of "spiffe://DOMAIN/host/HOST/user/USER", of exactly that form. (transfer full)
 * (optional), NULL where it is of another. */
gboolean commy_pki_split_id (const char *id, char **out_domain, char **out_host, char **out_user);

/* --- making (commy-pki-issue.c) --- */

typedef struct _CommyPkiAuthority CommyPkiAuthority;

/* A new key (ECDSA P-256) and a self-signed certificate; its trust domain is
 * `MESH-XXXXXXXX`, the digits from the key, so that no two are called the same. */
CommyPkiAuthority *commy_pki_authority_new (const char *mesh, gint64 now_s, GError **error);
CommyPkiAuthority *commy_pki_authority_load (const char *dir, GError **error);
void commy_pki_authority_free (CommyPkiAuthority *authority);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyPkiAuthority, commy_pki_authority_free)

const char *commy_pki_authority_get_domain (CommyPkiAuthority *authority);
/* SHA-256 of its public key: what a newcomer knows it by. */
gboolean commy_pki_authority_get_fingerprint (CommyPkiAuthority *authority,
                                              guint8 out_fingerprint[32],
                                              GError **error);
/* Writes `authority-key.pem` and `ca.pem`; never over an authority that is there. */
gboolean commy_pki_authority_save (CommyPkiAuthority *authority, const char *dir, GError **error);

/* A key and a certificate for it, both PEM. */
typedef struct
{
  char *cert_pem;
  char *key_pem;
} CommyPkiPair;

void commy_pki_pair_free (CommyPkiPair *pair); /* wipes the key */
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyPkiPair, commy_pki_pair_free)

/* A certificate for `spiffe://DOMAIN/host/HOST/user/USER`, good for both sides of a connection.
 * It never outlives the authority. */
CommyPkiPair *commy_pki_issue (CommyPkiAuthority *authority,
                               const char *host,
                               const char *user,
                               gint64 not_before_s,
                               gint64 not_after_s,
                               GError **error);
/* Writes `ca.pem`, `key.pem`, `cert.pem`; refuses where another authority's ca.pem lies. */
gboolean commy_pki_pair_save (const CommyPkiPair *pair,
                              CommyPkiAuthority *authority,
                              const char *dir,
                              GError **error);

/* --- files (commy-pki-file.c) --- */

/* Makes @dir and its parents, with mode 0700 where it makes one. */
gboolean commy_pki_make_dir (const char *dir, GError **error);
/* Whole or not at all. @exclusive: fails where the file exists. */
gboolean commy_pki_write_file (const char *dir,
                               const char *name,
                               const char *text,
                               guint mode,
                               gboolean exclusive,
                               GError **error);
/* A regular file of at most 256 KiB. @secret: nobody but its owner may have access. */
char *commy_pki_read_file (const char *dir, const char *name, gboolean secret, GError **error);
/* Lists of revoked certificates, of at most COMMY_PKI_CRL_TEXT_MAX. NULL without an error: there is
 * no such file; whatever else is wrong with it is an error. */
gboolean commy_pki_read_crl (const char *path, char **out_pem, GError **error);
/* Where the core looks for the credentials of @mesh when nothing else is said. */
char *commy_pki_default_dir (const char *mesh);

/* --- judging (commy-pki-trust.c) --- */

typedef struct _CommyPkiTrust CommyPkiTrust;

typedef enum
{
  COMMY_PKI_SERVER, /* the certificate's holder listens */
  COMMY_PKI_CLIENT, /* it connects */
} CommyPkiPurpose;

/* Why a chain was refused, for those who answer with a TLS alert. */
typedef enum
{
  COMMY_PKI_FAULT_NONE,
  COMMY_PKI_FAULT_MISSING,
  COMMY_PKI_FAULT_MALFORMED,
  COMMY_PKI_FAULT_UNKNOWN_AUTHORITY,
  COMMY_PKI_FAULT_EXPIRED, /* or not valid yet */
  COMMY_PKI_FAULT_PURPOSE,
  COMMY_PKI_FAULT_NAME,
  COMMY_PKI_FAULT_REVOKED,
} CommyPkiFault;

/* @pem: one or more authorities; each carries its trust domain as its only URI name. */
CommyPkiTrust *commy_pki_trust_new (const char *pem, GError **error);
/* The same; @domain: (nullable): of those that name none. */
CommyPkiTrust *commy_pki_trust_new_for (const char *pem, const char *domain, GError **error);
void commy_pki_trust_free (CommyPkiTrust *trust);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyPkiTrust, commy_pki_trust_free)

/* Judges certificates in DER, the peer's own first: signed by an authority, valid at @now_s,
 * meant for @purpose, and named by exactly one SPIFFE id in that authority's trust domain.
 * Returns the id. (transfer full) @out_fault: (optional) */
char *commy_pki_trust_verify (CommyPkiTrust *trust,
                              GBytes *const *chain,
                              gsize n_chain,
                              CommyPkiPurpose purpose,
                              gint64 now_s,
                              CommyPkiFault *out_fault,
                              GError **error);
/* --- revocation (commy-pki-crl.c) --- */

#define COMMY_PKI_CRLS_MAX 16
#define COMMY_PKI_REVOKED_MAX 65536

/* Adds lists of revoked certificates (PEM), each signed by an authority that is trusted; from then
 * on what they name is refused, at whatever time. All or nothing. */
gboolean commy_pki_trust_add_crls (CommyPkiTrust *trust, const char *pem, GError **error);
/* The highest number of the lists in @pem, -1 if there is none: a later one has a higher. */
gint64 commy_pki_crl_get_number (const char *pem);
/* When the lists should have been replaced by newer ones, the first of them; 0: they need not. */
gint64 commy_pki_trust_get_crl_end (CommyPkiTrust *trust);

/* A chain under the names by which it can be denied or revoked, "x509:AUTHORITY:SERIAL" of each
 * certificate that is a link of it with a space between, and the time that all of them share.
 * @trust: (nullable): whose authorities end it; without, it is as long as its signatures go.
 * (transfer full) */
char *commy_pki_chain_dup_names (CommyPkiTrust *trust,
                                 GBytes *const *chain,
                                 gsize n_chain,
                                 gint64 *out_from_s,
                                 gint64 *out_until_s);
/* What became since of a chain that was good once, by its names. */
typedef enum
{
  COMMY_PKI_NAMES_GOOD,
  COMMY_PKI_NAMES_REVOKED,
  COMMY_PKI_NAMES_STRANGE, /* its authority is not trusted any more */
} CommyPkiNamesState;
CommyPkiNamesState commy_pki_trust_judge_names (CommyPkiTrust *trust, const char *names);

/* What the first of a chain says of itself, for a record of its refusal: its name
 * ("x509:AUTHORITY:SERIAL"), the SPIFFE name if it has one, its issuer. Nothing of it is proved: it
 * is bounded, and text. (transfer full) (nullable) */
char *commy_pki_describe_shown (GBytes *const *ders, gsize n);
/* The rules of a SPIFFE certificate (X509-SVID, sections 2 to 5) without signatures and time:
 * one URI name, not an authority, for signing handshakes. Returns the id. (transfer full) */
char *commy_pki_leaf_id (GBytes *der, GError **error);

/* What there is to tell about one certificate. */
typedef struct
{
  char *id;          /* its URI name; "" if it has none or several */
  char *issuer;      /* distinguished name */
  char *serial;      /* hex */
  char *fingerprint; /* SHA-256 of the certificate, hex */
  char *name;        /* "x509:AUTHORITY:SERIAL" */
  gint64 not_before_s;
  gint64 not_after_s;
} CommyPkiInfo;

CommyPkiInfo *commy_pki_info_new (const char *pem, GError **error);
void commy_pki_info_free (CommyPkiInfo *info);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyPkiInfo, commy_pki_info_free)

/* --- where they are (commy-pki-places.c) --- */

/* Absolute paths. */
typedef struct
{
  char *authority;
  char *certificate;
  char *key;            /* or a "pkcs11:" URI */
  char *pin;            /* of that key's token; or NULL */
  char *crl;            /* it may not be there */
  char *trust_domain;   /* of authorities that name none; or NULL */
  gboolean is_external; /* `credentials.conf` says so: nobody here renews them */
} CommyPkiPlaces;

void commy_pki_places_clear (CommyPkiPlaces *places);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (CommyPkiPlaces, commy_pki_places_clear)
gboolean commy_pki_places_find (const char *dir, CommyPkiPlaces *out, GError **error);
/* The same of the text of `credentials.conf`, NULL: there is none; no file is looked at. */
gboolean
commy_pki_places_parse (const char *dir, const char *text, CommyPkiPlaces *out, GError **error);
/* The authorities, and what they revoked. */
CommyPkiTrust *commy_pki_places_load_trust (const CommyPkiPlaces *places, GError **error);
/* Whether a key's text is not the key but the URI of one that a token keeps. */
gboolean commy_pki_is_token_key (const char *key);

/* --- when they are read again (commy-pki-reload.c) --- */

#define COMMY_PKI_STAMPS 5
/* What tells one version of each file from the next without reading it. */
typedef struct
{
  struct
  {
    guint64 device, inode, size;
    gint64 changed_ns;
  } files[COMMY_PKI_STAMPS];
} CommyPkiStamps;

/* All zero at first. */
typedef struct
{
  CommyPkiStamps read;   /* last, and taken */
  CommyPkiStamps failed; /* since */
  gint64 wait_ns;        /* 0: nothing failed since */
  gint64 retry_ns;
  char *told; /* why, as was said last */
} CommyPkiReload;

/* One that is NULL or not there is zero. */
void commy_pki_stamps_take (const char *const *files, guint n, CommyPkiStamps *out);
/* Whether there is something to be read, or to be tried again. */
gboolean commy_pki_reload_is_due (CommyPkiReload *reload, const CommyPkiStamps *now, gint64 now_ns);
void commy_pki_reload_done (CommyPkiReload *reload, const CommyPkiStamps *now);
/* It is tried again later, each time after twice as long, up to ten seconds; only a PIN that was
 * refused is not until there is another one. TRUE: that is news, and to be logged. */
gboolean commy_pki_reload_failed (CommyPkiReload *reload,
                                  const CommyPkiStamps *now,
                                  const GError *why,
                                  gint64 now_ns);
void commy_pki_reload_clear (CommyPkiReload *reload);

/* What a node needs to speak TLS, read from a directory and found to fit together. */
typedef struct
{
  char *id;
  char *cert_pem;
  char *key_pem;        /* or a "pkcs11:" URI */
  CommyPkiTrust *trust; /* with what crl.pem says, if it is there */
  gint64 not_before_s;
  gint64 not_after_s;
} CommyPkiCredentials;

/* Fails if a file is missing or half written, the key is open to others, or the certificate is
 * not of the authority beside it. A certificate that is out of date is no failure here: compare
 * `not_after_s`. */
CommyPkiCredentials *commy_pki_credentials_load (const char *dir, GError **error);
/* The same from texts. */
CommyPkiCredentials *commy_pki_credentials_new (const char *ca_pem,
                                                const char *cert_pem,
                                                const char *key_pem,
                                                GError **error);
/* Replaces the set. At no moment, not even after a crash, is there a certificate without its key:
 * who reads meanwhile finds the old pair or the new one. */
gboolean commy_pki_credentials_save (
    const char *dir, const char *ca_pem, const char *cert_pem, const char *key_pem, GError **error);
void commy_pki_credentials_free (CommyPkiCredentials *credentials);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyPkiCredentials, commy_pki_credentials_free)

/* --- a client's first word (commy-pki-hello.c) --- */

/* Whether @fd, which nobody reads yet, has a whole first record of TLS, or never will. */
gboolean commy_pki_hello_is_there (int fd);
/* The same when @fd became readable, the other way round: TRUE: wait on, and it becomes readable
 * once more of it is there. @awaited: 0 at first, and then what the last call left. */
gboolean commy_pki_hello_await (int fd, gsize *awaited);

G_END_DECLS
