/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * See the header.
 */
#include "config.h"

#include "security/commy-lock-out.h"

#include "security/commy-deny-list.h"

#include <string.h>

#define OF_MESH COMMY_LOCK_OUT "mesh/"
#define OF_HOST COMMY_LOCK_OUT "host/"

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
