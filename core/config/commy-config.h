/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Settings: keyfiles in layers, checked against a schema, as an immutable snapshot in which
 * every value knows its origin.
 *
 * Layers, later ones win: shipped < system < system drop-ins < user < environment < program.
 * Shipped and system files, then $COMMY_CONFIG (a list of files, the environment layer; ignored
 * in privileged processes), then text of the program's own.
 */
#pragma once

#include <commy/commy-descriptor.h>
#include <gio/gio.h>

typedef struct _CommyConfig CommyConfig;

/* Where to read from. NULL members are skipped. */
typedef struct
{
  const char *shipped;     /* file */
  const char *system;      /* file */
  const char *system_dir;  /* folder of *.conf, in order of name */
  const char *user;        /* file */
  const char *environment; /* ':'-separated files */
  const char *program;     /* keyfile text; origin "program:LINE" */
  gboolean without_policy; /* what stands in groups of rules, roles and networks is passed over */
  const char *without;     /* a file that is passed over wherever it stands */
} CommyConfigSources;

/* The places of this installation and process; members point to static or interned strings. */
void commy_config_sources_default (CommyConfigSources *out_sources);

/* Reads, checks, merges. A missing file is skipped, except one named in the environment. An
 * unknown group or key, a value that does not parse, a key or group twice in one file: error
 * with file, line and the nearest name. */
CommyConfig *commy_config_load (const CommyConfigSources *sources, GError **error);
/* The same. @out_file (transfer full): the file or folder in which it failed, NULL in the program's
 * text. */
CommyConfig *
commy_config_load_where (const CommyConfigSources *sources, char **out_file, GError **error);
/* What @base has (NULL: nothing), and one file more, which wins. */
CommyConfig *commy_config_load_over (CommyConfig *base, const char *path, GError **error);
/* Checks the words of one file only. */
gboolean commy_config_check_file (const char *path, GError **error);
/* Whether both are there, and one file by whatever names. */
gboolean commy_config_is_same_file (const char *path, const char *other);
/* a(ss) of layer and path, in the order of reading, whether they exist or not. Floating. */
GVariant *commy_config_list_files (void);
/* The fuzzer's entry: parses and checks text. */
CommyConfig *
commy_config_load_text (const char *text, gsize size, const char *origin, GError **error);

CommyConfig *commy_config_ref (CommyConfig *config);
void commy_config_unref (CommyConfig *config);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyConfig, commy_config_unref)

/* The value in force, the schema's default if it is set nowhere; NULL for a key without default.
 * The group of a plugin is "plugin transport/shm", of a service "service NAME" and so on. For
 * groups with a name the lookup falls back to the schema's default, not to another group: an
 * objective that [service NAME] does not set is NULL, and [selection] then decides. */
const char *commy_config_get (CommyConfig *config, const char *group, const char *key);
/* "FILE:LINE", "program:LINE" or "default"; never NULL. @key NULL: of the group itself. */
const char *commy_config_get_origin (CommyConfig *config, const char *group, const char *key);
/* Typed; the value was checked at load, so these cannot fail. Key must be in the schema. */
gboolean commy_config_get_bool (CommyConfig *config, const char *group, const char *key);
guint64 commy_config_get_size (CommyConfig *config, const char *group, const char *key);
gint64 commy_config_get_duration (CommyConfig *config, const char *group, const char *key);
/* Whole numbers of any kind: int, size, duration. 0 for a key without value. */
gint64 commy_config_get_int (CommyConfig *config, const char *group, const char *key);
/* Numbers of any kind: double, share, rate, and whole ones. */
double commy_config_get_double (CommyConfig *config, const char *group, const char *key);
/* ';'-separated; (transfer full), never NULL. */
char **commy_config_get_list (CommyConfig *config, const char *group, const char *key);

/* Groups that are set anywhere and begin with @prefix (such as "policy "), in order of layer and
 * line of their first appearance (a later layer changes values, not the place); (transfer
 * container) of interned strings. */
GPtrArray *commy_config_list_groups (CommyConfig *config, const char *prefix);

/* a(ssss) of group, key, value, origin: what is set, then the defaults. Floating. */
GVariant *commy_config_list (CommyConfig *config);

/* Checks "param.*" keys of [plugin ID] (ID like "transport/shm") against a plugin's own specs.
 * Error names file, line and nearest parameter. */
gboolean commy_config_check_params (CommyConfig *config,
                                    const char *plugin,
                                    const CommyParamSpec *specs,
                                    gsize n_specs,
                                    GError **error);
/* The value of a parameter in base units, as CommyHost.param gives it; (transfer full). */
char *commy_config_dup_param (CommyConfig *config, const char *plugin, const CommyParamSpec *spec);
