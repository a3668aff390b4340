/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A text that is kept, and whether it has changed: such as what was told last, so that what stays
 * as it was is not told again.
 */
#pragma once

#include <glib.h>

/* Has a copy of @with (nullable) instead of @text; FALSE: that is what it was. As g_set_str(),
 * which GLib has since 2.76. */
static inline gboolean
commy_text_replace (char **text, const char *with)
{
  char *copy;

  if (g_strcmp0 (*text, with) == 0)
    return FALSE;
  copy = g_strdup (with);
  g_free (*text);
  *text = copy;
  return TRUE;
}
