/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Topics: publishers send to whoever subscribes. A topic is a dotted name; a subscription has a
 * pattern and follows every publisher of every topic that matches, wherever it runs, as they come
 * and go.
 */
#pragma once

#include <commy/commy-mesh.h>
#include <commy/commy-service.h>
#include <commy/commy-types.h>

G_BEGIN_DECLS

/**
 * CommySlowPolicy:
 * @COMMY_SLOW_BLOCK: the publisher waits, at most its own timeout, which is nothing unless it wants
 * otherwise; then the publication is dropped, and there is no waiting again until the subscriber
 * has taken something
 * @COMMY_SLOW_DROP_OLDEST: the oldest of those that wait is dropped
 * @COMMY_SLOW_LATEST: only the newest is kept; what waits unread on the subscriber's side is
 * dropped for it too
 * @COMMY_SLOW_ERROR: the subscription to this publisher ends with %COMMY_ERROR_BUSY
 *
 * What happens when a subscriber does not keep up and as many publications wait for it as its
 * depth says. Whatever is dropped is counted, and the subscriber is told how many and why.
 *
 * Since: 0.1
 */
typedef enum
{
  COMMY_SLOW_BLOCK = 1,
  COMMY_SLOW_DROP_OLDEST = 2,
  COMMY_SLOW_LATEST = 3,
  COMMY_SLOW_ERROR = 4,
} CommySlowPolicy;

/* --- publications --- */

#define COMMY_TYPE_PUBLICATION (commy_publication_get_type ())
/**
 * CommyPublication:
 *
 * One message of a topic, as a subscriber gets it. Immutable; any thread may look at it.
 *
 * Since: 0.1
 */
typedef struct _CommyPublication CommyPublication;

COMMY_API GType commy_publication_get_type (void) G_GNUC_CONST;
/**
 * commy_publication_ref:
 * @publication: a publication
 *
 * Takes a reference.
 *
 * Returns: (transfer full): @publication
 *
 * Since: 0.1
 */
COMMY_API CommyPublication *commy_publication_ref (CommyPublication *publication);
/**
 * commy_publication_unref:
 * @publication: (transfer full) (nullable): a publication
 *
 * Drops a reference.
 *
 * Since: 0.1
 */
COMMY_API void commy_publication_unref (CommyPublication *publication);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyPublication, commy_publication_unref)
/**
 * commy_publication_get_topic:
 * @publication: a publication
 *
 * The topic it was published to.
 *
 * Returns: (transfer none): the topic's name
 *
 * Since: 0.1
 */
COMMY_API const char *commy_publication_get_topic (CommyPublication *publication);
/**
 * commy_publication_get_value:
 * @publication: a publication
 *
 * What was published.
 *
 * Returns: (transfer none) (nullable): the value; %NULL if raw bytes were published
 *
 * Since: 0.1
 */
COMMY_API GVariant *commy_publication_get_value (CommyPublication *publication);
/**
 * commy_publication_get_bytes:
 * @publication: a publication
 *
 * What was published.
 *
 * Returns: (transfer none) (nullable): the raw bytes; %NULL if a value was published
 *
 * Since: 0.1
 */
COMMY_API GBytes *commy_publication_get_bytes (CommyPublication *publication);
/**
 * commy_publication_get_publisher:
 * @publication: a publication
 *
 * Which of the topic's publishers sent it.
 *
 * Returns: (transfer none): the publisher's id; another run of the program has another
 *
 * Since: 0.1
 */
COMMY_API const char *commy_publication_get_publisher (CommyPublication *publication);
/**
 * commy_publication_get_sender:
 * @publication: a publication
 *
 * Who runs the publisher.
 *
 * Returns: (transfer none): what the other side proved to be
 *
 * Since: 0.1
 */
COMMY_API CommyPrincipal *commy_publication_get_sender (CommyPublication *publication);
/**
 * commy_publication_get_sequence:
 * @publication: a publication
 *
 * Its number. Each publisher counts its own, from 1; a subscriber gets none twice.
 *
 * Returns: the number
 *
 * Since: 0.1
 */
COMMY_API guint64 commy_publication_get_sequence (CommyPublication *publication);
/**
 * commy_publication_get_lost:
 * @publication: a publication
 *
 * How many publications of the same publisher did not reach the subscription between the one
 * before and this one.
 *
 * Returns: how many
 *
 * Since: 0.1
 */
