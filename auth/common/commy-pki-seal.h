/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Seals: signatures (Ed25519) on checkpoints of the audit trail, each by a key that is forgotten
 * when it has named the next one. Who takes over a node can sign what comes, but not what was.
 *
 * In the credentials folder: `audit-key`, the private key of now; `audit-keys`, for everybody who
 * verifies: each line is a key, the first key of a file of the trail, the key after it, and the
 * first one's signature on these two, all in hex.
 */
#pragma once

#include <glib.h>

#define COMMY_PKI_SEAL_KEY_FILE "audit-key"
#define COMMY_PKI_SEAL_KEYS_FILE "audit-keys"
#define COMMY_PKI_SEAL_KEY_SIZE 32u
#define COMMY_PKI_SEAL_SIGNATURE_SIZE 64u
/* The key, the next one, the signature on what is sealed and on that. */
#define COMMY_PKI_SEAL_SIZE (2u * COMMY_PKI_SEAL_KEY_SIZE + COMMY_PKI_SEAL_SIGNATURE_SIZE)

typedef struct _CommyPkiSealer CommyPkiSealer;

CommyPkiSealer *commy_pki_sealer_new (const char *dir);
void commy_pki_sealer_free (CommyPkiSealer *sealer); /* wipes its key */
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyPkiSealer, commy_pki_sealer_free)

/* @first: with a key that the folder's list introduces, else with the one that the last seal did.
 * FALSE without an error: this node has no certificate, and makes no seals. *@out_told: the same
 * error came the last time. One thread at a time. */
gboolean commy_pki_seal (CommyPkiSealer *sealer,
                         gboolean first,
                         gconstpointer bytes,
                         gsize size,
                         guint8 out_seal[COMMY_PKI_SEAL_SIZE],
                         gboolean *out_told,
                         GError **error);

/* Who judges seals, with the list of keys of the folder that they were made with. */
typedef struct _CommyPkiSealJudge CommyPkiSealJudge;

/* Checks the list. */
CommyPkiSealJudge *commy_pki_seal_judge_new (const char *dir, GError **error);
/* The same of a list that was read from @path. */
CommyPkiSealJudge *commy_pki_seal_judge_parse (const char *text, const char *path, GError **error);
void commy_pki_seal_judge_free (CommyPkiSealJudge *judge);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyPkiSealJudge, commy_pki_seal_judge_free)
/* The list's first key, in hex: who noted it earlier knows that nobody wrote the list anew. */
const char *commy_pki_seal_judge_get_anchor (CommyPkiSealJudge *judge);
/* @before: the seal before it in its file, NULL for the first. May be called by its users as a
 * CommyAuditSealFunc. */
gboolean commy_pki_seal_check (gconstpointer before,
                               gsize before_size,
                               gconstpointer bytes,
                               gsize size,
                               gconstpointer seal,
                               gsize seal_size,
                               gpointer judge,
                               GError **error);
/* SHA-256 by GnuTLS, as a CommyAuditHashFunc. */
void commy_pki_seal_hash (gconstpointer bytes, gsize size, guint8 *out_hash, gpointer user_data);

/* --- keys (commy-pki-seal-key.c) --- */

typedef struct
{
  guint8 private_half[COMMY_PKI_SEAL_KEY_SIZE];
  guint8 public_half[COMMY_PKI_SEAL_KEY_SIZE];
} CommyPkiSealKey;

gboolean commy_pki_seal_key_make (CommyPkiSealKey *key, GError **error);
/* What keys sign: @what, for which purpose; then @bytes; then @next. */
gboolean commy_pki_seal_key_sign (const CommyPkiSealKey *key,
                                  const char *what,
                                  gconstpointer bytes,
                                  gsize size,
                                  const guint8 next[COMMY_PKI_SEAL_KEY_SIZE],
                                  guint8 out_signature[COMMY_PKI_SEAL_SIGNATURE_SIZE],
                                  GError **error);
gboolean commy_pki_seal_key_verify (const guint8 key[COMMY_PKI_SEAL_KEY_SIZE],
                                    const char *what,
                                    gconstpointer bytes,
                                    gsize size,
                                    const guint8 next[COMMY_PKI_SEAL_KEY_SIZE],
                                    const guint8 signature[COMMY_PKI_SEAL_SIGNATURE_SIZE]);
#define COMMY_PKI_SEAL_ON_CHECKPOINT "commy audit checkpoint 1"
#define COMMY_PKI_SEAL_ON_KEY "commy audit key 1"
