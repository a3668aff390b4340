/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Whether the files of a chain are whole, and if not, which record is what. Pure: takes bytes,
 * which may be anything.
 */
#pragma once

#include "security/commy-audit-record.h"

/* Words for what may be wrong. */
#define COMMY_AUDIT_FAULT_CHANGED "changed"
#define COMMY_AUDIT_FAULT_MISSING "missing"
#define COMMY_AUDIT_FAULT_SWAPPED "swapped"
#define COMMY_AUDIT_FAULT_REPEATED "repeated"
#define COMMY_AUDIT_FAULT_ILLEGIBLE "illegible"
#define COMMY_AUDIT_FAULT_TORN "torn"
#define COMMY_AUDIT_FAULT_CUT "truncated"
#define COMMY_AUDIT_FAULT_SEAL "seal"
#define COMMY_AUDIT_FAULT_NAME "name"
#define COMMY_AUDIT_FAULT_EXPECTED "expected"
#define COMMY_AUDIT_FAULT_TAIL "tail missing"
#define COMMY_AUDIT_FAULT_HEAD "head"
#define COMMY_AUDIT_FAULT_NOTE "note"

typedef struct _CommyAuditChecker CommyAuditChecker;

typedef struct
{
  /* @record: its number, or that of the first it is about; @offset: in the file. */
  void (*fault) (
      gpointer data, const char *fault, guint64 record, guint64 offset, const char *text);
  /* Every record that is legible and in its place. */
  void (*record) (gpointer data, const CommyAuditLine *line);
  gpointer data;
} CommyAuditCheckFuncs;

struct _CommyAuditChecker
{
  const CommyAuditTools *tools;
  CommyAuditCheckFuncs funcs;

  /* the chain, from file to file */
  guint64 first; /* number of the first record; 0: none yet */
  guint64 next;
  guint8 hash[COMMY_AUDIT_HASH_SIZE];     /* of the record before */
  gboolean has_hash;                      /* FALSE: it could not be read */
  guint8 computed[COMMY_AUDIT_HASH_SIZE]; /* if that record did not fit: what its hash should be */
  gboolean has_computed;
  guint64 n_records;
  guint64 n_seals;
  guint64 n_set_back; /* the wall clock was */
  guint64 n_unsynced; /* records that are not there, as was noted when the disk failed */

  /* the file */
  const char *bytes;
  gsize size;
  char time[COMMY_AUDIT_TIME_SIZE]; /* of the youngest record, on both clocks */
  gint64 boot_ns;
  gboolean is_live;
  gboolean is_closed;
  gboolean seal_follows; /* and is to be sealed */
  gboolean is_sealed;
  gboolean is_seal_good; /* of its last seal, or nobody judges */
  gsize torn;            /* bytes behind its last whole line */
  guint64 unsealed;      /* records behind its last seal */
  guint8 last_seal[COMMY_AUDIT_HASH_SIZE];
  guint8 seal[COMMY_AUDIT_TEXT_MAX / 2];
  gsize seal_size;
};

void commy_audit_checker_init (CommyAuditChecker *checker,
                               const CommyAuditTools *tools,
                               const CommyAuditCheckFuncs *funcs);
/* The next file of the chain. @is_live: it is being written, and may end anywhere. Afterwards
 * is_closed tells whether it came to its end, and torn how many bytes stand behind its last line;
 * that it did not, or some do, is no fault yet. */
void commy_audit_checker_run (CommyAuditChecker *checker,
                              const char *bytes,
                              gsize size,
                              gboolean is_live);
