/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files, notes about files, and what becomes of both together. Whoever can write the folder can
 * write notes, but not under a seal of the past: so it is told of each whether it stands under one.
 */
#include "config.h"

#include "security/commy-audit-ends.h"

#include "security/commy-audit-files.h"
#include "security/commy-audit-note.h"
#include "security/commy-audit-tail.h"

#include <string.h>

typedef struct
{
  char *stem;  /* whom it is about */
  char *chain; /* whose it is */
  CommyAuditNote note;
  const char *why_not; /* it does not excuse that the file is gone; NULL: it may */
  gboolean is_sealed;
  guint64 record; /* in its chain */
} Claim;

typedef struct
{
  char *stem;
  guint64 sequence; /* of its last record; 0: it has none */
  char hash[COMMY_AUDIT_HEX_SIZE + 1];
  guint64 next; /* record that would come */
  gsize size;
  gsize torn;
  gboolean is_live;
  gboolean is_closed;
  gboolean has_seal; /* some of it was sealed, whatever came behind */

  gboolean is_first; /* of those that its chain has here */
  guint64 n_records;
  CommyAuditStart start;
} File;

struct _CommyAuditEnds
{
  GPtrArray *files;   /* File */
  GHashTable *stems;  /* stem -> File of the above */
  GPtrArray *claims;  /* Claim, in the order in which they were read */
  GHashTable *abouts; /* stem -> GPtrArray of Claim of the above */

  char *chain;
  guint unsealed; /* the first of the chain's claims that no seal is behind */
  File *file;     /* that is read */
};

static void
claim_free (gpointer data)
{
  Claim *claim = data;

  g_free (claim->stem);
  g_free (claim->chain);
  g_free (claim);
}

static void
file_free (gpointer data)
{
  File *file = data;

  g_free (file->stem);
  g_free (file);
}

CommyAuditEnds *
commy_audit_ends_new (void)
{
  CommyAuditEnds *self = g_new0 (CommyAuditEnds, 1);

  self->files = g_ptr_array_new_with_free_func (file_free);
  self->stems = g_hash_table_new (g_str_hash, g_str_equal);
  self->claims = g_ptr_array_new_with_free_func (claim_free);
  self->abouts
      = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, (GDestroyNotify) g_ptr_array_unref);
  return self;
}

void
commy_audit_ends_free (CommyAuditEnds *self)
{
  if (self == NULL)
    return;
  g_hash_table_unref (self->abouts);
  g_hash_table_unref (self->stems);
  g_ptr_array_unref (self->claims);
  g_ptr_array_unref (self->files);
  g_free (self->chain);
  g_free (self);
}

/* --- while they are read --- */

void
commy_audit_ends_begin_chain (CommyAuditEnds *self, const char *chain)
{
  g_free (self->chain);
  self->chain = g_strdup (chain);
  self->file = NULL;
  self->unsealed = self->claims->len;
}

void
commy_audit_ends_begin_file (CommyAuditEnds *self, const char *stem)
{
  File *file = g_new0 (File, 1);

  file->stem = g_strdup (stem);
  file->is_first = self->file == NULL;
  memset (file->hash, '0', COMMY_AUDIT_HEX_SIZE);
  g_ptr_array_add (self->files, file);
  g_hash_table_insert (self->stems, file->stem, file);
  self->file = file;
}

static void
add_claim (CommyAuditEnds *self, const CommyAuditLine *line, gboolean is_removal)
{
  g_autofree char *stem = commy_audit_span_dup (line->texts[COMMY_AUDIT_DETAILS]);
  g_autofree char *text = commy_audit_span_dup (line->texts[COMMY_AUDIT_REASON]);
  const CommyAuditStart *start = &self->file->start;
  CommyAuditNote note;
  GPtrArray *about;
  gint64 noted_us;
  Claim *claim;

  if (stem == NULL || text == NULL || !commy_audit_note_parse (text, &note)
      || commy_audit_note_is_removal (&note) != is_removal
      || !commy_audit_time_parse (line->time, &noted_us))
    return;
  claim = g_new0 (Claim, 1);
  claim->stem = g_steal_pointer (&stem);
  claim->chain = g_strdup (self->chain);
  claim->note = note;
  claim->record = line->sequence;
  claim->why_not
      = commy_audit_note_why_not (&note, start->has_rules ? &start->rules : NULL, noted_us);
  g_ptr_array_add (self->claims, claim);
  about = g_hash_table_lookup (self->abouts, claim->stem);
  if (about == NULL)
    {
      about = g_ptr_array_new ();
      g_hash_table_insert (self->abouts, claim->stem, about);
    }
  g_ptr_array_add (about, claim);
}

