/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Text to stdout: always UTF-8, whatever the locale says, with tables as wide as they must be.
 */
#include "config.h"

#include "cli/commy-output.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct
{
  char *text;
  CommyTone tone;
} Cell;

struct _CommyTable
{
  guint n_columns;
  GArray *cells; /* of Cell; the titles are the first row */
};

/* --- text --- */

gboolean
commy_output_is_order (gunichar c)
{
  /* Separators of lines and paragraphs, embeddings and overrides; isolates. */
  return g_unichar_iscntrl (c) || (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

/* @kept: characters that are left as they are, whatever they do */
static char *
clean (const char *text, const char *kept)
{
  g_autofree char *valid = g_utf8_make_valid (text, -1);
  GString *out = g_string_sized_new (strlen (valid));

  for (const char *at = valid; *at != '\0'; at = g_utf8_next_char (at))
    {
      gunichar c = g_utf8_get_char (at);

      if (!commy_output_is_order (c) || (c < 0x80 && strchr (kept, (int) c) != NULL))
        g_string_append_unichar (out, c);
      else
        g_string_append_c (out, c == '\n' || c == '\t' ? ' ' : '?');
    }
  return g_string_free (out, FALSE);
}

char *
commy_output_clean (const char *text, gboolean lines)
{
  return clean (text, lines ? "\n" : "");
}

void
commy_output_write (const void *data, gsize size)
{
  /* What could not be written is told once, when the program ends. */
  if (size > 0)
    fwrite (data, 1, size, stdout);
}

void
commy_output_print (const char *format, ...)
{
  g_autofree char *text = NULL;
  g_autofree char *harmless = NULL;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  harmless = clean (text, "\n\t");
  commy_output_write (harmless, strlen (harmless));
}

/* --- tables --- */

static void
cell_clear (gpointer data)
{
  g_free (((Cell *) data)->text);
}

/* (transfer full) */
static char *
translate_title (const char *title)
{
  gsize indent = strspn (title, " ");

  return g_strdup_printf ("%*s%s", (int) indent, "", g_dgettext (GETTEXT_PACKAGE, title + indent));
}

CommyTable *
commy_table_new (const char *first_title, ...)
{
  CommyTable *table = g_new0 (CommyTable, 1);
  va_list titles;

  table->cells = g_array_new (FALSE, FALSE, sizeof (Cell));
  g_array_set_clear_func (table->cells, cell_clear);
  va_start (titles, first_title);
  for (const char *title = first_title; title != NULL; title = va_arg (titles, const char *))
    {
      /* The indent is layout, not part of the title. */
      g_autofree char *told = translate_title (title);

      commy_table_add_toned (table, told, COMMY_TONE_STRONG);
      table->n_columns++;
    }
  va_end (titles);
  return table;
}

void
commy_table_free (CommyTable *table)
{
  if (table == NULL)
    return;
  g_array_unref (table->cells);
  g_free (table);
}

void
commy_table_add_toned (CommyTable *table, const char *text, CommyTone tone)
{
  gboolean empty = text == NULL || text[0] == '\0';
  Cell cell = { .text = commy_output_clean (empty ? "-" : text, FALSE), .tone = tone };

  g_array_append_val (table->cells, cell);
}

void
commy_table_add (CommyTable *table, const char *text)
{
  commy_table_add_toned (table, text, COMMY_TONE_PLAIN);
}

void
commy_table_take (CommyTable *table, char *text)
{
  commy_table_add (table, text);
  g_free (text);
}

guint
commy_table_get_n_rows (CommyTable *table)
{
  return table->cells->len / table->n_columns - 1;
}

static gboolean
wants_colour (void)
{
  const char *no = g_getenv ("NO_COLOR");
  const char *term = g_getenv ("TERM");

  return isatty (STDOUT_FILENO) && (no == NULL || no[0] == '\0') && g_strcmp0 (term, "dumb") != 0;
}

static void
print_cell (const Cell *cell, glong pad, gboolean colour)
{
  static const char *const codes[] = {
    [COMMY_TONE_PLAIN] = "",       [COMMY_TONE_STRONG] = "\033[1m", [COMMY_TONE_GOOD] = "\033[32m",
    [COMMY_TONE_BAD] = "\033[31m", [COMMY_TONE_FAINT] = "\033[2m",
  };
  gboolean toned = colour && cell->tone != COMMY_TONE_PLAIN;

  if (toned)
    commy_output_write (codes[cell->tone], strlen (codes[cell->tone]));
  commy_output_print ("%s", cell->text);
  if (toned)
    commy_output_write ("\033[0m", strlen ("\033[0m"));
  commy_output_print ("%*s", (int) pad, "");
}

void
commy_table_print (CommyTable *table)
{
  g_autofree glong *widths = g_new0 (glong, table->n_columns);
  gboolean colour = wants_colour ();
  const Cell *cells = (const Cell *) (gpointer) table->cells->data;

  for (guint i = 0; i < table->cells->len; i++)
    {
      glong *width = &widths[i % table->n_columns];

      *width = MAX (*width, g_utf8_strlen (cells[i].text, -1));
    }
  for (guint i = 0; i < table->cells->len; i++)
    {
      guint column = i % table->n_columns;
      gboolean last = column + 1 == table->n_columns;
      glong pad = last ? 0 : widths[column] - g_utf8_strlen (cells[i].text, -1) + 2;

      print_cell (&cells[i], pad, colour);
      if (last)
        commy_output_print ("\n");
    }
}
