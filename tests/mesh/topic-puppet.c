/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The listener checks each publication as it comes; the puppet runs listeners and publishers in a
 * child's main context.
 */
#include "config.h"

#include "topic-puppet.h"

#include "mesh/commy-service-private.h"

#include <string.h>

/* --- listener --- */

static void
check_number (Listener *self, CommyPublication *publication)
{
  const char *publisher = commy_publication_get_publisher (publication);
  gint32 number = g_variant_get_int32 (commy_publication_get_value (publication));
  gint32 lost = (gint32) commy_publication_get_lost (publication);
  gint32 last = GPOINTER_TO_INT (g_hash_table_lookup (self->last, publisher));

  if (last != 0 && number != last + lost + 1)
    {
      g_test_message ("%d after %d with %d lost", number, last, lost);
      self->wrong++;
    }
  g_hash_table_replace (self->last, g_strdup (publisher), GINT_TO_POINTER (number));
  if (self->first == 0)
    self->first = number;
  self->newest = number;
}

static void
on_publication (CommySubscription *subscription, CommyPublication *publication, gpointer data)
{
  Listener *self = data;
  const char *topic = commy_publication_get_topic (publication);
  guint count = GPOINTER_TO_UINT (g_hash_table_lookup (self->count, topic));

  self->received++;
  self->history += commy_publication_is_history (publication);
  g_hash_table_replace (self->count, g_strdup (topic), GUINT_TO_POINTER (count + 1));
  if (commy_publication_get_value (publication) != NULL)
    check_number (self, publication);
  if (self->close_after > 0 && self->received == self->close_after)
    commy_subscription_close (subscription);
}

static void
on_lost (CommySubscription *subscription,
         const char *topic,
         const char *publisher,
         guint64 count,
         const char *reason,
         gpointer data)
{
  Listener *self = data;

  self->lost += count;
  g_free (self->reason);
  self->reason = g_strdup (reason);
}

static void
on_added (CommySubscription *subscription, const char *topic, const char *publisher, gpointer data)
{
  ((Listener *) data)->added++;
}

static void
on_removed (CommySubscription *subscription,
            const char *topic,
            const char *publisher,
            const GError *error,
            gpointer data)
{
  Listener *self = data;

  self->removed++;
  self->code = error != NULL ? error->code : 0;
}

Listener *
listener_new (CommyMesh *mesh, const char *pattern, const CommySubscribeOptions *options)
{
  Listener *self = g_new0 (Listener, 1);
  g_autoptr (GError) error = NULL;

  self->last = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  self->count = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  self->subscription
      = commy_mesh_subscribe (mesh, pattern, options, on_publication, self, NULL, &error);
  g_assert_no_error (error);
  g_signal_connect (self->subscription, "lost", G_CALLBACK (on_lost), self);
  g_signal_connect (self->subscription, "publisher-added", G_CALLBACK (on_added), self);
  g_signal_connect (self->subscription, "publisher-removed", G_CALLBACK (on_removed), self);
  return self;
}

void
listener_free (Listener *self)
{
  g_object_unref (self->subscription);
  g_hash_table_unref (self->last);
  g_hash_table_unref (self->count);
  g_free (self->reason);
  g_free (self);
}

void
listener_await (Listener *self, guint64 received_or_lost)
{
  while (self->received + self->lost < received_or_lost)
    g_main_context_iteration (NULL, TRUE);
}

CommySubscribeOptions *
wishes (CommySlowPolicy policy, guint depth, guint history)
{
  CommySubscribeOptions *options = commy_subscribe_options_new ();

  commy_subscribe_options_set_policy (options, policy, depth);
  commy_subscribe_options_set_history (options, history);
  return options;
}

/* --- short forms --- */

CommyPublisher *
publisher_new (CommyMesh *mesh, const char *topic, guint history)
{
  g_autoptr (CommyPublisherOptions) options = commy_publisher_options_new ();
  CommyPublisher *publisher;
  g_autoptr (GError) error = NULL;

  commy_publisher_options_set_history (options, history);
  /* Where the keyfile says nothing: those who say "block" are to get everything. */
  if (commy_config_get_duration (mesh->config, "limits", "publish-timeout") == 0)
    commy_publisher_options_set_timeout (options, G_USEC_PER_SEC);
  publisher = commy_publisher_new (mesh, topic, options);
  commy_publisher_start_sync (publisher, NULL, &error);
  g_assert_no_error (error);
  return publisher;
}

void
publish (CommyPublisher *publisher, gint32 from, gint32 count)
{
  g_autoptr (GError) error = NULL;

  for (gint32 i = 0; i < count; i++)
    {
      commy_publisher_publish (publisher, g_variant_new_int32 (from + i), &error);
      g_assert_no_error (error);
    }
}

void
await_subscribers (CommyPublisher *publisher, guint n)
{
  while (commy_publisher_get_subscribers (publisher) != n)
    g_main_context_iteration (NULL, TRUE);
}

