/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Items of `endpoints=` in [service NAME]: where an instance is that no store lists. Pure text;
 * which transports there are is the catalog's business.
 *
 *   TRANSPORT://HOST:PORT   one instance; HOST is a name, an IPv4 address or [an IPv6 address]
 *   srv:_NAME._PROTO.DOMAIN the targets of that DNS SRV record (RFC 2782)
 *   srv:DOMAIN, srv:        the same with a name made from the service's: org.example.Digest is
 *                           _commy-digest._tcp.DOMAIN, and its domain is example.org
 */
#pragma once

#include <glib.h>

typedef struct
{
  char *transport; /* id; NULL: a name in DNS */
  char *host;      /* without brackets; or what follows "srv:" */
  guint16 port;
} CommyConfigEndpoint;

/* @out_why: (transfer full): what is wrong and what to write. */
gboolean
commy_config_endpoint_parse (const char *text, CommyConfigEndpoint *out_endpoint, char **out_why);
void commy_config_endpoint_clear (CommyConfigEndpoint *endpoint);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (CommyConfigEndpoint, commy_config_endpoint_clear)

/* The name to look up for "srv:@rest"; NULL with @out_why where @service has no domain in it.
 * (transfer full) */
char *commy_config_endpoint_srv_name (const char *rest, const char *service, char **out_why);

/* A host's name as DNS has it, or a numeric address. From DNS too, so hostile. */
gboolean commy_config_host_is_valid (const char *host);
/* "HOST:PORT", or "[HOST]:PORT" for IPv6. (transfer full) */
char *commy_config_endpoint_address (const char *host, guint16 port);
