/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Instance records: written as GVariant text, which people can read in any store.
 */
#include "config.h"

#include "control/commy-instance.h"

#include "base/commy-dotted-name.h"
#include "base/commy-error-private.h"
#include "base/commy-units.h"

#include <string.h>

#define RECORD_MAX 65536u
#define ENDPOINTS_MAX 32u
#define SERIALIZERS_MAX 15u
#define TAGS_MAX 64u
#define METADATA_MAX 64u

gboolean
commy_service_name_is_valid (const char *name)
{
  return commy_dotted_name_is_valid (name);
}

CommyInstance *
commy_instance_new (const char *id, const char *service)
{
  CommyInstance *self = g_new0 (CommyInstance, 1);

  g_atomic_ref_count_init (&self->refs);
  self->id = g_strdup (id);
  self->service = g_strdup (service);
  self->weight = 1;
  self->zone = g_strdup ("");
  self->region = g_strdup ("");
  self->version = g_strdup ("");
  self->health = g_strdup ("");
  self->tags = g_new0 (char *, 1);
  self->metadata = g_variant_ref_sink (g_variant_new ("a{ss}", NULL));
  return self;
}

CommyInstance *
commy_instance_ref (CommyInstance *instance)
{
  g_atomic_ref_count_inc (&instance->refs);
  return instance;
}

static void
endpoints_free (CommyInstanceEndpoint *endpoints, guint n)
{
  for (guint i = 0; i < n; i++)
    {
      g_free (endpoints[i].transport);
      g_free (endpoints[i].address);
    }
  g_free (endpoints);
}

void
commy_instance_unref (CommyInstance *self)
{
  if (self == NULL || !g_atomic_ref_count_dec (&self->refs))
    return;
  endpoints_free (self->endpoints, self->n_endpoints);
  endpoints_free (self->withheld, self->n_withheld);
  g_strfreev (self->serializers);
  g_strfreev (self->tags);
  g_variant_unref (self->metadata);
  g_free (self->zone);
  g_free (self->region);
  g_free (self->version);
  g_free (self->health);
  g_free (self->id);
  g_free (self->service);
  g_free (self->node);
  g_free (self->host);
  g_free (self->host_id);
  g_free (self->interface_name);
  g_free (self->interface_hash);
  g_free (self->origin);
  g_free (self->peer_instance);
  g_free (self);
}

int
commy_instance_compare (gconstpointer a, gconstpointer b)
{
  const CommyInstance *x = *(CommyInstance *const *) a;
  const CommyInstance *y = *(CommyInstance *const *) b;

  if (x->priority != y->priority)
    return x->priority < y->priority ? -1 : 1;
  return strcmp (x->id, y->id);
}

guint
commy_instance_hash (gconstpointer instance)
{
  return g_str_hash (((const CommyInstance *) instance)->id);
}

gboolean
commy_instance_equal (gconstpointer a, gconstpointer b)
{
  const CommyInstance *x = a;
  const CommyInstance *y = b;

  return x == y
         || (strcmp (x->id, y->id) == 0 && strcmp (x->service, y->service) == 0
             && (x->origin == NULL) == (y->origin == NULL));
}

static void
append (CommyInstanceEndpoint **endpoints, guint *n, const char *transport, const char *address)
{
  *endpoints = g_renew (CommyInstanceEndpoint, *endpoints, *n + 1);
  (*endpoints)[*n].transport = g_strdup (transport);
  (*endpoints)[*n].address = g_strdup (address);
  (*n)++;
}

void
commy_instance_add_endpoint (CommyInstance *self, const char *transport, const char *address)
{
  append (&self->endpoints, &self->n_endpoints, transport, address);
}

void
commy_instance_add_withheld (CommyInstance *self, const char *transport, const char *reason)
{
  if (self->n_withheld < ENDPOINTS_MAX) /* a longer record would be refused; reasons only inform */
    append (&self->withheld, &self->n_withheld, transport, reason);
}

static void
add_text (GVariantBuilder *builder, const char *key, const char *text)
{
  g_variant_builder_add (builder, "{sv}", key, g_variant_new_string (text != NULL ? text : ""));
}

static GVariant *
pairs (const CommyInstanceEndpoint *endpoints, guint n)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("a(ss)"));
  for (guint i = 0; i < n; i++)
    g_variant_builder_add (&builder, "(ss)", endpoints[i].transport, endpoints[i].address);
  return g_variant_builder_end (&builder);
}

