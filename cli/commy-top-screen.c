/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A full screen with ncurses: drawn when a frame comes, a key was pressed, or the size changed.
 * Nodes are asked in a thread, so that a node that is stuck does not hold up the keys. However it
 * ends, the terminal is as it was.
 */
#include "config.h"

#include "cli/commy-top-screen.h"

#include "cli/commy-cli.h"
#include "cli/commy-output.h"

#ifdef HAVE_NCURSES

#include <curses.h>
#include <glib-unix.h>
#include <glib/gi18n.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define CONTROL(KEY) ((KEY) &0x1f)
#define ESCAPE 27
#define FILTER_MAX 64u
#define NAME_MIN 26
#define WHERE_MAX 28
#define NUMBER_WIDTH 9

typedef struct
{
  CommyMesh *mesh;
  CommyTopSettings settings;
  GString *filter;
  gboolean typing; /* the filter */
  gboolean paused;
  guint first; /* row at the top */
  CommyTopFrame *frame;
  GMainLoop *loop;
  gboolean asking;
  gboolean over;
  guint timer;
} Screen;

/* --- drawing --- */

/* Text as wide as a column, in the terminal's encoding. */
static void
put_cell (int y, int x, int width, const char *text, gboolean right)
{
  g_autofree char *clean = commy_output_clean (text, FALSE); /* errors have what others said */
  glong length = g_utf8_strlen (clean, -1);
  const char *end = g_utf8_offset_to_pointer (clean, MIN (length, MAX (width, 0)));
  g_autofree char *part = g_strndup (clean, (gsize) (end - clean));
  g_autofree char *shown = g_locale_from_utf8 (part, -1, NULL, NULL, NULL);
  int pad = right ? MAX (width - (int) length, 0) : 0;

  if (shown == NULL)
    shown = g_str_to_ascii (part, "C");
  if (width > 0)
    mvaddstr (y, x + pad, shown);
}

/* A narrow screen first loses the place, then numbers from the right. */
static void
put_row (int y, const char *const *cells)
{
  int numbers = CLAMP ((COLS - NAME_MIN) / NUMBER_WIDTH, 0, (int) COMMY_TOP_CELLS - 2);
  int rest = COLS - numbers * NUMBER_WIDTH;
  int where = CLAMP (rest - NAME_MIN - 1, 0, WHERE_MAX);
  int name = rest - where - (where > 0 ? 1 : 0);

  put_cell (y, 0, name, cells[0], FALSE);
  put_cell (y, name + 1, where, cells[1], FALSE);
  for (int i = 0; i < numbers; i++)
    put_cell (y, rest + i * NUMBER_WIDTH + 1, NUMBER_WIDTH - 1, cells[i + 2], TRUE);
}

static void put_line (int y, const char *format, ...) G_GNUC_PRINTF (2, 3);

static void
put_line (int y, const char *format, ...)
{
  g_autofree char *text = NULL;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  put_cell (y, 0, COLS, text, FALSE);
}

static void
draw_titles (void)
{
  const char *titles[COMMY_TOP_CELLS];

  for (guint i = 0; i < COMMY_TOP_CELLS; i++)
    titles[i] = _ (commy_top_titles[i]);
  attron (A_REVERSE);
  mvhline (1, 0, ' ', COLS);
  put_row (1, titles);
  attroff (A_REVERSE);
}

static void
draw_rows (Screen *self)
{
  g_autoptr (GPtrArray) rows = commy_top_frame_list (self->frame, self->settings.view,
                                                     self->settings.order, self->filter->str);
  guint room = (guint) MAX (LINES - 3, 0);

  self->first = MIN (self->first, rows->len > room ? rows->len - room : 0);
  for (guint i = 0; i < room && self->first + i < rows->len; i++)
    {
      const CommyTopRow *row = rows->pdata[self->first + i];
      char *cells[COMMY_TOP_CELLS];

      commy_top_row_format (row, cells);
      if (row->errors_s > 0)
        attron (A_BOLD);
      if (row->stale_us > 0)
        attron (A_DIM);
      put_row ((int) i + 2, (const char *const *) cells);
      attroff (A_BOLD | A_DIM);
      for (guint j = 0; j < COMMY_TOP_CELLS; j++)
        g_free (cells[j]);
    }
}

