/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Options of publishers and subscriptions, and how they go over the wire. What comes from the
 * other side is taken field by field; what is unknown is left to who knows it.
 */
#include "config.h"

#include "mesh/commy-topic-private.h"

#include "base/commy-error-private.h"

#include <string.h>

#define DEFAULT_DEPTH 256u

static const char *const policy_words[] = {
  [COMMY_SLOW_BLOCK] = "block",
  [COMMY_SLOW_DROP_OLDEST] = "drop-oldest",
  [COMMY_SLOW_LATEST] = "latest",
  [COMMY_SLOW_ERROR] = "error",
};

/* --- publishers --- */

G_DEFINE_BOXED_TYPE (CommyPublisherOptions,
                     commy_publisher_options,
                     commy_publisher_options_copy,
                     commy_publisher_options_free)

CommyPublisherOptions *
commy_publisher_options_new (void)
{
  CommyPublisherOptions *options = g_new0 (CommyPublisherOptions, 1);

  options->timeout_us = -1;
  return options;
}

CommyPublisherOptions *
commy_publisher_options_copy (const CommyPublisherOptions *options)
{
  g_return_val_if_fail (options != NULL, NULL);
  return g_memdup2 (options, sizeof *options);
}

void
commy_publisher_options_free (CommyPublisherOptions *options)
{
  g_free (options);
}

void
commy_publisher_options_set_history (CommyPublisherOptions *options, guint publications)
{
  g_return_if_fail (options != NULL);
  options->history = publications;
}

void
commy_publisher_options_set_timeout (CommyPublisherOptions *options, gint64 timeout_us)
{
  g_return_if_fail (options != NULL);
  g_return_if_fail (timeout_us >= -1);
  options->timeout_us = MIN (timeout_us, G_MAXINT64 / 4000);
}

/* --- subscriptions --- */

G_DEFINE_BOXED_TYPE (CommySubscribeOptions,
                     commy_subscribe_options,
                     commy_subscribe_options_copy,
                     commy_subscribe_options_free)

CommySubscribeOptions *
commy_subscribe_options_new (void)
{
  CommySubscribeOptions *options = g_new0 (CommySubscribeOptions, 1);

  options->policy = COMMY_SLOW_DROP_OLDEST;
  options->depth = DEFAULT_DEPTH;
  return options;
}

CommySubscribeOptions *
commy_subscribe_options_copy (const CommySubscribeOptions *options)
{
  CommySubscribeOptions *copy;

  g_return_val_if_fail (options != NULL, NULL);
  copy = g_memdup2 (options, sizeof *options);
  if (options->requirements != NULL)
    copy->requirements = commy_requirements_copy (options->requirements);
  return copy;
}

void
commy_subscribe_options_free (CommySubscribeOptions *options)
{
  if (options == NULL)
    return;
  g_clear_pointer (&options->requirements, commy_requirements_free);
  g_free (options);
}

void
commy_subscribe_options_set_policy (CommySubscribeOptions *options,
                                    CommySlowPolicy policy,
                                    guint depth)
{
  g_return_if_fail (options != NULL);
  g_return_if_fail (policy >= COMMY_SLOW_BLOCK && policy <= COMMY_SLOW_ERROR);
  g_return_if_fail (depth > 0);
  options->policy = policy;
  options->depth = depth;
}

void
commy_subscribe_options_set_history (CommySubscribeOptions *options, guint publications)
{
  g_return_if_fail (options != NULL);
  options->history = publications;
}

void
commy_subscribe_options_set_requirements (CommySubscribeOptions *options,
                                          const CommyRequirements *requirements)
{
  g_return_if_fail (options != NULL);
  g_clear_pointer (&options->requirements, commy_requirements_free);
  if (requirements != NULL)
    options->requirements = commy_requirements_copy (requirements);
}

/* --- over the wire --- */

