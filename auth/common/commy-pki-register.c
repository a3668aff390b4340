/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What an authority gave out: tokens (a hash of each, never the secret) and identities with the
 * key that holds them. One keyfile beside the authority's key, under a lock from reading to
 * writing, so that of several processes one alone can use up a token.
 */
#include "config.h"

#include "auth/common/commy-pki-wire.h"

#include <string.h>
#include <unistd.h>

#define FILE_NAME "register.ini"
#define LOCK_NAME "register.lock"
/* New names end here. Those that are there can each have 16 certificates (2.5 KiB), and 32768 that
 * are revoked are noted (448 bytes): that and the tokens is less than is ever read, so that a full
 * register still renews and revokes. */
#define GROWTH_MAX (8 * 1024 * 1024)
#define FILE_MAX (64 * 1024 * 1024)
#define TOKENS_MAX 256
#define IDENTITIES_MAX 16384
G_STATIC_ASSERT (IDENTITIES_MAX * 2560 + 32768 * 448 + TOKENS_MAX * 1024 < FILE_MAX);
#define TOKEN_GROUP "token "
#define KEEP_TOKENS_S (7 * COMMY_PKI_SECONDS_PER_DAY)
#define KEEP_IDENTITIES_DAYS 90

struct _CommyPkiRegister
{
  char *dir;
  int lock;
  GKeyFile *file;
  gboolean has_grown; /* by a name */
};

static gboolean
read_register (CommyPkiRegister *self, GError **error)
{
  g_autofree char *path = g_build_filename (self->dir, FILE_NAME, NULL);
  g_autofree char *text = NULL;
  gsize size = 0;
  g_autoptr (GError) why = NULL;

  self->file = g_key_file_new ();
  if (!g_file_test (path, G_FILE_TEST_EXISTS))
    return TRUE;
  if (g_file_get_contents (path, &text, &size, &why) && size <= FILE_MAX
      && g_key_file_load_from_data (self->file, text, size, G_KEY_FILE_NONE, &why))
    return TRUE;
  g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_STATE_DIR,
               "the authority's register %s cannot be read: %s", path,
               why != NULL ? why->message : "it is larger than 64 MiB");
  return FALSE;
}

CommyPkiRegister *
commy_pki_register_open (const char *dir, GError **error)
{
  g_autoptr (CommyPkiRegister) self = g_new0 (CommyPkiRegister, 1);

  self->dir = g_strdup (dir);
  self->lock = commy_pki_lock (dir, LOCK_NAME, TRUE, error);
  return self->lock >= 0 && read_register (self, error) ? g_steal_pointer (&self) : NULL;
}

CommyPkiRegister *
commy_pki_register_open_with (const char *dir, CommyPkiAuthority **out_authority, GError **error)
{
  /* Where there is none, no lock is made either. */
  g_autoptr (CommyPkiAuthority) before = commy_pki_authority_load (dir, error);
  g_autoptr (CommyPkiRegister) self = NULL;

  *out_authority = NULL;
  self = before != NULL ? commy_pki_register_open (dir, error) : NULL;
  if (self != NULL)
    *out_authority = commy_pki_authority_load (dir, error);
  return *out_authority != NULL ? g_steal_pointer (&self) : NULL;
}

void
commy_pki_register_free (CommyPkiRegister *self)
{
  if (self == NULL)
    return;
  g_clear_pointer (&self->file, g_key_file_unref);
  if (self->lock >= 0)
    close (self->lock);
  g_free (self->dir);
  g_free (self);
}

static gboolean
is_over (CommyPkiRegister *self, const char *group, gint64 now_s)
{
  if (g_str_has_prefix (group, TOKEN_GROUP))
    return g_key_file_get_int64 (self->file, group, "expires", NULL) + KEEP_TOKENS_S < now_s;
  if (!g_str_has_prefix (group, COMMY_PKI_IDENTITY_GROUP)
      || g_key_file_get_boolean (self->file, group, "revoked", NULL))
    return FALSE;
  return commy_pki_register_get_end (self->file, group)
             + KEEP_IDENTITIES_DAYS * COMMY_PKI_SECONDS_PER_DAY
         < now_s;
}

