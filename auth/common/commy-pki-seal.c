/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Making seals. The key on disk signs the first key of a file of the trail and its own successor,
 * and is wiped; keys of later seals live in memory only, each until it has signed once.
 */
#include "config.h"

#include "auth/common/commy-pki-seal.h"

#include "auth/common/commy-pki-private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define LOCK_FILE "audit-key.lock"

struct _CommyPkiSealer
{
  char *dir;
  CommyPkiSealKey key; /* for the next seal */
  gboolean has_key;
  char *told; /* the last error */
};

CommyPkiSealer *
commy_pki_sealer_new (const char *dir)
{
  CommyPkiSealer *self = g_new0 (CommyPkiSealer, 1);

  self->dir = g_strdup (dir);
  return self;
}

void
commy_pki_sealer_free (CommyPkiSealer *self)
{
  if (self == NULL)
    return;
  explicit_bzero (&self->key, sizeof self->key);
  g_free (self->dir);
  g_free (self->told);
  g_free (self);
}

static char *
to_hex (const CommyPkiSealKey *key)
{
  g_autofree char *private_half = commy_pki_hex (key->private_half, sizeof key->private_half);
  g_autofree char *public_half = commy_pki_hex (key->public_half, sizeof key->public_half);
  char *text = g_strdup_printf ("%s %s\n", private_half, public_half);

  explicit_bzero (private_half, strlen (private_half));
  return text;
}

/* The key on disk, or a new one where there is none yet. */
static gboolean
load (const char *dir, CommyPkiSealKey *out_key, GError **error)
{
  g_autofree char *path = g_build_filename (dir, COMMY_PKI_SEAL_KEY_FILE, NULL);
  g_autofree char *text = NULL;
  gboolean ok;

  if (!g_file_test (path, G_FILE_TEST_EXISTS))
    return commy_pki_seal_key_make (out_key, error);
  text = commy_pki_read_file (dir, COMMY_PKI_SEAL_KEY_FILE, TRUE, error);
  if (text == NULL)
    return FALSE;
  ok = strlen (text) == 4 * COMMY_PKI_SEAL_KEY_SIZE + 2
       && commy_pki_from_hex (text, COMMY_PKI_SEAL_KEY_SIZE, out_key->private_half)
       && commy_pki_from_hex (text + 2 * COMMY_PKI_SEAL_KEY_SIZE + 1, COMMY_PKI_SEAL_KEY_SIZE,
                              out_key->public_half);
  explicit_bzero (text, strlen (text));
  if (!ok)
    g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_CERTIFICATE,
                 "%s is no key for seals; without that file a new one is made, and seals of before "
                 "are still good",
                 path);
  return ok;
}

/* A line that was being written when power was lost, or the disk was full, is of a key that nobody
 * used: behind it no other would count. */
static gboolean
cut_torn_line (int fd)
{
  off_t end = lseek (fd, 0, SEEK_END), whole = end;
  char byte = '\n';

  while (whole > 0 && pread (fd, &byte, 1, whole - 1) == 1 && byte != '\n')
    whole--;
  return end >= 0 && (whole == end || ftruncate (fd, whole) == 0);
}

static gboolean
append (const char *dir, const char *line, GError **error)
{
  g_autofree char *path = g_build_filename (dir, COMMY_PKI_SEAL_KEYS_FILE, NULL);
  int fd = open (path, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
  gsize size = strlen (line);
  gboolean ok
      = fd >= 0 && cut_torn_line (fd) && write (fd, line, size) == (gssize) size && fsync (fd) == 0;
  int code = errno;

  if (fd >= 0)
    close (fd);
  if (!ok)
    g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_STATE_DIR, "cannot write %s: %s", path,
                 g_strerror (code));
  return ok;
}

/* Puts @next where the key is, and overwrites what was there: a rename alone leaves it on the disk.
 */