GVariant *
commy_subscribe_request_write (const CommySubscribeOptions *options,
                               const char *publisher,
                               guint64 after)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&builder, "{sv}", "policy",
                         g_variant_new_string (policy_words[options->policy]));
  g_variant_builder_add (&builder, "{sv}", "depth", g_variant_new_uint32 (options->depth));
  g_variant_builder_add (&builder, "{sv}", "history", g_variant_new_uint32 (options->history));
  if (publisher != NULL)
    {
      g_variant_builder_add (&builder, "{sv}", "publisher", g_variant_new_string (publisher));
      g_variant_builder_add (&builder, "{sv}", "after", g_variant_new_uint64 (after));
    }
  return g_variant_new ("(@a{sv})", g_variant_builder_end (&builder));
}

/* 0: no such policy. */
static CommySlowPolicy
policy_of (const char *word)
{
  for (guint i = COMMY_SLOW_BLOCK; i <= COMMY_SLOW_ERROR; i++)
    if (strcmp (policy_words[i], word) == 0)
      return i;
  return 0;
}

gboolean
commy_subscribe_request_read (GVariant *parameters, CommySubscribeRequest *out, GError **error)
{
  g_autoptr (GVariant) dict = NULL;
  const char *policy = "drop-oldest";
  const char *publisher = "";

  *out = (CommySubscribeRequest){ .depth = DEFAULT_DEPTH };
  if (parameters == NULL || !g_variant_is_of_type (parameters, G_VARIANT_TYPE ("(a{sv})")))
    {
      commy_set_error (error, COMMY_ERROR_TYPE, "a subscriber's wishes are (a{sv})");
      return FALSE;
    }
  dict = g_variant_get_child_value (parameters, 0);
  g_variant_lookup (dict, "policy", "&s", &policy);
  g_variant_lookup (dict, "depth", "u", &out->depth);
  g_variant_lookup (dict, "history", "u", &out->history);
  g_variant_lookup (dict, "publisher", "&s", &publisher);
  g_variant_lookup (dict, "after", "t", &out->after);
  g_strlcpy (out->publisher, publisher, sizeof out->publisher);
  out->policy = policy_of (policy);
  if (out->policy == 0)
    commy_set_error (error, COMMY_ERROR_INVALID_ARGUMENT,
                     "\"%.32s\" is no policy for a slow subscriber; there are block, drop-oldest, "
                     "latest and error",
                     policy);
  else if (out->depth == 0)
    commy_set_error (error, COMMY_ERROR_INVALID_ARGUMENT, "a subscriber's depth is 1 at least");
  else
    return TRUE;
  return FALSE;
}

GVariant *
commy_topic_greeting_write (const CommyTopicGreeting *greeting)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add (&builder, "{sv}", "publisher", g_variant_new_string (greeting->publisher));
  g_variant_builder_add (&builder, "{sv}", "next", g_variant_new_uint64 (greeting->next));
  g_variant_builder_add (&builder, "{sv}", "replay", g_variant_new_uint64 (greeting->replay));
  return g_variant_builder_end (&builder);
}

gboolean
commy_topic_greeting_read (GVariant *value, CommyTopicGreeting *out)
{
  const char *publisher;

  if (!g_variant_is_of_type (value, G_VARIANT_TYPE_VARDICT)
      || !g_variant_lookup (value, "publisher", "&s", &publisher)
      || strlen (publisher) != sizeof out->publisher - 1
      || !g_variant_lookup (value, "next", "t", &out->next)
      || !g_variant_lookup (value, "replay", "t", &out->replay) || out->replay >= out->next)
    return FALSE;
  memcpy (out->publisher, publisher, sizeof out->publisher);
  return TRUE;
}

/* --- counts --- */

CommyTopicCounts *
commy_topic_counts_new (void)
{
  CommyTopicCounts *counts = g_new0 (CommyTopicCounts, 1);

  g_atomic_ref_count_init (&counts->refs);
  return counts;
}

CommyTopicCounts *
commy_topic_counts_ref (CommyTopicCounts *counts)
{
  g_atomic_ref_count_inc (&counts->refs);
  return counts;
}

void
commy_topic_counts_unref (CommyTopicCounts *counts)
{
  if (counts != NULL && g_atomic_ref_count_dec (&counts->refs))
    g_free (counts);
}
