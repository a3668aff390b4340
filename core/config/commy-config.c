/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The snapshot of all settings in force: what is set, where, and the defaults below.
 */
#include "config.h"

#include "config/commy-config-private.h"

#include <string.h>

void
commy_config_entry_free (CommyConfigEntry *entry)
{
  g_free (entry->key);
  g_free (entry->text);
  g_strfreev (entry->items);
  g_free (entry->origin);
  g_free (entry);
}

static void
group_free (gpointer data)
{
  CommyConfigGroup *group = data;

  g_hash_table_unref (group->by_key);
  g_ptr_array_unref (group->entries);
  g_free (group->origin);
  g_free (group);
}

CommyConfig *
commy_config_new (void)
{
  CommyConfig *config = g_new0 (CommyConfig, 1);

  g_atomic_ref_count_init (&config->ref_count);
  config->schema = commy_config_schema (&config->n_schema);
  config->groups = g_ptr_array_new_with_free_func (group_free);
  config->by_name = g_hash_table_new (g_str_hash, g_str_equal);
  return config;
}

static CommyConfigEntry *
entry_copy (const CommyConfigEntry *entry)
{
  CommyConfigEntry *copy = g_new (CommyConfigEntry, 1);

  *copy = (CommyConfigEntry){
    .schema = entry->schema,
    .key = g_strdup (entry->key),
    .text = g_strdup (entry->text),
    .items = g_strdupv (entry->items),
    .origin = g_strdup (entry->origin),
  };
  return copy;
}

CommyConfig *
commy_config_copy (CommyConfig *self)
{
  CommyConfig *copy = commy_config_new ();

  copy->schema = self->schema;
  copy->n_schema = self->n_schema;
  copy->without_policy = self->without_policy;
  for (guint i = 0; i < self->groups->len; i++)
    {
      const CommyConfigGroup *group = self->groups->pdata[i];
      CommyConfigGroup *same
          = commy_config_add_group (copy, group->schema, group->name, group->origin);

      for (guint j = 0; j < group->entries->len; j++)
        commy_config_put (same, entry_copy (group->entries->pdata[j]));
    }
  return copy;
}

CommyConfig *
commy_config_ref (CommyConfig *config)
{
  g_atomic_ref_count_inc (&config->ref_count);
  return config;
}

void
commy_config_unref (CommyConfig *config)
{
  if (config == NULL || !g_atomic_ref_count_dec (&config->ref_count))
    return;
  g_hash_table_unref (config->by_name);
  g_ptr_array_unref (config->groups);
  g_free (config);
}

CommyConfigGroup *
commy_config_find_group (CommyConfig *config, const char *name)
{
  return g_hash_table_lookup (config->by_name, name);
}

CommyConfigEntry *
commy_config_find_entry (CommyConfig *config, const char *group, const char *key)
{
  CommyConfigGroup *found = commy_config_find_group (config, group);

  return found != NULL ? g_hash_table_lookup (found->by_key, key) : NULL;
}

CommyConfigGroup *
commy_config_add_group (CommyConfig *config,
                        const CommyGroupSchema *schema,
                        const char *name,
                        const char *origin)
{
  CommyConfigGroup *group = commy_config_find_group (config, name);

  if (group != NULL)
    return group;
  group = g_new0 (CommyConfigGroup, 1);
  group->schema = schema;
  group->name = g_intern_string (name);
  group->origin = g_strdup (origin);
  group->entries = g_ptr_array_new_with_free_func ((GDestroyNotify) commy_config_entry_free);
  group->by_key = g_hash_table_new (g_str_hash, g_str_equal);
  g_ptr_array_add (config->groups, group);
  g_hash_table_insert (config->by_name, (gpointer) group->name, group);
  return group;
}

void
commy_config_put (CommyConfigGroup *group, CommyConfigEntry *entry)
{
  guint at;

  if (g_ptr_array_find (group->entries, g_hash_table_lookup (group->by_key, entry->key), &at))
    {
      /* A later layer: the value is new, its place in the order is not. */
      g_hash_table_remove (group->by_key, entry->key);
      commy_config_entry_free (g_steal_pointer (&group->entries->pdata[at]));
      group->entries->pdata[at] = entry;
    }
  else
    g_ptr_array_add (group->entries, entry);
  g_hash_table_insert (group->by_key, entry->key, entry);
}

static const CommyKeySchema *
find_schema (CommyConfig *config, const char *group, const char *key)
{
  const CommyGroupSchema *schema
      = commy_config_schema_find_group (config->schema, config->n_schema, group, NULL);

  return schema != NULL ? commy_config_schema_find_key (schema, key) : NULL;
}

