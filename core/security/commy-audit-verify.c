/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Verifying a whole trail: every file of every chain, the names beside them, and what the chains
 * say of each other: which files were not closed, and which were removed because their time was
 * over.
 */
#include "config.h"

#include "base/commy-error-private.h"
#include "security/commy-audit-chain.h"
#include "security/commy-audit-check.h"
#include "security/commy-audit-files.h"
#include "security/commy-audit-heads.h"

#include <string.h>

#define FAULTS_MAX 1000u

/* A file that did not come to its end, or a chain whose beginning is not there. */
typedef struct
{
  char *stem;
  guint64 record;
  gsize offset;
  char hash[COMMY_AUDIT_HEX_SIZE + 1];
  gboolean is_start; /* what is missing are files before it */
} Doubt;

typedef struct
{
  const char *directory;
  CommyAuditTools tools;
  const char *file; /* that is looked at */
  CommyAuditChecker checker;
  CommyAuditHeads *heads;

  guint64 expected; /* 0: nothing is */
  guint8 expected_hash[COMMY_AUDIT_HASH_SIZE];
  gboolean is_expected_found;

  GHashTable *noted; /* stem -> SEQ:HASH of files that did not end or were removed */
  GArray *doubts;
  GVariantBuilder faults;
  guint64 n_faults;
  GPtrArray *notes;
  GVariantBuilder chains;
  guint64 n_records, n_bytes, n_names, n_erased;
} Verification;

static void
doubt_clear (gpointer data)
{
  g_free (((Doubt *) data)->stem);
}

static void
add_fault (gpointer data, const char *fault, guint64 record, guint64 offset, const char *text)
{
  Verification *self = data;
  GVariantDict dict;

  if (self->n_faults++ >= FAULTS_MAX)
    return;
  g_variant_dict_init (&dict, NULL);
  g_variant_dict_insert (&dict, "file", "s", self->file);
  g_variant_dict_insert (&dict, "fault", "s", fault);
  g_variant_dict_insert (&dict, "record", "t", record);
  g_variant_dict_insert (&dict, "offset", "t", offset);
  g_variant_dict_insert (&dict, "text", "s", text);
  g_variant_builder_add_value (&self->faults, g_variant_dict_end (&dict));
}

/* A record says where a file ended that was not closed, or was removed. */
static void
note_end (Verification *self, const CommyAuditLine *line, gboolean is_removed)
{
  g_autofree char *stem = commy_audit_span_dup (line->texts[COMMY_AUDIT_DETAILS]);
  g_autofree char *end = commy_audit_span_dup (line->texts[COMMY_AUDIT_REASON]);

  if (stem == NULL || end == NULL)
    return;
  if (is_removed)
    commy_audit_heads_note_removed (self->heads, stem, end);
  g_hash_table_insert (self->noted, g_steal_pointer (&stem), g_steal_pointer (&end));
}

static void
on_record (gpointer data, const CommyAuditLine *line)
{
  Verification *self = data;

  if (G_UNLIKELY (line->sequence == self->expected))
    self->is_expected_found |= memcmp (line->hash, self->expected_hash, sizeof line->hash) == 0;
  commy_audit_heads_look (self->heads, line);
  if (G_LIKELY (!commy_audit_span_is (line->texts[COMMY_AUDIT_TYPE], COMMY_AUDIT_TRAIL)))
    return;
  if (commy_audit_span_is (line->texts[COMMY_AUDIT_OUTCOME], COMMY_AUDIT_REMOVED))
    note_end (self, line, TRUE);
  else if (commy_audit_span_is (line->texts[COMMY_AUDIT_OUTCOME], COMMY_AUDIT_RECOVERED))
    note_end (self, line, FALSE);
}

/* --- names --- */

