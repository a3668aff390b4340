/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of topics share: options, what a subscriber says when it opens its stream and
 * what a publisher says first, and the counts that others may look at.
 *
 * A publisher offers the endpoint "topic:NAME" with one method, Subscribe, which streams. Its
 * argument is a subscriber's wishes, (a{sv}); the first message back is a greeting, a{sv}; every
 * other one is a publication, as a value or as raw bytes, with the low 32 bits of its number in the
 * frame's field "method". The result, (t), is the number of the last publication.
 */
#pragma once

#include "mesh/commy-mesh-private.h"

#define COMMY_TOPIC_METHOD "Subscribe"

struct _CommyPublisherOptions
{
  guint history;
  gint64 timeout_us; /* -1: the keyfile's */
};

struct _CommySubscribeOptions
{
  CommySlowPolicy policy;
  guint depth;
  guint history;
  CommyRequirements *requirements; /* NULL: none */
};

/* A subscriber's wishes, as they come from the other side. */
typedef struct
{
  CommySlowPolicy policy;
  guint depth;
  guint history;
  char publisher[33]; /* whom it knew, or "" */
  guint64 after;      /* the last it has of that one */
} CommySubscribeRequest;

/* @publisher: NULL: it knows none yet. Floating, (a{sv}). */
GVariant *commy_subscribe_request_write (const CommySubscribeOptions *options,
                                         const char *publisher,
                                         guint64 after);
/* @parameters: what came; NULL: raw bytes. Bounded and checked. */
gboolean
commy_subscribe_request_read (GVariant *parameters, CommySubscribeRequest *out, GError **error);

/* What a publisher says first. */
typedef struct
{
  char publisher[33];
  guint64 next;   /* the number of the next publication */
  guint64 replay; /* how many come before it */
} CommyTopicGreeting;

GVariant *commy_topic_greeting_write (const CommyTopicGreeting *greeting); /* floating, a{sv} */
gboolean commy_topic_greeting_read (GVariant *value, CommyTopicGreeting *out);

/* Of a publisher or a subscription; written by its owner's thread, read by any. */
typedef struct
{
  gatomicrefcount refs;
  guint64 published; /* atomic, as all that follow; or received */
  guint64 sent;
  guint64 dropped; /* or lost */
  guint peers;     /* subscribers, or publishers */
} CommyTopicCounts;

/* One writer: a relaxed load and store, no read-modify-write. */
static inline void
commy_topic_count (guint64 *count, guint64 n)
{
  __atomic_store_n (count, *count + n, __ATOMIC_RELAXED);
}

CommyTopicCounts *commy_topic_counts_new (void);
CommyTopicCounts *commy_topic_counts_ref (CommyTopicCounts *counts);
void commy_topic_counts_unref (CommyTopicCounts *counts);

/* Whether a subscription of this mesh that matches @topic lives on @worker: then who waits there
 * for its subscribers waits in vain. */
gboolean commy_mesh_subscribes_on (CommyMesh *mesh, const char *topic, CommyMeshWorker *worker);
