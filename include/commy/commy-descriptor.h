/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The plugin contract: what a plugin file is, what it tells without being run,
 * what the core hands to it, and the macros that write all of it from one place.
 *
 * A plugin is `libcommy-<kind>-<id>.so`. It links GLib and its own libraries, never
 * libcommy; its only way back is the #CommyHost it is given.
 */
#pragma once

#include <commy/commy-macros.h>
#include <commy/commy-profile.h>

#include <gio/gio.h>
#include <glib.h>

G_BEGIN_DECLS

/**
 * COMMY_ABI_MAJOR:
 *
 * The ABI's generation. It is part of the name of the query symbol, so a plugin of another
 * generation does not even resolve.
 */
#define COMMY_ABI_MAJOR 1
/**
 * COMMY_ABI_MINOR:
 *
 * Grows when a slot or field is appended. A plugin built against an older minor keeps working.
 */
#define COMMY_ABI_MINOR 0

#define COMMY_NOTE_OWNER "CommyPlugin" /* 12 bytes with its NUL: the descriptor stays 8-aligned */
#define COMMY_NOTE_TYPE 0x434d5901u
#define COMMY_NOTE_SECTION ".note.commy"
#define COMMY_QUERY_SYMBOL "commy_plugin_query_v1"

/**
 * CommyPluginKind:
 * @COMMY_PLUGIN_TRANSPORT: moves bytes between two nodes
 * @COMMY_PLUGIN_SERIALIZER: turns values into bytes and back
 * @COMMY_PLUGIN_AUTH: says who the other side proved to be
 * @COMMY_PLUGIN_BALANCER: picks one of several instances
 * @COMMY_PLUGIN_STORE: revisioned keys with leases and watches
 * @COMMY_PLUGIN_POLICY: says what others may do, for rules that ask
 *
 * The kinds of plugin.
 */
typedef enum
{
  COMMY_PLUGIN_TRANSPORT = 1,
  COMMY_PLUGIN_SERIALIZER = 2,
  COMMY_PLUGIN_AUTH = 3,
  COMMY_PLUGIN_BALANCER = 4,
  COMMY_PLUGIN_STORE = 5,
  COMMY_PLUGIN_POLICY = 6,
} CommyPluginKind;

/**
 * CommyPluginFlags:
 * @COMMY_PLUGIN_FLAG_NONE: nothing special
 * @COMMY_PLUGIN_FLAG_HOOK: wraps another plugin of its kind (see #CommyHost.next)
 * @COMMY_PLUGIN_FLAG_EXPERIMENTAL: listed as such
 *
 * Flags of a plugin.
 */
typedef enum
{
  COMMY_PLUGIN_FLAG_NONE = 0,
  COMMY_PLUGIN_FLAG_HOOK = 1 << 0,
  COMMY_PLUGIN_FLAG_EXPERIMENTAL = 1 << 1,
} CommyPluginFlags;

/**
 * CommyPluginNote:
 * @struct_size: `sizeof (CommyPluginNote)` when the plugin was built
 * @abi_major: %COMMY_ABI_MAJOR it was built against
 * @abi_minor: %COMMY_ABI_MINOR it was built against
 * @kind: a #CommyPluginKind
 * @flags: #CommyPluginFlags
 * @reserved: zero
 * @id: unique within its kind: lower case letters, digits and '-'
 * @version: of the plugin
 * @licence: an SPDX expression
 * @summary: one line
 * @scheme: of its endpoint addresses (transports; empty for hooks)
 * @profile: what it claims about its cost
 *
 * What a plugin file tells without being run. It is the body of an ELF note, so
 * `readelf -n` shows it. Strings are NUL-terminated and padded with zeros.
 *
 * Since: 0.1
 */
typedef struct
{
  guint32 struct_size;
  guint32 abi_major;
  guint32 abi_minor;
  guint32 kind;
  guint32 flags;
  guint32 reserved;
  char id[32];
  char version[24];
  char licence[32];
  char summary[96];
  char scheme[16];
  CommyProfile profile;
} CommyPluginNote;

