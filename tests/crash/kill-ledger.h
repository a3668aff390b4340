/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The ledger of a kill loop: what each node sent, how it ended, and what was seen of it. It lies
 * in memory that all of them share and that survives each of them.
 */
#pragma once

#include <glib.h>

#define KILL_PARENT 0
#define KILL_VICTIMS 2
#define KILL_NODES (1 + KILL_VICTIMS)
#define KILL_MESSAGES 50000

/* How a message ended, as its sender was told. */
typedef enum
{
  KILL_UNDER_WAY, /* the sender died with it */
  KILL_DELIVERED, /* answered */
  KILL_UNKNOWN,   /* "outcome unknown" */
  KILL_NOT_SENT,  /* any other error */
} KillOutcome;

typedef struct
{
  guint round;
  guint late; /* messages of an earlier round, whose sender was dead when they were handled */
  guint sent[KILL_NODES];
  guint answered[KILL_NODES]; /* so far, for who waits until a node works */
  guint seen[KILL_NODES][KILL_MESSAGES];
  guint8 outcome[KILL_NODES][KILL_MESSAGES];
  guint next[KILL_NODES][KILL_NODES]; /* by server and sender: numbers rise */
  /* The victims' book about the parent, over all rounds: messages of it that their handlers and
   * their callers got, whatever they are. */
  guint64 had;
  char fault[256];
} KillLedger;

/* In shared memory, for this process and its children. */
KillLedger *kill_ledger_new (void);
/* The next round: everything again; the senders of the last one are dead. */
void kill_ledger_clear (KillLedger *self);
void kill_ledger_fail (KillLedger *self, const char *format, ...) G_GNUC_PRINTF (2, 3);

/* A message: who sent it, its number, and bytes that can be checked. (transfer full) */
GBytes *kill_ledger_write (KillLedger *self, guint sender, guint *out_number);
/* Notes that @server has it; whether it is right. */
gboolean kill_ledger_note (KillLedger *self, guint server, GBytes *message);
/* A victim has a message of the parent in its hands. */
void kill_ledger_have (KillLedger *self);
void kill_ledger_end (KillLedger *self, guint sender, guint number, const GError *error);

typedef struct
{
  guint64 outcomes[KILL_NOT_SENT + 1];
  guint64 sent;
} KillSum;

/* Checks that the outcomes are true and adds them up. */
void kill_ledger_check (KillLedger *self, KillSum *sum);
