/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Deciding about a request: from a message, and what the other side proved, to an answer. Secret,
 * names, certificate and the use of the token are one step under the register's lock.
 */
#include "config.h"

#include "auth/common/commy-pki-wire.h"

#include <string.h>

/* One request on its way to an answer. */
typedef struct
{
  const CommyPkiAdmission *admission;
  CommyPkiAuthority *authority; /* as it is under the register's lock */
  CommyPkiOutcome *outcome;
  const char *from;
  gint64 now_s;
  gint64 now_us;
  GBytes *csr;
  char *path;     /* "/host/H/user/U" */
  char *token;    /* id of the token, NULL for a renewal */
  char *previous; /* renewal: id of the key that asks, as hex */
} Case;

static void
case_clear (Case *self)
{
  g_clear_pointer (&self->csr, g_bytes_unref);
  g_clear_pointer (&self->authority, commy_pki_authority_free);
  g_free (self->path);
  g_free (self->token);
  g_free (self->previous);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Case, case_clear)

static GBytes *
refuse (Case *self, const char *text)
{
  GVariantDict fields;

  if (self->outcome->line == NULL)
    self->outcome->line = g_strdup_printf ("refused: %s", text);
  g_variant_dict_init (&fields, NULL);
  g_variant_dict_insert (&fields, "text", "s", text);
  g_variant_dict_insert (&fields, "time", "x", self->now_s);
  return commy_pki_message_write (COMMY_PKI_MESSAGE_REFUSED, g_variant_dict_end (&fields));
}

/* What went wrong here is for the log; the other side learns that it was not its fault. */
static GBytes *
fail (Case *self, const GError *why)
{
  self->outcome->line = g_strdup_printf ("cannot admit: %s", why->message);
  g_clear_pointer (&self->outcome->who, g_free); /* nor does it count against whoever asked */
  return refuse (self, "the authority has a problem of its own, which its log tells");
}

/* Each refusal costs the lock, the register and the authority's files: who has had many waits,
 * before any of it. Takes @who. NULL: it may go on, and what becomes of it is counted. */
static GBytes *
hold_off (Case *self, char *who)
{
  CommyPkiLimiter *known = self->admission->known;

  if (known == NULL || commy_pki_limiter_allows (known, who, self->now_us))
    {
      self->outcome->who = who;
      return NULL;
    }
  g_free (who);
  return refuse (self, "this was refused many times just now: try again in a minute");
}

static char *
format_time (gint64 seconds)
{
  g_autoptr (GDateTime) time = g_date_time_new_from_unix_utc (seconds);

  return time == NULL ? g_strdup ("?") : g_date_time_format (time, "%Y-%m-%d %H:%M:%S UTC");
}

/* What the node is to refuse from now on; NULL: nothing was ever revoked. */
static gboolean
read_crl (Case *self, char **out_crl, GError **error)
{
  g_autofree char *path = g_build_filename (self->admission->dir, COMMY_PKI_CRL_FILE, NULL);

  return commy_pki_read_crl (path, out_crl, error);
}

/* What is not recorded is not handed out, if the keyfile says so. */
static gboolean
record (const Case *self, const char *id, const char *pem, GError **error)
{
  const CommyPkiAdmission *admission = self->admission;
  g_autoptr (CommyPkiInfo) info = NULL;
  CommyPkiEvent event
      = { .outcome = self->token != NULL ? "issued" : "renewed", .id = id, .from = self->from };

  if (admission->record == NULL)
    return TRUE;
  info = commy_pki_info_new (pem, error);
  if (info == NULL)
    return FALSE;
  event.certificate = info->name;
  return admission->record (admission->record_data, &event, error);
}

static GBytes *
admit (Case *self, CommyPkiRegister *reg)
{
  CommyPkiAuthority *authority = self->authority;
  gint64 life = self->admission->life_s;
  gint64 until = self->now_s + life;
  g_autofree char *key = NULL;
  g_autofree char *pem = NULL;
  g_autofree char *crl = NULL;
  g_autofree char *id = g_strdup_printf ("spiffe://%s%s", authority->domain, self->path);
  g_autoptr (GError) why = NULL;
  GVariantDict fields;

  if (!commy_pki_register_has_room (reg, self->path, self->now_s, &why))
    return refuse (self, why->message);
  /* Before anything is signed: who does not learn what was revoked learns nothing. */
  if (!read_crl (self, &crl, &why))
    return fail (self, why);
  pem = commy_pki_sign_request (authority, self->csr, self->path,
                                self->now_s - commy_pki_backdate (life), until, &key, &why);
  if (pem == NULL)
    return refuse (self, why->message);
  if (self->token != NULL)
    commy_pki_register_pardon (reg, self->path);
  if (self->token != NULL)
    commy_pki_register_use_token (reg, self->token, self->path, self->now_s);
  if (!commy_pki_register_set_identity (reg, self->path, key, self->previous, until, self->now_s,
                                        &why)
      || !commy_pki_register_note_certificate (reg, self->path, pem, self->now_s, &why)
      || !record (self, id, pem, &why) || !commy_pki_register_save (reg, self->now_s, &why))
    return fail (self, why);
  self->outcome->admitted = TRUE;
  self->outcome->line = g_strdup_printf ("%s %s", self->token != NULL ? "admitted" : "renewed", id);
  g_variant_dict_init (&fields, NULL);
  g_variant_dict_insert (&fields, "certificate", "s", pem);
  g_variant_dict_insert (&fields, "authority", "s", authority->pem);
  g_variant_dict_insert (&fields, "time", "x", self->now_s);
  if (crl != NULL)
    g_variant_dict_insert (&fields, "revoked", "s", crl);
  return commy_pki_message_write (COMMY_PKI_MESSAGE_ADMITTED, g_variant_dict_end (&fields));
}

