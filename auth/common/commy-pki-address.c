/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Addresses of the admission service: what it listens on, under which of them others may reach
 * it, and who counts as one visitor.
 */
#include "config.h"

#include "auth/common/commy-pki-wire.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>

GSocketAddress *
commy_pki_parse_listen (const char *text, GError **error)
{
  const char *colon = strrchr (text, ':');
  g_autofree char *host = NULL;
  GSocketAddress *address = NULL;
  guint64 port = 0;

  if (colon != NULL && g_ascii_string_to_unsigned (colon + 1, 10, 0, G_MAXUINT16, &port, NULL))
    {
      gboolean bracketed = text[0] == '[' && colon > text + 1 && colon[-1] == ']';

      host = bracketed ? g_strndup (text + 1, (gsize) (colon - text) - 2)
                       : g_strndup (text, (gsize) (colon - text));
      address = g_inet_socket_address_new_from_string (host, (guint) port);
    }
  if (address == NULL)
    g_set_error (error, COMMY_PKI_ERROR, COMMY_ERROR_INVALID_ARGUMENT,
                 "cannot listen on \"%s\": say a numeric address and a port, as 0.0.0.0:%d or "
                 "[::]:%d",
                 text, COMMY_PKI_PORT, COMMY_PKI_PORT);
  return address;
}

char *
commy_pki_format_listen (GInetAddress *address, guint port)
{
  g_autofree char *host = g_inet_address_to_string (address);

  return g_strdup_printf (strchr (host, ':') != NULL ? "[%s]:%u" : "%s:%u", host, port);
}

static GInetAddress *
interface_address (const struct ifaddrs *at, gboolean with_v6)
{
  if (at->ifa_addr == NULL || (at->ifa_flags & IFF_UP) == 0)
    return NULL;
  if (at->ifa_addr->sa_family == AF_INET)
    return g_inet_address_new_from_bytes (
        (const guint8 *) &((const struct sockaddr_in *) (gconstpointer) at->ifa_addr)->sin_addr,
        G_SOCKET_FAMILY_IPV4);
  if (at->ifa_addr->sa_family == AF_INET6 && with_v6)
    return g_inet_address_new_from_bytes (
        (const guint8 *) &((const struct sockaddr_in6 *) (gconstpointer) at->ifa_addr)->sin6_addr,
        G_SOCKET_FAMILY_IPV6);
  return NULL;
}

static void
add_interfaces (GPtrArray *list, gboolean with_v6, guint port)
{
  struct ifaddrs *all = NULL;

  if (getifaddrs (&all) != 0)
    return;
  for (const struct ifaddrs *at = all; at != NULL; at = at->ifa_next)
    {
      g_autoptr (GInetAddress) address = interface_address (at, with_v6);

      if (address != NULL && list->len < COMMY_PKI_ADDRESSES_MAX - 1
          && !g_inet_address_get_is_loopback (address)
          && !g_inet_address_get_is_link_local (address))
        g_ptr_array_add (list, commy_pki_format_listen (address, port));
    }
  freeifaddrs (all);
}

char **
commy_pki_dup_public_addresses (const char *listen)
{
  g_autoptr (GSocketAddress) address = commy_pki_parse_listen (listen, NULL);
  GPtrArray *list = g_ptr_array_new ();
  GInetAddress *inet;
  guint port;

  if (address != NULL)
    {
      inet = g_inet_socket_address_get_address (G_INET_SOCKET_ADDRESS (address));
      port = g_inet_socket_address_get_port (G_INET_SOCKET_ADDRESS (address));
      if (g_inet_address_get_is_any (inet))
        {
          add_interfaces (list, g_inet_address_get_family (inet) == G_SOCKET_FAMILY_IPV6, port);
          g_ptr_array_add (list, g_strdup_printf ("%s:%u", g_get_host_name (), port));
        }
      else
        g_ptr_array_add (list, commy_pki_format_listen (inet, port));
    }
  g_ptr_array_add (list, NULL);
  return (char **) g_ptr_array_free (list, FALSE);
}

char *
commy_pki_source_name (const struct sockaddr_storage *from)
{
  g_autoptr (GInetAddress) address = NULL;
  struct in6_addr six;

  if (from->ss_family == AF_INET)
    address = g_inet_address_new_from_bytes (
        (const guint8 *) &((const struct sockaddr_in *) (gconstpointer) from)->sin_addr,
        G_SOCKET_FAMILY_IPV4);
  else
    {
      six = ((const struct sockaddr_in6 *) (gconstpointer) from)->sin6_addr;
      if (!IN6_IS_ADDR_V4MAPPED (&six))
        memset (six.s6_addr + 8, 0, 8);
      address = g_inet_address_new_from_bytes (six.s6_addr, G_SOCKET_FAMILY_IPV6);
    }
  return g_inet_address_to_string (address);
}
