/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Rules about what a caller proved besides its name: scopes, claims, further principals. Each
 * pattern has a number, whatever rules have it; which of them fit is found out once a request, when
 * the first rule asks. What is not there fits nothing.
 */
#include "config.h"

#include "security/commy-policy-private.h"

#include <string.h>

/* --- reading --- */

/* G_MAXUINT: it is one too many. */
static guint
number_of (CommyPolicy *self, const char *glob)
{
  gpointer found;
  guint number;

  if (g_hash_table_lookup_extended (self->attribute_numbers, glob, NULL, &found))
    return GPOINTER_TO_UINT (found);
  number = g_hash_table_size (self->attribute_numbers);
  if (number >= COMMY_POLICY_ATTRIBUTES_MAX)
    return G_MAXUINT;
  g_hash_table_insert (self->attribute_numbers, g_strdup (glob), GUINT_TO_POINTER (number));
  return number;
}

gboolean
commy_policy_read_attributes (CommyPolicy *self, CommyRule *rule, GError **error)
{
  g_auto (GStrv) globs = commy_config_get_list (self->config, rule->group, "attributes");
  guint n = 0;

  rule->attributes = g_new0 (guint16, g_strv_length (globs) + 1);
  for (char **glob = globs; *glob != NULL; glob++)
    {
      guint number = **glob != '\0' ? number_of (self, *glob) : 0;

      if (number == G_MAXUINT)
        {
          commy_policy_complain (self->config, rule->group, "attributes", error,
                                 "has one attribute too many: all rules together may name %u",
                                 COMMY_POLICY_ATTRIBUTES_MAX);
          return FALSE;
        }
      if (**glob != '\0')
        rule->attributes[n++] = (guint16) number;
    }
  rule->n_attributes = n;
  return TRUE;
}

static void
index_first (CommyPolicy *self, const CommyRule *rule, guint number)
{
  g_auto (GStrv) globs = commy_config_get_list (self->config, rule->group, "attributes");
  char **first = globs;

  if (rule->n_attributes == 0)
    return;
  while (**first == '\0')
    first++;
  commy_set_bit (self->needs, number);
  commy_glob_index_add (self->attributes, *first, number);
}

void
commy_policy_index_attributes (CommyPolicy *self)
{
  GHashTableIter iter;
  gpointer glob, number;

  for (guint i = 0; i < self->rules->len; i++)
    index_first (self, self->rules->pdata[i], i);
  g_hash_table_iter_init (&iter, self->attribute_numbers);
  while (g_hash_table_iter_next (&iter, &glob, &number))
    commy_glob_index_add (self->attributes, glob, self->n_words * 64 + GPOINTER_TO_UINT (number));
  self->n_attribute_words = (g_hash_table_size (self->attribute_numbers) + 63) / 64;
  g_clear_pointer (&self->attribute_numbers, g_hash_table_unref);
  commy_glob_index_seal (self->attributes, self->n_words + self->n_attribute_words);
}

/* --- deciding --- */

static void
match (CommyPolicy *self, CommyKnown *known)
{
  memset (known->fitting, 0, (self->n_words + self->n_attribute_words) * sizeof (guint64));
  for (const char *const *one = known->request->attributes; *one != NULL; one++)
    if (g_utf8_validate (*one, -1, NULL))
      commy_glob_index_match (self->attributes, *one, known->fitting);
  known->is_matched = TRUE;
}

/* So that of a thousand rules that differ by what they ask for one is looked at. */
guint64
commy_policy_sift (CommyPolicy *self, CommyKnown *known, guint word, guint64 rules)
{
  if ((rules & self->needs[word]) == 0 || known->request->attributes == NULL)
    return rules;
  if (!known->is_matched)
    match (self, known);
  return rules & (~self->needs[word] | known->fitting[word]);
}

static gboolean
fits (const CommyPolicy *self, const CommyKnown *known, guint number)
{
  return commy_bit (known->fitting + self->n_words, number);
}

CommyHolds
commy_policy_check_attributes (CommyPolicy *self, const CommyRule *rule, CommyKnown *known)
{
  if (rule->n_attributes == 0)
    return COMMY_HOLDS_YES;
  if (known->request->attributes == NULL)
    return COMMY_HOLDS_UNKNOWN;
  if (!known->is_matched)
    match (self, known);
  for (guint i = 0; i < rule->n_attributes; i++)
    if (!fits (self, known, rule->attributes[i]))
      return COMMY_HOLDS_NO;
  return COMMY_HOLDS_YES;
}

/* --- telling --- */

char *
commy_policy_dup_missing (CommyPolicy *self, const CommyRule *rule, CommyKnown *known)
{
  g_auto (GStrv) globs = commy_config_get_list (self->config, rule->group, "attributes");
  g_autoptr (GString) text = g_string_new (NULL);
  guint n = 0;

  if (commy_policy_check_attributes (self, rule, known) != COMMY_HOLDS_NO)
    return NULL;
  for (char **glob = globs; *glob != NULL; glob++)
    if (**glob != '\0' && !fits (self, known, rule->attributes[n++]))
      g_string_append_printf (text, "%s%s", text->len > 0 ? ", " : "", *glob);
  return g_string_free (g_steal_pointer (&text), FALSE);
}