/* --- with a token --- */

/* The holder of the secret may know what became of the token. */
static GBytes *
refuse_state (Case *self, const CommyPkiTokenInfo *info)
{
  g_autofree char *expired = format_time (info->expires_s);
  g_autofree char *used = format_time (info->used_s);
  g_autofree char *now = format_time (self->now_s);
  g_autofree char *text = NULL;

  if (info->state == COMMY_PKI_TOKEN_EXPIRED)
    text = g_strdup_printf ("the token expired at %s, and the authority's clock says %s: make a "
                            "new one there (commy pki token create)",
                            expired, now);
  else if (info->state == COMMY_PKI_TOKEN_USED)
    text = g_strdup_printf ("the token was used already, at %s for %s; a token is good once: make "
                            "a new one (commy pki token create)",
                            used, info->used_by);
  else
    text = g_strdup ("the token was revoked: make a new one (commy pki token create)");
  return refuse (self, text);
}

static GBytes *
refuse_name (Case *self, const char *what, const char *allowed, const char *wanted)
{
  g_autofree char *text = g_strdup_printf ("the token is for %s \"%s\", not \"%s\" (commy join "
                                           "--%s %s)",
                                           what, allowed, wanted, what, allowed);

  return refuse (self, text);
}

static GBytes *
decide_names (Case *self,
              const CommyPkiTokenInfo *info,
              CommyPkiRegister *reg,
              const char *host,
              const char *user)
{
  g_autofree char *text = NULL;

  if (info->host != NULL && strcmp (info->host, host) != 0)
    return refuse_name (self, "host", info->host, host);
  if (info->user != NULL && strcmp (info->user, user) != 0)
    return refuse_name (self, "user", info->user, user);
  /* Who made a token for exactly this host and user wants it to have a new key. */
  if ((info->host == NULL || info->user == NULL)
      && commy_pki_register_has_identity (reg, self->path))
    {
      text = g_strdup_printf ("user \"%s\" on host \"%s\" has been given out to another key: join "
                              "as another (commy join --host, --user), or with a token made for "
                              "it (commy pki token create --host %s --user %s)",
                              user, host, host, user);
      return refuse (self, text);
    }
  return admit (self, reg);
}

static GBytes *
decide_join (Case *self, const CommyPkiMessage *request)
{
  g_autoptr (GError) why = NULL;
  g_autofree char *host = commy_pki_message_dup_text (request, "host", 128);
  g_autofree char *user = commy_pki_message_dup_text (request, "user", 128);
  g_autoptr (GBytes) secret = commy_pki_message_dup_bytes (request, "secret");
  g_autoptr (CommyPkiRegister) reg = NULL;
  g_autoptr (CommyPkiTokenInfo) info = NULL;
  GBytes *answer;

  self->token = commy_pki_message_dup_text (request, "token", COMMY_PKI_TOKEN_ID_SIZE);
  if (host == NULL || user == NULL || secret == NULL || self->token == NULL
      || strspn (self->token, "0123456789abcdef") != strlen (self->token))
    return refuse (self, "the request lacks something, or something in it cannot be right");
  /* They are repeated in answers and in the log: from here on they are names. */
  self->path = commy_pki_node_path (host, user, &why);
  if (self->path == NULL)
    return refuse (self, why->message);
  answer = hold_off (self, g_strconcat ("token ", self->token, NULL));
  if (answer != NULL)
    return answer;
  reg = commy_pki_register_open_with (self->admission->dir, &self->authority, &why);
  if (reg == NULL)
    return fail (self, why);
  if (!commy_pki_register_check_secret (reg, self->token, g_bytes_get_data (secret, NULL),
                                        g_bytes_get_size (secret)))
    {
      self->outcome->suspicious = TRUE;
      g_clear_pointer (&self->outcome->who, g_free); /* it is a stranger's, not the token's */
      return refuse (self, "there is no such token here: make one (commy pki token create)");
    }
  info = commy_pki_register_get_token (reg, self->token, self->now_s);
  if (info->state != COMMY_PKI_TOKEN_OPEN)
    return refuse_state (self, info);
  return decide_names (self, info, reg, host, user);
}