static void
add_common (CommyInstance *self, GVariantBuilder *builder)
{
  add_text (builder, "node", self->node);
  add_text (builder, "host", self->host);
  add_text (builder, "host-id", self->host_id);
  add_text (builder, "interface", self->interface_name);
  if (self->interface_hash != NULL)
    add_text (builder, "interface-hash", self->interface_hash);
  g_variant_builder_add (builder, "{sv}", "pid", g_variant_new_int32 (self->pid));
  g_variant_builder_add (builder, "{sv}", "weight", g_variant_new_uint32 (self->weight));
  add_text (builder, "zone", self->zone);
  add_text (builder, "region", self->region);
  add_text (builder, "version", self->version);
  g_variant_builder_add (builder, "{sv}", "tags",
                         g_variant_new_strv ((const char *const *) self->tags, -1));
  g_variant_builder_add (builder, "{sv}", "metadata", self->metadata);
  g_variant_builder_add (builder, "{sv}", "started", g_variant_new_int64 (self->started_s));
  g_variant_builder_add (builder, "{sv}", "draining", g_variant_new_boolean (self->draining));
  add_text (builder, "health", self->health);
  g_variant_builder_add (builder, "{sv}", "serializers",
                         g_variant_new_strv ((const char *const *) self->serializers, -1));
  g_variant_builder_add (builder, "{sv}", "endpoints", pairs (self->endpoints, self->n_endpoints));
  g_variant_builder_add (builder, "{sv}", "withheld", pairs (self->withheld, self->n_withheld));
}

char *
commy_instance_write (CommyInstance *self)
{
  g_autoptr (GVariant) value = NULL;
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  add_common (self, &builder);
  value = g_variant_ref_sink (g_variant_builder_end (&builder));
  return g_variant_print (value, TRUE);
}

/* --- endpoints that no store lists --- */

gboolean
commy_instance_is_known (const CommyInstance *self)
{
  return self->origin == NULL || self->peer_instance != NULL;
}

void
commy_instance_inherit (CommyInstance *self, const CommyInstance *old)
{
  g_free (self->node);
  self->node = g_strdup (old->node);
  g_free (self->peer_instance);
  self->peer_instance = g_strdup (old->peer_instance);
  g_strfreev (self->serializers);
  self->serializers = g_strdupv (old->serializers);
  g_free (self->interface_name);
  self->interface_name = g_strdup (old->interface_name);
  g_free (self->interface_hash);
  self->interface_hash = g_strdup (old->interface_hash);
}

static void
copy_place (CommyInstance *self, const CommyInstance *from)
{
  g_free (self->zone);
  self->zone = g_strdup (from->zone);
  g_free (self->region);
  self->region = g_strdup (from->region);
}

CommyInstance *
commy_instance_met (const CommyInstance *self, const CommyMeeting *meeting)
{
  CommyInstance *met = commy_instance_new (self->id, self->service);

  met->node = g_strdup (meeting->node);
  met->host = g_strdup (self->host);
  met->host_id = g_strdup (self->host_id);
  met->interface_name
      = g_strdup (meeting->interface_hash != NULL ? meeting->interface_name : self->interface_name);
  met->interface_hash = g_strdup (meeting->interface_hash);
  met->weight = self->weight;
  copy_place (met, self);
  met->priority = self->priority;
  met->origin = g_strdup (self->origin);
  met->peer_instance = g_strdup (meeting->instance);
  met->serializers = g_strdupv ((char **) meeting->serializers);
  for (guint i = 0; i < self->n_endpoints; i++)
    commy_instance_add_endpoint (met, self->endpoints[i].transport, self->endpoints[i].address);
  return met;
}

/* --- for people and programs --- */

GVariant *
commy_instance_to_variant (CommyInstance *self)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  add_text (&builder, "service", self->service);
  add_text (&builder, "instance", self->id);
  add_common (self, &builder);
  if (self->origin != NULL)
    {
      add_text (&builder, "origin", self->origin);
      g_variant_builder_add (&builder, "{sv}", "priority", g_variant_new_uint32 (self->priority));
    }
  return g_variant_builder_end (&builder);
}

static gboolean
read_pairs (GVariantDict *dict, const char *key, CommyInstanceEndpoint **endpoints, guint *n)
{
  g_autoptr (GVariant) list = g_variant_dict_lookup_value (dict, key, G_VARIANT_TYPE ("a(ss)"));
  GVariantIter iter;
  const char *transport, *address;

  if (list == NULL || g_variant_n_children (list) > ENDPOINTS_MAX)
    return FALSE;
  g_variant_iter_init (&iter, list);
  while (g_variant_iter_next (&iter, "(&s&s)", &transport, &address))
    append (endpoints, n, transport, address);
  return TRUE;
}

static void
read_text (GVariantDict *dict, const char *key, char **text)
{
  char *found;

  if (!g_variant_dict_lookup (dict, key, "s", &found))
    return;
  g_free (*text);
  *text = found;
}

gboolean
commy_interface_hash_is_valid (const char *text)
{
  return strlen (text) == 32 && strspn (text, "0123456789abcdef") == 32;
}

