/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a trail says of peers, calls and policies, in words that are the same over every path.
 */
#include "config.h"

#include "trail-tally.h"

#include <commy/commy-audit.h>
#include <string.h>

static const char *
get (GVariant *record, const char *key)
{
  const char *text = "";

  g_variant_lookup (record, key, "&s", &text);
  return text;
}

/* What is said of a peer, without the names of its proofs, which each path has others of. */
static char *
dup_said (GVariant *record)
{
  char *said = g_strdup (get (record, "peer"));
  char *proofs
      = strcmp (get (record, "outcome"), "accepted") == 0 ? said : strstr (said, "; it showed ");

  if (proofs != NULL)
    *proofs = '\0';
  return said;
}

/* Equal events are one record with a count if they are close in time, so counts are added up. How
 * often a peer connects is the router's affair, how many nodes read a policy the scene's. */
static gboolean
note (GVariant *record, gpointer data)
{
  GHashTable *counts = data;
  const char *type = get (record, "type");
  gboolean is_peer = strcmp (type, "peer") == 0;
  gboolean is_policy = strcmp (type, "policy") == 0;
  g_autofree char *said = NULL;
  guint64 count = 1;
  char *key;

  if (!is_peer && strcmp (type, "call") != 0 && strcmp (type, "control") != 0 && !is_policy)
    return TRUE;
  g_variant_lookup (record, "count", "t", &count);
  said = is_peer ? dup_said (record) : g_strdup (get (record, "details"));
  key = g_strdup_printf ("%s %s [%s] %s.%s rule=%s at=%s reason=%s %s", type,
                         get (record, "outcome"), get (record, "principal"),
                         get (record, "service"), get (record, "method"), get (record, "rule"),
                         get (record, "origin"), get (record, "reason"), said);
  if (is_peer || is_policy)
    count = 0;
  else
    count += GPOINTER_TO_SIZE (g_hash_table_lookup (counts, key));
  g_hash_table_replace (counts, key, GSIZE_TO_POINTER (count));
  return TRUE;
}

void
trail_tally_append (const char *dir, GString *out)
{
  g_autoptr (GHashTable) counts = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autoptr (GList) keys = NULL;
  g_autoptr (GError) error = NULL;

  commy_audit_read (dir, note, counts, &error);
  g_assert_no_error (error);
  keys = g_list_sort (g_hash_table_get_keys (counts), (GCompareFunc) strcmp);
  for (GList *key = keys; key != NULL; key = key->next)
    g_string_append_printf (out, "%s x%" G_GSIZE_FORMAT "\n", (char *) key->data,
                            GPOINTER_TO_SIZE (g_hash_table_lookup (counts, key->data)));
}

char *
trail_dup_replaced (const char *text, const TrailWords *words, gsize n_words)
{
  char *all = g_strdup (text);

  for (gsize i = 0; i < n_words; i++)
    {
      g_autoptr (GRegex) regex = g_regex_new (words[i].pattern, 0, 0, NULL);
      char *next = g_regex_replace_literal (regex, all, -1, 0, words[i].word, 0, NULL);

      g_free (all);
      all = next;
    }
  return all;
}
