/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Node records: GVariant text, as those of instances.
 */
#include "config.h"

#include "control/commy-node.h"

#include "base/commy-error-private.h"
#include "control/commy-dependencies.h"

#include <math.h>
#include <string.h>

#define RECORD_MAX 16384u
#define LISTED_MAX 32u
#define MIB (1024 * 1024)

static const char *const state_names[] = {
  [COMMY_NODE_UP] = "up", [COMMY_NODE_CORDONED] = "cordoned", [COMMY_NODE_DRAINING] = "draining"
};

const char *
commy_node_state_to_string (CommyNodeState state)
{
  return (guint) state < G_N_ELEMENTS (state_names) ? state_names[state] : "?";
}

static gboolean
moved (guint64 written, guint64 now, guint64 least)
{
  guint64 by = written > now ? written - now : now - written;

  return by >= least && by >= written / 4;
}

gboolean
commy_node_resources_differ (const CommyNodeResources *written, const CommyNodeResources *now)
{
  guint64 total = MAX (written->memory_total, 1);
  guint64 by = written->memory_available > now->memory_available
                   ? written->memory_available - now->memory_available
                   : now->memory_available - written->memory_available;

  return written->cpus != now->cpus || written->memory_total != now->memory_total
         || fabs (written->load - now->load) >= MAX (written->cpus, 1) / 4.0 || by > total / 8
         || moved (written->resident, now->resident, 16 * MIB)
         || moved (written->open_files, now->open_files, 64);
}

CommyNode *
commy_node_new (const char *id)
{
  CommyNode *self = g_new0 (CommyNode, 1);
  char **const texts[] = { &self->program, &self->host,    &self->host_id, &self->zone,
                           &self->region,  &self->version, &self->mesh };

  self->id = g_strdup (id);
  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    *texts[i] = g_strdup ("");
  self->transports = g_new0 (char *, 1);
  self->serializers = g_new0 (char *, 1);
  self->calls = g_variant_ref_sink (g_variant_new_array (G_VARIANT_TYPE ("(sx)"), NULL, 0));
  return self;
}

void
commy_node_free (CommyNode *self)
{
  if (self == NULL)
    return;
  g_strfreev (self->transports);
  g_strfreev (self->serializers);
  g_variant_unref (self->calls);
  g_free (self->program);
  g_free (self->host);
  g_free (self->host_id);
  g_free (self->zone);
  g_free (self->region);
  g_free (self->version);
  g_free (self->mesh);
  g_free (self->id);
  g_free (self);
}

/* --- writing --- */

static void
add (GVariantBuilder *builder, const char *key, GVariant *value)
{
  g_variant_builder_add (builder, "{sv}", key, value);
}

static void
add_fields (const CommyNode *self, GVariantBuilder *builder)
{
  const CommyNodeResources *resources = &self->resources;

  add (builder, "program", g_variant_new_string (self->program));
  add (builder, "pid", g_variant_new_int32 (self->pid));
  add (builder, "host", g_variant_new_string (self->host));
  add (builder, "host-id", g_variant_new_string (self->host_id));
  add (builder, "zone", g_variant_new_string (self->zone));
  add (builder, "region", g_variant_new_string (self->region));
  add (builder, "version", g_variant_new_string (self->version));
  add (builder, "mesh", g_variant_new_string (self->mesh));
  add (builder, "state", g_variant_new_string (commy_node_state_to_string (self->state)));
  add (builder, "joined", g_variant_new_int64 (self->joined_s));
  add (builder, "refreshed", g_variant_new_int64 (self->refreshed_s));
  add (builder, "transports", g_variant_new_strv ((const char *const *) self->transports, -1));
  add (builder, "serializers", g_variant_new_strv ((const char *const *) self->serializers, -1));
  add (builder, "cpus", g_variant_new_uint32 (resources->cpus));
  add (builder, "load", g_variant_new_double (resources->load));
  add (builder, "memory-total", g_variant_new_uint64 (resources->memory_total));
  add (builder, "memory-available", g_variant_new_uint64 (resources->memory_available));
  add (builder, "resident", g_variant_new_uint64 (resources->resident));
  add (builder, "open-files", g_variant_new_uint32 (resources->open_files));
  add (builder, "calls", self->calls);
}