/* What older ones do not say, and what cannot be right, is as if it had not been said. */
static void
read_optional (CommyInstance *self, GVariantDict *dict)
{
  char **tags;
  GVariant *metadata;

  if (g_variant_dict_lookup (dict, "interface-hash", "s", &self->interface_hash)
      && !commy_interface_hash_is_valid (self->interface_hash))
    g_clear_pointer (&self->interface_hash, g_free);
  g_variant_dict_lookup (dict, "weight", "u", &self->weight);
  self->weight = CLAMP (self->weight, 1, 1000);
  read_text (dict, "zone", &self->zone);
  read_text (dict, "region", &self->region);
  read_text (dict, "version", &self->version);
  g_variant_dict_lookup (dict, "started", "x", &self->started_s);
  g_variant_dict_lookup (dict, "draining", "b", &self->draining);
  read_text (dict, "health", &self->health);
  if (g_variant_dict_lookup (dict, "tags", "^as", &tags))
    {
      g_strfreev (self->tags);
      self->tags = tags;
      for (guint n = g_strv_length (tags); n > TAGS_MAX; n--)
        g_clear_pointer (&tags[n - 1], g_free);
    }
  metadata = g_variant_dict_lookup_value (dict, "metadata", G_VARIANT_TYPE ("a{ss}"));
  if (metadata != NULL && g_variant_n_children (metadata) <= METADATA_MAX)
    {
      g_variant_unref (self->metadata);
      self->metadata = g_steal_pointer (&metadata);
    }
  g_clear_pointer (&metadata, g_variant_unref);
}

CommyInstance *
commy_instance_read (
    const char *id, const char *service, const char *text, gsize size, GError **error)
{
  g_autoptr (CommyInstance) self = commy_instance_new (id, service);
  g_autoptr (GVariant) record = NULL;
  g_auto (GVariantDict) dict = { 0 };
  g_autoptr (GError) cause = NULL;

  if (size == 0 || size > RECORD_MAX || !g_utf8_validate (text, (gssize) size, NULL))
    {
      commy_set_error (error, COMMY_ERROR_STORE, "the record of instance %s is not text", id);
      return NULL;
    }
  record = g_variant_parse (G_VARIANT_TYPE_VARDICT, text, text + size, NULL, &cause);
  if (record == NULL)
    {
      commy_set_error (error, COMMY_ERROR_STORE, "the record of instance %s cannot be read: %s", id,
                       cause->message);
      return NULL;
    }
  g_variant_dict_init (&dict, record); /* finds each field at once */
  if (!g_variant_dict_lookup (&dict, "node", "s", &self->node) || strlen (self->node) != 32
      || !g_variant_dict_lookup (&dict, "host", "s", &self->host)
      || !g_variant_dict_lookup (&dict, "host-id", "s", &self->host_id)
      || !g_variant_dict_lookup (&dict, "interface", "s", &self->interface_name)
      || !g_variant_dict_lookup (&dict, "pid", "i", &self->pid)
      || !g_variant_dict_lookup (&dict, "serializers", "^as", &self->serializers)
      || g_strv_length (self->serializers) > SERIALIZERS_MAX
      || !read_pairs (&dict, "endpoints", &self->endpoints, &self->n_endpoints)
      || !read_pairs (&dict, "withheld", &self->withheld, &self->n_withheld))
    {
      commy_set_error (error, COMMY_ERROR_STORE, "the record of instance %s lacks a field", id);
      return NULL;
    }
  read_optional (self, &dict);
  return g_steal_pointer (&self);
}

CommySnapshot *
commy_snapshot_new (const char *service, gint64 revision, const char *notice)
{
  CommySnapshot *self = g_new0 (CommySnapshot, 1);

  g_atomic_ref_count_init (&self->refs);
  self->service = g_strdup (service);
  self->instances = g_ptr_array_new_with_free_func ((GDestroyNotify) commy_instance_unref);
  self->revision = revision;
  self->notice = g_strdup (notice);
  return self;
}

char *
commy_snapshot_dup_notice (const CommySnapshot *self, gint64 now_ns)
{
  g_autofree char *age = NULL;

  if (self->notice == NULL || self->away_ns == 0)
    return g_strdup (self->notice);
  if (self->revision == 0)
    return g_strconcat (self->notice, "; it has said nothing yet", NULL);
  age = commy_format_duration ((double) MAX (now_ns - self->away_ns, 0));
  return g_strdup_printf ("%s; the last it said is %s old", self->notice, age);
}

CommySnapshot *
commy_snapshot_ref (CommySnapshot *snapshot)
{
  g_atomic_ref_count_inc (&snapshot->refs);
  return snapshot;
}

void
commy_snapshot_unref (CommySnapshot *self)
{
  if (self == NULL || !g_atomic_ref_count_dec (&self->refs))
    return;
  if (self->survey_free != NULL)
    self->survey_free (self->survey);
  g_ptr_array_unref (self->instances);
  g_free (self->service);
  g_free (self->notice);
  g_free (self);
}
