/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * As text, a line each: a title, the id, the principal, the factor, when it was made, when it
 * expires, when it ends at the latest, the three parts of its verifier in hex, and the seal:
 * HMAC-SHA-256 of all that stands before it.
 */
#include "config.h"

#include "auth/common/commy-session-record.h"

#include "auth/common/commy-credential.h"
#include "auth/common/commy-pki-private.h"
#include "auth/common/commy-pki-seal.h"

#include <gnutls/crypto.h>
#include <string.h>

#define TITLE "commy session 1"
#define LABEL "commy session seal 1"
#define TIME_MAX_S (G_MAXINT64 / G_USEC_PER_SEC / 4)
#define FACTOR_MAX 64u

enum
{
  LINE_TITLE,
  LINE_ID,
  LINE_PRINCIPAL,
  LINE_FACTOR,
  LINE_CREATED,
  LINE_EXPIRES,
  LINE_ENDS,
  LINE_PEPPER,
  LINE_STORED,
  LINE_SERVER,
  LINE_SEAL,
  LINE_NOTHING, /* behind the last end of line */
  N_LINES,
};

void
commy_session_record_free (CommySessionRecord *self)
{
  if (self == NULL)
    return;
  g_free (self->principal);
  g_free (self->factor);
  explicit_bzero (self, sizeof *self);
  g_free (self);
}

gboolean
commy_session_seal_key (const char *name, guint8 out_key[COMMY_SESSION_SEAL_SIZE], GError **error)
{
  return commy_credential_derive_key (
      commy_credential_get (name, COMMY_CREDENTIAL_KEY_TEXT_MAX, error), LABEL,
      "sessions are sealed (param.session-key)", out_key, error);
}

/* --- one --- */

CommySessionRecord *
commy_session_record_new (const CommySessionRules *rules,
                          const char *principal,
                          const char *factor,
                          gint64 now_s,
                          CommySessionGrant *out_grant,
                          GError **error)
{
  g_autoptr (CommySessionRecord) self = g_new0 (CommySessionRecord, 1);

  memset (out_grant, 0, sizeof *out_grant);
  if (!commy_api_key_is_principal (principal))
    {
      g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_INVALID_ARGUMENT,
                   "its name is longer than %u bytes, or is none", COMMY_API_KEY_PRINCIPAL_MAX);
      return NULL;
    }
  if (!commy_api_key_new (&out_grant->key, error)
      || !commy_api_key_make_verifier (&out_grant->key, &self->verifier, error))
    {
      commy_session_grant_clear (out_grant);
      return NULL;
    }
  memcpy (self->id, out_grant->key.id, sizeof self->id);
  self->principal = g_strdup (principal);
  self->factor = g_strdup (factor);
  self->created_s = now_s;
  self->ends_s = now_s + rules->life_s;
  self->expires_s = now_s + MIN (rules->idle_s, rules->life_s);
  memcpy (out_grant->pepper, self->verifier.pepper, sizeof out_grant->pepper);
  out_grant->ends_s = self->ends_s;
  return g_steal_pointer (&self);
}

gboolean
commy_session_record_touch (CommySessionRecord *self, const CommySessionRules *rules, gint64 now_s)
{
  gint64 expires_s = MIN (now_s + rules->idle_s, self->ends_s);

  /* Not for each connection; but the last part of its life it has, too. */
  if (expires_s <= self->expires_s
      || (expires_s - self->expires_s < rules->idle_s / 4 && expires_s < self->ends_s))
    return FALSE;
  self->expires_s = expires_s;
  return TRUE;
}

const char *
commy_session_record_why_not (const CommySessionRecord *self,
                              const CommySessionRules *rules,
                              const char *principal,
                              const guint8 *transcript,
                              const guint8 *proof,
                              gint64 now_s)
{
  guint8 answer[COMMY_API_KEY_HASH_SIZE];

  if (!commy_api_key_check (&self->verifier, transcript, proof, answer))
    return "its proof is wrong";
  if (strcmp (self->principal, principal) != 0)
    return "it is somebody else's";
  if (now_s >= self->expires_s || now_s >= self->ends_s || now_s >= self->created_s + rules->life_s)
    return "it has expired";
  return NULL;
}

/* --- as text --- */

char *
commy_session_record_dup_key (const char *id)
{
  return g_strconcat (COMMY_SESSIONS_PREFIX, id, NULL);
}

static void
add_hex (GString *text, const guint8 *bytes, gsize size)
{
  g_autofree char *hex = commy_pki_hex (bytes, size);

  g_string_append_printf (text, "%s\n", hex);
}

static void
make_seal (const guint8 *seal, const char *text, gsize size, guint8 out[COMMY_SESSION_SEAL_SIZE])
{
  if (gnutls_hmac_fast (GNUTLS_MAC_SHA256, seal, COMMY_SESSION_SEAL_SIZE, text, size, out) < 0)
    g_error ("GnuTLS cannot compute HMAC-SHA-256");
}

