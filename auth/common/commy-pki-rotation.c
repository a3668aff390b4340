/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Changing the authority in stages, so that at no time anybody meets a certificate that he does not
 * trust: first all learn to trust the new one, then it signs, and when all have certificates of it
 * the old one is forgotten. The trust domain, and with it every name, stays.
 *
 * The files say which stage it is, and each step is done when one of them got its name: a crash
 * leaves the stage before or the one after. Before that the register notes the step: were it noted
 * after, who was renewed before the step could pass for renewed since.
 */
#include "config.h"

#include "auth/common/commy-pki-wire.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>

#define ROTATION_GROUP "rotation"
/* The old key, while the last step is under way. */
#define GONE_FILE COMMY_PKI_AUTHORITY_OLD_KEY_FILE ".gone"

void
commy_pki_rotation_clear (CommyPkiRotation *self)
{
  g_clear_pointer (&self->behind, g_ptr_array_unref);
}

gint64
commy_pki_register_get_step (GKeyFile *file)
{
  return g_key_file_get_int64 (file, ROTATION_GROUP, "step", NULL);
}

static gboolean
exists (const char *dir, const char *name)
{
  g_autofree char *path = g_build_filename (dir, name, NULL);

  return g_file_test (path, G_FILE_TEST_EXISTS);
}

static CommyPkiRotationStage
find_stage (const char *dir)
{
  if (exists (dir, COMMY_PKI_AUTHORITY_NEXT_KEY_FILE))
    return COMMY_PKI_ROTATION_STARTED;
  return exists (dir, COMMY_PKI_AUTHORITY_OLD_KEY_FILE) || exists (dir, GONE_FILE)
             ? COMMY_PKI_ROTATION_SWITCHED
             : COMMY_PKI_ROTATION_NONE;
}

/* --- who is behind --- */

/* The step that a node must have been renewed at. The register has a step noted that the files did
 * not come to, where it was cut off: then the one before is enough. */
static gint64
find_wanted (GKeyFile *file, CommyPkiRotationStage stage)
{
  if (g_key_file_has_key (file, ROTATION_GROUP, "to", NULL)
      && g_key_file_get_int64 (file, ROTATION_GROUP, "to", NULL) != (gint64) stage)
    return g_key_file_get_int64 (file, ROTATION_GROUP, "before", NULL);
  return commy_pki_register_get_step (file);
}

/* Each attempt has a step of its own: what nodes got between two of them may be of neither. */
static gboolean
note_step (CommyPkiRegister *reg,
           const CommyPkiRotation *now,
           CommyPkiRotationStage to,
           gint64 now_s,
           GError **error)
{
  GKeyFile *file = commy_pki_register_get_file (reg);

  g_key_file_set_int64 (file, ROTATION_GROUP, "before", find_wanted (file, now->stage));
  g_key_file_set_int64 (file, ROTATION_GROUP, "to", to);
  g_key_file_set_int64 (file, ROTATION_GROUP, "since", now_s);
  g_key_file_set_int64 (file, ROTATION_GROUP, "step", commy_pki_register_get_step (file) + 1);
  return commy_pki_register_save (reg, now_s, error);
}

static void
fill (CommyPkiRotation *out, const char *dir, GKeyFile *file, gint64 now_s)
{
  g_auto (GStrv) groups = g_key_file_get_groups (file, NULL);

  gint64 step;

  out->stage = find_stage (dir);
  step = find_wanted (file, out->stage);
  out->since_s = g_key_file_get_int64 (file, ROTATION_GROUP, "since", NULL);
  out->behind = g_ptr_array_new_with_free_func (g_free);
  for (char **group = groups; *group != NULL; group++)
    {
      if (!g_str_has_prefix (*group, COMMY_PKI_IDENTITY_GROUP)
          || g_key_file_get_int64 (file, *group, "until", NULL) < now_s
          || g_key_file_get_boolean (file, *group, "revoked", NULL))
        continue;
      out->n_nodes++;
      if (out->stage != COMMY_PKI_ROTATION_NONE
          && g_key_file_get_int64 (file, *group, "step", NULL) < step)
        g_ptr_array_add (out->behind, g_strdup (*group + strlen (COMMY_PKI_IDENTITY_GROUP) + 1));
    }
}

gboolean
commy_pki_rotation_get (const char *dir, gint64 now_s, CommyPkiRotation *out, GError **error)
{
  g_autoptr (CommyPkiAuthority) authority = NULL;
  g_autoptr (CommyPkiRegister) reg = commy_pki_register_open_with (dir, &authority, error);

  memset (out, 0, sizeof *out);
  if (reg == NULL)
    return FALSE;
  fill (out, dir, commy_pki_register_get_file (reg), now_s);
  return TRUE;
}

/* --- steps --- */

static gboolean
fail (GError **error, const char *verb, const char *path)
{
  g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_STATE_DIR, "cannot %s %s: %s", verb, path,
               g_strerror (errno));
  return FALSE;
}

static gboolean
rename_key (const char *dir, const char *from, const char *to, GError **error)
{
  g_autofree char *source = g_build_filename (dir, from, NULL);
  g_autofree char *target = g_build_filename (dir, to, NULL);

  return g_rename (source, target) == 0 || fail (error, "rename", source);
}

