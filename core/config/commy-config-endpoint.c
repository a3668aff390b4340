/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reads items of `endpoints=`, and makes names for DNS SRV from names of services.
 */
#include "config.h"

#include "config/commy-config-endpoint.h"

#include "base/commy-dotted-name.h"
#include "config/commy-config-value.h"

#include <gio/gio.h>
#include <string.h>

#define SRV "srv:"
#define NAME_MAX_BYTES 253u
#define LABEL_MAX 63u
#define FORM "write TRANSPORT://HOST:PORT, srv:DOMAIN or srv:_NAME._tcp.DOMAIN"

/* --- hosts --- */

static gboolean
is_label (const char *at, gsize size)
{
  for (gsize i = 0; i < size; i++)
    if (!g_ascii_isalnum (at[i]) && at[i] != '-' && at[i] != '_')
      return FALSE;
  return size > 0 && size <= LABEL_MAX && at[0] != '-' && at[size - 1] != '-';
}

static gboolean
is_name (const char *name)
{
  gsize size = strlen (name);
  const char *at = name;

  if (size > 0 && name[size - 1] == '.')
    size--;
  if (size == 0 || size > NAME_MAX_BYTES)
    return FALSE;
  while (at <= name + size)
    {
      const char *dot = memchr (at, '.', (gsize) (name + size - at));
      const char *end = dot != NULL ? dot : name + size;

      if (!is_label (at, (gsize) (end - at)))
        return FALSE;
      at = end + 1;
    }
  return TRUE;
}

gboolean
commy_config_host_is_valid (const char *host)
{
  /* What looks like a number must be one: "10.1.1" and "300.1.1.1" are mistakes, no names. */
  if (strchr (host, ':') != NULL || strspn (host, "0123456789.") == strlen (host))
    return g_hostname_is_ip_address (host);
  return is_name (host);
}

char *
commy_config_endpoint_address (const char *host, guint16 port)
{
  return g_strdup_printf (strchr (host, ':') != NULL ? "[%s]:%u" : "%s:%u", host, port);
}

/* --- items --- */

static gboolean
refuse (char **out_why, char *why)
{
  *out_why = why;
  return FALSE;
}

static gboolean
parse_port (const char *text, const char *port, guint16 *out_port, char **out_why)
{
  guint64 number = 0;

  if (!g_ascii_string_to_unsigned (port, 10, 1, G_MAXUINT16, &number, NULL))
    return refuse (out_why,
                   g_strdup_printf ("\"%s\" has no port of 1 to 65535 at its end; " FORM, text));
  *out_port = (guint16) number;
  return TRUE;
}

/* "HOST:PORT" behind the scheme. */
static gboolean
parse_authority (const char *text, const char *at, CommyConfigEndpoint *out, char **out_why)
{
  const char *close = *at == '[' ? strchr (at, ']') : NULL;
  const char *colon = close != NULL ? close + 1 : strrchr (at, ':');

  if (strpbrk (at, "/?#@ ") != NULL)
    return refuse (out_why, g_strdup_printf ("\"%s\" has more than host and port; " FORM, text));
  if (colon == NULL || *colon != ':')
    return refuse (out_why, g_strdup_printf ("\"%s\" has no port; " FORM, text));
  if (close == NULL && memchr (at, ':', (gsize) (colon - at)) != NULL)
    return refuse (out_why, g_strdup_printf ("\"%s\": an IPv6 address stands in brackets, as in "
                                             "[fd00::1]:7001",
                                             text));
  out->host = close != NULL ? g_strndup (at + 1, (gsize) (close - at - 1))
                            : g_strndup (at, (gsize) (colon - at));
  if (!commy_config_host_is_valid (out->host) || (close != NULL && strchr (out->host, ':') == NULL))
    return refuse (out_why, g_strdup_printf ("\"%s\" in \"%s\" is neither a host's name nor an "
                                             "address",
                                             out->host, text));
  return parse_port (text, colon + 1, &out->port, out_why);
}

