/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether a register's file changed since it was read, by what the file system says of it.
 */
#include "config.h"

#include "auth/common/commy-kept-register.h"

#include "auth/common/commy-credential.h"

GError *
commy_kept_register_refresh (CommyKeptRegister *self,
                             const CommyRegisterKind *kind,
                             const char *dir,
                             const char *file,
                             gint64 now_ns)
{
  g_autofree char *path = g_build_filename (dir, file, NULL);
  struct stat about = { 0 };
  gboolean exists = lstat (path, &about) == 0;
  gboolean known = exists == self->has_seen
                   && (!exists || commy_credential_is_same_file (&about, &self->seen));
  GError *error = NULL;

  if (known
      && (self->reg != NULL || (self->has_told && now_ns - self->tried_ns < COMMY_KEPT_RETRY_NS)))
    return NULL;
  self->tried_ns = now_ns;
  g_clear_pointer (&self->reg, commy_register_free);
  self->seen = about;
  self->has_seen = exists;
  self->reg = commy_register_load (kind, dir, file, &error);
  if (known && self->has_told)
    g_clear_error (&error);
  self->has_told = self->reg == NULL;
  return error;
}

void
commy_kept_register_clear (CommyKeptRegister *self)
{
  g_clear_pointer (&self->reg, commy_register_free);
}
