/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Patterns hang at what is literal before their first wildcard, or, where there is nothing, at
 * what is literal behind the last. Those texts are sorted, and each knows the longest other one
 * that it begins with: so all that a text begins with are found by one binary search. The few
 * patterns with wildcards at both ends are tried one by one.
 */
#include "config.h"

#include "security/commy-glob-index.h"

#include <string.h>

typedef enum
{
  FITS_WHOLE, /* no wildcard: the text is the key */
  FITS_END,   /* the text begins (or ends) with the key, and that is all */
  FITS_SPEC,  /* and the rest is to be looked at */
} Fit;

typedef struct
{
  Fit fit;
  GPatternSpec *spec; /* FITS_SPEC */
  guint n_numbers;
  guint16 *numbers; /* or, where these are many: */
  guint64 *bits;
} Pattern;

typedef struct
{
  char *key; /* from the far end of the text, if it is the other side's */
  gsize length;
  int parent;          /* the longest key that this one begins with; -1: none */
  GPtrArray *patterns; /* Pattern */
} Node;

typedef struct
{
  gboolean reversed;
  GArray *nodes;      /* Node, sorted by key */
  GHashTable *by_key; /* until sealed: key -> index + 1 */
  GPtrArray *keyless; /* Pattern: nothing is literal at this side */
} Side;

struct _CommyGlobIndex
{
  Side begins, ends;
  GHashTable *building; /* glob -> GArray of guint16; NULL once sealed */
  guint n_words;
};

static void
pattern_free (gpointer data)
{
  Pattern *pattern = data;

  g_clear_pointer (&pattern->spec, g_pattern_spec_free);
  g_free (pattern->numbers);
  g_free (pattern->bits);
  g_free (pattern);
}

static void
node_clear (gpointer data)
{
  Node *node = data;

  g_free (node->key);
  g_ptr_array_unref (node->patterns);
}

static void
side_init (Side *side, gboolean reversed)
{
  side->reversed = reversed;
  side->nodes = g_array_new (FALSE, TRUE, sizeof (Node));
  g_array_set_clear_func (side->nodes, node_clear);
  side->by_key = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  side->keyless = g_ptr_array_new_with_free_func (pattern_free);
}

static void
side_clear (Side *side)
{
  g_array_unref (side->nodes);
  g_clear_pointer (&side->by_key, g_hash_table_unref);
  g_ptr_array_unref (side->keyless);
}

CommyGlobIndex *
commy_glob_index_new (void)
{
  CommyGlobIndex *self = g_new0 (CommyGlobIndex, 1);

  side_init (&self->begins, FALSE);
  side_init (&self->ends, TRUE);
  self->building
      = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) g_array_unref);
  return self;
}

void
commy_glob_index_free (CommyGlobIndex *self)
{
  if (self == NULL)
    return;
  side_clear (&self->begins);
  side_clear (&self->ends);
  g_clear_pointer (&self->building, g_hash_table_unref);
  g_free (self);
}

/* --- building --- */

void
commy_glob_index_add (CommyGlobIndex *self, const char *glob, guint number)
{
  GArray *numbers = g_hash_table_lookup (self->building, glob);
  guint16 value = (guint16) number;

  g_assert (number <= G_MAXUINT16);
  if (numbers == NULL)
    {
      numbers = g_array_new (FALSE, FALSE, sizeof value);
      g_hash_table_insert (self->building, g_strdup (glob), numbers);
    }
  if (numbers->len == 0 || g_array_index (numbers, guint16, numbers->len - 1) != value)
    g_array_append_val (numbers, value);
}

static GPtrArray *
patterns_at (Side *side, const char *key, gsize length)
{
  g_autofree char *copy = g_strndup (key, length);
  gpointer found;
  Node node = { .length = length, .parent = -1 };

  if (length == 0)
    return side->keyless;
  if (side->reversed)
    for (gsize i = 0; i < length; i++)
      copy[i] = key[length - 1 - i];
  found = g_hash_table_lookup (side->by_key, copy);
  if (found != NULL)
    return g_array_index (side->nodes, Node, GPOINTER_TO_UINT (found) - 1).patterns;
  node.key = g_strdup (copy);
  node.patterns = g_ptr_array_new_with_free_func (pattern_free);
  g_array_append_val (side->nodes, node);
  g_hash_table_insert (side->by_key, g_steal_pointer (&copy), GUINT_TO_POINTER (side->nodes->len));
  return node.patterns;
}

static void
store_numbers (CommyGlobIndex *self, Pattern *pattern, GArray *numbers)
{
  pattern->n_numbers = numbers->len;
  if (numbers->len <= self->n_words)
    {
      pattern->numbers = g_memdup2 (numbers->data, numbers->len * sizeof (guint16));
      return;
    }
  pattern->bits = g_new0 (guint64, self->n_words);
  for (guint i = 0; i < numbers->len; i++)
    {
      guint number = g_array_index (numbers, guint16, i);

      pattern->bits[number / 64] |= G_GUINT64_CONSTANT (1) << number % 64;
    }
}

