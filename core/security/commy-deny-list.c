/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The records of the deny list, and finding one. What is not understood denies: a store that spoils
 * a record lets nobody in by that.
 */
#include "config.h"

#include "security/commy-deny-list.h"

#include "base/commy-error-private.h"

#include <string.h>

#define UNREADABLE "denied by a record that cannot be read"

struct _CommyDenyList
{
  GHashTable *denials; /* subject -> CommyDenial */
  GTree *by_end;       /* the same, what ends soonest first */
};

void
commy_denial_free (CommyDenial *denial)
{
  if (denial == NULL)
    return;
  g_free (denial->subject);
  g_free (denial->reason);
  g_free (denial->by);
  g_strfreev (denial->kinds);
  g_free (denial);
}

static gboolean
is_plain (const char *text, gboolean spaces)
{
  for (; *text != '\0'; text++)
    if ((guchar) *text < ' ' || *text == 0x7f || (!spaces && *text == ' '))
      return FALSE;
  return TRUE;
}

gboolean
commy_denial_check_subject (const char *subject, GError **error)
{
  gsize size = strlen (subject);

  if (size > 0 && size <= COMMY_DENIAL_SUBJECT_MAX && is_plain (subject, FALSE)
      && g_utf8_validate (subject, (gssize) size, NULL))
    return TRUE;
  commy_set_error (error, COMMY_ERROR_INVALID_ARGUMENT,
                   "who is denied is a principal (spiffe://DOMAIN/host/H/user/U, token:NAME) or a "
                   "certificate (x509:AUTHORITY:SERIAL), of at most %u bytes without spaces",
                   COMMY_DENIAL_SUBJECT_MAX);
  return FALSE;
}

/* --- as text --- */

char *
commy_denial_write (const CommyDenial *self)
{
  g_autoptr (GVariant) value = NULL;
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&builder, "{sv}", "reason", g_variant_new_string (self->reason));
  g_variant_builder_add (&builder, "{sv}", "since", g_variant_new_int64 (self->since_s));
  g_variant_builder_add (&builder, "{sv}", "until", g_variant_new_int64 (self->until_s));
  if (self->failures > 0)
    {
      g_variant_builder_add (&builder, "{sv}", "failures", g_variant_new_uint32 (self->failures));
      g_variant_builder_add (&builder, "{sv}", "by",
                             g_variant_new_string (self->by != NULL ? self->by : ""));
      if (self->kinds != NULL)
        g_variant_builder_add (&builder, "{sv}", "kinds",
                               g_variant_new_strv ((const char *const *) self->kinds, -1));
    }
  value = g_variant_ref_sink (g_variant_builder_end (&builder));
  return g_variant_print (value, TRUE);
}

static gboolean
are_kinds (char *const *kinds)
{
  guint n = 0;

  for (; kinds[n] != NULL; n++)
    if (n == COMMY_DENIAL_KINDS_MAX || kinds[n][0] == '\0'
        || strlen (kinds[n]) > COMMY_DENIAL_KIND_MAX || !is_plain (kinds[n], FALSE))
      return FALSE;
  return n > 0;
}

/* What only lock-outs have. */
static void
read_failures (CommyDenial *self, GVariant *value)
{
  g_auto (GStrv) kinds = NULL;
  const char *by = "";

  g_variant_lookup (value, "failures", "u", &self->failures);
  if (self->failures > 0 && g_variant_lookup (value, "by", "&s", &by)
      && strlen (by) <= COMMY_DENIAL_BY_MAX && is_plain (by, FALSE))
    self->by = g_strdup (by);
  if (self->failures > 0 && g_variant_lookup (value, "kinds", "^as", &kinds) && are_kinds (kinds))
    self->kinds = g_steal_pointer (&kinds);
}

static gboolean
read_text (CommyDenial *self, const char *text, gsize size, GError **error)
{
  g_autoptr (GVariant) value = NULL;
  const char *reason = NULL;

  if (text == NULL || size > COMMY_DENIAL_TEXT_MAX || memchr (text, '\0', size) != NULL)
    {
      commy_set_error (error, COMMY_ERROR_STORE, "it is longer than %u bytes, or no text",
                       COMMY_DENIAL_TEXT_MAX);
      return FALSE;
    }
  value = g_variant_parse (G_VARIANT_TYPE_VARDICT, text, text + size, NULL, error);
  if (value == NULL)
    return FALSE;
  if (!g_variant_lookup (value, "reason", "&s", &reason)
      || !g_variant_lookup (value, "until", "x", &self->until_s) || self->until_s < 0
      || strlen (reason) > COMMY_DENIAL_REASON_MAX || !is_plain (reason, TRUE))
    {
      self->until_s = 0;
      commy_set_error (error, COMMY_ERROR_STORE,
                       "it lacks reason or until, or they cannot be right");
      return FALSE;
    }
  g_variant_lookup (value, "since", "x", &self->since_s);
  read_failures (self, value);
  self->reason = g_strdup (reason);
  return TRUE;
}

