/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A file of a node that says whose secrets count: a keyfile with a group for each entry, named by
 * its id; whole or not there at all, for its owner only. What is in an entry is for its kind to
 * say: tokens and sessions (commy-api-key.h), one-time codes (commy-totp.h).
 */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* An entry is a struct whose first member is its id (char *), zeroed when it is made. */
typedef struct
{
  const char *noun;    /* of one entry: "token" */
  const char *nouns;   /* "tokens" */
  const char *command; /* by which people look after them: "commy token" */
  gsize file_max;
  guint entries_max;
  gsize entry_size;
  gsize created_offset; /* of a gint64, seconds since 1970 */
  gsize revoked_offset; /* of a gboolean */
  /* Anything that is there must be right: half an entry could count for more than it should. */
  gboolean (*read) (GKeyFile *file, const char *id, gpointer entry);
  void (*write) (GKeyFile *file, const char *id, gconstpointer entry);
  void (*clear) (gpointer entry); /* but for its id */
} CommyRegisterKind;

typedef struct _CommyRegister CommyRegister;

/* What is in @file of @dir; nothing, where there is none. Fails where somebody else could have
 * written it, or it is not whole. */
CommyRegister *commy_register_load (const CommyRegisterKind *kind,
                                    const char *dir,
                                    const char *file,
                                    GError **error);
/* The same under a lock, to be changed and saved, so that no change of another process is lost. */
CommyRegister *commy_register_open (const CommyRegisterKind *kind,
                                    const char *dir,
                                    const char *file,
                                    GError **error);
/* The fuzzers' entry. */
CommyRegister *
commy_register_parse (const CommyRegisterKind *kind, const char *text, gsize size, GError **error);
gboolean commy_register_save (CommyRegister *reg, GError **error);
void commy_register_free (CommyRegister *reg);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyRegister, commy_register_free)

/* Something of the kind's that goes with the register. */
void commy_register_attach (CommyRegister *reg, gpointer data, GDestroyNotify destroy);
gpointer commy_register_get_attached (CommyRegister *reg);
const CommyRegisterKind *commy_register_get_kind (CommyRegister *reg);
/* NULL: it is not from a folder. */
const char *commy_register_get_dir (CommyRegister *reg);
gboolean commy_register_is_open (CommyRegister *reg);
gboolean commy_register_is_full (CommyRegister *reg);

/* For commy_register_add(), or commy_register_free_entry(). */
gpointer commy_register_new_entry (const CommyRegisterKind *kind, const char *id);
void commy_register_free_entry (const CommyRegisterKind *kind, gpointer entry);
/* @entry: (transfer full) */
void commy_register_add (CommyRegister *reg, gpointer entry);
/* NULL: there is none. */
gpointer commy_register_find (CommyRegister *reg, const char *id);
/* (transfer container), by time of creation */
GPtrArray *commy_register_list (CommyRegister *reg);
gboolean commy_register_revoke (CommyRegister *reg, const char *id, GError **error);
/* Forgets it. */
gboolean commy_register_remove (CommyRegister *reg, const char *id, GError **error);

/* --- for kinds: values of an entry --- */

/* From 0 to @max; 0 where the key is absent. */
gboolean commy_register_read_number (
    GKeyFile *file, const char *id, const char *key, gint64 max, gint64 *out);
/* FALSE where the key is absent. */
gboolean commy_register_read_flag (GKeyFile *file, const char *id, const char *key, gboolean *out);
/* Hexadecimal digits of exactly that many bytes. */
gboolean commy_register_read_bytes (
    GKeyFile *file, const char *id, const char *key, guint8 *out, gsize size);
gboolean commy_register_parse_bytes (const char *hex, guint8 *out, gsize size);
/* Nothing for 0. */
void commy_register_write_number (GKeyFile *file, const char *id, const char *key, gint64 value);
void commy_register_write_flag (GKeyFile *file, const char *id, const char *key, gboolean value);
void commy_register_write_bytes (
    GKeyFile *file, const char *id, const char *key, const guint8 *bytes, gsize size);

G_END_DECLS