CommyMesh *
join_over (MeshFixture *fixture, const char *transport)
{
  g_autofree char *settings
      = g_strdup_printf ("[selection]\npreference=pin\ntransports=%s\n", transport);

  return mesh_fixture_join (fixture, settings);
}

void
leave (CommyMesh *mesh)
{
  commy_mesh_leave_sync (mesh, NULL, NULL);
  g_object_unref (mesh);
}

static void
keep_result (GObject *source, GAsyncResult *result, gpointer data)
{
  *(GAsyncResult **) data = g_object_ref (result);
}

/* The main context is iterated meanwhile: this process's publishers are served there. */
GVariant *
tell (CommyMesh *mesh, ServiceChild *child, const char *method, GVariant *arguments)
{
  g_autoptr (CommyClient) client = commy_client_new (mesh, TEST_SERVICE);
  g_autoptr (GAsyncResult) result = NULL;
  g_autoptr (GError) error = NULL;
  GVariant *answer;

  commy_client_set_instance (client, child->instance);
  commy_client_call (client, method, arguments, NULL, NULL, keep_result, &result);
  while (result == NULL)
    g_main_context_iteration (NULL, TRUE);
  answer = commy_client_call_finish (client, result, &error);
  g_assert_no_error (error);
  return answer;
}

/* --- puppet --- */

typedef struct
{
  Listener *listener;
  GPtrArray *publishers;
  CommyInvocation *waiting;
  guint64 wanted;
  gboolean wants_end;
} Puppet;

static void
puppet_free (gpointer data)
{
  Puppet *self = data;

  g_clear_pointer (&self->listener, listener_free);
  g_ptr_array_unref (self->publishers);
  g_free (self);
}

static void
answer_if_there (Puppet *self)
{
  const Listener *listener = self->listener;

  if (self->waiting == NULL || listener->received + listener->lost < self->wanted
      || (self->wants_end && listener->removed == 0))
    return;
  commy_invocation_return_value (g_steal_pointer (&self->waiting),
                                 g_variant_new ("(tttiis)", listener->received, listener->lost,
                                                listener->wrong, listener->newest, listener->code,
                                                listener->reason != NULL ? listener->reason : ""));
}

/* An idle that is always there would be simpler, and would keep a processor busy. */
static gboolean
on_look (gpointer data)
{
  answer_if_there (data);
  return ((Puppet *) data)->waiting != NULL ? G_SOURCE_CONTINUE : G_SOURCE_REMOVE;
}

static void
on_await (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  Puppet *self = data;

  self->wants_end = strcmp (commy_invocation_get_method (invocation), "AwaitEnd") == 0;
  g_variant_get (commy_invocation_get_parameters (invocation), "(t)", &self->wanted);
  self->waiting = invocation;
  answer_if_there (self);
  if (self->waiting != NULL)
    g_timeout_add (2, on_look, self);
}

static void
on_follow (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  Puppet *self = data;
  g_autoptr (CommySubscribeOptions) options = NULL;
  guint policy, depth, history;
  const char *pattern;

  g_variant_get (commy_invocation_get_parameters (invocation), "(&suuu)", &pattern, &policy, &depth,
                 &history);
  options = wishes (policy, depth, history);
  self->listener = listener_new (service->mesh, pattern, options);
  commy_invocation_return_value (invocation, NULL);
}

static CommyPublisher *
find_publisher (Puppet *self, CommyMesh *mesh, const char *topic, guint history)
{
  CommyPublisher *publisher;

  for (guint i = 0; i < self->publishers->len; i++)
    if (strcmp (commy_publisher_get_topic (self->publishers->pdata[i]), topic) == 0)
      return self->publishers->pdata[i];
  publisher = publisher_new (mesh, topic, history);
  g_ptr_array_add (self->publishers, publisher);
  return publisher;
}

static void
on_publish (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  guint count, from, history;
  const char *topic;
  CommyPublisher *publisher;

  g_variant_get (commy_invocation_get_parameters (invocation), "(&suuu)", &topic, &count, &from,
                 &history);
  publisher = find_publisher (data, service->mesh, topic, history);
  for (guint i = 0; i < count; i++)
    g_assert_true (
        commy_publisher_publish (publisher, g_variant_new_int32 ((gint32) (from + i)), NULL));
  commy_invocation_return_value (invocation, NULL);
}

static void
on_close (CommyService *service, CommyInvocation *invocation, gpointer data)
{
  g_ptr_array_set_size (((Puppet *) data)->publishers, 0);
  commy_invocation_return_value (invocation, NULL);
}

void
puppet_extend (CommyService *service)
{
  Puppet *self = g_new0 (Puppet, 1);

  self->publishers = g_ptr_array_new_with_free_func (g_object_unref);
  commy_service_handle (service, "Follow", on_follow, self, NULL);
  commy_service_handle (service, "Await", on_await, self, NULL);
  commy_service_handle (service, "AwaitEnd", on_await, self, NULL);
  commy_service_handle (service, "Publish", on_publish, self, NULL);
  commy_service_handle (service, "Close", on_close, self, NULL);
  g_object_set_data_full (G_OBJECT (service), "puppet", self, puppet_free);
}
