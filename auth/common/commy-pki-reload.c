/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * When a node's files are read again: when they are others than were read last, and where they
 * could not be read, after a while, because the reason need not lie in them.
 */
#include "config.h"

#include "auth/common/commy-pki-private.h"

#include <string.h>
#include <sys/stat.h>

#define MS G_GINT64_CONSTANT (1000000)
#define WAIT_FIRST_NS (100 * MS)
#define WAIT_MAX_NS (10000 * MS)

void
commy_pki_stamps_take (const char *const *files, guint n, CommyPkiStamps *out)
{
  memset (out, 0, sizeof *out);
  for (guint i = 0; i < MIN (n, COMMY_PKI_STAMPS); i++)
    {
      struct stat about;

      if (files[i] == NULL || stat (files[i], &about) != 0)
        continue;
      out->files[i].device = about.st_dev;
      out->files[i].inode = about.st_ino;
      out->files[i].size = (guint64) about.st_size;
      out->files[i].changed_ns
          = (gint64) about.st_ctim.tv_sec * 1000 * MS + (gint64) about.st_ctim.tv_nsec;
    }
}

static gboolean
is_same (const CommyPkiStamps *a, const CommyPkiStamps *b)
{
  return memcmp (a, b, sizeof *a) == 0;
}

gboolean
commy_pki_reload_is_due (CommyPkiReload *self, const CommyPkiStamps *now, gint64 now_ns)
{
  if (is_same (now, &self->read))
    {
      self->wait_ns = 0; /* what failed in between is over */
      return FALSE;
    }
  return self->wait_ns == 0 || !is_same (now, &self->failed) || now_ns >= self->retry_ns;
}

void
commy_pki_reload_done (CommyPkiReload *self, const CommyPkiStamps *now)
{
  commy_pki_reload_clear (self);
  self->read = *now;
}

/* A token counts the PINs that it refuses, and locks itself after a few. */
gboolean
commy_pki_reload_failed (CommyPkiReload *self,
                         const CommyPkiStamps *now,
                         const GError *why,
                         gint64 now_ns)
{
  gboolean again = self->wait_ns > 0 && is_same (now, &self->failed);
  gboolean known = again && g_strcmp0 (self->told, why->message) == 0;

  self->failed = *now;
  self->wait_ns = again ? MIN (2 * self->wait_ns, WAIT_MAX_NS) : WAIT_FIRST_NS;
  self->retry_ns = g_error_matches (why, COMMY_PKI_ERROR, COMMY_ERROR_REFUSED)
                       ? G_MAXINT64
                       : now_ns + self->wait_ns;
  if (known)
    return FALSE;
  g_free (self->told);
  self->told = g_strdup (why->message);
  return TRUE;
}

void
commy_pki_reload_clear (CommyPkiReload *self)
{
  g_free (self->told);
  memset (self, 0, sizeof *self);
}
