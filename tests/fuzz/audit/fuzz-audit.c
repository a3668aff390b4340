/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files of an audit trail, of records, of names and heads: nothing in them leads a reader astray,
 * and what it takes for a text is one.
 */
#include "config.h"

#include "security/commy-audit-check.h"
#include "security/commy-audit-head.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static void
check (gboolean ok)
{
  if (!ok)
    abort ();
}

/* Cheap, and good enough to be missed by chance no more than a checksum is. */
static void
hash (gconstpointer bytes, gsize size, guint8 *out_hash, gpointer data)
{
  const guint8 *at = bytes;
  guint64 state = G_GUINT64_CONSTANT (14695981039346656037);

  for (gsize i = 0; i < size; i++)
    state = (state ^ at[i]) * G_GUINT64_CONSTANT (1099511628211);
  for (guint i = 0; i < COMMY_AUDIT_HASH_SIZE; i++)
    out_hash[i] = (guint8) (state >> (i % 8 * 8)) & 0x11; /* few, so that the fuzzer meets them */
}

static gboolean
check_seal (gconstpointer before,
            gsize before_size,
            gconstpointer bytes,
            gsize size,
            gconstpointer seal,
            gsize seal_size,
            gpointer data,
            GError **error)
{
  check (before_size <= COMMY_AUDIT_TEXT_MAX / 2 && seal_size <= COMMY_AUDIT_TEXT_MAX / 2);
  return seal_size > 0;
}

/* --- records --- */

static void
on_fault (gpointer data, const char *fault, guint64 record, guint64 offset, const char *text)
{
  gsize *size = data;

  check (offset <= *size && g_utf8_validate (text, -1, NULL) && fault != NULL);
}

static void
on_record (gpointer data, const CommyAuditLine *line)
{
  CommyAuditRecord record
      = { .sequence = line->sequence, .boot_ns = line->boot_ns, .count = line->count };
  char out[COMMY_AUDIT_LINE_MAX];
  gsize at;

  for (guint i = 0; i < COMMY_AUDIT_N_TEXTS; i++)
    record.texts[i] = commy_audit_span_dup (line->texts[i]);
  /* But for the time and for texts that are none, which come out as others. */
  at = commy_audit_record_write (&record, out);
  check (at < COMMY_AUDIT_LINE_MAX);
  for (guint i = 0; i < COMMY_AUDIT_N_TEXTS; i++)
    {
      check (record.texts[i] == NULL || g_utf8_validate (record.texts[i], -1, NULL));
      g_free ((char *) record.texts[i]);
    }
}

static void
try_records (const char *text, gsize size)
{
  const CommyAuditTools tools = { sizeof tools, hash, check_seal, NULL };
  const CommyAuditCheckFuncs funcs = { on_fault, on_record, &size };
  CommyAuditChecker checker;
  gsize half = size / 2;

  commy_audit_checker_init (&checker, &tools, &funcs);
  commy_audit_checker_run (&checker, text, size, FALSE);
  commy_audit_checker_run (&checker, text, size, TRUE); /* a second file of the chain */
  commy_audit_checker_init (&checker, &tools, &funcs);
  commy_audit_checker_run (&checker, text, half, TRUE);
  commy_audit_checker_run (&checker, text + half, size - half, FALSE);
}

/* --- names --- */

static void
try_name (const char *text, gsize size)
{
  CommyAuditName name;
  char out[COMMY_AUDIT_NAME_LINE_MAX];
  g_autofree char *who = NULL;
  g_autofree char *bounded = NULL;
  gsize written;

  if (!commy_audit_name_parse (text, size, &name) || name.is_erased)
    return;
  who = commy_audit_span_dup (name.text);
  check (g_utf8_validate (who, -1, NULL));
  bounded = commy_audit_name_dup (who);
  written = commy_audit_name_write (name.commitment, name.salt, bounded, out);
  check (written <= sizeof out);
  check (commy_audit_name_parse (out, written - 1, &name));
  check (commy_audit_name_mentions (bounded, bounded) == (bounded[0] != '\0'));
  commy_audit_name_erase (out, written - 1);
  check (commy_audit_name_parse (out, written - 1, &name) && name.is_erased);
}

/* --- heads --- */

static void
try_head (const char *text, gsize size)
{
  CommyAuditHead head;
  char out[COMMY_AUDIT_HEAD_SIZE];

  if (!commy_audit_head_parse (text, size, &head))
    return;
  check (size == sizeof out);
  commy_audit_head_write (&head, out);
  check (memcmp (out, text, sizeof out) == 0);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  if (size == 0)
    return 0;
  if (data[0] == 'n')
    try_name ((const char *) data + 1, size - 1);
  else if (data[0] == 'h')
    try_head ((const char *) data + 1, size - 1);
  else
    try_records ((const char *) data + 1, size - 1);
  return 0;
}
