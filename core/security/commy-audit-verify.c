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
#include "security/commy-audit-ends.h"
#include "security/commy-audit-files.h"
#include "security/commy-audit-heads.h"

#include <string.h>

#define FAULTS_MAX 1000u

typedef struct
{
  const char *directory;
  CommyAuditTools tools;
  const char *file; /* that is looked at */
  const CommyAuditFile *names;
  CommyAuditChecker checker;
  CommyAuditHeads *heads;

  guint64 expected; /* 0: nothing is */
  guint8 expected_hash[COMMY_AUDIT_HASH_SIZE];
  gboolean is_expected_found;

  CommyAuditEnds *ends;
  CommyAuditEndsCount noted;
  GVariantBuilder faults;
  guint64 n_faults;
  GPtrArray *notes;
  GVariantBuilder chains;
  guint64 n_records, n_bytes, n_names, n_erased;
} Verification;

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

static void
on_record (gpointer data, const CommyAuditLine *line)
{
  Verification *self = data;

  if (G_UNLIKELY (line->sequence == self->expected))
    self->is_expected_found |= memcmp (line->hash, self->expected_hash, sizeof line->hash) == 0;
  commy_audit_heads_look (self->heads, line);
  commy_audit_ends_look (self->ends, &self->checker, line);
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

/* The last one of a file that nobody closed may have been being written. */
static void
on_bad_name (gpointer data, gsize offset)
{
  Verification *self = data;
  const CommyAuditFile *file = self->names;

  if (self->checker.is_closed || memchr (file->bytes + offset, '\n', file->size - offset) != NULL)
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
      self->names = &file;
      commy_audit_names_each (&file, check_name, is_live ? NULL : on_bad_name, self);
    }
  else
    add_fault (self, COMMY_AUDIT_FAULT_NAME, 0, 0, "the file of names is not there");
  commy_audit_file_close (&file);
  self->file = NULL;
  self->names = NULL;
}

/* --- chains --- */

/* What is not told by the file itself may be told by another chain: so it is only noted here. */
static const char *
check_file (Verification *self, const char *name, GError **error)
{
  g_autofree char *stem = commy_audit_file_stem (name);
  const char *state = "closed";
  CommyAuditFile file;

  if (!commy_audit_file_open (&file, self->directory, name, error))
    return NULL;
  self->file = name;
  commy_audit_ends_begin_file (self->ends, stem);
  commy_audit_checker_run (&self->checker, file.bytes, file.size, file.is_live);
  commy_audit_ends_end_file (self->ends, &self->checker);
  self->n_bytes += file.size;
  if (file.is_live)
    state = "running";
  else if (!self->checker.is_closed)
    state = "not closed";
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
  if (self->checker.n_unsynced > 0)
    g_ptr_array_add (self->notes,
                     g_strdup_printf ("%s: %" G_GUINT64_FORMAT
                                      " records did not reach the disk, which was noted",
                                      name, self->checker.n_unsynced));
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
  commy_audit_ends_begin_chain (self->ends, chain);
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

static void
on_bad_end (gpointer data,
            const char *file,
            const char *fault,
            guint64 record,
            guint64 offset,
            const char *text)
{
  Verification *self = data;

  self->file = file;
  add_fault (self, fault, record, offset, text);
}

static void
on_note (gpointer data, char *text)
{
  Verification *self = data;

  g_ptr_array_add (self->notes, text);
}

static void
on_bad_head (gpointer data, const char *file, const char *fault, guint64 record, const char *text)
{
  Verification *self = data;

  self->file = file;
  add_fault (self, fault, record, 0, text);
}

static void
settle (Verification *self)
{
  const CommyAuditEndsFuncs funcs = { on_bad_end, on_note, self };

  commy_audit_ends_judge (self->ends, self->heads, &funcs, &self->noted);
  /* Seals that nobody judges may be anything. */
  if (self->tools.check_seal == NULL)
    {
      self->noted.removals_claimed = self->noted.removals;
      self->noted.ends_claimed = self->noted.ends;
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
  g_variant_dict_insert (&dict, "removals", "t", self->noted.removals);
  g_variant_dict_insert (&dict, "removals_claimed", "t", self->noted.removals_claimed);
  g_variant_dict_insert (&dict, "ends", "t", self->noted.ends);
  g_variant_dict_insert (&dict, "ends_claimed", "t", self->noted.ends_claimed);
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
  g_autoptr (CommyAuditEnds) ends = commy_audit_ends_new ();
  Verification self = { .directory = directory, .tools = *own, .heads = heads, .ends = ends };
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
  self.notes = g_ptr_array_new_with_free_func (g_free);
  do
    i = names->len > 0 ? check_chain (&self, names, i, error) : 0;
  while (i > 0 && i < names->len);
  if (i == names->len)
    {
      settle (&self);
      result = report (&self, names->len);
    }
  g_variant_builder_clear (&self.faults);
  g_variant_builder_clear (&self.chains);
  g_ptr_array_unref (self.notes);
  return result;
}