/* Tokens, and holders of names, that ended long ago are of no interest to anybody. What was revoked
 * is: it must not come back under a token for any name. */
static void
prune (CommyPkiRegister *self, gint64 now_s)
{
  g_auto (GStrv) groups = g_key_file_get_groups (self->file, NULL);

  for (guint i = 0; groups[i] != NULL; i++)
    if (is_over (self, groups[i], now_s))
      g_key_file_remove_group (self->file, groups[i], NULL);
}

static gboolean
refuse_growth (GError **error)
{
  g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_STATE_DIR,
               "the authority's register is full (%u names, or %u MiB), so no new name is given "
               "out: a name goes %u days after its last certificate ended, unless it was revoked; "
               "until then have hosts join under names that are there (commy pki token create "
               "--host HOST --user USER)",
               (guint) IDENTITIES_MAX, (guint) (GROWTH_MAX / 1024 / 1024),
               (guint) KEEP_IDENTITIES_DAYS);
  return FALSE;
}

gboolean
commy_pki_register_save (CommyPkiRegister *self, gint64 now_s, GError **error)
{
  g_autofree char *text = NULL;
  gsize size = 0;

  prune (self, now_s);
  text = g_key_file_to_data (self->file, &size, NULL);
  if (self->has_grown && size > GROWTH_MAX)
    return refuse_growth (error);
  if (size > FILE_MAX) /* it could not be read again */
    {
      g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_STATE_DIR,
                   "the authority's register is full (64 MiB): take out of " FILE_NAME
                   " in its folder what does not belong there");
      return FALSE;
    }
  return commy_pki_write_file (self->dir, FILE_NAME, text, 0600, FALSE, error);
}

static guint
count (CommyPkiRegister *self, const char *prefix)
{
  g_auto (GStrv) groups = g_key_file_get_groups (self->file, NULL);
  guint n = 0;

  for (guint i = 0; groups[i] != NULL; i++)
    n += g_str_has_prefix (groups[i], prefix) ? 1 : 0;
  return n;
}

/* --- tokens --- */

static char *
hash_secret (const guint8 *secret, gsize size)
{
  return g_compute_checksum_for_data (G_CHECKSUM_SHA256, secret, size);
}

gboolean
commy_pki_register_add_token (CommyPkiRegister *self,
                              const CommyPkiToken *token,
                              const char *host,
                              const char *user,
                              gint64 now_s,
                              GError **error)
{
  g_autofree char *group = g_strconcat (TOKEN_GROUP, token->id, NULL);
  g_autofree char *hash = hash_secret (token->secret, sizeof token->secret);

  if ((host != NULL && !commy_pki_check_segment (host, "host", error))
      || (user != NULL && !commy_pki_check_segment (user, "user", error)))
    return FALSE;
  prune (self, now_s);
  if (count (self, TOKEN_GROUP) >= TOKENS_MAX || g_key_file_has_group (self->file, group))
    {
      g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_JOIN,
                   "the register holds %u tokens already: a week after their end they go by "
                   "themselves",
                   (guint) TOKENS_MAX);
      return FALSE;
    }
  g_key_file_set_string (self->file, group, "secret-sha256", hash);
  g_key_file_set_int64 (self->file, group, "created", now_s);
  g_key_file_set_int64 (self->file, group, "expires", token->expires_s);
  if (host != NULL)
    g_key_file_set_string (self->file, group, "host", host);
  if (user != NULL)
    g_key_file_set_string (self->file, group, "user", user);
  return TRUE;
}

void
commy_pki_token_info_free (CommyPkiTokenInfo *info)
{
  if (info == NULL)
    return;
  g_free (info->id);
  g_free (info->host);
  g_free (info->user);
  g_free (info->used_by);
  g_free (info);
}

