/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any bytes as a plugin file: the parser says no with a sentence or gives a note, and a note
 * that passes the checks can be printed and calculated with.
 */
#include "config.h"

#include "plugin/commy-catalog.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput (const guint8 *data, gsize size);

static void
check (gboolean ok)
{
  if (!ok)
    abort ();
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  g_autoptr (GError) error = NULL;
  CommyPluginNote note;

  if (!commy_note_parse (data, size, &note, &error) || !commy_note_check (&note, &error))
    {
      check (error != NULL && error->message[0] != '\0');
      return 0;
    }
  check (error == NULL);
  check (memchr (note.id, '\0', sizeof note.id) != NULL);
  check (g_utf8_validate (note.summary, -1, NULL));
  check (note.profile.n_segments >= 1 && note.profile.n_segments <= COMMY_PROFILE_SEGMENTS);
  for (guint i = 0; i < note.profile.n_segments; i++)
    check (isfinite (note.profile.segments[i].latency_ns));
  return 0;
}