GBytes *
commy_session_record_write (const CommySessionRecord *self,
                            const guint8 seal[COMMY_SESSION_SEAL_SIZE])
{
  GString *text = g_string_new (TITLE "\n");
  guint8 sealed[COMMY_SESSION_SEAL_SIZE];
  gsize size;

  g_string_append_printf (text, "%s\n%s\n%s\n", self->id, self->principal, self->factor);
  g_string_append_printf (text,
                          "%" G_GINT64_FORMAT "\n%" G_GINT64_FORMAT "\n%" G_GINT64_FORMAT "\n",
                          self->created_s, self->expires_s, self->ends_s);
  add_hex (text, self->verifier.pepper, sizeof self->verifier.pepper);
  add_hex (text, self->verifier.stored, sizeof self->verifier.stored);
  add_hex (text, self->verifier.server, sizeof self->verifier.server);
  make_seal (seal, text->str, text->len, sealed);
  add_hex (text, sealed, sizeof sealed);
  size = text->len;
  return g_bytes_new_take (g_string_free (text, FALSE), size);
}

static gboolean
read_hex (const char *line, guint8 *out, gsize size)
{
  return strlen (line) == 2 * size && commy_pki_from_hex (line, size, out);
}

static gboolean
read_time (const char *line, gint64 *out)
{
  return g_ascii_string_to_signed (line, 10, 0, TIME_MAX_S, out, NULL);
}

static gboolean
read_lines (CommySessionRecord *self, char **lines)
{
  if (g_strv_length (lines) != N_LINES || strcmp (lines[LINE_TITLE], TITLE) != 0
      || lines[LINE_NOTHING][0] != '\0' || !commy_api_key_is_id (lines[LINE_ID])
      || !commy_api_key_is_principal (lines[LINE_PRINCIPAL]) || lines[LINE_FACTOR][0] == '\0'
      || strlen (lines[LINE_FACTOR]) > FACTOR_MAX)
    return FALSE;
  g_strlcpy (self->id, lines[LINE_ID], sizeof self->id);
  self->principal = g_strdup (lines[LINE_PRINCIPAL]);
  self->factor = g_strdup (lines[LINE_FACTOR]);
  return read_time (lines[LINE_CREATED], &self->created_s)
         && read_time (lines[LINE_EXPIRES], &self->expires_s)
         && read_time (lines[LINE_ENDS], &self->ends_s)
         && read_hex (lines[LINE_PEPPER], self->verifier.pepper, sizeof self->verifier.pepper)
         && read_hex (lines[LINE_STORED], self->verifier.stored, sizeof self->verifier.stored)
         && read_hex (lines[LINE_SERVER], self->verifier.server, sizeof self->verifier.server);
}

/* @lines are those of @text: the seal is over what stands before its own. */
static gboolean
is_sealed (char **lines, const char *text, gsize size, const guint8 *seal)
{
  const gsize last = 2 * COMMY_SESSION_SEAL_SIZE + 1;
  guint8 there[COMMY_SESSION_SEAL_SIZE];
  guint8 expected[COMMY_SESSION_SEAL_SIZE];

  if (size < last || !read_hex (lines[LINE_SEAL], there, sizeof there))
    return FALSE;
  make_seal (seal, text, size - last, expected);
  return gnutls_memcmp (there, expected, sizeof there) == 0;
}

CommySessionRecord *
commy_session_record_read (
    const char *key, gconstpointer bytes, gsize size, const guint8 *seal, GError **error)
{
  g_autoptr (CommySessionRecord) self = g_new0 (CommySessionRecord, 1);
  g_autofree char *text = NULL;
  g_auto (GStrv) lines = NULL;
  const char *wrong = NULL;

  if (bytes == NULL || size > COMMY_SESSION_RECORD_MAX || memchr (bytes, '\0', size) != NULL)
    wrong = "it is too long, or no text";
  else
    {
      text = g_strndup (bytes, size);
      lines = g_strsplit (text, "\n", N_LINES + 1);
      if (!read_lines (self, lines))
        wrong = "it is none";
      else if (!g_str_has_prefix (key, COMMY_SESSIONS_PREFIX)
               || strcmp (key + strlen (COMMY_SESSIONS_PREFIX), self->id) != 0)
        wrong = "it is another one's";
      else if (seal != NULL && !is_sealed (lines, text, size, seal))
        wrong = "its seal is broken, or made by another key (param.session-key)";
    }
  if (wrong == NULL)
    return g_steal_pointer (&self);
  g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_STORE, "the session %.64s in the store: %s", key,
               wrong);
  return NULL;
}
