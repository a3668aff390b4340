/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A host for plugins under test: a whole CommyHost on a GMainContext, with parameters from the
 * plugin's own table, folders in a temporary place, a clock and random numbers that a test
 * rules, and every log line kept. It needs nothing of libcommy.
 */
#pragma once

#include <commy/commy-plugin.h>

G_BEGIN_DECLS

typedef struct _CommyTestHost CommyTestHost;

/* The error domain of plugins, without linking the core. */
#define COMMY_TEST_ERROR (g_quark_from_static_string ("commy-error-quark"))

/* Loads libcommy-KIND-ID.so from COMMY_PLUGIN_PATH or COMMY_BUILD_DIR/modules/.libs; an @id with a
 * slash is the path of a file, of any kind. */
const CommyPluginDescriptor *commy_test_load (const char *kind, const char *id, GError **error);

/* @context is the mesh thread's; NULL for the default one. */
CommyTestHost *commy_test_host_new (GMainContext *context, const CommyPluginDescriptor *descriptor);
/* Calls quiesce and fini, drops what was posted, removes the temporary folders. */
void commy_test_host_free (CommyTestHost *self);

/* Before start: a parameter as it would be written in a keyfile ("64 KiB", "2s"). */
void commy_test_host_set_param (CommyTestHost *self, const char *name, const char *value);
void commy_test_host_set_info (CommyTestHost *self, CommyHostInfo what, const char *text);
/* For hook plugins: the operations and the instance below. */
void commy_test_host_set_next (CommyTestHost *self, gconstpointer ops, gpointer instance);
void commy_test_host_set_seed (CommyTestHost *self, guint32 seed);
/* From now on time stands still until `advance`; timers run inside `advance` only. */
void commy_test_host_use_virtual_clock (CommyTestHost *self);
void commy_test_host_advance (CommyTestHost *self, gint64 by_ns);

CommyHost *commy_test_host_get (CommyTestHost *self);
/* The temporary folder; it holds run/, state/ and credentials/. */
const char *commy_test_host_get_dir (CommyTestHost *self);
/* Allocates the instance and calls init. NULL with the plugin's error if that fails. */
gpointer commy_test_host_start (CommyTestHost *self, GError **error);
/* Quiesce and fini; `start` may follow, as after a restart of the mesh. */
void commy_test_host_stop (CommyTestHost *self);

/* How many log lines contain @part. */
guint commy_test_host_count_log (CommyTestHost *self, const char *part);
/* Timers and descriptor watches that are still there: 0 after fini, or the plugin leaks. */
guint commy_test_host_count_sources (CommyTestHost *self);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyTestHost, commy_test_host_free)

/* Runs @context until @condition says so; the test's own deadline is the harness's. */
#define commy_test_run_until(context, condition)    \
  do                                                \
    {                                               \
      while (!(condition))                          \
        g_main_context_iteration ((context), TRUE); \
    }                                               \
  while (0)

/* Removes a folder and everything below it. */
void commy_test_remove_tree (const char *path);

G_END_DECLS