COMMY_API guint64 commy_publication_get_lost (CommyPublication *publication);
/**
 * commy_publication_get_reason:
 * @publication: a publication
 *
 * Why those were lost, in the words of `commy drops`: `busy` (the subscriber did not keep up),
 * `deadline` (the publisher waited for it in vain), `peer-gone` (they were published while there
 * was no connection).
 *
 * Returns: (transfer none) (nullable): the reason; %NULL if none was lost
 *
 * Since: 0.1
 */
COMMY_API const char *commy_publication_get_reason (CommyPublication *publication);
/**
 * commy_publication_is_history:
 * @publication: a publication
 *
 * Whether it was published before the subscription reached the publisher.
 *
 * Returns: whether it was replayed
 *
 * Since: 0.1
 */
COMMY_API gboolean commy_publication_is_history (CommyPublication *publication);

/* --- publishing --- */

#define COMMY_TYPE_PUBLISHER_OPTIONS (commy_publisher_options_get_type ())
/**
 * CommyPublisherOptions:
 *
 * How a topic is published.
 *
 * Since: 0.1
 */
typedef struct _CommyPublisherOptions CommyPublisherOptions;

COMMY_API GType commy_publisher_options_get_type (void) G_GNUC_CONST;
/**
 * commy_publisher_options_new:
 *
 * No history, and the keyfile's timeout (limit `publish-timeout`, 0: subscribers hold up nothing).
 *
 * Returns: (transfer full): options
 *
 * Since: 0.1
 */
COMMY_API CommyPublisherOptions *commy_publisher_options_new (void);
/**
 * commy_publisher_options_copy:
 * @options: options
 *
 * Copies options.
 *
 * Returns: (transfer full): a copy
 *
 * Since: 0.1
 */
COMMY_API CommyPublisherOptions *
commy_publisher_options_copy (const CommyPublisherOptions *options);
/**
 * commy_publisher_options_free:
 * @options: (transfer full) (nullable): options
 *
 * Frees options.
 *
 * Since: 0.1
 */
COMMY_API void commy_publisher_options_free (CommyPublisherOptions *options);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyPublisherOptions, commy_publisher_options_free)
/**
 * commy_publisher_options_set_history:
 * @options: options
 * @publications: how many
 *
 * How many of the last publications are kept for subscribers that come later. The limits
 * `topic-history` and `topic-memory` may make it fewer.
 *
 * Since: 0.1
 */
COMMY_API void commy_publisher_options_set_history (CommyPublisherOptions *options,
                                                    guint publications);
/**
 * commy_publisher_options_set_timeout:
 * @options: options
 * @timeout_us: microseconds; 0: it never waits; -1: as the keyfile says
 *
 * The longest time that subscribers with %COMMY_SLOW_BLOCK hold up one publication, all together:
 * whether they may is the publisher's choice, and no subscriber's.
 *
 * Since: 0.1
 */
COMMY_API void commy_publisher_options_set_timeout (CommyPublisherOptions *options,
                                                    gint64 timeout_us);

#define COMMY_TYPE_PUBLISHER (commy_publisher_get_type ())
/**
 * CommyPublisher:
 *
 * Publishes one topic.
 *
 * A publisher belongs to the thread that made it and its thread-default main context, which serves
 * the subscribers: they are admitted, and what waits for them is sent, while that context is
 * iterated. In a thread without a main context each publication does that. Any number of nodes may
 * publish a topic, each with numbers of its own.
 *
 * Since: 0.1
 */
COMMY_API
G_DECLARE_FINAL_TYPE (CommyPublisher, commy_publisher, COMMY, PUBLISHER, GObject)

/**
 * CommyPublisher:subscribers:
 *
 * How many subscribers it has now. Notified in the publisher's context.
 *
 * Since: 0.1
 */

/**
 * commy_publisher_new:
 * @mesh: a joined mesh
 * @topic: the topic's name: parts of letters, digits, `_` and `-`, joined by `.`; at most 249 bytes
 * @options: (nullable): options; they are copied
 *
 * A publisher for the calling thread and its default context. Touches nothing.
 *
 * Returns: (transfer full): a publisher that is not started
 *
 * Since: 0.1
 */
COMMY_API CommyPublisher *
commy_publisher_new (CommyMesh *mesh, const char *topic, const CommyPublisherOptions *options);
/**
 * commy_publisher_start:
 * @publisher: a publisher
 * @cancellable: (nullable): a cancellable
 * @callback: (scope async) (closure user_data) (nullable): called when the mesh knows of it
 * @user_data: for @callback
 *
 * Makes the publisher known, so that subscribers find it. Publications before that are kept as
 * history. Where the mesh is left and joined again, it is made known again by itself. Does not
 * block.
 *
 * Since: 0.1
 */
