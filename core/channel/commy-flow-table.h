/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The flows that this node accepted and that may go on over another path: who knows a flow's
 * name and secret finds its channel here. Any thread.
 */
#pragma once

#include "channel/commy-channel.h"
#include "channel/commy-hello.h"

typedef struct _CommyFlowTable CommyFlowTable;

CommyFlowTable *commy_flow_table_new (void);
/* Channels that are still in it are given up. */
void commy_flow_table_free (CommyFlowTable *table);

/* A new name, with a secret. */
void commy_flow_name_make (CommyFlowName *out_name, const CommyEnv *env);
/* @channel is found under @name until that is removed. */
void commy_flow_table_add (CommyFlowTable *table, CommyChannel *channel, const CommyFlowName *name);
void commy_flow_table_remove (CommyFlowTable *table, const CommyFlowName *name);
/* NULL: there is no such flow, or the secret is another one; nobody learns which.
 * (transfer full) */
CommyChannel *commy_flow_table_find (CommyFlowTable *table, const CommyFlowName *name);
