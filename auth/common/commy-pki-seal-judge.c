/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Judging seals, from files alone: the list of keys is a chain of its own, and every file of a
 * trail begins one with a key of that list.
 */
#include "config.h"

#include "auth/common/commy-pki-private.h"
#include "auth/common/commy-pki-seal.h"

#include <string.h>

#define LIST_MAX ((gsize) 64 << 20)
#define KEY_DIGITS (2 * COMMY_PKI_SEAL_KEY_SIZE)
#define LINE_SIZE (3 * (KEY_DIGITS + 1) + 2 * COMMY_PKI_SEAL_SIGNATURE_SIZE)

struct _CommyPkiSealJudge
{
  char *anchor;
  GHashTable *vouchers; /* keys that may introduce others, in hex */
  GHashTable *firsts;   /* keys that were introduced for a file */
};

void
commy_pki_seal_judge_free (CommyPkiSealJudge *self)
{
  if (self == NULL)
    return;
  g_hash_table_unref (self->vouchers);
  g_hash_table_unref (self->firsts);
  g_free (self->anchor);
  g_free (self);
}

const char *
commy_pki_seal_judge_get_anchor (CommyPkiSealJudge *self)
{
  return self->anchor;
}

static gboolean
take_line (CommyPkiSealJudge *self, const char *line)
{
  guint8 keys[3][COMMY_PKI_SEAL_KEY_SIZE];
  guint8 signature[COMMY_PKI_SEAL_SIGNATURE_SIZE];
  g_autofree char *voucher = NULL;

  if (strlen (line) != LINE_SIZE)
    return FALSE;
  for (guint i = 0; i < 3; i++)
    if (!commy_pki_from_hex (line + i * (KEY_DIGITS + 1), COMMY_PKI_SEAL_KEY_SIZE, keys[i])
        || line[i * (KEY_DIGITS + 1) + KEY_DIGITS] != ' ')
      return FALSE;
  if (!commy_pki_from_hex (line + 3 * (KEY_DIGITS + 1), sizeof signature, signature))
    return FALSE;
  voucher = commy_pki_hex (keys[0], COMMY_PKI_SEAL_KEY_SIZE);
  if (self->anchor == NULL)
    {
      self->anchor = g_strdup (voucher);
      g_hash_table_add (self->vouchers, g_strdup (voucher));
    }
  if (!g_hash_table_contains (self->vouchers, voucher)
      || !commy_pki_seal_key_verify (keys[0], COMMY_PKI_SEAL_ON_KEY, keys[1], sizeof keys[1],
                                     keys[2], signature))
    return FALSE;
  g_hash_table_add (self->firsts, commy_pki_hex (keys[1], COMMY_PKI_SEAL_KEY_SIZE));
  g_hash_table_add (self->vouchers, commy_pki_hex (keys[2], COMMY_PKI_SEAL_KEY_SIZE));
  return TRUE;
}

/* The beginning of a line at the end: its key has sealed nothing, because it was not on the disk.
 */
static gboolean
is_torn (char **line)
{
  return line[1] == NULL && strlen (line[0]) < LINE_SIZE;
}

CommyPkiSealJudge *
commy_pki_seal_judge_parse (const char *text, const char *path, GError **error)
{
  g_autoptr (CommyPkiSealJudge) self = g_new0 (CommyPkiSealJudge, 1);
  g_auto (GStrv) lines = strlen (text) <= LIST_MAX ? g_strsplit (text, "\n", -1) : NULL;

  self->vouchers = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  self->firsts = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  for (guint i = 0; lines != NULL && lines[i] != NULL && lines[i][0] != '\0'; i++)
    if (!take_line (self, lines[i]) && !is_torn (lines + i))
      {
        g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_CERTIFICATE,
                     "line %u of %s was changed: no key before it vouches for it", i + 1, path);
        return NULL;
      }
  if (self->anchor != NULL)
    return g_steal_pointer (&self);
  g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_CERTIFICATE, "%s has no keys", path);
  return NULL;
}

CommyPkiSealJudge *
commy_pki_seal_judge_new (const char *dir, GError **error)
{
  g_autofree char *path = g_build_filename (dir, COMMY_PKI_SEAL_KEYS_FILE, NULL);
  g_autofree char *text = NULL;

  if (!g_file_get_contents (path, &text, NULL, error))
    return NULL;
  return commy_pki_seal_judge_parse (text, path, error);
}

static gboolean
refuse (const char *why, GError **error)
{
  g_set_error_literal (error, COMMY_PKI_ERROR, COMMY_ERROR_CERTIFICATE, why);
  return FALSE;
}

gboolean
commy_pki_seal_check (gconstpointer before,
                      gsize before_size,
                      gconstpointer bytes,
                      gsize size,
                      gconstpointer seal,
                      gsize seal_size,
                      gpointer judge,
                      GError **error)
{
  CommyPkiSealJudge *self = judge;
  const guint8 *key = seal;
  g_autofree char *hex = NULL;

  if (seal_size != COMMY_PKI_SEAL_SIZE || (before != NULL && before_size != COMMY_PKI_SEAL_SIZE))
    return refuse ("it has another form", error);
  hex = commy_pki_hex (key, COMMY_PKI_SEAL_KEY_SIZE);
  if (before == NULL && !g_hash_table_contains (self->firsts, hex))
    return refuse ("its key is not on the list", error);
  if (before != NULL
      && memcmp ((const guint8 *) before + COMMY_PKI_SEAL_KEY_SIZE, key, COMMY_PKI_SEAL_KEY_SIZE)
             != 0)
    return refuse ("its key is not the one that the seal before it named", error);
  if (!commy_pki_seal_key_verify (key, COMMY_PKI_SEAL_ON_CHECKPOINT, bytes, size,
                                  key + COMMY_PKI_SEAL_KEY_SIZE, key + 2 * COMMY_PKI_SEAL_KEY_SIZE))
    return refuse ("the signature does not fit", error);
  return TRUE;
}
