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

#define HEAD_SIZE 128 /* of what is looked at first */

int LLVMFuzzerTestOneInput (const guint8 *data, gsize size);

static void
check (gboolean ok)
{
  if (!ok)
    abort ();
}

/* An image that was read as far as it is looked at says the same as a whole one. */
static void
check_extent (const guint8 *data, gsize size, gboolean ok, const CommyPluginNote *note)
{
  const gsize head = MIN (size, HEAD_SIZE);
  const gsize extent = commy_note_get_extent (data, head, size);
  g_autofree guint8 *part = g_malloc0 (MAX (size, 1));
  CommyPluginNote found;

  check (extent <= size);
  memcpy (part, data, MAX (head, extent));
  check (commy_note_parse (part, size, &found, NULL) == ok);
  check (!ok || memcmp (&found, note, sizeof found) == 0);
}

int
LLVMFuzzerTestOneInput (const guint8 *data, gsize size)
{
  g_autoptr (GError) error = NULL;
  CommyPluginNote note;
  gboolean ok = commy_note_parse (data, size, &note, &error);

  check_extent (data, size, ok, &note);
  if (!ok || !commy_note_check (&note, &error))
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