char *
commy_node_write (const CommyNode *self)
{
  g_autoptr (GVariant) value = NULL;
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  add_fields (self, &builder);
  value = g_variant_ref_sink (g_variant_builder_end (&builder));
  return g_variant_print (value, TRUE);
}

GVariant *
commy_node_to_variant (const CommyNode *self)
{
  GVariantBuilder builder;

  g_variant_builder_init (&builder, G_VARIANT_TYPE_VARDICT);
  add (&builder, "node", g_variant_new_string (self->id));
  add_fields (self, &builder);
  return g_variant_builder_end (&builder);
}

/* --- reading --- */

static void
read_text (GVariant *dict, const char *key, char **text)
{
  char *found;

  if (!g_variant_lookup (dict, key, "s", &found))
    return;
  g_free (*text);
  *text = found;
}

static void
read_list (GVariant *dict, const char *key, char ***list)
{
  char **found;

  if (!g_variant_lookup (dict, key, "^as", &found))
    return;
  for (guint n = g_strv_length (found); n > LISTED_MAX; n--)
    g_clear_pointer (&found[n - 1], g_free);
  g_strfreev (*list);
  *list = found;
}

static void
read_calls (GVariant *dict, GVariant **calls)
{
  g_autoptr (GVariant) told = g_variant_lookup_value (dict, "calls", G_VARIANT_TYPE ("a(sx)"));

  if (told == NULL)
    return;
  g_variant_unref (*calls);
  *calls = g_variant_ref_sink (commy_dependencies_check (told));
}

/* A state that is not known here is one in which nothing new should come. */
static CommyNodeState
read_state (GVariant *dict)
{
  const char *name = "";

  g_variant_lookup (dict, "state", "&s", &name);
  for (guint i = 0; i < G_N_ELEMENTS (state_names); i++)
    if (strcmp (state_names[i], name) == 0)
      return (CommyNodeState) i;
  return COMMY_NODE_CORDONED;
}

static void
read_resources (GVariant *dict, CommyNodeResources *resources)
{
  g_variant_lookup (dict, "cpus", "u", &resources->cpus);
  g_variant_lookup (dict, "load", "d", &resources->load);
  if (!isfinite (resources->load) || resources->load < 0)
    resources->load = 0;
  g_variant_lookup (dict, "memory-total", "t", &resources->memory_total);
  g_variant_lookup (dict, "memory-available", "t", &resources->memory_available);
  g_variant_lookup (dict, "resident", "t", &resources->resident);
  g_variant_lookup (dict, "open-files", "u", &resources->open_files);
}

CommyNode *
commy_node_read (const char *id, const char *text, gsize size, GError **error)
{
  g_autoptr (CommyNode) self = commy_node_new (id);
  g_autoptr (GVariant) dict = NULL;
  g_autoptr (GError) cause = NULL;

  if (size > RECORD_MAX || !g_utf8_validate (text, (gssize) size, NULL))
    {
      commy_set_error (error, COMMY_ERROR_STORE, "the record of node %.64s is not text", id);
      return NULL;
    }
  dict = g_variant_parse (G_VARIANT_TYPE_VARDICT, text, text + size, NULL, &cause);
  if (dict == NULL)
    {
      commy_set_error (error, COMMY_ERROR_STORE, "the record of node %.64s cannot be read: %s", id,
                       cause->message);
      return NULL;
    }
  if (!g_variant_lookup (dict, "pid", "i", &self->pid))
    {
      commy_set_error (error, COMMY_ERROR_STORE, "the record of node %.64s lacks a field", id);
      return NULL;
    }
  read_text (dict, "program", &self->program);
  read_text (dict, "host", &self->host);
  read_text (dict, "host-id", &self->host_id);
  read_text (dict, "zone", &self->zone);
  read_text (dict, "region", &self->region);
  read_text (dict, "version", &self->version);
  read_text (dict, "mesh", &self->mesh);
  read_list (dict, "transports", &self->transports);
  read_list (dict, "serializers", &self->serializers);
  g_variant_lookup (dict, "joined", "x", &self->joined_s);
  g_variant_lookup (dict, "refreshed", "x", &self->refreshed_s);
  read_resources (dict, &self->resources);
  read_calls (dict, &self->calls);
  self->state = read_state (dict);
  return g_steal_pointer (&self);
}
