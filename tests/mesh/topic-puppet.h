/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A child that publishes and subscribes as it is told, by calls; what came is checked there, so
 * that only sums go back. And the same listener for this process.
 */
#pragma once

#include "mesh-fixture.h"

/* What a listener has seen. Publications are numbers that grow by one for each publisher, so a gap
 * in them that nobody told of, or a repeat, is an error. */
typedef struct
{
  CommySubscription *subscription;
  GHashTable *last;  /* publisher -> gint32, the last number */
  GHashTable *count; /* topic -> guint, how many came */
  guint64 received;
  guint64 history; /* of those */
  guint64 lost;    /* as signals said */
  guint64 wrong;   /* repeats, and gaps nobody told of */
  guint added, removed;
  gint32 newest;
  gint32 first;      /* number; 0: none came */
  gint code;         /* of the last removal; 0: the publisher ended it, or none */
  char *reason;      /* of the last loss */
  guint close_after; /* close inside the function after so many; 0: never */
} Listener;

Listener *listener_new (CommyMesh *mesh, const char *pattern, const CommySubscribeOptions *options);
void listener_free (Listener *listener);
/* Iterates the main context until so many came or were lost. */
void listener_await (Listener *listener, guint64 received_or_lost);

CommySubscribeOptions *wishes (CommySlowPolicy policy, guint depth, guint history);

/*
 * Follow (suuu): pattern, policy, depth, history
 * Await (t)->(tttiis): once so many came or were lost: received, lost, wrong, newest, code, reason
 * AwaitEnd (t): the same, and a publisher was removed
 * Publish (suuu): topic, so many numbers from so much on, history; the publisher stays
 * Close (): its publishers, in good order
 */
void puppet_extend (CommyService *service);

/* A started one. */
CommyPublisher *publisher_new (CommyMesh *mesh, const char *topic, guint history);
void publish (CommyPublisher *publisher, gint32 from, gint32 count);
/* Iterates the main context until there are so many. */
void await_subscribers (CommyPublisher *publisher, guint n);
CommyMesh *join_over (MeshFixture *fixture, const char *transport);
void leave (CommyMesh *mesh);
/* A child's method with its answer. */
GVariant *tell (CommyMesh *mesh, ServiceChild *child, const char *method, GVariant *arguments);

#define TELL(mesh, child, method, ...) \
  g_variant_unref (tell (mesh, child, method, g_variant_new (__VA_ARGS__)))
