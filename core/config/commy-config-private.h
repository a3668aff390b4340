/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Inside of the snapshot, for the files of this folder.
 */
#pragma once

#include "config/commy-config-schema.h"
#include "config/commy-config.h"

#define COMMY_CONFIG_MAX_TEXT (1024u * 1024u)

typedef struct
{
  const CommyKeySchema *schema;
  char *key;
  char *text;   /* as written, escapes resolved except in lists */
  char **items; /* of lists, else NULL */
  char *origin;
} CommyConfigEntry;

typedef struct
{
  const CommyGroupSchema *schema;
  const char *name;   /* interned */
  GPtrArray *entries; /* of CommyConfigEntry, in order of first appearance */
  char *origin;       /* of its first appearance */
  GHashTable *by_key; /* key -> CommyConfigEntry, both of entries */
} CommyConfigGroup;

struct _CommyConfig
{
  gatomicrefcount ref_count;
  const CommyGroupSchema *schema; /* which groups and keys there are; static */
  gsize n_schema;
  gboolean without_policy; /* while it is read */
  GPtrArray *groups;       /* of CommyConfigGroup, in order of first appearance */
  GHashTable *by_name;     /* name -> CommyConfigGroup */
};

CommyConfig *commy_config_new (void);
/* One of its own, to be added to. */
CommyConfig *commy_config_copy (CommyConfig *config);
CommyConfigGroup *commy_config_find_group (CommyConfig *config, const char *name);
CommyConfigEntry *commy_config_find_entry (CommyConfig *config, const char *group, const char *key);
/* Makes sure that the group is there, also without a key. */
CommyConfigGroup *commy_config_add_group (CommyConfig *config,
                                          const CommyGroupSchema *schema,
                                          const char *name,
                                          const char *origin);
/* Takes the entry; replaces one of the same key. */
void commy_config_put (CommyConfigGroup *group, CommyConfigEntry *entry);
void commy_config_entry_free (CommyConfigEntry *entry);

/* Parses and checks one layer on top of what is there. On failure @config is half changed and
 * good for nothing but unref. */
gboolean commy_config_add_text (
    CommyConfig *config, const char *text, gsize size, const char *origin, GError **error);
