/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One keyfile's text into the snapshot. GKeyFile is the parser of record; it knows no lines
 * and joins what stands twice in silence, so the lines are walked here too, by its rules.
 */
#include "config.h"

#include "config/commy-config-private.h"

#include "base/commy-error-private.h"

#include <string.h>

typedef struct
{
  CommyConfig *config;
  const char *origin;
  GKeyFile *keyfile;
  GHashTable *lines; /* "group" or "group\nkey" -> line number of the first */
  guint line;
  char *group; /* the one we are in, or NULL */
  const CommyGroupSchema *schema;
  gboolean passes_over; /* the group we are in */
} Reader;

static gboolean
fail (Reader *reader, CommyError code, GError **error, const char *why)
{
  commy_set_error (error, code, "%s:%u: %s", reader->origin, reader->line, why);
  return FALSE;
}

/* Remembers where something stands; false if it stood before. */
static gboolean
note_once (Reader *reader, const char *key, const char *what, GError **error)
{
  char *id = key != NULL ? g_strconcat (reader->group, "\n", key, NULL) : g_strdup (reader->group);
  guint first = GPOINTER_TO_UINT (g_hash_table_lookup (reader->lines, id));

  if (first != 0)
    {
      g_autofree char *why = g_strdup_printf (
          "%s stands in this file twice, first in line %u; remove one", what, first);

      g_free (id);
      return fail (reader, COMMY_ERROR_CONFIG, error, why);
    }
  g_hash_table_insert (reader->lines, id, GUINT_TO_POINTER (reader->line));
  return TRUE;
}

/* Whether nothing of the group that begins is looked at. */
static gboolean
is_passed_over (const Reader *reader)
{
  static const char *const names[] = { "policy", "role", "network-group" };

  for (guint i = 0; reader->config->without_policy && i < G_N_ELEMENTS (names); i++)
    if (g_str_equal (reader->schema->name, names[i]))
      return TRUE;
  return FALSE;
}

static gboolean
read_group (Reader *reader, const char *line, GError **error)
{
  const char *end = strchr (line, ']');
  g_autofree char *what = NULL;
  g_autofree char *why = NULL;

  if (end == NULL || end[1 + strspn (end + 1, " \t")] != '\0')
    return fail (reader, COMMY_ERROR_CONFIG, error,
                 "a group is written as [name], with nothing after it");
  g_free (reader->group);
  reader->group = g_strndup (line + 1, (gsize) (end - line - 1));
  reader->schema = commy_config_schema_find_group (reader->config->schema, reader->config->n_schema,
                                                   reader->group, &why);
  if (reader->schema == NULL)
    return fail (reader, COMMY_ERROR_CONFIG_UNKNOWN, error, why);
  reader->passes_over = is_passed_over (reader);
  if (reader->passes_over)
    return TRUE;
  what = g_strdup_printf ("group [%s]", reader->group);
  if (!note_once (reader, NULL, what, error))
    return FALSE;
  if (reader->keyfile != NULL)
    {
      g_autofree char *origin = g_strdup_printf ("%s:%u", reader->origin, reader->line);

      commy_config_add_group (reader->config, reader->schema, reader->group, origin);
    }
  return TRUE;
}

static gboolean
check_value (Reader *reader, const CommyConfigEntry *entry, GError **error)
{
  const char *const single[] = { entry->text, NULL };
  const char *const *items = entry->items != NULL ? (const char *const *) entry->items : single;

  for (; *items != NULL; items++)
    {
      g_autofree char *why = NULL;
      g_autofree char *text = NULL;

      if (entry->items != NULL && **items == '\0')
        why = g_strdup ("an item is empty");
      else if (commy_value_check (&entry->schema->spec, *items, &why))
        continue;
      text = g_strdup_printf ("%s in [%s]: %s (%s)", entry->key, reader->group, why,
                              entry->schema->help);
      return fail (reader, COMMY_ERROR_CONFIG_VALUE, error, text);
    }
  return TRUE;
}

/* Takes the value from GKeyFile and puts it into the snapshot. */
static gboolean
read_value (Reader *reader, const CommyKeySchema *schema, const char *key, GError **error)
{
  g_autoptr (GError) local = NULL;
  CommyConfigEntry *entry = g_new0 (CommyConfigEntry, 1);

  entry->schema = schema;
  entry->key = g_strdup (key);
  entry->origin = g_strdup_printf ("%s:%u", reader->origin, reader->line);
  if (schema->spec.is_list)
    {
      entry->text = g_key_file_get_value (reader->keyfile, reader->group, key, &local);
      if (local == NULL)
        entry->items
            = g_key_file_get_string_list (reader->keyfile, reader->group, key, NULL, &local);
    }
  else
    entry->text = g_key_file_get_string (reader->keyfile, reader->group, key, &local);
  for (char **item = entry->items; item != NULL && *item != NULL; item++)
    g_strstrip (*item);
  if (local != NULL)
    {
      fail (reader, COMMY_ERROR_CONFIG, error, local->message);
      commy_config_entry_free (entry);
      return FALSE;
    }
  if (!check_value (reader, entry, error))
    {
      commy_config_entry_free (entry);
      return FALSE;
    }
  commy_config_put (commy_config_find_group (reader->config, reader->group), entry);
  return TRUE;
}

