/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What org.commy.Node1 tells about connections, counts and interfaces, as records.
 */
#pragma once

#include "mesh/commy-mesh-private.h"

/* All on the mesh thread; floating. Threads that are in the middle of a call are left out rather
 * than waited for. */

/* Calls @func (channel, data) inside of each channel's worker. How many threads were left out. */
guint commy_node_report_visit_channels (CommyMesh *mesh, GFunc func, gpointer data);
/* aa{sv}: one a channel, of both sides. */
GVariant *commy_node_report_flows (CommyMesh *mesh);
/* a{sv}: counts of the node, the sum of its open channels, and the same for each offer. */
GVariant *commy_node_report_stats (CommyMesh *mesh);
/* Calls @func (worker, @data) inside each worker of the mesh; how many were left out. */
guint commy_node_visit_workers (CommyMesh *mesh, GFunc func, gpointer data);
/* aa{sv}: what this process's clients know of the instances of @service; see
 * commy-node-endpoints.c. */
GVariant *commy_node_report_endpoints (CommyMesh *mesh, const char *service);
/* (transfer full): the interface as XML; "" for NULL. Any thread. */
char *commy_node_report_dup_xml (GDBusInterfaceInfo *interface);
/* aa{sv}: one an instance this node offers. @service, @instance: "" for all; @instance may be the
 * beginning of an id. */
GVariant *commy_node_report_interfaces (CommyMesh *mesh, const char *service, const char *instance);
