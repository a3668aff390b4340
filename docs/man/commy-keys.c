/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writes commy.conf(5): copies the template given as argument, and puts the keys of a group, from
 * the schema that keyfiles are checked against, where it says "@KEYS GROUP@". Whatever group the
 * template leaves out is an error, so that the page always has every key.
 */
#include "config.h"

#include "config/commy-config-schema.h"

#include <stdio.h>
#include <string.h>

static const char *const type_names[] = {
  [COMMY_VALUE_BOOL] = "true or false",
  [COMMY_VALUE_INT] = "whole number",
  [COMMY_VALUE_SIZE] = "size",
  [COMMY_VALUE_DURATION] = "time",
  [COMMY_VALUE_DOUBLE] = "number",
  [COMMY_VALUE_SHARE] = "share",
  [COMMY_VALUE_RATE] = "rate",
  [COMMY_VALUE_STRING] = "text",
  [COMMY_VALUE_ID] = "id of a plugin",
  [COMMY_VALUE_PLUGIN] = "kind/id of a plugin",
  [COMMY_VALUE_PATH] = "absolute path",
  [COMMY_VALUE_GLOB] = "pattern",
  [COMMY_VALUE_PRINCIPAL] = "pattern",
  [COMMY_VALUE_OPERATION] = "pattern",
  [COMMY_VALUE_SHA256] = "64 hexadecimal digits",
  [COMMY_VALUE_VERSION] = "version",
  [COMMY_VALUE_TAG] = "word",
  [COMMY_VALUE_PAIR] = "KEY:VALUE",
  [COMMY_VALUE_SELECTOR] = "selector",
};

/* roff takes a hyphen for one that may break a line, and a backslash for its own. */
static void
print_text (const char *text)
{
  for (const char *p = text; *p != '\0'; p++)
    if (*p == '-')
      fputs ("\\-", stdout);
    else if (*p == '\\')
      fputs ("\\e", stdout);
    else
      putchar (*p);
}

static void
print_choices (const char *choices)
{
  g_auto (GStrv) all = g_strsplit (choices, ";", -1);
  guint n = g_strv_length (all);

  for (guint i = 0; i < n; i++)
    {
      fputs (i == 0 ? "" : i + 1 == n ? " or " : ", ", stdout);
      fputs ("\\fB", stdout);
      print_text (all[i]);
      fputs ("\\fR", stdout);
    }
}