G_STATIC_ASSERT (sizeof (CommyPluginNote) == 24 + 200 + sizeof (CommyProfile));
G_STATIC_ASSERT (sizeof (CommyPluginNote) % 8 == 0);

/**
 * CommyPluginElfNote: (skip)
 *
 * The note with its ELF header, as it lies in the file.
 */
typedef struct
{
  guint32 namesz;
  guint32 descsz;
  guint32 type;
  char name[12];
  CommyPluginNote note;
} CommyPluginElfNote;

/**
 * CommyParamType:
 * @COMMY_PARAM_BOOL: true or false
 * @COMMY_PARAM_INT: a whole number
 * @COMMY_PARAM_SIZE: bytes; KiB, MiB, GiB accepted
 * @COMMY_PARAM_DURATION: nanoseconds; ns, us, ms, s accepted
 * @COMMY_PARAM_STRING: any text
 * @COMMY_PARAM_CHOICE: one of `choices`
 *
 * Types of plugin parameters.
 */
typedef enum
{
  COMMY_PARAM_BOOL = 1,
  COMMY_PARAM_INT = 2,
  COMMY_PARAM_SIZE = 3,
  COMMY_PARAM_DURATION = 4,
  COMMY_PARAM_STRING = 5,
  COMMY_PARAM_CHOICE = 6,
} CommyParamType;

/**
 * CommyParamSpec:
 * @struct_size: `sizeof (CommyParamSpec)`
 * @type: a #CommyParamType
 * @reserved: zero
 * @name: as in `param.NAME=` of the group `[plugin KIND/ID]`
 * @default_value: as it would be written in a keyfile
 * @choices: (nullable): for %COMMY_PARAM_CHOICE: the choices, separated by ';'
 * @minimum: smallest allowed number (bytes, ns)
 * @maximum: largest allowed number
 * @help: one sentence
 *
 * A parameter of a plugin. The core checks keyfiles against it and prints it.
 */
typedef struct
{
  gsize struct_size;
  guint32 type;
  guint32 reserved;
  const char *name;
  const char *default_value;
  const char *choices;
  gint64 minimum;
  gint64 maximum;
  const char *help;
} CommyParamSpec;

typedef struct _CommyHost CommyHost;

/**
 * CommyHostInfo:
 * @COMMY_HOST_MESH: name of the mesh
 * @COMMY_HOST_NODE: id of this node, 32 hex digits, new for every join
 * @COMMY_HOST_RUNTIME_DIR: absolute directory for sockets, mode 0700, of this user and mesh
 * @COMMY_HOST_STATE_DIR: absolute directory that survives a restart, of this user and mesh
 * @COMMY_HOST_CREDENTIALS_DIR: absolute directory with `ca.pem`, `cert.pem`, `key.pem`; may be
 * empty
 * @COMMY_HOST_HOST_ID: a hint for "the same host": boot id of the kernel
 * @COMMY_HOST_WRAPPED: (hook plugins) id of the plugin below
 *
 * What a plugin can ask its host.
 */
typedef enum
{
  COMMY_HOST_MESH = 1,
  COMMY_HOST_NODE = 2,
  COMMY_HOST_RUNTIME_DIR = 3,
  COMMY_HOST_STATE_DIR = 4,
  COMMY_HOST_CREDENTIALS_DIR = 5,
  COMMY_HOST_HOST_ID = 6,
  COMMY_HOST_WRAPPED = 7,
} CommyHostInfo;

/**
 * CommyHostLogFunc:
 * @host: the host
 * @level: a #GLogLevelFlags level: error is not allowed
 * @message: one line, without the plugin's name
 *
 * Writes a line to the process's structured log. Any thread; does not block. Never called by
 * a plugin on the data path.
 */
