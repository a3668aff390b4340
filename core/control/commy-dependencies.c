/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A short list, the last one first. What is too old is not told, but stays until its place is
 * needed: it may be called again.
 */
#include "config.h"

#include "control/commy-dependencies.h"

#include "base/commy-dotted-name.h"

#include <string.h>

#define OWN "org.commy."

typedef struct
{
  char *service;
  gint64 last_s;
  gint64 told_s; /* `last_s` as it was told; 0: it was not */
} Dependency;

struct _CommyDependencies
{
  GMutex lock;
  GQueue list; /* Dependency, the last one first; under lock */
};

static void
dependency_free (gpointer data)
{
  Dependency *dependency = data;

  g_free (dependency->service);
  g_free (dependency);
}

CommyDependencies *
commy_dependencies_new (void)
{
  CommyDependencies *self = g_new0 (CommyDependencies, 1);

  g_mutex_init (&self->lock);
  g_queue_init (&self->list);
  return self;
}

void
commy_dependencies_free (CommyDependencies *self)
{
  if (self == NULL)
    return;
  g_queue_clear_full (&self->list, dependency_free);
  g_mutex_clear (&self->lock);
  g_free (self);
}

static GList *
find (CommyDependencies *self, const char *service)
{
  for (GList *at = self->list.head; at != NULL; at = at->next)
    if (strcmp (((Dependency *) at->data)->service, service) == 0)
      return at;
  return NULL;
}

void
commy_dependencies_note (CommyDependencies *self, const char *service, gint64 now_s)
{
  GList *link;

  if (g_str_has_prefix (service, OWN) || !commy_endpoint_name_is_valid (service))
    return;
  g_mutex_lock (&self->lock);
  link = find (self, service);
  if (link != NULL)
    g_queue_unlink (&self->list, link);
  else
    {
      Dependency *added = g_new0 (Dependency, 1);

      added->service = g_strdup (service);
      link = g_list_append (NULL, added);
    }
  g_queue_push_head_link (&self->list, link);
  ((Dependency *) link->data)->last_s = now_s;
  if (self->list.length > COMMY_DEPENDENCIES_MAX)
    dependency_free (g_queue_pop_tail (&self->list));
  g_mutex_unlock (&self->lock);
}

static gboolean
is_recent (const Dependency *dependency, gint64 now_s)
{
  return now_s - dependency->last_s < COMMY_DEPENDENCIES_AGE_S;
}

gboolean
commy_dependencies_are_news (CommyDependencies *self, gint64 now_s)
{
  gboolean are = FALSE;

  g_mutex_lock (&self->lock);
  for (GList *at = self->list.head; at != NULL && !are; at = at->next)
    {
      const Dependency *dependency = at->data;

      are = is_recent (dependency, now_s)
                ? dependency->told_s == 0
                      || dependency->last_s - dependency->told_s >= COMMY_DEPENDENCIES_AGE_S / 4
                : dependency->told_s != 0;
    }
  g_mutex_unlock (&self->lock);
  return are;
}

GVariant *
commy_dependencies_tell (CommyDependencies *self, gint64 now_s)
{
  GVariantBuilder list;
  gsize bytes = 0;

  g_variant_builder_init (&list, G_VARIANT_TYPE ("a(sx)"));
  g_mutex_lock (&self->lock);
  for (GList *at = self->list.head; at != NULL; at = at->next)
    {
      Dependency *dependency = at->data;
      gboolean is_told = is_recent (dependency, now_s);

      bytes += is_told ? strlen (dependency->service) : 0;
      /* What has no room counts as told, too, or it would be news for ever. */
      dependency->told_s = is_told ? dependency->last_s : 0;
      if (is_told && bytes <= COMMY_DEPENDENCIES_BYTES)
        g_variant_builder_add (&list, "(sx)", dependency->service, dependency->last_s);
    }
  g_mutex_unlock (&self->lock);
  return g_variant_builder_end (&list);
}

GVariant *
commy_dependencies_check (GVariant *told)
{
  GVariantBuilder list;
  const char *service;
  gint64 last_s;
  GVariantIter iter;
  guint n = 0;

  g_variant_builder_init (&list, G_VARIANT_TYPE ("a(sx)"));
  g_variant_iter_init (&iter, told);
  while (n < COMMY_DEPENDENCIES_MAX && g_variant_iter_next (&iter, "(&sx)", &service, &last_s))
    {
      if (!commy_endpoint_name_is_valid (service))
        continue;
      g_variant_builder_add (&list, "(sx)", service, last_s);
      n++;
    }
  return g_variant_builder_end (&list);
}
