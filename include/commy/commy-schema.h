/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Interfaces as data: reading their description from an untrusted source, one number for what they
 * say, and whether who knows one of them can talk to who offers another.
 */
#pragma once

#include <commy/commy-types.h>

G_BEGIN_DECLS

/**
 * CommySchemaVerdict:
 * @COMMY_SCHEMA_VERDICT_COMPATIBLE: everything that the client may do works
 * @COMMY_SCHEMA_VERDICT_WARNINGS: calls work, but something is worth a look
 * @COMMY_SCHEMA_VERDICT_INCOMPATIBLE: something that the client may do fails or does harm
 *
 * Whether a client that knows one interface can use a service that offers another. A larger value
 * is worse.
 *
 * Since: 0.1
 */
typedef enum
{
  COMMY_SCHEMA_VERDICT_COMPATIBLE = 0,
  COMMY_SCHEMA_VERDICT_WARNINGS = 1,
  COMMY_SCHEMA_VERDICT_INCOMPATIBLE = 2,
} CommySchemaVerdict;

/**
 * commy_schema_parse:
 * @xml: (array length=size) (element-type guint8): D-Bus introspection XML, from anywhere
 * @size: bytes; -1 if @xml ends with a NUL
 * @error: return location
 *
 * Reads the description of interfaces. Unlike g_dbus_node_info_new_for_xml() it bounds what a
 * hostile text can cost (1 MiB, 16 levels, 16384 elements), checks every name and type, and that no
 * interface has two members of a kind and name. Types may be all of #GVariantType, not only those
 * of D-Bus. Pure; any thread.
 *
 * The annotations of Commy, all optional: of methods `org.commy.Stream` (`client`, `server`,
 * `both`), `org.commy.Stream.In` and `org.commy.Stream.Out` (types of the messages to and from the
 * service), `org.commy.Idempotent` (`true`), `org.commy.Deadline` (a time with its unit, such as
 * `250ms`: how long callers wait unless they say otherwise); of signals `org.commy.Topic` (the
 * topic they are published to; without it SERVICE.SIGNAL). Services follow those of streams,
 * clients those that commy_client_set_interface() names, generated code and bridges all of them.
 * One-way methods have D-Bus's
 * `org.freedesktop.DBus.Method.NoReply`.
 *
 * Returns: (transfer full): the interfaces, or %NULL with @error set: %COMMY_ERROR_TOO_BIG for a
 *   limit, else %COMMY_ERROR_INVALID_ARGUMENT
 *
 * Since: 0.1
 */
COMMY_API GDBusNodeInfo *commy_schema_parse (const char *xml, gssize size, GError **error);

/**
 * commy_schema_to_string:
 * @interface: an interface
 *
 * The canonical form: all that commy_schema_compare() looks at, a line for each field, in an order
 * that does not depend on the order of the members. Documentation, other annotations and how the
 * XML was written leave no trace. Two interfaces have the same form exactly when they do not
 * differ. Pure; any thread.
 *
 * Returns: (transfer full): lines, each ended by a line feed
 *
 * Since: 0.1
 */
COMMY_API char *commy_schema_to_string (GDBusInterfaceInfo *interface);

/**
 * commy_schema_to_hash:
 * @interface: an interface
 *
 * The canonical form in short: the first 128 bits of its SHA-256. Pure; any thread.
 *
 * Returns: (transfer full): 32 hex digits in lower case
 *
 * Since: 0.1
 */
COMMY_API char *commy_schema_to_hash (GDBusInterfaceInfo *interface);

/**
 * commy_schema_compare:
 * @client: what the client knows
 * @service: what the service offers
 * @out_differences: (out) (optional) (transfer full): an `aa{sv}`, one for each field that differs:
 *   `kind` (`interface`, `method`, `signal` or `property`), `name` (of the member), `field`,
 *   `index` (of an argument or result, from 1), `client` and `service` (the values; missing where a
 *   side has none), `verdict` (`compatible`, `warnings` or `incompatible`), `reverse` (the verdict
 *   with the sides exchanged), `why` (a sentence in English; missing where there is nothing to say)
 *
 * Whether a client that was written for @client can use a service that offers @service. The answer
 * has a direction: a service may offer more than its client knows, a client may not need more than
 * its service offers. So an update is safe for the clients that run already if
 * `compare (old, new)` is compatible, and a client may be updated before its service if
 * `compare (new, old)` is. Pure; any thread.
 *
 * Incompatible are: a method, signal or property that the client knows and the service does not;
 * other types or another number of arguments or results; another kind of stream or type of its
 * messages; another topic of a signal; a method that the client may repeat
 * (`org.commy.Idempotent`) and the service must not carry out twice; a method that the client
 * waits for and the service does not answer (NoReply); a property that the client writes and the
 * service lets be read only. Warnings are: other names of arguments, another name of the interface,
 * a service that answers what the client sends one-way, other notice of a property's changes,
 * messages of a stream that only one side has a type for, and methods of which nothing but the name
 * is known (`org.commy.Untyped`). A deadline may differ.
 *
 * Returns: the worst verdict of all differences
 *
 * Since: 0.1
 */
COMMY_API CommySchemaVerdict commy_schema_compare (GDBusInterfaceInfo *client,
                                                   GDBusInterfaceInfo *service,
                                                   GVariant **out_differences);

G_END_DECLS
