/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who is denied for the time being: records that the store keeps, read from it by whoever watches.
 * A record names a principal or one proof; it can take away and give nothing. Mesh thread only.
 */
#pragma once

#include <glib.h>

/* In the store: behind it the subject, as it is. */
#define COMMY_DENIED_PREFIX "denied/"
#define COMMY_DENY_LIST_MAX 16384u
#define COMMY_DENIAL_REASON_MAX 256u
#define COMMY_DENIAL_SUBJECT_MAX 900u
#define COMMY_DENIAL_TEXT_MAX 2048u
#define COMMY_DENIAL_BY_MAX 64u
#define COMMY_DENIAL_KINDS_MAX 8u
#define COMMY_DENIAL_KIND_MAX 64u

typedef struct
{
  char *subject; /* a principal, or a word of a proof's id */
  char *reason;
  gint64 since_s;
  gint64 until_s; /* 0: for good */
  guint failures; /* of a lock-out (commy-lock-out.h): so often he failed */
  char *by;       /* and the node that says so; or NULL */
  char **kinds;   /* and at what, up to NULL; or NULL: it does not say */
} CommyDenial;

void commy_denial_free (CommyDenial *denial);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyDenial, commy_denial_free)

/* Whether it can be denied: what a principal or proof is called, without spaces. */
gboolean commy_denial_check_subject (const char *subject, GError **error);
/* (transfer full) */
char *commy_denial_write (const CommyDenial *denial);
/* A record whose text cannot be read denies, too, and for good: @out_error says so, and there is
 * always a record. NULL: the key names nobody. */
CommyDenial *commy_denial_read (const char *key, const char *text, gsize size, GError **out_error);

typedef struct _CommyDenyList CommyDenyList;

CommyDenyList *commy_deny_list_new (void);
void commy_deny_list_free (CommyDenyList *list);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyDenyList, commy_deny_list_free)
/* @denial: (transfer full); one that has ended takes its place away. FALSE: the list was full of
 * those that count, and of them and the new one what ends soonest is not on it. */
gboolean commy_deny_list_take (CommyDenyList *list, CommyDenial *denial, gint64 now_s);
void commy_deny_list_remove (CommyDenyList *list, const char *subject);
void commy_deny_list_clear (CommyDenyList *list);
guint commy_deny_list_get_n (const CommyDenyList *list);
/* What denies one of @principals, or a proof whose names are in @ids (both words); NULL: nothing
 * does. (transfer none) */
const CommyDenial *
commy_deny_list_find (CommyDenyList *list, const char *principals, const char *ids, gint64 now_s);
