/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A type string as nodes that both directions walk: what each part is, how it lies in memory, and
 * how many bits and framing offsets a tuple has. Type strings may come from outside: they are
 * checked here, without recursion deeper than the limit of levels.
 */
#include "config.h"

#include "../common/commy-values.h"
#include "commy-compact.h"

#include <string.h>

/* In the order of their codes; part of the format, to be appended to only. */
static const char *const coded[COMPACT_CODES]
    = { "b", "y", "n",  "q",  "i",     "u",  "x",  "t",  "d",  "h",  "s",  "o",
        "g", "v", "as", "ay", "a{sv}", "av", "ai", "au", "ax", "at", "ad", "a{ss}" };

typedef struct
{
  const char *at, *end;
  CompactNode *nodes;
  guint32 n_nodes;
  guint deepest;
} Compiler;

static gboolean compile (Compiler *self, guint level);

/* Where a member of a tuple begins that is to be aligned. */
static gsize
align_to (gsize at, guint8 align)
{
  return (at + align) & ~(gsize) align;
}

/* What a letter alone stands for. */
static const struct
{
  guint8 kind, fixed, align;
  gboolean is_signed, is_known;
} basics[128] = {
  ['b'] = { COMPACT_BOOL, 1, 0, FALSE, TRUE },      ['y'] = { COMPACT_BYTE, 1, 0, FALSE, TRUE },
  ['n'] = { COMPACT_INTEGER, 2, 1, TRUE, TRUE },    ['q'] = { COMPACT_INTEGER, 2, 1, FALSE, TRUE },
  ['i'] = { COMPACT_INTEGER, 4, 3, TRUE, TRUE },    ['u'] = { COMPACT_INTEGER, 4, 3, FALSE, TRUE },
  ['x'] = { COMPACT_INTEGER, 8, 7, TRUE, TRUE },    ['t'] = { COMPACT_INTEGER, 8, 7, FALSE, TRUE },
  ['h'] = { COMPACT_INTEGER, 4, 3, FALSE, TRUE },   ['d'] = { COMPACT_DOUBLE, 8, 7, FALSE, TRUE },
  ['s'] = { COMPACT_STRING, 0, 0, FALSE, TRUE },    ['o'] = { COMPACT_PATH, 0, 0, FALSE, TRUE },
  ['g'] = { COMPACT_SIGNATURE, 0, 0, FALSE, TRUE }, ['v'] = { COMPACT_VARIANT, 0, 7, FALSE, TRUE },
};

static gboolean
compile_basic (CompactNode *node, char letter)
{
  guint8 index = (guint8) letter & 127;

  *node = (CompactNode){ .kind = basics[index].kind,
                         .align = basics[index].align,
                         .is_signed = basics[index].is_signed,
                         .fixed = basics[index].fixed };
  return basics[index].is_known && (guint8) letter < 128;
}

/* Behind "(" or "{"; at @index in the nodes. */
static gboolean
compile_tuple (Compiler *self, guint32 index, char close, guint level)
{
  guint32 n_members = 0;
  gsize at = 0;
  gboolean is_fixed = TRUE;
  CompactNode *tuple = &self->nodes[index];

  for (; self->at < self->end && *self->at != close; n_members++)
    {
      const CompactNode *member = &self->nodes[self->n_nodes];

      if (!compile (self, level + 1)
          || (close == '}' && n_members == 0 && member->kind >= COMPACT_VARIANT))
        return FALSE;
      tuple->align |= member->align;
      tuple->n_bits += member->kind == COMPACT_BOOL || member->kind == COMPACT_MAYBE;
      tuple->n_offsets += member->fixed == 0;
      is_fixed = is_fixed && member->fixed != 0;
      at = align_to (at, member->align) + member->fixed;
      if (self->at < self->end && *self->at == close)
        tuple->n_offsets -= member->fixed == 0; /* the last one ends where the offsets begin */
    }
  if (self->at == self->end || (close == '}' && n_members != 2))
    return FALSE;
  self->at++;
  if (is_fixed)
    tuple->fixed = MAX (align_to (at, tuple->align), 1);
  return TRUE;
}

static gboolean
compile (Compiler *self, guint level)
{
  guint32 index = self->n_nodes;
  CompactNode *node = &self->nodes[index];
  char letter;

  if (self->at == self->end)
    return FALSE;
  letter = *self->at++;
  self->n_nodes++;
  if (!compile_basic (node, letter))
    {
      if (level >= COMMY_VALUES_MAX_NESTING)
        return FALSE;
      self->deepest = MAX (self->deepest, level + 1);
      node->kind = letter == 'a' ? COMPACT_ARRAY : letter == 'm' ? COMPACT_MAYBE : COMPACT_TUPLE;
      if (letter == 'a' || letter == 'm')
        {
          if (!compile (self, level + 1))
            return FALSE;
          node->align = node[1].align;
        }
      else if ((letter != '(' && letter != '{')
               || !compile_tuple (self, index, letter == '(' ? ')' : '}', level))
        return FALSE;
    }
  node->next = self->n_nodes - index;
  return TRUE;
}

gboolean
commy_compact_compile (const char *type, gsize length, CompactNode *nodes, CompactType *out)
{
  Compiler self = { .at = type, .end = type + length, .nodes = nodes };

  if (length > G_MAXUINT32 || !compile (&self, 0) || self.at != self.end)
    return FALSE;
  out->nodes = nodes;
  out->nesting = self.deepest;
  return TRUE;
}

void
commy_compact_format_init (CompactFormat *self, gsize max_size)
{
  gsize n_nodes = 0;

  for (guint i = 0; i < COMPACT_CODES; i++)
    n_nodes += strlen (coded[i]);
  self->codes = g_new (CompactCode, COMPACT_CODES);
  self->nodes = g_new (CompactNode, n_nodes);
  self->max_size = max_size;
  memset (self->letters, 0, sizeof self->letters);
  n_nodes = 0;
  for (guint i = 0; i < COMPACT_CODES; i++)
    {
      CompactCode *code = &self->codes[i];

      code->signature = coded[i];
      code->length = strlen (coded[i]);
      if (!commy_compact_compile (code->signature, code->length, self->nodes + n_nodes,
                                  &code->type))
        g_assert_not_reached ();
      n_nodes += code->length;
      if (code->length == 1)
        self->letters[(guint8) coded[i][0]] = code;
    }
}

void
commy_compact_format_clear (CompactFormat *self)
{
  g_clear_pointer (&self->codes, g_free);
  g_clear_pointer (&self->nodes, g_free);
}

const CompactCode *
commy_compact_find_code (const CompactFormat *self, const char *signature, gsize length)
{
  guint8 letter = length > 0 ? (guint8) signature[0] : 0;

  if (length == 1)
    return letter < G_N_ELEMENTS (self->letters) ? self->letters[letter] : NULL;
  for (guint i = 0; i < COMPACT_CODES; i++)
    if (self->codes[i].length == length
        && memcmp (self->codes[i].signature, signature, length) == 0)
      return &self->codes[i];
  return NULL;
}
