/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The record of a node, as it lies in the store under "nodes/ID": who it is, where, what it can do,
 * how it is, and whether it takes work.
 */
#pragma once

#include <glib.h>

#define COMMY_NODES_PREFIX "nodes/"

typedef enum
{
  COMMY_NODE_UP,
  COMMY_NODE_CORDONED, /* no new work */
  COMMY_NODE_DRAINING, /* no new work, and what is under way ends */
} CommyNodeState;

const char *commy_node_state_to_string (CommyNodeState state);

/* Of the host, and of the process. 0: not known. */
typedef struct
{
  guint32 cpus;
  double load; /* of the last minute */
  guint64 memory_total, memory_available;
  guint64 resident; /* memory of the process */
  guint32 open_files;
} CommyNodeResources;

/* Whether @now is so different from what was @written that others should know: the load by a
 * quarter of the processors, available memory by an eighth of all, the process's memory by a
 * quarter and 16 MiB, its files by a quarter and 64. */
gboolean commy_node_resources_differ (const CommyNodeResources *written,
                                      const CommyNodeResources *now);

typedef struct
{
  char *id;
  char *program;
  gint32 pid;
  char *host, *host_id;
  char *zone, *region; /* "" if nobody said */
  char *version;       /* of Commy */
  char *mesh;
  gint64 joined_s;    /* Unix time */
  gint64 refreshed_s; /* when the resources were read */
  char **transports, **serializers;
  CommyNodeResources resources;
  CommyNodeState state;
  GVariant *calls; /* a(sx): services that it called, and when that was seen last, Unix time */
} CommyNode;

CommyNode *commy_node_new (const char *id);
void commy_node_free (CommyNode *node);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyNode, commy_node_free)

/* (transfer full): the record's text */
char *commy_node_write (const CommyNode *node);
/* Text of a store: checked field by field, bounded. */
CommyNode *commy_node_read (const char *id, const char *text, gsize size, GError **error);
/* a{sv}, floating, as commy_mesh_list_nodes_sync() documents. */
GVariant *commy_node_to_variant (const CommyNode *node);
