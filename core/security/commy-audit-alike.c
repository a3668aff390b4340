/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Addresses of IPv6 in a text, found by their looks: which transport put one there, and around
 * which words, is no matter. An owner has 2^64 of them, so that each refusal may have another.
 */
#include "config.h"

#include "security/commy-audit-alike.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#define ADDRESS_CHARS "0123456789abcdefABCDEF:."

/* The size of an address at the beginning of @at, of whose bytes @size could be one; 0: there is
 * none. It may end before a colon or full stop of the sentence around it. */
static gsize
parse (const char *at, gsize size, struct in6_addr *out_address)
{
  char text[INET6_ADDRSTRLEN + 1];

  for (gsize less = 0; less < 2 && size > less + 1; less++)
    {
      if (size - less >= sizeof text || (less > 0 && strchr (":.", at[size - less]) == NULL))
        continue;
      memcpy (text, at, size - less);
      text[size - less] = '\0';
      if (inet_pton (AF_INET6, text, out_address) == 1)
        return size - less;
    }
  return 0;
}

char *
commy_audit_dup_alike (const char *text)
{
  GString *alike = NULL;
  const char *rest = text; /* what is not in it yet */

  for (const char *at = text; *at != '\0';)
    {
      gsize size = strspn (at, ADDRESS_CHARS);
      gboolean may_be = size > 2 && memchr (at, ':', size) != NULL;
      struct in6_addr address;
      char network[INET6_ADDRSTRLEN];
      gsize taken = may_be ? parse (at, size, &address) : 0;

      if (taken > 0 && !IN6_IS_ADDR_V4MAPPED (&address))
        {
          memset (address.s6_addr + 8, 0, 8);
          inet_ntop (AF_INET6, &address, network, sizeof network);
          if (alike == NULL)
            alike = g_string_new (NULL);
          g_string_append_len (alike, rest, at - rest);
          g_string_append_printf (alike, "%s/64", network);
          rest = at + taken;
        }
      at += MAX (size, 1);
    }
  if (alike != NULL)
    g_string_append (alike, rest);
  return alike != NULL ? g_string_free (alike, FALSE) : NULL;
}
