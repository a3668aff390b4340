/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The catalog: every plugin file that was found, with its state and the reason for it.
 * Scanning reads ELF notes only; nothing of a plugin runs before commy_plugin_load().
 */
#pragma once

#include "base/commy-env.h"
#include "config/commy-config.h"
#include "plugin/commy-quarantine.h"

#include <commy/commy-plugin.h>

typedef enum
{
  COMMY_PLUGIN_STATE_FOUND,    /* note read, checked, trusted: can be loaded */
  COMMY_PLUGIN_STATE_REJECTED, /* never loaded: see reason */
  COMMY_PLUGIN_STATE_HIDDEN,   /* same id earlier in the search path */
  COMMY_PLUGIN_STATE_DISABLED, /* by the keyfile: see reason */
  COMMY_PLUGIN_STATE_LOADED,   /* code resident, descriptor checked */
  COMMY_PLUGIN_STATE_ACTIVE,   /* an instance is running */
  COMMY_PLUGIN_STATE_QUIESCED,
  COMMY_PLUGIN_STATE_FAILED,      /* load or init failed: see reason */
  COMMY_PLUGIN_STATE_QUARANTINED, /* took a process down: not loaded, see reason */
} CommyPluginState;

const char *commy_plugin_state_to_string (CommyPluginState state);
const char *commy_plugin_kind_to_string (guint kind); /* "transport" ...; "?" */

typedef struct _CommyPlugin CommyPlugin;
typedef struct _CommyCatalog CommyCatalog;
typedef struct _CommyWrap CommyWrap;

/* Operations of any kind after loading: the core's own full-size copy, optional slots filled
 * with stubs. */
typedef union
{
  CommyTransportOps transport;
  CommySerializerOps serializer;
  CommyAuthOps auth;
  CommyBalancerOps balancer;
  CommyStoreOps store;
  CommyPolicyEngineOps policy;
} CommyPluginOps;

struct _CommyPlugin
{
  CommyPluginState state;
  char *path;
  char *reason;        /* NULL when fine; a sentence with the way out */
  char *reason_origin; /* keyfile line that decided, or NULL */
  gboolean deaf;       /* a transport that wanted to listen and could not: see reason */
  char *name;          /* "transport/shm"; interned from the note, or from the file's name */
  gboolean has_note;
  CommyPluginNote note; /* valid if has_note */
  CommyProfile profile; /* note's, with the keyfile's overrides (then provenance is OPERATOR) */
  char *profile_origin; /* keyfile line of an override, or NULL */
  double bias;          /* operator's factor on cost; 1 by default */
  char *bias_origin;    /* keyfile line that set it, or NULL */
  const char *contradiction;   /* atomic: what measurements say against the profile, or NULL */
  CommyQuarantine *quarantine; /* the catalog's */
  /* after commy_plugin_load() */
  const CommyPluginDescriptor *descriptor;
  CommyPluginOps ops;
  /* after commy_plugin_start() */
  gpointer instance;
  guint32 connections; /* atomic: of channels; while there are some it cannot be stopped */
  CommyHost *host;
  /* hooks: for transports, from the keyfile and after commy_plugin_wrap() */
  char **hooks;       /* ids, outermost first, or NULL */
  char *hooks_origin; /* keyfile line that set them, or NULL */
  GPtrArray *wraps;   /* CommyWrap, innermost first; NULL: none. With some, ops and instance are
                         the outermost's and these are the plugin's own: */
  CommyPluginOps base_ops;
  gpointer base_instance;
  guint n_wrapped; /* hooks: how many plugins this one is on */
};

/* Finds and checks. Directories: `path` of [plugins], then COMMY_PLUGIN_PATH and the built-in
 * directory, as plugins.md says. @state_dir: the user's, where plugins that took a process down are
 * remembered; NULL: not at all. Fails only where `require` cannot be met. */
CommyCatalog *commy_catalog_new (CommyConfig *config, const char *state_dir, GError **error);
void commy_catalog_free (CommyCatalog *catalog);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyCatalog, commy_catalog_free)

