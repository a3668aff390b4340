/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a service's record says beyond what it is made of, and writing it anew while it is offered:
 * version, tags, metadata, weight, place, health, and whether it drains. One write at a time, so
 * that a later one never loses to an earlier one on its way through the store.
 */
#include "config.h"

#include "base/commy-error-private.h"
#include "base/commy-selector.h"
#include "base/commy-semver.h"
#include "mesh/commy-health-checks.h"
#include "mesh/commy-service-private.h"

#include <string.h>

#define TAGS_MAX 64u
#define METADATA_MAX 64u
#define WEIGHT_MAX 1000u

void
commy_service_facts_clear (CommyServiceFacts *facts)
{
  g_clear_pointer (&facts->version, g_free);
  g_clear_pointer (&facts->tags, g_strfreev);
  g_clear_pointer (&facts->metadata, g_variant_unref);
  g_clear_pointer (&facts->health, g_free);
}

/* --- what it says --- */

static void
set_text (char **text, const char *to)
{
  g_free (*text);
  *text = g_strdup (to != NULL ? to : "");
}

static GVariant *
read_pairs (CommyConfig *config, const char *group)
{
  g_auto (GStrv) pairs = commy_config_get_list (config, group, "metadata");
  g_autoptr (GHashTable) seen = g_hash_table_new (g_str_hash, g_str_equal);
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("a{ss}"));
  for (guint i = 0; pairs[i] != NULL && g_hash_table_size (seen) < METADATA_MAX; i++)
    {
      char *colon = strchr (pairs[i], ':'); /* checked when the keyfile was read */

      *colon = '\0';
      if (g_hash_table_add (seen, pairs[i]))
        g_variant_builder_add (&builder, "{ss}", pairs[i], colon + 1);
    }
  return g_variant_ref_sink (g_variant_builder_end (&builder));
}

static void
fill_tags (CommyInstance *instance, CommyConfig *config, const char *group, char **own)
{
  char **tags = commy_config_get (config, group, "tags") != NULL
                    ? commy_config_get_list (config, group, "tags")
                    : g_strdupv (own);

  if (tags == NULL)
    tags = g_new0 (char *, 1);
  for (guint n = g_strv_length (tags); n > TAGS_MAX; n--)
    g_clear_pointer (&tags[n - 1], g_free);
  g_strfreev (instance->tags);
  instance->tags = tags;
}

static void
fill_metadata (CommyInstance *instance, CommyConfig *config, const char *group, GVariant *own)
{
  GVariant *metadata = NULL;

  if (commy_config_get (config, group, "metadata") != NULL)
    metadata = read_pairs (config, group);
  else if (own != NULL)
    metadata = g_variant_ref (own);
  else
    metadata = g_variant_ref_sink (g_variant_new ("a{ss}", NULL));
  g_variant_unref (instance->metadata);
  instance->metadata = metadata;
}

static void
fill_health (CommyService *self)
{
  CommyInstance *instance = self->instance;
  g_autofree char *health = commy_service_dup_health (self);

  if (strcmp (instance->health, health) == 0)
    return;
  if (self->is_listed)
    commy_health_checks_note_own (self->mesh->health, instance, health);
  set_text (&instance->health, health);
}

gboolean
commy_service_can_drain (CommyService *self)
{
  return self != self->mesh->node_service && self->counts == NULL;
}

/* Only this thread reads the record; others look at its id and its interface, which stay. */
static void
fill (CommyService *self)
{
  CommyInstance *instance = self->instance;
  CommyConfig *config = self->mesh->config;
  g_autofree char *group = g_strdup_printf ("service %s", self->name);
  const char *version = commy_config_get (config, group, "version");
  guint32 weight = (guint32) commy_config_get_int (config, group, "weight");

  g_mutex_lock (&self->lock);
  set_text (&instance->version, version != NULL ? version : self->facts.version);
  fill_tags (instance, config, group, self->facts.tags);
  fill_metadata (instance, config, group, self->facts.metadata);
  instance->weight = weight != 0 ? weight : MAX (self->facts.weight, 1);
  g_mutex_unlock (&self->lock);
  fill_health (self);
  instance->draining = self->mesh->is_cordoned && commy_service_can_drain (self);
  set_text (&instance->zone, commy_config_get (config, "mesh", "zone"));
  set_text (&instance->region, commy_config_get (config, "mesh", "region"));
}

/* --- writing --- */

typedef struct
{
  CommyService *service;
  CommyRegistryFunc done;
  gpointer data;
} Writing;

static void
end_of_write (CommyService *self)
{
  CommyWorkFunc next = self->after_write;

  self->is_writing = FALSE;
  self->after_write = NULL;
  if (next != NULL)
    next (g_object_ref (self));
  else if (self->is_stale)
    commy_service_relist_here (self);
}

static void
on_listed (gpointer data, const GError *error)
{
  Writing *writing = data;
  CommyService *self = writing->service;

  self->is_listed = error == NULL;
  writing->done (writing->data, error);
  end_of_write (self);
  g_object_unref (self);
  g_free (writing);
}

void
commy_service_list_here (CommyService *self, CommyRegistryFunc done, gpointer data)
{
  Writing *writing = g_new0 (Writing, 1);

  fill (self);
  writing->service = g_object_ref (self);
  writing->done = done;
  writing->data = data;
  self->is_stale = FALSE;
  self->is_writing = TRUE;
  commy_registry_add (self->mesh->registry, self->instance, on_listed, writing);
}

static void
on_relisted (gpointer data, const GError *error)
{
  CommyService *self = data;

  /* The registration said what it does about it. */
  end_of_write (self);
  g_object_unref (self);
}

