/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which groups and keys there are. The names of plugins are no business of this table: where
 * a default must name one, it stands in the shipped keyfile.
 */
#pragma once

#include "config/commy-config-value.h"
#include "config/commy-config.h"

typedef struct
{
  const char *name; /* ends with '*': any key that begins so */
  CommyValueSpec spec;
  const char *default_value; /* NULL: none */
  const char *help;
} CommyKeySchema;

typedef struct
{
  const char *name;
  const char *instance; /* what the second word of the group's name is, such as "NAME"; or NULL */
  const CommyKeySchema *keys;
  gsize n_keys;
} CommyGroupSchema;

const CommyGroupSchema *commy_config_schema (gsize *out_n_groups);

/* Of a group's name as it stands between the brackets, in a table; NULL with @out_why (transfer
 * full, nullable argument) for an unknown one. */
const CommyGroupSchema *commy_config_schema_find_group (const CommyGroupSchema *groups,
                                                        gsize n_groups,
                                                        const char *group,
                                                        char **out_why);
const CommyKeySchema *commy_config_schema_find_key (const CommyGroupSchema *group, const char *key);
/* Names for suggestions; (transfer container), NULL-terminated. */
const char **commy_config_schema_key_names (const CommyGroupSchema *group);

/* Reads a file by the same rules but of another kind: @groups, static, instead of the core's own.
 * @settings: (nullable): "GROUP.KEY=VALUE" up to NULL, which win over the file. */
CommyConfig *commy_config_load_as (const CommyGroupSchema *groups,
                                   gsize n_groups,
                                   const char *path,
                                   const char *const *settings,
                                   GError **error);