typedef void (*CommyHostLogFunc) (CommyHost *host, guint level, const char *message);

/**
 * CommyHostNowFunc:
 * @host: the host
 *
 * Any thread. Tests and simulations inject their own clock here.
 *
 * Returns: monotonic time in ns
 */
typedef gint64 (*CommyHostNowFunc) (CommyHost *host);

/**
 * CommyHostRandomFunc:
 * @host: the host
 * @out: (out caller-allocates): where to put random bytes
 * @size: how many
 *
 * Unpredictable bytes (in tests: reproducible ones). Any thread.
 */
typedef void (*CommyHostRandomFunc) (CommyHost *host, gpointer out, gsize size);

/**
 * CommyHostTimerFunc:
 * @user_data: as given
 *
 * A timer that has run down. Called once, on the mesh thread.
 */
typedef void (*CommyHostTimerFunc) (gpointer user_data);

/**
 * CommyHostAddTimerFunc:
 * @host: the host
 * @delay_ns: from now
 * @func: called once on the mesh thread
 * @user_data: for @func
 *
 * Mesh thread only.
 *
 * Returns: an id, never 0; dead once @func ran
 */
typedef guint (*CommyHostAddTimerFunc) (CommyHost *host,
                                        gint64 delay_ns,
                                        CommyHostTimerFunc func,
                                        gpointer user_data);

/**
 * CommyHostFdFunc:
 * @user_data: as given
 * @fd: the descriptor
 * @condition: #GIOCondition bits that are true
 *
 * A descriptor is ready. Called on the mesh thread until the watch is removed.
 */
typedef void (*CommyHostFdFunc) (gpointer user_data, int fd, guint condition);

/**
 * CommyHostWatchFdFunc:
 * @host: the host
 * @fd: a descriptor, still the caller's
 * @condition: #GIOCondition bits
 * @func: called on the mesh thread
 * @user_data: for @func
 *
 * Mesh thread only.
 *
 * Returns: an id, never 0
 */
typedef guint (*CommyHostWatchFdFunc) (
    CommyHost *host, int fd, guint condition, CommyHostFdFunc func, gpointer user_data);

/**
 * CommyHostRemoveFunc:
 * @host: the host
 * @id: of a timer that has not run, or of a descriptor watch
 *
 * After this returns the callback is not called again. Mesh thread only; legal from inside
 * the callback.
 */
typedef void (*CommyHostRemoveFunc) (CommyHost *host, guint id);

/**
 * CommyHostPostFunc:
 * @host: the host
 * @func: called once on the mesh thread, soon
 * @user_data: for @func
 *
 * Any thread; does not block. What still waits when `fini` returns is never called: let a post
 * own nothing that only @func would free.
 */
typedef void (*CommyHostPostFunc) (CommyHost *host, CommyHostTimerFunc func, gpointer user_data);

/**
 * CommyHostParamFunc:
 * @host: the host
 * @name: of one of the plugin's parameters
 *
 * The value in force, already checked against the spec: numbers and durations are in base
 * units (bytes, ns) and in decimal, booleans are "true" or "false".
 *
 * Returns: (transfer none): the value, valid until `fini`
 */
typedef const char *(*CommyHostParamFunc) (CommyHost *host, const char *name);

/**
 * CommyHostInfoFunc:
 * @host: the host
 * @what: what to tell
 *
 * Returns: (transfer none) (nullable): the text, valid until `fini`
 */
typedef const char *(*CommyHostInfoFunc) (CommyHost *host, CommyHostInfo what);

/**
 * CommyHostAuditFunc:
 * @host: the host
 * @type: what it is about, a word such as `certificate`
 * @outcome: what became of it, a word such as `renewed`
 * @details: (nullable): a phrase, without personal data and without secrets
 *
 * Has an event recorded in the audit trail, where there is one. Mesh thread; does not block.
 */
typedef void (*CommyHostAuditFunc) (CommyHost *host,
                                    const char *type,
                                    const char *outcome,
                                    const char *details);