CommyPkiTokenInfo *
commy_pki_register_get_token (CommyPkiRegister *self, const char *id, gint64 now_s)
{
  g_autofree char *group = g_strconcat (TOKEN_GROUP, id, NULL);
  CommyPkiTokenInfo *info;

  if (!g_key_file_has_group (self->file, group))
    return NULL;
  info = g_new0 (CommyPkiTokenInfo, 1);
  info->id = g_strdup (id);
  info->host = g_key_file_get_string (self->file, group, "host", NULL);
  info->user = g_key_file_get_string (self->file, group, "user", NULL);
  info->used_by = g_key_file_get_string (self->file, group, "used-by", NULL);
  info->created_s = g_key_file_get_int64 (self->file, group, "created", NULL);
  info->expires_s = g_key_file_get_int64 (self->file, group, "expires", NULL);
  info->used_s = g_key_file_get_int64 (self->file, group, "used", NULL);
  if (info->used_by != NULL)
    info->state = COMMY_PKI_TOKEN_USED;
  else if (g_key_file_get_boolean (self->file, group, "revoked", NULL))
    info->state = COMMY_PKI_TOKEN_REVOKED;
  else if (now_s >= info->expires_s)
    info->state = COMMY_PKI_TOKEN_EXPIRED;
  return info;
}

static int
compare_created (gconstpointer a, gconstpointer b)
{
  const CommyPkiTokenInfo *one = *(const CommyPkiTokenInfo *const *) a;
  const CommyPkiTokenInfo *two = *(const CommyPkiTokenInfo *const *) b;

  if (one->created_s != two->created_s)
    return one->created_s < two->created_s ? -1 : 1;
  return strcmp (one->id, two->id);
}

GPtrArray *
commy_pki_register_list_tokens (CommyPkiRegister *self, gint64 now_s)
{
  GPtrArray *list = g_ptr_array_new_with_free_func ((GDestroyNotify) commy_pki_token_info_free);
  g_auto (GStrv) groups = g_key_file_get_groups (self->file, NULL);

  for (guint i = 0; groups[i] != NULL; i++)
    if (g_str_has_prefix (groups[i], TOKEN_GROUP))
      g_ptr_array_add (
          list, commy_pki_register_get_token (self, groups[i] + strlen (TOKEN_GROUP), now_s));
  g_ptr_array_sort (list, compare_created);
  return list;
}

gboolean
commy_pki_register_revoke_token (CommyPkiRegister *self, const char *id, GError **error)
{
  g_autofree char *group = g_strconcat (TOKEN_GROUP, id, NULL);

  if (!g_key_file_has_group (self->file, group))
    g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_JOIN,
                 "there is no token %.32s (commy pki token ls lists them)", id);
  else if (g_key_file_has_key (self->file, group, "used-by", NULL))
    g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_JOIN,
                 "token %s was used already: what it admitted stays until its certificate ends",
                 id);
  else
    {
      g_key_file_set_boolean (self->file, group, "revoked", TRUE);
      return TRUE;
    }
  return FALSE;
}

gboolean
commy_pki_register_check_secret (CommyPkiRegister *self,
                                 const char *id,
                                 const guint8 *secret,
                                 gsize size)
{
  g_autofree char *group = g_strconcat (TOKEN_GROUP, id, NULL);
  g_autofree char *kept = g_key_file_get_string (self->file, group, "secret-sha256", NULL);
  g_autofree char *given = hash_secret (secret, size);
  gsize length = strlen (given);
  gboolean known = kept != NULL && strlen (kept) == length;

  /* Of hashes, and always of equal length: nothing is learnt from how long it takes. */
  return (gnutls_memcmp (given, known ? kept : given, length) == 0) && known;
}

void
commy_pki_register_use_token (CommyPkiRegister *self,
                              const char *id,
                              const char *used_by,
                              gint64 now_s)
{
  g_autofree char *group = g_strconcat (TOKEN_GROUP, id, NULL);

  g_key_file_set_string (self->file, group, "used-by", used_by);
  g_key_file_set_int64 (self->file, group, "used", now_s);
}