/* --- with a certificate --- */

/* "/host/H/user/U", and nothing else, is the name of somebody who can be renewed. */
static gboolean
is_node_path (const char *path)
{
  g_auto (GStrv) parts = g_strsplit (path, "/", -1);

  return g_strv_length (parts) == 5 && strcmp (parts[1], "host") == 0
         && strcmp (parts[3], "user") == 0;
}

/* Whose certificate that is, by what @authority trusts and, with @read_lists, took back; NULL: the
 * answer is in @out_answer. */
static char *
verify_peer (Case *self,
             CommyPkiAuthority *authority,
             gboolean read_lists,
             GBytes *peer,
             GBytes **out_answer)
{
  g_autoptr (GError) why = NULL;
  g_autoptr (CommyPkiTrust) trust = commy_pki_trust_new (authority->pem, &why);
  g_autofree char *crl = NULL;
  g_autofree char *text = NULL;
  char *id;

  if (trust == NULL || (read_lists && !read_crl (self, &crl, &why))
      || (crl != NULL && !commy_pki_trust_add_crls (trust, crl, &why)))
    {
      *out_answer = fail (self, why);
      return NULL;
    }
  id = commy_pki_trust_verify (trust, &peer, 1, COMMY_PKI_CLIENT, self->now_s, NULL, &why);
  if (id != NULL)
    return id;
  text = g_strdup_printf ("%s: join again with a new token (commy join)", why->message);
  *out_answer = refuse (self, text);
  return NULL;
}

static GBytes *
renew_peer (Case *self, CommyPkiRegister *reg)
{
  if (commy_pki_register_is_revoked (reg, self->path))
    {
      self->outcome->suspicious = TRUE;
      return refuse (self, "this name was revoked: it needs a token that is made for it (commy pki "
                           "token create --host, --user), and to join again");
    }
  if (commy_pki_register_has_identity (reg, self->path)
      && !commy_pki_register_identity_fits (reg, self->path, self->previous))
    return refuse (self, "this name was given to another key since: join again with a new token "
                         "(commy join)");
  return admit (self, reg);
}

static GBytes *
decide_renewal (Case *self, GBytes *peer)
{
  g_autoptr (GError) why = NULL;
  g_autoptr (CommyPkiRegister) reg = NULL;
  g_autofree char *id = NULL;
  g_autofree char *present = NULL;
  g_autofree char *domain = NULL;
  const char *path = NULL;
  GBytes *answer = NULL;
  guint8 key[32];

  if (peer == NULL)
    return refuse (self, "to renew, show the certificate that is to be renewed");
  /* Strangers are worth neither the lock nor long lists; the others are judged by what there is
   * under it. */
  id = verify_peer (self, self->admission->authority, FALSE, peer, &answer);
  if (id == NULL)
    return answer;
  if (!commy_pki_key_id (peer, key, &why))
    return refuse (self, why->message);
  self->previous = commy_pki_hex (key, sizeof key);
  /* Of the key, too: who has an old one of a name keeps nobody from renewing it. */
  answer = hold_off (self, g_strconcat (id, " ", self->previous, NULL));
  if (answer != NULL)
    return answer;
  reg = commy_pki_register_open_with (self->admission->dir, &self->authority, &why);
  if (reg == NULL)
    return fail (self, why);
  present = verify_peer (self, self->authority, TRUE, peer, &answer);
  if (present == NULL)
    return answer;
  domain = commy_pki_parse_id (present, strlen (present), &path, NULL);
  if (!is_node_path (path))
    return refuse (self, "this certificate is not one that can be renewed");
  self->path = g_strdup (path);
  return renew_peer (self, reg);
}

void
commy_pki_outcome_clear (CommyPkiOutcome *outcome)
{
  g_clear_pointer (&outcome->who, g_free);
  g_clear_pointer (&outcome->line, g_free);
}

GBytes *
commy_pki_admission_decide (const CommyPkiAdmission *admission,
                            const CommyPkiMessage *request,
                            GBytes *peer,
                            const char *from,
                            gint64 now_s,
                            gint64 now_us,
                            CommyPkiOutcome *out)
{
  g_auto (Case) self
      = { .admission = admission, .outcome = out, .from = from, .now_s = now_s, .now_us = now_us };

  self.csr = commy_pki_message_dup_bytes (request, "request");
  if (self.csr == NULL)
    return refuse (&self, "the request holds no signing request");
  if (request->type == COMMY_PKI_MESSAGE_JOIN)
    return decide_join (&self, request);
  if (request->type == COMMY_PKI_MESSAGE_RENEW)
    return decide_renewal (&self, peer);
  return refuse (&self, "the message is not one for an authority");
}
