/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Finding out who is there: instances of services, and the nodes behind them, which are asked
 * through org.commy.Node1.
 */
#pragma once

#include "cli/commy-cli.h"

#define COMMY_NODE_SERVICE "org.commy.Node1"
#define COMMY_LOOKUP_SHORT 8 /* digits of an id that are enough to tell ids apart */

/* Members of a record, such as those of commy_mesh_list_services_sync(). */
const char *commy_record_get_string (GVariant *record, const char *key); /* "" if not there */
double commy_record_get_double (GVariant *record, const char *key);      /* 0 if not there */
guint64 commy_record_get_uint (GVariant *record, const char *key);       /* of u, t and i */
gboolean commy_record_get_boolean (GVariant *record, const char *key);
/* (transfer full): "inproc, shm, tls" of an instance's endpoints */
char *commy_record_dup_transports (GVariant *instance);
/* (transfer full): the first digits */
char *commy_lookup_dup_short (const char *id);

/* (transfer full) (element-type GVariant): instances by service and id, without this process.
 * @pattern: a glob or NULL; @all: those of org.commy.* too */
GPtrArray *
commy_lookup_instances (CommyMesh *mesh, const char *pattern, gboolean all, GError **error);

/* (transfer full) (element-type GVariant): those of the service with exactly this name; NULL with
 * @error and the nearest name: there is none */
GPtrArray *commy_lookup_service (CommyMesh *mesh, const char *service, GError **error);
/* Nobody offers it; which name may have been meant? */
void commy_lookup_set_missing (CommyMesh *mesh, const char *service, GError **error);

/* (transfer full) (element-type GVariant): the org.commy.Node1 instances of nodes.
 * @of: the beginning of a node's or an instance's id, or the name of a service that one node
 * offers; NULL for all but this one. COMMY_ERROR_NO_SERVICE if there is none,
 * COMMY_ERROR_INVALID_ARGUMENT if it fits several. */
GPtrArray *commy_lookup_nodes (CommyMesh *mesh, const char *of, GError **error);

/* The same, but as many as fit. */
GPtrArray *commy_lookup_all_nodes (CommyMesh *mesh, const char *of, GError **error);

/* (transfer full): the one result of a method of a node, of this type; @parameters is sunk */
GVariant *commy_lookup_ask_for (CommyMesh *mesh,
                                GVariant *node,
                                const char *method,
                                GVariant *parameters,
                                const char *type,
                                GError **error);
/* The same of all @nodes side by side, of a method without parameters; none holds up the others for
 * longer than @timeout_us. (transfer full) (element-type GVariant): in their order, NULL where
 * there was no answer. Iterates @context, which nobody else does: who asks again and again gives
 * the same one, because connections that come too late end there. */
GPtrArray *commy_lookup_ask_all (CommyMesh *mesh,
                                 GMainContext *context,
                                 GPtrArray *nodes,
                                 const char *method,
                                 const char *type,
                                 gint64 timeout_us);
/* (transfer full): the one result of a method of a node; @parameters is sunk */
GVariant *commy_lookup_ask (
    CommyMesh *mesh, GVariant *node, const char *method, GVariant *parameters, GError **error);
