/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether chains go on as far as their heads say. A head may be behind, because a process can end
 * between the two; it is never ahead. That it fits a checkpoint which is there shows that nobody
 * cut the chain off before that and wrote the head anew.
 */
#include "config.h"

#include "security/commy-audit-heads.h"

#include "security/commy-audit-check.h"
#include "security/commy-audit-files.h"
#include "security/commy-audit-tail.h"

#include <string.h>

/* A chain, of which there may be a head, or files, or both. */
typedef struct
{
  CommyAuditHeadState state;
  CommyAuditHead head;
  char commitment[COMMY_AUDIT_HEX_SIZE + 1]; /* to its secret */
  gboolean is_live;

  gboolean has_files;
  gboolean is_promised;  /* its records say that there is a head */
  gboolean is_committed; /* and that this is one of its own */
  gboolean is_other;     /* the record that it names is another one */
  guint number;          /* of the last file */
  guint64 first, last;

  guint64 ended; /* the last record that somebody found in a file that is not here */
  guint removed; /* the last file that was removed by its age; 0: none */
  char *removed_end;
} Chain;

struct _CommyAuditHeads
{
  const char *directory;
  GHashTable *chains; /* name -> Chain */
  Chain *current;
};

static void
chain_free (gpointer data)
{
  Chain *chain = data;

  g_free (chain->removed_end);
  g_free (chain);
}

static Chain *
enter (CommyAuditHeads *self, const char *name)
{
  Chain *chain = g_hash_table_lookup (self->chains, name);

  if (chain == NULL)
    {
      chain = g_new0 (Chain, 1);
      g_hash_table_insert (self->chains, g_strdup (name), chain);
    }
  return chain;
}

CommyAuditHeads *
commy_audit_heads_new (const char *directory, const CommyAuditTools *tools)
{
  CommyAuditHeads *self = g_new0 (CommyAuditHeads, 1);
  g_autoptr (GPtrArray) names = commy_audit_list_beside (directory, COMMY_AUDIT_HEAD_SUFFIX);

  self->directory = directory;
  self->chains = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, chain_free);
  for (guint i = 0; i < names->len; i++)
    {
      const char *name = names->pdata[i];
      g_autofree char *stem = g_strndup (name, strlen (name) - strlen (COMMY_AUDIT_HEAD_SUFFIX));
      Chain *chain = enter (self, stem);

      chain->state = commy_audit_head_read (directory, name, &chain->head, &chain->is_live);
      if (chain->state == COMMY_AUDIT_HEAD_GOOD)
        commy_audit_head_commit (&chain->head, tools, chain->commitment);
    }
  return self;
}

void
commy_audit_heads_free (CommyAuditHeads *self)
{
  if (self == NULL)
    return;
  g_hash_table_unref (self->chains);
  g_free (self);
}

/* --- while the chains are read --- */

void
commy_audit_heads_begin (CommyAuditHeads *self, const char *chain)
{
  self->current = enter (self, chain);
  self->current->has_files = TRUE;
}

void
commy_audit_heads_look (CommyAuditHeads *self, const CommyAuditLine *line)
{
  Chain *chain = self->current;

  if (G_UNLIKELY (line->sequence == chain->head.sequence))
    chain->is_other |= memcmp (line->hash, chain->head.hash, sizeof line->hash) != 0;
  if (G_LIKELY (line->texts[COMMY_AUDIT_HEAD].at == NULL))
    return;
  chain->is_promised = TRUE;
  chain->is_committed |= commy_audit_span_is (line->texts[COMMY_AUDIT_HEAD], chain->commitment);
}

void
commy_audit_heads_end (CommyAuditHeads *self, guint number, guint64 first, guint64 last)
{
  self->current->number = number;
  self->current->first = first;
  self->current->last = last;
}

void
commy_audit_heads_note_removed (CommyAuditHeads *self, const char *stem, const char *end)
{
  gsize size;
  guint number = commy_audit_file_number (stem, &size);
  g_autofree char *name = g_strndup (stem, size);
  Chain *chain = enter (self, name); /* its files may be yet to come */

  if (number < chain->removed)
    return;
  chain->removed = number;
  g_free (chain->removed_end);
  chain->removed_end = g_strdup (end);
}

void
commy_audit_heads_note_ended (CommyAuditHeads *self, const char *stem, guint64 sequence)
{
  gsize size;
  g_autofree char *name = NULL;
  Chain *chain;

  commy_audit_file_number (stem, &size);
  name = g_strndup (stem, size);
  chain = enter (self, name);
  chain->ended = MAX (chain->ended, sequence);
}

/* --- judging --- */

/* Whether all of it was removed because its time was over, and the process had nothing to record
 * since. */
