/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Revoking: the register knows which certificates a node has; those that are revoked are noted
 * there, and go into lists that the authority signs (commy-pki-lists.c).
 */
#include "config.h"

#include "auth/common/commy-pki-wire.h"

#include <string.h>

/* Of one node, that are good at a time: two while it is renewed, more where answers get lost. */
#define CERTIFICATES_MAX 16

void
commy_pki_revocation_clear (CommyPkiRevocation *self)
{
  g_clear_pointer (&self->path, g_free);
  g_clear_pointer (&self->names, g_ptr_array_unref);
}

static char *
identity_group (const char *path)
{
  return g_strconcat (COMMY_PKI_IDENTITY_GROUP, path, NULL);
}

/* --- what a node has: "x509:AUTHORITY:SERIAL UNTIL" --- */

static gint64
until_of (const char *entry)
{
  const char *blank = strchr (entry, ' ');

  return blank != NULL ? g_ascii_strtoll (blank + 1, NULL, 10) : 0;
}

static char *
name_of (const char *entry)
{
  return g_strndup (entry, strcspn (entry, " "));
}

static char **
list_certificates (GKeyFile *file, const char *group)
{
  char **entries = g_key_file_get_string_list (file, group, "certificates", NULL, NULL);

  return entries != NULL ? entries : g_new0 (char *, 1);
}

/* Those that are good still, and were not revoked: of them nobody else knows. (transfer container):
 * the texts are those of @entries. */
static GPtrArray *
filter_good (GKeyFile *file, char **entries, gint64 now_s)
{
  GPtrArray *good = g_ptr_array_new ();

  for (char **entry = entries; *entry != NULL; entry++)
    {
      g_autofree char *name = name_of (*entry);
      g_autofree char *revoked = g_strconcat (COMMY_PKI_REVOKED_GROUP, name, NULL);

      if (until_of (*entry) >= now_s && !g_key_file_has_group (file, revoked))
        g_ptr_array_add (good, *entry);
    }
  return good;
}

/* A later certificate may end sooner. */
gint64
commy_pki_register_get_end (GKeyFile *file, const char *group)
{
  g_auto (GStrv) entries = list_certificates (file, group);
  gint64 end_s = g_key_file_get_int64 (file, group, "until", NULL);

  for (char **entry = entries; *entry != NULL; entry++)
    end_s = MAX (end_s, until_of (*entry));
  return end_s;
}

static gboolean
refuse_another (const char *path, const GPtrArray *good, GError **error)
{
  gint64 until_s = G_MAXINT64;
  g_autoptr (GDateTime) time = NULL;
  g_autofree char *when = NULL;

  for (guint i = 0; i < good->len; i++)
    until_s = MIN (until_s, until_of (good->pdata[i]));
  time = g_date_time_new_from_unix_utc (until_s);
  when = time != NULL ? g_date_time_format (time, "%Y-%m-%d %H:%M:%S UTC") : NULL;
  g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_BUSY,
               "%s has %u certificates that are good still, which is as many as it may: there is "
               "none before one of them ends (%s) or they are revoked (commy pki revoke)",
               path + 1, good->len, when != NULL ? when : "?");
  return FALSE;
}

gboolean
commy_pki_register_has_room (CommyPkiRegister *self, const char *path, gint64 now_s, GError **error)
{
  GKeyFile *file = commy_pki_register_get_file (self);
  g_autofree char *group = identity_group (path);
  g_auto (GStrv) entries = list_certificates (file, group);
  g_autoptr (GPtrArray) good = filter_good (file, entries, now_s);

  return good->len < CERTIFICATES_MAX || refuse_another (path, good, error);
}

gboolean
commy_pki_register_note_certificate (
    CommyPkiRegister *self, const char *path, const char *cert_pem, gint64 now_s, GError **error)
{
  GKeyFile *file = commy_pki_register_get_file (self);
  g_autoptr (CommyPkiInfo) info = commy_pki_info_new (cert_pem, error);
  g_autofree char *group = identity_group (path);
  g_auto (GStrv) entries = list_certificates (file, group);
  g_autoptr (GPtrArray) kept = filter_good (file, entries, now_s);
  g_autofree char *added = NULL;

  if (info == NULL || !commy_pki_register_has_room (self, path, now_s, error))
    return FALSE;
  added = g_strdup_printf ("%s %" G_GINT64_FORMAT, info->name, info->not_after_s);
  g_ptr_array_add (kept, added);
  g_key_file_set_string_list (file, group, "certificates", (const char *const *) kept->pdata,
                              kept->len);
  g_key_file_set_int64 (file, group, "issued", now_s);
  g_key_file_set_int64 (file, group, "step", commy_pki_register_get_step (file));
  return TRUE;
}