static gboolean
read_key (Reader *reader, const char *line, GError **error)
{
  const char *equals = strchr (line, '=');
  const CommyKeySchema *schema;
  g_autofree char *key = NULL;
  g_autofree char *what = NULL;

  if (equals == NULL || equals == line)
    return fail (reader, COMMY_ERROR_CONFIG, error,
                 "this is no [group], no key=value and no comment; comments begin with '#'");
  if (reader->group == NULL)
    return fail (reader, COMMY_ERROR_CONFIG, error, "this key stands before the first [group]");
  key = g_strchomp (g_strndup (line, (gsize) (equals - line)));
  schema = commy_config_schema_find_key (reader->schema, key);
  if (schema == NULL)
    {
      g_autofree const char **names = commy_config_schema_key_names (reader->schema);
      g_autofree char *suggestion = commy_value_suggest (key, names);
      g_autofree char *why
          = g_strdup_printf ("unknown key \"%s\" in [%s]%s", key, reader->group, suggestion);

      return fail (reader, COMMY_ERROR_CONFIG_UNKNOWN, error, why);
    }
  what = g_strdup_printf ("key \"%s\" of [%s]", key, reader->group);
  /* Only when GKeyFile has the whole text; before that, lines are checked alone. */
  return note_once (reader, key, what, error)
         && (reader->keyfile == NULL || read_value (reader, schema, key, error));
}

static gboolean
read_line (Reader *reader, char *line, GError **error)
{
  while (g_ascii_isspace (*line))
    line++;
  if (*line == '\0' || *line == '#')
    return TRUE;
  if (*line == '[')
    return read_group (reader, line, error);
  return reader->passes_over || read_key (reader, line, error);
}

/* Walks the lines: first alone, to say what is wrong where, then taking the values. */
static gboolean
read_lines (Reader *reader, const char *text, GError **error)
{
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);

  reader->line = 0;
  reader->schema = NULL;
  reader->passes_over = FALSE;
  g_clear_pointer (&reader->group, g_free);
  g_hash_table_remove_all (reader->lines);
  for (char **line = lines; *line != NULL; line++)
    {
      gsize length = strlen (*line);

      reader->line++;
      if (length > 0 && (*line)[length - 1] == '\r')
        (*line)[length - 1] = '\0';
      if (!read_line (reader, *line, error))
        return FALSE;
    }
  return TRUE;
}

static guint
line_of (const char *text, const char *at)
{
  guint line = 1;

  for (; text < at; text++)
    line += *text == '\n';
  return line;
}

static gboolean
check_bytes (Reader *reader, const char *text, gsize size, GError **error)
{
  const char *end = text;

  if (size > COMMY_CONFIG_MAX_TEXT)
    {
      commy_set_error (error, COMMY_ERROR_CONFIG, "%s is larger than %u bytes, so it is no keyfile",
                       reader->origin, COMMY_CONFIG_MAX_TEXT);
      return FALSE;
    }
  if (g_utf8_validate_len (text, size, &end))
    return TRUE;
  reader->line = line_of (text, end);
  return fail (reader, COMMY_ERROR_CONFIG, error,
               *end == '\0' ? "there is a NUL byte; a keyfile is text"
                            : "this is not UTF-8; a keyfile is text in UTF-8");
}

gboolean
commy_config_add_text (
    CommyConfig *config, const char *text, gsize size, const char *origin, GError **error)
{
  g_autoptr (GKeyFile) keyfile = g_key_file_new ();
  g_autoptr (GHashTable) lines = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_autoptr (GError) local = NULL;
  g_autofree char *copy = NULL;
  Reader reader = { .config = config, .origin = origin, .lines = lines };
  gboolean ok;

  if (size == 0)
    return TRUE;
  if (!check_bytes (&reader, text, size, error))
    return FALSE;
  copy = g_strndup (text, size);
  ok = read_lines (&reader, copy, error);
  if (ok && !g_key_file_load_from_data (keyfile, copy, size, G_KEY_FILE_NONE, &local))
    {
      commy_set_error (error, COMMY_ERROR_CONFIG, "%s: %s", origin, local->message);
      ok = FALSE;
    }
  reader.keyfile = keyfile;
  ok = ok && read_lines (&reader, copy, error);
  g_free (reader.group);
  return ok;
}
