/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Between a mesh and a D-Bus message bus: what both directions share. A link is a connection to a
 * bus that comes back by itself; rules say what fits through; a load bounds what is under way.
 */
#pragma once

#include "cli/commy-cli.h"

#define COMMY_BRIDGE_PROPERTIES "org.freedesktop.DBus.Properties"
#define COMMY_BRIDGE_CHANGED "PropertiesChanged"
/* Before the names of their methods, in the mesh. */
#define COMMY_BRIDGE_PROPERTY_METHOD COMMY_BRIDGE_PROPERTIES "."

#define COMMY_BRIDGE_CALL_TIMEOUT_US (25 * G_USEC_PER_SEC) /* what D-Bus libraries wait */

/* What was asked for. Strings are borrowed; NULL: not given. */
typedef struct
{
  const char *subject; /* the service, or the name on the bus */
  const char *bus;     /* session, system or an address */
  const char *name;    /* on the bus */
  const char *path;
  const char *interface;
  const char *as; /* the service that an import offers */
  const char *xml;
  gint64 timeout_us; /* of a call from the bus, or what a call to it may take at most */
} CommyBridgeWishes;

/* Both run until interrupted; errors are told. */
CommyExit commy_bridge_export (CommyCli *cli, const CommyBridgeWishes *wishes);
CommyExit commy_bridge_import (CommyCli *cli, const CommyBridgeWishes *wishes);

/* (transfer full): "/org/example/Echo" for "org.example.Echo" */
char *commy_bridge_dup_path (const char *name);

/* --- running --- */

/* The loop of a bridge and how it ended. */
typedef struct
{
  GMainLoop *loop;
  GError *error; /* why it cannot go on */
} CommyBridgeRun;

/* Ends it. Takes @error; of several the first is kept. */
void commy_bridge_give_up (CommyBridgeRun *run, GError *error);
/* Until interrupted or given up. FALSE: given up. */
gboolean commy_bridge_run (CommyBridgeRun *run);

/* --- the bus --- */

typedef struct _CommyBridgeLink CommyBridgeLink;

/* @connection: NULL if there is none (any more); then @error says why if it could not be made.
 * It is tried again until the link is freed. */
typedef void (*CommyBridgeLinkFunc) (GDBusConnection *connection,
                                     const GError *error,
                                     gpointer data);

/* @which: session, system or an address. NULL: there is no such bus. */
CommyBridgeLink *
commy_bridge_link_new (const char *which, CommyBridgeLinkFunc func, gpointer data, GError **error);
void commy_bridge_link_free (CommyBridgeLink *link);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyBridgeLink, commy_bridge_link_free)

/* --- what fits through --- */

/* (transfer full): the interface in @xml called @name, or what @name being NULL stands for: the one
 * like @likely, or the only one that is not D-Bus's own. Parts that cannot be bridged at all, which
 * are methods that stream and signals with descriptors, are left out and noted. */
GDBusInterfaceInfo *
commy_bridge_read_interface (const char *xml, const char *name, const char *likely, GError **error);

/* Whether a bus takes it as the arguments of a message: a tuple of types that it has, no deeper and
 * larger than it allows. */
gboolean commy_bridge_check_value (GVariant *value, GError **error);

/* (transfer full): "(is)" */
char *commy_bridge_dup_tuple (GDBusArgInfo *const *arguments);

/* The topic of a signal: what its annotation org.commy.Topic says, else SERVICE.SIGNAL. */
char *commy_bridge_dup_topic (const char *service, const GDBusSignalInfo *signal);

/* --- errors --- */

/* (transfer full): how an error of a call into the mesh is called on a bus, and in @out_message
 * its text */
char *commy_bridge_dup_error_name (const GError *error, char **out_message);
/* (transfer full): "NAME: text" of an error of a call on a bus */
char *commy_bridge_dup_remote_text (const GError *error);

/* --- how much is under way --- */

typedef struct
{
  guint calls;
  gsize bytes;
} CommyBridgeLoad;

/* FALSE: too much is under way already; else commy_bridge_release() with the same size follows. */
gboolean commy_bridge_admit (CommyBridgeLoad *load, gsize size);
void commy_bridge_release (CommyBridgeLoad *load, gsize size);
#define COMMY_BRIDGE_BUSY N_ ("too many calls are under way through this bridge")