const char *
commy_config_get (CommyConfig *config, const char *group, const char *key)
{
  CommyConfigEntry *entry = commy_config_find_entry (config, group, key);
  const CommyKeySchema *schema;

  if (entry != NULL)
    return entry->text;
  schema = find_schema (config, group, key);
  return schema != NULL ? schema->default_value : NULL;
}

const char *
commy_config_get_origin (CommyConfig *config, const char *group, const char *key)
{
  CommyConfigGroup *found = commy_config_find_group (config, group);
  CommyConfigEntry *entry;

  if (found == NULL)
    return "default";
  if (key == NULL)
    return found->origin;
  entry = g_hash_table_lookup (found->by_key, key);
  return entry != NULL ? entry->origin : "default";
}

gboolean
commy_config_get_bool (CommyConfig *config, const char *group, const char *key)
{
  return g_strcmp0 (commy_config_get (config, group, key), "true") == 0;
}

gint64
commy_config_get_int (CommyConfig *config, const char *group, const char *key)
{
  const CommyKeySchema *schema = find_schema (config, group, key);
  const char *text = commy_config_get (config, group, key);

  g_return_val_if_fail (schema != NULL, 0);
  return text != NULL ? commy_value_get_whole (&schema->spec, text) : 0;
}

guint64
commy_config_get_size (CommyConfig *config, const char *group, const char *key)
{
  return (guint64) MAX (commy_config_get_int (config, group, key), 0);
}

gint64
commy_config_get_duration (CommyConfig *config, const char *group, const char *key)
{
  return commy_config_get_int (config, group, key);
}

double
commy_config_get_double (CommyConfig *config, const char *group, const char *key)
{
  const CommyKeySchema *schema = find_schema (config, group, key);
  const char *text = commy_config_get (config, group, key);

  g_return_val_if_fail (schema != NULL, 0);
  return text != NULL ? commy_value_get_real (&schema->spec, text) : 0;
}

char **
commy_config_get_list (CommyConfig *config, const char *group, const char *key)
{
  CommyConfigEntry *entry = commy_config_find_entry (config, group, key);
  const char *text;

  if (entry != NULL && entry->items != NULL)
    return g_strdupv (entry->items);
  text = commy_config_get (config, group, key);
  return g_strsplit (text != NULL ? text : "", ";", -1);
}

GPtrArray *
commy_config_list_groups (CommyConfig *config, const char *prefix)
{
  GPtrArray *names = g_ptr_array_new ();

  for (guint i = 0; i < config->groups->len; i++)
    {
      const CommyConfigGroup *group = g_ptr_array_index (config->groups, i);

      if (g_str_has_prefix (group->name, prefix))
        g_ptr_array_add (names, (gpointer) group->name);
    }
  return names;
}

static void
list_set (const CommyConfigGroup *group, GVariantBuilder *builder)
{
  for (guint i = 0; i < group->entries->len; i++)
    {
      const CommyConfigEntry *entry = g_ptr_array_index (group->entries, i);

      g_variant_builder_add (builder, "(ssss)", group->name, entry->key, entry->text,
                             entry->origin);
    }
}

static void
list_defaults (CommyConfig *config,
               const CommyGroupSchema *schema,
               const char *group,
               GVariantBuilder *builder)
{
  for (gsize i = 0; i < schema->n_keys; i++)
    {
      const CommyKeySchema *key = &schema->keys[i];

      if (key->default_value != NULL && commy_config_find_entry (config, group, key->name) == NULL)
        g_variant_builder_add (builder, "(ssss)", group, key->name, key->default_value, "default");
    }
}

GVariant *
commy_config_list (CommyConfig *config)
{
  GVariantBuilder builder;
  const CommyGroupSchema *schema = config->schema;

  g_variant_builder_init (&builder, G_VARIANT_TYPE ("a(ssss)"));
  for (guint i = 0; i < config->groups->len; i++)
    list_set (g_ptr_array_index (config->groups, i), &builder);
  for (gsize i = 0; i < config->n_schema; i++)
    if (schema[i].instance == NULL)
      list_defaults (config, &schema[i], schema[i].name, &builder);
  for (guint i = 0; i < config->groups->len; i++)
    {
      const CommyConfigGroup *group = g_ptr_array_index (config->groups, i);

      if (group->schema->instance != NULL)
        list_defaults (config, group->schema, group->name, &builder);
    }
  return g_variant_builder_end (&builder);
}