static gboolean
is_removed (const Chain *chain)
{
  char hash[COMMY_AUDIT_HEX_SIZE + 1] = "";
  g_autofree char *end = NULL;

  commy_audit_to_hex (chain->head.hash, sizeof chain->head.hash, hash);
  end = g_strdup_printf ("%" G_GUINT64_FORMAT ":%.64s", chain->head.sequence, hash);
  return chain->removed_end != NULL && g_str_has_prefix (chain->removed_end, end);
}

static char *
dup_fault_of_pair (const Chain *chain, const char **out_fault, guint64 *out_record)
{
  *out_fault = COMMY_AUDIT_FAULT_HEAD;
  *out_record = chain->head.sequence;
  if (chain->ended > MAX (chain->head.sequence, chain->last) && chain->removed <= chain->number)
    {
      *out_fault = COMMY_AUDIT_FAULT_TAIL;
      *out_record = chain->last + 1;
      return g_strdup_printf ("record %" G_GUINT64_FORMAT
                              " was here when its process had died, and "
                              "the last one is %" G_GUINT64_FORMAT ": the end was taken away",
                              chain->ended, chain->last);
    }
  /* Nothing came to the disk, so nothing can be missed of it. */
  if (chain->head.sequence == 0 && chain->last == 0)
    return NULL;
  if (chain->head.sequence > chain->last)
    {
      *out_fault = COMMY_AUDIT_FAULT_TAIL;
      *out_record = chain->last + 1;
      return g_strdup_printf ("record %" G_GUINT64_FORMAT " was on the disk, and the last one here "
                              "is %" G_GUINT64_FORMAT ": the end was taken away",
                              chain->head.sequence, chain->last);
    }
  if (chain->is_other)
    return g_strdup_printf ("record %" G_GUINT64_FORMAT " is not the one that the head names: "
                            "either was changed",
                            chain->head.sequence);
  if (!chain->is_committed)
    {
      *out_fault = COMMY_AUDIT_FAULT_TAIL;
      *out_record = chain->last + 1;
      return g_strdup_printf ("the head belongs to no checkpoint that is here: the end behind "
                              "record %" G_GUINT64_FORMAT " was taken away, or the head changed",
                              chain->last);
    }
  return NULL;
}

/* (transfer full): NULL: all is well */
static char *
dup_fault (const CommyAuditHeads *self,
           const Chain *chain,
           const char *file,
           const char **out_fault,
           guint64 *out_record)
{
  CommyAuditHead again;
  guint64 known;

  *out_fault = COMMY_AUDIT_FAULT_HEAD;
  *out_record = 0;
  if (chain->state == COMMY_AUDIT_HEAD_EMPTY && !chain->has_files)
    return NULL;
  if (chain->state == COMMY_AUDIT_HEAD_BAD || chain->state == COMMY_AUDIT_HEAD_EMPTY)
    return g_strdup ("it is no head of a chain: how far that went is not known");
  /* One that is there now was made since. */
  if (chain->has_files && chain->state == COMMY_AUDIT_HEAD_NONE)
    return chain->is_promised && chain->removed != chain->number
                   && commy_audit_head_read (self->directory, file, &again, NULL)
                          == COMMY_AUDIT_HEAD_NONE
               ? g_strdup ("the head of the chain is not there: how far that went is not known")
               : NULL;
  if (chain->has_files)
    return dup_fault_of_pair (chain, out_fault, out_record);
  /* Nothing was recorded yet; or it is between two files, and the first of them is too old. One
   * that was taken away since it was read went with its chain. */
  known = chain->removed > 0 ? chain->head.sequence : MAX (chain->head.sequence, chain->ended);
  if (chain->state == COMMY_AUDIT_HEAD_NONE || known == 0 || chain->is_live || is_removed (chain)
      || commy_audit_head_read (self->directory, file, &again, NULL) == COMMY_AUDIT_HEAD_NONE)
    return NULL;
  *out_fault = COMMY_AUDIT_FAULT_TAIL;
  *out_record = 1;
  return g_strdup_printf ("%" G_GUINT64_FORMAT " records were there, and no file of the chain is "
                          "here: all of it was taken away",
                          known);
}

void
commy_audit_heads_judge (CommyAuditHeads *self, CommyAuditHeadsFunc func, gpointer data)
{
  g_autoptr (GList) names
      = g_list_sort (g_hash_table_get_keys (self->chains), (GCompareFunc) strcmp);

  for (GList *name = names; name != NULL; name = name->next)
    {
      g_autofree char *file = g_strconcat (name->data, COMMY_AUDIT_HEAD_SUFFIX, NULL);
      const char *fault = NULL;
      guint64 record = 0;
      g_autofree char *text
          = dup_fault (self, g_hash_table_lookup (self->chains, name->data), file, &fault, &record);

      if (text != NULL)
        func (data, file, fault, record, text);
    }
}