void
commy_audit_ends_look (CommyAuditEnds *self,
                       const CommyAuditChecker *checker,
                       const CommyAuditLine *line)
{
  const CommyAuditSpan outcome = line->texts[COMMY_AUDIT_OUTCOME];

  self->file->n_records++;
  commy_audit_start_take (&self->file->start, line);
  if (G_LIKELY (!commy_audit_span_is (line->texts[COMMY_AUDIT_TYPE], COMMY_AUDIT_TRAIL)))
    return;
  if (commy_audit_span_is (outcome, COMMY_AUDIT_REMOVED))
    add_claim (self, line, TRUE);
  else if (commy_audit_span_is (outcome, COMMY_AUDIT_RECOVERED))
    add_claim (self, line, FALSE);
  else if (commy_audit_span_is (outcome, COMMY_AUDIT_CHECKPOINT))
    {
      self->file->has_seal |= line->texts[COMMY_AUDIT_SEAL].at != NULL;
      for (; checker->is_seal_good && self->unsealed < self->claims->len; self->unsealed++)
        ((Claim *) self->claims->pdata[self->unsealed])->is_sealed = TRUE;
    }
}

void
commy_audit_ends_end_file (CommyAuditEnds *self, const CommyAuditChecker *checker)
{
  File *file = self->file;

  file->next = checker->next;
  file->size = checker->size;
  file->torn = checker->torn;
  file->is_live = checker->is_live;
  file->is_closed = checker->is_closed;
  if (file->n_records == 0)
    return;
  file->sequence = checker->next - 1;
  commy_audit_to_hex (checker->hash, sizeof checker->hash, file->hash);
}

/* --- when all was read --- */

static gboolean
agrees (const Claim *claim, const File *file)
{
  return claim->note.sequence == file->sequence && strcmp (claim->note.hash, file->hash) == 0;
}

static const Claim *
find_wrong (const GPtrArray *about, const File *file)
{
  for (guint i = 0; about != NULL && i < about->len; i++)
    if (!agrees (about->pdata[i], file))
      return about->pdata[i];
  return NULL;
}

static void G_GNUC_PRINTF (6, 7) tell (const CommyAuditEndsFuncs *funcs,
                                       const char *file,
                                       const char *fault,
                                       guint64 record,
                                       guint64 offset,
                                       const char *format,
                                       ...)
{
  g_autofree char *text = NULL;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  funcs->fault (funcs->data, file, fault, record, offset, text);
}

/* Bytes of a record that was being written when its process was killed: unless nobody noted them.
 */
static void
judge_torn (const GPtrArray *about, const File *file, const CommyAuditEndsFuncs *funcs)
{
  for (guint i = 0; about != NULL && i < about->len; i++)
    if (((const Claim *) about->pdata[i])->note.torn == file->torn)
      {
        funcs->note (funcs->data, g_strdup_printf ("%s: the last %" G_GSIZE_FORMAT
                                                   " bytes are no whole record, which was noted",
                                                   file->stem, file->torn));
        return;
      }
  tell (funcs, file->stem, COMMY_AUDIT_FAULT_TORN, file->next, file->size - file->torn,
        "%" G_GSIZE_FORMAT " bytes at the end are no whole record", file->torn);
}

/* Whether the file behind it says that the disk failed, which may have lost as much of this one. */
static gboolean
is_lost_by_disk (const CommyAuditEnds *self, const File *file)
{
  gsize size;
  guint number = commy_audit_file_number (file->stem, &size);
  g_autofree char *next = g_strdup_printf ("%.*s-%06u", (int) size, file->stem, number + 1);

  const File *behind = g_hash_table_lookup (self->stems, next);

  return behind != NULL && behind->start.gap > 0 && file->sequence + 1 < behind->start.sequence
         && commy_audit_start_follows (&behind->start, file->sequence, file->hash);
}

static void
judge_end (const CommyAuditEnds *self, const File *file, const CommyAuditEndsFuncs *funcs)
{
  const GPtrArray *about = g_hash_table_lookup (self->abouts, file->stem);
  const Claim *wrong = find_wrong (about, file);
  const gboolean is_lost = is_lost_by_disk (self, file);

  /* It was noted as it was before power was lost. */
  if (is_lost)
    wrong = NULL;

  if (file->torn > 0 && !is_lost)
    judge_torn (about, file, funcs);
  if (wrong != NULL)
    tell (funcs, file->stem, file->is_closed ? COMMY_AUDIT_FAULT_NOTE : COMMY_AUDIT_FAULT_CUT,
          file->sequence, file->size,
          "it ends with record %" G_GUINT64_FORMAT
          ", and %s noted that it ends with %" G_GUINT64_FORMAT
          ":%s: the end was cut off or changed, or the note was",
          file->sequence, wrong->chain, wrong->note.sequence, wrong->note.hash);
  else if (!file->is_closed && about == NULL)
    tell (funcs, file->stem, COMMY_AUDIT_FAULT_CUT, file->sequence, file->size,
          "nothing follows record %" G_GUINT64_FORMAT
          " and the file was not closed: its process was killed and nobody has noted that yet, or "
          "the end was cut off",
          file->sequence);
  else if (!file->is_closed)
    funcs->note (funcs->data,
                 g_strdup_printf ("%s: its process was killed, or its disk failed, after record "
                                  "%" G_GUINT64_FORMAT ", which was noted",
                                  file->stem, file->sequence));
}