static void
check_name (gpointer data, const CommyAuditName *name, gsize offset, gsize size)
{
  Verification *self = data;
  g_autofree char *text = NULL;
  char commitment[COMMY_AUDIT_HEX_SIZE + 1];

  self->n_names++;
  if (name->is_erased)
    {
      self->n_erased++;
      return;
    }
  text = commy_audit_span_dup (name->text);
  commy_audit_name_commit (&self->tools, name->salt, text, commitment);
  if (strcmp (commitment, name->commitment) != 0)
    add_fault (self, COMMY_AUDIT_FAULT_NAME, 0, offset,
               "a name was changed: it is not what its commitment says");
}

static void
on_bad_name (gpointer data, gsize offset)
{
  add_fault (data, COMMY_AUDIT_FAULT_NAME, 0, offset, "a line that is no name");
}

static void
check_names (Verification *self, const char *stem, gboolean is_live)
{
  g_autofree char *name = g_strconcat (stem, COMMY_AUDIT_NAMES_SUFFIX, NULL);
  CommyAuditFile file;

  self->file = name;
  if (commy_audit_file_open (&file, self->directory, name, NULL))
    {
      self->n_bytes += file.size;
      commy_audit_names_each (&file, check_name, is_live ? NULL : on_bad_name, self);
    }
  else
    add_fault (self, COMMY_AUDIT_FAULT_NAME, 0, 0, "the file of names is not there");
  commy_audit_file_close (&file);
  self->file = NULL;
}

/* --- chains --- */

static void
add_doubt (Verification *self, const char *stem, gboolean is_start)
{
  Doubt doubt = { .stem = g_strdup (stem),
                  .record = MAX (self->checker.next, 1) - 1,
                  .offset = self->checker.size,
                  .is_start = is_start };

  commy_audit_to_hex (self->checker.hash, sizeof self->checker.hash, doubt.hash);
  g_array_append_val (self->doubts, doubt);
}

/* What is not told by the file itself may be told by another chain: so it is only noted here. */
static const char *
check_file (Verification *self, const char *name, GError **error)
{
  g_autofree char *stem = commy_audit_file_stem (name);
  gboolean is_first = self->checker.first == 0;
  const char *state = "closed";
  CommyAuditFile file;
  gsize size;

  if (!commy_audit_file_open (&file, self->directory, name, error))
    return NULL;
  self->file = name;
  commy_audit_checker_run (&self->checker, file.bytes, file.size, file.is_live);
  self->n_bytes += file.size;
  if (is_first && commy_audit_file_number (stem, &size) > 1)
    add_doubt (self, stem, TRUE);
  if (file.is_live)
    state = "running";
  else if (!self->checker.is_closed)
    {
      state = "not closed";
      add_doubt (self, stem, FALSE);
    }
  check_names (self, stem, file.is_live);
  commy_audit_file_close (&file);
  return state;
}

static void
end_chain (Verification *self, const char *name, const char *state, guint n_files, guint number)
{
  const guint64 last = self->checker.next > 0 ? self->checker.next - 1 : 0;
  char hash[COMMY_AUDIT_HEX_SIZE + 1] = "";
  GVariantDict dict;

  commy_audit_to_hex (self->checker.hash, sizeof self->checker.hash, hash);
  self->n_records += self->checker.n_records;
  if (self->checker.n_set_back > 0)
    g_ptr_array_add (self->notes,
                     g_strdup_printf ("%s: the clock was set back %" G_GUINT64_FORMAT " times",
                                      name, self->checker.n_set_back));
  commy_audit_heads_end (self->heads, number, self->checker.first, last);
  g_variant_dict_init (&dict, NULL);
  g_variant_dict_insert (&dict, "chain", "s", name);
  g_variant_dict_insert (&dict, "state", "s", state);
  g_variant_dict_insert (&dict, "hash", "s", hash);
  g_variant_dict_insert (&dict, "files", "t", (guint64) n_files);
  g_variant_dict_insert (&dict, "first", "t", self->checker.first);
  g_variant_dict_insert (&dict, "last", "t", last);
  g_variant_dict_insert (&dict, "seals", "t", self->checker.n_seals);
  g_variant_dict_insert (&dict, "unsealed", "t",
                         self->checker.n_seals > 0 ? self->checker.unsealed
                                                   : self->checker.n_records);
  g_variant_builder_add_value (&self->chains, g_variant_dict_end (&dict));
}

