/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The files that one process writes its audit trail to: each line chained to the one before, across
 * files; seals; rotation; what earlier processes left unfinished. One thread at a time. What was
 * added stays until the disk has taken it: a full disk costs nothing that was added before.
 */
#pragma once

#include "base/commy-env.h"
#include "security/commy-audit-record.h"

#include <commy/commy-auth.h>

#define COMMY_AUDIT_SUFFIX ".audit"
#define COMMY_AUDIT_LIVE_SUFFIX ".audit.open"
#define COMMY_AUDIT_NAMES_SUFFIX ".names"
#define COMMY_AUDIT_NAMES_MAX 4096u  /* names that are remembered */
#define COMMY_AUDIT_SEAL_EVERY 1000u /* records */
#define COMMY_AUDIT_SEAL_NS (10 * G_GINT64_CONSTANT (1000000000))
#define COMMY_AUDIT_SYNC_NS G_GINT64_CONSTANT (1000000000)

typedef struct _CommyAuditChain CommyAuditChain;

typedef struct
{
  const char *directory;
  const char *mesh;
  const char *node;
  const CommyEnv *env; /* for salts and names */
  gsize max_file_size;
  gsize max_total_size; /* of all files, two at least; 0: no limit */
  gint64 retention_us;  /* of closed files; 0: for ever */
  /* Signs; FALSE: nobody can. @first: of its file. Or NULL. */
  gboolean (*seal) (gpointer data,
                    gboolean first,
                    gconstpointer bytes,
                    gsize size,
                    guint8 *out_seal,
                    gsize *out_size);
  gpointer seal_data;
  /* Of files, and of the folder; NULL: fdatasync(), and fsync() */
  int (*sync) (gpointer data, int fd);
  gpointer sync_data;
} CommyAuditChainSetup;

/* Copies what it needs but @seal_data and @sync_data. The folder is made, mode 0700, and a file
 * begun with the first record. */
CommyAuditChain *commy_audit_chain_new (const CommyAuditChainSetup *setup, gint64 wall_us);
/* What was not written is lost: commy_audit_chain_close() first. */
void commy_audit_chain_free (CommyAuditChain *chain);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyAuditChain, commy_audit_chain_free)

/* Gives it the next number. In memory: a successful flush must have come since one failed. */
void commy_audit_chain_add (CommyAuditChain *chain, const CommyAuditRecord *record);
/* Of the file that is written, from 1. */
guint commy_audit_chain_get_number (const CommyAuditChain *chain);
/* Bytes that wait for a flush. */
gsize commy_audit_chain_get_pending (const CommyAuditChain *chain);
/* Writes them; seals, syncs, begins another file where that is due. @durable: syncs in any case, so
 * that success means that all of it is on the disk; else that is up to COMMY_AUDIT_SYNC_NS later.
 * On failure nothing is lost that was not written; of what was written and then not synced nobody
 * knows, and the next flush begins another file, with a gap of as many records. */
gboolean commy_audit_chain_flush (
    CommyAuditChain *chain, gint64 wall_us, gint64 boot_ns, gboolean durable, GError **error);
/* The last seal and the closing record. */
gboolean
commy_audit_chain_close (CommyAuditChain *chain, gint64 wall_us, gint64 boot_ns, GError **error);

/* Adds records about files that their process did not close, or whose time is over, and deals
 * with them once these are written: closed ones that are older than the retention, and the oldest
 * of those that are too many, are removed. */
gboolean
commy_audit_chain_tidy (CommyAuditChain *chain, gint64 wall_us, gint64 boot_ns, GError **error);
