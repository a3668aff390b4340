/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who publishes what: the topics of the store and of the keyfile, and whom among this node's
 * subscriptions they concern. Lives on the mesh thread from the first subscription to the leave.
 */
#pragma once

#include "mesh/commy-topic-private.h"

typedef struct _CommyTopics CommyTopics;

/* A subscription, for who is not its thread. Immutable but for the counts. */
typedef struct
{
  gatomicrefcount refs;
  char *pattern;
  CommyMeshWorker *worker; /* reference */
  CommyTopicCounts *counts;
  /* Called on the worker with each new snapshot of a topic that matches. */
  void (*changed) (gpointer data, CommySnapshot *snapshot);
  GWeakRef subscription; /* what `changed` gets */
} CommyTopicWatcher;

CommyTopicWatcher *commy_topic_watcher_ref (CommyTopicWatcher *watcher);
void commy_topic_watcher_unref (gpointer watcher);

/* Any thread. FALSE: too many. */
gboolean commy_mesh_add_watcher (CommyMesh *mesh, CommyTopicWatcher *watcher, GError **error);
void commy_mesh_remove_watcher (CommyMesh *mesh, CommyTopicWatcher *watcher);

/* Mesh thread; the registry and its store are still there. */
void commy_topics_free (CommyTopics *topics);
