/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of this folder share and nobody else sees: steps of the scan and of loading.
 */
#pragma once

#include "plugin/commy-catalog.h"

#define COMMY_PLUGIN_MAX_FILE (256 << 20) /* bytes of a plugin file */

/* Where a plugin's settings stand: "plugin transport/shm". (transfer full) */
char *commy_plugin_dup_group (const CommyPlugin *plugin);

/* The trust rule in force. */
CommyTrust commy_plugin_get_trust (CommyConfig *config);

/* Opens the file under the trust rule in force and reads its note; the note is not checked.
 * Returns a descriptor, or -1. */
int commy_plugin_open (const char *path,
                       const char *sha256,
                       CommyTrust trust,
                       CommyPluginNote *out_note,
                       GError **error);

/* SHA-256 of a file's content, in hex. */
char *commy_trust_hash (int fd, const char *path, GError **error);

/* Copies what the plugin has of its kind's operations and fills optional slots that are missing
 * with functions that do nothing or answer "unsupported". Error: names the required slot. */
gboolean
commy_plugin_fill_ops (guint kind, gconstpointer theirs, CommyPluginOps *out_ops, GError **error);

/* Applies `profile.*` of the plugin's group. Error: names the key's place. */
gboolean commy_plugin_override_profile (CommyPlugin *plugin, CommyConfig *config, GError **error);

/* The back of a #CommyHost; freed after `fini`. */
CommyHost *
commy_host_new (const CommyPlugin *plugin, CommyConfig *config, const CommyHostSetup *setup);
/* For a hook's host: what it wraps. */
void commy_host_set_next (CommyHost *host,
                          const CommyPlugin *wrapped,
                          const CommyPluginOps *ops,
                          gpointer instance);
void commy_host_free (CommyHost *host);

/* An a{sv}, floating, of one plugin; @catalog tells what hooks are on; NULL: nobody asks. */
GVariant *commy_plugin_list (const CommyPlugin *plugin, CommyCatalog *catalog);

void commy_plugin_quiesce_hooks (CommyPlugin *plugin);
/* Takes the hooks off again, outermost first. */
void commy_plugin_unwrap (CommyPlugin *plugin);