void
commy_service_relist_here (CommyService *self)
{
  if (self->is_writing)
    {
      self->is_stale = TRUE;
      return;
    }
  self->is_stale = FALSE;
  if (!self->is_listed || self->instance == NULL || self->mesh->registry == NULL)
    return;
  fill (self);
  self->is_writing = TRUE;
  commy_registry_update (self->mesh->registry, self->instance, on_relisted, g_object_ref (self));
}

gboolean
commy_service_unlist_here (CommyService *self, CommyWorkFunc func)
{
  self->is_listed = self->is_stale = FALSE;
  if (!self->is_writing)
    return TRUE;
  self->after_write = func;
  return FALSE;
}

/* --- from programs --- */

static void
relist (gpointer data)
{
  CommyService *self = data;

  commy_service_relist_here (self);
  g_object_unref (self);
}

/* One that is not offered finds the new facts when it is. */
static void
changed (CommyService *self)
{
  commy_mesh_invoke (self->mesh, relist, g_object_ref (self));
}

gboolean
commy_service_set_version (CommyService *self, const char *version, GError **error)
{
  g_return_val_if_fail (COMMY_IS_SERVICE (self), FALSE);
  if (version != NULL && !commy_semver_is_valid (version))
    {
      commy_set_error (error, COMMY_ERROR_INVALID_ARGUMENT,
                       "\"%.64s\" is no version of %s, such as 2.1 or 2.1.0-rc.1", version,
                       self->name);
      return FALSE;
    }
  g_mutex_lock (&self->lock);
  g_free (self->facts.version);
  self->facts.version = g_strdup (version);
  g_mutex_unlock (&self->lock);
  changed (self);
  return TRUE;
}

gboolean
commy_service_set_tags (CommyService *self, const char *const *tags, GError **error)
{
  guint n = 0;

  g_return_val_if_fail (COMMY_IS_SERVICE (self), FALSE);
  for (; tags != NULL && tags[n] != NULL; n++)
    if (!commy_tag_is_valid (tags[n]) || n == TAGS_MAX)
      {
        commy_set_error (error, COMMY_ERROR_INVALID_ARGUMENT,
                         "\"%.64s\" is no tag of %s: at most %u words of letters, digits, '_', "
                         "'.', '/' and '-', of at most %u bytes",
                         tags[n], self->name, TAGS_MAX, COMMY_TRAIT_MAX);
        return FALSE;
      }
  g_mutex_lock (&self->lock);
  g_strfreev (self->facts.tags);
  self->facts.tags = g_strdupv ((char **) tags);
  g_mutex_unlock (&self->lock);
  changed (self);
  return TRUE;
}

static gboolean
check_metadata (CommyService *self, GVariant *metadata, GError **error)
{
  GVariantIter iter;
  const char *key, *value;

  if (!g_variant_is_of_type (metadata, G_VARIANT_TYPE ("a{ss}"))
      || g_variant_n_children (metadata) > METADATA_MAX)
    {
      commy_set_error (error, COMMY_ERROR_INVALID_ARGUMENT,
                       "the metadata of %s is an a{ss} of at most %u pairs", self->name,
                       METADATA_MAX);
      return FALSE;
    }
  g_variant_iter_init (&iter, metadata);
  while (g_variant_iter_next (&iter, "{&s&s}", &key, &value))
    if (!commy_metadata_is_valid (key, value))
      {
        commy_set_error (error, COMMY_ERROR_INVALID_ARGUMENT,
                         "\"%.64s\" of the metadata of %s: a key is a word of at most %u bytes, a "
                         "value one line of at most %u",
                         key, self->name, COMMY_TRAIT_MAX, COMMY_TRAIT_VALUE_MAX);
        return FALSE;
      }
  return TRUE;
}

gboolean
commy_service_set_metadata (CommyService *self, GVariant *metadata, GError **error)
{
  g_autoptr (GVariant) sunk = metadata != NULL ? g_variant_ref_sink (metadata) : NULL;

  g_return_val_if_fail (COMMY_IS_SERVICE (self), FALSE);
  if (sunk != NULL && !check_metadata (self, sunk, error))
    return FALSE;
  g_mutex_lock (&self->lock);
  g_clear_pointer (&self->facts.metadata, g_variant_unref);
  self->facts.metadata = g_steal_pointer (&sunk);
  g_mutex_unlock (&self->lock);
  changed (self);
  return TRUE;
}

void
commy_service_set_weight (CommyService *self, guint weight)
{
  g_return_if_fail (COMMY_IS_SERVICE (self));
  g_mutex_lock (&self->lock);
  self->facts.weight = CLAMP (weight, 1, WEIGHT_MAX);
  g_mutex_unlock (&self->lock);
  changed (self);
}

char *
commy_service_dup_health (CommyService *self)
{
  char *health;

  g_mutex_lock (&self->lock);
  health = g_strdup (self->facts.health != NULL ? self->facts.health : COMMY_HEALTH_SERVING);
  g_mutex_unlock (&self->lock);
  return health;
}

void
commy_service_set_health (CommyService *self, gboolean serving, const char *reason)
{
  g_autofree char *health = NULL;
  gboolean is_news;

  g_return_if_fail (COMMY_IS_SERVICE (self));
  health = commy_health_write_said (serving, reason);
  g_mutex_lock (&self->lock);
  is_news = g_strcmp0 (self->facts.health, health) != 0;
  g_free (self->facts.health);
  self->facts.health = g_steal_pointer (&health);
  g_mutex_unlock (&self->lock);
  if (is_news)
    changed (self);
}
