/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The head of a chain: a file of one line beside it, written over whenever records have reached the
 * disk. It says which record that was the last of, so that an end that was taken away is missed,
 * and shows a secret to which the last checkpoint is a commitment: with the next checkpoint there
 * is another one, and who comes later does not know the earlier ones, which he would need to make
 * the head fit a chain that he has cut off before.
 */
#pragma once

#include "base/commy-env.h"
#include "security/commy-audit-record.h"

#define COMMY_AUDIT_HEAD_SUFFIX ".head"
#define COMMY_AUDIT_SECRET_SIZE 32u
#define COMMY_AUDIT_HEAD_DIGITS 20u /* of the number, with zeros before it: a head has one size */
/* Number, hash, secret, with a blank between and a line feed. */
#define COMMY_AUDIT_HEAD_SIZE \
  (COMMY_AUDIT_HEAD_DIGITS + 1u + COMMY_AUDIT_HEX_SIZE + 1u + COMMY_AUDIT_HEX_SIZE + 1u)

typedef struct
{
  guint64 sequence; /* of the last record that is on the disk; 0: none is known to be */
  guint8 hash[COMMY_AUDIT_HASH_SIZE];
  guint8 secret[COMMY_AUDIT_SECRET_SIZE];
} CommyAuditHead;

void commy_audit_head_write (const CommyAuditHead *head, char out[COMMY_AUDIT_HEAD_SIZE]);
/* In no other form than the one that is written. */
gboolean commy_audit_head_parse (const char *text, gsize size, CommyAuditHead *out_head);

/* Another secret. */
void commy_audit_head_renew (CommyAuditHead *head, const CommyEnv *env);
/* SHA-256 of the secret, in hex with a NUL. */
void commy_audit_head_commit (const CommyAuditHead *head,
                              const CommyAuditTools *tools,
                              char out_hex[COMMY_AUDIT_HEX_SIZE + 1]);

/* Makes the file, locked as long as it is open, which tells that its process lives. -1: errno tells
 * why. */
int commy_audit_head_open (int dir_fd, const char *name, const CommyAuditHead *head);
/* Writes over it, in its place: what it was is not kept anywhere. It need not reach the disk: a
 * head may be behind its chain. */
gboolean commy_audit_head_put (int fd, const CommyAuditHead *head);

typedef enum
{
  COMMY_AUDIT_HEAD_NONE,
  COMMY_AUDIT_HEAD_EMPTY, /* its process ended while it made it: before any file of the chain */
  COMMY_AUDIT_HEAD_BAD,
  COMMY_AUDIT_HEAD_GOOD,
} CommyAuditHeadState;

/* @out_is_live: (nullable): whether its process lives. */
CommyAuditHeadState commy_audit_head_read (const char *directory,
                                           const char *name,
                                           CommyAuditHead *out_head,
                                           gboolean *out_is_live);
/* Takes the file away, but for one whose process lives, or may be about to lock it: if it was
 * written after @before_s. */
void commy_audit_head_remove (int dir_fd, const char *name, gint64 before_s);
