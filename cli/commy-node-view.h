/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What nodes tell about themselves, for people: records, drops and flows.
 */
#pragma once

#include "cli/commy-output.h"

/* Writes an a{sv}, one member a line; records inside it one step further in. */
void commy_node_view_print_record (GVariant *record);

/* Appends a row for each reason that occurred, behind a first cell (NULL: none, "  ": before the
 * reason) that says where; whether there was any. @drops: a(sts). */
gboolean commy_node_view_add_drops (CommyTable *table, const char *where, GVariant *drops);

/* One row a channel: node, side, service, transport, peer, messages, waits, times. */
CommyTable *commy_node_view_new_flows (gboolean with_node);
/* @flows: aa{sv}; @node: NULL if there is no such column. @service: only of this one, or NULL;
 * @all: those of org.commy.* too. */
void commy_node_view_add_flows (
    CommyTable *table, const char *node, GVariant *flows, const char *service, gboolean all);
