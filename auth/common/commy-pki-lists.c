/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The lists of revoked certificates that an authority signs: one of each of its keys, from what the
 * register says, of certificates that would be good still.
 */
#include "config.h"

#include "auth/common/commy-pki-wire.h"

#include <string.h>

/* What a node takes in of both authorities of a change (COMMY_PKI_REVOKED_MAX has each twice). */
#define LISTED_MAX (COMMY_PKI_REVOKED_MAX / 2)

gboolean
commy_pki_parse_serial (const char *hex, guint8 *out, gsize *inout_size)
{
  gsize size = strlen (hex) / 2;

  if (size == 0 || size > *inout_size || strlen (hex) % 2 != 0
      || !commy_pki_from_hex (hex, size, out))
    return FALSE;
  *inout_size = size;
  return TRUE;
}

char *
commy_pki_authority_dup_id (CommyPkiAuthority *authority)
{
  g_autofree char *by_key = NULL;
  g_autofree char *by_name = NULL;

  commy_pki_crt_issuer_names (authority->crt, &by_key, &by_name);
  return g_strdup (by_key != NULL ? by_key : by_name);
}

static char *
dup_prefix (CommyPkiAuthority *authority)
{
  g_autofree char *id = commy_pki_authority_dup_id (authority);

  return g_strconcat (COMMY_PKI_REVOKED_GROUP, COMMY_PKI_NAME_SCHEME, id, ":", NULL);
}

GPtrArray *
commy_pki_load_signers (const char *dir, GError **error)
{
  static const char *const keys[]
      = { COMMY_PKI_AUTHORITY_KEY_FILE, COMMY_PKI_AUTHORITY_OLD_KEY_FILE };
  g_autoptr (GPtrArray) signers
      = g_ptr_array_new_with_free_func ((GDestroyNotify) commy_pki_authority_free);

  for (guint i = 0; i < G_N_ELEMENTS (keys); i++)
    {
      g_autofree char *path = g_build_filename (dir, keys[i], NULL);
      CommyPkiAuthority *authority;

      if (!g_file_test (path, G_FILE_TEST_EXISTS))
        continue;
      authority = commy_pki_authority_load_key (dir, keys[i], error);
      if (authority == NULL)
        return NULL;
      g_ptr_array_add (signers, authority);
    }
  return g_steal_pointer (&signers);
}

/* Those that @authority signed, as a list has them. (transfer full) */
static GByteArray *
collect_entries (GKeyFile *file, CommyPkiAuthority *authority)
{
  g_autofree char *prefix = dup_prefix (authority);
  g_auto (GStrv) groups = g_key_file_get_groups (file, NULL);
  GByteArray *entries = g_byte_array_new ();

  for (char **group = groups; *group != NULL; group++)
    {
      guint8 serial[64];
      gsize size = sizeof serial;

      if (g_str_has_prefix (*group, prefix)
          && commy_pki_parse_serial (*group + strlen (prefix), serial, &size))
        commy_pki_crl_append (entries, serial, size,
                              g_key_file_get_int64 (file, *group, "at", NULL));
    }
  return entries;
}

/* What would have ended by itself need not be named any more. */
static void
prune (GKeyFile *file, gint64 now_s)
{
  g_auto (GStrv) groups = g_key_file_get_groups (file, NULL);

  for (char **group = groups; *group != NULL; group++)
    if (g_str_has_prefix (*group, COMMY_PKI_REVOKED_GROUP)
        && g_key_file_get_int64 (file, *group, "until", NULL) + COMMY_PKI_SECONDS_PER_DAY < now_s)
      g_key_file_remove_group (file, *group, NULL);
}

static guint
count_listed (GKeyFile *file, const GPtrArray *signers)
{
  g_auto (GStrv) groups = g_key_file_get_groups (file, NULL);
  guint n = 0;

  for (guint i = 0; i < signers->len; i++)
    {
      g_autofree char *prefix = dup_prefix (signers->pdata[i]);

      for (char **group = groups; *group != NULL; group++)
        n += g_str_has_prefix (*group, prefix) ? 1 : 0;
    }
  return n;
}

static gboolean
refuse_full (GError **error)
{
  g_set_error (
      error, COMMY_PKI_ERROR, COMMY_ERROR_TOO_BIG,
      "the list of revoked certificates is full (%d of them, %d MiB): change the authority "
      "(commy pki rotate), which ends all that it signed",
      LISTED_MAX, COMMY_PKI_CRL_TEXT_MAX / 1024 / 1024);
  return FALSE;
}

gboolean
commy_pki_write_crls (const char *dir, CommyPkiRegister *reg, gint64 now_s, GError **error)
{
  GKeyFile *file = commy_pki_register_get_file (reg);
  gint64 number = g_key_file_get_int64 (file, COMMY_PKI_CRL_GROUP, "number", NULL) + 1;
  g_autoptr (GString) lists = g_string_new (NULL);
  g_autoptr (GPtrArray) signers = commy_pki_load_signers (dir, error);

  if (signers == NULL)
    return FALSE;
  prune (file, now_s);
  /* What no node could take in is not written: it would take in nothing at all. */
  if (count_listed (file, signers) > LISTED_MAX)
    return refuse_full (error);
  g_key_file_set_int64 (file, COMMY_PKI_CRL_GROUP, "number", number);
  for (guint i = 0; i < signers->len; i++)
    {
      g_autoptr (GByteArray) entries = collect_entries (file, signers->pdata[i]);
      g_autofree char *pem = commy_pki_crl_sign (signers->pdata[i], entries, number, now_s, error);

      if (pem == NULL)
        return FALSE;
      g_string_append (lists, pem);
    }
  if (lists->len > COMMY_PKI_CRL_TEXT_MAX)
    return refuse_full (error);
  /* The number first: it is never given out twice. */
  return commy_pki_register_save (reg, now_s, error)
         && commy_pki_write_file (dir, COMMY_PKI_CRL_FILE, lists->str, 0644, FALSE, error);
}