static gboolean
replace (const char *dir, const CommyPkiSealKey *next, GError **error)
{
  static const char nothing[4 * COMMY_PKI_SEAL_KEY_SIZE + 2];
  g_autofree char *path = g_build_filename (dir, COMMY_PKI_SEAL_KEY_FILE, NULL);
  int old = open (path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
  g_autofree char *text = to_hex (next);
  gboolean ok = commy_pki_write_file (dir, COMMY_PKI_SEAL_KEY_FILE, text, 0600, FALSE, error);

  explicit_bzero (text, strlen (text));
  if (ok && old >= 0 && pwrite (old, nothing, sizeof nothing, 0) == (gssize) sizeof nothing)
    fsync (old);
  if (old >= 0)
    close (old);
  return ok;
}

/* A key for the first seal of a file: the one on disk vouches for it, and for its own successor. */
static gboolean
introduce (const char *dir, CommyPkiSealKey *out_key, GError **error)
{
  CommyPkiSealKey now = { 0 }, next = { 0 };
  guint8 signature[COMMY_PKI_SEAL_SIGNATURE_SIZE];
  gboolean ok = load (dir, &now, error) && commy_pki_seal_key_make (out_key, error)
                && commy_pki_seal_key_make (&next, error)
                && commy_pki_seal_key_sign (&now, COMMY_PKI_SEAL_ON_KEY, out_key->public_half,
                                            sizeof out_key->public_half, next.public_half,
                                            signature, error);

  if (ok)
    {
      g_autofree char *a = commy_pki_hex (now.public_half, sizeof now.public_half);
      g_autofree char *b = commy_pki_hex (out_key->public_half, sizeof out_key->public_half);
      g_autofree char *c = commy_pki_hex (next.public_half, sizeof next.public_half);
      g_autofree char *d = commy_pki_hex (signature, sizeof signature);
      g_autofree char *line = g_strdup_printf ("%s %s %s %s\n", a, b, c, d);

      /* After a crash between the two the same key vouches once more, which is as good. */
      ok = append (dir, line, error) && replace (dir, &next, error);
    }
  explicit_bzero (&now, sizeof now);
  explicit_bzero (&next, sizeof next);
  return ok;
}

/* Several processes share the folder. */
static gboolean
begin (CommyPkiSealer *self, GError **error)
{
  int lock = commy_pki_lock (self->dir, LOCK_FILE, TRUE, error);

  if (lock < 0)
    return FALSE;
  self->has_key = introduce (self->dir, &self->key, error);
  close (lock);
  return self->has_key;
}

static gboolean
sign (CommyPkiSealer *self,
      gconstpointer bytes,
      gsize size,
      guint8 out_seal[COMMY_PKI_SEAL_SIZE],
      GError **error)
{
  CommyPkiSealKey next = { 0 };
  guint8 *at = out_seal + COMMY_PKI_SEAL_KEY_SIZE;
  gboolean ok = commy_pki_seal_key_make (&next, error)
                && commy_pki_seal_key_sign (&self->key, COMMY_PKI_SEAL_ON_CHECKPOINT, bytes, size,
                                            next.public_half, at + COMMY_PKI_SEAL_KEY_SIZE, error);

  if (ok)
    {
      memcpy (out_seal, self->key.public_half, COMMY_PKI_SEAL_KEY_SIZE);
      memcpy (at, next.public_half, COMMY_PKI_SEAL_KEY_SIZE);
      self->key = next;
    }
  explicit_bzero (&next, sizeof next);
  return ok;
}

gboolean
commy_pki_seal (CommyPkiSealer *self,
                gboolean first,
                gconstpointer bytes,
                gsize size,
                guint8 out_seal[COMMY_PKI_SEAL_SIZE],
                gboolean *out_told,
                GError **error)
{
  g_autofree char *certificate
      = self->dir != NULL ? g_build_filename (self->dir, COMMY_PKI_CERT_FILE, NULL) : NULL;
  g_autoptr (GError) cause = NULL;

  *out_told = FALSE;
  if (certificate == NULL || !g_file_test (certificate, G_FILE_TEST_EXISTS))
    return FALSE;
  if (((!first && self->has_key) || begin (self, &cause))
      && sign (self, bytes, size, out_seal, &cause))
    return TRUE;
  *out_told = g_strcmp0 (self->told, cause->message) == 0;
  g_free (self->told);
  self->told = g_strdup (cause->message);
  g_propagate_error (error, g_steal_pointer (&cause));
  return FALSE;
}
