/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Texts of notes and rules, both ways. A text is read by writing again what was found in it: what
 * comes out otherwise is none.
 */
#include "config.h"

#include "security/commy-audit-note.h"

#include <string.h>

static const char *const causes[]
    = { [COMMY_AUDIT_BY_AGE] = "age", [COMMY_AUDIT_BY_SIZE] = "size" };

gboolean
commy_audit_note_is_removal (const CommyAuditNote *note)
{
  return note->cause != COMMY_AUDIT_STAYS;
}

char *
commy_audit_note_dup (const CommyAuditNote *note)
{
  GString *text = g_string_new (NULL);
  char time[COMMY_AUDIT_TIME_SIZE + 1];

  g_string_append_printf (text, "%" G_GUINT64_FORMAT ":%.64s", note->sequence, note->hash);
  if (note->torn > 0)
    g_string_append_printf (text, " torn %" G_GUINT64_FORMAT, note->torn);
  if (!commy_audit_note_is_removal (note))
    return g_string_free (text, FALSE);
  commy_audit_time_write (note->last_us, time);
  g_string_append_printf (text, " of %s by %s", time, causes[note->cause]);
  return g_string_free (text, FALSE);
}

static gboolean
take_word (const char **at, const char *word)
{
  if (!g_str_has_prefix (*at, word))
    return FALSE;
  *at += strlen (word);
  return TRUE;
}

static guint64
take_number (const char **at)
{
  char *end = NULL;
  guint64 number = g_ascii_strtoull (*at, &end, 10);

  *at = end;
  return number;
}

static gboolean
take_cause (const char **at, CommyAuditNote *note)
{
  if (strlen (*at) < COMMY_AUDIT_TIME_SIZE || !commy_audit_time_parse (*at, &note->last_us))
    return FALSE;
  *at += COMMY_AUDIT_TIME_SIZE;
  if (!take_word (at, " by "))
    return FALSE;
  for (guint i = COMMY_AUDIT_BY_AGE; i < G_N_ELEMENTS (causes); i++)
    if (strcmp (*at, causes[i]) == 0)
      note->cause = (CommyAuditCause) i;
  return commy_audit_note_is_removal (note);
}

gboolean
commy_audit_note_parse (const char *text, CommyAuditNote *out_note)
{
  g_autofree char *again = NULL;
  guint8 hash[COMMY_AUDIT_HASH_SIZE];
  const char *at = text;

  *out_note = (CommyAuditNote){ .sequence = take_number (&at) };
  if (!take_word (&at, ":") || strlen (at) < COMMY_AUDIT_HEX_SIZE
      || !commy_audit_from_hex (at, sizeof hash, hash))
    return FALSE;
  memcpy (out_note->hash, at, COMMY_AUDIT_HEX_SIZE);
  at += COMMY_AUDIT_HEX_SIZE;
  if (take_word (&at, " torn "))
    out_note->torn = take_number (&at);
  if (take_word (&at, " of ") && !take_cause (&at, out_note))
    return FALSE;
  again = commy_audit_note_dup (out_note);
  return strcmp (again, text) == 0;
}

/* --- rules --- */

#define RETENTION "retention "
#define TOTAL " us, max-total-size "
#define AFTER_SEAL ", behind a seal"

char *
commy_audit_rules_dup (const CommyAuditRules *rules)
{
  return g_strdup_printf (RETENTION "%" G_GUINT64_FORMAT TOTAL "%" G_GUINT64_FORMAT "%s",
                          (guint64) MAX (rules->retention_us, 0), rules->max_total_size,
                          rules->after_seal ? AFTER_SEAL : "");
}

gboolean
commy_audit_rules_parse (const char *text, CommyAuditRules *out_rules)
{
  g_autofree char *again = NULL;
  const char *at = text;
  guint64 retention;

  memset (out_rules, 0, sizeof *out_rules);
  if (!take_word (&at, RETENTION))
    return FALSE;
  retention = take_number (&at);
  if (retention > G_MAXINT64 || !take_word (&at, TOTAL))
    return FALSE;
  out_rules->retention_us = (gint64) retention;
  out_rules->max_total_size = take_number (&at);
  out_rules->after_seal = take_word (&at, AFTER_SEAL);
  again = commy_audit_rules_dup (out_rules);
  return strcmp (again, text) == 0;
}

const char *
commy_audit_note_why_not (const CommyAuditNote *note, const CommyAuditRules *rules, gint64 noted_us)
{
  if (!commy_audit_note_is_removal (note))
    return "it does not say why";
  if (rules == NULL)
    return "its chain does not say how it keeps files";
  if (note->cause == COMMY_AUDIT_BY_SIZE)
    return rules->max_total_size > 0 ? NULL : "its chain had no limit for the size of all";
  if (rules->retention_us == 0)
    return "its chain kept files for ever";
  return noted_us - note->last_us > rules->retention_us ? NULL : "its time was not over";
}