/* Why the file before this one may be gone: NULL, or why not. */
static const char *
why_not_before (const Claim *claim, const File *file)
{
  if (claim->why_not != NULL)
    return claim->why_not;
  if (!commy_audit_start_follows (&file->start, claim->note.sequence, claim->note.hash))
    return "this file does not go on where it says that the other one ended";
  if (file->start.rules.after_seal && !claim->is_sealed)
    return "nobody sealed it, and the file was sealed";
  return NULL;
}

static void
judge_start (CommyAuditEnds *self, const File *file, const CommyAuditEndsFuncs *funcs)
{
  gsize size;
  guint number = commy_audit_file_number (file->stem, &size);
  g_autofree char *before
      = g_strdup_printf ("%.*s-%06u", (int) size, file->stem, MAX (number, 1) - 1);
  const GPtrArray *about = g_hash_table_lookup (self->abouts, before);
  const char *why_not = NULL;

  if (number <= 1 && file->start.sequence > 1)
    tell (funcs, file->stem, COMMY_AUDIT_FAULT_MISSING, 0, 0,
          "it is called the first file of its chain and begins with record %" G_GUINT64_FORMAT
          ": those before it were taken away",
          file->start.sequence);
  if (number <= 1)
    return;
  for (guint i = 0; about != NULL && i < about->len; i++)
    {
      const Claim *claim = about->pdata[i];

      why_not = why_not_before (claim, file);
      if (why_not != NULL)
        continue;
      funcs->note (
          funcs->data,
          g_strdup_printf ("%s: removed %s%s", before,
                           claim->note.cause == COMMY_AUDIT_BY_AGE ? "when its time was over"
                                                                   : "to keep the size of all",
                           claim->is_sealed ? "" : ", as a note claims that no seal is behind"));
      return;
    }
  if (why_not != NULL)
    tell (funcs, file->stem, COMMY_AUDIT_FAULT_MISSING, 0, 0,
          "the file before this one is not there, and the note about it excuses nothing: %s",
          why_not);
  else
    tell (funcs, file->stem, COMMY_AUDIT_FAULT_MISSING, 0, 0,
          "the file before this one is not there, and nobody noted that its time was over");
}

/* A removal; what is there, or noted under no seal though it was sealed, excuses no head. */
static void
judge_removal (CommyAuditEnds *self,
               const Claim *claim,
               CommyAuditHeads *heads,
               const CommyAuditEndsFuncs *funcs)
{
  const File *file = g_hash_table_lookup (self->stems, claim->stem);

  if (file != NULL
      && (!agrees (claim, file)
          || ((file->has_seal || file->start.rules.after_seal) && !claim->is_sealed)))
    return;
  if (claim->why_not == NULL)
    {
      g_autofree char *end = commy_audit_note_dup (&claim->note);

      commy_audit_heads_note_removed (heads, claim->stem, end);
    }
  else
    tell (funcs, claim->chain, COMMY_AUDIT_FAULT_NOTE, claim->record, 0,
          "record %" G_GUINT64_FORMAT " says that %s was removed, which it could not be: %s",
          claim->record, claim->stem, claim->why_not);
}

static void
count (const Claim *claim, CommyAuditEndsCount *count)
{
  if (commy_audit_note_is_removal (&claim->note))
    {
      count->removals++;
      count->removals_claimed += !claim->is_sealed;
    }
  else
    {
      count->ends++;
      count->ends_claimed += !claim->is_sealed;
    }
}

void
commy_audit_ends_judge (CommyAuditEnds *self,
                        CommyAuditHeads *heads,
                        const CommyAuditEndsFuncs *funcs,
                        CommyAuditEndsCount *out_count)
{
  memset (out_count, 0, sizeof *out_count);
  for (guint i = 0; i < self->files->len; i++)
    {
      const File *file = self->files->pdata[i];

      if (file->is_first)
        judge_start (self, file, funcs);
      if (!file->is_live)
        judge_end (self, file, funcs);
    }
  for (guint i = 0; i < self->claims->len; i++)
    {
      const Claim *claim = self->claims->pdata[i];

      count (claim, out_count);
      if (commy_audit_note_is_removal (&claim->note))
        judge_removal (self, claim, heads, funcs);
      else if (!g_hash_table_contains (self->stems, claim->stem))
        commy_audit_heads_note_ended (heads, claim->stem, claim->note.sequence);
    }
}