/* A limit in the largest unit that has no remainder. */
static void
print_whole (CommyValueType type, gint64 value)
{
  static const struct
  {
    CommyValueType type;
    gint64 factor;
    const char *unit;
  } units[] = {
    { COMMY_VALUE_DURATION, G_GINT64_CONSTANT (3600000000000), "h" },
    { COMMY_VALUE_DURATION, G_GINT64_CONSTANT (1000000000), "s" },
    { COMMY_VALUE_DURATION, 1000000, "ms" },
    { COMMY_VALUE_DURATION, 1000, "us" },
    { COMMY_VALUE_DURATION, 1, "ns" },
    { COMMY_VALUE_SIZE, 1 << 30, "GiB" },
    { COMMY_VALUE_SIZE, 1 << 20, "MiB" },
    { COMMY_VALUE_SIZE, 1 << 10, "KiB" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (units) && value != 0; i++)
    if (units[i].type == type && value % units[i].factor == 0)
      {
        printf ("%" G_GINT64_FORMAT "%s", value / units[i].factor, units[i].unit);
        return;
      }
  g_autofree char *digits = g_strdup_printf ("%" G_GINT64_FORMAT, value);
  print_text (digits);
}

static void
print_limits (const CommyValueSpec *spec)
{
  if (spec->minimum != 0 || spec->maximum != 0)
    {
      fputs (", ", stdout);
      print_whole (spec->type, spec->minimum);
      fputs (" to ", stdout);
      print_whole (spec->type, spec->maximum);
    }
  else if (spec->real_minimum != 0 || spec->real_maximum != 0)
    {
      gboolean share = spec->type == COMMY_VALUE_SHARE;
      g_autofree char *text = g_strdup_printf (
          ", %g%s to %g%s", spec->real_minimum * (share ? 100 : 1), share ? "%" : "",
          spec->real_maximum * (share ? 100 : 1), share ? "%" : "");

      print_text (text);
    }
}

static void
print_type (const CommyValueSpec *spec)
{
  if (spec->is_list)
    fputs ("list of: ", stdout);
  if (spec->type == COMMY_VALUE_CHOICE)
    print_choices (spec->choices);
  else
    fputs (spec->type < G_N_ELEMENTS (type_names) && type_names[spec->type] != NULL
               ? type_names[spec->type]
               : "value",
           stdout);
  print_limits (spec);
}

static void
print_key (const CommyKeySchema *key)
{
  gsize stem = strlen (key->name) - 1;

  printf (".TP\n.B ");
  if (key->name[stem] == '*')
    {
      g_autofree char *name = g_strndup (key->name, stem);

      print_text (name);
      fputs ("\\fINAME\\fR", stdout);
    }
  else
    print_text (key->name);
  fputs ("\n", stdout);
  putchar (g_ascii_toupper (key->help[0]));
  print_text (key->help + 1);
  fputs (".\n", stdout);
  printf ("Value: ");
  print_type (&key->spec);
  if (key->default_value != NULL && *key->default_value != '\0')
    {
      fputs ("; default: \\fB", stdout);
      print_text (key->default_value);
      fputs ("\\fR", stdout);
    }
  fputs (".\n", stdout);
}

static const CommyGroupSchema *
find_group (const char *name)
{
  gsize n_groups;
  const CommyGroupSchema *groups = commy_config_schema (&n_groups);

  for (gsize i = 0; i < n_groups; i++)
    if (g_str_equal (groups[i].name, name))
      return &groups[i];
  return NULL;
}

/* NULL: this line is no place for keys. (transfer full) */
static char *
parse_place (const char *line)
{
  const char *prefix = "@KEYS ";

  if (!g_str_has_prefix (line, prefix) || !g_str_has_suffix (line, "@"))
    return NULL;
  return g_strndup (line + strlen (prefix), strlen (line) - strlen (prefix) - 1);
}

static gboolean
copy_line (const char *line, GHashTable *seen)
{
  g_autofree char *name = parse_place (line);
  const CommyGroupSchema *group = name != NULL ? find_group (name) : NULL;

  if (name == NULL)
    printf ("%s\n", line);
  else if (group == NULL)
    {
      g_printerr ("commy-keys: the schema has no group [%s]\n", name);
      return FALSE;
    }
  else
    {
      for (gsize i = 0; i < group->n_keys; i++)
        print_key (&group->keys[i]);
      g_hash_table_add (seen, (gpointer) group);
    }
  return TRUE;
}

int
main (int argc, char **argv)
{
  g_autoptr (GHashTable) seen = g_hash_table_new (NULL, NULL);
  g_autofree char *text = NULL;
  g_autoptr (GError) error = NULL;
  gsize n_groups;
  const CommyGroupSchema *groups = commy_config_schema (&n_groups);
  gboolean ok = TRUE;

  if (argc != 2 || !g_file_get_contents (argv[1], &text, NULL, &error))
    {
      g_printerr ("commy-keys: %s\n",
                  error != NULL ? error->message : "usage: commy-keys TEMPLATE");
      return 1;
    }
  g_auto (GStrv) lines = g_strsplit (g_strchomp (text), "\n", -1);
  for (gsize i = 0; lines[i] != NULL; i++)
    ok = copy_line (lines[i], seen) && ok;
  for (gsize i = 0; i < n_groups; i++)
    if (!g_hash_table_contains (seen, &groups[i]))
      {
        g_printerr ("commy-keys: %s lacks \"@KEYS %s@\"\n", argv[1], groups[i].name);
        ok = FALSE;
      }
  return ok && fflush (stdout) == 0 ? 0 : 1;
}