COMMY_API void commy_publisher_start (CommyPublisher *publisher,
                                      GCancellable *cancellable,
                                      GAsyncReadyCallback callback,
                                      gpointer user_data);
/**
 * commy_publisher_start_finish:
 * @publisher: a publisher
 * @result: the result
 * @error: return location
 *
 * Ends commy_publisher_start().
 *
 * Returns: success
 *
 * Since: 0.1
 */
COMMY_API gboolean commy_publisher_start_finish (CommyPublisher *publisher,
                                                 GAsyncResult *result,
                                                 GError **error);
/**
 * commy_publisher_start_sync:
 * @publisher: a publisher
 * @cancellable: (nullable): a cancellable
 * @error: return location
 *
 * As commy_publisher_start(), and waits.
 *
 * Returns: success
 *
 * Since: 0.1
 */
COMMY_API gboolean commy_publisher_start_sync (CommyPublisher *publisher,
                                               GCancellable *cancellable,
                                               GError **error);
/**
 * commy_publisher_publish:
 * @publisher: a publisher
 * @value: a value of any type; floating is consumed
 * @error: return location
 *
 * Publishes a value. It is encoded once for all subscribers that read the same encoding. Waits only
 * for subscribers that asked for %COMMY_SLOW_BLOCK, and no longer than the publisher's timeout;
 * iterates no main context. Having no subscriber is no error, and neither is one that does not keep
 * up: commy_publisher_get_dropped() grows.
 *
 * Fails without having published: %COMMY_ERROR_WRONG_THREAD, %COMMY_ERROR_NOT_JOINED,
 * %COMMY_ERROR_TOO_BIG, %COMMY_ERROR_LEAVING (closed), %COMMY_ERROR_BUSY (from inside itself, or a
 * span is reserved), %COMMY_ERROR_TYPE (descriptors cannot be published).
 *
 * Returns: whether it was published
 *
 * Since: 0.1
 */
COMMY_API gboolean commy_publisher_publish (CommyPublisher *publisher,
                                            GVariant *value,
                                            GError **error);
/**
 * commy_publisher_publish_bytes:
 * @publisher: a publisher
 * @bytes: (transfer none): raw bytes; kept by reference while somebody needs them
 * @error: return location
 *
 * As commy_publisher_publish(), with raw bytes.
 *
 * Returns: whether they were published
 *
 * Since: 0.1
 */
COMMY_API gboolean commy_publisher_publish_bytes (CommyPublisher *publisher,
                                                  GBytes *bytes,
                                                  GError **error);
/**
 * commy_publisher_drain_sync:
 * @publisher: a publisher
 * @timeout_us: microseconds to wait at most
 * @error: return location
 *
 * Waits until nothing waits for any subscriber any more: everything was sent or dropped. Before
 * commy_publisher_close(), which drops what waits. Iterates no main context.
 *
 * Returns: success; %FALSE with %COMMY_ERROR_DEADLINE if something still waits
 *
 * Since: 0.1
 */
COMMY_API gboolean commy_publisher_drain_sync (CommyPublisher *publisher,
                                               gint64 timeout_us,
                                               GError **error);
/**
 * commy_publisher_close:
 * @publisher: a publisher
 *
 * Ends publishing: subscribers are told that no more comes, what still waits for them is dropped,
 * and the mesh forgets the publisher. Giving back the last reference does the same. Once is enough;
 * a closed publisher is not started again. Any thread; does not block.
 *
 * Since: 0.1
 */
COMMY_API void commy_publisher_close (CommyPublisher *publisher);
/**
 * commy_publisher_get_topic:
 * @publisher: a publisher
 *
 * Any thread.
 *
 * Returns: (transfer none): the topic's name
 *
 * Since: 0.1
 */
COMMY_API const char *commy_publisher_get_topic (CommyPublisher *publisher);
/**
 * commy_publisher_get_subscribers:
 * @publisher: a publisher
 *
 * Any thread.
 *
 * Returns: how many subscribers it has now
 *
 * Since: 0.1
 */
COMMY_API guint commy_publisher_get_subscribers (CommyPublisher *publisher);
/**
 * commy_publisher_get_published:
 * @publisher: a publisher
 *
 * Any thread.
 *
 * Returns: how many publications there were: the number of the last
 *
 * Since: 0.1
 */