/* --- identities --- */

gboolean
commy_pki_register_has_identity (CommyPkiRegister *self, const char *path)
{
  g_autofree char *group = g_strconcat (COMMY_PKI_IDENTITY_GROUP, path, NULL);

  return g_key_file_has_group (self->file, group);
}

gboolean
commy_pki_register_identity_fits (CommyPkiRegister *self, const char *path, const char *key)
{
  g_autofree char *group = g_strconcat (COMMY_PKI_IDENTITY_GROUP, path, NULL);
  g_autofree char *present = g_key_file_get_string (self->file, group, "key", NULL);
  g_autofree char *previous = g_key_file_get_string (self->file, group, "previous-key", NULL);

  return g_strcmp0 (present, key) == 0 || g_strcmp0 (previous, key) == 0;
}

gboolean
commy_pki_register_set_identity (CommyPkiRegister *self,
                                 const char *path,
                                 const char *key,
                                 const char *previous,
                                 gint64 until_s,
                                 gint64 now_s,
                                 GError **error)
{
  g_autofree char *group = g_strconcat (COMMY_PKI_IDENTITY_GROUP, path, NULL);
  gboolean is_new = !g_key_file_has_group (self->file, group);

  if (is_new)
    prune (self, now_s);
  if (is_new && count (self, COMMY_PKI_IDENTITY_GROUP) >= IDENTITIES_MAX)
    return refuse_growth (error);
  self->has_grown |= is_new;
  g_key_file_set_string (self->file, group, "key", key);
  if (previous != NULL)
    g_key_file_set_string (self->file, group, "previous-key", previous);
  else
    g_key_file_remove_key (self->file, group, "previous-key", NULL);
  g_key_file_set_int64 (self->file, group, "until", until_s);
  return TRUE;
}

GKeyFile *
commy_pki_register_get_file (CommyPkiRegister *self)
{
  return self->file;
}

gboolean
commy_pki_register_note_issued (CommyPkiRegister *self,
                                const char *cert_pem,
                                gint64 now_s,
                                GError **error)
{
  g_auto (gnutls_x509_crt_t) crt = NULL;
  gnutls_datum_t pem = { (guint8 *) cert_pem, (unsigned) strlen (cert_pem) };
  g_autofree char *uri = NULL;
  g_autofree char *domain = NULL;
  g_autofree char *key = NULL;
  const char *path = NULL;
  guint8 id[32];
  gsize size = sizeof id;

  if (!commy_pki_check (gnutls_x509_crt_init (&crt), "certificate", error)
      || !commy_pki_check (gnutls_x509_crt_import (crt, &pem, GNUTLS_X509_FMT_PEM),
                           "the certificate cannot be read", error)
      || !commy_pki_check (gnutls_x509_crt_get_key_id (crt, GNUTLS_KEYID_USE_SHA256, id, &size),
                           "the key has no id", error))
    return FALSE;
  uri = commy_pki_crt_dup_uri (crt, error);
  domain = uri != NULL ? commy_pki_parse_id (uri, strlen (uri), &path, error) : NULL;
  if (domain == NULL)
    return FALSE;
  key = commy_pki_hex (id, sizeof id);
  return commy_pki_register_set_identity (self, path, key, NULL,
                                          gnutls_x509_crt_get_expiration_time (crt), now_s, error)
         && commy_pki_register_note_certificate (self, path, cert_pem, now_s, error)
         && commy_pki_register_save (self, now_s, error);
}

gboolean
commy_pki_note_issued (const char *dir, const char *cert_pem, gint64 now_s, GError **error)
{
  g_autoptr (CommyPkiRegister) self = commy_pki_register_open (dir, error);

  return self != NULL && commy_pki_register_note_issued (self, cert_pem, now_s, error);
}