gboolean
commy_pki_register_is_revoked (CommyPkiRegister *self, const char *path)
{
  g_autofree char *group = identity_group (path);

  return g_key_file_get_boolean (commy_pki_register_get_file (self), group, "revoked", NULL);
}

void
commy_pki_register_pardon (CommyPkiRegister *self, const char *path)
{
  g_autofree char *group = identity_group (path);

  g_key_file_remove_key (commy_pki_register_get_file (self), group, "revoked", NULL);
}

/* --- revoking --- */

static void
add_one (GKeyFile *file,
         CommyPkiRevocation *out,
         const char *name,
         const char *path,
         gint64 now_s,
         gint64 until_s)
{
  g_autofree char *group = g_strconcat (COMMY_PKI_REVOKED_GROUP, name, NULL);

  if (!g_key_file_has_group (file, group))
    g_key_file_set_int64 (file, group, "at", now_s);
  g_key_file_set_int64 (file, group, "until", until_s);
  if (path != NULL)
    g_key_file_set_string (file, group, "identity", path);
  g_ptr_array_add (out->names, g_strdup (name));
}

static gboolean
revoke_node (
    GKeyFile *file, CommyPkiRevocation *out, const char *path, gint64 now_s, GError **error)
{
  g_autofree char *group = identity_group (path);
  g_auto (GStrv) entries = NULL;

  if (!g_key_file_has_group (file, group))
    {
      g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_INVALID_ARGUMENT,
                   "this authority gave nothing to \"%s\": say host/HOST/user/USER, a SPIFFE id, "
                   "or the serial number of a certificate",
                   path + 1);
      return FALSE;
    }
  g_key_file_set_boolean (file, group, "revoked", TRUE);
  out->path = g_strdup (path);
  entries = list_certificates (file, group);
  for (char **entry = entries; *entry != NULL; entry++)
    {
      g_autofree char *name = name_of (*entry);

      if (until_of (*entry) >= now_s)
        add_one (file, out, name, path, now_s, until_of (*entry));
    }
  return TRUE;
}

/* The register's entry of a certificate. */
static gboolean
find_entry (GKeyFile *file, const char *what, char **out_entry, char **out_path)
{
  g_auto (GStrv) groups = g_key_file_get_groups (file, NULL);

  for (char **group = groups; *group != NULL; group++)
    {
      g_auto (GStrv) entries = NULL;

      if (!g_str_has_prefix (*group, COMMY_PKI_IDENTITY_GROUP))
        continue;
      entries = list_certificates (file, *group);
      for (char **entry = entries; *entry != NULL; entry++)
        {
          g_autofree char *name = name_of (*entry);

          if (strcmp (name, what) != 0)
            continue;
          *out_entry = g_strdup (*entry);
          *out_path = g_strdup (*group + strlen (COMMY_PKI_IDENTITY_GROUP));
          return TRUE;
        }
    }
  return FALSE;
}

static gboolean
refuse_number (const char *what, GError **error)
{
  g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_INVALID_ARGUMENT,
               "\"%.64s\" is no serial number: it has hexadecimal digits, as commy cert ls prints "
               "them",
               what);
  return FALSE;
}

/* "40:1A:0f" -> "401a0f"; without colons as it is. NULL: it is neither. */
static char *
dup_serial (const char *text)
{
  g_autofree char *low = g_ascii_strdown (text, -1);
  g_auto (GStrv) parts = g_strsplit (low, ":", -1);
  g_autofree char *serial = g_strjoinv ("", parts);
  guint8 bytes[64];
  gsize size = sizeof bytes;

  for (char **part = parts; parts[0] != NULL && parts[1] != NULL && *part != NULL; part++)
    if (strlen (*part) != 2)
      return NULL;
  return commy_pki_parse_serial (serial, bytes, &size) ? g_steal_pointer (&serial) : NULL;
}

static gboolean
add_known (GKeyFile *file, CommyPkiRevocation *out, const char *name, gint64 now_s)
{
  g_autofree char *entry = NULL;
  g_autofree char *path = NULL;

  if (!find_entry (file, name, &entry, &path))
    return FALSE;
  add_one (file, out, name, path, now_s, until_of (entry));
  return TRUE;
}