/* The new one's certificate into ca.pem, then its key: what is trusted without signing does no
 * harm.
 */
static gboolean
start (const char *dir, CommyPkiAuthority *authority, gint64 now_s, GError **error)
{
  g_autoptr (CommyPkiAuthority) next = commy_pki_authority_new_successor (authority, now_s, error);
  g_autofree char *both = NULL;
  char *key_pem = next != NULL ? commy_pki_export_key (next->key, error) : NULL;
  gboolean saved;

  if (key_pem == NULL)
    return FALSE;
  both = g_strconcat (authority->own_pem, next->own_pem, NULL);
  saved = commy_pki_write_file (dir, COMMY_PKI_CA_FILE, both, 0644, FALSE, error)
          && commy_pki_write_file (dir, COMMY_PKI_AUTHORITY_NEXT_KEY_FILE, key_pem, 0600, FALSE,
                                   error);
  commy_pki_free_secret (key_pem);
  return saved;
}

/* The old key is copied before the new one takes its place. */
static gboolean
switch_over (const char *dir, GError **error)
{
  g_autoptr (CommyPkiAuthority) next
      = commy_pki_authority_load_key (dir, COMMY_PKI_AUTHORITY_NEXT_KEY_FILE, error);
  char *old_key
      = next != NULL ? commy_pki_read_file (dir, COMMY_PKI_AUTHORITY_KEY_FILE, TRUE, error) : NULL;
  gboolean saved
      = old_key != NULL
        && commy_pki_write_file (dir, COMMY_PKI_AUTHORITY_OLD_KEY_FILE, old_key, 0600, FALSE, error)
        && rename_key (dir, COMMY_PKI_AUTHORITY_NEXT_KEY_FILE, COMMY_PKI_AUTHORITY_KEY_FILE, error);

  commy_pki_free_secret (old_key);
  return saved;
}

/* What the old authority signed ends with its certificate, and only then with the list of what was
 * revoked of it: whoever reads in between finds a list that cannot be judged, and takes nothing.
 */
static gboolean
finish (const char *dir,
        CommyPkiAuthority *authority,
        CommyPkiRegister *reg,
        gint64 now_s,
        GError **error)
{
  g_autofree char *gone = g_build_filename (dir, GONE_FILE, NULL);

  /* Who failed or died here before goes on from where that was. */
  if ((exists (dir, COMMY_PKI_AUTHORITY_OLD_KEY_FILE)
       && !rename_key (dir, COMMY_PKI_AUTHORITY_OLD_KEY_FILE, GONE_FILE, error))
      || !commy_pki_write_file (dir, COMMY_PKI_CA_FILE, authority->own_pem, 0644, FALSE, error)
      || (exists (dir, COMMY_PKI_CRL_FILE) && !commy_pki_write_crls (dir, reg, now_s, error)))
    return FALSE;
  return g_unlink (gone) == 0 || fail (error, "remove", gone);
}

static const char *
stage_word (CommyPkiRotationStage stage)
{
  return stage == COMMY_PKI_ROTATION_NONE      ? "not begun"
         : stage == COMMY_PKI_ROTATION_STARTED ? "started"
                                               : "switched";
}

static gboolean
may_go (const CommyPkiRotation *now, CommyPkiRotationStage to, gboolean force, GError **error)
{
  static const CommyPkiRotationStage next[] = {
    [COMMY_PKI_ROTATION_NONE] = COMMY_PKI_ROTATION_STARTED,
    [COMMY_PKI_ROTATION_STARTED] = COMMY_PKI_ROTATION_SWITCHED,
    [COMMY_PKI_ROTATION_SWITCHED] = COMMY_PKI_ROTATION_NONE,
  };

  if (next[now->stage] != to)
    {
      g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_INVALID_ARGUMENT,
                   "the change of the authority has %s; its steps are start, switch, finish",
                   stage_word (now->stage));
      return FALSE;
    }
  if (force || now->behind->len == 0)
    return TRUE;
  g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_BUSY,
               "%u of %u nodes have not been renewed since the last step, the first of them %s: "
               "they would be shut out. Wait, have them renewed (commy pki renew, or join again), "
               "revoke them, or go on without them (--force)",
               now->behind->len, now->n_nodes, (const char *) now->behind->pdata[0]);
  return FALSE;
}

gboolean
commy_pki_rotation_go (
    const char *dir, CommyPkiRotationStage to, gboolean force, gint64 now_s, GError **error)
{
  g_autoptr (CommyPkiAuthority) authority = NULL;
  g_autoptr (CommyPkiRegister) reg = commy_pki_register_open_with (dir, &authority, error);
  g_auto (CommyPkiRotation) now = { 0 };

  if (reg == NULL)
    return FALSE;
  fill (&now, dir, commy_pki_register_get_file (reg), now_s);
  if (!may_go (&now, to, force, error) || !note_step (reg, &now, to, now_s, error))
    return FALSE;
  if (to == COMMY_PKI_ROTATION_STARTED)
    return start (dir, authority, now_s, error);
  if (to == COMMY_PKI_ROTATION_SWITCHED)
    return switch_over (dir, error)
           && (!exists (dir, COMMY_PKI_CRL_FILE) || commy_pki_write_crls (dir, reg, now_s, error));
  return finish (dir, authority, reg, now_s, error);
}
