/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What comes from one publisher: its stream, opened again while the mesh knows of it, and the
 * numbers that say what is missing. Nothing is given out twice.
 */
#include "config.h"

#include "mesh/commy-subscription-private.h"

#include "base/commy-dotted-name.h"
#include "base/commy-error-private.h"

#include <string.h>

#define FIRST_RETRY_MS 50u
#define LAST_RETRY_MS 5000u
#define DELIVERIES_A_TURN 256u

static void open_stream (CommyFeed *self);

static CommyWorker *
worker_of (const CommyFeed *self)
{
  return self->subscription->watcher->worker->worker;
}

/* --- life --- */

CommyFeed *
commy_feed_ref (CommyFeed *feed)
{
  g_atomic_ref_count_inc (&feed->refs);
  return feed;
}

void
commy_feed_unref (gpointer data)
{
  CommyFeed *self = data;

  if (!g_atomic_ref_count_dec (&self->refs))
    return;
  g_assert (self->subscription == NULL && self->stream == NULL);
  g_clear_object (&self->client);
  g_clear_pointer (&self->publisher, g_ref_string_release);
  g_ref_string_release (self->topic);
  g_free (self->instance);
  g_free (self);
}

CommyFeed *
commy_feed_new (CommySubscription *subscription, const char *topic, const char *instance)
{
  g_autofree char *endpoint = g_strconcat (COMMY_TOPIC_PREFIX, topic, NULL);
  CommyFeed *self = g_new0 (CommyFeed, 1);

  g_atomic_ref_count_init (&self->refs);
  self->subscription = subscription;
  self->topic = g_ref_string_new (topic);
  self->instance = g_strdup (instance);
  self->client = commy_client_new (subscription->mesh, endpoint);
  commy_client_set_instance (self->client, instance);
  if (subscription->options->requirements != NULL)
    commy_client_set_requirements (self->client, subscription->options->requirements);
  open_stream (self);
  return self;
}

static void
drop_retry (CommyFeed *self)
{
  if (self->retry == NULL)
    return;
  g_source_destroy (self->retry);
  g_clear_pointer (&self->retry, g_source_unref);
}

static void
drop_stream (CommyFeed *self)
{
  if (self->stream == NULL)
    return;
  commy_stream_watch (self->stream, NULL, NULL);
  __atomic_sub_fetch (&self->subscription->watcher->counts->peers, self->greeted, __ATOMIC_RELAXED);
  self->greeted = FALSE;
  g_clear_object (&self->stream);
}

void
commy_feed_close (CommyFeed *self)
{
  if (self->subscription == NULL)
    return;
  drop_retry (self);
  if (self->cancellable != NULL)
    g_cancellable_cancel (self->cancellable);
  g_clear_object (&self->cancellable);
  drop_stream (self); /* its last reference cancels it */
  self->subscription = NULL;
}

/* --- the end of a stream --- */

static gboolean
on_retry (gpointer data)
{
  CommyFeed *self = data;

  drop_retry (self);
  open_stream (self);
  return G_SOURCE_REMOVE;
}

static void
try_later (CommyFeed *self)
{
  guint delay = FIRST_RETRY_MS << MIN (self->failures, 10);

  self->failures++;
  self->retry = g_timeout_source_new (MIN (delay, LAST_RETRY_MS));
  g_source_set_callback (self->retry, on_retry, self, NULL);
  g_source_attach (self->retry, commy_worker_get_context (worker_of (self)));
}

/* What another try will not change while the publisher is the same. */
static gboolean
is_final (const CommyFeed *self, const GError *error)
{
  if (error == NULL || error->domain != COMMY_ERROR)
    return FALSE;
  switch (error->code)
    {
    case COMMY_ERROR_DENIED:
    case COMMY_ERROR_NO_METHOD:
    case COMMY_ERROR_TYPE:
    case COMMY_ERROR_INVALID_ARGUMENT:
      return TRUE;
    case COMMY_ERROR_BUSY:
      return self->publisher != NULL && self->subscription->options->policy == COMMY_SLOW_ERROR;
    default:
      return FALSE;
    }
}

/* No stream is open any more. @error: NULL: the publisher has ended it. */
static void
ended (CommyFeed *self, const GError *error)
{
  CommySubscription *subscription = self->subscription;
  gboolean tell = self->greeted || (!self->complained && !self->orphan);

  self->refused = is_final (self, error);
  self->complained = TRUE;
  drop_stream (self);
  if (tell)
    commy_subscription_tell_removed (subscription, self, error);
  if (self->subscription == NULL)
    return;
  if (self->orphan)
    commy_subscription_drop_feed (subscription, self);
  else if (!self->refused)
    try_later (self);
}