/* "", "example.org" or "_name._tcp.example.org". */
static gboolean
parse_srv (const char *text, CommyConfigEndpoint *out, char **out_why)
{
  const char *rest = text + strlen (SRV);
  const char *second = *rest == '_' ? strchr (rest, '.') : NULL;

  if (*rest != '\0' && (!is_name (rest) || g_hostname_is_ip_address (rest)))
    return refuse (out_why, g_strdup_printf ("\"%s\" is no name in DNS; " FORM, text));
  if (*rest == '_' && (second == NULL || second[1] != '_' || strchr (second + 1, '.') == NULL))
    return refuse (out_why, g_strdup_printf ("\"%s\" is no name of an SRV record; " FORM, text));
  out->host = g_strdup (rest);
  return TRUE;
}

static gboolean
parse (const char *text, CommyConfigEndpoint *out, char **out_why)
{
  const char *rest = strstr (text, "://");
  g_autofree char *plugin = NULL;

  if (g_str_has_prefix (text, SRV) && rest != text + strlen ("srv"))
    return parse_srv (text, out, out_why);
  if (rest == NULL || rest == text || g_str_has_prefix (text, SRV))
    return refuse (out_why, g_strdup_printf ("\"%s\" is no endpoint; " FORM, text));
  out->transport = g_strndup (text, (gsize) (rest - text));
  plugin = g_strconcat ("transport/", out->transport, NULL);
  if (!commy_value_is_plugin (plugin))
    return refuse (out_why,
                   g_strdup_printf ("\"%s\" is no name of a transport; " FORM, out->transport));
  return parse_authority (text, rest + strlen ("://"), out, out_why);
}

gboolean
commy_config_endpoint_parse (const char *text, CommyConfigEndpoint *out_endpoint, char **out_why)
{
  g_auto (CommyConfigEndpoint) endpoint = { NULL };

  if (strlen (text) > 2 * NAME_MAX_BYTES)
    return refuse (out_why, g_strdup ("an endpoint of more than 506 bytes"));
  if (!parse (text, &endpoint, out_why))
    return FALSE;
  if (out_endpoint != NULL)
    {
      *out_endpoint = endpoint;
      endpoint = (CommyConfigEndpoint){ NULL };
    }
  return TRUE;
}

void
commy_config_endpoint_clear (CommyConfigEndpoint *endpoint)
{
  g_clear_pointer (&endpoint->transport, g_free);
  g_clear_pointer (&endpoint->host, g_free);
}

/* --- names of SRV records --- */

/* "org.example.Digest" is of the domain "example.org". */
static char *
domain_of (char **parts, guint n)
{
  GString *domain = g_string_new (NULL);

  for (guint i = n - 1; i-- > 0;)
    g_string_append_printf (domain, "%s%s", domain->len > 0 ? "." : "", parts[i]);
  return g_string_free (domain, FALSE);
}

char *
commy_config_endpoint_srv_name (const char *rest, const char *service, char **out_why)
{
  g_auto (GStrv) parts = NULL;
  g_autofree char *domain = NULL;
  g_autofree char *lower = NULL;
  g_autofree char *name = NULL;
  const char *topic;
  guint n;

  if (*rest == '_')
    return g_strdup (rest);
  topic = commy_topic_of_endpoint (service);
  parts = g_strsplit (topic != NULL ? topic : service, ".", -1);
  n = g_strv_length (parts);
  if (*rest == '\0' && n < 3)
    {
      *out_why = g_strdup_printf ("\"srv:\" alone needs a service with a domain in its name, such "
                                  "as org.example.Digest; write srv:DOMAIN for %s",
                                  service);
      return NULL;
    }
  domain = *rest != '\0' ? g_strdup (rest) : domain_of (parts, n);
  lower = g_ascii_strdown (parts[n - 1], -1);
  name = g_strdup_printf ("_commy-%s._tcp.%s", lower, domain);
  if (is_name (name))
    return g_steal_pointer (&name);
  *out_why = g_strdup_printf ("\"%s\", made from the service's name, is no name in DNS; write "
                              "srv:_NAME._tcp.DOMAIN",
                              name);
  return NULL;
}
