/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reads selectors and holds them against what instances say.
 */
#include "config.h"

#include "base/commy-selector.h"

#include "base/commy-error-private.h"
#include "base/commy-semver.h"

#include <string.h>

typedef enum
{
  TERM_LESS,
  TERM_AT_MOST,
  TERM_EQUAL,
  TERM_AT_LEAST,
  TERM_GREATER,
  TERM_TAG,
  TERM_PAIR,
} TermKind;

typedef struct
{
  TermKind kind;
  char *word; /* as it was written */
  char *name; /* the version, the tag, or the key */
  char *value;
} Term;

struct _CommySelector
{
  char *text;
  GArray *terms;
};

/* --- words --- */

gboolean
commy_tag_is_valid (const char *tag)
{
  gsize length = strspn (tag, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-");

  return length > 0 && length <= COMMY_TRAIT_MAX && tag[length] == '\0';
}

static gboolean
is_one_line (const char *text)
{
  for (const char *c = text; *c != '\0'; c++)
    if (g_ascii_iscntrl (*c))
      return FALSE;
  return g_utf8_validate (text, -1, NULL);
}

gboolean
commy_metadata_is_valid (const char *key, const char *value)
{
  return commy_tag_is_valid (key) && strlen (value) <= COMMY_TRAIT_VALUE_MAX && is_one_line (value);
}

/* --- reading --- */

static void
term_clear (gpointer data)
{
  Term *term = data;

  g_free (term->word);
  g_free (term->name);
  g_free (term->value);
}

/* How long the operator is; 0: it is no version. */
static gsize
read_operator (const char *word, TermKind *out_kind)
{
  static const struct
  {
    const char *text;
    TermKind kind;
  } operators[] = {
    { ">=", TERM_AT_LEAST }, { "<=", TERM_AT_MOST }, { ">", TERM_GREATER },
    { "<", TERM_LESS },      { "=", TERM_EQUAL },
  };

  for (guint i = 0; i < G_N_ELEMENTS (operators); i++)
    if (g_str_has_prefix (word, operators[i].text))
      {
        *out_kind = operators[i].kind;
        return strlen (operators[i].text);
      }
  return 0;
}

static gboolean
read_term (const char *word, Term *term, GError **error)
{
  gsize length = read_operator (word, &term->kind);
  const char *colon = strchr (word, ':');

  term->word = g_strdup (word);
  if (length > 0)
    {
      term->name = g_strdup (word + length);
      if (commy_semver_is_valid (term->name))
        return TRUE;
      commy_set_error (error, COMMY_ERROR_INVALID_ARGUMENT,
                       "\"%s\" of a selector: \"%s\" is no version, such as 2.1 or 2.1.0-rc.1",
                       word, term->name);
      return FALSE;
    }
  term->kind = colon != NULL ? TERM_PAIR : TERM_TAG;
  term->name = colon != NULL ? g_strndup (word, (gsize) (colon - word)) : g_strdup (word);
  term->value = g_strdup (colon != NULL ? colon + 1 : "");
  if (commy_metadata_is_valid (term->name, term->value))
    return TRUE;
  commy_set_error (error, COMMY_ERROR_INVALID_ARGUMENT,
                   "\"%s\" of a selector is neither a version (>=2.1, <3), nor a tag (gpu), nor a "
                   "pair of the metadata (rack:7)",
                   word);
  return FALSE;
}

CommySelector *
commy_selector_new (const char *text, GError **error)
{
  g_autoptr (CommySelector) self = g_new0 (CommySelector, 1);
  g_auto (GStrv) words = NULL;

  self->text = g_strdup (text);
  self->terms = g_array_new (FALSE, TRUE, sizeof (Term));
  g_array_set_clear_func (self->terms, term_clear);
  if (strlen (text) > COMMY_SELECTOR_MAX || !is_one_line (text))
    {
      commy_set_error (error, COMMY_ERROR_INVALID_ARGUMENT,
                       "a selector is one line of at most %u bytes of text", COMMY_SELECTOR_MAX);
      return NULL;
    }
  words = g_strsplit (text, " ", -1);
  for (guint i = 0; words[i] != NULL; i++)
    {
      Term term = { 0 };

      if (words[i][0] == '\0')
        continue;
      if (!read_term (words[i], &term, error))
        {
          term_clear (&term);
          return NULL;
        }
      g_array_append_val (self->terms, term);
    }
  if (self->terms->len > 0)
    return g_steal_pointer (&self);
  commy_set_error (error, COMMY_ERROR_INVALID_ARGUMENT,
                   "a selector with nothing in it: write a version (>=2.1), a tag (gpu) or a pair "
                   "of the metadata (rack:7)");
  return NULL;
}

void
commy_selector_free (CommySelector *self)
{
  if (self == NULL)
    return;
  g_array_unref (self->terms);
  g_free (self->text);
  g_free (self);
}

const char *
commy_selector_get_text (const CommySelector *self)
{
  return self->text;
}

/* --- matching --- */

/* What cannot be compared is as if it had not been said. */
static gboolean
version_fits (const Term *term, const char *version)
{
  int order;

  if (!commy_semver_is_valid (version))
    return FALSE;
  order = commy_semver_compare (version, term->name);
  switch (term->kind)
    {
    case TERM_LESS:
      return order < 0;
    case TERM_AT_MOST:
      return order <= 0;
    case TERM_EQUAL:
      return order == 0;
    case TERM_AT_LEAST:
      return order >= 0;
    case TERM_GREATER:
    default:
      return order > 0;
    }
}

/* NULL: there is no such key. */
static const char *
find_value (GVariant *metadata, const char *key)
{
  const char *value = NULL;

  if (metadata != NULL)
    g_variant_lookup (metadata, key, "&s", &value);
  return value;
}

static gboolean
fits (const Term *term, const CommyTraits *traits)
{
  switch (term->kind)
    {
    case TERM_TAG:
      return traits->tags != NULL && g_strv_contains (traits->tags, term->name);
    case TERM_PAIR:
      return g_strcmp0 (find_value (traits->metadata, term->name), term->value) == 0;
    default:
      return version_fits (term, traits->version);
    }
}

static char *
dup_offer (const Term *term, const CommyTraits *traits)
{
  const char *value;
  g_autofree char *all = NULL;

  switch (term->kind)
    {
    case TERM_TAG:
      all = traits->tags != NULL ? g_strjoinv (", ", (char **) traits->tags) : g_strdup ("");
      return all[0] != '\0' ? g_strdup_printf ("tags %s", all) : g_strdup ("no tags");
    case TERM_PAIR:
      value = find_value (traits->metadata, term->name);
      return value != NULL ? g_strdup_printf ("%s:%s", term->name, value)
                           : g_strdup_printf ("no %s", term->name);
    default:
      if (traits->version[0] == '\0')
        return g_strdup ("no version");
      return g_strdup_printf ("version %s%s", traits->version,
                              commy_semver_is_valid (traits->version) ? "" : ", which is none");
    }
}

/* Cut between characters. */
static void
copy_text (char *out, gsize size, const char *text)
{
  const char *end;

  if (size == 0)
    return;
  g_strlcpy (out, text, size);
  if (!g_utf8_validate (out, -1, &end))
    out[end - out] = '\0';
}

gboolean
commy_selector_matches (const CommySelector *self,
                        const CommyTraits *traits,
                        char *wanted,
                        gsize wanted_size,
                        char *offered,
                        gsize offered_size)
{
  for (guint i = 0; i < self->terms->len; i++)
    {
      const Term *term = &g_array_index (self->terms, Term, i);
      g_autofree char *offer = NULL;

      if (fits (term, traits))
        continue;
      if (wanted_size > 0)
        copy_text (wanted, wanted_size, term->word);
      if (offered_size > 0)
        {
          offer = dup_offer (term, traits);
          copy_text (offered, offered_size, offer);
        }
      return FALSE;
    }
  return TRUE;
}
