/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Edit distance in the form that counts two neighbours changing places as one slip (optimal
 * string alignment), over short words only.
 */
#include "config.h"

#include "cli/commy-nearest.h"

#include <glib/gi18n.h>
#include <string.h>

#define MAX_LENGTH 64u

/* The rows of the table: two back, one back, this one. */
static guint
distance (const char *a, const char *b)
{
  guint rows[3][MAX_LENGTH + 1];
  gsize n_a = strlen (a), n_b = strlen (b);

  if (n_a > MAX_LENGTH || n_b > MAX_LENGTH)
    return G_MAXUINT;
  for (guint k = 0; k <= n_b; k++)
    rows[0][k] = k;
  for (guint i = 1; i <= n_a; i++)
    {
      guint *row = rows[i % 3], *above = rows[(i - 1) % 3];

      row[0] = i;
      for (guint k = 1; k <= n_b; k++)
        {
          row[k] = above[k - 1] + (a[i - 1] != b[k - 1]);
          row[k] = MIN (row[k], MIN (above[k], row[k - 1]) + 1);
          if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1])
            row[k] = MIN (row[k], rows[(i - 2) % 3][k - 2] + 1);
        }
    }
  return rows[n_a % 3][n_b];
}

const char *
commy_nearest (const char *word, const char *const *known)
{
  guint best = (guint) strlen (word) / 3 + 2; /* one slip in a short word, more in a long one */
  const char *nearest = NULL;

  for (guint i = 0; known[i] != NULL; i++)
    {
      guint changes = distance (word, known[i]);

      if (changes < best && changes < strlen (known[i]))
        {
          best = changes;
          nearest = known[i];
        }
    }
  return nearest;
}

char *
commy_nearest_dup_hint (const char *word, const char *const *known)
{
  const char *nearest = commy_nearest (word, known);

  return nearest != NULL ? g_strdup_printf (_ (" (did you mean \"%s\"?)"), nearest) : g_strdup ("");
}