static void
draw_head (Screen *self)
{
  const CommyTopFrame *frame = self->frame;
  g_autofree char *silent = frame != NULL && frame->n_silent > 0
                                ? g_strdup_printf (_ ("  silent nodes: %u"), frame->n_silent)
                                : g_strdup ("");

  put_line (0, _ ("commy top  mesh %s  %s by %s%s%s%s%s"), commy_mesh_get_name (self->mesh),
            _ (commy_top_view_name (self->settings.view)),
            _ (commy_top_order_name (self->settings.order)),
            self->filter->len > 0 ? _ ("  filter ") : "", self->filter->str, silent,
            self->paused ? _ ("  PAUSED") : "");
}

static void
draw (Screen *self)
{
  erase ();
  draw_head (self);
  draw_titles ();
  if (self->frame == NULL)
    put_line (2, "%s", _ ("asking the nodes ..."));
  else if (self->frame->error != NULL)
    put_line (2, "%s", self->frame->error);
  else
    draw_rows (self);
  if (self->typing)
    put_line (LINES - 1, _ ("filter: %s_"), self->filter->str);
  else
    put_line (LINES - 1, "%s",
              _ ("n nodes  s services  f flows  c e b p a order  / filter  space pause  q quit"));
  refresh ();
}

/* --- asking --- */

static void ask (Screen *self);

typedef struct
{
  CommyMesh *mesh;
  CommyTopFrame *before;
} Question;

static void
question_free (gpointer data)
{
  Question *question = data;

  g_object_unref (question->mesh);
  commy_top_frame_unref (question->before);
  g_free (question);
}

static void
ask_in_thread (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  Question *question = data;

  g_task_return_pointer (task, commy_top_frame_new (question->mesh, question->before),
                         (GDestroyNotify) commy_top_frame_unref);
}

static gboolean
on_timer (gpointer data)
{
  Screen *self = data;

  self->timer = 0;
  if (!self->paused)
    ask (self);
  return G_SOURCE_REMOVE;
}

static void
on_frame (GObject *source, GAsyncResult *result, gpointer data)
{
  Screen *self = data;

  self->asking = FALSE;
  commy_top_frame_unref (self->frame);
  self->frame = g_task_propagate_pointer (G_TASK (result), NULL);
  if (self->over)
    {
      g_main_loop_quit (self->loop);
      return;
    }
  draw (self);
  self->timer = g_timeout_add ((guint) (self->settings.every_us / 1000), on_timer, self);
}

static void
ask (Screen *self)
{
  g_autoptr (GTask) task = g_task_new (NULL, NULL, on_frame, self);
  Question *question = g_new (Question, 1);

  self->asking = TRUE;
  question->mesh = g_object_ref (self->mesh);
  question->before = commy_top_frame_ref (self->frame);
  g_task_set_task_data (task, question, question_free);
  g_task_run_in_thread (task, ask_in_thread);
}

/* --- keys --- */

static void
end (Screen *self)
{
  self->over = TRUE;
  if (!self->asking)
    g_main_loop_quit (self->loop);
}

static void
toggle_pause (Screen *self)
{
  self->paused = !self->paused;
  if (!self->paused && !self->asking && self->timer == 0)
    ask (self);
}

/* Of the line with the filter. */
static void
type (Screen *self, int key)
{
  if (key == '\n' || key == KEY_ENTER || key == '\r')
    self->typing = FALSE;
  else if (key == ESCAPE)
    {
      g_string_truncate (self->filter, 0);
      self->typing = FALSE;
    }
  else if (key == KEY_BACKSPACE || key == 127 || key == CONTROL ('h'))
    g_string_truncate (self->filter, self->filter->len > 0 ? self->filter->len - 1 : 0);
  else if (key >= ' ' && key < 127 && self->filter->len < FILTER_MAX)
    g_string_append_c (self->filter, (char) key);
}

static void
move_by (Screen *self, int rows)
{
  gint64 first = (gint64) self->first + rows;

  self->first = (guint) CLAMP (first, 0, G_MAXINT);
}

