/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Secrets of a caller, in files: never in the environment, never in arguments. They are read anew
 * each time they are needed, so that a changed file counts at once and nothing stays in memory.
 */
#pragma once

#include <gio/gio.h>
#include <sys/stat.h>

G_BEGIN_DECLS

/* The text of a secret that keys are made from, in bytes. */
#define COMMY_CREDENTIAL_KEY_TEXT_MAX 4096u
#define COMMY_CREDENTIAL_KEY_SIZE 32u

/* Where the secret @name is: an absolute path is that file; another name is a file in
 * $CREDENTIALS_DIRECTORY, as the service manager gives it. (transfer full) */
char *commy_credential_find (const char *name, GError **error);
/* The text of the file without white space at its end, @max bytes at most. Nobody but its owner,
 * who is this user or root, may have access; no link is followed. For commy_credential_free(). */
char *commy_credential_read (const char *path, gsize max, GError **error);
/* The same for what others may read, but not write: @noun, for people, says what it is. @out_about,
 * where there is a text: the file that was read. */
char *commy_credential_read_public (
    const char *noun, const char *path, gsize max, struct stat *out_about, GError **error);
/* Finds and reads. */
char *commy_credential_get (const char *name, gsize max, GError **error);
/* Wipes it. */
void commy_credential_free (char *secret);
/* A key for one purpose: HMAC-SHA-256 of @label by the secret @text, which is wiped and freed.
 * NULL: there is none, and @error says so already. @what, for people, ends "the key by which ...".
 */
gboolean commy_credential_derive_key (char *text,
                                      const char *label,
                                      const char *what,
                                      guint8 out_key[COMMY_CREDENTIAL_KEY_SIZE],
                                      GError **error);
/* A copy of a secret, any bytes, that is wiped with its last reference. (transfer full) */
GBytes *commy_credential_new_bytes (gconstpointer secret, gsize size);

/* Whether a file that is kept in memory is still what it was. */
gboolean commy_credential_is_same_file (const struct stat *one, const struct stat *other);

G_END_DECLS
