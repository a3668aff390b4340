/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Templates: scopes, and lines that are copied, repeated and filled from them.
 */
#include "config.h"

#include "cli/codegen/commy-template.h"

#include <string.h>

struct _CommyScope
{
  CommyScope *parent;
  gboolean is_last;   /* of the list it is in */
  GHashTable *values; /* name -> text */
  GHashTable *lists;  /* name -> array of scopes */
};

/* --- scopes --- */

CommyScope *
commy_scope_new (void)
{
  CommyScope *scope = g_new0 (CommyScope, 1);

  scope->values = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  scope->lists
      = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) g_ptr_array_unref);
  return scope;
}

void
commy_scope_free (CommyScope *scope)
{
  if (scope == NULL)
    return;
  g_hash_table_unref (scope->values);
  g_hash_table_unref (scope->lists);
  g_free (scope);
}

void
commy_scope_take (CommyScope *scope, const char *name, char *value)
{
  g_hash_table_replace (scope->values, g_strdup (name), value != NULL ? value : g_strdup (""));
}

void
commy_scope_set (CommyScope *scope, const char *name, const char *value)
{
  commy_scope_take (scope, name, g_strdup (value));
}

void
commy_scope_flag (CommyScope *scope, const char *name, gboolean on)
{
  commy_scope_set (scope, name, on ? "yes" : "");
}

CommyScope *
commy_scope_append (CommyScope *scope, const char *list)
{
  GPtrArray *scopes = g_hash_table_lookup (scope->lists, list);
  CommyScope *item = commy_scope_new ();

  if (scopes == NULL)
    {
      scopes = g_ptr_array_new_with_free_func ((GDestroyNotify) commy_scope_free);
      g_hash_table_replace (scope->lists, g_strdup (list), scopes);
    }
  if (scopes->len > 0)
    ((CommyScope *) scopes->pdata[scopes->len - 1])->is_last = FALSE;
  item->parent = scope;
  item->is_last = TRUE;
  g_ptr_array_add (scopes, item);
  return item;
}

static const char *
find_value (CommyScope *scope, const char *name)
{
  for (; scope != NULL; scope = scope->parent)
    if (g_hash_table_contains (scope->values, name))
      return g_hash_table_lookup (scope->values, name);
  return NULL;
}

/* Lists are looked for in the scope itself only: a member without arguments has none, and not those
 * of something around it. */
static GPtrArray *
find_list (CommyScope *scope, const char *name)
{
  return g_hash_table_lookup (scope->lists, name);
}

static gboolean
is_there (CommyScope *scope, const char *name)
{
  const char *value = find_value (scope, name);

  return find_list (scope, name) != NULL || (value != NULL && value[0] != '\0');
}

/* --- lines --- */

typedef struct
{
  const char *const *lines;
  GString *out;
} Expansion;

static void
put_name (Expansion *self, CommyScope *scope, const char *name)
{
  const char *value;

  if (name[0] == ',')
    {
      if (name[1] == '\0' ? !scope->is_last : is_there (scope, name + 1))
        g_string_append_c (self->out, ',');
      return;
    }
  value = find_value (scope, name);
  if (value == NULL)
    g_error ("the template names {{%s}}, which is not there", name);
  g_string_append (self->out, value);
}

static void
put_line (Expansion *self, CommyScope *scope, const char *line)
{
  const char *open;

  while ((open = strstr (line, "{{")) != NULL)
    {
      const char *close = strstr (open, "}}");
      g_autofree char *name
          = close != NULL ? g_strndup (open + 2, (gsize) (close - open - 2)) : NULL;

      if (name == NULL)
        break;
      g_string_append_len (self->out, line, open - line);
      put_name (self, scope, name);
      line = close + 2;
    }
  g_string_append (self->out, line);
  g_string_append_c (self->out, '\n');
}

static guint run (Expansion *self, guint at, CommyScope *scope, gboolean active);

/* @at: behind the "%for". Returns the line of its "%end". */
static guint
run_for (Expansion *self, guint at, CommyScope *scope, const char *list, gboolean active)
{
  GPtrArray *scopes = active ? find_list (scope, list) : NULL;
  guint end = run (self, at, scope, FALSE);

  for (guint i = 0; scopes != NULL && i < scopes->len; i++)
    run (self, at, scopes->pdata[i], TRUE);
  return end;
}

static guint
run_if (Expansion *self, guint at, CommyScope *scope, const char *name, gboolean active)
{
  const gboolean negated = name[0] == '!';
  const gboolean holds = is_there (scope, name + negated) != negated;
  guint end = run (self, at, scope, active && holds);

  if (strcmp (self->lines[end], "%else") == 0)
    end = run (self, end + 1, scope, active && !holds);
  return end;
}

/* Returns the line that ends the block: "%end" or "%else", or NULL behind the last. */
static guint
run (Expansion *self, guint at, CommyScope *scope, gboolean active)
{
  for (; self->lines[at] != NULL; at++)
    {
      const char *line = self->lines[at];

      if (strcmp (line, "%end") == 0 || strcmp (line, "%else") == 0)
        return at;
      if (g_str_has_prefix (line, "%for "))
        at = run_for (self, at + 1, scope, line + strlen ("%for "), active);
      else if (g_str_has_prefix (line, "%if "))
        at = run_if (self, at + 1, scope, line + strlen ("%if "), active);
      else if (active)
        put_line (self, scope, line);
    }
  return at;
}

void
commy_template_expand (const char *const *lines, CommyScope *scope, GString *out)
{
  Expansion self = { lines, out };

  run (&self, 0, scope, TRUE);
}
