/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A full node of a kill loop: joined, offering, calling and streaming; what it does stands in
 * the ledger.
 */
#pragma once

#include "kill-ledger.h"

#include <commy/commy.h>

typedef struct
{
  KillLedger *ledger;
  guint number;
  CommyMesh *mesh;
  CommyService *service;
  CommyClient *clients[KILL_NODES]; /* of the others' services; NULL of its own */
  guint turn;
} KillNode;

/* Joins with all plugins, offers its service, makes clients of the others'. FALSE: the ledger has
 * the fault. */
gboolean kill_node_start (KillNode *self, KillLedger *ledger, guint number, const char *settings);
void kill_node_stop (KillNode *self);
/* Some calls and a stream to one of the others, each in turn; none of it hangs. Whether it was
 * all answered. */
gboolean kill_node_work (KillNode *self);
/* How many instances the store lists. */
guint kill_node_count_instances (KillNode *self);
