/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The audit trail of a mesh: any thread hands events over, which costs it a copy into memory; one
 * thread makes records of them and writes. What repeats becomes one record with a count. What the
 * disk does not take waits; when there is no more room to wait, events are refused or lost, as the
 * setting says, and what was lost is counted in a record as soon as there can be one.
 */
#pragma once

#include "security/commy-audit-chain.h"

typedef struct _CommyAuditLog CommyAuditLog;

typedef enum
{
  COMMY_AUDIT_CALLS_NONE,
  COMMY_AUDIT_CALLS_DENIED,
  COMMY_AUDIT_CALLS_ALL,
} CommyAuditCalls;

#define COMMY_AUDIT_QUEUE_SIZE ((gsize) 4 << 20)
/* Events that are equal within this time become one record. */
#define COMMY_AUDIT_REPEAT_NS G_GINT64_CONSTANT (1000000000)

typedef struct
{
  CommyAuditChainSetup chain;
  CommyAuditCalls calls;
  gboolean refuses;           /* what cannot be recorded */
  guint strangers_per_second; /* records that strangers may cause; 0: no limit */
  guint denied_per_second;    /* and what each principal is denied; 0: no limit */
  gsize queue_size;           /* bytes of events that wait */
  gint64 retry_us;            /* between two looks whether the disk works again */
  void (*now) (gpointer data, gint64 *out_wall_us, gint64 *out_boot_ns); /* NULL: the system's */
  gpointer now_data;
} CommyAuditLogSetup;

/* Texts of an event by CommyAuditText; NULL: it has none. */
typedef struct
{
  const char *texts[COMMY_AUDIT_N_EVENT_TEXTS];
  gboolean is_stranger; /* it is about somebody who proved nothing: these have a budget */
  /* Or NULL: stands for the text `peer` where it is asked whether an event repeats, and in the
   * record of those that do. */
  const char *alike;
} CommyAuditEvent;

CommyAuditLog *commy_audit_log_new (const CommyAuditLogSetup *setup);
/* Writes what waits and the closing record. NULL is nothing. Who has a reference of his own may
 * still call what any thread may; nothing is written any more. */
void commy_audit_log_free (CommyAuditLog *log);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyAuditLog, commy_audit_log_free)
CommyAuditLog *commy_audit_log_ref (CommyAuditLog *log);
void commy_audit_log_unref (CommyAuditLog *log);

/* Any thread; does not wait for the disk. FALSE: what it is about must not happen. With NULL for a
 * log nothing is recorded and nothing refused. */
gboolean commy_audit_log_add (CommyAuditLog *log, const CommyAuditEvent *event);
/* The same of what is about to happen, with the error that the one who is refused gets: then that
 * it was refused is recorded, if there is room to wait. That it is recorded means that it waits:
 * what happens by the thousand, such as calls, cannot wait for the disk one by one. */
gboolean commy_audit_log_check (CommyAuditLog *log, const CommyAuditEvent *event, GError **error);
/* For what happens rarely: where what cannot be recorded is refused, waits until it is on the disk.
 */
gboolean
commy_audit_log_check_rare (CommyAuditLog *log, const CommyAuditEvent *event, GError **error);
/* For what people do by hand: waits until it is on the disk. FALSE: it is not, and must not happen;
 * where that is no reason it has been told in the log. */
gboolean
commy_audit_log_check_written (CommyAuditLog *log, const CommyAuditEvent *event, GError **error);
/* Whether calls of this kind are recorded. NULL: none are. */
gboolean commy_audit_log_wants_calls (const CommyAuditLog *log, gboolean allowed);

/* Waits until all that was added before is on the disk (fdatasync() came back), counts of what
 * repeats included. FALSE: the disk does not take it. Any thread but the log's. */
gboolean commy_audit_log_sync (CommyAuditLog *log);
/* Events that were lost so far. Any thread. */
guint64 commy_audit_log_get_lost (CommyAuditLog *log);
