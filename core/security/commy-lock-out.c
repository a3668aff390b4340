/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * See the header.
 */
#include "config.h"

#include "security/commy-lock-out.h"

#include "security/commy-deny-list.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#define OF_MESH COMMY_LOCK_OUT "mesh/"
#define OF_HOST COMMY_LOCK_OUT "host/"
#define ADDRESS "address/"

gboolean
commy_lock_out_is_subject (const char *subject)
{
  return g_str_has_prefix (subject, COMMY_LOCK_OUT);
}

char *
commy_lock_out_dup_subject (const char *source, const char *host)
{
  g_autofree char *subject = NULL;

  if (source[0] == '\0' || (host != NULL && (host[0] == '\0' || strchr (host, '/') != NULL)))
    return NULL;
  subject = host != NULL ? g_strconcat (OF_HOST, host, "/", source, NULL)
                         : g_strconcat (OF_MESH, source, NULL);
  return commy_denial_check_subject (subject, NULL) ? g_steal_pointer (&subject) : NULL;
}

const char *
commy_lock_out_get_source (const char *subject, const char *host)
{
  const char *source = NULL;

  if (g_str_has_prefix (subject, OF_MESH))
    source = subject + strlen (OF_MESH);
  else if (g_str_has_prefix (subject, OF_HOST))
    {
      const char *at = subject + strlen (OF_HOST);
      const char *slash = strchr (at, '/');

      if (slash != NULL && strlen (host) == (gsize) (slash - at)
          && strncmp (at, host, strlen (host)) == 0)
        source = slash + 1;
    }
  return source != NULL && source[0] != '\0' ? source : NULL;
}

/* --- addresses --- */

gboolean
commy_lock_out_is_address (const char *source)
{
  return g_str_has_prefix (source, ADDRESS);
}

/* One subscriber has a /64 of IPv6 and may use all of it. */
char *
commy_lock_out_dup_address (const guint8 address[16], gboolean *out_of_link)
{
  char text[INET6_ADDRSTRLEN];
  struct in6_addr v6;

  memcpy (&v6, address, sizeof v6);
  *out_of_link = FALSE;
  if (IN6_IS_ADDR_V4MAPPED (&v6))
    {
      if (address[12] == 127 || inet_ntop (AF_INET, address + 12, text, sizeof text) == NULL)
        return NULL;
      *out_of_link = address[12] == 169 && address[13] == 254;
      return g_strconcat (ADDRESS, text, NULL);
    }
  if (IN6_IS_ADDR_LOOPBACK (&v6) || IN6_IS_ADDR_UNSPECIFIED (&v6))
    return NULL;
  *out_of_link = IN6_IS_ADDR_LINKLOCAL (&v6);
  if (!*out_of_link)
    memset (&v6.s6_addr[8], 0, 8);
  if (inet_ntop (AF_INET6, &v6, text, sizeof text) == NULL)
    return NULL;
  return g_strconcat (ADDRESS, text, *out_of_link ? "" : "/64", NULL);
}
