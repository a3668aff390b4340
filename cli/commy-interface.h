/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which methods a service has, asked of the node that offers it.
 */
#pragma once

#include "cli/commy-cli.h"

/* (transfer full): the record of one instance, from commy_lookup_instances();
 * COMMY_ERROR_NO_SERVICE if its node knows nothing of it (any more) */
GVariant *commy_interface_ask (CommyMesh *mesh, GVariant *instance, GError **error);

/* (transfer full) (element-type GVariant): the records of all instances of a service, or of those
 * whose id or node's id begins with @of; at least one, or NULL with @error */
GPtrArray *
commy_interface_ask_all (CommyMesh *mesh, const char *service, const char *of, GError **error);
/* The first that is another than the first one, or 0. */
guint commy_interface_find_different (GPtrArray *interfaces);
/* (transfer full): introspection XML; of an untyped service with what is known, marked as such */
char *commy_interface_dup_xml (GVariant *interface);

/* (transfer full) (nullable): the record of a method */
GVariant *commy_interface_find_method (GVariant *interface, const char *method);
/* (transfer full): names of the methods, up to NULL */
char **commy_interface_dup_methods (GVariant *interface);
gboolean commy_interface_is_typed (GVariant *method);
/* (transfer full): "Add (i a, i b) -> (i sum)", or "Add (unknown)" */
char *commy_interface_dup_signature (GVariant *method);
/* (transfer full): "i a, i b"; @direction: "in" or "out" */
char *commy_interface_dup_arguments (GVariant *method, const char *direction);
/* (transfer full) (nullable): the types of the arguments, up to NULL; NULL if they are unknown or
 * no types */
char **commy_interface_dup_types (GVariant *method);