CommyDenial *
commy_denial_read (const char *key, const char *text, gsize size, GError **error)
{
  const char *subject = key + strlen (COMMY_DENIED_PREFIX);
  g_autoptr (CommyDenial) self = NULL;

  if (!g_str_has_prefix (key, COMMY_DENIED_PREFIX) || !commy_denial_check_subject (subject, error))
    return NULL;
  self = g_new0 (CommyDenial, 1);
  self->subject = g_strdup (subject);
  if (!read_text (self, text, size, error))
    {
      g_prefix_error (error, "the record %s denies for good, because it cannot be read: ", key);
      self->reason = g_strdup (UNREADABLE);
    }
  return g_steal_pointer (&self);
}

/* --- the list --- */

static gint64
end_of (const CommyDenial *denial)
{
  return denial->until_s != 0 ? denial->until_s : G_MAXINT64;
}

static int
compare_ends (gconstpointer a, gconstpointer b, gpointer unused)
{
  gint64 x = end_of (a), y = end_of (b);

  if (x != y)
    return x < y ? -1 : 1;
  return strcmp (((const CommyDenial *) a)->subject, ((const CommyDenial *) b)->subject);
}

CommyDenyList *
commy_deny_list_new (void)
{
  CommyDenyList *self = g_new0 (CommyDenyList, 1);

  self->denials
      = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, (GDestroyNotify) commy_denial_free);
  self->by_end = g_tree_new_full (compare_ends, NULL, NULL, NULL);
  return self;
}

void
commy_deny_list_free (CommyDenyList *self)
{
  if (self == NULL)
    return;
  g_tree_unref (self->by_end);
  g_hash_table_unref (self->denials);
  g_free (self);
}

static gboolean
has_ended (const CommyDenial *denial, gint64 now_s)
{
  return denial->until_s != 0 && now_s >= denial->until_s;
}

static gboolean
note_first (gpointer denial, gpointer unused, gpointer out_first)
{
  *(CommyDenial **) out_first = denial;
  return TRUE;
}

/* What ends soonest. */
static CommyDenial *
find_first (CommyDenyList *self)
{
  CommyDenial *first = NULL;

  g_tree_foreach (self->by_end, note_first, &first);
  return first;
}

void
commy_deny_list_remove (CommyDenyList *self, const char *subject)
{
  CommyDenial *denial = g_hash_table_lookup (self->denials, subject);

  if (denial == NULL)
    return;
  g_tree_remove (self->by_end, denial);
  g_hash_table_remove (self->denials, subject);
}

/* FALSE: @denial itself would be the first to go. */
static gboolean
make_room (CommyDenyList *self, const CommyDenial *denial)
{
  CommyDenial *first = find_first (self);

  if (end_of (denial) <= end_of (first))
    return FALSE;
  commy_deny_list_remove (self, first->subject);
  return TRUE;
}

static gboolean
is_full (CommyDenyList *self, gint64 now_s)
{
  while (commy_deny_list_get_n (self) >= COMMY_DENY_LIST_MAX)
    {
      CommyDenial *first = find_first (self);

      if (!has_ended (first, now_s))
        return TRUE;
      commy_deny_list_remove (self, first->subject);
    }
  return FALSE;
}

gboolean
commy_deny_list_take (CommyDenyList *self, CommyDenial *denial, gint64 now_s)
{
  gboolean was_full;

  commy_deny_list_remove (self, denial->subject);
  if (has_ended (denial, now_s))
    {
      commy_denial_free (denial);
      return TRUE;
    }
  was_full = is_full (self, now_s);
  if (was_full && !make_room (self, denial))
    {
      commy_denial_free (denial);
      return FALSE;
    }
  g_hash_table_insert (self->denials, denial->subject, denial);
  g_tree_insert (self->by_end, denial, denial);
  return !was_full;
}

void
commy_deny_list_clear (CommyDenyList *self)
{
  g_tree_unref (self->by_end);
  self->by_end = g_tree_new_full (compare_ends, NULL, NULL, NULL);
  g_hash_table_remove_all (self->denials);
}

guint
commy_deny_list_get_n (const CommyDenyList *self)
{
  return g_hash_table_size (self->denials);
}

static const CommyDenial *
find_one (CommyDenyList *self, const char *subject, gint64 now_s)
{
  const CommyDenial *denial = g_hash_table_lookup (self->denials, subject);

  return denial != NULL && !has_ended (denial, now_s) ? denial : NULL;
}

static const CommyDenial *
find_any (CommyDenyList *self, const char *names, gint64 now_s)
{
  g_auto (GStrv) words = g_strsplit (names, " ", -1);
  const CommyDenial *found = NULL;

  for (char **word = words; found == NULL && *word != NULL; word++)
    found = find_one (self, *word, now_s);
  return found;
}

const CommyDenial *
commy_deny_list_find (CommyDenyList *self, const char *principals, const char *ids, gint64 now_s)
{
  const CommyDenial *found;

  if (g_hash_table_size (self->denials) == 0)
    return NULL;
  found = find_any (self, principals, now_s);
  return found != NULL ? found : find_any (self, ids, now_s);
}