static void
place (CommyGlobIndex *self, const char *glob, GArray *numbers)
{
  Pattern *pattern = g_new0 (Pattern, 1);
  gsize length = strlen (glob);
  gsize head = strcspn (glob, "*?");
  gsize tail = 0;
  Side *side = &self->begins;

  while (tail < length - head && strchr ("*?", glob[length - 1 - tail]) == NULL)
    tail++;
  store_numbers (self, pattern, numbers);
  if (head == length)
    pattern->fit = FITS_WHOLE;
  else if (glob[head] == '*' && head + 1 + tail == length && (head == 0 || tail == 0))
    pattern->fit = FITS_END;
  else
    {
      pattern->fit = FITS_SPEC;
      pattern->spec = g_pattern_spec_new (glob);
    }
  if (head == 0 && tail > 0)
    side = &self->ends;
  g_ptr_array_add (
      patterns_at (side, head > 0 ? glob : glob + length - tail, head > 0 ? head : tail), pattern);
}

static int
compare_nodes (gconstpointer a, gconstpointer b)
{
  return strcmp (((const Node *) a)->key, ((const Node *) b)->key);
}

static gboolean
begins_with (const Node *longer, const Node *shorter)
{
  return shorter->length <= longer->length
         && memcmp (longer->key, shorter->key, shorter->length) == 0;
}

static void
side_seal (Side *side)
{
  g_clear_pointer (&side->by_key, g_hash_table_unref);
  g_array_sort (side->nodes, compare_nodes);
  for (guint i = 1; i < side->nodes->len; i++)
    {
      Node *nodes = (Node *) (gpointer) side->nodes->data;
      int parent = (int) i - 1;

      while (parent >= 0 && !begins_with (&nodes[i], &nodes[parent]))
        parent = nodes[parent].parent;
      nodes[i].parent = parent;
    }
}

void
commy_glob_index_seal (CommyGlobIndex *self, guint n_words)
{
  GHashTableIter iter;
  gpointer glob, numbers;

  self->n_words = n_words;
  g_hash_table_iter_init (&iter, self->building);
  while (g_hash_table_iter_next (&iter, &glob, &numbers))
    place (self, glob, numbers);
  g_clear_pointer (&self->building, g_hash_table_unref);
  side_seal (&self->begins);
  side_seal (&self->ends);
}

/* --- looking up --- */

static void
set_bits (const CommyGlobIndex *self, const Pattern *pattern, guint64 *bits)
{
  if (pattern->bits != NULL)
    for (guint i = 0; i < self->n_words; i++)
      bits[i] |= pattern->bits[i];
  else
    for (guint i = 0; i < pattern->n_numbers; i++)
      bits[pattern->numbers[i] / 64] |= G_GUINT64_CONSTANT (1) << pattern->numbers[i] % 64;
}

static void
try_patterns (const CommyGlobIndex *self,
              GPtrArray *patterns,
              gboolean is_whole,
              const char *text,
              gsize length,
              guint64 *bits)
{
  for (guint i = 0; i < patterns->len; i++)
    {
      const Pattern *pattern = patterns->pdata[i];

      if (pattern->fit == FITS_END || (pattern->fit == FITS_WHOLE && is_whole)
          || (pattern->fit == FITS_SPEC
              && g_pattern_spec_match (pattern->spec, length, text, NULL)))
        set_bits (self, pattern, bits);
    }
}

/* As strcmp() of the key and the text, read from its far end if need be. */
static int
compare_text (const Side *side, const Node *node, const char *text, gsize length)
{
  gsize common = MIN (node->length, length);
  int order = 0;

  if (!side->reversed)
    order = memcmp (node->key, text, common);
  else
    for (gsize i = 0; i < common && order == 0; i++)
      order = (int) (guint8) node->key[i] - (int) (guint8) text[length - 1 - i];
  if (order != 0)
    return order;
  return node->length <= length ? (node->length == length ? 0 : -1) : 1;
}

static gboolean
text_has_key (const Side *side, const Node *node, const char *text, gsize length)
{
  const char *part = side->reversed ? text + length - MIN (length, node->length) : text;

  return node->length <= length && compare_text (side, node, part, node->length) == 0;
}

static void
match_side (
    const CommyGlobIndex *self, const Side *side, const char *text, gsize length, guint64 *bits)
{
  const Node *nodes = (const Node *) (gconstpointer) side->nodes->data;
  int low = 0;
  int high = (int) side->nodes->len;
  int at;

  try_patterns (self, side->keyless, length == 0, text, length, bits);
  while (low < high)
    {
      int middle = low + (high - low) / 2;

      if (compare_text (side, &nodes[middle], text, length) <= 0)
        low = middle + 1;
      else
        high = middle;
    }
  /* The longest key that the text has is the one before here, or one that it begins with. */
  for (at = low - 1; at >= 0 && !text_has_key (side, &nodes[at], text, length);)
    at = nodes[at].parent;
  for (; at >= 0; at = nodes[at].parent)
    try_patterns (self, nodes[at].patterns, nodes[at].length == length, text, length, bits);
}

void
commy_glob_index_match (const CommyGlobIndex *self, const char *text, guint64 *bits)
{
  gsize length = strlen (text);

  match_side (self, &self->begins, text, length, bits);
  if (self->ends.nodes->len > 0)
    match_side (self, &self->ends, text, length, bits);
}