guint commy_catalog_get_n_plugins (CommyCatalog *catalog);
CommyPlugin *commy_catalog_get_plugin (CommyCatalog *catalog, guint i); /* ordered by kind, id */
/* Usable plugin (found, loaded or active) of a kind and id, or NULL. */
CommyPlugin *commy_catalog_find (CommyCatalog *catalog, guint kind, const char *id);
/* The first that is called so, usable or not, or NULL. */
CommyPlugin *commy_catalog_find_any (CommyCatalog *catalog, guint kind, const char *id);
/* The name ("transport/shm") of one that @name is a slip of: a letter too few, too many or wrong,
 * or two that changed places. NULL: of none. (transfer none) */
const char *commy_catalog_find_slip (CommyCatalog *catalog, const char *name);
/* As commy_quarantine_release(); catalogs that are made later find them. */
GVariant *commy_catalog_release (CommyCatalog *catalog, const char *name, GError **error);
/* aa{sv}, floating; fields as commy_mesh_list_plugins() documents. */
GVariant *commy_catalog_list (CommyCatalog *catalog);

/* dlopen, query, note == descriptor, slots, params of the keyfile. Sets state and reason too. */
gboolean commy_plugin_load (CommyPlugin *plugin, CommyConfig *config, GError **error);

/* What the core gives the hosts of all plugins of one mesh. */
typedef struct
{
  GMainContext *context; /* the mesh thread's */
  const char *mesh, *node, *runtime_dir, *state_dir, *credentials_dir, *host_id;
  const CommyEnv *env;
  /* Records an event that a plugin tells of; mesh thread. NULL: nobody does. */
  void (*audit) (gpointer data, const char *type, const char *outcome, const char *details);
  gpointer audit_data;
  /* The mesh's store while it runs; mesh thread. NULL: there is none. */
  CommyPlugin *(*find_store) (gpointer data);
  gpointer store_data;
} CommyHostSetup;

/* Allocates the instance, makes the host, calls init. Mesh thread. */
gboolean commy_plugin_start (CommyPlugin *plugin,
                             CommyConfig *config,
                             const CommyHostSetup *setup,
                             GError **error);
/* Puts the plugin's hooks on it; to be called once, after commy_plugin_start(), before it is used.
 * FALSE: none is on it. Mesh thread. */
gboolean commy_plugin_wrap (CommyPlugin *plugin,
                            CommyCatalog *catalog,
                            CommyConfig *config,
                            const CommyHostSetup *setup,
                            GError **error);
gboolean commy_plugin_is_hook (const CommyPlugin *plugin);
void commy_plugin_quiesce (CommyPlugin *plugin);
void commy_plugin_stop (CommyPlugin *plugin); /* fini, frees instance and host; hooks first */

/* --- parts, for tests and fuzzers --- */

/* Reads the note from an ELF image. Error: a sentence ("built for aarch64, this process is
 * x86-64"). */
gboolean
commy_note_parse (const guint8 *image, gsize size, CommyPluginNote *out_note, GError **error);
/* How much of an image of @size bytes commy_note_parse() looks at, told by its first @length bytes;
 * all of it where they do not tell. */
gsize commy_note_get_extent (const guint8 *head, gsize length, gsize size);
/* ABI, kind, strings terminated, id's characters, profile sane. */
gboolean commy_note_check (const CommyPluginNote *note, GError **error);
/* Finite, not negative, segments ascending, cost not falling by more than 20 % at a join. */
gboolean commy_profile_check (const CommyProfile *profile, GError **error);

typedef enum
{
  COMMY_TRUST_OWNER,
  COMMY_TRUST_HASH,
  COMMY_TRUST_ANY,
} CommyTrust;

/* Opens a plugin file for reading and checks that it may be trusted. @sha256: hex, for HASH, which
 * gives a sealed copy: what was checked is what is mapped. Returns a descriptor, or -1. */
int commy_trust_open (const char *path, CommyTrust trust, const char *sha256, GError **error);
