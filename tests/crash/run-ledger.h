/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The record of long runs: a table in the tree, to which a test adds what it counted when it ended
 * well. Where COMMY_RUN_LEDGER does not name the table, nothing is written.
 */
#pragma once

#include <glib.h>

typedef struct
{
  guint64 kills;
  guint64 boundaries;
  guint64 messages;
  guint64 moves;
  guint64 of_each_pair; /* moves: between those two transports, in that order, with the fewest */
  guint64 of_each_cut;  /* the same, where the old path was cut */
  guint64 lost;         /* and nobody was told */
  guint64 repeated;     /* or out of order */
  guint64 gap_us;       /* the largest; of several runs that of the worst */
} RunLedgerRow;

/* Adds @row to that of @run, a name without blanks, and puts down @command, that of this run. */
void run_ledger_add (const char *run, const RunLedgerRow *row, const char *command);
