/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a chain is made of: for who writes it (commy-audit-chain.c), and who looks after the folder
 * that it shares with others (commy-audit-tidy.c).
 */
#pragma once

#include "security/commy-audit-chain.h"
#include "security/commy-audit-head.h"

struct _CommyAuditChain
{
  CommyAuditChainSetup setup;
  CommyAuditTools *tools;
  int dir_fd;
  char *name; /* of the chain; files are called NAME-000001 and so on */

  guint64 sequence; /* of the last record */
  guint8 hash[COMMY_AUDIT_HASH_SIZE];

  CommyAuditHead head; /* as it is to be with the next sync, but for number and hash */
  char commitment[COMMY_AUDIT_HEX_SIZE + 1]; /* to its secret */
  int head_fd;                               /* -1: not made yet */

  /* the file that is written */
  guint number;
  gboolean is_begun;  /* its first record was made */
  gboolean is_ending; /* its last record was made */
  int fd;             /* -1: not open yet */
  int names_fd;
  gsize size;                              /* bytes made for it and its names, written or not */
  GHashTable *names;                       /* text -> commitment in hex */
  guint8 last_seal[COMMY_AUDIT_HASH_SIZE]; /* hash of its last checkpoint */
  gboolean is_sealed;                      /* it has one */
  guint unsealed;                          /* records behind it */
  gboolean was_sealed;                     /* the file before it ended with one */
  gint64 sealed_ns;
  gint64 synced_ns;
  gboolean is_dirty;    /* written since */
  gboolean is_doubtful; /* a sync of it failed */
  guint64 unsynced;     /* records made since the last sync */

  /* the file that was given up */
  gboolean is_trial; /* nothing was synced since */
  char *gap_stem;
  guint64 gap; /* records that it may lack */
  guint64 gap_sequence;
  guint8 gap_hash[COMMY_AUDIT_HASH_SIZE]; /* of its last record */

  GString *lines; /* to be written */
  gsize lines_done;
  GString *name_lines;
  gsize name_lines_done;
};

/* Opens the folder, where that is not done. */
gboolean commy_audit_chain_open_directory (CommyAuditChain *chain, GError **error);
/* Brings what was written to @fd to the disk. Less than zero: errno tells why. */
int commy_audit_chain_sync_fd (const CommyAuditChain *chain, int fd);
/* Of the file that is written, with @suffix. (transfer full) */
char *commy_audit_chain_dup_file_name (const CommyAuditChain *chain, const char *suffix);
/* Makes a checkpoint of all that was added, now. FALSE: nobody can. */
gboolean commy_audit_chain_seal (CommyAuditChain *chain, gint64 wall_us, gint64 boot_ns);