COMMY_API guint64 commy_publisher_get_published (CommyPublisher *publisher);
/**
 * commy_publisher_get_dropped:
 * @publisher: a publisher
 *
 * How often a publication was not sent to a subscriber that should have got it; a publication that
 * two subscribers do not get counts twice. Any thread.
 *
 * Returns: how many
 *
 * Since: 0.1
 */
COMMY_API guint64 commy_publisher_get_dropped (CommyPublisher *publisher);
/**
 * commy_publisher_list_subscribers:
 * @publisher: a publisher
 *
 * Each subscriber of now: `principal`, `node`, `transport`, `policy` (s); `depth`, `waiting` (u);
 * `offered`, `sent`, `dropped` (t): what it should have got, what was sent to it and what was not.
 * `offered` is the sum of `sent`, `dropped` and `waiting`. `reasons` (a{st}) splits `dropped`. The
 * publisher's thread only.
 *
 * Returns: (transfer full): `aa{sv}`
 *
 * Since: 0.1
 */
COMMY_API GVariant *commy_publisher_list_subscribers (CommyPublisher *publisher);

/**
 * commy_mesh_publish:
 * @mesh: a joined mesh
 * @topic: a topic's name
 * @value: a value of any type; floating is consumed
 * @error: return location
 *
 * Publishes a value now and then, without a publisher to keep: the mesh keeps one for each topic
 * and thread until it is left. The first publication makes it known, which waits for the store; it
 * keeps as many publications for later subscribers as the limit `topic-history` allows, but no more
 * than 16. Otherwise as commy_publisher_publish().
 *
 * Returns: whether it was published
 *
 * Since: 0.1
 */
COMMY_API gboolean commy_mesh_publish (CommyMesh *mesh,
                                       const char *topic,
                                       GVariant *value,
                                       GError **error);

/* --- subscribing --- */

#define COMMY_TYPE_SUBSCRIBE_OPTIONS (commy_subscribe_options_get_type ())
/**
 * CommySubscribeOptions:
 *
 * What a subscription wants.
 *
 * Since: 0.1
 */
typedef struct _CommySubscribeOptions CommySubscribeOptions;

COMMY_API GType commy_subscribe_options_get_type (void) G_GNUC_CONST;
/**
 * commy_subscribe_options_new:
 *
 * %COMMY_SLOW_DROP_OLDEST with a depth of 256, no history, any path.
 *
 * Returns: (transfer full): options
 *
 * Since: 0.1
 */
COMMY_API CommySubscribeOptions *commy_subscribe_options_new (void);
/**
 * commy_subscribe_options_copy:
 * @options: options
 *
 * Copies options.
 *
 * Returns: (transfer full): a copy
 *
 * Since: 0.1
 */
COMMY_API CommySubscribeOptions *
commy_subscribe_options_copy (const CommySubscribeOptions *options);
/**
 * commy_subscribe_options_free:
 * @options: (transfer full) (nullable): options
 *
 * Frees options.
 *
 * Since: 0.1
 */
COMMY_API void commy_subscribe_options_free (CommySubscribeOptions *options);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommySubscribeOptions, commy_subscribe_options_free)
/**
 * commy_subscribe_options_set_policy:
 * @options: options
 * @policy: what happens when this subscriber does not keep up
 * @depth: how many publications wait for it at the publisher, 1 at least; the publisher's limit
 *   `topic-depth` may make it fewer
 *
 * What waits at the publisher comes behind what is on its way already, which the stream's window
 * bounds (limit `stream-window`).
 *
 * Since: 0.1
 */
COMMY_API void commy_subscribe_options_set_policy (CommySubscribeOptions *options,
                                                   CommySlowPolicy policy,
                                                   guint depth);
/**
 * commy_subscribe_options_set_history:
 * @options: options
 * @publications: how many
 *
 * How many of the last publications to get of each publisher first, as far as it keeps them. All
 * of them come before what is published later.
 *
 * Since: 0.1
 */
COMMY_API void commy_subscribe_options_set_history (CommySubscribeOptions *options,
                                                    guint publications);
/**
 * commy_subscribe_options_set_requirements:
 * @options: options
 * @requirements: (nullable): what the paths to publishers must fulfil
 *
 * As commy_client_set_requirements().
 *
 * Since: 0.1
 */
COMMY_API void commy_subscribe_options_set_requirements (CommySubscribeOptions *options,
                                                         const CommyRequirements *requirements);

