/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the command writes: tables with aligned columns, JSON, and text of others made harmless
 * for a terminal.
 */
#pragma once

#include <glib.h>

/* How a cell stands out, on a terminal only and without NO_COLOR. */
typedef enum
{
  COMMY_TONE_PLAIN,
  COMMY_TONE_STRONG,
  COMMY_TONE_GOOD,
  COMMY_TONE_BAD,
  COMMY_TONE_FAINT,
} CommyTone;

/* Whether a terminal obeys it, or shows what comes after it in another order or place. */
gboolean commy_output_is_order (gunichar c);
/* (transfer full): @text in UTF-8 without such characters, except line feeds if @lines */
char *commy_output_clean (const char *text, gboolean lines);

/* Writes bytes to stdout as they are. */
void commy_output_write (const void *data, gsize size);
/* Writes text, of which only line feeds and tabs mean anything to a terminal, whoever it is of. */
void commy_output_print (const char *format, ...) G_GNUC_PRINTF (1, 2);

typedef struct _CommyTable CommyTable;

/* Titles up to NULL. */
CommyTable *commy_table_new (const char *first_title, ...) G_GNUC_NULL_TERMINATED;
void commy_table_free (CommyTable *table);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CommyTable, commy_table_free)

/* Appends a cell; a row is complete when it has as many as there are titles. NULL is "-". */
void commy_table_add (CommyTable *table, const char *text);
void commy_table_add_toned (CommyTable *table, const char *text, CommyTone tone);
void commy_table_take (CommyTable *table, char *text);
guint commy_table_get_n_rows (CommyTable *table);
void commy_table_print (CommyTable *table);

/* (transfer full): always valid JSON: dictionaries with text as key become objects, tuples and
 * arrays become arrays, ay becomes base64, and what is not finite null. Sinks @value. */
char *commy_output_to_json (GVariant *value, gboolean pretty);
/* Writes it with a line feed. Sinks @value. */
void commy_output_json (GVariant *value);