static gboolean
is_of_chain (const char *name, const char *chain)
{
  g_autofree char *stem = commy_audit_file_stem (name);
  gsize size;

  commy_audit_file_number (stem, &size);
  return strlen (chain) == size && memcmp (stem, chain, size) == 0;
}

/* From @from on; the index behind it, or 0 with an error. */
static guint
check_chain (Verification *self, GPtrArray *names, guint from, GError **error)
{
  static const CommyAuditCheckFuncs funcs = { add_fault, on_record, NULL };
  g_autofree char *chain = commy_audit_file_stem (names->pdata[from]);
  g_autofree char *last = NULL;
  const char *state = NULL;
  gsize size;
  guint i;

  commy_audit_file_number (chain, &size);
  chain[size] = '\0';
  commy_audit_checker_init (&self->checker, &self->tools, &funcs);
  self->checker.funcs.data = self;
  commy_audit_heads_begin (self->heads, chain);
  for (i = from; i < names->len && is_of_chain (names->pdata[i], chain); i++)
    {
      state = check_file (self, names->pdata[i], error);
      if (state == NULL)
        return 0;
    }
  last = commy_audit_file_stem (names->pdata[i - 1]);
  end_chain (self, chain, state, i - from, commy_audit_file_number (last, &size));
  return i;
}

/* --- what only the whole tells --- */

/* Whether somebody noted that the file ended there, and how much was torn. */
static void
settle_end (Verification *self, const Doubt *doubt)
{
  g_autofree char *end = g_strdup_printf ("%" G_GUINT64_FORMAT ":%s", doubt->record, doubt->hash);
  const char *noted = g_hash_table_lookup (self->noted, doubt->stem);

  if (noted == NULL)
    {
      g_autofree char *text = g_strdup_printf (
          "nothing follows record %" G_GUINT64_FORMAT " and the file was not closed: its process "
          "was killed and nobody has noted that yet, or the end was cut off",
          doubt->record);

      add_fault (self, COMMY_AUDIT_FAULT_CUT, doubt->record, doubt->offset, text);
    }
  else if (!g_str_has_prefix (noted, end))
    {
      g_autofree char *text
          = g_strdup_printf ("it ends with record %" G_GUINT64_FORMAT ", and was noted to end with "
                             "%.40s: the end was cut off or changed",
                             doubt->record, noted);

      add_fault (self, COMMY_AUDIT_FAULT_CUT, doubt->record, doubt->offset, text);
    }
  else
    g_ptr_array_add (
        self->notes,
        g_strdup_printf ("%s: its process was killed, or its disk failed, after record "
                         "%" G_GUINT64_FORMAT ", which was noted",
                         doubt->stem, doubt->record));
}

static void
settle_start (Verification *self, const Doubt *doubt)
{
  gsize size;
  guint number = commy_audit_file_number (doubt->stem, &size);
  g_autofree char *before = g_strdup_printf ("%.*s-%06u", (int) size, doubt->stem, number - 1);

  if (g_hash_table_contains (self->noted, before))
    g_ptr_array_add (self->notes, g_strdup_printf ("%s: removed when its time was over", before));
  else
    add_fault (self, COMMY_AUDIT_FAULT_MISSING, 0, 0,
               "the file before this one is not there, and nobody noted that its time was over");
}

static void
on_bad_head (gpointer data, const char *file, const char *fault, guint64 record, const char *text)
{
  Verification *self = data;

  self->file = file;
  add_fault (self, fault, record, 0, text);
}

static void
settle_doubts (Verification *self)
{
  for (guint i = 0; i < self->doubts->len; i++)
    {
      const Doubt *doubt = &g_array_index (self->doubts, Doubt, i);

      self->file = doubt->stem;
      if (doubt->is_start)
        settle_start (self, doubt);
      else
        settle_end (self, doubt);
    }
  commy_audit_heads_judge (self->heads, on_bad_head, self);
  self->file = "";
  if (self->expected != 0 && !self->is_expected_found)
    add_fault (self, COMMY_AUDIT_FAULT_EXPECTED, self->expected, 0,
               "the record that was expected is not there: the end was cut off, or all was written "
               "anew");
}