#define COMMY_TYPE_SUBSCRIPTION (commy_subscription_get_type ())
/**
 * CommySubscription:
 *
 * What is published to the topics that match a pattern.
 *
 * Everything happens in the thread-default main context of the thread that subscribed: the function
 * runs and signals are emitted there, never from inside a call. Closing the subscription, or
 * dropping it, is legal in all of them. A publisher that cannot be reached is tried again while the
 * mesh knows of it.
 *
 * Publications of one publisher come in its order. Between publishers there is no order.
 *
 * Since: 0.1
 */
COMMY_API
G_DECLARE_FINAL_TYPE (CommySubscription, commy_subscription, COMMY, SUBSCRIPTION, GObject)

/**
 * CommySubscription::publisher-added:
 * @subscription: the subscription
 * @topic: the topic's name
 * @publisher: the publisher's id
 *
 * A publisher was reached; its publications follow.
 *
 * Since: 0.1
 */

/**
 * CommySubscription::publisher-removed:
 * @subscription: the subscription
 * @topic: the topic's name
 * @publisher: the publisher's id; empty if it was never reached
 * @error: (nullable): why; %NULL if it ended its topic
 *
 * A publisher was lost, or cannot be reached (then once, until that changes).
 *
 * Since: 0.1
 */

/**
 * CommySubscription::lost:
 * @subscription: the subscription
 * @topic: the topic's name
 * @publisher: the publisher's id
 * @count: how many publications
 * @reason: why, as commy_publication_get_reason(); also `stopping` (the publisher was closed before
 *   they were sent) and `malformed` (they could not be read)
 *
 * Publications did not reach the subscription. Comes before the one that follows them.
 *
 * Since: 0.1
 */

/**
 * CommyPublicationFunc:
 * @subscription: the subscription
 * @publication: (transfer none): what was published
 * @user_data: as given
 *
 * Gets each publication.
 *
 * Since: 0.1
 */
typedef void (*CommyPublicationFunc) (CommySubscription *subscription,
                                      CommyPublication *publication,
                                      gpointer user_data);

/**
 * commy_mesh_subscribe:
 * @mesh: a joined mesh
 * @pattern: a topic's name; a part that is `*` stands for exactly one part, and `**` at the end for
 *   whatever follows, also nothing
 * @options: (nullable): options; they are copied
 * @func: (scope notified) (closure user_data) (destroy destroy): gets each publication
 * @user_data: for @func
 * @destroy: (nullable): frees @user_data, in the subscription's context once it is closed
 * @error: return location
 *
 * Subscribes. Publishers may be there already or come later, on this host or on others. Does not
 * block. Fails with %COMMY_ERROR_INVALID_ARGUMENT (pattern, or a thread without a main context),
 * %COMMY_ERROR_NOT_JOINED, %COMMY_ERROR_BUSY (limit `subscriptions`).
 *
 * Returns: (transfer full): the subscription; giving back the last reference closes it
 *
 * Since: 0.1
 */
COMMY_API CommySubscription *commy_mesh_subscribe (CommyMesh *mesh,
                                                   const char *pattern,
                                                   const CommySubscribeOptions *options,
                                                   CommyPublicationFunc func,
                                                   gpointer user_data,
                                                   GDestroyNotify destroy,
                                                   GError **error);
/**
 * commy_subscription_close:
 * @subscription: a subscription
 *
 * Ends it: the function is not called again. Its thread only.
 *
 * Since: 0.1
 */
COMMY_API void commy_subscription_close (CommySubscription *subscription);
/**
 * commy_subscription_get_pattern:
 * @subscription: a subscription
 *
 * Any thread.
 *
 * Returns: (transfer none): the pattern
 *
 * Since: 0.1
 */
COMMY_API const char *commy_subscription_get_pattern (CommySubscription *subscription);
/**
 * commy_subscription_get_publishers:
 * @subscription: a subscription
 *
 * Any thread.
 *
 * Returns: how many publishers it is connected to
 *
 * Since: 0.1
 */
COMMY_API guint commy_subscription_get_publishers (CommySubscription *subscription);
/**
 * commy_subscription_get_received:
 * @subscription: a subscription
 *
 * Any thread.
 *
 * Returns: how many publications the function got
 *
 * Since: 0.1
 */
COMMY_API guint64 commy_subscription_get_received (CommySubscription *subscription);
/**
 * commy_subscription_get_lost:
 * @subscription: a subscription
 *
 * Any thread.
 *
 * Returns: how many publications did not reach it, as far as it was told
 *
 * Since: 0.1
 */
COMMY_API guint64 commy_subscription_get_lost (CommySubscription *subscription);

G_END_DECLS
