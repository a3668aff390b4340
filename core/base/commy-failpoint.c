/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fail points: counts how often each was passed and does what COMMY_FAILPOINT asks for.
 * The environment is read at every pass, so that a test can change its mind.
 */
#include "config.h"

#include "base/commy-failpoint.h"

#include <glib.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLEEP_US (100 * 1000)
#define SECTIONS 64

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

typedef struct
{
  const CommyFailpoint *begin;
  const CommyFailpoint *end;
} Section;

typedef struct
{
  GMutex lock;
  Section sections[SECTIONS];
  guint n;
} Added;

/* Plugins stay for good once they are loaded, and so do their sections. */
static Added *
added (void)
{
  /* lint: allow-static only builds with fail points have it */
  static Added all;

  return &all;
}

void
commy_failpoints_add (const CommyFailpoint *begin, const CommyFailpoint *end)
{
  Added *all = added ();
  bool known = begin == end;

  g_mutex_lock (&all->lock);
  for (guint i = 0; i < all->n && !known; i++)
    known = all->sections[i].begin == begin;
  g_assert (known || all->n < SECTIONS);
  if (!known)
    all->sections[all->n++] = (Section){ begin, end };
  g_mutex_unlock (&all->lock);
}

void
commy_failpoints_foreach (void (*func) (const CommyFailpoint *point, void *data), void *data)
{
  Added *all = added ();

  for (const CommyFailpoint *point = section_start; point < section_stop; point++)
    func (point, data);
  for (guint i = 0; i < all->n; i++)
    for (const CommyFailpoint *p = all->sections[i].begin; p < all->sections[i].end; p++)
      func (p, data);
}

static bool
act (const char *action, const char *name)
{
  fprintf (stderr, "fail point %s: %s\n", name, action);
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

typedef struct
{
  const char *name;
  guint64 n;
} Passes;

/* What plugins share is in each of them, with one name. */
static void
count_passes (const CommyFailpoint *point, void *data)
{
  Passes *passes = data;

  if (strcmp (point->name, passes->name) == 0)
    passes->n += __atomic_load_n (&point->hits, __ATOMIC_RELAXED);
}

bool
commy_failpoint_hit (CommyFailpoint *point)
{
  const char *wanted = getenv ("COMMY_FAILPOINT");
  g_auto (GStrv) specs = NULL;
  Passes passes = { .name = point->name };
  bool failed = false;

  __atomic_add_fetch (&point->hits, 1, __ATOMIC_RELAXED);
  if (wanted == NULL || strstr (wanted, point->name) == NULL)
    return false;
  commy_failpoints_foreach (count_passes, &passes);
  specs = g_strsplit (wanted, ",", -1);
  for (char **spec = specs; *spec != NULL; spec++)
    {
      g_auto (GStrv) parts = g_strsplit (*spec, ":", -1);
      guint64 nth;

      if (g_strv_length (parts) != 3 || strcmp (parts[0], point->name) != 0)
        continue;
      if (!g_ascii_string_to_unsigned (parts[1], 10, 1, G_MAXUINT32, &nth, NULL))
        g_error ("fail point %s: \"%s\" is no number of a pass", point->name, parts[1]);
      if (nth == passes.n)
        failed |= act (parts[2], point->name);
    }
  return failed;
}
