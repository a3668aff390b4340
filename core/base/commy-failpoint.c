/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fail points: counts how often each was passed and does what COMMY_FAILPOINT asks for.
 * The environment is read at every pass, so that a test can change its mind.
 */
#include "config.h"

#include "base/commy-failpoint.h"

#include <glib.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define SLEEP_US (100 * 1000)

/* Set by the linker around the section. */
extern const CommyFailpoint section_start[] __asm__("__start_commy_failpoints")
    __attribute__ ((weak, visibility ("hidden")));
extern const CommyFailpoint section_stop[] __asm__("__stop_commy_failpoints")
    __attribute__ ((weak, visibility ("hidden")));

const CommyFailpoint *
commy_failpoints_begin (void)
{
  return section_start;
}

const CommyFailpoint *
commy_failpoints_end (void)
{
  return section_stop;
}

static bool
act (const char *action, const char *name)
{
  if (strcmp (action, "error") == 0)
    return true;
  if (strcmp (action, "kill") == 0)
    raise (SIGKILL);
  else if (strcmp (action, "stop") == 0)
    raise (SIGSTOP);
  else if (strcmp (action, "sleep") == 0)
    g_usleep (SLEEP_US);
  else
    g_error ("fail point %s: unknown action \"%s\", choose kill, stop, error or sleep", name,
             action);
  return false;
}

bool
commy_failpoint_hit (CommyFailpoint *point)
{
  unsigned hit = __atomic_add_fetch (&point->hits, 1, __ATOMIC_RELAXED);
  const char *wanted = getenv ("COMMY_FAILPOINT");
  g_auto (GStrv) specs = NULL;
  bool failed = false;

  if (wanted == NULL || strstr (wanted, point->name) == NULL)
    return false;
  specs = g_strsplit (wanted, ",", -1);
  for (char **spec = specs; *spec != NULL; spec++)
    {
      g_auto (GStrv) parts = g_strsplit (*spec, ":", -1);
      guint64 nth;

      if (g_strv_length (parts) != 3 || strcmp (parts[0], point->name) != 0)
        continue;
      if (!g_ascii_string_to_unsigned (parts[1], 10, 1, G_MAXUINT32, &nth, NULL))
        g_error ("fail point %s: \"%s\" is no number of a pass", point->name, parts[1]);
      if (nth == hit)
        failed |= act (parts[2], point->name);
    }
  return failed;
}
