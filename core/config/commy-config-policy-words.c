/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What rules are about, in words that a slip makes fit nothing: operations of a node, of which
 * there are few, and principals, of which the forms are known.
 */
#include "config.h"

#include "config/commy-config-value.h"

#include "base/commy-units.h"

#include <string.h>

/* --- operations --- */

gboolean
commy_value_check_operation (const char *text, char **out_why)
{
  static const char *const all[] = { "cordon", "drain", "reload-policy", NULL };
  g_autofree char *suggestion = NULL;

  if (strpbrk (text, "*?") != NULL || g_strv_contains (all, text))
    return TRUE;
  suggestion = commy_value_suggest (text, all);
  *out_why = g_strdup_printf ("\"%.64s\" is no operation of a node%s", text, suggestion);
  return FALSE;
}

/* --- principals --- */

/* What principals begin with, as the guide has it. */
static const char *const forms[] = { "unix:uid=", "spiffe://", "token:" };

/* Up to the first character that a pattern leaves open the text may still become @form. */
static gboolean
may_begin_with (const char *text, const char *form)
{
  gsize size = strcspn (text, "*?");
  gsize both = MIN (size, strlen (form));

  return strncmp (text, form, both) == 0 && (both == strlen (form) || text[size] != '\0');
}

/* A word of a few letters is near to too many others. */
static gboolean
is_meant (const char *word, const char *scheme)
{
  return g_str_equal (word, scheme)
         || (strlen (scheme) > 4 && commy_edit_distance (word, scheme, 1) <= 1);
}

/* Plugins may have forms of their own: what is no slip of a known one is let be. */
gboolean
commy_value_check_principal (const char *text, char **out_why)
{
  gsize size = strcspn (text, ":/=*?");
  g_autofree char *word = g_strndup (text, size);

  if (g_str_equal (word, "uid") && text[size] == '=')
    {
      *out_why
          = g_strdup_printf ("\"%.64s\" is no principal; did you mean \"unix:%.64s\"?", text, text);
      return FALSE;
    }
  for (guint i = 0; i < G_N_ELEMENTS (forms); i++)
    {
      g_autofree char *scheme = g_strndup (forms[i], strcspn (forms[i], ":"));

      if (text[size] == '*' || text[size] == '?' || text[size] == '\0' || !is_meant (word, scheme)
          || may_begin_with (text, forms[i]))
        continue;
      *out_why
          = g_strdup_printf ("\"%.64s\" is no principal; did you mean \"%s...\"?", text, forms[i]);
      return FALSE;
    }
  return TRUE;
}