gboolean
commy_feed_set_known (CommyFeed *self, gboolean known)
{
  self->orphan = !known;
  return !known && self->stream == NULL;
}

/* --- what comes --- */

static gboolean
take_greeting (CommyFeed *self, const CommyPipeMessage *message, GError **error)
{
  g_autoptr (GVariant) value = NULL;
  CommyTopicGreeting greeting;

  if (message->signature != NULL)
    value = commy_value_decode (self->stream->pipe->channel, message->serializer,
                                message->signature, message->bytes, NULL);
  if (value == NULL || !commy_topic_greeting_read (value, &greeting))
    {
      commy_set_error (error, COMMY_ERROR_PROTOCOL, "the publisher of %s does not say who it is",
                       self->topic);
      return FALSE;
    }
  if (g_strcmp0 (self->publisher, greeting.publisher) != 0)
    {
      g_clear_pointer (&self->publisher, g_ref_string_release);
      self->publisher = g_ref_string_new (greeting.publisher);
      self->last = greeting.next - 1 - greeting.replay;
    }
  self->next = greeting.next;
  self->greeted = TRUE;
  self->complained = FALSE;
  self->failures = 0;
  __atomic_add_fetch (&self->subscription->watcher->counts->peers, 1, __ATOMIC_RELAXED);
  commy_subscription_tell_added (self->subscription, self);
  return TRUE;
}

static CommyDrop
reason_of_gap (const CommyFeed *self, guint64 sequence)
{
  CommySlowPolicy policy = self->subscription->options->policy;

  if (sequence <= self->next && policy != COMMY_SLOW_LATEST)
    return COMMY_DROP_PEER_GONE;
  return policy == COMMY_SLOW_BLOCK ? COMMY_DROP_DEADLINE : COMMY_DROP_BUSY;
}

static void
lose (CommyFeed *self, guint64 count, CommyDrop reason)
{
  if (count > 0)
    commy_subscription_tell_lost (self->subscription, self, count, reason);
}

/* (transfer full): NULL: it cannot be read */
static CommyPublication *
read_publication (CommyFeed *self, const CommyPipeMessage *message, guint64 sequence, guint64 lost)
{
  CommyChannel *channel = self->stream->pipe->channel;
  CommyPlugin *serializer = commy_channel_get_serializer (channel, message->serializer);
  const char *reason = commy_drop_to_string (reason_of_gap (self, sequence));
  GVariant *value = NULL;
  GBytes *bytes = NULL;

  if (message->signature != NULL)
    value = commy_value_decode (channel, message->serializer, message->signature, message->bytes,
                                NULL);
  else if (serializer != NULL && (serializer->profile.capabilities & COMMY_CAP_BYTES) != 0)
    bytes = g_bytes_ref (message->bytes);
  if (value == NULL && bytes == NULL)
    return NULL;
  return commy_publication_new (self, commy_channel_get_peer (channel), value, bytes, sequence,
                                lost, reason);
}

static void
take_publication (CommyFeed *self, const CommyPipeMessage *message)
{
  guint32 ahead = message->number - (guint32) self->last;
  guint64 sequence = self->last + ahead;
  g_autoptr (CommyPublication) publication = NULL;
  CommyMesh *mesh = self->subscription->mesh;

  if (ahead == 0 || ahead > G_MAXINT32)
    {
      commy_ledger_add (&mesh->ledger, COMMY_DROP_DUPLICATE, 1, self->topic);
      return;
    }
  publication = read_publication (self, message, sequence, ahead - 1);
  lose (self, ahead - 1, reason_of_gap (self, sequence));
  self->last = sequence;
  if (self->subscription == NULL)
    return;
  if (publication != NULL)
    {
      commy_subscription_give (self->subscription, publication);
      return;
    }
  commy_ledger_add (&mesh->ledger, COMMY_DROP_MALFORMED, 1, self->topic);
  lose (self, 1, COMMY_DROP_MALFORMED);
}

static void
take_message (CommyFeed *self, const CommyPipeMessage *message)
{
  g_autoptr (GError) error = NULL;

  if (self->greeted)
    take_publication (self, message);
  else if (!take_greeting (self, message, &error))
    {
      commy_pipe_abort (self->stream->pipe, (guint32) error->code, commy_error_bare (error));
      ended (self, error);
    }
}