typedef struct _CommyStoreOps CommyStoreOps;

/**
 * CommyHostStoreFunc:
 * @host: the host
 * @out_instance: (out): the store's instance, for the operations
 *
 * The store of the mesh, for what the instances of a plugin have to tell each other. It starts
 * after auth providers and stops before them: ask each time, end watches in `quiesce`, and bear
 * answers until `fini`. Who may write there is the store's own word; what is read there anybody may
 * have written who may. The plugin's README names the prefix of its keys. Mesh thread.
 *
 * Returns: (transfer none) (nullable): its operations; %NULL: there is none now
 *
 * Since: 0.1
 */
typedef const CommyStoreOps *(*CommyHostStoreFunc) (CommyHost *host, gpointer *out_instance);

/**
 * CommyHost:
 * @struct_size: size of the struct the core hands over; test before using a newer member
 * @core: the core's own; do not touch
 * @log: see #CommyHostLogFunc
 * @now_ns: see #CommyHostNowFunc
 * @random: see #CommyHostRandomFunc
 * @add_timer: see #CommyHostAddTimerFunc
 * @watch_fd: see #CommyHostWatchFdFunc
 * @remove: see #CommyHostRemoveFunc
 * @post: see #CommyHostPostFunc
 * @param: see #CommyHostParamFunc
 * @info: see #CommyHostInfoFunc
 * @next: (nullable): for hook plugins: the operations of the wrapped plugin (its kind's ops struct)
 * @next_instance: (nullable): and its instance
 * @audit: see #CommyHostAuditFunc; absent (see @struct_size) in older cores
 * @store: (nullable): see #CommyHostStoreFunc; absent (see @struct_size) in older cores
 *
 * The whole of what a plugin sees of the core. Valid from `init` until `fini` returns.
 */
struct _CommyHost
{
  gsize struct_size;
  gpointer core;
  CommyHostLogFunc log;
  CommyHostNowFunc now_ns;
  CommyHostRandomFunc random;
  CommyHostAddTimerFunc add_timer;
  CommyHostWatchFdFunc watch_fd;
  CommyHostRemoveFunc remove;
  CommyHostPostFunc post;
  CommyHostParamFunc param;
  CommyHostInfoFunc info;
  gconstpointer next;
  gpointer next_instance;
  CommyHostAuditFunc audit;
  CommyHostStoreFunc store;
};

/**
 * CommyPluginInitFunc:
 * @instance: zeroed memory of the plugin's `instance_size`, 64-byte aligned, the core's
 * @host: the way back; keep the pointer
 * @error: return location
 *
 * Makes one instance ready: one per mesh. Mesh thread; may block shortly (opening files).
 * On failure everything taken is given back, `fini` is not called.
 *
 * Returns: success
 */
typedef gboolean (*CommyPluginInitFunc) (gpointer instance, CommyHost *host, GError **error);

/**
 * CommyPluginQuiesceFunc:
 * @instance: the instance
 *
 * Stop taking new work; what is under way may finish. Mesh thread; must not block. Optional.
 */
typedef void (*CommyPluginQuiesceFunc) (gpointer instance);

/**
 * CommyPluginFiniFunc:
 * @instance: the instance
 *
 * Gives everything back, timers and watches included. Mesh thread, after every listener and
 * connection was closed. The code itself stays loaded for the life of the process.
 */
typedef void (*CommyPluginFiniFunc) (gpointer instance);

typedef struct _CommyTransportOps CommyTransportOps;
typedef struct _CommySerializerOps CommySerializerOps;
typedef struct _CommyAuthOps CommyAuthOps;
typedef struct _CommyBalancerOps CommyBalancerOps;
typedef struct _CommyPolicyEngineOps CommyPolicyEngineOps;

