/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The inside of a subscription, for its files: its life, and the feeds, one for each publisher
 * that matches. All of it on the subscription's worker.
 */
#pragma once

#include "mesh/commy-stream-private.h"
#include "mesh/commy-topics.h"

/* A publisher's instance, as long as the mesh knows of it or its stream lives. */
typedef struct
{
  gatomicrefcount refs;
  CommySubscription *subscription; /* borrowed; NULL: the feed is closed */
  char *topic;                     /* GRefString */
  char *instance;
  CommyClient *client;
  CommyStream *stream;       /* NULL: none is open */
  GCancellable *cancellable; /* of the opening; NULL: none under way */
  GSource *retry;            /* NULL: none waits */
  guint failures;            /* in a row */
  gboolean orphan;           /* the mesh does not know of it any more */
  gboolean refused;          /* trying again is of no use */
  gboolean complained;       /* the application was told that it cannot be reached */
  gboolean greeted;          /* on this stream */
  gboolean delivering;
  gboolean scheduled;
  char *publisher; /* GRefString: whose publications came; NULL: none yet */
  guint64 last;    /* number of its last one that came, or was lost for good */
  guint64 next;    /* number of the first one that is not history */
} CommyFeed;

struct _CommySubscription
{
  GObject parent_instance;

  CommyMesh *mesh;
  GThread *thread;
  CommySubscribeOptions *options;
  CommyTopicWatcher *watcher;
  GHashTable *feeds; /* "topic/instance" -> CommyFeed */
  GSource *source;   /* runs what is scheduled */
  guint delivering;
  gboolean closed;
  CommyPublicationFunc func;
  gpointer user_data;
  GDestroyNotify destroy;
};

/* commy-publication.c; @value or @bytes, taken over as everything else is not. */
CommyPublication *commy_publication_new (const CommyFeed *feed,
                                         CommyPrincipal *sender,
                                         GVariant *value,
                                         GBytes *bytes,
                                         guint64 sequence,
                                         guint64 lost,
                                         const char *reason);

/* --- commy-feed.c --- */

CommyFeed *
commy_feed_new (CommySubscription *subscription, const char *topic, const char *instance);
CommyFeed *commy_feed_ref (CommyFeed *feed);
void commy_feed_unref (gpointer feed);
/* The mesh knows of the instance, or not any more: whether the feed can go. */
gboolean commy_feed_set_known (CommyFeed *feed, gboolean known);
/* Gives out what has come. */
void commy_feed_deliver (CommyFeed *feed);
void commy_feed_close (CommyFeed *feed);

/* --- commy-subscription.c, for feeds --- */

/* Has commy_feed_deliver() called from the context's loop. */
void commy_subscription_schedule (CommySubscription *subscription, CommyFeed *feed);
void commy_subscription_give (CommySubscription *subscription, CommyPublication *publication);
void commy_subscription_tell_lost (CommySubscription *subscription,
                                   CommyFeed *feed,
                                   guint64 count,
                                   CommyDrop reason);
void commy_subscription_tell_added (CommySubscription *subscription, CommyFeed *feed);
void commy_subscription_tell_removed (CommySubscription *subscription,
                                      CommyFeed *feed,
                                      const GError *error);
/* The feed has ended for good. */
void commy_subscription_drop_feed (CommySubscription *subscription, CommyFeed *feed);