/* "x509:AUTHORITY:SERIAL", or AUTHORITY NULL where it is a serial number alone; in lower case. */
static char *
split_name (const char *what, char **out_authority)
{
  g_autofree char *low = g_ascii_strdown (what, -1);
  const char *rest = low;

  *out_authority = NULL;
  if (g_str_has_prefix (low, COMMY_PKI_NAME_SCHEME))
    {
      rest += strlen (COMMY_PKI_NAME_SCHEME);
      *out_authority = g_strndup (rest, strcspn (rest, ":"));
      rest += strlen (*out_authority);
      rest += *rest == ':' ? 1 : 0;
    }
  return dup_serial (rest);
}

/* Lists are signed for the authorities whose keys are here: what another signed would be on none.
 * What the register does not know, because it was made before it did, is taken as said, and of each
 * authority that it can be of. */
static gboolean
revoke_certificate (GKeyFile *file,
                    CommyPkiRevocation *out,
                    const char *dir,
                    const char *what,
                    gint64 now_s,
                    GError **error)
{
  g_autoptr (GPtrArray) signers = commy_pki_load_signers (dir, error);
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  g_autofree char *authority = NULL;
  g_autofree char *serial = split_name (what, &authority);

  if (signers == NULL)
    return FALSE;
  if (serial == NULL)
    return refuse_number (what, error);
  for (guint i = 0; i < signers->len; i++)
    {
      g_autofree char *id = commy_pki_authority_dup_id (signers->pdata[i]);
      char *name = g_strconcat (COMMY_PKI_NAME_SCHEME, id, ":", serial, NULL);

      g_ptr_array_add (names, name);
      if (authority != NULL && strcmp (authority, id) != 0)
        name[0] = '\0'; /* it is not of this one */
      else if (add_known (file, out, name, now_s))
        return TRUE;
    }
  for (guint i = 0; i < signers->len; i++)
    {
      const CommyPkiAuthority *signer = signers->pdata[i];
      const char *name = names->pdata[i];

      if (*name != '\0')
        add_one (file, out, name, NULL, now_s, gnutls_x509_crt_get_expiration_time (signer->crt));
    }
  if (out->names->len > 0)
    return TRUE;
  g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_INVALID_ARGUMENT,
               "%.160s is of an authority whose key is not here: no list that is signed here can "
               "name it (commy cert ls prints names)",
               what);
  return FALSE;
}

/* "/host/H/user/U" of whatever names a node; NULL: it names none. */
static char *
dup_path (const char *what, CommyPkiAuthority *authority, GError **error)
{
  g_autofree char *domain = NULL;
  const char *path = NULL;

  if (g_str_has_prefix (what, "host/") || g_str_has_prefix (what, "/host/"))
    return g_strconcat (*what == '/' ? "" : "/", what, NULL);
  if (!g_str_has_prefix (what, "spiffe://"))
    return NULL;
  domain = commy_pki_parse_id (what, strlen (what), &path, error);
  if (domain == NULL)
    return NULL;
  if (strcmp (domain, authority->domain) == 0)
    return g_strdup (path);
  g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_INVALID_ARGUMENT,
               "%s is of another authority; this one is spiffe://%s", what, authority->domain);
  return NULL;
}

gboolean
commy_pki_revoke (
    const char *dir, const char *what, gint64 now_s, CommyPkiRevocation *out, GError **error)
{
  g_autoptr (CommyPkiAuthority) authority = NULL;
  g_autoptr (CommyPkiRegister) reg = commy_pki_register_open_with (dir, &authority, error);
  g_autofree char *path = NULL;
  GError *cause = NULL;
  GKeyFile *file;

  memset (out, 0, sizeof *out);
  if (reg == NULL)
    return FALSE;
  path = dup_path (what, authority, &cause);
  if (cause != NULL)
    {
      g_propagate_error (error, cause);
      return FALSE;
    }
  file = commy_pki_register_get_file (reg);
  out->names = g_ptr_array_new_with_free_func (g_free);
  if (path != NULL ? !revoke_node (file, out, path, now_s, error)
                   : !revoke_certificate (file, out, dir, what, now_s, error))
    return FALSE;
  if (!commy_pki_write_crls (dir, reg, now_s, error))
    return FALSE;
  out->number = g_key_file_get_int64 (file, COMMY_PKI_CRL_GROUP, "number", NULL);
  return TRUE;
}