/**
 * CommyPluginDescriptor:
 * @struct_size: `sizeof (CommyPluginDescriptor)`
 * @note: equal, byte for byte, to the note in the file
 * @instance_size: bytes of one instance; the core allocates it
 * @init: required
 * @quiesce: optional
 * @fini: required
 * @params: (array length=n_params) (nullable): parameters
 * @n_params: how many
 * @ops: the operations of the kind; begins with a `gsize struct_size`
 *
 * What the query symbol returns. It never goes away.
 */
typedef struct
{
  gsize struct_size;
  const CommyPluginNote *note;
  gsize instance_size;
  CommyPluginInitFunc init;
  CommyPluginQuiesceFunc quiesce;
  CommyPluginFiniFunc fini;
  const CommyParamSpec *params;
  gsize n_params;
  gconstpointer ops;
} CommyPluginDescriptor;

/**
 * CommyPluginQueryFunc:
 *
 * The type of the one exported symbol, `commy_plugin_query_v1`.
 *
 * Returns: (transfer none): the descriptor
 */
typedef const CommyPluginDescriptor *(*CommyPluginQueryFunc) (void);

/**
 * COMMY_PLUGIN_NOTE:
 *
 * Writes the ELF note. Arguments: kind (`TRANSPORT` ...), id, version, licence, summary,
 * address scheme, flags (#CommyPluginFlags), then the fields of #CommyProfile as designated
 * initialisers.
 */
#define COMMY_PLUGIN_NOTE(KIND, ID, VERSION, LICENCE, SUMMARY, SCHEME, FLAGS, ...) \
  static const CommyPluginElfNote commy_plugin_note                                \
      __attribute__ ((used, section (COMMY_NOTE_SECTION), aligned (8)))            \
      = { .namesz = sizeof COMMY_NOTE_OWNER,                                       \
          .descsz = sizeof (CommyPluginNote),                                      \
          .type = COMMY_NOTE_TYPE,                                                 \
          .name = COMMY_NOTE_OWNER,                                                \
          .note = { .struct_size = sizeof (CommyPluginNote),                       \
                    .abi_major = COMMY_ABI_MAJOR,                                  \
                    .abi_minor = COMMY_ABI_MINOR,                                  \
                    .kind = COMMY_PLUGIN_##KIND,                                   \
                    .flags = (FLAGS),                                              \
                    .id = ID,                                                      \
                    .version = VERSION,                                            \
                    .licence = LICENCE,                                            \
                    .summary = SUMMARY,                                            \
                    .scheme = SCHEME,                                              \
                    .profile = { .struct_size = sizeof (CommyProfile), __VA_ARGS__ } } }

/**
 * COMMY_PLUGIN_DEFINE:
 *
 * Writes the descriptor and the query symbol for the note written before by
 * COMMY_PLUGIN_NOTE(). Arguments: the instance's type, then `init`, `quiesce` (or %NULL),
 * `fini`, the parameter array (or %NULL), its length, and a pointer to the operations.
 */
#define COMMY_PLUGIN_DEFINE(InstanceType, INIT, QUIESCE, FINI, PARAMS, N_PARAMS, OPS) \
  COMMY_API const CommyPluginDescriptor *commy_plugin_query_v1 (void);                \
  const CommyPluginDescriptor *commy_plugin_query_v1 (void)                           \
  {                                                                                   \
    static const CommyPluginDescriptor descriptor = {                                 \
      .struct_size = sizeof (CommyPluginDescriptor),                                  \
      .note = &commy_plugin_note.note,                                                \
      .instance_size = sizeof (InstanceType),                                         \
      .init = INIT,                                                                   \
      .quiesce = QUIESCE,                                                             \
      .fini = FINI,                                                                   \
      .params = PARAMS,                                                               \
      .n_params = N_PARAMS,                                                           \
      .ops = OPS,                                                                     \
    };                                                                                \
    return &descriptor;                                                               \
  }                                                                                   \
  const CommyPluginDescriptor *commy_plugin_query_v1 (void)

G_END_DECLS
