/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading secrets from files, and making keys of them.
 */
#include "config.h"

#include "auth/common/commy-credential.h"

#include "auth/common/commy-pki-private.h"

#include <errno.h>
#include <fcntl.h>
#include <gnutls/crypto.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_TEXT_MIN 32u

void
commy_credential_free (char *secret)
{
  if (secret != NULL)
    explicit_bzero (secret, strlen (secret));
  g_free (secret);
}

static void
free_copy (gpointer data)
{
  GString *copy = data;

  explicit_bzero (copy->str, copy->len);
  g_string_free (copy, TRUE);
}

GBytes *
commy_credential_new_bytes (gconstpointer secret, gsize size)
{
  GString *copy = g_string_new_len (secret, (gssize) size);

  return g_bytes_new_with_free_func (copy->str, size, free_copy, copy);
}

/* A file, what it is, and who may not have which access to it. */
typedef struct
{
  const char *noun;
  const char *path;
  mode_t forbidden;
  const char *way_out;
} Source;

static gboolean
refuse_as (GError **error, const char *noun, const char *path, const char *why)
{
  g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_STATE_DIR, "%s %s %s", noun, path, why);
  return FALSE;
}

static gboolean
refuse (GError **error, const char *path, const char *why)
{
  return refuse_as (error, "the credential", path, why);
}

char *
commy_credential_find (const char *name, GError **error)
{
  const char *dir = g_getenv ("CREDENTIALS_DIRECTORY");

  if (g_path_is_absolute (name))
    return g_strdup (name);
  if (*name == '\0')
    {
      g_set_error (
          error, COMMY_PKI_ERROR, COMMY_ERROR_STATE_DIR,
          "no credential is named; write param.credential=/PATH/OF/FILE, or the name of one "
          "that the service manager loads");
      return NULL;
    }
  if (strchr (name, '/') != NULL || g_str_equal (name, "..") || g_str_equal (name, "."))
    {
      refuse (error, name, "is neither an absolute path nor a name");
      return NULL;
    }
  if (dir == NULL || !g_path_is_absolute (dir))
    {
      refuse (error, name,
              "is looked for in $CREDENTIALS_DIRECTORY, which is not set (LoadCredential= of the "
              "service manager does)");
      return NULL;
    }
  return g_build_filename (dir, name, NULL);
}

/* What the service manager loads may be its group's to read: it says so by an access list. */
static mode_t
forbidden_mode (const char *path)
{
  const char *dir = g_getenv ("CREDENTIALS_DIRECTORY");
  gsize length = dir != NULL ? strlen (dir) : 0;

  return length > 0 && strncmp (path, dir, length) == 0 && path[length] == '/' ? 037 : 077;
}

static gboolean
check (int fd, const Source *source, gsize max, struct stat *out_about, GError **error)
{
  const char *why = NULL;

  if (fstat (fd, out_about) != 0)
    why = g_strerror (errno);
  else if (!S_ISREG (out_about->st_mode))
    why = "is no regular file";
  else if (out_about->st_uid != geteuid () && out_about->st_uid != 0)
    why = "belongs to another user; give it to the one who uses it";
  else if ((out_about->st_mode & source->forbidden) != 0)
    why = source->way_out;
  else if (out_about->st_size > (off_t) max)
    why = "is larger than it can be";
  return why == NULL || refuse_as (error, source->noun, source->path, why);
}

/* As much as there is, up to @size; -1: errno tells. */
static gssize
read_up_to (int fd, char *out, gsize size)
{
  gsize got = 0;

  while (got < size)
    {
      gssize n = read (fd, out + got, size - got);

      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        return -1;
      if (n == 0)
        break;
      got += (gsize) n;
    }
  return (gssize) got;
}

static char *
read_text (int fd, const Source *source, gsize max, struct stat *out_about, GError **error)
{
  const char *why = NULL;
  char *text;
  gssize got;

  if (!check (fd, source, max, out_about, error))
    return NULL;
  text = g_malloc0 (max + 2);
  got = read_up_to (fd, text, max + 1);
  if (got < 0)
    why = g_strerror (errno);
  else if ((gsize) got > max || strlen (text) != (gsize) got)
    why = "is no text, or larger than it can be";
  else if (*g_strchomp (text) == '\0')
    why = "is empty";
  if (why == NULL)
    return text;
  refuse_as (error, source->noun, source->path, why);
  explicit_bzero (text, max + 2);
  g_free (text);
  return NULL;
}

/* What is judged is what is read. */
static char *
read_source (const Source *source, gsize max, struct stat *out_about, GError **error)
{
  int fd = open (source->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
  char *text;

  if (fd < 0)
    {
      g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_STATE_DIR, "cannot read %s %s: %s",
                   source->noun, source->path,
                   errno == ELOOP ? "it is a link" : g_strerror (errno));
      return NULL;
    }
  text = read_text (fd, source, max, out_about, error);
  close (fd);
  return text;
}

char *
commy_credential_read (const char *path, gsize max, GError **error)
{
  const Source source = { .noun = "the credential",
                          .path = path,
                          .forbidden = forbidden_mode (path),
                          .way_out = "is open to others than its owner: chmod 600" };
  struct stat about;

  return read_source (&source, max, &about, error);
}

char *
commy_credential_read_public (
    const char *noun, const char *path, gsize max, struct stat *out_about, GError **error)
{
  const Source source
      = { .noun = noun,
          .path = path,
          .forbidden = 022,
          .way_out = "is such that others than its owner can write it: chmod go-w" };

  return read_source (&source, max, out_about, error);
}

char *
commy_credential_get (const char *name, gsize max, GError **error)
{
  g_autofree char *path = commy_credential_find (name, error);

  return path != NULL ? commy_credential_read (path, max, error) : NULL;
}

gboolean
commy_credential_derive_key (char *text,
                             const char *label,
                             const char *what,
                             guint8 out_key[COMMY_CREDENTIAL_KEY_SIZE],
                             GError **error)
{
  gboolean is_long = text != NULL && strlen (text) >= KEY_TEXT_MIN;

  if (is_long
      && gnutls_hmac_fast (GNUTLS_MAC_SHA256, label, strlen (label), text, strlen (text), out_key)
             < 0)
    g_error ("GnuTLS cannot compute HMAC-SHA-256");
  if (text != NULL && !is_long)
    g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_STATE_DIR,
                 "the key by which %s has less than %u characters; make one with: openssl rand "
                 "-hex 32",
                 what, KEY_TEXT_MIN);
  commy_credential_free (text);
  return is_long;
}

gboolean
commy_credential_is_same_file (const struct stat *one, const struct stat *other)
{
  return one->st_dev == other->st_dev && one->st_ino == other->st_ino
         && one->st_size == other->st_size && one->st_mode == other->st_mode
         && one->st_mtim.tv_sec == other->st_mtim.tv_sec
         && one->st_mtim.tv_nsec == other->st_mtim.tv_nsec
         && one->st_ctim.tv_sec == other->st_ctim.tv_sec
         && one->st_ctim.tv_nsec == other->st_ctim.tv_nsec;
}
