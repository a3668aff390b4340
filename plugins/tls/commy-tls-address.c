/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Addresses: text, numbers, and what can be said about them without asking anybody.
 */
#include "config.h"

#include "plugins/tls/commy-tls.h"

#include <netdb.h>
#include <netinet/in.h>
#include <string.h>

#define HOST_MAX 255

gboolean
tls_address_split (const char *text, char **out_host, guint16 *out_port, GError **error)
{
  const char *colon = text == NULL ? NULL : strrchr (text, ':');
  const char *end = colon;
  const char *start = text;
  guint64 port = 0;

  if (colon != NULL && *text == '[' && colon > text + 1 && colon[-1] == ']')
    {
      start = text + 1;
      end = colon - 1;
    }
  else if (colon != NULL && memchr (text, ':', (gsize) (colon - text)) != NULL)
    colon = NULL; /* an IPv6 address without brackets: where does the port begin? */
  if (colon == NULL || end == start || end - start > HOST_MAX
      || !g_ascii_string_to_unsigned (colon + 1, 10, 1, G_MAXUINT16, &port, NULL))
    {
      g_set_error (error, TLS_ERROR, COMMY_ERROR_INVALID_ARGUMENT,
                   "not an address of the form host:port or [v6]:port: \"%.300s\"",
                   text == NULL ? "" : text);
      return FALSE;
    }
  *out_host = g_strndup (start, (gsize) (end - start));
  *out_port = (guint16) port;
  return TRUE;
}

gboolean
tls_address_from_numeric (const char *host, guint16 port, TlsAddress *out_address)
{
  const struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
                                  .ai_family = AF_UNSPEC,
                                  .ai_socktype = SOCK_STREAM };
  struct addrinfo *found = NULL;
  char service[8];

  g_snprintf (service, sizeof service, "%u", port);
  if (getaddrinfo (host, service, &hints, &found) != 0)
    return FALSE;
  memset (out_address, 0, sizeof *out_address);
  memcpy (&out_address->storage, found->ai_addr, found->ai_addrlen);
  out_address->size = found->ai_addrlen;
  freeaddrinfo (found);
  return TRUE;
}

char *
tls_address_to_string (const TlsAddress *address)
{
  char host[NI_MAXHOST];
  char port[NI_MAXSERV];

  if (getnameinfo ((const struct sockaddr *) &address->storage, address->size, host, sizeof host,
                   port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV)
      != 0)
    return g_strdup ("?");
  return g_strdup_printf (strchr (host, ':') != NULL ? "[%s]:%s" : "%s:%s", host, port);
}

char *
tls_address_dup_host (const TlsAddress *address)
{
  char host[NI_MAXHOST];

  if (getnameinfo ((const struct sockaddr *) &address->storage, address->size, host, sizeof host,
                   NULL, 0, NI_NUMERICHOST)
      != 0)
    return g_strdup ("?");
  return g_strdup (host);
}

gboolean
tls_address_is_loopback (const TlsAddress *address)
{
  const struct sockaddr_in *v4 = (const struct sockaddr_in *) &address->storage;
  const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *) &address->storage;

  if (address->storage.ss_family == AF_INET)
    return (ntohl (v4->sin_addr.s_addr) >> 24) == 127;
  return address->storage.ss_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK (&v6->sin6_addr);
}

gboolean
tls_address_is_any (const TlsAddress *address)
{
  const struct sockaddr_in *v4 = (const struct sockaddr_in *) &address->storage;
  const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *) &address->storage;

  if (address->storage.ss_family == AF_INET)
    return v4->sin_addr.s_addr == htonl (INADDR_ANY);
  return address->storage.ss_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED (&v6->sin6_addr);
}

char *
tls_address_dup_source (const TlsAddress *address)
{
  const struct sockaddr_in *v4 = (const struct sockaddr_in *) &address->storage;
  const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *) &address->storage;
  const guint8 *bytes = v6->sin6_addr.s6_addr;

  if (address->storage.ss_family == AF_INET)
    bytes = (const guint8 *) &v4->sin_addr;
  else if (address->storage.ss_family != AF_INET6)
    return g_strdup ("?");
  else if (IN6_IS_ADDR_V4MAPPED (&v6->sin6_addr))
    bytes += 12;
  else
    return g_strdup_printf ("%x:%x:%x:%x::/64", bytes[0] << 8 | bytes[1], bytes[2] << 8 | bytes[3],
                            bytes[4] << 8 | bytes[5], bytes[6] << 8 | bytes[7]);
  return g_strdup_printf ("%u.%u.%u.%u", bytes[0], bytes[1], bytes[2], bytes[3]);
}
