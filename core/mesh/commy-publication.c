/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a subscriber gets: a publication with its number and what was lost before it.
 */
#include "config.h"

#include "mesh/commy-subscription-private.h"

struct _CommyPublication
{
  gatomicrefcount refs;
  char *topic;     /* GRefString */
  char *publisher; /* GRefString */
  CommyPrincipal *sender;
  GVariant *value; /* NULL: raw bytes */
  GBytes *bytes;
  guint64 sequence;
  guint64 lost;
  const char *reason; /* NULL: none was lost */
  gboolean is_history;
};

G_DEFINE_BOXED_TYPE (CommyPublication,
                     commy_publication,
                     commy_publication_ref,
                     commy_publication_unref)

CommyPublication *
commy_publication_new (const CommyFeed *feed,
                       CommyPrincipal *sender,
                       GVariant *value,
                       GBytes *bytes,
                       guint64 sequence,
                       guint64 lost,
                       const char *reason)
{
  CommyPublication *self = g_new0 (CommyPublication, 1);

  g_atomic_ref_count_init (&self->refs);
  self->topic = g_ref_string_acquire (feed->topic);
  self->publisher = g_ref_string_acquire (feed->publisher);
  self->sender = commy_principal_ref (sender);
  self->value = value;
  self->bytes = bytes;
  self->sequence = sequence;
  self->lost = lost;
  self->reason = lost > 0 ? reason : NULL;
  self->is_history = sequence < feed->next;
  return self;
}

CommyPublication *
commy_publication_ref (CommyPublication *publication)
{
  g_return_val_if_fail (publication != NULL, NULL);
  g_atomic_ref_count_inc (&publication->refs);
  return publication;
}

void
commy_publication_unref (CommyPublication *self)
{
  if (self == NULL || !g_atomic_ref_count_dec (&self->refs))
    return;
  g_clear_pointer (&self->value, g_variant_unref);
  g_clear_pointer (&self->bytes, g_bytes_unref);
  commy_principal_unref (self->sender);
  g_ref_string_release (self->publisher);
  g_ref_string_release (self->topic);
  g_free (self);
}

const char *
commy_publication_get_topic (CommyPublication *publication)
{
  g_return_val_if_fail (publication != NULL, NULL);
  return publication->topic;
}

GVariant *
commy_publication_get_value (CommyPublication *publication)
{
  g_return_val_if_fail (publication != NULL, NULL);
  return publication->value;
}

GBytes *
commy_publication_get_bytes (CommyPublication *publication)
{
  g_return_val_if_fail (publication != NULL, NULL);
  return publication->bytes;
}

const char *
commy_publication_get_publisher (CommyPublication *publication)
{
  g_return_val_if_fail (publication != NULL, NULL);
  return publication->publisher;
}

CommyPrincipal *
commy_publication_get_sender (CommyPublication *publication)
{
  g_return_val_if_fail (publication != NULL, NULL);
  return publication->sender;
}

guint64
commy_publication_get_sequence (CommyPublication *publication)
{
  g_return_val_if_fail (publication != NULL, 0);
  return publication->sequence;
}

guint64
commy_publication_get_lost (CommyPublication *publication)
{
  g_return_val_if_fail (publication != NULL, 0);
  return publication->lost;
}

const char *
commy_publication_get_reason (CommyPublication *publication)
{
  g_return_val_if_fail (publication != NULL, NULL);
  return publication->reason;
}

gboolean
commy_publication_is_history (CommyPublication *publication)
{
  g_return_val_if_fail (publication != NULL, FALSE);
  return publication->is_history;
}