static gboolean
read_expected (Verification *self, const char *text, GError **error)
{
  const char *colon = text != NULL ? strchr (text, ':') : NULL;
  char *end = NULL;

  if (text == NULL)
    return TRUE;
  self->expected = g_ascii_strtoull (text, &end, 10);
  if (colon != NULL && end == colon && self->expected > 0
      && strlen (colon + 1) == COMMY_AUDIT_HEX_SIZE
      && commy_audit_from_hex (colon + 1, COMMY_AUDIT_HASH_SIZE, self->expected_hash))
    return TRUE;
  commy_set_error (error, COMMY_ERROR_INVALID_ARGUMENT,
                   "what is expected is SEQ:HASH, a number and 64 hex digits, as an earlier "
                   "verification told them");
  return FALSE;
}

static GVariant *
report (Verification *self, guint n_files)
{
  GVariantDict dict;

  g_variant_dict_init (&dict, NULL);
  g_variant_dict_insert (&dict, "files", "u", n_files);
  g_variant_dict_insert (&dict, "records", "t", self->n_records);
  g_variant_dict_insert (&dict, "bytes", "t", self->n_bytes);
  g_variant_dict_insert (&dict, "names", "t", self->n_names);
  g_variant_dict_insert (&dict, "erased", "t", self->n_erased);
  g_variant_dict_insert_value (&dict, "chains", g_variant_builder_end (&self->chains));
  g_variant_dict_insert_value (
      &dict, "notes",
      g_variant_new_strv ((const char *const *) self->notes->pdata, (gssize) self->notes->len));
  g_variant_dict_insert (&dict, "fault_count", "t", self->n_faults);
  g_variant_dict_insert_value (&dict, "faults", g_variant_builder_end (&self->faults));
  return g_variant_ref_sink (g_variant_dict_end (&dict));
}

GVariant *
commy_audit_verify (const char *directory,
                    const CommyAuditTools *tools,
                    const char *expect,
                    GError **error)
{
  g_autoptr (CommyAuditTools) own = commy_audit_tools_new ();
  /* First of all: behind them the chains go on. */
  g_autoptr (CommyAuditHeads) heads = commy_audit_heads_new (directory, own);
  g_autoptr (GPtrArray) names = commy_audit_list_files (directory, error);
  Verification self = { .directory = directory, .tools = *own, .heads = heads };
  GVariant *result = NULL;
  guint i = 0;

  if (names == NULL || !read_expected (&self, expect, error))
    return NULL;
  if (tools != NULL && tools->hash != NULL)
    self.tools = *tools;
  else if (tools != NULL && tools->check_seal != NULL)
    {
      commy_set_error (error, COMMY_ERROR_INVALID_ARGUMENT,
                       "tools that judge seals bring a hash function, too");
      return NULL;
    }
  g_variant_builder_init (&self.faults, G_VARIANT_TYPE ("aa{sv}"));
  g_variant_builder_init (&self.chains, G_VARIANT_TYPE ("aa{sv}"));
  self.noted = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  self.doubts = g_array_new (FALSE, FALSE, sizeof (Doubt));
  g_array_set_clear_func (self.doubts, doubt_clear);
  self.notes = g_ptr_array_new_with_free_func (g_free);
  do
    i = names->len > 0 ? check_chain (&self, names, i, error) : 0;
  while (i > 0 && i < names->len);
  if (i == names->len)
    {
      settle_doubts (&self);
      result = report (&self, names->len);
    }
  g_variant_builder_clear (&self.faults);
  g_variant_builder_clear (&self.chains);
  g_ptr_array_unref (self.notes);
  g_array_unref (self.doubts);
  g_hash_table_unref (self.noted);
  return result;
}