static void
press (Screen *self, int key)
{
  static const char views[] = "nsf", orders[] = "cebpa";
  const char *view = key > 0 && key < 128 ? strchr (views, key) : NULL;
  const char *order = key > 0 && key < 128 ? strchr (orders, key) : NULL;

  if (key == CONTROL ('c') || key == CONTROL ('\\'))
    end (self);
  else if (key == CONTROL ('l'))
    clearok (stdscr, TRUE);
  else if (self->typing)
    type (self, key);
  else if (key == 'q')
    end (self);
  else if (view != NULL)
    self->settings.view = (CommyTopView) (view - views);
  else if (order != NULL)
    self->settings.order = (CommyTopOrder) (order - orders);
  else if (key == '\t')
    self->settings.view = (self->settings.view + 1) % COMMY_TOP_VIEWS;
  else if (key == '/')
    self->typing = TRUE;
  else if (key == ' ')
    toggle_pause (self);
  else if (key == KEY_DOWN || key == KEY_UP)
    move_by (self, key == KEY_DOWN ? 1 : -1);
  else if (key == KEY_NPAGE || key == KEY_PPAGE)
    move_by (self, key == KEY_NPAGE ? LINES - 3 : 3 - LINES);
}

static gboolean
on_input (gint fd, GIOCondition condition, gpointer data)
{
  Screen *self = data;
  int key;

  /* The terminal is gone. */
  if ((condition & (G_IO_HUP | G_IO_ERR)) != 0 && (condition & G_IO_IN) == 0)
    {
      end (self);
      return G_SOURCE_REMOVE;
    }
  while ((key = getch ()) != ERR)
    press (self, key);
  if (!self->over)
    draw (self);
  return G_SOURCE_CONTINUE;
}

static gboolean
on_signal (gpointer data)
{
  end (data);
  return G_SOURCE_CONTINUE;
}

static gboolean
on_resize (gpointer data)
{
  struct winsize size;

  if (ioctl (STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0)
    resizeterm (size.ws_row, size.ws_col);
  /* Terminals move what is there in ways of their own. */
  clearok (stdscr, TRUE);
  draw (data);
  return G_SOURCE_CONTINUE;
}

/* --- the screen --- */

static void
set_up (void)
{
  raw (); /* keys that end or stop a program come as keys, so that none leaves the terminal as it is
           */
  noecho ();
  nonl ();
  keypad (stdscr, TRUE);
  nodelay (stdscr, TRUE);
  curs_set (0);
  set_escdelay (50);
}

static void
run (Screen *self)
{
  guint sources[] = {
    g_unix_signal_add (SIGINT, on_signal, self),
    g_unix_signal_add (SIGTERM, on_signal, self),
    g_unix_signal_add (SIGHUP, on_signal, self),
    g_unix_signal_add (SIGWINCH, on_resize, self),
  };
  guint input = g_unix_fd_add (STDIN_FILENO, G_IO_IN | G_IO_HUP | G_IO_ERR, on_input, self);

  draw (self);
  ask (self);
  g_main_loop_run (self->loop);
  endwin ();
  for (guint i = 0; i < G_N_ELEMENTS (sources); i++)
    g_source_remove (sources[i]);
  if (self->timer != 0)
    g_source_remove (self->timer);
  g_clear_handle_id (&input, g_source_remove);
}

gboolean
commy_top_screen_run (CommyMesh *mesh, const CommyTopSettings *settings, GError **error)
{
  Screen self = { .mesh = mesh, .settings = *settings };
  const char *term = g_getenv ("TERM");
  SCREEN *terminal;

  if (!isatty (STDIN_FILENO) || !isatty (STDOUT_FILENO))
    {
      commy_cli_set_error (error, COMMY_ERROR_INVALID_ARGUMENT,
                           "top needs a terminal; --once prints one frame without");
      return FALSE;
    }
  terminal = newterm (term, stdout, stdin);
  if (terminal == NULL)
    {
      commy_cli_set_error (error, COMMY_ERROR_INVALID_ARGUMENT,
                           "the terminal \"%s\" (TERM) is not known; --once prints one frame "
                           "without",
                           term != NULL ? term : "");
      return FALSE;
    }
  self.filter = g_string_new (settings->filter);
  self.loop = g_main_loop_new (NULL, FALSE);
  set_up ();
  run (&self);
  delscreen (terminal);
  commy_top_frame_unref (self.frame);
  g_string_free (self.filter, TRUE);
  g_main_loop_unref (self.loop);
  return TRUE;
}

#else

gboolean
commy_top_screen_run (CommyMesh *mesh, const CommyTopSettings *settings, GError **error)
{
  commy_cli_set_error (error, COMMY_ERROR_INVALID_ARGUMENT,
                       "this build has no ncurses, which the screen needs; --once prints one frame "
                       "as text");
  return FALSE;
}

#endif