/* Only the newest matters: what is on its way is looked at first, which credit bounds. */
static void
skip_to_newest (CommyFeed *self)
{
  CommyPipe *pipe = self->stream->pipe;
  guint skipped = 0;

  if (!self->greeted)
    return;
  while (commy_channel_poll (pipe->channel))
    ;
  /* That disarmed the path: the loop must arm it again. */
  commy_worker_set_hot (worker_of (self), pipe->channel);
  while (pipe->n_unread > 1)
    {
      g_autoptr (CommyPipeMessage) message = commy_pipe_take (pipe);

      commy_pipe_give_back (pipe, message->credit);
      skipped++;
    }
  if (skipped > 0)
    commy_ledger_add (&self->subscription->mesh->ledger, COMMY_DROP_BUSY, skipped, self->topic);
}

/* The pipe has ended and everything was read. */
static void
take_end (CommyFeed *self)
{
  CommyStream *stream = self->stream;
  g_autoptr (GError) error = stream->pipe->error != NULL    ? g_error_copy (stream->pipe->error)
                             : stream->result_error != NULL ? g_error_copy (stream->result_error)
                                                            : NULL;
  guint64 published = 0;

  if (self->greeted && stream->result != NULL
      && g_variant_is_of_type (stream->result, G_VARIANT_TYPE ("(t)")))
    g_variant_get (stream->result, "(t)", &published);
  if (published > self->last)
    {
      guint64 missing = published - self->last;

      self->last = published;
      lose (self, missing, COMMY_DROP_STOPPING);
    }
  if (self->subscription != NULL && self->stream != NULL)
    ended (self, error);
}

void
commy_feed_deliver (CommyFeed *self)
{
  guint budget = DELIVERIES_A_TURN;

  self->scheduled = FALSE;
  if (self->delivering || self->stream == NULL)
    return;
  commy_feed_ref (self);
  self->delivering = TRUE;
  if (self->subscription->options->policy == COMMY_SLOW_LATEST)
    skip_to_newest (self);
  while (self->stream != NULL && budget-- > 0)
    {
      CommyPipe *pipe = self->stream->pipe;
      g_autoptr (CommyPipeMessage) message = commy_pipe_take (pipe);

      if (message == NULL)
        break;
      commy_pipe_give_back (pipe, message->credit);
      take_message (self, message);
    }
  if (self->stream != NULL && self->stream->pipe->inbox.length > 0)
    commy_subscription_schedule (self->subscription, self);
  else if (self->stream != NULL && !self->stream->pipe->is_open)
    take_end (self);
  self->delivering = FALSE;
  commy_feed_unref (self);
}

/* What comes while the application waits inside a call is for later, and what is to be thinned out
 * should first have come. */
static void
on_changed (gpointer data)
{
  CommyFeed *self = data;

  if (self->delivering || self->scheduled)
    return;
  if (commy_worker_in_sync (worker_of (self))
      || self->subscription->options->policy == COMMY_SLOW_LATEST)
    commy_subscription_schedule (self->subscription, self);
  else
    commy_feed_deliver (self);
}

/* --- opening --- */

static void
on_opened (GObject *source, GAsyncResult *result, gpointer data)
{
  CommyFeed *self = data;
  g_autoptr (GError) error = NULL;
  g_autoptr (CommyStream) stream
      = commy_client_open_stream_finish (COMMY_CLIENT (source), result, &error);

  if (self->subscription != NULL)
    {
      CommyWorker *worker = commy_worker_hold (worker_of (self));

      commy_worker_enter (worker);
      g_clear_object (&self->cancellable);
      if (stream == NULL)
        ended (self, error);
      else
        {
          self->stream = g_steal_pointer (&stream);
          commy_stream_watch (self->stream, on_changed, self);
          on_changed (self);
        }
      commy_worker_exit (worker);
      commy_worker_release (worker);
    }
  commy_feed_unref (self);
}

static void
open_stream (CommyFeed *self)
{
  GVariant *request
      = commy_subscribe_request_write (self->subscription->options, self->publisher, self->last);

  self->cancellable = g_cancellable_new ();
  commy_client_open_stream (self->client, COMMY_TOPIC_METHOD, request, NULL, self->cancellable,
                            on_opened, commy_feed_ref (self));
}
