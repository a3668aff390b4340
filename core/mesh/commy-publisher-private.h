/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The inside of a publisher, for its files: its life and the calls, the hot loop, and the readers,
 * one for each subscriber. All of it on the publisher's worker.
 */
#pragma once

#include "mesh/commy-post.h"
#include "mesh/commy-stream-private.h"
#include "mesh/commy-topic-private.h"

typedef struct
{
  gatomicrefcount refs;
  CommyPublisher *publisher;   /* borrowed; it lets go before it goes */
  CommyInvocation *invocation; /* the handler's; NULL: answered */
  CommyStream *stream;         /* reference */
  CommySlowPolicy policy;
  CommyPostQueue replay;       /* history that was not sent yet; goes first */
  CommyPostQueue waiting;      /* bounded by the subscriber's depth */
  CommyPlugin *serializers[2]; /* for values, for raw bytes; NULL: not looked for */
  gboolean ended;
  gboolean unflushed;
  gboolean stalled; /* it was waited for in vain, and has not taken anything since */
  gboolean unable;  /* it could only take something while this thread does not wait */
  guint64 offered;
  guint64 sent;
  guint64 reasons[COMMY_DROP_LAST];
} CommyReader;

struct _CommyPublisher
{
  GObject parent_instance;

  CommyMesh *mesh;
  char *topic;
  char *endpoint; /* "topic:NAME" */
  char id[33];
  GThread *thread;
  CommyPublisherOptions options;
  CommyMeshWorker *worker; /* made at the first use */
  CommyService *service;   /* NULL: not started */
  CommyTopicCounts *counts;
  gboolean closed;

  CommyPostQueue history;
  GPtrArray *readers;  /* CommyReader */
  guint walking;       /* somebody is walking through them: none may go */
  guint told;          /* of subscribers */
  CommyPost *spare;    /* a buffer to use again */
  CommyPost *building; /* the open reservation */
  CommyPool *pool;     /* for the subscribers that were there when it was last looked at, or NULL */
};

/* --- commy-publisher.c --- */

/* Thread right, open, mesh usable, worker there. */
gboolean commy_publisher_check (CommyPublisher *publisher, GError **error);
/* Numbers @post and gives it to every subscriber. Has been checked. */
void commy_publisher_spread (CommyPublisher *publisher, CommyPost *post, gboolean flush);
/* After the channels were used: who waits for this thread gets his turn. */
void commy_publisher_turn (CommyPublisher *publisher);
/* Lets go of readers that have ended. */
void commy_publisher_sweep (CommyPublisher *publisher);

/* --- commy-publisher-pool.c --- */

/* The pool that the present subscribers can read, and nobody else. Inside the worker. (transfer
 * none); NULL: none of them takes anything from a pool */
CommyPool *commy_publisher_get_pool (CommyPublisher *publisher);

/* --- commy-reader.c --- */

/* A subscriber came. Takes over the handler's @invocation. */
CommyReader *commy_reader_new (CommyPublisher *publisher,
                               CommyInvocation *invocation,
                               const CommySubscribeRequest *request);
CommyReader *commy_reader_ref (CommyReader *reader);
void commy_reader_unref (gpointer reader);
/* Gives it the next publication, or lets it wait, or drops what its policy says. Waits for one that
 * blocks until @deadline_ns. */
void commy_reader_offer (CommyReader *reader, CommyPost *post, gint64 deadline_ns);
/* Sends what waits as far as there are credit and room. */
void commy_reader_pump (CommyReader *reader);
void commy_reader_flush (CommyReader *reader);
gboolean commy_reader_is_idle (const CommyReader *reader);
/* Takes one message from its path, such as credit: whether there was one. */
gboolean commy_reader_poll (CommyReader *reader);
/* Something may have changed, or @deadline_ns passed: FALSE. Inside commy_worker_enter_sync(). */
gboolean commy_reader_wait (CommyReader *reader, gint64 deadline_ns);
/* Ends it in good order, or with @code; what waits is dropped for @reason. */
void commy_reader_end (CommyReader *reader, CommyDrop reason, guint32 code, const char *text);
/* Floating, a{sv}. */
GVariant *commy_reader_describe (CommyReader *reader);
